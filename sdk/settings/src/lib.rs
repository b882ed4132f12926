//! Settings of a binary in four layers: defaults, a file, the environment, flags. Each value knows where it came from.
//!
//! The one list of settings is the command line's: whatever is a flag with a long name can stand in the file, with `_`
//! for `-`. The file's values become the flags' defaults before they are parsed, so one parser checks all layers and
//! a wrong value is refused in the same words wherever it stood.
//!
//! Left out on purpose: sections, includes, values made of others, reloading a file by itself.

mod address;
mod changes;
mod service;
mod watched;
mod words;

pub use address::{AddressError, address, addresses};
pub use changes::{Change, Changed, Changes, RestingError, Shown};
pub use service::{Answer, ConfigVerb, PLACES, Place, Service};
pub use watched::Watched;
pub use words::{Layers, Misread, bare, given, read_words};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, Value};

/// Bytes of a file of settings.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where a value came from; later ones stand over earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The program.
    Default,
    /// The file.
    File,
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Environment => "environment",
            Origin::Flag => "flag",
        })
    }
}

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name: the flag's, without the dashes before it.
    pub name: String,
    /// Its value; several are separated by commas. `None` if it has none.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// The environment variable that sets it.
    pub environment: Option<String>,
    /// Whether a running service takes up another value.
    pub live: bool,
    /// What the file says and the service will take up when it starts again, if that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_restart: Option<String>,
    /// What it is for.
    pub help: String,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is longer than 64 KiB.
    #[error("{0} is longer than 64 KiB")]
    TooLong(PathBuf),
    /// The file is not TOML.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the line.
        reason: String,
    },
    /// No setting has this name.
    #[error("{name} is no setting{}", nearest.as_ref().map(|near| format!("; there is {near}")).unwrap_or_default())]
    Unknown {
        /// The name.
        name: String,
        /// One that looks like it.
        nearest: Option<String>,
    },
    /// A table, a date, or a list of values stands where one value is expected.
    #[error("{0} must be a text, a number, true or false, or a list of texts if it takes several")]
    NoValue(String),
    /// Where the file is cannot stand in it.
    #[error("{0} cannot stand in the file of settings: it says where the file is")]
    Place(String),
}

impl SettingsError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            SettingsError::Io { .. } => "settings_io",
            SettingsError::TooLong(_) => "settings_too_long",
            SettingsError::Malformed { .. } => "settings_malformed",
            SettingsError::Unknown { .. } => "unknown_setting",
            SettingsError::NoValue(_) => "settings_no_value",
            SettingsError::Place(_) => "settings_place",
        }
    }
}

/// A file of settings, with its comments.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    path: PathBuf,
    document: DocumentMut,
}

impl SettingsFile {
    /// Reads `path`; a file that does not exist has no values.
    ///
    /// # Errors
    /// [`SettingsError::Io`], [`SettingsError::TooLong`], [`SettingsError::Malformed`].
    pub fn read(path: &Path) -> Result<SettingsFile, SettingsError> {
        let io = |source| SettingsError::Io { path: path.to_path_buf(), source };
        let mut text = String::new();
        match std::fs::File::open(path) {
            Ok(file) => {
                file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(io)?;
            }
            // Below a file that should be a folder there is no file either; the folder's owner says so.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(io(error)),
        }
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(SettingsError::TooLong(path.to_path_buf()));
        }
        let document = text.parse().map_err(|error: toml_edit::TomlError| SettingsError::Malformed {
            path: path.to_path_buf(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        Ok(SettingsFile { path: path.to_path_buf(), document })
    }

    /// The names that the file sets, as flags have them.
    ///
    /// # Errors
    /// [`SettingsError::NoValue`].
    pub fn names(&self) -> Result<Vec<String>, SettingsError> {
        Ok(self.values()?.into_keys().collect())
    }

    /// The command with the file's values as the defaults of its flags.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`], [`SettingsError::NoValue`].
    pub fn under(&self, command: Command) -> Result<Command, SettingsError> {
        let mut command = without_empty(command);
        for (name, values) in self.values()? {
            let found = find(&command, &name)?;
            if values.len() != 1 && !matches!(found.get_action(), ArgAction::Append) {
                return Err(SettingsError::NoValue(name));
            }
            let id = found.get_id().clone();
            command = command.mut_arg(id, |arg| arg.default_values(values.clone()));
        }
        Ok(command)
    }

    /// Sets `name`, given as the flag's name, to what the flag would be given; several values stand in a list.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`].
    pub fn set(&mut self, command: &Command, name: &str, values: &[String]) -> Result<(), SettingsError> {
        find(command, name)?;
        let value = match values {
            [one] => Value::from(one.as_str()),
            many => Value::from_iter(many.iter().map(String::as_str)),
        };
        self.document[&key(name)] = Item::Value(value);
        Ok(())
    }

    /// Writes the file: a new one beside it, made durable, then renamed over it.
    ///
    /// # Errors
    /// [`SettingsError::Io`]; the old file stands.
    pub fn write(&self) -> Result<(), SettingsError> {
        use std::io::Write as _;
        let io = |source| SettingsError::Io { path: self.path.clone(), source };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(io)?;
        let beside = self.path.with_extension("new");
        let mut file = std::fs::File::create(&beside).map_err(io)?;
        file.write_all(self.document.to_string().as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        std::fs::rename(&beside, &self.path).map_err(io)?;
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
    }

    fn values(&self) -> Result<BTreeMap<String, Vec<String>>, SettingsError> {
        self.document
            .iter()
            .map(|(name, item)| {
                let wrong = || SettingsError::NoValue(name.to_owned());
                let value = item.as_value().ok_or_else(wrong)?;
                let values = match value {
                    Value::Array(list) => list.iter().map(scalar).collect::<Option<Vec<_>>>(),
                    one => scalar(one).map(|one| vec![one]),
                };
                Ok((name.replace('_', "-"), values.ok_or_else(wrong)?))
            })
            .collect()
    }
}

/// The command, with its subcommands, without the environment variables that are set to nothing: a compose file that
/// passes on what nobody set means the default.
pub fn without_empty(mut command: Command) -> Command {
    let is_empty =
        |arg: &&Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let ids: Vec<_> = command.get_arguments().filter(is_empty).map(|arg| arg.get_id().clone()).collect();
    for id in ids {
        command = command.mut_arg(id, |arg| arg.env(None::<&'static str>));
    }
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, without_empty))
}

/// The settings of `command` as they are in force, in the order of the command line's help; `live` are those that a
/// running service takes up. `matches` must come from the command that [`SettingsFile::under`] gave.
pub fn in_force(
    command: &Command,
    live: &[&str],
    matches: &ArgMatches,
    file: Option<&SettingsFile>,
) -> Vec<Setting> {
    let in_file: BTreeSet<String> = file
        .and_then(|file| file.values().ok())
        .map(|values| values.into_keys().collect())
        .unwrap_or_default();
    settings_of(command)
        .map(|(name, arg)| {
            let id = arg.get_id().as_str();
            let origin = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => Origin::Flag,
                Some(ValueSource::EnvVariable) => Origin::Environment,
                Some(_) | None if in_file.contains(name) => Origin::File,
                Some(_) | None => Origin::Default,
            };
            let value = matches.get_raw(id).map(|values| {
                let values: Vec<_> = values.map(|value| value.to_string_lossy().into_owned()).collect();
                values.join(",")
            });
            Setting {
                name: name.to_owned(),
                value,
                origin,
                environment: arg.get_env().map(|name| name.to_string_lossy().into_owned()),
                live: live.contains(&name),
                after_restart: None,
                help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            }
        })
        .collect()
}

/// The flags that are settings: those with a long name that take a value or switch something on.
fn settings_of(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    command.get_arguments().filter_map(|arg| {
        let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append | ArgAction::SetTrue);
        arg.get_long().filter(|_| takes).map(|name| (name, arg))
    })
}

fn find<'a>(command: &'a Command, name: &str) -> Result<&'a Arg, SettingsError> {
    let wanted = name.replace('_', "-");
    if let Some((_, arg)) = settings_of(command).find(|(name, _)| *name == wanted) {
        return Ok(arg);
    }
    let near = settings_of(command).map(|(name, _)| (distance(name, &wanted), name)).min();
    let nearest = near.filter(|(steps, _)| *steps <= 3).map(|(_, name)| name.to_owned());
    Err(SettingsError::Unknown { name: name.to_owned(), nearest })
}

fn key(name: &str) -> String {
    name.replace('-', "_")
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Boolean(truth) => Some(truth.value().to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::InlineTable(_) => None,
    }
}

/// Steps of editing from one name to another (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, from) in from.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in to.iter().enumerate() {
            let step = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = step.min(corner + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}
