//! `cargo xtask bench NAME`: one workload, a table, and one JSON line at the end.
//!
//! Figures are ratios of two things measured in turn in the same run; an A/A pair beside them tells how much of a ratio is noise. It exits 0
//! whenever it measured; whether the floor was met is in the line. What is measured is what users run: the release profile.

mod bindings;
mod image;
mod import;
mod lake;
mod memory;
mod postgres;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::{Problem, release_binaries, target_dir};

/// Documents of one batch, in bytes; the yardstick's are the same.
const BATCH_BYTES: u64 = 1_000_000;
/// How often A and B alternate.
const PAIRS: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Wanted {
    /// R1 (CPU a document), R3 (commit latency), B1 (cold start), S7 (CSV into SQLite), M1 (memory), K1 (many bindings), S1 and S3 (snapshot from
    /// PostgreSQL into PostgreSQL, mixed columns or 1 kB of JSON), C1 (changes of PostgreSQL into nothing), C3 (into PostgreSQL), C4 (latency from
    /// PostgreSQL to PostgreSQL), parquet (CSV into Parquet) or image (start of a container)
    name: String,
    /// So many rows or changes, where it is about these (S1, S3, C1, C3, C4); fewer for a trial
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// Programs of this directory instead of a release build, to try a benchmark out: the figures mean nothing
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

enum Workload {
    Whole(fn(&Bins) -> Result<Figure, Problem>),
    /// Of as many rows or changes as are wanted; else of so many.
    OfRows(fn(&Bins, u64) -> Result<Figure, Problem>, u64),
}

pub(crate) fn bench(wanted: &Wanted) -> Result<ExitCode, Problem> {
    let name = wanted.name.as_str();
    let workload = match name {
        "R1" => Workload::Whole(r1),
        "R3" => Workload::Whole(r3),
        "B1" => Workload::Whole(b1),
        "S7" => Workload::Whole(import::csv_into_sqlite),
        "M1" => Workload::Whole(memory::resident),
        "K1" => Workload::Whole(bindings::many),
        "S1" => Workload::OfRows(postgres::mixed_rows, 1_000_000),
        "S3" => Workload::OfRows(postgres::wide_json, 1_000_000),
        "C1" => Workload::OfRows(postgres::changes_into_nothing, 1_000_000),
        "C3" => Workload::OfRows(postgres::changes_into_postgres, 1_000_000),
        "C4" => Workload::OfRows(postgres::commit_to_commit, 20_000),
        "parquet" => Workload::Whole(lake::csv_into_parquet),
        "image" => Workload::Whole(image::start),
        other => {
            return Err(Problem(format!(
                "no benchmark {other}: expected R1, R3, B1, S7, M1, K1, S1, S3, C1, C3, C4, parquet or image"
            )));
        }
    };
    if wanted.rows.is_some() && matches!(workload, Workload::Whole(_)) {
        return Err(Problem(format!("{name} is not about rows: leave out --rows")));
    }
    let programs = wanted.programs.as_deref().map(std::path::absolute).transpose();
    let programs = programs.map_err(|error| Problem(format!("cannot find the programs: {error}")))?;
    let bins = Bins(programs.map_or_else(release_binaries, Ok)?);
    machine();
    let figure = match workload {
        Workload::Whole(measure) => measure(&bins)?,
        Workload::OfRows(measure, rows) => measure(&bins, wanted.rows.unwrap_or(rows))?,
    };
    let mut line = figure.line(name);
    if wanted.rows.is_some() || wanted.programs.is_some() {
        line["trial"] = json!(true);
    }
    println!("{line}");
    Ok(ExitCode::SUCCESS)
}

struct Bins(PathBuf);

impl Bins {
    fn command(&self, name: &str) -> Command {
        Command::new(self.0.join(name))
    }
}

/// What a benchmark found.
struct Figure {
    ratio: Spread,
    aa: f64,
    better: Better,
    /// What else has to hold for its floor.
    also: bool,
    floor: f64,
    goal: f64,
    unit: Option<&'static str>,
    more: Value,
}

/// Which figures are good ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Lower,
    Higher,
}

impl Figure {
    fn line(&self, name: &str) -> Value {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let (better, floor_met) = match self.better {
            Better::Lower => ("lower", self.ratio.median <= self.floor),
            Better::Higher => ("higher", self.ratio.median >= self.floor),
        };
        let mut line = json!({
            "bench": name,
            "ratio": round(self.ratio.median),
            "min": round(self.ratio.min),
            "max": round(self.ratio.max),
            "aa": round(self.aa),
            "better": better,
            "floor": self.floor,
            "goal": self.goal,
            "floor_met": floor_met && self.also,
        });
        if let Some(unit) = self.unit {
            line["unit"] = json!(unit);
        }
        line["more"] = self.more.clone();
        line
    }
}

#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    Spread { median: values[values.len() / 2], min: values[0], max: values[values.len() - 1] }
}

fn machine() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let sync_us = scratch().and_then(|directory| {
        let sync_us = fdatasync_us(&directory)?;
        remove(&directory).map(|()| sync_us)
    });
    println!("cores {cores}, load average {load}, fdatasync p50 {:.0} µs", sync_us.unwrap_or(f64::NAN));
}

/// How long a small write takes to be durable on the disk of a directory.
fn fdatasync_us(directory: &Path) -> Result<f64, Problem> {
    let failed = |error: std::io::Error| Problem(format!("cannot measure fdatasync: {error}"));
    let mut file = fs::File::create(directory.join("sync")).map_err(failed)?;
    let mut took = Vec::new();
    for _ in 0..50 {
        file.write_all(&[7; 4096]).map_err(failed)?;
        let begun = Instant::now();
        file.sync_data().map_err(failed)?;
        took.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(directory.join("sync")).map_err(failed)?;
    Ok(spread(took).median)
}

/// R1: CPU time a document, null capture → runtime → null materialization, against a raw tonic stream of the same bytes and batches.
fn r1(bins: &Bins) -> Result<Figure, Problem> {
    println!(
        "{:>8} {:>10} {:>14} {:>14} {:>7} {:>15}",
        "bytes", "documents", "longshore ns", "raw tonic ns", "ratio", "min … max"
    );
    let mut worst: Option<(Spread, f64)> = None;
    let mut sizes = Vec::new();
    for (bytes, documents) in [(200_u64, 4_000_000_u64), (1_400, 800_000), (10_000, 120_000)] {
        let (mut ratios, mut ours, mut raws, mut noise) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            let raw = raw_stream(bins, bytes, documents)?;
            let our = null_to_null(bins, bytes, documents)?;
            noise.push(raw_stream(bins, bytes, documents)? / raw);
            ratios.push(our / raw);
            ours.push(our);
            raws.push(raw);
        }
        let (ratio, ours, raws, aa) = (spread(ratios), spread(ours), spread(raws), spread(noise).median);
        println!(
            "{bytes:>8} {documents:>10} {:>14.0} {:>14.0} {:>7.2} {:>15}",
            ours.median,
            raws.median,
            ratio.median,
            format!("{:.2} … {:.2}", ratio.min, ratio.max)
        );
        sizes.push(json!({ "bytes": bytes, "documents": documents, "ns": ours.median.round(), "raw_ns": raws.median.round(), "ratio": ratio.median }));
        if worst.is_none_or(|(w, _)| ratio.median > w.median) {
            worst = Some((ratio, aa));
        }
    }
    let (ratio, aa) = worst.ok_or_else(|| Problem("nothing was measured".into()))?;
    Ok(Figure {
        ratio,
        aa,
        better: Better::Lower,
        also: true,
        floor: 3.0,
        goal: 1.5,
        unit: None,
        more: json!({ "of": "the worst size", "sizes": sizes }),
    })
}

/// CPU nanoseconds a document of the whole process tree.
fn null_to_null(bins: &Bins, bytes: u64, documents: u64) -> Result<f64, Problem> {
    let in_batch = BATCH_BYTES / bytes;
    null_flow(bins, &NullFlow { bytes, in_batch, count: documents / in_batch, bindings: 1, per_checkpoint: 1 })
}

/// Documents of a prepared batch, over and over, into nothing.
struct NullFlow {
    /// Of a document.
    bytes: u64,
    /// Documents of a batch.
    in_batch: u64,
    /// Batches of a binding.
    count: u64,
    bindings: u64,
    /// Batches of a binding that one checkpoint covers.
    per_checkpoint: u64,
}

impl NullFlow {
    fn documents(&self) -> u64 {
        self.in_batch * self.count * self.bindings
    }

    fn catalog(&self) -> String {
        let Self { bytes, in_batch, count, bindings, per_checkpoint } = self;
        // A document is {"id":N,"body":"…"}; nearly all ids of a batch have as many digits as the last.
        let body = bytes - 16 - (in_batch - 1).to_string().len() as u64;
        let mut text = format!(
            "captures:\n  source:\n    connector: generator\n    config: {{ mode: \"null\", body_bytes: [{body}], documents: {in_batch}, \
             count: {count}, transactions_per_checkpoint: {per_checkpoint} }}\n    bindings:\n"
        );
        let each = |line: &dyn Fn(u64) -> String| (0..*bindings).map(line).collect::<String>();
        text += &each(&|n| format!("      - {{ resource: {{ stream: s{n} }}, collection: bench/c{n} }}\n"));
        text += "collections:\n";
        text += &each(&|n| format!("  bench/c{n}: {{ key: [/id] }}\n"));
        text += "materializations:\n  sink:\n    connector: \"null\"\n    config: { path: ./null.checkpoint }\n    bindings:\n";
        text += &each(&|n| {
            format!("      - {{ collection: bench/c{n}, resource: {{ name: n{n} }}, delta_updates: true }}\n")
        });
        text
    }
}

/// CPU nanoseconds a document of the whole process tree; all have to arrive.
fn null_flow(bins: &Bins, flow: &NullFlow) -> Result<f64, Problem> {
    let (directory, documents) = (scratch()?, flow.documents());
    write(&directory.join("bench.yaml"), &flow.catalog())?;
    let (spent, stdout) = cpu_of(bins.command("longshore").current_dir(&directory).args([
        "run",
        "--until",
        "caught-up",
        "--json",
        "-q",
        "bench.yaml",
    ]))?;
    let rows = moved(&stdout, "sink");
    if rows != Some(documents) {
        return Err(Problem(format!("expected {documents} rows in the destination, the summary says {rows:?}")));
    }
    remove(&directory)?;
    Ok(spent.as_nanos() as f64 / documents as f64)
}

/// Documents that a task moved, as the summary of a run with `--json` says.
fn moved(stdout: &str, task: &str) -> Option<u64> {
    let summary = |line| serde_json::from_str::<Value>(line).ok().filter(|object| object["type"] == "summary");
    let summary = stdout.lines().rev().find_map(summary)?;
    let task = summary["tasks"].as_array()?.iter().find(|one| one["task"] == task)?;
    task["bindings"].as_array()?.iter().map(|binding| binding["rows"].as_u64()).sum()
}

fn raw_stream(bins: &Bins, bytes: u64, documents: u64) -> Result<f64, Problem> {
    let (spent, _) =
        cpu_of(bins.command("yardstick").args(["raw-stream", &bytes.to_string(), &documents.to_string()]))?;
    Ok(spent.as_nanos() as f64 / documents as f64)
}

/// R3: from Checkpoint to Acknowledge for one tiny document, against a bare fdatasync of as many bytes on the same disk.
fn r3(bins: &Bins) -> Result<Figure, Problem> {
    println!("{:>6} {:>16} {:>16} {:>7}", "run", "commit p50 µs", "fdatasync p50 µs", "ratio");
    let (mut ratios, mut noise, mut commits, mut syncs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=PAIRS {
        let directory = scratch()?;
        let catalog = format!(
            "captures:\n  probe:\n    command: [\"{}\"]\n    config: {{ figure: figure.json, rounds: 500 }}\n    \
             bindings:\n      - {{ resource: {{ stream: probe }}, collection: bench/probe }}\n\
             collections:\n  bench/probe: {{ key: [/id] }}\n",
            bins.0.join("yardstick").display()
        );
        write(&directory.join("bench.yaml"), &catalog)?;
        cpu_of(bins.command("longshore").current_dir(&directory).args([
            "run",
            "--until",
            "caught-up",
            "-q",
            "bench.yaml",
        ]))?;
        let text = fs::read_to_string(directory.join("figure.json"))
            .map_err(|error| Problem(format!("the probe left no figure: {error}")))?;
        let figure: Value =
            serde_json::from_str(&text).map_err(|error| Problem(format!("the probe's figure: {error}")))?;
        let part =
            |name: &str| figure[name].as_f64().ok_or_else(|| Problem(format!("the probe's figure has no {name}")));
        let (commit, sync) = (part("commit_us")?, part("fdatasync_us")?);
        println!("{turn:>6} {commit:>16.0} {sync:>16.0} {:>7.2}", commit / sync);
        ratios.push(commit / sync);
        noise.push(part("fdatasync_again_us")? / sync);
        commits.push(commit);
        syncs.push(sync);
        remove(&directory)?;
    }
    let more = json!({ "commit_us": spread(commits).median, "fdatasync_us": spread(syncs).median });
    Ok(Figure {
        ratio: spread(ratios),
        aa: spread(noise).median,
        better: Better::Lower,
        also: true,
        floor: 6.0,
        goal: 2.5,
        unit: None,
        more,
    })
}

/// B1: from the start of the command to the first row in the destination, local process connectors.
fn b1(bins: &Bins) -> Result<Figure, Problem> {
    let mut seconds = Vec::new();
    println!("{:>6} {:>12}", "run", "first row s");
    for turn in 1..=2 * PAIRS {
        let took = first_row(bins)?.as_secs_f64();
        println!("{turn:>6} {took:>12.3}");
        seconds.push(took);
    }
    let half = |offset: usize| spread(seconds.iter().copied().skip(offset).step_by(2)).median;
    let aa = half(1) / half(0);
    Ok(Figure {
        ratio: spread(seconds),
        aa,
        better: Better::Lower,
        also: true,
        floor: 1.0,
        goal: 0.3,
        unit: Some("s"),
        more: json!({ "runs": 2 * PAIRS }),
    })
}

fn first_row(bins: &Bins) -> Result<Duration, Problem> {
    let directory = scratch()?;
    fs::create_dir_all(directory.join("data")).map_err(|error| Problem(format!("make a directory: {error}")))?;
    write(&directory.join("data/a.csv"), "id,name\n1,one\n2,two\n")?;
    write(
        &directory.join("bench.yaml"),
        "captures:\n  source:\n    connector: files\n    config: { path: ./data, format: csv }\n    bindings:\n      \
         - { resource: { glob: \"a.csv\" }, collection: bench/a }\ncollections:\n  bench/a: { key: [/id] }\n\
         materializations:\n  sink:\n    connector: sqlite\n    config: { path: ./bench.db }\n    bindings:\n      \
         - { collection: bench/a, resource: { table: a } }\n",
    )?;
    let started = Instant::now();
    let mut child = bins
        .command("longshore")
        .current_dir(&directory)
        .args(["run", "-q", "bench.yaml"])
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| Problem(format!("cannot start longshore: {error}")))?;
    let took = loop {
        if rows(&directory.join("bench.db")) > 0 {
            break started.elapsed();
        }
        if started.elapsed() > Duration::from_secs(30) {
            child.kill().map_err(|error| Problem(format!("cannot end longshore: {error}")))?;
            return Err(Problem("no row arrived within 30 s".into()));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let ended = Command::new("kill").arg(child.id().to_string()).status();
    ended.and_then(|_| child.wait()).map_err(|error| Problem(format!("cannot end longshore: {error}")))?;
    remove(&directory)?;
    Ok(took)
}

fn rows(database: &Path) -> i64 {
    if !database.exists() {
        return 0;
    }
    Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| connection.query_row("SELECT count(*) FROM a", [], |row| row.get(0)))
        .unwrap_or(0)
}

/// CPU time (user and system) of a command with all the processes it waited for, and its standard output.
fn cpu_of(command: &mut Command) -> Result<(Duration, String), Problem> {
    let before = children_cpu()?;
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Problem(format!("cannot start {command:?}: {error}")))?;
    if !output.status.success() {
        return Err(Problem(format!("{command:?} ended with {}", output.status)));
    }
    Ok((children_cpu()? - before, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// CPU time of all children this process has waited for, from the kernel's accounting (clock ticks of 10 ms).
fn children_cpu() -> Result<Duration, Problem> {
    let unreadable = || Problem("cannot read the CPU time of children from /proc/self/stat".into());
    let stat = fs::read_to_string("/proc/self/stat").map_err(|_| unreadable())?;
    // The second field is a name in parentheses that may hold anything; count behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().ok_or_else(unreadable)?.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|f| f.parse::<u64>().ok()).ok_or_else(unreadable);
    Ok(Duration::from_millis((ticks(13)? + ticks(14)?) * 10))
}

/// A directory on the disk of the build, not in memory: an fsync must mean something.
fn scratch() -> Result<PathBuf, Problem> {
    let directory =
        target_dir().join("bench").join(format!("{:?}", Instant::now()).replace(|c: char| !c.is_ascii_digit(), ""));
    fs::create_dir_all(&directory).map_err(|error| Problem(format!("cannot make {}: {error}", directory.display())))?;
    Ok(directory)
}

fn remove(directory: &Path) -> Result<(), Problem> {
    fs::remove_dir_all(directory).map_err(|error| Problem(format!("cannot remove {}: {error}", directory.display())))
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    fs::write(path, text).map_err(|error| Problem(format!("cannot write {}: {error}", path.display())))
}
