//! What a restoration needs of a data directory that no node has open.

use super::shelf::{PolicyCrypto, Shelf};
use super::{NodeConfig, OpenError, open};
use crate::engine::Engine;
use dsm_core::{Entry, OperationKind};
use dsm_sdk::package::PACKAGE_BYTES_MAX;
use dsm_store::{Blobs, Disk, Log, LogConfig};
use std::path::Path;
use std::sync::Arc;

pub(crate) use super::history::decode_entry;

/// Keeps other processes out of a data directory for as long as what this returns lives.
pub(crate) fn lock(data: &Path) -> Result<open::DataLock, OpenError> {
    open::lock_directory(data)
}

/// A folder, made if it does not exist.
pub(crate) fn folder(path: &Path) -> Result<Arc<dyn Disk>, OpenError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    open::folder(path.parent().unwrap_or(Path::new(".")), &name)
}

/// The shelf of a directory with a log, which knows what the log has published and is not there.
pub(crate) fn shelf(config: &NodeConfig) -> Result<Shelf, OpenError> {
    let engine = Engine::new(&config.engine, Arc::new(PolicyCrypto))?;
    let blobs = Blobs::open(open::folder(&config.data, "policies")?, PACKAGE_BYTES_MAX)?;
    let shelf = Shelf::open(engine, blobs, config, open::verifier(config))?;
    let (log, _) = Log::open(open::folder(&config.data, "log")?, LogConfig::new(0))?;
    for record in log.iter(1)? {
        let record = record?;
        let Entry::Accepted(accepted) = decode_entry(record.position, &record.payload)? else { continue };
        for operation in &accepted.signed.transition.operations {
            if let OperationKind::Publish { policy, .. } = &operation.kind {
                shelf.published(policy);
            }
        }
    }
    Ok(shelf)
}
