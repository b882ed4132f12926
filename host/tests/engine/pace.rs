//! Time as a test of bounds may measure it: what a processor spent on this thread, whatever else it did meanwhile, and
//! how that processor compares with the one on which the bounds were measured.

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What [`work`] takes on the machine that the bounds were measured on.
const REFERENCE: Duration = Duration::from_millis(5);
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What a processor has spent on this thread, or what has passed where the system does not tell: proc(5), the first
/// field of `schedstat`.
fn spent() -> Duration {
    // A thread that yields has its account settled.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    match stat.split_whitespace().next().and_then(|first| first.parse().ok()) {
        Some(nanoseconds) => Duration::from_nanos(nanoseconds),
        None => START.elapsed(),
    }
}

/// What a processor spends on `body`, and what it returns.
pub(crate) fn spent_on<T>(body: impl FnOnce() -> T) -> (Duration, T) {
    let before = spent();
    let result = body();
    (spent().saturating_sub(before), result)
}

/// How many times slower this processor is now than the one that the bounds were measured on, at least 1.
pub(crate) fn slowness() -> f64 {
    let taken = (0..3).map(|_| spent_on(|| black_box(work())).0).min().unwrap_or_default();
    (taken.as_secs_f64() / REFERENCE.as_secs_f64()).max(1.0)
}

/// Two million steps of arithmetic, reads and writes of a quarter of a MiB, and branches that nobody foresees.
fn work() -> u64 {
    let mut table = vec![0_u64; 1 << 15];
    let (mut a, mut b, mut c) = (1_u64, 2_u64, 3_u64);
    for step in 0..2_000_000 {
        a = a.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b ^= b << 13;
        b ^= b >> 7;
        b ^= b << 17;
        let at = (a >> 49) as usize;
        table[at] = table[at].wrapping_add(b);
        c = if table[b as usize % table.len()] & 1 == 0 { c.wrapping_add(step) } else { c.rotate_left(7) };
    }
    a ^ b ^ c
}
