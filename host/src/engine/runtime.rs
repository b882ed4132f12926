//! The one module that names wasmtime: compiles admitted modules and runs them, each call in a fresh instance.
//!
//! Everything that a verdict depends on is fixed in [`profile_text`]: engine version, cost table, limits. The
//! rest of the configuration (pool size, watchdog) decides only whether there is a verdict.

use super::compiler::{self, CompileError};
use super::fault::{
    AdmitError, EngineError, Evaluation, Fault, HostFault, Note, Outcome, Probe, View, ViewOutcome,
};
use super::gate::{self, Exports, Finding, PAGE_BYTES, PAGES_MAX, TABLE_ELEMENTS_MAX};
use super::profile::{self, Profile, Tracker};
use super::{meter, output};
use dsm_abi::{ABI_VERSION, Description, Digest, Input, ReadState, ViewInput, import, limit};
use parking_lot::{Condvar, Mutex};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::{
    Caller, Config, Enabled, Extern, Instance, InstanceAllocationStrategy, InstancePre, Linker, Memory,
    ModuleExport, OperatorCost, OptLevel, PoolConcurrencyLimitError, PoolingAllocationConfig,
    ResourceLimiter, Store, Strategy, Trap, WasmFeatures,
};

/// Fuel for an evaluation if nobody asks for another limit: about 10 ms in the worst case measured.
pub const FUEL_LIMIT_DEFAULT: u64 = 10_000_000;
/// No evaluation gets more fuel than this, whatever the caller asks for: well below the watchdog's time.
pub const FUEL_LIMIT_MAX: u64 = 1_000_000_000;

/// The wasmtime that the workspace's lock file has; a test compares them.
const WASMTIME_VERSION: &str = "48.0.8";
const WASM_STACK_BYTES: usize = 1 << 20;
/// Bytes of memory and of the table that a freed slot resets by writing zeros, two pages. Anything beyond is given
/// back to the kernel, which costs more than the evaluation: 7.3 instead of 4.3 µs for a policy of two pages.
const KEEP_RESIDENT_BYTES: usize = 128 * 1024;
const TICK: Duration = Duration::from_millis(10);
/// Bytes of machine code and data of one module. The worst module that the gate lets through stays below.
const COMPILED_BYTES_MAX: usize = 16 << 20;
/// The length that `dsm_buf` is asked for at admission.
const PROBE_BUFFER_BYTES: i32 = 1024;

/// A policy's state as the engine reads it: shared, frozen for the time of one evaluation.
pub type State = Arc<dyn ReadState + Send + Sync>;

/// The cryptography that policies may call. The engine has none of its own.
pub trait GuestCrypto: Send + Sync {
    /// The digest of `bytes` by `algorithm`, one of [`dsm_abi::import::hash_alg`], or `None` if it is unknown.
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]>;

    /// Whether `signature` by `key` over `message` verifies by `algorithm`, one of
    /// [`dsm_abi::import::verify_alg`], or `None` if the algorithm is unknown.
    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool>;
}

/// What an engine is made with. Nothing here changes a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Evaluations that can run at the same time; each reserves address space for one memory.
    pub instances: u32,
    /// Wall time after which an evaluation is ended without a verdict, in ms.
    pub watchdog_ms: u64,
    /// The program whose child compiles modules: this one, whose `main` knows [`super::CHILD_ARGUMENT`]. Without it
    /// modules are compiled in this process, bounded by the gate alone.
    pub compiler: Option<PathBuf>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig { instances: 32, watchdog_ms: 5_000, compiler: None }
    }
}

/// Admits modules and evaluates them.
pub struct Engine {
    wasmtime: wasmtime::Engine,
    linker: Linker<Call>,
    crypto: Arc<dyn GuestCrypto>,
    profile: Digest,
    watchdog_ticks: u64,
    compiler: Option<PathBuf>,
    _watchdog: Watchdog,
}

/// An admitted module, compiled and described. Only [`Engine::admit`] makes one.
pub struct Module {
    hash: Digest,
    profile: Digest,
    prepared: Prepared,
    calls: Calls,
    description: Description,
    compile: Duration,
    compiled_bytes: usize,
    exports: Vec<String>,
    describe_fuel: u64,
}

impl Module {
    /// BLAKE3-256 of the module's exact bytes, the digest in its CID.
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// What the policy says of itself.
    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// The profile of the engine that admitted it.
    pub const fn profile(&self) -> Digest {
        self.profile
    }

    /// How long the compiler took.
    pub const fn compile_time(&self) -> Duration {
        self.compile
    }

    /// Bytes of the compiled image.
    pub const fn compiled_bytes(&self) -> usize {
        self.compiled_bytes
    }

    /// The names that the module exports, in its order, escaped for display.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// Fuel that its description used.
    pub const fn describe_fuel(&self) -> u64 {
        self.describe_fuel
    }
}

impl core::fmt::Debug for Module {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Module")
            .field("hash", &self.hash)
            .field("name", &self.description.name)
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// A compiled module with everything looked up that does not depend on the call.
struct Prepared {
    pre: InstancePre<Call>,
    memory: Option<ModuleExport>,
    depth: ModuleExport,
    data_bytes: u64,
}

/// Where the policy's exports are.
struct Calls {
    buf: ModuleExport,
    evaluate: ModuleExport,
    view: ModuleExport,
}

/// A module that tells where its fuel goes. Only [`Engine::profiler`] makes one.
pub struct Profiler {
    module: Arc<Module>,
    prepared: Prepared,
    calls: Calls,
    names: Vec<String>,
}

impl core::fmt::Debug for Profiler {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Profiler").field("module", &self.module).finish_non_exhaustive()
    }
}

/// What host functions see: the state to read and what has been counted. No identity, no clock.
struct Call {
    state: State,
    foreign: Vec<State>,
    crypto: Arc<dyn GuestCrypto>,
    memory: Option<Memory>,
    reads: u32,
    notes: Vec<Note>,
    /// Only while an author looks where the fuel goes.
    tracker: Option<Tracker>,
}

/// One instance and its store, for the time of one call.
struct Run {
    store: Store<Call>,
    instance: Instance,
    depth: ModuleExport,
    fuel_limit: u64,
}

/// How a call ended that gave no value.
enum Stop {
    Policy(Fault),
    Host(HostFault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Policy(fault)
    }
}

thread_local! {
    /// The encoded input: kept between calls, so that a call allocates nothing for it.
    static FRAME: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Engine {
    /// Makes an engine: reserves the pool and starts the watchdog's thread, which ends with the engine.
    ///
    /// # Errors
    /// [`EngineError`] if the address space for the pool or the thread is not to be had.
    pub fn new(config: &EngineConfig, crypto: Arc<dyn GuestCrypto>) -> Result<Engine, EngineError> {
        let configuration = |error: wasmtime::Error| EngineError::Configuration(format!("{error:#}"));
        let wasmtime = wasmtime::Engine::new(&settings(config)).map_err(configuration)?;
        let linker = link(&wasmtime).map_err(configuration)?;
        let watchdog = Watchdog::start(wasmtime.clone()).map_err(EngineError::Watchdog)?;
        let profile = Digest(*blake3::hash(profile_text().as_bytes()).as_bytes());
        let watchdog_ticks = (config.watchdog_ms / TICK.as_millis() as u64).max(1);
        let compiler = config.compiler.clone();
        Ok(Engine { wasmtime, linker, crypto, profile, watchdog_ticks, compiler, _watchdog: watchdog })
    }

    /// The engine profile: BLAKE3-256 of everything that a verdict or its fuel depends on besides the module
    /// and its input. Two nodes with other profiles may not share verdicts.
    pub const fn profile(&self) -> Digest {
        self.profile
    }

    /// Judges the bytes of a module and makes it ready: gate, depth meter, compilation, description.
    ///
    /// # Errors
    /// [`AdmitError::Refused`] with everything that is wrong with the module; [`AdmitError::Host`] if this host
    /// could not judge it.
    pub fn admit(&self, wasm: &[u8]) -> Result<Arc<Module>, AdmitError> {
        let started = Instant::now();
        let prepared = self.prepare(wasm, Exports::Policy)?;
        let compile = started.elapsed();
        let module = prepared.pre.module();
        let export = |name: &'static str| {
            module.get_export_index(name).ok_or_else(|| refused("export_missing", name.into(), "export it"))
        };
        let calls =
            Calls { buf: export("dsm_buf")?, evaluate: export("dsm_evaluate")?, view: export("dsm_view")? };
        let describe = export("dsm_describe")?;
        let compiled_bytes = compiled_bytes(module);
        // The depth meter's own exports are not the module's.
        let exports = module.exports().map(|export| export.name());
        let exports =
            exports.filter(|name| !name.starts_with(gate::RESERVED_PREFIX)).map(gate::escaped).collect();
        let (description, describe_fuel) = match self.describe(&prepared, &calls, &describe) {
            Ok(described) => described,
            Err(Stop::Host(fault)) => return Err(fault.into()),
            Err(Stop::Policy(fault)) => {
                let help = "dsm_buf must give a range of memory, and dsm_describe a canonical description";
                return Err(refused("describe", format!("its description faults: {fault}"), help));
            }
        };
        if description.abi != ABI_VERSION {
            let reason = format!(
                "it is built for version {} of the ABI, this host has {ABI_VERSION}",
                description.abi
            );
            return Err(refused("abi", reason, "build it with this host's dsm-policy"));
        }
        let hash = Digest(*blake3::hash(wasm).as_bytes());
        Ok(Arc::new(Module {
            hash,
            profile: self.profile,
            prepared,
            calls,
            description,
            compile,
            compiled_bytes,
            exports,
            describe_fuel,
        }))
    }

    /// Evaluates one leg. `foreign` holds one state for each foreign read that the description declares.
    ///
    /// # Errors
    /// [`HostFault`]: there is no verdict.
    pub fn evaluate(
        &self,
        module: &Module,
        input: &Input,
        state: &State,
        foreign: &[State],
        fuel_limit: u64,
    ) -> Result<Evaluation, HostFault> {
        with_frame(input, |frame| {
            let (result, fuel, notes) = self.call(
                module,
                &module.calls.evaluate,
                frame,
                state,
                foreign,
                fuel_limit,
                output::verdict,
            )?;
            Ok(Evaluation { outcome: result.unwrap_or_else(Outcome::Fault), fuel, notes })
        })
    }

    /// Answers one query, by the same rules as [`Engine::evaluate`].
    ///
    /// # Errors
    /// [`HostFault`]: there is no answer.
    pub fn view(
        &self,
        module: &Module,
        input: &ViewInput,
        state: &State,
        foreign: &[State],
        fuel_limit: u64,
    ) -> Result<View, HostFault> {
        with_frame(input, |frame| {
            let (result, fuel, notes) =
                self.call(module, &module.calls.view, frame, state, foreign, fuel_limit, output::answer)?;
            let outcome = result.map_or_else(ViewOutcome::Fault, ViewOutcome::Answer);
            Ok(View { outcome, fuel, notes })
        })
    }

    /// Runs the export `() -> i32` of a module that need not be a policy, through the same gate, meter and
    /// settings: for judging hostile modules and pricing instructions.
    ///
    /// # Errors
    /// As [`Engine::admit`].
    pub fn probe(&self, wasm: &[u8], export: &str, fuel_limit: u64) -> Result<Probe, AdmitError> {
        let prepared = self.prepare(wasm, Exports::Any)?;
        let missing = || {
            refused(
                "export_missing",
                format!("there is no export \"{}\"", gate::escaped(export)),
                "export it",
            )
        };
        let index = prepared.pre.module().get_export_index(export).ok_or_else(missing)?;
        let mut run = match self.start(&prepared, &empty_state(), &[], fuel_limit) {
            Ok(run) => run,
            Err(Stop::Policy(fault)) => return Ok(Probe { result: Err(fault), fuel: fuel_limit }),
            Err(Stop::Host(fault)) => return Err(fault.into()),
        };
        if run.function::<(), i32>(&index).is_err() {
            return Err(refused(
                "export_signature",
                "the export is not () -> i32".into(),
                "give it this type",
            ));
        }
        let result = run.invoke::<(), i32>(&index, ());
        let result = run.settle(result)?;
        let fuel = run.fuel_used(&result);
        Ok(Probe { result, fuel })
    }

    /// Makes a module ready to tell where its fuel goes.
    ///
    /// # Errors
    /// As [`Engine::admit`].
    pub fn profiler(&self, wasm: &[u8]) -> Result<Profiler, AdmitError> {
        let module = self.admit(wasm)?;
        let facts =
            gate::examine(wasm, Exports::Policy).map_err(|findings| AdmitError::Refused { findings })?;
        let help = "report this module to the makers of DSM";
        let metered = meter::instrument(wasm, &facts).map_err(|error| refused("meter", error, help))?;
        let profiled = profile::instrument(&metered).map_err(|error| refused("profile", error, help))?;
        let compiled = self.compile_here(&profiled)?;
        let engine = |error: wasmtime::Error| HostFault::Engine(format!("{error:#}"));
        let mut linker = self.linker.clone();
        track(&mut linker).map_err(engine)?;
        let export = |name: &str| {
            let found = compiled.get_export_index(name);
            found.ok_or_else(|| HostFault::Engine(format!("no export {name}")))
        };
        let calls =
            Calls { buf: export("dsm_buf")?, evaluate: export("dsm_evaluate")?, view: export("dsm_view")? };
        let (memory, depth) = (compiled.get_export_index("memory"), export(meter::DEPTH_EXPORT)?);
        let pre = linker.instantiate_pre(&compiled).map_err(engine)?;
        let prepared = Prepared { pre, memory, depth, data_bytes: facts.data_bytes };
        Ok(Profiler { module, prepared, calls, names: profile::names(wasm) })
    }

    /// Runs one call of a module that tells where its fuel goes, and the same call of the module as it is.
    ///
    /// # Errors
    /// [`HostFault`], also if the two do not come to the same end.
    pub fn profile_call(
        &self,
        profiler: &Profiler,
        call: &dsm_abi::Call,
        state: &State,
        foreign: &[State],
    ) -> Result<Profile, HostFault> {
        let frame = match call {
            dsm_abi::Call::Evaluate(input) => dsm_abi::encode(input),
            dsm_abi::Call::View(input) => dsm_abi::encode(input),
        };
        let length = i32::try_from(frame.len()).ok().filter(|_| frame.len() <= limit::INPUT_BYTES_MAX);
        let length = length.ok_or(HostFault::InputTooLong { bytes: frame.len() })?;
        let run_of = |prepared: &Prepared, calls: &Calls, tracked: bool| {
            let mut run =
                self.start(prepared, state, foreign, FUEL_LIMIT_MAX).map_err(|stop| match stop {
                    Stop::Host(fault) => fault,
                    Stop::Policy(fault) => HostFault::Engine(format!("its instance cannot start: {fault}")),
                })?;
            let left = run.fuel_left();
            run.store.data_mut().tracker = tracked.then(|| Tracker::new(left));
            let export = match call {
                dsm_abi::Call::Evaluate(_) => &calls.evaluate,
                dsm_abi::Call::View(_) => &calls.view,
            };
            let result = run.exchange(&calls.buf, export, &frame, length, |bytes| Ok(bytes.to_vec()));
            let result = run.settle(result)?;
            let (fuel, left) = (run.fuel_used(&result), run.fuel_left());
            let mut tracker = run.store.data_mut().tracker.take().unwrap_or_default();
            if tracked {
                tracker.end(left);
            }
            Ok::<_, HostFault>((result, fuel, tracker))
        };
        let (profiled, _, tracker) = run_of(&profiler.prepared, &profiler.calls, true)?;
        let module = &profiler.module;
        let (result, fuel, _) = run_of(&module.prepared, &module.calls, false)?;
        if result != profiled {
            return Err(HostFault::Engine("the profiled module comes to another end".into()));
        }
        Ok(tracker.profile(&profiler.names, fuel, profiler.prepared.data_bytes))
    }

    fn prepare(&self, wasm: &[u8], exports: Exports) -> Result<Prepared, AdmitError> {
        let facts = gate::examine(wasm, exports).map_err(|findings| AdmitError::Refused { findings })?;
        let help = "report this module to the makers of DSM";
        let metered = meter::instrument(wasm, &facts).map_err(|error| refused("meter", error, help))?;
        let module = match &self.compiler {
            Some(program) => self.compile_in_child(program, &metered)?,
            None => self.compile_here(&metered)?,
        };
        if compiled_bytes(&module) > COMPILED_BYTES_MAX {
            return Err(refused(
                "compile",
                "its machine code is too large".into(),
                "make the module smaller",
            ));
        }
        let depth = module.get_export_index(meter::DEPTH_EXPORT);
        let depth = depth.ok_or_else(|| refused("meter", "no depth meter".into(), help))?;
        let memory = module.get_export_index("memory");
        let pre = self.linker.instantiate_pre(&module);
        let pre = pre.map_err(|error| refused("link", gate::escaped(&format!("{error:#}")), help))?;
        Ok(Prepared { pre, memory, depth, data_bytes: facts.data_bytes })
    }

    fn compile_here(&self, metered: &[u8]) -> Result<wasmtime::Module, AdmitError> {
        let help = "report this module to the makers of DSM";
        catch_unwind(AssertUnwindSafe(|| wasmtime::Module::from_binary(&self.wasmtime, metered)))
            .map_err(|_| refused("compile", "the compiler gave up".into(), help))?
            .map_err(|error| refused("compile", gate::escaped(&format!("{error:#}")), help))
    }

    #[allow(unsafe_code)]
    fn compile_in_child(&self, program: &Path, metered: &[u8]) -> Result<wasmtime::Module, AdmitError> {
        let host = |reason: String| AdmitError::Host(HostFault::Engine(reason));
        let mut key = [0; 32];
        dsm_crypto::fill_random(&mut key).map_err(|error| host(error.to_string()))?;
        let artifact = compiler::compile(program, metered, key).map_err(|error| match error {
            CompileError::GaveUp(reason) => {
                refused("compile", gate::escaped(&reason), "make the module smaller or simpler")
            }
            CompileError::Io(_) | CompileError::Forged => host(error.to_string()),
        })?;
        // SAFETY: the bytes carry a MAC under a key that only the child process of this very program was given, over
        // a pipe that nobody else holds; they are what `precompile` of this version returned there.
        unsafe { wasmtime::Module::deserialize(&self.wasmtime, &artifact) }
            .map_err(|error| host(format!("{error:#}")))
    }

    fn describe(
        &self,
        prepared: &Prepared,
        calls: &Calls,
        describe: &ModuleExport,
    ) -> Result<(Description, u64), Stop> {
        let mut run = self.start(prepared, &empty_state(), &[], FUEL_LIMIT_DEFAULT)?;
        run.buffer(&calls.buf, PROBE_BUFFER_BYTES)?;
        let packed = run.invoke::<(), i64>(describe, ())?;
        let description = output::description(run.output(packed, limit::DESCRIPTION_BYTES_MAX)?)?;
        Ok((description, run.fuel_limit.saturating_sub(run.fuel_left())))
    }

    #[expect(clippy::too_many_arguments, reason = "the two public calls differ in export and reading only")]
    #[expect(clippy::type_complexity, reason = "taken apart at once by the two callers")]
    fn call<R>(
        &self,
        module: &Module,
        export: &ModuleExport,
        frame: &[u8],
        state: &State,
        foreign: &[State],
        fuel_limit: u64,
        read: fn(&[u8]) -> Result<R, Fault>,
    ) -> Result<(Result<R, Fault>, u64, Vec<Note>), HostFault> {
        let length = i32::try_from(frame.len()).ok().filter(|_| frame.len() <= limit::INPUT_BYTES_MAX);
        let length = length.ok_or(HostFault::InputTooLong { bytes: frame.len() })?;
        if module.profile != self.profile {
            return Err(HostFault::OtherProfile);
        }
        let declared = module.description.foreign_reads.len();
        if declared != foreign.len() {
            return Err(HostFault::ForeignStates { declared, supplied: foreign.len() });
        }
        let mut run = match self.start(&module.prepared, state, foreign, fuel_limit) {
            Ok(run) => run,
            Err(Stop::Policy(fault)) => return Ok((Err(fault), fuel_limit.min(FUEL_LIMIT_MAX), Vec::new())),
            Err(Stop::Host(fault)) => return Err(fault),
        };
        let result = run.exchange(&module.calls.buf, export, frame, length, read);
        let result = run.settle(result)?;
        let fuel = run.fuel_used(&result);
        Ok((result, fuel, core::mem::take(&mut run.store.data_mut().notes)))
    }

    /// A fresh instance with `fuel_limit` units of fuel, less one for each byte of data that it starts with.
    fn start(
        &self,
        prepared: &Prepared,
        state: &State,
        foreign: &[State],
        fuel_limit: u64,
    ) -> Result<Run, Stop> {
        let fuel_limit = fuel_limit.min(FUEL_LIMIT_MAX);
        let fuel = fuel_limit.checked_sub(prepared.data_bytes).ok_or(Fault::Fuel)?;
        let call = Call {
            state: Arc::clone(state),
            foreign: foreign.to_vec(),
            crypto: Arc::clone(&self.crypto),
            memory: None,
            reads: 0,
            notes: Vec::new(),
            tracker: None,
        };
        let mut store = Store::new(&self.wasmtime, call);
        store.limiter(|call| call);
        store.set_epoch_deadline(self.watchdog_ticks);
        let engine = |error: wasmtime::Error| Stop::Host(HostFault::Engine(format!("{error:#}")));
        // Where pages are not mapped copy-on-write, initialisation itself costs fuel: it gets its own.
        store.set_fuel(FUEL_LIMIT_MAX).map_err(engine)?;
        let instance = prepared.pre.instantiate(&mut store).map_err(|error| {
            Stop::Host(if error.is::<PoolConcurrencyLimitError>() {
                HostFault::Busy
            } else {
                HostFault::Allocation(format!("{error:#}"))
            })
        })?;
        store.set_fuel(fuel).map_err(engine)?;
        let memory = prepared.memory.as_ref().and_then(|index| instance.get_module_export(&mut store, index));
        store.data_mut().memory = memory.and_then(Extern::into_memory);
        Ok(Run { store, instance, depth: prepared.depth, fuel_limit })
    }
}

impl Run {
    /// Gives the policy `frame` and reads its answer.
    fn exchange<R>(
        &mut self,
        buf: &ModuleExport,
        export: &ModuleExport,
        frame: &[u8],
        length: i32,
        read: fn(&[u8]) -> Result<R, Fault>,
    ) -> Result<R, Stop> {
        let (memory, range) = self.buffer(buf, length)?;
        memory.data_mut(&mut self.store)[range].copy_from_slice(frame);
        let packed = self.invoke::<i32, i64>(export, length)?;
        Ok(read(self.output(packed, limit::OUTPUT_BYTES_MAX)?)?)
    }

    /// The range of memory where the policy wants `length` bytes of input.
    fn buffer(&mut self, buf: &ModuleExport, length: i32) -> Result<(Memory, core::ops::Range<usize>), Stop> {
        let start = self.invoke::<i32, i32>(buf, length)?;
        let memory = self.store.data().memory.ok_or(Fault::BadBuffer)?;
        let range = range(memory.data_size(&self.store), start, length).ok().filter(|_| start != 0);
        Ok((memory, range.ok_or(Fault::BadBuffer)?))
    }

    fn function<P, R>(&mut self, index: &ModuleExport) -> Result<wasmtime::TypedFunc<P, R>, Stop>
    where
        P: wasmtime::WasmParams,
        R: wasmtime::WasmResults,
    {
        let found = self.instance.get_module_export(&mut self.store, index).and_then(Extern::into_func);
        let found = found.ok_or_else(|| Stop::Host(HostFault::Engine("an export is gone".into())))?;
        found.typed::<P, R>(&self.store).map_err(|error| Stop::Host(HostFault::Engine(format!("{error:#}"))))
    }

    fn invoke<P, R>(&mut self, index: &ModuleExport, params: P) -> Result<R, Stop>
    where
        P: wasmtime::WasmParams,
        R: wasmtime::WasmResults,
    {
        let function = self.function::<P, R>(index)?;
        let value = function.call(&mut self.store, params).map_err(|error| self.classify(&error))?;
        // Fuel is looked at on entry and in loops, so a straight line can end below zero without a trap.
        if self.fuel_left() == 0 { Err(Fault::Fuel.into()) } else { Ok(value) }
    }

    fn output(&self, packed: i64, bytes_max: usize) -> Result<&[u8], Fault> {
        let memory = self.store.data().memory.ok_or(Fault::BadOutput("there is no memory"))?;
        let (start, length) = ((packed >> 32) as i32, packed as i32);
        if length.cast_unsigned() as usize > bytes_max {
            return Err(Fault::BadOutput("the output is too long"));
        }
        let bytes = memory.data(&self.store);
        let range = range(bytes.len(), start, length)
            .map_err(|_| Fault::BadOutput("the output is outside memory"))?;
        Ok(&bytes[range])
    }

    /// Whose fault an error is.
    fn classify(&mut self, error: &wasmtime::Error) -> Stop {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return Stop::Policy(*fault);
        }
        if let Some(fault) = error.downcast_ref::<HostFault>() {
            return Stop::Host(fault.clone());
        }
        let fault = match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Fault::Fuel,
            Some(Trap::UnreachableCodeReached) if self.depth_left() < 0 => Fault::Depth,
            Some(Trap::UnreachableCodeReached) => Fault::Trap("unreachable"),
            Some(Trap::MemoryOutOfBounds) => Fault::Trap("memory_bounds"),
            Some(Trap::TableOutOfBounds) => Fault::Trap("table_bounds"),
            Some(Trap::IndirectCallToNull) => Fault::Trap("null_function"),
            Some(Trap::BadSignature) => Fault::Trap("function_type"),
            Some(Trap::IntegerOverflow) => Fault::Trap("integer_overflow"),
            Some(Trap::IntegerDivisionByZero) => Fault::Trap("division_by_zero"),
            Some(Trap::Interrupt) => return Stop::Host(HostFault::Watchdog),
            Some(Trap::StackOverflow) => return Stop::Host(HostFault::NativeStack),
            _ => return Stop::Host(HostFault::Engine(format!("{error:#}"))),
        };
        Stop::Policy(fault)
    }

    /// What the depth meter has left; below zero only if it ended the call.
    fn depth_left(&mut self) -> i32 {
        let global =
            self.instance.get_module_export(&mut self.store, &self.depth).and_then(Extern::into_global);
        global.and_then(|global| global.get(&mut self.store).i32()).unwrap_or(0)
    }

    fn settle<R>(&self, result: Result<R, Stop>) -> Result<Result<R, Fault>, HostFault> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(Stop::Policy(fault)) => Ok(Err(fault)),
            Err(Stop::Host(fault)) => Err(fault),
        }
    }

    fn fuel_left(&self) -> u64 {
        self.store.get_fuel().expect("fuel is on in every engine's settings")
    }

    /// What is billed. The engine keeps its count in a register and writes it down at calls and returns, so a
    /// trap in between loses what was used since then: such a trap is billed the whole limit.
    fn fuel_used<R>(&self, result: &Result<R, Fault>) -> u64 {
        match result {
            Err(Fault::Trap("unreachable")) => self.fuel_limit - self.fuel_left(),
            Err(Fault::Fuel | Fault::Memory | Fault::Trap(_)) => self.fuel_limit,
            _ => self.fuel_limit - self.fuel_left(),
        }
    }
}

impl ResourceLimiter for Call {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let most = (PAGES_MAX * PAGE_BYTES) as usize;
        if desired > maximum.map_or(most, |maximum| maximum.min(most)) {
            // Answering -1 would leave the reaction to the policy; a fault is one outcome for all.
            return Err(wasmtime::Error::new(Fault::Memory));
        }
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(HostFault::Allocation(format!("{error:#}"))))
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= TABLE_ELEMENTS_MAX)
    }
}

/// Encodes `input` into this thread's frame and hands the bytes to `call`.
fn with_frame<T: borsh::BorshSerialize, R>(
    input: &T,
    call: impl FnOnce(&[u8]) -> Result<R, HostFault>,
) -> Result<R, HostFault> {
    FRAME.with(|frame| {
        // A nested evaluation, from inside a state's `get`, finds the frame in use and has its own.
        let Ok(mut frame) = frame.try_borrow_mut() else {
            return call(&dsm_abi::encode(input));
        };
        frame.clear();
        borsh::to_writer(&mut *frame, input).map_err(|error| HostFault::Engine(error.to_string()))?;
        call(&frame)
    })
}

fn empty_state() -> State {
    Arc::new(std::collections::BTreeMap::<Vec<u8>, Vec<u8>>::new())
}

fn refused(code: &'static str, reason: String, help: &str) -> AdmitError {
    AdmitError::Refused {
        findings: vec![Finding { code, offset: None, function: None, reason, help: help.into() }],
    }
}

fn compiled_bytes(module: &wasmtime::Module) -> usize {
    let image = module.image_range();
    image.end as usize - image.start as usize
}

/// The range of `length` bytes at `start`, both unsigned 32-bit numbers in WASM's `i32`.
fn range(memory_bytes: usize, start: i32, length: i32) -> Result<core::ops::Range<usize>, Fault> {
    let start = start.cast_unsigned() as usize;
    let end = start + length.cast_unsigned() as usize;
    if end <= memory_bytes { Ok(start..end) } else { Err(Fault::BadPointer) }
}

/// The machine code of an instrumented module, for a process that only compiles: the settings are the engine's but
/// for the pool, which would reserve address space for instances that this process never makes.
pub(super) fn precompile(metered: &[u8]) -> Result<Vec<u8>, String> {
    let mut settings = settings(&EngineConfig::default());
    settings.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    let engine = wasmtime::Engine::new(&settings).map_err(|error| format!("{error:#}"))?;
    engine.precompile_module(metered).map_err(|error| format!("{error:#}"))
}

fn settings(config: &EngineConfig) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(config.instances)
        .total_memories(config.instances)
        .total_tables(config.instances)
        .max_unused_warm_slots(config.instances)
        .max_memories_per_module(1)
        .max_tables_per_module(1)
        .max_memory_size((PAGES_MAX * PAGE_BYTES) as usize)
        .table_elements(TABLE_ELEMENTS_MAX as usize)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::No);
    let mut settings = Config::new();
    settings
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(gate::FEATURES, true)
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .consume_fuel(true)
        .operator_cost(cost_table())
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .memory_init_cow(true)
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .wasm_backtrace_max_frames(None)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    settings
}

/// Fuel for each instruction, version 1: one, and more for what takes a processor longer. Worst ns per fuel
/// over many bodies is measured in `tests/engine/pricing.rs`.
fn cost_table() -> OperatorCost {
    let mut cost = OperatorCost::new();
    for division in [
        &mut cost.I32DivS,
        &mut cost.I32DivU,
        &mut cost.I32RemS,
        &mut cost.I32RemU,
        &mut cost.I64DivS,
        &mut cost.I64DivU,
        &mut cost.I64RemS,
        &mut cost.I64RemU,
    ] {
        *division = 6;
    }
    for load in [
        &mut cost.I32Load,
        &mut cost.I64Load,
        &mut cost.I32Load8S,
        &mut cost.I32Load8U,
        &mut cost.I32Load16S,
        &mut cost.I32Load16U,
        &mut cost.I64Load8S,
        &mut cost.I64Load8U,
        &mut cost.I64Load16S,
        &mut cost.I64Load16U,
        &mut cost.I64Load32S,
        &mut cost.I64Load32U,
    ] {
        *load = 4;
    }
    for store in [
        &mut cost.I32Store,
        &mut cost.I64Store,
        &mut cost.I32Store8,
        &mut cost.I32Store16,
        &mut cost.I64Store8,
        &mut cost.I64Store16,
        &mut cost.I64Store32,
    ] {
        *store = 2;
    }
    for bulk in [
        &mut cost.MemoryFill,
        &mut cost.MemoryCopy,
        &mut cost.MemoryInit,
        &mut cost.TableCopy,
        &mut cost.TableInit,
    ] {
        *bulk = 10;
    }
    cost.Call = 10;
    cost.CallIndirect = 16;
    cost.MemoryGrow = 255;
    cost.variable.memory_grow_per_page = 255;
    cost
}

/// Everything that a verdict or its fuel depends on besides the module and its input.
fn profile_text() -> String {
    let limits = [
        limit::STATE_KEY_BYTES_MAX,
        limit::STATE_VALUE_BYTES_MAX,
        limit::STATE_READS_MAX as usize,
        limit::STATE_WRITES_MAX,
        limit::EFFECTS_MAX,
        limit::OUTPUT_BYTES_MAX,
        limit::DESCRIPTION_BYTES_MAX,
        limit::INPUT_BYTES_MAX,
        limit::REASON_BYTES_MAX,
        limit::FIELD_BYTES_MAX,
        limit::HINT_BYTES_MAX,
        limit::TOPIC_BYTES_MAX,
        limit::EVENT_BYTES_MAX,
        limit::VALUES_MAX,
    ];
    format!(
        "DSM/engine-profile abi={ABI_VERSION} wasmtime={WASMTIME_VERSION} compiler=cranelift opt=speed \
         costs={:?} gate=({}) meter=({} {}) fuel={FUEL_LIMIT_MAX} compiled={COMPILED_BYTES_MAX} \
         imports={:?} limits={limits:?}",
        cost_table(),
        gate::rules(),
        meter::PASS_VERSION,
        meter::DEPTH_BUDGET,
        import::IMPORTS.map(|i| (i.name, i.params, i.returns, i.fuel, i.fuel_per_byte)),
    )
}

/// A thread that moves the epoch on, so that evaluations can be ended by wall time. Ends when dropped.
struct Watchdog {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watchdog {
    fn start(engine: wasmtime::Engine) -> std::io::Result<Watchdog> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("policy-watchdog".into()).spawn(move || {
            let (stopped, wake) = &*seen;
            let mut stopped = stopped.lock();
            while !*stopped {
                wake.wait_for(&mut stopped, TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Watchdog { stop, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread runs nothing that panics; if it did, there is nothing left to stop.
            let _ended = thread.join();
        }
    }
}

fn link(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::new(engine);
    let dsm1 = import::MODULE;
    linker.func_wrap(
        dsm1,
        import::STATE_GET.name,
        |mut caller: Caller<'_, Call>, key, key_len, out, cap| {
            guarded(&mut caller, |caller| {
                let own = |call: &Call| Ok(Arc::clone(&call.state));
                get(caller, import::STATE_GET, own, (key, key_len), (out, cap))
            })
        },
    )?;
    linker.func_wrap(
        dsm1,
        import::FOREIGN_GET.name,
        |mut caller: Caller<'_, Call>, read: i32, key, key_len, out, cap| {
            guarded(&mut caller, |caller| {
                let declared = |call: &Call| {
                    let found = call.foreign.get(read.cast_unsigned() as usize);
                    found.map(Arc::clone).ok_or(Fault::UndeclaredForeignRead)
                };
                get(caller, import::FOREIGN_GET, declared, (key, key_len), (out, cap))
            })
        },
    )?;
    linker.func_wrap(
        dsm1,
        import::STATE_SCAN.name,
        |mut caller: Caller<'_, Call>, prefix, prefix_len, after, after_len, limit, out, cap| {
            guarded(&mut caller, |caller| {
                scan(caller, (prefix, prefix_len), (after, after_len), limit, (out, cap))
            })
        },
    )?;
    linker.func_wrap(
        dsm1,
        import::HASH.name,
        |mut caller: Caller<'_, Call>, algorithm, input, length, out| {
            guarded(&mut caller, |caller| hash(caller, algorithm, (input, length), out))
        },
    )?;
    linker.func_wrap(
        dsm1,
        import::VERIFY.name,
        |mut caller: Caller<'_, Call>,
         algorithm,
         key,
         key_len,
         message,
         message_len,
         signature,
         signature_len| {
            let signature = (signature, signature_len);
            guarded(&mut caller, |caller| {
                verify(caller, algorithm, (key, key_len), (message, message_len), signature)
            })
        },
    )?;
    linker.func_wrap(dsm1, import::NOTE.name, |mut caller: Caller<'_, Call>, code, text, length| {
        guarded(&mut caller, |caller| note(caller, code, (text, length)))
    })?;
    Ok(linker)
}

/// The two functions of a profiled module.
fn track(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    linker.func_wrap(profile::MODULE, "enter", |mut caller: Caller<'_, Call>, function: i32| {
        let left = caller.get_fuel()?;
        if let Some(tracker) = &mut caller.data_mut().tracker {
            tracker.enter(function.cast_unsigned(), left);
        }
        Ok::<(), wasmtime::Error>(())
    })?;
    linker.func_wrap(profile::MODULE, "leave", |mut caller: Caller<'_, Call>| {
        let left = caller.get_fuel()?;
        if let Some(tracker) = &mut caller.data_mut().tracker {
            tracker.leave(left);
        }
        Ok::<(), wasmtime::Error>(())
    })?;
    Ok(())
}

/// A pointer and a length, as the policy gives them.
type Span = (i32, i32);

/// Runs a host function so that neither a fault nor a panic in it leaves it other than as this call's fault.
fn guarded<R>(
    caller: &mut Caller<'_, Call>,
    body: impl FnOnce(&mut Caller<'_, Call>) -> Result<R, Fault>,
) -> wasmtime::Result<R> {
    let result = catch_unwind(AssertUnwindSafe(|| body(caller)));
    result.unwrap_or(Err(Fault::HostPanic)).map_err(wasmtime::Error::new)
}

/// Charges one call of `import` that handles `spans` bytes of input, before the work is done.
fn bill(caller: &mut Caller<'_, Call>, import: import::Import, spans: &[Span]) -> Result<(), Fault> {
    let bytes: u64 = spans.iter().map(|(_, length)| u64::from(length.cast_unsigned())).sum();
    charge(caller, import.fuel + import.fuel_per_byte * bytes)
}

fn charge(caller: &mut Caller<'_, Call>, fuel: u64) -> Result<(), Fault> {
    let left = caller.get_fuel().expect("fuel is on in every engine's settings");
    let rest = left.checked_sub(fuel);
    caller.set_fuel(rest.unwrap_or(0)).expect("fuel is on in every engine's settings");
    rest.map(|_| ()).ok_or(Fault::Fuel)
}

fn memory(caller: &Caller<'_, Call>) -> Result<Memory, Fault> {
    caller.data().memory.ok_or(Fault::BadPointer)
}

fn slice(bytes: &[u8], (start, length): Span) -> Result<&[u8], Fault> {
    Ok(&bytes[range(bytes.len(), start, length)?])
}

/// Writes `value` into the space `out`, whole or not at all.
fn put(bytes: &mut [u8], (start, cap): Span, value: &[u8]) -> Result<i32, Fault> {
    let space = range(bytes.len(), start, cap)?;
    let space = bytes[space].get_mut(..value.len()).ok_or(Fault::OutTooSmall)?;
    space.copy_from_slice(value);
    Ok(value.len() as i32) // fits: cap is at most the size of memory, 4 MiB
}

fn count_reads(call: &mut Call, reads: u32) -> Result<(), Fault> {
    call.reads = call.reads.saturating_add(reads);
    if call.reads > limit::STATE_READS_MAX { Err(Fault::ReadsExceeded) } else { Ok(()) }
}

fn get(
    caller: &mut Caller<'_, Call>,
    import: import::Import,
    state: impl FnOnce(&Call) -> Result<State, Fault>,
    key: Span,
    out: Span,
) -> Result<i32, Fault> {
    bill(caller, import, &[key])?;
    let memory = memory(caller)?;
    let (bytes, call) = memory.data_and_store_mut(&mut *caller);
    count_reads(call, 1)?;
    let state = state(call)?;
    let Some(value) = state.get(slice(bytes, key)?) else {
        range(bytes.len(), out.0, out.1)?;
        return Ok(-1);
    };
    let length = put(bytes, out, value)?;
    charge(caller, import.fuel_per_byte * u64::from(length.cast_unsigned()))?;
    Ok(length)
}

fn scan(
    caller: &mut Caller<'_, Call>,
    prefix: Span,
    after: Span,
    limit: i32,
    out: Span,
) -> Result<i32, Fault> {
    bill(caller, import::STATE_SCAN, &[prefix, after])?;
    let memory = memory(caller)?;
    let (bytes, call) = memory.data_and_store_mut(&mut *caller);
    // One more than may be read, so that reading too much shows.
    let left = limit::STATE_READS_MAX - call.reads;
    let limit = limit.cast_unsigned().min(left + 1) as usize;
    let state = Arc::clone(&call.state);
    let entries = state.scan(slice(bytes, prefix)?, slice(bytes, after)?, limit);
    count_reads(call, (entries.len() as u32).max(1))?;
    let length = put(bytes, out, &dsm_abi::encode(&entries))?;
    charge(caller, import::STATE_SCAN.fuel_per_byte * u64::from(length.cast_unsigned()))?;
    Ok(length)
}

fn hash(caller: &mut Caller<'_, Call>, algorithm: i32, input: Span, out: i32) -> Result<(), Fault> {
    bill(caller, import::HASH, &[input])?;
    let memory = memory(caller)?;
    let (bytes, call) = memory.data_and_store_mut(&mut *caller);
    let digest = call.crypto.hash(algorithm.cast_unsigned(), slice(bytes, input)?);
    put(bytes, (out, 32), &digest.ok_or(Fault::UnknownAlgorithm)?)?;
    Ok(())
}

fn verify(
    caller: &mut Caller<'_, Call>,
    algorithm: i32,
    key: Span,
    message: Span,
    signature: Span,
) -> Result<i32, Fault> {
    bill(caller, import::VERIFY, &[key, message, signature])?;
    let memory = memory(caller)?;
    let (bytes, call) = memory.data_and_store_mut(&mut *caller);
    let (key, message, signature) = (slice(bytes, key)?, slice(bytes, message)?, slice(bytes, signature)?);
    let verified = call.crypto.verify(algorithm.cast_unsigned(), key, message, signature);
    Ok(i32::from(verified.ok_or(Fault::UnknownAlgorithm)?))
}

fn note(caller: &mut Caller<'_, Call>, code: i32, text: Span) -> Result<(), Fault> {
    bill(caller, import::NOTE, &[text])?;
    let memory = memory(caller)?;
    let (bytes, call) = memory.data_and_store_mut(&mut *caller);
    let text = slice(bytes, text)?;
    if call.notes.len() < limit::NOTES_MAX {
        let text = String::from_utf8_lossy(&text[..text.len().min(limit::NOTE_BYTES_MAX)]);
        call.notes.push(Note { code: code.cast_unsigned(), text: gate::escaped(&text) });
    }
    Ok(())
}
