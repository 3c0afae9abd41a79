//! `cargo xtask demo`: builds everything and runs the main job on real data, with the programs a user would run.
//!
//! A year of flights goes from CSV files through separate connector processes and a durable journal into SQLite and JSONL files; then a
//! query is asked of the destination. It leaves everything in `target/demo`, so that its next steps can be tried.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rusqlite::Connection;

use crate::{Problem, cargo, repository, run, target_dir};

const QUERY: &str =
    "SELECT carrier, count(*) AS flights, round(avg(arr_delay), 1) AS mean_delay, max(arr_delay) AS worst
FROM flights GROUP BY carrier ORDER BY flights DESC LIMIT 5";

pub(crate) fn demo() -> Result<ExitCode, Problem> {
    println!("Building longshore and its connectors (release; a few minutes the first time) …");
    run(&mut cargo(&["build", "--release"]))?;
    let bin = target_dir().join("release");
    let directory = target_dir().join("demo");
    lay_out(&directory)?;

    println!(
        "\nMoving a year of flights out of New York: CSV → journal → SQLite and JSONL\n  in {}\n",
        directory.display()
    );
    println!("$ longshore run --until caught-up flights.yaml");
    run(Command::new(bin.join("longshore")).current_dir(&directory).args([
        "run",
        "--until",
        "caught-up",
        "flights.yaml",
    ]))?;

    println!("\nIn nyc.db now:\n\n{QUERY}\n");
    print_query(&directory.join("nyc.db"))?;
    next_steps(&bin, &directory);
    Ok(ExitCode::SUCCESS)
}

/// A fresh directory with the catalog and the data of the repository, unpacked.
fn lay_out(directory: &Path) -> Result<(), Problem> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |error: std::io::Error| Problem(format!("cannot lay out the demo at {}: {error}", path.display()))
    };
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(io(directory))?;
    }
    let (data, examples) = (directory.join("data"), repository().join("examples/nyc-flights"));
    fs::create_dir_all(&data).map_err(io(&data))?;
    for name in ["airports.csv", "weather.csv"] {
        fs::copy(examples.join(name), data.join(name)).map_err(io(&examples.join(name)))?;
    }
    let packed = examples.join("flights.csv.zst");
    let flights = fs::File::open(&packed).and_then(zstd::decode_all).map_err(io(&packed))?;
    fs::write(data.join("flights.csv"), flights).map_err(io(&data))?;
    let catalog = examples.join("flights.yaml");
    fs::copy(&catalog, directory.join("flights.yaml")).map_err(io(&catalog))?;
    Ok(())
}

fn print_query(database: &PathBuf) -> Result<(), Problem> {
    let failed = |error: rusqlite::Error| Problem(format!("cannot query {}: {error}", database.display()));
    let connection = Connection::open(database).map_err(failed)?;
    let mut select = connection.prepare(QUERY).map_err(failed)?;
    println!("{:>8} {:>9} {:>11} {:>7}", "carrier", "flights", "mean_delay", "worst");
    let mut rows = select.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let text = |column: usize| row.get::<_, String>(column);
        let whole = |column: usize| row.get::<_, i64>(column);
        println!(
            "{:>8} {:>9} {:>11.1} {:>7}",
            text(0).map_err(failed)?,
            whole(1).map_err(failed)?,
            row.get::<_, f64>(2).map_err(failed)?,
            whole(3).map_err(failed)?
        );
    }
    Ok(())
}

fn next_steps(bin: &Path, directory: &Path) {
    println!(
        "\nTry next:
  export PATH=\"{}:$PATH\"; cd {}
  longshore run --until caught-up flights.yaml   # moves nothing: it is all there
  rm -rf .longshore nyc.db out                   # from the beginning; press Ctrl-C (or kill -9) in the middle, run it again
  longshore run flights.yaml                     # goes on: append a line to data/airports.csv and see it arrive
  longshore journal list flights.yaml            # the durable log in between
  longshore --help",
        bin.display(),
        directory.display()
    );
}
