//! The door: a bounded number of connections, and an end for those that take nothing.
//!
//! A connection to which no byte of an answer could be written for a while is cut. One rule for clients that send
//! their request a byte at a time, that say nothing, and that read nothing: every request is answered sooner, and an
//! event stream has its heartbeats. And one client has so many connections: a further one is closed as it comes, or
//! whoever opens them all and says nothing would keep everybody out.

use axum::serve::Listener;
use dsm_gateway::counted;
use dsm_link::{Acceptor, ServerStream};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
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
    each_max: usize,
    many: Many,
    held: Held,
    patience: Duration,
    tls: Option<Acceptor>,
}

/// Whether many clients come from an address.
pub(super) type Many = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// How many connections each client has.
type Held = Arc<Mutex<BTreeMap<IpAddr, usize>>>;

/// What a door is told.
pub(super) struct DoorConfig {
    /// Connections at once; further ones wait.
    pub(super) connections_max: usize,
    /// Connections of one client: an address, or a network of IPv6.
    pub(super) each_max: usize,
    /// Addresses that many clients come from, such as a proxy's.
    pub(super) many: Many,
    /// How long a connection may be without a written byte.
    pub(super) patience: Duration,
    /// Speaks TLS with this certificate.
    pub(super) tls: Option<Acceptor>,
}

impl Door {
    /// A door that nobody has come to.
    pub(super) fn new(listener: TcpListener, config: DoorConfig) -> Door {
        let DoorConfig { connections_max, each_max, many, patience, tls } = config;
        Door {
            listener,
            places: Arc::new(Semaphore::new(connections_max)),
            each_max,
            many,
            held: Held::default(),
            patience,
            tls,
        }
    }

    /// A connection of somebody who has not got too many.
    async fn next(&mut self) -> (TcpStream, SocketAddr, Seat) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            let each_max = if (self.many)(address.ip()) { usize::MAX } else { self.each_max };
            match Seat::take(&self.held, counted(address.ip()), each_max) {
                Some(seat) => return (stream, address, seat),
                None => tracing::debug!(%address, "closed: one client has too many connections"),
            }
        }
    }
}

/// One of a client's connections, until it is dropped.
struct Seat {
    held: Held,
    client: IpAddr,
}

impl Seat {
    fn take(held: &Held, client: IpAddr, each_max: usize) -> Option<Seat> {
        let mut counts = held.lock();
        let count = counts.entry(client).or_default();
        if *count >= each_max {
            return None;
        }
        *count += 1;
        Some(Seat { held: Arc::clone(held), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.held.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes the semaphore");
        let (stream, address, seat) = self.next().await;
        let timer = Box::pin(sleep_until(Instant::now() + self.patience));
        let wrote = Instant::now();
        let stream = match &self.tls {
            Some(tls) => Stream::Tls(tls.accept(stream)),
            None => Stream::Plain(stream),
        };
        (Connection { stream, timer, wrote, patience: self.patience, _place: place, _seat: seat }, address)
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
    _seat: Seat,
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

    /// Ten times what a busy machine lets a thread wait.
    const PATIENCE: Duration = Duration::from_secs(2);
    /// Nothing here takes so long.
    const HANGS: Duration = Duration::from_secs(60);

    /// A server with two places.
    fn serve() -> (Runtime, SocketAddr) {
        serve_with(2, 2, PATIENCE)
    }

    fn serve_with(connections_max: usize, each_max: usize, patience: Duration) -> (Runtime, SocketAddr) {
        let many: Many = Box::new(|address| address.to_string() == "127.0.0.3");
        let config = DoorConfig { connections_max, each_max, many, patience, tls: None };
        let endless = || {
            let chunk = Bytes::from(vec![0; 64 * 1024]);
            async move { Body::from_stream(stream::repeat_with(move || Ok::<_, io::Error>(chunk.clone()))) }
        };
        let beating = || async {
            Body::from_stream(stream::unfold((), |()| async {
                tokio::time::sleep(PATIENCE / 20).await;
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
        runtime.spawn(axum::serve(Door::new(listener, config), router).into_future());
        (runtime, address)
    }

    fn connect(address: SocketAddr) -> Client {
        let stream = Client::connect(address).unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
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
            assert!(start.elapsed() < HANGS, "it goes on for {:?}", start.elapsed());
            std::thread::sleep(PATIENCE / 10);
        }
        assert!(is_cut(&mut silent));
    }

    /// One client opened all 900 and said nothing: for a minute nobody else was answered, and then again.
    #[test]
    fn one_client_does_not_take_all_places() {
        let (_runtime, address) = serve_with(6, 2, HANGS);
        let held = [connect(address), connect(address)];
        let mut third = connect(address);
        assert!(is_cut(&mut third), "one more than it may have");
        // Linux has all of 127.0.0.0/8: another client, and a proxy.
        let mut others = Vec::new();
        for from in ["127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.3"] {
            let mut other = socket_from(from, address).unwrap();
            let mut answer = [0; 15];
            other.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            other.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            others.push(other);
        }
        // Whoever leaves makes room.
        held[0].shutdown(std::net::Shutdown::Both).unwrap();
        drop(others);
        let begun = std::time::Instant::now();
        while !is_answered(address) {
            assert!(begun.elapsed() < HANGS, "the place of whoever left is not free");
        }
    }

    fn is_answered(address: SocketAddr) -> bool {
        let mut stream = connect(address);
        let asked = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        asked.is_ok() && stream.read_exact(&mut [0; 15]).is_ok()
    }

    /// A connection from one of this machine's addresses.
    fn socket_from(from: &str, address: SocketAddr) -> io::Result<Client> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from.parse().map_err(io::Error::other)?, 0))?;
        let stream = runtime.block_on(socket.connect(address))?.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(HANGS))?;
        Ok(stream)
    }

    #[test]
    fn a_client_that_reads_nothing_loses_its_place_and_one_that_reads_keeps_it() {
        let (_runtime, address) = serve();
        let mut beating = ask(address, "/beating");
        let start = std::time::Instant::now();
        let deaf = ask(address, "/endless");
        // Both places are taken: this one is served once the deaf client has been cut.
        let mut third = ask(address, "/");
        let mut answer = [0; 15];
        third.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        assert!(start.elapsed() >= PATIENCE, "it was served after {:?}", start.elapsed());
        std::thread::sleep(PATIENCE * 2);
        // What came in that time lies in the socket; more than that comes only if the stream goes on.
        let mut taken = [0; 4096];
        for _ in 0..4 {
            assert!(beating.read(&mut taken).unwrap() > 0, "the stream with heartbeats goes on");
        }
        drop(deaf);
    }
}
