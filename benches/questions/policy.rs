//! What does one verdict cost? One accepted call of each standard policy, in a fresh WASM instance (input encoded,
//! instance made, policy run, verdict decoded) and by the same code compiled natively; what two cores do together;
//! and what a policy costs before its first verdict and between two of them: its bytes, the gate and the compiler,
//! finding it in the cache, the memory that it holds there.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dsm_abi::{Action, Input};
use dsm_host::engine::{Engine, EngineConfig, Evaluation, Module, ModuleCache, Outcome, State};
use dsm_policy::Policy;
use dsm_policy::bench::{Bench, Call, Case, Expected};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Far above what any call needs.
const FUEL_LIMIT: u64 = 10_000_000;
/// Evaluations of which a median is taken.
const EVALUATIONS: usize = 20_001;
/// Modules that differ in a few bytes of no meaning, admitted to see what one of them holds.
const COPIES: u32 = 8;

/// Runs a macro with every standard policy: its name, its type, its cases.
macro_rules! for_every_policy {
    ($run:ident) => {
        $run! {
            "fungible" fungible::Fungible
            "credential-gate" credential_gate::CredentialGate
            "csd-register" csd_register::CsdRegister
            "cash" cash::Cash
            "spend-limit" spend_limit::SpendLimit
            "oracle-feed" oracle_feed::OracleFeed
            "fx-quote" fx_quote::FxQuote
            "liquidity-pool" liquidity_pool::LiquidityPool
            "custody" custody::Custody
            "escrow-market" escrow_market::EscrowMarket
            "workflow" workflow::Workflow
            "governance" governance::Governance
            "wrapped" wrapped::Wrapped
        }
    };
}

#[derive(Clone)]
struct Subject {
    module: Arc<Module>,
    case: Case,
    state: State,
    foreign: Vec<State>,
}

impl Subject {
    /// An accepted transfer where the policy accepts any, else its first accepted call that has effects.
    fn new(engine: &Engine, name: &str, cases: &[Case]) -> Subject {
        let accepted =
            |case: &&Case| matches!((&case.call, &case.expected), (Call::Evaluate(_), Expected::Accept(_)));
        let is_transfer = |case: &&Case| match &case.call {
            Call::Evaluate(input) => {
                matches!(input.legs[usize::from(input.leg)].action, Action::Transfer { .. })
            }
            Call::View(_) => false,
        };
        let has_effects = |case: &&Case| matches!(&case.expected, Expected::Accept(list) if !list.is_empty());
        let found = cases.iter().filter(accepted).find(is_transfer);
        let case = found.or_else(|| cases.iter().filter(accepted).find(has_effects));
        let case = case.expect("every standard policy accepts some call").clone();
        let (state, foreign) = states(&case);
        Subject { module: engine.admit(&wasm(name)).expect("admitted"), case, state, foreign }
    }

    fn input(&self) -> &Input {
        match &self.case.call {
            Call::Evaluate(input) => input,
            Call::View(_) => unreachable!("chosen as an evaluation"),
        }
    }

    fn evaluate(&self, engine: &Engine) -> Evaluation {
        let verdict = engine
            .evaluate(&self.module, self.input(), &self.state, &self.foreign, FUEL_LIMIT)
            .expect("a verdict");
        assert!(matches!(verdict.outcome, Outcome::Accept(_)));
        verdict
    }
}

fn states(case: &Case) -> (State, Vec<State>) {
    let foreign = case.foreign.iter().map(|space| Arc::new(space.clone()) as State).collect();
    (Arc::new(case.state.clone()) as State, foreign)
}

fn wasm(name: &str) -> Vec<u8> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/dist");
    std::fs::read(dist.join(name).with_extension("wasm")).expect("shipped")
}

fn engine() -> Engine {
    Engine::new(&EngineConfig::default(), Arc::new(NoCryptography)).expect("an engine")
}

fn one<P: Policy>(c: &mut Criterion, engine: &Engine, name: &str, cases: &[Case]) {
    let subject = Subject::new(engine, name, cases);
    let fuel = subject.evaluate(engine).fuel;
    let mut group = c.benchmark_group(format!("policy/{name}"));
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("WASM, fresh instance, {fuel} fuel"), |bencher| {
        bencher.iter(|| subject.evaluate(engine));
    });
    let case = &subject.case;
    let mut bench = Bench::default();
    (bench.state, bench.foreign) = (case.state.clone(), case.foreign.clone());
    group.bench_function("native", |bencher| bencher.iter(|| bench.evaluate::<P>(subject.input())));
    group.bench_function("WASM, 2 cores, one engine", |bencher| {
        bencher.iter_custom(|iterations| on_two_cores(iterations, [(&subject, engine); 2]));
    });
    // Instances come back from other cores with their memory in the other's cache; an engine each keeps them apart.
    let other = self::engine();
    let second = Subject { module: other.admit(&wasm(name)).expect("admitted"), ..subject.clone() };
    group.bench_function("WASM, 2 cores, an engine each", |bencher| {
        bencher.iter_custom(|iterations| on_two_cores(iterations, [(&subject, engine), (&second, &other)]));
    });
    group.finish();
}

fn on_two_cores(iterations: u64, each: [(&Subject, &Engine); 2]) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for (subject, engine) in each {
            scope.spawn(move || {
                for _ in 0..iterations.div_ceil(2) {
                    subject.evaluate(engine);
                }
            });
        }
    });
    start.elapsed()
}

/// The median of what `measured` takes, in µs.
fn median_us(times: usize, mut measured: impl FnMut()) -> f64 {
    let mut times: Vec<Duration> = (0..times)
        .map(|_| {
            let start = Instant::now();
            measured();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// One line: what the policy costs, before its first verdict, for one and between two.
fn line<P: Policy>(engine: &Arc<Engine>, name: &str, cases: &[Case]) {
    let subject = Subject::new(engine, name, cases);
    let bytes = wasm(name);
    let evaluated = median_us(EVALUATIONS, || drop(subject.evaluate(engine)));
    let mut bench = Bench::default();
    (bench.state, bench.foreign) = (subject.case.state.clone(), subject.case.foreign.clone());
    let native = median_us(EVALUATIONS, || drop(bench.evaluate::<P>(subject.input())));
    let most = cases.iter().filter_map(|case| fuel_of(engine, &subject.module, case)).max();
    let admitted_ms = median_us(5, || drop(engine.admit(&bytes).expect("admitted"))) / 1e3;
    let cache = ModuleCache::new(Arc::clone(engine), 100, Duration::from_secs(3600));
    let (hash, now) = (subject.module.hash(), Instant::now());
    let found = || drop(cache.module(hash, now, || Some(bytes.clone())).expect("admitted"));
    found();
    let hundred = median_us(1_001, || (0..100).for_each(|_| found()));
    let resident = resident_of_one(engine, &bytes);
    println!(
        "| `{name}` | {evaluated:.1} µs, {} fuel; native {native:.2} µs | {} | {:.1} KiB | {admitted_ms:.0} ms | \
         {:.0} ns | {:.0} KiB of code, {resident:.0} KiB resident |",
        subject.evaluate(engine).fuel,
        most.unwrap_or_default(),
        bytes.len() as f64 / 1024.0,
        hundred * 10.0,
        subject.module.compiled_bytes() as f64 / 1024.0,
    );
}

fn fuel_of(engine: &Engine, module: &Module, case: &Case) -> Option<u64> {
    let (state, foreign) = states(case);
    let Call::Evaluate(input) = &case.call else { return None };
    Some(engine.evaluate(module, input, &state, &foreign, FUEL_LIMIT).expect("a verdict").fuel)
}

/// How much this process grows, in KiB, for each admitted module that it keeps. The copies differ in a custom
/// section, which has no meaning: for the engine they are other modules. Two are admitted before, so that what the
/// compiler itself keeps is not counted.
fn resident_of_one(engine: &Engine, bytes: &[u8]) -> f64 {
    let copy = |number: u32| {
        let mut copy = bytes.to_vec();
        // A custom section of 14 bytes: a name that the gate lets through, then the number.
        copy.extend_from_slice(b"\x00\x0e\x09producers");
        copy.extend_from_slice(&number.to_le_bytes());
        engine.admit(&copy).expect("admitted")
    };
    let _before = [copy(0), copy(1)];
    let start = resident_kib();
    let kept: Vec<Arc<Module>> = (2..2 + COPIES).map(copy).collect();
    let grown = resident_kib() - start;
    grown / kept.len() as f64
}

/// The resident memory of this process, as Linux counts it.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux counts it");
    line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
}

struct NoCryptography;

impl dsm_host::engine::GuestCrypto for NoCryptography {
    fn hash(&self, _algorithm: u32, _bytes: &[u8]) -> Option<[u8; 32]> {
        None
    }

    fn verify(&self, _algorithm: u32, _key: &[u8], _message: &[u8], _signature: &[u8]) -> Option<bool> {
        None
    }
}

fn policies(c: &mut Criterion) {
    let engine = Arc::new(engine());
    println!(
        "| policy | one evaluation, p50 | most fuel of its cases | module | gate and compiler | found in the cache | \
         held in the cache |\n|---|---|---|---|---|---|---|"
    );
    macro_rules! lines {
        ($($name:literal $policy:ident::$type:ident)*) => {
            $(line::<$policy::$type>(&engine, $name, &$policy::cases());)*
        };
    }
    for_every_policy!(lines);
    one::<fungible::Fungible>(c, &engine, "fungible", &fungible::cases());
    one::<credential_gate::CredentialGate>(c, &engine, "credential-gate", &credential_gate::cases());
    one::<csd_register::CsdRegister>(c, &engine, "csd-register", &csd_register::cases());
    one::<cash::Cash>(c, &engine, "cash", &cash::cases());
}

criterion_group!(benches, policies);
criterion_main!(benches);
