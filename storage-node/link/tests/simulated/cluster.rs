//! A core node and three storage nodes over the real link: partitions, crashes that lose what was not synced, loss.
//!
//! At every ack the disk of who gave it is asked whether it would survive a loss of power, and at every level the
//! disks of all that the level names. In the end everything heals and all logs have to be equal.

use crate::network::Chance;
use crate::world::{Planted, STORAGE, World, name};
use crate::{leader, storage};
use dsm_store::disk::Crash;
use std::collections::BTreeSet;
use std::time::Duration;

/// Virtual milliseconds of faults.
const FAULTS_MS: u64 = 12_000;
/// Virtual milliseconds within which all logs are equal after that.
const CONVERGE_MS: u64 = 20_000;
/// Seeds of a normal run, and the variable that asks for others: `first..end`.
const SEEDS: std::ops::Range<u64> = 0..12;
const SEEDS_VARIABLE: &str = "DSM_LINK_SEEDS";

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    fingerprint: String,
    packets: u64,
    acks: u64,
    restarts: u64,
    promotions: u64,
    granted: u64,
    violation: Option<String>,
}

fn run(seed: u64, planted: Planted) -> Outcome {
    let world = World::new(seed, planted);
    let mut chance = Chance::new(seed, "faults");
    let mut builder = turmoil::Builder::new();
    builder.rng_seed(seed).simulation_duration(Duration::from_secs(600)).udp_capacity(1 << 16);
    builder.min_message_latency(Duration::from_millis(1));
    builder.max_message_latency(Duration::from_millis(chance.between(2, 40)));
    builder.enable_random_order();
    let mut sim = builder.build();
    let shared = world.clone();
    sim.host(name(0), move || leader::run(shared.clone()));
    for host in 1..=STORAGE {
        let shared = world.clone();
        sim.host(name(host), move || storage::run(shared.clone(), host));
    }

    let mut down: Vec<Option<u64>> = vec![None; STORAGE + 1];
    let mut next_fault = chance.between(200, 1500);
    let mut converged = None;
    for step in 0..FAULTS_MS + CONVERGE_MS {
        if step == next_fault && step < FAULTS_MS {
            next_fault = step + chance.between(50, 1200);
            let storage = chance.between(1, STORAGE as u64) as usize;
            match chance.below(10) {
                0 | 1 => sim.partition(name(0), name(storage)),
                2 => sim.partition_oneway(name(0), name(storage)),
                3 => sim.partition_oneway(name(storage), name(0)),
                4 => (1..=STORAGE).for_each(|host| sim.repair(name(0), name(host))),
                5 => world.weather.set(chance.below(150) as u32, chance.below(100) as u32),
                victim => {
                    let host = if victim == 6 { 0 } else { storage };
                    if down[host].is_none() {
                        sim.crash(name(host));
                        let seed = chance.below(u64::MAX);
                        let crash = match chance.below(3) {
                            0 => Crash::LostUnsynced,
                            1 => Crash::Torn { seed },
                            _ => Crash::Subset { seed },
                        };
                        let found = world.disks(host).crash(crash);
                        world.state().disks[host] = found;
                        down[host] = Some(step + chance.between(50, 2500));
                    }
                }
            }
        }
        if step == FAULTS_MS {
            (1..=STORAGE).for_each(|host| sim.repair(name(0), name(host)));
            world.weather.set(0, 0);
            world.state().quiet = true;
        }
        for (host, until) in down.iter_mut().enumerate() {
            if until.is_some_and(|until| until <= step || step == FAULTS_MS) {
                *until = None;
                sim.bounce(name(host));
            }
        }
        if let Err(error) = sim.step() {
            world.violated(format!("a host failed: {error}"));
        }
        let state = world.state();
        world.weather.note(&[step, state.acks, state.granted]);
        if !state.violations.is_empty() {
            break;
        }
        if step > FAULTS_MS && state.heads.iter().all(|head| *head == state.heads[0]) {
            converged = Some(step - FAULTS_MS);
            drop(state);
            world.finished();
            break;
        }
    }
    if converged.is_none() && world.state().violations.is_empty() {
        let heads = world.state().heads.clone();
        world.violated(format!("after {CONVERGE_MS} ms without faults the logs end at {heads:?}"));
    }
    let state = world.state();
    let (packets, fingerprint) = world.weather.fingerprint();
    Outcome {
        fingerprint,
        packets,
        acks: state.acks,
        restarts: state.starts.iter().sum::<u64>() - (STORAGE as u64 + 1),
        promotions: state.promotions,
        granted: state.granted,
        violation: state.violations.first().cloned(),
    }
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var(SEEDS_VARIABLE) else { return SEEDS };
    let range = asked.split_once("..").and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    range.unwrap_or_else(|| panic!("{SEEDS_VARIABLE} is a range like 0..1000"))
}

#[test]
fn o1_o7_s6_what_is_acked_survives_and_all_logs_become_equal() {
    let (mut acks, mut restarts, mut promotions) = (0, 0, 0);
    for seed in seeds() {
        let outcome = run(seed, Planted::Nothing);
        assert_eq!(outcome.violation, None, "seed {seed}: {outcome:#?}");
        assert!(outcome.granted > 0, "seed {seed}: nothing was replicated: {outcome:#?}");
        println!("seed {seed}: {outcome:?}");
        acks += outcome.acks;
        restarts += outcome.restarts;
        promotions += outcome.promotions;
    }
    println!("{acks} acks checked, {restarts} restarts, {promotions} promotions");
    assert!(acks > 100 && restarts > 5, "{acks} acks and {restarts} restarts test nothing");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let first = run(3, Planted::Nothing);
    assert_eq!(first, run(3, Planted::Nothing));
    let others: BTreeSet<String> = (4..7).map(|seed| run(seed, Planted::Nothing).fingerprint).collect();
    assert!(others.len() == 3 && !others.contains(&first.fingerprint));
}

/// The simulator has to find bugs: each of these, planted, is found within a few seeds.
#[test]
fn s6_o2_planted_bugs_are_found() {
    for planted in [Planted::AckBeforeSync, Planted::PromiseInMemory, Planted::NameNotSynced] {
        let found = (0..8).find_map(|seed| Some((seed, run(seed, planted).violation?)));
        let (seed, violation) = found.unwrap_or_else(|| panic!("{planted:?} was not found"));
        println!("{planted:?}: found with seed {seed}: {violation}");
    }
}
