//! CSV into Parquet: a year of flights into a lake of zstd files, exactly once, beside DuckDB's own `COPY` of the same file. Rows are compared
//! by DuckDB and pyarrow after every pair.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::import::{lay_flights, run_anew, timed};
use super::{Better, Bins, Figure, PAIRS, remove, scratch, spread, write};
use crate::{Problem, peers, repository};

const CATALOG: &str = "captures:
  nyc:
    connector: files
    config: { path: ./data, format: csv, null_values: [\"NA\", \"\"] }
    bindings: [{ resource: { glob: flights.csv }, collection: nyc/flights }]
collections:
  nyc/flights: { key: [/time_hour, /carrier, /flight] }
materializations:
  lake:
    connector: parquet
    config: { path: ./lake }
    bindings: [{ collection: nyc/flights, resource: { name: flights }, delta_updates: true }]
";
const COPY: &str = "import duckdb
duckdb.execute(\"COPY (SELECT * FROM read_csv('data/flights.csv', header = true, nullstr = ['NA', ''])) TO 'theirs.parquet' \
                    (FORMAT parquet, COMPRESSION zstd)\")
";

pub(super) fn csv_into_parquet(bins: &Bins) -> Result<Figure, Problem> {
    peers::make()?;
    let python = peers::dir().join("bin/python");
    let directory = scratch()?;
    lay_flights(&directory)?;
    write(&directory.join("bench.yaml"), CATALOG)?;
    write(&directory.join("copy.py"), COPY)?;
    println!(
        "{:>6} {:>13} {:>13} {:>13} {:>13} {:>7}",
        "run", "longshore s", "its CPU s", "DuckDB s", "its CPU s", "ratio"
    );
    let copy = || crate::run(Command::new(&python).current_dir(&directory).arg("copy.py"));
    let (mut ratios, mut noise, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=PAIRS {
        let (copied, copied_cpu) = timed(copy)?;
        let (moved, moved_cpu) = timed(|| run_anew(bins, &directory, &["lake"]))?;
        same_rows(&python, &directory)?;
        let (again, _) = timed(copy)?;
        println!("{turn:>6} {moved:>13.2} {moved_cpu:>13.2} {copied:>13.2} {copied_cpu:>13.2} {:>7.2}", copied / moved);
        ratios.push(copied / moved);
        noise.push(copied / again);
        ours.push(moved);
        theirs.push(copied);
    }
    remove(&directory)?;
    let more = json!({
        "rows": 336_776, "longshore_s": spread(ours).median, "duckdb_s": spread(theirs).median,
        "of": "rows a second, start and end of both included; DuckDB reads and writes columns, in one process and with no checkpoint: to be seen, no floor",
    });
    let aa = spread(noise).median;
    Ok(Figure {
        ratio: spread(ratios),
        aa,
        better: Better::Higher,
        also: true,
        floor: 0.0,
        goal: 0.5,
        unit: None,
        more,
    })
}

fn same_rows(python: &Path, directory: &Path) -> Result<(), Problem> {
    let mut command = Command::new(python);
    command.arg(repository().join("tests/peers/lake.py")).args(["compare", "data/flights.csv", "lake/flights"]);
    let output = command.current_dir(directory).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Problem(format!("cannot compare: {error}")))?;
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let rows = json!({ "rows": 336_776, "missing": 0, "extra": 0 });
    match found["duckdb"] == rows && found["pyarrow"]["same"] == true {
        true => Ok(()),
        false => Err(Problem(format!("expected the rows of the file, got {found}"))),
    }
}
