//! What comes out of an admission or a call: verdicts, faults of the policy, failures of the host.

use super::gate::Finding;
use dsm_abi::{Answer, Denial, Effect};

/// The result of one evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// What the policy decided, or how it failed to.
    pub outcome: Outcome,
    /// Fuel used, the same on every machine. A policy that runs out, grows memory beyond its limit, or traps
    /// otherwise than by `unreachable` is billed its whole limit.
    pub fuel: u64,
    /// The policy's trace, at most [`dsm_abi::limit::NOTES_MAX`]. Never part of the verdict.
    pub notes: Vec<Note>,
}

/// A policy's decision on a leg. Only [`Outcome::Accept`] lets it happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The leg may happen, with these effects. Their sizes and number are within the limits of the ABI.
    Accept(Vec<Effect>),
    /// The leg may not happen.
    Reject(Denial),
    /// The policy failed, in a way that is the same on every machine. The leg may not happen.
    Fault(Fault),
}

/// The result of one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The answer, or how the policy failed to give one.
    pub outcome: ViewOutcome,
    /// Fuel used.
    pub fuel: u64,
    /// The policy's trace.
    pub notes: Vec<Note>,
}

/// A policy's answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewOutcome {
    /// The answer, a denial included.
    Answer(Answer),
    /// The policy failed, the same on every machine.
    Fault(Fault),
}

/// The result of running an export without the policy ABI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What the export returned.
    pub result: Result<i32, Fault>,
    /// Fuel used.
    pub fuel: u64,
}

/// A note that a policy left in the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The policy's own number.
    pub code: u32,
    /// At most [`dsm_abi::limit::NOTE_BYTES_MAX`] bytes of the policy's text, escaped for display.
    pub text: String,
}

/// How a policy failed. Deterministic: the same module, input and state give the same fault everywhere.
/// It refuses, and counts as the author's problem, never as a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The fuel limit was reached.
    Fuel,
    /// Calls nested deeper than the depth meter allows.
    Depth,
    /// Memory was to grow beyond its limit.
    Memory,
    /// An instruction trapped; the word says which kind.
    Trap(&'static str),
    /// The output is not a canonical value within the limits; the word says what is wrong.
    BadOutput(&'static str),
    /// `dsm_buf` refused the input or gave a range outside memory.
    BadBuffer,
    /// A pointer and length given to the host are not inside memory.
    BadPointer,
    /// A value does not fit the space that the policy gave for it.
    OutTooSmall,
    /// A foreign read that the description does not declare.
    UndeclaredForeignRead,
    /// More reads of state than [`dsm_abi::limit::STATE_READS_MAX`].
    ReadsExceeded,
    /// `hash` or `verify` with an algorithm that does not exist.
    UnknownAlgorithm,
    /// A host function panicked. Caught, and the fuel is still billed.
    HostPanic,
}

impl Fault {
    /// The stable code, for records and interfaces.
    pub const fn code(self) -> &'static str {
        match self {
            Fault::Fuel => "fuel",
            Fault::Depth => "depth",
            Fault::Memory => "memory",
            Fault::Trap(_) => "trap",
            Fault::BadOutput(_) => "bad_output",
            Fault::BadBuffer => "bad_buffer",
            Fault::BadPointer => "bad_pointer",
            Fault::OutTooSmall => "out_too_small",
            Fault::UndeclaredForeignRead => "undeclared_foreign_read",
            Fault::ReadsExceeded => "reads_exceeded",
            Fault::UnknownAlgorithm => "unknown_algorithm",
            Fault::HostPanic => "host_panic",
        }
    }

    /// The way out, for the policy's author.
    pub fn help(self) -> &'static str {
        match self {
            Fault::Fuel => {
                "a loop does not end, or does too much for one verdict: `dsm policy profile` shows which function"
            }
            Fault::Depth => "functions call each other too deep: make the recursion a loop",
            Fault::Memory => "memory may grow to 64 pages of 64 KiB: keep less at once",
            Fault::Trap("unreachable") => {
                "a panic: unwrap, expect, an index or arithmetic out of range; refuse with a denial of your own \
                 instead, and use `math` for amounts. `cargo test` shows the line, natively"
            }
            Fault::Trap("division_by_zero" | "integer_overflow") => {
                "arithmetic that has no result: use `math`, which refuses instead"
            }
            Fault::Trap(_) => {
                "the module reads or calls what is not there: unsafe code, or another compiler's bug"
            }
            Fault::BadOutput(
                "not a canonical verdict" | "not a canonical answer" | "not a canonical description",
            ) => {
                "write it with `dsm-policy`; a module in another language encodes as the ABI says: lengths before \
                 content, no trailing bytes"
            }
            Fault::BadOutput(
                "a value is too long" | "a key is too long" | "a key is empty" | "too many writes",
            ) => {
                "state is kept in small records: a value has at most 4096 bytes; give every account or item a key of \
                 its own instead of one list that grows"
            }
            Fault::BadOutput("a text of the denial is not UTF-8") => {
                "reason, field and hint are UTF-8: write bytes as hex, and cut texts between characters"
            }
            Fault::BadOutput(_) => "the ABI's limits are in `dsm_abi::limit`: answer with less",
            Fault::BadBuffer => {
                "dsm_buf must give a range inside memory that is not at 0, for any length asked for"
            }
            Fault::BadPointer => "a pointer and length given to the host must lie inside memory",
            Fault::OutTooSmall => "ask for the value's length first, or give a buffer of the greatest length",
            Fault::UndeclaredForeignRead => {
                "declare the read in the macro: #[policy(foreign = [(token, 0)])], with the parameter that names the \
                 token and the position of its policy"
            }
            Fault::ReadsExceeded => "one verdict reads too much state: keep totals instead of adding up",
            Fault::UnknownAlgorithm => "`hash_alg` and `verify_alg` name the algorithms that there are",
            Fault::HostPanic => {
                "this is the host's fault, not the policy's: tell its maintainers how it came about"
            }
        }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.code())?;
        match self {
            Fault::Trap(word) | Fault::BadOutput(word) => write!(f, ": {word}"),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for Fault {}

/// Why there is no verdict. Depends on this machine and moment: retry or answer 503, never record a denial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// The watchdog fired: more wall time passed than fuel can explain.
    #[error("the watchdog ended the evaluation")]
    Watchdog,
    /// All instances of the pool are in use.
    #[error("no free instance")]
    Busy,
    /// The operating system gave no memory, or an instance could not be made.
    #[error("no instance could be made: {0}")]
    Allocation(String),
    /// The native stack ended before the depth meter did, which the meter is there to prevent.
    #[error("the native stack ended before the depth meter")]
    NativeStack,
    /// The caller's input is longer than [`dsm_abi::limit::INPUT_BYTES_MAX`].
    #[error("an input of {bytes} bytes, at most {} are allowed", dsm_abi::limit::INPUT_BYTES_MAX)]
    InputTooLong {
        /// Bytes of the encoded input.
        bytes: usize,
    },
    /// The caller supplied another number of foreign states than the module declares.
    #[error("{supplied} foreign states supplied, {declared} declared")]
    ForeignStates {
        /// How many the description declares.
        declared: usize,
        /// How many came.
        supplied: usize,
    },
    /// The module was admitted by an engine with another profile.
    #[error("the module was admitted under another engine profile")]
    OtherProfile,
    /// The engine failed in a way that it does not have in its contract.
    #[error("engine: {0}")]
    Engine(String),
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The configuration is refused, or the operating system gave no address space for the pool.
    #[error("the engine could not be made: {0}")]
    Configuration(String),
    /// The watchdog's thread could not be started.
    #[error("the watchdog could not be started: {0}")]
    Watchdog(std::io::Error),
}

/// Why a module is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// The module is refused, now and always: everything that is wrong with it.
    #[error("{}", list(findings))]
    Refused {
        /// At least one finding.
        findings: Vec<Finding>,
    },
    /// This host could not judge the module now.
    #[error(transparent)]
    Host(#[from] HostFault),
}

impl AdmitError {
    /// The findings, empty if the host failed.
    pub fn findings(&self) -> &[Finding] {
        match self {
            AdmitError::Refused { findings } => findings,
            AdmitError::Host(_) => &[],
        }
    }
}

fn list(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
