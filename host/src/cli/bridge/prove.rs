//! `dsm bridge prove`: proof files for whoever wants to check without asking.

use super::{ChainArgs, Opened, hex_of};
use crate::cli::failure::{Exit, Failure, file_failure};
use crate::cli::session::Session;
use crate::cli::show::{Show, rows};
use dsm_bridge::Evm as _;
use dsm_bridge::prove::{ProveError, Trust, newest, prove_lock};
use dsm_core::Finality;
use dsm_evm_proof::{LockFile, OutboxFile, ProofFile};
use serde::Serialize;
use std::path::PathBuf;

/// Options of `dsm bridge prove`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProveArgs {
    #[command(subcommand)]
    what: What,
}

/// What to prove.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// That the contract has a lock, under the newest sealed header
    Lock {
        /// The lock's number
        nonce: u64,
        /// The first block that can have it
        #[arg(long, value_name = "BLOCK", default_value_t = 0)]
        first_block: u64,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        chain: ChainArgs,
    },
    /// That an entry stands in the outbox, under the last signed checkpoint
    Entry {
        /// The entry's position
        index: u64,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Have the node take a checkpoint first
        #[arg(long)]
        checkpoint: bool,
    },
}

/// What was written.
#[derive(Serialize)]
struct Written {
    file: PathBuf,
    bytes: usize,
    proves: String,
}

impl Show for Written {
    fn text(&self) -> String {
        rows([
            ("proves", self.proves.clone()),
            ("file", format!("{}, {} bytes", self.file.display(), self.bytes)),
            ("check", format!("dsm bridge verify-proof {}", self.file.display())),
        ])
    }
}

pub(super) fn prove(session: &Session, args: &ProveArgs) -> Result<(), Failure> {
    let (file, proof, proves) = match &args.what {
        What::Lock { nonce, first_block, out, chain } => {
            let (proof, proves) = lock(&chain.open(session)?, *nonce, *first_block)?;
            (out, proof, proves)
        }
        What::Entry { index, out, checkpoint } => {
            let (proof, proves) = entry(session, *index, *checkpoint)?;
            (out, proof, proves)
        }
    };
    let bytes = proof.encode();
    std::fs::write(file, &bytes).map_err(|error| file_failure(file, &error))?;
    session.show(&Written { file: file.clone(), bytes: bytes.len(), proves })
}

fn lock(opened: &Opened, nonce: u64, first_block: u64) -> Result<(ProofFile, String), Failure> {
    let Opened { state, evm } = opened;
    let config = &state.config;
    if let Finality::Attested { .. } = config.finality {
        return Err(Failure::refused(
            "needs_attestors",
            "the blocks of this bridge are final by its attestors' word",
        )
        .help("the service of the bridge collects it: see its /v1/locks"));
    }
    let trust = Trust::of(state)?;
    let (header, advances) = newest(evm, &trust, Session::now_ms() / 1000)?;
    let hint = evm.lock_hint(nonce, first_block)?;
    let hint = hint.ok_or_else(|| {
        Failure::refused("lock_unknown", format!("no endpoint knows lock {nonce}"))
            .help("check the number; it may be in a block that is not made yet")
    })?;
    let proof = prove_lock(evm, config, &header, &hint.lock)?;
    let proves = format!(
        "lock {nonce} of {} base units in contract {} at block {}",
        hint.lock.amount,
        hex_of(&config.contract),
        header.number
    );
    let file = LockFile {
        chain_id: config.chain_id,
        contract: config.contract,
        outbox_slot: config.outbox_slot,
        config: dsm_abi::encode(config),
        advances,
        proof,
    };
    Ok((ProofFile::Lock(file), proves))
}

fn entry(session: &Session, index: u64, checkpoint: bool) -> Result<(ProofFile, String), Failure> {
    let client = session.client()?;
    if checkpoint {
        client.take_checkpoint()?;
    }
    let proof = client.prove_outbox(index)?.decode();
    let proof =
        proof.map_err(|error| Failure::integrity("malformed_bytes", format!("the proof: {error}")))?;
    let signed = &proof.checkpoint.checkpoint;
    let file = OutboxFile {
        entry: proof.entry.evm(signed.network),
        size: signed.outbox_size,
        siblings: proof.siblings.iter().map(|one| one.0).collect(),
        root: signed.outbox_root.0,
        checkpoint: dsm_abi::encode(&proof.checkpoint),
    };
    let proves = format!("entry {index} of {} in the outbox at checkpoint {}", file.size, signed.epoch);
    Ok((ProofFile::Outbox(file), proves))
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Failure {
        let code = error.code();
        match error {
            ProveError::Evm(error) => error.into(),
            ProveError::Absent { .. } => Failure::refused(code, &error)
                .help("the newest block has no such lock; wait for its block, or check the number"),
            ProveError::Header { .. } | ProveError::NoWay { .. } => Failure::integrity(code, &error)
                .help("the endpoint shows a chain that the bridge's validators did not seal; name another"),
            ProveError::OtherLock { .. } => {
                Failure::integrity(code, &error).help("the endpoint lies about the lock; name another")
            }
            ProveError::Set(_) => Failure::new(Exit::Integrity, code, &error)
                .help("the bridge's trusted set makes no sense; ask another core node"),
        }
    }
}
