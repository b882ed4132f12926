//! Settings of `dsm-bridge run`: defaults, overridden by a file, by the environment (`DSM_BRIDGE_*`), by flags.

use super::failure::Failure;
use super::keys::{KeyArgs, Keys};
use dsm_abi::NetworkId;
use dsm_bridge::rpc::FinalityMode;
use dsm_bridge::{AttestorConfig, RelayerConfig, ServiceConfig};
use dsm_core::{BridgeConfig, Finality, PublicKey};
use serde::Deserialize;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a configuration file or of a token's file.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Where the service listens unless it is told otherwise.
const LISTEN: &str = "127.0.0.1:8768";

macro_rules! settings {
    ($($(#[$meta:meta])* $name:ident: $type:ty;)*) => {
        /// Options of `run`. What is not given here comes from the file, then from the defaults.
        #[derive(Debug, Default, clap::Args, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct Settings {
            $($(#[$meta])* $name: Option<$type>,)*
        }

        impl Settings {
            /// What `self` leaves open is taken from `below`.
            fn over(self, below: Settings) -> Settings {
                Settings { $($name: self.$name.or(below.$name),)* }
            }
        }
    };
}

settings! {
    /// Where to listen; port 0 picks a free one [default: 127.0.0.1:8768]
    #[arg(long, value_name = "ADDRESS", env = "DSM_BRIDGE_LISTEN")]
    listen: String;
    /// Where the admin's commands are taken, a loopback address [default: nowhere]
    #[arg(long, value_name = "ADDRESS", env = "DSM_BRIDGE_ADMIN")]
    admin: String;
    /// The file with the admin's token, 16 characters or more
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_ADMIN_TOKEN_FILE")]
    admin_token_file: PathBuf;
    /// `relayer`, `attestor` or both, with a comma between [default: relayer]
    #[arg(long, value_name = "ROLES", env = "DSM_BRIDGE_ROLES")]
    roles: String;
    /// The core node [default: http://127.0.0.1:7545]
    #[arg(long, value_name = "URL", env = "DSM_BRIDGE_CORE")]
    core: String;
    /// A file whose first line is the API key that the core node wants, if it wants one
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_CORE_KEY_FILE")]
    core_key_file: PathBuf;
    /// Endpoints of the EVM chain, with commas between
    #[arg(long, value_name = "URLS", env = "DSM_BRIDGE_ETHEREUM_RPC")]
    ethereum_rpc: String;
    /// The EVM chain [default: 138]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_CHAIN_ID")]
    chain_id: u64;
    /// The bridge's contract there
    #[arg(long, value_name = "ADDRESS", env = "DSM_BRIDGE_CONTRACT")]
    contract: String;
    /// The slot of the contract's mapping of locks [default: 0]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_OUTBOX_SLOT")]
    outbox_slot: u64;
    /// DSM's network
    #[arg(long, value_name = "ID", env = "DSM_BRIDGE_NETWORK")]
    network: NetworkId;
    /// `qbft`, `qbft-contract`, `finalized` or `confirmations:N` [default: qbft]
    #[arg(long, value_name = "MODE", env = "DSM_BRIDGE_FINALITY")]
    finality: String;
    /// The first trusted validators, with commas between
    #[arg(long, value_name = "ADDRESSES", env = "DSM_BRIDGE_TRUSTED_SET")]
    trusted_set: String;
    /// The block at which they were the validators [default: 0]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_TRUSTED_HEIGHT")]
    trusted_height: u64;
    /// Seconds without a newer trusted block after which nothing is believed any more; 0: never [default: 0]
    #[arg(long, value_name = "S", env = "DSM_BRIDGE_TRUSTING_PERIOD_S")]
    trusting_period_s: u64;
    /// Seconds that a block may be ahead of DSM's time [default: 60]
    #[arg(long, value_name = "S", env = "DSM_BRIDGE_CLOCK_DRIFT_S")]
    clock_drift_s: u64;
    /// With `qbft-contract`: the contract that names the validators
    #[arg(long, value_name = "ADDRESS", env = "DSM_BRIDGE_VALIDATOR_CONTRACT")]
    validator_contract: String;
    /// With `qbft-contract`: the slot of its array [default: 0]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_ARRAY_SLOT")]
    array_slot: u64;
    /// With `finalized` and `confirmations`: the DSM keys that attest blocks, in hexadecimal digits, with commas between
    #[arg(long, value_name = "KEYS", env = "DSM_BRIDGE_BLOCK_KEYS")]
    block_keys: String;
    /// How many of them have to [default: all]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_BLOCK_THRESHOLD")]
    block_threshold: u8;
    /// This attestor's place among them
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_BLOCK_INDEX")]
    block_index: u8;
    /// What keeps bridges of one configuration apart, 64 hexadecimal digits [default: zero]
    #[arg(long, value_name = "HEX", env = "DSM_BRIDGE_SALT")]
    salt: String;
    /// How many endpoints have to agree on a block where no seals decide [default: 1]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_AGREEMENT")]
    agreement: usize;
    /// The first block that can have a lock [default: 0]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_FIRST_BLOCK")]
    first_block: u64;
    /// Where attestors answer, with commas between
    #[arg(long, value_name = "URLS", env = "DSM_BRIDGE_ATTESTORS")]
    attestors: String;
    /// What the contract's verifier wants: `hybrid`, `ecdsa` or `slh-dsa` [default: hybrid]
    #[arg(long, value_name = "KIND", env = "DSM_BRIDGE_ATTESTATION")]
    attestation: String;
    /// This attestor's place in the contract's set
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_ATTESTOR_INDEX")]
    attestor_index: u8;
    /// Whether the relayer releases for users, and pays the gas [default: true]
    #[arg(long, value_name = "BOOL", env = "DSM_BRIDGE_RELEASE")]
    release: bool;
    /// Gwei for a unit of gas at most [default: 500]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_GAS_PRICE_MAX_GWEI")]
    gas_price_max_gwei: u64;
    /// Seconds after which a transaction that is not mined gets a higher fee [default: 30]
    #[arg(long, value_name = "S", env = "DSM_BRIDGE_BUMP_AFTER_S")]
    bump_after_s: u64;
    /// Milliseconds between two looks at the chains [default: 2000]
    #[arg(long, value_name = "MS", env = "DSM_BRIDGE_POLL_MS")]
    poll_ms: u64;
    /// Milliseconds that one question to an endpoint may take [default: 10000]
    #[arg(long, value_name = "MS", env = "DSM_BRIDGE_REQUEST_MS")]
    request_ms: u64;
    /// How much to log on stderr: error, warn, info, debug, trace [default: info]
    #[arg(long, value_name = "LEVEL", env = "DSM_BRIDGE_LOG_LEVEL")]
    log_level: String;
}

impl Settings {
    /// Where to listen and how much to log if no contract is named anywhere: there is nothing to do then.
    pub(crate) fn idle(&self, file: Option<&Path>) -> Result<Option<(SocketAddr, tracing::Level)>, Failure> {
        let below = below(file)?;
        let named = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if named(&self.contract) || named(&below.contract) {
            return Ok(None);
        }
        let listen = self.listen.as_deref().or(below.listen.as_deref()).unwrap_or(LISTEN);
        let level = self.log_level.as_deref().or(below.log_level.as_deref());
        Ok(Some((address("listen", listen)?, log_level(level)?)))
    }

    /// The service's configuration and the level of its log. Makes the keys that its roles need.
    pub(crate) fn resolve(
        self,
        file: Option<&Path>,
        keys: &KeyArgs,
    ) -> Result<(ServiceConfig, tracing::Level), Failure> {
        let all = self.over(below(file)?);
        let (terms, mode) = all.terms()?;
        let core = all.core.as_deref().unwrap_or("http://127.0.0.1:7545");
        let mut config = ServiceConfig::new(&keys.data, core, terms);
        config.core_key = all.core_key_file.as_deref().map(credential).transpose()?;
        config.finality = mode;
        config.listen = address("listen", all.listen.as_deref().unwrap_or(LISTEN))?;
        config.admin = all.admin.as_deref().map(|text| address("admin", text)).transpose()?;
        config.admin_token =
            all.admin_token_file.as_deref().map(read_text).transpose()?.map(|text| text.trim().to_owned());
        config.ethereum_rpc = listed(all.ethereum_rpc.as_deref());
        if config.ethereum_rpc.is_empty() {
            return Err(Failure::usage("ethereum_rpc: no endpoint is given")
                .help("give --ethereum-rpc http://host:port or DSM_BRIDGE_ETHEREUM_RPC"));
        }
        config.agreement = all.agreement.unwrap_or(1);
        config.first_block = all.first_block.unwrap_or(0);
        config.poll = within("poll_ms", all.poll_ms.unwrap_or(2_000), 10, 3_600_000)?;
        config.patience.request = within("request_ms", all.request_ms.unwrap_or(10_000), 10, 600_000)?;
        let level = log_level(all.log_level.as_deref())?;
        all.roles(&mut config, keys)?;
        Ok((config, level))
    }

    fn terms(&self) -> Result<(BridgeConfig, FinalityMode), Failure> {
        let missing = |name: &str| Failure::usage(format!("{name}: it has to be given"));
        let network = self.network.ok_or_else(|| missing("network"))?;
        let contract = self.contract.as_deref().ok_or_else(|| missing("contract"))?;
        let (height, trusting_period_s) =
            (self.trusted_height.unwrap_or(0), self.trusting_period_s.unwrap_or(0));
        let clock_drift_s = self.clock_drift_s.unwrap_or(60);
        let validators = || -> Result<Vec<[u8; 20]>, Failure> {
            let listed = listed(self.trusted_set.as_deref());
            if listed.is_empty() {
                return Err(missing("trusted_set"));
            }
            listed.iter().map(|text| fixed("trusted_set", text)).collect()
        };
        let attested = || -> Result<Finality, Failure> {
            let keys: Result<Vec<_>, _> =
                listed(self.block_keys.as_deref()).iter().map(|text| block_key(text)).collect();
            let keys = keys?;
            let threshold = self.block_threshold.unwrap_or(keys.len() as u8);
            Ok(Finality::Attested { keys, threshold })
        };
        let (finality, mode) = match self.finality.as_deref().unwrap_or("qbft") {
            "qbft" => {
                let validators = validators()?;
                (
                    Finality::Qbft { validators, height, trusting_period_s, clock_drift_s },
                    FinalityMode::Sealed,
                )
            }
            "qbft-contract" => {
                let at = self.validator_contract.as_deref().ok_or_else(|| missing("validator_contract"))?;
                let finality = Finality::QbftContract {
                    validators: validators()?,
                    height,
                    trusting_period_s,
                    clock_drift_s,
                    validator_contract: fixed("validator_contract", at)?,
                    array_slot: slot(self.array_slot.unwrap_or(0)),
                };
                (finality, FinalityMode::Sealed)
            }
            "finalized" => (attested()?, FinalityMode::Finalized),
            other => match other.strip_prefix("confirmations:").and_then(|count| count.parse().ok()) {
                Some(count) => (attested()?, FinalityMode::Confirmations(count)),
                None => {
                    let known = "`qbft`, `qbft-contract`, `finalized` or `confirmations:N`";
                    return Err(Failure::usage(format!("finality: {other:?} is none of {known}")));
                }
            },
        };
        let terms = BridgeConfig {
            network,
            chain_id: self.chain_id.unwrap_or(138),
            contract: fixed("contract", contract)?,
            outbox_slot: slot(self.outbox_slot.unwrap_or(0)),
            finality,
            salt: self.salt.as_deref().map_or(Ok([0; 32]), |text| fixed("salt", text))?,
        };
        terms.check(network).map_err(|error| Failure::usage(format!("terms: {error}")))?;
        Ok((terms, mode))
    }

    fn roles(&self, config: &mut ServiceConfig, keys: &KeyArgs) -> Result<(), Failure> {
        let roles = listed(Some(self.roles.as_deref().unwrap_or("relayer")));
        if let Some(other) = roles.iter().find(|role| !["relayer", "attestor"].contains(&role.as_str())) {
            return Err(Failure::usage(format!("roles: {other:?} is neither `relayer` nor `attestor`")));
        }
        let attestation = self.attestation.as_deref().unwrap_or("hybrid").parse();
        let attestation = attestation.map_err(|error| Failure::usage(format!("attestation: {error}")))?;
        let bump_after =
            within("bump_after_s", self.bump_after_s.unwrap_or(30).saturating_mul(1000), 1000, 86_400_000)?;
        let index = self.attestor_index;
        if roles.iter().any(|role| role == "attestor") && index.is_none() {
            return Err(Failure::usage("attestor_index: an attestor has a place in the contract's set"));
        }
        let keys = Keys::open(keys)?;
        if roles.iter().any(|role| role == "relayer") {
            let mut relayer = RelayerConfig::new(keys.gas()?, keys.relayer()?);
            relayer.attestors = listed(self.attestors.as_deref());
            relayer.attestation = attestation;
            relayer.release = self.release.unwrap_or(true);
            relayer.gas_price_max = u128::from(self.gas_price_max_gwei.unwrap_or(500)) * 1_000_000_000;
            relayer.bump_after = bump_after;
            config.relayer = Some(relayer);
        }
        if let Some(index) = index.filter(|_| roles.iter().any(|role| role == "attestor")) {
            let blocks = match self.block_index {
                Some(place) => Some((place, keys.relayer()?)),
                None => None,
            };
            config.attestor =
                Some(AttestorConfig { index, ecdsa: keys.ecdsa()?, slh_dsa: Some(keys.slh_dsa()?), blocks });
        }
        Ok(())
    }
}

/// What a file says; nothing without one.
fn below(file: Option<&Path>) -> Result<Settings, Failure> {
    let Some(path) = file else { return Ok(Settings::default()) };
    toml::from_str(&read_text(path)?)
        .map_err(|error| Failure::usage(format!("{}: {}", path.display(), error.message())))
}

fn log_level(text: Option<&str>) -> Result<tracing::Level, Failure> {
    let level = text.unwrap_or("info");
    level.parse().map_err(|_| Failure::usage(format!("log_level: {level:?} is no level")))
}

/// What stands between commas.
fn listed(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .map(str::to_owned)
        .collect()
}

fn fixed<const N: usize>(name: &str, text: &str) -> Result<[u8; N], Failure> {
    let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Failure::usage(format!("{name}: {text:?} has not {} hexadecimal digits", 2 * N)))
}

fn slot(number: u64) -> [u8; 32] {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.to_be_bytes());
    word
}

/// A key in hexadecimal digits. The length tells the suite.
fn block_key(text: &str) -> Result<PublicKey, Failure> {
    use dsm_abi::Suite;
    let bytes = hex::decode(text).map_err(|_| Failure::usage("block_keys: not hexadecimal digits"))?;
    let suites = [Suite::MlDsa65, Suite::Ed25519MlDsa65, Suite::SlhDsaSha2128s];
    match suites.into_iter().find(|suite| suite.public_key_bytes() == bytes.len()) {
        Some(suite) => Ok(PublicKey { suite, bytes }),
        None => Err(Failure::usage(format!("block_keys: no key has {} bytes", bytes.len()))),
    }
}

fn within(name: &str, ms: u64, min: u64, max: u64) -> Result<Duration, Failure> {
    if (min..=max).contains(&ms) {
        return Ok(Duration::from_millis(ms));
    }
    Err(Failure::usage(format!("{name}: between {min} and {max} ms")))
}

fn address(name: &str, text: &str) -> Result<SocketAddr, Failure> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| Failure::usage(format!("{name}: {text:?} is not of the form HOST:PORT")))
}

/// The first line of a file with an API key.
fn credential(path: &Path) -> Result<String, Failure> {
    let text = read_text(path)?;
    let line = text.lines().next().unwrap_or_default().trim();
    let plain = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_graphic());
    if plain {
        return Ok(line.to_owned());
    }
    Err(Failure::usage(format!("core_key_file: {} does not begin with a key", path.display())))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: &str = r#"
network = "0101010101010101010101010101010101010101010101010101010101010101"
contract = "0x2222222222222222222222222222222222222222"
trusted_set = "0x1111111111111111111111111111111111111111"
ethereum_rpc = "http://127.0.0.1:1, http://127.0.0.1:2"
roles = "relayer"
"#;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    fn keys(folder: &Path) -> KeyArgs {
        KeyArgs { data: folder.to_path_buf(), passphrase_file: None, gas_key_file: None }
    }

    #[test]
    fn flags_stand_over_the_file_and_the_file_over_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bridge.toml");
        std::fs::write(&file, format!("{ENOUGH}listen = \"127.0.0.1:1\"\npoll_ms = 100\n")).unwrap();
        let flags = settings("poll_ms = 50");
        let (config, level) = flags.resolve(Some(&file), &keys(folder.path())).unwrap();
        assert_eq!((config.listen.port(), config.poll), (1, Duration::from_millis(50)));
        assert_eq!((config.terms.chain_id, level), (138, tracing::Level::INFO));
        assert_eq!(config.ethereum_rpc, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        assert!(config.relayer.is_some() && config.attestor.is_none());
    }

    #[test]
    fn without_a_contract_the_service_is_idle() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bridge.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\n").unwrap();
        let idle = |text: &str| settings(text).idle(Some(&file)).unwrap().map(|(listen, _)| listen.port());
        assert_eq!(idle(""), Some(1));
        assert_eq!(idle("contract = \"\"\nlisten = \"127.0.0.1:2\""), Some(2));
        assert_eq!(idle(ENOUGH), None);
        std::fs::write(&file, ENOUGH).unwrap();
        assert_eq!(idle(""), None);
        assert!(settings("listen = \"nowhere\"").idle(None).is_err());
    }

    #[test]
    fn o12_settings_that_make_no_sense_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [
            ("listen = \"nowhere\"", "listen"),
            ("roles = \"king\"", "roles"),
            ("roles = \"attestor\"", "attestor_index"),
            ("finality = \"hope\"", "finality"),
            ("finality = \"qbft-contract\"", "validator_contract"),
            ("finality = \"finalized\"", "terms"),
            ("contract = \"0x22\"", "contract"),
            ("trusted_set = \"0x22\"", "trusted_set"),
            ("trusted_set = \"\"", "trusted_set"),
            ("ethereum_rpc = \" , \"", "ethereum_rpc"),
            ("chain_id = 0", "terms"),
            ("salt = \"00\"", "salt"),
            ("poll_ms = 0", "poll_ms"),
            ("attestation = \"wax\"", "attestation"),
            ("log_level = \"loud\"", "log_level"),
        ];
        for (text, name) in rows {
            let all = settings(text).over(settings(ENOUGH));
            let failure = all.resolve(None, &keys(folder.path())).err();
            let failure = failure.unwrap_or_else(|| panic!("{text} was taken"));
            assert!(failure.message.starts_with(name), "{text}: {}", failure.message);
        }
        assert!(toml::from_str::<Settings>("listem = \"127.0.0.1:1\"").is_err(), "unknown names are refused");
    }
}
