//! `dsm policy mutate`: turns one comparison of a module at a time and tells which turns no case notices.

use super::trying::{cases_of, host_failure, trial_of};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{Show, safe, table};
use dsm_host::trial::{MutateError, mutate as turn};
use serde::Serialize;
use std::path::PathBuf;

/// Options of `dsm policy mutate`.
#[derive(Debug, clap::Args)]
pub(crate) struct MutateArgs {
    /// A .wasm file, a package or a CAR file; functions have names in what `dsm policy build --names` writes
    file: PathBuf,
    /// The cases that should notice
    #[arg(long, value_name = "FILE")]
    cases: PathBuf,
    /// Turn comparisons only in functions whose name has this in it
    #[arg(long, value_name = "TEXT", default_value = "")]
    within: String,
    /// Try at most so many, evenly spread over the module
    #[arg(long, value_name = "N", default_value_t = 200)]
    most: usize,
}

#[derive(Serialize)]
struct Survivor {
    offset: usize,
    function: String,
    was: u8,
    is: u8,
}

/// The answer of `mutate`.
#[derive(Serialize)]
struct Report {
    comparisons: usize,
    tried: usize,
    killed: usize,
    survivors: Vec<Survivor>,
}

impl Show for Report {
    fn text(&self) -> String {
        let lines: Vec<Vec<String>> = self
            .survivors
            .iter()
            .map(|one| {
                vec![
                    format!("{:#x}", one.offset),
                    format!("{:#x} -> {:#x}", one.was, one.is),
                    safe(&one.function),
                ]
            })
            .collect();
        format!(
            "{} comparisons, {} turned one at a time, {} noticed by a case\n\n{}",
            self.comparisons,
            self.tried,
            self.killed,
            table(&["at byte", "opcode", "function"], &lines, "every turn was noticed")
        )
    }
}

pub(super) fn mutate(session: &Session, args: &MutateArgs) -> Result<(), Failure> {
    let (trial, module) = trial_of(&args.file)?;
    let (_, cases) = cases_of(&args.cases, trial.about())?;
    drop(trial);
    let mutated = turn(&module, &cases, &args.within, args.most).map_err(|error| match error {
        MutateError::Host(fault) => host_failure(fault),
        MutateError::CaseFails(_) => {
            Failure::refused("case_fails", error).help("`dsm policy test` tells what came of it instead")
        }
    })?;
    if mutated.tried == 0 {
        let help = "leave out --within, or name a function as `dsm policy profile` does; functions have names in what \
                    `dsm policy build --names` writes";
        return Err(Failure::usage("there is no comparison to turn").help(help));
    }
    let survivors = mutated.survivors.into_iter();
    session.show(&Report {
        comparisons: mutated.comparisons,
        tried: mutated.tried,
        killed: mutated.killed,
        survivors: survivors
            .map(|one| Survivor { offset: one.offset, function: one.function, was: one.was, is: one.is })
            .collect(),
    })
}
