//! A policy takes the place of another on a node: seen before, vetoed, put in force by a stranger; what judged before,
//! what judges now, and what is left of it after a restart and in an evidence package.

use crate::evidence::{judged, take};
use crate::world::{Owner, START_MS, World, config, genesis, sign, submit};
use dsm_abi::{Digest, PolicyId, TokenId, TransitionId, Value, encode};
use dsm_core::{Bound, OperationKind, Refusal, UpgradeTerms};
use dsm_host::node::{Node, SubmitError, replay};
use dsm_sdk::draft::{Draft, NewToken};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const HOUR_MS: u64 = 3_600_000;

/// Alice owns, bob operates, carol guards; dave has no part in it. Alice holds 1,000 units.
struct Town {
    folder: tempfile::TempDir,
    world: World,
    carol: Owner,
    dave: Owner,
    fungible: PolicyId,
    limit: PolicyId,
    governance: PolicyId,
    token: TokenId,
}

/// Who is refused, by which policy with which code, or by which word of the host.
#[derive(Debug, PartialEq)]
enum Refused {
    By(u8, u16),
    Host(&'static str),
}

impl Town {
    fn new() -> Town {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path());
        let network = world.node.network();
        let (carol, dave) = (Owner::new(network, 3), Owner::new(network, 4));
        for owner in [&carol, &dave] {
            world.accept(sign(world.draft().open(genesis(network, &owner.key)), &[owner]));
        }
        let fungible = world.node.read(|ledger| ledger.token(&world.token).unwrap().bound()[0].policy).0;
        let limit = world.publish(include_bytes!("../../../policies/dist/spend-limit.wasm"));
        let governance = world.publish(include_bytes!("../../../policies/dist/governance.wasm"));
        let token = TokenId::NONE;
        let mut town = Town { folder, world, carol, dave, fungible, limit, governance, token };
        town.token = town.create("RULED", |token| token.upgrades(0, HOUR_MS));
        town
    }

    /// A token under governance and the limit, with 1,000 units of alice.
    fn create(&self, symbol: &str, change: impl FnOnce(NewToken) -> NewToken) -> TokenId {
        let (world, class) = (&self.world, |owner: &Owner| Value::Keys(vec![owner.key_id()]));
        let (alice, bob) = (&world.alice, &world.bob);
        let ruled = vec![
            class(alice),
            Value::U64(1),
            class(bob),
            Value::U64(1),
            class(&self.carol),
            Value::U64(1),
            Value::U64(HOUR_MS),
            Value::U128(0),
            Value::U128(0),
        ];
        let policies = vec![(self.governance, ruled), (self.limit, self.limited())];
        let new =
            change(NewToken::new(alice.account, symbol, symbol, policies).salt([symbol.as_bytes()[0]; 32]));
        let token = new.token();
        self.accept(world.by(alice).operation(alice.account, new.operation()), &[alice]);
        self.accept(self.mint(token), &[alice, bob]);
        token
    }

    fn limited(&self) -> Vec<Value> {
        vec![Value::U128(100), Value::U128(0), Value::Keys(vec![]), Value::U64(0)]
    }

    /// The terms of `fungible`: carol issues.
    fn carols(&self) -> Vec<Value> {
        vec![Value::Keys(vec![self.carol.key_id()]), Value::U64(1), Value::U128(0)]
    }

    fn accept(&self, draft: Draft, owners: &[&Owner]) -> TransitionId {
        self.world.accept(sign(draft, owners)).transition
    }

    fn refuse(&self, draft: Draft, owners: &[&Owner]) -> Refused {
        match submit(&self.world.node, encode(&sign(draft, owners))).unwrap_err() {
            SubmitError::Refused(Refusal::Denied { policy_index, denial, .. }) => {
                Refused::By(policy_index, denial.code)
            }
            error => Refused::Host(error.code()),
        }
    }

    fn pay(&self, amount: u128) -> Draft {
        let (alice, bob) = (&self.world.alice, &self.world.bob);
        self.world.by(alice).transfer(alice.account, self.token, bob.account, amount)
    }

    fn with(&self, draft: Draft, owner: &Owner) -> Draft {
        draft.signer(owner.account, self.world.head(owner))
    }

    /// Alice mints, and bob signs too.
    fn mint(&self, token: TokenId) -> Draft {
        let alice = &self.world.alice;
        let draft = self.with(self.world.by(alice), &self.world.bob);
        draft.mint(alice.account, token, alice.account, 1_000)
    }

    fn schedule(&self, token: TokenId, policy: PolicyId, params: &Vec<Value>) -> Draft {
        let alice = &self.world.alice;
        let args = vec![Value::U64(1), Value::Digest(Digest(policy.0)), Value::Bytes(encode(params))];
        self.with(self.world.by(alice), &self.world.bob).invoke(
            alice.account,
            token,
            0,
            "schedule_upgrade",
            args,
        )
    }

    fn scheduled(&self, policy: PolicyId, params: &Vec<Value>) {
        let (alice, bob) = (&self.world.alice, &self.world.bob);
        self.accept(self.schedule(self.token, policy, params), &[alice, bob]);
    }

    fn veto(&self) {
        let (carol, args) = (&self.carol, vec![Value::U64(1)]);
        let draft = self.world.by(carol).invoke(carol.account, self.token, 0, "veto_upgrade", args);
        self.accept(draft, &[carol]);
    }

    /// Dave puts it in force.
    fn upgrade(&self) -> Draft {
        let kind = OperationKind::Upgrade { token: self.token, policy_index: 1 };
        self.world.by(&self.dave).operation(self.dave.account, kind)
    }

    fn an_hour_passes(&self) {
        self.world.clock.0.fetch_add(HOUR_MS, Ordering::Relaxed);
    }

    fn judges(&self) -> Bound {
        self.world.node.read(|ledger| ledger.token(&self.token).unwrap().bound()[1].clone()).0
    }
}

#[test]
fn a_stranger_puts_in_force_what_was_scheduled_seen_and_not_vetoed() {
    let town = Town::new();
    let (alice, bob, dave) = (&town.world.alice, &town.world.bob, &town.dave);
    let before = town.accept(town.pay(100), &[alice]);
    assert_eq!(town.refuse(town.pay(101), &[alice]), Refused::By(1, 100), "over the limit");

    let alone = town.world.by(alice);
    let args =
        vec![Value::U64(1), Value::Digest(Digest(town.fungible.0)), Value::Bytes(encode(&town.carols()))];
    let alone = alone.invoke(alice.account, town.token, 0, "schedule_upgrade", args);
    assert_eq!(town.refuse(alone, &[alice]), Refused::By(0, 103), "no operator");
    town.scheduled(town.fungible, &town.carols());
    let waits = |ledger: &dsm_core::Ledger| ledger.token(&town.token).unwrap().upgrades().clone();
    let (waiting, _) = town.world.node.read(waits);
    assert_eq!(waiting.keys().collect::<Vec<_>>(), [&1]);
    assert_eq!((waiting[&1].to.policy, waiting[&1].due_ms), (town.fungible, START_MS + HOUR_MS));
    let (alice_and_bob, again) = ([alice, bob], town.schedule(town.token, town.limit, &town.limited()));
    assert_eq!(town.refuse(again, &alice_and_bob), Refused::Host("effect_not_permitted"), "one waits");
    assert_eq!(town.refuse(town.upgrade(), &[dave]), Refused::Host("upgrade_not_due"));
    town.veto();
    town.an_hour_passes();
    assert_eq!(town.refuse(town.upgrade(), &[dave]), Refused::Host("no_upgrade"));

    town.scheduled(town.fungible, &town.carols());
    town.an_hour_passes();
    assert_eq!(town.refuse(town.pay(101), &[alice]), Refused::By(1, 100), "the old one until somebody asks");
    let beside = town.upgrade().invoke(dave.account, town.token, 0, "veto_upgrade", vec![Value::U64(1)]);
    assert_eq!(town.refuse(beside, &[dave]), Refused::Host("upgrade_not_alone"));
    let upgrade = town.accept(town.upgrade(), &[dave]);
    assert_eq!(town.judges(), Bound { policy: town.fungible, params: town.carols() });
    let after = town.accept(town.pay(101), &[alice]);
    assert_eq!(town.refuse(town.mint(town.token), &[alice, bob]), Refused::By(1, 101), "carol issues now");
    let three = town.with(town.mint(town.token), &town.carol);
    town.accept(three, &[alice, bob, &town.carol]);

    // One that has no rule for taking over refuses, and the one before goes on.
    town.scheduled(town.limit, &town.limited());
    town.an_hour_passes();
    let refused = town.refuse(town.upgrade(), &[dave]);
    assert_eq!(refused, Refused::By(1, dsm_policy::Refused::UnsupportedAction as u16), "no rule for it");
    assert_eq!(town.judges().policy, town.fungible);
    town.accept(town.pay(102), &[alice]);

    // A stranger judges all of it again: by the policy that judged then, and by the one that judges now.
    take(&town.world);
    let package = town.world.node.evidence(&[before, upgrade, after], false).unwrap();
    let report = judged(&package.encode(), &town.world.node.genesis().node).unwrap();
    assert_eq!(report.transitions.len(), 3);

    let Town { folder, world, token, .. } = town;
    let (print, clock) = (world.fingerprint(), Arc::clone(&world.clock));
    let now = |node: &Node| {
        let found = node.read(|ledger| ledger.token(&token).unwrap().clone()).0;
        (found.head(), found.bound().to_vec(), found.upgrades().clone())
    };
    let live = now(&world.node);
    world.node.close().unwrap();
    let report = replay::verify(&config(folder.path(), Arc::clone(&clock))).unwrap();
    assert_eq!((report.accounts_root, report.tokens_root, report.position), (print.0, print.1, print.3));
    let reopened = Node::open(config(folder.path(), clock)).unwrap();
    assert_eq!(now(&reopened), live);
}

#[test]
fn nobody_replaces_the_policies_of_a_token_that_was_created_without_it() {
    let town = Town::new();
    let (alice, bob) = (&town.world.alice, &town.world.bob);
    let fixed = town.create("FIXED", |token| token);
    let draft = town.schedule(fixed, town.fungible, &town.carols());
    assert_eq!(town.refuse(draft, &[alice, bob]), Refused::Host("effect_not_permitted"));
    // Nor does a policy that the terms do not name; and a delay shorter than the terms' is refused by the host.
    let other = town.create("OTHER", |token| token.upgrades(1, 1));
    let draft = town.schedule(other, town.fungible, &town.carols());
    assert_eq!(town.refuse(draft, &[alice, bob]), Refused::Host("effect_not_permitted"));
    let slower = town.create("SLOWER", |token| token.upgrades(0, HOUR_MS + 1));
    let draft = town.schedule(slower, town.fungible, &town.carols());
    assert_eq!(town.refuse(draft, &[alice, bob]), Refused::Host("effect_not_permitted"));
    let terms = town.world.node.read(|ledger| ledger.token(&slower).unwrap().terms().upgrades).0;
    assert_eq!(terms, Some(UpgradeTerms { by: 0, delay_ms: HOUR_MS + 1 }));
}
