//! Asking a storage node one question on a stream of its own.

use dsm_link::{Connection, FrameError};
use dsm_proto::Frame;
use dsm_proto::fetch::{Answer, Query};
use std::time::Duration;

/// How long an answer may take in all.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum AskError {
    /// The connection or the stream broke, or took too long.
    #[error(transparent)]
    Link(#[from] FrameError),
    /// No answer in time.
    #[error("no answer in time")]
    Late,
    /// What came is no answer.
    #[error("what came is no answer")]
    NoAnswer,
}

/// Asks and waits for the answer. Nothing of it is to be believed before it was compared with a hash.
pub(super) async fn ask(connection: &Connection, query: Query) -> Result<Answer, AskError> {
    let asked = tokio::time::timeout(ANSWER_TIME, async {
        let mut stream = connection.open_stream().await?;
        stream.send(Frame::Fetch(query).encode()).await?;
        let answer = stream.recv_within(ANSWER_TIME).await?;
        stream.finish();
        match Frame::decode(&answer) {
            Ok(Frame::Fetched(answer)) => Ok(answer),
            Ok(_) | Err(_) => Err(AskError::NoAnswer),
        }
    });
    asked.await.unwrap_or(Err(AskError::Late))
}

/// What kind of answer it is.
pub(super) fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Status(_) => "a status",
        Answer::Records(_) => "records",
        Answer::Blob(_) => "a blob",
        Answer::Digest(_) => "a digest",
        Answer::BlobRange(_) => "a range",
        Answer::NotFound => "that it does not have it",
        Answer::Damaged => "that it is damaged there",
        Answer::Busy => "that it has too much to do",
    }
}
