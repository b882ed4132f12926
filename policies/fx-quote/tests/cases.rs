//! Every case of the policy, natively, through encoded bytes.

use dsm_policy::bench;
use fx_quote::{FxQuote, cases};

#[test]
fn every_case_comes_out_as_expected() {
    let wrong: Vec<_> = cases().iter().filter_map(|case| case.check::<FxQuote>().err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_denial_is_provoked_and_every_method_succeeds() {
    assert_eq!(bench::uncovered::<FxQuote>(&cases()), Vec::<String>::new());
}
