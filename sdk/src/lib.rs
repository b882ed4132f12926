//! What clients of DSM need: policy packages, transition drafts, receipts and the HTTP client.

pub mod receipt;
