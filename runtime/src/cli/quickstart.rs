//! `longshore quickstart`: from nothing to rows. Lays out a folder with data that is in this binary, runs its catalog as `longshore run --until
//! caught-up` would, and shows rows of the destination, the catalog, and what to try next.

#![expect(clippy::disallowed_methods, reason = "how long the first minute takes is told; nothing decides by it")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use indicatif::MultiProgress;
use serde_json::{Value, json};

use super::args::{Global, RunArgs};
use super::first_args::QuickstartArgs;
use super::output::{Failure, Output};
use super::quickstart_folder::{self as folder, CATALOG_TEXT};
use super::run::{self, Left, state_directory};
use super::table::Table;
use super::view::grouped;
use super::{logs, shell};
use crate::connector::{Kind, SearchPath};

/// The tables that the catalog fills, the first one shown.
const TABLES: [&str; 3] = ["flights", "airports", "airlines"];
const QUERY: &str = "SELECT time_hour, carrier, flight, origin, dest, dep_delay FROM flights ORDER BY time_hour, carrier, flight LIMIT 5";
/// A row whose key is there already.
const CHANGED_ROW: &str = "JFK,Idlewild,40.639751,-73.778925,13,-5,A,America/New_York";

pub(super) async fn quickstart(global: &Global, args: QuickstartArgs, output: &Output) -> Result<(), Failure> {
    let begun = Instant::now();
    let view = output.watched().then(MultiProgress::new);
    logs::start_calmly_above(global, view.clone());
    let known = SearchPath::of_this_process();
    // Before anything is written: without them there is nothing to try.
    known.find(Kind::Capture, "files")?;
    known.find(Kind::Materialize, "sqlite")?;
    let directory = Path::new(&args.into);
    folder::lay_out(directory)?;
    let catalog = directory.join(folder::CATALOG);
    match run::to_the_end(global, RunArgs::until_caught_up(&catalog), output, view).await? {
        Left::Done => {}
        Left::Stopped => {
            output.line(format_args!(
                "stopped before all was there; `longshore run {}` goes on",
                shell::quoted(&catalog.display().to_string())
            ));
            return Ok(());
        }
    }
    let database = directory.join(folder::DATABASE);
    let arrived = Arrived::read(&database).map_err(|error| {
        Failure::running(format!("reading {}, which was just written: {error}", database.display()))
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    if output.json() {
        arrived.objects(output);
    } else {
        output.text(&arrived.told(&database, seconds));
        output.text(&rest(directory, &state_directory(global, directory)));
    }
    let path = |path: &Path| path.display().to_string();
    output.object(
        "quickstart",
        json!({
            "directory": path(directory), "catalog": path(&catalog), "database": path(&database),
            "rows": arrived.rows(), "seconds": (seconds * 1000.0).round() / 1000.0,
        }),
    );
    Ok(())
}

/// What the destination has, read from the destination.
struct Arrived {
    first: Table,
    counts: Vec<(&'static str, u64)>,
}

impl Arrived {
    fn read(database: &Path) -> rusqlite::Result<Self> {
        let database = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let count = |table| {
            let rows: i64 = database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
            Ok((table, rows.unsigned_abs()))
        };
        let counts = TABLES.into_iter().map(count).collect::<rusqlite::Result<_>>()?;
        Ok(Self { first: Table::read(&database, QUERY)?, counts })
    }

    fn rows(&self) -> Value {
        self.counts
            .iter()
            .map(|(table, rows)| ((*table).to_owned(), json!(rows)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn objects(&self, output: &Output) {
        for row in self.first.rows() {
            output.object("row", json!({ "table": TABLES[0], "row": row }));
        }
    }

    fn told(&self, database: &Path, seconds: f64) -> String {
        let counts: Vec<String> =
            self.counts.iter().map(|(table, rows)| format!("{} {table}", grouped(*rows))).collect();
        format!(
            "\nIn {} now, {seconds:.1} s from nothing, and read from there:\n\n{}\n  {}\n",
            database.display(),
            self.first.indented("  "),
            counts.join(", ")
        )
    }
}

/// The catalog, where everything lies, and what to try next.
fn rest(directory: &Path, state: &Path) -> String {
    let mut text = String::from("\nThe catalog that said so:\n\n");
    for line in CATALOG_TEXT.lines() {
        text.push_str(format!("  {line}").trim_end());
        text.push('\n');
    }
    let here = |name: &str| directory.join(name).display().to_string();
    let places = [
        (here(folder::CATALOG), "the catalog"),
        (here(folder::DATABASE), "the rows; open it with sqlite3"),
        (here(folder::DATA), "the CSV files they came from"),
        (state.display().to_string(), "the journal, and how far each task is"),
    ];
    text.push_str("\nWhere it lies:\n\n");
    let width = places.iter().map(|(path, _)| path.len()).max().unwrap_or_default();
    for (path, what) in &places {
        writeln!(text, "  {path:width$}  {what}").expect("a String takes everything");
    }
    writeln!(
        text,
        "\nNext:\n\n  \
         cd {}\n  \
         longshore run --until caught-up    # again: nothing new, each row once\n  \
         echo '{CHANGED_ROW}' \\\n    \
         >> {}/airports.csv            # another name for an airport\n  \
         longshore run --until caught-up    # one row changes: the last of a key counts\n  \
         longshore run                      # until Ctrl-C; ask it: `longshore status`\n\n\
         A catalog for your own data: `longshore init PATH`",
        shell::quoted(&directory.display().to_string()),
        folder::DATA,
    )
    .expect("a String takes everything");
    text
}
