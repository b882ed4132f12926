//! The host functions: what they give, what they bill, and what ends a policy that misuses them.

use crate::guest::{Guest, TestCrypto, description, engine, input, state};
use dsm_abi::{encode, import, limit};
use dsm_host::engine::{Engine, Evaluation, FUEL_LIMIT_DEFAULT, Fault, Outcome, State};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All host functions, declared from the table.
fn declared() -> String {
    let one = |i: &import::Import| {
        let result = if i.returns { "(result i32)" } else { "" };
        format!(
            r#"(import "dsm1" "{}" (func ${} (param {}) {result}))"#,
            i.name,
            i.name,
            "i32 ".repeat(i.params)
        )
    };
    import::IMPORTS.iter().map(one).collect()
}

/// An accepting policy that imports everything, has `data` at 32768, and runs `body` first.
fn guest(data: &str, body: &str) -> Guest {
    Guest {
        imports: declared(),
        more: format!("(data (i32.const 32768) \"{data}\")"),
        ..Guest::accepting_after(body)
    }
}

fn run(engine: &Engine, guest: &Guest, foreign: &[State]) -> Evaluation {
    let module = guest.admit(engine);
    engine.evaluate(&module, &input(), &state(), foreign, FUEL_LIMIT_DEFAULT).unwrap()
}

/// Traps unless the values are equal.
fn expect(found: &str, expected: i64) -> String {
    format!("(if (i32.ne {found} (i32.const {expected})) (then unreachable))")
}

#[test]
fn host_functions_do_what_the_table_says() {
    let engine = engine();
    let hash = blake3::hash(b"k07");
    let hash = u32::from_le_bytes(hash.as_bytes()[..4].try_into().unwrap()) as i32;
    let get = "(call $state_get (i32.const 32768) (i32.const 3) (i32.const 40000) (i32.const 10))";
    let scan = |prefix: u32, after: u32, limit: u32| {
        format!(
            "(call $state_scan (i32.const 32768) (i32.const {prefix}) (i32.const 32768) (i32.const {after}) \
             (i32.const {limit}) (i32.const 40000) (i32.const 4096))"
        )
    };
    let entry = 4 + 3 + 4 + 10;
    let bodies = [
        format!("{} {}", expect(get, 10), expect("(i32.load8_u (i32.const 40009))", 7)),
        expect("(call $state_get (i32.const 32768) (i32.const 2) (i32.const 40000) (i32.const 10))", -1),
        expect("(call $state_get (i32.const 32768) (i32.const 100) (i32.const 40000) (i32.const 10))", -1),
        format!(
            "{} {}",
            expect(&scan(2, 0, 3), 4 + 3 * entry),
            expect("(i32.load8_u (i32.const 40010))", i64::from(b'0'))
        ),
        format!(
            "{} {}",
            expect(&scan(1, 3, 2), 4 + 2 * entry),
            expect("(i32.load8_u (i32.const 40010))", i64::from(b'8'))
        ),
        expect(&scan(3, 3, 5), 4),
        expect(&scan(2, 0, 0), 4),
        format!(
            "(call $hash (i32.const 0) (i32.const 32768) (i32.const 3) (i32.const 40000)) {}",
            expect("(i32.load (i32.const 40000))", i64::from(hash))
        ),
        expect(
            "(call $verify (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32768) (i32.const 3) (i32.const 32768) (i32.const 3))",
            1,
        ),
        expect(
            "(call $verify (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32768) (i32.const 3) (i32.const 32768) (i32.const 2))",
            0,
        ),
    ];
    for body in bodies {
        let found = run(&engine, &guest("k07", &body), &[]);
        assert_eq!(found.outcome, Outcome::Accept(vec![]), "{body}");
    }
}

#[test]
fn misuse_is_a_fault() {
    let engine = engine();
    let get = |key: i64, length: i64, out: i64, cap: i64| {
        format!(
            "(drop (call $state_get (i32.const {key}) (i32.const {length}) (i32.const {out}) (i32.const {cap})))"
        )
    };
    let scan = |limit: i64, cap: i64| {
        format!(
            "(drop (call $state_scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {limit}) (i32.const 40000) (i32.const {cap})))"
        )
    };
    let rows = [
        (get(131_070, 3, 40000, 10), Fault::BadPointer),
        (get(-1, 1, 40000, 10), Fault::BadPointer),
        (get(32768, 3, 131_070, 10), Fault::BadPointer),
        (get(32768, 2, 131_070, 10), Fault::BadPointer),
        (get(32768, 3, 40000, -1), Fault::BadPointer),
        (get(32768, -1, 40000, 10), Fault::Fuel),
        (get(32768, 3, 40000, 9), Fault::OutTooSmall),
        (scan(3, 20), Fault::OutTooSmall),
        (scan(65, 8192), Fault::ReadsExceeded),
        (scan(-1, 8192), Fault::ReadsExceeded),
        (get(32768, 3, 40000, 10).repeat(65), Fault::ReadsExceeded),
        (get(32768, 2, 40000, 10).repeat(65), Fault::ReadsExceeded),
        (format!("{}{}", scan(60, 8192), get(32768, 3, 40000, 10).repeat(5)), Fault::ReadsExceeded),
        (scan(0, 8192).repeat(65), Fault::ReadsExceeded),
        ("(call $hash (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 40000))".into(), Fault::UnknownAlgorithm),
        ("(call $hash (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 131050))".into(), Fault::BadPointer),
        ("(call $hash (i32.const 0) (i32.const 0) (i32.const 131073) (i32.const 0))".into(), Fault::BadPointer),
        ("(drop (call $verify (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))".into(), Fault::UnknownAlgorithm),
        ("(call $note (i32.const 0) (i32.const 131072) (i32.const 1))".into(), Fault::BadPointer),
        ("(drop (call $foreign_get (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))".into(), Fault::UndeclaredForeignRead),
        ("(loop $l (drop (call $verify (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))) (br $l))".into(), Fault::Fuel),
    ];
    for (body, fault) in rows {
        assert_eq!(run(&engine, &guest("k07", &body), &[]).outcome, Outcome::Fault(fault), "{body:.200}");
    }
    // As many as are allowed.
    for body in [
        get(32768, 3, 40000, 10).repeat(64),
        scan(64, 8192),
        format!("{}{}", scan(60, 8192), get(32768, 3, 40000, 10).repeat(4)),
    ] {
        assert_eq!(run(&engine, &guest("k07", &body), &[]).outcome, Outcome::Accept(vec![]));
    }
}

#[test]
fn foreign_state_is_read_by_declared_position() {
    let engine = engine();
    let foreign = |value: u8| -> State { Arc::new(BTreeMap::from([(b"k".to_vec(), vec![value])])) };
    let states = [foreign(11), foreign(22)];
    let get = |read: u32| {
        format!(
            "(call $foreign_get (i32.const {read}) (i32.const 32768) (i32.const 1) (i32.const 40000) (i32.const 1))"
        )
    };
    let rows = [(0, Some(11)), (1, Some(22)), (2, None), (u32::MAX, None)];
    for (read, value) in rows {
        let body = match value {
            Some(value) => {
                format!("{} {}", expect(&get(read), 1), expect("(i32.load8_u (i32.const 40000))", value))
            }
            None => format!("(drop {})", get(read)),
        };
        let guest = Guest { description: encode(&description(2)), ..guest("k", &body) };
        let expected =
            value.map_or(Outcome::Fault(Fault::UndeclaredForeignRead), |_| Outcome::Accept(vec![]));
        assert_eq!(run(&engine, &guest, &states).outcome, expected, "read {read}");
    }
}

/// P13 (CWA-2024-008): a panic inside a host function ends this evaluation only, and its fuel is billed.
#[test]
fn a_panicking_host_function_is_caught_and_billed() {
    let engine = engine();
    let body = "(call $hash (i32.const 66) (i32.const 0) (i32.const 100) (i32.const 40000))";
    let found = run(&engine, &guest("", body), &[]);
    assert_eq!(found.outcome, Outcome::Fault(Fault::HostPanic));
    assert!(found.fuel >= import::HASH.fuel + 100 * import::HASH.fuel_per_byte, "{}", found.fuel);
    let honest = run(&engine, &guest("", ""), &[]);
    assert_eq!(honest.outcome, Outcome::Accept(vec![]));
}

/// Each host function costs what the table says, per call and per byte.
#[test]
fn host_functions_are_billed_by_the_table() {
    let engine = engine();
    let fuel = |body: &str| {
        let found = run(&engine, &guest("k07", body), &[]);
        assert_eq!(found.outcome, Outcome::Accept(vec![]), "{body}");
        found.fuel
    };
    // The instructions of both bodies cost the same; the lengths differ.
    let hash = |length: u32| {
        format!("(call $hash (i32.const 0) (i32.const 0) (i32.const {length}) (i32.const 40000))")
    };
    assert_eq!(fuel(&hash(1000)) - fuel(&hash(0)), 1000 * import::HASH.fuel_per_byte);
    let note = |length: u32| format!("(call $note (i32.const 0) (i32.const 0) (i32.const {length}))");
    assert_eq!(fuel(&note(100)) - fuel(&note(0)), 100 * import::NOTE.fuel_per_byte);
    let get = |length: u32| {
        format!(
            "(drop (call $state_get (i32.const 32768) (i32.const {length}) (i32.const 40000) (i32.const 10)))"
        )
    };
    // One byte more of key, and ten of value.
    assert_eq!(fuel(&get(3)) - fuel(&get(2)), 11 * import::STATE_GET.fuel_per_byte);
    let instructions = 3 + 10 + 15 + 16;
    let call = fuel(&note(0)) - fuel("");
    assert!((import::NOTE.fuel..import::NOTE.fuel + instructions).contains(&call), "{call}");
}

/// P15: notes are bounded and escaped and change neither verdict nor fuel limit; nothing else comes back.
#[test]
fn notes_are_kept_within_bounds() {
    let engine = engine();
    let note = "(call $note (i32.const 5) (i32.const 32768) (i32.const 4))";
    let found = run(&engine, &guest("a\\1b\\e2b", &note.repeat(40)), &[]);
    assert_eq!(found.outcome, Outcome::Accept(vec![]));
    assert_eq!(found.notes.len(), limit::NOTES_MAX);
    assert_eq!(found.notes[0].code, 5);
    assert!(
        found.notes[0].text.is_ascii() && found.notes[0].text.starts_with("a\\u{1b}"),
        "{:?}",
        found.notes[0]
    );
}

/// P15: two engines in other circumstances give one verdict, one fuel, one profile.
#[test]
fn nothing_of_the_host_shows() {
    let other = dsm_host::engine::EngineConfig { instances: 3, watchdog_ms: 60_000, compiler: None };
    let other = Engine::new(&other, Arc::new(TestCrypto)).unwrap();
    let engine = engine();
    assert_eq!(engine.profile(), other.profile());
    let body = "(drop (call $state_get (i32.const 32768) (i32.const 3) (i32.const 40000) (i32.const 10)))";
    let guest = guest("k07", body);
    let first = run(&engine, &guest, &[]);
    let second = std::thread::spawn(move || run(&other, &guest, &[])).join().unwrap();
    assert_eq!(first, second);
}
