//! Who plays in the end-to-end story, and what there is before it begins: policies, accounts, tokens, money.

use super::super::cast::{Actor, SCHEMA};
use super::super::print::Told;
use super::super::stage::{Stage, differs};
use crate::cli::failure::Failure;
use crate::cli::policy::package;
use crate::cli::session::Session;
use dsm_abi::{Digest, KeyId, NetworkId, PolicyId, Suite, TokenId, Value, encode};
use dsm_core::{EvidenceProof, ObservationStatement, OperationKind, feed_id};
use dsm_sdk::draft::{Draft, NewToken, observe, oracle_round};

/// The standard policies that the story needs, as they are committed.
const POLICIES: [(&str, &[u8]); 7] = [
    ("csd-register", include_bytes!("../../../../policies/dist/csd-register.wasm")),
    ("credential-gate", include_bytes!("../../../../policies/dist/credential-gate.wasm")),
    ("cash", include_bytes!("../../../../policies/dist/cash.wasm")),
    ("liquidity-pool", include_bytes!("../../../../policies/dist/liquidity-pool.wasm")),
    ("oracle-feed", include_bytes!("../../../../policies/dist/oracle-feed.wasm")),
    ("fx-quote", include_bytes!("../../../../policies/dist/fx-quote.wasm")),
    ("workflow", include_bytes!("../../../../policies/dist/workflow.wasm")),
];

/// Decimal places of both currencies.
pub(super) const CENTS: u8 = 2;
/// Base units of one euro or dollar.
pub(super) const WHOLE: u128 = 100;
/// Decimal places of the rate.
const RATE_DECIMALS: u8 = 4;
/// The name of the feed of rates.
const FEED: &str = "EUR/USD";
/// What liquidity is drawn for.
pub(super) const PURPOSE: &str = "fx";
/// How old a rate may be for the desk, in ms; the feed takes observations that are twice as old.
pub(super) const RATE_AGE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * 60 * 1000;

/// Everybody.
pub(super) struct Company {
    pub(super) author: Actor,
    /// Vouches for participants.
    pub(super) issuer: Actor,
    /// Keeps the securities register with three keys, of which two must sign.
    pub(super) registrar: Actor,
    /// Issues both currencies and runs the pool with two keys.
    pub(super) bank: Actor,
    /// Exchanges currencies, and lends the pool its euros.
    pub(super) desk: Actor,
    /// Runs the feed and the workflow, admits the desk's clients.
    pub(super) auditor: Actor,
    /// Sells.
    pub(super) alice: Actor,
    /// Buys, and has dollars.
    pub(super) bob: Actor,
    /// Approve instructions.
    pub(super) approvers: [Actor; 2],
    /// Observe rates.
    pub(super) observers: [Actor; 3],
    /// Has nothing to do with any of it.
    pub(super) bystander: Actor,
}

impl Company {
    pub(super) fn new(network: NetworkId) -> Result<Company, Failure> {
        let actor = |name, keys| Actor::new(name, network, Suite::MlDsa65, keys);
        Ok(Company {
            author: Actor::new("author", network, Suite::Ed25519MlDsa65, 1)?,
            issuer: actor("issuer", 1)?,
            registrar: actor("registrar", 3)?,
            bank: actor("bank", 2)?,
            desk: actor("desk", 1)?,
            auditor: actor("auditor", 1)?,
            alice: actor("alice", 1)?,
            bob: actor("bob", 1)?,
            approvers: [actor("carol", 1)?, actor("dave", 1)?],
            observers: [
                actor("first observer", 1)?,
                actor("second observer", 1)?,
                actor("third observer", 1)?,
            ],
            bystander: actor("bystander", 1)?,
        })
    }

    /// What the three observers saw, in one round of the feed, so long ago.
    pub(super) fn round(
        &self,
        network: NetworkId,
        round: u64,
        answers: [i128; 3],
        ago_ms: u64,
    ) -> Result<EvidenceProof, Failure> {
        let observed_ms = Session::now_ms().saturating_sub(ago_ms);
        let (feed, decimals) = (feed_id(FEED), RATE_DECIMALS);
        let mut observations = Vec::new();
        for (actor, answer) in self.observers.iter().zip(answers) {
            let account = actor.account;
            let statement = ObservationStatement { account, feed, round, decimals, answer, observed_ms };
            let observation = observe(network, &statement, &actor.keys[0], 0);
            observations.push(observation.map_err(|error| Failure::refused("sign_failed", error))?);
        }
        Ok(oracle_round(feed, round, decimals, observations))
    }
}

/// The tokens.
#[derive(Clone, Copy)]
pub(super) struct Tokens {
    /// A bond: `csd-register` and `credential-gate`.
    pub(super) bond: TokenId,
    /// Euros: `cash` and `liquidity-pool`.
    pub(super) euro: TokenId,
    /// Dollars: `cash`.
    pub(super) dollar: TokenId,
    /// The feed of rates: `oracle-feed`.
    pub(super) feed: TokenId,
    /// The desk: `fx-quote`.
    pub(super) fx: TokenId,
    /// The approvals: `workflow`.
    pub(super) flow: TokenId,
}

/// Publishes the policies, opens the accounts, creates the tokens, and gives Bob dollars and the desk euros.
pub(super) fn prepare(stage: &Stage, company: &Company, told: &Told) -> Result<Tokens, Failure> {
    let policies = publish(stage, company)?;
    open(stage, company)?;
    let tokens = create(stage, company, &policies)?;
    fund(stage, company, tokens)?;
    told.line(&format!(
        "    {} policies, 14 accounts, 6 tokens, dollars for bob, euros for the desk",
        policies.len()
    ));
    Ok(tokens)
}

fn publish(stage: &Stage, company: &Company) -> Result<Vec<PolicyId>, Failure> {
    let author = &company.author;
    stage.accept(&[(author, 1)], |draft| draft.open(author.genesis.clone()))?;
    let (mut publications, mut policies) = (Vec::new(), Vec::new());
    for (name, wasm) in POLICIES {
        let source = format!("policies/{name}");
        let package =
            package(stage.node.engine(), wasm.to_vec(), &author.keys[0], "MIT OR Apache-2.0", &source)?;
        let policy = stage.node.stage(&encode(&package))?;
        let module = Digest(*blake3::hash(wasm).as_bytes());
        publications.push(OperationKind::Publish { policy, module, author: package.envelope.key.id() });
        policies.push(policy);
    }
    stage.accept(&[(author, 1)], |draft| {
        publications.into_iter().fold(draft, |draft, kind| draft.operation(author.account, kind))
    })?;
    Ok(policies)
}

fn open(stage: &Stage, company: &Company) -> Result<(), Failure> {
    let Company { issuer, registrar, bank, desk, auditor, alice, bob, .. } = company;
    let all = [issuer, registrar, bank, desk, auditor, alice, bob];
    let all: Vec<&Actor> = all.into_iter().chain(&company.approvers).chain(&company.observers).collect();
    let signing: Vec<(&Actor, usize)> = all.iter().map(|actor| (*actor, 1)).collect();
    stage.accept(&signing, |draft| all.iter().fold(draft, |draft, one| draft.open(one.genesis.clone())))?;
    let bystander = &company.bystander;
    stage.accept(&[(bystander, 1)], |draft| draft.open(bystander.genesis.clone()))?;
    Ok(())
}

fn create(stage: &Stage, company: &Company, policies: &[PolicyId]) -> Result<Tokens, Failure> {
    let &[csd, gate, cash, pool, oracle, quotes, flow] = policies else {
        return Err(differs("the policies are not seven"));
    };
    let Company { issuer, registrar, bank, desk, auditor, alice, approvers, .. } = company;
    let two = || Value::U64(2);
    let money = || vec![Value::Keys(bank.key_ids()), two(), Value::U128(0), Value::U128(0)];
    let lines = vec![Value::Keys(bank.key_ids()), Value::U64(HOUR_MS)];
    let named =
        |actor: &Actor, symbol: &str, name: &str, bound| NewToken::new(actor.account, symbol, name, bound);
    let euro = named(bank, "EUR", "Demo Euro", vec![(cash, money()), (pool, lines)]).decimals(CENTS);
    let dollar = named(bank, "USD", "Demo Dollar", vec![(cash, money())]).decimals(CENTS);
    let rates = vec![
        Value::Digest(feed_id(FEED)),
        Value::U64(RATE_DECIMALS.into()),
        Value::Keys(auditor.key_ids()),
        Value::U64(1),
        Value::U64(3),
        Value::U64(HOUR_MS),
        Value::U64(500),
        Value::U64(2 * RATE_AGE_MS),
    ];
    let feed = named(auditor, "EURUSD", "Rates of the euro", vec![(oracle, rates)]);
    let deals = vec![
        Value::Account(desk.account),
        Value::Keys(auditor.key_ids()),
        Value::U64(1),
        Value::Token(euro.token()),
        Value::U64(CENTS.into()),
        Value::Token(dollar.token()),
        Value::U64(CENTS.into()),
        Value::Token(feed.token()),
        Value::U64(RATE_AGE_MS),
        Value::U64(10),
        Value::U64(HOUR_MS),
        Value::U64(HOUR_MS),
        Value::U128(1_000_000 * WHOLE),
    ];
    let fx = named(auditor, "DESK", "Desk for euros", vec![(quotes, deals)]);
    let register = vec![Value::Keys(registrar.key_ids()), two(), Value::Token(euro.token())];
    let holders = vec![
        Value::Accounts(vec![issuer.account]),
        Value::Text(SCHEMA.into()),
        Value::Keys(registrar.key_ids()),
    ];
    let bond = named(registrar, "BOND32", "Demo Bond 2032", vec![(csd, register), (gate, holders)]);
    let approving: Vec<KeyId> = approvers.iter().flat_map(Actor::key_ids).collect();
    let steps = vec![
        Value::Texts(vec!["settle".into()]),
        Value::Keys(alice.key_ids()),
        Value::Keys(approving),
        two(),
        Value::U64(HOUR_MS),
    ];
    let flow = named(auditor, "FLOW", "Settlement instructions", vec![(flow, steps)]);
    let tokens = Tokens {
        bond: bond.token(),
        euro: euro.token(),
        dollar: dollar.token(),
        feed: feed.token(),
        fx: fx.token(),
        flow: flow.token(),
    };
    stage.accept(&[(bank, 1), (registrar, 1), (auditor, 1)], |draft| {
        let draft =
            draft.operation(bank.account, euro.operation()).operation(bank.account, dollar.operation());
        let draft = draft.operation(registrar.account, bond.operation());
        let kinds = [feed.operation(), fx.operation(), flow.operation()];
        kinds.into_iter().fold(draft, |draft, kind| draft.operation(auditor.account, kind))
    })?;
    Ok(tokens)
}

fn fund(stage: &Stage, company: &Company, tokens: Tokens) -> Result<(), Failure> {
    let Company { bank, desk, auditor, bob, observers, .. } = company;
    let until_ms = Session::now_ms() + 24 * HOUR_MS;
    stage.accept(&[(bank, 2), (desk, 1), (auditor, 1), (bob, 1)], |draft| {
        let draft = draft.mint(bank.account, tokens.euro, desk.account, 50_000 * WHOLE);
        let draft = draft.mint(bank.account, tokens.dollar, bob.account, 5_000 * WHOLE);
        let admit = |draft: Draft, one: &Actor| {
            draft.invoke(auditor.account, tokens.feed, 0, "admit", vec![Value::Account(one.account)])
        };
        let draft = observers.iter().fold(draft, admit);
        let client = vec![Value::Account(bob.account), Value::U128(100_000 * WHOLE)];
        let draft = draft.invoke(auditor.account, tokens.fx, 0, "admit", client);
        let source = vec![
            Value::Account(desk.account),
            Value::U64(1),
            Value::Texts(vec![PURPOSE.into()]),
            Value::U128(20_000 * WHOLE),
            Value::U64(until_ms),
        ];
        draft.invoke(bank.account, tokens.euro, 1, "enlist", source)
    })?;
    let line = vec![Value::U128(40_000 * WHOLE)];
    stage.accept(&[(desk, 1)], |draft| draft.invoke(desk.account, tokens.euro, 1, "offer", line))?;
    Ok(())
}
