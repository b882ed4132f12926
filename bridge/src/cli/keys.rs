//! The service's keys: four keystore files in the data directory, made when they are missing.
//!
//! | file | key | for |
//! |---|---|---|
//! | `relayer.key.json` | ML-DSA-65 | the relayer's account on DSM |
//! | `gas.key.json` | secp256k1 | the account that pays for gas |
//! | `attestor-ecdsa.key.json` | secp256k1 | the attestor's place in the contract's set |
//! | `attestor-slh-dsa.key.json` | SLH-DSA-SHA2-128s | the same |
//!
//! Without a passphrase they are locked with the empty one: then the file's mode, 0600, is all that keeps them.

use super::failure::{Exit, Failure};
use super::{Output, rows};
use dsm_abi::{NetworkId, Suite};
use dsm_bridge::relayer_account;
use dsm_crypto::{KdfCost, Keystore, KeystoreError, Secp256k1Key, SecretKey, Signer as _, Zeroizing};
use serde::Serialize;
use std::path::{Path, PathBuf};

const RELAYER: &str = "relayer.key.json";
const GAS: &str = "gas.key.json";
const ECDSA: &str = "attestor-ecdsa.key.json";
const SLH_DSA: &str = "attestor-slh-dsa.key.json";

/// Where keys are.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KeyArgs {
    /// The data directory
    #[arg(long, value_name = "DIR", env = "DSM_BRIDGE_DATA", default_value = "bridge")]
    pub(crate) data: PathBuf,
    /// A file whose first line is the passphrase of the keys
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_PASSPHRASE_FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// A file with the gas account's key, 64 hexadecimal digits, in place of the one in the data directory
    #[arg(long, value_name = "FILE", env = "DSM_BRIDGE_GAS_KEY_FILE")]
    pub(crate) gas_key_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    keys: KeyArgs,
    /// The DSM network, to show the relayer's account there
    #[arg(long, value_name = "ID", env = "DSM_BRIDGE_NETWORK")]
    network: Option<NetworkId>,
}

/// The keys of a data directory.
pub(crate) struct Keys {
    folder: PathBuf,
    passphrase: Zeroizing<Vec<u8>>,
    gas_key_file: Option<PathBuf>,
}

impl Keys {
    pub(crate) fn open(args: &KeyArgs) -> Result<Keys, Failure> {
        std::fs::create_dir_all(&args.data).map_err(|error| file(&args.data, error))?;
        let mut passphrase = Zeroizing::new(Vec::new());
        if let Some(path) = &args.passphrase_file {
            passphrase = Zeroizing::new(std::fs::read(path).map_err(|error| file(path, error))?);
            if let Some(end) = passphrase.iter().position(|byte| *byte == b'\n' || *byte == b'\r') {
                passphrase.truncate(end);
            }
        }
        Ok(Keys { folder: args.data.clone(), passphrase, gas_key_file: args.gas_key_file.clone() })
    }

    fn signing(&self, name: &str, suite: Suite) -> Result<SecretKey, Failure> {
        let path = self.folder.join(name);
        if path.exists() {
            return Keystore::read(&path)
                .and_then(|keystore| keystore.unlock(&self.passphrase))
                .map_err(|error| key(&path, &error));
        }
        let secret = SecretKey::generate(suite).map_err(|error| Failure::new(Exit::Refused, "key", error))?;
        Keystore::lock(&secret, &self.passphrase, KdfCost::DEFAULT)
            .and_then(|keystore| keystore.create(&path))
            .map_err(|error| key(&path, &error))?;
        Ok(secret)
    }

    fn ethereum(&self, name: &str) -> Result<Secp256k1Key, Failure> {
        let path = self.folder.join(name);
        if path.exists() {
            return Keystore::read(&path)
                .and_then(|keystore| keystore.unlock_secp256k1(&self.passphrase))
                .map_err(|error| key(&path, &error));
        }
        let secret = Secp256k1Key::generate().map_err(|error| Failure::new(Exit::Refused, "key", error))?;
        Keystore::lock_secp256k1(&secret, &self.passphrase, KdfCost::DEFAULT)
            .and_then(|keystore| keystore.create(&path))
            .map_err(|error| key(&path, &error))?;
        Ok(secret)
    }

    pub(crate) fn relayer(&self) -> Result<SecretKey, Failure> {
        self.signing(RELAYER, Suite::MlDsa65)
    }

    pub(crate) fn gas(&self) -> Result<Secp256k1Key, Failure> {
        match &self.gas_key_file {
            Some(path) => {
                dsm_bridge::read_evm_key(path).map_err(|reason| Failure::new(Exit::Refused, "key", reason))
            }
            None => self.ethereum(GAS),
        }
    }

    pub(crate) fn ecdsa(&self) -> Result<Secp256k1Key, Failure> {
        self.ethereum(ECDSA)
    }

    pub(crate) fn slh_dsa(&self) -> Result<SecretKey, Failure> {
        self.signing(SLH_DSA, Suite::SlhDsaSha2128s)
    }
}

fn file(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(Exit::Refused, "file", format!("{}: {error}", path.display()))
}

fn key(path: &Path, error: &KeystoreError) -> Failure {
    Failure::new(Exit::Refused, "key", format!("{}: {error}", path.display()))
}

#[derive(Serialize)]
struct KeysView {
    relayer_key: String,
    relayer_account: Option<String>,
    gas_account: String,
    attestor_address: String,
    attestor_slh_dsa: String,
}

pub(crate) fn keys(out: Output, args: &KeysArgs) -> Result<(), Failure> {
    let keys = Keys::open(&args.keys)?;
    let relayer = keys.relayer()?;
    let view = KeysView {
        relayer_key: hex::encode(relayer.public_key()),
        relayer_account: args.network.map(|network| relayer_account(network, &relayer).to_string()),
        gas_account: format!("0x{}", hex::encode(keys.gas()?.address())),
        attestor_address: format!("0x{}", hex::encode(keys.ecdsa()?.address())),
        attestor_slh_dsa: hex::encode(keys.slh_dsa()?.public_key()),
    };
    out.show(&view, |view| {
        rows([
            ("relayer's account", view.relayer_account.clone().unwrap_or_default()),
            ("gas account", view.gas_account.clone()),
            ("attestor's address", view.attestor_address.clone()),
            ("attestor's SLH-DSA key", view.attestor_slh_dsa.clone()),
        ])
    })
}
