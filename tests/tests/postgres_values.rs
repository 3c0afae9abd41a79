//! Values of every type from PostgreSQL by way of documents into PostgreSQL, random ones and the ends of each type: the server says whether the
//! copy is the same, text by text. Nothing is changed without a word.
//!
//! `LONGSHORE_VALUES` sets how many values there are at least, `LONGSHORE_SEED` the seed.

use longshore_postgres::testing::Server;
use longshore_tests::dice::{Dice, number};
use longshore_tests::every_type::{self, Column};
use longshore_tests::scene::Scene;

const RUN: [&str; 3] = ["run", "--until", "caught-up"];

#[test]
fn every_value_of_every_type_is_in_the_copy_as_it_is() {
    let wanted = number("LONGSHORE_VALUES", 20_000);
    let dice = Dice::of_environment();
    let columns = every_type::columns();
    // One in twenty is NULL, and some arrays are empty.
    let rows = (wanted * 11 / 10).div_ceil(columns.len() as u64);
    let server = Server::start("");
    server.run("postgres", "CREATE DATABASE shop");
    server.run("postgres", "CREATE DATABASE copy");
    every_type::make(&server, "shop");
    every_type::fill(&server, "shop", (1, rows / 2), dice.seed);
    let scene = scene(server.port());
    // By the walk, and then by the log: other rows, and some of the same.
    scene.longshore(RUN).expect_code(0);
    every_type::fill(&server, "shop", (rows / 2 + 1, rows), dice.seed + 1);
    for table in every_type::tables() {
        server.run("shop", &format!("UPDATE {table} SET id = id + 1000000000 WHERE id % 5 = 0"));
    }
    scene.longshore(RUN).expect_code(0);
    let values = compare(&server, &columns);
    assert!(values >= wanted, "{values} values are fewer than {wanted}");
    scene.longshore(["verify"]).expect_code(0);
    let line = serde_json::json!({ "test": "postgres-values", "seed": dice.seed, "values": values, "changed": 0 });
    println!("ledger: {line}");
}

/// How many values the columns have, all of which are in the copy as they are.
#[track_caller]
fn compare(server: &Server, columns: &[Column]) -> u64 {
    let told = |database: &str, say: &dyn Fn(&Column) -> String| -> Vec<String> {
        // Each a statement of its own: the server may put the parts of a union in any order.
        let all: Vec<String> = columns.iter().map(say).collect();
        server.run(database, &all.join("; ")).lines().map(str::to_owned).collect()
    };
    let types = |database: &str| {
        told(database, &|Column { table, name, .. }| {
            format!(
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = '{name}'"
            )
        })
    };
    let wanted: Vec<&str> = columns.iter().map(|column| column.copied_as.as_str()).collect();
    assert_eq!(types("copy"), wanted, "types of the copy");
    let sums = |database: &str, text: fn(&Column) -> &str| {
        told(database, &|column| {
            let (table, name, text) = (&column.table, &column.name, text(column));
            format!(
                "SELECT count({name}), sum(hashtextextended(id || ':' || {text}, 0)::numeric), count(*) FROM {table}"
            )
        })
    };
    let (ones, others) = (sums("shop", |column| &column.text), sums("copy", |column| &column.text_of_copy));
    assert_eq!((ones.len(), others.len()), (columns.len(), columns.len()));
    for ((column, one), other) in columns.iter().zip(&ones).zip(&others) {
        assert!(one == other, "{}", difference(server, column));
    }
    ones.iter().map(|sum| sum.split('|').next().and_then(|count| count.parse::<u64>().ok()).expect("a number")).sum()
}

fn difference(server: &Server, Column { table, name, copied_as, text, text_of_copy }: &Column) -> String {
    let rows = |database: &str, text: &str| {
        server.run(database, &format!("SELECT id, left({text}, 300) FROM {table} WHERE {name} IS NOT NULL ORDER BY id"))
    };
    let (one, other) = (rows("shop", text), rows("copy", text_of_copy));
    let only = |left: &str, right: &str| {
        let right: std::collections::HashSet<&str> = right.lines().collect();
        left.lines().filter(|row| !right.contains(row)).take(5).map(|row| format!("{row}\n")).collect::<String>()
    };
    format!(
        "{table}.{name} as {copied_as} differs; only in the source:\n{}only in the copy:\n{}",
        only(&one, &other),
        only(&other, &one)
    )
}

fn scene(port: u16) -> Scene {
    let tables = every_type::tables();
    let url = |database: &str| format!("config: {{ url: \"postgres://postgres@127.0.0.1:{port}/{database}\" }}");
    let each = |line: fn(&str) -> String| tables.iter().map(|table| line(table)).collect::<String>();
    let captured =
        each(|table| format!("      - {{ resource: {{ schema: public, table: {table} }}, collection: pg/{table} }}\n"));
    let collections = each(|table| format!("  pg/{table}: {{ key: [/id] }}\n"));
    let stored =
        each(|table| format!("      - {{ collection: pg/{table}, resource: {{ schema: public, table: {table} }} }}\n"));
    let scene = Scene::new();
    scene.write(
        "longshore.yaml",
        format!(
            "captures:\n  src:\n    connector: postgres\n    {}\n    bindings:\n{captured}collections:\n{collections}\
             materializations:\n  dst:\n    connector: postgres\n    {}\n    bindings:\n{stored}",
            url("shop"),
            url("copy")
        ),
    );
    scene
}
