//! The binary `dsm-bridge`: the bridge service and its operator's commands.

mod cli;

/// Many threads allocate small things and free each other's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
