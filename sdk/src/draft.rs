//! Transition drafts: what accounts are about to sign, and the signatures that make it ready to submit.
//!
//! A draft is put together from heads that the caller read somewhere; whoever signs decides what to believe.
//! Time and randomness arrive as arguments, so equal calls make equal transitions.
//!
//! Left out on purpose: whether a key belongs to an account, whether a head is current, what a policy will say.
//! The node checks all of that; see [`dsm_crypto::LastSigned`] for the record that a wallet keeps before it signs.

use dsm_abi::{
    AccountId, BridgeId, CreditId, Digest, Field, HoldId, HoldKind, NetworkId, PolicyId, StateId, TokenId,
    Value, encode,
};
use dsm_core::{
    Advance, Attestation, BridgeConfig, Credential, CredentialPresentation, EvidenceProof, EvmLockProof,
    FinalHeader, Genesis, KeyEntry, KeySet, ObservationStatement, Operation, OperationKind, PublicKey,
    ShapeError, SignKind, Signature, SignedObservation, SignedTransition, TokenTerms, Transition,
    UpgradeTerms, block_message, claims_tree, signing_message,
};
use dsm_crypto::{SignError, Signer};

/// How long a transition stays valid if the caller has no reason for another window, in ms: ten minutes.
pub const VALID_MS: u64 = 10 * 60 * 1000;
/// How far before the caller's clock the window of [`Window::around`] begins, in ms, for nodes whose clock is behind.
const CLOCK_SKEW_MS: u64 = 60 * 1000;

/// When a transition may be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first ms at which it may be accepted, since the Unix epoch.
    pub from_ms: u64,
    /// The first ms at which it may no longer be accepted.
    pub until_ms: u64,
}

impl Window {
    /// From a minute before `now_ms` to [`VALID_MS`] after it.
    pub const fn around(now_ms: u64) -> Window {
        Window { from_ms: now_ms.saturating_sub(CLOCK_SKEW_MS), until_ms: now_ms.saturating_add(VALID_MS) }
    }
}

/// Why a draft is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The transition would be refused by anyone.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A signature was asked of an account that the draft does not name as a signer.
    #[error("{0} is not a signer of this transition")]
    NotSigner(AccountId),
    /// One key of one account was given twice.
    #[error("key {key} of {account} signs twice")]
    SignsTwice {
        /// The account.
        account: AccountId,
        /// The key's position.
        key: u8,
    },
    /// A signature could not be made.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl DraftError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            DraftError::Shape(error) => error.code(),
            DraftError::NotSigner(_) => "not_signer",
            DraftError::SignsTwice { .. } => "signature_order",
            DraftError::Sign(_) => "sign_failed",
        }
    }
}

/// A transition that is being put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    transition: Transition,
}

impl Draft {
    /// An empty draft. `entropy` must be unpredictable: it keeps relationship tips so.
    pub fn new(network: NetworkId, window: Window, entropy: [u8; 32]) -> Draft {
        Draft {
            transition: Transition {
                network,
                parents: Vec::new(),
                operations: Vec::new(),
                evidence: Vec::new(),
                valid_from_ms: window.from_ms,
                valid_until_ms: window.until_ms,
                memo_digest: Digest::default(),
                entropy,
            },
        }
    }

    /// Names an account that signs, with its head. Naming it again replaces the head.
    #[must_use]
    pub fn signer(mut self, account: AccountId, head: StateId) -> Draft {
        let parents = &mut self.transition.parents;
        match parents.binary_search_by_key(&account, |(account, _)| *account) {
            Ok(index) => parents[index].1 = head,
            Err(index) => parents.insert(index, (account, head)),
        }
        self
    }

    /// Appends what `actor` does; the actor must be named as a signer.
    #[must_use]
    pub fn operation(mut self, actor: AccountId, kind: OperationKind) -> Draft {
        self.transition.operations.push(Operation { actor, kind });
        self
    }

    /// Opens the account of `genesis`, which signs with the keys that it begins with.
    #[must_use]
    pub fn open(self, genesis: Genesis) -> Draft {
        let account = genesis.account();
        self.signer(account, StateId::NONE).operation(account, OperationKind::CreateAccount { genesis })
    }

    /// Appends a transfer of base units.
    #[must_use]
    pub fn transfer(self, from: AccountId, token: TokenId, to: AccountId, amount: u128) -> Draft {
        self.operation(from, OperationKind::Transfer { token, to, amount, memo: Vec::new() })
    }

    /// Appends the creation of base units.
    #[must_use]
    pub fn mint(self, minter: AccountId, token: TokenId, to: AccountId, amount: u128) -> Draft {
        self.operation(minter, OperationKind::Mint { token, to, amount })
    }

    /// Appends the claim of a credit.
    #[must_use]
    pub fn claim(self, recipient: AccountId, credit: CreditId) -> Draft {
        self.operation(recipient, OperationKind::Claim { credit })
    }

    /// Appends a hold on base units of `owner`.
    #[must_use]
    pub fn hold(
        self,
        owner: AccountId,
        token: TokenId,
        amount: u128,
        beneficiary: AccountId,
        kind: HoldKind,
        expires_ms: Option<u64>,
    ) -> Draft {
        self.operation(owner, OperationKind::Hold { token, amount, beneficiary, kind, expires_ms })
    }

    /// Appends the end of a hold in its owner's favour.
    #[must_use]
    pub fn release(self, actor: AccountId, hold: HoldId) -> Draft {
        self.operation(actor, OperationKind::Release { hold })
    }

    /// Appends the call of a method of the token's policy at `policy_index`.
    #[must_use]
    pub fn invoke(
        self,
        actor: AccountId,
        token: TokenId,
        policy_index: u8,
        method: &str,
        args: Vec<Value>,
    ) -> Draft {
        let method = method.to_owned();
        self.operation(actor, OperationKind::Invoke { token, policy_index, method, args })
    }

    /// Appends the opening of a bridge.
    #[must_use]
    pub fn open_bridge(self, actor: AccountId, config: BridgeConfig) -> Draft {
        self.operation(actor, OperationKind::OpenBridge { config })
    }

    /// Appends headers that move a bridge's trusted set.
    #[must_use]
    pub fn advance_bridge(self, actor: AccountId, bridge: BridgeId, headers: Vec<Advance>) -> Draft {
        self.operation(actor, OperationKind::AdvanceBridge { bridge, headers })
    }

    /// Appends two headers of one height, which freeze a bridge for good.
    #[must_use]
    pub fn convict_bridge(self, actor: AccountId, bridge: BridgeId, a: FinalHeader, b: FinalHeader) -> Draft {
        self.operation(actor, OperationKind::ConvictBridge { bridge, a, b })
    }

    /// Appends the credit of a proven lock: the mint of its token to its recipient, and the proof. Where the token's
    /// policy has to choose between equal locks, call its method `credit` instead.
    #[must_use]
    pub fn credit_lock(self, actor: AccountId, bridge: BridgeId, proof: EvmLockProof) -> Draft {
        let (token, to) = (TokenId(proof.lock.token), AccountId(proof.lock.recipient));
        let amount = proof.lock.amount;
        self.mint(actor, token, to, amount).evidence(EvidenceProof::Bridge { bridge, proof })
    }

    /// Appends the refund of a proven lock whose deadline has passed, by the policy `wrapped` at `policy_index`.
    #[must_use]
    pub fn refund_lock(
        self,
        actor: AccountId,
        policy_index: u8,
        bridge: BridgeId,
        proof: EvmLockProof,
    ) -> Draft {
        let (token, nonce) = (TokenId(proof.lock.token), proof.lock.nonce);
        self.invoke(actor, token, policy_index, "refund", vec![Value::U64(nonce)])
            .evidence(EvidenceProof::Bridge { bridge, proof })
    }

    /// Appends a withdrawal to an address on the EVM, by the policy `wrapped` at `policy_index`.
    #[must_use]
    pub fn withdraw(
        self,
        actor: AccountId,
        token: TokenId,
        policy_index: u8,
        to: [u8; 20],
        amount: u128,
    ) -> Draft {
        let args = vec![Value::Bytes(to.to_vec()), Value::U128(amount)];
        self.invoke(actor, token, policy_index, "withdraw", args)
    }

    /// Appends an entry of the acting account to the outbox.
    #[must_use]
    pub fn emit(self, actor: AccountId, lane: u32, payload: Vec<u8>) -> Draft {
        self.operation(actor, OperationKind::Emit { lane, payload })
    }

    /// Appends evidence for the policies.
    #[must_use]
    pub fn evidence(mut self, evidence: EvidenceProof) -> Draft {
        self.transition.evidence.push(evidence);
        self
    }

    /// The digest of a memo that is kept elsewhere.
    #[must_use]
    pub fn memo_digest(mut self, digest: Digest) -> Draft {
        self.transition.memo_digest = digest;
        self
    }

    /// What would be signed.
    pub fn transition(&self) -> &Transition {
        &self.transition
    }

    /// Signs with each of `signers`: an account, one of its keys, and that key's position in the account's key set
    /// (in its recovery keys for `Recover` and `Revoke`).
    ///
    /// # Errors
    /// [`DraftError`]; no signature is made of a transition that anyone would refuse for its shape.
    pub fn sign_with(self, signers: &[(AccountId, &dyn Signer, u8)]) -> Result<SignedTransition, DraftError> {
        self.transition.check_shape()?;
        let mut signed = SignedTransition { transition: self.transition, signatures: Vec::new() };
        let body = encode(&signed.transition);
        for &(account, signer, key) in signers {
            let parents = &signed.transition.parents;
            let index = parents.binary_search_by_key(&account, |(account, _)| *account);
            let index = index.map_err(|_| DraftError::NotSigner(account))? as u8;
            let place = signed.signatures.binary_search_by_key(&(index, key), |one| (one.account, one.key));
            let Err(place) = place else { return Err(DraftError::SignsTwice { account, key }) };
            let suite = signer.suite();
            let message = signing_message(suite, signed.transition.network, SignKind::Transition, &body);
            let bytes = signer.sign(&message)?;
            signed.signatures.insert(place, Signature { account: index, key, suite, bytes });
        }
        Ok(signed)
    }
}

/// The public half of a signer.
pub fn public_key(signer: &dyn Signer) -> PublicKey {
    PublicKey { suite: signer.suite(), bytes: signer.public_key().to_vec() }
}

/// Keys of which `threshold` must sign, with the role of each.
pub fn key_set(keys: impl IntoIterator<Item = (PublicKey, u8)>, threshold: u8) -> KeySet {
    let keys = keys.into_iter().map(|(key, role)| KeyEntry { key, role }).collect();
    KeySet { keys, threshold, recovery: None }
}

/// A token to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its terms; the issuer is the acting account.
    pub terms: TokenTerms,
}

impl NewToken {
    /// A token of `issuer` under `policies`, each with its parameters.
    pub fn new(
        issuer: AccountId,
        symbol: &str,
        name: &str,
        policies: Vec<(PolicyId, Vec<Value>)>,
    ) -> NewToken {
        let (policies, params) = policies.into_iter().unzip();
        let (name, symbol) = (name.to_owned(), symbol.to_owned());
        let (decimals, cap, salt, upgrades) = (0, None, [0; 32], None);
        NewToken {
            terms: TokenTerms { issuer, policies, params, name, symbol, decimals, cap, salt, upgrades },
        }
    }

    /// Sets the decimal places of the display unit.
    #[must_use]
    pub fn decimals(mut self, decimals: u8) -> NewToken {
        self.terms.decimals = decimals;
        self
    }

    /// Sets the base units that may ever exist at once.
    #[must_use]
    pub fn cap(mut self, cap: Option<u128>) -> NewToken {
        self.terms.cap = cap;
        self
    }

    /// Keeps tokens of one issuer under the same policies apart.
    #[must_use]
    pub fn salt(mut self, salt: [u8; 32]) -> NewToken {
        self.terms.salt = salt;
        self
    }

    /// Lets the policy at position `by` replace the token's policies, each time after `delay_ms` that everybody can
    /// see pass. A token without it keeps its policies for good.
    #[must_use]
    pub fn upgrades(mut self, by: u8, delay_ms: u64) -> NewToken {
        self.terms.upgrades = Some(UpgradeTerms { by, delay_ms });
        self
    }

    /// The id that the token will have.
    pub fn token(&self) -> TokenId {
        self.terms.token()
    }

    /// The operation that creates it.
    pub fn operation(self) -> OperationKind {
        let TokenTerms { issuer: _, policies, params, name, symbol, decimals, cap, salt, upgrades } =
            self.terms;
        OperationKind::CreateToken { policies, params, name, symbol, decimals, cap, salt, upgrades }
    }
}

/// What an issuer says about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialTerms {
    /// The account that issues it.
    pub issuer: AccountId,
    /// The account it is about.
    pub subject: AccountId,
    /// The kind of credential, such as `kyc/1`, at most 64 bytes.
    pub schema: String,
    /// The issuer's serial, for revocation.
    pub serial: Digest,
    /// When it ends, in ms since the Unix epoch.
    pub expires_ms: u64,
    /// The claims, each with random bytes that hide it while it is not disclosed.
    pub claims: Vec<(Field, [u8; 16])>,
}

/// Issues a credential: the presentation that discloses every claim. Its subject drops from `disclosed` what it
/// does not want to show.
///
/// # Errors
/// [`SignError`].
pub fn issue(
    network: NetworkId,
    terms: CredentialTerms,
    signer: &dyn Signer,
    key: u8,
) -> Result<CredentialPresentation, SignError> {
    let (claims_root, disclosed) = claims_tree(&terms.claims);
    let credential = Credential {
        issuer: terms.issuer,
        subject: terms.subject,
        schema: terms.schema,
        serial: terms.serial,
        expires_ms: terms.expires_ms,
        claims: terms.claims.len() as u16,
        claims_root,
    };
    let suite = signer.suite();
    let message = signing_message(suite, network, SignKind::Credential, &encode(&credential));
    let signature = signer.sign(&message)?;
    Ok(CredentialPresentation { credential, key, suite, signature, disclosed })
}

/// Signs a statement for one transition of somebody to carry.
///
/// # Errors
/// [`SignError`].
pub fn attest(
    network: NetworkId,
    attestation: Attestation,
    signer: &dyn Signer,
    key: u8,
) -> Result<EvidenceProof, SignError> {
    let suite = signer.suite();
    let message = signing_message(suite, network, SignKind::Attestation, &encode(&attestation));
    let signature = signer.sign(&message)?;
    Ok(EvidenceProof::Attestation { attestation, key, suite, signature })
}

/// Signs what an account observed in a round of a feed, for somebody to put into [`oracle_round`].
///
/// # Errors
/// [`SignError`].
pub fn observe(
    network: NetworkId,
    statement: &ObservationStatement,
    signer: &dyn Signer,
    key: u8,
) -> Result<SignedObservation, SignError> {
    let suite = signer.suite();
    let message = signing_message(suite, network, SignKind::Observation, &encode(statement));
    let signature = signer.sign(&message)?;
    let ObservationStatement { account, answer, observed_ms, .. } = *statement;
    Ok(SignedObservation { account, key, suite, signature, answer, observed_ms })
}

/// Puts observations of one round into the order in which they travel. The node refuses more than 16, two of one
/// account, and signatures over another feed, round or number of decimals.
pub fn oracle_round(
    feed: Digest,
    round: u64,
    decimals: u8,
    mut observations: Vec<SignedObservation>,
) -> EvidenceProof {
    observations.sort_by_key(|one| one.account);
    EvidenceProof::OracleRound { feed, round, decimals, observations }
}

/// States that a block of an EVM chain is final, as a key of a bridge's attestors.
///
/// # Errors
/// [`SignError`].
pub fn attest_block(
    network: NetworkId,
    bridge: BridgeId,
    block_hash: [u8; 32],
    signer: &dyn Signer,
) -> Result<Vec<u8>, SignError> {
    signer.sign(&block_message(network, &public_key(signer), bridge, block_hash))
}

/// The parameters of the policy `wrapped`.
pub fn wrapped_params(
    bridge: BridgeId,
    home: u64,
    asset: [u8; 20],
    chain_id: u64,
    contract: [u8; 20],
) -> Vec<Value> {
    vec![
        Value::Digest(Digest(bridge.0)),
        Value::U64(home),
        Value::Bytes(asset.to_vec()),
        Value::U64(chain_id),
        Value::Bytes(contract.to_vec()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsm_core::{KeySetId, NetworkGenesis};
    use dsm_crypto::{SecretKey, Verifier};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    struct Keys(BTreeMap<AccountId, KeySet>);

    impl dsm_core::KeyDirectory for Keys {
        fn key_set(&self, account: &AccountId) -> Option<(KeySetId, Arc<KeySet>)> {
            self.0.get(account).map(|keys| (keys.id(), Arc::new(keys.clone())))
        }
    }

    fn key(seed: u8) -> SecretKey {
        SecretKey::ml_dsa_65(&[seed; 32]).unwrap()
    }

    fn network() -> NetworkId {
        let node = public_key(&key(99));
        NetworkGenesis { name: "test".into(), created_ms: 0, node, salt: [0; 32] }.network()
    }

    fn draft() -> Draft {
        Draft::new(network(), Window::around(1_000_000), [7; 32])
    }

    #[test]
    fn signatures_are_sorted_and_verify_whatever_the_order_of_signers() {
        let (one, two, three) = (key(1), key(2), key(3));
        let board = key_set([(public_key(&one), 1), (public_key(&two), 2)], 2);
        let genesis = Genesis { network: network(), keys: board, salt: [1; 32] };
        let account = genesis.account();
        let other = AccountId([0x55; 32]);
        let mut keys = BTreeMap::new();
        keys.insert(other, KeySet::single(public_key(&three)));
        let draft = draft().open(genesis).signer(other, StateId([9; 32])).transfer(
            other,
            TokenId([3; 32]),
            account,
            5,
        );
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let all: [(AccountId, &dyn Signer, u8); 3] =
                [(account, &one, 0), (account, &two, 1), (other, &three, 0)];
            let signers = order.map(|index| all[index]);
            let signed = draft.clone().sign_with(&signers).unwrap();
            let verified = signed.verify(network(), &Keys(keys.clone()), &Verifier::new()).unwrap();
            assert_eq!(verified.signers().len(), 2);
        }
    }

    #[test]
    fn a_draft_that_anyone_would_refuse_is_not_signed() {
        let signer = key(1);
        let (account, stranger) = (AccountId([1; 32]), AccountId([2; 32]));
        let head = StateId([1; 32]);
        let zero = draft().signer(account, head).transfer(account, TokenId([3; 32]), stranger, 0);
        assert_eq!(zero.sign_with(&[(account, &signer, 0)]).unwrap_err().code(), "zero_amount");
        let fine = draft().signer(account, head).transfer(account, TokenId([3; 32]), stranger, 1);
        let error = fine.clone().sign_with(&[(stranger, &signer, 0)]).unwrap_err();
        assert_eq!(error, DraftError::NotSigner(stranger));
        let error = fine.sign_with(&[(account, &signer, 0), (account, &signer, 0)]).unwrap_err();
        assert_eq!(error, DraftError::SignsTwice { account, key: 0 });
    }

    #[test]
    fn an_issued_credential_verifies_with_any_part_of_its_claims() {
        let (issuer_key, subject_key) = (key(1), key(2));
        let (issuer, subject) = (AccountId([1; 32]), AccountId([2; 32]));
        let claim = |name: &str, value: Value| (Field { name: name.into(), value }, [name.len() as u8; 16]);
        let terms = CredentialTerms {
            issuer,
            subject,
            schema: "kyc/1".into(),
            serial: Digest([5; 32]),
            expires_ms: 2_000_000,
            claims: vec![
                claim("country", Value::Text("LU".into())),
                claim("level", Value::U64(2)),
                claim("name", Value::Text("Alice".into())),
            ],
        };
        let presentation = issue(network(), terms, &issuer_key, 0).unwrap();
        let mut keys = BTreeMap::new();
        keys.insert(issuer, KeySet::single(public_key(&issuer_key)));
        keys.insert(subject, KeySet::single(public_key(&subject_key)));
        let admit = |presentation: CredentialPresentation| {
            draft()
                .signer(subject, StateId([9; 32]))
                .transfer(subject, TokenId([3; 32]), issuer, 1)
                .evidence(EvidenceProof::Credential(presentation))
                .sign_with(&[(subject, &subject_key, 0)])
                .unwrap()
                .verify(network(), &Keys(keys.clone()), &Verifier::new())
        };
        admit(presentation.clone()).unwrap();
        let mut fewer = presentation.clone();
        fewer.disclosed.retain(|one| one.claim.name == "level");
        admit(fewer).unwrap();
        let mut altered = presentation;
        altered.disclosed[1].claim.value = Value::U64(3);
        assert_eq!(admit(altered).unwrap_err().code(), "bad_evidence");
    }

    #[test]
    fn an_attestation_verifies_under_the_network_it_was_made_for() {
        let (oracle, holder) = (key(1), key(2));
        let (account, actor) = (AccountId([1; 32]), AccountId([2; 32]));
        let mut keys = BTreeMap::new();
        keys.insert(account, KeySet::single(public_key(&oracle)));
        keys.insert(actor, KeySet::single(public_key(&holder)));
        for (signed_for, expected) in [(network(), None), (NetworkId([1; 32]), Some("bad_evidence"))] {
            let statement =
                Attestation { account, topic: "price".into(), payload: vec![1, 2], nonce: [3; 32] };
            let evidence = attest(signed_for, statement, &oracle, 0).unwrap();
            let result = draft()
                .signer(actor, StateId([9; 32]))
                .transfer(actor, TokenId([3; 32]), account, 1)
                .evidence(evidence)
                .sign_with(&[(actor, &holder, 0)])
                .unwrap()
                .verify(network(), &Keys(keys.clone()), &Verifier::new());
            assert_eq!(result.err().map(|error| error.code()), expected);
        }
    }

    #[test]
    fn a_round_verifies_in_whatever_order_its_observations_were_collected() {
        let (holder, actor) = (key(9), AccountId([9; 32]));
        let mut keys = BTreeMap::from([(actor, KeySet::single(public_key(&holder)))]);
        let observed: Vec<SignedObservation> = [3, 1, 2]
            .into_iter()
            .map(|n: u8| {
                let (account, signer) = (AccountId([n; 32]), key(n));
                keys.insert(account, KeySet::single(public_key(&signer)));
                let (feed, answer) = (dsm_core::feed_id("EUR/USD"), i128::from(n));
                let statement =
                    ObservationStatement { account, feed, round: 7, decimals: 4, answer, observed_ms: 5 };
                observe(network(), &statement, &signer, 0).unwrap()
            })
            .collect();
        for (round, expected) in [(7, None), (8, Some("bad_evidence"))] {
            let evidence = oracle_round(dsm_core::feed_id("EUR/USD"), round, 4, observed.clone());
            let result = draft()
                .signer(actor, StateId([9; 32]))
                .transfer(actor, TokenId([3; 32]), AccountId([1; 32]), 1)
                .evidence(evidence)
                .sign_with(&[(actor, &holder, 0)])
                .unwrap()
                .verify(network(), &Keys(keys.clone()), &Verifier::new());
            assert_eq!(result.err().map(|error| error.code()), expected);
        }
    }
}
