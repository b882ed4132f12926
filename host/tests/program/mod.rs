//! The real binary: a node in another process, and a command line that speaks to it.

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The binary under test.
pub(crate) const DSM: &str = env!("CARGO_BIN_EXE_dsm");

/// A running node. It is killed when this is dropped.
pub(crate) struct RunningNode {
    child: Child,
    /// Where its API is.
    pub(crate) url: String,
    /// What it printed when it took requests.
    pub(crate) banner: Value,
}

impl RunningNode {
    /// Starts a node on a free port and waits for its banner.
    pub(crate) fn start(data: &Path) -> RunningNode {
        let mut child = Command::new(DSM)
            .args([
                "node",
                "--listen",
                "127.0.0.1:0",
                "--p2p",
                "127.0.0.1:0",
                "--log-level",
                "warn",
                "--json",
                "--data",
            ])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a banner");
        let banner: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let url = banner["url"].as_str().expect("a url").to_owned();
        RunningNode { child, url, banner }
    }

    /// Ends it at once, as a crash would (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    /// Asks it to end (SIGTERM); its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
        self.child.wait().expect("it was started here").code()
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        // Already ended, or not wanted any more; either way there is nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Replays a log that no node has open, believing nothing; the report.
pub(crate) fn replay(data: &Path) -> Value {
    let output =
        Command::new(DSM).args(["replay", "--verify", "--json", "--data"]).arg(data).output().expect("runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["agrees"], true);
    report
}
