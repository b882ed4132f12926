//! Clients: threads with many connections each, which submit what was signed before, in closed or open loop.
//!
//! A request is a batch of the next transfers of some accounts, always the same ones, and they have nothing else on its
//! way. What is refused is submitted again when those accounts' turn comes, so the offered rate may be many times what
//! there are transfers for. When none are left, the stretch ends early, and says so.

use super::{Event, NodeProcess, Outcome, Stretch};
use dsm_abi::encode;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::Write as _;
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
        /// Transitions due in a second.
        per_second: f64,
    },
}

/// How requests look.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Transitions of a batch.
    pub batch: usize,
    /// Whether the body waits until the node asks for it (`Expect: 100-continue`).
    pub expect: bool,
}

/// All clients.
pub struct Fleet {
    clients: Vec<Client>,
    manner: Manner,
    address: SocketAddr,
}

/// The accounts of one thread, in groups that submit together.
struct Client {
    /// The batches that each group has left, the next one first.
    left: Vec<VecDeque<Vec<u8>>>,
    /// Groups with nothing on its way.
    idle: VecDeque<usize>,
}

impl Client {
    fn next(&mut self) -> Option<(usize, Vec<u8>)> {
        loop {
            let group = self.idle.pop_front()?;
            if let Some(body) = self.left[group].pop_front() {
                return Some((group, body));
            }
        }
    }
}

/// What one thread brings home: when it had nothing left to submit, if that happened.
type Home = (Client, Vec<Event>, Option<Instant>);

impl Fleet {
    /// Deals the accounts' transfers, which come in rounds, out to so many threads.
    pub fn new(
        transfers: Vec<(usize, Vec<u8>)>,
        manner: Manner,
        threads: usize,
        address: SocketAddr,
    ) -> Fleet {
        let mut clients: Vec<Client> =
            (0..threads).map(|_| Client { left: Vec::new(), idle: VecDeque::new() }).collect();
        let mut transfers = transfers.into_iter().peekable();
        while let Some((account, _)) = transfers.peek() {
            let group = account / manner.batch;
            let (client, place) = (&mut clients[group % threads], group / threads);
            let batch: Vec<Vec<u8>> = transfers.by_ref().take(manner.batch).map(|(_, bytes)| bytes).collect();
            if client.left.len() <= place {
                client.left.resize_with(place + 1, VecDeque::new);
            }
            client.left[place].push_back(encode(&batch));
        }
        for client in &mut clients {
            client.idle = (0..client.left.len()).collect();
        }
        Fleet { clients, manner, address }
    }

    /// Submits for so long, and tells what became of it.
    pub fn run(&mut self, name: &str, load: Load, time: Duration, node: &NodeProcess) -> Stretch {
        assert_eq!(node.address(), self.address, "the fleet was made for this node");
        let threads = self.clients.len();
        let clients = std::mem::take(&mut self.clients);
        // All threads have connected by then.
        let start = Instant::now() + Duration::from_millis(300);
        let (manner, address) = (self.manner, self.address);
        let ended: Vec<Home> = std::thread::scope(|scope| {
            let running: Vec<_> = clients
                .into_iter()
                .map(|client| {
                    let load = share(load, threads, manner.batch);
                    scope.spawn(move || client.run(load, manner, start, time, address))
                })
                .collect();
            running.into_iter().map(|thread| thread.join().expect("clients do not panic")).collect()
        });
        let mut events = Vec::new();
        let mut end = start + time;
        for (client, of_client, dry) in ended {
            self.clients.push(client);
            events.extend(of_client);
            end = dry.map_or(end, |dry| dry.min(end));
        }
        events.retain(|event| event.due < end);
        events.sort_by_key(|event| event.due);
        let planned = time;
        Stretch { name: name.to_owned(), batch: manner.batch, start, planned, time: end - start, events }
    }
}

/// One thread's part, in requests.
fn share(load: Load, threads: usize, batch: usize) -> Load {
    match load {
        Load::Closed { connections } => Load::Closed { connections: connections / threads },
        Load::Open { connections, per_second } => {
            let per_second = per_second / (threads * batch) as f64;
            Load::Open { connections: connections / threads, per_second }
        }
    }
}

/// What the tasks of one thread share.
struct Shared {
    client: RefCell<Client>,
    events: RefCell<Vec<Event>>,
    due: RefCell<VecDeque<Instant>>,
    ready: Semaphore,
    /// Since when nothing is left to submit.
    dry: Cell<Option<Instant>>,
    end: Instant,
    manner: Manner,
    address: SocketAddr,
}

impl Client {
    fn run(self, load: Load, manner: Manner, start: Instant, time: Duration, address: SocketAddr) -> Home {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let shared = Rc::new(Shared {
            client: RefCell::new(self),
            events: RefCell::default(),
            due: RefCell::default(),
            ready: Semaphore::new(0),
            dry: Cell::new(None),
            end: start + time,
            manner,
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
        (shared.client.into_inner(), shared.events.into_inner(), shared.dry.get())
    }
}

impl Shared {
    async fn closed(&self, connection: &mut Connection) {
        while Instant::now() < self.end && self.dry.get().is_none() {
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
        while self.dry.get().is_none() {
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
        let next = self.client.borrow_mut().next();
        let sent = Instant::now();
        let Some((group, body)) = next else {
            self.dry.set(self.dry.get().or(Some(sent)));
            return;
        };
        let answer = connection.submit(&body, self.manner).await;
        let done = Instant::now();
        let (outcome, closes) = match answer {
            Ok(answer) => (answer.outcome, answer.closes),
            Err(_) => (Outcome::Failed, true),
        };
        self.tell(Event { due, sent, done, outcome });
        {
            let mut client = self.client.borrow_mut();
            if outcome != Outcome::Accepted {
                client.left[group].push_front(body);
            }
            client.idle.push_back(group);
        }
        if closes {
            *connection = Connection::open(self.address).await;
        }
    }
}

/// An answer, and whether the connection ends with it.
struct Answer {
    outcome: Outcome,
    closes: bool,
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

    async fn submit(&mut self, body: &[u8], manner: Manner) -> std::io::Result<Answer> {
        let expect = if manner.expect { "expect: 100-continue\r\n" } else { "" };
        self.buffer.clear();
        write!(
            self.buffer,
            "POST /v1/transitions/batch HTTP/1.1\r\nhost: node\r\ncontent-type: application/octet-stream\r\n\
             content-length: {}\r\n{expect}\r\n",
            body.len(),
        )?;
        if !manner.expect {
            self.buffer.extend_from_slice(body);
        }
        self.stream.write_all(&self.buffer).await?;
        self.buffer.clear();
        let mut head = self.head().await?;
        if head.status == 100 {
            self.buffer.drain(..head.bytes);
            self.stream.write_all(body).await?;
            head = self.head().await?;
        }
        let end = head.bytes + head.content;
        while self.buffer.len() < end {
            self.read().await?;
        }
        let content = self.buffer.get(head.bytes..end).map(str::from_utf8);
        let outcome = match (head.status, content) {
            // One that was refused would be named by its problem.
            (200, Some(Ok(content))) if !content.contains("{\"problem\":") => Outcome::Accepted,
            (503, _) => Outcome::Refused,
            _ => Outcome::Failed,
        };
        Ok(Answer { outcome, closes: head.closes })
    }

    /// The head of an answer, from the beginning of the buffer on.
    async fn head(&mut self) -> std::io::Result<Head> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = str::from_utf8(&self.buffer[..end]).map_err(|_| broken())?;
                let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
                return Ok(Head {
                    status: head.get(9..12).and_then(|text| text.parse().ok()).ok_or_else(broken)?,
                    content: field("content-length: ").and_then(|text| text.parse().ok()).unwrap_or(0),
                    closes: field("connection: close").is_some(),
                    bytes: end + 4,
                });
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> std::io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(broken()),
            _ => Ok(()),
        }
    }
}

/// What the head of an answer says, and its own length.
struct Head {
    status: u16,
    content: usize,
    closes: bool,
    bytes: usize,
}

fn broken() -> std::io::Error {
    std::io::ErrorKind::UnexpectedEof.into()
}
