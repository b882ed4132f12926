//! What the benches share: a real node with funded accounts, and a stream of real signed transfers.
//!
//! An account signs its next transfer on the head that its last one led to. The stream knows that head without
//! asking the node, because it keeps a ledger of its own and applies each transfer to it before it is timed.

pub mod link;
pub mod overload;

use dsm_abi::{AccountId, Digest, Input, KeyId, NetworkId, PolicyId, Suite, TokenId, Value, encode};
use dsm_core::{
    Genesis, Judge, Judgement, KeySet, Ledger, NoVerdict, OperationKind, SignedTransition, StateSpace,
};
use dsm_crypto::{SecretKey, Signer, Verifier, fill_random};
use dsm_host::node::{Node, NodeConfig, SubmitError};
use dsm_sdk::draft::{Draft, NewToken, Window, public_key};
use dsm_sdk::package::{Package, PolicyDocument, module_cid};
use dsm_sdk::receipt::Durability;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;

/// The allocator of the binary `dsm`, so that figures are of the same program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The policy of the bank's token, as it is shipped.
const FUNGIBLE: &[u8] = include_bytes!("../../policies/dist/fungible.wasm");

/// Units that each account starts with.
const FUNDS: u128 = 1_000_000_000;
/// Fuel that a policy may use: the demo's figure.
const FUEL_LIMIT: u64 = 10_000_000;

/// An account with its key.
struct Owner {
    account: AccountId,
    key: SecretKey,
}

/// A node with funded accounts.
pub struct Bank {
    /// The node.
    pub node: Node,
    token: TokenId,
    owners: Vec<Owner>,
    ledger: Ledger,
    turn: usize,
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    fill_random(&mut bytes).expect("the operating system gives randomness");
    bytes
}

fn draft(network: NetworkId) -> Draft {
    let now = now_ms();
    Draft::new(network, Window { from_ms: now - 60_000, until_ms: now + 6 * 3_600_000 }, entropy())
}

impl Bank {
    /// Opens a node in `data`, publishes `fungible`, creates a token and `accounts` accounts that hold it.
    pub fn open(data: &Path, accounts: usize, verifiers: usize) -> Bank {
        let node = Node::open(NodeConfig { verifiers, ..NodeConfig::new(data) }).expect("the node opens");
        let ledger = node.read(Ledger::clone).0;
        let owners = (0..=accounts).map(|_| owner(node.network())).collect();
        let mut bank = Bank { node, token: TokenId::NONE, owners, ledger, turn: 0 };
        bank.create_accounts();
        bank.create_token();
        bank.fund();
        bank
    }

    fn issuer(&self) -> &Owner {
        &self.owners[0]
    }

    fn create_accounts(&mut self) {
        let network = self.node.network();
        let opened: Vec<SignedTransition> = self
            .owners
            .iter()
            .map(|owner| {
                let keys = KeySet::single(public_key(&owner.key));
                let genesis = Genesis { network, keys, salt: [0; 32] };
                sign(draft(network).open(genesis), owner)
            })
            .collect();
        self.submit_all(opened);
    }

    fn create_token(&mut self) {
        let package = package(FUNGIBLE, &self.node, &self.issuer().key);
        let policy = self.node.stage(&encode(&package)).expect("the package is admitted");
        let author = public_key(&self.issuer().key).id();
        let module = package_module_digest(&package);
        self.issue(OperationKind::Publish { policy, module, author });
        let params = vec![Value::Keys(vec![author]), Value::U64(1), Value::U128(0)];
        let token = NewToken::new(self.issuer().account, "BENCH", "Bench", vec![(policy, params)]);
        self.token = token.token();
        self.issue(token.operation());
    }

    fn issue(&mut self, operation: OperationKind) {
        let issuer = self.issuer();
        let head = self.ledger.account(&issuer.account).expect("created").head();
        let draft = draft(self.node.network()).signer(issuer.account, head);
        let signed = sign(draft.operation(issuer.account, operation), issuer);
        self.submit_all(vec![signed]);
    }

    fn fund(&mut self) {
        let accounts: Vec<AccountId> = self.owners[1..].iter().map(|owner| owner.account).collect();
        for group in accounts.chunks(16) {
            let issuer = self.issuer();
            let head = self.ledger.account(&issuer.account).expect("created").head();
            let draft = draft(self.node.network()).signer(issuer.account, head);
            let draft =
                group.iter().fold(draft, |draft, to| draft.mint(issuer.account, self.token, *to, FUNDS));
            let signed = sign(draft, issuer);
            self.submit_all(vec![signed]);
        }
        let claims = self.owners[1..]
            .iter()
            .map(|owner| {
                let head = self.ledger.account(&owner.account).expect("created").head();
                let credit = self.ledger.inbox(owner.account, None).next().expect("minted").id;
                let draft = draft(self.node.network()).signer(owner.account, head);
                sign(draft.claim(owner.account, credit), owner)
            })
            .collect();
        self.submit_all(claims);
    }

    /// Submits independent transitions and applies the accepted ones to the bank's own ledger.
    fn submit_all(&mut self, transitions: Vec<SignedTransition>) {
        let (sender, answers) = crossbeam_channel::unbounded();
        for group in transitions.chunks(1024) {
            for signed in group {
                let sender = sender.clone();
                self.node.submit_with(encode(signed), move |answer| {
                    sender.send(answer).expect("the receiver waits");
                });
            }
            for _ in group {
                let receipt = answers.recv().expect("answered").expect("accepted");
                let (_, record) = self.node.transition(&receipt.transition).expect("read").expect("there");
                self.ledger.replay(record).expect("the bank's ledger follows the node's");
            }
        }
    }

    /// The next `count` transfers, signed on all cores: account after account sends one unit to its neighbour.
    pub fn transfers(&mut self, count: usize) -> Vec<(usize, Vec<u8>)> {
        let accounts = self.owners.len() - 1;
        let mut made = Vec::with_capacity(count);
        while made.len() < count {
            // No account twice in a round, so none waits for a head that another core is about to make.
            let round = accounts.min(count - made.len());
            let turns: Vec<usize> = (self.turn..self.turn + round).map(|turn| turn % accounts).collect();
            self.turn += round;
            for (turn, signed) in turns.iter().zip(self.signed(&turns)) {
                made.push((*turn, encode(&signed)));
                self.foresee(signed);
            }
        }
        made
    }

    /// One transfer of each of these accounts.
    fn signed(&self, turns: &[usize]) -> Vec<SignedTransition> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let part = turns.len().div_ceil(cores).max(1);
        std::thread::scope(|scope| {
            let sign = |turns: &[usize]| turns.iter().map(|turn| self.transfer(*turn)).collect::<Vec<_>>();
            let running: Vec<_> = turns.chunks(part).map(|turns| scope.spawn(move || sign(turns))).collect();
            running.into_iter().flat_map(|thread| thread.join().expect("owners can sign")).collect()
        })
    }

    fn transfer(&self, turn: usize) -> SignedTransition {
        let accounts = self.owners.len() - 1;
        let owner = &self.owners[1 + turn];
        let to = self.owners[1 + (turn + 1) % accounts].account;
        let head = self.ledger.account(&owner.account).expect("created").head();
        let draft = draft(self.node.network()).signer(owner.account, head);
        sign(draft.transfer(owner.account, self.token, to, 1), owner)
    }

    /// Closes the node, so that another process can open its data.
    pub fn close(self) {
        self.node.close().expect("the log is sound");
    }

    /// Applies a transfer to the bank's own ledger. Its heads do not depend on the sequencer's time.
    fn foresee(&mut self, signed: SignedTransition) {
        let verified = signed.verify(self.node.network(), &self.ledger, &Believe).expect("just signed");
        let approved = self.ledger.judge(verified, now_ms(), &mut Believe).expect("allowed");
        let changes = self.ledger.settle(approved).expect("funded");
        self.ledger.commit(changes);
    }

    /// Submits transfers, at most `window` on their way, one per account at a time and in order; returns when all
    /// are durable in the node's own log.
    pub fn run(&self, transfers: Vec<(usize, Vec<u8>)>, window: usize) {
        self.pump(transfers, window, |bytes, respond| {
            self.node.submit_with(bytes, move |answer| respond(answer.map(drop)));
        });
    }

    /// As [`Bank::run`], but a transfer is on its way until it is durable on so many storage nodes as `level` says.
    pub fn run_at(
        &self,
        runtime: &Runtime,
        transfers: Vec<(usize, Vec<u8>)>,
        window: usize,
        level: Durability,
    ) {
        self.pump(transfers, window, |bytes, respond| {
            let node = self.node.clone();
            runtime.spawn(async move { respond(node.submit_at(bytes, Some(level)).await.map(drop)) });
        });
    }

    fn pump(&self, transfers: Vec<(usize, Vec<u8>)>, window: usize, submit: impl Fn(Vec<u8>, Respond)) {
        let accounts = self.owners.len() - 1;
        assert!(window <= accounts, "an account has one transfer on its way at a time");
        let (sender, answers) = crossbeam_channel::unbounded();
        let mut busy = vec![false; accounts];
        let mut waiting = transfers.into_iter().peekable();
        let mut on_their_way = 0;
        loop {
            while on_their_way < window
                && let Some((turn, bytes)) = waiting.next_if(|(turn, _)| !busy[*turn])
            {
                busy[turn] = true;
                on_their_way += 1;
                let sender = sender.clone();
                submit(
                    bytes,
                    Box::new(move |answer| sender.send((turn, answer)).expect("the receiver waits")),
                );
            }
            if on_their_way == 0 {
                return;
            }
            let (turn, answer) = answers.recv().expect("answered");
            answer.expect("accepted");
            busy[turn] = false;
            on_their_way -= 1;
        }
    }
}

/// Tells the stream that a transfer was answered.
type Respond = Box<dyn FnOnce(Result<(), SubmitError>) + Send>;

fn owner(network: NetworkId) -> Owner {
    let key = SecretKey::generate(Suite::MlDsa65).expect("a key");
    let genesis = Genesis { network, keys: KeySet::single(public_key(&key)), salt: [0; 32] };
    Owner { account: genesis.account(), key }
}

fn sign(draft: Draft, owner: &Owner) -> SignedTransition {
    draft.sign_with(&[(owner.account, &owner.key, 0)]).expect("the owner signs")
}

/// A signed package of a shipped module.
pub fn package(module: &[u8], node: &Node, author: &dyn Signer) -> Package {
    let admitted = node.engine().admit(module).expect("a shipped module is admitted");
    let document = PolicyDocument {
        abi: dsm_abi::ABI_VERSION,
        module: module_cid(module),
        author: KeyId::default(),
        description: admitted.description().clone(),
        fuel_limit: FUEL_LIMIT,
        license: "MIT OR Apache-2.0".into(),
        source: "policies".into(),
    };
    Package::sign(module.to_vec(), document, author).expect("the author signs")
}

fn package_module_digest(package: &Package) -> Digest {
    package.clone().verify(&Verifier::new()).expect("just signed").module_digest()
}

/// Judges transfers of the bench's own making for the bank's own ledger, which no figure is taken from.
struct Believe;

impl dsm_abi::VerifySignature for Believe {
    fn verify_signature(
        &self,
        _suite: Suite,
        _public_key: &[u8],
        _message: &[u8],
        _signature: &[u8],
    ) -> Result<(), dsm_abi::SignatureError> {
        Ok(())
    }
}

impl Judge for Believe {
    fn describe(&self, _policy: &PolicyId) -> Option<(Digest, KeyId, Arc<dsm_abi::Description>)> {
        None
    }

    fn judge(
        &mut self,
        _policy: &PolicyId,
        _input: &Input,
        _state: &Arc<StateSpace>,
        _foreign: &[Arc<StateSpace>],
    ) -> Result<Judgement, NoVerdict> {
        Ok(Judgement::Accept(Vec::new()))
    }
}
