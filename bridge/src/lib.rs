//! The bridge service: a courier of proofs between DSM and an EVM chain, and an attestor of DSM's checkpoints.
//!
//! It holds nothing that anybody has to trust. A lock is credited because its storage proof hangs from a header that
//! the trusted validators sealed, and the ledger checks that again; a leaf is released because attestors signed the
//! root over it, and the contract checks that again. Endpoints, attestors and this service may lie, stall and crash:
//! the worst they do is delay.
//!
//! Left out on purpose: a price for relaying (anyone may run a relayer), keys of users, the rules themselves
//! (`dsm-evm-proof` and `dsm-core` have them), and every way to move funds by command.

mod admin;
pub mod api;
mod attest;
mod config;
mod contract;
mod door;
mod dsm;
mod evm;
mod http;
mod metrics;
pub mod prove;
mod relayer;
pub mod rpc;
mod service;
pub mod state;
pub mod tx;
mod writer;

pub use attest::{AttestError, AttestationRequest, Attestors};
pub use config::{AttestationKind, AttestorConfig, RelayerConfig, ServiceConfig};
pub use door::{DoorConfig, DoorSource, Name, UnknownName};
pub use dsm::HttpDsm;
pub use dsm::{Accepted, Dsm, DsmError, LockUse};
pub use evm::{
    Address, Call, ContractView, Evm, EvmError, Fees, Header, LockHint, Shown, Source, Spent, TxReceipt, Word,
};
pub use service::{Bridge, OpenError, World, read_evm_key};
pub use writer::relayer_account;
