//! What this process uses of its machine, as metric families that every service of DSM shows under the same names.
//!
//! Linux tells it in `/proc/self`; elsewhere there are no families. Left out: anything about the machine as a whole,
//! which a node exporter tells.

use std::fmt::Write as _;
use std::fs;

/// Clock ticks a second in `/proc/self/stat`: fixed by the kernel's interface on every machine that Rust's tier 1 has.
const TICKS_PER_SECOND: f64 = 100.0;
/// Fields of `/proc/self/stat` behind the name in parentheses, counted from 0.
const USER: usize = 11;
const SYSTEM: usize = 12;
const START: usize = 19;

/// The families in OpenMetrics text, without the end mark; nothing where the system does not tell.
pub fn families() -> String {
    families_below("/proc").unwrap_or_default()
}

fn families_below(proc: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("{proc}/self/stat")).ok()?;
    // The name may hold anything, parentheses and blanks too.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    let machine = fs::read_to_string(format!("{proc}/stat")).ok()?;
    let booted: f64 = word(&machine, "btime ")?.parse().ok()?;
    let status = fs::read_to_string(format!("{proc}/self/status")).ok()?;
    let kib = |name: &str| word(&status, name)?.parse::<u64>().ok();
    let limits = fs::read_to_string(format!("{proc}/self/limits")).ok()?;
    let open = fs::read_dir(format!("{proc}/self/fd")).ok()?.count();

    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, suffix: &str, value: f64| {
        writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {help}\n{name}{suffix} {value}").ok()
    };
    let cpu = (ticks(USER)? + ticks(SYSTEM)?) / TICKS_PER_SECOND;
    family("process_cpu_seconds", "counter", "Processor time used.", "_total", cpu)?;
    let started = booted + ticks(START)? / TICKS_PER_SECOND;
    family("process_start_time_seconds", "gauge", "When the process started, since 1970.", "", started)?;
    let resident = (kib("VmRSS:")? * 1024) as f64;
    family("process_resident_memory_bytes", "gauge", "Memory in use.", "", resident)?;
    family("process_threads", "gauge", "Threads.", "", kib("Threads:")? as f64)?;
    family("process_open_fds", "gauge", "Open files and sockets.", "", open as f64)?;
    // "unlimited" has no number, and no family.
    if let Some(most) = word(&limits, "Max open files").and_then(|word| word.parse().ok()) {
        family("process_max_fds", "gauge", "Files and sockets that may be open.", "", most)?;
    }
    Some(text)
}

/// The first word behind `name` at the beginning of a line.
fn word<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let text = families();
        if !cfg!(target_os = "linux") {
            return;
        }
        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_threads",
            "process_open_fds",
        ] {
            let value: f64 = word(&text, name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap();
            assert!(value > 0.0 || name.contains("cpu"), "{name} {value}");
        }
    }

    #[test]
    fn a_process_may_be_called_anything() {
        let folder = tempfile::tempdir().unwrap();
        let proc = folder.path();
        fs::create_dir_all(proc.join("self/fd")).unwrap();
        for (file, text) in [
            ("self/stat", "7 (a) 99 (b) S 1 7 7 0 -1 0 0 0 0 0 250 50 0 0 20 0 3 0 1000 0 0"),
            ("stat", "cpu  1 2 3\nbtime 1700000000\n"),
            ("self/status", "Name:\ta) 99 (b\nVmRSS:\t    2048 kB\nThreads:\t3\n"),
            ("self/limits", "Max open files            unlimited            1024        files\n"),
        ] {
            fs::write(proc.join(file), text).unwrap();
        }
        let text = families_below(proc.to_str().unwrap()).unwrap();
        for line in [
            "process_cpu_seconds_total 3",
            "process_start_time_seconds 1700000010",
            "process_resident_memory_bytes 2097152",
            "process_threads 3",
            "process_open_fds 0",
        ] {
            assert!(text.lines().any(|one| one == line), "no {line} in {text}");
        }
        assert!(!text.contains("process_max_fds"), "no limit is no number");
        assert_eq!(families_below("/nowhere"), None);
    }
}
