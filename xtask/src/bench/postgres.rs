//! Benchmarks between tables of PostgreSQL: snapshots (S1, S3), changes (C1, C3) and latency (C4), all on one server of their own.
//!
//! The source, ours and the yardstick's are databases apart: whoever decodes the log of a database reads past the others.

mod drain;
mod latency;
mod merge;
mod processes;
mod server;
mod snapshot;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use self::server::Server;
use super::import::timed;
use super::{Better, Bins, Figure, PAIRS, remove, spread, write};
use crate::Problem;

pub(super) use self::drain::changes_into_nothing;
pub(super) use self::latency::commit_to_commit;
pub(super) use self::merge::changes_into_postgres;
pub(super) use self::snapshot::{mixed_rows, wide_json};

/// The table `bench`, what fills it and what changes it.
const BENCH_SQL: &str = include_str!("postgres/bench.sql");
/// Name of our slot and of our publication.
const SLOT: &str = "longshore";
/// Changes of one transaction.
const IN_TRANSACTION: u64 = 1_000;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Yardstick,
    Ours,
    /// The yardstick once more: how much of a ratio is noise.
    Again,
}

/// The same work done by us and by the yardstick; only `run` is timed.
trait Contest {
    /// Before each turn of all three.
    fn begin(&mut self) -> Result<(), Problem>;
    fn prepare(&mut self, who: Who) -> Result<(), Problem>;
    fn run(&mut self, who: Who) -> Result<(), Problem>;
    /// Whether what arrived is what should.
    fn check(&mut self, who: Who) -> Result<(), Problem>;
}

/// What one timed run took.
struct Spent {
    seconds: f64,
    client_cpu_s: f64,
    server_cpu_s: f64,
    peak_mb: f64,
}

/// How a contest is told.
struct Told<'a> {
    yardstick: &'a str,
    of: &'a str,
    rows: u64,
    floor: f64,
    goal: f64,
}

/// Rates: how many times the yardstick's is ours.
fn alternate(server: &Server, told: &Told<'_>, contest: &mut impl Contest) -> Result<Figure, Problem> {
    let columns = ["run", "longshore s", "its CPU s", "server CPU s", "peak MB"];
    let [run, seconds, cpu, server_cpu, peak] = columns;
    let theirs = format!("{} s", told.yardstick);
    println!(
        "{run:>4} {seconds:>12} {cpu:>10} {server_cpu:>13} {peak:>8} {theirs:>18} {cpu:>10} {server_cpu:>13} {:>7}",
        "ratio"
    );
    let (mut ratios, mut noise, mut ours, mut yardsticks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=PAIRS {
        contest.begin()?;
        let first = once(server, contest, Who::Yardstick)?;
        let our = once(server, contest, Who::Ours)?;
        let again = once(server, contest, Who::Again)?;
        let ratio = first.seconds / our.seconds;
        println!(
            "{turn:>4} {:>12.2} {:>10.2} {:>13.2} {:>8.0} {:>18.2} {:>10.2} {:>13.2} {ratio:>7.3}",
            our.seconds,
            our.client_cpu_s,
            our.server_cpu_s,
            our.peak_mb,
            first.seconds,
            first.client_cpu_s,
            first.server_cpu_s,
        );
        ratios.push(ratio);
        noise.push(first.seconds / again.seconds);
        ours.push(our);
        yardsticks.push(first);
    }
    Ok(Figure {
        ratio: spread(ratios),
        aa: spread(noise).median,
        better: Better::Higher,
        also: true,
        floor: told.floor,
        goal: told.goal,
        unit: None,
        more: json!({
            "rows": told.rows, "of": told.of, "longshore": medians(&ours), "yardstick": medians(&yardsticks),
        }),
    })
}

fn medians(runs: &[Spent]) -> Value {
    let median = |part: fn(&Spent) -> f64| (spread(runs.iter().map(part)).median * 1000.0).round() / 1000.0;
    json!({
        "s": median(|spent| spent.seconds), "cpu_s": median(|spent| spent.client_cpu_s),
        "server_cpu_s": median(|spent| spent.server_cpu_s), "peak_mb": median(|spent| spent.peak_mb),
    })
}

fn once(server: &Server, contest: &mut impl Contest, who: Who) -> Result<Spent, Problem> {
    contest.prepare(who)?;
    server.run("postgres", ["CHECKPOINT"])?;
    let is_done = AtomicBool::new(false);
    let server_before = server.cpu_s();
    let (taken, peak_mb) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| processes::peak_mb(server.process(), &is_done));
        let taken = timed(|| contest.run(who));
        is_done.store(true, Ordering::Relaxed);
        (taken, watch.join().unwrap_or(f64::NAN))
    });
    let (seconds, client_cpu_s) = taken?;
    let spent = Spent { seconds, client_cpu_s, server_cpu_s: server.cpu_s() - server_before, peak_mb };
    contest.check(who)?;
    Ok(spent)
}

/// The catalog of a flow out of `source`'s table `bench`.
fn lay_catalog(server: &Server, directory: &Path, materialization: &str) -> Result<(), Problem> {
    let url = server.url("source");
    let catalog = format!(
        "captures:
  source:
    connector: postgres
    config: {{ url: \"{url}\", slot: {SLOT}, publication: {SLOT} }}
    bindings: [{{ resource: {{ schema: public, table: bench }}, collection: bench/rows }}]
collections:
  bench/rows: {{ key: [/id] }}
materializations:
  sink:
{materialization}"
    );
    write(&directory.join("bench.yaml"), &catalog)
}

/// Into `bench` of another database of the server.
fn into_postgres(server: &Server, database: &str) -> String {
    format!(
        "    connector: postgres
    config: {{ url: \"{}\" }}
    bindings: [{{ collection: bench/rows, resource: {{ schema: public, table: bench }} }}]
",
        server.url(database)
    )
}

/// Runs `bench.yaml` until it is caught up; its summary.
fn catch_up(bins: &Bins, directory: &Path) -> Result<String, Problem> {
    let mut command = bins.command("longshore");
    command.current_dir(directory).args(["run", "--until", "caught-up", "--json", "-q", "bench.yaml"]);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Problem(format!("cannot start {command:?}: {error}")))?;
    if !output.status.success() {
        return Err(Problem(format!("{command:?} ended with {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Takes back what an earlier run has made: state, slot, publication and rows.
fn forget_ours(server: &Server, directory: &Path) -> Result<(), Problem> {
    let state = directory.join(".longshore");
    if state.exists() {
        remove(&state)?;
    }
    // The server's session may outlive its client for a moment.
    let end = "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE active";
    let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots";
    server.run("source", [end, drop, &format!("DROP PUBLICATION IF EXISTS {SLOT}")])?;
    server.run("postgres", ["DROP DATABASE IF EXISTS ours WITH (FORCE)", "CREATE DATABASE ours"])?;
    Ok(())
}

/// Runs one command into another.
fn piped(mut from: Command, mut into: Command) -> Result<(), Problem> {
    let reading = from.stdout(Stdio::piped()).spawn();
    let mut reading = reading.map_err(|error| Problem(format!("cannot start {from:?}: {error}")))?;
    let output = reading.stdout.take().ok_or_else(|| Problem("no standard output".into()))?;
    let written = crate::run(into.stdin(output));
    let read = reading.wait().map_err(|error| Problem(format!("cannot wait for {from:?}: {error}")))?;
    written?;
    if read.success() { Ok(()) } else { Err(Problem(format!("{from:?} ended with {read}"))) }
}

/// All rows of the source's table, by `psql` into `psql`.
fn copy_bench(server: &Server, into: &str) -> Result<(), Problem> {
    let (mut from, mut to) = (server.psql("source"), server.psql(into));
    from.args(["-c", "COPY (SELECT * FROM bench) TO STDOUT (FORMAT binary)"]);
    to.args(["-c", "COPY bench FROM STDIN (FORMAT binary)"]);
    piped(from, to)
}

/// How many rows a table has, and a digest of all of them in their order.
fn contents(server: &Server, database: &str, columns: &str) -> Result<String, Problem> {
    let digest = format!(
        "SELECT count(*), md5(string_agg(md5(r::text), '' ORDER BY id)) FROM (SELECT {columns} FROM public.bench) r"
    );
    server.run(database, [&digest])
}

/// Names of the columns of the source's table, in their order.
fn columns(server: &Server) -> Result<String, Problem> {
    let names = "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute \
                 WHERE attrelid = 'bench'::regclass AND attnum > 0 AND NOT attisdropped";
    server.run("source", [names])
}

fn same_contents(server: &Server, database: &str, columns: &str) -> Result<(), Problem> {
    let (expected, got) = (contents(server, "source", columns)?, contents(server, database, columns)?);
    match expected == got {
        true => Ok(()),
        false => {
            Err(Problem(format!("expected in {database} the rows of the source (rows|digest), {expected}, got {got}")))
        }
    }
}

/// Whole transactions, and enough rows for one to change.
fn transactions_of(rows: u64) -> Result<u64, Problem> {
    match rows / IN_TRANSACTION {
        0 => Err(Problem(format!("expected at least {IN_TRANSACTION} rows, got {rows}"))),
        transactions => Ok(transactions),
    }
}
