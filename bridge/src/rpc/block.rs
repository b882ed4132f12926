//! A block's header: JSON fields to RLP, hashed again and compared with the hash that the endpoint states.

use super::RpcError;
use super::json::{address, data, fixed, number, quantity, word};
use crate::evm::{Header, Source, Word};
use serde_json::Value;

/// Bytes of `extraData`: a vanity, 64 validators and their seals.
const EXTRA_BYTES_MAX: usize = 16 * 1024;
/// How the hash of a block follows from its header: as everywhere, or without seals and rounds.
pub(super) type HashRule = fn(&[u8]) -> Option<Word>;

/// The header in an answer to `eth_getBlockBy…`.
pub(super) fn header(block: &Value, rule: HashRule, source: Source) -> Result<Header, RpcError> {
    if block.is_null() {
        return Err(RpcError::Unknown("no such block"));
    }
    let field = |name: &str| block.get(name).unwrap_or(&Value::Null);
    let parent = word(field("parentHash"), "parentHash")?;
    let state_root = word(field("stateRoot"), "stateRoot")?;
    let height = number(field("number"), "number")?;
    let time_s = number(field("timestamp"), "timestamp")?;
    let later = |name: &str| Some(field(name)).filter(|value| !value.is_null());
    let header = dsm_evm_proof::Header {
        parent_hash: parent,
        ommers_hash: word(field("sha3Uncles"), "sha3Uncles")?,
        beneficiary: address(field("miner"), "miner")?,
        state_root,
        transactions_root: word(field("transactionsRoot"), "transactionsRoot")?,
        receipts_root: word(field("receiptsRoot"), "receiptsRoot")?,
        logs_bloom: Box::new(fixed::<256>(field("logsBloom"), "logsBloom")?),
        difficulty: quantity(field("difficulty"), "difficulty")?,
        number: height,
        gas_limit: number(field("gasLimit"), "gasLimit")?,
        gas_used: number(field("gasUsed"), "gasUsed")?,
        timestamp: time_s,
        extra_data: data(field("extraData"), "extraData", EXTRA_BYTES_MAX)?,
        mix_hash: word(field("mixHash"), "mixHash")?,
        nonce: fixed::<8>(field("nonce"), "nonce")?,
        base_fee: later("baseFeePerGas").map(|value| quantity(value, "baseFeePerGas")).transpose()?,
        withdrawals_root: later("withdrawalsRoot").map(|value| word(value, "withdrawalsRoot")).transpose()?,
        blob_gas: match (later("blobGasUsed"), later("excessBlobGas")) {
            (Some(used), Some(excess)) => {
                Some((number(used, "blobGasUsed")?, number(excess, "excessBlobGas")?))
            }
            (_, _) => None,
        },
        parent_beacon_root: later("parentBeaconBlockRoot")
            .map(|value| word(value, "parentBeaconBlockRoot"))
            .transpose()?,
        requests_hash: later("requestsHash").map(|value| word(value, "requestsHash")).transpose()?,
    };
    let rlp = header.encode();
    let stated = word(field("hash"), "hash")?;
    if rule(&rlp) != Some(stated) {
        return Err(RpcError::Contradiction(format!(
            "the header of block {height} does not hash to its hash"
        )));
    }
    let base_fee = header.base_fee;
    Ok(Header { number: height, hash: stated, parent, state_root, time_s, base_fee, rlp, source })
}
