//! Members that lie when they are asked, and a writer that signs twice: nothing of it gets in, all of it is counted.

use super::chronicle::Chronicle;
use super::leader::{Core, endpoint, member, sign, topology};
use super::{archive, config, data, reopen, until};
use dsm_abi::Digest;
use dsm_crypto::{SecretKey, Signer as _};
use dsm_link::Endpoint;
use dsm_proto::fetch::{Answer, Query};
use dsm_proto::reconcile::RangeAnswer;
use dsm_proto::{Frame, Member, PeerState, Record, Refusal, Topology};
use dsm_storage_node::{State, Status, StorageNode};

/// How a member answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Other content than asked for.
    WrongContent,
    /// "Not found", of what it should have.
    Denied,
    /// More than asked for.
    TooMuch,
    /// The answer to another question.
    Misfit,
    /// Bytes that are no frame.
    Garbage,
    /// Nothing at all.
    Silence,
}

impl Lie {
    const ALL: [Lie; 6] =
        [Lie::WrongContent, Lie::Denied, Lie::TooMuch, Lie::Misfit, Lie::Garbage, Lie::Silence];

    /// The words under which the asker counts it.
    fn words(self) -> &'static [&'static str] {
        match self {
            // Whoever sends other records than asked for is asked once more, where they lead, and gives a blob for that.
            Lie::WrongContent => &["wrong_content", "misfit"],
            Lie::Denied => &["denied"],
            Lie::TooMuch => &["too_much"],
            Lie::Misfit => &["misfit"],
            Lie::Garbage => &["malformed_frame"],
            Lie::Silence => &["late", "broken"],
        }
    }

    fn answer(self, query: &Query) -> Option<Vec<u8>> {
        let invented = |payload: Vec<u8>| Answer::Records(vec![Record { kind: 1, payload }]);
        let answer = match (self, query) {
            (Lie::Silence, _) => return None,
            (Lie::Garbage, _) => return Some(vec![0xfe; 64]),
            (_, Query::BlobRange(_)) => Answer::BlobRange(RangeAnswer::Digests(Vec::new())),
            (Lie::Denied, _) => Answer::NotFound,
            (Lie::Misfit, _) => Answer::Digest(Digest([7; 32])),
            (Lie::WrongContent, Query::Records { .. }) => invented(vec![1; 100]),
            (Lie::WrongContent, _) => Answer::Blob(vec![1; 100]),
            (Lie::TooMuch, Query::Records { .. }) => Answer::Busy,
            // A package is half a megabyte at most.
            (Lie::TooMuch, _) => Answer::Blob(vec![1; 4 << 20]),
        };
        Some(Frame::Fetched(answer).encode())
    }
}

/// A member of the topology that is no storage node.
struct Liar {
    endpoint: Endpoint,
    member: Member,
}

impl Liar {
    fn new(seed: u8, speaks_with: &[Member], core: &Member, lie: Lie) -> Liar {
        let key = SecretKey::ml_dsa_65(&[seed; 32]).unwrap();
        let pinned: Vec<Member> = speaks_with.iter().chain([core]).cloned().collect();
        let endpoint = endpoint(&key, &pinned);
        let address = endpoint.local_addr().unwrap().to_string();
        let member = Member::new(key.public_key().to_vec(), address).unwrap();
        let listening = endpoint.clone();
        tokio::spawn(async move {
            while let Some(connection) = listening.accept().await {
                tokio::spawn(async move {
                    while let Ok(mut stream) = connection.accept_stream().await {
                        tokio::spawn(async move {
                            let Ok(bytes) = stream.recv().await else { return };
                            match Frame::decode(&bytes) {
                                Ok(Frame::Fetch(query)) => match lie.answer(&query) {
                                    Some(bytes) => drop(stream.send(bytes).await),
                                    None => std::future::pending().await,
                                },
                                // It does not follow either.
                                _ => std::future::pending().await,
                            }
                            stream.finish();
                        });
                    }
                });
            }
        });
        Liar { endpoint, member }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_s2_s9_whoever_lies_is_counted_and_somebody_else_is_asked() {
    for (nth, lie) in Lie::ALL.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let mut chronicle = Chronicle::new(71 + nth as u8);
        chronicle.write_some(12);
        chronicle.publish(0, 2_000);
        let mut honest = Vec::new();
        let configs = ["1", "2"].map(|name| {
            let mut config = config(&folder.path().join(name), &chronicle);
            config.segment_bytes = 20_000;
            config
        });
        for config in &configs {
            honest.push(StorageNode::open(config.clone()).await.unwrap());
        }
        let members: Vec<Member> = honest.iter().map(member).collect();
        let half = chronicle.node.ml_dsa_65_half().unwrap().unwrap();
        let core_member = Member::new(half.public_key().to_vec(), "127.0.0.1:9".into()).unwrap();
        let liar = Liar::new(171 + nth as u8, &members, &core_member, lie);
        let all: Vec<Member> = members.iter().chain([&liar.member]).cloned().collect();
        let topology = topology(&chronicle, 1, all);
        let mut core = Core::start(chronicle, topology);
        for _ in 0..3 {
            core.write(|chronicle| chronicle.write_some(6));
            let head = core.chronicle().head().0;
            let ids: Vec<_> = honest.iter().map(StorageNode::node).collect();
            core.wait("the honest members follow", |view| {
                let done =
                    |id| view.peers.iter().any(|peer| peer.node == id && peer.durable.position == head);
                ids.iter().copied().all(done)
            })
            .await;
        }
        for node in &honest {
            until(node, "the package is here", |status| status.blobs == 1).await;
        }
        let whole = archive(&honest[1]);
        let counted = |status: &Status| lie.words().iter().any(|word| status.refused.contains_key(*word));
        // Who is asked first is a matter of turns, and of connections that broke: in some repairs everybody is.
        let log = data(&configs[0]).join("log");
        let policies = data(&configs[0]).join("policies");
        for turn in 0..48 {
            let folder = if turn % 2 == 0 { &log } else { &policies };
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let file = entries.filter(|path| path.is_file()).min().unwrap();
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[1_000] ^= 4;
            std::fs::write(&file, bytes).unwrap();
            let view = honest[0].scrub().await.unwrap();
            // Somebody who asked for it may have set the repair off before.
            assert_eq!(view.repaired, view.damaged, "{lie:?}: {view:?}");
            if counted(&honest[0].status()) {
                break;
            }
        }
        let status = honest[0].status();
        assert!(counted(&status), "{lie:?} was not counted: {:?}", status.refused);
        assert!(archive(&honest[0]) == whole, "{lie:?}");
        core.stop().await;
        liar.endpoint.close().await;
        for node in honest {
            node.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_node_acknowledges_nothing_until_somebody_can_repair_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(81);
    chronicle.write_some(12);
    let mut config = config(folder.path(), &chronicle);
    config.segment_bytes = 20_000;
    let node = StorageNode::open(config.clone()).await.unwrap();
    let topology = topology(&chronicle, 1, vec![member(&node)]);
    let mut core = Core::start(chronicle, topology.clone());
    core.all_acked().await;
    core.write(|chronicle| chronicle.write_some(12));
    core.all_acked().await;
    let mut chronicle = core.stop().await;
    let entries = std::fs::read_dir(folder.path().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let segment = entries.min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[9_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let view = node.scrub().await.unwrap();
    assert!(view.damaged > 0 && view.repaired == 0, "{view:?}");
    assert_eq!(node.status().state, State::Mending);
    let before = node.status().head;
    // The core node is the only one who has these records: it gives them back before it may go on writing.
    chronicle.write_some(5);
    let mut core = Core::start(chronicle, topology);
    core.all_acked().await;
    let status = until(&node, "it serves again", |status| status.state == State::Serving).await;
    assert!(status.head > before);
    assert_eq!(node.scrub().await.unwrap().damaged, 0);
    core.stop().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn o8_of_two_topologies_of_one_epoch_the_first_is_kept_and_both_are_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(82);
    chronicle.write_some(5);
    let config = config(folder.path(), &chronicle);
    let node = StorageNode::open(config.clone()).await.unwrap();
    let address = node.local_addr();
    let first = topology(&chronicle, 1, vec![member(&node)]);
    let other = Topology::new(chronicle.network(), 1, [99; 32], node.node(), vec![member(&node)]).unwrap();
    let other = sign(&chronicle, other);
    let mut core = Core::start(chronicle, first);
    core.all_acked().await;
    let chronicle = core.stop().await;
    for _ in 0..2 {
        let mut core = Core::start(chronicle.fork(), other.clone());
        let taken = |state: &PeerState| matches!(state, PeerState::Refused(Refusal::EpochTaken(_)));
        core.wait("the second is refused", |view| view.fenced || view.let_go.iter().any(taken)).await;
        core.stop().await;
    }
    until(&node, "it is stored once", |status| status.evidence == 1).await;
    assert!(node.status().refused["epoch_taken"] > 0);
    node.close().await;
    let node = reopen(config, address).await;
    let evidence = node.evidence();
    assert_eq!(evidence.len(), 1);
    assert_eq!(evidence[0].kind, "two_topologies");
    node.close().await;
}
