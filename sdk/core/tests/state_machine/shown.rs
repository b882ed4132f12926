//! What policies are shown: declared foreign reads, verified evidence.

use crate::world::{PEEK, World, effects, invoke};
use dsm_abi::{Digest, Effect, Evidence, ForeignBalance, Value, encode};
use dsm_core::{EvidenceProof, HashPreimage, OperationKind};

#[test]
fn a_policy_sees_the_state_and_the_parties_balances_of_its_foreign_read() {
    let mut world = World::new();
    let (key, value) = (vec![1], vec![2]);
    let set = Effect::SetState { key: key.clone(), value: value.clone() };
    world.accept_one(world.alice, effects(world.gold, 0, &[set]));
    world.hold(100, dsm_abi::HoldKind::Lock, None);
    let token = world.create("PEEK", &[(PEEK, vec![Value::Token(world.gold)])], None);
    world.accept_one(world.root, OperationKind::Mint { token, to: world.alice, amount: 1 });
    let seen = |account, balance, available| ForeignBalance {
        read: 0,
        token: world.gold,
        account,
        balance,
        available,
    };
    let expected = (vec![seen(world.root, 0, 0), seen(world.alice, 1_000, 900)], vec![(key, value)]);
    let space = world.ledger.space(&token, 0);
    assert_eq!(space.get(b"seen".as_slice()), Some(&encode(&expected)));
}

#[test]
fn a_policy_sees_evidence_as_it_was_verified() {
    let mut world = World::new();
    let preimage = b"secret".to_vec();
    let digest = Digest(*blake3::hash(&preimage).as_bytes());
    let operations = world.ops(world.alice, vec![invoke(world.gold, 0, "evidence")]);
    let mut draft = world.draft(&[world.alice], operations);
    draft.evidence =
        vec![EvidenceProof::HashPreimage(HashPreimage { algorithm: 0, digest, preimage: preimage.clone() })];
    let signed = world.sign(draft);
    world.submit(&signed).unwrap();
    let expected = vec![Evidence::HashPreimage { algorithm: 0, digest, preimage }];
    let space = world.ledger.space(&world.gold, 0);
    assert_eq!(space.get(b"evidence".as_slice()), Some(&encode(&expected)));
}
