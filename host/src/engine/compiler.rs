//! Compilation in a child process with limits of its own: a crafted module can waste two seconds and half a
//! gigabyte of a process that ends, and nothing of the node.
//!
//! The child is this same program. The parent sends a random key and the instrumented module over a pipe; the child
//! answers with the machine code behind a keyed BLAKE3 over it, which the parent checks before it believes that the
//! bytes come from the child it started. Machine code is never taken from anywhere else and never stored.

use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The argument by which the program knows that it is the child.
pub const CHILD_ARGUMENT: &str = "__compile-policy";
/// CPU time of one compilation, in seconds. The worst module that the gate lets through takes 0.9.
const CPU_SECONDS: u64 = 2;
/// Writable memory of one compilation, in bytes. Not address space: the allocator reserves more of that than it uses.
const MEMORY_BYTES: u64 = 512 << 20;
/// Bytes that the child may answer with.
const ARTIFACT_BYTES_MAX: u64 = 64 << 20;
const KEY_BYTES: usize = 32;
/// Signals by which a process ends through a failure of its own (POSIX numbers on Linux).
const SIGABRT: i32 = 6;
const SIGBUS: i32 = 7;
const SIGSEGV: i32 = 11;
const MAC_BYTES: usize = 32;

/// Why the child gave no machine code.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompileError {
    /// The child could not be started or talked to: the host's trouble.
    #[error("the compiling process: {0}")]
    Io(#[from] io::Error),
    /// The child ended without machine code: the module broke a limit, or the compiler refused it.
    #[error("the compiler gave up within its limits: {0}")]
    GaveUp(String),
    /// The answer is not the child's.
    #[error("the compiling process answered what it did not make")]
    Forged,
}

/// Has a child of `program` compile an instrumented module, and returns its machine code.
pub(super) fn compile(program: &Path, metered: &[u8], key: [u8; KEY_BYTES]) -> Result<Vec<u8>, CompileError> {
    let mut child = Command::new(program)
        .arg(CHILD_ARGUMENT)
        .env_clear()
        // The allocator would commit a gigabyte at once where the kernel overcommits, and break the limit by that.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or_else(|| io::Error::other("no pipe to it"))?;
    let output = child.stdout.take().ok_or_else(|| io::Error::other("no pipe from it"))?;
    // The child reads everything before it writes, so neither waits for the other. It may end before it has read.
    let sent = input.write_all(&key).and_then(|()| input.write_all(metered));
    drop(input);
    let mut answer = Vec::new();
    let received = output.take(ARTIFACT_BYTES_MAX + 1).read_to_end(&mut answer);
    let ended = child.wait_with_output()?;
    if let Some(signal @ (SIGABRT | SIGSEGV | SIGBUS)) = ended.status.signal() {
        // Its own failure, such as memory that this host did not give; another host may well compile the module.
        return Err(io::Error::other(format!("it ended by signal {signal}")).into());
    }
    if !ended.status.success() {
        let words = String::from_utf8_lossy(&ended.stderr);
        let last = words.lines().last().unwrap_or_default();
        return Err(CompileError::GaveUp(format!("{}; {last}", ended.status)));
    }
    sent?;
    received?;
    if answer.len() < MAC_BYTES || answer.len() as u64 > ARTIFACT_BYTES_MAX {
        return Err(CompileError::Forged);
    }
    let artifact = answer.split_off(MAC_BYTES);
    // `blake3::Hash` compares in constant time.
    let mac: [u8; MAC_BYTES] = answer.try_into().map_err(|_| CompileError::Forged)?;
    if blake3::keyed_hash(&key, &artifact) == mac { Ok(artifact) } else { Err(CompileError::Forged) }
}

/// What `main` does when it is the child: limits itself, reads the module, answers with machine code.
pub fn compile_child() -> ExitCode {
    match child() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn child() -> io::Result<()> {
    for (resource, limit) in [(Resource::Cpu, CPU_SECONDS), (Resource::Data, MEMORY_BYTES)] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    let mut input = Vec::new();
    io::stdin().lock().take((4 * dsm_abi::limit::MODULE_BYTES_MAX) as u64).read_to_end(&mut input)?;
    let (key, metered) =
        input.split_first_chunk::<KEY_BYTES>().ok_or_else(|| io::Error::other("nothing to compile"))?;
    let artifact = super::runtime::precompile(metered).map_err(io::Error::other)?;
    let mut output = io::stdout().lock();
    output.write_all(blake3::keyed_hash(key, &artifact).as_bytes())?;
    output.write_all(&artifact)?;
    output.flush()
}
