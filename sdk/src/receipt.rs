//! What a node answers when a transition has become durable.

use dsm_abi::{AccountId, CreditId, Digest, HoldId, NetworkId, StateId, TokenId, TokenStateId, TransitionId};
use serde::{Deserialize, Serialize};

/// The nodes on which a transition is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The core node's own log, after fsync.
    Local,
}

/// The new head of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountHead {
    /// The account.
    pub account: AccountId,
    /// Its height.
    pub height: u64,
    /// Its head.
    pub state: StateId,
}

/// The new head of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenHead {
    /// The token.
    pub token: TokenId,
    /// Its height.
    pub height: u64,
    /// Its head.
    pub state: TokenStateId,
}

/// A credit that now waits in somebody's inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCredit {
    /// The credit.
    pub credit: CreditId,
    /// The token.
    pub token: TokenId,
    /// Who may claim it.
    pub to: AccountId,
    /// Base units, in decimal.
    pub amount: Amount,
}

/// An amount of base units; text in JSON, because JSON numbers end at 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub u128);

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(amount) if digits => Ok(Amount(amount)),
            Ok(_) | Err(_) => Err(serde::de::Error::custom("an amount is a decimal text of base units")),
        }
    }
}

/// The answer to an accepted transition. A second submission of the same transition gets the same receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The network.
    pub network: NetworkId,
    /// The transition.
    pub transition: TransitionId,
    /// Its record's position in the log.
    pub position: u64,
    /// The log's chain digest at that record.
    pub log_digest: Digest,
    /// The time that the sequencer gave it, in ms since the Unix epoch.
    pub time_ms: u64,
    /// Where it is durable.
    pub durability: Durability,
    /// The accounts that moved.
    pub accounts: Vec<AccountHead>,
    /// The tokens that moved.
    pub tokens: Vec<TokenHead>,
    /// Credits that now wait.
    pub credits: Vec<NewCredit>,
    /// Holds that now stand.
    pub holds: Vec<HoldId>,
}
