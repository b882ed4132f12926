//! What a storage node counts, and the text in which OpenMetrics scrapers read it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of a histogram, in microseconds; the last bucket has none.
const BUCKETS_US: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000];

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, duration: Duration) {
        let us = duration.as_micros() as u64;
        let bucket = BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the node counts since it started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) records: Counter,
    pub(crate) record_bytes: Counter,
    pub(crate) acks: Counter,
    pub(crate) signatures: Counter,
    pub(crate) unchecked: Counter,
    pub(crate) bad_authors: Counter,
    pub(crate) set_aside: Counter,
    pub(crate) queries: Counter,
    pub(crate) queries_refused: Counter,
    pub(crate) served_bytes: Counter,
    pub(crate) fetched_blobs: Counter,
    pub(crate) refused_blobs: Counter,
    pub(crate) repaired_records: Counter,
    pub(crate) repaired_blobs: Counter,
    pub(crate) scrubs: Counter,
    pub(crate) damaged: Counter,
    pub(crate) pruned: Counter,
    pub(crate) fsync: Histogram,
    pub(crate) verify: Histogram,
    pub(crate) http: [Counter; 6],
}

/// A page in the OpenMetrics text format.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new() -> Page {
        Page(String::new())
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("writing to memory does not fail");
        self.0.push('\n');
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# TYPE {name} {kind}"));
        self.line(format_args!("# HELP {name} {help}"));
    }

    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(format_args!("{name}_total {value}"));
    }

    /// One family with a label; the words are ours, so they need no escaping.
    pub(crate) fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.head(name, "counter", help);
        for (word, value) in values {
            self.line(format_args!("{name}_total{{{label}=\"{word}\"}} {value}"));
        }
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    pub(crate) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let mut below = 0;
        for (bound, bucket) in BUCKETS_US.iter().zip(&histogram.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let seconds = *bound as f64 / 1e6;
            self.line(format_args!("{name}_bucket{{le=\"{seconds}\"}} {below}"));
        }
        below += histogram.buckets[BUCKETS_US.len()].load(Ordering::Relaxed);
        let sum = histogram.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {below}"));
        self.line(format_args!("{name}_count {below}"));
        self.line(format_args!("{name}_sum {sum}"));
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push_str(&dsm_sdk::process::families());
        self.0.push_str("# EOF\n");
        self.0
    }
}
