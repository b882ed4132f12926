//! Codes are what programs branch on: the table in the README is exactly the codes in the source.

use std::collections::BTreeSet;

const PREFIXES: [&str; 7] = ["rlp_", "mpt_", "header_", "qbft_", "lock_", "outbox_", "proof_file_"];
const SOURCES: [&str; 7] = [
    include_str!("../../src/rlp.rs"),
    include_str!("../../src/mpt.rs"),
    include_str!("../../src/header.rs"),
    include_str!("../../src/qbft.rs"),
    include_str!("../../src/lock.rs"),
    include_str!("../../src/outbox.rs"),
    include_str!("../../src/file.rs"),
];

fn is_code(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    plain && PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

#[test]
fn the_readme_lists_every_code_once() {
    let strings = SOURCES.iter().flat_map(|source| source.split('"').skip(1).step_by(2));
    let source: BTreeSet<&str> = strings.filter(|text| is_code(text)).collect();
    assert!(source.len() > 80, "only {} codes found: this test reads the source wrongly", source.len());
    let rows = include_str!("../../README.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<&str> = rows.filter_map(|row| row.split('`').next()).filter(|code| is_code(code)).collect();
    let documented: BTreeSet<&str> = rows.iter().copied().collect();
    assert_eq!(documented, source);
    assert_eq!(rows.len(), documented.len(), "a code stands twice");
}
