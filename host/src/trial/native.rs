//! A policy's native side, asked through its project's example `native`.

use dsm_abi::{NativeAnswers, Situation, decode, encode};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Bytes that the native side may answer with.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Lines of the compiler's words that are worth repeating.
const LINES_SHOWN: usize = 40;

/// Why the native side gave no answers.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// cargo could not be started or talked to.
    #[error("cargo: {0}")]
    Io(#[from] std::io::Error),
    /// cargo, the compiler or the example failed.
    #[error("the example `native` failed:\n{0}")]
    Failed(String),
    /// It answered something else.
    #[error("the example `native` does not answer as dsm_policy::bench::serve does")]
    Strange,
}

/// Asks the example `native` of the project in `folder` about `situations`.
///
/// # Errors
/// [`NativeError`].
pub fn ask(folder: &Path, situations: &[Situation]) -> Result<NativeAnswers, NativeError> {
    let mut child = Command::new("cargo")
        .args(["run", "--quiet", "--example", "native"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or_else(|| std::io::Error::other("no pipe to it"))?;
    let mut output = child.stdout.take().ok_or_else(|| std::io::Error::other("no pipe from it"))?;
    let mut words = child.stderr.take().ok_or_else(|| std::io::Error::other("no pipe from it"))?;
    let question = encode(&situations.to_vec());
    // The compiler may say more than a pipe holds before the example reads its first byte.
    let (sent, answer, said) = std::thread::scope(|scope| {
        let sender = scope.spawn(move || input.write_all(&question));
        let listener = scope.spawn(move || {
            let mut said = Vec::new();
            let _as_much_as_came = words.read_to_end(&mut said);
            said
        });
        let mut answer = Vec::new();
        let received = output.by_ref().take(ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut answer);
        drop(output);
        let sent = sender.join().unwrap_or_else(|_| Err(std::io::Error::other("the sender failed")));
        let said = listener.join().unwrap_or_default();
        (sent, received.map(|_| answer), said)
    });
    let ended = child.wait()?;
    if !ended.success() {
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().take(LINES_SHOWN).collect();
        return Err(NativeError::Failed(lines.join("\n")));
    }
    sent?;
    let mut answers: NativeAnswers = decode(&answer?, ANSWER_BYTES_MAX).map_err(|_| NativeError::Strange)?;
    if answers.answers.len() != situations.len() {
        return Err(NativeError::Strange);
    }
    locate(&mut answers.answers, &String::from_utf8_lossy(&said));
    Ok(answers)
}

/// Adds to each panic among the answers the file and line that Rust's own message gave for it. The example answers one
/// situation after the other, so messages and answers have one order; if they are not as many, nobody guesses.
fn locate(answers: &mut [Result<Vec<u8>, String>], said: &str) {
    let places: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("thread '")?.split_once("panicked at "))
        .map(|(_, place)| place.trim_end_matches(':'))
        .collect();
    let panics: Vec<&mut String> = answers.iter_mut().filter_map(|answer| answer.as_mut().err()).collect();
    if panics.len() == places.len() {
        for (panic, place) in panics.into_iter().zip(places) {
            *panic = format!("{panic}, at {place}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An author was told "index out of bounds" and not where: the message went to a stream that nobody showed.
    #[test]
    fn a_native_panic_is_told_with_its_line() {
        let said = "thread 'main' (12) panicked at src/lib.rs:7:9:\nno price\nnote: run with `RUST_BACKTRACE=1`\n\n\
                    thread 'main' panicked at src/lib.rs:31:5:\nno price\n";
        let panic = || Err("panicked: no price".to_owned());
        let mut answers = [panic(), Ok(vec![1]), panic()];
        locate(&mut answers, said);
        let expected = ["panicked: no price, at src/lib.rs:7:9", "panicked: no price, at src/lib.rs:31:5"];
        assert_eq!(answers.iter().filter_map(|one| one.as_ref().err()).collect::<Vec<_>>(), expected);
        // More messages than panics among the answers: whose they are is not known.
        let mut one = [panic()];
        locate(&mut one, said);
        assert_eq!(one, [panic()]);
    }
}
