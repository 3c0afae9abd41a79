//! S7: a year of flights from a CSV file into a table of SQLite with a primary key, exactly once, beside `sqlite3 .import` of the same file into
//! the same table. Rows are compared after every pair.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rusqlite::Connection;
use serde_json::json;

use super::{Better, Bins, Figure, PAIRS, children_cpu, remove, scratch, spread, write};
use crate::{Problem, repository};

const COLUMNS: &str = "year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay, carrier, flight, \
                       tailnum, origin, dest, air_time, distance, hour, minute, time_hour";
/// What `longshore` makes of the same file, without what it keeps beside the rows.
const TABLE: &str = "CREATE TABLE flights(year INTEGER, month INTEGER, day INTEGER, dep_time INTEGER, sched_dep_time INTEGER, \
                     dep_delay INTEGER, arr_time INTEGER, sched_arr_time INTEGER, arr_delay INTEGER, carrier TEXT, flight INTEGER, \
                     tailnum TEXT, origin TEXT, dest TEXT, air_time INTEGER, distance INTEGER, hour INTEGER, minute INTEGER, \
                     time_hour TEXT, PRIMARY KEY(time_hour, carrier, flight));";
const CATALOG: &str = "captures:
  nyc:
    connector: files
    config: { path: ./data, format: csv, null_values: [\"NA\", \"\"] }
    bindings: [{ resource: { glob: flights.csv }, collection: nyc/flights }]
collections:
  nyc/flights: { key: [/time_hour, /carrier, /flight] }
materializations:
  lake:
    connector: sqlite
    config: { path: ./ours.db }
    bindings: [{ collection: nyc/flights, resource: { table: flights } }]
";

pub(super) fn csv_into_sqlite(bins: &Bins) -> Result<Figure, Problem> {
    let found = Command::new("sqlite3").arg("--version").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Err(Problem("`sqlite3` is missing: apt-get install -y sqlite3".into()));
    }
    let directory = scratch()?;
    lay_flights(&directory)?;
    write(&directory.join("bench.yaml"), CATALOG)?;
    println!(
        "{:>6} {:>13} {:>13} {:>13} {:>13} {:>7}",
        "run", "longshore s", "its CPU s", "sqlite3 s", "its CPU s", "ratio"
    );
    let (mut ratios, mut noise, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=PAIRS {
        let (import, import_cpu) = timed(|| import(&directory))?;
        let (moved, moved_cpu) = timed(|| run_anew(bins, &directory, &["ours.db", "ours.db-wal", "ours.db-shm"]))?;
        same_rows(&directory)?;
        let (again, _) = timed(|| self::import(&directory))?;
        println!("{turn:>6} {moved:>13.2} {moved_cpu:>13.2} {import:>13.2} {import_cpu:>13.2} {:>7.2}", import / moved);
        ratios.push(import / moved);
        noise.push(import / again);
        ours.push(moved);
        theirs.push(import);
    }
    remove(&directory)?;
    let more = json!({
        "rows": 336_776, "longshore_s": spread(ours).median, "sqlite3_s": spread(theirs).median,
        "of": "rows a second; the figure of longshore holds its start and end",
    });
    let aa = spread(noise).median;
    Ok(Figure {
        ratio: spread(ratios),
        aa,
        better: Better::Higher,
        also: true,
        floor: 0.5,
        goal: 0.9,
        unit: None,
        more,
    })
}

pub(super) fn lay_flights(directory: &Path) -> Result<(), Problem> {
    let packed = repository().join("examples/nyc-flights/flights.csv.zst");
    let flights = fs::File::open(&packed).and_then(zstd::decode_all);
    let flights = flights.map_err(|error| Problem(format!("cannot unpack {}: {error}", packed.display())))?;
    let data = directory.join("data");
    let made = fs::create_dir_all(&data).and_then(|()| fs::write(data.join("flights.csv"), flights));
    made.map_err(|error| Problem(format!("cannot lay out {}: {error}", data.display())))
}

/// Seconds by the clock and of CPU.
pub(super) fn timed(work: impl FnOnce() -> Result<(), Problem>) -> Result<(f64, f64), Problem> {
    let (begun, before) = (Instant::now(), children_cpu()?);
    work()?;
    Ok((begun.elapsed().as_secs_f64(), (children_cpu()? - before).as_secs_f64()))
}

fn import(directory: &Path) -> Result<(), Problem> {
    gone(&directory.join("theirs.db"))?;
    let script = [TABLE, ".mode csv", ".import --skip 1 data/flights.csv flights"];
    crate::run(Command::new("sqlite3").current_dir(directory).arg("theirs.db").args(script))
}

/// Runs `bench.yaml` from its beginning to its end; what an earlier run has made is gone before.
pub(super) fn run_anew(bins: &Bins, directory: &Path, made: &[&str]) -> Result<(), Problem> {
    for name in [".longshore"].iter().chain(made) {
        let path = directory.join(name);
        if path.is_dir() { remove(&path)? } else { gone(&path)? }
    }
    let mut command = bins.command("longshore");
    command.current_dir(directory).args(["run", "--until", "caught-up", "-q", "bench.yaml"]).stdout(Stdio::null());
    crate::run(&mut command)
}

fn gone(file: &Path) -> Result<(), Problem> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Problem(format!("cannot remove {}: {error}", file.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The import knows no null: there, a value that is missing is the word for it.
fn same_rows(directory: &Path) -> Result<(), Problem> {
    let failed = |error: rusqlite::Error| Problem(format!("cannot compare the rows: {error}"));
    let database = Connection::open(directory.join("ours.db")).map_err(failed)?;
    let theirs = directory.join("theirs.db");
    database.execute("ATTACH ?1 AS theirs", [theirs.to_string_lossy()]).map_err(failed)?;
    let nulls = COLUMNS.split(", ").map(|name| format!("nullif({name}, 'NA')")).collect::<Vec<_>>().join(", ");
    let (left, right) = (format!("SELECT {COLUMNS} FROM flights"), format!("SELECT {nulls} FROM theirs.flights"));
    let count = |query: String| database.query_row(&query, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let rows = (count("SELECT count(*) FROM flights".into())?, count("SELECT count(*) FROM theirs.flights".into())?);
    let other = count(format!("SELECT count(*) FROM ({left} EXCEPT {right})"))?
        + count(format!("SELECT count(*) FROM ({right} EXCEPT {left})"))?;
    match (rows.0 == rows.1, other) {
        (true, 0) => Ok(()),
        _ => Err(Problem(format!("expected the same rows, got {} and {}, of which {other} differ", rows.0, rows.1))),
    }
}
