//! What a process has used so far, by the kernel's account.

use anyhow::{Context, Result};
use greenlight_test_cluster::Process;

/// How much memory it takes at this moment.
pub(crate) fn resident_megabytes(process: &Process) -> Result<f64> {
    megabytes(process, "VmRSS:")
}

/// The most that it has taken.
pub(super) fn peak_megabytes(process: &Process) -> Result<f64> {
    megabytes(process, "VmHWM:")
}

/// What of its memory is its own at this moment (heap, stacks, and what it has written to of its file), and what is pages of its file that it has used.
pub(super) fn kinds_of_memory(process: &Process) -> Result<[(&'static str, f64); 2]> {
    Ok([("own MB", megabytes(process, "RssAnon:")?), ("file MB", megabytes(process, "RssFile:")?)])
}

fn megabytes(process: &Process, key: &str) -> Result<f64> {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", process.pid()?)).context("the process has ended")?;
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0)
}

/// CPU time so far, of all threads that live.
pub(super) fn cpu_ms(process: &Process) -> Result<f64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid()?)).context("the process has ended")?;
    let mut nanoseconds = 0.0;
    for task in tasks {
        // A thread may end meanwhile.
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += text.split_whitespace().next().and_then(|time| time.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(nanoseconds / 1e6)
}
