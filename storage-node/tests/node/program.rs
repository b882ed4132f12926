//! The real binary: a node in another process.

use super::chronicle::Chronicle;
use dsm_proto::Member;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_dsm-storage-node");

/// Runs a verb to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

/// The JSON answer of a verb that ends with this exit code.
pub(crate) fn json(code: i32, args: &[&str]) -> Value {
    let output = run(&[args, &["--json"]].concat());
    let answer = serde_json::from_slice(&output.stdout);
    let answer = answer.unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {answer:#}");
    answer
}

/// A running node. It is killed when this is dropped.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) banner: Value,
}

impl Program {
    /// Starts a node and waits until it serves.
    pub(crate) fn start(data: &Path, chronicle: &Chronicle, listen: &str) -> Program {
        let mut command = Command::new(PROGRAM);
        Program::wait_for(Program::arguments(&mut command, data, chronicle, listen))
    }

    pub(crate) fn arguments<'a>(
        command: &'a mut Command,
        data: &Path,
        chronicle: &Chronicle,
        listen: &str,
    ) -> &'a mut Command {
        command.args(["run", "--listen", listen, "--log-level", "error", "--json"]);
        command.args(["--core-key", &hex::encode(&chronicle.node_key().bytes), "--data"]).arg(data);
        command.args(["--anti-entropy-interval-s", "1"])
    }

    pub(crate) fn wait_for(command: &mut Command) -> Program {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let banner = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Program { child, banner }
    }

    pub(crate) fn url(&self) -> &str {
        self.banner["url"].as_str().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.banner["address"].as_str().unwrap().parse().unwrap()
    }

    /// The node as a topology names it.
    pub(crate) fn member(&self) -> Member {
        let key = hex::decode(self.banner["public_key"].as_str().unwrap()).unwrap();
        Member::new(key, self.address().to_string()).unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        json(0, &["status", "--node", self.url()])
    }

    /// Ends it at once, as a crash would (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end; its exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already ended, or not wanted any more; either way there is nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
