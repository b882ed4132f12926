//! An anvil process that ends with its owner.

use crate::rpc::{Rpc, RpcError};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How to get anvil where there is npm.
pub const INSTALL: &str = "npm install --global @foundry-rs/anvil@1.7.1";
/// The chain that the bridge is made for.
const CHAIN_ID: u64 = 138;
/// How long anvil may take until it listens: it makes ten keys.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no anvil.
#[derive(Debug, thiserror::Error)]
pub enum AnvilError {
    /// There is no such program.
    #[error("no anvil: neither DSM_ANVIL nor PATH names one")]
    Missing,
    /// It could not be started.
    #[error("anvil does not start: {0}")]
    Start(#[from] std::io::Error),
    /// It ended, or said nothing, before it listened.
    #[error("anvil did not say where it listens")]
    Silent,
    /// It does not answer.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

/// A running anvil.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    url: String,
}

impl Anvil {
    /// The program: `DSM_ANVIL`, or `anvil` from `PATH`.
    pub fn find() -> Option<PathBuf> {
        if let Some(named) = std::env::var_os("DSM_ANVIL").filter(|name| !name.is_empty()) {
            return Some(PathBuf::from(named));
        }
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders).map(|folder| folder.join("anvil")).find(|path| path.is_file())
    }

    /// Whether a test may start one. It says aloud when it has to be skipped, and fails where `DSM_ANVIL_REQUIRED` is 1.
    ///
    /// # Panics
    /// If there is none where there must be one.
    pub fn for_test(name: &str) -> bool {
        if Anvil::find().is_some() {
            return true;
        }
        let required = std::env::var("DSM_ANVIL_REQUIRED").is_ok_and(|value| value == "1");
        assert!(!required, "{name} needs anvil: DSM_ANVIL names none, PATH neither; `{INSTALL}`");
        // Past the harness, which swallows what `println!` says.
        let words = format!("SKIPPED {name}: no anvil in DSM_ANVIL or PATH; `{INSTALL}` installs it\n");
        drop(std::io::stderr().write_all(words.as_bytes()));
        false
    }

    /// Starts one with chain id 138 and London's rules on a free port. It makes a block for each transaction.
    ///
    /// # Errors
    /// [`AnvilError`].
    pub fn start() -> Result<Anvil, AnvilError> {
        Anvil::start_with(CHAIN_ID, &[])
    }

    /// Starts one with another chain id and further arguments.
    ///
    /// # Errors
    /// [`AnvilError`].
    pub fn start_with(chain_id: u64, further: &[&str]) -> Result<Anvil, AnvilError> {
        let program = Anvil::find().ok_or(AnvilError::Missing)?;
        let mut command = Command::new(program);
        command.args(["--port", "0", "--hardfork", "london", "--gas-limit", "30000000", "--chain-id"]);
        command.arg(chain_id.to_string()).args(further);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take();
        let mut anvil = Anvil { child, url: String::new() };
        let (sender, listening) = mpsc::channel();
        // Reads to the end, so that anvil is never refused its words.
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
                let Ok(line) = line else { return };
                if let Some(address) = line.trim().strip_prefix("Listening on ") {
                    // Nobody waits any more if this is the second address.
                    drop(sender.send(address.to_owned()));
                }
            }
        });
        let address = listening.recv_timeout(PATIENCE).map_err(|_| AnvilError::Silent)?;
        anvil.url = format!("http://{address}");
        anvil.rpc().call("eth_chainId", serde_json::json!([]))?;
        Ok(anvil)
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of it.
    pub fn rpc(&self) -> Rpc {
        Rpc::new(&self.url)
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
