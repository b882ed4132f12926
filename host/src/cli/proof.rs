//! `dsm checkpoint`, `dsm prove` and `dsm verify`: what the node signed, proofs that hang from it, and checking them
//! without the node.

use super::failure::{Exit, Failure, file_failure};
use super::session::Session;
use super::show::{Show, rows};
use dsm_abi::{AccountId, TokenId};
use dsm_core::{ProofError, PublicKey};
use dsm_crypto::{Keystore, Verifier};
use dsm_sdk::api::{
    AccountProofView, AssetProofView, CheckpointView, EquivocationView, KeyView, TokenProofView,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Options of `dsm checkpoint`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckpointArgs {
    /// Have the node take one now
    #[arg(long)]
    take: bool,
    /// Write it to this file too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What to prove, at the last checkpoint.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ProveVerb {
    /// The head of an account, or that there is no such account
    Account {
        /// Its id, or its name in this wallet
        account: String,
        #[command(flatten)]
        out: OutArgs,
    },
    /// An account's balance
    Asset {
        /// The account: its id, or its name in this wallet
        account: String,
        /// The token: its id, or its name in this wallet
        token: String,
        #[command(flatten)]
        out: OutArgs,
    },
    /// The head of a token, or that there is no such token
    Token {
        /// Its id, or its name in this wallet
        token: String,
        #[command(flatten)]
        out: OutArgs,
    },
}

/// Where proofs go.
#[derive(Debug, clap::Args)]
pub(crate) struct OutArgs {
    /// Write the proof to this file too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Have the node take a checkpoint first
    #[arg(long)]
    checkpoint: bool,
}

/// Options of `dsm verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// A proof, checkpoint or evidence of equivocation, as `--out` or `--json` wrote it
    file: PathBuf,
    /// The node's key: a file that holds it (such as the output of `dsm status --json`), or its hex digits, suite first
    #[arg(long, value_name = "FILE|HEX")]
    trust: Option<String>,
}

/// What stands in a file for `dsm verify`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Shown {
    Checkpoint(CheckpointView),
    AccountProof(AccountProofView),
    AssetProof(AssetProofView),
    TokenProof(TokenProofView),
    Equivocation(EquivocationView),
}

impl Show for Shown {
    fn text(&self) -> String {
        let place = |epoch: u64, position: u64| format!("epoch {epoch}, up to log position {position}");
        match self {
            Shown::Checkpoint(view) => rows([
                ("checkpoint", view.id.to_string()),
                ("place", place(view.checkpoint.epoch, view.checkpoint.log_position)),
                ("accounts root", view.checkpoint.accounts_root.to_string()),
                ("tokens root", view.checkpoint.tokens_root.to_string()),
                ("credits root", view.checkpoint.credits_root.to_string()),
                ("signatures", view.signatures.len().to_string()),
            ]),
            Shown::AccountProof(view) => rows([
                ("account", view.account.to_string()),
                ("head", view.state.as_ref().map_or_else(|| "none".into(), |state| state.id().to_string())),
                ("height", view.state.as_ref().map_or_else(String::new, |state| state.height.to_string())),
                ("checkpoint", place(view.epoch, view.log_position)),
                ("proof", format!("{} bytes", view.proof.0.len())),
            ]),
            Shown::AssetProof(view) => rows([
                ("account", view.account.to_string()),
                ("token", view.token.to_string()),
                ("balance", format!("{} base units", view.amount)),
                ("checkpoint", place(view.epoch, view.log_position)),
                ("proof", format!("{} bytes", view.proof.0.len())),
            ]),
            Shown::TokenProof(view) => rows([
                ("token", view.token.to_string()),
                (
                    "supply",
                    view.state.as_ref().map_or_else(|| "none".into(), |state| state.supply.to_string()),
                ),
                ("checkpoint", place(view.epoch, view.log_position)),
                ("proof", format!("{} bytes", view.proof.0.len())),
            ]),
            Shown::Equivocation(view) => rows([
                ("account", view.evidence.account.to_string()),
                ("state", view.evidence.parent.to_string()),
                ("first", view.evidence.first.to_string()),
                ("second", view.evidence.second.to_string()),
            ]),
        }
    }
}

fn show(session: &Session, shown: &Shown, out: Option<&Path>) -> Result<(), Failure> {
    if let Some(file) = out {
        let text = serde_json::to_vec_pretty(shown).map_err(|error| Failure::integrity("json", error))?;
        std::fs::write(file, text).map_err(|error| file_failure(file, &error))?;
    }
    session.show(shown)
}

pub(crate) fn checkpoint(session: &Session, args: &CheckpointArgs) -> Result<(), Failure> {
    let client = session.client()?;
    let view = if args.take { client.take_checkpoint()? } else { client.latest_checkpoint()? };
    show(session, &Shown::Checkpoint(view), args.out.as_deref())
}

pub(crate) fn prove(session: &Session, verb: &ProveVerb) -> Result<(), Failure> {
    let (client, wallet) = (session.client()?, session.wallet()?);
    let (ProveVerb::Account { out, .. } | ProveVerb::Asset { out, .. } | ProveVerb::Token { out, .. }) = verb;
    if out.checkpoint {
        client.take_checkpoint()?;
    }
    let shown = match verb {
        ProveVerb::Account { account, .. } => {
            Shown::AccountProof(client.prove_account(&wallet.account_id(account)?)?)
        }
        ProveVerb::Asset { account, token, .. } => {
            let (account, token) = (wallet.account_id(account)?, wallet.token_id(token)?);
            Shown::AssetProof(client.prove_asset(&account, &token)?)
        }
        ProveVerb::Token { token, .. } => Shown::TokenProof(client.prove_token(&wallet.token_id(token)?)?),
    };
    show(session, &shown, out.out.as_deref())
}

/// What a file shows, after every hash and signature in it was checked.
#[derive(Debug, Serialize)]
#[serde(tag = "verified", rename_all = "snake_case")]
enum Verified {
    Checkpoint {
        epoch: u64,
        log_position: u64,
        time_ms: u64,
    },
    Account {
        account: AccountId,
        head: Option<dsm_abi::StateId>,
        height: Option<u64>,
        epoch: u64,
    },
    Asset {
        account: AccountId,
        token: TokenId,
        amount: dsm_sdk::api::Amount,
        epoch: u64,
    },
    Token {
        token: TokenId,
        head: Option<dsm_abi::TokenStateId>,
        supply: Option<dsm_sdk::api::Amount>,
        epoch: u64,
    },
    Equivocation {
        account: AccountId,
        state: dsm_abi::StateId,
    },
}

impl Show for Verified {
    fn text(&self) -> String {
        match self {
            Verified::Checkpoint { epoch, log_position, time_ms } => {
                format!(
                    "verified: the node signed checkpoint {epoch}, log position {log_position}, time {time_ms} ms"
                )
            }
            Verified::Account { account, head: Some(head), height, epoch } => {
                let height = height.unwrap_or_default();
                format!("verified: at checkpoint {epoch} the head of {account} is {head} at height {height}")
            }
            Verified::Account { account, head: None, epoch, .. } => {
                format!("verified: at checkpoint {epoch} there is no account {account}")
            }
            Verified::Asset { account, token, amount, epoch } => {
                format!("verified: at checkpoint {epoch} {account} owns {amount} base units of {token}")
            }
            Verified::Token { token, head: Some(head), epoch, supply } => {
                let supply = supply.map_or_else(String::new, |supply| supply.to_string());
                format!("verified: at checkpoint {epoch} the head of {token} is {head}, its supply {supply}")
            }
            Verified::Token { token, head: None, epoch, .. } => {
                format!("verified: at checkpoint {epoch} there is no token {token}")
            }
            Verified::Equivocation { account, state } => {
                format!("verified: {account} signed two successors of state {state}")
            }
        }
    }
}

pub(crate) fn verify(session: &Session, args: &VerifyArgs) -> Result<(), Failure> {
    let bytes = std::fs::read(&args.file).map_err(|error| file_failure(&args.file, &error))?;
    let shown: Shown = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::integrity("not_a_proof", format!("{}: {error}", args.file.display()))
            .help("`dsm prove … --out FILE` and `dsm checkpoint --out FILE` write such files")
    })?;
    let verifier = Verifier::new();
    let trusted = || trusted_key("--trust", args.trust.as_deref());
    let verified = match shown {
        Shown::Checkpoint(view) => {
            let signed = view.decode().map_err(malformed)?;
            let found = signed.verify(&trusted()?, &verifier).map_err(unproven)?;
            let (epoch, log_position, time_ms) = (found.epoch, found.log_position, found.to_ms);
            Verified::Checkpoint { epoch, log_position, time_ms }
        }
        Shown::AccountProof(view) => {
            let proof = view.decode().map_err(malformed)?;
            let state = proof.verify(&trusted()?, &verifier).map_err(unproven)?;
            let (head, height) = (state.map(|state| state.id()), state.map(|state| state.height));
            Verified::Account {
                account: proof.account,
                head,
                height,
                epoch: proof.checkpoint.checkpoint.epoch,
            }
        }
        Shown::AssetProof(view) => {
            let proof = view.decode().map_err(malformed)?;
            let amount = dsm_sdk::api::Amount(proof.verify(&trusted()?, &verifier).map_err(unproven)?);
            let epoch = proof.account.checkpoint.checkpoint.epoch;
            Verified::Asset { account: proof.account.account, token: proof.token, amount, epoch }
        }
        Shown::TokenProof(view) => {
            let proof = view.decode().map_err(malformed)?;
            let state = proof.verify(&trusted()?, &verifier).map_err(unproven)?;
            let supply = state.map(|state| dsm_sdk::api::Amount(state.supply));
            let head = state.map(|state| state.id());
            Verified::Token { token: proof.token, head, supply, epoch: proof.checkpoint.checkpoint.epoch }
        }
        // Carries its own keys: they hash to what the state says, and the state to what both transitions name.
        Shown::Equivocation(view) => {
            let proof = view.decode().map_err(malformed)?;
            proof.verify(&verifier).map_err(|error| Failure::new(Exit::Refused, "no_equivocation", error))?;
            Verified::Equivocation { account: proof.account(), state: proof.state() }
        }
    };
    session.show(&verified)
}

fn malformed(error: dsm_abi::DecodeError) -> Failure {
    Failure::integrity("malformed_bytes", format!("the proof's bytes: {error}"))
        .help("ask for the proof again")
}

fn unproven(error: ProofError) -> Failure {
    let help = match error {
        ProofError::NotSigned => "check that --trust is the key of the network's node",
        ProofError::Signature(_) | ProofError::Root | ProofError::Leaf => {
            "the file was altered; ask for the proof again"
        }
    };
    Failure::integrity(error.code(), error).help(help)
}

/// The key that the caller trusts.
pub(super) fn trusted_key(option: &str, trust: Option<&str>) -> Result<PublicKey, Failure> {
    let text = trust.ok_or_else(|| {
        Failure::usage("a proof shows nothing without the node's key").help(format!(
            "give {option} FILE|HEX; `dsm status --json > node.json` once, over a way that you trust"
        ))
    })?;
    let bad = |why: &str| {
        Failure::usage(format!("{option} {text}: {why}")).help(
            "a file with the node's key (`dsm status --json`), a key file, or hex digits, suite byte first",
        )
    };
    let path = Path::new(text);
    if !path.is_file() {
        let bytes = hex::decode(text).map_err(|_| bad("no such file, and not hex digits"))?;
        let (suite, bytes) = bytes.split_first().ok_or_else(|| bad("empty"))?;
        let suite = dsm_abi::decode(&[*suite], 1).map_err(|_| bad("an unknown suite"))?;
        return Ok(PublicKey { suite, bytes: bytes.to_vec() });
    }
    let text = std::fs::read(path).map_err(|error| file_failure(path, &error))?;
    if let Ok(keystore) = Keystore::from_json(&text) {
        let suite = keystore.suite().ok_or_else(|| bad("not a signing key"))?;
        return Ok(PublicKey { suite, bytes: keystore.public_key().to_vec() });
    }
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|_| bad("not JSON"))?;
    let places = [&json["network"]["node"], &json["node_key"], &json["node"], &json];
    let found = places.into_iter().find_map(|place| serde_json::from_value::<KeyView>(place.clone()).ok());
    let view = found.ok_or_else(|| bad("no key in it"))?;
    Ok(view.public_key())
}
