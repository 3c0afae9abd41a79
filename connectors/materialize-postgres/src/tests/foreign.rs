//! What somebody else made is not touched until the user says so; what fits and is empty is used as it is.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_somebody_else_are_not_touched_until_the_user_says_so() {
    let lake = Lake::new();
    lake.query("CREATE TABLE t (id bigint PRIMARY KEY, v bigint); INSERT INTO t VALUES (1, 7)");
    let mut runtime = lake.runtime(ids());
    let validated = runtime.validate().await.unwrap();
    let whole = validated.bindings[0].fields.iter().find(|field| field.pointer.is_empty()).unwrap();
    assert!(whole.constraint == Constraint::Incompatible && whole.reason.contains("somebody else"), "{whole:?}");
    let error = runtime.apply().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "postgres.table.foreign"));
    assert!(error.suggestion.contains("run --fresh test/test/documents"), "{error}");
    assert_eq!(lake.query("SELECT * FROM t"), ["1|7"]);

    runtime.apply_with(all_fresh).await.unwrap();
    run(&mut runtime, &[&[r#"{"id":2,"v":2}"#]]).await.unwrap();
    assert_eq!(lake.query("SELECT * FROM t"), ["2|2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_table_that_fits_is_used_as_it_is_and_one_that_does_not_is_refused() {
    for (columns, reason) in [
        ("id bigint PRIMARY KEY, v numeric, more text DEFAULT 'x'", None),
        ("id numeric NOT NULL UNIQUE, v bigint, at timestamptz NOT NULL DEFAULT now()", None),
        ("id bigint, v bigint", Some("on exactly the key (id)")),
        ("id bigint, v bigint, PRIMARY KEY (id, v)", Some("one that is NOT NULL")),
        ("id bigint PRIMARY KEY", Some("got none of that name")),
        ("id bigint PRIMARY KEY, v integer", Some("got integer")),
        ("id bigint PRIMARY KEY, v bigint, more text NOT NULL", Some("\"more\"")),
        ("id bigint PRIMARY KEY, v bigint GENERATED ALWAYS AS (id + 1) STORED", Some("makes its values itself")),
    ] {
        let lake = Lake::new();
        lake.query(&format!("CREATE TABLE t ({columns})"));
        let before = lake.query("SELECT oid FROM pg_class WHERE relname = 't'");
        let mut runtime = lake.runtime(ids());
        let incompatible =
            runtime.validate().await.unwrap().bindings[0].fields.iter().any(|field| field.pointer.is_empty());
        assert_eq!(incompatible, reason.is_some(), "{columns}");
        let ran = run(&mut runtime, &[&[r#"{"id":1,"v":2}"#], &[r#"{"id":1,"v":3}"#]]).await;
        match (ran, reason) {
            (Ok(()), None) => assert_eq!(lake.query("SELECT id, v FROM t"), ["1|3"]),
            (Err(error), Some(reason)) => {
                assert!(error.code == "postgres.table.foreign" && error.message.contains(reason), "{columns}: {error}");
            }
            (ran, _) => panic!("{columns}: {ran:?}"),
        }
        assert_eq!(lake.query("SELECT oid FROM pg_class WHERE relname = 't'"), before, "it is the same table");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_the_name_and_is_no_table_is_refused() {
    for statement in [
        "CREATE VIEW t AS SELECT 1 AS id",
        "CREATE MATERIALIZED VIEW t AS SELECT 1 AS id",
        "CREATE SEQUENCE t",
        "CREATE TABLE t (id bigint PRIMARY KEY, v bigint) PARTITION BY RANGE (id)",
        "CREATE TABLE other (id bigint); CREATE INDEX t ON other (id)",
        "CREATE TYPE t AS (id bigint)",
        "CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE t (id bigint) SERVER s",
    ] {
        let lake = Lake::new();
        if statement.contains("fdw")
            && lake.query("SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'") == ["0"]
        {
            continue;
        }
        lake.query(statement);
        assert_eq!(
            lake.runtime(ids()).validate().await.unwrap().findings[0].code,
            "postgres.table.taken",
            "{statement}"
        );
        assert_eq!(lake.runtime(ids()).apply().await.unwrap_err().code, "postgres.table.taken", "{statement}");
        let error = lake.runtime(ids()).apply_with(all_fresh).await.unwrap_err();
        assert_eq!(error.code, "postgres.table.taken", "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_is_told_what_to_grant() {
    let lake = Lake::new();
    let role = format!("{}_user", lake.database.name());
    lake.query(&format!("CREATE ROLE {role} LOGIN"));
    let url = lake.database.url().replace("postgres@", &format!("{role}@"));
    let mut runtime = Runtime::new(transactional(Postgres), json!({ "url": url })).bind(ids());
    let error = runtime.apply().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "postgres.permission"));
    assert!(error.message.contains(lake.database.name()), "{error}");

    // With what it needs granted, and no right to make schemas any more, it goes on.
    lake.query(&format!(
        "GRANT CREATE ON DATABASE {} TO {role}; GRANT CREATE ON SCHEMA public TO {role}",
        lake.database.name()
    ));
    runtime.apply().await.unwrap();
    lake.query(&format!("REVOKE CREATE ON DATABASE {} FROM {role}", lake.database.name()));
    run(&mut runtime, &[&[r#"{"id":1}"#], &[r#"{"id":1}"#]]).await.unwrap();
    lake.query(&format!("REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_a_key_may_have_another_collation_than_ours() {
    let lake = Lake::new();
    lake.query("CREATE TABLE t (id text COLLATE \"POSIX\" PRIMARY KEY, v bigint)");
    let properties = json!({ "id": { "type": "string" }, "v": { "type": "integer" } });
    let mut runtime = lake.runtime(ids().schema(schema(properties)));
    let gone = r#"{"id":"a","_meta":{"op":"d"}}"#;
    run(&mut runtime, &[&[r#"{"id":"a"}"#, r#"{"id":"b"}"#], &[gone, r#"{"id":"b","v":1}"#]]).await.unwrap();
    assert_eq!(lake.query("SELECT * FROM t"), ["b|1"]);
    runtime.owner.epoch = 10;
    let mut session = runtime.open().await.unwrap();
    session.acknowledge().await.unwrap();
    session.ask(0, &["[\"a\"]", "[\"b\"]"], false).await.unwrap();
    assert_eq!(session.flush().await.unwrap().into_keys().collect::<Vec<_>>(), ["[\"b\"]"]);
}
