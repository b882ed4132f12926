//! The policy engine: WASM modules come in as bytes from strangers, verdicts come out.
//!
//! The way of a module: `gate` (static checks, all findings at once) → `meter` (depth meter injected) →
//! `runtime` (compiled, described once) → [`Module`]. The way of a verdict: a fresh instance from a pool, the
//! input copied in, fuel set, `dsm_evaluate` called, the output checked → [`Outcome`]. Whatever goes wrong on
//! the policy's side is a [`Fault`], the same on every machine, and refuses; whatever goes wrong on the host's
//! side is a [`HostFault`] and is no verdict at all.
//!
//! Left out on purpose: policy documents and signatures, state that outlives a call, clocks, randomness.
//! wasmtime is named in `runtime` alone; the cryptography that policies may call comes in through [`GuestCrypto`].
//! `compiler` has modules compiled by a child process with limits of its own.

mod cache;
mod compiler;
mod fault;
mod gate;
mod meter;
mod mutant;
mod output;
mod profile;
mod runtime;

pub use cache::{CacheError, CacheStats, ModuleCache};
pub use compiler::{CHILD_ARGUMENT, compile_child};
pub use fault::{
    AdmitError, EngineError, Evaluation, Fault, HostFault, Note, Outcome, Probe, View, ViewOutcome,
};
pub use gate::Finding;
pub use mutant::{Mutant, mutants};
pub use profile::{Node, Profile};
pub use runtime::{
    Engine, EngineConfig, FUEL_LIMIT_DEFAULT, FUEL_LIMIT_MAX, GuestCrypto, Module, Profiler, State,
};
