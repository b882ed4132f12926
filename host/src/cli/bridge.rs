//! `dsm bridge`: lock value on an EVM chain, prove it, have it credited; withdraw it again, and release it there.
//!
//! Every verb names the bridge by its id, which is the digest of its configuration: whatever a node or an endpoint says
//! about chain, contract or validators has to hash to it. Endpoints are couriers; nothing of theirs is believed.

mod chain;
mod ledger;
mod prove;
mod verify;

use super::failure::Failure;
use super::session::Session;
use dsm_abi::BridgeId;
use dsm_bridge::rpc::{FinalityMode, Patience, RpcEvm};
use dsm_bridge::{Address, EvmError};
use dsm_core::{BridgeState, Finality};

/// What to do with a bridge.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BridgeVerb {
    /// Lock ether or an ERC-20, or burn wrapped units, for an account on DSM
    Deposit(chain::DepositArgs),
    /// Make a proof file: of a lock on the EVM chain, or of an entry of the outbox
    Prove(prove::ProveArgs),
    /// Have a proven lock credited, or refunded once its deadline has passed
    Submit(ledger::SubmitArgs),
    /// Burn units here so that they are released on the EVM chain
    Withdraw(ledger::WithdrawArgs),
    /// Have the contract pay out an entry of the outbox that attestors put their names to
    Release(chain::ReleaseArgs),
    /// Tell where a bridge stands on both sides, and what became of a lock or an entry
    Status(chain::StatusArgs),
    /// Show what the contract lets through for an asset
    Limits(chain::LimitsArgs),
    /// Check a proof file without asking anyone
    VerifyProof(verify::VerifyProofArgs),
}

pub(crate) fn run(session: &Session, verb: &BridgeVerb) -> Result<(), Failure> {
    match verb {
        BridgeVerb::Deposit(args) => chain::deposit(session, args),
        BridgeVerb::Prove(args) => prove::prove(session, args),
        BridgeVerb::Submit(args) => ledger::submit(session, args),
        BridgeVerb::Withdraw(args) => ledger::withdraw(session, args),
        BridgeVerb::Release(args) => chain::release(session, args),
        BridgeVerb::Status(args) => chain::status(session, args),
        BridgeVerb::Limits(args) => chain::limits(session, args),
        BridgeVerb::VerifyProof(args) => verify::run(session, args),
    }
}

/// Which bridge, and who carries its chain's answers.
#[derive(Debug, Clone, clap::Args)]
struct ChainArgs {
    /// The bridge's id
    #[arg(long, value_name = "ID", env = "DSM_BRIDGE_ID")]
    bridge: BridgeId,
    /// JSON-RPC endpoints of the EVM chain, separated by commas
    #[arg(long, value_name = "URL", env = "DSM_BRIDGE_ETHEREUM_RPC", value_delimiter = ',', required = true)]
    rpc: Vec<String>,
}

/// A bridge as the ledger has it, and its chain.
struct Opened {
    state: BridgeState,
    evm: RpcEvm,
}

impl ChainArgs {
    /// Asks the core node for the bridge's configuration, which must hash to the id, and names its chain's couriers.
    fn open(&self, session: &Session) -> Result<Opened, Failure> {
        let state = known(session, self.bridge)?;
        let config = &state.config;
        let (finality, agreement) = match &config.finality {
            Finality::Qbft { .. } | Finality::QbftContract { .. } => (FinalityMode::Sealed, 1),
            // Nobody's seals decide: more than half of the couriers have to agree.
            Finality::Attested { .. } => (FinalityMode::Finalized, self.rpc.len() / 2 + 1),
        };
        let evm = RpcEvm::new(
            &self.rpc,
            config.chain_id,
            config.contract,
            finality,
            agreement,
            Patience::default(),
        )
        .map_err(|error| {
            Failure::usage(format!("--rpc: {error}")).help("give http://host:port of a node of the chain")
        })?;
        Ok(Opened { state, evm })
    }
}

/// A bridge's state, as the core node tells it under a configuration that hashes to the id.
fn known(session: &Session, bridge: BridgeId) -> Result<BridgeState, Failure> {
    let state = session.client()?.bridge(&bridge)?.decode();
    let state =
        state.map_err(|error| Failure::integrity("malformed_bytes", format!("the bridge: {error}")))?;
    if state.config.id() != bridge {
        return Err(Failure::integrity(
            "other_bridge",
            "the node's configuration does not hash to the bridge's id",
        )
        .help("ask another node: this one is wrong about the bridge"));
    }
    Ok(state)
}

impl From<EvmError> for Failure {
    fn from(error: EvmError) -> Failure {
        use super::failure::Exit;
        let (exit, help) = match &error {
            EvmError::NoAnswer(_) | EvmError::NoAgreement { .. } => {
                (Exit::Unreachable, "check --rpc, or name further endpoints")
            }
            EvmError::Reverted(_) => (Exit::Refused, "`dsm bridge status` and `dsm bridge limits` tell why"),
            EvmError::NotTaken(_) => {
                (Exit::Refused, "another transaction of this key is on its way; try again")
            }
        };
        Failure::new(exit, error.code(), &error).help(help)
    }
}

/// Reads an address: 40 hexadecimal digits, with or without 0x.
fn hex_address(text: &str) -> Result<Address, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "an address has 40 hexadecimal digits".to_owned())
}

/// Bytes as the EVM's people write them.
fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// What the contract calls a kind of asset.
fn kind_word(kind: u8) -> &'static str {
    match kind {
        dsm_contracts::KIND_NATIVE => "ether",
        dsm_contracts::KIND_ERC20 => "ERC-20",
        dsm_contracts::KIND_WRAPPED => "wrapped",
        _ => "unknown",
    }
}
