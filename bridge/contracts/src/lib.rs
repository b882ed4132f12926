//! The bridge's contracts as Rust sees them: committed artifacts, calls, events, refusals in words. No network, no keys.
//!
//! The artifacts in `artifacts/` are made by `build.sh` and embedded here; a test compares the hashes of the Solidity
//! sources with those that the artifacts were built from.

pub use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256};
pub use alloy_sol_types::{SolCall, SolConstructor, SolError, SolEvent, SolInterface, SolValue};
pub use bindings::{DsmBridge, DsmWrapped, EcdsaQuorum, HybridQuorum, IAsset, Outbox, SlhDsaQuorum};

pub mod attestation;
mod bindings;
mod words;

pub use words::{REFUSALS, event, event_text, refusal};

/// The slot of `DsmBridge.outbox`, as the compiler laid it out. A test compares it with the artifact.
pub const OUTBOX_SLOT: [u8; 32] = [0; 32];

/// `Release.kind` and `Lock.kind`: ether.
pub const KIND_NATIVE: u8 = 1;
/// An ERC-20 that is at home on the EVM.
pub const KIND_ERC20: u8 = 2;
/// The ERC-20 of a token that is at home on DSM.
pub const KIND_WRAPPED: u8 = 3;

/// `Direction.In`: EVM to DSM.
pub const DIRECTION_IN: u8 = 0;
/// `Direction.Out`: DSM to EVM.
pub const DIRECTION_OUT: u8 = 1;

/// The shortest and the longest time from a lock to its deadline, in seconds.
pub const DEADLINE_S: (u64, u64) = (3_600, 2_592_000);

/// What creates a bridge: bytecode and constructor arguments.
pub fn bridge_init_code(
    config: DsmBridge::Config,
    assets: Vec<DsmBridge::NewAsset>,
    wrapped: Vec<DsmBridge::NewWrapped>,
) -> Vec<u8> {
    let arguments = DsmBridge::constructorCall { config, assets, wrapped }.abi_encode();
    [&DsmBridge::BYTECODE[..], &arguments].concat()
}

/// How attestors sign, and thereby which contract verifies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// secp256k1 alone: cheap, not post-quantum.
    Ecdsa,
    /// SLH-DSA-SHA2-128s alone.
    SlhDsa,
    /// Both, by the same attestors over one digest.
    Hybrid,
}

/// What creates a verifier of a scheme with its first set: keys of 20, 32 or 52 bytes, one after the other.
pub fn verifier_init_code(scheme: Scheme, keys: &[u8], threshold: u8) -> Vec<u8> {
    let keys = Bytes::copy_from_slice(keys);
    let bytecode = match scheme {
        Scheme::Ecdsa => &EcdsaQuorum::BYTECODE,
        Scheme::SlhDsa => &SlhDsaQuorum::BYTECODE,
        Scheme::Hybrid => &HybridQuorum::BYTECODE,
    };
    // The three constructors are one (`Quorum`).
    let arguments = EcdsaQuorum::constructorCall { keys, threshold }.abi_encode();
    [&bytecode[..], &arguments].concat()
}

/// The address that a creation by `sender` with `nonce` gets: a token's id depends on its bridge's address, so it has to
/// be known before the bridge is made.
pub fn created_address(sender: Address, nonce: u64) -> Address {
    sender.create(nonce)
}
