//! Equivocation proofs: two signed successors of one state convict, nothing else does.

use crate::world::{FastSignatures, World, key, key_set, signature, transfer};
use dsm_abi::{AccountId, Digest};
use dsm_core::{EquivocationError, EquivocationProof, OperationKind, SignedTransition};

/// A transfer by Alice on her present head, perhaps with a cosigner.
fn successor(world: &mut World, amount: u128, cosigner: Option<AccountId>) -> SignedTransition {
    let operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, amount)]);
    let signers: Vec<AccountId> = [Some(world.alice), cosigner].into_iter().flatten().collect();
    world.signed(&signers, operations)
}

fn proof(world: &World, first: SignedTransition, second: SignedTransition) -> EquivocationProof {
    let head = world.ledger.account(&world.alice).unwrap();
    EquivocationProof { parent: head.state().clone(), keys: (**head.keys()).clone(), first, second }
}

#[test]
fn two_signed_successors_convict() {
    let mut world = World::new();
    let (first, second) = (successor(&mut world, 1, None), successor(&mut world, 2, None));
    let found = proof(&world, first.clone(), second.clone());
    assert_eq!(found.verify(&FastSignatures), Ok(()));
    assert_eq!(found.account(), world.alice);
    assert_eq!(found.state(), world.ledger.account(&world.alice).unwrap().head());
    let bob = world.bob;
    let cosigned = successor(&mut world, 1, Some(bob));
    assert_eq!(proof(&world, first, cosigned).verify(&FastSignatures), Ok(()));
    world.submit(&second).unwrap();
    assert_eq!(found.verify(&FastSignatures), Ok(()), "the proof stands alone");
}

#[test]
fn nothing_else_convicts() {
    let mut world = World::new();
    let bob = world.bob;
    let (first, second) = (successor(&mut world, 1, None), successor(&mut world, 2, Some(bob)));
    let honest = proof(&world, first.clone(), second.clone());
    let verify = |proof: EquivocationProof| proof.verify(&FastSignatures).expect_err("must not convict");

    assert_eq!(
        verify(EquivocationProof { second: first.clone(), ..honest.clone() }),
        EquivocationError::Same
    );
    let mut resigned = first.clone();
    resigned.signatures[0].bytes[0] ^= 1;
    assert_eq!(verify(EquivocationProof { second: resigned, ..honest.clone() }), EquivocationError::Same);
    let keys = key_set("thief");
    assert_eq!(verify(EquivocationProof { keys: keys.clone(), ..honest.clone() }), EquivocationError::Keys);
    let mut parent = honest.parent.clone();
    parent.keys = keys.id();
    assert_eq!(verify(EquivocationProof { parent, keys, ..honest.clone() }), EquivocationError::Parent);
    let mut parent = honest.parent.clone();
    parent.assets_root = Digest([1; 32]);
    assert_eq!(verify(EquivocationProof { parent, ..honest.clone() }), EquivocationError::Parent);

    let alice = second.transition.parents.iter().position(|(account, _)| *account == world.alice).unwrap();
    let mut only_cosigner = second.clone();
    only_cosigner.signatures.retain(|signature| usize::from(signature.account) != alice);
    assert_eq!(only_cosigner.signatures.len(), 1);
    let mut forged = second.clone();
    let by_thief = signature(&forged.transition, alice as u8, 0, &key("thief"));
    forged.signatures.retain(|signature| usize::from(signature.account) != alice);
    forged.signatures.push(by_thief);
    forged.signatures.sort_by_key(|signature| (signature.account, signature.key));
    let mut edited = second;
    edited.transition.entropy[0] ^= 1;
    for second in [only_cosigner, forged, edited] {
        assert!(matches!(
            verify(EquivocationProof { second, ..honest.clone() }),
            EquivocationError::Signature(_)
        ));
    }

    world.submit(&first).unwrap();
    let next = successor(&mut world, 3, None);
    assert_eq!(verify(EquivocationProof { second: next, ..honest }), EquivocationError::Parent);
}

/// A thief signed with the stolen key while the owner recovered on the same parent: that convicts nobody.
#[test]
fn a_recovery_beside_a_transition_of_the_keys_is_no_equivocation() {
    let mut world = World::new();
    let stolen = successor(&mut world, 1, None);
    let operations = world.ops(world.alice, vec![OperationKind::Recover { keys: key_set("alice 2") }]);
    let recovery = world.signed(&[world.alice], operations);
    for (first, second) in [(stolen.clone(), recovery.clone()), (recovery, stolen)] {
        let verdict = proof(&world, first, second).verify(&FastSignatures);
        assert_eq!(verdict, Err(EquivocationError::Recovery));
    }
}
