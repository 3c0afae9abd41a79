//! M1: how much memory the runtime holds: idle, with one task saturated, and for each idle task more. Connectors are processes of their own and
//! are shown beside it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Better, Bins, Figure, NullFlow, remove, scratch, spread, write};
use crate::Problem;

/// Tasks beyond the first in the catalog of many.
const MORE_TASKS: u64 = 100;
const RUNS: usize = 5;
const SETTLED: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn resident(bins: &Bins) -> Result<Figure, Problem> {
    println!("{:>6} {:>9} {:>14} {:>14} {:>20}", "run", "idle MB", "saturated MB", "idle task MB", "a connector MB");
    let (mut idle, mut saturated, mut each, mut connectors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=RUNS {
        let (one, connector) = idle_with(bins, 1)?;
        let (many, _) = idle_with(bins, 1 + MORE_TASKS)?;
        let full = one_saturated(bins)?;
        let a_task = (many - one) / MORE_TASKS as f64;
        println!("{turn:>6} {one:>9.1} {full:>14.1} {a_task:>14.2} {connector:>20.1}");
        idle.push(one);
        saturated.push(full);
        each.push(a_task);
        connectors.push(connector);
    }
    let aa = idle.last().copied().unwrap_or(1.0) / idle.first().copied().unwrap_or(1.0);
    let (idle, saturated, each) = (spread(idle), spread(saturated), spread(each));
    let met = saturated.median <= 250.0 && each.median <= 5.0;
    let more = json!({
        "of": "idle; the floor is met when all three are",
        "saturated_mb": saturated.median, "saturated_floor": 250, "saturated_goal": 120,
        "idle_task_mb": each.median, "idle_task_floor": 5, "idle_task_goal": 1,
        "connector_mb": spread(connectors).median,
    });
    Ok(Figure { ratio: idle, aa, better: Better::Lower, also: met, floor: 60.0, goal: 25.0, unit: Some("MB"), more })
}

/// Of a runtime with so many captures that have nothing to do, and of one of its connectors.
fn idle_with(bins: &Bins, captures: u64) -> Result<(f64, f64), Problem> {
    let directory = scratch()?;
    let mut catalog = String::from("captures:\n");
    for n in 0..captures {
        catalog += &format!(
            "  c{n}: {{ connector: generator, config: {{ count: 1 }}, bindings: [{{ resource: {{ stream: s }}, collection: d{n} }}] }}\n"
        );
    }
    catalog += "collections:\n";
    for n in 0..captures {
        catalog += &format!("  d{n}: {{ key: [/id] }}\n");
    }
    write(&directory.join("bench.yaml"), &catalog)?;
    let runtime = Runtime::start(bins, &directory)?;
    runtime.wait_until("every task has nothing more to do", || {
        let output =
            bins.command("longshore").current_dir(&directory).args(["status", "--json", "bench.yaml"]).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let objects = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let at_rest = |task: &Value| task["type"] == "task" && task["transactions"].as_u64() >= Some(1);
        objects.filter(at_rest).count() as u64 == captures
    })?;
    let memory = runtime.settled()?;
    let connector = children(runtime.0.id()).into_iter().map(resident_mb).max_by(f64::total_cmp).unwrap_or(0.0);
    drop(runtime);
    remove(&directory)?;
    Ok((memory, connector))
}

/// The most of a runtime through which documents of 200 bytes go as fast as they can.
fn one_saturated(bins: &Bins) -> Result<f64, Problem> {
    let directory = scratch()?;
    let flow = NullFlow { bytes: 200, in_batch: 5_000, count: 800, bindings: 1, per_checkpoint: 1 };
    write(&directory.join("bench.yaml"), &flow.catalog())?;
    let mut runtime = Runtime::start_with(bins, &directory, &["run", "--until", "caught-up", "-q", "bench.yaml"])?;
    let mut most: f64 = 0.0;
    let begun = Instant::now();
    while runtime.is_running()? && begun.elapsed() < LIMIT {
        most = most.max(status_mb(runtime.0.id(), "VmHWM:"));
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(runtime);
    remove(&directory)?;
    Ok(most)
}

/// A process that ends with this value.
pub(super) struct Runtime(Child);

impl Runtime {
    pub(super) fn start(bins: &Bins, directory: &Path) -> Result<Self, Problem> {
        Self::start_with(bins, directory, &["run", "-q", "bench.yaml"])
    }

    fn start_with(bins: &Bins, directory: &Path, words: &[&str]) -> Result<Self, Problem> {
        let mut command = bins.command("longshore");
        let child = command.current_dir(directory).args(words).stdout(Stdio::null()).spawn();
        child.map(Self).map_err(|error| Problem(format!("cannot start longshore: {error}")))
    }

    fn is_running(&mut self) -> Result<bool, Problem> {
        let ended = self.0.try_wait().map_err(|error| Problem(format!("cannot watch longshore: {error}")))?;
        Ok(ended.is_none())
    }

    fn wait_until(&self, what: &str, holds: impl Fn() -> bool) -> Result<(), Problem> {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            if holds() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(Problem(format!("waited {} s, and it never came: {what}", LIMIT.as_secs())))
    }

    /// What it holds when that does not change any more.
    fn settled(&self) -> Result<f64, Problem> {
        let begun = Instant::now();
        let (mut last, mut since) = (resident_mb(self.0.id()), Instant::now());
        while since.elapsed() < SETTLED && begun.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(50));
            let now = resident_mb(self.0.id());
            if (now - last).abs() > 0.5 {
                (last, since) = (now, Instant::now());
            }
        }
        if last > 0.0 { Ok(last) } else { Err(Problem("the runtime is gone".into())) }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        if asked.is_err() {
            self.0.kill().ok();
        }
        self.0.wait().ok();
    }
}

/// Those that a process has started and not waited for.
pub(super) fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    children.flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

pub(super) fn resident_mb(process: u32) -> f64 {
    status_mb(process, "VmRSS:")
}

/// Of a process that is gone, nothing.
fn status_mb(process: u32, line: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib = text.lines().find_map(|one| one.strip_prefix(line)?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}
