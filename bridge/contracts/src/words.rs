//! Refusals and events of the contracts as text for people.

use crate::DsmBridge::DsmBridgeEvents;
use alloy_primitives::B256;
use alloy_sol_types::SolEventInterface as _;

/// An event of the bridge, from a log's topics and data; `None` for other contracts' events.
pub fn event(topics: &[B256], data: &[u8]) -> Option<DsmBridgeEvents> {
    DsmBridgeEvents::decode_raw_log(topics, data).ok()
}

/// What a call's answer says when it failed: the error's name, a sentence, its arguments.
pub fn refusal(answer: &[u8]) -> String {
    let _ = answer;
    String::new()
}

/// A sentence for each error of the contracts.
pub const REFUSALS: &[(&str, &str)] = &[];
