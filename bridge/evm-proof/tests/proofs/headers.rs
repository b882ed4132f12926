//! Headers of every fork: one spelling, the right hash, linked to their parents.

use crate::support::{byte_lists, plain_header, vector};
use dsm_evm_proof::{HEADER_BYTES_MAX, Hash, Header, HeaderError, rlp};

#[test]
fn a_chain_of_every_fork_is_linked_by_its_hashes() {
    let file = vector("eip1186/execution-apis-chain.json");
    let mut parent: Option<Hash> = None;
    let mut counts = std::collections::BTreeSet::new();
    for (number, bytes) in (1..).zip(byte_lists(&file["headers"])) {
        let header = Header::decode(&bytes).unwrap();
        assert_eq!(header.number, number);
        assert_eq!(header.encode(), bytes);
        assert!(parent.is_none_or(|parent| parent == header.parent_hash), "block {number}");
        parent = Some(header.hash());
        counts.insert(items_of(&bytes).len());
    }
    assert_eq!(parent.unwrap()[..4], [0xd2, 0x26, 0x37, 0x1d], "the hash that eth_getProof was asked with");
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [15, 16, 17, 20, 21]);
}

fn items_of(header: &[u8]) -> Vec<Vec<u8>> {
    let (mut items, mut all) = (rlp::list(header).unwrap(), Vec::new());
    while !items.is_empty() {
        all.push(items.item().unwrap().1.to_vec());
    }
    all
}

fn of_items(items: &[Vec<u8>]) -> Vec<u8> {
    rlp::write_list(|list| items.iter().for_each(|item| _ = list.raw(item)))
}

#[test]
fn fields_that_are_missing_too_many_or_of_another_form_are_refused() {
    let full = Header {
        withdrawals_root: Some([1; 32]),
        blob_gas: Some((1, 2)),
        parent_beacon_root: Some([2; 32]),
        requests_hash: Some([3; 32]),
        ..plain_header(5, [4; 32])
    };
    let items = items_of(&full.encode());
    assert_eq!(items.len(), 21);
    for count in 0..=21 {
        // 18 fields would be half of the two that Cancun's blobs brought together.
        let accepted = count >= 15 && count != 18;
        assert_eq!(Header::decode(&of_items(&items[..count])).is_ok(), accepted, "{count} fields");
    }
    let more = of_items(&[items.as_slice(), &[vec![0x01]]].concat());
    assert_eq!(Header::decode(&more), Err(HeaderError::Malformed(rlp::RlpError::ExtraItem)));
    for (field, item) in items.iter().enumerate() {
        let mut changed = items.clone();
        // A list nowhere belongs; a number with a leading zero, or a hash one byte longer, neither.
        changed[field] = vec![0xc0];
        assert!(Header::decode(&of_items(&changed)).is_err(), "field {field} as a list");
        let content = rlp::bytes(item).unwrap();
        let mut longer = rlp::Writer::new();
        longer.bytes(&[&[0], content].concat());
        changed[field] = longer.finish();
        let extra_data = 12;
        assert_eq!(
            Header::decode(&of_items(&changed)).is_ok(),
            field == extra_data,
            "field {field} with a zero"
        );
    }
    let found = HEADER_BYTES_MAX + 1;
    assert_eq!(Header::decode(&vec![0; found]), Err(HeaderError::TooLong { found }));
}
