//! Machine: what /proc tells of this machine and of processes.
//!
//! Never: changes anything but the mark of a process's highest memory.

use std::fs;

/// The clock of the senders.
#[expect(clippy::disallowed_methods, reason = "a sender has its own clock")]
pub(crate) fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Ticks of /proc in a second; Linux shows 100 to everybody.
const TICKS: f64 = 100.0;

fn fields(path: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let after = text.rsplit_once(") ").map_or(text.as_str(), |(_, rest)| rest);
    after.split_whitespace().map(str::to_owned).collect()
}

/// Seconds of CPU that a process and its ended children have used.
pub(crate) fn cpu_of(pid: u32) -> f64 {
    let fields = fields(&format!("/proc/{pid}/stat"));
    let ticks: u64 =
        (11..15).filter_map(|at| fields.get(at).and_then(|field| field.parse::<u64>().ok())).sum();
    ticks as f64 / TICKS
}

/// Seconds that all cores together were busy, and seconds that passed on them.
pub(crate) fn cpu_of_all() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let all: f64 = ticks.iter().take(8).sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    ((all - idle) / TICKS, all / TICKS)
}

fn status_mib(pid: u32, key: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

/// Resident memory in MiB.
pub(crate) fn memory_of(pid: u32) -> f64 {
    status_mib(pid, "VmRSS:")
}

/// Highest resident memory in MiB since the last call of [`forget_peak_of`].
pub(crate) fn peak_of(pid: u32) -> f64 {
    status_mib(pid, "VmHWM:")
}

/// Begins to count the highest memory anew.
pub(crate) fn forget_peak_of(pid: u32) {
    drop(fs::write(format!("/proc/{pid}/clear_refs"), "5"));
}

/// The machine in one line.
pub(crate) fn description() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|l| l.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0);
    let rustc = std::process::Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    format!(
        "{cores} cores, {}, {:.0} GiB, Linux {}, {}",
        model.unwrap_or("CPU unknown"),
        memory / 1024.0 / 1024.0,
        kernel.trim(),
        if rustc.is_empty() { "rustc unknown" } else { &rustc }
    )
}
