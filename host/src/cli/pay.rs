//! `dsm transfer`, `dsm inbox` and `dsm claim`: units from one account to another.

use super::failure::Failure;
use super::session::{Outcome, Session, SignArgs};
use super::show::{Show, short, table};
use super::values::{display_amount, parse_amount};
use dsm_abi::{AccountId, CreditId, TokenId};
use dsm_core::OperationKind;
use dsm_sdk::api::{Amount, CreditView, limit};
use dsm_sdk::client::Client;
use serde::Serialize;
use std::collections::BTreeMap;

/// Options of `dsm transfer`.
#[derive(Debug, clap::Args)]
pub(crate) struct TransferArgs {
    /// 12 counts base units, 12.50 counts display units of the token
    amount: String,
    /// The token: its id, or its name in this wallet
    token: String,
    /// The account that pays, by its name in this wallet
    #[arg(long, value_name = "ACCOUNT")]
    from: String,
    /// The account that receives, by id or name; it claims the units, or gets them at once if it signs too (--cosign)
    #[arg(long, value_name = "ACCOUNT")]
    to: String,
    /// Words for the recipient, at most 256 bytes; everyone can read them
    #[arg(long, default_value = "")]
    memo: String,
    #[command(flatten)]
    sign: SignArgs,
}

/// Options of `dsm inbox`.
#[derive(Debug, clap::Args)]
pub(crate) struct InboxArgs {
    /// The account, by id or name
    account: String,
    /// Start behind this credit
    #[arg(long, value_name = "CREDIT")]
    after: Option<CreditId>,
}

/// Options of `dsm claim`.
#[derive(Debug, clap::Args)]
pub(crate) struct ClaimArgs {
    /// The account, by its name in this wallet
    account: String,
    /// The credit
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    credit: Option<CreditId>,
    /// Claim everything in the inbox
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    sign: SignArgs,
}

/// A token's symbol and decimal places, as far as the node tells them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unit {
    pub(crate) symbol: String,
    pub(crate) decimals: u8,
}

/// Asks the node for a token's unit.
pub(crate) fn decimals_of(client: &Client, token: &TokenId) -> Result<Unit, Failure> {
    let info = client.token(token)?;
    Ok(Unit { symbol: info.symbol, decimals: info.decimals })
}

/// An amount in display units, and in base units if these differ.
pub(crate) fn amount_words(amount: Amount, unit: &Unit) -> String {
    if unit.decimals == 0 {
        return format!("{amount} {}", unit.symbol).trim_end().to_owned();
    }
    format!("{} {} = {amount} base units", display_amount(amount.0, unit.decimals), unit.symbol)
}

pub(crate) fn transfer(session: &Session, args: &TransferArgs) -> Result<(), Failure> {
    let (client, wallet) = (session.client()?, session.wallet()?);
    let token = wallet.token_id(&args.token)?;
    let (from, to) = (wallet.own_account(&args.from)?, wallet.account_id(&args.to)?);
    let amount = parse_amount(&args.amount, decimals_of(&client, &token)?.decimals)?;
    let memo = args.memo.clone().into_bytes();
    let outcome = session.sign(&from, &args.sign, |draft| {
        draft.operation(from.account, OperationKind::Transfer { token, to, amount, memo })
    })?;
    session.show(&outcome)
}

/// The answer of `inbox`.
#[derive(Serialize)]
struct Inbox {
    account: AccountId,
    credits: Vec<CreditView>,
    next: Option<CreditId>,
    #[serde(skip)]
    units: BTreeMap<TokenId, Unit>,
}

impl Show for Inbox {
    fn text(&self) -> String {
        let line = |one: &CreditView| {
            let unit = self.units.get(&one.token).cloned().unwrap_or_default();
            vec![one.credit.to_string(), amount_words(one.amount, &unit), short(one.token), short(one.from)]
        };
        let lines: Vec<_> = self.credits.iter().map(line).collect();
        let text = table(&["CREDIT", "AMOUNT", "TOKEN", "FROM"], &lines, "nothing waits to be claimed");
        self.next.map_or(text.clone(), |next| format!("{text}\nmore: --after {next}"))
    }
}

pub(crate) fn inbox(session: &Session, args: &InboxArgs) -> Result<(), Failure> {
    let (client, account) = (session.client()?, session.wallet()?.account_id(&args.account)?);
    let page = client.inbox(&account, args.after, limit::PAGE_ITEMS_MAX)?;
    let mut units = BTreeMap::new();
    for credit in &page.credits {
        if !session.globals.json && !units.contains_key(&credit.token) {
            units.insert(credit.token, decimals_of(&client, &credit.token)?);
        }
    }
    session.show(&Inbox { account, credits: page.credits, next: page.next, units })
}

/// The answer of `claim`.
#[derive(Serialize)]
struct Claimed {
    account: AccountId,
    credits: Vec<CreditId>,
    outcomes: Vec<Outcome>,
}

impl Show for Claimed {
    fn text(&self) -> String {
        if self.credits.is_empty() {
            return "nothing waits to be claimed".to_owned();
        }
        self.outcomes.iter().map(Show::text).collect::<Vec<_>>().join("\n\n")
    }
}

pub(crate) fn claim(session: &Session, args: &ClaimArgs) -> Result<(), Failure> {
    let own = session.wallet()?.own_account(&args.account)?;
    let mut credits: Vec<CreditId> = args.credit.into_iter().collect();
    if args.all {
        let client = session.client()?;
        let mut after = None;
        loop {
            let page = client.inbox(&own.account, after, limit::PAGE_ITEMS_MAX)?;
            credits.extend(page.credits.iter().map(|one| one.credit));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    let mut outcomes = Vec::new();
    for part in credits.chunks(dsm_abi::limit::OPERATIONS_MAX) {
        outcomes.push(session.sign(&own, &args.sign, |draft| {
            part.iter().fold(draft, |draft, credit| draft.claim(own.account, *credit))
        })?);
    }
    session.show(&Claimed { account: own.account, credits, outcomes })
}
