//! `longshore remove`: what a task made outside is gone, what it captured and stored stays, and run again it begins at the beginning.

use longshore_tests::scene::Scene;

const RUN: [&str; 3] = ["run", "--until", "caught-up"];
const CATALOG: &str = "captures:
  shop:
    connector: sqlite
    config: { path: ./shop.db }
    bindings: [ { resource: { table: orders }, collection: shop/orders } ]
collections:
  shop/orders: { key: [/id] }
materializations:
  lake:
    connector: sqlite
    config: { path: ./lake.db }
    bindings: [ { collection: shop/orders, resource: { table: orders } } ]
  archive:
    connector: files
    config: { path: ./archive }
    bindings: [ { collection: shop/orders, resource: { name: orders }, delta_updates: true } ]
";

fn sqlite(scene: &Scene, file: &str, sql: &str) -> Vec<String> {
    let database = rusqlite::Connection::open(scene.join(file)).expect("a database");
    let mut statement = database.prepare(sql).expect("a statement");
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    rows.map(|row| row.expect("a text")).collect()
}

/// Names of what is in a database and not the user's table.
fn made(scene: &Scene, file: &str) -> Vec<String> {
    sqlite(
        scene,
        file,
        "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND tbl_name <> 'orders' OR type = 'trigger'",
    )
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("longshore.yaml", CATALOG);
    let database = rusqlite::Connection::open(scene.join("shop.db")).expect("a database");
    let table = "CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT); INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'c')";
    database.execute_batch(table).expect("a table");
    scene.longshore(RUN).expect_code(0);
    scene
}

fn rows(scene: &Scene) -> Vec<String> {
    sqlite(scene, "lake.db", "SELECT id || what FROM orders ORDER BY id")
}

#[test]
fn what_a_capture_made_at_its_source_is_gone_and_it_begins_again() {
    let scene = scene();
    assert!(!made(&scene, "shop.db").is_empty(), "triggers and a log");
    let before = made(&scene, "shop.db");
    let asked = scene.longshore(["remove", "shop"]).expect_code(2);
    assert!(asked.stderr.contains("this will be done") && asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert_eq!(made(&scene, "shop.db"), before, "nobody answered, and nothing was done");
    let told = scene.longshore(["remove", "shop", "--yes", "--json"]).expect_code(0);
    assert_eq!(told.objects("removed")[0]["task"], "shop");
    assert_eq!(made(&scene, "shop.db"), [""; 0]);
    assert_eq!(rows(&scene), ["1a", "2b", "3c"], "what was stored stays");
    rusqlite::Connection::open(scene.join("shop.db"))
        .and_then(|database| {
            database.execute_batch("UPDATE orders SET what = 'x' WHERE id = 2; INSERT INTO orders VALUES (4, 'd')")
        })
        .expect("written");
    scene.longshore(RUN).expect_code(0);
    assert_eq!(rows(&scene), ["1a", "2x", "3c", "4d"]);
    // Removed twice, there is nothing left to do; and it may be added again later.
    scene.longshore(["remove", "shop", "--yes"]).expect_code(0);
    scene.longshore(["remove", "shop", "--yes"]).expect_code(0);
    scene.longshore(RUN).expect_code(0);
    assert_eq!(rows(&scene), ["1a", "2x", "3c", "4d"]);
}

#[test]
fn a_materialization_forgets_its_checkpoint_and_its_rows_are_the_users() {
    let scene = scene();
    scene.longshore(["remove", "lake", "--yes"]).expect_code(0);
    scene.longshore(["remove", "archive", "--yes"]).expect_code(0);
    assert_eq!(rows(&scene), ["1a", "2b", "3c"]);
    let readers = scene.longshore(["journal", "readers", "--json"]).expect_code(0);
    assert_eq!(readers.stdout, "", "they hold no journal back");
    for task in ["lake", "archive"] {
        let refused = scene.longshore(["run", "--until", "caught-up", "--only", task]).expect_code(2);
        assert!(refused.stderr.contains("--fresh"), "what is there is the user's by now: {}", refused.stderr);
    }
    assert_eq!(rows(&scene), ["1a", "2b", "3c"]);
    scene.longshore(["run", "--until", "caught-up", "--fresh", "lake", "--fresh", "archive", "--yes"]).expect_code(0);
    assert_eq!(rows(&scene), ["1a", "2b", "3c"]);
}

#[test]
fn what_cannot_be_removed_is_said() {
    let scene = scene();
    let refused = scene.longshore(["remove", "lakes"]).expect_code(2);
    assert!(refused.stderr.contains("did you mean `lake`?"), "{}", refused.stderr);
    let mut running = scene.start(["run"]);
    assert!(running.wait_until(|| scene.longshore(["status"]).code == Some(0)), "it runs");
    let held = scene.longshore(["remove", "lake", "--yes"]);
    running.kill();
    assert_eq!(held.code, Some(1));
    assert!(held.stderr.contains("longshore stop"), "{}", held.stderr);
}
