//! A node with two funded accounts, real keys and the shipped policies.

use dsm_abi::{
    AccountId, CreditId, Digest, KeyId, NetworkId, PolicyId, StateId, Suite, TokenId, Value, encode,
};
use dsm_core::{
    Genesis, Ledger, Operation, OperationKind, SignKind, Signature, SignedTransition, Transition,
    signing_message,
};
use dsm_crypto::{SecretKey, Signer};
use dsm_host::node::{Clock, Node, NodeConfig, SubmitError};
use dsm_sdk::draft::{Draft, NewToken, Window, key_set, public_key};
use dsm_sdk::package::{Package, PolicyDocument, module_cid};
use dsm_sdk::receipt::Receipt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const START_MS: u64 = 1_900_000_000_000;
const HOUR_MS: u64 = 3_600_000;

/// A clock that the test moves.
pub(crate) struct TestClock(pub(crate) AtomicU64);

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Owner {
    pub(crate) account: AccountId,
    pub(crate) key: SecretKey,
}

impl Owner {
    pub(crate) fn new(network: NetworkId, seed: u8) -> Owner {
        let key = SecretKey::ml_dsa_65(&[seed; 32]).unwrap();
        let genesis = genesis(network, &key);
        Owner { account: genesis.account(), key }
    }

    pub(crate) fn key_id(&self) -> KeyId {
        public_key(&self.key).id()
    }
}

pub(crate) fn genesis(network: NetworkId, key: &SecretKey) -> Genesis {
    Genesis { network, keys: key_set([(public_key(key), 0)], 1), salt: [0; 32] }
}

pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) token: TokenId,
    pub(crate) alice: Owner,
    pub(crate) bob: Owner,
}

pub(crate) fn config(data: &Path, clock: Arc<TestClock>) -> NodeConfig {
    NodeConfig { clock, verifiers: 2, ..NodeConfig::new(data) }
}

/// Waits for the answer to a submission.
pub(crate) fn submit(node: &Node, bytes: Vec<u8>) -> Result<Receipt, SubmitError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    node.submit_with(bytes, move |answer| sender.send(answer).unwrap());
    receiver.recv().unwrap_or(Err(SubmitError::Stopped))
}

impl World {
    /// Alice issued a capped token under `fungible` and holds 1,000 of 1,500 units.
    pub(crate) fn new(data: &Path) -> World {
        let clock = Arc::new(TestClock(AtomicU64::new(START_MS)));
        let node = Node::open(config(data, Arc::clone(&clock))).unwrap();
        let network = node.network();
        let (alice, bob) = (Owner::new(network, 1), Owner::new(network, 2));
        let mut world = World { node, clock, token: TokenId::NONE, alice, bob };
        for owner in [&world.alice, &world.bob] {
            let draft = world.draft().open(genesis(network, &owner.key));
            world.accept(sign(draft, &[owner]));
        }
        let fungible = include_bytes!("../../../policies/dist/fungible.wasm");
        let policy = world.publish(fungible);
        let params = vec![Value::Keys(vec![world.alice.key_id()]), Value::U64(1), Value::U128(0)];
        world.token = world.create_token("TEST", vec![(policy, params)], Some(1_500));
        let token = world.token;
        let minted = world.by(&world.alice).mint(world.alice.account, token, world.alice.account, 1_000);
        world.accept(sign(minted, &[&world.alice]));
        world
    }

    pub(crate) fn draft(&self) -> Draft {
        let now = self.clock.now_ms();
        Draft::new(self.node.network(), Window { from_ms: now, until_ms: now + HOUR_MS }, [9; 32])
    }

    pub(crate) fn head(&self, owner: &Owner) -> StateId {
        self.node.read(|ledger| ledger.account(&owner.account).unwrap().head()).0
    }

    /// A draft on the owner's head.
    pub(crate) fn by(&self, owner: &Owner) -> Draft {
        self.draft().signer(owner.account, self.head(owner))
    }

    pub(crate) fn transfer(&self, amount: u128) -> Draft {
        self.by(&self.alice).transfer(self.alice.account, self.token, self.bob.account, amount)
    }

    pub(crate) fn accept(&self, signed: SignedTransition) -> Receipt {
        submit(&self.node, encode(&signed)).unwrap_or_else(|error| panic!("{}: {error}", error.code()))
    }

    pub(crate) fn package(&self, module: &[u8]) -> Package {
        let admitted = self.node.engine().admit(module).unwrap_or_else(|error| panic!("{error}"));
        let document = PolicyDocument {
            abi: dsm_abi::ABI_VERSION,
            module: module_cid(module),
            author: self.alice.key_id(),
            description: admitted.description().clone(),
            fuel_limit: 1_000_000,
            license: "MIT OR Apache-2.0".into(),
            source: "tests".into(),
        };
        Package::sign(module.to_vec(), document, &self.alice.key).unwrap()
    }

    pub(crate) fn publication(&self, package: &Package) -> OperationKind {
        let module = Digest(*blake3::hash(&package.module).as_bytes());
        OperationKind::Publish { policy: package.envelope.policy, module, author: self.alice.key_id() }
    }

    pub(crate) fn publish(&self, module: &[u8]) -> PolicyId {
        let package = self.package(module);
        let policy = self.node.stage(&encode(&package)).unwrap();
        let draft = self.by(&self.alice).operation(self.alice.account, self.publication(&package));
        self.accept(sign(draft, &[&self.alice]));
        policy
    }

    pub(crate) fn create_token(
        &self,
        symbol: &str,
        policies: Vec<(PolicyId, Vec<Value>)>,
        cap: Option<u128>,
    ) -> TokenId {
        let token = NewToken::new(self.alice.account, symbol, symbol, policies).cap(cap);
        let id = token.token();
        let draft = self.by(&self.alice).operation(self.alice.account, token.operation());
        self.accept(sign(draft, &[&self.alice]));
        id
    }

    pub(crate) fn credit(&self, owner: &Owner) -> CreditId {
        self.node.read(|ledger| ledger.inbox(owner.account, None).next().unwrap().id).0
    }

    /// Everything that a refusal must leave alone.
    pub(crate) fn fingerprint(&self) -> (Digest, Digest, Digest, u64) {
        let mut ledger = self.node.read(Ledger::clone).0;
        let (roots, _) = ledger.checkpoint(None, 0, Digest::default());
        (roots.accounts_root, roots.tokens_root, roots.credits_root, self.node.status().position)
    }
}

pub(crate) fn sign(draft: Draft, owners: &[&Owner]) -> SignedTransition {
    let signers: Vec<(AccountId, &dyn Signer, u8)> =
        owners.iter().map(|owner| (owner.account, &owner.key as &dyn Signer, 0)).collect();
    draft.sign_with(&signers).unwrap()
}

/// Signs whatever it is given, well-formed or not, with one key for the first parent.
pub(crate) fn sign_anything(transition: Transition, key: &SecretKey) -> SignedTransition {
    let body = encode(&transition);
    let message = signing_message(Suite::MlDsa65, transition.network, SignKind::Transition, &body);
    let bytes = key.sign(&message).unwrap();
    let signature = Signature { account: 0, key: 0, suite: Suite::MlDsa65, bytes };
    SignedTransition { transition, signatures: vec![signature] }
}

pub(crate) fn operation(actor: AccountId, kind: OperationKind) -> Operation {
    Operation { actor, kind }
}
