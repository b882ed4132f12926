//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{Denied, Item, Stage, Step, item_key, owned_key};
use alloc::{string::String, vec, vec::Vec};
use dsm_policy::bench::{Case, ISSUER, START_MS, Scene, account, key, sets};
use dsm_policy::{AccountId, Action, Digest, Fields, KeyId, Refused, Value, text};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const ITEM: u64 = 7;
const PAPER: Digest = Digest([0xd0; 32]);
const UNITS: u128 = 500;

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [creation(), registration(), steps(), path(), reconciliation(), units(), queries()].concat()
}

fn terms(custodians: &[u8], threshold: u64, controllers: &[u8]) -> Scene {
    let keys = |numbers: &[u8]| -> Vec<KeyId> { numbers.iter().map(|n| key(*n)).collect() };
    Scene::new(vec![Value::Keys(keys(custodians)), Value::U64(threshold), Value::Keys(keys(controllers))])
}

/// Two of three custodian keys; two controllers.
fn register() -> Scene {
    terms(&[11, 12, 13], 2, &[21, 22])
}

fn custodian(scene: Scene) -> Scene {
    scene.signed(ISSUER, &[key(11), key(12)])
}

fn controller(scene: Scene) -> Scene {
    scene.signed(BOB, &[key(21)])
}

/// An item of Alice that went through these stages, one second apart.
fn item(held: u128, stages: &[Stage]) -> Item {
    let step = |(second, stage): (u64, &Stage)| Step {
        stage: *stage,
        time_ms: START_MS + second * 1_000,
        document: PAPER,
    };
    Item { owner: ALICE, held, steps: (0..).zip(stages).map(step).collect() }
}

const KEPT: [Stage; 2] = [Stage::Registered, Stage::Safekept];
const HANDED_OVER: [Stage; 3] = [Stage::Registered, Stage::Safekept, Stage::Transferred];
const SERVICED: [Stage; 3] = [Stage::Registered, Stage::Safekept, Stage::Serviced];
const RECONCILED: [Stage; 4] = [Stage::Registered, Stage::Safekept, Stage::Serviced, Stage::Reconciled];
const REPORTED: [Stage; 5] =
    [Stage::Registered, Stage::Safekept, Stage::Serviced, Stage::Reconciled, Stage::Reported];

/// The register with one item, at the time of its next step.
fn with(held: u128, stages: &[Stage]) -> Scene {
    let now = START_MS + stages.len() as u64 * 1_000;
    register().state(item_key(ITEM), &item(held, stages)).state(owned_key(ALICE, ITEM), &true).at(now)
}

fn number() -> Value {
    Value::U64(ITEM)
}

fn paper() -> Value {
    Value::Digest(PAPER)
}

fn registering(units: u128) -> Vec<Value> {
    vec![number(), Value::Account(ALICE), Value::U128(units), paper()]
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(ISSUER, Action::Create);
    let many: Vec<u8> = (1..=33).collect();
    vec![
        create(register()).accepts("two of three custodians", vec![]),
        create(terms(&many[..32], 32, &[33])).accepts("32 of 32 custodians", vec![]),
        create(terms(&many, 1, &[40])).refuses("33 custodians", Denied::BadTerms),
        create(terms(&[40], 1, &many)).refuses("33 controllers", Denied::BadTerms),
        create(terms(&[], 0, &[21])).refuses("no custodian", Denied::BadTerms),
        create(terms(&[11], 1, &[])).refuses("no controller", Denied::BadTerms),
        create(terms(&[11, 12], 0, &[21])).refuses("nobody need sign", Denied::BadTerms),
        create(terms(&[11, 12], 3, &[21])).refuses("an unreachable threshold", Denied::BadTerms),
        create(terms(&[11, 11], 2, &[21])).refuses("one custodian twice", Denied::BadTerms),
        create(terms(&[11], 1, &[11])).refuses("a custodian who reconciles", Denied::BadTerms),
        create(Scene::new(vec![])).refuses("no parameters", Refused::BadParameters),
    ]
}

fn registration() -> Vec<Case> {
    let announced =
        vec![sets(item_key(ITEM), &item(UNITS, &[Stage::Registered])), sets(owned_key(ALICE, ITEM), &true)];
    let one_key_twice = register().signed(ISSUER, &[key(11)]).signed(BOB, &[key(11)]);
    let one_key = register().signed(ISSUER, &[key(11), key(21)]);
    vec![
        custodian(register()).invoke(ISSUER, "register", registering(UNITS)).accepts("register", announced),
        custodian(with(UNITS, &KEPT))
            .invoke(ISSUER, "register", registering(UNITS))
            .refuses("register a number again (C3)", Denied::ItemExists),
        custodian(register())
            .invoke(ISSUER, "register", registering(0))
            .refuses("register nothing (C6)", Denied::NoUnits),
        register()
            .signed(ALICE, &[key(1)])
            .invoke(ALICE, "register", registering(UNITS))
            .refuses("register one's own", Denied::NotCustodian),
        one_key_twice
            .invoke(ISSUER, "register", registering(UNITS))
            .refuses("one key by two accounts counts once", Denied::NotCustodian),
        one_key
            .invoke(ISSUER, "register", registering(UNITS))
            .refuses("a controller's key is no custodian's", Denied::NotCustodian),
        custodian(register())
            .invoke(
                ISSUER,
                "register",
                vec![Value::U64(0), Value::Account(ALICE), Value::U128(UNITS), paper()],
            )
            .refuses("register the number 0", Refused::BadArguments),
        custodian(register())
            .invoke(ISSUER, "register", vec![number()])
            .refuses("register without an owner", Refused::BadArguments),
        custodian(register())
            .invoke(ISSUER, "forget", vec![number()])
            .refuses("an unknown method", Refused::UnknownMethod),
    ]
}

/// Each step from where it may be made, and who may not make it.
fn steps() -> Vec<Case> {
    let after = |held, stages: &[Stage]| vec![sets(item_key(ITEM), &item(held, stages))];
    let to = |account| vec![number(), Value::Account(account), paper()];
    let plain = || vec![number(), paper()];
    let served = || vec![number(), Value::U128(1_000), paper()];
    let with_owner = |scene: Scene| custodian(scene).signed(ALICE, &[key(1)]);
    vec![
        custodian(with(UNITS, &KEPT[..1]))
            .invoke(ISSUER, "safekeep", plain())
            .accepts("safekeep", after(UNITS, &KEPT)),
        with(UNITS, &KEPT[..1])
            .signed(ALICE, &[key(1)])
            .invoke(ALICE, "safekeep", plain())
            .refuses("safekeep by the owner", Denied::NotCustodian),
        with_owner(with(UNITS, &KEPT))
            .invoke(ISSUER, "hand_over", to(BOB))
            .accepts("hand over", after(0, &HANDED_OVER)),
        custodian(with(UNITS, &KEPT))
            .signed(BOB, &[key(2)])
            .invoke(ISSUER, "hand_over", to(BOB))
            .refuses("hand over without the owner", Denied::OwnerMissing),
        with(UNITS, &KEPT)
            .signed(ALICE, &[key(1)])
            .invoke(ALICE, "hand_over", to(BOB))
            .refuses("hand over without the custodian", Denied::NotCustodian),
        with_owner(with(UNITS, &KEPT))
            .invoke(ISSUER, "hand_over", to(ALICE))
            .refuses("hand over to the owner", Denied::ToItself),
        custodian(with(UNITS, &KEPT))
            .invoke(ISSUER, "service", served())
            .accepts("a split doubles the units", after(1_000, &SERVICED)),
        with(UNITS, &KEPT)
            .signed(ALICE, &[key(1)])
            .invoke(ALICE, "service", served())
            .refuses("a split by the owner", Denied::NotCustodian),
        custodian(with(UNITS, &RECONCILED))
            .invoke(ISSUER, "report", plain())
            .accepts("report", after(UNITS, &REPORTED)),
        controller(with(UNITS, &RECONCILED))
            .invoke(BOB, "report", plain())
            .refuses("report by a controller", Denied::NotCustodian),
        custodian(register())
            .invoke(ISSUER, "safekeep", plain())
            .refuses("safekeep what was never registered", Denied::UnknownItem),
    ]
}

/// Every step from every stage where the path does not allow it.
fn path() -> Vec<Case> {
    let reached: [&[Stage]; 6] = [&KEPT[..1], &KEPT, &HANDED_OVER, &SERVICED, &RECONCILED, &REPORTED];
    let held = |stages: &[Stage]| if stages == HANDED_OVER { 0 } else { UNITS };
    let calls = |held: u128| {
        [
            ("safekeep", Stage::Safekept, vec![number(), paper()]),
            ("hand_over", Stage::Transferred, vec![number(), Value::Account(BOB), paper()]),
            ("service", Stage::Serviced, vec![number(), Value::U128(held), paper()]),
            ("reconcile", Stage::Reconciled, vec![number(), Value::U128(held), paper()]),
            ("report", Stage::Reported, vec![number(), paper()]),
        ]
    };
    let mut cases = vec![];
    for stages in reached {
        let last = stages[stages.len() - 1];
        for (method, stage, args) in calls(held(stages)) {
            let allowed = match last {
                Stage::Registered => matches!(stage, Stage::Safekept),
                Stage::Safekept => matches!(stage, Stage::Transferred | Stage::Serviced),
                Stage::Transferred | Stage::Serviced => matches!(stage, Stage::Reconciled),
                Stage::Reconciled => matches!(stage, Stage::Reported),
                Stage::Reported => false,
            };
            let scene = controller(custodian(with(held(stages), stages))).signed(ALICE, &[key(1)]);
            let scene = scene.invoke(ISSUER, method, args);
            let name = text![method, " what is ", last.word(), " (C7)"];
            if !allowed {
                cases.push(scene.refuses(&name, Denied::OutOfOrder));
            }
        }
    }
    cases
}

fn reconciliation() -> Vec<Case> {
    let counted = |units| vec![number(), Value::U128(units), paper()];
    let after = |held, stages: &[Stage]| vec![sets(item_key(ITEM), &item(held, stages))];
    let handed_over = [Stage::Registered, Stage::Safekept, Stage::Transferred, Stage::Reconciled];
    vec![
        controller(with(UNITS, &SERVICED))
            .invoke(BOB, "reconcile", counted(UNITS))
            .accepts("reconcile what was serviced", after(UNITS, &RECONCILED)),
        controller(with(0, &HANDED_OVER))
            .invoke(BOB, "reconcile", counted(0))
            .accepts("reconcile what was handed over: nothing is left", after(0, &handed_over)),
        controller(with(UNITS, &SERVICED))
            .invoke(BOB, "reconcile", counted(UNITS - 1))
            .refuses("one unit is missing", Denied::Difference),
        controller(with(UNITS, &SERVICED))
            .invoke(BOB, "reconcile", counted(UNITS + 1))
            .refuses("one unit too many", Denied::Difference),
        custodian(with(UNITS, &SERVICED))
            .invoke(ISSUER, "reconcile", counted(UNITS))
            .refuses("the custodian reconciles its own books", Denied::NotController),
    ]
}

/// The register has no units that could move.
fn units() -> Vec<Case> {
    let moves = [
        ("mint", Action::Mint { to: ALICE, amount: 1 }),
        ("transfer", Action::Transfer { to: BOB, amount: 1, bilateral: true }),
        ("burn", Action::Burn { amount: 1 }),
    ];
    let refuse =
        |(name, action)| custodian(register()).leg(ALICE, action).refuses(name, Refused::UnsupportedAction);
    moves.map(refuse).into()
}

fn queries() -> Vec<Case> {
    let of = |owner, after| vec![Value::Account(owner), Value::U64(after)];
    let page = |lines: Vec<String>, held: u128, more: bool| {
        Fields::new().with("time_ms", START_MS).with("items", lines).with("held", held).with("more", more)
    };
    let crowd = (1..=31_u64).fold(register(), |scene, number| {
        scene.state(item_key(number), &item(10, &KEPT)).state(owned_key(ALICE, number), &true)
    });
    let line = |number: u64| text![number, " safekept 10"];
    let two = || {
        with(UNITS, &SERVICED)
            .state(item_key(9), &Item { owner: BOB, ..item(3, &KEPT) })
            .state(owned_key(BOB, 9), &true)
            .at(START_MS)
    };
    let told = Fields::new()
        .with("owner", ALICE)
        .with("stage", String::from("serviced"))
        .with("held", UNITS)
        .with("done", 3_u64)
        .with(
            "steps",
            vec![
                text!["registered ", START_MS],
                text!["safekept ", START_MS + 1_000],
                text!["serviced ", START_MS + 2_000],
            ],
        );
    vec![
        two().answers("an item with its steps", "item", vec![number()], told),
        two().refuses_query("an item that is not there", "item", vec![Value::U64(8)], Denied::UnknownItem),
        two().answers(
            "a statement lists its owner's items alone",
            "statement",
            of(ALICE, 0),
            page(vec!["7 serviced 500".into()], UNITS, false),
        ),
        two().answers("the statement of a stranger", "statement", of(account(3), 0), page(vec![], 0, false)),
        crowd.clone().answers(
            "the first page of 31 items",
            "statement",
            of(ALICE, 0),
            page((1..=30).map(line).collect(), 300, true),
        ),
        crowd.answers(
            "the second page",
            "statement",
            of(ALICE, 30),
            page(vec!["31 safekept 10".into()], 10, false),
        ),
        two().refuses_query("an unknown query", "vault", vec![], Refused::UnknownQuery),
    ]
}
