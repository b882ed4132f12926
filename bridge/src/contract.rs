//! The contract's calls and events as bytes: the ABI's static words, and the few dynamic arguments there are.
//!
//! Formats are those of ADR 0001 and of the contract's source. Answers are read strictly: exactly the words that a
//! function returns, padding zero.

use crate::evm::{Address, Word};
use dsm_evm_proof::{Checkpoint, Entry, Lock, LockKind, Release, keccak256};

/// The event that tells of a lock.
const LOCKED: &str = "Locked(uint256,bytes32,bytes32,uint8,address,address,uint256,uint64,bytes32)";

/// A word with a number.
pub(crate) fn number(value: u128) -> Word {
    let mut word = [0; 32];
    word[16..].copy_from_slice(&value.to_be_bytes());
    word
}

fn address(value: &Address) -> Word {
    let mut word = [0; 32];
    word[12..].copy_from_slice(value);
    word
}

/// The hash of a text, such as an event's signature.
pub(crate) fn topic(text: &str) -> Word {
    keccak256(&[text.as_bytes()])
}

fn call(signature: &str, words: &[Word]) -> Vec<u8> {
    let mut data = topic(signature)[..4].to_vec();
    data.extend(words.iter().flatten());
    data
}

/// Bytes as a dynamic argument: their length, then they, padded.
fn tail(bytes: &[u8]) -> Vec<u8> {
    let mut out = number(bytes.len() as u128).to_vec();
    out.extend_from_slice(bytes);
    out.resize(32 + bytes.len().div_ceil(32) * 32, 0);
    out
}

/// The call that hands in a checkpoint.
pub(crate) fn submit_checkpoint(checkpoint: &Checkpoint, attestation: &[u8]) -> Vec<u8> {
    let signature = "submitCheckpoint((uint64,uint64,bytes32,uint64,bytes32,uint64),bytes)";
    let words = [
        number(checkpoint.epoch.into()),
        number(checkpoint.size.into()),
        checkpoint.root,
        number(checkpoint.set_id.into()),
        checkpoint.network,
        number(checkpoint.position.into()),
    ];
    let mut data = call(signature, &words);
    data.extend_from_slice(&number(32 * (words.len() as u128 + 1)));
    data.extend_from_slice(&tail(attestation));
    data
}

fn leaf_words(entry: &Entry) -> [Word; 4] {
    [number(entry.index.into()), entry.token, entry.actor, entry.transition]
}

fn with_proof(mut data: Vec<u8>, words_before: usize, proof: &[Word], epoch: u64) -> Vec<u8> {
    // The offset counts from the first argument: what stands before, this word, and the epoch.
    data.extend_from_slice(&number(32 * (words_before as u128 + 2)));
    data.extend_from_slice(&number(epoch.into()));
    data.extend_from_slice(&number(proof.len() as u128));
    data.extend(proof.iter().flatten());
    data
}

/// The call that releases a leaf.
pub(crate) fn release(entry: &Entry, release: &Release, proof: &[Word], epoch: u64) -> Vec<u8> {
    let signature =
        "release((uint64,bytes32,bytes32,bytes32),(uint8,address,address,uint256),bytes32[],uint64)";
    let mut words = leaf_words(entry).to_vec();
    words.extend([
        number(release.kind as u128),
        address(&release.asset),
        address(&release.to),
        number(release.amount),
    ]);
    with_proof(call(signature, &words), words.len(), proof, epoch)
}

/// The call that pays a lock back.
pub(crate) fn refund(entry: &Entry, lock: &Lock, proof: &[Word], epoch: u64) -> Vec<u8> {
    let signature = "refund((uint64,bytes32,bytes32,bytes32),(uint256,uint8,address,address,bytes32,bytes32,uint256,uint64),bytes32[],uint64)";
    let mut words = leaf_words(entry).to_vec();
    words.extend([
        number(lock.nonce.into()),
        number(lock.kind as u128),
        address(&lock.asset),
        address(&lock.sender),
        lock.token,
        lock.recipient,
        number(lock.amount),
        number(lock.deadline_s.into()),
    ]);
    with_proof(call(signature, &words), words.len(), proof, epoch)
}

/// The call that pays a queued release.
pub(crate) fn execute_queued(index: u64) -> Vec<u8> {
    call("executeQueued(uint64)", &[number(index.into())])
}

/// Questions to the contract.
pub(crate) mod ask {
    use super::{Address, address, call, number};

    pub(crate) fn outbox_size() -> Vec<u8> {
        call("outboxSize()", &[])
    }

    pub(crate) fn latest() -> Vec<u8> {
        call("latest()", &[])
    }

    pub(crate) fn spent(index: u64) -> Vec<u8> {
        call("spent(uint64)", &[number(index.into())])
    }

    pub(crate) fn queued(index: u64) -> Vec<u8> {
        call("queued(uint64)", &[number(index.into())])
    }

    pub(crate) fn paused(direction: u8) -> Vec<u8> {
        call("paused(uint8)", &[number(direction.into())])
    }

    pub(crate) fn verifier() -> Vec<u8> {
        call("verifier()", &[])
    }

    pub(crate) fn current_set_id() -> Vec<u8> {
        call("currentSetId()", &[])
    }

    pub(crate) fn quorum() -> Vec<u8> {
        call("quorum()", &[])
    }

    pub(crate) fn limits(asset: &Address) -> Vec<u8> {
        call("limits(address)", &[address(asset)])
    }
}

/// The words of an answer; `None` unless it is whole words.
pub(crate) fn words(bytes: &[u8]) -> Option<Vec<Word>> {
    let (words, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| words.to_vec())
}

/// A number that fits 128 bits.
pub(crate) fn read_number(word: &Word) -> Option<u128> {
    let (high, low) = word.split_first_chunk::<16>()?;
    let low: [u8; 16] = low.try_into().ok()?;
    (*high == [0; 16]).then(|| u128::from_be_bytes(low))
}

/// A number that fits 64 bits.
pub(crate) fn read_u64(word: &Word) -> Option<u64> {
    u64::try_from(read_number(word)?).ok()
}

/// An address: twelve zeros and twenty bytes.
pub(crate) fn read_address(word: &Word) -> Option<Address> {
    let (padding, address) = word.split_first_chunk::<12>()?;
    if *padding == [0; 12] { address.try_into().ok() } else { None }
}

/// The topic of the event that tells of a lock.
pub(crate) fn locked_topic() -> Word {
    topic(LOCKED)
}

/// The lock in an event, if it is one and its commitment is its own.
pub(crate) fn read_locked(topics: &[Word], data: &[u8], chain_id: u64, contract: &Address) -> Option<Lock> {
    let [event, nonce, token, recipient] = topics else { return None };
    let words = words(data)?;
    let [kind, asset, sender, amount, deadline, commitment] = words.as_slice() else { return None };
    if *event != locked_topic() {
        return None;
    }
    let lock = Lock {
        nonce: read_u64(nonce)?,
        kind: match read_number(kind)? {
            1 => LockKind::Native,
            2 => LockKind::Erc20,
            3 => LockKind::Burn,
            _ => return None,
        },
        asset: read_address(asset)?,
        sender: read_address(sender)?,
        token: *token,
        recipient: *recipient,
        amount: read_number(amount)?,
        deadline_s: read_u64(deadline)?,
    };
    (lock.check().is_ok() && lock.commitment(chain_id, contract) == *commitment).then_some(lock)
}

/// Errors of the contract and its verifier that a courier meets.
const ERRORS: [&str; 24] = [
    "DirectionPaused(uint8)",
    "UnknownAsset(address)",
    "WrongKind(address,uint8)",
    "AmountOutOfRange(uint256)",
    "WrongAmountPaid(uint256,uint256)",
    "EtherRefused(address)",
    "AboveTransferMax(uint256,uint256)",
    "AboveOutstandingMax(uint256,uint256)",
    "BucketEmpty(uint8,uint256,uint256)",
    "Underfunded(address)",
    "WrongNetwork(bytes32)",
    "EpochNotRising(uint64,uint64)",
    "SizeShrinks(uint64,uint64)",
    "RootChanged(bytes32)",
    "RootRevoked(bytes32)",
    "NotAttested()",
    "UnknownEpoch(uint64)",
    "BadProof()",
    "LeafSpent(uint64)",
    "TokenMismatch(bytes32,address)",
    "BadRecipient(address)",
    "NotQueued(uint64)",
    "TooEarly(uint256)",
    "BeforeDeadline(uint64)",
];

/// A refusal in words: the name of the contract's error, if its selector stands in what the endpoint said.
pub(crate) fn explain(message: &str) -> String {
    let found = ERRORS.iter().find(|error| {
        let selector = topic(error);
        message.contains(&format!("0x{}", hex::encode(&selector[..4])))
    });
    match found.and_then(|error| error.split('(').next()) {
        Some(name) => format!("{name} ({message})"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// What the compiler says that a contract understands, answers and tells.
    fn abi(artifact: &str, found: &mut BTreeSet<String>) {
        let artifact: Value = serde_json::from_str(artifact).unwrap();
        for entry in artifact["abi"].as_array().unwrap() {
            if let Some(name) = entry["name"].as_str() {
                found.insert(format!("{name}({})", types(&entry["inputs"])));
            }
        }
    }

    fn types(inputs: &Value) -> String {
        let words: Vec<String> = inputs.as_array().into_iter().flatten().map(type_of).collect();
        words.join(",")
    }

    fn type_of(input: &Value) -> String {
        let name = input["type"].as_str().unwrap();
        match name.strip_prefix("tuple") {
            Some(array) => format!("({}){array}", types(&input["components"])),
            None => name.to_owned(),
        }
    }

    /// Signatures are written by hand here: one that the contract does not have would be a call that always reverts.
    #[test]
    fn every_signature_is_the_contract_s() {
        let mut known = BTreeSet::new();
        abi(include_str!("../contracts/artifacts/DsmBridge.json"), &mut known);
        abi(include_str!("../contracts/artifacts/HybridQuorum.json"), &mut known);
        let source = include_str!("contract.rs");
        let code = source.split("#[cfg(test)]").next().unwrap();
        let is_signature = |text: &&str| {
            let name = text.split('(').next().unwrap_or_default();
            text.ends_with(')') && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let written: Vec<&str> = code.split('"').skip(1).step_by(2).filter(is_signature).collect();
        assert!(written.len() > 25, "{written:?}");
        let strange: Vec<_> = written.iter().filter(|one| !known.contains(**one)).collect();
        assert!(strange.is_empty(), "no contract has {strange:?}");
    }
}
