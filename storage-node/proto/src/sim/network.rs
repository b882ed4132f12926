//! Links between core nodes and storage nodes: what is sent arrives late, twice, or not at all.

use super::random::Random;
use crate::Micros;
use alloc::collections::BTreeMap;

/// One end of a link: storage nodes and core nodes are numbered apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Actor {
    Node(usize),
    Core(usize),
}

#[derive(Debug, Default)]
pub(super) struct Network {
    /// Directions that are broken, and until when.
    broken: BTreeMap<(Actor, Actor), Micros>,
    /// Everything takes longer until then.
    slow_until: Micros,
    /// When the last frame of a connection and direction arrives, where order is kept.
    last: BTreeMap<(u64, bool), Micros>,
}

impl Network {
    pub(super) fn cut(&mut self, from: Actor, to: Actor, until: Micros) {
        self.broken.insert((from, to), until);
    }

    pub(super) fn slow_down(&mut self, until: Micros) {
        self.slow_until = until;
    }

    pub(super) fn heal(&mut self) {
        self.broken.clear();
        self.slow_until = Micros(0);
    }

    pub(super) fn forget(&mut self, connection: u64) {
        self.last.remove(&(connection, false));
        self.last.remove(&(connection, true));
    }

    pub(super) fn passes(&self, from: Actor, to: Actor, now: Micros) -> bool {
        self.broken.get(&(from, to)).is_none_or(|until| *until <= now)
    }

    pub(super) fn delay(&self, random: &mut Random, now: Micros) -> Micros {
        let slow = if now < self.slow_until { random.between(10_000, 300_000) } else { 0 };
        Micros(random.between(100, 900) + slow)
    }

    /// When a frame sent now arrives, behind those sent before it on the same connection.
    pub(super) fn arrival(
        &mut self,
        connection: u64,
        to_node: bool,
        reordering: bool,
        random: &mut Random,
        now: Micros,
    ) -> Micros {
        let spread = if reordering && random.one_in(8) { random.between(0, 20_000) } else { 0 };
        let at = now.plus(self.delay(random, now)).plus(Micros(spread));
        if reordering {
            return at;
        }
        let last = self.last.entry((connection, to_node)).or_default();
        *last = at.max(*last);
        *last
    }
}
