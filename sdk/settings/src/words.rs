//! A command line whose words are read twice: once to find the file, then with the file under them; and the flags as
//! changes, without any layer.

use crate::service::{PLACES, Service, file, verb};
use crate::{Setting, SettingsError, SettingsFile, in_force, settings_of, without_empty};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Why a command line makes no sense.
#[derive(Debug)]
pub enum Misread {
    /// Its words, or values that clap refuses; help is one of them.
    Words(clap::Error),
    /// The file.
    File(SettingsError),
}

/// What a service was told, by layers.
#[derive(Debug, Clone)]
pub struct Layers {
    /// The file, which need not exist.
    pub file: PathBuf,
    /// What is in force.
    pub settings: Vec<Setting>,
}

/// Reads `words`; if they run the service, with its file and the environment under them.
///
/// # Errors
/// [`Misread`].
pub fn read_words<S: Service>(
    command: Command,
    words: &[OsString],
) -> Result<(ArgMatches, Option<Layers>), Misread> {
    let command = without_empty(command);
    let matches = command.clone().try_get_matches_from(words).map_err(Misread::Words)?;
    let runs = |matches: &ArgMatches| {
        matches
            .subcommand()
            .filter(|(name, run)| *name == verb::<S>() && run.subcommand().is_none())
            .map(|(_, run)| file::<S>(run))
    };
    let Some(path) = runs(&matches) else { return Ok((matches, None)) };
    let file = SettingsFile::read(&path).map_err(Misread::File)?;
    let names = file.names().map_err(Misread::File)?;
    if let Some(place) = names.into_iter().find(|name| PLACES.contains(&name.as_str())) {
        return Err(Misread::File(SettingsError::Place(place)));
    }
    let under = file.under(S::command()).map_err(Misread::File)?;
    let command = command.mut_subcommand(verb::<S>(), |run| {
        under.get_arguments().fold(run, |run, arg| {
            let values = arg.get_default_values().to_vec();
            run.mut_arg(arg.get_id().clone(), |arg| arg.default_values(values))
        })
    });
    let matches = command.try_get_matches_from(words).map_err(Misread::Words)?;
    let (_, run) = matches.subcommand().expect("the same words as before");
    let settings = in_force(&S::command(), S::LIVE, run, Some(&file));
    Ok((matches, Some(Layers { file: path, settings })))
}

/// The flags without any layer under them: what is not given has no value. Switches take true or false.
pub fn bare(settings: Command) -> Command {
    settings.mut_args(|arg| {
        let arg = arg.env(None::<&'static str>).default_value(None::<&'static str>).required(false);
        match arg.get_action() {
            ArgAction::SetTrue => arg
                .action(ArgAction::Set)
                .value_parser(clap::value_parser!(bool))
                .num_args(0..=1)
                .default_missing_value("true"),
            _ => arg,
        }
    })
}

/// What was given for each flag of a bare command, by their names; flags in `places` are passed over.
pub fn given(bare: &Command, places: &[&str], matches: &ArgMatches) -> BTreeMap<String, Vec<String>> {
    let named = settings_of(bare).filter(|(name, _)| !places.contains(name));
    named
        .filter_map(|(name, arg)| {
            let id = arg.get_id().as_str();
            let given = matches.value_source(id) == Some(ValueSource::CommandLine);
            let values = matches.get_raw(id).filter(|_| given)?;
            Some((name.to_owned(), values.map(|value| value.to_string_lossy().into_owned()).collect()))
        })
        .collect()
}
