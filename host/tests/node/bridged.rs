//! A world with a bridge to a small EVM chain whose validators have real keys, and a token under the shipped policy
//! `wrapped`.

use crate::chain::{Chain, Sealers};
use crate::world::{START_MS, World, sign};
use dsm_abi::{BridgeId, TokenId};
use dsm_core::{BridgeConfig, Finality};
use dsm_crypto::Secp256k1Key;
use dsm_sdk::draft::wrapped_params;
use dsm_sdk::receipt::Receipt;

/// Seconds of the world's clock when it begins.
pub(crate) const START_S: u64 = START_MS / 1000;

const SEALERS: Sealers =
    Sealers { address: |n| validator(n).address(), seal: |n, digest| validator(n).sign_prehash(digest) };

fn validator(n: u8) -> Secp256k1Key {
    Secp256k1Key::from_secret_bytes(&[n; 32]).unwrap()
}

pub(crate) struct Bridged {
    pub(crate) chain: Chain,
    pub(crate) bridge: BridgeId,
    pub(crate) token: TokenId,
}

impl Bridged {
    /// Alice opens the bridge and creates the token, whose original is an ERC-20 of the chain.
    pub(crate) fn new(world: &World) -> Bridged {
        let chain = Chain::new(SEALERS, START_S);
        let finality = Finality::Qbft {
            validators: chain.addresses(),
            height: chain.height,
            trusting_period_s: 0,
            clock_drift_s: 60,
        };
        let config = BridgeConfig {
            network: world.node.network(),
            chain_id: chain.chain_id,
            contract: chain.contract,
            outbox_slot: chain.slot,
            finality,
            salt: [0; 32],
        };
        let bridge = config.id();
        let open = world.by(&world.alice).open_bridge(world.alice.account, config);
        world.accept(sign(open, &[&world.alice]));
        let policy = world.publish(include_bytes!("../../../policies/dist/wrapped.wasm"));
        let params = wrapped_params(bridge, 0, [0xaa; 20], chain.chain_id, chain.contract);
        let token = world.create_token("WRAP", vec![(policy, params)], None);
        Bridged { chain, bridge, token }
    }

    /// Locks for Bob, due a minute after the beginning.
    pub(crate) fn lock(&mut self, world: &World, amount: u128) -> u64 {
        self.chain.lock(self.token.0, world.bob.account.0, amount, START_S + 60)
    }

    /// Credits a lock by Alice, as a relayer whom it does not concern.
    pub(crate) fn credit(&self, world: &World, nonce: u64) -> Receipt {
        let alice = world.alice.account;
        let credit = world.by(&world.alice).credit_lock(alice, self.bridge, self.chain.proof(nonce));
        world.accept(sign(credit, &[&world.alice]))
    }

    /// Withdraws units of Bob, after he has claimed what waits for him.
    pub(crate) fn withdraw(&self, world: &World, to: [u8; 20], amount: u128) -> Receipt {
        let bob = world.bob.account;
        let claim = world.by(&world.bob).claim(bob, world.credit(&world.bob));
        world.accept(sign(claim, &[&world.bob]));
        world.accept(sign(world.by(&world.bob).withdraw(bob, self.token, 0, to, amount), &[&world.bob]))
    }
}
