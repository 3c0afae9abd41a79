//! Random statements, transactions that are committed late, sessions that break at random: in the end each row that is there was captured as it
//! is, and a full refresh that is complete has all of them and no other.

use longshore_postgres::Client;
use longshore_sdk::Result;
use longshore_sdk::testing::Transaction;
use serde_json::json;

use super::story::{T, assert_has_all, bound, run, task_in_steps};
use crate::base::{Base, Fold, documents};
use crate::chaos::Dice;

const SCHEMA: &str = "CREATE SEQUENCE numbers; CREATE TABLE t (id int PRIMARY KEY, n bigint NOT NULL DEFAULT nextval('public.numbers'), v text);
    CREATE INDEX ON t (n, id); INSERT INTO t SELECT i FROM generate_series(1, 40) i;";
const LOOK_BACK: u64 = 60;
/// A late transaction is committed before so many numbers more are taken.
const LATE_MAX: i64 = 40;

/// A transaction that has taken numbers and is not committed yet.
struct Late {
    client: Client,
    begun: Option<i64>,
    next_id: u64,
}

impl Late {
    async fn write(&mut self, dice: &mut Dice, base: &Base) -> Result<()> {
        let taken: i64 = base.run("SELECT last_value FROM numbers").parse().unwrap();
        match self.begun {
            Some(begun) if taken - begun > LATE_MAX - 8 || dice.below(3) == 0 => {
                let end = if dice.below(4) == 0 { "ROLLBACK" } else { "COMMIT" };
                self.begun = None;
                self.client.run("ending", end).await
            }
            Some(_) => Ok(()),
            None if dice.below(2) == 0 => {
                // Of ids that nobody else writes to, as who did would wait for it.
                let (id, count) = (self.next_id, dice.below(4));
                self.next_id += 10;
                self.begun = Some(taken);
                let insert =
                    format!("BEGIN; INSERT INTO public.t SELECT i FROM generate_series({id}, {id} + {count}) i");
                self.client.run("beginning", &insert).await
            }
            None => Ok(()),
        }
    }
}

fn write(dice: &mut Dice, base: &Base) {
    let (id, round) = (dice.below(60), dice.below(1_000));
    let next = "n = nextval('public.numbers')";
    let statement = match dice.below(6) {
        0 | 1 => format!(
            "INSERT INTO t (id, v) VALUES ({id}, 'i{round}') ON CONFLICT (id) DO UPDATE SET {next}, v = excluded.v"
        ),
        2 | 3 => format!("UPDATE t SET {next}, v = 'u{round}' WHERE id BETWEEN {id} AND {id} + 2"),
        // As it was, and as it was before.
        4 => format!("UPDATE t SET {next} WHERE id = {id}"),
        _ => format!("DELETE FROM t WHERE id = {id}"),
    };
    base.run(&statement);
}

async fn tell(seed: u64) -> Result<()> {
    let mut dice = Dice(seed);
    let base = Base::new(SCHEMA);
    let mut late = Late { client: Client::connect(&base.db.endpoint()).await?, begun: None, next_id: 1_000 };
    let (rows, seen_rows) = (1 + dice.below(7) as usize, [0, 5, 1_000][dice.below(3) as usize]);
    let resource = json!({ "cursor": "n", "look_back": LOOK_BACK });
    let mut task = bound(task_in_steps(&base, rows, seen_rows), "t", &resource);
    let mut durable = Fold::default();
    for _ in 0..12 {
        let mut session = task.open().await?;
        let mut gathered: Vec<Transaction> = Vec::new();
        for _ in 0..dice.below(20) {
            if dice.below(2) == 0 {
                write(&mut dice, &base);
                late.write(&mut dice, &base).await?;
            }
            match session.next().await? {
                Some(transaction) => gathered.push(transaction),
                None => break,
            }
            if dice.below(2) == 0 {
                durable.take(&std::mem::take(&mut gathered), &T);
                session.commit()?;
            }
        }
        // It breaks here, or has ended: what was gathered and not committed is lost.
        drop(session);
        write(&mut dice, &base);
        late.write(&mut dice, &base).await?;
    }
    late.client.run("ending", "COMMIT").await?;
    durable.take(&run(&mut task).await?, &T);
    assert_has_all(&durable, &base, T[0]);
    let mut refreshed = Fold::default();
    let all = run(&mut bound(task_in_steps(&base, rows, 0), "t", &json!({}))).await?;
    refreshed.take(&all, &T);
    refreshed.assert_is(&base, &T);
    if seen_rows > 5 {
        let again = run(&mut task).await?;
        assert_eq!(documents(&again), Vec::<serde_json::Value>::new(), "all of it was said");
    }
    Ok(())
}

#[tokio::test]
async fn whatever_is_committed_when_and_wherever_sessions_break_no_row_is_missed() {
    let number =
        |name: &str, otherwise: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (first, seeds) = (number("LONGSHORE_SEED", 1), number("LONGSHORE_POSTGRES_SEEDS", 4));
    for seed in first..first + seeds {
        if let Err(error) = tell(seed).await {
            panic!("LONGSHORE_SEED={seed}: {error}");
        }
    }
}
