//! The depth meter: a pass over an admitted module that makes recursion end at the same depth everywhere.
//!
//! Native stacks overflow at depths that differ between compilers, settings and processors (3,272 to 5,454
//! calls of one module on one machine). The pass adds one global that counts what is left of
//! [`DEPTH_BUDGET`]; around each `call` and `call_indirect` the caller's frame is subtracted and added back,
//! and below zero the module traps. The global is exported under [`DEPTH_EXPORT`], so the host can tell this
//! trap from the policy's own `unreachable`. A fresh instance for each call starts with the full budget.

use super::gate::{FEATURES, Facts, Frame};
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, GlobalSection, GlobalType, Instruction,
    Module, SectionId, ValType,
};

/// What calls may take of the stack at one time, in units of [`charge`]. With the worst frame that the gate
/// lets through this stays within the host's 1 MiB of WASM stack (`tests/engine/depth.rs`).
pub(super) const DEPTH_BUDGET: i32 = 32_768;
/// Changes whenever this pass would write other bytes for the same module. Part of the engine profile.
pub(super) const PASS_VERSION: u32 = 1;
/// The name under which the instrumented module exports what is left of the budget.
pub(super) const DEPTH_EXPORT: &str = "dsm:depth";

/// What a call made by a function with this frame takes of the budget while it lasts.
///
/// The first four terms are the values that the function can name. The last is for those that it cannot: a
/// compiler may compute an expression once and keep it on the stack across a call. Such a value takes eight bytes
/// of stack and at least four of body; a unit of the budget stands for 32 bytes of stack, so eight bytes of body
/// for one unit leave a factor of two (`adr/0002`).
pub(super) const fn charge(frame: Frame) -> i32 {
    (frame.params + frame.locals + frame.height + 16 + frame.body_bytes / 8).cast_signed()
}

/// The module with the meter in it, without custom sections.
///
/// # Errors
/// A word on what went wrong. For a module that passed the gate this does not happen; it is checked because
/// what comes out is what runs.
pub(super) fn instrument(wasm: &[u8], facts: &Facts) -> Result<Vec<u8>, String> {
    let mut pass = Pass { facts, function: 0, global_written: false, export_written: false };
    let mut module = Module::new();
    pass.parse_core_module(&mut module, wasmparser::Parser::new(0), wasm)
        .map_err(|error| error.to_string())?;
    if pass.function != facts.frames.len() {
        return Err("a function without a frame".into());
    }
    let metered = module.finish();
    wasmparser::Validator::new_with_features(FEATURES).validate_all(&metered).map_err(|e| e.to_string())?;
    Ok(metered)
}

struct Pass<'a> {
    facts: &'a Facts,
    /// The next body to rewrite.
    function: usize,
    global_written: bool,
    export_written: bool,
}

impl Pass<'_> {
    fn add_global(&mut self, globals: &mut GlobalSection) {
        let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(ty, &ConstExpr::i32_const(DEPTH_BUDGET));
        self.global_written = true;
    }

    fn add_export(&mut self, exports: &mut ExportSection) {
        exports.export(DEPTH_EXPORT, ExportKind::Global, self.facts.globals);
        self.export_written = true;
    }
}

impl Reencode for Pass<'_> {
    type Error = core::convert::Infallible;

    fn parse_custom_section(
        &mut self,
        _: &mut Module,
        _: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), Error<Self::Error>> {
        if !self.global_written && is_past(before, SectionId::Global) {
            let mut globals = GlobalSection::new();
            self.add_global(&mut globals);
            module.section(&globals);
        }
        if !self.export_written && is_past(before, SectionId::Export) {
            let mut exports = ExportSection::new();
            self.add_export(&mut exports);
            module.section(&exports);
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_global_section(self, globals, section)?;
        self.add_global(globals);
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_export_section(self, exports, section)?;
        self.add_export(exports);
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), Error<Self::Error>> {
        let cost = charge(self.facts.frames.get(self.function).copied().unwrap_or_default());
        self.function += 1;
        let depth = self.facts.globals;
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let instruction = self.parse_instruction(&mut reader)?;
            if !matches!(instruction, Instruction::Call(_) | Instruction::CallIndirect { .. }) {
                function.instruction(&instruction);
                continue;
            }
            function
                .instruction(&Instruction::GlobalGet(depth))
                .instruction(&Instruction::I32Const(cost))
                .instruction(&Instruction::I32Sub)
                .instruction(&Instruction::GlobalSet(depth))
                .instruction(&Instruction::GlobalGet(depth))
                .instruction(&Instruction::I32Const(0))
                .instruction(&Instruction::I32LtS)
                .instruction(&Instruction::If(BlockType::Empty))
                .instruction(&Instruction::Unreachable)
                .instruction(&Instruction::End)
                .instruction(&instruction)
                .instruction(&Instruction::GlobalGet(depth))
                .instruction(&Instruction::I32Const(cost))
                .instruction(&Instruction::I32Add)
                .instruction(&Instruction::GlobalSet(depth));
        }
        code.function(&function);
        Ok(())
    }
}

/// Whether a section that belongs at `place` can no longer follow once `next` is written.
fn is_past(next: Option<SectionId>, place: SectionId) -> bool {
    next.is_none_or(|next| order(next) > order(place))
}

/// The position of a section in a module. Ids are in order but for the tag and data count sections.
fn order(section: SectionId) -> u32 {
    match section {
        SectionId::Tag => u32::from(SectionId::Memory as u8) * 2 + 1,
        SectionId::DataCount => u32::from(SectionId::Element as u8) * 2 + 1,
        other => u32::from(other as u8) * 2,
    }
}
