//! What a node answers when a transition has become durable.

use dsm_abi::{AccountId, CreditId, Digest, HoldId, NetworkId, StateId, TokenId, TokenStateId, TransitionId};
use serde::{Deserialize, Serialize};

/// How far a transition is durable. One spelling everywhere, in JSON, in a query and on a command line: `local`,
/// `primary`, `replicated:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// The core node's own log, after fsync.
    #[default]
    Local,
    /// And the log of the primary storage node, after its fsync.
    Primary,
    /// And the logs of so many storage nodes, the primary among them, after their fsyncs. Two or more: one is
    /// [`Durability::Primary`].
    Replicated(u8),
}

impl Durability {
    /// The level that so many storage nodes make, of which one must be the primary.
    pub fn of(primary: bool, nodes: usize) -> Durability {
        match (primary, u8::try_from(nodes).unwrap_or(u8::MAX)) {
            (false, _) | (true, 0) => Durability::Local,
            (true, 1) => Durability::Primary,
            (true, many) => Durability::Replicated(many),
        }
    }

    /// How many storage nodes it takes.
    pub fn storage_nodes(self) -> usize {
        match self {
            Durability::Local => 0,
            Durability::Primary => 1,
            Durability::Replicated(nodes) => usize::from(nodes),
        }
    }
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Durability::Local => f.write_str("local"),
            Durability::Primary => f.write_str("primary"),
            Durability::Replicated(nodes) => write!(f, "replicated:{nodes}"),
        }
    }
}

/// The text is not a level of durability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a level of durability is `local`, `primary` or `replicated:N` with N from 2 to 255")]
pub struct DurabilityError;

impl std::str::FromStr for Durability {
    type Err = DurabilityError;

    fn from_str(text: &str) -> Result<Durability, DurabilityError> {
        let nodes = match text {
            "local" => return Ok(Durability::Local),
            "primary" => return Ok(Durability::Primary),
            _ => text.strip_prefix("replicated:").ok_or(DurabilityError)?,
        };
        let level = Durability::Replicated(nodes.parse().map_err(|_| DurabilityError)?);
        // One level has one spelling: no `replicated:1`, `replicated:+2` or `replicated:02`.
        if level.storage_nodes() >= 2 && level.to_string() == text { Ok(level) } else { Err(DurabilityError) }
    }
}

impl Serialize for Durability {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Durability {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
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
    /// How far it was durable when this was answered. Asking again may tell a higher level.
    pub durability: Durability,
    /// The ids of the storage nodes whose signed acknowledgement the node holds, the primary first if it is among
    /// them.
    #[serde(default)]
    pub storage_nodes: Vec<Digest>,
    /// The accounts that moved.
    pub accounts: Vec<AccountHead>,
    /// The tokens that moved.
    pub tokens: Vec<TokenHead>,
    /// Credits that now wait.
    pub credits: Vec<NewCredit>,
    /// Holds that now stand.
    pub holds: Vec<HoldId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_has_one_spelling() {
        for level in
            [Durability::Local, Durability::Primary, Durability::Replicated(2), Durability::Replicated(255)]
        {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        let wrong =
            ["", "Local", "replicated", "replicated:", "replicated:0", "replicated:1", "replicated:02"];
        for text in
            wrong.into_iter().chain(["replicated:+2", "replicated:256", "replicated:2 ", "replicated(2)"])
        {
            assert_eq!(text.parse::<Durability>(), Err(DurabilityError), "{text}");
        }
    }

    #[test]
    fn storage_nodes_without_the_primary_raise_no_level() {
        let rows = [
            (false, 0, Durability::Local),
            (false, 3, Durability::Local),
            (true, 1, Durability::Primary),
            (true, 3, Durability::Replicated(3)),
        ];
        for (primary, nodes, level) in rows {
            assert_eq!(Durability::of(primary, nodes), level);
        }
        assert!(Durability::Local < Durability::Primary);
        assert!(Durability::Primary < Durability::Replicated(2));
        assert!(Durability::Replicated(2) < Durability::Replicated(3));
    }
}
