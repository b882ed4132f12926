//! What the service counts, and the text in which OpenMetrics scrapers read it.

use crate::api::StatusView;
use crate::relayer::Progress;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the service counts since it started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) http: [Counter; 6],
    attestations: Counter,
    refusals: Counter,
}

impl Metrics {
    pub(crate) fn attested(&self, signed: bool) {
        if signed { self.attestations.one() } else { self.refusals.one() }
    }
}

/// The words under which the relayer counts what it did.
const DONE: [&str; 13] = [
    "proofs",
    "credits",
    "refunds",
    "invented_locks",
    "advances",
    "convictions",
    "reorganisations",
    "checkpoints",
    "releases",
    "transactions",
    "transactions_mined",
    "transactions_failed",
    "fee_bumps",
];

struct Page(String);

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("writing to memory does not fail");
        self.0.push('\n');
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# TYPE {name} {kind}"));
        self.line(format_args!("# HELP {name} {help}"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(format_args!("{name}_total {value}"));
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.head(name, "counter", help);
        for (word, value) in values {
            self.line(format_args!("{name}_total{{{label}=\"{word}\"}} {value}"));
        }
    }
}

/// The page.
pub(crate) fn page(metrics: &Metrics, status: &StatusView, progress: &Progress, ready: bool) -> String {
    let mut page = Page(String::new());
    page.head("dsm_bridge", "info", "The bridge, and what blocks of its chain rest on.");
    page.line(format_args!(
        "dsm_bridge_info{{bridge=\"{}\",chain_id=\"{}\",trust_level=\"{}\",version=\"{}\"}} 1",
        status.bridge, status.chain_id, status.trust_level, status.version
    ));
    page.gauge("dsm_bridge_ready", "1 while the service does its work.", ready.into());
    page.gauge("dsm_bridge_frozen", "1 while the service is frozen.", status.frozen.is_some().into());
    page.gauge("dsm_bridge_paused", "1 while its admin has paused it.", status.paused.into());
    page.gauge("dsm_bridge_head", "The newest believable block.", status.head.unwrap_or(0));
    page.gauge(
        "dsm_bridge_trusted_height",
        "The block of the validators that the ledger trusts.",
        status.trusted_height.unwrap_or(0),
    );
    page.gauge(
        "dsm_bridge_contract_locks",
        "Locks that the contract counts.",
        status.contract_locks.unwrap_or(0),
    );
    page.gauge("dsm_bridge_locks", "Locks that are known.", status.locks);
    page.gauge("dsm_bridge_locks_done", "Locks below this are credited or refunded.", status.locks_done);
    page.gauge("dsm_bridge_leaves", "Leaves of the outbox that are known.", status.leaves);
    page.gauge("dsm_bridge_leaves_done", "Leaves below this are released.", status.leaves_done);
    page.gauge(
        "dsm_bridge_contract_epoch",
        "The contract's newest epoch.",
        status.contract_epoch.unwrap_or(0),
    );
    page.gauge("dsm_bridge_contract_size", "Leaves under it.", status.contract_size.unwrap_or(0));
    page.gauge("dsm_bridge_transactions_pending", "Transactions under way.", status.transactions);
    page.gauge("dsm_bridge_alarms", "Alarms that were raised.", status.alarms);
    page.gauge(
        "dsm_bridge_stalled",
        "Parts of a turn that did not come to their end.",
        status.stalled.len() as u64,
    );
    page.gauge("dsm_bridge_uptime_seconds", "Seconds since the start.", status.uptime_s);
    page.counter("dsm_bridge_turns", "Turns of the relayer.", status.turns);
    let done: Vec<(&str, u64)> =
        DONE.iter().filter_map(|word| Some((*word, *progress.done.get(word)?))).collect();
    page.counters("dsm_bridge_done", "What the relayer did.", "what", &done);
    page.counters(
        "dsm_bridge_attestations",
        "Requests to attest, by outcome.",
        "outcome",
        &[("signed", metrics.attestations.get()), ("refused", metrics.refusals.get())],
    );
    let endpoints = &status.endpoints;
    page.head(
        "dsm_bridge_endpoint_requests",
        "counter",
        "Questions to an endpoint, by its place in the list.",
    );
    for (place, endpoint) in endpoints.iter().enumerate() {
        let answered = endpoint.asked.saturating_sub(endpoint.failed);
        page.line(format_args!(
            "dsm_bridge_endpoint_requests_total{{endpoint=\"{place}\",outcome=\"usable\"}} {answered}"
        ));
        page.line(format_args!(
            "dsm_bridge_endpoint_requests_total{{endpoint=\"{place}\",outcome=\"failed\"}} {}",
            endpoint.failed
        ));
    }
    page.head("dsm_bridge_endpoint_contradictions", "counter", "How often an endpoint was caught.");
    for (place, endpoint) in endpoints.iter().enumerate() {
        page.line(format_args!(
            "dsm_bridge_endpoint_contradictions_total{{endpoint=\"{place}\"}} {}",
            endpoint.contradictions
        ));
    }
    let classes = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
    let answered: Vec<(&str, u64)> = classes.into_iter().zip(metrics.http.iter().map(Counter::get)).collect();
    page.counters("dsm_bridge_http_requests", "HTTP requests by class of status.", "status", &answered);
    page.gauge("dsm_bridge_idle", "1 while no contract is configured.", 0);
    page.0.push_str(&dsm_sdk::process::families());
    page.0.push_str("# EOF\n");
    page.0
}
