//! Decoding and verification, in parallel: bytes from strangers go in, verified transitions come out.

use super::metrics::count;
use super::sequencer::Event;
use super::{Respond, Shared, SubmitError};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use dsm_core::{AdmitError, SignedTransition, VerifiedTransition};
use dsm_crypto::Verifier;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What a client is told to wait when the node is overloaded, in ms: a few group commits.
const RETRY_AFTER_MS: u64 = 50;

/// A submission on its way.
pub(super) struct Arrival {
    pub(super) respond: Respond,
    pub(super) since: Instant,
    pub(super) in_flight: InFlight,
}

/// Counts the bytes of a submission until it is answered.
pub(super) struct InFlight {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Arrival {
    /// Answers the client.
    pub(super) fn answer(self, answer: Result<dsm_sdk::receipt::Receipt, SubmitError>) {
        drop(self.in_flight);
        (self.respond)(answer);
    }
}

/// The bytes of a submission and who waits for its answer.
type Submission = (Vec<u8>, Arrival);

/// The door: a bounded queue in front of the verifying threads, and a way past them for the node's own events.
pub(super) struct Intake {
    queue: RwLock<Option<Sender<Submission>>>,
    sequencer: RwLock<Option<Sender<Vec<Event>>>>,
    in_flight: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The other end of the door.
pub(super) type Arrivals = Receiver<Submission>;

impl Intake {
    pub(super) fn new(
        queue_max: usize,
        bytes_max: usize,
        sequencer: Sender<Vec<Event>>,
    ) -> (Intake, Arrivals) {
        let (sender, receiver) = bounded(queue_max);
        let queue = RwLock::new(Some(sender));
        let sequencer = RwLock::new(Some(sequencer));
        (Intake { queue, sequencer, in_flight: Arc::default(), bytes_max }, receiver)
    }

    /// Sends one of the node's own events; false if the node stops.
    pub(super) fn send(&self, event: Event) -> bool {
        let sequencer = self.sequencer.read().clone();
        sequencer.is_some_and(|sequencer| sequencer.send(vec![event]).is_ok())
    }

    pub(super) fn submit(&self, shared: &Shared, bytes: Vec<u8>, respond: Respond) {
        count(&shared.metrics.submitted);
        if shared.progress.is_full() {
            return respond(Err(SubmitError::StorageFull));
        }
        if let Some(refusal) = shared.replicas.standing().refusal() {
            return respond(Err(refusal));
        }
        let overloaded = || {
            count(&shared.metrics.overloaded);
            SubmitError::Overloaded { retry_after_ms: RETRY_AFTER_MS }
        };
        let size = bytes.len();
        let before = self.in_flight.fetch_add(size, Ordering::Relaxed);
        let in_flight = InFlight { bytes: size, total: Arc::clone(&self.in_flight) };
        let arrival = Arrival { respond, since: Instant::now(), in_flight };
        if before + size > self.bytes_max {
            return arrival.answer(Err(overloaded()));
        }
        let Some(queue) = self.queue.read().clone() else {
            return arrival.answer(Err(SubmitError::Stopped));
        };
        match queue.try_send((bytes, arrival)) {
            Ok(()) => {}
            Err(TrySendError::Full((_, arrival))) => arrival.answer(Err(overloaded())),
            Err(TrySendError::Disconnected((_, arrival))) => arrival.answer(Err(SubmitError::Stopped)),
        }
    }

    /// Submissions waiting for verification.
    pub(super) fn waiting(&self) -> usize {
        self.queue.read().as_ref().map_or(0, Sender::len)
    }

    /// Whether submissions are taken.
    pub(super) fn is_open(&self) -> bool {
        self.queue.read().is_some()
    }

    /// Takes no more; the threads end when they have worked off the queue.
    pub(super) fn close(&self) {
        self.queue.write().take();
        self.sequencer.write().take();
    }
}

/// Transitions that a verifying thread hands over at once: waking the sequencer for each would cost as much as what
/// it does for it.
const HANDOVER_MAX: usize = 32;

/// One verifying thread. It hands over what it has as soon as nothing waits.
pub(super) fn verify_arrivals(
    shared: &Shared,
    verifier: &Verifier,
    arrivals: &Arrivals,
    sequencer: &Sender<Vec<Event>>,
) {
    while let Ok(first) = arrivals.recv() {
        let more = arrivals.try_iter().take(HANDOVER_MAX - 1);
        let verified: Vec<Event> = std::iter::once(first)
            .chain(more)
            .filter_map(|(bytes, arrival)| match admit(shared, verifier, &bytes) {
                Ok(verified) => Some(Event::Verified(Box::new(verified), arrival)),
                Err(error) => {
                    refuse(shared, &bytes, error, arrival);
                    None
                }
            })
            .collect();
        if let Err(unsent) = sequencer.send(verified) {
            unsent.into_inner().into_iter().for_each(Event::stopped);
        }
    }
}

/// Answers what did not verify. Evidence that counted once may count no more, because a bridge moved or froze since:
/// a transition that was accepted then gets its receipt all the same.
fn refuse(shared: &Shared, bytes: &[u8], error: AdmitError, arrival: Arrival) {
    if let AdmitError::Bridge { .. } | AdmitError::Evidence { .. } = error
        && let Ok(signed) = SignedTransition::decode(bytes)
        && let Ok(Some(receipt)) = shared.history.receipt(&signed.transition.id())
    {
        count(&shared.metrics.duplicates);
        return arrival.answer(Ok(receipt));
    }
    count(&shared.metrics.not_admitted);
    arrival.answer(Err(SubmitError::Admit(error)));
}

fn admit(shared: &Shared, verifier: &Verifier, bytes: &[u8]) -> Result<VerifiedTransition, AdmitError> {
    let start = Instant::now();
    let network = shared.network;
    let verified = match SignedTransition::decode(bytes)?.verify(network, &Directory(shared), verifier) {
        // Keys that were rotated since: the signature still counts as evidence of a second successor.
        Err(error @ (AdmitError::Signature { .. } | AdmitError::UnknownKey { .. })) => {
            let signed = SignedTransition::decode(bytes)?;
            let earlier = shared.history.keys_at_parents(&signed.transition);
            signed.verify(network, &earlier, verifier).map_err(|_| error)
        }
        other => other,
    }?;
    shared.metrics.verify.observe(start.elapsed());
    Ok(verified)
}

/// The keys of all accounts at their heads.
struct Directory<'a>(&'a Shared);

impl dsm_core::KeyDirectory for Directory<'_> {
    fn key_set(&self, account: &dsm_abi::AccountId) -> Option<(dsm_core::KeySetId, Arc<dsm_core::KeySet>)> {
        self.0.ledger.read().key_set(account)
    }

    fn key_ids(&self, account: &dsm_abi::AccountId) -> Option<Arc<[dsm_abi::KeyId]>> {
        self.0.ledger.read().key_ids(account)
    }

    fn bridge(&self, bridge: &dsm_abi::BridgeId) -> Option<Arc<dsm_core::BridgeState>> {
        self.0.ledger.read().bridge(bridge)
    }
}
