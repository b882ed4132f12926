//! The binary `dsm` as a process of its own, what it uses, and the few questions that are put to it besides submissions.

use super::Sample;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at what the process uses.
const LOOK: Duration = Duration::from_millis(250);
/// Clock ticks a second in `/proc/PID/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running node; killed when it is dropped.
pub struct NodeProcess {
    child: Child,
    address: SocketAddr,
    watching: Arc<AtomicBool>,
    watch: Option<JoinHandle<Vec<Sample>>>,
}

impl NodeProcess {
    /// Starts the release build of `dsm` on a data directory. Its log goes to a file, as a service's does.
    pub fn start(data: &Path) -> NodeProcess {
        let log = std::fs::File::create(data.join("stderr.log")).expect("the data directory can be written");
        let mut child = Command::new(binary())
            .args(["--json", "node", "--p2p", "none", "--log-format", "json", "--listen", "127.0.0.1:0"])
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the node starts");
        let mut banner = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut banner).expect("the node tells where it listens");
        let address = between(&banner, "\"url\":\"http://", "\"").and_then(|text| text.parse().ok());
        let Some(address) = address else {
            // Not left behind: a child outlives its parent's panic.
            child.kill().expect("it runs");
            panic!("the node's banner is {banner:?}");
        };
        let watching = Arc::new(AtomicBool::new(true));
        let watch = watch(child.id(), Arc::clone(&watching));
        NodeProcess { child, address, watching, watch: Some(watch) }
    }

    /// Where the API is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how much the node logs.
    pub fn set_log_level(&self, level: &str) {
        let body = format!("{{\"set\":{{\"log-level\":[\"{level}\"]}}}}");
        let answer = self.ask(&format!(
            "POST /v1/config HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// A histogram that the node keeps, by its name.
    pub fn histogram(&self, name: &str) -> Histogram {
        let page = self.ask("GET /metrics HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        let bucket = |line: &str| {
            let bucket = line.strip_prefix(name)?.strip_prefix("_bucket{le=\"")?;
            let (bound, count) = bucket.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.parse().ok()?))
        };
        Histogram(page.lines().filter_map(bucket).collect())
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the node answers");
        stream.write_all(request.as_bytes()).expect("the node reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the node answers in text");
        answer
    }

    /// What the process used all the time; it is killed, which a node survives.
    pub fn stop(mut self) -> Vec<Sample> {
        self.watching.store(false, Ordering::Relaxed);
        self.watch.take().expect("stopped once").join().expect("the watch does not panic")
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `target/release/dsm`, beside this bench's folder.
fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("the system tells");
    let folder = own.parent().and_then(Path::parent).expect("a bench lies in target/release/deps");
    let binary = folder.join("dsm");
    assert!(binary.exists(), "build it first: cargo build --release -p dsm-host");
    binary
}

fn watch(pid: u32, watching: Arc<AtomicBool>) -> JoinHandle<Vec<Sample>> {
    std::thread::spawn(move || {
        let mut samples = Vec::new();
        while watching.load(Ordering::Relaxed) {
            let used = (resident(pid), cpu(&pid.to_string()), cpu("self"));
            if let (Some(resident_bytes), Some(cpu_s), Some(clients_cpu_s)) = used {
                samples.push(Sample { at: Instant::now(), resident_bytes, cpu_s, clients_cpu_s });
            }
            std::thread::sleep(LOOK);
        }
        samples
    })
}

fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn cpu(pid: &str) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// How long something took: bounds in seconds, and how many were not longer.
#[derive(Debug, Clone)]
pub struct Histogram(Vec<(f64, u64)>);

impl Histogram {
    /// What came after an earlier look.
    pub fn since(&self, before: &Histogram) -> Histogram {
        let pairs = self.0.iter().zip(&before.0);
        Histogram(pairs.map(|((bound, now), (_, then))| (*bound, now - then)).collect())
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// A bound in seconds that such a part did not exceed.
    pub fn bound(&self, part: f64) -> f64 {
        let all = self.count() as f64;
        self.0.iter().find(|(_, count)| *count as f64 >= all * part).map_or(0.0, |(bound, _)| *bound)
    }
}
