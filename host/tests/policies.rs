//! The standard policies as people get them: every case natively and as the WASM of `policies/dist`, with the
//! same bytes from both.

use dsm_abi::{Value, encode};
use dsm_host::engine::{
    Engine, EngineConfig, FUEL_LIMIT_DEFAULT, GuestCrypto, Module, Outcome, State, ViewOutcome,
};
use dsm_policy::Policy;
use dsm_policy::bench::{Bench, Call, Case};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// None of the standard policies hashes or verifies: the host does it before they are asked.
struct NoCryptography;

impl GuestCrypto for NoCryptography {
    fn hash(&self, _: u32, _: &[u8]) -> Option<[u8; 32]> {
        None
    }

    fn verify(&self, _: u32, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

fn engine() -> Engine {
    let config = EngineConfig { instances: 2, ..EngineConfig::default() };
    Engine::new(&config, Arc::new(NoCryptography)).expect("the engine starts")
}

fn admit(engine: &Engine, name: &str) -> Arc<Module> {
    admit_from(engine, "dist", name)
}

fn admit_from(engine: &Engine, folder: &str, name: &str) -> Arc<Module> {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let path = policies.join(folder).join(name).with_extension("wasm");
    let wasm = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    engine.admit(&wasm).unwrap_or_else(|error| panic!("{name} is refused: {error}"))
}

/// The encoded verdict or answer of the module, and the fuel it took.
fn as_wasm(engine: &Engine, module: &Module, case: &Case) -> (Vec<u8>, u64) {
    let state: State = Arc::new(case.state.clone());
    let foreign: Vec<State> = case.foreign.iter().map(|state| Arc::new(state.clone()) as State).collect();
    match &case.call {
        Call::Evaluate(input) => {
            let evaluation = engine
                .evaluate(module, input, &state, &foreign, FUEL_LIMIT_DEFAULT)
                .expect("the host reaches a verdict");
            let verdict = match evaluation.outcome {
                Outcome::Accept(effects) => dsm_abi::Verdict::Accept(effects),
                Outcome::Reject(denial) => dsm_abi::Verdict::Reject(denial),
                Outcome::Fault(fault) => panic!("{}: {fault}", case.name),
            };
            (encode(&verdict), evaluation.fuel)
        }
        Call::View(input) => {
            let view = engine
                .view(module, input, &state, &foreign, FUEL_LIMIT_DEFAULT)
                .expect("the host reaches an answer");
            match view.outcome {
                ViewOutcome::Answer(answer) => (encode(&answer), view.fuel),
                ViewOutcome::Fault(fault) => panic!("{}: {fault}", case.name),
            }
        }
    }
}

fn same_natively_and_as_wasm<P: Policy>(name: &str, cases: &[Case]) {
    let engine = engine();
    let module = admit(&engine, name);
    same_in_module::<P>(&engine, &module, name, cases);
}

fn same_in_module<P: Policy>(engine: &Engine, module: &Module, name: &str, cases: &[Case]) {
    assert_eq!(module.description(), &P::description(), "{name}: the module is not of these sources");
    assert!(!cases.is_empty());
    for case in cases {
        let native = case.check::<P>().unwrap_or_else(|wrong| panic!("{name}: natively: {wrong}"));
        let (wasm, fuel) = as_wasm(engine, module, case);
        assert_eq!(wasm, native, "{name}: {}", case.name);
        assert_eq!(as_wasm(engine, module, case), (wasm, fuel), "{name}: {}: twice", case.name);
    }
}

#[test]
fn fungible() {
    same_natively_and_as_wasm::<fungible::Fungible>("fungible", &fungible::cases());
}

#[test]
fn credential_gate() {
    same_natively_and_as_wasm::<credential_gate::CredentialGate>(
        "credential-gate",
        &credential_gate::cases(),
    );
}

#[test]
fn csd_register() {
    same_natively_and_as_wasm::<csd_register::CsdRegister>("csd-register", &csd_register::cases());
}

#[test]
fn cash() {
    same_natively_and_as_wasm::<cash::Cash>("cash", &cash::cases());
}

#[test]
fn wrapped() {
    same_natively_and_as_wasm::<wrapped::Wrapped>("wrapped", &wrapped::cases());
}

#[test]
fn custody() {
    same_natively_and_as_wasm::<custody::Custody>("custody", &custody::cases());
}

#[test]
fn escrow_market() {
    same_natively_and_as_wasm::<escrow_market::EscrowMarket>("escrow-market", &escrow_market::cases());
}

#[test]
fn workflow() {
    same_natively_and_as_wasm::<workflow::Workflow>("workflow", &workflow::cases());
}

#[test]
fn governance() {
    same_natively_and_as_wasm::<governance::Governance>("governance", &governance::cases());
}

#[test]
fn oracle_feed() {
    same_natively_and_as_wasm::<oracle_feed::OracleFeed>("oracle-feed", &oracle_feed::cases());
}

#[test]
fn fx_quote() {
    same_natively_and_as_wasm::<fx_quote::FxQuote>("fx-quote", &fx_quote::cases());
}

#[test]
fn liquidity_pool() {
    same_natively_and_as_wasm::<liquidity_pool::LiquidityPool>("liquidity-pool", &liquidity_pool::cases());
}

#[test]
fn spend_limit() {
    same_natively_and_as_wasm::<spend_limit::SpendLimit>("spend-limit", &spend_limit::cases());
}

/// The twin in C is the same policy: its description, and its bytes for every case.
#[test]
fn spend_limit_in_c() {
    let engine = engine();
    let module = admit_from(&engine, "dist-c", "spend-limit");
    same_in_module::<spend_limit::SpendLimit>(&engine, &module, "spend-limit in C", &spend_limit::cases());
}

/// The reader in C steps over whatever an input may hold: those of all standard policies, with all actions and kinds of
/// evidence, judged by spend-limit in Rust and in C.
#[test]
fn the_policy_in_c_reads_what_the_others_are_shown() {
    let engine = engine();
    let module = admit_from(&engine, "dist-c", "spend-limit");
    let terms = vec![Value::U128(600), Value::U128(1_000), Value::Keys(vec![]), Value::U64(0)];
    let cases = [
        cash::cases(),
        credential_gate::cases(),
        csd_register::cases(),
        custody::cases(),
        escrow_market::cases(),
        fungible::cases(),
        fx_quote::cases(),
        governance::cases(),
        liquidity_pool::cases(),
        oracle_feed::cases(),
        workflow::cases(),
        wrapped::cases(),
    ];
    let (mut judged, mut kinds) = (0, BTreeSet::new());
    for mut case in cases.concat() {
        case.state.clear();
        case.foreign.clear();
        let bench = Bench::default();
        let native = match &mut case.call {
            Call::Evaluate(input) => {
                input.params.clone_from(&terms);
                kinds.extend(input.evidence.iter().map(|evidence| encode(evidence)[0]));
                bench.evaluate::<spend_limit::SpendLimit>(input).1
            }
            Call::View(input) => {
                input.params.clone_from(&terms);
                bench.view::<spend_limit::SpendLimit>(input).1
            }
        };
        assert_eq!(as_wasm(&engine, &module, &case).0, native, "{}", case.name);
        judged += 1;
    }
    assert!(judged > 300, "only {judged} inputs");
    assert!([0, 3, 4].iter().all(|kind| kinds.contains(kind)), "evidence of the kinds {kinds:?} alone");
}

/// The modules of `dist.lock`: name and address.
fn locked() -> Vec<(String, String)> {
    let lock = page("dist.lock");
    let values = |key: &str| {
        let lines = lock.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix(" = \""));
        lines.map(|value| value.trim_end_matches('"').to_owned()).collect::<Vec<_>>()
    };
    let names = values("file").into_iter().map(|file| file.trim_end_matches(".wasm").to_owned());
    names.zip(values("cid")).collect()
}

fn page(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_catalogue_has_the_address_of_every_module() {
    let (catalogue, locked) = (page("README.md"), locked());
    for (name, cid) in &locked {
        let start = format!("| [`{name}`]({name}/README.md) |");
        let row = catalogue.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("the catalogue has no row for {name}"));
        assert!(row.ends_with(&format!("| `{cid}` |")), "{name}: dist.lock has {cid}, the catalogue {row}");
    }
    assert_eq!(catalogue.matches("`bafk").count(), locked.len(), "the catalogue has other addresses besides");
}

/// The pages say what the modules describe: every refusal with its code, every parameter, method and query.
#[test]
fn the_pages_name_what_the_modules_describe() {
    let (catalogue, engine) = (page("README.md"), engine());
    let rows = |name: &str| {
        let start = format!("| `{name}` |");
        catalogue.lines().filter(|line| line.starts_with(&start)).collect::<String>()
    };
    for (name, _) in locked() {
        let module = admit(&engine, &name);
        let (about, own, rows) = (module.description(), page(&format!("{name}/README.md")), rows(&name));
        assert_eq!(about.name, name);
        let denials = about.denials.iter().filter(|denial| denial.code >= 100);
        for denial in denials {
            let told = format!("{} `{}`", denial.code, denial.name);
            assert!(rows.contains(&told), "the catalogue does not say that {name} refuses with {told}");
            let word = format!("`{}`", denial.name);
            assert!(own.contains(&word), "the page of {name} does not explain {told}");
        }
        for param in &about.params {
            let told = format!("`{}: {}`", param.name, param.value_type.word());
            assert!(rows.contains(&told), "the catalogue does not name the parameter {told} of {name}");
        }
        for method in about.methods.iter().chain(&about.queries) {
            let args: Vec<&str> = method.args.iter().map(|arg| arg.name.as_str()).collect();
            let told = if args.is_empty() {
                format!("`{}`", method.name)
            } else {
                format!("`{}({})`", method.name, args.join(", "))
            };
            assert!(rows.contains(&told), "the catalogue does not name {told} of {name}");
            let named =
                own.contains(&format!("`{}(", method.name)) || own.contains(&format!("`{}`", method.name));
            assert!(named, "the page of {name} does not name {told}");
        }
    }
}
