//! Slices of a log: what each operation, effect and piece of evidence has to do with; a slice is judged again from the
//! genesis on, and what was left out or altered shows.

use crate::chain::{Chain, Sealers};
use crate::world::{
    FastSignatures, HEIR, Native, SCRIPT, World, effects, key, key_set, policy, publish, seal, sign_bytes,
    transfer, validator,
};
use dsm_abi::{
    AccountId, BridgeId, CreditId, Digest, Effect, Hold, HoldId, HoldKind, KeyId, PolicyId, Suite, TokenId,
    Value, encode,
};
use dsm_core::{
    Accepted, Attestation, BridgeConfig, CheckpointSignature, Credential, CredentialPresentation, Credit,
    Entry, EvidenceProof, Finality, HashPreimage, LogSlice, Logged, NetworkGenesis, OperationKind,
    PolicyEffects, ProofError, SignedCheckpoint, SignedObservation, SliceError, Stretch, Touched,
    UpgradeTerms, hash, tag,
};
use std::collections::BTreeSet;

const ACTOR: AccountId = AccountId([1; 32]);
const OTHER: AccountId = AccountId([2; 32]);
const THIRD: AccountId = AccountId([3; 32]);
const TOKEN: TokenId = TokenId([4; 32]);
const POLICY: PolicyId = PolicyId([5; 32]);
const CREDIT: CreditId = CreditId([6; 32]);
const HOLD: HoldId = HoldId([7; 32]);
const BRIDGE: BridgeId = BridgeId([8; 32]);

fn account(id: AccountId) -> Touched {
    Touched::Account(id)
}

/// A record of a transition of [`ACTOR`]'s that did nothing yet: its shape is that of a true one.
fn record() -> Accepted {
    let mut world = World::new();
    let draft = world.draft(&[ACTOR], Vec::new());
    Accepted {
        time_ms: world.time_ms,
        signed: world.sign(draft),
        effects: Vec::new(),
        published: Vec::new(),
        accounts: Vec::new(),
        tokens: Vec::new(),
        credits: Vec::new(),
        holds: Vec::new(),
    }
}

fn chain() -> Chain {
    let mut chain = Chain::new(Sealers { address: validator, seal }, 1_000);
    chain.lock(TOKEN.0, OTHER.0, 1, 2_000);
    chain
}

fn bridge_config() -> BridgeConfig {
    let chain = chain();
    BridgeConfig {
        network: record().signed.transition.network,
        chain_id: chain.chain_id,
        contract: chain.contract,
        outbox_slot: chain.slot,
        finality: Finality::Qbft {
            validators: chain.addresses(),
            height: chain.height,
            trusting_period_s: 2_000,
            clock_drift_s: 10,
        },
        salt: [0; 32],
    }
}

/// An operation, and what it reads and writes by itself, besides its actor.
type OperationRow = (&'static str, OperationKind, Vec<Touched>, Vec<Touched>);

fn operations() -> Vec<OperationRow> {
    let (token, memo) = (TOKEN, Vec::new());
    let config = bridge_config();
    let opened = vec![Touched::Bridge(config.id())];
    let (a, b) = (chain().finality(&[1, 2, 3]), chain().finality(&[2, 3, 4]));
    let genesis = World::new().account_genesis("new");
    vec![
        ("create_account", OperationKind::CreateAccount { genesis }, vec![], vec![]),
        ("rotate_keys", OperationKind::RotateKeys { keys: key_set("new") }, vec![], vec![]),
        ("precommit", OperationKind::Precommit { shape: Digest([1; 32]), until_ms: 1 }, vec![], vec![]),
        ("recover", OperationKind::Recover { keys: key_set("new") }, vec![], vec![]),
        ("revoke", OperationKind::Revoke, vec![], vec![]),
        (
            "publish",
            OperationKind::Publish { policy: POLICY, module: Digest([1; 32]), author: KeyId([1; 32]) },
            vec![],
            vec![Touched::Policy(POLICY)],
        ),
        (
            "create_token",
            OperationKind::CreateToken {
                policies: vec![POLICY, policy(SCRIPT)],
                params: vec![vec![], vec![]],
                name: "A".into(),
                symbol: "A".into(),
                decimals: 0,
                cap: None,
                salt: [0; 32],
                upgrades: Some(UpgradeTerms { by: 0, delay_ms: 1 }),
            },
            vec![Touched::Policy(POLICY), Touched::Policy(policy(SCRIPT))],
            vec![],
        ),
        (
            "mint",
            OperationKind::Mint { token, to: OTHER, amount: 1 },
            vec![Touched::Token(TOKEN), account(OTHER)],
            vec![],
        ),
        ("burn", OperationKind::Burn { token, amount: 1 }, vec![Touched::Token(TOKEN)], vec![]),
        (
            "transfer",
            OperationKind::Transfer { token, to: OTHER, amount: 1, memo },
            vec![Touched::Token(TOKEN), account(OTHER)],
            vec![],
        ),
        ("claim", OperationKind::Claim { credit: CREDIT }, vec![Touched::Credit(CREDIT)], vec![]),
        (
            "hold",
            OperationKind::Hold {
                token,
                amount: 1,
                beneficiary: OTHER,
                kind: HoldKind::Lien,
                expires_ms: None,
            },
            vec![Touched::Token(TOKEN), account(OTHER)],
            vec![],
        ),
        ("release", OperationKind::Release { hold: HOLD }, vec![Touched::Hold(HOLD)], vec![]),
        ("execute", OperationKind::Execute { hold: HOLD }, vec![Touched::Hold(HOLD)], vec![]),
        (
            "invoke",
            OperationKind::Invoke { token, policy_index: 1, method: "m".into(), args: vec![] },
            vec![Touched::Token(TOKEN)],
            vec![],
        ),
        ("upgrade", OperationKind::Upgrade { token, policy_index: 1 }, vec![Touched::Token(TOKEN)], vec![]),
        ("open_bridge", OperationKind::OpenBridge { config }, vec![], opened),
        (
            "advance_bridge",
            OperationKind::AdvanceBridge { bridge: BRIDGE, headers: vec![] },
            vec![Touched::Bridge(BRIDGE)],
            vec![Touched::Bridge(BRIDGE)],
        ),
        (
            "convict_bridge",
            OperationKind::ConvictBridge { bridge: BRIDGE, a, b },
            vec![Touched::Bridge(BRIDGE)],
            vec![Touched::Bridge(BRIDGE)],
        ),
        ("emit", OperationKind::Emit { lane: 0, payload: vec![] }, vec![], vec![]),
    ]
}

#[test]
fn what_each_operation_reads_and_writes() {
    let rows = operations();
    // One row for every tag that operations have: a new one needs its row.
    let tags: BTreeSet<u8> = rows.iter().map(|(_, kind, ..)| encode(kind)[0]).collect();
    assert_eq!(tags, (0..rows.len() as u8).collect());
    for (name, kind, reads, writes) in rows {
        let mut record = record();
        record.signed.transition.operations = vec![dsm_core::Operation { actor: ACTOR, kind }];
        let expected: BTreeSet<Touched> = reads.into_iter().chain([account(ACTOR)]).collect();
        assert_eq!(record.reads(), expected, "{name} reads");
        assert_eq!(record.writes(), writes.into_iter().collect(), "{name} writes");
    }
}

#[test]
fn what_each_effect_has_to_do_with() {
    let (kind, expires_ms, amount) = (HoldKind::Pledge, None, 1);
    let hold = Touched::Hold(HOLD);
    let rows: Vec<(&str, Effect, Vec<Touched>)> = vec![
        ("set_state", Effect::SetState { key: vec![], value: vec![] }, vec![]),
        ("delete_state", Effect::DeleteState { key: vec![] }, vec![]),
        (
            "create_hold",
            Effect::CreateHold { owner: OTHER, beneficiary: THIRD, amount, kind, expires_ms },
            vec![account(OTHER), account(THIRD)],
        ),
        ("extend_hold", Effect::ExtendHold { hold: HOLD, expires_ms }, vec![hold]),
        ("release_hold", Effect::ReleaseHold { hold: HOLD }, vec![hold]),
        ("execute_hold", Effect::ExecuteHold { hold: HOLD }, vec![hold]),
        ("event", Effect::Event { topic: String::new(), payload: vec![] }, vec![]),
        ("freeze", Effect::Freeze { account: OTHER }, vec![account(OTHER)]),
        ("unfreeze", Effect::Unfreeze { account: OTHER }, vec![account(OTHER)]),
        ("mint", Effect::Mint { to: OTHER, amount }, vec![account(OTHER)]),
        ("burn", Effect::Burn { from: OTHER, amount }, vec![account(OTHER)]),
        (
            "transfer",
            Effect::Transfer { from: OTHER, to: THIRD, amount },
            vec![account(OTHER), account(THIRD)],
        ),
        ("emit", Effect::Emit { lane: 0, payload: vec![] }, vec![]),
        (
            "schedule_upgrade",
            Effect::ScheduleUpgrade { policy_index: 0, policy: POLICY, params: vec![], due_ms: 1 },
            vec![Touched::Policy(POLICY)],
        ),
        ("cancel_upgrade", Effect::CancelUpgrade { policy_index: 0 }, vec![]),
    ];
    let tags: BTreeSet<u8> = rows.iter().map(|(_, effect, _)| encode(effect)[0]).collect();
    assert_eq!(tags, (0..rows.len() as u8).collect());
    for (name, effect, reads) in rows {
        let mut record = record();
        record.effects = vec![PolicyEffects { leg: 0, token: TOKEN, policy_index: 0, effects: vec![effect] }];
        let own = [account(ACTOR), Touched::Token(TOKEN)];
        assert_eq!(record.reads(), reads.into_iter().chain(own).collect(), "{name}");
        assert_eq!(record.writes(), BTreeSet::new(), "{name}: heads say what moved, not effects");
    }
}

#[test]
fn what_each_piece_of_evidence_and_each_result_has_to_do_with() {
    let (suite, signature) = (Suite::MlDsa65, Vec::new());
    let credential = Credential {
        issuer: OTHER,
        subject: THIRD,
        schema: String::new(),
        serial: Digest::default(),
        expires_ms: 0,
        claims: 0,
        claims_root: Digest::default(),
    };
    let disclosed = Vec::new();
    let presentation = CredentialPresentation { credential, key: 0, suite, signature: vec![], disclosed };
    let preimage = HashPreimage { algorithm: 0, digest: Digest::default(), preimage: vec![] };
    let attestation = Attestation { account: OTHER, topic: String::new(), payload: vec![], nonce: [0; 32] };
    let observed = |account| SignedObservation {
        account,
        key: 0,
        suite,
        signature: Vec::new(),
        answer: 0,
        observed_ms: 0,
    };
    let round = EvidenceProof::OracleRound {
        feed: Digest::default(),
        round: 0,
        decimals: 0,
        observations: vec![observed(OTHER), observed(THIRD)],
    };
    let lock = EvidenceProof::Bridge { bridge: BRIDGE, proof: chain().proof(0) };
    let rows: Vec<(&str, EvidenceProof, Vec<Touched>)> = vec![
        ("credential", EvidenceProof::Credential(presentation), vec![account(OTHER)]),
        ("preimage", EvidenceProof::HashPreimage(preimage), vec![]),
        (
            "attestation",
            EvidenceProof::Attestation { attestation, key: 0, suite, signature },
            vec![account(OTHER)],
        ),
        ("lock", lock, vec![Touched::Bridge(BRIDGE)]),
        ("round", round, vec![account(OTHER), account(THIRD)]),
    ];
    let tags: BTreeSet<u8> = rows.iter().map(|(_, evidence, _)| encode(evidence)[0]).collect();
    assert_eq!(tags, (0..rows.len() as u8).collect());
    for (name, evidence, reads) in rows {
        let mut record = record();
        record.signed.transition.evidence = vec![evidence];
        assert_eq!(record.reads(), reads.into_iter().chain([account(ACTOR)]).collect(), "{name}");
    }

    let mut made = record();
    made.credits = vec![Credit {
        id: CREDIT,
        token: TOKEN,
        from: OTHER,
        to: THIRD,
        amount: 1,
        memo: vec![],
        time_ms: 0,
    }];
    let parties = [account(ACTOR), account(OTHER), account(THIRD), Touched::Token(TOKEN)];
    assert_eq!(made.reads(), parties.into_iter().collect());
    assert_eq!(made.writes(), [Touched::Credit(CREDIT)].into_iter().collect());
    let mut made = record();
    made.holds = vec![Hold {
        id: HOLD,
        token: TOKEN,
        owner: OTHER,
        beneficiary: THIRD,
        amount: 1,
        kind: HoldKind::Lock,
        expires_ms: None,
    }];
    assert_eq!(made.reads(), parties.into_iter().collect());
    assert_eq!(made.writes(), [Touched::Hold(HOLD)].into_iter().collect());
    // What an account's opening names as its token is none.
    let mut none = record();
    none.effects = vec![PolicyEffects { leg: 0, token: TokenId::NONE, policy_index: 0, effects: vec![] }];
    assert_eq!(none.reads(), [account(ACTOR)].into_iter().collect());
}

/// A world whose last deeds are an upgrade of a token of root's, the opening of an account that has to do with nobody,
/// and a transfer of Alice's; and the records of its log.
struct Past {
    world: World,
    slow: TokenId,
    records: Vec<Vec<u8>>,
}

impl Past {
    fn new() -> Past {
        let mut world = World::new();
        world.accept_one(world.root, publish(HEIR));
        let terms = Some(UpgradeTerms { by: 0, delay_ms: 10 });
        let slow = world.create_with("SLOW", &[(SCRIPT, vec![])], terms);
        let due_ms = world.time_ms + 10;
        let params = vec![Value::U128(100)];
        let asked = Effect::ScheduleUpgrade { policy_index: 0, policy: policy(HEIR), params, due_ms };
        world.accept_one(world.root, effects(slow, 0, &[asked]));
        world.time_ms = due_ms;
        world.accept_one(world.carol, OperationKind::Upgrade { token: slow, policy_index: 0 });
        world.open("dave");
        world.accept_one(world.alice, transfer(world.gold, world.bob, 5));
        let first = encode(&Entry::Genesis(world.genesis.clone()));
        let rest = world.log.iter().map(|record| encode(&Entry::Accepted(Box::new(record.clone()))));
        let records = std::iter::once(first).chain(rest).collect();
        Past { world, slow, records }
    }

    /// The slice that has these records whole and the paths of `touched`, under one checkpoint at the end.
    fn slice(&mut self, whole: impl Fn(u64) -> bool, touched: &BTreeSet<Touched>) -> LogSlice {
        let mut digest = Digest::default();
        let mut records = Vec::new();
        for (bytes, position) in self.records.iter().zip(1u64..) {
            let payload = Digest(*blake3::hash(bytes).as_bytes());
            digest = hash(tag::LOG, &[&digest.0, &position.to_le_bytes(), &[1], &payload.0]);
            records.push(if whole(position) { Logged::Whole(bytes.clone()) } else { Logged::Hash(payload) });
        }
        let (checkpoint, snapshot) = self.world.ledger.checkpoint(None, self.records.len() as u64, digest);
        let node = key("node");
        let bytes = sign_bytes(&node, &checkpoint.signing_message(node.suite));
        let checkpoint =
            SignedCheckpoint { checkpoint, signatures: vec![CheckpointSignature { key: node, bytes }] };
        let mut slice = LogSlice {
            genesis: self.world.genesis.clone(),
            stretches: vec![Stretch { first: 1, before: Digest::default(), records, checkpoint }],
            accounts: Default::default(),
            tokens: Default::default(),
        };
        for one in touched {
            match one {
                Touched::Account(id) => {
                    slice.accounts.insert(*id, snapshot.prove_account(id).1);
                }
                Touched::Token(id) => {
                    slice.tokens.insert(*id, snapshot.prove_token(id).1);
                }
                Touched::Policy(_) | Touched::Credit(_) | Touched::Hold(_) | Touched::Bridge(_) => {}
            }
        }
        slice
    }

    /// The records that have to do with `position`, directly or not, and what they touch.
    fn closure(&self, position: u64) -> (BTreeSet<u64>, BTreeSet<Touched>) {
        let all: Vec<(BTreeSet<Touched>, BTreeSet<Touched>)> =
            self.world.log.iter().map(|record| (record.writes(), record.reads())).collect();
        let (mut needed, mut touched) = (BTreeSet::from([position]), BTreeSet::new());
        loop {
            for position in &needed {
                let (writes, reads) = &all[*position as usize - 2];
                touched.extend(writes.union(reads).copied());
            }
            let more = (2u64..).zip(&all).filter(|(_, (writes, _))| !writes.is_disjoint(&touched));
            let found: BTreeSet<u64> = more.map(|(position, _)| position).collect();
            if found.is_subset(&needed) {
                return (needed, touched);
            }
            needed.extend(found);
        }
    }

    fn last(&self) -> u64 {
        self.records.len() as u64
    }

    fn upgrade(&self) -> u64 {
        self.last() - 2
    }
}

/// Reads, judges again and proves; how many transitions, and whether it was the whole log.
fn judged(slice: &LogSlice) -> Result<(usize, bool), SliceError> {
    let read = slice.read(&key("node"), &FastSignatures)?;
    let mut again = read.rejudge(&FastSignatures, &mut Native)?;
    let proven = again.prove()?;
    Ok((again.transitions.len(), proven.whole))
}

#[test]
fn the_whole_log_is_judged_again_and_its_roots_agree() {
    let mut past = Past::new();
    let everything: BTreeSet<Touched> =
        past.world.log.iter().flat_map(|record| record.reads().into_iter().chain(record.writes())).collect();
    let slice = past.slice(|_| true, &everything);
    assert_eq!(judged(&slice), Ok((past.world.log.len(), true)));
}

#[test]
fn a_slice_has_the_upgrade_with_what_led_to_it_and_only_hashes_of_the_rest() {
    let mut past = Past::new();
    let (needed, touched) = past.closure(past.upgrade());
    assert!(touched.contains(&Touched::Token(past.slow)) && touched.contains(&Touched::Policy(policy(HEIR))));
    assert!(!needed.contains(&(past.last() - 1)), "Dave has nothing to do with it");
    let slice = past.slice(|position| needed.contains(&position), &touched);
    let read = slice.read(&key("node"), &FastSignatures).unwrap();
    assert_eq!((read.whole(), read.hashed()), (needed.len() as u64, past.last() - needed.len() as u64));
    assert_eq!(judged(&slice), Ok((needed.len(), false)));
}

#[test]
fn any_record_left_out_of_a_slice_shows() {
    let mut past = Past::new();
    for position in [past.upgrade(), past.last()] {
        let (needed, touched) = past.closure(position);
        for left_out in needed.iter().copied() {
            let slice = past.slice(|at| at != left_out && needed.contains(&at), &touched);
            assert!(slice.read(&key("node"), &FastSignatures).is_ok(), "the hash stands in its place");
            let refused = judged(&slice).expect_err(&format!("without record {left_out}"));
            let record = matches!(refused, SliceError::Record { .. });
            let head = matches!(refused, SliceError::Head { source: ProofError::Leaf, .. });
            let path = matches!(refused, SliceError::Paths(_));
            assert!(record || head || path, "without record {left_out}: {refused}");
        }
    }
}

#[test]
fn what_was_altered_is_named() {
    type Change = fn(&mut LogSlice);
    let rows: &[(&str, Change, &str)] = &[
        ("another genesis", |s| s.genesis.node = key("thief"), "checkpoint_not_signed"),
        ("another network", |s| s.genesis.salt[0] ^= 1, "evidence_malformed"),
        ("no stretch", |s| s.stretches.clear(), "evidence_malformed"),
        ("a stretch twice", |s| s.stretches.push(s.stretches[0].clone()), "evidence_malformed"),
        ("a stretch that starts later", |s| s.stretches[0].first += 1, "evidence_malformed"),
        ("a record less", |s| drop(s.stretches[0].records.pop()), "evidence_malformed"),
        ("another past", |s| s.stretches[0].before.0[0] ^= 1, "evidence_log"),
        ("two records in each other's place", |s| s.stretches[0].records.swap(3, 4), "evidence_log"),
        (
            "a byte of a record",
            |s| match &mut s.stretches[0].records[5] {
                Logged::Whole(bytes) => bytes[40] ^= 1,
                Logged::Hash(hash) => hash.0[0] ^= 1,
            },
            "evidence_log",
        ),
        (
            "a signature more",
            |s| {
                let again = s.stretches[0].checkpoint.signatures[0].clone();
                s.stretches[0].checkpoint.signatures.push(again);
            },
            "evidence_malformed",
        ),
        ("an altered signature", |s| s.stretches[0].checkpoint.signatures[0].bytes[0] ^= 1, "bad_signature"),
        ("an altered checkpoint", |s| s.stretches[0].checkpoint.checkpoint.to_ms += 1, "bad_signature"),
        ("a path less", |s| drop(s.accounts.pop_first()), "evidence_incomplete"),
        (
            "a path more",
            |s| {
                let path = s.tokens.first_key_value().map(|(_, path)| path.clone());
                s.tokens.insert(TokenId([0xaa; 32]), path.expect("there is one"));
            },
            "evidence_incomplete",
        ),
        (
            "another account's path",
            |s| {
                let last = s.accounts.last_key_value().map(|(_, path)| path.clone());
                *s.accounts.first_entry().expect("there is one").get_mut() = last.expect("there is one");
            },
            "proof_leaf_mismatch",
        ),
    ];
    let mut past = Past::new();
    let (needed, touched) = past.closure(past.upgrade());
    let slice = past.slice(|position| needed.contains(&position), &touched);
    assert!(judged(&slice).is_ok());
    for (what, change, code) in rows {
        let mut altered = slice.clone();
        change(&mut altered);
        assert_eq!(judged(&altered).map_err(|error| error.code()), Err(*code), "{what}");
    }
}

/// A log whose node signs records that do not follow from one another: hashes and signatures hold, the rules do not.
#[test]
fn a_node_that_signs_what_does_not_follow_is_shown_up() {
    type Lie = fn(&mut Accepted);
    let rows: &[(&str, Lie)] = &[
        ("another head", |record| record.accounts[0].height += 1),
        ("a head less", |record| record.accounts.truncate(record.accounts.len() - 1)),
        ("a credit that is larger", |record| record.credits[0].amount += 1),
        ("a policy's answer", |record| {
            let effects = vec![Effect::Freeze { account: OTHER }];
            let token = record.credits[0].token;
            record.effects.push(PolicyEffects { leg: 0, token, policy_index: 0, effects });
        }),
        ("a signature", |record| record.signed.signatures[0].bytes[0] ^= 1),
        ("an amount", |record| {
            if let OperationKind::Transfer { amount, .. } = &mut record.signed.transition.operations[0].kind {
                *amount += 1;
            }
        }),
        ("an earlier time", |record| record.time_ms = 1),
    ];
    for (what, lie) in rows {
        let mut past = Past::new();
        let (needed, touched) = past.closure(past.last());
        let mut record = past.world.log.last().expect("Alice's transfer").clone();
        lie(&mut record);
        *past.records.last_mut().expect("it is there") = encode(&Entry::Accepted(Box::new(record)));
        let slice = past.slice(|position| needed.contains(&position), &touched);
        let refused = judged(&slice).expect_err(what);
        let position = past.last();
        assert!(
            matches!(refused, SliceError::Record { position: found, .. } if found == position),
            "{what}: {refused}"
        );
        assert_eq!(refused.code(), "replay_record");
    }
}

#[test]
fn a_second_genesis_and_rubbish_are_no_entries() {
    let other = NetworkGenesis { salt: [9; 32], ..World::new().genesis };
    for (bytes, at) in [(encode(&Entry::Genesis(other)), 1), (b"rubbish".to_vec(), 3)] {
        let mut past = Past::new();
        past.records[at - 1] = bytes;
        let slice = past.slice(|position| position == at as u64, &BTreeSet::new());
        let refused = slice.read(&key("node"), &FastSignatures).map(|_| ()).unwrap_err();
        assert_eq!(refused, SliceError::Entry { position: at as u64 });
    }
}

/// What a bridge is follows from the whole log only.
#[test]
fn records_of_a_bridge_are_shown_with_the_whole_log_only() {
    let mut past = Past::new();
    let config = BridgeConfig { network: past.world.ledger.network(), ..bridge_config() };
    let bridge = config.id();
    past.world.time_ms = 1_000_000;
    past.world.accept_one(past.world.carol, OperationKind::OpenBridge { config });
    let record = past.world.log.last().expect("just accepted").clone();
    past.records.push(encode(&Entry::Accepted(Box::new(record))));
    let (needed, touched) = past.closure(past.last());
    let slice = past.slice(|position| needed.contains(&position), &touched);
    assert_eq!(judged(&slice), Err(SliceError::Bridge(bridge)));
    let everything: BTreeSet<Touched> =
        past.world.log.iter().flat_map(|record| record.reads().into_iter().chain(record.writes())).collect();
    let slice = past.slice(|_| true, &everything);
    assert_eq!(judged(&slice), Ok((past.world.log.len(), true)));
}
