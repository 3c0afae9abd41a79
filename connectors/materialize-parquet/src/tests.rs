//! The connector with a runtime end in memory that stops at every operation: against real directories, and against a bucket in memory.
//! Against a real S3 service, and read back by other programs, it is tested in `tests/tests/parquet.rs`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore_sdk::ErrorKind;
use longshore_sdk::materialize::whole_files::{Directory, Storage};
use longshore_sdk::materialize::{IdempotentDoor, Modes, idempotent};
use longshore_sdk::testing::crashing::{Crashing, Death};
use longshore_sdk::testing::materialize::{Bind, Runtime, ToConnector, all_fresh};
use longshore_sdk::{Error, Result};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bucket::Bucket;
use crate::config::{Config, Place};
use crate::sink::Parquet;

/// Deaths that are planned, and buckets in memory, by destination.
static DEATHS: LazyLock<Mutex<HashMap<String, Death>>> = LazyLock::new(Mutex::default);
static BUCKETS: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

/// The storage of a connector under test dies when its destination's death comes; of a bucket, it is one in memory.
pub(crate) fn storage(config: &Config) -> Option<Arc<dyn Storage>> {
    let storage: Arc<dyn Storage> = match config.place().ok()? {
        Place::Directory(path) => Arc::new(Directory::new(path)),
        Place::Bucket { bucket, prefix } => {
            Arc::new(Bucket::new(in_memory(&bucket), "memory", &bucket, &prefix).unwrap())
        }
    };
    let death = death_of(&storage.shown());
    Some(Crashing::new(storage, death))
}

fn death_of(destination: &str) -> Death {
    DEATHS.lock().unwrap().entry(destination.to_owned()).or_default().clone()
}

fn in_memory(bucket: &str) -> Arc<InMemory> {
    Arc::clone(BUCKETS.lock().unwrap().entry(bucket.to_owned()).or_default())
}

type ParquetRuntime = Runtime<IdempotentDoor<Parquet>>;

/// A destination of a test.
enum Lake {
    Directory(TempDir),
    Bucket(String),
}

impl Lake {
    fn directory() -> Self {
        Self::Directory(tempfile::tempdir().unwrap())
    }

    fn bucket() -> Self {
        let mut all = BUCKETS.lock().unwrap();
        let name = format!("bucket-{}", all.len());
        all.insert(name.clone(), Arc::default());
        Self::Bucket(name)
    }

    fn death(&self) -> Death {
        death_of(&match self {
            Self::Directory(directory) => directory.path().join("lake").display().to_string(),
            Self::Bucket(name) => format!("s3://{name}/lake"),
        })
    }

    fn config(&self) -> Value {
        match self {
            Self::Directory(directory) => json!({ "path": directory.path().join("lake") }),
            Self::Bucket(name) => json!({
                "url": format!("s3://{name}/lake"), "access_key_id": "id", "secret_access_key": "key",
            }),
        }
    }

    fn runtime(&self) -> ParquetRuntime {
        self.runtime_with(json!({}), bind())
    }

    fn runtime_with(&self, config: Value, bind: Bind) -> ParquetRuntime {
        let mut full = self.config();
        full.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        Runtime::new(idempotent(Parquet), full).bind(bind)
    }

    /// Every file whose name ends in `.parquet`, hidden or not, in the order of names.
    async fn files(&self) -> Vec<(String, Bytes)> {
        let mut files = self.everything().await;
        files.retain(|(name, _)| name.ends_with(".parquet"));
        files
    }

    async fn everything(&self) -> Vec<(String, Bytes)> {
        let mut found = Vec::new();
        match self {
            Self::Directory(directory) => walk(directory.path(), &mut found),
            Self::Bucket(name) => {
                let store = in_memory(name);
                let mut listed = store.list(None);
                while let Some(object) = listed.next().await {
                    let at = object.unwrap().location;
                    found.push((at.to_string(), store.get(&at).await.unwrap().bytes().await.unwrap()));
                }
            }
        }
        found.sort();
        found
    }

    /// The ids in all files.
    async fn ids(&self) -> Vec<i64> {
        let ids = |(_, bytes): &(String, Bytes)| {
            rows(bytes).into_iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        self.files().await.iter().flat_map(ids).collect()
    }

    async fn staged(&self) -> Vec<String> {
        let names = self.everything().await.into_iter().map(|(name, _)| name);
        names.filter(|name| name.contains("/staged/")).collect()
    }
}

fn walk(directory: &FilePath, found: &mut Vec<(String, Bytes)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, found),
            false => found.push((path.display().to_string(), fs::read(&path).unwrap().into())),
        }
    }
}

fn rows(bytes: &Bytes) -> Vec<Value> {
    let reader = SerializedFileReader::new(bytes.clone()).unwrap();
    let row = |row: Row| row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect();
    reader.get_row_iter(None).unwrap().map(|one| Value::Object(row(one.unwrap()))).collect()
}

fn value(field: &Field) -> Value {
    #[allow(clippy::wildcard_enum_match_arm, reason = "no column is of another type")]
    match field {
        Field::Null => Value::Null,
        Field::Long(value) => json!(value),
        Field::Double(value) => json!(value),
        Field::Bool(value) => json!(value),
        Field::Str(value) => json!(value),
        Field::Bytes(value) => json!(value.as_utf8().unwrap()),
        other => panic!("a column of another type: {other:?}"),
    }
}

fn bind() -> Bind {
    let schema = json!({ "type": "object", "properties": { "id": { "type": "integer" }, "v": { "type": "number" } }, "additionalProperties": false });
    Bind::new(json!({ "name": "flights" }), &["/id"]).schema(schema).delta()
}

fn document(id: u64) -> String {
    format!(r#"{{"id":{id}}}"#)
}

/// Documents `10 t` and `10 t + 1` are transaction t. Goes on behind what is committed, and stops where the connector does.
async fn run_to(runtime: &mut ParquetRuntime, last: u64) -> Result<(), Error> {
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    for transaction in runtime.durable().transaction + 1..=last {
        let documents = [document(10 * transaction), document(10 * transaction + 1)];
        session.transact(&[(0, &[&documents[0], &documents[1]])]).await?;
    }
    session.close().await
}

fn expected(transactions: i64) -> Vec<i64> {
    (1..=transactions).flat_map(|transaction| [10 * transaction, 10 * transaction + 1]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_document_once_and_nothing_unpublished_in_sight() {
    for lake in [Lake::directory(), Lake::bucket()] {
        let mut runtime = lake.runtime();
        runtime.apply().await.unwrap();
        let mut session = runtime.open().await.unwrap();
        assert_eq!(
            (session.opened.recorded.clone(), session.opened.close_policy.greatest_age_ms),
            (None, Some(60_000))
        );
        session.acknowledge().await.unwrap();
        session.flush().await.unwrap();
        session.store(0, &[r#"{"id":1,"v":0.5}"#, r#"{"id":1,"_meta":{"op":"d"}}"#]).await.unwrap();
        session.commit().await.unwrap();
        assert!(lake.files().await.is_empty(), "committed is not published");
        session.acknowledge().await.unwrap();
        let files = lake.files().await;
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(
            rows(&files[0].1),
            [json!({ "id": 1, "v": 0.5, "_meta": null }), json!({ "id": 1, "v": null, "_meta": "{\"op\":\"d\"}" })]
        );
        assert!(lake.staged().await.is_empty());
        session.transact(&[]).await.unwrap();
        assert_eq!(lake.files().await.len(), 1, "a transaction without documents makes no file");
        session.close().await.unwrap();
        let recorded = runtime.open().await.unwrap().opened.recorded.clone();
        assert_eq!(recorded.map(|recorded| recorded.transaction), Some(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_footer_tells_where_a_file_is_from() {
    let lake = Lake::directory();
    let mut runtime = lake.runtime();
    runtime.apply().await.unwrap();
    run_to(&mut runtime, 1).await.unwrap();
    let reader = SerializedFileReader::new(lake.files().await[0].1.clone()).unwrap();
    let told = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let told: HashMap<&str, &str> = told.iter().map(|one| (one.key.as_str(), one.value.as_deref().unwrap())).collect();
    for (key, value) in [
        ("task", "test"),
        ("collection", "test/documents"),
        ("transaction", "1"),
        ("epoch", "1"),
        ("schema_version", "1"),
    ] {
        assert_eq!(told[format!("longshore.{key}").as_str()], value, "{key}");
    }
    assert_eq!(told["longshore.installation"], runtime.owner.installation.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_larger_than_a_file_makes_several_that_hold_it_in_order() {
    for lake in [Lake::directory(), Lake::bucket()] {
        let mut runtime = lake.runtime_with(json!({ "file_bytes": 4096, "compression": "none" }), bind());
        runtime.apply().await.unwrap();
        let mut session = runtime.open().await.unwrap();
        session.acknowledge().await.unwrap();
        let documents: Vec<String> = (0..2_000).map(document).collect();
        let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
        session.transact(&[(0, &documents)]).await.unwrap();
        let files = lake.files().await;
        assert!(files.len() > 3, "{} files", files.len());
        assert!(files.iter().all(|(_, bytes)| bytes.len() < 3 * 4096), "files of about 4 KiB");
        assert_eq!(lake.ids().await, (0..2_000).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_column_cannot_hold_is_rejected_and_nothing_of_it_is_published() {
    let lake = Lake::bucket();
    let mut runtime = lake.runtime();
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session.store(0, &[&document(1), r#"{"id":2,"v":"text"}"#]).await.unwrap();
    let error = session.commit().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, "parquet.value"));
    drop(session);
    run_to(&mut runtime, 1).await.unwrap();
    assert_eq!(lake.ids().await, expected(1));
    assert!(lake.staged().await.is_empty(), "{:?}", lake.staged().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_13_a_death_at_any_operation_and_one_in_its_recovery_lose_and_double_nothing() {
    for (make, least) in [(Lake::directory as fn() -> Lake, 20), (Lake::bucket, 20)] {
        let (mut first, mut fired) = (0, true);
        while fired {
            fired = false;
            for second in (first % 3..25).step_by(3) {
                let (drains, after) = ((first + second) % 4 < 2, second % 4 < 2);
                let lake = make();
                fired |= die_twice(&lake, first, second, drains, after).await;
                let story =
                    format!("death at operation {first}, then at {second}, after it: {after}, Apply first: {drains}");
                assert_eq!(lake.ids().await, expected(2), "{story}");
                assert!(lake.staged().await.is_empty(), "{story}: orphans stay: {:?}", lake.staged().await);
            }
            first += 1;
        }
        assert!(first > least, "only {first} operations to die at");
    }
}

/// Whether the first death came. Whenever somebody looks, all files are whole and hold what is committed.
async fn die_twice(lake: &Lake, first: usize, second: usize, drains: bool, after: bool) -> bool {
    let death = lake.death();
    let mut runtime = lake.runtime();
    runtime.apply().await.unwrap();
    death.comes(first, after);
    let fired = run_to(&mut runtime, 2).await.is_err();
    for operations in [Some(second), None] {
        let committed = i64::try_from(runtime.durable().transaction).unwrap();
        let ids = lake.ids().await;
        assert!(expected(committed).starts_with(&ids), "{committed} transactions are committed, published: {ids:?}");
        match operations {
            Some(operations) => death.comes(operations, !after),
            None => death.never_comes(),
        }
        runtime.restart_connector(idempotent(Parquet));
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
async fn a_zombie_publishes_nothing_that_was_not_committed() {
    for lake in [Lake::directory(), Lake::bucket()] {
        let mut runtime = lake.runtime();
        runtime.apply().await.unwrap();
        let mut zombie = runtime.open().await.unwrap();
        zombie.acknowledge().await.unwrap();
        zombie.flush().await.unwrap();
        zombie.store(0, &[&document(7)]).await.unwrap();
        zombie.commit_unrecorded().await.unwrap();
        // Its runtime is gone before it could record that: the next one begins the transaction anew.
        run_to(&mut runtime, 2).await.unwrap();
        let before = lake.everything().await;
        zombie.send(ToConnector::Acknowledge { transaction: 1 }).await.unwrap();
        let error = zombie.receive().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
        assert_eq!(lake.everything().await, before);
        assert_eq!(lake.ids().await, expected(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_over_takes_what_is_staged_away_too() {
    for lake in [Lake::directory(), Lake::bucket()] {
        let mut runtime = lake.runtime();
        runtime.apply().await.unwrap();
        run_to(&mut runtime, 1).await.unwrap();
        let mut session = runtime.open().await.unwrap();
        session.acknowledge().await.unwrap();
        session.flush().await.unwrap();
        session.store(0, &[&document(7)]).await.unwrap();
        session.commit_unrecorded().await.unwrap();
        drop(session);
        assert_eq!(lake.staged().await.len(), 1);
        let said = runtime.apply_with(|apply| (apply.dry_run, apply.fresh) = (true, fresh())).await.unwrap();
        assert!(said[0].starts_with("remove 1 published files from"), "{said:?}");
        runtime.bindings[0].generation = 1;
        runtime.apply_with(all_fresh).await.unwrap();
        assert!(lake.files().await.is_empty() && lake.staged().await.is_empty());
        runtime.set_durable(Default::default());
        run_to(&mut runtime, 2).await.unwrap();
        assert_eq!(lake.ids().await, expected(2));
    }
}

fn fresh() -> Vec<longshore_sdk::materialize::StateKey> {
    vec![longshore_sdk::materialize::StateKey::new(&["flights".to_owned()], 0)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_not_what_the_plan_left_is_a_stop() {
    let lake = Lake::bucket();
    let Lake::Bucket(name) = &lake else { return };
    let store = in_memory(name);
    let mut runtime = lake.runtime();
    runtime.apply().await.unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.flush().await.unwrap();
    session.store(0, &[&document(10)]).await.unwrap();
    session.commit().await.unwrap();
    let plan: Value = serde_json::from_slice(&runtime.durable().plan.unwrap()).unwrap();
    let published = Path::parse(format!("lake/{}", plan["plan"]["files"][0]["published"].as_str().unwrap())).unwrap();
    store.put(&published, "somebody else's".into()).await.unwrap();
    let error = session.acknowledge().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "state.plan_lost"));
    assert_eq!(store.get(&published).await.unwrap().bytes().await.unwrap(), "somebody else's");
    drop(session);

    store.delete(&published).await.unwrap();
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.close().await.unwrap();
    assert_eq!(lake.ids().await, [10]);

    // What was published and taken away is not missed, and what another installation owns is not touched.
    store.delete(&published).await.unwrap();
    runtime.open().await.unwrap().acknowledge().await.unwrap();
    let mut other = lake.runtime().of_installation(2);
    assert_eq!(other.open().await.unwrap_err().code, "state.installation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_work_is_found_before_anything_is_made() {
    let lake = Lake::directory();
    let validated = lake.runtime().validate().await.unwrap();
    assert_eq!((validated.findings, validated.bindings[0].modes), (Vec::new(), Modes::DeltaOnly));
    let findings = async |config: Value, bind: Bind| {
        let validated = lake.runtime_with(config, bind).validate().await.unwrap();
        validated.findings.into_iter().map(|finding| (finding.code, finding.pointer)).collect::<Vec<_>>()
    };
    let found = |code: &str, pointer: &str| vec![(code.to_owned(), pointer.to_owned())];
    for name in ["../x", "/x", ".hidden", "a//b", "a\\b"] {
        let bind = Bind { resource: json!({ "name": name }), ..bind() };
        assert_eq!(findings(json!({}), bind).await, found("files.resource.name", "/name"), "{name}");
    }
    let open = bind().schema(json!({ "properties": { "id": {} } }));
    assert_eq!(findings(json!({}), open).await, found("parquet.open_schema", ""));
    assert_eq!(findings(json!({ "max_age": "1d" }), bind()).await, found("parquet.max_age", "/max_age"));
    let Lake::Directory(directory) = &lake else { return };
    assert!(!directory.path().join("lake").exists(), "validating makes nothing");
    fs::write(directory.path().join("lake"), "a file").unwrap();
    assert_eq!(findings(json!({}), bind()).await, found("files.path", "/path"));
}

#[test]
fn the_spec_is_a_promise() {
    let runtime = Runtime::new(idempotent(Parquet), json!({ "path": "lake" }));
    insta::assert_snapshot!(runtime.printed_spec());
}
