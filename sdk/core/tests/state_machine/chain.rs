//! An EVM chain for tests: a contract with locks, its state as real tries, and QBFT headers over it. How a validator
//! seals is a parameter, so that tests with real keys and tests with stand-ins share it.

use dsm_core::{Address, Advance, EvmLockProof, FinalHeader, Lock, LockKind};
use dsm_evm_proof::{
    EMPTY_ROOT, ExtraData, Hash, Header, QbftHeader, Seal, keccak256, lock_storage_key, rlp::write_list, word,
};
use std::collections::BTreeMap;

/// How validators are called and how they seal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealers {
    pub(crate) address: fn(u8) -> Address,
    pub(crate) seal: fn(u8, &Hash) -> Seal,
}

/// A chain at one block.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) sealers: Sealers,
    pub(crate) chain_id: u64,
    pub(crate) contract: Address,
    pub(crate) slot: Hash,
    /// The validators that the headers name.
    pub(crate) validators: Vec<u8>,
    pub(crate) locks: BTreeMap<u64, Lock>,
    pub(crate) height: u64,
    pub(crate) time_s: u64,
}

impl Chain {
    /// Chain 138 with four validators and no locks.
    pub(crate) fn new(sealers: Sealers, time_s: u64) -> Chain {
        Chain {
            sealers,
            chain_id: 138,
            contract: [0xcc; 20],
            slot: word(7),
            validators: vec![1, 2, 3, 4],
            locks: BTreeMap::new(),
            height: 100,
            time_s,
        }
    }

    /// Locks an ERC-20 for an account under the next number.
    pub(crate) fn lock(
        &mut self,
        token: [u8; 32],
        recipient: [u8; 32],
        amount: u128,
        deadline_s: u64,
    ) -> u64 {
        let nonce = self.locks.len() as u64;
        let (kind, asset, sender) = (LockKind::Erc20, [0xaa; 20], [0x5e; 20]);
        self.locks.insert(nonce, Lock { nonce, kind, asset, sender, token, recipient, amount, deadline_s });
        self.height += 1;
        self.time_s += 2;
        nonce
    }

    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.validators.iter().map(|one| (self.sealers.address)(*one)).collect()
    }

    fn storage(&self) -> Trie {
        let stored = self.locks.values().map(|lock| {
            let value = write_number(&lock.commitment(self.chain_id, &self.contract));
            (keccak256(&[&lock_storage_key(lock.nonce, &self.slot)]), value)
        });
        Trie(stored.collect())
    }

    fn state(&self) -> Trie {
        let account = write_list(|fields| {
            fields.number(1).number(0).bytes(&self.storage().root()).bytes(&keccak256(&[b"code"]));
        });
        let stranger = write_list(|fields| {
            fields.number(1).number(5).bytes(&EMPTY_ROOT).bytes(&keccak256(&[b""]));
        });
        Trie([(keccak256(&[&self.contract]), account), (keccak256(&[&[1; 20]]), stranger)].into())
    }

    /// The header of the present block, sealed by `by`.
    pub(crate) fn sealed_by(&self, by: &[u8]) -> Vec<u8> {
        self.sealed(&self.validators, by)
    }

    /// A header that names `listed` and is sealed by `by`.
    pub(crate) fn sealed(&self, listed: &[u8], by: &[u8]) -> Vec<u8> {
        let header = Header {
            parent_hash: [9; 32],
            ommers_hash: [0; 32],
            beneficiary: (self.sealers.address)(1),
            state_root: self.state().root(),
            transactions_root: EMPTY_ROOT,
            receipts_root: EMPTY_ROOT,
            logs_bloom: Box::new([0; 256]),
            difficulty: 1,
            number: self.height,
            gas_limit: 30_000_000,
            gas_used: 0,
            timestamp: self.time_s,
            extra_data: Vec::new(),
            mix_hash: [0; 32],
            nonce: [0; 8],
            base_fee: Some(7),
            withdrawals_root: None,
            blob_gas: None,
            parent_beacon_root: None,
            requests_hash: None,
        };
        let validators = listed.iter().map(|one| (self.sealers.address)(*one)).collect();
        let extra = ExtraData { vanity: [0; 32], validators, vote: None, round: 0, seals: Vec::new() };
        let unsealed = QbftHeader::build(header, extra);
        let digest = unsealed.commit_hash();
        let seals = by.iter().map(|one| (self.sealers.seal)(*one, &digest)).collect();
        unsealed.with_seals(seals).encode()
    }

    /// The proof of a lock under the present block with these seals.
    pub(crate) fn proof_by(&self, nonce: u64, by: &[u8]) -> EvmLockProof {
        EvmLockProof {
            header: self.sealed_by(by),
            attestations: Vec::new(),
            account: self.state().proof(&keccak256(&[&self.contract])),
            storage: self.storage().proof(&keccak256(&[&lock_storage_key(nonce, &self.slot)])),
            lock: self.locks[&nonce],
        }
    }

    /// The proof of a lock, sealed by the first three validators.
    pub(crate) fn proof(&self, nonce: u64) -> EvmLockProof {
        self.proof_by(nonce, &self.validators[..3])
    }

    /// The present header as a step of a bridge.
    pub(crate) fn advance(&self, by: &[u8]) -> Advance {
        Advance { header: self.sealed_by(by), set: None }
    }

    /// The present header with its seals.
    pub(crate) fn finality(&self, by: &[u8]) -> FinalHeader {
        FinalHeader { header: self.sealed_by(by), attestations: Vec::new() }
    }
}

/// A word as storage holds it: a number without leading zeros.
fn write_number(word: &Hash) -> Vec<u8> {
    let zeros = word.iter().take_while(|byte| **byte == 0).count();
    let mut item = Vec::new();
    let content = &word[zeros..];
    if !(content.len() == 1 && content[0] < 0x80) {
        item.push(0x80 + content.len() as u8);
    }
    item.extend_from_slice(content);
    item
}

/// A Merkle-Patricia trie over hashed keys, built anew for each question.
struct Trie(BTreeMap<Hash, Vec<u8>>);

impl Trie {
    fn root(&self) -> Hash {
        if self.0.is_empty() { EMPTY_ROOT } else { keccak256(&[&node(&self.leaves(), 0)]) }
    }

    fn leaves(&self) -> Vec<(Vec<u8>, &[u8])> {
        let nibbles = |key: &Hash| key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
        self.0.iter().map(|(key, value)| (nibbles(key), value.as_slice())).collect()
    }

    /// The nodes from the root to the leaf of `key`. Values are long, so no node is embedded.
    fn proof(&self, key: &Hash) -> Vec<Vec<u8>> {
        let path: Vec<u8> = key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
        let (mut leaves, mut depth, mut nodes) = (self.leaves(), 0, Vec::new());
        while !leaves.is_empty() {
            nodes.push(node(&leaves, depth));
            if leaves.len() == 1 {
                break;
            }
            let shared = shared(&leaves, depth);
            if shared > depth {
                depth = shared;
                continue;
            }
            leaves.retain(|(nibbles, _)| nibbles[depth] == path[depth]);
            depth += 1;
        }
        nodes
    }
}

/// The depth up to which all leaves have the same nibbles.
fn shared(leaves: &[(Vec<u8>, &[u8])], depth: usize) -> usize {
    (depth..64).find(|at| leaves.iter().any(|(nibbles, _)| nibbles[*at] != leaves[0].0[*at])).unwrap_or(64)
}

fn node(leaves: &[(Vec<u8>, &[u8])], depth: usize) -> Vec<u8> {
    if let [(nibbles, value)] = leaves {
        let path = hex_prefix(&nibbles[depth..], 2);
        return write_list(|items| _ = items.bytes(&path).bytes(value));
    }
    let end = shared(leaves, depth);
    if end > depth {
        let (path, child) = (hex_prefix(&leaves[0].0[depth..end], 0), node(leaves, end));
        return write_list(|items| _ = items.bytes(&path).bytes(&keccak256(&[&child])));
    }
    write_list(|items| {
        for nibble in 0..16 {
            let below: Vec<_> = leaves.iter().filter(|(path, _)| path[depth] == nibble).cloned().collect();
            if below.is_empty() {
                items.bytes(&[]);
            } else {
                items.bytes(&keccak256(&[&node(&below, depth + 1)]));
            }
        }
        items.bytes(&[]);
    })
}

fn hex_prefix(nibbles: &[u8], flag: u8) -> Vec<u8> {
    let odd = nibbles.len() % 2;
    let mut digits = vec![flag + odd as u8];
    if odd == 0 {
        digits.push(0);
    }
    digits.extend_from_slice(nibbles);
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
