//! What does a node do that is offered five times what it can? The binary `dsm` in a process of its own, asked over
//! HTTP with transitions that were signed before; signatures, the policy and the fsync are in every accepted one.
//!
//! In one run: the peak (closed loop, the best of several numbers of connections), five times that rate for a minute
//! (open loop: a request is due at its time whether or not the one before is answered, and an accepted one's latency
//! counts from when it was due), half the peak for ten seconds, and at last the peak with and without the node's lines
//! about what it accepts. Clients and node share the machine, so the clients' own work is in all of it.
//!
//! ```text
//! cargo build --release -p dsm-host
//! cargo bench -p dsm-benches --bench overload -- [--seconds 60] [--transfers 900000] [--report overload.html]
//! ```
//!
//! The report is one HTML page without anything from elsewhere.

use dsm_benches::Bank;
use dsm_benches::overload::{Fleet, Load, NodeProcess, Report, Stretch};
use std::path::PathBuf;
use std::time::Duration;

/// Accounts, each with one transfer on its way at most.
const ACCOUNTS: usize = 4096;
/// Client threads, each with its own part of the accounts and of the connections.
const THREADS: usize = 2;
/// Connections of the open loop: fewer than the node takes.
const CONNECTIONS: usize = 800;
/// Connections that the peak is looked for with.
const TRIED: [usize; 4] = [32, 64, 128, 256];
/// How long each of them is tried, and how long the lines' cost is measured each time.
const TRY: Duration = Duration::from_secs(5);
/// What is offered, as a multiple of the peak.
const TIMES: f64 = 5.0;

struct Options {
    seconds: u64,
    transfers: usize,
    report: PathBuf,
}

fn options() -> Options {
    let mut options = Options {
        seconds: 60,
        transfers: 900_000,
        report: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("overload.html"),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--seconds" => options.seconds = value().parse().expect("a number of seconds"),
            "--transfers" => options.transfers = value().parse().expect("a number of transfers"),
            "--report" => options.report = value().into(),
            // Cargo says so.
            "--bench" => {}
            other => panic!("there is no option {other}"),
        }
    }
    options
}

fn main() {
    let options = options();
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut bank = Bank::open(data.path(), ACCOUNTS, THREADS);
    eprintln!("signing {} transfers", options.transfers);
    let transfers = bank.transfers(options.transfers);
    let Bank { node, .. } = bank;
    node.close().expect("the log is sound");
    let node = NodeProcess::start(data.path());
    let mut fleet = Fleet::new(transfers, THREADS, node.address());

    let mut stretches = Vec::new();
    let mut stretch = |name: &str, load: Load, time: Duration, fleet: &mut Fleet, node: &NodeProcess| {
        let stretch = fleet.run(name, load, time, node);
        eprintln!("{}", stretch.line());
        stretches.push(stretch);
        stretches.last().map_or(0.0, Stretch::goodput)
    };
    stretch("warm-up", Load::Closed { connections: 64 }, TRY, &mut fleet, &node);
    let mut peak = 0.0f64;
    for connections in TRIED {
        let name = format!("{connections} connections");
        peak = peak.max(stretch(&name, Load::Closed { connections }, TRY, &mut fleet, &node));
    }
    let overload = Load::Open { connections: CONNECTIONS, per_second: TIMES * peak };
    let before = node.turned_away();
    stretch("overload", overload, Duration::from_secs(options.seconds), &mut fleet, &node);
    let turned_away = node.turned_away().since(&before);
    let calm = Load::Open { connections: CONNECTIONS, per_second: peak / 2.0 };
    stretch("afterwards", calm, Duration::from_secs(10), &mut fleet, &node);
    for level in ["error", "info", "error", "info"] {
        node.set_log_level(level);
        let name = format!("log level {level}");
        stretch(&name, Load::Closed { connections: 128 }, TRY, &mut fleet, &node);
    }
    let samples = node.stop();
    let report = Report { peak, times: TIMES, stretches, samples, turned_away };
    std::fs::write(&options.report, report.html()).expect("the report is written");
    println!("{}", report.text());
    println!("report: {}", options.report.display());
}
