//! `dsm restore`: a core node whose disk is gone, from its storage nodes and the copy of its key.

use super::failure::Failure;
use super::node::{compiler, runtime};
use super::session::Session;
use super::show::{Show, rows, safe, short};
use super::topology::{bar, listed_peer};
use dsm_host::node::NodeConfig;
use dsm_host::replicate::{KnownPeer, ReplicationConfig, RestoreConfig, RestoreReport, restore};
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Options of `dsm restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// Storage nodes: HOST:PORT=KEY, or HOST:PORT with --peer-keys; the topology that they hold names the others
    #[arg(long, value_name = "ADDRESS", required = true, value_delimiter = ',')]
    from: Vec<String>,
    /// The copy of the lost node's `node.key`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// A folder with files HOST.pub, or a file with lines of HOST:PORT and a storage node's key
    #[arg(long, value_name = "FILE", env = "DSM_PEER_KEYS")]
    peer_keys: Option<PathBuf>,
    /// The data directory to make
    #[arg(long, value_name = "DIR", env = "DSM_DATA")]
    data: PathBuf,
    /// The address from which storage nodes are reached
    #[arg(long, value_name = "ADDRESS", env = "DSM_P2P", default_value = "0.0.0.0:0")]
    p2p: SocketAddr,
    /// Restore although the primary or a majority does not answer: what only they hold is lost
    #[arg(long)]
    force: bool,
    /// The network accepts signatures of Dilithium3
    #[arg(long)]
    accept_dilithium3: bool,
}

/// The answer of `restore`.
#[derive(Serialize)]
#[serde(transparent)]
struct Restored {
    report: RestoreReport,
}

impl Show for Restored {
    fn text(&self) -> String {
        let report = &self.report;
        let mut lines = vec![
            ("network", format!("{} ({})", report.network, safe(&report.network_name))),
            ("log", format!("{} records, digest {}", report.position, report.log_digest)),
            ("from", short(report.from)),
            ("transitions", format!("{}, every signature and policy verified again", report.transitions)),
            ("packages", report.packages.to_string()),
            ("epoch", format!("{}, promised by a majority: the old node is fenced", report.epoch)),
        ];
        lines.extend(report.asked.iter().map(|one| {
            let position = one.position.map_or_else(|| "silent".to_owned(), |at| format!("{at} records"));
            let trouble = one.trouble.as_deref().map(safe).unwrap_or_default();
            (
                "asked",
                format!("{} at {}: {position} {trouble}", short(one.node), one.address).trim_end().to_owned(),
            )
        }));
        let ms = report.rpo_ms.map_or_else(|| "unknown".to_owned(), |ms| format!("{ms} ms"));
        lines.push((
            "RPO",
            format!("{} records, {ms} behind what any reachable storage node holds", report.rpo_records),
        ));
        lines.push((
            "RTO",
            format!("{} ms (fetching {}, replaying {})", report.rto_ms, report.fetch_ms, report.replay_ms),
        ));
        rows(lines)
    }
}

pub(crate) fn run(session: &Session, args: &RestoreArgs) -> Result<(), Failure> {
    let keys = args.peer_keys.as_deref();
    let from: Result<Vec<KnownPeer>, Failure> =
        args.from.iter().map(|text| listed_peer(text, keys)).collect();
    let mut node = NodeConfig::new(&args.data);
    node.accept_dilithium3 = args.accept_dilithium3;
    node.engine.compiler = compiler();
    let mut replication = ReplicationConfig::new(&args.data);
    replication.listen = args.p2p;
    let config = RestoreConfig { from: from?, key: args.key.clone(), node, replication, force: args.force };
    let live = std::io::stderr().is_terminal() && !session.globals.json;
    let tell = move |done: u64, all: u64| {
        if live {
            // Nobody is left to tell if the terminal is gone.
            drop(write!(std::io::stderr(), "\r{}  {done} of {all} records\u{1b}[K", bar(done, all)));
        }
    };
    let restored = runtime()?.block_on(restore(config, tell));
    if live {
        drop(writeln!(std::io::stderr()));
    }
    let report = restored.map_err(|error| {
        let help = match error.code() {
            "too_few_answers" => "start the missing storage nodes; --force goes on without them and may lose what only they hold",
            "data_exists" => "choose a directory that does not exist yet",
            "not_confirmed" => "start the missing storage nodes and then the node: `dsm node` waits for them",
            _ => "the storage nodes must run, know this key and be named with their own keys",
        };
        Failure::refused(error.code(), &error).help(help)
    })?;
    session.show(&Restored { report })
}
