//! Where the standard policies end: what their pages say that they do not stop, seen on a node.

use crate::world::{Owner, START_MS, World, genesis, sign, submit};
use dsm_abi::{AccountId, Digest, HoldId, HoldKind, PolicyId, TokenId, Value, encode};
use dsm_core::{Genesis, OperationKind};
use dsm_host::node::SubmitError;
use dsm_sdk::draft::{Draft, key_set, public_key};

const HOUR_MS: u64 = 3_600_000;

fn keys(owners: &[&Owner]) -> Value {
    Value::Keys(owners.iter().map(|owner| owner.key_id()).collect())
}

fn module(name: &str) -> Vec<u8> {
    let dist = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/dist");
    std::fs::read(dist.join(name).with_extension("wasm")).unwrap()
}

/// A token under these policies, created by alice. The world has published `fungible` before.
fn under(world: &World, policies: Vec<(&str, Vec<Value>)>) -> TokenId {
    let known = world.node.read(|ledger| ledger.token(&world.token).unwrap().terms().policies[0]).0;
    let publish = |name: &str| if name == "fungible" { known } else { world.publish(&module(name)) };
    let published: Vec<(PolicyId, Vec<Value>)> =
        policies.into_iter().map(|(name, params)| (publish(name), params)).collect();
    world.create_token("PAGE", published, None)
}

/// The policy's code, or the host's word.
fn refused(world: &World, draft: Draft, owners: &[&Owner]) -> String {
    match submit(&world.node, encode(&sign(draft, owners))).unwrap_err() {
        SubmitError::Refused(dsm_core::Refusal::Denied { denial, .. }) => denial.code.to_string(),
        error => error.code().to_owned(),
    }
}

fn execute(world: &World, owner: &Owner, hold: HoldId) -> Draft {
    world.by(owner).operation(owner.account, OperationKind::Execute { hold })
}

/// The one hold of an owner.
fn hold_of(world: &World, owner: &Owner) -> HoldId {
    world.node.read(|ledger| *ledger.account(&owner.account).unwrap().holds().keys().next().unwrap()).0
}

fn balance(world: &World, owner: &Owner, token: TokenId) -> u128 {
    world.node.read(|ledger| ledger.account(&owner.account).unwrap().balance(&token)).0
}

/// policies/README.md: a right that terms give to a key is the key's. Alice gives her stolen key up; the thief opens an
/// account with it and mints.
#[test]
fn a_key_that_an_account_gave_up_keeps_its_right() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let alice = &world.alice;
    let next = Owner::new(world.node.network(), 9);
    let rotation = OperationKind::RotateKeys { keys: key_set([(public_key(&next.key), 0)], 1) };
    world.accept(sign(world.by(alice).operation(alice.account, rotation), &[alice]));
    let mint = |account: AccountId, draft: Draft| draft.mint(account, world.token, account, 7);
    let by_alice = sign(mint(alice.account, world.by(alice)), &[alice]);
    assert!(submit(&world.node, encode(&by_alice)).is_err(), "the account gave the key up");
    let stolen =
        Genesis { salt: [7; 32], ..genesis(world.node.network(), &Owner::new(world.node.network(), 1).key) };
    let thief = Owner { account: stolen.account(), key: Owner::new(world.node.network(), 1).key };
    world.accept(sign(world.draft().open(stolen), &[&thief]));
    world.accept(sign(mint(thief.account, world.by(&thief)), &[&thief]));
    assert_eq!(balance(&world, &thief, world.token), 7);
}

/// policies/README.md: what a policy does with holds by itself is not put to the others. The arbiters of `escrow-market`
/// pay out while `fungible` says that the token is paused; the buyer cannot.
#[test]
fn a_pause_does_not_stop_what_another_policy_pays_out_of_a_hold() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let (alice, bob) = (&world.alice, &world.bob);
    let carol = Owner::new(world.node.network(), 3);
    let token = under(
        &world,
        vec![
            ("fungible", vec![keys(&[alice]), Value::U64(1), Value::U128(0)]),
            ("escrow-market", vec![keys(&[alice, bob, &carol]), Value::U64(1)]),
        ],
    );
    let by = |owner: &Owner, index: u8, method: &str, args: Vec<Value>| {
        world.accept(sign(world.by(owner).invoke(owner.account, token, index, method, args), &[owner]))
    };
    world.accept(sign(world.by(alice).mint(alice.account, token, alice.account, 100), &[alice]));
    let ends_ms = Some(START_MS + 2 * HOUR_MS);
    let set_aside = world.by(alice).hold(alice.account, token, 100, bob.account, HoldKind::Escrow, ends_ms);
    world.accept(sign(set_aside, &[alice]));
    let hold = hold_of(&world, alice);
    let deal = Value::Digest(Digest(hold.0));
    let digest = || Value::Digest(Digest([5; 32]));
    by(alice, 1, "offer", vec![deal.clone(), digest(), Value::U64(START_MS + HOUR_MS)]);
    by(bob, 1, "claim_work", vec![deal.clone()]);
    by(bob, 1, "deliver", vec![deal.clone(), digest()]);
    by(bob, 1, "dispute", vec![deal.clone()]);
    by(alice, 0, "pause", vec![]);
    assert_eq!(refused(&world, execute(&world, alice, hold), &[alice]), "100", "paused");
    let decision = world.by(alice).signer(bob.account, world.head(bob)).invoke(
        alice.account,
        token,
        1,
        "decide",
        vec![deal, Value::Bool(true)],
    );
    world.accept(sign(decision, &[alice, bob]));
    assert_eq!(balance(&world, bob, token), 100);
}

/// The page of `liquidity-pool`: beside `cash`, a draw above the limit of a payment holds units that nobody can use.
#[test]
fn a_draw_above_the_limit_of_cash_is_held_and_not_paid_out() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let (alice, bob) = (&world.alice, &world.bob);
    let cash = vec![keys(&[alice]), Value::U64(1), Value::U128(100), Value::U128(0)];
    let pool = vec![keys(&[alice, bob]), Value::U64(HOUR_MS)];
    let token = under(&world, vec![("liquidity-pool", pool), ("cash", cash)]);
    world.accept(sign(world.by(alice).mint(alice.account, token, alice.account, 1_000), &[alice]));
    let source = |account: AccountId| {
        let purposes = Value::Texts(vec!["gap".into()]);
        vec![
            Value::Account(account),
            Value::U64(1),
            purposes,
            Value::U128(1_000),
            Value::U64(START_MS + HOUR_MS),
        ]
    };
    let both = |draft: Draft| sign(draft.signer(bob.account, world.head(bob)), &[alice, bob]);
    let enlist = |draft: Draft, account| draft.invoke(alice.account, token, 0, "enlist", source(account));
    world.accept(both(enlist(world.by(alice), alice.account)));
    let offer = world.by(alice).invoke(alice.account, token, 0, "offer", vec![Value::U128(500)]);
    world.accept(sign(offer, &[alice]));
    let draw = |amount: u128| {
        let purpose = Value::Text("gap".into());
        let ends = Value::U64(START_MS + HOUR_MS / 2);
        let args = vec![Value::U128(amount), Value::Account(bob.account), purpose, ends];
        world.accept(sign(world.by(alice).invoke(alice.account, token, 0, "draw", args), &[alice]))
    };
    draw(101);
    let hold = hold_of(&world, alice);
    assert_eq!(refused(&world, execute(&world, bob, hold), &[bob]), "102", "over one payment");
    world.accept(sign(world.by(bob).release(bob.account, hold), &[bob]));
    draw(100);
    world.accept(sign(execute(&world, bob, hold_of(&world, alice)), &[bob]));
    assert_eq!(balance(&world, bob, token), 100);

    // The page's limits: the sources of one transition are counted together with those before it.
    let account = |n: u8| AccountId([n; 32]);
    let fourteen = (1..15).fold(world.by(alice), |draft, n| enlist(draft, account(n)));
    world.accept(both(fourteen));
    let beside = |draft: Draft| draft.signer(bob.account, world.head(bob));
    let two = enlist(enlist(world.by(alice), account(15)), account(16));
    assert_eq!(refused(&world, beside(two), &[alice, bob]), "103", "two where one fits");
    world.accept(both(enlist(world.by(alice), account(15))));
    let one = enlist(world.by(alice), account(16));
    assert_eq!(refused(&world, beside(one), &[alice, bob]), "103", "sixteen stand there");
}

/// The pages of `wrapped` and `spend-limit`: what leaves over the bridge is burned, and burning is not limited.
#[test]
fn a_withdrawal_is_not_counted_by_a_spend_limit() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let alice = &world.alice;
    let bridge = vec![
        Value::Digest(Digest([1; 32])),
        Value::U64(1),
        Value::Bytes(vec![0; 20]),
        Value::U64(5),
        Value::Bytes(vec![9; 20]),
    ];
    let limit = vec![Value::U128(100), Value::U128(150), Value::Keys(vec![]), Value::U64(0)];
    let token = under(&world, vec![("wrapped", bridge), ("spend-limit", limit)]);
    world.accept(sign(world.by(alice).mint(alice.account, token, alice.account, 1_000), &[alice]));
    let send = world.by(alice).transfer(alice.account, token, world.bob.account, 101);
    assert_eq!(refused(&world, send, &[alice]), "100");
    let args = vec![Value::Bytes(vec![4; 20]), Value::U128(1_000)];
    world.accept(sign(world.by(alice).invoke(alice.account, token, 0, "withdraw", args), &[alice]));
    assert_eq!(balance(&world, alice, token), 0);
}

/// The page of `csd-register`: taking what is pledged is no delivery, also between those who deal against payment only.
#[test]
fn a_pledge_is_enforced_without_a_payment() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let (alice, bob) = (&world.alice, &world.bob);
    let register = vec![keys(&[alice]), Value::U64(1), Value::Token(world.token)];
    let token = under(&world, vec![("csd-register", register)]);
    for owner in [alice, bob] {
        let args = vec![Value::Account(owner.account), Value::Bool(true)];
        world.accept(sign(world.by(alice).invoke(alice.account, token, 0, "register", args), &[alice]));
    }
    world.accept(sign(world.by(alice).mint(alice.account, token, alice.account, 10), &[alice]));
    let deliver = world.by(alice).transfer(alice.account, token, bob.account, 10);
    assert_eq!(refused(&world, deliver, &[alice]), "102", "against payment only");
    let pledge = world.by(alice).hold(alice.account, token, 10, bob.account, HoldKind::Pledge, None);
    world.accept(sign(pledge, &[alice]));
    world.accept(sign(execute(&world, bob, hold_of(&world, alice)), &[bob]));
    assert_eq!(balance(&world, bob, token), 10);
}
