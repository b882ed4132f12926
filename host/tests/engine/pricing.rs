//! Pricing (P12): what a unit of fuel costs in time, worst over bodies that each repeat one kind of work.

use crate::guest::engine;
use crate::pace::{slowness, spent_on};
use dsm_host::engine::Fault;

const FUEL: u64 = 20_000_000;
/// On the machine that it was measured on.
const NS_PER_FUEL_MAX: f64 = 3.0;

/// A loop of `body` until the fuel ends, with memory of 64 pages, three scratch locals and a table.
fn endless(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module (memory 4 64) (type $t (func (param i32) (result i32))) (table 4 4 funcref)
          (elem (i32.const 0) $id $id $id $id)
          (func $id (param i32) (result i32) (local.get 0))
          (func (export "run") (result i32) (local $a i64) (local $b i64) (local $i i32)
            (drop (memory.grow (i32.const 60)))
            (local.set $a (i64.const 0x9e3779b97f4a7c15)) (local.set $b (i64.const 3))
            (loop $l {body} (br $l)) (i32.const 0)))"#
    );
    wat::parse_str(&text).unwrap()
}

#[test]
fn no_instruction_is_sold_below_its_price() {
    let next = "(local.set $i (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223)))";
    let address = "(i32.and (local.get $i) (i32.const 0x3ffff8))";
    let rows = [
        ("empty loop", String::new()),
        ("add", "(local.set $a (i64.add (local.get $a) (local.get $b)))".repeat(16)),
        ("multiply", "(local.set $a (i64.mul (local.get $a) (local.get $b)))".repeat(16)),
        ("divide signed", "(local.set $b (i64.or (i64.div_s (local.get $a) (local.get $b)) (i64.const 3)))".repeat(16)),
        ("divide", "(local.set $b (i64.or (i64.div_u (local.get $a) (local.get $b)) (i64.const 3)))".repeat(16)),
        ("remainder", "(local.set $b (i64.or (i64.rem_u (local.get $a) (local.get $b)) (i64.const 3)))".repeat(16)),
        ("popcnt, clz", "(local.set $a (i64.add (i64.popcnt (local.get $a)) (i64.clz (local.get $a))))".repeat(16)),
        ("rotate", "(local.set $a (i64.rotl (local.get $a) (local.get $b)))".repeat(16)),
        ("random load", format!("{next} (local.set $i (i32.xor (local.get $i) (i32.load {address})))").repeat(8)),
        ("random store", format!("{next} (i64.store {address} (local.get $a))").repeat(8)),
        ("call", "(local.set $i (call $id (local.get $i)))".repeat(8)),
        ("call_indirect", "(local.set $i (call_indirect (type $t) (local.get $i) (i32.and (local.get $i) (i32.const 3))))".repeat(8)),
        ("fill one byte", "(memory.fill (i32.const 8) (i32.const 0) (i32.const 1))".repeat(8)),
        ("fill 1 MiB", "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0x100000))".into()),
        ("copy 1 MiB", "(memory.copy (i32.const 0) (i32.const 0x100000) (i32.const 0x100000))".into()),
        ("copy one byte", "(memory.copy (i32.const 8) (i32.const 9) (i32.const 1))".repeat(8)),
        ("branch", format!("{next} (if (i32.and (local.get $i) (i32.const 0x10000)) (then (local.set $a (i64.const 1))) (else (local.set $b (i64.const 5))))").repeat(8)),
        ("br_table", format!("{next} (block (block (block (br_table 0 1 2 (i32.and (i32.shr_u (local.get $i) (i32.const 16)) (i32.const 3))))))").repeat(8)),
        ("grow by nothing", "(drop (memory.grow (i32.const 0)))".repeat(8)),
    ];
    let engine = engine();
    let mut worst = (0.0, "");
    for (name, body) in &rows {
        let wasm = endless(body);
        let time = |fuel: u64| {
            let (spent, probe) = spent_on(|| engine.probe(&wasm, "run", fuel).unwrap());
            assert_eq!(probe.result, Err(Fault::Fuel), "{name}");
            spent.as_nanos() as f64
        };
        // Less a run without fuel to speak of: compiling and starting. The least of several runs, and of more
        // where other work on the machine got in between.
        let (mut all, mut start, mut ns) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        for run in 0..20 {
            if run < 3 || ns > NS_PER_FUEL_MAX {
                (all, start) = (all.min(time(FUEL)), start.min(time(20_000)));
                ns = (all - start) / (FUEL - 20_000) as f64 / slowness();
            }
        }
        println!("{name:>16}: {ns:.3} ns per fuel");
        if ns > worst.0 {
            worst = (ns, name);
        }
    }
    println!("worst: {worst:?}");
    assert!(worst.0 <= NS_PER_FUEL_MAX, "{worst:?}");
}
