//! The rules at the door of the HTTP API: who asks, what for, how often, from which page.
//!
//! Everything here is a decision about facts that the shell reads off a request, at a time that it passes in, so a
//! test is a table of requests and a clock that it holds. What is kept is bounded: so many clients, so many requests
//! of each.
//!
//! Left out on purpose: sockets, headers as types, files, clocks, TLS.

mod access;
mod address;
mod audit;
mod key;
mod limit;
mod origin;
mod scope;
mod token;

pub use access::{Admitted, Client, Facts, Gateway, GatewayConfig, GatewayError, Refused};
pub use address::{AddressError, Network, Peers, counted};
pub use audit::{AuditError, Auditor, Entry, Told, verify};
pub use key::{ApiKey, KeyError, KeyRing, NewKey};
pub use limit::{Class, Limiter, Limits, WINDOW_MS};
pub use origin::{OriginError, Origins};
pub use scope::{Scope, Scopes, UnknownScope};
pub use token::{SECRET_BYTES_MIN, TokenError, Tokens};
