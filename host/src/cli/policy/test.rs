//! `dsm policy test`: every case natively and as WASM, with equal verdicts demanded.

use super::project::Project;
use super::toolchain::Toolchain;
use super::trying::{cases_of, fault_words, host_failure, trial_of, words};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{Show, safe, table};
use dsm_abi::{Call, Effect, Verdict, decode, limit};
use dsm_host::engine::FUEL_LIMIT_DEFAULT;
use dsm_host::trial::{Ran, ask};
use dsm_sdk::cases::{Came, Case, Expectation, uncovered};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Characters of a called method's name that the table shows.
const NAME_CHARS_MAX: usize = 40;

/// Options of `dsm policy test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// The policy's project [default: here]
    #[arg(conflicts_with = "module")]
    dir: Option<PathBuf>,
    /// Try this module instead of a project's; there is no native side then
    #[arg(long, value_name = "FILE", requires = "cases")]
    module: Option<PathBuf>,
    /// The cases [default: the project's cases.toml]
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Do not fail because a denial, method or query has no case
    #[arg(long)]
    allow_uncovered: bool,
}

/// A case that was run.
#[derive(Serialize)]
struct Tested {
    name: String,
    called: String,
    ok: bool,
    /// Whether the native side was asked, and gave the same bytes.
    native: Option<bool>,
    fuel: u64,
    expected: String,
    came: String,
    /// What is wrong, one line each.
    wrong: Vec<String>,
}

/// Fuel of the cases that call one thing.
#[derive(Serialize)]
struct Fuel {
    called: String,
    cases: usize,
    p50: u64,
    max: u64,
    /// Of the limit, in hundredths of a percent.
    basis_points: u64,
}

/// The answer of `test`.
#[derive(Serialize)]
struct Report {
    policy: String,
    module: PathBuf,
    cases: Vec<Tested>,
    accepted: usize,
    refused: usize,
    faulted: usize,
    failed: usize,
    fuel_limit: u64,
    fuel: Vec<Fuel>,
    uncovered: Vec<String>,
    native: bool,
}

impl Show for Report {
    fn text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for case in &self.cases {
            lines.push(format!("{}  {}", if case.ok { "ok    " } else { "FAILED" }, safe(&case.name)));
            lines.extend(case.wrong.iter().map(|wrong| format!("        {}", safe(wrong))));
        }
        let fuel: Vec<Vec<String>> = self
            .fuel
            .iter()
            .map(|row| {
                let share = format!("{}.{:02} %", row.basis_points / 100, row.basis_points % 100);
                vec![
                    shortened(&row.called),
                    row.cases.to_string(),
                    row.p50.to_string(),
                    row.max.to_string(),
                    share,
                ]
            })
            .collect();
        lines.push(String::new());
        lines.push(table(&["calls", "cases", "fuel p50", "fuel max", "of the limit"], &fuel, "no cases"));
        lines.push(String::new());
        let sides = if self.native {
            "natively and as WASM, the same"
        } else {
            "as WASM; the native side was not asked"
        };
        lines.push(format!(
            "{}: {} cases ({sides}): {} accepted or answered, {} refused, {} faulted, {} failed",
            safe(&self.policy),
            self.cases.len(),
            self.accepted,
            self.refused,
            self.faulted,
            self.failed
        ));
        if !self.uncovered.is_empty() {
            let missing: Vec<String> = self.uncovered.iter().map(|one| safe(one)).collect();
            lines.push(format!("no case for: {} (--allow-uncovered lets it pass)", missing.join(", ")));
        }
        lines.join("\n")
    }
}

/// A name that a row of a table can bear: cases call methods of any length.
fn shortened(called: &str) -> String {
    match called.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => safe(&called[..end]) + "…",
        None => safe(called),
    }
}

pub(super) fn test(session: &Session, args: &TestArgs) -> Result<(), Failure> {
    let (module, cases, folder) = match &args.module {
        Some(module) => {
            let cases = args.cases.clone().ok_or_else(|| Failure::usage("--cases is missing"))?;
            (module.clone(), Some(cases), None)
        }
        None => {
            let folder = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
            let project = Project::open(&folder, &Toolchain::find(&folder)?)?;
            let module = project.module();
            is_fresh(&project, &module)?;
            let own = project.folder.join("cases.toml");
            let cases = args.cases.clone().or_else(|| own.is_file().then_some(own));
            (module, cases, Some(project.folder))
        }
    };
    let (trial, _) = trial_of(&module)?;
    let about = trial.about().clone();
    let mut all = match &cases {
        Some(file) => cases_of(file, &about)?.1,
        None => Vec::new(),
    };
    let run = |case: &Case| trial.run(&case.call, &case.state, &case.foreign).map_err(host_failure);
    let mut ran: Vec<Ran> = all.iter().map(run).collect::<Result<_, _>>()?;
    let mut native: Vec<Option<Result<Vec<u8>, String>>> = vec![None; all.len()];
    if let Some(folder) = &folder {
        let asked = |folder: &Path, all: &[Case], ran: &[Ran]| {
            let pairs = all.iter().zip(ran);
            let situations: Vec<_> =
                pairs.map(|(case, ran)| ran.situation(&case.call, &case.state, &case.foreign)).collect();
            ask(folder, &situations).map_err(|error| {
                Failure::refused("native_failed", error)
                    .help("the project needs the example `native` as `dsm policy new` writes it, and it must compile")
            })
        };
        let answers = asked(folder, &all, &ran)?;
        native = answers.answers.into_iter().map(Some).collect();
        // The project's own cases, stated in Rust, are replayed as WASM too.
        let own: Vec<Case> = answers.cases.into_iter().map(Case::from).collect();
        if !own.is_empty() {
            let own_ran: Vec<Ran> = own.iter().map(run).collect::<Result<_, _>>()?;
            native.extend(asked(folder, &own, &own_ran)?.answers.into_iter().map(Some));
            all.extend(own);
            ran.extend(own_ran);
        }
    }
    if all.is_empty() {
        return Err(Failure::usage("there is no case to run")
            .help("write cases.toml; .dsm/sdk/policy/CASES.md in the project shows how"));
    }
    let uncovered = uncovered(&about, &all);
    let cases: Vec<Tested> = all
        .iter()
        .zip(&ran)
        .zip(&native)
        .map(|((case, ran), native)| tested(case, ran, native.as_ref(), &about))
        .collect();
    let count = |of: fn(&Came) -> bool| ran.iter().filter(|ran| of(&ran.came)).count();
    let failed = cases.iter().filter(|case| !case.ok).count();
    let report = Report {
        policy: format!("{} {}", about.name, about.version),
        module,
        accepted: count(|came| {
            matches!(came, Came::Verdict(Verdict::Accept(_)) | Came::Answer(dsm_abi::Answer::Fields(_)))
        }),
        refused: count(|came| {
            matches!(came, Came::Verdict(Verdict::Reject(_)) | Came::Answer(dsm_abi::Answer::Reject(_)))
        }),
        faulted: count(|came| matches!(came, Came::Fault(_))),
        failed,
        fuel_limit: FUEL_LIMIT_DEFAULT,
        fuel: fuel(&cases),
        cases,
        uncovered,
        native: folder.is_some(),
    };
    session.show(&report)?;
    if failed > 0 || (!report.uncovered.is_empty() && !args.allow_uncovered) {
        return Err(Failure::told());
    }
    Ok(())
}

/// A module that is older than its sources would test what is no longer written.
fn is_fresh(project: &Project, module: &Path) -> Result<(), Failure> {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|about| about.modified()).ok();
    let build = format!("build it first: `dsm policy build {}`", project.folder.display());
    let Some(built) = changed(module) else {
        let message = format!("{} is not there", module.display());
        return Err(Failure::usage(message).with_code("not_built").help(build));
    };
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    let mut folders = vec![project.folder.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(time) =
                changed(&path).filter(|time| newest.as_ref().is_none_or(|(most, _)| time > most))
            {
                newest = Some((time, path));
            }
        }
    }
    match newest.filter(|(time, _)| *time > built) {
        Some((_, path)) => {
            let message = format!("{} is newer than the module", path.display());
            Err(Failure::usage(message).with_code("not_built").help(build))
        }
        None => Ok(()),
    }
}

fn tested(
    case: &Case,
    ran: &Ran,
    native: Option<&Result<Vec<u8>, String>>,
    about: &dsm_abi::Description,
) -> Tested {
    let mut wrong = Vec::new();
    let expected = expectation(&case.expected, about);
    let came = words(&ran.came, about);
    if !case.is_met(&ran.came) {
        wrong.push(format!("expected {expected}"));
        wrong.push(format!(
            "came     {}",
            fault_words(ran).map_or_else(|| came.clone(), |fault| format!("fault: {fault}"))
        ));
    }
    let native = native.and_then(|native| match (native, ran.fault) {
        (Ok(bytes), None) => {
            let same = *bytes == ran.bytes;
            if !same {
                wrong.push(format!("natively {}", native_words(case, bytes, about)));
                wrong.push("the native policy and the module differ: build again, and look for code that depends on the target".into());
            }
            Some(same)
        }
        (Err(said), None) => {
            wrong.push(format!("natively it {said}"));
            Some(false)
        }
        (Ok(bytes), Some(dsm_host::engine::Fault::Trap(_))) => {
            wrong.push(format!("natively {}, the module traps", native_words(case, bytes, about)));
            Some(false)
        }
        (Err(said), Some(_)) => {
            if !wrong.is_empty() {
                wrong.push(format!("natively it {said}"));
            }
            Some(true)
        }
        (Ok(bytes), Some(dsm_host::engine::Fault::BadOutput(_))) => {
            if !wrong.is_empty() {
                wrong.extend(too_large(bytes));
            }
            None
        }
        // Fuel, depth and memory end a module only.
        (Ok(_), Some(_)) => None,
    });
    Tested {
        name: case.name.clone(),
        called: case.called(),
        ok: wrong.is_empty(),
        native,
        fuel: ran.fuel,
        expected,
        came,
        wrong,
    }
}

/// Which key of the state is at fault, if one is: the host's fault does not say.
fn too_large(bytes: &[u8]) -> Option<String> {
    let Ok(Verdict::Accept(effects)) = decode(bytes, bytes.len()) else { return None };
    effects.iter().find_map(|effect| match effect {
        Effect::SetState { key, value }
            if key.is_empty()
                || key.len() > limit::STATE_KEY_BYTES_MAX
                || value.len() > limit::STATE_VALUE_BYTES_MAX =>
        {
            Some(format!("natively it sets the key {} to {} bytes", hex::encode(key), value.len()))
        }
        _ => None,
    })
}

fn native_words(case: &Case, bytes: &[u8], about: &dsm_abi::Description) -> String {
    let came = match &case.call {
        Call::Evaluate(_) => decode(bytes, limit::OUTPUT_BYTES_MAX).map(Came::Verdict),
        Call::View(_) => decode(bytes, limit::OUTPUT_BYTES_MAX).map(Came::Answer),
    };
    came.map_or_else(|error| error.to_string(), |came| words(&came, about))
}

fn expectation(expected: &Expectation, about: &dsm_abi::Description) -> String {
    match expected {
        Expectation::Accept(effects) => words(&Came::Verdict(Verdict::Accept(effects.clone())), about),
        Expectation::AcceptWith(effects) => {
            format!("{} (and perhaps more)", words(&Came::Verdict(Verdict::Accept(effects.clone())), about))
        }
        Expectation::Refuse { code, field } => {
            let known = about.denials.iter().find(|one| one.code == *code);
            let word = known.map_or("", |one| one.name.as_str());
            let field = field.as_ref().map_or_else(String::new, |field| format!(", field {field}"));
            format!("refused: {code} {word}{field}")
        }
        Expectation::Answer(wanted) => {
            let wanted: Vec<String> =
                wanted.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
            format!("answered: {}", wanted.join(", "))
        }
        Expectation::Fault(word) => format!("fault: {word}"),
    }
}

fn fuel(cases: &[Tested]) -> Vec<Fuel> {
    let mut by_call: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for case in cases {
        by_call.entry(&case.called).or_default().push(case.fuel);
    }
    by_call
        .into_iter()
        .map(|(called, mut fuel)| {
            fuel.sort_unstable();
            let max = fuel.last().copied().unwrap_or_default();
            Fuel {
                called: called.to_owned(),
                cases: fuel.len(),
                p50: fuel[fuel.len() / 2],
                max,
                basis_points: max * 10_000 / FUEL_LIMIT_DEFAULT,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_whose_value_is_too_large_is_named() {
        let set = |key: &[u8], bytes: usize| Effect::SetState { key: key.to_vec(), value: vec![7; bytes] };
        let told = |effects: Vec<Effect>| too_large(&dsm_abi::encode(&Verdict::Accept(effects)));
        let max = limit::STATE_VALUE_BYTES_MAX;
        assert_eq!(told(vec![set(b"a", max)]), None);
        let both = told(vec![set(b"a", max), set(b"zz", max + 1)]);
        assert_eq!(both.as_deref(), Some("natively it sets the key 7a7a to 4097 bytes"));
        assert_eq!(too_large(b"rubbish"), None);
    }

    #[test]
    fn a_long_name_does_not_make_the_table_wide() {
        assert_eq!(shortened("invoke pause"), "invoke pause");
        let long = shortened(&"þ".repeat(200));
        assert_eq!(long.chars().count(), NAME_CHARS_MAX + 1);
    }
}
