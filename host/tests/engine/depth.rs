//! The depth meter: recursion ends at one depth, before the native stack does, whatever the frames hold.

use crate::guest::engine;
use dsm_host::engine::{Fault, Probe};

fn probe(text: &str) -> Probe {
    engine().probe(&wat::parse_str(text).unwrap(), "run", 100_000_000).unwrap()
}

/// Unbounded recursion of `$f` whose body is `before`, the call, `after`.
fn recursion(locals: &str, before: &str, after: &str) -> String {
    format!(
        r#"(module (memory 1) (global $sum (mut i64) (i64.const 0))
          (func $f (param $n i64) (result i64) {locals} {before}
            (i64.store (i32.const 0) (call $f (i64.add (local.get $n) (i64.const 1)))) {after} (local.get $n))
          (func (export "run") (result i32) (i32.wrap_i64 (call $f (i64.const 0)))))"#
    )
}

#[test]
fn recursion_ends_by_the_meter_whatever_the_frame_holds() {
    let many = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let locals = format!("(local {})", "i64 ".repeat(127));
    let set = many(127, |i| format!("(local.set {} (i64.mul (local.get 0) (i64.const {})))", i + 1, i + 3));
    let used = many(127, |i| format!("(i64.store (i32.const {}) (local.get {}))", i * 8, i + 1));
    // 240 values wait on the operand stack while the call runs.
    let waiting = |i: usize| format!("(i64.mul (local.get 0) (i64.const {}))", i + 3);
    let stacked: String = (0..240).map(waiting).collect();
    // Expressions that the compiler computes once and keeps across the call, though no local names them.
    let shared: fn(usize) -> String = |i| {
        format!("(i64.store (i32.const {}) (i64.mul (local.get 0) (i64.const {})))", 8 * (i % 100), i + 3)
    };
    let rows = [
        recursion("", "", ""),
        recursion(&locals, &set, &used),
        recursion("", &stacked, &format!("{} (global.set $sum)", "i64.add ".repeat(239))),
        recursion("", &many(10, shared), &many(10, shared)),
        recursion("", &many(100, shared), &many(100, shared)),
        recursion("", &many(1_000, shared), &many(1_000, shared)),
        recursion("", &many(2_000, shared), &many(2_000, shared)),
    ];
    // Values that a loop around the call does not change are computed before it and kept: one occurrence each.
    let kept = many(2_500, |i| {
        format!(
            "(local.set 1 (i64.xor (local.get 1) (i64.rotl (local.get 0) (i64.const {}))))",
            i % 60 + 2 * (i / 60)
        )
    });
    let looped =
        format!("(loop $l {kept} (drop (call $f (local.get 1))) (br_if $l (i64.eqz (local.get 1))))");
    let rows = rows.into_iter().chain([recursion("(local i64)", &looped, "")]).collect::<Vec<_>>();
    for (row, text) in rows.iter().enumerate() {
        let found = probe(text);
        assert_eq!(found.result, Err(Fault::Depth), "row {row}");
        assert_eq!(probe(text), found, "row {row}: the same fuel again");
    }
}

#[test]
fn indirect_and_mutual_recursion_end_too() {
    let indirect = r#"(module (type $t (func (result i32))) (table 1 1 funcref) (elem (i32.const 0) $f)
        (func $f (type $t) (call_indirect (type $t) (i32.const 0)))
        (func (export "run") (result i32) (call $f)))"#;
    let mutual = r#"(module (func $a (result i32) (call $b)) (func $b (result i32) (call $a))
        (func (export "run") (result i32) (call $a)))"#;
    for text in [indirect, mutual] {
        assert_eq!(probe(text).result, Err(Fault::Depth));
    }
}

/// The meter needs a global; modules come with and without a section for them.
#[test]
fn modules_with_and_without_globals_and_tables_are_metered() {
    for globals in [
        "",
        "(global $a (mut i32) (i32.const 5))",
        "(memory 1) (table 1 1 funcref) (data (i32.const 0) \"x\")",
    ] {
        let text = format!(
            r#"(module {globals} (func $f (result i32) (i32.const 42)) (func (export "run") (result i32) (call $f)))"#
        );
        assert_eq!(probe(&text).result, Ok(42), "{globals}");
    }
}

#[test]
fn bounded_recursion_returns_and_gives_its_depth_back() {
    // 1,000 deep, three times in a row: what a call took is there again for the next.
    let text = r#"(module
        (func $f (param i32) (result i32)
          (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))
        (func (export "run") (result i32)
          (i32.add (call $f (i32.const 1000)) (i32.add (call $f (i32.const 1000)) (call $f (i32.const 1000))))))"#;
    assert_eq!(probe(text).result, Ok(3000));
}

/// A policy's own `unreachable` is not a depth fault, deep down included.
#[test]
fn the_two_kinds_of_unreachable_differ() {
    let text = r#"(module (func $f (result i32) unreachable) (func (export "run") (result i32) (call $f)))"#;
    assert_eq!(probe(text).result, Err(Fault::Trap("unreachable")));
}
