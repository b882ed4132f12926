//! ABI.md, dsm1.wit and the C header say what this crate does: tables are compared, and every type is encoded here and
//! walked by the layouts of the page, to the last byte.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use dsm_abi::*;
use std::collections::BTreeMap;
use std::fmt::Debug;

const PAGE: &str = include_str!("../ABI.md");
const WIT: &str = include_str!("../dsm1.wit");
const HEADER: &str = include_str!("../../policy/c/dsm_policy.h");

/// The rows of the table that stands after a heading, as cells without backticks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, after) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let lines =
        after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>()
    };
    lines.skip(2).map(cells).collect()
}

#[test]
fn the_host_functions_are_those_of_the_table() {
    let rows = table("The host functions");
    assert_eq!(rows.len(), import::IMPORTS.len());
    for (row, import) in rows.iter().zip(import::IMPORTS) {
        assert_eq!(row[0], import.name);
        assert_eq!(row[1].split(", ").count(), import.params, "{}", import.name);
        assert_eq!(row[2], if import.returns { "i32" } else { "" }, "{}", import.name);
        assert_eq!(
            (row[3].parse(), row[4].parse()),
            (Ok(import.fuel), Ok(import.fuel_per_byte)),
            "{}",
            import.name
        );
        // The names of parameters are those that the gate tells authors.
        let (_, told) = import.doc.split_once('(').unwrap();
        assert_eq!(row[1], told.split_once(')').unwrap().0, "{}", import.name);
        let kebab = |text: &str| text.replace('_', "-");
        let params: Vec<String> = row[1].split(", ").map(|param| format!("{}: u32", kebab(param))).collect();
        let result = if import.returns { " -> s32" } else { "" };
        let line = format!("    {}: func({}){result};", kebab(import.name), params.join(", "));
        assert!(WIT.contains(&line), "dsm1.wit has no line {line:?}");
    }
}

#[test]
fn the_header_declares_the_host_functions() {
    let declared: Vec<&str> = HEADER.lines().filter(|line| line.starts_with("DSM_IMPORT(")).collect();
    assert_eq!(declared.len(), import::IMPORTS.len());
    for (line, import) in declared.iter().zip(import::IMPORTS) {
        let (name, rest) = line.strip_prefix("DSM_IMPORT(").unwrap().split_once(") ").unwrap();
        assert_eq!(name, import.name);
        let result = if import.returns { "int" } else { "void" };
        let (called, params) = rest.split_once('(').unwrap();
        assert_eq!(called, format!("{result} dsm1_{name}"));
        assert_eq!(params.strip_suffix(");").unwrap().split(", ").count(), import.params, "{name}");
    }
    let numbers = [
        ("DSM_BLAKE3", import::hash_alg::BLAKE3),
        ("DSM_SHA256", import::hash_alg::SHA256),
        ("DSM_KECCAK256", import::hash_alg::KECCAK256),
        ("DSM_ML_DSA_65", import::verify_alg::ML_DSA_65),
        ("DSM_ED25519", import::verify_alg::ED25519),
        ("DSM_SECP256K1_RECOVER", import::verify_alg::SECP256K1_RECOVER),
    ];
    for (name, number) in numbers {
        assert!(HEADER.contains(&format!("{name} = {number}")), "{name}");
    }
    assert!(HEADER.contains(&format!("#define DSM_ABI_VERSION {ABI_VERSION}\n")));
}

/// Every limit that crosses the boundary, by name.
fn limits() -> Vec<(&'static str, usize)> {
    macro_rules! named {
        ($($name:ident)*) => { vec![$((stringify!($name), limit::$name as usize)),*] };
    }
    named![
        MODULE_BYTES_MAX INPUT_BYTES_MAX OUTPUT_BYTES_MAX DESCRIPTION_BYTES_MAX STATE_KEY_BYTES_MAX
        STATE_VALUE_BYTES_MAX STATE_READS_MAX STATE_WRITES_MAX EFFECTS_MAX REASON_BYTES_MAX FIELD_BYTES_MAX
        HINT_BYTES_MAX TOPIC_BYTES_MAX EVENT_BYTES_MAX EMIT_BYTES_MAX NOTE_BYTES_MAX NOTES_MAX VALUES_MAX
        OPERATIONS_MAX DERIVED_LEGS_MAX POLICIES_MAX HOLDS_MAX EVIDENCE_MAX OBSERVATIONS_MAX
    ]
}

#[test]
fn the_limits_are_those_of_the_table_and_of_the_header() {
    let rows: Vec<(String, usize)> =
        table("Limits").into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect();
    let limits: Vec<(String, usize)> =
        limits().into_iter().map(|(name, most)| (name.to_owned(), most)).collect();
    assert_eq!(rows, limits);
    let mut found = 0;
    for line in HEADER.lines().filter(|line| line.starts_with("    DSM_") && line.contains("_MAX = ")) {
        let (name, most) = line.trim().trim_end_matches(',').split_once(" = ").unwrap();
        let name = name.strip_prefix("DSM_").unwrap();
        let limit = limits.iter().find(|(known, _)| known == name);
        assert_eq!(limit.map(|(_, most)| *most), Some(most.parse().unwrap()), "{name}");
        found += 1;
    }
    assert!(found >= 14, "only {found} limits in the header");
}

/// The types of the page: for a structure its fields, for an enum each variant with its number and its fields.
#[derive(Debug)]
enum Layout {
    Struct(Vec<(String, String)>),
    Enum(Vec<(String, Vec<(String, String)>)>),
}

fn field(text: &str) -> (String, String) {
    let (name, of) = text.trim().split_once(' ').expect("a name and a type");
    (name.to_owned(), of.to_owned())
}

fn layouts() -> BTreeMap<String, Layout> {
    let mut layouts = BTreeMap::new();
    for block in PAGE.split("```layout\n").skip(1).map(|rest| rest.split_once("```").unwrap().0) {
        for part in block.trim_end().split("\n\n") {
            let mut lines = part.lines();
            let (kind, name) = lines.next().unwrap().split_once(' ').unwrap();
            let layout = match kind {
                "struct" => Layout::Struct(lines.map(field).collect()),
                "enum" => Layout::Enum(
                    lines
                        .enumerate()
                        .map(|(number, line)| {
                            let mut words = line.trim().splitn(3, ' ');
                            assert_eq!(words.next().unwrap(), number.to_string(), "{name}");
                            let variant = words.next().unwrap().to_owned();
                            (
                                variant,
                                words.next().into_iter().flat_map(|all| all.split(", ")).map(field).collect(),
                            )
                        })
                        .collect(),
                ),
                other => panic!("{other}"),
            };
            assert!(layouts.insert(name.to_owned(), layout).is_none(), "{name} twice");
        }
    }
    layouts
}

/// Steps over one value of the type as the page describes it, and records the variants met.
fn walk<'a>(of: &str, bytes: &'a [u8], types: &BTreeMap<String, Layout>, met: &mut Vec<String>) -> &'a [u8] {
    let count = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    let fixed = |size: usize| &bytes[size..];
    match of {
        "u8" => fixed(1),
        "u16" => fixed(2),
        "u32" => fixed(4),
        "u64" => fixed(8),
        "u128" | "i128" => fixed(16),
        "id" => fixed(32),
        "address" => fixed(20),
        "bool" => {
            assert!(bytes[0] < 2);
            fixed(1)
        }
        "text" | "bytes" => {
            let end = 4 + count(bytes);
            assert!(of == "bytes" || std::str::from_utf8(&bytes[4..end]).is_ok());
            &bytes[end..]
        }
        _ => {
            if let Some(inner) = of.strip_prefix("list ") {
                return (0..count(bytes)).fold(&bytes[4..], |rest, _| walk(inner, rest, types, met));
            }
            if let Some(inner) = of.strip_prefix("option ") {
                assert!(bytes[0] < 2);
                return if bytes[0] == 1 { walk(inner, &bytes[1..], types, met) } else { &bytes[1..] };
            }
            match types.get(of).unwrap_or_else(|| panic!("the page does not describe {of}")) {
                Layout::Struct(fields) => {
                    fields.iter().fold(bytes, |rest, (_, of)| walk(of, rest, types, met))
                }
                Layout::Enum(variants) => {
                    let (variant, fields) = &variants[usize::from(bytes[0])];
                    met.push(format!("{of}::{variant}"));
                    fields.iter().fold(&bytes[1..], |rest, (_, of)| walk(of, rest, types, met))
                }
            }
        }
    }
}

/// Each value's encoding is walked to its end, by the layout of its type, and its variant has the name that Rust has.
fn agree<T: borsh::BorshSerialize + Debug>(of: &str, values: &[T]) {
    let types = layouts();
    let mut first = Vec::new();
    for value in values {
        let bytes = encode(value);
        let mut met = Vec::new();
        let rest = walk(of, &bytes, &types, &mut met);
        assert!(rest.is_empty(), "{of}: {} bytes are left over of {value:?}", rest.len());
        let shown = format!("{value:?}");
        let word: String = shown.chars().take_while(|c| c.is_alphanumeric()).collect();
        if let Layout::Enum(_) = types[of] {
            assert_eq!(met[0], format!("{of}::{word}"));
            first.push(word);
        } else {
            assert_eq!(word, of);
            let Layout::Struct(fields) = &types[of] else { unreachable!("just matched") };
            // Debug shows the names of fields, in order.
            let mut at = 0;
            for (name, _) in fields {
                let found =
                    shown[at..].find(&format!("{name}: ")).unwrap_or_else(|| panic!("{of} has no {name}"));
                at += found;
            }
        }
    }
    if let Layout::Enum(variants) = &types[of] {
        let all: Vec<String> = variants.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(first, all, "every variant of {of}, in order");
    }
}

fn id(n: u8) -> [u8; 32] {
    [n; 32]
}

fn values() -> Vec<Value> {
    vec![
        Value::Bool(true),
        Value::U64(1),
        Value::U128(2),
        Value::I128(-3),
        Value::Text("þ".into()),
        Value::Bytes(vec![4, 5]),
        Value::Digest(Digest(id(6))),
        Value::Account(AccountId(id(7))),
        Value::Token(TokenId(id(8))),
        Value::Key(KeyId(id(9))),
        Value::Accounts(vec![AccountId(id(10)); 2]),
        Value::Keys(vec![KeyId(id(11))]),
        Value::Texts(vec!["a".into(), String::new()]),
    ]
}

fn holds() -> Vec<Hold> {
    let hold = |kind, expires_ms| Hold {
        id: HoldId(id(1)),
        token: TokenId(id(2)),
        owner: AccountId(id(3)),
        beneficiary: AccountId(id(4)),
        amount: 5,
        kind,
        expires_ms,
    };
    vec![hold(HoldKind::Pledge, None), hold(HoldKind::Escrow, Some(6))]
}

fn actions() -> Vec<Action> {
    let (to, amount) = (AccountId(id(1)), 2);
    vec![
        Action::Create,
        Action::Mint { to, amount },
        Action::Burn { amount },
        Action::Transfer { to, amount, bilateral: true },
        Action::Claim { credit: CreditId(id(3)), from: to, amount },
        Action::Hold { beneficiary: to, amount, kind: HoldKind::Lien, expires_ms: Some(4) },
        Action::Release { hold: holds()[0] },
        Action::Execute { hold: holds()[1] },
        Action::Invoke { policy_index: 5, method: "pause".into(), args: values() },
        Action::Other,
        Action::Upgrade { policy_index: 6, from: PolicyId(id(7)) },
    ]
}

fn evidence() -> Vec<Evidence> {
    let (account, key) = (AccountId(id(1)), KeyId(id(2)));
    vec![
        Evidence::Credential {
            issuer: account,
            subject: account,
            schema: "kyc/1".into(),
            serial: Digest(id(3)),
            expires_ms: 4,
            claims: values().into_iter().map(|value| Field { name: "claim".into(), value }).collect(),
        },
        Evidence::HashPreimage { algorithm: 1, digest: Digest(id(5)), preimage: vec![6] },
        Evidence::Attestation { account, key, role: 7, topic: "t".into(), payload: vec![8, 9] },
        Evidence::BridgeProof {
            bridge: BridgeId(id(1)),
            chain_id: 2,
            contract: [3; 20],
            nonce: 4,
            kind: 2,
            asset: [5; 20],
            sender: [6; 20],
            token: TokenId(id(7)),
            recipient: account,
            amount: 8,
            deadline_ms: 9,
            commitment: Digest(id(10)),
            height: 11,
            trust: Trust::QbftContract,
        },
        Evidence::OracleRound {
            feed: Digest(id(1)),
            round: 2,
            decimals: 8,
            observations: vec![observation(); 2],
        },
    ]
}

fn observation() -> Observation {
    Observation { account: AccountId(id(1)), key: KeyId(id(2)), role: 3, answer: -4, observed_ms: 5 }
}

fn effects() -> Vec<Effect> {
    let (account, amount, hold) = (AccountId(id(1)), 2, HoldId(id(3)));
    vec![
        Effect::SetState { key: vec![4], value: vec![] },
        Effect::DeleteState { key: vec![5, 6] },
        Effect::CreateHold {
            owner: account,
            beneficiary: account,
            amount,
            kind: HoldKind::Lock,
            expires_ms: None,
        },
        Effect::ExtendHold { hold, expires_ms: Some(7) },
        Effect::ReleaseHold { hold },
        Effect::ExecuteHold { hold },
        Effect::Event { topic: "t".into(), payload: vec![8] },
        Effect::Freeze { account },
        Effect::Unfreeze { account },
        Effect::Mint { to: account, amount },
        Effect::Burn { from: account, amount },
        Effect::Transfer { from: account, to: account, amount },
        Effect::Emit { lane: lane::EVM, payload: vec![9] },
        Effect::ScheduleUpgrade { policy_index: 1, policy: PolicyId(id(10)), params: values(), due_ms: 11 },
        Effect::CancelUpgrade { policy_index: 12 },
    ]
}

fn token() -> TokenView {
    TokenView {
        id: TokenId(id(1)),
        height: 2,
        issuer: AccountId(id(3)),
        supply: 4,
        cap: Some(5),
        decimals: 6,
    }
}

fn description() -> Description {
    let args = vec![Argument { name: "on".into(), value_type: ValueType::Bool }];
    let method = Method { name: "pause".into(), args, doc: "d".into() };
    Description {
        abi: ABI_VERSION,
        name: "n".into(),
        version: "v".into(),
        summary: "s".into(),
        params: vec![Parameter { name: "p".into(), value_type: ValueType::Keys, doc: "d".into() }],
        methods: vec![method.clone()],
        queries: vec![method],
        denials: vec![DenialCode { code: 100, name: "x".into(), text: "y".into() }],
        evidence: evidence_kinds(),
        foreign_reads: vec![ForeignRead { target: ForeignTarget::Token(TokenId(id(1))), policy_index: 1 }],
    }
}

fn evidence_kinds() -> Vec<EvidenceKind> {
    vec![
        EvidenceKind::Credential,
        EvidenceKind::HashPreimage,
        EvidenceKind::Attestation,
        EvidenceKind::BridgeProof,
        EvidenceKind::OracleRound,
    ]
}

#[test]
fn every_type_has_the_layout_that_the_page_describes() {
    agree("Value", &values());
    agree("ValueType", ValueType::ALL);
    agree("HoldKind", &[HoldKind::Pledge, HoldKind::Lien, HoldKind::Lock, HoldKind::Escrow]);
    agree("Trust", &[Trust::Qbft, Trust::QbftContract, Trust::Attested]);
    agree("Hold", &holds());
    agree("Action", &actions());
    agree("Evidence", &evidence());
    agree("EvidenceKind", &evidence_kinds());
    agree("Observation", &[observation()]);
    agree("Effect", &effects());
    agree("ForeignTarget", &[ForeignTarget::Token(TokenId(id(1))), ForeignTarget::Parameter("cash".into())]);
    agree("Description", &[description()]);
    let denial = Denial { code: 1, reason: "r".into(), field: "f".into(), hint: "h".into() };
    agree("Denial", std::slice::from_ref(&denial));
    agree("Verdict", &[Verdict::Accept(effects()), Verdict::Reject(denial.clone())]);
    let fields = vec![Field { name: "n".into(), value: Value::U64(1) }];
    agree("Field", &fields);
    agree("Answer", &[Answer::Fields(fields), Answer::Reject(denial)]);
    agree("TokenView", &[token(), TokenView { cap: None, ..token() }]);
    let legs: Vec<Leg> = actions()
        .into_iter()
        .map(|action| Leg { token: TokenId(id(1)), actor: AccountId(id(2)), action })
        .collect();
    agree("Leg", &legs);
    let account = AccountId(id(1));
    let keys = vec![SignedKey { key: KeyId(id(2)), role: 3 }];
    agree("SignedKey", &keys);
    let signer = Signer { account, keys };
    agree("Signer", std::slice::from_ref(&signer));
    let party = Party { account, balance: 1, available: 2, frozen: true, holds: holds() };
    agree("Party", std::slice::from_ref(&party));
    let balance = ForeignBalance { read: 1, token: TokenId(id(2)), account, balance: 3, available: 4 };
    agree("ForeignBalance", &[balance]);
    let input = Input {
        abi: ABI_VERSION,
        policy_index: 1,
        leg: 2,
        time_ms: 3,
        network: NetworkId(id(4)),
        token: token(),
        legs,
        signers: vec![signer],
        parties: vec![party],
        params: values(),
        evidence: evidence(),
        foreign: vec![balance],
    };
    agree("Input", std::slice::from_ref(&input));
    let Input { abi, policy_index, time_ms, network, token, params, .. } = input;
    let view =
        ViewInput { abi, policy_index, time_ms, network, token, params, query: "q".into(), args: values() };
    agree("ViewInput", &[view]);
    let entries = encode(&vec![(vec![1_u8], vec![2_u8, 3]), (vec![], vec![])]);
    assert!(walk("list StateEntry", &entries, &layouts(), &mut Vec::new()).is_empty());
}

#[test]
fn every_layout_is_walked() {
    let types = layouts();
    let described = description();
    let method = &described.methods[0];
    agree("Parameter", &described.params);
    agree("Method", std::slice::from_ref(method));
    agree("Argument", &method.args);
    agree("DenialCode", &described.denials);
    agree("ForeignRead", &described.foreign_reads);
    assert_eq!(types.len(), 30, "a new type wants a line in this file");
}

#[test]
fn the_examples_of_the_page_are_encodings() {
    let block = PAGE.split("```bytes\n").nth(1).unwrap().split_once("```").unwrap().0;
    let hex: String = block.split_whitespace().collect();
    let denial = Denial { code: 100, reason: "no".into(), field: "amount".into(), hint: String::new() };
    let bytes: String = encode(&Verdict::Reject(denial)).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, bytes);
    assert_eq!(encode(&Verdict::Accept(vec![])), [0; 5]);
}

#[test]
fn the_wit_has_the_same_types_in_the_same_order() {
    let kebab = |name: &str| {
        let mut out = String::new();
        for c in name.chars() {
            match c {
                '_' => out.push('-'),
                c if c.is_uppercase() && !out.is_empty() => out.extend(['-', c.to_ascii_lowercase()]),
                c => out.push(c.to_ascii_lowercase()),
            }
        }
        out
    };
    let plain: String = WIT.replace('%', "");
    for (name, layout) in layouts() {
        let (kind, members): (&[&str], Vec<String>) = match &layout {
            Layout::Struct(fields) => (&["record"], fields.iter().map(|(name, _)| kebab(name)).collect()),
            Layout::Enum(variants) => {
                (&["variant", "enum"], variants.iter().map(|(name, _)| kebab(name)).collect())
            }
        };
        let start =
            kind.iter().find_map(|kind| plain.split_once(&format!("    {kind} {} {{\n", kebab(&name))));
        let body =
            start.unwrap_or_else(|| panic!("dsm1.wit has no {name}")).1.split_once("    }\n").unwrap().0;
        let found: Vec<String> =
            body.lines().map(|line| line.trim().split([':', '(', ',']).next().unwrap().to_owned()).collect();
        assert_eq!(found, members, "{name}");
    }
}
