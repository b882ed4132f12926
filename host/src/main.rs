//! The binary `dsm`: the core node, its command line and a demonstration of both.

mod cli;
mod demo;

/// Many threads allocate small things and free each other's: worth a tenth of the throughput.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
