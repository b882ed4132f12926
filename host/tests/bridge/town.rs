//! Everything that a test of the bridge needs, running: chain, shim, liar, core node, attestors, tokens, an account.

use crate::courier::{Courier, Orders, Program, patience};
use crate::program::RunningNode;
use crate::site::{Attestor, Pair, Site};
use dsm_abi::{ABI_VERSION, AccountId, Digest, KeyId, NetworkId, StateId, TokenId, encode};
use dsm_bridge::{AttestorConfig, Bridge, ServiceConfig};
use dsm_contracts::{DsmBridge, OUTBOX_SLOT, U256};
use dsm_core::{BridgeConfig, Finality, Genesis, KeySet, OperationKind};
use dsm_crypto::{Secp256k1Key, SecretKey, hash_guest, verify_guest};
use dsm_evm_proof::Payload;
use dsm_host::engine::{Engine, EngineConfig, FUEL_LIMIT_DEFAULT, GuestCrypto};
use dsm_host::node::{Clock as _, SystemClock};
use dsm_qbft_shim::{Anvil, DevChain, Liar, Shim, ShimConfig};
use dsm_sdk::api::LockState;
use dsm_sdk::client::{Client, ClientError};
use dsm_sdk::draft::{Draft, NewToken, Window, public_key, wrapped_params};
use dsm_sdk::package::{Package, PolicyDocument, module_cid};
use dsm_sdk::receipt::Receipt;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nothing here takes so long; it only keeps a test that hangs from hanging for ever.
const PATIENCE: Duration = Duration::from_secs(240);
const WRAPPED: &[u8] = include_bytes!("../../../policies/dist/wrapped.wasm");
/// The place of the policy in the tokens' lists.
pub(crate) const POLICY: u8 = 0;
/// More than any release: none waits in the contract's queue.
const QUEUE_ABOVE: u128 = 1 << 90;
/// Wei that a relayer may burn as gas.
const FUEL: u128 = 10_000_000_000_000_000_000;
/// Seconds that a lock may wait for its credit.
pub(crate) const DAY_S: u64 = 24 * 60 * 60;

struct Crypto;

impl GuestCrypto for Crypto {
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        hash_guest(algorithm, bytes)
    }

    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
        verify_guest(algorithm, key, message, signature)
    }
}

/// A lock that a test made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Locked {
    pub(crate) nonce: u64,
    pub(crate) asset: [u8; 20],
    pub(crate) amount: u128,
}

/// Everything that runs. Fields are dropped in order: the services before what they speak to.
pub(crate) struct Town {
    attestors: Vec<Bridge>,
    pub(crate) attestor_urls: Vec<String>,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) client: Client,
    pub(crate) node: RunningNode,
    pub(crate) liar: Liar,
    pub(crate) shim: Shim,
    pub(crate) chain: DevChain,
    _anvil: Anvil,
    pub(crate) folder: TempDir,
    pub(crate) site: Site,
    pub(crate) network: NetworkId,
    pub(crate) terms: BridgeConfig,
    pub(crate) ether: TokenId,
    pub(crate) dollar: TokenId,
    pub(crate) account: AccountId,
    key: SecretKey,
    /// Makes each transition another one.
    entropy: Cell<u64>,
    /// Who locks on the EVM.
    pub(crate) user: [u8; 20],
    pub(crate) locks: Vec<Locked>,
}

impl Town {
    /// Builds it; a relayer is started by the test.
    pub(crate) fn build() -> Town {
        let anvil = Anvil::start().unwrap();
        let shim = Shim::start(anvil.url(), ShimConfig::default()).unwrap();
        let liar = Liar::start(&shim.url()).unwrap();
        let chain = DevChain::open(&shim.url()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let node = RunningNode::start(&folder.path().join("core"));
        let client = Client::new(&node.url).unwrap();
        let network = client.status().unwrap().network.network;
        assert_eq!(node.banner["network"], network.to_string());
        let site = Site::plan(&chain).unwrap();
        let height = chain.height().unwrap();
        let terms = BridgeConfig {
            network,
            chain_id: chain.chain_id().unwrap(),
            contract: site.bridge,
            outbox_slot: OUTBOX_SLOT,
            finality: Finality::Qbft {
                validators: shim.validators(height),
                height,
                trusting_period_s: 0,
                clock_drift_s: 60,
            },
            salt: [7; 32],
        };
        let key = SecretKey::ml_dsa_65(&[1; 32]).unwrap();
        let genesis = Genesis { network, keys: KeySet::single(public_key(&key)), salt: [1; 32] };
        let none = TokenId::NONE;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let user = chain.accounts()[1];
        let mut town = Town {
            attestors: Vec::new(),
            attestor_urls: Vec::new(),
            runtime,
            client,
            node,
            liar,
            shim,
            chain,
            _anvil: anvil,
            folder,
            site,
            network,
            terms,
            ether: none,
            dollar: none,
            account: genesis.account(),
            key,
            entropy: Cell::new(0),
            user,
            locks: Vec::new(),
        };
        town.submit(StateId::NONE, |draft| draft.open(genesis)).unwrap();
        town.found();
        town
    }

    /// Publishes the policy, deploys the contracts, opens the bridge, creates the tokens, starts the attestors.
    fn found(&mut self) {
        let engine = Engine::new(&EngineConfig::default(), Arc::new(Crypto)).unwrap();
        let document = PolicyDocument {
            abi: ABI_VERSION,
            module: module_cid(WRAPPED),
            author: KeyId::default(),
            description: engine.admit(WRAPPED).unwrap().description().clone(),
            fuel_limit: FUEL_LIMIT_DEFAULT,
            license: "MIT".into(),
            source: String::new(),
        };
        let package = Package::sign(WRAPPED.to_vec(), document, &self.key).unwrap();
        let policy = self.client.stage(&encode(&package)).unwrap().policy.0;
        let module = Digest(*blake3::hash(WRAPPED).as_bytes());
        let author = public_key(&self.key).id();
        self.step(|draft, account| {
            draft.operation(account, OperationKind::Publish { policy, module, author })
        });
        let token = |symbol: &str, asset| {
            let params = wrapped_params(self.terms.id(), 0, asset, self.terms.chain_id, self.terms.contract);
            // The salt keeps tokens of one issuer under the same policies apart.
            let salt = *blake3::hash(symbol.as_bytes()).as_bytes();
            NewToken::new(self.account, symbol, symbol, vec![(policy, params)]).salt(salt)
        };
        let (ether, dollar) = (token("WETH", [0; 20]), token("WDUSD", self.site.erc20));
        (self.ether, self.dollar) = (ether.token(), dollar.token());
        let pair = |asset, token: TokenId| Pair {
            asset: Some(asset),
            token: token.0,
            name: "",
            symbol: "",
            decimals: 18,
            queue_above: QUEUE_ABOVE,
        };
        let pairs = [pair([0; 20], self.ether), pair(self.site.erc20, self.dollar)];
        let attestors = Attestor::all().unwrap();
        self.site.deploy(&self.chain, self.network.0, &attestors, &pairs).unwrap();
        let terms = self.terms.clone();
        self.step(|draft, account| {
            let draft = draft.open_bridge(account, terms);
            draft.operation(account, ether.operation()).operation(account, dollar.operation())
        });
        for one in attestors {
            let data = self.folder.path().join(format!("attestor-{}", one.index));
            let mut config = ServiceConfig::new(data, &self.node.url, self.terms.clone());
            config.ethereum_rpc = vec![self.shim.url()];
            config.poll = Duration::from_millis(50);
            config.patience = patience();
            config.attestor = Some(AttestorConfig {
                index: one.index,
                ecdsa: one.ecdsa,
                slh_dsa: Some(one.slh_dsa),
                blocks: None,
            });
            let service = self.runtime.block_on(Bridge::open(config)).unwrap();
            self.attestor_urls.push(format!("http://{}", service.local_addr()));
            self.attestors.push(service);
        }
    }

    /// What a relayer of this number is told: its own keys, fuelled, and an endpoint.
    pub(crate) fn orders(&self, number: u8, rpc: &str) -> Orders {
        let gas_key = Secp256k1Key::from_secret_bytes(&[number; 32]).unwrap();
        self.chain.send(self.chain.accounts()[0], Some(gas_key.address()), &[], FUEL).unwrap();
        let data = self.folder.path().join(format!("relayer-{number}"));
        let seed = [100 + number; 32];
        Orders::new(&data, &self.node.url, rpc, &self.terms, &gas_key, seed, &self.attestor_urls)
    }

    /// `dsm-bridge` with keys and a directory of its own.
    pub(crate) fn program(&self, number: u8) -> Program {
        let gas_key = Secp256k1Key::from_secret_bytes(&[number; 32]).unwrap();
        self.chain.send(self.chain.accounts()[0], Some(gas_key.address()), &[], FUEL).unwrap();
        let data = self.folder.path().join(format!("program-{number}"));
        let (core, rpc) = (&self.node.url, self.shim.url());
        Program::new(&data, core, &rpc, &self.terms, &gas_key, &self.attestor_urls)
    }

    /// A relayer that asks the shim itself.
    pub(crate) fn courier(&self, number: u8) -> Courier {
        self.orders(number, &self.shim.url()).start()
    }

    pub(crate) fn head(&self) -> StateId {
        self.client.account(&self.account).unwrap().head
    }

    /// Something that the account does, which must be accepted.
    pub(crate) fn step(&self, build: impl FnOnce(Draft, AccountId) -> Draft) -> Receipt {
        let account = self.account;
        self.submit(self.head(), |draft| build(draft, account)).unwrap()
    }

    pub(crate) fn submit(
        &self,
        head: StateId,
        build: impl FnOnce(Draft) -> Draft,
    ) -> Result<Receipt, ClientError> {
        let mut entropy = [0; 32];
        entropy[..8].copy_from_slice(&self.entropy.replace(self.entropy.get() + 1).to_le_bytes());
        let draft = Draft::new(self.network, Window::around(SystemClock.now_ms()), entropy);
        let signed =
            build(draft.signer(self.account, head)).sign_with(&[(self.account, &self.key, 0)]).unwrap();
        self.client.submit(&signed)
    }

    /// The stable code with which the node refuses what the account tries.
    pub(crate) fn refused(&self, build: impl FnOnce(Draft, AccountId) -> Draft) -> String {
        let account = self.account;
        match self.submit(self.head(), |draft| build(draft, account)) {
            Err(ClientError::Problem(problem)) => problem.code,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn lock_ether(&mut self, wei: u128) -> u64 {
        let nonce = self.site.lock_ether(&self.chain, self.user, wei, self.account.0, DAY_S).unwrap();
        self.locks.push(Locked { nonce, asset: [0; 20], amount: wei });
        nonce
    }

    pub(crate) fn lock_dollars(&mut self, amount: u128) -> u64 {
        self.site.give(&self.chain, self.user, amount).unwrap();
        let nonce = self.site.lock_erc20(&self.chain, self.user, amount, self.account.0, DAY_S).unwrap();
        self.locks.push(Locked { nonce, asset: self.site.erc20, amount });
        nonce
    }

    pub(crate) fn is_credited(&self, nonce: u64) -> bool {
        self.client.lock(&self.terms.id(), nonce).unwrap().state == LockState::Credited
    }

    pub(crate) fn wait_for_credits(&self) {
        self.wait("credits", || self.locks.iter().all(|lock| self.is_credited(lock.nonce)));
    }

    /// Claims what waits.
    pub(crate) fn claim(&self) {
        loop {
            let waiting = self.client.inbox(&self.account, None, 16).unwrap().credits;
            if waiting.is_empty() {
                return;
            }
            self.step(|draft, account| {
                waiting.iter().fold(draft, |draft, credit| draft.claim(account, credit.credit))
            });
        }
    }

    /// Burns units for an address on the EVM.
    pub(crate) fn withdraw(&self, token: TokenId, to: [u8; 20], amount: u128) {
        self.step(|draft, account| draft.withdraw(account, token, POLICY, to, amount));
    }

    pub(crate) fn is_spent(&self, index: u64) -> bool {
        self.site.ask(&self.chain, DsmBridge::spentCall { index }).unwrap()
    }

    /// Waits until the contract has paid every entry of the outbox.
    pub(crate) fn wait_for_releases(&self) {
        self.client.take_checkpoint().unwrap();
        let size = self.client.outbox(0, 1).unwrap().size;
        self.wait("releases", || (0..size).all(|index| self.is_spent(index)));
    }

    pub(crate) fn supply(&self, token: TokenId) -> u128 {
        self.client.token(&token).unwrap().state.supply.0
    }

    /// Waits, and says what for if it does not come.
    pub(crate) fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < PATIENCE, "{what} did not come");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// What the contract holds is what there is on DSM, and what is on its way. Read while nobody locks or burns: a
    /// courier at work may finish one between two questions, so a difference counts if it stays.
    pub(crate) fn assert_equation(&self) {
        self.wait("locked = supply + in flight", || {
            [([0; 20], self.ether), (self.site.erc20, self.dollar)].into_iter().all(|(asset, token)| {
                let held = self.site.held(&self.chain, asset).unwrap();
                held == self.supply(token) + self.coming(asset) + self.leaving(token)
            })
        });
    }

    fn coming(&self, asset: [u8; 20]) -> u128 {
        let open = self.locks.iter().filter(|lock| lock.asset == asset && !self.is_credited(lock.nonce));
        open.map(|lock| lock.amount).sum()
    }

    fn leaving(&self, token: TokenId) -> u128 {
        let (mut sum, mut from) = (0, Some(0));
        while let Some(index) = from {
            let page = self.client.outbox(index, 100).unwrap();
            for view in page.entries.iter().filter(|view| view.token == token) {
                if let Payload::Release(release) = Payload::decode(&view.payload.0).unwrap()
                    && !self.is_spent(view.index)
                {
                    sum += release.amount;
                }
            }
            from = page.next;
        }
        sum
    }

    /// Locks that the contract counts.
    pub(crate) fn locks_made(&self) -> u64 {
        let size: U256 = self.site.ask(&self.chain, DsmBridge::outboxSizeCall {}).unwrap();
        u64::try_from(size).unwrap()
    }
}
