//! What an enemy of the bridge may hand to this crate, and what must come of it: genuine and forged vectors, every
//! byte flipped, every quorum short by one, random tries compared with another library.
#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

mod codes;
mod files;
mod headers;
mod locks;
mod mutations;
mod outbox;
mod qbft;
mod rlp;
mod support;
mod tries;
