//! Rows of policies and what becomes of each: whatever is not a proper verdict refuses.

use crate::guest::{Guest, description, engine, input, state, view_input};
use dsm_abi::{Answer, Denial, Effect, Field, Input, PolicyId, Value, Verdict, encode};
use dsm_host::engine::{Engine, EngineConfig, FUEL_LIMIT_DEFAULT, Fault, HostFault, Outcome, ViewOutcome};
use std::sync::Arc;

fn denial(reason: usize, field: usize, hint: usize) -> Denial {
    Denial { code: 7, reason: "r".repeat(reason), field: "f".repeat(field), hint: "h".repeat(hint) }
}

fn writes(count: usize) -> Vec<Effect> {
    (0..count).map(|n| Effect::SetState { key: vec![n as u8], value: vec![] }).collect()
}

fn event(topic: usize, payload: usize) -> Effect {
    Effect::Event { topic: "t".repeat(topic), payload: vec![0; payload] }
}

fn upgrade(params: usize) -> Effect {
    let params = vec![Value::Bool(true); params];
    Effect::ScheduleUpgrade { policy_index: 0, policy: PolicyId([9; 32]), params, due_ms: 1 }
}

fn outcome(engine: &Engine, guest: &Guest) -> Outcome {
    let module = guest.admit(engine);
    let first = engine.evaluate(&module, &input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
    let again = engine.evaluate(&module, &input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
    assert_eq!(first, again, "the same verdict and the same fuel");
    assert!(first.fuel > 0);
    first.outcome
}

#[test]
fn verdicts_within_the_limits_come_out_as_the_policy_wrote_them() {
    let engine = engine();
    let set = |key, value| Effect::SetState { key: vec![1; key], value: vec![2; value] };
    let accepted = [
        vec![],
        vec![set(64, 4096), Effect::DeleteState { key: vec![1] }, event(64, 1024)],
        writes(32),
        vec![event(0, 0); 64],
        vec![upgrade(32), Effect::CancelUpgrade { policy_index: 255 }],
    ];
    for effects in accepted {
        let guest = Guest::answering(encode(&Verdict::Accept(effects.clone())));
        assert_eq!(outcome(&engine, &guest), Outcome::Accept(effects));
    }
    for refusal in [denial(0, 0, 0), denial(256, 64, 256)] {
        let guest = Guest::answering(encode(&Verdict::Reject(refusal.clone())));
        assert_eq!(outcome(&engine, &guest), Outcome::Reject(refusal));
    }
}

#[test]
fn verdicts_over_a_limit_are_faults() {
    let engine = engine();
    let rows: [(Verdict, &str); 13] = [
        (Verdict::Accept(writes(33)), "too many writes"),
        (Verdict::Accept(vec![Effect::DeleteState { key: vec![1] }; 33]), "too many writes"),
        (Verdict::Accept(vec![event(0, 0); 65]), "too many effects"),
        (Verdict::Accept(vec![Effect::SetState { key: vec![], value: vec![] }]), "a key is empty"),
        (Verdict::Accept(vec![Effect::DeleteState { key: vec![] }]), "a key is empty"),
        (Verdict::Accept(vec![Effect::SetState { key: vec![0; 65], value: vec![] }]), "a key is too long"),
        (
            Verdict::Accept(vec![Effect::SetState { key: vec![0], value: vec![0; 4097] }]),
            "a value is too long",
        ),
        (Verdict::Accept(vec![event(65, 0)]), "a topic is too long"),
        (Verdict::Accept(vec![event(0, 1025)]), "an event is too long"),
        (Verdict::Accept(vec![upgrade(33)]), "an upgrade has too many parameters"),
        (Verdict::Reject(denial(257, 0, 0)), "a reason is too long"),
        (Verdict::Reject(denial(0, 65, 0)), "a field is too long"),
        (Verdict::Reject(denial(0, 0, 257)), "a hint is too long"),
    ];
    for (verdict, word) in rows {
        let guest = Guest::answering(encode(&verdict));
        assert_eq!(outcome(&engine, &guest), Outcome::Fault(Fault::BadOutput(word)));
    }
}

#[test]
fn rubbish_is_a_fault() {
    let engine = engine();
    let accept = encode(&Verdict::Accept(vec![]));
    let trailing = [accept.as_slice(), &[0]].concat();
    let many = [&[0u8][..], &u32::MAX.to_le_bytes()].concat();
    let not_text = [&[1u8, 7, 0][..], &[1, 0, 0, 0, 0xff], &[0; 8]].concat();
    for output in [vec![], vec![2], vec![0xff; 64], trailing, many, accept[..4].to_vec()] {
        let found = outcome(&engine, &Guest::answering(output));
        assert_eq!(found, Outcome::Fault(Fault::BadOutput("not a canonical verdict")));
    }
    let found = outcome(&engine, &Guest::answering(not_text));
    assert_eq!(found, Outcome::Fault(Fault::BadOutput("a text of the denial is not UTF-8")));
}

/// What a policy can do wrong with the calling convention (P9) or by not finishing.
#[test]
fn lies_loops_and_traps_are_faults() {
    let engine = engine();
    let outside = Fault::BadOutput("the output is outside memory");
    let long = Fault::BadOutput("the output is too long");
    let trap = Fault::Trap;
    let rows: [(&str, Fault); 18] = [
        ("(i64.const -1)", long),
        ("(i64.const 1234567)", long),
        ("(i64.const 16385)", long),
        ("(i64.const 0x0001ffff00000002)", outside),
        ("(i64.const 0x0002000000000001)", outside),
        ("(i64.const 0xffffffff00000010)", outside),
        ("(i64.const 0)", Fault::BadOutput("not a canonical verdict")),
        ("(loop $l (br $l)) (i64.const 0)", Fault::Fuel),
        ("(call $evaluate (i32.const 0))", Fault::Depth),
        ("unreachable", trap("unreachable")),
        ("(i64.load (i32.const 131065))", trap("memory_bounds")),
        ("(i64.load (i32.const -1))", trap("memory_bounds")),
        ("(i64.div_s (i64.const 1) (i64.const 0))", trap("division_by_zero")),
        ("(i64.div_s (i64.const 0x8000000000000000) (i64.const -1))", trap("integer_overflow")),
        ("(drop (memory.grow (i32.const 63))) (i64.const 0)", Fault::Memory),
        ("(loop $l (drop (memory.grow (i32.const 1))) (br $l)) (i64.const 0)", Fault::Memory),
        ("(drop (memory.grow (i32.const -1))) (i64.const 0)", Fault::Fuel),
        ("(memory.fill (i32.const 0) (i32.const 0) (i32.const 131073)) (i64.const 0)", trap("memory_bounds")),
    ];
    for (evaluate, fault) in rows {
        let guest = Guest { evaluate: evaluate.into(), ..Guest::default() };
        assert_eq!(outcome(&engine, &guest), Outcome::Fault(fault), "{evaluate}");
    }
    let table = "(type $t (func (result i64))) (table 2 2 funcref) (elem (i32.const 0) $evaluate)";
    for (index, fault) in [(0, trap("function_type")), (1, trap("null_function")), (2, trap("table_bounds"))]
    {
        let evaluate = format!("(call_indirect (type $t) (i32.const {index}))");
        let guest = Guest { evaluate, more: table.into(), ..Guest::default() };
        assert_eq!(outcome(&engine, &guest), Outcome::Fault(fault), "element {index}");
    }
}

/// `dsm_buf` behaves at admission and lies later: it is asked before each evaluation and checked each time.
#[test]
fn a_buffer_outside_memory_is_a_fault() {
    let engine = engine();
    let honest_at_admission = |later: &str| {
        format!(
            "(if (result i32) (i32.eq (local.get $len) (i32.const 1024)) (then (i32.const 65536)) (else {later}))"
        )
    };
    for later in
        ["(i32.const 0)", "(i32.const -1)", "(i32.const 131072)", "(i32.const 131000)", "(i32.const -100)"]
    {
        let guest = Guest { buf: honest_at_admission(later), ..Guest::accepting_after("") };
        assert_eq!(outcome(&engine, &guest), Outcome::Fault(Fault::BadBuffer), "{later}");
    }
    let guest =
        Guest { buf: honest_at_admission("(loop $l (br $l)) (i32.const 1)"), ..Guest::accepting_after("") };
    assert_eq!(outcome(&engine, &guest), Outcome::Fault(Fault::Fuel));
    // Over the policy's own data: harmless to the host, the policy's own problem.
    let guest = Guest { buf: honest_at_admission("(i32.const 16384)"), ..Guest::accepting_after("") };
    let outcome = outcome(&engine, &guest);
    assert!(matches!(outcome, Outcome::Fault(Fault::BadOutput(_))), "{outcome:?}");
}

/// The input arrives whole: the policy compares its bytes with those it was built for.
#[test]
fn the_input_arrives_in_the_buffer() {
    let engine = engine();
    let bytes = encode(&input());
    let guest = Guest {
        more: format!("(data (i32.const 32768) \"{}\")", crate::guest::escape(&bytes)),
        ..Guest::accepting_after(&format!(
            "(local $i i32)
             (if (i32.ne (local.get $len) (i32.const {})) (then unreachable))
             (loop $l
               (if (i32.ne (i32.load8_u offset=32768 (local.get $i)) (i32.load8_u offset=65536 (local.get $i)))
                 (then unreachable))
               (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $len))))",
            bytes.len()
        ))
    };
    assert_eq!(outcome(&engine, &guest), Outcome::Accept(vec![]));
    let other = Input { time_ms: 1, ..input() };
    let module = guest.admit(&engine);
    let found = engine.evaluate(&module, &other, &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
    assert_eq!(found.outcome, Outcome::Fault(Fault::Trap("unreachable")));
}

/// P16: an evaluation finds memory and globals as the module declares them, whatever ran before in the slot.
#[test]
fn each_evaluation_starts_afresh() {
    let engine = Engine::new(
        &EngineConfig { instances: 1, ..EngineConfig::default() },
        Arc::new(crate::guest::TestCrypto),
    )
    .unwrap();
    // Faults unless every word that it looks at is zero, then writes all of memory, and grows it first.
    let dirty = "(local $i i32)
        (if (i32.ne (global.get $g) (i32.const 5)) (then unreachable))
        (global.set $g (i32.const 6))
        (if (i32.ne (memory.size) (i32.const 2)) (then unreachable))
        (drop (memory.grow (i32.const 3)))
        (local.set $i (i32.const 100000))
        (loop $l
          (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then unreachable))
          (i64.store (local.get $i) (i64.const -1))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 327000))))";
    let guest = Guest { more: "(global $g (mut i32) (i32.const 5))".into(), ..Guest::accepting_after(dirty) };
    let (module, other) =
        (guest.admit(&engine), Guest { buf: "(i32.const 70000)".into(), ..guest }.admit(&engine));
    for _ in 0..3 {
        for module in [&module, &other] {
            let found = engine.evaluate(module, &input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
            assert_eq!(found.outcome, Outcome::Accept(vec![]));
        }
    }
}

#[test]
fn fuel_is_a_hard_limit_and_data_is_billed() {
    let engine = engine();
    let module = Guest::accepting_after("").admit(&engine);
    let full = engine.evaluate(&module, &input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
    for (limit, accepts) in
        [(full.fuel + 1, true), (full.fuel, false), (full.fuel - 1, false), (1, false), (0, false)]
    {
        let found = engine.evaluate(&module, &input(), &state(), &[], limit).unwrap();
        assert_eq!(found.outcome == Outcome::Accept(vec![]), accepts, "limit {limit}");
        assert_eq!(found.fuel, if accepts { full.fuel } else { limit }, "limit {limit}");
    }
    let mut guest = Guest::accepting_after("");
    guest.more = format!("(data (i32.const 40000) \"{}\")", "x".repeat(1000));
    let module = guest.admit(&engine);
    let more = engine.evaluate(&module, &input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
    assert_eq!(more.fuel, full.fuel + 1000);
}

#[test]
fn views_answer_by_the_same_rules() {
    let engine = engine();
    let fields = Answer::Fields(vec![Field { name: "supply".into(), value: Value::U128(5) }]);
    let long = Answer::Reject(denial(257, 0, 0));
    let rows = [
        (encode(&fields), ViewOutcome::Answer(fields.clone())),
        (encode(&Answer::Reject(denial(1, 1, 1))), ViewOutcome::Answer(Answer::Reject(denial(1, 1, 1)))),
        (encode(&long), ViewOutcome::Fault(Fault::BadOutput("a reason is too long"))),
        (vec![9], ViewOutcome::Fault(Fault::BadOutput("not a canonical answer"))),
    ];
    for (output, expected) in rows {
        let module = Guest::answering(output).admit(&engine);
        let found = engine.view(&module, &view_input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
        assert_eq!(found.outcome, expected);
    }
}

/// What the host does wrong is no verdict.
#[test]
fn host_mistakes_are_not_verdicts() {
    let engine = engine();
    let module = Guest::accepting_after("").admit(&engine);
    let mut long = input();
    long.params = vec![Value::Bytes(vec![0; 128 * 1024])];
    let found = engine.evaluate(&module, &long, &state(), &[], FUEL_LIMIT_DEFAULT);
    assert!(matches!(found, Err(HostFault::InputTooLong { .. })), "{found:?}");
    let found = engine.evaluate(&module, &input(), &state(), &[state()], FUEL_LIMIT_DEFAULT);
    assert_eq!(found, Err(HostFault::ForeignStates { declared: 0, supplied: 1 }));
    let reading = Guest { description: encode(&description(2)), ..Guest::accepting_after("") }.admit(&engine);
    let found = engine.evaluate(&reading, &input(), &state(), &[state()], FUEL_LIMIT_DEFAULT);
    assert_eq!(found, Err(HostFault::ForeignStates { declared: 2, supplied: 1 }));
}

/// The watchdog ends what fuel alone would let run for too long, and gives no verdict.
#[test]
fn the_watchdog_gives_no_verdict() {
    let config = EngineConfig { instances: 1, watchdog_ms: 100, ..EngineConfig::default() };
    let engine = Engine::new(&config, Arc::new(crate::guest::TestCrypto)).unwrap();
    let module = Guest::accepting_after("(loop $l (br $l))").admit(&engine);
    let found = engine.evaluate(&module, &input(), &state(), &[], u64::MAX);
    assert_eq!(found, Err(HostFault::Watchdog));
    // The instance is free again. An honest policy needs microseconds; a thread that a busy machine does not let run for
    // 100 ms can be ended all the same, and is let in again.
    let honest = Guest::accepting_after("").admit(&engine);
    let evaluate = || engine.evaluate(&honest, &input(), &state(), &[], FUEL_LIMIT_DEFAULT);
    let found =
        (0..100).map(|_| evaluate()).find(|found| *found != Err(HostFault::Watchdog)).unwrap().unwrap();
    assert_eq!(found.outcome, Outcome::Accept(vec![]));
}

/// Many threads on one engine get the verdicts and the fuel that one thread gets.
#[test]
fn threads_get_equal_verdicts() {
    let engine = engine();
    let module = Guest::accepting_after("").admit(&engine);
    let expected = engine.evaluate(&module, &input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let found =
                        engine.evaluate(&module, &input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
                    assert_eq!(found, expected);
                }
            });
        }
    });
}
