//! A whole cluster in one thread, driven by a seed: core nodes, storage nodes, their disks, the network between them.
//!
//! Time is an event heap. The protocol's own code runs in it; what surrounds it is as unkind as the seed wants: frames
//! are lost, doubled, delayed and reordered, links break in one direction or both, nodes crash and lose what was not
//! synced, disks flip bits, fail, fill up and dawdle, processes pause, a second core node is restored while the first
//! still runs, a storage node lies. An oracle outside of it all checks every acknowledgement when it is given. Then
//! everything is healed, and the logs have to become equal.
//!
//! The simulator is tested by planting bugs: [`Bug`] lists them, and each has to be found.

mod cores;
mod disk;
mod network;
mod nodes;
mod oracle;
mod random;
mod world;

use crate::Micros;
use alloc::string::String;

pub use oracle::Violation;

/// A bug that the simulator has to find. Those of the protocol are compiled in with the feature `sim` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// Follower: takes records from a writer whose epoch is over.
    LostFence,
    /// Follower: welcomes before its promise is durable.
    AnswersBeforePersisting,
    /// Follower: nacks everything that does not fit, without a limit.
    NackStorm,
    /// Follower: sets aside what was written in the same epoch.
    SetsAsideItsOwnEpoch,
    /// Follower: appends a frame that overlaps its log as if it did not.
    AppendsTwice,
    /// Leader: promotes a candidate that lacks acknowledged records.
    PromotesTooEarly,
    /// Leader: counts acks before a majority promised the epoch.
    CountsBeforeEstablished,
    /// Leader: counts a peer that was caught lying.
    CountsLiars,
    /// Leader: sends without a window.
    IgnoresTheWindow,
    /// Leader: resends as often as it is asked to.
    ResendStorm,
    /// Leader: does not verify the signatures of acks.
    SkipsSignatures,
    /// Leader: does not compare the digest of an ack with its log.
    IgnoresTheDigest,
    /// Leader: counts what was sent as durable when it is heard of in a heartbeat's answer.
    TrustsHeartbeats,
    /// Fetching: takes an answer without hashing it.
    BelievesFetched,
    /// Storage node: reports records durable when they are written, not synced.
    AcksBeforeSync,
    /// Storage node: signs another digest than its log has.
    AcksAnotherHash,
    /// Storage node: goes on after a failed sync as if the next one could repair it.
    RetriesFsync,
    /// Storage node: reports its promise durable without a sync.
    PromisesWithoutSync,
    /// Storage node: takes what it finds after a crash for durable.
    KeepsTornTail,
    /// Storage and core node: serves records without hashing them.
    ServesRotten,
    /// Core node, restored: accepts before the primary and a majority promised.
    LeadsUnconfirmed,
    /// Leader: has what it never compared set aside, when its own log grew during the comparison.
    ForgetsThatItGrew,
    /// Leader: counts an epoch before it has seen that the primary holds nothing more.
    CountsUnseenPrimary,
    /// Leader: forgets that the primary may have acknowledged to a writer before it.
    ForgetsOldGrants,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 24] = [
        Bug::LostFence,
        Bug::AnswersBeforePersisting,
        Bug::NackStorm,
        Bug::SetsAsideItsOwnEpoch,
        Bug::AppendsTwice,
        Bug::PromotesTooEarly,
        Bug::CountsBeforeEstablished,
        Bug::CountsLiars,
        Bug::IgnoresTheWindow,
        Bug::ResendStorm,
        Bug::SkipsSignatures,
        Bug::IgnoresTheDigest,
        Bug::TrustsHeartbeats,
        Bug::BelievesFetched,
        Bug::AcksBeforeSync,
        Bug::AcksAnotherHash,
        Bug::RetriesFsync,
        Bug::PromisesWithoutSync,
        Bug::KeepsTornTail,
        Bug::ServesRotten,
        Bug::LeadsUnconfirmed,
        Bug::ForgetsThatItGrew,
        Bug::CountsUnseenPrimary,
        Bug::ForgetsOldGrants,
    ];
}

/// How a lying storage node lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Acks what it never wrote.
    AcksNothing,
    /// Acks a digest of its own invention.
    AcksOther,
    /// Acks two digests for one position.
    AcksTwice,
    /// Acks with somebody else's signature.
    Forges,
    /// Answers questions with other content.
    WrongContent,
    /// Says that it has nothing.
    DeniesAll,
    /// Nacks whatever comes.
    NacksAll,
    /// Claims a longer log.
    ClaimsMore,
    /// Claims a higher epoch that the core node never signed.
    ClaimsEpoch,
    /// Takes everything and answers nothing.
    Mute,
}

impl Lie {
    const ALL: [Lie; 10] = [
        Lie::AcksNothing,
        Lie::AcksOther,
        Lie::AcksTwice,
        Lie::Forges,
        Lie::WrongContent,
        Lie::DeniesAll,
        Lie::NacksAll,
        Lie::ClaimsMore,
        Lie::ClaimsEpoch,
        Lie::Mute,
    ];
}

/// What can go wrong in one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Frames lost, in a thousand.
    pub loss: u64,
    /// Frames delivered twice, in a thousand.
    pub duplication: u64,
    /// Frames overtake each other.
    pub reordering: bool,
    /// Links slow down for a while.
    pub delay: bool,
    /// Links break for a while.
    pub partitions: bool,
    /// And in one direction only.
    pub asymmetric: bool,
    /// Nodes crash and lose what was not synced.
    pub crashes: bool,
    /// Durable bits flip.
    pub bit_flips: bool,
    /// Syncs fail.
    pub failed_syncs: bool,
    /// Disks become slow for a while.
    pub slow_disks: bool,
    /// Disks are full for a while.
    pub full_disks: bool,
    /// Processes pause.
    pub pauses: bool,
    /// A second core node is restored while the first lives.
    pub two_writers: bool,
    /// The core node's machine is copied, and both copies run with one epoch.
    pub clones: bool,
    /// The core node loses its disk and is restored.
    pub core_loss: bool,
    /// An operator promotes now and then.
    pub promotions: bool,
    /// An operator removes and adds members.
    pub membership: bool,
    /// A storage node lies.
    pub liar: Option<Lie>,
}

/// One run, as the seed makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Everything random follows from it.
    pub seed: u64,
    /// The planted bug.
    pub bug: Option<Bug>,
    /// Storage nodes.
    pub nodes: usize,
    /// Simulated seconds with faults.
    pub seconds: u64,
    /// Milliseconds between submissions, on average.
    pub submit_ms: u64,
    /// The faults.
    pub faults: Faults,
}

impl Options {
    /// The options of a seed: each class of faults is on or off by chance, so that each meets each.
    pub fn from_seed(seed: u64) -> Options {
        let mut random = random::Random::new(seed ^ 0x5eed);
        let mut one_in = |n: u64| random.below(n) == 0;
        let faults = Faults {
            loss: if one_in(2) { 20 } else { 0 },
            duplication: if one_in(2) { 20 } else { 0 },
            reordering: one_in(3),
            delay: one_in(3),
            partitions: one_in(2),
            asymmetric: one_in(2),
            crashes: one_in(2),
            bit_flips: one_in(3),
            failed_syncs: one_in(4),
            slow_disks: one_in(3),
            full_disks: one_in(4),
            pauses: one_in(4),
            two_writers: one_in(3),
            clones: one_in(12),
            core_loss: one_in(4),
            promotions: one_in(3),
            membership: one_in(4),
            liar: None,
        };
        // Two machines of one epoch do not fork the log as long as neither changes the topology; an operator who copies a
        // running core node's directory and promotes in both has two histories, and the evidence for it.
        let faults = if faults.clones {
            Faults { two_writers: false, core_loss: false, promotions: false, membership: false, ..faults }
        } else {
            faults
        };
        let liar = one_in(4);
        let lie = Lie::ALL[random.below(Lie::ALL.len() as u64) as usize];
        Options {
            seed,
            bug: None,
            nodes: 2 + random.below(3) as usize,
            seconds: 60,
            submit_ms: 40 + random.below(160),
            faults: Faults { liar: liar.then_some(lie), ..faults },
        }
    }

    /// The options of a seed with a bug, and with the class of faults switched on in which it can bite.
    pub fn hunting(bug: Bug, seed: u64) -> Options {
        let mut options = Options { bug: Some(bug), ..Options::from_seed(seed) };
        let faults = &mut options.faults;
        let lie = match bug {
            Bug::CountsLiars => Some(Lie::AcksTwice),
            Bug::SkipsSignatures => Some(Lie::Forges),
            Bug::IgnoresTheDigest => Some(Lie::AcksOther),
            Bug::ResendStorm => Some(Lie::NacksAll),
            Bug::BelievesFetched => Some(Lie::WrongContent),
            _ => None,
        };
        if lie.is_some() {
            faults.liar = lie;
            faults.clones = false;
        }
        match bug {
            Bug::PromotesTooEarly => {
                (faults.promotions, faults.slow_disks, faults.clones) = (true, true, false);
                options.nodes = options.nodes.max(3);
            }
            Bug::LeadsUnconfirmed
            | Bug::ForgetsThatItGrew
            | Bug::CountsUnseenPrimary
            | Bug::LostFence
            | Bug::ForgetsOldGrants => {
                (faults.two_writers, faults.clones, faults.liar) = (true, false, None);
                (faults.partitions, faults.promotions) = (true, true);
                options.nodes = options.nodes.max(3);
            }
            Bug::SetsAsideItsOwnEpoch => (faults.clones, faults.liar) = (true, None),
            Bug::BelievesFetched | Bug::ServesRotten => faults.bit_flips = true,
            Bug::RetriesFsync => faults.failed_syncs = true,
            Bug::KeepsTornTail | Bug::PromisesWithoutSync => faults.crashes = true,
            _ => {}
        }
        options
    }
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Simulated time.
    pub simulated: Micros,
    /// Events handled.
    pub events: u64,
    /// Frames sent.
    pub frames: u64,
    /// Crashes.
    pub crashes: u64,
    /// Links broken, in one direction or both.
    pub partitions: u64,
    /// Records acknowledged with a level above `Local`, each checked.
    pub acknowledged: u64,
    /// Acks of storage nodes, each checked.
    pub acks: u64,
    /// The last epoch.
    pub epoch: u64,
    /// Times that a core node was restored.
    pub restores: u64,
    /// Damaged records that were repaired.
    pub repaired: u64,
    /// Diverging tails set aside.
    pub set_aside: u64,
    /// Liars convicted, writers fenced.
    pub convicted: u64,
    /// Writers fenced.
    pub fenced: u64,
    /// A hash over everything that happened.
    pub trace: u64,
}

impl Report {
    /// Adds what another run came to.
    pub fn add(&mut self, other: &Report) {
        self.simulated = self.simulated.plus(other.simulated);
        self.events += other.events;
        self.frames += other.frames;
        self.crashes += other.crashes;
        self.partitions += other.partitions;
        self.acknowledged += other.acknowledged;
        self.acks += other.acks;
        self.epoch = self.epoch.max(other.epoch);
        self.restores += other.restores;
        self.repaired += other.repaired;
        self.set_aside += other.set_aside;
        self.convicted += other.convicted;
        self.fenced += other.fenced;
        self.trace ^= other.trace;
    }
}

/// Runs a cluster.
///
/// # Errors
/// [`Violation`]: what was promised and not kept, and when. The same options give the same result.
pub fn run(options: &Options) -> Result<Report, Violation> {
    world::World::new(options.clone()).run()
}

/// The options and what came of them, for whoever has to find out why.
pub fn explain(options: &Options, violation: &Violation) -> String {
    alloc::format!("{violation}\n{options:#?}")
}
