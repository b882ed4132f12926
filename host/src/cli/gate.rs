//! `dsm gate`: what must work after a change, tried on the running node: N of N, or exit code 1.
//!
//! It speaks to the node as any client does, with accounts that it makes for this run; each run leaves two of them and a
//! token. A backup is restored in a directory that is removed afterwards, without the node's key.

use super::backup::{checked, create, restore_failure};
use super::discover::{Around, survey};
use super::failure::Failure;
use super::node::compiler;
use super::policy::{engine, package};
use super::session::Session;
use super::show::{Show, safe, short};
use dsm_abi::{AccountId, Digest, NetworkId, PolicyId, StateId, Suite, TokenId, Value, encode};
use dsm_core::{Genesis, OperationKind, SignedTransition};
use dsm_crypto::{SecretKey, Signer, Verifier};
use dsm_host::node::NodeConfig;
use dsm_host::replicate::rehearse_backup;
use dsm_sdk::api::{PolicyCid, StatusView, limit};
use dsm_sdk::client::{Client, ClientError};
use dsm_sdk::draft::{Draft, NewToken, Window, key_set, public_key};
use dsm_sdk::receipt::{Durability, Receipt};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The policy that the gate's token is under.
const POLICY: &str = "fungible";
const MODULE: &[u8] = include_bytes!("../../../policies/dist/fungible.wasm");
/// Its code for a mint that too few authorities signed.
const NOT_AUTHORIZED: u16 = 101;
/// Base units that are minted.
const UNITS: u128 = 1000;
/// Transitions in a row, for the service levels: as many as tell a p95 from one that took long.
const SAMPLES: usize = 60;
/// Probes of readiness; between other checks, so that they see the node at work.
const PROBES_EACH: usize = 3;

/// Options of `dsm gate`.
#[derive(Debug, clap::Args)]
pub(crate) struct GateArgs {
    #[command(flatten)]
    around: Around,
    /// How far transitions must be durable: local, primary or replicated:N [default: the node's level]
    #[arg(long, value_name = "LEVEL", env = "DSM_DURABILITY")]
    durability: Option<Durability>,
    /// The service level: 95 of 100 receipts and HTTP requests take so many ms at most
    #[arg(long, value_name = "MS", default_value_t = 300)]
    p95: u64,
    /// Where the backup is restored for a moment [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// The network accepts signatures of Dilithium3
    #[arg(long)]
    accept_dilithium3: bool,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    ok: bool,
    detail: String,
}

/// The answer of `gate`.
#[derive(Debug, Serialize)]
struct Passed {
    passed: usize,
    all: usize,
    checks: Vec<Check>,
}

impl Show for Passed {
    fn text(&self) -> String {
        let line = |one: &Check| {
            let word = if one.ok { "ok    " } else { "FAILED" };
            format!("{word}  {:24}  {}", one.check, safe(&one.detail))
        };
        let mut lines: Vec<String> = self.checks.iter().map(line).collect();
        lines.push(format!("{}/{}", self.passed, self.all));
        lines.join("\n")
    }
}

/// A check's outcome: what it leaves for the next ones, and a line about it.
type Told<T> = Result<(T, String), Failure>;

struct Gate<'a> {
    session: &'a Session,
    args: &'a GateArgs,
    client: Client,
    checks: Vec<Check>,
    probes: usize,
    answered: usize,
}

impl Gate<'_> {
    /// Carries a check out, unless one that it builds on has failed.
    fn check<T, B>(
        &mut self,
        check: &'static str,
        before: Option<B>,
        work: impl FnOnce(&Self, B) -> Told<T>,
    ) -> Option<T> {
        let done = match before {
            Some(before) => {
                work(self, before).map_err(|failure| format!("{}: {}", failure.code, failure.message))
            }
            None => Err("not tried: a check that it builds on failed".to_owned()),
        };
        let (ok, detail, left) = match done {
            Ok((left, detail)) => (true, detail, Some(left)),
            Err(why) => (false, why, None),
        };
        self.checks.push(Check { check, ok, detail });
        for _ in 0..PROBES_EACH {
            self.probes += 1;
            self.answered += usize::from(self.client.ready().is_ok());
        }
        left
    }
}

/// An account that lives as long as this run.
struct Actor {
    genesis: Genesis,
    account: AccountId,
    key: SecretKey,
}

impl Actor {
    fn new(network: NetworkId, suite: Suite) -> Result<Actor, Failure> {
        let key = SecretKey::generate(suite).map_err(|error| Failure::refused("no_randomness", error))?;
        let keys = key_set([(public_key(&key), 0)], 1);
        let genesis = Genesis { network, keys, salt: Session::random()? };
        Ok(Actor { account: genesis.account(), genesis, key })
    }

    fn sign(&self, draft: Draft) -> Result<SignedTransition, Failure> {
        Ok(draft.sign_with(&[(self.account, &self.key as &dyn Signer, 0)])?)
    }
}

fn draft(network: NetworkId) -> Result<Draft, Failure> {
    Ok(Draft::new(network, Window::around(Session::now_ms()), Session::random()?))
}

/// A check that went otherwise than it must.
fn differs(message: impl std::fmt::Display) -> Failure {
    Failure::refused("gate_differs", message)
}

/// What the story on the node has come to.
struct Story {
    network: NetworkId,
    level: Durability,
    status: StatusView,
    desk: Actor,
    stranger: Actor,
    policy: Option<PolicyId>,
    token: TokenId,
}

pub(crate) fn run(session: &Session, args: &GateArgs) -> Result<(), Failure> {
    let client = session.client()?;
    let mut gate = Gate { session, args, client, checks: Vec::new(), probes: 0, answered: 0 };
    gate.check("services", Some(()), |gate, ()| services(gate));
    let story = gate.check("accounts opened", Some(()), |gate, ()| open(gate));
    let story = gate.check("token under a policy", story, create_token);
    gate.check("policy answers a view", story.as_ref(), view);
    let receipt = gate.check("transition accepted", story.as_ref(), mint);
    gate.check("receipt found again", receipt.as_ref(), again);
    gate.check("overdraft refused", story.as_ref(), overdraw);
    gate.check("policy refuses", story.as_ref(), denied);
    gate.check("proof verified offline", story.as_ref(), prove);
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new().prefix("dsm-gate").tempdir_in(scratch);
    let folder = folder.map_err(|error| Failure::usage(format!("no temporary directory: {error}")))?;
    let file = folder.path().join("backup");
    let written = gate.check("backup written and verified", receipt, |gate, receipt| {
        let written = create(gate.session, &file, None)?;
        let found = checked(&file)?;
        if written != found || found.head < receipt.position {
            return Err(differs("the archive is not the one that was written, or too short"));
        }
        let detail = format!("{} records, {} bytes, {}", found.head, found.bytes, short(found.archive));
        Ok((receipt, detail))
    });
    let data = folder.path().join("data");
    gate.check("backup restored", written, |gate, receipt| {
        let mut node = NodeConfig::new(&data);
        node.accept_dilithium3 = gate.args.accept_dilithium3;
        node.engine.compiler = compiler();
        let found = rehearse_backup(&file, &node, receipt.position).map_err(restore_failure)?;
        // The replay has compared the roots of every checkpoint, the gate's own among them.
        let same = found.digest_there == Some(receipt.log_digest)
            && (found.replay.position, found.replay.log_digest) == (found.backup.head, found.backup.digest)
            && found.replay.checkpoints > 0;
        if !same {
            return Err(differs("the restored log is not the node's"));
        }
        let detail = format!(
            "{} transitions verified again, {} checkpoints, the same heads",
            found.replay.transitions, found.replay.checkpoints
        );
        Ok(((), detail))
    });
    levels(&mut gate, story.as_ref());
    let passed = gate.checks.iter().filter(|one| one.ok).count();
    let (all, checks) = (gate.checks.len(), gate.checks);
    session.show(&Passed { passed, all, checks })?;
    if passed == all { Ok(()) } else { Err(Failure::told()) }
}

fn services(gate: &Gate<'_>) -> Told<()> {
    let found = survey(gate.session, &gate.args.around)?;
    match found.critical.as_slice() {
        [] => Ok(((), format!("{} found, nothing critical", found.services.len()))),
        some => Err(differs(some.join("; "))),
    }
}

fn open(gate: &Gate<'_>) -> Told<Story> {
    let status = gate.client.status()?;
    let network = status.network.network;
    let level = gate.args.durability.or(status.replication.as_ref().map(|view| view.durability));
    let (desk, stranger) =
        (Actor::new(network, Suite::Ed25519MlDsa65)?, Actor::new(network, Suite::MlDsa65)?);
    let story = Story {
        network,
        level: level.unwrap_or(Durability::Local),
        status,
        desk,
        stranger,
        policy: None,
        token: TokenId::NONE,
    };
    for actor in [&story.desk, &story.stranger] {
        let signed = actor.sign(draft(network)?.open(actor.genesis.clone()))?;
        accept(gate, &story, &signed)?;
    }
    let detail = format!("{} with ML-DSA-65 and Ed25519", short(story.desk.account));
    Ok((story, detail))
}

/// Submits what must be accepted, durable as far as asked.
fn accept(gate: &Gate<'_>, story: &Story, signed: &SignedTransition) -> Result<Receipt, Failure> {
    let receipt = gate.client.submit_bytes_at(&encode(signed), Some(story.level))?;
    if receipt.durability.storage_nodes() < story.level.storage_nodes() {
        return Err(differs(format!("asked for {}, the receipt says {}", story.level, receipt.durability)));
    }
    Ok(receipt)
}

fn head(gate: &Gate<'_>, account: &AccountId) -> Result<StateId, Failure> {
    Ok(gate.client.account(account)?.head)
}

/// A draft that an account signs at its head.
fn next(gate: &Gate<'_>, story: &Story, actor: &Actor) -> Result<Draft, Failure> {
    Ok(draft(story.network)?.signer(actor.account, head(gate, &actor.account)?))
}

/// Takes the policy that is published, or publishes it.
fn create_token(gate: &Gate<'_>, mut story: Story) -> Told<Story> {
    let (policy, found) = match published(gate)? {
        Some(policy) => (policy, "published before"),
        None => (publish(gate, &story)?, "published now"),
    };
    let author = public_key(&story.desk.key).id();
    let params = vec![Value::Keys(vec![author]), Value::U64(1), Value::U128(0)];
    let new =
        NewToken::new(story.desk.account, "GATE", "Gate", vec![(policy, params)]).salt(Session::random()?);
    story.token = new.token();
    story.policy = Some(policy);
    let draft = next(gate, &story, &story.desk)?.operation(story.desk.account, new.operation());
    accept(gate, &story, &story.desk.sign(draft)?)?;
    let detail = format!("{} under {POLICY}, {found}", short(story.token));
    Ok((story, detail))
}

/// The published policy that is this very module.
fn published(gate: &Gate<'_>) -> Result<Option<PolicyId>, Failure> {
    let module = Digest(*blake3::hash(MODULE).as_bytes());
    let mut after = None;
    loop {
        let page = gate.client.policies(after, limit::PAGE_ITEMS_MAX)?;
        if let Some(found) = page.policies.iter().find(|one| one.module == module) {
            return Ok(Some(found.policy.0));
        }
        match page.next {
            Some(PolicyCid(next)) => after = Some(next),
            None => return Ok(None),
        }
    }
}

fn publish(gate: &Gate<'_>, story: &Story) -> Result<PolicyId, Failure> {
    let source = format!("policies/{POLICY}");
    let package = package(&engine()?, MODULE.to_vec(), &story.desk.key, "MIT OR Apache-2.0", &source)?;
    let policy = gate.client.stage(&encode(&package))?.policy.0;
    let module = Digest(*blake3::hash(MODULE).as_bytes());
    let kind = OperationKind::Publish { policy, module, author: package.envelope.key.id() };
    let draft = next(gate, story, &story.desk)?.operation(story.desk.account, kind);
    accept(gate, story, &story.desk.sign(draft)?)?;
    Ok(policy)
}

fn view(gate: &Gate<'_>, story: &Story) -> Told<()> {
    let fields = gate.client.view(&story.token, 0, "paused", Vec::new())?;
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    if names != ["paused", "since_ms"] {
        return Err(differs(format!("the view answers {names:?}")));
    }
    Ok(((), "paused: asked in the sandbox, answered".to_owned()))
}

fn mint(gate: &Gate<'_>, story: &Story) -> Told<Receipt> {
    let desk = &story.desk;
    let draft = next(gate, story, desk)?.mint(desk.account, story.token, desk.account, UNITS);
    let receipt = accept(gate, story, &desk.sign(draft)?)?;
    let detail = format!("position {}, durable {}", receipt.position, receipt.durability);
    Ok((receipt, detail))
}

fn again(gate: &Gate<'_>, receipt: &Receipt) -> Told<()> {
    let found = gate.client.receipt(&receipt.transition)?;
    if (found.position, found.log_digest) != (receipt.position, receipt.log_digest) {
        return Err(differs("the node tells another place than it acknowledged"));
    }
    let signed = gate.client.signed_transition(&receipt.transition)?;
    Ok(((), format!("{} bytes, the same place", encode(&signed).len())))
}

/// Submits what must be refused with a code, and must not move the account's head.
fn refuse(
    gate: &Gate<'_>,
    actor: &Actor,
    draft: Draft,
    code: &str,
) -> Result<dsm_sdk::api::Problem, Failure> {
    let before = head(gate, &actor.account)?;
    let problem = match gate.client.submit_bytes_at(&encode(&actor.sign(draft)?), Some(Durability::Local)) {
        Ok(receipt) => return Err(differs(format!("it was accepted at position {}", receipt.position))),
        Err(ClientError::Problem(problem)) => *problem,
        Err(other) => return Err(other.into()),
    };
    if problem.code != code {
        return Err(differs(format!("refused with {}, not with {code}", problem.code)));
    }
    if head(gate, &actor.account)? != before {
        return Err(differs("a refused transition moved a head"));
    }
    Ok(problem)
}

fn overdraw(gate: &Gate<'_>, story: &Story) -> Told<()> {
    let (from, to) = (&story.stranger, story.desk.account);
    let draft = next(gate, story, from)?.transfer(from.account, story.token, to, 1);
    refuse(gate, from, draft, "insufficient_funds")?;
    Ok(((), "insufficient_funds, no head moved".to_owned()))
}

fn denied(gate: &Gate<'_>, story: &Story) -> Told<()> {
    let stranger = &story.stranger;
    let draft = next(gate, story, stranger)?.mint(stranger.account, story.token, stranger.account, UNITS);
    let problem = refuse(gate, stranger, draft, "policy_denied")?;
    let code = problem.denial.map(|denial| denial.code);
    if code != Some(NOT_AUTHORIZED) {
        return Err(differs(format!("the policy refused with {code:?}, not with {NOT_AUTHORIZED}")));
    }
    Ok(((), format!("policy_denied, code {NOT_AUTHORIZED}, no head moved")))
}

/// Proves the account's head at a new checkpoint, and checks the proof by the node's key alone.
fn prove(gate: &Gate<'_>, story: &Story) -> Told<()> {
    let taken = gate.client.take_checkpoint()?;
    let view = gate.client.prove_account(&story.desk.account)?;
    let malformed = |error| Failure::integrity("malformed_bytes", format!("the proof's bytes: {error}"));
    let proof = view.decode().map_err(malformed)?;
    let node = story.status.network.node.public_key();
    let state = proof.verify(&node, &Verifier::new());
    let state = state.map_err(|error| Failure::integrity(error.code(), error))?;
    let found = state.map(|state| state.id());
    if proof.account != story.desk.account || found != Some(head(gate, &story.desk.account)?) {
        return Err(differs("the proof shows another head than the account's"));
    }
    Ok(((), format!("checkpoint {}, {} bytes", taken.checkpoint.epoch, view.proof.0.len())))
}

/// The service levels: from the node's own histograms, what they counted while transitions came one after the other; and
/// from this run's probes. What the node counted before says nothing about how it is now.
fn levels(gate: &mut Gate<'_>, story: Option<&Story>) {
    let not_tried = || "not tried: a check that it builds on failed".to_owned();
    let sampled = story.ok_or_else(not_tried).and_then(|story| {
        sample(gate, story).map_err(|failure| format!("{}: {}", failure.code, failure.message))
    });
    for (check, family) in
        [("p95 of receipts", "dsm_receipt_seconds"), ("p95 of HTTP requests", "dsm_http_request_seconds")]
    {
        gate.check(check, Some(()), |gate, ()| {
            let (before, after) = sampled.as_ref().map_err(differs)?;
            let (bound, count) =
                p95(before, after, family).ok_or_else(|| differs(format!("the node counts no {family}")))?;
            let ms = |seconds: f64| format!("{} ms", seconds * 1000.0);
            let told = bound.map_or_else(|| "longer than any bound".to_owned(), ms);
            // Histograms know bounds, not values: the one below which 95 of 100 lie.
            if bound.is_none_or(|bound| bound * 1000.0 > gate.args.p95 as f64) {
                return Err(differs(format!("{told} of {count}, at most {} ms are allowed", gate.args.p95)));
            }
            Ok(((), format!("at most {told}, {count} counted")))
        });
    }
    let (probes, answered) = (gate.probes, gate.answered);
    gate.check("availability", Some(()), |_, ()| {
        if answered < probes {
            return Err(differs(format!("{answered} of {probes} probes found the node ready")));
        }
        Ok(((), format!("{probes} of {probes} probes found the node ready")))
    });
}

/// The node's metrics before and after transitions that are accepted one after the other.
fn sample(gate: &Gate<'_>, story: &Story) -> Result<(String, String), Failure> {
    let before = gate.client.metrics()?;
    for _ in 0..SAMPLES {
        mint(gate, story)?;
    }
    Ok((before, gate.client.metrics()?))
}

/// The bound in seconds below which 95 of 100 lie of those counted between two pages, if there is one, and how many were
/// counted.
fn p95(before: &str, after: &str, family: &str) -> Option<(Option<f64>, u64)> {
    let earlier: BTreeMap<String, u64> = buckets(before, family).collect();
    let mut counted = Vec::new();
    for (bound, count) in buckets(after, family) {
        let less = earlier.get(&bound).copied().unwrap_or_default();
        counted.push((bound.parse::<f64>().ok()?, count.saturating_sub(less)));
    }
    let all = counted.last().map(|(_, count)| *count).filter(|count| *count > 0)?;
    let reached = |count: u64| u128::from(count) * 100 >= u128::from(all) * 95;
    let bound = counted.iter().find(|(_, count)| reached(*count)).map(|(bound, _)| *bound);
    Some((bound.filter(|bound| bound.is_finite()), all))
}

/// The buckets of a histogram as its page has them: bound and count.
fn buckets(metrics: &str, family: &str) -> impl Iterator<Item = (String, u64)> {
    let prefix = format!("{family}_bucket{{le=\"");
    metrics.lines().filter_map(move |line| {
        let (bound, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
        Some((bound.to_owned(), count.trim().parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::p95;

    #[test]
    fn a_p95_is_the_bound_below_which_95_of_100_lie() {
        let page = |low: u64, middle: u64, all: u64| {
            format!(
                "# TYPE x histogram\nx_bucket{{le=\"0.1\"}} {low}\nx_bucket{{le=\"0.3\"}} {middle}\nx_bucket{{le=\"+Inf\"}} {all}\nx_count {all}\n"
            )
        };
        let rows = [
            (String::new(), page(95, 100, 100), Some((Some(0.1), 100))),
            (String::new(), page(94, 95, 100), Some((Some(0.3), 100))),
            (String::new(), page(94, 94, 100), Some((None, 100))),
            (String::new(), page(0, 0, 0), None),
            (String::new(), String::new(), None),
            // A quick past makes nobody quick now, and a slow one nobody slow.
            (page(9000, 9000, 9000), page(9010, 9100, 9100), Some((Some(0.3), 100))),
            (page(0, 0, 50), page(100, 100, 150), Some((Some(0.1), 100))),
            (page(5, 5, 5), page(5, 5, 5), None),
        ];
        for (before, after, expected) in rows {
            assert_eq!(p95(&before, &after, "x"), expected, "{before}{after}");
        }
    }
}
