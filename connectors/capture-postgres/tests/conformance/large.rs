//! Large values, which the log leaves out where they did not change.

use crate::case::{Case, case};

const ONE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text, big text); INSERT INTO t SELECT i, 'a', {large} || i FROM generate_series(1, 8) i";
const TWO: &str = "CREATE TABLE t (id int PRIMARY KEY, v text, big text, more jsonb, bytes bytea); \
    INSERT INTO t SELECT i, 'a', {large} || i, to_jsonb({large} || i), decode({large}, 'hex') FROM generate_series(1, 6) i";
const FULL: &str = "CREATE TABLE t (id int PRIMARY KEY, v text, big text); ALTER TABLE t REPLICA IDENTITY FULL; \
    INSERT INTO t SELECT i, 'a', {large} || i FROM generate_series(1, 8) i";
const INDEX: &str = "CREATE TABLE t (pk serial PRIMARY KEY, id int NOT NULL UNIQUE, v text, big text); ALTER TABLE t REPLICA IDENTITY USING INDEX t_id_key; \
    INSERT INTO t (id, v, big) SELECT i, 'a', {large} || i FROM generate_series(1, 8) i";
const IN_KEY: &str = "CREATE TABLE t (id text PRIMARY KEY, v text); ALTER TABLE t ALTER id SET STORAGE EXTERNAL; \
    INSERT INTO t SELECT left({large}, 2200) || i, 'a' FROM generate_series(1, 4) i";

pub(crate) const CASES: &[Case] = &[
    case("unchanged by an update", ONE, &["UPDATE t SET v = 'b'"]),
    case(
        "unchanged by many updates",
        ONE,
        &["UPDATE t SET v = 'b'", "UPDATE t SET v = 'c' WHERE id > 3", "UPDATE t SET v = NULL WHERE id > 5"],
    ),
    case(
        "unchanged by updates of one transaction",
        ONE,
        &["BEGIN; UPDATE t SET v = 'b'; UPDATE t SET v = 'c'; UPDATE t SET v = 'd' WHERE id = 8; COMMIT"],
    ),
    case("unchanged when the key changes", ONE, &["UPDATE t SET id = id + 100"]),
    case(
        "unchanged when the key changes twice",
        ONE,
        &["UPDATE t SET id = id + 100", "UPDATE t SET id = id + 100, v = 'b'"],
    ),
    case(
        "unchanged when the key changes twice in one transaction",
        ONE,
        &["BEGIN; UPDATE t SET id = 50 WHERE id = 5; UPDATE t SET id = 51 WHERE id = 50; COMMIT"],
    ),
    case(
        "unchanged when the key goes and comes back",
        ONE,
        &["UPDATE t SET id = 50 WHERE id = 5", "UPDATE t SET id = 5 WHERE id = 50"],
    ),
    case(
        "unchanged when the key changes and the row goes",
        ONE,
        &["UPDATE t SET id = 50 WHERE id = 5", "DELETE FROM t WHERE id = 50"],
    ),
    case(
        "unchanged, then changed, behind a change of the key",
        ONE,
        &["UPDATE t SET id = 50 WHERE id = 5", "UPDATE t SET big = {large} WHERE id = 50"],
    ),
    case("changed with the key", ONE, &["UPDATE t SET id = id + 100, big = {large}"]),
    case(
        "changed to another",
        ONE,
        &["UPDATE t SET big = {large} || id", "UPDATE t SET big = {large}, v = 'b' WHERE id = 4"],
    ),
    case(
        "changed and put back in one transaction",
        ONE,
        &[
            "BEGIN; CREATE TEMP TABLE kept AS SELECT * FROM t; UPDATE t SET big = 'x'; UPDATE t SET big = kept.big FROM kept WHERE kept.id = t.id; COMMIT",
        ],
    ),
    case("set to what it was", ONE, &["UPDATE t SET big = big, v = 'b'", "UPDATE t SET big = big || ''"]),
    case("large to NULL", ONE, &["UPDATE t SET big = NULL", "UPDATE t SET v = 'b'"]),
    case("NULL to large", ONE, &["UPDATE t SET big = NULL", "UPDATE t SET big = {large}", "UPDATE t SET v = 'b'"]),
    case(
        "large to small and back",
        ONE,
        &["UPDATE t SET big = 'small'", "UPDATE t SET v = 'b'", "UPDATE t SET big = {large}", "UPDATE t SET v = 'c'"],
    ),
    case("large to empty", ONE, &["UPDATE t SET big = ''", "UPDATE t SET v = 'b'"]),
    case(
        "inserted, then unchanged",
        ONE,
        &["INSERT INTO t VALUES (20, 'a', {large})", "UPDATE t SET v = 'b' WHERE id = 20"],
    ),
    case(
        "inserted and unchanged in one transaction",
        ONE,
        &[
            "BEGIN; INSERT INTO t VALUES (20, 'a', {large}); UPDATE t SET v = 'b' WHERE id = 20; UPDATE t SET id = 21 WHERE id = 20; COMMIT",
        ],
    ),
    case(
        "gone and inserted again without it",
        ONE,
        &["DELETE FROM t WHERE id = 4", "INSERT INTO t VALUES (4, 'new', NULL)", "UPDATE t SET v = 'b' WHERE id = 4"],
    ),
    case(
        "of a key that another row takes",
        ONE,
        &["BEGIN; DELETE FROM t WHERE id = 4; UPDATE t SET id = 4 WHERE id = 5; COMMIT", "UPDATE t SET v = 'b'"],
    ),
    case(
        "by INSERT ON CONFLICT",
        ONE,
        &["INSERT INTO t VALUES (3, 'x', NULL), (30, 'x', {large}) ON CONFLICT (id) DO UPDATE SET v = excluded.v"],
    ),
    case(
        "in a transaction with checkpoints inside",
        ONE,
        &["BEGIN; UPDATE t SET v = 'b'; UPDATE t SET id = id + 100; UPDATE t SET v = 'c'; COMMIT"],
    )
    .split(),
    case(
        "several columns, some changed",
        TWO,
        &[
            "UPDATE t SET v = 'b'",
            "UPDATE t SET big = {large}",
            "UPDATE t SET more = NULL WHERE id < 4",
            "UPDATE t SET bytes = decode({large}, 'hex') WHERE id > 2",
        ],
    ),
    case(
        "several columns when the key changes",
        TWO,
        &["UPDATE t SET id = id + 100, big = 'small'", "UPDATE t SET id = id + 100, more = NULL"],
    ),
    case(
        "kept outside without compression",
        "CREATE TABLE t (id int PRIMARY KEY, v text, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t SELECT i, 'a', repeat('x', 3000) FROM generate_series(1, 5) i",
        &["UPDATE t SET v = 'b'"],
    ),
    case(
        "compressed inside of the row",
        "CREATE TABLE t (id int PRIMARY KEY, v text, big text); INSERT INTO t SELECT i, 'a', repeat('x', 20000) FROM generate_series(1, 5) i",
        &["UPDATE t SET v = 'b'", "UPDATE t SET id = id + 10"],
    ),
    case(
        "arrays and composites that are large",
        "CREATE TYPE pair AS (a text, b text); CREATE TABLE t (id int PRIMARY KEY, v text, many text[], two pair); INSERT INTO t SELECT i, 'a', ARRAY[{large}, NULL], ROW({large}, 'b')::pair FROM generate_series(1, 5) i",
        &["UPDATE t SET v = 'b'", "UPDATE t SET id = id + 10"],
    ),
    case(
        "numerics that are large",
        "CREATE TABLE t (id int PRIMARY KEY, v text, big numeric); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t SELECT i, 'a', ('0.' || repeat('123456789', 1200))::numeric FROM generate_series(1, 4) i",
        &["UPDATE t SET v = 'b'", "UPDATE t SET id = id + 10"],
    ),
    case(
        "of 3 MB",
        "CREATE TABLE t (id int PRIMARY KEY, v text, big text); INSERT INTO t SELECT 1, 'a', string_agg(md5(i::text), '') FROM generate_series(1, 100000) i",
        &["UPDATE t SET v = 'b'", "UPDATE t SET id = 2"],
    ),
    case("identity by an index, unchanged", INDEX, &["UPDATE t SET v = 'b'", "UPDATE t SET pk = pk + 100"]),
    case(
        "identity by an index, when that key changes",
        INDEX,
        &["UPDATE t SET id = id + 100", "UPDATE t SET id = id + 100, big = NULL WHERE id > 104"],
    ),
    case("full identity, unchanged", FULL, &["UPDATE t SET v = 'b'", "UPDATE t SET v = NULL"]),
    case(
        "full identity, when the key changes",
        FULL,
        &["UPDATE t SET id = id + 100", "UPDATE t SET id = id + 100, v = 'b'"],
    ),
    case(
        "full identity, to NULL and back",
        FULL,
        &[
            "UPDATE t SET big = NULL WHERE id < 4",
            "UPDATE t SET big = {large} WHERE id < 3",
            "DELETE FROM t WHERE id = 1",
        ],
    ),
    case("in the key, the rest changes", IN_KEY, &["UPDATE t SET v = 'b'", "DELETE FROM t WHERE right(id, 1) = '2'"]),
    case("in the key, which changes", IN_KEY, &["UPDATE t SET id = id || 'x', v = 'c'"]),
    case(
        "in a column that is dropped",
        ONE,
        &["ALTER TABLE t DROP big", "UPDATE t SET v = 'b'", "UPDATE t SET id = id + 100"],
    ),
    case(
        "in a column that is renamed",
        ONE,
        &["ALTER TABLE t RENAME big TO large", "UPDATE t SET v = 'b', large = large || 'x'"],
    ),
    case(
        "in a column that is retyped",
        ONE,
        &[
            "ALTER TABLE t ALTER big TYPE bytea USING convert_to(big, 'UTF8')",
            "UPDATE t SET v = 'b', big = big || '\\x00'",
            "UPDATE t SET v = 'c'",
        ],
    ),
    case(
        "changed by a trigger",
        "CREATE TABLE t (id int PRIMARY KEY, v text, big text); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.big := NEW.big || 'x'; RETURN NEW; END $$; CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.v = 'b') EXECUTE FUNCTION f(); INSERT INTO t SELECT i, 'a', {large} FROM generate_series(1, 4) i",
        &["UPDATE t SET v = 'b' WHERE id < 3", "UPDATE t SET v = 'c'"],
    ),
    case(
        "beside VACUUM FULL and CLUSTER",
        ONE,
        &["VACUUM FULL t", "UPDATE t SET v = 'b'", "CLUSTER t USING t_pkey", "UPDATE t SET v = 'c', id = id + 50"],
    ),
];
