//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{Case as File, Denied, Proposal, case_key};
use alloc::{string::String, vec, vec::Vec};
use dsm_policy::bench::{Case, ISSUER, START_MS, Scene, account, key, sets};
use dsm_policy::{AccountId, Action, Digest, Effect, Fields, KeyId, Refused, Value};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const CASE: Digest = Digest([0xca; 32]);
const DRAFT: Digest = Digest([0xd1; 32]);
const FINAL: Digest = Digest([0xd2; 32]);
const STEP_MS: u64 = 1_000;
const UNTIL_MS: u64 = START_MS + STEP_MS;

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [creation(), proposals(), approvals(), times(), declines(), units(), queries()].concat()
}

fn keys(numbers: &[u8]) -> Vec<KeyId> {
    numbers.iter().map(|n| key(*n)).collect()
}

fn terms(steps: &[&str], proposers: &[u8], approvers: &[u8], approvals: u64, step_ms: u64) -> Scene {
    Scene::new(vec![
        Value::Texts(steps.iter().map(|step| String::from(*step)).collect()),
        Value::Keys(keys(proposers)),
        Value::Keys(keys(approvers)),
        Value::U64(approvals),
        Value::U64(step_ms),
    ])
}

/// Two steps. Keys 11 and 12 propose; 12, 21 and 22 approve, two of them each step.
fn flow() -> Scene {
    terms(&["review", "release"], &[11, 12], &[12, 21, 22], 2, STEP_MS)
}

fn signed(scene: Scene, numbers: &[u8]) -> Scene {
    scene.signed(ALICE, &keys(numbers))
}

fn proposal(barred: &[u8], approved: &[u8]) -> Proposal {
    Proposal { document: DRAFT, until_ms: UNTIL_MS, barred: keys(barred), approved: keys(approved) }
}

/// A case whose first step is proposed.
fn proposed(barred: &[u8], approved: &[u8]) -> File {
    File { proposal: Some(proposal(barred, approved)), ..File::default() }
}

fn done(documents: &[Digest]) -> File {
    File { done: documents.len() as u64, documents: documents.to_vec(), proposal: None }
}

fn with(file: &File) -> Scene {
    flow().state(case_key(CASE), file)
}

fn becomes(file: &File) -> Effect {
    sets(case_key(CASE), file)
}

fn step_done(step: u64, document: Digest) -> Effect {
    let payload = [&CASE.0[..], &step.to_le_bytes(), &document.0].concat();
    Effect::Event { topic: "step-done".into(), payload }
}

fn propose(scene: Scene, step: u64, document: Digest) -> Scene {
    scene.invoke(ALICE, "propose", vec![Value::Digest(CASE), Value::U64(step), Value::Digest(document)])
}

fn about(scene: Scene, method: &str, document: Digest) -> Scene {
    scene.invoke(ALICE, method, vec![Value::Digest(CASE), Value::Digest(document)])
}

fn approve(scene: Scene) -> Scene {
    about(scene, "approve", DRAFT)
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(ISSUER, Action::Create);
    let many: Vec<u8> = (1..=33).collect();
    let names: Vec<String> = (1..=17_u64).map(|n| dsm_policy::text!["step ", n]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (long, longer) = ("x".repeat(64), "x".repeat(65));
    vec![
        create(flow()).accepts("two steps", vec![]),
        create(terms(&names[..16], &[11], &[21], 1, 1)).accepts("16 steps", vec![]),
        create(terms(&names, &[11], &[21], 1, 1)).refuses("17 steps", Denied::BadTerms),
        create(terms(&[], &[11], &[21], 1, 1)).refuses("no step", Denied::BadTerms),
        create(terms(&["a", "b", "a"], &[11], &[21], 1, 1)).refuses("one name twice", Denied::BadTerms),
        create(terms(&[""], &[11], &[21], 1, 1)).refuses("a step without a name", Denied::BadTerms),
        create(terms(&[&long], &[11], &[21], 1, 1)).accepts("a name of 64 bytes", vec![]),
        create(terms(&[&longer], &[11], &[21], 1, 1)).refuses("a name of 65 bytes", Denied::BadTerms),
        create(terms(&["a"], &many[..32], &[33], 1, 1)).accepts("32 proposers", vec![]),
        create(terms(&["a"], &many, &[40], 1, 1)).refuses("33 proposers", Denied::BadTerms),
        create(terms(&["a"], &[40], &many, 1, 1)).refuses("33 approvers", Denied::BadTerms),
        create(terms(&["a"], &[], &[21], 1, 1)).refuses("no proposer", Denied::BadTerms),
        create(terms(&["a"], &[11], &[], 1, 1)).refuses("no approver", Denied::BadTerms),
        create(terms(&["a"], &[11, 11], &[21], 1, 1)).refuses("one proposer twice", Denied::BadTerms),
        create(terms(&["a"], &[11], &[21, 21], 1, 1)).refuses("one approver twice", Denied::BadTerms),
        create(terms(&["a"], &[11], &[21, 22], 0, 1)).refuses("nobody need approve", Denied::BadTerms),
        create(terms(&["a"], &[11], &[21, 22], 2, 1)).accepts("all approvers must approve", vec![]),
        create(terms(&["a"], &[11], &[21, 22], 3, 1)).refuses("more than all approvers", Denied::BadTerms),
        create(terms(&["a"], &[21], &[21, 22], 2, 1))
            .refuses("a proposer whose own step lacks an approver", Denied::BadTerms),
        create(terms(&["a"], &[11], &[21], 1, 0)).refuses("no time to approve", Denied::BadTerms),
        create(Scene::new(vec![])).refuses("no parameters", Refused::BadParameters),
    ]
}

fn proposals() -> Vec<Case> {
    let second = File { proposal: Some(proposal(&[], &[])), ..done(&[FINAL]) };
    vec![
        propose(signed(flow(), &[11]), 1, DRAFT).accepts("open a case", vec![becomes(&proposed(&[], &[]))]),
        propose(signed(flow(), &[12]), 1, DRAFT)
            .accepts("a proposer who may also approve is barred", vec![becomes(&proposed(&[12], &[]))]),
        propose(signed(flow(), &[11, 21]), 1, DRAFT)
            .accepts("an approver who signs along is barred", vec![becomes(&proposed(&[21], &[]))]),
        propose(signed(with(&done(&[FINAL])), &[11]), 2, DRAFT)
            .accepts("the second step", vec![becomes(&second)]),
        propose(signed(flow(), &[21]), 1, DRAFT).refuses("propose as an approver", Denied::NotProposer),
        propose(flow(), 1, DRAFT).refuses("propose as a stranger", Denied::NotProposer),
        propose(signed(flow(), &[11]), 2, DRAFT).refuses("skip a step (C7)", Denied::WrongStep),
        propose(signed(flow(), &[11]), 0, DRAFT).refuses("step 0", Denied::WrongStep),
        propose(signed(with(&done(&[FINAL])), &[11]), 1, DRAFT)
            .refuses("a step twice (C3)", Denied::WrongStep),
        propose(signed(with(&done(&[DRAFT, FINAL])), &[11]), 3, DRAFT)
            .refuses("a third of two steps", Denied::Finished),
        propose(signed(with(&proposed(&[], &[21])), &[11]), 1, FINAL)
            .refuses("swap the document under an approval", Denied::ProposalWaits),
        signed(flow(), &[11])
            .invoke(ALICE, "propose", vec![Value::Digest(CASE)])
            .refuses("propose nothing", Refused::BadArguments),
        signed(flow(), &[11]).invoke(ALICE, "skip", vec![]).refuses("a method", Refused::UnknownMethod),
    ]
}

fn approvals() -> Vec<Case> {
    let first_done = || vec![step_done(1, DRAFT), becomes(&done(&[DRAFT]))];
    let last = File { proposal: Some(proposal(&[], &[21])), ..done(&[FINAL]) };
    let two_accounts = with(&proposed(&[], &[])).signed(ALICE, &keys(&[21])).signed(BOB, &keys(&[21]));
    vec![
        approve(signed(with(&proposed(&[], &[])), &[21]))
            .accepts("the first of two approvals", vec![becomes(&proposed(&[], &[21]))]),
        approve(signed(with(&proposed(&[], &[21])), &[22])).accepts("the second", first_done()),
        approve(signed(with(&proposed(&[], &[])), &[21, 22])).accepts("two at once", first_done()),
        approve(two_accounts)
            .accepts("one key by two accounts counts once", vec![becomes(&proposed(&[], &[21]))]),
        approve(signed(with(&last), &[22]))
            .accepts("the last step", vec![step_done(2, DRAFT), becomes(&done(&[FINAL, DRAFT]))]),
        approve(signed(with(&proposed(&[12], &[])), &[12]))
            .refuses("approve one's own proposal", Denied::FourEyes),
        approve(signed(with(&proposed(&[12], &[])), &[12, 21]))
            .accepts("the proposer beside another counts not", vec![becomes(&proposed(&[12], &[21]))]),
        approve(signed(with(&proposed(&[], &[])), &[12]))
            .accepts("a proposer approves another's proposal", vec![becomes(&proposed(&[], &[12]))]),
        approve(signed(with(&proposed(&[], &[21])), &[21])).refuses("approve twice", Denied::AlreadyApproved),
        approve(signed(with(&proposed(&[], &[])), &[11])).refuses("no approver's key", Denied::NotApprover),
        approve(with(&proposed(&[], &[]))).refuses("a stranger", Denied::NotApprover),
        approve(signed(flow(), &[21])).refuses("approve what nobody proposed", Denied::NoProposal),
        approve(signed(with(&done(&[DRAFT])), &[21])).refuses("approve what is done", Denied::NoProposal),
        about(signed(with(&proposed(&[], &[])), &[21]), "approve", FINAL)
            .refuses("approve another document", Denied::OtherDocument),
    ]
}

fn times() -> Vec<Case> {
    let waiting = || with(&proposed(&[], &[]));
    let late = File {
        proposal: Some(Proposal { until_ms: UNTIL_MS + STEP_MS, ..proposal(&[], &[]) }),
        ..File::default()
    };
    let forever =
        File { proposal: Some(Proposal { until_ms: u64::MAX, ..proposal(&[], &[]) }), ..File::default() };
    vec![
        approve(signed(waiting().at(UNTIL_MS - 1), &[21]))
            .accepts("approve in the last moment", vec![becomes(&proposed(&[], &[21]))]),
        approve(signed(waiting().at(UNTIL_MS), &[21])).refuses("approve too late", Denied::Lapsed),
        about(signed(waiting().at(UNTIL_MS), &[21]), "decline", DRAFT)
            .refuses("decline too late", Denied::Lapsed),
        propose(signed(waiting().at(UNTIL_MS - 1), &[11]), 1, DRAFT)
            .refuses("propose anew too early", Denied::ProposalWaits),
        propose(signed(with(&proposed(&[12], &[21])).at(UNTIL_MS), &[11]), 1, DRAFT)
            .accepts("propose anew: earlier approvals are gone", vec![becomes(&late)]),
        propose(signed(terms(&["a"], &[11], &[21], 1, u64::MAX), &[11]), 1, DRAFT)
            .accepts("a time without end does not overflow (C6)", vec![becomes(&forever)]),
    ]
}

fn declines() -> Vec<Case> {
    let decline = |scene: Scene, document| about(scene, "decline", document);
    let waiting = || with(&proposed(&[12], &[21]));
    vec![
        decline(signed(waiting(), &[22]), DRAFT).accepts("decline", vec![becomes(&File::default())]),
        decline(signed(waiting(), &[12]), DRAFT)
            .accepts("withdraw one's own proposal", vec![becomes(&File::default())]),
        decline(signed(waiting(), &[11]), DRAFT).refuses("decline as a proposer", Denied::NotApprover),
        decline(signed(waiting(), &[22]), FINAL).refuses("decline another document", Denied::OtherDocument),
        decline(signed(flow(), &[22]), DRAFT).refuses("decline nothing", Denied::NoProposal),
    ]
}

/// The workflow has no units that could move.
fn units() -> Vec<Case> {
    let mint = Action::Mint { to: ALICE, amount: 1 };
    let transfer = Action::Transfer { to: BOB, amount: 1, bilateral: true };
    vec![
        signed(flow(), &[11, 21]).leg(ALICE, mint).refuses("mint", Refused::UnsupportedAction),
        signed(flow(), &[11, 21]).leg(ALICE, transfer).refuses("transfer", Refused::UnsupportedAction),
    ]
}

fn queries() -> Vec<Case> {
    let told = |done: u64, next: &str, word: &str, document, approved: u64, until_ms: u64| {
        Fields::new()
            .with("done", done)
            .with("steps", 2_u64)
            .with("next", String::from(next))
            .with("proposal", String::from(word))
            .with("document", document)
            .with("approved", approved)
            .with("needed", 2_u64)
            .with("until_ms", until_ms)
    };
    let none = Digest([0; 32]);
    let ask =
        |scene: Scene, name: &str, fields| scene.answers(name, "status", vec![Value::Digest(CASE)], fields);
    let step = |number| vec![Value::Digest(CASE), Value::U64(number)];
    let document = |digest| Fields::new().with("document", digest);
    let both = || with(&done(&[DRAFT, FINAL]));
    vec![
        ask(flow(), "a case that nobody opened", told(0, "review", "nothing_proposed", none, 0, 0)),
        ask(
            with(&proposed(&[], &[21])).at(UNTIL_MS - 1),
            "a proposal",
            told(0, "review", "waiting", DRAFT, 1, UNTIL_MS),
        ),
        ask(
            with(&proposed(&[], &[21])).at(UNTIL_MS),
            "a proposal that lapsed",
            told(0, "review", "lapsed", DRAFT, 1, UNTIL_MS),
        ),
        ask(with(&done(&[DRAFT])), "one step done", told(1, "release", "nothing_proposed", none, 0, 0)),
        ask(both(), "all steps done", told(2, "", "finished", none, 0, 0)),
        both().answers("the first document", "document", step(1), document(DRAFT)),
        both().answers("the second document", "document", step(2), document(FINAL)),
        both().refuses_query("the document of step 3", "document", step(3), Denied::WrongStep),
        both().refuses_query("the document of step 0", "document", step(0), Denied::WrongStep),
        flow().refuses_query("an unknown query", "owner", vec![], Refused::UnknownQuery),
    ]
}
