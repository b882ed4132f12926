//! The story of a bridge, step by step. Every step checks that it went as told, and that no unit is there twice.

use super::super::print::Told;
use super::super::stage::differs;
use super::super::story::{ensure, expect_denial};
use super::town::{Cast, DOLLAR, ETHER, GOLD, Town, WRAPPED};
use crate::cli::failure::Failure;
use crate::cli::show::short;
use crate::cli::values::display_amount;
use dsm_abi::{AccountId, TokenId, Value};
use dsm_contracts::{B256, DsmBridge, SolCall, U256};
use dsm_evm_proof::Payload;
use dsm_qbft_shim::Lie;
use std::time::{Duration, Instant};

/// Nothing here takes so long; it only keeps a story that hangs from hanging for ever.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);
/// A tenth of an ether in wei, and a dollar in its units.
const TENTH: u128 = 100_000_000_000_000_000;
const ONE_DOLLAR: u128 = 1_000_000;
/// Seconds that deposits may take, and the shortest that the contract allows, with a minute for the block.
const DAY_S: u64 = 24 * 60 * 60;
const HOUR_S: u64 = 60 * 60 + 60;
/// What the gate says to those whom nobody vouched for.
const NOT_PARTICIPANT: u16 = 100;
/// What `wrapped` says to a mint without a proof, and to a burn that releases nothing.
const NO_PROOF: u16 = 100;
const PLAIN_BURN: u16 = 106;
/// The lies that are told in the demonstration; tests tell all of them.
const LIES: [(Lie, &str); 5] = [
    (Lie::AlteredProof, "proofs with a byte changed"),
    (Lie::OtherHeader, "headers with another state root"),
    (Lie::HalfJson, "halves of answers"),
    (Lie::Null, "null for everything"),
    (Lie::TooMany, "429, always"),
];
/// Lies of each kind that the service has to hear before the story goes on.
const HEARD: u64 = 3;

/// A lock that the story made.
struct Locked {
    nonce: u64,
    asset: [u8; 20],
    amount: u128,
}

/// Everything that the story has to keep in mind.
pub(super) struct Story {
    pub(super) town: Town,
    pub(super) told: Told,
    locks: Vec<Locked>,
}

impl Story {
    pub(super) fn new(town: Town, told: Told) -> Story {
        Story { town, told, locks: Vec::new() }
    }

    /// Plays all of it.
    pub(super) fn play(mut self) -> Result<Story, Failure> {
        self.introduce()?;
        self.deposit()?;
        self.spend()?;
        self.forge()?;
        self.lie()?;
        self.withdraw()?;
        self.send_gold()?;
        self.bring_gold_home()?;
        if self.town.chain.own.is_some() {
            self.refund()?;
        } else {
            let words = "    left out: the refund of a late lock needs a chain of our own, whose clock begins two hours ago";
            self.told.line(words);
        }
        Ok(self)
    }

    fn introduce(&mut self) -> Result<(), Failure> {
        self.told.step("A chain, its contracts, and the bridge on DSM");
        let town = &self.town;
        let chain_id = town.chain.dev.chain_id().map_err(differs)?;
        self.told.fact("the chain: anvil behind a shim, TEST validators seal", format!("id {chain_id}"));
        self.told.fact("its validators, of which three seal each block", town.chain.shim.validators(0).len());
        let [_, quorum, bridge] = town.gas;
        self.told.fact("3 of 4 attestors, ECDSA and SLH-DSA each", format!("deployed for {quorum} gas"));
        let address = format!("0x{}", hex::encode(town.site.bridge));
        self.told.fact("the bridge's contract", format!("{}, {bridge} gas", short(address)));
        self.told.fact("the bridge on DSM, named by the hash of its terms", short(town.bridge));
        self.told.fact("WETH, bound to wrapped + credential-gate", short(town.ether));
        self.told.fact("WDUSD, bound to wrapped", short(town.dollar));
        self.told.fact("GOLD, bound to wrapped, at home on DSM", short(town.gold));
        let receipt = town.admit()?;
        self.told.accepted("alice and bob are admitted by credentials", &receipt);
        Ok(())
    }

    fn deposit(&mut self) -> Result<(), Failure> {
        self.told.step("Wrap ether and an ERC-20: lock there, prove, credit here");
        let lock = self.lock_ether(20 * TENTH, DAY_S)?;
        self.equation("locked, not yet credited")?;
        let (proof, alice) = (self.town.prove(lock)?, &self.town.cast.alice);
        let (bridge, bytes) = (self.town.bridge, dsm_abi::encode(&proof).len());
        let receipt = self
            .town
            .stage
            .accept(&[(alice, 1)], |draft| draft.credit_lock(alice.account, bridge, proof.clone()))?;
        self.told.accepted(&format!("alice submits the proof herself, {bytes} bytes"), &receipt);
        let again = self
            .town
            .stage
            .sign(&[(alice, 1)], |draft| draft.credit_lock(alice.account, bridge, proof.clone()))?;
        let error = self.town.stage.refuse(&again)?;
        self.told.refused("the same proof again", &error);
        self.lock_dollars(500 * ONE_DOLLAR)?;
        let locked = self.town.chain.dev.height().map_err(differs)?;
        self.credited()?;
        let after = self.town.chain.dev.height().map_err(differs)?;
        self.told.fact(
            "the relayer proves the dollars' lock",
            format!("credited {} blocks later", after - locked),
        );
        self.claim(Who::Alice)?;
        let (ether, dollar) = (self.town.ether, self.town.dollar);
        ensure(self.balance(Who::Alice, ether) == 20 * TENTH, "alice does not own 2 WETH")?;
        ensure(self.balance(Who::Alice, dollar) == 500 * ONE_DOLLAR, "alice does not own 500 WDUSD")?;
        self.told.fact("alice owns", "2.0 WETH, 500.0 WDUSD");
        self.equation("credited and claimed")
    }

    fn spend(&mut self) -> Result<(), Failure> {
        self.told.step("Spend them under the policy that the token is bound to");
        let Town { stage, cast, ether, .. } = &self.town;
        let Cast { alice, bob, carol, .. } = cast;
        let pay = |to: AccountId| {
            stage.sign(&[(alice, 1)], |draft| draft.transfer(alice.account, *ether, to, 5 * TENTH))
        };
        let receipt = stage.submit(&pay(bob.account)?)?;
        self.told.accepted("alice pays bob 0.5 WETH", &receipt);
        let error = stage.refuse(&pay(carol.account)?)?;
        expect_denial(&error, NOT_PARTICIPANT)?;
        self.told.refused("alice pays carol, for whom nobody vouches", &error);
        self.claim(Who::Bob)?;
        self.equation("spent")
    }

    fn forge(&mut self) -> Result<(), Failure> {
        self.told.step("Units without a lock, a burn without a release");
        let Town { stage, cast, ether, .. } = &self.town;
        let Cast { house, alice, .. } = cast;
        let mint =
            stage.sign(&[(house, 1)], |draft| draft.mint(house.account, *ether, alice.account, TENTH))?;
        let error = stage.refuse(&mint)?;
        expect_denial(&error, NO_PROOF)?;
        self.told.refused("the token's own issuer mints 0.1 WETH", &error);
        let burn = stage.sign(&[(alice, 1)], |draft| {
            let kind = dsm_core::OperationKind::Burn { token: *ether, amount: TENTH };
            draft.operation(alice.account, kind)
        })?;
        let error = stage.refuse(&burn)?;
        expect_denial(&error, PLAIN_BURN)?;
        self.told.refused("alice burns 0.1 WETH, and nothing is released", &error);
        self.equation("nothing moved")
    }

    fn lie(&mut self) -> Result<(), Failure> {
        self.told.step("An endpoint that lies: nothing is credited, and the truth is enough");
        let supply = self.supply(self.town.dollar);
        self.town.chain.liar.tell(LIES[0].0);
        self.lock_dollars(70 * ONE_DOLLAR)?;
        for (lie, words) in LIES {
            self.town.chain.liar.tell(lie);
            self.wait("the service to hear the lies", |story| Ok(story.town.chain.liar.told() >= HEARD))?;
            ensure(self.supply(self.town.dollar) == supply, "a lie was credited")?;
            self.told.fact(words, "nothing credited");
        }
        self.equation("while the endpoint lies")?;
        self.town.chain.liar.tell(Lie::None);
        self.credited()?;
        self.told.fact("the truth again", "the lock is credited, nobody did anything");
        self.claim(Who::Alice)?;
        self.equation("after the lies")
    }

    fn withdraw(&mut self) -> Result<(), Failure> {
        self.told.step("Unwrap: burn here, three of four attest, the contract releases");
        let (ether, dollar, wallet) = (self.town.ether, self.town.dollar, self.town.wallet);
        let before = self.town.chain.dev.balance(wallet).map_err(differs)?;
        let held = self.dollars()?;
        self.burn(ether, 6 * TENTH, "alice burns 0.6 WETH for her address")?;
        self.burn(dollar, 200 * ONE_DOLLAR, "alice burns 200 WDUSD for her address")?;
        self.equation("burned, not yet released")?;
        self.released()?;
        let after = self.town.chain.dev.balance(wallet).map_err(differs)?;
        ensure(after == before + 6 * TENTH, "alice's address did not get 0.6 ether")?;
        ensure(self.dollars()? == held + 200 * ONE_DOLLAR, "alice's address did not get 200 dollars")?;
        self.told.fact("alice's address on the EVM got", "0.6 ether, 200.0 DUSD");
        self.equation("released")?;
        let (epoch, size) = self.checkpoint()?;
        self.told.fact("the contract's checkpoint", format!("epoch {epoch}, {size} entries"));
        Ok(())
    }

    fn send_gold(&mut self) -> Result<(), Failure> {
        self.told.step("A token whose home is DSM goes out: the contract mints it");
        let Town { stage, cast, gold, wallet, .. } = &self.town;
        let (gold, wallet, house) = (*gold, *wallet, &cast.house);
        let receipt = stage
            .accept(&[(house, 1)], |draft| draft.mint(house.account, gold, cast.alice.account, 1_000))?;
        self.told.accepted("the house issues 10.00 GOLD to alice", &receipt);
        self.claim(Who::Alice)?;
        self.burn(gold, 400, "alice sends 4.00 GOLD to her address")?;
        self.released()?;
        let units = self.town.site.units(&self.town.chain.dev, self.golden()?, wallet).map_err(differs)?;
        ensure(units == 400, "the contract did not mint 4.00 GOLD")?;
        self.told.fact("alice's address on the EVM has", "4.00 GOLD");
        self.gold_equation("outside")
    }

    fn bring_gold_home(&mut self) -> Result<(), Failure> {
        self.told.step("And comes back: burned there, credited here");
        let (gold, wallet) = (self.town.gold, self.town.wallet);
        let deadline = self.town.chain.dev.time_s().map_err(differs)? + DAY_S;
        let call = DsmBridge::burnWrappedCall {
            token: gold.0.into(),
            amount: U256::from(150),
            recipient: B256::from(self.town.cast.alice.account.0),
            deadline,
        };
        let nonce = self.locks_made()?;
        let (dev, bridge) = (&self.town.chain.dev, self.town.site.bridge);
        dev.send(wallet, Some(bridge), &call.abi_encode(), 0).map_err(differs)?;
        let asset = self.golden()?;
        self.locks.push(Locked { nonce, asset, amount: 150 });
        self.told.fact("alice burns 1.50 GOLD on the EVM", format!("lock {nonce}"));
        self.credited()?;
        self.claim(Who::Alice)?;
        ensure(self.balance(Who::Alice, gold) == 750, "alice does not own 7.50 GOLD")?;
        self.told.fact("alice owns", "7.50 GOLD");
        self.gold_equation("back")
    }

    fn refund(&mut self) -> Result<(), Failure> {
        self.told.step("A lock that nobody credits in time is paid back, once");
        // The chain's clock is two hours behind: what ends in an hour there has ended here.
        let wallet = self.town.wallet;
        let lock = self.lock_ether(3 * TENTH, HOUR_S)?;
        self.told.fact("its deadline", "an hour from now there, an hour ago here");
        self.wait("the refund's entry", |story| {
            let (used, _) =
                story.town.stage.node.read(|ledger| ledger.lock_use(&story.town.bridge, lock).copied());
            Ok(used.is_some_and(|used| !used.credited))
        })?;
        self.told.fact("the proof of the lock gets on DSM", "a refund, no credit");
        self.town.stage.wait(self.town.stage.node.checkpoint())?;
        let before = self.town.chain.dev.balance(wallet).map_err(differs)?;
        self.town.chain.dev.warp(HOUR_S).map_err(differs)?;
        self.wait("the contract to pay back", |story| story.is_refunded(lock))?;
        let after = self.town.chain.dev.balance(wallet).map_err(differs)?;
        ensure(after == before + 3 * TENTH, "alice's address did not get 0.3 ether back")?;
        self.told.fact("alice's address on the EVM got back", "0.3 ether");
        self.equation("paid back")
    }

    /// Locks ether for alice; the lock's number.
    fn lock_ether(&mut self, wei: u128, lasting_s: u64) -> Result<u64, Failure> {
        let Town { chain, site, wallet, cast, .. } = &self.town;
        let nonce = site.lock_ether(&chain.dev, *wallet, wei, cast.alice.account.0, lasting_s);
        let nonce = nonce.map_err(differs)?;
        self.told.fact(&format!("alice locks {} ether", display(wei, ETHER)), format!("lock {nonce}"));
        self.locks.push(Locked { nonce, asset: [0; 20], amount: wei });
        Ok(nonce)
    }

    fn lock_dollars(&mut self, amount: u128) -> Result<(), Failure> {
        let Town { chain, site, wallet, cast, .. } = &self.town;
        site.give(&chain.dev, *wallet, amount).map_err(differs)?;
        let nonce = site.lock_erc20(&chain.dev, *wallet, amount, cast.alice.account.0, DAY_S);
        let nonce = nonce.map_err(differs)?;
        self.told.fact(&format!("alice locks {} DUSD", display(amount, DOLLAR)), format!("lock {nonce}"));
        let asset = site.erc20;
        self.locks.push(Locked { nonce, asset, amount });
        Ok(())
    }

    /// Waits until every lock so far is credited.
    fn credited(&self) -> Result<(), Failure> {
        self.wait("the credits", |story| Ok(story.locks.iter().all(|lock| story.is_used(lock.nonce))))
    }

    fn is_used(&self, nonce: u64) -> bool {
        let (used, _) =
            self.town.stage.node.read(|ledger| ledger.lock_use(&self.town.bridge, nonce).is_some());
        used
    }

    fn burn(&mut self, token: TokenId, amount: u128, what: &str) -> Result<(), Failure> {
        let (alice, wallet) = (&self.town.cast.alice, self.town.wallet);
        let receipt = self
            .town
            .stage
            .accept(&[(alice, 1)], |draft| draft.withdraw(alice.account, token, WRAPPED, wallet, amount))?;
        self.told.accepted(what, &receipt);
        Ok(())
    }

    /// Takes a checkpoint and waits until the contract has paid every entry of the outbox.
    fn released(&self) -> Result<(), Failure> {
        self.town.stage.wait(self.town.stage.node.checkpoint())?;
        self.wait("the releases", |story| {
            let (size, _) = story.town.stage.node.read(|ledger| ledger.outbox().size());
            (0..size).try_fold(true, |all, index| Ok(all && story.is_spent(index)?))
        })
    }

    fn ask<C: SolCall>(&self, call: C) -> Result<C::Return, Failure> {
        self.town.site.ask(&self.town.chain.dev, call).map_err(differs)
    }

    fn is_spent(&self, index: u64) -> Result<bool, Failure> {
        self.ask(DsmBridge::spentCall { index })
    }

    fn is_refunded(&self, nonce: u64) -> Result<bool, Failure> {
        self.ask(DsmBridge::refundedCall { nonce: U256::from(nonce) })
    }

    fn locks_made(&self) -> Result<u64, Failure> {
        u64::try_from(self.ask(DsmBridge::outboxSizeCall {})?).map_err(differs)
    }

    fn checkpoint(&self) -> Result<(u64, u64), Failure> {
        let latest = self.ask(DsmBridge::latestCall {})?;
        Ok((latest.epoch, latest.size))
    }

    /// The contract of the wrapped gold.
    fn golden(&self) -> Result<[u8; 20], Failure> {
        Ok(self.ask(DsmBridge::assetOfCall { token: self.town.gold.0.into() })?.asset.into_array())
    }

    fn dollars(&self) -> Result<u128, Failure> {
        let Town { chain, site, wallet, .. } = &self.town;
        site.units(&chain.dev, site.erc20, *wallet).map_err(differs)
    }

    fn supply(&self, token: TokenId) -> u128 {
        let (supply, _) =
            self.town.stage.node.read(|ledger| ledger.token(&token).map_or(0, |token| token.state().supply));
        supply
    }

    fn actor(&self, who: Who) -> &super::super::cast::Actor {
        match who {
            Who::Alice => &self.town.cast.alice,
            Who::Bob => &self.town.cast.bob,
        }
    }

    fn balance(&self, who: Who, token: TokenId) -> u128 {
        self.town.stage.balance(self.actor(who), token)
    }

    /// Claims everything that waits for somebody.
    fn claim(&mut self, who: Who) -> Result<(), Failure> {
        let actor = self.actor(who);
        let (waiting, _) = self
            .town
            .stage
            .node
            .read(|ledger| ledger.inbox(actor.account, None).map(|credit| credit.id).collect::<Vec<_>>());
        let receipt = self.town.stage.accept(&[(actor, 1)], |draft| {
            waiting.iter().fold(draft, |draft, credit| draft.claim(actor.account, *credit))
        })?;
        let what = format!("{} claims what waits", actor.name);
        self.told.accepted(&what, &receipt);
        Ok(())
    }

    /// What the contract holds is what there is on DSM, and what is on its way. For ether and for dollars.
    fn equation(&mut self, when: &str) -> Result<(), Failure> {
        let Town { site, chain, ether, dollar, .. } = &self.town;
        let rows = [("ETH", [0; 20], *ether, ETHER), ("DUSD", site.erc20, *dollar, DOLLAR)];
        let mut words = Vec::new();
        for (name, asset, token, decimals) in rows {
            let held = site.held(&chain.dev, asset).map_err(differs)?;
            let (supply, way) = (self.supply(token), self.coming(asset)? + self.leaving(token)?);
            let [held_words, supply_words, way_words] = [held, supply, way].map(|one| display(one, decimals));
            let told = format!("{name} {held_words} = {supply_words} + {way_words}");
            if held != supply + way {
                return Err(differs(format!("locked = supply + in flight does not hold {when}: {told}")));
            }
            words.push(told);
        }
        self.told.fact(&format!("locked = supply + in flight, {when}"), words.join(", "));
        Ok(())
    }

    /// What was minted on the EVM, and what is on its way, is what DSM counts as outside.
    fn gold_equation(&mut self, when: &str) -> Result<(), Failure> {
        let (golden, gold) = (self.golden()?, self.town.gold);
        let call = dsm_contracts::IAsset::totalSupplyCall {};
        let told = self.town.chain.dev.call(golden, &call.abi_encode()).map_err(differs)?;
        let minted = dsm_contracts::IAsset::totalSupplyCall::abi_decode_returns(&told).map_err(differs)?;
        let minted = u128::try_from(minted).map_err(differs)?;
        let way = self.coming(golden)? + self.leaving(gold)?;
        let view = self.town.stage.node.view(&gold, WRAPPED, "outside".into(), vec![]).map_err(differs)?;
        let outside = view.iter().find_map(|field| match field.value {
            Value::U128(outside) if field.name == "outside" => Some(outside),
            _ => None,
        });
        let outside = outside.ok_or_else(|| differs("the policy does not say what is outside"))?;
        ensure(minted + way == outside, "minted + in flight is not what DSM counts as outside")?;
        let supply = self.supply(gold);
        let [outside, minted, way, supply] = [outside, minted, way, supply].map(|one| display(one, GOLD));
        let words = format!("GOLD {outside} = {minted} + {way}; here {supply}");
        self.told.fact(&format!("outside = minted + in flight, {when}"), words);
        Ok(())
    }

    /// What is locked for DSM and neither credited nor paid back.
    fn coming(&self, asset: [u8; 20]) -> Result<u128, Failure> {
        let mut sum = 0;
        for lock in self.locks.iter().filter(|lock| lock.asset == asset) {
            let (used, _) =
                self.town.stage.node.read(|ledger| ledger.lock_use(&self.town.bridge, lock.nonce).copied());
            let credited = used.is_some_and(|used| used.credited);
            if !credited && !self.is_refunded(lock.nonce)? {
                sum += lock.amount;
            }
        }
        Ok(sum)
    }

    /// What was burned on DSM and not released.
    fn leaving(&self, token: TokenId) -> Result<u128, Failure> {
        let (entries, _) = self.town.stage.node.read(|ledger| {
            ledger.outbox().entries_from(0).filter(|entry| entry.token == token).cloned().collect::<Vec<_>>()
        });
        let mut sum = 0;
        for entry in entries {
            if let Payload::Release(release) = Payload::decode(&entry.payload).map_err(differs)?
                && !self.is_spent(entry.index)?
            {
                sum += release.amount;
            }
        }
        Ok(sum)
    }

    fn wait(&self, what: &str, done: impl Fn(&Story) -> Result<bool, Failure>) -> Result<(), Failure> {
        let begun = Instant::now();
        while !done(self)? {
            if begun.elapsed() > PATIENCE {
                return Err(differs(format!(
                    "{what} did not come; the service says: {}",
                    self.town.complaint()
                )));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// Who claims.
#[derive(Debug, Clone, Copy)]
enum Who {
    Alice,
    Bob,
}

/// An amount without the zeroes behind it.
fn display(amount: u128, decimals: u8) -> String {
    let text = display_amount(amount, decimals);
    let trimmed = text.trim_end_matches('0');
    if trimmed.ends_with('.') { format!("{trimmed}0") } else { trimmed.to_owned() }
}
