//! One run of the program: its global options, the node it speaks to, its wallet; and the way from a draft to a
//! receipt: settle what is pending, claim, sign, submit.

use super::door::own_key;
use super::evidence;
use super::failure::{Exit, Failure, file_failure};
use super::show::{Show, rows, short, show};
use super::wallet::{OwnAccount, Pending, Wallet, close, is_closed, next_sequence};
use dsm_abi::{AccountId, NetworkId, StateId, TransitionId, encode};
use dsm_core::{PublicKey, SignedTransition};
use dsm_crypto::{LastSigned, SecretKey, Signer, Zeroizing, fill_random};
use dsm_sdk::api::Hex;
use dsm_sdk::client::{Client, ClientError};
use dsm_sdk::draft::{Draft, Window};
use dsm_sdk::receipt::{Durability, Receipt};
use serde::Serialize;
use std::cell::OnceCell;
use std::path::PathBuf;

/// Options that every verb understands.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Globals {
    /// Print one JSON value on stdout instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The node to speak to
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "DSM_NODE",
        default_value = "http://127.0.0.1:7545"
    )]
    pub(crate) node: String,
    /// Show the API key or bearer token in the first line of this file [default: the node's own, on its machine]
    #[arg(long, global = true, value_name = "FILE", env = "DSM_API_KEY_FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// For a node at https://: trust this certificate, or what this authority's certificate signed, in PEM
    #[arg(long, global = true, value_name = "FILE", env = "DSM_CA_CERT")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// The wallet's folder [default: ~/.dsm]
    #[arg(long, global = true, value_name = "DIR", env = "DSM_WALLET")]
    pub(crate) wallet: Option<PathBuf>,
    /// Read the passphrase of key files from the first line of this file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DSM_PASSPHRASE_FILE",
        conflicts_with = "passphrase_fd"
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Read the passphrase of key files from the first line of this open descriptor
    #[arg(long, global = true, value_name = "N")]
    pub(crate) passphrase_fd: Option<u32>,
}

/// How a transition is signed.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct SignArgs {
    /// Another account of this wallet that signs too
    #[arg(long = "cosign", value_name = "ACCOUNT")]
    cosign: Vec<String>,
    /// Sign with these keys of this wallet [default: as many as the account's threshold]
    #[arg(long = "sign-key", value_name = "KEY")]
    sign_keys: Vec<String>,
    /// Wait until it is durable on so many nodes: local, primary or replicated:N [default: the node's]
    #[arg(long, value_name = "LEVEL", env = "DSM_DURABILITY")]
    durability: Option<Durability>,
    /// Show this evidence to the policies: a file that `dsm evidence` made of it; may be repeated
    #[arg(long = "evidence", value_name = "FILE")]
    evidence: Vec<PathBuf>,
    /// Write the signed transition to a file instead of submitting it
    #[arg(long, value_name = "FILE")]
    sign_to: Option<PathBuf>,
}

impl SignArgs {
    /// The keys that the command line names.
    pub(crate) fn chosen(&self) -> &[String] {
        &self.sign_keys
    }
}

/// What became of a signed transition.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// It is durable.
    Accepted { receipt: Box<Receipt> },
    /// It waits in a file.
    Signed { transition: TransitionId, file: PathBuf },
}

impl Show for Outcome {
    fn text(&self) -> String {
        match self {
            Outcome::Accepted { receipt } => receipt_text(receipt),
            Outcome::Signed { transition, file } => {
                format!("signed {transition}\nsubmit it with `dsm tx submit {}`", file.display())
            }
        }
    }
}

/// A receipt for people.
pub(crate) fn receipt_text(receipt: &Receipt) -> String {
    let mut lines = vec![
        ("transition", receipt.transition.to_string()),
        ("position", format!("{} ({})", receipt.position, short(receipt.log_digest))),
        ("time", format!("{} ms", receipt.time_ms)),
        ("durable", durability_words(receipt)),
    ];
    lines.extend(receipt.accounts.iter().map(|head| {
        ("account", format!("{} at height {}, head {}", head.account, head.height, short(head.state)))
    }));
    lines.extend(receipt.tokens.iter().map(|head| {
        ("token", format!("{} at height {}, head {}", head.token, head.height, short(head.state)))
    }));
    lines.extend(receipt.credits.iter().map(|credit| {
        let words = format!("{} of {} base units for {}", credit.credit, credit.amount, short(credit.to));
        ("credit", words)
    }));
    lines.extend(receipt.holds.iter().map(|hold| ("hold", hold.to_string())));
    rows(lines)
}

/// How far it is durable, and on whose word.
pub(crate) fn durability_words(receipt: &Receipt) -> String {
    let nodes: Vec<String> = receipt.storage_nodes.iter().map(short).collect();
    format!("{} {}", receipt.durability, nodes.join(" ")).trim_end().to_owned()
}

/// One run of the program.
pub(crate) struct Session {
    pub(crate) globals: Globals,
    passphrase: OnceCell<Zeroizing<Vec<u8>>>,
}

/// An account about to sign.
struct Signing {
    own: OwnAccount,
    head: StateId,
    record: LastSigned,
    sequence: u64,
    keys: Vec<(u8, SecretKey)>,
}

impl Session {
    pub(crate) fn new(globals: Globals) -> Session {
        Session { globals, passphrase: OnceCell::new() }
    }

    pub(crate) fn show<T: Show>(&self, value: &T) -> Result<(), Failure> {
        show(self.globals.json, value)
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let client = match &self.globals.ca_cert {
            Some(path) if self.globals.node.starts_with("https://") => {
                let pem = std::fs::read(path).map_err(|error| file_failure(path, &error))?;
                let tls = dsm_link::trusting(&pem).map_err(|error| {
                    Failure::new(Exit::Usage, error.code(), &error).help("--ca-cert names a file in PEM")
                })?;
                Client::over_tls(&self.globals.node, tls)
            }
            _ => Client::new(&self.globals.node),
        };
        let client = client.map_err(|error| {
            Failure::usage(error).help(
                "give --node as http://host:port, such as http://127.0.0.1:7545, or https://host:port with --ca-cert",
            )
        })?;
        Ok(match self.credential()? {
            Some(credential) => client.with_credential(&credential),
            None => client,
        })
    }

    /// What the node is shown: what the options name, or the key that the node of this machine left for its user.
    fn credential(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        let Some(path) = &self.globals.api_key_file else {
            let data = std::env::var_os("DSM_DATA").filter(|data| !data.is_empty());
            let data = PathBuf::from(data.unwrap_or_else(|| "data".into()));
            return Ok(own_key(&data, &self.globals.node));
        };
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| file_failure(path, &error))?);
        let first = text.lines().next().unwrap_or_default().trim();
        if first.is_empty() || first.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(Failure::usage(format!("{} holds no API key", path.display()))
                .help("its first line is a key of `dsm access key new` or a token of `dsm access token`"));
        }
        Ok(Some(Zeroizing::new(first.to_owned())))
    }

    pub(crate) fn wallet(&self) -> Result<Wallet, Failure> {
        let folder = match (&self.globals.wallet, std::env::home_dir()) {
            (Some(folder), _) => folder.clone(),
            (None, Some(home)) => home.join(".dsm"),
            (None, None) => {
                return Err(
                    Failure::usage("there is no home directory for the wallet").help("give --wallet DIR")
                );
            }
        };
        Wallet::open(&folder)
    }

    /// The passphrase of key files, from where the options say.
    pub(crate) fn passphrase(&self) -> Result<&[u8], Failure> {
        if let Some(passphrase) = self.passphrase.get() {
            return Ok(passphrase);
        }
        let path = match (&self.globals.passphrase_file, self.globals.passphrase_fd) {
            (Some(path), _) => path.clone(),
            (None, Some(number)) => PathBuf::from(format!("/dev/fd/{number}")),
            (None, None) => {
                return Err(Failure::usage("a passphrase is needed and none is given").help(
                    "give --passphrase-file FILE or --passphrase-fd N; passphrases are never arguments",
                ));
            }
        };
        let mut bytes = Zeroizing::new(std::fs::read(&path).map_err(|error| file_failure(&path, &error))?);
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n' || *byte == b'\r') {
            bytes.truncate(end);
        }
        if bytes.is_empty() {
            return Err(Failure::usage(format!("the passphrase in {} is empty", path.display()))
                .help("write one line of at least one character into it"));
        }
        Ok(self.passphrase.get_or_init(|| bytes))
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms() -> u64 {
        use dsm_host::node::{Clock as _, SystemClock};
        SystemClock.now_ms()
    }

    /// Bytes of the operating system's randomness.
    pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
        let mut bytes = [0; N];
        fill_random(&mut bytes).map_err(|error| Failure::refused("no_randomness", error))?;
        Ok(bytes)
    }

    /// Drafts, signs for `account` and its cosigners, and submits.
    pub(crate) fn sign(
        &self,
        account: &OwnAccount,
        args: &SignArgs,
        build: impl FnOnce(Draft) -> Draft,
    ) -> Result<Outcome, Failure> {
        let (client, wallet) = (self.client()?, self.wallet()?);
        let mut names = vec![account.clone()];
        for text in &args.cosign {
            let own = wallet.own_account(text)?;
            if names.iter().all(|other| other.account != own.account) {
                names.push(own);
            }
        }
        for own in &names {
            self.settle(&client, &wallet, &own.name)?;
        }
        let signing: Result<Vec<Signing>, Failure> =
            names.into_iter().map(|own| self.prepare(&client, &wallet, own, args)).collect();
        self.submit_signed(&client, &wallet, signing?, args, build)
    }

    /// Drafts, signs and submits the opening of an account.
    pub(crate) fn sign_opening(
        &self,
        own: OwnAccount,
        keys: Vec<(u8, SecretKey)>,
        args: &SignArgs,
    ) -> Result<Outcome, Failure> {
        let (client, wallet, genesis) = (self.client()?, self.wallet()?, own.genesis()?);
        let record = wallet.record(&own.name)?;
        let sequence = next_sequence(&record, 0)?;
        let signing = vec![Signing { own, head: OwnAccount::BEGINNING, record, sequence, keys }];
        self.submit_signed(&client, &wallet, signing, args, |draft| draft.open(genesis))
    }

    fn submit_signed(
        &self,
        client: &Client,
        wallet: &Wallet,
        mut signing: Vec<Signing>,
        args: &SignArgs,
        build: impl FnOnce(Draft) -> Draft,
    ) -> Result<Outcome, Failure> {
        let network = same_network(&signing)?;
        let evidence: Result<Vec<_>, Failure> =
            args.evidence.iter().map(|file| evidence::sign::read(file)).collect();
        let mut draft = Draft::new(network, Window::around(Session::now_ms()), Session::random()?);
        for one in &signing {
            draft = draft.signer(one.own.account, one.head);
        }
        let draft = evidence?.into_iter().fold(build(draft), Draft::evidence);
        let signers: Vec<(AccountId, &dyn Signer, u8)> = signing
            .iter()
            .flat_map(|one| one.keys.iter().map(|(index, key)| (one.own.account, key as &dyn Signer, *index)))
            .collect();
        let signed = draft.sign_with(&signers)?;
        let pending = Pending {
            transition: signed.transition.id(),
            signed: Hex(encode(&signed)),
            claims: signing.iter().map(|one| (one.own.name.clone(), one.sequence)).collect(),
        };
        wallet.set_pending(&pending)?;
        for one in &mut signing {
            one.record.claim(one.sequence, pending.transition.0)?;
        }
        if let Some(file) = &args.sign_to {
            std::fs::write(file, &pending.signed.0).map_err(|error| file_failure(file, &error))?;
            return Ok(Outcome::Signed { transition: pending.transition, file: file.clone() });
        }
        let records = signing.into_iter().map(|one| one.record).collect();
        let receipt = submit_pending(client, wallet, &pending, records, args.durability)?;
        Ok(Outcome::Accepted { receipt: Box::new(receipt) })
    }

    /// Finds out what became of a transition that this account signed earlier. If it is accepted only now, the
    /// present command stops: it was perhaps given to repeat the one before.
    pub(crate) fn settle(&self, client: &Client, wallet: &Wallet, name: &str) -> Result<(), Failure> {
        let Some(pending) = wallet.pending(name)? else { return Ok(()) };
        match finish(client, wallet, &pending, None) {
            Ok(receipt) => {
                let message = format!(
                    "the transition {} that {name} signed earlier is accepted at position {}; nothing else was done",
                    receipt.transition, receipt.position
                );
                Err(Failure::refused("pending_accepted", message)
                    .help("if you want another one, run the command again"))
            }
            Err(failure) if failure.is_judgement() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn prepare(
        &self,
        client: &Client,
        wallet: &Wallet,
        own: OwnAccount,
        args: &SignArgs,
    ) -> Result<Signing, Failure> {
        // Locked before the head is read, so that another command of this wallet cannot move it in between.
        let record = wallet.record(&own.name)?;
        let view = client.account(&own.account)?;
        let sequence = next_sequence(&record, view.state.height + 1)?;
        let listed: Vec<PublicKey> = view.keys.keys.iter().map(|key| key.public_key()).collect();
        let keys = self.unlock(wallet, &listed, view.keys.threshold, &args.sign_keys)?;
        Ok(Signing { own, head: view.head, record, sequence, keys })
    }

    /// The wallet's keys among `listed`, unlocked: those chosen, or as many as the threshold.
    pub(crate) fn unlock(
        &self,
        wallet: &Wallet,
        listed: &[PublicKey],
        threshold: u8,
        chosen: &[String],
    ) -> Result<Vec<(u8, SecretKey)>, Failure> {
        let mut own = wallet.keys()?;
        if !chosen.is_empty() {
            own.retain(|key| chosen.contains(&key.name));
        }
        let mut found = Vec::new();
        for (index, key) in listed.iter().enumerate() {
            let Some(file) = own.iter().find(|file| file.key == *key) else { continue };
            if chosen.is_empty() && found.len() >= usize::from(threshold) {
                break;
            }
            found.push((index as u8, file.keystore.unlock(self.passphrase()?)?));
        }
        if found.len() >= usize::from(threshold) {
            return Ok(found);
        }
        let message = format!("{threshold} keys must sign, this wallet gives {}", found.len());
        Err(Failure::refused("missing_key", message)
            .help("`dsm account show` lists the keys that the account has"))
    }
}

fn same_network(signing: &[Signing]) -> Result<NetworkId, Failure> {
    let first = &signing[0].own;
    match signing.iter().find(|one| one.own.network != first.network) {
        None => Ok(first.network),
        Some(other) => {
            Err(Failure::usage(format!("{} and {} are of two networks", first.name, other.own.name))
                .help("accounts of one transition belong to one network"))
        }
    }
}

/// Submits a transition that this wallet signed earlier.
pub(crate) fn finish(
    client: &Client,
    wallet: &Wallet,
    pending: &Pending,
    level: Option<Durability>,
) -> Result<Receipt, Failure> {
    let mut records = Vec::with_capacity(pending.claims.len());
    for (name, sequence) in &pending.claims {
        let mut record = wallet.record(name)?;
        if !is_closed(&record, *sequence, pending.transition) {
            record.claim(*sequence, pending.transition.0)?;
        }
        records.push(record);
    }
    submit_pending(client, wallet, pending, records, level)
}

/// Submits, and keeps or clears the pending note by what the node answers.
fn submit_pending(
    client: &Client,
    wallet: &Wallet,
    pending: &Pending,
    records: Vec<LastSigned>,
    level: Option<Durability>,
) -> Result<Receipt, Failure> {
    let settled = |records: Vec<LastSigned>| -> Result<(), Failure> {
        for (mut record, (_, sequence)) in records.into_iter().zip(&pending.claims) {
            close(&mut record, *sequence, pending.transition)?;
        }
        wallet.clear_pending(pending)
    };
    match client.submit_bytes_at(&pending.signed.0, level) {
        Ok(receipt) if receipt.transition == pending.transition => {
            settled(records)?;
            Ok(receipt)
        }
        // It stands, on fewer nodes than asked: there is nothing to submit again.
        Err(ClientError::Problem(problem))
            if problem.shortfall.as_ref().is_some_and(|one| one.receipt.transition == pending.transition) =>
        {
            settled(records)?;
            Err(ClientError::Problem(problem).into())
        }
        Ok(_) => Err(ClientError::Protocol("the receipt is of another transition".to_owned()).into()),
        Err(error) => {
            let failure = Failure::from(error);
            if failure.is_judgement() {
                wallet.clear_pending(pending)?;
            } else if failure.exit == Exit::Unreachable {
                let help = "it is signed and kept: the next command of this account submits it first";
                return Err(failure.help(help));
            }
            Err(failure)
        }
    }
}

/// A signed transition in a file: its canonical bytes, or their hex digits.
pub(crate) fn read_signed(bytes: Vec<u8>) -> Result<(SignedTransition, Vec<u8>), Failure> {
    let bytes = match std::str::from_utf8(&bytes).ok().and_then(|text| hex::decode(text.trim()).ok()) {
        Some(decoded) => decoded,
        None => bytes,
    };
    match SignedTransition::decode(&bytes) {
        Ok(signed) => Ok((signed, bytes)),
        Err(error) => Err(Failure::integrity("malformed_bytes", format!("not a signed transition: {error}"))
            .help("--sign-to writes such files; they hold canonical bytes or their hex digits")),
    }
}
