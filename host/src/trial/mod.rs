//! Trying a policy before it is published: its cases, one operation, random sequences, where its fuel goes, and
//! whether its cases notice a wrong comparison. Everything runs on the engine that a node runs on.
//!
//! Left out on purpose: reading files and printing, which the command line does, and cryptography of signatures:
//! here everybody has signed what is said to be signed.

mod flame;
mod fuzz;
mod model;
mod mutate;
mod native;
mod run;

pub use flame::{Share, flame_graph, shares};
pub use fuzz::{Broken, FuzzReport, Fuzzer};
pub use model::{Model, Stepped};
pub use mutate::{MutateError, Mutated, mutate};
pub use native::{NativeError, ask};
pub use run::{Ran, Touch, Trial, words_of_effect};
