//! What is written in binary is what the server makes of the text; and nothing is, whose text is refused here.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore_postgres::{Client, SqlType};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::*;
use crate::copy::{Copy, Form, Keys, Lines, Sent};
use crate::{binary, convert, value};

const TYPES: [&str; 22] = [
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "numeric(12,2)",
    "numeric(5,0)",
    "numeric(30,20)",
    "real",
    "double precision",
    "text",
    "character varying",
    "character varying(4)",
    "bytea",
    "uuid",
    "json",
    "jsonb",
    "date",
    "timestamp without time zone",
    "timestamp(3) without time zone",
    "timestamp with time zone",
    "timestamp(0) with time zone",
];
const EACH: usize = 200;
/// Of each type more than these are plain.
const LEAST_PLAIN: usize = 2;

fn raw() -> impl Strategy<Value = String> {
    let quoted = prop_oneof![
        any::<String>(),
        "[ -~]{0,5}",
        "([A-Za-z0-9+/]{4}){0,3}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "(0000|0001|1[0-9]{3}|20[0-9]{2}|9999)-[01][0-9]-[0-3][0-9]",
        "(0004|1900|2000|20[0-9]{2})-0[1-3]-(0[1-9]|2[0-9]|3[01])",
        "20[0-9]{2}-0[1-9]-[0-2][0-9] 1[0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?",
        "(0001|1[0-9]{3}|20[0-9]{2}|9999)-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,7})?Z?",
        "20[0-9]{2}-0[1-9]-[0-2][0-9]T1[0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?(Z|\\+01:00)",
    ];
    prop_oneof![
        8 => quoted.prop_map(|text| Value::from(text).to_string()),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<i16>().prop_map(|n| n.to_string()),
        1 => any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| n.to_string()),
        1 => (0..1_000_000_u32, 1..99_u32).prop_map(|(n, by)| (f64::from(n) / f64::from(by)).to_string()),
        1 => any::<f32>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        2 => "-?(0|[1-9][0-9]{0,7})(\\.[0-9]{1,6})?",
        1 => "-?(0|[1-9]0{0,9})(\\.0{1,9}[0-9]?)?([eE][+-]?[0-9])?",
        1 => "-?[1-9][0-9]{0,25}\\.[0-9]{1,25}",
        1 => prop::sample::select(vec!["true", "false", "{\"a\": [1.50,\"\\u00e9\\t\"]}", "[]", "\"\\u0000\""]).prop_map(str::to_owned),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_in_binary_is_the_value_of_its_text() {
    let database = Database::new();
    let client = Arc::new(Client::connect(&database.endpoint()).await.unwrap());
    let mut runner = TestRunner::deterministic();
    for of in TYPES {
        let sql_type = SqlType::parse(of).unwrap();
        assert!(binary::knows(sql_type), "{of}");
        let (mut texts, mut binaries) = (Lines::new(Form::Text, 0), Lines::new(Form::Binary, 0));
        let mut raws: Vec<String> = Vec::new();
        for n in 0..EACH {
            let raw = raw().new_tree(&mut runner).unwrap().current();
            for is_key in [true, false] {
                let mut out = Vec::new();
                let plain = binary::value(sql_type.scalar, is_key, &raw, &mut out);
                let told = value::value(sql_type, is_key, &raw, &mut Vec::new());
                if plain.is_err() {
                    continue;
                }
                let told = told.unwrap_or_else(|_| panic!("{raw} is none for {of}, and is written in binary"));
                let told = told.expect("it is not null");
                raws.push(format!("{n} {raw}"));
                let row = raws.len() - 1;
                let text = |line: &mut Vec<u8>| {
                    convert::field(line, 0, Some(&row.to_string()));
                    convert::field(line, 1, Some(&told));
                    Ok::<(), ()>(())
                };
                texts.push(row, text).unwrap();
                let binary = |line: &mut Vec<u8>| {
                    binary::begin_row(2, line);
                    binary::bytes(&i32::try_from(row).unwrap().to_be_bytes(), line);
                    line.extend_from_slice(&out);
                    Ok::<(), ()>(())
                };
                binaries.push(row, binary).unwrap();
            }
        }
        assert!(raws.len() > LEAST_PLAIN, "{of}: {raws:?}");
        let mut refused = Vec::new();
        database.run(&format!(
            "DROP TABLE IF EXISTS a, b; CREATE TABLE a (n integer, v {of}); CREATE TABLE b (n integer, v {of})"
        ));
        client.run("beginning", "BEGIN").await.unwrap();
        for (table, lines) in [("a", texts), ("b", binaries)] {
            let into = format!("public.{table}");
            let copy = Copy::prepare(&client, table, &into, &["n".to_owned(), "v".to_owned()], true).await.unwrap();
            let mut of_these = BTreeSet::new();
            let sent = copy.begin(&client, lines).settle(&client, ("copying", Keys::Any), |row, _| {
                of_these.insert(row);
                Ok(())
            });
            assert_eq!(sent.await.unwrap(), Sent::All);
            refused.push(of_these);
        }
        client.run("committing", "COMMIT").await.unwrap();
        let differ: Vec<&String> = refused[0].symmetric_difference(&refused[1]).map(|row| &raws[*row]).collect();
        assert_eq!(differ, Vec::<&String>::new(), "{of}: refused as one and taken as the other");
        let others = "SELECT a.n, a.v::text, b.v::text FROM public.a FULL JOIN public.b USING (n) \
                      WHERE a.v::text IS DISTINCT FROM b.v::text OR a.n IS NULL OR b.n IS NULL LIMIT 3";
        assert_eq!(database.run(others), "", "{of}");
        let stored: usize = database.run("SELECT count(*) FROM public.b").parse().unwrap();
        assert_eq!(stored, raws.len() - refused[0].len());
    }
}
