//! The command line: run a storage node, ask a running one, look after its directory.
//!
//! Answers go to stdout as text or with `--json` as one JSON value, logs to stderr. Exit codes: 0 ok, 1 a failed check
//! or a refusal, 2 usage, 3 no node answers, 4 bytes that are not what they should be.

mod ask;
mod config;
mod failure;
mod keep;
mod live;
mod run;
mod settings;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use dsm_settings::{ConfigVerb, Layers, Misread, read_words};
use failure::{Exit, Failure, safe};
use serde::Serialize;
use settings::DataArgs;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// A storage node of DSM: keeps the log and the policies of a core node, and gives them back.
#[derive(Debug, Parser)]
#[command(name = "dsm-storage-node", version, arg_required_else_help = true)]
struct Arguments {
    /// Print one JSON value on stdout instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Run the node until a signal or `drain` ends it
    Run(Box<run::RunArgs>),
    /// Show and change settings
    #[command(subcommand)]
    Config(Box<ConfigVerb<config::Node>>),
    /// Show the node's id and public key; made if there is none yet
    Key(keep::KeyArgs),
    /// Tell how a running node is
    Status(ask::NodeArgs),
    /// Show what a running node holds against its peers
    Evidence(ask::NodeArgs),
    /// Hash everything again, and repair from other members what is damaged
    Scrub(keep::ScrubArgs),
    /// Let a running node finish what it has, tell the core node, and end
    Drain(ask::NodeArgs),
    /// Make, check and restore backups
    #[command(subcommand)]
    Backup(keep::BackupVerb),
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let json = words.iter().any(|word| word == "--json");
    let (arguments, layers) = match read(&words) {
        Ok(parsed) => parsed,
        Err(Misread::Words(error)) => return misread(&error),
        Err(Misread::File(error)) => return fail(json, &error.into()),
    };
    let out = Output { json: arguments.json };
    let data = arguments.data.data;
    let outcome = match arguments.verb {
        Verb::Run(args) => run::run(out, &args, layers, &data),
        Verb::Config(verb) => config::config(out, &verb, &data),
        Verb::Key(args) => keep::key(out, &args, &data),
        Verb::Status(args) => ask::status(out, &args),
        Verb::Evidence(args) => ask::evidence(out, &args),
        Verb::Scrub(args) => keep::scrub(out, &args, &data),
        Verb::Drain(args) => ask::drain(out, &args),
        Verb::Backup(verb) => keep::backup(out, verb, &data),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(out.json, &failure),
    }
}

/// Reads the words of a command line; if they run the node, over its file of settings and the environment.
fn read(words: &[OsString]) -> Result<(Arguments, Option<Layers>), Misread> {
    let (matches, layers) = read_words::<config::Node>(Arguments::command(), words)?;
    match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => Ok((arguments, layers)),
        Err(error) => Err(Misread::Words(error.format(&mut Arguments::command()))),
    }
}

/// Prints help, or why the command line makes no sense.
fn misread(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
        return fail(true, &Failure::usage(first));
    }
    // Nobody is left to tell if the terminal is gone.
    drop(error.print());
    ExitCode::from(if error.use_stderr() { Exit::Usage as u8 } else { 0 })
}

fn fail(json: bool, failure: &Failure) -> ExitCode {
    if json {
        line(&serde_json::json!({ "error": failure }).to_string());
    } else {
        eprint!("{failure}");
    }
    ExitCode::from(failure.exit as u8)
}

/// How answers are printed.
#[derive(Debug, Clone, Copy)]
struct Output {
    json: bool,
}

impl Output {
    /// Prints an answer: its fields as JSON, or `text`.
    fn show<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if !self.json {
            line(&text(value));
            return Ok(());
        }
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(Exit::Integrity, "json", error))?;
        line(&text);
        Ok(())
    }
}

/// Writes one line to stdout. A reader that went away is no failure of the verb.
fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Names and values in two columns; empty values are left out.
fn rows<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: Vec<(&str, String)> = rows.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> =
        rows.iter().map(|(name, value)| format!("{name:width$}  {}", safe(value))).collect();
    lines.join("\n")
}
