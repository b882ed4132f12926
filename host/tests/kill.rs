//! `kill -9` in the middle of a stream of payments: what was acknowledged is there, and the log replays.
//!
//! `DSM_KILL_TRANSITIONS=10000` makes the stream as long as the issue asks.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

mod killing;
mod program;

use dsm_abi::{ABI_VERSION, AccountId, Digest, KeyId, NetworkId, StateId, TokenId, Value, encode};
use dsm_core::{Genesis, KeySet, OperationKind, SignedTransition};
use dsm_crypto::{SecretKey, hash_guest, verify_guest};
use dsm_host::engine::{Engine, EngineConfig, FUEL_LIMIT_DEFAULT, GuestCrypto};
use dsm_host::node::{Clock as _, SystemClock};
use dsm_sdk::client::{Client, ClientError};
use dsm_sdk::draft::{Draft, NewToken, Window, public_key};
use dsm_sdk::package::{Package, PolicyDocument, module_cid};
use dsm_sdk::receipt::Receipt;
use program::{RunningNode, replay};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

/// Accounts that pay each other, each from a thread of its own.
const PAYERS: u8 = 8;
/// Payments in all, unless the environment asks for more.
const TRANSITIONS: u64 = 600;
const FUNGIBLE: &[u8] = include_bytes!("../../policies/dist/fungible.wasm");

struct Payer {
    account: AccountId,
    key: SecretKey,
}

struct Town {
    network: NetworkId,
    payers: Vec<Payer>,
    token: TokenId,
    /// Makes each transition another one.
    entropy: AtomicU64,
}

struct Crypto;

impl GuestCrypto for Crypto {
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        hash_guest(algorithm, bytes)
    }

    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
        verify_guest(algorithm, key, message, signature)
    }
}

fn package(author: &SecretKey) -> Package {
    let engine = Engine::new(&EngineConfig::default(), Arc::new(Crypto)).unwrap();
    let description = engine.admit(FUNGIBLE).unwrap().description().clone();
    let document = PolicyDocument {
        abi: ABI_VERSION,
        module: module_cid(FUNGIBLE),
        author: KeyId::default(),
        description,
        fuel_limit: FUEL_LIMIT_DEFAULT,
        license: "MIT".into(),
        source: String::new(),
    };
    Package::sign(FUNGIBLE.to_vec(), document, author).unwrap()
}

impl Town {
    /// Opens the accounts, publishes the policy, creates the token and gives everybody plenty.
    fn build(client: &Client) -> Town {
        let network = client.status().unwrap().network.network;
        let mut town = Town { network, payers: Vec::new(), token: TokenId::NONE, entropy: AtomicU64::new(0) };
        for seed in 1..=PAYERS {
            let key = SecretKey::ml_dsa_65(&[seed; 32]).unwrap();
            let genesis = Genesis { network, keys: KeySet::single(public_key(&key)), salt: [seed; 32] };
            let payer = Payer { account: genesis.account(), key };
            town.submit(client, &payer, StateId::NONE, |draft| draft.open(genesis)).unwrap();
            town.payers.push(payer);
        }
        let issuer = &town.payers[0];
        let package = package(&issuer.key);
        let policy = client.stage(&encode(&package)).unwrap().policy.0;
        let author = public_key(&issuer.key).id();
        let terms = vec![Value::Keys(vec![author]), Value::U64(1), Value::U128(0)];
        let new = NewToken::new(issuer.account, "KILL", "Kill", vec![(policy, terms)]);
        let token = new.token();
        let module = Digest(*blake3::hash(FUNGIBLE).as_bytes());
        for kind in [OperationKind::Publish { policy, module, author }, new.operation()] {
            town.step(client, issuer, |draft| draft.operation(issuer.account, kind));
        }
        town.step(client, issuer, |draft| {
            let everybody = town.payers.iter();
            everybody.fold(draft, |draft, payer| draft.mint(issuer.account, token, payer.account, 1_000_000))
        });
        for payer in &town.payers {
            let waiting = client.inbox(&payer.account, None, 10).unwrap().credits;
            if !waiting.is_empty() {
                town.step(client, payer, |draft| {
                    waiting.iter().fold(draft, |draft, one| draft.claim(payer.account, one.credit))
                });
            }
        }
        town.token = token;
        town
    }

    /// Something that a payer does at its present head.
    fn step(&self, client: &Client, payer: &Payer, build: impl FnOnce(Draft) -> Draft) {
        let head = client.account(&payer.account).unwrap().head;
        self.submit(client, payer, head, build).unwrap();
    }

    fn submit(
        &self,
        client: &Client,
        payer: &Payer,
        head: StateId,
        build: impl FnOnce(Draft) -> Draft,
    ) -> Result<Receipt, ClientError> {
        client.submit(&self.signed(payer, head, build))
    }

    /// Something that a payer does at a head.
    fn signed(&self, payer: &Payer, head: StateId, build: impl FnOnce(Draft) -> Draft) -> SignedTransition {
        let mut entropy = [0; 32];
        entropy[..8].copy_from_slice(&self.entropy.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let draft = Draft::new(self.network, Window::around(SystemClock.now_ms()), entropy);
        let draft = build(draft.signer(payer.account, head));
        draft.sign_with(&[(payer.account, &payer.key, 0)]).unwrap()
    }

    /// Lets everybody pay everybody until `total` payments are acknowledged, then kills the node while payments are
    /// on their way. Gives all receipts.
    fn pay_and_kill(&self, node: RunningNode, total: u64) -> Vec<Receipt> {
        let url = node.url.clone();
        let (sender, receipts) = mpsc::channel::<Receipt>();
        std::thread::scope(|scope| {
            for (index, payer) in self.payers.iter().enumerate() {
                let (sender, url) = (sender.clone(), url.clone());
                let to = self.payers[(index + 1) % self.payers.len()].account;
                scope.spawn(move || {
                    let client = Client::new(&url).unwrap();
                    let mut head = client.account(&payer.account).unwrap().head;
                    loop {
                        let pay = |draft: Draft| draft.transfer(payer.account, self.token, to, 1);
                        match self.submit(&client, payer, head, pay) {
                            Ok(receipt) => {
                                let moved = receipt.accounts.iter().find(|one| one.account == payer.account);
                                head = moved.expect("the payer moved").state;
                                sender.send(receipt).expect("the receiver waits for all senders");
                            }
                            // The node is dead: whether this payment is in the log, only the log knows.
                            Err(ClientError::Unreachable { .. }) => return,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            drop(sender);
            let mut acknowledged: Vec<Receipt> = receipts.iter().take(total as usize).collect();
            node.kill();
            acknowledged.extend(receipts.iter());
            acknowledged
        })
    }
}

/// Every receipt is given again, word for word.
fn assert_kept(client: &Client, receipts: &[Receipt]) {
    for receipt in receipts {
        assert_eq!(client.receipt(&receipt.transition).unwrap(), *receipt);
    }
}

#[test]
fn no_acknowledged_receipt_is_missing_after_kill_9() {
    let asked = std::env::var("DSM_KILL_TRANSITIONS").ok().map(|text| text.parse().expect("a number"));
    let total: u64 = asked.unwrap_or(TRANSITIONS);
    let data = tempfile::tempdir().unwrap();
    let node = RunningNode::start(data.path());
    let town = Town::build(&Client::new(&node.url).unwrap());

    let first = town.pay_and_kill(node, total / 2);
    assert!(first.len() as u64 >= total / 2);
    let report = replay(data.path());
    assert!(report["transitions"].as_u64().unwrap() >= first.len() as u64);

    // The rest of the stream goes on from the heads that the log gave back.
    let node = RunningNode::start(data.path());
    assert_kept(&Client::new(&node.url).unwrap(), &first);
    let second = town.pay_and_kill(node, total - total / 2);
    let report = replay(data.path());
    assert!(report["transitions"].as_u64().unwrap() >= (first.len() + second.len()) as u64);

    let node = RunningNode::start(data.path());
    let client = Client::new(&node.url).unwrap();
    assert_kept(&client, &first);
    assert_kept(&client, &second);
    assert_eq!(node.banner["position"], report["position"]);
    assert_eq!(node.terminate(), Some(0));
    println!("{} payments acknowledged, two kills, none missing", first.len() + second.len());
}
