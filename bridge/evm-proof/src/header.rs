//! Block headers, from before London to Prague: the fields, their one spelling, and the hash.
//!
//! What a header says is not judged here; whoever trusts its hash trusts its fields.

use crate::rlp::{self, RlpError};
use crate::{Address, Hash, hex32, keccak256};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Bytes of a header: 128 validators, a seal of each, and the other fields.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// The hash of the empty list of ommers.
pub const EMPTY_OMMERS: Hash = hex32("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");

/// A block header. Fields that a fork added are present from that fork on; the first absent one ends the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The hash of the block before.
    pub parent_hash: Hash,
    /// The hash of the list of ommers.
    pub ommers_hash: Hash,
    /// Who is paid, or who proposed.
    pub beneficiary: Address,
    /// The root of the state trie after this block.
    pub state_root: Hash,
    /// The root of the transactions.
    pub transactions_root: Hash,
    /// The root of the receipts.
    pub receipts_root: Hash,
    /// The bloom filter of the logs.
    pub logs_bloom: Box<[u8; 256]>,
    /// The difficulty.
    pub difficulty: u128,
    /// The height.
    pub number: u64,
    /// The limit of gas.
    pub gas_limit: u64,
    /// The gas used.
    pub gas_used: u64,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// What the consensus adds.
    pub extra_data: Vec<u8>,
    /// The mix hash: a constant that names the consensus, or randomness.
    pub mix_hash: Hash,
    /// The nonce of proof of work; zero elsewhere.
    pub nonce: [u8; 8],
    /// Since London: the base fee.
    pub base_fee: Option<u128>,
    /// Since Shanghai: the root of the withdrawals.
    pub withdrawals_root: Option<Hash>,
    /// Since Cancun: the gas used by blobs, and the gas in excess of the target.
    pub blob_gas: Option<(u64, u64)>,
    /// Since Cancun: the root of the parent beacon block.
    pub parent_beacon_root: Option<Hash>,
    /// Since Prague: the hash of the requests.
    pub requests_hash: Option<Hash>,
}

/// Why bytes are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Longer than any header.
    #[error("a header of {found} bytes; at most {HEADER_BYTES_MAX} are allowed")]
    TooLong {
        /// The bytes offered.
        found: usize,
    },
    /// A field is missing, malformed, or one too many.
    #[error("not a header: {0}")]
    Malformed(RlpError),
}

impl From<RlpError> for HeaderError {
    fn from(error: RlpError) -> HeaderError {
        HeaderError::Malformed(error)
    }
}

impl HeaderError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            HeaderError::TooLong { .. } => "header_too_long",
            HeaderError::Malformed(_) => "header_malformed",
        }
    }
}

impl Header {
    /// The header that `bytes` spell, all of them.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(HeaderError::TooLong { found: bytes.len() });
        }
        let mut items = rlp::list(bytes)?;
        let mut header = Header {
            parent_hash: items.fixed()?,
            ommers_hash: items.fixed()?,
            beneficiary: items.address()?,
            state_root: items.fixed()?,
            transactions_root: items.fixed()?,
            receipts_root: items.fixed()?,
            logs_bloom: Box::new(items.fixed()?),
            difficulty: items.u128()?,
            number: items.u64()?,
            gas_limit: items.u64()?,
            gas_used: items.u64()?,
            timestamp: items.u64()?,
            extra_data: items.bytes()?.to_vec(),
            mix_hash: items.fixed()?,
            nonce: items.fixed()?,
            base_fee: None,
            withdrawals_root: None,
            blob_gas: None,
            parent_beacon_root: None,
            requests_hash: None,
        };
        if !items.is_empty() {
            header.base_fee = Some(items.u128()?);
        }
        if !items.is_empty() {
            header.withdrawals_root = Some(items.fixed()?);
        }
        if !items.is_empty() {
            header.blob_gas = Some((items.u64()?, items.u64()?));
        }
        if !items.is_empty() {
            header.parent_beacon_root = Some(items.fixed()?);
        }
        if !items.is_empty() {
            header.requests_hash = Some(items.fixed()?);
        }
        items.finish()?;
        Ok(header)
    }

    /// The header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(&self.extra_data)
    }

    /// The bytes of this header with other extra data: what consensus protocols sign and hash.
    pub(crate) fn encode_with(&self, extra_data: &[u8]) -> Vec<u8> {
        rlp::write_list(|fields| {
            fields.bytes(&self.parent_hash).bytes(&self.ommers_hash).bytes(&self.beneficiary);
            fields.bytes(&self.state_root).bytes(&self.transactions_root).bytes(&self.receipts_root);
            fields.bytes(self.logs_bloom.as_slice()).number(self.difficulty);
            fields.number(self.number.into()).number(self.gas_limit.into()).number(self.gas_used.into());
            fields.number(self.timestamp.into()).bytes(extra_data).bytes(&self.mix_hash).bytes(&self.nonce);
            let Some(base_fee) = self.base_fee else { return };
            fields.number(base_fee);
            let Some(withdrawals_root) = self.withdrawals_root else { return };
            fields.bytes(&withdrawals_root);
            let Some((used, excess)) = self.blob_gas else { return };
            fields.number(used.into()).number(excess.into());
            let Some(parent_beacon_root) = self.parent_beacon_root else { return };
            fields.bytes(&parent_beacon_root);
            let Some(requests_hash) = self.requests_hash else { return };
            fields.bytes(&requests_hash);
        })
    }

    /// The block's hash, on chains that hash the whole header. QBFT does not: see [`crate::QbftHeader::block_hash`].
    pub fn hash(&self) -> Hash {
        keccak256(&[&self.encode()])
    }
}
