//! The profiling pass: a metered module that tells the host which function it enters and leaves, so that fuel can be
//! attributed to functions and to the calls that led there. It runs only where an author looks, never for a verdict.
//!
//! The pass imports two more functions. `enter` stands at the start of each body and before a call of the host,
//! `leave` behind each call. What they cost themselves is known and taken off, so the parts add up to the fuel of
//! the module as it is; [`Profile::unexplained`] says by how much they do not.

use super::gate::FEATURES;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, EntityType, ImportSection, Instruction, Module, SectionId, TypeSection, ValType,
};
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

/// The module of the two functions.
pub(super) const MODULE: &str = "dsm:profile";
/// Fuel of `i32.const` and `call` at each `enter`.
pub(super) const ENTER_FUEL: u64 = 11;
/// Fuel of `call` at each `leave`.
pub(super) const LEAVE_FUEL: u64 = 10;
/// Nodes of one profile: beyond them what is called counts for who calls it.
const NODES_MAX: usize = 65_536;

/// Where the fuel of one call went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// The tree of calls; the first is the host's call itself.
    pub nodes: Vec<Node>,
    /// Fuel that the module as it is uses for the same call.
    pub fuel: u64,
    /// The difference between that and the sum of the nodes, without a sign.
    pub unexplained: u64,
}

impl Profile {
    /// Adds another call, node by node where the same calls led there.
    pub fn add(&mut self, other: Profile) {
        self.fuel += other.fuel;
        self.unexplained += other.unexplained;
        let mut places: Vec<usize> = Vec::with_capacity(other.nodes.len());
        for (at, node) in other.nodes.into_iter().enumerate() {
            let parent = places.get(node.parent).copied().unwrap_or_default();
            let known = self.nodes.iter().enumerate().position(|(own, known)| {
                known.function == node.function && known.parent == parent && (own == 0) == (at == 0)
            });
            let place = known.unwrap_or_else(|| {
                self.nodes.push(Node { calls: 0, fuel: 0, parent, function: node.function });
                self.nodes.len() - 1
            });
            self.nodes[place].calls += node.calls;
            self.nodes[place].fuel += node.fuel;
            places.push(place);
        }
    }
}

/// A function in the calls that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The function's name, or its number if the module has no names.
    pub function: String,
    /// The node that called it; the first is its own.
    pub parent: usize,
    /// How often it was called.
    pub calls: u64,
    /// Fuel that it used itself, without what it called.
    pub fuel: u64,
}

/// What the two functions write down.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// Function, parent, calls, fuel.
    nodes: Vec<(u32, usize, u64, u64)>,
    at: usize,
    left: u64,
    /// Calls that have no node.
    beyond: usize,
}

impl Tracker {
    /// Starts with `left` units of fuel.
    pub(super) fn new(left: u64) -> Tracker {
        Tracker { nodes: vec![(u32::MAX, 0, 1, 0)], at: 0, left, beyond: 0 }
    }

    fn spend(&mut self, left: u64, own: u64) {
        self.nodes[self.at].3 += self.left.saturating_sub(left).saturating_sub(own);
        self.left = left;
    }

    /// `function` begins.
    pub(super) fn enter(&mut self, function: u32, left: u64) {
        self.spend(left, ENTER_FUEL);
        if self.beyond > 0 {
            self.beyond += 1;
            return;
        }
        let known = (self.at + 1..self.nodes.len())
            .find(|node| self.nodes[*node].0 == function && self.nodes[*node].1 == self.at);
        self.at = match known {
            Some(node) => node,
            None if self.nodes.len() == NODES_MAX => {
                self.beyond += 1;
                return;
            }
            None => {
                self.nodes.push((function, self.at, 0, 0));
                self.nodes.len() - 1
            }
        };
        self.nodes[self.at].2 += 1;
    }

    /// What was entered last has ended.
    pub(super) fn leave(&mut self, left: u64) {
        self.spend(left, LEAVE_FUEL);
        if self.beyond > 0 {
            self.beyond -= 1;
            return;
        }
        self.at = self.nodes[self.at].1;
    }

    /// The host's call has ended.
    pub(super) fn end(&mut self, left: u64) {
        self.spend(left, 0);
        (self.at, self.beyond) = (0, 0);
    }

    /// The tree, with names.
    pub(super) fn profile(self, names: &[String], fuel: u64, data_bytes: u64) -> Profile {
        let name = |function: u32| {
            let at = function as usize;
            names
                .get(at)
                .cloned()
                .unwrap_or_else(|| if function == u32::MAX { "host".into() } else { format!("#{at}") })
        };
        let mut nodes: Vec<Node> = self
            .nodes
            .into_iter()
            .map(|(function, parent, calls, fuel)| Node { function: name(function), parent, calls, fuel })
            .collect();
        nodes.push(Node { function: "data of the instance".into(), parent: 0, calls: 1, fuel: data_bytes });
        let sum: u64 = nodes.iter().map(|node| node.fuel).sum();
        Profile { nodes, fuel, unexplained: sum.abs_diff(fuel) }
    }
}

/// Names of all functions, imported ones first, from the name section where there is one.
pub(super) fn names(wasm: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        match payload {
            Payload::ImportSection(section) => {
                let imports = section.into_imports().map_while(Result::ok);
                let functions = imports.filter(|one| matches!(one.ty, TypeRef::Func(_)));
                names.extend(functions.map(|one| format!("host: {}", one.name)));
            }
            Payload::FunctionSection(section) => {
                let first = names.len();
                names.extend((0..section.count() as usize).map(|at| format!("#{}", first + at)));
            }
            Payload::ExportSection(section) => {
                for export in section.into_iter().map_while(Result::ok) {
                    if let (wasmparser::ExternalKind::Func, Some(name)) =
                        (export.kind, names.get_mut(export.index as usize))
                    {
                        *name = super::gate::escaped(export.name);
                    }
                }
            }
            Payload::CustomSection(section) => {
                let KnownCustom::Name(parts) = section.as_known() else { continue };
                for part in parts.into_iter().map_while(Result::ok) {
                    let Name::Function(map) = part else { continue };
                    for naming in map.into_iter().map_while(Result::ok) {
                        if let Some(name) =
                            names.get_mut(naming.index as usize).filter(|name| !name.starts_with("host: "))
                        {
                            *name = super::gate::function_name(naming.name);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    names
}

/// The module with `enter` and `leave` in it.
///
/// # Errors
/// A word on what went wrong; for a metered module this does not happen.
pub(super) fn instrument(metered: &[u8]) -> Result<Vec<u8>, String> {
    let mut pass = Pass::default();
    for payload in Parser::new(0).parse_all(metered) {
        match payload.map_err(|error| error.to_string())? {
            Payload::TypeSection(section) => {
                // One type for each group: the gate lets no other groups through.
                pass.types = section.count();
            }
            Payload::ImportSection(section) => {
                let imports = section.into_imports().map_while(Result::ok);
                pass.imported = imports.filter(|one| matches!(one.ty, TypeRef::Func(_))).count() as u32;
            }
            _ => {}
        }
    }
    let mut module = Module::new();
    pass.parse_core_module(&mut module, Parser::new(0), metered).map_err(|error| error.to_string())?;
    let profiled = module.finish();
    wasmparser::Validator::new_with_features(FEATURES).validate_all(&profiled).map_err(|e| e.to_string())?;
    Ok(profiled)
}

#[derive(Default)]
struct Pass {
    types: u32,
    imported: u32,
    function: u32,
    imports_written: bool,
}

impl Pass {
    fn enter(&self) -> u32 {
        self.imported
    }

    fn leave(&self) -> u32 {
        self.imported + 1
    }

    fn add_types(&self, types: &mut TypeSection) {
        types.ty().function([ValType::I32], []);
        types.ty().function([], []);
    }

    fn add_imports(&mut self, imports: &mut ImportSection) {
        imports.import(MODULE, "enter", EntityType::Function(self.types));
        imports.import(MODULE, "leave", EntityType::Function(self.types + 1));
        self.imports_written = true;
    }
}

impl Reencode for Pass {
    type Error = core::convert::Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, Error<Self::Error>> {
        Ok(if index < self.imported { index } else { index + 2 })
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_type_section(self, types, section)?;
        self.add_types(types);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_import_section(self, imports, section)?;
        self.add_imports(imports);
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), Error<Self::Error>> {
        // The types stand before: a policy has functions, and these have types.
        if !self.imports_written && before == Some(SectionId::Function) {
            let mut imports = ImportSection::new();
            self.add_imports(&mut imports);
            module.section(&imports);
        }
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), Error<Self::Error>> {
        let own = (self.imported + self.function).cast_signed();
        self.function += 1;
        let (enter, leave) = (self.enter(), self.leave());
        let mut function = self.new_function_with_parsed_locals(&body)?;
        function.instruction(&Instruction::I32Const(own)).instruction(&Instruction::Call(enter));
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let instruction = self.parse_instruction(&mut reader)?;
            match instruction {
                Instruction::Call(callee) if callee < self.imported => {
                    function.instruction(&Instruction::I32Const(callee.cast_signed()));
                    function.instruction(&Instruction::Call(enter)).instruction(&instruction);
                    function.instruction(&Instruction::Call(leave));
                }
                Instruction::Call(_) | Instruction::CallIndirect { .. } => {
                    function.instruction(&instruction).instruction(&Instruction::Call(leave));
                }
                _ => {
                    function.instruction(&instruction);
                }
            }
        }
        code.function(&function);
        Ok(())
    }
}
