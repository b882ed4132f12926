//! What a client may do, in five words.

use serde::{Deserialize, Serialize};

/// One permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read accounts, tokens, policies, proofs, status.
    Read,
    /// Submit signed transitions and stage policy packages.
    Submit,
    /// Run policies without effect: views and simulation.
    Simulate,
    /// Follow the stream of events.
    Events,
    /// Change the node: topology, configuration, checkpoints.
    Admin,
}

impl Scope {
    /// All, in order.
    pub const ALL: [Scope; 5] = [Scope::Read, Scope::Submit, Scope::Simulate, Scope::Events, Scope::Admin];

    /// Its word in key files, tokens and errors.
    pub const fn word(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Submit => "submit",
            Scope::Simulate => "simulate",
            Scope::Events => "events",
            Scope::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// No scope has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope; there are read, submit, simulate, events, admin")]
pub struct UnknownScope(pub String);

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// None.
    pub const NONE: Scopes = Scopes(0);
    /// All that there are.
    pub const ALL: Scopes = Scopes(0b1_1111);

    /// These.
    pub fn of(scopes: &[Scope]) -> Scopes {
        scopes.iter().fold(Scopes::NONE, |all, scope| Scopes(all.0 | bit(*scope)))
    }

    /// Reads words between spaces or commas, as tokens and configuration have them.
    ///
    /// # Errors
    /// [`UnknownScope`]: a word that is not understood grants nothing, and is said.
    pub fn parse(text: &str) -> Result<Scopes, UnknownScope> {
        let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
        words.try_fold(Scopes::NONE, |all, word| {
            let found = Scope::ALL.into_iter().find(|scope| scope.word() == word);
            Ok(Scopes(all.0 | bit(found.ok_or_else(|| UnknownScope(word.to_owned()))?)))
        })
    }

    /// Whether `scope` is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & bit(scope) != 0
    }

    /// Those that both have.
    pub fn and(self, other: Scopes) -> Scopes {
        Scopes(self.0 & other.0)
    }
}

impl std::str::FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Scopes, UnknownScope> {
        Scopes::parse(text)
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> =
            Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(Scope::word).collect();
        f.write_str(&words.join(" "))
    }
}

const fn bit(scope: Scope) -> u8 {
    1 << scope as u8
}
