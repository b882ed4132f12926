//! The bridge in an EVM, spoken to by `dsm-evm-proof`: both sides of every format, and the replays that must fail.

mod evm;

use alloy_primitives::{Address, B256, U256};
use dsm_contracts::attestation::{EcdsaRecord, ecdsa_keys, encode_ecdsa};
use dsm_contracts::{
    DsmBridge, DsmWrapped, IAsset, KIND_ERC20, KIND_NATIVE, KIND_WRAPPED, OUTBOX_SLOT, Outbox, Scheme,
    SolConstructor as _, SolError, bridge_init_code, event, event_text, verifier_init_code,
};
use dsm_crypto::Secp256k1Key;
use dsm_evm_proof::{
    Checkpoint, Entry, LANE_EVM, Lock, LockKind, OutboxTree, Payload, Refund, Release, ReleaseKind,
    keccak256, lock_storage_key,
};
use evm::{CHAIN, Done, Evm};

const NETWORK: [u8; 32] = [0x11; 32];
const ETHER: [u8; 32] = [0xe7; 32];
const COIN: [u8; 32] = [0xc0; 32];
const HOME: [u8; 32] = [0x40; 32];
const ALICE_DSM: [u8; 32] = [0xa1; 32];
const DAY: u64 = 86_400;
const UNIT: u128 = 1_000_000_000_000_000_000;

fn limits() -> DsmBridge::Limits {
    DsmBridge::Limits {
        transferMax: 1_000 * UNIT,
        outstandingMax: 10_000 * UNIT,
        inCapacity: 2_000 * UNIT,
        inRefill: UNIT,
        outCapacity: 500 * UNIT,
        outRefill: UNIT / 10,
        queueAbove: 100 * UNIT,
    }
}

/// A chain with a bridge on it, its seven attestors, and DSM's outbox.
struct World {
    evm: Evm,
    alice: Address,
    courier: Address,
    bridge: Address,
    coin: Address,
    attestors: Vec<Secp256k1Key>,
    verifier: Address,
    tree: OutboxTree,
    epoch: u64,
}

impl World {
    fn new() -> World {
        let mut evm = Evm::new();
        let (deployer, alice, courier) = (evm.account(1), evm.account(2), evm.account(3));
        let key = |number: u8| Secp256k1Key::from_secret_bytes(&[number; 32]).expect("a scalar");
        let attestors: Vec<_> = (1..=7).map(key).collect();
        let addresses: Vec<_> = attestors.iter().map(Secp256k1Key::address).collect();
        let verifier = evm.deploy(deployer, verifier_init_code(Scheme::Ecdsa, &ecdsa_keys(&addresses), 5));
        // An ERC-20 of its own: its "bridge" is its deployer, who mints.
        let arguments = DsmWrapped::constructorCall {
            dsmToken_: B256::ZERO,
            policyCid_: Default::default(),
            name_: "Coin".to_owned(),
            symbol_: "COIN".to_owned(),
            decimals_: 18,
        };
        let coin = evm.deploy(deployer, [&DsmWrapped::BYTECODE[..], &arguments.abi_encode()].concat());
        let mint = DsmWrapped::mintCall { to: alice, amount: U256::from(10_000 * UNIT) };
        evm.send(deployer, coin, 0, &mint).expect_ok();
        let mut world = World {
            evm,
            alice,
            courier,
            bridge: Address::ZERO,
            coin,
            attestors,
            verifier,
            tree: OutboxTree::new(),
            epoch: 0,
        };
        world.bridge = world.another_bridge(NETWORK);
        let approve = IAsset::approveCall { spender: world.bridge, amount: U256::MAX };
        world.evm.send(alice, coin, 0, &approve).expect_ok();
        world
    }

    /// A bridge with the same attestors and assets.
    fn another_bridge(&mut self, network: [u8; 32]) -> Address {
        let config = DsmBridge::Config {
            network: network.into(),
            verifier: self.verifier,
            admin: Address::repeat_byte(0xad),
            guardian: Address::repeat_byte(0x6a),
            delay: DAY,
            queueDelay: 3_600,
        };
        let asset =
            |asset, token: [u8; 32]| DsmBridge::NewAsset { asset, token: token.into(), limits: limits() };
        let wrapped = DsmBridge::NewWrapped {
            token: HOME.into(),
            policyCid: vec![1, 0x55, 0x1e, 0x20].into(),
            name: "Home".to_owned(),
            symbol: "HOME".to_owned(),
            decimals: 2,
            limits: limits(),
        };
        let assets = vec![asset(Address::ZERO, ETHER), asset(self.coin, COIN)];
        let deployer = Address::repeat_byte(1);
        let expected = self.evm.next_address(deployer);
        let made = self.evm.deploy(deployer, bridge_init_code(config, assets, vec![wrapped]));
        assert_eq!(made, expected, "a token's id depends on this address being known before");
        made
    }

    fn deadline(&self) -> u64 {
        self.evm.time_s + DAY
    }

    /// The lock as `dsm-evm-proof` names it, for what alice does next.
    fn lock(&mut self, kind: LockKind, asset: Address, token: [u8; 32], amount: u128) -> Lock {
        let nonce = self.evm.view(self.bridge, &DsmBridge::outboxSizeCall {});
        Lock {
            nonce: nonce.to(),
            kind,
            asset: asset.into(),
            sender: self.alice.into(),
            token,
            recipient: ALICE_DSM,
            amount,
            deadline_s: self.deadline(),
        }
    }

    fn lock_ether(&mut self, amount: u128) -> (Lock, Done) {
        let lock = self.lock(LockKind::Native, Address::ZERO, ETHER, amount);
        let call = DsmBridge::lockNativeCall { recipient: ALICE_DSM.into(), deadline: lock.deadline_s };
        (lock, self.evm.send(self.alice, self.bridge, amount, &call).expect_ok())
    }

    fn lock_coin(&mut self, amount: u128) -> (Lock, Done) {
        let lock = self.lock(LockKind::Erc20, self.coin, COIN, amount);
        let call = DsmBridge::lockERC20Call {
            asset: self.coin,
            amount: U256::from(amount),
            recipient: ALICE_DSM.into(),
            deadline: lock.deadline_s,
        };
        (lock, self.evm.send(self.alice, self.bridge, 0, &call).expect_ok())
    }

    fn wrapped(&mut self) -> Address {
        self.evm.view(self.bridge, &DsmBridge::assetOfCall { token: HOME.into() }).asset
    }

    fn emit(&mut self, token: [u8; 32], payload: Payload) -> Entry {
        let index = self.tree.size();
        let entry = Entry {
            network: NETWORK,
            index,
            lane: LANE_EVM,
            token,
            actor: ALICE_DSM,
            transition: keccak256(&[b"transition", &index.to_be_bytes()]),
            payload: payload.encode(),
        };
        self.tree.append(entry.leaf());
        entry
    }

    fn emit_release(&mut self, token: [u8; 32], kind: ReleaseKind, asset: Address, amount: u128) -> Entry {
        let (chain_id, bridge) = (self.evm.chain_id, self.bridge.into());
        let to = Address::repeat_byte(0xb0).into();
        self.emit(
            token,
            Payload::Release(Release { chain_id, bridge, kind, asset: asset.into(), to, amount }),
        )
    }

    fn next_checkpoint(&self) -> Checkpoint {
        let size = self.tree.size();
        let root = self.tree.root(size).expect("leaves");
        Checkpoint { epoch: self.epoch + 1, size, root, set_id: 1, network: NETWORK, position: 42 }
    }

    fn attest(&self, digest: &[u8; 32]) -> Vec<u8> {
        let sign = |index: u8| EcdsaRecord {
            index,
            signature: self.attestors[usize::from(index)].sign_prehash(digest),
        };
        let records: Vec<_> = [0, 1, 3, 4, 6].into_iter().map(sign).collect();
        encode_ecdsa(&records).expect("five in order")
    }

    fn submit(&mut self, bridge: Address, checkpoint: &Checkpoint, attestation: Vec<u8>) -> Done {
        let call = DsmBridge::submitCheckpointCall {
            checkpoint: DsmBridge::Checkpoint {
                epoch: checkpoint.epoch,
                size: checkpoint.size,
                root: checkpoint.root.into(),
                setId: checkpoint.set_id,
                network: checkpoint.network.into(),
                position: checkpoint.position,
            },
            attestation: attestation.into(),
        };
        self.evm.send(self.courier, bridge, 0, &call)
    }

    fn checkpoint(&mut self) -> Done {
        let checkpoint = self.next_checkpoint();
        let attestation = self.attest(&checkpoint.digest(self.evm.chain_id, &self.bridge.into()));
        self.epoch = checkpoint.epoch;
        self.submit(self.bridge, &checkpoint, attestation).expect_ok()
    }

    fn proof(&self, entry: &Entry) -> Vec<B256> {
        let proof = self.tree.prove_inclusion(entry.index, self.tree.size()).expect("a leaf of it");
        proof.into_iter().map(B256::from).collect()
    }

    /// Hands a release in, with the siblings of the newest tree.
    fn release(&mut self, bridge: Address, entry: &Entry) -> Done {
        let proof = self.proof(entry);
        self.release_with(bridge, entry, proof)
    }

    fn release_with(&mut self, bridge: Address, entry: &Entry, proof: Vec<B256>) -> Done {
        let Ok(Payload::Release(payment)) = Payload::decode(&entry.payload) else { panic!("no release") };
        let call = DsmBridge::releaseCall {
            leaf: leaf(entry),
            payment: DsmBridge::Release {
                kind: payment.kind as u8,
                asset: payment.asset.into(),
                to: payment.to.into(),
                amount: U256::from(payment.amount),
            },
            proof,
            epoch: self.epoch,
        };
        self.evm.send(self.courier, bridge, 0, &call)
    }

    fn emit_refund(&mut self, lock: &Lock) -> Entry {
        let (chain_id, bridge) = (self.evm.chain_id, self.bridge.into());
        let commitment = lock.commitment(chain_id, &bridge);
        self.emit(lock.token, Payload::Refund(Refund { chain_id, bridge, nonce: lock.nonce, commitment }))
    }

    fn refund(&mut self, entry: &Entry, lock: &Lock) -> Done {
        let proof = self.proof(entry);
        self.refund_with(entry, lock, proof)
    }

    fn refund_with(&mut self, entry: &Entry, lock: &Lock, proof: Vec<B256>) -> Done {
        let call = DsmBridge::refundCall {
            leaf: leaf(entry),
            lock: DsmBridge::Lock {
                nonce: U256::from(lock.nonce),
                kind: lock.kind as u8,
                asset: lock.asset.into(),
                sender: lock.sender.into(),
                token: lock.token.into(),
                recipient: lock.recipient.into(),
                amount: U256::from(lock.amount),
                deadline: lock.deadline_s,
            },
            proof,
            epoch: self.epoch,
        };
        self.evm.send(self.courier, self.bridge, 0, &call)
    }

    /// Puts an entry at a place of a tree of 2^20 leaves without making the others: its proof has 20 hashes.
    fn deep(&mut self, entry: &mut Entry) -> Vec<B256> {
        entry.index = 0b1010_0110_1100_0101_1010;
        let mut node = entry.leaf();
        let mut proof = Vec::new();
        for level in 0..20 {
            let sibling = keccak256(&[b"sibling", &[level]]);
            node = match entry.index >> level & 1 {
                0 => keccak256(&[&[1], &node, &sibling]),
                _ => keccak256(&[&[1], &sibling, &node]),
            };
            proof.push(B256::from(sibling));
        }
        let checkpoint = Checkpoint {
            epoch: self.epoch + 1,
            size: 1 << 20,
            root: node,
            set_id: 1,
            network: NETWORK,
            position: 42,
        };
        let attestation = self.attest(&checkpoint.digest(CHAIN, &self.bridge.into()));
        self.submit(self.bridge, &checkpoint, attestation).expect_ok();
        self.epoch = checkpoint.epoch;
        proof
    }
}

fn leaf(entry: &Entry) -> Outbox::Leaf {
    Outbox::Leaf {
        index: entry.index,
        token: entry.token.into(),
        actor: entry.actor.into(),
        transition: entry.transition.into(),
    }
}

#[track_caller]
fn refused<E: SolError>(done: Done) {
    let answer = done.expect_refused();
    assert!(answer.starts_with(&E::SELECTOR), "{}", dsm_contracts::refusal(&answer));
}

// --- EVM to DSM ---

#[test]
fn what_stands_in_storage_is_what_the_ledger_computes() {
    let mut world = World::new();
    let (ether, done) = world.lock_ether(3 * UNIT);
    let seen = event(done.logs[0].topics(), &done.logs[0].data.data).expect("an event of the bridge");
    assert!(event_text(&seen).starts_with("lock 0: 3000000000000000000 of 0x0000"), "{}", event_text(&seen));
    let DsmBridge::DsmBridgeEvents::Locked(seen) = seen else { panic!("another event") };
    assert_eq!(seen.commitment.0, ether.commitment(CHAIN, &world.bridge.into()));
    let (coin, _) = world.lock_coin(4 * UNIT);

    let entry = world.emit_release(HOME, ReleaseKind::Mint, Address::ZERO, 5);
    world.checkpoint();
    world.release(world.bridge, &entry).expect_ok();
    let wrapped = world.wrapped();
    let holder = Address::repeat_byte(0xb0);
    world.evm.fund(holder, U256::from(UNIT));
    let mut burn = world.lock(LockKind::Burn, wrapped, HOME, 2);
    burn.sender = holder.into();
    let call = DsmBridge::burnWrappedCall {
        token: HOME.into(),
        amount: U256::from(2),
        recipient: ALICE_DSM.into(),
        deadline: burn.deadline_s,
    };
    world.evm.send(holder, world.bridge, 0, &call).expect_ok();

    for (number, lock) in [ether, coin, burn].iter().enumerate() {
        assert_eq!(lock.nonce, number as u64);
        lock.check().expect("the ledger accepts it");
        let key = lock_storage_key(lock.nonce, &OUTBOX_SLOT);
        let stored = world.evm.storage(world.bridge, key.into());
        assert_eq!(stored.0, lock.commitment(CHAIN, &world.bridge.into()), "lock {number}");
        // Another chain, another bridge: another commitment.
        assert_ne!(stored.0, lock.commitment(1, &world.bridge.into()));
        assert_ne!(stored.0, lock.commitment(CHAIN, &[9; 20]));
    }
    assert_eq!(world.evm.storage(world.bridge, lock_storage_key(3, &OUTBOX_SLOT).into()), B256::ZERO);
    assert_eq!(
        [LockKind::Native as u8, LockKind::Erc20 as u8, LockKind::Burn as u8],
        [KIND_NATIVE, KIND_ERC20, KIND_WRAPPED]
    );
}

// --- DSM to EVM ---

#[test]
fn every_leaf_of_the_ledgers_tree_is_paid_once() {
    let mut world = World::new();
    world.lock_ether(100 * UNIT);
    world.lock_coin(100 * UNIT);
    let coin = world.coin;
    let mut entries = Vec::new();
    for number in 0..7u128 {
        entries.push(world.emit_release(ETHER, ReleaseKind::Native, Address::ZERO, UNIT + number));
        entries.push(world.emit_release(COIN, ReleaseKind::Erc20, coin, UNIT + number));
        entries.push(world.emit_release(HOME, ReleaseKind::Mint, Address::ZERO, UNIT + number));
    }
    world.checkpoint();
    for entry in &entries {
        world.release(world.bridge, entry).expect_ok();
        // A second courier, with the same proof in the same block.
        refused::<DsmBridge::LeafSpent>(world.release(world.bridge, entry));
    }
    let paid = 7 * UNIT + 21;
    let to = Address::repeat_byte(0xb0);
    assert_eq!(world.evm.balance(to), U256::from(paid));
    let wrapped = world.wrapped();
    for token in [coin, wrapped] {
        assert_eq!(world.evm.view(token, &IAsset::balanceOfCall { owner: to }), U256::from(paid));
    }
    assert_eq!(world.evm.view(wrapped, &IAsset::totalSupplyCall {}), U256::from(paid));
}

#[test]
fn the_digest_is_the_ledgers() {
    let mut world = World::new();
    world.emit_release(COIN, ReleaseKind::Erc20, Address::repeat_byte(5), 1);
    let checkpoint = world.next_checkpoint();
    let call = DsmBridge::checkpointDigestCall {
        checkpoint: DsmBridge::Checkpoint {
            epoch: checkpoint.epoch,
            size: checkpoint.size,
            root: checkpoint.root.into(),
            setId: checkpoint.set_id,
            network: checkpoint.network.into(),
            position: checkpoint.position,
        },
    };
    let bridge = world.bridge;
    for chain_id in [CHAIN, 1] {
        world.evm.chain_id = chain_id;
        assert_eq!(world.evm.view(bridge, &call).0, checkpoint.digest(chain_id, &bridge.into()));
    }
}

/// The same words to another chain, another bridge, another network: worth nothing there.
#[test]
fn replays_elsewhere_are_refused() {
    let mut world = World::new();
    world.lock_coin(100 * UNIT);
    let coin = world.coin;
    let entry = world.emit_release(COIN, ReleaseKind::Erc20, coin, UNIT);
    let checkpoint = world.next_checkpoint();
    let here = world.bridge;
    let attestation = world.attest(&checkpoint.digest(CHAIN, &here.into()));

    // Another bridge with the same attestors: the digest names the bridge.
    let there = world.another_bridge(NETWORK);
    refused::<DsmBridge::NotAttested>(world.submit(there, &checkpoint, attestation.clone()));
    // A fork of the chain under another id: all state is there, and the digest names the chain.
    world.evm.chain_id = 1;
    refused::<DsmBridge::NotAttested>(world.submit(here, &checkpoint, attestation.clone()));
    world.evm.chain_id = CHAIN;
    // Another network of DSM, of which the same attestors are also attestors.
    let elsewhere = world.another_bridge([0x22; 32]);
    let signed = world.attest(&checkpoint.digest(CHAIN, &elsewhere.into()));
    refused::<DsmBridge::WrongNetwork>(world.submit(elsewhere, &checkpoint, signed));
    let foreign = Checkpoint { network: [0x22; 32], ..checkpoint };
    let signed = world.attest(&foreign.digest(CHAIN, &here.into()));
    refused::<DsmBridge::WrongNetwork>(world.submit(here, &foreign, signed));

    // Even under a root that the other bridge was given properly, the leaf names this one.
    let signed = world.attest(&checkpoint.digest(CHAIN, &there.into()));
    world.submit(there, &checkpoint, signed).expect_ok();
    world.submit(here, &checkpoint, attestation.clone()).expect_ok();
    world.epoch = checkpoint.epoch;
    refused::<DsmBridge::BadProof>(world.release(there, &entry));
    world.evm.chain_id = 1;
    refused::<DsmBridge::BadProof>(world.release(here, &entry));
    world.evm.chain_id = CHAIN;
    world.release(here, &entry).expect_ok();
    refused::<DsmBridge::LeafSpent>(world.release(here, &entry));
    // The same checkpoint again on the same bridge.
    refused::<DsmBridge::EpochNotRising>(world.submit(here, &checkpoint, attestation));
}

#[test]
fn a_history_that_shrinks_or_changes_is_refused() {
    let mut world = World::new();
    for number in 1..=5 {
        world.emit_release(COIN, ReleaseKind::Erc20, Address::repeat_byte(5), number);
    }
    world.checkpoint();
    let bridge = world.bridge;
    let shorter =
        Checkpoint { size: 4, root: world.tree.root(4).expect("four leaves"), ..world.next_checkpoint() };
    let signed = world.attest(&shorter.digest(CHAIN, &bridge.into()));
    refused::<DsmBridge::SizeShrinks>(world.submit(bridge, &shorter, signed));
    let changed = Checkpoint { root: [7; 32], ..world.next_checkpoint() };
    let signed = world.attest(&changed.digest(CHAIN, &bridge.into()));
    refused::<DsmBridge::RootChanged>(world.submit(bridge, &changed, signed));
}

#[test]
fn a_lock_that_nobody_credited_goes_back_once() {
    let mut world = World::new();
    let (lock, _) = world.lock_coin(9 * UNIT);
    let coin = world.coin;
    let owner = world.alice;
    let before = world.evm.view(coin, &IAsset::balanceOfCall { owner });
    let entry = world.emit_refund(&lock);
    let twin = world.emit_refund(&lock);
    world.checkpoint();
    refused::<DsmBridge::BeforeDeadline>(world.refund(&entry, &lock));
    world.evm.pass(DAY);
    world.refund(&entry, &lock).expect_ok();
    refused::<DsmBridge::AlreadyRefunded>(world.refund(&entry, &lock));
    refused::<DsmBridge::AlreadyRefunded>(world.refund(&twin, &lock));
    let after = world.evm.view(coin, &IAsset::balanceOfCall { owner });
    assert_eq!(after - before, U256::from(9 * UNIT));
}

/// A call with too little gas does nothing or everything.
#[test]
fn no_amount_of_gas_does_half_a_release() {
    let mut world = World::new();
    world.lock_ether(100 * UNIT);
    let entry = world.emit_release(ETHER, ReleaseKind::Native, Address::ZERO, UNIT);
    world.checkpoint();
    let to = Address::repeat_byte(0xb0);
    let bridge = world.bridge;
    let mut paid = false;
    for gas_limit in (30_000..200_000).step_by(1_009) {
        world.evm.gas_limit = gas_limit;
        let done = world.release(bridge, &entry);
        world.evm.gas_limit = evm::GAS;
        let spent = world.evm.view(bridge, &DsmBridge::spentCall { index: entry.index });
        assert_eq!(world.evm.balance(to), U256::from(if spent { UNIT } else { 0 }));
        assert_eq!(done.ok, spent && !paid, "at {gas_limit}");
        paid = spent;
    }
    assert!(paid, "never enough gas");
}

// --- what it costs ---

/// A bridge that has seen each asset before: the first transfer of an asset writes slots that later ones change.
fn used_world() -> World {
    let mut world = World::new();
    world.lock_ether(50 * UNIT);
    world.lock_coin(50 * UNIT);
    world.emit_release(COIN, ReleaseKind::Erc20, Address::repeat_byte(5), 1);
    world.checkpoint();
    world
}

/// The gas of one call on a used bridge, whose leaf, if it has one, stands in a tree of 2^20.
fn gas_of(call: impl FnOnce(&mut World) -> Done) -> u64 {
    call(&mut used_world()).expect_ok().gas
}

fn gas_of_release(token: [u8; 32], kind: ReleaseKind) -> u64 {
    gas_of(|world| {
        let asset = if kind == ReleaseKind::Erc20 { world.coin } else { Address::ZERO };
        let mut entry = world.emit_release(token, kind, asset, UNIT);
        let proof = world.deep(&mut entry);
        world.release_with(world.bridge, &entry, proof)
    })
}

fn gas_of_refund() -> u64 {
    gas_of(|world| {
        let (lock, _) = world.lock_coin(UNIT);
        let mut entry = world.emit_refund(&lock);
        let proof = world.deep(&mut entry);
        world.evm.pass(DAY);
        world.refund_with(&entry, &lock, proof)
    })
}

fn gas_of_checkpoint() -> u64 {
    gas_of(|world| {
        world.emit_release(COIN, ReleaseKind::Erc20, Address::repeat_byte(5), 1);
        world.checkpoint()
    })
}

/// The README's figures are measured ones: gas does not depend on the machine.
#[test]
fn the_readme_states_the_gas_that_is_measured() {
    let rows = [
        ("`lockNative`", gas_of(|world| world.lock_ether(UNIT).1)),
        ("`lockERC20`", gas_of(|world| world.lock_coin(UNIT).1)),
        ("`submitCheckpoint`, ECDSA, 5 of 7", gas_of_checkpoint()),
        ("`release` of ether, 20 hashes", gas_of_release(ETHER, ReleaseKind::Native)),
        ("`release` of an ERC-20, 20 hashes", gas_of_release(COIN, ReleaseKind::Erc20)),
        ("`release` of a wrapped token, 20 hashes", gas_of_release(HOME, ReleaseKind::Mint)),
        ("`refund` of an ERC-20, 20 hashes", gas_of_refund()),
    ];
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(readme).expect("readable");
    let mut missing = Vec::new();
    for (name, gas) in rows {
        let digits = gas.to_string();
        let (thousands, rest) = digits.split_at(digits.len() - 3);
        let row = format!("| {name} | {thousands},{rest} |");
        if !readme.lines().any(|line| line == row) {
            missing.push(row);
        }
    }
    assert!(missing.is_empty(), "README.md does not say:\n{}", missing.join("\n"));
}
