//! Verbs that ask a running service over HTTP.

use super::failure::{Exit, Failure};
use super::{Output, rows};
use dsm_bridge::api::{AlarmsView, StatusView};
use dsm_sdk::api::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use ureq::Agent;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Which running service is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct ServiceArgs {
    /// The service to ask
    #[arg(long, value_name = "URL", env = "DSM_BRIDGE", default_value = "http://127.0.0.1:8768")]
    service: String,
}

/// The admin's socket of a running service.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    /// Its admin's socket
    #[arg(long, value_name = "URL", env = "DSM_BRIDGE_ADMIN_URL", default_value = "http://127.0.0.1:8769")]
    admin_url: String,
    /// The file with the admin's token
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_ADMIN_TOKEN_FILE")]
    admin_token_file: PathBuf,
}

fn ask<T: DeserializeOwned>(base: &str, path: &str, token: Option<&str>) -> Result<T, Failure> {
    let base = base.trim_end_matches('/');
    if base.strip_prefix("http://").is_none_or(str::is_empty) {
        return Err(Failure::usage(format!("{base} is not of the form http://host:port")));
    }
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(ANSWER_TIME_MAX))
        .build()
        .new_agent();
    let url = format!("{base}{path}");
    let answer = match token {
        None => agent.get(url).call(),
        Some(token) => agent.post(url).header("authorization", format!("Bearer {token}")).send_empty(),
    };
    let unreachable = |error: ureq::Error| {
        let message = format!("no bridge answers at {base} ({error})");
        Failure::new(Exit::Unreachable, "unreachable", message).help("start one with `dsm-bridge run`")
    };
    let answer = answer.map_err(unreachable)?;
    let status = answer.status();
    let body = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    let body = body.map_err(unreachable)?;
    let protocol = |error: serde_json::Error| Failure::new(Exit::Integrity, "protocol", error);
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(protocol);
    }
    let problem: Problem = serde_json::from_slice(&body).map_err(protocol)?;
    let exit = if problem.status >= 500 { Exit::Unreachable } else { Exit::Refused };
    Err(Failure::new(exit, &problem.code, problem.detail))
}

pub(crate) fn status(out: Output, args: &ServiceArgs) -> Result<(), Failure> {
    let status: StatusView = ask(&args.service, "/v1/status", None)?;
    out.show(&status, status_text)
}

pub(crate) fn health(out: Output, args: &ServiceArgs) -> Result<(), Failure> {
    let answer: Value = ask(&args.service, "/v1/health", None)?;
    out.show(&answer, |answer| answer["status"].as_str().unwrap_or_default().to_owned())
}

fn number(value: Option<u64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn status_text(status: &StatusView) -> String {
    let state = match (&status.frozen, &status.ended, status.paused) {
        (Some(reason), ..) => format!("frozen: {reason}"),
        (None, Some(reason), _) => format!("ended: {reason}"),
        (None, None, true) => "paused".to_owned(),
        (None, None, false) => "at work".to_owned(),
    };
    let mut lines = vec![
        ("bridge", status.bridge.clone()),
        ("network", status.network.clone()),
        ("chain", format!("{}, blocks count by {}", status.chain_id, status.trust_level)),
        ("contract", format!("0x{}", hex::encode(&status.contract.0))),
        ("roles", status.roles.join(", ")),
        ("state", state),
        ("block", number(status.head)),
        ("trusted set", number(status.trusted_height)),
        ("locks", format!("{} known, all below {} done", status.locks, status.locks_done)),
        ("leaves", format!("{} known, all below {} done", status.leaves, status.leaves_done)),
        ("epoch", number(status.contract_epoch)),
        ("transactions", status.transactions.to_string()),
        ("alarms", status.alarms.to_string()),
    ];
    lines.extend(status.stalled.values().map(|reason| ("stalled", reason.clone())));
    lines.extend(status.endpoints.iter().map(|endpoint| {
        let rest = endpoint.resting.as_ref().map(|reason| format!(" rests: {reason}")).unwrap_or_default();
        ("endpoint", format!("{}{rest}", endpoint.endpoint))
    }));
    rows(lines)
}

pub(crate) fn alarms(out: Output, args: &ServiceArgs) -> Result<(), Failure> {
    let view: AlarmsView = ask(&args.service, "/v1/alarms", None)?;
    out.show(&view, |view| {
        if view.alarms.is_empty() {
            return "no alarms".to_owned();
        }
        rows(view.alarms.iter().map(|alarm| (alarm.code.as_str(), alarm.detail.clone())))
    })
}

pub(crate) fn command(out: Output, args: &AdminArgs, verb: &str) -> Result<(), Failure> {
    let token = std::fs::read_to_string(&args.admin_token_file)
        .map_err(|error| Failure::usage(format!("{}: {error}", args.admin_token_file.display())))?;
    let answer: Value = ask(&args.admin_url, &format!("/v1/{verb}"), Some(token.trim()))?;
    out.show(&answer, |answer| answer.to_string())
}
