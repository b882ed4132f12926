//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.
use alloc::vec::Vec;
use dsm_policy::bench::Case;
/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    Vec::new()
}
