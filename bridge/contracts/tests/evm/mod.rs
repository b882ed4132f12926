//! A chain of one process for tests: `revm` with London's rules, chain id 138, blocks that this harness numbers and dates.

#![allow(dead_code)] // Each test binary uses its part.

use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use alloy_sol_types::SolCall;
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::result::{ExecutionResult, Output};
use revm::database::InMemoryDB;
use revm::primitives::hardfork::SpecId;
use revm::{
    Context, DatabaseRef as _, ExecuteCommitEvm as _, ExecuteEvm as _, MainBuilder as _, MainContext as _,
};

/// The chain's id unless a test says otherwise.
pub(crate) const CHAIN: u64 = 138;
/// The block gas limit of the target chain, and the limit of one transaction here.
pub(crate) const GAS: u64 = 30_000_000;
/// When the first block was made: a date in 2026.
pub(crate) const BIRTH: u64 = 1_780_000_000;

/// A chain.
pub(crate) struct Evm {
    pub(crate) db: InMemoryDB,
    pub(crate) chain_id: u64,
    pub(crate) time_s: u64,
    pub(crate) height: u64,
    pub(crate) gas_limit: u64,
}

/// What a transaction did.
#[derive(Debug)]
pub(crate) struct Done {
    /// What it returned; of a refused one, what it answered.
    pub(crate) output: Bytes,
    /// Gas of the whole transaction, after refunds.
    pub(crate) gas: u64,
    pub(crate) logs: Vec<Log>,
    pub(crate) ok: bool,
    /// Of a creation.
    pub(crate) created: Option<Address>,
}

impl Done {
    /// The transaction, which has to have succeeded.
    #[track_caller]
    pub(crate) fn expect_ok(self) -> Done {
        assert!(self.ok, "refused: {}", dsm_contracts::refusal(&self.output));
        self
    }

    /// The refusal's bytes, selector first.
    #[track_caller]
    pub(crate) fn expect_refused(self) -> Bytes {
        assert!(!self.ok, "accepted: {self:?}");
        self.output
    }
}

impl Evm {
    pub(crate) fn new() -> Evm {
        Evm { db: InMemoryDB::default(), chain_id: CHAIN, time_s: BIRTH, height: 1, gas_limit: GAS }
    }

    /// A test account with ether.
    pub(crate) fn account(&mut self, number: u8) -> Address {
        let address = Address::repeat_byte(number);
        self.fund(address, U256::from(10u128.pow(24)));
        address
    }

    pub(crate) fn fund(&mut self, address: Address, wei: U256) {
        let mut info = self.db.basic_ref(address).expect("memory").unwrap_or_default();
        info.balance = wei;
        self.db.insert_account_info(address, info);
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        self.db.basic_ref(address).expect("memory").unwrap_or_default().balance
    }

    pub(crate) fn storage(&self, address: Address, key: B256) -> B256 {
        B256::from(self.db.storage_ref(address, key.into()).expect("memory"))
    }

    /// The address that the next creation by `sender` gets.
    pub(crate) fn next_address(&self, sender: Address) -> Address {
        sender.create(self.db.basic_ref(sender).expect("memory").unwrap_or_default().nonce)
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, seconds: u64) {
        self.time_s += seconds;
        self.height += 1;
    }

    /// Creates a contract, which has to work.
    #[track_caller]
    pub(crate) fn deploy(&mut self, sender: Address, init_code: Vec<u8>) -> Address {
        self.create(sender, init_code).expect_ok().created.expect("a creation")
    }

    /// Creates a contract, which may refuse to be made.
    pub(crate) fn create(&mut self, sender: Address, init_code: Vec<u8>) -> Done {
        self.transact(sender, TxKind::Create, U256::ZERO, init_code)
    }

    /// Sends a call as a transaction and keeps its effects.
    pub(crate) fn send(&mut self, sender: Address, to: Address, value: u128, call: &impl SolCall) -> Done {
        self.send_raw(sender, to, value, call.abi_encode())
    }

    /// As `send`, with bytes.
    pub(crate) fn send_raw(&mut self, sender: Address, to: Address, value: u128, data: Vec<u8>) -> Done {
        self.transact(sender, TxKind::Call(to), U256::from(value), data)
    }

    /// Asks without effects and decodes the answer.
    #[track_caller]
    pub(crate) fn view<C: SolCall>(&mut self, to: Address, call: &C) -> C::Return {
        let done = self.ask(to, call.abi_encode()).expect_ok();
        C::abi_decode_returns(&done.output).expect("the ABI's answer")
    }

    /// Asks without effects.
    pub(crate) fn ask(&mut self, to: Address, data: Vec<u8>) -> Done {
        let transaction = self.transaction(Address::ZERO, TxKind::Call(to), U256::ZERO, data);
        let mut evm = self.context(true).build_mainnet();
        done(evm.transact(transaction).expect("a valid transaction").result)
    }

    fn transact(&mut self, sender: Address, kind: TxKind, value: U256, data: Vec<u8>) -> Done {
        let transaction = self.transaction(sender, kind, value, data);
        let mut evm = self.context(false).build_mainnet();
        let result = evm.transact_commit(transaction).expect("a valid transaction");
        self.height += 1;
        done(result)
    }

    fn transaction(&self, caller: Address, kind: TxKind, value: U256, data: Vec<u8>) -> TxEnv {
        let nonce = self.db.basic_ref(caller).expect("memory").unwrap_or_default().nonce;
        TxEnv {
            caller,
            kind,
            value,
            nonce,
            data: data.into(),
            gas_limit: self.gas_limit,
            chain_id: Some(self.chain_id),
            ..TxEnv::default()
        }
    }

    fn context(
        &mut self,
        asking: bool,
    ) -> Context<BlockEnv, TxEnv, CfgEnv, &mut InMemoryDB, revm::Journal<&mut InMemoryDB>, ()> {
        let mut cfg = CfgEnv::new_with_spec(SpecId::LONDON);
        cfg.chain_id = self.chain_id;
        let block = BlockEnv {
            number: U256::from(self.height),
            timestamp: U256::from(self.time_s),
            gas_limit: if asking { u64::MAX } else { GAS },
            basefee: 0,
            ..BlockEnv::default()
        };
        Context::mainnet().with_cfg(cfg).with_block(block).with_db(&mut self.db)
    }
}

fn done(result: ExecutionResult) -> Done {
    let gas = result.tx_gas_used();
    match result {
        ExecutionResult::Success { logs, output, .. } => {
            let created = match &output {
                Output::Create(_, created) => *created,
                Output::Call(_) => None,
            };
            Done { output: output.into_data(), gas, logs, ok: true, created }
        }
        ExecutionResult::Revert { output, logs, .. } => Done { output, gas, logs, ok: false, created: None },
        ExecutionResult::Halt { logs, .. } => {
            Done { output: Bytes::new(), gas, logs, ok: false, created: None }
        }
    }
}
