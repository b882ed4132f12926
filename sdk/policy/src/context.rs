//! What a policy sees while it judges one leg, and where it leaves its effects.

use crate::abi::{
    AccountId, Action, BridgeId, Digest, Effect, Evidence, Field, ForeignBalance, HoldId, HoldKind, Input,
    KeyId, Leg, NetworkId, Observation, Party, PolicyId, Signer, TokenId, TokenView, Trust, Value,
};
use crate::run::Host;
use crate::wire::fault;
use crate::{State, math};
use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

/// One leg to judge, everything around it, and the effects so far. All values are those before the transition.
///
/// ```
/// use dsm_policy::bench::{Scene, account, sets};
/// use dsm_policy::{Action, Verdict};
///
/// let pay = Action::Transfer { to: account(2), amount: 40, bilateral: false };
/// let scene = Scene::new(vec![]).party(account(1), 50, 50).leg(account(1), pay);
/// let verdict = scene.judge(|context| {
///     let left = context.available(context.actor()) - 40;
///     context.set(b"left", &left);
///     Ok(())
/// });
/// assert_eq!(verdict, Verdict::Accept(vec![sets(b"left", &10_u128)]));
/// ```
pub struct Context<'a> {
    input: &'a Input,
    host: Host<'a>,
    effects: Vec<Effect>,
}

/// A verified credential: claims that an issuer's account signed about a subject.
///
/// ```
/// use dsm_policy::{Credential, Value};
///
/// /// Whether a credential says that its subject lives in `country`.
/// fn lives_in(credential: &Credential<'_>, country: &str) -> bool {
///     let claim = credential.claims.iter().find(|claim| claim.name == "country");
///     credential.schema == "kyc/1" && claim.is_some_and(|claim| claim.value == Value::Text(country.into()))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The account that issued it.
    pub issuer: AccountId,
    /// The account it is about.
    pub subject: AccountId,
    /// The kind of credential, such as `kyc/1`.
    pub schema: &'a str,
    /// The issuer's serial, for revocation.
    pub serial: Digest,
    /// When it ends, in ms since the Unix epoch.
    pub expires_ms: u64,
    /// The disclosed claims.
    pub claims: &'a [Field],
}

/// A verified preimage of a digest.
///
/// ```
/// use dsm_policy::{Context, Digest, hash_alg};
///
/// /// Whether the transition shows the secret behind `lock`.
/// fn opened(context: &Context<'_>, lock: Digest) -> bool {
///     context.preimages().any(|one| one.algorithm == hash_alg::SHA256 && one.digest == lock)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preimage<'a> {
    /// One of [`crate::hash_alg`].
    pub algorithm: u32,
    /// The digest.
    pub digest: Digest,
    /// Hashes to it.
    pub preimage: &'a [u8],
}

/// A verified statement of a key of an account.
///
/// ```
/// use dsm_policy::{AccountId, Context};
///
/// /// Whether the inspector stated that this lot passed.
/// fn passed(context: &Context<'_>, inspector: AccountId, lot: u64) -> bool {
///     context.attestations().any(|one| {
///         one.account == inspector && one.topic == "lot-passed" && one.payload == lot.to_le_bytes()
///     })
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attestation<'a> {
    /// The account whose key signed.
    pub account: AccountId,
    /// The key.
    pub key: KeyId,
    /// The role that the account's key set gives this key.
    pub role: u8,
    /// What the statement is about.
    pub topic: &'a str,
    /// The statement.
    pub payload: &'a [u8],
}

/// A lock that the host has found in the storage of a bridge's contract on an EVM chain. The host demands that the
/// transition answers it: by exactly one mint of its token, recipient and amount before its deadline, by exactly
/// one refund emission from then on. Which bridge to believe is the policy's decision.
///
/// ```
/// use dsm_policy::{BridgeId, Context, Trust};
///
/// /// The amount that a bridge of this policy's choice has locked for this token, if chain seals prove it.
/// fn locked(context: &Context<'_>, bridge: BridgeId) -> Option<u128> {
///     let own = |lock: &dsm_policy::Lock| lock.bridge == bridge && lock.token == context.token().id;
///     context.locks().find(|lock| own(lock) && lock.trust != Trust::Attested).map(|lock| lock.amount)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// The bridge whose trusted set sealed the block.
    pub bridge: BridgeId,
    /// The EVM chain.
    pub chain_id: u64,
    /// The bridge's contract there.
    pub contract: [u8; 20],
    /// The lock's number in that contract.
    pub nonce: u64,
    /// 1 native coin, 2 ERC-20, 3 burn of wrapped units.
    pub kind: u8,
    /// What was locked; zero for the native coin.
    pub asset: [u8; 20],
    /// Who locked it.
    pub sender: [u8; 20],
    /// The token that it is to be credited in.
    pub token: TokenId,
    /// The account that it is to be credited to.
    pub recipient: AccountId,
    /// Base units.
    pub amount: u128,
    /// From then on it is not credited but refunded, in ms since the Unix epoch.
    pub deadline_ms: u64,
    /// What the contract stores for it.
    pub commitment: Digest,
    /// The block under whose state root it was proven.
    pub height: u64,
    /// What the block's finality rests on.
    pub trust: Trust,
}

/// A verified round of a feed: what several accounts signed about one quantity. Who may observe, how many must,
/// how fresh an observation has to be and which round comes next is the policy's decision.
///
/// ```
/// use dsm_policy::Digest;
/// use dsm_policy::bench::{Scene, account};
/// use dsm_policy::math::median;
///
/// let observed = [(account(3), 110, 5), (account(1), 100, 9), (account(2), 104, 7)];
/// let scene = Scene::new(vec![]).round(Digest([1; 32]), 7, 2, &observed);
/// scene.judge(|context| {
///     let round = context.rounds().next().unwrap();
///     assert_eq!((round.round, round.median()), (7, Some(104)));
///     // A policy that trusts two of the three, and wants to know how old the older observation is.
///     let trusted = [account(1), account(3)];
///     assert_eq!(median(&mut round.answers_of(&trusted)), Some(100));
///     assert_eq!(round.by(&trusted).map(|one| one.observed_ms).min(), Some(5));
///     Ok(())
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round<'a> {
    /// The feed.
    pub feed: Digest,
    /// The round's number.
    pub round: u64,
    /// Decimal places of every answer: at most 18.
    pub decimals: u8,
    /// 1 to 16 observations of distinct accounts, in ascending order of them.
    pub observations: &'a [Observation],
}

impl<'a> Round<'a> {
    /// The median of all answers, whoever gave them; of an even count the lower of the two in the middle, so that
    /// the answer is always one that somebody signed. `None` without observations.
    pub fn median(&self) -> Option<i128> {
        let mut answers: Vec<i128> = self.observations.iter().map(|one| one.answer).collect();
        math::median(&mut answers)
    }

    /// The observations of those of `accounts` that observed, in ascending order of accounts.
    pub fn by(&self, accounts: &[AccountId]) -> impl Iterator<Item = &'a Observation> {
        self.observations.iter().filter(move |one| accounts.contains(&one.account))
    }

    /// The answers of those of `accounts` that observed, in ascending order of accounts: give them to
    /// [`math::median`]. Other accounts' answers are left out, however many they are.
    pub fn answers_of(&self, accounts: &[AccountId]) -> Vec<i128> {
        self.by(accounts).map(|one| one.answer).collect()
    }
}

impl<'a> Context<'a> {
    pub(crate) fn new(input: &'a Input, host: Host<'a>) -> Self {
        Context { input, host, effects: Vec::new() }
    }

    pub(crate) fn into_effects(self) -> Vec<Effect> {
        self.effects
    }

    /// The leg to judge.
    ///
    /// ```
    /// use dsm_policy::{Action, bench::{Scene, account}};
    /// let scene = Scene::new(vec![]).leg(account(1), Action::Burn { amount: 5 });
    /// scene.judge(|context| {
    ///     assert_eq!((context.leg().actor, &context.leg().action), (account(1), &Action::Burn { amount: 5 }));
    ///     Ok(())
    /// });
    /// ```
    pub fn leg(&self) -> &'a Leg {
        &self.input.legs[usize::from(self.input.leg)]
    }

    /// The position of the judged leg in [`Context::legs`].
    pub fn leg_index(&self) -> usize {
        usize::from(self.input.leg)
    }

    /// All legs of the transition, the judged one included.
    ///
    /// ```
    /// use dsm_policy::{Action, bench::{Scene, account}};
    /// let scene = Scene::new(vec![]).leg(account(1), Action::Burn { amount: 5 }).leg(account(2), Action::Other);
    /// scene.judge(|context| {
    ///     assert_eq!((context.legs().len(), context.leg_index()), (2, 0));
    ///     Ok(())
    /// });
    /// ```
    pub fn legs(&self) -> &'a [Leg] {
        &self.input.legs
    }

    /// The other legs of the transition.
    ///
    /// ```
    /// use dsm_policy::{Action, bench::{Scene, account}};
    /// let scene = Scene::new(vec![]).leg(account(1), Action::Burn { amount: 5 }).leg(account(2), Action::Other);
    /// scene.judge(|context| {
    ///     assert_eq!(context.siblings().map(|leg| leg.actor).collect::<Vec<_>>(), [account(2)]);
    ///     Ok(())
    /// });
    /// ```
    pub fn siblings(&self) -> impl Iterator<Item = &'a Leg> + use<'a> {
        let own = self.leg_index();
        self.input.legs.iter().enumerate().filter(move |(index, _)| *index != own).map(|(_, leg)| leg)
    }

    /// Whether the other legs together move at least `at_least` base units of `token` from `from` to `to`, by
    /// transfers or by executed holds. The same payment answers every leg that asks for it: a policy that sells
    /// several times in one transition adds up its own legs first.
    ///
    /// ```
    /// use dsm_policy::{Action, TokenId, bench::{Scene, account}};
    /// let cash = TokenId([0xca; 32]);
    /// let deliver = Action::Transfer { to: account(2), amount: 1, bilateral: true };
    /// let pay = Action::Transfer { to: account(1), amount: 990, bilateral: true };
    /// let scene = Scene::new(vec![]).leg(account(1), deliver).leg_of(cash, account(2), pay);
    /// scene.judge(|context| {
    ///     assert!(context.sibling_pays(cash, account(2), account(1), 990));
    ///     assert!(!context.sibling_pays(cash, account(2), account(1), 991));
    ///     Ok(())
    /// });
    /// ```
    pub fn sibling_pays(&self, token: TokenId, from: AccountId, to: AccountId, at_least: u128) -> bool {
        let paid =
            self.siblings().filter(|leg| leg.token == token).try_fold(0, |paid, leg| match &leg.action {
                Action::Transfer { to: payee, amount, .. } if leg.actor == from && *payee == to => {
                    math::add(paid, *amount)
                }
                Action::Execute { hold } if hold.owner == from && hold.beneficiary == to => {
                    math::add(paid, hold.amount)
                }
                _ => Ok(paid),
            });
        paid.is_ok_and(|paid| paid >= at_least)
    }

    /// The account that acts in the judged leg.
    pub fn actor(&self) -> AccountId {
        self.leg().actor
    }

    /// The time that the sequencer gave this transition, in ms since the Unix epoch.
    ///
    /// ```
    /// use dsm_policy::bench::Scene;
    /// Scene::new(vec![]).at(1_900_000_000_000).judge(|context| {
    ///     assert_eq!(context.time_ms() / 86_400_000, 21_990); // days since the Unix epoch, UTC
    ///     Ok(())
    /// });
    /// ```
    pub fn time_ms(&self) -> u64 {
        self.input.time_ms
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        self.input.network
    }

    /// The token whose policy this is.
    pub fn token(&self) -> &'a TokenView {
        &self.input.token
    }

    /// The position of this policy in the token's list.
    pub fn policy_index(&self) -> u8 {
        self.input.policy_index
    }

    /// The position of `account` in this token, if the judged leg names the account.
    ///
    /// ```
    /// use dsm_policy::{Action, bench::{Scene, account}};
    /// let scene = Scene::new(vec![]).party(account(1), 50, 20).leg(account(1), Action::Burn { amount: 5 });
    /// scene.judge(|context| {
    ///     let party = context.party(account(1)).unwrap();
    ///     assert_eq!((party.balance, party.available, party.frozen), (50, 20, false));
    ///     assert!(context.party(account(9)).is_none());
    ///     Ok(())
    /// });
    /// ```
    pub fn party(&self, account: AccountId) -> Option<&'a Party> {
        self.input.parties.iter().find(|party| party.account == account)
    }

    /// Base units that `account` owns and that are not held; 0 if the judged leg does not name it.
    pub fn available(&self, account: AccountId) -> u128 {
        self.party(account).map_or(0, |party| party.available)
    }

    /// The accounts that signed, with their verified keys.
    pub fn signers(&self) -> &'a [Signer] {
        &self.input.signers
    }

    /// Whether `account` signed.
    ///
    /// ```
    /// use dsm_policy::bench::{Scene, account, key};
    /// let scene = Scene::new(vec![]).signed(account(1), &[key(1), key(2)]).signed(account(2), &[key(3)]);
    /// scene.judge(|context| {
    ///     assert!(context.signed(account(1)) && !context.signed(account(9)));
    ///     // Two of three keys of a board, and one of two accounts: a key or account that stands twice counts once.
    ///     assert_eq!(context.signed_by_keys(&[key(1), key(3), key(9), key(1)]), 2);
    ///     assert_eq!(context.signed_by_accounts(&[account(2), account(9), account(2)]), 1);
    ///     assert_eq!((context.signed_in_role(account(1), 0), context.signed_in_role(account(1), 7)), (2, 0));
    ///     Ok(())
    /// });
    /// ```
    pub fn signed(&self, account: AccountId) -> bool {
        self.input.signers.iter().any(|signer| signer.account == account)
    }

    /// How many distinct keys of `keys` signed, whichever accounts they belong to.
    pub fn signed_by_keys(&self, keys: &[KeyId]) -> u64 {
        let signed = |key: &KeyId| self.input.signers.iter().any(|s| s.keys.iter().any(|k| k.key == *key));
        let mut count = 0;
        for (index, key) in keys.iter().enumerate() {
            if !keys[..index].contains(key) && signed(key) {
                count += 1;
            }
        }
        count
    }

    /// How many distinct accounts of `accounts` signed.
    pub fn signed_by_accounts(&self, accounts: &[AccountId]) -> u64 {
        let mut count = 0;
        for (index, account) in accounts.iter().enumerate() {
            if !accounts[..index].contains(account) && self.signed(*account) {
                count += 1;
            }
        }
        count
    }

    /// How many keys of `account` that its key set gives the role `role` signed. Roles are numbers that an account
    /// gives its own keys; what they mean is between the account and the policy.
    pub fn signed_in_role(&self, account: AccountId, role: u8) -> u64 {
        let signers = self.input.signers.iter().filter(|signer| signer.account == account);
        signers.flat_map(|signer| &signer.keys).filter(|key| key.role == role).count() as u64
    }

    /// The verified credentials that came with the transition.
    pub fn credentials(&self) -> impl Iterator<Item = Credential<'a>> + use<'a> {
        self.input.evidence.iter().filter_map(|evidence| match evidence {
            Evidence::Credential { issuer, subject, schema, serial, expires_ms, claims } => {
                Some(Credential {
                    issuer: *issuer,
                    subject: *subject,
                    schema,
                    serial: *serial,
                    expires_ms: *expires_ms,
                    claims,
                })
            }
            _ => None,
        })
    }

    /// The verified preimages that came with the transition.
    pub fn preimages(&self) -> impl Iterator<Item = Preimage<'a>> + use<'a> {
        self.input.evidence.iter().filter_map(|evidence| match evidence {
            Evidence::HashPreimage { algorithm, digest, preimage } => {
                Some(Preimage { algorithm: *algorithm, digest: *digest, preimage })
            }
            _ => None,
        })
    }

    /// The verified statements that came with the transition.
    pub fn attestations(&self) -> impl Iterator<Item = Attestation<'a>> + use<'a> {
        self.input.evidence.iter().filter_map(|evidence| match evidence {
            Evidence::Attestation { account, key, role, topic, payload } => {
                Some(Attestation { account: *account, key: *key, role: *role, topic, payload })
            }
            _ => None,
        })
    }

    /// The verified rounds of feeds that came with the transition.
    pub fn rounds(&self) -> impl Iterator<Item = Round<'a>> + use<'a> {
        self.input.evidence.iter().filter_map(|evidence| match evidence {
            Evidence::OracleRound { feed, round, decimals, observations } => {
                Some(Round { feed: *feed, round: *round, decimals: *decimals, observations })
            }
            _ => None,
        })
    }

    /// The proven locks that came with the transition.
    pub fn locks(&self) -> impl Iterator<Item = Lock> + use<'a> {
        self.input.evidence.iter().filter_map(|evidence| match *evidence {
            Evidence::BridgeProof {
                bridge,
                chain_id,
                contract,
                nonce,
                kind,
                asset,
                sender,
                token,
                recipient,
                amount,
                deadline_ms,
                commitment,
                height,
                trust,
            } => Some(Lock {
                bridge,
                chain_id,
                contract,
                nonce,
                kind,
                asset,
                sender,
                token,
                recipient,
                amount,
                deadline_ms,
                commitment,
                height,
                trust,
            }),
            _ => None,
        })
    }

    /// The balance of `account` in the token of the foreign read declared at position `read`.
    ///
    /// ```
    /// use dsm_policy::abi::ForeignBalance;
    /// use dsm_policy::bench::{Scene, StateMap, account};
    /// use dsm_policy::TokenId;
    /// // In the attribute of the policy: `foreign = [(shares, 0)]`.
    /// let shares = ForeignBalance {
    ///     read: 0,
    ///     token: TokenId([5; 32]),
    ///     account: account(1),
    ///     balance: 700,
    ///     available: 600,
    /// };
    /// let state = StateMap::from([(b"rate".to_vec(), 3_u64.to_le_bytes().to_vec())]);
    /// let scene = Scene::new(vec![]).foreign_balance(shares).foreign_state(state);
    /// scene.judge(|context| {
    ///     assert_eq!(context.foreign_balance(0, account(1)).map(|found| found.available), Some(600));
    ///     assert_eq!(context.foreign_get::<u64>(0, b"rate"), Some(3));
    ///     Ok(())
    /// });
    /// ```
    pub fn foreign_balance(&self, read: u8, account: AccountId) -> Option<&'a ForeignBalance> {
        self.input.foreign.iter().find(|balance| balance.read == read && balance.account == account)
    }

    /// The value at `key` in the policy state of the foreign read declared at position `read`; an undeclared
    /// position is a fault. `None` if the key is absent or its value is not a `T`.
    pub fn foreign_get<T: BorshDeserialize>(&self, read: u8, key: impl AsRef<[u8]>) -> Option<T> {
        self.host.foreign_get(read, key.as_ref()).and_then(|bytes| T::try_from_slice(&bytes).ok())
    }

    /// The policy's state before the transition.
    ///
    /// ```
    /// use dsm_policy::{Key, bench::Scene};
    /// let key = |day: u64| Key::new(b'd').number(day);
    /// let scene = Scene::new(vec![]).state(key(1), &10_u128).state(key(2), &20_u128).state(b"x", &0_u8);
    /// scene.judge(|context| {
    ///     assert_eq!(context.state().get::<u128>(key(2)), Some(20));
    ///     assert!(!context.state().has(key(3)));
    ///     // All entries below `d` after the first, in the order of their keys; each counts as one of 64 reads.
    ///     let later = context.state().scan::<u128>(b"d", key(1).as_ref(), 10);
    ///     assert_eq!(later, [(key(2).as_ref().to_vec(), 20)]);
    ///     Ok(())
    /// });
    /// ```
    pub fn state(&self) -> State<'a> {
        State::new(self.host)
    }

    /// The digest of `bytes` by one of [`crate::hash_alg`]; an unknown algorithm is a fault.
    ///
    /// ```
    /// use dsm_policy::{Context, Digest, hash_alg};
    ///
    /// /// What was promised: the digest of an offer's terms and its number.
    /// fn promised(context: &Context<'_>, terms: &[u8], number: u64) -> Digest {
    ///     context.hash(hash_alg::BLAKE3, &[terms, &number.to_le_bytes()].concat())
    /// }
    /// ```
    pub fn hash(&self, algorithm: u32, bytes: &[u8]) -> Digest {
        Digest(self.host.hash(algorithm, bytes))
    }

    /// Whether `signature` by `key` over `message` verifies, by one of [`crate::verify_alg`]; an unknown
    /// algorithm is a fault. Expensive: 200,000 fuel.
    ///
    /// ```
    /// use dsm_policy::{Context, verify_alg};
    ///
    /// /// Whether a station's Ed25519 key signed this reading. Evidence of kind `Attestation` is cheaper where the
    /// /// signer has an account: the host has verified it before the policy runs.
    /// fn measured(context: &Context<'_>, station: &[u8; 32], reading: &[u8], signature: &[u8]) -> bool {
    ///     context.verify(verify_alg::ED25519, station, reading, signature)
    /// }
    /// ```
    pub fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        self.host.verify(algorithm, key, message, signature)
    }

    /// Leaves a note in the trace; it is never part of the verdict.
    ///
    /// ```
    /// use dsm_policy::bench::Scene;
    /// Scene::new(vec![]).judge(|context| {
    ///     context.note(1, "source 4 was nearest to its limit");
    ///     Ok(())
    /// });
    /// ```
    pub fn note(&self, code: u32, text: &str) {
        self.host.note(code, text);
    }

    /// Asks to set `key` of this policy's state. Write each key at most once, and from at most one leg of a
    /// transition: two legs that write one key are refused together.
    ///
    /// ```
    /// use dsm_policy::bench::{Scene, deletes, sets};
    /// use dsm_policy::Verdict;
    /// let verdict = Scene::new(vec![]).judge(|context| {
    ///     context.set(b"round", &7_u64);
    ///     context.delete(b"offer");
    ///     Ok(())
    /// });
    /// assert_eq!(verdict, Verdict::Accept(vec![sets(b"round", &7_u64), deletes(b"offer")]));
    /// ```
    pub fn set<T: BorshSerialize>(&mut self, key: impl AsRef<[u8]>, value: &T) {
        let (key, mut bytes) = (key.as_ref().to_vec(), Vec::new());
        if value.serialize(&mut bytes).is_err() {
            fault("a value has no encoding");
        }
        self.effects.push(Effect::SetState { key, value: bytes });
    }

    /// Asks to delete `key` of this policy's state; an absent key stays absent.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        let key = key.as_ref().to_vec();
        self.effects.push(Effect::DeleteState { key });
    }

    /// Asks that `account` can no longer send or receive this token.
    ///
    /// ```
    /// use dsm_policy::bench::{Scene, account};
    /// use dsm_policy::{Effect, Verdict};
    /// let verdict = Scene::new(vec![]).judge(|context| {
    ///     context.freeze(account(1));
    ///     context.unfreeze(account(2));
    ///     Ok(())
    /// });
    /// let (barred, free) = (Effect::Freeze { account: account(1) }, Effect::Unfreeze { account: account(2) });
    /// assert_eq!(verdict, Verdict::Accept(vec![barred, free]));
    /// ```
    pub fn freeze(&mut self, account: AccountId) {
        self.effects.push(Effect::Freeze { account });
    }

    /// Asks to undo [`Context::freeze`].
    pub fn unfreeze(&mut self, account: AccountId) {
        self.effects.push(Effect::Unfreeze { account });
    }

    /// Adds an entry to the event stream.
    ///
    /// ```
    /// use dsm_policy::bench::Scene;
    /// Scene::new(vec![]).judge(|context| {
    ///     context.event("settled", 990_u128.to_le_bytes().to_vec());
    ///     context.emit(dsm_policy::lane::EVM, b"for contracts on an EVM chain");
    ///     Ok(())
    /// });
    /// ```
    pub fn event(&mut self, topic: impl Into<String>, payload: Vec<u8>) {
        self.effects.push(Effect::Event { topic: topic.into(), payload });
    }

    /// Appends an entry to the outbox: see [`crate::lane`]. The host writes this token, the actor and the transition
    /// into it.
    pub fn emit(&mut self, lane: u32, payload: &[u8]) {
        self.effects.push(Effect::Emit { lane, payload: payload.to_vec() });
    }

    /// Schedules `policy` with `params` for position `policy_index` of the token's list, which may be this policy's
    /// own. From `due_ms`, in ms since the Unix epoch, anybody may put it in force; then it must accept the state that
    /// it finds: [`crate::Upgrade`].
    ///
    /// The host refuses the transition with `effect_not_permitted` unless the token's terms name this policy's
    /// position for upgrades, `due_ms` is at least their delay after [`Context::time_ms`], and nothing waits at the
    /// position yet: [`Context::cancel_upgrade`] is another transition. It refuses with `unknown_policy_index` a
    /// position beyond the list, with `policy_missing` a policy that is not published, and with `parameter_count` or
    /// `bad_parameter` parameters that do not fit the policy's description, whose order they have.
    ///
    /// ```
    /// use dsm_policy::bench::{START_MS, Scene};
    /// use dsm_policy::{Effect, PolicyId, Value, Verdict};
    /// let (day_ms, next) = (86_400_000, PolicyId([7; 32]));
    /// let verdict = Scene::new(vec![]).judge(|context| {
    ///     let due_ms = context.time_ms() + 7 * day_ms;
    ///     context.schedule_upgrade(context.policy_index(), next, vec![Value::U64(5)], due_ms);
    ///     Ok(())
    /// });
    /// let params = vec![Value::U64(5)];
    /// let due_ms = START_MS + 7 * day_ms;
    /// let scheduled = Effect::ScheduleUpgrade { policy_index: 0, policy: next, params, due_ms };
    /// assert_eq!(verdict, Verdict::Accept(vec![scheduled]));
    /// ```
    pub fn schedule_upgrade(&mut self, policy_index: u8, policy: PolicyId, params: Vec<Value>, due_ms: u64) {
        self.effects.push(Effect::ScheduleUpgrade { policy_index, policy, params, due_ms });
    }

    /// Takes the upgrade back that waits for position `policy_index`, due or not. The host refuses the transition with
    /// `effect_not_permitted` if none waits there, or if the token's terms name another policy's position for
    /// upgrades.
    ///
    /// ```
    /// use dsm_policy::bench::Scene;
    /// use dsm_policy::{Effect, Verdict};
    /// let verdict = Scene::new(vec![]).judge(|context| {
    ///     context.cancel_upgrade(1);
    ///     Ok(())
    /// });
    /// assert_eq!(verdict, Verdict::Accept(vec![Effect::CancelUpgrade { policy_index: 1 }]));
    /// ```
    pub fn cancel_upgrade(&mut self, policy_index: u8) {
        self.effects.push(Effect::CancelUpgrade { policy_index });
    }

    /// Requests new base units for `to`, within the token's cap.
    ///
    /// ```
    /// use dsm_policy::bench::{Scene, account};
    /// // A fee of 3 that goes to the treasury, whatever else the leg does. The host refuses the transition if the payer
    /// // did not sign or has not enough.
    /// Scene::new(vec![]).judge(|context| {
    ///     context.request_transfer(account(1), account(9), 3);
    ///     context.request_mint(account(9), 1);
    ///     context.request_burn(account(1), 1);
    ///     Ok(())
    /// });
    /// ```
    pub fn request_mint(&mut self, to: AccountId, amount: u128) {
        self.effects.push(Effect::Mint { to, amount });
    }

    /// Requests the destruction of available units of `from`, which must have signed.
    pub fn request_burn(&mut self, from: AccountId, amount: u128) {
        self.effects.push(Effect::Burn { from, amount });
    }

    /// Requests a movement of available units of `from`, which must have signed.
    pub fn request_transfer(&mut self, from: AccountId, to: AccountId, amount: u128) {
        self.effects.push(Effect::Transfer { from, to, amount });
    }

    /// Requests a hold on available units of `owner`, which must have signed.
    ///
    /// ```
    /// use dsm_policy::bench::{Scene, account, START_MS};
    /// use dsm_policy::{HoldId, HoldKind};
    /// let hour_ms = 3_600_000;
    /// Scene::new(vec![]).judge(|context| {
    ///     context.request_hold(account(1), account(2), 500, HoldKind::Escrow, Some(START_MS + hour_ms));
    ///     // Holds that exist are named by their ids.
    ///     context.request_extend(HoldId([1; 32]), Some(START_MS + 2 * hour_ms));
    ///     context.request_release(HoldId([2; 32]));
    ///     context.request_execute(HoldId([3; 32]));
    ///     Ok(())
    /// });
    /// ```
    pub fn request_hold(
        &mut self,
        owner: AccountId,
        beneficiary: AccountId,
        amount: u128,
        kind: HoldKind,
        expires_ms: Option<u64>,
    ) {
        self.effects.push(Effect::CreateHold { owner, beneficiary, amount, kind, expires_ms });
    }

    /// Requests a later end for a hold of this token, or none.
    pub fn request_extend(&mut self, hold: HoldId, expires_ms: Option<u64>) {
        self.effects.push(Effect::ExtendHold { hold, expires_ms });
    }

    /// Requests the end of a hold of this token in the owner's favour.
    pub fn request_release(&mut self, hold: HoldId) {
        self.effects.push(Effect::ReleaseHold { hold });
    }

    /// Requests the end of a hold of this token by moving the amount to the beneficiary.
    pub fn request_execute(&mut self, hold: HoldId) {
        self.effects.push(Effect::ExecuteHold { hold });
    }
}
