//! A limit on everything that crosses the boundary. Where a number comes from stands beside it.

/// Bytes of a policy's state key: two ids.
pub const STATE_KEY_BYTES_MAX: usize = 64;
/// Bytes of a policy's state value: one page.
pub const STATE_VALUE_BYTES_MAX: usize = 4096;
/// State reads of one evaluation, each entry of a scan counted.
pub const STATE_READS_MAX: u32 = 64;
/// State writes of one evaluation.
pub const STATE_WRITES_MAX: usize = 32;
/// Effects of one evaluation: the writes and as many again.
pub const EFFECTS_MAX: usize = 64;
/// Bytes of an encoded verdict or answer.
pub const OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an encoded description.
pub const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an encoded input: 16 legs with 1 KiB each, 16 pieces of evidence with 2 KiB each, and the parties.
pub const INPUT_BYTES_MAX: usize = 128 * 1024;
/// Bytes of a denial's reason.
pub const REASON_BYTES_MAX: usize = 256;
/// Bytes of a denial's field.
pub const FIELD_BYTES_MAX: usize = 64;
/// Bytes of a denial's hint.
pub const HINT_BYTES_MAX: usize = 256;
/// Bytes of an event's topic.
pub const TOPIC_BYTES_MAX: usize = 64;
/// Bytes of an event's payload.
pub const EVENT_BYTES_MAX: usize = 1024;
/// Bytes of an outbox entry's payload.
pub const EMIT_BYTES_MAX: usize = 1024;
/// Operations of one transition.
pub const OPERATIONS_MAX: usize = 16;
/// Legs that the requests of policies may add to a transition.
pub const DERIVED_LEGS_MAX: usize = 16;
/// Policies of one token.
pub const POLICIES_MAX: usize = 8;
/// Live holds of one account in one token.
pub const HOLDS_MAX: usize = 64;
/// Pieces of evidence in one transition.
pub const EVIDENCE_MAX: usize = 16;
/// Observations of one round of a feed: a signature each, so that a round fits into a transition in any suite.
pub const OBSERVATIONS_MAX: usize = 16;
/// Decimal places of a round's answers: those of the finest token.
pub const ROUND_DECIMALS_MAX: u8 = 18;
/// Parameters of a policy, arguments of a method.
pub const VALUES_MAX: usize = 32;
/// Bytes of a policy module.
pub const MODULE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a note.
pub const NOTE_BYTES_MAX: usize = 256;
/// Notes of one evaluation that are kept; more are dropped.
pub const NOTES_MAX: usize = 32;
