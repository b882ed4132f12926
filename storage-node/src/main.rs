//! The binary `dsm-storage-node`: a storage node and the commands of its operator.

mod cli;

/// Many threads allocate small things and free each other's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
