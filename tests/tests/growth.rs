//! Schemas that grow while a flow runs: a new column of a file is a new column of the table, a wider type alters it, gets a column of its own, or
//! stops the task, as the user says; and all of it while the runtime or its connectors are killed.
//!
//! `LONGSHORE_KILLS` sets how many kills (a short slice by default; `cargo xtask test --long` asks for 20), `LONGSHORE_SEED` the seed.

use std::collections::BTreeMap;

use longshore_tests::destination;
use longshore_tests::killing::{kill_a_connector, plan, wait};
use longshore_tests::scene::{Finished, Scene};
use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use rustix::process::Signal;

const UNTIL: [&str; 3] = ["run", "--until", "caught-up"];

/// A catalog over `data/a-*.EXTENSION` into the table `a`, the delta table `log` and JSONL files; `binding` is said of the tables.
fn catalog(scene: &Scene, extension: &str, binding: &str) {
    scene.write(
        "longshore.yaml",
        format!(
            "captures:\n  in:\n    connector: files\n    config: {{ path: ./data, poll_interval: 50ms }}\n    bindings:\n      \
             - {{ resource: {{ glob: \"a-*.{extension}\" }}, collection: t/a }}\ncollections:\n  t/a: {{ key: [/id] }}\nmaterializations:\n  \
             db:\n    connector: sqlite\n    config: {{ path: ./out.db }}\n    bindings:\n      \
             - {{ collection: t/a, resource: {{ table: a }}{binding} }}\n  \
             lines:\n    connector: files\n    config: {{ path: ./lines }}\n    bindings:\n      \
             - {{ collection: t/a, resource: {{ name: a }}, delta_updates: true }}\n"
        ),
    );
}

fn run(scene: &Scene) -> Finished {
    scene.longshore(UNTIL).expect_code(0)
}

/// Rows of a query, each as text with `|` between; null is `-`.
fn query(scene: &Scene, select: &str) -> Option<Vec<String>> {
    let connection = Connection::open(scene.join("out.db")).ok()?;
    let mut select = connection.prepare(select).ok()?;
    let width = select.column_count();
    let text = |value: Sql| match value {
        Sql::Null => "-".to_owned(),
        Sql::Integer(value) => value.to_string(),
        Sql::Real(value) => format!("{value:?}"),
        Sql::Text(text) => format!("'{text}'"),
        Sql::Blob(_) => panic!("a blob"),
    };
    let row = |row: &rusqlite::Row<'_>| {
        let values: rusqlite::Result<Vec<Sql>> = (0..width).map(|i| row.get(i)).collect();
        Ok(values?.into_iter().map(text).collect::<Vec<_>>().join("|"))
    };
    let found = select.query_map([], row).ok()?.collect::<rusqlite::Result<_>>();
    found.ok()
}

fn rows(scene: &Scene, select: &str) -> Vec<String> {
    query(scene, select).unwrap_or_else(|| panic!("cannot ask {select}"))
}

#[test]
fn a_new_column_appears_while_the_flow_runs_and_one_that_is_gone_stays() {
    let scene = Scene::new();
    scene.write("data/a-1.csv", "id,v\n1,10\n");
    catalog(&scene, "csv", "");
    let mut running = scene.start(["run"]);
    let mut expect = |select: &str, expected: &[&str]| {
        let holds = || query(&scene, select).is_some_and(|found| found == expected);
        assert!(running.wait_until(holds), "{select}: expected {expected:?}, got {:?}", query(&scene, select));
    };
    expect("SELECT * FROM a", &["1|10"]);
    scene.write("data/a-2.csv", "id,v,note\n2,20,new\n");
    expect("SELECT id, v, note FROM a ORDER BY id", &["1|10|-", "2|20|'new'"]);
    scene.write("data/a-3.csv", "id,Note\n3,other\n");
    expect("SELECT id, v, note, Note_2 FROM a ORDER BY id", &["1|10|-|-", "2|20|'new'|-", "3|-|-|'other'"]);
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
    run(&scene);
    assert_eq!(destination::documents(&scene.join("lines/a")).len(), 3);
}

#[test]
fn a_value_of_another_type_gets_a_column_of_its_own_where_the_user_wants_it_split() {
    let scene = Scene::new();
    scene.write("data/a-1.jsonl", "{\"id\":1,\"v\":7}\n");
    catalog(&scene, "jsonl", ", on_conflict: split");
    run(&scene);
    scene.append("data/a-1.jsonl", "{\"id\":2,\"v\":7.5}\n");
    run(&scene);
    assert_eq!(rows(&scene, "SELECT * FROM a ORDER BY id"), ["1|7.0", "2|7.5"], "of one kind");
    scene.append("data/a-1.jsonl", "{\"id\":3,\"v\":\"\"}\n{\"id\":4,\"v\":\"007\"}\n{\"id\":5,\"v\":8}\n{\"id\":6,\"v\":[1.0]}\n{\"id\":7,\"v\":null}\n");
    run(&scene);
    let split = "SELECT id, v, v__string, v__json FROM a ORDER BY id";
    let expected = ["1|7.0|-|-", "2|7.5|-|-", "3|-|''|-", "4|-|'007'|-", "5|8.0|-|-", "6|-|-|'[1.0]'", "7|-|-|-"];
    assert_eq!(rows(&scene, split), expected);
    scene.append("data/a-1.jsonl", "{\"id\":1,\"v\":\"one\"}\n");
    run(&scene);
    assert_eq!(
        rows(&scene, &split.replace("ORDER BY id", "WHERE id = 1")),
        ["1|-|'one'|-"],
        "the row changed its type"
    );
    let check = scene.longshore(["check"]).expect_code(0);
    assert!(check.stdout.contains("/v as \"v__string\""), "{}", check.stdout);
}

#[test]
fn a_value_of_another_type_stops_the_task_where_the_user_wants_to_be_asked() {
    let scene = Scene::new();
    scene.write("data/a-1.csv", "id,v\n1,10\n");
    catalog(&scene, "csv", ", on_conflict: stop");
    run(&scene);
    scene.append("data/a-1.csv", "2,20\n3,x\n4,40\n");
    let stopped = scene.longshore(UNTIL).expect_code(1);
    for says in ["binding.conflict", "field /v of t/a: expected integer", "got string", "on_conflict: widen", "split"] {
        assert!(stopped.stderr.contains(says), "{says}:\n{}", stopped.stderr);
    }
    let kept = rows(&scene, "SELECT id, v FROM a ORDER BY id");
    assert!(kept == ["1|10"] || kept == ["1|10", "2|20"], "nothing of the new type: {kept:?}");
    scene.longshore(UNTIL).expect_code(1);
    catalog(&scene, "csv", ", on_conflict: widen");
    run(&scene);
    let stored = rows(&scene, "SELECT id, v FROM a ORDER BY id");
    assert_eq!((stored.len(), stored[2].as_str()), (4, "3|'x'"), "{stored:?}");
    assert_eq!(destination::documents(&scene.join("lines/a")).len(), 4);
}

#[test]
fn who_reads_a_journal_after_its_types_have_widened_gets_what_came_before_too() {
    let scene = Scene::new();
    scene.write("data/a-1.csv", "id,v,w\n1,10,true\n2,1e3,false\n");
    catalog(&scene, "csv", "");
    run(&scene);
    scene.write("data/a-2.csv", "id,v,w\n3,x,y\n");
    run(&scene);
    for file in ["out.db", "out.db-wal", "out.db-shm"] {
        let path = scene.join(file);
        assert!(!path.exists() || std::fs::remove_file(path).is_ok());
    }
    scene.longshore([UNTIL.as_slice(), &["--yes", "--fresh", "db"]].concat()).expect_code(0);
    assert_eq!(rows(&scene, "SELECT * FROM a ORDER BY id"), ["1|'10'|1", "2|'1e3'|0", "3|'x'|'y'"]);
}

/// What was written into the source so far: by id, the columns it has beside.
#[derive(Default)]
struct Source {
    files: u64,
    rows: BTreeMap<u64, Vec<(String, String)>>,
}

impl Source {
    /// One more file: some rows with a column that no file had before, or values of a type that `v` did not have.
    fn grow(&mut self, scene: &Scene) {
        self.files += 1;
        let column = format!("c{}", self.files / 2);
        let mut text = format!("id,v,{column}\n");
        for _ in 0..50 {
            let id = self.rows.len() as u64;
            // Integers, then numbers, then texts.
            let v = match self.files {
                0..4 => format!("{id}"),
                4..8 => format!("{id}.5"),
                _ => format!("text {id}"),
            };
            text.push_str(&format!("{id},{v},{column}-{id}\n"));
            self.rows.insert(id, vec![("v".to_owned(), v), (column.clone(), format!("{column}-{id}"))]);
        }
        // Complete when it appears: renamed in.
        scene.write("data/next", text);
        let to = scene.join(format!("data/a-{:03}.csv", self.files));
        std::fs::rename(scene.join("data/next"), to).expect("rename a file");
    }

    /// Every row is there once, with what it had, in the table and in the files.
    fn assert_everything_once(&self, scene: &Scene) {
        let mut columns: Vec<String> = self.rows.values().flatten().map(|(name, _)| name.clone()).collect();
        columns.sort();
        columns.dedup();
        let found = rows(scene, &format!("SELECT id, {} FROM a ORDER BY id", columns.join(", ")));
        let expected: Vec<String> = self.rows.iter().map(|(id, row)| shown(*id, row, &columns)).collect();
        let plain: Vec<String> = found.iter().map(|row| row.replace('\'', "")).collect();
        assert_eq!(plain.len(), expected.len());
        for (found, expected) in plain.iter().zip(&expected) {
            // An integer of before may have become a double of the same value.
            let same = found == expected || found.strip_suffix(".0") == Some(expected);
            assert!(same, "found {found}, expected {expected}");
        }
        let documents = destination::documents(&scene.join("lines/a"));
        let mut ids: Vec<u64> = documents.iter().map(|document| document["id"].as_u64().expect("an id")).collect();
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(self.rows.keys().copied()), "{} documents of {}", ids.len(), self.rows.len());
    }
}

fn shown(id: u64, row: &[(String, String)], columns: &[String]) -> String {
    let value = |column: &String| row.iter().find(|(name, _)| name == column).map_or("-", |(_, value)| value.as_str());
    columns.iter().fold(id.to_string(), |text, column| format!("{text}|{}", value(column)))
}

#[test]
fn schemas_grow_while_the_runtime_is_killed() {
    let (kills, mut dice) = plan();
    let scene = Scene::new();
    catalog(&scene, "csv", "");
    let mut source = Source::default();
    source.grow(&scene);
    for _ in 0..kills {
        let mut running = scene.start(["run"]);
        assert!(wait(&mut running, dice.milliseconds(20, 500)));
        source.grow(&scene);
        assert!(wait(&mut running, dice.milliseconds(20, 1_500)), "it ended by itself");
        running.kill();
    }
    run(&scene);
    source.assert_everything_once(&scene);
    let entry =
        serde_json::json!({ "test": "growth-runtime-kills", "seed": dice.seed, "kills": kills, "lost": 0, "twice": 0 });
    println!("ledger: {entry}");
}

#[test]
fn schemas_grow_while_connectors_are_killed() {
    let (kills, mut dice) = plan();
    let scene = Scene::new();
    catalog(&scene, "csv", "");
    let mut source = Source::default();
    source.grow(&scene);
    let mut killed = 0;
    let mut running = scene.start(["run"]);
    while killed < kills {
        assert!(wait(&mut running, dice.milliseconds(20, 700)), "it ended by itself");
        let Some(died) = kill_a_connector(&running, &mut dice) else { continue };
        killed += u64::from(died);
        source.grow(&scene);
    }
    running.signal(Signal::TERM);
    running.finish();
    run(&scene);
    source.assert_everything_once(&scene);
    let entry = serde_json::json!({ "test": "growth-connector-kills", "seed": dice.seed, "kills": killed, "lost": 0, "twice": 0 });
    println!("ledger: {entry}");
}
