//! Frames on a stream: a length (four bytes, little-endian), then that many bytes.
//!
//! The length is checked before anything is reserved for it; memory grows with what has arrived, within a budget of
//! the connection; and from its first byte on a frame has a deadline that depends on its length, in both directions.
//! A peer that breaks one of these loses its connection: it proved its key, so it is faulty or hostile.

use crate::connection::Shared;
use crate::error::{Closed, FrameError, close};
use crate::metrics::count;
use bytes::{Buf as _, Bytes};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// Bytes of the length before a frame.
const LENGTH_BYTES: usize = 4;
/// Bytes taken from QUIC at once.
const CHUNK_BYTES_MAX: usize = 256 << 10;
/// What is reserved for a frame before its bytes arrive.
const RESERVED_BYTES_MAX: usize = 64 << 10;

/// A stream of frames in both directions.
#[derive(Debug)]
pub struct FrameStream {
    sender: FrameSender,
    receiver: FrameReceiver,
}

impl FrameStream {
    pub(crate) fn new(send: quinn::SendStream, recv: quinn::RecvStream, link: Arc<Shared>) -> FrameStream {
        let receiver =
            FrameReceiver { stream: recv, link: link.clone(), chunk: Bytes::new(), state: State::Idle };
        FrameStream { sender: FrameSender { stream: send, link, within_frame: false }, receiver }
    }

    /// See [`FrameSender::send`].
    ///
    /// # Errors
    /// [`FrameError`].
    pub async fn send(&mut self, frame: impl Into<Bytes>) -> Result<(), FrameError> {
        self.sender.send(frame).await
    }

    /// See [`FrameReceiver::recv`].
    ///
    /// # Errors
    /// [`FrameError`].
    pub async fn recv(&mut self) -> Result<Vec<u8>, FrameError> {
        self.receiver.recv().await
    }

    /// See [`FrameReceiver::recv_within`].
    ///
    /// # Errors
    /// [`FrameError`].
    pub async fn recv_within(&mut self, time: Duration) -> Result<Vec<u8>, FrameError> {
        self.receiver.recv_within(time).await
    }

    /// See [`FrameSender::finish`].
    pub fn finish(&mut self) {
        self.sender.finish();
    }

    /// The two directions, for two tasks.
    pub fn split(self) -> (FrameSender, FrameReceiver) {
        (self.sender, self.receiver)
    }
}

/// The sending direction of a stream.
#[derive(Debug)]
pub struct FrameSender {
    stream: quinn::SendStream,
    link: Arc<Shared>,
    within_frame: bool,
}

impl FrameSender {
    /// Sends a frame: returns when it is in this end's window, which says nothing about the other end.
    ///
    /// A call that is dropped halfway leaves half a frame behind, so the stream can carry no other one.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] and [`FrameError::Empty`] before anything is sent; [`FrameError::TooSlow`] if the
    /// other end does not take it in time, which closes the connection; [`FrameError::Abandoned`],
    /// [`FrameError::GivenUp`], [`FrameError::Closed`].
    pub async fn send(&mut self, frame: impl Into<Bytes>) -> Result<(), FrameError> {
        let frame: Bytes = frame.into();
        let (length, max) = (frame.len(), self.link.config.frame_bytes_max);
        if frame.is_empty() {
            return Err(FrameError::Empty);
        }
        let Some(announced) = u32::try_from(length).ok().filter(|length| *length <= max) else {
            return Err(FrameError::TooLong { length, max: max as usize });
        };
        if self.within_frame {
            return Err(FrameError::Abandoned);
        }
        self.within_frame = true;
        let mut parts = [Bytes::copy_from_slice(&announced.to_le_bytes()), frame];
        let write = self.stream.write_all_chunks(&mut parts);
        match tokio::time::timeout(self.link.config.frame_time(length), write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(write_error(error)),
            Err(_) => {
                count(&self.link.counters.frames_too_slow);
                self.link.close(close::TOO_SLOW, "nobody takes what is sent");
                return Err(FrameError::TooSlow);
            }
        }
        self.within_frame = false;
        count(&self.link.counters.frames_sent);
        self.link.counters.frame_bytes_sent.fetch_add(length as u64, Relaxed);
        Ok(())
    }

    /// No more frames: the other end gets [`FrameError::Finished`] after the last one.
    pub fn finish(&mut self) {
        // Refused only if the stream is finished or given up already.
        let _ = self.stream.finish();
    }

    /// Gives the stream up: what is not yet delivered will not be.
    pub fn give_up(&mut self, code: u32) {
        // Refused only if the stream is finished or given up already.
        let _ = self.stream.reset(code.into());
    }
}

fn write_error(error: quinn::WriteError) -> FrameError {
    match error {
        quinn::WriteError::Stopped(code) => FrameError::GivenUp(code.into_inner()),
        quinn::WriteError::ConnectionLost(error) => FrameError::Closed(error.into()),
        // We send no 0-RTT data and keep no stream that was reset.
        quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected => FrameError::Abandoned,
    }
}

/// The receiving direction of a stream. A call that is dropped loses nothing.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: quinn::RecvStream,
    link: Arc<Shared>,
    /// Taken from QUIC, not yet looked at.
    chunk: Bytes,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between frames.
    Idle,
    /// Some bytes of the length are here.
    Length { bytes: [u8; LENGTH_BYTES], filled: usize, deadline: Instant },
    /// The length is known and within the limit; the budget is waited for.
    Announced { length: u32 },
    /// The frame is being put together.
    Body { length: usize, frame: Vec<u8>, deadline: Instant, _permit: OwnedSemaphorePermit },
}

impl FrameReceiver {
    /// The next frame. Waits as long as it takes for its first byte; the rest has to come in time.
    ///
    /// # Errors
    /// [`FrameError::Finished`] at the end; [`FrameError::TooLong`], [`FrameError::Empty`], [`FrameError::Truncated`]
    /// and [`FrameError::TooSlow`], which close the connection; [`FrameError::GivenUp`], [`FrameError::Closed`].
    pub async fn recv(&mut self) -> Result<Vec<u8>, FrameError> {
        match self.next().await {
            Ok(frame) => {
                count(&self.link.counters.frames_received);
                self.link.counters.frame_bytes_received.fetch_add(frame.len() as u64, Relaxed);
                Ok(frame)
            }
            Err(error) => {
                self.punish(&error);
                Err(error)
            }
        }
    }

    /// The next frame, whose first byte has to come within `time`.
    ///
    /// # Errors
    /// As [`FrameReceiver::recv`]; [`FrameError::TooSlow`] without closing the connection if nothing begins.
    pub async fn recv_within(&mut self, time: Duration) -> Result<Vec<u8>, FrameError> {
        if matches!(self.state, State::Idle) && self.chunk.is_empty() {
            match tokio::time::timeout(time, self.fill(None)).await {
                Ok(filled) => filled?,
                Err(_) => return Err(FrameError::TooSlow),
            }
        }
        self.recv().await
    }

    /// Tells the other end that this one reads no further.
    pub fn give_up(&mut self, code: u32) {
        // Refused only if the stream is finished already.
        let _ = self.stream.stop(code.into());
    }

    fn punish(&self, error: &FrameError) {
        let (counter, code) = match error {
            FrameError::TooSlow => (&self.link.counters.frames_too_slow, close::TOO_SLOW),
            FrameError::TooLong { .. } => (&self.link.counters.frames_too_long, close::BAD_FRAME),
            FrameError::Empty | FrameError::Truncated => {
                (&self.link.counters.frames_malformed, close::BAD_FRAME)
            }
            FrameError::Finished
            | FrameError::NoStream
            | FrameError::GivenUp(_)
            | FrameError::Abandoned
            | FrameError::Closed(_) => return,
        };
        count(counter);
        self.link.close(code, error.code());
    }

    async fn next(&mut self) -> Result<Vec<u8>, FrameError> {
        loop {
            match &mut self.state {
                State::Idle => {
                    if self.chunk.is_empty() {
                        self.fill(None).await?;
                    }
                    let deadline = Instant::now() + self.link.config.frame_time(LENGTH_BYTES);
                    self.state = State::Length { bytes: [0; LENGTH_BYTES], filled: 0, deadline };
                }
                State::Length { bytes, filled, deadline } => {
                    let taken = self.chunk.len().min(LENGTH_BYTES - *filled);
                    self.chunk.copy_to_slice(&mut bytes[*filled..*filled + taken]);
                    *filled += taken;
                    if *filled < LENGTH_BYTES {
                        let deadline = *deadline;
                        self.fill(Some(deadline)).await?;
                        continue;
                    }
                    let (length, max) = (u32::from_le_bytes(*bytes), self.link.config.frame_bytes_max);
                    if length == 0 {
                        return Err(FrameError::Empty);
                    }
                    if length > max {
                        return Err(FrameError::TooLong { length: length as usize, max: max as usize });
                    }
                    self.state = State::Announced { length };
                }
                State::Announced { length } => {
                    let length = *length;
                    // Waiting for other frames of this connection is not this frame's fault: its time begins after.
                    let permit = self.link.underway.clone().acquire_many_owned(length).await;
                    let permit = permit.expect("the budget is never closed");
                    let length = length as usize;
                    let deadline = Instant::now() + self.link.config.frame_time(length);
                    let frame = Vec::with_capacity(length.min(RESERVED_BYTES_MAX));
                    self.state = State::Body { length, frame, deadline, _permit: permit };
                }
                State::Body { length, frame, deadline, .. } => {
                    let taken = self.chunk.len().min(*length - frame.len());
                    frame.extend_from_slice(&self.chunk[..taken]);
                    self.chunk.advance(taken);
                    if frame.len() < *length {
                        let deadline = *deadline;
                        self.fill(Some(deadline)).await?;
                        continue;
                    }
                    let frame = std::mem::take(frame);
                    self.state = State::Idle;
                    return Ok(frame);
                }
            }
        }
    }

    /// Takes the next bytes from QUIC; `deadline` is that of the frame that is under way.
    async fn fill(&mut self, deadline: Option<Instant>) -> Result<(), FrameError> {
        let read = self.stream.read_chunk(CHUNK_BYTES_MAX, true);
        let read = match deadline {
            Some(deadline) => {
                tokio::time::timeout_at(deadline, read).await.map_err(|_| FrameError::TooSlow)?
            }
            None => read.await,
        };
        match read {
            Ok(Some(chunk)) => self.chunk = chunk.bytes,
            Ok(None) if deadline.is_some() => return Err(FrameError::Truncated),
            Ok(None) => return Err(FrameError::Finished),
            Err(quinn::ReadError::Reset(code)) => return Err(FrameError::GivenUp(code.into_inner())),
            Err(quinn::ReadError::ConnectionLost(error)) => return Err(Closed::from(error).into()),
            // All our reads are ordered, nothing is 0-RTT, and a stream that is given up is not read any more.
            Err(
                quinn::ReadError::ClosedStream
                | quinn::ReadError::IllegalOrderedRead
                | quinn::ReadError::ZeroRttRejected,
            ) => return Err(FrameError::Finished),
        }
        Ok(())
    }
}
