//! The node's counters as OpenMetrics text.

use crate::node::{BUCKETS_US, Histogram, Node};
use axum::http::StatusCode;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the API counts about itself.
#[derive(Debug, Default)]
pub(super) struct HttpMetrics {
    /// Answers by the first digit of their status.
    classes: [AtomicU64; 6],
    time: Histogram,
}

impl HttpMetrics {
    pub(super) fn observe(&self, status: StatusCode, taken: Duration) {
        let class = usize::from(status.as_u16() / 100).min(self.classes.len() - 1);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.time.observe(taken);
    }
}

/// All families, as the OpenMetrics text format has them.
pub(super) fn text(node: &Node, http: &HttpMetrics) -> String {
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
    ] {
        page.histogram(name, help, histogram);
    }
    let classes = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
    let counted: Vec<_> = classes.into_iter().zip(&http.classes).collect();
    page.counters("dsm_http_requests", "HTTP requests by class of status.", "status", &counted);
    page.0.push_str("# EOF\n");
    page.0
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
