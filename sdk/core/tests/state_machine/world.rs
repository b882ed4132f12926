//! A small world to test in: accounts with fast stand-in signatures, native policies, one ledger and its log.
//!
//! A signature here is keyed BLAKE3 over the message, stretched to the real length: it binds key, suite, network
//! and body as the real one does and costs microseconds. Anyone can make it, so tests forge by choosing keys.

use dsm_abi::{
    AccountId, Action, Denial, Description, Digest, Effect, EvidenceKind, ForeignRead, ForeignTarget, HoldId,
    HoldKind, Input, KeyId, Parameter, PolicyId, SignatureError, StateId, Suite, TokenId, Value, ValueType,
    VerifySignature, decode, encode,
};
use dsm_core::{
    Accepted, AdmitError, Applied, Genesis, Judge, Judgement, KeyDirectory, KeyEntry, KeySet, Ledger,
    NetworkGenesis, NoVerdict, Operation, OperationKind, PublicKey, Recovery, Refusal, SignKind, Signature,
    SignedBy, SignedTransition, StateSpace, TokenTerms, Transition, UpgradeTerms, hash, signing_message,
};
use std::fmt::Write as _;
use std::sync::Arc;

/// The stand-in for ML-DSA-65 and the hybrid suite. Dilithium3 is off, as on a node that was not told otherwise.
pub(crate) struct FastSignatures;

impl VerifySignature for FastSignatures {
    fn digest(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        (algorithm == dsm_abi::import::hash_alg::BLAKE3).then(|| *blake3::hash(bytes).as_bytes())
    }

    fn recover(&self, digest: &[u8; 32], signature: &[u8; 65]) -> Option<[u8; 20]> {
        let address: [u8; 20] = signature[44..64].try_into().ok()?;
        (seal_of(&address, digest) == *signature).then_some(address)
    }

    fn verify_signature(
        &self,
        suite: Suite,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if suite == Suite::Dilithium3 {
            return Err(SignatureError::SuiteOff);
        }
        if public_key.len() != suite.public_key_bytes() {
            return Err(SignatureError::BadKey);
        }
        let key = PublicKey { suite, bytes: public_key.to_vec() };
        if sign_bytes(&key, message) == signature { Ok(()) } else { Err(SignatureError::BadSignature) }
    }
}

/// The stand-in signature of `key` over `message`.
pub(crate) fn sign_bytes(key: &PublicKey, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; key.suite.signature_bytes()];
    let secret = blake3::hash(&key.bytes);
    blake3::Hasher::new_keyed(secret.as_bytes()).update(message).finalize_xof().fill(&mut bytes);
    bytes
}

/// The address of the `n`-th validator.
pub(crate) fn validator(n: u8) -> [u8; 20] {
    let mut address = [n; 20];
    address[0] = 0xee;
    address
}

/// The stand-in for a validator's seal: what makes it is public, as everywhere here.
pub(crate) fn seal(n: u8, digest: &[u8; 32]) -> [u8; 65] {
    seal_of(&validator(n), digest)
}

fn seal_of(address: &[u8; 20], digest: &[u8; 32]) -> [u8; 65] {
    let mut seal = [0; 65];
    seal[..32].copy_from_slice(blake3::Hasher::new().update(address).update(digest).finalize().as_bytes());
    seal[44..64].copy_from_slice(address);
    seal
}

/// A key of the right length for `suite`, made from `name`.
pub(crate) fn key_of(suite: Suite, name: &str) -> PublicKey {
    let mut bytes = vec![0; suite.public_key_bytes()];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    PublicKey { suite, bytes }
}

/// An ML-DSA-65 key made from `name`.
pub(crate) fn key(name: &str) -> PublicKey {
    key_of(Suite::MlDsa65, name)
}

/// One key and one recovery key.
pub(crate) fn key_set(name: &str) -> KeySet {
    let recovery = Recovery { keys: vec![key(&format!("{name} recovery"))], threshold: 1 };
    KeySet { recovery: Some(recovery), ..KeySet::single(key(name)) }
}

type Behaviour = fn(&Input, &StateSpace, &[Arc<StateSpace>]) -> Result<Judgement, NoVerdict>;

/// A native policy.
struct Package {
    name: &'static str,
    params: &'static [(&'static str, ValueType)],
    behaviour: Behaviour,
}

/// Accepts everything and does what an `Invoke` of it says: the tests' way to any verdict and any effect.
pub(crate) const SCRIPT: &str = "script";
/// Refuses mints and transfers above its parameter.
pub(crate) const WATCH: &str = "watch";
/// Counts, per leg and actor, what it has seen.
pub(crate) const COUNTER: &str = "counter";
/// Requests a transfer of its second parameter to its first for each transfer that it judges.
pub(crate) const TOLL: &str = "toll";
/// Requests a mint of its parameter to the issuer when the token is created.
pub(crate) const PREMINT: &str = "premint";
/// Writes down the foreign balances that it is shown.
pub(crate) const PEEK: &str = "peek";
/// Refuses transfers above its parameter. Takes over state under keys of its own, but none that holds `sealed`; with a
/// parameter of 0 it wants a unit for that, with the largest it fails.
pub(crate) const HEIR: &str = "heir";
/// How long an upgrade of copper waits.
pub(crate) const UPGRADE_DELAY_MS: u64 = 40;
/// Is in no node's possession.
pub(crate) const ABSENT: &str = "absent";

const PACKAGES: &[Package] = &[
    Package { name: SCRIPT, params: &[], behaviour: script },
    Package { name: WATCH, params: &[("limit", ValueType::U128)], behaviour: watch },
    Package { name: COUNTER, params: &[], behaviour: counter },
    Package {
        name: TOLL,
        params: &[("to", ValueType::Account), ("amount", ValueType::U128)],
        behaviour: toll,
    },
    Package { name: PREMINT, params: &[("amount", ValueType::U128)], behaviour: premint },
    Package { name: PEEK, params: &[("other", ValueType::Token)], behaviour: peek },
    Package { name: HEIR, params: &[("limit", ValueType::U128)], behaviour: heir },
];

const ACCEPT: Judgement = Judgement::Accept(Vec::new());

fn script(input: &Input, _: &StateSpace, _: &[Arc<StateSpace>]) -> Result<Judgement, NoVerdict> {
    let Action::Invoke { policy_index, method, args } = &input.legs[usize::from(input.leg)].action else {
        return Ok(ACCEPT);
    };
    if *policy_index != input.policy_index {
        return Ok(ACCEPT);
    }
    match (method.as_str(), args.as_slice()) {
        ("effects", [Value::Bytes(bytes)]) => {
            Ok(Judgement::Accept(decode(bytes, 8192).expect("tests encode effects")))
        }
        ("signers", []) => Ok(Judgement::Accept(vec![Effect::SetState {
            key: b"signers".to_vec(),
            value: encode(&input.signers.iter().map(|signer| signer.account).collect::<Vec<_>>()),
        }])),
        ("evidence", []) => Ok(Judgement::Accept(vec![Effect::SetState {
            key: b"evidence".to_vec(),
            value: encode(&input.evidence),
        }])),
        ("fault", []) => Ok(Judgement::Fault("trap".into())),
        ("no_verdict", []) => Err(NoVerdict("watchdog".into())),
        _ => Ok(denied(404, "unknown method")),
    }
}

fn watch(input: &Input, _: &StateSpace, _: &[Arc<StateSpace>]) -> Result<Judgement, NoVerdict> {
    let Value::U128(limit) = input.params[0] else { return Ok(Judgement::Fault("params".into())) };
    Ok(match &input.legs[usize::from(input.leg)].action {
        Action::Mint { amount, .. } | Action::Transfer { amount, .. } if *amount > limit => {
            denied(7, "above the limit")
        }
        _ => ACCEPT,
    })
}

fn heir(input: &Input, state: &StateSpace, _: &[Arc<StateSpace>]) -> Result<Judgement, NoVerdict> {
    let Value::U128(limit) = input.params[0] else { return Ok(Judgement::Fault("params".into())) };
    let leg = &input.legs[usize::from(input.leg)];
    Ok(match &leg.action {
        Action::Upgrade { .. } if state.contains_key(b"sealed".as_slice()) => denied(9, "sealed"),
        Action::Upgrade { .. } if limit == 0 => {
            Judgement::Accept(vec![Effect::Mint { to: leg.actor, amount: 1 }])
        }
        Action::Upgrade { .. } if limit == u128::MAX => Judgement::Fault("trap".into()),
        Action::Upgrade { .. } => {
            let moved = state.iter().flat_map(|(key, value)| {
                let new = [b"heir/".as_slice(), key].concat();
                [
                    Effect::DeleteState { key: key.clone() },
                    Effect::SetState { key: new, value: value.clone() },
                ]
            });
            Judgement::Accept(moved.collect())
        }
        Action::Create => {
            let (policy_index, due_ms) = (input.policy_index, u64::MAX);
            let params = input.params.clone();
            Judgement::Accept(vec![Effect::ScheduleUpgrade {
                policy_index,
                policy: policy(HEIR),
                params,
                due_ms,
            }])
        }
        Action::Transfer { amount, .. } if *amount > limit => denied(7, "above the limit"),
        Action::Invoke { policy_index, .. } if *policy_index == input.policy_index => {
            denied(404, "unknown method")
        }
        _ => ACCEPT,
    })
}

fn counter(input: &Input, state: &StateSpace, _: &[Arc<StateSpace>]) -> Result<Judgement, NoVerdict> {
    let actor = input.legs[usize::from(input.leg)].actor;
    let mut key = vec![input.leg];
    key.extend_from_slice(&actor.0);
    let seen = state.get(&key).map_or(0, |value| value[0]);
    let value = vec![seen.wrapping_add(1)];
    Ok(Judgement::Accept(vec![Effect::SetState { key, value }]))
}

fn toll(input: &Input, _: &StateSpace, _: &[Arc<StateSpace>]) -> Result<Judgement, NoVerdict> {
    let [Value::Account(to), Value::U128(amount)] = input.params[..] else {
        return Ok(Judgement::Fault("params".into()));
    };
    let leg = &input.legs[usize::from(input.leg)];
    Ok(match &leg.action {
        Action::Transfer { .. } => Judgement::Accept(vec![Effect::Transfer { from: leg.actor, to, amount }]),
        _ => ACCEPT,
    })
}

fn premint(input: &Input, _: &StateSpace, _: &[Arc<StateSpace>]) -> Result<Judgement, NoVerdict> {
    let Value::U128(amount) = input.params[0] else { return Ok(Judgement::Fault("params".into())) };
    Ok(match &input.legs[usize::from(input.leg)].action {
        Action::Create => Judgement::Accept(vec![Effect::Mint { to: input.token.issuer, amount }]),
        _ => ACCEPT,
    })
}

fn peek(input: &Input, _: &StateSpace, foreign: &[Arc<StateSpace>]) -> Result<Judgement, NoVerdict> {
    let state: Vec<(Vec<u8>, Vec<u8>)> =
        foreign[0].iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let value = encode(&(&input.foreign, state));
    Ok(Judgement::Accept(vec![Effect::SetState { key: b"seen".to_vec(), value }]))
}

fn denied(code: u16, reason: &str) -> Judgement {
    Judgement::Reject(Denial { code, reason: reason.into(), field: String::new(), hint: String::new() })
}

/// The id of a native policy.
pub(crate) fn policy(name: &str) -> PolicyId {
    PolicyId(hash("test-policy", &[name.as_bytes()]).0)
}

/// The digest that stands for a native policy's module.
pub(crate) fn module(name: &str) -> Digest {
    hash("test-module", &[name.as_bytes()])
}

/// The author of all native policies.
pub(crate) fn author() -> KeyId {
    key("author").id()
}

/// Runs native policies.
#[derive(Clone)]
pub(crate) struct Native;

impl Judge for Native {
    fn describe(&self, wanted: &PolicyId) -> Option<(Digest, KeyId, Arc<Description>)> {
        let package = PACKAGES.iter().find(|package| policy(package.name) == *wanted)?;
        let parameter = |(name, value_type): &(&str, ValueType)| Parameter {
            name: (*name).into(),
            value_type: *value_type,
            doc: String::new(),
        };
        let reads = package.name == PEEK;
        let target = ForeignTarget::Parameter("other".into());
        let description = Description {
            abi: dsm_abi::ABI_VERSION,
            name: package.name.into(),
            version: "1.0.0".into(),
            summary: String::new(),
            params: package.params.iter().map(parameter).collect(),
            methods: Vec::new(),
            queries: Vec::new(),
            denials: Vec::new(),
            evidence: vec![
                EvidenceKind::Credential,
                EvidenceKind::HashPreimage,
                EvidenceKind::Attestation,
                EvidenceKind::BridgeProof,
                EvidenceKind::OracleRound,
            ],
            foreign_reads: reads.then_some(ForeignRead { target, policy_index: 0 }).into_iter().collect(),
        };
        Some((module(package.name), author(), Arc::new(description)))
    }

    fn judge(
        &mut self,
        wanted: &PolicyId,
        input: &Input,
        state: &Arc<StateSpace>,
        foreign: &[Arc<StateSpace>],
    ) -> Result<Judgement, NoVerdict> {
        let package = PACKAGES.iter().find(|package| policy(package.name) == *wanted);
        (package.expect("only published policies are asked").behaviour)(input, state, foreign)
    }
}

/// Why a transition went nowhere.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refused {
    Admit(AdmitError),
    Refusal(Refusal),
}

impl Refused {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Refused::Admit(error) => error.code(),
            Refused::Refusal(refusal) => refusal.code(),
        }
    }
}

/// A ledger with its policies and its log.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) genesis: NetworkGenesis,
    pub(crate) ledger: Ledger,
    pub(crate) time_ms: u64,
    pub(crate) log: Vec<Accepted>,
    pub(crate) root: AccountId,
    pub(crate) alice: AccountId,
    pub(crate) bob: AccountId,
    pub(crate) carol: AccountId,
    /// [`SCRIPT`] alone; Alice has 1,000.
    pub(crate) gold: TokenId,
    /// [`SCRIPT`] and [`WATCH`] with limit 5,000, cap 10,000; Alice has 500.
    pub(crate) silver: TokenId,
    /// [`TOLL`] of 1 to root, [`SCRIPT`], [`COUNTER`]; Alice has 300. The second may schedule upgrades.
    pub(crate) copper: TokenId,
    pub(crate) entropy: u64,
}

impl World {
    /// Root, Alice, Bob and Carol; gold, silver and copper.
    pub(crate) fn new() -> World {
        let genesis =
            NetworkGenesis { name: "test".into(), created_ms: 1_000, node: key("node"), salt: [0; 32] };
        let none = AccountId::default();
        let mut world = World {
            ledger: Ledger::new(&genesis),
            genesis,
            time_ms: 1_000,
            log: Vec::new(),
            root: none,
            alice: none,
            bob: none,
            carol: none,
            gold: TokenId::NONE,
            silver: TokenId::NONE,
            copper: TokenId::NONE,
            entropy: 0,
        };
        world.root = world.open("root");
        world.alice = world.open("alice");
        world.bob = world.open("bob");
        world.carol = world.open("carol");
        let publications = [SCRIPT, WATCH, COUNTER, TOLL, PREMINT, PEEK].map(publish).to_vec();
        world.accept(&[world.root], world.ops(world.root, publications));
        world.gold = world.create("GOLD", &[(SCRIPT, vec![])], None);
        world.silver =
            world.create("SILVER", &[(SCRIPT, vec![]), (WATCH, vec![Value::U128(5_000)])], Some(10_000));
        let toll = vec![Value::Account(world.root), Value::U128(1)];
        let upgrades = Some(UpgradeTerms { by: 1, delay_ms: UPGRADE_DELAY_MS });
        let policies = [(TOLL, toll), (SCRIPT, vec![]), (COUNTER, vec![])];
        world.copper = world.create_with("COPPER", &policies, upgrades);
        for (token, amount) in [(world.gold, 1_000), (world.silver, 500), (world.copper, 300)] {
            let mint = OperationKind::Mint { token, to: world.alice, amount };
            world.accept(&[world.root, world.alice], world.ops(world.root, vec![mint]));
        }
        world
    }

    /// The genesis of the account that is named so.
    pub(crate) fn account_genesis(&self, name: &str) -> Genesis {
        Genesis { network: self.ledger.network(), keys: key_set(name), salt: [0; 32] }
    }

    /// Opens an account.
    pub(crate) fn open(&mut self, name: &str) -> AccountId {
        let genesis = self.account_genesis(name);
        let account = genesis.account();
        self.accept(&[account], self.ops(account, vec![OperationKind::CreateAccount { genesis }]));
        account
    }

    /// Creates a token of root's.
    pub(crate) fn create(
        &mut self,
        symbol: &str,
        policies: &[(&str, Vec<Value>)],
        cap: Option<u128>,
    ) -> TokenId {
        let kind = creation(symbol, policies, cap);
        let token = token_of(self.root, &kind);
        self.accept(&[self.root], self.ops(self.root, vec![kind]));
        token
    }

    /// Creates a token of root's whose policies may be replaced.
    pub(crate) fn create_with(
        &mut self,
        symbol: &str,
        policies: &[(&str, Vec<Value>)],
        upgrades: Option<UpgradeTerms>,
    ) -> TokenId {
        let kind = upgradable(symbol, policies, upgrades);
        let token = token_of(self.root, &kind);
        self.accept(&[self.root], self.ops(self.root, vec![kind]));
        token
    }

    /// Operations of one actor.
    pub(crate) fn ops(&self, actor: AccountId, kinds: Vec<OperationKind>) -> Vec<Operation> {
        kinds.into_iter().map(|kind| Operation { actor, kind }).collect()
    }

    /// An unsigned transition on the present heads of `signers`.
    pub(crate) fn draft(&mut self, signers: &[AccountId], operations: Vec<Operation>) -> Transition {
        let head = |account: &AccountId| self.ledger.account(account).map_or(StateId::NONE, |a| a.head());
        let mut parents: Vec<_> = signers.iter().map(|account| (*account, head(account))).collect();
        parents.sort();
        self.entropy += 1;
        Transition {
            network: self.ledger.network(),
            parents,
            operations,
            evidence: Vec::new(),
            valid_from_ms: self.time_ms,
            valid_until_ms: self.time_ms + 60_000,
            memo_digest: Digest::default(),
            entropy: hash("test-entropy", &[&self.entropy.to_le_bytes()]).0,
        }
    }

    /// Signs with the first keys of every signer, as many as its threshold asks for.
    pub(crate) fn sign(&self, transition: Transition) -> SignedTransition {
        sign_as(&self.ledger, transition)
    }

    /// Drafts and signs.
    pub(crate) fn signed(&mut self, signers: &[AccountId], operations: Vec<Operation>) -> SignedTransition {
        let draft = self.draft(signers, operations);
        self.sign(draft)
    }

    /// The whole way of a transition: bytes, verification, judgement, rules, new heads, record.
    pub(crate) fn submit(&mut self, signed: &SignedTransition) -> Result<Applied, Refused> {
        let admit = |error| Refused::Admit(error);
        let signed =
            SignedTransition::decode(&encode(signed)).map_err(|error| Refused::Admit(error.into()))?;
        let verified = signed.verify(self.ledger.network(), &self.ledger, &FastSignatures).map_err(admit)?;
        let approved = self.ledger.judge(verified, self.time_ms, &mut Native).map_err(Refused::Refusal)?;
        let changes = self.ledger.settle(approved).map_err(Refused::Refusal)?;
        let applied = self.ledger.commit(changes);
        self.log.push(Accepted::from(&applied));
        Ok(applied)
    }

    /// Submits what must be accepted.
    pub(crate) fn accept(&mut self, signers: &[AccountId], operations: Vec<Operation>) -> Applied {
        let signed = self.signed(signers, operations);
        self.submit(&signed).expect("must be accepted")
    }

    /// Submits what must be refused, and checks that nothing at all changed.
    pub(crate) fn refuse_signed(&mut self, signed: &SignedTransition) -> Refused {
        let before = fingerprint(&self.ledger);
        let refused = self.submit(signed).map(|applied| applied.transition).expect_err("must be refused");
        assert_eq!(fingerprint(&self.ledger), before, "{refused:?} changed the ledger");
        refused
    }

    /// Drafts, signs and submits what must be refused.
    pub(crate) fn refuse(&mut self, signers: &[AccountId], operations: Vec<Operation>) -> Refused {
        let signed = self.signed(signers, operations);
        self.refuse_signed(&signed)
    }

    /// One actor's operations, signed by it alone, that must be refused.
    pub(crate) fn refuse_one(&mut self, actor: AccountId, kind: OperationKind) -> Refused {
        self.refuse(&[actor], vec![Operation { actor, kind }])
    }

    /// One actor's operation, signed by it alone, that must be accepted.
    pub(crate) fn accept_one(&mut self, actor: AccountId, kind: OperationKind) -> Applied {
        self.accept(&[actor], vec![Operation { actor, kind }])
    }

    /// Puts a hold on Alice's gold for Bob.
    pub(crate) fn hold(&mut self, amount: u128, kind: HoldKind, expires_ms: Option<u64>) -> HoldId {
        let hold = OperationKind::Hold { token: self.gold, amount, beneficiary: self.bob, kind, expires_ms };
        self.accept_one(self.alice, hold).holds[0].id
    }

    /// Whether supply, balances, inbox and holds of every token agree.
    pub(crate) fn check_totals(&self) {
        for (token, _) in self.ledger.tokens() {
            let totals = self.ledger.totals(token);
            assert_eq!(totals.balances.checked_add(totals.inbox), Some(totals.supply), "{token}: {totals:?}");
            assert!(totals.held <= totals.balances, "{token}: {totals:?}");
        }
    }
}

/// Signs `transition` with the first keys of every signer, as many as its threshold asks for.
pub(crate) fn sign_as(keys: &dyn KeyDirectory, transition: Transition) -> SignedTransition {
    let mut signatures = Vec::new();
    for (index, (account, _)) in transition.parents.iter().enumerate() {
        let set = match transition.genesis_of(account) {
            Some(genesis) => genesis.keys.clone(),
            None => match keys.key_set(account) {
                Some((_, set)) => (*set).clone(),
                None => continue,
            },
        };
        let by = transition.signed_by(account);
        for position in 0..set.threshold(by).unwrap_or(0) {
            let (key, _) = set.key(by, position).expect("the threshold fits the set");
            signatures.push(signature(&transition, index as u8, position, key));
        }
    }
    SignedTransition { transition, signatures }
}

/// One signature under `transition`.
pub(crate) fn signature(transition: &Transition, account: u8, position: u8, key: &PublicKey) -> Signature {
    let message = signing_message(key.suite, transition.network, SignKind::Transition, &encode(transition));
    Signature { account, key: position, suite: key.suite, bytes: sign_bytes(key, &message) }
}

/// The operation that creates a token with decimals 2 and a salt made from the symbol.
pub(crate) fn creation(symbol: &str, policies: &[(&str, Vec<Value>)], cap: Option<u128>) -> OperationKind {
    OperationKind::CreateToken {
        policies: policies.iter().map(|(name, _)| policy(name)).collect(),
        params: policies.iter().map(|(_, params)| params.clone()).collect(),
        name: symbol.into(),
        symbol: symbol.into(),
        decimals: 2,
        cap,
        salt: hash("test-salt", &[symbol.as_bytes()]).0,
        upgrades: None,
    }
}

/// The same of a token whose policies may be replaced.
pub(crate) fn upgradable(
    symbol: &str,
    policies: &[(&str, Vec<Value>)],
    terms: Option<UpgradeTerms>,
) -> OperationKind {
    let mut kind = creation(symbol, policies, None);
    if let OperationKind::CreateToken { upgrades, .. } = &mut kind {
        *upgrades = terms;
    }
    kind
}

/// The token that `kind` creates for `issuer`.
pub(crate) fn token_of(issuer: AccountId, kind: &OperationKind) -> TokenId {
    let OperationKind::CreateToken { policies, params, name, symbol, decimals, cap, salt, upgrades } = kind
    else {
        panic!("creates no token");
    };
    let terms = TokenTerms {
        issuer,
        policies: policies.clone(),
        params: params.clone(),
        name: name.clone(),
        symbol: symbol.clone(),
        decimals: *decimals,
        cap: *cap,
        salt: *salt,
        upgrades: *upgrades,
    };
    terms.token()
}

/// The operation that publishes a native policy.
pub(crate) fn publish(name: &str) -> OperationKind {
    OperationKind::Publish { policy: policy(name), module: module(name), author: author() }
}

/// A transfer without a memo.
pub(crate) fn transfer(token: TokenId, to: AccountId, amount: u128) -> OperationKind {
    OperationKind::Transfer { token, to, amount, memo: Vec::new() }
}

/// A call of [`SCRIPT`] at `policy_index` that returns these effects.
pub(crate) fn effects(token: TokenId, policy_index: u8, effects: &[Effect]) -> OperationKind {
    let args = vec![Value::Bytes(encode(&effects.to_vec()))];
    OperationKind::Invoke { token, policy_index, method: "effects".into(), args }
}

/// A call of [`SCRIPT`] at `policy_index` without arguments.
pub(crate) fn invoke(token: TokenId, policy_index: u8, method: &str) -> OperationKind {
    OperationKind::Invoke { token, policy_index, method: method.into(), args: Vec::new() }
}

/// The set by which recovery keys sign.
pub(crate) const RECOVERY: SignedBy = SignedBy::Recovery;

struct HashText(blake3::Hasher);

impl std::fmt::Write for HashText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// A digest of everything that a ledger holds, private parts, tries and consumed evidence included: its whole
/// debug text. Roots are asked for first, so that remembered hashes are the same on both sides.
pub(crate) fn fingerprint(ledger: &Ledger) -> [u8; 32] {
    let mut copy = ledger.clone();
    let (checkpoint, _) = copy.checkpoint(None, 0, Digest::default());
    let mut text = HashText(blake3::Hasher::new());
    write!(text, "{checkpoint:?} {copy:?}").expect("hashing text does not fail");
    *text.0.finalize().as_bytes()
}

/// Bytes written as hex.
pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// A list of entries with one role each.
pub(crate) fn entries(keys: &[PublicKey]) -> Vec<KeyEntry> {
    keys.iter().map(|key| KeyEntry { key: key.clone(), role: 0 }).collect()
}
