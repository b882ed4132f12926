//! The seven steps. Every step checks that it went as told; what is broken on purpose ends the story at its step.

use super::super::cast::{SCHEMA, vouch};
use super::super::print::Told;
use super::super::stage::{Stage, differs};
use super::super::story::ensure;
use super::Break;
use super::company::{CENTS, Company, PURPOSE, RATE_AGE_MS, Tokens, WHOLE, prepare};
use crate::cli::evidence::verify_file;
use crate::cli::failure::{Failure, file_failure};
use crate::cli::session::Session;
use crate::cli::show::short;
use crate::cli::values::display_amount;
use dsm_abi::{Digest, Field, HoldId, TransitionId, Value, encode};
use dsm_core::{EvidenceProof, OperationKind, PublicKey, Refusal, SignedTransition};
use dsm_crypto::Verifier;
use dsm_host::node::SubmitError;
use dsm_sdk::api::GenesisView;
use dsm_sdk::draft::Draft;
use dsm_sdk::evidence::EvidencePackage;
use dsm_sdk::package::Package;
use dsm_sdk::receipt::Receipt;
use std::path::{Path, PathBuf};

/// The positions of the bond's policies in its list.
const REGISTER: u8 = 0;
const GATE: u8 = 1;
/// The position of the pool among the euro's policies.
const POOL: u8 = 1;
/// Units that Alice sells.
const UNITS: u128 = 100;
/// What Bob pays for them, in cents.
const PRICE: u128 = 1_000 * WHOLE;
/// Bob's number for his request.
const NUMBER: u64 = 1;
/// How long liquidity is held, in ms.
const HOLD_MS: u64 = 10 * 60 * 1000;
/// The lane of settlement records: whoever reads them agrees with whoever writes them.
const SETTLEMENTS: u32 = 2;

/// Everything that the story has to keep in mind.
pub(super) struct Story {
    stage: Stage,
    company: Company,
    tokens: Tokens,
    pub(super) told: Told,
    broken: Option<Break>,
    /// The transitions that the evidence is about, in order.
    done: Vec<TransitionId>,
    /// The operations that were approved.
    approved: Digest,
    delivery: Option<SignedTransition>,
}

/// The story's end.
pub(super) struct Ended {
    pub(super) told: Told,
    /// The evidence package.
    pub(super) file: PathBuf,
}

impl Story {
    /// Sets the stage.
    pub(super) fn new(stage: Stage, told: Told, broken: Option<Break>) -> Result<Story, Failure> {
        let company = Company::new(stage.node.network())?;
        let tokens = prepare(&stage, &company, &told)?;
        let approved = Digest::default();
        Ok(Story { stage, company, tokens, told, broken, done: Vec::new(), approved, delivery: None })
    }

    /// Plays all of it; the evidence goes into `folder`.
    pub(super) fn play(mut self, folder: &Path) -> Result<Ended, Failure> {
        self.issue_credentials()?;
        self.verify_standing()?;
        self.approve()?;
        self.settle()?;
        self.record()?;
        let (file, trust) = self.export(folder)?;
        self.judge_again(file, &trust)
    }

    fn issue_credentials(&mut self) -> Result<(), Failure> {
        self.told.step("Credentials issued, and shown to the gate of the bond");
        let Company { issuer, alice, bob, .. } = &self.company;
        let network = self.stage.node.network();
        let mut draft = self.stage.draft()?;
        for actor in [alice, bob] {
            let mut credential = vouch(network, issuer, actor)?;
            self.told
                .fact(&format!("{} for {}, serial", SCHEMA, actor.name), short(credential.credential.serial));
            if self.broken == Some(Break::CredentialForged) && actor.account == bob.account {
                credential.signature[100] ^= 1;
            }
            draft = draft
                .signer(actor.account, self.stage.head(actor))
                .evidence(EvidenceProof::Credential(credential))
                .invoke(actor.account, self.tokens.bond, GATE, "admit", vec![]);
        }
        let signers: Vec<_> = [alice, bob].iter().flat_map(|actor| actor.signers(1)).collect();
        let signed = draft.sign_with(&signers)?;
        let receipt = self.take(&signed)?;
        self.told.accepted("alice and bob show theirs: the country, not the name", &receipt);
        self.done.push(receipt.transition);
        Ok(())
    }

    fn verify_standing(&mut self) -> Result<(), Failure> {
        self.told.step("Credentials verified, by whoever asks; units issued to who has one");
        if self.broken == Some(Break::CredentialRevoked) {
            self.revoke()?;
        } else {
            for actor in [&self.company.alice, &self.company.bob] {
                let standing =
                    self.view(self.tokens.bond, GATE, "standing", vec![Value::Account(actor.account)])?;
                ensure(
                    field(&standing, "admitted")? == &Value::Bool(true),
                    "the gate does not know a holder",
                )?;
                self.told.fact(&format!("the gate says of {}", actor.name), "admitted");
            }
        }
        let Company { registrar, alice, bob, approvers: [carol, _], .. } = &self.company;
        let holder = if self.broken == Some(Break::CredentialMissing) { carol } else { alice };
        let bond = self.tokens.bond;
        let registered = self.stage.accept(&[(registrar, 2)], |draft| {
            [holder, bob].iter().fold(draft, |draft, one| {
                let args = vec![Value::Account(one.account), Value::Bool(true)];
                draft.invoke(registrar.account, bond, REGISTER, "register", args)
            })
        })?;
        self.told.accepted("both registered, for delivery against payment alone", &registered);
        let signed = self.stage.sign(&[(registrar, 2), (holder, 1)], |draft| {
            draft.mint(registrar.account, bond, holder.account, 1_000)
        })?;
        let receipt = self.take(&signed)?;
        self.told.accepted("1,000 BOND32 for alice, signed by two registrar keys", &receipt);
        self.done.extend([registered.transition, receipt.transition]);
        Ok(())
    }

    /// The issuer revokes what it said of Alice.
    fn revoke(&self) -> Result<(), Failure> {
        let Company { issuer, .. } = &self.company;
        let admitted = self.done.first().and_then(|id| self.stage.node.transition(id).ok().flatten());
        let (_, record) = admitted.ok_or_else(|| differs("nobody was admitted"))?;
        let serials = record.signed.transition.evidence.into_iter().filter_map(|evidence| match evidence {
            EvidenceProof::Credential(shown) if shown.credential.subject == self.company.alice.account => {
                Some(shown.credential.serial)
            }
            _ => None,
        });
        let bond = self.tokens.bond;
        self.stage.accept(&[(issuer, 1)], |draft| {
            serials.fold(draft, |draft, serial| {
                draft.invoke(issuer.account, bond, GATE, "revoke", vec![Value::Digest(serial)])
            })
        })?;
        Ok(())
    }

    /// Delivery, payment, and what is said of them to other chains.
    fn delivery(&self, draft: Draft) -> Draft {
        let (alice, bob, tokens) = (self.company.alice.account, self.company.bob.account, self.tokens);
        let said = encode(&(tokens.bond, UNITS, tokens.euro, PRICE));
        let draft = draft.transfer(alice, tokens.bond, bob, UNITS);
        let draft = match self.broken {
            Some(Break::DeliveryUnpaid) => draft,
            _ => draft.transfer(bob, tokens.euro, alice, PRICE),
        };
        draft.emit(alice, SETTLEMENTS, said)
    }

    fn approve(&mut self) -> Result<(), Failure> {
        self.told.step("A workflow step: one proposes, two others approve");
        // The document is the shape of the delivery: the digest of exactly its operations.
        self.approved = self.delivery(self.stage.draft()?).transition().shape();
        let case = Digest(Session::random()?);
        let flow = self.tokens.flow;
        let Company { alice, approvers: [carol, dave], .. } = &self.company;
        let args = vec![Value::Digest(case), Value::U64(1), Value::Digest(self.approved)];
        let proposed = self
            .stage
            .accept(&[(alice, 1)], |draft| draft.invoke(alice.account, flow, 0, "propose", args))?;
        self.told.accepted("alice proposes the delivery: the hash of its operations", &proposed);
        self.done.push(proposed.transition);
        let second = if self.broken == Some(Break::ApprovedTwice) { carol } else { dave };
        for actor in [carol, second] {
            let args = vec![Value::Digest(case), Value::Digest(self.approved)];
            let signed = self
                .stage
                .sign(&[(actor, 1)], |draft| draft.invoke(actor.account, flow, 0, "approve", args))?;
            let receipt = self.take(&signed)?;
            self.told.accepted(&format!("{} approves", actor.name), &receipt);
            self.done.push(receipt.transition);
        }
        let status = self.view(flow, 0, "status", vec![Value::Digest(case)])?;
        ensure(field(&status, "done")? == &Value::U64(1), "the step is not done")?;
        self.told.fact("asked again, the workflow says", "1 of 1 steps done");
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Failure> {
        self.told.step("Delivery versus payment, with a quote for the euros and a hold on them");
        self.observe()?;
        let price = self.quote()?;
        let hold = self.draw()?;
        self.exchange(price, hold)?;
        let Company { alice, bob, .. } = &self.company;
        let signed = self.stage.sign(&[(alice, 1), (bob, 1)], |draft| self.delivery(draft))?;
        let receipt = self.take(&signed)?;
        self.told.accepted("100 BOND32 for 1,000.00 EUR, all or none", &receipt);
        ensure(signed.transition.shape() == self.approved, "what was delivered is not what was approved")?;
        self.told.fact("the operations that two approved", short(self.approved));
        self.done.push(receipt.transition);
        self.delivery = Some(signed);
        let (bond, euro, dollar) = (self.tokens.bond, self.tokens.euro, self.tokens.dollar);
        let found = [
            self.stage.balance(alice, bond),
            self.stage.balance(alice, euro),
            self.stage.balance(bob, bond),
            self.stage.balance(bob, euro),
            self.stage.balance(bob, dollar),
        ];
        ensure(
            found == [1_000 - UNITS, PRICE, UNITS, 0, 5_000 * WHOLE - price],
            "somebody owns something else",
        )?;
        self.told.fact("alice", format!("900 BOND32, {} EUR", display_amount(PRICE, CENTS)));
        self.told.fact("bob", format!("100 BOND32, {} USD", display_amount(5_000 * WHOLE - price, CENTS)));
        Ok(())
    }

    /// A round of the feed.
    fn observe(&mut self) -> Result<(), Failure> {
        let ago_ms = if self.broken == Some(Break::RateStale) { RATE_AGE_MS + 1_000 } else { 0 };
        let network = self.stage.node.network();
        let round = self.company.round(network, NUMBER, [10_848, 10_850, 10_853], ago_ms)?;
        let [first, ..] = &self.company.observers;
        let feed = self.tokens.feed;
        let receipt = self.stage.accept(&[(first, 1)], |draft| {
            let draft = draft.evidence(round);
            draft.invoke(first.account, feed, 0, "transmit", vec![Value::U64(NUMBER)])
        })?;
        self.told.accepted("three observers' rates, the median 1.0850", &receipt);
        self.done.push(receipt.transition);
        Ok(())
    }

    /// Request, lock, book. What Bob pays, in cents of the dollar.
    fn quote(&mut self) -> Result<u128, Failure> {
        let Company { desk, bob, .. } = &self.company;
        let fx = self.tokens.fx;
        let whose = || vec![Value::Account(bob.account), Value::U64(NUMBER)];
        let request = vec![Value::U64(NUMBER), Value::Bool(true), Value::U128(PRICE)];
        let requested =
            self.stage.accept(&[(bob, 1)], |draft| draft.invoke(bob.account, fx, 0, "request", request))?;
        self.told.accepted("bob asks for 1,000.00 EUR against dollars", &requested);
        let signed =
            self.stage.sign(&[(desk, 1)], |draft| draft.invoke(desk.account, fx, 0, "lock", whose()))?;
        let locked = self.take(&signed)?;
        self.told.accepted("the desk locks a price at the feed's rate", &locked);
        let number = vec![Value::U64(NUMBER)];
        let booked =
            self.stage.accept(&[(bob, 1)], |draft| draft.invoke(bob.account, fx, 0, "book", number))?;
        self.told.accepted("bob takes it", &booked);
        self.done.extend([requested, locked, booked].map(|receipt| receipt.transition));
        let quote = self.view(fx, 0, "quote", whose())?;
        let &Value::U128(price) = field(&quote, "quote")? else {
            return Err(differs("a quote is no amount"));
        };
        self.told.fact("the price", format!("{} USD", display_amount(price, CENTS)));
        Ok(price)
    }

    /// Liquidity is held for Bob.
    fn draw(&mut self) -> Result<Option<HoldId>, Failure> {
        if self.broken == Some(Break::HoldMissing) {
            return Ok(None);
        }
        let Company { bank, desk, bob, .. } = &self.company;
        let args = vec![
            Value::U128(PRICE),
            Value::Account(bob.account),
            Value::Text(PURPOSE.into()),
            Value::U64(Session::now_ms() + HOLD_MS),
        ];
        let euro = self.tokens.euro;
        let receipt = self
            .stage
            .accept(&[(bank, 1), (desk, 1)], |draft| draft.invoke(bank.account, euro, POOL, "draw", args))?;
        let hold = receipt.holds.first().copied();
        self.told.accepted("1,000.00 EUR of the pool held for bob", &receipt);
        self.done.push(receipt.transition);
        Ok(Some(hold.ok_or_else(|| differs("the draw made no hold"))?))
    }

    /// Both sides of the exchange in one transition.
    fn exchange(&mut self, price: u128, hold: Option<HoldId>) -> Result<(), Failure> {
        let Company { desk, bob, .. } = &self.company;
        let (fx, dollar, pays) =
            (self.tokens.fx, self.tokens.dollar, self.broken != Some(Break::PaymentMissing));
        let signed = self.stage.sign(&[(bob, 1), (desk, 1)], |draft| {
            let draft = match hold {
                Some(hold) => draft.operation(bob.account, OperationKind::Execute { hold }),
                None => draft,
            };
            let draft = if pays { draft.transfer(bob.account, dollar, desk.account, price) } else { draft };
            let whose = vec![Value::Account(bob.account), Value::U64(NUMBER)];
            draft.invoke(bob.account, fx, 0, "settle", whose)
        })?;
        let receipt = self.take(&signed)?;
        self.told.accepted("the held euros for bob's dollars, exactly as quoted", &receipt);
        self.done.push(receipt.transition);
        Ok(())
    }

    fn record(&mut self) -> Result<(), Failure> {
        self.told.step("The record for other chains: in the outbox, under a signed root");
        let checkpoint = self.stage.wait(self.stage.node.checkpoint())?;
        let epoch = checkpoint.checkpoint.epoch;
        self.told.fact(&format!("checkpoint {epoch}, signed"), short(checkpoint.checkpoint.id()));
        let mut proof = self.stage.node.prove_outbox(0)?;
        if self.broken == Some(Break::RecordAltered) {
            proof.entry.payload[40] ^= 1;
        }
        let delivered = self.delivery.as_ref().map(|signed| signed.transition.id());
        let node = &self.stage.node.genesis().node;
        let entry = proof.verify(node, &Verifier::new());
        let entry = entry.map_err(|error| self.ends(error.code(), &error))?;
        let said = encode(&(self.tokens.bond, UNITS, self.tokens.euro, PRICE));
        let same = entry.payload == said && entry.lane == SETTLEMENTS;
        ensure(same && Some(entry.transition) == delivered, "the record says something else")?;
        self.told.fact("entry 0, verified under the node's key alone", "100 BOND32, 1000.00 EUR");
        Ok(())
    }

    /// Writes the package and the node's key into files, and reads the package as a stranger would.
    fn export(&mut self, folder: &Path) -> Result<(PathBuf, PathBuf), Failure> {
        self.told.step("An evidence package exported: one file");
        let node = &self.stage.node;
        let cut = node.evidence(&self.done, false).map_err(|error| self.ends(error.code(), &error))?;
        let mut bytes = cut.encode();
        if self.broken == Some(Break::PackageFlipped) {
            let middle = bytes.len() / 4;
            bytes[middle] ^= 1;
        }
        let (file, trust) = (folder.join("evidence.dsm"), folder.join("node.json"));
        let written = |path: &PathBuf, bytes: &[u8]| {
            std::fs::write(path, bytes).map_err(|error| file_failure(path, &error))
        };
        written(&file, &bytes)?;
        let genesis = GenesisView::from(node.genesis());
        let genesis =
            serde_json::to_vec_pretty(&genesis).map_err(|error| Failure::integrity("json", error))?;
        written(&trust, &genesis)?;
        let node: PublicKey = node.genesis().node.clone();
        let package =
            EvidencePackage::decode(&bytes).map_err(|error| self.ends("evidence_malformed", &error))?;
        let read = package.slice.read(&node, &Verifier::new());
        let read = read.map_err(|error| self.ends(error.code(), &error))?;
        let (whole, hashed) = (read.whole(), read.hashed());
        self.told.fact("transitions that it is about", self.done.len());
        self.told.fact(
            "records that have to do with them",
            format!("{whole}, and the hashes of {hashed} between"),
        );
        self.told.fact(&file.display().to_string(), format!("{} bytes", bytes.len()));
        Ok((file, trust))
    }

    /// The node is gone; the file and the node's key are left.
    fn judge_again(mut self, file: PathBuf, trust: &Path) -> Result<Ended, Failure> {
        self.told.step("Judged again offline: by the file and the node's key, without the node");
        if self.broken == Some(Break::ModuleExchanged) {
            exchange_module(&file)?;
        }
        let Story { stage, told, broken, done, .. } = self;
        stage.close()?;
        let mut told = told;
        told.fact("the node", "stopped");
        let trust = trust.display().to_string();
        let report = verify_file(&file, Some(&trust), &Verifier::new());
        let report = report.map_err(|failure| match broken {
            Some(_) => ended(&told, &failure.code, &failure.message),
            None => failure,
        })?;
        ensure(report.transitions.len() == done.len(), "the report is about other transitions")?;
        for one in &report.steps {
            told.fact(&format!("{} {}", one.step.number(), one.step.name()), &one.detail);
        }
        if let Some(broken) = broken {
            return Err(differs(format!("{broken:?} changed nothing")));
        }
        Ok(Ended { told, file })
    }

    /// Submits; a refusal ends the story.
    fn take(&self, signed: &SignedTransition) -> Result<Receipt, Failure> {
        self.stage.submit(signed).map_err(|error| match &error {
            SubmitError::Refused(Refusal::Denied { denial, .. }) => {
                let words = format!("{} {}", denial.code, denial.reason);
                self.ends(error.code(), &words)
            }
            _ => self.ends(error.code(), &error),
        })
    }

    /// The story ends here, in these words.
    fn ends(&self, code: &str, why: &dyn std::fmt::Display) -> Failure {
        ended(&self.told, code, why)
    }

    fn view(
        &self,
        token: dsm_abi::TokenId,
        policy_index: u8,
        query: &str,
        args: Vec<Value>,
    ) -> Result<Vec<Field>, Failure> {
        self.stage.node.view(&token, policy_index, query.into(), args).map_err(differs)
    }
}

fn ended(told: &Told, code: &str, why: impl std::fmt::Display) -> Failure {
    Failure::refused(code, format!("step {}: {why}", told.steps.len()))
        .help("with --break this is how the story has to end; without, please report it")
}

fn field<'a>(fields: &'a [Field], name: &str) -> Result<&'a Value, Failure> {
    let found = fields.iter().find(|field| field.name == name);
    found.map(|field| &field.value).ok_or_else(|| differs(format!("there is no {name} in the answer")))
}

/// Puts the second policy's module in the place of the first one's.
fn exchange_module(file: &Path) -> Result<(), Failure> {
    let bytes = std::fs::read(file).map_err(|error| file_failure(file, &error))?;
    let mut package = EvidencePackage::decode(&bytes).map_err(differs)?;
    let packages = package.decode_packages().map_err(differs)?;
    let [first, second, ..] = packages.as_slice() else { return Err(differs("there are no two policies")) };
    let exchanged = Package { module: second.module.clone(), ..first.clone() };
    package.packages[0] = encode(&exchanged);
    std::fs::write(file, package.encode()).map_err(|error| file_failure(file, &error))
}
