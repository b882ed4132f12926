//! The topology on disk: one signed document, and the record of what this node's key has signed.
//!
//! ```text
//! topology               canonical bytes of the SignedTopology in force; replaced by rename, synced with its folder
//! node.topology-signed   the last epoch signed, durable before each signature (the format of `node.last-signed`)
//! restored               empty: the log came from storage nodes; removed once enough of them have promised the epoch
//! established            the id of the topology in force, once the primary and a majority have promised it
//! fenced                 the topology of a higher epoch that storage nodes showed: this directory writes no more
//! ```
//!
//! An epoch is signed once, whatever happens in between: an epoch that a crash used up is skipped.

use super::ReplicationError;
use dsm_abi::{NetworkId, encode};
use dsm_core::PublicKey;
use dsm_crypto::{
    KdfCost, Keystore, LastSigned, LastSignedError, SecretKey, Signer as _, Verifier, fill_random,
};
use dsm_proto::{Member, NodeId, SignedTopology, Topology};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Bytes of a file here: a topology of 16 members with keys and addresses, and a signature.
const DOCUMENT_BYTES_MAX: u64 = 128 << 10;
/// The file of the topology in force.
const TOPOLOGY: &str = "topology";
/// The record of signed epochs.
const SIGNED: &str = "node.topology-signed";
/// The file that says that another node writes.
const FENCED: &str = "fenced";
/// The file that says that the topology in force was promised by enough members.
const ESTABLISHED: &str = "established";
/// The file that says that the log came from storage nodes.
const RESTORED: &str = "restored";

/// The documents of one data directory, with the key that signs them.
pub(super) struct Documents {
    data: PathBuf,
    network: NetworkId,
    key: SecretKey,
    signed: LastSigned,
    current: Option<SignedTopology>,
    fenced: Option<SignedTopology>,
    restored: bool,
    established: bool,
}

impl Documents {
    /// Opens what the directory holds. A missing record beside a topology is an error, never a fresh start.
    pub(super) fn open(
        data: &Path,
        network: NetworkId,
        core: &PublicKey,
    ) -> Result<Documents, ReplicationError> {
        let key = read_key(&data.join("node.key"))?;
        let current = read_document(&data.join(TOPOLOGY), Some(network), core)?;
        let fenced = read_document(&data.join(FENCED), Some(network), core)?;
        let path = data.join(SIGNED);
        let signed = if current.is_none() && !path.exists() {
            LastSigned::create(&path)
        } else {
            LastSigned::open(&path)
        };
        let (signed, restored) = (signed?, data.join(RESTORED).exists());
        let id = current.as_ref().map(|held| held.topology.id());
        let written = std::fs::read(data.join(ESTABLISHED)).unwrap_or_default();
        let established = id.is_some_and(|id| written == id.0);
        let data = data.to_path_buf();
        Ok(Documents { data, network, key, signed, current, fenced, restored, established })
    }

    /// The key that signs, whose ML-DSA-65 half is the node's identity for others.
    pub(super) fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The topology in force.
    pub(super) fn current(&self) -> Option<&SignedTopology> {
        self.current.as_ref()
    }

    /// The topology of another node that fenced this one.
    pub(super) fn fenced(&self) -> Option<&SignedTopology> {
        self.fenced.as_ref()
    }

    /// Whether the log was never lost: then the primary alone, or a majority, can vouch that nobody is ahead.
    pub(super) fn trusted(&self) -> bool {
        !self.restored
    }

    /// Enough storage nodes have promised the epoch of a restored node: from now on it is as any other.
    pub(super) fn confirm(&mut self) {
        // If the file cannot be removed, the next start waits for the storage nodes once more.
        if self.restored && std::fs::remove_file(self.data.join(RESTORED)).is_ok() {
            self.restored = false;
        }
    }

    /// Whether enough members have promised the topology in force, in this run or before.
    pub(super) fn established(&self) -> bool {
        self.established
    }

    /// Enough members have promised the topology in force.
    pub(super) fn set_established(&mut self) -> Result<(), ReplicationError> {
        if let Some(held) = &self.current {
            write_durably(&self.data.join(ESTABLISHED), &held.topology.id().0)?;
            self.established = true;
        }
        Ok(())
    }

    /// Makes, signs and keeps the topology that follows the one in force; its epoch is above `above`. By an
    /// operator's force it may differ in more than one member. It is durable when this returns.
    pub(super) fn follow(
        &mut self,
        primary: NodeId,
        members: Vec<Member>,
        above: u64,
        force: bool,
    ) -> Result<SignedTopology, ReplicationError> {
        let before = self.current.as_ref().map_or(0, |held| held.topology.epoch());
        let claimed = self.signed.record().map_or(0, |record| record.sequence);
        let epoch = before.max(claimed).max(above).checked_add(1).ok_or(ReplicationError::Epochs)?;
        let mut term = [0; 32];
        fill_random(&mut term).map_err(|error| ReplicationError::Key(error.to_string()))?;
        let topology = Topology::new(self.network, epoch, term, primary, members)?;
        if let Some(before) = self.current.as_ref().filter(|_| !force) {
            before.topology.check_next(&topology)?;
        }
        self.signed.claim(epoch, topology.id().0)?;
        let signature = self.key.sign(&topology.signing_message(self.key.suite()));
        let signature = signature.map_err(|error| ReplicationError::Key(error.to_string()))?;
        let signed = SignedTopology { topology, signature };
        write_durably(&self.data.join(TOPOLOGY), &encode(&signed))?;
        self.current = Some(signed.clone());
        self.established = false;
        Ok(signed)
    }

    /// Remembers for good that another node writes this history.
    pub(super) fn set_fenced(&mut self, by: &SignedTopology) -> Result<(), ReplicationError> {
        write_durably(&self.data.join(FENCED), &encode(by))?;
        self.fenced = Some(by.clone());
        Ok(())
    }
}

/// Begins the documents of a restored node: the topology that its storage nodes promised last, and the record that
/// everything up to its epoch has been signed.
pub(super) fn adopt(data: &Path, held: &SignedTopology) -> Result<(), ReplicationError> {
    let mut signed = LastSigned::create(&data.join(SIGNED))?;
    signed.claim(held.topology.epoch(), held.topology.id().0)?;
    write_durably(&data.join(RESTORED), b"")?;
    Ok(write_durably(&data.join(TOPOLOGY), &encode(held))?)
}

/// Begins the documents of a node that was restored from an archive, in which no topology is: whatever was signed up to
/// `epoch` is never signed again, and the node leads its storage nodes only once enough of them have promised.
pub(super) fn begin_after(data: &Path, epoch: u64) -> Result<(), ReplicationError> {
    super::restore::pass_over(&data.join(SIGNED), epoch)?;
    Ok(write_durably(&data.join(RESTORED), b"")?)
}

/// The node's key, which has no passphrase (host/adr/0006).
pub(super) fn read_key(path: &Path) -> Result<SecretKey, ReplicationError> {
    let keystore = Keystore::read(path).map_err(|error| ReplicationError::Key(error.to_string()))?;
    keystore.unlock(b"").map_err(|error| ReplicationError::Key(error.to_string()))
}

/// Writes a copy of the node's key where there is none.
pub(super) fn write_key(path: &Path, key: &SecretKey) -> Result<(), ReplicationError> {
    let keystore = Keystore::lock(key, b"", KdfCost::DEMONSTRATION);
    let keystore = keystore.map_err(|error| ReplicationError::Key(error.to_string()))?;
    keystore.create(path).map_err(|error| ReplicationError::Key(error.to_string()))
}

/// The topology in force of a directory whose network is not known otherwise, because its log is damaged.
pub(super) fn held(data: &Path, core: &PublicKey) -> Result<Option<SignedTopology>, ReplicationError> {
    read_document(&data.join(TOPOLOGY), None, core)
}

fn read_document(
    path: &Path,
    network: Option<NetworkId>,
    core: &PublicKey,
) -> Result<Option<SignedTopology>, ReplicationError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes)?;
    let damaged = || ReplicationError::Document(path.to_path_buf());
    let signed: SignedTopology =
        dsm_abi::decode(&bytes, DOCUMENT_BYTES_MAX as usize).map_err(|_| damaged())?;
    let network = network.unwrap_or(signed.topology.network());
    signed.verify(network, core, &Verifier::new()).map_err(|_| damaged())?;
    Ok(Some(signed))
}

/// Replaces a file so that a crash leaves the old or the new one, whole.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

impl From<LastSignedError> for ReplicationError {
    fn from(error: LastSignedError) -> ReplicationError {
        ReplicationError::Key(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsm_abi::Suite;

    const NETWORK: NetworkId = NetworkId([7; 32]);

    fn member(seed: u8) -> Member {
        let key = SecretKey::ml_dsa_65(&[seed; 32]).unwrap();
        Member::new(key.public_key().to_vec(), format!("127.0.0.1:{}", 9000 + u16::from(seed))).unwrap()
    }

    fn keyed(data: &Path) -> PublicKey {
        let key = SecretKey::generate(Suite::Ed25519MlDsa65).unwrap();
        write_key(&data.join("node.key"), &key).unwrap();
        PublicKey { suite: key.suite(), bytes: key.public_key().to_vec() }
    }

    #[test]
    fn o6_an_epoch_is_signed_once_even_if_its_topology_was_lost() {
        let folder = tempfile::tempdir().unwrap();
        let core = keyed(folder.path());
        let open = || Documents::open(folder.path(), NETWORK, &core);
        let mut documents = open().unwrap();
        let (first, second) = (member(1), member(2));
        let one = documents.follow(first.node(), vec![first.clone()], 0, false).unwrap();
        assert_eq!(one.topology.epoch(), 1);
        let before = std::fs::read(folder.path().join(TOPOLOGY)).unwrap();
        let members = vec![first.clone(), second];
        let two = documents.follow(first.node(), members.clone(), 0, false).unwrap();
        assert_eq!(two.topology.epoch(), 2);
        drop(documents);
        // A crash between the signature and the rename: the epoch is used up.
        std::fs::write(folder.path().join(TOPOLOGY), before).unwrap();
        let mut documents = open().unwrap();
        assert_eq!(documents.current(), Some(&one));
        assert_eq!(documents.follow(first.node(), members, 0, false).unwrap().topology.epoch(), 3);
        assert!(!documents.established());
        documents.set_established().unwrap();
        drop(documents);
        let documents = open().unwrap();
        assert!(documents.established(), "for this very topology");
        drop(documents);
        // Without its record the key signs nothing more.
        std::fs::remove_file(folder.path().join(SIGNED)).unwrap();
        assert!(matches!(open(), Err(ReplicationError::Key(_))));
    }

    #[test]
    fn s2_a_topology_that_is_damaged_or_signed_by_somebody_else_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let core = keyed(folder.path());
        let first = member(1);
        let mut documents = Documents::open(folder.path(), NETWORK, &core).unwrap();
        documents.follow(first.node(), vec![first], 0, false).unwrap();
        drop(documents);
        let path = folder.path().join(TOPOLOGY);
        let whole = std::fs::read(&path).unwrap();
        for at in [0, 40, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let opened = Documents::open(folder.path(), NETWORK, &core);
            assert!(matches!(opened, Err(ReplicationError::Document(_))), "byte {at}");
        }
        std::fs::write(&path, &whole).unwrap();
        let other = Documents::open(folder.path(), NetworkId([8; 32]), &core);
        assert!(matches!(other, Err(ReplicationError::Document(_))), "of another network");
    }
}
