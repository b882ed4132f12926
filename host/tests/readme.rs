//! The README's sessions, run as they stand: a node in one terminal, its user in another, the auditor afterwards.
//!
//! A block of the README that is introduced by `<!-- runs: NAME -->` is a session. Lines that begin with `$ ` are
//! commands, those with `> ` continue them; everything else is output that must be seen, in this order, where `…`
//! stands for anything. A command whose output shows `error[` must fail, every other one must succeed.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const DSM: &str = env!("CARGO_BIN_EXE_dsm");

/// One command of a session and what the README says it prints.
#[derive(Debug, Default)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The session of this name.
fn session(readme: &str, name: &str) -> Vec<Step> {
    let introduction = format!("<!-- runs: {name} -->\n```console\n");
    let (_, rest) = readme.split_once(&introduction).unwrap_or_else(|| panic!("no session {name}"));
    let (block, _) = rest.split_once("\n```").expect("a block has an end");
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), shown: Vec::new() });
            continue;
        }
        let step = steps.last_mut().expect("a session begins with a command");
        match line.strip_prefix("> ") {
            Some(more) => step.command.extend(["\n", more]),
            None => step.shown.push(line.to_owned()),
        }
    }
    steps
}

/// Whether `line` is `pattern`, where `…` stands for anything and spaces at the ends do not count.
fn matches(pattern: &str, line: &str) -> bool {
    let pieces: Vec<&str> = pattern.trim().split('…').collect();
    let mut rest = line.trim();
    for (number, piece) in pieces.iter().enumerate() {
        let at = match number {
            0 => rest.starts_with(piece).then_some(0),
            _ if number + 1 == pieces.len() => {
                rest.ends_with(piece).then(|| rest.len().saturating_sub(piece.len()))
            }
            _ => rest.find(piece),
        };
        match at {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    pieces.len() > 1 || rest.is_empty()
}

fn shell(folder: &Path) -> Command {
    let bin = Path::new(DSM).parent().expect("the binary is in a folder");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.current_dir(folder).env("PATH", path).env("HOME", folder).stdin(Stdio::null());
    for name in ["DSM_NODE", "DSM_WALLET", "DSM_PASSPHRASE_FILE", "DSM_DATA", "DSM_LISTEN"] {
        command.env_remove(name);
    }
    // Rust is installed for the user whose home this is not.
    for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        if let (None, Some(home)) = (std::env::var_os(name), std::env::var_os("HOME")) {
            command.env(name, Path::new(&home).join(folder));
        }
    }
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// A node that ends with its owner, at the latest. What it prints is read, or at least not refused.
struct Node(Child, BufReader<ChildStdout>);

impl Drop for Node {
    fn drop(&mut self) {
        // An error means that it has ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Node {
    /// Starts the README's command on a free port and reads the API's address from what it prints.
    fn start(folder: &Path, command: &str) -> (Node, String) {
        let mut shell = shell(folder);
        shell
            .args(["-c", &format!("exec {command}")])
            .env("DSM_LISTEN", "127.0.0.1:0")
            .env("DSM_P2P", "127.0.0.1:0");
        let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bash is there");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut node = Node(child, stdout);
        let url = node.1.by_ref().lines().find_map(|line| {
            let line = line.expect("the output is text");
            line.find("http://").map(|at| line[at..].trim().to_owned())
        });
        (node, url.expect("a node prints its address"))
    }

    /// Ends it as an operator does.
    fn stop(mut self) {
        let ended = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        assert!(ended.expect("kill is there").success());
        let status = self.0.wait().expect("it can be waited for");
        assert!(status.success(), "the node ended with {status}");
    }
}

/// Runs a session in one shell and compares what it prints.
fn run(folder: &Path, url: Option<&str>, steps: &[Step]) {
    let mut script = String::from("exec 2>&1\n");
    for (number, step) in steps.iter().enumerate() {
        script += &format!("{}\nprintf '\\n@@ {number} %s\\n' $?\n", step.command);
    }
    let mut shell = shell(folder);
    if let Some(url) = url {
        shell.env("DSM_NODE", url);
    }
    let mut child = shell.args(["-c", &script]).stdout(Stdio::piped()).spawn().expect("bash is there");
    let mut output = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut output).expect("the output is text");
    child.wait().expect("it can be waited for");
    let mut rest = output.as_str();
    for (number, step) in steps.iter().enumerate() {
        let (printed, after) = rest
            .split_once(&format!("\n@@ {number} "))
            .unwrap_or_else(|| panic!("the session ended in {}:\n{output}", step.command));
        let (status, after) = after.split_once('\n').expect("the mark has a line");
        rest = after;
        let may_fail = step.shown.iter().any(|line| line.starts_with("error["));
        assert_eq!(status != "0", may_fail, "{} ended with {status}:\n{printed}", step.command);
        let mut lines = printed.lines();
        for shown in step.shown.iter().filter(|shown| !shown.trim().is_empty()) {
            let found = lines.any(|line| matches(shown, line));
            assert!(found, "{} does not print\n  {shown}\nbut\n{printed}", step.command);
        }
    }
}

#[test]
fn the_readme_tells_what_happens() {
    let (readme, folder) = at_hand();
    let node = session(&readme, "node");
    assert_eq!(node.len(), 1, "a terminal runs one node");
    let (running, url) = Node::start(folder.path(), &node[0].command);
    run(folder.path(), Some(&url), &session(&readme, "user"));
    running.stop();
    run(folder.path(), None, &session(&readme, "auditor"));
}

/// The README, and a folder in which a reader can follow it: with a place for data, and the policies.
fn at_hand() -> (String, tempfile::TempDir) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(project.join("README.md")).expect("the README is there");
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("data")).expect("a new folder is empty");
    std::os::unix::fs::symlink(project.join("policies"), folder.path().join("policies")).expect("a link");
    (readme, folder)
}

#[test]
fn the_readme_tells_how_a_policy_is_replaced_and_how_evidence_is_brought() {
    let (readme, folder) = at_hand();
    let (running, url) = Node::start(folder.path(), &session(&readme, "node")[0].command);
    for name in ["user", "upgrade", "feed"] {
        run(folder.path(), Some(&url), &session(&readme, name));
    }
    running.stop();
}

/// Compiling a policy takes a WASM toolchain and cargo's registry, so `.ci/run` asks for it where both are.
#[test]
fn the_readme_tells_how_a_policy_is_written_and_published() {
    if std::env::var_os("DSM_WASM_REQUIRED").is_none() {
        eprintln!("skipped: DSM_WASM_REQUIRED=1 builds the README's policy");
        return;
    }
    let (readme, folder) = at_hand();
    let (running, url) = Node::start(folder.path(), &session(&readme, "node")[0].command);
    run(folder.path(), Some(&url), &session(&readme, "user"));
    run(folder.path(), Some(&url), &session(&readme, "policy"));
    running.stop();
}

/// Ports of the README, which may be taken here.
const PORTS: [&str; 4] = ["7545", "8765", "8766", "8767"];

/// As many ports that are free, and stay so: below those that the system gives to sockets that ask for any.
fn free_ports() -> [u16; PORTS.len()] {
    // Two runs at once do not begin at the same port.
    let begin = 10_000 + (std::process::id() % 1_000) as u16 * 10;
    let is_free = |port: &u16| {
        let address = ("127.0.0.1", *port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    let ports: Vec<u16> = (begin..32_768).filter(is_free).take(PORTS.len()).collect();
    ports.try_into().expect("some ports are free")
}

#[test]
fn the_readme_tells_how_storage_nodes_run_and_give_back_what_they_keep() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(project.join("README.md")).expect("the README is there");
    let program = Path::new(DSM).with_file_name("dsm-storage-node");
    assert!(program.exists(), "build it first: cargo build --workspace --bins");
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("data")).expect("a new folder is empty");
    let free = free_ports().map(|port| port.to_string());
    let mut steps = session(&readme, "cluster");
    steps.extend(session(&readme, "cluster, later"));
    for step in &mut steps {
        for (port, free) in PORTS.iter().zip(&free) {
            step.command = step.command.replace(&format!(":{port}"), &format!(":{free}"));
        }
    }
    let ports = |name: &str, port: &str| format!("export {name}=127.0.0.1:{port}\n");
    let mut first = String::from("trap 'kill $(jobs -p)' EXIT\n");
    first += &ports("DSM_LISTEN", &free[0]);
    first += &format!("export DSM_NODE=http://127.0.0.1:{}\n", free[0]);
    first += &ports("DSM_P2P", &free[1]);
    steps[0].command = first + &steps[0].command;
    run(folder.path(), None, &steps);
}

#[test]
fn the_readme_tells_what_the_end_to_end_story_and_its_evidence_show() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(project.join("README.md")).expect("the README is there");
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("data")).expect("a new folder is empty");
    run(folder.path(), None, &session(&readme, "evidence"));
}

#[test]
fn the_readme_tells_what_the_bridge_s_demonstration_shows() {
    if !dsm_qbft_shim::Anvil::for_test("the README's demonstration of the bridge") {
        return;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(project.join("README.md")).expect("the README is there");
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(folder.path(), None, &session(&readme, "bridge"));
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    assert!(matches("a … c", "a b b c"));
    assert!(matches("…: at height 2", "account 7f: at height 2"));
    assert!(!matches("a … c", "a b"));
    assert!(!matches("a", "a b"));
    assert!(!matches("… c … d", "c d c"));
    assert!(matches("same", "  same "));
}
