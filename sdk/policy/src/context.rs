//! What a policy sees while it judges one leg, and where it leaves its effects.

use crate::abi::{
    AccountId, Action, BridgeId, Digest, Effect, Evidence, Field, ForeignBalance, HoldId, HoldKind, Input,
    KeyId, Leg, NetworkId, Observation, Party, Signer, TokenId, TokenView, Trust,
};
use crate::run::Host;
use crate::wire::fault;
use crate::{State, math};
use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

/// One leg to judge, everything around it, and the effects so far. All values are those before the transition.
pub struct Context<'a> {
    input: &'a Input,
    host: Host<'a>,
    effects: Vec<Effect>,
}

/// A verified credential: claims that an issuer's account signed about a subject.
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
    pub fn leg(&self) -> &'a Leg {
        &self.input.legs[usize::from(self.input.leg)]
    }

    /// The position of the judged leg in [`Context::legs`].
    pub fn leg_index(&self) -> usize {
        usize::from(self.input.leg)
    }

    /// All legs of the transition, the judged one included.
    pub fn legs(&self) -> &'a [Leg] {
        &self.input.legs
    }

    /// The other legs of the transition.
    pub fn siblings(&self) -> impl Iterator<Item = &'a Leg> + use<'a> {
        let own = self.leg_index();
        self.input.legs.iter().enumerate().filter(move |(index, _)| *index != own).map(|(_, leg)| leg)
    }

    /// Whether the other legs together move at least `at_least` base units of `token` from `from` to `to`, by
    /// transfers or by executed holds. The same payment answers every leg that asks for it: a policy that sells
    /// several times in one transition adds up its own legs first.
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
    pub fn foreign_balance(&self, read: u8, account: AccountId) -> Option<&'a ForeignBalance> {
        self.input.foreign.iter().find(|balance| balance.read == read && balance.account == account)
    }

    /// The value at `key` in the policy state of the foreign read declared at position `read`; an undeclared
    /// position is a fault. `None` if the key is absent or its value is not a `T`.
    pub fn foreign_get<T: BorshDeserialize>(&self, read: u8, key: impl AsRef<[u8]>) -> Option<T> {
        self.host.foreign_get(read, key.as_ref()).and_then(|bytes| T::try_from_slice(&bytes).ok())
    }

    /// The policy's state before the transition.
    pub fn state(&self) -> State<'a> {
        State::new(self.host)
    }

    /// The digest of `bytes` by one of [`crate::hash_alg`]; an unknown algorithm is a fault.
    pub fn hash(&self, algorithm: u32, bytes: &[u8]) -> Digest {
        Digest(self.host.hash(algorithm, bytes))
    }

    /// Whether `signature` by `key` over `message` verifies, by one of [`crate::verify_alg`]; an unknown
    /// algorithm is a fault. Expensive: 200,000 fuel.
    pub fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        self.host.verify(algorithm, key, message, signature)
    }

    /// Leaves a note in the trace; it is never part of the verdict.
    pub fn note(&self, code: u32, text: &str) {
        self.host.note(code, text);
    }

    /// Asks to set `key` of this policy's state. Write each key at most once, and from at most one leg of a
    /// transition: two legs that write one key are refused together.
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
    pub fn freeze(&mut self, account: AccountId) {
        self.effects.push(Effect::Freeze { account });
    }

    /// Asks to undo [`Context::freeze`].
    pub fn unfreeze(&mut self, account: AccountId) {
        self.effects.push(Effect::Unfreeze { account });
    }

    /// Adds an entry to the event stream.
    pub fn event(&mut self, topic: impl Into<String>, payload: Vec<u8>) {
        self.effects.push(Effect::Event { topic: topic.into(), payload });
    }

    /// Appends an entry to the outbox: see [`crate::lane`]. The host writes this token, the actor and the transition
    /// into it.
    pub fn emit(&mut self, lane: u32, payload: &[u8]) {
        self.effects.push(Effect::Emit { lane, payload: payload.to_vec() });
    }

    /// Requests new base units for `to`, within the token's cap.
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
