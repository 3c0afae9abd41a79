//! The connector against real directories, with a runtime end in memory that stops at every step.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::SystemTime;

use longshore_sdk::materialize::whole_files::Storage;
use longshore_sdk::materialize::{IdempotentDoor, Modes, idempotent};
use longshore_sdk::testing::crashing::{Crashing, Death};
use longshore_sdk::testing::materialize::{Bind, Durable, Runtime, ToConnector, all_fresh};
use longshore_sdk::{Error, ErrorKind};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sink::Files;

/// Deaths that are planned, by destination.
static DEATHS: LazyLock<Mutex<HashMap<PathBuf, Death>>> = LazyLock::new(Mutex::default);

/// The storage of a connector under test dies when its destination's death comes.
pub(crate) fn under_test(target: &Path, storage: Arc<dyn Storage>) -> Arc<dyn Storage> {
    Crashing::new(storage, death_of(target))
}

fn death_of(target: &Path) -> Death {
    DEATHS.lock().unwrap().entry(target.to_owned()).or_default().clone()
}

type FilesRuntime = Runtime<IdempotentDoor<Files>>;

struct Archive {
    directory: TempDir,
}

impl Archive {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    fn runtime(&self) -> FilesRuntime {
        self.runtime_with(json!({}), bind())
    }

    fn runtime_with(&self, config: Value, bind: Bind) -> FilesRuntime {
        let mut full = json!({ "path": self.target() });
        full.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        Runtime::new(idempotent(Files), full).bind(bind)
    }

    /// Lines of all published files, in the order of their names.
    fn lines(&self) -> Vec<String> {
        self.published().iter().flat_map(|path| read(path).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    fn published(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = entries(&self.target().join("flights"));
        paths.sort();
        paths
    }

    /// Every file with what changes when it is written.
    fn snapshot(&self) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        let mut found = BTreeMap::new();
        let mut directories = vec![self.target()];
        while let Some(directory) = directories.pop() {
            for path in entries(&directory) {
                let metadata = fs::metadata(&path).unwrap();
                if metadata.is_dir() {
                    directories.push(path.clone());
                }
                found.insert(path, (metadata.len(), metadata.modified().unwrap()));
            }
        }
        found
    }

    fn staged(&self) -> Vec<String> {
        let names =
            self.snapshot().into_keys().filter(|path| path.components().any(|part| part.as_os_str() == "staged"));
        names
            .filter(|path| path.is_file())
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
        "zst" => zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap(),
        _ => (&bytes[..]).read_to_string(&mut text).unwrap(),
    };
    text
}

fn bind() -> Bind {
    let schema = json!({ "type": "object", "properties": { "id": { "type": "integer" }, "v": {} }, "additionalProperties": false });
    Bind::new(json!({ "name": "flights" }), &["/id"]).schema(schema).delta()
}

fn document(id: u64) -> String {
    format!(r#"{{"id":{id}}}"#)
}

/// Documents `10 t` and `10 t + 1` are transaction t. Goes on behind what is committed, and stops where the connector does.
async fn run_to(runtime: &mut FilesRuntime, last: u64) -> Result<(), Error> {
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    for transaction in runtime.durable().transaction + 1..=last {
        let documents = [document(10 * transaction), document(10 * transaction + 1)];
        session.transact(&[(0, &[&documents[0], &documents[1]])]).await?;
    }
    session.close().await
}

fn expected(transactions: u64) -> Vec<String> {
    (1..=transactions).flat_map(|transaction| [document(10 * transaction), document(10 * transaction + 1)]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_document_once_and_nothing_unpublished_in_sight() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    assert_eq!(session.opened.recorded, None);
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session.store(0, &[r#"{"id":1,"v":"a\nb"}"#, r#"{"id":1,"_meta":{"op":"d"}}"#]).await.unwrap();
    session.commit().await.unwrap();
    assert!(archive.published().is_empty(), "committed is not published");
    session.acknowledge().await.unwrap();
    assert_eq!(archive.lines(), [r#"{"id":1,"v":"a\nb"}"#, r#"{"id":1,"_meta":{"op":"d"}}"#]);
    assert!(archive.published()[0].to_str().unwrap().ends_with(".jsonl"));
    session.transact(&[]).await.unwrap();
    assert_eq!(archive.published().len(), 1, "a transaction without documents makes no file");
    session.close().await.unwrap();
    assert_eq!(runtime.open().await.unwrap().opened.recorded.as_ref().map(|recorded| recorded.transaction), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_and_compressions_hold_the_same_documents() {
    for (config, extension, expected) in [
        (json!({ "compression": "gzip" }), ".jsonl.gz", &[r#"{"id":1,"v":"x"}"#, r#"{"id":2}"#][..]),
        (json!({ "compression": "zstd" }), ".jsonl.zst", &[r#"{"id":1,"v":"x"}"#, r#"{"id":2}"#]),
        (json!({ "format": "csv" }), ".csv", &["id,v", "1,x", "2,"]),
        (json!({ "format": "csv", "compression": "gzip" }), ".csv.gz", &["id,v", "1,x", "2,"]),
    ] {
        let archive = Archive::new();
        let mut runtime = archive.runtime_with(config, bind());
        runtime.apply().await.unwrap();
        let mut session = runtime.open().await.unwrap();
        session.acknowledge().await.unwrap();
        session.transact(&[(0, &[r#"{"id":1,"v":"x"}"#, r#"{"id":2}"#])]).await.unwrap();
        let name = archive.published()[0].to_str().unwrap().to_owned();
        assert!(name.ends_with(extension), "{name}");
        assert_eq!(archive.lines(), expected, "{extension}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_13_a_crash_at_any_step_and_one_in_its_recovery_lose_and_double_nothing() {
    let (mut first, mut fired) = (0, true);
    while fired {
        fired = false;
        for second in (first % 3..25).step_by(3) {
            let (drains, after) = ((first + second) % 2 == 0, second % 4 < 2);
            let archive = Archive::new();
            fired |= crash_twice(&archive, first, second, drains, after).await;
            let story =
                format!("death at operation {first}, then at {second}, after it: {after}, Apply first: {drains}");
            assert_eq!(archive.lines(), expected(2), "{story}");
            assert!(archive.staged().is_empty(), "{story}: orphans stay: {:?}", archive.staged());
        }
        first += 1;
    }
    assert!(first > 20, "only {first} operations to die at");
}

/// Whether the first death came.
async fn crash_twice(archive: &Archive, first: usize, second: usize, drains: bool, after: bool) -> bool {
    let death = death_of(&archive.target());
    let mut runtime = archive.runtime();
    runtime.apply().await.unwrap();
    death.comes(first, after);
    let fired = run_to(&mut runtime, 2).await.is_err();
    for operations in [Some(second), None] {
        match operations {
            Some(operations) => death.comes(operations, !after),
            None => death.never_comes(),
        }
        runtime.restart_connector(idempotent(Files));
        let applied = if drains { runtime.apply().await.map(drop) } else { Ok(()) };
        let ran = match applied {
            Ok(()) => run_to(&mut runtime, 2).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ran {
            assert!(operations.is_some(), "recovery failed: {error}");
        }
    }
    fired
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_acknowledge_that_finds_its_mark_writes_nothing() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    let committed = committed_and_published(&mut runtime).await;
    let taken_away = archive.published();
    fs::remove_file(&taken_away[0]).unwrap();
    runtime.set_durable(committed.clone());
    let mut session = runtime.open().await.unwrap();
    let before = archive.snapshot();
    session.acknowledge().await.unwrap();
    assert_eq!(archive.snapshot(), before, "what was published may have been taken away by its readers");
    drop(session);

    runtime.set_durable(committed);
    runtime.apply().await.unwrap();
    assert_eq!(archive.snapshot(), before, "draining it again neither");
}

/// One transaction; returns what was durable between its commit and its acknowledgement.
async fn committed_and_published(runtime: &mut FilesRuntime) -> Durable {
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session.store(0, &[&document(10), &document(11)]).await.unwrap();
    session.commit().await.unwrap();
    let committed = runtime.durable();
    session.acknowledge().await.unwrap();
    session.close().await.unwrap();
    committed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_applies_late_and_changes_nothing() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    runtime.apply().await.unwrap();
    let mut zombie = runtime.open().await.unwrap();
    zombie.acknowledge().await.unwrap();
    zombie.flush().await.unwrap();
    zombie.store(0, &[&document(10), &document(11)]).await.unwrap();
    zombie.commit().await.unwrap();
    runtime.restart_connector(idempotent(Files));
    run_to(&mut runtime, 2).await.unwrap();
    let before = archive.snapshot();
    zombie.send(ToConnector::Acknowledge { transaction: 1 }).await.unwrap();
    let error = zombie.receive().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    assert_eq!(archive.snapshot(), before);
    assert_eq!(archive.lines(), expected(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_staged_nor_published_nor_marked_is_a_stop() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    let committed = committed_and_published(&mut runtime).await;
    for path in archive.snapshot().into_keys().filter(|path| path.parent().unwrap().ends_with("applied")) {
        fs::remove_file(path).unwrap();
    }
    runtime.set_durable(committed.clone());
    runtime.apply().await.unwrap();
    assert_eq!(archive.lines(), expected(1), "without the mark, what is there is enough");

    for path in archive.snapshot().into_keys().filter(|path| path.parent().unwrap().ends_with("applied")) {
        fs::remove_file(path).unwrap();
    }
    fs::remove_file(&archive.published()[0]).unwrap();
    runtime.set_durable(committed);
    assert_eq!(runtime.apply().await.unwrap_err().code, "state.plan_lost");
    let mut session = runtime.open().await.unwrap();
    assert_eq!(session.acknowledge().await.unwrap_err().code, "state.plan_lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_file_is_never_replaced() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session.store(0, &[&document(10)]).await.unwrap();
    session.commit().await.unwrap();
    let plan: Value = serde_json::from_slice(&runtime.durable().plan.unwrap()).unwrap();
    let published = archive.target().join(plan["plan"]["files"][0]["published"].as_str().unwrap());
    let staged = archive.target().join(plan["plan"]["files"][0]["staged"].as_str().unwrap());
    fs::write(&published, "somebody else's").unwrap();
    let error = session.acknowledge().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "state.plan_lost"));
    assert_eq!(fs::read_to_string(&published).unwrap(), "somebody else's");

    fs::copy(&staged, &published).unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    assert_eq!(archive.lines(), [document(10)], "the same content is the same file");
    assert!(archive.staged().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_lost_what_was_committed_is_a_stop_until_the_user_begins_again() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    runtime.apply().await.unwrap();
    run_to(&mut runtime, 2).await.unwrap();
    fs::remove_dir_all(archive.target()).unwrap();
    runtime.apply().await.unwrap();
    let error = runtime.open().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "state.destination_lost"));
    assert!(error.suggestion.contains("run --fresh test"), "{error}");

    runtime.bindings[0].generation = 1;
    runtime.apply_with(all_fresh).await.unwrap();
    runtime.open().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beginning_again_drops_a_plan_that_cannot_be_applied_any_more() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    let committed = committed_and_published(&mut runtime).await;
    fs::remove_dir_all(archive.target()).unwrap();
    runtime.set_durable(committed);
    assert_eq!(runtime.apply().await.unwrap_err().code, "state.destination_lost");
    let actions = runtime.apply_with(all_fresh).await.unwrap();
    assert_eq!(actions[0], "drop the plan of transaction 1");
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    assert!(archive.lines().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_older_than_what_is_published_is_a_stop() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    runtime.apply().await.unwrap();
    run_to(&mut runtime, 1).await.unwrap();
    let older = runtime.durable();
    run_to(&mut runtime, 2).await.unwrap();
    runtime.set_durable(older);
    assert_eq!(runtime.open().await.unwrap_err().code, "state.older");
    assert_eq!(archive.lines(), expected(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_installation_writes_nothing_until_the_user_begins_again() {
    let archive = Archive::new();
    let mut first = archive.runtime();
    first.apply().await.unwrap();
    run_to(&mut first, 2).await.unwrap();
    let mut other = archive.runtime().of_installation(2);
    let recorded = other.validate().await.unwrap().recorded.unwrap();
    assert_eq!((recorded.installation, recorded.transaction), (first.owner.installation.clone(), 2));
    assert_eq!(other.apply().await.unwrap_err().code, "state.installation");
    assert_eq!(other.open().await.unwrap_err().code, "state.installation");
    let taken = other.apply_with(|apply| apply.take_over = true).await.unwrap_err();
    assert_eq!(taken.code, "files.resource.installation", "a delta binding with content is not taken over");
    assert_eq!(archive.lines(), expected(2));

    other.apply_with(all_fresh).await.unwrap();
    assert!(archive.lines().is_empty());
    run_to(&mut other, 3).await.unwrap();
    assert_eq!(archive.lines(), expected(3));
    assert_eq!(first.open().await.unwrap_err().code, "state.installation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_another_generation_task_or_installation_are_not_added_to() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    runtime.apply().await.unwrap();
    run_to(&mut runtime, 1).await.unwrap();
    runtime.bindings[0].generation = 1;
    assert_eq!(runtime.apply().await.unwrap_err().code, "files.resource.generation");
    runtime.bindings[0].generation = 0;
    runtime.owner.task = "other".to_owned();
    assert_eq!(runtime.apply().await.unwrap_err().code, "files.resource.task");
    fs::remove_dir_all(archive.target().join(".longshore")).unwrap();
    let mut later = archive.runtime().of_installation(2);
    assert_eq!(later.apply().await.unwrap_err().code, "files.resource.installation");
    later.bindings[0].generation = 1;
    later.apply_with(all_fresh).await.unwrap();
    assert!(archive.lines().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_somebody_holds_is_unavailable_and_not_a_dead_lock() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    runtime.apply().await.unwrap();
    drop(runtime.open().await.unwrap());
    let lock = archive.snapshot().into_keys().find(|path| path.file_name().unwrap() == "lock").unwrap();
    let held = fs::File::open(&lock).unwrap();
    held.lock().unwrap();
    let error = runtime.open().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "files.locked"));
    drop(held);
    runtime.open().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_thousand_marks_are_kept() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    runtime.apply().await.unwrap();
    run_to(&mut runtime, 1).await.unwrap();
    let marks = || {
        archive.snapshot().into_keys().filter(|path| path.parent().unwrap().ends_with("applied")).collect::<Vec<_>>()
    };
    let directory = marks()[0].parent().unwrap().to_owned();
    (2..=1000_u64).for_each(|transaction| fs::write(directory.join(format!("1-{transaction}")), "").unwrap());
    runtime.set_durable(Durable { transaction: 1000, ..runtime.durable() });
    run_to(&mut runtime, 1002).await.unwrap();
    assert_eq!(marks().len(), 1000);
    assert!(!directory.join("1-1").exists() && !directory.join("1-2").exists() && directory.join("1-3").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_work_is_found_before_anything_is_made() {
    let archive = Archive::new();
    let validated = archive.runtime().validate().await.unwrap();
    assert_eq!((validated.findings, validated.bindings[0].modes), (Vec::new(), Modes::DeltaOnly));
    let findings = async |config: Value, bind: Bind| {
        let validated = archive.runtime_with(config, bind).validate().await.unwrap();
        validated.findings.into_iter().map(|finding| (finding.code, finding.pointer)).collect::<Vec<_>>()
    };
    let found = |code: &str, pointer: &str| vec![(code.to_owned(), pointer.to_owned())];
    for name in ["../x", "/x", ".hidden", "a/.b", "a//b", "a/../b", "a\\b", "."] {
        let bind = Bind { resource: json!({ "name": name }), ..bind() };
        assert_eq!(findings(json!({}), bind).await, found("files.resource.name", "/name"), "{name}");
    }
    let open = bind().schema(json!({ "properties": { "id": {} } }));
    assert_eq!(findings(json!({ "format": "csv" }), open.clone()).await, found("files.csv.open_schema", ""));
    assert_eq!(findings(json!({}), open).await, []);
    assert!(!archive.target().exists(), "validating makes nothing");
    fs::write(archive.target(), "a file").unwrap();
    assert_eq!(findings(json!({}), bind()).await, found("files.path", "/path"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_what_apply_would_do_and_does_nothing() {
    let archive = Archive::new();
    let mut runtime = archive.runtime();
    let actions = runtime.apply_with(|apply| apply.dry_run = true).await.unwrap();
    assert_eq!(actions, [format!("make directory {}", archive.target().join("flights").display())]);
    assert!(!archive.target().exists());
}

#[test]
fn the_spec_is_a_promise() {
    let runtime = Runtime::new(idempotent(Files), json!({ "path": "out" }));
    insta::assert_snapshot!(runtime.printed_spec());
}
