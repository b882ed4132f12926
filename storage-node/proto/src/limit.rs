//! Limits of the protocol, each with a word on where its number comes from.

/// The version of the protocol that this crate speaks.
pub const VERSION: u16 = 1;

/// The longest payload of a record: what the store accepts.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// The longest frame: one longest record, and room for heads, a topology and signatures beside it.
pub const FRAME_BYTES_MAX: usize = RECORD_BYTES_MAX + (64 << 10);

/// Records in one frame. More of the smallest would make lists longer than the bytes they carry.
pub const FRAME_RECORDS_MAX: usize = 4096;

/// Members of a topology: the star's leader pays its bandwidth once for each.
pub const MEMBERS_MAX: usize = 16;

/// Bytes of a member's address: a host name has at most 253, a port 5.
pub const ADDRESS_BYTES_MAX: usize = 259;

/// Bytes of a member's key: a raw ML-DSA-65 public key.
pub const MEMBER_KEY_BYTES: usize = 1952;

/// Bytes of a signature: the longest suite.
pub const SIGNATURE_BYTES_MAX: usize = 3373;

/// Bytes of a checkpoint with its signature in a `Begin`.
pub const CHECKPOINT_BYTES_MAX: usize = 16 << 10;

/// Digests or ranges in one answer about a range of blobs.
pub const RANGE_ITEMS_MAX: usize = 256;

/// Connections that a follower keeps at once, greeted or not: the leader, a successor, and some to fetch.
pub const CONNECTIONS_MAX: usize = 64;

/// Pieces of evidence that a node hands out in one run: enough to convict, too few to fill a disk.
pub const EVIDENCE_MAX: usize = 1024;
