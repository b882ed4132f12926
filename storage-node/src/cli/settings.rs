//! Settings of `dsm-storage-node run`: defaults, overridden by a file, by the environment (`DSM_STORAGE_*`), by flags.

use super::failure::Failure;
use dsm_abi::Suite;
use dsm_core::PublicKey;
use dsm_storage_node::{Retention, Storage, StorageConfig};
use serde::Deserialize;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a configuration file or a key file.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Where a storage node listens unless it is told otherwise: the primary's port.
const LISTEN: &str = "127.0.0.1:8766";

/// Options of `run`. What is not given here comes from the file, then from the defaults.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Where to listen: QUIC, and HTTP on the TCP port of the same number; port 0 picks a free one
    /// [default: 127.0.0.1:8766]
    #[arg(long, value_name = "ADDRESS", env = "DSM_STORAGE_LISTEN")]
    listen: Option<String>,
    /// The core node's public key, in hexadecimal digits or as a file that holds them. Kept with the first topology
    #[arg(long, value_name = "KEY", env = "DSM_STORAGE_CORE_KEY")]
    core_key: Option<String>,
    /// How long records are kept: `archive`, or a number of days [default: archive]
    #[arg(long, value_name = "TIME", env = "DSM_STORAGE_RETENTION")]
    retention: Option<String>,
    /// Threads that verify signatures [default: one for each processor]
    #[arg(long, value_name = "N", env = "DSM_STORAGE_VERIFIERS")]
    verifiers: Option<usize>,
    /// Seconds between two runs that hash everything again [default: 86400]
    #[arg(long, value_name = "S", env = "DSM_STORAGE_SCRUB_INTERVAL_S")]
    scrub_interval_s: Option<u64>,
    /// Seconds between two comparisons of blobs with another member [default: 60]
    #[arg(long, value_name = "S", env = "DSM_STORAGE_ANTI_ENTROPY_INTERVAL_S")]
    anti_entropy_interval_s: Option<u64>,
    /// Whether signatures of Dilithium3 count, for keys older than the standard [default: false]
    #[arg(long, value_name = "BOOL", env = "DSM_STORAGE_ACCEPT_DILITHIUM3")]
    accept_dilithium3: Option<bool>,
    /// How much to log on stderr: error, warn, info, debug, trace [default: info]
    #[arg(long, value_name = "LEVEL", env = "DSM_STORAGE_LOG_LEVEL")]
    log_level: Option<String>,
}

impl Settings {
    /// What `self` leaves open is taken from `below`.
    fn over(self, below: Settings) -> Settings {
        Settings {
            listen: self.listen.or(below.listen),
            core_key: self.core_key.or(below.core_key),
            retention: self.retention.or(below.retention),
            verifiers: self.verifiers.or(below.verifiers),
            scrub_interval_s: self.scrub_interval_s.or(below.scrub_interval_s),
            anti_entropy_interval_s: self.anti_entropy_interval_s.or(below.anti_entropy_interval_s),
            accept_dilithium3: self.accept_dilithium3.or(below.accept_dilithium3),
            log_level: self.log_level.or(below.log_level),
        }
    }

    /// The node's configuration and the level of its log.
    pub(crate) fn resolve(
        self,
        file: Option<&Path>,
        data: &Path,
    ) -> Result<(StorageConfig, tracing::Level), Failure> {
        let below = match file {
            Some(path) => {
                let text = read_text(path)?;
                toml::from_str(&text)
                    .map_err(|error| Failure::usage(format!("{}: {}", path.display(), error.message())))?
            }
            None => Settings::default(),
        };
        let all = self.over(below);
        let usage = |name: &'static str| move |error: String| Failure::usage(format!("{name}: {error}"));
        let core_key = all.core_key.as_deref().map(core_key).transpose()?;
        let mut config = StorageConfig::new(data, core_key);
        config.storage = Storage::Directory(data.to_path_buf());
        config.http = true;
        config.listen = address(all.listen.as_deref().unwrap_or(LISTEN))?;
        if let Some(text) = all.retention {
            config.retention = text.parse::<Retention>().map_err(usage("retention"))?;
        }
        if let Some(count) = all.verifiers {
            if !(1..=256).contains(&count) {
                return Err(Failure::usage("verifiers: between 1 and 256"));
            }
            config.verifiers = count;
        }
        if let Some(seconds) = all.scrub_interval_s {
            config.scrub_interval = interval("scrub_interval_s", seconds)?;
        }
        if let Some(seconds) = all.anti_entropy_interval_s {
            config.anti_entropy_interval = interval("anti_entropy_interval_s", seconds)?;
        }
        config.accept_dilithium3 = all.accept_dilithium3.unwrap_or(false);
        let level = all.log_level.as_deref().unwrap_or("info");
        let level = level.parse().map_err(|_| Failure::usage(format!("log_level: {level:?} is no level")))?;
        Ok((config, level))
    }
}

fn interval(name: &str, seconds: u64) -> Result<Duration, Failure> {
    if seconds == 0 || seconds > 366 * 24 * 3600 {
        return Err(Failure::usage(format!("{name}: between one second and a year")));
    }
    Ok(Duration::from_secs(seconds))
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    let refused = |reason: &dyn std::fmt::Display| {
        Failure::usage(format!("listen: {text:?} is not an address: {reason}"))
            .help("give HOST:PORT, such as 0.0.0.0:8766; port 0 picks a free one")
    };
    let mut found = text.to_socket_addrs().map_err(|error| refused(&error))?;
    found.next().ok_or_else(|| refused(&"the name has no address"))
}

/// A public key in hexadecimal digits, or the file that holds them. The length tells the suite.
pub(crate) fn core_key(text: &str) -> Result<PublicKey, Failure> {
    let is_hex = text.len() >= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = if is_hex { text.to_owned() } else { read_text(Path::new(text))? };
    let bytes = hex::decode(digits.trim())
        .map_err(|_| Failure::usage("core_key: neither hexadecimal digits nor a file that holds them"))?;
    let suites = [Suite::MlDsa65, Suite::Ed25519MlDsa65];
    match suites.into_iter().find(|suite| suite.public_key_bytes() == bytes.len()) {
        Some(suite) => Ok(PublicKey { suite, bytes }),
        None => Err(Failure::usage(format!("core_key: no key of a core node has {} bytes", bytes.len()))),
    }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// The data directory, for every verb that looks into it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArgs {
    /// The data directory
    #[arg(long, global = true, value_name = "DIR", env = "DSM_STORAGE_DATA", default_value = "storage")]
    pub(crate) data: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn flags_stand_over_the_file_and_the_file_over_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("storage.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\nretention = \"30\"\nverifiers = 3\n").unwrap();
        let flags = settings("retention = \"7\"\nlog_level = \"debug\"");
        let (config, level) = flags.resolve(Some(&file), folder.path()).unwrap();
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.retention, Retention::Days(7));
        assert_eq!(config.verifiers, 3);
        assert_eq!(config.scrub_interval, Duration::from_secs(86_400));
        assert_eq!(level, tracing::Level::DEBUG);
    }

    #[test]
    fn o12_settings_that_make_no_sense_are_refused_by_name() {
        let rows = [
            ("retention = \"forever\"", "retention"),
            ("retention = \"0\"", "retention"),
            ("verifiers = 0", "verifiers"),
            ("scrub_interval_s = 0", "scrub_interval_s"),
            ("listen = \"nowhere\"", "listen"),
            ("log_level = \"loud\"", "log_level"),
            ("core_key = \"00\"", "00"),
            ("core_key = \"0000000000000000000000000000000000000000000000000000000000000000\"", "core_key"),
        ];
        for (text, name) in rows {
            let failure = settings(text).resolve(None, Path::new("x")).err();
            let failure = failure.unwrap_or_else(|| panic!("{text} was taken"));
            assert!(failure.message.starts_with(name), "{text}: {}", failure.message);
        }
        assert!(toml::from_str::<Settings>("listem = \"127.0.0.1:1\"").is_err(), "unknown names are refused");
    }
}
