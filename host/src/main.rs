//! The binary `dsm`: the core node, its command line and a demonstration of both.

mod cli;
mod demo;

fn main() -> std::process::ExitCode {
    cli::main()
}
