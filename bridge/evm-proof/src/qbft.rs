//! QBFT headers: who sealed them, and what that says to somebody who trusts an earlier set of validators.
//!
//! A header's extra data is `[vanity, validators, vote, round, seals]`. Two hashes hang from it. Seals sign the *commit
//! hash*, over the header with its real round and no seals. The *block hash*, which children name as their parent, is
//! over the header with round 0 and no seals; so one block sealed in two rounds is one block. The hash of the header
//! as it is sent is neither.
//!
//! **Trust.** Of n validators f = floor((n-1)/3) may be malicious. A header counts if every seal is by a distinct
//! validator of the header's own list, those are at least ceil(2n'/3) of it, and at least f+1 of the *trusted* set are
//! among them: one of these is honest, and an honest validator seals only under the list that is in force. Where the
//! list is the trusted one, that is just ceil(2n/3). Where too few of the trusted set are left, headers in between
//! are needed, each judged by this rule under the set of the one before. In contract mode the header has no list:
//! ceil(2n/3) of the trusted set must have sealed, and the next set is proven from the state that they sealed.
//!
//! Left out: counting votes. They explain why a list changed; the seals say that it did.

use crate::bounded;
use crate::mpt::{NotShown, Shown, prove_account, prove_storage};
use crate::rlp::{self, Items, RlpError, Writer};
use crate::{Address, EMPTY_OMMERS, HEADER_BYTES_MAX, Hash, Header, HeaderError, Seal};
use crate::{hex32, keccak256, word, word_address, word_number};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use borsh::io::Read;
use borsh::{BorshDeserialize, BorshSerialize};

/// Validators of one set: ten times what the protocol is used with, and their seals fit into a header.
pub const VALIDATORS_MAX: usize = 128;
/// The mix hash of every BFT block of Besu: "ctical byzantine fault tolerance".
const MIX_HASH: Hash = hex32("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365");
/// Half of the order of secp256k1, rounded down: a greater `s` is the second spelling of a seal.
const HALF_ORDER: Hash = hex32("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// Recovers who signed: the only cryptography that this crate needs and does not have.
pub trait RecoverSigner {
    /// The address whose key signed `digest`, if `signature` (`r`, `s`, recovery id 0 or 1) is one at all.
    fn recover(&self, digest: &Hash, signature: &Seal) -> Option<Address>;
}

/// Why a header, a set or a proof of a set does not count: the first check that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QbftError {
    /// The bytes are not a header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The extra data is not that of QBFT; IBFT 2.0 and older drafts end here.
    #[error("the extra data is not that of QBFT: {0}")]
    ExtraData(RlpError),
    /// The vote is neither to add nor to drop.
    #[error("the vote is neither to add nor to drop a validator")]
    Vote,
    /// The mix hash is not that of BFT blocks.
    #[error("the mix hash is not that of BFT blocks")]
    MixHash,
    /// The difficulty is not one.
    #[error("the difficulty is not 1")]
    Difficulty,
    /// The nonce is not zero.
    #[error("the nonce is not zero")]
    Nonce,
    /// The block has ommers.
    #[error("the block has ommers")]
    Ommers,
    /// More validators, or more seals, than a set can have.
    #[error("more than {VALIDATORS_MAX} validators or seals")]
    TooManyValidators,
    /// A set without validators.
    #[error("a set without validators")]
    NoValidators,
    /// The zero address as a validator.
    #[error("the zero address is no validator")]
    ZeroValidator,
    /// A validator stands twice in a list.
    #[error("a validator stands twice in the list")]
    DuplicateValidator,
    /// A seal's recovery id is neither 0 nor 1, or its `s` is high.
    #[error("seal {seal} is not in its one canonical form")]
    SealForm {
        /// Its position.
        seal: usize,
    },
    /// The header lists no validators, in header mode.
    #[error("the header lists no validators")]
    NoList,
    /// The header lists validators, in contract mode.
    #[error("the header lists validators, but they are kept by a contract")]
    UnexpectedList,
    /// No key signed this seal.
    #[error("seal {seal} is nobody's signature")]
    SealUnrecoverable {
        /// Its position.
        seal: usize,
    },
    /// A seal is by somebody who is not in the set.
    #[error("seal {seal} is by none of the validators")]
    SealByStranger {
        /// Its position.
        seal: usize,
    },
    /// A validator sealed twice.
    #[error("seal {seal} is by a validator who sealed already")]
    SealTwice {
        /// Its position.
        seal: usize,
    },
    /// Too few of the header's validators sealed.
    #[error("{found} of the header's validators sealed; {needed} are needed")]
    Quorum {
        /// ceil(2n/3).
        needed: usize,
        /// Those who did.
        found: usize,
    },
    /// Too few of the trusted validators sealed: a header in between is needed.
    #[error("{found} of the trusted validators sealed a header with another set; {needed} are needed")]
    Overlap {
        /// floor((n-1)/3)+1.
        needed: usize,
        /// Those who did.
        found: usize,
    },
    /// The header's time is in the future.
    #[error("the header is of {time_s} s, beyond {limit_s} s")]
    Future {
        /// The header's time.
        time_s: u64,
        /// The time now, and the drift that is allowed.
        limit_s: u64,
    },
    /// The trusted set was last confirmed too long ago.
    #[error("the trusted set expired at {expired_s} s")]
    TrustExpired {
        /// When.
        expired_s: u64,
    },
    /// The header is not above the trusted one.
    #[error("height {found} is not above {trusted}")]
    Height {
        /// The trusted height.
        trusted: u64,
        /// The header's.
        found: u64,
    },
    /// The set of the next block is kept by a contract, and no proof of it was given; or one where there is no contract.
    #[error("a proof of the set belongs to contract mode, and only to it")]
    SetProofPresence,
    /// The contract of the validators is not shown.
    #[error("the contract of the validators is not shown: {0}")]
    SetContract(NotShown),
    /// The contract of the validators does not exist in this state.
    #[error("the contract of the validators does not exist")]
    SetContractAbsent,
    /// The array of validators is not shown.
    #[error("the array of validators is not shown: {0}")]
    SetArray(NotShown),
    /// The array's proof has another number of elements than the array.
    #[error("the array has {length} elements, the proof shows {shown}")]
    SetLength {
        /// Elements in the array.
        length: u128,
        /// Elements in the proof.
        shown: usize,
    },
    /// An element of the array is not an address.
    #[error("element {element} of the array is not an address")]
    SetElement {
        /// Its position.
        element: usize,
    },
    /// Two headers are of one block, or of two heights: no equivocation.
    #[error("the headers are not of two blocks at one height")]
    NoEquivocation,
}

impl QbftError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            QbftError::Header(error) => error.code(),
            QbftError::ExtraData(_) => "qbft_extra_data",
            QbftError::Vote => "qbft_vote",
            QbftError::MixHash => "qbft_mix_hash",
            QbftError::Difficulty => "qbft_difficulty",
            QbftError::Nonce => "qbft_nonce",
            QbftError::Ommers => "qbft_ommers",
            QbftError::TooManyValidators => "qbft_too_many_validators",
            QbftError::NoValidators => "qbft_no_validators",
            QbftError::ZeroValidator => "qbft_zero_validator",
            QbftError::DuplicateValidator => "qbft_duplicate_validator",
            QbftError::SealForm { .. } => "qbft_seal_form",
            QbftError::NoList => "qbft_no_list",
            QbftError::UnexpectedList => "qbft_unexpected_list",
            QbftError::SealUnrecoverable { .. } => "qbft_seal_unrecoverable",
            QbftError::SealByStranger { .. } => "qbft_seal_by_stranger",
            QbftError::SealTwice { .. } => "qbft_seal_twice",
            QbftError::Quorum { .. } => "qbft_quorum",
            QbftError::Overlap { .. } => "qbft_overlap",
            QbftError::Future { .. } => "qbft_future",
            QbftError::TrustExpired { .. } => "qbft_trust_expired",
            QbftError::Height { .. } => "qbft_height",
            QbftError::SetProofPresence => "qbft_set_proof_presence",
            QbftError::SetContract(_) => "qbft_set_contract",
            QbftError::SetContractAbsent => "qbft_set_contract_absent",
            QbftError::SetArray(_) => "qbft_set_array",
            QbftError::SetLength { .. } => "qbft_set_length",
            QbftError::SetElement { .. } => "qbft_set_element",
            QbftError::NoEquivocation => "qbft_no_equivocation",
        }
    }
}

/// Seals that a set of `validators` needs: ceil(2n/3).
pub fn quorum(validators: usize) -> usize {
    (2 * validators).div_ceil(3)
}

/// Seals of a trusted set of `validators` among which one is honest: f+1 with f = floor((n-1)/3).
pub fn overlap(validators: usize) -> usize {
    validators.saturating_sub(1) / 3 + 1
}

fn check_validators(validators: &[Address]) -> Result<(), QbftError> {
    if validators.len() > VALIDATORS_MAX {
        return Err(QbftError::TooManyValidators);
    }
    if validators.contains(&[0; 20]) {
        return Err(QbftError::ZeroValidator);
    }
    let distinct: BTreeSet<&Address> = validators.iter().collect();
    if distinct.len() < validators.len() { Err(QbftError::DuplicateValidator) } else { Ok(()) }
}

/// What a proposer votes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    /// That this account become a validator.
    Add(Address),
    /// That this validator cease to be one.
    Drop(Address),
}

/// The extra data of a QBFT header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraData {
    /// Free bytes of the proposer.
    pub vanity: [u8; 32],
    /// The validators whose seals this block needs; empty where a contract keeps them.
    pub validators: Vec<Address>,
    /// The proposer's vote.
    pub vote: Option<Vote>,
    /// The round in which the block was agreed on.
    pub round: u32,
    /// The seals, in no order.
    pub seals: Vec<Seal>,
}

impl ExtraData {
    /// The extra data that `bytes` spell.
    ///
    /// # Errors
    /// [`QbftError::ExtraData`], [`QbftError::Vote`], and what is wrong with the list or the form of a seal.
    pub fn decode(bytes: &[u8]) -> Result<ExtraData, QbftError> {
        let read = |bytes| -> Result<(_, Items<'_>, Items<'_>, _, Items<'_>), RlpError> {
            let mut items = rlp::list(bytes)?;
            let read = (items.fixed()?, items.list()?, items.list()?, items.u32()?, items.list()?);
            items.finish()?;
            Ok(read)
        };
        let (vanity, validators, vote, round, seals) = read(bytes).map_err(QbftError::ExtraData)?;
        let validators = all(validators)?;
        check_validators(&validators)?;
        let seals = all(seals)?;
        if let Some(seal) = seals.iter().position(|seal| !is_canonical(seal)) {
            return Err(QbftError::SealForm { seal });
        }
        Ok(ExtraData { vanity, validators, vote: read_vote(vote)?, round, seals })
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(self.round, &self.seals)
    }

    fn encode_with(&self, round: u32, seals: &[Seal]) -> Vec<u8> {
        rlp::write_list(|fields| {
            fields.bytes(&self.vanity);
            fields.list(|list| {
                self.validators.iter().for_each(|validator| write_bytes(list, validator));
            });
            fields.list(|list| match &self.vote {
                None => {}
                Some(Vote::Add(recipient)) => _ = list.bytes(recipient).bytes(&[0xff]),
                Some(Vote::Drop(recipient)) => _ = list.bytes(recipient).bytes(&[]),
            });
            fields.number(round.into());
            fields.list(|list| seals.iter().for_each(|seal| write_bytes(list, seal)));
        })
    }
}

fn write_bytes(list: &mut Writer, bytes: &[u8]) {
    list.bytes(bytes);
}

/// All items of a list of things of one length.
fn all<const N: usize>(mut items: Items<'_>) -> Result<Vec<[u8; N]>, QbftError> {
    let mut all = Vec::new();
    while !items.is_empty() {
        if all.len() == VALIDATORS_MAX {
            return Err(QbftError::TooManyValidators);
        }
        all.push(items.fixed().map_err(QbftError::ExtraData)?);
    }
    Ok(all)
}

fn read_vote(mut items: Items<'_>) -> Result<Option<Vote>, QbftError> {
    if items.is_empty() {
        return Ok(None);
    }
    let recipient = items.address().map_err(QbftError::ExtraData)?;
    let direction = items.bytes().map_err(QbftError::ExtraData)?;
    items.finish().map_err(QbftError::ExtraData)?;
    match direction {
        [0xff] => Ok(Some(Vote::Add(recipient))),
        [] => Ok(Some(Vote::Drop(recipient))),
        _ => Err(QbftError::Vote),
    }
}

/// Recovery id 0 or 1, and the lower of the two values of `s`.
fn is_canonical(seal: &Seal) -> bool {
    seal[64] <= 1 && seal[32..64] <= HALF_ORDER[..]
}

/// A header in the form of QBFT. Nobody's seal was verified: see [`TrustedSet::verify_header`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QbftHeader {
    header: Header,
    extra: ExtraData,
    commit_hash: Hash,
    block_hash: Hash,
}

impl QbftHeader {
    /// The header that `bytes` spell, with its seals in place.
    ///
    /// # Errors
    /// [`QbftError`], the variants about form.
    pub fn decode(bytes: &[u8]) -> Result<QbftHeader, QbftError> {
        let header = Header::decode(bytes)?;
        let extra = ExtraData::decode(&header.extra_data)?;
        if header.mix_hash != MIX_HASH {
            return Err(QbftError::MixHash);
        }
        if header.difficulty != 1 {
            return Err(QbftError::Difficulty);
        }
        if header.nonce != [0; 8] {
            return Err(QbftError::Nonce);
        }
        if header.ommers_hash != EMPTY_OMMERS {
            return Err(QbftError::Ommers);
        }
        Ok(QbftHeader::hashed(header, extra))
    }

    /// Makes a QBFT header of any other: sets the constants and the extra data. For makers of headers; what comes out
    /// is judged like everything else, from its bytes.
    pub fn build(mut header: Header, extra: ExtraData) -> QbftHeader {
        header.extra_data = extra.encode();
        header.mix_hash = MIX_HASH;
        header.difficulty = 1;
        header.nonce = [0; 8];
        header.ommers_hash = EMPTY_OMMERS;
        QbftHeader::hashed(header, extra)
    }

    /// The same header with these seals instead of its own. Neither hash changes.
    pub fn with_seals(mut self, seals: Vec<Seal>) -> QbftHeader {
        self.extra.seals = seals;
        self.header.extra_data = self.extra.encode();
        self
    }

    fn hashed(header: Header, extra: ExtraData) -> QbftHeader {
        let without_seals = |round| keccak256(&[&header.encode_with(&extra.encode_with(round, &[]))]);
        let (commit_hash, block_hash) = (without_seals(extra.round), without_seals(0));
        QbftHeader { header, extra, commit_hash, block_hash }
    }

    /// The header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.header.encode()
    }

    /// What the validators sign.
    pub fn commit_hash(&self) -> Hash {
        self.commit_hash
    }

    /// What children name as their parent, and what the chain's nodes show.
    pub fn block_hash(&self) -> Hash {
        self.block_hash
    }

    /// The fields.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The fields of the extra data.
    pub fn extra(&self) -> &ExtraData {
        &self.extra
    }
}

/// Who decides which validators seal the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Mode {
    /// The validators, by votes; every header lists them.
    Header,
    /// A contract; headers list nobody.
    Contract(ValidatorContract),
}

/// Where a contract keeps the validators: a dynamic array of addresses, as Solidity lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValidatorContract {
    /// The contract.
    pub address: Address,
    /// The slot that holds the array's length.
    pub array_slot: Hash,
}

/// What a bridge's configuration says about judging headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Rules {
    /// Who decides about validators.
    pub mode: Mode,
    /// Seconds for which a set is trusted after the last header that it was confirmed by; 0: without end.
    pub trusting_period_s: u64,
    /// Seconds that a header may be ahead of the time now.
    pub clock_drift_s: u64,
}

/// A set of validators that is trusted, as configured or as proven since, and when it was last confirmed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct TrustedSet {
    validators: Vec<Address>,
    height: u64,
    time_s: u64,
}

impl BorshDeserialize for TrustedSet {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<TrustedSet> {
        let validators = bounded::items(reader, VALIDATORS_MAX, Address::deserialize_reader)?;
        let (height, time_s) = BorshDeserialize::deserialize_reader(reader)?;
        TrustedSet::new(validators, height, time_s).map_err(|_| bounded::invalid("not a set of validators"))
    }
}

impl TrustedSet {
    /// A set that is trusted because somebody says so: `height` and `time_s` are of the block that it was read from.
    ///
    /// # Errors
    /// [`QbftError::NoValidators`], [`QbftError::TooManyValidators`], [`QbftError::ZeroValidator`],
    /// [`QbftError::DuplicateValidator`].
    pub fn new(validators: Vec<Address>, height: u64, time_s: u64) -> Result<TrustedSet, QbftError> {
        if validators.is_empty() {
            return Err(QbftError::NoValidators);
        }
        check_validators(&validators)?;
        Ok(TrustedSet { validators, height, time_s })
    }

    /// The validators, in the order in which they were given.
    pub fn validators(&self) -> &[Address] {
        &self.validators
    }

    /// The height of the block that confirmed them last.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Its time, in seconds since the Unix epoch.
    pub fn time_s(&self) -> u64 {
        self.time_s
    }

    /// A header that this set makes believable at the time `now_s`: everything is checked.
    ///
    /// The header may be below the set's own height: what the set's quorum sealed is believable wherever it stands.
    ///
    /// # Errors
    /// [`QbftError`]: trust that ended, a header of the future, or what [`TrustedSet::verify_seals`] says.
    pub fn verify_header(
        &self,
        rules: &Rules,
        header: QbftHeader,
        now_s: u64,
        recover: &dyn RecoverSigner,
    ) -> Result<SealedHeader, QbftError> {
        let expired_s = self.time_s.saturating_add(rules.trusting_period_s);
        if rules.trusting_period_s > 0 && now_s > expired_s {
            return Err(QbftError::TrustExpired { expired_s });
        }
        let (time_s, limit_s) = (header.header.timestamp, now_s.saturating_add(rules.clock_drift_s));
        if time_s > limit_s {
            return Err(QbftError::Future { time_s, limit_s });
        }
        self.verify_seals(rules, header, recover)
    }

    /// A header that this set makes believable, whatever time it is: for convicting, where time is no excuse.
    ///
    /// # Errors
    /// [`QbftError`]: the list does not fit the mode, a seal does not count, or too few do.
    pub fn verify_seals(
        &self,
        rules: &Rules,
        header: QbftHeader,
        recover: &dyn RecoverSigner,
    ) -> Result<SealedHeader, QbftError> {
        let listed = header.extra.validators.as_slice();
        let sealing = match rules.mode {
            Mode::Header if listed.is_empty() => return Err(QbftError::NoList),
            Mode::Header => listed,
            Mode::Contract(_) if !listed.is_empty() => return Err(QbftError::UnexpectedList),
            Mode::Contract(_) => &self.validators,
        };
        let signers = signers(&header, sealing, recover)?;
        let (needed, found) = (quorum(sealing.len()), signers.len());
        if found < needed {
            return Err(QbftError::Quorum { needed, found });
        }
        let trusted = signers.iter().filter(|signer| self.validators.contains(signer)).count();
        let needed = overlap(self.validators.len());
        if trusted < needed {
            return Err(QbftError::Overlap { needed, found: trusted });
        }
        Ok(SealedHeader { header })
    }

    /// The set that seals the blocks after `sealed`, which this set made believable.
    ///
    /// In contract mode the next set is proven from the state that was sealed.
    ///
    /// # Errors
    /// [`QbftError::Height`] unless the header is above the set's; [`QbftError::SetProofPresence`]; and what is wrong
    /// with the proof.
    pub fn advance(
        &self,
        rules: &Rules,
        sealed: &SealedHeader,
        proof: Option<&ValidatorSetProof>,
    ) -> Result<TrustedSet, QbftError> {
        let found = sealed.number();
        if found <= self.height {
            return Err(QbftError::Height { trusted: self.height, found });
        }
        let validators = match (&rules.mode, proof) {
            (Mode::Header, None) => sealed.header.extra.validators.clone(),
            (Mode::Contract(contract), Some(proof)) => proof.verify(&sealed.state_root(), contract)?,
            (Mode::Header, Some(_)) | (Mode::Contract(_), None) => return Err(QbftError::SetProofPresence),
        };
        // A block's time never goes back; a configured time may be later than that of the first block seen.
        TrustedSet::new(validators, found, self.time_s.max(sealed.time_s()))
    }

    /// Applies an advance: decodes, verifies, and moves on.
    ///
    /// # Errors
    /// [`QbftError`].
    pub fn verify_advance(
        &self,
        rules: &Rules,
        advance: &Advance,
        now_s: u64,
        recover: &dyn RecoverSigner,
    ) -> Result<TrustedSet, QbftError> {
        let sealed = self.verify_header(rules, QbftHeader::decode(&advance.header)?, now_s, recover)?;
        self.advance(rules, &sealed, advance.set.as_ref())
    }

    /// Applies an advance that was verified before: for replaying one's own log, where seals were judged when it was
    /// written. Everything but the seals and the time is checked again.
    ///
    /// # Errors
    /// [`QbftError`].
    pub fn replay_advance(&self, rules: &Rules, advance: &Advance) -> Result<TrustedSet, QbftError> {
        self.advance(
            rules,
            &SealedHeader::believed(QbftHeader::decode(&advance.header)?),
            advance.set.as_ref(),
        )
    }
}

/// Who sealed the header: distinct members of `sealing`, or the first seal that does not count.
fn signers(
    header: &QbftHeader,
    sealing: &[Address],
    recover: &dyn RecoverSigner,
) -> Result<BTreeSet<Address>, QbftError> {
    // Recovering is what costs: more seals than validators cannot all count.
    if header.extra.seals.len() > sealing.len() {
        return Err(QbftError::SealTwice { seal: sealing.len() });
    }
    let mut signers = BTreeSet::new();
    for (seal, bytes) in header.extra.seals.iter().enumerate() {
        let signer =
            recover.recover(&header.commit_hash, bytes).ok_or(QbftError::SealUnrecoverable { seal })?;
        if !sealing.contains(&signer) {
            return Err(QbftError::SealByStranger { seal });
        }
        if !signers.insert(signer) {
            return Err(QbftError::SealTwice { seal });
        }
    }
    Ok(signers)
}

/// A header whose seals were verified under a trusted set: its state root may be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedHeader {
    header: QbftHeader,
}

impl SealedHeader {
    /// Takes a header as sealed without looking at its seals. Only for headers that come from one's own log, where
    /// they were verified when it was written.
    pub fn believed(header: QbftHeader) -> SealedHeader {
        SealedHeader { header }
    }

    /// The header.
    pub fn header(&self) -> &QbftHeader {
        &self.header
    }

    /// The height.
    pub fn number(&self) -> u64 {
        self.header.header.number
    }

    /// Seconds since the Unix epoch.
    pub fn time_s(&self) -> u64 {
        self.header.header.timestamp
    }

    /// The root of the state after this block.
    pub fn state_root(&self) -> Hash {
        self.header.header.state_root
    }

    /// The hash of the block before.
    pub fn parent_hash(&self) -> Hash {
        self.header.header.parent_hash
    }

    /// The hash of this block.
    pub fn block_hash(&self) -> Hash {
        self.header.block_hash
    }

    /// Convicts: two sealed blocks at one height. The same block in two rounds is none.
    ///
    /// # Errors
    /// [`QbftError::NoEquivocation`].
    pub fn convict(&self, other: &SealedHeader) -> Result<Equivocation, QbftError> {
        if self.number() != other.number() || self.block_hash() == other.block_hash() {
            return Err(QbftError::NoEquivocation);
        }
        Ok(Equivocation { height: self.number(), blocks: [self.block_hash(), other.block_hash()] })
    }
}

/// Two blocks that one set sealed at one height: more than f of its validators are malicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Equivocation {
    /// The height.
    pub height: u64,
    /// The two blocks.
    pub blocks: [Hash; 2],
}

/// What moves a trusted set: a sealed header, and in contract mode the proof of the next set under it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct Advance {
    /// The header's RLP with seals in place.
    pub header: Vec<u8>,
    /// The next set; `None` where headers list it.
    pub set: Option<ValidatorSetProof>,
}

impl BorshDeserialize for Advance {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<Advance> {
        let header = bounded::bytes(reader, HEADER_BYTES_MAX)?;
        Ok(Advance { header, set: BorshDeserialize::deserialize_reader(reader)? })
    }
}

/// The proof of a contract's array of validators: the contract, the array's length, each element.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct ValidatorSetProof {
    /// Nodes from the state root to the contract.
    pub account: Vec<Vec<u8>>,
    /// Nodes from its storage root to the array's length.
    pub length: Vec<Vec<u8>>,
    /// For each element, nodes from its storage root.
    pub elements: Vec<Vec<Vec<u8>>>,
}

impl BorshDeserialize for ValidatorSetProof {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<ValidatorSetProof> {
        let (account, length) = (bounded::nodes(reader)?, bounded::nodes(reader)?);
        Ok(ValidatorSetProof {
            account,
            length,
            elements: bounded::items(reader, VALIDATORS_MAX, bounded::nodes)?,
        })
    }
}

impl ValidatorSetProof {
    /// The array's elements under `state_root`.
    ///
    /// # Errors
    /// [`QbftError`], the variants about the set.
    pub fn verify(&self, state_root: &Hash, contract: &ValidatorContract) -> Result<Vec<Address>, QbftError> {
        let account = prove_account(state_root, &contract.address, &self.account);
        let Shown::Present(account) = account.map_err(QbftError::SetContract)? else {
            return Err(QbftError::SetContractAbsent);
        };
        let root = account.storage_root;
        let read =
            |key: &Hash, nodes: &[Vec<u8>]| prove_storage(&root, key, nodes).map_err(QbftError::SetArray);
        let length = match read(&contract.array_slot, &self.length)? {
            Shown::Present(length) => word_number(&length).unwrap_or(u128::MAX),
            Shown::Absent => return Err(QbftError::NoValidators),
        };
        let shown = self.elements.len();
        if length != shown as u128 {
            return Err(QbftError::SetLength { length, shown });
        }
        let first = keccak256(&[&contract.array_slot]);
        let mut validators = Vec::new();
        for (element, nodes) in self.elements.iter().enumerate() {
            let Shown::Present(value) = read(&plus(first, element), nodes)? else {
                return Err(QbftError::SetElement { element });
            };
            validators.push(word_address(&value).ok_or(QbftError::SetElement { element })?);
        }
        check_validators(&validators)?;
        Ok(validators)
    }
}

/// `slot + index`, modulo 2^256 as the EVM adds.
fn plus(slot: Hash, index: usize) -> Hash {
    let mut sum = word(index as u128);
    let mut carry = 0;
    for (digit, slot) in sum.iter_mut().zip(slot).rev() {
        let total = u16::from(*digit) + u16::from(slot) + carry;
        *digit = total as u8;
        carry = total >> 8;
    }
    sum
}
