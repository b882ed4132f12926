//! One call of a module, with what it touched on the way.

use crate::engine::{
    AdmitError, Engine, EngineConfig, EngineError, FUEL_LIMIT_DEFAULT, Fault, GuestCrypto, HostFault, Module,
    Note, Outcome, State, ViewOutcome,
};
use dsm_abi::{
    Answer, Call, Description, Effect, HoldKind, Input, ReadState, Situation, StateMap, Verdict,
    Verification, ViewInput, encode, import,
};
use dsm_crypto::{hash_guest, verify_guest};
use dsm_sdk::cases::Came;
use parking_lot::Mutex;
use std::sync::Arc;

/// What a policy asked the host while it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touch {
    /// Read one key.
    Get {
        /// The foreign read, if it was not the policy's own state.
        foreign: Option<u8>,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Option<Vec<u8>>,
    },
    /// Read a range.
    Scan {
        /// What the keys start with.
        prefix: Vec<u8>,
        /// Behind which they start.
        after: Vec<u8>,
        /// How many there were.
        entries: usize,
        /// Bytes of the encoded answer.
        bytes: usize,
    },
    /// Hashed.
    Hash {
        /// The algorithm.
        algorithm: u32,
        /// What was hashed.
        input: Vec<u8>,
        /// The digest.
        digest: [u8; 32],
    },
    /// Checked a signature.
    Verify(Verification),
}

impl Touch {
    /// What the host billed for it.
    pub fn fuel(&self) -> u64 {
        let (import, bytes) = match self {
            Touch::Get { foreign, key, value } => {
                let import = if foreign.is_some() { import::FOREIGN_GET } else { import::STATE_GET };
                (import, key.len() + value.as_ref().map_or(0, Vec::len))
            }
            Touch::Scan { prefix, after, bytes, .. } => {
                (import::STATE_SCAN, prefix.len() + after.len() + bytes)
            }
            Touch::Hash { input, .. } => (import::HASH, input.len()),
            Touch::Verify(one) => (import::VERIFY, one.key.len() + one.message.len() + one.signature.len()),
        };
        import.fuel + import.fuel_per_byte * bytes as u64
    }

    /// One line for people.
    pub fn words(&self) -> String {
        let shown = |bytes: &[u8]| if bytes.is_empty() { "\"\"".into() } else { hex::encode(bytes) };
        match self {
            Touch::Get { foreign, key, value } => {
                let whose = foreign.map_or_else(String::new, |read| format!(" of foreign read {read}"));
                let found = value.as_ref().map_or_else(|| "absent".into(), |value| shown(value));
                format!("reads {}{whose}: {found}", shown(key))
            }
            Touch::Scan { prefix, after, entries, .. } => {
                format!("scans {} behind {}: {entries} entries", shown(prefix), shown(after))
            }
            Touch::Hash { algorithm, input, .. } => {
                format!("hashes {} bytes by algorithm {algorithm}", input.len())
            }
            Touch::Verify(one) => {
                let verdict = if one.verified { "verifies" } else { "does not verify" };
                format!("checks a signature by algorithm {}: it {verdict}", one.algorithm)
            }
        }
    }
}

/// What came of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The verdict, answer or fault.
    pub came: Came,
    /// The encoded verdict or answer; empty for a fault.
    pub bytes: Vec<u8>,
    /// The fault in full.
    pub fault: Option<Fault>,
    /// Fuel used.
    pub fuel: u64,
    /// The policy's notes.
    pub notes: Vec<Note>,
    /// What it asked the host, in order.
    pub touches: Vec<Touch>,
}

/// A module that can be tried.
pub struct Trial {
    engine: Engine,
    module: Arc<Module>,
    log: Arc<Log>,
}

type Log = Mutex<Vec<Touch>>;

/// Answers and writes down.
struct Watched {
    state: StateMap,
    foreign: Option<u8>,
    log: Arc<Log>,
}

impl ReadState for Watched {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let found = ReadState::get(&self.state, key);
        let value = found.map(<[u8]>::to_vec);
        self.log.lock().push(Touch::Get { foreign: self.foreign, key: key.to_vec(), value });
        found
    }

    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Vec<(&[u8], &[u8])> {
        let found = ReadState::scan(&self.state, prefix, after, limit);
        let bytes = encode(&found).len();
        let (prefix, after, entries) = (prefix.to_vec(), after.to_vec(), found.len());
        self.log.lock().push(Touch::Scan { prefix, after, entries, bytes });
        found
    }
}

struct Crypto(Arc<Log>);

impl GuestCrypto for Crypto {
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        let digest = hash_guest(algorithm, bytes)?;
        self.0.lock().push(Touch::Hash { algorithm, input: bytes.to_vec(), digest });
        Some(digest)
    }

    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
        let verified = verify_guest(algorithm, key, message, signature)?;
        let (key, message, signature) = (key.to_vec(), message.to_vec(), signature.to_vec());
        self.0.lock().push(Touch::Verify(Verification { algorithm, key, message, signature, verified }));
        Some(verified)
    }
}

impl Trial {
    /// Admits a module, as a node would.
    ///
    /// # Errors
    /// [`AdmitError`]; an engine that cannot be made is the host's failure.
    pub fn new(wasm: &[u8]) -> Result<Trial, AdmitError> {
        let log = Arc::new(Log::default());
        let config = EngineConfig { instances: 1, ..EngineConfig::default() };
        let engine = Engine::new(&config, Arc::new(Crypto(Arc::clone(&log))));
        let engine = engine.map_err(|error: EngineError| HostFault::Engine(error.to_string()))?;
        let module = engine.admit(wasm)?;
        Ok(Trial { engine, module, log })
    }

    /// The same engine with another module.
    ///
    /// # Errors
    /// [`AdmitError`].
    pub fn with(self, wasm: &[u8]) -> Result<Trial, (Trial, AdmitError)> {
        match self.engine.admit(wasm) {
            Ok(module) => Ok(Trial { module, ..self }),
            Err(error) => Err((self, error)),
        }
    }

    /// The admitted module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// What the policy says of itself.
    pub fn about(&self) -> &Description {
        self.module.description()
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Runs a call and watches it. Foreign states that are not given are empty.
    ///
    /// # Errors
    /// [`HostFault`]: there is no verdict.
    pub fn run(&self, call: &Call, state: &StateMap, foreign: &[StateMap]) -> Result<Ran, HostFault> {
        self.log.lock().clear();
        let watched = |state: &StateMap, foreign| -> State {
            Arc::new(Watched { state: state.clone(), foreign, log: Arc::clone(&self.log) })
        };
        let own = watched(state, None);
        let empty = StateMap::new();
        let count = self.about().foreign_reads.len().max(foreign.len());
        let foreign: Vec<State> =
            (0..count).map(|at| watched(foreign.get(at).unwrap_or(&empty), Some(at as u8))).collect();
        let mut ran = match call {
            Call::Evaluate(input) => self.judge(input, &own, &foreign)?,
            Call::View(input) => self.answer(input, &own, &foreign)?,
        };
        ran.touches = core::mem::take(&mut *self.log.lock());
        Ok(ran)
    }

    /// Runs an evaluation as a node does, without watching it.
    ///
    /// # Errors
    /// [`HostFault`]: there is no verdict.
    pub fn judge(&self, input: &Input, state: &State, foreign: &[State]) -> Result<Ran, HostFault> {
        let evaluation = self.engine.evaluate(&self.module, input, state, foreign, FUEL_LIMIT_DEFAULT)?;
        let verdict = match evaluation.outcome {
            Outcome::Accept(effects) => Ok(Verdict::Accept(effects)),
            Outcome::Reject(denial) => Ok(Verdict::Reject(denial)),
            Outcome::Fault(fault) => Err(fault),
        };
        let bytes = verdict.as_ref().map(encode).unwrap_or_default();
        Ok(ran(verdict.map(Came::Verdict), bytes, evaluation.fuel, evaluation.notes))
    }

    /// Runs a query as a node does, without watching it.
    ///
    /// # Errors
    /// [`HostFault`]: there is no answer.
    pub fn answer(&self, input: &ViewInput, state: &State, foreign: &[State]) -> Result<Ran, HostFault> {
        let view = self.engine.view(&self.module, input, state, foreign, FUEL_LIMIT_DEFAULT)?;
        let answer: Result<Answer, Fault> = match view.outcome {
            ViewOutcome::Answer(answer) => Ok(answer),
            ViewOutcome::Fault(fault) => Err(fault),
        };
        let bytes = answer.as_ref().map(encode).unwrap_or_default();
        Ok(ran(answer.map(Came::Answer), bytes, view.fuel, view.notes))
    }
}

impl core::fmt::Debug for Trial {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Trial").field("module", &self.module).finish_non_exhaustive()
    }
}

fn ran(came: Result<Came, Fault>, bytes: Vec<u8>, fuel: u64, notes: Vec<Note>) -> Ran {
    let fault = came.as_ref().err().copied();
    let came = came.unwrap_or_else(|fault| Came::Fault(fault.code().into()));
    Ran { came, bytes, fault, fuel, notes, touches: Vec::new() }
}

impl Ran {
    /// The call with what the host's cryptography answered, for the policy's native side.
    pub fn situation(&self, call: &Call, state: &StateMap, foreign: &[StateMap]) -> Situation {
        let hashes = self.touches.iter().filter_map(|touch| match touch {
            Touch::Hash { algorithm, input, digest } => Some((*algorithm, input.clone(), *digest)),
            _ => None,
        });
        let verifications = self.touches.iter().filter_map(|touch| match touch {
            Touch::Verify(one) => Some(one.clone()),
            _ => None,
        });
        Situation {
            state: state.clone(),
            foreign: foreign.to_vec(),
            call: call.clone(),
            hashes: hashes.collect(),
            verifications: verifications.collect(),
        }
    }
}

/// What an effect does, for people.
pub fn words_of_effect(effect: &Effect) -> String {
    let until = |expires_ms: &Option<u64>| {
        expires_ms.map_or_else(|| "without an end".to_owned(), |ms| format!("until {ms} ms"))
    };
    match effect {
        Effect::SetState { key, value } => {
            format!("sets {} of its state to {}", hex::encode(key), hex::encode(value))
        }
        Effect::DeleteState { key } => format!("deletes {} of its state", hex::encode(key)),
        Effect::CreateHold { owner, beneficiary, amount, kind, expires_ms } => {
            let kind = match kind {
                HoldKind::Pledge => "pledge",
                HoldKind::Lien => "lien",
                HoldKind::Lock => "lock",
                HoldKind::Escrow => "escrow",
            };
            format!("puts a {kind} of {amount} on {owner} for {beneficiary} {}", until(expires_ms))
        }
        Effect::ExtendHold { hold, expires_ms } => format!("extends hold {hold} {}", until(expires_ms)),
        Effect::ReleaseHold { hold } => format!("releases hold {hold}"),
        Effect::ExecuteHold { hold } => format!("executes hold {hold}"),
        Effect::Event { topic, payload } => {
            format!("tells \"{}\" with {} bytes", topic.escape_debug(), payload.len())
        }
        Effect::Freeze { account } => format!("freezes {account}"),
        Effect::Unfreeze { account } => format!("unfreezes {account}"),
        Effect::Mint { to, amount } => format!("requests {amount} new units for {to}"),
        Effect::Burn { from, amount } => format!("requests that {amount} units of {from} are destroyed"),
        Effect::Transfer { from, to, amount } => {
            format!("requests that {amount} units move from {from} to {to}")
        }
        Effect::Emit { lane, payload } => {
            format!("puts {} bytes into lane {lane} of the outbox", payload.len())
        }
        Effect::ScheduleUpgrade { policy_index, policy, params, due_ms } => format!(
            "schedules {policy} with {} parameters for position {policy_index}, due at {due_ms} ms",
            params.len()
        ),
        Effect::CancelUpgrade { policy_index } => {
            format!("takes back the upgrade that waits for position {policy_index}")
        }
    }
}
