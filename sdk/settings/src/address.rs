//! An address to listen on, as a setting has it.

use std::net::{SocketAddr, ToSocketAddrs as _};

/// Why a setting is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address: {reason}")]
pub struct AddressError {
    text: String,
    reason: String,
}

impl AddressError {
    /// What to give in its place.
    pub fn help(example: &str) -> String {
        format!("give HOST:PORT, such as {example}; port 0 picks a free one")
    }
}

/// The addresses that a text names, in the order of preference; never none.
///
/// # Errors
/// [`AddressError`]: it is not of the form HOST:PORT, or no address is known for the host.
pub fn addresses(text: &str) -> Result<Vec<SocketAddr>, AddressError> {
    let refused = |reason: String| AddressError { text: text.to_owned(), reason };
    let found: Vec<SocketAddr> =
        text.to_socket_addrs().map_err(|error| refused(error.to_string()))?.collect();
    if found.is_empty() {
        return Err(refused("the name has no address".to_owned()));
    }
    Ok(found)
}

/// The first of [`addresses`].
///
/// # Errors
/// As there.
pub fn address(text: &str) -> Result<SocketAddr, AddressError> {
    Ok(addresses(text)?[0])
}
