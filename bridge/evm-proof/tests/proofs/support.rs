//! What the tests share: keys that seal, a trie by definition, a small chain with a bridge contract in its state.

use dsm_evm_proof::rlp::write_list;
use dsm_evm_proof::{
    Address, EMPTY_OMMERS, EMPTY_ROOT, EvmLockProof, ExtraData, Hash, Header, Lock, LockKind, Mode,
    QbftHeader, RecoverSigner, Rules, Seal, TrustedSet, keccak256, lock_storage_key, rlp, word,
};
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use serde_json::Value;
use std::collections::BTreeMap;

/// A file of `tests/vectors`.
pub(crate) fn vector(path: &str) -> Value {
    let path = format!("{}/tests/vectors/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// The bytes that a JSON string spells, with or without `0x`.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    let text = text.strip_prefix("0x").unwrap_or(text);
    hex::decode(if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() }).unwrap()
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

pub(crate) fn arrays<const N: usize>(value: &Value) -> Vec<[u8; N]> {
    value.as_array().unwrap().iter().map(array).collect()
}

pub(crate) fn byte_lists(value: &Value) -> Vec<Vec<u8>> {
    value.as_array().unwrap().iter().map(bytes).collect()
}

/// A validator with its key.
#[derive(Clone)]
pub(crate) struct Validator {
    key: SigningKey,
    pub(crate) address: Address,
}

pub(crate) fn validator(seed: u8) -> Validator {
    let key = SigningKey::from_slice(&[seed; 32]).unwrap();
    let address = address_of(key.verifying_key());
    Validator { key, address }
}

/// Validators whose keys are made of the seeds `from..=to`, in ascending order of their addresses, as Besu lists them.
pub(crate) fn validators(from: u8, to: u8) -> Vec<Validator> {
    let mut all: Vec<Validator> = (from..=to).map(validator).collect();
    all.sort_by_key(|validator| validator.address);
    all
}

pub(crate) fn addresses(validators: &[Validator]) -> Vec<Address> {
    validators.iter().map(|validator| validator.address).collect()
}

impl Validator {
    pub(crate) fn seal(&self, digest: &Hash) -> Seal {
        let (signature, id) = self.key.sign_prehash_recoverable(digest);
        let mut seal = [0; 65];
        seal[..64].copy_from_slice(&signature.to_bytes());
        seal[64] = id.to_byte();
        seal
    }
}

fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_sec1_point(false);
    keccak256(&[&point.as_bytes()[1..]])[12..].try_into().unwrap()
}

/// Recovery without any strictness of its own, so that what refuses is this crate.
pub(crate) struct Recover;

impl RecoverSigner for Recover {
    fn recover(&self, digest: &Hash, signature: &Seal) -> Option<Address> {
        let id = RecoveryId::from_byte(signature[64])?;
        let signature = Signature::from_slice(&signature[..64]).ok()?;
        Some(address_of(&VerifyingKey::recover_from_prehash(digest, &signature, id).ok()?))
    }
}

pub(crate) const RULES: Rules = Rules { mode: Mode::Header, trusting_period_s: 0, clock_drift_s: 15 };
/// The time of block 1; a block every two seconds.
pub(crate) const GENESIS_S: u64 = 1_700_000_000;
/// A time at which no header of the tests, genuine ones included, is of the future.
pub(crate) const NOW_S: u64 = GENESIS_S + 100_000_000;

pub(crate) fn plain_header(number: u64, state_root: Hash) -> Header {
    Header {
        parent_hash: [0x11; 32],
        ommers_hash: EMPTY_OMMERS,
        beneficiary: [0x22; 20],
        state_root,
        transactions_root: EMPTY_ROOT,
        receipts_root: EMPTY_ROOT,
        logs_bloom: Box::new([0; 256]),
        difficulty: 1,
        number,
        gas_limit: 30_000_000,
        gas_used: 0,
        timestamp: GENESIS_S + 2 * number,
        extra_data: Vec::new(),
        mix_hash: [0; 32],
        nonce: [0; 8],
        base_fee: Some(7),
        withdrawals_root: None,
        blob_gas: None,
        parent_beacon_root: None,
        requests_hash: None,
    }
}

pub(crate) fn extra(listed: &[Validator]) -> ExtraData {
    let validators = addresses(listed);
    ExtraData { vanity: [0; 32], validators, vote: None, round: 0, seals: Vec::new() }
}

/// The header with the seals of `sealing`.
pub(crate) fn seal(header: QbftHeader, sealing: &[Validator]) -> QbftHeader {
    let digest = header.commit_hash();
    let seals = sealing.iter().map(|validator| validator.seal(&digest)).collect();
    header.with_seals(seals)
}

/// A sealed header of `number` that lists `listed`.
pub(crate) fn sealed(number: u64, listed: &[Validator], sealing: &[Validator]) -> QbftHeader {
    seal(QbftHeader::build(plain_header(number, [0x33; 32]), extra(listed)), sealing)
}

pub(crate) fn trusted(validators: &[Validator]) -> TrustedSet {
    TrustedSet::new(addresses(validators), 0, GENESIS_S).unwrap()
}

/// A Merkle-Patricia trie by its definition: from all its entries, recursively, slowly.
#[derive(Default, Clone)]
pub(crate) struct Trie {
    /// Nibbles to values.
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

pub(crate) fn nibbles(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect()
}

impl Trie {
    pub(crate) fn insert_hashed(&mut self, key: &[u8], value: Vec<u8>) {
        self.entries.insert(nibbles(&keccak256(&[key])), value);
    }

    pub(crate) fn insert_plain(&mut self, key: &[u8], value: Vec<u8>) {
        self.entries.insert(nibbles(key), value);
    }

    pub(crate) fn entries(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.entries
    }

    fn all(&self) -> Vec<(&[u8], &[u8])> {
        self.entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect()
    }

    pub(crate) fn root(&self) -> Hash {
        if self.entries.is_empty() { EMPTY_ROOT } else { keccak256(&[&node(&self.all(), 0)]) }
    }

    pub(crate) fn proof_hashed(&self, key: &[u8]) -> Vec<Vec<u8>> {
        self.proof(&nibbles(&keccak256(&[key])))
    }

    /// The nodes on the way to `path`, without those that are embedded.
    pub(crate) fn proof(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let (mut entries, mut depth, mut nodes) = (self.all(), 0, Vec::new());
        while !entries.is_empty() {
            let raw = node(&entries, depth);
            if nodes.is_empty() || raw.len() >= 32 {
                nodes.push(raw);
            }
            let shared = shared(&entries, depth);
            if entries.len() == 1
                || path[depth..].iter().take(shared).ne(&entries[0].0[depth..depth + shared])
            {
                break;
            }
            depth += shared;
            if shared > 0 {
                continue;
            }
            let Some(nibble) = path.get(depth) else { break };
            entries.retain(|(key, _)| key.get(depth) == Some(nibble));
            depth += 1;
        }
        nodes
    }
}

/// Nibbles behind `depth` that all keys have in common.
fn shared(entries: &[(&[u8], &[u8])], depth: usize) -> usize {
    let first = &entries[0].0[depth..];
    let common = |key: &[u8]| first.iter().zip(&key[depth..]).take_while(|(one, other)| one == other).count();
    entries.iter().map(|(key, _)| common(key)).min().unwrap()
}

pub(crate) fn hex_prefix(path: &[u8], leaf: bool) -> Vec<u8> {
    let flag = if leaf { 0x20 } else { 0 };
    let (first, rest) = if path.len() % 2 == 1 { (flag | 0x10 | path[0], &path[1..]) } else { (flag, path) };
    let pairs = rest.chunks(2).map(|pair| pair[0] << 4 | pair[1]);
    std::iter::once(first).chain(pairs).collect()
}

fn node(entries: &[(&[u8], &[u8])], depth: usize) -> Vec<u8> {
    if let [(key, value)] = entries {
        return write_list(|items| _ = items.bytes(&hex_prefix(&key[depth..], true)).bytes(value));
    }
    let shared = shared(entries, depth);
    if shared > 0 {
        let child = reference(&node(entries, depth + shared));
        let path = hex_prefix(&entries[0].0[depth..depth + shared], false);
        return write_list(|items| _ = items.bytes(&path).raw(&child));
    }
    write_list(|items| {
        for nibble in 0..16 {
            let below: Vec<_> =
                entries.iter().filter(|(key, _)| key.get(depth) == Some(&nibble)).copied().collect();
            let child = if below.is_empty() { vec![0x80] } else { reference(&node(&below, depth + 1)) };
            items.raw(&child);
        }
        let here = entries.iter().find(|(key, _)| key.len() == depth);
        items.bytes(here.map_or(&[], |(_, value)| *value));
    })
}

pub(crate) fn reference(node: &[u8]) -> Vec<u8> {
    if node.len() < 32 { node.to_vec() } else { [&[0xa0], keccak256(&[node]).as_slice()].concat() }
}

pub(crate) fn account_value(nonce: u64, balance: u128, storage_root: Hash, code_hash: Hash) -> Vec<u8> {
    write_list(|items| {
        items.number(nonce.into()).number(balance).bytes(&storage_root).bytes(&code_hash);
    })
}

pub(crate) fn word_value(value: &Hash) -> Vec<u8> {
    let zeros = value.iter().take_while(|byte| **byte == 0).count();
    let mut writer = rlp::Writer::new();
    writer.bytes(&value[zeros..]);
    writer.finish()
}

pub(crate) const CHAIN: u64 = 138;
pub(crate) const BRIDGE: Address = [0xb7; 20];
pub(crate) const CODE: Hash = [0xc0; 32];

pub(crate) fn slot() -> Hash {
    word(3)
}

pub(crate) fn lock(nonce: u64) -> Lock {
    Lock {
        nonce,
        kind: LockKind::Erc20,
        asset: [0xa5; 20],
        sender: [0x5e; 20],
        token: [0x70; 32],
        recipient: [0xac; 32],
        amount: 1_000_000 + u128::from(nonce),
        deadline_s: NOW_S + 86_400,
    }
}

/// A state with some accounts, in which the bridge contract holds `locks` locks, numbered from 0.
pub(crate) struct World {
    pub(crate) state: Trie,
    pub(crate) storage: Trie,
}

pub(crate) fn world(accounts: u64, locks: u64) -> World {
    let mut storage = Trie::default();
    for nonce in 0..locks {
        let commitment = lock(nonce).commitment(CHAIN, &BRIDGE);
        storage.insert_hashed(&lock_storage_key(nonce, &slot()), word_value(&commitment));
    }
    let mut world = World { state: Trie::default(), storage };
    for account in 0..accounts {
        let address = &keccak256(&[&word(account.into())])[12..];
        world.state.insert_hashed(address, account_value(account, 7, EMPTY_ROOT, dsm_evm_proof::EMPTY_CODE));
    }
    let root = world.storage.root();
    world.state.insert_hashed(&BRIDGE, account_value(1, 1_000, root, CODE));
    world
}

impl World {
    /// The proof about the lock `nonce`, whether it is there or not, without a header.
    pub(crate) fn proof(&self, nonce: u64) -> EvmLockProof {
        EvmLockProof {
            header: Vec::new(),
            attestations: Vec::new(),
            account: self.state.proof_hashed(&BRIDGE),
            storage: self.storage.proof_hashed(&lock_storage_key(nonce, &slot())),
            lock: lock(nonce),
        }
    }
}
