//! Settings that a command line names as changes, and a file of settings shown and changed while no service has a say.

use crate::service::PLACES;
use crate::{Origin, Service, Setting, SettingsError, SettingsFile, bare, given, in_force};
use clap::{ArgMatches, Command, FromArgMatches};
use serde::Serialize;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

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
            .filter(|arg| !PLACES.contains(&arg.get_id().as_str()))
            .fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Changes::<S>::augment_args(command)
    }
}

impl<S: Service> FromArgMatches for Changes<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Changes<S>, clap::Error> {
        Ok(Changes { set: given(&bare(S::command()), &PLACES, matches), service: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Changes::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<S: Service> Changes<S> {
    /// The changes, if there are any.
    ///
    /// # Errors
    /// [`RestingError::Nothing`].
    pub fn named(&self) -> Result<&BTreeMap<String, Vec<String>>, RestingError> {
        if self.set.is_empty() { Err(RestingError::Nothing) } else { Ok(&self.set) }
    }
}

/// Why settings at rest are not shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum RestingError {
    /// The file.
    #[error(transparent)]
    File(#[from] SettingsError),
    /// A value, in the words of the flags' own parsers.
    #[error("{0}")]
    Value(String),
    /// A change of nothing.
    #[error("no setting was named")]
    Nothing,
}

impl From<clap::Error> for RestingError {
    fn from(error: clap::Error) -> RestingError {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        RestingError::Value(first.trim_start_matches("error: ").to_owned())
    }
}

impl RestingError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            RestingError::File(error) => error.code(),
            RestingError::Value(_) | RestingError::Nothing => "usage",
        }
    }

    /// What to do about it, if the words alone do not tell.
    pub fn help<S: Service>(&self) -> Option<String> {
        let (name, value) = S::EXAMPLE;
        Some(match self {
            RestingError::File(SettingsError::Place(_)) => {
                "give it as a flag or in the environment".to_owned()
            }
            RestingError::File(SettingsError::Unknown { .. }) => {
                format!("`{} --help` lists the settings; in the file they have _ for -", S::RUN)
            }
            RestingError::File(_) => format!("the file has lines such as {} = {value}", crate::key(name)),
            RestingError::Nothing => {
                format!("name settings by their flags, such as --{name}={}", value.trim_matches('"'))
            }
            RestingError::Value(_) => return None,
        })
    }
}

/// What a service takes up that starts now without flags.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its file, which need not exist.
    pub file: PathBuf,
    /// Its settings.
    pub settings: Vec<Setting>,
    /// Whether people are told where each value came from; programs are always.
    #[serde(skip)]
    pub origin: bool,
}

impl Shown {
    /// Reads the file, and the environment over it.
    ///
    /// # Errors
    /// [`RestingError`].
    pub fn read<S: Service>(file: &Path) -> Result<Shown, RestingError> {
        let (settings, _) = resting::<S>(&SettingsFile::read(file)?)?;
        Ok(Shown { file: file.to_path_buf(), settings, origin: false })
    }

    /// A table of names and values, and where they came from if that is asked for.
    pub fn text(&self) -> String {
        let mut lines = vec![vec!["setting".to_owned(), "value".to_owned()]];
        lines.extend(self.settings.iter().map(|one| {
            let mut value = one.value.clone().unwrap_or_default();
            if let Some(later) = &one.after_restart {
                value += &format!(" ({later} from the next start on)");
            }
            vec![one.name.clone(), value]
        }));
        if self.origin {
            let from = self.settings.iter().map(|one| match (one.origin, &one.environment) {
                (Origin::File, _) => self.file.display().to_string(),
                (Origin::Environment, Some(name)) => name.clone(),
                (Origin::Flag, _) => format!("--{}", one.name),
                (origin @ (Origin::Environment | Origin::Default), _) => origin.to_string(),
            });
            let from = std::iter::once("from".to_owned()).chain(from);
            lines.iter_mut().zip(from).for_each(|(line, from)| line.push(from));
        }
        table(&lines)
    }
}

/// Cells in columns; the last column is not padded.
fn table(lines: &[Vec<String>]) -> String {
    // A file or a variable may hold what steers a terminal.
    let plain = |cell: &String| -> String {
        let visible = |one: char| if one.is_control() { one.escape_default().collect() } else { vec![one] };
        cell.chars().flat_map(visible).collect()
    };
    let lines: Vec<Vec<String>> = lines.iter().map(|line| line.iter().map(plain).collect()).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines.first().map_or(0, Vec::len)).map(width).collect();
    let padded = |line: &Vec<String>| {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(padded).collect::<Vec<_>>().join("\n")
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
    /// What it was before, or what a start would have taken up.
    pub before: Option<String>,
    /// What it was set to.
    pub after: String,
    /// A running service takes it up at once.
    pub live: bool,
    /// A flag or a variable stands over the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overridden_by: Option<String>,
}

impl Changed {
    /// Writes changes into the file if a service could start with it, which `check` says.
    ///
    /// # Errors
    /// [`RestingError`], or what `check` says of the settings; the file is as it was.
    pub fn write<S: Service, E: From<RestingError>>(
        path: &Path,
        changes: &Changes<S>,
        check: impl FnOnce(&ArgMatches) -> Result<(), E>,
    ) -> Result<Changed, E> {
        let set = changes.named()?;
        let before = Shown::read::<S>(path)?;
        let mut file = SettingsFile::read(path).map_err(RestingError::from)?;
        for (name, values) in set {
            file.set(&S::command(), name, values).map_err(RestingError::from)?;
        }
        // Values that no service could start with are refused here and not at its next start.
        check(&resting::<S>(&file)?.1)?;
        file.write().map_err(RestingError::from)?;
        let changed = set.iter().map(|(name, values)| {
            let found = before.settings.iter().find(|one| one.name == *name);
            let over = found.filter(|one| one.origin == Origin::Environment);
            let overridden_by = over.and_then(|one| one.environment.clone());
            Change {
                name: name.clone(),
                before: found.and_then(|one| one.value.clone()),
                after: values.join(","),
                // A running service has the variable too.
                live: S::LIVE.contains(&name.as_str()) && overridden_by.is_none(),
                overridden_by,
            }
        });
        Ok(Changed { file: path.to_path_buf(), changed: changed.collect() })
    }

    /// A line for each change, and one about the file.
    pub fn text(&self) -> String {
        let lines = self.changed.iter().map(|one| {
            let before = one.before.as_deref().unwrap_or("nothing");
            let when = match (one.live, &one.overridden_by) {
                (true, None) => "in force at once".to_owned(),
                (false, None) => "in force from the next start on".to_owned(),
                (true, Some(over)) => {
                    format!(
                        "in force at once; the next start takes it from {over}, which stands over the file"
                    )
                }
                (false, Some(over)) => format!("not in force: {over} stands over the file"),
            };
            format!("{}: {before} -> {}, {when}", one.name, one.after)
        });
        let kept = format!("kept in {}", self.file.display());
        lines.chain([kept]).collect::<Vec<_>>().join("\n")
    }
}

/// What a start without flags reads from the file and the environment.
fn resting<S: Service>(file: &SettingsFile) -> Result<(Vec<Setting>, ArgMatches), RestingError> {
    let matches = file.under(S::command())?.try_get_matches_from([""])?;
    Ok((in_force(&S::command(), S::LIVE, &matches, Some(file)), matches))
}
