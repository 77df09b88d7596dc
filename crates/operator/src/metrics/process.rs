//! Metrics of the process, by the names that every Prometheus client has, as the kernel tells them. What
//! cannot be read is absent.

use std::fmt::Write as _;
use std::fs;

use jiff::Timestamp;

use super::objects::seconds;

/// What the kernel counts CPU time in, per second: 100 for programs on every platform of Kubernetes.
const TICKS: f64 = 100.0;

/// All of them, as Prometheus reads them. The process was started at this time, UTC.
pub(super) fn text(started: Timestamp) -> String {
    let read = |file| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let (status, stat) = (read("status"), read("stat"));
    let open_fds = fs::read_dir("/proc/self/fd").map(|all| all.count() as f64).ok();
    let max_fds = value(&read("limits"), "Max open files");
    let metrics = [
        ("cpu_seconds_total", "counter", "CPU time used, in seconds", cpu_seconds(&stat)),
        ("max_fds", "gauge", "Files that may be open", max_fds),
        ("open_fds", "gauge", "Open files", open_fds),
        ("resident_memory_bytes", "gauge", "Memory in use", value(&status, "VmRSS:").map(|kib| kib * 1024.0)),
        ("start_time_seconds", "gauge", "When the process was started", Some(seconds(started))),
        ("threads", "gauge", "Threads", value(&status, "Threads:")),
        ("virtual_memory_bytes", "gauge", "Address space in use", value(&status, "VmSize:").map(|kib| kib * 1024.0)),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in metrics {
        let Some(value) = value else { continue };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}");
    }
    text
}

/// The first number of the line that begins with a word.
fn value(file: &str, word: &str) -> Option<f64> {
    let rest = file.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Time in user and in kernel mode: the 14th and 15th field. The second is a name, in parentheses, of any characters.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_as_it_writes_them() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1033 0 0 0 125 75 0 0 20 0 3 0 100 1000 200";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("42 (short) S 1"), None);
        let status = "Name:\tetcd\nVmSize:\t  2000 kB\nVmRSS:\t    1000 kB\nThreads:\t3\n";
        assert_eq!((value(status, "VmRSS:"), value(status, "Threads:")), (Some(1000.0), Some(3.0)));
        let limits = "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(value(limits, "Max open files"), Some(1024.0));
        assert_eq!(value("Max open files unlimited", "Max open files"), None);
    }

    #[test]
    fn this_process_tells_all_of_them() {
        let text = text(Timestamp::UNIX_EPOCH);
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 7, "{text}");
    }
}
