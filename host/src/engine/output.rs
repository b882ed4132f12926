//! Checks on what a policy wrote: canonical bytes within the limits of the ABI, or a fault.

use super::fault::{Fault, Outcome};
use dsm_abi::{Answer, Denial, Description, Effect, Verdict, decode, limit};

/// The verdict in `bytes`.
pub(super) fn verdict(bytes: &[u8]) -> Result<Outcome, Fault> {
    match decode::<Verdict>(bytes, limit::OUTPUT_BYTES_MAX) {
        Ok(Verdict::Accept(effects)) => check_effects(&effects).map(|()| Outcome::Accept(effects)),
        Ok(Verdict::Reject(denial)) => check_denial(&denial).map(|()| Outcome::Reject(denial)),
        Err(_) => Err(Fault::BadOutput("not a canonical verdict")),
    }
}

/// The answer in `bytes`.
pub(super) fn answer(bytes: &[u8]) -> Result<Answer, Fault> {
    let answer = decode::<Answer>(bytes, limit::OUTPUT_BYTES_MAX);
    let answer = answer.map_err(|_| Fault::BadOutput("not a canonical answer"))?;
    if let Answer::Reject(denial) = &answer {
        check_denial(denial)?;
    }
    Ok(answer)
}

/// The description in `bytes`; its version is for the caller to check.
pub(super) fn description(bytes: &[u8]) -> Result<Description, Fault> {
    let found: Description = decode(bytes, limit::DESCRIPTION_BYTES_MAX)
        .map_err(|_| Fault::BadOutput("not a canonical description"))?;
    let values = found.methods.iter().chain(&found.queries).map(|m| m.args.len()).chain([found.params.len()]);
    for count in values {
        within(count, limit::VALUES_MAX, "too many parameters or arguments")?;
    }
    // One position for each policy of each declared token; an index into them travels as one byte.
    within(found.foreign_reads.len(), usize::from(u8::MAX), "too many foreign reads")?;
    Ok(found)
}

fn check_effects(effects: &[Effect]) -> Result<(), Fault> {
    within(effects.len(), limit::EFFECTS_MAX, "too many effects")?;
    let mut writes = 0;
    for effect in effects {
        match effect {
            Effect::SetState { key, value } => {
                writes += 1;
                check_key(key)?;
                within(value.len(), limit::STATE_VALUE_BYTES_MAX, "a value is too long")?;
            }
            Effect::DeleteState { key } => {
                writes += 1;
                check_key(key)?;
            }
            Effect::Event { topic, payload } => {
                within(topic.len(), limit::TOPIC_BYTES_MAX, "a topic is too long")?;
                within(payload.len(), limit::EVENT_BYTES_MAX, "an event is too long")?;
            }
            Effect::Emit { payload, .. } => {
                within(payload.len(), limit::EMIT_BYTES_MAX, "an outbox entry is too long")?;
            }
            Effect::CreateHold { .. }
            | Effect::ExtendHold { .. }
            | Effect::ReleaseHold { .. }
            | Effect::ExecuteHold { .. }
            | Effect::Freeze { .. }
            | Effect::Unfreeze { .. }
            | Effect::Mint { .. }
            | Effect::Burn { .. }
            | Effect::Transfer { .. } => {}
        }
    }
    within(writes, limit::STATE_WRITES_MAX, "too many writes")
}

fn check_key(key: &[u8]) -> Result<(), Fault> {
    if key.is_empty() {
        return Err(Fault::BadOutput("a key is empty"));
    }
    within(key.len(), limit::STATE_KEY_BYTES_MAX, "a key is too long")
}

fn check_denial(denial: &Denial) -> Result<(), Fault> {
    within(denial.reason.len(), limit::REASON_BYTES_MAX, "a reason is too long")?;
    within(denial.field.len(), limit::FIELD_BYTES_MAX, "a field is too long")?;
    within(denial.hint.len(), limit::HINT_BYTES_MAX, "a hint is too long")
}

fn within(found: usize, most: usize, word: &'static str) -> Result<(), Fault> {
    if found <= most { Ok(()) } else { Err(Fault::BadOutput(word)) }
}
