//! What clients of DSM need: policy packages, transition drafts, receipts and the HTTP client; and what services say about
//! themselves.

pub mod api;
pub mod car;
pub mod cases;
pub mod client;
pub mod draft;
pub mod evidence;
pub mod package;
pub mod process;
pub mod receipt;
