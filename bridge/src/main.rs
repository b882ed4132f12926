//! The binary `dsm-bridge`.
fn main() {}
