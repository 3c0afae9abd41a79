//! What was there before and is not as it was: a slot, a publication, a server. Another timeline and another server are in `../postgres/doubts.rs`,
//! a log that was removed, too.

use crate::case::{Case, case};

const ONE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 6) i";
const LOST: &str = "UPDATE t SET v = 'lost'";
const GOES_ON: &[&str] = &["UPDATE t SET v = 'b'", "UPDATE t SET id = id + 10"];

pub(crate) const CASES: &[Case] = &[
    case("the slot is dropped", ONE, &[LOST, "SELECT pg_drop_replication_slot('{slot}')"]).refused("postgres.slot.missing"),
    case("the slot is dropped, and Apply does not make it again", ONE, &["SELECT pg_drop_replication_slot('{slot}')", LOST]).later(&[]).refused("postgres.slot.missing"),
    case("the slot is made again by hand", ONE, &["SELECT pg_drop_replication_slot('{slot}')", LOST, "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"]).refused("postgres.slot.ahead"),
    case("the slot is made again with another plugin", ONE, &["SELECT pg_drop_replication_slot('{slot}')", "SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')"]).refused("postgres.slot.other"),
    case("the slot is made again as a physical one", ONE, &["SELECT pg_drop_replication_slot('{slot}')", "SELECT pg_create_physical_replication_slot('{slot}', true)"]).refused("postgres.slot.other"),
    case("the slot is moved on", ONE, &[LOST, "SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())"]).refused("postgres.slot.ahead"),
    case("somebody reads from the slot and looks only", ONE, &["UPDATE t SET v = 'b'", "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('{slot}', NULL, NULL, 'proto_version', '1', 'publication_names', 'longshore_test')", "UPDATE t SET id = id + 10"]).never_walking(),
    case("somebody reads from the slot and takes", ONE, &[LOST, "SELECT count(*) FROM pg_logical_slot_get_binary_changes('{slot}', NULL, NULL, 'proto_version', '1', 'publication_names', 'longshore_test')"]).refused("postgres.slot.ahead"),
    case("a slot of this name was there before", "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 4) i;; SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')", GOES_ON),
    case("a slot of this name with another plugin was there before", "CREATE TABLE t (id int PRIMARY KEY)", &[]).with("SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')").of(&[]).refused("postgres.slot.other"),
    case("a slot that decodes at PREPARE was there before", "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput', false, true)", &[]).of(&[]).refused("postgres.slot.other"),
    case("the publication is dropped", ONE, &[LOST, "DROP PUBLICATION longshore_test"]).refused("postgres.publication"),
    case("the table leaves the publication", ONE, &["ALTER PUBLICATION longshore_test SET TABLE u", LOST]).refused("postgres.publication"),
    case("the publication sends insertions alone", ONE, &["ALTER PUBLICATION longshore_test SET (publish = 'insert')"]).refused("postgres.publication"),
    case("the publication sends no TRUNCATE", ONE, &["ALTER PUBLICATION longshore_test SET (publish = 'insert, update, delete')"]).refused("postgres.publication"),
    case("the publication sends partitions by themselves", ONE, &["ALTER PUBLICATION longshore_test SET (publish_via_partition_root = false)"]).refused("postgres.publication"),
    case("the publication gets a row filter", ONE, &["ALTER PUBLICATION longshore_test SET TABLE t WHERE (id > 3)"]).refused("postgres.publication"),
    case("the publication gets a list of columns", ONE, &["ALTER PUBLICATION longshore_test SET TABLE t (id)"]).refused("postgres.publication"),
    case("the publication gets another table as well", ONE, &["ALTER PUBLICATION longshore_test ADD TABLE u", "INSERT INTO u VALUES (1)", "UPDATE t SET v = 'b'"]).never_walking(),
    case("the publication is put right by Apply", ONE, &["ALTER PUBLICATION longshore_test ADD TABLE u", "INSERT INTO u VALUES (1)", "UPDATE t SET v = 'b'"]).later(&[]),
    case("a publication of all tables", "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 4) i; CREATE PUBLICATION longshore_test FOR ALL TABLES WITH (publish_via_partition_root)", &["UPDATE t SET v = 'b'", "INSERT INTO u VALUES (1)", "UPDATE t SET id = id + 10"]),
    case("a publication of all tables of a schema is made one of these tables", "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 4) i; CREATE PUBLICATION longshore_test FOR TABLES IN SCHEMA public", GOES_ON),
    case("a publication with a filter is made one without", "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 4) i; CREATE PUBLICATION longshore_test FOR TABLE t (id, v) WHERE (id > 3)", GOES_ON),
    case("the table is in somebody else's publication too, with a filter", "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 4) i; CREATE PUBLICATION theirs FOR TABLE t (id) WHERE (id > 3)", &["UPDATE t SET v = 'b'", "INSERT INTO t VALUES (20, 'x')"]),
    case("no tables at all", "CREATE TABLE t (id int PRIMARY KEY)", &["INSERT INTO t VALUES (1)"]).of(&[]),
];
