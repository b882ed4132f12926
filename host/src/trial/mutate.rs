//! Mutation: one comparison of a module at a time is turned into its opposite, and the cases must notice, each by what
//! it expects and by nothing else.
//!
//! A case file that lets a turned comparison pass does not say what the policy is for. Not every survivor is a gap:
//! a comparison of the allocator or of a copy may be turned without any effect that a verdict shows.

use super::run::Trial;
use crate::engine::{HostFault, Mutant, mutants};
use dsm_sdk::cases::Case;

/// What became of a module's mutants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mutated {
    /// How many the module has in all.
    pub comparisons: usize,
    /// How many were tried.
    pub tried: usize,
    /// How many a case noticed.
    pub killed: usize,
    /// Those that no case noticed.
    pub survivors: Vec<Mutant>,
}

/// Why nothing can be said of a module's mutants.
#[derive(Debug, thiserror::Error)]
pub enum MutateError {
    /// The host failed.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// A case fails without any mutation: it would seem to notice all of them.
    #[error("the case {0:?} does not hold for the module as it is")]
    CaseFails(String),
}

/// Turns at most `most` of the comparisons, evenly spread, and runs `cases` on each mutant until one does not hold.
///
/// # Errors
/// [`MutateError`], if the host fails on the module as it stands or a case does not hold for it.
pub fn mutate(wasm: &[u8], cases: &[Case], within: &str, most: usize) -> Result<Mutated, MutateError> {
    let all = mutants(wasm, within);
    let mut report = Mutated { comparisons: all.len(), ..Mutated::default() };
    let failed = |error: crate::engine::AdmitError| HostFault::Engine(error.to_string());
    let mut trial = Trial::new(wasm).map_err(failed)?;
    for case in cases {
        if !case.is_met(&trial.run(&case.call, &case.state, &case.foreign)?.came) {
            return Err(MutateError::CaseFails(case.name.clone()));
        }
    }
    let tried = most.min(all.len());
    for number in 0..tried {
        let mutant = &all[number * all.len() / tried];
        let mut bytes = wasm.to_vec();
        bytes[mutant.offset] = mutant.is;
        report.tried += 1;
        trial = match trial.with(&bytes) {
            Ok(trial) => trial,
            // It no longer describes itself: whoever looks at it notices.
            Err((trial, _)) => {
                report.killed += 1;
                trial.with(wasm).map_err(|(_, error)| failed(error))?
            }
        };
        let noticed = cases.iter().any(|case| {
            let ran = trial.run(&case.call, &case.state, &case.foreign);
            ran.is_ok_and(|ran| !case.is_met(&ran.came))
        });
        if noticed {
            report.killed += 1;
        } else if trial.module().hash().0 != *blake3::hash(wasm).as_bytes() {
            report.survivors.push(mutant.clone());
        }
    }
    Ok(report)
}
