//! `dsm demo bridge`: an EVM chain, a core node, a relayer and four attestors in one process, and value that crosses
//! between them by proof. The only place of this crate that runs a bridge's service.
//!
//! The chain is anvil, which executes as a real one but seals no headers: a shim in front of it adds the seals of test
//! validators. What is shown is that proofs, seals, policies and contracts fit together.

mod site;
mod story;
mod town;

use super::print::{Step, Told};
use crate::cli::failure::{Exit, Failure, file_failure};
use crate::cli::node::runtime;
use crate::cli::session::Session;
use crate::cli::show::line;
use dsm_qbft_shim::{Anvil, INSTALL};
use serde::Serialize;
use story::Story;
use town::{Chain, Town};

/// How far the chain's clock is behind: a lock can be past its deadline here while the contract still takes it.
const BEHIND_S: u64 = 2 * 60 * 60;

/// Options of `dsm demo bridge`.
#[derive(Debug, clap::Args)]
pub(crate) struct BridgeDemoArgs {
    /// A development chain of the kind of anvil that runs already [default: one of its own; `anvil` from PATH, or DSM_ANVIL]
    #[arg(long, value_name = "URL", env = "DSM_BRIDGE_ETHEREUM_RPC")]
    rpc: Option<String>,
    /// End after the story instead of keeping chain, node and service running
    #[arg(long)]
    exit: bool,
    /// Where to serve the core node's API; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,
}

/// The story and its end.
#[derive(Serialize)]
struct Summary<'a> {
    ok: bool,
    network: dsm_abi::NetworkId,
    bridge: dsm_abi::BridgeId,
    contract: String,
    shim: String,
    steps: &'a [Step],
}

/// Plays the story, then waits for a signal, or ends.
pub(super) fn run(session: &Session, args: &BridgeDemoArgs) -> Result<(), Failure> {
    let chain = match &args.rpc {
        Some(url) => Chain::at(url)?,
        None => Chain::start(BEHIND_S)?,
    };
    let folder = tempfile::tempdir().map_err(|error| file_failure(&std::env::temp_dir(), &error))?;
    let (runtime, json) = (runtime()?, session.globals.json);
    let told = Told::new(json);
    told.line("DSM bridge demonstration: the chain is anvil behind a shim that seals with TEST validators");
    let town = Town::build(&runtime, chain, folder.path(), &args.listen)?;
    let story = Story::new(town, told).play()?;
    if json {
        let summary = Summary {
            ok: true,
            network: story.town.stage.node.network(),
            bridge: story.town.bridge,
            contract: format!("0x{}", hex::encode(story.town.site.bridge)),
            shim: story.town.chain.shim.url(),
            steps: &story.told.steps,
        };
        line(&serde_json::to_string_pretty(&summary).map_err(|error| Failure::integrity("json", error))?);
    }
    story.told.line(&format!("\n    {} steps went as told", story.told.steps.len()));
    if !args.exit {
        story.told.line(&format!(
            "    everything stays up until Ctrl-C; try: dsm bridge status --bridge {} --rpc {} --node {}",
            story.town.bridge,
            story.town.chain.shim.url(),
            story.town.core_url,
        ));
        story
            .told
            .line(&format!("    the relayer shows its metrics at {}/metrics", story.town.relayer_url()));
        runtime.block_on(crate::cli::node::shutdown());
    }
    story.town.close()
}

/// Why there is no chain, and how to get one.
fn no_chain(error: impl std::fmt::Display) -> Failure {
    let help = match Anvil::find() {
        Some(_) => "check the program that DSM_ANVIL or PATH names: it should be anvil 1.7.1".to_owned(),
        None => format!("install it with `{INSTALL}`, or name a running one with DSM_BRIDGE_ETHEREUM_RPC"),
    };
    Failure::new(Exit::Unreachable, "no_chain", error).help(help)
}
