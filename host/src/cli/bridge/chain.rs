//! `dsm bridge deposit`, `release`, `limits` and `status`: what a bridge does on the EVM chain. The key that pays for
//! gas comes from a file of mode 0600.

use super::{ChainArgs, Opened, hex_address, hex_of, kind_word};
use crate::cli::failure::{Exit, Failure};
use crate::cli::session::Session;
use crate::cli::show::{Show, rows};
use crate::cli::values::{display_amount, parse_amount};
use dsm_abi::{BridgeId, TokenId};
use dsm_bridge::tx::{Unsigned, sign};
use dsm_bridge::{Address, Call, Evm as _, Spent, Word, read_evm_key};
use dsm_contracts::{DIRECTION_IN, DIRECTION_OUT, DsmBridge, IAsset, Outbox, SolCall, U256};
use dsm_core::BridgeState;
use dsm_crypto::Secp256k1Key;
use dsm_evm_proof::{Lock, LockKind, Payload};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long to wait for a transaction's block.
const MINED: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(250);
/// Gas of a lock of ether, whose value an estimate cannot carry: about 75,000, with room.
const LOCK_GAS: u64 = 250_000;
/// Decimal places of ether.
const ETHER: u8 = 18;
const NATIVE: Address = [0; 20];

/// Whose key signs on the EVM chain.
#[derive(Debug, Clone, clap::Args)]
struct PayArgs {
    /// The file of the EVM key that signs and pays for gas: 64 hexadecimal digits, mode 0600
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_EVM_KEY")]
    evm_key: PathBuf,
}

/// Options of `dsm bridge deposit`.
#[derive(Debug, clap::Args)]
pub(crate) struct DepositArgs {
    /// 12 counts base units, 0.5 counts ether or display units of the asset
    amount: String,
    /// `ether`, or the address of an ERC-20 or of a wrapped token
    #[arg(value_parser = asset)]
    asset: Address,
    /// The account that is credited on DSM, by id or by its name in this wallet
    #[arg(long, value_name = "ACCOUNT")]
    to: String,
    /// Seconds in which it must be credited; later it can only be refunded
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    lasting: u64,
    #[command(flatten)]
    pay: PayArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Options of `dsm bridge release`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    /// The entry's position in the outbox
    index: u64,
    #[command(flatten)]
    pay: PayArgs,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Options of `dsm bridge limits`.
#[derive(Debug, clap::Args)]
pub(crate) struct LimitsArgs {
    /// `ether`, or an address
    #[arg(value_parser = asset)]
    asset: Address,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Options of `dsm bridge status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Tell what became of the lock of this number
    #[arg(long, value_name = "NONCE")]
    lock: Option<u64>,
    /// Tell what became of the entry of the outbox at this position
    #[arg(long, value_name = "INDEX")]
    entry: Option<u64>,
    #[command(flatten)]
    chain: ChainArgs,
}

fn asset(text: &str) -> Result<Address, String> {
    if text == "ether" { Ok(NATIVE) } else { hex_address(text) }
}

fn asset_word(asset: &Address) -> String {
    if *asset == NATIVE { "ether".to_owned() } else { hex_of(asset) }
}

impl Opened {
    fn contract(&self) -> Address {
        self.state.config.contract
    }

    fn ask<C: SolCall>(&self, to: Address, call: &C) -> Result<C::Return, Failure> {
        let answer = self.evm.call(&Call { to, data: call.abi_encode() })?;
        C::abi_decode_returns(&answer).map_err(|error| {
            Failure::integrity("evm_answer", format!("{}: {error}", C::SIGNATURE))
                .help("the contract is not the bridge's, or the endpoint makes things up")
        })
    }

    /// Signs, sends, and waits for the block. Without value the chain is asked first whether it would refuse.
    fn send(&self, key: &Secp256k1Key, call: &Call, value: u128) -> Result<(Word, u64), Failure> {
        let from = key.address();
        let gas = if value > 0 { LOCK_GAS } else { self.evm.estimate(from, call)?.saturating_mul(5) / 4 };
        let signed = sign(
            key,
            &Unsigned {
                chain_id: self.state.config.chain_id,
                nonce: self.evm.account_nonce(from)?,
                fees: self.evm.fees()?,
                gas,
                to: Some(call.to),
                value,
                data: call.data.clone(),
            },
        );
        self.evm.send(&signed.raw)?;
        let begun = Instant::now();
        while begun.elapsed() < MINED {
            if let Some(receipt) = self.evm.receipt(signed.hash)? {
                if receipt.success {
                    return Ok((signed.hash, receipt.block));
                }
                let message = format!("transaction {} was reverted", hex_of(&signed.hash));
                return Err(
                    Failure::refused("evm_reverted", message).help("`dsm bridge limits` may tell why")
                );
            }
            std::thread::sleep(LOOK);
        }
        let message = format!("transaction {} is in no block yet", hex_of(&signed.hash));
        Err(Failure::new(Exit::Unreachable, "evm_not_mined", message)
            .help("it may still be; look for it first"))
    }
}

fn key(args: &PayArgs) -> Result<Secp256k1Key, Failure> {
    read_evm_key(&args.evm_key).map_err(|error| {
        Failure::usage(format!("{}: {error}", args.evm_key.display()))
            .help("a file of mode 0600 with 64 hexadecimal digits; keys are never arguments")
    })
}

/// A lock that was made.
#[derive(Serialize)]
struct Deposited {
    nonce: u64,
    kind: &'static str,
    asset: String,
    token: String,
    amount: String,
    deadline_s: u64,
    transaction: String,
    block: u64,
}

impl Show for Deposited {
    fn text(&self) -> String {
        rows([
            ("lock", format!("{} of {} base units of {}", self.nonce, self.amount, self.asset)),
            ("token", self.token.clone()),
            ("credited before", format!("{} s", self.deadline_s)),
            ("transaction", format!("{} in block {}", self.transaction, self.block)),
            ("next", format!("dsm bridge prove lock {} --out FILE, dsm bridge submit FILE", self.nonce)),
        ])
    }
}

pub(super) fn deposit(session: &Session, args: &DepositArgs) -> Result<(), Failure> {
    let (opened, key) = (args.chain.open(session)?, key(&args.pay)?);
    let recipient = session.wallet()?.account_id(&args.to)?;
    let (contract, asset) = (opened.contract(), args.asset);
    let info = opened.ask(contract, &DsmBridge::assetInfoCall { asset: asset.into() })?;
    let decimals = match info.kind {
        dsm_contracts::KIND_NATIVE => ETHER,
        0 => {
            let message = format!("the contract does not take {}", asset_word(&asset));
            return Err(Failure::refused("unknown_asset", message).help("its admin registers assets"));
        }
        _ => opened.ask(asset, &IAsset::decimalsCall {})?,
    };
    let token = TokenId(info.token.0);
    if super::ledger::believes(&session.client()?, &token)? != args.chain.bridge {
        let message = format!("token {token}, to which the contract credits, believes another bridge");
        return Err(Failure::refused("other_bridge", message)
            .help("what is locked could not be credited; ask the issuer"));
    }
    let amount = parse_amount(&args.amount, decimals)?;
    let deadline = Session::now_ms() / 1000 + args.lasting;
    let (units, recipient) = (U256::from(amount), recipient.0.into());
    let (data, value) = match info.kind {
        dsm_contracts::KIND_NATIVE => {
            (DsmBridge::lockNativeCall { recipient, deadline }.abi_encode(), amount)
        }
        dsm_contracts::KIND_ERC20 => {
            allow(&opened, &key, asset, units)?;
            let call = DsmBridge::lockERC20Call { asset: asset.into(), amount: units, recipient, deadline };
            (call.abi_encode(), 0)
        }
        _ => {
            let call = DsmBridge::burnWrappedCall { token: info.token, amount: units, recipient, deadline };
            (call.abi_encode(), 0)
        }
    };
    let before = opened.evm.contract()?.outbox_size;
    let (transaction, block) = opened.send(&key, &Call { to: contract, data }, value)?;
    let lock = find(&opened, transaction, block, before)?;
    session.show(&Deposited {
        nonce: lock.nonce,
        kind: kind_word(info.kind),
        asset: asset_word(&asset),
        token: hex::encode(lock.token),
        amount: lock.amount.to_string(),
        deadline_s: lock.deadline_s,
        transaction: hex_of(&transaction),
        block,
    })
}

/// Lets the contract take units of an ERC-20, unless it may already.
fn allow(opened: &Opened, key: &Secp256k1Key, asset: Address, units: U256) -> Result<(), Failure> {
    let (owner, spender) = (key.address().into(), opened.contract().into());
    if opened.ask(asset, &IAsset::allowanceCall { owner, spender })? < units {
        let data = IAsset::approveCall { spender, amount: units }.abi_encode();
        opened.send(key, &Call { to: asset, data }, 0)?;
    }
    Ok(())
}

/// The lock that a transaction made: one of those since it was sent.
fn find(opened: &Opened, transaction: Word, block: u64, from: u64) -> Result<Lock, Failure> {
    for nonce in from..opened.evm.contract()?.outbox_size {
        if let Some(hint) = opened.evm.lock_hint(nonce, block)?
            && hint.transaction == transaction
        {
            return Ok(hint.lock);
        }
    }
    let message = format!("transaction {} is in block {block}, its lock is not found", hex_of(&transaction));
    Err(Failure::new(Exit::Unreachable, "lock_unknown", message)
        .help("`dsm bridge status` tells the last number"))
}

/// An entry of the outbox that was handed to the contract.
#[derive(Serialize)]
struct Released {
    index: u64,
    epoch: u64,
    outcome: &'static str,
    transaction: String,
    block: u64,
}

impl Show for Released {
    fn text(&self) -> String {
        rows([
            ("entry", format!("{} under checkpoint {}", self.index, self.epoch)),
            ("outcome", self.outcome.to_owned()),
            ("transaction", format!("{} in block {}", self.transaction, self.block)),
        ])
    }
}

pub(super) fn release(session: &Session, args: &ReleaseArgs) -> Result<(), Failure> {
    let (opened, key, client) = (args.chain.open(session)?, key(&args.pay)?, session.client()?);
    let view = opened.evm.contract()?;
    if args.index >= view.size {
        let message =
            format!("the contract knows {} entries of the outbox, this is entry {}", view.size, args.index);
        return Err(Failure::refused("not_checkpointed", message)
            .help("attestors put their names to a checkpoint first; a bridge's service carries it there"));
    }
    let path = client.outbox_path(args.index, view.size)?;
    let entry = path.entry.entry();
    let payload = Payload::decode(&entry.payload).map_err(|error| {
        Failure::refused(error.code(), error).help("the entry is not for a contract like this one")
    })?;
    let leaf = Outbox::Leaf {
        index: args.index,
        token: entry.token.0.into(),
        actor: entry.actor.0.into(),
        transition: entry.transition.0.into(),
    };
    let (proof, epoch) = (path.siblings.iter().map(|one| one.0.into()).collect(), view.epoch);
    let data = match payload {
        Payload::Release(one) => {
            let payment = DsmBridge::Release {
                kind: one.kind as u8,
                asset: one.asset.into(),
                to: one.to.into(),
                amount: U256::from(one.amount),
            };
            DsmBridge::releaseCall { leaf, payment, proof, epoch }.abi_encode()
        }
        Payload::Refund(one) => {
            let hint = opened.evm.lock_hint(one.nonce, 0)?.ok_or_else(|| {
                Failure::refused("lock_unknown", format!("no endpoint knows lock {}", one.nonce))
                    .help("name another endpoint: the refund has to state the whole lock")
            })?;
            DsmBridge::refundCall { leaf, lock: lock_of(&hint.lock), proof, epoch }.abi_encode()
        }
    };
    let (transaction, block) = opened.send(&key, &Call { to: opened.contract(), data }, 0)?;
    let outcome = match opened.evm.spent(args.index)? {
        Spent::Queued { .. } => "queued: large releases wait for their delay",
        Spent::Yes => "paid",
        Spent::No => "sent",
    };
    session.show(&Released { index: args.index, epoch, outcome, transaction: hex_of(&transaction), block })
}

fn lock_of(lock: &Lock) -> DsmBridge::Lock {
    DsmBridge::Lock {
        nonce: U256::from(lock.nonce),
        kind: match lock.kind {
            LockKind::Native => dsm_contracts::KIND_NATIVE,
            LockKind::Erc20 => dsm_contracts::KIND_ERC20,
            LockKind::Burn => dsm_contracts::KIND_WRAPPED,
        },
        asset: lock.asset.into(),
        sender: lock.sender.into(),
        token: lock.token.into(),
        recipient: lock.recipient.into(),
        amount: U256::from(lock.amount),
        deadline: lock.deadline_s,
    }
}

/// What the contract lets through for an asset.
#[derive(Serialize)]
struct Limits {
    asset: String,
    kind: &'static str,
    token: String,
    held: String,
    transfer_max: String,
    outstanding_max: String,
    in_available: String,
    in_paused: bool,
    out_available: String,
    out_paused: bool,
    queue_above: String,
    #[serde(skip)]
    decimals: u8,
}

impl Show for Limits {
    fn text(&self) -> String {
        let units = |digits: &str| match digits.parse() {
            Ok(amount) => format!("{} = {digits} base units", display_amount(amount, self.decimals)),
            Err(_) => digits.to_owned(),
        };
        let open = |paused: bool| if paused { "PAUSED" } else { "open" };
        rows([
            ("asset", format!("{} ({})", self.asset, self.kind)),
            ("token", self.token.clone()),
            ("held", units(&self.held)),
            ("one transfer", units(&self.transfer_max)),
            ("in all", units(&self.outstanding_max)),
            ("to DSM now", format!("{}, {}", open(self.in_paused), units(&self.in_available))),
            ("from DSM now", format!("{}, {}", open(self.out_paused), units(&self.out_available))),
            ("queued above", units(&self.queue_above)),
        ])
    }
}

pub(super) fn limits(session: &Session, args: &LimitsArgs) -> Result<(), Failure> {
    let (opened, asset) = (args.chain.open(session)?, args.asset);
    let contract = opened.contract();
    let info = opened.ask(contract, &DsmBridge::assetInfoCall { asset: asset.into() })?;
    let limits = opened.ask(contract, &DsmBridge::limitsCall { asset: asset.into() })?;
    let available =
        |direction: u8| opened.ask(contract, &DsmBridge::availableCall { asset: asset.into(), direction });
    let paused = |direction: u8| opened.ask(contract, &DsmBridge::pausedCall { direction });
    let decimals = match info.kind {
        dsm_contracts::KIND_NATIVE | 0 => ETHER,
        _ => opened.ask(asset, &IAsset::decimalsCall {})?,
    };
    let held = info.locked.saturating_sub(info.released).saturating_sub(info.refunded);
    session.show(&Limits {
        asset: asset_word(&asset),
        kind: kind_word(info.kind),
        token: hex::encode(info.token),
        held: held.to_string(),
        transfer_max: limits.transferMax.to_string(),
        outstanding_max: limits.outstandingMax.to_string(),
        in_available: available(DIRECTION_IN)?.to_string(),
        in_paused: paused(DIRECTION_IN)?,
        out_available: available(DIRECTION_OUT)?.to_string(),
        out_paused: paused(DIRECTION_OUT)?,
        queue_above: limits.queueAbove.to_string(),
        decimals,
    })
}

/// Where a bridge stands on both sides.
#[derive(Serialize)]
struct Status {
    bridge: BridgeId,
    trust: &'static str,
    chain_id: u64,
    contract: String,
    validators: Vec<String>,
    height: u64,
    frozen: bool,
    locks: u64,
    epoch: u64,
    entries: u64,
    attestors_needed: u8,
    set_id: u64,
    deposits_paused: bool,
    withdrawals_paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
}

impl Show for Status {
    fn text(&self) -> String {
        let open = |paused: bool| if paused { "PAUSED" } else { "open" };
        let believed = match self.validators.len() {
            0 => self.trust.to_owned(),
            count => format!("{}: {count} validators, confirmed at block {}", self.trust, self.height),
        };
        rows([
            ("bridge", self.bridge.to_string()),
            ("contract", format!("{} on chain {}", self.contract, self.chain_id)),
            ("believes", believed),
            ("validators", self.validators.join("\n")),
            ("state", if self.frozen { "FROZEN for good".into() } else { "in force".into() }),
            ("locks", format!("{}, deposits {}", self.locks, open(self.deposits_paused))),
            (
                "checkpoint",
                format!(
                    "{} with {} entries, {} attestors of set {}",
                    self.epoch, self.entries, self.attestors_needed, self.set_id
                ),
            ),
            ("withdrawals", open(self.withdrawals_paused).to_owned()),
            ("lock", self.lock.clone().unwrap_or_default()),
            ("entry", self.entry.clone().unwrap_or_default()),
        ])
    }
}

pub(super) fn status(session: &Session, args: &StatusArgs) -> Result<(), Failure> {
    let opened = args.chain.open(session)?;
    let client = session.client()?;
    let BridgeState { config, validators, height, frozen, .. } = &opened.state;
    let view = opened.evm.contract()?;
    let lock = args.lock.map(|nonce| -> Result<String, Failure> {
        let found = client.lock(&args.chain.bridge, nonce)?;
        let word = match found.state {
            dsm_sdk::api::LockState::Unknown if nonce >= view.outbox_size => "not made",
            dsm_sdk::api::LockState::Unknown => "waits for its credit",
            dsm_sdk::api::LockState::Credited => "credited",
            dsm_sdk::api::LockState::Refunded => "refunded",
        };
        let transition = found.transition.map(|id| format!(" by {id}")).unwrap_or_default();
        Ok(format!("{nonce}: {word}{transition}"))
    });
    let entry = args.entry.map(|index| -> Result<String, Failure> {
        let word = match opened.evm.spent(index)? {
            Spent::Yes => "paid out, or vetoed".to_owned(),
            Spent::Queued { ready_s } => format!("queued until {ready_s} s"),
            Spent::No if index < view.size => "may be released".to_owned(),
            Spent::No => "waits for a checkpoint of the attestors".to_owned(),
        };
        Ok(format!("{index}: {word}"))
    });
    session.show(&Status {
        bridge: args.chain.bridge,
        trust: config.trust().word(),
        chain_id: config.chain_id,
        contract: hex_of(&config.contract),
        validators: validators.iter().map(|one| hex_of(one)).collect(),
        height: *height,
        frozen: frozen.is_some(),
        locks: view.outbox_size,
        epoch: view.epoch,
        entries: view.size,
        attestors_needed: view.threshold,
        set_id: view.set_id,
        deposits_paused: view.deposits_paused,
        withdrawals_paused: view.withdrawals_paused,
        lock: lock.transpose()?,
        entry: entry.transpose()?,
    })
}
