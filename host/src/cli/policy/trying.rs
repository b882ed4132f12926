//! What the verbs that try a policy share: reading a module, a case file, the words for what came.

use super::{gate_failure, source};
use crate::cli::failure::{Failure, file_failure};
use crate::cli::session::Session;
use crate::cli::show::safe;
use dsm_abi::{Answer, Denial, Description, Field, Value, Verdict};
use dsm_host::engine::HostFault;
use dsm_host::trial::{Ran, Trial, words_of_effect};
use dsm_sdk::cases::{Came, Case, CaseError, CaseFile, Names};
use std::path::Path;

/// Where an author has the format of case files at hand.
pub(super) const CASES_HELP: &str = ".dsm/sdk/policy/CASES.md in the project describes case files";

/// The module in `file`, ready to be tried, and its bytes.
pub(super) fn trial_of(file: &Path) -> Result<(Trial, Vec<u8>), Failure> {
    let source::Source { module, .. } = source::read(file)?;
    Ok((Trial::new(&module).map_err(gate_failure)?, module))
}

/// The published policy that a text names, ready to be tried.
pub(super) fn trial_of_published(session: &Session, policy: &str) -> Result<Trial, Failure> {
    Trial::new(&source::find(session, policy)?.module).map_err(gate_failure)
}

pub(super) fn read_text(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| file_failure(file, &error))
}

/// A case file.
pub(super) fn case_file(file: &Path) -> Result<CaseFile, Failure> {
    CaseFile::read(&read_text(file)?).map_err(|error| case_failure(file, &error))
}

/// The cases of a file, for the policy that `about` describes.
pub(super) fn cases_of(file: &Path, about: &Description) -> Result<(CaseFile, Vec<Case>), Failure> {
    let read = case_file(file)?;
    let cases = read.cases(about, Names::default()).map_err(|error| case_failure(file, &error))?;
    Ok((read, cases))
}

pub(super) fn case_failure(file: &Path, error: &CaseError) -> Failure {
    let place =
        error.line.map_or_else(|| file.display().to_string(), |line| format!("{}:{line}", file.display()));
    Failure::usage(format!("{place}: {}", error.reason)).with_code("bad_cases").help(CASES_HELP)
}

pub(super) fn host_failure(fault: HostFault) -> Failure {
    Failure::refused("no_verdict", fault).help("this machine reached no verdict now: try again")
}

/// What came of a call, in one line for people.
pub(super) fn words(came: &Came, about: &Description) -> String {
    match came {
        Came::Verdict(Verdict::Accept(effects)) if effects.is_empty() => "accepted".into(),
        Came::Verdict(Verdict::Accept(effects)) => {
            let effects: Vec<String> = effects.iter().map(words_of_effect).collect();
            format!("accepted: {}", effects.join("; "))
        }
        Came::Verdict(Verdict::Reject(denial)) | Came::Answer(Answer::Reject(denial)) => {
            format!("refused: {}", denial_words(denial, about))
        }
        Came::Answer(Answer::Fields(fields)) => format!("answered: {}", fields_words(fields)),
        Came::Fault(word) => format!("fault: {word}"),
    }
}

/// The code with its word, and the reason.
pub(super) fn denial_words(denial: &Denial, about: &Description) -> String {
    let known = about.denials.iter().find(|one| one.code == denial.code);
    let word = known.map_or("a code that it does not describe", |one| one.name.as_str());
    let field = if denial.field.is_empty() { String::new() } else { format!(", field {}", denial.field) };
    format!("{} {word}{field}: {}", denial.code, denial.reason)
}

pub(super) fn fields_words(fields: &[Field]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|field| format!("{} = {}", field.name, value_words(&field.value))).collect();
    fields.join(", ")
}

fn value_words(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::U128(value) => value.to_string(),
        Value::I128(value) => value.to_string(),
        Value::Text(text) => format!("{:?}", safe(text)),
        Value::Bytes(bytes) => hex::encode(bytes),
        Value::Digest(id) => id.to_string(),
        Value::Account(id) => id.to_string(),
        Value::Token(id) => id.to_string(),
        Value::Key(id) => id.to_string(),
        Value::Accounts(ids) => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Value::Keys(ids) => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Value::Texts(texts) => texts.iter().map(|text| safe(text)).collect::<Vec<_>>().join(" "),
    }
}

/// A fault with its way out.
pub(super) fn fault_words(ran: &Ran) -> Option<String> {
    ran.fault.map(|fault| format!("{fault}: {}", fault.help()))
}
