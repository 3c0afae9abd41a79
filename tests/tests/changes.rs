//! The catalog and the data change between runs and while running: bindings come and go, keys change, files grow and widen.

use longshore_tests::destination;
use longshore_tests::scene::Scene;
use rustix::process::Signal;

const UNTIL: [&str; 3] = ["run", "--until", "caught-up"];

/// A catalog over `data/*.csv` with these capture and materialization bindings, by file stem, into tables of the same name.
fn catalog(scene: &Scene, captured: &[&str], stored: &[&str], key: &str) {
    let bindings: String =
        captured.iter().map(|n| format!("      - {{ resource: {{ glob: {n}.csv }}, collection: t/{n} }}\n")).collect();
    let collections: String = captured.iter().map(|n| format!("  t/{n}: {{ key: [{key}] }}\n")).collect();
    let tables: String =
        stored.iter().map(|n| format!("      - {{ collection: t/{n}, resource: {{ table: {n} }} }}\n")).collect();
    scene.write(
        "longshore.yaml",
        format!(
            "captures:\n  in:\n    connector: files\n    config: {{ path: ./data, format: csv }}\n    bindings:\n{bindings}\
             collections:\n{collections}materializations:\n  out:\n    connector: sqlite\n    config: {{ path: ./out.db }}\n    \
             bindings:\n{tables}"
        ),
    );
}

fn count(scene: &Scene, table: &str) -> i64 {
    destination::number(&scene.join("out.db"), &format!("SELECT count(*) FROM \"{table}\""))
}

fn two_files() -> Scene {
    let scene = Scene::new();
    scene.write("data/a.csv", "id,v\n1,x\n2,y\n").write("data/b.csv", "id,v\n1,x\n2,y\n3,z\n");
    scene
}

#[test]
fn a_binding_added_above_another_starts_from_the_beginning_and_the_other_goes_on() {
    let scene = two_files();
    catalog(&scene, &["b"], &["b"], "/id");
    scene.longshore(UNTIL).expect_code(0);
    catalog(&scene, &["a", "b"], &["a", "b"], "/id");
    let second = scene.longshore([UNTIL.as_slice(), &["--json"]].concat()).expect_code(0);
    assert_eq!(second.rows("out"), [("t/a".to_owned(), 2), ("t/b".to_owned(), 0)]);
    assert_eq!((count(&scene, "a"), count(&scene, "b")), (2, 3));
}

#[test]
fn a_materialization_binding_added_later_gets_the_history_from_the_journal() {
    let scene = two_files();
    catalog(&scene, &["a", "b"], &["a"], "/id");
    scene.longshore(UNTIL).expect_code(0);
    catalog(&scene, &["a", "b"], &["b", "a"], "/id");
    let second = scene.longshore([UNTIL.as_slice(), &["--json"]].concat()).expect_code(0);
    assert_eq!(second.rows("in"), [("t/a".to_owned(), 0), ("t/b".to_owned(), 0)], "nothing is captured again");
    assert_eq!(second.rows("out"), [("t/b".to_owned(), 3), ("t/a".to_owned(), 0)]);
    assert_eq!((count(&scene, "a"), count(&scene, "b")), (2, 3));
}

#[test]
fn a_binding_taken_out_keeps_what_it_wrote() {
    let scene = two_files();
    catalog(&scene, &["a", "b"], &["a", "b"], "/id");
    scene.longshore(UNTIL).expect_code(0);
    catalog(&scene, &["b"], &["b"], "/id");
    scene.longshore(UNTIL).expect_code(0);
    assert_eq!((count(&scene, "a"), count(&scene, "b")), (2, 3));
    catalog(&scene, &["a", "b"], &["a", "b"], "/id");
    scene.longshore(UNTIL).expect_code(0);
    assert_eq!((count(&scene, "a"), count(&scene, "b")), (2, 3), "added back it starts over, by key");
}

#[test]
fn a_changed_key_is_refused_with_the_way_out() {
    let scene = two_files();
    catalog(&scene, &["a"], &["a"], "/id");
    scene.longshore(UNTIL).expect_code(0);
    catalog(&scene, &["a"], &["a"], "/id, /v");
    let refused = scene.longshore(UNTIL).expect_code(2);
    assert!(refused.stderr.contains("--fresh in/"), "{}", refused.stderr);
    scene.longshore([UNTIL.as_slice(), &["--yes", "--fresh", "in", "--fresh", "out"]].concat()).expect_code(0);
    assert_eq!(count(&scene, "a"), 2);
}

#[test]
fn a_running_flow_takes_new_rows_new_files_and_wider_types_without_a_restart() {
    let scene = Scene::new();
    scene.write("data/a-1.csv", "id,v\n1,10\n2,20\n");
    scene.write(
        "longshore.yaml",
        "captures:\n  in:\n    connector: files\n    config: { path: ./data, format: csv }\n    bindings:\n      \
         - { resource: { glob: \"a-*.csv\" }, collection: t/a }\ncollections:\n  t/a: { key: [/id] }\nmaterializations:\n  out:\n    \
         connector: sqlite\n    config: { path: ./out.db }\n    bindings:\n      - { collection: t/a, resource: { table: a } }\n",
    );
    let database = scene.join("out.db");
    let has = |query: &str, expected: i64| {
        let open = rusqlite::Connection::open(&database);
        open.and_then(|c| c.query_row(query, [], |row| row.get::<_, i64>(0))).is_ok_and(|found| found == expected)
    };
    let mut running = scene.start(["run", "-v"]);
    let mut expect = |query: &str, expected: i64| {
        assert!(running.wait_until(|| has(query, expected)), "{query}: expected {expected}");
    };
    expect("SELECT count(*) FROM a", 2);
    scene.append("data/a-1.csv", "3,30\n");
    expect("SELECT count(*) FROM a", 3);
    scene.write("data/a-2.csv", "id,v\n4,40\n");
    expect("SELECT count(*) FROM a", 4);
    scene.append("data/a-1.csv", "5,5.5\n");
    expect("SELECT count(*) FROM a WHERE v = 5.5", 1);
    scene.append("data/a-2.csv", "6,six\n");
    expect("SELECT count(*) FROM a WHERE v = 'six'", 1);
    expect("SELECT count(*) FROM a", 6);
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
    scene.longshore(UNTIL).expect_code(0);
    assert_eq!(count(&scene, "a"), 6);
}

#[test]
fn c_11_what_apply_returns_is_there_at_every_open_and_apply_does_nothing_twice() {
    let scene = Scene::new();
    let prepared = longshore_tests::scene::bin_dir().join("prepared");
    scene.write(
        "longshore.yaml",
        format!(
            "captures:\n  in:\n    command: [{}]\n    config: {{ path: ./slot }}\n    bindings:\n      - {{ resource: {{ stream: s }}, collection: t/s }}\n\
             collections:\n  t/s: {{ key: [/id] }}\n",
            prepared.display()
        ),
    );
    for _ in 0..3 {
        scene.longshore(UNTIL).expect_code(0);
        let made = std::fs::read_dir(scene.path()).expect("the scene").flatten();
        let made = made.filter(|entry| entry.file_name().to_string_lossy().starts_with("slot")).count();
        assert_eq!(made, 1, "each run applies, and finds in the state what was made");
    }
}
