//! The native test bench: build an input, run a policy on its encoded bytes, compare with what is expected.
//!
//! A [`Case`] is plain data. A policy crate exports `cases()`, its own tests check them natively, and the host's
//! tests replay the same cases with the WASM module and demand the same verdict bytes.

use crate::abi::{
    AccountId, Action, Answer, Digest, Effect, Evidence, ForeignBalance, Input, KeyId, Leg, NetworkId,
    Observation, Party, ReadState, SignedKey, Signer, TokenId, TokenView, Value, Verdict, ViewInput, decode,
    encode, limit,
};
pub use crate::abi::{Call, Expected, StateMap};
use crate::run::{Policy, evaluate, view};
use crate::{Context, Outcome, View};
use alloc::{borrow::ToOwned, format, string::String, vec, vec::Vec};
use core::cell::RefCell;

pub use crate::native::serve;

/// The host functions as the native side reaches them.
pub trait Calls {
    /// As `dsm1.state_get`.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
    /// As `dsm1.state_scan`.
    fn scan(&self, prefix: &[u8], after: &[u8], limit: u32) -> Vec<(Vec<u8>, Vec<u8>)>;
    /// As `dsm1.foreign_get`.
    fn foreign_get(&self, read: u8, key: &[u8]) -> Option<Vec<u8>>;
    /// As `dsm1.hash`.
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> [u8; 32];
    /// As `dsm1.verify`.
    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> bool;
    /// As `dsm1.note`.
    fn note(&self, code: u32, text: &str);
}

/// Hashes and signatures for policies that ask for them. The bench has none of its own.
///
/// ```
/// use dsm_policy::bench::{Bench, Cryptography};
///
/// /// Digests that a test can see through, and signatures that are always good.
/// struct Plain;
///
/// impl Cryptography for Plain {
///     fn hash(&self, _: u32, bytes: &[u8]) -> [u8; 32] {
///         core::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0))
///     }
///     fn verify(&self, _: u32, _: &[u8], _: &[u8], _: &[u8]) -> bool {
///         true
///     }
/// }
///
/// let mut bench = Bench::default();
/// bench.cryptography = Some(&Plain);
/// ```
pub trait Cryptography {
    /// The digest of `bytes` by one of [`crate::hash_alg`].
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> [u8; 32];
    /// Whether `signature` verifies, by one of [`crate::verify_alg`].
    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> bool;
}

/// State in memory, notes kept, cryptography as given.
///
/// ```
/// # use dsm_policy::{Context, Denials, Outcome, Params, Transfer, ensure, policy};
/// #
/// # #[derive(Params)]
/// # struct Limit {
/// #     /// Base units that one transfer may move.
/// #     max: u128,
/// # }
/// #
/// # #[derive(Clone, Copy, Denials)]
/// # enum Denied {
/// #     /// The transfer moves more than the limit.
/// #     OverLimit = 100,
/// # }
/// #
/// # #[policy(name = "limit", summary = "Limits every transfer.", denials = Denied)]
/// # impl Limit {
/// #     fn transfer(&self, _: &mut Context<'_>, transfer: Transfer) -> Outcome {
/// #         ensure(transfer.amount <= self.max, Denied::OverLimit)
/// #     }
/// # }
/// use dsm_policy::abi::Input;
/// use dsm_policy::bench::{Bench, Call, Scene, account};
/// use dsm_policy::{Action, Effect, Value, Verdict};
///
/// let pay = Action::Transfer { to: account(2), amount: 5, bilateral: false };
/// let case = Scene::new(vec![Value::U128(10)]).leg(account(1), pay).accepts("small", vec![]);
/// let Call::Evaluate(input) = &case.call else { unreachable!() };
/// let bench = Bench::default();
/// assert_eq!(bench.evaluate::<Limit>(input).0, Verdict::Accept(vec![]));
/// ```
#[derive(Default)]
pub struct Bench<'a> {
    /// The policy's state.
    pub state: StateMap,
    /// The policy states of the declared foreign reads, by position.
    pub foreign: Vec<StateMap>,
    /// Answers `hash` and `verify`; without it, a policy that asks panics.
    pub cryptography: Option<&'a dyn Cryptography>,
    pub(crate) notes: RefCell<Vec<(u32, String)>>,
}

impl Bench<'_> {
    /// The verdict of `P`, through its encoded bytes, with the bytes.
    pub fn evaluate<P: Policy>(&self, input: &Input) -> (Verdict, Vec<u8>) {
        let bytes = evaluate::<P>(&encode(input), self);
        (decode(&bytes, limit::OUTPUT_BYTES_MAX).expect("a policy answers within the output limit"), bytes)
    }

    /// The answer of `P`, through its encoded bytes, with the bytes.
    pub fn view<P: Policy>(&self, input: &ViewInput) -> (Answer, Vec<u8>) {
        let bytes = view::<P>(&encode(input), self);
        (decode(&bytes, limit::OUTPUT_BYTES_MAX).expect("a policy answers within the output limit"), bytes)
    }

    /// Applies the writes of an accepted verdict to the state; other effects are the host's.
    pub fn apply(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::SetState { key, value } => {
                    self.state.insert(key.clone(), value.clone());
                }
                Effect::DeleteState { key } => {
                    self.state.remove(key);
                }
                _ => {}
            }
        }
    }

    /// Takes the notes left so far.
    pub fn take_notes(&self) -> Vec<(u32, String)> {
        self.notes.take()
    }

    fn cryptography(&self) -> &dyn Cryptography {
        self.cryptography.expect("this policy uses cryptography: set `Bench::cryptography`")
    }
}

impl Calls for Bench<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        ReadState::get(&self.state, key).map(<[u8]>::to_vec)
    }

    fn scan(&self, prefix: &[u8], after: &[u8], limit: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        let entries = ReadState::scan(&self.state, prefix, after, limit as usize);
        entries.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    fn foreign_get(&self, read: u8, key: &[u8]) -> Option<Vec<u8>> {
        let state = self.foreign.get(usize::from(read)).expect("an undeclared foreign read is a fault");
        ReadState::get(state, key).map(<[u8]>::to_vec)
    }

    fn hash(&self, algorithm: u32, bytes: &[u8]) -> [u8; 32] {
        self.cryptography().hash(algorithm, bytes)
    }

    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        self.cryptography().verify(algorithm, key, message, signature)
    }

    fn note(&self, code: u32, text: &str) {
        self.notes.borrow_mut().push((code, text.to_owned()));
    }
}

/// One call of a policy and what must come of it.
///
/// ```
/// # use dsm_policy::{Context, Denials, Outcome, Params, Transfer, ensure, policy};
/// #
/// # #[derive(Params)]
/// # struct Limit {
/// #     /// Base units that one transfer may move.
/// #     max: u128,
/// # }
/// #
/// # #[derive(Clone, Copy, Denials)]
/// # enum Denied {
/// #     /// The transfer moves more than the limit.
/// #     OverLimit = 100,
/// # }
/// #
/// # #[policy(name = "limit", summary = "Limits every transfer.", denials = Denied)]
/// # impl Limit {
/// #     fn transfer(&self, _: &mut Context<'_>, transfer: Transfer) -> Outcome {
/// #         ensure(transfer.amount <= self.max, Denied::OverLimit)
/// #     }
/// # }
/// use dsm_policy::bench::{Case, Scene, account, uncovered};
/// use dsm_policy::{Action, Value};
///
/// let pay = |amount| Action::Transfer { to: account(2), amount, bilateral: false };
/// let token = || Scene::new(vec![Value::U128(10)]);
/// let cases: Vec<Case> = vec![
///     token().leg(account(1), pay(10)).accepts("up to the limit", vec![]),
///     token().leg(account(1), pay(11)).refuses("over the limit", Denied::OverLimit),
/// ];
/// for case in &cases {
///     case.check::<Limit>().unwrap();
/// }
/// assert!(uncovered::<Limit>(&cases).is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// One line for people.
    pub name: String,
    /// The policy's state before the call.
    pub state: StateMap,
    /// The policy states of the declared foreign reads, by position.
    pub foreign: Vec<StateMap>,
    /// The call.
    pub call: Call,
    /// What must come of it.
    pub expected: Expected,
}

impl Case {
    /// Runs the case natively and gives the encoded verdict or answer.
    ///
    /// # Errors
    /// A sentence that names the case, what was expected and what came.
    pub fn check<P: Policy>(&self) -> Result<Vec<u8>, String> {
        let bench = Bench { state: self.state.clone(), foreign: self.foreign.clone(), ..Bench::default() };
        let bytes = match &self.call {
            Call::Evaluate(input) => bench.evaluate::<P>(input).1,
            Call::View(input) => bench.view::<P>(input).1,
        };
        self.compare(&bytes).map(|()| bytes)
    }

    /// Compares an encoded verdict or answer, from wherever it comes, with what is expected.
    ///
    /// # Errors
    /// As [`Case::check`].
    pub fn compare(&self, bytes: &[u8]) -> Result<(), String> {
        let malformed = |error| format!("{}: {error}", self.name);
        let came = match &self.call {
            Call::Evaluate(_) => match decode(bytes, limit::OUTPUT_BYTES_MAX).map_err(malformed)? {
                Verdict::Accept(effects) => Ok(Expected::Accept(effects)),
                Verdict::Reject(denial) => Err(denial),
            },
            Call::View(_) => match decode(bytes, limit::OUTPUT_BYTES_MAX).map_err(malformed)? {
                Answer::Fields(fields) => Ok(Expected::Answer(fields)),
                Answer::Reject(denial) => Err(denial),
            },
        };
        match (&self.expected, came) {
            (Expected::Reject(code), Err(denial)) if denial.code == *code => Ok(()),
            (expected, Ok(came)) if *expected == came => Ok(()),
            (expected, came) => Err(format!("{}: expected {expected:?}, came {came:?}", self.name)),
        }
    }
}

/// The policy's own denial codes that no case provokes and the methods and queries that no case calls
/// successfully, by name.
pub fn uncovered<P: Policy>(cases: &[Case]) -> Vec<String> {
    let description = P::description();
    let called = |case: &Case, name: &str| match &case.call {
        Call::Evaluate(input) => matches!(
            &input.legs[usize::from(input.leg)].action,
            Action::Invoke { method, .. } if method == name
        ),
        Call::View(input) => input.query == name,
    };
    let denials = description.denials.iter().filter(|denial| denial.code >= 100);
    let unprovoked = denials
        .filter(|denial| !cases.iter().any(|case| case.expected == Expected::Reject(denial.code)))
        .map(|denial| denial.name.clone());
    let uncalled = description
        .methods
        .iter()
        .chain(&description.queries)
        .filter(|m| {
            !cases.iter().any(|case| called(case, &m.name) && !matches!(case.expected, Expected::Reject(_)))
        })
        .map(|m| m.name.clone());
    unprovoked.chain(uncalled).collect()
}

/// The token that a [`Scene`] judges.
pub const TOKEN: TokenId = TokenId([0x70; 32]);
/// The account that created [`TOKEN`].
pub const ISSUER: AccountId = AccountId([0x15; 32]);
/// The time of a new [`Scene`]: the start of 2030 in UTC, in ms.
pub const START_MS: u64 = 1_893_456_000_000;

/// The `n`-th test account.
pub const fn account(n: u8) -> AccountId {
    AccountId([n; 32])
}

/// The `n`-th test key.
pub const fn key(n: u8) -> KeyId {
    KeyId([n; 32])
}

/// A situation from which cases are made. Each step returns the changed scene, so variants share a beginning.
///
/// ```
/// use dsm_policy::bench::{Scene, account, key};
/// use dsm_policy::{Action, Value};
///
/// // A token with one parameter, an account with 50 units of which 20 are free, and its owner's signature.
/// let scene = Scene::new(vec![Value::U64(7)])
///     .party(account(1), 50, 20)
///     .signed(account(1), &[key(1)])
///     .leg(account(1), Action::Burn { amount: 5 });
/// // Variants share the beginning.
/// let later = scene.clone().at(dsm_policy::bench::START_MS + 60_000);
/// assert!(later.judge(|context| { assert!(context.signed(account(1))); Ok(()) }) == scene.judge(|_| Ok(())));
/// ```
#[derive(Debug, Clone)]
pub struct Scene {
    input: Input,
    state: StateMap,
    foreign: Vec<StateMap>,
}

impl Scene {
    /// [`TOKEN`] with these parameters, 1,000,000 units, no legs, nobody has signed, no state.
    pub fn new(params: Vec<Value>) -> Self {
        let token =
            TokenView { id: TOKEN, height: 1, issuer: ISSUER, supply: 1_000_000, cap: None, decimals: 2 };
        Scene {
            input: Input {
                abi: crate::abi::ABI_VERSION,
                policy_index: 0,
                leg: 0,
                time_ms: START_MS,
                network: NetworkId([0xD5; 32]),
                token,
                legs: vec![],
                signers: vec![],
                parties: vec![],
                params,
                evidence: vec![],
                foreign: vec![],
            },
            state: StateMap::new(),
            foreign: vec![],
        }
    }

    /// Changes anything in the input.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Input)) -> Self {
        change(&mut self.input);
        self
    }

    /// The time of the transition, in ms since the Unix epoch.
    #[must_use]
    pub fn at(self, time_ms: u64) -> Self {
        self.with(|input| input.time_ms = time_ms)
    }

    /// An account that signed, with these keys.
    #[must_use]
    pub fn signed(self, account: AccountId, keys: &[KeyId]) -> Self {
        let keys = keys.iter().map(|key| SignedKey { key: *key, role: 0 }).collect();
        self.with(|input| input.signers.push(Signer { account, keys }))
    }

    /// The position of an account in [`TOKEN`], in base units.
    #[must_use]
    pub fn party(self, account: AccountId, balance: u128, available: u128) -> Self {
        self.with(|input| {
            input.parties.push(Party { account, balance, available, frozen: false, holds: vec![] });
        })
    }

    /// Adds a leg of [`TOKEN`]; the first added is the judged one.
    #[must_use]
    pub fn leg(self, actor: AccountId, action: Action) -> Self {
        self.leg_of(TOKEN, actor, action)
    }

    /// Adds a leg of any token.
    #[must_use]
    pub fn leg_of(self, token: TokenId, actor: AccountId, action: Action) -> Self {
        self.with(|input| input.legs.push(Leg { token, actor, action }))
    }

    /// Adds a call of a method of this policy.
    #[must_use]
    pub fn invoke(self, actor: AccountId, method: &str, args: Vec<Value>) -> Self {
        let policy_index = self.input.policy_index;
        self.leg(actor, Action::Invoke { policy_index, method: method.to_owned(), args })
    }

    /// Adds verified evidence.
    #[must_use]
    pub fn evidence(self, evidence: Evidence) -> Self {
        self.with(|input| input.evidence.push(evidence))
    }

    /// Adds a verified round of a feed: for each account what it answered and when, in ms since the Unix epoch, put
    /// into the order that the host demands. Each account signs with the key of its own bytes, in role 0.
    #[must_use]
    pub fn round(self, feed: Digest, round: u64, decimals: u8, answers: &[(AccountId, i128, u64)]) -> Self {
        let observed = |&(account, answer, observed_ms): &(AccountId, i128, u64)| Observation {
            account,
            key: KeyId(account.0),
            role: 0,
            answer,
            observed_ms,
        };
        let mut observations: Vec<Observation> = answers.iter().map(observed).collect();
        observations.sort_by_key(|one| one.account);
        self.evidence(Evidence::OracleRound { feed, round, decimals, observations })
    }

    /// Adds a balance in the token of a foreign read.
    #[must_use]
    pub fn foreign_balance(self, balance: ForeignBalance) -> Self {
        self.with(|input| input.foreign.push(balance))
    }

    /// Sets a value of the policy's state.
    #[must_use]
    pub fn state<T: borsh::BorshSerialize>(mut self, key: impl AsRef<[u8]>, value: &T) -> Self {
        self.state.insert(key.as_ref().to_vec(), encode(value));
        self
    }

    /// Applies the writes of an accepted verdict to the policy's state.
    #[must_use]
    pub fn after(mut self, effects: &[Effect]) -> Self {
        let mut bench = Bench { state: self.state, ..Bench::default() };
        bench.apply(effects);
        self.state = bench.state;
        self
    }

    /// The next foreign read's state.
    #[must_use]
    pub fn foreign_state(mut self, state: StateMap) -> Self {
        self.foreign.push(state);
        self
    }

    /// Judges by a function instead of a policy: for trying a part of a policy alone. The scene's legs may be empty
    /// if the part does not ask for them.
    pub fn judge(&self, part: impl FnOnce(&mut Context<'_>) -> Outcome) -> Verdict {
        let bench = self.bench();
        let mut context = Context::new(&self.input, &bench);
        match part(&mut context) {
            Ok(()) => Verdict::Accept(context.into_effects()),
            Err(deny) => Verdict::Reject(deny.into_denial()),
        }
    }

    /// Asks by a function instead of a policy's query.
    ///
    /// ```
    /// use dsm_policy::bench::Scene;
    /// let count = Scene::new(vec![]).state(b"n", &3_u64).look(|view| view.state().get::<u64>(b"n"));
    /// assert_eq!(count, Some(3));
    /// ```
    pub fn look<T>(&self, part: impl FnOnce(&View<'_>) -> T) -> T {
        let Input { abi, policy_index, time_ms, network, token, params, .. } = self.input.clone();
        let (query, args) = (String::new(), vec![]);
        let input = ViewInput { abi, policy_index, time_ms, network, token, params, query, args };
        let bench = self.bench();
        part(&View::new(&input, &bench))
    }

    fn bench(&self) -> Bench<'_> {
        Bench { state: self.state.clone(), foreign: self.foreign.clone(), ..Bench::default() }
    }

    /// The judged leg must be accepted with exactly these effects.
    pub fn accepts(self, name: &str, effects: Vec<Effect>) -> Case {
        self.case(name, Expected::Accept(effects))
    }

    /// The judged leg must be refused with this code.
    pub fn refuses(self, name: &str, denied: impl crate::Denials) -> Case {
        self.case(name, Expected::Reject(denied.code()))
    }

    /// A query must answer exactly these values.
    pub fn answers(self, name: &str, query: &str, args: Vec<Value>, fields: crate::Fields) -> Case {
        self.query(name, query, args, Expected::Answer(fields.into_vec()))
    }

    /// A query must be refused with this code.
    pub fn refuses_query(
        self,
        name: &str,
        query: &str,
        args: Vec<Value>,
        denied: impl crate::Denials,
    ) -> Case {
        self.query(name, query, args, Expected::Reject(denied.code()))
    }

    fn query(self, name: &str, query: &str, args: Vec<Value>, expected: Expected) -> Case {
        let Input { abi, policy_index, time_ms, network, token, params, .. } = self.input;
        let query = query.to_owned();
        let call = Call::View(ViewInput { abi, policy_index, time_ms, network, token, params, query, args });
        Case { name: name.to_owned(), state: self.state, foreign: self.foreign, call, expected }
    }

    fn case(self, name: &str, expected: Expected) -> Case {
        let call = Call::Evaluate(self.input);
        Case { name: name.to_owned(), state: self.state, foreign: self.foreign, call, expected }
    }
}

/// The effect of [`crate::Context::set`].
///
/// ```
/// use dsm_policy::bench::{deletes, sets};
/// use dsm_policy::Effect;
/// assert_eq!(sets(b"n", &5_u16), Effect::SetState { key: b"n".to_vec(), value: vec![5, 0] });
/// assert_eq!(deletes(b"n"), Effect::DeleteState { key: b"n".to_vec() });
/// ```
pub fn sets<T: borsh::BorshSerialize>(key: impl AsRef<[u8]>, value: &T) -> Effect {
    Effect::SetState { key: key.as_ref().to_vec(), value: encode(value) }
}

/// The effect of [`crate::Context::delete`].
pub fn deletes(key: impl AsRef<[u8]>) -> Effect {
    Effect::DeleteState { key: key.as_ref().to_vec() }
}
