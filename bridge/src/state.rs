//! What the service must not forget: one redb file, one write transaction for each step, durable when it returns.
//!
//! | table | key | row |
//! |---|---|---|
//! | `trusted_header` | height | [`HeaderRow`]: headers that counted, the last [`HEADERS_KEPT`] |
//! | `evm_lock` | nonce | [`LockRow`]: seen → proven → credited or refunded |
//! | `dsm_out` | outbox index | [`OutRow`]: leaf → checkpointed → queued → released |
//! | `withdrawal` | transition | [`WithdrawalRow`]: what users asked to relay |
//! | `sign_once` | epoch | [`SignedRow`]: what this attestor put its name to |
//! | `tx_queue` | nonce of the gas account | [`TxRow`]: what was sent, under every hash it ever had |
//! | `alarm` | number | [`AlarmRow`] |
//! | `cursor` | name | small values: the pending transition, the freeze, the pauses, how far things went |
//!
//! Rows are Borsh. The chains decide, not this file: whatever it says of a lock or a leaf is compared with them at
//! start. Only `sign_once`, `alarm` and the freeze are the truth themselves.

use crate::evm::{Address, Word};
use borsh::{BorshDeserialize, BorshSerialize};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// Headers that are kept to notice reorganisations and to convict: at two seconds a block, more than half an hour.
pub const HEADERS_KEPT: usize = 1024;
/// Alarms that are kept; the oldest acknowledged ones go first.
const ALARMS_MAX: u64 = 10_000;
/// Bytes of a row: a proof with its header.
const ROW_BYTES_MAX: usize = 256 * 1024;

type Numbered = TableDefinition<'static, u64, &'static [u8]>;
type Hashed = TableDefinition<'static, &'static [u8], &'static [u8]>;
type Named = TableDefinition<'static, &'static str, &'static [u8]>;

const HEADERS: Numbered = TableDefinition::new("trusted_header");
const LOCKS: Numbered = TableDefinition::new("evm_lock");
const OUT: Numbered = TableDefinition::new("dsm_out");
const WITHDRAWALS: Hashed = TableDefinition::new("withdrawal");
const SIGNED: Numbered = TableDefinition::new("sign_once");
const QUEUE: Numbered = TableDefinition::new("tx_queue");
const ALARMS: Numbered = TableDefinition::new("alarm");
const CURSOR: Named = TableDefinition::new("cursor");

/// A header that counted.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeaderRow {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: Word,
    /// Its RLP, seals in place: what convicts if another one of this height turns up.
    pub rlp: Vec<u8>,
}

/// How far a lock is.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum LockState {
    /// Somebody says that it exists.
    Seen,
    /// Its storage proof hangs from a header that counts.
    Proven {
        /// The header's height.
        height: u64,
        /// The header's hash.
        hash: Word,
    },
    /// DSM credited it.
    Credited {
        /// The transition that did.
        transition: Word,
        /// The header that this service proved it by; none if somebody else did.
        under: Option<(u64, Word)>,
    },
    /// DSM refunded it: its leaf releases it on the EVM side.
    Refunded {
        /// The transition that did.
        transition: Word,
    },
}

impl LockState {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            LockState::Seen => "seen",
            LockState::Proven { .. } => "proven",
            LockState::Credited { .. } => "credited",
            LockState::Refunded { .. } => "refunded",
        }
    }

    /// Whether nothing further happens to it on the DSM side.
    pub fn is_final(&self) -> bool {
        matches!(self, LockState::Credited { .. } | LockState::Refunded { .. })
    }
}

/// When something is tried again, and why it did not work the last time.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Retry {
    /// Failures in a row.
    pub failures: u32,
    /// Not before, in ms since the Unix epoch.
    pub next_ms: u64,
    /// What went wrong; empty if nothing did.
    pub reason: String,
}

/// The first wait after a failure; each further one is twice as long.
const RETRY_MS: u64 = 1_000;
/// The longest wait.
const RETRY_MS_MAX: u64 = 300_000;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 300;

impl Retry {
    /// Notes a failure.
    pub fn failed(&mut self, now_ms: u64, reason: &str) {
        let wait = RETRY_MS.saturating_mul(1 << self.failures.min(20)).min(RETRY_MS_MAX);
        self.failures = self.failures.saturating_add(1);
        self.next_ms = now_ms.saturating_add(wait);
        self.reason = reason.chars().take(REASON_BYTES_MAX).collect();
    }

    /// Notes that it went well.
    pub fn cleared(&mut self) {
        *self = Retry::default();
    }

    /// Whether it may be tried.
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.next_ms
    }
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LockRow {
    /// The lock's preimage: a hint until it is proven.
    pub lock: dsm_evm_proof::Lock,
    /// The block that it is said to be in.
    pub block: u64,
    /// The transaction that is said to have made it.
    pub transaction: Word,
    /// How far it is.
    pub state: LockState,
    /// The canonical bytes of the newest [`dsm_evm_proof::EvmLockProof`] of it; empty until it is proven.
    pub proof: Vec<u8>,
    /// The next try.
    pub retry: Retry,
}

/// How far a leaf of DSM's outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum OutState {
    /// It is in the outbox.
    Leaf,
    /// A checkpoint that the contract took covers it.
    Checkpointed,
    /// The contract took it and waits until this second.
    Queued {
        /// Seconds since the Unix epoch.
        ready_s: u64,
    },
    /// The contract paid it, or vetoed it.
    Released,
    /// It is not for this contract.
    Elsewhere,
}

impl OutState {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            OutState::Leaf => "leaf",
            OutState::Checkpointed => "checkpointed",
            OutState::Queued { .. } => "queued",
            OutState::Released => "released",
            OutState::Elsewhere => "elsewhere",
        }
    }

    /// Whether nothing further happens to it.
    pub fn is_final(&self) -> bool {
        matches!(self, OutState::Released | OutState::Elsewhere)
    }
}

/// A leaf of DSM's outbox.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OutRow {
    /// The leaf.
    pub entry: dsm_evm_proof::Entry,
    /// How far it is.
    pub state: OutState,
    /// The next try.
    pub retry: Retry,
}

/// A withdrawal that somebody had this service relay.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct WithdrawalRow {
    /// When it came, in ms since the Unix epoch.
    pub time_ms: u64,
    /// Its place in DSM's log.
    pub position: u64,
    /// Its leaves are not before this index.
    pub from: u64,
}

/// What this attestor put its name to.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedRow {
    /// The digest that was signed.
    pub digest: Word,
    /// The leaves under the root.
    pub size: u64,
    /// The root.
    pub root: Word,
}

/// What a transaction of the gas account is for.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Purpose {
    /// Hands a checkpoint to the contract.
    Checkpoint {
        /// Its epoch.
        epoch: u64,
    },
    /// Releases a leaf.
    Release {
        /// Its index.
        index: u64,
    },
    /// Pays a lock back.
    Refund {
        /// The leaf's index.
        index: u64,
    },
    /// Executes a queued release.
    Execute {
        /// The leaf's index.
        index: u64,
    },
}

impl Purpose {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Purpose::Checkpoint { .. } => "checkpoint",
            Purpose::Release { .. } => "release",
            Purpose::Refund { .. } => "refund",
            Purpose::Execute { .. } => "execute",
        }
    }

    /// The leaf that it moves.
    pub fn index(&self) -> Option<u64> {
        match self {
            Purpose::Checkpoint { .. } => None,
            Purpose::Release { index } | Purpose::Refund { index } | Purpose::Execute { index } => {
                Some(*index)
            }
        }
    }
}

/// One transaction of the gas account, under every hash that it ever had.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TxRow {
    /// The account's nonce.
    pub nonce: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// The contract.
    pub to: Address,
    /// The call.
    pub data: Vec<u8>,
    /// The gas limit.
    pub gas: u64,
    /// Wei for a unit of gas at most, in the newest version.
    pub fee: u128,
    /// Wei of it for the block's maker; `None`: a legacy transaction.
    pub tip: Option<u128>,
    /// The newest version's bytes.
    pub raw: Vec<u8>,
    /// The hashes of all versions, oldest first: any of them may be mined.
    pub hashes: Vec<Word>,
    /// When the newest version was first sent, in ms since the Unix epoch.
    pub sent_ms: u64,
}

/// Something that a person has to know.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct AlarmRow {
    /// A stable word.
    pub code: String,
    /// One sentence.
    pub detail: String,
    /// When it was raised, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// A transition of the relayer's account that was signed and whose fate is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PendingRow {
    /// Its canonical bytes.
    pub signed: Vec<u8>,
    /// The sequence that the last-signed record has for it.
    pub sequence: u64,
}

/// What is stopped, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Brakes {
    /// Frozen by what the service saw: only the admin ends it.
    pub frozen: Option<String>,
    /// Paused by the admin.
    pub paused: bool,
}

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file.
    #[error("the state: {0}")]
    Redb(Box<redb::Error>),
    /// A row is not what this program wrote.
    #[error("the state: a row of {table} is damaged")]
    Damaged {
        /// Its table.
        table: &'static str,
    },
    /// A test ended the service at this point, as a kill would.
    #[error("killed at {0}")]
    Killed(&'static str),
}

impl<E: Into<redb::Error>> From<E> for StateError {
    fn from(error: E) -> StateError {
        StateError::Redb(Box::new(error.into()))
    }
}

/// Points at which a test can end the service, as a kill would. A running service has none.
pub trait Faults: Send + Sync {
    /// Whether the service dies here: before a step is written, after it is, after something was sent.
    fn dies_at(&self, point: &'static str) -> bool;
}

/// The open file.
pub struct Store {
    db: Database,
    faults: Option<Arc<dyn Faults>>,
}

/// The tables inside one write transaction.
pub struct Step<'t> {
    tx: &'t redb::WriteTransaction,
}

fn row<T: BorshDeserialize>(bytes: &[u8], table: &'static str) -> Result<T, StateError> {
    dsm_abi::decode(bytes, ROW_BYTES_MAX).map_err(|_| StateError::Damaged { table })
}

macro_rules! numbered {
    ($($(#[$doc:meta])* $get:ident $put:ident $all:ident: $table:ident, $word:literal, $row:ty;)*) => {
        impl Store {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`StateError`].
            pub fn $get(&self, key: u64) -> Result<Option<$row>, StateError> {
                let table = self.db.begin_read()?.open_table($table)?;
                table.get(key)?.map(|bytes| row(bytes.value(), $word)).transpose()
            }

            /// Rows from a key on, in order, at most so many.
            ///
            /// # Errors
            /// [`StateError`].
            pub fn $all(&self, from: u64, limit: usize) -> Result<Vec<(u64, $row)>, StateError> {
                let table = self.db.begin_read()?.open_table($table)?;
                let rows = table.range(from..)?.take(limit);
                rows.map(|found| {
                    let (key, bytes) = found?;
                    Ok((key.value(), row(bytes.value(), $word)?))
                }).collect()
            }
        )*}

        impl Step<'_> {$(
            /// Writes a row.
            ///
            /// # Errors
            /// [`StateError`].
            pub fn $put(&mut self, key: u64, value: &$row) -> Result<(), StateError> {
                let bytes = dsm_abi::encode(value);
                self.tx.open_table($table)?.insert(key, bytes.as_slice())?;
                Ok(())
            }
        )*}
    };
}

numbered! {
    /// The header that counted at a height.
    header put_header headers: HEADERS, "trusted_header", HeaderRow;
    /// A lock.
    lock put_lock locks: LOCKS, "evm_lock", LockRow;
    /// A leaf of DSM's outbox.
    out put_out outs: OUT, "dsm_out", OutRow;
    /// What was signed for an epoch.
    signed put_signed signed_from: SIGNED, "sign_once", SignedRow;
    /// A transaction of the gas account.
    queued put_queued queue: QUEUE, "tx_queue", TxRow;
    /// An alarm.
    alarm put_alarm alarms: ALARMS, "alarm", AlarmRow;
}

macro_rules! cursors {
    ($($(#[$doc:meta])* $get:ident $put:ident: $name:literal, $row:ty;)*) => {
        impl Store {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`StateError`].
            pub fn $get(&self) -> Result<Option<$row>, StateError> {
                let table = self.db.begin_read()?.open_table(CURSOR)?;
                table.get($name)?.map(|bytes| row(bytes.value(), "cursor")).transpose()
            }
        )*}

        impl Step<'_> {$(
            /// Writes the value.
            ///
            /// # Errors
            /// [`StateError`].
            pub fn $put(&mut self, value: &$row) -> Result<(), StateError> {
                let bytes = dsm_abi::encode(value);
                self.tx.open_table(CURSOR)?.insert($name, bytes.as_slice())?;
                Ok(())
            }
        )*}
    };
}

cursors! {
    /// The transition of the relayer's account whose fate is not known.
    pending put_pending: "pending", Option<PendingRow>;
    /// What is stopped.
    brakes put_brakes: "brakes", Brakes;
    /// All locks below this nonce are known.
    locks_known put_locks_known: "locks_known", u64;
    /// All locks below this nonce are credited or refunded.
    locks_done put_locks_done: "locks_done", u64;
    /// All leaves below this index are released or not for this contract.
    outs_done put_outs_done: "outs_done", u64;
    /// The bridge that this file belongs to.
    identity put_identity: "identity", Word;
    /// Two sealed headers of one height that the ledger has not been told of.
    conviction put_conviction: "conviction", Option<(Vec<u8>, Vec<u8>)>;
}

impl Store {
    /// Opens the file; makes it if there is none.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(path: &Path) -> Result<Store, StateError> {
        Store::with(Database::create(path)?)
    }

    fn with(db: Database) -> Result<Store, StateError> {
        let tx = db.begin_write()?;
        for table in [HEADERS, LOCKS, OUT, SIGNED, QUEUE, ALARMS] {
            tx.open_table(table)?;
        }
        tx.open_table(WITHDRAWALS)?;
        tx.open_table(CURSOR)?;
        tx.commit()?;
        Ok(Store { db, faults: None })
    }

    /// The same with points at which a test can end the service.
    #[must_use]
    pub fn with_faults(mut self, faults: Arc<dyn Faults>) -> Store {
        self.faults = Some(faults);
        self
    }

    /// A point at which a test can end the service.
    ///
    /// # Errors
    /// [`StateError::Killed`].
    pub fn reach(&self, point: &'static str) -> Result<(), StateError> {
        match &self.faults {
            Some(faults) if faults.dies_at(point) => Err(StateError::Killed(point)),
            Some(_) | None => Ok(()),
        }
    }

    /// One step: all of it is durable when this returns, or none of it is.
    ///
    /// # Errors
    /// [`StateError`], and whatever `write` returns.
    pub fn step<R>(
        &self,
        before: &'static str,
        after: &'static str,
        write: impl FnOnce(&mut Step<'_>) -> Result<R, StateError>,
    ) -> Result<R, StateError> {
        self.reach(before)?;
        let tx = self.db.begin_write()?;
        let answer = write(&mut Step { tx: &tx })?;
        tx.commit()?;
        self.reach(after)?;
        Ok(answer)
    }

    /// The newest headers, newest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn newest_headers(&self, limit: usize) -> Result<Vec<HeaderRow>, StateError> {
        let table = self.db.begin_read()?.open_table(HEADERS)?;
        let rows = table.range::<u64>(..)?.rev().take(limit);
        rows.map(|found| row(found?.1.value(), "trusted_header")).collect()
    }

    /// A withdrawal.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn withdrawal(&self, transition: &Word) -> Result<Option<WithdrawalRow>, StateError> {
        let table = self.db.begin_read()?.open_table(WITHDRAWALS)?;
        table.get(transition.as_slice())?.map(|bytes| row(bytes.value(), "withdrawal")).transpose()
    }

    /// How many rows a lock table and an outbox table have, by the word of their state.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn counts(&self) -> Result<Counts, StateError> {
        use redb::ReadableTableMetadata as _;
        let tx = self.db.begin_read()?;
        Ok(Counts {
            locks: tx.open_table(LOCKS)?.len()?,
            outs: tx.open_table(OUT)?.len()?,
            queued: tx.open_table(QUEUE)?.len()?,
            alarms: tx.open_table(ALARMS)?.len()?,
            signed: tx.open_table(SIGNED)?.len()?,
        })
    }

    /// The newest epoch signed, with what was signed.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn newest_signed(&self) -> Result<Option<(u64, SignedRow)>, StateError> {
        let table = self.db.begin_read()?.open_table(SIGNED)?;
        let last = table.last()?;
        last.map(|(key, bytes)| Ok((key.value(), row(bytes.value(), "sign_once")?))).transpose()
    }

    /// The index after the last known leaf.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn outs_end(&self) -> Result<u64, StateError> {
        let table = self.db.begin_read()?.open_table(OUT)?;
        Ok(table.last()?.map_or(0, |(key, _)| key.value() + 1))
    }
}

/// Rows of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Locks.
    pub locks: u64,
    /// Leaves.
    pub outs: u64,
    /// Transactions under way.
    pub queued: u64,
    /// Alarms.
    pub alarms: u64,
    /// Epochs signed.
    pub signed: u64,
}

impl Step<'_> {
    /// Removes a lock: its hint was a lie.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn remove_lock(&mut self, nonce: u64) -> Result<(), StateError> {
        self.tx.open_table(LOCKS)?.remove(nonce)?;
        Ok(())
    }

    /// Removes a transaction whose fate is known.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn remove_queued(&mut self, nonce: u64) -> Result<(), StateError> {
        self.tx.open_table(QUEUE)?.remove(nonce)?;
        Ok(())
    }

    /// Removes the headers from a height on: the chain has others there.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn remove_headers_from(&mut self, height: u64) -> Result<(), StateError> {
        let mut table = self.tx.open_table(HEADERS)?;
        table.retain_in(height.., |_, _| false)?;
        Ok(())
    }

    /// Keeps the newest [`HEADERS_KEPT`] headers.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn prune_headers(&mut self) -> Result<(), StateError> {
        use redb::ReadableTableMetadata as _;
        let mut table = self.tx.open_table(HEADERS)?;
        while table.len()? > HEADERS_KEPT as u64 {
            table.pop_first()?;
        }
        Ok(())
    }

    /// Writes a withdrawal.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn put_withdrawal(&mut self, transition: &Word, value: &WithdrawalRow) -> Result<(), StateError> {
        let bytes = dsm_abi::encode(value);
        self.tx.open_table(WITHDRAWALS)?.insert(transition.as_slice(), bytes.as_slice())?;
        Ok(())
    }

    /// Raises an alarm. The newest one with the same code and detail is not repeated.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn raise(&mut self, now_ms: u64, code: &str, detail: &str) -> Result<(), StateError> {
        use redb::ReadableTableMetadata as _;
        let mut table = self.tx.open_table(ALARMS)?;
        let last = match table.last()? {
            Some((key, bytes)) => Some((key.value(), row::<AlarmRow>(bytes.value(), "alarm")?)),
            None => None,
        };
        if last.as_ref().is_some_and(|(_, last)| last.code == code && last.detail == detail) {
            return Ok(());
        }
        let number = last.map_or(1, |(number, _)| number + 1);
        let alarm = AlarmRow { code: code.to_owned(), detail: detail.to_owned(), time_ms: now_ms };
        table.insert(number, dsm_abi::encode(&alarm).as_slice())?;
        if table.len()? > ALARMS_MAX {
            table.pop_first()?;
        }
        tracing::error!(code, detail, "alarm");
        Ok(())
    }

    /// What was signed for an epoch, as this transaction sees it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn signed(&self, epoch: u64) -> Result<Option<SignedRow>, StateError> {
        let table = self.tx.open_table(SIGNED)?;
        let bytes = table.get(epoch)?;
        bytes.map(|bytes| row(bytes.value(), "sign_once")).transpose()
    }

    /// The header of a height, as this transaction sees it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn header(&self, height: u64) -> Result<Option<HeaderRow>, StateError> {
        let table = self.tx.open_table(HEADERS)?;
        let bytes = table.get(height)?;
        bytes.map(|bytes| row(bytes.value(), "trusted_header")).transpose()
    }

    /// The last row that was signed, as this transaction sees it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn newest_signed(&self) -> Result<Option<(u64, SignedRow)>, StateError> {
        let table = self.tx.open_table(SIGNED)?;
        let last = table.last()?;
        last.map(|(key, bytes)| Ok((key.value(), row(bytes.value(), "sign_once")?))).transpose()
    }

    /// What is stopped, as this transaction sees it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn brakes(&self) -> Result<Brakes, StateError> {
        let table = self.tx.open_table(CURSOR)?;
        let bytes = table.get("brakes")?;
        Ok(bytes.map(|bytes| row(bytes.value(), "cursor")).transpose()?.unwrap_or_default())
    }
}
