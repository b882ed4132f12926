//! `dsm policy inspect`: what a policy is, who signed it and what it may do, in plain words.

use super::{engine, gate_failure, package_failure, read};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{Show, rows, safe};
use dsm_abi::{Description, Digest, EvidenceKind, ForeignTarget, KeyId, Method};
use dsm_crypto::Verifier;
use dsm_sdk::api::PolicyCid;
use dsm_sdk::package::{Package, PolicyDocument};
use serde::Serialize;
use std::path::Path;

/// The answer of `inspect`.
#[derive(Serialize)]
struct Inspected {
    policy: Option<PolicyCid>,
    module: Digest,
    author: Option<KeyId>,
    publisher: Option<dsm_abi::AccountId>,
    fuel_limit: Option<u64>,
    license: Option<String>,
    source: Option<String>,
    description: Description,
}

impl Show for Inspected {
    fn text(&self) -> String {
        let about = &self.description;
        let mut lines = vec![
            format!("{} {}: {}", safe(&about.name), safe(&about.version), safe(&about.summary)),
            rows([
                (
                    "policy",
                    self.policy.map_or_else(|| "not packaged yet".into(), |policy| policy.to_string()),
                ),
                ("module", self.module.to_string()),
                ("signed by key", self.author.map_or_else(|| "nobody".into(), |key| key.to_string())),
                ("published by", self.publisher.map_or_else(String::new, |account| account.to_string())),
                ("fuel limit", self.fuel_limit.map_or_else(String::new, |fuel| fuel.to_string())),
                ("license", self.license.as_deref().map_or_else(String::new, safe)),
                ("source", self.source.as_deref().map_or_else(String::new, safe)),
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

fn section(lines: &mut Vec<String>, title: &str, entries: Vec<(&str, String)>) {
    if !entries.is_empty() {
        lines.push(format!("{title}:\n  {}", rows(entries).replace('\n', "\n  ")));
    }
}

fn method(one: &Method) -> (&str, String) {
    let args: Vec<String> =
        one.args.iter().map(|arg| format!("{}: {}", safe(&arg.name), arg.value_type.word())).collect();
    (&one.name, format!("({}) {}", args.join(", "), safe(&one.doc)))
}

/// What a policy may do at all, and what this one declares to look at.
fn may(about: &Description) -> String {
    let evidence: Vec<&str> = about
        .evidence
        .iter()
        .map(|kind| match kind {
            EvidenceKind::Credential => "credentials that issuers signed",
            EvidenceKind::HashPreimage => "preimages of digests",
            EvidenceKind::Attestation => "statements that keys signed",
            EvidenceKind::BridgeProof => "locks on an EVM chain",
            EvidenceKind::OracleRound => "rounds of feeds that accounts observed and signed",
        })
        .collect();
    let foreign: Vec<String> = about
        .foreign_reads
        .iter()
        .map(|read| match &read.target {
            ForeignTarget::Token(token) => format!("policy {} of token {token}", read.policy_index),
            ForeignTarget::Parameter(name) => {
                format!("policy {} of the token in parameter {}", read.policy_index, safe(name))
            }
        })
        .collect();
    let or_nothing = |list: String| if list.is_empty() { "nothing".to_owned() } else { list };
    rows([
        ("it may", "accept or refuse every operation on its tokens, keep state of its own,\nask the host for holds, freezes, and movements of units of accounts that signed".to_owned()),
        ("it may not", "read clocks, files or networks, call other policies,\nmove units of an account that did not sign, break a cap, a hold or conservation".to_owned()),
        ("it looks at", or_nothing(evidence.join(", "))),
        ("it reads of others", or_nothing(foreign.join(", "))),
    ])
}

pub(super) fn inspect(session: &Session, text: &str) -> Result<(), Failure> {
    let file = Path::new(text);
    if file.is_file() {
        let (module, package) = read(file)?;
        let description = engine()?.admit(&module).map_err(gate_failure)?.description().clone();
        let document = package.as_ref().map(|package| PolicyDocument::decode(&package.document));
        let document = document.transpose().map_err(package_failure)?;
        return session.show(&Inspected {
            policy: package.as_ref().map(|package| PolicyCid(package.envelope.policy)),
            module: Digest(*blake3::hash(&module).as_bytes()),
            author: document.as_ref().map(|document| document.author),
            publisher: None,
            fuel_limit: document.as_ref().map(|document| document.fuel_limit),
            license: document.as_ref().map(|document| document.license.clone()),
            source: document.map(|document| document.source),
            description,
        });
    }
    let (client, policy) = (session.client()?, session.wallet()?.policy_id(text)?);
    let info = client.policy(&policy)?;
    let package = Package::decode(&client.package(&policy)?).map_err(package_failure)?;
    let verified = package.verify(&Verifier::new()).map_err(package_failure)?;
    if verified.policy() != policy {
        return Err(Failure::integrity("policy_cid_mismatch", "the node gave the package of another policy"));
    }
    let document = verified.document().clone();
    session.show(&Inspected {
        policy: Some(PolicyCid(policy)),
        module: verified.module_digest(),
        author: Some(document.author),
        publisher: Some(info.publisher),
        fuel_limit: Some(document.fuel_limit),
        license: Some(document.license),
        source: Some(document.source),
        description: document.description,
    })
}
