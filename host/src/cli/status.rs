//! `dsm status`, `dsm health` and `dsm replay`: how a node is, and whether its log tells the truth.

use super::failure::Failure;
use super::session::Session;
use super::show::{Show, rows, safe, short};
use dsm_host::node::NodeConfig;
use dsm_host::node::replay::{ReplayReport, verify};
use dsm_sdk::api::{ReadyView, ReplicationView, StatusView};
use serde::Serialize;
use std::path::PathBuf;

/// Options of `dsm replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// Believe nothing: verify every signature, run every policy again, compare every head
    #[arg(long, required = true)]
    verify: bool,
    /// The data directory of a node that is not running
    #[arg(long, value_name = "DIR", env = "DSM_DATA")]
    data: PathBuf,
    /// The network accepts signatures of Dilithium3
    #[arg(long)]
    accept_dilithium3: bool,
}

/// The answer of `status`.
#[derive(Serialize)]
#[serde(transparent)]
struct Status {
    view: StatusView,
}

impl Show for Status {
    fn text(&self) -> String {
        let (view, cache) = (&self.view, &self.view.policy_cache);
        rows([
            ("network", format!("{} ({})", view.network.network, safe(&view.network.name))),
            ("node key", view.network.node.key.to_string()),
            ("version", view.version.clone()),
            ("engine", view.engine_profile.to_string()),
            ("log", format!("{} records, all durable", view.position)),
            ("time", format!("{} ms", view.time_ms)),
            (
                "checkpoint",
                view.checkpoint_epoch.map_or_else(|| "none yet".into(), |epoch| format!("epoch {epoch}")),
            ),
            ("accounts", view.accounts.to_string()),
            ("tokens", view.tokens.to_string()),
            ("policies", view.policies.to_string()),
            ("waiting", view.waiting.to_string()),
            ("accepted", format!("{} since the start", view.accepted)),
            (
                "policy cache",
                format!("{} modules, {} hits, {} misses", cache.modules, cache.hits, cache.misses),
            ),
            ("uptime", format!("{} s", view.uptime_s)),
            ("replication", replication_words(view.replication.as_ref())),
            (
                "audit",
                view.audit.as_ref().map_or_else(String::new, |audit| {
                    format!("{} entries, the last {}", audit.entries, audit.last)
                }),
            ),
            ("storage", if view.storage_full { "full".into() } else { String::new() }),
            ("stopped", view.stopped.clone().unwrap_or_default()),
        ])
    }
}

/// Replication in a line, and each storage node in one of its own.
fn replication_words(view: Option<&ReplicationView>) -> String {
    let Some(view) = view else { return "off".into() };
    let mut words = format!("{}, epoch {}, level {}", view.standing, view.epoch, view.durability);
    for one in &view.members {
        let role = if one.primary { "primary" } else { "replica" };
        words += &format!("\n{role} {} {}, {} behind", short(one.node), one.state, one.lag);
    }
    words
}

pub(crate) fn status(session: &Session) -> Result<(), Failure> {
    session.show(&Status { view: session.client()?.status()? })
}

/// The answer of `health`.
#[derive(Serialize)]
#[serde(transparent)]
struct Health {
    view: ReadyView,
}

impl Show for Health {
    fn text(&self) -> String {
        self.view.status.clone()
    }
}

/// Whether the node accepts transitions, for whoever watches the process: nothing but an exit code that fits.
pub(crate) fn health(session: &Session) -> Result<(), Failure> {
    session.show(&Health { view: session.client()?.ready()? })
}

/// The answer of `replay`.
#[derive(Serialize)]
struct Replayed {
    agrees: bool,
    #[serde(flatten)]
    report: ReplayReport,
}

impl Show for Replayed {
    fn text(&self) -> String {
        let report = &self.report;
        let text = rows([
            ("network", report.network.to_string()),
            ("log", format!("{} records, digest {}", report.position, report.log_digest)),
            ("transitions", report.transitions.to_string()),
            ("policy runs", report.evaluations.to_string()),
            ("checkpoints", report.checkpoints.to_string()),
            ("equivocations", report.equivocations.to_string()),
            ("accounts root", report.accounts_root.to_string()),
            ("tokens root", report.tokens_root.to_string()),
            ("credits root", report.credits_root.to_string()),
        ]);
        format!("{text}\neverything agrees with the log")
    }
}

pub(crate) fn replay(session: &Session, args: &ReplayArgs) -> Result<(), Failure> {
    let mut config = NodeConfig::new(&args.data);
    config.accept_dilithium3 = args.accept_dilithium3;
    let report = verify(&config)?;
    session.show(&Replayed { agrees: args.verify, report })
}
