//! C4: from the commit of a change at the source to the commit of its row at the destination, at a thousand changes a second. Both databases are of
//! one server, which stamps every commit by one clock; each row is touched once, so its last commit is the one. The stamp is taken as a commit
//! begins, before it is flushed, at both ends alike.
//!
//! Beside it `CREATE SUBSCRIPTION`, the server's own way between its databases, which is the A/A too. Its transactions keep the source's stamps, so
//! a trigger at their commit says when they came.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::memory::Runtime;
use super::super::{Better, Bins, Figure, PAIRS, remove, scratch, spread};
use super::{BENCH_SQL, Server, columns, contents, forget_ours, into_postgres, lay_catalog, same_contents};
use crate::Problem;

/// Of a transaction of `trickle`.
const IN_TRANSACTION: u64 = 10;
const LIMIT: Duration = Duration::from_secs(300);
/// At the subscriber.
const ARRIVALS_SQL: &str = "
CREATE TABLE arrivals (id bigint NOT NULL, at timestamp with time zone NOT NULL);
CREATE FUNCTION arrive() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO public.arrivals VALUES (NEW.id, clock_timestamp()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER arrive AFTER INSERT OR UPDATE ON bench DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION arrive();
ALTER TABLE bench ENABLE REPLICA TRIGGER arrive;";
const ARRIVALS: &str =
    "SELECT id, (extract(epoch FROM max(at)) * 1000000)::bigint FROM arrivals WHERE id > 0 GROUP BY id ORDER BY id";
const STAMPS: &str = "SELECT id, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM public.bench \
                      WHERE id > 0 ORDER BY id";

/// Milliseconds of one run.
struct Latency {
    p50: f64,
    p99: f64,
    most: f64,
    /// Changes a second that the source has committed.
    rate: f64,
}

pub(in super::super) fn commit_to_commit(bins: &Bins, changes: u64) -> Result<Figure, Problem> {
    let changes = changes / IN_TRANSACTION * IN_TRANSACTION;
    if changes == 0 {
        return Err(Problem(format!("expected at least {IN_TRANSACTION} rows")));
    }
    let server = Server::start("track_commit_timestamp = on")?;
    server.run("postgres", ["CREATE DATABASE source", "CREATE DATABASE theirs", "CREATE DATABASE ours"])?;
    server.run("source", [BENCH_SQL])?;
    server.run("theirs", [BENCH_SQL, ARRIVALS_SQL])?;
    let directory = scratch()?;
    lay_catalog(&server, &directory, &into_postgres(&server, "ours"))?;
    println!(
        "{:>4} {:>17} {:>8} {:>8} {:>20} {:>8} {:>8} {:>10}",
        "run", "longshore p50 ms", "p99 ms", "max ms", "subscription p50 ms", "p99 ms", "max ms", "changes/s"
    );
    let (mut ours, mut theirs, mut noise) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=PAIRS {
        let first = by_subscription(&server, changes)?;
        let our = by_longshore(bins, &server, &directory, changes)?;
        let again = by_subscription(&server, changes)?;
        println!(
            "{turn:>4} {:>17.1} {:>8.1} {:>8.1} {:>20.1} {:>8.1} {:>8.1} {:>10.0}",
            our.p50, our.p99, our.most, first.p50, first.p99, first.most, our.rate
        );
        noise.push(again.p50 / first.p50);
        ours.push(our);
        theirs.push(first);
    }
    remove(&directory)?;
    let median = |runs: &[Latency], part: fn(&Latency) -> f64| spread(runs.iter().map(part)).median;
    let more = json!({
        "changes": changes, "rate": median(&ours, |run| run.rate).round(), "p99_ms": median(&ours, |run| run.p99), "p99_goal_ms": 50,
        "max_ms": median(&ours, |run| run.most), "subscription_p50_ms": median(&theirs, |run| run.p50),
        "subscription_p99_ms": median(&theirs, |run| run.p99),
        "of": "p50, from commit to commit; aa is of the subscription",
    });
    Ok(Figure {
        ratio: spread(ours.iter().map(|run| run.p50)),
        aa: spread(noise).median,
        better: Better::Lower,
        also: true,
        floor: 50.0,
        goal: 5.0,
        unit: Some("ms"),
        more,
    })
}

fn by_longshore(bins: &Bins, server: &Server, directory: &Path, changes: u64) -> Result<Latency, Problem> {
    forget_ours(server, directory)?;
    lay_rows(server, changes)?;
    let runtime = Runtime::start(bins, directory)?;
    let latency = trickle(server, "ours", STAMPS, changes)?;
    drop(runtime);
    Ok(latency)
}

fn by_subscription(server: &Server, changes: u64) -> Result<Latency, Problem> {
    lay_rows(server, changes)?;
    server.run("theirs", ["TRUNCATE bench, arrivals"])?;
    let slot = "SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')";
    server.run("source", ["CREATE PUBLICATION theirs FOR TABLE bench", slot])?;
    // A server waits for itself if it is to make the slot as part of this.
    let subscribe = format!(
        "CREATE SUBSCRIPTION theirs CONNECTION '{}' PUBLICATION theirs WITH (create_slot = false)",
        server.url("source")
    );
    server.run("theirs", [&subscribe])?;
    let latency = trickle(server, "theirs", ARRIVALS, changes)?;
    server.run("theirs", ["DROP SUBSCRIPTION theirs"])?;
    server.run("source", ["DROP PUBLICATION theirs"])?;
    Ok(latency)
}

/// The rows that will be updated.
fn lay_rows(server: &Server, changes: u64) -> Result<(), Problem> {
    let fill = format!("INSERT INTO bench SELECT * FROM rows_of(1, {})", changes / 2);
    server.run("source", ["TRUNCATE bench", &fill, "VACUUM (ANALYZE) bench"])?;
    server.run("postgres", ["CHECKPOINT"]).map(drop)
}

/// Changes the source at the rate, when the destination has what is there and follows.
fn trickle(server: &Server, into: &str, arrivals: &str, changes: u64) -> Result<Latency, Problem> {
    let columns = columns(server)?;
    wait_for_rows(server, into, &columns)?;
    server.run("source", ["INSERT INTO bench SELECT * FROM rows_of(0, 0)"])?;
    wait_for_rows(server, into, &columns)?;
    server.run("source", [&format!("CALL trickle({changes})")])?;
    wait_for_rows(server, into, &columns)?;
    same_contents(server, into, &columns)?;
    latency(&stamps(server, "source", STAMPS)?, &stamps(server, into, arrivals)?, changes)
}

fn wait_for_rows(server: &Server, database: &str, columns: &str) -> Result<(), Problem> {
    let (begun, expected) = (Instant::now(), contents(server, "source", columns)?);
    // The table may not be there yet.
    while contents(server, database, columns).ok().as_ref() != Some(&expected) {
        if begun.elapsed() > LIMIT {
            return Err(Problem(format!("the rows of the source did not arrive in {database} within {LIMIT:?}")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// When each row was committed last, in microseconds, in the order of their keys.
fn stamps(server: &Server, database: &str, stamps: &str) -> Result<Vec<(u64, i64)>, Problem> {
    let told = server.run(database, [stamps])?;
    let stamp = |line: &str| {
        let (id, at) = line.split_once('|')?;
        Some((id.parse().ok()?, at.parse().ok()?))
    };
    let read: Option<Vec<_>> = told.lines().map(stamp).collect();
    read.ok_or_else(|| Problem(format!("a row of {database} has no time of its commit")))
}

fn latency(source: &[(u64, i64)], destination: &[(u64, i64)], changes: u64) -> Result<Latency, Problem> {
    let ids = |stamps: &[(u64, i64)]| stamps.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    if source.len() as u64 != changes || ids(source) != ids(destination) {
        return Err(Problem(format!("expected {changes} changed rows at both ends, got {}", source.len())));
    }
    let mut took: Vec<f64> =
        source.iter().zip(destination).map(|((_, from), (_, to))| (to - from) as f64 / 1000.0).collect();
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
    let sent = || source.iter().map(|(_, at)| *at);
    let seconds = (sent().max().unwrap_or(0) - sent().min().unwrap_or(0)) as f64 / 1e6;
    Ok(Latency { p50: at(0.5), p99: at(0.99), most: at(1.0), rate: (changes - IN_TRANSACTION) as f64 / seconds })
}
