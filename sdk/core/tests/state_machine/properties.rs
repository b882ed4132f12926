//! Random sequences of valid and invalid transitions, and what must hold after each: conservation, continuity,
//! one child per parent, all or nothing; and at the end a replay that equals the live state byte for byte.

use crate::world::{
    FastSignatures, Native, Refused, UPGRADE_DELAY_MS, WATCH, World, effects, fingerprint, invoke, key_set,
    policy, sign_as, transfer,
};
use dsm_abi::{AccountId, Digest, Effect, HoldKind, NetworkId, StateId, TokenId, Value};
use dsm_core::{Ledger, Operation, OperationKind, RecordError};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One step of a sequence. Numbers choose among what exists, so that every sequence shrinks to a smaller one.
#[derive(Debug, Clone)]
enum Step {
    /// Some operations of some actors, with cosigners.
    Set { kinds: Vec<(u8, Kind)>, cosigner: Option<u8> },
    /// Time passes.
    Wait(u8),
    /// A transition that was accepted comes again.
    Replay(u8),
    /// A transfer with one thing wrong.
    Broken(u8),
    /// Opens an account, paid by another in the same transition.
    Open { payer: u8, amount: u8 },
}

#[derive(Debug, Clone)]
enum Kind {
    Mint { token: u8, to: u8, amount: u128 },
    Burn { token: u8, amount: u128 },
    Transfer { token: u8, to: u8, amount: u128 },
    Claim(u8),
    Hold { token: u8, to: u8, amount: u128, kind: u8, ends: Option<u8> },
    Release(u8),
    Execute(u8),
    Effect { token: u8, effect: u8, to: u8, amount: u128 },
    Upgrade { token: u8, index: u8 },
    Rotate,
    Precommit(u8),
    Fault,
}

fn amount() -> impl Strategy<Value = u128> {
    prop_oneof![
        12 => 1u128..60,
        2 => 200u128..2_000,
        1 => prop::sample::select(vec![0, 1 << 64, u128::MAX / 2, u128::MAX - 1, u128::MAX]),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    let n = any::<u8>;
    prop_oneof![
        3 => (n(), n(), amount()).prop_map(|(token, to, amount)| Kind::Mint { token, to, amount }),
        1 => (n(), amount()).prop_map(|(token, amount)| Kind::Burn { token, amount }),
        6 => (n(), n(), amount()).prop_map(|(token, to, amount)| Kind::Transfer { token, to, amount }),
        5 => n().prop_map(Kind::Claim),
        4 => (n(), n(), amount(), n(), prop::option::of(n())).prop_map(|(token, to, amount, kind, ends)| {
            Kind::Hold { token, to, amount, kind, ends }
        }),
        2 => n().prop_map(Kind::Release),
        2 => n().prop_map(Kind::Execute),
        4 => (n(), n(), n(), amount()).prop_map(|(token, effect, to, amount)| {
            Kind::Effect { token, effect, to, amount }
        }),
        1 => (n(), n()).prop_map(|(token, index)| Kind::Upgrade { token, index }),
        1 => Just(Kind::Rotate),
        1 => n().prop_map(Kind::Precommit),
        1 => Just(Kind::Fault),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let set = (prop::collection::vec((any::<u8>(), kind()), 1..4), prop::option::of(any::<u8>()));
    prop_oneof![
        16 => set.prop_map(|(kinds, cosigner)| Step::Set { kinds, cosigner }),
        2 => any::<u8>().prop_map(Step::Wait),
        1 => any::<u8>().prop_map(Step::Replay),
        2 => any::<u8>().prop_map(Step::Broken),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(payer, amount)| Step::Open { payer, amount }),
    ]
}

fn pick<T: Copy>(from: &[T], number: u8) -> Option<T> {
    (!from.is_empty()).then(|| from[usize::from(number) % from.len()])
}

/// A world under a random sequence, with what it has seen.
struct Run {
    world: World,
    start: Ledger,
    /// Every state that has a child.
    parents: BTreeSet<StateId>,
    opened: u8,
}

impl Run {
    fn new() -> Run {
        let world = World::new();
        Run {
            start: world.ledger.clone(),
            world: World { log: Vec::new(), ..world },
            parents: BTreeSet::new(),
            opened: 0,
        }
    }

    fn accounts(&self) -> Vec<AccountId> {
        self.world.ledger.accounts().map(|(account, _)| *account).collect()
    }

    fn tokens(&self) -> [TokenId; 3] {
        [self.world.gold, self.world.silver, self.world.copper]
    }

    fn operation(&mut self, actor: AccountId, kind: &Kind) -> Option<OperationKind> {
        let (accounts, tokens) = (self.accounts(), self.tokens());
        let account = |number: u8| pick(&accounts, number).expect("never empty");
        let token = |number: u8| pick(&tokens, number).expect("three");
        let ledger = &self.world.ledger;
        let holds: Vec<_> =
            ledger.accounts().flat_map(|(_, account)| account.holds().keys().copied()).collect();
        Some(match kind {
            Kind::Mint { token: t, to, amount } => {
                OperationKind::Mint { token: token(*t), to: account(*to), amount: *amount }
            }
            Kind::Burn { token: t, amount } => OperationKind::Burn { token: token(*t), amount: *amount },
            Kind::Transfer { token: t, to, amount } => transfer(token(*t), account(*to), *amount),
            Kind::Claim(number) => {
                let credits: Vec<_> = ledger.inbox(actor, None).map(|credit| credit.id).collect();
                OperationKind::Claim { credit: pick(&credits, *number)? }
            }
            Kind::Hold { token: t, to, amount, kind, ends } => OperationKind::Hold {
                token: token(*t),
                amount: *amount,
                beneficiary: account(*to),
                kind: pick(&[HoldKind::Pledge, HoldKind::Lien, HoldKind::Lock, HoldKind::Escrow], *kind)?,
                expires_ms: ends.map(|ms| self.world.time_ms + u64::from(ms)),
            },
            Kind::Release(number) => OperationKind::Release { hold: pick(&holds, *number)? },
            Kind::Execute(number) => OperationKind::Execute { hold: pick(&holds, *number)? },
            Kind::Effect { token: t, effect, to, amount } => {
                let (token, to, amount) = (token(*t), account(*to), *amount);
                let index = u8::from(token == self.world.copper);
                let hold = pick(&holds, *effect);
                let expires_ms = Some(self.world.time_ms + 300);
                let kind = HoldKind::Escrow;
                effects(
                    token,
                    index,
                    &[match effect % 12 {
                        0 => Effect::SetState { key: vec![*effect], value: amount.to_le_bytes().to_vec() },
                        1 => Effect::DeleteState { key: vec![effect.wrapping_sub(1)] },
                        2 => Effect::CreateHold { owner: actor, beneficiary: to, amount, kind, expires_ms },
                        3 => Effect::ExtendHold { hold: hold?, expires_ms },
                        4 => Effect::ReleaseHold { hold: hold? },
                        5 => Effect::ExecuteHold { hold: hold? },
                        6 if *effect < 30 => Effect::Freeze { account: to },
                        6 => Effect::Unfreeze { account: to },
                        7 => Effect::Mint { to, amount },
                        8 => Effect::Burn { from: actor, amount },
                        9 => Effect::ScheduleUpgrade {
                            policy_index: effect / 12 % 3,
                            policy: policy(WATCH),
                            params: vec![Value::U128(amount)],
                            due_ms: self.world.time_ms + UPGRADE_DELAY_MS,
                        },
                        10 => Effect::CancelUpgrade { policy_index: effect / 12 % 3 },
                        _ => Effect::Transfer { from: actor, to, amount },
                    }],
                )
            }
            Kind::Upgrade { token: t, index } => {
                OperationKind::Upgrade { token: token(*t), policy_index: index % 3 }
            }
            Kind::Rotate => OperationKind::RotateKeys { keys: key_set(&format!("{}", self.world.log.len())) },
            Kind::Precommit(ms) => OperationKind::Precommit {
                shape: Digest::default(),
                until_ms: self.world.time_ms + u64::from(ms % 8),
            },
            Kind::Fault => invoke(token(0), 0, "fault"),
        })
    }

    fn set(&mut self, kinds: &[(u8, Kind)], cosigner: Option<u8>) -> bool {
        let accounts = self.accounts();
        let mut signers = BTreeSet::new();
        let mut operations = Vec::new();
        for (number, kind) in kinds {
            let actor = pick(&accounts, *number).expect("never empty");
            let Some(kind) = self.operation(actor, kind) else { continue };
            signers.insert(actor);
            operations.push(Operation { actor, kind });
        }
        signers.extend(cosigner.and_then(|number| pick(&accounts, number)));
        let signers: Vec<_> = signers.into_iter().collect();
        let signed = self.world.signed(&signers, operations);
        self.submit(&signed).is_ok()
    }

    /// Submits and checks everything that must hold afterwards.
    fn submit(&mut self, signed: &dsm_core::SignedTransition) -> Result<(), Refused> {
        let before = self.world.ledger.clone();
        let applied = match self.world.submit(signed) {
            Ok(applied) => applied,
            Err(refused) => {
                assert_same_heads(&self.world.ledger, &before);
                return Err(refused);
            }
        };
        for state in &applied.accounts {
            let parent = before.account(&state.account).map(|account| account.head());
            assert_eq!(state.parent, parent.unwrap_or(StateId::NONE));
            let height = before.account(&state.account).map(|account| account.state().height + 1);
            assert_eq!(state.height, height.unwrap_or(0));
            assert!(parent.is_none_or(|parent| self.parents.insert(parent)), "two children of one state");
            let now = self.world.ledger.account(&state.account).unwrap();
            assert_eq!((now.state(), now.head()), (state, state.id()));
        }
        for state in &applied.tokens {
            let parent = before.token(&state.token).map(|token| token.state().id());
            assert_eq!(Some(state.parent), parent);
            assert_eq!(Some(state.height), before.token(&state.token).map(|token| token.state().height + 1));
        }
        let moved = applied.accounts.iter().map(|state| state.account).collect::<BTreeSet<_>>();
        for (account, found) in self.world.ledger.accounts() {
            if !moved.contains(account) {
                assert_eq!(before.account(account).unwrap().head(), found.head());
            }
            for token in self.tokens() {
                assert!(found.available(&token, self.world.time_ms) <= found.balance(&token));
            }
        }
        self.world.check_totals();
        for token in self.tokens() {
            let cap = self.world.ledger.token(&token).unwrap().terms().cap;
            assert!(cap.is_none_or(|cap| self.world.ledger.totals(&token).supply <= cap));
        }
        Ok(())
    }

    fn broken(&mut self, number: u8) {
        let (alice, bob) = (self.world.alice, self.world.bob);
        let operations = self.world.ops(alice, vec![transfer(self.world.gold, bob, 1)]);
        let mut draft = self.world.draft(&[alice], operations);
        match number % 6 {
            0 => draft.parents[0].1.0[usize::from(number) % 32] ^= 1,
            1 => draft.network = NetworkId([number; 32]),
            2 => draft.valid_until_ms = draft.valid_from_ms,
            3 => draft.valid_from_ms += 1,
            _ => {}
        }
        let mut signed = sign_as(&self.world.ledger, draft);
        match number % 6 {
            4 => signed.signatures[0].bytes[usize::from(number)] ^= 1,
            5 => signed.signatures.clear(),
            _ => {}
        }
        self.submit(&signed).expect_err("must be refused");
    }

    fn open(&mut self, payer: u8, amount: u8) {
        self.opened += 1;
        let genesis = self.world.account_genesis(&format!("opened {}", self.opened));
        let account = genesis.account();
        let payer = pick(&self.accounts(), payer).expect("never empty");
        let mut operations = self.world.ops(account, vec![OperationKind::CreateAccount { genesis }]);
        operations.extend(self.world.ops(payer, vec![transfer(self.world.gold, account, amount.into())]));
        let signed = self.world.signed(&[payer, account], operations);
        let opened = self.submit(&signed).is_ok();
        assert_eq!(self.world.ledger.account(&account).is_some(), opened);
    }

    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Set { kinds, cosigner } => return self.set(kinds, *cosigner),
            Step::Wait(ms) => self.world.time_ms += u64::from(*ms),
            Step::Replay(number) => {
                let seen: Vec<usize> = (0..self.world.log.len()).collect();
                if let Some(index) = pick(&seen, *number) {
                    let signed = self.world.log[index].signed.clone();
                    self.submit(&signed).expect_err("a replay must be refused");
                }
            }
            Step::Broken(number) => self.broken(*number),
            Step::Open { payer, amount } => self.open(*payer, *amount),
        }
        false
    }
}

fn assert_same_heads(one: &Ledger, other: &Ledger) {
    let root = |ledger: &Ledger| ledger.clone().checkpoint(None, 0, Digest::default()).0;
    assert_eq!(root(one), root(other));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_after_every_transition_and_replay_equals_the_live_state(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        let live = fingerprint(&run.world.ledger);
        let (mut believing, mut verifying) = (run.start.clone(), run.start.clone());
        for record in &run.world.log {
            believing.replay(record.clone()).expect("the log's own record");
            verifying.replay_verifying(record.clone(), &FastSignatures, &mut Native).expect("the log's own record");
        }
        prop_assert_eq!(fingerprint(&believing), live);
        prop_assert_eq!(fingerprint(&verifying), live);
        if let Some(first) = run.world.log.first() {
            let again = believing.replay(first.clone());
            let refused =
                matches!(again, Err(RecordError::Refused { .. } | RecordError::Time(_) | RecordError::Admit { .. }));
            prop_assert!(refused, "{again:?}");
        }
    }
}

/// The sequences above are worth something only if many of their sets are accepted and many refused.
#[test]
fn random_sets_are_both_accepted_and_refused() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut accepted, mut total) = (0, 0);
    for _ in 0..12 {
        let steps = prop::collection::vec(step(), 30).new_tree(&mut runner).unwrap().current();
        let mut run = Run::new();
        for step in steps.iter().filter(|step| matches!(step, Step::Set { .. } | Step::Wait(_))) {
            total += usize::from(matches!(step, Step::Set { .. }));
            accepted += usize::from(run.step(step));
        }
    }
    assert!(accepted * 10 > total && accepted * 10 < total * 9, "{accepted} of {total} accepted");
}
