//! Policies that take the place of others: only by the token's terms, after the delay, with the state that they find.

use crate::world::{
    ABSENT, FastSignatures, HEIR, Native, PEEK, Refused, SCRIPT, WATCH, World, effects, fingerprint, invoke,
    policy, publish, transfer, upgradable,
};
use dsm_abi::{Effect, TokenId, Value};
use dsm_core::{Accepted, Bound, Ledger, OperationKind, RecordError, Refusal, Upgrade, UpgradeTerms, limit};

const DELAY_MS: u64 = 1_000;

/// A world with a token of two policies, [`SCRIPT`] and [`WATCH`] of 5,000; the first may schedule. Alice has 500.
struct Town {
    world: World,
    token: TokenId,
}

impl Town {
    fn new() -> Town {
        let mut world = World::new();
        world.accept_one(world.root, publish(HEIR));
        let terms = Some(UpgradeTerms { by: 0, delay_ms: DELAY_MS });
        let policies = [(SCRIPT, vec![]), (WATCH, vec![Value::U128(5_000)])];
        let token = world.create_with("SLOW", &policies, terms);
        let mint = OperationKind::Mint { token, to: world.alice, amount: 500 };
        world.accept(&[world.root, world.alice], world.ops(world.root, vec![mint]));
        Town { world, token }
    }

    fn due_ms(&self) -> u64 {
        self.world.time_ms + DELAY_MS
    }

    fn asks(&mut self, effect: Effect) -> OperationKind {
        effects(self.token, 0, &[effect])
    }

    /// Schedules `name` with one number as its parameter for a position.
    fn schedules(&mut self, policy_index: u8, name: &str, limit: u128) {
        let due_ms = self.due_ms();
        let asked = self.asks(scheduled(policy_index, name, limit, due_ms));
        self.world.accept_one(self.world.root, asked);
    }

    fn upgrade(&self, policy_index: u8) -> OperationKind {
        OperationKind::Upgrade { token: self.token, policy_index }
    }

    fn bound(&self) -> Vec<Bound> {
        self.world.ledger.token(&self.token).unwrap().bound().to_vec()
    }
}

fn scheduled(policy_index: u8, name: &str, limit: u128, due_ms: u64) -> Effect {
    Effect::ScheduleUpgrade { policy_index, policy: policy(name), params: vec![Value::U128(limit)], due_ms }
}

fn bound(name: &str, params: Vec<Value>) -> Bound {
    Bound { policy: policy(name), params }
}

#[test]
fn a_policy_takes_over_after_the_delay_and_brings_the_state_into_its_form() {
    let mut town = Town::new();
    let (alice, bob, carol, root) = (town.world.alice, town.world.bob, town.world.carol, town.world.root);
    let kept = town.asks(Effect::SetState { key: b"old".to_vec(), value: vec![7] });
    town.world.accept_one(root, kept);
    let root_before = town.world.ledger.token(&town.token).unwrap().state().state_root;

    let due_ms = town.due_ms();
    town.schedules(0, HEIR, 100);
    let found = town.world.ledger.token(&town.token).unwrap();
    let waiting = Upgrade { to: bound(HEIR, vec![Value::U128(100)]), due_ms };
    assert_eq!(found.upgrades().get(&0), Some(&waiting));
    assert_ne!(found.state().state_root, root_before, "what waits is in the root");
    assert_eq!(found.state().policies, [policy(SCRIPT), policy(WATCH)]);
    town.world.accept_one(alice, transfer(town.token, bob, 101));

    town.world.time_ms = due_ms - 1;
    let early = town.world.refuse_one(carol, town.upgrade(0));
    let (token, policy_index, time_ms) = (town.token, 0, due_ms - 1);
    assert_eq!(early, Refused::Refusal(Refusal::UpgradeNotDue { token, policy_index, due_ms, time_ms }));

    // Due, and nothing has changed yet: somebody has to put it in force. Anybody may.
    town.world.time_ms = due_ms;
    town.world.accept_one(alice, transfer(town.token, bob, 101));
    let applied = town.world.accept_one(carol, town.upgrade(0));
    let found = town.world.ledger.token(&town.token).unwrap();
    assert!(found.upgrades().is_empty());
    assert_eq!(found.bound(), [bound(HEIR, vec![Value::U128(100)]), bound(WATCH, vec![Value::U128(5_000)])]);
    assert_eq!(found.state().policies, [policy(HEIR), policy(WATCH)]);
    assert_eq!(found.terms().policies, [policy(SCRIPT), policy(WATCH)], "the terms stay what they were");
    assert_eq!(found.terms().token(), town.token, "and so does the id");
    assert_eq!(applied.tokens.len(), 1);
    let space = found.space(0).unwrap();
    assert_eq!(space.get(b"heir/old".as_slice()), Some(&vec![7]));
    assert_eq!(space.get(b"old".as_slice()), None);

    assert_eq!(town.world.refuse_one(alice, transfer(town.token, bob, 101)).code(), "policy_denied");
    town.world.accept_one(alice, transfer(town.token, bob, 100));
    // The one that came does not know the old one's methods.
    assert_eq!(town.world.refuse_one(root, invoke(town.token, 0, "signers")).code(), "policy_denied");
    assert_eq!(town.world.refuse_one(carol, town.upgrade(0)).code(), "no_upgrade");
    town.world.check_totals();
    agrees(&town.world);
}

/// The recorded log leads to the same ledger, believed or judged again.
fn agrees(world: &World) {
    let live = fingerprint(&world.ledger);
    let (mut believed, mut judged) = (Ledger::new(&world.genesis), Ledger::new(&world.genesis));
    for record in &world.log {
        believed.replay(record.clone()).unwrap();
        judged.replay_verifying(record.clone(), &FastSignatures, &mut Native).unwrap();
    }
    assert_eq!((fingerprint(&believed), fingerprint(&judged)), (live, live));
}

#[test]
fn an_upgrade_that_was_taken_back_may_be_scheduled_again() {
    let mut town = Town::new();
    town.schedules(1, WATCH, 50);
    let cancel = town.asks(Effect::CancelUpgrade { policy_index: 1 });
    town.world.accept_one(town.world.bob, cancel);
    town.world.time_ms += DELAY_MS;
    assert_eq!(town.world.refuse_one(town.world.carol, town.upgrade(1)).code(), "no_upgrade");
    town.schedules(1, WATCH, 60);
    town.world.time_ms += DELAY_MS;
    town.world.accept_one(town.world.carol, town.upgrade(1));
    assert_eq!(town.bound()[1], bound(WATCH, vec![Value::U128(60)]));
    agrees(&town.world);
}

#[test]
fn what_a_replaced_policy_read_still_belongs_to_the_past_of_its_token() {
    let mut world = World::new();
    let gold = world.gold;
    let terms = Some(UpgradeTerms { by: 0, delay_ms: DELAY_MS });
    let policies = [(SCRIPT, vec![]), (PEEK, vec![Value::Token(gold)])];
    let token = world.create_with("NOSY", &policies, terms);
    let mut town = Town { world, token };
    let reads = |town: &Town| town.world.ledger.foreign_reads(&town.token).contains(&gold);
    assert!(reads(&town));
    town.schedules(1, WATCH, 50);
    town.world.time_ms += DELAY_MS;
    town.world.accept_one(town.world.carol, town.upgrade(1));
    assert_eq!(town.bound()[1].policy, policy(WATCH));
    assert!(reads(&town));
}

type Row = (&'static str, &'static str, fn(&mut Town) -> Refused);

#[test]
fn every_upgrade_that_the_terms_do_not_allow_is_refused_and_changes_nothing() {
    for (code, what, row) in ROWS {
        let mut town = Town::new();
        let before = town.bound();
        let refused = row(&mut town);
        assert_eq!(refused.code(), *code, "{what}: {refused:?}");
        assert_eq!(town.bound(), before, "{what}");
    }
}

fn asked(town: &mut Town, effect: Effect) -> Refused {
    let asked = town.asks(effect);
    town.world.refuse_one(town.world.root, asked)
}

/// Puts an upgrade of position 0 in force when it is due.
fn in_force(town: &mut Town) -> Refused {
    town.world.time_ms += DELAY_MS;
    let upgrade = town.upgrade(0);
    town.world.refuse_one(town.world.carol, upgrade)
}

const ROWS: &[Row] = &[
    ("effect_not_permitted", "of a token whose terms allow none", |t| {
        let wanted = scheduled(0, WATCH, 1, u64::MAX);
        t.world.refuse_one(t.world.root, effects(t.world.gold, 0, &[wanted]))
    }),
    ("effect_not_permitted", "by a policy that the terms do not name", |t| {
        let terms = Some(UpgradeTerms { by: 0, delay_ms: 1 });
        let token = t.world.create_with("OTHER", &[(WATCH, vec![Value::U128(9)]), (SCRIPT, vec![])], terms);
        t.world.refuse_one(t.world.root, effects(token, 1, &[scheduled(1, WATCH, 1, u64::MAX)]))
    }),
    ("effect_not_permitted", "a ms too soon", |t| {
        let due_ms = t.due_ms() - 1;
        asked(t, scheduled(1, WATCH, 1, due_ms))
    }),
    ("effect_not_permitted", "in the past", |t| asked(t, scheduled(1, WATCH, 1, 0))),
    ("effect_not_permitted", "while another one waits", |t| {
        t.schedules(1, WATCH, 1);
        let due_ms = t.due_ms();
        asked(t, scheduled(1, WATCH, 2, due_ms))
    }),
    ("effect_not_permitted", "the end of none", |t| asked(t, Effect::CancelUpgrade { policy_index: 1 })),
    ("effect_not_permitted", "the end of none, at no position", |t| {
        asked(t, Effect::CancelUpgrade { policy_index: 2 })
    }),
    ("effect_not_permitted", "parameters beyond their limit", |t| {
        let (policy, due_ms) = (policy(WATCH), t.due_ms());
        let params = vec![Value::U64(1); dsm_abi::limit::VALUES_MAX + 1];
        asked(t, Effect::ScheduleUpgrade { policy_index: 1, policy, params, due_ms })
    }),
    ("unknown_policy_index", "for a position that is not there", |t| {
        let due_ms = t.due_ms();
        asked(t, scheduled(2, WATCH, 1, due_ms))
    }),
    ("policy_missing", "to a policy that nobody published", |t| {
        let due_ms = t.due_ms();
        asked(t, scheduled(1, ABSENT, 1, due_ms))
    }),
    ("parameter_count", "with too many parameters", |t| {
        let due_ms = t.due_ms();
        asked(t, scheduled(1, SCRIPT, 1, due_ms))
    }),
    ("bad_parameter", "with a parameter of another type", |t| {
        let due_ms = t.due_ms();
        asked(t, scheduled(1, PEEK, 1, due_ms))
    }),
    ("write_conflict", "two for one position", |t| {
        let due_ms = t.due_ms();
        let both = [scheduled(1, WATCH, 1, due_ms), scheduled(1, WATCH, 2, due_ms)];
        t.world.refuse_one(t.world.root, effects(t.token, 0, &both))
    }),
    ("effect_not_permitted", "while the token is created", |t| {
        let terms = Some(UpgradeTerms { by: 0, delay_ms: 1 });
        let kind = upgradable("NEW", &[(HEIR, vec![Value::U128(1)])], terms);
        t.world.refuse_one(t.world.root, kind)
    }),
    ("no_upgrade", "nothing waits", |t| t.world.refuse_one(t.world.carol, t.upgrade(0))),
    ("unknown_policy_index", "in force at no position", |t| t.world.refuse_one(t.world.carol, t.upgrade(2))),
    ("unknown_token", "in force of no token", |t| {
        let token = TokenId([3; 32]);
        t.world.refuse_one(t.world.carol, OperationKind::Upgrade { token, policy_index: 0 })
    }),
    ("upgrade_not_alone", "beside a transfer of the token", |t| {
        t.schedules(0, HEIR, 1);
        t.world.time_ms += DELAY_MS;
        let operations = t.world.ops(t.world.alice, vec![transfer(t.token, t.world.bob, 1), t.upgrade(0)]);
        t.world.refuse(&[t.world.alice], operations)
    }),
    ("upgrade_not_alone", "two at once", |t| {
        t.schedules(0, HEIR, 1);
        t.schedules(1, WATCH, 1);
        t.world.time_ms += DELAY_MS;
        let operations = t.world.ops(t.world.alice, vec![t.upgrade(0), t.upgrade(1)]);
        t.world.refuse(&[t.world.alice], operations)
    }),
    ("policy_denied", "the one that comes refuses the state", |t| {
        let sealed = t.asks(Effect::SetState { key: b"sealed".to_vec(), value: vec![] });
        t.world.accept_one(t.world.root, sealed);
        t.schedules(0, HEIR, 1);
        in_force(t)
    }),
    ("effect_not_permitted", "the one that comes wants units", |t| {
        t.schedules(0, HEIR, 0);
        in_force(t)
    }),
    ("policy_fault", "the one that comes fails", |t| {
        t.schedules(0, HEIR, u128::MAX);
        in_force(t)
    }),
];

#[test]
fn terms_of_upgrades_have_a_shape() {
    let mut world = World::new();
    let policies = [(SCRIPT, vec![]), (WATCH, vec![Value::U128(1)])];
    let rows = [
        (0, 1, true),
        (1, limit::UPGRADE_DELAY_MS_MAX, true),
        (2, 1, false),
        (255, 1, false),
        (0, 0, false),
        (0, limit::UPGRADE_DELAY_MS_MAX + 1, false),
    ];
    for (index, (by, delay_ms, fits)) in rows.into_iter().enumerate() {
        let kind = upgradable(&format!("T{index}"), &policies, Some(UpgradeTerms { by, delay_ms }));
        if fits {
            world.accept_one(world.root, kind);
        } else {
            assert_eq!(world.refuse_one(world.root, kind).code(), "field_malformed", "{by}, {delay_ms} ms");
        }
    }
}

/// A damaged or forged record cannot bring a policy in by another way.
#[test]
fn no_record_can_upgrade_otherwise() {
    type Change = (&'static str, fn(&mut Accepted));
    let changes: &[Change] = &[
        ("no migration", |record| record.effects.clear()),
        ("a mint in the migration", |record| {
            let to = record.signed.transition.operations[0].actor;
            record.effects[0].effects.push(Effect::Mint { to, amount: 1 });
        }),
        ("a migration of another position", |record| record.effects[0].policy_index = 1),
        ("before it was due", |record| record.time_ms -= 1),
        ("the old list of policies", |record| record.tokens[0].policies[0] = policy(SCRIPT)),
    ];
    let mut town = Town::new();
    let kept = town.asks(Effect::SetState { key: b"old".to_vec(), value: vec![7] });
    town.world.accept_one(town.world.root, kept);
    town.schedules(0, HEIR, 1);
    town.world.time_ms += DELAY_MS;
    let before = town.world.ledger.clone();
    let upgrade = town.upgrade(0);
    let record = Accepted::from(&town.world.accept_one(town.world.carol, upgrade));
    assert!(before.clone().replay(record.clone()).is_ok());
    for (what, change) in changes {
        let mut forged = record.clone();
        change(&mut forged);
        let believed = before.clone().replay(forged.clone());
        assert!(matches!(believed, Err(RecordError::Refused { .. } | RecordError::Heads(_))), "{what}");
        assert!(before.clone().replay_verifying(forged, &FastSignatures, &mut Native).is_err(), "{what}");
    }
}
