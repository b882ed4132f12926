//! The node's own key: signs checkpoints, each epoch once, whatever happens in between.

use super::OpenError;
use dsm_abi::Suite;
use dsm_core::{Checkpoint, PublicKey};
use dsm_crypto::{KdfCost, Keystore, LastSigned, LastSignedError, SecretKey, SignError, Signer};
use std::path::Path;

/// The key with its record of what it signed last.
pub(super) struct Identity {
    key: SecretKey,
    last_signed: LastSigned,
}

/// Why a checkpoint is not signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignCheckpointError {
    #[error(transparent)]
    LastSigned(#[from] LastSignedError),
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// The public key of the node in `data`; makes the key if there is none yet.
///
/// # Errors
/// [`OpenError`].
pub fn public_key(data: &Path) -> Result<PublicKey, OpenError> {
    std::fs::create_dir_all(data)
        .map_err(|source| OpenError::Directory { path: data.to_path_buf(), source })?;
    if data.join("node.key").exists() {
        let keystore = Keystore::read(&data.join("node.key"));
        let keystore = keystore.map_err(|error| OpenError::Key(error.to_string()))?;
        let key = keystore.unlock(b"").map_err(|error| OpenError::Key(error.to_string()))?;
        return Ok(PublicKey { suite: key.suite(), bytes: key.public_key().to_vec() });
    }
    Ok(Identity::open_or_create(data)?.public_key())
}

impl Identity {
    /// Opens the key in `directory`, or makes one if there is none. The file is locked by an empty passphrase:
    /// whoever can read it can sign, so it is protected by its mode (0600) alone, as a host key of SSH is.
    pub(super) fn open_or_create(directory: &Path) -> Result<Identity, OpenError> {
        let key_path = directory.join("node.key");
        let record_path = directory.join("node.last-signed");
        let failed = |error: &dyn std::fmt::Display| OpenError::Key(error.to_string());
        if !key_path.exists() {
            let key = SecretKey::generate(Suite::Ed25519MlDsa65).map_err(|error| failed(&error))?;
            if !record_path.exists() {
                LastSigned::create(&record_path).map_err(|error| failed(&error))?;
            }
            let keystore =
                Keystore::lock(&key, b"", KdfCost::DEMONSTRATION).map_err(|error| failed(&error))?;
            keystore.create(&key_path).map_err(|error| failed(&error))?;
        }
        let keystore = Keystore::read(&key_path).map_err(|error| failed(&error))?;
        let key = keystore.unlock(b"").map_err(|error| failed(&error))?;
        let last_signed = LastSigned::open(&record_path).map_err(|error| failed(&error))?;
        Ok(Identity { key, last_signed })
    }

    /// The public key.
    pub(super) fn public_key(&self) -> PublicKey {
        PublicKey { suite: self.key.suite(), bytes: self.key.public_key().to_vec() }
    }

    /// The first epoch from `epoch` on that was never signed. A crash between signing and the log can use one up.
    pub(super) fn unsigned_epoch(&self, epoch: u64) -> u64 {
        self.last_signed.record().map_or(epoch, |record| epoch.max(record.sequence + 1))
    }

    /// Signs a checkpoint, after its epoch was claimed on disk for these bytes.
    pub(super) fn sign_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
    ) -> Result<Vec<u8>, SignCheckpointError> {
        self.last_signed.claim(checkpoint.epoch, checkpoint.id().0)?;
        Ok(self.key.sign(&checkpoint.signing_message(self.key.suite()))?)
    }
}
