//! The command line: verbs that read arguments, call the client or the node, and print one answer.
//!
//! Text and JSON come from the same value; answers go to stdout, logs to stderr. Exit codes: 0 ok, 1 a failed check
//! or a refusal, 2 usage, 3 no node, 4 bytes that are not what they should be.

mod access;
mod account;
mod audit;
mod backup;
mod bridge;
mod config;
mod discover;
mod doctor;
mod door;
pub(crate) mod evidence;
pub(crate) mod failure;
mod gate;
mod key;
mod logs;
pub(crate) mod node;
mod out;
mod pay;
pub(crate) mod policy;
mod proof;
mod repair;
mod restore;
pub(crate) mod session;
pub(crate) mod show;
mod status;
mod token;
mod topology;
mod tx;
pub(crate) mod values;
mod wallet;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use dsm_settings::{Layers, Misread, read_words};
use failure::{Exit, Failure};
use session::{Globals, Session};
use std::process::ExitCode;

/// DSM: a decentralized state machine with post-quantum signatures and WASM policies.
#[derive(Debug, Parser)]
#[command(name = "dsm", version, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Run a core node
    Node(Box<node::NodeArgs>),
    /// Watch a core node at work: a story in thirteen steps, in one process
    Demo(crate::demo::DemoArgs),
    /// Tell how the node is
    Status,
    /// Tell by the exit code whether the node accepts transitions
    Health,
    /// Show and change a node's settings
    #[command(subcommand)]
    Config(Box<config::ConfigVerb>),
    /// Make, list and revoke what clients show to a node: API keys and bearer tokens
    #[command(subcommand)]
    Access(access::AccessVerb),
    /// Check a node's audit log
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// Find the log lines of a transition
    Logs(logs::LogsArgs),
    /// Show and change who keeps the log besides the core node
    #[command(subcommand)]
    Topology(topology::TopologyVerb),
    /// Rebuild a core node whose disk is gone from its storage nodes
    Restore(restore::RestoreArgs),
    /// Make a data directory with damaged records or packages whole, from its storage nodes
    Repair(repair::RepairArgs),
    /// Write, check and restore backups of a core node
    #[command(subcommand)]
    Backup(backup::BackupVerb),
    /// Look for what is wrong or soon will be, and name the command that mends it
    Doctor(doctor::DoctorArgs),
    /// Tell which services there are, how each is, and who needs whom; the exit code says whether something critical fails
    Discover(discover::DiscoverArgs),
    /// Try everything that a release or a change must leave working, on the running node: N of N or exit code 1
    Gate(gate::GateArgs),
    /// Make and list keys
    #[command(subcommand)]
    Key(key::KeyVerb),
    /// Open, show and change accounts
    #[command(subcommand)]
    Account(account::AccountVerb),
    /// Create tokens, issue, destroy and hold units, call policies
    #[command(subcommand)]
    Token(Box<token::TokenVerb>),
    /// Move units to another account
    Transfer(pay::TransferArgs),
    /// List what waits to be claimed
    Inbox(pay::InboxArgs),
    /// Claim what waits
    Claim(pay::ClaimArgs),
    /// Show, decode and submit transitions
    #[command(subcommand)]
    Tx(tx::TxVerb),
    /// Check, inspect and publish policies
    #[command(subcommand)]
    Policy(policy::PolicyVerb),
    /// Show the last checkpoint, or take one
    Checkpoint(proof::CheckpointArgs),
    /// Prove an account, a balance or a token at the last checkpoint
    #[command(subcommand)]
    Prove(proof::ProveVerb),
    /// Check a proof, a checkpoint or evidence of equivocation, without the node
    Verify(proof::VerifyArgs),
    /// Sign observations and statements for policies; write and check packages that let a stranger judge transitions again
    #[command(subcommand)]
    Evidence(evidence::EvidenceVerb),
    /// Move value to and from an EVM chain, by proof
    #[command(subcommand)]
    Bridge(Box<bridge::BridgeVerb>),
    /// Work out the whole state again from a log, and compare
    Replay(status::ReplayArgs),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let json = words.iter().any(|word| word == "--json");
    let read = read_words::<config::Flags>(Arguments::command(), &words);
    let parsed = read.and_then(|(matches, layers)| match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => Ok((arguments, layers)),
        Err(error) => Err(Misread::Words(error.format(&mut Arguments::command()))),
    });
    let (arguments, layers) = match parsed {
        Ok(parsed) => parsed,
        Err(Misread::Words(error)) => return misread(&error),
        Err(Misread::File(error)) => return fail(json, &error.into()),
    };
    let session = Session::new(arguments.globals);
    match run(&session, &arguments.verb, layers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(session.globals.json, &failure),
    }
}

fn run(session: &Session, verb: &Verb, layers: Option<Layers>) -> Result<(), Failure> {
    match verb {
        Verb::Node(args) => node::run(session, args, layers),
        Verb::Demo(args) => crate::demo::run(session, args),
        Verb::Status => status::status(session),
        Verb::Health => status::health(session),
        Verb::Config(verb) => config::run(session, verb),
        Verb::Access(verb) => access::run(session, verb),
        Verb::Audit(verb) => audit::run(session, verb),
        Verb::Logs(args) => logs::run(session, args),
        Verb::Topology(verb) => topology::run(session, verb),
        Verb::Restore(args) => restore::run(session, args),
        Verb::Repair(args) => repair::run(session, args),
        Verb::Backup(verb) => backup::run(session, verb),
        Verb::Doctor(args) => doctor::run(session, args),
        Verb::Discover(args) => discover::run(session, args),
        Verb::Gate(args) => gate::run(session, args),
        Verb::Key(verb) => key::run(session, verb),
        Verb::Account(verb) => account::run(session, verb),
        Verb::Token(verb) => token::run(session, verb),
        Verb::Transfer(args) => pay::transfer(session, args),
        Verb::Inbox(args) => pay::inbox(session, args),
        Verb::Claim(args) => pay::claim(session, args),
        Verb::Tx(verb) => tx::run(session, verb),
        Verb::Policy(verb) => policy::run(session, verb),
        Verb::Checkpoint(args) => proof::checkpoint(session, args),
        Verb::Prove(verb) => proof::prove(session, verb),
        Verb::Verify(args) => proof::verify(session, args),
        Verb::Evidence(verb) => evidence::run(session, verb),
        Verb::Bridge(verb) => bridge::run(session, verb),
        Verb::Replay(args) => status::replay(session, args),
        Verb::Completions { shell } => completions(session, *shell),
    }
}

/// Prints help, or why the command line makes no sense.
fn misread(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
        return fail(true, &Failure::usage(first).help("`dsm help VERB` shows how a verb is used"));
    }
    // Nobody is left to tell if the terminal is gone.
    drop(error.print());
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

fn fail(json: bool, failure: &Failure) -> ExitCode {
    if failure.told {
        // Said on stdout.
    } else if json {
        show::line(&serde_json::json!({ "error": failure }).to_string());
    } else {
        eprint!("{failure}");
    }
    ExitCode::from(match failure.exit {
        Exit::Refused => 1,
        Exit::Usage => 2,
        Exit::Unreachable => 3,
        Exit::Integrity => 4,
    })
}

/// A shell's completions.
#[derive(serde::Serialize)]
struct Completions {
    shell: String,
    script: String,
}

impl show::Show for Completions {
    fn text(&self) -> String {
        self.script.clone()
    }
}

fn completions(session: &Session, shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "dsm", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    session.show(&Completions { shell: shell.to_string(), script })
}
