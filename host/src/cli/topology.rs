//! `dsm topology`: who keeps the log besides the core node, how far each is, and changes while the node writes.

use super::failure::{Failure, file_failure};
use super::session::Session;
use super::show::{Show, line, rows, safe, short, table};
use dsm_abi::Digest;
use dsm_host::replicate::KnownPeer;
use dsm_sdk::api::{ChangedTopology, MatrixView, MemberView, TopologyView};
use serde::Serialize;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Columns of a bar.
const BAR: u64 = 30;
/// Between two looks at how far everybody is.
const LOOK: Duration = Duration::from_millis(200);

/// What to do with the topology.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TopologyVerb {
    /// Tell who keeps the log, how far each has acknowledged it, and who is the primary
    List,
    /// Ask each storage node now how far it is, and compare its log with the core node's
    Matrix,
    /// Show how storage nodes catch up, until all have the whole log
    Watch {
        /// Give up after so many seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 600)]
        patience: u64,
    },
    /// Add a storage node, which has to prove its key
    AddPeer {
        /// Where it listens, HOST:PORT
        address: String,
        /// Its public key: hex digits, or a file that holds them [default: the one of --peer-keys at this address]
        #[arg(long, value_name = "NODEKEY")]
        key: Option<String>,
        /// A folder with files HOST.pub, or a file with lines of HOST:PORT and a key; the node has one of its own too
        #[arg(long, value_name = "PATH", env = "DSM_PEER_KEYS")]
        peer_keys: Option<PathBuf>,
    },
    /// Remove a storage node; its log stays as it is
    RemovePeer {
        /// Its id, or the beginning of it, or its address
        #[arg(value_name = "NODE")]
        peer: String,
        /// Even if too few storage nodes answer: no other core node writes this history
        #[arg(long)]
        force: bool,
    },
    /// Make a storage node the primary as soon as it has everything that was acknowledged
    Promote {
        /// Its id, or the beginning of it, or its address
        #[arg(value_name = "NODE")]
        peer: String,
        /// Even if too few storage nodes answer: no other core node writes this history
        #[arg(long)]
        force: bool,
    },
}

pub(crate) fn run(session: &Session, verb: &TopologyVerb) -> Result<(), Failure> {
    let client = session.client()?;
    match verb {
        TopologyVerb::List => session.show(&Listed { view: client.topology()? }),
        TopologyVerb::Matrix => session.show(&Matrix { view: client.topology_matrix()? }),
        TopologyVerb::Watch { patience } => watch(session, Duration::from_secs(*patience)),
        TopologyVerb::AddPeer { address, key, peer_keys } => {
            let key = match (key, peer_keys) {
                (Some(key), _) => Some(node_key(key)?),
                (None, Some(path)) => listed_key(path, address)?,
                (None, None) => None,
            };
            session.show(&Changed { what: "added", change: client.add_peer(address, key)? })
        }
        TopologyVerb::RemovePeer { peer, force } => {
            let node = named(&client.topology()?, peer)?;
            session.show(&Changed { what: "removed", change: client.remove_peer(node, *force)? })
        }
        TopologyVerb::Promote { peer, force } => {
            let node = named(&client.topology()?, peer)?;
            session.show(&Changed { what: "the primary", change: client.promote(node, *force)? })
        }
    }
}

/// The member that an id, the beginning of one, or an address names.
fn named(view: &TopologyView, text: &str) -> Result<Digest, Failure> {
    let fits = |member: &&MemberView| {
        member.address == text || (text.len() >= 4 && member.node.to_string().starts_with(text))
    };
    let mut found = view.members.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.node),
        _ => Err(Failure::refused("unknown_key", format!("{text} names no storage node of the topology"))
            .help("`dsm topology list` names them; the first digits of an id are enough")),
    }
}

/// A storage node's public key: hex digits, or the file that holds them.
pub(crate) fn node_key(text: &str) -> Result<Vec<u8>, Failure> {
    let is_hex = text.len() >= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = if is_hex {
        text.to_owned()
    } else {
        let path = Path::new(text);
        std::fs::read_to_string(path).map_err(|error| file_failure(path, &error))?
    };
    hex::decode(digits.trim()).map_err(|_| {
        Failure::usage(format!("{text:?} is neither hex digits nor a file that holds them"))
            .help("`dsm-storage-node key` shows a storage node's key")
    })
}

/// `HOST:PORT=KEY`, where the key is hex digits or a file that holds them.
pub(crate) fn known_peer(text: &str) -> Result<KnownPeer, Failure> {
    let (address, key) = text.split_once('=').ok_or_else(|| {
        Failure::usage(format!("{text:?} is not of the form HOST:PORT=KEY"))
            .help("the key is hex digits or a file that holds them; `dsm-storage-node key` shows it")
    })?;
    Ok(KnownPeer { address: address.to_owned(), key: node_key(key)? })
}

/// `HOST:PORT=KEY`, or `HOST:PORT` alone if `--peer-keys` has its key.
pub(crate) fn listed_peer(text: &str, peer_keys: Option<&Path>) -> Result<KnownPeer, Failure> {
    let (Some(path), false) = (peer_keys, text.contains('=')) else { return known_peer(text) };
    let key = listed_key(path, text)?.ok_or_else(|| {
        Failure::refused("unknown_key", format!("{} has no key for {text}", path.display()))
            .help("give HOST:PORT=KEY; `dsm-storage-node key --to FILE` writes a storage node's key down")
    })?;
    Ok(KnownPeer { address: text.to_owned(), key })
}

/// The key at an address: in a folder the file `HOST.pub`, in a file the line that begins with the address.
fn listed_key(path: &Path, address: &str) -> Result<Option<Vec<u8>>, Failure> {
    if !path.is_dir() {
        let known = peer_keys(path)?;
        return Ok(known.into_iter().find(|one| one.address == address).map(|one| one.key));
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    // A name with a separator in it would lead out of the folder.
    if host.is_empty() || host.contains('/') {
        return Err(Failure::usage(format!("{address:?} is not of the form HOST:PORT")));
    }
    match std::fs::read_to_string(path.join(format!("{host}.pub"))) {
        Ok(digits) => node_key(digits.trim()).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_failure(path, &error)),
    }
}

/// A file of lines `HOST:PORT KEY`; empty lines and those that begin with `#` are passed over. A folder is looked into
/// when an address is named.
pub(crate) fn peer_keys(path: &Path) -> Result<Vec<KnownPeer>, Failure> {
    if path.is_dir() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path).map_err(|error| file_failure(path, &error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (address, key) = line.split_once(char::is_whitespace).ok_or_else(|| {
                Failure::usage(format!("{}: {line:?} is not of the form HOST:PORT KEY", path.display()))
            })?;
            Ok(KnownPeer { address: address.to_owned(), key: node_key(key.trim())? })
        })
        .collect()
}

/// The answer of `list`.
#[derive(Serialize)]
#[serde(transparent)]
struct Listed {
    view: TopologyView,
}

impl Show for Listed {
    fn text(&self) -> String {
        let view = &self.view;
        let head = rows([
            ("network", view.network.to_string()),
            ("core node", format!("{} at {}", view.node, view.listen)),
            ("standing", view.standing.clone()),
            ("epoch", view.epoch.to_string()),
            ("log", format!("{} records", view.position)),
            ("level", format!("{} unless a submission asks for another", view.durability)),
        ]);
        format!("{head}\n\n{}", members_table(&view.members))
    }
}

/// Storage nodes in lines.
pub(crate) fn members_table(members: &[MemberView]) -> String {
    let line = |one: &MemberView| {
        vec![
            short(one.node),
            if one.primary { "primary" } else { "replica" }.to_owned(),
            one.address.clone(),
            one.state.clone(),
            one.acked.to_string(),
            one.lag.to_string(),
            one.round_trip_us.map_or_else(String::new, |us| format!("{:.1} ms", us as f64 / 1000.0)),
            safe(one.trouble.as_deref().unwrap_or_default()),
        ]
    };
    let lines: Vec<_> = members.iter().map(line).collect();
    let head = ["NODE", "ROLE", "ADDRESS", "STATE", "ACKED", "LAG", "ROUND TRIP", "TROUBLE"];
    table(&head, &lines, "no storage nodes; `dsm topology add-peer HOST:PORT --key KEY` adds one")
}

/// The answer of `matrix`.
#[derive(Serialize)]
#[serde(transparent)]
struct Matrix {
    view: MatrixView,
}

impl Show for Matrix {
    fn text(&self) -> String {
        let view = &self.view;
        let line = |row: &dsm_sdk::api::ReachView| {
            let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
            let agrees = match row.agrees {
                Some(true) => "same",
                Some(false) => "OTHER",
                None => "",
            };
            vec![
                short(row.node),
                if row.primary { "primary" } else { "replica" }.to_owned(),
                if row.reached { "reached" } else { "silent" }.to_owned(),
                row.answer_us.map_or_else(String::new, |us| format!("{:.1} ms", us as f64 / 1000.0)),
                number(row.epoch),
                number(row.first),
                number(row.position),
                agrees.to_owned(),
                safe(row.trouble.as_deref().unwrap_or_default()),
            ]
        };
        let lines: Vec<_> = view.rows.iter().map(line).collect();
        let head = ["NODE", "ROLE", "FROM HERE", "ANSWER", "EPOCH", "FIRST", "LAST", "RECORDS", "TROUBLE"];
        let core =
            format!("core node {} in epoch {}: {} records", short(view.node), view.epoch, view.position);
        format!("{core}\n\n{}", table(&head, &lines, "no storage nodes"))
    }
}

/// The answer to a change.
#[derive(Serialize)]
struct Changed {
    #[serde(skip)]
    what: &'static str,
    #[serde(flatten)]
    change: ChangedTopology,
}

impl Show for Changed {
    fn text(&self) -> String {
        let change = &self.change;
        format!(
            "{} is {}; epoch {}, primary {}, promised after {} ms",
            short(change.node),
            self.what,
            change.epoch,
            short(change.primary),
            change.took_ms
        )
    }
}

/// A bar of how far something has come.
pub(crate) fn bar(done: u64, all: u64) -> String {
    let filled = (BAR * done.min(all)).checked_div(all).unwrap_or(BAR);
    let empty = BAR - filled;
    format!("{}{}", "█".repeat(filled as usize), "░".repeat(empty as usize))
}

/// Draws a bar for each storage node until all have the whole log; without a terminal, one line for each change.
fn watch(session: &Session, patience: Duration) -> Result<(), Failure> {
    let client = session.client()?;
    let (begun, live) = (Instant::now(), std::io::stdout().is_terminal() && !session.globals.json);
    let mut drawn = 0;
    loop {
        let view = client.topology()?;
        let caught_up = view.members.iter().all(|one| one.acked >= view.position);
        let over = caught_up || begun.elapsed() >= patience;
        if session.globals.json {
            if over {
                session.show(&Listed { view })?;
                return unless(caught_up);
            }
        } else if live || over {
            if drawn > 0 {
                // Up to the first bar again.
                line(&format!("\u{1b}[{}A", drawn + 1));
            }
            for one in &view.members {
                line(&format!(
                    "{}  {}  {} of {}  {}{}",
                    short(one.node),
                    bar(one.acked, view.position),
                    one.acked,
                    view.position,
                    one.state,
                    if live { "\u{1b}[K" } else { "" }
                ));
            }
            drawn = view.members.len();
        }
        if over {
            return unless(caught_up);
        }
        std::thread::sleep(LOOK);
    }
}

fn unless(caught_up: bool) -> Result<(), Failure> {
    if caught_up {
        return Ok(());
    }
    Err(Failure::refused("not_caught_up", "a storage node has not caught up")
        .help("`dsm topology list` tells which, and what troubles it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_node_is_named_by_its_address_alone_where_its_key_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let digits = "ab".repeat(32);
        std::fs::write(folder.path().join("storage-one.pub"), format!("{digits}\n")).unwrap();
        let file = folder.path().join("peers");
        std::fs::write(&file, format!("# ours\nstorage-two:8765 {digits}\n")).unwrap();
        let found = |path: &Path, text: &str| {
            listed_peer(text, Some(path)).map(|peer| (peer.address, hex::encode(peer.key)))
        };
        let peer = |address: &str| (address.to_owned(), digits.clone());
        assert_eq!(found(folder.path(), "storage-one:8765").unwrap(), peer("storage-one:8765"));
        assert_eq!(found(&file, "storage-two:8765").unwrap(), peer("storage-two:8765"));
        let given = format!("elsewhere:1={digits}");
        assert_eq!(found(folder.path(), &given).unwrap(), peer("elsewhere:1"));
        for (path, text, code) in [
            (folder.path(), "storage-two:8765", "unknown_key"),
            (folder.path(), "../storage-one:8765", "usage"),
            (&*file, "storage-one:8765", "unknown_key"),
        ] {
            assert_eq!(found(path, text).unwrap_err().code, code, "{text}");
        }
        assert_eq!(listed_peer("storage-one:8765", None).err().unwrap().code, "usage");
    }
}
