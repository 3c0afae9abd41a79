//! A database of a test, its captured documents folded by key, and what should be there, read by code of its own.

use std::collections::BTreeMap;

use base64::Engine as _;
use capture_sqlite::Sqlite;
use longshore_sdk::Result;
use longshore_sdk::testing::{CaptureSession, CaptureTask, Transaction};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

/// A table and the collection's key.
pub(crate) type Table<'a> = (&'a str, &'a [&'a str]);

/// A database in a directory of its own.
pub(crate) struct Base {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) db: Connection,
}

impl Base {
    pub(crate) fn new(sql: &str) -> Base {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("source.db")).unwrap();
        db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;").unwrap();
        db.execute_batch(sql).unwrap();
        Base { dir, db }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("source.db")
    }

    #[track_caller]
    pub(crate) fn run(&self, sql: &str) {
        self.db.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.db.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) fn config(&self) -> Value {
        json!({ "path": self.path(), "poll_interval": "10ms", "busy_timeout": "10s" })
    }

    /// A task that reads three rows at a time.
    pub(crate) fn task(&self, tables: &[Table<'_>]) -> CaptureTask<Sqlite> {
        self.task_in_pieces(tables, 3)
    }

    pub(crate) fn task_in_pieces(&self, tables: &[Table<'_>], rows: usize) -> CaptureTask<Sqlite> {
        let task = CaptureTask::new(Sqlite::with_piece_rows(rows), self.config());
        let tables = tables.iter().enumerate();
        tables.fold(task, |task, (index, (table, key))| {
            task.binding(json!({ "table": table }), &format!("c{index}"), key)
        })
    }

    /// The log of the only task there is.
    pub(crate) fn log(&self) -> String {
        let find = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '_longshore_*_log'";
        self.db.query_row(find, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn triggers(&self) -> i64 {
        self.number("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '_longshore_*'")
    }

    /// What the table holds, as documents by their key.
    pub(crate) fn rows(&self, (table, key): Table<'_>) -> BTreeMap<String, Value> {
        let has_rowid = key == ["/_meta/source/rowid"];
        let list = if has_rowid { "_rowid_, *" } else { "*" };
        let mut select = self.db.prepare(&format!("SELECT {list} FROM \"{}\"", table.replace('"', "\"\""))).unwrap();
        let names: Vec<String> = select.column_names().map(str::to_owned).collect();
        let is_blob = |name: &String| {
            let sql = "SELECT count(*) FROM pragma_table_xinfo(?) WHERE name = ? AND type = 'BLOB'";
            self.db.query_row(sql, [table, name], |row| row.get::<_, i64>(0)).unwrap() > 0
        };
        let is_blob: Vec<bool> = names.iter().map(is_blob).collect();
        let mut rows = select.query([]).unwrap();
        let mut all = BTreeMap::new();
        while let Some(row) = rows.next().unwrap() {
            let mut document = json!({});
            for (place, name) in names.iter().enumerate() {
                let value = cell(row.get_ref(place).unwrap(), is_blob[place]);
                match has_rowid && place == 0 {
                    true => document["_meta"] = json!({ "source": { "rowid": value } }),
                    false => document[name] = value,
                }
            }
            let twice = all.insert(key_of(&document, key), document);
            assert!(twice.is_none(), "two rows of {table} have a key: {twice:?}");
        }
        all
    }
}

fn cell(value: ValueRef<'_>, is_blob: bool) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => json!(value),
        ValueRef::Real(value) => json!(value),
        ValueRef::Text(text) => json!(std::str::from_utf8(text).unwrap()),
        ValueRef::Blob(bytes) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            if is_blob { json!(text) } else { json!({ "base64": text }) }
        }
    }
}

/// Equal for keys that are equal in a journal: numbers by their value.
fn key_of(document: &Value, key: &[&str]) -> String {
    let part = |pointer: &&str| match document.pointer(pointer) {
        Some(Value::Number(number)) => match number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < 1e15)
        {
            Some(whole) => format!("{whole:.0}"),
            None => number.to_string(),
        },
        Some(value) => value.to_string(),
        None => panic!("no {pointer} in {document}"),
    };
    key.iter().map(part).collect::<Vec<_>>().join("|")
}

/// Documents folded by key, for each binding.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fold(pub(crate) Vec<BTreeMap<String, Value>>);

impl Fold {
    pub(crate) fn take(&mut self, transactions: &[Transaction], tables: &[Table<'_>]) {
        self.0.resize_with(tables.len(), BTreeMap::new);
        for transaction in transactions {
            for (at, (binding, document)) in transaction.documents.iter().enumerate() {
                self.begin_anew(transaction, at);
                self.put(*binding, document, tables);
            }
            self.begin_anew(transaction, transaction.documents.len());
        }
    }

    /// What comes anew behind so many documents.
    fn begin_anew(&mut self, transaction: &Transaction, at: usize) {
        let begun = transaction.refreshes.iter().filter(|refresh| refresh.behind == at && !refresh.complete);
        begun.for_each(|refresh| self.0[refresh.binding].clear());
    }

    fn put(&mut self, binding: usize, document: &Value, tables: &[Table<'_>]) {
        let mut document = document.clone();
        let key = key_of(&document, tables[binding].1);
        let op = document.pointer_mut("/_meta").and_then(|meta| meta.as_object_mut()?.remove("op"));
        if document["_meta"].as_object().is_none_or(serde_json::Map::is_empty) {
            document.as_object_mut().unwrap().remove("_meta");
        }
        match op.as_ref().and_then(Value::as_str) {
            Some("d") => drop(self.0[binding].remove(&key)),
            Some("u") | None => drop(self.0[binding].insert(key, document)),
            Some(other) => panic!("op {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn assert_is(&self, base: &Base, tables: &[Table<'_>]) {
        for (folded, table) in self.0.iter().zip(tables) {
            let rows = base.rows(*table);
            let differ = rows.iter().filter(|(key, row)| folded.get(*key) != Some(*row));
            let differ: Vec<_> = differ.map(|(key, row)| (key, row, folded.get(key))).collect();
            let extra: Vec<_> = folded.keys().filter(|key| !rows.contains_key(*key)).collect();
            assert!(
                differ.is_empty() && extra.is_empty(),
                "{}: (key, row, captured) {differ:?}\ncaptured and not there: {extra:?}",
                table.0
            );
        }
    }
}

/// One session up to caught up, acknowledged and stopped; what it captured is folded.
pub(crate) async fn catch_up(
    task: &mut CaptureTask<Sqlite>,
    fold: &mut Fold,
    tables: &[Table<'_>],
) -> Result<Vec<Transaction>> {
    let mut session = task.open().await?;
    let transactions = session.until_caught_up().await?;
    session.acknowledge().await?;
    session.stop().await?;
    fold.take(&transactions, tables);
    Ok(transactions)
}

/// Why a session does not get to its end.
pub(crate) async fn failure(task: &mut CaptureTask<Sqlite>) -> longshore_sdk::Error {
    let session = async { task.open().await?.until_caught_up().await };
    session.await.unwrap_err()
}

/// Reads on until the documents folded are what the tables hold, which do not change meanwhile.
pub(crate) async fn follow(
    session: &mut CaptureSession<'_>,
    fold: &mut Fold,
    base: &Base,
    tables: &[Table<'_>],
) -> Result<()> {
    let is_there = |fold: &Fold| {
        fold.0.len() == tables.len()
            && fold.0.iter().zip(tables).all(|(folded, table)| {
                let rows = base.rows(*table);
                rows == *folded
            })
    };
    while !is_there(fold) {
        let Some(transaction) = session.next().await? else { panic!("the session ended") };
        fold.take(&[transaction], tables);
    }
    session.acknowledge().await
}
