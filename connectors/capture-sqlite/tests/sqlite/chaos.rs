//! Random statements, sessions that break at random, acknowledgements that arrive or do not: in the end every table is there row for row.

use longshore_sdk::Result;
use longshore_sdk::testing::Transaction;

use crate::base::{Base, Fold, Table, follow};

const SCHEMA: &str = "
    CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT COLLATE NOCASE UNIQUE, age, gone INTEGER DEFAULT 0);
    CREATE UNIQUE INDEX ages ON people (age + 0) WHERE gone = 1;
    CREATE TABLE names (name TEXT PRIMARY KEY NOT NULL, code UNIQUE, v);
    CREATE TABLE pairs (a TEXT COLLATE NOCASE, b NOT NULL, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE TABLE bare (v, w TEXT UNIQUE);";
const TABLES: [Table<'static>; 4] =
    [("people", &["/id"]), ("names", &["/name"]), ("pairs", &["/a", "/b"]), ("bare", &["/_meta/source/rowid"])];

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }

    fn text(&mut self) -> String {
        let letter = self.one_of(&["a", "b", "c", "A", "B", "C", "", "é"]);
        format!("'{letter}{}'", self.one_of(&["", "1", "2", "x"]))
    }

    /// A value of any type.
    fn any(&mut self) -> String {
        match self.below(6) {
            0 => "NULL".to_owned(),
            1 => format!("{}.5", self.below(9)),
            2 => format!("x'0{}'", self.below(9)),
            3 => self.text(),
            _ => (self.below(20) as i64 - 5).to_string(),
        }
    }

    /// A value that is a key in JSON too.
    fn scalar(&mut self) -> String {
        match self.below(3) {
            0 => format!("{}.5", self.below(9)),
            1 => self.text(),
            _ => (self.below(12) as i64 - 5).to_string(),
        }
    }

    fn row(&mut self, table: &str) -> String {
        let (text, any) = (self.text(), self.any());
        match table {
            "people" => format!("({}, {text}, {}, {})", self.below(12) as i64 - 3, self.below(8), self.below(2)),
            "names" => format!("({text}, {any}, {})", self.any()),
            "pairs" => format!("({text}, {}, {any})", self.scalar()),
            _ => format!("({any}, {text})"),
        }
    }

    fn statement(&mut self) -> String {
        let table = self.one_of(&["people", "names", "pairs", "bare"]);
        let verb = self.one_of(&[
            "INSERT",
            "INSERT OR REPLACE",
            "REPLACE",
            "INSERT OR IGNORE",
            "INSERT OR FAIL",
            "INSERT OR ROLLBACK",
        ]);
        let or = self.one_of(&["", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR REPLACE"]);
        let rowid = if table == "pairs" { "v" } else { "rowid" };
        let condition = match (table, self.below(4)) {
            (_, 0) => "1".to_owned(),
            ("people", _) => format!("id = {}", self.below(12) as i64 - 3),
            ("names", _) => format!("name = {}", self.text()),
            ("pairs", _) => format!("a = {}", self.text()),
            _ => format!("rowid % 5 = {}", self.below(5)),
        };
        match self.below(12) {
            0..=4 => format!("{verb} INTO {table} VALUES {}, {}", self.row(table), self.row(table)),
            5 => format!(
                "INSERT INTO {table} VALUES {} ON CONFLICT DO UPDATE SET {}",
                self.row(table),
                match table {
                    "people" => "id = people.id + 3, email = excluded.email",
                    "names" => "name = excluded.name || '+', v = 7",
                    "pairs" => "b = excluded.b, a = upper(excluded.a)",
                    _ => "v = excluded.v",
                }
            ),
            6 => format!(
                "UPDATE {or} {table} SET {} WHERE {condition}",
                match table {
                    "people" => format!("email = {}, gone = 1 - gone", self.text()),
                    "names" => format!("code = {}", self.any()),
                    "pairs" => format!("v = {}", self.any()),
                    _ => format!("w = {}", self.text()),
                }
            ),
            7 => format!(
                "UPDATE {or} {table} SET {} WHERE {condition}",
                match table {
                    "people" => format!("id = id + {}", self.below(4)),
                    "names" => format!("name = {}", self.text()),
                    "pairs" => format!("a = {}, b = {}", self.text(), self.scalar()),
                    _ => format!("rowid = {}", self.below(12)),
                }
            ),
            8 if rowid == "rowid" => format!("UPDATE {or} {table} SET rowid = {} WHERE {condition}", self.below(12)),
            9 if condition == "1" && self.below(3) > 0 => format!("DELETE FROM {table}"),
            _ => format!("DELETE FROM {table} WHERE {condition}"),
        }
    }

    /// One or several statements, in a transaction perhaps, of which all, a part or nothing lasts.
    fn writes(&mut self, base: &Base) {
        let statements: Vec<String> = (0..=self.below(5)).map(|_| self.statement()).collect();
        let (begin, end) = match self.below(6) {
            0 => ("BEGIN", "ROLLBACK"),
            1 => ("BEGIN; SAVEPOINT s", "ROLLBACK TO s; COMMIT"),
            2 | 3 => ("BEGIN", "COMMIT"),
            _ => ("", ""),
        };
        base.run(begin);
        // Many break a constraint, and that is as good as any.
        let broken = statements.iter().filter(|statement| base.db.execute_batch(statement).is_err()).count();
        assert!(broken <= statements.len());
        if !end.is_empty() && !base.db.is_autocommit() {
            base.run(end);
        }
    }
}

async fn run(seed: u64) -> Result<()> {
    let mut dice = Dice(seed);
    let base = Base::new(SCHEMA);
    let journal = dice.one_of(&["WAL", "DELETE"]);
    base.run(&format!("PRAGMA journal_mode = {journal}"));
    for _ in 0..10 {
        dice.writes(&base);
    }
    let mut task = base.task_in_pieces(&TABLES, 1 + dice.below(6) as usize);
    let mut durable = Fold::default();
    for _ in 0..12 {
        dice.writes(&base);
        if dice.below(3) == 0 || task.state().is_empty() {
            task.apply().await?;
        }
        let mut session = task.open().await?;
        // What has come since the last commit; a commit takes no half of a transaction of the source.
        let mut gathered: Vec<Transaction> = Vec::new();
        for _ in 0..dice.below(25) {
            if dice.below(2) == 0 {
                dice.writes(&base);
            }
            let partial = gathered.last().is_some_and(|transaction| transaction.partial);
            match dice.below(4) {
                0 if !partial && !gathered.is_empty() => {
                    durable.take(&std::mem::take(&mut gathered), &TABLES);
                    session.commit()?;
                }
                1 if !partial && !gathered.is_empty() => {
                    durable.take(&std::mem::take(&mut gathered), &TABLES);
                    session.acknowledge().await?;
                }
                // When all is quiet nothing comes: a change of its own makes sure that something does.
                _ => {
                    base.run("UPDATE people SET age = age; INSERT OR REPLACE INTO people VALUES (99, 'tick', 99, 0)");
                    let next = session.next().await?;
                    gathered.extend(next);
                }
            }
        }
        // It breaks here: what was gathered and not committed is lost.
        drop(session);
    }
    let mut session = task.open().await?;
    follow(&mut session, &mut durable, &base, &TABLES).await?;
    session.stop().await?;
    durable.assert_is(&base, &TABLES);
    Ok(())
}

#[tokio::test]
async fn whatever_is_written_and_whenever_sessions_break_every_row_is_right() {
    let number =
        |name: &str, otherwise: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (first, seeds) = (number("LONGSHORE_SEED", 1), number("LONGSHORE_SQLITE_SEEDS", 12));
    for seed in first..first + seeds {
        if let Err(error) = run(seed).await {
            panic!("LONGSHORE_SEED={seed}: {error}");
        }
    }
}
