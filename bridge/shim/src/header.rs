//! A header of London as QBFT has it: what is hashed for seals, what is hashed for the block, what is on the wire.

use crate::rlp;
use crate::rpc::RpcError;
use crate::validator::TestValidator;
use dsm_crypto::keccak_256;
use serde_json::Value;

/// What stands in `extraData` of every resealed header: nobody shall take it for a real one.
const VANITY: &[u8; 32] = b"dsm-qbft-shim, test validators  ";
/// The mix hash that marks a block of Istanbul BFT.
const MIX_HASH: [u8; 32] = [
    0x63, 0x74, 0x69, 0x63, 0x61, 0x6c, 0x20, 0x62, 0x79, 0x7a, 0x61, 0x6e, 0x74, 0x69, 0x6e, 0x65, 0x20,
    0x66, 0x61, 0x75, 0x6c, 0x74, 0x20, 0x74, 0x6f, 0x6c, 0x65, 0x72, 0x61, 0x6e, 0x63, 0x65,
];

/// The fields of a header that anvil made, and what QBFT adds.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) parent: [u8; 32],
    pub(crate) miner: [u8; 20],
    pub(crate) number: u64,
    /// Uncles, state, transactions, receipts: as anvil has them.
    roots: [[u8; 32]; 4],
    bloom: Vec<u8>,
    gas_limit: u64,
    gas_used: u64,
    pub(crate) timestamp: u64,
    base_fee: u64,
    /// The set that the header lists.
    pub(crate) listed: Vec<[u8; 20]>,
    pub(crate) round: u64,
    pub(crate) seals: Vec<[u8; 65]>,
}

impl Header {
    /// Takes over what anvil says of a block.
    pub(crate) fn of(block: &Value) -> Result<Header, RpcError> {
        let bad = |name: &str| RpcError::Unexpected(format!("a block without {name}"));
        let number = |name: &str| quantity(&block[name]).ok_or_else(|| bad(name));
        let word = |name: &str| word(&block[name]).ok_or_else(|| bad(name));
        Ok(Header {
            parent: word("parentHash")?,
            miner: [0; 20],
            number: number("number")?,
            roots: [
                word("sha3Uncles")?,
                word("stateRoot")?,
                word("transactionsRoot")?,
                word("receiptsRoot")?,
            ],
            bloom: bytes(&block["logsBloom"])
                .filter(|bloom| bloom.len() == 256)
                .ok_or_else(|| bad("logsBloom"))?,
            gas_limit: number("gasLimit")?,
            gas_used: number("gasUsed")?,
            timestamp: number("timestamp")?,
            base_fee: number("baseFeePerGas")?,
            listed: Vec::new(),
            round: 0,
            seals: Vec::new(),
        })
    }

    /// Puts seals in place, in this order.
    pub(crate) fn seal(&mut self, validators: &[&TestValidator]) {
        self.seals.clear();
        let hash = keccak_256(&self.encode(self.round, &[]));
        self.seals = validators.iter().map(|validator| validator.seal(&hash)).collect();
    }

    /// The hash that names the block: round 0, no seals.
    pub(crate) fn hash(&self) -> [u8; 32] {
        keccak_256(&self.encode(0, &[]))
    }

    /// The header as it is on the wire.
    pub(crate) fn wire(&self) -> Vec<u8> {
        self.encode(self.round, &self.seals)
    }

    fn extra(&self, round: u64, seals: &[[u8; 65]]) -> Vec<u8> {
        let listed: Vec<Vec<u8>> = self.listed.iter().map(|address| rlp::string(address)).collect();
        let seals: Vec<Vec<u8>> = seals.iter().map(|seal| rlp::string(seal)).collect();
        rlp::list(&[
            rlp::string(VANITY),
            rlp::list(&listed),
            // No vote.
            rlp::list(&[]),
            rlp::number(round),
            rlp::list(&seals),
        ])
    }

    fn encode(&self, round: u64, seals: &[[u8; 65]]) -> Vec<u8> {
        let [uncles, state, transactions, receipts] = &self.roots;
        rlp::list(&[
            rlp::string(&self.parent),
            rlp::string(uncles),
            rlp::string(&self.miner),
            rlp::string(state),
            rlp::string(transactions),
            rlp::string(receipts),
            rlp::string(&self.bloom),
            rlp::number(1),
            rlp::number(self.number),
            rlp::number(self.gas_limit),
            rlp::number(self.gas_used),
            rlp::number(self.timestamp),
            rlp::string(&self.extra(round, seals)),
            rlp::string(&MIX_HASH),
            rlp::string(&[0; 8]),
            rlp::number(self.base_fee),
        ])
    }

    /// Writes what QBFT changes into anvil's JSON of the same block, and removes what London does not have.
    pub(crate) fn write_into(&self, block: &mut serde_json::Map<String, Value>) {
        for later in [
            "blobGasUsed",
            "excessBlobGas",
            "parentBeaconBlockRoot",
            "requestsHash",
            "withdrawalsRoot",
            "withdrawals",
        ] {
            block.remove(later);
        }
        let mut set = |name: &str, value: String| block.insert(name.to_owned(), Value::String(value));
        set("hash", hex_of(&self.hash()));
        set("parentHash", hex_of(&self.parent));
        set("miner", hex_of(&self.miner));
        set("extraData", hex_of(&self.extra(self.round, &self.seals)));
        set("mixHash", hex_of(&MIX_HASH));
        set("nonce", hex_of(&[0; 8]));
        set("difficulty", "0x1".into());
        set("totalDifficulty", format!("{:#x}", self.number + 1));
        set("size", format!("{:#x}", self.wire().len()));
    }
}

/// Bytes as JSON-RPC writes them.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Bytes, if that is what stands there.
pub(crate) fn bytes(value: &Value) -> Option<Vec<u8>> {
    hex::decode(value.as_str()?.strip_prefix("0x")?).ok()
}

/// A word, if that is what stands there.
pub(crate) fn word(value: &Value) -> Option<[u8; 32]> {
    bytes(value)?.try_into().ok()
}

/// A number, if that is what stands there.
pub(crate) fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}
