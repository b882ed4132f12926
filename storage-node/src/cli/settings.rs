//! Settings of `dsm-storage-node run`: defaults, overridden by a file, by the environment (`DSM_STORAGE_*`), by flags.

use super::failure::Failure;
use dsm_abi::Suite;
use dsm_core::PublicKey;
use dsm_settings::AddressError;
use dsm_storage_node::{Storage, StorageConfig, Upkeep};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a key file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Options of `run`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Where to listen: QUIC, and HTTP on the TCP port of the same number; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", env = "DSM_STORAGE_LISTEN", default_value = "127.0.0.1:8766")]
    listen: String,
    /// The core node's public key, in hexadecimal digits or as a file that holds them. Kept with the first topology
    #[arg(long, value_name = "KEY", env = "DSM_STORAGE_CORE_KEY")]
    core_key: Option<String>,
    /// How long records are kept: `archive`, or a number of days
    #[arg(long, value_name = "TIME", env = "DSM_STORAGE_RETENTION", default_value = "archive")]
    retention: String,
    /// Threads that verify signatures [default: one for each processor]
    #[arg(long, value_name = "N", env = "DSM_STORAGE_VERIFIERS")]
    verifiers: Option<usize>,
    /// Seconds between two runs that hash everything again
    #[arg(long, value_name = "S", env = "DSM_STORAGE_SCRUB_INTERVAL_S", default_value_t = 86_400)]
    scrub_interval_s: u64,
    /// Seconds between two comparisons of blobs with another member
    #[arg(long, value_name = "S", env = "DSM_STORAGE_ANTI_ENTROPY_INTERVAL_S", default_value_t = 60)]
    anti_entropy_interval_s: u64,
    /// Whether signatures of Dilithium3 count, for keys older than the standard
    #[arg(
        long,
        value_name = "BOOL",
        env = "DSM_STORAGE_ACCEPT_DILITHIUM3",
        default_value_t = false,
        action = clap::ArgAction::Set
    )]
    accept_dilithium3: bool,
    /// How much to log on stderr: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", env = "DSM_STORAGE_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: tracing::Level,
    /// How to log: text for people, json for programs
    #[arg(long, value_name = "FORMAT", env = "DSM_STORAGE_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: dsm_logs::Format,
    /// Log to this file too; after 64 MiB it is set aside as FILE.1
    #[arg(long, value_name = "FILE", env = "DSM_STORAGE_LOG_FILE")]
    pub(crate) log_file: Option<PathBuf>,
}

impl Settings {
    /// The node's configuration.
    pub(crate) fn resolve(&self, data: &Path) -> Result<StorageConfig, Failure> {
        let usage = |name: &'static str| move |error: String| Failure::usage(format!("{name}: {error}"));
        let core_key = self.core_key.as_deref().map(core_key).transpose()?;
        let mut config = StorageConfig::new(data, core_key);
        config.storage = Storage::Directory(data.to_path_buf());
        config.http = true;
        config.listen = dsm_settings::address(&self.listen).map_err(|error| {
            Failure::usage(format!("listen: {error}")).help(AddressError::help("0.0.0.0:8766"))
        })?;
        config.upkeep = Upkeep {
            retention: self.retention.parse().map_err(usage("retention"))?,
            scrub_interval: interval("scrub_interval_s", self.scrub_interval_s)?,
            anti_entropy_interval: interval("anti_entropy_interval_s", self.anti_entropy_interval_s)?,
        };
        if let Some(count) = self.verifiers {
            if !(1..=256).contains(&count) {
                return Err(Failure::usage("verifiers: between 1 and 256"));
            }
            config.verifiers = count;
        }
        config.accept_dilithium3 = self.accept_dilithium3;
        Ok(config)
    }
}

fn interval(name: &str, seconds: u64) -> Result<Duration, Failure> {
    if seconds == 0 || seconds > 366 * 24 * 3600 {
        return Err(Failure::usage(format!("{name}: between one second and a year")));
    }
    Ok(Duration::from_secs(seconds))
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
    use super::super::run::RunArgs;
    use super::*;
    use clap::{Args as _, Command, FromArgMatches as _};
    use dsm_settings::SettingsFile;
    use dsm_storage_node::Retention;

    /// The settings that a file and flags make, or why there are none.
    fn settings(text: &str, flags: &[&str]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storage.toml");
        std::fs::write(&path, text).unwrap();
        let file = SettingsFile::read(&path).unwrap();
        let command =
            file.under(RunArgs::augment_args(Command::new("run"))).map_err(|error| error.to_string())?;
        let words = std::iter::once("run").chain(flags.iter().copied());
        let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
        Ok(RunArgs::from_arg_matches(&matches).unwrap().settings)
    }

    #[test]
    fn flags_stand_over_the_file_and_the_file_over_the_defaults() {
        let file = "listen = \"127.0.0.1:1\"\nretention = \"30\"\nverifiers = 3\n";
        let settings = settings(file, &["--retention=7", "--log-level=debug"]).unwrap();
        let config = settings.resolve(Path::new("x")).unwrap();
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.upkeep.retention, Retention::Days(7));
        assert_eq!(config.verifiers, 3);
        assert_eq!(config.upkeep.scrub_interval, Duration::from_secs(86_400));
        assert_eq!(settings.log_level, tracing::Level::DEBUG);
    }

    #[test]
    fn o12_settings_that_make_no_sense_are_refused_by_name() {
        let rows = [
            ("retention = \"forever\"", "retention"),
            ("retention = \"0\"", "retention"),
            ("verifiers = 0", "verifiers"),
            ("scrub_interval_s = 0", "scrub_interval_s"),
            ("listen = \"nowhere\"", "listen"),
            ("log_level = \"loud\"", "--log-level"),
            ("core_key = \"00\"", "00"),
            ("core_key = \"0000000000000000000000000000000000000000000000000000000000000000\"", "core_key"),
            ("listem = \"127.0.0.1:1\"", "listem is no setting"),
        ];
        for (text, name) in rows {
            let refused = match settings(text, &[]) {
                Err(message) => message,
                Ok(settings) => match settings.resolve(Path::new("x")) {
                    Err(failure) => failure.message,
                    Ok(_) => panic!("{text} was taken"),
                },
            };
            assert!(refused.contains(name), "{text}: {refused}");
        }
    }
}
