//! Rows of policies and what becomes of each: whatever is not a proper verdict refuses.

use crate::guest::{Guest, engine, input, state};
use dsm_abi::{Denial, Effect, Verdict, encode};
use dsm_host::engine::{FUEL_LIMIT_DEFAULT, Outcome};

fn denial() -> Denial {
    Denial { code: 7, reason: "over the cap".into(), field: "amount".into(), hint: String::new() }
}

#[test]
fn verdicts_come_out_as_the_policy_wrote_them() {
    let engine = engine();
    let effects = vec![Effect::SetState { key: b"k".to_vec(), value: vec![1; 4096] }];
    let rows = [
        (Verdict::Accept(vec![]), Outcome::Accept(vec![])),
        (Verdict::Accept(effects.clone()), Outcome::Accept(effects)),
        (Verdict::Reject(denial()), Outcome::Reject(denial())),
    ];
    for (verdict, expected) in rows {
        let module = Guest::answering(encode(&verdict)).admit(&engine);
        let found = engine.evaluate(&module, &input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
        assert_eq!(found.outcome, expected);
    }
}
