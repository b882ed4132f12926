//! The Ethereum side of a bridge that is being set up, for the demonstration and for tests: an ERC-20, a quorum of
//! attestors, the bridge. Everything is sent from accounts that a development chain unlocks.

use dsm_contracts::attestation::hybrid_keys;
use dsm_contracts::{
    Address, B256, DsmBridge, DsmWrapped, IAsset, Scheme, SolCall, SolConstructor as _, U256,
    bridge_init_code, created_address, verifier_init_code,
};
use dsm_crypto::{Secp256k1Key, SecretKey, Signer as _};
use dsm_qbft_shim::DevChain;

/// Attestors, and how many of them must sign.
pub(crate) const ATTESTORS: u8 = 4;
pub(crate) const THRESHOLD: u8 = 3;
/// The shortest delays that the contract allows, in seconds: a day for its rules, an hour for large releases.
const DELAY_S: u64 = 24 * 60 * 60;
const QUEUE_DELAY_S: u64 = 60 * 60;
/// More than any step moves.
const PLENTY: u128 = 1 << 100;

/// The two keys of one attestor, of which both must sign.
pub(crate) struct Attestor {
    pub(crate) index: u8,
    pub(crate) ecdsa: Secp256k1Key,
    pub(crate) slh_dsa: SecretKey,
}

impl Attestor {
    /// Fresh keys for everybody.
    pub(crate) fn all() -> Result<Vec<Attestor>, String> {
        let one = |index| {
            let ecdsa = Secp256k1Key::generate().map_err(words)?;
            let slh_dsa = SecretKey::generate(dsm_abi::Suite::SlhDsaSha2128s).map_err(words)?;
            Ok(Attestor { index, ecdsa, slh_dsa })
        };
        (0..ATTESTORS).map(one).collect()
    }
}

/// An asset of the EVM and the DSM token that stands for it; no asset for a token whose home is DSM.
pub(crate) struct Pair {
    pub(crate) asset: Option<[u8; 20]>,
    pub(crate) token: [u8; 32],
    pub(crate) name: &'static str,
    pub(crate) symbol: &'static str,
    pub(crate) decimals: u8,
    /// Releases above this wait in the contract's queue.
    pub(crate) queue_above: u128,
}

/// Where the contracts will be: tokens on DSM name the bridge's address, and the bridge names the tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub(crate) deployer: [u8; 20],
    pub(crate) erc20: [u8; 20],
    pub(crate) verifier: [u8; 20],
    pub(crate) bridge: [u8; 20],
}

impl Site {
    /// The addresses of the next three contracts of the chain's first account.
    pub(crate) fn plan(chain: &DevChain) -> Result<Site, String> {
        let deployer = chain.accounts()[0];
        let next = chain.nonce(deployer).map_err(words)?;
        let created = |nonce: u64| created_address(deployer.into(), nonce).into_array();
        Ok(Site { deployer, erc20: created(next), verifier: created(next + 1), bridge: created(next + 2) })
    }

    /// Makes the three contracts; gas of each.
    pub(crate) fn deploy(
        &self,
        chain: &DevChain,
        network: [u8; 32],
        attestors: &[Attestor],
        pairs: &[Pair],
    ) -> Result<[u64; 3], String> {
        let mut keys = Vec::new();
        for one in attestors {
            keys.push((one.ecdsa.address(), one.slh_dsa.public_key().try_into().map_err(words)?));
        }
        let quorum = verifier_init_code(Scheme::Hybrid, &hybrid_keys(&keys), THRESHOLD);
        let config = DsmBridge::Config {
            network: network.into(),
            verifier: self.verifier.into(),
            admin: self.deployer.into(),
            guardian: chain.accounts().last().copied().unwrap_or_default().into(),
            delay: DELAY_S,
            queueDelay: QUEUE_DELAY_S,
        };
        let assets = pairs.iter().filter_map(|pair| {
            let asset = Address::from(pair.asset?);
            Some(DsmBridge::NewAsset { asset, token: pair.token.into(), limits: limits(pair.queue_above) })
        });
        let wrapped = pairs.iter().filter(|pair| pair.asset.is_none()).map(|pair| DsmBridge::NewWrapped {
            token: pair.token.into(),
            policyCid: Vec::new().into(),
            name: pair.name.into(),
            symbol: pair.symbol.into(),
            decimals: pair.decimals,
            limits: limits(pair.queue_above),
        });
        let bridge = bridge_init_code(config, assets.collect(), wrapped.collect());
        let mut gas = [0; 3];
        let made = [(self.erc20, erc20_init_code()), (self.verifier, quorum), (self.bridge, bridge)];
        for (gas, (expected, code)) in gas.iter_mut().zip(made) {
            let receipt = chain.send(self.deployer, None, &code, 0).map_err(words)?;
            if receipt.contract != Some(expected) {
                return Err(format!("a contract is at {:02x?}, not at {expected:02x?}", receipt.contract));
            }
            *gas = receipt.gas;
        }
        Ok(gas)
    }

    /// Gives somebody units of the ERC-20: its maker is the chain's first account.
    pub(crate) fn give(&self, chain: &DevChain, to: [u8; 20], amount: u128) -> Result<(), String> {
        let call = DsmWrapped::mintCall { to: to.into(), amount: U256::from(amount) };
        chain.send(self.deployer, Some(self.erc20), &call.abi_encode(), 0).map_err(words)?;
        Ok(())
    }

    /// Locks ether; the lock's number.
    pub(crate) fn lock_ether(
        &self,
        chain: &DevChain,
        from: [u8; 20],
        wei: u128,
        recipient: [u8; 32],
        lasting_s: u64,
    ) -> Result<u64, String> {
        let deadline = chain.time_s().map_err(words)? + lasting_s;
        let call = DsmBridge::lockNativeCall { recipient: recipient.into(), deadline };
        self.lock(chain, from, &call.abi_encode(), wei)
    }

    /// Locks units of the ERC-20, after having allowed it; the lock's number.
    pub(crate) fn lock_erc20(
        &self,
        chain: &DevChain,
        from: [u8; 20],
        amount: u128,
        recipient: [u8; 32],
        lasting_s: u64,
    ) -> Result<u64, String> {
        let (spender, units) = (Address::from(self.bridge), U256::from(amount));
        let allow = IAsset::approveCall { spender, amount: units }.abi_encode();
        chain.send(from, Some(self.erc20), &allow, 0).map_err(words)?;
        let deadline = chain.time_s().map_err(words)? + lasting_s;
        let (asset, recipient) = (Address::from(self.erc20), B256::from(recipient));
        let call = DsmBridge::lockERC20Call { asset, amount: units, recipient, deadline };
        self.lock(chain, from, &call.abi_encode(), 0)
    }

    fn lock(&self, chain: &DevChain, from: [u8; 20], call: &[u8], wei: u128) -> Result<u64, String> {
        let receipt = chain.send(from, Some(self.bridge), call, wei).map_err(words)?;
        let found = receipt.logs.iter().find_map(|(topics, data)| {
            let topics: Vec<B256> = topics.iter().map(|topic| B256::from(*topic)).collect();
            match dsm_contracts::event(&topics, data)? {
                DsmBridge::DsmBridgeEvents::Locked(locked) => u64::try_from(locked.nonce).ok(),
                _ => None,
            }
        });
        found.ok_or_else(|| "a lock made no event".to_owned())
    }

    /// What the bridge holds for an asset: locked, less what was released and paid back.
    pub(crate) fn held(&self, chain: &DevChain, asset: [u8; 20]) -> Result<u128, String> {
        let info = self.ask(chain, DsmBridge::assetInfoCall { asset: asset.into() })?;
        let paid = info.released.checked_add(info.refunded).ok_or("more was paid than there is")?;
        info.locked.checked_sub(paid).ok_or_else(|| "more was paid than was locked".to_owned())
    }

    /// Units of a contract's own token that somebody has.
    pub(crate) fn units(&self, chain: &DevChain, asset: [u8; 20], owner: [u8; 20]) -> Result<u128, String> {
        let call = IAsset::balanceOfCall { owner: owner.into() };
        let told = chain.call(asset, &call.abi_encode()).map_err(words)?;
        u128::try_from(IAsset::balanceOfCall::abi_decode_returns(&told).map_err(words)?).map_err(words)
    }

    /// Asks the bridge.
    pub(crate) fn ask<C: SolCall>(&self, chain: &DevChain, call: C) -> Result<C::Return, String> {
        let told = chain.call(self.bridge, &call.abi_encode()).map_err(words)?;
        C::abi_decode_returns(&told).map_err(words)
    }
}

/// An ERC-20 whose maker issues it: the contract of a wrapped token, made by an account instead of a bridge.
fn erc20_init_code() -> Vec<u8> {
    let arguments = DsmWrapped::constructorCall {
        dsmToken_: B256::ZERO,
        policyCid_: Vec::new().into(),
        name_: "Demo Dollar".into(),
        symbol_: "DUSD".into(),
        decimals_: 6,
    };
    [&DsmWrapped::BYTECODE[..], &arguments.abi_encode()].concat()
}

fn limits(queue_above: u128) -> DsmBridge::Limits {
    DsmBridge::Limits {
        transferMax: PLENTY,
        outstandingMax: PLENTY,
        inCapacity: PLENTY,
        inRefill: PLENTY,
        outCapacity: PLENTY,
        outRefill: PLENTY,
        queueAbove: queue_above,
    }
}

fn words(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
