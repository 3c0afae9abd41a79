//! A PostgreSQL server of the test's own: what arrived in its tables, read by `psql`, and the deaths of all who take part.

use std::collections::BTreeMap;

use longshore_postgres::testing::Server;

use crate::destination::{Content, digest};
use crate::dice::Dice;
use crate::killing::kill_a_connector;
use crate::scene::{Running, Scene};

/// What a table holds, column by column under its name, with the kind of value each column is for.
///
/// # Panics
/// When there is no such table, or one of its columns is of a kind that the tests' data has not.
#[must_use]
pub fn table(server: &Server, database: &str, table: &str) -> Content {
    let select = format!(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}' \
         ORDER BY ordinal_position"
    );
    let told = server.run(database, &select);
    let columns: Vec<(&str, &str)> = told.lines().filter_map(|line| line.split_once('|')).collect();
    assert!(!columns.is_empty(), "there is no table {table}");
    let cell = |((name, kind), text): (&(&str, &str), &str)| {
        let value = match (*kind, text) {
            (_, "~") => "null".to_owned(),
            ("bigint", text) => format!("i{text}"),
            ("numeric" | "double precision", text) => {
                format!("r{:016x}", text.parse::<f64>().expect("a number").to_bits())
            }
            ("text", text) => format!("t{text}"),
            (kind, text) => panic!("{table}.{name} is of type {kind} and holds {text}"),
        };
        ((*name).to_owned(), value)
    };
    let rows = server.run(database, &format!("SELECT * FROM public.{table}"));
    digest(rows.lines().map(|row| columns.iter().zip(row.split('|')).map(cell).collect::<BTreeMap<_, _>>()))
}

/// The runtime, a connector, all our sessions with the server, or the server: whose turn it is. The runtime is started again with these words.
/// How many died.
///
/// # Panics
/// When the server does not come up again.
pub fn kill_one(
    turn: u64,
    (scene, words): (&Scene, &[&str]),
    running: Running,
    server: &mut Server,
    dice: &mut Dice,
) -> (Running, u64) {
    let killed = match turn % 4 {
        0 => {
            running.kill();
            return (scene.start(words), 1);
        }
        1 => u64::from(kill_a_connector(&running, dice).unwrap_or(false)),
        2 => {
            let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type IN ('client backend', 'walsender') \
                       AND application_name <> 'psql'";
            server.run("postgres", end).parse().expect("a number")
        }
        _ => {
            server.down();
            server.up();
            1
        }
    };
    (running, killed)
}
