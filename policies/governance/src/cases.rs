//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{Change, DELAY_MS_MAX, Denied, Kept, Limit, PAUSED, limit_key};
use alloc::{vec, vec::Vec};
use dsm_policy::bench::{Case, ISSUER, START_MS, Scene, TOKEN, account, deletes, key, sets};
use dsm_policy::{
    AccountId, Action, CreditId, Digest, Effect, Fields, Hold, HoldId, HoldKind, KeyId, PolicyId, Refused,
    Value, abi, text,
};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const DELAY_MS: u64 = 1_000;
const DUE_MS: u64 = START_MS + DELAY_MS;
const TRANSFER_MAX: u128 = 500;
const SUPPLY_MAX: u128 = 2_000_000;

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    let limits = [creation(), minting(), movements(), scheduling(), delays(), vetoes(), pauses(), queries()];
    [limits.concat(), upgrades(), upgrade_vetoes(), succession()].concat()
}

/// Three classes of keys: a class is its keys and its quorum.
fn terms(owners: (&[u8], u64), operators: (&[u8], u64), guardians: (&[u8], u64), delay_ms: u64) -> Scene {
    let mut params = vec![];
    for (keys, quorum) in [owners, operators, guardians] {
        params.push(Value::Keys(keys.iter().map(|n| key(*n)).collect::<Vec<KeyId>>()));
        params.push(Value::U64(quorum));
    }
    params.extend([Value::U64(delay_ms), Value::U128(TRANSFER_MAX), Value::U128(SUPPLY_MAX)]);
    Scene::new(params)
}

/// Two of three owners, one of two operators, two of two guardians.
fn token() -> Scene {
    terms((&[11, 12, 13], 2), (&[21, 22], 1), (&[31, 32], 2), DELAY_MS)
}

fn signed(scene: Scene, keys: &[u8]) -> Scene {
    scene.signed(ALICE, &keys.iter().map(|n| key(*n)).collect::<Vec<_>>())
}

fn deciding(scene: Scene) -> Scene {
    signed(scene, &[11, 12, 21])
}

fn guarding(scene: Scene) -> Scene {
    signed(scene, &[31, 32])
}

fn kept(value: u128, change: Option<(u128, u64)>) -> Kept {
    Kept { value, change: change.map(|(value, due_ms)| Change { value, due_ms }) }
}

fn schedule(scene: Scene, limit: &str, value: u128) -> Scene {
    scene.invoke(ALICE, "schedule", vec![Value::Text(limit.into()), Value::U128(value)])
}

fn veto(scene: Scene, limit: &str) -> Scene {
    scene.invoke(ALICE, "veto", vec![Value::Text(limit.into())])
}

fn pay(scene: Scene, amount: u128) -> Scene {
    scene.leg(ALICE, Action::Transfer { to: BOB, amount, bilateral: false })
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(ISSUER, Action::Create);
    let one = |n: &'static [u8]| (n, 1);
    let many: Vec<u8> = (1..=17).collect();
    vec![
        create(token()).accepts("three classes", vec![]),
        create(terms((&many[..16], 16), one(&[21]), one(&[31]), 1)).accepts("16 of 16 owners", vec![]),
        create(terms((&many, 1), one(&[21]), one(&[31]), 1)).refuses("17 owners", Denied::BadTerms),
        create(terms((&[], 0), one(&[21]), one(&[31]), 1)).refuses("no owner", Denied::BadTerms),
        create(terms(one(&[11]), (&[], 0), one(&[31]), 1)).refuses("no operator", Denied::BadTerms),
        create(terms(one(&[11]), one(&[21]), (&[], 0), 1)).refuses("no guardian", Denied::BadTerms),
        create(terms(one(&[11]), one(&[21]), (&[31], 0), 1)).refuses("no quorum", Denied::BadTerms),
        create(terms(one(&[11]), one(&[21]), (&[31], 2), 1)).refuses("too high a quorum", Denied::BadTerms),
        create(terms((&[11, 11], 2), one(&[21]), one(&[31]), 1)).refuses("an owner twice", Denied::BadTerms),
        create(terms(one(&[11]), one(&[21]), one(&[11]), 1))
            .refuses("an owner who is a guardian", Denied::BadTerms),
        create(terms(one(&[11]), one(&[21]), one(&[31]), 0)).refuses("no delay", Denied::BadTerms),
        create(terms(one(&[11]), one(&[21]), one(&[31]), DELAY_MS_MAX)).accepts("366 days", vec![]),
        create(terms(one(&[11]), one(&[21]), one(&[31]), DELAY_MS_MAX + 1))
            .refuses("more than 366 days", Denied::BadTerms),
        create(Scene::new(vec![])).refuses("no parameters", Refused::BadParameters),
    ]
}

fn minting() -> Vec<Case> {
    let mint = |amount| Action::Mint { to: BOB, amount };
    let raised = kept(SUPPLY_MAX, Some((SUPPLY_MAX + 1, DUE_MS)));
    let free = kept(0, None);
    let operated = || signed(token(), &[22]);
    vec![
        operated().leg(ALICE, mint(1_000_000)).accepts("mint up to the limit", vec![]),
        operated().leg(ALICE, mint(1_000_001)).refuses("mint over the limit", Denied::OverSupply),
        operated()
            .leg(ALICE, mint(600_000))
            .leg(BOB, mint(400_001))
            .refuses("mint over the limit in two halves", Denied::OverSupply),
        operated().leg(ALICE, mint(u128::MAX)).refuses("mint beyond 128 bits (C6)", Refused::Arithmetic),
        signed(token(), &[11, 12, 31, 32])
            .leg(ALICE, mint(1))
            .refuses("no operator", Denied::OperatorsMissing),
        operated().state(PAUSED, &START_MS).leg(ALICE, mint(1)).refuses("mint while paused", Denied::Paused),
        operated()
            .state(limit_key(Limit::SupplyMax), &raised)
            .at(DUE_MS - 1)
            .leg(ALICE, mint(1_000_001))
            .refuses("mint before the limit is raised", Denied::OverSupply),
        operated()
            .state(limit_key(Limit::SupplyMax), &raised)
            .at(DUE_MS)
            .leg(ALICE, mint(1_000_001))
            .accepts("mint from then on", vec![]),
        operated()
            .state(limit_key(Limit::SupplyMax), &free)
            .leg(ALICE, mint(1 << 100))
            .accepts("mint without a limit", vec![]),
    ]
}

fn movements() -> Vec<Case> {
    let hold = Hold {
        id: HoldId([9; 32]),
        token: TOKEN,
        owner: ALICE,
        beneficiary: BOB,
        amount: TRANSFER_MAX + 1,
        kind: HoldKind::Pledge,
        expires_ms: None,
    };
    let pledge = |amount| Action::Hold { beneficiary: BOB, amount, kind: HoldKind::Pledge, expires_ms: None };
    let moves = [
        ("transfer", Action::Transfer { to: BOB, amount: TRANSFER_MAX, bilateral: true }),
        ("claim", Action::Claim { credit: CreditId([8; 32]), from: BOB, amount: TRANSFER_MAX + 1 }),
        ("burn", Action::Burn { amount: TRANSFER_MAX + 1 }),
        ("hold", pledge(TRANSFER_MAX)),
        ("execution of a hold made under a higher limit", Action::Execute { hold }),
    ];
    let paused = || token().state(PAUSED, &START_MS);
    let lowered = || token().state(limit_key(Limit::TransferMax), &kept(TRANSFER_MAX, Some((10, DUE_MS))));
    let mut cases = vec![
        pay(token(), TRANSFER_MAX + 1).refuses("transfer over the limit", Denied::OverTransferLimit),
        token()
            .leg(ALICE, pledge(TRANSFER_MAX + 1))
            .refuses("hold over the limit", Denied::OverTransferLimit),
        pay(lowered().at(DUE_MS - 1), 11).accepts("transfer before the limit is lowered", vec![]),
        pay(lowered().at(DUE_MS), 11).refuses("transfer from then on", Denied::OverTransferLimit),
        pay(token().state(limit_key(Limit::TransferMax), &kept(0, None)), u128::MAX)
            .accepts("transfer without a limit", vec![]),
        token().leg(BOB, Action::Release { hold }).accepts("release", vec![]),
        paused().leg(BOB, Action::Release { hold }).accepts("release while paused", vec![]),
        token().leg(ALICE, Action::Other).refuses("an action without a rule", Refused::UnsupportedAction),
    ];
    for (name, action) in moves {
        cases.push(token().leg(ALICE, action.clone()).accepts(name, vec![]));
        cases.push(paused().leg(ALICE, action).refuses(&text![name, " while paused"], Denied::Paused));
    }
    cases
}

fn scheduling() -> Vec<Case> {
    let writes = |limit, kept: Kept| vec![sets(limit_key(limit), &kept)];
    let waits = || token().state(limit_key(Limit::TransferMax), &kept(TRANSFER_MAX, Some((10, DUE_MS))));
    vec![
        schedule(deciding(token()), "transfer_max", 10)
            .accepts("schedule", writes(Limit::TransferMax, kept(TRANSFER_MAX, Some((10, DUE_MS))))),
        schedule(deciding(token()), "supply_max", 0)
            .accepts("lift a limit", writes(Limit::SupplyMax, kept(SUPPLY_MAX, Some((0, DUE_MS))))),
        schedule(signed(token(), &[11, 12]), "transfer_max", 10)
            .refuses("owners alone", Denied::OperatorsMissing),
        schedule(signed(token(), &[21, 22]), "transfer_max", 10)
            .refuses("operators alone", Denied::OwnersMissing),
        schedule(signed(token(), &[11, 21]), "transfer_max", 10)
            .refuses("one of two owners", Denied::OwnersMissing),
        schedule(token().signed(ALICE, &[key(11), key(21)]).signed(BOB, &[key(11)]), "transfer_max", 10)
            .refuses("one owner by two accounts counts once", Denied::OwnersMissing),
        schedule(deciding(token()), "interest", 10).refuses("an unknown limit", Denied::UnknownLimit),
        schedule(deciding(waits()), "transfer_max", 20)
            .refuses("schedule over a change that waits", Denied::ChangeWaits),
        schedule(deciding(waits().at(DUE_MS - 1)), "transfer_max", 20)
            .refuses("schedule in the last moment of a change", Denied::ChangeWaits),
        schedule(deciding(waits().at(DUE_MS)), "transfer_max", 20).accepts(
            "schedule once the change is in force",
            writes(Limit::TransferMax, kept(10, Some((20, DUE_MS + DELAY_MS)))),
        ),
        schedule(deciding(waits()), "supply_max", 20).accepts(
            "another limit does not wait",
            writes(Limit::SupplyMax, kept(SUPPLY_MAX, Some((20, DUE_MS)))),
        ),
        schedule(deciding(token().state(PAUSED, &START_MS)), "supply_max", 20)
            .accepts("schedule while paused", writes(Limit::SupplyMax, kept(SUPPLY_MAX, Some((20, DUE_MS))))),
        deciding(token())
            .invoke(ALICE, "schedule", vec![Value::Text("supply_max".into())])
            .refuses("schedule no value", Refused::BadArguments),
        deciding(token())
            .invoke(ALICE, "schedul", vec![])
            .refuses("an unknown method", Refused::UnknownMethod),
    ]
}

/// The delay is a limit like the others: its change waits for the delay that is in force.
fn delays() -> Vec<Case> {
    let writes = |limit, kept: Kept| vec![sets(limit_key(limit), &kept)];
    let day = u128::from(DELAY_MS_MAX);
    let (delay, own) = (u128::from(DELAY_MS), limit_key(Limit::DelayMs));
    let shortened = || token().state(own, &kept(delay, Some((1, DUE_MS))));
    vec![
        schedule(deciding(token()), "delay_ms", 1).accepts(
            "shorten the delay after the delay",
            writes(Limit::DelayMs, kept(delay, Some((1, DUE_MS)))),
        ),
        schedule(deciding(token()), "delay_ms", day)
            .accepts("lengthen it to 366 days", writes(Limit::DelayMs, kept(delay, Some((day, DUE_MS))))),
        schedule(deciding(token()), "delay_ms", 0).refuses("no delay at all", Denied::BadValue),
        schedule(deciding(token()), "delay_ms", day + 1).refuses("more than 366 days", Denied::BadValue),
        schedule(deciding(shortened().at(DUE_MS - 1)), "supply_max", 5).accepts(
            "the old delay counts until the new one is in force",
            writes(Limit::SupplyMax, kept(SUPPLY_MAX, Some((5, DUE_MS - 1 + DELAY_MS)))),
        ),
        schedule(deciding(shortened().at(DUE_MS)), "supply_max", 5).accepts(
            "the new delay counts from then on",
            writes(Limit::SupplyMax, kept(SUPPLY_MAX, Some((5, DUE_MS + 1)))),
        ),
        schedule(deciding(token().at(u64::MAX - 1)), "supply_max", 5).accepts(
            "a time at the end of all time does not overflow (C6)",
            writes(Limit::SupplyMax, kept(SUPPLY_MAX, Some((5, u64::MAX)))),
        ),
    ]
}

fn vetoes() -> Vec<Case> {
    let waits = || token().state(limit_key(Limit::TransferMax), &kept(TRANSFER_MAX, Some((10, DUE_MS))));
    let without = || vec![sets(limit_key(Limit::TransferMax), &kept(TRANSFER_MAX, None))];
    vec![
        veto(guarding(waits()), "transfer_max").accepts("veto", without()),
        veto(guarding(waits().at(DUE_MS - 1)), "transfer_max").accepts("veto in the last moment", without()),
        veto(guarding(waits().at(DUE_MS)), "transfer_max").refuses("veto too late", Denied::NoChange),
        veto(guarding(token()), "transfer_max").refuses("veto nothing", Denied::NoChange),
        veto(guarding(waits()), "supply_max").refuses("veto another limit", Denied::NoChange),
        veto(guarding(waits()), "interest").refuses("veto an unknown limit", Denied::UnknownLimit),
        veto(signed(waits(), &[31]), "transfer_max").refuses("one guardian", Denied::GuardiansMissing),
        veto(deciding(waits()), "transfer_max").refuses("owners and operators", Denied::GuardiansMissing),
    ]
}

fn pauses() -> Vec<Case> {
    let paused = || token().state(PAUSED, &START_MS);
    let call = |scene: Scene, method| scene.invoke(ALICE, method, vec![]);
    let stranger = Action::Invoke { policy_index: 1, method: "anything".into(), args: vec![] };
    vec![
        call(guarding(token()), "pause").accepts("pause", vec![sets(PAUSED, &START_MS)]),
        call(guarding(paused()), "pause").refuses("pause twice", Denied::Paused),
        call(signed(token(), &[32]), "pause").refuses("pause by one guardian", Denied::GuardiansMissing),
        call(deciding(token()), "pause").refuses("pause by owners", Denied::GuardiansMissing),
        call(signed(paused(), &[12, 13]), "unpause").accepts("unpause", vec![deletes(PAUSED)]),
        call(guarding(paused()), "unpause").refuses("unpause by guardians", Denied::OwnersMissing),
        call(deciding(token()), "unpause").refuses("unpause what runs", Denied::NotPaused),
        token().leg(ALICE, stranger).accepts("a call of another policy of the token", vec![]),
    ]
}

/// The policy that comes, and its parameters.
const COMES: [u8; 32] = [0xc0; 32];

fn params() -> Vec<Value> {
    vec![Value::Keys(vec![key(11)]), Value::U64(1), Value::U128(0)]
}

fn schedule_upgrade(scene: Scene, policy_index: u64, params: Vec<u8>) -> Scene {
    let args = vec![Value::U64(policy_index), Value::Digest(Digest(COMES)), Value::Bytes(params)];
    scene.invoke(ALICE, "schedule_upgrade", args)
}

fn comes(policy_index: u8, params: Vec<Value>, due_ms: u64) -> Vec<Effect> {
    vec![Effect::ScheduleUpgrade { policy_index, policy: PolicyId(COMES), params, due_ms }]
}

fn upgrades() -> Vec<Case> {
    let bytes = || abi::encode(&params());
    let plain = |scene: Scene| schedule_upgrade(scene, 0, bytes());
    let delay = u128::from(DELAY_MS);
    let shortened = || token().state(limit_key(Limit::DelayMs), &kept(delay, Some((1, DUE_MS))));
    let (cut, longer) = (bytes()[..bytes().len() - 1].to_vec(), [bytes(), vec![0]].concat());
    let unknown_type = vec![1, 0, 0, 0, 0xff];
    vec![
        plain(deciding(token())).accepts("schedule an upgrade", comes(0, params(), DUE_MS)),
        schedule_upgrade(deciding(token()), 255, bytes())
            .accepts("an upgrade of the last position", comes(255, params(), DUE_MS)),
        schedule_upgrade(deciding(token()), 256, bytes())
            .refuses("an upgrade beyond the last position", Denied::BadUpgrade),
        schedule_upgrade(deciding(token()), 0, abi::encode(&Vec::<Value>::new()))
            .accepts("a policy without parameters", comes(0, vec![], DUE_MS)),
        schedule_upgrade(deciding(token()), 0, vec![])
            .refuses("parameters that are no list", Denied::BadUpgrade),
        schedule_upgrade(deciding(token()), 0, cut).refuses("parameters cut short", Denied::BadUpgrade),
        schedule_upgrade(deciding(token()), 0, longer)
            .refuses("parameters with a byte too many", Denied::BadUpgrade),
        schedule_upgrade(deciding(token()), 0, unknown_type)
            .refuses("a parameter of no known type", Denied::BadUpgrade),
        plain(signed(token(), &[11, 12])).refuses("upgrade by owners alone", Denied::OperatorsMissing),
        plain(signed(token(), &[21, 22])).refuses("upgrade by operators alone", Denied::OwnersMissing),
        plain(signed(token(), &[11, 21])).refuses("upgrade by one of two owners", Denied::OwnersMissing),
        plain(guarding(token())).refuses("upgrade by guardians", Denied::OwnersMissing),
        plain(deciding(token().state(PAUSED, &START_MS)))
            .accepts("schedule an upgrade while paused", comes(0, params(), DUE_MS)),
        plain(deciding(shortened().at(DUE_MS - 1)))
            .accepts("the old delay counts for upgrades too", comes(0, params(), DUE_MS - 1 + DELAY_MS)),
        plain(deciding(shortened().at(DUE_MS)))
            .accepts("the new delay from then on", comes(0, params(), DUE_MS + 1)),
        plain(deciding(token().at(u64::MAX - 1))).accepts(
            "an upgrade at the end of all time does not overflow (C6)",
            comes(0, params(), u64::MAX),
        ),
        deciding(token())
            .invoke(
                ALICE,
                "schedule_upgrade",
                vec![Value::U64(0), Value::Text("c0".into()), Value::Bytes(bytes())],
            )
            .refuses("an upgrade to a text", Refused::BadArguments),
    ]
}

fn upgrade_vetoes() -> Vec<Case> {
    let veto = |scene: Scene, index| scene.invoke(ALICE, "veto_upgrade", vec![Value::U64(index)]);
    let cancels = |policy_index| vec![Effect::CancelUpgrade { policy_index }];
    vec![
        veto(guarding(token()), 1).accepts("veto an upgrade", cancels(1)),
        veto(guarding(token()), 255).accepts("veto an upgrade of the last position", cancels(255)),
        veto(guarding(token()), 256).refuses("veto beyond the last position", Denied::BadUpgrade),
        veto(guarding(token().state(PAUSED, &START_MS)), 0).accepts("veto while paused", cancels(0)),
        veto(signed(token(), &[31]), 0).refuses("veto by one guardian", Denied::GuardiansMissing),
        veto(deciding(token()), 0).refuses("veto by owners and operators", Denied::GuardiansMissing),
    ]
}

/// It takes the place of another policy, most likely of itself.
fn succession() -> Vec<Case> {
    let succeed =
        |scene: Scene| scene.leg(BOB, Action::Upgrade { policy_index: 0, from: PolicyId([0xf0; 32]) });
    let (delay, longest) = (u128::from(DELAY_MS), u128::from(DELAY_MS_MAX));
    let with_delay = |kept: Kept| succeed(token().state(limit_key(Limit::DelayMs), &kept));
    let found = |limit, value: &[u64]| succeed(token().state(limit_key(limit), &value));
    let one = |n: &'static [u8]| (n, 1);
    let newcomer = terms(one(&[41]), one(&[42]), one(&[43]), 5).state(PAUSED, &START_MS);
    let changed = kept(7, Some((9, DUE_MS)));
    vec![
        succeed(token()).accepts("succeed a policy without state", vec![]),
        succeed(newcomer.state(limit_key(Limit::TransferMax), &changed))
            .accepts("other keys, a pause and a change that waits", vec![]),
        pay(token().state(limit_key(Limit::TransferMax), &kept(7, None)), 8)
            .refuses("a limit that was changed counts, not the terms'", Denied::OverTransferLimit),
        succeed(token().state(b"l\x03", &1_u8).state(b"d", &1_u8))
            .accepts("what other policies keep is not looked at", vec![]),
        with_delay(kept(longest, Some((1, DUE_MS)))).accepts("the longest delay and the shortest", vec![]),
        with_delay(kept(1, Some((longest, DUE_MS)))).accepts("the shortest delay and the longest", vec![]),
        with_delay(kept(0, None)).refuses("a delay of nothing", Denied::BadState),
        with_delay(kept(longest + 1, None)).refuses("a delay of more than 366 days", Denied::BadState),
        with_delay(kept(delay, Some((0, DUE_MS)))).refuses("a delay that ends", Denied::BadState),
        with_delay(kept(delay, Some((longest + 1, DUE_MS))))
            .refuses("a delay that grows beyond 366 days", Denied::BadState),
        found(Limit::DelayMs, &[1]).refuses("a delay of another form", Denied::BadState),
        found(Limit::TransferMax, &[1]).refuses("a transfer limit of another form", Denied::BadState),
        found(Limit::SupplyMax, &[1]).refuses("a supply limit of another form", Denied::BadState),
        succeed(token().state(PAUSED, &1_u32)).refuses("a pause of another form", Denied::BadState),
        succeed(terms(one(&[11]), one(&[21]), (&[31], 2), 1))
            .refuses("succeed with too high a quorum", Denied::BadTerms),
        succeed(terms(one(&[11]), one(&[21]), one(&[11]), 1))
            .refuses("succeed with an owner who is a guardian", Denied::BadTerms),
        succeed(terms(one(&[11]), one(&[21]), one(&[31]), 0))
            .refuses("succeed without a delay", Denied::BadTerms),
        succeed(Scene::new(vec![])).refuses("succeed without parameters", Refused::BadParameters),
    ]
}

fn queries() -> Vec<Case> {
    let told = |value: u128, next: u128, due_ms: u64| {
        Fields::new().with("value", value).with("next", next).with("due_ms", due_ms)
    };
    let of = |limit: &str| vec![Value::Text(limit.into())];
    let waits = || token().state(limit_key(Limit::TransferMax), &kept(TRANSFER_MAX, Some((10, DUE_MS))));
    let pause = |on: bool, since: u64| Fields::new().with("paused", on).with("since_ms", since);
    let delay = u128::from(DELAY_MS);
    vec![
        token().answers("the delay", "limit", of("delay_ms"), told(delay, delay, 0)),
        token().answers("the supply", "limit", of("supply_max"), told(SUPPLY_MAX, SUPPLY_MAX, 0)),
        waits().at(DUE_MS - 1).answers(
            "a change that waits",
            "limit",
            of("transfer_max"),
            told(TRANSFER_MAX, 10, DUE_MS),
        ),
        waits().at(DUE_MS).answers("a change in force", "limit", of("transfer_max"), told(10, 10, 0)),
        token().refuses_query("an unknown limit", "limit", of("interest"), Denied::UnknownLimit),
        token().answers("not paused", "paused", vec![], pause(false, 0)),
        token().state(PAUSED, &START_MS).answers("paused", "paused", vec![], pause(true, START_MS)),
        token().refuses_query("an unknown query", "owners", vec![], Refused::UnknownQuery),
    ]
}
