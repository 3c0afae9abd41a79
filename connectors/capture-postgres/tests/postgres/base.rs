//! A database of a test, its captured documents folded by key, and what should be there, as the server itself says it.

use std::collections::BTreeMap;

use capture_postgres::Postgres;
use longshore_postgres::testing::Database;
use longshore_sdk::Result;
use longshore_sdk::testing::{CaptureSession, CaptureTask, Transaction};
use serde_json::{Value, json};

/// A table of schema public and the collection's key.
pub(crate) type Table<'a> = (&'a str, &'a [&'a str]);

/// Never split.
pub(crate) const WHOLE: usize = usize::MAX;

/// A database with slots of its own, which go with it.
pub(crate) struct Base {
    pub(crate) db: Database,
}

impl Base {
    pub(crate) fn new(sql: &str) -> Base {
        Base::on(Database::new(), sql)
    }

    pub(crate) fn on(db: Database, sql: &str) -> Base {
        db.run(sql);
        Base { db }
    }

    #[track_caller]
    pub(crate) fn run(&self, sql: &str) -> String {
        self.db.run(sql)
    }

    /// Slots are names of the whole server.
    pub(crate) fn slot(&self) -> String {
        format!("slot_{}", self.db.name())
    }

    pub(crate) fn config(&self) -> Value {
        json!({ "url": self.db.url(), "slot": self.slot() })
    }

    /// A task that reads three rows at a time.
    pub(crate) fn task(&self, tables: &[Table<'_>]) -> CaptureTask<Postgres> {
        self.task_in_steps(tables, 3, WHOLE)
    }

    pub(crate) fn task_in_steps(&self, tables: &[Table<'_>], rows: usize, split: usize) -> CaptureTask<Postgres> {
        self.task_of(CaptureTask::new(Postgres::in_steps(rows, split), self.config()), tables)
    }

    pub(crate) fn task_of(&self, task: CaptureTask<Postgres>, tables: &[Table<'_>]) -> CaptureTask<Postgres> {
        let tables = tables.iter().enumerate();
        tables.fold(task, |task, (index, (table, key))| {
            task.binding(json!({ "schema": "public", "table": table }), &format!("c{index}"), key)
        })
    }

    /// One that captures a part of table t, three rows at a time; `part` says which, as a resource has it.
    pub(crate) fn partial_task(&self, mut part: Value) -> CaptureTask<Postgres> {
        part["table"] = json!("t");
        CaptureTask::new(Postgres::in_steps(3, WHOLE), self.config()).binding(part, "c0", &["/id"])
    }

    /// What the table holds, as documents by their key.
    pub(crate) fn rows(&self, (table, key): Table<'_>) -> BTreeMap<String, Value> {
        let text = self.run(&format!("SELECT coalesce(json_agg(t), '[]') FROM public.\"{table}\" t"));
        // The server has another form of a moment in JSON than in text.
        let rows: Vec<Value> = serde_json::from_str(&text.replace("+00:00\"", "Z\"")).unwrap();
        rows.into_iter().map(|row| (key_of(&row, key), row)).collect()
    }

    /// Where the server thinks that everything before is durable elsewhere.
    pub(crate) fn confirmed(&self) -> u64 {
        let ask =
            format!("SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{}'", self.slot());
        self.run(&ask).parse().unwrap()
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let slot = self.slot();
        let end = format!(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = '{slot}' AND active"
        );
        let drop =
            format!("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}'");
        // Also when a test fails: a server does not end before who reads from a slot has answered, and that one is not run any more.
        self.run(&end);
        self.run(&drop);
    }
}

fn key_of(document: &Value, key: &[&str]) -> String {
    let part =
        |pointer: &&str| document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {document}")).to_string();
    key.iter().map(part).collect::<Vec<_>>().join("|")
}

/// Documents merged by key, for each binding, as `reduce: merge` has it.
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

    /// What was emptied, or comes anew, behind so many documents.
    fn begin_anew(&mut self, transaction: &Transaction, at: usize) {
        let emptied = transaction.truncated.iter().filter(|(_, behind)| *behind == at).map(|(binding, _)| *binding);
        let begun = transaction.refreshes.iter().filter(|refresh| refresh.behind == at && !refresh.complete);
        emptied.chain(begun.map(|refresh| refresh.binding)).for_each(|binding| self.0[binding].clear());
    }

    fn put(&mut self, binding: usize, document: &Value, tables: &[Table<'_>]) {
        let mut document = document.as_object().unwrap().clone();
        let key = key_of(&Value::Object(document.clone()), tables[binding].1);
        let meta = document.remove("_meta").unwrap();
        let rows = &mut self.0[binding];
        match meta["op"].as_str() {
            Some("d") => drop(rows.remove(&key)),
            Some("c" | "u") => {
                rows.entry(key).or_insert_with(|| json!({})).as_object_mut().unwrap().extend(document);
            }
            other => panic!("op {other:?}"),
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
    task: &mut CaptureTask<Postgres>,
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

/// The next transaction that has documents.
pub(crate) async fn next(session: &mut CaptureSession<'_>) -> Result<Transaction> {
    loop {
        let Some(transaction) = session.next().await? else { panic!("the session ended") };
        if !transaction.documents.is_empty() {
            return Ok(transaction);
        }
        session.acknowledge().await?;
    }
}

/// Why a session does not get to its end.
pub(crate) async fn failure(task: &mut CaptureTask<Postgres>) -> longshore_sdk::Error {
    let session = async { task.open().await?.until_caught_up().await };
    session.await.unwrap_err()
}

pub(crate) fn documents(transactions: &[Transaction]) -> Vec<Value> {
    transactions.iter().flat_map(|transaction| &transaction.documents).map(|(_, document)| document.clone()).collect()
}

/// Documents without where they were found.
pub(crate) fn plain(transactions: &[Transaction]) -> Vec<Value> {
    let mut documents = documents(transactions);
    for document in &mut documents {
        let op = document["_meta"]["op"].clone();
        document["_meta"] = op;
    }
    documents
}
