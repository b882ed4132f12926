//! `dsm-storage-node config`: the settings that the node takes up, shown and changed in their file.

use super::Output;
use super::failure::{Exit, Failure};
use super::run::RunArgs;
use clap::{Args as _, Command, FromArgMatches as _};
use dsm_settings::{Answer, ConfigVerb, RestingError, Service, SettingsError};
use std::path::Path;

/// The node's flags are its settings.
#[derive(Debug)]
pub(crate) struct Node;

impl Service for Node {
    const RUN: &'static str = "dsm-storage-node run";
    const NOUN: &'static str = "node";
    const FILE: &'static str = "storage.toml";
    const EXAMPLE: (&'static str, &'static str) = ("retention", "\"30\"");
    const LIVE: &'static [&'static str] =
        &["retention", "scrub-interval-s", "anti-entropy-interval-s", "log-level"];

    fn command() -> Command {
        RunArgs::augment_args(Command::new("run"))
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        RestingError::from(error).into()
    }
}

impl From<RestingError> for Failure {
    fn from(error: RestingError) -> Failure {
        let help = error.help::<Node>();
        Failure { help, ..Failure::new(Exit::Usage, error.code(), error) }
    }
}

pub(crate) fn config(out: Output, verb: &ConfigVerb<Node>, data: &Path) -> Result<(), Failure> {
    let answer = verb.run(|matches| -> Result<(), Failure> {
        let args = RunArgs::from_arg_matches(matches).map_err(RestingError::from)?;
        args.settings.resolve(data).map(drop)
    })?;
    out.show(&answer, Answer::text)
}
