//! The DSM side over the core node's HTTP API.

use super::{Accepted, Dsm, DsmError, LockUse};
use crate::evm::Word;
use dsm_abi::{AccountId, StateId, TokenId};
use dsm_core::{BridgeConfig, BridgeState, NetworkGenesis, PublicKey, SignedCheckpoint};
use dsm_evm_proof::Entry;
use dsm_sdk::api::LockState;
use dsm_sdk::client::{Client, ClientError};

/// Bytes of a network's genesis: a name and a key.
const GENESIS_BYTES_MAX: usize = 64 * 1024;

/// A core node.
#[derive(Debug)]
pub struct HttpDsm {
    client: Client,
    terms: BridgeConfig,
}

impl HttpDsm {
    /// The core node at `url`, as a bridge with these terms sees it. Connects when first used.
    ///
    /// # Errors
    /// [`DsmError::Protocol`] if the URL is not `http://host[:port]`.
    pub fn new(url: &str, terms: BridgeConfig) -> Result<HttpDsm, DsmError> {
        Ok(HttpDsm { client: Client::new(url).map_err(error)?, terms })
    }

    /// The same, showing an API key or a token with each request.
    #[must_use]
    pub fn with_credential(self, credential: &str) -> HttpDsm {
        HttpDsm { client: self.client.with_credential(credential), terms: self.terms }
    }
}

fn error(error: ClientError) -> DsmError {
    match error {
        ClientError::Unreachable { url, reason } => DsmError::Unreachable(format!("{url}: {reason}")),
        ClientError::Protocol(reason) => DsmError::Protocol(reason),
        ClientError::Problem(problem) => {
            let (code, detail) = (problem.code, problem.detail);
            let waits = problem.status >= 500 || matches!(problem.status, 401 | 403 | 408 | 429);
            if waits { DsmError::Busy { code, detail } } else { DsmError::Refused { code, detail } }
        }
    }
}

/// `None` where the node says that there is none.
fn found<T>(answer: Result<T, ClientError>, codes: &[&str]) -> Result<Option<T>, DsmError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(ClientError::Problem(problem)) if codes.contains(&problem.code.as_str()) => Ok(None),
        Err(other) => Err(error(other)),
    }
}

fn none(what: &str) -> DsmError {
    DsmError::Protocol(format!("these bytes are no {what}"))
}

impl Dsm for HttpDsm {
    fn node_key(&self) -> Result<PublicKey, DsmError> {
        let status = self.client.status().map_err(error)?;
        let genesis = dsm_abi::decode::<NetworkGenesis>(&status.network.genesis.0, GENESIS_BYTES_MAX);
        let genesis = genesis.map_err(|_| none("genesis"))?;
        // The network's id is the digest of these bytes: whoever answers cannot name another key.
        if genesis.network() != self.terms.network {
            let (found, expected) = (genesis.network(), self.terms.network);
            return Err(DsmError::Protocol(format!("the core node is of network {found}, not {expected}")));
        }
        Ok(genesis.node)
    }

    fn bridge(&self) -> Result<Option<BridgeState>, DsmError> {
        let view = found(self.client.bridge(&self.terms.id()), &["not_found", "unknown_bridge"])?;
        let Some(view) = view else { return Ok(None) };
        let state = view.decode().map_err(|_| none("bridge"))?;
        if state.config == self.terms { Ok(Some(state)) } else { Err(none("state of this bridge")) }
    }

    fn lock_use(&self, nonce: u64) -> Result<Option<LockUse>, DsmError> {
        let view = self.client.lock(&self.terms.id(), nonce).map_err(error)?;
        let credited = match view.state {
            LockState::Unknown => return Ok(None),
            LockState::Credited => true,
            LockState::Refunded => false,
        };
        let transition = view.transition.ok_or_else(|| none("use of a lock"))?.0;
        Ok(Some(LockUse { credited, transition }))
    }

    fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, DsmError> {
        let view = found(self.client.latest_checkpoint(), &["no_checkpoint", "not_found"])?;
        view.map(|view| view.decode().map_err(|_| none("checkpoint"))).transpose()
    }

    fn take_checkpoint(&self) -> Result<(), DsmError> {
        self.client.take_checkpoint().map(|_| ()).map_err(error)
    }

    fn outbox(&self, from: u64, limit: usize) -> Result<Vec<Entry>, DsmError> {
        let page = self.client.outbox(from, limit).map_err(error)?;
        Ok(page.entries.iter().map(|view| view.entry().evm(self.terms.network)).collect())
    }

    fn outbox_consistency(&self, old: u64, new: u64) -> Result<Vec<Word>, DsmError> {
        let view = self.client.outbox_consistency(old, new).map_err(error)?;
        Ok(view.hashes.into_iter().map(|hash| hash.0).collect())
    }

    fn wrapped_policy(&self, token: &TokenId) -> Result<u8, DsmError> {
        let info = self.client.token(token).map_err(error)?;
        let place = info.policies.iter().position(|policy| policy.name == "wrapped");
        place.and_then(|place| u8::try_from(place).ok()).ok_or_else(|| DsmError::Refused {
            code: "not_wrapped".to_owned(),
            detail: format!("token {token} has no policy `wrapped`"),
        })
    }

    fn account(&self, account: &AccountId) -> Result<Option<(StateId, u64)>, DsmError> {
        let view = found(self.client.account(account), &["not_found", "unknown_account"])?;
        Ok(view.map(|view| (view.head, view.state.height)))
    }

    fn submit(&self, signed: &[u8]) -> Result<Accepted, DsmError> {
        match self.client.submit_bytes(signed) {
            Ok(receipt) => Ok(Accepted { transition: receipt.transition.0, position: receipt.position }),
            // It stands, on fewer storage nodes than the node's default asks for.
            Err(ClientError::Problem(problem)) if problem.shortfall.is_some() => {
                let receipt = problem.shortfall.map(|shortfall| shortfall.receipt);
                let receipt = receipt.ok_or_else(|| none("receipt"))?;
                Ok(Accepted { transition: receipt.transition.0, position: receipt.position })
            }
            Err(other) => Err(error(other)),
        }
    }
}
