//! A core node's log without a core node: real keys, real records, a policy that nobody runs.

use dsm_abi::{AccountId, Description, Digest, Input, KeyId, NetworkId, PolicyId, StateId, encode};
use dsm_core::{
    Accepted, Checkpoint, CheckpointSignature, Entry, EquivocationProof, Genesis, Judge, Judgement, KeySet,
    Ledger, NetworkGenesis, NoVerdict, OperationKind, PublicKey, SignedCheckpoint, SignedTransition,
    StateSpace,
};
use dsm_crypto::{SecretKey, Signer, Verifier};
use dsm_sdk::draft::{Draft, Window, public_key};
use dsm_sdk::package::{Package, PolicyDocument, module_cid};
use std::collections::BTreeMap;
use std::sync::Arc;

/// When everything happens, in ms since the Unix epoch.
const NOW_MS: u64 = 1_900_000_000_000;

/// The kind byte of the core node's records.
pub(crate) const RECORD_KIND: u8 = 1;

/// Who owns an account.
pub(crate) struct Owner {
    pub(crate) account: AccountId,
    pub(crate) key: SecretKey,
}

/// Writes records as a core node would.
pub(crate) struct Chronicle {
    pub(crate) node: SecretKey,
    pub(crate) genesis: NetworkGenesis,
    pub(crate) ledger: Ledger,
    pub(crate) owners: Vec<Owner>,
    /// The payloads written so far; the first has position 1.
    pub(crate) records: Vec<Vec<u8>>,
    /// The chain digest through each of them.
    pub(crate) digests: Vec<[u8; 32]>,
    pub(crate) packages: BTreeMap<PolicyId, Vec<u8>>,
    last: Option<Checkpoint>,
    entropy: u64,
    now_ms: u64,
}

/// Knows packages; is never asked to judge.
struct Shelf<'a>(&'a BTreeMap<PolicyId, Vec<u8>>);

impl Judge for Shelf<'_> {
    fn describe(&self, policy: &PolicyId) -> Option<(Digest, KeyId, Arc<Description>)> {
        let package = Package::decode(self.0.get(policy)?).ok()?;
        let document = PolicyDocument::decode(&package.document).ok()?;
        let module = Digest(*blake3::hash(&package.module).as_bytes());
        Some((module, document.author, Arc::new(document.description)))
    }

    fn judge(
        &mut self,
        _: &PolicyId,
        _: &Input,
        _: &Arc<StateSpace>,
        _: &[Arc<StateSpace>],
    ) -> Result<Judgement, NoVerdict> {
        Err(NoVerdict("no token is created here".into()))
    }
}

impl Chronicle {
    /// A network of its own for each `seed`, with its genesis written.
    pub(crate) fn new(seed: u8) -> Chronicle {
        let node = SecretKey::ed25519_ml_dsa_65(&[seed; 32], &[seed ^ 0xff; 32]).unwrap();
        let genesis = NetworkGenesis {
            name: "chronicle".into(),
            created_ms: NOW_MS,
            node: public_key(&node),
            salt: [seed; 32],
        };
        let ledger = Ledger::new(&genesis);
        let mut chronicle = Chronicle {
            node,
            ledger,
            owners: Vec::new(),
            records: Vec::new(),
            digests: Vec::new(),
            packages: BTreeMap::new(),
            last: None,
            entropy: 0,
            now_ms: NOW_MS,
            genesis,
        };
        chronicle.push(&Entry::Genesis(chronicle.genesis.clone()));
        chronicle
    }

    /// The same history once more, to be continued otherwise.
    pub(crate) fn fork(&self) -> Chronicle {
        let again =
            |key: &SecretKey| SecretKey::from_secret_bytes(key.suite(), &key.to_secret_bytes()).unwrap();
        let owners = self.owners.iter();
        Chronicle {
            node: again(&self.node),
            genesis: self.genesis.clone(),
            ledger: self.ledger.clone(),
            owners: owners.map(|owner| Owner { account: owner.account, key: again(&owner.key) }).collect(),
            records: self.records.clone(),
            digests: self.digests.clone(),
            packages: self.packages.clone(),
            last: self.last.clone(),
            entropy: self.entropy,
            now_ms: self.now_ms,
        }
    }

    pub(crate) fn network(&self) -> NetworkId {
        self.genesis.network()
    }

    pub(crate) fn node_key(&self) -> PublicKey {
        self.genesis.node.clone()
    }

    /// The last position and the chain digest through it.
    pub(crate) fn head(&self) -> (u64, [u8; 32]) {
        (self.records.len() as u64, self.digests.last().copied().unwrap_or_default())
    }

    /// Writes an entry, true or not.
    pub(crate) fn push(&mut self, entry: &Entry) {
        self.push_bytes(encode(entry));
    }

    /// Writes bytes, sensible or not.
    pub(crate) fn push_bytes(&mut self, payload: Vec<u8>) {
        let (head, prev) = self.head();
        let mut hashed = prev.to_vec();
        hashed.extend_from_slice(&(head + 1).to_le_bytes());
        hashed.push(RECORD_KIND);
        hashed.extend_from_slice(blake3::hash(&payload).as_bytes());
        self.digests.push(dsm_core::hash("log", &[&hashed]).0);
        self.records.push(payload);
    }

    pub(crate) fn draft(&mut self) -> Draft {
        self.entropy += 1;
        let mut entropy = [0; 32];
        entropy[..8].copy_from_slice(&self.entropy.to_le_bytes());
        Draft::new(self.network(), Window::around(self.now_ms), entropy)
    }

    /// What the node records for a transition that it accepts.
    pub(crate) fn accept(&mut self, signed: SignedTransition) -> Accepted {
        let verified = signed.verify(self.network(), &self.ledger, &Verifier::new()).unwrap();
        let approved = self.ledger.judge(verified, self.now_ms, &mut Shelf(&self.packages)).unwrap();
        let changes = self.ledger.settle(approved).unwrap();
        Accepted::from(self.ledger.commit(changes))
    }

    fn write(&mut self, signed: SignedTransition) {
        let accepted = self.accept(signed);
        self.push(&Entry::Accepted(Box::new(accepted)));
    }

    /// A new account with a key of its own; its number.
    pub(crate) fn open(&mut self) -> usize {
        let number = self.owners.len();
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let key = SecretKey::ml_dsa_65(&seed).unwrap();
        let keys = KeySet::single(public_key(&key));
        let genesis = Genesis { network: self.network(), keys, salt: [0; 32] };
        let account = genesis.account();
        let signed = self.draft().open(genesis).sign_with(&[(account, &key, 0)]).unwrap();
        self.write(signed);
        self.owners.push(Owner { account, key });
        number
    }

    /// The head of an account.
    pub(crate) fn state(&self, number: usize) -> StateId {
        self.ledger.account(&self.owners[number].account).unwrap().head()
    }

    /// A signed transition of an account that does one thing, not written.
    pub(crate) fn signed(&mut self, number: usize, kind: OperationKind) -> SignedTransition {
        let head = self.state(number);
        let draft = self.draft();
        let owner = &self.owners[number];
        let draft = draft.signer(owner.account, head).operation(owner.account, kind);
        draft.sign_with(&[(owner.account, &owner.key, 0)]).unwrap()
    }

    /// Gives an account another key.
    pub(crate) fn rotate(&mut self, number: usize) {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&self.entropy.to_le_bytes());
        let key = SecretKey::ml_dsa_65(&seed).unwrap();
        let kind = OperationKind::RotateKeys { keys: KeySet::single(public_key(&key)) };
        let signed = self.signed(number, kind);
        self.write(signed);
        self.owners[number].key = key;
    }

    /// Publishes a policy of `module_bytes` bytes; the package's digest.
    pub(crate) fn publish(&mut self, number: usize, module_bytes: usize) -> [u8; 32] {
        let module: Vec<u8> = (0..module_bytes).map(|nth| (nth as u64 + self.entropy) as u8).collect();
        let owner = &self.owners[number];
        let author = public_key(&owner.key).id();
        let document = PolicyDocument {
            abi: dsm_abi::ABI_VERSION,
            module: module_cid(&module),
            author,
            description: Description {
                abi: dsm_abi::ABI_VERSION,
                name: format!("policy-{}", self.packages.len()),
                version: "1.0.0".into(),
                summary: "Accepts nothing, for nobody asks it.".into(),
                params: vec![],
                methods: vec![],
                queries: vec![],
                denials: vec![],
                evidence: vec![],
                foreign_reads: vec![],
            },
            fuel_limit: 1,
            license: "MIT".into(),
            source: String::new(),
        };
        let digest = Digest(*blake3::hash(&module).as_bytes());
        let package = Package::sign(module, document, &owner.key).unwrap();
        let policy = package.envelope.policy;
        let bytes = encode(&package);
        let blob = *blake3::hash(&bytes).as_bytes();
        self.packages.insert(policy, bytes);
        let signed = self.signed(number, OperationKind::Publish { policy, module: digest, author });
        self.write(signed);
        blob
    }

    /// A checkpoint over everything so far, signed by `key`.
    pub(crate) fn signed_checkpoint(&mut self, key: &SecretKey) -> SignedCheckpoint {
        let (position, digest) = self.head();
        let (checkpoint, _) = self.ledger.checkpoint(self.last.as_ref(), position, Digest(digest));
        let bytes = key.sign(&checkpoint.signing_message(key.suite())).unwrap();
        let signatures = vec![CheckpointSignature { key: public_key(key), bytes }];
        SignedCheckpoint { checkpoint, signatures }
    }

    /// The checkpoint that [`Chronicle::checkpoint`] would write, in canonical bytes.
    pub(crate) fn node_checkpoint(&mut self) -> Vec<u8> {
        let key = self.node_secret();
        encode(&self.signed_checkpoint(&key))
    }

    /// The core node's key once more.
    fn node_secret(&self) -> SecretKey {
        SecretKey::from_secret_bytes(self.node.suite(), &self.node.to_secret_bytes()).unwrap()
    }

    /// Time goes by.
    pub(crate) fn pass_days(&mut self, days: u64) {
        self.now_ms += days * 24 * 3600 * 1000;
    }

    /// Writes a checkpoint; its position.
    pub(crate) fn checkpoint(&mut self) -> u64 {
        let key = self.node_secret();
        let signed = self.signed_checkpoint(&key);
        self.last = Some(signed.checkpoint.clone());
        self.push(&Entry::Checkpoint(Box::new(signed)));
        self.head().0
    }

    /// Proof that an account signed two successors of its head. Nothing is written.
    pub(crate) fn equivocation(&mut self, number: usize) -> EquivocationProof {
        let binding = |until_ms| OperationKind::Precommit { shape: Digest([1; 32]), until_ms };
        let (first, second) =
            (self.signed(number, binding(NOW_MS + 1)), self.signed(number, binding(NOW_MS + 2)));
        let account = self.ledger.account(&self.owners[number].account).unwrap();
        EquivocationProof { parent: account.state().clone(), keys: (**account.keys()).clone(), first, second }
    }

    /// Writes `count` records: mostly new accounts, some new keys, now and then a checkpoint.
    pub(crate) fn write_some(&mut self, count: u64) {
        let until = self.head().0 + count;
        while self.head().0 < until {
            match self.head().0 % 8 {
                5 if !self.owners.is_empty() => self.rotate(0),
                7 => {
                    self.checkpoint();
                }
                _ => {
                    self.open();
                }
            }
        }
    }
}
