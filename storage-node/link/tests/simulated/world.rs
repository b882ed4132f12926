//! What all hosts of a simulated cluster share: their disks, which outlive them, and what must always be true.

use crate::network::{Chance, Weather};
use dsm_abi::{NetworkId, Suite};
use dsm_core::PublicKey;
use dsm_crypto::{SecretKey, Signer as _};
use dsm_link::{Connection, FrameReceiver, FrameSender};
use dsm_proto::{ConnectionId, Head, Member, Micros, NodeId, Promise, SignedTopology, Topology};
use dsm_store::disk::{Crash, MemoryDisk};
use dsm_store::{Disk, Log, LogConfig};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;

/// Storage nodes; the core node is number 0.
pub(crate) const STORAGE: usize = 3;

/// A bug switched on, which the checks have to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// Storage nodes report records durable before the sync.
    AckBeforeSync,
    /// Storage nodes report a promise durable that they only have in memory.
    PromiseInMemory,
    /// Storage nodes give the file with their promise its name and do not sync the directory.
    NameNotSynced,
}

/// The disks of one host: its log, and its small files.
#[derive(Clone, Default)]
pub(crate) struct Disks {
    pub(crate) log: MemoryDisk,
    pub(crate) files: MemoryDisk,
}

impl Disks {
    pub(crate) fn crash(&self, crash: Crash) -> Disks {
        Disks { log: self.log.crash(crash), files: self.files.crash(crash) }
    }

    pub(crate) fn open(&self) -> Log {
        Log::open(Arc::new(self.log.clone()), LogConfig::new(7)).expect("a crash leaves a log that opens").0
    }

    /// Whether the log would still have `head` if the power failed now.
    pub(crate) fn holds(&self, head: &Head) -> bool {
        let log = self.crash(Crash::LostUnsynced).open();
        *head == Head::EMPTY
            || log.reader().digest_at(head.position).is_ok_and(|found| found == head.digest.0)
    }

    /// Replaces a small file, durably.
    pub(crate) fn write(&self, name: &str, value: &impl borsh::BorshSerialize) {
        self.write_unnamed(name, value);
        self.files.sync_dir().unwrap();
    }

    /// The same as far as a loss of power may undo it.
    pub(crate) fn write_unnamed(&self, name: &str, value: &impl borsh::BorshSerialize) {
        let _ = self.files.remove("new");
        let file = self.files.create("new").unwrap();
        file.write_at(&borsh::to_vec(value).unwrap(), 0).unwrap();
        file.sync_data().unwrap();
        self.files.rename("new", name).unwrap();
    }

    pub(crate) fn read<T: borsh::BorshDeserialize>(&self, name: &str) -> Option<T> {
        let file = self.files.open(name).ok()?;
        let mut bytes = vec![0; file.size().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        Some(borsh::from_slice(&bytes).expect("the file was renamed when it was whole"))
    }
}

/// The file of a storage node with its [`Promise`].
pub(crate) const PROMISE: &str = "promise";
/// The file of the core node with its [`SignedTopology`].
pub(crate) const TOPOLOGY: &str = "topology";
/// The file of the core node with the epoch that was established.
pub(crate) const ESTABLISHED: &str = "established";

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) planted: Planted,
    pub(crate) weather: Weather,
    pub(crate) keys: Arc<Vec<SecretKey>>,
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    pub(crate) disks: Vec<Disks>,
    /// The highest head that each host reported durable to others.
    pub(crate) claimed: Vec<Head>,
    /// The core node writes nothing more.
    pub(crate) quiet: bool,
    pub(crate) heads: Vec<Head>,
    pub(crate) violations: Vec<String>,
    pub(crate) acks: u64,
    pub(crate) starts: Vec<u64>,
    pub(crate) promotions: u64,
    /// The highest position that was granted a level beyond the core's own disk.
    pub(crate) granted: u64,
}

impl World {
    pub(crate) fn new(seed: u64, planted: Planted) -> World {
        // The core node's key is hybrid: its ML-DSA-65 half is its transport identity.
        let mut keys = vec![SecretKey::ed25519_ml_dsa_65(&[90; 32], &[91; 32]).unwrap()];
        keys.extend((1..=STORAGE).map(|number| SecretKey::ml_dsa_65(&[number as u8; 32]).unwrap()));
        let state = State {
            disks: vec![Disks::default(); STORAGE + 1],
            claimed: vec![Head::EMPTY; STORAGE + 1],
            quiet: false,
            heads: vec![Head::EMPTY; STORAGE + 1],
            violations: Vec::new(),
            acks: 0,
            starts: vec![0; STORAGE + 1],
            promotions: 0,
            granted: 0,
        };
        let world = World {
            seed,
            planted,
            weather: Weather::new(seed),
            keys: Arc::new(keys),
            state: Arc::new(Mutex::new(state)),
        };
        world.disks(0).write(TOPOLOGY, &world.sign(world.first_topology()));
        world
    }

    fn first_topology(&self) -> Topology {
        let members = (1..=STORAGE).map(|host| {
            Member::new(self.keys[host].public_key().to_vec(), format!("{}:8766", name(host))).unwrap()
        });
        Topology::new(network(), 1, [1; 32], self.node(1), members.collect()).unwrap()
    }

    pub(crate) fn sign(&self, topology: Topology) -> SignedTopology {
        let signature = self.keys[0].sign(&topology.signing_message(self.core().suite)).unwrap();
        SignedTopology { topology, signature }
    }

    pub(crate) fn core(&self) -> PublicKey {
        PublicKey { suite: Suite::Ed25519MlDsa65, bytes: self.keys[0].public_key().to_vec() }
    }

    pub(crate) fn node(&self, host: usize) -> NodeId {
        NodeId::of(self.keys[host].public_key())
    }

    pub(crate) fn host(&self, node: NodeId) -> usize {
        (1..=STORAGE).find(|host| self.node(*host) == node).expect("a member")
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn disks(&self, host: usize) -> Disks {
        self.state().disks[host].clone()
    }

    pub(crate) fn violated(&self, what: String) {
        self.state().violations.push(what);
    }

    /// A host starts over its disks: what it claimed to have must be there.
    pub(crate) fn started(&self, host: usize) -> (Disks, Log, Head, Chance) {
        let disks = self.disks(host);
        let log = disks.open();
        let (position, digest) = log.head();
        let head = Head { position, digest: dsm_abi::Digest(digest) };
        let claimed = self.state().claimed[host];
        if !disks.holds(&claimed) {
            self.violated(format!("{} lost {claimed:?}, which it had acked; it has {head:?}", name(host)));
        }
        let mut state = self.state();
        state.starts[host] += 1;
        state.heads[host] = head;
        let chance = Chance::new(self.seed, &format!("{} {}", name(host), state.starts[host]));
        (disks, log, head, chance)
    }

    /// An ack of `host` arrived: what it says must be true now, whatever happens next.
    pub(crate) fn acked(&self, host: usize, head: Head) {
        if !self.disks(host).holds(&head) {
            self.violated(format!("{} acked {head:?} and would not survive a loss of power", name(host)));
        }
        let mut state = self.state();
        state.acks += 1;
        if head.position > state.claimed[host].position {
            state.claimed[host] = head;
        }
    }

    /// After everything healed: every disk has what was ever acked with it, and the end of the core node's log.
    pub(crate) fn finished(&self) {
        let state = self.state();
        let (heads, claimed, granted) = (state.heads.clone(), state.claimed.clone(), state.granted);
        drop(state);
        for (host, claimed) in claimed.iter().enumerate() {
            let disks = self.disks(host);
            if !disks.holds(claimed) || !disks.holds(&heads[0]) {
                self.violated(format!("in the end {} lacks {claimed:?} or {:?}", name(host), heads[0]));
            }
        }
        if granted > heads[0].position {
            self.violated(format!("a level was granted at {granted}, and the log ends at {:?}", heads[0]));
        }
    }

    /// Levels count from now on: so many promises must be durable.
    pub(crate) fn established(&self, topology: &Topology) {
        let promised = |host: &usize| {
            let promise: Option<Promise> = self.disks(*host).crash(Crash::LostUnsynced).read(PROMISE);
            promise.is_some_and(|promise| promise.topology.topology.epoch() >= topology.epoch())
        };
        let count = (1..=STORAGE).filter(promised).count();
        if count < topology.majority() {
            let epoch = topology.epoch();
            self.violated(format!("epoch {epoch} is called established with {count} durable promises"));
        }
    }
}

/// The name of a host in the simulated network.
pub(crate) fn name(host: usize) -> &'static str {
    ["core", "storage-1", "storage-2", "storage-3"][host]
}

pub(crate) fn network() -> NetworkId {
    NetworkId([5; 32])
}

/// Virtual time since the simulation began.
pub(crate) fn now() -> Micros {
    let elapsed = turmoil::sim_elapsed().expect("only hosts ask");
    Micros(elapsed.as_micros() as u64)
}

/// Until the first of these times.
pub(crate) async fn until(times: [Option<Micros>; 3]) {
    match times.into_iter().flatten().min() {
        Some(at) => tokio::time::sleep(Duration::from_micros(at.since(now()).0)).await,
        None => std::future::pending().await,
    }
}

/// What the tasks of a host tell its loop.
pub(crate) enum Event {
    Connected(NodeId, ConnectionId, Outbox),
    Frame(NodeId, ConnectionId, Vec<u8>),
    Disconnected(NodeId, ConnectionId),
}

/// The frames that go out on one connection.
pub(crate) struct Outbox {
    frames: mpsc::UnboundedSender<Vec<u8>>,
    connection: Connection,
}

impl Outbox {
    pub(crate) fn send(&self, frame: &dsm_proto::Frame) {
        // The other end may have gone; the loop is about to hear of it.
        let _ = self.frames.send(frame.encode());
    }

    /// Closes the connection after what was sent.
    pub(crate) fn close(self) {
        let Outbox { frames, connection } = self;
        drop(frames);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            connection.close(dsm_link::close::PROTOCOL, "refused");
        });
    }
}

/// Carries frames between a stream and the loop until one of them ends.
pub(crate) async fn carry(
    id: ConnectionId,
    connection: Connection,
    (mut sender, mut receiver): (FrameSender, FrameReceiver),
    events: mpsc::UnboundedSender<Event>,
) {
    let peer = NodeId(connection.peer().0);
    let (frames, mut outgoing) = mpsc::unbounded_channel::<Vec<u8>>();
    let _ = events.send(Event::Connected(peer, id, Outbox { frames, connection: connection.clone() }));
    tokio::spawn(async move {
        while let Some(frame) = outgoing.recv().await {
            if sender.send(frame).await.is_err() {
                return;
            }
        }
        sender.finish();
    });
    while let Ok(frame) = receiver.recv().await {
        let _ = events.send(Event::Frame(peer, id, frame));
    }
    connection.close(dsm_link::close::DONE, "");
    let _ = events.send(Event::Disconnected(peer, id));
}
