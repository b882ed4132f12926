//! Policies that must never decide anything: each is refused with its own code (THREATS P1, P2, P6, P9).

use crate::guest::{Guest, description};
use crate::world::{Owner, World, sign, submit};
use dsm_abi::{Verdict, encode};
use dsm_crypto::Signer;
use dsm_sdk::draft::public_key;
use dsm_sdk::package::{Envelope, Package};

/// A policy that accepts everything.
fn accepting() -> Guest {
    Guest::answering(encode(&Verdict::Accept(vec![])))
}

#[test]
fn a_package_that_cannot_be_trusted_is_not_staged() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let good = world.package(&accepting().wasm());
    let mallory = Owner::new(world.node.network(), 66);
    let altered = |alter: &dyn Fn(&mut Package)| {
        let mut package = good.clone();
        alter(&mut package);
        package
    };
    let by_mallory = altered(&|package| {
        let message = Envelope::signing_message(mallory.key.suite(), &package.envelope.policy);
        package.envelope.key = public_key(&mallory.key);
        package.envelope.signature = mallory.key.sign(&message).unwrap();
    });
    let float = wat::parse_str("(module (func (result f32) f32.const 1))").unwrap();
    let hostile = Package { module: float, ..good.clone() };
    let rows = [
        ("a byte of the module", altered(&|p| p.module[20] ^= 1), "module_cid_mismatch"),
        ("a byte of the document", altered(&|p| p.document[20] ^= 1), "policy_cid_mismatch"),
        ("no signature", altered(&|p| p.envelope.signature.clear()), "policy_unsigned"),
        ("a flipped signature", altered(&|p| p.envelope.signature[9] ^= 1), "policy_bad_signature"),
        ("another key", by_mallory, "policy_other_author"),
        ("another module", hostile, "module_cid_mismatch"),
    ];
    let before = world.fingerprint();
    for (name, package, code) in rows {
        let error = world.node.stage(&encode(&package)).expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
    }
    let mut long = encode(&good);
    long.push(0);
    assert_eq!(world.node.stage(&long).unwrap_err().code(), "package_malformed");
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_module_that_the_gate_refuses_is_not_staged_however_well_it_is_signed() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let honest = world.package(&accepting().wasm());
    let float = Guest { more: "(func (result f32) f32.const 1)".into(), ..accepting() }.wasm();
    let document = dsm_sdk::package::PolicyDocument::decode(&honest.document).unwrap();
    let hostile = Package::sign(float, document, &world.alice.key).unwrap();
    let error = world.node.stage(&encode(&hostile)).unwrap_err();
    assert_eq!(error.code(), "module_refused", "{error}");
}

#[test]
fn a_document_that_tells_another_story_than_its_module_is_not_staged() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let honest = world.package(&accepting().wasm());
    let mut document = dsm_sdk::package::PolicyDocument::decode(&honest.document).unwrap();
    document.description.summary = "harmless".into();
    let lying = Package::sign(honest.module, document, &world.alice.key).unwrap();
    assert_eq!(world.node.stage(&encode(&lying)).unwrap_err().code(), "description_mismatch");
}

#[test]
fn a_policy_that_is_missing_cannot_be_published_or_bound() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let package = world.package(&accepting().wasm());
    let publication = world.by(&world.alice).operation(world.alice.account, world.publication(&package));
    let before = world.fingerprint();
    let error = submit(&world.node, encode(&sign(publication, &[&world.alice]))).unwrap_err();
    assert_eq!(error.code(), "policy_missing");
    let policies = vec![(package.envelope.policy, vec![])];
    let token = dsm_sdk::draft::NewToken::new(world.alice.account, "NONE", "None", policies);
    let creation = world.by(&world.alice).operation(world.alice.account, token.operation());
    let error = submit(&world.node, encode(&sign(creation, &[&world.alice]))).unwrap_err();
    assert_eq!(error.code(), "policy_missing");
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_policy_that_fails_refuses() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let foreign = Guest {
        imports: r#"(import "dsm1" "foreign_get" (func $foreign (param i32 i32 i32 i32 i32) (result i32)))"#
            .into(),
        ..Guest::accepting_after(
            "(drop (call $foreign (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 64)))",
        )
    };
    assert!(description(0).foreign_reads.is_empty());
    let rows = [
        ("P6 traps", Guest::accepting_after("unreachable"), "trap"),
        ("P1 loops", Guest::accepting_after("(loop $again (br $again))"), "fuel"),
        (
            "P2 recurses",
            Guest { evaluate: "(call $evaluate (local.get $len))".into(), ..accepting() },
            "depth",
        ),
        ("P9 returns rubbish", Guest::answering(vec![9, 9, 9]), "bad_output"),
        ("reads what it did not declare", foreign, "undeclared_foreign_read"),
    ];
    for (number, (name, guest, fault)) in rows.into_iter().enumerate() {
        let policy = world.publish(&guest.wasm());
        let before = world.fingerprint();
        let symbol = format!("BAD{number}");
        let token =
            dsm_sdk::draft::NewToken::new(world.alice.account, &symbol, &symbol, vec![(policy, vec![])]);
        let creation = world.by(&world.alice).operation(world.alice.account, token.operation());
        let error = submit(&world.node, encode(&sign(creation, &[&world.alice]))).expect_err(name);
        assert_eq!(error.code(), "policy_fault", "{name}: {error}");
        assert!(error.to_string().ends_with(fault), "{name}: {error}");
        assert_eq!(world.fingerprint(), before, "{name}");
    }
}
