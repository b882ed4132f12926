//! Trying policies: the case files of every standard policy, random sequences against their invariants, turned
//! comparisons, where fuel goes, and the verbs that do it.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

use dsm_abi::{
    AccountId, Action, Answer, Call, Denial, DenialCode, Description, Effect, Field, Method, NetworkId,
    Parameter, PolicyId, TokenId, TokenView, ValueType, Verdict, encode,
};
use dsm_host::engine::{State, mutants};
use dsm_host::trial::{Fuzzer, Model, Trial, flame_graph, mutate, shares};
use dsm_policy::bench::START_MS;
use dsm_policy::{Policy, Refused};
use dsm_sdk::cases::{Case, CaseFile, Expectation, Names, uncovered, write_cases, write_sequence};
use dsm_sdk::package::policy_cid;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A standard policy: its module, what it says of itself, its cases.
struct Standard {
    name: &'static str,
    about: Description,
    cases: Vec<Case>,
}

fn standard<P: Policy>(name: &'static str, cases: Vec<dsm_policy::bench::Case>) -> Standard {
    let plain = |case: dsm_policy::bench::Case| {
        Case::from((case.name, case.state, case.foreign, case.call, case.expected))
    };
    Standard { name, about: P::description(), cases: cases.into_iter().map(plain).collect() }
}

fn standards() -> Vec<Standard> {
    vec![
        standard::<cash::Cash>("cash", cash::cases()),
        standard::<credential_gate::CredentialGate>("credential-gate", credential_gate::cases()),
        standard::<csd_register::CsdRegister>("csd-register", csd_register::cases()),
        standard::<custody::Custody>("custody", custody::cases()),
        standard::<escrow_market::EscrowMarket>("escrow-market", escrow_market::cases()),
        standard::<fungible::Fungible>("fungible", fungible::cases()),
        standard::<fx_quote::FxQuote>("fx-quote", fx_quote::cases()),
        standard::<governance::Governance>("governance", governance::cases()),
        standard::<liquidity_pool::LiquidityPool>("liquidity-pool", liquidity_pool::cases()),
        standard::<oracle_feed::OracleFeed>("oracle-feed", oracle_feed::cases()),
        standard::<spend_limit::SpendLimit>("spend-limit", spend_limit::cases()),
        standard::<workflow::Workflow>("workflow", workflow::cases()),
        standard::<wrapped::Wrapped>("wrapped", wrapped::cases()),
    ]
}

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies").canonicalize().unwrap()
}

fn module(name: &str) -> PathBuf {
    policies().join("dist").join(name).with_extension("wasm")
}

fn wasm(name: &str) -> Vec<u8> {
    std::fs::read(module(name)).unwrap()
}

fn invariants(name: &str) -> String {
    std::fs::read_to_string(policies().join(name).join("invariants.toml")).unwrap()
}

#[test]
fn every_standard_policy_s_cases_are_read_back_as_they_were_written() {
    for Standard { name, about, cases } in standards() {
        let written = write_cases(&about.name, &cases);
        let read = CaseFile::read(&written).unwrap_or_else(|error| panic!("{name}: {error}\n{written}"));
        let read = read.cases(&about, Names::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read.len(), cases.len(), "{name}");
        for (read, case) in read.iter().zip(&cases) {
            // A state that is empty need not be written; a policy with foreign reads then has one for each.
            let all_empty = case.foreign.iter().all(|state| state.is_empty());
            let foreign = if all_empty { &read.foreign } else { &case.foreign };
            assert_eq!(read, &Case { foreign: foreign.clone(), ..case.clone() }, "{name}");
        }
        assert_eq!(uncovered(&about, &read), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn upgrades_are_written_in_words() {
    let about = governance::Governance::description();
    let (before, after) = (PolicyId([0x5b; 32]), PolicyId([7; 32]));
    let read = |leg: &str, effects: &str| {
        let case = format!("[[case]]\nname = \"x\"\nlegs = [{leg}]\naccept = [{effects}]\n");
        let file = CaseFile::read(&format!("format = 1\n[start]\nparams = []\n{case}")).unwrap();
        file.cases(&about, Names::default()).map_err(|error| error.to_string())
    };
    let leg = format!("{{ by = \"a\", do = \"upgrade\", from = \"{}\", index = 2 }}", policy_cid(&before));
    let schedule = "{ schedule_upgrade = 1, policy = \"#7\", params = [{ u64 = 7 }], due = \"+1d\" }";
    let cases = read(&leg, &format!("{schedule}, {{ cancel_upgrade = 3 }}")).unwrap();
    let Call::Evaluate(input) = &cases[0].call else { panic!("a leg is judged") };
    assert_eq!(input.legs[0].action, Action::Upgrade { policy_index: 2, from: before });
    let (params, due_ms) = (vec![dsm_abi::Value::U64(7)], START_MS + 86_400_000);
    let scheduled = Effect::ScheduleUpgrade { policy_index: 1, policy: after, params, due_ms };
    let effects = vec![scheduled, Effect::CancelUpgrade { policy_index: 3 }];
    assert_eq!(cases[0].expected, Expectation::Accept(effects));
    let rows = [
        ("{ by = \"a\", do = \"upgrade\" }", "", "from is missing"),
        ("{ by = \"a\", do = \"upgrade\", from = \"b\", to = \"c\" }", "", "upgrade has no to"),
        (leg.as_str(), "{ schedule_upgrade = 1, policy = \"b\" }", "due is missing"),
        (leg.as_str(), "{ schedule_upgrade = 1, due = \"+1d\" }", "policy is missing"),
        (
            leg.as_str(),
            "{ schedule_upgrade = 1, policy = \"b\", params = [7], due = \"+1d\" }",
            "a value with its type is missing",
        ),
    ];
    for (leg, effects, words) in rows {
        let error = read(leg, effects).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
    }
}

/// The standard policies that can take another's place.
const SUCCESSORS: [&str; 4] = ["cash", "credential-gate", "fungible", "governance"];

#[test]
fn no_standard_policy_breaks_what_it_promises() {
    for Standard { name, .. } in standards() {
        let trial = Trial::new(&wasm(name)).unwrap();
        let succeeds = SUCCESSORS.contains(&name);
        // The others are asked, too, and must refuse whatever they hold.
        let upgrades = if succeeds { "" } else { "\n[fuzz.upgrades]\n" };
        let file = CaseFile::read(&(invariants(name) + upgrades));
        let file = file.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(file.invariants().count() > 0, "{name} promises nothing");
        let model = Model::new(&trial, &file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let fuzzer = Fuzzer::new(model, &file).unwrap();
        let mut left = 15;
        let report = fuzzer.run(7, |_| {
            left -= 1;
            left >= 0
        });
        let report = report.unwrap_or_else(|error| panic!("{name}: {error}"));
        let broken = report.broken.map(|broken| format!("{broken:?}\n{}", write_sequence(&broken.sequence)));
        assert_eq!(broken, None, "{name}");
        assert!(report.accepted >= 15, "{name}: nothing happens: {:?} {:?}", report.happened, report.denied);
        assert!(report.happened.contains_key("schedule_upgrade"), "{name}: {:?}", report.happened);
        let upgraded = report.happened.contains_key("upgrade");
        let refused = report.denied.contains_key(&(Refused::UnsupportedAction as u16));
        assert_eq!(
            (upgraded, refused),
            (succeeds, !succeeds),
            "{name}: {:?} {:?}",
            report.happened,
            report.denied
        );
    }
}

#[test]
fn a_broken_promise_is_found_made_short_and_shown_again() {
    let trial = Trial::new(&wasm("cash")).unwrap();
    let promise = "\n[[invariant]]\nname = \"nobody pays more than seven\"\nfor = \"account\"\n\
                   holds = \"outflow(account).paid <= 7\"\n";
    // Without the sequences that it states: a random one has to find it.
    let stated = invariants("cash");
    let (before, _) = stated.split_once("[[sequence]]").unwrap();
    let (_, after) = stated.split_once("[[invariant]]").unwrap();
    let source = format!("{before}[[invariant]]{after}{promise}");
    let find = |source: &str, seed: u64| {
        let file = CaseFile::read(source).unwrap();
        let fuzzer = Fuzzer::new(Model::new(&trial, &file).unwrap(), &file).unwrap();
        let mut left = 200;
        fuzzer
            .run(seed, |_| {
                left -= 1;
                left >= 0
            })
            .unwrap()
    };
    let report = find(&source, 3);
    assert_eq!(find(&source, 3), report, "one seed, one run");
    let broken = report.broken.expect("somebody pays more than seven");
    assert_eq!(broken.invariant, "nobody pays more than seven");
    let steps = broken.sequence.steps.as_ref().unwrap().len();
    assert!((1..=3).contains(&steps), "{steps} steps: {}", write_sequence(&broken.sequence));
    let kept = format!("{source}\n{}", write_sequence(&broken.sequence));
    let again = find(&kept, 99).broken.expect("the sequence stands in the file now");
    assert_eq!(again.invariant, broken.invariant);
}

/// A module in WAT that describes itself by bytes that stand in its data; `evaluate` and `view` are bodies.
fn raw(about: &Description, imports: &str, data: &str, evaluate: &str, view: &str) -> Vec<u8> {
    let description = dsm_abi::encode(about);
    let text = format!(
        "(module {imports} (memory (export \"memory\") 1 1) (data (i32.const 16) \"{}\") {data}
           (func (export \"dsm_buf\") (param i32) (result i32) i32.const {BUFFER})
           (func (export \"dsm_evaluate\") (param i32) (result i64) {evaluate})
           (func (export \"dsm_view\") (param i32) (result i64) {view})
           (func (export \"dsm_describe\") (result i64) i64.const {}))",
        escaped(&description),
        (16_u64 << 32) | description.len() as u64
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Where a module of [`raw`] takes its input.
const BUFFER: usize = 8_192;

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

fn described(name: &str) -> Description {
    Description {
        abi: dsm_abi::ABI_VERSION,
        name: name.into(),
        version: "1.0.0".into(),
        summary: String::new(),
        params: vec![],
        methods: vec![],
        queries: vec![],
        denials: vec![],
        evidence: vec![],
        foreign_reads: vec![],
    }
}

/// A policy with a parameter that nobody looks at, and a mark that its only method sets and a query tells. What it
/// says as the successor of itself is for the test to choose: a verdict, or a trap.
fn marked(succession: Option<Verdict>) -> Vec<u8> {
    let limit = Parameter { name: "limit".into(), value_type: ValueType::U64, doc: String::new() };
    let method = Method { name: "mark".into(), args: vec![], doc: String::new() };
    let about = Description {
        params: vec![limit],
        methods: vec![method.clone()],
        queries: vec![method],
        denials: vec![DenialCode { code: 100, name: "never".into(), text: String::new() }],
        ..described("marked")
    };
    let mark = Verdict::Accept(vec![Effect::SetState { key: b"m".to_vec(), value: vec![1] }]);
    let answer =
        |set: u64| Answer::Fields(vec![Field { name: "set".into(), value: dsm_abi::Value::U64(set) }]);
    let mut data = String::new();
    let mut place = 2_048_u64;
    let mut result = |bytes: &[u8]| {
        data.push_str(&format!("(data (i32.const {place}) \"{}\")", escaped(bytes)));
        let packed = (place << 32) | bytes.len() as u64;
        place += 256;
        format!("(i64.const {packed})")
    };
    let (accepts, marks) = (result(&encode(&Verdict::Accept(vec![]))), result(&encode(&mark)));
    let (unset, set) = (result(&encode(&answer(0))), result(&encode(&answer(1))));
    let succeeds = succession.map_or_else(|| "(unreachable)".into(), |verdict| result(&encode(&verdict)));
    data.push_str("(data (i32.const 4096) \"m\")");
    // Where the first leg's action stands in an input whose token has no cap: its tag, then for both the position.
    let token = TokenView {
        id: TokenId::default(),
        height: 0,
        issuer: AccountId::default(),
        supply: 0,
        cap: None,
        decimals: 0,
    };
    let head = encode(&(0_u8, 0_u8, 0_u8, 0_u64, NetworkId::default(), token, 0_u32));
    let at = BUFFER + head.len() + encode(&(TokenId::default(), AccountId::default())).len();
    let tag = |action: &Action| encode(action)[0];
    let invoke = tag(&Action::Invoke { policy_index: 0, method: String::new(), args: vec![] });
    let upgrade = tag(&Action::Upgrade { policy_index: 0, from: PolicyId::default() });
    let byte = |at: usize| format!("(i32.load8_u (i32.const {at}))");
    let (action, position) = (byte(at), byte(at + 1));
    let evaluate = format!(
        "(if (i32.eq {action} (i32.const {upgrade})) (then (return {succeeds})))
         (if (i32.and (i32.eq {action} (i32.const {invoke})) (i32.eqz {position})) (then (return {marks})))
         {accepts}"
    );
    let get = "(call $get (i32.const 4096) (i32.const 1) (i32.const 4100) (i32.const 8))";
    let view = format!("(if (i32.lt_s {get} (i32.const 0)) (then (return {unset}))) {set}");
    let imports = "(import \"dsm1\" \"state_get\" (func $get (param i32 i32 i32 i32) (result i32)))";
    raw(&about, imports, &data, &evaluate, &view)
}

const MARKED: &str = "format = 1\n[start]\nparams = { limit = 5 }\n\
    [fuzz]\naccounts = { alice = [\"alice-1\"], bob = [\"bob-1\"] }\n\
    [[invariant]]\nname = \"a mark stays\"\nnever_falls = \"mark().set\"\n\
    [[invariant]]\nname = \"there is a limit\"\nholds = \"param.limit >= 1\"\n";

/// Sequences used to have one policy for good: a successor that lost what it found was never noticed.
#[test]
fn a_successor_that_breaks_a_promise_is_found_made_short_and_shown_again() {
    let loses = Verdict::Accept(vec![Effect::DeleteState { key: b"m".to_vec() }]);
    let mints = Verdict::Accept(vec![Effect::Mint { to: AccountId([7; 32]), amount: 1 }]);
    let denial = Denial { code: 100, reason: String::new(), field: String::new(), hint: String::new() };
    let accepts = || Some(Verdict::Accept(vec![]));
    let rows = [
        (accepts(), "{ limit = 7 }", None),
        (Some(Verdict::Reject(denial)), "{ limit = 0 }", None),
        (Some(mints), "{ limit = 0 }", None),
        (
            Some(loses),
            "{ limit = 7 }",
            Some(("a mark stays", &["mark", "schedule_upgrade", "upgrade"] as &[_])),
        ),
        (accepts(), "{ limit = 0 }", Some(("there is a limit", &["schedule_upgrade", "upgrade"]))),
        (None, "{ limit = 7 }", Some(("the policy never faults", &["schedule_upgrade", "upgrade"]))),
    ];
    for (row, (succession, params, expected)) in rows.into_iter().enumerate() {
        let upgraded = succession == accepts();
        let trial = Trial::new(&marked(succession)).unwrap_or_else(|error| panic!("{row}: {error}"));
        let source = format!("{MARKED}[fuzz.upgrades]\nparams = [{params}]\n");
        let find = |source: &str, sequences: u64| {
            let file = CaseFile::read(source).unwrap();
            let fuzzer = Fuzzer::new(Model::new(&trial, &file).unwrap(), &file).unwrap();
            fuzzer.run(5, |report| report.sequences < sequences).unwrap()
        };
        let report = find(&source, 30);
        assert_eq!(find(&source, 30), report, "{row}: one seed, one run");
        let Some((invariant, words)) = expected else {
            assert_eq!(report.broken, None, "{row}");
            assert_eq!(report.happened.contains_key("upgrade"), upgraded, "{row}: {:?}", report.happened);
            continue;
        };
        let broken = report.broken.unwrap_or_else(|| panic!("{row}: not found: {:?}", report.happened));
        let legs = broken.sequence.steps.iter().flatten().flat_map(|step| step.legs.iter().flatten());
        let mut came: Vec<&str> =
            legs.filter_map(|leg| leg.method.as_deref().or(leg.act.as_deref())).collect();
        came.sort_unstable();
        assert_eq!((broken.invariant.as_str(), came.as_slice()), (invariant, words), "{row}");
        let kept = format!("{source}\n{}", write_sequence(&broken.sequence));
        let again = find(&kept, 0).broken.expect("the sequence stands in the file now");
        assert_eq!((again.invariant, again.came), (broken.invariant, broken.came), "{row}");
    }
}

#[test]
fn what_cannot_be_tried_is_said() {
    let trial = Trial::new(&wasm("cash")).unwrap();
    let good = invariants("cash");
    let line = |text: &str| format!("{good}\n{text}\n");
    let rows = [
        (line("[[invariant]]\nname = \"x\"\nholds = \"outflow(account).paid <=\""), "line"),
        (line("[[invariant]]\nname = \"x\"\nholds = \"nothing == 1\""), "nothing that a condition knows"),
        (line("[[invariant]]\nname = \"x\"\nholds = \"inflow(alice).paid == 1\""), "no query"),
        (line("[[invariant]]\nname = \"x\"\nfor = \"token\"\nholds = \"1\""), "only \"account\""),
        (line("[[invariant]]\nname = \"x\""), "either holds or never_falls"),
        (line("[[invariant]]\nname = \"x\"\nnever_rises = \"supply\""), "never_rises with beyond"),
        (good.replace("[fuzz.upgrades]", "[fuzz.upgrades]\nby = \"me\""), "rules no upgrades"),
        (good.replace("[fuzz.upgrades]", "[fuzz.upgrades]\nby = \"itself\""), "a ruler schedules"),
        (good.replace("[fuzz.upgrades]", "[fuzz.upgrades]\ndelay = \"soon\""), "is not a span"),
        (good.replace("{ daily_max = 500 },", "{ day_max = 500 },"), "there is no \"day_max\""),
        (good.replace("{ daily_max = 500 },", "500,"), "write tables by name"),
        ("format = 1\n".into(), "no [fuzz]"),
        (
            "format = 1\npolicy = \"other\"\n[fuzz]\naccounts = { a = [\"k\"] }\n".into(),
            "is for the policy other",
        ),
    ];
    for (source, part) in rows {
        let file = CaseFile::read(&source).unwrap();
        let tried = Model::new(&trial, &file)
            .and_then(|model| Fuzzer::new(model, &file))
            .and_then(|fuzzer| fuzzer.run(1, |report| report.sequences < 1));
        let error = tried.err().unwrap_or_else(|| panic!("{part}: it was tried"));
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// Of the turned comparisons of each module, evenly spread, this part must be noticed. The others are those of the
/// allocator, of copies and of bounds that no input reaches.
const NOTICED_OF_TEN: usize = 2;

/// Turns `most` comparisons of the functions whose name contains `within`; of ten, so many are noticed.
fn turn(name: &str, wasm: &[u8], cases: &[Case], within: &str, most: usize, noticed_of_ten: usize) {
    let mutated = mutate(wasm, cases, within, most).unwrap();
    let (killed, tried) = (mutated.killed, mutated.tried);
    println!("{name}: {killed} of {tried} noticed, of {} comparisons", mutated.comparisons);
    assert_eq!(tried, most, "{name}: there are as many, in functions with such names");
    assert_eq!(killed + mutated.survivors.len(), tried, "{name}");
    assert!(killed * 10 >= tried * noticed_of_ten, "{name}: {killed} of {tried}: {:?}", mutated.survivors);
}

#[test]
fn turned_comparisons_are_noticed_by_each_policy_s_own_cases() {
    for Standard { name, cases, .. } in standards() {
        turn(name, &wasm(name), &cases, "", 12, NOTICED_OF_TEN);
    }
    assert!(mutants(&wasm("cash"), "no function of this name").is_empty());
}

/// Of ten in an author's own functions.
const NOTICED_OF_TEN_OWN: usize = 6;

/// Where `policies/build.sh --named` has put the modules with the names of their functions.
const NAMED: &str = "DSM_NAMED_POLICIES";

/// In the author's own functions, where most comparisons are of the policy and not of a copy or an allocator. What is
/// left there, too, are lengths that Borsh compares and halves of numbers that no case is large enough for.
#[test]
fn turned_comparisons_in_an_author_s_own_functions_are_noticed() {
    let Some(folder) = std::env::var_os(NAMED) else {
        eprintln!("skipped: {NAMED} says where modules with names are");
        return;
    };
    let turn_own = |Standard { name, cases, .. }: Standard| {
        let file = Path::new(&folder).join(name).with_extension("wasm");
        let named = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        turn(name, &named, &cases, &name.replace('-', "_"), 24, NOTICED_OF_TEN_OWN);
    };
    std::thread::scope(|scope| {
        for standard in standards() {
            scope.spawn(|| turn_own(standard));
        }
    });
}

#[test]
fn the_functions_add_up_to_the_fuel_of_the_module_as_it_is() {
    for Standard { name, cases, .. } in standards() {
        let bytes = wasm(name);
        let trial = Trial::new(&bytes).unwrap();
        let profiler = trial.engine().profiler(&bytes).unwrap();
        for case in cases.iter().step_by(5) {
            let state: State = Arc::new(case.state.clone());
            let foreign: Vec<State> =
                case.foreign.iter().map(|state| Arc::new(state.clone()) as State).collect();
            if foreign.len() != trial.about().foreign_reads.len() {
                continue;
            }
            let profile = trial.engine().profile_call(&profiler, &case.call, &state, &foreign).unwrap();
            let ran = trial.run(&case.call, &case.state, &case.foreign).unwrap();
            assert_eq!((profile.fuel, profile.unexplained), (ran.fuel, 0), "{name}: {}", case.name);
            let sum: u64 = shares(&profile).iter().map(|share| share.own).sum();
            assert_eq!(sum, ran.fuel, "{name}: {}", case.name);
            let entry = if matches!(case.call, Call::View(_)) { "dsm_view" } else { "dsm_evaluate" };
            assert!(flame_graph(name, &profile).contains(entry), "{name}: {}", case.name);
        }
    }
}

/// Runs `dsm policy …` with `--json`: the exit code and the value.
fn dsm(args: &[&str]) -> (i32, Value) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_dsm")).arg("policy").args(args).arg("--json").output().unwrap();
    let printed = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), printed.unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}")))
}

/// The same without `--json`: the exit code and all text.
fn dsm_text(args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dsm")).arg("policy").args(args).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

const LIMITS: &str = "format = 1\npolicy = \"cash\"\n[start]\n\
    params = { authorities = [\"bank-1\", \"bank-2\"], threshold = 2, transfer_max = 600, daily_max = \"1_000\" }\n\
    parties = [{ account = \"alice\", balance = 900, available = 800 }, { account = \"bob\" }]\n";

#[test]
fn the_verb_test_tells_what_each_case_came_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.toml");
    let (module, path) = (module("cash"), file.to_str().unwrap().to_owned());
    let module = module.to_str().unwrap();
    let run = |source: &str, more: &[&str]| {
        std::fs::write(&file, source).unwrap();
        dsm(&[&["test", "--module", module, "--cases", &path], more].concat())
    };
    let cash = standards().swap_remove(0);
    let (code, report) = run(&write_cases("cash", &cash.cases), &[]);
    assert_eq!(
        (code, &report["failed"], report["uncovered"].as_array().map(Vec::len)),
        (0, &0.into(), Some(0))
    );
    assert!(
        report["fuel"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["called"] == "transfer" && row["max"].as_u64() > Some(1_000))
    );

    let pay = |amount: u32, expected: &str| {
        format!(
            "{LIMITS}[[case]]\nname = \"pay\"\nlegs = [{{ by = \"alice\", do = \"transfer\", to = \"bob\", amount = {amount} }}]\n{expected}\n"
        )
    };
    let state =
        "[{ set = [{ raw = \"d\" }, { account = \"alice\" }], value = [{ u64 = 21915 }, { u128 = 600 }] }]";
    let rows = [
        (pay(600, &format!("accept = {state}")), 0),
        (pay(600, "accept_with = []"), 0),
        (pay(601, "refuse = \"over_transfer_limit\""), 0),
        (pay(601, "refuse = 102\nfield = \"amount\""), 0),
        (pay(601, "refuse = 102\nfield = \"to\""), 1),
        (pay(601, "refuse = 103"), 1),
        (pay(600, "accept = []"), 1),
        (pay(600, "fault = \"trap\""), 1),
    ];
    for (source, expected) in rows {
        let (code, report) = run(&source, &["--allow-uncovered"]);
        assert_eq!(code, expected, "{source}\n{report:#}");
        assert_eq!(report["cases"][0]["ok"], expected == 0);
    }
    let (code, report) = run(&pay(601, "refuse = 102"), &[]);
    assert_eq!(code, 1, "codes and queries without a case: {}", report["uncovered"]);
    assert!(report["uncovered"].as_array().unwrap().contains(&"query outflow".into()));

    let bad = [
        (pay(1, "refuse = \"over_limit\""), ": case \"pay\": refuse: the policy has no denial"),
        (pay(1, "refuze = 1"), "unknown field `refuze`"),
        (pay(1, ""), "exactly one of accept"),
        (pay(1, "accept = []\nrefuse = 1"), "exactly one of accept"),
        (pay(1, "answer = { a = 1 }"), "only a query is answered"),
        (pay(1, "accept = [{ set = \"zz\", value = \"\" }]"), "is not hex"),
        (pay(1, "accept = []").replace("\"bob\", amount", "\"Bob!\", amount"), "names no account"),
        (
            pay(1, "accept = []").replace("amount = 1 }", "amount = 1, kind = \"lien\" }"),
            "transfer has no kind",
        ),
        (
            LIMITS.replace("threshold = 2", "treshold = 2")
                + "[[case]]\nname = \"x\"\nquery = \"outflow\"\nrefuse = 3",
            "there is no \"treshold\"",
        ),
        (LIMITS.replace("\"cash\"", "\"money\""), "the file is for the policy money"),
        ("format = 2".into(), "format 2 is not known"),
        ("format = ".into(), "bad_cases"),
    ];
    for (source, part) in bad {
        let (code, said) = run(&source, &[]);
        assert_eq!((code, said["error"]["code"].as_str()), (2, Some("bad_cases")), "{source}: {said:#}");
        assert!(said.to_string().replace("\\\"", "\"").contains(part), "{part}: {said:#}");
    }
    let (code, said) = dsm(&["test", folder.path().to_str().unwrap()]);
    assert_eq!(code, 2, "{said:#}");
}

#[test]
fn the_verb_simulate_tells_why() {
    let folder = tempfile::tempdir().unwrap();
    let start = folder.path().join("start.toml");
    std::fs::write(&start, LIMITS).unwrap();
    let (module, start) = (module("cash"), start.to_str().unwrap().to_owned());
    let module = module.to_str().unwrap();
    let run =
        |op: &str, more: &[&str]| dsm(&[&["simulate", module, "--state", &start, "--op", op], more].concat());
    let (code, said) = run("transfer to=bob amount=600", &[]);
    assert_eq!((code, said["verdict"].as_str()), (0, Some("accept")), "{said:#}");
    assert!(said["trace"][0]["what"].as_str().unwrap().starts_with("reads 64"), "{said:#}");
    assert!(said["fuel"].as_u64() > Some(1_000));
    let (code, said) = run("transfer to=bob amount=1200", &[]);
    assert_eq!((code, &said["denial"]["code"], &said["denial"]["field"]), (1, &101.into(), &"amount".into()));
    let (code, said) = run("transfer to=bob amount=700", &["--param", "transfer_max=0"]);
    assert_eq!((code, said["verdict"].as_str()), (0, Some("accept")), "{said:#}");
    let (code, said) = run("mint by=bank to=alice amount=5", &["--signer", "bank=bank-1,bank-2"]);
    assert_eq!((code, said["verdict"].as_str()), (0, Some("accept")), "{said:#}");
    let (code, said) = run("query outflow account=alice", &[]);
    assert_eq!((code, said["answer"][0]["name"].as_str()), (0, Some("day")), "{said:#}");
    let (code, text) =
        dsm_text(&["simulate", module, "--state", &start, "--op", "transfer to=bob amount=601"]);
    assert!(code == 1 && text.starts_with("DENY 102 over_transfer_limit, field amount: "), "{text}");
    for (op, more) in [
        ("fly to=bob", &[] as &[&str]),
        ("transfer to=bob amount=many", &[]),
        ("transfer to=bob height=1", &[]),
        ("query outflow account", &[]),
        ("query outflow owner=alice", &[]),
        ("transfer to=bob amount=1", &["--param", "speed=1"]),
    ] {
        let (code, said) = run(op, more);
        assert_eq!((code, said["error"]["code"].as_str()), (2, Some("usage")), "{op}: {said:#}");
        assert!(said["error"]["help"].is_string(), "{op}: {said:#}");
    }
}

#[test]
fn the_verbs_profile_fuzz_and_mutate_answer() {
    let folder = tempfile::tempdir().unwrap();
    let cash = standards().swap_remove(0);
    let cases = folder.path().join("cases.toml");
    let svg = folder.path().join("flame.svg");
    std::fs::write(&cases, write_cases("cash", &cash.cases)).unwrap();
    let (module, cases, svg) = (module("cash"), cases.to_str().unwrap(), svg.to_str().unwrap());
    let module = module.to_str().unwrap();
    let (code, said) = dsm(&["profile", module, "--cases", cases, "--svg", svg]);
    assert_eq!(code, 0, "{said:#}");
    assert_eq!((said["cases"].as_u64(), &said["fuel"]), (Some(cash.cases.len() as u64), &said["attributed"]));
    assert!(std::fs::read_to_string(svg).unwrap().starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    let (code, _) = dsm(&["profile", module, "--cases", cases, "--case", "no such case"]);
    assert_eq!(code, 2);

    let promises = policies().join("cash/invariants.toml");
    let promises = promises.to_str().unwrap();
    let fuzz = ["fuzz", module, "--cases", promises, "--sequences", "5", "--seed", "4"];
    let (code, said) = dsm(&fuzz);
    assert_eq!((code, said["broken"].is_null()), (0, true), "{said:#}");
    assert_eq!(dsm(&fuzz), (code, said), "one seed, one answer");
    assert_eq!(dsm(&["fuzz", module, "--cases", promises, "--for", "soon"]).0, 2);

    let (code, said) = dsm(&["mutate", module, "--cases", cases, "--most", "4"]);
    assert_eq!((code, said["tried"].as_u64()), (0, Some(4)), "{said:#}");
}

#[test]
fn a_faulting_policy_is_told_its_way_out() {
    // A module that admits and panics on every evaluation.
    let wasm = raw(&described("panics"), "", "", "unreachable", "unreachable");
    let folder = tempfile::tempdir().unwrap();
    let (module, cases) = (folder.path().join("panics.wasm"), folder.path().join("cases.toml"));
    std::fs::write(&module, wasm).unwrap();
    let source = "format = 1\n[fuzz]\naccounts = { alice = [\"alice-1\"] }\n[[case]]\nname = \"any\"\n\
                  legs = [{ by = \"alice\", do = \"burn\", amount = 1 }]\nfault = \"trap\"\n";
    std::fs::write(&cases, source).unwrap();
    let (module, cases) = (module.to_str().unwrap(), cases.to_str().unwrap());
    let (code, said) = dsm(&["test", "--module", module, "--cases", cases]);
    assert_eq!((code, &said["faulted"]), (0, &1.into()), "{said:#}");
    let (code, text) = dsm_text(&["simulate", module, "--op", "burn amount=1"]);
    assert!(code == 1 && text.contains("FAULT trap: unreachable") && text.contains("unwrap"), "{text}");
    let (code, said) = dsm(&["fuzz", module, "--cases", cases, "--sequences", "1"]);
    assert_eq!(code, 2, "its token cannot be created: {said:#}");
    assert!(said["error"]["message"].as_str().unwrap().contains("Faulted"), "{said:#}");
}
