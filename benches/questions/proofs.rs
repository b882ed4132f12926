//! How many locks of an EVM chain can this machine judge a second? Each from its bytes: the header's seals recovered
//! and counted, then every node of the account's and the lock's proof hashed and walked.
//!
//! Four validators of whom three sealed, a state of 50,000 accounts, a bridge with 1,000 locks. The parts are measured
//! apart, because locks under one header share its seals.

use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dsm_crypto::{Recover, Secp256k1Key};
use dsm_evm_proof::{
    Address, EMPTY_CODE, EMPTY_OMMERS, EMPTY_ROOT, EvmLockProof, ExtraData, Hash, Header, Lock, LockKind,
    Mode, QbftHeader, Rules, Shown, TrustedSet, keccak256, lock_storage_key, rlp, word,
};
use std::time::{Duration, Instant};

const CHAIN: u64 = 138;
const BRIDGE: Address = [0xb7; 20];
const ACCOUNTS: u64 = 50_000;
const LOCKS: u64 = 1_000;
const VALIDATORS: u8 = 4;
const SEALS: usize = 3;
const TIME_S: u64 = 1_700_000_000;
const RULES: Rules = Rules { mode: Mode::Header, trusting_period_s: 0, clock_drift_s: 15 };

fn proofs(c: &mut Criterion) {
    let (set, bytes) = sealed_proof();
    let proof = EvmLockProof::decode(&bytes).expect("its own bytes");
    let (nodes, size) = (proof.account.len() + proof.storage.len(), bytes.len());
    let root = seals(&set, &proof);
    let header = format!("{VALIDATORS} validators, {SEALS} seals");
    let whole = format!("{header}, {nodes} nodes, {size} bytes");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);

    let mut group = c.benchmark_group("proofs");
    group.throughput(Throughput::Elements(1));
    let lock = || {
        let proof = EvmLockProof::decode(&bytes).expect("its own bytes");
        walk(&proof, &seals(&set, &proof));
    };
    group.bench_function(format!("lock: {whole}/1 core"), |bencher| bencher.iter(lock));
    group.bench_function(format!("lock: {whole}/{cores} cores"), |bencher| {
        bencher.iter_custom(|iterations| on_all_cores(cores, iterations, lock));
    });
    group.bench_function(format!("header alone: {header}/1 core"), |bencher| {
        bencher.iter(|| seals(&set, &proof));
    });
    group.bench_function(format!("nodes alone: {nodes} nodes/1 core"), |bencher| {
        bencher.iter(|| walk(&proof, &root));
    });
    group.finish();
}

/// The state root that the header's seals make believable.
fn seals(set: &TrustedSet, proof: &EvmLockProof) -> Hash {
    let header = QbftHeader::decode(&proof.header).expect("a header");
    set.verify_header(&RULES, header, TIME_S, &Recover).expect("it is sealed").state_root()
}

fn walk(proof: &EvmLockProof, root: &Hash) {
    let shown = proof.verify(root, &BRIDGE, &word(0), CHAIN).expect("it is shown");
    assert!(matches!(shown, Shown::Present(_)));
}

/// The time in which `cores` threads together do `iterations`.
fn on_all_cores(cores: usize, iterations: u64, check: impl Fn() + Sync) -> Duration {
    let each = iterations.div_ceil(cores as u64);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| (0..each).for_each(|_| check()));
        }
    });
    start.elapsed()
}

fn sealed_proof() -> (TrustedSet, Vec<u8>) {
    let lock = |nonce| Lock {
        nonce,
        kind: LockKind::Erc20,
        asset: [0xa5; 20],
        sender: [0x5e; 20],
        token: [0x70; 32],
        recipient: [0xac; 32],
        amount: 1_000_000,
        deadline_s: TIME_S + 86_400,
    };
    let words = (0..LOCKS).map(|nonce| {
        let commitment = lock(nonce).commitment(CHAIN, &BRIDGE);
        let digits = commitment.iter().skip_while(|digit| **digit == 0).copied().collect::<Vec<_>>();
        let mut value = rlp::Writer::new();
        value.bytes(&digits);
        (lock_storage_key(nonce, &word(0)).to_vec(), value.finish())
    });
    let (storage_root, storage) = trie(words, &lock_storage_key(LOCKS / 2, &word(0)));
    let account = |storage_root: Hash, code: Hash| {
        rlp::write_list(|fields| _ = fields.number(1).number(1_000).bytes(&storage_root).bytes(&code))
    };
    let others = (0..ACCOUNTS)
        .map(|number| (keccak256(&[&number.to_be_bytes()])[12..].to_vec(), account(EMPTY_ROOT, EMPTY_CODE)));
    let (state_root, nodes) =
        trie(others.chain([(BRIDGE.to_vec(), account(storage_root, [0xc0; 32]))]), &BRIDGE);

    let keys: Vec<Secp256k1Key> = (1..=VALIDATORS).map(validator).collect();
    let validators: Vec<Address> = keys.iter().map(Secp256k1Key::address).collect();
    let extra =
        ExtraData { vanity: [0; 32], validators: validators.clone(), vote: None, round: 0, seals: vec![] };
    let header = QbftHeader::build(london_header(state_root), extra);
    let digest = header.commit_hash();
    let seals = keys[..SEALS].iter().map(|key| key.sign_prehash(&digest)).collect();
    let proof = EvmLockProof {
        header: header.with_seals(seals).encode(),
        attestations: vec![],
        account: nodes,
        storage,
        lock: lock(LOCKS / 2),
    };
    (TrustedSet::new(validators, 0, 0).expect("a set"), proof.encode())
}

fn validator(number: u8) -> Secp256k1Key {
    Secp256k1Key::from_secret_bytes(&[number; 32]).expect("a key")
}

/// The root over all entries of hashed keys, and the nodes on the way to one of them.
fn trie(entries: impl Iterator<Item = (Vec<u8>, Vec<u8>)>, key: &[u8]) -> (Hash, Vec<Vec<u8>>) {
    let mut entries: Vec<(Hash, Vec<u8>)> = entries.map(|(key, value)| (keccak256(&[&key]), value)).collect();
    entries.sort();
    let target = Nibbles::unpack(keccak256(&[key]));
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![target]));
    for (key, value) in entries {
        builder.add_leaf(Nibbles::unpack(key), &value);
    }
    let root = builder.root().0;
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    (root, nodes.into_iter().map(|(_, node)| node.to_vec()).collect())
}

fn london_header(state_root: Hash) -> Header {
    Header {
        parent_hash: [1; 32],
        ommers_hash: EMPTY_OMMERS,
        beneficiary: [2; 20],
        state_root,
        transactions_root: [3; 32],
        receipts_root: [4; 32],
        logs_bloom: Box::new([5; 256]),
        difficulty: 1,
        number: 1_000_000,
        gas_limit: 30_000_000,
        gas_used: 21_000,
        timestamp: TIME_S,
        extra_data: vec![],
        mix_hash: [0; 32],
        nonce: [0; 8],
        base_fee: Some(7),
        withdrawals_root: None,
        blob_gas: None,
        parent_beacon_root: None,
        requests_hash: None,
    }
}

criterion_group!(benches, proofs);
criterion_main!(benches);
