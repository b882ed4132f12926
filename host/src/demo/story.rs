//! The story, step by step. Every step checks that it went as told.

use super::cast::{Cast, SCHEMA, vouch};
use super::print::Told;
use super::stage::{Stage, differs};
use crate::cli::failure::Failure;
use crate::cli::policy::package;
use crate::cli::show::short;
use crate::cli::values::display_amount;
use dsm_abi::{Digest, HoldKind, PolicyId, TokenId, Value, encode};
use dsm_core::{EvidenceProof, OperationKind, Refusal, SignedTransition, relationship_key};
use dsm_crypto::Verifier;
use dsm_host::node::SubmitError;
use dsm_sdk::api::PolicyCid;
use dsm_sdk::draft::{Draft, NewToken};
use dsm_sdk::receipt::{Durability, Receipt};

/// The standard policies, as they are committed.
const POLICIES: [(&str, &[u8]); 4] = [
    ("csd-register", include_bytes!("../../../policies/dist/csd-register.wasm")),
    ("credential-gate", include_bytes!("../../../policies/dist/credential-gate.wasm")),
    ("cash", include_bytes!("../../../policies/dist/cash.wasm")),
    ("fungible", include_bytes!("../../../policies/dist/fungible.wasm")),
];
/// The positions of the security's policies in its list.
const REGISTER: u8 = 0;
const GATE: u8 = 1;
/// Decimal places of the cash token.
const CENTS: u8 = 2;
/// Base units of one Demo Euro.
const EURO: u128 = 100;
/// The place of the replica among the storage nodes.
const REPLICA: usize = 1;

/// Codes of the standard policies that the story meets; their descriptions list them.
const NOT_REGISTRAR: u16 = 100;
const NOT_PARTICIPANT: u16 = 101;
const CASH_SHORT: u16 = 101;
const ENCUMBERED: u16 = 106;

/// Everything that the story has to keep in mind.
pub(super) struct Story {
    pub(super) stage: Stage,
    cast: Cast,
    pub(super) told: Told,
    policies: Vec<PolicyId>,
    security: TokenId,
    cash: TokenId,
    /// The delivery that was accepted first.
    delivery: Option<SignedTransition>,
}

/// Delivery versus payment: units one way, cents the other way.
fn exchange(story: &Story, units: u128, cents: u128) -> impl FnOnce(Draft) -> Draft {
    let (seller, buyer) = (story.cast.alice.account, story.cast.bob.account);
    let (security, cash) = (story.security, story.cash);
    move |draft| draft.transfer(seller, security, buyer, units).transfer(buyer, cash, seller, cents)
}

impl Story {
    pub(super) fn new(stage: Stage, told: Told) -> Result<Story, Failure> {
        let cast = Cast::new(stage.node.network())?;
        let (security, cash) = (TokenId::NONE, TokenId::NONE);
        Ok(Story { stage, cast, told, policies: Vec::new(), security, cash, delivery: None })
    }

    /// Plays all of it.
    pub(super) fn play(mut self) -> Result<Story, Failure> {
        self.publish()?;
        self.open_accounts()?;
        self.create_tokens()?;
        self.admit_participants()?;
        self.issue_units()?;
        self.deliver()?;
        self.deliver_short()?;
        self.pledge()?;
        self.attack()?;
        let mut story = self.reopen()?;
        story.prove()?;
        if story.stage.keepers.is_empty() {
            return Ok(story);
        }
        story.stop_and_catch_up()?;
        story.lose_and_restore()
    }

    fn publish(&mut self) -> Result<(), Failure> {
        self.told.step("Publish four WASM policies, signed with Ed25519 and ML-DSA-65 (suite 0x02)");
        let Story { stage, cast, told, .. } = self;
        let author = &cast.author;
        stage.accept(&[(author, 1)], |draft| draft.open(author.genesis.clone()))?;
        let mut publications = Vec::new();
        for (name, wasm) in POLICIES {
            let source = format!("policies/{name}");
            let package =
                package(stage.node.engine(), wasm.to_vec(), &author.keys[0], "MIT OR Apache-2.0", &source)?;
            let policy = stage.node.stage(&encode(&package))?;
            let module = Digest(*blake3::hash(wasm).as_bytes());
            publications.push(OperationKind::Publish { policy, module, author: package.envelope.key.id() });
            told.fact(
                &format!("{name}, {} bytes of WASM through the gate", wasm.len()),
                short(PolicyCid(policy)),
            );
            self.policies.push(policy);
        }
        let receipt = stage.accept(&[(author, 1)], |draft| {
            publications.into_iter().fold(draft, |draft, kind| draft.operation(author.account, kind))
        })?;
        told.accepted("one transition publishes all four", &receipt);
        Ok(())
    }

    fn open_accounts(&mut self) -> Result<(), Failure> {
        self.told.step("Open five accounts with ML-DSA-65 keys (suite 0x01)");
        let Cast { registrar, bank, issuer, alice, bob, .. } = &self.cast;
        let all = [registrar, bank, issuer, alice, bob];
        let receipt = self.stage.accept(&all.map(|actor| (actor, 1)), |draft| {
            all.iter().fold(draft, |draft, actor| draft.open(actor.genesis.clone()))
        })?;
        for actor in all {
            let keys = actor.keys.len();
            self.told.fact(
                &format!("{} ({keys} {})", actor.name, if keys == 1 { "key" } else { "keys" }),
                short(actor.account),
            );
        }
        self.told.accepted("five accounts, one transition, all or none", &receipt);
        Ok(())
    }

    fn create_tokens(&mut self) -> Result<(), Failure> {
        self.told.step("Create cash, and a security that is delivered against it");
        let Cast { registrar, bank, issuer, .. } = &self.cast;
        let (csd, gate, money) = (self.policies[0], self.policies[1], self.policies[2]);
        let limits = [Value::U128(1_000_000 * EURO), Value::U128(0)];
        let terms = [vec![Value::Keys(bank.key_ids()), Value::U64(2)], limits.to_vec()].concat();
        let cash = NewToken::new(bank.account, "DEUR", "Demo Euro", vec![(money, terms)]).decimals(CENTS);
        self.cash = cash.token();
        let register = vec![Value::Keys(registrar.key_ids()), Value::U64(2), Value::Token(self.cash)];
        let holders = vec![
            Value::Accounts(vec![issuer.account]),
            Value::Text(SCHEMA.into()),
            Value::Keys(registrar.key_ids()),
        ];
        let bound = vec![(csd, register), (gate, holders)];
        let security =
            NewToken::new(registrar.account, "DEMO32", "Demo Bond 2032", bound).cap(Some(1_000_000));
        self.security = security.token();
        let receipt = self.stage.accept(&[(registrar, 1), (bank, 1)], |draft| {
            draft.operation(bank.account, cash.operation()).operation(registrar.account, security.operation())
        })?;
        self.told.fact("DEUR, Demo Euro, bound to cash", short(self.cash));
        self.told.fact("DEMO32, Demo Bond 2032, csd-register + credential-gate", short(self.security));
        self.told.accepted("both tokens, one transition", &receipt);
        Ok(())
    }

    fn admit_participants(&mut self) -> Result<(), Failure> {
        self.told.step("Admit participants by credentials that an issuer signed");
        let Cast { registrar, bank, issuer, alice, bob, .. } = &self.cast;
        let security = self.security;
        let mint = self
            .stage
            .sign(&[(registrar, 2)], |draft| draft.mint(registrar.account, security, alice.account, 1))?;
        let error = self.stage.refuse(&mint)?;
        expect_denial(&error, NOT_PARTICIPANT)?;
        self.told.refused("an issue to alice before anybody vouched for her", &error);
        let mut draft = self.stage.draft()?;
        let holders = [bank, alice, bob];
        for actor in holders {
            let credential = vouch(self.stage.node.network(), issuer, actor)?;
            draft = draft
                .signer(actor.account, self.stage.head(actor))
                .evidence(EvidenceProof::Credential(credential))
                .invoke(actor.account, security, GATE, "admit", vec![]);
        }
        draft = draft.signer(registrar.account, self.stage.head(registrar));
        for (actor, dvp_only) in [(bank, false), (alice, true), (bob, true)] {
            let args = vec![Value::Account(actor.account), Value::Bool(dvp_only)];
            draft = draft.invoke(registrar.account, security, REGISTER, "register", args);
        }
        let signers: Vec<_> =
            holders.iter().flat_map(|actor| actor.signers(1)).chain(registrar.signers(2)).collect();
        let receipt = self.stage.submit(&draft.sign_with(&signers)?)?;
        self.told.accepted("bank, alice and bob: credentials shown, registered", &receipt);
        let standing = self
            .stage
            .node
            .view(&security, GATE, "standing".into(), vec![Value::Account(alice.account)])
            .map_err(differs)?;
        let admitted =
            standing.iter().any(|field| field.name == "admitted" && field.value == Value::Bool(true));
        ensure(admitted, "the gate does not know alice")?;
        self.told.fact("asked again, the gate says of alice", "admitted");
        Ok(())
    }

    fn issue_units(&mut self) -> Result<(), Failure> {
        self.told.step("Issue by m of n: two of three registrar keys, two of two bank keys");
        let Cast { registrar, bank, alice, bob, .. } = &self.cast;
        let (security, cash) = (self.security, self.cash);
        let mint = |draft: Draft| draft.mint(registrar.account, security, alice.account, 1_000);
        let error = self.stage.refuse(&self.stage.sign(&[(registrar, 1)], mint)?)?;
        expect_denial(&error, NOT_REGISTRAR)?;
        self.told.refused("1,000 DEMO32 for alice, signed by one key", &error);
        let units = self.stage.accept(&[(registrar, 2)], mint)?;
        self.told.accepted("1,000 DEMO32 for alice, signed by two", &units);
        let money = self
            .stage
            .accept(&[(bank, 2)], |draft| draft.mint(bank.account, cash, bob.account, 10_000 * EURO))?;
        self.told.accepted("10,000.00 DEUR for bob, signed by two", &money);
        let (Some(first), Some(second)) = (units.credits.first(), money.credits.first()) else {
            return Err(differs("an issue made no credit"));
        };
        let claimed = self.stage.accept(&[(alice, 1), (bob, 1)], |draft| {
            draft.claim(alice.account, first.credit).claim(bob.account, second.credit)
        })?;
        self.told.accepted("alice and bob claim from their inboxes", &claimed);
        ensure(self.stage.balance(alice, security) == 1_000, "alice does not own 1,000 units")?;
        ensure(self.stage.balance(bob, cash) == 10_000 * EURO, "bob does not own 10,000.00")
    }

    fn deliver(&mut self) -> Result<(), Failure> {
        self.told.step("Deliver against payment: two legs, two signers, one transition");
        let before = (self.stage.head(&self.cast.alice), self.stage.head(&self.cast.bob), self.tips());
        let both = [(&self.cast.alice, 1), (&self.cast.bob, 1)];
        let signed = self.stage.sign(&both, exchange(self, 100, 1_000 * EURO))?;
        let receipt = self.stage.submit(&signed)?;
        self.told.accepted("100 DEMO32 for 1,000.00 DEUR", &receipt);
        self.delivery = Some(signed);
        let after = (self.stage.head(&self.cast.alice), self.stage.head(&self.cast.bob), self.tips());
        ensure(before.0 != after.0 && before.1 != after.1, "a head did not move")?;
        ensure(
            before.2 != after.2 && after.2.0 == after.2.1,
            "the relationship's tips did not move together",
        )?;
        self.told.fact("alice's head", format!("{} → {}", short(before.0), short(after.0)));
        self.told.fact("bob's head", format!("{} → {}", short(before.1), short(after.1)));
        let tip = after.2.0.map(short).unwrap_or_default();
        self.told.fact("the tip of their relationship, equal in both maps", tip);
        self.tell_balances((900, 1_000 * EURO), (100, 9_000 * EURO))
    }

    fn deliver_short(&mut self) -> Result<(), Failure> {
        self.told.step("The same with the cash leg short");
        let both = [(&self.cast.alice, 1), (&self.cast.bob, 1)];
        let signed = self.stage.sign(&both, exchange(self, 100, 20_000 * EURO))?;
        let error = self.stage.refuse(&signed)?;
        expect_denial(&error, CASH_SHORT)?;
        self.told.refused("100 DEMO32 for 20,000.00 DEUR", &error);
        self.told.fact("heads of all accounts and tokens", "unchanged");
        self.tell_balances((900, 1_000 * EURO), (100, 9_000 * EURO))
    }

    fn pledge(&mut self) -> Result<(), Failure> {
        self.told.step("A pledged security cannot move until the pledgee releases it");
        let Cast { bank, alice, bob, .. } = &self.cast;
        let security = self.security;
        let held = self.stage.accept(&[(alice, 1)], |draft| {
            draft.hold(alice.account, security, 500, bank.account, HoldKind::Pledge, None)
        })?;
        let Some(&hold) = held.holds.first() else { return Err(differs("the pledge made no hold")) };
        self.told.accepted("alice pledges 500 of her 900 DEMO32 to the bank", &held);
        let sale = self.stage.sign(&[(alice, 1), (bob, 1)], exchange(self, 450, 4_500 * EURO))?;
        let error = self.stage.refuse(&sale)?;
        expect_denial(&error, ENCUMBERED)?;
        self.told.refused("450 DEMO32 for 4,500.00 DEUR", &error);
        let own = self.stage.sign(&[(alice, 1)], |draft| draft.release(alice.account, hold))?;
        let error = self.stage.refuse(&own)?;
        self.told.refused("alice releases the pledge herself", &error);
        let released = self.stage.accept(&[(bank, 1)], |draft| draft.release(bank.account, hold))?;
        self.told.accepted("the bank releases it", &released);
        let both = [(alice, 1), (bob, 1)];
        let receipt = self.stage.accept(&both, exchange(self, 450, 4_500 * EURO))?;
        self.told.accepted("450 DEMO32 for 4,500.00 DEUR", &receipt);
        self.tell_balances((450, 5_500 * EURO), (550, 4_500 * EURO))
    }

    fn attack(&mut self) -> Result<(), Failure> {
        self.told.step("A replay, a fork and a forgery");
        let delivery = self.delivery.clone().ok_or_else(|| differs("there was no delivery"))?;
        let Cast { alice, bob, .. } = &self.cast;
        let before = self.stage.heads();
        let id = delivery.transition.id();
        let original = self.stage.node.receipt(&id)?.ok_or_else(|| differs("the delivery has no receipt"))?;
        let again = self.stage.submit(&delivery)?;
        ensure(again == original && self.stage.heads() == before, "a replay changed something")?;
        self.told.fact(
            "the first delivery submitted again",
            format!("its original receipt, at {}", again.position),
        );

        let parent =
            delivery.transition.parent_of(&alice.account).ok_or_else(|| differs("alice did not sign"))?;
        let fork = self
            .stage
            .draft()?
            .signer(alice.account, parent)
            .transfer(alice.account, self.security, bob.account, 1_000)
            .sign_with(&alice.signers(1))?;
        let error = self.stage.refuse(&fork)?;
        self.told.refused("alice signs a second successor of the same state", &error);
        let SubmitError::Conflict(proof) = &error else { return Err(differs("a fork is no conflict")) };
        proof.verify(&Verifier::new()).map_err(differs)?;
        ensure(proof.account() == alice.account, "the proof is about somebody else")?;
        let kept = self.stage.node.equivocations(&alice.account)?;
        ensure(kept.iter().any(|one| one.state() == parent), "the proof is not kept")?;
        let bytes = encode(&**proof).len();
        self.told
            .fact("the evidence, verified without the node", format!("{bytes} bytes, both signatures hold"));

        let mut forged =
            self.stage.sign(&[(bob, 1)], |draft| draft.transfer(bob.account, self.cash, alice.account, 1))?;
        forged.signatures[0].bytes[1_000] ^= 1;
        let error = self.stage.refuse(&forged)?;
        ensure(error.code() == "bad_signature", "a forged signature has another code")?;
        self.told.refused("one bit of bob's signature flipped", &error);
        Ok(())
    }

    fn reopen(mut self) -> Result<Story, Failure> {
        self.told.step("Drop the node without closing it, replay its log, open it again");
        let before = self.stage.heads();
        let (stage, report) = self.stage.reopen()?;
        let mut story = Story { stage, ..self };
        story.told.fact(
            "replay, believing nothing",
            format!("{} transitions, {} policy runs agree", report.transitions, report.evaluations),
        );
        ensure(story.stage.heads() == before, "the heads are others")?;
        let (accounts, tokens) = (before.accounts.len(), before.tokens.len());
        story.told.fact("opened again", format!("the same {accounts} + {tokens} heads"));
        story.tell_balances((450, 5_500 * EURO), (550, 4_500 * EURO))?;
        Ok(story)
    }

    fn prove(&mut self) -> Result<(), Failure> {
        self.told.step("Prove a balance to somebody who trusts the node's key alone");
        let checkpoint = self.stage.wait(self.stage.node.checkpoint())?;
        let epoch = checkpoint.checkpoint.epoch;
        self.told.fact(&format!("checkpoint {epoch}, signed"), short(checkpoint.checkpoint.id()));
        let proof = self.stage.node.prove_asset(&self.cast.bob.account, &self.security)?;
        let amount = proof.verify(&self.stage.node.genesis().node, &Verifier::new()).map_err(differs)?;
        ensure(amount == 550, "the proof shows another balance")?;
        let bytes = encode(&proof).len();
        self.told.fact("bob's DEMO32, verified without the node", format!("{amount}, by {bytes} bytes"));
        Ok(())
    }

    /// A small payment of bob's, acknowledged at a level.
    fn pay_a_cent(&self, level: Durability) -> Result<Receipt, Failure> {
        let Cast { alice, bob, .. } = &self.cast;
        let cash = self.cash;
        let receipt = self
            .stage
            .accept_at(level, &[(bob, 1)], |draft| draft.transfer(bob.account, cash, alice.account, 1))?;
        if receipt.durability < level {
            return Err(differs(format!("asked for {level}, the receipt says {}", receipt.durability)));
        }
        Ok(receipt)
    }

    fn stop_and_catch_up(&mut self) -> Result<(), Failure> {
        self.told.step("Stop the replica, go on, start it again");
        let receipt = self.pay_a_cent(Durability::Replicated(2))?;
        self.told.accepted("a cent, asked for replicated:2", &receipt);
        self.stage.stop(REPLICA);
        let name = self.stage.keepers[REPLICA].name;
        self.told.fact(&format!("the {name}"), "stopped");
        let alone = self.pay_a_cent(Durability::Primary)?;
        ensure(alone.durability == Durability::Primary, "a node that is stopped acknowledged")?;
        self.told.accepted("a cent, asked for primary", &alone);
        let took = self.stage.start_again(REPLICA)?;
        self.told.fact(&format!("the {name}"), format!("caught up {} ms after its start", took.as_millis()));
        let again = self.stage.node.receipt(&alone.transition)?;
        let again = again.ok_or_else(|| differs("the payment has no receipt"))?;
        ensure(again.durability == Durability::Replicated(2), "the receipt does not say what it reached")?;
        self.told.fact("the same receipt, asked for again", crate::cli::session::durability_words(&again));
        Ok(())
    }

    fn lose_and_restore(mut self) -> Result<Story, Failure> {
        self.told.step("Lose the core node's directory, restore it from the storage nodes");
        let before = self.stage.heads();
        let copy = self.stage.config.data.with_extension("key");
        let (stage, report) = self.stage.lose_and_restore(&copy)?;
        let mut story = Story { stage, ..self };
        story.told.fact("left of the core node", "the copy of its key");
        story.told.fact(
            "fetched, and replayed believing nothing",
            format!("{} records, {} packages", report.position, report.packages),
        );
        ensure(story.stage.heads() == before, "the heads are others")?;
        let (accounts, tokens) = (before.accounts.len(), before.tokens.len());
        story.told.fact("opened again", format!("the same {accounts} + {tokens} heads"));
        story.told.fact("epoch that fences what was lost", report.epoch);
        story.told.fact("recovery point", format!("{} records lost", report.rpo_records));
        story.told.fact("recovery time", format!("{} ms", report.rto_ms));
        ensure(report.rpo_records == 0, "records are lost")?;
        let receipt = story.pay_a_cent(Durability::Replicated(2))?;
        story.told.accepted("a cent, asked for replicated:2", &receipt);
        Ok(story)
    }

    /// The tips of the relationship between alice and bob, in each one's map.
    fn tips(&self) -> (Option<Digest>, Option<Digest>) {
        let (alice, bob) = (self.cast.alice.account, self.cast.bob.account);
        let key = relationship_key(&alice, &bob);
        let (tips, _) = self.stage.node.read(|ledger| {
            [alice, bob].map(|one| ledger.account(&one).and_then(|account| account.tips().get(&key).copied()))
        });
        (tips[0], tips[1])
    }

    /// Checks and tells what alice and bob own: units of the security, cents.
    fn tell_balances(&mut self, alice: (u128, u128), bob: (u128, u128)) -> Result<(), Failure> {
        let actors = [(&self.cast.alice, alice), (&self.cast.bob, bob)];
        let mut words = Vec::new();
        for (actor, (units, cents)) in actors {
            let found = (self.stage.balance(actor, self.security), self.stage.balance(actor, self.cash));
            if found != (units, cents) {
                return Err(differs(format!("{} owns {found:?}, not {:?}", actor.name, (units, cents))));
            }
            words.push(format!("{}: {units} DEMO32, {} DEUR", actor.name, display_amount(cents, CENTS)));
        }
        self.told.fact("balances", words.join("  ·  "));
        Ok(())
    }
}

pub(super) fn ensure(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(differs(otherwise)) }
}

/// The refusal must be the policy's own, with its code.
pub(super) fn expect_denial(error: &SubmitError, code: u16) -> Result<(), Failure> {
    match error {
        SubmitError::Refused(Refusal::Denied { denial, .. }) if denial.code == code => Ok(()),
        other => Err(differs(format!("expected a policy's denial {code}, found: {other}"))),
    }
}
