//! The flights out of New York in 2013, laid beside a catalog: the data of the demo, the tour and most tests.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::destination;
use crate::scene::{Finished, Scene, repository};

/// Rows of `flights.csv`, without the header.
pub const FLIGHTS: u64 = 336_776;

/// The catalog of the demo and the README: three collections into SQLite, the flights once more into JSONL files.
pub const CATALOG: &str = include_str!("../../examples/nyc-flights/flights.yaml");

/// A scene with the data in `data/` and [`CATALOG`] as `flights.yaml`.
#[must_use]
pub fn scene() -> Scene {
    let scene = Scene::new();
    lay_data(&scene.join("data"));
    scene.write("flights.yaml", CATALOG);
    scene
}

/// The same with the first `rows` flights only.
#[must_use]
pub fn scene_with(rows: usize) -> Scene {
    let scene = scene();
    let flights = scene.join("data/flights.csv");
    let lines: Vec<String> = BufReader::new(File::open(&flights).expect("the flights"))
        .lines()
        .take(rows + 1)
        .collect::<Result<_, _>>()
        .expect("lines of text");
    // The file is shared with other scenes by a hard link: replace it, never write into it.
    std::fs::remove_file(&flights).expect("remove the link");
    std::fs::write(&flights, lines.join("\n") + "\n").expect("write the flights");
    scene
}

/// A materialization that takes its time with the flights, to stand behind [`CATALOG`].
pub const SLOW: &str = "  slow:
    connector: \"null\"
    config: { path: ./null.json, delay: 5s }
    bindings:
      - { collection: nyc/flights, resource: { name: flights }, delta_updates: true }
";

/// The slow one of [`SLOW`] has a transaction under way. One that fits into the windows of the stream is handed over in a moment: what lasts
/// then is its commit.
#[must_use]
pub fn slow_is_storing(status: &Finished) -> bool {
    let stores = |phase: &Value| phase == "storing" || phase == "committing";
    status.objects("task").iter().any(|task| task["task"] == "slow" && stores(&task["phase"]))
}

/// Asserts that a run of [`CATALOG`] brought every row of the files into both destinations, and each once.
#[track_caller]
pub fn assert_everything_once(scene: &Scene) {
    for table in ["flights", "airports", "weather"] {
        let source = destination::csv(&scene.join(format!("data/{table}.csv")));
        assert_eq!(destination::table(&scene.join("nyc.db"), table), source, "{table} in SQLite");
    }
    let archive = destination::jsonl(&scene.join("out/flights"));
    assert_eq!(archive, destination::csv(&scene.join("data/flights.csv")), "flights in JSONL");
}

/// How many flights SQLite has; none: no table yet.
#[must_use]
pub fn stored(scene: &Scene) -> Option<i64> {
    let database = scene.join("nyc.db");
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'flights'";
    (database.exists() && destination::number(&database, tables) > 0)
        .then(|| destination::number(&database, "SELECT count(*) FROM flights"))
}

/// Lines behind the first `rows` flights, to be appended to a short scene's.
#[must_use]
pub fn flights_behind(rows: usize, count: usize) -> String {
    let flights = BufReader::new(File::open(unpacked().join("flights.csv")).expect("the flights"));
    let lines = flights.lines().skip(1 + rows).take(count);
    lines.map(|line| line.expect("a line of text") + "\n").collect()
}

/// Puts the data files into a directory (hard links to one unpacked copy where that works). Do not write into them.
pub fn lay_data(into: &Path) {
    std::fs::create_dir_all(into).expect("make the data directory");
    let unpacked = unpacked();
    for name in ["flights.csv", "airports.csv", "weather.csv", "airlines.csv", "planes.csv"] {
        let (from, to) = (unpacked.join(name), into.join(name));
        if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(&from, &to).unwrap_or_else(|e| panic!("cannot lay {}: {e}", to.display()));
        }
    }
}

/// One unpacked copy for this process.
fn unpacked() -> &'static Path {
    static UNPACKED: OnceLock<PathBuf> = OnceLock::new();
    UNPACKED.get_or_init(|| {
        let examples = repository().join("examples/nyc-flights");
        let dir = std::env::temp_dir().join(format!("longshore-nyc-{}", rustix::process::getuid().as_raw()));
        std::fs::create_dir_all(&dir).expect("a directory for the data");
        for name in ["airports.csv", "weather.csv", "airlines.csv", "planes.csv"] {
            place(&dir.join(name), &std::fs::read(examples.join(name)).expect("a data file of the repository"));
        }
        let packed = File::open(examples.join("flights.csv.zst")).expect("the packed flights");
        place(&dir.join("flights.csv"), &zstd::decode_all(packed).expect("unpack the flights"));
        dir
    })
}

/// Writes a file aside and renames it in, so that tests running at the same time never see half of one.
fn place(path: &Path, content: &[u8]) {
    if std::fs::metadata(path).is_ok_and(|m| m.len() == content.len() as u64) {
        return;
    }
    let dir = path.parent().expect("a file has a directory");
    let mut aside = tempfile::NamedTempFile::new_in(dir).expect("a temporary file");
    aside.write_all(content).expect("write a data file");
    aside.persist(path).expect("put a data file in place");
}
