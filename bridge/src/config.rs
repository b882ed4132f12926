//! What the service is told before it starts.

use crate::door::{DoorConfig, DoorSource};
use crate::rpc::{FinalityMode, Patience};
use dsm_core::BridgeConfig;
use dsm_crypto::{Secp256k1Key, SecretKey};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Which signatures the contract's verifier wants of each attestor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttestationKind {
    /// ECDSA and SLH-DSA-SHA2-128s, both.
    #[default]
    Hybrid,
    /// ECDSA alone.
    Ecdsa,
    /// SLH-DSA-SHA2-128s alone.
    SlhDsa,
}

impl std::str::FromStr for AttestationKind {
    type Err = String;

    fn from_str(text: &str) -> Result<AttestationKind, String> {
        match text {
            "hybrid" => Ok(AttestationKind::Hybrid),
            "ecdsa" => Ok(AttestationKind::Ecdsa),
            "slh-dsa" => Ok(AttestationKind::SlhDsa),
            _ => Err(format!("{text:?} is neither `hybrid` nor `ecdsa` nor `slh-dsa`")),
        }
    }
}

/// The role that carries proofs both ways.
#[derive(Debug)]
pub struct RelayerConfig {
    /// Pays for gas. Only this service uses it: it counts its nonces.
    pub gas_key: Secp256k1Key,
    /// Signs for the relayer's account on DSM. Only this service uses it.
    pub account_key: SecretKey,
    /// Where attestors answer, such as `http://127.0.0.1:8768`.
    pub attestors: Vec<String>,
    /// What the contract's verifier wants.
    pub attestation: AttestationKind,
    /// Whether it releases leaves for users, and pays the gas.
    pub release: bool,
    /// Wei for a unit of gas at most, whatever an endpoint says.
    pub gas_price_max: u128,
    /// A transaction that is not mined for so long gets a higher fee.
    pub bump_after: Duration,
}

impl RelayerConfig {
    /// The defaults for a relayer with these keys.
    pub fn new(gas_key: Secp256k1Key, account_key: SecretKey) -> RelayerConfig {
        RelayerConfig {
            gas_key,
            account_key,
            attestors: Vec::new(),
            attestation: AttestationKind::default(),
            release: true,
            gas_price_max: 500_000_000_000,
            bump_after: Duration::from_secs(30),
        }
    }
}

/// The role that puts its name to checkpoints.
#[derive(Debug)]
pub struct AttestorConfig {
    /// Its place in the contract's set.
    pub index: u8,
    /// Its ECDSA key there.
    pub ecdsa: Secp256k1Key,
    /// Its SLH-DSA-SHA2-128s key there; none if the contract wants ECDSA alone.
    pub slh_dsa: Option<SecretKey>,
    /// Its place and key among the bridge's own attesting keys, for chains whose blocks have no seals.
    pub blocks: Option<(u8, SecretKey)>,
}

/// The service's configuration.
#[derive(Debug)]
pub struct ServiceConfig {
    /// Where the state is kept; created if it does not exist.
    pub data: PathBuf,
    /// The core node, such as `http://127.0.0.1:7545`.
    pub core: String,
    /// The API key or token that the core node wants of this service, if it wants one.
    pub core_key: Option<String>,
    /// The bridge: chain, contract, slot, first trusted set.
    pub terms: BridgeConfig,
    /// Endpoints of the EVM chain. The first that answers as it should is used.
    pub ethereum_rpc: Vec<String>,
    /// Which blocks count.
    pub finality: FinalityMode,
    /// How many endpoints have to agree on a block's hash where no seals decide.
    pub agreement: usize,
    /// The first block that can have a lock: searches for events begin there.
    pub first_block: u64,
    /// Where to listen. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where the admin's commands are taken; a loopback address.
    pub admin: Option<SocketAddr>,
    /// What the admin has to show.
    pub admin_token: Option<String>,
    /// How the door of the API is kept.
    pub door: DoorConfig,
    /// Who may say otherwise while the service runs.
    pub door_source: Option<Arc<dyn DoorSource>>,
    /// Carries proofs both ways.
    pub relayer: Option<RelayerConfig>,
    /// Puts its name to checkpoints.
    pub attestor: Option<AttestorConfig>,
    /// Between two looks at the chains.
    pub poll: Duration,
    /// How patient it is with endpoints.
    pub patience: Patience,
}

impl ServiceConfig {
    /// The defaults for a service that has no role yet, on a free port of the loopback address.
    pub fn new(data: impl Into<PathBuf>, core: &str, terms: BridgeConfig) -> ServiceConfig {
        let finality = match terms.finality {
            dsm_core::Finality::Qbft { .. } | dsm_core::Finality::QbftContract { .. } => FinalityMode::Sealed,
            dsm_core::Finality::Attested { .. } => FinalityMode::Finalized,
        };
        ServiceConfig {
            data: data.into(),
            core: core.to_owned(),
            core_key: None,
            terms,
            ethereum_rpc: Vec::new(),
            finality,
            agreement: 1,
            first_block: 0,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: None,
            admin_token: None,
            door: DoorConfig::default(),
            door_source: None,
            relayer: None,
            attestor: None,
            poll: Duration::from_secs(2),
            patience: Patience::default(),
        }
    }
}
