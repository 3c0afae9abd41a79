//! Files that their writer is not done with are left for later.

#![allow(clippy::disallowed_methods, reason = "files get an age")]

use std::time::{Duration, SystemTime};

use longshore_sdk::finding::Severity;
use serde_json::{Value, json};

use crate::folder::{Folder, catch_up, documents};

fn of_age(folder: &Folder, name: &str, seconds: u64) {
    let file = std::fs::File::options().append(true).open(folder.path(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

#[tokio::test]
async fn a_file_is_taken_when_its_marker_is_there() {
    let folder = Folder::new();
    folder.write("a.csv", "id\n1\n");
    folder.write("b.csv", "id\n2\n");
    folder.write("b.csv.done", "");
    let mut task =
        folder.task(json!({ "ready_marker": ".done", "format": "csv" })).binding(json!({ "glob": "*" }), "c", &["/id"]);
    let mut session = task.open().await.unwrap();
    let first = session.until_caught_up().await.unwrap();
    assert_eq!(documents(&first), [json!({ "id": 2 })], "caught up without the one that is not ready");
    folder.write("a.csv.done", "");
    let next = session.next().await.unwrap().unwrap();
    assert_eq!(documents(&[next]), [json!({ "id": 1 })]);
    // One that was begun needs its marker no more.
    std::fs::remove_file(folder.path("a.csv.done")).unwrap();
    folder.append("a.csv", "3\n");
    let grown = session.next().await.unwrap().unwrap();
    assert_eq!(documents(&[grown]), [json!({ "id": 3 })]);
    session.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_is_taken_when_it_was_left_alone_for_long_enough() {
    let folder = Folder::new();
    folder.write("old.csv", "id\n1\n");
    folder.write("new.csv", "id\n2\n");
    of_age(&folder, "old.csv", 7_200);
    let mut task = folder.task(json!({ "ready_after": "1h" })).binding(json!({ "glob": "*.csv" }), "c", &["/id"]);
    assert_eq!(catch_up(&mut task).await, [json!({ "id": 1 })]);
    // What it grows by waits too.
    folder.append("old.csv", "3\n");
    assert_eq!(catch_up(&mut task).await, Vec::<Value>::new());
    of_age(&folder, "old.csv", 7_200);
    of_age(&folder, "new.csv", 7_200);
    assert_eq!(catch_up(&mut task).await, [json!({ "id": 2 }), json!({ "id": 3 })]);
}

#[tokio::test]
async fn what_nobody_may_look_at_yet_is_told_and_not_judged() {
    let folder = Folder::new();
    folder.write("f.csv", "id,na");
    let task = folder.task(json!({ "ready_marker": ".done" })).binding(json!({ "glob": "*.csv" }), "c", &["/name"]);
    let found = task.validate().await.unwrap();
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((finding.severity, finding.code.as_str()), (Severity::Warning, "files.glob.not_ready"));
    assert!(finding.suggestion.contains(".done"), "{finding:?}");
    let error = task.discover_bindings().await.expect_err("nothing to look at");
    assert_eq!(error.code, "files.glob.not_ready");
}
