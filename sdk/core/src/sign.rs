//! What is signed: `"DSM/sign" ‖ suite ‖ network ‖ kind ‖ length ‖ canonical body`, so that a signature
//! counts for one suite, one network, one kind of thing and one body.

use alloc::vec::Vec;
use dsm_abi::{NetworkId, Suite};

/// The kind of thing that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SignKind {
    /// A transition.
    Transition = 1,
    /// The publication of a policy. Signed for [`NetworkId`] zero: a policy belongs to every network.
    Policy = 2,
    /// A checkpoint.
    Checkpoint = 3,
    /// A credential that an issuer gives to a subject.
    Credential = 4,
    /// A statement of a key for a policy to read.
    Attestation = 5,
    /// Who keeps the log, signed by the core node.
    Topology = 6,
    /// How far a storage node's log is durable.
    Ack = 7,
    /// That a block of an EVM chain is final: the body is the canonical bytes of `(BridgeId, block hash)`.
    BridgeBlock = 8,
    /// What a key observed in a round of a feed.
    Observation = 9,
}

/// The exact bytes that a signature covers. `length` is the body's, a little-endian u64.
pub fn signing_message(suite: Suite, network: NetworkId, kind: SignKind, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(8 + 1 + 32 + 1 + 8 + body.len());
    message.extend_from_slice(b"DSM/sign");
    message.push(suite as u8);
    message.extend_from_slice(&network.0);
    message.push(kind as u8);
    message.extend_from_slice(&(body.len() as u64).to_le_bytes());
    message.extend_from_slice(body);
    message
}
