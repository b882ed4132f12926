//! `dsm bridge submit` and `withdraw`: what a bridge does on the ledger, signed by an account of this wallet.

use super::hex_address;
use crate::cli::failure::{Failure, file_failure};
use crate::cli::pay::decimals_of;
use crate::cli::session::{Session, SignArgs};
use crate::cli::values::parse_amount;
use dsm_abi::{BridgeId, TokenId};
use dsm_bridge::Address;
use dsm_core::BridgeConfig;
use dsm_evm_proof::{CONFIG_BYTES_MAX, ProofFile};
use dsm_sdk::api::ValueView;
use dsm_sdk::client::Client;
use std::path::PathBuf;

/// The policy that speaks to the other side.
const WRAPPED: &str = "wrapped";

/// Options of `dsm bridge submit`.
#[derive(Debug, clap::Args)]
pub(crate) struct SubmitArgs {
    /// A proof file of a lock, as `dsm bridge prove lock` writes it
    file: PathBuf,
    /// The account that submits, by its name in this wallet; anybody's will do
    #[arg(long = "as", value_name = "ACCOUNT")]
    account: String,
    /// The deadline has passed: have the lock paid back instead of credited
    #[arg(long)]
    refund: bool,
    #[command(flatten)]
    sign: SignArgs,
}

/// Options of `dsm bridge withdraw`.
#[derive(Debug, clap::Args)]
pub(crate) struct WithdrawArgs {
    /// 12 counts base units, 12.50 counts display units of the token
    amount: String,
    /// The token: its id, or its name in this wallet
    token: String,
    /// The account whose units are burned, by its name in this wallet
    #[arg(long, value_name = "ACCOUNT")]
    from: String,
    /// Who is paid on the EVM chain
    #[arg(long, value_name = "ADDRESS", value_parser = hex_address)]
    to: Address,
    #[command(flatten)]
    sign: SignArgs,
}

pub(super) fn submit(session: &Session, args: &SubmitArgs) -> Result<(), Failure> {
    let bytes = std::fs::read(&args.file).map_err(|error| file_failure(&args.file, &error))?;
    let named = args.file.display();
    let file = ProofFile::decode(&bytes)
        .map_err(|error| Failure::integrity(error.code(), format!("{named}: {error}")))?;
    let ProofFile::Lock(file) = file else {
        return Err(Failure::usage(format!("{named} is about the outbox"))
            .help("`dsm bridge release` has the contract pay out an entry of the outbox"));
    };
    let config: BridgeConfig = dsm_abi::decode(&file.config, CONFIG_BYTES_MAX).map_err(|error| {
        Failure::integrity("malformed_bytes", format!("{named}: the configuration: {error}"))
    })?;
    let (client, own) = (session.client()?, session.wallet()?.own_account(&args.account)?);
    let (bridge, token) = (config.id(), TokenId(file.proof.lock.token));
    let policy = if args.refund { Some(wrapped(&client, &token)?) } else { None };
    let outcome = session.sign(&own, &args.sign, |draft| match policy {
        Some(policy) => draft.refund_lock(own.account, policy, bridge, file.proof),
        None => draft.credit_lock(own.account, bridge, file.proof),
    })?;
    session.show(&outcome)
}

pub(super) fn withdraw(session: &Session, args: &WithdrawArgs) -> Result<(), Failure> {
    let (client, wallet) = (session.client()?, session.wallet()?);
    let (token, from) = (wallet.token_id(&args.token)?, wallet.own_account(&args.from)?);
    let amount = parse_amount(&args.amount, decimals_of(&client, &token)?.decimals)?;
    let policy = wrapped(&client, &token)?;
    let outcome = session
        .sign(&from, &args.sign, |draft| draft.withdraw(from.account, token, policy, args.to, amount))?;
    session.show(&outcome)
}

/// The place of the policy `wrapped` among a token's policies.
fn wrapped(client: &Client, token: &TokenId) -> Result<u8, Failure> {
    let info = client.token(token)?;
    let place = info.policies.iter().position(|policy| policy.name == WRAPPED);
    place.and_then(|place| u8::try_from(place).ok()).ok_or_else(|| {
        Failure::refused("not_wrapped", format!("token {token} has no policy {WRAPPED}"))
            .help("only such a token has a side on an EVM chain; `dsm token show` lists policies")
    })
}

/// The bridge that a token believes, by its parameters.
pub(super) fn believes(client: &Client, token: &TokenId) -> Result<BridgeId, Failure> {
    let place = wrapped(client, token)?;
    let info = client.token(token)?;
    let params =
        info.policies.get(usize::from(place)).map(|policy| policy.params.as_slice()).unwrap_or_default();
    match params.iter().find(|field| field.name == "bridge").map(|field| &field.value) {
        Some(ValueView::Digest(bridge)) => Ok(BridgeId(bridge.0)),
        Some(_) | None => Err(Failure::integrity("other_bridge", format!("token {token} names no bridge"))
            .help("check that --node is a DSM node of this version")),
    }
}
