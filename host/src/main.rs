//! The binary `dsm`: the core node, its command line and a demonstration of both.

mod cli;
mod demo;

/// Many threads allocate small things and free each other's: worth a tenth of the throughput.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).is_some_and(|argument| argument == dsm_host::engine::CHILD_ARGUMENT) {
        return dsm_host::engine::compile_child();
    }
    cli::main()
}
