//! Whose request it is when proxies stand between: the nearest address that is not a trusted proxy.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Addresses of `X-Forwarded-For` that are looked at, from the nearest on: what stands further left was written by
/// whoever likes to.
const HOPS_MAX: usize = 16;
/// The first half of an IPv6 address names a network that one client has all of (RFC 6177).
const NETWORK_BITS: u32 = 64;

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
        let mut client = canonical(peer);
        let hops = forwarded_for.iter().rev().flat_map(|header| header.rsplit(','));
        for hop in hops.take(HOPS_MAX) {
            if !self.trust(client) {
                return client;
            }
            match hop_address(hop.trim()) {
                Some(address) => client = canonical(address),
                None => return client,
            }
        }
        client
    }

    /// Whether this address is one of theirs.
    pub fn trust(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

/// An address as proxies write it: alone, with the client's port behind it, in brackets.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    text.parse().ok().or_else(with_port).or_else(|| bare().map(IpAddr::V6))
}

/// What is counted as one client: an IPv4 address, or the network of an IPv6 address. Whoever has one such address has
/// 2^64 of them.
pub fn counted(address: IpAddr) -> IpAddr {
    match canonical(address) {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> NETWORK_BITS << NETWORK_BITS).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// IPv4 addresses in IPv6 clothes are the same client.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
