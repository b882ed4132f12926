//! `dsm bridge` as a user has it: every verb, its JSON, its exit codes; and proof files, checked without any node.

use crate::program::DSM;
use crate::town::Town;
use dsm_contracts::DsmBridge;
use dsm_crypto::Secp256k1Key;
use dsm_qbft_shim::Anvil;
use serde_json::Value;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A wallet, an EVM key in a file, and the town that they belong to.
struct User<'t> {
    town: &'t Town,
    folder: TempDir,
    address: [u8; 20],
}

const ETHER: u128 = 1_000_000_000_000_000_000;

impl<'t> User<'t> {
    fn new(town: &'t Town) -> User<'t> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("passphrase"), "correct horse\n").unwrap();
        let key = Secp256k1Key::from_secret_bytes(&[0x33; 32]).unwrap();
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.create_new(true).write(true).mode(0o600).open(folder.path().join("evm-key")).unwrap();
        std::io::Write::write_all(&mut file, hex::encode([0x33; 32]).as_bytes()).unwrap();
        town.chain.send(town.chain.accounts()[0], Some(key.address()), &[], 10 * ETHER).unwrap();
        User { town, folder, address: key.address() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a verb with `--json`; its exit code and what it printed.
    fn run(&self, line: &str) -> (i32, Value) {
        self.run_at(&self.town.node.url, line)
    }

    fn run_at(&self, node: &str, line: &str) -> (i32, Value) {
        let output = Command::new(DSM)
            .args(line.split_whitespace())
            .args(["--json", "--node", node, "--wallet"])
            .arg(self.path("wallet"))
            .arg("--passphrase-file")
            .arg(self.path("passphrase"))
            .env("DSM_BRIDGE_ID", self.town.terms.id().to_string())
            .env("DSM_BRIDGE_ETHEREUM_RPC", self.town.shim.url())
            .env("DSM_BRIDGE_EVM_KEY", self.path("evm-key"))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let printed = serde_json::from_slice(&output.stdout);
        (output.status.code().unwrap(), printed.unwrap_or_else(|error| panic!("{line}: {error}: {output:?}")))
    }

    fn ok(&self, line: &str) -> Value {
        let (code, value) = self.run(line);
        assert_eq!(code, 0, "{line}: {value:#}");
        value
    }

    fn fails(&self, line: &str, exit: i32, codes: &[&str]) {
        check_failure(line, self.run(line), exit, codes);
    }

    /// Runs without any node: whoever asks one gets no answer.
    fn offline(&self, line: &str) -> (i32, Value) {
        self.run_at("http://127.0.0.1:9", line)
    }
}

fn check_failure(line: &str, (found, value): (i32, Value), exit: i32, codes: &[&str]) {
    let code = value["error"]["code"].as_str().unwrap_or_default();
    assert!(found == exit && (codes.is_empty() || codes.contains(&code)), "{line}: {found}: {value:#}");
    assert!(value["error"]["help"].is_string(), "{line}: {value:#}");
}

#[test]
fn a_user_locks_proves_submits_withdraws_and_releases() {
    if !Anvil::for_test("dsm bridge") {
        return;
    }
    let town = Town::build();
    let user = User::new(&town);
    user.ok("key new alice");
    user.ok("account create alice --key alice");

    let status = user.ok("bridge status");
    assert_eq!((status["locks"].as_u64(), status["trust"].as_str()), (Some(0), Some("qbft")), "{status:#}");
    assert_eq!(status["validators"].as_array().unwrap().len(), 4);
    assert_eq!(user.ok("bridge limits ether")["kind"], "ether");
    user.fails(
        "bridge deposit 1 0x4242424242424242424242424242424242424242 --to alice",
        1,
        &["unknown_asset"],
    );
    let deposit = user.ok("bridge deposit 0.5 ether --to alice");
    assert_eq!(
        (deposit["nonce"].as_u64(), deposit["amount"].as_str()),
        (Some(0), Some("500000000000000000"))
    );
    town.site.give(&town.chain, user.address, 100).unwrap();
    let deposit = user.ok(&format!("bridge deposit 100 0x{} --to alice", hex::encode(town.site.erc20)));
    assert_eq!((deposit["nonce"].as_u64(), deposit["kind"].as_str()), (Some(1), Some("ERC-20")));
    assert!(user.ok("bridge status --lock 1")["lock"].as_str().unwrap().contains("waits"));

    user.fails("bridge prove lock 7 --out none.proof", 1, &["lock_unknown", "lock_absent"]);
    for nonce in 0..2 {
        user.ok(&format!("bridge prove lock {nonce} --out lock-{nonce}.proof"));
    }
    check_lock_files(&user);

    for nonce in 0..2 {
        let submitted = user.ok(&format!("bridge submit lock-{nonce}.proof --as alice"));
        assert_eq!(submitted["outcome"], "accepted");
    }
    user.fails("bridge submit lock-0.proof --as alice", 1, &[]);
    user.fails("bridge submit lock-1.proof --as alice --refund", 1, &[]);
    user.ok("claim alice --all");
    assert_eq!(town.supply(town.ether), ETHER / 2);
    assert!(user.ok("bridge status --lock 1")["lock"].as_str().unwrap().contains("credited"));

    let payee = "0x9595959595959595959595959595959595959595";
    let withdraw = format!("bridge withdraw {} {} --from alice --to {payee}", ETHER / 5, town.ether);
    assert_eq!(user.ok(&withdraw)["outcome"], "accepted");
    user.fails(
        &format!("bridge withdraw {} {} --from alice --to {payee}", 9 * ETHER, town.ether),
        1,
        &["insufficient_funds"],
    );
    user.ok("bridge prove entry 0 --checkpoint --out entry.proof");
    check_entry_file(&user);

    user.fails("bridge release 0", 1, &["not_checkpointed"]);
    let courier = town.orders(1, &town.shim.url()).without_releases().start();
    town.wait("the attested checkpoint", || {
        town.site.ask(&town.chain, DsmBridge::latestCall {}).unwrap().size == 1
    });
    courier.kill();
    assert_eq!(user.ok("bridge release 0")["outcome"], "paid");
    assert_eq!(town.chain.balance([0x95; 20]).unwrap(), ETHER / 5);
    user.fails("bridge release 0", 1, &["evm_reverted"]);
    assert!(user.ok("bridge status --entry 0")["entry"].as_str().unwrap().contains("paid"));

    // Keys come from files that are nobody else's, and endpoints may be gone.
    std::fs::write(user.path("open-key"), hex::encode([0x33; 32])).unwrap();
    user.fails("bridge deposit 1 ether --to alice --evm-key open-key", 2, &["usage"]);
    user.fails("bridge status --rpc http://127.0.0.1:9", 3, &["evm_unreachable"]);
}

fn check_lock_files(user: &User<'_>) {
    let id = user.town.terms.id();
    let verified = |line: &str| {
        let (code, value) = user.offline(line);
        assert_eq!(code, 0, "{line}: {value:#}");
        value
    };
    let refused = |line: &str, exit, codes: &[&str]| check_failure(line, user.offline(line), exit, codes);
    let file = "bridge verify-proof lock-0.proof";
    refused(file, 2, &["usage"]);
    let shown = verified(&format!("{file} --bridge {id}"));
    assert_eq!((shown["verified"].as_str(), shown["nonce"].as_u64()), (Some("lock"), Some(0)));
    assert_eq!(shown["amount"], "500000000000000000");
    assert!(shown["checks"].as_array().unwrap().len() >= 4, "{shown:#}");

    let addresses = |set: Vec<[u8; 20]>| set.iter().map(hex::encode).collect::<Vec<_>>().join(",");
    let genuine = addresses(user.town.shim.validators(0));
    verified(&format!("{file} --validators {genuine} --chain-id 138"));
    let (_, status) = user.run("bridge status");
    std::fs::write(user.path("trusted.json"), status.to_string()).unwrap();
    verified(&format!("{file} --trusted trusted.json"));

    // B5, B8, B12: somebody else's validators, another bridge, contract or chain.
    let strangers = addresses((10..14).map(|one| dsm_qbft_shim::TestValidator::new(one).address()).collect());
    refused(&format!("{file} --validators {strangers}"), 4, &["qbft_overlap"]);
    refused(&format!("{file} --bridge {}", "11".repeat(32)), 4, &["other_bridge"]);
    refused(&format!("{file} --bridge {id} --contract 0x{}", "42".repeat(20)), 4, &["other_contract"]);
    refused(&format!("{file} --bridge {id} --chain-id 1"), 4, &["other_chain"]);
    refused("bridge verify-proof passphrase --node-key 00", 4, &["proof_file_magic"]);

    // A bit of a byte flipped, all over the file; each copy is refused, and says by which check.
    let bytes = std::fs::read(user.path("lock-0.proof")).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (at % 8);
        std::fs::write(user.path("altered.proof"), altered).unwrap();
        refused(&format!("bridge verify-proof altered.proof --bridge {id}"), 4, &[]);
    }
    std::fs::write(user.path("altered.proof"), &bytes[..bytes.len() / 2]).unwrap();
    refused(&format!("bridge verify-proof altered.proof --bridge {id}"), 4, &["proof_file_malformed"]);
}

fn check_entry_file(user: &User<'_>) {
    let (_, status) = user.run("status");
    std::fs::write(user.path("node.json"), status.to_string()).unwrap();
    let file = "bridge verify-proof entry.proof";
    let (code, shown) = user.offline(&format!("{file} --node-key node.json"));
    assert_eq!((code, shown["verified"].as_str()), (0, Some("outbox")), "{shown:#}");
    assert!(shown["says"].as_str().unwrap().contains("200000000000000000"), "{shown:#}");
    check_failure(file, user.offline(file), 2, &["usage"]);
    let other = hex::encode(dsm_abi::encode(&dsm_abi::Suite::MlDsa65)) + &"ab".repeat(1952);
    std::fs::write(user.path("other.hex"), &other).unwrap();
    let line = format!("{file} --node-key {other}");
    check_failure(&line, user.offline(&line), 4, &["checkpoint_not_signed"]);
    let bytes = std::fs::read(user.path("entry.proof")).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 20) {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (at % 8);
        std::fs::write(user.path("altered.proof"), altered).unwrap();
        let line = "bridge verify-proof altered.proof --node-key node.json";
        check_failure(line, user.offline(line), 4, &[]);
    }
}
