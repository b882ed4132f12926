//! The shim and the liar in front of a real anvil: what is resealed fits together, what is not touched comes through,
//! and each lie is one.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

use dsm_crypto::keccak_256;
use dsm_crypto::{Secp256k1Key, recover_address};
use dsm_qbft_shim::{Anvil, Liar, Lie, Rpc, Seals, Shim, ShimConfig, TestValidator};
use serde_json::{Value, json};

fn mine(rpc: &Rpc, blocks: u64) {
    rpc.call("anvil_mine", json!([format!("{blocks:#x}")])).unwrap();
}

fn block(rpc: &Rpc, number: u64) -> Value {
    rpc.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).unwrap()
}

/// The items of an RLP list, decoded with no care: the shim's own bytes.
fn items(bytes: &[u8]) -> Vec<&[u8]> {
    fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
        let long = |base: u8| {
            let count = usize::from(bytes[0] - base);
            let length = bytes[1..=count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            bytes[1 + count..].split_at(length)
        };
        match bytes[0] {
            0..0x80 => bytes.split_at(1),
            0x80..0xb8 => bytes[1..].split_at(usize::from(bytes[0] - 0x80)),
            0xb8..0xc0 => long(0xb7),
            0xc0..0xf8 => bytes[1..].split_at(usize::from(bytes[0] - 0xc0)),
            0xf8.. => long(0xf7),
        }
    }
    let (mut rest, none) = split(bytes);
    assert!(none.is_empty());
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (item, after) = split(rest);
        found.push(item);
        rest = after;
    }
    found
}

fn hex_bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap()
}

#[test]
fn resealed_headers_form_a_chain_that_a_quorum_of_test_validators_sealed() {
    if !Anvil::for_test("resealed headers") {
        return;
    }
    let anvil = Anvil::start().unwrap();
    let shim = Shim::start(anvil.url(), ShimConfig::default()).unwrap();
    let rpc = shim.rpc();
    assert!(rpc.call("web3_clientVersion", json!([])).unwrap().as_str().unwrap().contains("test validators"));
    mine(&rpc, 11);
    let mut parent = None;
    for number in 0..=11 {
        let told = block(&rpc, number);
        let raw = anvil.rpc().call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).unwrap();
        assert_eq!(told["stateRoot"], raw["stateRoot"]);
        assert_ne!(told["hash"], raw["hash"]);
        if let Some(parent) = parent.replace(told["hash"].clone()) {
            assert_eq!(told["parentHash"], parent);
        }
        assert_eq!(rpc.call("eth_getBlockByHash", json!([told["hash"], false])).unwrap(), told);
        let wire = shim.header(number).unwrap();
        let header = items(&wire);
        assert_eq!(header.len(), 16, "a header of London");
        assert_eq!(header[12], hex_bytes(&told["extraData"]));
    }
    assert_eq!(
        rpc.call("eth_chainId", json!([])).unwrap(),
        json!("0x8a"),
        "everything else comes from anvil"
    );
}

#[test]
fn a_set_that_rotates_seals_from_its_block_on() {
    if !Anvil::for_test("rotation") {
        return;
    }
    let anvil = Anvil::start().unwrap();
    let shim = Shim::start(anvil.url(), ShimConfig::default()).unwrap();
    let rpc = shim.rpc();
    mine(&rpc, 2);
    let from = shim.rotate(vec![1, 2, 3, 4, 5]).unwrap();
    assert_eq!(from, 3);
    mine(&rpc, 2);
    shim.set_seals(Seals::Exactly(1)).unwrap();
    mine(&rpc, 1);
    for (number, size, sealed) in [(2, 4, 3), (3, 5, 4), (5, 5, 1)] {
        let header = block(&rpc, number);
        let extra_bytes = hex_bytes(&header["extraData"]);
        let extra = items(&extra_bytes);
        // 20 bytes each with their length, and 65 with theirs.
        assert_eq!((extra[1].len(), extra[4].len()), (size * 21, sealed * 67), "block {number}");
        let set = shim.validators(number);
        assert!(set.iter().all(|one| extra[1].windows(20).any(|window| window == one)));
    }
    let (one, two) = (shim.header(4).unwrap(), shim.twin(4).unwrap());
    assert_ne!(one, two);
    assert_eq!(items(&one)[8], items(&two)[8], "a twin has the height of the first");
}

#[test]
fn a_test_validator_is_who_its_number_says() {
    let validator = TestValidator::new(7);
    let secret = keccak_256(b"dsm-qbft-shim: test validator 7");
    let key = Secp256k1Key::from_secret_bytes(&secret).unwrap();
    assert_eq!(key.address(), validator.address());
    let signature = key.sign_prehash(&[9; 32]);
    assert_eq!(recover_address(&[9; 32], &signature), Some(validator.address()));
}

#[test]
fn b10_a_reorganisation_below_seals_other_headers_of_the_same_height() {
    if !Anvil::for_test("reorganisation") {
        return;
    }
    let anvil = Anvil::start().unwrap();
    let shim = Shim::start(anvil.url(), ShimConfig::default()).unwrap();
    let rpc = shim.rpc();
    mine(&rpc, 3);
    let snapshot = rpc.call("evm_snapshot", json!([])).unwrap();
    mine(&rpc, 2);
    let before = block(&rpc, 5);
    rpc.call("evm_revert", json!([snapshot])).unwrap();
    rpc.call("evm_increaseTime", json!([60])).unwrap();
    mine(&rpc, 2);
    let after = block(&rpc, 5);
    assert_ne!(before["hash"], after["hash"]);
    assert_eq!(block(&rpc, 4)["hash"], after["parentHash"]);
    assert_eq!(rpc.call("eth_getBlockByHash", json!([before["hash"], false])).unwrap(), Value::Null);
}

/// What each lie does to the answers that a courier asks for. B11 of the threats.
#[test]
fn b11_each_lie_is_told_and_the_truth_comes_back() {
    if !Anvil::for_test("lies") {
        return;
    }
    let anvil = Anvil::start().unwrap();
    let shim = Shim::start(anvil.url(), ShimConfig::default()).unwrap();
    let liar = Liar::start(&shim.url()).unwrap();
    let (rpc, truth) = (Rpc::new(&liar.url()), shim.rpc());
    let other = Anvil::start().unwrap();
    let others = ShimConfig { validators: vec![10, 11, 12, 13], ..ShimConfig::default() };
    let other = (Shim::start(other.url(), others).unwrap(), other);
    liar.other_node(&other.0.url());
    mine(&truth, 8);
    mine(&other.0.rpc(), 8);
    // Code that stores 1 in slot 0 and logs topic 0, when it is created.
    let accounts = truth.call("eth_accounts", json!([])).unwrap();
    let sent = truth.call(
        "eth_sendTransaction",
        json!([{ "from": accounts[0], "data": "0x60016000556007600060006000a1" , "gas": "0x100000" }]),
    );
    let hash = sent.unwrap();
    let receipt = truth.call("eth_getTransactionReceipt", json!([hash])).unwrap();
    let address = receipt["contractAddress"].clone();
    let asked = [
        ("eth_chainId", json!([])),
        ("eth_blockNumber", json!([])),
        ("eth_getBlockByNumber", json!(["latest", false])),
        ("eth_getLogs", json!([{ "fromBlock": "0x0", "toBlock": "latest" }])),
        (
            "eth_getProof",
            json!([
                address,
                ["0x0000000000000000000000000000000000000000000000000000000000000000"],
                "latest"
            ]),
        ),
        ("eth_getStorageAt", json!([address, "0x0", "latest"])),
        ("eth_getTransactionReceipt", json!([hash])),
    ];
    let honest: Vec<Value> =
        asked.iter().map(|(method, params)| truth.call(method, params.clone()).unwrap()).collect();
    assert_eq!(honest[3].as_array().unwrap().len(), 1, "{:#}", honest[3]);
    for lie in Lie::ALL {
        // These differ only in how they are sent; slowness and size have their place in the courier's tests.
        if [Lie::Slow, Lie::Huge].contains(&lie) {
            continue;
        }
        liar.tell(lie);
        let differs = asked.iter().zip(&honest).any(|((method, params), honest)| {
            rpc.call(method, params.clone()).map_or(true, |answer| answer != *honest)
        });
        assert!(differs && liar.told() > 0, "{lie:?} is no lie");
        liar.tell(Lie::None);
        for ((method, params), honest) in asked.iter().zip(&honest) {
            assert_eq!(rpc.call(method, params.clone()).unwrap(), *honest, "{method} after {lie:?}");
        }
    }
}
