//! What others see of replication: the state that the event loop publishes, and the matrix that asks everybody.

use super::fetch;
use super::peer::resolve;
use crate::node::Node;
use dsm_abi::Digest;
use dsm_link::{Connection, Endpoint};
use dsm_proto::fetch::{Answer, NodeStatus, Query};
use dsm_proto::{Member, NodeId, PeerState, PeerStatus, SignedTopology};
use dsm_sdk::api::{Hex, MemberView, ReachView, ReplicationView};
use dsm_sdk::receipt::Durability;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is counted since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Acks verified.
    pub(crate) acks: u64,
    /// Appends sent.
    pub(crate) appends: u64,
    /// Records sent.
    pub(crate) records: u64,
    /// Bytes of their payloads.
    pub(crate) record_bytes: u64,
    /// Pieces of evidence stored.
    pub(crate) evidence: u64,
    /// Times that a primary was replaced because it was silent.
    pub(crate) failovers: u64,
    /// Policy packages fetched from storage nodes.
    pub(crate) packages: u64,
    /// Answers that did not have the hash asked for, or were no answers.
    pub(crate) lies: u64,
    /// Records fetched from storage nodes because this node was behind.
    pub(crate) adopted: u64,
}

/// What the shell itself knows of a storage node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) began: u64,
    pub(crate) acks: u64,
    pub(crate) connections: u64,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) trouble: Option<String>,
    pub(crate) connection: Option<Connection>,
}

/// Where replication stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) topology: Option<SignedTopology>,
    pub(crate) peers: Vec<PeerStatus>,
    pub(crate) lines: BTreeMap<NodeId, Line>,
    pub(crate) counts: Counts,
    /// Enough storage nodes promised the epoch, and none is ahead.
    pub(crate) confirmed: bool,
    /// Another node writes.
    pub(crate) fenced: Option<u64>,
}

impl State {
    pub(super) fn view(&self, standing: &str, durability: Durability) -> ReplicationView {
        let topology = self.topology.as_ref().map(|signed| &signed.topology);
        ReplicationView {
            standing: standing.to_owned(),
            epoch: topology.map_or(0, |topology| topology.epoch()),
            primary: topology.map(|topology| Digest(topology.primary().0)),
            durability,
            members: topology
                .into_iter()
                .flat_map(|topology| topology.members().iter().map(|member| self.member(member)))
                .collect(),
        }
    }

    fn member(&self, member: &Member) -> MemberView {
        let node = member.node();
        let peer = self.peers.iter().find(|peer| peer.node == node);
        let line = self.lines.get(&node).cloned().unwrap_or_default();
        let state = peer.map_or(&PeerState::Disconnected, |peer| &peer.state);
        let primary = self.topology.as_ref().is_some_and(|signed| signed.topology.primary() == node);
        let refused = match state {
            PeerState::Refused(refusal) => Some(refusal.to_string()),
            PeerState::Convicted(fault) => Some(format!("caught lying: {fault:?}")),
            PeerState::Unreachable => {
                Some("its log shares nothing with this one that is still kept".to_owned())
            }
            _ => None,
        };
        MemberView {
            node: Digest(node.0),
            address: member.address().to_owned(),
            key: Hex(member.key().to_vec()),
            primary,
            state: state_word(state, peer.map_or(0, |peer| peer.lag), line.began).to_owned(),
            acked: peer.map_or(0, |peer| peer.durable.position),
            lag: peer.map_or(0, |peer| peer.lag),
            began: line.began,
            bytes_in_flight: peer.map_or(0, |peer| peer.in_flight_bytes as u64),
            acks: line.acks,
            connections: line.connections,
            round_trip_us: line.round_trip.map(|time| time.as_micros() as u64),
            trouble: refused.or(line.trouble),
        }
    }
}

/// Records behind which a storage node counts as catching up: what a busy node accepts in a fraction of a second.
const CATCHING_UP: u64 = 1000;

fn state_word(state: &PeerState, lag: u64, began: u64) -> &'static str {
    match state {
        PeerState::Disconnected => "absent",
        PeerState::Greeting => "greeting",
        PeerState::Comparing | PeerState::SettingAside | PeerState::Beginning => "searching",
        PeerState::Shipping if lag > CATCHING_UP || (lag > 0 && began == 0) => "catching_up",
        PeerState::Shipping => "streaming",
        PeerState::Ahead => "ahead",
        PeerState::Unreachable | PeerState::Refused(_) | PeerState::Convicted(_) => "refused",
    }
}

/// Asks one storage node where it stands, on the connection that there is or a new one.
pub(super) async fn reach(
    endpoint: &Endpoint,
    connection: Option<Connection>,
    node: &Node,
    member: Member,
    primary: bool,
    time: Duration,
) -> ReachView {
    let id = Digest(member.node().0);
    let mut view = ReachView {
        node: id,
        address: member.address().to_owned(),
        primary,
        reached: false,
        answer_us: None,
        epoch: None,
        first: None,
        position: None,
        digest: None,
        agrees: None,
        trouble: None,
    };
    let begun = Instant::now();
    let asked = tokio::time::timeout(time, ask_status(endpoint, connection, &member)).await;
    match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
        Ok(status) => {
            view.reached = true;
            view.answer_us = Some(begun.elapsed().as_micros() as u64);
            view.epoch = status.promise.map(|promise| promise.topology.topology.epoch());
            view.first = Some(status.first);
            view.position = Some(status.head.position);
            view.digest = Some(status.head.digest);
            let (log, head) = (node.log(), status.head);
            let own = tokio::task::spawn_blocking(move || log.digest_at(head.position).ok()).await;
            view.agrees = own.ok().flatten().map(|own| own == head.digest.0);
        }
        Err(why) => view.trouble = Some(why),
    }
    view
}

async fn ask_status(
    endpoint: &Endpoint,
    connection: Option<Connection>,
    member: &Member,
) -> Result<NodeStatus, String> {
    let connection = match connection {
        Some(connection) => connection,
        None => {
            let address = resolve(member.address()).await?;
            let connected = endpoint.connect(address, Digest(member.node().0)).await;
            connected.map_err(|error| error.to_string())?
        }
    };
    match fetch::ask(&connection, Query::Status).await.map_err(|error| error.to_string())? {
        Answer::Status(status) => Ok(status),
        other => Err(format!("it answered {}", fetch::word(&other))),
    }
}
