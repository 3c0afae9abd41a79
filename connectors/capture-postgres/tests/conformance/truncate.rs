//! TRUNCATE, which tells no rows.

use longshore_sdk::ErrorKind;

use crate::case::{Bound, Case, case};

const ONE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 4) i; INSERT INTO u SELECT i, 'a' FROM generate_series(1, 4) i";
const CHAIN: &str = "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY REFERENCES p, v text); INSERT INTO p SELECT generate_series(1, 4); INSERT INTO t SELECT id, 'a' FROM p";
const PARTS: &str = "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (100); INSERT INTO t SELECT i, 'a' FROM generate_series(8, 12) i";
const BOTH: &[Bound] = &[("public", "t", &["/id"]), ("public", "u", &["/id"])];
const AGAIN: &str = "INSERT INTO t SELECT i, 'new' FROM generate_series(1, 4) i";

const fn stops(case: Case) -> Case {
    case.stops(ErrorKind::Data, "postgres.truncated")
}

pub(crate) const CASES: &[Case] = &[
    stops(case("of one table", ONE, &["TRUNCATE t"])),
    stops(case("of an empty table", ONE, &["DELETE FROM t", "TRUNCATE t"])),
    stops(case("of two tables at once", ONE, &["TRUNCATE t, u"]).of(BOTH)),
    stops(case("of one of two tables", ONE, &["INSERT INTO u VALUES (9, 'b')", "TRUNCATE u"]).of(BOTH)),
    stops(case("that cascades to the table", CHAIN, &["TRUNCATE p CASCADE"])),
    stops(case(
        "with new rows in the same transaction",
        ONE,
        &["BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, 'new'); COMMIT"],
    )),
    stops(case("of a partitioned table", PARTS, &["TRUNCATE t"])),
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
