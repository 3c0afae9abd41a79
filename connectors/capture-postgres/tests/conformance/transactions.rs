//! Transactions and what else is in the log.

use longshore_sdk::ErrorKind;

use crate::case::{Case, case};

const ONE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 6) i";
const BOTH: &[(&str, &str, &[&str])] = &[("public", "t", &["/id"]), ("public", "u", &["/id"])];

pub(crate) const CASES: &[Case] = &[
    case("rolled back", ONE, &["BEGIN; UPDATE t SET v = 'x'; INSERT INTO t VALUES (20, 'x'); ROLLBACK"]),
    case("ended by an error", ONE, &["DO $$ BEGIN BEGIN UPDATE t SET v = 'x'; RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN INSERT INTO t VALUES (20, 'caught'); END; END $$"]),
    case("rolled back to a savepoint", ONE, &["BEGIN; UPDATE t SET v = 'b' WHERE id = 1; SAVEPOINT s; UPDATE t SET v = 'x'; ROLLBACK TO s; UPDATE t SET v = 'c' WHERE id = 2; COMMIT"]),
    case("savepoints in savepoints", ONE, &["BEGIN; SAVEPOINT a; UPDATE t SET v = 'b'; SAVEPOINT b; DELETE FROM t; ROLLBACK TO b; INSERT INTO t VALUES (20, 'x'); RELEASE a; COMMIT"]),
    case("a hundred subtransactions", ONE, &["DO $$ BEGIN FOR i IN 1..100 LOOP BEGIN INSERT INTO t VALUES (100 + i, 'x'); IF i % 3 = 0 THEN RAISE EXCEPTION 'no'; END IF; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$"]),
    case("empty", ONE, &["BEGIN; COMMIT", "BEGIN; SELECT pg_current_xact_id(); COMMIT", "UPDATE t SET v = 'b' WHERE false", "UPDATE t SET v = 'b' WHERE id = 1"]),
    case("nothing but other tables", ONE, &["INSERT INTO u VALUES (1, 'x')", "CREATE TABLE x AS SELECT * FROM t", "CREATE TEMP TABLE y AS SELECT * FROM t", "UPDATE t SET v = 'b' WHERE id = 1"]),
    case("several tables in one", ONE, &["BEGIN; INSERT INTO u SELECT * FROM t; UPDATE t SET v = 'b'; UPDATE u SET id = id + 10; DELETE FROM t WHERE id = 3; COMMIT"]).of(BOTH),
    case("large", ONE, &["INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(100, 3000) i", "UPDATE t SET v = 'b' WHERE id > 1000", "DELETE FROM t WHERE id > 2000"]),
    case("large with checkpoints inside", ONE, &["INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(100, 600) i", "BEGIN; UPDATE t SET v = 'b'; UPDATE t SET id = id + 1000; DELETE FROM t WHERE id > 1400; COMMIT"]).split(),
    case("larger than the server keeps in memory", ONE, &["INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(100, 2000) i"]).with("ALTER DATABASE {db} SET logical_decoding_work_mem = '64kB'; CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY)"),
    case("two that overlap, the later one committed first", ONE, &["other: BEGIN; UPDATE t SET v = 'other' WHERE id = 1; INSERT INTO t VALUES (20, 'other')", "BEGIN; UPDATE t SET v = 'mine' WHERE id = 2; COMMIT", "INSERT INTO t VALUES (21, 'mine')", "other: UPDATE t SET v = 'late' WHERE id = 2; COMMIT"]),
    case("two that overlap, one rolled back", ONE, &["other: BEGIN; UPDATE t SET v = 'other' WHERE id = 1", "UPDATE t SET v = 'mine' WHERE id = 2", "other: ROLLBACK", "UPDATE t SET v = 'mine' WHERE id = 1"]),
    case("two that overlap, with sessions between their parts", ONE, &["other: BEGIN; UPDATE t SET v = 'other' WHERE id = 1; INSERT INTO t VALUES (20, 'other')", "UPDATE t SET v = 'mine' WHERE id = 2", "other: UPDATE t SET v = 'late' WHERE id = 3; COMMIT", "DELETE FROM t WHERE id = 20"]).by_steps(),
    case("one key written by two in turn", ONE, &["other: BEGIN; UPDATE t SET v = 'first' WHERE id = 1; COMMIT", "UPDATE t SET v = 'second' WHERE id = 1", "other: DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (1, 'third')"]),
    case("sessions after each", ONE, &["INSERT INTO t VALUES (20, 'x')", "UPDATE t SET id = 21 WHERE id = 20", "DELETE FROM t WHERE id = 21", "UPDATE t SET v = 'end'"]).by_steps(),
    case("prepared and committed", ONE, &["BEGIN; UPDATE t SET v = 'b'; INSERT INTO t VALUES (20, 'x'); PREPARE TRANSACTION '{db}'", "INSERT INTO t VALUES (21, 'between')", "COMMIT PREPARED '{db}'"]),
    case("prepared and rolled back", ONE, &["BEGIN; UPDATE t SET v = 'b'; PREPARE TRANSACTION '{db}'", "INSERT INTO t VALUES (21, 'between')", "ROLLBACK PREPARED '{db}'"]),
    case("prepared in one session and committed in another", ONE, &["BEGIN; UPDATE t SET v = 'b' WHERE id < 3; PREPARE TRANSACTION '{db}'", "UPDATE t SET v = 'c' WHERE id > 4", "COMMIT PREPARED '{db}'", "DELETE FROM t WHERE id = 1"]).by_steps(),
    case("a procedure that commits inside", "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..20 LOOP INSERT INTO t VALUES (i, 'x'); IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF; END LOOP; END $$", &["CALL p()"]),
    case("COPY, MERGE and CTEs that write", ONE, &["COPY t FROM PROGRAM 'printf \"30\\tcopied\\n31\\t\\\\N\\n\"'", "MERGE INTO t USING (VALUES (1, 'merged'), (40, 'merged')) s (id, v) ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)", "WITH gone AS (DELETE FROM t WHERE id = 2 RETURNING *) INSERT INTO t SELECT id + 100, v FROM gone"]),
    case("INSERT ON CONFLICT, done and not done", ONE, &["INSERT INTO t VALUES (1, 'x'), (20, 'x') ON CONFLICT DO NOTHING", "INSERT INTO t VALUES (2, 'up'), (21, 'up') ON CONFLICT (id) DO UPDATE SET v = excluded.v"]),
    case("rows locked and not changed", ONE, &["BEGIN; SELECT FROM t FOR UPDATE; COMMIT", "UPDATE t SET v = v WHERE id = 1"]),
    case("logical messages", ONE, &["SELECT pg_logical_emit_message(true, 'a', 'b')", "SELECT pg_logical_emit_message(false, 'a', repeat('x', 10000))", "BEGIN; SELECT pg_logical_emit_message(true, '', ''); UPDATE t SET v = 'b'; SELECT pg_logical_emit_message(true, 'a', 'b'); COMMIT"]),
    case("an origin, as a subscription sets it", ONE, &["SELECT pg_replication_origin_create('{db}')", "BEGIN; SELECT pg_replication_origin_session_setup('{db}'); SELECT pg_replication_origin_xact_setup('0/1', now()); UPDATE t SET v = 'from elsewhere'; COMMIT", "SELECT pg_replication_origin_session_reset()", "UPDATE t SET v = 'from here' WHERE id = 1"]),
    case("asynchronous commits", ONE, &["SET synchronous_commit = off", "UPDATE t SET v = 'b'", "INSERT INTO t VALUES (20, 'x')"]),
    case("triggers and rules that write", "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY, v text); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO u VALUES (NEW.id, NEW.v) ON CONFLICT (id) DO UPDATE SET v = 'again'; RETURN NULL; END $$; CREATE TRIGGER g AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 4) i", &["UPDATE t SET v = 'b'", "INSERT INTO t VALUES (9, 'c')"]).of(BOTH),
    case("replication role without triggers", ONE, &["SET session_replication_role = replica", "UPDATE t SET v = 'b'"]),
    case("a checkpoint, a new file of the log, a restart point", ONE, &["CHECKPOINT", "UPDATE t SET v = 'b' WHERE id < 3", "SELECT pg_switch_wal()", "UPDATE t SET v = 'c' WHERE id > 3"]),
    case("vacuum, analyze, freeze, reindex", ONE, &["VACUUM (FREEZE, ANALYZE) t", "UPDATE t SET v = 'b'", "REINDEX TABLE t", "DELETE FROM t WHERE id = 2", "VACUUM t"]),
    case("a row of more than 64 MiB as a document", "CREATE TABLE t (id int PRIMARY KEY, v text)", &["INSERT INTO t VALUES (1, repeat('x', 70 << 20))"]).stops(ErrorKind::Data, "postgres.document.too_large"),
];
