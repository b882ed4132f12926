//! Static admission: what a module must look like before anything compiles or runs it.
//!
//! Every limit is a count that is checked before the thing counted is read, so hostile bytes cost no more than
//! one pass over at most [`limit::MODULE_BYTES_MAX`] bytes. All findings come back at once, because an author
//! who sees one at a time gives up. Left out: everything that needs a compiler or a run (`runtime`), and the
//! depth meter (`meter`), which uses the [`Frame`]s found here.

use dsm_abi::{import, limit};
use wasmparser::{
    BlockType, CompositeInnerType, DataKind, ElementItems, ElementKind, Encoding, ExternalKind,
    FuncToValidate, FuncType, FunctionBody, KnownCustom, Name, Operator, Parser, Payload, TypeRef, ValType,
    ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

/// The features of WASM that a policy may use: what `wasm32v1-none` emits, and bulk memory, which LLVM uses
/// for copies. Floats are off because NaN bits differ between processors.
pub(super) const FEATURES: WasmFeatures =
    WasmFeatures::MUTABLE_GLOBAL.union(WasmFeatures::SIGN_EXTENSION).union(WasmFeatures::BULK_MEMORY);

/// Prefix of the export names that the meter keeps for itself.
pub(super) const RESERVED_PREFIX: &str = "dsm:";
/// Bytes of a page of WASM memory.
pub(super) const PAGE_BYTES: u64 = 65_536;
/// Pages of memory at the start: a fresh instance then costs no system call.
pub(super) const PAGES_INITIAL_MAX: u64 = 4;
/// Pages of memory ever: 4 MiB.
pub(super) const PAGES_MAX: u64 = 64;
/// Elements of the one table.
pub(super) const TABLE_ELEMENTS_MAX: u64 = 1_024;

// The other counts keep compile time bounded (worst case measured in `tests/engine/corpus.rs`).
const IMPORTS_MAX: u32 = 32;
const EXPORTS_MAX: u32 = 64;
const TYPES_MAX: u32 = 256;
const PARAMS_MAX: usize = 16;
const FUNCTIONS_MAX: u32 = 2_000;
const GLOBALS_MAX: u32 = 64;
const DATA_SEGMENTS_MAX: u32 = 256;
const ELEMENT_SEGMENTS_MAX: u32 = 64;
const CUSTOM_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;
const LOCALS_MAX: u32 = 128;
const LOCALS_ALL_MAX: u32 = 10_000;
const HEIGHT_MAX: u32 = 256;
const NESTING_MAX: u32 = 128;
const BR_TARGETS_ALL_MAX: u32 = 4_096;
const BLOCKS_BY_LOCALS_MAX: u64 = 250_000;
const BLOCKS_BY_LOCALS_ALL_MAX: u64 = 1_000_000;
const CUSTOM_ALLOWED: [&str; 3] = ["name", "producers", "target_features"];
// More findings than this tell an author nothing new.
const FINDINGS_MAX: usize = 64;
// Bytes of a name that a message repeats.
const NAME_SHOWN_MAX: usize = 96;

/// The gate's rules as text, part of the engine profile: other limits are another profile.
pub(super) fn rules() -> String {
    format!(
        "features={:#x} bytes={} initial={PAGES_INITIAL_MAX} pages={PAGES_MAX} table={TABLE_ELEMENTS_MAX} \
         imports={IMPORTS_MAX} exports={EXPORTS_MAX} types={TYPES_MAX} params={PARAMS_MAX} \
         functions={FUNCTIONS_MAX} globals={GLOBALS_MAX} data={DATA_SEGMENTS_MAX} elem={ELEMENT_SEGMENTS_MAX} \
         custom={CUSTOM_BYTES_MAX} body={BODY_BYTES_MAX} locals={LOCALS_MAX}/{LOCALS_ALL_MAX} \
         height={HEIGHT_MAX} nesting={NESTING_MAX} br={BR_TARGETS_ALL_MAX} \
         blocks={BLOCKS_BY_LOCALS_MAX}/{BLOCKS_BY_LOCALS_ALL_MAX}",
        FEATURES.bits(),
        limit::MODULE_BYTES_MAX,
    )
}

/// One reason why a module is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A stable word, such as `float` or `import_unknown`.
    pub code: &'static str,
    /// Where in the module's bytes, if the finding has a place.
    pub offset: Option<usize>,
    /// The function concerned, from the name section if there is one, escaped for display.
    pub function: Option<String>,
    /// What is wrong, for people. Names from the module are escaped.
    pub reason: String,
    /// The way out, for people.
    pub help: String,
}

impl core::fmt::Display for Finding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)?;
        if let Some(function) = &self.function {
            write!(f, " in function {function}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset:#x}")?;
        }
        write!(f, " ({})", self.help)
    }
}

/// Which exports a module must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exports {
    /// Those of a policy.
    Policy,
    /// None: the module is only probed. It may start with as much memory as a policy may grow to, and declare
    /// a table that could grow if there were an instruction for it: both rules are for the speed of a verdict.
    Any,
}

/// What one function may put on the stack, for the meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Frame {
    /// Parameters.
    pub(super) params: u32,
    /// Locals besides the parameters.
    pub(super) locals: u32,
    /// The greatest height of the operand stack.
    pub(super) height: u32,
    /// Bytes of the body.
    pub(super) body_bytes: u32,
}

/// What the gate found out about a module that passes.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The functions that the module defines, in order.
    pub(super) frames: Vec<Frame>,
    /// Globals that the module defines.
    pub(super) globals: u32,
    /// Bytes of all data segments.
    pub(super) data_bytes: u64,
}

/// Checks `wasm` by rules 1 to 7 of the admission checks.
///
/// # Errors
/// Everything that is wrong with it, at least one finding.
pub(super) fn examine(wasm: &[u8], exports: Exports) -> Result<Facts, Vec<Finding>> {
    let mut gate = Gate::default();
    if gate.check_frame(wasm) {
        gate.walk(wasm);
        gate.check_floats();
        if !gate.aborted && gate.float_offset.is_none() {
            gate.check_memory_and_segments(exports);
            gate.check_exports(exports);
            gate.check_totals();
        }
    }
    gate.finish()
}

/// A function's name as its author wrote it, from the name that the compiler makes of it, and escaped. What it does not
/// understand stays as it is.
pub(super) fn function_name(name: &str) -> String {
    escaped(&written(name).unwrap_or_else(|| name.to_owned()))
}

/// `_ZN3cap8in_limit17h0123456789abcdefE` as `cap::in_limit`.
fn written(name: &str) -> Option<String> {
    const SIGNS: [(&str, &str); 10] = [
        ("$LT$", "<"),
        ("$GT$", ">"),
        ("$u20$", " "),
        ("$RF$", "&"),
        ("$LP$", "("),
        ("$RP$", ")"),
        ("$C$", ","),
        ("$u7b$", "{"),
        ("$u7d$", "}"),
        ("..", "::"),
    ];
    let mut rest = name.strip_prefix("_ZN")?;
    let mut parts = Vec::new();
    while !rest.starts_with('E') {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let end = digits.checked_add(rest.get(..digits)?.parse().ok()?)?;
        parts.push(rest.get(digits..end)?);
        rest = &rest[end..];
    }
    let hash = |part: &str| part.len() == 17 && part.starts_with('h');
    parts.pop_if(|part| hash(part));
    let part = |part: &str| {
        let part = part.strip_prefix('_').filter(|part| part.starts_with('$')).unwrap_or(part);
        SIGNS.iter().fold(part.to_owned(), |part, (sign, text)| part.replace(sign, text))
    };
    Some(parts.into_iter().map(part).collect::<Vec<_>>().join("::"))
}

/// Text from a module, safe to show: printable ASCII stays, the rest is written as escapes, cut when long.
pub(super) fn escaped(name: &str) -> String {
    let mut shown = String::new();
    for c in name.chars() {
        if shown.len() >= NAME_SHOWN_MAX {
            shown.push_str("...");
            break;
        }
        if (c.is_ascii_graphic() || c == ' ') && c != '\\' {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    shown
}

struct Draft {
    code: &'static str,
    offset: Option<usize>,
    function: Option<u32>,
    reason: String,
    help: &'static str,
}

struct ExportFound {
    name: String,
    kind: ExternalKind,
    index: u32,
}

#[derive(Default)]
struct Gate {
    facts: Facts,
    drafts: Vec<Draft>,
    /// Set where reading on would mean reading what a count has already refused.
    aborted: bool,
    types: Vec<FuncType>,
    /// Types with a floating-point value, and the offset of the first. The validator refuses them as a whole, so the
    /// rest of the module is only read, to find out which functions have such a type and who calls them.
    float_types: Vec<u32>,
    float_offset: Option<usize>,
    /// Bodies read without the validator.
    bodies: u32,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    imported: u32,
    global_mutable: Vec<bool>,
    memories: Vec<(u64, Option<u64>)>,
    tables: Vec<(u64, Option<u64>)>,
    exports: Vec<ExportFound>,
    /// Offset in the module, start in memory, length, for each data segment with a constant offset.
    data: Vec<(usize, u64, u64)>,
    /// The same for element segments.
    elements: Vec<(usize, u64, u64)>,
    /// For each function, the first function seen to call it.
    callers: Vec<Option<u32>>,
    names: Vec<(u32, String)>,
    locals: u32,
    br_targets: u32,
    blocks_by_locals: u64,
}

impl Gate {
    fn find(
        &mut self,
        code: &'static str,
        offset: impl Into<Option<usize>>,
        reason: String,
        help: &'static str,
    ) {
        self.find_in(code, offset.into(), None, reason, help);
    }

    fn find_in(
        &mut self,
        code: &'static str,
        offset: Option<usize>,
        function: Option<u32>,
        reason: String,
        help: &'static str,
    ) {
        if self.drafts.len() < FINDINGS_MAX {
            self.drafts.push(Draft { code, offset, function, reason, help });
        }
    }

    /// Refuses a count before what it counts is read. Reading cannot go on after that.
    fn count(&mut self, what: &'static str, found: u32, most: u32, offset: usize) -> bool {
        if found > most {
            self.find(
                "too_many",
                offset,
                format!("{found} {what}, at most {most} are allowed"),
                "make the module smaller",
            );
            self.aborted = true;
        }
        found <= most
    }

    fn check_frame(&mut self, wasm: &[u8]) -> bool {
        if wasm.len() > limit::MODULE_BYTES_MAX {
            let reason = format!("{} bytes, at most {} are allowed", wasm.len(), limit::MODULE_BYTES_MAX);
            self.find("size", None, reason, "build with opt-level \"z\", lto and without debug sections");
            return false;
        }
        if !wasm.starts_with(b"\0asm") {
            self.find(
                "magic",
                0,
                "this is not a WASM binary".into(),
                "give the .wasm file, not text or another format",
            );
            return false;
        }
        match wasm.get(4..8) {
            Some([1, 0, 0, 0]) => true,
            Some([_, _, 1, 0]) => {
                let help = "build a core module: target wasm32v1-none, no component tooling";
                self.find("component", 4, "this is a component, not a core module".into(), help);
                false
            }
            _ => {
                self.find(
                    "version",
                    4,
                    "the version is not 1".into(),
                    "build a core module of WASM version 1",
                );
                false
            }
        }
    }

    fn walk(&mut self, wasm: &[u8]) {
        let mut validator = Validator::new_with_features(FEATURES);
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = match payload {
                Ok(payload) => payload,
                Err(error) => return self.stop(&error),
            };
            if let Err(error) = self.check_payload(&payload) {
                return self.stop(&error);
            }
            if self.aborted {
                return;
            }
            if self.float_offset.is_some() {
                if let Payload::CodeSectionEntry(body) = &payload
                    && let Err(error) = self.read_calls(body)
                {
                    return self.stop(&error);
                }
                continue;
            }
            match validator.payload(&payload) {
                Ok(ValidPayload::Func(function, body)) => self.check_function(function, &body),
                Ok(_) => {}
                Err(error) => return self.stop(&error),
            }
        }
    }

    /// Records an error after which the rest of the module has no certain meaning.
    fn stop(&mut self, error: &wasmparser::BinaryReaderError) {
        let (code, help) = classify(&error.to_string());
        self.find(code, error.offset(), escaped(error.message()), help);
        self.aborted = true;
    }

    #[expect(
        clippy::collapsible_match,
        reason = "a guard that records a finding would be hidden in the pattern"
    )]
    fn check_payload(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } | Payload::End(_) => {}
            Payload::TypeSection(section) => return self.check_types(section),
            Payload::ImportSection(section) => return self.check_imports(section),
            Payload::FunctionSection(section) => {
                if self.count("functions", section.count(), FUNCTIONS_MAX, section.range().start) {
                    for type_index in section.clone() {
                        self.functions.push(type_index?);
                    }
                    self.callers = vec![None; self.functions.len()];
                }
            }
            Payload::TableSection(section) => {
                if self.count("tables", section.count(), 1, section.range().start) {
                    for table in section.clone() {
                        let ty = table?.ty;
                        self.tables.push((ty.initial, ty.maximum));
                    }
                }
            }
            Payload::MemorySection(section) => {
                if self.count("memories", section.count(), 1, section.range().start) {
                    for memory in section.clone() {
                        let memory = memory?;
                        self.memories.push((memory.initial, memory.maximum));
                    }
                }
            }
            Payload::GlobalSection(section) => {
                if self.count("globals", section.count(), GLOBALS_MAX, section.range().start) {
                    self.facts.globals = section.count();
                    for global in section.clone() {
                        self.global_mutable.push(global?.ty.mutable);
                    }
                }
            }
            Payload::ExportSection(section) => {
                if self.count("exports", section.count(), EXPORTS_MAX, section.range().start) {
                    for export in section.clone() {
                        let export = export?;
                        let (name, kind, index) = (export.name.to_owned(), export.kind, export.index);
                        self.exports.push(ExportFound { name, kind, index });
                    }
                }
            }
            Payload::StartSection { range, .. } => {
                let help =
                    "do the work in dsm_evaluate; the linker option --no-entry leaves the start function out";
                self.find("start", range.start, "a start function runs outside any limit".into(), help);
            }
            Payload::ElementSection(section) => return self.check_elements(section),
            Payload::DataSection(section) => return self.check_data(section),
            Payload::CustomSection(section) => self.check_custom(section),
            _ => {}
        }
        Ok(())
    }

    fn check_types(&mut self, section: &wasmparser::TypeSectionReader<'_>) -> wasmparser::Result<()> {
        if !self.count("types", section.count(), TYPES_MAX, section.range().start) {
            return Ok(());
        }
        for group in section.clone() {
            for (offset, ty) in group?.into_types_and_offsets() {
                let CompositeInnerType::Func(function) = ty.composite_type.inner else {
                    continue; // the validator refuses it: the feature is off
                };
                if function.params().len() > PARAMS_MAX {
                    let reason =
                        format!("{} parameters, at most {PARAMS_MAX} are allowed", function.params().len());
                    self.find("too_many", offset, reason, "pass a pointer to memory");
                    self.aborted = true;
                }
                let mut values = function.params().iter().chain(function.results());
                if values.any(|ty| matches!(ty, ValType::F32 | ValType::F64)) {
                    self.float_types.push(self.types.len() as u32);
                    self.float_offset.get_or_insert(offset);
                }
                self.types.push(function);
            }
        }
        Ok(())
    }

    fn check_imports(&mut self, section: &wasmparser::ImportSectionReader<'_>) -> wasmparser::Result<()> {
        if !self.count("imports", section.count(), IMPORTS_MAX, section.range().start) {
            return Ok(());
        }
        for import in section.clone().into_imports_with_offsets() {
            let (offset, found) = import?;
            let name = format!("{}.{}", escaped(found.module), escaped(found.name));
            let TypeRef::Func(type_index) = found.ty else {
                let help = "a policy has its own memory, table and globals";
                self.find("import_kind", offset, format!("import {name} is not a function"), help);
                continue;
            };
            self.functions.push(type_index);
            self.imported += 1;
            let known = import::IMPORTS
                .iter()
                .find(|known| found.module == import::MODULE && known.name == found.name);
            match (known, self.types.get(type_index as usize)) {
                (None, _) => {
                    let help =
                        "only the functions of module dsm1 exist; std, WASI and JavaScript glue do not";
                    self.find("import_unknown", offset, format!("unknown import {name}"), help);
                }
                (Some(known), Some(ty)) if !has_signature(ty, known) => {
                    let reason = format!("import {name} has another signature");
                    self.find("import_signature", offset, reason, known.doc);
                }
                _ => {} // an unknown type index is the validator's finding
            }
        }
        Ok(())
    }

    fn check_elements(&mut self, section: &wasmparser::ElementSectionReader<'_>) -> wasmparser::Result<()> {
        if !self.count("element segments", section.count(), ELEMENT_SEGMENTS_MAX, section.range().start) {
            return Ok(());
        }
        for element in section.clone() {
            let element = element?;
            let at = element.range.start;
            let length = match element.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            };
            match element.kind {
                ElementKind::Active { offset_expr, .. } => match constant(&offset_expr)? {
                    Some(start) => self.elements.push((at, start.into(), length.into())),
                    None => self.find(
                        "element",
                        at,
                        "an element segment's offset is not a constant".into(),
                        SEGMENT_HELP,
                    ),
                },
                ElementKind::Passive | ElementKind::Declared => {
                    self.find("element", at, "an element segment is not active".into(), SEGMENT_HELP);
                }
            }
        }
        Ok(())
    }

    fn check_data(&mut self, section: &wasmparser::DataSectionReader<'_>) -> wasmparser::Result<()> {
        if !self.count("data segments", section.count(), DATA_SEGMENTS_MAX, section.range().start) {
            return Ok(());
        }
        for data in section.clone() {
            let data = data?;
            let at = data.range.start;
            self.facts.data_bytes += data.data.len() as u64;
            match data.kind {
                DataKind::Active { offset_expr, .. } => match constant(&offset_expr)? {
                    Some(start) => self.data.push((at, start.into(), data.data.len() as u64)),
                    None => self.find(
                        "data",
                        at,
                        "a data segment's offset is not a constant".into(),
                        SEGMENT_HELP,
                    ),
                },
                DataKind::Passive => {
                    self.find("data", at, "a data segment is not active".into(), SEGMENT_HELP)
                }
            }
        }
        Ok(())
    }

    fn check_custom(&mut self, section: &wasmparser::CustomSectionReader<'_>) {
        let offset = section.range().start;
        if !CUSTOM_ALLOWED.contains(&section.name()) {
            let reason = format!("custom section \"{}\"", escaped(section.name()));
            let help = "allowed are name, producers and target_features: strip the module";
            self.find("custom", offset, reason, help);
        }
        if section.data().len() > CUSTOM_BYTES_MAX {
            let reason = format!(
                "a custom section of {} bytes, at most {CUSTOM_BYTES_MAX} are allowed",
                section.data().len()
            );
            self.find("custom", offset, reason, "strip the module");
        }
        if let KnownCustom::Name(names) = section.as_known() {
            // Debug names are a courtesy: what is malformed in them is left out.
            for part in names.into_iter().map_while(Result::ok) {
                if let Name::Function(map) = part {
                    let named = map.into_iter().map_while(Result::ok).take(FUNCTIONS_MAX as usize);
                    self.names = named.map(|naming| (naming.index, function_name(naming.name))).collect();
                }
            }
        }
    }
}

const FLOAT_HELP: &str = "NaN bits differ between processors: use integers, and look for formatting, parsing or sorting code that pulled floats in";
const FEATURE_HELP: &str = "build for wasm32v1-none, which enables no optional feature";
const NO_POLICY_HELP: &str = "put #[policy(name = \"...\", summary = \"...\")] on the impl of the rules, and build the library as a cdylib";
const SIGNATURES_HELP: &str =
    "the ABI has dsm_buf(i32) -> i32, dsm_evaluate(i32) -> i64, dsm_view(i32) -> i64, dsm_describe() -> i64";
const SEGMENT_HELP: &str =
    "link as a plain executable module: no shared memory, no position-independent code";

fn classify(message: &str) -> (&'static str, &'static str) {
    if message.contains("floating-point") {
        ("float", FLOAT_HELP)
    } else if message.contains("not enabled")
        || message.contains("disabled")
        || message.contains("must be enabled")
        || message.contains("multi-value")
    {
        ("feature", FEATURE_HELP)
    } else {
        ("invalid", "the bytes are not a valid module under the allowed features: build it again")
    }
}

fn has_signature(ty: &FuncType, import: &import::Import) -> bool {
    let results: &[ValType] = if import.returns { &[ValType::I32] } else { &[] };
    ty.params().len() == import.params
        && ty.params().iter().all(|p| *p == ValType::I32)
        && ty.results() == results
}

/// The value of `expression` if it is exactly one `i32.const`.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> wasmparser::Result<Option<u32>> {
    let mut reader = expression.get_operators_reader();
    let value = match reader.read()? {
        Operator::I32Const { value } => value.cast_unsigned(),
        _ => return Ok(None),
    };
    Ok(matches!(reader.read()?, Operator::End).then_some(value))
}

impl Gate {
    /// Records who a body calls, and nothing else.
    fn read_calls(&mut self, body: &FunctionBody<'_>) -> wasmparser::Result<()> {
        let caller = self.imported + self.bodies;
        self.bodies += 1;
        for operator in body.get_operators_reader()? {
            self.count_operator(&operator?, caller, &mut Counts::default());
        }
        Ok(())
    }

    /// The functions whose types have a floating-point value, or the type alone if no function has it.
    fn check_floats(&mut self) {
        let Some(offset) = self.float_offset else {
            return;
        };
        let is_float = |ty: &u32| self.float_types.contains(ty);
        let functions = self.functions.iter().zip(0u32..).filter(|(ty, _)| is_float(ty));
        let found: Vec<u32> = functions.map(|(_, index)| index).collect();
        if found.is_empty() {
            self.find("float", offset, "a function type has a floating-point value".into(), FLOAT_HELP);
        }
        for index in found {
            let reason = "a floating-point parameter or result".to_owned();
            self.find_in("float", None, Some(index), reason, FLOAT_HELP);
        }
    }

    fn check_function(&mut self, function: FuncToValidate<ValidatorResources>, body: &FunctionBody<'_>) {
        let index = function.index;
        if let Err(error) = self.scan_function(function, body) {
            let (code, help) = classify(error.message());
            self.find_in(code, Some(error.offset()), Some(index), escaped(error.message()), help);
        }
    }

    /// Validates one body operator by operator, counting on the way. Calls are recorded even behind an invalid
    /// operator, so that a finding can name who needs the function.
    fn scan_function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> wasmparser::Result<()> {
        let index = function.index;
        let params = self.functions.get(index as usize).and_then(|t| self.types.get(*t as usize));
        let params = params.map_or(0, |ty| ty.params().len() as u32);
        let start = body.range().start;
        let body_bytes = body.range().len();
        if body_bytes > BODY_BYTES_MAX {
            let reason = format!("a body of {body_bytes} bytes, at most {BODY_BYTES_MAX} are allowed");
            self.find_in("too_many", Some(start), Some(index), reason, "split the function");
            return Ok(());
        }
        let locals = body
            .get_locals_reader()?
            .into_iter()
            .try_fold(0u32, |sum, group| group.map(|(count, _)| sum.saturating_add(count)))?;
        self.locals = self.locals.saturating_add(locals);
        if locals > LOCALS_MAX {
            let reason = format!("{locals} locals, at most {LOCALS_MAX} are allowed");
            self.find_in("too_many", Some(start), Some(index), reason, "split the function");
            return Ok(());
        }
        let mut validator = function.into_validator(Default::default());
        validator.read_locals(&mut body.get_binary_reader())?;
        let mut seen = Counts::default();
        let mut operators = body.get_operators_reader()?;
        let mut failure = None;
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            self.count_operator(&operator, index, &mut seen);
            if failure.is_none() {
                failure = validator.op(offset, &operator).err();
                seen.height = seen.height.max(validator.operand_stack_height());
                seen.nesting = seen.nesting.max(validator.control_stack_height());
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        operators.finish()?;
        self.judge_counts(&seen, u64::from(params + locals), start, index);
        self.facts.frames.push(Frame { params, locals, height: seen.height, body_bytes: body_bytes as u32 });
        Ok(())
    }

    fn count_operator(&mut self, operator: &Operator<'_>, caller: u32, seen: &mut Counts) {
        match operator {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                seen.blocks += 1;
                seen.typed_blocks |= matches!(blockty, BlockType::FuncType(_));
            }
            Operator::BrTable { targets } => self.br_targets = self.br_targets.saturating_add(targets.len()),
            Operator::Call { function_index } => {
                if let Some(first) = self.callers.get_mut(*function_index as usize) {
                    first.get_or_insert(caller);
                }
            }
            _ => {}
        }
    }

    fn judge_counts(&mut self, seen: &Counts, locals: u64, start: usize, index: u32) {
        let product = seen.blocks * locals;
        self.blocks_by_locals += product;
        let rows = [
            ("operand stack height", u64::from(seen.height), u64::from(HEIGHT_MAX)),
            ("nesting", u64::from(seen.nesting), u64::from(NESTING_MAX)),
            ("blocks times locals", product, BLOCKS_BY_LOCALS_MAX),
        ];
        for (what, found, most) in rows {
            if found > most {
                let reason = format!("{what} {found}, at most {most} is allowed");
                self.find_in("too_complex", Some(start), Some(index), reason, "split the function");
            }
        }
        if seen.typed_blocks {
            let reason = "a block with parameters or several results".to_owned();
            self.find_in("feature", Some(start), Some(index), reason, FEATURE_HELP);
        }
    }

    fn check_memory_and_segments(&mut self, exports: Exports) {
        let most = match exports {
            Exports::Policy => PAGES_INITIAL_MAX,
            Exports::Any => PAGES_MAX,
        };
        for (initial, maximum) in self.memories.clone() {
            if initial > most || maximum.is_some_and(|most| most > PAGES_MAX) {
                let reason = format!(
                    "memory of {initial} pages at the start and {} at most; allowed are {most} and {PAGES_MAX}",
                    maximum.map_or("any number".into(), |most| most.to_string())
                );
                self.find("memory", None, reason, "link with -zstack-size=32768 and less static data");
            }
        }
        for (initial, maximum) in self.tables.clone() {
            let growable = maximum != Some(initial) && exports == Exports::Policy;
            if initial > TABLE_ELEMENTS_MAX || growable {
                let reason =
                    format!("a table of {initial} elements; at most {TABLE_ELEMENTS_MAX}, and min = max");
                self.find("table", None, reason, "do not export a growable table");
            }
        }
        let memory_bytes = self.memories.first().map_or(0, |(initial, _)| initial * PAGE_BYTES);
        let table_elements = self.tables.first().map_or(0, |(initial, _)| *initial);
        for (offset, start, length) in core::mem::take(&mut self.data) {
            if start + length > memory_bytes {
                let reason = format!("a data segment ends at {}, memory at {memory_bytes}", start + length);
                self.find("data", offset, reason, "give the module enough initial memory");
            }
        }
        for (offset, start, length) in core::mem::take(&mut self.elements) {
            if start + length > table_elements {
                let reason =
                    format!("an element segment ends at {}, the table at {table_elements}", start + length);
                self.find("element", offset, reason, "give the module a large enough table");
            }
        }
    }

    fn check_exports(&mut self, required: Exports) {
        for export in core::mem::take(&mut self.exports) {
            let name = escaped(&export.name);
            if export.name.starts_with(RESERVED_PREFIX) {
                self.find(
                    "export",
                    None,
                    format!("export \"{name}\": the prefix dsm: is reserved"),
                    "choose another name",
                );
            }
            let mutable = self.global_mutable.get(export.index as usize).copied().unwrap_or(false);
            if export.kind == ExternalKind::Global && mutable {
                let reason = format!("export \"{name}\" is a mutable global");
                self.find("export", None, reason, "export constants only");
            }
            self.exports.push(export);
        }
        // A probed module may lack the exports of a policy, but has none that only look like them.
        let required = required == Exports::Policy;
        match self.exports.iter().find(|export| export.name == "memory").map(|export| export.kind) {
            Some(ExternalKind::Memory) => {}
            None if !required => {}
            _ => {
                let reason = "there is no exported memory named \"memory\"".to_owned();
                self.find("export_missing", None, reason, "link without --no-export-memory");
            }
        }
        let is_there = |wanted: &str| self.exports.iter().any(|export| export.name == wanted);
        if required && !REQUIRED.iter().any(|(name, ..)| is_there(name)) {
            let names = REQUIRED.map(|(name, ..)| name).join(", ");
            let reason = format!("it exports nothing that the host calls, none of {names}");
            self.find("export_missing", None, reason, NO_POLICY_HELP);
            return;
        }
        for (name, params, results) in REQUIRED {
            let found = self.exports.iter().find(|export| export.name == name);
            let ty = found.filter(|export| matches!(export.kind, ExternalKind::Func));
            let ty = ty.and_then(|export| self.functions.get(export.index as usize));
            let ty = ty.and_then(|index| self.types.get(*index as usize));
            match (found, ty) {
                (None, _) if !required => {}
                (None, _) => {
                    let reason = format!("there is no export \"{name}\"");
                    self.find(
                        "export_missing",
                        None,
                        reason,
                        "use the dsm-policy macro, or export it as the ABI says",
                    );
                }
                (Some(_), Some(ty)) if ty.params() == params && ty.results() == results => {}
                (Some(_), _) => {
                    let reason = format!("export \"{name}\" is not a function of the ABI's type");
                    self.find("export_signature", None, reason, SIGNATURES_HELP);
                }
            }
        }
    }

    fn check_totals(&mut self) {
        let rows = [
            ("locals in all", u64::from(self.locals), u64::from(LOCALS_ALL_MAX)),
            ("br_table targets in all", u64::from(self.br_targets), u64::from(BR_TARGETS_ALL_MAX)),
            ("blocks times locals in all", self.blocks_by_locals, BLOCKS_BY_LOCALS_ALL_MAX),
        ];
        for (what, found, most) in rows {
            if found > most {
                let reason = format!("{found} {what}, at most {most} are allowed");
                self.find("too_complex", None, reason, "make the module smaller");
            }
        }
    }

    fn finish(self) -> Result<Facts, Vec<Finding>> {
        if self.drafts.is_empty() {
            return Ok(self.facts);
        }
        let name = |index: u32| {
            let found = self.names.iter().find(|(named, _)| *named == index);
            found.map_or_else(|| format!("#{index}"), |(_, name)| name.clone())
        };
        let called_from = |index: u32| {
            let mut chain = Vec::new();
            let mut at = index;
            while let Some(Some(caller)) = self.callers.get(at as usize).copied() {
                if chain.len() == 8 || chain.contains(&caller) || caller == index {
                    break;
                }
                chain.push(caller);
                at = caller;
            }
            chain
        };
        let finding = |draft: &Draft| {
            let mut reason = draft.reason.clone();
            for caller in draft.function.map(called_from).unwrap_or_default() {
                reason.push_str(", called from ");
                reason.push_str(&name(caller));
            }
            let (code, offset, help) = (draft.code, draft.offset, draft.help.to_owned());
            Finding { code, offset, function: draft.function.map(name), reason, help }
        };
        Err(self.drafts.iter().map(finding).collect())
    }
}

/// The functions that a policy exports: name, parameters, results.
const REQUIRED: [(&str, &[ValType], &[ValType]); 4] = [
    ("dsm_buf", &[ValType::I32], &[ValType::I32]),
    ("dsm_evaluate", &[ValType::I32], &[ValType::I64]),
    ("dsm_view", &[ValType::I32], &[ValType::I64]),
    ("dsm_describe", &[], &[ValType::I64]),
];

#[derive(Default)]
struct Counts {
    height: u32,
    nesting: u32,
    blocks: u64,
    typed_blocks: bool,
}

#[cfg(test)]
mod tests {
    use super::function_name;

    /// Authors read `_ZN3cap10SpendLimit13within_limits17h295a33f705110889E` where a finding or a profile named a function.
    #[test]
    fn functions_are_named_as_their_author_wrote_them() {
        let rows = [
            ("_ZN3cap10SpendLimit13within_limits17h295a33f705110889E", "cap::SpendLimit::within_limits"),
            (
                "_ZN59_$LT$cap..SpendLimit$u20$as$u20$dsm_policy..run..Policy$GT$5judge17hbfc6d7a6b2089241E",
                "<cap::SpendLimit as dsm_policy::run::Policy>::judge",
            ),
            ("spend_cap::fee", "spend_cap::fee"),
            ("memcpy", "memcpy"),
            ("_ZN3cap", "_ZN3cap"),
            ("_ZN99999999999999999999999capE", "_ZN99999999999999999999999capE"),
            ("_ZN18446744073709551615capE", "_ZN18446744073709551615capE"),
            ("_ZNxE", "_ZNxE"),
            ("_ZN2\u{202e}E", "_ZN2\\u{202e}E"),
        ];
        for (name, shown) in rows {
            assert_eq!(function_name(name), shown);
        }
    }
}
