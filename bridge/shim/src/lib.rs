//! A shim for tests and demonstrations: an Ethereum node that ends blocks by QBFT, made of one that does not.
//!
//! anvil executes and stores as a real chain does, so its state roots and state proofs are real, but nobody seals its
//! headers. The [`Shim`] stands in front of it as a JSON-RPC proxy and gives each header what QBFT gives it: the
//! validators and their seals in `extraData`, the mix hash, difficulty 1, and a parent hash that fits. The validators
//! are **test keys that anyone can derive**: it shows that proofs and seals fit together, never that a chain is safe.
//!
//! Beside it stand the [`Liar`], a proxy that tells one lie at a time, and [`Anvil`], a process that ends with its
//! owner; a [`DevChain`] is what a user does on it.
//!
//! Left out on purpose: voting, proposing and everything else that validators say to each other, subscriptions, TLS.

mod anvil;
mod chain;
mod dev;
mod header;
mod liar;
mod rlp;
mod rpc;
mod serve;
mod shim;
mod validator;

pub use anvil::{Anvil, AnvilError, INSTALL};
pub use chain::{Lists, Seals};
pub use dev::{DevChain, DevReceipt};
pub use liar::{Liar, Lie};
pub use rpc::{Rpc, RpcError};
pub use shim::{Shim, ShimConfig};
pub use validator::TestValidator;
