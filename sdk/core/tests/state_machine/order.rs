//! The order of operations: who owns what afterwards, what is held and what policies wrote does not depend on it.
//! Ids of credits and holds and the tips of relationships do.

use crate::world::{World, effects, transfer};
use dsm_abi::{AccountId, Effect, HoldKind, TokenId};
use dsm_core::{Operation, OperationKind, Totals};
use proptest::prelude::*;

/// Balances, available amounts and states, for every account and token.
type Outcome = (Vec<(AccountId, TokenId, u128, u128)>, Vec<(TokenId, Totals, String)>);

fn outcome(world: &World) -> Outcome {
    let tokens: Vec<TokenId> = world.ledger.tokens().map(|(token, _)| *token).collect();
    let positions = world
        .ledger
        .accounts()
        .flat_map(|(account, found)| {
            let position = |token: &TokenId| {
                (*account, *token, found.balance(token), found.available(token, world.time_ms))
            };
            tokens.iter().map(position).collect::<Vec<_>>()
        })
        .collect();
    let states = |token: &TokenId| (0..3).map(|index| world.ledger.space(token, index)).collect::<Vec<_>>();
    let shared = tokens
        .iter()
        .filter(|token| **token != world.copper)
        .map(|token| (*token, world.ledger.totals(token), format!("{:?}", states(token))))
        .collect();
    (positions, shared)
}

fn operations(world: &World) -> Vec<Operation> {
    let (alice, bob, carol, gold, silver) = (world.alice, world.bob, world.carol, world.gold, world.silver);
    let set = |key: u8| Effect::SetState { key: vec![key], value: vec![key] };
    let hold = OperationKind::Hold {
        token: gold,
        amount: 100,
        beneficiary: bob,
        kind: HoldKind::Escrow,
        expires_ms: None,
    };
    [
        (alice, transfer(gold, bob, 10)),
        (alice, transfer(gold, carol, 20)),
        (alice, transfer(silver, bob, 30)),
        (alice, transfer(world.copper, bob, 40)),
        (alice, hold),
        (alice, OperationKind::Burn { token: gold, amount: 5 }),
        (bob, OperationKind::Mint { token: gold, to: alice, amount: 7 }),
        (bob, effects(gold, 0, &[set(1), Effect::Mint { to: carol, amount: 3 }])),
        (alice, effects(gold, 0, &[set(2)])),
    ]
    .map(|(actor, kind)| Operation { actor, kind })
    .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn accepted_sets_end_alike_in_any_order(order in Just((0..9usize).collect::<Vec<_>>()).prop_shuffle()) {
        let start = World::new();
        let in_order = operations(&start);
        let shuffled: Vec<Operation> = order.iter().map(|index| in_order[*index].clone()).collect();
        let (mut one, mut other) = (start.clone(), start);
        one.accept(&[one.alice, one.bob], in_order);
        other.accept(&[other.alice, other.bob], shuffled);
        prop_assert_eq!(outcome(&one), outcome(&other));
    }

    #[test]
    fn overdrawn_sets_are_refused_in_any_order(order in Just((0..10usize).collect::<Vec<_>>()).prop_shuffle()) {
        let mut world = World::new();
        let mut all = operations(&world);
        all.push(Operation { actor: world.alice, kind: transfer(world.gold, world.bob, 866) });
        let shuffled: Vec<Operation> = order.iter().map(|index| all[*index].clone()).collect();
        let refused = world.refuse(&[world.alice, world.bob], shuffled);
        prop_assert_eq!(refused.code(), "insufficient_funds");
    }
}
