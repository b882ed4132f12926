//! Policies and evidence that travel as files: signed on one machine, published or shown on another, moved, compared;
//! and what a new project's files are good for.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

#[allow(dead_code)]
mod program;

use dsm_host::trial::{MutateError, mutate};
use dsm_sdk::cases::{Case, Expectation, write_cases};
use program::{DSM, RunningNode};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A wallet in a folder of its own, and the node that it would speak to.
struct Desk {
    folder: TempDir,
    url: String,
}

impl Desk {
    fn new(url: &str) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("passphrase"), "correct horse\n").unwrap();
        Desk { folder, url: url.to_owned() }
    }

    /// Nobody answers there: what works with this desk works without a node.
    fn offline() -> Desk {
        Desk::new("http://127.0.0.1:9")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(DSM);
        command
            .args(line.split_whitespace())
            .args(["--node", &self.url, "--wallet"])
            .arg(self.path("wallet"))
            .arg("--passphrase-file")
            .arg(self.path("passphrase"))
            .current_dir(self.folder.path());
        command
    }

    fn ok(&self, line: &str) -> Value {
        let output = self.command(line).arg("--json").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Must fail with this exit code and this stable code, a sentence and a way out.
    fn fails(&self, line: &str, exit: i32, code: &str) {
        let output = self.command(line).arg("--json").output().unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        let error = &value["error"];
        assert_eq!(
            (output.status.code(), error["code"].as_str()),
            (Some(exit), Some(code)),
            "{line}: {value:#}"
        );
        assert!(error["help"].is_string(), "{line}: {value:#}");
    }

    fn text(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn module(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies").join(name);
    path.canonicalize().unwrap().display().to_string()
}

#[test]
fn a_policy_signed_on_one_machine_is_published_by_another() {
    let author = Desk::offline();
    author.ok("key new author --suite ed25519+ml-dsa-65");
    let wasm = module("dist/spend-limit.wasm");
    let signed = author.ok(&format!("policy sign {wasm} --author author --out limit.pkg --license MIT"));
    let inspected = author.ok("policy inspect limit.pkg");
    assert_eq!((inspected["form"].as_str(), &inspected["policy"]), (Some("package"), &signed["policy"]));
    assert_eq!(
        (inspected["license"].as_str(), inspected["suite"].as_str()),
        (Some("MIT"), Some("ed25519+ml-dsa-65"))
    );
    assert_eq!(inspected["author"], signed["author"]);
    let exported = author.ok("policy export limit.pkg --out limit.car");
    assert_eq!(exported["policy"], signed["policy"]);
    assert_eq!(author.ok("policy check limit.car")["signed"], true);
    assert_eq!(author.ok("policy inspect limit.car")["form"], "car");
    // The file is the same, whatever it was written from.
    author.ok("policy export limit.car --out again.car");
    assert_eq!(
        std::fs::read(author.path("limit.car")).unwrap(),
        std::fs::read(author.path("again.car")).unwrap()
    );
    let words = author.text("policy inspect limit.car");
    for said in
        ["a CAR file, signed by its author", "verified", "set_limits", "over_daily_limit", "it may not"]
    {
        assert!(words.contains(said), "{said:?} is missing in:\n{words}");
    }

    let data = tempfile::tempdir().unwrap();
    let node = RunningNode::start(data.path());
    let publisher = Desk::new(&node.url);
    publisher.ok("key new bank");
    publisher.ok("account create bank --key bank");
    for file in ["limit.pkg", "limit.car"] {
        std::fs::copy(author.path(file), publisher.path(file)).unwrap();
    }
    publisher.fails("policy publish limit.car --as bank --author bank", 2, "usage");
    let published = publisher.ok("policy publish limit.car --as bank");
    assert_eq!((&published["policy"], &published["author"]), (&signed["policy"], &signed["author"]));
    publisher.fails("policy publish limit.pkg --as bank", 1, "policy_exists");
    let again = publisher.command("policy publish limit.pkg --as bank").output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("another `version`"), "{again:?}");
    let cid = published["policy"].as_str().unwrap();
    for name in ["spend-limit", cid] {
        let inspected = publisher.ok(&format!("policy inspect {name}"));
        assert_eq!(
            (inspected["form"].as_str(), inspected["publisher_name"].as_str()),
            (Some("published"), Some("bank"))
        );
        assert_eq!(inspected["author"], signed["author"]);
    }
    // What a node gives back is the file that the author exported.
    publisher.ok(&format!("policy export {cid} --out from-node.car"));
    assert_eq!(
        std::fs::read(publisher.path("from-node.car")).unwrap(),
        std::fs::read(author.path("limit.car")).unwrap()
    );
    // The twin in C describes itself alike and has another module.
    let diff = publisher.ok(&format!("policy diff {cid} {}", module("dist-c/spend-limit.wasm")));
    assert_eq!(diff["same_module"], false);
    let changed: Vec<_> = diff["changes"].as_array().unwrap().iter().map(|change| &change["what"]).collect();
    assert!(changed.iter().all(|what| *what == "document"), "{diff:#}");
}

#[test]
fn what_is_not_what_it_says_is_refused_in_words() {
    let desk = Desk::offline();
    desk.ok("key new author");
    let wasm = module("dist/fungible.wasm");
    desk.ok(&format!("policy sign {wasm} --author author --out good.pkg"));
    desk.ok("policy export good.pkg --out good.car");
    let bytes = |name: &str| std::fs::read(desk.path(name)).unwrap();
    let before = (bytes("good.pkg"), bytes("good.car"));
    desk.fails(&format!("policy sign {wasm} --author author --out good.pkg"), 1, "file_exists");
    desk.fails("policy export good.pkg --out good.car", 1, "file_exists");
    desk.fails("policy export good.pkg --out good.pkg", 1, "file_exists");
    assert_eq!((bytes("good.pkg"), bytes("good.car")), before);
    desk.ok(&format!("policy sign {wasm} --author author --out good.pkg --force"));
    assert_ne!(bytes("good.pkg"), before.0, "hedged signatures differ");
    desk.ok("policy export good.pkg --out good.car --force");
    let write = |name: &str, bytes: &[u8]| std::fs::write(desk.path(name), bytes).unwrap();
    let (package, car) =
        (std::fs::read(desk.path("good.pkg")).unwrap(), std::fs::read(desk.path("good.car")).unwrap());
    let flipped = |bytes: &[u8], at: usize| {
        let mut altered = bytes.to_vec();
        altered[at] ^= 1;
        altered
    };
    write("module.car", &flipped(&car, car.len() / 2));
    write("frame.car", &flipped(&car, 9));
    write("cut.car", &car[..car.len() - 1]);
    write("short.car", &car[..100]);
    write("module.pkg", &flipped(&package, 100));
    write("signature.pkg", &flipped(&package, package.len() - 9));
    write("text", b"not a policy");
    write("long", &vec![0; 1 << 20]);
    let rows = [
        ("module.car", 4, "car_cid_mismatch"),
        ("frame.car", 4, "car_malformed"),
        ("cut.car", 4, "car_malformed"),
        ("short.car", 4, "car_incomplete"),
        ("module.pkg", 4, "module_cid_mismatch"),
        ("signature.pkg", 4, "policy_bad_signature"),
        ("text", 4, "package_malformed"),
        ("nothing-here", 2, "usage"),
        ("long", 2, "usage"),
    ];
    for (file, exit, code) in rows {
        desk.fails(&format!("policy check {file}"), exit, code);
    }
    for verb in ["inspect", "export --out x.car"] {
        desk.fails(&format!("policy {verb} module.car"), 4, "car_cid_mismatch");
    }
    desk.fails(&format!("policy export {wasm} --out x.car"), 1, "policy_unsigned");
    assert!(!desk.path("x.car").exists());
    desk.fails("policy sign good.pkg --author author --out x.pkg", 2, "usage");
    desk.fails(&format!("policy sign {wasm} --author nobody --out x.pkg"), 1, "unknown_key_name");
    write("rubbish.wasm", b"\0asm\x01\0\0\0\xff");
    desk.fails("policy sign rubbish.wasm --author author --out x.pkg", 1, "module_refused");
    assert!(!desk.path("x.pkg").exists());
}

/// Opens an account of this name with a key of its own; its id.
fn open(desk: &Desk, name: &str) -> String {
    desk.ok(&format!("key new {name}"));
    desk.ok(&format!("account create {name} --key {name}"));
    desk.ok(&format!("account show {name}"))["account"].as_str().unwrap().to_owned()
}

fn denied(desk: &Desk, line: &str, code: u16) {
    let output = desk.command(line).arg("--json").output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["error"]["code"], "policy_denied", "{line}: {value:#}");
    assert_eq!(value["error"]["problem"]["denial"]["code"], code, "{line}: {value:#}");
}

/// Three observers with a machine each; one of them brings what all of them signed.
#[test]
fn observations_signed_on_three_machines_become_a_round_of_the_feed() {
    let data = tempfile::tempdir().unwrap();
    let node = RunningNode::start(data.path());
    let desks = [Desk::new(&node.url), Desk::new(&node.url), Desk::new(&node.url)];
    let bank = &desks[0];
    let ids: Vec<String> =
        desks.iter().zip(["bank", "fund", "shop"]).map(|(desk, name)| open(desk, name)).collect();
    bank.ok(&format!("policy publish {} --as bank --author bank", module("dist/oracle-feed.wasm")));
    bank.ok("token create RATE --as bank --policy oracle-feed --param feed=feed:EUR/USD --param decimals=4 \
             --param admins=bank --param threshold=1 --param observers_min=2 --param heartbeat_ms=3600000 \
             --param deviation_bps=500 --param age_ms_max=600000");
    for id in &ids {
        bank.ok(&format!("token invoke rate admit {id} --as bank"));
    }
    let observe = |round: u64, rows: [(&str, &str); 3]| {
        for (desk, (name, answer)) in desks.iter().zip(rows) {
            let made = desk.ok(&format!(
                "evidence observe --feed EUR/USD --round {round} --answer {answer} --decimals 4 --as {name} \
                 --out {name}.{round}"
            ));
            assert_eq!(
                (&made["evidence"], &made["round"]),
                (&"oracle_round".into(), &round.into()),
                "{made:#}"
            );
            let file = format!("{name}.{round}");
            if desk.path(&file) != bank.path(&file) {
                std::fs::copy(desk.path(&file), bank.path(&file)).unwrap();
            }
        }
    };
    observe(1, [("bank", "1.0830"), ("fund", "10825"), ("shop", "1.08")]);
    bank.fails(
        "evidence observe --feed EUR/USD --round 1 --answer 1 --decimals 4 --as bank --out bank.1",
        1,
        "file_exists",
    );
    let whole = bank.ok("evidence round shop.1 bank.1 fund.1 --out one");
    let answers: Vec<&str> =
        whole["observations"].as_array().unwrap().iter().map(|one| one["answer"].as_str().unwrap()).collect();
    assert_eq!(answers.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{whole:#}");
    let words = bank.text("evidence show one");
    for said in ["1.0830 by", "1.0825 by", "1.0800 by", "nothing here is verified"] {
        assert!(words.contains(said), "{said:?} is missing in:\n{words}");
    }

    denied(bank, "token invoke rate transmit 1 --as bank", 103);
    denied(bank, "token invoke rate transmit 1 --as bank --evidence fund.1", 107);
    bank.fails("token invoke rate transmit 1 --as bank --evidence nowhere", 2, "usage");
    bank.fails("token invoke rate transmit 1 --as bank --evidence passphrase", 4, "not_evidence");
    let mut altered = std::fs::read(bank.path("one")).unwrap();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    std::fs::write(bank.path("altered"), altered).unwrap();
    bank.fails("token invoke rate transmit 1 --as bank --evidence altered", 1, "bad_evidence");
    bank.ok("token invoke rate transmit 1 --as bank --evidence one");
    let latest = bank.ok("token view rate latest");
    let field = |name: &str| {
        let fields = latest["fields"].as_array().unwrap();
        fields.iter().find(|field| field["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!(field("answer")["i128"], "10825", "the median: {latest:#}");
    assert_eq!((&field("round")["u64"], &field("fresh")["bool"]), (&"1".into(), &true.into()), "{latest:#}");
    bank.fails("token invoke rate transmit 1 --as bank --evidence one", 1, "evidence_consumed");

    // Files of two rounds are not one; a third observer may come later, to what two have collected.
    observe(2, [("bank", "1.0840"), ("fund", "1.0850"), ("shop", "1.0860")]);
    bank.fails("evidence round bank.2 fund.1 --out two", 1, "not_one_round");
    bank.ok("evidence round bank.2 fund.2 --out two");
    bank.fails("evidence round two bank.2 --out three", 1, "not_one_round");
    bank.ok("evidence round two shop.2 --out two --force");
    bank.ok("token invoke rate transmit 2 --as bank --evidence two");
    let words = bank.text("token view rate latest");
    assert!(words.contains("10850"), "{words}");
    node.kill();
}

/// The exit code and the answer of `policy simulate`, whose operation has spaces.
fn simulated(desk: &Desk, options: &str, op: &str) -> (i32, Value) {
    let mut command = desk.command(&format!("policy simulate {options}"));
    let output = command.args(["--op", op, "--json"]).output().unwrap();
    let value = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), value.unwrap_or_else(|error| panic!("{options}: {error}: {output:?}")))
}

/// What a token's policies would say, with the node's state under them: nothing is signed, nothing changes.
#[test]
fn an_operation_is_tried_against_a_token_as_the_node_has_it() {
    let data = tempfile::tempdir().unwrap();
    let node = RunningNode::start(data.path());
    let bank = Desk::new(&node.url);
    open(&bank, "bank");
    open(&bank, "shop");
    for name in ["fungible", "spend-limit"] {
        bank.ok(&format!("policy publish {} --as bank --author bank", module(&format!("dist/{name}.wasm"))));
    }
    bank.ok("token create EUR --as bank --policy fungible --policy spend-limit --param 0.authorities=bank \
             --param 0.threshold=1 --param supply_max=5000 --param transfer_max=600 --param daily_max=1000 \
             --param 1.authorities= --param 1.threshold=0");
    bank.ok("token mint 2000 eur --as bank --to bank");
    bank.ok("claim bank --all");
    bank.ok("transfer 600 eur --from bank --to shop");
    let before = bank.ok("status")["position"].clone();
    for (index, op, expected) in [
        // The day's 1,000 are what the node counted: 600 of them are spent.
        (1, "transfer by=bank to=shop amount=400", None),
        (1, "transfer by=bank to=shop amount=401", Some(101)),
        (1, "transfer by=bank to=shop amount=601", Some(100)),
        (1, "transfer by=shop to=bank amount=600", None),
        // The key of the account that acts is taken to sign, and 2,000 of 5,000 exist.
        (0, "mint by=bank to=shop amount=3000", None),
        (0, "mint by=bank to=shop amount=3001", Some(102)),
        (0, "mint by=shop to=shop amount=1", Some(101)),
    ] {
        let (exit, tried) = simulated(&bank, &format!("--token eur --policy-index {index}"), op);
        assert_eq!(tried["denial"]["code"].as_u64(), expected, "{op}: {tried:#}");
        let verdict = if expected.is_none() { "accept" } else { "reject" };
        assert_eq!((exit, tried["verdict"].as_str()), (i32::from(expected.is_some()), Some(verdict)), "{op}");
    }
    // Who else signs, and another module in the place of the token's.
    let cosigned = simulated(&bank, "--token eur --signer bank=bank", "mint by=shop to=shop amount=1");
    assert_eq!(cosigned.1["verdict"], "accept", "{cosigned:?}");
    let twin = format!("{} --token eur --policy-index 1", module("dist-c/spend-limit.wasm"));
    assert_eq!(simulated(&bank, &twin, "transfer by=bank to=shop amount=401").1["denial"]["code"], 101);
    let (exit, asked) = simulated(&bank, "--token eur --policy-index 1", "query sent account=bank");
    assert_eq!((exit, asked["verdict"].as_str()), (0, Some("answer")), "{asked:#}");
    assert!(asked["answer"].to_string().contains("600"), "{asked:#}");

    for (options, op, exit, code) in [
        ("--token eur --policy-index 2", "burn amount=1", 2, "usage"),
        ("--token nothing", "burn amount=1", 1, "unknown_name"),
        ("--token eur", "burn by=nobody amount=1", 1, "unknown_account"),
        ("--token eur --param threshold=1", "burn amount=1", 2, "usage"),
        ("--policy-index 1", "burn amount=1", 2, "usage"),
        ("", "burn amount=1", 2, "usage"),
    ] {
        let (found, value) = simulated(&bank, options, op);
        assert_eq!((found, value["error"]["code"].as_str()), (exit, Some(code)), "{options}: {value:#}");
    }
    let other = format!("{} --token eur --policy-index 1", module("dist/fungible.wasm"));
    assert_eq!(simulated(&bank, &other, "burn by=bank amount=1").1["error"]["code"], "bad_parameter");
    assert_eq!(bank.ok("status")["position"], before);
    node.kill();
}

#[test]
fn a_statement_is_carried_by_one_transition() {
    let data = tempfile::tempdir().unwrap();
    let node = RunningNode::start(data.path());
    let (bank, notary) = (Desk::new(&node.url), Desk::new(&node.url));
    open(&bank, "bank");
    let by = open(&notary, "notary");
    std::fs::write(notary.path("deed"), [7; 1024]).unwrap();
    std::fs::write(notary.path("long"), [7; 1025]).unwrap();
    let attest = |line: &str| notary.ok(&format!("evidence attest --as notary {line}"));
    assert_eq!(attest("--topic deed --text signed --out text")["payload"], "7369676e6564");
    assert_eq!(attest("--topic deed --payload 00ff --out hex")["payload"], "00ff");
    let held = attest("--topic deed --payload-file deed --out file");
    assert_eq!((&held["evidence"], held["account"].as_str()), (&"attestation".into(), Some(by.as_str())));
    for (line, exit, code) in [
        ("--topic deed --payload 0 --out x", 2, "usage"),
        ("--topic deed --payload-file long --out x", 2, "usage"),
        ("--topic deed --out x", 2, "usage"),
        ("--topic deed --text a --payload 00 --out x", 2, "usage"),
        ("--topic deed --text a --out text", 1, "file_exists"),
        ("--topic deed --text a --sign-key stranger --out x", 1, "missing_key"),
    ] {
        notary.fails(&format!("evidence attest --as notary {line}"), exit, code);
    }
    let long = "x".repeat(65);
    notary.fails(&format!("evidence attest --as notary --topic {long} --text a --out x"), 2, "usage");
    assert!(!notary.path("x").exists());

    for file in ["text", "file"] {
        std::fs::copy(notary.path(file), bank.path(file)).unwrap();
    }
    bank.ok(&format!("policy publish {} --as bank --author bank", module("dist/fungible.wasm")));
    bank.ok("token create EUR --as bank --policy fungible --param authorities=bank --param threshold=1 \
             --param supply_max=0");
    let carried = bank.ok("token mint 5 eur --as bank --to bank --evidence text --evidence file");
    let shown = bank.ok(&format!("tx show {}", carried["receipt"]["transition"].as_str().unwrap()));
    let topics: Vec<_> = shown["evidence"].as_array().unwrap().iter().map(|one| &one["topic"]).collect();
    assert_eq!(topics, ["deed", "deed"], "{shown:#}");
    bank.fails("token mint 5 eur --as bank --to bank --evidence file", 1, "evidence_consumed");
    node.kill();
}

/// Cases of spend-limit; they do not fit another policy.
const CASES: &str = r#"
format = 1
policy = "spend-limit"

[start]
params = { transfer_max = 600, daily_max = 1000, authorities = [], threshold = 0 }

[[case]]
name = "within the limits"
legs = [{ by = "alice", do = "transfer", to = "bob", amount = 600 }]
accept_with = []

[[case]]
name = "over the limit"
legs = [{ by = "alice", do = "transfer", to = "bob", amount = 601 }]
refuse = "over_transfer_limit"

[[case]]
name = "the limits"
query = "limits_in_force"
answer = { transfer_max = 600, daily_max = 1000 }
"#;

#[test]
fn two_versions_are_compared_by_their_words_and_their_verdicts() {
    let desk = Desk::offline();
    std::fs::write(desk.path("cases.toml"), CASES).unwrap();
    let (rust, c) = (module("dist/spend-limit.wasm"), module("dist-c/spend-limit.wasm"));
    let same = desk.ok(&format!("policy diff {rust} {rust} --cases cases.toml"));
    assert_eq!((&same["same_module"], same["changes"].as_array().unwrap().len()), (&Value::Bool(true), 0));
    let twins = desk.ok(&format!("policy diff {rust} {c} --cases cases.toml"));
    let cases = twins["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        assert_eq!(case["same"], true, "{case:#}");
        assert_ne!(case["old_fuel"], case["new_fuel"], "another compiler, another fuel: {case:#}");
    }
    let refused = cases[1]["old"].as_str().unwrap();
    assert!(refused.starts_with("refuses: 100 over_transfer_limit: the amount of 601"), "{refused}");
    let text = desk.text(&format!("policy diff {rust} {c} --cases cases.toml"));
    assert!(text.contains("all 3 cases come out the same") && text.contains("fuel of all cases"), "{text}");

    // Another policy in the place of the next version: what is gone, what is new, and cases that do not fit.
    let other = desk.ok(&format!("policy diff {rust} {} --cases cases.toml", module("dist/cash.wasm")));
    let change = |what: &str, name: &str| {
        let all = other["changes"].as_array().unwrap();
        all.iter()
            .find(|change| change["what"] == what && change["name"] == name)
            .cloned()
            .unwrap_or_default()
    };
    assert!(
        change("method", "set_limits")["old"].is_string() && change("method", "set_limits")["new"].is_null()
    );
    assert!(change("query", "outflow")["new"].is_string() && change("query", "outflow")["old"].is_null());
    let moved = change("parameter", "transfer_max");
    assert!(moved["old"].as_str().unwrap().starts_with("1. u128"), "{moved}");
    assert!(moved["new"].as_str().unwrap().starts_with("3. u128"), "{moved}");
    assert_eq!(change("denial", "101")["old"].as_str().unwrap().split(':').next(), Some("over_daily_limit"));
    assert!(change("document", "bytes")["new"].is_string());
    assert_eq!(other["unfit"].as_array().unwrap().len(), 1, "{other:#}");
    assert!(other["cases"].is_null());
    std::fs::write(desk.path("broken.toml"), "format = 7").unwrap();
    desk.fails(&format!("policy diff {rust} {c} --cases broken.toml"), 2, "usage");
}

/// The next version is the module in C with two of its sentences altered: one in its description, one in a denial.
#[test]
fn a_verdict_that_changed_is_shown() {
    let desk = Desk::offline();
    std::fs::write(desk.path("cases.toml"), CASES).unwrap();
    let old = module("dist-c/spend-limit.wasm");
    let mut bytes = std::fs::read(&old).unwrap();
    for (was, is) in [
        (&b"Limits what one account"[..], &b"Bounds what one account"[..]),
        (b"send at most ", b"send only up "),
    ] {
        let at = bytes.windows(was.len()).position(|window| window == was).unwrap();
        bytes[at..at + is.len()].copy_from_slice(is);
    }
    std::fs::write(desk.path("next.wasm"), bytes).unwrap();
    let diff = desk.ok(&format!("policy diff {old} next.wasm --cases cases.toml"));
    let changes = diff["changes"].as_array().unwrap();
    assert_eq!((changes.len(), changes[0]["what"].as_str()), (1, Some("summary")), "{diff:#}");
    let same: Vec<_> = diff["cases"].as_array().unwrap().iter().map(|case| case["same"].clone()).collect();
    assert_eq!(same, [true, false, true], "{diff:#}");
    let text = desk.text(&format!("policy diff {old} next.wasm --cases cases.toml"));
    assert!(text.contains("send at most 600") && text.contains("send only up 600"), "{text}");
}

fn cash_cases() -> Vec<Case> {
    let plain = |case: dsm_policy::bench::Case| {
        Case::from((case.name, case.state, case.foreign, case.call, case.expected))
    };
    cash::cases().into_iter().map(plain).collect()
}

/// A case noticed whatever changed a byte of the verdict, also where it expects a code and not a reason, and one that
/// expects a fault or fails anyway noticed everything: cases that say nothing seemed to be complete.
#[test]
fn only_what_a_case_expects_notices_a_turned_comparison() {
    let (desk, cases) = (Desk::offline(), cash_cases());
    let cash = module("dist/cash.wasm");
    let wasm = std::fs::read(&cash).unwrap();
    let accepted = cases.iter().filter(|case| matches!(&case.expected, Expectation::Accept(_)));
    let vague: Vec<Case> =
        accepted.map(|case| Case { expected: Expectation::AcceptWith(vec![]), ..case.clone() }).collect();
    let (all, vague) = (mutate(&wasm, &cases, "", 24).unwrap(), mutate(&wasm, &vague, "", 24).unwrap());
    assert!(vague.killed < all.killed, "{} of {} by cases that expect nothing", vague.killed, all.killed);

    let wrong = Case { expected: Expectation::Fault("trap".into()), ..cases[0].clone() };
    let error = mutate(&wasm, std::slice::from_ref(&wrong), "", 1).unwrap_err();
    assert!(matches!(&error, MutateError::CaseFails(name) if *name == cases[0].name), "{error}");
    std::fs::write(desk.path("wrong.toml"), write_cases("cash", &[wrong])).unwrap();
    desk.fails(&format!("policy mutate {cash} --cases wrong.toml"), 1, "case_fails");
    std::fs::write(desk.path("cases.toml"), write_cases("cash", &cases)).unwrap();
    desk.fails(&format!("policy mutate {cash} --cases cases.toml --within nowhere"), 2, "usage");
}

/// A new project had cases and nothing that `fuzz` could read, and the help named a file that only this repository has.
#[test]
fn a_new_project_has_promises_that_fuzz_reads() {
    let desk = Desk::offline();
    // Named as the standard policies, so that their modules stand for what a build of each project would give.
    for (template, name) in [
        ("fungible", "fungible"),
        ("spend-limit", "spend-limit"),
        ("credential-gate", "credential-gate"),
        ("escrow", "escrow-market"),
    ] {
        desk.ok(&format!("policy new {name} --template {template}"));
        let wasm = module(&format!("dist/{name}.wasm"));
        let tried = desk.ok(&format!("policy fuzz {wasm} --cases {name}/invariants.toml --sequences 2"));
        assert!(tried["accepted"].as_u64() > Some(0), "{template}: {tried:#}");
        let line = format!("policy fuzz {wasm} --cases {name}/cases.toml");
        desk.fails(&line, 2, "bad_cases");
        let said = desk.command(&line).output().unwrap();
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let (_, help) = said.split_once("help: ").unwrap();
        let (named, _) = help.split_once(" in the project").unwrap();
        assert!(desk.path(name).join(named).is_file(), "{template}: {said}");
    }
}
