//! `dsm-bridge config`: the settings that the service takes up, shown and changed in their file.

use super::Output;
use super::failure::{Exit, Failure};
use super::live::LIVE;
use super::run::RunArgs;
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};
use dsm_settings::{Changed, Changes, RestingError, Service, SettingsError, Shown};
use std::path::{Path, PathBuf};

/// What is done with settings.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigVerb {
    /// Show what a service that starts now takes up, from its file and this environment
    Show {
        /// Tell where each value came from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Change settings in the file. A running service takes up --limit, --trusted-proxies, --allow-methods and
    /// --log-level at once, the others when it starts again
    Set {
        #[command(flatten)]
        changes: Changes<Flags>,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the file is.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The data directory
    #[arg(long, value_name = "DIR", env = "DSM_BRIDGE_DATA", default_value = "bridge")]
    data: PathBuf,
    /// The file of settings [default: bridge.toml in the data directory]
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_CONFIG")]
    config: Option<PathBuf>,
}

/// The service's flags are its settings.
#[derive(Debug)]
pub(crate) struct Flags;

impl Service for Flags {
    const PLACES: &'static [&'static str] = &["data", "config"];

    fn command() -> Command {
        RunArgs::augment_args(Command::new("run"))
    }
}

/// The verb whose flags are the settings.
pub(crate) fn verb() -> dsm_settings::Verb<'static> {
    let file = |run: &ArgMatches| {
        let data: &PathBuf = run.get_one("data").expect("it has a default");
        file_of(data, run.get_one::<PathBuf>("config").map(PathBuf::as_path))
    };
    dsm_settings::Verb { name: "run", settings: Flags::command(), places: Flags::PLACES, file }
}

fn file_of(data: &Path, config: Option<&Path>) -> PathBuf {
    config.map_or_else(|| data.join("bridge.toml"), Path::to_path_buf)
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        let help = match &error {
            SettingsError::Place(_) => "give it as a flag or in the environment",
            SettingsError::Unknown { .. } => {
                "`dsm-bridge run --help` lists the settings; in the file they have _ for -"
            }
            _ => "the file has lines such as poll_ms = 2000",
        };
        Failure::new(Exit::Usage, error.code(), &error).help(help)
    }
}

impl From<RestingError> for Failure {
    fn from(error: RestingError) -> Failure {
        match error {
            RestingError::File(error) => error.into(),
            RestingError::Value(text) => Failure::usage(text),
        }
    }
}

pub(crate) fn config(out: Output, verb: &ConfigVerb) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Show { origin, place } => {
            let shown = Shown::read::<Flags>(&file_of(&place.data, place.config.as_deref()))?;
            out.show(&shown, |shown| super::rows(shown.rows(*origin)))
        }
        ConfigVerb::Set { changes, place } => {
            if changes.set.is_empty() {
                return Err(Failure::usage("no setting was named")
                    .help("name settings by their flags, such as --poll-ms=2000"));
            }
            let path = file_of(&place.data, place.config.as_deref());
            let changed = Changed::write(&path, changes, &LIVE, |matches| {
                RunArgs::from_arg_matches(matches).map_err(RestingError::from)?.check()
            })?;
            out.show(&changed, Changed::text)
        }
    }
}
