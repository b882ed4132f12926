//! What does a node do that is offered five times what it can? The binary `dsm` in a process of its own, asked over
//! HTTP with transitions that were signed before, in batches, as whoever has so many submits them; signatures, the policy
//! and the fsync are in every accepted one.
//!
//! In one run: the peak (closed loop, the best of several numbers of connections), five times that rate for a minute
//! (open loop: a request is due at its time whether or not the one before is answered, and an accepted one's latency
//! counts from when it was due), half the peak for ten seconds, and at last the peak with and without the node's lines
//! about what it accepts. Clients and node share the machine, so the clients' own work is in all of it, and at its worst
//! in the overload: they send five times what is accepted. Small batches make that dear (`--batch`); whoever has a network
//! between can leave bodies with the client until the node wants them (`--expect`), which on a machine of one's own only
//! trades bytes for connections.
//!
//! ```text
//! cargo build --release -p dsm-host
//! cargo bench -p dsm-benches --bench overload -- [--seconds 60] [--batch 32] [--expect] [--transfers N] \
//!     [--report overload.html]
//! ```
//!
//! The report is one HTML page without anything from elsewhere.

use dsm_benches::Bank;
use dsm_benches::overload::{Fleet, Load, Manner, NodeProcess, Report, Stretch};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Accounts, each with one transfer on its way at most; a multiple of every batch's length.
const ACCOUNTS: usize = 16_384;
/// Client threads, each with its own part of the accounts and of the connections.
const THREADS: usize = 2;
/// Connections of the open loop: more than the node's line has places for batches, fewer than it takes.
const CONNECTIONS: usize = 256;
/// Connections that the peak is looked for with.
const TRIED: [usize; 3] = [6, 8, 12];
/// How long each of them is tried, and how long the lines' cost is measured each time.
const TRY: Duration = Duration::from_secs(4);
/// The node's log levels, in pairs: what the node slows down by as its ledger grows falls on both alike.
const LEVELS: [&str; 6] = ["error", "info", "info", "error", "error", "info"];
/// Histograms of the node.
const TURNED_AWAY: &str = "dsm_turned_away_seconds";
const FSYNC: &str = "dsm_fsync_seconds";
/// Transfers that are signed for each second of the run, unless the command says how many in all.
const TRANSFERS_PER_SECOND: u64 = 15_000;
/// What is offered, as a multiple of the peak.
const TIMES: f64 = 5.0;

struct Options {
    seconds: u64,
    manner: Manner,
    transfers: Option<usize>,
    report: PathBuf,
}

fn options() -> Options {
    let mut options = Options {
        seconds: 60,
        manner: Manner { batch: 32, expect: false },
        transfers: None,
        report: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("overload.html"),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--seconds" => options.seconds = value().parse().expect("a number of seconds"),
            "--transfers" => options.transfers = Some(value().parse().expect("a number of transfers")),
            "--batch" => options.manner.batch = value().parse().expect("a number of transitions"),
            "--expect" => options.manner.expect = true,
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
    let manner = options.manner;
    assert!(ACCOUNTS.is_multiple_of(manner.batch), "a batch is a part of {ACCOUNTS} accounts");
    assert!(ACCOUNTS / manner.batch >= CONNECTIONS, "each connection has accounts of its own");
    let tries = 1 + TRIED.len() + LEVELS.len();
    // Afterwards is ten seconds at half the peak.
    let seconds = options.seconds + TRY.as_secs() * tries as u64 + 5;
    let transfers = options.transfers.unwrap_or((seconds * TRANSFERS_PER_SECOND) as usize);
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut bank = Bank::open(data.path(), ACCOUNTS, THREADS);
    eprintln!("signing {transfers} transfers");
    let began = Instant::now();
    let transfers = bank.transfers(transfers);
    eprintln!("signed in {:.0} s", began.elapsed().as_secs_f64());
    bank.close();
    let node = NodeProcess::start(data.path());
    let mut fleet = Fleet::new(transfers, manner, THREADS, node.address());

    let mut stretches = Vec::new();
    let mut stretch = |name: &str, load: Load, time: Duration, fleet: &mut Fleet, node: &NodeProcess| {
        let stretch = fleet.run(name, load, time, node);
        eprintln!("{}", stretch.line());
        stretches.push(stretch);
        stretches.last().map_or(0.0, Stretch::goodput)
    };
    stretch("warm-up", Load::Closed { connections: TRIED[0] }, TRY, &mut fleet, &node);
    let mut peak = 0.0f64;
    for connections in TRIED {
        let name = format!("{connections} connections");
        peak = peak.max(stretch(&name, Load::Closed { connections }, TRY, &mut fleet, &node));
    }
    let overload = Load::Open { connections: CONNECTIONS, per_second: TIMES * peak };
    let histograms = || [TURNED_AWAY, FSYNC].map(|name| node.histogram(name));
    let before = histograms();
    stretch("overload", overload, Duration::from_secs(options.seconds), &mut fleet, &node);
    let after = histograms();
    let [turned_away, fsync] = [0, 1].map(|which| after[which].since(&before[which]));
    let calm = Load::Open { connections: CONNECTIONS, per_second: peak / 2.0 };
    stretch("afterwards", calm, Duration::from_secs(10), &mut fleet, &node);
    for level in LEVELS {
        node.set_log_level(level);
        let name = format!("log level {level}");
        stretch(&name, Load::Closed { connections: TRIED[1] }, TRY, &mut fleet, &node);
    }
    let samples = node.stop();
    let report = Report { peak, times: TIMES, manner, stretches, samples, turned_away, fsync };
    std::fs::write(&options.report, report.html()).expect("the report is written");
    println!("{}", report.text());
    println!("report: {}", options.report.display());
}
