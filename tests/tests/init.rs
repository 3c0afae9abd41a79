//! `longshore init`: whatever somebody points at, the catalog that is written passes `check`, runs, and brings every row; or it is said what is
//! missing, and nothing is written.

use longshore_tests::destination;
use longshore_tests::scene::{Finished, Scene, bin_dir};

const CATALOG: &str = "longshore.yaml";

/// Files of three formats, one of them packed into a folder below, and things that are no data.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("data/orders.csv", "id,Total\n1,1.5\n2,\n3,7\n").write("data/notes.tsv", "id\ttext\n1\tx\n");
    scene.write(
        "data/2013/events.jsonl",
        "{\"id\":1,\"o\":{\"x\":1}}\n{\"id\":2}\n{\"id\":3,\"late\":true}\n{\"id\":4}\n",
    );
    scene.write("data/a b [1].csv", "k,v\nx,1\n").write("data/README.txt", "no data").write("picture.png", "no data");
    std::fs::create_dir(scene.join("empty")).expect("make a directory");
    scene
}

fn init(scene: &Scene, words: &[&str]) -> Finished {
    scene.longshore(["init"].iter().chain(words))
}

fn rows(scene: &Scene, database: &str, table: &str) -> i64 {
    destination::number(&scene.join(database), &format!("SELECT count(*) FROM \"{table}\""))
}

fn read(scene: &Scene, name: &str) -> String {
    std::fs::read_to_string(scene.join(name)).unwrap_or_else(|error| panic!("reading {name}: {error}"))
}

/// Runs what `init` says to run next.
fn run_next(scene: &Scene, told: &Finished) -> Finished {
    let line = told.stdout.lines().find_map(|line| line.strip_prefix("  longshore ")).expect("the next command");
    scene.longshore(line.split(' ')).expect_code(0)
}

#[test]
fn a_folder_of_all_kinds_of_files_arrives_whole() {
    let scene = scene();
    let told = init(&scene, &["./data"]).expect_code(0);
    assert!(told.stdout.contains("longshore.yaml is ready: 2 tasks checked"), "{}", told.stdout);
    assert!(told.stdout.ends_with("  longshore run --until caught-up\n"), "{}", told.stdout);
    run_next(&scene, &told);
    let counted = ["orders", "notes", "2013_events", "a_b"].map(|table| rows(&scene, "data.db", table));
    assert_eq!(counted, [3, 1, 4, 1], "{}", read(&scene, CATALOG));
    scene.longshore(["check"]).expect_code(0);
}

#[test]
fn the_catalog_says_what_its_lines_mean() {
    let scene = scene();
    init(&scene, &["data/orders.csv"]).expect_code(0);
    let catalog = read(&scene, CATALOG);
    for words in [
        "# Where documents come from",
        "# Directory that holds the files, relative to the catalog",
        "#   poll_interval: text. How often to look",
        "#   validation: What is done with a document",
        "#   on_conflict: What is done when the type",
        "# Fields: id (integer), Total (number)",
        "# A fallback: the source names no key",
        "{ resource: { glob: orders.csv }, collection: data/orders }",
    ] {
        assert!(catalog.contains(words), "no {words:?} in\n{catalog}");
    }
    let wide: Vec<&str> = catalog.lines().filter(|line| line.starts_with('#') && line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn a_pattern_is_one_collection_and_named_files_are_one_each() {
    let scene = Scene::new();
    scene.write("d/x-1.csv", "id\n1\n").write("d/x-2.csv", "id\n2\n").write("d/y.csv", "id\n3\n");
    let told = init(&scene, &["d/x-*.csv", "-o", "pattern.yaml", "--to", "sqlite:p.db"]).expect_code(0);
    run_next(&scene, &told);
    assert_eq!(rows(&scene, "p.db", "x"), 2);

    scene.longshore(["init", "d/x-1.csv", "d/y.csv", "-o", "sub/two.yaml"]).expect_code(2);
    std::fs::create_dir(scene.join("sub")).expect("make a directory");
    let told = init(&scene, &["d/x-1.csv", "d/y.csv", "-o", "sub/two.yaml", "--to", "sqlite:q.db"]).expect_code(0);
    let catalog = read(&scene, "sub/two.yaml");
    assert!(
        catalog.contains("path: ../d\n") && catalog.contains("path: ../q.db\n"),
        "as the catalog sees it\n{catalog}"
    );
    run_next(&scene, &told);
    assert_eq!((rows(&scene, "q.db", "x-1"), rows(&scene, "q.db", "y")), (1, 1));
}

#[test]
fn a_destination_of_files_gets_delta_bindings() {
    let scene = scene();
    let told = init(&scene, &["data/2013/events.jsonl", "--to", "files:./out"]).expect_code(0);
    run_next(&scene, &told);
    assert_eq!(destination::documents(&scene.join("out/events")).len(), 4);
}

#[test]
fn a_connector_and_its_settings_may_be_named() {
    let scene = Scene::new();
    let words = ["--connector", "generator", "--config", "count=5", "--config", "documents=2", "--json"];
    let told = init(&scene, &words).expect_code(0);
    assert_eq!(told.objects("written")[0]["collections"], serde_json::json!(["generator/accounts"]));
    assert_eq!(told.objects("checked").len(), 2, "{}", told.stdout);
    assert!(read(&scene, CATALOG).contains("      count: 5\n"), "numbers are numbers");
    scene.longshore(["run", "--until", "caught-up"]).expect_code(0);
    assert!(rows(&scene, "generator.db", "accounts") > 0);
}

/// A refusal says what to do, and leaves no file.
#[test]
fn what_cannot_work_is_said_and_nothing_is_written() {
    let scene = scene();
    for (words, expected) in [
        (&["./nope"][..], "there is no ./nope"),
        (&["./empty"], "found nothing to capture in ./empty"),
        (&["picture.png"], "nothing tells which connector reads picture.png"),
        (&["data/nope-*.csv"], "expected files that match"),
        (&[], "neither a SOURCE nor --connector"),
        (&["data", "data/orders.csv"], "one folder, or files"),
        (&["mysql://ada:pw-4711@db/shop"], "needs the connector capture-mysql, which is not installed"),
        (&["s3://bucket/x"], "needs the connector capture-s3"),
        (&["https://shop.example/orders.csv"], "needs the connector capture-http"),
        (&["gopher://x"], "no connector is known for gopher://"),
        (&["--connector", "files"], "capture-files needs `path`"),
        (&["--connector", "flies", "data"], "needs the connector capture-flies"),
        (&["--connector", "generator", "--config", "cuont=1"], "has no setting `cuont`"),
        (&["--connector", "generator", "--config", "count"], "expected KEY=VALUE"),
        (&["--connector", "generator", "--config", "count=many"], "expected a whole number"),
        (&["data", "--to", "sqlite"], "--to: expected NAME:PLACE"),
    ] {
        let refused = init(&scene, words).expect_code(2);
        assert!(refused.stderr.contains(expected), "{words:?}: expected {expected:?} in\n{}", refused.stderr);
        assert!(refused.stderr.contains("help: "), "{words:?} says nothing to do\n{}", refused.stderr);
        assert!(!refused.stderr.contains("pw-4711") && !refused.stdout.contains("pw-4711"), "{}", refused.stderr);
        assert!(!scene.join(CATALOG).exists(), "{words:?}");
    }
    let refused = init(&scene, &["postgres://ada:pw-4711@127.0.0.1:1/shop"]).expect_code(3);
    assert!(refused.stderr.contains("connecting to 127.0.0.1:1/shop"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("pw-4711") && !scene.join(CATALOG).exists(), "{}", refused.stderr);
}

#[test]
fn a_catalog_that_is_there_is_never_written_over() {
    let scene = scene();
    scene.write(CATALOG, "# mine\n");
    let refused = init(&scene, &["data"]).expect_code(2);
    assert!(refused.stderr.contains("longshore.yaml is there already"), "{}", refused.stderr);
    assert_eq!(read(&scene, CATALOG), "# mine\n");
    std::fs::remove_file(scene.join(CATALOG)).expect("remove it");
    std::os::unix::fs::symlink("nowhere", scene.join(CATALOG)).expect("a link");
    init(&scene, &["data"]).expect_code(2);
    assert!(!scene.join("nowhere").exists());
}

/// The database that is read is not the one that is written.
#[test]
fn the_default_destination_is_a_new_file() {
    let scene = scene();
    scene.write("data.db", "mine");
    let told = init(&scene, &["data/orders.csv"]).expect_code(0);
    run_next(&scene, &told);
    assert_eq!((read(&scene, "data.db").as_str(), rows(&scene, "data_2.db", "orders")), ("mine", 3));
}

#[test]
fn a_password_in_a_url_is_used_and_written_nowhere() {
    let scene = Scene::new();
    std::fs::create_dir(scene.join("here")).expect("make a directory");
    std::os::unix::fs::symlink(bin_dir().join("vault"), scene.join("here/capture-mysql")).expect("a link");
    let longshore = |words: &[&str], password: Option<&str>| {
        let mut command = std::process::Command::new(bin_dir().join("longshore"));
        command.args(words).env("LONGSHORE_CONNECTORS", scene.join("here"));
        password.map(|password| command.env("MYSQL_PASSWORD", password));
        scene.start_command(command).finish()
    };
    let told = longshore(&["init", "mysql://ada:pw%404711%2Fx@db.example:3306/shop"], None).expect_code(0);
    let catalog = read(&scene, CATALOG);
    assert!(catalog.contains("url: \"mysql://ada@db.example:3306/shop\"\n"), "{catalog}");
    assert!(catalog.contains("password: \"${MYSQL_PASSWORD:?set it}\"\n"), "{catalog}");
    for text in [&catalog, &told.stdout, &told.stderr] {
        assert!(!text.contains("4711"), "the password is told:\n{text}");
    }
    assert!(told.stdout.contains("export MYSQL_PASSWORD="), "{}", told.stdout);
    longshore(&["run", "--until", "caught-up"], None).expect_code(2);
    longshore(&["run", "--until", "caught-up"], Some("pw@4711/x")).expect_code(0);
    assert_eq!(rows(&scene, "shop.db", "orders"), 1);
}

/// A SQLite file is for `capture-sqlite`: with it, all tables arrive; without it, it is said that it is missing.
#[test]
fn a_database_file_is_for_the_connector_of_its_kind() {
    let scene = Scene::new();
    let database = rusqlite::Connection::open(scene.join("shop.data")).expect("a database");
    let tables =
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT); INSERT INTO orders VALUES (1, 'a'), (2, 'b');
        CREATE TABLE \"Order Items\" (a INT, b INT, PRIMARY KEY (a, b)); INSERT INTO \"Order Items\" VALUES (1, 2);";
    database.execute_batch(tables).expect("tables");
    drop(database);
    if bin_dir().join("capture-sqlite").is_file() {
        let told = init(&scene, &["shop.data"]).expect_code(0);
        run_next(&scene, &told);
        assert_eq!((rows(&scene, "shop.db", "orders"), rows(&scene, "shop.db", "order_items")), (2, 1));
        assert!(!read(&scene, CATALOG).contains("A fallback"), "both tables have a key");
    } else {
        let refused = init(&scene, &["shop.data"]).expect_code(2);
        assert!(refused.stderr.contains("reading shop.data needs the connector capture-sqlite"), "{}", refused.stderr);
        assert!(!scene.join(CATALOG).exists());
    }
}
