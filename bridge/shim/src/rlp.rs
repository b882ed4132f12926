//! RLP, written only: an encoder of its own, so that it and the decoder of `dsm-evm-proof` check each other.

/// A string of bytes.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [byte] if *byte < 0x80 => vec![*byte],
        _ => prefixed(0x80, bytes),
    }
}

/// A number, without leading zeroes.
pub(crate) fn number(value: u64) -> Vec<u8> {
    string(trimmed(&value.to_be_bytes()))
}

/// A list of items that are encoded already.
pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    prefixed(0xc0, &items.concat())
}

/// The bytes of a number without its leading zeroes.
pub(crate) fn trimmed(bytes: &[u8]) -> &[u8] {
    let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeroes..]
}

fn prefixed(base: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 9);
    match u8::try_from(bytes.len()) {
        Ok(length) if length < 56 => out.push(base + length),
        _ => {
            let length = (bytes.len() as u64).to_be_bytes();
            let length = trimmed(&length);
            // At most eight: a length is a u64.
            out.push(base + 55 + length.len() as u8);
            out.extend_from_slice(length);
        }
    }
    out.extend_from_slice(bytes);
    out
}
