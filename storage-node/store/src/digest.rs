//! The 32-byte digests of this crate and the one rule that chains them.

/// A BLAKE3-256 digest.
pub type Digest = [u8; 32];

/// What stands before the hashed bytes of a log link: `H("log", x) = BLAKE3("DSM/" ‖ "log" ‖ 0x00 ‖ x)`.
const LOG_TAG: &[u8; 8] = b"DSM/log\0";

/// The same for the checks of an archive: `H("archive", x)`.
const ARCHIVE_TAG: &[u8; 12] = b"DSM/archive\0";

/// The chain digest of a log that has no records.
pub(crate) const EMPTY: Digest = [0; 32];

/// BLAKE3-256 of `bytes`, untagged: the address of a blob and the payload's part in [`chain`].
pub(crate) fn of(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}

/// `H("log", prev ‖ position (u64 LE) ‖ kind ‖ payload digest)`: the digest of the log up to `position`.
pub(crate) fn chain(prev: &Digest, position: u64, kind: u8, payload: &Digest) -> Digest {
    let mut hashed = [0u8; 81];
    hashed[..8].copy_from_slice(LOG_TAG);
    hashed[8..40].copy_from_slice(prev);
    hashed[40..48].copy_from_slice(&position.to_le_bytes());
    hashed[48] = kind;
    hashed[49..].copy_from_slice(payload);
    of(&hashed)
}

/// `H("archive", parts, one after the other)`: whoever calls this gives parts of fixed lengths before the last.
pub(crate) fn archive(parts: &[&[u8]]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(ARCHIVE_TAG);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}
