//! The simulator: the protocol keeps its promises whatever happens, and every planted bug is found.

use dsm_proto::sim::{self, Bug, Options};

/// Seeds that a clean protocol has to pass.
const CLEAN_SEEDS: u64 = 300;
/// Within so many seeds each bug has to be found.
const SEEDS_MAX: u64 = 200;

#[test]
fn the_clean_protocol_keeps_its_promises() {
    for seed in 0..CLEAN_SEEDS {
        let options = Options::from_seed(seed);
        match sim::run(&options) {
            Ok(report) if seed % 100 == 0 => {
                // One in a hundred runs twice: the same seed is the same run.
                assert_eq!(sim::run(&options), Ok(report), "seed {seed}");
            }
            Ok(_) => {}
            Err(violation) => panic!("{}", sim::explain(&options, &violation)),
        }
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::ALL {
        let found = (0..SEEDS_MAX).find_map(|seed| sim::run(&Options::from_seed(seed).with(bug)).err());
        match found {
            Some(violation) => println!("{bug:?}: {violation}"),
            None => println!("{bug:?} MISSED"),
        }
    }
}
