//! Whose request it is when proxies stand between: the nearest address that is not a trusted proxy.

use std::net::IpAddr;

/// Addresses that `X-Forwarded-For` may carry; whoever sends more is not believed at all.
const HOPS_MAX: usize = 16;

/// A range of addresses, as `10.0.0.0/8` or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Text that names no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address and no range such as 10.0.0.0/8")]
pub struct AddressError(pub String);

impl std::str::FromStr for Network {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Network, AddressError> {
        let wrong = || AddressError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address = canonical(address.parse().map_err(|_| wrong())?);
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(longest);
        if bits > longest { Err(wrong()) } else { Ok(Network { address, bits }) }
    }
}

impl Network {
    /// Whether `address` lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let prefix = |bytes: &[u8]| -> Vec<bool> {
            (0..usize::from(self.bits)).map(|bit| bytes[bit / 8] & (0x80 >> (bit % 8)) != 0).collect()
        };
        match (self.address, canonical(address)) {
            (IpAddr::V4(range), IpAddr::V4(address)) => prefix(&range.octets()) == prefix(&address.octets()),
            (IpAddr::V6(range), IpAddr::V6(address)) => prefix(&range.octets()) == prefix(&address.octets()),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The proxies whose word about addresses counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    trusted: Vec<Network>,
}

impl Peers {
    /// Believes these.
    pub fn trusting(trusted: Vec<Network>) -> Peers {
        Peers { trusted }
    }

    /// The client's address: walking from the connection outwards through trusted proxies, the first that is not one.
    /// What stands further left in `forwarded_for` was written by the client itself. A header that cannot be read
    /// names nobody: then it is the proxy.
    pub fn client(&self, peer: IpAddr, forwarded_for: &[&str]) -> IpAddr {
        let trusted = |address: IpAddr| self.trusted.iter().any(|network| network.contains(address));
        let mut client = canonical(peer);
        let hops: Vec<&str> = forwarded_for.iter().flat_map(|header| header.split(',')).collect();
        if hops.len() > HOPS_MAX {
            return client;
        }
        for hop in hops.iter().rev() {
            if !trusted(client) {
                return client;
            }
            match hop.trim().parse() {
                Ok(address) => client = canonical(address),
                Err(_) => return client,
            }
        }
        client
    }
}

/// IPv4 addresses in IPv6 clothes are the same client.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
