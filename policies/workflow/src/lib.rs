//! A workflow of named steps, each done by four eyes: one person proposes, others approve the same document in time.
//!
//! The steps are the same for every case and are done in order. A step is proposed with the digest of its document;
//! it is done when enough approvers signed that very document before the deadline. A key that signed the proposal
//! never counts as its approver, whatever lists it stands in. A proposal that nobody approves in time lapses, and an
//! approver may decline it; then the step is proposed anew. Done steps stay done.
//!
//! Left out on purpose: units of a token, and the content of documents. Another policy reads a case as a foreign
//! read and decides what may happen once a step is done.
#![no_std]
extern crate alloc;

use alloc::{string::String, vec::Vec};
use dsm_policy::{
    BorshDeserialize, BorshSerialize, Context, Denials, Deny, Digest, Fields, Key, KeyId, Outcome, Params,
    State, View, borsh, ensure, policy, text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one workflow.
#[derive(Debug, Clone, Params)]
pub struct Workflow {
    /// The names of the steps, in order: 1 to 16 distinct names of 1 to 64 bytes.
    pub steps: Vec<String>,
    /// The keys that may propose, 1 to 32; any one of them does.
    pub proposers: Vec<KeyId>,
    /// The keys that may approve and decline, 1 to 32.
    pub approvers: Vec<KeyId>,
    /// How many distinct approvers must sign each step, at least 1.
    pub approvals: u64,
    /// How long a proposal waits for its approvals, in ms, at least 1.
    pub step_ms: u64,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// No proposer's key signed.
    NotProposer = 100,
    /// No approver's key signed.
    NotApprover = 101,
    /// Whoever signed the proposal does not approve it: that needs other eyes.
    FourEyes = 102,
    /// The approver's key has approved this proposal.
    AlreadyApproved = 103,
    /// Nothing is proposed in this case.
    NoProposal = 104,
    /// A proposal of this case waits for its approvals.
    ProposalWaits = 105,
    /// The proposal was not approved in time.
    Lapsed = 106,
    /// The proposal is about another document.
    OtherDocument = 107,
    /// Steps are done in order: this is not the case's next one.
    WrongStep = 108,
    /// All steps of the case are done.
    Finished = 109,
    /// The terms need 1 to 16 distinct step names of 1 to 64 bytes, distinct keys, a time of at least 1 ms, and more
    /// approvers than must approve if a proposer is among them, else at least as many.
    BadTerms = 110,
}

/// What waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Proposal {
    /// What the approvers are to have read.
    pub document: Digest,
    /// It lapses then, in ms since the Unix epoch.
    pub until_ms: u64,
    /// The approvers' keys that signed the proposal: they cannot approve it.
    pub barred: Vec<KeyId>,
    /// The approvers' keys that have approved it.
    pub approved: Vec<KeyId>,
}

/// What the workflow keeps of a case.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Case {
    /// How many steps are done.
    pub done: u64,
    /// The documents of the steps that are done, in order.
    pub documents: Vec<Digest>,
    /// What waits, also after its time.
    pub proposal: Option<Proposal>,
}

const STEPS_MAX: usize = 16;
const STEP_BYTES_MAX: usize = 64;
const KEYS_MAX: usize = 32;

pub(crate) fn case_key(case: Digest) -> Key {
    Key::new(b'c').digest(case)
}

#[policy(
    name = "workflow",
    summary = "Steps that one person proposes and others approve, each in time and about one document.",
    denials = Denied
)]
impl Workflow {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        let steps = (1..=STEPS_MAX).contains(&self.steps.len())
            && distinct(&self.steps)
            && self.steps.iter().all(|step| (1..=STEP_BYTES_MAX).contains(&step.len()));
        let keys = [&self.proposers, &self.approvers]
            .iter()
            .all(|keys| (1..=KEYS_MAX).contains(&keys.len()) && distinct(keys));
        // A proposer who is also an approver is one approver fewer for its own proposals.
        let both = usize::from(self.proposers.iter().any(|key| self.approvers.contains(key)));
        let others = self.approvers.len().saturating_sub(both) as u64;
        let reachable = (1..=others).contains(&self.approvals);
        ensure(steps && keys && reachable && self.step_ms > 0, Denied::BadTerms)
    }

    /// Proposes the next step of a case, counted from 1, with its document. The first proposal opens the case. Needs
    /// a proposer.
    #[method]
    fn propose(&self, context: &mut Context<'_>, case: Digest, step: u64, document: Digest) -> Outcome {
        ensure(
            context.signed_by_keys(&self.proposers) > 0,
            Denied::NotProposer.field("signers").hint("let one of the proposers' keys sign"),
        )?;
        let mut found = find(&context.state(), case);
        ensure(found.done < self.steps.len() as u64, Denied::Finished.field("case"))?;
        if step != found.done + 1 {
            let reason = text![found.done, " steps are done, so step ", step, " is not the next one"];
            return Err(Denied::WrongStep.because(reason).field("step").hint(self.next_hint(&found)));
        }
        if let Some(waiting) = &found.proposal
            && context.time_ms() < waiting.until_ms
        {
            let reason = text!["a proposal waits until ", waiting.until_ms];
            let hint = "let approvers approve or decline it, or wait until it lapses";
            return Err(Denied::ProposalWaits.because(reason).field("case").hint(hint));
        }
        let until_ms = context.time_ms().saturating_add(self.step_ms);
        let barred = self.approvers_who_signed(context);
        found.proposal = Some(Proposal { document, until_ms, barred, approved: Vec::new() });
        context.set(case_key(case), &found);
        Ok(())
    }

    /// Approves what is proposed in a case, naming its document. The last approval that is needed does the step.
    /// Needs approvers who did not sign the proposal.
    #[method]
    fn approve(&self, context: &mut Context<'_>, case: Digest, document: Digest) -> Outcome {
        let signed = self.approvers_who_signed(context);
        ensure(!signed.is_empty(), not_approver())?;
        let mut found = find(&context.state(), case);
        let mut proposal = waiting(context, found.proposal.take(), document)?;
        let other: Vec<KeyId> = signed.into_iter().filter(|key| !proposal.barred.contains(key)).collect();
        ensure(
            !other.is_empty(),
            Denied::FourEyes.field("signers").hint("let an approver sign who did not sign the proposal"),
        )?;
        let before = proposal.approved.len();
        let new = other.into_iter().filter(|key| !proposal.approved[..before].contains(key));
        let new: Vec<KeyId> = new.collect();
        ensure(!new.is_empty(), Denied::AlreadyApproved.field("signers").hint("let another approver sign"))?;
        proposal.approved.extend(new);
        if proposal.approved.len() as u64 >= self.approvals {
            found.done += 1;
            found.documents.push(document);
            context.event("step-done", [&case.0[..], &found.done.to_le_bytes(), &document.0].concat());
        } else {
            found.proposal = Some(proposal);
        }
        context.set(case_key(case), &found);
        Ok(())
    }

    /// Declines what is proposed in a case, naming its document; the step can then be proposed anew. Needs an
    /// approver.
    #[method]
    fn decline(&self, context: &mut Context<'_>, case: Digest, document: Digest) -> Outcome {
        ensure(!self.approvers_who_signed(context).is_empty(), not_approver())?;
        let mut found = find(&context.state(), case);
        waiting(context, found.proposal.take(), document)?;
        context.set(case_key(case), &found);
        Ok(())
    }

    /// How far a case is: steps done and in all, the name of the next step (empty if none is left), whether nothing
    /// is proposed, a proposal waits or has lapsed, its document (zero if none), approvals so far and needed, and its
    /// end in ms since the Unix epoch (0 if none).
    #[query]
    fn status(&self, view: &View<'_>, case: Digest) -> Fields {
        let found = find(&view.state(), case);
        let proposal = found.proposal.as_ref();
        let word = match proposal {
            _ if found.done >= self.steps.len() as u64 => "finished",
            None => "nothing_proposed",
            Some(proposal) if view.time_ms() < proposal.until_ms => "waiting",
            Some(_) => "lapsed",
        };
        Fields::new()
            .with("done", found.done)
            .with("steps", self.steps.len() as u64)
            .with("next", self.next(&found).cloned().unwrap_or_default())
            .with("proposal", String::from(word))
            .with("document", proposal.map_or(Digest([0; 32]), |proposal| proposal.document))
            .with("approved", proposal.map_or(0, |proposal| proposal.approved.len() as u64))
            .with("needed", self.approvals)
            .with("until_ms", proposal.map_or(0, |proposal| proposal.until_ms))
    }

    /// The document of a step that is done; steps are counted from 1.
    #[query]
    fn document(&self, view: &View<'_>, case: Digest, step: u64) -> Result<Fields, Deny> {
        let found = find(&view.state(), case);
        let index = step.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let document = index.and_then(|index| found.documents.get(index)).copied();
        let document = document.ok_or_else(|| {
            Denied::WrongStep.because(text!["step ", step, " of this case is not done"]).field("step")
        })?;
        Ok(Fields::new().with("document", document))
    }

    /// The approvers' keys that signed this transition, each once.
    fn approvers_who_signed(&self, context: &Context<'_>) -> Vec<KeyId> {
        self.approvers.iter().filter(|key| context.signed_by_keys(&[**key]) > 0).copied().collect()
    }

    fn next(&self, case: &Case) -> Option<&String> {
        usize::try_from(case.done).ok().and_then(|done| self.steps.get(done))
    }

    fn next_hint(&self, case: &Case) -> String {
        self.next(case)
            .map_or_else(String::new, |next| text!["propose step ", case.done + 1, ", `", next, "`"])
    }
}

fn find(state: &State<'_>, case: Digest) -> Case {
    state.get(case_key(case)).unwrap_or_default()
}

/// The proposal, if it still waits and is about this document.
fn waiting(context: &Context<'_>, proposal: Option<Proposal>, document: Digest) -> Result<Proposal, Deny> {
    let Some(proposal) = proposal else {
        return Err(Denied::NoProposal.field("case").hint("call `propose` first"));
    };
    if context.time_ms() >= proposal.until_ms {
        let reason = text!["the proposal waited until ", proposal.until_ms, ", now is ", context.time_ms()];
        return Err(Denied::Lapsed.because(reason).field("case").hint("let it be proposed anew"));
    }
    if proposal.document != document {
        let reason = text!["the proposal is about document ", proposal.document, ".."];
        return Err(Denied::OtherDocument.because(reason).field("document").hint("read that document first"));
    }
    Ok(proposal)
}

fn not_approver() -> Deny {
    Denied::NotApprover.field("signers").hint("let one of the approvers' keys sign")
}

fn distinct<T: PartialEq>(list: &[T]) -> bool {
    (1..list.len()).all(|i| !list[..i].contains(&list[i]))
}
