//! What authors get wrong, and what they are told: one message each, that names the place and the way out. What has to
//! do with folders and toolchains is tested beside the verbs.

use crate::guest::{Guest, engine, input, state};
use dsm_abi::{Effect, Verdict, encode};
use dsm_host::engine::{FUEL_LIMIT_DEFAULT, Outcome};

/// What the gate or a verdict says of a policy, in one line as the verbs print it.
fn told(guest: &Guest) -> String {
    let engine = engine();
    match engine.admit(&guest.wasm()) {
        Ok(module) => {
            let evaluation = engine.evaluate(&module, &input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
            match evaluation.outcome {
                Outcome::Fault(fault) => format!("{fault} ({})", fault.help()),
                decided => panic!("no mistake: {decided:?}"),
            }
        }
        Err(error) => {
            assert_eq!(error.findings().len(), 1, "one mistake, one finding: {error}");
            error.to_string()
        }
    }
}

#[test]
fn each_mistake_gives_one_message_that_names_the_place_and_the_way_out() {
    let more = |text: &str| Guest { more: text.into(), ..Guest::default() };
    let imports = |text: &str, body: &str| Guest { imports: text.into(), ..Guest::accepting_after(body) };
    let foreign = "(import \"dsm1\" \"foreign_get\" (func $read (param i32 i32 i32 i32 i32) (result i32)))";
    let read = "(drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))";
    let effects = |effect| Guest::answering(encode(&Verdict::Accept(vec![effect])));
    let large = Effect::SetState { key: b"register".to_vec(), value: vec![0; 4097] };
    let not_text = [&[1u8, 7, 0][..], &[2, 0, 0, 0, 0xc3, 0x28], &[0; 8]].concat();
    // The mistake, what names it, what names the place, the way out.
    let rows: [(&str, Guest, [&str; 3]); 9] = [
        (
            "a float in a rule",
            more("(func $spend_cap::fee (drop (f64.const 1)))"),
            ["float: ", "in function spend_cap::fee", "use integers"],
        ),
        (
            "a float in a type, behind a call",
            more(
                "(func $__floatuntidf (param i64 i64) (result f64) unreachable)
                 (func $spend_cap::fee (drop (call $__floatuntidf (i64.const 1) (i64.const 0))))",
            ),
            ["float: ", "__floatuntidf", "called from spend_cap::fee"],
        ),
        (
            "a panic",
            Guest { evaluate: "unreachable".into(), ..Guest::default() },
            ["trap: unreachable", "a panic", "refuse with a denial"],
        ),
        ("a state over its cap", effects(large), ["a value is too long", "4096 bytes", "a key of its own"]),
        (
            "a reason that is no text",
            Guest::answering(not_text),
            ["a text of the denial is not UTF-8", "reason", "write bytes as hex"],
        ),
        (
            "a forgotten declared read",
            imports(foreign, read),
            ["undeclared_foreign_read", "declare the read", "#[policy(foreign = [(token, 0)])]"],
        ),
        (
            "a loop without an end",
            Guest { evaluate: "(loop $l (br $l)) (i64.const 0)".into(), ..Guest::default() },
            ["fuel", "a loop does not end", "dsm policy profile"],
        ),
        (
            "std in the policy",
            imports("(import \"env\" \"getrandom\" (func))", ""),
            ["import_unknown", "env.getrandom", "only the functions of module dsm1"],
        ),
        (
            "memory over its cap",
            Guest { memory: "9 64".into(), ..Guest::default() },
            ["memory: ", "9 pages at the start", "-zstack-size=32768"],
        ),
    ];
    for (mistake, guest, parts) in &rows {
        let told = told(guest);
        for part in parts {
            assert!(told.contains(part), "{mistake}: {told:?} does not say {part:?}");
        }
    }
}

#[test]
fn a_module_without_a_policy_is_told_so_at_once() {
    let engine = engine();
    let text = "(module (memory (export \"memory\") 1) (func (export \"main\")))";
    let error = engine.admit(&wat::parse_str(text).unwrap()).unwrap_err();
    let found = error.findings();
    assert_eq!((found.len(), found[0].code), (1, "export_missing"), "{error}");
    assert!(found[0].reason.contains("dsm_buf, dsm_evaluate, dsm_view, dsm_describe"), "{error}");
    assert!(found[0].help.contains("#[policy("), "{error}");
    // One that is missing is named.
    let text = text.replace("\"main\"", "\"dsm_view\" ) (param i32) (result i64) (i64.const 0");
    let error = engine.admit(&wat::parse_str(&text).unwrap()).unwrap_err();
    let named = error.findings().iter().filter(|finding| finding.reason.contains("there is no export"));
    assert_eq!(named.count(), 3, "{error}");
}
