//! The routes, once, as data: the router and the OpenAPI document are both made from this table.

use super::{
    Api, backup, bridge, config, events, evidence, ledger, refusals, submit as submissions, topology,
};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, get, post};
use tokio::sync::watch;

/// What a request or an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// JSON of the named face.
    Json(&'static str),
    /// Canonical bytes of the named type.
    Octets(&'static str),
    /// Either, by the type of the body or the `Accept` header.
    Both(&'static str, &'static str),
    /// Text of this media type.
    Text(&'static str),
    /// Nothing.
    Empty,
}

/// Names of a route's handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Submit,
    Batch,
    Transition,
    Receipt,
    Refusals,
    Refusal,
    Accounts,
    Account,
    History,
    Inbox,
    Equivocations,
    Tokens,
    Token,
    View,
    PolicyState,
    Stage,
    Policies,
    Policy,
    Package,
    ProveAccount,
    ProveAsset,
    ProveToken,
    Bridges,
    Bridge,
    Lock,
    Outbox,
    OutboxEntry,
    ProveOutbox,
    Evidence,
    OutboxPath,
    OutboxConsistency,
    LatestCheckpoint,
    Checkpoint,
    Events,
    Topology,
    Matrix,
    AddPeer,
    RemovePeer,
    Promote,
    TopologyEvents,
    Config,
    SetConfig,
    Backup,
    Status,
    Health,
    Ready,
    Metrics,
    OpenApi,
}

/// A path with what it answers.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) operations: &'static [Operation],
}

/// One method of a path.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: Name,
    /// `get` or `post`.
    pub(super) method: &'static str,
    pub(super) summary: &'static str,
    /// Names of query parameters.
    pub(super) query: &'static [&'static str],
    pub(super) request: Content,
    pub(super) answer: Content,
}

const fn read(name: Name, summary: &'static str, answer: Content) -> Operation {
    Operation { name, method: "get", summary, query: &[], request: Content::Empty, answer }
}

const fn list(
    name: Name,
    summary: &'static str,
    start: &'static [&'static str],
    answer: Content,
) -> Operation {
    Operation { name, method: "get", summary, query: start, request: Content::Empty, answer }
}

const fn write(name: Name, summary: &'static str, request: Content, answer: Content) -> Operation {
    Operation { name, method: "post", summary, query: &[], request, answer }
}

const fn submit(name: Name, summary: &'static str, request: Content, answer: Content) -> Operation {
    Operation { name, method: "post", summary, query: &["durability"], request, answer }
}

use Content::{Both, Empty, Json, Octets, Text};

/// All routes.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/v1/transitions",
        operations: &[submit(
            Name::Submit,
            "Submits a signed transition and waits until it is durable as far as asked: local, primary or replicated:N. The same transition always gets the same receipt, with the level reached by then.",
            Both("SubmitRequest", "SignedTransition"),
            Json("Receipt"),
        )],
    },
    Route {
        path: "/v1/transitions/batch",
        operations: &[submit(
            Name::Batch,
            "Submits up to 1,000 transitions; each is accepted or refused by itself.",
            Both("BatchRequest", "Vec<SignedTransition bytes>"),
            Json("BatchAnswer"),
        )],
    },
    Route {
        path: "/v1/transitions/{id}",
        operations: &[read(
            Name::Transition,
            "An accepted transition.",
            Both("TransitionView", "SignedTransition"),
        )],
    },
    Route {
        path: "/v1/transitions/{id}/receipt",
        operations: &[read(Name::Receipt, "The receipt of an accepted transition.", Json("Receipt"))],
    },
    Route {
        path: "/v1/refusals",
        operations: &[read(
            Name::Refusals,
            "The last transitions that passed their signatures and were refused, newest first. In memory only.",
            Json("RefusalsAnswer"),
        )],
    },
    Route {
        path: "/v1/refusals/{id}",
        operations: &[read(Name::Refusal, "Why a transition was refused last.", Json("RefusalView"))],
    },
    Route {
        path: "/v1/accounts",
        operations: &[list(Name::Accounts, "Accounts, in order.", &["after", "limit"], Json("AccountsPage"))],
    },
    Route {
        path: "/v1/accounts/{id}",
        operations: &[read(Name::Account, "An account at its head.", Json("AccountView"))],
    },
    Route {
        path: "/v1/accounts/{id}/history",
        operations: &[list(
            Name::History,
            "The moves of an account, by height.",
            &["from", "limit"],
            Json("HistoryPage"),
        )],
    },
    Route {
        path: "/v1/accounts/{id}/inbox",
        operations: &[list(
            Name::Inbox,
            "Credits that wait to be claimed.",
            &["after", "limit"],
            Json("InboxPage"),
        )],
    },
    Route {
        path: "/v1/accounts/{id}/equivocations",
        operations: &[read(
            Name::Equivocations,
            "Evidence that the account signed two successors of one state.",
            Json("EquivocationsAnswer"),
        )],
    },
    Route {
        path: "/v1/tokens",
        operations: &[list(Name::Tokens, "Tokens, in order.", &["after", "limit"], Json("TokensPage"))],
    },
    Route {
        path: "/v1/tokens/{id}",
        operations: &[read(Name::Token, "A token at its head.", Json("TokenInfo"))],
    },
    Route {
        path: "/v1/tokens/{id}/policies/{index}/view",
        operations: &[write(
            Name::View,
            "Asks one of a token's policies.",
            Json("ViewRequest"),
            Json("ViewAnswer"),
        )],
    },
    Route {
        path: "/v1/tokens/{id}/policies/{index}/state",
        operations: &[list(
            Name::PolicyState,
            "What one of a token's policies keeps, by key; behind `after`, a key in hex.",
            &["after", "limit"],
            Json("PolicyStatePage"),
        )],
    },
    Route {
        path: "/v1/policies",
        operations: &[
            list(Name::Policies, "Published policies, in order.", &["after", "limit"], Json("PoliciesPage")),
            write(
                Name::Stage,
                "Verifies, admits and stores a policy's package, so that a transition can publish it.",
                Octets("Package"),
                Json("StagedPolicy"),
            ),
        ],
    },
    Route {
        path: "/v1/policies/{id}",
        operations: &[read(Name::Policy, "A published policy.", Json("PolicyInfo"))],
    },
    Route {
        path: "/v1/policies/{id}/package",
        operations: &[read(Name::Package, "A policy's package.", Octets("Package"))],
    },
    Route {
        path: "/v1/proofs/accounts/{id}",
        operations: &[read(
            Name::ProveAccount,
            "Shows an account's head at the last checkpoint.",
            Both("AccountProofView", "AccountProof"),
        )],
    },
    Route {
        path: "/v1/proofs/accounts/{id}/assets/{token}",
        operations: &[read(
            Name::ProveAsset,
            "Shows an account's balance at the last checkpoint.",
            Both("AssetProofView", "AssetProof"),
        )],
    },
    Route {
        path: "/v1/proofs/tokens/{id}",
        operations: &[read(
            Name::ProveToken,
            "Shows a token's head at the last checkpoint.",
            Both("TokenProofView", "TokenProof"),
        )],
    },
    Route {
        path: "/v1/bridges",
        operations: &[list(Name::Bridges, "Bridges, in order.", &["after", "limit"], Json("BridgesPage"))],
    },
    Route {
        path: "/v1/bridges/{id}",
        operations: &[read(
            Name::Bridge,
            "A bridge: its configuration, its trusted set, and what froze it.",
            Json("BridgeView"),
        )],
    },
    Route {
        path: "/v1/bridges/{id}/locks/{nonce}",
        operations: &[read(
            Name::Lock,
            "What became of a lock of a bridge's contract: unknown, credited or refunded.",
            Json("LockView"),
        )],
    },
    Route {
        path: "/v1/outbox",
        operations: &[list(
            Name::Outbox,
            "What policies and accounts said to other chains, in order; with a transition, what it said.",
            &["from", "limit", "transition"],
            Json("OutboxPage"),
        )],
    },
    Route {
        path: "/v1/outbox/consistency",
        operations: &[list(
            Name::OutboxConsistency,
            "Shows that the outbox of one size continues that of an earlier one.",
            &["from", "to"],
            Json("ConsistencyView"),
        )],
    },
    Route {
        path: "/v1/outbox/{index}",
        operations: &[read(Name::OutboxEntry, "An entry of the outbox.", Json("OutboxEntryView"))],
    },
    Route {
        path: "/v1/outbox/{index}/path",
        operations: &[list(
            Name::OutboxPath,
            "The way from an entry to the root of the outbox at any size.",
            &["size"],
            Json("OutboxPathView"),
        )],
    },
    Route {
        path: "/v1/outbox/{index}/proof",
        operations: &[read(
            Name::ProveOutbox,
            "Shows an entry of the outbox at the last checkpoint.",
            Both("OutboxProofView", "OutboxProof"),
        )],
    },
    Route {
        path: "/v1/evidence",
        operations: &[write(
            Name::Evidence,
            "Cuts an evidence package out of the log: everything that a stranger needs to judge up to 64 transitions again offline, under the last checkpoint.",
            Json("EvidenceRequest"),
            Octets("EvidencePackage"),
        )],
    },
    Route {
        path: "/v1/checkpoints/latest",
        operations: &[read(
            Name::LatestCheckpoint,
            "The last checkpoint since the node started.",
            Both("CheckpointView", "SignedCheckpoint"),
        )],
    },
    Route {
        path: "/v1/checkpoints",
        operations: &[write(
            Name::Checkpoint,
            "Takes a checkpoint now, or gives the last if nothing moved.",
            Empty,
            Json("CheckpointView"),
        )],
    },
    Route {
        path: "/v1/events",
        operations: &[list(
            Name::Events,
            "Follows the log: one server-sent event for each durable record, resumable by Last-Event-ID.",
            &["from", "account", "token"],
            Text("text/event-stream"),
        )],
    },
    Route {
        path: "/v1/topology",
        operations: &[read(
            Name::Topology,
            "Who keeps the log besides this node, and how far each is.",
            Json("TopologyView"),
        )],
    },
    Route {
        path: "/v1/topology/matrix",
        operations: &[read(
            Name::Matrix,
            "Asks each storage node where it stands, and compares its log with this node's.",
            Json("MatrixView"),
        )],
    },
    Route {
        path: "/v1/topology/peers",
        operations: &[write(
            Name::AddPeer,
            "Adds a storage node, which has to prove the key.",
            Json("AddPeerRequest"),
            Json("ChangedTopology"),
        )],
    },
    Route {
        path: "/v1/topology/remove",
        operations: &[write(
            Name::RemovePeer,
            "Removes a storage node; its log stays as it is.",
            Json("PeerRequest"),
            Json("ChangedTopology"),
        )],
    },
    Route {
        path: "/v1/topology/promote",
        operations: &[write(
            Name::Promote,
            "Makes a storage node the primary as soon as it holds everything that was acknowledged.",
            Json("PeerRequest"),
            Json("ChangedTopology"),
        )],
    },
    Route {
        path: "/v1/topology/events",
        operations: &[read(
            Name::TopologyEvents,
            "Follows the storage nodes: a server-sent event with all of them whenever one has moved.",
            Text("text/event-stream"),
        )],
    },
    Route {
        path: "/v1/config",
        operations: &[
            read(Name::Config, "The node's settings, each with where it came from.", Json("ConfigView")),
            write(
                Name::SetConfig,
                "Changes settings for good: at once where that is possible, else from the next start on. Reads keys and secrets again.",
                Json("ConfigRequest"),
                Json("ChangedSettings"),
            ),
        ],
    },
    Route {
        path: "/v1/backup",
        operations: &[read(
            Name::Backup,
            "The canonical archive of everything durable now: the log and the packages of published policies.",
            Octets("Archive"),
        )],
    },
    Route { path: "/v1/status", operations: &[read(Name::Status, "How the node does.", Json("StatusView"))] },
    Route {
        path: "/v1/health",
        operations: &[read(Name::Health, "Whether the process answers.", Json("HealthView"))],
    },
    Route {
        path: "/v1/ready",
        operations: &[read(Name::Ready, "Whether the node accepts transitions.", Json("ReadyView"))],
    },
    Route {
        path: "/metrics",
        operations: &[read(
            Name::Metrics,
            "Counters and histograms, as OpenMetrics.",
            Text("application/openmetrics-text"),
        )],
    },
    Route { path: "/v1/openapi.json", operations: &[read(Name::OpenApi, "This document.", Json("OpenApi"))] },
];

/// The handlers of a route.
pub(super) fn method_router(route: &Route, stopped: watch::Receiver<bool>) -> MethodRouter<Api> {
    route
        .operations
        .iter()
        .fold(MethodRouter::new(), |router, operation| router.merge(handler(operation.name, stopped.clone())))
}

fn handler(name: Name, stopped: watch::Receiver<bool>) -> MethodRouter<Api> {
    match name {
        Name::Submit => post(submissions::transition),
        Name::Batch => post(submissions::batch),
        Name::Transition => get(ledger::transition),
        Name::Receipt => get(ledger::receipt),
        Name::Refusals => get(refusals::list),
        Name::Refusal => get(refusals::one),
        Name::Accounts => get(ledger::accounts),
        Name::Account => get(ledger::account),
        Name::History => get(ledger::history),
        Name::Inbox => get(ledger::inbox),
        Name::Equivocations => get(ledger::equivocations),
        Name::Tokens => get(ledger::tokens),
        Name::Token => get(ledger::token),
        Name::View => post(ledger::view),
        Name::PolicyState => get(ledger::policy_state),
        Name::Stage => post(submissions::policy),
        Name::Policies => get(ledger::policies),
        Name::Policy => get(ledger::policy),
        Name::Package => get(ledger::package),
        Name::ProveAccount => get(ledger::prove_account),
        Name::ProveAsset => get(ledger::prove_asset),
        Name::ProveToken => get(ledger::prove_token),
        Name::Bridges => get(bridge::bridges),
        Name::Bridge => get(bridge::bridge),
        Name::Lock => get(bridge::lock),
        Name::Outbox => get(bridge::outbox),
        Name::OutboxEntry => get(bridge::entry),
        Name::ProveOutbox => get(bridge::prove),
        Name::Evidence => post(evidence::evidence),
        Name::OutboxPath => get(bridge::path),
        Name::OutboxConsistency => get(bridge::consistency),
        Name::LatestCheckpoint => get(ledger::latest_checkpoint),
        Name::Checkpoint => post(submissions::checkpoint),
        Name::Events => {
            get(move |api: State<Api>, query: Result<Query<events::Filter>, _>, headers: HeaderMap| {
                events::events(api, query, headers, stopped.clone())
            })
        }
        Name::Topology => get(topology::list),
        Name::Matrix => get(topology::matrix),
        Name::AddPeer => post(topology::add),
        Name::RemovePeer => post(topology::remove),
        Name::Promote => post(topology::promote),
        Name::TopologyEvents => get(move |api: State<Api>| topology::events(api, stopped.clone())),
        Name::Config => get(config::show),
        Name::SetConfig => post(config::change),
        Name::Backup => get(backup::backup),
        Name::Status => get(ledger::status),
        Name::Health => get(ledger::health),
        Name::Ready => get(ledger::ready),
        Name::Metrics => get(ledger::metrics),
        Name::OpenApi => get(ledger::openapi),
    }
}
