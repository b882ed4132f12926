//! Policies that this node's log has published and whose packages it lacks: fetched from storage nodes.
//!
//! A storage node names packages by the hash of their bytes. What it has and we lack is found by comparing ranges of
//! digests; what comes is hashed, decoded, its author's signature verified and its module admitted, and it is taken
//! only if it is a policy that is missing. A node that sends anything else is counted and asked no further.

use super::fetch::ask;
use crate::node::Shelf;
use dsm_abi::{Digest, PolicyId};
use dsm_link::Connection;
use dsm_proto::NodeId;
use dsm_proto::fetch::{Answer, Query};
use dsm_proto::reconcile::{BlobSet, Reconcile};
use dsm_sdk::package::PACKAGE_BYTES_MAX;
use std::sync::Arc;

/// Questions that one comparison may take: 64 would tell 16,000 packages apart.
const QUESTIONS_MAX: usize = 256;

/// What came of asking everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Searched {
    /// Policies whose packages are here now.
    pub(super) found: Vec<PolicyId>,
    /// Who sent what is not what it should be.
    pub(super) liars: Vec<(NodeId, String)>,
}

/// Asks the storage nodes in turn until nothing is missing any more.
pub(super) async fn search(shelf: &Arc<Shelf>, connections: Vec<(NodeId, Connection)>) -> Searched {
    let mut searched = Searched { found: Vec::new(), liars: Vec::new() };
    for (peer, connection) in connections {
        if shelf.missing().is_empty() {
            break;
        }
        if let Err(lie) = search_one(shelf, &connection, &mut searched.found).await {
            tracing::warn!(node = %peer, lie, "a storage node sent a package that is none");
            searched.liars.push((peer, lie));
        }
    }
    searched
}

/// Fetches what one storage node has and this node lacks. An error is a lie; silence is none.
async fn search_one(
    shelf: &Arc<Shelf>,
    connection: &Connection,
    found: &mut Vec<PolicyId>,
) -> Result<(), String> {
    let mut own = BlobSet::default();
    for digest in shelf.readable() {
        own.insert(digest);
    }
    let mut comparison = Reconcile::new(QUESTIONS_MAX);
    while let Some(range) = comparison.next() {
        match ask(connection, Query::BlobRange(range)).await {
            Ok(Answer::BlobRange(answer)) => {
                comparison.handle_answer(&own, &answer).map_err(|error| error.to_string())?;
            }
            Ok(_) | Err(_) => break,
        }
    }
    for digest in comparison.missing().to_vec() {
        let query = Query::Blob { digest, bytes_max: PACKAGE_BYTES_MAX as u32 };
        let bytes = match ask(connection, query).await {
            Ok(Answer::Blob(bytes)) => bytes,
            Ok(Answer::NotFound | Answer::Damaged | Answer::Busy) => continue,
            Ok(other) => return Err(format!("{} for a blob", super::fetch::word(&other))),
            Err(_) => return Ok(()),
        };
        if Digest(*blake3::hash(&bytes).as_bytes()) != digest {
            return Err(format!("other content for blob {digest}"));
        }
        let shelf = Arc::clone(shelf);
        let adopted = tokio::task::spawn_blocking(move || shelf.adopt(&bytes)).await;
        match adopted {
            Ok(Ok(policy)) => found.extend(policy),
            // Its hash is right: somebody stored what is no package, which this node does not take over.
            Ok(Err(error)) => tracing::warn!(%digest, code = error.code(), "a fetched package is refused"),
            Err(_) => {}
        }
    }
    Ok(())
}
