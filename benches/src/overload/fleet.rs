//! Clients: threads with many connections each, which submit what was signed before, in closed or open loop.
//!
//! An account has one transfer on its way. What is refused is submitted again when the account's turn comes, so the
//! offered rate may be many times what there are transfers for.

use super::{Event, NodeProcess, Outcome, Stretch};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

/// How often requests that have become due are handed to connections.
const PACE: Duration = Duration::from_millis(1);
/// How long a due request may wait for a connection before it counts as unsent.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// How long the last answers are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How requests are made.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// Each connection sends its next request as soon as it has an answer.
    Closed {
        /// Connections in all.
        connections: usize,
    },
    /// Requests are due at even distances.
    Open {
        /// Connections in all.
        connections: usize,
        /// Requests due in a second.
        per_second: f64,
    },
}

/// All clients.
pub struct Fleet {
    clients: Vec<Client>,
    address: SocketAddr,
}

/// The accounts of one thread.
struct Client {
    /// The transfers that each account has left, the next one first.
    left: Vec<VecDeque<Vec<u8>>>,
    /// Accounts with nothing on its way.
    idle: VecDeque<usize>,
}

impl Fleet {
    /// Deals the accounts' transfers out to so many threads.
    pub fn new(transfers: Vec<(usize, Vec<u8>)>, threads: usize, address: SocketAddr) -> Fleet {
        let mut clients: Vec<Client> =
            (0..threads).map(|_| Client { left: Vec::new(), idle: VecDeque::new() }).collect();
        for (account, bytes) in transfers {
            let (client, place) = (&mut clients[account % threads], account / threads);
            if client.left.len() <= place {
                client.left.resize_with(place + 1, VecDeque::new);
            }
            client.left[place].push_back(bytes);
        }
        for client in &mut clients {
            client.idle = (0..client.left.len()).collect();
        }
        Fleet { clients, address }
    }

    /// Submits for so long, and tells what became of it.
    pub fn run(&mut self, name: &str, load: Load, time: Duration, node: &NodeProcess) -> Stretch {
        assert_eq!(node.address(), self.address, "the fleet was made for this node");
        let threads = self.clients.len();
        let clients = std::mem::take(&mut self.clients);
        // All threads have connected by then.
        let start = Instant::now() + Duration::from_millis(300);
        let address = self.address;
        let ended: Vec<(Client, Vec<Event>)> = std::thread::scope(|scope| {
            let running: Vec<_> = clients
                .into_iter()
                .map(|client| scope.spawn(move || client.run(share(load, threads), start, time, address)))
                .collect();
            running.into_iter().map(|thread| thread.join().expect("clients do not panic")).collect()
        });
        let mut events = Vec::new();
        for (client, of_client) in ended {
            self.clients.push(client);
            events.extend(of_client);
        }
        events.sort_by_key(|event| event.due);
        Stretch { name: name.to_owned(), load, start, time, events }
    }
}

/// One thread's part.
fn share(load: Load, threads: usize) -> Load {
    match load {
        Load::Closed { connections } => Load::Closed { connections: connections / threads },
        Load::Open { connections, per_second } => {
            Load::Open { connections: connections / threads, per_second: per_second / threads as f64 }
        }
    }
}

/// What the tasks of one thread share.
struct Shared {
    client: RefCell<Client>,
    events: RefCell<Vec<Event>>,
    due: RefCell<VecDeque<Instant>>,
    ready: Semaphore,
    end: Instant,
    address: SocketAddr,
}

impl Client {
    fn run(self, load: Load, start: Instant, time: Duration, address: SocketAddr) -> (Client, Vec<Event>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let shared = Rc::new(Shared {
            client: RefCell::new(self),
            events: RefCell::default(),
            due: RefCell::default(),
            ready: Semaphore::new(0),
            end: start + time,
            address,
        });
        let tasks = LocalSet::new();
        let (Load::Closed { connections } | Load::Open { connections, .. }) = load;
        for _ in 0..connections {
            let shared = Rc::clone(&shared);
            tasks.spawn_local(async move {
                let mut connection = Connection::open(shared.address).await;
                tokio::time::sleep_until(start.into()).await;
                match load {
                    Load::Closed { .. } => shared.closed(&mut connection).await,
                    Load::Open { .. } => shared.open(&mut connection).await,
                }
            });
        }
        if let Load::Open { per_second, .. } = load {
            let shared = Rc::clone(&shared);
            tasks.spawn_local(async move { shared.pace(start, per_second).await });
        }
        let ended = runtime.block_on(async { tokio::time::timeout(time + PATIENCE, tasks).await });
        ended.expect("the node answers");
        let Ok(shared) = Rc::try_unwrap(shared) else { unreachable!("all tasks have ended") };
        (shared.client.into_inner(), shared.events.into_inner())
    }
}

impl Shared {
    async fn closed(&self, connection: &mut Connection) {
        while Instant::now() < self.end {
            self.submit(connection, Instant::now()).await;
        }
    }

    async fn open(&self, connection: &mut Connection) {
        // The pacer closes the semaphore at the end.
        while let Ok(permit) = self.ready.acquire().await {
            permit.forget();
            let Some(due) = self.due.borrow_mut().pop_front() else { continue };
            let now = Instant::now();
            if now.saturating_duration_since(due) > WAIT_MAX {
                self.tell(Event { due, sent: now, done: now, outcome: Outcome::Unsent });
                continue;
            }
            self.submit(connection, due).await;
        }
    }

    async fn pace(&self, start: Instant, per_second: f64) {
        let mut made = 0u64;
        tokio::time::sleep_until(start.into()).await;
        loop {
            let now = Instant::now().min(self.end);
            let target = (now.saturating_duration_since(start).as_secs_f64() * per_second) as u64;
            {
                let mut due = self.due.borrow_mut();
                for request in made..target {
                    due.push_back(start + Duration::from_secs_f64(request as f64 / per_second));
                }
            }
            self.ready.add_permits((target - made) as usize);
            made = target;
            if now >= self.end {
                break;
            }
            tokio::time::sleep(PACE).await;
        }
        // What is due and not yet sent has its time to be.
        tokio::time::sleep(WAIT_MAX).await;
        self.ready.close();
        let now = Instant::now();
        for due in self.due.borrow_mut().drain(..) {
            self.tell(Event { due, sent: now, done: now, outcome: Outcome::Unsent });
        }
    }

    fn tell(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }

    async fn submit(&self, connection: &mut Connection, due: Instant) {
        let (account, bytes) = {
            let mut client = self.client.borrow_mut();
            let account = client.idle.pop_front().expect("there are more accounts than connections");
            let bytes = client.left[account].pop_front().expect("enough was signed: see --transfers");
            (account, bytes)
        };
        let sent = Instant::now();
        let outcome = match connection.submit(&bytes).await {
            Ok(200) => Outcome::Accepted,
            Ok(503) => Outcome::Refused,
            Ok(_) => Outcome::Failed,
            Err(_) => {
                *connection = Connection::open(self.address).await;
                Outcome::Failed
            }
        };
        self.tell(Event { due, sent, done: Instant::now(), outcome });
        let mut client = self.client.borrow_mut();
        if outcome != Outcome::Accepted {
            client.left[account].push_front(bytes);
        }
        client.idle.push_back(account);
    }
}

/// One HTTP connection: just enough of the protocol for one request after another.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).await.expect("the node takes connections");
        stream.set_nodelay(true).expect("a socket of ours");
        Connection { stream, buffer: Vec::with_capacity(8192) }
    }

    /// The status of the answer.
    async fn submit(&mut self, bytes: &[u8]) -> std::io::Result<u16> {
        self.buffer.clear();
        self.buffer.extend_from_slice(
            b"POST /v1/transitions HTTP/1.1\r\nhost: node\r\ncontent-type: application/octet-stream\r\n",
        );
        self.buffer.extend_from_slice(format!("content-length: {}\r\n\r\n", bytes.len()).as_bytes());
        self.buffer.extend_from_slice(bytes);
        self.stream.write_all(&self.buffer).await?;
        self.buffer.clear();
        let broken = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let (head, length) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(broken());
            }
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..end]).map_err(|_| broken())?;
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length = length.and_then(|text| text.parse::<usize>().ok()).ok_or_else(broken)?;
                break (end + 4, length);
            }
        };
        while self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(broken());
            }
        }
        let status = self.buffer.get(9..12).and_then(|text| std::str::from_utf8(text).ok());
        status.and_then(|text| text.parse().ok()).ok_or_else(broken)
    }
}
