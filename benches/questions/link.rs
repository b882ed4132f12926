//! What does the link carry on loopback? The raw limit that replication and catch-up are measured against.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dsm_benches::link::Wire;

/// A frame of catch-up is this long.
const CATCH_UP_FRAME_BYTES: usize = 1 << 20;
/// A record with its signature is about this long.
const RECORD_BYTES: usize = 4 << 10;

fn link(c: &mut Criterion) {
    let wire = Wire::new();
    let offload = if wire.segments() > 1 { "with offload" } else { "without offload" };
    let mut group = c.benchmark_group(format!("link, {offload}"));
    group.sample_size(10);
    for (name, bytes) in [("1 MiB frames", CATCH_UP_FRAME_BYTES), ("4 KiB frames", RECORD_BYTES)] {
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("one stream, {name}"), |bencher| {
            bencher.iter_custom(|frames| wire.pour(frames, bytes));
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("4 KiB there and back", |bencher| {
        bencher.iter_custom(|turns| wire.turns(turns, RECORD_BYTES));
    });
    group.bench_function("connect, both keys proved", |bencher| {
        bencher.iter_custom(|times| wire.connect(times))
    });
    group.finish();
}

criterion_group!(benches, link);
criterion_main!(benches);
