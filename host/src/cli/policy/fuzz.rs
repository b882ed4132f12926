//! `dsm policy fuzz`: random sequences of operations against the invariants that the author declares.

use super::trying::{case_file, trial_of};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{Show, rows, safe};
use dsm_host::trial::{FuzzReport, Fuzzer, Model};
use dsm_sdk::cases::write_sequence;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Options of `dsm policy fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    /// A .wasm file, a package or a CAR file
    file: PathBuf,
    /// The case file with its part `fuzz` and its invariants
    #[arg(long, alias = "invariants", value_name = "FILE")]
    cases: PathBuf,
    /// How long, such as 60s or 5m
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = span)]
    time: Duration,
    /// So many sequences instead, whatever time they take
    #[arg(long, value_name = "N")]
    sequences: Option<u64>,
    /// Where the random numbers start: the same seed gives the same sequences
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 60s or 5m");
    let (digits, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

/// The answer of `fuzz`.
#[derive(Serialize)]
struct Fuzzed {
    policy: String,
    seed: u64,
    sequences: u64,
    operations: u64,
    accepted: u64,
    denied: u64,
    refused_by_host: u64,
    /// What was accepted, by word.
    happened: BTreeMap<String, u64>,
    /// The policy's codes, by word.
    codes: BTreeMap<String, u64>,
    /// The host's refusals, by word.
    host: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<Found>,
}

/// What broke.
#[derive(Serialize)]
struct Found {
    invariant: String,
    came: String,
    /// A part of a case file that shows it again.
    sequence: String,
}

impl Show for Fuzzed {
    fn text(&self) -> String {
        let list = |counts: &BTreeMap<String, u64>| {
            counts
                .iter()
                .map(|(word, count)| format!("{} {count}", safe(word)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut text = rows([
            ("policy", safe(&self.policy)),
            ("sequences", format!("{} from seed {}", self.sequences, self.seed)),
            (
                "operations",
                format!(
                    "{}: {} accepted, {} denied by the policy, {} refused by the host",
                    self.operations, self.accepted, self.denied, self.refused_by_host
                ),
            ),
            ("accepted", list(&self.happened)),
            ("codes", list(&self.codes)),
            ("host", list(&self.host)),
            (
                "broken",
                self.broken.as_ref().map_or_else(
                    || "nothing".into(),
                    |broken| format!("{}: {}", safe(&broken.invariant), safe(&broken.came)),
                ),
            ),
        ]);
        if let Some(broken) = &self.broken {
            text.push_str("\n\nThis shows it again; keep it in the case file:\n\n");
            text.push_str(broken.sequence.trim_end());
        }
        text
    }
}

pub(super) fn fuzz(session: &Session, args: &FuzzArgs) -> Result<(), Failure> {
    let (trial, _) = trial_of(&args.file)?;
    let file = case_file(&args.cases)?;
    let bad = |error: String| {
        Failure::usage(format!("{}: {error}", args.cases.display()))
            .with_code("bad_cases")
            .help(".dsm/sdk/policy/CASES.md in the project describes [fuzz] and [[invariant]]; `dsm policy new` writes both into invariants.toml")
    };
    let fuzzer = Fuzzer::new(Model::new(&trial, &file).map_err(bad)?, &file).map_err(bad)?;
    let end = Instant::now() + args.time;
    let mut made = 0;
    let report: FuzzReport = fuzzer
        .run(args.seed, |_| {
            made += 1;
            args.sequences.map_or_else(|| Instant::now() < end, |most| made <= most)
        })
        .map_err(bad)?;
    let about = trial.about();
    let word = |code: &u16| {
        let known = about.denials.iter().find(|one| one.code == *code);
        known.map_or_else(|| code.to_string(), |one| one.name.clone())
    };
    let broken = report.broken.as_ref().map(|broken| Found {
        invariant: broken.invariant.clone(),
        came: broken.came.clone(),
        sequence: write_sequence(&broken.sequence),
    });
    let found = broken.is_some();
    session.show(&Fuzzed {
        policy: format!("{} {}", about.name, about.version),
        seed: args.seed,
        sequences: report.sequences,
        operations: report.steps,
        accepted: report.accepted,
        denied: report.denied.values().sum(),
        refused_by_host: report.refused.values().sum(),
        happened: report.happened,
        codes: report.denied.iter().map(|(code, count)| (word(code), *count)).collect(),
        host: report.refused,
        broken,
    })?;
    if found { Err(Failure::told()) } else { Ok(()) }
}
