//! `dsm logs`: the lines of a log that belong to one transition.

use super::failure::{Failure, file_failure};
use super::session::Session;
use super::show::{Show, safe};
use dsm_abi::TransitionId;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::PathBuf;

/// Bytes of a log that is looked through; a node's own file is set aside long before.
const LOG_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Options of `dsm logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// The transition: lines that name it, and all lines of the requests that did
    #[arg(long, value_name = "ID")]
    tx: TransitionId,
    /// The log; - for what comes in, such as from `docker compose logs` [default: the node's --log-file, or -]
    #[arg(value_name = "FILE", env = "DSM_LOG_FILE", default_value = "-")]
    file: PathBuf,
}

/// The lines found.
#[derive(Serialize)]
struct Found {
    transition: TransitionId,
    lines: Vec<Value>,
}

impl Show for Found {
    fn text(&self) -> String {
        let text = |line: &Value| line.as_str().map_or_else(|| line.to_string(), safe);
        self.lines.iter().map(text).collect::<Vec<_>>().join("\n")
    }
}

pub(crate) fn run(session: &Session, args: &LogsArgs) -> Result<(), Failure> {
    let failed = |error: std::io::Error| file_failure(&args.file, &error);
    let mut bytes = Vec::new();
    let source: Box<dyn std::io::Read> = if args.file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(&args.file).map_err(failed)?)
    };
    source.take(LOG_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LOG_BYTES_MAX {
        return Err(Failure::usage("the log is longer than 512 MiB").help("cut it by time first"));
    }
    let lines = lines(&String::from_utf8_lossy(&bytes), &args.tx.to_string());
    if lines.is_empty() {
        return Err(Failure::refused("not_logged", format!("no line of this log names {}", args.tx))
            .help("accepted and refused transitions are logged at the level info"));
    }
    session.show(&Found { transition: args.tx, lines })
}

/// The lines that name a transition, and those of the requests that did.
fn lines(text: &str, id: &str) -> Vec<Value> {
    let parsed: Vec<Value> = text.lines().map(parse).collect();
    let of = |line: &Value, name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    let names = |line: &Value| match line {
        Value::String(text) => text.contains(id),
        line => of(line, "transition").as_deref() == Some(id),
    };
    let requests: BTreeSet<String> =
        parsed.iter().filter(|line| names(line)).filter_map(|line| of(line, "request")).collect();
    let wanted = |line: &Value| names(line) || of(line, "request").is_some_and(|one| requests.contains(&one));
    parsed.into_iter().filter(wanted).collect()
}

/// A line of JSON, behind whatever a collector put before it; else the line as it is.
fn parse(line: &str) -> Value {
    let object = line.find('{').and_then(|start| serde_json::from_str::<Value>(&line[start..]).ok());
    object.filter(Value::is_object).unwrap_or_else(|| Value::String(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_transition_are_those_that_name_it_and_those_of_its_request() {
        let log = "dsm-core-1  | {\"message\":\"accepted\",\"request\":\"r1\",\"transition\":\"ab\"}\n\
                   {\"message\":\"answered\",\"request\":\"r1\"}\n\
                   {\"message\":\"answered\",\"request\":\"r2\"}\n\
                   {\"message\":\"accepted\",\"request\":\"r3\",\"transition\":\"abc\"}\n\
                   INFO accepted transition=ab position=3\n\
                   {\"message\":\"stored\",\"transition\":\"ab\",\"service\":\"dsm-storage\"}\n";
        let found = lines(log, "ab");
        let words: Vec<String> =
            found.iter().map(|line| line["message"].as_str().unwrap_or("text").to_owned()).collect();
        assert_eq!(words, ["accepted", "answered", "text", "stored"]);
    }
}
