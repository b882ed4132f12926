//! A small HTTP server for proxies: one request a connection, a thread each, and answers that may be broken on purpose.

use parking_lot::Mutex;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Connections at once: a service with its retries, a command line and a test.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request: a contract's code in a transaction, in hex.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a line of a request's head.
const LINE_BYTES_MAX: u64 = 8 * 1024;
/// Lines of a request's head.
const LINES_MAX: usize = 64;
/// How long a peer may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// What an endless answer sends before it ends after all.
const ENDLESS_BYTES: usize = 256 * 1024 * 1024;
/// How long a slow answer takes for its next byte.
const DRIP: Duration = Duration::from_millis(500);

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) manner: Manner,
}

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Whole,
    /// Half of what its head promises, then nothing.
    Half,
    /// A byte now and then.
    Drip,
    /// White space without an end, then the body.
    Endless,
    /// The connection is closed without a word.
    Close,
}

impl Reply {
    pub(crate) fn json(body: Vec<u8>) -> Reply {
        Reply { status: 200, body, manner: Manner::Whole }
    }
}

/// Bodies in, answers out.
pub(crate) type Handler = dyn Fn(&[u8]) -> Reply + Send + Sync;

/// A server that ends when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    /// Listens; port 0 picks a free one.
    pub(crate) fn listen(address: &str, handler: Arc<Handler>) -> std::io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let accepting = std::thread::Builder::new()
            .name("shim-accept".into())
            .spawn(move || accept(&listener, &stopping, &handler))?;
        Ok(Server { address, stop, accepting: Mutex::new(Some(accepting)) })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; if nobody listens any more, it has ended.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.lock().take() {
            // A panic of that thread was printed when it happened.
            drop(accepting.join());
        }
    }
}

fn accept(listener: &TcpListener, stop: &Arc<AtomicBool>, handler: &Arc<Handler>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (open, stop, handler) = (open.clone(), stop.clone(), handler.clone());
        std::thread::spawn(move || {
            // Whoever went away needs no answer.
            drop(answer(stream, &stop, &*handler));
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn answer(stream: TcpStream, stop: &AtomicBool, handler: &Handler) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(body) = request(&mut reader)? else {
        return send(stream, stop, &Reply { status: 400, body: Vec::new(), manner: Manner::Whole });
    };
    send(stream, stop, &handler(&body))
}

/// The body of a request with a length; nothing if it is none.
fn request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    for number in 0..LINES_MAX {
        let mut line = String::new();
        reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
        let line = line.trim_end();
        if number == 0 {
            if !line.starts_with("POST ") {
                return Ok(None);
            }
        } else if line.is_empty() {
            if length > REQUEST_BYTES_MAX {
                return Ok(None);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            return Ok(Some(body));
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            let Ok(found) = value.trim().parse() else { return Ok(None) };
            length = found;
        }
    }
    Ok(None)
}

fn send(mut stream: TcpStream, stop: &AtomicBool, reply: &Reply) -> std::io::Result<()> {
    let length = match reply.manner {
        Manner::Close => return Ok(()),
        Manner::Endless => reply.body.len() + ENDLESS_BYTES,
        Manner::Whole | Manner::Half | Manner::Drip => reply.body.len(),
    };
    let head = format!(
        "HTTP/1.1 {} Answer\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
        reply.status
    );
    stream.write_all(head.as_bytes())?;
    match reply.manner {
        Manner::Close | Manner::Whole => stream.write_all(&reply.body)?,
        Manner::Half => stream.write_all(&reply.body[..reply.body.len() / 2])?,
        Manner::Drip => {
            for byte in &reply.body {
                if stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
                stream.write_all(&[*byte])?;
                std::thread::sleep(DRIP);
            }
        }
        Manner::Endless => {
            let spaces = vec![b' '; 64 * 1024];
            for _ in 0..ENDLESS_BYTES / spaces.len() {
                if stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
                stream.write_all(&spaces)?;
            }
            stream.write_all(&reply.body)?;
        }
    }
    stream.flush()
}
