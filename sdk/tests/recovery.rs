//! Keys of every suite speak for an account, and hash-based ones bring it back when the others are lost or broken.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use dsm_abi::{Digest, Input, KeyId, PolicyId, StateId, Suite};
use dsm_core::{
    AdmitError, Applied, Genesis, Judge, Judgement, KeySet, Ledger, NetworkGenesis, NoVerdict, OperationKind,
    Recovery, SignedTransition, StateSpace,
};
use dsm_crypto::{SecretKey, Signer as _, Verifier};
use dsm_sdk::draft::{Draft, Window, key_set, public_key};
use std::sync::Arc;

/// A node without policies.
struct NoPolicies;

impl Judge for NoPolicies {
    fn describe(&self, _: &PolicyId) -> Option<(Digest, KeyId, Arc<dsm_abi::Description>)> {
        None
    }

    fn judge(
        &mut self,
        _: &PolicyId,
        _: &Input,
        _: &Arc<StateSpace>,
        _: &[Arc<StateSpace>],
    ) -> Result<Judgement, NoVerdict> {
        panic!("no token, so no policy is asked")
    }
}

fn ledger() -> Ledger {
    let node = public_key(&SecretKey::ml_dsa_65(&[1; 32]).unwrap());
    Ledger::new(&NetworkGenesis { name: "test".into(), created_ms: 1_000, node, salt: [0; 32] })
}

fn accept(ledger: &mut Ledger, signed: &SignedTransition) -> Result<Applied, AdmitError> {
    let signed = SignedTransition::decode(&dsm_abi::encode(signed)).unwrap();
    let verified = signed.verify(ledger.network(), &*ledger, &Verifier::new())?;
    let approved = ledger.judge(verified, 1_000, &mut NoPolicies).unwrap();
    let changes = ledger.settle(approved).unwrap();
    Ok(ledger.commit(changes))
}

/// Suite 0x20 as recovery keys, two of three, with real signatures.
#[test]
fn slh_dsa_recovery_keys_replace_an_accounts_keys() {
    let mut ledger = ledger();
    let window = Window { from_ms: 0, until_ms: 60_000 };
    let daily = SecretKey::ml_dsa_65(&[2; 32]).unwrap();
    let next = SecretKey::ml_dsa_65(&[3; 32]).unwrap();
    let spare = [4, 5, 6].map(|seed| SecretKey::slh_dsa_sha2_128s(&[seed; 48]));
    let recovery = Recovery { keys: spare.iter().map(|key| public_key(key)).collect(), threshold: 2 };
    let keys = KeySet { recovery: Some(recovery), ..KeySet::single(public_key(&daily)) };
    keys.check().unwrap();
    let genesis = Genesis { network: ledger.network(), keys, salt: [0; 32] };
    let account = genesis.account();
    let open = Draft::new(ledger.network(), window, [7; 32]).open(genesis);
    accept(&mut ledger, &open.sign_with(&[(account, &daily, 0)]).unwrap()).unwrap();

    let head = |ledger: &Ledger| ledger.account(&account).map_or(StateId::NONE, |account| account.head());
    let recover = Draft::new(ledger.network(), window, [8; 32])
        .signer(account, head(&ledger))
        .operation(account, OperationKind::Recover { keys: KeySet::single(public_key(&next)) });
    let before = head(&ledger);
    let one = recover.clone().sign_with(&[(account, &spare[0], 0)]).unwrap();
    assert!(accept(&mut ledger, &one).is_err(), "one of three");
    let mut swapped = recover.clone().sign_with(&[(account, &spare[0], 0), (account, &spare[2], 2)]).unwrap();
    swapped.signatures[1].key = 1;
    assert!(accept(&mut ledger, &swapped).is_err(), "another key's signature");
    let mut relabelled =
        recover.clone().sign_with(&[(account, &spare[0], 0), (account, &spare[2], 2)]).unwrap();
    relabelled.signatures[0].suite = Suite::MlDsa65;
    assert!(accept(&mut ledger, &relabelled).is_err(), "under another suite's name");
    assert_eq!(head(&ledger), before);

    let two = recover.sign_with(&[(account, &spare[0], 0), (account, &spare[2], 2)]).unwrap();
    assert!(two.signatures.iter().all(|signature| signature.bytes.len() == 7_856));
    accept(&mut ledger, &two).unwrap();

    // The account's keys are the new ones, and only they.
    let rotate = |signer: &SecretKey, ledger: &Ledger| {
        Draft::new(ledger.network(), window, [9; 32])
            .signer(account, head(ledger))
            .operation(account, OperationKind::RotateKeys { keys: key_set([(public_key(&daily), 0)], 1) })
            .sign_with(&[(account, signer, 0)])
            .unwrap()
    };
    let old = rotate(&daily, &ledger);
    assert!(accept(&mut ledger, &old).is_err(), "the former key");
    let new = rotate(&next, &ledger);
    accept(&mut ledger, &new).unwrap();
}

/// A key of suite 0x20 can be an account's only key, though it signs slowly.
#[test]
fn every_suite_speaks_for_an_account() {
    for (suite, bytes) in [(Suite::MlDsa65, 32), (Suite::Ed25519MlDsa65, 64), (Suite::SlhDsaSha2128s, 48)] {
        let mut ledger = ledger();
        let key = SecretKey::from_secret_bytes(suite, &vec![5; bytes]).unwrap();
        assert_eq!(key.suite(), suite);
        let keys = KeySet::single(public_key(&key));
        let genesis = Genesis { network: ledger.network(), keys, salt: [0; 32] };
        let account = genesis.account();
        let window = Window { from_ms: 0, until_ms: 60_000 };
        let open = Draft::new(ledger.network(), window, [7; 32]).open(genesis);
        accept(&mut ledger, &open.sign_with(&[(account, &key, 0)]).unwrap()).unwrap();
        assert!(ledger.account(&account).is_some());
    }
}
