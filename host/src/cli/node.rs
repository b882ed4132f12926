//! `dsm node`: the core node until a signal ends it.

use super::failure::{Exit, Failure};
use super::session::Session;
use super::show::{Show, rows, show};
use dsm_abi::{Digest, NetworkId};
use dsm_host::node::{Node, NodeConfig};
use dsm_sdk::api::KeyView;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Options of `dsm node`.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// The data directory; made if it does not exist
    #[arg(long, value_name = "DIR", env = "DSM_DATA", default_value = "data")]
    data: PathBuf,
    /// Where to serve the API; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", env = "DSM_LISTEN", default_value = "127.0.0.1:7545")]
    listen: String,
    /// How much to log on stderr: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", env = "DSM_LOG_LEVEL", default_value = "info")]
    log_level: tracing::Level,
    /// The name of a network that this start creates
    #[arg(long, value_name = "NAME", default_value = "dsm")]
    network_name: String,
    /// Accept signatures of Dilithium3, for keys older than the standard
    #[arg(long)]
    accept_dilithium3: bool,
}

/// What a node prints when it takes requests.
#[derive(Serialize)]
struct Banner {
    url: String,
    network: NetworkId,
    network_name: String,
    node_key: KeyView,
    data: PathBuf,
    engine_profile: Digest,
    position: u64,
    version: &'static str,
}

impl Show for Banner {
    fn text(&self) -> String {
        let text = rows([
            ("network", format!("{} ({})", self.network, self.network_name)),
            ("node key", self.node_key.key.to_string()),
            ("data", format!("{}, {} records", self.data.display(), self.position)),
            ("engine", self.engine_profile.to_string()),
            ("API", self.url.clone()),
        ]);
        format!("DSM core node {}\n{text}", self.version)
    }
}

/// Runs a node until SIGINT or SIGTERM.
pub(crate) fn run(session: &Session, args: &NodeArgs) -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(args.log_level).init();
    let runtime = runtime()?;
    let serving = Serving::bind(&runtime, &args.listen)?;
    let mut config = NodeConfig::new(&args.data);
    config.network_name.clone_from(&args.network_name);
    config.accept_dilithium3 = args.accept_dilithium3;
    config.engine.compiler = compiler();
    let node = Node::open(config)?;
    let status = node.status();
    let banner = Banner {
        url: serving.url(),
        network: status.network,
        network_name: status.network_name,
        node_key: KeyView::new(&node.genesis().node, 0),
        data: args.data.clone(),
        engine_profile: status.engine_profile,
        position: status.position,
        version: status.version,
    };
    if session.globals.json {
        let text = serde_json::to_string(&banner).map_err(|error| Failure::integrity("json", error))?;
        super::show::line(&text);
    } else {
        show(false, &banner)?;
    }
    serving.run(&runtime, node.clone())?;
    Ok(node.close()?)
}

/// This program, whose children compile policies. Where the system does not tell, the node compiles itself.
pub(crate) fn compiler() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

/// The threads that serve requests.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::refused("thread", format!("threads could not be started: {error}")))
}

/// A bound address, before anything is served on it.
pub(crate) struct Serving {
    listener: TcpListener,
    address: SocketAddr,
}

impl Serving {
    pub(crate) fn bind(runtime: &Runtime, listen: &str) -> Result<Serving, Failure> {
        let bound = runtime.block_on(TcpListener::bind(listen));
        let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| {
            Failure::new(Exit::Refused, "listen", format!("{listen} cannot be listened on: {error}"))
                .help("choose another address with --listen HOST:PORT; port 0 picks a free one")
        })?;
        Ok(Serving { listener, address })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves the API until SIGINT or SIGTERM, then finishes the requests on their way.
    pub(crate) fn run(self, runtime: &Runtime, node: Node) -> Result<(), Failure> {
        let served = runtime.block_on(dsm_host::api::serve(node, self.listener, shutdown()));
        served.map_err(|error| Failure::refused("listen", format!("the API ended: {error}")))
    }
}

/// Ends with the first SIGINT or SIGTERM.
async fn shutdown() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without the handler SIGTERM ends the process at once, which the log survives.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        // An error means that SIGINT cannot be caught; SIGTERM still can.
        Ok(()) = tokio::signal::ctrl_c() => {}
    }
}
