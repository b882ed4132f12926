//! Settings that a command line names as changes, and a file of settings shown and changed while no service has a say.

use crate::{Origin, Setting, SettingsError, SettingsFile, bare, given, in_force};
use clap::{ArgMatches, Command, FromArgMatches};
use serde::Serialize;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// A service whose flags are its settings.
pub trait Service {
    /// Flags that say where the file is: they cannot stand in it.
    const PLACES: &'static [&'static str];

    /// The flags of the verb that runs it, alone.
    fn command() -> Command;
}

/// The settings that a command line names, by their flags, each with what it was given.
#[derive(Debug)]
pub struct Changes<S> {
    /// The changes.
    pub set: BTreeMap<String, Vec<String>>,
    service: PhantomData<S>,
}

impl<S: Service> clap::Args for Changes<S> {
    fn augment_args(command: Command) -> Command {
        let flags = bare(S::command());
        flags
            .get_arguments()
            .filter(|arg| !S::PLACES.contains(&arg.get_id().as_str()))
            .fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Changes::<S>::augment_args(command)
    }
}

impl<S: Service> FromArgMatches for Changes<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Changes<S>, clap::Error> {
        Ok(Changes { set: given(&bare(S::command()), S::PLACES, matches), service: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Changes::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Why a file of settings is not as a service could start with it.
#[derive(Debug, thiserror::Error)]
pub enum RestingError {
    /// The file.
    #[error(transparent)]
    File(#[from] SettingsError),
    /// A value, in the words of the flags' own parsers.
    #[error("{0}")]
    Value(String),
}

impl From<clap::Error> for RestingError {
    fn from(error: clap::Error) -> RestingError {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        RestingError::Value(first.trim_start_matches("error: ").to_owned())
    }
}

/// What a service takes up that starts now without flags.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its file, which need not exist.
    pub file: PathBuf,
    /// Its settings.
    pub settings: Vec<Setting>,
}

impl Shown {
    /// Reads the file, and the environment over it.
    ///
    /// # Errors
    /// [`RestingError`].
    pub fn read<S: Service>(file: &Path) -> Result<Shown, RestingError> {
        let (settings, _) = resting::<S>(&SettingsFile::read(file)?)?;
        Ok(Shown { file: file.to_path_buf(), settings })
    }

    /// Names and values in two columns' worth of words, with where they came from if that is asked for.
    pub fn rows(&self, origin: bool) -> impl Iterator<Item = (&str, String)> {
        self.settings.iter().map(move |one| {
            let mut value = one.value.clone().unwrap_or_else(|| "-".to_owned());
            if origin {
                let from = match (one.origin, &one.environment) {
                    (Origin::File, _) => self.file.display().to_string(),
                    (Origin::Environment, Some(name)) => name.clone(),
                    (origin, _) => origin.to_string(),
                };
                value = format!("{value}  ({from})");
            }
            (one.name.as_str(), value)
        })
    }

    /// The value of one setting.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|one| one.name == name)?.value.as_deref()
    }
}

/// What became of changes.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// The file in which they stand now.
    pub file: PathBuf,
    /// Each change.
    pub changed: Vec<Change>,
}

/// One change.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The setting.
    pub name: String,
    /// What a start would have taken up before.
    pub before: Option<String>,
    /// What it was set to.
    pub after: String,
    /// A running service takes it up at once.
    pub live: bool,
    /// A variable stands over the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overridden_by: Option<String>,
}

impl Changed {
    /// Writes changes into the file if a service could start with it; `live` are those that a running one takes up.
    ///
    /// # Errors
    /// [`RestingError`], or what `check` says of the settings; the file is as it was.
    pub fn write<S: Service, E: From<RestingError>>(
        path: &Path,
        changes: &Changes<S>,
        live: &[&str],
        check: impl FnOnce(&ArgMatches) -> Result<(), E>,
    ) -> Result<Changed, E> {
        let before = Shown::read::<S>(path)?;
        let mut file = SettingsFile::read(path).map_err(RestingError::from)?;
        for (name, values) in &changes.set {
            file.set(&S::command(), name, values).map_err(RestingError::from)?;
        }
        // Values that no service could start with are refused here and not at its next start.
        check(&resting::<S>(&file)?.1)?;
        file.write().map_err(RestingError::from)?;
        let changed = changes.set.iter().map(|(name, values)| {
            let found = before.settings.iter().find(|one| one.name == *name);
            let over = found.filter(|one| one.origin == Origin::Environment);
            Change {
                name: name.clone(),
                before: found.and_then(|one| one.value.clone()),
                after: values.join(","),
                live: live.contains(&name.as_str()),
                overridden_by: over.and_then(|one| one.environment.clone()),
            }
        });
        Ok(Changed { file: path.to_path_buf(), changed: changed.collect() })
    }

    /// A line for each change, and one about the file.
    pub fn text(&self) -> String {
        let lines = self.changed.iter().map(|one| {
            let before = one.before.as_deref().unwrap_or("nothing");
            let when = if one.live { "at once" } else { "when the service starts again" };
            let over = one.overridden_by.as_ref();
            let over = over.map_or_else(String::new, |name| format!("; {name} stands over the file"));
            format!("{}: {before} -> {}, in force {when}{over}", one.name, one.after)
        });
        let kept = format!("kept in {}", self.file.display());
        lines.chain([kept]).collect::<Vec<_>>().join("\n")
    }
}

/// What a start without flags reads from the file and the environment.
fn resting<S: Service>(file: &SettingsFile) -> Result<(Vec<Setting>, ArgMatches), RestingError> {
    let matches = file.under(S::command())?.try_get_matches_from([""])?;
    Ok((in_force(&S::command(), &matches, Some(file)), matches))
}
