//! A development chain as its user sees it: accounts that anvil unlocks, transactions, calls, and time that obeys.

use crate::header::{bytes, hex_of, quantity};
use crate::rpc::{Rpc, RpcError};
use serde_json::{Value, json};

/// Gas of a transaction: half of a block.
const GAS: u64 = 15_000_000;
/// How often a receipt is asked for, and how long apart: a chain with a block time needs a while.
const RECEIPT_TRIES: u32 = 600;
const RECEIPT_WAIT: std::time::Duration = std::time::Duration::from_millis(50);

/// A chain whose node signs for everybody.
#[derive(Debug, Clone)]
pub struct DevChain {
    rpc: Rpc,
    accounts: Vec<[u8; 20]>,
}

/// What a transaction did.
#[derive(Debug, Clone)]
pub struct DevReceipt {
    /// Its block.
    pub block: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// What it created.
    pub contract: Option<[u8; 20]>,
    /// Topics and data of what it logged.
    pub logs: Vec<(Vec<[u8; 32]>, Vec<u8>)>,
    /// Gas that it took.
    pub gas: u64,
}

impl DevChain {
    /// The chain behind this URL, a node of the kind of anvil or a shim in front of one.
    ///
    /// # Errors
    /// [`RpcError`], also if the node unlocks no account.
    pub fn open(url: &str) -> Result<DevChain, RpcError> {
        let rpc = Rpc::new(url);
        let told = rpc.call("eth_accounts", json!([]))?;
        let accounts: Vec<[u8; 20]> =
            told.as_array().into_iter().flatten().filter_map(|one| bytes(one)?.try_into().ok()).collect();
        if accounts.is_empty() {
            return Err(RpcError::Unexpected(format!(
                "{url} unlocks no account: it is no development chain"
            )));
        }
        Ok(DevChain { rpc, accounts })
    }

    /// The accounts that the node signs for, with plenty of ether each.
    pub fn accounts(&self) -> &[[u8; 20]] {
        &self.accounts
    }

    /// The chain's id.
    ///
    /// # Errors
    /// [`RpcError`].
    pub fn chain_id(&self) -> Result<u64, RpcError> {
        self.number("eth_chainId", json!([]))
    }

    /// The newest block's height.
    ///
    /// # Errors
    /// [`RpcError`].
    pub fn height(&self) -> Result<u64, RpcError> {
        self.number("eth_blockNumber", json!([]))
    }

    /// The next nonce of an account.
    ///
    /// # Errors
    /// [`RpcError`].
    pub fn nonce(&self, account: [u8; 20]) -> Result<u64, RpcError> {
        self.number("eth_getTransactionCount", json!([hex_of(&account), "latest"]))
    }

    /// Wei of an account.
    ///
    /// # Errors
    /// [`RpcError`].
    pub fn balance(&self, account: [u8; 20]) -> Result<u128, RpcError> {
        let told = self.rpc.call("eth_getBalance", json!([hex_of(&account), "latest"]))?;
        let digits = told.as_str().and_then(|text| text.strip_prefix("0x"));
        let found = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
        found.ok_or_else(|| RpcError::Unexpected(format!("no balance: {told}")))
    }

    /// The newest block's time, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`RpcError`].
    pub fn time_s(&self) -> Result<u64, RpcError> {
        let block = self.rpc.call("eth_getBlockByNumber", json!(["latest", false]))?;
        quantity(&block["timestamp"]).ok_or_else(|| RpcError::Unexpected("a block without a time".into()))
    }

    /// Sends a transaction and waits for its block. Without `to` it creates a contract.
    ///
    /// # Errors
    /// [`RpcError::Refused`] if the chain refuses it, with the node's words.
    pub fn send(
        &self,
        from: [u8; 20],
        to: Option<[u8; 20]>,
        data: &[u8],
        value: u128,
    ) -> Result<DevReceipt, RpcError> {
        let mut transaction = json!({
            "from": hex_of(&from),
            "data": hex_of(data),
            "value": format!("{value:#x}"),
            "gas": format!("{GAS:#x}"),
        });
        if let Some(to) = to {
            transaction["to"] = json!(hex_of(&to));
        }
        // Asks first: a refusal comes with its reason, which a receipt does not have.
        self.rpc.call("eth_call", json!([transaction, "latest"]))?;
        let hash = self.rpc.call("eth_sendTransaction", json!([transaction]))?;
        for _ in 0..RECEIPT_TRIES {
            let receipt = self.rpc.call("eth_getTransactionReceipt", json!([hash]))?;
            if receipt.is_object() {
                return receipt_of(&receipt);
            }
            std::thread::sleep(RECEIPT_WAIT);
        }
        Err(RpcError::Unexpected(format!("no receipt of {hash}")))
    }

    /// Asks a contract.
    ///
    /// # Errors
    /// [`RpcError::Refused`] if it refuses.
    pub fn call(&self, to: [u8; 20], data: &[u8]) -> Result<Vec<u8>, RpcError> {
        let told =
            self.rpc.call("eth_call", json!([{ "to": hex_of(&to), "data": hex_of(data) }, "latest"]))?;
        bytes(&told).ok_or_else(|| RpcError::Unexpected(format!("no bytes: {told}")))
    }

    /// Makes empty blocks.
    ///
    /// # Errors
    /// [`RpcError`], on a node that is not of the kind of anvil.
    pub fn mine(&self, blocks: u64) -> Result<(), RpcError> {
        self.rpc.call("anvil_mine", json!([format!("{blocks:#x}")])).map(drop)
    }

    /// Makes a block every so many seconds from now on, and none for a transaction alone.
    ///
    /// # Errors
    /// [`RpcError`], on a node that is not of the kind of anvil.
    pub fn block_every(&self, seconds: u64) -> Result<(), RpcError> {
        self.rpc.call("evm_setAutomine", json!([false]))?;
        self.rpc.call("evm_setIntervalMining", json!([seconds])).map(drop)
    }

    /// Lets time pass on the chain, and makes a block that shows it.
    ///
    /// # Errors
    /// [`RpcError`], on a node that is not of the kind of anvil.
    pub fn warp(&self, seconds: u64) -> Result<(), RpcError> {
        self.rpc.call("evm_increaseTime", json!([seconds]))?;
        self.mine(1)
    }

    fn number(&self, method: &str, params: Value) -> Result<u64, RpcError> {
        let told = self.rpc.call(method, params)?;
        quantity(&told).ok_or_else(|| RpcError::Unexpected(format!("{method}: no number: {told}")))
    }
}

fn receipt_of(receipt: &Value) -> Result<DevReceipt, RpcError> {
    let bad =
        || RpcError::Unexpected(format!("not the receipt of a transaction that went through: {receipt}"));
    if receipt["status"] != "0x1" {
        return Err(bad());
    }
    let logs = receipt["logs"].as_array().into_iter().flatten().map(|log| {
        let topics = log["topics"].as_array()?.iter().map(crate::header::word).collect::<Option<Vec<_>>>()?;
        Some((topics, bytes(&log["data"])?))
    });
    Ok(DevReceipt {
        block: quantity(&receipt["blockNumber"]).ok_or_else(bad)?,
        hash: crate::header::word(&receipt["transactionHash"]).ok_or_else(bad)?,
        contract: bytes(&receipt["contractAddress"]).and_then(|address| address.try_into().ok()),
        logs: logs.collect::<Option<Vec<_>>>().ok_or_else(bad)?,
        gas: quantity(&receipt["gasUsed"]).ok_or_else(bad)?,
    })
}
