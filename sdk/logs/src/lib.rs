//! Log lines of a service: text for people or JSON for programs, on stderr and, if asked, in a file.
//!
//! Whoever writes a line never waits for a pipe or a disk: lines go through a bounded queue to a thread of their own.
//! What it has no room for is counted, and said once there is room again. The level can be changed while the service
//! runs.
//!
//! Left out on purpose: sending logs over a network, filters by module, colours.

mod line;

pub use line::utc;

use line::JsonLines;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

/// Lines on their way to the thread.
const QUEUE_MAX: usize = 16 * 1024;
/// How long lines gather before they are written together, and how many bytes: a wake-up and a write for each would
/// cost a busy service more than the lines themselves.
const GATHER: Duration = Duration::from_millis(5);
const TOGETHER_BYTES_MAX: usize = 256 * 1024;
/// Bytes of the file before it is set aside as `FILE.1`, in the place of the one before it.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line: `time`, `level`, `service`, `module`, `file`, `line`, `message`, `request` if there is one,
    /// and the event's fields.
    Json,
}

/// Neither `text` nor `json`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither text nor json")]
pub struct UnknownFormat(String);

impl std::str::FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::Text => "text",
            Format::Json => "json",
        })
    }
}

/// What a log is told before it starts.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The service's name in each line.
    pub service: &'static str,
    /// Less important lines are not written.
    pub level: Level,
    /// How lines are written.
    pub format: Format,
    /// A file that takes the lines too.
    pub file: Option<PathBuf>,
    /// The id of the request that the calling task answers.
    pub request: fn() -> Option<Arc<str>>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No thread could be started.
    #[error("a thread could not be started: {0}")]
    Thread(io::Error),
    /// There is a log already.
    #[error("this process has a log already")]
    Twice,
}

impl LogError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            LogError::File { .. } => "log_file",
            LogError::Thread(_) => "thread",
            LogError::Twice => "log_twice",
        }
    }
}

/// The log of this process. Dropping it writes what is on its way.
pub struct Logs {
    level: reload::Handle<LevelFilter, Registry>,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logs")
    }
}

impl Logs {
    /// Takes all lines of this process from now on.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn start(config: &LogConfig) -> Result<Logs, LogError> {
        let file = config.file.as_deref().map(Kept::open).transpose()?;
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let queue = Arc::new(Queue { sender, dropped: AtomicU64::new(0) });
        let told = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("dsm-log".to_owned())
            .spawn(move || write_lines(&receiver, file, &told))
            .map_err(LogError::Thread)?;
        let (filter, level) = reload::Layer::new(LevelFilter::from_level(config.level));
        let lines = fmt::layer().with_writer(Lines(Arc::clone(&queue))).with_ansi(false);
        let lines = match config.format {
            Format::Text => lines.boxed(),
            Format::Json => {
                lines.event_format(JsonLines { service: config.service, request: config.request }).boxed()
            }
        };
        tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| LogError::Twice)?;
        Ok(Logs { level, queue, thread: Some(thread) })
    }

    /// Writes lines of this level and above from now on.
    pub fn set_level(&self, level: Level) {
        // The subscriber is the process's and never goes away.
        drop(self.level.modify(|filter| *filter = LevelFilter::from_level(level)));
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        // The thread has ended if it does not take this; then there is nothing to wait for.
        drop(self.queue.sender.send(Item::End));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

enum Item {
    Line(Vec<u8>),
    End,
}

struct Queue {
    sender: SyncSender<Item>,
    dropped: AtomicU64,
}

/// Gives a line to the queue, or counts it.
#[derive(Clone)]
struct Lines(Arc<Queue>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

impl Write for Lines {
    /// The formatter hands over whole lines.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.sender.try_send(Item::Line(bytes.to_vec())).is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(receiver: &Receiver<Item>, mut file: Option<Kept>, queue: &Queue) {
    let (mut said, mut ended) = (0, false);
    while !ended {
        let Ok(Item::Line(mut lines)) = receiver.recv() else { return };
        std::thread::sleep(GATHER);
        while lines.len() < TOGETHER_BYTES_MAX && !ended {
            match receiver.try_recv() {
                Ok(Item::Line(line)) => lines.extend(line),
                Ok(Item::End) => ended = true,
                Err(_) => break,
            }
        }
        let dropped = queue.dropped.load(Ordering::Relaxed);
        if dropped > said {
            lines.extend(
                format!("{} log lines were dropped: nobody took them in time\n", dropped - said).bytes(),
            );
            said = dropped;
        }
        // A log that nobody reads is no reason to stop.
        drop(io::stderr().lock().write_all(&lines));
        if let Some(file) = &mut file {
            file.write(&lines);
        }
    }
}

/// A file of lines of bounded length.
struct Kept {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Kept {
    fn open(path: &Path) -> Result<Kept, LogError> {
        let failed = |source| LogError::File { path: path.to_path_buf(), source };
        let file = File::options().append(true).create(true).open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Kept { path: path.to_path_buf(), file, length })
    }

    fn write(&mut self, lines: &[u8]) {
        if self.length + lines.len() as u64 > FILE_BYTES_MAX {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".1");
            // If it cannot be set aside it grows: better than lines that are lost.
            if std::fs::rename(&self.path, aside).is_ok()
                && let Ok(fresh) = Kept::open(&self.path)
            {
                *self = fresh;
            }
        }
        if self.file.write_all(lines).is_ok() {
            self.length += lines.len() as u64;
        }
    }
}
