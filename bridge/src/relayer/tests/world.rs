//! Two scripted chains with the rules that matter: seals, nonces, mempool and receipts here, parents, evidence and the
//! outbox there. Whatever must never happen twice is counted.

use crate::attest::{AttestError, AttestationRequest, Attestor, Attestors, Outbox};
use crate::config::AttestorConfig;
use crate::contract;
use crate::dsm::{Accepted, Dsm, DsmError, LockUse};
use crate::evm::{
    Address, Call, ContractView, Evm, EvmError, Fees, Header, LockHint, Shown, Source, Spent, TxReceipt, Word,
};
use crate::prove::{Recover, Trust};
use crate::relayer::{Gas, Progress, Relayer, RelayerParts};
use crate::state::{Faults, StateError, Store};
use crate::writer::Writer;
use dsm_abi::{AccountId, Digest, NetworkId, StateId, TokenId, TransitionId};
use dsm_core::{
    BridgeConfig, BridgeState, Checkpoint, CheckpointSignature, Conviction, EvidenceProof, Finality,
    OperationKind, PublicKey, SignedCheckpoint, SignedTransition,
};
use dsm_crypto::{Secp256k1Key, SecretKey, Signer as _};
use dsm_evm_proof::{
    EMPTY_OMMERS, Entry, ExtraData, Lock, LockKind, OutboxTree, Payload, QbftHeader, Refund, Release,
    ReleaseKind, keccak256, lock_storage_key, rlp, verify_inclusion,
};
use dsm_sdk::draft::public_key;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const CHAIN: u64 = 138;
const CONTRACT: Address = [0xcc; 20];
const TOKEN: Word = [0x70; 32];
const NETWORK: NetworkId = NetworkId([0x4e; 32]);
/// The time at which every world begins, in ms.
const BEGINNING_MS: u64 = 1_800_000_000_000;

/// A test key of the EVM chain.
pub(super) fn key(number: u8) -> Secp256k1Key {
    let mut bytes = [0; 32];
    bytes[31] = number;
    Secp256k1Key::from_secret_bytes(&bytes).unwrap()
}

fn addresses(numbers: &[u8]) -> Vec<Address> {
    numbers.iter().map(|number| key(*number).address()).collect()
}

struct Block {
    rlp: Vec<u8>,
    hash: Word,
    time_s: u64,
    /// Locks that exist at this block.
    locks: Vec<Lock>,
}

struct Tx {
    nonce: u64,
    fee: u128,
    data: Vec<u8>,
    hash: Word,
    from: Address,
}

struct State {
    sealed: bool,
    now_ms: u64,
    node: SecretKey,
    // EVM
    blocks: Vec<Block>,
    set: Vec<u8>,
    locks: Vec<Lock>,
    invented: BTreeMap<u64, Lock>,
    counted: u64,
    view: ContractView,
    spent: BTreeMap<u64, Option<u64>>,
    paid: BTreeMap<u64, u32>,
    pool: Vec<Tx>,
    nonces: BTreeMap<Address, u64>,
    receipts: BTreeMap<Word, TxReceipt>,
    price: u128,
    take_from: u128,
    queue_above: u128,
    distrusted: Vec<String>,
    twin: Option<(u64, Vec<u8>, Word)>,
    // DSM
    bridge: Option<BridgeState>,
    accounts: BTreeMap<AccountId, (StateId, u64)>,
    seen: BTreeMap<TransitionId, u64>,
    uses: BTreeMap<u64, LockUse>,
    credited: BTreeMap<u64, u32>,
    refunded: BTreeMap<u64, u32>,
    refuse_credits: bool,
    entries: Vec<Entry>,
    tree: OutboxTree,
    epoch: u64,
    checkpointed: u64,
}

/// Both chains.
#[derive(Clone)]
pub(super) struct World {
    terms: BridgeConfig,
    state: Arc<Mutex<State>>,
}

impl World {
    /// A chain whose blocks are sealed by the validators 1 to 4.
    pub(super) fn sealed() -> World {
        let validators = addresses(&[1, 2, 3, 4]);
        World::new(Finality::Qbft { validators, height: 0, trusting_period_s: 0, clock_drift_s: 60 })
    }

    /// A chain whose blocks one key attests.
    pub(super) fn attested() -> World {
        let keys = vec![public_key(&SecretKey::ml_dsa_65(&[9; 32]).unwrap())];
        World::new(Finality::Attested { keys, threshold: 1 })
    }

    fn new(finality: Finality) -> World {
        let sealed = !matches!(finality, Finality::Attested { .. });
        let terms = BridgeConfig {
            network: NETWORK,
            chain_id: CHAIN,
            contract: CONTRACT,
            outbox_slot: [0; 32],
            finality,
            salt: [0; 32],
        };
        let state = State {
            sealed,
            now_ms: BEGINNING_MS,
            node: SecretKey::ml_dsa_65(&[7; 32]).unwrap(),
            blocks: Vec::new(),
            set: vec![1, 2, 3, 4],
            locks: Vec::new(),
            invented: BTreeMap::new(),
            counted: 0,
            view: ContractView { set_id: 1, threshold: 1, ..ContractView::default() },
            spent: BTreeMap::new(),
            paid: BTreeMap::new(),
            pool: Vec::new(),
            nonces: BTreeMap::new(),
            receipts: BTreeMap::new(),
            price: 1_000,
            take_from: 0,
            queue_above: u128::MAX,
            distrusted: Vec::new(),
            twin: None,
            bridge: None,
            accounts: BTreeMap::new(),
            seen: BTreeMap::new(),
            uses: BTreeMap::new(),
            credited: BTreeMap::new(),
            refunded: BTreeMap::new(),
            refuse_credits: false,
            entries: Vec::new(),
            tree: OutboxTree::new(),
            epoch: 0,
            checkpointed: 0,
        };
        let world = World { terms, state: Arc::new(Mutex::new(state)) };
        world.mine();
        world
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.state.lock().now_ms
    }

    pub(super) fn now_s(&self) -> u64 {
        self.now_ms() / 1000
    }

    pub(super) fn wait(&self, ms: u64) {
        self.state.lock().now_ms += ms;
    }

    pub(super) fn lock(&self, amount: u128, deadline_s: u64) {
        let mut state = self.state.lock();
        let lock = Lock {
            nonce: state.locks.len() as u64,
            kind: LockKind::Native,
            asset: [0; 20],
            sender: [0x5e; 20],
            token: TOKEN,
            recipient: [0xac; 32],
            amount,
            deadline_s,
        };
        state.locks.push(lock);
    }

    /// From now on an endpoint tells of this lock, once, whatever the contract has.
    pub(super) fn invent(&self, nonce: u64, amount: u128) {
        let lock = Lock {
            nonce,
            kind: LockKind::Native,
            asset: [0; 20],
            sender: [0x66; 20],
            token: TOKEN,
            recipient: [0x66; 32],
            amount,
            deadline_s: self.now_s() + 7200,
        };
        self.state.lock().invented.insert(nonce, lock);
    }

    pub(super) fn count_locks(&self, count: u64) {
        self.state.lock().counted = count;
    }

    pub(super) fn withdraw(&self, amount: u128) {
        let payload = Payload::Release(Release {
            chain_id: CHAIN,
            bridge: CONTRACT,
            kind: ReleaseKind::Native,
            asset: [0; 20],
            to: [0x70; 20],
            amount,
        });
        self.state.lock().emit(payload.encode());
    }

    /// A block with whatever the pool offers, sealed by three of the validators.
    pub(super) fn mine(&self) {
        self.state.lock().mine(3);
    }

    pub(super) fn mine_sealed_by(&self, seals: usize) {
        self.state.lock().mine(seals);
    }

    pub(super) fn validators(&self, set: &[u8]) {
        self.state.lock().set = set.to_vec();
    }

    /// The validators seal another block of this height.
    pub(super) fn twin(&self, height: u64) {
        let mut state = self.state.lock();
        let (rlp, hash) = state.seal(height, [0x77; 32], 3);
        state.twin = Some((height, rlp, hash));
    }

    /// The chain from a height on is replaced by other blocks.
    pub(super) fn reorganise(&self, height: u64, change: impl FnOnce(&World)) {
        let blocks = {
            let mut state = self.state.lock();
            let before = state.blocks.len();
            state.blocks.truncate(height as usize);
            state.locks = state.blocks.last().map_or(Vec::new(), |block| block.locks.clone());
            before
        };
        change(self);
        self.wait(1_000);
        let mut state = self.state.lock();
        while state.blocks.len() <= blocks {
            state.mine(3);
        }
    }

    pub(super) fn refuse_credits(&self, refuse: bool) {
        self.state.lock().refuse_credits = refuse;
    }

    pub(super) fn price(&self, price: u128) {
        self.state.lock().price = price;
    }

    /// Nothing that pays less is mined.
    pub(super) fn take_from(&self, price: u128) {
        self.state.lock().take_from = price;
    }

    pub(super) fn queue_above(&self, amount: u128) {
        self.state.lock().queue_above = amount;
    }

    pub(super) fn foreign_transaction(&self, from: &Address) {
        let mut state = self.state.lock();
        *state.nonces.entry(*from).or_default() += 1;
        let nonce = state.nonces[from];
        state.pool.retain(|tx| tx.from != *from || tx.nonce >= nonce);
    }

    pub(super) fn credited(&self) -> Vec<(u64, u32)> {
        self.state.lock().credited.clone().into_iter().collect()
    }

    pub(super) fn refunded(&self) -> Vec<(u64, u32)> {
        self.state.lock().refunded.clone().into_iter().collect()
    }

    pub(super) fn paid(&self) -> Vec<(u64, u32)> {
        self.state.lock().paid.clone().into_iter().collect()
    }

    pub(super) fn distrusted(&self) -> Vec<String> {
        self.state.lock().distrusted.clone()
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.state.lock().bridge.as_ref().is_some_and(|bridge| bridge.frozen.is_some())
    }

    /// A checkpoint of the outbox as it is.
    pub(super) fn checkpoint(&self) -> SignedCheckpoint {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.checkpointed = state.tree.size();
        state.signed(|_| {})
    }

    /// The next checkpoint, changed before the network's key signs it.
    pub(super) fn signed(&self, change: impl FnOnce(&mut Checkpoint)) -> SignedCheckpoint {
        let state = self.state.lock();
        state.signed(|checkpoint| {
            checkpoint.epoch += 1;
            change(checkpoint);
        })
    }

    pub(super) fn signed_by_stranger(&self) -> SignedCheckpoint {
        let stranger = SecretKey::ml_dsa_65(&[8; 32]).unwrap();
        let mut signed = self.signed(|_| {});
        let message = signed.checkpoint.signing_message(stranger.suite());
        let bytes = stranger.sign(&message).unwrap();
        signed.signatures = vec![CheckpointSignature { key: public_key(&stranger), bytes }];
        signed
    }

    pub(super) fn altered(&self) -> SignedCheckpoint {
        let mut signed = self.signed(|_| {});
        signed.checkpoint.outbox_root.0[0] ^= 1;
        signed
    }

    /// An attestor whose state is in this folder.
    pub(super) fn attestor(&self, folder: &Path) -> Attestor {
        let store = Arc::new(Store::open(&folder.join("attestor.redb")).unwrap());
        let world = Arc::new(self.clone());
        let outbox = Outbox::open(world.clone(), Arc::clone(&store), self.terms.clone()).unwrap();
        Attestor {
            config: AttestorConfig { index: 0, ecdsa: key(50), slh_dsa: None, blocks: None },
            terms: self.terms.clone(),
            evm: world.clone(),
            dsm: world,
            store,
            outbox: Arc::new(outbox),
            last: Mutex::default(),
            node_key: Mutex::default(),
        }
    }
}

impl State {
    fn seal(&self, height: u64, state_root: Word, seals: usize) -> (Vec<u8>, Word) {
        let time_s = self.now_ms / 1000;
        let header = dsm_evm_proof::Header {
            parent_hash: height.checked_sub(1).map_or([0; 32], |parent| self.blocks[parent as usize].hash),
            ommers_hash: EMPTY_OMMERS,
            beneficiary: [0; 20],
            state_root,
            transactions_root: [0; 32],
            receipts_root: [0; 32],
            logs_bloom: Box::new([0; 256]),
            difficulty: 1,
            number: height,
            gas_limit: 30_000_000,
            gas_used: 0,
            timestamp: time_s,
            extra_data: Vec::new(),
            mix_hash: [0; 32],
            nonce: [0; 8],
            base_fee: None,
            withdrawals_root: None,
            blob_gas: None,
            parent_beacon_root: None,
            requests_hash: None,
        };
        if !self.sealed {
            return (header.encode(), header.hash());
        }
        let validators = addresses(&self.set);
        let extra = ExtraData { vanity: [0; 32], validators, vote: None, round: 0, seals: Vec::new() };
        let header = QbftHeader::build(header, extra);
        let signers = self.set.iter().take(seals);
        let seals = signers.map(|number| key(*number).sign_prehash(&header.commit_hash())).collect();
        let header = header.with_seals(seals);
        (header.encode(), header.block_hash())
    }

    fn mine(&mut self, seals: usize) {
        let height = self.blocks.len() as u64;
        self.run_pool(height);
        self.view.outbox_size = (self.locks.len() as u64).max(self.counted);
        self.now_ms += 1_000;
        let mut root = keccak256(&[&dsm_abi::encode(&self.locks), &height.to_le_bytes()]);
        root[0] = 1;
        let (rlp, hash) = self.seal(height, root, seals);
        let block = Block { rlp, hash, time_s: self.now_ms / 1000, locks: self.locks.clone() };
        self.blocks.push(block);
    }

    fn run_pool(&mut self, height: u64) {
        self.pool.sort_by_key(|tx| tx.nonce);
        let mut left = Vec::new();
        for tx in std::mem::take(&mut self.pool) {
            let nonce = self.nonces.entry(tx.from).or_default();
            if tx.nonce != *nonce || tx.fee < self.take_from {
                if tx.nonce >= *nonce {
                    left.push(tx);
                }
                continue;
            }
            *nonce += 1;
            let success = self.call(&tx.data, true).is_ok();
            self.receipts.insert(tx.hash, TxReceipt { block: height, success, gas: 50_000 });
        }
        self.pool = left;
    }

    /// The contract.
    fn call(&mut self, data: &[u8], change: bool) -> Result<(), &'static str> {
        let selector = |signature: &str| contract::topic(signature)[..4].to_vec();
        let words = contract::words(&data[4..]).unwrap();
        let number = |at: usize| contract::read_u64(&words[at]).unwrap();
        let kind = data[..4].to_vec();
        if kind == selector("executeQueued(uint64)") {
            let index = number(0);
            let ready = self.spent.get(&index).copied().flatten().ok_or("NotQueued")?;
            if self.now_ms / 1000 < ready {
                return Err("TooEarly");
            }
            if change {
                self.spent.insert(index, None);
                *self.paid.entry(index).or_default() += 1;
            }
            return Ok(());
        }
        if kind == selector("submitCheckpoint((uint64,uint64,bytes32,uint64,bytes32,uint64),bytes)") {
            let (epoch, size) = (number(0), number(1));
            if epoch <= self.view.epoch || size < self.view.size {
                return Err("EpochNotRising");
            }
            assert_eq!(self.tree.root(size).unwrap(), words[2], "a root that is not DSM's");
            if change {
                (self.view.epoch, self.view.size, self.view.root) = (epoch, size, words[2]);
            }
            return Ok(());
        }
        let is_release = kind
            == selector(
                "release((uint64,bytes32,bytes32,bytes32),(uint8,address,address,uint256),bytes32[],uint64)",
            );
        // Four words of the leaf, then the release's four or the lock's eight, the offset, the epoch, the proof.
        let at = if is_release { 8 } else { 12 };
        let index = number(0);
        let entry = &self.entries[index as usize];
        let proof = &words[at + 3..at + 3 + number(at + 2) as usize];
        assert_eq!(number(at), 32 * (at as u64 + 2), "the offset leads to the proof");
        if number(at + 1) != self.view.epoch {
            return Err("UnknownEpoch");
        }
        if self.spent.contains_key(&index) {
            return Err("LeafSpent");
        }
        verify_inclusion(&entry.leaf(), index, self.view.size, proof, &self.view.root)
            .map_err(|_| "BadProof")?;
        let large = match Payload::decode(&entry.payload).unwrap() {
            Payload::Release(release) => release.amount > self.queue_above,
            Payload::Refund(refund) => {
                assert_eq!(number(4), refund.nonce, "the lock that the leaf names");
                false
            }
        };
        if change {
            let ready = large.then_some(self.now_ms / 1000 + 3600);
            self.spent.insert(index, ready);
            if !large {
                *self.paid.entry(index).or_default() += 1;
            }
        }
        Ok(())
    }

    fn emit(&mut self, payload: Vec<u8>) {
        let index = self.tree.size();
        let entry = Entry {
            network: NETWORK.0,
            index,
            lane: 1,
            token: TOKEN,
            actor: [0xac; 32],
            transition: keccak256(&[&index.to_le_bytes()]),
            payload,
        };
        self.tree.append(entry.leaf());
        self.entries.push(entry);
    }

    fn signed(&self, change: impl FnOnce(&mut Checkpoint)) -> SignedCheckpoint {
        let zero = Digest([0; 32]);
        let mut checkpoint = Checkpoint {
            network: NETWORK,
            epoch: self.epoch,
            log_position: 100 + self.epoch,
            log_digest: zero,
            accounts_root: zero,
            tokens_root: zero,
            credits_root: zero,
            bridges_root: zero,
            outbox_root: Digest(self.tree.root(self.checkpointed.max(self.tree.size())).unwrap()),
            outbox_size: self.checkpointed.max(self.tree.size()),
            from_ms: 0,
            to_ms: 0,
            parent: zero,
        };
        change(&mut checkpoint);
        let bytes = self.node.sign(&checkpoint.signing_message(self.node.suite())).unwrap();
        let signatures = vec![CheckpointSignature { key: public_key(&self.node), bytes }];
        SignedCheckpoint { checkpoint, signatures }
    }

    fn header(&self, height: u64) -> Result<Header, EvmError> {
        let missing = || EvmError::NoAnswer(format!("no block {height}"));
        let block = self.blocks.get(height as usize).ok_or_else(missing)?;
        let (mut rlp, mut hash) = (block.rlp.clone(), block.hash);
        if let Some((at, other, other_hash)) = &self.twin
            && *at == height
        {
            (rlp, hash) = (other.clone(), *other_hash);
        }
        let decoded = dsm_evm_proof::Header::decode(&rlp).unwrap();
        Ok(Header {
            number: height,
            hash,
            parent: decoded.parent_hash,
            state_root: decoded.state_root,
            time_s: block.time_s,
            base_fee: None,
            rlp,
            source: Source(0),
        })
    }

    fn apply(&mut self, terms: &BridgeConfig, signed: &SignedTransition) -> Result<(), DsmError> {
        let refused = |code: &str| DsmError::Refused { code: code.to_owned(), detail: String::new() };
        let now_s = self.now_ms / 1000;
        for operation in &signed.transition.operations {
            match &operation.kind {
                OperationKind::CreateAccount { .. } => {}
                OperationKind::OpenBridge { config } => {
                    if self.bridge.is_some() {
                        return Err(refused("bridge_exists"));
                    }
                    let validators = match &config.finality {
                        Finality::Qbft { validators, .. } => validators.clone(),
                        _ => Vec::new(),
                    };
                    self.bridge = Some(BridgeState {
                        config: config.clone(),
                        validators,
                        height: 0,
                        trusted_ms: self.now_ms,
                        frozen: None,
                    });
                }
                OperationKind::AdvanceBridge { headers, .. } => {
                    for advance in headers {
                        let bridge = self.bridge.as_mut().unwrap();
                        let Trust::Sealed { rules, set } = Trust::of(bridge).unwrap() else {
                            panic!("no seals")
                        };
                        let set = set
                            .verify_advance(&rules, advance, now_s + 60, &Recover)
                            .map_err(|error| refused(error.code()))?;
                        bridge.validators = set.validators().to_vec();
                        bridge.height = set.height();
                    }
                }
                OperationKind::ConvictBridge { a, b, .. } => {
                    let bridge = self.bridge.as_mut().unwrap();
                    let Trust::Sealed { rules, set } = Trust::of(bridge).unwrap() else { panic!("no seals") };
                    let judge = |rlp: &[u8]| {
                        set.verify_seals(&rules, QbftHeader::decode(rlp).unwrap(), &Recover).unwrap()
                    };
                    let found = judge(&a.header).convict(&judge(&b.header)).unwrap();
                    let transition = signed.transition.id();
                    bridge.frozen = Some(Conviction {
                        height: found.height,
                        a: found.blocks[0],
                        b: found.blocks[1],
                        transition,
                    });
                }
                OperationKind::Mint { amount, .. } => {
                    let proof = self.evidence(terms, signed)?;
                    if self.now_ms >= proof.deadline_s * 1000 {
                        return Err(refused("lock_past_deadline"));
                    }
                    assert_eq!(*amount, proof.amount);
                    self.use_lock(&proof, true, signed)?;
                    *self.credited.entry(proof.nonce).or_default() += 1;
                }
                OperationKind::Invoke { method, .. } => {
                    assert_eq!(method, "refund");
                    let proof = self.evidence(terms, signed)?;
                    if self.now_ms < proof.deadline_s * 1000 {
                        return Err(refused("lock_not_due"));
                    }
                    self.use_lock(&proof, false, signed)?;
                    *self.refunded.entry(proof.nonce).or_default() += 1;
                    let commitment = proof.commitment(CHAIN, &CONTRACT);
                    let refund = Refund { chain_id: CHAIN, bridge: CONTRACT, nonce: proof.nonce, commitment };
                    self.emit(Payload::Refund(refund).encode());
                }
                other => panic!("the relayer does not do {other:?}"),
            }
        }
        Ok(())
    }

    /// What DSM demands of a proof, short of the nodes: seals of the trusted set, and a lock that the block has.
    fn evidence(&self, terms: &BridgeConfig, signed: &SignedTransition) -> Result<Lock, DsmError> {
        let [EvidenceProof::Bridge { bridge, proof }] = signed.transition.evidence.as_slice() else {
            panic!("one proof a transition")
        };
        assert_eq!(*bridge, terms.id());
        let refused = |code: &str| DsmError::Refused { code: code.to_owned(), detail: String::new() };
        let state = self.bridge.as_ref().unwrap();
        if state.frozen.is_some() {
            return Err(refused("bridge_frozen"));
        }
        if let Trust::Sealed { rules, set } = Trust::of(state).unwrap() {
            let header = QbftHeader::decode(&proof.header).unwrap();
            set.verify_header(&rules, header, self.now_ms / 1000 + 60, &Recover)
                .map_err(|error| refused(error.code()))?;
        } else {
            assert_eq!(proof.attestations.len(), 1);
        }
        let block = self.blocks.iter().find(|block| block.rlp == proof.header);
        let block = block.expect("nothing is credited from a block that the chain does not have");
        assert!(block.locks.contains(&proof.lock), "nothing is credited that is not locked");
        Ok(proof.lock)
    }

    fn use_lock(&mut self, lock: &Lock, credited: bool, signed: &SignedTransition) -> Result<(), DsmError> {
        let code = match self.uses.contains_key(&lock.nonce) {
            true => "evidence_consumed",
            false if self.refuse_credits => "bridge_moved",
            false => {
                let transition = signed.transition.id().0;
                self.uses.insert(lock.nonce, LockUse { credited, transition });
                return Ok(());
            }
        };
        Err(DsmError::Refused { code: code.to_owned(), detail: String::new() })
    }
}

impl Evm for World {
    fn sources(&self) -> usize {
        1
    }

    fn distrust(&self, _: Source, reason: &str) {
        self.state.lock().distrusted.push(reason.to_owned());
    }

    fn newest(&self) -> Result<Header, EvmError> {
        let state = self.state.lock();
        state.header(state.blocks.len() as u64 - 1)
    }

    fn header(&self, number: u64) -> Result<Header, EvmError> {
        self.state.lock().header(number)
    }

    fn lock_hint(&self, nonce: u64, _: u64) -> Result<Option<LockHint>, EvmError> {
        let mut state = self.state.lock();
        let invented = state.invented.remove(&nonce);
        let lock = invented.or_else(|| state.locks.get(nonce as usize).copied());
        let block =
            state.blocks.iter().position(|block| block.locks.len() as u64 > nonce).unwrap_or(0) as u64;
        Ok(lock.map(|lock| LockHint { lock, block, transaction: [0; 32], source: Source(0) }))
    }

    fn prove(&self, header: &Header, address: Address, slot: Word) -> Result<Shown, EvmError> {
        assert_eq!(address, CONTRACT);
        let state = self.state.lock();
        let block = state.blocks.iter().find(|block| block.hash == header.hash);
        let block = block.ok_or_else(|| EvmError::NoAnswer("no such state".to_owned()))?;
        let lock = block.locks.iter().find(|lock| lock_storage_key(lock.nonce, &[0; 32]) == slot);
        Ok(match lock {
            None => Shown::Absent,
            Some(lock) => Shown::Present {
                value: lock.commitment(CHAIN, &CONTRACT),
                account: Vec::new(),
                storage: Vec::new(),
                source: Source(0),
            },
        })
    }

    fn contract(&self) -> Result<ContractView, EvmError> {
        Ok(self.state.lock().view)
    }

    fn spent(&self, index: u64) -> Result<Spent, EvmError> {
        Ok(match self.state.lock().spent.get(&index) {
            None => Spent::No,
            Some(None) => Spent::Yes,
            Some(Some(ready_s)) => Spent::Queued { ready_s: *ready_s },
        })
    }

    fn fees(&self) -> Result<Fees, EvmError> {
        Ok(Fees { max: self.state.lock().price, tip: None })
    }

    fn account_nonce(&self, address: Address) -> Result<u64, EvmError> {
        Ok(self.state.lock().nonces.get(&address).copied().unwrap_or(0))
    }

    fn estimate(&self, _: Address, call: &Call) -> Result<u64, EvmError> {
        let outcome = self.state.lock().call(&call.data, false);
        outcome.map(|()| 60_000).map_err(|reason| EvmError::Reverted(reason.to_owned()))
    }

    fn send(&self, raw: &[u8]) -> Result<(), EvmError> {
        let mut state = self.state.lock();
        let mut items = rlp::list(raw).unwrap();
        let (nonce, fee) = (items.u64().unwrap(), items.u128().unwrap());
        let _gas = items.u64().unwrap();
        assert_eq!(items.address().unwrap(), CONTRACT);
        let _value = items.u128().unwrap();
        let data = items.bytes().unwrap().to_vec();
        let v = items.u64().unwrap();
        let (r, s) = (items.word().unwrap(), items.word().unwrap());
        let unsigned = rlp::write_list(|fields| {
            fields.number(nonce.into()).number(fee).number(75_000).bytes(&CONTRACT).number(0).bytes(&data);
            fields.number(CHAIN.into()).number(0).number(0);
        });
        let mut signature = [0; 65];
        signature[..32].copy_from_slice(&r);
        signature[32..64].copy_from_slice(&s);
        signature[64] = (v - 35 - 2 * CHAIN) as u8;
        let from = dsm_crypto::recover_address(&keccak256(&[&unsigned]), &signature).unwrap();
        if nonce < state.nonces.get(&from).copied().unwrap_or(0) {
            return Err(EvmError::NotTaken("nonce too low".to_owned()));
        }
        if let Some(old) = state.pool.iter().position(|tx| tx.from == from && tx.nonce == nonce) {
            if fee * 8 < state.pool[old].fee * 9 {
                return Err(EvmError::NotTaken("replacement transaction underpriced".to_owned()));
            }
            state.pool.remove(old);
        }
        state.pool.push(Tx { nonce, fee, data, hash: keccak256(&[raw]), from });
        Ok(())
    }

    fn receipt(&self, hash: Word) -> Result<Option<TxReceipt>, EvmError> {
        Ok(self.state.lock().receipts.get(&hash).copied())
    }
}

impl Dsm for World {
    fn node_key(&self) -> Result<PublicKey, DsmError> {
        Ok(public_key(&self.state.lock().node))
    }

    fn bridge(&self) -> Result<Option<BridgeState>, DsmError> {
        Ok(self.state.lock().bridge.clone())
    }

    fn lock_use(&self, nonce: u64) -> Result<Option<LockUse>, DsmError> {
        Ok(self.state.lock().uses.get(&nonce).copied())
    }

    fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, DsmError> {
        let state = self.state.lock();
        if state.epoch == 0 {
            return Ok(None);
        }
        let size = state.checkpointed;
        Ok(Some(state.signed(|checkpoint| {
            checkpoint.outbox_size = size;
            checkpoint.outbox_root = Digest(state.tree.root(size).unwrap());
        })))
    }

    fn take_checkpoint(&self) -> Result<(), DsmError> {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.checkpointed = state.tree.size();
        Ok(())
    }

    fn outbox(&self, from: u64, limit: usize) -> Result<Vec<Entry>, DsmError> {
        Ok(self.state.lock().entries.iter().skip(from as usize).take(limit).cloned().collect())
    }

    fn outbox_consistency(&self, old: u64, new: u64) -> Result<Vec<Word>, DsmError> {
        let refused = |error: dsm_evm_proof::OutboxError| DsmError::Refused {
            code: error.code().to_owned(),
            detail: error.to_string(),
        };
        self.state.lock().tree.prove_consistency(old, new).map_err(refused)
    }

    fn wrapped_policy(&self, token: &TokenId) -> Result<u8, DsmError> {
        assert_eq!(token.0, TOKEN);
        Ok(0)
    }

    fn account(&self, account: &AccountId) -> Result<Option<(StateId, u64)>, DsmError> {
        Ok(self.state.lock().accounts.get(account).copied())
    }

    fn submit(&self, signed: &[u8]) -> Result<Accepted, DsmError> {
        let signed = SignedTransition::decode(signed).unwrap();
        let id = signed.transition.id();
        let mut state = self.state.lock();
        if let Some(position) = state.seen.get(&id) {
            return Ok(Accepted { transition: id.0, position: *position });
        }
        let (account, parent) = signed.transition.parents[0];
        let head = state.accounts.get(&account).copied();
        if head.map_or(StateId::NONE, |(head, _)| head) != parent {
            return Err(DsmError::Refused { code: "stale_parent".to_owned(), detail: String::new() });
        }
        state.apply(&self.terms, &signed)?;
        let height = head.map_or(0, |(_, height)| height + 1);
        state.accounts.insert(account, (StateId(id.0), height));
        let position = state.seen.len() as u64;
        state.seen.insert(id, position);
        Ok(Accepted { transition: id.0, position })
    }
}

impl Attestors for World {
    fn checkpoint(&self, _: &AttestationRequest, digest: &Word) -> (Vec<Vec<u8>>, Vec<String>) {
        (vec![[&[0], digest.as_slice()].concat()], Vec::new())
    }

    fn blocks(&self, _: &BridgeConfig, _: &Header, _: usize) -> Result<Vec<(u8, Vec<u8>)>, AttestError> {
        Ok(vec![(0, vec![1])])
    }
}

/// A relayer with its folder, which survives its death.
pub(super) struct Desk {
    world: World,
    number: u8,
    folder: tempfile::TempDir,
    relayer: Option<Relayer>,
}

impl Desk {
    pub(super) fn new(world: &World, number: u8) -> Desk {
        Desk::open(world, number, None)
    }

    pub(super) fn with_faults(world: &World, number: u8, faults: Arc<dyn Faults>) -> Desk {
        Desk::open(world, number, Some(faults))
    }

    fn open(world: &World, number: u8, faults: Option<Arc<dyn Faults>>) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let relayer = Some(relayer(world, number, folder.path(), faults));
        Desk { world: world.clone(), number, folder, relayer }
    }

    /// What a kill leaves: the files.
    pub(super) fn restart(&mut self) {
        self.relayer = None;
        self.relayer = Some(relayer(&self.world, self.number, self.folder.path(), None));
    }

    pub(super) fn relayer(&mut self) -> &mut Relayer {
        self.relayer.as_mut().unwrap()
    }

    pub(super) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.relayer.as_ref().unwrap().store)
    }

    pub(super) fn progress(&self) -> Progress {
        self.relayer.as_ref().unwrap().progress.lock().clone()
    }

    pub(super) fn head(&self) -> u64 {
        self.progress().head.unwrap().0
    }

    /// One turn, then a block.
    pub(super) fn turn(&mut self) -> Result<(), StateError> {
        let now = self.world.now_ms();
        self.relayer().turn(now)?;
        self.world.mine();
        // Waits after failures are over by the next turn.
        self.world.wait(2_000);
        Ok(())
    }

    pub(super) fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn().unwrap();
        }
    }
}

fn relayer(world: &World, number: u8, folder: &Path, faults: Option<Arc<dyn Faults>>) -> Relayer {
    let store = Store::open(&folder.join("bridge.redb")).unwrap();
    let store = Arc::new(match faults {
        Some(faults) => store.with_faults(faults),
        None => store,
    });
    let shared = Arc::new(world.clone());
    let outbox = Outbox::open(shared.clone(), Arc::clone(&store), world.terms.clone()).unwrap();
    let account = SecretKey::ml_dsa_65(&[number; 32]).unwrap();
    let gas = Gas { key: key(100 + number), chain_id: CHAIN, price_max: 1_000_000, bump_after_ms: 30_000 };
    Relayer::new(RelayerParts {
        evm: shared.clone(),
        dsm: shared.clone(),
        store,
        attestors: shared,
        terms: world.terms.clone(),
        writer: Writer::open(NETWORK, account, &folder.join("relayer.last-signed")).unwrap(),
        gas,
        release: true,
        first_block: 0,
        progress: Arc::default(),
        outbox: Arc::new(outbox),
    })
}
