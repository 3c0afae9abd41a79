//! Keys: a changed one is a deletion and a creation, and a walk goes on behind the last one, whatever its type.

use crate::case::{Bound, Case, case};

const ONE: &str =
    "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 8) i";
const PAIR: &str = "CREATE TABLE t (b text, a int, v text, PRIMARY KEY (a, b)); INSERT INTO t SELECT chr(96 + i % 3), i / 3, 'row ' || i FROM generate_series(0, 8) i";
const AB: &[Bound] = &[("public", "t", &["/a", "/b"])];
const BA: &[Bound] = &[("public", "t", &["/b", "/a"])];
const CODE: &[Bound] = &[("public", "t", &["/code"])];

pub(crate) const CASES: &[Case] = &[
    case("changed alone", ONE, &["UPDATE t SET id = 20 WHERE id = 2"]),
    case("changed with other columns", ONE, &["UPDATE t SET id = 20, v = 'b' WHERE id = 2"]),
    case("all changed at once", ONE, &["UPDATE t SET id = -id"]),
    case("all moved on by some", ONE, &["UPDATE t SET id = id + 100", "UPDATE t SET id = id - 50"]),
    case("two swapped in one transaction", ONE, &["BEGIN; UPDATE t SET id = 0 WHERE id = 1; UPDATE t SET id = 1 WHERE id = 2; UPDATE t SET id = 2 WHERE id = 0; COMMIT"]),
    case("three rotated in one transaction", ONE, &["BEGIN; UPDATE t SET id = 0 WHERE id = 1; UPDATE t SET id = 1 WHERE id = 2; UPDATE t SET id = 2 WHERE id = 3; UPDATE t SET id = 3 WHERE id = 0; COMMIT"]),
    case("used again after a deletion", ONE, &["DELETE FROM t WHERE id = 3", "INSERT INTO t VALUES (3, 'again')"]),
    case("used again in one transaction", ONE, &["BEGIN; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (3, 'again'); COMMIT"]),
    case("used again after it moved away", ONE, &["UPDATE t SET id = 30 WHERE id = 3", "INSERT INTO t VALUES (3, 'again')"]),
    case("inserted and gone in one transaction", ONE, &["BEGIN; INSERT INTO t VALUES (20, 'x'); DELETE FROM t WHERE id = 20; COMMIT"]),
    case("changed and the row gone in one transaction", ONE, &["BEGIN; UPDATE t SET id = 20 WHERE id = 2; DELETE FROM t WHERE id = 20; COMMIT"]),
    case("set to what it was", ONE, &["UPDATE t SET id = id, v = 'b'"]),
    case("all gone", ONE, &["DELETE FROM t"]),
    case("all gone and filled again", ONE, &["BEGIN; DELETE FROM t; INSERT INTO t SELECT i, 'new' FROM generate_series(3, 12) i; COMMIT"]),
    case("moved ahead of the walk and behind it", ONE, &["UPDATE t SET id = id + 1000 WHERE id < 3", "UPDATE t SET id = id - 1000 WHERE id BETWEEN 5 AND 6", "INSERT INTO t VALUES (4000, 'end'), (-4000, 'front')"]),
    case("composite, one part changed", PAIR, &["UPDATE t SET a = a + 10 WHERE b = 'a'", "UPDATE t SET b = b || 'z' WHERE a = 1"]).of(AB),
    case("composite, all parts changed", PAIR, &["UPDATE t SET a = a + 10, b = b || 'x', v = NULL"]).of(AB),
    case("composite, parts of two rows swapped", PAIR, &["BEGIN; UPDATE t SET b = 'tmp' WHERE (a, b) = (1, 'a'); UPDATE t SET b = 'a' WHERE (a, b) = (1, 'b'); UPDATE t SET b = 'b' WHERE (a, b) = (1, 'tmp'); COMMIT"]).of(AB),
    case("composite, the collection names it in another order", PAIR, &["UPDATE t SET a = a + 10", "DELETE FROM t WHERE b = 'b'"]).of(BA),
    case("composite of four types", "CREATE TABLE t (a uuid, b date, c timestamptz, d boolean, v int, PRIMARY KEY (a, b, c, d)); INSERT INTO t SELECT md5(i::text)::uuid, date '2024-01-01' + i, timestamptz '2024-01-01 00:00+02' + i * interval '1 us', i % 2 = 0, i FROM generate_series(1, 6) i", &["UPDATE t SET d = NOT d", "UPDATE t SET c = c + interval '1 us', v = 0"]).of(&[("public", "t", &["/a", "/b", "/c", "/d"])]),
    case("an index as replica identity", "CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL UNIQUE, v text); ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key; INSERT INTO t SELECT i, 'c' || i, 'a' FROM generate_series(1, 6) i", &["UPDATE t SET id = id + 10", "UPDATE t SET code = code || 'x'", "DELETE FROM t WHERE id = 12"]).of(CODE),
    case("an index as replica identity and no primary key", "CREATE TABLE t (code text NOT NULL, v text); CREATE UNIQUE INDEX u ON t (code DESC) INCLUDE (v); ALTER TABLE t REPLICA IDENTITY USING INDEX u; INSERT INTO t SELECT 'c' || i, 'a' FROM generate_series(1, 6) i", &["UPDATE t SET code = code || 'x' WHERE code > 'c3'", "UPDATE t SET v = 'b'"]).of(CODE),
    case("full identity", "CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t SELECT i, 'a' FROM generate_series(1, 6) i", &["UPDATE t SET id = id + 10", "UPDATE t SET v = NULL", "DELETE FROM t WHERE id > 14"]),
    case("equal for the server and written otherwise", "CREATE TABLE t (id numeric PRIMARY KEY, v text); INSERT INTO t VALUES (1.5, 'a'), (2, 'b'), (3, 'c')", &["UPDATE t SET id = 1.50 WHERE id = 1.5", "UPDATE t SET id = 2.000 WHERE id = 2", "DELETE FROM t WHERE id = 2"]),
    case("equal under a collation that ignores case", "CREATE COLLATION same (provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE TABLE t (id text COLLATE same PRIMARY KEY, v text); INSERT INTO t VALUES ('ab', 'a'), ('Cd', 'b'), ('EF', 'c'), ('gh', 'd')", &["UPDATE t SET id = upper(id)", "UPDATE t SET v = 'x' WHERE id = 'cd'"]),
    case("cascading from a foreign key", "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE, v text); INSERT INTO p SELECT generate_series(1, 6); INSERT INTO t SELECT id, 'a' FROM p", &["UPDATE p SET id = id + 100 WHERE id > 3", "DELETE FROM p WHERE id < 3"]),
    case("a primary key that can be deferred", "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, v text)", &[]).refused("postgres.key.missing"),
    case("none", "CREATE TABLE t (id int, v text)", &[]).refused("postgres.key.missing"),
    case("full identity and no key", "CREATE TABLE t (id int, v text); ALTER TABLE t REPLICA IDENTITY FULL", &[]).refused("postgres.key.missing"),
    case("identity NOTHING", "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY NOTHING", &[]).refused("postgres.identity.nothing"),
    case("another one than the collection's", PAIR, &[]).refused("postgres.key.other"),
    case("a generated column as key", "CREATE TABLE t (n int NOT NULL, id int GENERATED ALWAYS AS (n * 2) STORED PRIMARY KEY)", &[]).refused("postgres.key.missing"),
    case("identity columns and sequences", "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n serial, v text); INSERT INTO t (v) SELECT 'a' FROM generate_series(1, 5)", &["INSERT INTO t (v) VALUES ('b'), ('c')", "UPDATE t SET id = DEFAULT WHERE id = 2"]),
];

/// Rows of these keys are walked one by one, each time behind the last key as text; then all are moved and changed.
const fn walked(name: &'static str, before: &'static str, moved: &'static [&'static str]) -> Case {
    case(name, before, moved).walking()
}

pub(crate) const WALKED: &[Case] = &[
    walked("boolean", "CREATE TABLE t (id boolean PRIMARY KEY, v int); INSERT INTO t VALUES (true, 1), (false, 2)", &["UPDATE t SET v = 3"]),
    walked("smallint and its ends", "CREATE TABLE t (id smallint PRIMARY KEY, v int); INSERT INTO t VALUES (-32768, 1), (0, 2), (32767, 3)", &["UPDATE t SET id = id # 1"]),
    walked("bigint and its ends", "CREATE TABLE t (id bigint PRIMARY KEY, v int); INSERT INTO t VALUES (-9223372036854775808, 1), (0, 2), (9223372036854775807, 3)", &["UPDATE t SET id = id # 1"]),
    walked("numeric with NaN and infinities", "CREATE TABLE t (id numeric PRIMARY KEY, v int); INSERT INTO t VALUES ('NaN', 1), ('-Infinity', 2), ('Infinity', 3), (-0.10, 4), (1e20, 5), (0, 6)", &["UPDATE t SET v = 7", "UPDATE t SET id = id + 1 WHERE id < 10 AND id > -10"]),
    walked("double precision with NaN and infinities", "CREATE TABLE t (id double precision PRIMARY KEY, v int); INSERT INTO t VALUES ('NaN', 1), ('-Infinity', 2), ('Infinity', 3), (0.1, 4), (1e300, 5), (5e-324, 6)", &["UPDATE t SET v = 7", "DELETE FROM t WHERE id = 0.1"]),
    walked("real", "CREATE TABLE t (id real PRIMARY KEY, v int); INSERT INTO t VALUES (0.1, 1), (-3.4028235e38, 2), (1e-45, 3), (16777216, 4)", &["UPDATE t SET v = 7"]),
    walked("text with quotes, backslashes and control characters", r#"CREATE TABLE t (id text PRIMARY KEY, v int); INSERT INTO t VALUES ('', 1), ('''', 2), ('\', 3), (E'a\nb', 4), ('"', 5), ('ü𝄞', 6), (' ', 7), ('$1', 8), (E'\x01', 9), ('NULL', 10)"#, &["UPDATE t SET id = id || '''\\'"]),
    walked("character(n), whose blanks do not count", "CREATE TABLE t (id character(4) PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1), ('ab', 2), ('', 3), ('abcd', 4)", &["UPDATE t SET v = 7", "UPDATE t SET id = 'z' WHERE id = 'a'"]),
    walked("character varying(n)", "CREATE TABLE t (id varchar(3) PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1), ('a ', 2), ('', 3), ('üüü', 4)", &["UPDATE t SET v = 7"]),
    walked("name and \"char\"", "CREATE TABLE t (id name, c \"char\", v int, PRIMARY KEY (id, c)); INSERT INTO t VALUES ('a', 'x', 1), ('a', 'y', 2), ('b', '', 3)", &["UPDATE t SET v = 7"]).of(&[("public", "t", &["/id", "/c"])]),
    walked("bytea", r"CREATE TABLE t (id bytea PRIMARY KEY, v int); INSERT INTO t VALUES ('\x', 1), ('\x00', 2), ('\x00ff', 3), ('\x5c27', 4)", &["UPDATE t SET id = id || '\\x27'"]),
    walked("uuid", "CREATE TABLE t (id uuid PRIMARY KEY, v int); INSERT INTO t SELECT md5(i::text)::uuid, i FROM generate_series(1, 5) i", &["UPDATE t SET v = 7"]),
    walked("date with BC and infinities", "CREATE TABLE t (id date PRIMARY KEY, v int); INSERT INTO t VALUES ('-infinity', 1), ('4714-11-24 BC', 2), ('0044-03-15 BC', 3), ('2024-02-29', 4), ('5874897-12-31', 5), ('infinity', 6)", &["UPDATE t SET v = 7", "UPDATE t SET id = id + 1 WHERE v = 7 AND isfinite(id) AND id < '3000-01-01'"]),
    walked("timestamp with BC and infinities", "CREATE TABLE t (id timestamp PRIMARY KEY, v int); INSERT INTO t VALUES ('-infinity', 1), ('4714-11-24 00:00 BC', 2), ('2024-02-29 23:59:59.999999', 3), ('294276-12-31 23:59:59.999999', 4), ('infinity', 5)", &["UPDATE t SET v = 7"]),
    walked("timestamp with time zone, BC and infinities", "CREATE TABLE t (id timestamptz PRIMARY KEY, v int); INSERT INTO t VALUES ('-infinity', 1), ('0044-03-15 12:00:00.5+00 BC', 2), ('2024-02-29 23:59:59.999999+05:30', 3), ('294276-12-31 23:59:59.999999+00', 4), ('infinity', 5)", &["UPDATE t SET v = 7"]),
    walked("time, with and without time zone", "CREATE TABLE t (id time, z timetz, v int, PRIMARY KEY (id, z)); INSERT INTO t VALUES ('00:00', '00:00+15:59', 1), ('24:00', '24:00-15:59', 2), ('24:00', '12:00:00.000001+00', 3)", &["UPDATE t SET v = 7"]).of(&[("public", "t", &["/id", "/z"])]),
    walked("interval", "CREATE TABLE t (id interval PRIMARY KEY, v int); INSERT INTO t VALUES ('-1 year -2 days', 1), ('0', 2), ('1 year 2 mons 3 days 04:05:06.789', 3), ('178000000 years', 4)", &["UPDATE t SET v = 7"]),
    walked("enum, in its own order", "CREATE TYPE mood AS ENUM ('zeal', 'it''s', 'a'); CREATE TABLE t (id mood PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1), ('zeal', 2), ('it''s', 3)", &["ALTER TYPE mood ADD VALUE 'new' BEFORE 'it''s'", "INSERT INTO t VALUES ('new', 4)", "UPDATE t SET v = 7"]),
    walked("domain in a schema with an odd name", "CREATE SCHEMA \"Odd \"\"one\"; CREATE DOMAIN \"Odd \"\"one\".\"Id\" AS int CHECK (value > 0); CREATE TABLE t (id \"Odd \"\"one\".\"Id\" PRIMARY KEY, v int); INSERT INTO t SELECT i, i FROM generate_series(1, 5) i", &["UPDATE t SET id = id + 10"]),
    walked("composite type", "CREATE TYPE pair AS (a int, b text); CREATE TABLE t (id pair PRIMARY KEY, v int); INSERT INTO t VALUES ((1, 'a'), 1), ((1, NULL), 2), ((2, 'x,\"y\"'), 3)", &["UPDATE t SET v = 7", "UPDATE t SET id = (5, '') WHERE id = (1, 'a')::pair"]),
    walked("array", "CREATE TABLE t (id int[] PRIMARY KEY, v int); INSERT INTO t VALUES ('{}', 1), ('{1,2}', 2), ('{1,NULL}', 3), ('{{1},{2}}', 4)", &["UPDATE t SET v = 7"]),
    walked("jsonb", r#"CREATE TABLE t (id jsonb PRIMARY KEY, v int); INSERT INTO t VALUES ('{"a": "it''s \\ \""}', 1), ('1', 2), ('[]', 3), ('"x"', 4)"#, &["UPDATE t SET v = 7"]),
    walked("range and multirange", "CREATE TABLE t (id int4range, m datemultirange, v int, PRIMARY KEY (id, m)); INSERT INTO t VALUES ('empty', '{}', 1), ('[1,5)', '{[2024-01-01,2024-02-01),[2024-03-01,)}', 2), ('(,5)', '{(,)}', 3)", &["UPDATE t SET v = 7"]).of(&[("public", "t", &["/id", "/m"])]),
    walked("inet, cidr and macaddr", "CREATE TABLE t (id inet, c cidr, m macaddr, v int, PRIMARY KEY (id, c, m)); INSERT INTO t VALUES ('10.0.0.1', '10.0.0.0/8', '08:00:2b:01:02:03', 1), ('::1', '2001:db8::/32', '00:00:00:00:00:00', 2), ('10.0.0.1/24', '0.0.0.0/0', 'ff:ff:ff:ff:ff:ff', 3)", &["UPDATE t SET v = 7"]).of(&[("public", "t", &["/id", "/c", "/m"])]),
    walked("bit strings", "CREATE TABLE t (id bit(3), b bit varying, v int, PRIMARY KEY (id, b)); INSERT INTO t VALUES (B'101', B'', 1), (B'000', B'1', 2), (B'111', B'10101', 3)", &["UPDATE t SET v = 7"]).of(&[("public", "t", &["/id", "/b"])]),
    walked("money, oid, pg_lsn and xid8", "CREATE TABLE t (id money, o oid, l pg_lsn, x xid8, v int, PRIMARY KEY (id, o, l, x)); INSERT INTO t VALUES (-92233720368547758.08, 0, '0/0', '0', 1), (0, 4294967295, 'FFFFFFFF/FFFFFFFF', '18446744073709551615', 2), (1234.5, 1, '0/1', '7', 3)", &["UPDATE t SET v = 7"]).of(&[("public", "t", &["/id", "/o", "/l", "/x"])]),
    walked("text in the order of a language", "CREATE TABLE t (id text COLLATE \"und-x-icu\" PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1), ('B', 2), ('b', 3), ('ä', 4), ('Z', 5), ('-a', 6), ('_', 7)", &["UPDATE t SET id = id || 'x'"]),
    walked("tsvector", "CREATE TABLE t (id tsvector PRIMARY KEY, v int); INSERT INTO t VALUES ('a b', 1), ('''it''''s'':1A', 2), ('', 3)", &["UPDATE t SET v = 7"]),
];
