//! `dsm policy diff`: what changed between two versions of a policy: what they say of themselves, what they may use, and
//! what they decide on the same cases.

use super::engine;
use super::inspect::{arguments, evidence_words, foreign_words};
use super::source::{Source, find};
use super::trying::{CASES_HELP, fields_words};
use crate::cli::failure::{Failure, file_failure};
use crate::cli::session::Session;
use crate::cli::show::{Show, rows, safe, table};
use dsm_abi::{Answer, Call, Description, Verdict};
use dsm_host::engine::{Engine, FUEL_LIMIT_DEFAULT, Module, Outcome, State, ViewOutcome};
use dsm_host::trial::words_of_effect;
use dsm_sdk::api::PolicyCid;
use dsm_sdk::cases::{Came, Case, CaseFile, Names};
use dsm_sdk::package::module_cid;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// One of the two.
#[derive(Serialize)]
struct Side {
    policy: Option<PolicyCid>,
    name: String,
    version: String,
    module_cid: String,
    module_bytes: usize,
}

/// One thing that is not as it was.
#[derive(Serialize)]
struct Change {
    what: &'static str,
    name: String,
    /// How it was; nothing if it is new.
    old: Option<String>,
    /// How it is; nothing if it is gone.
    new: Option<String>,
}

/// What became of one case under both.
#[derive(Serialize)]
struct Behaviour {
    name: String,
    /// Whether verdict, effects and answer are the same, byte for byte.
    same: bool,
    old: String,
    new: String,
    old_fuel: u64,
    new_fuel: u64,
}

/// The answer of `diff`.
#[derive(Serialize)]
struct Diff {
    old: Side,
    new: Side,
    /// Whether the modules are the same bytes.
    same_module: bool,
    changes: Vec<Change>,
    /// Why the case file does not fit one of them, if it does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unfit: Vec<String>,
    /// The cases, if a file was given.
    cases: Option<Vec<Behaviour>>,
}

impl Show for Diff {
    fn text(&self) -> String {
        let side = |side: &Side| format!("{} {}, {}", safe(&side.name), safe(&side.version), side.module_cid);
        let mut lines = vec![rows([("old", side(&self.old)), ("new", side(&self.new))])];
        if self.same_module {
            lines.push("the modules are the same bytes".into());
        }
        let changes: Vec<Vec<String>> = self
            .changes
            .iter()
            .map(|change| {
                let words = match (&change.old, &change.new) {
                    (Some(old), Some(new)) => format!("was {old}\n is {new}"),
                    (Some(old), None) => format!("gone: {old}"),
                    (None, Some(new)) => format!("new: {new}"),
                    (None, None) => String::new(),
                };
                vec![change.what.to_owned(), safe(&change.name), words]
            })
            .flat_map(|row| {
                let (what, name) = (row[0].clone(), row[1].clone());
                row[2]
                    .lines()
                    .enumerate()
                    .map(|(at, words)| {
                        let first = |text: &String| if at == 0 { text.clone() } else { String::new() };
                        vec![first(&what), first(&name), words.to_owned()]
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        lines.push(table(&["what", "name", "change"], &changes, "they say the same of themselves"));
        lines.extend(self.unfit.iter().map(|why| format!("the cases do not fit {why}")));
        if let Some(cases) = &self.cases {
            lines.push(behaviour_text(cases));
        }
        lines.join("\n\n")
    }
}

fn behaviour_text(cases: &[Behaviour]) -> String {
    let changed: Vec<Vec<String>> = cases
        .iter()
        .filter(|case| !case.same)
        .map(|case| vec![safe(&case.name), safe(&case.old), safe(&case.new)])
        .collect();
    let none = format!("all {} cases come out the same", cases.len());
    let fuel: Vec<Vec<String>> = cases
        .iter()
        .filter(|case| case.old_fuel != case.new_fuel)
        .map(|case| vec![safe(&case.name), case.old_fuel.to_string(), case.new_fuel.to_string()])
        .collect();
    let sum = |of: fn(&Behaviour) -> u64| cases.iter().map(of).sum::<u64>();
    format!(
        "{}\n\n{}\n\nfuel of all cases: {} was, {} is",
        table(&["case", "old", "new"], &changed, &none),
        table(&["case", "old fuel", "new fuel"], &fuel, "every case takes the fuel that it took"),
        sum(|case| case.old_fuel),
        sum(|case| case.new_fuel),
    )
}

pub(super) fn diff(session: &Session, old: &str, new: &str, cases: Option<&Path>) -> Result<(), Failure> {
    let (old, new) = (find(session, old)?, find(session, new)?);
    let engine = engine()?;
    let ((old_module, old_about), (new_module, new_about)) = (old.admit_by(&engine)?, new.admit_by(&engine)?);
    let mut changes = described(&old_about, &new_about);
    changes.extend(documented(&old, &new));
    let (mut unfit, mut behaviour) = (Vec::new(), None);
    if let Some(file) = cases {
        let bad = |error| Failure::usage(format!("{}: {error}", file.display())).help(CASES_HELP);
        let text = std::fs::read_to_string(file).map_err(|error| file_failure(file, &error))?;
        let read = CaseFile::read(&text).map_err(bad)?;
        let resolve = |about: &Description, which: &str| {
            read.cases(about, Names::default()).map_err(|error| format!("the {which} version: {error}"))
        };
        match (resolve(&old_about, "old"), resolve(&new_about, "new")) {
            (Ok(old_cases), Ok(new_cases)) => {
                let rows = old_cases.iter().zip(&new_cases);
                let rows = rows.map(|(old_case, new_case)| {
                    let (old_came, old_fuel) = run(&engine, &old_module, old_case)?;
                    let (new_came, new_fuel) = run(&engine, &new_module, new_case)?;
                    Ok(Behaviour {
                        name: old_case.name.clone(),
                        same: old_came == new_came,
                        old: words(&old_came, &old_about),
                        new: words(&new_came, &new_about),
                        old_fuel,
                        new_fuel,
                    })
                });
                behaviour = Some(rows.collect::<Result<Vec<_>, Failure>>()?);
            }
            (old_cases, new_cases) => unfit.extend([old_cases.err(), new_cases.err()].into_iter().flatten()),
        }
    }
    session.show(&Diff {
        same_module: old.module == new.module,
        old: side(&old, &old_about),
        new: side(&new, &new_about),
        changes,
        unfit,
        cases: behaviour,
    })
}

fn side(source: &Source, about: &Description) -> Side {
    Side {
        policy: source.policy().map(PolicyCid),
        name: about.name.clone(),
        version: about.version.clone(),
        module_cid: module_cid(&source.module).to_string(),
        module_bytes: source.module.len(),
    }
}

/// What the two say of themselves, and do not say alike.
fn described(old: &Description, new: &Description) -> Vec<Change> {
    let single = |what, old: &str, new: &str| {
        let change = |(old, new): (&str, &str)| Change {
            what,
            name: String::new(),
            old: Some(old.to_owned()),
            new: Some(new.to_owned()),
        };
        (old != new).then(|| change((old, new)))
    };
    let mut changes: Vec<Change> = [
        single("name", &old.name, &new.name),
        single("version", &old.version, &new.version),
        single("summary", &old.summary, &new.summary),
    ]
    .into_iter()
    .flatten()
    .collect();
    let params = |about: &Description| {
        let numbered = about.params.iter().enumerate();
        // The position counts: a token gives its parameters in order.
        numbered
            .map(|(at, one)| {
                (one.name.clone(), format!("{}. {}: {}", at + 1, one.value_type.word(), one.doc))
            })
            .collect::<Vec<_>>()
    };
    let methods = |list: &[dsm_abi::Method]| {
        list.iter()
            .map(|one| (one.name.clone(), format!("{} {}", arguments(one), one.doc)))
            .collect::<Vec<_>>()
    };
    let codes = |about: &Description| {
        let codes = about.denials.iter();
        codes.map(|one| (one.code.to_string(), format!("{}: {}", one.name, one.text))).collect::<Vec<_>>()
    };
    let evidence = |about: &Description| {
        let kinds = about.evidence.iter();
        kinds.map(|kind| (format!("{kind:?}"), evidence_words(*kind).to_owned())).collect::<Vec<_>>()
    };
    let foreign = |about: &Description| {
        let reads = about.foreign_reads.iter().enumerate();
        reads.map(|(at, read)| (at.to_string(), foreign_words(read))).collect::<Vec<_>>()
    };
    changes.extend(compared("parameter", &params(old), &params(new)));
    changes.extend(compared("method", &methods(&old.methods), &methods(&new.methods)));
    changes.extend(compared("query", &methods(&old.queries), &methods(&new.queries)));
    changes.extend(compared("denial", &codes(old), &codes(new)));
    changes.extend(compared("evidence", &evidence(old), &evidence(new)));
    changes.extend(compared("foreign read", &foreign(old), &foreign(new)));
    changes
}

/// What their documents say and the modules do not: who answers, how much fuel, how large.
fn documented(old: &Source, new: &Source) -> Vec<Change> {
    let said = |source: &Source| {
        let mut said = vec![("bytes".to_owned(), source.module.len().to_string())];
        if let Some(document) = source.document() {
            said.extend([
                ("fuel limit".to_owned(), document.fuel_limit.to_string()),
                ("author".to_owned(), document.author.to_string()),
                ("license".to_owned(), document.license.clone()),
                ("source".to_owned(), document.source.clone()),
            ]);
        }
        said
    };
    compared("document", &said(old), &said(new))
}

/// The entries that are gone, new or otherwise, by name.
fn compared(what: &'static str, old: &[(String, String)], new: &[(String, String)]) -> Vec<Change> {
    let of = |list: &[(String, String)], name: &str| {
        list.iter().find(|(known, _)| known == name).map(|(_, words)| words.clone())
    };
    let names = old.iter().chain(new.iter().filter(|(name, _)| of(old, name).is_none()));
    names
        .map(|(name, _)| Change { what, name: name.clone(), old: of(old, name), new: of(new, name) })
        .filter(|change| change.old != change.new)
        .collect()
}

/// What came of a case, and the fuel that it took.
fn run(engine: &Engine, module: &Module, case: &Case) -> Result<(Came, u64), Failure> {
    let state: State = Arc::new(case.state.clone());
    let foreign: Vec<State> = case.foreign.iter().map(|state| Arc::new(state.clone()) as State).collect();
    let host =
        |error| Failure::refused("no_verdict", error).help("this machine has no verdict now: try again");
    Ok(match &case.call {
        Call::Evaluate(input) => {
            let ran = engine.evaluate(module, input, &state, &foreign, FUEL_LIMIT_DEFAULT).map_err(host)?;
            let came = match ran.outcome {
                Outcome::Accept(effects) => Came::Verdict(Verdict::Accept(effects)),
                Outcome::Reject(denial) => Came::Verdict(Verdict::Reject(denial)),
                Outcome::Fault(fault) => Came::Fault(fault.to_string()),
            };
            (came, ran.fuel)
        }
        Call::View(input) => {
            let ran = engine.view(module, input, &state, &foreign, FUEL_LIMIT_DEFAULT).map_err(host)?;
            let came = match ran.outcome {
                ViewOutcome::Answer(answer) => Came::Answer(answer),
                ViewOutcome::Fault(fault) => Came::Fault(fault.to_string()),
            };
            (came, ran.fuel)
        }
    })
}

/// What came of a case, for people.
fn words(came: &Came, about: &Description) -> String {
    let refused = |denial: &dsm_abi::Denial| {
        let known = about.denials.iter().find(|known| known.code == denial.code);
        let name = known.map_or("", |known| known.name.as_str());
        format!("refuses: {} {name}: {} {}", denial.code, denial.reason, denial.hint).trim_end().to_owned()
    };
    match came {
        Came::Verdict(Verdict::Accept(effects)) if effects.is_empty() => "accepts".into(),
        Came::Verdict(Verdict::Accept(effects)) => {
            let effects: Vec<String> = effects.iter().map(words_of_effect).collect();
            format!("accepts: {}", effects.join(", "))
        }
        Came::Verdict(Verdict::Reject(denial)) | Came::Answer(Answer::Reject(denial)) => refused(denial),
        Came::Answer(Answer::Fields(fields)) => format!("answers {}", fields_words(fields)),
        Came::Fault(word) => format!("faults: {word}"),
    }
}
