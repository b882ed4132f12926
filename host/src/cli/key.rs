//! `dsm key`: keys of the wallet, locked under a passphrase.

use super::failure::Failure;
use super::session::Session;
use super::show::{Show, rows, table};
use super::wallet::OwnKey;
use dsm_abi::{KeyId, Suite};
use dsm_crypto::{KdfCost, Keystore, SecretKey};
use dsm_sdk::api::{Hex, KeyView};
use dsm_sdk::draft::public_key;
use serde::Serialize;
use std::path::PathBuf;

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a key and lock it under the passphrase (Argon2id, XChaCha20-Poly1305)
    New {
        /// Its name in this wallet
        name: String,
        /// The signature suite
        #[arg(long, value_enum, default_value_t = SuiteWord::MlDsa65)]
        suite: SuiteWord,
    },
    /// List the keys of this wallet
    List,
    /// Show a key's public half
    Show {
        /// Its name in this wallet
        name: String,
    },
}

/// A suite by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SuiteWord {
    /// 0x01
    #[value(name = "ml-dsa-65")]
    MlDsa65,
    /// 0x02
    #[value(name = "ed25519+ml-dsa-65")]
    Ed25519MlDsa65,
    /// 0x10, for compatibility; nodes refuse it unless configured
    #[value(name = "dilithium3")]
    Dilithium3,
    /// 0x20, hashes alone; large and slow to sign: for recovery keys and bridge attestors
    #[value(name = "slh-dsa-sha2-128s")]
    SlhDsaSha2128s,
}

impl SuiteWord {
    const fn suite(self) -> Suite {
        match self {
            SuiteWord::MlDsa65 => Suite::MlDsa65,
            SuiteWord::Ed25519MlDsa65 => Suite::Ed25519MlDsa65,
            SuiteWord::Dilithium3 => Suite::Dilithium3,
            SuiteWord::SlhDsaSha2128s => Suite::SlhDsaSha2128s,
        }
    }
}

/// The name of a suite.
pub(crate) const fn suite_word(suite: Suite) -> &'static str {
    match suite {
        Suite::MlDsa65 => "ml-dsa-65",
        Suite::Ed25519MlDsa65 => "ed25519+ml-dsa-65",
        Suite::Dilithium3 => "dilithium3",
        Suite::SlhDsaSha2128s => "slh-dsa-sha2-128s",
    }
}

/// A key of the wallet.
#[derive(Serialize)]
struct Shown {
    name: String,
    key: KeyId,
    suite: Suite,
    file: PathBuf,
    public_key: Hex,
}

impl Show for Shown {
    fn text(&self) -> String {
        rows([
            ("name", self.name.clone()),
            ("key", self.key.to_string()),
            ("suite", suite_word(self.suite).to_owned()),
            ("file", self.file.display().to_string()),
        ])
    }
}

/// All keys of the wallet.
#[derive(Serialize)]
struct Listed {
    keys: Vec<Shown>,
}

impl Show for Listed {
    fn text(&self) -> String {
        let line =
            |one: &Shown| vec![one.name.clone(), suite_word(one.suite).to_owned(), one.key.to_string()];
        let lines: Vec<_> = self.keys.iter().map(line).collect();
        table(&["NAME", "SUITE", "KEY"], &lines, "no keys; `dsm key new NAME` makes one")
    }
}

fn shown(session: &Session, own: &OwnKey) -> Result<Shown, Failure> {
    let view = KeyView::new(&own.key, 0);
    Ok(Shown {
        name: own.name.clone(),
        key: view.key,
        suite: view.suite,
        file: session.wallet()?.key_path(&own.name)?,
        public_key: view.public_key,
    })
}

pub(crate) fn run(session: &Session, verb: &KeyVerb) -> Result<(), Failure> {
    let wallet = session.wallet()?;
    match verb {
        KeyVerb::New { name, suite } => {
            let path = wallet.key_path(name)?;
            if path.exists() {
                return Err(Failure::refused("key_exists", format!("this wallet has a key {name} already"))
                    .help("choose another name; a key file is never replaced"));
            }
            let secret =
                SecretKey::generate(suite.suite()).map_err(|error| Failure::refused("key", error))?;
            let keystore = Keystore::lock(&secret, session.passphrase()?, KdfCost::DEFAULT)?;
            keystore.create(&path)?;
            session.show(&shown(session, &OwnKey { name: name.clone(), keystore, key: public_key(&secret) })?)
        }
        KeyVerb::List => {
            let keys = wallet.keys()?;
            let keys = keys.iter().map(|own| shown(session, own)).collect::<Result<_, _>>()?;
            session.show(&Listed { keys })
        }
        KeyVerb::Show { name } => session.show(&shown(session, &wallet.key(name)?)?),
    }
}
