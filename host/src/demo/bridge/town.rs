//! Everything that runs in the demonstration of a bridge: chain, shim, liar, core node, relayer, attestors; and who
//! plays.

use super::super::cast::{Actor, SCHEMA, vouch};
use super::super::stage::{Stage, differs};
use super::no_chain;
use super::site::{Attestor, Pair, Site};
use crate::cli::failure::Failure;
use crate::cli::node::{Serving, compiler};
use crate::cli::policy::package;
use crate::cli::session::Session;
use dsm_abi::{BridgeId, Digest, PolicyId, Suite, TokenId, Value, encode};
use dsm_bridge::prove::{Trust, newest, prove_lock};
use dsm_bridge::rpc::{FinalityMode, Patience, RpcEvm};
use dsm_bridge::{AttestorConfig, Bridge, Evm as _, RelayerConfig, ServiceConfig};
use dsm_contracts::OUTBOX_SLOT;
use dsm_core::{BridgeConfig, EvidenceProof, EvmLockProof, Finality, OperationKind};
use dsm_crypto::{Secp256k1Key, SecretKey};
use dsm_host::node::NodeConfig;
use dsm_qbft_shim::{Anvil, DevChain, Liar, Shim, ShimConfig};
use dsm_sdk::draft::{Draft, NewToken, wrapped_params};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The standard policies that tokens are bound to here.
const POLICIES: [(&str, &[u8]); 2] = [
    ("wrapped", include_bytes!("../../../../policies/dist/wrapped.wasm")),
    ("credential-gate", include_bytes!("../../../../policies/dist/credential-gate.wasm")),
];
/// The places of the policies in a token's list.
pub(super) const WRAPPED: u8 = 0;
const GATE: u8 = 1;
/// Decimal places.
pub(super) const ETHER: u8 = 18;
pub(super) const DOLLAR: u8 = 6;
pub(super) const GOLD: u8 = 2;
/// Units of gold that may exist.
const GOLD_MAX: u128 = 1_000_000;
/// Between two looks of the service at the chains.
const POLL: Duration = Duration::from_millis(200);
/// Wei that the relayer may burn as gas.
const FUEL: u128 = 10_000_000_000_000_000_000;
/// Seconds that a header may be ahead of the core node's clock.
const CLOCK_DRIFT_S: u64 = 60;
/// More than any release here: none waits in the contract's queue.
const QUEUE_ABOVE: u128 = 1 << 90;

/// An EVM chain with seals.
pub(super) struct Chain {
    pub(super) dev: DevChain,
    pub(super) shim: Shim,
    /// Stands between the service and the shim.
    pub(super) liar: Liar,
    /// The process, if it is the demonstration's own.
    pub(super) own: Option<Anvil>,
}

impl Chain {
    /// A chain of its own, whose clock is behind.
    pub(super) fn start(behind_s: u64) -> Result<Chain, Failure> {
        let begins = (Session::now_ms() / 1000).saturating_sub(behind_s).to_string();
        let anvil = Anvil::start_with(138, &["--timestamp", &begins]).map_err(no_chain)?;
        let url = anvil.url().to_owned();
        Chain::of(&url, Some(anvil))
    }

    /// A chain that runs already.
    pub(super) fn at(url: &str) -> Result<Chain, Failure> {
        Chain::of(url, None)
    }

    fn of(url: &str, own: Option<Anvil>) -> Result<Chain, Failure> {
        let shim = Shim::start(url, ShimConfig::default()).map_err(no_chain)?;
        let liar = Liar::start(&shim.url()).map_err(no_chain)?;
        let dev = DevChain::open(&shim.url()).map_err(no_chain)?;
        Ok(Chain { dev, shim, liar, own })
    }
}

/// Who plays.
pub(super) struct Cast {
    author: Actor,
    /// Creates the tokens, opens the bridge, issues gold.
    pub(super) house: Actor,
    issuer: Actor,
    pub(super) alice: Actor,
    pub(super) bob: Actor,
    /// Nobody vouches for her.
    pub(super) carol: Actor,
}

/// Everything that runs.
pub(super) struct Town {
    pub(super) chain: Chain,
    pub(super) site: Site,
    pub(super) stage: Stage,
    pub(super) cast: Cast,
    pub(super) bridge: BridgeId,
    pub(super) ether: TokenId,
    pub(super) dollar: TokenId,
    pub(super) gold: TokenId,
    /// Gas of the ERC-20, the quorum and the bridge.
    pub(super) gas: [u64; 3],
    pub(super) core_url: String,
    /// The account on the EVM that alice uses.
    pub(super) wallet: [u8; 20],
    services: Vec<Bridge>,
    serving: (oneshot::Sender<()>, JoinHandle<()>),
    handle: tokio::runtime::Handle,
}

impl Town {
    pub(super) fn build(
        runtime: &Runtime,
        chain: Chain,
        folder: &Path,
        listen: &str,
    ) -> Result<Town, Failure> {
        let mut config = NodeConfig::new(folder.join("core"));
        config.network_name = "bridge-demo".into();
        config.engine.compiler = compiler();
        let serving = Serving::bind(runtime, listen)?;
        let core_url = serving.url();
        let stage = Stage::open(config, runtime.handle().clone(), None)?;
        let (end, ended) = oneshot::channel();
        let node = stage.node.clone();
        let serving = runtime.spawn(async move {
            // The API ends with the demonstration; if it ends before, the services say so.
            drop(serving.serve(node, async { drop(ended.await) }).await);
        });
        let network = stage.node.network();
        let actor = |name, suite| Actor::new(name, network, suite, 1);
        let cast = Cast {
            author: actor("author", Suite::Ed25519MlDsa65)?,
            house: actor("house", Suite::MlDsa65)?,
            issuer: actor("issuer", Suite::MlDsa65)?,
            alice: actor("alice", Suite::MlDsa65)?,
            bob: actor("bob", Suite::MlDsa65)?,
            carol: actor("carol", Suite::MlDsa65)?,
        };
        let policies = publish(&stage, &cast)?;
        let site = Site::plan(&chain.dev).map_err(differs)?;
        let height = chain.dev.height().map_err(differs)?;
        let terms = BridgeConfig {
            network,
            chain_id: chain.dev.chain_id().map_err(differs)?,
            contract: site.bridge,
            outbox_slot: OUTBOX_SLOT,
            finality: Finality::Qbft {
                validators: chain.shim.validators(height),
                height,
                trusting_period_s: 0,
                clock_drift_s: CLOCK_DRIFT_S,
            },
            salt: Session::random()?,
        };
        let [ether, dollar, gold] = tokens(&cast, &policies, &terms, &site);
        let (bridge, ids) = (terms.id(), [ether.token(), dollar.token(), gold.token()]);
        let attestors = Attestor::all().map_err(differs)?;
        let pair = |asset, token: TokenId, name, symbol, decimals| Pair {
            asset,
            token: token.0,
            name,
            symbol,
            decimals,
            queue_above: QUEUE_ABOVE,
        };
        let pairs = [
            pair(Some([0; 20]), ids[0], "Ether", "ETH", ETHER),
            pair(Some(site.erc20), ids[1], "Demo Dollar", "DUSD", DOLLAR),
            pair(None, ids[2], "DSM Gold", "GOLD", GOLD),
        ];
        let gas = site.deploy(&chain.dev, network.0, &attestors, &pairs).map_err(differs)?;
        let house = &cast.house;
        let opened = terms.clone();
        stage.accept(&[(house, 1)], |draft| {
            let draft = draft.open_bridge(house.account, opened);
            [ether, dollar, gold]
                .into_iter()
                .fold(draft, |draft, new| draft.operation(house.account, new.operation()))
        })?;
        let services = services(runtime, folder, &core_url, &terms, &chain, attestors)?;
        let wallet = chain.dev.accounts()[1];
        let (serving, handle) = ((end, serving), runtime.handle().clone());
        let [ether, dollar, gold] = ids;
        Ok(Town {
            chain,
            site,
            stage,
            cast,
            bridge,
            ether,
            dollar,
            gold,
            gas,
            core_url,
            wallet,
            services,
            serving,
            handle,
        })
    }

    /// Where the relayer answers.
    pub(super) fn relayer_url(&self) -> String {
        let relayer = self.services.last().expect("a town has four attestors and, behind them, a relayer");
        format!("http://{}", relayer.local_addr())
    }

    /// Admits alice and bob to the gated token, by what the issuer says of them.
    pub(super) fn admit(&self) -> Result<dsm_sdk::receipt::Receipt, Failure> {
        let Cast { issuer, alice, bob, .. } = &self.cast;
        let mut draft: Draft = self.stage.draft()?;
        for actor in [alice, bob] {
            draft = draft
                .signer(actor.account, self.stage.head(actor))
                .evidence(EvidenceProof::Credential(vouch(self.stage.node.network(), issuer, actor)?))
                .invoke(actor.account, self.ether, GATE, "admit", vec![]);
        }
        let signers: Vec<_> = [alice, bob].iter().flat_map(|actor| actor.signers(1)).collect();
        Ok(self.stage.submit(&draft.sign_with(&signers)?)?)
    }

    /// The proof of a lock, made as anybody can make it: with an endpoint, and with what the ledger trusts.
    pub(super) fn prove(&self, nonce: u64) -> Result<EvmLockProof, Failure> {
        let (state, _) = self.stage.node.read(|ledger| ledger.bridge_state(&self.bridge).cloned());
        let state = state.ok_or_else(|| differs("there is no bridge"))?;
        let (config, urls) = (&state.config, [self.chain.shim.url()]);
        let (sealed, patience) = (FinalityMode::Sealed, Patience::default());
        let evm =
            RpcEvm::new(&urls, config.chain_id, config.contract, sealed, 1, patience).map_err(differs)?;
        let trust = Trust::of(&state)?;
        let (header, _) = newest(&evm, &trust, Session::now_ms() / 1000)?;
        let hint = evm.lock_hint(nonce, 0)?.ok_or_else(|| differs("the endpoint does not know the lock"))?;
        Ok(prove_lock(&evm, config, &header, &hint.lock)?)
    }

    /// What keeps the relayer from going on, in its own words.
    pub(super) fn complaint(&self) -> String {
        match self.services.last().map(Bridge::status) {
            Some(Ok(status)) => format!("{status:?}"),
            Some(Err(error)) => error.to_string(),
            None => "there is none".to_owned(),
        }
    }

    /// Ends everything in order.
    pub(super) fn close(self) -> Result<(), Failure> {
        for service in self.services {
            self.handle.block_on(service.close());
        }
        let (end, serving) = self.serving;
        // Either end may be gone already.
        end.send(()).unwrap_or_default();
        drop(self.handle.block_on(serving));
        self.stage.close()
    }
}

/// Publishes the policies and opens everybody's account.
fn publish(stage: &Stage, cast: &Cast) -> Result<Vec<PolicyId>, Failure> {
    let Cast { author, house, issuer, alice, bob, carol } = cast;
    let all = [author, house, issuer, alice, bob, carol];
    stage.accept(&all.map(|actor| (actor, 1)), |draft| {
        all.iter().fold(draft, |draft, actor| draft.open(actor.genesis.clone()))
    })?;
    let mut policies = Vec::new();
    let mut publications = Vec::new();
    for (name, wasm) in POLICIES {
        let source = format!("policies/{name}");
        let package =
            package(stage.node.engine(), wasm.to_vec(), &author.keys[0], "MIT OR Apache-2.0", &source)?;
        let policy = stage.node.stage(&encode(&package))?;
        let module = Digest(*blake3::hash(wasm).as_bytes());
        publications.push(OperationKind::Publish { policy, module, author: package.envelope.key.id() });
        policies.push(policy);
    }
    stage.accept(&[(author, 1)], |draft| {
        publications.into_iter().fold(draft, |draft, kind| draft.operation(author.account, kind))
    })?;
    Ok(policies)
}

/// Ether whose home is the EVM, behind a gate; dollars from there, open to everybody; gold whose home is here.
fn tokens(cast: &Cast, policies: &[PolicyId], terms: &BridgeConfig, site: &Site) -> [NewToken; 3] {
    let house = &cast.house;
    let bound = |home, asset| {
        let params = wrapped_params(terms.id(), home, asset, terms.chain_id, terms.contract);
        (policies[usize::from(WRAPPED)], params)
    };
    let gate = || {
        let holders = vec![
            Value::Accounts(vec![cast.issuer.account]),
            Value::Text(SCHEMA.into()),
            Value::Keys(house.key_ids()),
        ];
        (policies[usize::from(GATE)], holders)
    };
    // The salt keeps tokens of one issuer under the same policies apart.
    let new = |symbol: &str, name: &str, policies| {
        NewToken::new(house.account, symbol, name, policies).salt(*blake3::hash(symbol.as_bytes()).as_bytes())
    };
    [
        new("WETH", "Wrapped Ether", vec![bound(0, [0; 20]), gate()]).decimals(ETHER),
        new("WDUSD", "Wrapped Demo Dollar", vec![bound(0, site.erc20)]).decimals(DOLLAR),
        new("GOLD", "DSM Gold", vec![bound(1, [0; 20])]).decimals(GOLD).cap(Some(GOLD_MAX)),
    ]
}

/// Four attestors and a relayer, which asks them over HTTP. The relayer's only endpoint is the liar.
fn services(
    runtime: &Runtime,
    folder: &Path,
    core: &str,
    terms: &BridgeConfig,
    chain: &Chain,
    attestors: Vec<Attestor>,
) -> Result<Vec<Bridge>, Failure> {
    let mut services = Vec::new();
    let mut urls = Vec::new();
    for one in attestors {
        let mut config =
            configured(folder.join(format!("attestor-{}", one.index)), core, terms, &chain.shim.url());
        config.attestor = Some(AttestorConfig {
            index: one.index,
            ecdsa: one.ecdsa,
            slh_dsa: Some(one.slh_dsa),
            blocks: None,
        });
        let service = runtime.block_on(Bridge::open(config)).map_err(differs)?;
        urls.push(format!("http://{}", service.local_addr()));
        services.push(service);
    }
    let gas_key = Secp256k1Key::generate().map_err(differs)?;
    let fuel = chain.dev.send(chain.dev.accounts()[0], Some(gas_key.address()), &[], FUEL);
    fuel.map_err(differs)?;
    let account_key = SecretKey::generate(Suite::MlDsa65).map_err(differs)?;
    let mut config = configured(folder.join("relayer"), core, terms, &chain.liar.url());
    let mut relayer = RelayerConfig::new(gas_key, account_key);
    relayer.attestors = urls;
    config.relayer = Some(relayer);
    services.push(runtime.block_on(Bridge::open(config)).map_err(differs)?);
    Ok(services)
}

fn configured(data: std::path::PathBuf, core: &str, terms: &BridgeConfig, rpc: &str) -> ServiceConfig {
    let mut config = ServiceConfig::new(data, core, terms.clone());
    config.ethereum_rpc = vec![rpc.to_owned()];
    config.poll = POLL;
    // The chain is in the next room: whoever was caught lying is asked again soon.
    config.patience = Patience {
        request: Duration::from_secs(5),
        rest: Duration::from_millis(100),
        penalty: Duration::from_millis(200),
        rest_max: Duration::from_secs(1),
        identity: Duration::from_secs(5),
    };
    config
}
