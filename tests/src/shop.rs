//! A SQLite database that a program of its own writes to while it is captured, and a catalog that takes it into another one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::destination;
use crate::dice::Dice;
use crate::scene::Scene;

/// Tables of the shop.
pub const TABLES: [&str; 2] = ["orders", "lines"];
/// Between two transactions of the writer.
const PACE: Duration = Duration::from_micros(500);

/// A scene with a shop of so many orders.
///
/// # Panics
/// When the database cannot be made.
#[must_use]
pub fn scene(orders: i64) -> Scene {
    let scene = Scene::new();
    let shop = open(&scene.join("shop.db"));
    let rows = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?)";
    shop.execute_batch(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE orders (id INTEGER PRIMARY KEY, code TEXT UNIQUE, total REAL, note TEXT);
         CREATE TABLE lines (shop TEXT NOT NULL, nr INTEGER NOT NULL, amount INTEGER, PRIMARY KEY (shop, nr)) WITHOUT ROWID;",
    )
    .expect("tables");
    shop.execute(&format!("INSERT INTO orders {rows} SELECT x, 'c' || x, x * 0.5, 'note ' || x FROM n"), [orders])
        .expect("orders");
    shop.execute(&format!("INSERT INTO lines {rows} SELECT 's' || (x % 7), x, x * 3 FROM n"), [orders]).expect("lines");
    scene.write(
        "longshore.yaml",
        "captures:
  shop:
    connector: sqlite
    config: { path: ./shop.db, poll_interval: 20ms }
    bindings:
      - { resource: { table: orders }, collection: shop/orders }
      - { resource: { table: lines }, collection: shop/lines }
collections:
  shop/orders: { key: [/id] }
  shop/lines: { key: [/shop, /nr] }
materializations:
  out:
    connector: sqlite
    config: { path: ./out.db }
    bindings:
      - { collection: shop/orders, resource: { table: orders } }
      - { collection: shop/lines, resource: { table: lines } }
",
    );
    scene
}

/// The shop's database, for another program that writes to it.
///
/// # Panics
/// When it cannot be opened.
#[must_use]
pub fn open(path: &Path) -> Connection {
    let shop = Connection::open(path).unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
    shop.busy_timeout(Duration::from_secs(30)).expect("a time-out");
    shop.pragma_update(None, "synchronous", "NORMAL").expect("a setting");
    shop
}

/// Row for row, with the types of all values.
///
/// # Panics
/// When a table of the shop and its copy differ.
pub fn assert_copied(scene: &Scene) {
    for table in TABLES {
        let (there, here) =
            (destination::table(&scene.join("shop.db"), table), destination::table(&scene.join("out.db"), table));
        assert_eq!(there, here, "{table}");
    }
}

/// A program that writes to the shop until it is told to stop.
#[derive(Debug)]
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Writer {
    /// Starts it.
    #[must_use]
    pub fn start(scene: &Scene, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, path) = (Arc::clone(&stop), scene.join("shop.db"));
        let thread = std::thread::spawn(move || {
            let (shop, mut dice) = (open(&path), Dice::new(seed));
            let mut transactions = 0;
            while !told.load(Ordering::Relaxed) {
                let statements: Vec<String> = (0..=dice.below(4)).map(|_| statement(&mut dice)).collect();
                let end = if dice.below(5) == 0 { "ROLLBACK" } else { "COMMIT" };
                let all = format!("BEGIN IMMEDIATE; {}; {end}", statements.join("; "));
                shop.execute_batch(&all).unwrap_or_else(|error| panic!("{all}: {error}"));
                transactions += 1;
                std::thread::park_timeout(PACE);
            }
            transactions
        });
        Self { stop, thread }
    }

    /// Stops it; how many transactions it made.
    ///
    /// # Panics
    /// When a statement of it failed.
    #[must_use]
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a writer that wrote")
    }
}

/// None of them breaks a constraint: what would is replaced, ignored or updated.
fn statement(dice: &mut Dice) -> String {
    let (id, code, other) = (dice.below(3_000), dice.below(3_000), dice.below(3_000));
    match dice.below(9) {
        0 => format!("INSERT OR REPLACE INTO orders VALUES ({id}, 'c{code}', {other}.25, NULL)"),
        1 => format!("UPDATE OR REPLACE orders SET code = 'c{code}' WHERE id = {id}"),
        2 => format!("UPDATE OR REPLACE orders SET id = {other} WHERE id = {id}"),
        3 => format!("UPDATE orders SET total = total + 1, note = 'n{other}' WHERE id BETWEEN {id} AND {id} + 5"),
        4 => format!("DELETE FROM orders WHERE id = {id}"),
        5 => format!(
            "INSERT INTO lines VALUES ('s{}', {id}, {other}) ON CONFLICT DO UPDATE SET amount = excluded.amount",
            id % 7
        ),
        6 => format!("UPDATE OR IGNORE lines SET nr = {other} WHERE nr = {id}"),
        7 => format!("DELETE FROM lines WHERE nr = {id}"),
        _ => format!("INSERT OR IGNORE INTO orders VALUES ({id}, 'new{id}', {other}.5, 'again')"),
    }
}
