//! What accounts sign for policies to see: observations of a feed's round, statements, credentials; and preimages, which
//! nobody signs. Files of evidence.
//!
//! A file of evidence holds the canonical bytes of one [`EvidenceProof`] and nothing else. An observation is a round with
//! one observer, so that rounds are made of rounds, and a feed with one transmitter needs no collecting. Operations take
//! such files with `--evidence FILE`.
//!
//! Left out on purpose: locks on other chains, which `dsm bridge` proves, and whether a signature counts. The node
//! verifies that with the keys that the account has by then, and a policy says what it is worth.

use crate::cli::failure::{Exit, Failure, file_failure};
use crate::cli::out::OutArgs;
use crate::cli::session::Session;
use crate::cli::show::{Show, rows, safe, short};
use crate::cli::token::param_words;
use crate::cli::values::{display_answer, parse_answer, parse_span, parse_value, time_words};
use crate::cli::wallet::Wallet;
use dsm_abi::{Digest, Field, NetworkId, ValueType, decode, encode, import::hash_alg, limit};
use dsm_core::{
    Attestation, EvidenceProof, HashPreimage, ObservationStatement, PublicKey, SignedObservation, feed_id,
};
use dsm_crypto::{SecretKey, hash_guest};
use dsm_sdk::api::EvidenceView;
use dsm_sdk::draft::{self, CredentialTerms};
use serde::Serialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Options of `dsm evidence observe`.
#[derive(Debug, clap::Args)]
pub(crate) struct ObserveArgs {
    /// The feed: its name, such as EUR/USD, or its id
    #[arg(long, value_name = "NAME")]
    feed: String,
    /// The round's number
    #[arg(long, value_name = "N")]
    round: u64,
    /// What was observed: 10825 counts units of the last decimal place, 1.0825 is the number itself
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    answer: String,
    /// Decimal places of the answer: those of the feed
    #[arg(long, value_name = "PLACES")]
    decimals: u8,
    /// When it was observed, in ms since the Unix epoch [default: now]
    #[arg(long, value_name = "MS")]
    at: Option<u64>,
    #[command(flatten)]
    by: SignerArgs,
    #[command(flatten)]
    out: OutArgs,
}

/// Options of `dsm evidence round`.
#[derive(Debug, clap::Args)]
pub(crate) struct RoundArgs {
    /// Files of `dsm evidence observe` (or of this verb), all of one round
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    out: OutArgs,
}

/// Options of `dsm evidence attest`.
#[derive(Debug, clap::Args)]
pub(crate) struct AttestArgs {
    /// What the statement is about, at most 64 bytes; policies choose their topics
    #[arg(long)]
    topic: String,
    #[command(flatten)]
    payload: PayloadArgs,
    #[command(flatten)]
    by: SignerArgs,
    #[command(flatten)]
    out: OutArgs,
}

/// Options of `dsm evidence credential`.
#[derive(Debug, clap::Args)]
pub(crate) struct CredentialArgs {
    /// The account that it is about, by id or name
    #[arg(long, value_name = "ACCOUNT")]
    subject: String,
    /// The kind of credential, such as kyc/1, at most 64 bytes: the one that the policy wants
    #[arg(long)]
    schema: String,
    /// How long it counts from now on, such as 365d
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    valid_for: u64,
    /// By what the issuer revokes it: 64 hex digits [default: random]
    #[arg(long, value_name = "SERIAL")]
    serial: Option<Digest>,
    /// A property of the subject, such as country=LU or level:u64=2; text if no type is named; may be repeated
    #[arg(long = "claim", value_name = "NAME[:TYPE]=VALUE")]
    claims: Vec<String>,
    #[command(flatten)]
    by: SignerArgs,
    #[command(flatten)]
    out: OutArgs,
}

/// Options of `dsm evidence preimage`.
#[derive(Debug, clap::Args)]
pub(crate) struct PreimageArgs {
    /// Which digest of it the policy waits for
    #[arg(long, value_enum, default_value = "sha256")]
    hash: HashWord,
    #[command(flatten)]
    payload: PayloadArgs,
    #[command(flatten)]
    out: OutArgs,
}

/// An algorithm that makes digests.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum HashWord {
    Blake3,
    Sha256,
    Keccak256,
}

impl HashWord {
    const fn algorithm(self) -> u32 {
        match self {
            HashWord::Blake3 => hash_alg::BLAKE3,
            HashWord::Sha256 => hash_alg::SHA256,
            HashWord::Keccak256 => hash_alg::KECCAK256,
        }
    }
}

/// What a statement says, or what a digest is of: at most 1,024 bytes.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct PayloadArgs {
    /// The bytes as hex digits
    #[arg(long, value_name = "HEX")]
    payload: Option<String>,
    /// The bytes of this text
    #[arg(long)]
    text: Option<String>,
    /// The bytes of a file
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
}

/// Who signs.
#[derive(Debug, clap::Args)]
struct SignerArgs {
    /// The account that signs, by its name in this wallet
    #[arg(long = "as", value_name = "ACCOUNT")]
    account: String,
    /// Sign with this key of this wallet [default: the first of the account's that it has]
    #[arg(long, value_name = "KEY")]
    sign_key: Option<String>,
}

/// What a file of evidence holds: the answer of all verbs here.
#[derive(Serialize)]
struct Held {
    file: PathBuf,
    bytes: usize,
    #[serde(flatten)]
    evidence: EvidenceView,
}

impl Show for Held {
    fn text(&self) -> String {
        let file = ("file", format!("{} ({} bytes)", self.file.display(), self.bytes));
        let lines = match &self.evidence {
            EvidenceView::OracleRound { feed, round, decimals, observations } => {
                let mut lines = vec![
                    file,
                    ("feed", feed.to_string()),
                    ("round", format!("{round}, {decimals} decimals")),
                ];
                lines.extend(observations.iter().map(|one| {
                    let answer = display_answer(one.answer, *decimals);
                    let words = format!("{answer} by {} at {} ms", short(one.account), one.observed_ms);
                    ("observed", words)
                }));
                lines
            }
            EvidenceView::Attestation { account, topic, payload } => vec![
                file,
                ("statement", safe(topic)),
                ("by", account.to_string()),
                ("payload", format!("{} bytes: {payload}", payload.0.len())),
            ],
            EvidenceView::Credential { issuer, subject, schema, serial, expires_ms, claims } => {
                let mut lines = vec![
                    file,
                    ("credential", safe(schema)),
                    ("issuer", issuer.to_string()),
                    ("subject", subject.to_string()),
                    ("serial", serial.to_string()),
                    ("until", time_words(*expires_ms)),
                ];
                lines.extend(claims.iter().map(|claim| ("shows", param_words(claim))));
                lines
            }
            EvidenceView::HashPreimage { digest, preimage, .. } => vec![
                file,
                ("digest", digest.to_string()),
                ("preimage", format!("{} bytes", preimage.0.len())),
            ],
            EvidenceView::Bridge { bridge, nonce, .. } => {
                vec![file, ("lock", format!("{nonce} of bridge {bridge}"))]
            }
        };
        format!("{}\nnothing here is verified: the node does that, and the policies judge it", rows(lines))
    }
}

pub(super) fn observe(session: &Session, args: &ObserveArgs) -> Result<(), Failure> {
    args.out.check()?;
    if args.decimals > limit::ROUND_DECIMALS_MAX {
        let most = limit::ROUND_DECIMALS_MAX;
        return Err(Failure::usage(format!("an answer has at most {most} decimal places"))
            .help("--decimals takes those of the feed: `dsm token show` lists its parameters"));
    }
    let answer = parse_answer(&args.answer, args.decimals)?;
    let feed: Digest = args.feed.parse().unwrap_or_else(|_| feed_id(&args.feed));
    let signing = args.by.unlock(session)?;
    let observed_ms = args.at.unwrap_or_else(Session::now_ms);
    let (account, round, decimals) = (signing.account, args.round, args.decimals);
    let statement = ObservationStatement { account, feed, round, decimals, answer, observed_ms };
    let observation = draft::observe(signing.network, &statement, &signing.secret, signing.key);
    let observation = observation.map_err(|error| Failure::refused("sign_failed", error))?;
    keep(session, &args.out, &draft::oracle_round(feed, round, decimals, vec![observation]))
}

pub(super) fn round(session: &Session, args: &RoundArgs) -> Result<(), Failure> {
    args.out.check()?;
    let mut parts = Vec::new();
    for file in &args.files {
        parts.push((file.as_path(), read(file)?));
    }
    keep(session, &args.out, &collect(parts)?)
}

pub(super) fn attest(session: &Session, args: &AttestArgs) -> Result<(), Failure> {
    args.out.check()?;
    let topic_max = dsm_core::limit::EVIDENCE_TOPIC_BYTES_MAX;
    if args.topic.len() > topic_max {
        return Err(Failure::usage(format!("a topic has at most {topic_max} bytes"))
            .help("policies choose their topics: the page of the policy tells which it looks for"));
    }
    let payload = args.payload.bytes("sign the hash of what is longer, and keep the rest elsewhere")?;
    let signing = args.by.unlock(session)?;
    let nonce = Session::random()?;
    let attestation = Attestation { account: signing.account, topic: args.topic.clone(), payload, nonce };
    let evidence = draft::attest(signing.network, attestation, &signing.secret, signing.key);
    keep(session, &args.out, &evidence.map_err(|error| Failure::refused("sign_failed", error))?)
}

pub(super) fn credential(session: &Session, args: &CredentialArgs) -> Result<(), Failure> {
    args.out.check()?;
    let schema_max = dsm_core::limit::EVIDENCE_TOPIC_BYTES_MAX;
    if args.schema.len() > schema_max {
        return Err(Failure::usage(format!("a schema has at most {schema_max} bytes"))
            .help("`dsm token show` lists the parameters of a policy that wants credentials"));
    }
    let claims_max = dsm_core::limit::EVIDENCE_CLAIMS_MAX;
    if args.claims.len() > claims_max {
        return Err(Failure::usage(format!("a credential shows at most {claims_max} claims"))
            .help("issue a second one with the others"));
    }
    let wallet = session.wallet()?;
    let subject = wallet.account_id(&args.subject)?;
    let mut claims = Vec::new();
    for text in &args.claims {
        claims.push((claim(text, &wallet)?, Session::random()?));
    }
    let serial = args.serial.map_or_else(|| Session::random().map(Digest), Ok)?;
    let expires_ms = Session::now_ms().saturating_add(args.valid_for);
    let signing = args.by.unlock(session)?;
    let (issuer, schema) = (signing.account, args.schema.clone());
    let terms = CredentialTerms { issuer, subject, schema, serial, expires_ms, claims };
    let presentation = draft::issue(signing.network, terms, &signing.secret, signing.key);
    let presentation = presentation.map_err(|error| Failure::refused("sign_failed", error))?;
    keep(session, &args.out, &EvidenceProof::Credential(presentation))
}

/// A claim, written `NAME=VALUE` or `NAME:TYPE=VALUE`.
fn claim(text: &str, wallet: &Wallet) -> Result<Field, Failure> {
    let bad = |why: String| {
        let types: Vec<&str> = ValueType::ALL.iter().map(|known| known.word()).collect();
        Failure::usage(format!("{text:?} is no claim: {why}"))
            .help(format!("write country=LU or level:u64=2; the types are {}", types.join(", ")))
    };
    let (named, value) = text.split_once('=').ok_or_else(|| bad("it is not NAME=VALUE".to_owned()))?;
    let (name, word) = named.split_once(':').unwrap_or((named, ValueType::Text.word()));
    if name.is_empty() {
        return Err(bad("it has no name".to_owned()));
    }
    let value_type = ValueType::ALL.iter().find(|known| known.word() == word);
    let value_type = value_type.ok_or_else(|| bad(format!("{word:?} is no type of value")))?;
    Ok(Field { name: name.to_owned(), value: parse_value(value, *value_type, wallet)? })
}

pub(super) fn preimage(session: &Session, args: &PreimageArgs) -> Result<(), Failure> {
    args.out.check()?;
    let preimage = args.payload.bytes("the node takes no longer preimages: choose a shorter secret")?;
    let algorithm = args.hash.algorithm();
    let digest = Digest(hash_guest(algorithm, &preimage).expect("it has every algorithm of `hash_alg`"));
    keep(session, &args.out, &EvidenceProof::HashPreimage(HashPreimage { algorithm, digest, preimage }))
}

/// Tells what a file holds.
pub(super) fn show(session: &Session, file: &Path) -> Result<(), Failure> {
    let evidence = read(file)?;
    told(session, file, &evidence, encode(&evidence).len())
}

fn keep(session: &Session, out: &OutArgs, evidence: &EvidenceProof) -> Result<(), Failure> {
    let bytes = encode(evidence);
    out.write(&bytes)?;
    told(session, &out.file, evidence, bytes.len())
}

fn told(session: &Session, file: &Path, evidence: &EvidenceProof, bytes: usize) -> Result<(), Failure> {
    session.show(&Held { file: file.to_path_buf(), bytes, evidence: EvidenceView::from(evidence) })
}

/// All observations of some files, which must be of one round of one feed, each account once.
fn collect(parts: Vec<(&Path, EvidenceProof)>) -> Result<EvidenceProof, Failure> {
    let refused = |file: &Path, why: &str| {
        Failure::refused("not_one_round", format!("{}: {why}", file.display())).help(
            "`dsm evidence show FILE` tells what a file holds; give files of one round, each account once",
        )
    };
    let mut one: Option<(Digest, u64, u8)> = None;
    let mut all: Vec<SignedObservation> = Vec::new();
    for (file, evidence) in parts {
        let EvidenceProof::OracleRound { feed, round, decimals, observations } = evidence else {
            return Err(refused(file, "holds no observations"));
        };
        let first = one.get_or_insert((feed, round, decimals));
        if *first != (feed, round, decimals) {
            return Err(refused(file, "is of another feed, round or number of decimals than the first file"));
        }
        for observation in observations {
            let account = observation.account;
            if all.iter().any(|other| other.account == account) {
                return Err(refused(file, &format!("account {account} observed twice")));
            }
            all.push(observation);
        }
        if all.len() > limit::OBSERVATIONS_MAX {
            let why = format!("a round has at most {} observations", limit::OBSERVATIONS_MAX);
            return Err(refused(file, &why));
        }
    }
    let (feed, round, decimals) = one.unwrap_or_default();
    Ok(draft::oracle_round(feed, round, decimals, all))
}

/// The evidence in a file.
pub(crate) fn read(file: &Path) -> Result<EvidenceProof, Failure> {
    const BYTES_MAX: usize = dsm_core::limit::SIGNED_BYTES_MAX;
    let bytes = read_bytes(file, BYTES_MAX)?;
    decode(&bytes, BYTES_MAX).map_err(|error| {
        let message = format!("{} holds no evidence for policies: {error}", file.display());
        Failure::new(Exit::Integrity, "not_evidence", message).help(
            "give a file that `dsm evidence` made of evidence; packages of `dsm evidence export` are read by \
             `dsm evidence verify`",
        )
    })
}

/// A file of at most so many bytes, and one more, so that a longer one is told.
fn read_bytes(file: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| file_failure(file, &error);
    let mut bytes = Vec::new();
    let limit = bytes_max as u64 + 1;
    std::fs::File::open(file).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

impl PayloadArgs {
    fn bytes(&self, way_out: &str) -> Result<Vec<u8>, Failure> {
        let most = dsm_core::limit::EVIDENCE_PAYLOAD_BYTES_MAX;
        let bytes = match (&self.payload, &self.text, &self.payload_file) {
            (Some(digits), ..) => hex::decode(digits).map_err(|_| {
                Failure::usage("--payload takes pairs of hex digits")
                    .help("words go with --text, the bytes of a file with --payload-file")
            })?,
            (None, Some(text), _) => text.clone().into_bytes(),
            (None, None, Some(file)) => read_bytes(file, most)?,
            (None, None, None) => Vec::new(),
        };
        if bytes.len() > most {
            return Err(Failure::usage(format!("there may be at most {most} bytes")).help(way_out));
        }
        Ok(bytes)
    }
}

/// A key about to sign for an account.
struct Signing {
    account: dsm_abi::AccountId,
    network: NetworkId,
    secret: SecretKey,
    key: u8,
}

impl SignerArgs {
    /// The key, and its position among those that the account has now.
    fn unlock(&self, session: &Session) -> Result<Signing, Failure> {
        let wallet = session.wallet()?;
        let own = wallet.own_account(&self.account)?;
        let view = session.client()?.account(&own.account)?;
        let listed: Vec<PublicKey> = view.keys.keys.iter().map(|key| key.public_key()).collect();
        let chosen: Vec<String> = self.sign_key.iter().cloned().collect();
        let mut keys = session.unlock(&wallet, &listed, 1, &chosen)?;
        let (key, secret) = keys.swap_remove(0);
        Ok(Signing { account: own.account, network: own.network, secret, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsm_abi::{AccountId, Suite};

    fn part(name: &'static str, round: u64, accounts: &[u8]) -> (&'static Path, EvidenceProof) {
        let observations = accounts.iter().map(|n| SignedObservation {
            account: AccountId([*n; 32]),
            key: 0,
            suite: Suite::MlDsa65,
            signature: vec![*n; 8],
            answer: i128::from(*n),
            observed_ms: 5,
        });
        let feed = feed_id("EUR/USD");
        (Path::new(name), draft::oracle_round(feed, round, 4, observations.collect()))
    }

    #[test]
    fn observations_are_collected_in_whatever_order_and_parts() {
        let whole = part("whole", 7, &[1, 2, 3]).1;
        for parts in [
            vec![part("a", 7, &[3]), part("b", 7, &[1]), part("c", 7, &[2])],
            vec![part("a", 7, &[2, 3]), part("b", 7, &[1])],
            vec![part("a", 7, &[1, 2, 3])],
        ] {
            assert_eq!(collect(parts).unwrap(), whole);
        }
    }

    #[test]
    fn what_is_not_one_round_is_refused_with_the_file() {
        let statement = Attestation {
            account: AccountId([9; 32]),
            topic: String::new(),
            payload: vec![],
            nonce: [0; 32],
        };
        let attested = EvidenceProof::Attestation {
            attestation: statement,
            key: 0,
            suite: Suite::MlDsa65,
            signature: vec![],
        };
        let (mut other_feed, mut other_decimals) = (part("odd", 7, &[2]), part("odd", 7, &[2]));
        if let EvidenceProof::OracleRound { feed, .. } = &mut other_feed.1 {
            *feed = feed_id("EUR/CHF");
        }
        if let EvidenceProof::OracleRound { decimals, .. } = &mut other_decimals.1 {
            *decimals = 5;
        }
        let many: Vec<u8> = (2..=17).collect();
        for (odd, why) in [
            (part("odd", 8, &[2]), "another feed, round"),
            (other_feed, "another feed, round"),
            (other_decimals, "another feed, round"),
            (part("odd", 7, &[1]), "observed twice"),
            (part("odd", 7, &many), "at most 16"),
            ((Path::new("odd"), attested), "holds no observations"),
        ] {
            let failure = collect(vec![part("first", 7, &[1]), odd]).unwrap_err();
            assert_eq!(failure.code, "not_one_round");
            assert!(
                failure.message.starts_with("odd: ") && failure.message.contains(why),
                "{}",
                failure.message
            );
        }
    }

    #[test]
    fn a_file_that_holds_something_else_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let good = encode(&part("", 7, &[1]).1);
        std::fs::write(&file, &good).unwrap();
        assert_eq!(read(&file).unwrap(), part("", 7, &[1]).1);
        let mut longer = good.clone();
        longer.push(0);
        for bytes in [&b""[..], b"rubbish", &good[..good.len() - 1], &longer, &vec![0; 1 << 20]] {
            std::fs::write(&file, bytes).unwrap();
            let failure = read(&file).unwrap_err();
            assert_eq!((failure.code.as_str(), failure.exit), ("not_evidence", Exit::Integrity));
            assert!(failure.help.is_some());
        }
        assert_eq!(read(&folder.path().join("nowhere")).unwrap_err().code, "usage");
    }
}
