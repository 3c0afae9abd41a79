//! A database that is written to all the time: a large table with changes of every kind, and a bank whose money only moves. Its servers run
//! the writing themselves, so that the rate is theirs and a test needs no clock.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use longshore_postgres::testing::{Server, program};

/// Sum of all accounts.
pub const MONEY: u64 = 1_000_000;

/// The tables, with what fills and changes them. `bench` has ten columns of ten types and about 250 bytes a row; one row in fifty has a note
/// of 4 kB in no order, which lies outside of the row, so that changes of the others leave it out of the log.
const TABLES: &str = "
CREATE TABLE bench (id bigint PRIMARY KEY, qty integer NOT NULL, ratio double precision, price numeric(12,2), note text,
    at timestamptz NOT NULL, ok boolean, doc jsonb, uid uuid, day date);
CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL);
CREATE SEQUENCE ids;
CREATE FUNCTION note() RETURNS text LANGUAGE sql VOLATILE AS
    $$ SELECT CASE WHEN random() < 0.02 THEN (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 125))
       ELSE 'note ' || md5(random()::text) || E' \\\\ \"q\" \\n' END $$;
CREATE FUNCTION make(n bigint) RETURNS void LANGUAGE sql VOLATILE AS
    $$ INSERT INTO bench SELECT nextval('ids'), (random() * 100000)::int, random() / 7, (random() * 1000000)::numeric(12,2), note(),
       clock_timestamp() - random() * interval '1 year', random() < 0.5,
       jsonb_build_object('k', (random() * 1000)::int, 'tags', jsonb_build_array('a', NULL, 1.50), 'in', jsonb_build_object('x', random())),
       md5(random()::text)::uuid, date '2020-01-01' + (random() * 2000)::int FROM generate_series(1, n) $$;
CREATE PROCEDURE change(n integer) LANGUAGE plpgsql AS $$
DECLARE k bigint; dice float8; last bigint := (SELECT last_value FROM ids);
BEGIN
    FOR i IN 1..n LOOP
        k := 1 + (random() * last)::bigint;
        dice := random();
        IF dice < 0.55 THEN UPDATE bench SET qty = qty + 1, ratio = random(), at = clock_timestamp() WHERE id = k;
        ELSIF dice < 0.6 THEN UPDATE bench SET note = note(), doc = NULL WHERE id = k;
        ELSIF dice < 0.8 THEN PERFORM make(1);
        ELSIF dice < 0.9 THEN DELETE FROM bench WHERE id = k;
        ELSE UPDATE bench SET id = nextval('ids') WHERE id = k;
        END IF;
    END LOOP;
    UPDATE accounts SET balance = balance - 7 WHERE id = 1 + (k % 100);
    UPDATE accounts SET balance = balance + 7 WHERE id = 1 + ((k / 100) % 100);
END $$;
CREATE PROCEDURE keep_changing(rate float8) LANGUAGE plpgsql AS $$
DECLARE began timestamptz := clock_timestamp(); done bigint := 0; n integer;
BEGIN
    LOOP
        n := 1 + (random() * 40)::int;
        CALL change(n);
        COMMIT;
        done := done + n;
        PERFORM pg_sleep(greatest(0, done / rate - extract(epoch FROM clock_timestamp() - began)));
    END LOOP;
END $$;";

/// Looks at every committed state of the bank that it can get hold of.
const WATCH: &str = "
CREATE TABLE looks (whole bigint NOT NULL, broken bigint NOT NULL);
INSERT INTO looks VALUES (0, 0);
CREATE PROCEDURE keep_looking(money bigint) LANGUAGE plpgsql AS $$
DECLARE found bigint;
BEGIN
    LOOP
        SELECT sum(balance) INTO found FROM accounts;
        UPDATE looks SET whole = whole + (found = money)::int, broken = broken + (found IS DISTINCT FROM money)::int;
        COMMIT;
        PERFORM pg_sleep(0.002);
    END LOOP;
END $$;";

/// Makes the tables, and so many rows of the large one.
pub fn make(server: &Server, database: &str, rows: u64) {
    server.run(database, TABLES);
    server.run(
        database,
        &format!(
            "SELECT make({rows}); INSERT INTO accounts SELECT id, {MONEY} / 100 FROM generate_series(1, 100) id; ANALYZE"
        ),
    );
}

/// So many changes in one transaction.
pub fn change(server: &Server, database: &str, changes: u64) {
    server.run(database, &format!("CALL change({changes})"));
}

/// Somebody who calls a procedure that does not end, and calls it again when the server goes away, until this is dropped.
#[derive(Debug)]
pub struct Tireless {
    url: String,
    mark: String,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tireless {
    /// Changes of all kinds, so many in a second, each with a transfer between two accounts.
    #[must_use]
    pub fn changing(server: &Server, database: &str, rate: u64) -> Self {
        Self::calling(server, database, format!("keep_changing({rate})"))
    }

    /// Looks at the money of the copy; what was found is in [`looks`].
    #[must_use]
    pub fn looking(server: &Server, database: &str) -> Self {
        server.run(database, WATCH);
        Self::calling(server, database, format!("keep_looking({MONEY})"))
    }

    fn calling(server: &Server, database: &str, call: String) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (url, statement, over) = (server.url(database), format!("CALL {call}"), Arc::clone(&is_over));
        let psql = move || {
            let mut command = Command::new(program("psql"));
            command.args(["-Xq", &url, "-c", &statement]).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().expect("psql is there");
        };
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                psql();
            }
        });
        Self { url: server.url(database), mark: call, is_over, thread: Some(thread) }
    }
}

impl Drop for Tireless {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query = 'CALL {}'",
            self.mark
        );
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            Command::new(program("psql")).args(["-Xq", &self.url, "-c", &end]).output().expect("psql is there");
        }
        self.thread.take().map(JoinHandle::join);
    }
}

/// How often the money was looked at, and how often some of it was missing, or there was too much.
#[must_use]
pub fn looks(server: &Server, database: &str) -> (u64, u64) {
    let told = server.run(database, "SELECT whole, broken FROM looks");
    let (whole, broken) = told.split_once('|').expect("two numbers");
    (whole.parse().expect("a number"), broken.parse().expect("a number"))
}

/// Both databases have the same columns and the same rows of these tables.
///
/// # Panics
/// When they have not; with the first rows that differ.
#[track_caller]
pub fn equal(server: &Server, (one, other): (&str, &str), tables: &[&str]) {
    for table in tables {
        let columns = format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 \
             AND NOT attisdropped ORDER BY attname"
        );
        assert_eq!(server.run(one, &columns), server.run(other, &columns), "columns of {table}");
        let names = server.run(
            one,
            &format!(
                "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute \
                 WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
            ),
        );
        let sum = format!("SELECT count(*), sum(hashtextextended(({names})::text, 0)::numeric) FROM {table}");
        if server.run(one, &sum) == server.run(other, &sum) {
            continue;
        }
        let rows = format!("SELECT id, md5(({names})::text), left(({names})::text, 400) FROM {table} ORDER BY id");
        let (one, other) = (server.run(one, &rows), server.run(other, &rows));
        let difference = |left: &str, right: &str| {
            let right: std::collections::HashSet<&str> = right.lines().collect();
            left.lines().filter(|row| !right.contains(row)).take(5).map(|row| format!("{row}\n")).collect::<String>()
        };
        panic!(
            "{table} differs: {} and {} rows; only in the first:\n{}only in the second:\n{}",
            one.lines().count(),
            other.lines().count(),
            difference(&one, &other),
            difference(&other, &one)
        );
    }
}
