//! `dsm-bridge config`: the settings that the service takes up, shown and changed in their file.

use super::Output;
use super::failure::{Exit, Failure};
use super::run::RunArgs;
use clap::{Args as _, Command, FromArgMatches as _};
use dsm_settings::{Answer, ConfigVerb, RestingError, Service, SettingsError};

/// The service's flags are its settings.
#[derive(Debug)]
pub(crate) struct Bridge;

impl Service for Bridge {
    const RUN: &'static str = "dsm-bridge run";
    const NOUN: &'static str = "service";
    const FILE: &'static str = "bridge.toml";
    const EXAMPLE: (&'static str, &'static str) = ("poll-ms", "2000");
    const LIVE: &'static [&'static str] = &["limit", "trusted-proxies", "allow-methods", "log-level"];

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
        let help = error.help::<Bridge>();
        Failure { help, ..Failure::new(Exit::Usage, error.code(), error) }
    }
}

pub(crate) fn config(out: Output, verb: &ConfigVerb<Bridge>) -> Result<(), Failure> {
    let answer = verb.run(|matches| -> Result<(), Failure> {
        RunArgs::from_arg_matches(matches).map_err(RestingError::from)?.check()
    })?;
    out.show(&answer, Answer::text)
}
