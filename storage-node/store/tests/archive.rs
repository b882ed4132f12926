//! Archives: the same bytes from any store with the same records, refused with the place if a byte is wrong, restored
//! whole or not at all (O1, O2, O4, O10).
#![allow(clippy::unwrap_used)] // in a test that is the failure

mod common;

use std::sync::Arc;

use common::{check_prefix, config, fill, kind, open, payload};
use dsm_store::archive::{self, ArchiveError, ArchiveLimits, Manifest};
use dsm_store::disk::{Crash, Disk, FaultyDisk, MemoryDisk, every_crash};
use dsm_store::{BlobError, Blobs, Log, LogConfig, LogError};

const LAST: u64 = 90;
const BLOB_BYTES_MAX: usize = 1 << 20;

fn limits() -> ArchiveLimits {
    ArchiveLimits { payload_bytes_max: 1 << 20, blob_bytes_max: BLOB_BYTES_MAX }
}

fn blobs_of(disk: &MemoryDisk, contents: &[&[u8]]) -> Blobs {
    let blobs = Blobs::open(Arc::new(disk.clone()), BLOB_BYTES_MAX).unwrap();
    for content in contents {
        blobs.put(content).unwrap();
    }
    blobs
}

const CONTENTS: [&[u8]; 4] = [b"first", b"", &[7; 5000], b"another"];

fn archive_of(log: &Log, blobs: &Blobs) -> (Manifest, Vec<u8>) {
    let mut bytes = Vec::new();
    let manifest = archive::write(&log.reader(), blobs, &mut bytes).unwrap();
    (manifest, bytes)
}

fn restore(bytes: &[u8], log: &impl DiskClone, blobs: &impl DiskClone) -> Result<Manifest, ArchiveError> {
    archive::restore(&mut &bytes[..], log.shared(), config(), blobs.shared(), BLOB_BYTES_MAX)
}

trait DiskClone {
    fn shared(&self) -> Arc<dyn Disk>;
}

impl<D: Disk + Clone + 'static> DiskClone for D {
    fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }
}

fn store() -> (Log, Blobs) {
    let (log, _) = open(&MemoryDisk::new()).unwrap();
    assert_eq!(fill(&log, LAST), LAST);
    (log, blobs_of(&MemoryDisk::new(), &CONTENTS))
}

/// Batches, segments, salts and the order in which blobs came leave no trace.
#[test]
fn equal_heads_and_blobs_give_equal_bytes() {
    let (log, blobs) = store();
    let (manifest, bytes) = archive_of(&log, &blobs);
    let expected = Manifest { first: 1, prev: [0; 32], head: LAST, digest: log.head().1, blobs: 4 };
    assert_eq!(manifest, expected);
    for (salt, segment_bytes, group) in [(1, 1, 1), (2, 1500, 2), (3, 1 << 20, LAST)] {
        let config = LogConfig { segment_bytes, ..LogConfig::new(salt) };
        let (other, _) = Log::open(Arc::new(MemoryDisk::new()), config).unwrap();
        for position in 1..=LAST {
            other.append(kind(position), &payload(position)).unwrap();
            if position % group == 0 {
                other.sync().unwrap();
            }
        }
        let mut contents = CONTENTS;
        contents.reverse();
        let other_blobs = blobs_of(&MemoryDisk::new(), &contents);
        assert!(archive_of(&other, &other_blobs).1 == bytes, "{salt}");
        // What is not durable is not in it.
        other.append(1, b"not synced").unwrap();
        assert!(archive_of(&other, &other_blobs).1 == bytes, "{salt}");
        other.sync().unwrap();
        assert!(archive_of(&other, &other_blobs).1 != bytes, "{salt}");
    }
}

#[test]
fn an_archive_is_restored_as_it_was() {
    let rows = [("a whole log", 1, LAST), ("no record", 1, 0), ("behind a checkpoint", 41, 70)];
    for (name, first, last) in rows {
        let (source, _) = open(&MemoryDisk::new()).unwrap();
        fill(&source, LAST);
        let start = source.reader().digest_at(first - 1).unwrap();
        let (log, _) = Log::begin(Arc::new(MemoryDisk::new()), config(), first - 1, start).unwrap();
        fill(&log, last);
        let blobs = blobs_of(&MemoryDisk::new(), &CONTENTS[..(last % 4) as usize]);
        let (manifest, bytes) = archive_of(&log, &blobs);
        assert_eq!(archive::verify(&mut &bytes[..], limits()).unwrap(), manifest, "{name}");
        let (log_disk, blob_disk) = (MemoryDisk::new(), MemoryDisk::new());
        assert_eq!(restore(&bytes, &log_disk, &blob_disk).unwrap(), manifest, "{name}");
        let (restored, report) = open(&log_disk.crash(Crash::LostUnsynced)).unwrap();
        assert_eq!((report.first, restored.head()), (first, log.head()), "{name}");
        let restored_blobs = blobs_of(&blob_disk.crash(Crash::LostUnsynced), &[]);
        assert!(archive_of(&restored, &restored_blobs).1 == bytes, "{name}");
        assert!(matches!(restore(&bytes, &log_disk, &blob_disk), Err(ArchiveError::NotEmpty { .. })));
    }
}

/// O5: every byte of an archive flipped, every length it can be cut to, and bytes behind it.
#[test]
fn o5_a_damaged_archive_is_refused_with_the_place() {
    let (log, blobs) = store();
    let (_, bytes) = archive_of(&log, &blobs);
    let verify = |bytes: &[u8]| archive::verify(&mut &bytes[..], limits());
    for offset in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[offset] ^= 1 << (offset % 8);
        let place = match verify(&flipped).unwrap_err() {
            ArchiveError::NotAnArchive => 0,
            ArchiveError::Damaged { offset } | ArchiveError::Truncated { offset } => offset,
            error => panic!("{offset}: {error}"),
        };
        let part = if offset < 132 { 0 } else { 132 };
        assert!(place >= part && place <= bytes.len() as u64, "{offset}: {place}");
        let refused = verify(&bytes[..offset]).unwrap_err();
        assert!(
            matches!(refused, ArchiveError::Truncated { offset: at } if at == offset as u64),
            "{refused}"
        );
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let end = bytes.len() as u64;
    assert!(matches!(verify(&longer), Err(ArchiveError::Trailing { offset }) if offset == end));
    let short = ArchiveLimits { payload_bytes_max: 200, ..limits() };
    assert!(matches!(archive::verify(&mut &bytes[..], short), Err(ArchiveError::TooLong { limit: 200, .. })));
    let short = ArchiveLimits { blob_bytes_max: 200, ..limits() };
    assert!(matches!(
        archive::verify(&mut &bytes[..], short),
        Err(ArchiveError::TooLong { found: 5000, .. })
    ));
}

/// More than one chunk, and chunks that change places.
#[test]
fn o5_the_chunks_of_a_long_archive_keep_their_order() {
    let (log, _) = open(&MemoryDisk::new()).unwrap();
    for position in 0..5u64 {
        log.append(1, &[position as u8; 800_000]).unwrap();
    }
    log.sync().unwrap();
    let blobs = blobs_of(&MemoryDisk::new(), &CONTENTS);
    let (manifest, bytes) = archive_of(&log, &blobs);
    assert_eq!(archive::verify(&mut &bytes[..], limits()).unwrap(), manifest);
    let chunk = 36 + (1 << 20);
    let mut swapped = bytes.clone();
    swapped[132..132 + chunk].copy_from_slice(&bytes[132 + chunk..132 + 2 * chunk]);
    swapped[132 + chunk..132 + 2 * chunk].copy_from_slice(&bytes[132..132 + chunk]);
    let refused = archive::verify(&mut &swapped[..], limits());
    assert!(matches!(refused, Err(ArchiveError::Damaged { offset: 132 })));
    let mut flipped = bytes.clone();
    flipped[132 + 2 * chunk + 999] ^= 1;
    let place = 132 + 2 * chunk as u64;
    let refused = archive::verify(&mut &flipped[..], limits());
    assert!(matches!(refused, Err(ArchiveError::Damaged { offset }) if offset == place));
}

/// O5: an archive is never made of a damaged store.
#[test]
fn o5_a_damaged_store_gives_no_archive() {
    let (log_disk, blob_disk) = (MemoryDisk::new(), MemoryDisk::new());
    let (log, _) = open(&log_disk).unwrap();
    fill(&log, LAST);
    let blobs = blobs_of(&blob_disk, &CONTENTS);
    let segment = log_disk.list().unwrap().remove(0);
    log_disk.flip(&segment, 300, 1);
    let refused = archive::write(&log.reader(), &blobs, &mut Vec::new());
    assert!(matches!(refused, Err(ArchiveError::Log(LogError::Damaged { .. }))));
    log_disk.flip(&segment, 300, 1);
    let size = |name: &String| blob_disk.open(name).unwrap().size().unwrap();
    let blob = blob_disk.list().unwrap().into_iter().find(|name| size(name) > 0).unwrap();
    blob_disk.flip(&blob, 0, 1);
    let refused = archive::write(&log.reader(), &blobs, &mut Vec::new());
    assert!(matches!(refused, Err(ArchiveError::Blob(BlobError::Damaged { .. }))));
}

/// O1, O2, O10: an interrupted restore is not taken for a log, and is done again.
#[test]
fn o1_o2_o10_an_interrupted_restore_is_no_log() {
    let (log, blobs) = store();
    let (manifest, bytes) = archive_of(&log, &blobs);
    let restore_log = |disk: &FaultyDisk| restore(&bytes, disk, &MemoryDisk::new()).is_ok();
    let mut refused = 0;
    let disks = every_crash(5, restore_log, |point, disk, is_restored| {
        match open(&disk) {
            Ok((_, report)) if report.head == 0 => assert!(!is_restored, "{point:?}"),
            Ok((restored, _)) => assert_eq!(restored.head(), log.head(), "{point:?}"),
            Err(LogError::RestoreInterrupted) => refused += 1,
            Err(error) => panic!("{point:?}: {error}"),
        }
        if disk.list().unwrap().iter().any(|name| name == "restoring") {
            assert!(!is_restored, "{point:?}");
            let old = MemoryDisk::new();
            blobs_of(&old, &[b"left by another archive"]);
            assert_eq!(restore(&bytes, &disk, &old).unwrap(), manifest, "{point:?}");
            let (restored, _) = open(&disk).unwrap();
            check_prefix(&restored);
            assert_eq!(archive_of(&restored, &blobs_of(&old, &[])).1, bytes, "{point:?}");
        }
    });
    assert!(disks > 50 && refused > 20, "{disks} {refused}");
    // Power is lost on the disk of the blobs.
    every_crash(
        5,
        |disk| {
            let log_disk = MemoryDisk::new();
            (restore(&bytes, &log_disk, disk).is_ok(), log_disk)
        },
        |point, disk, (is_restored, log_disk)| {
            assert_eq!(open(log_disk).is_ok(), *is_restored, "{point:?}");
            if *is_restored {
                assert_eq!(blobs_of(&disk, &[]).scrub().unwrap().blobs, 4, "{point:?}");
            }
        },
    );
}

/// O4: a restore into too small a disk is refused, and succeeds when there is room.
#[test]
fn o4_a_restore_into_a_full_disk_is_refused() {
    let (log, blobs) = store();
    let (manifest, bytes) = archive_of(&log, &blobs);
    for capacity in [0, 50, 500, 10_000] {
        let (log_disk, blob_disk) = (MemoryDisk::new(), MemoryDisk::new());
        log_disk.set_capacity(Some(capacity));
        let refused = restore(&bytes, &log_disk, &blob_disk);
        assert!(matches!(refused, Err(ArchiveError::Log(LogError::DiskFull))), "{capacity}");
        log_disk.set_capacity(None);
        assert_eq!(restore(&bytes, &log_disk, &blob_disk).unwrap(), manifest, "{capacity}");
        assert_eq!(open(&log_disk).unwrap().0.head(), log.head());
    }
}
