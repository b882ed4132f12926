//! `dsm account`: open accounts, look at them, change their keys.

use super::failure::{Exit, Failure};
use super::key::suite_word;
use super::pay::{amount_words, decimals_of};
use super::session::{Outcome, Session, SignArgs};
use super::show::{Show, rows, short, table};
use super::wallet::Wallet;
use dsm_abi::{AccountId, StateId};
use dsm_core::{Genesis, KeyEntry, KeySet, OperationKind, Recovery};
use dsm_sdk::api::{AccountSummary, AccountView, EquivocationView, HistoryItem, limit};
use serde::Serialize;

/// What to do with accounts.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AccountVerb {
    /// Open an account on the node's network and keep it under a name
    Create {
        /// Its name in this wallet
        name: String,
        #[command(flatten)]
        keys: KeyArgs,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Show an account at its head: keys, balances, holds
    Show {
        /// Its name in this wallet, or its id
        account: String,
    },
    /// List the accounts of this wallet
    List {
        /// List those of the node instead
        #[arg(long)]
        all: bool,
        /// Start behind this account
        #[arg(long, value_name = "ACCOUNT", requires = "all")]
        after: Option<AccountId>,
    },
    /// Replace an account's keys
    Rotate {
        /// Its name in this wallet
        account: String,
        #[command(flatten)]
        keys: KeyArgs,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Show what moved an account, and the evidence of forks that the node keeps
    History {
        /// Its name in this wallet, or its id
        account: String,
        /// Start at this height
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many moves to show
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

/// A key set.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// A key of this wallet, with its role behind a colon if it has one: `alice` or `alice:2`; may be repeated
    #[arg(long = "key", value_name = "KEY[:ROLE]", required = true)]
    keys: Vec<String>,
    /// How many of the keys must sign
    #[arg(long, default_value_t = 1)]
    threshold: u8,
    /// A key that can only replace the others; may be repeated
    #[arg(long = "recovery-key", value_name = "KEY")]
    recovery: Vec<String>,
    /// How many of the recovery keys must sign
    #[arg(long, default_value_t = 1)]
    recovery_threshold: u8,
}

impl KeyArgs {
    fn key_set(&self, wallet: &Wallet) -> Result<KeySet, Failure> {
        let entry = |text: &String| -> Result<KeyEntry, Failure> {
            let (name, role) = text.split_once(':').unwrap_or((text, "0"));
            let role = role
                .parse()
                .map_err(|_| Failure::usage(format!("{role:?} is not a role")).help("a role is 0 to 255"))?;
            Ok(KeyEntry { key: wallet.key(name)?.key, role })
        };
        let keys = self.keys.iter().map(entry).collect::<Result<_, _>>()?;
        let spare: Result<Vec<_>, Failure> =
            self.recovery.iter().map(|name| Ok(wallet.key(name)?.key)).collect();
        let spare = spare?;
        let recovery =
            (!spare.is_empty()).then_some(Recovery { keys: spare, threshold: self.recovery_threshold });
        let set = KeySet { keys, threshold: self.threshold, recovery };
        set.check().map_err(|error| {
            Failure::usage(error)
                .help("give one to eight distinct --key and a --threshold no larger than that")
        })?;
        Ok(set)
    }
}

pub(crate) fn run(session: &Session, verb: &AccountVerb) -> Result<(), Failure> {
    match verb {
        AccountVerb::Create { name, keys, sign } => create(session, name, keys, sign),
        AccountVerb::Show { account } => {
            let wallet = session.wallet()?;
            let view = session.client()?.account(&wallet.account_id(account)?)?;
            session.show(&Shown { name: wallet.name_of(&view.account), view, session })
        }
        AccountVerb::List { all: true, after } => {
            let page = session.client()?.accounts(*after, limit::PAGE_ITEMS_MAX)?;
            session.show(&NodeAccounts { accounts: page.accounts, next: page.next })
        }
        AccountVerb::List { all: false, .. } => {
            let accounts = session.wallet()?.accounts()?;
            let accounts =
                accounts.into_iter().map(|own| Named { name: own.name, account: own.account }).collect();
            session.show(&OwnAccounts { accounts })
        }
        AccountVerb::Rotate { account, keys, sign } => {
            let wallet = session.wallet()?;
            let (own, keys) = (wallet.own_account(account)?, keys.key_set(&wallet)?);
            let outcome = session
                .sign(&own, sign, |draft| draft.operation(own.account, OperationKind::RotateKeys { keys }))?;
            session.show(&outcome)
        }
        AccountVerb::History { account, from, limit } => {
            let account = session.wallet()?.account_id(account)?;
            let client = session.client()?;
            let page = client.history(&account, *from, (*limit).min(limit::PAGE_ITEMS_MAX))?;
            let equivocations = client.equivocations(&account)?.equivocations;
            session.show(&History { account, items: page.items, next: page.next, equivocations })
        }
    }
}

/// The answer of `create`.
#[derive(Serialize)]
struct Created {
    name: String,
    account: AccountId,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Show for Created {
    fn text(&self) -> String {
        let names = rows([("name", self.name.clone()), ("id", self.account.to_string())]);
        format!("{names}\n{}", self.outcome.text())
    }
}

fn create(session: &Session, name: &str, keys: &KeyArgs, sign: &SignArgs) -> Result<(), Failure> {
    let (client, wallet) = (session.client()?, session.wallet()?);
    let own = match wallet.find_account(name)? {
        // An earlier try that did not reach the node goes on where it stopped.
        Some(own) => {
            session.settle(&client, &wallet, name)?;
            match client.account(&own.account).map_err(Failure::from) {
                Err(failure) if failure.exit == Exit::Refused => own,
                Err(failure) => return Err(failure),
                Ok(_) => {
                    return Err(Failure::refused(
                        "account_exists",
                        format!("this wallet has an account {name} already"),
                    )
                    .help("choose another name; `dsm account show` tells how it stands"));
                }
            }
        }
        None => {
            let network = client.status()?.network.network;
            let genesis = Genesis { network, keys: keys.key_set(&wallet)?, salt: Session::random()? };
            session.passphrase()?;
            wallet.add_account(name, &genesis)?
        }
    };
    let set = own.genesis()?.keys;
    let listed: Vec<_> = set.keys.iter().map(|entry| entry.key.clone()).collect();
    let secrets = session.unlock(&wallet, &listed, set.threshold, sign.chosen())?;
    let account = own.account;
    let outcome = session.sign_opening(own, secrets, sign)?;
    session.show(&Created { name: name.to_owned(), account, outcome })
}

/// The answer of `show`.
#[derive(Serialize)]
struct Shown<'a> {
    name: Option<String>,
    #[serde(flatten)]
    view: AccountView,
    #[serde(skip)]
    session: &'a Session,
}

impl Show for Shown<'_> {
    fn text(&self) -> String {
        let view = &self.view;
        let mut lines = vec![
            ("account", view.account.to_string()),
            ("name", self.name.clone().unwrap_or_default()),
            ("status", format!("{:?}", view.state.status).to_lowercase()),
            ("head", format!("{} at height {}", view.head, view.state.height)),
            ("keys", format!("{} of {} sign", view.keys.threshold, view.keys.keys.len())),
        ];
        for key in &view.keys.keys {
            lines.push(("key", format!("{} {} role {}", short(key.key), suite_word(key.suite), key.role)));
        }
        let client = self.session.client().ok();
        let decimals =
            |token| client.as_ref().and_then(|client| decimals_of(client, token).ok()).unwrap_or_default();
        for one in &view.balances {
            let words = amount_words(one.balance, &decimals(&one.token));
            let frozen = if one.frozen { ", frozen" } else { "" };
            lines.push((
                "balance",
                format!("{words}, available {}{frozen} ({})", one.available, short(one.token)),
            ));
        }
        for hold in &view.holds {
            let words = amount_words(hold.amount, &decimals(&hold.token));
            let kind = format!("{:?}", hold.kind).to_lowercase();
            lines.push(("hold", format!("{} {kind} of {words} for {}", hold.hold, short(hold.beneficiary))));
        }
        rows(lines)
    }
}

/// An account of this wallet.
#[derive(Serialize)]
struct Named {
    name: String,
    account: AccountId,
}

/// The accounts of this wallet.
#[derive(Serialize)]
struct OwnAccounts {
    accounts: Vec<Named>,
}

impl Show for OwnAccounts {
    fn text(&self) -> String {
        let lines: Vec<_> =
            self.accounts.iter().map(|one| vec![one.name.clone(), one.account.to_string()]).collect();
        table(&["NAME", "ACCOUNT"], &lines, "no accounts; `dsm account create NAME --key KEY` opens one")
    }
}

/// Some accounts of the node.
#[derive(Serialize)]
struct NodeAccounts {
    accounts: Vec<AccountSummary>,
    next: Option<AccountId>,
}

impl Show for NodeAccounts {
    fn text(&self) -> String {
        let line =
            |one: &AccountSummary| vec![one.account.to_string(), one.height.to_string(), short(one.head)];
        let lines: Vec<_> = self.accounts.iter().map(line).collect();
        let text = table(&["ACCOUNT", "HEIGHT", "HEAD"], &lines, "no accounts");
        self.next.map_or(text.clone(), |next| format!("{text}\nmore: --all --after {next}"))
    }
}

/// The answer of `history`.
#[derive(Serialize)]
struct History {
    account: AccountId,
    items: Vec<HistoryItem>,
    next: Option<u64>,
    equivocations: Vec<EquivocationView>,
}

impl Show for History {
    fn text(&self) -> String {
        let line = |one: &HistoryItem| {
            let words: Vec<String> = one
                .transition
                .operations
                .iter()
                .map(|operation| super::tx::operation_word(&operation.kind))
                .collect();
            let place = one.transition.position.to_string();
            vec![one.height.to_string(), place, one.transition.transition.to_string(), words.join(", ")]
        };
        let lines: Vec<_> = self.items.iter().map(line).collect();
        let mut text = table(&["HEIGHT", "POSITION", "TRANSITION", "OPERATIONS"], &lines, "no moves");
        if let Some(next) = self.next {
            text.push_str(&format!("\nmore: --from {next}"));
        }
        for one in &self.equivocations {
            let (parent, first, second): (StateId, _, _) =
                (one.evidence.parent, short(one.evidence.first), short(one.evidence.second));
            text.push_str(&format!("\nequivocation at state {parent}: {first} and {second}, proof kept"));
        }
        text
    }
}
