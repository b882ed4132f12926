//! RLP has one spelling for each value: every other one is refused, and nothing makes the reader panic.

use dsm_evm_proof::rlp::{self, Item, RlpError, Writer};
use proptest::prelude::*;

#[test]
fn b6_a_second_spelling_is_refused() {
    let long = |header: &[u8], length: usize| [header, &vec![b'a'; length]].concat();
    let rows: Vec<(&str, Vec<u8>, RlpError)> = vec![
        ("nothing", vec![], RlpError::Truncated),
        ("a small byte behind a length", vec![0x81, 0x7f], RlpError::NotMinimal),
        ("the zero byte behind a length", vec![0x81, 0x00], RlpError::NotMinimal),
        ("a short string in long form", long(&[0xb8, 55], 55), RlpError::NotMinimal),
        ("a short list in long form", long(&[0xf8, 55], 55), RlpError::NotMinimal),
        ("a length with a leading zero", long(&[0xb9, 0, 56], 56), RlpError::NotMinimal),
        ("a list's length with a leading zero", long(&[0xf9, 0, 56], 56), RlpError::NotMinimal),
        ("a string cut short", vec![0x83, 1, 2], RlpError::Truncated),
        ("a list cut short", vec![0xc3, 1, 2], RlpError::Truncated),
        ("a length cut short", vec![0xb9, 1], RlpError::Truncated),
        ("a length of 2^64-1", [vec![0xbf], vec![0xff; 8]].concat(), RlpError::Truncated),
        ("a list of 2^64-1", [vec![0xff], vec![0xff; 8]].concat(), RlpError::Truncated),
        ("two items", vec![0x80, 0x80], RlpError::Trailing),
        ("a byte behind a list", vec![0xc0, 0x00], RlpError::Trailing),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(rlp::item(&bytes), Err(error), "{name}");
    }
    assert_eq!(rlp::item(&long(&[0xb8, 56], 56)), Ok(Item::Bytes(&[b'a'; 56])));
    assert_eq!(rlp::item(&[0x81, 0x80]), Ok(Item::Bytes(&[0x80])));
}

#[test]
fn b6_numbers_have_no_leading_zeros_and_lists_no_spare_items() {
    let rows: [(&[u8], Result<u64, RlpError>); 7] = [
        (&[0xc1, 0x80], Ok(0)),
        (&[0xc1, 0x01], Ok(1)),
        (&[0xc1, 0x00], Err(RlpError::LeadingZero)),
        (&[0xc3, 0x82, 0x00, 0x01], Err(RlpError::LeadingZero)),
        (&[0xca, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0], Err(RlpError::TooLarge)),
        (&[0xc1, 0xc0], Err(RlpError::UnexpectedList)),
        (&[0xc0], Err(RlpError::MissingItem)),
    ];
    for (bytes, expected) in rows {
        assert_eq!(rlp::list(bytes).unwrap().u64(), expected, "{bytes:?}");
    }
    assert_eq!(rlp::number(&[1; 33]), Err(RlpError::TooLarge));
    assert_eq!(rlp::list(&[0xc2, 1, 2]).unwrap().finish(), Err(RlpError::ExtraItem));
    assert_eq!(rlp::list(&[0x80]).unwrap_err(), RlpError::UnexpectedBytes);
    assert_eq!(rlp::bytes(&[0xc0]).unwrap_err(), RlpError::UnexpectedList);
    let wrong = RlpError::WrongLength { expected: 20, found: 2 };
    assert_eq!(rlp::list(&[0xc3, 0x82, 1, 2]).unwrap().address(), Err(wrong));
    assert_eq!(rlp::list(&[0xc6, 0x85, 1, 0, 0, 0, 0]).unwrap().u32(), Err(RlpError::TooLarge));
}

/// Reads everything that is there and writes it again.
fn rewrite(item: Item<'_>, writer: &mut Writer) -> Result<(), RlpError> {
    match item {
        Item::Bytes(bytes) => _ = writer.bytes(bytes),
        Item::List(mut items) => {
            let mut inner = Writer::new();
            while !items.is_empty() {
                rewrite(items.item()?.0, &mut inner)?;
            }
            let inner = inner.finish();
            writer.list(|list| _ = list.raw(&inner));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut writer = Writer::new();
        if rlp::item(&bytes).is_ok_and(|item| rewrite(item, &mut writer).is_ok()) {
            prop_assert_eq!(writer.finish(), bytes);
        }
    }

    #[test]
    fn what_is_written_is_read_the_same(number: u128, length in 0_usize..70_000) {
        let content = vec![0xab; length];
        let list = rlp::write_list(|list| _ = list.number(number).bytes(&content));
        let mut items = rlp::list(&list).unwrap();
        prop_assert_eq!(items.u128(), Ok(number));
        prop_assert_eq!(items.bytes(), Ok(content.as_slice()));
        prop_assert_eq!(items.finish(), Ok(()));
    }
}
