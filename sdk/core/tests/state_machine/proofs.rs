//! Proofs that hang from a checkpoint: they show what is present and what is absent, and nothing when altered.

use crate::world::{FastSignatures, World, key, sign_bytes};
use dsm_abi::{AccountId, Digest, Suite, TokenId, decode, encode};
use dsm_core::{
    AccountProof, AssetProof, CheckpointSignature, ProofError, PublicKey, SignedCheckpoint, Snapshot,
    TokenProof,
};

struct Shown {
    world: World,
    checkpoint: SignedCheckpoint,
    snapshot: Snapshot,
}

impl Shown {
    fn new() -> Shown {
        let mut world = World::new();
        let (checkpoint, snapshot) = world.ledger.checkpoint(None, 9, Digest([9; 32]));
        let node = key("node");
        let bytes = sign_bytes(&node, &checkpoint.signing_message(node.suite));
        let signatures = vec![CheckpointSignature { key: node, bytes }];
        Shown { world, checkpoint: SignedCheckpoint { checkpoint, signatures }, snapshot }
    }

    fn account(&self, account: AccountId) -> AccountProof {
        let (head, path) = self.snapshot.prove_account(&account);
        let state = self.world.ledger.account(&account).map(|found| found.state().clone());
        assert_eq!(head, state.as_ref().map(|state| Digest(state.id().0)));
        AccountProof { checkpoint: self.checkpoint.clone(), account, state, path }
    }

    fn token(&self, token: TokenId) -> TokenProof {
        let (_, path) = self.snapshot.prove_token(&token);
        let state = self.world.ledger.token(&token).map(|found| found.state().clone());
        TokenProof { checkpoint: self.checkpoint.clone(), token, state, path }
    }

    fn asset(&self, account: AccountId, token: TokenId) -> AssetProof {
        let found = self.world.ledger.account(&account).unwrap();
        let (amount, path) = (found.balance(&token), found.prove_asset(&token));
        AssetProof { account: self.account(account), token, amount, path }
    }
}

#[test]
fn what_is_present_and_what_is_absent_verifies() {
    let shown = Shown::new();
    let (world, node) = (&shown.world, key("node"));
    for account in [world.root, world.alice, world.bob, AccountId([1; 32])] {
        let state = world.ledger.account(&account).map(|found| found.state());
        assert_eq!(shown.account(account).verify(&node, &FastSignatures), Ok(state));
    }
    for token in [world.gold, world.silver, TokenId([1; 32])] {
        let state = world.ledger.token(&token).map(|found| found.state());
        assert_eq!(shown.token(token).verify(&node, &FastSignatures), Ok(state));
    }
    assert_eq!(shown.asset(world.alice, world.gold).verify(&node, &FastSignatures), Ok(1_000));
    assert_eq!(shown.asset(world.bob, world.gold).verify(&node, &FastSignatures), Ok(0));
    assert_eq!(shown.asset(world.alice, TokenId([1; 32])).verify(&node, &FastSignatures), Ok(0));
}

#[test]
fn any_altered_byte_shows_nothing() {
    let shown = Shown::new();
    let (world, node) = (&shown.world, key("node"));
    let alice = shown.account(world.alice);
    flip_each(&alice, |altered: &AccountProof| altered.verify(&node, &FastSignatures).is_ok());
    let nobody = shown.account(AccountId([1; 32]));
    // The same path may show that yet another account is absent, which is true.
    flip_each(&nobody, |altered: &AccountProof| {
        altered.account == nobody.account && altered.verify(&node, &FastSignatures).is_ok()
    });
    let gold = shown.token(world.gold);
    flip_each(&gold, |altered: &TokenProof| altered.verify(&node, &FastSignatures).is_ok());
    let asset = shown.asset(world.alice, world.gold);
    flip_each(&asset, |altered: &AssetProof| altered.verify(&node, &FastSignatures).is_ok());
}

/// Flips one bit of each byte; the key and the signature, which are long and alike, every 97th byte only.
fn flip_each<T: borsh::BorshSerialize + borsh::BorshDeserialize + PartialEq>(
    proof: &T,
    verifies: impl Fn(&T) -> bool,
) {
    let bytes = encode(proof);
    assert!(verifies(proof));
    let checkpoint_bytes = 32 + 8 + 8 + 32 * 4 + 8 + 8 + 32;
    let long = checkpoint_bytes + 4 + 1 + 4..checkpoint_bytes + 4 + 1 + 4 + 1952 + 4 + 3309;
    for at in (0..bytes.len()).filter(|at| !long.contains(at) || at % 97 == 0) {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (at % 8);
        if let Ok(altered) = decode::<T>(&altered, bytes.len()) {
            assert!(!verifies(&altered), "byte {at} of {}", bytes.len());
        }
    }
}

#[test]
fn a_proof_does_not_serve_for_another() {
    let shown = Shown::new();
    let (world, node) = (&shown.world, key("node"));
    let (alice, bob) = (shown.account(world.alice), shown.account(world.bob));
    let verify = |proof: AccountProof| proof.verify(&node, &FastSignatures).map(|_| ()).unwrap_err();
    verify(AccountProof { account: world.bob, ..alice.clone() });
    verify(AccountProof { state: bob.state.clone(), ..alice.clone() });
    verify(AccountProof { path: bob.path.clone(), ..alice.clone() });
    assert_eq!(verify(AccountProof { state: None, ..alice.clone() }), ProofError::Leaf);
    assert_eq!(verify(AccountProof { state: bob.state, path: bob.path, ..alice.clone() }), ProofError::Leaf);
    let absent = shown.account(AccountId([1; 32]));
    assert_eq!(verify(AccountProof { account: world.alice, ..absent }), ProofError::Leaf);

    let asset = shown.asset(world.alice, world.gold);
    for altered in [
        AssetProof { amount: 1_001, ..asset.clone() },
        AssetProof { amount: 0, ..asset.clone() },
        AssetProof { token: world.silver, ..asset.clone() },
        AssetProof { account: shown.account(world.bob), ..asset.clone() },
        AssetProof { account: shown.account(AccountId([1; 32])), ..asset.clone() },
    ] {
        assert!(altered.verify(&node, &FastSignatures).is_err(), "{} {}", altered.amount, altered.token);
    }

    let thief = key("thief");
    assert_eq!(alice.verify(&thief, &FastSignatures), Err(ProofError::NotSigned));
    let mut resigned = alice.clone();
    let bytes = sign_bytes(&thief, &alice.checkpoint.checkpoint.signing_message(Suite::MlDsa65));
    resigned.checkpoint.signatures = vec![CheckpointSignature { key: node.clone(), bytes }];
    assert!(matches!(resigned.verify(&node, &FastSignatures), Err(ProofError::Signature(_))));
    let other_suite = PublicKey { suite: Suite::Dilithium3, ..node.clone() };
    assert_eq!(alice.verify(&other_suite, &FastSignatures), Err(ProofError::NotSigned));
}

#[test]
fn checkpoints_form_a_chain_and_a_snapshot_stays() {
    let mut shown = Shown::new();
    let first = shown.checkpoint.checkpoint.clone();
    let account = shown.world.alice;
    let path = shown.snapshot.prove_account(&account);
    shown.world.time_ms += 5;
    shown.world.accept_one(account, crate::world::transfer(shown.world.gold, shown.world.bob, 1));
    let (second, _) = shown.world.ledger.checkpoint(Some(&first), 10, Digest([10; 32]));
    assert_eq!((second.epoch, second.parent), (first.epoch + 1, first.id()));
    assert_eq!((second.from_ms, second.to_ms), (first.to_ms, first.to_ms + 5));
    assert_ne!(second.accounts_root, first.accounts_root);
    assert_ne!(second.credits_root, first.credits_root);
    assert_eq!(second.tokens_root, first.tokens_root);
    assert_eq!(shown.snapshot.prove_account(&account), path);
}
