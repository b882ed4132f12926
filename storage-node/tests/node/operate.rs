//! What an operator does with a node, and the exit codes that scripts rely on.

use super::chronicle::Chronicle;
use super::leader::{Core, DEADLINE, topology};
use super::program::{PROGRAM, Program, json, run};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a route answers: its status and its body.
fn get(url: &str, path: &str) -> (u16, String) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    let mut answer = agent.get(format!("{url}{path}")).call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_in_the_life_of_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let data = path("data");
    let key = json(0, &["key", "--data", &data]);
    assert_eq!(key, json(0, &["key", "--data", &data]), "the key is made once");
    let mode = std::fs::metadata(folder.path().join("data/storage.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut chronicle = Chronicle::new(51);
    chronicle.write_some(30);
    chronicle.publish(0, 3_000);
    let node = Program::start(folder.path().join("data").as_path(), &chronicle, "127.0.0.1:0");
    assert_eq!(node.banner["node"], key["node"]);
    assert_eq!(node.banner["public_key"], key["public_key"]);
    let url = node.url().to_owned();
    assert_eq!(get(&url, "/v1/health").0, 200);
    let (status, body) = get(&url, "/v1/ready");
    assert_eq!(status, 503);
    assert!(body.contains("\"no_topology\""), "{body}");
    assert_eq!(get(&url, "/v1/nothing").0, 404);

    let topology = topology(&chronicle, 1, vec![node.member()]);
    let mut core = Core::start(chronicle, topology);
    let head = core.all_acked().await;
    assert_eq!(get(&url, "/v1/ready").0, 200);
    let mut status = node.status();
    while status["blobs"] != 1 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        status = node.status();
    }
    assert_eq!(status["head"], head.position);
    assert_eq!(status["state"], "serving");
    let (_, metrics) = get(&url, "/metrics");
    for family in ["head", "first", "lag", "epoch", "acks_total", "fsync_seconds_bucket", "repairs_total"] {
        assert!(metrics.contains(&format!("\ndsm_storage_{family}")), "{family}: {metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));

    let file = path("backup");
    let report = json(0, &["backup", "create", &file, "--node", &url]);
    assert_eq!(report, json(0, &["backup", "verify", &file]));
    assert_eq!((&report["head"], &report["blobs"]), (&Value::from(head.position), &Value::from(1)));
    assert_eq!(json(2, &["backup", "create", &file, "--node", &url])["error"]["code"], "usage");
    assert_eq!(json(0, &["scrub", "--node", &url])["damaged"], 0);
    assert_eq!(json(0, &["evidence", "--node", &url]), Value::Array(vec![]));
    assert_eq!(json(1, &["scrub", "--offline", "--data", &data])["error"]["code"], "in_use");

    assert_eq!(json(0, &["drain", "--node", &url])["draining"], true);
    core.stop().await;
    assert_eq!(node.wait(), Some(0));
    assert_eq!(json(3, &["status", "--node", &url])["error"]["code"], "unreachable");

    // What the stopped node has, what was restored, and what was saved are the same bytes.
    let (again, third) = (path("again"), path("third"));
    assert_eq!(json(0, &["backup", "create", &again, "--offline", "--data", &data]), report);
    let restored = path("restored");
    assert_eq!(json(0, &["backup", "restore", &file, "--data", &restored]), report);
    assert_eq!(json(1, &["backup", "restore", &file, "--data", &restored])["error"]["code"], "not_empty");
    assert_eq!(json(0, &["backup", "create", &third, "--offline", "--data", &restored]), report);
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(&third).unwrap());
    assert_eq!(json(0, &["scrub", "--offline", "--data", &restored])["damaged"], 0);
    // A flipped bit is an integrity failure of the backup, and of the directory.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(json(4, &["backup", "verify", &file])["error"]["code"], "bad_archive");
    let segment = folder.path().join("restored/policies");
    let blob = std::fs::read_dir(segment).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&blob, b"other").unwrap();
    let output = run(&["scrub", "--offline", "--data", &restored]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
}

#[test]
fn o12_what_cannot_work_is_refused_at_the_start_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let data = path("data");
    std::fs::write(path("bad.toml"), "listen = \"127.0.0.1:0\"\nretentoin = \"3\"\n").unwrap();
    std::fs::write(path("file"), "").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let key = hex::encode(Chronicle::new(52).node_key().bytes);
    let listening = |listen| vec!["run", "--data", &data, "--listen", listen, "--core-key", &key];
    let rows: [(i32, &str, Vec<&str>); 12] = [
        (2, "usage", vec!["run", "--listem", "x"]),
        (2, "no_core_key", vec!["run", "--data", &data, "--listen", "127.0.0.1:0"]),
        (2, "usage", vec!["run", "--data", &data, "--core-key", "abcd"]),
        (2, "unknown_setting", vec!["run", "--data", &data, "--config", "BAD"]),
        (1, "listen", listening(&taken)),
        (2, "usage", listening("nowhere")),
        (2, "usage", listening("127.0.0.1")),
        (2, "usage", listening("127.0.0.1:99999")),
        (2, "usage", vec!["config", "set", "--data", &data, "--listen=nowhere"]),
        (1, "directory", vec!["run", "--data", "FILE", "--listen", "127.0.0.1:0", "--core-key", &key]),
        (3, "unreachable", vec!["status", "--node", "http://127.0.0.1:1"]),
        (2, "usage", vec!["backup", "verify", "NOWHERE"]),
    ];
    for (code, word, args) in rows {
        let (bad, file, nowhere) = (path("bad.toml"), path("file"), path("nowhere"));
        let args: Vec<&str> = args
            .into_iter()
            .map(|arg| match arg {
                "BAD" => bad.as_str(),
                "FILE" => file.as_str(),
                "NOWHERE" => nowhere.as_str(),
                other => other,
            })
            .collect();
        assert_eq!(json(code, &args)["error"]["code"], word, "{args:?}");
        // For people: the same on stderr, nothing on stdout.
        let output = run(&args);
        assert!(output.stdout.is_empty(), "{output:?}");
        assert!(!output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn settings_are_shown_with_where_they_came_from_and_kept_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").to_str().unwrap().to_owned();
    let file = folder.path().join("data/storage.toml");
    let setting = |name: &str| {
        let shown = json(0, &["config", "show", "--data", &data]);
        let all = shown["settings"].as_array().unwrap();
        let one = all.iter().find(|one| one["name"] == name).unwrap();
        (one["value"].as_str().map(str::to_owned), one["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(setting("retention"), (Some("archive".into()), "default".into()));
    let changed = json(0, &["config", "set", "--data", &data, "--retention=30", "--log-level=debug"]);
    assert_eq!(
        (&changed["changed"][0]["name"], &changed["changed"][0]["live"]),
        (&"log-level".into(), &true.into())
    );
    assert_eq!(
        (&changed["changed"][1]["before"], &changed["changed"][1]["after"]),
        (&"archive".into(), &"30".into())
    );
    assert_eq!(setting("retention"), (Some("30".into()), "file".into()));
    let kept = std::fs::read_to_string(&file).unwrap();
    for wrong in ["--retention=forever", "--verifiers=0", "--log-level=loud", "--retentoin=3"] {
        assert_eq!(json(2, &["config", "set", "--data", &data, wrong])["error"]["code"], "usage", "{wrong}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), kept, "nothing of what was refused is kept");
}

#[test]
fn a_level_that_is_set_is_in_force_in_the_running_node_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let key = hex::encode(Chronicle::new(54).node_key().bytes);
    let start = |log: &str| {
        let mut command = Command::new(PROGRAM);
        command.args([
            "run",
            "--listen",
            "127.0.0.1:0",
            "--json",
            "--log-format",
            "json",
            "--core-key",
            &key,
        ]);
        let log = std::fs::File::create(folder.path().join(log)).unwrap();
        Program::wait_for(command.arg("--data").arg(&data).stderr(log))
    };
    let lines = |log: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(folder.path().join(log)).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let node = start("first");
    json(0, &["config", "set", "--data", data.to_str().unwrap(), "--log-level=debug"]);
    let said = || {
        let mut found = lines("first").into_iter();
        found.find(|line| line["message"] == "the file of settings asks for another level")
    };
    let end = Instant::now() + DEADLINE;
    while said().is_none() {
        assert!(Instant::now() < end, "the node has not looked at its file");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(said().unwrap()["log_level"], "DEBUG");
    // A file that somebody broke by hand changes nothing, and the log says so.
    let file = data.join("storage.toml");
    let kept = std::fs::read_to_string(&file).unwrap();
    let replace = |text: &str| {
        let beside = folder.path().join("by-hand");
        std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &file)).unwrap();
    };
    replace(&format!("retention = \"30\"\nscrub_interval_s = 0\n{kept}"));
    let refused =
        || lines("first").into_iter().find(|line| line["message"] == "the file of settings is not taken up");
    while refused().is_none() {
        assert!(Instant::now() < end, "the node has not looked at its file again");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(refused().unwrap()["reason"].as_str().unwrap().starts_with("scrub_interval_s"));
    assert_eq!(node.status()["retention"], "archive");
    replace(&kept);
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    let again = start("second");
    again.signal("TERM");
    assert_eq!(again.wait(), Some(0));
    let shown = json(0, &["config", "show", "--data", data.to_str().unwrap()]);
    let level = shown["settings"].as_array().unwrap().iter().find(|one| one["name"] == "log-level").unwrap();
    assert_eq!((&level["value"], &level["origin"]), (&"debug".into(), &"file".into()));
    assert!(lines("second").iter().all(|line| line["log_level"].is_null()), "it is there from the start");
}

#[test]
fn retention_and_intervals_that_are_set_are_in_force_in_the_running_node_unless_it_was_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let chronicle = Chronicle::new(55);
    let set = |settings: &[&str]| {
        let verb = ["config", "set", "--data", data.to_str().unwrap()];
        json(0, &[&verb, settings].concat())["changed"].clone()
    };
    let until = |node: &Program, what: &str, wanted: &dyn Fn(&Value) -> bool| {
        let end = Instant::now() + DEADLINE;
        while !wanted(&node.status()) {
            assert!(Instant::now() < end, "{what}: {:#}", node.status());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let node = Program::start(&data, &chronicle, "127.0.0.1:0");
    assert_eq!((&node.status()["retention"], &node.status()["scrub"]), (&"archive".into(), &Value::Null));
    let changed = set(&["--retention=30", "--scrub-interval-s=1", "--verifiers=1"]);
    let live = |name: &str| {
        let all = changed.as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()["live"].as_bool()
    };
    assert_eq!((live("retention"), live("scrub-interval-s")), (Some(true), Some(true)));
    assert_eq!(live("verifiers"), Some(false), "threads are started once");
    until(&node, "the new retention", &|status| status["retention"] == "30 days");
    until(&node, "a scrub after a second and not after a day", &|status| status["scrub"].is_object());
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));

    let mut command = Command::new(PROGRAM);
    let node = Program::arguments(&mut command, &data, &chronicle, "127.0.0.1:0").args(["--retention", "7"]);
    set(&["--scrub-interval-s=86400"]);
    let node = Program::wait_for(node);
    assert_eq!(node.status()["retention"], "7 days", "a flag stands over the file");
    // Both are found in one look: where the one has been taken up, the other has been passed over.
    set(&["--scrub-interval-s=1", "--retention=90"]);
    until(&node, "a scrub", &|status| status["scrub"].is_object());
    assert_eq!(node.status()["retention"], "7 days");
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
}

#[test]
fn two_processes_never_share_a_directory_and_signals_end_a_node_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let chronicle = Chronicle::new(53);
    for signal in ["TERM", "INT", "USR1"] {
        let node = Program::start(folder.path(), &chronicle, "127.0.0.1:0");
        let key = hex::encode(chronicle.node_key().bytes);
        let data = folder.path().to_str().unwrap();
        let second = ["run", "--data", data, "--listen", "127.0.0.1:0", "--core-key", &key];
        assert_eq!(json(1, &second)["error"]["code"], "in_use");
        node.signal(signal);
        assert_eq!(node.wait(), Some(0), "{signal}");
    }
}
