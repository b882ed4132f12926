//! `dsm bridge verify-proof`: a proof file, checked without asking anyone. Trust is given on the command line, never
//! taken from the file.

use super::{hex_address, hex_of};
use crate::cli::failure::{Failure, file_failure};
use crate::cli::proof::trusted_key;
use crate::cli::session::Session;
use crate::cli::show::Show;
use dsm_abi::{BridgeId, SignatureError, VerifySignature as _};
use dsm_core::{BridgeConfig, Finality, SignedCheckpoint, block_message};
use dsm_crypto::Verifier;
use dsm_evm_proof::{
    Address, Hash, Header, LockFile, Mode, OutboxFile, Outcome, Payload, ProofFile, ProvenLock,
    RecoverSigner, Report, Rules, Seal, TrustedSet, ValidatorContract,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Seconds that a header may be ahead of this machine's clock where no configuration says otherwise.
const CLOCK_DRIFT_S: u64 = 60;
/// Bytes of a file with a trusted set.
const TRUSTED_BYTES_MAX: usize = 64 * 1024;

/// Options of `dsm bridge verify-proof`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyProofArgs {
    /// A proof file, as `dsm bridge prove --out` writes it
    file: PathBuf,
    /// For a lock: believe the bridge of this id, whose configuration in the file must hash to it
    #[arg(long, value_name = "ID")]
    bridge: Option<BridgeId>,
    /// For a lock: believe these validators, separated by commas
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = hex_address, conflicts_with = "trusted")]
    validators: Vec<Address>,
    /// For a lock: believe the validators in this file, such as the output of `dsm bridge status --json`
    #[arg(long, value_name = "FILE")]
    trusted: Option<PathBuf>,
    /// For a lock: it must be in this contract
    #[arg(long, value_name = "ADDRESS", value_parser = hex_address)]
    contract: Option<Address>,
    /// For a lock: it must be on this chain
    #[arg(long, value_name = "N")]
    chain_id: Option<u64>,
    /// For an entry of the outbox: the node's key, a file that holds it or its hex digits, suite first
    #[arg(long, value_name = "FILE|HEX")]
    node_key: Option<String>,
}

/// What a file shows, after every check.
#[derive(Serialize)]
#[serde(tag = "verified", rename_all = "snake_case")]
enum Shown {
    Lock {
        chain_id: u64,
        contract: String,
        nonce: u64,
        kind: &'static str,
        asset: String,
        sender: String,
        token: String,
        recipient: String,
        amount: String,
        deadline_s: u64,
        commitment: String,
        checks: Vec<CheckShown>,
    },
    Outbox {
        network: String,
        index: u64,
        size: u64,
        root: String,
        token: String,
        says: String,
        checks: Vec<CheckShown>,
    },
}

/// One check of a report.
#[derive(Serialize)]
struct CheckShown {
    check: &'static str,
    found: String,
}

impl Show for Shown {
    fn text(&self) -> String {
        let (sentence, checks) = match self {
            Shown::Lock {
                chain_id,
                contract,
                nonce,
                kind,
                amount,
                token,
                recipient,
                deadline_s,
                checks,
                ..
            } => (
                format!(
                    "verified: contract {contract} on chain {chain_id} has lock {nonce} ({kind}) of {amount} base units\n\
                     for account {recipient}\nin token {token}, until {deadline_s} s"
                ),
                checks,
            ),
            Shown::Outbox { network, index, size, says, token, checks, .. } => (
                format!(
                    "verified: network {network} has entry {index} of {size} in its outbox: {says}\nby token {token}"
                ),
                checks,
            ),
        };
        let width = checks.iter().map(|one| one.check.len()).max().unwrap_or(0);
        let lines = checks.iter().map(|one| format!("  {:width$}  {}", one.check, one.found));
        std::iter::once(sentence).chain(lines).collect::<Vec<_>>().join("\n")
    }
}

pub(super) fn run(session: &Session, args: &VerifyProofArgs) -> Result<(), Failure> {
    let bytes = std::fs::read(&args.file).map_err(|error| file_failure(&args.file, &error))?;
    let file = ProofFile::decode(&bytes).map_err(|error| {
        Failure::integrity(error.code(), format!("{}: {error}", args.file.display()))
            .help("`dsm bridge prove --out FILE` writes such files")
    })?;
    let shown = match file {
        ProofFile::Lock(file) => lock(&file, args)?,
        ProofFile::Outbox(file) => outbox(&file, args)?,
    };
    session.show(&shown)
}

/// The rule of the first check that failed, and every finding before it.
fn refused(report: &Report) -> Failure {
    let (name, code) = report.first_failed().unwrap_or(("report", "no_check"));
    let words = |outcome: &Outcome| match outcome {
        Outcome::Passed { found } => format!("held: {found}"),
        Outcome::Failed { code, reason } => format!("FAILED with {code}: {reason}"),
        Outcome::Skipped => "not looked at".to_owned(),
    };
    let mut failure = Failure::integrity(code, format!("the proof shows nothing: the check `{name}` failed"))
        .help("ask for the proof again, from somebody else; and check what you trust");
    let checks = report.checks().iter();
    failure.findings = checks.map(|check| format!("{}: {}", check.name, words(&check.outcome))).collect();
    failure
}

fn shown(report: &Report) -> Vec<CheckShown> {
    let found = report.checks().iter().filter_map(|check| match &check.outcome {
        Outcome::Passed { found } => Some(CheckShown { check: check.name, found: found.clone() }),
        Outcome::Failed { .. } | Outcome::Skipped => None,
    });
    found.collect()
}

/// Asks this program's cryptography who signed.
struct Recover;

impl RecoverSigner for Recover {
    fn recover(&self, digest: &Hash, signature: &Seal) -> Option<Address> {
        dsm_crypto::recover_address(digest, signature)
    }
}

fn lock(file: &LockFile, args: &VerifyProofArgs) -> Result<Shown, Failure> {
    let mut before = Report::new();
    let config = args.bridge.map(|bridge| believed(file, bridge, &mut before));
    expected(&mut before, "contract", args.contract, file.contract, |one| hex_of(one));
    expected(&mut before, "chain", args.chain_id, file.chain_id, u64::to_string);
    if before.first_failed().is_some() {
        return Err(refused(&before));
    }
    let named = named_set(args)?;
    let now_s = Session::now_ms() / 1000;
    let (report, proven) = match (config.flatten(), named) {
        (Some(config), named) => under_config(file, &config, named, now_s)?,
        (None, Some(validators)) => {
            let rules = Rules { mode: Mode::Header, trusting_period_s: 0, clock_drift_s: CLOCK_DRIFT_S };
            file.verify(&set(validators, now_s)?, &rules, now_s, &Recover)
        }
        (None, None) => {
            return Err(Failure::usage("a proof of a lock shows nothing without somebody to believe").help(
                "give --bridge ID, --validators ADDRESS,… or --trusted FILE, from a source that you trust",
            ));
        }
    };
    let Some(proven) = proven.filter(|_| report.is_valid()) else { return Err(refused(&report)) };
    let mut checks = shown(&before);
    checks.extend(shown(&report));
    Ok(lock_shown(file, &proven, checks))
}

/// The configuration in the file, if it is the one that the bridge's id names.
fn believed(file: &LockFile, bridge: BridgeId, report: &mut Report) -> Option<BridgeConfig> {
    let decoded = dsm_abi::decode::<BridgeConfig>(&file.config, dsm_evm_proof::CONFIG_BYTES_MAX);
    let found = decoded.ok().filter(|config| config.id() == bridge);
    let Some(config) = found else {
        report.fail("bridge", "other_bridge", "the file's configuration is not the bridge's");
        return None;
    };
    let same = config.chain_id == file.chain_id
        && config.contract == file.contract
        && config.outbox_slot == file.outbox_slot;
    if !same {
        report.fail("bridge", "other_contract", "chain, contract or slot are not the configuration's");
        return None;
    }
    report.pass("bridge", "the configuration hashes to the id that is trusted");
    Some(config)
}

fn expected<T: PartialEq>(
    report: &mut Report,
    name: &'static str,
    expected: Option<T>,
    found: T,
    words: impl Fn(&T) -> String,
) {
    match expected {
        Some(expected) if expected != found => {
            let code = if name == "chain" { "other_chain" } else { "other_contract" };
            report.fail(name, code, format!("expected {}, found {}", words(&expected), words(&found)));
        }
        Some(_) => report.pass(name, words(&found)),
        None => {}
    }
}

/// The validators that the command line names.
fn named_set(args: &VerifyProofArgs) -> Result<Option<Vec<Address>>, Failure> {
    let Some(path) = &args.trusted else {
        return Ok(Some(args.validators.clone()).filter(|set| !set.is_empty()));
    };
    trusted_file(path).map(Some)
}

fn trusted_file(path: &Path) -> Result<Vec<Address>, Failure> {
    let bad = |why: &str| {
        Failure::usage(format!("--trusted {}: {why}", path.display())).help(
            "a JSON object with `validators`, a list of addresses; `dsm bridge status --json` prints one",
        )
    };
    let bytes = std::fs::read(path).map_err(|error| file_failure(path, &error))?;
    if bytes.len() > TRUSTED_BYTES_MAX {
        return Err(bad("too long"));
    }
    let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| bad("not JSON"))?;
    let places = [&json["validators"], &json["bridge"]["validators"]];
    let found =
        places.into_iter().find_map(serde_json::Value::as_array).ok_or_else(|| bad("no validators"))?;
    let addresses: Option<Vec<Address>> = found.iter().map(|one| hex_address(one.as_str()?).ok()).collect();
    addresses.ok_or_else(|| bad("a validator is no address"))
}

fn set(validators: Vec<Address>, now_s: u64) -> Result<TrustedSet, Failure> {
    TrustedSet::new(validators, 0, now_s)
        .map_err(|error| Failure::usage(error).help("check the list of validators"))
}

/// Under the bridge's own rules; with its first set, unless the command line names a later one.
fn under_config(
    file: &LockFile,
    config: &BridgeConfig,
    named: Option<Vec<Address>>,
    now_s: u64,
) -> Result<(Report, Option<ProvenLock>), Failure> {
    let (first, height, mode, trusting_period_s, clock_drift_s) = match &config.finality {
        Finality::Qbft { validators, height, trusting_period_s, clock_drift_s } => {
            (validators, *height, Mode::Header, *trusting_period_s, *clock_drift_s)
        }
        Finality::QbftContract {
            validators,
            height,
            trusting_period_s,
            clock_drift_s,
            validator_contract,
            array_slot,
        } => {
            let contract = ValidatorContract { address: *validator_contract, array_slot: *array_slot };
            (validators, *height, Mode::Contract(contract), *trusting_period_s, *clock_drift_s)
        }
        Finality::Attested { keys, threshold } => {
            return Ok(match attested(file, config, keys, *threshold) {
                Ok(hash) => file.verify_under(&hash),
                Err((code, reason)) => {
                    let mut report = Report::new();
                    report.fail("attestations", code, reason);
                    (report, None)
                }
            });
        }
    };
    let rules = Rules { mode, trusting_period_s, clock_drift_s };
    let trusted = match named {
        // Named by somebody who looked just now; headers of any height count.
        Some(validators) => set(validators, now_s)?,
        None => TrustedSet::new(first.clone(), height, now_s)
            .map_err(|error| Failure::integrity(error.code(), error).help("the configuration is not one"))?,
    };
    Ok(file.verify(&trusted, &rules, now_s, &Recover))
}

/// The hash of a block that enough of the bridge's keys state to be final.
fn attested(
    file: &LockFile,
    config: &BridgeConfig,
    keys: &[dsm_core::PublicKey],
    threshold: u8,
) -> Result<Hash, (&'static str, String)> {
    let header = Header::decode(&file.proof.header).map_err(|error| (error.code(), error.to_string()))?;
    let (hash, stated) = (header.hash(), &file.proof.attestations);
    let ascending = stated.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if !ascending || stated.len() != usize::from(threshold) {
        return Err((
            "bad_block_attestation",
            format!("{threshold} statements are needed, in ascending order"),
        ));
    }
    for (index, signature) in stated {
        let Some(key) = keys.get(usize::from(*index)) else {
            return Err(("bad_block_attestation", format!("the bridge has no key {index}")));
        };
        let message = block_message(config.network, key, config.id(), hash);
        let checked: Result<(), SignatureError> =
            Verifier::new().verify_signature(key.suite, &key.bytes, &message, signature);
        checked.map_err(|error| ("bad_block_attestation", format!("key {index}: {error}")))?;
    }
    Ok(hash)
}

fn lock_shown(file: &LockFile, proven: &ProvenLock, checks: Vec<CheckShown>) -> Shown {
    let lock = proven.lock();
    Shown::Lock {
        chain_id: file.chain_id,
        contract: hex_of(&file.contract),
        nonce: lock.nonce,
        kind: super::kind_word(lock.kind as u8),
        asset: hex_of(&lock.asset),
        sender: hex_of(&lock.sender),
        token: hex::encode(lock.token),
        recipient: hex::encode(lock.recipient),
        amount: lock.amount.to_string(),
        deadline_s: lock.deadline_s,
        commitment: hex_of(&lock.commitment(file.chain_id, &file.contract)),
        checks,
    }
}

fn outbox(file: &OutboxFile, args: &VerifyProofArgs) -> Result<Shown, Failure> {
    if args.node_key.is_none() {
        return Err(Failure::usage("an entry of the outbox shows nothing without the node's key").help(
            "give --node-key FILE|HEX; `dsm status --json > node.json` once, over a way that you trust",
        ));
    }
    let key = trusted_key("--node-key", args.node_key.as_deref())?;
    let mut report = Report::new();
    match dsm_abi::decode::<SignedCheckpoint>(&file.checkpoint, dsm_evm_proof::CHECKPOINT_BYTES_MAX) {
        Err(error) => report.fail("checkpoint", "malformed_bytes", error.to_string()),
        Ok(signed) => match signed.verify(&key, &Verifier::new()) {
            Err(error) => report.fail("checkpoint", error.code(), error.to_string()),
            Ok(found) if (found.outbox_root.0, found.outbox_size) != (file.root, file.size) => {
                report.fail("checkpoint", "other_root", "the signed checkpoint has another outbox");
            }
            Ok(_) if signed.checkpoint.network.0 != file.entry.network => {
                report.fail("checkpoint", "other_network", "the entry is another network's");
            }
            Ok(found) => report.pass("checkpoint", format!("epoch {} is signed by the key", found.epoch)),
        },
    }
    let inside = file.verify();
    if report.first_failed().is_some() {
        return Err(refused(&report));
    }
    if !inside.is_valid() {
        return Err(refused(&inside));
    }
    let mut checks = shown(&report);
    checks.extend(shown(&inside));
    let says = match Payload::decode(&file.entry.payload) {
        Ok(Payload::Release(one)) => format!(
            "release {} base units of {} to {} on chain {} by contract {}",
            one.amount,
            super::kind_word(one.kind as u8),
            hex_of(&one.to),
            one.chain_id,
            hex_of(&one.bridge)
        ),
        Ok(Payload::Refund(one)) => {
            format!("refund lock {} on chain {} by contract {}", one.nonce, one.chain_id, hex_of(&one.bridge))
        }
        Err(error) => error.to_string(),
    };
    Ok(Shown::Outbox {
        network: hex::encode(file.entry.network),
        index: file.entry.index,
        size: file.size,
        root: hex_of(&file.root),
        token: hex::encode(file.entry.token),
        says,
        checks,
    })
}
