//! What the API answers when all is well, through the client that ships with the SDK.

use crate::http::{JSON, OCTETS};
use crate::server::Server;
use crate::world::{Owner, genesis, sign};
use dsm_abi::{AccountId, Value, encode};
use dsm_core::{NetworkGenesis, SignedCheckpoint, SignedTransition, StateSpace, feed_id};
use dsm_crypto::Verifier;
use dsm_sdk::api::{Amount, Hex, PolicyCid, TransitionView};
use dsm_sdk::package::{PACKAGE_BYTES_MAX, Package, PolicyDocument};
use dsm_sdk::receipt::Receipt;

#[test]
fn a_payment_is_submitted_once_and_read_in_every_form() {
    let server = Server::new();
    let (world, client) = (&server.world, server.client());
    let (alice, bob) = (world.alice.account, world.bob.account);
    let signed = sign(world.transfer(10), &[&world.alice]);
    let receipt = client.submit(&signed).unwrap();
    assert_eq!((receipt.network, receipt.transition), (world.node.network(), signed.transition.id()));
    let after = world.fingerprint();
    assert_eq!(client.submit(&signed).unwrap(), receipt);
    let body = format!(r#"{{"signed":"{}"}}"#, hex::encode(encode(&signed)));
    assert_eq!(server.post("/v1/transitions", JSON, body.as_bytes()).json::<Receipt>(), receipt);
    assert_eq!(client.receipt(&receipt.transition).unwrap(), receipt);
    assert_eq!(world.fingerprint(), after);

    assert_eq!(client.signed_transition(&receipt.transition).unwrap(), signed);
    let accept = [("accept", OCTETS)];
    let path = format!("/v1/transitions/{}", receipt.transition);
    let answer = crate::http::ask(server.address, "GET", &path, &accept, b"");
    assert_eq!((answer.kind.as_str(), SignedTransition::decode(&answer.body)), (OCTETS, Ok(signed.clone())));
    let shown = client.transition(&receipt.transition).unwrap();
    let (position, record) = world.node.transition(&receipt.transition).unwrap().unwrap();
    assert_eq!((position, &shown), (receipt.position, &TransitionView::new(position, &record)));

    let view = client.account(&alice).unwrap();
    assert_eq!((view.head, view.state.height), (world.head(&world.alice), receipt.accounts[0].height));
    assert_eq!(
        view.balances.iter().map(|one| (one.token, one.balance)).collect::<Vec<_>>(),
        [(world.token, Amount(990))]
    );
    let inbox = client.inbox(&bob, None, 10).unwrap();
    let [credit] = inbox.credits.as_slice() else { panic!("{inbox:?}") };
    assert_eq!((credit.credit, credit.from, credit.to), (receipt.credits[0].credit, alice, bob));
    assert_eq!((credit.token, credit.amount), (world.token, Amount(10)));
    let claim = sign(world.by(&world.bob).claim(bob, credit.credit), &[&world.bob]);
    client.submit(&claim).unwrap();
    assert!(client.inbox(&bob, None, 10).unwrap().credits.is_empty());
    assert_eq!(client.account(&bob).unwrap().balances[0].balance, Amount(10));
    assert!(client.equivocations(&alice).unwrap().equivocations.is_empty());
}

#[test]
fn lists_come_in_pages_that_miss_nothing_and_repeat_nothing() {
    let server = Server::new();
    let (world, client) = (&server.world, server.client());
    let network = world.node.network();
    for seed in 10..15 {
        let owner = Owner::new(network, seed);
        world.accept(sign(world.draft().open(genesis(network, &owner.key)), &[&owner]));
    }
    for amount in 1..=5 {
        world.accept(sign(world.transfer(amount), &[&world.alice]));
    }
    let (mut accounts, mut after) = (Vec::new(), None);
    loop {
        let page = client.accounts(after, 3).unwrap();
        assert!(page.accounts.len() <= 3);
        accounts.extend(page.accounts.iter().map(|one| one.account));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let all: Vec<_> = world.node.read(|ledger| ledger.accounts_after(None).map(|(id, _)| *id).collect()).0;
    assert_eq!((accounts.len(), accounts), (7, all));
    let (mut credits, mut after) = (Vec::new(), None);
    loop {
        let page = client.inbox(&world.bob.account, after, 2).unwrap();
        credits.extend(page.credits.iter().map(|one| one.credit));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut sorted = credits.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((credits.len(), &credits), (5, &sorted));

    let height = client.account(&world.alice.account).unwrap().state.height;
    let (mut heights, mut from) = (Vec::new(), 0);
    loop {
        let page = client.history(&world.alice.account, from, 2).unwrap();
        for item in &page.items {
            let moved = item.transition.accounts.iter().find(|head| head.account == world.alice.account);
            assert_eq!(moved.map(|head| head.height), Some(item.height));
        }
        heights.extend(page.items.iter().map(|item| item.height));
        let Some(next) = page.next else { break };
        from = next;
    }
    assert_eq!(heights, (0..=height).collect::<Vec<_>>());
    for above in [height + 1, u64::MAX - 1, u64::MAX] {
        let page = client.history(&world.alice.account, above, 2).unwrap();
        assert_eq!((page.items.len(), page.next), (0, None), "from {above}");
    }
    // A page is never empty for a limit of 0 and never longer than the API's limit.
    assert_eq!(client.accounts(None, 0).unwrap().accounts.len(), 1);
    assert_eq!(client.accounts(None, usize::MAX).unwrap().accounts.len(), 7);
}

#[test]
fn tokens_and_policies_are_shown_and_asked() {
    let server = Server::new();
    let (world, client) = (&server.world, server.client());
    let token = client.token(&world.token).unwrap();
    assert_eq!((token.symbol.as_str(), token.issuer), ("TEST", world.alice.account));
    assert_eq!((token.cap, token.state.supply), (Some(Amount(1_500)), Amount(1_000)));
    let listed = client.tokens(None, 10).unwrap();
    assert_eq!(listed.tokens.iter().map(|one| one.token).collect::<Vec<_>>(), [world.token]);
    let [bound] = token.policies.as_slice() else { panic!("{token:?}") };
    assert_eq!(bound.name, "fungible");
    let PolicyCid(policy) = bound.policy;
    let mut info = client.policy(&policy).unwrap();
    assert_eq!((info.policy, info.publisher), (bound.policy, world.alice.account));
    let signed = info.signed.take().expect("the node has its package");
    assert_eq!(client.policies(None, 10).unwrap().policies, [info]);

    let honest = include_bytes!("../../../policies/dist/fungible.wasm");
    let package = encode(&world.package(honest));
    // Signatures are randomised: the node keeps the package that it was given first.
    let held = client.package(&policy).unwrap();
    assert_eq!(held.len(), package.len());
    let kept: Package = dsm_abi::decode(&held, PACKAGE_BYTES_MAX).unwrap();
    assert_eq!(kept.envelope.policy, policy);
    let document = PolicyDocument::decode(&kept.document).unwrap();
    assert_eq!(
        (signed.source, signed.license, signed.fuel_limit),
        (document.source, document.license, document.fuel_limit),
        "where it comes from, as its author signed it"
    );
    assert_eq!(client.stage(&held).unwrap().policy, PolicyCid(policy));

    let fields = client.view(&world.token, 0, "paused", vec![]).unwrap();
    let direct = world.node.view(&world.token, 0, "paused".into(), vec![]).unwrap();
    assert!(!fields.is_empty());
    assert_eq!(fields, direct.into_iter().map(Into::into).collect::<Vec<_>>());
    let error = client.view(&world.token, 9, "paused", vec![]).unwrap_err();
    assert_eq!(error.code(), "unknown_policy_index");
    let error = client.view(&world.token, 0, &"q".repeat(10_000), vec![]).unwrap_err();
    let dsm_sdk::client::ClientError::Problem(problem) = error else { panic!("{error}") };
    assert!((400..500).contains(&problem.status), "{problem}");
}

/// Five transmitters of a feed: five entries of its policy's state, and one more when the feed has an answer.
#[test]
fn what_a_policy_keeps_comes_in_pages_by_key() {
    let server = Server::new();
    let (world, client) = (&server.world, server.client());
    let policy = world.publish(include_bytes!("../../../policies/dist/oracle-feed.wasm"));
    let mut params = vec![Value::Digest(feed_id("EUR/USD")), Value::U64(4)];
    params.push(Value::Keys(vec![world.alice.key_id()]));
    params.extend([1, 1, 1_000, 500, 1_000].map(Value::U64));
    let token = world.create_token("RATE", vec![(policy, params)], None);
    assert_eq!(client.policy_state(&token, 0, None, 10).unwrap().entries, []);
    for n in [3, 1, 5, 2, 4] {
        let account = Value::Account(AccountId([n; 32]));
        let admit = world.by(&world.alice).invoke(world.alice.account, token, 0, "admit", vec![account]);
        world.accept(sign(admit, &[&world.alice]));
    }
    let space = world.node.read(|ledger| ledger.space(&token, 0)).0;
    let (mut entries, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = client.policy_state(&token, 0, after.as_ref(), 2).unwrap();
        assert_eq!((page.policy, page.head), (PolicyCid(policy), client.token(&token).unwrap().head));
        assert!(page.entries.len() <= 2);
        entries.extend(page.entries.into_iter().map(|entry| (entry.key.0, entry.value.0)));
        (after, pages) = (page.next, pages + 1);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((entries.len(), pages), (5, 3));
    assert_eq!(entries.into_iter().collect::<StateSpace>(), *space);
    // Behind the last key there is nothing, whoever asks for how much.
    let last = Hex(vec![0xff; 64]);
    assert_eq!(client.policy_state(&token, 0, Some(&last), usize::MAX).unwrap().entries, []);
    assert_eq!(client.policy_state(&token, 0, None, 0).unwrap().entries.len(), 1);
    for (path, status, code) in [
        (format!("/v1/tokens/{token}/policies/1/state"), 404, "not_found"),
        (format!("/v1/tokens/{}/policies/0/state", "7".repeat(64)), 404, "not_found"),
        (format!("/v1/tokens/{token}/policies/256/state"), 400, "malformed_request"),
        (format!("/v1/tokens/{token}/policies/0/state?after=0"), 400, "malformed_request"),
        (format!("/v1/tokens/{token}/policies/0/state?prefix=00"), 400, "malformed_request"),
    ] {
        server.get(&path).refused(&path, status, code);
    }
}

#[test]
fn proofs_hold_offline_under_the_key_that_the_genesis_names() {
    let server = Server::new();
    let (world, client) = (&server.world, server.client());
    let (alice, bob) = (world.alice.account, world.bob.account);
    world.accept(sign(world.transfer(10), &[&world.alice]));
    let status = client.status().unwrap();
    // The genesis is believed because its digest is the network's id, which a client knows from elsewhere.
    let genesis: NetworkGenesis = dsm_abi::decode(&status.network.genesis.0, 64 * 1024).unwrap();
    assert_eq!(genesis.network(), world.node.network());
    let (trusted, verifier) = (&genesis.node, Verifier::new());

    let taken = client.take_checkpoint().unwrap();
    assert_eq!(client.latest_checkpoint().unwrap(), taken);
    assert_eq!(client.take_checkpoint().unwrap(), taken, "nothing moved in between");
    let checkpoint = taken.decode().unwrap();
    checkpoint.verify(trusted, &verifier).unwrap();
    let accept = [("accept", OCTETS)];
    let answer = crate::http::ask(server.address, "GET", "/v1/checkpoints/latest", &accept, b"");
    let bytes: SignedCheckpoint = dsm_abi::decode(&answer.body, 64 * 1024).unwrap();
    assert_eq!(bytes, checkpoint);

    let shown = client.prove_account(&alice).unwrap();
    let proof = shown.decode().unwrap();
    let state = proof.verify(trusted, &verifier).unwrap().unwrap();
    assert_eq!((state.account, Some(state)), (alice, shown.state.as_ref()));
    let asset = client.prove_asset(&alice, &world.token).unwrap();
    assert_eq!(asset.decode().unwrap().verify(trusted, &verifier), Ok(990));
    assert_eq!(asset.amount, Amount(990));
    let none = client.prove_asset(&bob, &world.token).unwrap();
    assert_eq!(none.decode().unwrap().verify(trusted, &verifier), Ok(0));
    let token = client.prove_token(&world.token).unwrap().decode().unwrap();
    assert_eq!(token.verify(trusted, &verifier).unwrap().unwrap().supply, 1_000);

    // Another key proves nothing, and a lie about the amount does not hold.
    let mallory = dsm_sdk::draft::public_key(&Owner::new(genesis.network(), 66).key);
    assert!(proof.verify(&mallory, &verifier).is_err());
    let mut lie = asset.decode().unwrap();
    lie.amount += 1;
    assert!(lie.verify(trusted, &verifier).is_err());
}

#[test]
fn the_node_tells_how_it_does() {
    let server = Server::new();
    let (world, client) = (&server.world, server.client());
    let status = client.status().unwrap();
    assert_eq!(status.network.network, world.node.network());
    assert_eq!((status.accounts, status.tokens, status.policies), (2, 1, 1));
    assert_eq!((status.position, status.accepted), (world.node.status().position, 5));
    assert_eq!((status.stopped, status.storage_full), (None, false));
    assert_eq!(client.health().unwrap().status, "alive");
    assert_eq!(client.ready().unwrap().status, "ready");
}
