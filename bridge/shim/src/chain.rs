//! The resealed chain: for each of anvil's blocks the header that test validators sealed, linked by its own hashes.

use crate::header::{Header, hex_of, quantity, word};
use crate::rpc::{Rpc, RpcError};
use crate::validator::TestValidator;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// Blocks that it follows: all are in memory, and a test makes hundreds.
const BLOCKS_MAX: u64 = 100_000;
/// Every so many blocks the first proposer fails, so that round 1 is seen too.
const SECOND_ROUND_EVERY: u64 = 5;

/// How many validators seal a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seals {
    /// As many as QBFT demands: two thirds, rounded up.
    Quorum,
    /// So many of them, enough or not.
    Exactly(usize),
}

/// Whether headers list their validators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lists {
    /// Header mode: each header lists the set.
    Headers,
    /// Contract mode: the lists are empty, the set stands in a contract.
    Empty,
}

/// A block of both chains.
struct Block {
    /// Its hash at anvil.
    theirs: [u8; 32],
    /// Its hash here.
    ours: [u8; 32],
    header: Header,
}

/// The chain and its sets of validators.
pub(crate) struct Chain {
    upstream: Rpc,
    /// The set from a block on, by the validators' numbers.
    sets: BTreeMap<u64, Vec<u32>>,
    seals: Seals,
    lists: Lists,
    blocks: Vec<Block>,
    /// Both directions; hashes of blocks that a reorganisation removed stay known.
    ours: HashMap<[u8; 32], [u8; 32]>,
    theirs: HashMap<[u8; 32], [u8; 32]>,
}

impl Chain {
    pub(crate) fn new(upstream: Rpc, validators: Vec<u32>, seals: Seals, lists: Lists) -> Chain {
        let sets = BTreeMap::from([(0, validators)]);
        Chain {
            upstream,
            sets,
            seals,
            lists,
            blocks: Vec::new(),
            ours: HashMap::new(),
            theirs: HashMap::new(),
        }
    }

    /// The set that seals a block.
    pub(crate) fn set_at(&self, number: u64) -> Vec<u32> {
        self.sets.range(..=number).next_back().map(|(_, set)| set.clone()).unwrap_or_default()
    }

    /// Changes the set for blocks that nobody has seen; the first such block.
    pub(crate) fn rotate(&mut self, validators: Vec<u32>) -> Result<u64, RpcError> {
        self.follow()?;
        let from = self.blocks.len() as u64;
        self.sets.insert(from, validators);
        Ok(from)
    }

    /// How many seals blocks have from the next one on.
    pub(crate) fn set_seals(&mut self, seals: Seals) -> Result<(), RpcError> {
        self.follow()?;
        self.seals = seals;
        Ok(())
    }

    /// Takes up what anvil has made since, and gives up what anvil has given up.
    pub(crate) fn follow(&mut self) -> Result<(), RpcError> {
        let latest = self.upstream.call("eth_getBlockByNumber", json!(["latest", false]))?;
        let (Some(head), Some(hash)) = (quantity(&latest["number"]), word(&latest["hash"])) else {
            return Err(RpcError::Unexpected("the latest block has no number or no hash".into()));
        };
        if head >= BLOCKS_MAX {
            return Err(RpcError::Unexpected(format!("{head} blocks are more than the shim follows")));
        }
        if self.blocks.get(head as usize).is_some_and(|block| block.theirs == hash) {
            self.blocks.truncate(head as usize + 1);
            return Ok(());
        }
        self.blocks.truncate(head as usize);
        while let Some(last) = self.blocks.last() {
            let number = self.blocks.len() as u64 - 1;
            if word(&self.block(number)?["hash"]) == Some(last.theirs) {
                break;
            }
            self.blocks.pop();
        }
        for number in self.blocks.len() as u64..=head {
            let block = self.block(number)?;
            self.append(&block)?;
        }
        Ok(())
    }

    fn block(&self, number: u64) -> Result<Value, RpcError> {
        self.upstream.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false]))
    }

    fn append(&mut self, block: &Value) -> Result<(), RpcError> {
        let theirs =
            word(&block["hash"]).ok_or_else(|| RpcError::Unexpected("a block without hash".into()))?;
        let mut header = Header::of(block)?;
        if let Some(last) = self.blocks.last() {
            header.parent = last.ours;
        }
        if header.number % SECOND_ROUND_EVERY == SECOND_ROUND_EVERY - 1 {
            header.round = 1;
        }
        self.seal(&mut header);
        let ours = header.hash();
        self.ours.insert(theirs, ours);
        self.theirs.insert(ours, theirs);
        self.blocks.push(Block { theirs, ours, header });
        Ok(())
    }

    /// Lists the set, names the proposer, and seals, beginning with the proposer. Nobody seals a genesis.
    fn seal(&self, header: &mut Header) {
        let set: Vec<TestValidator> =
            self.set_at(header.number).into_iter().map(TestValidator::new).collect();
        if set.is_empty() {
            return;
        }
        let mut addresses: Vec<[u8; 20]> = set.iter().map(TestValidator::address).collect();
        let proposer = (header.number + header.round) as usize % set.len();
        header.miner = addresses[proposer];
        addresses.sort_unstable();
        header.listed = if self.lists == Lists::Headers { addresses } else { Vec::new() };
        let count = match self.seals {
            _ if header.number == 0 => 0,
            Seals::Quorum => (2 * set.len()).div_ceil(3),
            Seals::Exactly(count) => count.min(set.len()),
        };
        let sealing: Vec<&TestValidator> = set.iter().cycle().skip(proposer).take(count).collect();
        header.seal(&sealing);
    }

    /// A block's header on the wire.
    pub(crate) fn header(&mut self, number: u64) -> Result<Vec<u8>, RpcError> {
        self.follow()?;
        self.at(number).map(|block| block.header.wire())
    }

    /// A second header of a height, sealed as well as the first: what convicts the validators.
    pub(crate) fn twin(&mut self, number: u64) -> Result<Vec<u8>, RpcError> {
        self.follow()?;
        let mut header = self.at(number)?.header.clone();
        header.timestamp += 1;
        self.seal(&mut header);
        Ok(header.wire())
    }

    fn at(&self, number: u64) -> Result<&Block, RpcError> {
        let found = usize::try_from(number).ok().and_then(|number| self.blocks.get(number));
        found.ok_or_else(|| RpcError::Unexpected(format!("there is no block {number}")))
    }

    /// Replaces hashes that were learnt here by those that anvil knows.
    pub(crate) fn unsealed(&self, value: &mut Value) {
        match value {
            Value::String(_) => {
                if let Some(theirs) = word(value).and_then(|ours| self.theirs.get(&ours)) {
                    *value = Value::String(hex_of(theirs));
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.unsealed(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.unsealed(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Rewrites blocks, and the block hashes of logs, receipts and transactions.
    pub(crate) fn resealed(&mut self, value: &mut Value) -> Result<(), RpcError> {
        match value {
            Value::Array(values) => {
                for value in values {
                    self.resealed(value)?;
                }
            }
            Value::Object(fields) => {
                for value in fields.values_mut().filter(|value| value.is_array() || value.is_object()) {
                    self.resealed(value)?;
                }
                if let Some(hash) = fields.get("blockHash").and_then(word) {
                    let ours = self.known(hash)?;
                    fields.insert("blockHash".into(), Value::String(hex_of(&ours)));
                }
                let is_block = fields.contains_key("stateRoot") && fields.contains_key("parentHash");
                if let Some(hash) = fields.get("hash").filter(|_| is_block).and_then(word) {
                    let ours = self.known(hash)?;
                    let block = self.blocks.iter().rev().find(|block| block.ours == ours);
                    let block =
                        block.ok_or_else(|| RpcError::Unexpected("a block that was given up".into()))?;
                    block.header.write_into(fields);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(())
    }

    fn known(&mut self, theirs: [u8; 32]) -> Result<[u8; 32], RpcError> {
        if !self.ours.contains_key(&theirs) {
            self.follow()?;
        }
        let found = self.ours.get(&theirs).copied();
        found.ok_or_else(|| RpcError::Unexpected(format!("an unknown block {}", hex_of(&theirs))))
    }
}
