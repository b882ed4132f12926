//! What operators reach for: backups, the doctor, the inventory, the gate; the real binary against a node in another
//! process.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests may panic as tests do

#[path = "../program/mod.rs"]
mod program;

mod backup;
mod watch;

use program::{DSM, RunningNode};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A folder with a wallet, and the node that commands speak to.
struct Desk {
    folder: TempDir,
    url: String,
    /// What commands are told with `DSM_DATA`.
    data: PathBuf,
}

impl Desk {
    fn new(node: &RunningNode, data: &Path) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("passphrase"), "correct horse\n").unwrap();
        Desk { folder, url: node.url.clone(), data: data.to_path_buf() }
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
            .env("DSM_DATA", &self.data)
            .current_dir(self.folder.path());
        command
    }

    /// Runs a verb with `--json`; its exit code and the one value that it printed.
    fn run(&self, line: &str) -> (i32, Value) {
        let output = self.command(line).arg("--json").output().unwrap();
        let printed = serde_json::from_slice(&output.stdout);
        let printed = printed.unwrap_or_else(|error| panic!("{line}: {error}: {output:?}"));
        (output.status.code().unwrap(), printed)
    }

    fn ok(&self, line: &str) -> Value {
        let (code, value) = self.run(line);
        assert_eq!(code, 0, "{line}: {value:#}");
        value
    }

    fn fails(&self, line: &str, exit: i32, code: &str) {
        let (found, value) = self.run(line);
        let error = &value["error"];
        assert_eq!((found, error["code"].as_str()), (exit, Some(code)), "{line}: {value:#}");
        assert!(error["help"].is_string(), "{line}: {value:#}");
    }

    /// What people see, whatever the exit code.
    fn text(&self, line: &str) -> String {
        String::from_utf8(self.command(line).output().unwrap().stdout).unwrap()
    }
}
