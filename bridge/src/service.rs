//! The running service: its state, the relayer's thread, and the two sockets.

use crate::attest::{Attestor, Attestors, HttpAttestors, Outbox};
use crate::config::ServiceConfig;
use crate::door::Door;
use crate::dsm::{Dsm, DsmError, HttpDsm};
use crate::evm::{Address, Evm};
use crate::metrics::Metrics;
use crate::relayer::{Gas, Progress, Relayer, RelayerParts};
use crate::rpc::RpcEvm;
use crate::state::{Faults, StateError, Store};
use crate::writer::Writer;
use crate::{admin, http};
use dsm_abi::AccountId;
use dsm_core::{BridgeConfig, BridgeConfigError};
use dsm_crypto::LastSignedError;
use dsm_evm_proof::EvmLockProof;
use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// The state's file in the data directory.
const STATE_FILE: &str = "bridge.redb";
/// The record of what the relayer's account signed.
const RECORD_FILE: &str = "relayer.last-signed";
/// Requests that wait for the relayer's thread.
const JOBS_MAX: usize = 64;
/// The shortest token of an admin: it is guessed over a socket without a limit of tries.
const TOKEN_CHARS_MIN: usize = 16;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory or file cannot be used.
    #[error("{}: {source}", .path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The directory has another bridge's state.
    #[error("{} belongs to another bridge", .0.display())]
    OtherBridge(PathBuf),
    /// The last-signed record.
    #[error("the relayer's last-signed record: {0}")]
    Record(#[from] LastSignedError),
    /// The configuration makes no bridge.
    #[error("the bridge's terms: {0}")]
    Terms(#[from] BridgeConfigError),
    /// A setting makes no sense.
    #[error("{0}")]
    Setting(String),
    /// An endpoint serves another chain.
    #[error("{endpoint} serves chain {got}, but the bridge is of chain {expected}")]
    OtherChain {
        /// The endpoint.
        endpoint: String,
        /// The bridge's chain.
        expected: u64,
        /// The endpoint's.
        got: u64,
    },
    /// The core node's address.
    #[error(transparent)]
    Core(#[from] DsmError),
    /// An address cannot be listened on.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("threads could not be started: {0}")]
    Thread(io::Error),
}

impl OpenError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            OpenError::Disk { .. } => "directory",
            OpenError::State(_) => "state",
            OpenError::OtherBridge(_) => "other_bridge",
            OpenError::Record(_) => "last_signed",
            OpenError::Terms(_) => "terms",
            OpenError::Setting(_) => "setting",
            OpenError::OtherChain { .. } => "other_chain",
            OpenError::Core(_) => "core",
            OpenError::Listen { .. } => "listen",
            OpenError::Thread(_) => "thread",
        }
    }
}

/// What tests bring in place of the world: chains of their own, and points at which the service dies.
#[derive(Default)]
pub struct World {
    /// The EVM side in place of JSON-RPC.
    pub evm: Option<Arc<dyn Evm>>,
    /// The DSM side in place of a core node.
    pub dsm: Option<Arc<dyn Dsm>>,
    /// The attestors in place of those in the configuration.
    pub attestors: Option<Arc<dyn Attestors>>,
    /// Points at which the service dies.
    pub faults: Option<Arc<dyn Faults>>,
}

/// What the relayer's thread is asked to do between two turns.
pub(crate) enum Job {
    /// Carry a proof on.
    Credit(Box<EvmLockProof>, oneshot::Sender<Result<(), String>>),
    /// A turn, now.
    Turn,
}

/// What the sockets and the relayer share.
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) evm: Arc<dyn Evm>,
    pub(crate) rpc: Option<Arc<RpcEvm>>,
    pub(crate) dsm: Arc<dyn Dsm>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) attestor: Option<Attestor>,
    pub(crate) jobs: Option<SyncSender<Job>>,
    pub(crate) terms: BridgeConfig,
    pub(crate) progress: Arc<Mutex<Progress>>,
    pub(crate) metrics: Metrics,
    pub(crate) account: Option<AccountId>,
    pub(crate) gas_account: Option<Address>,
    pub(crate) poll: Duration,
    pub(crate) started: Instant,
    pub(crate) ended: watch::Receiver<Option<String>>,
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A running service.
pub struct Bridge {
    shared: Arc<Shared>,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    worker: Option<std::thread::JoinHandle<()>>,
}

impl Bridge {
    /// Starts a service.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::OtherChain`] names the chain expected and the chain got.
    pub async fn open(config: ServiceConfig) -> Result<Bridge, OpenError> {
        Bridge::open_in(config, World::default()).await
    }

    /// Starts a service in a world of the caller's.
    ///
    /// # Errors
    /// As [`Bridge::open`].
    pub async fn open_in(config: ServiceConfig, world: World) -> Result<Bridge, OpenError> {
        config.terms.check(config.terms.network)?;
        let store = open_store(&config, world.faults)?;
        let rpc = match world.evm {
            Some(_) => None,
            None => Some(Arc::new(connect(&config).await?)),
        };
        let evm = match (world.evm, &rpc) {
            (Some(evm), _) => evm,
            (None, Some(rpc)) => Arc::clone(rpc) as Arc<dyn Evm>,
            (None, None) => return Err(OpenError::Setting("no endpoint is given".to_owned())),
        };
        let dsm: Arc<dyn Dsm> = match world.dsm {
            Some(dsm) => dsm,
            None => {
                let core = HttpDsm::new(&config.core, config.terms.clone())?;
                Arc::new(match &config.core_key {
                    Some(key) => core.with_credential(key),
                    None => core,
                })
            }
        };
        let outbox = Arc::new(Outbox::open(Arc::clone(&dsm), Arc::clone(&store), config.terms.clone())?);
        let listener = bind(config.listen).await?;
        let address = local(&listener, config.listen)?;
        let back_door = match (config.admin, &config.admin_token) {
            (None, _) => None,
            (Some(address), Some(token)) if address.ip().is_loopback() && token.len() >= TOKEN_CHARS_MIN => {
                let listener = bind(address).await?;
                Some((local(&listener, address)?, listener, token.clone()))
            }
            (Some(_), _) => {
                let rule = format!(
                    "the admin's socket is a loopback address with a token of {TOKEN_CHARS_MIN} characters or more"
                );
                return Err(OpenError::Setting(rule));
            }
        };

        let progress = Arc::new(Mutex::new(Progress::default()));
        let attestor = config.attestor.map(|attestor| Attestor {
            config: attestor,
            terms: config.terms.clone(),
            evm: Arc::clone(&evm),
            dsm: Arc::clone(&dsm),
            store: Arc::clone(&store),
            outbox: Arc::clone(&outbox),
            last: Mutex::default(),
            node_key: Mutex::default(),
        });
        let (end, ended) = watch::channel(None);
        let (stop, stopping) = watch::channel(false);
        let (mut account, mut gas_account, mut jobs, mut relayer) = (None, None, None, None);
        if let Some(role) = config.relayer {
            let record = config.data.join(RECORD_FILE);
            let writer = Writer::open(config.terms.network, role.account_key, &record)?;
            let attestors: Arc<dyn Attestors> = match world.attestors {
                Some(attestors) => attestors,
                None => {
                    let found = HttpAttestors::new(&role.attestors, role.attestation);
                    Arc::new(found.map_err(|reason| OpenError::Setting(format!("attestors: {reason}")))?)
                }
            };
            let gas = Gas {
                key: role.gas_key,
                chain_id: config.terms.chain_id,
                price_max: role.gas_price_max,
                bump_after_ms: role.bump_after.as_millis() as u64,
            };
            account = Some(writer.account());
            gas_account = Some(gas.address());
            let (sender, receiver) = sync_channel(JOBS_MAX);
            jobs = Some(sender);
            let parts = RelayerParts {
                evm: Arc::clone(&evm),
                dsm: Arc::clone(&dsm),
                store: Arc::clone(&store),
                attestors,
                terms: config.terms.clone(),
                writer,
                gas,
                release: role.release,
                first_block: config.first_block,
                progress: Arc::clone(&progress),
                outbox: Arc::clone(&outbox),
            };
            relayer = Some((Relayer::new(parts), receiver));
        }
        let shared = Arc::new(Shared {
            store,
            evm,
            rpc,
            dsm,
            outbox,
            attestor,
            jobs,
            terms: config.terms,
            progress,
            metrics: Metrics::default(),
            account,
            gas_account,
            poll: config.poll,
            started: Instant::now(),
            ended,
        });
        let worker = match relayer {
            Some((relayer, jobs)) => {
                let (poll, stopping) = (config.poll, stopping.clone());
                let worker = std::thread::Builder::new().name("dsm-relayer".to_owned());
                let work = move || run(relayer, &jobs, poll, &stopping, &end);
                Some(worker.spawn(work).map_err(OpenError::Thread)?)
            }
            None => None,
        };
        let door = Door::new(config.door, config.door_source);
        let mut servers =
            vec![tokio::spawn(http::serve(Arc::clone(&shared), door, listener, stopping.clone()))];
        let admin = back_door.map(|(address, listener, token)| {
            servers.push(tokio::spawn(admin::serve(Arc::clone(&shared), listener, token, stopping)));
            address
        });
        Ok(Bridge { shared, address, admin, stop, servers, worker })
    }

    /// Where the service listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin's commands are taken.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// How the service does.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn status(&self) -> Result<crate::api::StatusView, StateError> {
        http::status(&self.shared)
    }

    /// Waits until the relayer has ended by itself, and tells why. Without a relayer it never returns.
    pub async fn ended(&self) -> String {
        let mut ended = self.shared.ended.clone();
        loop {
            if let Some(reason) = ended.borrow().clone() {
                return reason;
            }
            if ended.changed().await.is_err() {
                // No relayer, or its thread is gone without a reason: then nothing can be told any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends the service: the turn under way comes to its end, then everything stops.
    pub async fn close(mut self) {
        self.stop.send_replace(true);
        if let Some(jobs) = &self.shared.jobs {
            // If the queue is full the worker is awake anyway.
            drop(jobs.try_send(Job::Turn));
        }
        if let Some(worker) = self.worker.take() {
            let joined = tokio::task::spawn_blocking(move || worker.join().is_ok()).await;
            if !matches!(joined, Ok(true)) {
                tracing::error!("the relayer's thread has panicked");
            }
        }
        for server in self.servers.drain(..) {
            drop(server.await);
        }
    }
}

fn open_store(config: &ServiceConfig, faults: Option<Arc<dyn Faults>>) -> Result<Arc<Store>, OpenError> {
    let disk = |source| OpenError::Disk { path: config.data.clone(), source };
    std::fs::create_dir_all(&config.data).map_err(disk)?;
    let store = Store::open(&config.data.join(STATE_FILE))?;
    let id = config.terms.id().0;
    match store.identity()? {
        Some(found) if found != id => return Err(OpenError::OtherBridge(config.data.clone())),
        Some(_) => {}
        None => store.step("identity.before", "identity.after", |step| step.put_identity(&id))?,
    }
    Ok(Arc::new(match faults {
        Some(faults) => store.with_faults(faults),
        None => store,
    }))
}

/// The endpoints. One that serves another chain stops the start; one that does not answer does not.
async fn connect(config: &ServiceConfig) -> Result<RpcEvm, OpenError> {
    let rpc = RpcEvm::new(
        &config.ethereum_rpc,
        config.terms.chain_id,
        config.terms.contract,
        config.finality,
        config.agreement,
        config.patience,
    )
    .map_err(|reason| OpenError::Setting(format!("ethereum_rpc: {reason}")))?;
    let expected = config.terms.chain_id;
    let asked = tokio::task::spawn_blocking(move || {
        let findings = rpc.identify();
        (rpc, findings)
    });
    let (rpc, findings) = asked.await.map_err(|error| OpenError::Thread(io::Error::other(error)))?;
    for finding in findings {
        match finding.chain_id {
            Ok(got) if got != expected => {
                return Err(OpenError::OtherChain { endpoint: finding.endpoint, expected, got });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(endpoint = finding.endpoint, %error, "an endpoint does not answer yet")
            }
        }
    }
    Ok(rpc)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, OpenError> {
    TcpListener::bind(address).await.map_err(|source| OpenError::Listen { address, source })
}

fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, OpenError> {
    listener.local_addr().map_err(|source| OpenError::Listen { address, source })
}

/// The relayer's thread.
fn run(
    mut relayer: Relayer,
    jobs: &Receiver<Job>,
    poll: Duration,
    stopping: &watch::Receiver<bool>,
    end: &watch::Sender<Option<String>>,
) {
    let outcome = loop {
        // A service that was dropped without being closed has stopped as well.
        if *stopping.borrow() || stopping.has_changed().is_err() {
            break Ok(());
        }
        if let Err(error) = relayer.turn(now_ms()) {
            break Err(error);
        }
        let next = Instant::now() + poll;
        let mut told = Ok(());
        while let Ok(Job::Credit(proof, answer)) =
            jobs.recv_timeout(next.saturating_duration_since(Instant::now()))
        {
            let outcome = relayer.credit(now_ms(), &proof);
            let stalled = relayer.progress.lock().stalls.get("locks").cloned();
            // Whoever asked may have gone.
            drop(answer.send(stalled.map_or(Ok(()), Err)));
            if outcome.is_err() {
                told = outcome;
                break;
            }
        }
        if let Err(error) = told {
            break Err(error);
        }
    };
    if let Err(error) = outcome {
        tracing::error!(%error, "the relayer has ended");
        end.send_replace(Some(error.to_string()));
    }
}

/// Reads a key of the EVM chain: 64 hexadecimal digits in a file that only its owner can read.
///
/// # Errors
/// A sentence without the key.
pub fn read_evm_key(path: &Path) -> Result<dsm_crypto::Secp256k1Key, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "{}: others can read it (mode {:o}); make it 0600",
            path.display(),
            mode & 0o777
        ));
    }
    let text = dsm_crypto::Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    let digits = text.trim();
    let bytes = hex::decode(digits.strip_prefix("0x").unwrap_or(digits)).map(dsm_crypto::Zeroizing::new);
    let key = bytes.ok().and_then(|bytes| dsm_crypto::Secp256k1Key::from_secret_bytes(&bytes).ok());
    key.ok_or_else(|| format!("{}: not a key of 64 hexadecimal digits", path.display()))
}
