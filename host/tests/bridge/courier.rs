//! The relayer in a process of its own: this test program, started again with nothing to do but run a service.

use dsm_abi::decode;
use dsm_bridge::rpc::Patience;
use dsm_bridge::state::Faults;
use dsm_bridge::{Bridge, RelayerConfig, ServiceConfig, World};
use dsm_core::{BridgeConfig, Finality};
use dsm_crypto::{Secp256k1Key, SecretKey};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the child is told, as JSON.
const ORDERS: &str = "DSM_TEST_COURIER";
/// Nothing here takes so long; it only keeps a test that hangs from hanging for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who pays and signs for a relayer, and where it keeps its state.
pub(crate) struct Orders {
    pub(crate) json: Value,
}

impl Orders {
    pub(crate) fn new(
        data: &Path,
        core: &str,
        rpc: &str,
        terms: &BridgeConfig,
        gas_key: &Secp256k1Key,
        account_seed: [u8; 32],
        attestors: &[String],
    ) -> Orders {
        Orders {
            json: json!({
                "data": data,
                "core": core,
                "rpc": rpc,
                "terms": hex::encode(dsm_abi::encode(terms)),
                "gas_key": hex::encode(&gas_key.to_secret_bytes()[..]),
                "account_seed": hex::encode(account_seed),
                "attestors": attestors,
            }),
        }
    }

    /// The same, dying at a point of its work.
    pub(crate) fn dying_at(&self, point: &str) -> Orders {
        let mut json = self.json.clone();
        json["dies_at"] = json!(point);
        Orders { json }
    }

    /// The same, without releases: checkpoints alone are carried.
    pub(crate) fn without_releases(&self) -> Orders {
        let mut json = self.json.clone();
        json["release"] = json!(false);
        Orders { json }
    }

    /// Starts the process and waits until the service runs.
    pub(crate) fn start(&self) -> Courier {
        let ready = tempfile::NamedTempFile::new().unwrap();
        let mut json = self.json.clone();
        json["ready"] = json!(ready.path());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "courier::the_courier_itself", "--nocapture"])
            .env(ORDERS, json.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut courier = Courier { child };
        let begun = Instant::now();
        // A courier that dies at its first step has ended before it said so.
        while std::fs::read(ready.path()).unwrap().is_empty() && !courier.has_ended() {
            assert!(begun.elapsed() < PATIENCE, "the courier does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        courier
    }
}

/// `dsm-bridge` itself, as an operator starts it.
pub(crate) struct Program {
    path: PathBuf,
    settings: Vec<(&'static str, String)>,
}

impl Program {
    /// A relayer with a gas key of its own in a file; its other keys it makes itself.
    pub(crate) fn new(
        data: &Path,
        core: &str,
        rpc: &str,
        terms: &BridgeConfig,
        gas_key: &Secp256k1Key,
        attestors: &[String],
    ) -> Program {
        let path = Path::new(crate::program::DSM).with_file_name("dsm-bridge");
        assert!(path.exists(), "build it first: cargo build --workspace --bins");
        std::fs::create_dir_all(data).unwrap();
        let key_file = data.join("gas-key");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create_new(true).write(true).mode(0o600).open(&key_file).unwrap();
        file.write_all(hex::encode(&gas_key.to_secret_bytes()[..]).as_bytes()).unwrap();
        let Finality::Qbft { validators, height, .. } = &terms.finality else { panic!("sealed") };
        let addresses: Vec<String> = validators.iter().map(|one| format!("0x{}", hex::encode(one))).collect();
        let settings = vec![
            ("DSM_BRIDGE_DATA", data.display().to_string()),
            ("DSM_BRIDGE_GAS_KEY_FILE", key_file.display().to_string()),
            ("DSM_BRIDGE_LISTEN", "127.0.0.1:0".to_owned()),
            ("DSM_BRIDGE_ROLES", "relayer".to_owned()),
            ("DSM_BRIDGE_CORE", core.to_owned()),
            ("DSM_BRIDGE_ETHEREUM_RPC", rpc.to_owned()),
            ("DSM_BRIDGE_CHAIN_ID", terms.chain_id.to_string()),
            ("DSM_BRIDGE_CONTRACT", format!("0x{}", hex::encode(terms.contract))),
            ("DSM_BRIDGE_NETWORK", terms.network.to_string()),
            ("DSM_BRIDGE_FINALITY", "qbft".to_owned()),
            ("DSM_BRIDGE_TRUSTED_SET", addresses.join(",")),
            ("DSM_BRIDGE_TRUSTED_HEIGHT", height.to_string()),
            ("DSM_BRIDGE_CLOCK_DRIFT_S", "60".to_owned()),
            ("DSM_BRIDGE_TRUSTING_PERIOD_S", "0".to_owned()),
            ("DSM_BRIDGE_SALT", hex::encode(terms.salt)),
            ("DSM_BRIDGE_ATTESTORS", attestors.join(",")),
            ("DSM_BRIDGE_POLL_MS", "100".to_owned()),
            ("DSM_BRIDGE_BUMP_AFTER_S", "2".to_owned()),
        ];
        Program { path, settings }
    }

    /// Starts it and waits until it says whom it believes.
    pub(crate) fn start(&self) -> (Courier, Value) {
        let mut command = Command::new(&self.path);
        command.args(["run", "--json"]).envs(self.settings.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut told = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let courier = Courier { child };
        // One value, on one line or on many.
        while reader.read_line(&mut told).unwrap() > 0 {
            if let Ok(banner) = serde_json::from_str(&told) {
                std::thread::spawn(move || reader.lines().count());
                return (courier, banner);
            }
        }
        panic!("dsm-bridge ended: {told}");
    }
}

/// A relayer's process; killed when this is dropped.
pub(crate) struct Courier {
    child: Child,
}

impl Courier {
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Ends the process at a point, without a word, as a kill does.
struct Dies(String);

impl Faults for Dies {
    fn dies_at(&self, point: &'static str) -> bool {
        if point == self.0 {
            std::process::abort();
        }
        false
    }
}

/// How the services of these tests treat endpoints: all is near, and lies are many.
pub(crate) fn patience() -> Patience {
    Patience {
        request: Duration::from_secs(2),
        rest: Duration::from_millis(50),
        penalty: Duration::from_millis(50),
        rest_max: Duration::from_millis(400),
        identity: Duration::from_secs(1),
    }
}

/// What the child does; a test that passes at once everywhere else.
#[test]
fn the_courier_itself() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders: Value = serde_json::from_str(&orders).unwrap();
    let text = |name: &str| orders[name].as_str().unwrap().to_owned();
    let bytes = |name: &str| hex::decode(text(name)).unwrap();
    let terms: BridgeConfig = decode(&bytes("terms"), 64 * 1024).unwrap();
    let gas_key = Secp256k1Key::from_secret_bytes(&bytes("gas_key")).unwrap();
    let account_key = SecretKey::ml_dsa_65(&bytes("account_seed").try_into().unwrap()).unwrap();
    let mut config = ServiceConfig::new(text("data"), &text("core"), terms);
    config.ethereum_rpc = vec![text("rpc")];
    config.poll = Duration::from_millis(50);
    config.patience = patience();
    let mut relayer = RelayerConfig::new(gas_key, account_key);
    relayer.attestors = serde_json::from_value(orders["attestors"].clone()).unwrap();
    relayer.release = orders["release"].as_bool().unwrap_or(true);
    // Blocks come with transactions: one that is not mined soon never was sent.
    relayer.bump_after = Duration::from_secs(2);
    config.relayer = Some(relayer);
    let faults = orders["dies_at"].as_str().map(|point| Arc::new(Dies(point.to_owned())) as Arc<dyn Faults>);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bridge = Bridge::open_in(config, World { faults, ..World::default() }).await.unwrap();
        std::fs::write(text("ready"), "ready").unwrap();
        panic!("the service ended: {}", bridge.ended().await);
    });
}
