//! The simulator: the protocol keeps its promises whatever happens, and every planted bug is found.

use dsm_proto::sim::{self, Bug, Options};

/// Seeds that the protocol has to pass here; the example `simulate` runs as many as one likes.
const SEEDS: u64 = 300;
/// Within so many seeds each bug has to be found.
const HUNT_SEEDS: u64 = 1500;

#[test]
fn the_protocol_keeps_its_promises() {
    for seed in 0..SEEDS {
        let options = Options::from_seed(seed);
        match sim::run(&options) {
            // One in a hundred runs twice: the same seed is the same run.
            Ok(report) if seed % 100 == 0 => assert_eq!(sim::run(&options), Ok(report), "seed {seed}"),
            Ok(_) => {}
            Err(violation) => panic!("{}", sim::explain(&options, &violation)),
        }
    }
}

/// Looks for a violation with the bug, and expects none in the same run without it.
fn hunt(bug: Bug) {
    let found = (0..HUNT_SEEDS).find_map(|seed| {
        let options = Options::hunting(bug, seed);
        sim::run(&options).err().map(|violation| (options, violation))
    });
    let Some((options, violation)) = found else { panic!("{bug:?} was not found in {HUNT_SEEDS} seeds") };
    println!("{bug:?}: {violation}");
    let clean = Options { bug: None, ..options };
    if let Err(violation) = sim::run(&clean) {
        panic!("without a bug: {}", sim::explain(&clean, &violation));
    }
}

macro_rules! hunts {
    ($($name:ident: $bug:ident,)*) => {
        $(
            #[test]
            fn $name() {
                hunt(Bug::$bug);
            }
        )*

        #[test]
        fn no_bug_is_left_out() {
            assert_eq!([$(Bug::$bug),*], Bug::ALL);
        }
    };
}

hunts! {
    finds_a_lost_fence: LostFence,
    finds_an_answer_before_the_promise_is_durable: AnswersBeforePersisting,
    finds_a_storm_of_nacks: NackStorm,
    finds_that_records_of_the_own_epoch_are_set_aside: SetsAsideItsOwnEpoch,
    finds_records_appended_twice: AppendsTwice,
    finds_a_promotion_that_comes_too_early: PromotesTooEarly,
    finds_levels_without_a_majority: CountsBeforeEstablished,
    finds_that_liars_are_counted: CountsLiars,
    finds_a_missing_window: IgnoresTheWindow,
    finds_a_storm_of_resends: ResendStorm,
    finds_unverified_signatures: SkipsSignatures,
    finds_uncompared_digests: IgnoresTheDigest,
    finds_heartbeats_counted_as_acks: TrustsHeartbeats,
    finds_answers_taken_without_hashing: BelievesFetched,
    finds_an_ack_before_the_sync: AcksBeforeSync,
    finds_an_ack_of_another_hash: AcksAnotherHash,
    finds_a_sync_tried_again: RetriesFsync,
    finds_a_promise_without_a_sync: PromisesWithoutSync,
    finds_a_torn_tail_taken_for_durable: KeepsTornTail,
    finds_rot_that_is_served: ServesRotten,
    finds_a_restored_core_that_leads_too_soon: LeadsUnconfirmed,
    finds_a_comparison_with_an_older_self: ForgetsThatItGrew,
    finds_a_primary_counted_unseen: CountsUnseenPrimary,
    finds_forgotten_grants_of_an_earlier_writer: ForgetsOldGrants,
}
