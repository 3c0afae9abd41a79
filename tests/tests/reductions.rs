//! Collections that are reduced by more than the last write, in a real destination: over several runs, with deletes, and refused where the
//! destination could not keep the promise.

use longshore_tests::carriers::{self, CARRIERS};
use longshore_tests::destination;
use longshore_tests::nyc::flights_behind;
use longshore_tests::scene::Scene;
use rusqlite::Connection;

const CARRIERS_RUN: [&str; 4] = ["run", "--until", "caught-up", "carriers.yaml"];
const RUN: [&str; 3] = ["run", "--until", "caught-up"];

#[test]
fn flights_come_to_one_row_a_carrier_and_later_ones_are_added_to_it() {
    let scene = carriers::scene_with(100_000);
    scene.longshore(CARRIERS_RUN).expect_code(0);
    carriers::assert_reduced_once(&scene, 100_000);
    scene.append("data/flights.csv", flights_behind(100_000, 50_000));
    scene.longshore(CARRIERS_RUN).expect_code(0);
    carriers::assert_reduced_once(&scene, 150_000);
    assert_eq!(carriers::rows(&scene), CARRIERS);
    scene.longshore(CARRIERS_RUN).expect_code(0);
    carriers::assert_reduced_once(&scene, 150_000);
}

/// A catalog over `in.jsonl`, which is empty at first, into the table `a`; `binding` stands behind the table.
fn catalog(scene: &Scene, properties: &str, binding: &str) {
    scene.write("in.jsonl", "");
    scene.write(
        "longshore.yaml",
        format!(
            "captures:
  in:
    connector: files
    config: {{ path: . }}
    bindings: [{{ resource: {{ glob: \"in.jsonl\" }}, collection: t/a }}]
collections:
  t/a:
    key: [/id]
    schema: {{ type: object, reduce: {{ strategy: merge }}, properties: {{ id: {{ type: integer }}, {properties} }} }}
materializations:
  db:
    connector: sqlite
    config: {{ path: ./out.db }}
    bindings: [{{ collection: t/a, resource: {{ table: a }}{binding} }}]
"
        ),
    );
}

fn rows(scene: &Scene, select: &str) -> Vec<String> {
    let connection = Connection::open(scene.join("out.db")).expect("a database");
    let mut select = connection.prepare(select).expect("a query");
    let rows = select.query_map([], |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("a text")).collect()
}

const SUM_AND_TAGS: &str = "n: { type: integer, reduce: { strategy: sum } }, name: { type: string }, \
    tags: { type: array, items: { type: string }, reduce: { strategy: set } }, \
    log: { type: array, reduce: { strategy: append } }";
const ROW: &str =
    "SELECT json_object('id', id, 'n', n, 'name', name, 'tags', json(tags), 'log', json(log)) FROM a ORDER BY id";

#[test]
fn what_is_absent_stays_and_nothing_reaches_over_a_delete() {
    let scene = Scene::new();
    catalog(&scene, SUM_AND_TAGS, "");
    let steps = [
        (
            "{\"id\":1,\"n\":9223372036854775000,\"name\":\"a\",\"tags\":[\"y\",\"x\"],\"log\":[1]}\n{\"id\":1,\"n\":800,\"log\":[2]}\n",
            vec![r#"{"id":1,"n":9223372036854775800,"name":"a","tags":["y","x"],"log":[1,2]}"#],
        ),
        (
            "{\"id\":1,\"n\":7,\"tags\":[\"z\",\"x\"],\"log\":[]}\n{\"id\":2,\"n\":1}\n",
            vec![
                r#"{"id":1,"n":9223372036854775807,"name":"a","tags":["x","y","z"],"log":[1,2]}"#,
                r#"{"id":2,"n":1,"name":null,"tags":null,"log":null}"#,
            ],
        ),
        (
            "{\"id\":1,\"_meta\":{\"op\":\"d\"}}\n{\"id\":1,\"n\":5,\"log\":[9]}\n{\"id\":2,\"_meta\":{\"op\":\"d\"}}\n",
            vec![r#"{"id":1,"n":5,"name":null,"tags":null,"log":[9]}"#],
        ),
        (
            "{\"id\":2,\"n\":3}\n",
            vec![
                r#"{"id":1,"n":5,"name":null,"tags":null,"log":[9]}"#,
                r#"{"id":2,"n":3,"name":null,"tags":null,"log":null}"#,
            ],
        ),
    ];
    for (lines, expected) in steps {
        scene.append("in.jsonl", lines);
        scene.longshore(RUN).expect_code(0);
        assert_eq!(rows(&scene, ROW), expected, "after {lines}");
    }
}

#[test]
fn beside_a_whole_document_decimals_of_any_length_are_summed_exactly() {
    let scene = Scene::new();
    catalog(&scene, "n: { type: number, reduce: { strategy: sum } }", ", fields: { include: [id], document: doc }");
    scene.append("in.jsonl", "{\"id\":1,\"n\":18446744073709551616.000000000000000000001}\n");
    scene.longshore(RUN).expect_code(0);
    scene.append("in.jsonl", "{\"id\":1,\"n\":0.1}\n{\"id\":1,\"n\":0.2}\n");
    scene.longshore(RUN).expect_code(0);
    let documents = rows(&scene, "SELECT doc FROM a");
    assert_eq!(documents.len(), 1);
    assert!(documents[0].contains("\"n\":18446744073709551616.300000000000000000001"), "{documents:?}");
}

#[test]
fn a_schema_that_documents_widen_is_reduced_as_it_was() {
    let scene = Scene::new();
    catalog(&scene, "n: { type: integer, minimum: 0, reduce: { strategy: sum } }", "");
    let text = std::fs::read_to_string(scene.join("longshore.yaml")).expect("the catalog");
    scene.write("longshore.yaml", text.replace("    key: [/id]\n", "    key: [/id]\n    validation: infer\n"));
    scene.append("in.jsonl", "{\"id\":1,\"n\":5}\n");
    scene.longshore(RUN).expect_code(0);
    scene.append("in.jsonl", "{\"id\":1,\"n\":-2,\"new\":\"x\"}\n{\"id\":1,\"n\":4}\n");
    scene.longshore(RUN).expect_code(0);
    assert_eq!(rows(&scene, "SELECT n || ' ' || new FROM a"), ["7 x"]);
}

#[test]
fn a_sum_of_what_is_no_number_stops_and_nothing_of_its_transaction_is_stored() {
    let scene = Scene::new();
    catalog(&scene, "n: { type: integer, reduce: { strategy: sum } }", "");
    scene.append("in.jsonl", "{\"id\":1,\"n\":1}\n");
    scene.longshore(RUN).expect_code(0);
    // 64 bits hold each of them and not their sum.
    scene.append("in.jsonl", "{\"id\":1,\"n\":9223372036854775807}\n{\"id\":2,\"n\":1}\n");
    let ended = scene.longshore(RUN).expect_code(1).stderr;
    for part in ["sqlite.value", "\"n\"", "an integer of 64 bits", "9223372036854775808", "[1]"] {
        assert!(ended.contains(part), "{part}: {ended}");
    }
    assert_eq!(destination::number(&scene.join("out.db"), "SELECT sum(n) FROM a"), 1);
}

#[test]
fn what_a_destination_cannot_give_back_is_refused_with_the_way_out() {
    let scene = Scene::new();
    let sum = "n: { type: integer, reduce: { strategy: sum } }";
    for (properties, binding, says) in [
        (format!("{sum}, v: {{}}"), "", ["reduce.not_loaded", "column \"v\"", "document: doc"]),
        (sum.to_owned(), ", fields: { exclude: [n] }", ["reduce.not_kept", "at /n", "keep it"]),
    ] {
        catalog(&scene, &properties, binding);
        let refused = scene.longshore(["check"]).expect_code(2).stderr;
        assert!(says.iter().all(|part| refused.contains(part)), "{refused}");
    }
    catalog(&scene, &format!("{sum}, v: {{}}"), ", fields: { document: doc }");
    scene.longshore(["check"]).expect_code(0);
    catalog(&scene, &format!("{sum}, v: {{}}"), ", delta_updates: true");
    scene.longshore(["check"]).expect_code(0);
}

#[test]
fn a_binding_of_sums_that_comes_back_is_stored_again_and_does_not_count_twice() {
    let scene = Scene::new();
    let sum = "n: { type: integer, reduce: { strategy: sum } }";
    let other = "\n      - { collection: t/a, resource: { table: other } }";
    let bindings = |bindings: &str| {
        let text = std::fs::read_to_string(scene.join("longshore.yaml")).expect("the catalog");
        let (head, _) = text.split_once("./out.db }\n").expect("the path of the database");
        scene.write("longshore.yaml", format!("{head}./out.db }}\n    bindings:{bindings}\n"));
    };
    catalog(&scene, sum, "");
    scene.append("in.jsonl", "{\"id\":1,\"n\":1}\n{\"id\":1,\"n\":2}\n");
    scene.longshore(RUN).expect_code(0);
    bindings(other);
    scene.longshore(RUN).expect_code(0);
    let a = "\n      - { collection: t/a, resource: { table: a } }";
    bindings(&format!("{a}{other}"));
    scene.append("in.jsonl", "{\"id\":1,\"n\":4}\n");
    let database = scene.join("out.db");
    let refused = scene.longshore(["run", "--until", "caught-up", "--take-over", "db", "--yes"]).expect_code(2).stderr;
    assert!(refused.contains("binding.counts_twice") && refused.contains("--fresh db/a"), "{refused}");
    for words in [&["check"][..], &RUN] {
        scene.longshore(words).expect_code(0);
    }
    assert_eq!(destination::number(&database, "SELECT n FROM a"), 7);
    assert_eq!(destination::number(&database, "SELECT n FROM other"), 7);
}
