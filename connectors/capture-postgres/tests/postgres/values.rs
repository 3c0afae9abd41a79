//! Values of every type: what a walk reads and what the log brings is the same, and is what the server says itself.

use serde_json::Value;

use crate::base::{Base, Fold, Table, catch_up};

const T: [Table<'static>; 1] = [("t", &["/id"])];

/// Type, a literal, the JSON, and the schema's words.
const VALUES: [(&str, &str, &str, &str); 46] = [
    ("boolean", "true", "true", r#"{"type":["boolean","null"]}"#),
    ("bigint", "-9223372036854775808", "-9223372036854775808", r#"{"type":["integer","null"]}"#),
    ("smallint", "-7", "-7", r#"{"type":["integer","null"],"format":"pg:smallint"}"#),
    ("integer", "2147483647", "2147483647", r#"{"type":["integer","null"],"format":"pg:integer"}"#),
    (
        "numeric",
        "123456789012345678901234567890.1234567890",
        "123456789012345678901234567890.1234567890",
        r#"{"type":["number","null"],"format":"pg:numeric"}"#,
    ),
    ("numeric(12,2)", "1.5", "1.50", r#"{"type":["number","null"],"format":"pg:numeric(12,2)"}"#),
    ("numeric(6,0)", "'NaN'", "\"NaN\"", r#"{"type":["number","null"],"format":"pg:numeric(6,0)"}"#),
    ("numeric", "'Infinity'", "\"Infinity\"", r#"{"type":["number","null"],"format":"pg:numeric"}"#),
    ("real", "0.1", "0.1", r#"{"type":["number","null"],"format":"pg:real"}"#),
    (
        "double precision",
        "0.1::float8 + 0.2::float8",
        "0.30000000000000004",
        r#"{"type":["number","null"],"format":"pg:double precision"}"#,
    ),
    ("double precision", "1e300", "1e+300", r#"{"type":["number","null"],"format":"pg:double precision"}"#),
    (
        "double precision",
        "'-Infinity'",
        "\"-Infinity\"",
        r#"{"type":["number","null"],"format":"pg:double precision"}"#,
    ),
    ("text", r#"E'a"\n\\ü\t'"#, r#""a\"\n\\ü\t""#, r#"{"type":["string","null"]}"#),
    ("character varying(20)", "'x '", "\"x \"", r#"{"type":["string","null"],"format":"pg:character varying(20)"}"#),
    ("character(5)", "'x'", "\"x    \"", r#"{"type":["string","null"],"format":"pg:character(5)"}"#),
    (
        "uuid",
        "'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"",
        r#"{"type":["string","null"],"format":"uuid"}"#,
    ),
    ("date", "'2024-02-29'", "\"2024-02-29\"", r#"{"type":["string","null"],"format":"date"}"#),
    ("date", "'infinity'", "\"infinity\"", r#"{"type":["string","null"],"format":"date"}"#),
    ("date", "'0044-03-15 BC'", "\"0044-03-15 BC\"", r#"{"type":["string","null"],"format":"date"}"#),
    (
        "timestamp with time zone",
        "'2024-01-01 02:00:00.123456+02'",
        "\"2024-01-01T00:00:00.123456Z\"",
        r#"{"type":["string","null"],"format":"date-time"}"#,
    ),
    (
        "timestamp(0) with time zone",
        "'12024-06-01 00:00:00+00'",
        "\"12024-06-01T00:00:00Z\"",
        r#"{"type":["string","null"],"format":"date-time"}"#,
    ),
    (
        "timestamp with time zone",
        "'0044-03-15 12:00:00+00 BC'",
        "\"0044-03-15T12:00:00Z BC\"",
        r#"{"type":["string","null"],"format":"date-time"}"#,
    ),
    ("timestamp with time zone", "'-infinity'", "\"-infinity\"", r#"{"type":["string","null"],"format":"date-time"}"#),
    (
        "timestamp without time zone",
        "'2024-01-01 00:00:00.5'",
        "\"2024-01-01 00:00:00.5\"",
        r#"{"type":["string","null"],"format":"pg:timestamp without time zone"}"#,
    ),
    (
        "time without time zone",
        "'23:59:59.5'",
        "\"23:59:59.5\"",
        r#"{"type":["string","null"],"format":"pg:time without time zone"}"#,
    ),
    (
        "time with time zone",
        "'23:59:59+02'",
        "\"23:59:59+02\"",
        r#"{"type":["string","null"],"format":"pg:time with time zone"}"#,
    ),
    (
        "interval",
        "'1 year 2 days 03:04:05.6'",
        "\"P1Y2DT3H4M5.6S\"",
        r#"{"type":["string","null"],"format":"pg:interval"}"#,
    ),
    ("jsonb", r#"'{"b": [1, null, 1e2], "a": "ü"}'"#, r#"{"a": "ü", "b": [1, null, 100]}"#, r#"{"format":"pg:jsonb"}"#),
    ("json", r#"' {"b" :1.50}'"#, r#"{"b" :1.50}"#, r#"{"format":"pg:json"}"#),
    ("jsonb", "'null'", "null", r#"{"format":"pg:jsonb"}"#),
    ("bytea", r"'\x00ff10'", "\"AP8Q\"", r#"{"type":["string","null"],"format":"pg:bytea"}"#),
    ("integer[]", "'{{1,2},{3,NULL}}'", "[[1,2],[3,null]]", r#"{"type":["array","null"],"format":"pg:integer[]"}"#),
    (
        "text[]",
        r#"ARRAY['a,b', NULL, 'NULL', '"', '']"#,
        r#"["a,b",null,"NULL","\"",""]"#,
        r#"{"type":["array","null"],"format":"pg:text[]"}"#,
    ),
    ("numeric(12,2)[]", "'{1.5,NaN}'", "[1.50,\"NaN\"]", r#"{"type":["array","null"],"format":"pg:numeric(12,2)[]"}"#),
    (
        "timestamp with time zone[]",
        "ARRAY['2024-01-01 00:00:00+00'::timestamptz]",
        "[\"2024-01-01T00:00:00Z\"]",
        r#"{"type":["array","null"],"format":"pg:timestamp with time zone[]"}"#,
    ),
    ("inet", "'10.0.0.1'", "\"10.0.0.1\"", r#"{"type":["string","null"],"format":"pg:inet"}"#),
    ("bit(3)", "B'101'", "\"101\"", r#"{"type":["string","null"],"format":"pg:bit(3)"}"#),
    ("int4range", "'[1,5)'", "\"[1,5)\"", r#"{"type":["string","null"],"format":"pg:int4range"}"#),
    ("money", "'12.34'", "\"$12.34\"", r#"{"type":["string","null"],"format":"pg:money"}"#),
    ("tsvector", "'a b'", "\"'a' 'b'\"", r#"{"type":["string","null"],"format":"pg:tsvector"}"#),
    ("point", "'(1,2.5)'", "\"(1,2.5)\"", r#"{"type":["string","null"],"format":"pg:point"}"#),
    (
        "box[]",
        "'{(1,1),(0,0);(3,3),(2,2)}'",
        "[\"(1,1),(0,0)\",\"(3,3),(2,2)\"]",
        r#"{"type":["array","null"],"format":"pg:box[]"}"#,
    ),
    ("oid", "4000000000", "\"4000000000\"", r#"{"type":["string","null"],"format":"pg:oid"}"#),
    ("public.mood", "'ok'", "\"ok\"", r#"{"type":["string","null"]}"#),
    ("public.small", "7", "7", r#"{"type":["integer","null"],"format":"pg:integer"}"#),
    ("public.mood[]", "'{ok,NULL}'", "[\"ok\",null]", r#"{"type":["array","null"]}"#),
];

#[tokio::test]
async fn each_type_has_one_form_by_walk_and_by_log() {
    let columns: Vec<String> = VALUES.iter().enumerate().map(|(place, (ty, ..))| format!("c{place} {ty}")).collect();
    let literals: Vec<String> = VALUES.iter().map(|(_, literal, ..)| (*literal).to_owned()).collect();
    let base = Base::new(&format!(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN small AS int CHECK (value < 10); CREATE TABLE t (id bigint PRIMARY KEY, {});
         INSERT INTO t VALUES (1, {})",
        columns.join(", "),
        literals.join(", ")
    ));
    // Whatever the database is set to.
    base.run(&format!(
        "ALTER DATABASE {0} SET datestyle = 'SQL, DMY'; ALTER DATABASE {0} SET timezone = 'Asia/Tokyo'; ALTER DATABASE {0} SET bytea_output = 'escape';
         ALTER DATABASE {0} SET intervalstyle = 'postgres_verbose'; ALTER DATABASE {0} SET extra_float_digits = -5",
        base.db.name()
    ));
    let found = base.task(&T).discover_bindings().await.unwrap();
    let schema: Value = serde_json::from_slice(&found[0].schema_json).unwrap();
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("UPDATE t SET id = 2");
    base.run("INSERT INTO t (id) VALUES (3)");
    let walked = fold.0[0]["1"].clone();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    let logged = fold.0[0]["2"].clone();
    for (place, (ty, literal, json, words)) in VALUES.iter().enumerate() {
        let name = format!("c{place}");
        assert_eq!(schema["properties"][&name].to_string(), *words, "{ty}");
        let wanted: Value = serde_json::from_str(json).unwrap();
        assert_eq!(walked[&name], wanted, "{ty}: {literal}");
        assert_eq!(logged[&name], wanted, "{ty}: {literal}, by the log");
        assert_eq!(fold.0[0]["3"][&name], Value::Null);
    }
}
