//! Random documents: what is in a row afterwards is what the document said, or the document was refused. Never a silent change.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use serde_json::value::RawValue;

use super::*;
use crate::decimal::Decimal;

const CASES: u32 = 500;
/// Documents of one transaction.
const DOCUMENTS: usize = 8;

fn properties() -> Value {
    json!({
        "id": { "type": "integer" },
        "small": { "type": "integer", "format": "pg:smallint" }, "big": { "type": "integer" },
        "money": { "type": "number", "format": "pg:numeric(8,3)" }, "exact": { "type": "number" },
        "real": { "type": "number", "format": "pg:real" }, "double": { "type": "number", "format": "pg:double precision" },
        "text": { "type": "string" }, "short": { "type": "string", "format": "pg:character varying(4)" },
        "any": {}, "raw": { "format": "pg:json" }, "yes": { "type": "boolean" },
        "day": { "type": "string", "format": "date" }, "at": { "type": "string", "format": "pg:timestamp(3) without time zone" },
        "bytes": { "type": "string", "format": "pg:bytea" }, "list": { "type": "array", "format": "pg:text[]" },
        "span": { "type": "string", "format": "pg:interval" },
    })
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<i16>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        any::<f32>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        "-?(0|[1-9][0-9]{0,7})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?",
        "-?[1-9][0-9]{0,25}\\.[0-9]{1,25}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let words = [
        "now",
        "NULL",
        "\\N",
        "\\.",
        "infinity",
        "P1D",
        "AP8=",
        "2024-02-29",
        "2024-02-30",
        "2024-01-01 00:00:00.1234",
        "  ",
    ];
    prop_oneof![
        any::<String>(),
        "[ -~]{0,5}",
        proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "[0-9]{4}-[01][0-9]-[0-2][0-9] [0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,7})?",
        "P[0-9]{1,3}DT[0-9]{1,2}H",
        "([A-Za-z0-9+/]{4}){0,3}",
    ]
    .prop_map(|text| Value::from(text).to_string())
}

fn json_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), number(), text()];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(inner, 0..3).prop_map(|all| {
                let fields: Vec<String> =
                    all.iter().enumerate().map(|(i, value)| format!("\"k{i}\": {value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

/// A value that may well be none for its column.
fn value_for(name: &str) -> BoxedStrategy<String> {
    let likely = match name {
        "any" | "raw" => json_value().boxed(),
        "yes" => any::<bool>().prop_map(|yes| yes.to_string()).boxed(),
        "list" => prop::collection::vec(
            prop_oneof![6 => text(), 2 => Just("null".to_owned()), 1 => Just("true".to_owned()), 1 => number()],
            0..4,
        )
        .prop_map(|all| format!("[{}]", all.join(",")))
        .boxed(),
        "small" | "big" | "money" | "exact" | "real" | "double" => number().boxed(),
        _ => text().boxed(),
    };
    prop_oneof![30 => likely, 1 => json_value()].boxed()
}

fn document() -> impl Strategy<Value = Vec<(String, String)>> {
    let names: Vec<String> = properties().as_object().unwrap().keys().filter(|name| *name != "id").cloned().collect();
    let field = proptest::sample::select(names)
        .prop_flat_map(|name| value_for(&name).prop_map(move |value| (name.clone(), value)));
    prop::collection::vec(field, 1..4).prop_map(|mut fields| {
        fields.sort();
        fields.dedup_by(|one, other| one.0 == other.0);
        fields
    })
}

/// What the column has, as a document would have it; by the server, and not by the connector.
fn select() -> String {
    let field = |name: &String| {
        let quoted = format!("t.\"{name}\"");
        match name.as_str() {
            "raw" => format!("'{name}', {quoted}"),
            "bytes" => format!("'{name}', translate(encode({quoted}, 'base64'), E'\\n', '')"),
            "at" | "span" => format!("'{name}', {quoted}::text"),
            _ => format!("'{name}', to_json({quoted})"),
        }
    };
    let fields: Vec<String> = properties().as_object().unwrap().keys().map(field).collect();
    format!(
        "SET intervalstyle = iso_8601; SELECT json_strip_nulls(json_build_object({})) FROM t ORDER BY id",
        fields.join(", ")
    )
}

/// Equal as values: numbers by all of their digits, texts by their characters, and nothing for null. Both are JSON texts; nothing is read
/// into a double but what is in a column of doubles.
fn same(column: &str, told: &str, stored: &str) -> bool {
    let first = |text: &str| text.bytes().next().unwrap_or(b'n');
    let is_number = |text: &str| matches!(first(text), b'-' | b'0'..=b'9');
    match (first(told), first(stored)) {
        (b'[', b'[') => {
            let elements = |text| serde_json::from_str::<Vec<&RawValue>>(text).unwrap();
            let (told, stored) = (elements(told), elements(stored));
            told.len() == stored.len()
                && told.iter().zip(&stored).all(|(told, stored)| same(column, told.get(), stored.get()))
        }
        (b'{', b'{') => {
            let fields = |text| serde_json::from_str::<BTreeMap<String, &RawValue>>(text).unwrap();
            let (told, stored) = (fields(told), fields(stored));
            let is_there = |name: &String| told.contains_key(name);
            let of = |name: &str| stored.get(name).map_or("null", |value| value.get());
            stored.keys().all(is_there)
                && told
                    .iter()
                    .all(|(name, value)| same(if column.is_empty() { name } else { column }, value.get(), of(name)))
        }
        _ if is_number(told) && is_number(stored) => {
            let is_same_real = told.parse::<f32>() == stored.parse::<f32>();
            let is_same_double = told.parse::<f64>() == stored.parse::<f64>();
            Decimal::of(told) == Decimal::of(stored)
                || column == "real" && is_same_real
                || column == "double" && is_same_double
        }
        // Zeros behind a fraction of a second are the same moment.
        (b'"', b'"') if column == "at" && told.contains('.') => {
            told.trim_end_matches('"').trim_end_matches('0').trim_end_matches('.') == stored.trim_end_matches('"')
        }
        // A column of texts has numbers and booleans as they were written, in arrays too.
        (_, b'"') if first(told) != b'"' => matches!(column, "text" | "list") && format!("{told:?}") == stored,
        _ => serde_json::from_str::<Value>(told).unwrap() == serde_json::from_str::<Value>(stored).unwrap(),
    }
}

#[test]
fn a_row_has_what_the_document_said_or_the_document_was_refused() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let lake = Lake::new();
    let mut runtime = lake.runtime(ids().schema(schema(properties())));
    tokio.block_on(runtime.apply()).unwrap();
    let mut runner =
        TestRunner::new(Config { cases: CASES / DOCUMENTS as u32 + 1, failure_persistence: None, ..Config::default() });
    let strategy = prop::collection::vec(document(), DOCUMENTS);
    let runtime = std::cell::RefCell::new(runtime);
    let total = std::cell::Cell::new((0_usize, 0_usize));
    runner
        .run(&strategy, |documents| {
            let text = |(id, fields): (usize, &Vec<(String, String)>)| {
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
                format!("{{\"id\":{id},{}}}", fields.join(","))
            };
            let mut documents: Vec<String> = documents.iter().enumerate().map(text).collect();
            // Of a case that failed something may be left.
            lake.query("DELETE FROM t");
            let (stored, refused) = tokio.block_on(store(&mut runtime.borrow_mut(), &mut documents));
            let (all_stored, all_refused) = total.get();
            total.set((all_stored + stored, all_refused + refused));
            let rows = lake.query(&select());
            prop_assert_eq!(rows.len(), documents.len());
            for (row, document) in rows.iter().zip(&documents) {
                prop_assert!(same("", document, row), "told {document}, stored {row}");
            }
            Ok(())
        })
        .unwrap();
    let (stored, refused) = total.get();
    assert!(stored + refused >= CASES as usize && stored > 100 && refused > 100, "{stored} stored, {refused} refused");
}

/// Stores them, without those that are refused; `documents` are then those that were stored.
async fn store(runtime: &mut Runtime<TransactionalDoor<Postgres>>, documents: &mut Vec<String>) -> (usize, usize) {
    let all = documents.len();
    loop {
        let mut session = runtime.open().await.unwrap();
        session.acknowledge().await.unwrap();
        session.flush().await.unwrap();
        let texts: Vec<&str> = documents.iter().map(String::as_str).collect();
        session.store(0, &texts).await.unwrap();
        let Err(_) = session.commit().await else { return (documents.len(), all - documents.len()) };
        drop(session);
        let mut session = runtime.open().await.unwrap();
        session.acknowledge().await.unwrap();
        session.flush().await.unwrap();
        session.store(0, &texts).await.unwrap();
        let rejected = session.rejected().await.unwrap();
        let keys: Vec<String> = rejected.each().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
        documents.retain(|document| {
            let document: Value = serde_json::from_str(document).unwrap();
            !keys.contains(&format!("[{}]", document["id"]))
        });
    }
}
