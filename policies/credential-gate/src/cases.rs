//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{Denied, Standing, revoked_key, standing_key};
use alloc::{string::String, vec, vec::Vec};
use dsm_policy::abi::Evidence;
use dsm_policy::bench::{Case, ISSUER, START_MS, Scene, TOKEN, account, deletes, key, sets};
use dsm_policy::{
    AccountId, Action, CreditId, Digest, Fields, Hold, HoldId, HoldKind, PolicyId, Refused, Value, text,
};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const BANK: AccountId = account(3);
const OTHER_BANK: AccountId = account(4);
const SERIAL: Digest = Digest([0x5e; 32]);
const END_MS: u64 = START_MS + 86_400_000;

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [creation(), succession(), movements(), admission(), register()].concat()
}

fn terms(issuers: Vec<AccountId>, schema: &str) -> Scene {
    Scene::new(vec![Value::Accounts(issuers), Value::Text(schema.into()), Value::Keys(vec![key(7)])])
}

fn token() -> Scene {
    terms(vec![BANK, OTHER_BANK], "kyc/1").party(ALICE, 500, 500).party(BOB, 0, 0)
}

fn admitted() -> Standing {
    Standing::Admitted { issuer: BANK, serial: SERIAL, expires_ms: END_MS }
}

fn both() -> Scene {
    let bob = Standing::Admitted { issuer: OTHER_BANK, serial: Digest([0xb0; 32]), expires_ms: END_MS };
    token().state(standing_key(ALICE), &admitted()).state(standing_key(BOB), &bob)
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(ALICE, Action::Create);
    let many: Vec<AccountId> = (1..=33).map(account).collect();
    vec![
        create(terms(vec![BANK], "kyc/1")).accepts("one issuer", vec![]),
        create(terms(many[..32].to_vec(), "k")).accepts("32 issuers", vec![]),
        create(terms(many, "k")).refuses("33 issuers", Denied::BadTerms),
        create(terms(vec![], "kyc/1")).refuses("no issuer", Denied::BadTerms),
        create(terms(vec![BANK, BANK], "kyc/1")).refuses("one issuer twice", Denied::BadTerms),
        create(terms(vec![BANK], "")).refuses("no schema", Denied::BadTerms),
        create(terms(vec![BANK], &String::from_utf8_lossy(&[b'k'; 65])))
            .refuses("a long schema", Denied::BadTerms),
        create(Scene::new(vec![])).refuses("no parameters", Refused::BadParameters),
        token().leg(ALICE, Action::Other).refuses("an action without a rule", Refused::UnsupportedAction),
    ]
}

/// It takes the place of another policy, most likely of itself with other issuers.
fn succession() -> Vec<Case> {
    let succeed =
        |scene: Scene| scene.leg(BOB, Action::Upgrade { policy_index: 0, from: PolicyId([0xf0; 32]) });
    let pay = |scene: Scene| scene.leg(ALICE, Action::Transfer { to: BOB, amount: 10, bilateral: false });
    let under = |issuers| {
        let bob = Standing::Admitted { issuer: OTHER_BANK, serial: SERIAL, expires_ms: END_MS };
        terms(issuers, "kyc/1").state(standing_key(ALICE), &admitted()).state(standing_key(BOB), &bob)
    };
    let neighbour = AccountId([[3; 31].as_slice(), &[4]].concat().try_into().expect("32 bytes"));
    vec![
        succeed(both()).accepts("succeed a gate", vec![]),
        succeed(token().state(standing_key(ALICE), &1_u64)).accepts("succeed any policy", vec![]),
        succeed(terms(vec![], "kyc/1")).refuses("succeed without an issuer", Denied::BadTerms),
        pay(under(vec![OTHER_BANK, BANK])).accepts("issuers in another order vouch for the same", vec![]),
        pay(under(vec![OTHER_BANK])).refuses("the actor's issuer is trusted no more", Denied::NotAdmitted),
        pay(under(vec![BANK])).refuses("the other end's issuer is trusted no more", Denied::NotAdmitted),
        pay(under(vec![OTHER_BANK, BANK]).state(revoked_key(BANK, SERIAL), &START_MS))
            .refuses("revoked by an issuer that has moved", Denied::Revoked),
        pay(under(vec![neighbour, OTHER_BANK]))
            .refuses("an issuer of almost the same name vouches for nobody", Denied::NotAdmitted),
        pay(both().state(standing_key(ALICE), &1_u64))
            .refuses("what is not a standing admits nobody", Denied::NotAdmitted),
        token()
            .state(standing_key(ALICE), &1_u64)
            .invoke(ALICE, "admit", vec![])
            .evidence(credential(BANK, ALICE, "kyc/1", END_MS))
            .accepts("a credential replaces it", vec![sets(standing_key(ALICE), &admitted())]),
    ]
}

fn movements() -> Vec<Case> {
    let hold = Hold {
        id: HoldId([9; 32]),
        token: TOKEN,
        owner: ALICE,
        beneficiary: BOB,
        amount: 10,
        kind: HoldKind::Pledge,
        expires_ms: None,
    };
    let moves = [
        ("transfer", Action::Transfer { to: BOB, amount: 10, bilateral: false }),
        ("mint", Action::Mint { to: BOB, amount: 10 }),
        ("claim", Action::Claim { credit: CreditId([8; 32]), from: BOB, amount: 10 }),
        ("hold", Action::Hold { beneficiary: BOB, amount: 10, kind: HoldKind::Pledge, expires_ms: None }),
        ("execution of a hold", Action::Execute { hold }),
    ];
    let mut cases = vec![
        token().leg(ALICE, Action::Burn { amount: 10 }).accepts("burn by a stranger to the register", vec![]),
        token().leg(BOB, Action::Release { hold }).accepts("release by a stranger to the register", vec![]),
        both()
            .leg(ISSUER, Action::Mint { to: ALICE, amount: 1 })
            .accepts("mint by the token's issuer", vec![]),
        both()
            .leg(ALICE, Action::Claim { credit: CreditId([8; 32]), from: ISSUER, amount: 1 })
            .accepts("claim of units that the token's issuer minted", vec![]),
        token()
            .leg(ISSUER, Action::Mint { to: ALICE, amount: 1 })
            .refuses("mint for a stranger to the register", Denied::NotAdmitted),
    ];
    for (name, action) in moves {
        let leg = |scene: Scene| scene.leg(ALICE, action.clone());
        let case = |what: &str| text![name, ": ", what];
        let only_alice = token().state(standing_key(ALICE), &admitted());
        let only_bob = token().state(standing_key(BOB), &admitted());
        cases.extend([
            leg(both()).accepts(&case("both admitted"), vec![]),
            leg(only_alice).refuses(&case("the other end not admitted"), Denied::NotAdmitted),
            leg(only_bob).refuses(&case("the actor not admitted"), Denied::NotAdmitted),
            leg(both().at(END_MS - 1)).accepts(&case("in the last millisecond of the credential"), vec![]),
            leg(both().at(END_MS)).refuses(&case("after the credential"), Denied::Expired),
            leg(both().state(revoked_key(BANK, SERIAL), &START_MS))
                .refuses(&case("revoked"), Denied::Revoked),
            leg(both().state(revoked_key(OTHER_BANK, SERIAL), &START_MS))
                .accepts(&case("another issuer revoked the same serial"), vec![]),
            leg(both().state(standing_key(BOB), &Standing::Barred)).refuses(&case("barred"), Denied::Barred),
        ]);
    }
    cases
}

fn credential(issuer: AccountId, subject: AccountId, schema: &str, expires_ms: u64) -> Evidence {
    Evidence::Credential {
        issuer,
        subject,
        schema: schema.into(),
        serial: SERIAL,
        expires_ms,
        claims: vec![dsm_policy::Field { name: "country".into(), value: Value::Text("IS".into()) }],
    }
}

fn admission() -> Vec<Case> {
    let shows = |evidence| token().invoke(ALICE, "admit", vec![]).evidence(evidence);
    let good = || credential(BANK, ALICE, "kyc/1", END_MS);
    let preimage = Evidence::HashPreimage { algorithm: 0, digest: SERIAL, preimage: vec![1, 2, 3] };
    let second = Standing::Admitted { issuer: OTHER_BANK, serial: SERIAL, expires_ms: END_MS };
    vec![
        shows(good()).accepts("a good credential", vec![sets(standing_key(ALICE), &admitted())]),
        shows(credential(OTHER_BANK, ALICE, "kyc/1", END_MS))
            .accepts("the second issuer's credential", vec![sets(standing_key(ALICE), &second)]),
        shows(credential(BOB, ALICE, "kyc/1", END_MS))
            .evidence(preimage)
            .evidence(good())
            .accepts("a good credential among others", vec![sets(standing_key(ALICE), &admitted())]),
        token().invoke(ALICE, "admit", vec![]).refuses("no credential", Denied::NoCredential),
        shows(credential(BOB, ALICE, "kyc/1", END_MS)).refuses("an unknown issuer", Denied::NoCredential),
        shows(credential(BANK, BOB, "kyc/1", END_MS)).refuses("about someone else", Denied::NoCredential),
        shows(credential(BANK, ALICE, "kyc/2", END_MS)).refuses("another schema", Denied::NoCredential),
        shows(credential(BANK, ALICE, "kyc/1", START_MS)).refuses("an expired credential", Denied::Expired),
        shows(good())
            .state(revoked_key(BANK, SERIAL), &START_MS)
            .refuses("a revoked credential", Denied::Revoked),
        shows(good())
            .state(standing_key(ALICE), &Standing::Barred)
            .refuses("a barred account with a good credential", Denied::Barred),
        shows(good())
            .with(|input| input.legs.clear())
            .invoke(ALICE, "admit", vec![Value::Bool(true)])
            .refuses("an argument that the method does not take", Refused::BadArguments),
    ]
}

fn register() -> Vec<Case> {
    let serial = || vec![Value::Digest(SERIAL)];
    let bob = || vec![Value::Account(BOB)];
    let admin = || token().signed(ALICE, &[key(7)]);
    let barred = || admin().state(standing_key(BOB), &Standing::Barred);
    let bystander = Action::Invoke { policy_index: 1, method: "pause".into(), args: vec![] };
    let standing = |admitted: bool, word: &str, expires_ms: u64| {
        Fields::new()
            .with("admitted", admitted)
            .with("standing", String::from(word))
            .with("expires_ms", expires_ms)
    };
    let alice = || vec![Value::Account(ALICE)];
    vec![
        token()
            .invoke(OTHER_BANK, "revoke", serial())
            .accepts("revocation by an issuer", vec![sets(revoked_key(OTHER_BANK, SERIAL), &START_MS)]),
        token().invoke(ALICE, "revoke", serial()).refuses("revocation by a stranger", Denied::NotIssuer),
        admin().invoke(ALICE, "bar", bob()).accepts("bar", vec![sets(standing_key(BOB), &Standing::Barred)]),
        token().invoke(ALICE, "bar", bob()).refuses("bar by a stranger", Denied::NotAdmin),
        barred().invoke(ALICE, "unbar", bob()).accepts("unbar", vec![deletes(standing_key(BOB))]),
        admin().invoke(ALICE, "unbar", bob()).refuses("unbar who is not barred", Denied::NotBarred),
        token().invoke(ALICE, "unbar", bob()).refuses("unbar by a stranger", Denied::NotAdmin),
        token().invoke(ALICE, "expel", bob()).refuses("an unknown method", Refused::UnknownMethod),
        token().leg(ALICE, bystander).accepts("a call of another policy of the token", vec![]),
        both().answers("an admitted account", "standing", alice(), standing(true, "admitted", END_MS)),
        both().at(END_MS).answers("an expired one", "standing", alice(), standing(false, "expired", END_MS)),
        token().answers("a stranger", "standing", alice(), standing(false, "not_admitted", 0)),
        barred().answers("a barred one", "standing", bob(), standing(false, "barred", 0)),
        token().refuses_query("an unknown query", "balance", vec![], Refused::UnknownQuery),
        token().refuses_query("a query about nobody", "standing", vec![], Refused::BadArguments),
    ]
}
