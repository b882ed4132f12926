//! `dsm policy profile`: fuel by function, as a table and as a flame graph.

use super::gate_failure;
use super::trying::{cases_of, host_failure, trial_of};
use crate::cli::failure::{Failure, file_failure};
use crate::cli::session::Session;
use crate::cli::show::{Show, safe, table};
use dsm_abi::StateMap;
use dsm_host::engine::{AdmitError, Profile, State};
use dsm_host::trial::{flame_graph, shares};
use dsm_sdk::cases::Case;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// Functions that the table shows.
const ROWS: usize = 30;

/// Options of `dsm policy profile`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProfileArgs {
    /// A .wasm file, a package or a CAR file; functions have names in what `dsm policy build --names` writes
    file: PathBuf,
    /// The cases to run
    #[arg(long, value_name = "FILE")]
    cases: PathBuf,
    /// Run this case alone
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Write the flame graph here
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Serialize)]
struct Function {
    function: String,
    calls: u64,
    fuel: u64,
    /// Of all fuel, in hundredths of a percent.
    basis_points: u64,
}

/// The answer of `profile`.
#[derive(Serialize)]
struct Profiled {
    policy: String,
    cases: usize,
    /// What the module as it is uses for these cases.
    fuel: u64,
    /// What the functions add up to.
    attributed: u64,
    functions: Vec<Function>,
    svg: Option<PathBuf>,
}

impl Show for Profiled {
    fn text(&self) -> String {
        let lines: Vec<Vec<String>> = self
            .functions
            .iter()
            .take(ROWS)
            .map(|one| {
                let share = format!("{}.{:02} %", one.basis_points / 100, one.basis_points % 100);
                vec![one.fuel.to_string(), share, one.calls.to_string(), safe(&one.function)]
            })
            .collect();
        let mut text = format!(
            "{}: {} cases, {} fuel; the functions add up to {}\n\n{}",
            safe(&self.policy),
            self.cases,
            self.fuel,
            self.attributed,
            table(&["fuel", "share", "calls", "function"], &lines, "nothing ran")
        );
        if self.functions.len() > ROWS {
            text.push_str(&format!("\n… and {} more", self.functions.len() - ROWS));
        }
        if let Some(svg) = &self.svg {
            text.push_str(&format!("\n\nflame graph: {}", svg.display()));
        }
        text
    }
}

pub(super) fn profile(session: &Session, args: &ProfileArgs) -> Result<(), Failure> {
    let (trial, module) = trial_of(&args.file)?;
    let (_, cases) = cases_of(&args.cases, trial.about())?;
    let wanted = |case: &&Case| args.case.as_ref().is_none_or(|name| case.name == *name);
    let cases: Vec<&Case> = cases.iter().filter(wanted).collect();
    if cases.is_empty() {
        return Err(
            Failure::usage("there is no such case").help("`dsm policy test` lists the cases of a file")
        );
    }
    let failed = |error| match error {
        AdmitError::Host(fault) => host_failure(fault),
        refused => gate_failure(refused),
    };
    let profiler = trial.engine().profiler(&module).map_err(failed)?;
    let mut sum = Profile::default();
    let empty = StateMap::new();
    for case in &cases {
        let state: State = Arc::new(case.state.clone());
        let count = trial.about().foreign_reads.len().max(case.foreign.len());
        let foreign: Vec<State> =
            (0..count).map(|at| Arc::new(case.foreign.get(at).unwrap_or(&empty).clone()) as State).collect();
        let one = trial.engine().profile_call(&profiler, &case.call, &state, &foreign);
        sum.add(one.map_err(host_failure)?);
    }
    let title = format!("{} {}", trial.about().name, trial.about().version);
    if let Some(file) = &args.svg {
        std::fs::write(file, flame_graph(&title, &sum)).map_err(|error| file_failure(file, &error))?;
    }
    let function = |share: dsm_host::trial::Share| Function {
        basis_points: share.own * 10_000 / sum.fuel.max(1),
        function: share.function,
        calls: share.calls,
        fuel: share.own,
    };
    let functions: Vec<Function> = shares(&sum).into_iter().map(function).collect();
    session.show(&Profiled {
        policy: title,
        cases: cases.len(),
        fuel: sum.fuel,
        attributed: functions.iter().map(|one| one.fuel).sum(),
        functions,
        svg: args.svg.clone(),
    })
}
