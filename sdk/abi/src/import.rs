//! The host functions, once, as data: the gate checks signatures against this table, the engine links from
//! it, and the guest SDK declares the same names. All pointers and lengths are `i32` into the guest's memory.

/// The only module that a policy may import from.
pub const MODULE: &str = "dsm1";

/// A host function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// Its name in module [`MODULE`].
    pub name: &'static str,
    /// How many `i32` parameters it takes.
    pub params: usize,
    /// Whether it returns one `i32`.
    pub returns: bool,
    /// Fuel that each call costs.
    pub fuel: u64,
    /// Fuel that each byte of input and output costs besides.
    pub fuel_per_byte: u64,
    /// What it does, for authors.
    pub doc: &'static str,
}

/// Reads one key of the policy's own state.
pub const STATE_GET: Import = Import {
    name: "state_get",
    params: 4,
    returns: true,
    fuel: 400,
    fuel_per_byte: 1,
    doc: "state_get(key, key_len, out, out_cap) -> length of the value written to out, or -1 if the key is absent",
};
/// Reads a range of the policy's own state.
pub const STATE_SCAN: Import = Import {
    name: "state_scan",
    params: 7,
    returns: true,
    fuel: 800,
    fuel_per_byte: 1,
    doc: "state_scan(prefix, prefix_len, after, after_len, limit, out, out_cap) -> length of a Borsh Vec<(Vec<u8>, Vec<u8>)> written to out: at most limit entries whose key starts with prefix and is greater than after, in key order",
};
/// Reads one key of another token's policy state.
pub const FOREIGN_GET: Import = Import {
    name: "foreign_get",
    params: 5,
    returns: true,
    fuel: 400,
    fuel_per_byte: 1,
    doc: "foreign_get(read, key, key_len, out, out_cap) -> as state_get, in the state of the foreign read that the description declares at position read; an undeclared position is a fault",
};
/// Hashes bytes.
pub const HASH: Import = Import {
    name: "hash",
    params: 4,
    returns: false,
    fuel: 500,
    fuel_per_byte: 8,
    doc: "hash(alg, input, input_len, out32): writes the 32-byte digest to out32; an unknown alg is a fault",
};
/// Verifies a signature.
pub const VERIFY: Import = Import {
    name: "verify",
    params: 7,
    returns: true,
    fuel: 200_000,
    fuel_per_byte: 8,
    doc: "verify(alg, key, key_len, message, message_len, signature, signature_len) -> 1 if it verifies, else 0; an unknown alg is a fault",
};
/// Leaves a note in the trace.
pub const NOTE: Import = Import {
    name: "note",
    params: 3,
    returns: false,
    fuel: 200,
    fuel_per_byte: 1,
    doc: "note(code, text, text_len): kept in the trace, never part of the verdict",
};

/// All host functions.
pub const IMPORTS: [Import; 6] = [STATE_GET, STATE_SCAN, FOREIGN_GET, HASH, VERIFY, NOTE];

/// Algorithms of [`HASH`].
pub mod hash_alg {
    /// BLAKE3-256, plain.
    pub const BLAKE3: u32 = 0;
    /// SHA-256 (FIPS 180-4).
    pub const SHA256: u32 = 1;
    /// Keccak-256 as Ethereum has it.
    pub const KECCAK256: u32 = 2;
}

/// Algorithms of [`VERIFY`].
pub mod verify_alg {
    /// ML-DSA-65 (FIPS 204), empty context.
    pub const ML_DSA_65: u32 = 0;
    /// Ed25519, strict (no small-order points, canonical encodings).
    pub const ED25519: u32 = 1;
    /// ECDSA over secp256k1: the message is a 32-byte digest, the signature r ‖ s ‖ v with low s and v in {0, 1},
    /// the key the 20-byte Ethereum address.
    pub const SECP256K1_RECOVER: u32 = 2;
}
