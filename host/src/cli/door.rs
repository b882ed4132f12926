//! How the door of this node's API is kept: from its flags to rules, and the key for the commands of its own machine.

use super::failure::{Exit, Failure, file_failure};
use super::node::RunArgs;
use super::session::Session;
use dsm_crypto::{Zeroizing, fill_random};
use dsm_gateway::{
    ApiKey, GatewayConfig, GatewayError, KeyRing, Limits, NewKey, Origins, Peers, Scopes, Tokens,
};
use dsm_host::api::Rules;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Settings that a running node takes up.
pub(crate) const LIVE: [&str; 15] = [
    "allow-methods",
    "anonymous",
    "api-keys",
    "durability",
    "durability-wait",
    "jwt-secret",
    "limit-chain-read",
    "limit-default",
    "limit-events",
    "limit-simulation",
    "log-level",
    "origins",
    "policy-cache-size",
    "policy-ttl",
    "trusted-proxies",
];
/// The name of the key that a node makes for the commands of its own machine.
pub(crate) const OWN_NAME: &str = "node-admin";
/// How many times the ordinary limits it has.
const OWN_TIMES: u32 = 10;
/// Bytes of a file of keys or of a secret: ten thousand keys.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The rules of the door, and how many keys there are besides the node's own.
///
/// # Errors
/// [`Failure`]: a file cannot be read, something in it makes no sense, or other machines would come in unknown.
pub(crate) fn rules(run: &RunArgs, loopback: bool, own: &ApiKey) -> Result<(Rules, usize), Failure> {
    let (keys, count) = keys(run)?;
    let tokens = run.jwt_secret.as_deref().map(secret).transpose()?;
    let known = count > 0 || tokens.is_some();
    // A proxy brings other machines, wherever the node listens.
    let alone = loopback && (words(&run.trusted_proxies).is_empty() || run.anonymous.is_some());
    if !known && !alone {
        return Err(no_secret(run));
    }
    let keys = keys.with(own.clone()).map_err(|error| keys_failure(&keys_path(run), &error))?;
    let bad = |name: &str, error: &dyn std::fmt::Display| Failure::usage(format!("--{name}: {error}"));
    let anonymous = match &run.anonymous {
        Some(text) => Scopes::parse(text).map_err(|error| bad("anonymous", &error))?,
        None if known => Scopes::NONE,
        None => Scopes::ALL,
    };
    let origins = words(&run.origins);
    let origins =
        Origins::parse(origins.iter().map(String::as_str)).map_err(|error| bad("origins", &error))?;
    let proxies = words(&run.trusted_proxies).iter().map(|text| text.parse()).collect::<Result<_, _>>();
    let proxies = proxies.map_err(|error: dsm_gateway::AddressError| bad("trusted-proxies", &error))?;
    let ordinary = if known { Limits::default() } else { Limits::NONE };
    let limit = |given: Option<u32>, ordinary: u32| match given {
        None => ordinary,
        Some(0) => u32::MAX,
        Some(limit) => limit,
    };
    let limits = Limits {
        default: limit(run.limit_default, ordinary.default),
        simulation: limit(run.limit_simulation, ordinary.simulation),
        chain_read: limit(run.limit_chain_read, ordinary.chain_read),
        events: limit(run.limit_events, ordinary.events),
    };
    let methods = Some(words(&run.allow_methods)).filter(|names| !names.is_empty());
    let methods = methods.map(|names| names.into_iter().collect());
    let proxies = Peers::trusting(proxies);
    let gateway = GatewayConfig { anonymous, keys, tokens, origins, proxies, limits };
    Ok((Rules { gateway, methods }, count))
}

/// What a list names; an empty variable names nothing.
fn words(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

fn no_secret(run: &RunArgs) -> Failure {
    let error = GatewayError::NoSecret;
    Failure::new(Exit::Usage, error.code(), error).help(format!(
        "`dsm access key new NAME --scopes \"read submit events\" --api-keys {}` makes a key; --jwt-secret FILE names a \
         secret, which `dsm access secret FILE` makes; --listen 127.0.0.1:7545 without --trusted-proxies keeps other machines \
         out",
        keys_path(run).display()
    ))
}

/// The file of keys: the named one, or the data directory's.
fn keys_path(run: &RunArgs) -> PathBuf {
    run.api_keys.clone().unwrap_or_else(|| own_keys_path(&run.data))
}

/// Where keys stand unless another file is named.
pub(crate) fn own_keys_path(data: &Path) -> PathBuf {
    data.join("api-keys.json")
}

fn keys(run: &RunArgs) -> Result<(KeyRing, usize), Failure> {
    let path = keys_path(run);
    if run.api_keys.is_none() && !path.exists() {
        return Ok((KeyRing::default(), 0));
    }
    let kept = read_keys(&path)?;
    let count = kept.len();
    let ring = kept.into_iter().try_fold(KeyRing::default(), KeyRing::with);
    Ok((ring.map_err(|error| keys_failure(&path, &error))?, count))
}

pub(crate) fn keys_failure(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, "keys_file", format!("{}: {error}", path.display()))
        .help("`dsm access key new` and `dsm access key revoke` write this file")
}

/// The keys in a file.
pub(crate) fn read_keys(path: &Path) -> Result<Vec<ApiKey>, Failure> {
    let text = read_text(path)?;
    // Checked as a whole first, so that what is wrong is said in one place.
    KeyRing::parse(&text).map_err(|error| keys_failure(path, &error))?;
    serde_json::from_str(&text).map_err(|error| keys_failure(path, &error))
}

/// A secret for bearer tokens: the file's bytes, without the line end that editors leave.
pub(crate) fn secret(path: &Path) -> Result<Tokens, Failure> {
    let text = read_text(path)?;
    Tokens::new(text.trim_end_matches(['\r', '\n']).as_bytes()).map_err(|error| {
        Failure::new(Exit::Usage, "jwt_secret", format!("{}: {error}", path.display()))
            .help("`dsm access secret FILE` makes one")
    })
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(|error| file_failure(path, &error))?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| file_failure(path, &error))?;
    Ok(text)
}

/// A key of random words.
pub(crate) fn draw(name: &str, scopes: Scopes, times: u32) -> Result<NewKey, Failure> {
    let (mut id, mut secret) = ([0; 4], [0; 32]);
    for bytes in [&mut id[..], &mut secret[..]] {
        fill_random(bytes).map_err(|error| Failure::refused("no_randomness", error))?;
    }
    Ok(NewKey::make(name, scopes, times, id, secret))
}

/// A key that exists as long as this process.
pub(crate) fn draw_own() -> Result<NewKey, Failure> {
    draw(OWN_NAME, Scopes::ALL, OWN_TIMES)
}

/// Writes the node's own key into its data directory, for this user alone; removed when dropped.
pub(crate) struct OwnKeyFile(PathBuf);

impl OwnKeyFile {
    pub(crate) fn write(data: &Path, key: &str, url: &str) -> Result<OwnKeyFile, Failure> {
        let path = own_key_path(data);
        write_private(&path, &format!("{key}\n{url}\n"))?;
        Ok(OwnKeyFile(path))
    }
}

impl Drop for OwnKeyFile {
    fn drop(&mut self) {
        // A key that is left behind opens nothing.
        drop(std::fs::remove_file(&self.0));
    }
}

/// Writes a new file of mode 0600 beside the old one, and then in its place.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| file_failure(path, &error);
    let mut beside = path.to_path_buf().into_os_string();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // Left by a crash, or by nobody.
    drop(std::fs::remove_file(&beside));
    let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&beside);
    let mut file = file.map_err(failed)?;
    owned_as_folder(&file, path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

/// What root makes in a node's folder is the node's: it could not read its own keys otherwise.
pub(crate) fn owned_as_folder(file: &std::fs::File, path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (own, folder) = (file.metadata()?, std::fs::metadata(folder)?);
    if own.uid() == 0 && folder.uid() != 0 {
        std::os::unix::fs::fchown(file, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}

/// The key of the node in `data`, if `url` leads to it: the same port, on this machine or where it listens.
pub(crate) fn own_key(data: &Path, url: &str) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(std::fs::read_to_string(own_key_path(data)).ok()?);
    let mut lines = text.lines();
    let (key, listens) = (lines.next()?, lines.next()?);
    let (scheme, host, port) = parts(url)?;
    let (own_scheme, own_host, own_port) = parts(listens)?;
    let here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let leads = scheme == own_scheme && port == own_port && (here || host == own_host);
    leads.then(|| Zeroizing::new(key.to_owned()))
}

/// The same session, which shows the key of the node in `data` if that is the node it speaks to and no other key was named.
pub(crate) fn with_own_key(session: &Session, data: &Path) -> Session {
    let mut globals = session.globals.clone();
    if globals.api_key_file.is_none() && own_key(data, &globals.node).is_some() {
        globals.api_key_file = Some(own_key_path(data));
    }
    Session::new(globals)
}

/// Where a running node leaves its key.
fn own_key_path(data: &Path) -> PathBuf {
    data.join("admin.key")
}

fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.trim_end_matches('/').split_once("://")?;
    let (host, port) = rest.rsplit_once(':')?;
    Some((scheme, host, port))
}
