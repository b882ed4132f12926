//! How a transition looks to people: who signed what, what the policies asked for, where the chains stand now.

use crate::api::{
    Amount, BridgeConfigView, CreditView, FieldView, Hex, PolicyCid, TokenStateView, ValueView,
};
use crate::draft::NewToken;
use dsm_abi::{
    AccountId, BridgeId, CreditId, Digest, Effect, Hold, HoldId, HoldKind, KeyId, NetworkId, PolicyId,
    StateId, Suite, TokenId, TransitionId, Value,
};
use dsm_core::{
    Accepted, AccountState, EvidenceProof, Genesis, KeyEntry, KeySet, Operation, OperationKind,
    PolicyEffects, PublicKey, Signature, SignedObservation, UpgradeTerms,
};
use serde::{Deserialize, Serialize};

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Its id: suite and bytes hashed.
    pub key: KeyId,
    /// Its suite.
    pub suite: Suite,
    /// The role that the account gives it; 0 for none.
    pub role: u8,
    /// The raw public key.
    pub public_key: Hex,
}

impl KeyView {
    /// The face of a key with a role.
    pub fn new(key: &PublicKey, role: u8) -> KeyView {
        KeyView { key: key.id(), suite: key.suite, role, public_key: Hex(key.bytes.clone()) }
    }

    /// The key itself.
    pub fn public_key(&self) -> PublicKey {
        PublicKey { suite: self.suite, bytes: self.public_key.0.clone() }
    }
}

/// Keys that can replace an account's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryView {
    /// How many must sign.
    pub threshold: u8,
    /// The keys, in order.
    pub keys: Vec<KeyView>,
}

/// The keys that speak for an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySetView {
    /// The digest of the set.
    pub id: Digest,
    /// How many must sign.
    pub threshold: u8,
    /// The keys, in order: signatures name them by position.
    pub keys: Vec<KeyView>,
    /// Keys kept apart.
    pub recovery: Option<RecoveryView>,
}

impl From<&KeySet> for KeySetView {
    fn from(set: &KeySet) -> KeySetView {
        let entry = |entry: &KeyEntry| KeyView::new(&entry.key, entry.role);
        KeySetView {
            id: set.id(),
            threshold: set.threshold,
            keys: set.keys.iter().map(entry).collect(),
            recovery: set.recovery.as_ref().map(|recovery| RecoveryView {
                threshold: recovery.threshold,
                keys: recovery.keys.iter().map(|key| KeyView::new(key, 0)).collect(),
            }),
        }
    }
}

/// A hold on part of a balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// The hold.
    pub hold: HoldId,
    /// The token.
    pub token: TokenId,
    /// Whose units are held.
    pub owner: AccountId,
    /// Who may release or execute it.
    pub beneficiary: AccountId,
    /// Base units.
    pub amount: Amount,
    /// What the hold permits.
    pub kind: HoldKind,
    /// When it ends by itself, in ms since the Unix epoch.
    pub expires_ms: Option<u64>,
}

impl From<&Hold> for HoldView {
    fn from(hold: &Hold) -> HoldView {
        HoldView {
            hold: hold.id,
            token: hold.token,
            owner: hold.owner,
            beneficiary: hold.beneficiary,
            amount: Amount(hold.amount),
            kind: hold.kind,
            expires_ms: hold.expires_ms,
        }
    }
}

/// One thing that one account did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationView {
    /// The account that acted.
    pub actor: AccountId,
    /// What it did.
    #[serde(flatten)]
    pub kind: OperationKindView,
}

/// What an account did. Amounts are base units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
#[allow(missing_docs)] // field for field the faces of dsm_core::OperationKind, documented there
pub enum OperationKindView {
    /// Opened the acting account.
    CreateAccount { keys: KeySetView, salt: Digest },
    /// Replaced the acting account's keys.
    RotateKeys { keys: KeySetView },
    /// Bound the acting account to a future transition.
    Precommit { shape: Digest, until_ms: u64 },
    /// Replaced the acting account's keys by its recovery keys.
    Recover { keys: KeySetView },
    /// Closed the acting account.
    Revoke,
    /// Made a policy available.
    Publish { policy: PolicyCid, module: Digest, author: KeyId },
    /// Created a token.
    CreateToken {
        token: TokenId,
        policies: Vec<PolicyCid>,
        params: Vec<Vec<ValueView>>,
        name: String,
        symbol: String,
        decimals: u8,
        cap: Option<Amount>,
        salt: Digest,
        upgrades: Option<UpgradeTerms>,
    },
    /// Created units.
    Mint { token: TokenId, to: AccountId, amount: Amount },
    /// Destroyed units.
    Burn { token: TokenId, amount: Amount },
    /// Moved units.
    Transfer { token: TokenId, to: AccountId, amount: Amount, memo: Hex },
    /// Took a credit out of the inbox.
    Claim { credit: CreditId },
    /// Put a hold on units.
    Hold { token: TokenId, amount: Amount, beneficiary: AccountId, kind: HoldKind, expires_ms: Option<u64> },
    /// Ended a hold in the owner's favour.
    Release { hold: HoldId },
    /// Ended a hold by moving the amount to the beneficiary.
    Execute { hold: HoldId },
    /// Called a method of a policy.
    Invoke { token: TokenId, policy_index: u8, method: String, args: Vec<ValueView> },
    /// Made a bridge.
    OpenBridge { bridge: BridgeId, config: BridgeConfigView },
    /// Moved a bridge's trusted set; the headers are in the canonical bytes.
    AdvanceBridge { bridge: BridgeId, headers: usize },
    /// Froze a bridge; the headers are in the canonical bytes.
    ConvictBridge { bridge: BridgeId },
    /// Appended an entry to the outbox.
    Emit { lane: u32, payload: Hex },
    /// Put a scheduled upgrade in force.
    Upgrade { token: TokenId, policy_index: u8 },
}

impl From<&Operation> for OperationView {
    fn from(operation: &Operation) -> OperationView {
        OperationView { actor: operation.actor, kind: kind_view(operation) }
    }
}

fn kind_view(operation: &Operation) -> OperationKindView {
    use OperationKindView as View;
    match operation.kind.clone() {
        OperationKind::CreateAccount { genesis: Genesis { keys, salt, .. } } => {
            View::CreateAccount { keys: (&keys).into(), salt: Digest(salt) }
        }
        OperationKind::RotateKeys { keys } => View::RotateKeys { keys: (&keys).into() },
        OperationKind::Precommit { shape, until_ms } => View::Precommit { shape, until_ms },
        OperationKind::Recover { keys } => View::Recover { keys: (&keys).into() },
        OperationKind::Revoke => View::Revoke,
        OperationKind::Publish { policy, module, author } => {
            View::Publish { policy: PolicyCid(policy), module, author }
        }
        OperationKind::CreateToken { policies, params, name, symbol, decimals, cap, salt, upgrades } => {
            View::CreateToken {
                token: token_of(operation.actor, policies.clone(), salt),
                policies: policies.into_iter().map(PolicyCid).collect(),
                params: params.into_iter().map(values).collect(),
                name,
                symbol,
                decimals,
                cap: cap.map(Amount),
                salt: Digest(salt),
                upgrades,
            }
        }
        OperationKind::Mint { token, to, amount } => View::Mint { token, to, amount: Amount(amount) },
        OperationKind::Burn { token, amount } => View::Burn { token, amount: Amount(amount) },
        OperationKind::Transfer { token, to, amount, memo } => {
            View::Transfer { token, to, amount: Amount(amount), memo: Hex(memo) }
        }
        OperationKind::Claim { credit } => View::Claim { credit },
        OperationKind::Hold { token, amount, beneficiary, kind, expires_ms } => {
            View::Hold { token, amount: Amount(amount), beneficiary, kind, expires_ms }
        }
        OperationKind::Release { hold } => View::Release { hold },
        OperationKind::Execute { hold } => View::Execute { hold },
        OperationKind::Invoke { token, policy_index, method, args } => {
            View::Invoke { token, policy_index, method, args: values(args) }
        }
        OperationKind::OpenBridge { config } => {
            View::OpenBridge { bridge: config.id(), config: (&config).into() }
        }
        OperationKind::AdvanceBridge { bridge, headers } => {
            View::AdvanceBridge { bridge, headers: headers.len() }
        }
        OperationKind::ConvictBridge { bridge, .. } => View::ConvictBridge { bridge },
        OperationKind::Emit { lane, payload } => View::Emit { lane, payload: Hex(payload) },
        OperationKind::Upgrade { token, policy_index } => View::Upgrade { token, policy_index },
    }
}

fn token_of(issuer: AccountId, policies: Vec<PolicyId>, salt: [u8; 32]) -> TokenId {
    NewToken::new(issuer, "", "", policies.into_iter().map(|policy| (policy, Vec::new())).collect())
        .salt(salt)
        .token()
}

fn values(values: Vec<Value>) -> Vec<ValueView> {
    values.into_iter().map(ValueView::from).collect()
}

/// What one policy asked for about one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectsView {
    /// The operation's position, or beyond the last for what a policy itself requested.
    pub leg: u8,
    /// The token.
    pub token: TokenId,
    /// The policy's position in the token's list.
    pub policy_index: u8,
    /// What it asked for.
    pub effects: Vec<EffectView>,
}

/// A change that a policy asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
#[allow(missing_docs)] // field for field the faces of dsm_abi::Effect, documented there
pub enum EffectView {
    /// Set a key of its state.
    SetState { key: Hex, value: Hex },
    /// Deleted a key of its state.
    DeleteState { key: Hex },
    /// Put a hold on a balance.
    CreateHold {
        owner: AccountId,
        beneficiary: AccountId,
        amount: Amount,
        kind: HoldKind,
        expires_ms: Option<u64>,
    },
    /// Moved the end of a hold.
    ExtendHold { hold: HoldId, expires_ms: Option<u64> },
    /// Ended a hold in the owner's favour.
    ReleaseHold { hold: HoldId },
    /// Ended a hold in the beneficiary's favour.
    ExecuteHold { hold: HoldId },
    /// Told the event stream something.
    Event { topic: String, payload: Hex },
    /// Froze an account.
    Freeze { account: AccountId },
    /// Unfroze an account.
    Unfreeze { account: AccountId },
    /// Requested new units.
    Mint { to: AccountId, amount: Amount },
    /// Requested the destruction of units.
    Burn { from: AccountId, amount: Amount },
    /// Requested a movement.
    Transfer { from: AccountId, to: AccountId, amount: Amount },
    /// Appended an entry to the outbox.
    Emit { lane: u32, payload: Hex },
    /// Scheduled another policy for a position of the token's list.
    ScheduleUpgrade { policy_index: u8, policy: PolicyCid, params: Vec<ValueView>, due_ms: u64 },
    /// Took a scheduled upgrade back.
    CancelUpgrade { policy_index: u8 },
}

impl From<&Effect> for EffectView {
    fn from(effect: &Effect) -> EffectView {
        match effect.clone() {
            Effect::SetState { key, value } => EffectView::SetState { key: Hex(key), value: Hex(value) },
            Effect::DeleteState { key } => EffectView::DeleteState { key: Hex(key) },
            Effect::CreateHold { owner, beneficiary, amount, kind, expires_ms } => {
                EffectView::CreateHold { owner, beneficiary, amount: Amount(amount), kind, expires_ms }
            }
            Effect::ExtendHold { hold, expires_ms } => EffectView::ExtendHold { hold, expires_ms },
            Effect::ReleaseHold { hold } => EffectView::ReleaseHold { hold },
            Effect::ExecuteHold { hold } => EffectView::ExecuteHold { hold },
            Effect::Event { topic, payload } => EffectView::Event { topic, payload: Hex(payload) },
            Effect::Freeze { account } => EffectView::Freeze { account },
            Effect::Unfreeze { account } => EffectView::Unfreeze { account },
            Effect::Mint { to, amount } => EffectView::Mint { to, amount: Amount(amount) },
            Effect::Burn { from, amount } => EffectView::Burn { from, amount: Amount(amount) },
            Effect::Transfer { from, to, amount } => {
                EffectView::Transfer { from, to, amount: Amount(amount) }
            }
            Effect::Emit { lane, payload } => EffectView::Emit { lane, payload: Hex(payload) },
            Effect::ScheduleUpgrade { policy_index, policy, params, due_ms } => {
                let (policy, params) = (PolicyCid(policy), values(params));
                EffectView::ScheduleUpgrade { policy_index, policy, params, due_ms }
            }
            Effect::CancelUpgrade { policy_index } => EffectView::CancelUpgrade { policy_index },
        }
    }
}

impl From<&PolicyEffects> for EffectsView {
    fn from(given: &PolicyEffects) -> EffectsView {
        EffectsView {
            leg: given.leg,
            token: given.token,
            policy_index: given.policy_index,
            effects: given.effects.iter().map(EffectView::from).collect(),
        }
    }
}

/// Evidence that came with a transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "evidence", rename_all = "snake_case")]
#[allow(missing_docs)] // the faces of dsm_abi::Evidence, documented there
pub enum EvidenceView {
    /// Claims that an issuer signed about a subject.
    Credential {
        issuer: AccountId,
        subject: AccountId,
        schema: String,
        serial: Digest,
        expires_ms: u64,
        claims: Vec<FieldView>,
    },
    /// The preimage of a digest.
    HashPreimage { algorithm: u32, digest: Digest, preimage: Hex },
    /// A statement that a key signed.
    Attestation { account: AccountId, topic: String, payload: Hex },
    /// A lock in the storage of a bridge's contract.
    Bridge {
        bridge: BridgeId,
        nonce: u64,
        kind: u8,
        asset: Hex,
        sender: Hex,
        token: TokenId,
        recipient: AccountId,
        amount: Amount,
        deadline_ms: u64,
    },
    /// What several accounts observed in a round of a feed.
    OracleRound { feed: Digest, round: u64, decimals: u8, observations: Vec<ObservationView> },
}

/// What one account observed in a round of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservationView {
    /// The account.
    pub account: AccountId,
    /// The key's position in the account's key set.
    pub key_index: u8,
    /// The suite.
    pub suite: Suite,
    /// What it observed, in units of 10^-decimals, as decimal text.
    #[serde(with = "super::text::decimal")]
    pub answer: i128,
    /// When it observed, by its own word, in ms since the Unix epoch.
    pub observed_ms: u64,
}

impl From<&SignedObservation> for ObservationView {
    fn from(given: &SignedObservation) -> ObservationView {
        ObservationView {
            account: given.account,
            key_index: given.key,
            suite: given.suite,
            answer: given.answer,
            observed_ms: given.observed_ms,
        }
    }
}

impl From<&EvidenceProof> for EvidenceView {
    fn from(evidence: &EvidenceProof) -> EvidenceView {
        match evidence.clone() {
            EvidenceProof::Credential(presentation) => {
                let credential = presentation.credential;
                EvidenceView::Credential {
                    issuer: credential.issuer,
                    subject: credential.subject,
                    schema: credential.schema,
                    serial: credential.serial,
                    expires_ms: credential.expires_ms,
                    claims: presentation.disclosed.into_iter().map(|one| one.claim.into()).collect(),
                }
            }
            EvidenceProof::HashPreimage(preimage) => EvidenceView::HashPreimage {
                algorithm: preimage.algorithm,
                digest: preimage.digest,
                preimage: Hex(preimage.preimage),
            },
            EvidenceProof::Attestation { attestation, .. } => EvidenceView::Attestation {
                account: attestation.account,
                topic: attestation.topic,
                payload: Hex(attestation.payload),
            },
            EvidenceProof::Bridge { bridge, proof } => EvidenceView::Bridge {
                bridge,
                nonce: proof.lock.nonce,
                kind: proof.lock.kind as u8,
                asset: Hex(proof.lock.asset.to_vec()),
                sender: Hex(proof.lock.sender.to_vec()),
                token: TokenId(proof.lock.token),
                recipient: AccountId(proof.lock.recipient),
                amount: Amount(proof.lock.amount),
                deadline_ms: proof.lock.deadline_s.saturating_mul(1000),
            },
            EvidenceProof::OracleRound { feed, round, decimals, observations } => EvidenceView::OracleRound {
                feed,
                round,
                decimals,
                observations: observations.iter().map(ObservationView::from).collect(),
            },
        }
    }
}

/// A signer's head before the transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentView {
    /// The signer.
    pub account: AccountId,
    /// Its head before, or zero for an account that the transition created.
    pub state: StateId,
}

/// Who signed; the signature itself is in the canonical bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureView {
    /// The signer.
    pub account: AccountId,
    /// The key's position in the signer's key set, or in its recovery keys.
    pub key_index: u8,
    /// The suite.
    pub suite: Suite,
}

/// An accepted transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionView {
    /// Its id.
    pub transition: TransitionId,
    /// The position of its record in the log.
    pub position: u64,
    /// The time that the sequencer gave it, in ms since the Unix epoch.
    pub time_ms: u64,
    /// The network.
    pub network: NetworkId,
    /// Each signer's head before.
    pub parents: Vec<ParentView>,
    /// Who signed.
    pub signatures: Vec<SignatureView>,
    /// What was done.
    pub operations: Vec<OperationView>,
    /// The evidence that came with it.
    pub evidence: Vec<EvidenceView>,
    /// The first ms at which it could be accepted.
    pub valid_from_ms: u64,
    /// The first ms at which it could no longer be accepted.
    pub valid_until_ms: u64,
    /// The digest of a memo that is kept elsewhere, or zero.
    pub memo_digest: Digest,
    /// What the policies asked for.
    pub effects: Vec<EffectsView>,
    /// The new heads of all accounts that moved.
    pub accounts: Vec<AccountState>,
    /// The new heads of all tokens that moved.
    pub tokens: Vec<TokenStateView>,
    /// Credits that it made.
    pub credits: Vec<CreditView>,
    /// Holds that it made.
    pub holds: Vec<HoldView>,
}

impl TransitionView {
    /// The face of the record at `position`.
    pub fn new(position: u64, accepted: &Accepted) -> TransitionView {
        let body = &accepted.signed.transition;
        let signature = |one: &Signature| {
            let (account, _) = *body.parents.get(usize::from(one.account))?;
            Some(SignatureView { account, key_index: one.key, suite: one.suite })
        };
        TransitionView {
            transition: body.id(),
            position,
            time_ms: accepted.time_ms,
            network: body.network,
            parents: body.parents.iter().map(|&(account, state)| ParentView { account, state }).collect(),
            signatures: accepted.signed.signatures.iter().filter_map(signature).collect(),
            operations: body.operations.iter().map(OperationView::from).collect(),
            evidence: body.evidence.iter().map(EvidenceView::from).collect(),
            valid_from_ms: body.valid_from_ms,
            valid_until_ms: body.valid_until_ms,
            memo_digest: body.memo_digest,
            effects: accepted.effects.iter().map(EffectsView::from).collect(),
            accounts: accepted.accounts.clone(),
            tokens: accepted.tokens.iter().map(TokenStateView::from).collect(),
            credits: accepted.credits.iter().map(CreditView::from).collect(),
            holds: accepted.holds.iter().map(HoldView::from).collect(),
        }
    }

    /// The height to which `account` moved, if it did.
    pub fn height_of(&self, account: &AccountId) -> Option<u64> {
        self.accounts.iter().find(|state| state.account == *account).map(|state| state.height)
    }
}
