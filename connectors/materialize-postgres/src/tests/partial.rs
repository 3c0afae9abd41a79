//! Documents that say only a part of a row: the rest of it stays, and nothing is asked of the table before.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Map;

use super::*;

const CASES: u32 = 60;

/// Applies, and runs these transactions of partial updates and whole documents.
async fn update(lake: &Lake, bind: Bind, transactions: &[(bool, Vec<&str>)]) -> Result<(), Error> {
    let mut runtime = lake.runtime(bind);
    runtime.apply().await?;
    let mut session = runtime.open().await?;
    session.acknowledge().await?;
    for (are_partial, documents) in transactions {
        session.flush().await?;
        match are_partial {
            true => session.update(0, documents).await?,
            false => session.store(0, documents).await?,
        }
        session.commit().await?;
        session.acknowledge().await?;
    }
    session.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m_17_what_a_partial_update_does_not_say_stays_and_null_is_said() {
    let properties = json!({
        "id": { "type": "integer" }, "v": { "type": ["integer", "null"] }, "at": { "type": "string", "format": "date-time" },
        "tags": { "type": "array", "format": "pg:text[]" }, "note": { "type": ["string", "null"] },
    });
    let lake = Lake::new();
    let whole = [
        r#"{"id":1,"v":1,"at":"2024-01-01T00:00:00Z","tags":["a"],"note":"x"}"#,
        r#"{"id":2,"v":2,"at":"2024-01-02T00:00:00Z","tags":["b"],"note":"y"}"#,
        r#"{"id":3,"v":3,"at":"2024-01-03T00:00:00Z","tags":["c"],"note":"z"}"#,
    ];
    let parts = [
        r#"{"id":1,"v":10}"#,
        r#"{"id":2,"note":null,"_meta":{"op":"u"}}"#,
        r#"{"id":3,"_meta":{"op":"d"}}"#,
        r#"{"id":4,"note":"new"}"#,
        r#"{"id":5,"v":5,"at":"2024-01-05T00:00:00Z","tags":[],"note":"all"}"#,
    ];
    let bind = ids().schema(schema(properties));
    // Into the empty table they are copied directly, later beside it.
    let transactions = [
        (true, vec![r#"{"id":9,"note":"first"}"#]),
        (false, whole.to_vec()),
        (true, parts.to_vec()),
        (true, vec![r#"{"id":9,"v":9}"#]),
    ];
    update(&lake, bind, &transactions).await.unwrap();
    let rows = lake.query("SET timezone = 'UTC'; SELECT * FROM t ORDER BY id");
    assert_eq!(
        rows,
        [
            "1|10|2024-01-01 00:00:00+00|{a}|x",
            "2|2|2024-01-02 00:00:00+00|{b}|~",
            "4|~|~|~|new",
            "5|5|2024-01-05 00:00:00+00|{}|all",
            "9|9|~|~|first",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_inside_stays_with_its_top_level_field_alone_and_columns_of_one_field_go_together() {
    let properties = json!({
        "id": { "type": "integer" }, "v": { "type": ["integer", "string"] },
        "deep": { "type": "object", "properties": { "a": { "type": "integer" }, "b": { "type": "integer" } } },
    });
    let field = |pointer: &str, name: &str, types: &[JsonType]| Field {
        pointer: pointer.to_owned(),
        name: name.to_owned(),
        types: types.to_vec(),
    };
    let fields = vec![
        field("/id", "id", &[JsonType::Integer]),
        field("/deep/a", "a", &[JsonType::Integer]),
        field("/deep/b", "b", &[JsonType::Integer]),
        field("/v", "v", &[JsonType::Integer]),
        field("/v", "v_text", &[JsonType::String]),
    ];
    let selection = Selection { fields, document: None, chosen: true };
    let bind = Bind { selection: Some(selection), ..ids().schema(schema(properties)) };
    let lake = Lake::new();
    let transactions = [
        (
            false,
            vec![
                r#"{"id":1,"v":1,"deep":{"a":1,"b":1}}"#,
                r#"{"id":2,"v":"x","deep":{"a":2,"b":2}}"#,
                r#"{"id":3,"v":3}"#,
            ],
        ),
        (true, vec![r#"{"id":1,"deep":{"b":9}}"#, r#"{"id":2,"v":7}"#, r#"{"id":3,"v":"now a text"}"#]),
    ];
    update(&lake, bind, &transactions).await.unwrap();
    let rows = lake.query("SELECT id, a, b, v, v_text FROM t ORDER BY id");
    assert_eq!(rows, ["1|~|9|1|~", "2|2|2|7|~", "3|~|~|~|now a text"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_value_that_stays_is_not_written_again() {
    let lake = Lake::new();
    let properties = json!({ "id": { "type": "integer" }, "v": { "type": "integer" }, "big": { "type": "string" } });
    // Of letters in no order, so that it does not become small.
    let mut state = 7_u64;
    let big: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
    })
    .take(100_000)
    .collect();
    let whole = format!(r#"{{"id":1,"v":1,"big":"{big}"}}"#);
    let many = ["{\"id\":1,\"v\":2}"; 1];
    let bind = ids().schema(schema(properties));
    update(&lake, bind.clone(), &[(false, vec!["{\"id\":7}"]), (false, vec![&whole])]).await.unwrap();
    let toast = "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE relname = 't'";
    let before = lake.query(toast);
    let mut runtime = lake.runtime(bind);
    runtime.owner.epoch = 50;
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    for _ in 0..20 {
        session.flush().await.unwrap();
        session.update(0, &many).await.unwrap();
        session.commit().await.unwrap();
        session.acknowledge().await.unwrap();
    }
    session.close().await.unwrap();
    assert_eq!(lake.query(toast), before);
    assert_eq!(lake.query(&format!("SELECT v, big = '{big}' FROM t WHERE id = 1")), ["2|t"]);
}

/// Transactions of documents: of a key, with some fields; none: it is deleted.
type Story = Vec<(bool, BTreeMap<u8, Option<Map<String, Value>>>)>;

fn story() -> impl Strategy<Value = Story> {
    let value = prop_oneof![Just(Value::Null), (0_i64..9).prop_map(Value::from)];
    let fields = proptest::collection::btree_map("[abc]", value, 0..4).prop_map(|fields| fields.into_iter().collect());
    let document = prop_oneof![1 => Just(None), 6 => fields.prop_map(Some)];
    let transaction = (any::<bool>(), proptest::collection::btree_map(0_u8..6, document, 1..6));
    proptest::collection::vec(transaction, 1..6)
}

/// The rows that such a story leaves: what merging the documents of a key comes to.
fn merged(story: &Story) -> Vec<String> {
    let mut rows: BTreeMap<u8, Map<String, Value>> = BTreeMap::new();
    for (is_partial, documents) in story {
        for (id, document) in documents {
            let Some(fields) = document else {
                rows.remove(id);
                continue;
            };
            let row = rows.entry(*id).or_default();
            if !is_partial {
                row.clear();
            }
            row.extend(fields.clone());
        }
    }
    let shown = |row: &Map<String, Value>, name: &str| match row.get(name) {
        None | Some(Value::Null) => "~".to_owned(),
        Some(value) => value.to_string(),
    };
    rows.iter().map(|(id, row)| format!("{id}|{}|{}|{}", shown(row, "a"), shown(row, "b"), shown(row, "c"))).collect()
}

#[test]
fn partial_updates_come_to_what_merging_comes_to() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let number = json!({ "type": ["integer", "null"] });
    let properties = json!({ "id": { "type": "integer" }, "a": number, "b": number, "c": number });
    let mut runner = TestRunner::new(Config { cases: CASES, ..Config::default() });
    let lake = Lake::new();
    let told = runner.run(&story(), |story| {
        lake.database.run("DROP SCHEMA IF EXISTS _longshore CASCADE; DROP TABLE IF EXISTS t");
        let text = |(id, document): (&u8, &Option<Map<String, Value>>)| {
            let mut fields =
                document.clone().unwrap_or_else(|| Map::from_iter([("_meta".to_owned(), json!({ "op": "d" }))]));
            fields.insert("id".to_owned(), json!(id));
            Value::from(fields).to_string()
        };
        let texts: Vec<(bool, Vec<String>)> =
            story.iter().map(|(is_partial, documents)| (*is_partial, documents.iter().map(text).collect())).collect();
        let transactions: Vec<(bool, Vec<&str>)> =
            texts.iter().map(|(is_partial, texts)| (*is_partial, texts.iter().map(String::as_str).collect())).collect();
        runtime.block_on(update(&lake, ids().schema(schema(properties.clone())), &transactions)).unwrap();
        prop_assert_eq!(lake.query("SELECT id, a, b, c FROM t ORDER BY id"), merged(&story));
        Ok(())
    });
    told.unwrap();
}
