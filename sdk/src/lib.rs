//! What clients of DSM need: policy packages, transition drafts, receipts and the HTTP client.

pub mod api;
pub mod client;
pub mod draft;
pub mod package;
pub mod receipt;
