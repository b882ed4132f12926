//! A service that is run with settings: what it names of its own, where its file lies, and the verbs `show` and `set`.

use crate::{Changed, Changes, RestingError, Shown};
use clap::{ArgMatches, Command, FromArgMatches};
use serde::Serialize;
use std::marker::PhantomData;
use std::path::PathBuf;

/// Flags that say where the file is: they cannot stand in it.
pub const PLACES: [&str; 2] = ["data", "config"];

/// A service whose flags are its settings. Two of them are no settings: `data`, its directory, and `config`, its file.
pub trait Service {
    /// The words that run it, such as `dsm-bridge run`.
    const RUN: &'static str;
    /// What it is called: a node, a service.
    const NOUN: &'static str;
    /// Its file of settings, in its directory unless `config` names another.
    const FILE: &'static str;
    /// A setting and a value as the file has it, to be shown as an example.
    const EXAMPLE: (&'static str, &'static str);
    /// The settings that a running one takes up.
    const LIVE: &'static [&'static str];

    /// The flags of the verb that runs it, alone.
    fn command() -> Command;
}

/// The verb that runs it: the last of the words.
pub(crate) fn verb<S: Service>() -> &'static str {
    S::RUN.rsplit(' ').next().unwrap_or_default()
}

/// Where the file is, by what was given for the flags that say so.
pub(crate) fn file<S: Service>(matches: &ArgMatches) -> PathBuf {
    let data: &PathBuf =
        matches.get_one("data").expect("every service has a directory, and a default for it");
    matches.get_one::<PathBuf>("config").map_or_else(|| data.join(S::FILE), PathBuf::clone)
}

/// Where the file of a service is, as flags of a verb that reads or changes it.
#[derive(Debug)]
pub struct Place<S> {
    /// The file, which need not exist.
    pub file: PathBuf,
    service: PhantomData<S>,
}

impl<S: Service> clap::Args for Place<S> {
    fn augment_args(command: Command) -> Command {
        let run = S::command();
        // A directory that is a flag of the whole program is none of the verb that runs the service.
        let flags = PLACES.iter().filter_map(|id| run.get_arguments().find(|arg| arg.get_id() == id));
        flags.fold(command, |command, arg| {
            let help = match arg.get_id() == "data" {
                true => "The data directory".to_owned(),
                false => format!("The file of settings [default: {} in the data directory]", S::FILE),
            };
            command.arg(arg.clone().help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Place::<S>::augment_args(command)
    }
}

impl<S: Service> FromArgMatches for Place<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Place<S>, clap::Error> {
        Ok(Place { file: file::<S>(matches), service: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Place::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What is done with the settings of a service that follows its file.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigVerb<S: Service> {
    /// Show what a start takes up
    #[command(about = show_about::<S>())]
    Show {
        /// Tell where each value came from
        #[arg(long)]
        origin: bool,
        /// Where the file is
        #[command(flatten)]
        place: Place<S>,
    },
    /// Change settings in the file
    #[command(about = set_about::<S>())]
    Set {
        /// The changes
        #[command(flatten)]
        changes: Changes<S>,
        /// Where the file is
        #[command(flatten)]
        place: Place<S>,
    },
}

fn show_about<S: Service>() -> String {
    format!("Show what a {} that starts now takes up, from its file and this environment", S::NOUN)
}

fn set_about<S: Service>() -> String {
    let flags: Vec<String> = S::LIVE.iter().map(|name| format!("--{name}")).collect();
    let live = match flags.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "none".to_owned(),
    };
    format!(
        "Change settings in the file. A running {} takes up {live} at once, the others when it starts again",
        S::NOUN
    )
}

/// What a verb has to say.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The settings.
    Shown(Shown),
    /// What became of changes.
    Changed(Changed),
}

impl Answer {
    /// Lines for people.
    pub fn text(&self) -> String {
        match self {
            Answer::Shown(shown) => shown.text(),
            Answer::Changed(changed) => changed.text(),
        }
    }
}

impl<S: Service> ConfigVerb<S> {
    /// Does it. `check` is whether a service could start with these settings.
    ///
    /// # Errors
    /// [`RestingError`], or what `check` says.
    pub fn run<E: From<RestingError>>(
        &self,
        check: impl FnOnce(&ArgMatches) -> Result<(), E>,
    ) -> Result<Answer, E> {
        match self {
            ConfigVerb::Show { origin, place } => {
                Ok(Answer::Shown(Shown { origin: *origin, ..Shown::read::<S>(&place.file)? }))
            }
            ConfigVerb::Set { changes, place } => {
                Ok(Answer::Changed(Changed::write(&place.file, changes, check)?))
            }
        }
    }
}
