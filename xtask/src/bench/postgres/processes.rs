//! What processes of a tree use, as the kernel accounts for it.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::memory::{children, resident_mb};

const LOOKED_EVERY: Duration = Duration::from_millis(50);

/// CPU seconds of a process, of those it has waited for, and of its children that run; in ticks of 10 ms.
pub(super) fn cpu_s(process: u32) -> f64 {
    let ticks = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The second field is a name in parentheses that may hold anything; count behind it.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(4);
        fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()
    };
    let running: u64 = children(process).into_iter().map(ticks).sum();
    (ticks(process) + running) as f64 / 100.0
}

/// The most that our children and those below them hold at once, until it is done; `except` is not counted. Pages that two of them share
/// count twice.
pub(super) fn peak_mb(except: u32, is_done: &AtomicBool) -> f64 {
    let mut most: f64 = 0.0;
    while !is_done.load(Ordering::Relaxed) {
        let ours = children(std::process::id()).into_iter().filter(|process| *process != except);
        most = most.max(ours.map(tree_mb).sum());
        std::thread::sleep(LOOKED_EVERY);
    }
    most
}

fn tree_mb(process: u32) -> f64 {
    resident_mb(process) + children(process).into_iter().map(tree_mb).sum::<f64>()
}
