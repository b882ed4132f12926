//! The binary in a process of its own: what `config set` changes is in force with the next request, kept in the file,
//! and said in the log; what makes no sense changes nothing.
#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dsm-bridge");
/// Limits hold in any time of this length.
const MINUTE: Duration = Duration::from_secs(60);
/// The service counts in milliseconds.
const TICK: Duration = Duration::from_millis(2);
/// Neither the chain nor the core node is there: what the service knows it tells all the same.
const SETTINGS: &str = r#"
network = "0101010101010101010101010101010101010101010101010101010101010101"
contract = "0x2222222222222222222222222222222222222222"
trusted_set = "0x1111111111111111111111111111111111111111"
ethereum_rpc = "http://127.0.0.1:1"
core = "http://127.0.0.1:1"
listen = "127.0.0.1:0"
log_format = "json"
limit = 3
"#;

/// The JSON answer of a verb that ends with this exit code.
fn verb(code: i32, data: &Path, args: &[&str]) -> Value {
    let output = Command::new(PROGRAM).args(args).arg("--data").arg(data).arg("--json").output().unwrap();
    let answer = serde_json::from_slice(&output.stdout);
    let answer = answer.unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {answer:#}");
    answer
}

/// A running service. It is killed when this is dropped.
struct Service {
    child: Child,
    url: String,
    /// When each request that came in was sent, and when it was answered.
    came_in: RefCell<Vec<(Instant, Instant)>>,
}

impl Service {
    fn start(data: &Path, flags: &[&str]) -> Service {
        let log = std::fs::File::options().append(true).create(true).open(data.join("log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--json", "--data"]).arg(data).args(flags);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut service = Service { child, url: String::new(), came_in: RefCell::default() };
        let banner: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        banner["url"].as_str().unwrap().clone_into(&mut service.url);
        service
    }

    /// Asks once: the status, the code of a refusal, and whether it says when to come back.
    fn ask(&self, path: &str) -> (u16, String, bool) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let sent = Instant::now();
        let mut answer = agent.get(format!("{}{path}", self.url)).call().unwrap();
        let later = answer.headers().contains_key("retry-after");
        let body: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        let status = answer.status().as_u16();
        if status != 429 {
            self.came_in.borrow_mut().push((sent, Instant::now()));
        }
        (status, body["code"].as_str().unwrap_or_default().to_owned(), later)
    }

    /// Asks until a request is told that it is one too many: so many have come in within a minute, whether before or
    /// after the limit was set.
    fn assert_limit(&self, limit: usize) {
        loop {
            let sent = Instant::now();
            let (status, code, later) = self.ask("/v1/alarms");
            // How far back its minute reaches is a matter of when the service looked at its clock: between these two.
            let came_in = self.came_in.borrow();
            let surely = came_in.iter().filter(|one| one.0.elapsed() < MINUTE - TICK).count();
            let perhaps = came_in.iter().filter(|one| sent < one.1 + MINUTE + TICK).count();
            match status {
                200 => assert!(surely <= limit, "{surely} have come in"),
                429 => {
                    assert_eq!((code.as_str(), later), ("rate_limited", true));
                    assert!(perhaps >= limit, "{perhaps} have come in");
                    return;
                }
                other => panic!("{other} {code}"),
            }
        }
    }

    /// Ends it in order.
    fn end(mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Already ended, or not wanted any more; either way there is nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_limit_that_is_set_counts_for_the_next_request_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let file = data.join("bridge.toml");
    std::fs::write(&file, SETTINGS).unwrap();
    let set = |setting: &str| verb(0, data, &["config", "set", setting])["changed"][0].clone();

    let service = Service::start(data, &[]);
    service.assert_limit(3);
    let changed = set("--limit=5");
    assert_eq!(changed, json!({ "name": "limit", "before": "3", "after": "5", "live": true }));
    service.assert_limit(5);
    set("--limit=1");
    service.assert_limit(1);
    set("--limit=7");
    service.assert_limit(7);
    // The other rules of the door are taken up as well.
    set("--allow-methods=locks");
    set("--limit=8");
    assert_eq!(service.ask("/v1/alarms"), (403, "not_served".to_owned(), false));
    set("--allow-methods=");
    set("--limit=9");
    service.assert_limit(9);

    let kept = std::fs::read_to_string(&file).unwrap();
    for wrong in ["--limit=-1", "--limit=many", "--limit=4294967296", "--trusted-proxies=all", "--limmit=3"] {
        assert_eq!(verb(2, data, &["config", "set", wrong])["error"]["code"], "usage", "{wrong}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), kept, "nothing of what was refused is kept");
    // A file that somebody broke by hand changes nothing either, and the log says so.
    let replace = |text: &str| {
        let beside = data.join("by-hand");
        std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &file)).unwrap();
    };
    replace(&format!("{kept}trusted_proxies = \"all\"\n"));
    service.assert_limit(9);
    replace(&kept);
    service.assert_limit(9);
    service.end();

    let service = Service::start(data, &[]);
    service.assert_limit(9);
    service.end();
    let shown = verb(0, data, &["config", "show", "--origin"]);
    let limit = shown["settings"].as_array().unwrap().iter().find(|one| one["name"] == "limit").unwrap();
    assert_eq!((&limit["value"], &limit["origin"]), (&json!("9"), &json!("file")));
    // What was said at the start stands over the file for as long as the service runs.
    let service = Service::start(data, &["--limit=2"]);
    set("--limit=20");
    service.assert_limit(2);
    service.end();

    let log = std::fs::read_to_string(data.join("log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let doors = of("the file of settings asks for another door");
    let mut limits: Vec<_> = doors.iter().map(|line| line["limit"].clone()).collect();
    // Whether the routes were changed in a look of their own is the clock's affair.
    limits.dedup();
    assert_eq!(limits, [5, 1, 7, 8, 9]);
    let refused = of("the file of settings is not taken up");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0]["reason"].as_str().unwrap().starts_with("trusted_proxies"), "{refused:?}");
}

#[test]
fn a_line_of_the_log_has_its_own_keys_and_those_that_the_event_names() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    std::fs::write(data.join("bridge.toml"), SETTINGS).unwrap();
    let service = Service::start(data, &[]);
    verb(0, data, &["config", "set", "--log-level=debug"]);
    // A request makes the service look at its file.
    assert_eq!(service.ask("/v1/alarms").0, 200);
    service.end();
    let log = std::fs::read_to_string(data.join("log")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut lines = lines.filter(|line| line["message"] == "the file of settings asks for another level");
    let line = lines.next().unwrap();
    let keys: BTreeSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["file", "level", "line", "log_level", "message", "module", "service", "time"];
    assert_eq!(keys, expected.into_iter().collect());
    assert_eq!((&line["level"], &line["log_level"]), (&json!("info"), &json!("DEBUG")));
}
