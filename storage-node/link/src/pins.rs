//! The keys that this node speaks with: a live set that handshakes and connections look at.

use crate::key::{KeyError, node_of};
use dsm_abi::{Digest, Suite};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// Keys in a set: the members of a network (16), its core node, and some that are being exchanged.
const PINS_MAX: usize = 64;

/// The keys that this node speaks with. Clones are one set; a key that is forgotten closes its connections.
#[derive(Debug, Clone)]
pub struct Pins {
    nodes: Arc<watch::Sender<BTreeSet<Digest>>>,
}

impl Default for Pins {
    fn default() -> Pins {
        Pins::new()
    }
}

impl Pins {
    /// Nobody.
    pub fn new() -> Pins {
        Pins { nodes: Arc::new(watch::Sender::new(BTreeSet::new())) }
    }

    /// Speaks with the owner of an ML-DSA-65 key from now on; tells which node that is.
    ///
    /// # Errors
    /// [`KeyError::Length`], [`KeyError::TooMany`].
    pub fn allow(&self, public_key: &[u8]) -> Result<Digest, KeyError> {
        if public_key.len() != Suite::MlDsa65.public_key_bytes() {
            return Err(KeyError::Length(public_key.len()));
        }
        let node = node_of(public_key);
        let mut fits = true;
        self.nodes.send_if_modified(|nodes| {
            fits = nodes.contains(&node) || nodes.len() < PINS_MAX;
            fits && nodes.insert(node)
        });
        if fits { Ok(node) } else { Err(KeyError::TooMany(PINS_MAX)) }
    }

    /// Speaks with a node no longer: its connections are closed with [`crate::close::UNPINNED`]. Tells whether it
    /// was pinned.
    pub fn forget(&self, node: &Digest) -> bool {
        self.nodes.send_if_modified(|nodes| nodes.remove(node))
    }

    /// Whether this node is spoken with.
    pub fn contains(&self, node: &Digest) -> bool {
        self.nodes.borrow().contains(node)
    }

    /// Returns once `node` is not, or no longer, pinned.
    pub(crate) async fn forgotten(&self, node: Digest) {
        let mut changes = self.nodes.subscribe();
        // The sender lives as long as `self`, so the wait ends with the pin and not otherwise.
        let _ = changes.wait_for(|nodes| !nodes.contains(&node)).await;
    }
}
