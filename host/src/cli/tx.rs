//! `dsm tx`: transitions by id, and signed transitions in files.

use super::failure::{Failure, file_failure};
use super::session::{Outcome, Session, finish, read_signed, receipt_text};
use super::show::{Show, rows, short};
use super::values::time_words;
use dsm_abi::TransitionId;
use dsm_core::SignedTransition;
use dsm_sdk::api::{
    EffectView, EffectsView, EvidenceView, OperationKindView, OperationView, ParentView, SignatureView,
    TransitionView,
};
use dsm_sdk::receipt::{Durability, Receipt};
use serde::Serialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What to do with transitions.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TxVerb {
    /// Show an accepted transition: who signed, what was done, what the policies asked for
    Show {
        /// Its id
        transition: TransitionId,
        /// Write its canonical bytes to this file too
        #[arg(long, value_name = "FILE")]
        bytes_to: Option<PathBuf>,
    },
    /// Read a signed transition from a file (or - for stdin) without asking anybody
    Decode {
        /// Canonical bytes, or their hex digits
        file: PathBuf,
    },
    /// Submit a signed transition from a file (or - for stdin)
    Submit {
        /// Canonical bytes, or their hex digits
        file: PathBuf,
        /// Wait until it is durable on so many nodes: local, primary or replicated:N [default: the node's]
        #[arg(long, value_name = "LEVEL", env = "DSM_DURABILITY")]
        durability: Option<Durability>,
    },
    /// Show the receipt of an accepted transition
    Receipt {
        /// Its id
        transition: TransitionId,
    },
}

pub(crate) fn run(session: &Session, verb: &TxVerb) -> Result<(), Failure> {
    match verb {
        TxVerb::Show { transition, bytes_to } => {
            let client = session.client()?;
            let view = client.transition(transition)?;
            if let Some(file) = bytes_to {
                let bytes = dsm_abi::encode(&client.signed_transition(transition)?);
                std::fs::write(file, bytes).map_err(|error| file_failure(file, &error))?;
            }
            session.show(&Shown { view })
        }
        TxVerb::Decode { file } => session.show(&Decoded::new(&read_signed(read(file)?)?.0)),
        TxVerb::Submit { file, durability } => {
            let (signed, bytes) = read_signed(read(file)?)?;
            let (client, wallet) = (session.client()?, session.wallet()?);
            let receipt = match wallet.pending_of(signed.transition.id())? {
                Some(pending) => finish(&client, &wallet, &pending, *durability)?,
                None => client.submit_bytes_at(&bytes, *durability)?,
            };
            session.show(&Outcome::Accepted { receipt: Box::new(receipt) })
        }
        TxVerb::Receipt { transition } => {
            session.show(&ShownReceipt { receipt: session.client()?.receipt(transition)? })
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    if file != Path::new("-") {
        return std::fs::read(file).map_err(|error| file_failure(file, &error));
    }
    let mut bytes = Vec::new();
    // In hex a transition has twice its bytes, and a line end.
    let limit = 2 * dsm_core::limit::SIGNED_BYTES_MAX as u64 + 2;
    let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|error| file_failure(file, &error))
}

/// What an operation is called.
pub(crate) fn operation_word(kind: &OperationKindView) -> String {
    let json = serde_json::to_value(kind).unwrap_or_default();
    json["operation"].as_str().unwrap_or_default().to_owned()
}

/// An operation in words: its name and what it names.
fn operation_words(operation: &OperationView) -> String {
    let json = serde_json::to_value(operation).unwrap_or_default();
    let fields = json.as_object().into_iter().flatten();
    let words = fields.filter(|(name, _)| *name != "operation" && *name != "actor").map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{name} {}", if value.len() == 64 { short(value) } else { super::show::safe(&value) })
    });
    let words: Vec<String> = words.collect();
    format!("{} by {}: {}", operation_word(&operation.kind), short(operation.actor), words.join(", "))
}

/// The answer of `show`.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown {
    view: TransitionView,
}

impl Show for Shown {
    fn text(&self) -> String {
        let view = &self.view;
        let mut lines = vec![
            ("transition", view.transition.to_string()),
            ("position", view.position.to_string()),
            ("time", format!("{} ms", view.time_ms)),
            ("network", view.network.to_string()),
        ];
        lines.extend(view.signatures.iter().map(signature_line));
        lines.extend(view.operations.iter().map(|operation| ("operation", operation_words(operation))));
        lines.extend(view.effects.iter().map(|given| {
            let count = given.effects.len();
            ("effects", format!("{count} by policy {} of {}", given.policy_index, short(given.token)))
        }));
        lines.extend(view.effects.iter().flat_map(upgrade_lines));
        lines.extend(view.accounts.iter().map(|state| {
            ("account", format!("{} at height {}, head {}", state.account, state.height, short(state.id())))
        }));
        rows(lines)
    }
}

/// What a policy asked for that changes who judges from some time on.
fn upgrade_lines(given: &EffectsView) -> impl Iterator<Item = (&'static str, String)> {
    let token = short(given.token);
    given.effects.iter().filter_map(move |effect| match effect {
        EffectView::ScheduleUpgrade { policy_index, policy, due_ms, .. } => {
            let due = time_words(*due_ms);
            Some(("scheduled", format!("policy {policy_index} of {token} can become {policy} from {due} on")))
        }
        EffectView::CancelUpgrade { policy_index } => {
            Some(("taken back", format!("the upgrade of policy {policy_index} of {token}")))
        }
        _ => None,
    })
}

fn signature_line(one: &SignatureView) -> (&'static str, String) {
    (
        "signature",
        format!("{} by key {} ({})", short(one.account), one.key_index, super::key::suite_word(one.suite)),
    )
}

/// The answer of `decode`.
#[derive(Serialize)]
struct Decoded {
    transition: TransitionId,
    network: dsm_abi::NetworkId,
    parents: Vec<ParentView>,
    signatures: Vec<SignatureView>,
    operations: Vec<OperationView>,
    evidence: Vec<EvidenceView>,
    valid_from_ms: u64,
    valid_until_ms: u64,
    memo_digest: dsm_abi::Digest,
    bytes: usize,
}

impl Decoded {
    fn new(signed: &SignedTransition) -> Decoded {
        let body = &signed.transition;
        let signature = |one: &dsm_core::Signature| {
            let (account, _) = *body.parents.get(usize::from(one.account))?;
            Some(SignatureView { account, key_index: one.key, suite: one.suite })
        };
        Decoded {
            transition: body.id(),
            network: body.network,
            parents: body.parents.iter().map(|&(account, state)| ParentView { account, state }).collect(),
            signatures: signed.signatures.iter().filter_map(signature).collect(),
            operations: body.operations.iter().map(OperationView::from).collect(),
            evidence: body.evidence.iter().map(EvidenceView::from).collect(),
            valid_from_ms: body.valid_from_ms,
            valid_until_ms: body.valid_until_ms,
            memo_digest: body.memo_digest,
            bytes: dsm_abi::encode(signed).len(),
        }
    }
}

impl Show for Decoded {
    fn text(&self) -> String {
        let mut lines = vec![
            ("transition", self.transition.to_string()),
            ("network", self.network.to_string()),
            ("valid", format!("{} to {} ms", self.valid_from_ms, self.valid_until_ms)),
            ("bytes", self.bytes.to_string()),
        ];
        lines.extend(
            self.parents.iter().map(|one| ("parent", format!("{} at {}", one.account, short(one.state)))),
        );
        lines.extend(self.signatures.iter().map(signature_line));
        lines.extend(self.operations.iter().map(|operation| ("operation", operation_words(operation))));
        format!("{}\nnothing here is verified: the node checks signatures and rules", rows(lines))
    }
}

/// The answer of `receipt`.
#[derive(Serialize)]
#[serde(transparent)]
struct ShownReceipt {
    receipt: Receipt,
}

impl Show for ShownReceipt {
    fn text(&self) -> String {
        receipt_text(&self.receipt)
    }
}
