//! `dsm-storage-node config`: the settings that the node takes up, shown and changed in their file.

use super::Output;
use super::failure::{Exit, Failure};
use super::run::RunArgs;
use clap::{ArgMatches, Args as _, Command, FromArgMatches};
use dsm_settings::{Setting, SettingsError, SettingsFile, bare, given, in_force};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Flags that say where the file is.
const PLACES: [&str; 2] = ["data", "config"];

/// What is done with settings.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigVerb {
    /// Show what a node that starts now takes up, from its file and this environment
    Show {
        /// Tell where each value came from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Change settings in the file. A running node takes up --log-level at once, the others when it starts again
    Set {
        #[command(flatten)]
        changes: Changes,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the file is.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The file of settings [default: storage.toml in the data directory]
    #[arg(long, value_name = "FILE", env = "DSM_STORAGE_CONFIG")]
    config: Option<PathBuf>,
}

/// The settings that a command line names, by their flags.
#[derive(Debug)]
pub(crate) struct Changes(BTreeMap<String, Vec<String>>);

impl clap::Args for Changes {
    fn augment_args(command: Command) -> Command {
        let flags = bare(run_command());
        flags
            .get_arguments()
            .filter(|arg| !PLACES.contains(&arg.get_id().as_str()))
            .fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Changes::augment_args(command)
    }
}

impl FromArgMatches for Changes {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Changes, clap::Error> {
        Ok(Changes(given(&bare(run_command()), &PLACES, matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Changes::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flags of `run` alone.
fn run_command() -> Command {
    RunArgs::augment_args(Command::new("run"))
}

/// The verb whose flags are the settings.
pub(crate) fn verb() -> dsm_settings::Verb<'static> {
    let file = |run: &ArgMatches| {
        let data: &PathBuf = run.get_one("data").expect("it has a default");
        file_of(data, run.get_one::<PathBuf>("config").map(PathBuf::as_path))
    };
    dsm_settings::Verb { name: "run", settings: run_command(), places: &PLACES, file }
}

fn file_of(data: &Path, config: Option<&Path>) -> PathBuf {
    config.map_or_else(|| data.join("storage.toml"), Path::to_path_buf)
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        let help = match &error {
            SettingsError::Place(_) => "give it as a flag or in the environment",
            SettingsError::Unknown { .. } => {
                "`dsm-storage-node run --help` lists the settings; in the file they have _ for -"
            }
            _ => "the file has lines such as retention = \"30\"",
        };
        Failure::new(Exit::Usage, error.code(), &error).help(help)
    }
}

/// The answer of `config show`.
#[derive(Serialize)]
struct Shown {
    file: PathBuf,
    settings: Vec<Setting>,
}

/// The answer of `config set`.
#[derive(Serialize)]
struct Changed {
    file: PathBuf,
    changed: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    name: String,
    before: Option<String>,
    after: String,
    /// A running node takes it up at once.
    live: bool,
    /// A variable stands over the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    overridden_by: Option<String>,
}

pub(crate) fn config(out: Output, verb: &ConfigVerb, data: &Path) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Show { origin, place } => {
            let file = file_of(data, place.config.as_deref());
            let settings = resting(&file)?;
            out.show(&Shown { file, settings }, |shown| text(shown, *origin))
        }
        ConfigVerb::Set { changes: Changes(set), place } => {
            if set.is_empty() {
                return Err(Failure::usage("no setting was named")
                    .help("name settings by their flags, such as --retention=30"));
            }
            let path = file_of(data, place.config.as_deref());
            let before = resting(&path)?;
            let mut file = SettingsFile::read(&path)?;
            for (name, values) in set {
                file.set(&run_command(), name, values)?;
            }
            // Values that no node could start with are refused here and not at its next start.
            let matches = file.under(run_command())?.try_get_matches_from(["run"]);
            let matches = matches.map_err(|error| Failure::usage(first_line(&error)))?;
            let args =
                RunArgs::from_arg_matches(&matches).map_err(|error| Failure::usage(first_line(&error)))?;
            args.settings.resolve(data)?;
            file.write()?;
            let changed = set.iter().map(|(name, values)| {
                let found = before.iter().find(|one| one.name == *name);
                let over = found.filter(|one| one.origin == dsm_settings::Origin::Environment);
                Change {
                    name: name.clone(),
                    before: found.and_then(|one| one.value.clone()),
                    after: values.join(","),
                    live: name == "log-level",
                    overridden_by: over.and_then(|one| one.environment.clone()),
                }
            });
            let changed = Changed { file: path, changed: changed.collect() };
            out.show(&changed, |changed| {
                let lines = changed.changed.iter().map(|one| {
                    let before = one.before.as_deref().unwrap_or("nothing");
                    let when = if one.live { "at once" } else { "when the node starts again" };
                    let over = one.overridden_by.as_ref();
                    let over = over.map_or_else(String::new, |name| format!("; {name} stands over the file"));
                    format!("{}: {before} -> {}, in force {when}{over}", one.name, one.after)
                });
                let kept = format!("kept in {}", changed.file.display());
                lines.chain([kept]).collect::<Vec<_>>().join("\n")
            })
        }
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// What a node would take up if it started now without flags.
fn resting(path: &Path) -> Result<Vec<Setting>, Failure> {
    let file = SettingsFile::read(path)?;
    let matches = file.under(run_command())?.try_get_matches_from(["run"]);
    let matches = matches.map_err(|error| Failure::usage(first_line(&error)))?;
    Ok(in_force(&run_command(), &matches, Some(&file)))
}

fn text(shown: &Shown, origin: bool) -> String {
    super::rows(shown.settings.iter().map(|one| {
        let mut value = one.value.clone().unwrap_or_else(|| "-".to_owned());
        if origin {
            let from = match (one.origin, &one.environment) {
                (dsm_settings::Origin::File, _) => shown.file.display().to_string(),
                (dsm_settings::Origin::Environment, Some(name)) => name.clone(),
                (origin, _) => origin.to_string(),
            };
            value = format!("{value}  ({from})");
        }
        (one.name.as_str(), value)
    }))
}

/// The level that the file of a running node asks for, unless something stands over it.
pub(crate) fn level_in(path: &Path) -> Option<tracing::Level> {
    let settings = resting(path).ok()?;
    let level = settings.into_iter().find(|one| one.name == "log-level")?;
    level.value?.parse().ok()
}
