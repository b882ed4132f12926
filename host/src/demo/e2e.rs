//! `dsm demo e2e`: seven steps from a credential to an evidence package that a stranger judges again offline, in one
//! process with a real log and real fsync. With `--break` one of them goes wrong on purpose, and the story ends where it
//! does.

mod company;
mod story;

use super::print::{Step, Told};
use super::stage::Stage;
use crate::cli::failure::{Failure, file_failure};
use crate::cli::node::{Serving, runtime};
use crate::cli::session::Session;
use crate::cli::show::line;
use dsm_host::node::NodeConfig;
use serde::Serialize;
use std::path::PathBuf;
use story::Story;

/// Options of `dsm demo e2e`.
#[derive(Debug, clap::Args)]
pub(crate) struct EndToEndArgs {
    /// Keep the data here, the core node's in DIR/core, the evidence beside it [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Do one thing wrong: the story must end at its step, with the refusal that belongs to it
    #[arg(long = "break", value_enum, value_name = "WHAT")]
    broken: Option<Break>,
    /// End after the story instead of serving the API
    #[arg(long)]
    exit: bool,
    /// Where to serve the API after the story; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7545")]
    listen: String,
}

/// What goes wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Break {
    /// Step 1: Bob shows a credential that the issuer did not sign
    CredentialForged,
    /// Step 2: Alice's credential is revoked before units are issued to her
    CredentialRevoked,
    /// Step 2: units are issued to somebody who showed no credential
    CredentialMissing,
    /// Step 3: one person approves twice
    ApprovedTwice,
    /// Step 4: the desk prices a request at a rate that is too old
    RateStale,
    /// Step 4: nothing is held for the exchange, so the desk cannot pay
    HoldMissing,
    /// Step 4: Bob settles the exchange without paying his side
    PaymentMissing,
    /// Step 4: Alice delivers without payment
    DeliveryUnpaid,
    /// Step 5: somebody alters the record on its way to another chain
    RecordAltered,
    /// Step 6: a byte of the evidence package is flipped
    PackageFlipped,
    /// Step 7: a policy is judged again with another module
    ModuleExchanged,
}

/// The story and its end.
#[derive(Serialize)]
struct Summary<'a> {
    ok: bool,
    network: dsm_abi::NetworkId,
    /// Where the evidence package is, if it is kept.
    evidence: Option<PathBuf>,
    url: Option<String>,
    steps: &'a [Step],
}

/// Plays the story, then serves the API until a signal, or ends.
pub(super) fn run(session: &Session, args: &EndToEndArgs) -> Result<(), Failure> {
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|error| file_failure(&std::env::temp_dir(), &error))?),
    };
    let data = args.data.clone().or_else(|| temporary.as_ref().map(|folder| folder.path().to_path_buf()));
    let data = data.unwrap_or_default();
    let (runtime, json) = (runtime()?, session.globals.json);
    let serving = if args.exit { None } else { Some(Serving::bind(&runtime, &args.listen)?) };
    let mut config = NodeConfig::new(data.join("core"));
    config.network_name = "demo-e2e".into();
    config.engine.compiler = crate::cli::node::compiler();
    let stage = Stage::open(config.clone(), runtime.handle().clone(), None)?;
    let network = stage.node.network();
    let told = Told::new(json);
    told.line(&format!("DSM, end to end: network {network} in {}", data.display()));
    let story = Story::new(stage, told, args.broken)?.play(&data)?;
    let url = serving.as_ref().map(Serving::url);
    if json {
        let steps = &story.told.steps;
        let evidence = temporary.is_none().then(|| story.file.clone());
        let summary = Summary { ok: true, network, evidence, url: url.clone(), steps };
        line(&serde_json::to_string_pretty(&summary).map_err(|error| Failure::integrity("json", error))?);
    }
    story.told.line(&format!("\n    {} steps went as told", story.told.steps.len()));
    let (file, trust) = (story.file.display(), data.join("node.json"));
    story.told.line(&match temporary {
        Some(_) => "    the evidence goes with the data; --data DIR keeps both".to_owned(),
        None => format!("    try: dsm evidence verify {file} --trust {}", trust.display()),
    });
    if let (Some(serving), Some(url)) = (serving, url) {
        story.told.line(&format!("    the API stays up at {url} until Ctrl-C; try: dsm status --node {url}"));
        let stage = Stage::open(config, runtime.handle().clone(), None)?;
        serving.run(&runtime, stage.node.clone())?;
        stage.close()?;
    }
    Ok(())
}
