//! A token as a node has it now, for one operation that is tried against it: terms, supply, what its policy and those that
//! it reads keep, the balances and holds of the parties, and the keys that would sign.
//!
//! Left out on purpose: what other transitions do in the meantime. The node judges again, in its own order.

use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::wallet::Wallet;
use dsm_abi::{
    AccountId, Call, Description, ForeignBalance, Hold, HoldId, HoldKind, Party, SignedKey, Signer, StateMap,
    TokenId, TokenView, Value,
};
use dsm_core::{foreign_reads_of, parties_of};
use dsm_sdk::api::{AccountView, TokenInfo, TokenPolicyView, limit};
use dsm_sdk::cases::{Case, CaseText, HoldText, Names, TokenText, Toml};
use dsm_sdk::client::{Client, ClientError};
use std::collections::BTreeMap;

/// Entries of one policy's state that are fetched: 100 pages, a sixth of what a client may ask in a minute.
const ENTRIES_MAX: usize = 100 * limit::PAGE_ITEMS_MAX;
/// How often the state is fetched anew because the token has moved between two pages.
const ATTEMPTS: usize = 3;

/// What a node says about a token and the place of one policy.
pub(super) struct Live {
    client: Client,
    wallet: Wallet,
    info: TokenInfo,
    policy_index: u8,
    policy: TokenPolicyView,
    params: Vec<Value>,
    network: dsm_abi::NetworkId,
    /// The later of the node's last transition and this machine's clock, as a sequencer stamps.
    time_ms: u64,
}

impl Live {
    pub(super) fn read(session: &Session, token: &str, policy_index: u8) -> Result<Live, Failure> {
        let (client, wallet) = (session.client()?, session.wallet()?);
        let info = client.token(&wallet.token_id(token)?)?;
        let Some(policy) = info.policies.get(usize::from(policy_index)).cloned() else {
            return Err(Failure::usage(format!("{token} has no policy at position {policy_index}"))
                .help("`dsm token show` lists the token's policies, from 0 on"));
        };
        let params = policy.params.iter().map(|field| field.value.clone().into()).collect();
        let network = client.status()?.network.network;
        let time_ms = info.time_ms.max(Session::now_ms());
        Ok(Live { client, wallet, info, policy_index, policy, params, network, time_ms })
    }

    /// The published policy that judges there now.
    pub(super) fn policy(&self) -> String {
        self.policy.policy.to_string()
    }

    /// What a case of this token begins with; what the token is comes when it is filled in. Whoever tries a module that
    /// the token does not have yet tries it with the token's parameters, which therefore have to fit.
    pub(super) fn start(&self, about: &Description) -> Result<CaseText, Failure> {
        let types: Vec<_> = self.params.iter().map(Value::value_type).collect();
        if !about.params.iter().map(|param| param.value_type).eq(types) {
            let message =
                format!("the token's policy {} has other parameters than this module", self.policy.name);
            return Err(Failure::refused("bad_parameter", message)
                .help("try it with --param and --state instead, or leave the file out to try the token's own policy"));
        }
        let typed = |field: &dsm_sdk::api::FieldView| Toml::try_from(&field.value);
        let params: Result<Vec<Toml>, _> = self.policy.params.iter().map(typed).collect();
        Ok(CaseText {
            time: Some(Toml::String(self.time_ms.to_string())),
            params: Some(Toml::Array(params.map_err(|error| Failure::integrity("json", error))?)),
            network: Some(self.network.to_string()),
            index: Some(self.policy_index),
            token: Some(TokenText { id: Some(self.info.token.to_string()), ..TokenText::default() }),
            ..CaseText::default()
        })
    }

    /// Fills in what depends on who takes part in the operation: states, parties, and the keys of whoever acts.
    pub(super) fn fill(&self, case: &mut Case, about: &Description) -> Result<(), Failure> {
        let reads: Vec<(TokenId, u8)> = foreign_reads_of(about, &self.params).collect();
        case.state = self.space(&self.info.token, self.policy_index)?;
        case.foreign =
            reads.iter().map(|(token, index)| self.space(token, *index)).collect::<Result<_, _>>()?;
        let input = match &mut case.call {
            Call::Evaluate(input) => input,
            Call::View(view) => {
                view.token = self.view();
                return Ok(());
            }
        };
        input.token = self.view();
        let mut accounts: BTreeMap<AccountId, Option<AccountView>> = BTreeMap::new();
        let judged = input.legs.get(usize::from(input.leg)).map(parties_of).unwrap_or_default();
        let actors: Vec<AccountId> = input.legs.iter().map(|leg| leg.actor).collect();
        let signers: Vec<AccountId> = input.signers.iter().map(|signer| signer.account).collect();
        for account in judged.iter().chain(&actors).chain(&signers) {
            if !accounts.contains_key(account) {
                accounts.insert(*account, absent(self.client.account(account))?);
            }
        }
        let found = |account: &AccountId| accounts.get(account).and_then(Option::as_ref);
        input.parties = judged.iter().map(|account| self.party(*account, found(account))).collect();
        input.foreign = (0u8..)
            .zip(&reads)
            .flat_map(|(read, (token, _))| judged.iter().map(move |account| (read, *token, *account)))
            .map(|(read, token, account)| {
                let Party { balance, available, .. } = party(account, &token, found(&account));
                ForeignBalance { read, token, account, balance, available }
            })
            .collect();
        for account in actors {
            if input.signers.iter().all(|signer| signer.account != account) {
                input.signers.push(Signer { account, keys: Vec::new() });
            }
        }
        for signer in &mut input.signers {
            let Some(view) = found(&signer.account) else {
                let message = format!("the node has no account {}, which would have to sign", signer.account);
                return Err(Failure::refused("unknown_account", message)
                    .help("say who acts with by=NAME in --op, and who else signs with --signer"));
            };
            sign(signer, view);
        }
        input.signers.sort_by_key(|signer| signer.account);
        Ok(())
    }

    /// A live hold of the token as a case has it, by its id: `owner`'s if that is said, else of an account of this wallet. The node
    /// tells holds by their owners only.
    pub(super) fn hold(&self, id: &str, owner: Option<&str>) -> Result<Toml, Failure> {
        let bad = |_| {
            Failure::usage(format!("{id:?} is no hold"))
                .help("`dsm account show` lists an account's holds by their ids")
        };
        let id: HoldId = id.parse().map_err(bad)?;
        let owners = match owner {
            Some(owner) => vec![self.wallet.account_id(owner)?],
            None => self.wallet.accounts()?.into_iter().map(|own| own.account).collect(),
        };
        for owner in owners {
            let view = absent(self.client.account(&owner))?;
            let found = view.and_then(|view| {
                view.holds.into_iter().find(|hold| hold.hold == id && hold.token == self.info.token)
            });
            if let Some(hold) = found {
                return Toml::try_from(HoldText {
                    id: Some(hold.hold.to_string()),
                    token: Some(hold.token.to_string()),
                    owner: Some(hold.owner.to_string()),
                    beneficiary: Some(hold.beneficiary.to_string()),
                    amount: Some(Toml::String(hold.amount.0.to_string())),
                    kind: Some(kind_word(hold.kind).to_owned()),
                    expires: hold.expires_ms.map(|ms| Toml::String(ms.to_string())),
                })
                .map_err(|error| Failure::integrity("json", error));
            }
        }
        let whose = owner
            .map_or_else(|| "no account of this wallet has the".to_owned(), |name| format!("{name} has no"));
        Err(Failure::refused("unknown_hold", format!("{whose} live hold {id}"))
            .help("say whose it is with owner=ACCOUNT; `dsm account show` lists an account's holds"))
    }

    fn view(&self) -> TokenView {
        let info = &self.info;
        TokenView {
            id: info.token,
            height: info.state.height,
            issuer: info.issuer,
            supply: info.state.supply.0,
            cap: info.cap.map(|cap| cap.0),
            decimals: info.decimals,
        }
    }

    fn party(&self, account: AccountId, view: Option<&AccountView>) -> Party {
        party(account, &self.info.token, view)
    }

    /// Everything that a policy keeps, of one head of its token; nothing for a token that does not exist.
    fn space(&self, token: &TokenId, policy_index: u8) -> Result<StateMap, Failure> {
        for _ in 0..ATTEMPTS {
            let (mut entries, mut head, mut after) = (StateMap::new(), None, None);
            loop {
                let page =
                    self.client.policy_state(token, policy_index, after.as_ref(), limit::PAGE_ITEMS_MAX);
                let Some(page) = absent(page)? else { return Ok(entries) };
                if *head.get_or_insert(page.head) != page.head {
                    break;
                }
                entries.extend(page.entries.into_iter().map(|entry| (entry.key.0, entry.value.0)));
                if entries.len() > ENTRIES_MAX {
                    let message = format!("the policy keeps more than {ENTRIES_MAX} entries about {token}");
                    return Err(Failure::refused("too_much_state", message)
                        .help("put what the operation needs into a case file and give it with --state"));
                }
                after = page.next;
                if after.is_none() {
                    return Ok(entries);
                }
            }
        }
        Err(Failure::refused(
            "token_moves",
            format!("the state of {token} changed while it was read, {ATTEMPTS} times"),
        )
        .help("run the command again when there is less to do"))
    }
}

const fn kind_word(kind: HoldKind) -> &'static str {
    match kind {
        HoldKind::Pledge => "pledge",
        HoldKind::Lien => "lien",
        HoldKind::Lock => "lock",
        HoldKind::Escrow => "escrow",
    }
}

/// What the node does not have is nothing.
fn absent<T>(answer: Result<T, ClientError>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code() == "not_found" => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn party(account: AccountId, token: &TokenId, view: Option<&AccountView>) -> Party {
    let balance = view.and_then(|view| view.balances.iter().find(|one| one.token == *token));
    let holds = view.into_iter().flat_map(|view| &view.holds).filter(|hold| hold.token == *token);
    let hold = |hold: &dsm_sdk::api::HoldView| Hold {
        id: hold.hold,
        token: hold.token,
        owner: hold.owner,
        beneficiary: hold.beneficiary,
        amount: hold.amount.0,
        kind: hold.kind,
        expires_ms: hold.expires_ms,
    };
    Party {
        account,
        balance: balance.map_or(0, |one| one.balance.0),
        available: balance.map_or(0, |one| one.available.0),
        frozen: balance.is_some_and(|one| one.frozen),
        holds: holds.map(hold).collect(),
    }
}

/// Gives a signer the roles that its keys have, or, if it names none, as many of its keys as have to sign.
fn sign(signer: &mut Signer, view: &AccountView) {
    if signer.keys.is_empty() {
        let keys = view.keys.keys.iter().take(usize::from(view.keys.threshold));
        signer.keys = keys.map(|one| SignedKey { key: one.key, role: one.role }).collect();
        return;
    }
    for signed in &mut signer.keys {
        if let Some(known) = view.keys.keys.iter().find(|one| one.key == signed.key) {
            signed.role = known.role;
        }
    }
}

/// The names of a wallet's accounts and keys.
pub(super) fn names(wallet: &Wallet) -> Result<Names, Failure> {
    let mut names = Names::default();
    for own in wallet.accounts()? {
        names.bind_account(&own.name, own.account);
    }
    for own in wallet.keys()? {
        names.bind_key(&own.name, own.key.id());
    }
    Ok(names)
}
