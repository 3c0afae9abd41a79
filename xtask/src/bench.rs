//! `cargo xtask bench NAME`: one workload, a table, and one JSON line at the end.
//!
//! Figures are ratios of two things measured in turn in the same run; an A/A pair beside them tells how much of a ratio is noise. It exits 0
//! whenever it measured; whether the floor was met is in the line. What is measured is what users run: the release profile.

mod image;

use std::fs;
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

pub(crate) fn bench(name: &str) -> Result<ExitCode, Problem> {
    let measure: fn(&Bins) -> Result<Figure, Problem> = match name {
        "R1" => r1,
        "R3" => r3,
        "B1" => b1,
        "image" => image::start,
        other => return Err(Problem(format!("no benchmark {other}: expected R1, R3, B1 or image"))),
    };
    let bins = Bins(release_binaries()?);
    machine();
    let figure = measure(&bins)?;
    println!("{}", figure.line(name));
    Ok(ExitCode::SUCCESS)
}

struct Bins(PathBuf);

impl Bins {
    fn command(&self, name: &str) -> Command {
        Command::new(self.0.join(name))
    }
}

/// What a benchmark found. For all of ours, less is better.
struct Figure {
    ratio: Spread,
    aa: f64,
    floor: f64,
    goal: f64,
    unit: Option<&'static str>,
    more: Value,
}

impl Figure {
    fn line(&self, name: &str) -> Value {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let mut line = json!({
            "bench": name,
            "ratio": round(self.ratio.median),
            "min": round(self.ratio.min),
            "max": round(self.ratio.max),
            "aa": round(self.aa),
            "better": "lower",
            "floor": self.floor,
            "goal": self.goal,
            "floor_met": self.ratio.median <= self.floor,
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
    println!("cores {cores}, load average {}", load.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
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
    Ok(Figure { ratio, aa, floor: 3.0, goal: 1.5, unit: None, more: json!({ "of": "the worst size", "sizes": sizes }) })
}

/// CPU nanoseconds a document of the whole process tree.
fn null_to_null(bins: &Bins, bytes: u64, documents: u64) -> Result<f64, Problem> {
    let directory = scratch()?;
    // A document is {"id":N,"body":"…"}; nearly all ids of a batch have as many digits as the last.
    let in_batch = BATCH_BYTES / bytes;
    let body = bytes - 16 - (in_batch - 1).to_string().len() as u64;
    let count = documents / in_batch;
    let documents = count * in_batch;
    let catalog = format!(
        "captures:\n  source:\n    connector: generator\n    config: {{ mode: \"null\", body_bytes: [{body}], documents: {in_batch}, count: {count} }}\n    \
         bindings:\n      - {{ resource: {{ stream: bench }}, collection: bench/documents }}\n\
         collections:\n  bench/documents: {{ key: [/id] }}\n\
         materializations:\n  sink:\n    connector: \"null\"\n    config: {{ path: ./null.checkpoint }}\n    \
         bindings:\n      - {{ collection: bench/documents, resource: {{ name: bench }}, delta_updates: true }}\n"
    );
    write(&directory.join("bench.yaml"), &catalog)?;
    let (spent, stdout) = cpu_of(bins.command("longshore").current_dir(&directory).args([
        "run",
        "--until",
        "caught-up",
        "--json",
        "-q",
        "bench.yaml",
    ]))?;
    let summary = stdout
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Value>(line).ok().filter(|object| object["type"] == "summary"));
    let rows = summary.as_ref().and_then(|summary| {
        summary["tasks"].as_array()?.iter().find(|task| task["task"] == "sink")?["bindings"][0]["rows"].as_u64()
    });
    if rows != Some(documents) {
        return Err(Problem(format!("expected {documents} rows in the destination, the summary says {rows:?}")));
    }
    remove(&directory)?;
    Ok(spent.as_nanos() as f64 / documents as f64)
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
    Ok(Figure { ratio: spread(ratios), aa: spread(noise).median, floor: 6.0, goal: 2.5, unit: None, more })
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
