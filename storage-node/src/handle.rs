//! What the parts of a running node share, and what others may ask of it.

use crate::config::Upkeep;
use crate::keeper::State as KeeperState;
use crate::metrics::{Metrics, Page};
use crate::serve::{Ended, Event};
use crate::status::{EvidenceView, MemberView, ScrubView, State, Status};
use crate::vault::Vault;
use dsm_abi::{Digest, decode};
use dsm_core::PublicKey;
use dsm_link::Endpoint;
use dsm_proto::{Evidence, Head, NodeId, Promise};
use dsm_store::{LogConfig, archive};
use parking_lot::{Mutex, RwLock};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Bytes of one piece of evidence.
const EVIDENCE_BYTES_MAX: usize = 1 << 20;

/// What the parts of a running node share.
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) public_key: PublicKey,
    pub(crate) core: NodeId,
    pub(crate) upkeep: watch::Sender<Upkeep>,
    pub(crate) log_config: LogConfig,
    pub(crate) vault: Vault,
    pub(crate) endpoint: Endpoint,
    pub(crate) metrics: Metrics,
    pub(crate) keeper: KeeperState,
    pub(crate) promise: RwLock<Option<Arc<Promise>>>,
    pub(crate) evidence: RwLock<Vec<Vec<u8>>>,
    pub(crate) core_head: AtomicU64,
    pub(crate) core_connected: AtomicBool,
    pub(crate) draining: AtomicBool,
    /// Whether something damaged waits for repair: nothing is acknowledged meanwhile.
    pub(crate) damaged: watch::Sender<bool>,
    pub(crate) ended: watch::Sender<Option<Ended>>,
    pub(crate) scrub: Mutex<Option<ScrubView>>,
    pub(crate) faults: Mutex<std::collections::BTreeMap<&'static str, u64>>,
    /// Called when a package is wanted that is not here.
    pub(crate) wanted: Notify,
    /// Called when something damaged was read.
    pub(crate) suspicion: Notify,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) scrubs: mpsc::Sender<oneshot::Sender<Result<ScrubView, String>>>,
    pub(crate) started: Instant,
}

/// A running node, for whoever asks it something.
#[derive(Clone)]
pub(crate) struct Handle(pub(crate) Arc<Shared>);

impl std::ops::Deref for Handle {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Shared {
    /// Counts what a peer did that no honest one does.
    pub(crate) fn fault(&self, reason: &'static str) {
        *self.faults.lock().entry(reason).or_default() += 1;
    }

    /// Something that was durable is damaged, or is whole again.
    pub(crate) fn damage(&self, damaged: bool) {
        let before = self.damaged.send_replace(damaged);
        if damaged && !before {
            // The loop is gone only if the node ends.
            drop(self.events.send(Event::Damaged));
        }
    }

    /// What is durable is not known any more: the node ends.
    pub(crate) fn fail(&self, reason: String) {
        // The loop is gone only if the node has ended already.
        drop(self.events.send(Event::Failed(reason)));
    }

    pub(crate) fn state(&self) -> State {
        if self.ended.borrow().is_some() {
            State::Stopped
        } else if self.draining.load(Ordering::Relaxed) {
            State::Draining
        } else if *self.damaged.borrow() {
            State::Mending
        } else if self.keeper.full.load(Ordering::Relaxed) {
            State::Full
        } else {
            State::Serving
        }
    }

    /// The end of the durable log, and the first position kept.
    pub(crate) fn durable(&self) -> (u64, Head) {
        let Some(reader) = self.vault.reader() else { return (1, Head::EMPTY) };
        let (position, digest) = reader.durable();
        (reader.first(), Head { position, digest: Digest(digest) })
    }
}

impl Handle {
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn status(&self) -> Status {
        let (first, head) = self.durable();
        let promise = self.promise.read().clone();
        let topology = promise.as_ref().map(|promise| &promise.topology.topology);
        let members = topology.map_or_else(Vec::new, |topology| {
            let view = |member: &dsm_proto::Member| MemberView {
                node: member.node().to_string(),
                address: member.address().to_owned(),
                primary: member.node() == topology.primary(),
                this: member.node() == self.node,
            };
            topology.members().iter().map(view).collect()
        });
        let core_head = self.core_head.load(Ordering::Relaxed).max(head.position);
        let stopped = match &*self.ended.borrow() {
            Some(Ended::Failed(reason)) => Some(reason.clone()),
            Some(Ended::Asked) | None => None,
        };
        let link = self.endpoint.metrics();
        let handshakes = link.refused.iter().map(|(reason, count)| (reason.code().to_owned(), *count));
        let faults = self.faults.lock().clone();
        let faults = faults.into_iter().map(|(reason, count)| (reason.to_owned(), count));
        Status {
            node: self.node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: self.state(),
            stopped,
            network: topology.map(|topology| topology.network().to_string()),
            epoch: topology.map_or(0, |topology| topology.epoch()),
            members,
            core_connected: self.core_connected.load(Ordering::Relaxed),
            first,
            head: head.position,
            digest: head.digest.to_string(),
            core_head,
            lag: core_head - head.position,
            segments: self.vault.reader().map_or(0, |reader| reader.segments()),
            blobs: self.vault.packages(),
            policies_missing: self.vault.missing(),
            unchecked: self.0.metrics.unchecked.get(),
            evidence: self.evidence.read().len(),
            refused: handshakes.chain(faults).filter(|(_, count)| *count > 0).collect(),
            scrub: self.scrub.lock().clone(),
            retention: self.upkeep.borrow().retention.to_string(),
            uptime_s: self.started.elapsed().as_secs(),
        }
    }

    pub(crate) fn evidence(&self) -> Vec<EvidenceView> {
        self.evidence.read().iter().filter_map(|bytes| evidence_view(bytes)).collect()
    }

    /// Hashes everything again and repairs what is damaged.
    pub(crate) async fn scrub(&self) -> Result<ScrubView, String> {
        let (reply, answer) = oneshot::channel();
        let ended = || "the node has ended".to_owned();
        self.scrubs.send(reply).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Takes nothing new, lets acks go out, ends.
    pub(crate) fn drain(&self) {
        // The loop is gone only if the node has ended already.
        drop(self.events.send(Event::Drain));
    }

    pub(crate) fn write_archive(&self, out: &mut dyn Write) -> io::Result<()> {
        let reader = self.vault.reader().ok_or_else(|| io::Error::other("the log is being repaired"))?;
        archive::write(&reader, &self.vault.blobs, out).map(|_| ()).map_err(io::Error::other)
    }

    pub(crate) fn metrics_page(&self) -> String {
        let (metrics, status) = (self.metrics(), self.status());
        let link = self.endpoint.metrics();
        let mut page = Page::new();
        page.gauge("dsm_storage_head", "The last durable record.", status.head);
        page.gauge("dsm_storage_first", "The first record kept.", status.first);
        page.gauge(
            "dsm_storage_core_head",
            "The core node's last durable record, as it said.",
            status.core_head,
        );
        page.gauge("dsm_storage_lag", "Records of the core node that are missing here.", status.lag);
        page.gauge("dsm_storage_epoch", "The highest epoch promised.", status.epoch);
        page.gauge("dsm_storage_segments", "Segments of the log.", status.segments as u64);
        page.gauge("dsm_storage_blobs", "Policy packages kept.", status.blobs as u64);
        let missing = status.policies_missing as u64;
        page.gauge("dsm_storage_policies_missing", "Published policies without their package.", missing);
        page.gauge("dsm_storage_evidence", "Pieces of evidence kept.", status.evidence as u64);
        page.gauge(
            "dsm_storage_core_connected",
            "1 while the core node is connected.",
            status.core_connected.into(),
        );
        let serving = status.state == State::Serving;
        page.gauge("dsm_storage_serving", "1 while shipped records are appended.", serving.into());
        page.gauge("dsm_storage_full", "1 while the device is full.", (status.state == State::Full).into());
        page.gauge("dsm_storage_connections", "Connections open.", link.open);
        page.gauge("dsm_storage_uptime_seconds", "Seconds since the start.", status.uptime_s);
        page.counter("dsm_storage_records", "Records appended.", metrics.records.get());
        page.counter("dsm_storage_record_bytes", "Bytes of their payloads.", metrics.record_bytes.get());
        page.counter("dsm_storage_acks", "Acks sent.", metrics.acks.get());
        page.counter("dsm_storage_signatures", "Signatures of authors verified.", metrics.signatures.get());
        page.counter(
            "dsm_storage_unchecked",
            "Transitions with keys older than this log.",
            metrics.unchecked.get(),
        );
        page.counter(
            "dsm_storage_bad_authors",
            "Batches refused by author checks.",
            metrics.bad_authors.get(),
        );
        page.counter("dsm_storage_set_aside", "Diverged tails set aside.", metrics.set_aside.get());
        page.counter("dsm_storage_queries", "Questions answered.", metrics.queries.get());
        page.counter(
            "dsm_storage_queries_refused",
            "Questions answered with `busy`.",
            metrics.queries_refused.get(),
        );
        page.counter("dsm_storage_served_bytes", "Bytes of answers.", metrics.served_bytes.get());
        page.counters(
            "dsm_storage_repairs",
            "What was fetched from other members and stored.",
            "what",
            [
                ("record", metrics.repaired_records.get()),
                ("blob", metrics.repaired_blobs.get()),
                ("new_blob", metrics.fetched_blobs.get()),
            ],
        );
        page.counter(
            "dsm_storage_blobs_refused",
            "Packages offered that nobody published.",
            metrics.refused_blobs.get(),
        );
        page.counter("dsm_storage_scrubs", "Scrubs finished.", metrics.scrubs.get());
        page.counter("dsm_storage_damaged", "Damaged records and blobs found.", metrics.damaged.get());
        page.counter("dsm_storage_pruned_segments", "Segments removed by retention.", metrics.pruned.get());
        page.counter("dsm_storage_link_bytes_sent", "Bytes of frames sent.", link.frame_bytes_sent);
        page.counter(
            "dsm_storage_link_bytes_received",
            "Bytes of frames received.",
            link.frame_bytes_received,
        );
        let refused = status.refused.iter().map(|(reason, count)| (reason.as_str(), *count));
        page.counters("dsm_storage_refused", "Peers and frames refused.", "reason", refused);
        page.histogram("dsm_storage_fsync_seconds", "Time of one fsync.", &metrics.fsync);
        page.histogram(
            "dsm_storage_verify_seconds",
            "Time to check the authors of one batch.",
            &metrics.verify,
        );
        let classes = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
        let answered = classes.into_iter().zip(metrics.http.iter().map(|counter| counter.get()));
        page.counters("dsm_storage_http_requests", "HTTP requests by class of status.", "status", answered);
        page.end()
    }
}

fn evidence_view(bytes: &[u8]) -> Option<EvidenceView> {
    let evidence: Evidence = decode(bytes, EVIDENCE_BYTES_MAX).ok()?;
    let (kind, summary) = describe(&evidence);
    Some(EvidenceView { kind: kind.to_owned(), summary, bytes: hex::encode(bytes) })
}

/// What kind of evidence this is, a stable word, and one sentence about it.
pub(crate) fn describe(evidence: &Evidence) -> (&'static str, String) {
    match evidence {
        Evidence::TwoTopologies { held, .. } => {
            let epoch = held.topology.epoch();
            ("two_topologies", format!("the core node signed two topologies of epoch {epoch}"))
        }
        Evidence::TwoAcks { node, first, .. } => {
            ("two_acks", format!("node {node} acknowledged two logs at position {}", first.head.position))
        }
        Evidence::OtherAck { node, ack, .. } => {
            ("other_ack", format!("node {node} acknowledged another log at position {}", ack.head.position))
        }
        Evidence::RolledBack { node, acked, head } => {
            let (before, now) = (acked.head.position, head.position);
            ("rolled_back", format!("node {node} acknowledged position {before} and stands at {now}"))
        }
        Evidence::TwoRecords { epoch, held, .. } => {
            let end = held.position;
            (
                "two_records",
                format!("a writer of epoch {epoch} sent another record for a position up to {end}"),
            )
        }
    }
}
