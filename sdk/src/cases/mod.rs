//! Case files: calls of a policy and what must come of them, written by people in TOML. `sdk/policy/CASES.md` is the
//! format; here it is read strictly, resolved against a policy's description, and written.
//!
//! Left out on purpose: running a case. The host does, natively and as WASM.

mod condition;
mod read;
mod text;
pub mod time;
mod write;

pub use condition::{Condition, World};
pub use read::{Names, Resolver};
pub use text::{
    AttestationText, BalanceText, CaseText, CredentialText, EffectText, EntryText, EvidenceText, FuzzText,
    HoldText, InvariantText, LegText, LockText, ObservationText, PartyText, PreimageText, RoundText,
    SequenceText, SignerText, StepText, TokenText, UpgradesText,
};
pub use toml::{Table, Value as Toml};
pub use write::{write_cases, write_sequence};

use dsm_abi::{Answer, Call, Description, Effect, Expected, Field, StateMap, Value, Verdict};
use std::collections::BTreeSet;

/// The version of the format that is read and written.
pub const FORMAT: u32 = 1;
/// Bytes of a case file.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// Cases of one file.
pub const CASES_MAX: usize = 4_096;

/// Why a case file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", line.map_or_else(String::new, |line| format!("line {line}: ")))]
pub struct CaseError {
    /// The line, counted from 1, if there is one to blame.
    pub line: Option<usize>,
    /// What is wrong, naming the case and the field.
    pub reason: String,
}

/// A case, resolved: one call and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// One line for people.
    pub name: String,
    /// The policy's state before the call.
    pub state: StateMap,
    /// The policy states of the declared foreign reads, by position.
    pub foreign: Vec<StateMap>,
    /// The call.
    pub call: Call,
    /// What must come of it.
    pub expected: Expectation,
}

/// What must come of a [`Case`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// Exactly these effects.
    Accept(Vec<Effect>),
    /// These effects, in this order, and perhaps others between.
    AcceptWith(Vec<Effect>),
    /// A refusal.
    Refuse {
        /// Its code.
        code: u16,
        /// The field that it names, if that matters.
        field: Option<String>,
    },
    /// Exactly these values, in this order.
    Answer(Vec<(String, Wanted)>),
    /// A fault with this stable word.
    Fault(String),
}

/// A value that an answer must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Value(Value),
    /// A number with these digits, of whatever type.
    Number(String),
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// A verdict.
    Verdict(Verdict),
    /// An answer.
    Answer(Answer),
    /// A fault, by its stable word.
    Fault(String),
}

impl Wanted {
    fn fits(&self, value: &Value) -> bool {
        match (self, value) {
            (Wanted::Value(wanted), value) => wanted == value,
            (Wanted::Number(digits), Value::U64(number)) => *digits == number.to_string(),
            (Wanted::Number(digits), Value::U128(number)) => *digits == number.to_string(),
            (Wanted::Number(digits), Value::I128(number)) => *digits == number.to_string(),
            (Wanted::Number(_), _) => false,
        }
    }
}

impl From<(String, StateMap, Vec<StateMap>, Call, Expected)> for Case {
    fn from(
        (name, state, foreign, call, expected): (String, StateMap, Vec<StateMap>, Call, Expected),
    ) -> Case {
        let expected = match expected {
            Expected::Accept(effects) => Expectation::Accept(effects),
            Expected::Reject(code) => Expectation::Refuse { code, field: None },
            Expected::Answer(fields) => {
                let wanted = fields.into_iter().map(|Field { name, value }| (name, Wanted::Value(value)));
                Expectation::Answer(wanted.collect())
            }
        };
        Case { name, state, foreign, call, expected }
    }
}

impl Case {
    /// Whether `came` is what was expected.
    pub fn is_met(&self, came: &Came) -> bool {
        match (&self.expected, came) {
            (Expectation::Accept(wanted), Came::Verdict(Verdict::Accept(effects))) => wanted == effects,
            (Expectation::AcceptWith(wanted), Came::Verdict(Verdict::Accept(effects))) => {
                let mut left = effects.iter();
                wanted.iter().all(|effect| left.any(|came| came == effect))
            }
            (Expectation::Refuse { code, field }, Came::Verdict(Verdict::Reject(denial)))
            | (Expectation::Refuse { code, field }, Came::Answer(Answer::Reject(denial))) => {
                denial.code == *code && field.as_ref().is_none_or(|field| *field == denial.field)
            }
            (Expectation::Answer(wanted), Came::Answer(Answer::Fields(fields))) => {
                wanted.len() == fields.len()
                    && wanted
                        .iter()
                        .zip(fields)
                        .all(|((name, wanted), field)| *name == field.name && wanted.fits(&field.value))
            }
            (Expectation::Fault(word), Came::Fault(came)) => word == came,
            _ => false,
        }
    }

    /// The method or query that the case calls, or the word for its action.
    pub fn called(&self) -> String {
        match &self.call {
            Call::View(input) => format!("query {}", input.query),
            Call::Evaluate(input) => match input.legs.get(usize::from(input.leg)) {
                Some(leg) => match &leg.action {
                    dsm_abi::Action::Invoke { method, .. } => format!("invoke {method}"),
                    action => word_of(action).to_owned(),
                },
                None => "nothing".into(),
            },
        }
    }
}

/// The word for an action in case files.
pub fn word_of(action: &dsm_abi::Action) -> &'static str {
    use dsm_abi::Action;
    match action {
        Action::Create => "create",
        Action::Mint { .. } => "mint",
        Action::Burn { .. } => "burn",
        Action::Transfer { .. } => "transfer",
        Action::Claim { .. } => "claim",
        Action::Hold { .. } => "hold",
        Action::Release { .. } => "release",
        Action::Execute { .. } => "execute",
        Action::Invoke { .. } => "invoke",
        Action::Other => "other",
        Action::Upgrade { .. } => "upgrade",
    }
}

/// The policy's own codes that no case provokes, and the methods and queries that no case calls with success.
pub fn uncovered(about: &Description, cases: &[Case]) -> Vec<String> {
    let provoked: BTreeSet<u16> = cases
        .iter()
        .filter_map(|case| match &case.expected {
            Expectation::Refuse { code, .. } => Some(*code),
            _ => None,
        })
        .collect();
    let called: BTreeSet<String> = cases
        .iter()
        .filter(|case| !matches!(case.expected, Expectation::Refuse { .. } | Expectation::Fault(_)))
        .map(Case::called)
        .collect();
    let denials =
        about.denials.iter().filter(|denial| denial.code >= 100 && !provoked.contains(&denial.code));
    let methods = about.methods.iter().map(|method| format!("invoke {}", method.name));
    let queries = about.queries.iter().map(|query| format!("query {}", query.name));
    denials
        .map(|denial| format!("refuse {}", denial.name))
        .chain(methods.chain(queries).filter(|one| !called.contains(one)))
        .collect()
}

/// A case file that was read.
#[derive(Debug, Clone)]
pub struct CaseFile {
    document: text::Document,
    source: String,
}

impl CaseFile {
    /// Reads a case file.
    ///
    /// # Errors
    /// [`CaseError`] with the line, for whatever [`FORMAT`] does not know.
    pub fn read(source: &str) -> Result<CaseFile, CaseError> {
        if source.len() > FILE_BYTES_MAX {
            let reason = format!("{} bytes, a case file has at most {FILE_BYTES_MAX}", source.len());
            return Err(CaseError { line: None, reason });
        }
        let document: text::Document = toml::from_str(source).map_err(|error| CaseError {
            line: error.span().map(|span| line_of(source, span.start)),
            reason: error.message().to_owned(),
        })?;
        if document.format != FORMAT {
            let reason = format!("format {} is not known here: write format = {FORMAT}", document.format);
            return Err(CaseError { line: None, reason });
        }
        if document.case.len() > CASES_MAX {
            let reason = format!("{} cases, a file has at most {CASES_MAX}", document.case.len());
            return Err(CaseError { line: None, reason });
        }
        Ok(CaseFile { document, source: source.to_owned() })
    }

    /// The name of the policy that the file is for, if it says so.
    pub fn policy(&self) -> Option<&str> {
        self.document.policy.as_deref()
    }

    /// What every case starts from.
    pub fn start(&self) -> &CaseText {
        &self.document.start
    }

    /// How random sequences are made, if the file says so.
    pub fn fuzz(&self) -> Option<&FuzzText> {
        self.document.fuzz.as_ref()
    }

    /// What must hold after every step, with its line.
    pub fn invariants(&self) -> impl Iterator<Item = (usize, &InvariantText)> {
        self.document.invariant.iter().map(|one| (line_of(&self.source, one.span().start), one.get_ref()))
    }

    /// Sequences to try as they stand, with their lines.
    pub fn sequences(&self) -> impl Iterator<Item = (usize, &SequenceText)> {
        self.document.sequence.iter().map(|one| (line_of(&self.source, one.span().start), one.get_ref()))
    }

    /// The names that the file gives fixed ids, besides those in `names`.
    ///
    /// # Errors
    /// [`CaseError`], if one is not an id.
    pub fn names(&self, mut names: Names) -> Result<Names, CaseError> {
        for (name, id) in &self.document.names {
            let known = id.as_str().and_then(read::literal_id);
            let id = known.ok_or_else(|| CaseError {
                line: None,
                reason: format!("names: {name} needs an id: 64 hex digits, or \"#7\" for 32 bytes of 7"),
            })?;
            names.bind(name, id);
        }
        Ok(names)
    }

    /// All cases, resolved for the policy that `about` describes.
    ///
    /// # Errors
    /// [`CaseError`], with the case's line.
    pub fn cases(&self, about: &Description, names: Names) -> Result<Vec<Case>, CaseError> {
        if let Some(policy) = self.policy().filter(|policy| *policy != about.name) {
            let reason = format!("the file is for the policy {policy}, the module is {}", about.name);
            return Err(CaseError { line: None, reason });
        }
        let names = self.names(names)?;
        let resolver = Resolver::new(about, &names, &self.document.start)
            .map_err(|reason| CaseError { line: None, reason: format!("start: {reason}") })?;
        let mut cases = Vec::with_capacity(self.document.case.len());
        for written in &self.document.case {
            let line = Some(line_of(&self.source, written.span().start));
            let text = written.get_ref();
            let name = text.name.clone().unwrap_or_default();
            if text.name.is_none() {
                return Err(CaseError { line, reason: "a case needs a name".into() });
            }
            let case = resolver.case(&self.document.start, text);
            cases
                .push(case.map_err(|reason| CaseError { line, reason: format!("case {name:?}: {reason}") })?);
        }
        Ok(cases)
    }
}

fn line_of(source: &str, offset: usize) -> usize {
    source.as_bytes()[..offset.min(source.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}
