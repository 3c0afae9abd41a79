//! How much memory the processes of a run had at most, as the kernel counts it, and what they may have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::scene::{Running, children_of, is_connector};

/// What the runtime may have beside its tasks' documents.
const RUNTIME_BYTES: u64 = 60_000_000;
/// Documents in memory, of one task.
const TASK_BYTES: u64 = 64 << 20;
/// A peak lasts longer in the kernel's books than between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The most memory that each process of a run was seen to have, in bytes.
#[derive(Debug, Default)]
pub struct Peaks {
    /// Of the runtime.
    pub runtime_bytes: u64,
    /// Of its connectors, by the name of the process (which the kernel cuts to 15 bytes).
    pub connectors_bytes: BTreeMap<String, u64>,
}

/// What the runtime's memory may come to with so many tasks: the budget and a tenth.
#[must_use]
pub fn runtime_max_bytes(tasks: u64) -> u64 {
    (RUNTIME_BYTES + 2 * TASK_BYTES * tasks) / 10 * 11
}

impl Peaks {
    /// Watches a run until it ends.
    #[must_use]
    pub fn of(running: &mut Running) -> Self {
        Self::until(running, || false)
    }

    /// Watches a run until it ends or a condition holds.
    #[must_use]
    pub fn until(running: &mut Running, mut condition: impl FnMut() -> bool) -> Self {
        let (mut peaks, process) = (Self::default(), running.id());
        let mut looked = Instant::now();
        running.wait_until(|| {
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                peaks.look(process);
            }
            condition()
        });
        peaks
    }

    fn look(&mut self, runtime: u32) {
        if let Some((_, bytes)) = peak(runtime) {
            self.runtime_bytes = self.runtime_bytes.max(bytes);
        }
        // A child that has not become a connector yet still shows the runtime's memory.
        let connectors = children_of(runtime).into_iter().filter(|&child| is_connector(child));
        for (name, bytes) in connectors.filter_map(peak) {
            let most = self.connectors_bytes.entry(name).or_default();
            *most = bytes.max(*most);
        }
    }
}

/// Name and peak of a process in bytes, while it runs.
#[must_use]
pub fn peak(process: u32) -> Option<(String, u64)> {
    Some((field(process, "Name:")?, bytes(process, "VmHWM:")?))
}

/// What a process has in memory now, in bytes; 0: it has ended.
#[must_use]
pub fn resident_bytes(process: u32) -> u64 {
    bytes(process, "VmRSS:").unwrap_or(0)
}

/// How many threads a process has; 0: it has ended.
#[must_use]
pub fn threads(process: u32) -> usize {
    field(process, "Threads:").and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// How many files, pipes and sockets a process has open; 0: it has ended.
#[must_use]
pub fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

fn bytes(process: u32, name: &str) -> Option<u64> {
    let kibibytes: u64 = field(process, name)?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// Of what the kernel tells of a process.
fn field(process: u32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
}
