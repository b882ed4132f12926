//! `dsm discover`: which services there are, how each is, who needs whom, and whether something critical fails.
//!
//! The core node is asked by the API, everything else by plain HTTP on the addresses that the command line names:
//! storage nodes, the bridge and Prometheus tell how they are without a key.

use super::failure::Failure;
use super::session::Session;
use super::show::{Show, safe, short, table};
use dsm_sdk::api::{ReplicationView, StatusView};
use serde::Serialize;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// How long one service may take for one step of an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Options of `dsm discover`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DiscoverArgs {
    #[command(flatten)]
    pub(crate) around: Around,
    /// Print Markdown instead of text
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// The services beside the core node.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Around {
    /// HTTP addresses of storage nodes, http://host:port; those of the topology that are not named are told by the core
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub(crate) storage: Vec<String>,
    /// The HTTP address of the bridge
    #[arg(long, value_name = "URL")]
    pub(crate) bridge: Option<String>,
    /// The address of Prometheus
    #[arg(long, value_name = "URL")]
    pub(crate) prometheus: Option<String>,
}

/// One service.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) version: Option<String>,
    /// `ready`, `not_ready`, `silent`, or a storage node's word for itself.
    pub(crate) state: String,
    pub(crate) detail: String,
    /// Whether transitions or transfers stop while it is down.
    pub(crate) critical: bool,
    pub(crate) up: bool,
}

/// Who needs whom.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Dependency {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) why: String,
    /// Whether it is there now.
    pub(crate) met: bool,
}

/// The answer of `discover`.
#[derive(Debug, Serialize)]
pub(crate) struct Discovery {
    pub(crate) services: Vec<Service>,
    pub(crate) dependencies: Vec<Dependency>,
    /// What keeps transitions or transfers from being made; empty if nothing does.
    pub(crate) critical: Vec<String>,
    #[serde(skip)]
    markdown: bool,
}

impl Discovery {
    fn cells(&self) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
        let service = |one: &Service| {
            let version = one.version.clone().unwrap_or_default();
            vec![one.name.clone(), one.url.clone(), safe(&version), safe(&one.state), safe(&one.detail)]
        };
        let edge = |one: &Dependency| {
            let met = if one.met { "yes" } else { "NO" };
            vec![one.from.clone(), one.to.clone(), met.to_owned(), one.why.clone()]
        };
        (self.services.iter().map(service).collect(), self.dependencies.iter().map(edge).collect())
    }
}

const SERVICES: [&str; 5] = ["SERVICE", "URL", "VERSION", "STATE", "DETAIL"];
const DEPENDENCIES: [&str; 4] = ["NEEDS", "WHOM", "THERE", "WHY"];

impl Show for Discovery {
    fn text(&self) -> String {
        let (services, dependencies) = self.cells();
        if self.markdown {
            let critical = match self.critical.as_slice() {
                [] => "none".to_owned(),
                some => some.iter().map(|one| format!("- {}", safe(one))).collect::<Vec<_>>().join("\n"),
            };
            return format!(
                "# DSM services\n\n{}\n\n## Dependencies\n\n{}\n\n## Critical failures\n\n{critical}",
                markdown(&SERVICES, &services),
                markdown(&DEPENDENCIES, &dependencies)
            );
        }
        let critical = match self.critical.as_slice() {
            [] => "no critical failure".to_owned(),
            some => some.iter().map(|one| format!("critical: {}", safe(one))).collect::<Vec<_>>().join("\n"),
        };
        format!(
            "{}\n\n{}\n\n{critical}",
            table(&SERVICES, &services, "no services"),
            table(&DEPENDENCIES, &dependencies, "nobody needs anybody")
        )
    }
}

fn markdown(head: &[&str], lines: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> =
            cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let head: Vec<String> = head.iter().map(|one| one.to_lowercase()).collect();
    let rule = vec!["---".to_owned(); head.len()];
    let all = [head, rule].into_iter().chain(lines.iter().cloned());
    all.map(|cells| line(&cells)).collect::<Vec<_>>().join("\n")
}

pub(crate) fn run(session: &Session, args: &DiscoverArgs) -> Result<(), Failure> {
    let mut found = survey(session, &args.around)?;
    found.markdown = args.markdown;
    session.show(&found)?;
    if found.critical.is_empty() { Ok(()) } else { Err(Failure::told()) }
}

/// Asks everybody.
///
/// # Errors
/// [`Failure`] if an address makes no sense or the credential cannot be read; a service that is down is an answer.
pub(crate) fn survey(session: &Session, around: &Around) -> Result<Discovery, Failure> {
    let client = session.client()?;
    let (mut services, mut dependencies, mut critical) = (Vec::new(), Vec::new(), Vec::new());
    let ready = client.ready().map_err(|error| (error.code().to_owned(), error.to_string()));
    let status = client.status();
    let core = core_service(client.base_url(), &ready, status.as_ref().ok());
    if let Err((code, why)) = &ready {
        critical.push(format!("the core node takes no transitions: {code}: {why}"));
    }
    if let Err(error) = &status
        && ready.is_ok()
    {
        critical.push(format!("the core node does not tell how it is: {}: {error}", error.code()));
    }
    services.push(core);
    let mut named: Vec<(String, Value)> = Vec::new();
    for url in &around.storage {
        let (service, status) = storage_service(url)?;
        if !service.up {
            critical.push(format!("the storage node at {url} is {}: {}", service.state, service.detail));
        }
        named.push((service.name.clone(), status));
        services.push(service);
    }
    if let Some(replication) = status.as_ref().ok().and_then(|status| status.replication.as_ref()) {
        members(replication, &named, &mut services, &mut dependencies, &mut critical);
    }
    if let Some(url) = &around.bridge {
        let (bridge, status) = bridge_service(url)?;
        if !bridge.up {
            critical.push(format!("the bridge is {}: {}", bridge.state, bridge.detail));
        }
        dependencies.push(Dependency {
            from: bridge.name.clone(),
            to: "core".into(),
            why: "transfers are transitions".into(),
            met: services[0].up,
        });
        dependencies.extend(endpoints(&bridge.name, &status));
        services.push(bridge);
    }
    if let Some(url) = &around.prometheus {
        let prometheus = prometheus_service(url)?;
        for service in &services {
            dependencies.push(Dependency {
                from: prometheus.name.clone(),
                to: service.name.clone(),
                why: "metrics".into(),
                met: service.up,
            });
        }
        services.push(prometheus);
    }
    Ok(Discovery { services, dependencies, critical, markdown: false })
}

fn core_service(
    url: &str,
    ready: &Result<dsm_sdk::api::ReadyView, (String, String)>,
    status: Option<&StatusView>,
) -> Service {
    let state = match ready {
        Ok(_) => "ready",
        Err((code, _)) if code == "unreachable" => "silent",
        Err(_) => "not_ready",
    };
    let detail = status.map_or_else(String::new, |view| {
        format!("{} records, {} accounts, {} policies", view.position, view.accounts, view.policies)
    });
    Service {
        name: "core".into(),
        url: url.to_owned(),
        version: status.map(|view| view.version.clone()),
        state: state.into(),
        detail,
        critical: true,
        up: ready.is_ok(),
    }
}

/// Storage nodes of the topology: who is not named by an address is told as the core sees it.
fn members(
    view: &ReplicationView,
    named: &[(String, Value)],
    services: &mut Vec<Service>,
    dependencies: &mut Vec<Dependency>,
    critical: &mut Vec<String>,
) {
    let mut connected = 0;
    for member in &view.members {
        let met = is_connected(&member.state);
        connected += usize::from(met);
        let id = member.node.to_string();
        let known = named.iter().find(|(_, status)| status["node"] == id.as_str());
        let name = known.map_or_else(|| format!("storage {}", short(member.node)), |(name, _)| name.clone());
        if known.is_none() {
            services.push(Service {
                name: name.clone(),
                url: member.address.clone(),
                version: None,
                state: member.state.clone(),
                detail: format!("{} behind, by the core node's word", member.lag),
                critical: member.primary,
                up: met,
            });
        }
        if member.primary && !met {
            critical
                .push(format!("the primary, {name}, is {}: nothing reaches a storage node", member.state));
        }
        let why = if member.primary { "the primary keeps the log" } else { "a replica keeps the log" };
        dependencies.push(Dependency { from: "core".into(), to: name, why: why.into(), met });
    }
    let needed = view.durability.storage_nodes();
    if connected < needed {
        critical.push(format!(
            "{connected} storage nodes are connected, and the level {} takes {needed}",
            view.durability
        ));
    }
    if view.standing != "leading" {
        critical.push(format!("the core node is {}: it writes nothing", view.standing));
    }
}

/// Whether a member's state is that of a connected one.
pub(crate) fn is_connected(state: &str) -> bool {
    !matches!(state, "absent" | "refused")
}

fn storage_service(url: &str) -> Result<(Service, Value), Failure> {
    let answer = ask(url, "/v1/status")?;
    let value = |answer: &Answer| serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let status = answer.as_ref().map(value).unwrap_or_default();
    let text = |name: &str| status[name].as_str().map(str::to_owned);
    let (state, detail) = match (&answer, text("state")) {
        (Err(why), _) => ("silent".to_owned(), why.clone()),
        (Ok(_), None) => ("silent".to_owned(), "what answers is no storage node".to_owned()),
        (Ok(_), Some(state)) => {
            let core = if status["core_connected"] == true { "connected" } else { "not connected" };
            (state, format!("{} behind, core {core}", status["lag"]))
        }
    };
    let name =
        text("node").map_or_else(|| format!("storage {url}"), |node| format!("storage {}", short(node)));
    let up = state == "serving" || state == "mending";
    let service =
        Service { name, url: url.to_owned(), version: text("version"), state, detail, critical: true, up };
    Ok((service, status))
}

/// The endpoints of the EVM chain that the bridge asks: one that rests after failures is not there.
fn endpoints(bridge: &str, status: &Value) -> Vec<Dependency> {
    let listed = status["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
    let edge = |one: &Value| Dependency {
        from: bridge.to_owned(),
        to: safe(one["endpoint"].as_str().unwrap_or("an endpoint")),
        why: format!("chain {}: blocks, proofs and releases", status["chain_id"]),
        met: one["resting"].is_null(),
    };
    listed.iter().map(edge).collect()
}

fn bridge_service(url: &str) -> Result<(Service, Value), Failure> {
    let (ready, status) = (ask(url, "/v1/ready")?, ask(url, "/v1/status")?);
    let status: Value =
        status.ok().and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default();
    let (state, detail, up) = match &ready {
        Err(why) => ("silent", why.clone(), false),
        Ok(answer) if answer.status == 200 => ("ready", String::new(), true),
        // It answers and tells why it waits, such as for a contract: transfers wait with it, nothing is lost.
        Ok(answer) => {
            let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            ("not_ready", problem["detail"].as_str().unwrap_or("it does not say why").to_owned(), true)
        }
    };
    let detail = match status["frozen"].as_str() {
        Some(why) => format!("frozen: {why}"),
        None => detail,
    };
    let version = status["version"].as_str().map(str::to_owned);
    let state = state.to_owned();
    let service =
        Service { name: "bridge".into(), url: url.to_owned(), version, state, detail, critical: true, up };
    Ok((service, status))
}

fn prometheus_service(url: &str) -> Result<Service, Failure> {
    let (ready, build) = (ask(url, "/-/ready")?, ask(url, "/api/v1/status/buildinfo")?);
    let build: Value =
        build.ok().and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default();
    let (state, detail, up) = match &ready {
        Err(why) => ("silent", why.clone(), false),
        Ok(answer) if answer.status == 200 => ("ready", watched(url)?, true),
        Ok(answer) => ("not_ready", format!("HTTP {}", answer.status), false),
    };
    let version = build["data"]["version"].as_str().map(str::to_owned);
    let state = state.to_owned();
    Ok(Service {
        name: "prometheus".into(),
        url: url.to_owned(),
        version,
        state,
        detail,
        critical: false,
        up,
    })
}

/// How many of its targets Prometheus finds up, and how many alerts fire.
fn watched(url: &str) -> Result<String, Failure> {
    let listed = |path: &str, name: &str| -> Result<Vec<Value>, Failure> {
        let answer = ask(url, path)?;
        let page: Option<Value> = answer.ok().and_then(|answer| serde_json::from_slice(&answer.body).ok());
        Ok(page.and_then(|page| page["data"][name].as_array().cloned()).unwrap_or_default())
    };
    let targets = listed("/api/v1/targets?state=active", "activeTargets")?;
    let up = targets.iter().filter(|target| target["health"] == "up").count();
    let alerts = listed("/api/v1/alerts", "alerts")?;
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing").count();
    Ok(format!("{up} of {} targets up, {firing} alerts firing", targets.len()))
}

/// An answer over plain HTTP.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The `Date` header, in ms since the Unix epoch.
    pub(crate) date_ms: Option<u64>,
    pub(crate) body: Vec<u8>,
}

/// Asks without a key; HTTP/1.0, so that the answer ends with the connection.
///
/// # Errors
/// [`Failure`] if the address is not one; the inner error says why there is no answer.
pub(crate) fn ask(url: &str, path: &str) -> Result<Result<Answer, String>, Failure> {
    let host = url.trim_end_matches('/').strip_prefix("http://").filter(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte))
    });
    let host = host.ok_or_else(|| {
        Failure::usage(format!("{url} is not of the form http://host:port"))
            .help("give an address such as http://127.0.0.1:8766")
    })?;
    Ok(exchange(host, path))
}

fn exchange(host: &str, path: &str) -> Result<Answer, String> {
    let text = |error: std::io::Error| error.to_string();
    let with_port = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut last = format!("{host} has no address");
    for address in with_port.to_socket_addrs().map_err(text)? {
        let mut stream = match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => stream,
            Err(error) => {
                last = error.to_string();
                continue;
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(text)?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(text)?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map_err(text)?;
        return parse(&bytes).ok_or_else(|| "what answers speaks no HTTP".to_owned());
    }
    Err(last)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).take(HEAD_BYTES_MAX).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').skip(1);
    let status = first.next()?.parse().ok()?;
    let date =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("date"));
    let date_ms = date.and_then(|(_, value)| http_date_ms(value.trim()));
    Some(Answer { status, date_ms, body: bytes[end + 4..].to_vec() })
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, IMF-fixdate) in ms since the Unix epoch.
fn http_date_ms(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let month = MONTHS.iter().position(|one| one == month)? as u64 + 1;
    let clock: Vec<u64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hour, minute, second] = clock.as_slice() else { return None };
    if !(1970..10_000).contains(&year)
        || !(1..=31).contains(&day)
        || *hour > 23
        || *minute > 59
        || *second > 60
    {
        return None;
    }
    // Days since 1970-01-01, with years that begin in March, so that leap days are last.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    let days = (shifted_year * 365 + leaps + (153 * shifted_month + 2) / 5 + day - 1).checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_ms_since_the_epoch() {
        let rows = [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777_000)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199_000)),
            ("Sat, 21 Nov 2026 12:00:00 GMT", Some(1_795_262_400_000)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(http_date_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn an_answer_that_is_not_http_is_none() {
        assert!(parse(b"").is_none());
        assert!(parse(b"SSH-2.0-OpenSSH_9\r\n\r\n").is_none());
        let answer = parse(b"HTTP/1.0 503 Busy\r\ndate: Thu, 01 Jan 1970 00:00:01 GMT\r\n\r\nbody").unwrap();
        assert_eq!((answer.status, answer.date_ms, &answer.body[..]), (503, Some(1000), &b"body"[..]));
    }
}
