//! Every way in which a policy package can be wrong is refused with its own error, and its bytes are pinned.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use dsm_abi::{
    Argument, DenialCode, Description, EvidenceKind, ForeignRead, ForeignTarget, KeyId, Method, Parameter,
    PolicyId, SignatureError, Suite, TokenId, ValueType, encode,
};
use dsm_core::PublicKey;
use dsm_crypto::{SecretKey, Signer as _, Verifier};
use dsm_sdk::package::{
    DOCUMENT_BYTES_MAX, Envelope, PACKAGE_BYTES_MAX, Package, PackageError, PolicyDocument, module_cid,
    parse_policy, policy_cid,
};

const MODULE: &[u8] = b"\0asm\x01\0\0\0";

fn author(seed: u8) -> SecretKey {
    SecretKey::ml_dsa_65(&[seed; 32]).unwrap()
}

fn document() -> PolicyDocument {
    PolicyDocument {
        abi: 1,
        module: module_cid(MODULE),
        author: KeyId([0xab; 32]),
        description: Description {
            abi: 1,
            name: "fungible".into(),
            version: "1.0.0".into(),
            summary: "Units with a cap.".into(),
            params: vec![Parameter {
                name: "cap".into(),
                value_type: ValueType::U128,
                doc: "Base units.".into(),
            }],
            methods: vec![Method {
                name: "pause".into(),
                args: vec![Argument { name: "on".into(), value_type: ValueType::Bool }],
                doc: "Stops transfers.".into(),
            }],
            queries: vec![],
            denials: vec![DenialCode { code: 300, name: "over_cap".into(), text: "Too many.".into() }],
            evidence: vec![EvidenceKind::Credential],
            foreign_reads: vec![
                ForeignRead { target: ForeignTarget::Token(TokenId([1; 32])), policy_index: 0 },
                ForeignRead { target: ForeignTarget::Parameter("cash".into()), policy_index: 1 },
            ],
        },
        fuel_limit: 1_000_000,
        license: "MIT OR Apache-2.0".into(),
        source: "https://example.org/policies".into(),
    }
}

fn package() -> Package {
    Package::sign(MODULE.to_vec(), document(), &author(1)).unwrap()
}

fn refusal(package: Package) -> PackageError {
    package.verify(&Verifier::new()).unwrap_err()
}

/// The package with another document, signed anew by the same author.
fn with_document(bytes: Vec<u8>) -> Package {
    let key = author(1);
    let policy = PolicyDocument::policy(&bytes);
    let signature = key.sign(&Envelope::signing_message(key.suite(), &policy)).unwrap();
    let mut package = package();
    package.envelope = Envelope { policy, signature, ..package.envelope };
    package.document = bytes;
    package
}

#[test]
fn a_signed_package_verifies_and_survives_the_way() {
    for key in [author(1), SecretKey::ed25519_ml_dsa_65(&[1; 32], &[2; 32]).unwrap()] {
        let package = Package::sign(MODULE.to_vec(), document(), &key).unwrap();
        let bytes = encode(&package);
        assert_eq!(Package::decode(&bytes).unwrap(), package);
        let verified = Package::decode(&bytes).unwrap().verify(&Verifier::new()).unwrap();
        assert_eq!(verified.policy(), PolicyDocument::policy(&package.document));
        assert_eq!(verified.document().module, module_cid(MODULE));
        assert_eq!(verified.module_digest().0, *blake3::hash(MODULE).as_bytes());
        assert_eq!(verified.package(), &package);
        let public_key = PublicKey { suite: key.suite(), bytes: key.public_key().to_vec() };
        assert_eq!(verified.document().author, public_key.id());
    }
}

#[test]
fn each_defect_has_its_own_refusal() {
    let mut altered = package();
    altered.document[20] ^= 1;
    assert!(matches!(refusal(altered), PackageError::PolicyMismatch { .. }));

    let mut altered = package();
    altered.envelope.policy.0[0] ^= 1;
    assert!(matches!(refusal(altered), PackageError::PolicyMismatch { .. }));

    for at in 0..MODULE.len() {
        let mut altered = package();
        altered.module[at] ^= 1;
        let error = refusal(altered);
        let PackageError::ModuleMismatch { expected, found } = &error else { panic!("{error:?}") };
        assert_eq!(**expected, module_cid(MODULE));
        assert_ne!(expected, found);
    }

    let mut unsigned = package();
    unsigned.envelope.signature.clear();
    assert_eq!(refusal(unsigned), PackageError::Unsigned);

    // Another key signed, correctly, and says so.
    let other = author(2);
    let mut foreign = package();
    let message = Envelope::signing_message(Suite::MlDsa65, &foreign.envelope.policy);
    foreign.envelope.signature = other.sign(&message).unwrap();
    foreign.envelope.key.bytes = other.public_key().to_vec();
    assert!(matches!(refusal(foreign.clone()), PackageError::OtherAuthor { .. }));
    // Another key signed and claims to be the author.
    foreign.envelope.key = package().envelope.key;
    assert_eq!(refusal(foreign), PackageError::Signature(SignatureError::BadSignature));

    for at in [0, 47, 48, 1000, 3300, 3308] {
        let mut forged = package();
        forged.envelope.signature[at] ^= 1;
        assert_eq!(refusal(forged), PackageError::Signature(SignatureError::BadSignature));
    }
    let mut truncated = package();
    truncated.envelope.signature.pop();
    assert_eq!(refusal(truncated), PackageError::Signature(SignatureError::BadSignature));

    // The author's key under another suite byte is another key.
    let mut relabelled = package();
    relabelled.envelope.key.suite = Suite::Dilithium3;
    assert!(matches!(refusal(relabelled), PackageError::OtherAuthor { .. }));

    let newer = PolicyDocument { abi: 2, author: package().envelope.key.id(), ..document() };
    assert_eq!(refusal(with_document(newer.encode())), PackageError::Abi { found: 2 });
}

#[test]
fn a_signature_for_something_else_is_no_publication() {
    let key = author(1);
    let mut package = package();
    let policy = package.envelope.policy;
    let body = &policy.0;
    for message in [
        body.to_vec(),
        dsm_core::signing_message(Suite::MlDsa65, Default::default(), dsm_core::SignKind::Transition, body),
        dsm_core::signing_message(
            Suite::Ed25519MlDsa65,
            Default::default(),
            dsm_core::SignKind::Policy,
            body,
        ),
        dsm_core::signing_message(
            Suite::MlDsa65,
            dsm_abi::NetworkId([1; 32]),
            dsm_core::SignKind::Policy,
            body,
        ),
        Envelope::signing_message(Suite::MlDsa65, &PolicyId([7; 32])),
    ] {
        package.envelope.signature = key.sign(&message).unwrap();
        assert_eq!(refusal(package.clone()), PackageError::Signature(SignatureError::BadSignature));
    }
    package.envelope.signature = key.sign(&Envelope::signing_message(Suite::MlDsa65, &policy)).unwrap();
    package.verify(&Verifier::new()).unwrap();
}

#[test]
fn a_dilithium3_publication_needs_the_switch() {
    let key = SecretKey::generate(Suite::Dilithium3).unwrap();
    let package = Package::sign(MODULE.to_vec(), document(), &key).unwrap();
    assert_eq!(refusal(package.clone()), PackageError::Signature(SignatureError::SuiteOff));
    package.verify(&Verifier::accepting_legacy()).unwrap();
}

/// The document as an independent encoder of DAG-CBOR writes it: keys by length and then bytes, the module as a
/// tag-42 link. A change here changes every policy's id.
const PINNED: &str = "a7636162690166617574686f72784061626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162666d6f64756c65d82a58250001551e200d66d411a21e80d93afa1487b002a1867432c04ba1d08dc790d259639f6a69c466736f75726365781c68747470733a2f2f6578616d706c652e6f72672f706f6c6963696573676c6963656e7365714d4954204f52204170616368652d322e306a6675656c5f6c696d69741a000f42406b6465736372697074696f6eaa6361626901646e616d656866756e6769626c6566706172616d7381a363646f636b4261736520756e6974732e646e616d65636361706a76616c75655f7479706564753132386764656e69616c7381a364636f646519012c646e616d65686f7665725f636170647465787469546f6f206d616e792e676d6574686f647381a363646f637053746f7073207472616e73666572732e646172677381a2646e616d65626f6e6a76616c75655f7479706564626f6f6c646e616d656570617573656771756572696573806773756d6d61727971556e69747320776974682061206361702e6776657273696f6e65312e302e306865766964656e6365816a43726564656e7469616c6d666f726569676e5f726561647382a266746172676574a165546f6b656e7840303130313031303130313031303130313031303130313031303130313031303130313031303130313031303130313031303130313031303130313031303130316c706f6c6963795f696e64657800a266746172676574a169506172616d6574657264636173686c706f6c6963795f696e64657801";

#[test]
fn the_documents_bytes_are_pinned() {
    assert_eq!(hex::encode(document().encode()), PINNED);
    assert_eq!(PolicyDocument::decode(&hex::decode(PINNED).unwrap()).unwrap(), document());
}

#[test]
fn only_one_encoding_of_a_document_is_accepted() {
    let bytes = document().encode();
    // The first entry of the outer map: "abi": 1.
    assert_eq!(bytes[..6], [0xa7, 0x63, b'a', b'b', b'i', 0x01]);
    let rest = &bytes[6..];
    let variants: Vec<(&str, Vec<u8>)> = vec![
        ("a trailing byte", [&bytes[..], &[0]].concat()),
        ("a missing byte", bytes[..bytes.len() - 1].to_vec()),
        ("nothing", Vec::new()),
        ("a map of unknown length", [&[0xbf], &bytes[1..], &[0xff]].concat()),
        ("a long length of the map", [&[0xb8, 7], &bytes[1..]].concat()),
        ("a long integer", [&bytes[..5], &[0x18, 0x01], rest].concat()),
        ("a float", [&bytes[..5], &[0xf9, 0x3c, 0x00], rest].concat()),
        ("keys in another order", [&[0xa7], rest, &bytes[1..6]].concat()),
        ("a key twice", [&[0xa8], &bytes[1..6], &bytes[1..]].concat()),
        ("an unknown field", [&[0xa8, 0x61, b'a', 0x01], &bytes[1..]].concat()),
        ("a missing field", [&[0xa6], rest].concat()),
        ("a tag before the document", [&[0xc1], &bytes[..]].concat()),
    ];
    for (what, variant) in variants {
        assert!(matches!(PolicyDocument::decode(&variant), Err(PackageError::Document(_))), "{what}");
        assert!(matches!(refusal(with_document(variant)), PackageError::Document(_)), "{what}, signed");
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        if let Ok(document) = PolicyDocument::decode(&flipped) {
            assert_eq!(document.encode(), flipped, "byte {at}");
        }
    }
    let deep = [&[0xa1, 0x63, b'a', b'b', b'i'][..], &[0x81; 20_000], &[0x00]].concat();
    assert!(PolicyDocument::decode(&deep).is_err());
}

#[test]
fn the_module_link_is_of_one_kind() {
    let bytes = document().encode();
    let link = [0xd8, 0x2a, 0x58, 0x25, 0x00, 0x01, 0x55, 0x1e, 0x20];
    let at = bytes.windows(link.len()).position(|window| window == link).expect("a tag-42 link, raw, blake3");
    // The author signs whatever link the document has; only raw and blake3 can match the module.
    for (offset, byte) in [(6, 0x71), (7, 0x12)] {
        let mut altered = PolicyDocument { author: package().envelope.key.id(), ..document() }.encode();
        altered[at + offset] = byte;
        assert!(matches!(refusal(with_document(altered)), PackageError::ModuleMismatch { .. }));
    }
}

#[test]
fn sizes_are_bounded_before_anything_is_read() {
    let long = PolicyDocument { source: "x".repeat(DOCUMENT_BYTES_MAX), ..document() }.encode();
    assert!(matches!(PolicyDocument::decode(&long), Err(PackageError::Document(_))));
    let bytes = vec![0; PACKAGE_BYTES_MAX + 1];
    assert!(matches!(
        Package::decode(&bytes),
        Err(PackageError::Malformed(dsm_abi::DecodeError::TooLong { found, .. })) if found == bytes.len()
    ));
    let mut bytes = encode(&package());
    bytes.push(0);
    assert!(matches!(Package::decode(&bytes), Err(PackageError::Malformed(dsm_abi::DecodeError::Malformed))));
    for length in (0..bytes.len() - 1).step_by(101) {
        assert!(Package::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
    // A length that promises 4 GiB is refused without reserving them.
    assert!(Package::decode(&[0xff; 64]).is_err());
}

#[test]
fn a_policy_is_named_by_its_cid_or_its_digest() {
    let policy = PolicyId([0x5a; 32]);
    let cid = policy_cid(&policy).to_string();
    assert!(cid.starts_with("bafy"), "{cid}");
    assert_eq!(parse_policy(&cid), Some(policy));
    assert_eq!(parse_policy(&policy.to_string()), Some(policy));
    assert_eq!(parse_policy(&cid.to_uppercase()), Some(policy), "base32 in capitals is the same CID");
    let raw = module_cid(MODULE).to_string();
    for other in ["", "x", raw.as_str(), &policy.to_string()[1..], &cid[1..]] {
        assert_eq!(parse_policy(other), None, "{other}");
    }
}
