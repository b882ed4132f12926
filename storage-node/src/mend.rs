//! What a node fetches from others: packages that the log publishes, and what has rotted here.
//!
//! Everything fetched is proven before it is used: a blob by its digest, records by the chain digests around them. What
//! cannot be proven that way, the end of a log whose last segment is damaged, comes from the core node if it is
//! connected, else from a member, and its authors are checked as if it had been shipped.
//!
//! While something damaged waits for repair the node acknowledges nothing: its acks say that everything before them is
//! here.

use crate::OpenError;
use crate::authors::{Arrived, AuthorError, Authors, RECORD_BYTES_MAX};
use crate::config::Upkeep;
use crate::handle::Shared;
use crate::peers::{AskError, Peers, blocking};
use crate::status::ScrubView;
use crate::vault::{Offered, Stamps, checkpoint_of};
use dsm_abi::Digest as Address;
use dsm_proto::fetch::{Answer, FetchConfig, FetchOutput, Fetched, Fetcher, PeerFault, Query, Want};
use dsm_proto::reconcile::Reconcile;
use dsm_proto::{Head, Micros, NodeId};
use dsm_sdk::package::PACKAGE_BYTES_MAX;
use dsm_store::{
    BlobError, BlobScrub, Damage, Digest, Log, LogError, LogReader, RepairError, Salvage, Scrub, Stretch,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

/// Questions of one comparison of blobs: a difference among a million digests costs five.
const QUESTIONS_MAX: usize = 4096;
/// Blobs fetched after one comparison; the next one finds the rest.
const BLOBS_MAX: usize = 1024;
/// Bytes of records fetched together: the longest segment.
const STRETCH_BYTES_MAX: u32 = 1 << 30;
/// Between two tries at something that nobody could give.
const RETRY: Duration = Duration::from_secs(2);
/// Damaged records repaired between two looks at the log.
const RECORDS_CHECKED_MAX: usize = 1024;

/// Fetches from other nodes and repairs.
pub(crate) struct Mender {
    shared: Arc<Shared>,
    peers: Arc<Peers>,
    /// Remembers which peers behaved; one thing is fetched at a time.
    fetcher: Mutex<Fetcher>,
    /// What the last scrub found and nobody could repair yet.
    left: Mutex<Option<Left>>,
    started: Instant,
    one_thread: bool,
}

/// What is damaged.
#[derive(Debug, Default)]
struct Left {
    places: Vec<Damage>,
    blobs: Vec<Digest>,
    /// There are more places than are listed: everything has to be looked at again.
    more: bool,
}

impl Left {
    fn count(&self) -> u64 {
        (self.places.len() + self.blobs.len()) as u64
    }
}

/// A log that can be written to, and who owns what in it.
pub(crate) struct Prepared {
    pub(crate) log: Arc<Log>,
    pub(crate) authors: Authors,
    pub(crate) stamps: Stamps,
}

/// Why a log cannot be written to yet.
pub(crate) enum NotReady {
    /// It is damaged: what can be fetched from others may repair it.
    Damaged(LogError),
    /// Nothing here can help.
    Failed(OpenError),
}

impl From<LogError> for NotReady {
    fn from(error: LogError) -> NotReady {
        match error {
            LogError::Damaged { .. } | LogError::MissingSegment { .. } => NotReady::Damaged(error),
            other => NotReady::Failed(OpenError::Log(other)),
        }
    }
}

impl From<AuthorError> for NotReady {
    fn from(error: AuthorError) -> NotReady {
        match error {
            AuthorError::Log(error) => error.into(),
            other => NotReady::Failed(OpenError::Authors(other)),
        }
    }
}

/// Opens the log and follows it from its first record to its last. Signatures up to `believed` were checked when they
/// were appended; those behind it are checked now, and a tail that fails is set aside.
pub(crate) fn prepare(shared: &Shared, mut authors: Authors, believed: u64) -> Result<Prepared, NotReady> {
    let config = shared.log_config.clone();
    let (log, report) = Log::open(Arc::clone(&shared.vault.disk), config)?;
    if let Some(cut) = report.cut {
        tracing::warn!(
            segment = cut.segment,
            bytes = cut.bytes,
            "cut a torn tail that was never acknowledged"
        );
    }
    let reader = log.reader();
    let mut stamps = Stamps::default();
    let note = |stamps: &mut Stamps, payload: &[u8]| {
        checkpoint_of(payload).into_iter().for_each(|stamp| stamps.add(stamp));
    };
    let mut policies = authors.follow(&reader, believed, |record| note(&mut stamps, &record.payload))?;
    while authors.head() < reader.durable().0 {
        let from = authors.head() + 1;
        let mut records = reader.read_range(from, RECORD_BYTES_MAX)?;
        records.truncate(RECORDS_CHECKED_MAX);
        let arrived: Vec<Arrived<'_>> = records
            .iter()
            .map(|record| Arrived { position: record.position, prev: record.prev, payload: &record.payload })
            .collect();
        match authors.check(from - 1, &arrived, &reader) {
            Ok(checked) => policies.extend(checked.published),
            Err((_, AuthorError::Log(error))) => return Err(error.into()),
            Err((position, error)) => {
                tracing::warn!(position, %error, "a repaired record is refused and set aside with what follows");
                log.set_aside(from - 1)?;
                break;
            }
        }
        records.iter().for_each(|record| note(&mut stamps, &record.payload));
    }
    authors.settle(reader.durable().0);
    shared.vault.publish(&policies);
    let log = shared.vault.set_log(log);
    Ok(Prepared { log, authors, stamps })
}

impl Mender {
    pub(crate) fn new(shared: Arc<Shared>, peers: Arc<Peers>, one_thread: bool) -> Arc<Mender> {
        let fetcher = Mutex::new(Fetcher::new(FetchConfig::default()));
        let left = Mutex::new(None);
        Arc::new(Mender { shared, peers, fetcher, left, started: Instant::now(), one_thread })
    }

    fn now(&self) -> Micros {
        Micros(self.started.elapsed().as_micros() as u64)
    }

    /// Fetches something by its hash from whoever has it.
    async fn fetch(&self, want: Want) -> Option<Fetched> {
        let mut fetcher = self.fetcher.lock().await;
        let candidates = self.peers.candidates();
        fetcher.set_peers(&candidates);
        // Members acknowledged what the log holds: "not found" is their fault.
        fetcher.start(want, &candidates, self.now())?;
        loop {
            match fetcher.poll() {
                Some(FetchOutput::Ask { peer, job, query }) => {
                    let outcome = self.peers.ask(peer, query).await;
                    let now = self.now();
                    match outcome {
                        Ok(answer) => fetcher.handle_answer(peer, job, answer, now),
                        Err(error) => {
                            tracing::debug!(%peer, %error, "a question was not answered");
                            fetcher.handle_failed(peer, job, fault_of(&error), now);
                        }
                    }
                }
                Some(FetchOutput::Done { fetched, .. }) => return Some(fetched),
                Some(FetchOutput::Failed { .. }) => return None,
                Some(FetchOutput::Fault { peer, fault }) => {
                    tracing::warn!(%peer, ?fault, "a peer did not give what it should have");
                    self.shared.fault(word_of(fault));
                }
                None => {
                    let due = fetcher.poll_timeout()?;
                    let wait = Duration::from_micros(due.since(self.now()).0);
                    tokio::time::sleep(wait).await;
                    fetcher.handle_timeout(self.now());
                }
            }
        }
    }

    /// Fetches the packages that the log publishes and that are not here, whenever there are some, and compares with
    /// the others from time to time.
    pub(crate) async fn gather(self: Arc<Mender>) {
        loop {
            let interval = |upkeep: &Upkeep| match self.shared.vault.missing() {
                0 => upkeep.anti_entropy_interval,
                _ => RETRY.min(upkeep.anti_entropy_interval),
            };
            tokio::select! {
                () = self.shared.wanted.notified() => {}
                () = self.pass(interval) => {}
            }
            for peer in self.peers.candidates() {
                if let Err(error) = self.compare(peer).await {
                    tracing::debug!(%peer, %error, "blobs were not compared");
                }
            }
        }
    }

    /// Waits until an interval is over, as long as it is by then.
    async fn pass(&self, interval: impl Fn(&Upkeep) -> Duration) {
        let mut upkeep = self.shared.upkeep.subscribe();
        let start = Instant::now();
        loop {
            let wait = interval(&upkeep.borrow_and_update()).saturating_sub(start.elapsed());
            tokio::select! {
                () = tokio::time::sleep(wait) => return,
                Ok(()) = upkeep.changed() => {}
            }
        }
    }

    /// Takes over what one peer has and this node lacks.
    async fn compare(&self, peer: NodeId) -> Result<(), AskError> {
        let own = self.shared.vault.digests();
        let mut reconcile = Reconcile::new(QUESTIONS_MAX);
        while let Some(query) = reconcile.next() {
            let answer = match self.peers.ask(peer, Query::BlobRange(query)).await? {
                Answer::BlobRange(answer) => answer,
                Answer::Busy => return Ok(()),
                _ => return Err(self.misfit()),
            };
            if reconcile.handle_answer(&own, &answer).is_err() {
                return Err(self.misfit());
            }
        }
        let wanted: Vec<Digest> = reconcile.missing().iter().map(|digest| digest.0).collect();
        for digest in wanted.into_iter().filter(|digest| self.shared.vault.wants(digest)).take(BLOBS_MAX) {
            let query = Query::Blob { digest: Address(digest), bytes_max: PACKAGE_BYTES_MAX as u32 };
            let Answer::Blob(bytes) = self.peers.ask(peer, query).await? else { continue };
            match self.offer(digest, bytes, false).await {
                Some(Offered::Kept) => self.shared.metrics.fetched_blobs.one(),
                Some(Offered::Unwanted) => self.shared.metrics.refused_blobs.one(),
                Some(Offered::Bad) => {
                    self.shared.metrics.refused_blobs.one();
                    self.shared.fault("wrong_content");
                    tracing::warn!(%peer, "a peer gave another content than asked for, or no signed package");
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn misfit(&self) -> AskError {
        self.shared.fault("misfit");
        AskError::NoAnswer
    }

    /// Stores a package; `None` if the device does not take it now.
    async fn offer(&self, digest: Digest, bytes: Vec<u8>, again: bool) -> Option<Offered> {
        let shared = Arc::clone(&self.shared);
        let outcome = blocking(self.one_thread, move || shared.vault.offer(&digest, &bytes, again)).await?;
        match outcome {
            Ok(offered) => Some(offered),
            Err(BlobError::DiskFull) => None,
            Err(error) => {
                self.shared.fail(error.to_string());
                None
            }
        }
    }

    /// Fetches what is damaged again and stores it. What could not be repaired.
    async fn mend(&self, damaged: Left) -> Left {
        let mut left = Left { more: damaged.more, ..Left::default() };
        for digest in damaged.blobs {
            let want = Want::Blob { digest: Address(digest), bytes_max: PACKAGE_BYTES_MAX as u32 };
            let kept = match self.fetch(want).await {
                Some(Fetched::Blob(bytes)) => self.offer(digest, bytes, true).await == Some(Offered::Kept),
                Some(Fetched::Records(_)) | None => false,
            };
            if kept {
                self.shared.metrics.repaired_blobs.one();
            } else {
                left.blobs.push(digest);
            }
        }
        // A repair covers all damage up to the end of its stretch.
        let mut repaired_to = 0;
        for place in damaged.places {
            if place.position <= repaired_to {
                continue;
            }
            match self.repair_place(&place).await {
                Ok((last, count)) => {
                    repaired_to = last;
                    self.shared.metrics.repaired_records.add(count);
                }
                Err(error) => {
                    tracing::warn!(position = place.position, %error, "not repaired");
                    left.places.push(place);
                }
            }
        }
        left
    }

    async fn repair_place(&self, place: &Damage) -> Result<(u64, u64), RepairError> {
        let (shared, place) = (Arc::clone(&self.shared), *place);
        let Some(log) = shared.vault.log() else { return Ok((0, 0)) };
        let reader = log.reader();
        let stretch = reader.stretch(place.position)?;
        // Damage of a segment's head or length concerns no record; it is repaired with none.
        let (from, last, records) = match stretch {
            Some(stretch) => {
                let unknown = RepairError::HeadUnknown { first: stretch.first };
                let last = stretch.last.ok_or(unknown)?;
                let records = self.records(&reader, stretch.first, last).await?;
                (stretch.first, last, records)
            }
            None => (place.position, place.position, Vec::new()),
        };
        let work = move || log.repair(place.segment, from, &records);
        let outcome = blocking(self.one_thread, work).await.unwrap_or(Ok(0));
        if let Err(RepairError::Log(error @ (LogError::Io { .. } | LogError::Poisoned))) = &outcome {
            self.shared.fail(error.to_string());
        }
        Ok((last, outcome?.max(1)))
    }

    /// The records `first` to `last` as somebody has them, proven by the digests around them.
    async fn records(
        &self,
        reader: &LogReader,
        first: u64,
        last: u64,
    ) -> Result<Vec<(u8, Vec<u8>)>, RepairError> {
        let head = |position: u64| -> Result<Head, RepairError> {
            Ok(Head { position, digest: Address(reader.digest_at(position)?) })
        };
        let (after, until) = (head(first - 1)?, head(last)?);
        self.between(after, until).await.ok_or(RepairError::Incomplete { first, last })
    }

    async fn between(&self, after: Head, until: Head) -> Option<Vec<(u8, Vec<u8>)>> {
        match self.fetch(Want::Records { after, until, bytes_max: STRETCH_BYTES_MAX }).await? {
            Fetched::Records(records) => {
                Some(records.into_iter().map(|record| (record.kind, record.payload)).collect())
            }
            Fetched::Blob(_) => None,
        }
    }

    /// Hashes everything again on an interval, when asked, and when something damaged was read.
    pub(crate) async fn watch(
        self: Arc<Mender>,
        mut asked: mpsc::Receiver<oneshot::Sender<Result<ScrubView, String>>>,
    ) {
        loop {
            let interval = |upkeep: &Upkeep| match *self.shared.damaged.borrow() {
                false => upkeep.scrub_interval,
                true => RETRY.min(upkeep.scrub_interval),
            };
            let reply = tokio::select! {
                reply = asked.recv() => match reply {
                    Some(reply) => Some(reply),
                    None => return,
                },
                () = self.shared.suspicion.notified() => None,
                () = self.pass(interval) => None,
            };
            // What is known to be damaged needs no second look at everything.
            if reply.is_none() && self.left.lock().await.is_some() {
                self.retry().await;
                continue;
            }
            let outcome = self.scrub().await;
            if let Err(error) = &outcome {
                tracing::warn!(%error, "the scrub could not be finished");
            }
            if let Some(reply) = reply {
                // Whoever asked may have gone away.
                drop(reply.send(outcome));
            }
        }
    }

    /// Hashes everything again and repairs what is damaged.
    async fn scrub(&self) -> Result<ScrubView, String> {
        let (records, blobs) = self.look().await?;
        let mut view = ScrubView {
            records: records.records,
            record_bytes: records.payload_bytes,
            blobs: blobs.blobs,
            blob_bytes: blobs.bytes,
            damaged: records.damaged + blobs.damaged.len() as u64,
            repaired: 0,
        };
        let more = records.damaged > records.places.len() as u64;
        let unlisted = records.damaged - records.places.len() as u64;
        let mut left = Left { places: records.places, blobs: blobs.damaged, more };
        if view.damaged > 0 {
            tracing::warn!(damaged = view.damaged, "what was durable is damaged");
            self.shared.metrics.damaged.add(view.damaged);
            self.shared.damage(true);
            left = self.mend(left).await;
        }
        view.repaired = view.damaged - left.count() - unlisted;
        self.shared.metrics.scrubs.one();
        *self.shared.scrub.lock() = Some(view.clone());
        self.keep(left).await;
        Ok(view)
    }

    /// Tries once more to repair what the last scrub could not.
    async fn retry(&self) {
        let Some(damaged) = self.left.lock().await.take() else { return };
        let before = damaged.count();
        let left = self.mend(damaged).await;
        if let Some(view) = &mut *self.shared.scrub.lock() {
            view.repaired += before - left.count();
        }
        if left.count() == 0 && left.more {
            if let Err(error) = self.scrub().await {
                tracing::warn!(%error, "the scrub could not be finished");
            }
            return;
        }
        self.keep(left).await;
    }

    /// Remembers what is left, and whether that keeps the node from acknowledging.
    async fn keep(&self, left: Left) {
        let whole = left.count() == 0 && !left.more;
        *self.left.lock().await = (!whole).then_some(left);
        self.shared.damage(!whole);
    }

    async fn look(&self) -> Result<(Scrub, BlobScrub), String> {
        let shared = Arc::clone(&self.shared);
        let work = move || -> Result<(Scrub, BlobScrub), String> {
            let reader = shared.vault.reader().ok_or("the log is being repaired")?;
            let records = reader.scrub(reader.first()).map_err(|error| error.to_string())?;
            let blobs = shared.vault.blobs.scrub().map_err(|error| error.to_string())?;
            Ok((records, blobs))
        };
        blocking(self.one_thread, work).await.unwrap_or_else(|| Err("the scrub was interrupted".to_owned()))
    }

    /// Repairs a log that cannot be opened or followed, as often as it takes. Gives it once it can.
    pub(crate) async fn salvage(
        self: &Arc<Mender>,
        authors: impl Fn() -> Authors + Clone + Send + 'static,
        damaged_blobs: Vec<Digest>,
    ) -> Result<Prepared, OpenError> {
        let mut believed = u64::MAX;
        loop {
            let (shared, authors) = (Arc::clone(&self.shared), authors.clone());
            let attempt = blocking(self.one_thread, move || prepare(&shared, authors(), believed)).await;
            match attempt {
                Some(Ok(prepared)) => {
                    let left = self.mend(Left { blobs: damaged_blobs, ..Left::default() }).await;
                    self.keep(left).await;
                    return Ok(prepared);
                }
                Some(Err(NotReady::Failed(error))) => return Err(error),
                Some(Err(NotReady::Damaged(error))) => tracing::warn!(%error, "the log is being repaired"),
                None => {}
            }
            match self.salvage_once().await {
                Ok(from) => believed = believed.min(from),
                Err(RepairError::Log(error @ LogError::Io { .. })) => return Err(OpenError::Log(error)),
                Err(error) => {
                    tracing::warn!(%error, "the log is not repaired yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// One try at what keeps the log from being opened, then at what is damaged inside. The position up to which the
    /// log was proven to be this node's own.
    async fn salvage_once(&self) -> Result<u64, RepairError> {
        let config = self.shared.log_config.clone();
        let mut salvage = Salvage::open(Arc::clone(&self.shared.vault.disk), config)?;
        let mut believed = u64::MAX;
        for Stretch { first, last } in salvage.wanted() {
            let incomplete = RepairError::Incomplete { first, last: last.unwrap_or(first) };
            let Some(last) = last else {
                believed = believed.min(first - 1);
                self.salvage_end(&mut salvage, first).await?;
                continue;
            };
            let after = self.digest_elsewhere(first - 1).await;
            let until = self.digest_elsewhere(last).await;
            let (Some(after), Some(until)) = (after, until) else { return Err(incomplete) };
            // The chain of this log proves them, whoever named the digests.
            let Some(records) = self.between(after, until).await else { return Err(incomplete) };
            salvage.repair(first, &records)?;
        }
        let (log, _) = salvage.finish()?;
        let reader = log.reader();
        self.shared.vault.set_log(log);
        let scrub = reader.scrub(reader.first())?;
        let left = self.mend(Left { places: scrub.places, ..Left::default() }).await;
        self.shared.vault.clear_log();
        if let Some(place) = left.places.first() {
            return Err(RepairError::Incomplete { first: place.position, last: place.position });
        }
        Ok(believed)
    }

    /// The end of the log, from `first` on, as the core node or a member has it.
    async fn salvage_end(&self, salvage: &mut Salvage, first: u64) -> Result<(), RepairError> {
        let unknown = || RepairError::HeadUnknown { first };
        let (position, digest) = salvage.head().ok_or_else(unknown)?;
        let after = Head { position, digest: Address(digest) };
        let mut outcome = Err(unknown());
        for peer in self.peers.candidates() {
            let Ok(Answer::Status(status)) = self.peers.ask(peer, Query::Status).await else { continue };
            if status.head.position < first {
                continue;
            }
            outcome = salvage.expect_head(status.head.position, status.head.digest.0);
            if outcome.is_err() {
                continue;
            }
            let Some(records) = self.between(after, status.head).await else { continue };
            outcome = salvage.repair(after.position + 1, &records).map(|_| ());
            if outcome.is_ok() {
                return Ok(());
            }
        }
        outcome
    }

    /// The head at a position as the first who answers has it.
    async fn digest_elsewhere(&self, position: u64) -> Option<Head> {
        if position == 0 {
            return Some(Head::EMPTY);
        }
        for peer in self.peers.candidates() {
            if let Ok(Answer::Digest(digest)) = self.peers.ask(peer, Query::DigestAt { position }).await {
                return Some(Head { position, digest });
            }
        }
        None
    }
}

fn fault_of(error: &AskError) -> PeerFault {
    match error {
        AskError::NoAnswer => PeerFault::Misfit,
        AskError::Link(dsm_link::FrameError::TooSlow) => PeerFault::Late,
        AskError::Link(dsm_link::FrameError::TooLong { .. }) => PeerFault::TooMuch,
        AskError::Unreachable(_) | AskError::Link(_) => PeerFault::Broken,
    }
}

/// The stable word for it.
fn word_of(fault: PeerFault) -> &'static str {
    match fault {
        PeerFault::WrongContent => "wrong_content",
        PeerFault::TooMuch => "too_much",
        PeerFault::Misfit => "misfit",
        PeerFault::Denied => "denied",
        PeerFault::Late => "late",
        PeerFault::Broken => "broken",
    }
}
