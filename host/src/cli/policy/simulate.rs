//! `dsm policy simulate`: one operation against a given state, or against a token's on a node: what the policy decides,
//! why, and what it looked at.

use super::live::{self, Live};
use super::trying::{
    case_failure, cases_of, denial_words, fault_words, fields_words, host_failure, read_text, trial_of,
    trial_of_published,
};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{Show, rows, safe};
use dsm_abi::{Answer, Denial, Description, Effect, ValueType, Verdict};
use dsm_host::engine::FUEL_LIMIT_DEFAULT;
use dsm_host::trial::{Touch, words_of_effect};
use dsm_sdk::cases::{
    Came, Case, CaseFile, CaseText, EvidenceText, LegText, Names, Resolver, SignerText, Table, Toml,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Options of `dsm policy simulate`.
#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    /// A .wasm file, a package or a CAR file [default with --token: the policy that the token has there]
    #[arg(required_unless_present = "token")]
    file: Option<PathBuf>,
    /// Take parameters, supply, state, balances, holds, keys and time from this token on the node, by id or name; accounts
    /// and keys have this wallet's names
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["params", "state", "case"])]
    token: Option<String>,
    /// The position of the policy in the token's list
    #[arg(long, value_name = "INDEX", default_value_t = 0, requires = "token")]
    policy_index: u8,
    /// A parameter of the token, as NAME=VALUE; lists are separated by commas
    #[arg(long = "param", value_name = "NAME=VALUE", conflicts_with = "case")]
    params: Vec<String>,
    /// The operation: 'transfer to=bob amount=1200', 'invoke pause', 'query outflow account=alice'; by=NAME says who acts.
    /// With --token 'release hold=ID' or 'execute hold=ID' ends a hold of the node's: of an account of this wallet, or owner=ACCOUNT
    #[arg(long, value_name = "OPERATION", required_unless_present = "case")]
    op: Option<String>,
    /// Who else signed, as ACCOUNT=KEY,KEY
    #[arg(long = "signer", value_name = "ACCOUNT=KEYS", conflicts_with = "case")]
    signers: Vec<String>,
    /// Take state, parties and all else from the part `start` of this case file
    #[arg(long, value_name = "FILE", conflicts_with = "case")]
    state: Option<PathBuf>,
    /// Take the evidence from the part `start` of this case file
    #[arg(long, value_name = "FILE", conflicts_with = "case")]
    evidence: Option<PathBuf>,
    /// Run the case of this name instead
    #[arg(long, value_name = "NAME", requires = "cases", conflicts_with = "op")]
    case: Option<String>,
    /// The file that has the case
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
}

/// The answer of `simulate`.
#[derive(Serialize)]
struct Simulated {
    /// accept, reject, answer or fault.
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    denial: Option<Denial>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// What it asks the host to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    effects: Vec<Effect>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answer: Vec<dsm_abi::Field>,
    /// What it looked at, in order.
    trace: Vec<Traced>,
    /// What it noted.
    notes: Vec<Noted>,
    fuel: u64,
    fuel_limit: u64,
    #[serde(skip)]
    words: Vec<String>,
}

#[derive(Serialize)]
struct Traced {
    what: String,
    fuel: u64,
}

#[derive(Serialize)]
struct Noted {
    code: u32,
    text: String,
}

impl Show for Simulated {
    fn text(&self) -> String {
        let mut lines = self.words.clone();
        lines.extend(self.effects.iter().map(|effect| format!("  it {}", safe(&words_of_effect(effect)))));
        let trace = self.trace.iter().map(|one| format!("{} ({} fuel)", safe(&one.what), one.fuel));
        let notes = self.notes.iter().map(|note| format!("notes {}: {}", note.code, safe(&note.text)));
        let trace: Vec<String> = trace.chain(notes).collect();
        lines.push(rows([
            ("looked at", trace.join("\n")),
            ("fuel", format!("{} of {}", self.fuel, self.fuel_limit)),
        ]));
        lines.join("\n")
    }
}

pub(super) fn simulate(session: &Session, args: &SimulateArgs) -> Result<(), Failure> {
    let live = args.token.as_ref().map(|token| Live::read(session, token, args.policy_index)).transpose()?;
    let trial = match (&args.file, &live) {
        (Some(file), _) => trial_of(file)?.0,
        (None, Some(live)) => trial_of_published(session, &live.policy())?,
        (None, None) => {
            return Err(Failure::usage("there is no module").help("give a .wasm file, or --token"));
        }
    };
    let about = trial.about();
    let case = match (&args.case, &args.cases) {
        (Some(name), Some(file)) => {
            let (_, cases) = cases_of(file, about)?;
            let known: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
            cases.into_iter().find(|case| case.name == *name).ok_or_else(|| {
                Failure::usage(format!("{} has no case {name:?}", file.display()))
                    .help(format!("it has: {}", known.join(", ")))
            })?
        }
        _ => stated(session, args, about, live.as_ref())?,
    };
    let ran = trial.run(&case.call, &case.state, &case.foreign).map_err(host_failure)?;
    let mut words = Vec::new();
    let (mut denial, mut effects, mut answer) = (None, Vec::new(), Vec::new());
    let verdict = match &ran.came {
        Came::Verdict(Verdict::Accept(given)) => {
            words.push("ACCEPT".to_owned());
            effects.clone_from(given);
            "accept"
        }
        Came::Verdict(Verdict::Reject(given)) | Came::Answer(Answer::Reject(given)) => {
            words.push(format!("DENY {}", safe(&denial_words(given, about))));
            if !given.hint.is_empty() {
                words.push(format!("  hint: {}", safe(&given.hint)));
            }
            denial = Some(given.clone());
            "reject"
        }
        Came::Answer(Answer::Fields(fields)) => {
            words.push(format!("ANSWER {}", safe(&fields_words(fields))));
            answer.clone_from(fields);
            "answer"
        }
        Came::Fault(_) => "fault",
    };
    let fault = fault_words(&ran);
    words.extend(fault.iter().map(|fault| format!("FAULT {}", safe(fault))));
    let traced = |touch: &Touch| Traced { what: touch.words(), fuel: touch.fuel() };
    session.show(&Simulated {
        verdict,
        denial,
        effects,
        answer,
        trace: ran.touches.iter().map(traced).collect(),
        notes: ran.notes.iter().map(|note| Noted { code: note.code, text: note.text.clone() }).collect(),
        fuel: ran.fuel,
        fuel_limit: FUEL_LIMIT_DEFAULT,
        words,
        fault,
    })?;
    if verdict == "accept" || verdict == "answer" { Ok(()) } else { Err(Failure::told()) }
}

/// The case that the options state.
fn stated(
    session: &Session,
    args: &SimulateArgs,
    about: &Description,
    live: Option<&Live>,
) -> Result<Case, Failure> {
    let start_of = |file: &PathBuf| read_start(file);
    let (mut names, mut start) = match live {
        Some(live) => (live::names(&session.wallet()?)?, live.start(about)?),
        None => (Names::default(), CaseText::default()),
    };
    if let Some(file) = &args.state {
        let read = start_of(file)?;
        names = read.names(names).map_err(|error| case_failure(file, &error))?;
        start = read.start().clone();
    }
    if let Some(file) = &args.evidence {
        let read = start_of(file)?;
        names = read.names(names).map_err(|error| case_failure(file, &error))?;
        let evidence: Vec<EvidenceText> = read.start().evidence.clone().unwrap_or_default();
        start.evidence = Some(evidence);
    }
    let mut params = match &start.params {
        Some(Toml::Table(table)) => table.clone(),
        _ => Table::new(),
    };
    for param in &args.params {
        let (name, text) = pair(param, "--param")?;
        let known = about.params.iter().find(|one| one.name == name).ok_or_else(|| {
            let known: Vec<&str> = about.params.iter().map(|one| one.name.as_str()).collect();
            Failure::usage(format!("the policy has no parameter {name:?}"))
                .help(format!("its parameters: {}", known.join(", ")))
        })?;
        params.insert(name.to_owned(), typed(text, known.value_type));
    }
    if !matches!(start.params, Some(Toml::Array(_))) {
        start.params = Some(Toml::Table(params));
    }
    for signer in &args.signers {
        let (account, keys) = pair(signer, "--signer")?;
        let keys = keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect();
        let signer = SignerText { account: Some(account.to_owned()), keys: Some(keys) };
        start.signers.get_or_insert_default().push(signer);
    }
    let own = operation(args.op.as_deref().unwrap_or_default(), about, live)?;
    let bad = |error: String| {
        Failure::usage(error).help(
            "--op 'transfer to=bob amount=1200', --param NAME=VALUE; .dsm/sdk/policy/CASES.md in the project tells the rest",
        )
    };
    let resolver = Resolver::new(about, &names, &start).map_err(bad)?;
    // An expectation makes a case of it; nobody compares.
    let expected = CaseText { fault: Some(String::new()), ..own };
    let mut case = resolver.case(&start, &expected).map_err(bad)?;
    if let Some(live) = live {
        live.fill(&mut case, about)?;
    }
    Ok(case)
}

fn read_start(file: &Path) -> Result<CaseFile, Failure> {
    CaseFile::read(&read_text(file)?).map_err(|error| case_failure(file, &error))
}

fn pair<'t>(text: &'t str, option: &str) -> Result<(&'t str, &'t str), Failure> {
    text.split_once('=').ok_or_else(|| {
        Failure::usage(format!("{text:?} is not NAME=VALUE")).help(format!("write {option} name=value"))
    })
}

/// An operation as it is written in one line. Against a token of a node the hold that ends is named by its id.
fn operation(text: &str, about: &Description, live: Option<&Live>) -> Result<CaseText, Failure> {
    let mut words = text.split_whitespace();
    let act = words.next().unwrap_or_default();
    let bad = |what: String| {
        Failure::usage(what).help("write it as 'transfer to=bob amount=1200' or 'invoke METHOD name=value'")
    };
    if act == "query" || act == "invoke" {
        let name = words.next().ok_or_else(|| bad(format!("{act} needs a name")))?.to_owned();
        let list = if act == "query" { &about.queries } else { &about.methods };
        let described = list.iter().find(|one| one.name == name);
        let (mut args, mut by) = (Table::new(), "alice".to_owned());
        for word in words {
            let (field, value) = pair(word, "--op 'invoke METHOD'")?;
            let known = described.and_then(|one| one.args.iter().find(|arg| arg.name == field));
            match known {
                Some(arg) => {
                    args.insert(field.to_owned(), typed(value, arg.value_type));
                }
                None if field == "by" => value.clone_into(&mut by),
                None => return Err(bad(format!("{name} has no argument {field:?}"))),
            }
        }
        let args = described.is_some().then_some(Toml::Table(args));
        if act == "query" {
            return Ok(CaseText { query: Some(name), args, ..CaseText::default() });
        }
        let leg = LegText {
            by: Some(by),
            act: Some("invoke".into()),
            method: Some(name),
            args,
            ..LegText::default()
        };
        return Ok(CaseText { legs: Some(vec![leg]), ..CaseText::default() });
    }
    let mut table = Table::new();
    table.insert("do".into(), Toml::String(act.to_owned()));
    table.insert("by".into(), Toml::String("alice".into()));
    for word in words {
        let (field, value) = pair(word, "--op 'transfer'")?;
        let value = match (field, value) {
            ("bilateral", "true" | "false") => Toml::Boolean(value == "true"),
            _ => Toml::String(value.to_owned()),
        };
        table.insert(field.to_owned(), value);
    }
    if let (Some(live), Some(Toml::String(hold))) = (live, table.get("hold").cloned()) {
        let owner = table.remove("owner");
        table.insert("hold".into(), live.hold(&hold, owner.as_ref().and_then(Toml::as_str))?);
    }
    let leg: LegText = Toml::Table(table).try_into().map_err(|error| bad(format!("{text:?}: {error}")))?;
    Ok(CaseText { legs: Some(vec![leg]), ..CaseText::default() })
}

/// A value as a word of a command line.
fn typed(text: &str, value_type: ValueType) -> Toml {
    match value_type {
        ValueType::Bool if text == "true" || text == "false" => Toml::Boolean(text == "true"),
        ValueType::Accounts | ValueType::Keys | ValueType::Texts => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Toml::Array(items.map(|item| Toml::String(item.to_owned())).collect())
        }
        _ => Toml::String(text.to_owned()),
    }
}
