//! The native side of `dsm policy test`: situations in, verdicts out, so that the host can compare them with the
//! module's. Bytes are Borsh, as everywhere between a policy and its host.

use crate::abi::{NativeAnswers, Situation, decode, encode};
use crate::bench::{Bench, Call, Case, Cryptography};
use crate::run::Policy;
use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of one question: thousands of situations of the usual size.
const QUESTION_BYTES_MAX: usize = 64 << 20;

/// Answers every situation that comes over `input` (a Borsh `Vec<Situation>`) with `P`, and tells the policy's own
/// `cases` besides. A policy's project has an example `native` that calls this; `dsm policy test` runs it.
///
/// # Errors
/// Those of `input` and `output`; [`ErrorKind::InvalidData`] if the question is not one.
pub fn serve<P: Policy>(cases: &[Case], input: impl Read, mut output: impl Write) -> Result<()> {
    let mut question = Vec::new();
    input.take(QUESTION_BYTES_MAX as u64 + 1).read_to_end(&mut question)?;
    let situations: Vec<Situation> = decode(&question, QUESTION_BYTES_MAX)
        .map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))?;
    let own = cases.iter().map(|case| {
        let Case { name, state, foreign, call, expected } = case.clone();
        (name, state, foreign, call, expected)
    });
    let answers =
        NativeAnswers { cases: own.collect(), answers: situations.iter().map(answer::<P>).collect() };
    output.write_all(&encode(&answers))?;
    output.flush()
}

fn answer<P: Policy>(situation: &Situation) -> core::result::Result<Vec<u8>, String> {
    let recorded = Recorded(situation);
    let bench = Bench {
        state: situation.state.clone(),
        foreign: situation.foreign.clone(),
        cryptography: Some(&recorded),
        ..Bench::default()
    };
    let called = catch_unwind(AssertUnwindSafe(|| match &situation.call {
        Call::Evaluate(input) => bench.evaluate::<P>(input).1,
        Call::View(input) => bench.view::<P>(input).1,
    }));
    called.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        format!("panicked: {}", text.as_deref().unwrap_or("without a message"))
    })
}

/// The host's cryptography as the module met it.
struct Recorded<'a>(&'a Situation);

impl Cryptography for Recorded<'_> {
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> [u8; 32] {
        let mut known = self.0.hashes.iter();
        let found = known.find(|(of, input, _)| *of == algorithm && input == bytes);
        found.expect("the module did not ask for this hash").2
    }

    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let mut known = self.0.verifications.iter();
        let found = known.find(|one| {
            one.algorithm == algorithm
                && one.key == key
                && one.message == message
                && one.signature == signature
        });
        found.expect("the module did not ask for this verification").verified
    }
}
