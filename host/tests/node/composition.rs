//! Several policies on one token: all must accept, and whoever refuses is named with its place and its own code.

use crate::world::{Owner, START_MS, World, sign, submit};
use dsm_abi::{Digest, Field, PolicyId, TokenId, Value, encode};
use dsm_core::{EvidenceProof, Refusal, SignedTransition};
use dsm_host::node::SubmitError;
use dsm_sdk::draft::{CredentialTerms, NewToken, issue};

const DAY_MS: u64 = 86_400_000;

/// A token under some of the three policies, in this order: whether it may move at all, who may take part, how much.
struct Composed<'a> {
    world: &'a World,
    token: TokenId,
}

/// The policies, published once.
struct Shelf {
    fungible: PolicyId,
    gate: PolicyId,
    limit: PolicyId,
}

impl Shelf {
    fn new(world: &World) -> Shelf {
        Shelf {
            fungible: world.node.read(|ledger| ledger.token(&world.token).unwrap().terms().policies[0]).0,
            gate: world.publish(include_bytes!("../../../policies/dist/credential-gate.wasm")),
            limit: world.publish(include_bytes!("../../../policies/dist/spend-limit.wasm")),
        }
    }

    /// Each policy with its parameters: alice is the authority of the first, the issuer of the second's credentials and
    /// its administrator, and sets the limits of the third.
    fn bound(&self, world: &World) -> [(PolicyId, Vec<Value>); 3] {
        let key = || Value::Keys(vec![world.alice.key_id()]);
        [
            (self.fungible, vec![key(), Value::U64(1), Value::U128(0)]),
            (self.gate, vec![Value::Accounts(vec![world.alice.account]), Value::Text("kyc/1".into()), key()]),
            (self.limit, vec![Value::U128(100), Value::U128(150), key(), Value::U64(1)]),
        ]
    }
}

impl Composed<'_> {
    /// Alice issues 1,000 units to herself.
    fn fund(&self) {
        let alice = &self.world.alice;
        let draft = self.world.by(alice).mint(alice.account, self.token, alice.account, 1_000);
        self.accept(sign(draft, &[alice]));
    }

    fn accept(&self, signed: SignedTransition) {
        self.world.accept(signed);
    }

    fn pay(&self, amount: u128) -> SignedTransition {
        let (alice, bob) = (&self.world.alice, &self.world.bob);
        sign(self.world.by(alice).transfer(alice.account, self.token, bob.account, amount), &[alice])
    }

    fn invoke(&self, owner: &Owner, index: u8, method: &str, args: Vec<Value>) {
        let draft = self.world.by(owner).invoke(owner.account, self.token, index, method, args);
        self.accept(sign(draft, &[owner]));
    }

    /// Shows a credential about the owner that alice issued.
    fn admit(&self, owner: &Owner, index: u8) {
        let world = self.world;
        let terms = CredentialTerms {
            issuer: world.alice.account,
            subject: owner.account,
            schema: "kyc/1".into(),
            serial: Digest(owner.account.0),
            expires_ms: START_MS + 30 * DAY_MS,
            claims: vec![(Field { name: "country".into(), value: Value::Text("IS".into()) }, [7; 16])],
        };
        let shown = issue(world.node.network(), terms, &world.alice.key, 0).unwrap();
        let draft = world
            .by(owner)
            .invoke(owner.account, self.token, index, "admit", vec![])
            .evidence(EvidenceProof::Credential(shown));
        self.accept(sign(draft, &[owner]));
    }

    /// The place and the code of the policy that refuses; nothing may have changed.
    fn refusal(&self, signed: SignedTransition) -> (PolicyId, u8, u16) {
        let before = self.world.fingerprint();
        let error = submit(&self.world.node, encode(&signed)).expect_err("it must be refused");
        assert_eq!(self.world.fingerprint(), before);
        match error {
            SubmitError::Refused(Refusal::Denied { token, policy, policy_index, denial, .. }) => {
                assert_eq!(token, self.token);
                (policy, policy_index, denial.code)
            }
            other => panic!("{}: {other}", other.code()),
        }
    }
}

#[test]
fn a_token_under_three_policies_refuses_when_any_one_refuses() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let shelf = Shelf::new(&world);
    let token = world.create_token("ALL", shelf.bound(&world).to_vec(), None);
    let all = Composed { world: &world, token };
    // New units for an account that nobody has admitted.
    let mint = |to: &Owner| {
        sign(world.by(&world.alice).mint(world.alice.account, token, to.account, 1_000), &[&world.alice])
    };
    assert_eq!(all.refusal(mint(&world.bob)), (shelf.gate, 1, 100), "not admitted");
    all.admit(&world.alice, 1);
    all.fund();
    assert_eq!(all.refusal(all.pay(100)), (shelf.gate, 1, 100), "bob is not admitted");
    all.admit(&world.bob, 1);
    all.accept(all.pay(100));
    assert_eq!(all.refusal(all.pay(101)), (shelf.limit, 2, 100), "over the limit of one transfer");
    assert_eq!(all.refusal(all.pay(51)), (shelf.limit, 2, 101), "over the limit of the day");
    all.invoke(&world.alice, 0, "pause", vec![]);
    assert_eq!(all.refusal(all.pay(1)), (shelf.fungible, 0, 100), "paused");
    // Where several would refuse, the first in the token's order is named.
    all.invoke(&world.alice, 1, "bar", vec![Value::Account(world.bob.account)]);
    assert_eq!(all.refusal(all.pay(101)), (shelf.fungible, 0, 100), "paused, barred and over the limit");
    all.invoke(&world.alice, 0, "unpause", vec![]);
    assert_eq!(all.refusal(all.pay(101)), (shelf.gate, 1, 103), "barred and over the limit");
    all.invoke(&world.alice, 1, "unbar", vec![Value::Account(world.bob.account)]);
    all.admit(&world.bob, 1);
    assert_eq!(all.refusal(all.pay(101)), (shelf.limit, 2, 100), "over the limit alone");
    all.accept(all.pay(50));
    assert_eq!(all.refusal(all.pay(1)), (shelf.limit, 2, 101), "the day is used up");
    all.invoke(&world.alice, 2, "set_limits", vec![Value::U128(0), Value::U128(151)]);
    all.accept(all.pay(1));
    assert_eq!(all.refusal(all.pay(1)), (shelf.limit, 2, 101), "the other limits count what was sent before");
}

#[test]
fn each_policy_alone_and_each_pair_refuse_only_with_what_they_forbid() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let shelf = Shelf::new(&world);
    for chosen in 1_u8..8 {
        let has = |policy: usize| chosen >> policy & 1 == 1;
        let bound = shelf.bound(&world);
        let policies: Vec<_> = (0..3).filter(|at| has(*at)).map(|at| bound[at].clone()).collect();
        let index = |policy: usize| (0..policy).filter(|at| has(*at)).count() as u8;
        let symbol = format!("T{chosen}");
        let new = NewToken::new(world.alice.account, &symbol, &symbol, policies).salt([chosen; 32]);
        let token = new.token();
        let draft = world.by(&world.alice).operation(world.alice.account, new.operation());
        world.accept(sign(draft, &[&world.alice]));
        let some = Composed { world: &world, token };
        if has(1) {
            some.admit(&world.alice, index(1));
        }
        some.fund();
        if has(1) {
            assert_eq!(some.refusal(some.pay(1)), (shelf.gate, index(1), 100), "{chosen:03b}");
            some.admit(&world.bob, index(1));
        }
        if has(2) {
            assert_eq!(some.refusal(some.pay(101)), (shelf.limit, index(2), 100), "{chosen:03b}");
        } else {
            some.accept(some.pay(101));
        }
        some.accept(some.pay(100));
        if has(2) {
            assert_eq!(some.refusal(some.pay(51)), (shelf.limit, index(2), 101), "{chosen:03b}");
        }
        if has(0) {
            some.invoke(&world.alice, 0, "pause", vec![]);
            assert_eq!(some.refusal(some.pay(1)), (shelf.fungible, 0, 100), "{chosen:03b}");
        } else {
            some.accept(some.pay(1));
        }
    }
}
