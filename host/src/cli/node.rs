//! `dsm node`: the core node until a signal ends it; `dsm node key`: copies of its key.

use super::config::{Running, State};
use super::door::{OwnKeyFile, draw_own, rules};
use super::failure::{Exit, Failure, file_failure};
use super::session::Session;
use super::show::{Show, rows, show};
use super::topology::{listed_peer, peer_keys};
use dsm_abi::{Digest, NetworkId};
use dsm_crypto::{Keystore, Zeroizing};
use dsm_host::api::{Access, ApiConfig, Audit, Settings as _, SystemWatch};
use dsm_host::node::{Node, NodeConfig};
use dsm_host::replicate::{Replication, ReplicationConfig};
use dsm_link::Acceptor;
use dsm_logs::{LogConfig, Logs};
use dsm_sdk::api::{ConfigRequest, Hex, KeyView};
use dsm_sdk::receipt::Durability;
use dsm_settings::{AddressError, Layers};
use parking_lot::Mutex;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Options of `dsm node`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct NodeArgs {
    #[command(subcommand)]
    verb: Option<NodeVerb>,
    #[command(flatten)]
    run: RunArgs,
}

/// What to do besides running.
#[derive(Debug, clap::Subcommand)]
enum NodeVerb {
    /// Copy the node's key, or show its public half
    #[command(subcommand)]
    Key(KeyVerb),
}

/// What to do with the node's key.
#[derive(Debug, clap::Subcommand)]
enum KeyVerb {
    /// Copy the secret key to a file of mode 0600: with it and the storage nodes a lost node is restored
    Export {
        /// The data directory
        #[arg(long, value_name = "DIR", env = "DSM_DATA", default_value = "data")]
        data: PathBuf,
        /// The file to make
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Show the public key, which storage nodes are told; makes the key if there is none yet
    Public {
        /// The data directory
        #[arg(long, value_name = "DIR", env = "DSM_DATA", default_value = "data")]
        data: PathBuf,
        /// Write its hex digits to this file too
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

/// Options of the running node: its settings.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunArgs {
    /// The data directory; made if it does not exist
    #[arg(long, value_name = "DIR", env = "DSM_DATA", default_value = "data")]
    pub(crate) data: PathBuf,
    /// The file of settings; it need not exist [default: node.toml in the data directory]
    #[arg(long, value_name = "FILE", env = "DSM_CONFIG")]
    config: Option<PathBuf>,
    /// Where to serve the API; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", env = "DSM_LISTEN", default_value = "127.0.0.1:7545")]
    listen: String,
    /// How much to log on stderr: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", env = "DSM_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: tracing::Level,
    /// How to log: text for people, json for programs
    #[arg(long, value_name = "FORMAT", env = "DSM_LOG_FORMAT", default_value = "text")]
    log_format: dsm_logs::Format,
    /// Log to this file too; after 64 MiB it is set aside as FILE.1
    #[arg(long, value_name = "FILE", env = "DSM_LOG_FILE")]
    log_file: Option<PathBuf>,
    /// Compiled policies that are kept
    #[arg(long, value_name = "N", env = "DSM_CACHE_SIZE", default_value_t = 1000)]
    pub(crate) policy_cache_size: usize,
    /// Seconds after which a compiled policy is compiled anew
    #[arg(long, value_name = "S", env = "DSM_POLICY_TTL", default_value_t = 3600)]
    pub(crate) policy_ttl: u64,
    /// The file of API keys, which `dsm access key` writes [default: api-keys.json in the data directory, if it exists]
    #[arg(long, value_name = "FILE", env = "DSM_API_KEYS")]
    pub(crate) api_keys: Option<PathBuf>,
    /// A file with the secret of bearer tokens, 32 bytes or more
    #[arg(long, value_name = "FILE", env = "DSM_JWT_SECRET_FILE")]
    pub(crate) jwt_secret: Option<PathBuf>,
    /// What clients may do that show neither: words of read, submit, simulate, events, admin [default: nothing;
    /// everything on a loopback address without keys and secret]
    #[arg(long, value_name = "SCOPES", env = "DSM_ANONYMOUS")]
    pub(crate) anonymous: Option<String>,
    /// Pages whose scripts may ask, such as `https://desk.example`; the node's own always may
    #[arg(long, value_name = "ORIGINS", env = "DSM_ORIGINS", value_delimiter = ',')]
    pub(crate) origins: Vec<String>,
    /// Proxies whose X-Forwarded-For counts, such as 10.0.0.0/8
    #[arg(long, value_name = "NETWORKS", env = "DSM_TRUSTED_PROXIES", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<String>,
    /// Requests of one client in any minute; 0 is no limit [default: 1200; none on a loopback address without keys]
    #[arg(long, value_name = "N", env = "DSM_LIMIT_DEFAULT")]
    pub(crate) limit_default: Option<u32>,
    /// The same for views and simulation of policies [default: 600]
    #[arg(long, value_name = "N", env = "DSM_LIMIT_SIMULATION")]
    pub(crate) limit_simulation: Option<u32>,
    /// The same for reads of chains: histories, transitions, the outbox [default: 600]
    #[arg(long, value_name = "N", env = "DSM_LIMIT_CHAIN_READ")]
    pub(crate) limit_chain_read: Option<u32>,
    /// The same for event streams [default: 300]
    #[arg(long, value_name = "N", env = "DSM_LIMIT_EVENTS")]
    pub(crate) limit_events: Option<u32>,
    /// Serve only these routes, by their operationId in the OpenAPI document; Health and Ready always [default: all]
    #[arg(long, value_name = "NAMES", env = "DSM_ALLOW_METHODS", value_delimiter = ',')]
    pub(crate) allow_methods: Vec<String>,
    /// Serve the API over TLS 1.3 with this certificate, in PEM, with those that lead from it to an authority behind it
    #[arg(long, value_name = "FILE", env = "DSM_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", env = "DSM_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// The name of a network that this start creates
    #[arg(long, value_name = "NAME", env = "DSM_NETWORK_NAME", default_value = "dsm")]
    network_name: String,
    /// Accept signatures of Dilithium3, for keys older than the standard
    #[arg(long, env = "DSM_ACCEPT_DILITHIUM3")]
    accept_dilithium3: bool,
    /// Where to open the QUIC socket for storage nodes; port 0 picks a free one, `none` does without replication
    #[arg(long, value_name = "ADDRESS", env = "DSM_P2P", default_value = "127.0.0.1:8765")]
    p2p: String,
    /// A storage node of the first topology, HOST:PORT=KEY or with --peer-keys HOST:PORT, the primary first; passed over
    /// once there is a topology
    #[arg(long = "peer", value_name = "PEER", env = "DSM_CONNECT_PEERS", value_delimiter = ',')]
    peers: Vec<String>,
    /// A folder with files HOST.pub, or a file with lines of HOST:PORT and a key: storage nodes that may be named by
    /// their address alone
    #[arg(long, value_name = "FILE", env = "DSM_PEER_KEYS")]
    peer_keys: Option<PathBuf>,
    /// How far a transition must be durable before it is answered: local, primary or replicated:N
    #[arg(long, value_name = "LEVEL", env = "DSM_NODE_DURABILITY", default_value = "local")]
    pub(crate) durability: Durability,
    /// How long a submission waits for its level before it is answered `not_replicated`, in ms
    #[arg(long, value_name = "MS", env = "DSM_DURABILITY_WAIT", default_value_t = 5000)]
    pub(crate) durability_wait: u64,
    /// How long to wait for storage nodes after a start before writing without having heard from them, in ms
    #[arg(long, value_name = "MS", env = "DSM_LEAD_WAIT", default_value_t = 10_000)]
    lead_wait: u64,
    /// Replace a primary that was silent for so long, in ms, with three storage nodes or more; 0 never does
    #[arg(long, value_name = "MS", env = "DSM_FAILOVER", default_value_t = 2000)]
    failover: u64,
}

/// A copy of the node's key, or its public half.
#[derive(Serialize)]
struct KeyShown {
    key: dsm_abi::KeyId,
    file: Option<PathBuf>,
    public_key: Hex,
}

impl Show for KeyShown {
    fn text(&self) -> String {
        let file = self.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
        rows([("key", self.key.to_string()), ("public key", hex::encode(&self.public_key.0)), ("file", file)])
    }
}

fn key(session: &Session, verb: &KeyVerb) -> Result<(), Failure> {
    let failed = |path: &PathBuf| {
        let path = path.clone();
        move |error: std::io::Error| file_failure(&path, &error)
    };
    match verb {
        KeyVerb::Export { data, to } => {
            let from = data.join("node.key");
            let keystore = Keystore::read(&from)?;
            keystore.create(to)?;
            let key = dsm_host::node::public_key(data)?;
            session.show(&KeyShown { key: key.id(), file: Some(to.clone()), public_key: Hex(key.bytes) })
        }
        KeyVerb::Public { data, to } => {
            let key = dsm_host::node::public_key(data)?;
            if let Some(to) = to {
                std::fs::write(to, hex::encode(&key.bytes)).map_err(failed(to))?;
            }
            session.show(&KeyShown { key: key.id(), file: to.clone(), public_key: Hex(key.bytes) })
        }
    }
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
    p2p: Option<SocketAddr>,
    p2p_key: Option<Hex>,
    epoch: u64,
    version: &'static str,
}

impl Show for Banner {
    fn text(&self) -> String {
        let text = rows([
            ("network", format!("{} ({})", self.network, self.network_name)),
            ("node key", self.node_key.key.to_string()),
            ("data", format!("{}, {} records", self.data.display(), self.position)),
            ("engine", self.engine_profile.to_string()),
            (
                "P2P",
                self.p2p.map_or_else(|| "off".into(), |address| format!("{address}, epoch {}", self.epoch)),
            ),
            ("API", self.url.clone()),
        ]);
        format!("DSM core node {}\n{text}", self.version)
    }
}

/// Runs a node until SIGINT or SIGTERM.
pub(crate) fn run(session: &Session, args: &NodeArgs, layers: Option<Layers>) -> Result<(), Failure> {
    if let Some(NodeVerb::Key(verb)) = &args.verb {
        return key(session, verb);
    }
    let args = &args.run;
    let layers = layers.expect("the words of a node that runs are read with its file");
    let logs = Logs::start(&LogConfig {
        service: "dsm-core",
        level: args.log_level,
        format: args.log_format,
        file: args.log_file.clone(),
        request: dsm_host::api::request_id,
    })?;
    let runtime = runtime()?;
    let tls = tls(args)?;
    let mut serving = Serving::bind(&runtime, &args.listen)?;
    serving.tls = tls.is_some();
    let own_key = draw_own()?;
    let loopback = serving.address.ip().is_loopback();
    // Before anything is opened: who gets in has to be known.
    let (rules, _) = rules(args, loopback, &own_key.kept)?;
    let mut config = NodeConfig::new(&args.data);
    config.network_name.clone_from(&args.network_name);
    config.accept_dilithium3 = args.accept_dilithium3;
    config.engine.compiler = compiler();
    config.durability = args.durability;
    config.durability_wait = Duration::from_millis(args.durability_wait);
    config.policy_cache_size = args.policy_cache_size;
    config.policy_ttl_s = args.policy_ttl;
    let replication = replication(args)?;
    let node = Node::open(config)?;
    let audit = Audit::open(&args.data.join("audit.log"))?;
    let access = Access::new(rules, serving.address.ip(), SystemWatch::default(), Some(audit.clone()))?;
    let replication = match replication {
        Some(config) => {
            let _inside = runtime.enter();
            Some(Replication::start(&node, config)?)
        }
        None => None,
    };
    let running = Arc::new(Running {
        node: node.clone(),
        access: access.clone(),
        logs,
        file: layers.file,
        own_key: own_key.kept,
        loopback,
        state: Mutex::new(State { run: args.clone(), settings: layers.settings }),
    });
    let own_file = OwnKeyFile::write(&args.data, &own_key.text, &serving.url())?;
    let status = node.status();
    let banner = Banner {
        url: serving.url(),
        network: status.network,
        network_name: status.network_name,
        node_key: KeyView::new(&node.genesis().node, 0),
        data: args.data.clone(),
        engine_profile: status.engine_profile,
        position: status.position,
        p2p: replication.as_ref().map(Replication::listen),
        p2p_key: replication.as_ref().map(|replication| Hex(replication.key().to_vec())),
        epoch: replication.as_ref().and_then(Replication::view).map_or(0, |view| view.epoch),
        version: status.version,
    };
    if session.globals.json {
        let text = serde_json::to_string(&banner).map_err(|error| Failure::integrity("json", error))?;
        super::show::line(&text);
    } else {
        show(false, &banner)?;
    }
    runtime.spawn(reload(Arc::clone(&running)));
    let config = ApiConfig { access, settings: Some(running), tls };
    serving.run_with(&runtime, node.clone(), config)?;
    drop(own_file);
    audit.close();
    if let Some(replication) = replication {
        runtime.block_on(replication.close());
    }
    Ok(node.close()?)
}

/// The certificate of the API, if it has one.
fn tls(args: &RunArgs) -> Result<Option<Acceptor>, Failure> {
    let (certificate, key) = match (&args.tls_cert, &args.tls_key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) | (None, Some(_)) => {
            return Err(Failure::usage("--tls-cert and --tls-key belong together")
                .help("name the certificate and its private key, both in PEM"));
        }
    };
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| file_failure(path, &error));
    let key = Zeroizing::new(read(key)?);
    let acceptor = Acceptor::from_pem(&read(certificate)?, &key);
    Ok(Some(acceptor.map_err(|error| {
        Failure::new(Exit::Usage, error.code(), &error)
            .help(format!("check {}: PEM files, the server's own certificate first", certificate.display()))
    })?))
}

/// What replication is told; nothing if there is to be none.
fn replication(args: &RunArgs) -> Result<Option<ReplicationConfig>, Failure> {
    if args.p2p == "none" {
        return Ok(None);
    }
    let mut config = ReplicationConfig::new(&args.data);
    config.listen = p2p(&args.p2p)?;
    config.known = args.peer_keys.as_deref().map(peer_keys).transpose()?.unwrap_or_default();
    for text in args.peers.iter().filter(|text| !text.is_empty()) {
        config.first.push(listed_peer(text, args.peer_keys.as_deref())?);
    }
    config.lead_wait = Some(Duration::from_millis(args.lead_wait));
    config.failover = (args.failover > 0).then(|| Duration::from_millis(args.failover));
    Ok(Some(config))
}

fn p2p(text: &str) -> Result<SocketAddr, Failure> {
    dsm_settings::address(text).map_err(|error| {
        let help = AddressError::help("0.0.0.0:8765");
        Failure::usage(format!("--p2p: {error}")).help(format!("{help}; `none` does without replication"))
    })
}

fn listen(text: &str) -> Result<Vec<SocketAddr>, Failure> {
    dsm_settings::addresses(text).map_err(|error| {
        Failure::usage(format!("--listen: {error}")).help(AddressError::help("127.0.0.1:7545"))
    })
}

impl RunArgs {
    /// Whether a node could start with these settings, as far as that shows without its files.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        listen(&self.listen)?;
        if self.p2p != "none" {
            p2p(&self.p2p)?;
        }
        Ok(())
    }
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
    tls: bool,
}

impl Serving {
    pub(crate) fn bind(runtime: &Runtime, text: &str) -> Result<Serving, Failure> {
        let addresses = listen(text)?;
        let bound = runtime.block_on(TcpListener::bind(&addresses[..]));
        let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| {
            Failure::new(Exit::Refused, "listen", format!("{text} cannot be listened on: {error}"))
                .help("choose another address with --listen HOST:PORT; port 0 picks a free one")
        })?;
        Ok(Serving { listener, address, tls: false })
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// Serves the API until `end` does, then finishes the requests on their way.
    pub(crate) async fn serve(
        self,
        node: Node,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        dsm_host::api::serve(node, self.listener, end).await
    }

    /// Serves the API to this machine until SIGINT or SIGTERM, then finishes the requests on their way.
    pub(crate) fn run(self, runtime: &Runtime, node: Node) -> Result<(), Failure> {
        let served = runtime.block_on(dsm_host::api::serve(node, self.listener, shutdown()));
        served.map_err(|error| Failure::refused("listen", format!("the API ended: {error}")))
    }

    /// The same with rules at its door.
    fn run_with(self, runtime: &Runtime, node: Node, config: ApiConfig) -> Result<(), Failure> {
        let served = runtime.block_on(dsm_host::api::serve_with(node, self.listener, config, shutdown()));
        served.map_err(|error| Failure::refused("listen", format!("the API ended: {error}")))
    }
}

/// Reads keys and secrets again with each SIGHUP.
async fn reload(running: Arc<Running>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        let running = Arc::clone(&running);
        let read = tokio::task::spawn_blocking(move || running.change(&ConfigRequest::default())).await;
        match read {
            Ok(Ok(changed)) => tracing::info!(keys = changed.keys, "keys and secrets were read again"),
            Ok(Err(error)) => tracing::error!(%error, "the keys stay as they were"),
            Err(error) => tracing::error!(%error, "the keys stay as they were"),
        }
    }
}

/// Ends with the first SIGINT or SIGTERM.
pub(crate) async fn shutdown() {
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
