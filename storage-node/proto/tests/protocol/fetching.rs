//! Fetching by hash from peers that may lie, and comparing sets of blobs.

use crate::world::{head, ms, node, record};
use dsm_abi::Digest;
use dsm_proto::fetch::{
    Answer, FetchConfig, FetchOutput, Fetched, Fetcher, JobId, PENALTY_OUT, PeerFault, Query, Want,
};
use dsm_proto::reconcile::{BlobSet, Fingerprint, RangeAnswer, Reconcile, ReconcileError};
use dsm_proto::{NodeId, Record};

fn fetcher(peers: u8) -> Fetcher {
    let mut fetcher = Fetcher::new(FetchConfig::default());
    fetcher.set_peers(&(1..=peers).map(node).collect::<Vec<_>>());
    fetcher
}

fn outputs(fetcher: &mut Fetcher) -> Vec<FetchOutput> {
    std::iter::from_fn(|| fetcher.poll()).collect()
}

/// The peer that is asked next, for which job, and the faults found before.
fn asked(fetcher: &mut Fetcher) -> (Option<(NodeId, JobId, Query)>, Vec<PeerFault>) {
    let mut faults = Vec::new();
    let mut found = None;
    for output in outputs(fetcher) {
        match output {
            FetchOutput::Ask { peer, job, query } => found = Some((peer, job, query)),
            FetchOutput::Fault { fault, .. } => faults.push(fault),
            FetchOutput::Done { .. } | FetchOutput::Failed { .. } => {}
        }
    }
    (found, faults)
}

/// The address that the store gives a blob.
fn blob(bytes: &[u8]) -> Digest {
    let disk = std::sync::Arc::new(dsm_store::disk::MemoryDisk::new());
    let blobs = dsm_store::Blobs::open(disk, 1 << 20).unwrap();
    Digest(blobs.put(bytes).unwrap())
}

#[test]
fn s1_every_flipped_byte_is_noticed_and_another_peer_asked() {
    let content: Vec<u8> = (0..200u8).collect();
    let digest = blob(&content);
    for at in 0..content.len() {
        let mut fetcher = fetcher(2);
        fetcher.start(Want::Blob { digest, bytes_max: 1000 }, &[], ms(0)).unwrap();
        let (Some((liar, job, _)), _) = asked(&mut fetcher) else { panic!("nobody is asked") };
        let mut wrong = content.clone();
        wrong[at] ^= 1;
        fetcher.handle_answer(liar, job, Answer::Blob(wrong), ms(1));
        let (Some((other, job, _)), faults) = asked(&mut fetcher) else { panic!("nobody else is asked") };
        assert_eq!(faults, [PeerFault::WrongContent]);
        assert_ne!(other, liar);
        fetcher.handle_answer(other, job, Answer::Blob(content.clone()), ms(2));
        let fetched = Fetched::Blob(content.clone());
        assert_eq!(outputs(&mut fetcher), [FetchOutput::Done { job, peer: other, fetched }]);
        let scores: Vec<(NodeId, u32)> = fetcher.scores().filter(|(_, penalty)| *penalty > 0).collect();
        assert_eq!(scores, [(liar, PENALTY_OUT - 1)]);
    }
}

/// How many things come from somebody else before a peer is asked again that did this once.
#[test]
fn a_broken_connection_is_forgotten_soon_and_a_lie_late() {
    let content = b"content".to_vec();
    let digest = blob(&content);
    for (fault, fetched) in
        [(PeerFault::Broken, 5), (PeerFault::Late, 10), (PeerFault::WrongContent, PENALTY_OUT)]
    {
        let mut fetcher = fetcher(2);
        let mut fetch = |fault: Option<PeerFault>| {
            fetcher.start(Want::Blob { digest, bytes_max: 1000 }, &[], ms(0)).unwrap();
            let (Some((first, job, _)), _) = asked(&mut fetcher) else { panic!("nobody is asked") };
            let mut giver = first;
            if let Some(fault) = fault {
                fetcher.handle_failed(first, job, fault, ms(1));
                let (Some((other, ..)), _) = asked(&mut fetcher) else { panic!("nobody else is asked") };
                giver = other;
            }
            fetcher.handle_answer(giver, job, Answer::Blob(content.clone()), ms(2));
            outputs(&mut fetcher);
            first
        };
        let guilty = fetch(Some(fault));
        let others = (1..).find(|_| fetch(None) == guilty);
        assert_eq!(others, Some(fetched), "{fault:?}");
    }
}

#[test]
fn each_wrong_answer_costs_its_price() {
    let digest = blob(b"content");
    let owed = [node(1), node(2)];
    let rows: [(Answer, Option<PeerFault>); 6] = [
        (Answer::Blob(vec![0; 2000]), Some(PeerFault::TooMuch)),
        (Answer::Records(vec![record(1)]), Some(PeerFault::Misfit)),
        // S9: what was acknowledged is owed.
        (Answer::NotFound, Some(PeerFault::Denied)),
        (Answer::Blob(Vec::new()), Some(PeerFault::WrongContent)),
        (Answer::Damaged, None),
        (Answer::Busy, None),
    ];
    for (answer, expected) in rows {
        let mut fetcher = fetcher(2);
        fetcher.start(Want::Blob { digest, bytes_max: 1000 }, &owed, ms(0)).unwrap();
        let (Some((peer, job, _)), _) = asked(&mut fetcher) else { panic!("nobody is asked") };
        fetcher.handle_answer(peer, job, answer.clone(), ms(1));
        let (next, faults) = asked(&mut fetcher);
        assert_eq!(faults, expected.into_iter().collect::<Vec<_>>(), "{answer:?}");
        assert!(next.is_some_and(|(other, ..)| other != peer), "{answer:?}");
    }
}

#[test]
fn s4_who_answers_late_is_given_up_and_a_job_ends() {
    let mut fetcher = fetcher(3);
    let digest = blob(b"content");
    fetcher.start(Want::Blob { digest, bytes_max: 1000 }, &[], ms(0)).unwrap();
    let mut now = ms(0);
    let mut late = 0;
    let mut failed = false;
    while let Some(at) = fetcher.poll_timeout() {
        assert!(at > now || late == 0, "time moves");
        now = at;
        fetcher.handle_timeout(now);
        for output in outputs(&mut fetcher) {
            match output {
                FetchOutput::Fault { fault: PeerFault::Late, .. } => late += 1,
                FetchOutput::Failed { .. } => failed = true,
                _ => {}
            }
        }
    }
    assert!(failed);
    assert_eq!(late, 9, "three peers, three rounds");
}

#[test]
fn s1_records_are_proven_by_the_head_that_they_reach() {
    let want = Want::Records { after: head(10), until: head(20), bytes_max: 1 << 20 };
    let mut fetcher = fetcher(2);
    fetcher.start(want, &[], ms(0)).unwrap();
    let records = |range: std::ops::RangeInclusive<u64>| range.map(record).collect::<Vec<Record>>();
    let (Some((liar, job, query)), _) = asked(&mut fetcher) else { panic!("nobody is asked") };
    assert!(matches!(query, Query::Records { from: 11, .. }));
    let mut wrong = records(11..=20);
    wrong[4].payload[0] ^= 1;
    fetcher.handle_answer(liar, job, Answer::Records(wrong.clone()), ms(1));
    // It may have another history. It says that it has this one, so it lied.
    let (Some((again, _, query)), _) = asked(&mut fetcher) else { panic!("nobody is asked") };
    assert_eq!((again, query), (liar, Query::DigestAt { position: 20 }));
    fetcher.handle_answer(liar, job, Answer::Digest(head(20).digest), ms(2));
    let (Some((other, ..)), faults) = asked(&mut fetcher) else { panic!("nobody is asked") };
    assert_eq!(faults, [PeerFault::WrongContent]);
    // In two parts, and more than was asked for is cut off.
    fetcher.handle_answer(other, job, Answer::Records(records(11..=14)), ms(3));
    assert!(matches!(asked(&mut fetcher).0, Some((_, _, Query::Records { from: 15, .. }))));
    fetcher.handle_answer(other, job, Answer::Records(records(15..=25)), ms(4));
    let fetched = Fetched::Records(records(11..=20));
    assert_eq!(outputs(&mut fetcher), [FetchOutput::Done { job, peer: other, fetched }]);
}

fn number(seed: u64) -> Digest {
    Digest(dsm_core::hash("test-blob", &[&seed.to_le_bytes()]).0)
}

#[test]
fn two_sets_of_blobs_find_their_differences() {
    for (size, every) in [(0, 1), (5, 2), (300, 7), (3000, 1000), (3000, 3)] {
        let here: BlobSet = (0..size).filter(|seed| seed % every != 0).map(number).collect();
        let there: BlobSet = (0..size).filter(|seed| seed % every != 1).map(number).collect();
        let mut reconcile = Reconcile::new(1000);
        let mut questions = 0;
        while let Some(query) = reconcile.next() {
            reconcile.handle_answer(&here, &there.answer(&query)).unwrap();
            questions += 1;
        }
        let lacking = |ours: &BlobSet, theirs: &BlobSet| {
            let mut lacking: Vec<Digest> = (0..size)
                .map(number)
                .filter(|digest| theirs.contains(digest) && !ours.contains(digest))
                .collect();
            lacking.sort();
            lacking
        };
        let sorted = |digests: &[Digest]| {
            let mut digests = digests.to_vec();
            digests.sort();
            digests
        };
        assert_eq!(sorted(reconcile.missing()), lacking(&here, &there));
        assert_eq!(sorted(reconcile.surplus()), lacking(&there, &here));
        assert!(questions <= 18, "{questions} questions for {size}");
    }
}

#[test]
fn s2_a_set_without_end_is_left() {
    let nothing = Fingerprint { count: 1000, digest: Digest([7; 32]) };
    let own = BlobSet::default();
    let mut reconcile = Reconcile::new(100);
    let mut answers = 0;
    let error = loop {
        answers += 1;
        match reconcile.handle_answer(&own, &RangeAnswer::Parts(vec![nothing; 16])) {
            Ok(()) => assert!(answers < 200),
            Err(error) => break error,
        }
    };
    assert_eq!(error, ReconcileError::TooMany(100));
    let unsorted = RangeAnswer::Digests(vec![number(1).max(number(2)), number(1).min(number(2))]);
    assert_eq!(Reconcile::new(9).handle_answer(&own, &unsorted), Err(ReconcileError::Misfit));
    let short = RangeAnswer::Parts(vec![nothing; 15]);
    assert_eq!(Reconcile::new(9).handle_answer(&own, &short), Err(ReconcileError::Misfit));
}
