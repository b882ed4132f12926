//! The standard policies as people get them: every case natively and as the WASM of `policies/dist`, with the
//! same bytes from both.

use dsm_abi::encode;
use dsm_host::engine::{
    Engine, EngineConfig, FUEL_LIMIT_DEFAULT, GuestCrypto, Module, Outcome, State, ViewOutcome,
};
use dsm_policy::Policy;
use dsm_policy::bench::{Call, Case};
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
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/dist").join(name).with_extension("wasm");
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
    assert_eq!(module.description(), &P::description(), "{name}: the module is not of these sources");
    assert!(!cases.is_empty());
    for case in cases {
        let native = case.check::<P>().unwrap_or_else(|wrong| panic!("{name}: natively: {wrong}"));
        let (wasm, fuel) = as_wasm(&engine, &module, case);
        assert_eq!(wasm, native, "{name}: {}", case.name);
        assert_eq!(as_wasm(&engine, &module, case), (wasm, fuel), "{name}: {}: twice", case.name);
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
