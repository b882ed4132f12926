//! The node's counters as OpenMetrics text.

use super::{Access, Audit};
use crate::node::{BUCKETS_US, Histogram, Metrics, Node, VERDICTS};
use crate::replicate::Replication;
use axum::http::StatusCode;
use dsm_sdk::api::{MemberView, PolicyCid};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the API counts about itself.
#[derive(Debug, Default)]
pub(super) struct HttpMetrics {
    /// Answers by the first digit of their status.
    classes: [AtomicU64; 6],
    time: Histogram,
    /// Of submissions that were turned away before they were read.
    turned_away: Histogram,
}

impl HttpMetrics {
    pub(super) fn observe(&self, status: StatusCode, taken: Duration) {
        let class = usize::from(status.as_u16() / 100).min(self.classes.len() - 1);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.time.observe(taken);
    }

    pub(super) fn turned_away(&self, taken: Duration) {
        self.turned_away.observe(taken);
    }
}

/// All families, as the OpenMetrics text format has them.
pub(super) fn text(node: &Node, http: &HttpMetrics, access: &Access) -> String {
    let mut page = Page(String::new());
    let metrics = node.metrics();
    let status = node.status();
    let cache = node.shelf().cache_stats();
    page.counters(
        "dsm_transitions",
        "Transitions by what became of them.",
        "outcome",
        &[
            ("submitted", &metrics.submitted),
            ("accepted", &metrics.accepted),
            ("duplicate", &metrics.duplicates),
            ("not_admitted", &metrics.not_admitted),
            ("refused", &metrics.refused),
            ("denied", &metrics.denied),
            ("fault", &metrics.faults),
            ("no_verdict", &metrics.no_verdicts),
            ("equivocation", &metrics.equivocations),
            ("overloaded", &metrics.overloaded),
        ],
    );
    verdict_families(&mut page, metrics);
    page.counter(
        "dsm_policy_evaluations",
        "Policy evaluations.",
        metrics.evaluations.load(Ordering::Relaxed),
    );
    page.counter("dsm_policy_fuel", "Fuel that policies used.", metrics.fuel.load(Ordering::Relaxed));
    page.counter("dsm_policy_cache_hits", "Calls that found their module compiled.", cache.hits);
    page.counter("dsm_policy_cache_misses", "Calls that had to compile their module.", cache.misses);
    page.counter("dsm_checkpoints", "Checkpoints signed.", metrics.checkpoints.load(Ordering::Relaxed));
    page.counter("dsm_log_bytes", "Bytes appended to the log.", metrics.log_bytes.load(Ordering::Relaxed));
    page.counters(
        "dsm_bridge_locks",
        "Locks of bridges by what became of them.",
        "outcome",
        &[("credited", &metrics.locks_credited), ("refunded", &metrics.locks_refunded)],
    );
    page.counter(
        "dsm_bridge_emissions",
        "Entries put into the outbox.",
        metrics.emissions.load(Ordering::Relaxed),
    );
    page.counter(
        "dsm_bridge_moves",
        "Bridges opened, moved or frozen.",
        metrics.bridge_moves.load(Ordering::Relaxed),
    );
    let (outbox, _) = node.read(|ledger| ledger.outbox().size());
    page.gauge("dsm_bridge_outbox_size", "Entries of the outbox.", outbox);
    page.gauge("dsm_policy_cache_modules", "Compiled policies in the cache.", cache.modules as u64);
    page.gauge("dsm_log_position", "The last durable record.", status.position);
    page.gauge("dsm_accounts", "Accounts.", status.accounts as u64);
    page.gauge("dsm_tokens", "Tokens.", status.tokens as u64);
    page.gauge("dsm_policies", "Published policies.", status.policies as u64);
    page.gauge("dsm_queue_waiting", "Submissions that wait for verification.", status.waiting as u64);
    page.gauge("dsm_uptime_seconds", "Seconds since the node started.", status.uptime_s);
    page.gauge("dsm_storage_full", "1 while the device is full.", u64::from(status.storage_full));
    page.gauge("dsm_ready", "1 while the node accepts transitions.", u64::from(node.ready().is_ok()));
    for (name, help, histogram) in [
        ("dsm_verify_seconds", "Time to verify one transition.", &metrics.verify),
        ("dsm_policy_evaluation_seconds", "Time of one policy evaluation.", &metrics.evaluate),
        ("dsm_sequence_seconds", "Time of the sequencer for one transition.", &metrics.sequence),
        ("dsm_fsync_seconds", "Time of one fsync.", &metrics.fsync),
        ("dsm_receipt_seconds", "Time from submission to receipt.", &metrics.receipt),
        ("dsm_http_request_seconds", "Time of one HTTP request.", &http.time),
        (
            "dsm_turned_away_seconds",
            "Time to turn away a submission that would wait too long.",
            &http.turned_away,
        ),
    ] {
        page.histogram(name, help, histogram);
    }
    if let Some(replication) = node.replication() {
        replication_families(&mut page, &replication);
    }
    let classes = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
    let counted: Vec<_> = classes.into_iter().zip(&http.classes).collect();
    page.counters("dsm_http_requests", "HTTP requests by class of status.", "status", &counted);
    page.counters("dsm_http_refused", "Requests that the door refused, by code.", "code", &access.refused());
    if let Some(audit) = access.audit().map(Audit::view) {
        page.gauge("dsm_audit_entries", "Lines of the audit log.", audit.entries);
        page.counter("dsm_audit_dropped", "Lines that the audit log had no room for.", audit.dropped);
    }
    page.0.push_str(&dsm_sdk::process::families());
    page.0.push_str("# EOF\n");
    page.0
}

/// What accepted transitions did, and what policies said of those that were judged.
fn verdict_families(page: &mut Page, metrics: &Metrics) {
    page.head("dsm_operations", "counter", "Operations of accepted transitions, by kind.");
    for (kind, count) in metrics.operations.counts() {
        page.line(format_args!("dsm_operations_total{{kind=\"{kind}\"}} {count}"));
    }
    page.head(
        "dsm_policy_verdicts",
        "counter",
        "Verdicts of policies; none is a policy that could not be run.",
    );
    for (outcome, count) in VERDICTS.into_iter().zip(metrics.verdicts.in_all()) {
        page.line(format_args!("dsm_policy_verdicts_total{{outcome=\"{outcome}\"}} {count}"));
    }
    let name = "dsm_policy_verdicts_by_policy";
    page.head(
        name,
        "counter",
        "Verdicts of the policies that were asked first; those of all others together.",
    );
    for (policy, row) in metrics.verdicts.by_policy() {
        let policy = policy.map_or_else(|| "other".to_owned(), |policy| PolicyCid(policy).to_string());
        for (outcome, count) in VERDICTS.into_iter().zip(row) {
            page.line(format_args!("{name}_total{{policy=\"{policy}\",outcome=\"{outcome}\"}} {count}"));
        }
    }
}

/// Replication to the storage nodes.
fn replication_families(page: &mut Page, replication: &Replication) {
    let Some(view) = replication.view() else { return };
    let (counts, link) = replication.counts();
    for (name, help, value) in [
        ("dsm_replication_acks", "Acknowledgements of storage nodes whose signature verified.", counts.acks),
        ("dsm_replication_appends", "Frames of records sent.", counts.appends),
        ("dsm_replication_records", "Records sent.", counts.records),
        ("dsm_replication_record_bytes", "Bytes of the records sent.", counts.record_bytes),
        ("dsm_replication_evidence", "Pieces of evidence of a fault that were stored.", counts.evidence),
        ("dsm_replication_failovers", "Primaries replaced because they were silent.", counts.failovers),
        ("dsm_replication_lies", "Answers of storage nodes that were not what they should be.", counts.lies),
        ("dsm_replication_packages", "Policy packages fetched from storage nodes.", counts.packages),
        ("dsm_replication_adopted", "Records fetched because a storage node was ahead.", counts.adopted),
        (
            "dsm_link_refused",
            "Handshakes that were refused.",
            link.refused.iter().map(|(_, count)| count).sum(),
        ),
        ("dsm_link_connect_failed", "Connections that did not come about.", link.connect_failed),
        ("dsm_link_sent_bytes", "Bytes of the frames sent.", link.frame_bytes_sent),
        ("dsm_link_received_bytes", "Bytes of the frames received.", link.frame_bytes_received),
        ("dsm_link_frames_too_slow", "Frames that took longer than their time.", link.frames_too_slow),
        ("dsm_link_frames_too_long", "Frames that were longer than allowed.", link.frames_too_long),
    ] {
        page.counter(name, help, value);
    }
    page.gauge("dsm_replication_epoch", "The epoch of the topology; 0 without one.", view.epoch);
    page.gauge(
        "dsm_replication_leading",
        "1 while this node may write.",
        u64::from(view.standing == "leading"),
    );
    page.gauge("dsm_replication_members", "Storage nodes of the topology.", view.members.len() as u64);
    type Read = fn(&MemberView) -> u64;
    let families: [(&str, &str, Read); 5] = [
        ("dsm_replication_lag_records", "Records that a storage node has not acknowledged.", |one| one.lag),
        ("dsm_replication_acked_position", "The last position that a storage node acknowledged.", |one| {
            one.acked
        }),
        ("dsm_replication_in_flight_bytes", "Bytes sent and not acknowledged.", |one| one.bytes_in_flight),
        ("dsm_replication_connected", "1 while a storage node is connected.", |one| {
            u64::from(!matches!(one.state.as_str(), "absent" | "refused"))
        }),
        ("dsm_replication_primary", "1 for the primary.", |one| u64::from(one.primary)),
    ];
    for (name, help, read) in families {
        page.head(name, "gauge", help);
        for member in &view.members {
            page.line(format_args!("{name}{{node=\"{}\"}} {}", member.node, read(member)));
        }
    }
}

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

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(format_args!("{name}_total {value}"));
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, &AtomicU64)]) {
        self.head(name, "counter", help);
        for (word, value) in values {
            self.line(format_args!("{name}_total{{{label}=\"{word}\"}} {}", value.load(Ordering::Relaxed)));
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        let (counts, sum) = histogram.snapshot();
        self.head(name, "histogram", help);
        let mut below = 0;
        for (bound, count) in BUCKETS_US.iter().zip(&counts) {
            below += count;
            let seconds = *bound as f64 / 1e6;
            self.line(format_args!("{name}_bucket{{le=\"{seconds}\"}} {below}"));
        }
        below += counts[BUCKETS_US.len()];
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {below}"));
        self.line(format_args!("{name}_count {below}"));
        self.line(format_args!("{name}_sum {sum}"));
    }
}
