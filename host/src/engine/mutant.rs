//! Where a module compares, and what the opposite of each comparison is: for asking whether a policy's cases notice.

use super::profile::names;
use wasmparser::{Operator, Parser, Payload, TypeRef};

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
    let names = names(wasm);
    let mut found = Vec::new();
    let mut function = 0;
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        match payload {
            Payload::ImportSection(section) => {
                let imports = section.into_imports().map_while(Result::ok);
                function = imports.filter(|one| matches!(one.ty, TypeRef::Func(_))).count();
            }
            Payload::CodeSectionEntry(body) => {
                let name = names.get(function).cloned().unwrap_or_default();
                function += 1;
                let Some(operators) = body.get_operators_reader().ok().filter(|_| name.contains(within))
                else {
                    continue;
                };
                for (operator, offset) in operators.into_iter_with_offsets().map_while(Result::ok) {
                    // The byte at an operator's offset is its opcode, never an immediate.
                    let was = wasm[offset];
                    if let Some(is) = opposite(was).filter(|_| !matches!(operator, Operator::End)) {
                        found.push(Mutant { offset, function: name.clone(), was, is });
                    }
                }
            }
            _ => {}
        }
    }
    found
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
