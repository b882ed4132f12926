//! `dsm access`: API keys, and bearer tokens with their secret.

use super::door::{OWN_NAME, draw, keys_failure, own_keys_path, read_keys, secret, write_private};
use super::failure::Failure;
use super::session::Session;
use super::show::{Show, rows, safe, table};
use dsm_crypto::fill_random;
use dsm_gateway::{ApiKey, Scopes};
use serde::Serialize;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Minutes that a token may count: a year.
const MINUTES_MAX: u64 = 366 * 24 * 60;

/// What is done about who may ask.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AccessVerb {
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(KeyVerb),
    /// Make a secret for bearer tokens
    Secret {
        /// The file to make, of mode 0600
        file: PathBuf,
    },
    /// Make a bearer token
    Token {
        /// Whose it is: the name in logs and limits
        name: String,
        /// What it is for: read, submit, simulate, events, admin
        #[arg(long, value_name = "SCOPES", default_value = "read")]
        scopes: Scopes,
        /// How long it counts
        #[arg(long, value_name = "N", default_value_t = 60)]
        minutes: u64,
        /// The file of the secret
        #[arg(long, value_name = "FILE", env = "DSM_JWT_SECRET_FILE")]
        jwt_secret: PathBuf,
    },
}

/// What is done with API keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a key; it is shown once, and only a digest of it is kept
    New {
        /// Whose it is: the name in logs and limits
        name: String,
        /// What it is for: read, submit, simulate, events, admin
        #[arg(long, value_name = "SCOPES", default_value = "read")]
        scopes: Scopes,
        /// How many times the ordinary limits it has
        #[arg(long, value_name = "N", default_value_t = 1)]
        times: u32,
        /// Write the key to this new file of mode 0600 instead of showing it
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[command(flatten)]
        place: KeysFile,
    },
    /// List the keys
    List {
        #[command(flatten)]
        place: KeysFile,
    },
    /// Take a key away
    Revoke {
        /// Its name or its id
        name: String,
        #[command(flatten)]
        place: KeysFile,
    },
}

/// Where keys are kept.
#[derive(Debug, clap::Args)]
pub(crate) struct KeysFile {
    /// The file of keys [default: api-keys.json in the data directory]
    #[arg(long, value_name = "FILE", env = "DSM_API_KEYS")]
    api_keys: Option<PathBuf>,
    /// The data directory
    #[arg(long, value_name = "DIR", env = "DSM_DATA", default_value = "data")]
    data: PathBuf,
}

impl KeysFile {
    fn path(&self) -> PathBuf {
        self.api_keys.clone().unwrap_or_else(|| own_keys_path(&self.data))
    }

    /// Holds others off until it is dropped: keys are read, changed and written back, and of two at once the second would
    /// bring back what the first revoked.
    fn lock(&self) -> Result<File, Failure> {
        let mut path = self.path().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let failed = |error: std::io::Error| super::failure::file_failure(&path, &error);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(failed)?;
        super::door::owned_as_folder(&file, &path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }

    fn read(&self) -> Result<Vec<ApiKey>, Failure> {
        let path = self.path();
        if path.exists() { read_keys(&path) } else { Ok(Vec::new()) }
    }

    fn write(&self, keys: &[ApiKey]) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(keys).map_err(|error| Failure::integrity("json", error))?;
        write_private(&self.path(), &format!("{text}\n"))
    }
}

/// One key without its digest.
#[derive(Serialize)]
struct KeyRow {
    id: String,
    name: String,
    scopes: String,
    limit_times: u32,
}

impl From<&ApiKey> for KeyRow {
    fn from(key: &ApiKey) -> KeyRow {
        let ApiKey { id, name, scopes, limit_times, digest: _ } = key.clone();
        KeyRow { id, name, scopes, limit_times }
    }
}

/// A key that was just made.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    row: KeyRow,
    key: Option<String>,
    written_to: Option<PathBuf>,
    file: PathBuf,
}

impl Show for Made {
    fn text(&self) -> String {
        let written = self.written_to.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let text = rows([
            ("key", self.key.clone().unwrap_or_default()),
            ("written to", written),
            ("name", safe(&self.row.name)),
            ("scopes", self.row.scopes.clone()),
            ("digest in", self.file.display().to_string()),
        ]);
        format!("{text}\nIt is not shown again. A running node takes it with `dsm config reload` or SIGHUP.")
    }
}

#[derive(Serialize)]
struct Listed {
    keys: Vec<KeyRow>,
}

impl Show for Listed {
    fn text(&self) -> String {
        let lines: Vec<Vec<String>> = self
            .keys
            .iter()
            .map(|key| {
                vec![key.id.clone(), safe(&key.name), key.scopes.clone(), format!("{}x", key.limit_times)]
            })
            .collect();
        table(&["id", "name", "scopes", "limits"], &lines, "no keys")
    }
}

#[derive(Serialize)]
struct Revoked {
    revoked: KeyRow,
    file: PathBuf,
}

impl Show for Revoked {
    fn text(&self) -> String {
        let name = safe(&self.revoked.name);
        format!(
            "{name} counts no more once the node has read {} again: `dsm config reload`",
            self.file.display()
        )
    }
}

#[derive(Serialize)]
struct Secret {
    file: PathBuf,
}

impl Show for Secret {
    fn text(&self) -> String {
        format!("a secret of 256 bits in {}", self.file.display())
    }
}

#[derive(Serialize)]
struct Token {
    token: String,
    name: String,
    scopes: String,
    until_s: u64,
}

impl Show for Token {
    fn text(&self) -> String {
        self.token.clone()
    }
}

pub(crate) fn run(session: &Session, verb: &AccessVerb) -> Result<(), Failure> {
    match verb {
        AccessVerb::Key(verb) => key(session, verb),
        AccessVerb::Secret { file } => {
            if file.exists() {
                return Err(Failure::usage(format!("{} exists already", file.display()))
                    .help("tokens under the old secret would count no more; name another file"));
            }
            let mut bytes = [0; 32];
            fill_random(&mut bytes).map_err(|error| Failure::refused("no_randomness", error))?;
            write_private(file, &format!("{}\n", hex::encode(bytes)))?;
            session.show(&Secret { file: file.clone() })
        }
        AccessVerb::Token { name, scopes, minutes, jwt_secret } => {
            if *minutes == 0 || *minutes > MINUTES_MAX {
                return Err(Failure::usage(format!("--minutes: from 1 to {MINUTES_MAX}")));
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let until_s = now.as_secs() + minutes * 60;
            let token = secret(jwt_secret)?.make(name, *scopes, until_s).map_err(Failure::usage)?;
            session.show(&Token { token, name: name.clone(), scopes: scopes.to_string(), until_s })
        }
    }
}

fn key(session: &Session, verb: &KeyVerb) -> Result<(), Failure> {
    match verb {
        KeyVerb::New { name, scopes, times, to, place } => {
            if name == OWN_NAME || name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
                return Err(Failure::usage(format!("{name:?} cannot be the name of a key"))
                    .help("a name has up to 64 characters, and node-admin is the node's own"));
            }
            let _alone = place.lock()?;
            let mut keys = place.read()?;
            let made = draw(name, *scopes, *times)?;
            keys.push(made.kept.clone());
            let checked =
                keys.iter().cloned().try_fold(dsm_gateway::KeyRing::default(), dsm_gateway::KeyRing::with);
            checked.map_err(|error| keys_failure(&place.path(), &error))?;
            if let Some(to) = to {
                if to.exists() {
                    return Err(Failure::usage(format!("{} exists already", to.display())));
                }
                write_private(to, &format!("{}\n", made.text))?;
            }
            place.write(&keys)?;
            session.show(&Made {
                row: KeyRow::from(&made.kept),
                key: to.is_none().then_some(made.text),
                written_to: to.clone(),
                file: place.path(),
            })
        }
        KeyVerb::List { place } => {
            session.show(&Listed { keys: place.read()?.iter().map(KeyRow::from).collect() })
        }
        KeyVerb::Revoke { name, place } => {
            let _alone = place.lock()?;
            let mut keys = place.read()?;
            let Some(at) = keys.iter().position(|key| key.name == *name || key.id == *name) else {
                return Err(Failure::refused("unknown_key_name", format!("there is no API key {name:?}"))
                    .help("`dsm access key list` lists them"));
            };
            let revoked = keys.remove(at);
            place.write(&keys)?;
            session.show(&Revoked { revoked: KeyRow::from(&revoked), file: place.path() })
        }
    }
}
