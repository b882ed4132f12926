//! `dsm-storage-node run`: the node until something ends it.

use super::failure::{Exit, Failure};
use super::live::Live;
use super::settings::Settings;
use super::{Output, line, rows};
use dsm_logs::{LogConfig, Logs};
use dsm_settings::Layers;
use dsm_storage_node::{Ended, StorageNode};
use serde::Serialize;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A file with settings in TOML, named as the options here with `_` for `-`; it need not exist
    /// [default: storage.toml in the data directory]
    #[arg(long, value_name = "FILE", env = "DSM_STORAGE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// What a node prints when it serves.
#[derive(Serialize)]
struct Banner {
    node: String,
    public_key: String,
    address: String,
    url: String,
    data: PathBuf,
    network: Option<String>,
    first: u64,
    head: u64,
    version: &'static str,
}

fn text(banner: &Banner) -> String {
    let network = banner.network.clone().unwrap_or_else(|| "not known yet".into());
    let lines = rows([
        ("node", banner.node.clone()),
        ("network", network),
        ("data", format!("{}, records {} to {}", banner.data.display(), banner.first, banner.head)),
        ("QUIC", banner.address.clone()),
        ("HTTP", banner.url.clone()),
    ]);
    format!("DSM storage node {}\n{lines}", banner.version)
}

pub(crate) fn run(out: Output, args: &RunArgs, layers: Option<Layers>, data: &Path) -> Result<(), Failure> {
    let settings = &args.settings;
    let config = settings.resolve(data)?;
    let upkeep = config.upkeep;
    let layers = layers.expect("the words of a node that runs are read with its file");
    let logs = Logs::start(&LogConfig {
        service: "dsm-storage",
        level: settings.log_level,
        format: settings.log_format,
        file: settings.log_file.clone(),
        request: || None,
    })
    .map_err(|error| Failure::refused(error.code(), error))?;
    let mut live = Live::new(layers.file, settings.log_level, upkeep, logs);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::refused("thread", format!("threads could not be started: {error}")))?;
    runtime.block_on(async {
        let mut signals = Signals::new()
            .map_err(|error| Failure::refused("signal", format!("signals cannot be caught: {error}")))?;
        let node = StorageNode::open(config).await?;
        let status = node.status();
        let banner = Banner {
            node: status.node,
            public_key: hex::encode(&node.public_key().bytes),
            address: node.local_addr().to_string(),
            url: format!("http://{}", node.local_addr()),
            data: data.to_path_buf(),
            network: status.network,
            first: status.first,
            head: status.head,
            version: env!("CARGO_PKG_VERSION"),
        };
        if out.json {
            let banner = serde_json::to_string(&banner)
                .map_err(|error| Failure::new(Exit::Integrity, "json", error))?;
            line(&banner);
        } else {
            line(&text(&banner));
        }
        loop {
            let told = tokio::select! {
                told = signals.next() => told,
                never = live.follow(&node) => match never {},
                ended = node.ended() => return outcome(ended),
            };
            match told {
                Told::Drain => node.drain(),
                Told::End => return outcome(node.close().await),
            }
        }
    })
}

fn outcome(ended: Ended) -> Result<(), Failure> {
    match ended {
        Ended::Asked => Ok(()),
        Ended::Failed(reason) => {
            Err(Failure::new(Exit::Integrity, "storage", format!("what is durable is unknown: {reason}"))
                .help("check the device, then start the node again: it takes up what is really there"))
        }
    }
}

/// What a signal asks for.
enum Told {
    End,
    Drain,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    drain: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            drain: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.drain.recv() => Told::Drain,
        }
    }
}
