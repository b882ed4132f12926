//! Identifiers: 32-byte digests, one type per kind of thing, written as lower-case hex.

use borsh::{BorshDeserialize, BorshSerialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                write_hex(&self.0, f)?;
                f.write_str(")")
            }
        }

        impl core::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                read_hex(text).map(Self)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text: alloc::borrow::Cow<'de, str> = serde::Deserialize::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A tagged BLAKE3-256 digest of something that has no type of its own.
    Digest
    /// An account: the digest of its genesis.
    AccountId
    /// One state of an account chain.
    StateId
    /// A token: the digest of issuer, policies and salt, so it is known before the token exists.
    TokenId
    /// One state of a token chain.
    TokenStateId
    /// A transition: the digest of its unsigned body. Signatures are never part of an id.
    TransitionId
    /// A policy: the multihash digest of its document's CIDv1 (dag-cbor, blake3).
    PolicyId
    /// A public key with its suite byte.
    KeyId
    /// A credit that waits in an inbox.
    CreditId
    /// A hold on part of a balance.
    HoldId
    /// A network: the digest of its genesis. Every signature is bound to one.
    NetworkId
    /// A bridge to an EVM chain: the digest of its configuration, first trusted set included.
    BridgeId
}

impl StateId {
    /// The parent of a chain's first state.
    pub const NONE: StateId = StateId([0; 32]);
}

impl TokenStateId {
    /// The parent of a token chain's first state.
    pub const NONE: TokenStateId = TokenStateId([0; 32]);
}

impl TokenId {
    /// Stands in a [`crate::Leg`] whose operation concerns no token.
    pub const NONE: TokenId = TokenId([0; 32]);
}

/// Text that is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

impl core::fmt::Display for IdError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an id is 64 lower-case hex digits")
    }
}

impl core::error::Error for IdError {}

fn write_hex(bytes: &[u8; 32], f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn read_hex(text: &str) -> Result<[u8; 32], IdError> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Ok(c - b'0'),
        b'a'..=b'f' => Ok(c - b'a' + 10),
        _ => Err(IdError),
    };
    let text: &[u8; 64] = text.as_bytes().try_into().map_err(|_| IdError)?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}
