//! The bytes of the boundary, read and written without Borsh's generic readers and error values.
//!
//! The layout is Borsh's, exactly; only the code is smaller and faster inside a module: the host writes every
//! input, so malformed bytes are a fault, not an error to carry around. Each struct and enum is listed once for
//! both directions, a field or variant left out does not compile, and a test compares with Borsh.

use crate::abi::{
    AccountId, Action, Answer, Argument, BridgeId, CreditId, Denial, DenialCode, Description, Digest, Effect,
    Evidence, EvidenceKind, Field, ForeignBalance, ForeignRead, ForeignTarget, Hold, HoldId, HoldKind, Input,
    KeyId, Leg, Method, NetworkId, Observation, Parameter, Party, PolicyId, SignedKey, Signer, TokenId,
    TokenView, Trust, Value, ValueType, Verdict, ViewInput,
};
use alloc::{borrow::ToOwned, string::String, vec::Vec};

/// Something with a fixed layout in bytes.
pub(crate) trait Wire: Sized {
    /// Reads one value; malformed bytes are a fault.
    fn read(bytes: &mut Reader<'_>) -> Self;
    /// Appends the value.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads the elements of a list of `len`.
    fn read_list(bytes: &mut Reader<'_>, len: usize) -> Vec<Self> {
        let mut list = Vec::with_capacity(len);
        list.extend((0..len).map(|_| Self::read(bytes)));
        list
    }

    /// Appends the elements of a list.
    fn write_list(list: &[Self], out: &mut Vec<u8>) {
        list.iter().for_each(|element| element.write(out));
    }
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
numbers!(u16 u32 u64 u128 i128);

/// Lists of bytes are most of a verdict: they are copied whole.
impl Wire for u8 {
    #[inline]
    fn read(bytes: &mut Reader<'_>) -> Self {
        bytes.array::<1>()[0]
    }
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        put(&[*self], out);
    }
    fn read_list(bytes: &mut Reader<'_>, len: usize) -> Vec<Self> {
        bytes.take(len).to_vec()
    }
    fn write_list(list: &[Self], out: &mut Vec<u8>) {
        put(list, out);
    }
}

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
ids!(AccountId BridgeId CreditId Digest HoldId KeyId NetworkId PolicyId TokenId);

macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Wire for $name {
            #[inline(always)]
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
    Observation { account, key, role, answer, observed_ms }
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
            #[inline(always)]
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
        10 Upgrade { policy_index, from }
    }
    HoldKind { 0 Pledge {} 1 Lien {} 2 Lock {} 3 Escrow {} }
    Evidence {
        0 Credential { issuer, subject, schema, serial, expires_ms, claims }
        1 HashPreimage { algorithm, digest, preimage }
        2 Attestation { account, key, role, topic, payload }
        3 BridgeProof {
            bridge, chain_id, contract, nonce, kind, asset, sender, token, recipient, amount, deadline_ms,
            commitment, height, trust
        }
        4 OracleRound { feed, round, decimals, observations }
    }
    Trust { 0 Qbft {} 1 QbftContract {} 2 Attested {} }
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
        12 Emit { lane, payload }
        13 ScheduleUpgrade { policy_index, policy, params, due_ms }
        14 CancelUpgrade { policy_index }
    }
    EvidenceKind { 0 Credential {} 1 HashPreimage {} 2 Attestation {} 3 BridgeProof {} 4 OracleRound {} }
    ForeignTarget { 0 Token { inner: 0 } 1 Parameter { inner: 0 } }
}

/// An address of an EVM chain.
impl Wire for [u8; 20] {
    fn read(bytes: &mut Reader<'_>) -> Self {
        bytes.array()
    }
    fn write(&self, out: &mut Vec<u8>) {
        put(self, out);
    }
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
        T::read_list(bytes, len)
    }
    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u32).write(out);
        T::write_list(self, out);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{decode, encode};
    use crate::bench::{ISSUER, Scene, TOKEN, account, key};
    use alloc::vec;
    use borsh::{BorshDeserialize, BorshSerialize};
    use core::fmt::Debug;

    /// Both codecs write the same bytes and read each other's.
    fn agree<T: Wire + BorshSerialize + BorshDeserialize + PartialEq + Debug>(value: &T) {
        let bytes = encode(value);
        assert_eq!(write(value), bytes, "{value:?}");
        assert_eq!(&read::<T>(&bytes), value);
        assert_eq!(&decode::<T>(&bytes, bytes.len()).unwrap(), value);
    }

    fn values() -> Vec<Value> {
        vec![
            Value::Bool(true),
            Value::U64(u64::MAX - 1),
            Value::U128(u128::MAX - 2),
            Value::I128(i128::MIN + 3),
            Value::Text("þorn".into()),
            Value::Bytes(vec![0, 255, 7]),
            Value::Digest(Digest([1; 32])),
            Value::Account(ISSUER),
            Value::Token(TOKEN),
            Value::Key(key(9)),
            Value::Accounts(vec![account(1), account(2)]),
            Value::Keys(vec![key(1), key(2), key(3)]),
            Value::Texts(vec![String::new(), "b".into()]),
        ]
    }

    fn hold(kind: HoldKind, expires_ms: Option<u64>) -> Hold {
        let (owner, beneficiary) = (account(1), account(2));
        Hold { id: HoldId([4; 32]), token: TOKEN, owner, beneficiary, amount: 1 << 90, kind, expires_ms }
    }

    fn actions() -> Vec<Action> {
        let (to, amount, credit) = (account(2), u128::MAX / 3, CreditId([6; 32]));
        vec![
            Action::Create,
            Action::Mint { to, amount },
            Action::Burn { amount },
            Action::Transfer { to, amount, bilateral: true },
            Action::Claim { credit, from: to, amount },
            Action::Hold { beneficiary: to, amount, kind: HoldKind::Lock, expires_ms: Some(5) },
            Action::Release { hold: hold(HoldKind::Pledge, None) },
            Action::Execute { hold: hold(HoldKind::Escrow, Some(u64::MAX)) },
            Action::Invoke { policy_index: 3, method: "pause".into(), args: values() },
            Action::Other,
            Action::Upgrade { policy_index: 4, from: PolicyId([8; 32]) },
        ]
    }

    fn evidence() -> Vec<Evidence> {
        let claims = vec![Field { name: "country".into(), value: Value::Text("IS".into()) }];
        let (issuer, subject, serial) = (account(3), account(4), Digest([5; 32]));
        vec![
            Evidence::Credential { issuer, subject, schema: "kyc/1".into(), serial, expires_ms: 9, claims },
            Evidence::HashPreimage { algorithm: 2, digest: serial, preimage: vec![1, 2] },
            Evidence::Attestation {
                account: issuer,
                key: key(7),
                role: 8,
                topic: "fire".into(),
                payload: vec![3],
            },
            lock(Trust::Qbft),
            lock(Trust::QbftContract),
            lock(Trust::Attested),
            Evidence::OracleRound {
                feed: serial,
                round: u64::MAX - 4,
                decimals: 18,
                observations: vec![
                    Observation {
                        account: account(1),
                        key: key(2),
                        role: 3,
                        answer: i128::MIN,
                        observed_ms: 4,
                    },
                    Observation {
                        account: account(5),
                        key: key(6),
                        role: 7,
                        answer: 8,
                        observed_ms: u64::MAX,
                    },
                ],
            },
        ]
    }

    fn lock(trust: Trust) -> Evidence {
        Evidence::BridgeProof {
            bridge: BridgeId([1; 32]),
            chain_id: 138,
            contract: [2; 20],
            nonce: 3,
            kind: 2,
            asset: [4; 20],
            sender: [5; 20],
            token: TOKEN,
            recipient: account(6),
            amount: u128::MAX / 5,
            deadline_ms: 7_000,
            commitment: Digest([8; 32]),
            height: 9,
            trust,
        }
    }

    #[test]
    fn inputs_have_the_layout_of_borsh() {
        let mut scene = Scene::new(values()).signed(account(1), &[key(1), key(2)]).party(account(1), 7, 6);
        scene = actions().into_iter().fold(scene, |scene, action| scene.leg(account(1), action));
        scene = evidence().into_iter().fold(scene, Scene::evidence);
        let balance = ForeignBalance { read: 1, token: TOKEN, account: account(1), balance: 5, available: 4 };
        let scene = scene.foreign_balance(balance).with(|input| {
            input.token.cap = Some(1 << 100);
            input.leg = 8;
            input.parties[0].frozen = true;
            input.parties[0].holds = vec![hold(HoldKind::Lien, Some(1)), hold(HoldKind::Pledge, None)];
            agree(input);
        });
        let case = scene.answers("", "balance", values(), crate::Fields::new());
        let crate::bench::Call::View(view) = case.call else { panic!("a query") };
        agree(&view);
    }

    #[test]
    fn verdicts_have_the_layout_of_borsh() {
        let (to, amount, hold) = (account(2), u128::MAX / 7, HoldId([3; 32]));
        agree(&Verdict::Accept(vec![]));
        agree(&Verdict::Accept(vec![
            Effect::SetState { key: vec![1], value: vec![] },
            Effect::DeleteState { key: vec![2, 3] },
            Effect::CreateHold {
                owner: to,
                beneficiary: ISSUER,
                amount,
                kind: HoldKind::Escrow,
                expires_ms: Some(4),
            },
            Effect::ExtendHold { hold, expires_ms: None },
            Effect::ReleaseHold { hold },
            Effect::ExecuteHold { hold },
            Effect::Event { topic: "t".into(), payload: vec![9] },
            Effect::Freeze { account: to },
            Effect::Unfreeze { account: to },
            Effect::Mint { to, amount },
            Effect::Burn { from: to, amount },
            Effect::Transfer { from: ISSUER, to, amount },
            Effect::Emit { lane: 1, payload: vec![1, 2, 3] },
            Effect::ScheduleUpgrade {
                policy_index: 2,
                policy: PolicyId([9; 32]),
                params: values(),
                due_ms: u64::MAX - 5,
            },
            Effect::CancelUpgrade { policy_index: 255 },
        ]));
        let denial = Denial { code: 777, reason: "no".into(), field: "amount".into(), hint: "less".into() };
        agree(&Verdict::Reject(denial.clone()));
        agree(&Answer::Reject(denial));
        agree(&Answer::Fields(values().into_iter().map(|value| Field { name: "n".into(), value }).collect()));
    }

    #[test]
    fn descriptions_have_the_layout_of_borsh() {
        let args: Vec<Argument> = ValueType::ALL
            .iter()
            .map(|value_type| Argument { name: value_type.word().into(), value_type: *value_type })
            .collect();
        let method = Method { name: "m".into(), args, doc: "d".into() };
        agree(&Description {
            abi: 1,
            name: "n".into(),
            version: "1.2.3".into(),
            summary: "s".into(),
            params: vec![Parameter { name: "p".into(), value_type: ValueType::Texts, doc: "d".into() }],
            methods: vec![method.clone()],
            queries: vec![method],
            denials: vec![DenialCode { code: 100, name: "x".into(), text: "y".into() }],
            evidence: vec![
                EvidenceKind::Credential,
                EvidenceKind::HashPreimage,
                EvidenceKind::Attestation,
                EvidenceKind::BridgeProof,
                EvidenceKind::OracleRound,
            ],
            foreign_reads: vec![
                ForeignRead { target: ForeignTarget::Token(TOKEN), policy_index: 1 },
                ForeignRead { target: ForeignTarget::Parameter("cash".into()), policy_index: 2 },
            ],
        });
    }

    #[test]
    #[should_panic(expected = "bytes are left over")]
    fn a_byte_too_many_is_a_fault() {
        read::<u64>(&[0; 9]);
    }

    #[test]
    #[should_panic(expected = "the input ends early")]
    fn a_length_that_lies_is_a_fault() {
        read::<Vec<Leg>>(&[255, 255, 255, 255, 0]);
    }

    #[test]
    #[should_panic(expected = "an unknown tag")]
    fn an_unknown_tag_is_a_fault() {
        read::<Action>(&[11]);
    }
}
