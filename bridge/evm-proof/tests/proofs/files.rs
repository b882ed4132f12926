//! Proof files: read back as written, refused by name when they are not, and verified check by check.

use crate::support::{
    BRIDGE, CHAIN, NOW_S, RULES, Recover, Validator, extra, lock, plain_header, seal, sealed, slot, trusted,
    validators, world,
};
use dsm_evm_proof::{
    Advance, Entry, EvmLockProof, FileError, LANE_EVM, Lock, LockFile, OutboxFile, OutboxTree, Outcome,
    PROOF_FILE_BYTES_MAX, Payload, ProofFile, QbftHeader, Refund, keccak256,
};

/// Validators 1 to 4 are trusted, 3 to 7 seal; the header has the seal of one of the trusted, too few without advance.
fn lock_file(nonce: u64, advance: QbftHeader) -> LockFile {
    let (world, new) = (world(40, 20), validators(3, 7));
    let header = seal(QbftHeader::build(plain_header(90, world.state.root()), extra(&new)), &old_last()[..4]);
    LockFile {
        chain_id: CHAIN,
        contract: BRIDGE,
        outbox_slot: slot(),
        config: b"opaque".to_vec(),
        advances: vec![Advance { header: advance.encode(), set: None }],
        proof: EvmLockProof { header: header.encode(), ..world.proof(nonce) },
    }
}

/// The sealing set, those who are trusted from the beginning at its end.
fn old_last() -> Vec<Validator> {
    [validators(5, 7), validators(3, 4)].concat()
}

fn advanced(nonce: u64) -> LockFile {
    lock_file(nonce, sealed(50, &validators(3, 7), &old_last()[1..]))
}

fn outbox_file(index: u64) -> OutboxFile {
    let mut tree = OutboxTree::new();
    let entry = |index: u64| {
        let refund = Refund { chain_id: CHAIN, bridge: BRIDGE, nonce: index, commitment: [5; 32] };
        let payload = Payload::Refund(refund).encode();
        let (network, token, actor, transition) =
            ([1; 32], [2; 32], [3; 32], keccak256(&[&index.to_le_bytes()]));
        Entry { network, index, lane: LANE_EVM, token, actor, transition, payload }
    };
    (0..13).for_each(|index| _ = tree.append(entry(index).leaf()));
    OutboxFile {
        entry: entry(index),
        size: 13,
        siblings: tree.prove_inclusion(index, 13).unwrap(),
        root: tree.root(13).unwrap(),
        checkpoint: b"signed".to_vec(),
    }
}

#[test]
fn files_are_read_back_as_written_and_refused_by_name() {
    for file in [ProofFile::Lock(advanced(3)), ProofFile::Outbox(outbox_file(4))] {
        let bytes = file.encode();
        assert_eq!(ProofFile::decode(&bytes), Ok(file));
        for cut in 0..bytes.len() {
            let expected = if cut < 8 { FileError::Magic } else { FileError::Malformed };
            assert_eq!(ProofFile::decode(&bytes[..cut]), Err(expected), "cut at {cut}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(ProofFile::decode(&longer), Err(FileError::Malformed));
        let mut later = bytes.clone();
        later[8] = 2;
        assert_eq!(ProofFile::decode(&later), Err(FileError::Version { found: 2 }));
        let mut kind = bytes.clone();
        kind[9] = 3;
        assert_eq!(ProofFile::decode(&kind), Err(FileError::Malformed));
    }
    let found = PROOF_FILE_BYTES_MAX + 1;
    assert_eq!(ProofFile::decode(&vec![0; found]), Err(FileError::TooLong { found }));
    assert_eq!(FileError::Magic.code(), "proof_file_magic");
}

#[test]
fn a_report_names_the_first_check_that_failed_and_skips_the_rest() {
    let set = trusted(&validators(1, 4));
    let report_of = |file: &LockFile| file.verify(&set, &RULES, NOW_S, &Recover);
    let honest = advanced(3);
    let (report, proven) = report_of(&honest);
    assert!(report.is_valid(), "{report:?}");
    assert_eq!(*proven.unwrap().lock(), lock(3));
    assert_eq!(report.checks().len(), 4);

    let with_proof = |change: &dyn Fn(&mut EvmLockProof)| {
        let mut file = honest.clone();
        change(&mut file.proof);
        file
    };
    let all = validators(3, 7);
    let few = seal(QbftHeader::decode(&honest.proof.header).unwrap(), &all[..3]).encode();
    let rows: Vec<(LockFile, usize, (&str, &str))> = vec![
        (lock_file(3, sealed(50, &validators(3, 7), &[])), 0, ("advances", "qbft_quorum")),
        (lock_file(3, sealed(50, &validators(3, 7), &old_last()[..4])), 0, ("advances", "qbft_overlap")),
        (LockFile { advances: vec![], ..honest.clone() }, 2, ("seals", "qbft_overlap")),
        (with_proof(&|proof| proof.header.push(0)), 1, ("header", "header_malformed")),
        (with_proof(&|proof| proof.header.clone_from(&few)), 2, ("seals", "qbft_quorum")),
        (with_proof(&|proof| proof.storage.clear()), 3, ("lock", "mpt_no_nodes")),
        (with_proof(&|proof| proof.account[0][9] ^= 1), 3, ("lock", "mpt_root_hash")),
        (with_proof(&|proof| proof.lock = Lock { amount: 1, ..proof.lock }), 3, ("lock", "lock_commitment")),
        (LockFile { chain_id: 1, ..honest.clone() }, 3, ("lock", "lock_commitment")),
        (advanced(20), 3, ("lock", "lock_absent")),
    ];
    for (file, passed, failed) in rows {
        let (report, proven) = report_of(&file);
        assert!(!report.is_valid() && proven.is_none(), "{failed:?}");
        assert_eq!(report.first_failed(), Some(failed), "{report:?}");
        for (at, check) in report.checks().iter().enumerate() {
            match &check.outcome {
                Outcome::Passed { found } => assert!(at < passed && !found.is_empty()),
                Outcome::Failed { reason, .. } => assert!(at == passed && !reason.is_empty()),
                Outcome::Skipped => assert!(at > passed),
            }
        }
    }
}

#[test]
fn under_a_known_block_hash_no_seals_are_needed() {
    let world = world(10, 5);
    let header = plain_header(12, world.state.root());
    let file = LockFile {
        advances: vec![],
        proof: EvmLockProof { header: header.encode(), ..world.proof(2) },
        ..advanced(2)
    };
    let (report, proven) = file.verify_under(&header.hash());
    assert!(report.is_valid() && proven.is_some(), "{report:?}");
    let (report, proven) = file.verify_under(&[1; 32]);
    assert_eq!((report.first_failed(), proven), (Some(("block hash", "header_hash")), None));
}

#[test]
fn an_outbox_file_says_where_its_entry_is_and_whether_a_contract_can_read_it() {
    for index in 0..13 {
        assert!(outbox_file(index).verify().is_valid());
    }
    let honest = outbox_file(4);
    let entry = honest.entry.clone();
    let rows = [
        (OutboxFile { size: 8, ..honest.clone() }, ("inclusion", "outbox_proof_length")),
        (OutboxFile { root: [0; 32], ..honest.clone() }, ("inclusion", "outbox_empty_tree")),
        (OutboxFile { root: [1; 32], ..honest.clone() }, ("inclusion", "outbox_root")),
        (
            OutboxFile { entry: Entry { index: 5, ..entry.clone() }, ..honest.clone() },
            ("inclusion", "outbox_root"),
        ),
        (
            OutboxFile { entry: Entry { index: 13, ..entry.clone() }, ..honest.clone() },
            ("inclusion", "outbox_index"),
        ),
        (
            OutboxFile { entry: Entry { payload: vec![], ..entry }, ..honest },
            ("payload", "outbox_payload_length"),
        ),
    ];
    for (file, failed) in rows {
        let report = file.verify();
        assert_eq!(report.first_failed(), Some(failed), "{report:?}");
        assert!(!report.is_valid());
    }
}

#[test]
fn a_report_of_nothing_is_not_valid() {
    assert!(!dsm_evm_proof::Report::new().is_valid());
}
