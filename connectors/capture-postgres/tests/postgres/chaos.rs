//! Random statements while tables are walked, sessions that break at random, acknowledgements that arrive or do not: in the end every table
//! is there row for row.

use capture_postgres::Postgres;
use longshore_sdk::Result;
use longshore_sdk::testing::{CaptureTask, Transaction};

use crate::base::{Base, Fold, Table};

const SCHEMA: &str = "
    CREATE TABLE numbers (id bigint PRIMARY KEY, v text, big text);
    CREATE TABLE names (name text COLLATE \"C\" PRIMARY KEY, v int);
    CREATE TABLE pairs (a text, b int, v text, PRIMARY KEY (a, b)); ALTER TABLE pairs REPLICA IDENTITY FULL;
    INSERT INTO numbers SELECT i, i, (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 90)) || i FROM generate_series(-10, 20) i;
    INSERT INTO names SELECT 'n' || i, i FROM generate_series(1, 20) i;
    INSERT INTO pairs SELECT 'a' || i % 4, i, 'x' FROM generate_series(1, 20) i;";
const TABLES: [Table<'static>; 3] = [("numbers", &["/id"]), ("names", &["/name"]), ("pairs", &["/a", "/b"])];

/// Chance that can be had again.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn id(&mut self) -> i64 {
        self.below(36) as i64 - 12
    }

    fn statement(&mut self) -> String {
        let (id, other, round) = (self.id(), self.id(), self.below(1000));
        match self.below(14) {
            0 | 1 => format!(
                "INSERT INTO numbers VALUES ({id}, 'new {round}', NULL) ON CONFLICT (id) DO UPDATE SET v = 'again {round}'"
            ),
            2..=4 => format!("UPDATE numbers SET v = 'v{round}' WHERE id BETWEEN {id} AND {id} + 3"),
            5 => format!(
                "UPDATE numbers SET id = {other} WHERE id = {id} AND NOT EXISTS (SELECT FROM numbers WHERE id = {other})"
            ),
            6 => format!(
                "UPDATE numbers SET big = (SELECT string_agg(md5('{round}' || i), '') FROM generate_series(1, 90) i) WHERE id = {id}"
            ),
            7 => format!("DELETE FROM numbers WHERE id = {id}"),
            8 => format!(
                "INSERT INTO names VALUES ('n{other}', {round}) ON CONFLICT (name) DO UPDATE SET v = excluded.v"
            ),
            9 => format!(
                "UPDATE names SET name = name || '+' WHERE name = 'n{id}' AND NOT EXISTS (SELECT FROM names WHERE name = 'n{id}+')"
            ),
            10 => format!("DELETE FROM names WHERE v % 7 = {} AND name > 'n{id}'", round % 7),
            11 => format!("INSERT INTO pairs VALUES ('a{}', {other}, 'i{round}') ON CONFLICT DO NOTHING", round % 4),
            12 => format!("UPDATE pairs SET v = 'u{round}' WHERE b > {id}"),
            _ => format!("UPDATE pairs SET b = b + 100 WHERE b = {id}"),
        }
    }

    /// Some statements as one transaction, which lasts or does not.
    fn writes(&mut self, base: &Base) {
        let statements: Vec<String> = (0..=self.below(4)).map(|_| self.statement()).collect();
        let end = if self.below(6) == 0 { "ROLLBACK" } else { "COMMIT" };
        base.run(&format!("BEGIN; {}; {end}", statements.join("; ")));
    }
}

async fn run(seed: u64) -> Result<()> {
    let mut dice = Dice(seed);
    let base = Base::new(SCHEMA);
    // Backlogs are read of tables that were walked, so those are to be soon.
    let backlogs = (dice.below(2) == 0).then(|| 1 + dice.below(30) as usize);
    let rows = if backlogs.is_some() { 30 } else { 1 + dice.below(6) as usize };
    let split = if dice.below(2) == 0 { 3_000 } else { usize::MAX };
    let steps = Postgres::in_steps(rows, split);
    let connector = backlogs.map_or(steps, |slice_changes| steps.with_backlogs(slice_changes));
    let mut task = base.task_of(CaptureTask::new(connector, base.config()), &TABLES);
    task.apply().await?;
    let mut durable = Fold::default();
    for _ in 0..6 {
        let mut session = task.open().await?;
        // What has come since the last commit; a commit takes no half of a transaction of the source, but where it was split.
        let mut gathered: Vec<Transaction> = Vec::new();
        for _ in 0..dice.below(16) {
            if dice.below(2) == 0 {
                dice.writes(&base);
            }
            match dice.below(4) {
                0 if !gathered.is_empty() => {
                    durable.take(&std::mem::take(&mut gathered), &TABLES);
                    session.commit()?;
                }
                1 if !gathered.is_empty() => {
                    durable.take(&std::mem::take(&mut gathered), &TABLES);
                    session.acknowledge().await?;
                }
                // When all is quiet nothing comes: a change of its own makes sure that something does.
                _ => {
                    base.run("INSERT INTO names VALUES ('tick', 0) ON CONFLICT (name) DO UPDATE SET v = names.v + 1");
                    gathered.extend(session.next().await?);
                }
            }
        }
        // It breaks here: what was gathered and not committed is lost.
        drop(session);
    }
    let mut session = task.open().await?;
    durable.take(&session.until_caught_up().await?, &TABLES);
    session.stop().await?;
    durable.assert_is(&base, &TABLES);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_written_and_whenever_sessions_break_every_row_is_right() {
    let number =
        |name: &str, otherwise: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (first, seeds) = (number("LONGSHORE_SEED", 1), number("LONGSHORE_POSTGRES_SEEDS", 10));
    for seed in first..first + seeds {
        if let Err(error) = run(seed).await {
            panic!("LONGSHORE_SEED={seed}: {error}");
        }
    }
}
