//! What the log holds, and how the ledger follows from it.

use crate::judge::requested_legs;
use crate::{
    AccountState, AdmitError, Applied, Approved, Credit, EquivocationProof, Judge, Ledger, PolicyEffects,
    PublicKey, Refusal, SignedCheckpoint, SignedTransition, TokenState, VerifiedTransition, hash, tag,
};
use alloc::{boxed::Box, string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{Description, Hold, NetworkId, TransitionId, VerifySignature, encode};

/// The first record of a log; its digest is the network's id.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NetworkGenesis {
    /// A name for people.
    pub name: String,
    /// When the network began, in ms since the Unix epoch.
    pub created_ms: u64,
    /// The key that signs checkpoints.
    pub node: PublicKey,
    /// Keeps networks of one name apart.
    pub salt: [u8; 32],
}

impl NetworkGenesis {
    /// The network's id.
    pub fn network(&self) -> NetworkId {
        NetworkId(hash(tag::NETWORK, &[&encode(self)]).0)
    }
}

/// An accepted transition with everything that its acceptance depended on and led to.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Accepted {
    /// The time that the sequencer gave it, in ms since the Unix epoch.
    pub time_ms: u64,
    /// The transition with its signatures.
    pub signed: SignedTransition,
    /// What the policies asked for.
    pub effects: Vec<PolicyEffects>,
    /// Descriptions of the policies that it published.
    pub published: Vec<Description>,
    /// The new heads of all accounts that moved.
    pub accounts: Vec<AccountState>,
    /// The new heads of all tokens that moved.
    pub tokens: Vec<TokenState>,
    /// Credits that it made.
    pub credits: Vec<Credit>,
    /// Holds that it made.
    pub holds: Vec<Hold>,
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Entry {
    /// The first.
    Genesis(NetworkGenesis),
    /// A transition moved heads.
    Accepted(Box<Accepted>),
    /// The node signed where things stand.
    Checkpoint(Box<SignedCheckpoint>),
    /// Somebody signed two successors of one state.
    Equivocation(Box<EquivocationProof>),
}

/// Why a record does not follow from those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The transition does not verify.
    #[error("transition {transition}: {source}")]
    Admit {
        /// The transition.
        transition: TransitionId,
        /// Why.
        source: AdmitError,
    },
    /// The rules refuse it.
    #[error("transition {transition}: {source}")]
    Refused {
        /// The transition.
        transition: TransitionId,
        /// Why.
        source: Refusal,
    },
    /// The policies answer otherwise than recorded.
    #[error("transition {0}: the policies answer otherwise than recorded")]
    Effects(TransitionId),
    /// The heads are other than recorded.
    #[error("transition {0} leads to other heads than recorded")]
    Heads(TransitionId),
    /// Time runs backwards.
    #[error("transition {0} is older than the one before it")]
    Time(TransitionId),
}

impl From<&Applied> for Accepted {
    fn from(applied: &Applied) -> Accepted {
        applied.clone().into()
    }
}

impl From<Applied> for Accepted {
    fn from(applied: Applied) -> Accepted {
        Accepted {
            time_ms: applied.time_ms,
            signed: applied.signed,
            effects: applied.effects,
            published: applied.published,
            accounts: applied.accounts,
            tokens: applied.tokens,
            credits: applied.credits,
            holds: applied.holds,
        }
    }
}

impl Ledger {
    /// Applies a record of this node's own log: the heads are worked out anew and compared, signatures and
    /// policies are believed.
    ///
    /// # Errors
    /// [`RecordError`]; the log and this program do not fit together.
    pub fn replay(&mut self, record: Accepted) -> Result<Applied, RecordError> {
        let id = record.signed.transition.id();
        let outcome = Outcome {
            transition: id,
            accounts: record.accounts,
            tokens: record.tokens,
            credits: record.credits,
            holds: record.holds,
        };
        self.check_time(id, record.time_ms)?;
        let verified = VerifiedTransition::recorded(record.signed, self)
            .map_err(|source| RecordError::Admit { transition: id, source })?;
        let refused = |source| RecordError::Refused { transition: id, source };
        self.check_link(&verified, record.time_ms).map_err(refused)?;
        let mut legs = self.resolve_legs(&verified).map_err(refused)?;
        if record.effects.iter().any(|given| usize::from(given.leg) >= legs.len()) {
            let direct: Vec<PolicyEffects> =
                record.effects.iter().filter(|given| usize::from(given.leg) < legs.len()).cloned().collect();
            let requested = requested_legs(verified.transition(), &legs, &direct);
            legs.extend(requested.into_iter().map(|(leg, ..)| leg));
        }
        let approved = Approved {
            verified,
            time_ms: record.time_ms,
            legs,
            effects: record.effects,
            published: record.published,
        };
        self.settle_recorded(approved, &outcome)
    }

    /// Applies a record believing nothing: signatures are verified, policies run again, and both their effects
    /// and the heads are compared.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn replay_verifying(
        &mut self,
        record: Accepted,
        verifier: &dyn VerifySignature,
        judge: &mut dyn Judge,
    ) -> Result<Applied, RecordError> {
        let id = record.signed.transition.id();
        let outcome = Outcome {
            transition: id,
            accounts: record.accounts,
            tokens: record.tokens,
            credits: record.credits,
            holds: record.holds,
        };
        self.check_time(id, record.time_ms)?;
        let verified = record
            .signed
            .verify(self.network(), self, verifier)
            .map_err(|source| RecordError::Admit { transition: id, source })?;
        let refused = |source| RecordError::Refused { transition: id, source };
        let approved = self.judge(verified, record.time_ms, judge).map_err(refused)?;
        if approved.effects != record.effects || approved.published != record.published {
            return Err(RecordError::Effects(id));
        }
        self.settle_recorded(approved, &outcome)
    }

    /// Settles, moves the heads, and compares them with what the record says.
    fn settle_recorded(&mut self, approved: Approved, outcome: &Outcome) -> Result<Applied, RecordError> {
        let transition = outcome.transition;
        let changes = self.settle(approved).map_err(|source| RecordError::Refused { transition, source })?;
        let applied = self.commit(changes);
        outcome.compare(&applied)?;
        Ok(applied)
    }

    fn check_time(&self, id: TransitionId, time_ms: u64) -> Result<(), RecordError> {
        if time_ms < self.time_ms() { Err(RecordError::Time(id)) } else { Ok(()) }
    }
}

/// What a record says that its transition led to.
struct Outcome {
    transition: TransitionId,
    accounts: Vec<AccountState>,
    tokens: Vec<TokenState>,
    credits: Vec<Credit>,
    holds: Vec<Hold>,
}

impl Outcome {
    fn compare(&self, applied: &Applied) -> Result<(), RecordError> {
        let same = applied.accounts == self.accounts
            && applied.tokens == self.tokens
            && applied.credits == self.credits
            && applied.holds == self.holds;
        if same { Ok(()) } else { Err(RecordError::Heads(applied.transition)) }
    }
}
