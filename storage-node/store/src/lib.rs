//! The store: an append-only hash-chained log, content-addressed blobs, and an index derived from the log.
//!
//! The log's segments are the truth and are made durable first; the index can be deleted at any time and is
//! rebuilt from them; a blob is a file named by its hash. Whatever is read is hashed again before it is
//! served, because neither a file system nor a key-value engine promises to notice a flipped bit.
//!
//! Left out on purpose: the store interprets nothing. Records are opaque bytes, keys are opaque 32 bytes;
//! signatures, transitions, clocks, sockets and retention live elsewhere.

pub mod archive;
mod blobs;
mod digest;
pub mod disk;
mod index;

pub mod log;

pub use blobs::{BlobError, BlobScrub, Blobs};
pub use digest::Digest;
pub use disk::{Disk, DiskFile, RealDisk};

pub use index::{Index, IndexConfig, IndexEntry, IndexError, IndexReport, Rebuilt};
pub use log::{
    Appended, Aside, AsideReader, Cut, Damage, Log, LogConfig, LogError, LogIter, LogReader, Offered, Pruned,
    Record, RecoveryReport, RepairError, Salvage, Scrub, Stretch, read_aside,
};
