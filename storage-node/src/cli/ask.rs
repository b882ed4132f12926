//! Verbs that ask a running node over HTTP.

use super::failure::{Exit, Failure};
use super::{Output, rows};
use dsm_sdk::api::Problem;
use dsm_storage_node::{EvidenceView, ScrubView, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

/// Bytes of an answer in JSON: the evidence file in hexadecimal digits.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// How long a connection may take to stand.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Which running node is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// The node to ask
    #[arg(long, value_name = "URL", env = "DSM_STORAGE_NODE", default_value = "http://127.0.0.1:8766")]
    pub(crate) node: String,
}

/// Asks a node over HTTP.
pub(crate) struct Asker {
    base: String,
    agent: Agent,
}

impl Asker {
    pub(crate) fn new(args: &NodeArgs) -> Result<Asker, Failure> {
        let base = args.node.trim_end_matches('/');
        let plain = base.strip_prefix("http://").is_some_and(|host| {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
        });
        if !plain {
            return Err(Failure::usage(format!("{base} is not of the form http://host:port")));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .build()
            .new_agent();
        Ok(Asker { base: base.to_owned(), agent })
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::new(Exit::Unreachable, "unreachable", format!("no node answers at {} ({error})", self.base))
            .help(
                "start one with `dsm-storage-node run`, or name another with --node URL or DSM_STORAGE_NODE",
            )
    }

    fn check(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Failure> {
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.into_body().into_with_config().limit(64 * 1024).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
            let message = format!("{} answered HTTP {status}, which no storage node does", self.base);
            return Err(Failure::new(Exit::Integrity, "protocol", message));
        };
        let exit = if problem.status >= 500 { Exit::Unreachable } else { Exit::Refused };
        Err(Failure::new(exit, &problem.code, problem.detail))
    }

    fn json<T: DeserializeOwned>(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<T, Failure> {
        let body = self.check(answer)?.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map_err(|error| Failure::new(Exit::Integrity, "protocol", error))
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(self.agent.get(format!("{}{path}", self.base)).call())
    }

    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(self.agent.post(format!("{}{path}", self.base)).send_empty())
    }

    /// A body of any length, to be read as it comes.
    pub(crate) fn stream(&self, path: &str) -> Result<impl Read + use<>, Failure> {
        let answer = self.check(self.agent.get(format!("{}{path}", self.base)).call())?;
        Ok(answer.into_body().into_with_config().limit(u64::MAX).reader())
    }
}

pub(crate) fn status(out: Output, args: &NodeArgs) -> Result<(), Failure> {
    let status: Status = Asker::new(args)?.get("/v1/status")?;
    out.show(&status, status_text)
}

fn status_text(status: &Status) -> String {
    let members = status.members.iter().map(|member| {
        let primary = if member.primary { ", primary" } else { "" };
        let this = if member.this { ", this node" } else { "" };
        ("member", format!("{} {}{primary}{this}", short(&member.node), member.address))
    });
    let refused: Vec<String> =
        status.refused.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let core = if status.core_connected { "connected" } else { "not connected" };
    let mut lines = vec![
        ("node", status.node.clone()),
        ("version", status.version.clone()),
        ("state", status.state.word().to_owned()),
        ("stopped", status.stopped.clone().unwrap_or_default()),
        ("network", status.network.clone().unwrap_or_else(|| "not known yet".into())),
        ("epoch", status.epoch.to_string()),
    ];
    lines.extend(members);
    lines.extend([
        ("core node", format!("{core}, at record {}", status.core_head)),
        ("log", format!("records {} to {}, {} behind", status.first, status.head, status.lag)),
        ("digest", status.digest.clone()),
        ("policies", format!("{} kept, {} missing", status.blobs, status.policies_missing)),
        ("retention", status.retention.clone()),
        ("unchecked", unless_zero(status.unchecked)),
        ("evidence", unless_zero(status.evidence as u64)),
        ("refused", refused.join(", ")),
        ("scrub", status.scrub.as_ref().map_or_else(|| "none yet".into(), scrub_text)),
        ("uptime", format!("{} s", status.uptime_s)),
    ]);
    rows(lines)
}

fn unless_zero(count: u64) -> String {
    if count == 0 { String::new() } else { count.to_string() }
}

/// The first and last digits of an id.
fn short(id: &str) -> String {
    match (id.get(..8), id.get(id.len().saturating_sub(4)..)) {
        (Some(start), Some(end)) if id.len() > 16 => format!("{start}…{end}"),
        _ => id.to_owned(),
    }
}

/// One line about a scrub.
pub(crate) fn scrub_text(view: &ScrubView) -> String {
    format!(
        "{} records and {} blobs sound, {} damaged, {} repaired",
        view.records, view.blobs, view.damaged, view.repaired
    )
}

pub(crate) fn evidence(out: Output, args: &NodeArgs) -> Result<(), Failure> {
    let found: Vec<EvidenceView> = Asker::new(args)?.get("/v1/evidence")?;
    out.show(&found, |found| {
        if found.is_empty() {
            return "no evidence".to_owned();
        }
        rows(found.iter().map(|one| (one.kind.as_str(), one.summary.clone())))
    })
}

/// The answer of `drain`.
#[derive(Serialize, serde::Deserialize)]
struct Draining {
    draining: bool,
}

pub(crate) fn drain(out: Output, args: &NodeArgs) -> Result<(), Failure> {
    let answer: Draining = Asker::new(args)?.post("/v1/drain")?;
    out.show(&answer, |_| "the node takes nothing new and ends".to_owned())
}
