//! The EVM side by endpoints: each question goes to one after another until an answer stands the checks.

use super::block::{self, HashRule};
use super::json::{address, data, hex_data, hex_number, nodes, number, quantity, word};
use super::{ENDPOINTS_MAX, Endpoint, Patience, RpcError};
use crate::contract::{self, ask};
use crate::evm::{
    Address, Call, ContractView, Evm, EvmError, Fees, Header, LockHint, Shown, Source, Spent, TxReceipt, Word,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Blocks that one search for logs covers.
const LOG_BLOCKS: u64 = 10_000;
/// Searches for one lock at a time.
const LOG_SEARCHES_MAX: u64 = 64;
/// Logs of one nonce: there is one, or somebody lies.
const LOGS_MAX: usize = 4;
/// Bytes of what a call returns.
const RETURN_BYTES_MAX: usize = 4096;
/// Bytes of an event's data.
const EVENT_BYTES_MAX: usize = 1024;

/// Which blocks count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalityMode {
    /// Blocks with the seals of the trusted validators. The relayer checks them.
    Sealed,
    /// Blocks that the endpoints call final, if enough of them agree on the hash.
    Finalized,
    /// Blocks with so many on top, if enough endpoints agree on the hash.
    Confirmations(u64),
}

/// What an endpoint said when it was asked which chain it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The endpoint, without keys in its URL.
    pub endpoint: String,
    /// The chain, or why it is not known.
    pub chain_id: Result<u64, RpcError>,
}

/// How an endpoint does, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EndpointView {
    /// The endpoint, without keys in its URL.
    pub endpoint: String,
    /// Why it is not asked at present.
    pub resting: Option<String>,
    /// How often it was caught with a contradiction.
    pub contradictions: u32,
    /// Questions that it was asked.
    pub asked: u64,
    /// Answers that could not be used.
    pub failed: u64,
}

/// The EVM side over JSON-RPC.
#[derive(Debug)]
pub struct RpcEvm {
    endpoints: Vec<Endpoint>,
    chain_id: u64,
    contract: Address,
    finality: FinalityMode,
    /// How many endpoints have to agree on a hash where no seals decide.
    agreement: usize,
    hash_rule: HashRule,
}

impl RpcEvm {
    /// Endpoints of one chain with the bridge's contract. Nothing is asked yet.
    ///
    /// # Errors
    /// A sentence that names what cannot be.
    pub fn new(
        urls: &[String],
        chain_id: u64,
        contract: Address,
        finality: FinalityMode,
        agreement: usize,
        patience: Patience,
    ) -> Result<RpcEvm, String> {
        if urls.is_empty() || urls.len() > ENDPOINTS_MAX {
            return Err(format!("1 to {ENDPOINTS_MAX} endpoints are needed"));
        }
        if !(1..=urls.len()).contains(&agreement) {
            return Err(format!("agreement of {agreement} endpoints cannot be had from {}", urls.len()));
        }
        let endpoints: Result<Vec<_>, _> = urls.iter().map(|url| Endpoint::new(url, patience)).collect();
        let hash_rule: HashRule = match finality {
            FinalityMode::Sealed => |rlp| Some(dsm_evm_proof::QbftHeader::decode(rlp).ok()?.block_hash()),
            FinalityMode::Finalized | FinalityMode::Confirmations(_) => {
                |rlp| Some(dsm_evm_proof::keccak256(&[rlp]))
            }
        };
        Ok(RpcEvm { endpoints: endpoints?, chain_id, contract, finality, agreement, hash_rule })
    }

    /// Asks every endpoint which chain it serves.
    pub fn identify(&self) -> Vec<Finding> {
        let ask = |endpoint: &Endpoint| Finding {
            endpoint: endpoint.shown().to_owned(),
            chain_id: endpoint.ask("eth_chainId", json!([])).and_then(|answer| number(&answer, "chain id")),
        };
        self.endpoints.iter().map(ask).collect()
    }

    /// Whether the contract's address has code, as far as anybody knows.
    ///
    /// # Errors
    /// [`EvmError`].
    pub fn has_code(&self) -> Result<bool, EvmError> {
        self.first(|endpoint, _| {
            let answer = endpoint.ask("eth_getCode", json!([hex_data(&self.contract), "latest"]))?;
            Ok(answer.as_str().is_some_and(|code| code.len() > 2))
        })
    }

    /// How the endpoints do.
    pub fn views(&self) -> Vec<EndpointView> {
        let view = |endpoint: &Endpoint| {
            let (asked, failed) = endpoint.counts();
            EndpointView {
                endpoint: endpoint.shown().to_owned(),
                resting: endpoint.resting(),
                contradictions: endpoint.contradictions(),
                asked,
                failed,
            }
        };
        self.endpoints.iter().map(view).collect()
    }

    /// One question to one endpoint, which has to serve the right chain.
    fn one<T>(
        &self,
        at: usize,
        question: &impl Fn(&Endpoint, Source) -> Result<T, RpcError>,
    ) -> Result<T, RpcError> {
        let endpoint = &self.endpoints[at];
        let answer = self.identified(endpoint).and_then(|()| question(endpoint, Source(at)));
        match &answer {
            Ok(_) => endpoint.praise(),
            Err(error) => endpoint.blame(error),
        }
        answer
    }

    fn identified(&self, endpoint: &Endpoint) -> Result<(), RpcError> {
        if !endpoint.is_unidentified() {
            return Ok(());
        }
        let found = number(&endpoint.ask("eth_chainId", json!([]))?, "chain id")?;
        if found != self.chain_id {
            let expected = self.chain_id;
            return Err(RpcError::Contradiction(format!("it serves chain {found}, not {expected}")));
        }
        endpoint.identified();
        Ok(())
    }

    /// The first answer that can be used.
    fn first<T>(&self, question: impl Fn(&Endpoint, Source) -> Result<T, RpcError>) -> Result<T, EvmError> {
        let mut reasons = Vec::new();
        for at in 0..self.endpoints.len() {
            match self.one(at, &question) {
                Ok(answer) => return Ok(answer),
                Err(error) => reasons.push((at, error)),
            }
        }
        Err(self.no_answer(&reasons))
    }

    /// Every answer that can be used, and why the others cannot.
    fn all<T>(
        &self,
        question: impl Fn(&Endpoint, Source) -> Result<T, RpcError>,
    ) -> (Vec<T>, Vec<(usize, RpcError)>) {
        let (mut answers, mut reasons) = (Vec::new(), Vec::new());
        for at in 0..self.endpoints.len() {
            match self.one(at, &question) {
                Ok(answer) => answers.push(answer),
                Err(error) => reasons.push((at, error)),
            }
        }
        (answers, reasons)
    }

    fn no_answer(&self, reasons: &[(usize, RpcError)]) -> EvmError {
        let reasons: Vec<String> =
            reasons.iter().map(|(at, error)| format!("{}: {error}", self.endpoints[*at].shown())).collect();
        EvmError::NoAnswer(reasons.join("; "))
    }

    /// An endpoint that refuses a transaction may be right; only if all of them do the chain does.
    fn unless_refused(&self, reasons: &[(usize, RpcError)], made: fn(String) -> EvmError) -> EvmError {
        let refused = reasons.iter().find_map(|(_, error)| match error {
            RpcError::Refused { message, .. } => Some(message.clone()),
            _ => None,
        });
        refused.map_or_else(|| self.no_answer(reasons), made)
    }

    fn block(&self, endpoint: &Endpoint, source: Source, tag: &str) -> Result<Header, RpcError> {
        block::header(&endpoint.ask("eth_getBlockByNumber", json!([tag, false]))?, self.hash_rule, source)
    }

    fn block_at(&self, endpoint: &Endpoint, source: Source, height: u64) -> Result<Header, RpcError> {
        let header = self.block(endpoint, source, &hex_number(height))?;
        if header.number == height {
            return Ok(header);
        }
        Err(RpcError::Contradiction(format!("asked for block {height}, got {}", header.number)))
    }

    /// The block at `height` on whose hash enough endpoints agree. Those of another opinion are named.
    fn agreed(&self, height: u64) -> Result<Header, EvmError> {
        let (headers, reasons) = self.all(|endpoint, source| self.block_at(endpoint, source, height));
        let mut votes: BTreeMap<Word, usize> = BTreeMap::new();
        for header in &headers {
            *votes.entry(header.hash).or_default() += 1;
        }
        let Some((hash, agreed)) = votes.into_iter().max_by_key(|(_, count)| *count) else {
            return Err(self.no_answer(&reasons));
        };
        if agreed < self.agreement {
            return Err(EvmError::NoAgreement { height, agreed, needed: self.agreement });
        }
        let (mut same, other): (Vec<_>, Vec<_>) = headers.into_iter().partition(|header| header.hash == hash);
        for header in other {
            self.distrust(header.source, &format!("another block {height} than {agreed} others"));
        }
        Ok(same.swap_remove(0))
    }

    /// The greatest height that enough endpoints have reached.
    fn reached(&self, tag: &str) -> Result<u64, EvmError> {
        let (headers, reasons) = self.all(|endpoint, source| self.block(endpoint, source, tag));
        let mut heights: Vec<u64> = headers.iter().map(|header| header.number).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        heights.get(self.agreement - 1).copied().ok_or_else(|| self.no_answer(&reasons))
    }

    /// The words that a question to a contract is answered with.
    fn words<const N: usize>(
        &self,
        endpoint: &Endpoint,
        to: &Address,
        question: &[u8],
    ) -> Result<[Word; N], RpcError> {
        let call = json!({ "to": hex_data(to), "data": hex_data(question) });
        let answer = endpoint.ask("eth_call", json!([call, "latest"]))?;
        let bytes = data(&answer, "the answer of a call", RETURN_BYTES_MAX)?;
        if bytes.is_empty() {
            return Err(RpcError::Unknown("there is no such contract or function"));
        }
        let words = contract::words(&bytes).and_then(|words| <[Word; N]>::try_from(words).ok());
        words.ok_or_else(|| RpcError::Malformed("a call returns other words".to_owned()))
    }

    fn small(&self, endpoint: &Endpoint, to: &Address, question: &[u8]) -> Result<u64, RpcError> {
        let [word] = self.words(endpoint, to, question)?;
        contract::read_u64(&word).ok_or_else(|| RpcError::Malformed("a number out of range".to_owned()))
    }

    fn flag(&self, endpoint: &Endpoint, question: &[u8]) -> Result<bool, RpcError> {
        match self.small(endpoint, &self.contract, question)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RpcError::Malformed("neither true nor false".to_owned())),
        }
    }

    fn view(&self, endpoint: &Endpoint) -> Result<ContractView, RpcError> {
        let wrong = || RpcError::Malformed("a number out of range".to_owned());
        let outbox_size = self.small(endpoint, &self.contract, &ask::outbox_size())?;
        let latest: [Word; 3] = self.words(endpoint, &self.contract, &ask::latest())?;
        let [verifier] = self.words(endpoint, &self.contract, &ask::verifier())?;
        let verifier = contract::read_address(&verifier).ok_or_else(wrong)?;
        let set_id = self.small(endpoint, &verifier, &ask::current_set_id())?;
        let quorum: [Word; 2] = self.words(endpoint, &verifier, &ask::quorum())?;
        Ok(ContractView {
            outbox_size,
            epoch: contract::read_u64(&latest[0]).ok_or_else(wrong)?,
            size: contract::read_u64(&latest[1]).ok_or_else(wrong)?,
            root: latest[2],
            set_id,
            threshold: contract::read_u64(&quorum[1]).and_then(|k| u8::try_from(k).ok()).ok_or_else(wrong)?,
            deposits_paused: self.flag(endpoint, &ask::paused(0))?,
            withdrawals_paused: self.flag(endpoint, &ask::paused(1))?,
        })
    }

    /// What a call returns.
    ///
    /// # Errors
    /// [`EvmError::Reverted`] if the contract refuses.
    pub fn call(&self, call: &Call) -> Result<Vec<u8>, EvmError> {
        let params = json!([{ "to": hex_data(&call.to), "data": hex_data(&call.data) }, "latest"]);
        let mut reasons = Vec::new();
        for at in 0..self.endpoints.len() {
            let question = |endpoint: &Endpoint, _| {
                data(&endpoint.ask("eth_call", params.clone())?, "the answer of a call", RETURN_BYTES_MAX)
            };
            match self.one(at, &question) {
                Ok(answer) => return Ok(answer),
                Err(error) => reasons.push((at, error)),
            }
        }
        Err(self.unless_refused(&reasons, EvmError::Reverted))
    }

    /// The limits of an asset as the contract states them, word by word.
    ///
    /// # Errors
    /// [`EvmError`].
    pub fn limits(&self, asset: &Address) -> Result<[u128; 7], EvmError> {
        self.first(|endpoint, _| {
            let words: [Word; 7] = self.words(endpoint, &self.contract, &ask::limits(asset))?;
            let mut numbers = [0; 7];
            for (number, word) in numbers.iter_mut().zip(&words) {
                *number = contract::read_number(word)
                    .ok_or_else(|| RpcError::Malformed("a limit out of range".to_owned()))?;
            }
            Ok(numbers)
        })
    }

    fn logs(
        &self,
        endpoint: &Endpoint,
        source: Source,
        nonce: u64,
        blocks: (u64, u64),
    ) -> Result<Option<LockHint>, RpcError> {
        let filter = json!({
            "address": hex_data(&self.contract),
            "fromBlock": hex_number(blocks.0),
            "toBlock": hex_number(blocks.1),
            "topics": [hex_data(&contract::locked_topic()), hex_data(&contract::number(nonce.into()))],
        });
        let answer = endpoint.ask("eth_getLogs", json!([filter]))?;
        let Some(logs) = answer.as_array() else { return Err(RpcError::Unknown("no list of logs")) };
        let logs: Vec<&Value> =
            logs.iter().filter(|log| log.get("removed").and_then(Value::as_bool) != Some(true)).collect();
        if logs.len() > LOGS_MAX {
            return Err(RpcError::Contradiction(format!("{} events of lock {nonce}", logs.len())));
        }
        let Some(log) = logs.first() else { return Ok(None) };
        let field = |name: &str| log.get(name).unwrap_or(&Value::Null);
        let topics = field("topics").as_array().map_or(&[] as &[Value], Vec::as_slice);
        let topics: Result<Vec<Word>, _> =
            topics.iter().take(5).map(|topic| word(topic, "a topic")).collect();
        let content = data(field("data"), "an event's data", EVENT_BYTES_MAX)?;
        let lock = contract::read_locked(&topics?, &content, self.chain_id, &self.contract);
        let lock = lock.filter(|lock| lock.nonce == nonce && logs.len() == 1);
        let lock =
            lock.filter(|_| address(field("address"), "an address").is_ok_and(|at| at == self.contract));
        let Some(lock) = lock else {
            return Err(RpcError::Contradiction(format!("what it calls lock {nonce} is none")));
        };
        let block = number(field("blockNumber"), "blockNumber")?;
        let transaction = word(field("transactionHash"), "transactionHash")?;
        Ok(Some(LockHint { lock, block, transaction, source }))
    }
}

impl Evm for RpcEvm {
    fn sources(&self) -> usize {
        self.endpoints.len()
    }

    fn distrust(&self, source: Source, reason: &str) {
        if let Some(endpoint) = self.endpoints.get(source.0) {
            endpoint.blame(&RpcError::Contradiction(reason.to_owned()));
        }
    }

    fn newest(&self) -> Result<Header, EvmError> {
        match self.finality {
            FinalityMode::Sealed => {
                // Whoever is behind must not hide what others have; what is not sealed is found out by its seals.
                let (headers, reasons) = self.all(|endpoint, source| self.block(endpoint, source, "latest"));
                headers
                    .into_iter()
                    .rev()
                    .max_by_key(|header| header.number)
                    .ok_or_else(|| self.no_answer(&reasons))
            }
            FinalityMode::Finalized => self.agreed(self.reached("finalized")?),
            FinalityMode::Confirmations(count) => self.agreed(self.reached("latest")?.saturating_sub(count)),
        }
    }

    fn header(&self, number: u64) -> Result<Header, EvmError> {
        match self.finality {
            FinalityMode::Sealed => self.first(|endpoint, source| self.block_at(endpoint, source, number)),
            FinalityMode::Finalized | FinalityMode::Confirmations(_) => self.agreed(number),
        }
    }

    fn lock_hint(&self, nonce: u64, from_block: u64) -> Result<Option<LockHint>, EvmError> {
        let (hints, reasons) = {
            let mut reasons = Vec::new();
            let mut found = None;
            let mut silent = false;
            for at in 0..self.endpoints.len() {
                let answer = self.one(at, &|endpoint: &Endpoint, source| {
                    let head = number(&endpoint.ask("eth_blockNumber", json!([]))?, "a height")?;
                    let mut start = from_block;
                    for _ in 0..LOG_SEARCHES_MAX {
                        if start > head {
                            break;
                        }
                        let end = head.min(start.saturating_add(LOG_BLOCKS - 1));
                        if let Some(hint) = self.logs(endpoint, source, nonce, (start, end))? {
                            return Ok(Some(hint));
                        }
                        start = end + 1;
                    }
                    Ok(None)
                });
                match answer {
                    Ok(Some(hint)) => {
                        found = Some(hint);
                        break;
                    }
                    // It may be behind: the next one is asked.
                    Ok(None) => silent = true,
                    Err(error) => reasons.push((at, error)),
                }
            }
            (if silent || found.is_some() { Some(found) } else { None }, reasons)
        };
        hints.ok_or_else(|| self.no_answer(&reasons))
    }

    fn prove(&self, header: &Header, holder: Address, slot: Word) -> Result<Shown, EvmError> {
        self.first(|endpoint, source| {
            let params = json!([hex_data(&holder), [hex_data(&slot)], hex_number(header.number)]);
            let answer = endpoint.ask("eth_getProof", params)?;
            let part = answer.get("storageProof").and_then(Value::as_array);
            let (Some(account), Some([part])) = (answer.get("accountProof"), part.map(Vec::as_slice)) else {
                return Err(RpcError::Unknown("no proof"));
            };
            let account = nodes(account, "an account proof")?;
            let storage = nodes(part.get("proof").unwrap_or(&Value::Null), "a storage proof")?;
            let lie = |error: dsm_evm_proof::NotShown| {
                // Nothing at all is what a node without that state says; everything else is a proof that is none.
                if account.is_empty() {
                    return RpcError::Unknown("an empty proof");
                }
                RpcError::Contradiction(format!("its proof under block {}: {error}", header.number))
            };
            match dsm_evm_proof::prove_account(&header.state_root, &holder, &account).map_err(lie)? {
                dsm_evm_proof::Shown::Absent => Ok(Shown::Absent),
                dsm_evm_proof::Shown::Present(found) => {
                    match dsm_evm_proof::prove_storage(&found.storage_root, &slot, &storage).map_err(lie)? {
                        dsm_evm_proof::Shown::Absent => Ok(Shown::Absent),
                        dsm_evm_proof::Shown::Present(value) => Ok(Shown::Present {
                            value,
                            account: account.clone(),
                            storage: storage.clone(),
                            source,
                        }),
                    }
                }
            }
        })
    }

    fn contract(&self) -> Result<ContractView, EvmError> {
        self.first(|endpoint, _| self.view(endpoint))
    }

    fn spent(&self, index: u64) -> Result<Spent, EvmError> {
        self.first(|endpoint, _| {
            if !self.flag(endpoint, &ask::spent(index))? {
                return Ok(Spent::No);
            }
            let queued: [Word; 5] = self.words(endpoint, &self.contract, &ask::queued(index))?;
            match (contract::read_u64(&queued[2]), contract::read_u64(&queued[1])) {
                (Some(1), Some(ready_s)) => Ok(Spent::Queued { ready_s }),
                (Some(0 | 2 | 3), Some(_)) => Ok(Spent::Yes),
                (_, _) => Err(RpcError::Malformed("a queue state that is none".to_owned())),
            }
        })
    }

    fn fees(&self) -> Result<Fees, EvmError> {
        self.first(|endpoint, source| {
            let price = quantity(&endpoint.ask("eth_gasPrice", json!([]))?, "a gas price")?;
            let newest = self.block(endpoint, source, "latest")?;
            Ok(match newest.base_fee {
                None => Fees { max: price, tip: None },
                Some(base) => {
                    let tip = price.saturating_sub(base);
                    Fees { max: base.saturating_mul(2).saturating_add(tip), tip: Some(tip) }
                }
            })
        })
    }

    fn account_nonce(&self, account: Address) -> Result<u64, EvmError> {
        self.first(|endpoint, _| {
            let params = json!([hex_data(&account), "latest"]);
            number(&endpoint.ask("eth_getTransactionCount", params)?, "a nonce")
        })
    }

    fn estimate(&self, from: Address, call: &Call) -> Result<u64, EvmError> {
        let params =
            json!([{ "from": hex_data(&from), "to": hex_data(&call.to), "data": hex_data(&call.data) }]);
        let mut reasons = Vec::new();
        for at in 0..self.endpoints.len() {
            let question = |endpoint: &Endpoint, _| {
                number(&endpoint.ask("eth_estimateGas", params.clone())?, "an amount of gas")
            };
            match self.one(at, &question) {
                Ok(gas) => return Ok(gas),
                Err(error) => reasons.push((at, error)),
            }
        }
        Err(self.unless_refused(&reasons, EvmError::Reverted))
    }

    fn send(&self, raw: &[u8]) -> Result<(), EvmError> {
        // To all of them: one that swallows it must not hold it up.
        let (taken, reasons) = self.all(|endpoint, _| {
            word(&endpoint.ask("eth_sendRawTransaction", json!([hex_data(raw)]))?, "a transaction's hash")
        });
        if taken.is_empty() { Err(self.unless_refused(&reasons, EvmError::NotTaken)) } else { Ok(()) }
    }

    fn receipt(&self, hash: Word) -> Result<Option<TxReceipt>, EvmError> {
        let mut reasons = Vec::new();
        let mut silent = false;
        for at in 0..self.endpoints.len() {
            let answer = self.one(at, &|endpoint: &Endpoint, _| {
                let answer = endpoint.ask("eth_getTransactionReceipt", json!([hex_data(&hash)]))?;
                if answer.is_null() {
                    return Ok(None);
                }
                let field = |name: &str| answer.get(name).unwrap_or(&Value::Null);
                if word(field("transactionHash"), "transactionHash")? != hash {
                    return Err(RpcError::Contradiction("the receipt of another transaction".to_owned()));
                }
                let success = match number(field("status"), "status")? {
                    0 => false,
                    1 => true,
                    _ => return Err(RpcError::Malformed("a status that is none".to_owned())),
                };
                let block = number(field("blockNumber"), "blockNumber")?;
                Ok(Some(TxReceipt { block, success, gas: number(field("gasUsed"), "gasUsed")? }))
            });
            match answer {
                Ok(Some(receipt)) => return Ok(Some(receipt)),
                Ok(None) => silent = true,
                Err(error) => reasons.push((at, error)),
            }
        }
        if silent { Ok(None) } else { Err(self.no_answer(&reasons)) }
    }
}
