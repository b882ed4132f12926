//! `dsm-bridge run`: the service until something ends it.

use super::failure::{Exit, Failure};
use super::keys::KeyArgs;
use super::live::Live;
use super::settings::Settings;
use super::{Output, rows};
use dsm_bridge::api::trust_level;
use dsm_bridge::{Bridge, DoorSource};
use dsm_core::{BridgeConfig, Finality};
use dsm_logs::{LogConfig, Logs};
use dsm_settings::Layers;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A file with settings in TOML, named as the options here with `_` for `-`; it need not exist
    /// [default: bridge.toml in the data directory]
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    settings: Settings,
}

impl RunArgs {
    /// Whether a service could start with these settings.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.settings.check(&self.keys)
    }

    /// The settings that are no keys.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Starts the log, and follows what the file of settings says from now on.
fn live(settings: &Settings, layers: Option<Layers>) -> Result<Live, Failure> {
    let layers = layers.expect("the words of a service that runs are read with its file");
    let logs = Logs::start(&LogConfig {
        service: "dsm-bridge",
        level: settings.log_level,
        format: settings.log_format,
        file: settings.log_file.clone(),
        request: || None,
    })
    .map_err(|error| Failure::new(Exit::Refused, error.code(), error))?;
    Live::new(layers.file, settings, logs)
}

/// What the service prints when it serves: above all whom it believes.
#[derive(Serialize)]
struct Banner {
    url: String,
    admin: Option<String>,
    bridge: String,
    network: String,
    chain_id: u64,
    contract: String,
    trust_level: String,
    trusted_set: Vec<String>,
    trusted_set_hash: String,
    roles: Vec<String>,
    account: Option<String>,
    gas_account: Option<String>,
    version: &'static str,
}

fn text(banner: &Banner) -> String {
    let mut lines = vec![
        ("bridge", banner.bridge.clone()),
        ("network", banner.network.clone()),
        ("chain", banner.chain_id.to_string()),
        ("contract", banner.contract.clone()),
        ("trust level", banner.trust_level.clone()),
    ];
    lines.extend(banner.trusted_set.iter().map(|one| ("trusted", one.clone())));
    lines.extend([
        ("trusted set's hash", banner.trusted_set_hash.clone()),
        ("roles", banner.roles.join(", ")),
        ("account", banner.account.clone().unwrap_or_default()),
        ("gas account", banner.gas_account.clone().unwrap_or_default()),
        ("HTTP", banner.url.clone()),
        ("admin", banner.admin.clone().unwrap_or_default()),
    ]);
    format!("DSM bridge {}\n{}", banner.version, rows(lines))
}

/// Whom the bridge believes at first, with their digest: for validators the same that the ledger's state has.
fn trusted(terms: &BridgeConfig) -> (Vec<String>, String) {
    let (set, bytes) = match &terms.finality {
        Finality::Qbft { validators, .. } | Finality::QbftContract { validators, .. } => {
            let shown = validators.iter().map(|address| format!("0x{}", hex::encode(address))).collect();
            (shown, dsm_abi::encode(validators))
        }
        Finality::Attested { keys, .. } => {
            (keys.iter().map(|key| key.id().to_string()).collect(), dsm_abi::encode(keys))
        }
    };
    (set, dsm_core::hash(dsm_core::tag::BRIDGE_SET, &[&bytes]).to_string())
}

pub(crate) fn run(out: Output, args: &RunArgs, layers: Option<Layers>) -> Result<(), Failure> {
    if let Some(listen) = args.settings.idle()? {
        return super::idle::run(out, listen, &live(&args.settings, layers)?);
    }
    let mut config = args.settings.resolve(&args.keys)?;
    let live = Arc::new(live(&args.settings, layers)?);
    config.door_source = Some(Arc::clone(&live) as Arc<dyn DoorSource>);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::Refused, "thread", format!("threads could not be started: {error}"))
    })?;
    runtime.block_on(async {
        let caught = |error| Failure::new(Exit::Refused, "signal", format!("signals cannot be caught: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(caught)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(caught)?;
        let terms = config.terms.clone();
        let bridge = Bridge::open(config).await?;
        let status = bridge.status().map_err(|error| Failure::new(Exit::Integrity, "state", error))?;
        let (trusted_set, trusted_set_hash) = trusted(&terms);
        let banner = Banner {
            url: format!("http://{}", bridge.local_addr()),
            admin: bridge.admin_addr().map(|address| format!("http://{address}")),
            bridge: status.bridge,
            network: status.network,
            chain_id: status.chain_id,
            contract: format!("0x{}", hex::encode(&status.contract.0)),
            trust_level: trust_level(&terms).to_owned(),
            trusted_set,
            trusted_set_hash,
            roles: status.roles,
            account: status.account,
            gas_account: status.gas_account.map(|address| format!("0x{}", hex::encode(&address.0))),
            version: env!("CARGO_PKG_VERSION"),
        };
        out.show(&banner, text)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = live.follow() => {}
            reason = bridge.ended() => {
                bridge.close().await;
                let message = format!("what is durable is unknown: {reason}");
                return Err(Failure::new(Exit::Integrity, "state", message)
                    .help("check the device, then start the service again: it takes up what is really there"));
            }
        }
        bridge.close().await;
        Ok(())
    })
}
