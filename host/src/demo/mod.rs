//! `dsm demo`: a core node, a primary and a replica, six parties and a story of thirteen steps, in one process with
//! real logs, real fsync and real QUIC. The only place of this crate that has storage nodes.

mod bridge;
mod cast;
mod e2e;
mod keepers;
mod print;
mod stage;
mod story;

use crate::cli::failure::{Failure, file_failure};
use crate::cli::node::{Serving, runtime};
use crate::cli::session::Session;
use crate::cli::show::line;
use dsm_host::node::NodeConfig;
use dsm_sdk::receipt::Durability;
use print::{Step, Told};
use serde::Serialize;
use stage::Stage;
use std::path::PathBuf;
use std::time::Duration;
use story::Story;

/// How long a storage node may take to acknowledge before the story ends: it is in the same process.
const PATIENCE: Duration = Duration::from_secs(30);

/// Options of `dsm demo`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    other: Option<OtherDemo>,
    /// Keep the data here, the core node's in DIR/core [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The storage nodes beside the core node
    #[arg(long, value_enum, default_value_t = Keep::Two)]
    storage: Keep,
    /// End after the story instead of serving the API
    #[arg(long)]
    exit: bool,
    /// Where to serve the API after the story; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7545")]
    listen: String,
}

/// Another demonstration.
#[derive(Debug, clap::Subcommand)]
enum OtherDemo {
    /// Watch a bridge at work: ether and an ERC-20 wrapped, spent under a policy, and released again
    Bridge(bridge::BridgeDemoArgs),
    /// Watch a settlement end to end: credentials, approvals, a quote, delivery versus payment, and evidence judged again
    E2e(e2e::EndToEndArgs),
}

/// Which storage nodes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Keep {
    /// A primary and a replica: receipts say `replicated:2`
    Two,
    /// None: receipts say `local`, and the two steps about storage nodes are left out
    None,
}

/// The story and its end.
#[derive(Serialize)]
struct Summary<'a> {
    ok: bool,
    network: dsm_abi::NetworkId,
    data: PathBuf,
    url: Option<String>,
    steps: &'a [Step],
}

/// Plays the story, then serves the API until a signal, or ends.
pub(crate) fn run(session: &Session, args: &DemoArgs) -> Result<(), Failure> {
    match &args.other {
        Some(OtherDemo::Bridge(args)) => return bridge::run(session, args),
        Some(OtherDemo::E2e(args)) => return e2e::run(session, args),
        None => {}
    }
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|error| file_failure(&std::env::temp_dir(), &error))?),
    };
    let data = args.data.clone().or_else(|| temporary.as_ref().map(|folder| folder.path().to_path_buf()));
    let data = data.unwrap_or_default();
    let runtime = runtime()?;
    let serving = if args.exit { None } else { Some(Serving::bind(&runtime, &args.listen)?) };
    let json = session.globals.json;
    let mut config = NodeConfig::new(data.join("core"));
    config.network_name = "demo".into();
    config.engine.compiler = crate::cli::node::compiler();
    let beside = (args.storage == Keep::Two).then_some(data.as_path());
    if beside.is_some() {
        config.durability = Durability::Replicated(2);
        config.durability_wait = PATIENCE;
    }
    let stage = Stage::open(config, runtime.handle().clone(), beside)?;
    let told = Told::new(json);
    told.line(&format!("DSM demonstration: network {} in {}", stage.node.network(), data.display()));
    let story = Story::new(stage, told)?.play()?;
    let node = story.stage.node.clone();
    let url = serving.as_ref().map(Serving::url);
    if json {
        let summary =
            Summary { ok: true, network: node.network(), data, url: url.clone(), steps: &story.told.steps };
        line(&serde_json::to_string_pretty(&summary).map_err(|error| Failure::integrity("json", error))?);
    }
    let status = node.status();
    story.told.line(&format!(
        "\n    {} steps went as told: {} accounts, {} tokens, {} policies, {} log records, all on disk",
        story.told.steps.len(),
        status.accounts,
        status.tokens,
        status.policies,
        status.position,
    ));
    if let (Some(serving), Some(url)) = (serving, url) {
        story.told.line(&format!("    the API stays up at {url} until Ctrl-C; try: dsm status --node {url}"));
        serving.run(&runtime, node.clone())?;
    }
    drop(node);
    story.stage.close()
}
