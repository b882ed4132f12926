//! How many signed transitions a second become durable? Signatures, WASM policy, rules, hash-chained log and
//! fsync are all in the figure; HTTP is not. Each sample also measures the raw limit (signature checks on all
//! cores, nothing else) next to it, so the ratio belongs to one run on one machine.

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use dsm_abi::{Suite, VerifySignature, encode};
use dsm_benches::Bank;
use dsm_core::{Ledger, SignKind, SignedTransition, signing_message};
use dsm_crypto::Verifier;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Accounts, each with one transfer on its way at most.
const ACCOUNTS: usize = 4096;
/// Transfers on their way.
const WINDOW: usize = 4096;

fn pipeline(c: &mut Criterion) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut bank = Bank::open(data.path(), ACCOUNTS, cores);
    let mut totals = [(0u64, Duration::ZERO), (0, Duration::ZERO)];
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(1)).sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(25));
    group.bench_function(format!("raw limit: signature checks/{cores} cores"), |bencher| {
        bencher.iter_custom(|iterations| {
            let transfers = sample(&mut bank, iterations);
            let raw = raw_limit(&bank, cores, &transfers);
            bank.run(transfers, WINDOW);
            totals[0] = (totals[0].0 + iterations, totals[0].1 + raw);
            raw
        });
    });
    group.bench_function(format!("transfers: signature + policy + fsync/{cores} cores"), |bencher| {
        bencher.iter_custom(|iterations| {
            let transfers = sample(&mut bank, iterations);
            let start = Instant::now();
            bank.run(transfers, WINDOW);
            let taken = start.elapsed();
            totals[1] = (totals[1].0 + iterations, totals[1].1 + taken);
            taken
        });
    });
    group.finish();
    report(&bank, totals);
    bank.node.close().expect("the log is sound");
}

fn sample(bank: &mut Bank, iterations: u64) -> Vec<(usize, Vec<u8>)> {
    bank.transfers(usize::try_from(iterations).expect("fits"))
}

/// The time in which all cores together check the signatures of these transfers and do nothing else.
fn raw_limit(bank: &Bank, cores: usize, transfers: &[(usize, Vec<u8>)]) -> Duration {
    let ledger = bank.node.read(Ledger::clone).0;
    let checks: Vec<Check> = transfers.iter().map(|(_, bytes)| Check::of(bytes, &ledger)).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for part in checks.chunks(checks.len().div_ceil(cores).max(1)) {
            scope.spawn(|| part.iter().for_each(Check::run));
        }
    });
    start.elapsed()
}

/// One signature check with everything prepared.
struct Check {
    suite: Suite,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Check {
    fn of(bytes: &[u8], ledger: &Ledger) -> Check {
        let signed = SignedTransition::decode(bytes).expect("just encoded");
        let account = signed.transition.parents[0].0;
        let key = ledger.account(&account).expect("created").keys().keys[0].key.clone();
        let body = encode(&signed.transition);
        let message = signing_message(key.suite, signed.transition.network, SignKind::Transition, &body);
        let signature = signed.signatures[0].bytes.clone();
        Check { suite: key.suite, key: key.bytes, message, signature }
    }

    fn run(&self) {
        Verifier::new()
            .verify_signature(self.suite, &self.key, &self.message, &self.signature)
            .expect("it verifies");
    }
}

fn report(bank: &Bank, totals: [(u64, Duration); 2]) {
    let [raw, pipeline] = totals.map(|(count, taken)| count as f64 / taken.as_secs_f64());
    let metrics = bank.node.metrics();
    let mean = |histogram: &dsm_host::node::Histogram| {
        let (counts, sum) = histogram.snapshot();
        sum / counts.iter().sum::<u64>().max(1) as f64 * 1e6
    };
    println!("raw limit {raw:.0}/s, pipeline {pipeline:.0}/s, ratio {:.2}", pipeline / raw);
    println!(
        "mean µs: verify {:.1}, sequence {:.1} (of it policy {:.1}), fsync {:.0}; log {} MB, {} accepted",
        mean(&metrics.verify),
        mean(&metrics.sequence),
        mean(&metrics.evaluate),
        mean(&metrics.fsync),
        metrics.log_bytes.load(Ordering::Relaxed) / 1_000_000,
        metrics.accepted.load(Ordering::Relaxed),
    );
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
