//! A policy's CAR file as another reader sees it, and every way in which its bytes can be wrong.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use dsm_abi::{Description, KeyId, encode};
use dsm_crypto::{SecretKey, Verifier};
use dsm_sdk::car::{self, CAR_BYTES_MAX, CarError};
use dsm_sdk::package::{Package, PolicyDocument, module_cid, policy_cid};

const MODULE: &[u8] = b"\0asm\x01\0\0\0";

fn package(key: &SecretKey) -> Package {
    let description = Description {
        abi: 1,
        name: "fungible".into(),
        version: "1.0.0".into(),
        summary: "Units with a cap.".into(),
        params: vec![],
        methods: vec![],
        queries: vec![],
        denials: vec![],
        evidence: vec![],
        foreign_reads: vec![],
    };
    let document = PolicyDocument {
        abi: 1,
        module: module_cid(MODULE),
        author: KeyId::default(),
        description,
        fuel_limit: 1_000_000,
        license: "MIT".into(),
        source: String::new(),
    };
    Package::sign(MODULE.to_vec(), document, key).unwrap()
}

fn signed() -> Package {
    package(&SecretKey::ml_dsa_65(&[1; 32]).unwrap())
}

/// A block as another reader has it: CID and data.
type Block = (Vec<u8>, Vec<u8>);

/// A reader of CAR version 1 written from its description, with nothing of ours in it: the CIDs of the roots, and the
/// blocks as CID and data.
fn read_independently(mut file: &[u8]) -> (Vec<Vec<u8>>, Vec<Block>) {
    fn varint(file: &mut &[u8]) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = file[0];
            *file = &file[1..];
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let take = |file: &mut &[u8]| {
        let length = varint(file);
        let (section, rest) = file.split_at(length);
        *file = rest;
        section.to_vec()
    };
    let header = take(&mut file);
    // {"roots": [link, link], "version": 1}: a link is tag 42 and a byte string of a zero byte and the CID.
    assert_eq!(header[..8], *b"\xa2\x65roots\x82");
    let mut at = 8;
    let mut roots = Vec::new();
    for _ in 0..2 {
        assert_eq!(header[at..at + 5], [0xd8, 0x2a, 0x58, 0x25, 0x00]);
        roots.push(header[at + 5..at + 41].to_vec());
        at += 41;
    }
    assert_eq!(header[at..], *b"\x67version\x01");
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let section = take(&mut file);
        // CIDv1: version, codec, multihash of BLAKE3 with 32 bytes.
        assert_eq!((section[0], section[2], section[3]), (1, 0x1e, 32));
        blocks.push((section[..36].to_vec(), section[36..].to_vec()));
    }
    (roots, blocks)
}

#[test]
fn another_reader_finds_the_document_the_module_and_the_signature() {
    let package = signed();
    let file = car::write(&package);
    assert!(car::is_car(&file) && !car::is_car(&encode(&package)) && !car::is_car(MODULE));
    let (roots, blocks) = read_independently(&file);
    let [document, module, envelope] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    for (name, data) in &blocks {
        assert_eq!(name[4..], blake3::hash(data).as_bytes()[..]);
    }
    assert_eq!(roots, [document.0.clone(), envelope.0.clone()]);
    assert_eq!(roots[0], policy_cid(&package.envelope.policy).to_bytes());
    assert_eq!((document.0[1], &document.1), (0x71, &package.document));
    assert_eq!((module.0[1], &module.1), (0x55, &package.module));
    // {"key": bytes, "suite": text, "policy": link, "signature": bytes}, keys by length: nothing else.
    let key = &package.envelope.key.bytes;
    let bytes = |data: &[u8]| [&[0x59], &(data.len() as u16).to_be_bytes()[..], data].concat();
    let expected = [
        &b"\xa4\x63key"[..],
        &bytes(key),
        b"\x65suite\x69ml-dsa-65\x66policy\xd8\x2a\x58\x25\x00",
        &roots[0],
        b"\x69signature",
        &bytes(&package.envelope.signature),
    ]
    .concat();
    assert_eq!((envelope.0[1], &envelope.1), (0x71, &expected));
}

#[test]
fn what_was_written_is_read_and_verifies() {
    for key in
        [SecretKey::ml_dsa_65(&[1; 32]).unwrap(), SecretKey::ed25519_ml_dsa_65(&[1; 32], &[2; 32]).unwrap()]
    {
        let package = package(&key);
        let file = car::write(&package);
        assert_eq!(car::read(&file).unwrap(), package);
        car::read(&file).unwrap().verify(&Verifier::new()).unwrap();
        assert_eq!(car::write(&car::read(&file).unwrap()), file);
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let file = car::write(&signed());
    let mut mismatches = 0;
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut altered = file.clone();
            altered[at] ^= 1 << bit;
            let error = car::read(&altered).expect_err(&format!("byte {at}, bit {bit}"));
            mismatches += usize::from(matches!(error, CarError::CidMismatch { .. }));
        }
    }
    // All but the frame and the names are contents.
    assert!(mismatches > 8 * (file.len() - 400), "{mismatches} of {}", 8 * file.len());
}

#[test]
fn what_is_cut_added_or_moved_is_refused() {
    let package = signed();
    let file = car::write(&package);
    for length in 0..file.len() {
        assert!(car::read(&file[..length]).is_err(), "{length} bytes");
    }
    let (_, blocks) = read_independently(&file);
    let section = |parts: &[&[u8]]| {
        let body = parts.concat();
        let mut framed = Vec::new();
        let mut length = body.len();
        while length >= 0x80 {
            framed.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        framed.push(length as u8);
        framed.extend(body);
        framed
    };
    let header = file[..1 + usize::from(file[0])].to_vec();
    let framed: Vec<Vec<u8>> = blocks.iter().map(|(name, data)| section(&[name, data])).collect();
    let [document, module, envelope] = &framed[..] else { panic!("three blocks") };
    assert_eq!([&header[..], document, module, envelope].concat(), file, "this test frames as the file does");
    let long_header = [&[file[0] | 0x80, 0], &header[1..]].concat();
    let version_2 = [&header[..header.len() - 1], &[2]].concat();
    let other = section(&[&module_cid(b"other").to_bytes(), b"other"]);
    let rows: Vec<(&str, Vec<&[u8]>, &str)> = vec![
        ("nothing", vec![], "car_malformed"),
        ("no blocks", vec![&header], "car_incomplete"),
        ("no document", vec![&header, module, envelope], "car_incomplete"),
        ("no module", vec![&header, document, envelope], "car_incomplete"),
        ("no signature", vec![&header, document, module], "car_incomplete"),
        ("another module", vec![&header, document, &other, envelope], "car_incomplete"),
        ("another order", vec![&header, module, document, envelope], "car_malformed"),
        ("a block twice", vec![&header, document, module, module, envelope], "car_malformed"),
        ("a block more", vec![&header, document, module, envelope, &other], "car_malformed"),
        ("an empty section", vec![&header, document, module, envelope, &[0]], "car_malformed"),
        ("two headers", vec![&header, &header, document, module, envelope], "car_malformed"),
        ("a longer length", vec![&long_header, document, module, envelope], "car_malformed"),
        ("version 2", vec![&version_2, document, module, envelope], "car_malformed"),
        ("a length without end", vec![&header, &[0xff; 12]], "car_malformed"),
        ("a length that lies", vec![&header, &[0xff, 0xff, 0x7f], document], "car_malformed"),
    ];
    for (what, parts, code) in rows {
        let error = car::read(&parts.concat()).expect_err(what);
        assert_eq!(error.code(), code, "{what}: {error}");
    }
    let long = vec![0; CAR_BYTES_MAX + 1];
    assert!(matches!(car::read(&long), Err(CarError::Malformed { offset: CAR_BYTES_MAX, .. })));
}

#[test]
fn a_signature_for_another_policy_is_not_taken_along() {
    let package = signed();
    let mut other = package.clone();
    other.envelope.policy.0[0] ^= 1;
    let file = car::write(&other);
    // The document is named by the signature, so its block cannot bear that name.
    assert_eq!(car::read(&file).unwrap_err().code(), "car_cid_mismatch");
}
