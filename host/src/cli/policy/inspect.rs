//! `dsm policy inspect`: what a policy is, who signed it and what it may do, in plain words.

use super::source::{Form, find};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{Show, rows, safe};
use dsm_abi::{AccountId, Description, Digest, EvidenceKind, ForeignTarget, KeyId, Method, Suite};
use dsm_sdk::api::PolicyCid;
use dsm_sdk::package::module_cid;
use serde::Serialize;

/// The answer of `inspect`.
#[derive(Serialize)]
struct Inspected {
    form: Form,
    policy: Option<PolicyCid>,
    module: Digest,
    module_cid: String,
    module_bytes: usize,
    author: Option<KeyId>,
    suite: Option<Suite>,
    publisher: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher_name: Option<String>,
    fuel_limit: Option<u64>,
    license: Option<String>,
    source: Option<String>,
    description: Description,
}

impl Show for Inspected {
    fn text(&self) -> String {
        let about = &self.description;
        let text = |text: &Option<String>| text.as_deref().map_or_else(String::new, safe);
        let author = match (self.author, self.suite) {
            (Some(author), Some(suite)) => format!("{author} ({}), verified", suite_word(suite)),
            _ => "nobody".into(),
        };
        let publisher = self.publisher.map_or_else(String::new, |account| match &self.publisher_name {
            Some(name) => format!("{account} ({})", safe(name)),
            None => account.to_string(),
        });
        let policy = self.policy.map_or_else(|| "not packaged yet".into(), |policy| policy.to_string());
        let mut lines = vec![
            format!("{} {}: {}", safe(&about.name), safe(&about.version), safe(&about.summary)),
            rows([
                ("this is", self.form.words().to_owned()),
                ("policy", policy),
                ("module", format!("{} ({} bytes)", self.module_cid, self.module_bytes)),
                ("signed by key", author),
                ("published by", publisher),
                ("fuel limit", self.fuel_limit.map_or_else(String::new, |fuel| fuel.to_string())),
                ("license", text(&self.license)),
                ("source", text(&self.source)),
            ]),
        ];
        let params = about
            .params
            .iter()
            .map(|one| (one.name.as_str(), format!("{}: {}", one.value_type.word(), safe(&one.doc))));
        section(&mut lines, "a token gives it", params.collect());
        section(&mut lines, "it can be asked to", about.methods.iter().map(method).collect());
        section(&mut lines, "it answers", about.queries.iter().map(method).collect());
        let denials = about.denials.iter();
        let denials = denials.map(|one| (one.name.as_str(), format!("{}: {}", one.code, safe(&one.text))));
        section(&mut lines, "it refuses with", denials.collect());
        lines.push(may(about));
        lines.join("\n\n")
    }
}

const fn suite_word(suite: Suite) -> &'static str {
    match suite {
        Suite::MlDsa65 => "ML-DSA-65",
        Suite::Ed25519MlDsa65 => "Ed25519 and ML-DSA-65",
        Suite::Dilithium3 => "Dilithium3",
        Suite::SlhDsaSha2128s => "SLH-DSA-SHA2-128s",
    }
}

fn section(lines: &mut Vec<String>, title: &str, entries: Vec<(&str, String)>) {
    if !entries.is_empty() {
        let entries: Vec<(String, String)> =
            entries.into_iter().map(|(name, words)| (safe(name), words)).collect();
        let entries = entries.iter().map(|(name, words)| (name.as_str(), words.clone()));
        lines.push(format!("{title}:\n  {}", rows(entries).replace('\n', "\n  ")));
    }
}

fn method(one: &Method) -> (&str, String) {
    (&one.name, format!("{} {}", arguments(one), safe(&one.doc)))
}

/// The arguments of a method, as people write them.
pub(super) fn arguments(one: &Method) -> String {
    let args: Vec<String> =
        one.args.iter().map(|arg| format!("{}: {}", safe(&arg.name), arg.value_type.word())).collect();
    format!("({})", args.join(", "))
}

/// What a kind of evidence is, for people.
pub(super) const fn evidence_words(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::Credential => "credentials that issuers signed",
        EvidenceKind::HashPreimage => "preimages of digests",
        EvidenceKind::Attestation => "statements that keys signed",
        EvidenceKind::BridgeProof => "locks on an EVM chain",
        EvidenceKind::OracleRound => "rounds of feeds that accounts observed and signed",
    }
}

/// What a foreign read reads, for people.
pub(super) fn foreign_words(read: &dsm_abi::ForeignRead) -> String {
    match &read.target {
        ForeignTarget::Token(token) => format!("policy {} of token {token}", read.policy_index),
        ForeignTarget::Parameter(name) => {
            format!("policy {} of the token in parameter {}", read.policy_index, safe(name))
        }
    }
}

/// What a policy may do at all, and what this one declares to look at.
fn may(about: &Description) -> String {
    let evidence: Vec<&str> = about.evidence.iter().map(|kind| evidence_words(*kind)).collect();
    let foreign: Vec<String> = about.foreign_reads.iter().map(foreign_words).collect();
    let or_nothing = |list: String| if list.is_empty() { "nothing".to_owned() } else { list };
    rows([
        ("it may", "accept or refuse every operation on its tokens, keep state of its own,\nask the host for holds, freezes, and movements of units of accounts that signed,\nschedule the successors of policies where a token was created so that it may".to_owned()),
        ("it may not", "read clocks, files or networks, call other policies,\nmove units of an account that did not sign, break a cap, a hold or conservation".to_owned()),
        ("it looks at", or_nothing(evidence.join(", "))),
        ("it reads of others", or_nothing(foreign.join(", "))),
    ])
}

pub(super) fn inspect(session: &Session, text: &str) -> Result<(), Failure> {
    let found = find(session, text)?;
    let (_, description) = found.admit()?;
    let document = found.document();
    let (publisher, publisher_name) = found.publisher.clone().unzip();
    session.show(&Inspected {
        form: found.form,
        policy: found.policy().map(PolicyCid),
        module: found.digest(),
        module_cid: module_cid(&found.module).to_string(),
        module_bytes: found.module.len(),
        author: document.map(|document| document.author),
        suite: found.package.as_ref().map(|package| package.package().envelope.key.suite),
        publisher,
        publisher_name: publisher_name.flatten(),
        fuel_limit: document.map(|document| document.fuel_limit),
        license: document.map(|document| document.license.clone()),
        source: document.map(|document| document.source.clone()),
        description,
    })
}
