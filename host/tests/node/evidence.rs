//! Evidence packages: cut by a node, judged again by somebody who has nothing but the file and the node's key.

use crate::world::{Owner, START_MS, World, genesis, sign};
use dsm_abi::{Suite, TransitionId, Value, encode, lane};
use dsm_core::{Logged, PublicKey, SignedCheckpoint};
use dsm_crypto::{Verifier, hash_guest, verify_guest};
use dsm_host::engine::{Engine, EngineConfig, GuestCrypto};
use dsm_host::evidence::{EvidenceError, EvidenceReport, Step, verify};
use dsm_host::node::EvidenceCutError;
use dsm_sdk::evidence::EvidencePackage;
use dsm_sdk::package::Package;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

struct Crypto;

impl GuestCrypto for Crypto {
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        hash_guest(algorithm, bytes)
    }

    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
        verify_guest(algorithm, key, message, signature)
    }
}

/// One instance does, as long as one test at a time uses it.
static ENGINE: LazyLock<Mutex<Engine>> = LazyLock::new(|| {
    let config = EngineConfig { instances: 1, ..EngineConfig::default() };
    Mutex::new(Engine::new(&config, Arc::new(Crypto)).unwrap())
});

pub(crate) fn judged(bytes: &[u8], trusted: &PublicKey) -> Result<EvidenceReport, EvidenceError> {
    verify(bytes, Some(trusted), &Verifier::new(), &ENGINE.lock().unwrap_or_else(PoisonError::into_inner))
}

pub(crate) fn take(world: &World) -> SignedCheckpoint {
    tokio::runtime::Runtime::new().unwrap().block_on(world.node.checkpoint()).unwrap()
}

/// A history in which only some has to do with the payment that is asked about: Carol and her token do not, but for the
/// policy that both tokens share.
struct Told {
    _folder: tempfile::TempDir,
    world: World,
    payment: TransitionId,
    said: TransitionId,
}

fn told() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path());
    let (alice, bob, token) = (&world.alice, &world.bob, world.token);
    let carol = Owner::new(world.node.network(), 3);
    world.accept(sign(world.draft().open(genesis(world.node.network(), &carol.key)), &[&carol]));
    take(&world);
    let policy = world.node.read(|ledger| ledger.policies().next().unwrap().policy).0;
    let params = vec![Value::Keys(vec![carol.key_id()]), Value::U64(1), Value::U128(0)];
    let own = dsm_sdk::draft::NewToken::new(carol.account, "OWN", "OWN", vec![(policy, params)]);
    let own_id = own.token();
    world.accept(sign(world.by(&carol).operation(carol.account, own.operation()), &[&carol]));
    let payment = world.accept(sign(world.transfer(10), &[alice])).transition;
    world.accept(sign(world.by(&carol).mint(carol.account, own_id, carol.account, 5), &[&carol]));
    take(&world);
    world.clock.0.store(START_MS + 5, Ordering::Relaxed);
    let credit = world.credit(bob);
    let claimed = world.by(bob).claim(bob.account, credit).emit(bob.account, lane::EVM + 1, b"paid".to_vec());
    let said = world.accept(sign(claimed, &[bob])).transition;
    world.accept(sign(world.by(&carol).mint(carol.account, own_id, carol.account, 6), &[&carol]));
    let back = world.by(bob).transfer(bob.account, token, alice.account, 3);
    world.accept(sign(back, &[bob]));
    Told { _folder: folder, world, payment, said }
}

#[test]
fn a_stranger_judges_a_part_of_the_log_again_and_nothing_is_left_out() {
    let told = told();
    let world = &told.world;
    assert!(matches!(
        world.node.evidence(&[told.said], false),
        Err(EvidenceCutError::Node(error)) if error.code() == "not_checkpointed"
    ));
    let last = take(world).checkpoint.log_position;
    let trusted = &world.node.genesis().node;
    for (asked, whole) in
        [(vec![told.payment], false), (vec![told.said, told.payment], false), (vec![told.said], true)]
    {
        let package = world.node.evidence(&asked, whole).unwrap();
        let records: Vec<&Logged> =
            package.slice.stretches.iter().flat_map(|stretch| &stretch.records).collect();
        let hashed = records.iter().filter(|one| matches!(one, Logged::Hash(_))).count();
        assert_eq!((hashed == 0, records.len() as u64 == last), (whole, whole));
        assert_eq!(package.slice.accounts.len(), if whole { 3 } else { 2 });
        let report = judged(&package.encode(), trusted).unwrap();
        assert_eq!((report.log_position, report.whole), (last, whole));
        let shown: BTreeSet<TransitionId> = report.transitions.iter().map(|one| one.transition).collect();
        assert_eq!(shown, asked.iter().copied().collect());
        for one in &report.transitions {
            let receipt = world.node.receipt(&one.transition).unwrap().unwrap();
            assert_eq!((one.position, one.log_digest), (receipt.position, receipt.log_digest));
            assert_eq!(one.emitted, usize::from(one.transition == told.said));
        }
        assert_eq!(report.steps.iter().map(|one| one.step).collect::<Vec<_>>(), Step::ALL);
    }
}

#[test]
fn what_cannot_be_cut_says_why() {
    let told = told();
    let cut = |asked: &[TransitionId]| told.world.node.evidence(asked, false).unwrap_err().code();
    let many: Vec<TransitionId> = (0..=64).map(|number| TransitionId([number; 32])).collect();
    let rows: [(&[TransitionId], &str); 4] = [
        (&[TransitionId([7; 32])], "not_found"),
        (&[], "malformed_request"),
        (&many, "malformed_request"),
        (&[told.said], "not_checkpointed"),
    ];
    for (asked, code) in rows {
        assert_eq!(cut(asked), code);
    }
}

/// Puts a record's hash in its place: the chain of the log stays as it was.
fn hide(package: &mut EvidencePackage, which: usize) {
    let records = package.slice.stretches.iter_mut().flat_map(|stretch| &mut stretch.records);
    let whole = records.filter(|one| matches!(one, Logged::Whole(_))).nth(which).unwrap();
    let Logged::Whole(bytes) = &*whole else { unreachable!("filtered") };
    let hash = dsm_abi::Digest(*blake3::hash(bytes).as_bytes());
    *whole = Logged::Hash(hash);
}

fn whole_records(package: &EvidencePackage) -> usize {
    let records = package.slice.stretches.iter().flat_map(|stretch| &stretch.records);
    records.filter(|one| matches!(one, Logged::Whole(_))).count()
}

fn with_policy_package(package: &mut EvidencePackage, change: impl FnOnce(&mut Package)) {
    let mut found = Package::decode(&package.packages[0]).unwrap();
    change(&mut found);
    package.packages[0] = encode(&found);
}

type Change = fn(&mut EvidencePackage, &World);

/// What somebody may do to a package who can write canonical bytes, and the step that finds it.
const ALTERATIONS: &[(&str, Step, &str, Change)] = &[
    ("no transition", Step::Format, "evidence_malformed", |package, _| package.transitions.clear()),
    ("transitions out of order", Step::Format, "evidence_malformed", |package, _| {
        package.transitions.reverse()
    }),
    ("another network's name", Step::Log, "evidence_malformed", |package, _| {
        package.slice.genesis.name.push('x')
    }),
    ("no stretch", Step::Log, "evidence_malformed", |package, _| package.slice.stretches.clear()),
    ("a stretch twice", Step::Log, "evidence_malformed", |package, _| {
        let again = package.slice.stretches[0].clone();
        package.slice.stretches.push(again);
    }),
    ("a record moved", Step::Log, "evidence_malformed", |package, _| package.slice.stretches[0].first += 1),
    ("a record less", Step::Log, "evidence_malformed", |package, _| {
        package.slice.stretches[0].records.pop();
    }),
    ("another past", Step::Log, "evidence_log", |package, _| package.slice.stretches[0].before.0[0] ^= 1),
    ("two records exchanged", Step::Log, "evidence_log", |package, _| {
        package.slice.stretches[0].records.swap(0, 1);
    }),
    ("a signature more", Step::Log, "evidence_malformed", |package, _| {
        let signatures = &mut package.slice.stretches[0].checkpoint.signatures;
        signatures.push(signatures[0].clone());
    }),
    ("a checkpoint forged", Step::Log, "bad_signature", |package, _| {
        package.slice.stretches[0].checkpoint.checkpoint.epoch += 1;
    }),
    ("another module", Step::Policies, "module_cid_mismatch", |package, _| {
        let cash = include_bytes!("../../../policies/dist/cash.wasm");
        with_policy_package(package, |found| found.module = cash.to_vec());
    }),
    ("a policy's author gone", Step::Policies, "policy_unsigned", |package, _| {
        with_policy_package(package, |found| found.envelope.signature.clear());
    }),
    ("a policy signed otherwise", Step::Policies, "policy_bad_signature", |package, _| {
        with_policy_package(package, |found| found.envelope.signature[9] ^= 1);
    }),
    ("a policy twice", Step::Policies, "evidence_incomplete", |package, _| {
        let again = package.packages[0].clone();
        package.packages.push(again);
    }),
    ("a policy missing", Step::Transitions, "replay_record", |package, _| package.packages.clear()),
    ("another policy, honestly signed", Step::Transitions, "replay_record", |package, world| {
        let cash = include_bytes!("../../../policies/dist/cash.wasm");
        package.packages = vec![encode(&world.package(cash))];
    }),
    ("a policy too many", Step::Transitions, "evidence_incomplete", |package, world| {
        let cash = include_bytes!("../../../policies/dist/cash.wasm");
        package.packages.push(encode(&world.package(cash)));
        package.packages.sort_by_key(|bytes| Package::decode(bytes).unwrap().envelope.policy);
    }),
    ("the first record hidden", Step::Transitions, "replay_record", |package, _| hide(package, 0)),
    ("the last record hidden", Step::Heads, "proof_leaf_mismatch", |package, _| {
        let last = whole_records(package) - 1;
        hide(package, last);
    }),
    ("a transition that is not there", Step::Transitions, "evidence_incomplete", |package, _| {
        package.transitions[0].0[0] ^= 1;
        package.transitions.sort();
    }),
    ("a path less", Step::Heads, "evidence_incomplete", |package, _| {
        package.slice.accounts.pop_first();
    }),
    ("a path to nobody more", Step::Heads, "evidence_incomplete", |package, _| {
        let (_, path) = package.slice.accounts.first_key_value().unwrap();
        let path = path.clone();
        package.slice.accounts.insert(dsm_abi::AccountId([7; 32]), path);
    }),
    ("a path altered", Step::Heads, "proof_root_mismatch", |package, _| {
        let mut first = package.slice.accounts.first_entry().unwrap();
        first.get_mut().siblings[0].0[0] ^= 1;
    }),
    ("the outbox altered", Step::Outbox, "proof_root_mismatch", |package, _| {
        package.outbox[0].entry.payload = b"lost".to_vec();
    }),
    ("the outbox in other words", Step::Outbox, "proof_root_mismatch", |package, _| {
        package.outbox[0].entry.actor.0[0] ^= 1;
    }),
    ("the outbox silent", Step::Outbox, "evidence_outbox", |package, _| package.outbox.clear()),
    ("the outbox twice", Step::Outbox, "evidence_outbox", |package, _| {
        let again = package.outbox[0].clone();
        package.outbox.push(again);
    }),
];

#[test]
fn every_alteration_is_refused_at_its_step() {
    let told = told();
    take(&told.world);
    let trusted = &told.world.node.genesis().node;
    let package = told.world.node.evidence(&[told.payment, told.said], false).unwrap();
    judged(&package.encode(), trusted).unwrap();
    for (what, step, code, change) in ALTERATIONS {
        let mut altered = package.clone();
        change(&mut altered, &told.world);
        let error = judged(&altered.encode(), trusted).expect_err(what);
        assert_eq!((error.step, error.source.code()), (*step, *code), "{what}: {error}");
        assert!(error.to_string().contains(step.name()), "{what}: {error}");
    }
    let steps: BTreeSet<Step> = ALTERATIONS.iter().map(|(_, step, ..)| *step).collect();
    assert_eq!(steps, Step::ALL.into_iter().collect());
    let stranger = PublicKey { suite: Suite::MlDsa65, bytes: vec![7; 1952] };
    let error = judged(&package.encode(), &stranger).unwrap_err();
    assert_eq!((error.step, error.source.code()), (Step::Log, "checkpoint_not_signed"));
}

/// Every byte of the small parts and one of every 41 of the rest: no bit of a package is free.
#[test]
fn a_package_with_one_bit_flipped_shows_nothing() {
    let told = told();
    take(&told.world);
    let trusted = &told.world.node.genesis().node;
    let bytes = told.world.node.evidence(&[told.said], false).unwrap().encode();
    let ends = (0..128).chain(bytes.len().saturating_sub(64)..bytes.len());
    let places: BTreeSet<usize> = ends.chain((0..bytes.len()).step_by(41)).collect();
    let mut steps = BTreeSet::new();
    for place in places {
        let mut altered = bytes.clone();
        altered[place] ^= 1 << (place % 8);
        match judged(&altered, trusted) {
            Ok(_) => panic!("the bit at byte {place} of {} does not count", bytes.len()),
            Err(error) => steps.insert(error.step),
        };
    }
    assert!(steps.is_superset(&BTreeSet::from([Step::Format, Step::Log, Step::Policies])), "{steps:?}");
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(judged(&bytes[..length], trusted).unwrap_err().step, Step::Format);
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(judged(&longer, trusted).unwrap_err().step, Step::Format);
}
