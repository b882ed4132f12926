//! Settings of `dsm-bridge run`: defaults, overridden by a file, by the environment (`DSM_BRIDGE_*`), by flags.

use super::failure::Failure;
use super::keys::{KeyArgs, Keys};
use dsm_abi::NetworkId;
use dsm_bridge::rpc::FinalityMode;
use dsm_bridge::{AttestorConfig, DoorConfig, Name, RelayerConfig, ServiceConfig};
use dsm_core::{BridgeConfig, Finality, PublicKey};
use dsm_gateway::{Network, Peers};
use dsm_settings::AddressError;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a configuration file or of a token's file.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Where the service listens unless it is told otherwise.
const LISTEN: &str = "127.0.0.1:8768";

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Where to listen; port 0 picks a free one [default: 127.0.0.1:8768]
    #[arg(long, value_name = "ADDRESS", env = "DSM_BRIDGE_LISTEN")]
    listen: Option<String>,
    /// Where the admin's commands are taken, a loopback address [default: nowhere]
    #[arg(long, value_name = "ADDRESS", env = "DSM_BRIDGE_ADMIN")]
    admin: Option<String>,
    /// The file with the admin's token, 16 characters or more
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,
    /// `relayer`, `attestor` or both, with a comma between [default: relayer]
    #[arg(long, value_name = "ROLES", env = "DSM_BRIDGE_ROLES")]
    roles: Option<String>,
    /// The core node [default: http://127.0.0.1:7545]
    #[arg(long, value_name = "URL", env = "DSM_BRIDGE_CORE")]
    core: Option<String>,
    /// A file whose first line is the API key that the core node wants, if it wants one
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_CORE_KEY_FILE")]
    core_key_file: Option<PathBuf>,
    /// Endpoints of the EVM chain, with commas between
    #[arg(long, value_name = "URLS", env = "DSM_BRIDGE_ETHEREUM_RPC")]
    ethereum_rpc: Option<String>,
    /// The EVM chain [default: 138]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_CHAIN_ID")]
    chain_id: Option<u64>,
    /// The bridge's contract there
    #[arg(long, value_name = "ADDRESS", env = "DSM_BRIDGE_CONTRACT")]
    contract: Option<String>,
    /// The slot of the contract's mapping of locks [default: 0]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_OUTBOX_SLOT")]
    outbox_slot: Option<u64>,
    /// DSM's network
    #[arg(long, value_name = "ID", env = "DSM_BRIDGE_NETWORK")]
    network: Option<NetworkId>,
    /// `qbft`, `qbft-contract`, `finalized` or `confirmations:N` [default: qbft]
    #[arg(long, value_name = "MODE", env = "DSM_BRIDGE_FINALITY")]
    finality: Option<String>,
    /// The first trusted validators, with commas between
    #[arg(long, value_name = "ADDRESSES", env = "DSM_BRIDGE_TRUSTED_SET")]
    trusted_set: Option<String>,
    /// The block at which they were the validators [default: 0]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_TRUSTED_HEIGHT")]
    trusted_height: Option<u64>,
    /// Seconds without a newer trusted block after which nothing is believed any more; 0: never [default: 0]
    #[arg(long, value_name = "S", env = "DSM_BRIDGE_TRUSTING_PERIOD_S")]
    trusting_period_s: Option<u64>,
    /// Seconds that a block may be ahead of DSM's time [default: 60]
    #[arg(long, value_name = "S", env = "DSM_BRIDGE_CLOCK_DRIFT_S")]
    clock_drift_s: Option<u64>,
    /// With `qbft-contract`: the contract that names the validators
    #[arg(long, value_name = "ADDRESS", env = "DSM_BRIDGE_VALIDATOR_CONTRACT")]
    validator_contract: Option<String>,
    /// With `qbft-contract`: the slot of its array [default: 0]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_ARRAY_SLOT")]
    array_slot: Option<u64>,
    /// With `finalized` and `confirmations`: the DSM keys that attest blocks, in hexadecimal digits, with commas between
    #[arg(long, value_name = "KEYS", env = "DSM_BRIDGE_BLOCK_KEYS")]
    block_keys: Option<String>,
    /// How many of them have to [default: all]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_BLOCK_THRESHOLD")]
    block_threshold: Option<u8>,
    /// This attestor's place among them
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_BLOCK_INDEX")]
    block_index: Option<u8>,
    /// What keeps bridges of one configuration apart, 64 hexadecimal digits [default: zero]
    #[arg(long, value_name = "HEX", env = "DSM_BRIDGE_SALT")]
    salt: Option<String>,
    /// How many endpoints have to agree on a block where no seals decide [default: 1]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_AGREEMENT")]
    agreement: Option<usize>,
    /// The first block that can have a lock [default: 0]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_FIRST_BLOCK")]
    first_block: Option<u64>,
    /// Where attestors answer, with commas between
    #[arg(long, value_name = "URLS", env = "DSM_BRIDGE_ATTESTORS")]
    attestors: Option<String>,
    /// What the contract's verifier wants: `hybrid`, `ecdsa` or `slh-dsa` [default: hybrid]
    #[arg(long, value_name = "KIND", env = "DSM_BRIDGE_ATTESTATION")]
    attestation: Option<String>,
    /// This attestor's place in the contract's set
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_ATTESTOR_INDEX")]
    attestor_index: Option<u8>,
    /// Whether the relayer releases for users, and pays the gas [default: true]
    #[arg(long, value_name = "BOOL", env = "DSM_BRIDGE_RELEASE")]
    release: Option<bool>,
    /// Gwei for a unit of gas at most [default: 500]
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_GAS_PRICE_MAX_GWEI")]
    gas_price_max_gwei: Option<u64>,
    /// Seconds after which a transaction that is not mined gets a higher fee [default: 30]
    #[arg(long, value_name = "S", env = "DSM_BRIDGE_BUMP_AFTER_S")]
    bump_after_s: Option<u64>,
    /// Milliseconds between two looks at the chains [default: 2000]
    #[arg(long, value_name = "MS", env = "DSM_BRIDGE_POLL_MS")]
    poll_ms: Option<u64>,
    /// Milliseconds that one question to an endpoint may take [default: 10000]
    #[arg(long, value_name = "MS", env = "DSM_BRIDGE_REQUEST_MS")]
    request_ms: Option<u64>,
    /// Requests of one client in any minute, half as many that verify or sign something; 0 is no limit
    #[arg(long, value_name = "N", env = "DSM_BRIDGE_LIMIT", default_value_t = 1200)]
    limit: u32,
    /// Proxies whose X-Forwarded-For counts, such as 10.0.0.0/8
    #[arg(long, value_name = "NETWORKS", env = "DSM_BRIDGE_TRUSTED_PROXIES", value_delimiter = ',')]
    trusted_proxies: Vec<String>,
    /// Serve only these: status, locks, outbox, checkpoints, transfers, limits, alarms, proofs, withdrawals, attestations;
    /// health, readiness and metrics always [default: all]
    #[arg(long, value_name = "NAMES", env = "DSM_BRIDGE_ALLOW_METHODS", value_delimiter = ',')]
    allow_methods: Vec<String>,
    /// How much to log on stderr: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", env = "DSM_BRIDGE_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: tracing::Level,
    /// How to log: text for people, json for programs
    #[arg(long, value_name = "FORMAT", env = "DSM_BRIDGE_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: dsm_logs::Format,
    /// Log to this file too; after 64 MiB it is set aside as FILE.1
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_LOG_FILE")]
    pub(crate) log_file: Option<PathBuf>,
}

impl Settings {
    /// Where to listen if no contract is named anywhere: there is nothing to do then.
    pub(crate) fn idle(&self) -> Result<Option<SocketAddr>, Failure> {
        if self.contract.as_ref().is_some_and(|text| !text.is_empty()) {
            return Ok(None);
        }
        self.door()?;
        address("listen", self.listen.as_deref().unwrap_or(LISTEN)).map(Some)
    }

    /// The service's configuration. Makes the keys that its roles need.
    pub(crate) fn resolve(&self, keys: &KeyArgs) -> Result<ServiceConfig, Failure> {
        let mut config = self.service(&keys.data)?;
        self.roles(&mut config, Some(keys))?;
        Ok(config)
    }

    /// Whether a service could start with them; no key is made and no file of secrets read.
    pub(crate) fn check(&self, keys: &KeyArgs) -> Result<(), Failure> {
        if self.idle()?.is_some() {
            return Ok(());
        }
        let mut config = self.service(&keys.data)?;
        self.roles(&mut config, None)
    }

    /// How the door is kept.
    pub(crate) fn door(&self) -> Result<DoorConfig, Failure> {
        let usage = |name: &str, error: &dyn std::fmt::Display| Failure::usage(format!("{name}: {error}"));
        let proxies = self.trusted_proxies.iter().filter(|text| !text.is_empty());
        let proxies: Result<Vec<Network>, _> = proxies.map(|text| text.trim().parse()).collect();
        let names = self.allow_methods.iter().filter(|text| !text.is_empty());
        let names: Result<BTreeSet<Name>, _> = names.map(|text| text.trim().parse()).collect();
        let names = names.map_err(|error| usage("allow_methods", &error))?;
        Ok(DoorConfig {
            limit: (self.limit > 0).then_some(self.limit),
            proxies: Peers::trusting(proxies.map_err(|error| usage("trusted_proxies", &error))?),
            names: (!names.is_empty()).then_some(names),
        })
    }

    fn service(&self, data: &Path) -> Result<ServiceConfig, Failure> {
        let all = self;
        let (terms, mode) = all.terms()?;
        let core = all.core.as_deref().unwrap_or("http://127.0.0.1:7545");
        let mut config = ServiceConfig::new(data, core, terms);
        config.door = all.door()?;
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
        Ok(config)
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

    /// The roles, with their keys if there are any.
    fn roles(&self, config: &mut ServiceConfig, keys: Option<&KeyArgs>) -> Result<(), Failure> {
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
        let Some(keys) = keys else { return Ok(()) };
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
    dsm_settings::address(text)
        .map_err(|error| Failure::usage(format!("{name}: {error}")).help(AddressError::help(LISTEN)))
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
    use clap::{Args as _, FromArgMatches as _};
    use dsm_settings::SettingsFile;

    const ENOUGH: &str = r#"
network = "0101010101010101010101010101010101010101010101010101010101010101"
contract = "0x2222222222222222222222222222222222222222"
trusted_set = "0x1111111111111111111111111111111111111111"
ethereum_rpc = "http://127.0.0.1:1, http://127.0.0.1:2"
roles = "relayer"
"#;

    /// The options of `run` over a file of this text.
    fn run(text: &str, flags: &[&str]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.toml");
        std::fs::write(&path, text).unwrap();
        let command = Settings::augment_args(clap::Command::new("run"));
        let command = SettingsFile::read(&path).unwrap().under(command).map_err(|error| error.to_string())?;
        let words = std::iter::once(&"run").chain(flags);
        let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
        Ok(Settings::from_arg_matches(&matches).unwrap())
    }

    fn settings(text: &str) -> Settings {
        run(text, &[]).unwrap()
    }

    fn keys(folder: &Path) -> KeyArgs {
        KeyArgs { data: folder.to_path_buf(), passphrase_file: None, gas_key_file: None }
    }

    #[test]
    fn flags_stand_over_the_file_and_the_file_over_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{ENOUGH}listen = \"127.0.0.1:1\"\npoll_ms = 100\n");
        let settings = run(&text, &["--poll-ms=50"]).unwrap();
        let config = settings.resolve(&keys(folder.path())).unwrap();
        assert_eq!((config.listen.port(), config.poll), (1, Duration::from_millis(50)));
        assert_eq!((config.terms.chain_id, settings.log_level), (138, tracing::Level::INFO));
        assert_eq!(config.ethereum_rpc, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        assert!(config.relayer.is_some() && config.attestor.is_none());
        assert_eq!((config.door.limit, config.door.names), (Some(1200), None));
    }

    #[test]
    fn without_a_contract_the_service_is_idle() {
        let idle = |text: &str| settings(text).idle().unwrap().map(|listen| listen.port());
        assert_eq!(idle("listen = \"127.0.0.1:1\""), Some(1));
        assert_eq!(idle("contract = \"\"\nlisten = \"127.0.0.1:2\""), Some(2));
        assert_eq!(idle(ENOUGH), None);
        assert!(settings("listen = \"nowhere\"").idle().is_err());
    }

    #[test]
    fn o12_a_wrong_address_is_an_error_of_usage_with_a_way_out() {
        use super::super::failure::Exit;
        let folder = tempfile::tempdir().unwrap();
        for name in ["listen", "admin"] {
            for wrong in ["nowhere", "127.0.0.1", "127.0.0.1:99999", ""] {
                let settings = settings(&format!("{ENOUGH}{name} = \"{wrong}\"\n"));
                for failure in
                    [settings.check(&keys(folder.path())), settings.service(folder.path()).map(drop)]
                {
                    let failure = failure.unwrap_err();
                    assert_eq!(
                        (failure.exit, failure.code.as_str()),
                        (Exit::Usage, "usage"),
                        "{name} {wrong:?}"
                    );
                    assert!(failure.message.starts_with(name), "{}", failure.message);
                    assert!(failure.help.unwrap().contains("HOST:PORT"), "{name} {wrong:?}");
                }
            }
        }
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
            ("trusted_proxies = \"everybody\"", "trusted_proxies"),
            ("allow_methods = \"everything\"", "allow_methods"),
        ];
        for (text, name) in rows {
            // One value for each name: what the row says stands in the place of what is enough.
            let named = text.split_once(' ').unwrap().0;
            let rest = ENOUGH.lines().filter(|line| line.split(' ').next() != Some(named));
            let whole = rest.chain([text]).collect::<Vec<_>>().join("\n");
            let failure = settings(&whole).resolve(&keys(folder.path())).err();
            let failure = failure.unwrap_or_else(|| panic!("{text} was taken"));
            assert!(failure.message.starts_with(name), "{text}: {}", failure.message);
        }
        for text in ["listem = \"127.0.0.1:1\"", "log_level = \"loud\"", "poll_ms = \"soon\""] {
            assert!(run(text, &[]).is_err(), "{text}");
        }
    }
}
