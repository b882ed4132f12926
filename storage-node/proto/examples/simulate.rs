//! How much does the simulator simulate: runs seeds for a while, and prints simulated hours per minute and what
//! happened in them. Fails with the seed and the options of the first violation.
//!
//! `cargo run --release -p dsm-proto --example simulate -- [first seed] [seeds] [real seconds]`

use dsm_proto::sim::{self, Options, Report};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let mut number = |otherwise| arguments.next().map_or(Ok(otherwise), |parsed| parsed);
    let (Ok(first), Ok(seeds), Ok(seconds)) = (number(0), number(u64::MAX), number(60)) else {
        eprintln!("usage: simulate [first seed] [seeds] [real seconds]");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let mut total = Report::default();
    let mut runs = 0u64;
    let mut failed = 0u64;
    for seed in
        (first..first.saturating_add(seeds)).take_while(|_| began.elapsed() < Duration::from_secs(seconds))
    {
        let options = Options::from_seed(seed);
        match sim::run(&options) {
            Ok(report) => total.add(&report),
            Err(violation) => {
                failed += 1;
                eprintln!("{}", sim::explain(&options, &violation));
            }
        }
        runs += 1;
    }
    let real = began.elapsed().as_micros().max(1) as u64;
    println!("{runs} seeds, {failed} failed, {} s", real / 1_000_000);
    println!("{:.1} simulated hours per minute", total.simulated.0 as f64 / real as f64 / 60.0);
    println!("{} times real time", total.simulated.0 / real);
    println!("{} thousand events a second", total.events * 1000 / real);
    println!(
        "{} crashes, {} partitions, {} restores, {} fenced",
        total.crashes, total.partitions, total.restores, total.fenced
    );
    println!("{} acks and {} receipts checked", total.acks, total.acknowledged);
    println!("{} repaired, {} set aside, {} convicted", total.repaired, total.set_aside, total.convicted);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
