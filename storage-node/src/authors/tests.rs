//! What a storage node refuses to append, one row for each lie of whoever ships the log.

use super::*;
use crate::chronicle::Chronicle;
use dsm_abi::encode;
use dsm_crypto::{SecretKey, Signer as _};
use dsm_store::disk::MemoryDisk;
use dsm_store::{Log, LogConfig};

/// Appends the chronicle's records behind what the log has.
fn append(log: &Log, chronicle: &Chronicle) {
    let (head, _) = log.head();
    for payload in &chronicle.records[head as usize..] {
        log.append(crate::chronicle::RECORD_KIND, payload).unwrap();
    }
    log.sync().unwrap();
    assert_eq!(log.head(), chronicle.head(), "the chronicle chains as the store does");
}

fn new_log() -> Log {
    Log::open(std::sync::Arc::new(MemoryDisk::new()), LogConfig::new(1)).unwrap().0
}

fn arrived(chronicle: &Chronicle, from: u64) -> Vec<Arrived<'_>> {
    (from..=chronicle.head().0)
        .map(|position| Arrived {
            position,
            prev: position.checked_sub(2).map_or([0; 32], |before| chronicle.digests[before as usize]),
            payload: &chronicle.records[position as usize - 1],
        })
        .collect()
}

fn authors(chronicle: &Chronicle) -> Authors {
    let core = transport_half(&chronicle.node_key()).unwrap().to_vec();
    let mut authors = Authors::new(Verifier::new(), 2, Some(core), Arc::new(MemoryDisk::new()));
    authors.trust(chronicle.network());
    authors
}

/// An honest start, already appended.
fn begun(seed: u8) -> (Chronicle, Log, Authors) {
    let mut chronicle = Chronicle::new(seed);
    chronicle.open();
    chronicle.open();
    let log = new_log();
    let mut authors = authors(&chronicle);
    authors.check(0, &arrived(&chronicle, 1), &log.reader()).unwrap();
    append(&log, &chronicle);
    authors.settle(chronicle.head().0);
    (chronicle, log, authors)
}

#[test]
fn honest_records_pass_in_batches_of_any_size_and_after_a_restart() {
    let mut chronicle = Chronicle::new(1);
    chronicle.write_some(40);
    chronicle.publish(0, 100);
    let proof = chronicle.equivocation(1);
    chronicle.push(&Entry::Equivocation(Box::new(proof)));
    chronicle.write_some(6);
    for size in [1, 3, 7, 100] {
        let log = new_log();
        let mut authors = authors(&chronicle);
        let mut policies = Vec::new();
        for batch in arrived(&chronicle, 1).chunks(size) {
            let prev = batch[0].position - 1;
            policies.extend(authors.check(prev, batch, &log.reader()).unwrap().published);
        }
        append(&log, &chronicle);
        assert!(policies.iter().eq(chronicle.packages.keys()));
        let mut restarted = super::tests::authors(&chronicle);
        assert_eq!(restarted.follow(&log.reader(), u64::MAX, |_| ()).unwrap(), policies);
        assert_eq!(restarted.head(), chronicle.head().0);
        let same = |authors: &Authors| -> Vec<(AccountId, StateId, u64)> {
            authors.accounts.iter().map(|(id, chain)| (*id, chain.head, chain.keys_at)).collect()
        };
        assert_eq!(same(&restarted), same(&authors), "batches of {size}");
    }
}

#[test]
fn s6_records_that_their_authors_did_not_sign_are_refused_by_reason() {
    type Lie = fn(&mut Chronicle);
    let rows: [(&str, Lie); 9] = [
        ("malformed_bytes", |chronicle| chronicle.push_bytes(vec![0xff; 40])),
        ("genesis_place", |chronicle| chronicle.push(&Entry::Genesis(chronicle.genesis.clone()))),
        ("bad_signature", |chronicle| {
            let kind = OperationKind::RotateKeys { keys: KeySet::single(chronicle.node_key()) };
            let mut accepted = {
                let signed = chronicle.signed(0, kind);
                chronicle.accept(signed)
            };
            accepted.signed.signatures[0].bytes[100] ^= 1;
            chronicle.push(&Entry::Accepted(Box::new(accepted)));
        }),
        ("missing_signature", |chronicle| {
            let kind = OperationKind::RotateKeys { keys: KeySet::single(chronicle.node_key()) };
            let signed = chronicle.signed(0, kind);
            let mut accepted = chronicle.accept(signed);
            accepted.signed.signatures.clear();
            chronicle.push(&Entry::Accepted(Box::new(accepted)));
        }),
        ("stale_parent", |chronicle| {
            // The same state gets two successors.
            let kind = |until_ms| OperationKind::Precommit { shape: Default::default(), until_ms };
            let (first, second) = (chronicle.signed(0, kind(1)), chronicle.signed(0, kind(2)));
            let ledger = chronicle.ledger.clone();
            let one = chronicle.accept(first);
            chronicle.push(&Entry::Accepted(Box::new(one)));
            chronicle.ledger = ledger;
            let two = chronicle.accept(second);
            chronicle.push(&Entry::Accepted(Box::new(two)));
        }),
        ("keys_changed", |chronicle| {
            let signed =
                chronicle.signed(0, OperationKind::Precommit { shape: Default::default(), until_ms: 1 });
            let mut accepted = chronicle.accept(signed);
            accepted.accounts[0].keys.0[0] ^= 1;
            chronicle.push(&Entry::Accepted(Box::new(accepted)));
        }),
        ("checkpoint_not_signed", |chronicle| {
            let stranger = SecretKey::generate(Suite::Ed25519MlDsa65).unwrap();
            let signed = chronicle.signed_checkpoint(&stranger);
            chronicle.push(&Entry::Checkpoint(Box::new(signed)));
        }),
        ("checkpoint_place", |chronicle| {
            let key = SecretKey::from_secret_bytes(chronicle.node.suite(), &chronicle.node.to_secret_bytes());
            let mut signed = chronicle.signed_checkpoint(&key.unwrap());
            signed.checkpoint.log_digest.0[0] ^= 1;
            chronicle.push(&Entry::Checkpoint(Box::new(signed)));
        }),
        ("bad_equivocation", |chronicle| {
            let mut proof = chronicle.equivocation(0);
            proof.second = proof.first.clone();
            chronicle.push(&Entry::Equivocation(Box::new(proof)));
        }),
    ];
    for (code, lie) in rows {
        let (mut chronicle, log, mut authors) = begun(2);
        let prev = chronicle.head().0;
        // An honest record first: nothing of a batch counts if one record of it does not.
        chronicle.open();
        let honest = chronicle.fork();
        lie(&mut chronicle);
        let last = chronicle.head().0;
        let refused = authors.check(prev, &arrived(&chronicle, prev + 1), &log.reader());
        let (position, error) = refused.err().unwrap_or_else(|| panic!("{code} was taken"));
        assert_eq!((error.code(), position), (code, last), "{error}");
        assert_eq!(authors.head(), prev);
        // What is honest still goes on from there.
        authors.check(prev, &arrived(&honest, prev + 1), &log.reader()).unwrap();
    }
}

#[test]
fn c5_the_genesis_has_to_be_the_networks_and_name_the_trusted_core_node() {
    let (ours, other) = (Chronicle::new(3), Chronicle::new(4));
    let reader = new_log().reader();
    let code = |mut authors: Authors| {
        let refused = authors.check(0, &arrived(&other, 1), &reader);
        refused.err().map(|(_, error)| error.code())
    };
    assert_eq!(code(authors(&ours)), Some("wrong_network"));
    let core = transport_half(&ours.node_key()).unwrap().to_vec();
    assert_eq!(
        code(Authors::new(Verifier::new(), 1, Some(core), Arc::new(MemoryDisk::new()))),
        Some("other_node")
    );
    assert_eq!(code(authors(&other)), None);
}

#[test]
fn what_was_never_durable_is_forgotten_and_what_was_is_read_again() {
    let (mut chronicle, log, mut authors) = begun(5);
    let durable = chronicle.head().0;
    chronicle.rotate(0);
    chronicle.rotate(0);
    chronicle.open();
    let reader = log.reader();
    authors.check(durable, &arrived(&chronicle, durable + 1), &reader).unwrap();
    // The batch did not reach the disk and comes again, alone and then continued.
    authors.check(durable, &arrived(&chronicle, durable + 1)[..1], &reader).unwrap();
    authors.check(durable + 1, &arrived(&chronicle, durable + 2), &reader).unwrap();
    append(&log, &chronicle);
    authors.settle(chronicle.head().0);
    // A tail that was durable is set aside: the log in hand is followed anew up to there.
    chronicle.rotate(0);
    authors.check(durable + 1, &arrived(&chronicle, durable + 2), &reader).unwrap();
    assert_eq!(authors.head(), chronicle.head().0);
}

#[test]
fn a_log_that_begins_behind_a_checkpoint_counts_what_it_cannot_check() {
    let mut chronicle = Chronicle::new(6);
    chronicle.write_some(20);
    chronicle.pass_days(1);
    let offered = chronicle.node_checkpoint();
    chronicle.checkpoint();
    assert_eq!(offered.len() + 1, chronicle.records[chronicle.head().0 as usize - 1].len());
    let base = chronicle.head().0;
    chronicle.rotate(0);
    chronicle.rotate(0);
    chronicle.open();
    chronicle.checkpoint();
    let mut authors = authors(&chronicle);
    authors.begin(base);
    let log = new_log();
    let checked = authors.check(base, &arrived(&chronicle, base + 1), &log.reader()).unwrap();
    assert_eq!(checked.unchecked, 1, "the first rotation brings keys that the second is checked by");
    // A forged signature under keys that this log holds is refused here too.
    let prev = chronicle.head().0;
    let kind = OperationKind::RotateKeys { keys: KeySet::single(chronicle.node_key()) };
    let signed = chronicle.signed(0, kind);
    let mut accepted = chronicle.accept(signed);
    accepted.signed.signatures[0].bytes[7] ^= 1;
    chronicle.push_bytes(encode(&Entry::Accepted(Box::new(accepted))));
    let refused = authors.check(prev, &arrived(&chronicle, prev + 1), &log.reader());
    assert_eq!(refused.unwrap_err().1.code(), "bad_signature");
}

#[test]
fn retention_keeps_the_keys_of_accounts_whose_records_it_removes() {
    let disk = Arc::new(MemoryDisk::new());
    let log = Log::open(disk, LogConfig { segment_bytes: 1, ..LogConfig::new(1) }).unwrap().0;
    let mut chronicle = Chronicle::new(7);
    chronicle.open();
    chronicle.open();
    chronicle.open();
    append(&log, &chronicle);
    let old = chronicle.head().0;
    chronicle.rotate(2);
    append(&log, &chronicle);
    let keys: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let core = transport_half(&chronicle.node_key()).unwrap().to_vec();
    let mut authors = Authors::new(Verifier::new(), 1, Some(core.clone()), Arc::clone(&keys));
    authors.follow(&log.reader(), u64::MAX, |_| ()).unwrap();
    authors.retire(old + 1, &log.reader()).unwrap();
    assert!(log.prune(old + 1).unwrap().segments > 0);
    // Now, and after a restart over what is left, signatures of all three are still checked.
    let mut restarted = Authors::new(Verifier::new(), 1, Some(core), keys);
    restarted.trust(chronicle.network());
    restarted.follow(&log.reader(), u64::MAX, |_| ()).unwrap();
    for mut authors in [authors, restarted] {
        let mut honest = chronicle.fork();
        let prev = honest.head().0;
        (0..3).for_each(|number| honest.rotate(number));
        let checked = authors.check(prev, &arrived(&honest, prev + 1), &log.reader()).unwrap();
        assert_eq!((checked.signatures, checked.unchecked), (3, 0));
        let mut lying = chronicle.fork();
        let kind = OperationKind::RotateKeys { keys: KeySet::single(lying.node_key()) };
        let signed = lying.signed(0, kind);
        let mut accepted = lying.accept(signed);
        accepted.signed.signatures[0].bytes[3] ^= 1;
        lying.push(&Entry::Accepted(Box::new(accepted)));
        let refused = authors.check(prev, &arrived(&lying, prev + 1), &log.reader());
        assert_eq!(refused.unwrap_err().1.code(), "bad_signature");
    }
}
