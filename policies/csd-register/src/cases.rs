//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{Denied, Participant, participant_key};
use alloc::{vec, vec::Vec};
use dsm_policy::bench::{Case, ISSUER, Scene, TOKEN, account, deletes, key, sets};
use dsm_policy::{
    AccountId, Action, CreditId, Fields, Hold, HoldId, HoldKind, KeyId, Refused, TokenId, Value,
};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const CAROL: AccountId = account(3);
const CASH: TokenId = TokenId([0xca; 32]);

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [creation(), registrar(), deliveries(), versus_payment(), pledges(), participants()].concat()
}

fn terms(registrars: &[u8], threshold: u64, cash: TokenId) -> Scene {
    let registrars: Vec<KeyId> = registrars.iter().map(|n| key(*n)).collect();
    Scene::new(vec![Value::Keys(registrars), Value::U64(threshold), Value::Token(cash)])
}

fn empty() -> Scene {
    terms(&[11, 12], 2, CASH).party(ALICE, 100, 60).party(BOB, 0, 0)
}

/// Alice owns 100 units, 40 of them pledged; Bob owns none; Carol is a stranger.
fn security() -> Scene {
    let open = Participant { dvp_only: false };
    empty().state(participant_key(ALICE), &open).state(participant_key(BOB), &open)
}

fn signed(scene: Scene) -> Scene {
    scene.signed(ALICE, &[key(11)]).signed(BOB, &[key(12)])
}

fn deliver(to: AccountId, amount: u128) -> Action {
    Action::Transfer { to, amount, bilateral: false }
}

fn held(kind: HoldKind) -> Hold {
    Hold {
        id: HoldId([9; 32]),
        token: TOKEN,
        owner: ALICE,
        beneficiary: BOB,
        amount: 40,
        kind,
        expires_ms: None,
    }
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(ALICE, Action::Create);
    let many: Vec<u8> = (1..=33).collect();
    vec![
        create(terms(&many[..32], 32, CASH)).accepts("32 of 32 registrar keys", vec![]),
        create(terms(&many, 1, CASH)).refuses("33 registrar keys", Denied::BadTerms),
        create(terms(&[1, 2], 0, CASH)).refuses("nobody need sign", Denied::BadTerms),
        create(terms(&[1, 2], 1, CASH)).accepts("one of two registrar keys", vec![]),
        create(terms(&[1], 1, TokenId::NONE)).accepts("a register without a cash token", vec![]),
        create(terms(&[], 0, CASH)).refuses("no registrar", Denied::BadTerms),
        create(terms(&[1], 2, CASH)).refuses("an unreachable threshold", Denied::BadTerms),
        create(terms(&[1, 1], 2, CASH)).refuses("one key twice", Denied::BadTerms),
        create(Scene::new(vec![])).refuses("no parameters", Refused::BadParameters),
        security().leg(ALICE, Action::Other).refuses("an action without a rule", Refused::UnsupportedAction),
    ]
}

fn registrar() -> Vec<Case> {
    let mint = |to| Action::Mint { to, amount: 1_000 };
    let one = || security().signed(ALICE, &[key(11)]).signed(BOB, &[key(11)]);
    vec![
        signed(security()).leg(ISSUER, mint(ALICE)).accepts("issue", vec![]),
        one().leg(ISSUER, mint(ALICE)).refuses("issue with one of two keys", Denied::NotRegistrar),
        signed(security()).leg(ISSUER, mint(CAROL)).refuses("issue to a stranger", Denied::NotParticipant),
        signed(security()).leg(ALICE, Action::Burn { amount: 60 }).accepts("redeem", vec![]),
        security().leg(ALICE, Action::Burn { amount: 1 }).refuses("redeem alone", Denied::NotRegistrar),
        signed(security())
            .leg(ALICE, Action::Burn { amount: 61 })
            .refuses("redeem a pledge", Denied::Encumbered),
    ]
}

fn deliveries() -> Vec<Case> {
    let claim = Action::Claim { credit: CreditId([8; 32]), from: CAROL, amount: 1 };
    vec![
        security().leg(ALICE, deliver(BOB, 60)).accepts("delivery free of payment", vec![]),
        security()
            .with(|input| input.parties[0].available = 100)
            .leg(ALICE, deliver(BOB, 100))
            .accepts("delivery of everything", vec![]),
        security().leg(ALICE, deliver(BOB, 100)).refuses("delivery of all, pledged", Denied::Encumbered),
        security().leg(ALICE, deliver(BOB, 61)).refuses("delivery of pledged units", Denied::Encumbered),
        security().leg(ALICE, deliver(BOB, 101)).refuses("delivery of too many", Denied::InsufficientUnits),
        security().leg(ALICE, deliver(CAROL, 1)).refuses("delivery to a stranger", Denied::NotParticipant),
        security().leg(CAROL, deliver(BOB, 1)).refuses("delivery by a stranger", Denied::NotParticipant),
        security().leg(ALICE, claim.clone()).accepts("claim, though the sender left the register", vec![]),
        security().leg(CAROL, claim).refuses("claim by a stranger", Denied::NotParticipant),
    ]
}

fn versus_payment() -> Vec<Case> {
    let seller = || security().state(participant_key(ALICE), &Participant { dvp_only: true });
    let buyer = || security().state(participant_key(BOB), &Participant { dvp_only: true });
    let sale = |scene: Scene| scene.leg(ALICE, deliver(BOB, 5));
    let escrow = Hold { token: CASH, owner: BOB, beneficiary: ALICE, ..held(HoldKind::Escrow) };
    let no_cash = || {
        terms(&[11], 1, TokenId::NONE)
            .party(ALICE, 100, 100)
            .state(participant_key(ALICE), &Participant { dvp_only: true })
            .state(participant_key(BOB), &Participant { dvp_only: false })
    };
    vec![
        sale(seller()).leg_of(CASH, BOB, deliver(ALICE, 500)).accepts("the seller is paid", vec![]),
        sale(buyer()).leg_of(CASH, BOB, deliver(ALICE, 500)).accepts("the buyer pays", vec![]),
        sale(seller())
            .leg_of(CASH, BOB, Action::Execute { hold: escrow })
            .accepts("paid out of escrow", vec![]),
        sale(seller()).refuses("no payment for a seller who wants one", Denied::DvpRequired),
        sale(buyer()).refuses("no payment by a buyer who must pay", Denied::DvpRequired),
        sale(seller())
            .leg_of(CASH, BOB, deliver(ALICE, 0))
            .refuses("a payment of nothing", Denied::DvpRequired),
        sale(seller())
            .leg_of(CASH, BOB, deliver(CAROL, 5))
            .refuses("payment to another", Denied::DvpRequired),
        sale(seller())
            .leg_of(CASH, CAROL, deliver(ALICE, 5))
            .refuses("payment by another", Denied::DvpRequired),
        sale(seller())
            .leg(BOB, deliver(ALICE, 5))
            .refuses("payment in the security itself", Denied::DvpRequired),
        sale(seller())
            .leg_of(CASH, BOB, Action::Claim { credit: CreditId([8; 32]), from: ALICE, amount: 5 })
            .refuses("a claim is no payment", Denied::DvpRequired),
        sale(no_cash())
            .leg_of(TokenId::NONE, BOB, deliver(ALICE, 5))
            .refuses("a register without a cash token has no payments", Denied::DvpRequired),
    ]
}

fn pledges() -> Vec<Case> {
    let hold = |to, amount, kind| Action::Hold { beneficiary: to, amount, kind, expires_ms: None };
    let pledge = |to, amount| hold(to, amount, HoldKind::Pledge);
    let release = |kind| Action::Release { hold: held(kind) };
    let enforce = |kind| Action::Execute { hold: held(kind) };
    vec![
        security().leg(ALICE, pledge(BOB, 60)).accepts("pledge", vec![]),
        security().leg(ALICE, hold(BOB, 60, HoldKind::Lien)).accepts("lien", vec![]),
        security().leg(ALICE, hold(BOB, 1, HoldKind::Lock)).refuses("lock", Denied::HoldKind),
        security().leg(ALICE, hold(BOB, 1, HoldKind::Escrow)).refuses("escrow", Denied::HoldKind),
        security().leg(ALICE, pledge(BOB, 61)).refuses("pledge twice", Denied::Encumbered),
        security().leg(ALICE, pledge(BOB, 101)).refuses("pledge too much", Denied::InsufficientUnits),
        security().leg(ALICE, pledge(CAROL, 1)).refuses("pledge to a stranger", Denied::NotParticipant),
        security().leg(CAROL, pledge(BOB, 1)).refuses("pledge by a stranger", Denied::NotParticipant),
        security().leg(BOB, release(HoldKind::Pledge)).accepts("release by the pledgee", vec![]),
        empty()
            .leg(BOB, release(HoldKind::Lien))
            .accepts("release by a pledgee who left the register", vec![]),
        security().leg(ALICE, release(HoldKind::Pledge)).refuses("release by the owner", Denied::NotPledgee),
        security().leg(CAROL, release(HoldKind::Lien)).refuses("release by a stranger", Denied::NotPledgee),
        security().leg(BOB, enforce(HoldKind::Pledge)).accepts("enforcement by the pledgee", vec![]),
        security()
            .leg(ALICE, enforce(HoldKind::Pledge))
            .refuses("enforcement by the owner", Denied::NotPledgee),
        security().leg(BOB, enforce(HoldKind::Lien)).refuses("enforcement of a lien", Denied::NotEnforceable),
        empty()
            .leg(BOB, enforce(HoldKind::Pledge))
            .refuses("enforcement by a stranger", Denied::NotParticipant),
    ]
}

fn participants() -> Vec<Case> {
    let args = |account, dvp_only| vec![Value::Account(account), Value::Bool(dvp_only)];
    let open = Participant { dvp_only: false };
    let strict = Participant { dvp_only: true };
    let list = |ids: &[AccountId]| Fields::new().with("accounts", ids.to_vec());
    let from = |account| vec![Value::Account(account)];
    let found = |registered: bool, dvp_only: bool| {
        Fields::new().with("registered", registered).with("dvp_only", dvp_only)
    };
    let crowd = (1..=40).fold(empty(), |scene, n| scene.state(participant_key(account(n)), &open));
    let first: Vec<AccountId> = (1..=32).map(account).collect();
    let rest: Vec<AccountId> = (33..=40).map(account).collect();
    let no_cash = signed(terms(&[11], 1, TokenId::NONE));
    vec![
        signed(empty())
            .invoke(ISSUER, "register", args(CAROL, false))
            .accepts("register", vec![sets(participant_key(CAROL), &open)]),
        signed(security())
            .invoke(ISSUER, "register", args(BOB, true))
            .accepts("make a participant deal against payment", vec![sets(participant_key(BOB), &strict)]),
        security()
            .invoke(ALICE, "register", args(CAROL, false))
            .refuses("register oneself", Denied::NotRegistrar),
        no_cash
            .invoke(ISSUER, "register", args(BOB, true))
            .refuses("against which payment", Denied::NoCashToken),
        signed(empty())
            .invoke(ISSUER, "register", from(CAROL))
            .refuses("a flag is missing", Refused::BadArguments),
        signed(security())
            .invoke(ISSUER, "deregister", from(BOB))
            .accepts("deregister", vec![deletes(participant_key(BOB))]),
        security().invoke(ALICE, "deregister", from(BOB)).refuses("deregister a rival", Denied::NotRegistrar),
        signed(security())
            .invoke(ISSUER, "deregister", from(CAROL))
            .refuses("deregister a stranger", Denied::NotParticipant),
        security().invoke(ALICE, "expel", from(BOB)).refuses("an unknown method", Refused::UnknownMethod),
        security().answers("a participant", "participant", from(BOB), found(true, false)),
        security().state(participant_key(BOB), &strict).answers(
            "a participant against payment",
            "participant",
            from(BOB),
            found(true, true),
        ),
        security().answers("a stranger", "participant", from(CAROL), found(false, false)),
        security().answers("all of two", "participants", from(AccountId([0; 32])), list(&[ALICE, BOB])),
        crowd.clone().answers("the first page", "participants", from(AccountId([0; 32])), list(&first)),
        crowd.answers("the second page", "participants", from(account(32)), list(&rest)),
        security().refuses_query("an unknown query", "holdings", vec![], Refused::UnknownQuery),
    ]
}
