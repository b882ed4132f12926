//! The command line against a node in another process: every verb, its JSON and its exit code.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

mod program;

use program::{DSM, RunningNode, replay};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A wallet and the node that it speaks to.
struct Shell {
    folder: TempDir,
    url: String,
}

impl Shell {
    fn new(url: &str) -> Shell {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("passphrase"), "correct horse\n").unwrap();
        Shell { folder, url: url.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a verb with `--json`; its exit code and the value that it printed.
    fn run(&self, line: &str) -> (i32, Value) {
        self.run_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The same, with words that may have spaces inside.
    fn run_words(&self, words: &[&str]) -> (i32, Value) {
        let line = words.join(" ");
        let output = Command::new(DSM)
            .args(words)
            .args(["--json", "--node", &self.url, "--wallet"])
            .arg(self.path("wallet"))
            .arg("--passphrase-file")
            .arg(self.path("passphrase"))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let printed = serde_json::from_slice(&output.stdout);
        let printed = printed.unwrap_or_else(|error| panic!("{line}: {error}: {output:?}"));
        (output.status.code().unwrap(), printed)
    }

    /// Runs a verb that must do what it was asked.
    fn ok(&self, line: &str) -> Value {
        let (code, value) = self.run(line);
        assert_eq!(code, 0, "{line}: {value:#}");
        value
    }

    /// Runs a verb that must fail with this exit code and this stable code, a sentence and a way out.
    fn fails(&self, line: &str, exit: i32, code: &str) -> Value {
        let (found, value) = self.run(line);
        let error = &value["error"];
        assert_eq!((found, error["code"].as_str()), (exit, Some(code)), "{line}: {value:#}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{line}: {value:#}");
        assert!(error["help"].is_string(), "{line}: {value:#}");
        value
    }

    /// Text instead of JSON: what people see.
    fn text(&self, line: &str) -> String {
        let output = Command::new(DSM)
            .args(line.split_whitespace())
            .args(["--node", &self.url, "--wallet"])
            .arg(self.path("wallet"))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn module(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/dist").join(name);
    path.canonicalize().unwrap().display().to_string()
}

/// Keys and accounts for alice, bob and an issuing desk with two keys.
fn open_accounts(shell: &Shell) {
    for name in ["alice", "bob", "desk-1", "desk-2"] {
        let key = shell.ok(&format!("key new {name}"));
        assert_eq!((key["name"].as_str(), key["suite"].as_str()), (Some(name), Some("ml-dsa-65")));
    }
    assert_eq!(shell.ok("key new author --suite ed25519+ml-dsa-65")["suite"], "ed25519+ml-dsa-65");
    shell.fails("key new alice", 1, "key_exists");
    shell.ok("account create alice --key alice");
    shell.ok("account create bob --key bob");
    let desk = shell.ok("account create desk --key desk-1:1 --key desk-2:2");
    assert_eq!(desk["outcome"], "accepted");
    assert_eq!(desk["receipt"]["durability"], "local");
    shell.fails("account create desk --key desk-1", 1, "account_exists");
    assert_eq!(shell.ok("account list")["accounts"].as_array().unwrap().len(), 3);
    assert_eq!(shell.ok("account list --all")["accounts"].as_array().unwrap().len(), 3);
    assert_eq!(shell.ok("key list")["keys"].as_array().unwrap().len(), 5);
}

/// Publishes the policy `fungible` and creates GOLD with two decimals under it.
fn create_gold(shell: &Shell) -> String {
    let wasm = module("fungible.wasm");
    assert_eq!(shell.ok(&format!("policy check {wasm}"))["name"], "fungible");
    assert_eq!(shell.ok(&format!("policy inspect {wasm}"))["policy"], Value::Null);
    let published =
        shell.ok(&format!("policy publish {wasm} --as desk --author author --package-to package"));
    assert_eq!(shell.ok("policy check package")["signed"], true);
    let inspected = shell.ok("policy inspect fungible");
    assert_eq!(inspected["policy"], published["policy"]);
    let gold = shell.ok("token create GOLD --as desk --policy fungible --decimals 2 --cap 1000000.00 \
         --param authorities=desk-1,desk-2 --param threshold=2 --param supply_max=0");
    gold["token"].as_str().unwrap().to_owned()
}

#[test]
fn from_a_key_to_a_claim() {
    let data = tempfile::tempdir().unwrap();
    let node = RunningNode::start(data.path());
    let shell = Shell::new(&node.url);
    assert_eq!(shell.ok("status")["network"]["network"], node.banner["network"]);
    open_accounts(&shell);
    let gold = create_gold(&shell);
    assert_eq!(shell.ok("token list")["tokens"][0]["symbol"], "GOLD");

    let denied = shell.fails("token mint 500.00 gold --as desk --to alice", 1, "policy_denied");
    assert_eq!(denied["error"]["problem"]["denial"]["code"], 101);
    shell.ok("token mint 500.00 gold --as desk --to alice --sign-key desk-1 --sign-key desk-2");
    assert_eq!(shell.ok("inbox alice")["credits"][0]["amount"], "50000");
    shell.ok("claim alice --all");
    assert_eq!(shell.ok("account show alice")["balances"][0]["balance"], "50000");

    let paid = shell.ok("transfer 12.50 gold --from alice --to bob --memo lunch");
    let credit = paid["receipt"]["credits"][0]["credit"].as_str().unwrap().to_owned();
    assert_eq!(paid["receipt"]["credits"][0]["amount"], "1250");
    shell.fails(&format!("claim alice {credit}"), 1, "not_recipient");
    shell.ok(&format!("claim bob {credit}"));
    shell.ok("transfer 50 gold --from bob --to alice --cosign alice");
    assert_eq!(shell.ok("account show bob")["balances"][0]["balance"], "1200");
    shell.fails("transfer 500.00 gold --from alice --to bob", 1, "insufficient_funds");

    holds_and_calls(&shell);
    transitions(&shell, paid["receipt"]["transition"].as_str().unwrap());
    proofs(&shell, &node, &gold);
    assert_eq!(node.terminate(), Some(0));
    assert!(replay(data.path())["transitions"].as_u64().unwrap() >= 15);
    shell.fails("status", 3, "unreachable");
}

fn holds_and_calls(shell: &Shell) {
    let held = shell.ok("token hold 400.00 gold --from alice --beneficiary bob --kind pledge");
    let hold = held["receipt"]["holds"][0].as_str().unwrap();
    shell.fails("transfer 100.00 gold --from alice --to bob", 1, "under_hold");
    shell.fails(&format!("token release {hold} --as alice"), 1, "hold_not_permitted");
    simulated_holds(shell, hold);
    shell.ok(&format!("token release {hold} --as bob"));
    let held =
        shell.ok("token hold 1.00 gold --from alice --beneficiary bob --kind pledge --expires-in 3600");
    shell.ok(&format!("token execute {} --as bob", held["receipt"]["holds"][0].as_str().unwrap()));
    let both = "--sign-key desk-1 --sign-key desk-2";
    shell.ok(&format!("token invoke gold pause --as desk {both}"));
    assert_eq!(shell.ok("token view gold paused")["fields"][0]["value"]["bool"], true);
    shell.fails("token burn 1 gold --from alice", 1, "policy_denied");
    shell.ok(&format!("token invoke gold unpause --as desk {both}"));
    shell.ok("token burn 1 gold --from alice");
    shell.fails("token invoke gold fly --as desk", 2, "usage");
    shell.fails("token invoke gold freeze --as desk", 2, "usage");
    assert_eq!(shell.ok("token show gold")["state"]["supply"], "49999");
}

/// A hold of the node's, named by its id: in this wallet, or with its owner.
fn simulated_holds(shell: &Shell, hold: &str) {
    let alice = shell.ok("account show alice")["account"].as_str().unwrap().to_owned();
    let none = "0".repeat(64);
    for (operation, expected) in [
        (format!("release hold={hold} by=bob"), (0, "accept")),
        (format!("execute hold={hold} owner={alice} by=bob"), (0, "accept")),
        (format!("release hold={hold} owner=bob by=bob"), (1, "unknown_hold")),
        (format!("release hold={none} by=bob"), (1, "unknown_hold")),
        ("release hold=it by=bob".to_owned(), (2, "usage")),
    ] {
        let (exit, value) = shell.run_words(&["policy", "simulate", "--token", "gold", "--op", &operation]);
        let word = if exit == 0 { &value["verdict"] } else { &value["error"]["code"] };
        assert_eq!((exit, word.as_str()), (expected.0, Some(expected.1)), "{operation}: {value:#}");
    }
}

fn transitions(shell: &Shell, transition: &str) {
    let shown = shell.ok(&format!("tx show {transition} --bytes-to paid"));
    assert_eq!(shown["operations"][0]["operation"], "transfer");
    assert_eq!(shell.ok(&format!("tx receipt {transition}"))["transition"], transition);
    assert_eq!(shell.ok("tx decode paid")["transition"], transition);
    // The same bytes again: the original receipt.
    assert_eq!(shell.ok("tx submit paid")["receipt"], shell.ok(&format!("tx receipt {transition}")));

    let signed = shell.ok("transfer 1 gold --from alice --to bob --sign-to later");
    assert_eq!(signed["outcome"], "signed");
    let later = shell.ok("tx submit later");
    assert_eq!(later["receipt"]["transition"], signed["transition"]);
    // The wallet submits what it has signed before it signs anything else, and then does nothing else.
    shell.ok("transfer 1 gold --from alice --to bob --sign-to later");
    shell.fails("transfer 2 gold --from alice --to bob", 1, "pending_accepted");
    shell.ok("transfer 2 gold --from alice --to bob");

    shell.ok("key new alice-2");
    shell.ok("account rotate alice --key alice-2");
    shell.ok("transfer 3 gold --from alice --to bob");
    let history = shell.ok("account history alice");
    assert!(history["items"].as_array().unwrap().len() >= 9);
    assert_eq!(history["equivocations"].as_array().unwrap().len(), 0);
    std::fs::write(shell.path("rubbish"), b"rubbish").unwrap();
    shell.fails("tx decode rubbish", 4, "malformed_bytes");
}

fn proofs(shell: &Shell, node: &RunningNode, gold: &str) {
    let taken = shell.ok("checkpoint --take --out checkpoint");
    assert_eq!(shell.ok("checkpoint")["id"], taken["id"]);
    shell.ok("prove account alice --out account-proof");
    assert_eq!(shell.ok("prove asset bob gold --out asset-proof")["kind"], "asset_proof");
    shell.ok(&format!("prove token {gold} --out token-proof"));
    std::fs::write(shell.path("node"), node.banner.to_string()).unwrap();
    for (file, verified) in [
        ("checkpoint", "checkpoint"),
        ("account-proof", "account"),
        ("asset-proof", "asset"),
        ("token-proof", "token"),
    ] {
        assert_eq!(shell.ok(&format!("verify {file} --trust node"))["verified"], verified);
        shell.fails(&format!("verify {file}"), 2, "usage");
    }
    let other = shell.path("wallet/keys/bob.json");
    shell.fails(&format!("verify asset-proof --trust {}", other.display()), 4, "checkpoint_not_signed");
    // One digit of the proof's bytes is another: the words beside it stay as they were.
    let text = std::fs::read_to_string(shell.path("asset-proof")).unwrap();
    let mut proof: Value = serde_json::from_str(&text).unwrap();
    let mut digits = proof["proof"].as_str().unwrap().to_owned();
    let last = if digits.ends_with('0') { "1" } else { "0" };
    digits.replace_range(digits.len() - 1.., last);
    proof["proof"] = digits.into();
    std::fs::write(shell.path("altered"), proof.to_string()).unwrap();
    let (code, value) = shell.run("verify altered --trust node");
    assert_eq!(code, 4, "{value:#}");
    shell.fails("verify passphrase --trust node", 4, "not_a_proof");
}

/// Creates a token that alice owns, bob operates and the desk's first key guards; the policy at 1 limits transfers to
/// 100, and 1,000 units are alice's.
fn create_ruled(shell: &Shell, symbol: &str, delay_ms: u64, upgrades: &str) -> Value {
    let created = shell.ok(&format!(
        "token create {symbol} --as alice --policy governance --policy spend-limit {upgrades} \
         --param owners=alice --param owners_min=1 --param operators=bob --param operators_min=1 \
         --param guardians=desk-1 --param guardians_min=1 --param delay_ms={delay_ms} --param 0.transfer_max=0 \
         --param supply_max=0 --param 1.transfer_max=100 --param daily_max=0 --param authorities= --param threshold=0"
    ));
    shell.ok(&format!("token mint 1000 {} --as alice --to alice --cosign bob", symbol.to_lowercase()));
    created
}

#[test]
fn policies_are_replaced_as_slowly_as_the_token_says_or_never() {
    const WEEK_MS: u64 = 604_800_000;
    let data = tempfile::tempdir().unwrap();
    let node = RunningNode::start(data.path());
    let shell = Shell::new(&node.url);
    open_accounts(&shell);
    shell.ok("key new carol");
    shell.ok("account create carol --key carol");
    for name in ["governance", "spend-limit", "fungible"] {
        let module = module(&format!("{name}.wasm"));
        shell.ok(&format!("policy publish {module} --as desk --author author"));
    }
    for wrong in ["--upgrades-by 0", "--upgrade-delay 7d", "--upgrades-by 0 --upgrade-delay soon"] {
        shell.fails(&format!("token create X --as alice --policy fungible {wrong}"), 2, "usage");
    }
    let fungible = "--policy fungible --param authorities=carol --param threshold=1 --param supply_max=0";
    shell.fails(
        &format!("token create X --as alice {fungible} --upgrades-by 1 --upgrade-delay 7d"),
        2,
        "usage",
    );

    // Without a word about upgrades: never.
    create_ruled(&shell, "FIXED", 1, "");
    let shown = shell.ok("token show fixed");
    assert_eq!((&shown["upgrades"], &shown["waiting"]), (&Value::Null, &serde_json::json!([])));
    assert!(shell.text("token show fixed").contains("never: these policies are for good"));
    let schedule =
        |token: &str| format!("token schedule-upgrade {token} 1 --anew {fungible} --as alice --cosign bob");
    shell.fails(&schedule("fixed"), 2, "usage");

    // A week: everybody sees it, nobody can hurry it, the guardians stop it.
    create_ruled(&shell, "SLOW", WEEK_MS, "--upgrades-by 0 --upgrade-delay 7d");
    let scheduled = shell.ok(&schedule("slow"));
    assert_eq!(scheduled["to"]["name"], "fungible");
    let shown = shell.ok("token show slow");
    assert_eq!(shown["upgrades"], serde_json::json!({ "by": 0, "delay_ms": WEEK_MS }));
    let waiting = &shown["waiting"][0];
    assert_eq!((&waiting["policy_index"], &waiting["name"]), (&1.into(), &"fungible".into()));
    assert_eq!(waiting["params"][1], serde_json::json!({ "name": "threshold", "value": { "u64": "1" } }));
    assert_eq!(waiting["due_ms"], scheduled["due_ms"]);
    assert!(waiting["due_ms"].as_u64() >= Some(shown["time_ms"].as_u64().unwrap() + WEEK_MS));
    let text = shell.text("token show slow");
    assert!(text.contains("policy 0 (governance) may replace policies, each at least 7d after"), "{text}");
    assert!(text.contains("policy 1 can become fungible"), "{text}");
    let told = shell.text(&format!("tx show {}", scheduled["receipt"]["transition"].as_str().unwrap()));
    assert!(told.contains("scheduled"), "{told}");
    let early = shell.fails("token upgrade slow 1 --as carol", 1, "upgrade_not_due");
    assert!(
        early["error"]["help"].as_str().unwrap().starts_with("it can be put in force from 20"),
        "{early:#}"
    );
    shell.ok("token invoke slow veto_upgrade 1 --as desk --sign-key desk-1");
    shell.fails("token upgrade slow 1 --as carol", 1, "no_upgrade");

    // A millisecond: a stranger puts it in force, and the policy that came judges.
    create_ruled(&shell, "QUICK", 1, "--upgrades-by 0 --upgrade-delay 1ms");
    let denied = shell.fails("transfer 101 quick --from alice --to bob", 1, "policy_denied");
    assert_eq!(denied["error"]["problem"]["denial"]["code"], 100);
    shell.ok(&schedule("quick"));
    let upgraded = shell.ok("token upgrade quick 1 --as carol");
    let shown = shell.ok("token show quick");
    assert_eq!(
        (&shown["policies"][1]["name"], &shown["waiting"]),
        (&"fungible".into(), &serde_json::json!([]))
    );
    assert_eq!(shown["state"]["policies"][1], shown["policies"][1]["policy"]);
    shell.ok("transfer 101 quick --from alice --to bob");
    let denied = shell.fails("token mint 1 quick --as alice --to alice --cosign bob", 1, "policy_denied");
    assert_eq!(denied["error"]["problem"]["denial"]["code"], 101);
    // One that has no rule for taking over refuses, and the one before goes on.
    shell.ok(
        "token schedule-upgrade quick 1 --anew --policy spend-limit --param transfer_max=0 --param daily_max=0 \
         --param authorities= --param threshold=0 --as alice --cosign bob",
    );
    shell.fails("token upgrade quick 1 --as carol", 1, "policy_denied");
    assert_eq!(shell.ok("token show quick")["policies"], shown["policies"]);

    from_what_is_in_force(&shell);

    // What it left: for a stranger with a file, for a node from a backup.
    shell.ok("checkpoint --take");
    std::fs::write(shell.path("node"), node.banner.to_string()).unwrap();
    let transition = upgraded["receipt"]["transition"].as_str().unwrap();
    shell.ok(&format!("evidence export --transition {transition} --out evidence"));
    assert!(shell.ok("evidence verify evidence --trust node")["transitions"].is_array());
    shell.ok("backup create archive");
    assert_eq!(node.terminate(), Some(0));
    let (key, elsewhere) = (shell.path("node.key"), shell.path("elsewhere"));
    let (key, elsewhere) = (key.display(), elsewhere.display());
    shell.ok(&format!("node key export --data {} --to {key}", data.path().display()));
    let restored = shell.ok(&format!("backup restore archive --key {key} --data {elsewhere}"));
    let report = replay(data.path());
    for name in ["position", "log_digest", "accounts_root", "tokens_root"] {
        assert_eq!(restored["replay"][name], report[name], "{name}");
    }
}

/// QUICK's governance gets another guardian and keeps the rest. What a policy that comes does not know is told by name,
/// whether it is in force or given.
fn from_what_is_in_force(shell: &Shell) {
    let by = "--as alice --cosign bob";
    for (wrong, told) in [
        ("0 --policy spend-limit --param threshold=0", "owners, owners_min, operators,"),
        ("0 --policy governance --param wings=2 --param guardians=carol --param fins=1", "wings, fins"),
        ("0 --policy governance --anew --param guardians=carol", "the parameter owners"),
    ] {
        let failed = shell.fails(&format!("token schedule-upgrade quick {wrong} {by}"), 2, "usage");
        assert!(failed["error"]["message"].as_str().unwrap().contains(told), "{failed:#}");
    }
    let before = shell.ok("token show quick")["policies"][0].clone();
    let line = format!("token schedule-upgrade quick 0 --policy governance --param guardians=carol {by}");
    let to = shell.ok(&line)["to"].clone();
    let mut wanted = before["params"].clone();
    let carol = shell.ok("account show carol")["keys"]["keys"][0]["key"].clone();
    let guardians = wanted.as_array_mut().unwrap().iter_mut().find(|one| one["name"] == "guardians").unwrap();
    guardians["value"] = serde_json::json!({ "keys": [carol] });
    assert_eq!((&to["policy"], &to["params"]), (&before["policy"], &wanted));
    shell.ok("token upgrade quick 0 --as carol");
    assert_eq!(shell.ok("token show quick")["policies"][0], to);
}

#[test]
fn credentials_and_preimages_are_made_on_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let node = RunningNode::start(data.path());
    let shell = Shell::new(&node.url);
    open_accounts(&shell);
    shell.ok(&format!("policy publish {} --as desk --author author", module("credential-gate.wasm")));
    let terms = "--param issuers=desk --param schema=kyc/1 --param admins=desk-1";
    shell.ok(&format!("token create CLUB --as desk --policy credential-gate {terms}"));

    let card = "evidence credential --subject alice --schema kyc/1 --as desk";
    let many = " --claim a=b".repeat(17);
    let long = format!("evidence credential --subject alice --schema {} --as desk", "s".repeat(65));
    for wrong in [
        format!("{card} --out card"),
        format!("{card} --valid-for soon --out card"),
        format!("{card} --valid-for 1d --out card --claim country"),
        format!("{card} --valid-for 1d --out card --claim =LU"),
        format!("{card} --valid-for 1d --out card --claim level:u65=2"),
        format!("{card} --valid-for 1d --out card --claim level:u64=two"),
        format!("{card} --valid-for 1d --out card{many}"),
        format!("{long} --valid-for 1d --out card"),
    ] {
        shell.fails(&wrong, 2, "usage");
    }
    let made = shell.ok(&format!("{card} --valid-for 1d --claim country=LU --claim level:u64=2 --out card"));
    let named = |name: &str, value: Value| serde_json::json!({ "name": name, "value": value });
    let claims = [
        named("country", serde_json::json!({ "text": "LU" })),
        named("level", serde_json::json!({ "u64": "2" })),
    ];
    assert_eq!((&made["evidence"], &made["claims"]), (&"credential".into(), &Value::from(claims.to_vec())));
    assert_eq!(shell.ok("evidence show card"), made);
    shell.fails(&format!("{card} --valid-for 1d --out card"), 1, "file_exists");

    // It is about alice, and counts until the desk takes it back.
    for refused in ["--as alice", "--as bob --evidence card"] {
        let denied = shell.fails(&format!("token invoke club admit {refused}"), 1, "policy_denied");
        assert_eq!(denied["error"]["problem"]["denial"]["code"], 104);
    }
    for _ in 0..2 {
        shell.ok("token invoke club admit --as alice --evidence card");
    }
    preimages(&shell);
    shell.ok(&format!("token invoke club revoke {} --as desk", made["serial"].as_str().unwrap()));
    let standing = shell.ok("token view club standing alice");
    assert_eq!(standing["fields"][1]["value"]["text"], "revoked");
    assert_eq!(node.terminate(), Some(0));
}

/// Digests are those of the standards, and the node takes a preimage once, whoever shows it to whatever policy.
fn preimages(shell: &Shell) {
    for (hash, digest) in [
        ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("keccak256", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        ("blake3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
    ] {
        let made = shell.ok(&format!("evidence preimage --hash {hash} --text abc --out {hash}"));
        assert_eq!((&made["evidence"], made["digest"].as_str()), (&"hash_preimage".into(), Some(digest)));
        let show = format!("token invoke club admit --as alice --evidence card --evidence {hash}");
        shell.ok(&show);
        shell.fails(&show, 1, "evidence_consumed");
    }
    let mut bytes = std::fs::read(shell.path("sha256")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(shell.path("other"), bytes).unwrap();
    shell.fails("token invoke club admit --as alice --evidence card --evidence other", 1, "bad_evidence");
    shell.fails(&format!("evidence preimage --payload {} --out long", "00".repeat(1025)), 2, "usage");
    shell.fails("evidence preimage --out none", 2, "usage");
}

#[test]
fn exit_codes_and_words_without_a_node() {
    let shell = Shell::new("http://127.0.0.1:9");
    shell.fails("status", 3, "unreachable");
    shell.fails("key show nobody", 1, "unknown_key_name");
    shell.fails("account show nobody", 1, "unknown_account_name");
    shell.fails("key new Alice", 2, "usage");
    shell.fails("fly", 2, "usage");
    for wrong in ["nowhere", "127.0.0.1", "127.0.0.1:99999"] {
        let rows = [
            format!("node --listen {wrong} --p2p none"),
            format!("node --listen 127.0.0.1:0 --p2p {wrong}"),
            format!("demo --listen {wrong}"),
            format!("config set --offline --listen {wrong}"),
            format!("config set --offline --p2p {wrong}"),
        ];
        rows.iter().for_each(|line| drop(shell.fails(line, 2, "usage")));
        assert!(!shell.path("data").exists(), "nothing was opened and nothing kept");
    }
    shell.fails("token mint", 2, "usage");
    assert!(shell.ok("completions bash")["script"].as_str().unwrap().contains("_dsm"));
    assert!(shell.text("completions zsh").starts_with("#compdef dsm"));
    let broken = shell.path("broken.wasm");
    std::fs::write(&broken, b"\0asm\x01\0\0\0\xff").unwrap();
    let refused = shell.fails(&format!("policy check {}", broken.display()), 1, "module_refused");
    assert!(!refused["error"]["findings"].as_array().unwrap().is_empty());
    for line in ["", "fly", "transfer", "replay --data .", "account create x", "claim alice"] {
        let code = Command::new(DSM).args(line.split_whitespace()).output().unwrap().status.code();
        assert_eq!(code, Some(2), "dsm {line}");
    }
    for line in ["--help", "--version", "token --help", "demo --help"] {
        let output = Command::new(DSM).args(line.split_whitespace()).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "dsm {line}");
    }
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let shell = Shell::new("http://127.0.0.1:9");
    shell.ok("key new alice");
    let path = shell.path("wallet/keys/alice.json");
    assert!(!std::fs::read_to_string(&path).unwrap().contains("correct horse"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let data = tempfile::tempdir().unwrap();
    let node = RunningNode::start(data.path());
    let shell = Shell { url: node.url.clone(), ..shell };
    std::fs::write(shell.path("passphrase"), "another horse\n").unwrap();
    shell.fails("account create alice --key alice", 1, "passphrase");
    std::fs::write(shell.path("passphrase"), "").unwrap();
    shell.fails("account create alice --key alice", 2, "usage");
    std::fs::write(shell.path("passphrase"), "correct horse\n").unwrap();
    shell.ok("account create alice --key alice");
    node.kill();
}

#[test]
fn the_demonstration_goes_as_told() {
    let output = Command::new(DSM).args(["demo", "--exit", "--json"]).output().unwrap();
    let told: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!((output.status.code(), &told["ok"]), (Some(0), &Value::Bool(true)), "{told:#}");
    let steps = told["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 13);
    let events = |step: &Value| step["events"].as_array().unwrap().clone();
    let levels = receipts_levels(steps);
    assert!(levels.iter().all(|level| level == "replicated:2" || level == "primary"), "{levels:?}");
    assert_eq!(levels.iter().filter(|level| *level == "primary").count(), 1, "while the replica is stopped");
    let codes: Vec<String> = steps
        .iter()
        .flat_map(events)
        .filter(|event| event["event"] == "refused")
        .map(|event| event["code"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "policy_denied",
        "policy_denied",
        "policy_denied",
        "policy_denied",
        "policy_denied",
        "conflict",
        "bad_signature",
    ];
    assert_eq!(codes, expected);
    // The temporary directory is gone.
    assert!(!Path::new(told["data"].as_str().unwrap()).exists());
}

/// The levels that the receipts of a story say.
fn receipts_levels(steps: &[Value]) -> Vec<String> {
    let events = steps.iter().flat_map(|step| step["events"].as_array().unwrap());
    let accepted = events.filter(|event| event["event"] == "accepted");
    accepted.map(|event| event["receipt"]["durability"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_demonstration_without_storage_nodes_says_so_in_its_receipts() {
    let output = Command::new(DSM).args(["demo", "--exit", "--json", "--storage", "none"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = told["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 11);
    assert!(receipts_levels(steps).iter().all(|level| level == "local"));
}

#[test]
fn the_demonstration_keeps_its_data_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output =
            Command::new(DSM).args(["demo", "--exit", "--data"]).arg(folder.path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("13 steps went as told"), "{text}");
        assert!(!text.contains('\u{1b}'), "colours only on a terminal");
    }
    assert_eq!(replay(&folder.path().join("core"))["equivocations"], 2);
}
