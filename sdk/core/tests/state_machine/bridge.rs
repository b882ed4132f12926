//! Bridges: what a lock may do, once; what moves and freezes a bridge; and what the outbox says.

use crate::chain::{Chain, Sealers};
use crate::world::{
    FastSignatures, Native, Refused, World, effects, fingerprint, key, seal, sign_bytes, validator,
};
use dsm_abi::{BridgeId, Digest, Effect, Evidence, Suite, TokenId, Trust, decode, lane};
use dsm_core::{
    Advance, Applied, BridgeConfig, Checkpoint, CheckpointSignature, EvidenceProof, EvmLockProof, Finality,
    Ledger, OperationKind, OutboxProof, SignedCheckpoint, block_message, limit,
};
use dsm_evm_proof::{Header, Payload, Refund, verify_consistency};

const SEALERS: Sealers = Sealers { address: validator, seal };

/// A world with a chain and a bridge to it. Every block is of the sequencer's time.
#[derive(Clone)]
pub(crate) struct Bridged {
    pub(crate) world: World,
    pub(crate) chain: Chain,
    pub(crate) bridge: BridgeId,
}

fn config(world: &World, chain: &Chain, finality: Finality) -> BridgeConfig {
    BridgeConfig {
        network: world.ledger.network(),
        chain_id: chain.chain_id,
        contract: chain.contract,
        outbox_slot: chain.slot,
        finality,
        salt: [0; 32],
    }
}

fn qbft(chain: &Chain) -> Finality {
    Finality::Qbft {
        validators: chain.addresses(),
        height: chain.height,
        trusting_period_s: 2_000,
        clock_drift_s: 10,
    }
}

impl Bridged {
    pub(crate) fn new() -> Bridged {
        let mut world = World::new();
        world.time_ms = 1_000_000;
        let chain = Chain::new(SEALERS, 1_000);
        let config = config(&world, &chain, qbft(&chain));
        let bridge = config.id();
        world.accept_one(world.carol, OperationKind::OpenBridge { config });
        Bridged { world, chain, bridge }
    }

    /// Locks for Bob in gold, due at 2,000 s.
    fn lock(&mut self, amount: u128) -> u64 {
        self.chain.lock(self.world.gold.0, self.world.bob.0, amount, 2_000)
    }

    fn evidence(&self, proof: EvmLockProof) -> EvidenceProof {
        EvidenceProof::Bridge { bridge: self.bridge, proof }
    }

    /// What Carol, whom none of it concerns, does with these proofs.
    fn submit(
        &mut self,
        kinds: Vec<OperationKind>,
        evidence: Vec<EvidenceProof>,
    ) -> Result<Applied, Refused> {
        let operations = self.world.ops(self.world.carol, kinds);
        let mut draft = self.world.draft(&[self.world.carol], operations);
        draft.evidence = evidence;
        let signed = self.world.sign(draft);
        self.world.submit(&signed)
    }

    fn refuse(&mut self, kinds: Vec<OperationKind>, evidence: Vec<EvidenceProof>) -> &'static str {
        let before = fingerprint(&self.world.ledger);
        let refused =
            self.submit(kinds, evidence).map(|applied| applied.transition).expect_err("must be refused");
        assert_eq!(fingerprint(&self.world.ledger), before, "{refused:?} changed the ledger");
        refused.code()
    }

    fn mint(&self, amount: u128) -> OperationKind {
        OperationKind::Mint { token: self.world.gold, to: self.world.bob, amount }
    }

    /// The refund that gold's policy emits for a lock.
    fn refund(&self, nonce: u64) -> Effect {
        let (chain_id, bridge) = (self.chain.chain_id, self.chain.contract);
        let commitment = self.chain.locks[&nonce].commitment(chain_id, &bridge);
        let payload = Payload::Refund(Refund { chain_id, bridge, nonce, commitment }).encode();
        Effect::Emit { lane: lane::EVM, payload }
    }

    fn of_gold(&self, given: &[Effect]) -> OperationKind {
        effects(self.world.gold, 0, given)
    }

    fn proof(&self, nonce: u64) -> EvidenceProof {
        self.evidence(self.chain.proof(nonce))
    }
}

#[test]
fn b9_a_lock_is_credited_once_by_whomever() {
    let mut bridged = Bridged::new();
    let nonce = bridged.lock(70);
    let proof = bridged.proof(nonce);
    let applied = bridged.submit(vec![bridged.mint(70)], vec![proof.clone()]).unwrap();
    assert_eq!(applied.credits.len(), 1);
    assert_eq!((applied.credits[0].to, applied.credits[0].amount), (bridged.world.bob, 70));
    assert!(applied.locks[0].use_of.credited);
    let used = *bridged.world.ledger.lock_use(&bridged.bridge, nonce).unwrap();
    assert_eq!((used.transition, used.token), (applied.transition, bridged.world.gold));
    // The second relayer, the same proof under a newer block, and the refund after the deadline.
    assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![proof]), "evidence_consumed");
    bridged.chain.height += 1;
    let again = bridged.proof(nonce);
    assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![again.clone()]), "evidence_consumed");
    bridged.world.time_ms = 2_000_000 - 1;
    let refund = bridged.of_gold(&[bridged.refund(nonce)]);
    assert_eq!(bridged.refuse(vec![refund], vec![again]), "evidence_consumed");
    bridged.world.check_totals();
}

#[test]
fn b9_a_lock_is_refunded_from_its_deadline_on_and_never_credited_then() {
    let mut bridged = Bridged::new();
    let nonce = bridged.lock(70);
    let refund = bridged.of_gold(&[bridged.refund(nonce)]);
    let proof = bridged.proof(nonce);
    assert_eq!(bridged.refuse(vec![refund.clone()], vec![proof.clone()]), "lock_not_due");
    bridged.world.time_ms = 1_999_999;
    assert_eq!(bridged.refuse(vec![refund.clone()], vec![proof.clone()]), "lock_not_due");
    bridged.world.time_ms = 2_000_000;
    assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![proof.clone()]), "lock_past_deadline");
    let both = vec![bridged.mint(70), refund.clone()];
    assert_eq!(bridged.refuse(both, vec![proof.clone()]), "lock_past_deadline");
    let applied = bridged.submit(vec![refund.clone()], vec![proof.clone()]).unwrap();
    assert!(!applied.locks[0].use_of.credited);
    assert_eq!(
        (applied.emitted[0].token, applied.emitted[0].actor),
        (bridged.world.gold, bridged.world.carol)
    );
    assert_eq!(bridged.refuse(vec![refund], vec![proof]), "evidence_consumed");
}

/// Evidence is used up with the transition that carries it, so each row would burn a lock or credit too much.
#[test]
fn b9_a_proven_lock_is_used_for_exactly_what_it_says() {
    type Row = (&'static str, &'static str, fn(&Bridged) -> Vec<OperationKind>);
    let rows: &[Row] = &[
        ("lock_unanswered", "a proof in an unrelated transition", |b| {
            vec![OperationKind::Emit { lane: 1, payload: vec![1] }, b.of_gold(&[])]
        }),
        ("lock_unanswered", "another amount", |b| vec![b.mint(69)]),
        ("lock_unanswered", "another recipient", |b| {
            vec![OperationKind::Mint { token: b.world.gold, to: b.world.alice, amount: 70 }]
        }),
        ("lock_unanswered", "another token", |b| {
            vec![OperationKind::Mint { token: b.world.silver, to: b.world.bob, amount: 70 }]
        }),
        ("lock_unanswered", "another token's request", |b| {
            vec![effects(b.world.silver, 0, &[Effect::Mint { to: b.world.bob, amount: 70 }])]
        }),
        ("lock_answered_twice", "two mints", |b| vec![b.mint(70), b.mint(70)]),
        ("lock_answered_twice", "a mint and a request", |b| {
            vec![b.mint(70), b.of_gold(&[Effect::Mint { to: b.world.bob, amount: 70 }])]
        }),
        ("lock_not_due", "a mint and the refund", |b| vec![b.mint(70), b.of_gold(&[b.refund(0)])]),
    ];
    let mut bridged = Bridged::new();
    bridged.lock(70);
    for (code, what, kinds) in rows {
        let (kinds, proof) = (kinds(&bridged), bridged.proof(0));
        assert_eq!(bridged.clone().refuse(kinds, vec![proof]), *code, "{what}");
    }
    // Beside it the token's policy may mint what it likes: that is its own law.
    let proof = bridged.proof(0);
    let request = bridged.of_gold(&[Effect::Mint { to: bridged.world.bob, amount: 70 }]);
    let other = OperationKind::Mint { token: bridged.world.gold, to: bridged.world.alice, amount: 5 };
    bridged.submit(vec![request, other], vec![proof]).unwrap();
    bridged.world.check_totals();
}

#[test]
fn b9_a_refund_is_emitted_once_by_the_locks_token_for_a_proven_lock() {
    let mut bridged = Bridged::new();
    bridged.lock(70);
    let refund = bridged.refund(0);
    // A policy that emits a refund which nobody proved would pay out twice what was credited before.
    assert_eq!(
        bridged.refuse(vec![bridged.of_gold(std::slice::from_ref(&refund))], vec![]),
        "refund_without_proof"
    );
    bridged.world.time_ms = 2_000_000;
    let proof = || vec![bridged.proof(0)];
    let (gold, silver) = (bridged.world.gold, bridged.world.silver);
    let Effect::Emit { payload, .. } = &refund else { panic!("an emission") };
    let mut other = payload.clone();
    other[159] ^= 1;
    let rows = [
        ("lock_unanswered", effects(silver, 0, std::slice::from_ref(&refund))),
        ("lock_answered_twice", effects(gold, 0, &[refund.clone(), refund.clone()])),
        ("lock_unanswered", effects(gold, 0, &[Effect::Emit { lane: lane::EVM, payload: other.clone() }])),
        ("lock_unanswered", effects(gold, 0, &[Effect::Emit { lane: 2, payload: payload.clone() }])),
        ("lock_unanswered", OperationKind::Emit { lane: lane::EVM, payload: payload.clone() }),
        ("refund_without_proof", {
            effects(gold, 0, &[refund.clone(), Effect::Emit { lane: lane::EVM, payload: other }])
        }),
    ];
    for (code, kind) in rows {
        assert_eq!(bridged.clone().refuse(vec![kind], proof()), code);
    }
    // An account says it for itself, under token zero: no contract pays for that.
    let emit = OperationKind::Emit { lane: lane::EVM, payload: payload.clone() };
    let applied = bridged.submit(vec![emit], vec![]).unwrap();
    assert_eq!(applied.emitted[0].token, TokenId::NONE);
}

#[test]
fn b9_equal_locks_need_equal_mints_and_one_number_is_one_lock() {
    let mut bridged = Bridged::new();
    let (one, two) = (bridged.lock(70), bridged.lock(70));
    let proofs = vec![bridged.proof(one), bridged.proof(two)];
    assert_eq!(bridged.refuse(vec![bridged.mint(70)], proofs.clone()), "lock_unanswered");
    let twice = vec![proofs[0].clone(), proofs[0].clone()];
    assert_eq!(bridged.refuse(vec![bridged.mint(70), bridged.mint(70)], twice), "evidence_consumed");
    // The same number under another bridge that names another token for it: another lock.
    let applied = bridged.submit(vec![bridged.mint(70), bridged.mint(70)], proofs).unwrap();
    assert_eq!(applied.locks.len(), 2);
    // A reorganised number that names another token now: used all the same.
    let lock = bridged.chain.locks.get_mut(&one).unwrap();
    lock.token = bridged.world.silver.0;
    let mint = OperationKind::Mint { token: bridged.world.silver, to: bridged.world.bob, amount: 70 };
    let proof = bridged.proof(one);
    assert_eq!(bridged.refuse(vec![mint], vec![proof]), "evidence_consumed");
}

/// Whoever opens a bridge of validators of his own proves whatever he likes under it. That must not use up the
/// genuine lock of the same contract and number.
#[test]
fn b8_a_made_up_bridge_uses_up_no_genuine_lock() {
    let mut bridged = Bridged::new();
    let nonce = bridged.lock(70);
    let mut fake = bridged.chain.clone();
    fake.validators = vec![11, 12, 13, 14];
    fake.locks.get_mut(&nonce).unwrap().token = bridged.world.silver.0;
    let config = config(&bridged.world, &fake, qbft(&fake));
    let bridge = config.id();
    bridged.world.accept_one(bridged.world.carol, OperationKind::OpenBridge { config });
    let mint = OperationKind::Mint { token: bridged.world.silver, to: bridged.world.bob, amount: 70 };
    let proof = EvidenceProof::Bridge { bridge, proof: fake.proof(nonce) };
    bridged.submit(vec![mint], vec![proof]).unwrap();
    let genuine = bridged.proof(nonce);
    bridged.submit(vec![bridged.mint(70)], vec![genuine]).unwrap();
}

#[test]
fn b5_b8_b12_proofs_that_show_nothing() {
    type Row = (&'static str, &'static str, fn(&mut Chain, &mut EvmLockProof));
    let rows: &[Row] = &[
        ("bad_header", "two seals of four", |chain, proof| *proof = chain.proof_by(0, &[1, 2])),
        ("bad_header", "one validator seals thrice", |chain, proof| *proof = chain.proof_by(0, &[1, 1, 1])),
        ("bad_header", "a stranger seals", |chain, proof| *proof = chain.proof_by(0, &[1, 2, 9])),
        ("bad_header", "no seals", |chain, proof| *proof = chain.proof_by(0, &[])),
        ("bad_header", "a set that its own members sealed", |chain, proof| {
            proof.header = chain.sealed(&[21, 22, 23, 24], &[21, 22, 23]);
        }),
        ("bad_header", "one of four seals a set with three strangers", |chain, proof| {
            proof.header = chain.sealed(&[1, 21, 22, 23], &[1, 21, 22]);
        }),
        ("bad_header", "an empty header", |_, proof| proof.header.clear()),
        ("bad_block_attestation", "attestations beside seals", |_, proof| {
            proof.attestations.push((0, vec![1]));
        }),
        ("bad_lock_proof", "another contract", |chain, proof| {
            chain.contract = [0xcd; 20];
            proof.account = chain.proof(0).account;
        }),
        ("bad_lock_proof", "another block's state", |chain, proof| {
            chain.lock([1; 32], [2; 32], 3, 4);
            proof.header = chain.proof(0).header;
        }),
        ("bad_lock_proof", "another amount than committed", |_, proof| proof.lock.amount += 1),
        ("bad_lock_proof", "another recipient than committed", |_, proof| proof.lock.recipient = [6; 32]),
        ("bad_lock_proof", "another token than committed", |_, proof| proof.lock.token = [6; 32]),
        ("bad_lock_proof", "a later deadline than committed", |_, proof| proof.lock.deadline_s += 1),
        ("bad_lock_proof", "a deadline beyond all time", |_, proof| proof.lock.deadline_s = u64::MAX),
        ("bad_lock_proof", "another number", |_, proof| proof.lock.nonce = 5),
        ("bad_lock_proof", "no nodes", |_, proof| proof.storage.clear()),
        ("bad_lock_proof", "a node too many", |_, proof| proof.storage.push(vec![0x80])),
        ("bad_lock_proof", "an amount of zero", |_, proof| proof.lock.amount = 0),
    ];
    let mut bridged = Bridged::new();
    bridged.lock(70);
    bridged.lock(71);
    for (code, what, change) in rows {
        let (mut bridged, mut proof) = (bridged.clone(), bridged.chain.proof(0));
        change(&mut bridged.chain, &mut proof);
        let evidence = bridged.evidence(proof);
        assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![evidence]), *code, "{what}");
    }
    let unknown = EvidenceProof::Bridge { bridge: BridgeId([9; 32]), proof: bridged.chain.proof(0) };
    assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![unknown]), "unknown_bridge");
}

/// A contract has no word for a number that was never locked: proven absent, which is another answer than not shown.
#[test]
fn b2_a_number_without_a_lock_is_absent() {
    let mut bridged = Bridged::new();
    let nonce = bridged.lock(70);
    let mut proof = bridged.chain.proof(nonce);
    let lock = bridged.chain.locks.remove(&nonce).unwrap();
    bridged.lock(71);
    bridged.chain.locks.insert(9, lock);
    let absent = bridged.chain.clone();
    bridged.chain.locks.remove(&9);
    // The only leaf of the storage trie is another one: that shows the absence of this one.
    let other = bridged.chain.locks.keys().next().copied().unwrap();
    let shown = bridged.chain.proof(other);
    (proof.header, proof.account, proof.storage) = (shown.header, shown.account, shown.storage);
    proof.lock = absent.locks[&9];
    proof.lock.nonce = 9;
    let evidence = bridged.evidence(proof);
    assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![evidence]), "lock_absent");
}

#[test]
fn b8_chain_and_contract_come_from_the_bridge_and_not_from_the_proof() {
    for change in [|c: &mut BridgeConfig| c.chain_id = 1, |c: &mut BridgeConfig| c.contract = [0xcd; 20]] {
        let mut bridged = Bridged::new();
        let nonce = bridged.lock(70);
        let mut config = config(&bridged.world, &bridged.chain, qbft(&bridged.chain));
        change(&mut config);
        bridged.bridge = config.id();
        bridged.world.accept_one(bridged.world.carol, OperationKind::OpenBridge { config });
        let proof = bridged.proof(nonce);
        assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![proof]), "bad_lock_proof");
    }
}

#[test]
fn what_the_policy_is_shown_is_what_was_proven() {
    let mut bridged = Bridged::new();
    let nonce = bridged.lock(70);
    let proof = bridged.proof(nonce);
    let write = crate::world::invoke(bridged.world.gold, 0, "evidence");
    bridged.submit(vec![bridged.mint(70), write], vec![proof]).unwrap();
    let space = bridged.world.ledger.space(&bridged.world.gold, 0);
    let shown: Vec<Evidence> = decode(&space[&b"evidence".to_vec()], 9_999).unwrap();
    let lock = bridged.chain.locks[&nonce];
    let commitment = lock.commitment(138, &bridged.chain.contract);
    assert_eq!(
        shown,
        [Evidence::BridgeProof {
            bridge: bridged.bridge,
            chain_id: 138,
            contract: bridged.chain.contract,
            nonce,
            kind: 2,
            asset: lock.asset,
            sender: lock.sender,
            token: bridged.world.gold,
            recipient: bridged.world.bob,
            amount: 70,
            deadline_ms: 2_000_000,
            commitment: Digest(commitment),
            height: bridged.chain.height,
            trust: Trust::Qbft,
        }]
    );
}

#[test]
fn a_bridge_moves_by_sealed_headers_alone() {
    let mut bridged = Bridged::new();
    let bridge = bridged.bridge;
    let advance = |headers: Vec<Advance>| vec![OperationKind::AdvanceBridge { bridge, headers }];
    assert_eq!(bridged.refuse(advance(vec![bridged.chain.advance(&[1, 2, 3])]), vec![]), "block_not_newer");
    bridged.chain.height += 1;
    assert_eq!(bridged.refuse(advance(vec![bridged.chain.advance(&[1, 2])]), vec![]), "bad_header");
    assert_eq!(bridged.refuse(advance(vec![]), vec![]), "field_malformed");
    let nine = vec![bridged.chain.advance(&[1, 2, 3]); limit::HEADERS_MAX + 1];
    assert_eq!(bridged.refuse(advance(nine), vec![]), "field_malformed");
    // B12: one malicious validator of four seals a set of his own making; two are needed to be believed.
    let named =
        |chain: &Chain, listed: &[u8], by: &[u8]| Advance { header: chain.sealed(listed, by), set: None };
    let forged = named(&bridged.chain, &[4, 21, 22, 23], &[4, 21, 22]);
    assert_eq!(bridged.refuse(advance(vec![forged]), vec![]), "bad_header");
    // Five validators, then another set of which two were among the five: each is judged by the one before it.
    let five = named(&bridged.chain, &[1, 2, 3, 4, 5], &[1, 2, 3, 5]);
    bridged.chain.height += 1;
    let next = named(&bridged.chain, &[4, 5, 6, 7], &[4, 5, 6]);
    assert_eq!(bridged.refuse(advance(vec![next.clone()]), vec![]), "bad_header");
    bridged.submit(advance(vec![five, next]), vec![]).unwrap();
    let state = bridged.world.ledger.bridge_state(&bridge).unwrap();
    assert_eq!((state.height, state.validators.len()), (102, 4));
    assert_eq!(state.validators[2], validator(6));
    // What the old set seals counts no more, what the new one seals does.
    let nonce = bridged.lock(70);
    let old = bridged.proof(nonce);
    assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![old]), "bad_header");
    bridged.chain.validators = vec![4, 5, 6, 7];
    let new = bridged.proof(nonce);
    bridged.submit(vec![bridged.mint(70)], vec![new]).unwrap();
}

#[test]
fn the_blocks_time_is_measured_by_the_sequencers() {
    let mut bridged = Bridged::new();
    let nonce = bridged.lock(70);
    bridged.chain.time_s = 1_011;
    let early = bridged.proof(nonce);
    assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![early.clone()]), "block_from_future");
    let headers = vec![bridged.chain.advance(&[1, 2, 3])];
    let advance = OperationKind::AdvanceBridge { bridge: bridged.bridge, headers };
    assert_eq!(bridged.refuse(vec![advance.clone()], vec![]), "block_from_future");
    bridged.world.time_ms = 1_001_000;
    bridged.clone().submit(vec![bridged.mint(70)], vec![early.clone()]).unwrap();
    // The trusting period counts from the opening, then from the block that moved the bridge.
    bridged.submit(vec![advance], vec![]).unwrap();
    let state = bridged.world.ledger.bridge_state(&bridged.bridge).unwrap();
    assert_eq!(state.trusted_until_ms(), Some(3_011_000));
    bridged.chain.locks.get_mut(&nonce).unwrap().deadline_s = 9_000;
    bridged.world.time_ms = 3_010_999;
    let proof = bridged.proof(nonce);
    bridged.clone().submit(vec![bridged.mint(70)], vec![proof.clone()]).unwrap();
    bridged.world.time_ms = 3_011_000;
    assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![proof]), "bridge_expired");
}

/// B10: two sealed blocks of one height are a chain that cannot be believed; nobody has to be asked.
#[test]
fn b10_two_sealed_blocks_of_one_height_freeze_the_bridge() {
    let mut bridged = Bridged::new();
    let nonce = bridged.lock(70);
    let proof = bridged.proof(nonce);
    let a = bridged.chain.finality(&[1, 2, 3]);
    let mut other = bridged.chain.clone();
    other.locks.get_mut(&nonce).unwrap().amount = 71;
    let b = other.finality(&[2, 3, 4]);
    let convict = |a: &dsm_core::FinalHeader, b: &dsm_core::FinalHeader| {
        vec![OperationKind::ConvictBridge { bridge: bridged.bridge, a: a.clone(), b: b.clone() }]
    };
    let (same, other_seals) = (convict(&a, &a), convict(&a, &bridged.chain.finality(&[2, 3, 4])));
    let too_few = convict(&a, &other.finality(&[3, 4]));
    other.height += 1;
    let later = convict(&a, &other.finality(&[2, 3, 4]));
    let guilty = convict(&a, &b);
    for innocent in [same, other_seals, later] {
        assert_eq!(bridged.refuse(innocent, vec![]), "no_conviction");
    }
    assert_eq!(bridged.refuse(too_few, vec![]), "bad_header");
    let applied = bridged.submit(guilty.clone(), vec![]).unwrap();
    let frozen = applied.bridges[0].frozen.clone().unwrap();
    assert_eq!((frozen.height, frozen.transition), (bridged.chain.height, applied.transition));
    assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![proof]), "bridge_frozen");
    assert_eq!(bridged.refuse(guilty, vec![]), "bridge_frozen");
    let headers = vec![bridged.chain.advance(&[1, 2, 3])];
    let advance = OperationKind::AdvanceBridge { bridge: bridged.bridge, headers };
    assert_eq!(bridged.refuse(vec![advance], vec![]), "bridge_frozen");
}

/// Verified by the set of then, judged when it has changed, frozen or gone on: the link check is the one that counts.
#[test]
fn a_bridge_that_moves_between_verification_and_judgement() {
    type Row = (Option<&'static str>, fn(&mut Bridged) -> OperationKind);
    let rows: [Row; 3] = [
        (Some("bridge_moved"), |b| {
            b.chain.height += 1;
            let header = b.chain.sealed(&[1, 2, 3], &[1, 2, 3]);
            OperationKind::AdvanceBridge { bridge: b.bridge, headers: vec![Advance { header, set: None }] }
        }),
        (Some("bridge_frozen"), |b| {
            let mut other = b.chain.clone();
            other.slot = [3; 32];
            let (a, b_) = (b.chain.finality(&[1, 2, 3]), other.finality(&[1, 2, 3]));
            OperationKind::ConvictBridge { bridge: b.bridge, a, b: b_ }
        }),
        // The same set at a newer block disturbs nobody.
        (None, |b| {
            b.chain.height += 1;
            let headers = vec![b.chain.advance(&[1, 2, 3])];
            OperationKind::AdvanceBridge { bridge: b.bridge, headers }
        }),
    ];
    for (code, meanwhile) in rows {
        let mut bridged = Bridged::new();
        let nonce = bridged.lock(70);
        let mut draft = bridged
            .world
            .draft(&[bridged.world.alice], bridged.world.ops(bridged.world.alice, vec![bridged.mint(70)]));
        draft.evidence = vec![bridged.proof(nonce)];
        let signed = bridged.world.sign(draft);
        let network = bridged.world.ledger.network();
        let verified = signed.verify(network, &bridged.world.ledger, &FastSignatures).unwrap();
        let kind = meanwhile(&mut bridged);
        bridged.submit(vec![kind], vec![]).unwrap();
        let judged = bridged.world.ledger.judge(verified, bridged.world.time_ms, &mut Native);
        assert_eq!(judged.err().map(|refusal| refusal.code()), code);
    }
}

#[test]
fn bridges_are_opened_once_and_only_if_they_could_work() {
    let mut bridged = Bridged::new();
    let good = config(&bridged.world, &bridged.chain, qbft(&bridged.chain));
    let open = |config: BridgeConfig| vec![OperationKind::OpenBridge { config }];
    assert_eq!(bridged.refuse(open(good.clone()), vec![]), "bridge_exists");
    let other = BridgeConfig { salt: [1; 32], ..good.clone() };
    assert_eq!(bridged.refuse([open(other.clone()), open(other.clone())].concat(), vec![]), "used_twice");
    let address = validator(1);
    let set = |validators: Vec<[u8; 20]>| Finality::Qbft {
        validators,
        height: 1,
        trusting_period_s: 0,
        clock_drift_s: 0,
    };
    let attested = |names: &[&str], threshold| Finality::Attested {
        keys: names.iter().map(|name| key(name)).collect(),
        threshold,
    };
    let late = Finality::Qbft {
        validators: vec![address],
        height: 1,
        trusting_period_s: u64::MAX,
        clock_drift_s: 0,
    };
    let finalities = [
        set(vec![]),
        set(vec![address, address]),
        set(vec![[0; 20]]),
        set((0..200).map(|n| [n; 20]).collect()),
        late,
        attested(&[], 0),
        attested(&["a"], 0),
        attested(&["a", "b"], 3),
        attested(&["a", "a"], 1),
    ];
    for finality in finalities {
        let bad = BridgeConfig { finality, ..other.clone() };
        assert_eq!(bridged.refuse(open(bad), vec![]), "bridge_malformed");
    }
    let mut network = other.network;
    network.0[0] ^= 1;
    for bad in [
        BridgeConfig { network, ..other.clone() },
        BridgeConfig { chain_id: 0, ..other.clone() },
        BridgeConfig { contract: [0; 20], ..other.clone() },
    ] {
        assert_eq!(bridged.refuse(open(bad), vec![]), "bridge_malformed");
    }
    bridged.submit(open(other), vec![]).unwrap();
}

/// Chains without seals: exactly k of n keys state the block's hash, for this bridge alone.
#[test]
fn b12_attested_blocks_need_exactly_the_threshold_of_known_keys() {
    let mut bridged = Bridged::new();
    let names = ["one", "two", "three"];
    let finality = Finality::Attested { keys: names.map(key).to_vec(), threshold: 2 };
    let config = config(&bridged.world, &bridged.chain, finality);
    let qbft = bridged.bridge;
    bridged.bridge = config.id();
    bridged.world.accept_one(bridged.world.carol, OperationKind::OpenBridge { config });
    let nonce = bridged.lock(70);
    let proof = bridged.chain.proof_by(nonce, &[]);
    let hash = Header::decode(&proof.header).unwrap().hash();
    let network = bridged.world.ledger.network();
    let state = |bridge: BridgeId, hash: [u8; 32], name: &str| {
        sign_bytes(&key(name), &block_message(network, &key(name), bridge, hash))
    };
    let own = |name| state(bridged.bridge, hash, name);
    let rows: Vec<Vec<(u8, Vec<u8>)>> = vec![
        vec![],
        vec![(0, own("one"))],
        vec![(0, own("one")), (1, own("two")), (2, own("three"))],
        vec![(1, own("two")), (0, own("one"))],
        vec![(0, own("one")), (0, own("one"))],
        vec![(0, own("one")), (3, own("two"))],
        vec![(0, own("one")), (1, own("three"))],
        vec![(0, own("one")), (1, state(qbft, hash, "two"))],
        vec![(0, own("one")), (1, state(bridged.bridge, [1; 32], "two"))],
    ];
    let good = vec![(0, own("one")), (2, own("three"))];
    for attestations in rows {
        let evidence = bridged.evidence(EvmLockProof { attestations, ..proof.clone() });
        assert_eq!(bridged.refuse(vec![bridged.mint(70)], vec![evidence]), "bad_block_attestation");
    }
    let headers = vec![bridged.chain.advance(&[1, 2, 3])];
    let advance = OperationKind::AdvanceBridge { bridge: bridged.bridge, headers };
    assert_eq!(bridged.refuse(vec![advance], vec![]), "no_trusted_set");
    let evidence = bridged.evidence(EvmLockProof { attestations: good, ..proof });
    bridged.submit(vec![bridged.mint(70)], vec![evidence]).unwrap();
}

/// The seals of a header are recovered once, however many locks stand under it, and only so many headers are judged.
#[test]
fn many_locks_under_one_header_cost_one_header() {
    let mut bridged = Bridged::new();
    for amount in 0..16 {
        bridged.lock(100 + amount);
    }
    bridged.chain.time_s = 1_000;
    let proofs: Vec<_> = (0..16).map(|nonce| bridged.proof(nonce)).collect();
    let mints: Vec<_> = (0..16).map(|amount| bridged.mint(100 + amount)).collect();
    bridged.clone().submit(mints.clone(), proofs).unwrap();
    let scattered: Vec<_> = (0..=limit::HEADERS_MAX as u64)
        .map(|nonce| {
            bridged.chain.height += 1;
            bridged.proof(nonce)
        })
        .collect();
    let mints = mints[..scattered.len()].to_vec();
    assert_eq!(bridged.refuse(mints, scattered), "too_many_headers");
}

/// A checkpoint of now, as the node signs it.
fn checkpoint(world: &mut World, before: Option<&Checkpoint>) -> SignedCheckpoint {
    let (checkpoint, _) = world.ledger.checkpoint(before, 1, Digest([1; 32]));
    let bytes = sign_bytes(&key("node"), &checkpoint.signing_message(Suite::MlDsa65));
    SignedCheckpoint { checkpoint, signatures: vec![CheckpointSignature { key: key("node"), bytes }] }
}

#[test]
fn the_outbox_is_ordered_and_every_entry_is_proven_at_every_size() {
    let mut bridged = Bridged::new();
    let empty = checkpoint(&mut bridged.world, None);
    assert_eq!((empty.checkpoint.outbox_size, empty.checkpoint.outbox_root), (0, Digest::default()));
    let mut roots = vec![(0, Digest::default())];
    for round in 0..9u8 {
        // What an account says comes first, then what policies said, in the order of the legs.
        let said = vec![
            bridged.of_gold(&[Effect::Emit { lane: 1, payload: vec![round, 1] }]),
            OperationKind::Emit { lane: 2, payload: vec![round, 0] },
        ];
        let applied = bridged.submit(said, vec![]).unwrap();
        let payloads: Vec<_> = applied.emitted.iter().map(|entry| entry.payload.clone()).collect();
        assert_eq!(payloads, [vec![round, 0], vec![round, 1]]);
        let tokens: Vec<_> = applied.emitted.iter().map(|entry| entry.token).collect();
        assert_eq!(tokens, [TokenId::NONE, bridged.world.gold]);
        assert!(applied.emitted.iter().all(|entry| entry.actor == bridged.world.carol));
        let outbox = bridged.world.ledger.outbox();
        assert_eq!(outbox.entries_of(&applied.transition).count(), 2);
        let signed = checkpoint(&mut bridged.world, None);
        let outbox = bridged.world.ledger.outbox();
        let size = signed.checkpoint.outbox_size;
        roots.push((size, signed.checkpoint.outbox_root));
        for index in 0..size {
            let entry = outbox.entry(index).unwrap().clone();
            let siblings = outbox.prove(index, size).unwrap();
            let proof = OutboxProof { checkpoint: signed.clone(), entry, siblings };
            assert_eq!(proof.verify(&key("node"), &FastSignatures), Ok(&proof.entry));
            let mut other = proof.clone();
            other.entry.token = bridged.world.silver;
            assert!(other.verify(&key("node"), &FastSignatures).is_err());
            let mut other = proof.clone();
            other.entry.index ^= 1;
            assert!(other.verify(&key("node"), &FastSignatures).is_err());
            assert!(proof.verify(&key("stranger"), &FastSignatures).is_err());
        }
        assert!(outbox.prove(size, size).is_err() && outbox.entry(size).is_none());
    }
    let outbox = bridged.world.ledger.outbox();
    for (from, from_root) in &roots[1..] {
        for (to, to_root) in roots.iter().filter(|(to, _)| to >= from) {
            let hashes: Vec<_> =
                outbox.prove_consistency(*from, *to).unwrap().iter().map(|one| one.0).collect();
            verify_consistency(*from, &from_root.0, *to, &to_root.0, &hashes).unwrap();
            assert_eq!(outbox.root_at(*from).unwrap(), *from_root);
        }
    }
}

#[test]
fn what_the_outbox_takes_is_bounded() {
    let mut bridged = Bridged::new();
    let emit = |bytes: usize| OperationKind::Emit { lane: 1, payload: vec![1; bytes] };
    assert_eq!(bridged.refuse(vec![emit(1_025)], vec![]), "field_malformed");
    bridged.submit(vec![emit(1_024), emit(0)], vec![]).unwrap();
    let effect = |bytes: usize| Effect::Emit { lane: 1, payload: vec![1; bytes] };
    assert_eq!(bridged.refuse(vec![bridged.of_gold(&[effect(1_025)])], vec![]), "effect_not_permitted");
    let many = vec![bridged.of_gold(&vec![effect(1); limit::EMISSIONS_MAX + 1])];
    assert_eq!(bridged.refuse(many, vec![]), "effect_not_permitted");
    let most = vec![bridged.of_gold(&vec![effect(1); limit::EMISSIONS_MAX])];
    assert_eq!(bridged.submit(most, vec![]).unwrap().emitted.len(), limit::EMISSIONS_MAX);
}

/// Both replays give the same bridges, uses of locks and outbox: the one that believes runs no cryptography at all.
#[test]
fn a_replay_gives_the_same_bridges_and_the_same_outbox() {
    let mut bridged = Bridged::new();
    let (one, two) = (bridged.lock(70), bridged.lock(71));
    let proof = bridged.proof(one);
    bridged.submit(vec![bridged.mint(70)], vec![proof]).unwrap();
    bridged.chain.height += 1;
    let headers = vec![bridged.chain.advance(&[1, 2, 3])];
    bridged.submit(vec![OperationKind::AdvanceBridge { bridge: bridged.bridge, headers }], vec![]).unwrap();
    let proof = bridged.proof(two);
    bridged.world.time_ms = 2_000_000;
    bridged.submit(vec![bridged.of_gold(&[bridged.refund(two)])], vec![proof]).unwrap();
    let mut other = bridged.chain.clone();
    other.locks.clear();
    let (a, b) = (bridged.chain.finality(&[1, 2, 3]), other.finality(&[1, 2, 3]));
    bridged.submit(vec![OperationKind::ConvictBridge { bridge: bridged.bridge, a, b }], vec![]).unwrap();

    let mut believing = Ledger::new(&bridged.world.genesis);
    let mut verifying = Ledger::new(&bridged.world.genesis);
    for record in &bridged.world.log {
        believing.replay(record.clone()).unwrap();
        verifying.replay_verifying(record.clone(), &FastSignatures, &mut Native).unwrap();
    }
    let live = fingerprint(&bridged.world.ledger);
    assert_eq!(fingerprint(&believing), live);
    assert_eq!(fingerprint(&verifying), live);
    // A record whose seals are forged is believed by nobody who looks.
    let mut ledger = Ledger::new(&bridged.world.genesis);
    let forged =
        bridged.world.log.iter().position(|record| !record.signed.transition.evidence.is_empty()).unwrap();
    for record in &bridged.world.log[..forged] {
        ledger.replay(record.clone()).unwrap();
    }
    let mut record = bridged.world.log[forged].clone();
    let EvidenceProof::Bridge { proof, .. } = &mut record.signed.transition.evidence[0] else {
        panic!("a lock")
    };
    proof.header = bridged.chain.sealed_by(&[1, 2]);
    record.signed = crate::world::sign_as(&ledger, record.signed.transition);
    assert!(ledger.replay_verifying(record, &FastSignatures, &mut Native).is_err());
}
