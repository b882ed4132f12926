//! What a real EVM answers to `eth_getProof`, checked by `dsm-evm-proof`: present, absent, and every byte flipped.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

use dsm_crypto::recover_address;
use dsm_evm_proof::{
    Address, Hash, Mode, QbftError, QbftHeader, RecoverSigner, Rules, Seal, SealedHeader, Shown, TrustedSet,
    prove_account, prove_storage, word,
};
use dsm_qbft_shim::{Anvil, Rpc, Seals, Shim, ShimConfig};
use serde_json::{Value, json};

/// Slots that the contract fills: enough for branches on two levels.
const SLOTS: u8 = 40;

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap()
}

fn nodes(value: &Value) -> Vec<Vec<u8>> {
    value.as_array().unwrap().iter().map(bytes).collect()
}

/// Makes a contract that holds 7 * n in each slot n from 1 on.
fn filled(rpc: &Rpc) -> Address {
    let code: Vec<u8> = (1..=SLOTS).flat_map(|slot| [0x60, slot.wrapping_mul(7), 0x60, slot, 0x55]).collect();
    let accounts = rpc.call("eth_accounts", json!([])).unwrap();
    let sent =
        json!([{ "from": accounts[0], "data": format!("0x{}", hex::encode(code)), "gas": "0x400000" }]);
    let hash = rpc.call("eth_sendTransaction", sent).unwrap();
    let receipt = rpc.call("eth_getTransactionReceipt", json!([hash])).unwrap();
    assert_eq!(receipt["status"], "0x1");
    bytes(&receipt["contractAddress"]).try_into().unwrap()
}

/// Account nodes and storage nodes for a slot in the newest block, with the block's state root.
fn proof(rpc: &Rpc, address: &Address, slot: &Hash) -> (Hash, Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let block = rpc.call("eth_getBlockByNumber", json!(["latest", false])).unwrap();
    let [address, slot] = [hex::encode(address), hex::encode(slot)].map(|text| format!("0x{text}"));
    let answer = rpc.call("eth_getProof", json!([address, [slot], block["number"]])).unwrap();
    let root = bytes(&block["stateRoot"]).try_into().unwrap();
    (root, nodes(&answer["accountProof"]), nodes(&answer["storageProof"][0]["proof"]))
}

/// Every copy of `nodes` with one bit of one byte flipped, each bit in turn.
fn flipped(nodes: &[Vec<u8>]) -> impl Iterator<Item = Vec<Vec<u8>>> {
    nodes.iter().enumerate().flat_map(move |(at, node)| {
        (0..node.len()).map(move |byte| {
            let mut copy = nodes.to_vec();
            copy[at][byte] ^= 1 << (byte % 8);
            copy
        })
    })
}

#[test]
fn b1_real_proofs_hold_and_no_byte_of_them_can_change() {
    if !Anvil::for_test("real proofs") {
        return;
    }
    let anvil = Anvil::start().unwrap();
    let shim = Shim::start(anvil.url(), ShimConfig::default()).unwrap();
    let rpc = shim.rpc();
    let contract = filled(&rpc);
    let mut flips = 0;
    // A slot that is filled, one that is not and shares its way with others, and one far away.
    for (slot, expected) in [(9, Shown::Present(word(63))), (200, Shown::Absent), (1 << 100, Shown::Absent)] {
        let slot = word(slot);
        let (root, account_nodes, storage_nodes) = proof(&rpc, &contract, &slot);
        let Shown::Present(account) = prove_account(&root, &contract, &account_nodes).unwrap() else {
            panic!("the contract is there")
        };
        assert_eq!(prove_storage(&account.storage_root, &slot, &storage_nodes).unwrap(), expected);
        for altered in flipped(&account_nodes) {
            assert!(prove_account(&root, &contract, &altered).is_err());
            flips += 1;
        }
        for altered in flipped(&storage_nodes) {
            assert!(prove_storage(&account.storage_root, &slot, &altered).is_err());
            flips += 1;
        }
        // Truncated and empty: not shown, which is neither present nor absent.
        for length in 0..storage_nodes.len() {
            assert!(prove_storage(&account.storage_root, &slot, &storage_nodes[..length]).is_err());
        }
    }
    let nobody = [0x77; 20];
    let (root, account_nodes, _) = proof(&rpc, &nobody, &[0; 32]);
    assert_eq!(prove_account(&root, &nobody, &account_nodes).unwrap(), Shown::Absent);
    for altered in flipped(&account_nodes) {
        assert!(prove_account(&root, &nobody, &altered).is_err());
        flips += 1;
    }
    println!("{flips} flipped bytes, none of them believed");
    assert!(flips > 3_000, "only {flips} bytes");
}

struct Recover;

impl RecoverSigner for Recover {
    fn recover(&self, digest: &Hash, signature: &Seal) -> Option<Address> {
        recover_address(digest, signature)
    }
}

fn verified(set: &TrustedSet, header: &[u8]) -> Result<SealedHeader, QbftError> {
    set.verify_seals(&RULES, QbftHeader::decode(header)?, &Recover)
}

const RULES: Rules = Rules { mode: Mode::Header, trusting_period_s: 0, clock_drift_s: 60 };

#[test]
fn headers_of_the_shim_pass_the_rules_of_qbft_and_broken_ones_do_not() {
    if !Anvil::for_test("headers under the rules of QBFT") {
        return;
    }
    let anvil = Anvil::start().unwrap();
    let shim = Shim::start(anvil.url(), ShimConfig::default()).unwrap();
    let rpc = shim.rpc();
    rpc.call("anvil_mine", json!(["0x6"])).unwrap();
    let set = TrustedSet::new(shim.validators(0), 0, 0).unwrap();
    for number in 1..=6 {
        let sealed = verified(&set, &shim.header(number).unwrap()).unwrap();
        let told = rpc.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).unwrap();
        assert_eq!(sealed.block_hash().to_vec(), bytes(&told["hash"]), "block {number}");
        assert_eq!(sealed.state_root().to_vec(), bytes(&told["stateRoot"]), "block {number}");
        // A second header of one height is sealed as well: that is what convicts.
        let twin = verified(&set, &shim.twin(number).unwrap()).unwrap();
        assert_ne!(sealed.block_hash(), twin.block_hash());
    }
    // One member of four leaves at a time: both thresholds hold.
    shim.rotate(vec![1, 2, 3, 4]).unwrap();
    rpc.call("anvil_mine", json!(["0x1"])).unwrap();
    let moved = set.advance(&RULES, &verified(&set, &shim.header(7).unwrap()).unwrap(), None).unwrap();
    assert_eq!(moved.validators(), shim.validators(7));
    // A set of strangers convinces nobody, nor does a quorum less one.
    shim.rotate(vec![10, 11, 12, 13]).unwrap();
    rpc.call("anvil_mine", json!(["0x1"])).unwrap();
    assert!(matches!(verified(&moved, &shim.header(8).unwrap()), Err(QbftError::Overlap { .. })));
    shim.rotate(vec![1, 2, 3, 4]).unwrap();
    shim.set_seals(Seals::Exactly(2)).unwrap();
    rpc.call("anvil_mine", json!(["0x1"])).unwrap();
    let few = verified(&moved, &shim.header(9).unwrap());
    assert!(matches!(few, Err(QbftError::Quorum { needed: 3, found: 2 })));
}
