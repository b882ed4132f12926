//! Keys, signatures and documents for the rows.

use dsm_abi::{Digest, NetworkId, SignatureError, Suite, VerifySignature};
use dsm_core::{PublicKey, hash};
use dsm_proto::{
    Ack, Frame, Head, Hello, Leader, LeaderConfig, LeaderOutput, Member, Micros, NodeId, Record,
    SignedTopology, Start, Topology, Welcome, limit,
};

pub(crate) const NETWORK: NetworkId = NetworkId([3; 32]);

/// Signatures that anybody here could forge and nobody does: a hash of key and message.
pub(crate) struct Notary;

pub(crate) fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    hash("test-signature", &[key, message]).0.to_vec()
}

impl VerifySignature for Notary {
    fn verify_signature(
        &self,
        _: Suite,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if sign(key, message) == signature { Ok(()) } else { Err(SignatureError::BadSignature) }
    }
}

pub(crate) fn key(number: u8) -> Vec<u8> {
    vec![number; limit::MEMBER_KEY_BYTES]
}

pub(crate) fn node(number: u8) -> NodeId {
    NodeId::of(&key(number))
}

pub(crate) fn member(number: u8) -> Member {
    Member::new(key(number), format!("node-{number}:8766")).unwrap()
}

pub(crate) fn core_key() -> PublicKey {
    PublicKey { suite: Suite::Ed25519MlDsa65, bytes: vec![200; Suite::Ed25519MlDsa65.public_key_bytes()] }
}

/// Members 1 to `members`, of which 1 is the primary.
pub(crate) fn topology(epoch: u64, term: u8, members: u8) -> Topology {
    Topology::new(NETWORK, epoch, [term; 32], node(1), (1..=members).map(member).collect()).unwrap()
}

pub(crate) fn signed(topology: Topology) -> SignedTopology {
    let signature = sign(&core_key().bytes, &topology.signing_message(core_key().suite));
    SignedTopology { topology, signature }
}

pub(crate) fn hello(topology: SignedTopology, greeting: u64) -> Frame {
    Frame::Hello(Hello { version: limit::VERSION, network: NETWORK, greeting, topology })
}

pub(crate) fn record(number: u64) -> Record {
    Record { kind: 1, payload: number.to_le_bytes().to_vec() }
}

/// The head of a log of the records 1 to `position`.
pub(crate) fn head(position: u64) -> Head {
    (1..=position).fold(Head::EMPTY, |head, number| head.after(&record(number)).unwrap())
}

pub(crate) fn ack(number: u8, epoch: u64, head: Head) -> Ack {
    let signature = sign(&key(number), &Ack::signing_message(NETWORK, epoch, &head));
    Ack { epoch, head, signature }
}

pub(crate) const fn ms(millis: u64) -> Micros {
    Micros::from_millis(millis)
}

pub(crate) fn bent(mut head: Head) -> Head {
    head.digest = Digest([9; 32]);
    head
}

/// A leader over the log 1 to `position`, and all that it said.
pub(crate) struct Core {
    pub(crate) leader: Leader,
    pub(crate) log: u64,
}

impl Core {
    pub(crate) fn new(members: u8, position: u64) -> Core {
        let config = LeaderConfig::new(core_key());
        let topology = signed(topology(1, 1, members));
        let leader = Leader::new(config, topology, Start::default(), head(position), ms(0));
        Core { leader, log: position }
    }

    /// Everything that the leader wants, its reads answered.
    pub(crate) fn outputs(&mut self, now: Micros) -> Vec<LeaderOutput> {
        let mut outputs = Vec::new();
        while let Some(output) = self.leader.poll() {
            match output {
                LeaderOutput::Read { peer, id, after, .. } => {
                    let records = (after + 1..=self.log).take(4).map(record).collect();
                    self.leader.handle_records(peer, id, Ok(records), now);
                }
                LeaderOutput::ReadDigest { peer, position } => {
                    self.leader.handle_digest(peer, position, Some(head(position).digest), now);
                }
                output => outputs.push(output),
            }
        }
        outputs
    }

    /// What was sent to a node.
    pub(crate) fn sent(&mut self, number: u8, now: Micros) -> Vec<Frame> {
        let sent = self.outputs(now).into_iter().filter_map(|output| match output {
            LeaderOutput::Send { to, frame } if to == node(number) => Some(frame),
            _ => None,
        });
        sent.collect()
    }

    pub(crate) fn hear(&mut self, number: u8, frame: Frame, now: Micros) {
        self.leader.handle_frame(node(number), frame, now, &Notary);
    }

    /// The node connects and says that its log ends at `head`; what is sent to it then.
    pub(crate) fn welcome(&mut self, number: u8, head: Head, now: Micros) -> Vec<Frame> {
        self.leader.handle_connected(node(number), now);
        let greeting = self
            .sent(number, now)
            .into_iter()
            .find_map(|frame| match frame {
                Frame::Hello(hello) => Some(hello.greeting),
                _ => None,
            })
            .unwrap();
        let epoch = self.leader.epoch();
        self.hear(number, Frame::Welcome(Welcome { epoch, greeting, first: 1, head }), now);
        self.sent(number, now)
    }
}
