//! TRUNCATE, which tells no rows.

use longshore_sdk::ErrorKind;

use crate::case::{Bound, Case, case};

const ONE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 4) i; INSERT INTO u SELECT i, 'a' FROM generate_series(1, 4) i";
const CHAIN: &str = "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY REFERENCES p, v text); INSERT INTO p SELECT generate_series(1, 4); INSERT INTO t SELECT id, 'a' FROM p";
const PARTS: &str = "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (100); INSERT INTO t SELECT i, 'a' FROM generate_series(8, 12) i";
const BOTH: &[Bound] = &[("public", "t", &["/id"]), ("public", "u", &["/id"])];
const AGAIN: &str = "INSERT INTO t SELECT i, 'new' FROM generate_series(1, 4) i";

const fn stops(case: Case) -> Case {
    case.truncate("stop").stops(ErrorKind::Data, "postgres.truncated")
}

pub(crate) const CASES: &[Case] = &[
    case("of one table", ONE, &["TRUNCATE t"]),
    case("of one table that is filled again", ONE, &["TRUNCATE t", AGAIN]),
    case("of an empty table", ONE, &["DELETE FROM t", "TRUNCATE t"]),
    case("of two tables at once", ONE, &["TRUNCATE t, u", AGAIN]).of(BOTH),
    case("of one of two tables", ONE, &["INSERT INTO u VALUES (9, 'b')", "TRUNCATE u"]).of(BOTH),
    case("that cascades to the table", CHAIN, &["TRUNCATE p CASCADE"]),
    case(
        "between rows of one transaction",
        ONE,
        &["BEGIN; UPDATE t SET v = 'b'; TRUNCATE t; INSERT INTO t VALUES (1, 'new'), (7, 'new'); COMMIT"],
    ),
    case(
        "twice in one transaction",
        ONE,
        &["BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, 'new'); TRUNCATE t; INSERT INTO t VALUES (2, 'new'); COMMIT"],
    ),
    case(
        "in a transaction with checkpoints inside",
        ONE,
        &["BEGIN; INSERT INTO t SELECT i, repeat('b', 50) FROM generate_series(5, 20) i; TRUNCATE t; \
           INSERT INTO t SELECT i, repeat('c', 50) FROM generate_series(3, 30) i; COMMIT"],
    )
    .split(),
    case("and a row that is smaller than those before", ONE, &["TRUNCATE t", "INSERT INTO t VALUES (0, 'new')"]),
    case(
        "of large values",
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, {large} FROM generate_series(1, 4) i",
        &["TRUNCATE t", "INSERT INTO t VALUES (2, {large}), (3, {large})", "UPDATE t SET id = id + 2"],
    ),
    case(
        "again and again",
        ONE,
        &["TRUNCATE t", AGAIN, "TRUNCATE t", "INSERT INTO t VALUES (3, 'b')", "TRUNCATE t", AGAIN],
    ),
    case("of a partitioned table", PARTS, &["TRUNCATE t", "INSERT INTO t VALUES (9, 'new')"]),
    stops(case("of one table, stops", ONE, &["TRUNCATE t"])),
    stops(case("of an empty table, stops", ONE, &["DELETE FROM t", "TRUNCATE t"])),
    stops(case("of two tables at once, stops", ONE, &["TRUNCATE t, u"]).of(BOTH)),
    stops(case("of one of two tables, stops", ONE, &["INSERT INTO u VALUES (9, 'b')", "TRUNCATE u"]).of(BOTH)),
    stops(case("that cascades to the table, stops", CHAIN, &["TRUNCATE p CASCADE"])),
    stops(case(
        "with new rows in the same transaction, stops",
        ONE,
        &["BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, 'new'); COMMIT"],
    )),
    stops(case("of a partitioned table, stops", PARTS, &["TRUNCATE t"])),
    case("of a partition is not told", PARTS, &["TRUNCATE t1", "DELETE FROM t WHERE id = 12"])
        .documents(&[r#"{"_meta":"d","id":12}"#]),
    case("of another table", ONE, &["TRUNCATE u", "UPDATE t SET v = 'b'"]),
    case(
        "of another table, whose rows the log has",
        CHAIN,
        &["DELETE FROM t", "UPDATE p SET id = id + 10", "INSERT INTO t SELECT id, 'b' FROM p"],
    ),
    case("that is rolled back", ONE, &["BEGIN; TRUNCATE t; ROLLBACK", "UPDATE t SET v = 'b'"]),
    case(
        "to a savepoint that is rolled back",
        ONE,
        &["BEGIN; UPDATE t SET v = 'b'; SAVEPOINT s; TRUNCATE t; ROLLBACK TO s; COMMIT"],
    ),
    case("ignored, and the rows are written again", ONE, &["TRUNCATE t", AGAIN]).ignoring_truncate(),
    case(
        "ignored in one transaction with the rows",
        ONE,
        &["BEGIN; TRUNCATE t; INSERT INTO t SELECT i, 'new' FROM generate_series(1, 4) i; COMMIT"],
    )
    .ignoring_truncate(),
    case("ignored keeps the rows", ONE, &["TRUNCATE t", "INSERT INTO t VALUES (2, 'new')"])
        .ignoring_truncate()
        .documents(&[r#"{"_meta":"c","id":2,"v":"new"}"#]),
    case(
        "ignored of two tables at once",
        ONE,
        &["TRUNCATE t, u RESTART IDENTITY CASCADE", AGAIN, "INSERT INTO u SELECT * FROM t"],
    )
    .of(BOTH)
    .ignoring_truncate(),
    case(
        "ignored of a partitioned table",
        PARTS,
        &["TRUNCATE t", "INSERT INTO t SELECT i, 'new' FROM generate_series(8, 12) i"],
    )
    .ignoring_truncate(),
];
