//! Mutation: one comparison of a module at a time is turned into its opposite, and the cases must notice.
//!
//! A case file that lets a turned comparison pass does not say what the policy is for. Not every survivor is a gap:
//! a comparison of the allocator or of a copy may be turned without any effect that a verdict shows.

use super::run::Trial;
use crate::engine::HostFault;
use dsm_sdk::cases::Case;
use std::collections::BTreeMap;
use wasmparser::{KnownCustom, Name, Operator, Parser, Payload, TypeRef};

/// A comparison that can be turned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// Where its opcode stands in the module.
    pub offset: usize,
    /// The function, from the name section if there is one.
    pub function: String,
    /// What stands there.
    pub was: u8,
    /// What is put there.
    pub is: u8,
}

/// What became of a module's mutants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mutated {
    /// How many the module has in all.
    pub comparisons: usize,
    /// How many were tried.
    pub tried: usize,
    /// How many a case noticed.
    pub killed: usize,
    /// Those that no case noticed.
    pub survivors: Vec<Mutant>,
}

/// The opposite of a comparison's opcode.
const fn opposite(opcode: u8) -> Option<u8> {
    // Equal and unequal, then signed and unsigned less, greater, at most and at least, for i32 and i64 alike.
    let first = match opcode {
        0x46..=0x4f => 0x46,
        0x51..=0x5a => 0x51,
        _ => return None,
    };
    Some(first + [1, 0, 8, 9, 6, 7, 4, 5, 2, 3][(opcode - first) as usize])
}

/// Every comparison of a module, in order, in the functions whose name contains `within`.
pub fn mutants(wasm: &[u8], within: &str) -> Vec<Mutant> {
    let (mut found, mut names) = (Vec::new(), BTreeMap::new());
    let mut function = 0u32;
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        match payload {
            Payload::ImportSection(section) => {
                let imports = section.into_imports().map_while(Result::ok);
                function = imports.filter(|one| matches!(one.ty, TypeRef::Func(_))).count() as u32;
            }
            Payload::CodeSectionEntry(body) => {
                let operators = body.get_operators_reader().ok();
                for (operator, offset) in operators
                    .into_iter()
                    .flat_map(|reader| reader.into_iter_with_offsets())
                    .map_while(Result::ok)
                {
                    let was = wasm[offset];
                    // An immediate never begins an operator, so the byte at an operator's offset is its opcode.
                    let is = if matches!(operator, Operator::End) { None } else { opposite(was) };
                    found.extend(is.map(|is| (function, offset, was, is)));
                }
                function += 1;
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(parts) = section.as_known() {
                    for part in parts.into_iter().map_while(Result::ok) {
                        if let Name::Function(map) = part {
                            let named = map.into_iter().map_while(Result::ok);
                            names.extend(named.map(|one| (one.index, one.name.to_owned())));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    let name = |index: u32| names.get(&index).cloned().unwrap_or_else(|| format!("#{index}"));
    found
        .into_iter()
        .map(|(index, offset, was, is)| Mutant { offset, function: name(index), was, is })
        .filter(|mutant| mutant.function.contains(within))
        .collect()
}

/// Turns at most `most` of the comparisons, evenly spread, and runs `cases` on each mutant until one notices.
///
/// # Errors
/// [`HostFault`], if the host fails on the module as it stands.
pub fn mutate(wasm: &[u8], cases: &[Case], within: &str, most: usize) -> Result<Mutated, HostFault> {
    let all = mutants(wasm, within);
    let mut report = Mutated { comparisons: all.len(), ..Mutated::default() };
    let failed = |error: crate::engine::AdmitError| HostFault::Engine(error.to_string());
    let mut trial = Trial::new(wasm).map_err(failed)?;
    let expected = cases
        .iter()
        .map(|case| trial.run(&case.call, &case.state, &case.foreign).map(|ran| ran.bytes))
        .collect::<Result<Vec<_>, _>>()?;
    let tried = most.min(all.len());
    for number in 0..tried {
        let mutant = &all[number * all.len() / tried];
        let mut bytes = wasm.to_vec();
        bytes[mutant.offset] = mutant.is;
        report.tried += 1;
        trial = match trial.with(&bytes) {
            Ok(trial) => trial,
            // It no longer describes itself: whoever looks at it notices.
            Err((trial, _)) => {
                report.killed += 1;
                trial.with(wasm).map_err(|(_, error)| failed(error))?
            }
        };
        let noticed = cases.iter().zip(&expected).any(|(case, expected)| {
            let ran = trial.run(&case.call, &case.state, &case.foreign);
            ran.is_ok_and(|ran| ran.fault.is_some() || ran.bytes != *expected)
        });
        if noticed {
            report.killed += 1;
        } else if trial.module().hash().0 != *blake3::hash(wasm).as_bytes() {
            report.survivors.push(mutant.clone());
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::opposite;

    #[test]
    fn the_opposite_of_the_opposite_is_the_comparison() {
        for opcode in 0..=u8::MAX {
            if let Some(other) = opposite(opcode) {
                assert_ne!(other, opcode);
                assert_eq!(opposite(other), Some(opcode));
            }
        }
        let rows = [(0x46, 0x47), (0x48, 0x4e), (0x49, 0x4f), (0x4a, 0x4c), (0x4b, 0x4d), (0x54, 0x5a)];
        for (is, opposite_is) in rows {
            assert_eq!(opposite(is), Some(opposite_is));
        }
        assert_eq!(opposite(0x45), None, "eqz compares with nothing to turn");
    }
}
