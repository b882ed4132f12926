//! `dsm repair`: a data directory with damaged records or packages, from its storage nodes.

use super::failure::Failure;
use super::node::runtime;
use super::session::Session;
use super::show::{Show, rows};
use super::topology::known_peer;
use dsm_host::replicate::{KnownPeer, RepairConfig, RepairReport, ReplicationConfig, repair};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Options of `dsm repair`.
#[derive(Debug, clap::Args)]
pub(crate) struct RepairArgs {
    /// The data directory, which no node has open
    #[arg(long, value_name = "DIR", env = "DSM_DATA", default_value = "data")]
    data: PathBuf,
    /// Storage nodes to ask besides those of the directory's topology: HOST:PORT=KEY
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    from: Vec<String>,
    /// The address from which storage nodes are reached
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:0")]
    p2p: SocketAddr,
}

/// The answer of `repair`.
#[derive(Serialize)]
#[serde(transparent)]
struct Repaired {
    report: RepairReport,
}

impl Show for Repaired {
    fn text(&self) -> String {
        let report = &self.report;
        let mut lines = vec![
            ("log", format!("{} records, {} sound", report.position, report.records)),
            ("damaged", format!("{} places, {} packages", report.damaged, report.damaged_packages)),
        ];
        lines.extend(report.left.iter().map(|what| ("left", what.clone())));
        if report.left.is_empty() {
            lines.push(("now", "everything is whole".to_owned()));
        }
        rows(lines)
    }
}

pub(crate) fn run(session: &Session, args: &RepairArgs) -> Result<(), Failure> {
    let from: Result<Vec<KnownPeer>, Failure> = args.from.iter().map(|text| known_peer(text)).collect();
    let link = ReplicationConfig::new(&args.data).link;
    let config = RepairConfig { data: args.data.clone(), from: from?, listen: args.p2p, link };
    let report = runtime()?.block_on(repair(config)).map_err(|error| {
        Failure::refused(error.code(), &error).help(
            "the storage nodes must run and know this key; `dsm restore` makes a new directory from them",
        )
    })?;
    let left = report.left.len();
    session.show(&Repaired { report })?;
    match left {
        0 => Ok(()),
        _ => Err(Failure::integrity("not_repaired", format!("{left} damaged things are left"))
            .help("no storage node that answers has them; start the others, or `dsm restore` from one that is whole")),
    }
}
