//! What an error looks like: RFC 9457 problem details with a stable code.

use crate::api::PolicyCid;
use crate::receipt::{AccountHead, Durability, Receipt};
use dsm_abi::{AccountId, Denial, StateId, TokenId, TransitionId};
use dsm_core::EquivocationProof;
use serde::{Deserialize, Serialize};

/// What stands before the code in a problem's `type`.
pub const PROBLEM_TYPE_PREFIX: &str = "urn:dsm:error:";

/// Why a request was not answered as asked. `code` is stable; `title` and `detail` are for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// [`PROBLEM_TYPE_PREFIX`] and the code.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The meaning of the status.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// The stable code.
    pub code: String,
    /// For `stale_parent`: where the account stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<AccountHead>,
    /// For `policy_denied`: the policy's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<DenialView>,
    /// For `policy_fault`: which policy failed, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultView>,
    /// For `conflict`: the evidence that the node keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equivocation: Option<EquivocationRef>,
    /// For `not_replicated`: what was asked for, and the receipt with what was reached. The transition stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<ShortfallView>,
    /// For refused packages: everything that the static gate found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// The request's id, as in the node's logs and its audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// For overload: when to try again, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// A policy's refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialView {
    /// The token, or none for a query.
    pub token: TokenId,
    /// The policy.
    pub policy: PolicyCid,
    /// Its position in the token's list.
    pub policy_index: u8,
    /// The operation's position in the transition; absent for a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<u64>,
    /// The policy's own code.
    pub code: u16,
    /// Its reason.
    pub reason: String,
    /// The field at fault, or empty.
    pub field: String,
    /// What would make it acceptable, or empty.
    pub hint: String,
}

impl DenialView {
    /// A policy's words with who said them about what.
    pub fn new(
        token: TokenId,
        policy: PolicyCid,
        policy_index: u8,
        operation: Option<u64>,
        denial: Denial,
    ) -> DenialView {
        let Denial { code, reason, field, hint } = denial;
        DenialView { token, policy, policy_index, operation, code, reason, field, hint }
    }
}

/// A policy's failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultView {
    /// The token.
    pub token: TokenId,
    /// The policy.
    pub policy: PolicyCid,
    /// Its position in the token's list.
    pub policy_index: u8,
    /// The operation's position in the transition.
    pub operation: u64,
    /// The engine's stable word.
    pub fault: String,
}

/// A level of durability that was not reached in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortfallView {
    /// The level asked for.
    pub asked: Durability,
    /// The receipt of the transition, which stands, with the level reached.
    pub receipt: Receipt,
}

/// Names a proof of equivocation that the node keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquivocationRef {
    /// The account that signed twice.
    pub account: AccountId,
    /// The state that has two successors.
    pub parent: StateId,
    /// That state's height.
    pub parent_height: u64,
    /// The successor that became durable first.
    pub first: TransitionId,
    /// The other.
    pub second: TransitionId,
}

impl From<&EquivocationProof> for EquivocationRef {
    fn from(proof: &EquivocationProof) -> EquivocationRef {
        EquivocationRef {
            account: proof.account(),
            parent: proof.state(),
            parent_height: proof.parent.height,
            first: proof.first.transition.id(),
            second: proof.second.transition.id(),
        }
    }
}

impl Problem {
    /// A problem without extras.
    pub fn new(status: u16, title: &str, code: &str, detail: impl Into<String>) -> Problem {
        Problem {
            problem_type: format!("{PROBLEM_TYPE_PREFIX}{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            head: None,
            denial: None,
            fault: None,
            equivocation: None,
            shortfall: None,
            findings: Vec::new(),
            request: None,
            retry_after_ms: None,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}
