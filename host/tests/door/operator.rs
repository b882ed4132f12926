//! The operator's side, with the real binary: settings in layers and live, keys made and revoked, the audit log and the
//! lines of a transition found.

use crate::http::ask;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const DSM: &str = env!("CARGO_BIN_EXE_dsm");

/// A folder with a data directory, a wallet, and whatever an operator writes.
struct Desk {
    folder: TempDir,
}

/// A running node; killed when dropped.
struct Node {
    child: Child,
    url: String,
}

impl Node {
    fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(kill.unwrap().success());
    }

    fn terminate(mut self) {
        self.signal("TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Already ended, or not wanted any more; either way there is nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("passphrase"), "correct horse\n").unwrap();
        Desk { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The binary in this folder, with no setting of whoever runs the test.
    fn command(&self, line: &str, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(DSM);
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("DSM_")) {
            command.env_remove(name);
        }
        command.args(line.split_whitespace()).envs(environment.iter().copied()).current_dir(&self.folder);
        command
    }

    fn start(&self, flags: &str, environment: &[(&str, &str)]) -> Node {
        let line = format!("node --listen 127.0.0.1:0 --p2p none --json {flags}");
        let mut child = self.command(&line, environment).stdout(Stdio::piped()).spawn().unwrap();
        let mut banner = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut banner).unwrap();
        let banner: Value = serde_json::from_str(&banner).unwrap_or_else(|error| panic!("{error}: {banner}"));
        let url = banner["url"].as_str().unwrap().to_owned();
        Node { child, url }
    }

    fn run(&self, line: &str, environment: &[(&str, &str)]) -> (i32, Value) {
        let output = self.command(&format!("{line} --json"), environment).output().unwrap();
        let value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{line}: {error}: {output:?}"));
        (output.status.code().unwrap(), value)
    }

    /// A verb that speaks to the node and does what it was asked.
    fn ok(&self, node: &Node, line: &str) -> Value {
        let wallet = "--wallet wallet --passphrase-file passphrase";
        let (code, value) = self.run(&format!("{line} {wallet}"), &[("DSM_NODE", &node.url)]);
        assert_eq!(code, 0, "{line}: {value:#}");
        value
    }

    fn fails(&self, line: &str, environment: &[(&str, &str)], exit: i32, code: &str) -> Value {
        let (found, value) = self.run(line, environment);
        let error = &value["error"];
        assert_eq!((found, error["code"].as_str()), (exit, Some(code)), "{line}: {value:#}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        value
    }

    /// Value and origin of a setting of the running node.
    fn setting(&self, node: &Node, name: &str) -> (Option<String>, String) {
        let shown = self.ok(node, "config show");
        let all = shown["settings"].as_array().unwrap();
        let one = all.iter().find(|one| one["name"] == name).unwrap();
        (one["value"].as_str().map(str::to_owned), one["origin"].as_str().unwrap().to_owned())
    }
}

#[test]
fn o12_a_node_that_others_reach_does_not_start_without_a_secret() {
    let desk = Desk::new();
    let node = "node --listen 0.0.0.0:0 --p2p none";
    let refused = desk.fails(node, &[], 2, "no_secret");
    let help = refused["error"]["help"].as_str().unwrap();
    assert!(help.contains("dsm access key new") && help.contains("--jwt-secret"), "{help}");
    assert!(!desk.path("data").exists(), "nothing was opened");
    // The example of a proxy in front of the units: everybody who came through it was an admin.
    desk.fails("node --listen 127.0.0.1:0 --p2p none --trusted-proxies 127.0.0.1/32", &[], 2, "no_secret");
    desk.write("short", "too short");
    desk.fails(&format!("{node} --jwt-secret short"), &[], 2, "jwt_secret");
    desk.write("keys", "[{}]");
    desk.fails(&format!("{node} --api-keys keys"), &[], 2, "keys_file");
    desk.fails(&format!("{node} --api-keys nowhere"), &[], 2, "usage");
    desk.write("data/node.toml", "policy_cash_size = 1\n");
    desk.fails(node, &[], 2, "unknown_setting");
    desk.write("data/node.toml", "data = \"elsewhere\"\n");
    desk.fails(node, &[], 2, "settings_place");
    desk.write("data/node.toml", "policy_ttl = \"soon\"\n");
    let refused = desk.fails(node, &[], 2, "usage");
    assert!(refused["error"]["message"].as_str().unwrap().contains("--policy-ttl"), "{refused}");
}

#[test]
fn settings_stand_in_layers_and_what_is_set_is_live_and_survives() {
    let desk = Desk::new();
    desk.write("data/node.toml", "policy_cache_size = 5\npolicy_ttl = 60\nlimit_events = 7\n");
    let environment = [("DSM_POLICY_TTL", "61"), ("DSM_LIMIT_EVENTS", ""), ("DSM_CACHE_SIZE", "")];
    let node = desk.start("--log-level warn", &environment);
    let is = |node: &Node, name: &str, value: &str, origin: &str| {
        assert_eq!(desk.setting(node, name), (Some(value.to_owned()), origin.to_owned()), "{name}");
    };
    is(&node, "policy-cache-size", "5", "file");
    is(&node, "policy-ttl", "61", "environment");
    is(&node, "limit-events", "7", "file");
    is(&node, "log-level", "warn", "flag");
    is(&node, "durability", "local", "default");

    let line = "config set --policy-cache-size=2000 --policy-ttl=7200";
    let changed = desk.ok(&node, line);
    let one = |name: &str| {
        let all = changed["changed"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!(one("policy-cache-size")["before"], "5");
    assert_eq!(one("policy-cache-size")["live"], true);
    assert_eq!(
        one("policy-ttl")["overridden_by"],
        "DSM_POLICY_TTL",
        "it is said that a variable stands over it"
    );
    is(&node, "policy-cache-size", "2000", "file");
    is(&node, "policy-ttl", "7200", "environment");
    assert_eq!(desk.ok(&node, "config set --network-name=other")["changed"][0]["live"], false);
    let shown = desk.ok(&node, "config show --origin");
    let name = shown["settings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "network-name")
        .unwrap()
        .clone();
    assert_eq!((&name["value"], &name["after_restart"]), (&Value::from("dsm"), &Value::from("other")));
    for (line, exit) in
        [("config set --policy-ttl=soon", 2), ("config set --policy-tll=3", 2), ("config set", 2)]
    {
        assert_eq!(desk.run(line, &[("DSM_NODE", &node.url)]).0, exit, "{line}");
    }
    let post = |body: &str| {
        let key = std::fs::read_to_string(desk.path("data/admin.key")).unwrap();
        let key = key.lines().next().unwrap().to_owned();
        let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
        let answer = ask(node.address(), "POST", "/v1/config", &headers, body.as_bytes());
        (answer.status, answer.code())
    };
    let code = |code: &str| (422, Some(code.to_owned()));
    assert_eq!(post("{\"set\":{\"policy-ttl\":[\"soon\"]}}"), code("bad_setting"));
    assert_eq!(post("{\"set\":{\"policy-tll\":[\"1\"]}}"), code("bad_setting"));
    assert_eq!(post("{\"set\":{\"data\":[\"elsewhere\"]}}"), code("settings_place"));
    assert_eq!(post("{\"set\":{\"policy-ttl\":[]}}"), code("usage"));
    assert_eq!(post("{\"set\":{\"api-keys\":[\"nowhere\"]}}"), code("usage"), "a file that is not there");
    assert_eq!(post("{\"put\":{}}").0, 400);
    is(&node, "policy-ttl", "7200", "environment");
    node.terminate();
    assert!(!desk.path("data/admin.key").exists(), "the key of a node that is gone is gone too");

    let offline = desk.run("config show --offline", &[]).1;
    let ttl = offline["settings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "policy-ttl")
        .unwrap()
        .clone();
    assert_eq!((&ttl["value"], &ttl["origin"]), (&Value::from("7200"), &Value::from("file")));
    assert_eq!(desk.run("config set --offline --limit-events=8", &[]).0, 0);
    let node = desk.start("", &[("DSM_LOG_LEVEL", "error")]);
    is(&node, "policy-cache-size", "2000", "file");
    is(&node, "policy-ttl", "7200", "file");
    is(&node, "limit-events", "8", "file");
    desk.fails("config show", &[("DSM_NODE", "http://127.0.0.1:1")], 3, "unreachable");
}

#[test]
fn the_cache_of_policies_is_really_that_size_and_a_transition_is_found_in_the_log() {
    let desk = Desk::new();
    let node = desk.start("--log-format json --log-file node.log", &[]);
    desk.ok(&node, "key new desk");
    desk.ok(&node, "account create desk --key desk");
    desk.ok(&node, "key new author --suite ed25519+ml-dsa-65");
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/dist/fungible.wasm");
    let module = module.canonicalize().unwrap();
    let published = desk.ok(&node, &format!("policy publish {} --as desk --author author", module.display()));
    desk.ok(
        &node,
        "token create GOLD --as desk --policy fungible --decimals 2 --cap 1000.00 --param authorities=desk \
         --param threshold=1 --param supply_max=0",
    );
    desk.ok(&node, "token mint 5.00 gold --as desk --to desk");
    let modules = || desk.ok(&node, "status")["policy_cache"]["modules"].as_u64();
    assert_eq!(modules(), Some(1));
    desk.ok(&node, "config set --policy-cache-size=0");
    assert_eq!(modules(), Some(0), "what no longer fits is dropped at once");

    let id = find(&published, "transition").expect("the receipt of the publication");
    node.terminate();
    let found = desk.run(&format!("logs --tx {id} node.log"), &[]).1;
    let lines = found["lines"].as_array().unwrap();
    let accepted = lines.iter().find(|line| line["message"] == "accepted").unwrap();
    assert_eq!(
        (&accepted["transition"], &accepted["service"]),
        (&Value::from(id.as_str()), &Value::from("dsm-core"))
    );
    assert_eq!(accepted["module"], "dsm_host::api::submit");
    assert!(accepted["file"].as_str().unwrap().ends_with("submit.rs") && accepted["line"].is_u64());
    assert!(accepted["request"].is_string() && accepted["time"].as_str().unwrap().ends_with('Z'));
    desk.fails(&format!("logs --tx {} node.log", "0".repeat(64)), &[], 1, "not_logged");
}

/// The first text of that name in a value.
fn find(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .or_else(|| fields.values().find_map(|inner| find(inner, name))),
        Value::Array(items) => items.iter().find_map(|inner| find(inner, name)),
        _ => None,
    }
}

#[test]
fn keys_are_made_taken_up_and_revoked_and_tokens_count() {
    let desk = Desk::new();
    desk.ok_alone("access key new reader --scopes read --to reader.key");
    let bank = desk.ok_alone("access key new bank --scopes read,submit --times 3");
    let bank = bank["key"].as_str().unwrap().to_owned();
    desk.ok_alone("access secret jwt");
    let token = desk.ok_alone("access token clerk --scopes read --minutes 5 --jwt-secret jwt");
    desk.write("token", token["token"].as_str().unwrap());
    for (line, code) in [
        ("access key new bank --scopes read", "keys_file"),
        ("access key new node-admin --scopes read", "usage"),
        ("access key new other --scopes everything", "usage"),
        ("access key new other --scopes read --to reader.key", "usage"),
        ("access secret jwt", "usage"),
        ("access token clerk --jwt-secret jwt --minutes 0", "usage"),
    ] {
        desk.fails(line, &[], 2, code);
    }
    for name in ["data/api-keys.json", "reader.key", "jwt"] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert!(!std::fs::read_to_string(desk.path("data/api-keys.json")).unwrap().contains(&bank[13..]));

    let node = desk.start("--jwt-secret jwt --log-level error", &[]);
    let status = |key: &str| ask(node.address(), "GET", "/v1/status", &[("x-api-key", key)], b"").status;
    let with = |file: &str| {
        let (code, value) = desk.run("status", &[("DSM_NODE", &node.url), ("DSM_API_KEY_FILE", file)]);
        (code, value["error"]["code"].as_str().map(str::to_owned))
    };
    assert_eq!(ask(node.address(), "GET", "/v1/status", &[], b"").status, 401);
    assert_eq!(status(&bank), 200);
    assert_eq!(with("reader.key"), (0, None));
    assert_eq!(with("token"), (0, None));
    desk.write("forged", "dsm_00000000_00");
    assert_eq!(with("forged"), (1, Some("bad_credentials".into())));
    // Whoever may read the node's data directory may administer it, on its machine.
    desk.ok(&node, "checkpoint --take");
    let elsewhere = [("DSM_NODE", node.url.as_str()), ("DSM_DATA", "elsewhere")];
    desk.fails("status", &elsewhere, 1, "no_credentials");

    desk.ok_alone("access key revoke bank");
    desk.fails("access key revoke bank", &[], 1, "unknown_key_name");
    assert_eq!(status(&bank), 200, "the node has not read it yet");
    assert_eq!(desk.ok(&node, "config reload")["keys"], 1);
    assert_eq!(status(&bank), 401);
    let late = desk.ok_alone("access key new late --scopes read")["key"].as_str().unwrap().to_owned();
    node.signal("HUP");
    let begun = std::time::Instant::now();
    while status(&late) != 200 {
        assert!(begun.elapsed().as_secs() < 120, "SIGHUP is not taken up");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    desk.write("data/api-keys.json", "[");
    desk.fails("config reload", &[("DSM_NODE", &node.url)], 1, "keys_file");
    assert_eq!(status(&late), 200, "a file that makes no sense takes nobody's key away");
}

/// `--data` named the node's directory, and the key in it was not shown: doctor said BAD, and there was no backup.
#[test]
fn verbs_that_are_given_the_node_s_directory_show_its_key() {
    let desk = Desk::new();
    desk.ok_alone("access key new somebody --data other");
    let node = desk.start("--log-level error --data other", &[]);
    let environment = [("DSM_NODE", node.url.as_str())];
    assert_ne!(
        desk.run("status", &environment).0,
        0,
        "somebody has a key: whoever shows none learns nothing"
    );
    let (_, told) = desk.run("doctor --data other --ports 1", &environment);
    let findings = told["findings"].as_array().unwrap();
    let state =
        |check: &str| findings.iter().find(|one| one["check"] == check).map(|one| one["state"].clone());
    assert_eq!((state("status"), state("settings")), (None, Some("ok".into())), "{told:#}");
    for line in ["backup create archive --data other", "audit verify --data other"] {
        let (code, value) = desk.run(line, &environment);
        assert_eq!(code, 0, "{line}: {value:#}");
    }
}

/// Each read the file, added its own and wrote it back: of two keys made at once one was lost, and a revoked one could
/// come back.
#[test]
fn keys_that_are_made_and_revoked_at_once_are_all_made_and_revoked() {
    let desk = Desk::new();
    for n in 0..4 {
        desk.ok_alone(&format!("access key new old-{n}"));
    }
    let lines =
        (0..4).flat_map(|n| [format!("access key new new-{n}"), format!("access key revoke old-{n}")]);
    let started: Vec<Child> = lines
        .map(|line| {
            let mut command = desk.command(&line, &[]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut one in started {
        assert!(one.wait().unwrap().success());
    }
    let listed = desk.ok_alone("access key list");
    let mut names: Vec<&str> =
        listed["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["new-0", "new-1", "new-2", "new-3"]);
}

/// Root made a key in the folder of a unit's node: the node could not read it, and did not start again.
#[test]
fn what_root_writes_in_a_node_s_folder_is_the_node_s() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let desk = Desk::new();
    std::fs::create_dir(desk.path("data")).unwrap();
    // Only root can give it away; for anybody else the folder is its own.
    drop(std::os::unix::fs::chown(desk.path("data"), Some(65534), Some(65534)));
    let owner = std::fs::metadata(desk.path("data")).unwrap().uid();
    desk.ok_alone("access key new bank");
    for file in ["data/api-keys.json", "data/api-keys.json.lock"] {
        let about = std::fs::metadata(desk.path(file)).unwrap();
        assert_eq!((about.uid(), about.permissions().mode() & 0o777), (owner, 0o600), "{file}");
    }
}

#[test]
fn an_edited_audit_log_is_named_with_exit_code_4() {
    let desk = Desk::new();
    let node = desk.start("--log-level error", &[]);
    for ttl in ["10", "20", "30"] {
        desk.ok(&node, &format!("config set --policy-ttl={ttl}"));
    }
    // Lines are on their way for a moment; then the status tells the last of them.
    let begun = std::time::Instant::now();
    let last = loop {
        let audit = desk.ok(&node, "status")["audit"].clone();
        if audit["entries"] == 3 {
            break audit["last"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed().as_secs() < 120, "{audit}");
    };
    // Lines taken from the end leave a chain that holds; the node that runs knows better.
    assert_eq!(desk.ok(&node, "audit verify")["entries_of_node"], 3);
    let (log, kept) = (desk.path("data/audit.log"), desk.path("kept"));
    std::fs::rename(&log, &kept).unwrap();
    let text = std::fs::read_to_string(&kept).unwrap();
    for lines in [0, 1, 2] {
        let shorter: String = text.lines().take(lines).map(|line| format!("{line}\n")).collect();
        desk.write("data/audit.log", &shorter);
        let refused = desk.fails("audit verify", &[("DSM_NODE", &node.url)], 4, "audit_other");
        assert!(refused["error"]["message"].as_str().unwrap().contains("entry 3"), "{refused}");
    }
    std::fs::rename(&kept, &log).unwrap();
    node.terminate();
    let whole = desk.ok_alone("audit verify");
    assert!(whole["entries_of_node"].is_null(), "nobody runs: {whole}");
    assert_eq!((whole["entries"].as_u64(), whole["last"].as_str()), (Some(3), Some(last.as_str())));
    let log = std::fs::read_to_string(desk.path("data/audit.log")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    desk.write("edited", &log.replacen("\"status\":200", "\"status\":500", 1));
    let refused = desk.fails("audit verify edited", &[], 4, "audit_edited");
    assert!(refused["error"]["message"].as_str().unwrap().contains("line 1"), "{refused}");
    desk.write("removed", &format!("{}\n{}\n", lines[0], lines[2]));
    desk.fails("audit verify removed", &[], 4, "audit_broken");
    desk.write("shorter", &format!("{}\n", lines[0]));
    desk.ok_alone("audit verify shorter");
    desk.fails(&format!("audit verify shorter --contains {last}"), &[], 4, "audit_other");
    desk.ok_alone(&format!("audit verify --contains {last}"));
    for (file, line) in ["series.1", "series.2", "series"].iter().zip(&lines) {
        desk.write(file, &format!("{line}\n"));
    }
    let series = desk.ok_alone("audit verify series");
    assert_eq!((series["files"].as_u64(), series["entries"].as_u64()), (Some(3), Some(3)));
    desk.write("series.2", &format!("{}\n", lines[1].replacen("\"status\":200", "\"status\":500", 1)));
    let refused = desk.fails("audit verify series", &[], 4, "audit_edited");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("series.2") && message.contains("line 1, entry 2"), "{refused}");
    desk.write("series.2", &format!("{}\n", lines[1]));
    for (gone, named) in [("series", "series is missing"), ("series.1", "series.1 is missing")] {
        let text = std::fs::read_to_string(desk.path(gone)).unwrap();
        std::fs::remove_file(desk.path(gone)).unwrap();
        let refused = desk.fails("audit verify series", &[], 4, "audit_file_missing");
        assert!(refused["error"]["message"].as_str().unwrap().contains(named), "{refused}");
        desk.write(gone, &text);
    }
    desk.write("torn", &format!("{log}{}", &lines[0][..40]));
    assert_eq!(desk.ok_alone("audit verify torn")["torn_bytes"], 40);
    desk.write("data/audit.log", "rubbish\n");
    desk.fails("node --listen 127.0.0.1:0 --p2p none", &[], 4, "audit_damaged");
}

#[test]
fn a_node_speaks_tls_to_commands_that_trust_its_certificate() {
    let desk = Desk::new();
    let fixture = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/door/fixtures").join(name);
        path.display().to_string()
    };
    let (certificate, key, other) = (fixture("certificate.pem"), fixture("key.pem"), fixture("other.pem"));
    let flags = format!("--log-level error --tls-cert {certificate} --tls-key {key}");
    let node = desk.start(&flags, &[]);
    assert!(node.url.starts_with("https://127.0.0.1:"), "{}", node.url);
    let trusting = |file: &str, line: &str| {
        let (code, value) = desk.run(line, &[("DSM_NODE", &node.url), ("DSM_CA_CERT", file)]);
        (code, value["error"]["code"].as_str().map(str::to_owned))
    };
    assert_eq!(trusting(&certificate, "status"), (0, None));
    assert_eq!(
        trusting(&certificate, "config set --policy-ttl=9"),
        (0, None),
        "the node's own key, over TLS"
    );
    assert_eq!(trusting(&other, "status"), (3, Some("unreachable".into())));
    assert_eq!(trusting(&key, "status"), (2, Some("tls_certificate".into())));
    assert_eq!(trusting("", "status"), (2, Some("usage".into())), "nothing is trusted unless it is named");
    let start = "node --listen 127.0.0.1:0 --p2p none";
    desk.fails(&format!("{start} --tls-cert {certificate}"), &[], 2, "usage");
    desk.fails(&format!("{start} --tls-cert {other} --tls-key {key}"), &[], 2, "tls_pair");
}

impl Desk {
    /// A verb without a node.
    fn ok_alone(&self, line: &str) -> Value {
        let (code, value) = self.run(line, &[]);
        assert_eq!(code, 0, "{line}: {value:#}");
        value
    }
}
