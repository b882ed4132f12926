//! Questions that any node answers, and how the asker checks, scores and goes on to the next peer.

use crate::frame::{FrameError, at_most, check_records, check_signature};
use crate::reconcile::{RangeAnswer, RangeQuery};
use crate::{Head, Micros, NodeId, Promise, Record, limit};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{Digest, NetworkId};

/// A question. Each names how much the asker is willing to read.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Query {
    /// Where do you stand?
    Status,
    /// Records from this position on.
    Records {
        /// The first position wanted.
        from: u64,
        /// The most bytes of payloads wanted; one longer record may come alone.
        bytes_max: u32,
    },
    /// The content with this BLAKE3-256 digest.
    Blob {
        /// Its address.
        digest: Digest,
        /// Longer content is not wanted.
        bytes_max: u32,
    },
    /// The chain digest at this position.
    DigestAt {
        /// The position.
        position: u64,
    },
    /// What you have in this range of blob digests.
    BlobRange(RangeQuery),
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// To [`Query::Status`].
    Status(NodeStatus),
    /// To [`Query::Records`].
    Records(Vec<Record>),
    /// To [`Query::Blob`].
    Blob(Vec<u8>),
    /// To [`Query::DigestAt`].
    Digest(Digest),
    /// To [`Query::BlobRange`].
    BlobRange(RangeAnswer),
    /// Not kept here.
    NotFound,
    /// Kept, but damaged and being repaired.
    Damaged,
    /// Too much to do; ask again later.
    Busy,
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NodeStatus {
    /// The network; `None` before the first hello.
    pub network: Option<NetworkId>,
    /// The highest topology it promised.
    pub promise: Option<Promise>,
    /// The first position kept.
    pub first: u64,
    /// The end of its durable log.
    pub head: Head,
}

impl Answer {
    pub(crate) fn check(&self) -> Result<(), FrameError> {
        match self {
            Answer::Status(status) => {
                status.promise.iter().try_for_each(|held| check_signature(&held.topology.signature))
            }
            Answer::Records(records) => check_records(records),
            Answer::Blob(bytes) => at_most("a blob", bytes.len(), limit::RECORD_BYTES_MAX),
            Answer::BlobRange(answer) => answer.check(),
            Answer::Digest(_) | Answer::NotFound | Answer::Damaged | Answer::Busy => Ok(()),
        }
    }
}

/// One thing to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What to fetch, and by which hash it is known when it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// The blob with this digest.
    Blob {
        /// Its BLAKE3-256.
        digest: Digest,
        /// Longer content is refused.
        bytes_max: u32,
    },
    /// The records between two heads that are trusted already.
    Records {
        /// The head before the first.
        after: Head,
        /// The head after the last.
        until: Head,
        /// More bytes of payloads than these are refused.
        bytes_max: u32,
    },
}

/// What was fetched and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The blob.
    Blob(Vec<u8>),
    /// The records.
    Records(Vec<Record>),
}

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerFault {
    /// Its bytes do not have the hash asked for.
    WrongContent,
    /// It sent more than was asked for.
    TooMuch,
    /// It answered another question.
    Misfit,
    /// It says that it does not have what it acknowledged.
    Denied,
    /// It did not answer in time.
    Late,
    /// Its connection broke.
    Broken,
}

impl PeerFault {
    /// What it costs: the higher, the later a peer is asked.
    const fn penalty(self) -> u32 {
        match self {
            PeerFault::WrongContent | PeerFault::TooMuch | PeerFault::Misfit => PENALTY_OUT,
            PeerFault::Denied => PENALTY_OUT / 2,
            PeerFault::Late => 10,
            PeerFault::Broken => 5,
        }
    }
}

/// What a lie costs. Each thing that is fetched, from whomever, takes one off every peer's penalty: a liar is asked after
/// all others for the next hundred.
pub const PENALTY_OUT: u32 = 100;

/// What the fetcher wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchOutput {
    /// Ask this peer on a stream of its own; then [`Fetcher::handle_answer`] or [`Fetcher::handle_failed`]. The stream
    /// is given up when the job asks again: an answer to an earlier question must not be handed in.
    Ask {
        /// The peer.
        peer: NodeId,
        /// For which job.
        job: JobId,
        /// What.
        query: Query,
    },
    /// It came and has the right hash.
    Done {
        /// The job.
        job: JobId,
        /// The peer that sent it.
        peer: NodeId,
        /// What came.
        fetched: Fetched,
    },
    /// Nobody has it, or nobody answers.
    Failed {
        /// The job.
        job: JobId,
    },
    /// Count and show this.
    Fault {
        /// The peer.
        peer: NodeId,
        /// What it did.
        fault: PeerFault,
    },
}

/// How fetching behaves.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// A peer that has not answered within this time is given up.
    pub answer_timeout: Micros,
    /// How often all peers are tried before a job fails.
    pub rounds: u32,
    /// The pause between two rounds.
    pub round_pause: Micros,
    /// Jobs at once.
    pub jobs_max: usize,
    /// Bytes of records asked for at a time.
    pub chunk_bytes: u32,
}

impl Default for FetchConfig {
    /// 5 s for an answer, 3 rounds a second apart, 64 jobs, 4 MiB at a time.
    fn default() -> FetchConfig {
        FetchConfig {
            answer_timeout: Micros::from_millis(5000),
            rounds: 3,
            round_pause: Micros::from_millis(1000),
            jobs_max: 64,
            chunk_bytes: 4 << 20,
        }
    }
}

/// Fetches by hash from whichever peer behaves best, and goes on to the next when one does not.
#[derive(Debug)]
pub struct Fetcher {
    config: FetchConfig,
    peers: BTreeMap<NodeId, Scored>,
    jobs: BTreeMap<JobId, Job>,
    next_job: u64,
    turn: u64,
    outputs: VecDeque<FetchOutput>,
    #[cfg(feature = "sim")]
    planted: Option<crate::sim::Bug>,
}

#[derive(Debug, Default)]
struct Scored {
    penalty: u32,
    /// When it was last asked, in questions: who waited longest is asked first.
    turn: u64,
}

#[derive(Debug)]
struct Job {
    want: Want,
    /// Peers that acknowledged it: they owe it.
    owed_by: BTreeSet<NodeId>,
    tried: BTreeSet<NodeId>,
    rounds_left: u32,
    asked: Option<NodeId>,
    /// When the answer is late, or the next round begins.
    due: Micros,
    /// Records that came from the peer asked, not yet proven.
    records: Vec<Record>,
    reached: Head,
    bytes: usize,
    /// The records came and lead elsewhere. Whoever has another history there is no liar, so the peer is asked which
    /// digest it has at the end: if it names the one wanted, it sent other records than it has.
    suspect: bool,
}

impl Job {
    fn forget(&mut self) {
        self.suspect = false;
        self.records.clear();
        self.bytes = 0;
        if let Want::Records { after, .. } = self.want {
            self.reached = after;
        }
    }
}

impl Fetcher {
    /// A fetcher that knows no peer.
    pub fn new(config: FetchConfig) -> Fetcher {
        Fetcher {
            config,
            peers: BTreeMap::new(),
            jobs: BTreeMap::new(),
            next_job: 1,
            turn: 0,
            outputs: VecDeque::new(),
            #[cfg(feature = "sim")]
            planted: None,
        }
    }

    /// Switches a bug on.
    #[cfg(feature = "sim")]
    pub(crate) fn plant(&mut self, bug: Option<crate::sim::Bug>) {
        self.planted = bug;
    }

    /// Peers that may be asked, from now on; scores of those known before are kept.
    pub fn set_peers(&mut self, peers: &[NodeId]) {
        let mut known = core::mem::take(&mut self.peers);
        for peer in peers {
            self.peers.insert(*peer, known.remove(peer).unwrap_or_default());
        }
    }

    /// Starts a job. `owed_by` are the peers that acknowledged it: from them, "not found" is a fault. `None` if there
    /// are too many jobs.
    pub fn start(&mut self, want: Want, owed_by: &[NodeId], now: Micros) -> Option<JobId> {
        if self.jobs.len() >= self.config.jobs_max {
            return None;
        }
        let id = JobId(self.next_job);
        self.next_job += 1;
        let mut job = Job {
            want,
            owed_by: owed_by.iter().copied().collect(),
            tried: BTreeSet::new(),
            rounds_left: self.config.rounds,
            asked: None,
            due: now,
            records: Vec::new(),
            reached: Head::EMPTY,
            bytes: 0,
            suspect: false,
        };
        job.forget();
        self.jobs.insert(id, job);
        self.ask_next(id, now);
        Some(id)
    }

    /// The answer of `peer` to what it was asked for `job`.
    pub fn handle_answer(&mut self, peer: NodeId, id: JobId, answer: Answer, now: Micros) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.asked == Some(peer)) else { return };
        let owed = job.owed_by.contains(&peer);
        let believes = planted!(self, BelievesFetched);
        match check_answer(job, answer, believes) {
            Progress::Complete(fetched) => {
                self.jobs.remove(&id);
                // Whoever does the work: a peer that is never asked could not make good a connection that broke.
                for scored in self.peers.values_mut() {
                    scored.penalty = scored.penalty.saturating_sub(1);
                }
                self.outputs.push_back(FetchOutput::Done { job: id, peer, fetched });
            }
            Progress::More => self.ask(peer, id, now),
            Progress::Unable => self.give_up(peer, id, None, now),
            Progress::Absent => self.give_up(peer, id, owed.then_some(PeerFault::Denied), now),
            Progress::Wrong(fault) => self.give_up(peer, id, Some(fault), now),
        }
    }

    /// The stream or connection broke before the answer was complete, or the answer was no frame.
    pub fn handle_failed(&mut self, peer: NodeId, id: JobId, fault: PeerFault, now: Micros) {
        if self.jobs.get(&id).is_some_and(|job| job.asked == Some(peer)) {
            self.give_up(peer, id, Some(fault), now);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Micros) {
        let due: Vec<(JobId, Option<NodeId>)> =
            self.jobs.iter().filter(|(_, job)| job.due <= now).map(|(id, job)| (*id, job.asked)).collect();
        for (id, asked) in due {
            match asked {
                Some(peer) => self.give_up(peer, id, Some(PeerFault::Late), now),
                None => self.ask_next(id, now),
            }
        }
    }

    /// When [`Fetcher::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Micros> {
        self.jobs.values().map(|job| job.due).min()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<FetchOutput> {
        self.outputs.pop_front()
    }

    /// The penalty of each peer; 0 is best.
    pub fn scores(&self) -> impl Iterator<Item = (NodeId, u32)> + '_ {
        self.peers.iter().map(|(peer, scored)| (*peer, scored.penalty))
    }

    fn give_up(&mut self, peer: NodeId, id: JobId, fault: Option<PeerFault>, now: Micros) {
        if let Some(fault) = fault {
            if let Some(scored) = self.peers.get_mut(&peer) {
                scored.penalty = scored.penalty.saturating_add(fault.penalty()).min(10 * PENALTY_OUT);
            }
            self.outputs.push_back(FetchOutput::Fault { peer, fault });
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.asked = None;
            job.tried.insert(peer);
            job.forget();
        }
        self.ask_next(id, now);
    }

    /// Asks the best peer that this round has not tried; after the last one, waits for the next round.
    fn ask_next(&mut self, id: JobId, now: Micros) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let untried = self.peers.iter().filter(|(peer, _)| !job.tried.contains(peer));
        let best = untried.min_by_key(|(peer, scored)| (scored.penalty, scored.turn, **peer));
        if let Some((peer, _)) = best {
            let peer = *peer;
            return self.ask(peer, id, now);
        }
        job.rounds_left = job.rounds_left.saturating_sub(1);
        job.tried.clear();
        job.due = now.plus(self.config.round_pause);
        if job.rounds_left == 0 {
            self.jobs.remove(&id);
            self.outputs.push_back(FetchOutput::Failed { job: id });
        }
    }

    fn ask(&mut self, peer: NodeId, id: JobId, now: Micros) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.asked = Some(peer);
        job.due = now.plus(self.config.answer_timeout);
        let query = match job.want {
            Want::Blob { digest, bytes_max } => Query::Blob { digest, bytes_max },
            Want::Records { until, .. } if job.suspect => Query::DigestAt { position: until.position },
            Want::Records { bytes_max, .. } => {
                let left = bytes_max.saturating_sub(job.bytes as u32);
                let from = job.reached.position.saturating_add(1);
                Query::Records { from, bytes_max: left.min(self.config.chunk_bytes).max(1) }
            }
        };
        self.turn += 1;
        if let Some(scored) = self.peers.get_mut(&peer) {
            scored.turn = self.turn;
        }
        self.outputs.push_back(FetchOutput::Ask { peer, job: id, query });
    }
}

enum Progress {
    Complete(Fetched),
    More,
    Absent,
    Unable,
    Wrong(PeerFault),
}

/// Compares an answer with what was asked for, by hash. `believes` is a planted bug.
fn check_answer(job: &mut Job, answer: Answer, believes: bool) -> Progress {
    if answer.check().is_err() {
        return Progress::Wrong(PeerFault::TooMuch);
    }
    match (&job.want, answer) {
        (_, Answer::NotFound) => Progress::Absent,
        (_, Answer::Damaged | Answer::Busy) => Progress::Unable,
        (Want::Blob { digest, bytes_max }, Answer::Blob(bytes)) => {
            if bytes.len() > *bytes_max as usize {
                return Progress::Wrong(PeerFault::TooMuch);
            }
            if blake3::hash(&bytes).as_bytes() != &digest.0 && !believes {
                return Progress::Wrong(PeerFault::WrongContent);
            }
            Progress::Complete(Fetched::Blob(bytes))
        }
        (Want::Records { until, .. }, Answer::Digest(digest)) if job.suspect => {
            if digest == until.digest {
                Progress::Wrong(PeerFault::WrongContent)
            } else {
                Progress::Absent
            }
        }
        (Want::Records { until, bytes_max, .. }, Answer::Records(mut records)) if !job.suspect => {
            let (until, bytes_max) = (*until, *bytes_max as usize);
            let left = until.position.saturating_sub(job.reached.position);
            records.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            if records.is_empty() {
                return Progress::Absent;
            }
            job.bytes += records.iter().map(|record| record.payload.len()).sum::<usize>();
            let Some(reached) = job.reached.after_all(&records).filter(|_| job.bytes <= bytes_max) else {
                return Progress::Wrong(PeerFault::TooMuch);
            };
            job.reached = reached;
            job.records.append(&mut records);
            if reached == until || (reached.position == until.position && believes) {
                return Progress::Complete(Fetched::Records(core::mem::take(&mut job.records)));
            }
            if reached.position == until.position {
                job.forget();
                job.suspect = true;
            }
            Progress::More
        }
        (Want::Blob { .. } | Want::Records { .. }, _) => Progress::Wrong(PeerFault::Misfit),
    }
}
