//! Randomness of the operating system.

/// The operating system gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct RandomError;

/// Fills `out` with bytes from the operating system's generator, for keys, salts and nonces.
///
/// # Errors
/// [`RandomError`]; `out` is then not to be used.
pub fn fill_random(out: &mut [u8]) -> Result<(), RandomError> {
    aws_lc_rs::rand::fill(out).map_err(|_| RandomError)
}
