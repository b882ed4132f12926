//! How many signatures can this machine check a second? The raw limit that the pipeline is measured against.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dsm_abi::{NetworkId, Suite, VerifySignature};
use dsm_core::{SignKind, signing_message};
use dsm_crypto::{SecretKey, Signer, Verifier};
use std::time::{Duration, Instant};

/// Bytes of a transfer's body.
const BODY: [u8; 300] = [7; 300];

fn verify(c: &mut Criterion) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut group = c.benchmark_group("verify");
    group.throughput(Throughput::Elements(1));
    for (name, suite) in [("ML-DSA-65", Suite::MlDsa65), ("Ed25519+ML-DSA-65", Suite::Ed25519MlDsa65)] {
        let key = SecretKey::generate(suite).expect("a key");
        let message = signing_message(suite, NetworkId::default(), SignKind::Transition, &BODY);
        let signature = key.sign(&message).expect("signed");
        let check = || {
            Verifier::new()
                .verify_signature(suite, key.public_key(), &message, &signature)
                .expect("it verifies");
        };
        group.bench_function(format!("{name}/1 core"), |bencher| bencher.iter(check));
        group.bench_function(format!("{name}/{cores} cores"), |bencher| {
            bencher.iter_custom(|iterations| on_all_cores(cores, iterations, check));
        });
    }
    group.finish();
}

/// The time in which `cores` threads together do `iterations`.
fn on_all_cores(cores: usize, iterations: u64, check: impl Fn() + Sync) -> Duration {
    let each = iterations.div_ceil(cores as u64);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| (0..each).for_each(|_| check()));
        }
    });
    start.elapsed()
}

criterion_group!(benches, verify);
criterion_main!(benches);
