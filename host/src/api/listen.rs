//! The door: a bounded number of connections, and an end for those that take nothing.
//!
//! A connection to which no byte of an answer could be written for a while is cut. One rule for clients that send
//! their request a byte at a time, that say nothing, and that read nothing: every request is answered sooner, and an
//! event stream has its heartbeats.

use axum::serve::Listener;
use dsm_link::{Acceptor, ServerStream};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// Hands out connections, never more than a number at once; further ones wait in the system's backlog.
pub(super) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Duration,
    tls: Option<Acceptor>,
}

impl Door {
    /// A door with `connections_max` places that cuts a connection after `patience` without a written byte.
    pub(super) fn new(
        listener: TcpListener,
        connections_max: usize,
        patience: Duration,
        tls: Option<Acceptor>,
    ) -> Door {
        Door { listener, places: Arc::new(Semaphore::new(connections_max)), patience, tls }
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes the semaphore");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let timer = Box::pin(sleep_until(Instant::now() + self.patience));
        let wrote = Instant::now();
        let stream = match &self.tls {
            Some(tls) => Stream::Tls(tls.accept(stream)),
            None => Stream::Plain(stream),
        };
        (Connection { stream, timer, wrote, patience: self.patience, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Bytes as they come, or out of TLS.
enum Stream {
    Plain(TcpStream),
    Tls(ServerStream),
}

/// Calls the same method of either.
macro_rules! either {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream {
            Stream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tls(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

/// A connection that errs when nothing could be written to it for too long.
pub(super) struct Connection {
    stream: Stream,
    timer: Pin<Box<Sleep>>,
    wrote: Instant,
    patience: Duration,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Pending, with a wake-up when the patience ends; or the error that it has ended.
    fn poll_patience<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let end = self.wrote + self.patience;
            if end <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(end);
        }
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match poll {
            Poll::Pending => self.poll_patience(context),
            Poll::Ready(Ok(count)) => {
                self.wrote = Instant::now();
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match either!(&mut self.stream, poll_read(context, buffer)) {
            Poll::Pending => self.poll_patience(context),
            // A request that comes a byte at a time is ready again and again: patience ends here too.
            Poll::Ready(Ok(())) => match self.poll_patience(context) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
            },
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = either!(&mut self.stream, poll_write(context, bytes));
        self.written(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = either!(&mut self.stream, poll_write_vectored(context, parts));
        self.written(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        matches!(&self.stream, Stream::Plain(stream) if stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.stream, poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.stream, poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use futures_util::stream;
    use std::io::{Read, Write};
    use std::net::TcpStream as Client;
    use tokio::runtime::Runtime;

    const PATIENCE: Duration = Duration::from_millis(300);

    /// A server with two places.
    fn serve() -> (Runtime, SocketAddr) {
        let endless = || {
            let chunk = Bytes::from(vec![0; 64 * 1024]);
            async move { Body::from_stream(stream::repeat_with(move || Ok::<_, io::Error>(chunk.clone()))) }
        };
        let beating = || async {
            Body::from_stream(stream::unfold((), |()| async {
                tokio::time::sleep(PATIENCE / 3).await;
                Some((Ok::<_, io::Error>(Bytes::from_static(b":")), ()))
            }))
        };
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/endless", get(endless))
            .route("/beating", get(beating));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(axum::serve(Door::new(listener, 2, PATIENCE, None), router).into_future());
        (runtime, address)
    }

    fn connect(address: SocketAddr) -> Client {
        let stream = Client::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE * 20)).unwrap();
        stream
    }

    fn ask(address: SocketAddr, path: &str) -> Client {
        let mut stream = connect(address);
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
        stream
    }

    /// Whether the server hangs up, rather than the client losing its patience.
    fn is_cut(stream: &mut Client) -> bool {
        match stream.read(&mut [0; 64]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    #[test]
    fn a_request_that_never_ends_is_cut_even_if_it_trickles() {
        let (_runtime, address) = serve();
        let mut silent = connect(address);
        silent.write_all(b"GET / HTTP/1.1\r\nho").unwrap();
        let mut trickling = connect(address);
        let start = std::time::Instant::now();
        while trickling.write_all(b"a").is_ok() {
            assert!(start.elapsed() < PATIENCE * 20, "it goes on for {:?}", start.elapsed());
            std::thread::sleep(PATIENCE / 10);
        }
        assert!(is_cut(&mut silent));
    }

    #[test]
    fn a_client_that_reads_nothing_loses_its_place_and_one_that_reads_keeps_it() {
        let (_runtime, address) = serve();
        let mut beating = ask(address, "/beating");
        let deaf = ask(address, "/endless");
        std::thread::sleep(PATIENCE / 3);
        // Both places are taken: this one is served once the deaf client has been cut.
        let start = std::time::Instant::now();
        let mut third = ask(address, "/");
        let mut answer = [0; 15];
        third.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        assert!(start.elapsed() >= PATIENCE / 4, "it was served after {:?}", start.elapsed());
        std::thread::sleep(PATIENCE * 2);
        // What came in that time lies in the socket; more than that comes only if the stream goes on.
        let mut taken = [0; 400];
        for _ in 0..4 {
            assert!(beating.read(&mut taken).unwrap() > 0, "the stream with heartbeats goes on");
        }
        drop(deaf);
    }
}
