//! `dsm doctor`: what is wrong with a node, or soon will be, each with the command that mends it. Nothing is changed.

use super::backup::{LastBackup, checked};
use super::discover::{Around, Discovery, ask, is_connected, survey};
use super::failure::Failure;
use super::session::Session;
use super::show::{Show, safe, short};
use dsm_sdk::api::{ReplicationView, StatusView};
use dsm_sdk::client::Client;
use serde::Serialize;
use std::fs::{File, TryLockError};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A device with less is close to full, and nearly so with a tenth of it.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// How long a port may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
const HOUR_MS: u64 = 3_600_000;

/// Options of `dsm doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    around: Around,
    /// The node's data directory, looked at if it is on this machine
    #[arg(long, value_name = "DIR", env = "DSM_DATA", default_value = "data")]
    data: PathBuf,
    /// The last backup [default: the one that the data directory remembers]
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// Hours after which a backup is old
    #[arg(long, value_name = "HOURS", default_value_t = 26)]
    backup_age: u64,
    /// How far the node's clock may be from this machine's, in ms
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    clock: u64,
    /// Records that a storage node may be behind
    #[arg(long, value_name = "N", default_value_t = 1000)]
    lag: u64,
    /// Ports of this machine that are looked at
    #[arg(
        long,
        value_name = "PORTS",
        value_delimiter = ',',
        default_values_t = [7545, 8765, 8766, 8767, 8768, 9090]
    )]
    ports: Vec<u16>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Ok,
    Warn,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: Health,
    detail: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

/// The answer of `doctor`.
#[derive(Debug, Serialize)]
struct Findings {
    ok: usize,
    warn: usize,
    bad: usize,
    findings: Vec<Finding>,
}

impl Show for Findings {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for one in &self.findings {
            let word = match one.state {
                Health::Ok => "ok  ",
                Health::Warn => "warn",
                Health::Bad => "BAD ",
            };
            lines.push(format!("{word}  {:12}  {}", one.check, safe(&one.detail)));
            lines.extend(one.mend.as_ref().map(|mend| format!("{:20}→ {}", "", safe(mend))));
        }
        lines.push(format!("{} ok, {} to look at, {} bad", self.ok, self.warn, self.bad));
        lines.join("\n")
    }
}

/// Collects findings.
#[derive(Default)]
struct Notes(Vec<Finding>);

impl Notes {
    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.0.push(Finding { check, state: Health::Ok, detail: detail.into(), mend: None });
    }

    fn warn(&mut self, check: &'static str, detail: impl Into<String>, mend: impl Into<String>) {
        let (detail, mend) = (detail.into(), Some(mend.into()));
        self.0.push(Finding { check, state: Health::Warn, detail, mend });
    }

    fn bad(&mut self, check: &'static str, detail: impl Into<String>, mend: impl Into<String>) {
        let (detail, mend) = (detail.into(), Some(mend.into()));
        self.0.push(Finding { check, state: Health::Bad, detail, mend });
    }

    /// What the node answered instead.
    fn failed(&mut self, check: &'static str, error: impl Into<Failure>) {
        let failure = error.into();
        let help = failure.help.unwrap_or_else(|| "`dsm status` tells how the node is".to_owned());
        self.bad(check, format!("{}: {}", failure.code, failure.message), help);
    }
}

pub(crate) fn run(session: &Session, args: &DoctorArgs) -> Result<(), Failure> {
    let session = &super::door::with_own_key(session, &args.data);
    let client = session.client()?;
    let mut notes = Notes::default();
    let reached = api(&mut notes, &client);
    if reached {
        clock(&mut notes, &client, args);
        match client.status() {
            Ok(status) => told(&mut notes, &status, args),
            Err(error) => notes.failed("status", error),
        }
        settings(&mut notes, &client);
    }
    services(&mut notes, &survey(session, &args.around)?);
    directory(&mut notes, session, args, reached);
    backup(&mut notes, args);
    for port in &args.ports {
        self::port(&mut notes, *port);
    }
    let findings = notes.0;
    let count = |state: Health| findings.iter().filter(|one| one.state == state).count();
    let (ok, warn, bad) = (count(Health::Ok), count(Health::Warn), count(Health::Bad));
    session.show(&Findings { ok, warn, bad, findings })?;
    if bad == 0 { Ok(()) } else { Err(Failure::told()) }
}

/// Whether the node can be asked at all.
fn api(notes: &mut Notes, client: &Client) -> bool {
    if let Err(error) = client.health() {
        notes.failed("api", error);
        return false;
    }
    match client.ready() {
        Ok(_) => notes.ok("api", format!("{} answers and takes transitions", client.base_url())),
        Err(error) => notes.failed("api", error),
    }
    true
}

/// The node's clock against this machine's.
fn clock(notes: &mut Notes, client: &Client, args: &DoctorArgs) {
    let before = Session::now_ms();
    let answer = ask(client.base_url(), "/v1/health").ok().and_then(Result::ok);
    let after = Session::now_ms();
    let Some(date) = answer.and_then(|answer| answer.date_ms) else {
        notes.ok("clock", "the node's clock is not told over this connection");
        return;
    };
    // The header tells whole seconds.
    let apart = if date > after { date - after } else { before.saturating_sub(date + 999) };
    let detail = format!("{apart} ms between the node's clock and this machine's, to the second");
    if apart > args.clock {
        notes.bad("clock", detail, "let NTP set both clocks: `timedatectl set-ntp true`");
    } else {
        notes.ok("clock", detail);
    }
}

/// What the node says of itself.
fn told(notes: &mut Notes, status: &StatusView, args: &DoctorArgs) {
    let own = env!("CARGO_PKG_VERSION");
    if status.version == own {
        notes.ok("versions", format!("node and command line are both {own}"));
    } else {
        let detail = format!("the node is {}, this command line {own}", status.version);
        notes.warn(
            "versions",
            detail,
            "install the other's version here, or start the node anew with this one",
        );
    }
    if status.storage_full {
        notes.bad("device", "the node's device is full", "free space on it; the node goes on by itself");
    }
    if let Some(why) = &status.stopped {
        notes.bad("node", format!("it acknowledges nothing any more: {why}"), "start `dsm node` again");
    }
    if let Some(audit) = &status.audit
        && audit.dropped > 0
    {
        let detail = format!("{} lines found no room in the audit log", audit.dropped);
        notes.warn("audit", detail, "`dsm audit verify`; give the data directory a faster device");
    }
    match &status.replication {
        Some(view) => replication(notes, view, args),
        None => notes.warn(
            "replication",
            "off: what is acknowledged is on one device",
            "start `dsm node` with --p2p and `dsm topology add-peer HOST:PORT --key KEY`",
        ),
    }
}

/// Services that the command line names, besides the core node: whether each is up, and of this version.
fn services(notes: &mut Notes, found: &Discovery) {
    let own = env!("CARGO_PKG_VERSION");
    for service in found.services.iter().filter(|one| one.name != "core" && one.url.contains("://")) {
        let name = format!("{} at {}", service.name, service.url);
        if !service.up {
            let mend =
                "start it: `docker compose up -d --wait`, or `systemctl start` with the name of its unit";
            notes.bad("services", format!("{name} is {}: {}", service.state, service.detail), mend);
            continue;
        }
        notes.ok("services", format!("{name} is {}", service.state));
        match &service.version {
            Some(version) if service.name != "prometheus" && version != own => notes.warn(
                "versions",
                format!("{name} is {version}, this command line {own}"),
                "start the older one anew with the newer's version, storage nodes first",
            ),
            Some(_) | None => {}
        }
    }
}

fn replication(notes: &mut Notes, view: &ReplicationView, args: &DoctorArgs) {
    match view.standing.as_str() {
        "leading" => notes.ok("standing", format!("leading in epoch {}", view.epoch)),
        "fenced" => notes.bad(
            "standing",
            "another node writes this history",
            "name that one with --node; do not start this one again",
        ),
        other => notes.bad(
            "standing",
            format!("{other}: it writes nothing"),
            "`dsm topology matrix` tells who is missing; start the storage nodes",
        ),
    }
    let mut connected = 0;
    for member in &view.members {
        let name = format!("{} at {}", short(member.node), member.address);
        if !is_connected(&member.state) {
            let why = member.trouble.as_deref().unwrap_or("not connected");
            let mend = "`dsm-storage-node status` on its machine; start it, or `dsm topology remove-peer`";
            notes.bad("peers", format!("{name}: {}, {why}", member.state), mend);
            continue;
        }
        connected += 1;
        if member.lag > args.lag {
            let mend = "`dsm topology watch` shows whether it catches up";
            notes.warn("replication", format!("{name} is {} records behind", member.lag), mend);
        } else {
            notes.ok("replication", format!("{name}: {}, {} behind", member.state, member.lag));
        }
    }
    let (level, needed) = (view.durability, view.durability.storage_nodes());
    if view.members.is_empty() {
        let mend = "`dsm topology add-peer HOST:PORT --key KEY`";
        notes.warn("replication", "no storage nodes: what is acknowledged is on one device", mend);
    }
    if needed > view.members.len() {
        let detail =
            format!("the level {level} takes {needed} storage nodes, there are {}", view.members.len());
        notes.bad("durability", detail, "`dsm topology add-peer`, or `dsm config set --durability=primary`");
    } else if needed > connected {
        let detail = format!("the level {level} takes {needed} storage nodes, {connected} are connected");
        notes.bad("durability", detail, "start the missing storage nodes: `dsm topology list`");
    } else if needed == 0 && !view.members.is_empty() {
        let detail = "local: acknowledged before any storage node has it";
        notes.warn("durability", detail, "`dsm config set --durability=primary`");
    } else {
        notes.ok("durability", format!("level {level}, {connected} storage nodes connected"));
    }
}

/// Settings that wait for a restart.
fn settings(notes: &mut Notes, client: &Client) {
    let view = match client.config() {
        Ok(view) => view,
        Err(error) if error.code() == "no_settings" => return,
        Err(error) => {
            let mend =
                "name an admin's key by --api-key-file, or run this on the node's machine with DSM_DATA";
            return notes.warn("settings", format!("not looked at: {}", error.code()), mend);
        }
    };
    let waiting: Vec<String> = view
        .settings
        .iter()
        .filter_map(|one| Some(format!("{} = {}", one.name, one.after_restart.as_ref()?)))
        .collect();
    if waiting.is_empty() {
        notes.ok("settings", format!("all that stands in {} is in force", view.file));
    } else {
        notes.warn(
            "settings",
            format!("waiting for a restart: {}", waiting.join(", ")),
            "start `dsm node` again",
        );
    }
}

/// The data directory, if it is on this machine.
fn directory(notes: &mut Notes, session: &Session, args: &DoctorArgs, reached: bool) {
    let data = &args.data;
    let key = data.join("node.key");
    let Ok(about) = std::fs::metadata(&key) else {
        notes.ok("directory", format!("{} holds no node here: not looked at", data.display()));
        return;
    };
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        notes.ok("key", format!("{} is for its user alone", key.display()));
    } else {
        let detail = format!("{} has mode {mode:o}: whoever reads it signs as this node", key.display());
        notes.bad("key", detail, format!("chmod 600 {}", key.display()));
    }
    volumes(notes, session, data);
    let running = super::door::own_key(data, &session.globals.node).is_some();
    match lock(data) {
        Ok(false) if running && reached => notes.ok("lock", "held by the node that was asked"),
        Ok(false) => notes.warn(
            "lock",
            format!("a process has {} open, and {} is not its API", data.display(), session.globals.node),
            "name the right one with --node, or stop what holds it",
        ),
        Ok(true) if running => notes.bad(
            "lock",
            "the node that left its key here has ended and its directory is free",
            format!("dsm node --data {}", data.display()),
        ),
        Ok(true) => notes.ok("lock", format!("no process has {} open", data.display())),
        Err(error) => {
            let mend = "run this as the node's user";
            notes.warn("lock", format!("{}: {error}", data.join("lock").display()), mend);
        }
    }
}

/// Whether no process has the directory open.
fn lock(data: &Path) -> std::io::Result<bool> {
    let file = File::open(data.join("lock"))?;
    match file.try_lock_shared() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The folders that the node writes: data, policy packages, and where its file of settings is. Each may be a volume of
/// its own.
fn volumes(notes: &mut Notes, session: &Session, data: &Path) {
    let settings = session.client().ok().and_then(|client| client.config().ok());
    let settings = settings.and_then(|view| Some(Path::new(&view.file).parent()?.to_path_buf()));
    let mut folders = vec![data.to_path_buf(), data.join("policies")];
    folders.extend(settings.filter(|folder| folder.is_dir() && folder != data));
    for folder in folders {
        let owner = |path: &Path| std::fs::metadata(path).map(|about| about.uid());
        match (owner(&folder), owner(&data.join("node.key"))) {
            (Ok(folder_owner), Ok(key_owner)) if folder_owner == key_owner || key_owner == 0 => {
                space(notes, &folder);
            }
            (Ok(folder_owner), Ok(key_owner)) => notes.warn(
                "volumes",
                format!("{} is of user {folder_owner}, the node's key of user {key_owner}", folder.display()),
                format!("chown -R {key_owner} {}", folder.display()),
            ),
            (Err(error), _) | (_, Err(error)) => notes.bad(
                "volumes",
                format!("{}: {error}", folder.display()),
                "mount the volume there and start the node again; `dsm restore` brings back what it held",
            ),
        }
    }
}

fn space(notes: &mut Notes, data: &Path) {
    let free = match rustix::fs::statvfs(data) {
        Ok(about) => about.f_bavail.saturating_mul(about.f_frsize),
        Err(error) => {
            let mend = "check that --data is a directory that this user may read";
            return notes.warn("volumes", format!("{}: {error}", data.display()), mend);
        }
    };
    let detail = format!("{} MiB free for {}", free >> 20, data.display());
    let mend = "enlarge the volume, or move the data directory to a larger one while the node is stopped";
    match free {
        free if free < FREE_BYTES_MIN / 10 => notes.bad("volumes", detail, mend),
        free if free < FREE_BYTES_MIN => notes.warn("volumes", detail, mend),
        _ => notes.ok("volumes", detail),
    }
}

/// The last backup: whether it is whole, and how old.
fn backup(notes: &mut Notes, args: &DoctorArgs) {
    let mend = "dsm backup create FILE";
    let remembered = LastBackup::read(&args.data);
    let file = args.backup.clone().or_else(|| remembered.as_ref().map(|last| last.file.clone()));
    let Some(file) = file else {
        return notes.warn("backup", "no backup is known", mend);
    };
    let last = remembered.filter(|last| last.file == file);
    let age_ms = match (&last, std::fs::metadata(&file).and_then(|about| about.modified())) {
        (Some(last), _) => Session::now_ms().saturating_sub(last.time_ms),
        (None, Ok(written)) => {
            let age = written.elapsed().unwrap_or_default().as_millis();
            u64::try_from(age).unwrap_or(u64::MAX)
        }
        (None, Err(_)) => 0,
    };
    match checked(&file) {
        Ok(report) => {
            let hours = age_ms / HOUR_MS;
            let detail = format!("{}: {} records, whole, {hours} hours old", file.display(), report.head);
            if age_ms > args.backup_age.saturating_mul(HOUR_MS) {
                notes.warn("backup", detail, mend);
            } else {
                notes.ok("backup", detail);
            }
        }
        Err(failure) if failure.code == "usage" => notes.warn(
            "backup",
            format!("{} cannot be read here: {}", file.display(), failure.message),
            "name it with --backup FILE, or `dsm backup create FILE`",
        ),
        Err(failure) => notes.bad("backup", format!("{}: {}", failure.code, failure.message), mend),
    }
}

/// Whether something answers at a port of this machine, or it is free.
fn port(notes: &mut Notes, port: u16) {
    let here = SocketAddr::from(([127, 0, 0, 1], port));
    let udp = if UdpSocket::bind(here).is_ok() { "free" } else { "in use" };
    if TcpStream::connect_timeout(&here, PATIENCE).is_ok() {
        return notes.ok("ports", format!("{port}: answers, UDP {udp}"));
    }
    match TcpListener::bind(here) {
        Ok(_) => notes.ok("ports", format!("{port}: free, UDP {udp}")),
        Err(error) => {
            let mend =
                format!("`ss -lptn sport = :{port}` names the process; stop it, or choose another port");
            notes.warn("ports", format!("{port}: neither answers nor is free: {error}"), mend);
        }
    }
}
