//! Nodes in other processes, each in a network namespace or in that of the test.

use crate::text;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) const DSM: &str = env!("CARGO_BIN_EXE_dsm");

/// Where a process runs and listens.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// A network namespace; none is the test's own.
    pub(crate) namespace: Option<&'static str>,
    /// Its IP address.
    pub(crate) host: String,
}

impl Place {
    pub(crate) fn here() -> Place {
        Place { namespace: None, host: "127.0.0.1".into() }
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let Some(namespace) = self.namespace else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }

    /// Runs a program to its end; what it prints.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Value {
        let output = self.command(program).args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}{}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A running node. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    banner: Value,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let banner = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Process { child, banner }
    }

    pub(crate) fn word(&self, name: &str) -> &str {
        self.banner[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.banner))
    }
}

impl Process {
    /// Ends it at once, as a crash would (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, such as STOP or CONT.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended, or not wanted any more; either way there is nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The storage node's program.
pub(crate) fn storage_program() -> PathBuf {
    let program = PathBuf::from(DSM).with_file_name("dsm-storage-node");
    assert!(program.exists(), "build it first: cargo build --workspace --bins");
    program
}

/// Starts a storage node at a port; 0 picks a free one.
pub(crate) fn storage(place: &Place, port: u16, data: &Path, core_key: &str) -> Process {
    let mut command = place.command(text(&storage_program()));
    let listen = format!("{}:{port}", place.host);
    command.args(["--json", "--data", text(data), "run", "--listen", &listen, "--core-key", core_key]);
    command.args(["--log-level", "error", "--verifiers", "1"]);
    Process::start(command)
}

/// Starts a core node whose API is at a port; 0 picks a free one.
pub(crate) fn core(place: &Place, port: u16, data: &Path, peers: &[String]) -> Process {
    let mut command = place.command(DSM);
    let (api, p2p) = (format!("{}:{port}", place.host), format!("{}:0", place.host));
    command.args(["node", "--json", "--data", text(data), "--listen", &api, "--p2p", &p2p]);
    command.args(["--log-level", "error", "--lead-wait", "60000"]);
    if place.namespace.is_some() {
        open_to_neighbours(&mut command, data);
    }
    for peer in peers {
        command.args(["--peer", peer]);
    }
    Process::start(command)
}

/// On other addresses than loopback a node wants to know who asks, or to be told that it need not.
fn open_to_neighbours(command: &mut Command, data: &Path) {
    let secret = data.with_extension("secret");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&secret).unwrap();
    file.write_all(&[b's'; 64]).unwrap();
    command.args(["--jwt-secret", text(&secret), "--anonymous", "read submit simulate events admin"]);
    for limit in ["default", "simulation", "chain-read", "events"] {
        command.args([format!("--limit-{limit}").as_str(), "0"]);
    }
}

/// HOST:PORT=KEY of a running storage node.
pub(crate) fn peer(storage: &Process) -> String {
    format!("{}={}", storage.word("address"), storage.word("public_key"))
}
