//! Checks on what a policy wrote: canonical bytes within the limits of the ABI, or a fault.

use super::fault::{Fault, Outcome};
use dsm_abi::{Answer, Denial, Description, Effect, Verdict, decode, limit};

/// The verdict in `bytes`.
pub(super) fn verdict(bytes: &[u8]) -> Result<Outcome, Fault> {
    match decode::<Verdict>(bytes, limit::OUTPUT_BYTES_MAX) {
        Ok(Verdict::Accept(effects)) => check_effects(&effects).map(|()| Outcome::Accept(effects)),
        Ok(Verdict::Reject(denial)) => check_denial(&denial).map(|()| Outcome::Reject(denial)),
        Err(_) if has_bad_text(bytes) => Err(Fault::BadOutput("a text of the denial is not UTF-8")),
        Err(_) => Err(Fault::BadOutput("not a canonical verdict")),
    }
}

/// Whether these are a denial's bytes but for a text that is not UTF-8, which is what authors in other languages meet.
fn has_bad_text(bytes: &[u8]) -> bool {
    const CODE_BYTES: usize = 2;
    let Some(mut rest) = bytes.strip_prefix(&[1]).and_then(|denial| denial.get(CODE_BYTES..)) else {
        return false;
    };
    let mut bad = false;
    for _text in ["reason", "field", "hint"] {
        let Some((length, after)) = rest.split_first_chunk() else { return false };
        let length = u32::from_le_bytes(*length) as usize;
        let Some((text, after)) = after.split_at_checked(length) else { return false };
        bad |= core::str::from_utf8(text).is_err();
        rest = after;
    }
    bad && rest.is_empty()
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
            Effect::ScheduleUpgrade { params, .. } => {
                within(params.len(), limit::VALUES_MAX, "an upgrade has too many parameters")?;
            }
            Effect::CreateHold { .. }
            | Effect::ExtendHold { .. }
            | Effect::ReleaseHold { .. }
            | Effect::ExecuteHold { .. }
            | Effect::Freeze { .. }
            | Effect::Unfreeze { .. }
            | Effect::Mint { .. }
            | Effect::Burn { .. }
            | Effect::Transfer { .. }
            | Effect::CancelUpgrade { .. } => {}
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
