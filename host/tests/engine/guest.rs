//! Policies written in WAT for the tests, and what they are called with.

use dsm_abi::{
    AccountId, Action, Description, ForeignRead, ForeignTarget, Input, Leg, NetworkId, TokenId, TokenView,
    ViewInput,
};
use dsm_host::engine::{Engine, EngineConfig, GuestCrypto, Module, State};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Cryptography for tests that are not about it: BLAKE3, and a "signature" that equals its message.
pub(crate) struct TestCrypto;

impl GuestCrypto for TestCrypto {
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        match algorithm {
            0 => Some(*blake3::hash(bytes).as_bytes()),
            66 => panic!("a hash function that panics"),
            _ => None,
        }
    }

    fn verify(&self, algorithm: u32, _: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
        (algorithm == 0).then_some(message == signature)
    }
}

pub(crate) fn engine() -> Engine {
    Engine::new(&EngineConfig { instances: 8, ..EngineConfig::default() }, Arc::new(TestCrypto)).unwrap()
}

/// The parts of a policy in WAT; each test replaces what it is about.
pub(crate) struct Guest {
    /// Imports.
    pub imports: String,
    /// Memory, data beyond the fixed parts, globals, other functions.
    pub more: String,
    /// Initial pages of memory.
    pub memory: String,
    /// The body of `dsm_buf`, with `$len`.
    pub buf: String,
    /// The body of `dsm_evaluate`, with `$len`.
    pub evaluate: String,
    /// The body of `dsm_view`, with `$len`.
    pub view: String,
    /// The bytes of the description, at 1024.
    pub description: Vec<u8>,
    /// Bytes at 16384: what `OUTPUT` returns.
    pub output: Vec<u8>,
    /// The body of `dsm_describe`, or the usual one.
    pub describe: Option<String>,
}

impl Default for Guest {
    fn default() -> Self {
        Guest {
            imports: String::new(),
            more: String::new(),
            memory: "2".into(),
            buf: "(i32.const 65536)".into(),
            evaluate: "(i64.const 0)".into(),
            view: "(i64.const 0)".into(),
            description: dsm_abi::encode(&description(0)),
            output: Vec::new(),
            describe: None,
        }
    }
}

impl Guest {
    /// A policy that answers `output` to everything.
    pub(crate) fn answering(output: Vec<u8>) -> Guest {
        let packed = format!("(i64.const {})", (16384i64 << 32) | output.len() as i64);
        Guest { evaluate: packed.clone(), view: packed, output, ..Guest::default() }
    }

    /// A policy that accepts after running `body`.
    pub(crate) fn accepting_after(body: &str) -> Guest {
        let mut guest = Guest::answering(dsm_abi::encode(&dsm_abi::Verdict::Accept(vec![])));
        guest.evaluate = format!("{body} {}", guest.evaluate);
        guest
    }

    pub(crate) fn wasm(&self) -> Vec<u8> {
        let describe = self
            .describe
            .clone()
            .unwrap_or_else(|| format!("(i64.const {})", (1024i64 << 32) | self.description.len() as i64));
        let text = format!(
            r#"(module {imports}
              (memory (export "memory") {memory})
              (func (export "dsm_buf") (param $len i32) (result i32) {buf})
              (func $evaluate (export "dsm_evaluate") (param $len i32) (result i64) {evaluate})
              (func (export "dsm_view") (param $len i32) (result i64) {view})
              (func (export "dsm_describe") (result i64) {describe})
              (data (i32.const 16384) "{output}")
              (data (i32.const 1024) "{description}")
              {more})"#,
            imports = self.imports,
            memory = self.memory,
            buf = self.buf,
            evaluate = self.evaluate,
            view = self.view,
            output = escape(&self.output),
            description = escape(&self.description),
            more = self.more,
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    pub(crate) fn admit(&self, engine: &Engine) -> Arc<Module> {
        engine.admit(&self.wasm()).unwrap_or_else(|error| panic!("{error}"))
    }
}

pub(crate) fn escape(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// A description with `foreign` foreign reads.
pub(crate) fn description(foreign: u8) -> Description {
    let read = |index| ForeignRead { target: ForeignTarget::Token(TokenId([index; 32])), policy_index: 0 };
    Description {
        abi: dsm_abi::ABI_VERSION,
        name: "test".into(),
        version: "1.0.0".into(),
        summary: String::new(),
        params: vec![],
        methods: vec![],
        queries: vec![],
        denials: vec![],
        evidence: vec![],
        foreign_reads: (0..foreign).map(read).collect(),
    }
}

/// A transfer of 5 units.
pub(crate) fn input() -> Input {
    let token = TokenId([7; 32]);
    let action = Action::Transfer { to: AccountId([2; 32]), amount: 5, bilateral: false };
    Input {
        abi: dsm_abi::ABI_VERSION,
        policy_index: 0,
        leg: 0,
        time_ms: 1_700_000_000_000,
        network: NetworkId([9; 32]),
        token: TokenView {
            id: token,
            height: 3,
            issuer: AccountId([1; 32]),
            supply: 1000,
            cap: None,
            decimals: 2,
        },
        legs: vec![Leg { token, actor: AccountId([1; 32]), action }],
        signers: vec![],
        parties: vec![],
        params: vec![],
        evidence: vec![],
        foreign: vec![],
    }
}

/// A query without arguments.
pub(crate) fn view_input() -> ViewInput {
    let Input { abi, policy_index, time_ms, network, token, params, .. } = input();
    ViewInput { abi, policy_index, time_ms, network, token, params, query: "supply".into(), args: vec![] }
}

/// State with the keys `k00` to `k99`, the value of each ten bytes of its number.
pub(crate) fn state() -> State {
    let entries = (0u8..100).map(|n| (format!("k{n:02}").into_bytes(), vec![n; 10]));
    Arc::new(entries.collect::<BTreeMap<Vec<u8>, Vec<u8>>>())
}
