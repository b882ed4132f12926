//! Who may begin a handshake: every one costs a signature and some memory before anything is known about the client.
//!
//! Pure: addresses and times come in, decisions go out.

use crate::config::LinkConfig;
use crate::error::Refusal;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use tokio::time::Instant;

/// Addresses whose failures are remembered; the longest forgotten make room.
const ADDRESSES_MAX: usize = 1024;

/// What to do with a client that begins a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Begin,
    /// Let it prove that it receives what is sent to its address.
    Retry,
    Refuse(Refusal),
}

/// A handshake under way, given back to [`Admission::end`].
#[derive(Debug)]
pub(crate) struct Ticket {
    group: IpAddr,
    proved: bool,
}

#[derive(Debug, Default)]
struct Address {
    unproved: usize,
    proved: usize,
    /// Failures of handshakes whose address was proved.
    failures: u32,
    /// Whether any handshake failed: whoever begins one without proof is asked for it.
    doubtful: bool,
    window_began: Option<Instant>,
}

impl Address {
    fn is_idle(&self) -> bool {
        self.unproved == 0 && self.proved == 0
    }
}

/// Counts of handshakes under way and of late failures.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    unproved: usize,
    proved: usize,
    addresses: BTreeMap<IpAddr, Address>,
}

impl Admission {
    /// Decides about a client, and counts it if it may begin. An address that proved nothing may be anybody's, so
    /// it is never refused for what "it" did, only asked for proof.
    pub(crate) fn arrive(
        &mut self,
        config: &LinkConfig,
        address: IpAddr,
        proved: bool,
        now: Instant,
    ) -> (Decision, Option<Ticket>) {
        let group = group_of(address);
        self.forget_old(config, now);
        let known = self.addresses.get(&group);
        let (failures, doubtful) = known.map_or((0, false), |known| (known.failures, known.doubtful));
        // Counted apart: whoever invents this address must not use up the share of its owner.
        let open = known.map_or(0, |known| if proved { known.proved } else { known.unproved });
        let crowded = open >= config.handshakes_per_address_max;
        let decision = match proved {
            false if self.unproved >= config.handshakes_unproved_max || crowded || doubtful => {
                Decision::Retry
            }
            true if failures >= config.failures_per_address_max => Decision::Refuse(Refusal::TooManyFailures),
            true if self.proved >= config.handshakes_proved_max || crowded => {
                Decision::Refuse(Refusal::TooMany)
            }
            true | false => Decision::Begin,
        };
        if decision != Decision::Begin {
            return (decision, None);
        }
        let address = self.addresses.entry(group).or_default();
        if proved {
            address.proved += 1;
            self.proved += 1;
        } else {
            address.unproved += 1;
            self.unproved += 1;
        }
        (decision, Some(Ticket { group, proved }))
    }

    /// A handshake is over.
    pub(crate) fn end(&mut self, ticket: Ticket, failed: bool, now: Instant) {
        let address = self.addresses.entry(ticket.group).or_default();
        let (all, share) = if ticket.proved {
            (&mut self.proved, &mut address.proved)
        } else {
            (&mut self.unproved, &mut address.unproved)
        };
        *all = all.saturating_sub(1);
        *share = share.saturating_sub(1);
        if failed {
            address.doubtful = true;
            address.failures = address.failures.saturating_add(u32::from(ticket.proved));
            address.window_began.get_or_insert(now);
        }
        if address.is_idle() && !address.doubtful {
            self.addresses.remove(&ticket.group);
        }
    }

    fn forget_old(&mut self, config: &LinkConfig, now: Instant) {
        for address in self.addresses.values_mut() {
            if address.window_began.is_some_and(|began| now.duration_since(began) >= config.failure_window) {
                (address.failures, address.doubtful, address.window_began) = (0, false, None);
            }
        }
        self.addresses.retain(|_, address| !address.is_idle() || address.doubtful);
        while self.addresses.len() > ADDRESSES_MAX {
            let idle = self.addresses.iter().filter(|(_, address)| address.is_idle());
            let Some(oldest) = idle.min_by_key(|(_, address)| address.window_began).map(|(group, _)| *group)
            else {
                return;
            };
            self.addresses.remove(&oldest);
        }
    }
}

/// One customer of a network usually has a /64 of IPv6 to himself.
fn group_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn config() -> LinkConfig {
        LinkConfig {
            handshakes_unproved_max: 4,
            handshakes_proved_max: 6,
            handshakes_per_address_max: 3,
            failures_per_address_max: 5,
            failure_window: Duration::from_secs(10),
            ..LinkConfig::default()
        }
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// S5: a flood from invented addresses fills the room of the unproved, never that of the proved.
    #[test]
    fn a_flood_of_invented_addresses_costs_others_one_more_round_trip() {
        let (config, now) = (config(), Instant::now());
        let mut admission = Admission::default();
        let held: Vec<_> = (0..4).map(|n| admission.arrive(&config, ip(n), false, now)).collect();
        assert!(held.iter().all(|(decision, _)| *decision == Decision::Begin));
        for n in 0..=255 {
            assert_eq!(admission.arrive(&config, ip(n), false, now).0, Decision::Retry);
        }
        assert_eq!(admission.arrive(&config, ip(99), true, now).0, Decision::Begin);
    }

    /// S5: half-open handshakes "from" an honest node's address do not keep that node out.
    #[test]
    fn whoever_invents_an_address_does_not_use_up_the_share_of_its_owner() {
        let (config, now) = (config(), Instant::now());
        let mut admission = Admission::default();
        let half_open: Vec<_> = (0..3).map(|_| admission.arrive(&config, ip(1), false, now).1).collect();
        assert_eq!(admission.arrive(&config, ip(1), false, now).0, Decision::Retry);
        assert_eq!(admission.arrive(&config, ip(1), true, now).0, Decision::Begin);
        half_open.into_iter().for_each(|ticket| admission.end(ticket.unwrap(), true, now));
        for _ in 0..20 {
            assert_eq!(admission.arrive(&config, ip(1), false, now).0, Decision::Retry);
        }
        assert_eq!(admission.arrive(&config, ip(1), true, now).0, Decision::Begin);
    }

    #[test]
    fn one_address_has_a_share_and_all_together_have_a_bound() {
        let (config, now) = (config(), Instant::now());
        let mut admission = Admission::default();
        let begun: Vec<_> = (0..3).map(|_| admission.arrive(&config, ip(1), true, now)).collect();
        assert!(begun.iter().all(|(decision, _)| *decision == Decision::Begin));
        assert_eq!(admission.arrive(&config, ip(1), true, now).0, Decision::Refuse(Refusal::TooMany));
        for _ in 0..3 {
            assert_eq!(admission.arrive(&config, ip(2), true, now).0, Decision::Begin);
        }
        assert_eq!(admission.arrive(&config, ip(3), true, now).0, Decision::Refuse(Refusal::TooMany));
        for (_, ticket) in begun {
            admission.end(ticket.unwrap(), false, now);
        }
        assert_eq!(admission.arrive(&config, ip(3), true, now).0, Decision::Begin);
    }

    /// S7: guessing keys is cut off for a while, and only for who proved that the address is his.
    #[test]
    fn failures_close_an_address_until_their_window_ends() {
        let (config, now) = (config(), Instant::now());
        let mut admission = Admission::default();
        for _ in 0..5 {
            let (decision, ticket) = admission.arrive(&config, ip(1), true, now);
            assert_eq!(decision, Decision::Begin);
            admission.end(ticket.unwrap(), true, now);
        }
        let refused = Decision::Refuse(Refusal::TooManyFailures);
        assert_eq!(admission.arrive(&config, ip(1), true, now).0, refused);
        assert_eq!(admission.arrive(&config, ip(1), false, now).0, Decision::Retry);
        assert_eq!(admission.arrive(&config, ip(2), false, now).0, Decision::Begin);
        let later = now + config.failure_window;
        assert_eq!(admission.arrive(&config, ip(1), true, later).0, Decision::Begin);
    }

    #[test]
    fn memory_is_bounded_whoever_fails() {
        let (config, now) = (config(), Instant::now());
        let mut admission = Admission::default();
        for n in 0..5000_u32 {
            let address = IpAddr::V4((0x0a00_0000 + n).into());
            let (_, ticket) = admission.arrive(&config, address, true, now);
            admission.end(ticket.unwrap(), true, now);
        }
        assert!(admission.addresses.len() <= ADDRESSES_MAX + 1);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(group_of(address("2001:db8::1:2")), group_of(address("2001:db8::ffff:ffff:1:9")));
        assert_ne!(group_of(address("2001:db8::1")), group_of(address("2001:db8:0:1::1")));
        assert_eq!(group_of(address("::ffff:10.0.0.1")), ip(1));
    }
}
