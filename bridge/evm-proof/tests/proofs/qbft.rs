//! QBFT: genuine headers count, forged ones are named for what is wrong with them, and no minority moves a set.

use crate::support::{
    CODE, GENESIS_S, NOW_S, RULES, Recover, Trie, Validator, account_value, addresses, array, arrays, bytes,
    extra, plain_header, seal, sealed, trusted, validator, validators, vector, word_value,
};
use dsm_evm_proof::rlp::{self, write_list};
use dsm_evm_proof::{
    Address, Advance, EMPTY_ROOT, ExtraData, Hash, Header, Mode, NotShown, QbftError, QbftHeader,
    RecoverSigner, Rules, Seal, SealedHeader, TrustedSet, VALIDATORS_MAX, ValidatorContract,
    ValidatorSetProof, Vote, keccak256, overlap, quorum, word,
};
use serde_json::Value;

fn header_of(file: &Value) -> QbftHeader {
    QbftHeader::decode(&bytes(&file["header_rlp"])).unwrap()
}

/// The signer of each seal, in the header's order.
fn recovered(header: &QbftHeader) -> Vec<Address> {
    let digest = header.commit_hash();
    header.extra().seals.iter().map(|seal| Recover.recover(&digest, seal).unwrap()).collect()
}

#[test]
fn genuine_headers_of_besu_have_the_hashes_and_the_signers_of_their_files() {
    for name in [
        "besu_qbft_4val_block7528",
        "besu_qbft_1val_block422_headermode",
        "besu_qbft_1val_block432_contractmode",
    ] {
        let file = vector(&format!("qbft/{name}.json"));
        let (header, expect) = (header_of(&file), &file["expect"]);
        assert_eq!(header.encode(), bytes(&file["header_rlp"]), "{name}");
        assert_eq!(header.header().number, file["number"], "{name}");
        assert_eq!(header.extra().round, file["round"], "{name}");
        assert_eq!(header.commit_hash(), array::<32>(&expect["commit_hash"]), "{name}");
        assert_eq!(header.commit_hash(), keccak256(&[&bytes(&file["sealing_preimage_rlp"])]), "{name}");
        let on_chain = expect.get("onchain_hash").unwrap_or(&expect["onchain_hash_computed_here"]);
        assert_eq!(header.block_hash(), array::<32>(on_chain), "{name}");
        // The trap of hashing what is sent: neither of the two.
        let sent = header.header().hash();
        assert!(sent != header.block_hash() && sent != header.commit_hash(), "{name}");
        let signers = arrays::<20>(&expect["seal_signers"]);
        assert_eq!(recovered(&header), signers, "{name}");
        let mode = if header.extra().validators.is_empty() { contract_mode() } else { Mode::Header };
        let rules = Rules { mode, ..RULES };
        let listed = &header.extra().validators;
        let set = if listed.is_empty() { signers } else { listed.clone() };
        let set = TrustedSet::new(set, 0, 0).unwrap();
        assert!(set.verify_header(&rules, header.clone(), NOW_S, &Recover).is_ok(), "{name}");
        // The other mode takes neither.
        let other = if mode == Mode::Header { contract_mode() } else { Mode::Header };
        let refused =
            set.verify_header(&Rules { mode: other, ..RULES }, header, NOW_S, &Recover).unwrap_err();
        assert!(["qbft_no_list", "qbft_unexpected_list"].contains(&refused.code()), "{name}");
    }
}

fn contract_mode() -> Mode {
    Mode::Contract(ValidatorContract { address: [0x88; 20], array_slot: word(1) })
}

#[test]
fn the_current_codec_of_besu_is_read_and_written_the_same() {
    let file = vector("qbft/besu_extradata_codec.json");
    let raw = bytes(&file["extra_data"]);
    let data = ExtraData::decode(&raw).unwrap();
    assert_eq!(data.validators, arrays::<20>(&file["expect"]["validators"]));
    assert_eq!(data.round, file["expect"]["round"]);
    assert_eq!(data.vote, Some(Vote::Add([&[0; 19][..], &[1]].concat().try_into().unwrap())));
    assert_eq!(data.encode(), raw);
}

#[test]
fn ibft2_is_not_qbft() {
    let file = vector("qbft/besu_ibft2_1val_block178.json");
    let refused = QbftHeader::decode(&bytes(&file["header_rlp"])).unwrap_err();
    assert_eq!(refused, QbftError::ExtraData(rlp::RlpError::UnexpectedBytes));
}

/// yui-ibc-solidity's thresholds accept this header: one fault of four, which the protocol tolerates, takes over.
#[test]
fn b12_yui_one_malicious_validator_of_four_cannot_change_the_set() {
    let file = vector("qbft/forged_setchange_1of4.json");
    let set = TrustedSet::new(arrays(&file["trusted_validators"]), 0, 0).unwrap();
    let refused = set.verify_header(&RULES, header_of(&file), NOW_S, &Recover);
    assert_eq!(refused, Err(QbftError::Quorum { needed: 3, found: 2 }));

    // With seals of all the keys that it brought along it has its own quorum, and still one of the trusted alone.
    let (old, new) = (validators(1, 4), validators(50, 52));
    let listed = [&old[..1], &new].concat();
    let refused = trusted(&old).verify_header(&RULES, sealed(9, &listed, &listed), NOW_S, &Recover);
    assert_eq!(refused, Err(QbftError::Overlap { needed: 2, found: 1 }));
}

#[test]
fn a_set_that_grew_from_four_to_five_is_accepted() {
    let file = vector("qbft/made_setchange_4to5_ok.json");
    let set = TrustedSet::new(arrays(&file["trusted_validators"]), 0, 0).unwrap();
    let header = header_of(&file);
    let sealed = set.verify_header(&RULES, header.clone(), NOW_S, &Recover).unwrap();
    let next = set.advance(&RULES, &sealed, None).unwrap();
    assert_eq!(next.validators(), header.extra().validators);
    assert_eq!((next.height(), next.time_s()), (sealed.number(), sealed.time_s()));
}

/// A two-thirds overlap would stall here: a removal, sealed by three of the five.
#[test]
fn a_removal_of_one_of_five_with_three_seals_is_accepted() {
    let old = validators(1, 5);
    let header = sealed(9, &old[..4], &old[..3]);
    assert!(trusted(&old).verify_header(&RULES, header, NOW_S, &Recover).is_ok());
}

#[test]
fn thresholds_are_those_of_besu() {
    let quorums = [1, 2, 2, 3, 4, 4, 5, 6, 6, 7];
    let overlaps = [1, 1, 1, 2, 2, 2, 3, 3, 3, 4];
    for n in 1..=10 {
        assert_eq!((quorum(n), overlap(n)), (quorums[n - 1], overlaps[n - 1]), "{n} validators");
    }
}

#[test]
fn b12_with_one_to_ten_validators_a_quorum_counts_and_one_seal_less_does_not() {
    for n in 1..=10_u8 {
        let all = validators(1, n);
        let (set, needed) = (trusted(&all), quorum(all.len()));
        for rules in [RULES, Rules { mode: contract_mode(), ..RULES }] {
            let listed = if rules.mode == Mode::Header { all.as_slice() } else { &[] };
            // Any validators, in any order.
            let mut sealing = all.clone();
            sealing.rotate_left(usize::from(n / 2));
            let enough = sealed(7, listed, &sealing[..needed]);
            assert!(set.verify_header(&rules, enough, NOW_S, &Recover).is_ok(), "{n} validators");
            let less = sealed(7, listed, &sealing[..needed - 1]);
            let refused = set.verify_header(&rules, less, NOW_S, &Recover);
            assert_eq!(refused, Err(QbftError::Quorum { needed, found: needed - 1 }), "{n} validators");
        }
    }
}

/// A change of set needs ceil(2n'/3) of the new and f+1 of the trusted: exactly enough, and one less of either.
#[test]
fn b12_a_changed_set_needs_both_thresholds() {
    for n in 1..=10_u8 {
        let old = validators(1, n);
        let needed = overlap(old.len());
        for stay in 1..=old.len() {
            // As many strangers as make a quorum of the new list possible without the old ones.
            let new = validators(101, 120);
            let listed = [&old[..stay], &new[..2 * stay]].concat();
            let strangers = quorum(listed.len()) - stay.min(quorum(listed.len()));
            let sealing = [&old[..stay], &new[..strangers]].concat();
            let verdict = trusted(&old).verify_header(&RULES, sealed(7, &listed, &sealing), NOW_S, &Recover);
            let at = format!("{stay} of {n} stay");
            if stay >= needed {
                assert!(verdict.is_ok(), "{at}: {verdict:?}");
            } else {
                assert_eq!(verdict, Err(QbftError::Overlap { needed, found: stay }), "{at}");
            }
            let fewer = sealed(7, &listed, &sealing[..sealing.len() - 1]);
            let refused = trusted(&old).verify_header(&RULES, fewer, NOW_S, &Recover);
            assert_eq!(refused.unwrap_err().code(), "qbft_quorum", "{at}");
        }
    }
}

/// Four validators are replaced one by one. The last header says nothing to the first set, each next one does.
#[test]
fn where_too_few_of_a_set_are_left_headers_in_between_lead_on() {
    let window = |from: u8| (from..from + 4).map(validator).collect::<Vec<_>>();
    let last = sealed(20, &window(5), &window(5)[..3]);
    let first = trusted(&window(1));
    let refused = first.verify_header(&RULES, last.clone(), NOW_S, &Recover);
    assert_eq!(refused, Err(QbftError::Overlap { needed: 2, found: 0 }));
    let mut set = first;
    for from in 2..=4 {
        let header = sealed(10 + u64::from(from), &window(from), &window(from)[..3]).encode();
        set = set.verify_advance(&RULES, &Advance { header, set: None }, NOW_S, &Recover).unwrap();
        assert_eq!(set.validators(), addresses(&window(from)));
    }
    assert!(set.verify_header(&RULES, last, NOW_S, &Recover).is_ok());
}

#[test]
fn b12_seals_that_do_not_count() {
    let all = validators(1, 4);
    let header = sealed(7, &all, &all[..3]);
    let digest = header.commit_hash();
    let seals = header.extra().seals.clone();
    let with = |change: &dyn Fn(&mut Vec<Seal>)| {
        let mut seals = seals.clone();
        change(&mut seals);
        header.clone().with_seals(seals)
    };
    let verdict = |header: QbftHeader| {
        // From the bytes, as an enemy hands them over.
        let header = QbftHeader::decode(&header.encode())?;
        trusted(&all).verify_header(&RULES, header, NOW_S, &Recover)
    };
    assert!(verdict(header.clone()).is_ok());
    let other_height = sealed(8, &all, &all[..3]).extra().seals.clone();
    let rows: Vec<(&str, QbftHeader, QbftError)> = vec![
        ("none at all", with(&|seals| seals.clear()), QbftError::Quorum { needed: 3, found: 0 }),
        ("one twice", with(&|seals| seals[2] = seals[0]), QbftError::SealTwice { seal: 2 }),
        (
            "a fourth that repeats the first",
            with(&|seals| seals.push(seals[0])),
            QbftError::SealTwice { seal: 3 },
        ),
        (
            "more than validators",
            with(&|seals| (0..2).for_each(|at| seals.push(seals[at]))),
            QbftError::SealTwice { seal: 4 },
        ),
        (
            "a stranger's",
            with(&|seals| seals[1] = validator(99).seal(&digest)),
            QbftError::SealByStranger { seal: 1 },
        ),
        (
            "a stranger's besides",
            with(&|seals| seals.push(validator(99).seal(&digest))),
            QbftError::SealByStranger { seal: 3 },
        ),
        (
            "of another height",
            with(&|seals| seals.clone_from(&other_height)),
            QbftError::SealByStranger { seal: 0 },
        ),
        ("with r of zero", with(&|seals| seals[0][..32].fill(0)), QbftError::SealUnrecoverable { seal: 0 }),
        ("with s of zero", with(&|seals| seals[0][32..64].fill(0)), QbftError::SealUnrecoverable { seal: 0 }),
        (
            "with r beyond the order",
            with(&|seals| seals[0][..32].fill(0xff)),
            QbftError::SealUnrecoverable { seal: 0 },
        ),
        (
            "with the recovery id of Ethereum",
            with(&|seals| seals[1][64] += 27),
            QbftError::SealForm { seal: 1 },
        ),
        ("with a recovery id of 2", with(&|seals| seals[1][64] = 2), QbftError::SealForm { seal: 1 }),
        ("with a high s", with(&|seals| seals[2] = high(seals[2])), QbftError::SealForm { seal: 2 }),
    ];
    for (name, header, error) in rows {
        assert_eq!(verdict(header), Err(error), "{name}");
    }
}

/// The second spelling of a seal: n - s, and the other recovery id. Besu's key library would accept it.
fn high(seal: Seal) -> Seal {
    let s = k256::Scalar::from(k256::ecdsa::Signature::from_slice(&seal[..64]).unwrap().s());
    let mut high = seal;
    high[32..64].copy_from_slice(&(-s).to_bytes());
    high[64] ^= 1;
    let digest = [1; 32];
    assert_eq!(Recover.recover(&digest, &high), Recover.recover(&digest, &seal), "both are one signer's");
    high
}

/// Seals under rules that were never, or are no longer, those of QBFT.
#[test]
fn old_rule_traps_are_refused() {
    let all = validators(1, 4);
    let build = |round: u32| QbftHeader::build(plain_header(7, [3; 32]), ExtraData { round, ..extra(&all) });
    let header = build(1);
    let sealed_over = |digest: Hash| {
        let seals = all[..3].iter().map(|validator| validator.seal(&digest)).collect();
        trusted(&all).verify_header(&RULES, header.clone().with_seals(seals), NOW_S, &Recover)
    };
    assert!(sealed_over(header.commit_hash()).is_ok());
    // The block hash (round 0), another round, and the older rule that drops the list of seals altogether.
    let four_items = write_list(|items| {
        let extra_data = header.extra().encode();
        let mut all = rlp::list(&extra_data).unwrap();
        (0..4).for_each(|_| _ = items.raw(all.item().unwrap().1));
    });
    let without_list = Header { extra_data: four_items, ..header.header().clone() };
    for digest in [header.block_hash(), without_list.hash(), build(2).commit_hash()] {
        assert_eq!(sealed_over(digest).unwrap_err().code(), "qbft_seal_by_stranger");
    }
}

/// Extra data, as the items of its list, each with one thing wrong.
#[test]
fn b6_extra_data_has_one_spelling() {
    let all = validators(1, 4);
    let honest = sealed(7, &all, &all[..3]).extra().encode();
    let items = {
        let (mut list, mut items) = (rlp::list(&honest).unwrap(), Vec::new());
        while !list.is_empty() {
            items.push(list.item().unwrap().1.to_vec());
        }
        items
    };
    let with = |at: usize, item: Vec<u8>| {
        let mut items = items.clone();
        items[at] = item;
        items
    };
    let list_of =
        |contents: &[&[u8]]| write_list(|list| contents.iter().for_each(|item| _ = list.bytes(item)));
    let address: &[u8] = &all[0].address;
    let many = vec![address; VALIDATORS_MAX + 1];
    let rows: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
        ("four items", items[..4].to_vec(), "qbft_extra_data"),
        ("six items", [items.clone(), vec![vec![0x80]]].concat(), "qbft_extra_data"),
        ("a vanity of 31 bytes", with(0, [&[0x9f][..], &[0; 31]].concat()), "qbft_extra_data"),
        ("a vanity of 33 bytes", with(0, [&[0xa1][..], &[0; 33]].concat()), "qbft_extra_data"),
        ("validators as bytes", with(1, vec![0x80]), "qbft_extra_data"),
        ("a validator of 19 bytes", with(1, list_of(&[&[1; 19]])), "qbft_extra_data"),
        ("a validator twice", with(1, list_of(&[address, address])), "qbft_duplicate_validator"),
        ("the zero address", with(1, list_of(&[&[0; 20]])), "qbft_zero_validator"),
        ("too many validators", with(1, list_of(&many)), "qbft_too_many_validators"),
        ("a vote as bytes, as in IBFT 2.0", with(2, vec![0x80]), "qbft_extra_data"),
        ("a vote without direction", with(2, list_of(&[address])), "qbft_extra_data"),
        ("a vote of three items", with(2, list_of(&[address, &[0xff], &[]])), "qbft_extra_data"),
        ("a vote in the old spelling of drop", with(2, list_of(&[address, &[0x00]])), "qbft_vote"),
        ("a round of four bytes, as in older drafts", with(3, vec![0x84, 0, 0, 0, 1]), "qbft_extra_data"),
        ("a round as a zero byte", with(3, vec![0x00]), "qbft_extra_data"),
        ("a round beyond 32 bits", with(3, vec![0x85, 1, 0, 0, 0, 0]), "qbft_extra_data"),
        ("a seal of 64 bytes", with(4, list_of(&[&[1; 64]])), "qbft_extra_data"),
        ("a seal of 66 bytes", with(4, list_of(&[&[1; 66]])), "qbft_extra_data"),
        ("seals as bytes", with(4, vec![0x80]), "qbft_extra_data"),
    ];
    for (name, items, code) in rows {
        let raw = write_list(|list| items.iter().for_each(|item| _ = list.raw(item)));
        assert_eq!(ExtraData::decode(&raw).unwrap_err().code(), code, "{name}");
    }
    assert_eq!(ExtraData::decode(&[honest, vec![0]].concat()).unwrap_err().code(), "qbft_extra_data");
    for vote in [None, Some(Vote::Add(all[0].address)), Some(Vote::Drop(all[0].address))] {
        let data = ExtraData { vote, ..extra(&all) };
        assert_eq!(ExtraData::decode(&data.encode()), Ok(data));
    }
}

#[test]
fn constants_that_name_another_consensus_are_refused() {
    let all = validators(1, 4);
    let header = sealed(7, &all, &all[..3]).header().clone();
    let rows = [
        (Header { mix_hash: [0; 32], ..header.clone() }, QbftError::MixHash),
        (Header { difficulty: 0, ..header.clone() }, QbftError::Difficulty),
        (Header { difficulty: 2, ..header.clone() }, QbftError::Difficulty),
        (Header { nonce: [0, 0, 0, 0, 0, 0, 0, 1], ..header.clone() }, QbftError::Nonce),
        (Header { ommers_hash: EMPTY_ROOT, ..header.clone() }, QbftError::Ommers),
    ];
    for (header, error) in rows {
        assert_eq!(QbftHeader::decode(&header.encode()), Err(error));
    }
    assert!(QbftHeader::decode(&header.encode()).is_ok());
}

#[test]
fn headers_of_london_shanghai_cancun_and_prague_are_sealed_alike() {
    let all = validators(1, 4);
    let london = plain_header(7, [3; 32]);
    let shanghai = Header { withdrawals_root: Some(EMPTY_ROOT), ..london.clone() };
    let cancun = Header { blob_gas: Some((0, 0)), parent_beacon_root: Some([0; 32]), ..shanghai.clone() };
    let prague = Header { requests_hash: Some([9; 32]), ..cancun.clone() };
    let berlin = Header { base_fee: None, ..london.clone() };
    let mut hashes = std::collections::BTreeSet::new();
    for header in [berlin, london, shanghai, cancun, prague] {
        let bytes = seal(QbftHeader::build(header, extra(&all)), &all[1..]).encode();
        let header = QbftHeader::decode(&bytes).unwrap();
        assert_eq!(header.encode(), bytes);
        let sealed = trusted(&all).verify_header(&RULES, header, NOW_S, &Recover).unwrap();
        hashes.insert(sealed.block_hash());
    }
    assert_eq!(hashes.len(), 5);
}

#[test]
fn time_ends_trust_and_the_future_waits() {
    let all = validators(1, 4);
    let rules = Rules { trusting_period_s: 1000, clock_drift_s: 5, ..RULES };
    let set = TrustedSet::new(addresses(&all), 0, GENESIS_S).unwrap();
    let at = |number: u64, now_s: u64| {
        set.verify_header(&rules, sealed(number, &all, &all[..3]), now_s, &Recover)
            .map(|sealed| sealed.time_s())
    };
    let time_s = GENESIS_S + 200;
    assert_eq!(at(100, time_s), Ok(time_s));
    assert_eq!(at(100, time_s - 5), Ok(time_s), "within the drift");
    assert_eq!(at(100, time_s - 6), Err(QbftError::Future { time_s, limit_s: time_s - 1 }));
    assert_eq!(at(100, GENESIS_S + 1000), Ok(time_s), "the last second");
    let expired_s = GENESIS_S + 1000;
    assert_eq!(at(100, expired_s + 1), Err(QbftError::TrustExpired { expired_s }));
    let endless = Rules { trusting_period_s: 0, ..rules };
    assert!(set.verify_header(&endless, sealed(100, &all, &all[..3]), u64::MAX, &Recover).is_ok());
    // What was sealed moves the end of trust.
    let sealed = set.verify_header(&rules, sealed(100, &all, &all[..3]), time_s, &Recover).unwrap();
    assert_eq!(set.advance(&rules, &sealed, None).unwrap().time_s(), time_s);
}

#[test]
fn a_set_advances_upwards_only_and_replays_the_same() {
    let all = validators(1, 4);
    let next = validators(1, 5);
    let set = TrustedSet::new(addresses(&all), 50, GENESIS_S).unwrap();
    for number in [49, 50] {
        let header = sealed(number, &next, &next).encode();
        let refused = set.verify_advance(&RULES, &Advance { header, set: None }, NOW_S, &Recover);
        assert_eq!(refused, Err(QbftError::Height { trusted: 50, found: number }));
    }
    let advance = Advance { header: sealed(51, &next, &next).encode(), set: None };
    let moved = set.verify_advance(&RULES, &advance, NOW_S, &Recover).unwrap();
    assert_eq!(moved.validators(), addresses(&next));
    assert_eq!(set.replay_advance(&RULES, &advance), Ok(moved.clone()));
    let stored = borsh::to_vec(&(moved.clone(), advance.clone())).unwrap();
    assert_eq!(borsh::from_slice::<(TrustedSet, Advance)>(&stored).unwrap(), (moved.clone(), advance));
    // A lower header is still evidence: what the set's quorum sealed is believable wherever it stands.
    assert!(moved.verify_header(&RULES, sealed(3, &next, &next), NOW_S, &Recover).is_ok());
}

#[test]
fn b12_sets_that_are_none_are_refused() {
    let one = validator(1).address;
    let many: Vec<Address> =
        (0..=VALIDATORS_MAX as u128).map(|n| word(n + 1)[12..].try_into().unwrap()).collect();
    let rows = [
        (vec![], QbftError::NoValidators),
        (vec![[0; 20]], QbftError::ZeroValidator),
        (vec![one, one], QbftError::DuplicateValidator),
        (many, QbftError::TooManyValidators),
    ];
    for (validators, error) in rows {
        assert_eq!(TrustedSet::new(validators.clone(), 0, 0), Err(error));
        let bytes = borsh::to_vec(&(validators, 0_u64, 0_u64)).unwrap();
        assert!(borsh::from_slice::<TrustedSet>(&bytes).is_err(), "{error}");
    }
}

#[test]
fn two_sealed_blocks_at_one_height_convict_and_one_block_in_two_rounds_does_not() {
    let all = validators(1, 4);
    let make = |number: u64, root: Hash, round: u32, by: &[Validator]| {
        let data = ExtraData { round, ..extra(&all) };
        let header = seal(QbftHeader::build(plain_header(number, root), data), by);
        trusted(&all).verify_seals(&RULES, header, &Recover)
    };
    let one = make(7, [1; 32], 0, &all[..3]).unwrap();
    let two = make(7, [2; 32], 0, &all[1..]).unwrap();
    let proof = one.convict(&two).unwrap();
    assert_eq!((proof.height, proof.blocks), (7, [one.block_hash(), two.block_hash()]));
    let again = make(7, [1; 32], 4, &all[1..]).unwrap();
    assert_ne!(one.header().commit_hash(), again.header().commit_hash());
    let elsewhere = make(8, [2; 32], 0, &all).unwrap();
    for innocent in [&one, &again, &elsewhere] {
        assert_eq!(one.convict(innocent), Err(QbftError::NoEquivocation));
    }
    // Nobody is convicted by what too few sealed; time is no excuse, so that even a far future convicts.
    assert!(make(7, [2; 32], 0, &all[..2]).is_err());
    assert!(make(u64::MAX / 4, [2; 32], 0, &all).is_ok());
}

// Contract mode

const KEEPER: Address = [0x88; 20];

fn array_slot() -> Hash {
    word(1)
}

/// A state in which the contract keeps `validators`.
struct Keeper {
    state: Trie,
    storage: Trie,
    count: usize,
}

/// The key of an element, written another way than in the crate: with borrowed carries over 32-bit limbs.
fn element_key(index: usize) -> Hash {
    let mut limbs: Vec<u64> = keccak256(&[&array_slot()])
        .chunks(4)
        .map(|limb| u64::from(u32::from_be_bytes(limb.try_into().unwrap())))
        .collect();
    limbs[7] += index as u64;
    for at in (1..8).rev() {
        limbs[at - 1] += limbs[at] >> 32;
    }
    let bytes: Vec<u8> = limbs.iter().flat_map(|limb| (*limb as u32).to_be_bytes()).collect();
    bytes.try_into().unwrap()
}

impl Keeper {
    fn of(words: &[Hash], length: usize) -> Keeper {
        let mut storage = Trie::default();
        if length > 0 {
            storage.insert_hashed(&array_slot(), word_value(&word(length as u128)));
        }
        for (index, value) in words.iter().enumerate().filter(|(_, value)| **value != [0; 32]) {
            storage.insert_hashed(&element_key(index), word_value(value));
        }
        let mut state = Trie::default();
        (0..40).for_each(|n| state.insert_hashed(&[n; 20], account_value(1, 1, EMPTY_ROOT, CODE)));
        state.insert_hashed(&KEEPER, account_value(1, 0, storage.root(), CODE));
        Keeper { state, storage, count: length }
    }

    fn keeping(validators: &[Validator]) -> Keeper {
        let words: Vec<Hash> =
            validators.iter().map(|validator| dsm_evm_proof::address_word(&validator.address)).collect();
        Keeper::of(&words, words.len())
    }

    fn proof(&self) -> ValidatorSetProof {
        ValidatorSetProof {
            account: self.state.proof_hashed(&KEEPER),
            length: self.storage.proof_hashed(&array_slot()),
            elements: (0..self.count).map(|index| self.storage.proof_hashed(&element_key(index))).collect(),
        }
    }

    fn verify(&self, proof: &ValidatorSetProof) -> Result<Vec<Address>, QbftError> {
        proof.verify(&self.state.root(), &ValidatorContract { address: KEEPER, array_slot: array_slot() })
    }
}

#[test]
fn in_contract_mode_the_next_set_is_proven_from_the_sealed_state() {
    let rules = Rules {
        mode: Mode::Contract(ValidatorContract { address: KEEPER, array_slot: array_slot() }),
        ..RULES
    };
    let (old, new) = (validators(1, 4), validators(2, 6));
    let keeper = Keeper::keeping(&new);
    let header = |number, by: &[Validator]| {
        seal(QbftHeader::build(plain_header(number, keeper.state.root()), extra(&[])), by)
    };
    let set = trusted(&old);
    let advance = Advance { header: header(7, &old[1..]).encode(), set: Some(keeper.proof()) };
    let moved = set.verify_advance(&rules, &advance, NOW_S, &Recover).unwrap();
    assert_eq!(moved.validators(), addresses(&new));
    assert_eq!(set.replay_advance(&rules, &advance), Ok(moved.clone()));
    // The new set seals from the next block on, the old one no more.
    assert!(moved.verify_header(&rules, header(8, &new[..4]), NOW_S, &Recover).is_ok());
    assert_eq!(
        moved.verify_header(&rules, header(8, &old), NOW_S, &Recover).unwrap_err().code(),
        "qbft_seal_by_stranger"
    );
    // A proof where headers list the set, and none where they do not.
    let bare = Advance { set: None, ..advance.clone() };
    assert_eq!(set.verify_advance(&rules, &bare, NOW_S, &Recover), Err(QbftError::SetProofPresence));
    let listed = Advance { header: sealed(7, &old, &old).encode(), set: advance.set.clone() };
    assert_eq!(set.verify_advance(&RULES, &listed, NOW_S, &Recover), Err(QbftError::SetProofPresence));
    let stored = borsh::to_vec(&advance).unwrap();
    assert_eq!(borsh::from_slice::<Advance>(&stored).unwrap(), advance);
}

#[test]
fn b12_a_set_that_the_state_does_not_show_is_refused() {
    let all = validators(1, 4);
    let keeper = Keeper::keeping(&all);
    let honest = keeper.proof();
    assert_eq!(keeper.verify(&honest), Ok(addresses(&all)));
    let change = |change: &dyn Fn(&mut ValidatorSetProof)| {
        let mut proof = honest.clone();
        change(&mut proof);
        keeper.verify(&proof).unwrap_err()
    };
    let length = 4;
    assert_eq!(change(&|proof| _ = proof.elements.pop()), QbftError::SetLength { length, shown: 3 });
    assert_eq!(
        change(&|proof| proof.elements.push(proof.elements[0].clone())),
        QbftError::SetLength { length, shown: 5 }
    );
    assert_eq!(change(&|proof| proof.elements.swap(0, 1)).code(), "qbft_set_array");
    assert_eq!(change(&|proof| proof.length.clear()), QbftError::SetArray(NotShown::NoNodes));
    assert_eq!(change(&|proof| proof.account.clear()), QbftError::SetContract(NotShown::NoNodes));

    let of = |words: &[Hash], length: usize| {
        let keeper = Keeper::of(words, length);
        keeper.verify(&keeper.proof()).unwrap_err()
    };
    let good = dsm_evm_proof::address_word(&all[0].address);
    assert_eq!(of(&[], 0), QbftError::NoValidators);
    assert_eq!(of(&[good], 2), QbftError::SetElement { element: 1 }, "an element of zero");
    assert_eq!(of(&[good, [1; 32]], 2), QbftError::SetElement { element: 1 }, "no address");
    assert_eq!(of(&[good, good], 2), QbftError::DuplicateValidator);
    let nowhere = Keeper { state: Keeper::keeping(&all).storage, ..Keeper::keeping(&all) };
    let mut proof = honest.clone();
    proof.account = nowhere.state.proof_hashed(&KEEPER);
    assert_eq!(nowhere.verify(&proof), Err(QbftError::SetContractAbsent));
}

/// B1: every byte of every node of a set's proof, each bit of it flipped.
#[test]
fn b1_a_flipped_bit_in_a_sets_proof_shows_no_set() {
    let keeper = Keeper::keeping(&validators(1, 4));
    let honest = keeper.proof();
    let groups = 2 + honest.elements.len();
    for group in 0..groups {
        let nodes = |proof: &mut ValidatorSetProof| match group {
            0 => std::mem::take(&mut proof.account),
            1 => std::mem::take(&mut proof.length),
            element => std::mem::take(&mut proof.elements[element - 2]),
        };
        let original = nodes(&mut honest.clone());
        for (at, byte) in
            original.iter().enumerate().flat_map(|(at, node)| (0..node.len()).map(move |b| (at, b)))
        {
            let mut changed = original.clone();
            changed[at][byte] ^= 1 << (byte % 8);
            let mut proof = honest.clone();
            match group {
                0 => proof.account = changed,
                1 => proof.length = changed,
                element => proof.elements[element - 2] = changed,
            }
            assert!(keeper.verify(&proof).is_err(), "group {group}, node {at}, byte {byte}");
        }
    }
}

#[test]
fn a_believed_header_is_taken_at_its_word() {
    let header = sealed(7, &validators(1, 4), &[]);
    let believed = SealedHeader::believed(header.clone());
    assert_eq!((believed.number(), believed.parent_hash()), (7, header.header().parent_hash));
    assert_eq!(believed.header().extra().seals.len(), 0);
}
