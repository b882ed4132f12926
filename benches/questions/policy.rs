//! What does one verdict cost? One accepted transfer under each standard policy, in a fresh WASM instance (input
//! encoded, instance made, policy run, verdict decoded) and by the same code compiled natively; and what two
//! cores do together.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dsm_abi::{Action, Input};
use dsm_host::engine::{Engine, EngineConfig, Evaluation, Module, Outcome, State};
use dsm_policy::Policy;
use dsm_policy::bench::{Bench, Call, Case, Expected};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Far above what any transfer needs.
const FUEL_LIMIT: u64 = 10_000_000;

#[derive(Clone)]
struct Subject {
    module: Arc<Module>,
    case: Case,
    state: State,
    foreign: Vec<State>,
}

impl Subject {
    fn new(engine: &Engine, name: &str, cases: Vec<Case>) -> Subject {
        let is_transfer = |case: &Case| match (&case.call, &case.expected) {
            (Call::Evaluate(input), Expected::Accept(_)) => {
                matches!(input.legs[usize::from(input.leg)].action, Action::Transfer { .. })
            }
            _ => false,
        };
        let case = cases.into_iter().find(is_transfer).expect("every standard policy accepts some transfer");
        let state = Arc::new(case.state.clone()) as State;
        let foreign = case.foreign.iter().map(|space| Arc::new(space.clone()) as State).collect();
        Subject { module: engine.admit(wasm(name)).expect("admitted"), case, state, foreign }
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

fn wasm(name: &str) -> &'static [u8] {
    dsm_benches::POLICIES.iter().find(|(known, _)| *known == name).expect("shipped").1
}

fn engine() -> Engine {
    Engine::new(&EngineConfig::default(), Arc::new(NoCryptography)).expect("an engine")
}

fn one<P: Policy>(c: &mut Criterion, engine: &Engine, name: &str, cases: Vec<Case>) {
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
    let second = Subject { module: other.admit(wasm(name)).expect("admitted"), ..subject.clone() };
    group.bench_function("WASM, 2 cores, an engine each", |bencher| {
        bencher.iter_custom(|iterations| on_two_cores(iterations, [(&subject, engine), (&second, &other)]));
    });
    group.finish();
    println!("policy/{name}: p50 {:.2} µs, {fuel} fuel", median_us(&subject, engine));
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

fn median_us(subject: &Subject, engine: &Engine) -> f64 {
    let mut times: Vec<Duration> = (0..20_001)
        .map(|_| {
            let start = Instant::now();
            subject.evaluate(engine);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
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
    let engine = engine();
    one::<fungible::Fungible>(c, &engine, "fungible", fungible::cases());
    one::<credential_gate::CredentialGate>(c, &engine, "credential-gate", credential_gate::cases());
    one::<csd_register::CsdRegister>(c, &engine, "csd-register", csd_register::cases());
    one::<cash::Cash>(c, &engine, "cash", cash::cases());
}

criterion_group!(benches, policies);
criterion_main!(benches);
