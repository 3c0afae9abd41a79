//! Where a day's documents go, the catalog that brings them there, and what is there then, read without any code of ours.

use longshore_failpoints::Step;
use longshore_postgres::testing::Server;
use rusqlite::Connection;

use super::day::Day;
use super::trouble::Place;
use crate::dice::Dice;

/// A kind of destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Destination {
    /// Transactional, in the same machine's files.
    Sqlite,
    /// Idempotent.
    Files,
    /// Transactional, a server.
    Postgres,
}

/// Transactions of each stream of a day, how many come in a second, and of how many accounts they are.
pub(super) const TRANSACTIONS: u64 = 120;
const RATE: u64 = 100;
pub(super) const ACCOUNTS: u32 = 20;
pub(super) const DOCUMENTS: u32 = 4;
pub(super) const BODIES: [u32; 3] = [20, 200, 4096];

/// The streams: what is kept as it is, and what is reduced to a row for each account.
pub(super) const MOVES: &str = "moves";
pub(super) const SUMS: &str = "sums";

/// Tables, or directories, that take every document; files have two, so that a transaction publishes more than one.
pub(super) const EVERY: &str = "every";
pub(super) const AGAIN: &str = "again";

/// Every document of the one stream in a table of its own, the newest of each account, and the sums of the other.
const TABLES: &str = "      - { collection: bank/moves, resource: { table: every }, delta_updates: true }
      - { collection: bank/moves, resource: { table: newest } }
      - { collection: bank/sums, resource: { table: sums } }
";

impl Destination {
    const ALL: [Self; 3] = [Self::Sqlite, Self::Files, Self::Postgres];

    /// One to three of them, with those that come by these steps.
    pub(super) fn some(steps: &[Step], dice: &mut Dice) -> Vec<Self> {
        let mut some: Vec<Self> = Self::ALL.into_iter().filter(|_| dice.below(2) == 0).collect();
        if some.is_empty() {
            some.push(Self::ALL[dice.below(3) as usize]);
        }
        if steps.contains(&Step::DestinationPublished) {
            some.push(Self::Files);
        }
        let loads = [Step::MaterializeLoading, Step::DestinationLoading, Step::DestinationLoaded];
        if steps.iter().any(|step| loads.contains(step)) && some == [Self::Files] {
            some.push(Self::Sqlite);
        }
        some.sort_unstable();
        some.dedup();
        some
    }

    /// What has to be there before a run.
    pub(super) fn prepare(self, server: &Server, day: u64) {
        if self == Self::Postgres {
            server.run("postgres", &format!("CREATE DATABASE {}", database(day)));
        }
    }

    /// What is not in the scene's directory goes, too.
    pub(super) fn forget(self, server: &Server, day: u64) {
        if self == Self::Postgres {
            server.run("postgres", &format!("DROP DATABASE {} WITH (FORCE)", database(day)));
        }
    }

    /// Rows of a query over its tables, fields with bars between them.
    pub(super) fn rows(
        self,
        (place, server): (&Place<'_>, &Server),
        day: u64,
        table: &str,
        fields: &[&str],
    ) -> Vec<String> {
        match self {
            Self::Sqlite => {
                let connection = Connection::open(place.database("copy.db")).expect("a database");
                let select = format!("SELECT {} FROM {table}", fields.join(" || '|' || "));
                let mut select = connection.prepare(&select).unwrap_or_else(|error| panic!("{select}: {error}"));
                let rows = select.query_map([], |row| row.get::<_, String>(0)).expect("rows");
                rows.collect::<Result<_, _>>().expect("texts")
            }
            Self::Postgres => {
                let told = server.run(&database(day), &format!("SELECT {} FROM {table}", fields.join(", ")));
                told.lines().map(str::to_owned).collect()
            }
            Self::Files => {
                let field = |document: &serde_json::Value, name: &str| {
                    document[name].as_str().map_or_else(|| document[name].to_string(), str::to_owned)
                };
                let row = |document: &serde_json::Value| {
                    fields.iter().map(|name| field(document, name)).collect::<Vec<_>>().join("|")
                };
                crate::destination::documents(&place.join("out").join(table)).iter().map(row).collect()
            }
        }
    }

    /// Tables that it has.
    pub(super) fn has(self, table: &str) -> bool {
        match self {
            Self::Files => [EVERY, AGAIN].contains(&table),
            Self::Sqlite | Self::Postgres => table != AGAIN,
        }
    }

    fn written(self, place: &Place<'_>, server: &Server, day: u64) -> String {
        let directory = place.directory();
        match self {
            Self::Sqlite => format!(
                "  to-sqlite:\n    connector: sqlite\n    config: {{ path: {directory}/copy.db }}\n    bindings:\n{TABLES}"
            ),
            Self::Postgres => {
                let url = place.url(server, day);
                format!(
                    "  to-postgres:\n    connector: postgres\n    config: {{ url: \"{url}\" }}\n    bindings:\n{TABLES}"
                )
            }
            Self::Files => {
                let binding = |name| {
                    format!("      - {{ collection: bank/moves, resource: {{ name: {name} }}, delta_updates: true }}\n")
                };
                let bindings: String = [EVERY, AGAIN].map(binding).concat();
                format!(
                    "  to-files:\n    connector: files\n    config: {{ path: {directory}/out }}\n    bindings:\n{bindings}"
                )
            }
        }
    }
}

/// A source that forgets what is acknowledged: who does that too early loses what nobody has any more.
pub(super) fn catalog(place: &Place<'_>, server: &Server, day: &Day) -> String {
    let memory = place.scene.join("bank.memory");
    let written = |destination: &Destination| destination.written(place, server, day.number);
    let into: String = day.destinations().iter().map(written).collect();
    format!(
        "captures:
  bank:
    connector: generator
    config: {{ seed: {}, count: {TRANSACTIONS}, rate: {RATE}, keys: {ACCOUNTS}, documents: {DOCUMENTS}, body_bytes: {BODIES:?}, prune: true, memory: {:?} }}
    bindings:
      - {{ resource: {{ stream: {MOVES} }}, collection: bank/moves }}
      - {{ resource: {{ stream: {SUMS} }}, collection: bank/sums }}
collections:
  bank/moves: {{ key: [/id] }}
  bank/sums:
    key: [/id]
    schema:
      type: object
      reduce: {{ strategy: merge }}
      properties:
        id: {{ type: integer }}
        seq: {{ type: integer }}
        delta: {{ type: integer, reduce: {{ strategy: sum }} }}
materializations:
{into}",
        day.formula_seed(),
        memory
    )
}

pub(super) fn database(day: u64) -> String {
    format!("day_{day}")
}
