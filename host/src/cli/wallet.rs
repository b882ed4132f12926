//! The wallet: a folder with key files, accounts by name, and for each account the record of what it signed last.
//!
//! ```text
//! keys/NAME.json            a locked key (dsm_crypto::Keystore)
//! accounts/NAME.json        which account the name means, and the genesis it began with
//! accounts/NAME.signed      the last-signed record; its sequence is height × 65,536 + attempt
//! accounts/NAME.pending     a signed transition whose fate is not known yet
//! tokens/NAME, policies/NAME   ids that this wallet created, by name
//! ```
//!
//! The record is claimed before a signature leaves. A second attempt at one height is made only after the node
//! refused the first by name; once a transition is accepted its height is closed (attempt 65,535) for good, so that
//! not even a node that was rolled back gets a second successor out of this wallet.

use super::failure::{Failure, file_failure};
use dsm_abi::{AccountId, NetworkId, PolicyId, StateId, TokenId, TransitionId};
use dsm_core::{Genesis, PublicKey};
use dsm_crypto::{Keystore, LastSigned};
use dsm_sdk::api::Hex;
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Bits of the sequence that count attempts at one height.
const ATTEMPT_BITS: u32 = 16;
/// Marks a height as closed.
const CLOSED: u64 = (1 << ATTEMPT_BITS) - 1;
/// Bytes of the longest file here: a pending transition in hex.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The open folder.
pub(crate) struct Wallet {
    folder: PathBuf,
}

/// An account that this wallet can sign for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnAccount {
    /// Its name here.
    pub(crate) name: String,
    /// The account.
    pub(crate) account: AccountId,
    /// Its network.
    pub(crate) network: NetworkId,
    /// The canonical bytes of its genesis.
    pub(crate) genesis: Hex,
}

/// A key file.
pub(crate) struct OwnKey {
    /// Its name here.
    pub(crate) name: String,
    /// The locked key.
    pub(crate) keystore: Keystore,
    /// The public key that the file claims.
    pub(crate) key: PublicKey,
}

/// A signed transition on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pending {
    /// Its id.
    pub(crate) transition: TransitionId,
    /// Its canonical bytes.
    pub(crate) signed: Hex,
    /// The accounts of this wallet that signed it, with the sequence claimed for each.
    pub(crate) claims: Vec<(String, u64)>,
}

/// What an id is that the wallet keeps by name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named {
    Token,
    Policy,
}

impl Named {
    const fn folder(self) -> &'static str {
        match self {
            Named::Token => "tokens",
            Named::Policy => "policies",
        }
    }
}

impl Wallet {
    /// Opens the folder, making it (mode 0700) if need be.
    pub(crate) fn open(folder: &Path) -> Result<Wallet, Failure> {
        for part in ["keys", "accounts", "tokens", "policies"] {
            let path = folder.join(part);
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(&path).map_err(|error| file_failure(&path, &error))?;
        }
        Ok(Wallet { folder: folder.to_path_buf() })
    }

    /// Where a key's file is.
    pub(crate) fn key_path(&self, name: &str) -> Result<PathBuf, Failure> {
        Ok(self.folder.join("keys").join(format!("{}.json", check_name(name)?)))
    }

    pub(crate) fn key(&self, name: &str) -> Result<OwnKey, Failure> {
        let path = self.key_path(name)?;
        if !path.exists() {
            return Err(Failure::refused("unknown_key_name", format!("this wallet has no key {name}"))
                .help("`dsm key list` shows those it has, `dsm key new` makes one"));
        }
        let keystore = Keystore::read(&path)?;
        let Some(suite) = keystore.suite() else {
            return Err(Failure::refused("not_a_signing_key", format!("{name} is not a signing key")));
        };
        let key = PublicKey { suite, bytes: keystore.public_key().to_vec() };
        Ok(OwnKey { name: name.to_owned(), keystore, key })
    }

    pub(crate) fn keys(&self) -> Result<Vec<OwnKey>, Failure> {
        self.names("keys", ".json")?.iter().map(|name| self.key(name)).collect()
    }

    fn account_path(&self, name: &str, ending: &str) -> Result<PathBuf, Failure> {
        Ok(self.folder.join("accounts").join(format!("{}{ending}", check_name(name)?)))
    }

    pub(crate) fn accounts(&self) -> Result<Vec<OwnAccount>, Failure> {
        self.names("accounts", ".json")?
            .iter()
            .filter_map(|name| self.find_account(name).transpose())
            .collect()
    }

    /// The account of this name, if there is one.
    pub(crate) fn find_account(&self, name: &str) -> Result<Option<OwnAccount>, Failure> {
        read_json(&self.account_path(name, ".json")?)
    }

    /// An account that this wallet signs for, by name or id.
    pub(crate) fn own_account(&self, text: &str) -> Result<OwnAccount, Failure> {
        let found = match text.parse::<AccountId>() {
            Ok(id) => self.accounts()?.into_iter().find(|one| one.account == id),
            Err(_) => self.find_account(text)?,
        };
        found.ok_or_else(|| {
            Failure::refused("unknown_account_name", format!("this wallet has no account {text}"))
                .help("`dsm account list` shows those it has, `dsm account create` opens one")
        })
    }

    /// Any account: the id of a name of this wallet, or the id itself.
    pub(crate) fn account_id(&self, text: &str) -> Result<AccountId, Failure> {
        match text.parse() {
            Ok(id) => Ok(id),
            Err(_) => Ok(self.own_account(text)?.account),
        }
    }

    /// The name of an account, if it is this wallet's.
    pub(crate) fn name_of(&self, account: &AccountId) -> Option<String> {
        let accounts = self.accounts().ok()?;
        accounts.into_iter().find(|one| one.account == *account).map(|one| one.name)
    }

    /// Writes down a new account, with a record that says that nothing was signed for it.
    pub(crate) fn add_account(&self, name: &str, genesis: &Genesis) -> Result<OwnAccount, Failure> {
        let own = OwnAccount {
            name: name.to_owned(),
            account: genesis.account(),
            network: genesis.network,
            genesis: Hex(dsm_abi::encode(genesis)),
        };
        let record = self.account_path(name, ".signed")?;
        if !record.exists() {
            LastSigned::create(&record)?;
        }
        create_json(&self.account_path(name, ".json")?, &own)?;
        Ok(own)
    }

    /// The record of what an account signed last, locked against other commands.
    pub(crate) fn record(&self, name: &str) -> Result<LastSigned, Failure> {
        Ok(LastSigned::open(&self.account_path(name, ".signed")?)?)
    }

    pub(crate) fn pending(&self, name: &str) -> Result<Option<Pending>, Failure> {
        read_json(&self.account_path(name, ".pending")?)
    }

    /// The pending note about a transition, if an account of this wallet waits for it.
    pub(crate) fn pending_of(&self, transition: TransitionId) -> Result<Option<Pending>, Failure> {
        for own in self.accounts()? {
            match self.pending(&own.name)? {
                Some(pending) if pending.transition == transition => return Ok(Some(pending)),
                Some(_) | None => {}
            }
        }
        Ok(None)
    }

    /// Writes down a signed transition for every account of this wallet that signed it.
    pub(crate) fn set_pending(&self, pending: &Pending) -> Result<(), Failure> {
        for (name, _) in &pending.claims {
            create_json(&self.account_path(name, ".pending")?, pending)?;
        }
        Ok(())
    }

    /// The fate of a pending transition is known.
    pub(crate) fn clear_pending(&self, pending: &Pending) -> Result<(), Failure> {
        for (name, _) in &pending.claims {
            let path = self.account_path(name, ".pending")?;
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(file_failure(&path, &error)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Keeps an id under a name; a name that is taken stays with its first id.
    pub(crate) fn name_id(&self, kind: Named, name: &str, id: &str) -> Result<(), Failure> {
        let path = self.folder.join(kind.folder()).join(check_name(name)?);
        create_file(&path, id.as_bytes())
    }

    /// A token, by this wallet's name for it or by its id.
    pub(crate) fn token_id(&self, text: &str) -> Result<TokenId, Failure> {
        self.named(Named::Token, text, |text| text.parse().ok())
    }

    /// A policy, by this wallet's name for it, its CID or its id.
    pub(crate) fn policy_id(&self, text: &str) -> Result<PolicyId, Failure> {
        self.named(Named::Policy, text, dsm_sdk::package::parse_policy)
    }

    fn named<T>(&self, kind: Named, text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
        if let Some(id) = parse(text) {
            return Ok(id);
        }
        let folder = kind.folder();
        let path = self.folder.join(folder).join(check_name(text)?);
        let kept = std::fs::read_to_string(&path).ok();
        kept.and_then(|kept| parse(kept.trim())).ok_or_else(|| {
            Failure::refused("unknown_name", format!("this wallet has no name {text} in {folder}"))
                .help("give the id itself, or a name that this wallet gave when it created it")
        })
    }

    fn names(&self, folder: &str, ending: &str) -> Result<Vec<String>, Failure> {
        let path = self.folder.join(folder);
        let entries = std::fs::read_dir(&path).map_err(|error| file_failure(&path, &error))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(ending).map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }
}

/// The sequence to claim for a new state at `height`.
pub(crate) fn next_sequence(record: &LastSigned, height: u64) -> Result<u64, Failure> {
    let first = height << ATTEMPT_BITS;
    let next = record.record().map_or(first, |last| first.max(last.sequence + 1));
    if next >> ATTEMPT_BITS == height && next & CLOSED != CLOSED {
        return Ok(next);
    }
    let message = format!("the node offers height {height}, for which this wallet has signed already");
    Err(Failure::integrity("would_equivocate", message)
        .help("the node is behind what it acknowledged; `dsm account history` against a node that is not"))
}

/// Closes the height of `sequence`: nothing else will be signed for it.
pub(crate) fn close(record: &mut LastSigned, sequence: u64, transition: TransitionId) -> Result<(), Failure> {
    Ok(record.claim(sequence | CLOSED, transition.0)?)
}

/// Whether the height of `sequence` was closed with this transition.
pub(crate) fn is_closed(record: &LastSigned, sequence: u64, transition: TransitionId) -> bool {
    record.record().is_some_and(|last| last.sequence == sequence | CLOSED && last.digest == transition.0)
}

impl OwnAccount {
    /// The genesis, if these bytes are one.
    pub(crate) fn genesis(&self) -> Result<Genesis, Failure> {
        let genesis = dsm_abi::decode(&self.genesis.0, FILE_BYTES_MAX as usize);
        let fits = genesis.ok().filter(|genesis: &Genesis| genesis.account() == self.account);
        fits.ok_or_else(|| {
            Failure::integrity("wallet_damaged", format!("the genesis of {} is not its account's", self.name))
        })
    }

    /// Where the chain of an account that does not exist yet begins.
    pub(crate) const BEGINNING: StateId = StateId::NONE;
}

/// A name is 1 to 64 of `a-z`, `0-9`, `-`, `_`, `.`, and begins with a letter or digit.
pub(crate) fn check_name(name: &str) -> Result<&str, Failure> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ok = name.len() <= 64
        && name.bytes().next().is_some_and(fits)
        && name.bytes().all(|byte| fits(byte) || b"-_.".contains(&byte));
    if ok {
        return Ok(name);
    }
    Err(Failure::usage(format!("{name:?} is not a name"))
        .help("names are 1 to 64 of a-z, 0-9, '-', '_', '.', beginning with a letter or digit"))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Failure> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_failure(path, &error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Failure::integrity("wallet_damaged", format!("{}: {error}", path.display()))
            .help("restore the file from a copy that is whole")
    })
}

fn create_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Failure> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| Failure::integrity("wallet_damaged", error))?;
    text.push(b'\n');
    create_file(path, &text)
}

/// Writes a new file durably: whole or not at all.
pub(crate) fn create_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        if path.exists() {
            return Err(std::io::Error::from(ErrorKind::AlreadyExists));
        }
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|error| error.error)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| file_failure(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsm_core::KeySet;
    use dsm_crypto::SecretKey;

    fn wallet_with_alice() -> (tempfile::TempDir, Wallet) {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::open(folder.path()).unwrap();
        let key = dsm_sdk::draft::public_key(&SecretKey::ml_dsa_65(&[1; 32]).unwrap());
        let genesis = Genesis { network: NetworkId([1; 32]), keys: KeySet::single(key), salt: [0; 32] };
        wallet.add_account("alice", &genesis).unwrap();
        (folder, wallet)
    }

    #[test]
    fn a_height_that_was_accepted_is_never_signed_again() {
        let (_folder, wallet) = wallet_with_alice();
        let mut record = wallet.record("alice").unwrap();
        let (one, two) = (TransitionId([1; 32]), TransitionId([2; 32]));
        let first = next_sequence(&record, 5).unwrap();
        record.claim(first, one.0).unwrap();
        // The node refused the first by name: a second attempt at the same height.
        let second = next_sequence(&record, 5).unwrap();
        assert!(second > first);
        record.claim(second, two.0).unwrap();
        assert!(!is_closed(&record, second, two));
        close(&mut record, second, two).unwrap();
        // Closing is repeated after a crash in between.
        assert!(is_closed(&record, second, two) && !is_closed(&record, second, one));
        close(&mut record, second, two).unwrap();
        for rolled_back in [0, 4, 5] {
            assert_eq!(next_sequence(&record, rolled_back).unwrap_err().code, "would_equivocate");
        }
        assert_eq!(next_sequence(&record, 6).unwrap(), 6 << ATTEMPT_BITS);
    }

    #[test]
    fn a_pending_transition_is_found_and_forgotten_as_a_whole() {
        let (_folder, wallet) = wallet_with_alice();
        let transition = TransitionId([1; 32]);
        let pending = Pending { transition, signed: Hex(vec![1]), claims: vec![("alice".into(), 7)] };
        wallet.set_pending(&pending).unwrap();
        // A second one would overwrite the first.
        assert!(wallet.set_pending(&pending).is_err());
        assert_eq!(wallet.pending_of(transition).unwrap().unwrap().claims, pending.claims);
        assert!(wallet.pending_of(TransitionId([2; 32])).unwrap().is_none());
        wallet.clear_pending(&pending).unwrap();
        assert!(wallet.pending("alice").unwrap().is_none());
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        let (_folder, wallet) = wallet_with_alice();
        let long = "a".repeat(65);
        for name in ["", "..", "../alice", "a/b", "Alice", "-a", ".a", "a b", "ä", long.as_str()] {
            assert_eq!(wallet.key_path(name).unwrap_err().exit, crate::cli::failure::Exit::Usage, "{name}");
        }
        assert!(wallet.key_path("desk-1.old_2").is_ok());
    }
}
