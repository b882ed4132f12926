//! What can be checked of a transition without any state: counts, sizes, order, amounts, names.

use crate::{BridgeConfigError, KeySet, KeySetError, OperationKind, Transition, UpgradeTerms};
use alloc::vec::Vec;
use dsm_abi::{AccountId, StateId, Value, limit as abi_limit};

/// Limits of transitions. Where a number comes from stands beside it.
pub mod limit {
    /// Bytes of a signed transition: 16 signers with two hybrid signatures each, and 16 operations of 1 KiB.
    pub const SIGNED_BYTES_MAX: usize = 160 * 1024;
    /// Signers of one transition: one per operation.
    pub const SIGNERS_MAX: usize = 16;
    /// Signatures of one transition: two for each signer.
    pub const SIGNATURES_MAX: usize = 32;
    /// Bytes of a transfer's memo.
    pub const MEMO_BYTES_MAX: usize = 256;
    /// Bytes of a token's name: 1 to 64 printable ASCII characters, single spaces inside only. One canonical
    /// form, so that two names that look equal are equal.
    pub const NAME_BYTES_MAX: usize = 64;
    /// Bytes of a token's symbol: 1 to 12 of `A-Z`, `0-9`.
    pub const SYMBOL_BYTES_MAX: usize = 12;
    /// Bytes of a method's name.
    pub const METHOD_BYTES_MAX: usize = 64;
    /// Bytes of one list of values, encoded: parameters or arguments.
    pub const VALUES_BYTES_MAX: usize = 8 * 1024;
    /// The longest window of validity, in ms: a day. Nodes need not remember longer.
    pub const WINDOW_MS_MAX: u64 = 24 * 60 * 60 * 1000;
    /// Decimal places.
    pub const DECIMALS_MAX: u8 = 18;
    /// Bytes of an attestation's topic, or of a credential's schema.
    pub const EVIDENCE_TOPIC_BYTES_MAX: usize = 64;
    /// Bytes of an attestation's payload, or of a preimage: a digest and a few fields.
    pub const EVIDENCE_PAYLOAD_BYTES_MAX: usize = 1024;
    /// Claims that one presentation of a credential discloses.
    pub const EVIDENCE_CLAIMS_MAX: usize = 16;
    /// Headers of one step of a bridge: each with the seals of a hundred validators still fits.
    pub const HEADERS_MAX: usize = 8;
    /// Entries of the outbox that one transition may make: two for each operation.
    pub const EMISSIONS_MAX: usize = 32;
    /// The longest delay of upgrades that a token's terms may name, in ms: ten years. Longer is never.
    pub const UPGRADE_DELAY_MS_MAX: u64 = 3653 * 24 * 60 * 60 * 1000;
}

/// Why a transition is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// None or too many operations.
    #[error("a transition has 1 to {} operations, not {found}", abi_limit::OPERATIONS_MAX)]
    Operations {
        /// How many there are.
        found: usize,
    },
    /// None or too many signers, or not in ascending order.
    #[error("parents must be 1 to {} accounts in ascending order", limit::SIGNERS_MAX)]
    Parents,
    /// An operation's actor has not been asked to sign.
    #[error("operation {operation} acts for {actor}, which is not among the parents")]
    ActorNotSigner {
        /// The operation's position.
        operation: usize,
        /// The actor.
        actor: AccountId,
    },
    /// An amount of zero.
    #[error("operation {operation} has an amount of zero")]
    ZeroAmount {
        /// The operation's position.
        operation: usize,
    },
    /// The window is empty or longer than allowed.
    #[error("the window of validity must be 1 to {} ms long", limit::WINDOW_MS_MAX)]
    Window,
    /// A key set is malformed.
    #[error("operation {operation}: {source}")]
    Keys {
        /// The operation's position.
        operation: usize,
        /// Why.
        source: KeySetError,
    },
    /// The genesis is another account's, or its parent is not [`StateId::NONE`].
    #[error("operation {operation}: the genesis does not belong to the acting account")]
    Genesis {
        /// The operation's position.
        operation: usize,
    },
    /// An operation that must stand alone for its account does not.
    #[error("operation {operation} must be its account's only one in the transition")]
    NotAlone {
        /// The operation's position.
        operation: usize,
    },
    /// A name, symbol, method, memo, parameter list or argument list breaks its limit.
    #[error("operation {operation}: {field} is malformed or too long")]
    Field {
        /// The operation's position.
        operation: usize,
        /// Which field.
        field: &'static str,
    },
    /// Too many pieces of evidence.
    #[error("a transition carries at most {} pieces of evidence, not {found}", abi_limit::EVIDENCE_MAX)]
    Evidence {
        /// How many there are.
        found: usize,
    },
    /// A bridge's configuration is malformed.
    #[error("operation {operation}: {source}")]
    Bridge {
        /// The operation's position.
        operation: usize,
        /// Why.
        source: BridgeConfigError,
    },
    /// A transfer to oneself.
    #[error("operation {operation} transfers to its own account")]
    ToSelf {
        /// The operation's position.
        operation: usize,
    },
}

impl ShapeError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            ShapeError::Operations { .. } => "operation_count",
            ShapeError::Parents => "parents_malformed",
            ShapeError::ActorNotSigner { .. } => "actor_not_signer",
            ShapeError::ZeroAmount { .. } => "zero_amount",
            ShapeError::Window => "window_malformed",
            ShapeError::Keys { .. } => "key_set_malformed",
            ShapeError::Genesis { .. } => "genesis_mismatch",
            ShapeError::NotAlone { .. } => "operation_not_alone",
            ShapeError::Field { .. } => "field_malformed",
            ShapeError::Evidence { .. } => "evidence_count",
            ShapeError::Bridge { .. } => "bridge_malformed",
            ShapeError::ToSelf { .. } => "transfer_to_self",
        }
    }
}

impl Transition {
    /// Checks everything that needs no state.
    ///
    /// # Errors
    /// [`ShapeError`], the first found.
    pub fn check_shape(&self) -> Result<(), ShapeError> {
        let count = self.operations.len();
        if count == 0 || count > abi_limit::OPERATIONS_MAX {
            return Err(ShapeError::Operations { found: count });
        }
        let ascending = self.parents.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if self.parents.is_empty() || self.parents.len() > limit::SIGNERS_MAX || !ascending {
            return Err(ShapeError::Parents);
        }
        let window = self.valid_until_ms.checked_sub(self.valid_from_ms);
        if !window.is_some_and(|ms| ms > 0 && ms <= limit::WINDOW_MS_MAX) {
            return Err(ShapeError::Window);
        }
        if self.evidence.len() > abi_limit::EVIDENCE_MAX {
            return Err(ShapeError::Evidence { found: self.evidence.len() });
        }
        (0..count).try_for_each(|operation| self.check_operation(operation))
    }

    fn check_operation(&self, operation: usize) -> Result<(), ShapeError> {
        let actor = self.operations[operation].actor;
        let parent = self.parent_of(&actor).ok_or(ShapeError::ActorNotSigner { operation, actor })?;
        let nonzero =
            |amount: u128| if amount == 0 { Err(ShapeError::ZeroAmount { operation }) } else { Ok(()) };
        let field = |valid: bool, field: &'static str| {
            if valid { Ok(()) } else { Err(ShapeError::Field { operation, field }) }
        };
        let keys = |set: &KeySet| set.check().map_err(|source| ShapeError::Keys { operation, source });
        let alone = || {
            let own = self.operations.iter().filter(|other| other.actor == actor).count();
            if own == 1 { Ok(()) } else { Err(ShapeError::NotAlone { operation }) }
        };
        match &self.operations[operation].kind {
            OperationKind::CreateAccount { genesis } => {
                alone()?;
                keys(&genesis.keys)?;
                let fits =
                    genesis.account() == actor && genesis.network == self.network && parent == StateId::NONE;
                if fits { Ok(()) } else { Err(ShapeError::Genesis { operation }) }
            }
            OperationKind::RotateKeys { keys: set } | OperationKind::Recover { keys: set } => {
                alone()?;
                keys(set)
            }
            OperationKind::Revoke | OperationKind::Precommit { .. } => alone(),
            OperationKind::Publish { .. }
            | OperationKind::Claim { .. }
            | OperationKind::Release { .. }
            | OperationKind::Execute { .. }
            | OperationKind::Upgrade { .. } => Ok(()),
            OperationKind::CreateToken {
                policies,
                params,
                name,
                symbol,
                decimals,
                cap,
                salt: _,
                upgrades,
            } => {
                field(!policies.is_empty() && policies.len() <= abi_limit::POLICIES_MAX, "policies")?;
                field(params.len() == policies.len() && params.iter().all(fits), "params")?;
                field(is_name(name), "name")?;
                field(is_symbol(symbol), "symbol")?;
                field(*decimals <= limit::DECIMALS_MAX, "decimals")?;
                field(*cap != Some(0), "cap")?;
                let sound = |upgrades: &UpgradeTerms| {
                    usize::from(upgrades.by) < policies.len()
                        && (1..=limit::UPGRADE_DELAY_MS_MAX).contains(&upgrades.delay_ms)
                };
                field(upgrades.as_ref().is_none_or(sound), "upgrades")
            }
            OperationKind::Transfer { amount, memo, to, token: _ } => {
                nonzero(*amount)?;
                if *to == actor {
                    return Err(ShapeError::ToSelf { operation });
                }
                field(memo.len() <= limit::MEMO_BYTES_MAX, "memo")
            }
            OperationKind::Mint { amount, .. }
            | OperationKind::Burn { amount, .. }
            | OperationKind::Hold { amount, .. } => nonzero(*amount),
            OperationKind::OpenBridge { config } => {
                config.check(self.network).map_err(|source| ShapeError::Bridge { operation, source })
            }
            OperationKind::AdvanceBridge { headers, .. } => {
                field((1..=limit::HEADERS_MAX).contains(&headers.len()), "headers")
            }
            OperationKind::ConvictBridge { .. } => Ok(()),
            OperationKind::Emit { payload, .. } => {
                field(payload.len() <= abi_limit::EMIT_BYTES_MAX, "payload")
            }
            OperationKind::Invoke { method, args, .. } => {
                field(!method.is_empty() && method.len() <= limit::METHOD_BYTES_MAX, "method")?;
                field(fits(args), "args")
            }
        }
    }
}

/// Whether so many values of so many bytes can be the parameters of a policy or the arguments of a method.
pub(crate) fn fits(values: &Vec<Value>) -> bool {
    values.len() <= abi_limit::VALUES_MAX && dsm_abi::encode(values).len() <= limit::VALUES_BYTES_MAX
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= limit::NAME_BYTES_MAX
        && name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && name.trim() == name
        && !name.contains("  ")
}

fn is_symbol(symbol: &str) -> bool {
    !symbol.is_empty()
        && symbol.len() <= limit::SYMBOL_BYTES_MAX
        && symbol.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}
