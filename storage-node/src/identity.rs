//! The node's own key: it authenticates the node on the wire and signs what the node acknowledges.

use crate::OpenError;
use dsm_abi::Suite;
use dsm_crypto::{KdfCost, Keystore, SecretKey};
use std::path::Path;

/// The file of the key.
const KEY_FILE: &str = "storage.key";

/// Opens the key in `directory`, or makes one if there is none. The file is locked by an empty passphrase: whoever can
/// read it can sign, so it is protected by its mode (0600) alone, as the core node's key and a host key of SSH are.
pub(crate) fn open_or_create(directory: &Path) -> Result<SecretKey, OpenError> {
    let failed = |error: &dyn std::fmt::Display| OpenError::Key(error.to_string());
    let path = directory.join(KEY_FILE);
    if !path.exists() {
        let key = SecretKey::generate(Suite::MlDsa65).map_err(|error| failed(&error))?;
        let keystore = Keystore::lock(&key, b"", KdfCost::DEMONSTRATION).map_err(|error| failed(&error))?;
        keystore.create(&path).map_err(|error| failed(&error))?;
    }
    let keystore = Keystore::read(&path).map_err(|error| failed(&error))?;
    let key = keystore.unlock(b"").map_err(|error| failed(&error))?;
    match dsm_crypto::Signer::suite(&key) {
        Suite::MlDsa65 => Ok(key),
        other => Err(OpenError::Key(format!("{} holds a key of {other:?}, not ML-DSA-65", path.display()))),
    }
}
