//! A node behind a door with rules, and a clock that the test holds.

use crate::http::{Answer, ask};
use dsm_gateway::{ApiKey, GatewayConfig, KeyRing, Limits, NewKey, Origins, Peers, Scope, Scopes, Tokens};
use dsm_host::api::{Access, ApiConfig, Audit, Rules, Watch, serve_with};
use dsm_host::node::{Node, NodeConfig};
use dsm_link::Acceptor;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Runtime;

pub(crate) const SECRET: &[u8] = b"a secret of thirty-two bytes, at least";
pub(crate) const NOW_S: u64 = 1_800_000_000;

/// Time stands still until the test moves it.
#[derive(Clone, Default)]
pub(crate) struct TestWatch(Arc<AtomicU64>);

impl TestWatch {
    pub(crate) fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

impl Watch for TestWatch {
    fn steady_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn unix_ms(&self) -> u64 {
        NOW_S * 1000 + self.steady_ms()
    }
}

pub(crate) fn key(name: &str, number: u8, scopes: &[Scope]) -> NewKey {
    NewKey::make(name, Scopes::of(scopes), 1, [number; 4], [number; 32])
}

pub(crate) fn reader() -> NewKey {
    key("reader", 1, &[Scope::Read])
}

pub(crate) fn bank() -> NewKey {
    key("bank", 2, &[Scope::Read, Scope::Submit])
}

pub(crate) fn root() -> NewKey {
    key("root", 3, &Scope::ALL)
}

/// Three keys, one page, one proxy that is every connection of these tests.
pub(crate) fn rules(limits: Limits) -> Rules {
    let keys: Vec<ApiKey> = [reader(), bank(), root()].map(|key| key.kept).into();
    let gateway = GatewayConfig {
        anonymous: Scopes::NONE,
        keys: keys.into_iter().try_fold(KeyRing::default(), KeyRing::with).unwrap(),
        tokens: Some(Tokens::new(SECRET).unwrap()),
        origins: Origins::parse(["https://desk.example"]).unwrap(),
        proxies: Peers::default(),
        limits,
    };
    Rules { gateway, methods: None }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) access: Access,
    pub(crate) watch: TestWatch,
    pub(crate) node: Node,
    pub(crate) log: PathBuf,
    _runtime: Runtime,
    _data: tempfile::TempDir,
}

impl Server {
    pub(crate) fn new(rules: Rules) -> Server {
        let data = tempfile::tempdir().unwrap();
        let node = Node::open(NodeConfig { verifiers: 1, ..NodeConfig::new(data.path()) }).unwrap();
        Server::around(rules, node, data, None)
    }

    pub(crate) fn over_tls(rules: Rules, tls: Acceptor) -> Server {
        let data = tempfile::tempdir().unwrap();
        let node = Node::open(NodeConfig { verifiers: 1, ..NodeConfig::new(data.path()) }).unwrap();
        Server::around(rules, node, data, Some(tls))
    }

    pub(crate) fn around(rules: Rules, node: Node, data: tempfile::TempDir, tls: Option<Acceptor>) -> Server {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let watch = TestWatch::default();
        let log = data.path().join("audit.log");
        let audit = Audit::open(&log).unwrap();
        // As strict as if other machines reached it.
        let access = Access::new(rules, [0, 0, 0, 0].into(), watch.clone(), Some(audit)).unwrap();
        let config = ApiConfig { access: access.clone(), settings: None, tls };
        runtime.spawn(serve_with(node.clone(), listener, config, std::future::pending()));
        Server { address, access, watch, node, log, _runtime: runtime, _data: data }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.address, method, path, headers, b"")
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers)
    }
}
