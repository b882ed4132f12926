//! What the node keeps: the log, which a beginning may replace, and the packages of published policies.

use crate::authors::RECORD_BYTES_MAX;
use dsm_abi::{Digest as Address, PolicyId, decode};
use dsm_core::Entry;
use dsm_crypto::Verifier;
use dsm_proto::reconcile::{BlobSet, RangeAnswer, RangeQuery};
use dsm_sdk::package::{PACKAGE_BYTES_MAX, Package, PolicyDocument};
use dsm_store::{BlobError, Blobs, Digest, Disk, Log, LogReader};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Packages of others that nobody asked for and that are remembered, so that they are not fetched again and again.
const UNWANTED_MAX: usize = 4096;

/// The log and the packages.
pub(crate) struct Vault {
    pub(crate) disk: Arc<dyn Disk>,
    /// `None` while it is too damaged to be opened.
    log: RwLock<Option<Arc<Log>>>,
    pub(crate) blobs: Blobs,
    verifier: Verifier,
    shelf: Mutex<Shelf>,
}

/// Which packages are here, and which should be.
#[derive(Default)]
struct Shelf {
    published: BTreeSet<PolicyId>,
    held: BTreeMap<PolicyId, Digest>,
    digests: BlobSet,
    unwanted: BTreeSet<Digest>,
}

/// What became of a package that a peer gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// Stored, or here already.
    Kept,
    /// It is what its digest says, and nobody published it.
    Unwanted,
    /// It is no package that its author signed.
    Bad,
}

impl Vault {
    /// Reads all packages again. Gives besides the digests of those that are damaged.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        blobs: Arc<dyn Disk>,
        verifier: Verifier,
    ) -> Result<(Vault, Vec<Digest>), BlobError> {
        let blobs = Blobs::open(blobs, PACKAGE_BYTES_MAX)?;
        let mut shelf = Shelf::default();
        let mut damaged = Vec::new();
        for digest in blobs.list()? {
            match blobs.get(&digest) {
                Ok(bytes) => {
                    if let Ok(package) = Package::decode(&bytes) {
                        shelf.held.insert(PolicyDocument::policy(&package.document), digest);
                    }
                    shelf.digests.insert(Address(digest));
                }
                Err(BlobError::Damaged { id }) => damaged.push(id),
                Err(error) => return Err(error),
            }
        }
        let vault = Vault { disk, log: RwLock::new(None), blobs, verifier, shelf: Mutex::new(shelf) };
        Ok((vault, damaged))
    }

    /// The log, unless it is too damaged to be opened.
    pub(crate) fn log(&self) -> Option<Arc<Log>> {
        self.log.read().clone()
    }

    /// Reads the log.
    pub(crate) fn reader(&self) -> Option<LogReader> {
        self.log.read().as_ref().map(|log| log.reader())
    }

    /// Takes a log over in place of the one before.
    pub(crate) fn set_log(&self, log: Log) -> Arc<Log> {
        let log = Arc::new(log);
        *self.log.write() = Some(Arc::clone(&log));
        log
    }

    /// The log is closed again.
    pub(crate) fn clear_log(&self) {
        *self.log.write() = None;
    }

    /// The log publishes these policies. Whether the package of one of them is missing.
    pub(crate) fn publish(&self, policies: &[PolicyId]) -> bool {
        let mut shelf = self.shelf.lock();
        shelf.published.extend(policies);
        let missing = policies.iter().any(|policy| !shelf.held.contains_key(policy));
        if missing {
            // What nobody wanted may be what is wanted now.
            shelf.unwanted.clear();
        }
        missing
    }

    /// How many published policies have no package here.
    pub(crate) fn missing(&self) -> usize {
        let shelf = self.shelf.lock();
        shelf.published.iter().filter(|policy| !shelf.held.contains_key(policy)).count()
    }

    /// The digests of all packages here.
    pub(crate) fn digests(&self) -> BlobSet {
        self.shelf.lock().digests.clone()
    }

    /// What is here of a range of digests.
    pub(crate) fn range(&self, query: &RangeQuery) -> RangeAnswer {
        self.shelf.lock().digests.answer(query)
    }

    /// How many packages are here.
    pub(crate) fn packages(&self) -> usize {
        self.shelf.lock().digests.len()
    }

    /// Whether a blob with this digest would be new and is not known to be useless.
    pub(crate) fn wants(&self, digest: &Digest) -> bool {
        let shelf = self.shelf.lock();
        !shelf.digests.contains(&Address(*digest)) && !shelf.unwanted.contains(digest)
    }

    /// Stores a package that somebody gave as the content of `digest`, if that is what it is, its author signed it,
    /// and the log publishes it. `again` says that it was here before and is damaged: then the hash is enough.
    pub(crate) fn offer(&self, digest: &Digest, bytes: &[u8], again: bool) -> Result<Offered, BlobError> {
        if blake3::hash(bytes).as_bytes() != digest {
            return Ok(Offered::Bad);
        }
        if again {
            self.blobs.put(bytes)?;
            self.shelf.lock().digests.insert(Address(*digest));
        }
        let Ok(verified) = Package::decode(bytes).and_then(|package| package.verify(&self.verifier)) else {
            return Ok(if again { Offered::Kept } else { Offered::Bad });
        };
        let policy = verified.policy();
        {
            let mut shelf = self.shelf.lock();
            // One package for each policy: a second signature of the author changes nothing.
            let useless = !shelf.published.contains(&policy) || shelf.held.contains_key(&policy);
            if useless && !again {
                if shelf.unwanted.len() < UNWANTED_MAX {
                    shelf.unwanted.insert(*digest);
                }
                return Ok(Offered::Unwanted);
            }
        }
        self.blobs.put(bytes)?;
        let mut shelf = self.shelf.lock();
        shelf.held.insert(policy, *digest);
        shelf.digests.insert(Address(*digest));
        Ok(Offered::Kept)
    }
}

/// The time and place of a checkpoint, if this is the record of one: what it covers ends at `covers`.
pub(crate) fn checkpoint_of(payload: &[u8]) -> Option<Stamp> {
    // The tag of the enumeration is its first byte: other records are not decoded for this.
    if payload.first() != Some(&2) {
        return None;
    }
    match decode::<Entry>(payload, RECORD_BYTES_MAX) {
        Ok(Entry::Checkpoint(signed)) => {
            Some(Stamp { covers: signed.checkpoint.log_position, to_ms: signed.checkpoint.to_ms })
        }
        Ok(_) | Err(_) => None,
    }
}

/// A checkpoint as far as retention goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The last record that it covers.
    pub(crate) covers: u64,
    /// The time of the last transition that it covers, in ms since the Unix epoch, as the core node stamped it.
    pub(crate) to_ms: u64,
}

/// Checkpoints remembered for retention; older ones are forgotten first, which keeps more records.
const STAMPS_MAX: usize = 1 << 16;
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Which checkpoints the log holds.
#[derive(Debug, Default)]
pub(crate) struct Stamps(BTreeMap<u64, u64>);

impl Stamps {
    pub(crate) fn add(&mut self, stamp: Stamp) {
        if self.0.len() >= STAMPS_MAX {
            self.0.pop_first();
        }
        self.0.insert(stamp.covers, stamp.to_ms);
    }

    /// The log begins or ends elsewhere: it keeps `first` to `head`.
    pub(crate) fn keep(&mut self, first: u64, head: u64) {
        self.0.retain(|covers, _| *covers + 1 >= first && *covers < head);
    }

    /// The first position to keep if nothing older than `days` is wanted: behind the newest checkpoint that is that
    /// old. Age is told by the core node's stamps in the log, not by this machine's clock, which may jump.
    pub(crate) fn keep_from(&self, days: u32) -> Option<u64> {
        let now_ms = *self.0.last_key_value()?.1;
        let limit_ms = now_ms.checked_sub(u64::from(days) * DAY_MS)?;
        let old = self.0.iter().rev().find(|(_, to_ms)| **to_ms <= limit_ms)?;
        Some(old.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o6_only_what_lies_behind_a_checkpoint_of_that_age_may_go() {
        let mut stamps = Stamps::default();
        assert_eq!(stamps.keep_from(1), None);
        let day = |number: u64| number * DAY_MS;
        for (covers, to_ms) in [(10, day(1)), (20, day(2)), (30, day(3)), (40, day(9))] {
            stamps.add(Stamp { covers, to_ms });
        }
        let rows = [(1, Some(31)), (6, Some(31)), (7, Some(21)), (8, Some(11)), (9, None), (u32::MAX, None)];
        for (days, from) in rows {
            assert_eq!(stamps.keep_from(days), from, "{days} days");
        }
        stamps.keep(31, 100);
        assert_eq!(stamps.keep_from(7), None);
        assert_eq!(stamps.keep_from(6), Some(31));
    }
}
