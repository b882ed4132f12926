//! A backup over HTTP: the canonical archive as a stream. If reading fails midway the connection breaks, and an archive
//! knows its own end, so that nobody takes a part for the whole.

use super::Api;
use super::problem::Failure;
use crate::node::backup::BackupError;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces that wait for the client: with the one being filled, two MiB.
const PIECES_MAX: usize = 8;
/// Bytes of one piece.
const PIECE_BYTES: usize = 256 * 1024;

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Failure {
        Failure::coded(error.code(), &error)
    }
}

pub(super) async fn backup(State(api): State<Api>) -> Result<Response, Failure> {
    let place = Arc::clone(&api.backups)
        .try_acquire_owned()
        .map_err(|_| Failure::overloaded(10_000, "another backup is being written"))?;
    let extent = api.node.backup_extent().await?;
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut out = Pieces { sender, piece: Vec::with_capacity(PIECE_BYTES) };
        let written = api.node.write_backup(extent, &mut out).map_err(io::Error::other);
        if let Err(error) = written.and_then(|()| out.flush()) {
            tracing::warn!(%error, "a backup was not finished");
            // Nobody may be there any more.
            drop(out.sender.blocking_send(Err(error)));
        }
    });
    let stream =
        futures_util::stream::unfold(pieces, |mut pieces: mpsc::Receiver<io::Result<Bytes>>| async {
            let piece = pieces.recv().await?;
            Some((piece, pieces))
        });
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], Body::from_stream(stream)).into_response())
}

/// What is written goes to the client piece by piece.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES)));
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
