//! Random stories of a table whose deletes mark rows: partial updates, truncates and refreshes, sessions that die, and deletes that become hard and
//! soft again. After every commit each row, marked or not, is what a model has it to be.

use std::collections::BTreeMap;

use longshore_sdk::testing::materialize::Session;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Map;

use super::aside::open;
use super::deleted::with;
use super::*;

const CASES: u32 = 100;
const KEYS: u8 = 5;
const ROWS: &str = "SELECT id, a, b, note, _deleted FROM t ORDER BY id";

/// One transaction.
#[derive(Debug, Clone)]
struct Step {
    /// Before it Apply makes deletes hard, and soft again.
    hardens: bool,
    /// Before it somebody writes into the column that is no field's.
    is_noted: bool,
    truncates: bool,
    begins: bool,
    completes: bool,
    dies: bool,
    is_partial: bool,
    /// Fields by key; none: it is deleted.
    documents: BTreeMap<u8, Option<Map<String, Value>>>,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![1 => Just(Value::Null), 3 => (0_i64..3).prop_map(Value::from)];
    let fields = proptest::collection::btree_map("[ab]", value, 0..3).prop_map(|fields| fields.into_iter().collect());
    let document = prop_oneof![2 => Just(None), 3 => fields.prop_map(Some)];
    let documents = proptest::collection::btree_map(0..KEYS, document, 0..5);
    let one_in = |n: u32| prop::bool::weighted(1.0 / f64::from(n));
    let flags = (one_in(12), one_in(4), one_in(8), one_in(4), one_in(3), one_in(6), any::<bool>());
    (flags, documents).prop_map(|((hardens, is_noted, truncates, begins, completes, dies, is_partial), documents)| {
        Step { hardens, is_noted, truncates, begins, completes, dies, is_partial, documents }
    })
}

impl Step {
    /// All but the commit.
    async fn store(&self, session: &mut Session) {
        if self.truncates {
            session.truncate(0).await.unwrap();
        }
        if self.begins || self.completes {
            session.backfill(0, self.begins, self.completes).await.unwrap();
        }
        let text = |(id, document): (&u8, &Option<Map<String, Value>>)| {
            let gone = || Map::from_iter([("_meta".to_owned(), json!({ "op": "d" }))]);
            let mut fields = document.clone().unwrap_or_else(gone);
            fields.insert("id".to_owned(), json!(id));
            Value::from(fields).to_string()
        };
        let texts: Vec<String> = self.documents.iter().map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        match self.is_partial {
            true => session.update(0, &texts).await.unwrap(),
            false => session.store(0, &texts).await.unwrap(),
        }
    }
}

/// A row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Row {
    fields: Map<String, Value>,
    is_noted: bool,
    is_marked: bool,
}

/// What the table has, and what is stored aside.
#[derive(Debug, Default)]
struct Model {
    rows: BTreeMap<u8, Row>,
    aside: Option<BTreeMap<u8, Map<String, Value>>>,
}

impl Model {
    fn take(&mut self, step: &Step) {
        if step.truncates {
            match &mut self.aside {
                Some(aside) => aside.clear(),
                None => self.rows.values_mut().for_each(|row| row.is_marked = true),
            }
        }
        if step.begins {
            self.aside = Some(BTreeMap::new());
        }
        for (&id, document) in &step.documents {
            self.write(id, document.as_ref(), step.is_partial);
        }
        if let Some(aside) = self.aside.take_if(|_| step.completes) {
            self.rows.iter_mut().filter(|(id, _)| !aside.contains_key(id)).for_each(|(_, row)| row.is_marked = true);
            for (id, fields) in aside {
                self.write(id, Some(&fields), false);
            }
        }
    }

    fn write(&mut self, id: u8, document: Option<&Map<String, Value>>, is_partial: bool) {
        let fields = match (&mut self.aside, document) {
            (Some(aside), Some(_)) => aside.entry(id).or_default(),
            (Some(aside), None) => return drop(aside.remove(&id)),
            (None, Some(_)) => {
                let row = self.rows.entry(id).or_default();
                if row.is_marked {
                    *row = Row::default();
                }
                &mut row.fields
            }
            (None, None) => {
                self.rows.entry(id).and_modify(|row| row.is_marked = true);
                return;
            }
        };
        if !is_partial {
            fields.clear();
        }
        fields.extend(document.cloned().unwrap_or_default());
    }

    /// As [`ROWS`] has them.
    fn told(&self) -> Vec<String> {
        let value = |row: &Row, name: &str| match row.fields.get(name) {
            None | Some(Value::Null) => "~".to_owned(),
            Some(value) => value.to_string(),
        };
        let told = |(id, row): (&u8, &Row)| {
            let (note, mark) = (if row.is_noted { "seen" } else { "new" }, if row.is_marked { "t" } else { "f" });
            format!("{id}|{}|{}|{note}|{mark}", value(row, "a"), value(row, "b"))
        };
        self.rows.iter().map(told).collect()
    }

    /// Keys that are to be found.
    fn keys(&self) -> Vec<String> {
        let rows = self.rows.iter().filter(|(_, row)| !row.is_marked).map(|(id, _)| id);
        let keys: Vec<&u8> = self.aside.as_ref().map_or_else(|| rows.collect(), |aside| aside.keys().collect());
        keys.into_iter().map(|id| format!("[{id}]")).collect()
    }
}

fn bind(deletes: &str) -> Bind {
    let number = json!({ "type": ["integer", "null"] });
    with(deletes, ids().schema(schema(json!({ "id": { "type": "integer" }, "a": number, "b": number }))))
}

async fn tell(lake: &Lake, story: &[Step]) -> Result<(), TestCaseError> {
    lake.query("DROP SCHEMA IF EXISTS _longshore CASCADE; DROP TABLE IF EXISTS t");
    let (mut runtime, mut model) = (lake.runtime(bind("soft")), Model::default());
    runtime.apply().await.unwrap();
    lake.query("ALTER TABLE t ADD COLUMN note text DEFAULT 'new'");
    let mut session = open(&mut runtime).await;
    let keys: Vec<String> = (0..KEYS).map(|id| format!("[{id}]")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for (at, step) in story.iter().enumerate() {
        if step.hardens {
            session.close().await.unwrap();
            runtime.bindings = vec![bind("hard")];
            runtime.apply().await.unwrap();
            runtime.bindings = vec![bind("soft")];
            session = open(&mut runtime).await;
            model.rows.retain(|_, row| !row.is_marked);
        }
        if step.is_noted {
            lake.query("UPDATE t SET note = 'seen'");
            model.rows.values_mut().for_each(|row| row.is_noted = true);
        }
        if step.dies {
            session.flush().await.unwrap();
            step.store(&mut session).await;
            drop(session);
            session = open(&mut runtime).await;
        }
        session.ask(0, &keys, at % 2 == 0).await.unwrap();
        let found: Vec<String> = session.flush().await.unwrap().into_keys().collect();
        prop_assert_eq!(found, model.keys(), "before {:?}", step);
        step.store(&mut session).await;
        session.commit().await.unwrap();
        session.acknowledge().await.unwrap();
        model.take(step);
        prop_assert_eq!(lake.query(ROWS), model.told(), "after {:?}", step);
    }
    Ok(())
}

#[test]
fn random_stories_leave_each_row_and_its_mark_as_a_model_has_it() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let lake = Lake::new();
    let stories = proptest::collection::vec(step(), 1..12);
    runner.run(&stories, |story| tokio.block_on(tell(&lake, &story))).unwrap();
}
