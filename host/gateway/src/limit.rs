//! How often a client may ask: so many requests of a class in any minute, exactly.
//!
//! A bucket that refills lets through almost twice its size around a full minute. Here the times of a client's
//! last requests are kept, so the sentence "at most n in any 60 s" has no exception; that is 4 bytes a request.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

/// The length of the window, in ms.
pub const WINDOW_MS: u64 = 60_000;
/// Clients that are remembered. At 1,200 requests each that is 40 MB; beyond them clients share one window.
const CLIENTS_MAX: usize = 8_192;
/// How long it takes until those that were silent are looked for again: looking for them takes longer than answering.
const SWEEP_MS: u64 = 1000;

/// Kinds of requests that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// What is not one of the others.
    Default,
    /// Policies run for the asker: views and simulation.
    Simulation,
    /// Pages through chains: histories, transitions, outbox.
    ChainRead,
    /// Queries of events.
    Events,
}

/// Requests in any minute, by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For [`Class::Default`].
    pub default: u32,
    /// For [`Class::Simulation`].
    pub simulation: u32,
    /// For [`Class::ChainRead`].
    pub chain_read: u32,
    /// For [`Class::Events`].
    pub events: u32,
}

impl Default for Limits {
    /// The numbers of the gateway that operators of chain 138 know.
    fn default() -> Limits {
        Limits { default: 1200, simulation: 600, chain_read: 600, events: 300 }
    }
}

impl Limits {
    /// Nobody counts.
    pub const NONE: Limits =
        Limits { default: u32::MAX, simulation: u32::MAX, chain_read: u32::MAX, events: u32::MAX };

    /// The limit of a class.
    pub const fn of(&self, class: Class) -> u32 {
        match class {
            Class::Default => self.default,
            Class::Simulation => self.simulation,
            Class::ChainRead => self.chain_read,
            Class::Events => self.events,
        }
    }

    /// `times` as many of each.
    pub const fn times(&self, times: u32) -> Limits {
        Limits {
            default: self.default.saturating_mul(times),
            simulation: self.simulation.saturating_mul(times),
            chain_read: self.chain_read.saturating_mul(times),
            events: self.events.saturating_mul(times),
        }
    }
}

/// The last requests of all clients.
#[derive(Debug)]
pub struct Limiter<C> {
    windows: BTreeMap<(C, Class), Window>,
    /// For clients that come when there is no place left.
    crowd: BTreeMap<Class, Window>,
    /// When the silent ones may be looked for again.
    sweep_ms: u64,
}

/// The requests of the last minute, oldest first, in ms after the first of them that was ever kept.
#[derive(Debug)]
struct Window {
    base_ms: u64,
    times: VecDeque<u32>,
}

impl<C: Ord + Clone + Hash> Default for Limiter<C> {
    fn default() -> Self {
        Limiter { windows: BTreeMap::new(), crowd: BTreeMap::new(), sweep_ms: 0 }
    }
}

impl<C: Ord + Clone + Hash> Limiter<C> {
    /// Counts a request at `now_ms`, if there is room for it.
    ///
    /// # Errors
    /// How long to wait for room, in ms; a refused request is not counted.
    pub fn admit(&mut self, client: &C, class: Class, limits: &Limits, now_ms: u64) -> Result<u32, u64> {
        let key = (client.clone(), class);
        let known = self.windows.contains_key(&key);
        if !known && self.windows.len() >= CLIENTS_MAX && now_ms >= self.sweep_ms {
            self.windows.retain(|_, window| window.is_busy(now_ms));
            self.sweep_ms = now_ms + SWEEP_MS;
        }
        let full = self.windows.len() >= CLIENTS_MAX;
        let window = match known || !full {
            true => self.windows.entry(key).or_insert_with(|| Window::new(now_ms)),
            false => self.crowd.entry(class).or_insert_with(|| Window::new(now_ms)),
        };
        window.admit(limits.of(class), now_ms)
    }

    /// How many windows are kept.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }
}

impl Window {
    fn new(now_ms: u64) -> Window {
        Window { base_ms: now_ms, times: VecDeque::new() }
    }

    fn is_busy(&self, now_ms: u64) -> bool {
        self.times.back().is_some_and(|last| self.base_ms + u64::from(*last) + WINDOW_MS > now_ms)
    }

    fn admit(&mut self, limit: u32, now_ms: u64) -> Result<u32, u64> {
        while self.times.front().is_some_and(|first| self.base_ms + u64::from(*first) + WINDOW_MS <= now_ms) {
            self.times.pop_front();
        }
        if self.times.is_empty() {
            self.base_ms = now_ms;
        }
        let used = self.times.len() as u64;
        if used >= u64::from(limit) {
            let first = self.times.front().map_or(now_ms, |first| self.base_ms + u64::from(*first));
            return Err((first + WINDOW_MS).saturating_sub(now_ms).max(1));
        }
        // A client that never pauses for a minute would overflow after 49 days: the window starts anew a day earlier.
        let offset = u32::try_from(now_ms.saturating_sub(self.base_ms)).unwrap_or(u32::MAX);
        if offset > u32::MAX - 86_400_000 {
            self.rebase();
            return self.admit(limit, now_ms);
        }
        // Time that ran backwards counts as standing still.
        let last = self.times.back().copied().unwrap_or(0);
        self.times.push_back(offset.max(last));
        Ok(limit - self.times.len() as u32)
    }

    fn rebase(&mut self) {
        let first = self.times.front().copied().unwrap_or(0);
        self.base_ms += u64::from(first);
        for time in &mut self.times {
            *time -= first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { default: 5, simulation: 3, chain_read: 3, events: 2 };

    #[test]
    fn a_client_that_never_pauses_is_counted_after_many_days() {
        let mut window = Window::new(0);
        for second in 0..5_000_000u64 {
            assert!(window.admit(100, second * 1000).is_ok(), "second {second}");
            assert!(window.times.len() <= 60);
        }
    }

    #[test]
    fn a_crowd_of_addresses_shares_what_is_left_and_memory_stays_bounded() {
        let mut limiter = Limiter::default();
        let mut admitted = 0;
        for client in 0..(CLIENTS_MAX as u32 + 1000) {
            admitted += u32::from(limiter.admit(&client, Class::Default, &LIMITS, 10).is_ok());
        }
        assert_eq!(admitted, CLIENTS_MAX as u32 + LIMITS.default);
        assert_eq!(limiter.len(), CLIENTS_MAX);
        assert!(limiter.admit(&u32::MAX, Class::Default, &LIMITS, 10 + WINDOW_MS).is_ok());
        assert_eq!(limiter.len(), 1, "who was silent for a minute is forgotten");
    }

    /// A flood of new addresses made the door walk over all windows for each request, with everybody waiting.
    #[test]
    fn a_crowd_has_the_silent_ones_looked_for_once_a_second() {
        let mut limiter = Limiter::default();
        for client in 0..=CLIENTS_MAX as u32 {
            assert!(limiter.admit(&client, Class::Default, &LIMITS, 0).is_ok());
        }
        assert_eq!((limiter.len(), limiter.sweep_ms), (CLIENTS_MAX, SWEEP_MS));
        for client in 0..100u32 {
            limiter.admit(&(u32::MAX - client), Class::Default, &LIMITS, SWEEP_MS - 1).ok();
        }
        assert_eq!(limiter.sweep_ms, SWEEP_MS, "nobody looked");
        limiter.admit(&u32::MAX, Class::Default, &LIMITS, SWEEP_MS).ok();
        assert_eq!(limiter.sweep_ms, 2 * SWEEP_MS);
    }

    proptest! {
        #[test]
        fn no_minute_holds_more_than_the_limit_and_no_room_is_wasted(gaps in prop::collection::vec(0u64..20_000, 1..200)) {
            let mut limiter = Limiter::default();
            let (mut now, mut admitted): (u64, Vec<u64>) = (1_000_000, Vec::new());
            for gap in gaps {
                now += gap;
                let recent = admitted.iter().filter(|time| **time + WINDOW_MS > now).count();
                match limiter.admit(&"client", Class::Default, &LIMITS, now) {
                    Ok(left) => {
                        admitted.push(now);
                        prop_assert_eq!(left as usize, 5 - 1 - recent);
                    }
                    Err(wait) => {
                        prop_assert_eq!(recent, 5);
                        // Exactly then there is room again, and not a millisecond before.
                        let first = admitted[admitted.len() - 5];
                        prop_assert_eq!(now + wait, first + WINDOW_MS);
                    }
                }
                let worst = admitted.iter().map(|start| admitted.iter().filter(|time| (*start..*start + WINDOW_MS).contains(time)).count());
                prop_assert!(worst.max().unwrap_or(0) <= 5);
            }
        }
    }
}
