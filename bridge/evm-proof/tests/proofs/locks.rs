//! Locks: the commitment is the contract's, a proof shows exactly what it says, and nothing else is shown.

use crate::support::{
    BRIDGE, CHAIN, CODE, NOW_S, RULES, Recover, account_value, extra, lock, plain_header, seal, slot,
    trusted, validators, word_value, world,
};
use dsm_evm_proof::{
    EMPTY_CODE, EMPTY_ROOT, EvmLockProof, LOCK_PROOF_BYTES_MAX, LOCK_TAG, Lock, LockError, LockKind,
    NODE_BYTES_MAX, NODES_MAX, NotShown, ProvenLock, QbftHeader, Shown, address_word, keccak256,
    lock_storage_key, word,
};

#[test]
fn the_tag_is_the_hash_of_its_words() {
    assert_eq!(LOCK_TAG, keccak256(&[b"DSM/lock/1"]));
    assert_eq!(EMPTY_CODE, keccak256(&[]));
    assert_eq!(EMPTY_ROOT, keccak256(&[&[0x80]]));
}

/// `abi.encode` of the fields, written out once more as one string of words.
#[test]
fn the_commitment_is_the_hash_of_eleven_words() {
    let lock = Lock { amount: u128::MAX, nonce: u64::MAX, ..lock(0) };
    let words = [
        keccak256(&[b"DSM/lock/1"]),
        word(CHAIN.into()),
        address_word(&BRIDGE),
        word(u64::MAX.into()),
        word(2),
        address_word(&lock.asset),
        address_word(&lock.sender),
        lock.token,
        lock.recipient,
        word(u128::MAX),
        word(lock.deadline_s.into()),
    ];
    assert_eq!(lock.commitment(CHAIN, &BRIDGE), keccak256(&[&words.concat()]));
    assert_eq!(lock_storage_key(5, &slot()), keccak256(&[&[word(5), slot()].concat()]));
}

/// Made with `cast` 1.7.1 (abi-encode, keccak).
#[test]
fn another_encoder_makes_the_same_commitment_and_key() {
    let lock = Lock { nonce: 7, amount: u128::MAX, deadline_s: 1_800_086_400, ..lock(0) };
    assert_eq!(
        hex::encode(lock.commitment(138, &BRIDGE)),
        "5ec73f57bd2fa53a8076ad7f9e703ca9940751283f2b2ac9809eb833d58864f8"
    );
    assert_eq!(
        hex::encode(lock_storage_key(5, &word(3))),
        "405aad32e1adbac89bb7f176e338b8fc6e994ca210c9bb7bdca249b465942250"
    );
}

fn verify(world: &crate::support::World, proof: &EvmLockProof) -> Result<Shown<ProvenLock>, LockError> {
    proof.verify(&world.state.root(), &BRIDGE, &slot(), CHAIN)
}

#[test]
fn a_lock_is_shown_present_absent_or_not_at_all() {
    for (accounts, locks) in [(0, 1), (1, 2), (3, 3), (60, 40), (400, 300)] {
        let world = world(accounts, locks);
        for nonce in [0, locks / 2, locks - 1] {
            let Ok(Shown::Present(proven)) = verify(&world, &world.proof(nonce)) else {
                panic!("lock {nonce}")
            };
            assert_eq!(*proven.lock(), lock(nonce));
            assert_eq!((proven.chain_id(), proven.contract()), (CHAIN, BRIDGE));
            assert_eq!(proven.commitment(), lock(nonce).commitment(CHAIN, &BRIDGE));
        }
        for nonce in [locks, locks + 1, u64::MAX] {
            assert_eq!(verify(&world, &world.proof(nonce)), Ok(Shown::Absent), "lock {nonce}");
        }
    }
    // A contract that nobody used yet.
    let unused = world(10, 0);
    assert_eq!(verify(&unused, &unused.proof(0)), Ok(Shown::Absent));
    let explicit = EvmLockProof { storage: vec![vec![0x80]], ..unused.proof(0) };
    assert_eq!(verify(&unused, &explicit), Ok(Shown::Absent));
}

/// B8, B9: a lock is what it was locked for, on its chain, in its contract, under its number.
#[test]
fn b8_another_lock_than_the_committed_one_is_refused_field_by_field() {
    let world = world(20, 10);
    let honest = world.proof(4);
    let other: Vec<(&str, Lock)> = vec![
        ("kind", Lock { kind: LockKind::Burn, ..honest.lock }),
        ("asset", Lock { asset: [0xa6; 20], ..honest.lock }),
        ("sender", Lock { sender: [1; 20], ..honest.lock }),
        ("token", Lock { token: [1; 32], ..honest.lock }),
        ("recipient", Lock { recipient: [1; 32], ..honest.lock }),
        ("amount", Lock { amount: honest.lock.amount + 1, ..honest.lock }),
        ("deadline", Lock { deadline_s: honest.lock.deadline_s + 1, ..honest.lock }),
    ];
    for (field, lock) in other {
        let forged = EvmLockProof { lock, ..honest.clone() };
        assert_eq!(verify(&world, &forged), Err(LockError::Commitment), "{field}");
    }
    // Another nonce has another key, to which these nodes say nothing, or that it is empty.
    for nonce in (0..10).filter(|nonce| *nonce != 4) {
        let forged = EvmLockProof { lock: Lock { nonce, ..honest.lock }, ..honest.clone() };
        assert_eq!(verify(&world, &forged).unwrap_err().code(), "lock_storage", "nonce {nonce}");
    }
    let root = world.state.root();
    let elsewhere = [
        ("another chain", honest.verify(&root, &BRIDGE, &slot(), 1), "lock_commitment"),
        ("another contract", honest.verify(&root, &[1; 20], &slot(), CHAIN), "lock_account"),
        ("another slot", honest.verify(&root, &BRIDGE, &word(4), CHAIN), "lock_storage"),
        ("another root", honest.verify(&[9; 32], &BRIDGE, &slot(), CHAIN), "lock_account"),
        ("the zero root", honest.verify(&[0; 32], &BRIDGE, &slot(), CHAIN), "lock_account"),
    ];
    for (name, verdict, code) in elsewhere {
        assert_eq!(verdict.unwrap_err().code(), code, "{name}");
    }
    assert_eq!(
        honest.verify(&[0; 32], &BRIDGE, &slot(), CHAIN).unwrap_err().not_shown(),
        Some(NotShown::ZeroRoot)
    );
}

#[test]
fn locks_that_no_contract_makes_are_refused() {
    let world = world(5, 3);
    let honest = world.proof(1);
    let rows = [
        (Lock { amount: 0, ..honest.lock }, LockError::ZeroAmount),
        (Lock { asset: [0; 20], ..honest.lock }, LockError::Asset),
        (Lock { asset: [0; 20], kind: LockKind::Burn, ..honest.lock }, LockError::Asset),
        (Lock { kind: LockKind::Native, ..honest.lock }, LockError::Asset),
    ];
    for (lock, error) in rows {
        assert_eq!(verify(&world, &EvmLockProof { lock, ..honest.clone() }), Err(error));
    }
    let native = Lock { asset: [0; 20], kind: LockKind::Native, ..honest.lock };
    assert_eq!(native.check(), Ok(()));
}

#[test]
fn b2_a_contract_that_is_not_there_shows_nothing_about_its_locks() {
    let mut world = world(30, 3);
    let honest = world.proof(9);
    // Absence of the account is not absence of the lock: the address may be of another chain.
    let nobody = [0x99; 20];
    let proof = EvmLockProof { account: world.state.proof_hashed(&nobody), ..honest.clone() };
    assert_eq!(proof.verify(&world.state.root(), &nobody, &slot(), CHAIN), Err(LockError::NoContract));
    // An account without code cannot hold locks.
    let root = world.storage.root();
    world.state.insert_hashed(&nobody, account_value(0, 5, root, EMPTY_CODE));
    let proof = EvmLockProof { account: world.state.proof_hashed(&nobody), ..honest.clone() };
    assert_eq!(proof.verify(&world.state.root(), &nobody, &slot(), CHAIN), Err(LockError::NoCode));
    // Cut anywhere, neither part shows anything.
    let honest = world.proof(9);
    assert_eq!(verify(&world, &honest), Ok(Shown::Absent));
    for cut in 0..honest.storage.len() {
        let proof = EvmLockProof { storage: honest.storage[..cut].to_vec(), ..honest.clone() };
        assert_eq!(verify(&world, &proof).unwrap_err().code(), "lock_storage");
    }
    for cut in 0..honest.account.len() {
        let proof = EvmLockProof { account: honest.account[..cut].to_vec(), ..honest.clone() };
        assert_eq!(verify(&world, &proof).unwrap_err().code(), "lock_account");
    }
}

#[test]
fn a_word_that_is_no_commitment_is_another_lock() {
    let mut world = world(5, 0);
    for value in [word(1), [0xff; 32]] {
        world.storage.insert_hashed(&lock_storage_key(0, &slot()), word_value(&value));
        let root = world.storage.root();
        world.state.insert_hashed(&BRIDGE, account_value(1, 0, root, CODE));
        assert_eq!(verify(&world, &world.proof(0)), Err(LockError::Commitment));
    }
}

/// From the sealed header to the lock, as a ledger does it.
#[test]
fn a_sealed_header_and_its_state_prove_a_lock() {
    let (world, all) = (world(100, 50), validators(1, 4));
    let header = seal(QbftHeader::build(plain_header(77, world.state.root()), extra(&all)), &all[1..]);
    let proof = EvmLockProof { header: header.encode(), ..world.proof(33) };
    let proof = EvmLockProof::decode(&proof.encode()).unwrap();
    let header = QbftHeader::decode(&proof.header).unwrap();
    let sealed = trusted(&all).verify_header(&RULES, header, NOW_S, &Recover).unwrap();
    let shown = proof.verify(&sealed.state_root(), &BRIDGE, &slot(), CHAIN);
    assert!(matches!(shown, Ok(Shown::Present(_))));
}

#[test]
fn b1_limits_hold_before_anything_is_allocated() {
    let honest = EvmLockProof { header: vec![1; 600], ..world(50, 20).proof(3) };
    assert_eq!(EvmLockProof::decode(&honest.encode()), Some(honest.clone()));
    let full = EvmLockProof {
        header: vec![1; dsm_evm_proof::HEADER_BYTES_MAX],
        attestations: vec![
            (1, vec![2; dsm_evm_proof::ATTESTATION_BYTES_MAX]);
            dsm_evm_proof::ATTESTATIONS_MAX
        ],
        account: vec![vec![3; NODE_BYTES_MAX]; NODES_MAX],
        storage: vec![vec![4; NODE_BYTES_MAX]; NODES_MAX],
        ..honest.clone()
    };
    let bytes = full.encode();
    assert!(bytes.len() <= LOCK_PROOF_BYTES_MAX);
    assert_eq!(EvmLockProof::decode(&bytes), Some(full.clone()));
    let beyond = [
        EvmLockProof { header: vec![1; dsm_evm_proof::HEADER_BYTES_MAX + 1], ..honest.clone() },
        EvmLockProof {
            attestations: vec![(1, vec![]); dsm_evm_proof::ATTESTATIONS_MAX + 1],
            ..honest.clone()
        },
        EvmLockProof {
            attestations: vec![(1, vec![0; dsm_evm_proof::ATTESTATION_BYTES_MAX + 1])],
            ..honest.clone()
        },
        EvmLockProof { account: vec![vec![]; NODES_MAX + 1], ..honest.clone() },
        EvmLockProof { storage: vec![vec![0; NODE_BYTES_MAX + 1]], ..honest.clone() },
    ];
    for proof in beyond {
        assert_eq!(EvmLockProof::decode(&proof.encode()), None);
    }
    let trailing = [honest.encode(), vec![0]].concat();
    assert_eq!(EvmLockProof::decode(&trailing), None);
    // A length of four gibibytes with nothing behind it.
    assert_eq!(EvmLockProof::decode(&[0xff; 4]), None);
}
