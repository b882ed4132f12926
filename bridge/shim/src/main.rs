//! The binary `dsm-qbft-shim`: the shim in front of an anvil that runs.

use clap::Parser;
use dsm_qbft_shim::{Lists, Seals, Shim, ShimConfig};
use std::process::ExitCode;

/// Reseal the headers of anvil with TEST validators, as a chain with QBFT has them. For tests and demonstrations.
#[derive(Debug, Parser)]
#[command(name = "dsm-qbft-shim", version)]
struct Arguments {
    /// The node behind, such as `anvil --chain-id 138 --hardfork london`
    #[arg(long, value_name = "URL")]
    rpc: String,
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8545")]
    listen: String,
    /// How many test validators there are
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    validators: u32,
    /// How many of them seal a block [default: two thirds, rounded up]
    #[arg(long, value_name = "K")]
    seals: Option<usize>,
    /// Leave the lists of validators out of the headers, as in contract mode
    #[arg(long)]
    empty_lists: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dsm-qbft-shim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let config = ShimConfig {
        listen: arguments.listen,
        validators: (0..arguments.validators).collect(),
        seals: arguments.seals.map_or(Seals::Quorum, Seals::Exactly),
        lists: if arguments.empty_lists { Lists::Empty } else { Lists::Headers },
    };
    let shim = Shim::start(&arguments.rpc, config)?;
    println!("A shim, with test validators whose keys anyone can derive: for tests and demonstrations only.");
    println!("node behind  {}", arguments.rpc);
    for address in shim.validators(0) {
        println!("validator    0x{}", hex::encode(address));
    }
    println!("listening    {}", shim.url());
    // The shim serves from threads of its own, until the process is ended.
    loop {
        std::thread::park();
    }
}
