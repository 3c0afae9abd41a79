//! Whose rows are these? State deleted, older, copied; destination deleted: each is a typed stop that names both sides and the ways out,
//! and never a silent gap or a second copy. Each with a standard and a delta binding (semantics §1 and §4).

use std::path::Path;

use longshore_tests::destination;
use longshore_tests::nyc;
use longshore_tests::scene::{Finished, Scene};

const RUN: [&str; 4] = ["run", "--until", "caught-up", "flights.yaml"];
const ROWS: usize = 2_000;

#[test]
fn state_deleted_stops_and_take_over_or_fresh_are_the_ways_out() {
    let scene = moved();
    std::fs::remove_dir_all(scene.join(".longshore")).expect("delete the state");
    let stopped = scene.longshore(RUN).expect_code(1);
    names_the_ways_out(&stopped, "lake");
    assert_rows(&scene, ROWS);

    // Rows of a standard binding may stay: they are stored again under their keys. A delta binding with content is refused.
    let refused = scene.longshore([
        "run",
        "--until",
        "caught-up",
        "--yes",
        "--take-over",
        "lake",
        "--take-over",
        "archive",
        "flights.yaml",
    ]);
    assert_ne!(refused.code, Some(0), "a delta binding with content cannot be taken over\n{}", refused.stderr);
    scene
        .longshore([
            "run",
            "--until",
            "caught-up",
            "--yes",
            "--take-over",
            "lake",
            "--fresh",
            "archive",
            "flights.yaml",
        ])
        .expect_code(0);
    assert_rows(&scene, ROWS);
    scene.longshore(RUN).expect_code(0);
    assert_rows(&scene, ROWS);
}

#[test]
fn state_of_an_older_copy_stops() {
    let scene = moved();
    copy(&scene.join(".longshore"), &scene.join("older"));
    append_flights(&scene);
    scene.longshore(RUN).expect_code(0);
    assert_rows(&scene, ROWS + 2);
    std::fs::remove_dir_all(scene.join(".longshore")).expect("delete the state");
    std::fs::rename(scene.join("older"), scene.join(".longshore")).expect("put the older one back");
    let stopped = scene.longshore(RUN);
    assert_ne!(stopped.code, Some(0), "{}", stopped.stdout);
    names_the_ways_out(&stopped, "archive");
    assert_rows(&scene, ROWS + 2);
}

#[test]
fn an_older_copy_of_a_destination_of_files_stops_and_one_of_a_database_is_sent_what_it_lacks() {
    let scene = moved();
    copy(&scene.join("out"), &scene.join("older"));
    std::fs::copy(scene.join("nyc.db"), scene.join("older.db")).expect("copy a database");
    append_flights(&scene);
    scene.longshore(RUN).expect_code(0);
    assert_rows(&scene, ROWS + 2);
    let replace = |older: &str, newer: &str| {
        let newer = scene.join(newer);
        if newer.is_dir() {
            std::fs::remove_dir_all(&newer).expect("delete the newer one");
        }
        std::fs::rename(scene.join(older), newer).expect("put the older one back");
    };
    replace("older.db", "nyc.db");
    scene.longshore(RUN).expect_code(0);
    assert_rows(&scene, ROWS + 2);
    replace("older", "out");
    let stopped = scene.longshore(RUN).expect_code(1);
    names_the_ways_out(&stopped, "archive");
    scene.longshore(["run", "--until", "caught-up", "--yes", "--fresh", "archive", "flights.yaml"]).expect_code(0);
    assert_rows(&scene, ROWS + 2);
}

#[test]
fn a_copied_project_stops_at_the_first_ones_destinations() {
    let scene = moved();
    let copied = Scene::new();
    copy(&scene.join("."), &copied.join("."));
    // Made anew beside the copy: another installation, the same destinations.
    std::fs::remove_dir_all(copied.join(".longshore")).expect("delete the state");
    let stopped = copied.longshore(RUN).expect_code(1);
    names_the_ways_out(&stopped, "lake");
    assert_rows(&copied, ROWS);
}

#[test]
fn destination_deleted_stops_and_fresh_makes_it_again() {
    let scene = moved();
    for file in ["nyc.db", "nyc.db-wal", "nyc.db-shm"] {
        drop(std::fs::remove_file(scene.join(file)));
    }
    std::fs::remove_dir_all(scene.join("out")).expect("delete the archive");
    let stopped = scene.longshore(RUN).expect_code(1);
    assert!(
        stopped.stderr.contains("--fresh lake") || stopped.stderr.contains("--fresh archive"),
        "{}",
        stopped.stderr
    );
    scene
        .longshore(["run", "--until", "caught-up", "--yes", "--fresh", "lake", "--fresh", "archive", "flights.yaml"])
        .expect_code(0);
    assert_rows(&scene, ROWS);
}

#[test]
fn a_second_runtime_is_told_who_holds_the_state() {
    let scene = moved();
    let mut first = scene.start(["run", "flights.yaml"]);
    let holder = format!("\"pid\":{}", first.id());
    let lock = scene.join(".longshore/lock");
    // The file of the run before is there already; it names the holder once the lock is held.
    let holds = || std::fs::read_to_string(&lock).is_ok_and(|text| text.contains(&holder));
    assert!(first.wait_until(holds), "the first runtime holds the lock");
    let second = scene.longshore(RUN).expect_code(1);
    assert!(second.stderr.contains(&first.id().to_string()), "names the holder {}\n{}", first.id(), second.stderr);
    first.signal(rustix::process::Signal::TERM);
    first.finish().expect_code(0);
}

/// A scene whose flights have all been moved.
fn moved() -> Scene {
    let scene = nyc::scene_with(ROWS);
    scene.longshore(RUN).expect_code(0);
    assert_rows(&scene, ROWS);
    scene
}

#[track_caller]
fn assert_rows(scene: &Scene, rows: usize) {
    let table = destination::number(&scene.join("nyc.db"), "SELECT count(*) FROM flights");
    assert_eq!((table, destination::documents(&scene.join("out/flights")).len()), (rows as i64, rows), "SQLite, JSONL");
}

#[track_caller]
fn names_the_ways_out(finished: &Finished, task: &str) {
    for way in ["--fresh", "put", task] {
        assert!(finished.stderr.contains(way), "expected {way} in\n{}", finished.stderr);
    }
}

fn append_flights(scene: &Scene) {
    scene.append(
        "data/flights.csv",
        "2013,12,31,1,2,3,4,5,6,ZZ,9001,N00001,EWR,IAH,7,8,9,10,2014-01-01T10:00:00Z\n\
         2013,12,31,1,2,3,4,5,6,ZZ,9002,N00001,EWR,IAH,7,8,9,10,2014-01-01T10:00:00Z\n",
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("make a directory");
    for entry in std::fs::read_dir(from).expect("list a directory") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("a file type").is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).expect("copy a file");
        }
    }
}
