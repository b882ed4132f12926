//! The bytes of the boundary, read and written without Borsh's generic readers and error values.
//!
//! The layout is Borsh's, exactly; only the code is smaller and faster inside a module: the host writes every
//! input, so malformed bytes are a fault, not an error to carry around. Each struct and enum is listed once for
//! both directions, a field or variant left out does not compile, and a test compares with Borsh.

use crate::abi::{
    AccountId, Action, Answer, Argument, CreditId, Denial, DenialCode, Description, Digest, Effect, Evidence,
    EvidenceKind, Field, ForeignBalance, ForeignRead, ForeignTarget, Hold, HoldId, HoldKind, Input, KeyId, Leg,
    Method, NetworkId, Parameter, Party, SignedKey, Signer, TokenId, TokenView, Value, ValueType, Verdict,
    ViewInput,
};
use alloc::{borrow::ToOwned, string::String, vec::Vec};

/// Something with a fixed layout in bytes.
pub(crate) trait Wire: Sized {
    /// Reads one value; malformed bytes are a fault.
    fn read(bytes: &mut Reader<'_>) -> Self;
    /// Appends the value.
    fn write(&self, out: &mut Vec<u8>);
}

/// The value whose encoding is exactly `bytes`; anything else is a fault.
pub(crate) fn read<T: Wire>(bytes: &[u8]) -> T {
    let mut reader = Reader(bytes);
    let value = T::read(&mut reader);
    if !reader.0.is_empty() {
        fault("bytes are left over");
    }
    value
}

/// The encoding of `value`.
pub(crate) fn write<T: Wire>(value: &T) -> Vec<u8> {
    // Most verdicts are one empty list or a few short effects.
    let mut out = Vec::with_capacity(256);
    value.write(&mut out);
    out
}

/// Ends the evaluation without a verdict: a trap on wasm32, a panic natively.
#[cold]
pub(crate) fn fault(why: &str) -> ! {
    #[cfg(target_arch = "wasm32")]
    {
        let _ = why;
        core::arch::wasm32::unreachable()
    }
    #[cfg(not(target_arch = "wasm32"))]
    panic!("fault: {why}")
}

/// Bytes not yet read.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let Some((taken, rest)) = self.0.split_at_checked(len) else { fault("the input ends early") };
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let Some((taken, rest)) = self.0.split_first_chunk() else { fault("the input ends early") };
        self.0 = rest;
        *taken
    }

    fn len(&mut self) -> usize {
        u32::from_le_bytes(self.array()) as usize
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    (bytes.len() as u32).write(out);
    put(bytes, out);
}

/// Out of line: most of a module's encoding code is this, and verdicts are short.
#[inline(never)]
fn put(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Wire for $number {
            #[inline]
            fn read(bytes: &mut Reader<'_>) -> Self {
                <$number>::from_le_bytes(bytes.array())
            }
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                put(&self.to_le_bytes(), out);
            }
        }
    )*};
}
numbers!(u8 u16 u32 u64 u128 i128);

macro_rules! ids {
    ($($id:ident)*) => {$(
        impl Wire for $id {
            #[inline]
            fn read(bytes: &mut Reader<'_>) -> Self {
                $id(bytes.array())
            }
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                put(&self.0, out);
            }
        }
    )*};
}
ids!(AccountId CreditId Digest HoldId KeyId NetworkId TokenId);

macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Wire for $name {
            fn read(bytes: &mut Reader<'_>) -> Self {
                $(let $field = Wire::read(bytes);)*
                $name { $($field),* }
            }
            fn write(&self, out: &mut Vec<u8>) {
                let $name { $($field),* } = self;
                $($field.write(out);)*
            }
        }
    )*};
}

structs! {
    Input { abi, policy_index, leg, time_ms, network, token, legs, signers, parties, params, evidence, foreign }
    ViewInput { abi, policy_index, time_ms, network, token, params, query, args }
    TokenView { id, height, issuer, supply, cap, decimals }
    Leg { token, actor, action }
    Signer { account, keys }
    SignedKey { key, role }
    Party { account, balance, available, frozen, holds }
    ForeignBalance { read, token, account, balance, available }
    Hold { id, token, owner, beneficiary, amount, kind, expires_ms }
    Field { name, value }
    Denial { code, reason, field, hint }
    Description {
        abi, name, version, summary, params, methods, queries, denials, evidence, foreign_reads
    }
    Parameter { name, value_type, doc }
    Method { name, args, doc }
    Argument { name, value_type }
    DenialCode { code, name, text }
    ForeignRead { target, policy_index }
}

macro_rules! enums {
    ($($name:ident { $($tag:literal $variant:ident { $($field:ident $(: $at:tt)?),* })* })*) => {$(
        impl Wire for $name {
            fn read(bytes: &mut Reader<'_>) -> Self {
                match u8::read(bytes) {
                    $($tag => {
                        $(let $field = Wire::read(bytes);)*
                        enums!(@build $name $variant { $($field $(: $at)?),* })
                    })*
                    _ => fault("an unknown tag"),
                }
            }
            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(enums!(@build $name $variant { $($field $(: $at)?),* }) => {
                        put(&[$tag], out);
                        $($field.write(out);)*
                    })*
                }
            }
        }
    )*};
    (@build $name:ident $variant:ident { $field:ident : 0 }) => { $name::$variant($field) };
    (@build $name:ident $variant:ident { $($field:ident),* }) => { $name::$variant { $($field),* } };
}

enums! {
    Action {
        0 Create {}
        1 Mint { to, amount }
        2 Burn { amount }
        3 Transfer { to, amount, bilateral }
        4 Claim { credit, from, amount }
        5 Hold { beneficiary, amount, kind, expires_ms }
        6 Release { hold }
        7 Execute { hold }
        8 Invoke { policy_index, method, args }
        9 Other {}
    }
    HoldKind { 0 Pledge {} 1 Lien {} 2 Lock {} 3 Escrow {} }
    Evidence {
        0 Credential { issuer, subject, schema, serial, expires_ms, claims }
        1 HashPreimage { algorithm, digest, preimage }
        2 Attestation { account, key, role, topic, payload }
    }
    Value {
        0 Bool { inner: 0 }
        1 U64 { inner: 0 }
        2 U128 { inner: 0 }
        3 I128 { inner: 0 }
        4 Text { inner: 0 }
        5 Bytes { inner: 0 }
        6 Digest { inner: 0 }
        7 Account { inner: 0 }
        8 Token { inner: 0 }
        9 Key { inner: 0 }
        10 Accounts { inner: 0 }
        11 Keys { inner: 0 }
        12 Texts { inner: 0 }
    }
    ValueType {
        0 Bool {}
        1 U64 {}
        2 U128 {}
        3 I128 {}
        4 Text {}
        5 Bytes {}
        6 Digest {}
        7 Account {}
        8 Token {}
        9 Key {}
        10 Accounts {}
        11 Keys {}
        12 Texts {}
    }
    Verdict { 0 Accept { inner: 0 } 1 Reject { inner: 0 } }
    Answer { 0 Fields { inner: 0 } 1 Reject { inner: 0 } }
    Effect {
        0 SetState { key, value }
        1 DeleteState { key }
        2 CreateHold { owner, beneficiary, amount, kind, expires_ms }
        3 ExtendHold { hold, expires_ms }
        4 ReleaseHold { hold }
        5 ExecuteHold { hold }
        6 Event { topic, payload }
        7 Freeze { account }
        8 Unfreeze { account }
        9 Mint { to, amount }
        10 Burn { from, amount }
        11 Transfer { from, to, amount }
    }
    EvidenceKind { 0 Credential {} 1 HashPreimage {} 2 Attestation {} }
    ForeignTarget { 0 Token { inner: 0 } 1 Parameter { inner: 0 } }
}

impl Wire for bool {
    fn read(bytes: &mut Reader<'_>) -> Self {
        match u8::read(bytes) {
            0 => false,
            1 => true,
            _ => fault("neither true nor false"),
        }
    }
    fn write(&self, out: &mut Vec<u8>) {
        put(&[u8::from(*self)], out);
    }
}

impl Wire for String {
    fn read(bytes: &mut Reader<'_>) -> Self {
        let len = bytes.len();
        match core::str::from_utf8(bytes.take(len)) {
            Ok(text) => text.to_owned(),
            Err(_) => fault("not UTF-8"),
        }
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), out);
    }
}

impl<T: Wire> Wire for Option<T> {
    fn read(bytes: &mut Reader<'_>) -> Self {
        bool::read(bytes).then(|| T::read(bytes))
    }
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(inner) = self {
            inner.write(out);
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn read(bytes: &mut Reader<'_>) -> Self {
        let len = bytes.len();
        // Each element takes at least one byte, so a length that lies is found before memory is taken for it.
        if len > bytes.0.len() {
            fault("the input ends early");
        }
        let mut list = Vec::with_capacity(len);
        list.extend((0..len).map(|_| T::read(bytes)));
        list
    }
    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u32).write(out);
        self.iter().for_each(|element| element.write(out));
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn read(bytes: &mut Reader<'_>) -> Self {
        let first = A::read(bytes);
        (first, B::read(bytes))
    }
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
}
