//! Columns as cursors: of which types, and what becomes of rows without a value.

use serde_json::{Value, json};

use super::story::{T, bound, ops, run, task_in_steps, task_of_t};
use crate::base::{Base, Fold};

/// Type, least value of some, and how the next one is made of one.
const TYPES: [(&str, &str, &str); 11] = [
    ("smallint", "-32768", "+ 1::smallint"),
    ("integer", "-2147483648", "+ 1"),
    ("bigint", "-9223372036854775808", "+ 1"),
    ("numeric", "-1.5", "+ 0.0000000001"),
    ("numeric(12,2)", "0", "+ 0.01"),
    ("date", "2024-02-28", "+ 1"),
    ("timestamp", "2024-02-28 23:59:59.999998", "+ interval '1 us'"),
    ("timestamptz", "2024-02-28 23:59:59.999998+00", "+ interval '1 us'"),
    ("timestamp(0) with time zone", "2024-02-28 23:59:58+00", "+ interval '1 s'"),
    ("timestamptz", "0044-03-15 12:00:00+00 BC", "+ interval '1 us'"),
    ("public.positive", "1", "+ 1"),
];

#[tokio::test]
async fn numbers_and_times_of_every_type_are_followed() {
    for (ty, least, next) in TYPES {
        let base = Base::new("CREATE DOMAIN positive AS int CHECK (value > 0)");
        base.run(&format!("CREATE TABLE t (id int PRIMARY KEY, c {ty} NOT NULL); CREATE INDEX ON t (c, id); INSERT INTO t VALUES (1, '{least}')"));
        let more = "INSERT INTO t SELECT (SELECT max(id) FROM t) + 1, c NEXT FROM t ORDER BY c DESC, id LIMIT 1"
            .replace("NEXT", next);
        let same = "INSERT INTO t SELECT (SELECT max(id) FROM t) + 1, c FROM t ORDER BY c DESC, id LIMIT 1";
        for look_back in [None, Some(0)] {
            let mut task = bound(task_in_steps(&base, 1, 1_000), "t", &resource(ty, look_back));
            assert_eq!(task.validate().await.unwrap(), [], "{ty}");
            let mut fold = Fold::default();
            fold.take(&run(&mut task).await.unwrap(), &T);
            for statement in [&more, same, &more, &more, same] {
                base.run(statement);
                let seen = run(&mut task).await.unwrap();
                assert_eq!(ops(&seen).len(), 1, "{ty}: {statement}");
                fold.take(&seen, &T);
            }
            let captured: Vec<&Value> = fold.0[0].values().collect();
            assert_eq!(captured.len().to_string(), base.run("SELECT count(*) FROM t"), "{ty}");
        }
    }
}

fn resource(ty: &str, look_back: Option<u64>) -> Value {
    let is_time = ty.starts_with("date") || ty.starts_with("timestamp");
    match look_back {
        None => json!({ "cursor": "c" }),
        Some(count) if is_time => json!({ "cursor": "c", "look_back": format!("{count}s") }),
        Some(count) => json!({ "cursor": "c", "look_back": count }),
    }
}

#[tokio::test]
async fn what_cannot_be_a_cursor_is_said_with_the_way_out() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text NOT NULL, u uuid NOT NULL, r real NOT NULL, j jsonb, at timestamptz NOT NULL, n integer[], i interval)",
    );
    for (more, code, pointer) in [
        (json!({ "cursor": "v" }), "postgres.cursor.type", "/cursor"),
        (json!({ "cursor": "u" }), "postgres.cursor.type", "/cursor"),
        (json!({ "cursor": "r" }), "postgres.cursor.type", "/cursor"),
        (json!({ "cursor": "j" }), "postgres.cursor.type", "/cursor"),
        (json!({ "cursor": "n" }), "postgres.cursor.type", "/cursor"),
        (json!({ "cursor": "i" }), "postgres.cursor.type", "/cursor"),
        (json!({ "cursor": "absent" }), "postgres.cursor.missing", "/cursor"),
        (json!({ "cursor": "at", "look_back": 7 }), "postgres.look_back", "/look_back"),
        (json!({ "cursor": "id", "look_back": "7s" }), "postgres.look_back", "/look_back"),
        (json!({ "cursor": "at", "look_back": "36500d" }), "postgres.look_back", "/look_back"),
        (json!({ "look_back": "7s" }), "postgres.look_back", "/look_back"),
    ] {
        let mut task = task_of_t(&base, &more);
        let findings = task.validate().await.unwrap();
        let said: Vec<_> =
            findings.iter().map(|finding| (finding.code.as_str(), finding.binding, finding.pointer.as_str())).collect();
        assert_eq!(said, [(code, Some(0), pointer)], "{more}");
        assert!(!findings[0].suggestion.is_empty() && findings[0].message.contains("capture-postgres-query"), "{more}");
        assert_eq!(task.apply().await.unwrap_err().code, code);
        assert_eq!(run(&mut task).await.unwrap_err().code, code, "who opens without asking hears the same");
    }
    let findings = task_of_t(&base, &json!({ "cursor": "id", "look_back": "soon" })).validate().await.unwrap();
    assert!(findings[0].message.contains("a time with its unit, such as `60s`, or a whole number"), "{findings:?}");
}

#[tokio::test]
async fn a_cursor_without_an_index_is_warned_of() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON t (id, at); CREATE INDEX ON t (at) WHERE id > 7",
    );
    let task = task_of_t(&base, &json!({ "cursor": "at" }));
    let findings = task.validate().await.unwrap();
    assert_eq!(findings[0].code, "postgres.cursor.index");
    base.run(&findings[0].suggestion);
    assert_eq!(task.validate().await.unwrap(), []);
    assert_eq!(task_of_t(&base, &json!({ "cursor": "id" })).validate().await.unwrap(), []);
}

#[tokio::test]
async fn a_row_without_a_value_stops_the_capture_and_is_not_passed_over() {
    let base = Base::new(
        "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz, born timestamptz NOT NULL); INSERT INTO t VALUES (1, '2024-01-01', '2023-01-01')",
    );
    let mut task = task_of_t(&base, &json!({ "cursor": "at" }));
    assert_eq!(ops(&run(&mut task).await.unwrap()), ["c 1"]);
    base.run("INSERT INTO t VALUES (2, NULL, '2024-01-01')");
    let error = run(&mut task).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.binding), ("postgres.cursor.null", Some(0)));
    assert!(error.suggestion.contains("coalesce"), "{error}");
    // The way out that it names.
    base.run("CREATE VIEW filled AS SELECT id, coalesce(at, born) AS at FROM t");
    let mut task = bound(task_in_steps(&base, 3, 100), "filled", &json!({ "cursor": "at", "key": ["id"] }));
    assert_eq!(ops(&run(&mut task).await.unwrap()), ["c 1", "c 2"]);
    base.run("UPDATE t SET at = now() WHERE id = 2");
    assert_eq!(ops(&run(&mut task).await.unwrap()), ["u 2"]);
}
