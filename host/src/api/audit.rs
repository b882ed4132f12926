//! The audit log in its file: lines come through a bounded queue to a thread of their own, which chains, writes and
//! syncs them.
//!
//! A request never waits for the audit log. What the queue or the disk had no room for is counted, and the log itself
//! says how many are missing. Refusals come in floods, so the same refusal of the same client is written once and
//! then summed up for a second; what changed something is written line by line.
//!
//! A full file is set aside as `audit.log.1`, the next as `audit.log.2`, and the chain goes on in a new one. Nothing is
//! ever removed: who wants the room moves the oldest files elsewhere and keeps them.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use dsm_gateway::{AuditError, Auditor, Told};
use dsm_sdk::api::AuditView;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines on their way to the thread.
const QUEUE_MAX: usize = 8192;
/// Lines written at once.
const GROUP_MAX: usize = 1024;
/// Bytes of a line: a path of 200 characters, a client's name of 64, hashes.
const LINE_BYTES_MAX: u64 = 16 * 1024;
/// Bytes after which a file is set aside.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// How long like refusals are summed up, and how long written lines wait for a sync.
const INTERVAL: Duration = Duration::from_secs(1);
/// Clients whose refusals are summed up apart; those of others are summed up together.
const CLIENTS_MAX: usize = 64;

/// What kind of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not told: it was answered and changed nothing.
    Passed,
    /// It may have changed something.
    Told,
    /// The door refused it.
    Refused,
}

/// Why an audit log cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum AuditOpenError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its last whole line is no entry, or was edited.
    #[error("{path}: the last line is not one that this log can continue from: {source}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AuditError,
    },
    /// No thread could be started.
    #[error("a thread could not be started: {0}")]
    Thread(io::Error),
}

impl AuditOpenError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            AuditOpenError::Io { .. } => "audit_io",
            AuditOpenError::Damaged { .. } => "audit_damaged",
            AuditOpenError::Thread(_) => "thread",
        }
    }
}

/// An open audit log. Clones share it.
#[derive(Debug, Clone)]
pub struct Audit(Arc<Open>);

#[derive(Debug)]
struct Open {
    sender: Mutex<Option<Sender<(Kind, Told)>>>,
    state: Arc<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct State {
    last: Mutex<(u64, String)>,
    dropped: AtomicU64,
}

impl Audit {
    /// Continues the log in `path`, or begins one. A last line without its end is the work of a crash: it is cut, and
    /// the next line says so.
    ///
    /// # Errors
    /// [`AuditOpenError`].
    pub fn open(path: &Path) -> Result<Audit, AuditOpenError> {
        Audit::open_in_files(path, FILE_BYTES_MAX)
    }

    /// The same with files of other sizes.
    ///
    /// # Errors
    /// [`AuditOpenError`].
    pub fn open_in_files(path: &Path, file_bytes_max: u64) -> Result<Audit, AuditOpenError> {
        let io = |source| AuditOpenError::Io { path: path.to_path_buf(), source };
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let (length, torn, mut line) = tail(&mut file).map_err(io)?;
        let aside = files_aside(path).map_err(io)?;
        if line.is_none()
            && let Some((_, last)) = aside.last()
        {
            // A file set aside ends with a whole line; one that does not was cut by somebody, and no chain goes on.
            line = tail(&mut File::open(last).map_err(io)?).map_err(io)?.2.or_else(|| Some(String::new()));
        }
        let auditor = match line {
            Some(line) => Auditor::after(&line)
                .map_err(|source| AuditOpenError::Damaged { path: path.to_path_buf(), source })?,
            None => Auditor::default(),
        };
        file.set_len(length).map_err(io)?;
        file.seek(SeekFrom::Start(length)).map_err(io)?;
        let (sender, receiver) = bounded(QUEUE_MAX);
        let last = Mutex::new((auditor.sequence(), auditor.last().to_owned()));
        let state = Arc::new(State { last, dropped: AtomicU64::new(0) });
        let mut writer = Writer {
            file,
            path: path.to_path_buf(),
            file_bytes_max,
            aside: aside.last().map_or(0, |(number, _)| *number),
            length,
            auditor,
            state: Arc::clone(&state),
            floods: BTreeMap::new(),
            missing: 0,
            synced: Instant::now(),
            unsynced: false,
        };
        if torn > 0 {
            writer.write(vec![own("audit_torn_line_cut", torn)]);
        }
        let thread = std::thread::Builder::new()
            .name("dsm-audit".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(AuditOpenError::Thread)?;
        Ok(Audit(Arc::new(Open {
            sender: Mutex::new(Some(sender)),
            state,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Tells the log. Never waits.
    pub(super) fn tell(&self, kind: Kind, told: Told) {
        let sender = self.0.sender.lock();
        let sent = sender.as_ref().is_some_and(|sender| sender.try_send((kind, told)).is_ok());
        if !sent {
            self.0.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How the log stands.
    pub fn view(&self) -> AuditView {
        let (entries, last) = self.0.state.last.lock().clone();
        AuditView { entries, last, dropped: self.0.state.dropped.load(Ordering::Relaxed) }
    }

    /// Writes what is on its way, syncs, and takes nothing more.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Open {
    fn close(&self) {
        self.sender.lock().take();
        if let Some(thread) = self.thread.lock().take() {
            thread.join().expect("the audit thread does not panic");
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}

/// The name of a file that is set aside.
fn file_aside(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The files of a log that were set aside, the oldest first, with their numbers.
///
/// # Errors
/// What the system says of the folder.
pub fn files_aside(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let name = file?.file_name();
        let ours =
            path.file_name().and_then(|own| name.to_str()?.strip_prefix(own.to_str()?)?.strip_prefix('.'));
        if let Some(number) = ours.and_then(|number| number.parse().ok()) {
            files.push((number, file_aside(path, number)));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Where the whole lines end, how many bytes stand behind them, and the last of them.
fn tail(file: &mut File) -> io::Result<(u64, u64, Option<String>)> {
    let length = file.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(2 * LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        // No line fits the space of two: it is no log, and the reader of the last line says so.
        let text = (start > 0).then(|| String::from_utf8_lossy(&bytes).into_owned());
        return Ok((if start > 0 { length } else { 0 }, if start > 0 { 0 } else { length }, text));
    };
    let begin = bytes[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = String::from_utf8_lossy(&bytes[begin..end]).into_owned();
    let whole = start + end as u64 + 1;
    Ok((whole, length - whole, Some(line)))
}

/// A line of the log about itself.
fn own(code: &str, times: u64) -> Told {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Told {
        time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        request: String::new(),
        client: "node".to_owned(),
        method: String::new(),
        path: String::new(),
        status: 0,
        code: Some(code.to_owned()),
        times,
    }
}

/// Client, status and code of a refusal.
type Flood = (String, u16, Option<String>);

/// The thread that writes.
struct Writer {
    file: File,
    path: PathBuf,
    file_bytes_max: u64,
    /// The number of the last file that was set aside.
    aside: u64,
    /// Bytes of whole lines.
    length: u64,
    auditor: Auditor,
    state: Arc<State>,
    /// Refusals that were told in this interval, with what came since.
    floods: BTreeMap<Flood, (Instant, Option<Told>)>,
    /// Dropped lines that the log has told of.
    missing: u64,
    synced: Instant,
    unsynced: bool,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<(Kind, Told)>) {
        loop {
            let mut group = Vec::new();
            let ended = match receiver.recv_timeout(INTERVAL / 4) {
                Ok(first) => {
                    for (kind, told) in std::iter::once(first).chain(receiver.try_iter()).take(GROUP_MAX) {
                        group.extend(self.take(kind, told));
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            group.extend(self.ebb(ended));
            let dropped = self.state.dropped.load(Ordering::Relaxed);
            if dropped > self.missing {
                group.push(own("audit_dropped", dropped - self.missing));
                self.missing = dropped;
            }
            self.write(group);
            if self.length >= self.file_bytes_max
                && let Err(error) = self.set_aside()
            {
                tracing::error!(%error, "the full audit log cannot be set aside and grows on");
            }
            if self.unsynced && (ended || self.synced.elapsed() >= INTERVAL) {
                // What could not be synced stays unsynced: the next interval tries again.
                self.unsynced = self.file.sync_data().is_err();
                self.synced = Instant::now();
            }
            if ended {
                return;
            }
        }
    }

    /// Puts the full file aside and goes on in a new one. After an error the old one goes on.
    fn set_aside(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let number = self.aside + 1;
        let name = file_aside(&self.path, number);
        // The last lines of another log would be lost under it.
        if name.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        std::fs::rename(&self.path, &name)?;
        let fresh = File::options().write(true).create_new(true).open(&self.path);
        self.file = fresh.inspect_err(|_| drop(std::fs::rename(&name, &self.path)))?;
        (self.aside, self.length, self.unsynced) = (number, 0, false);
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// What is written of a line now.
    fn take(&mut self, kind: Kind, mut told: Told) -> Option<Told> {
        if kind != Kind::Refused {
            return Some(told);
        }
        let mut flood = (told.client.clone(), told.status, told.code.clone());
        if self.floods.len() >= CLIENTS_MAX && !self.floods.contains_key(&flood) {
            "others".clone_into(&mut told.client);
            flood.0.clone_from(&told.client);
        }
        match self.floods.get_mut(&flood) {
            None => {
                self.floods.insert(flood, (Instant::now(), None));
                Some(told)
            }
            Some((_, more)) => {
                told.times += more.as_ref().map_or(0, |told| told.times);
                *more = Some(told);
                None
            }
        }
    }

    /// The sums of floods whose interval is over.
    fn ebb(&mut self, all: bool) -> Vec<Told> {
        let mut sums = Vec::new();
        self.floods.retain(|_, (since, more)| {
            if !all && since.elapsed() < INTERVAL {
                return true;
            }
            *since = Instant::now();
            // Who was silent for an interval is told at once the next time.
            more.take().map(|told| sums.push(told)).is_some()
        });
        sums
    }

    /// Appends lines; what the disk does not take is as if it had never been told, and counted.
    fn write(&mut self, group: Vec<Told>) {
        if group.is_empty() {
            return;
        }
        let mut auditor = self.auditor.clone();
        let count = group.len() as u64;
        let text: String = group.into_iter().map(|told| auditor.line(told)).collect();
        match self.file.write_all(text.as_bytes()) {
            Ok(()) => {
                self.length += text.len() as u64;
                *self.state.last.lock() = (auditor.sequence(), auditor.last().to_owned());
                self.auditor = auditor;
                self.unsynced = true;
            }
            Err(error) => {
                tracing::error!(%error, lines = count, "the audit log takes nothing");
                self.state.dropped.fetch_add(count, Ordering::Relaxed);
                // Half a line would break the chain for every reader.
                let cut = self
                    .file
                    .set_len(self.length)
                    .and_then(|()| self.file.seek(SeekFrom::Start(self.length)).map(drop));
                if let Err(error) = cut {
                    tracing::error!(%error, "a torn line stands in the audit log");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(request: u64) -> Told {
        Told { request: format!("r{request}"), ..own("told", 1) }
    }

    #[test]
    fn the_chain_goes_on_over_full_files_and_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut request = 0;
        for start in 0..3 {
            let audit = Audit::open_in_files(&path, 1000).unwrap();
            for _ in 0..20 {
                request += 1;
                audit.tell(Kind::Told, told(request));
                // Each line is a group of its own, so that files are set aside in between.
                while audit.view().entries < request {
                    std::thread::yield_now();
                }
            }
            audit.close();
            if start == 1 {
                // A crash between setting aside and beginning a new file.
                let last = files_aside(&path).unwrap().last().unwrap().0;
                match std::fs::metadata(&path).unwrap().len() {
                    0 => std::fs::remove_file(&path).unwrap(),
                    _ => std::fs::rename(&path, file_aside(&path, last + 1)).unwrap(),
                }
            }
        }
        let files = files_aside(&path).unwrap();
        assert!(files.len() > 5 && files.iter().map(|(number, _)| *number).eq(1..=files.len() as u64));
        let mut auditor = Auditor::default();
        for file in files.iter().map(|(_, file)| file).chain([&path]) {
            auditor.next_file();
            std::fs::read_to_string(file).unwrap().lines().for_each(|line| auditor.check(line).unwrap());
        }
        assert_eq!(auditor.sequence(), 60);
    }
}
