//! Parquet files as DuckDB and pyarrow read them: every value as the source has it, whole at every moment, each row once however often somebody
//! is killed; in a directory, and in a bucket of an S3 server.
//!
//! `LONGSHORE_KILLS` sets how many kills (a short slice by default; `cargo xtask test --long` asks for 20), `LONGSHORE_SEED` the seed.

use longshore_tests::killing::{nothing_lost_or_twice, plan, run_into_a_kill};
use longshore_tests::lake::Lake;
use longshore_tests::nyc::{self, FLIGHTS};
use longshore_tests::scene::Scene;
use longshore_tests::verbatim;
use serde_json::{Value, json};

const RUN: [&str; 3] = ["run", "--until", "caught-up"];

/// Flights and weather from CSV into a lake.
fn flights_into(scene: &Scene, lake: &Lake) {
    nyc::lay_data(&scene.join("data"));
    scene.write(
        "longshore.yaml",
        format!(
            "captures:
  nyc:
    connector: files
    config: {{ path: ./data, format: csv, null_values: [\"NA\", \"\"] }}
    bindings:
      - {{ resource: {{ glob: flights.csv }}, collection: nyc/flights }}
      - {{ resource: {{ glob: weather.csv }}, collection: nyc/weather }}
collections:
  nyc/flights: {{ key: [/time_hour, /carrier, /flight] }}
  nyc/weather: {{ key: [/origin, /time_hour] }}
materializations:
  lake:
    connector: parquet
    config: {}
    bindings:
      - {{ collection: nyc/flights, resource: {{ name: flights }}, delta_updates: true }}
      - {{ collection: nyc/weather, resource: {{ name: nyc/weather }}, delta_updates: true }}
",
            lake.config("file_bytes: 2000000")
        ),
    );
}

fn every_flight_and_hour_of_weather_is_there_once(scene: &Scene, lake: &Lake) {
    for (name, directory, rows) in [("flights", "flights", FLIGHTS), ("weather", "nyc/weather", 26_115)] {
        let csv = scene.join(format!("data/{name}.csv"));
        let found = lake.ask(&["compare", csv.to_str().expect("a path")], directory);
        assert_eq!(found["duckdb"], json!({ "rows": rows, "missing": 0, "extra": 0 }), "{name} in DuckDB: {found}");
        assert_eq!(found["pyarrow"]["same"], true, "{name} in pyarrow: {found}");
        let types = &found["pyarrow"]["types"];
        match name {
            "flights" => {
                assert_eq!((&types["flight"], &types["carrier"]), (&json!("int64"), &json!("string")), "{types}")
            }
            _ => {
                assert_eq!((&types["wind_speed"], &types["pressure"]), (&json!("double"), &json!("double")), "{types}")
            }
        }
    }
}

#[test]
fn flights_and_weather_are_what_their_files_say_and_a_second_run_moves_nothing() {
    for make in [|scene: &Scene| Lake::directory(scene), |_: &Scene| Lake::bucket()] {
        let scene = Scene::new();
        let lake = make(&scene);
        flights_into(&scene, &lake);
        let watch = lake.watch();
        scene.longshore(["check"]).expect_code(0);
        scene.longshore(RUN).expect_code(0);
        every_flight_and_hour_of_weather_is_there_once(&scene, &lake);
        let before = lake.ask(&["footers"], "flights");
        let second = scene.longshore(["run", "--until", "caught-up", "--json"]).expect_code(0);
        assert!(second.rows("lake").iter().all(|(_, rows)| *rows == 0), "{}", second.stdout);
        let footers = lake.ask(&["footers"], "flights");
        assert_eq!(footers, before);
        for footer in footers.as_array().expect("files") {
            assert_eq!(footer["codecs"], json!(["ZSTD"]), "{footer}");
            let told = &footer["metadata"];
            assert_eq!(
                (&told["longshore.task"], &told["longshore.collection"]),
                (&json!("lake"), &json!("nyc/flights"))
            );
            let transaction = told["longshore.transaction"].as_str().expect("a transaction");
            assert!(
                footer["name"].as_str().is_some_and(|name| name.contains(&format!("/t{transaction:0>10}-e"))),
                "{footer}"
            );
        }
        assert_eq!(lake.uploads(), json!([]), "nothing is left half done");
        watch.assert_all_was_whole();
    }
}

/// A catalog that takes documents as they are into a lake and into lines of text.
fn verbatim_into(scene: &Scene, lake: &Lake, schema: &str, rest: &str) {
    verbatim_with(scene, lake, schema, rest, "dead_letter");
}

fn verbatim_with(scene: &Scene, lake: &Lake, schema: &str, rest: &str, on_conflict: &str) {
    scene.write(
        "longshore.yaml",
        format!(
            "captures:
  in:
    command: [verbatim]
    config: {{ path: in.txt, per_checkpoint: 4, pace_ms: 3 }}
    bindings: [{{ resource: {{ stream: s }}, collection: t/a }}]
collections:
  t/a: {{ key: [/id], {schema} }}
materializations:
  lake:
    connector: parquet
    config: {}
    bindings: [{{ collection: t/a, resource: {{ name: a }}, delta_updates: true, on_conflict: {on_conflict} }}]
",
            lake.config(rest)
        ),
    );
}

/// The values of a field as a reader has them, in the order of ids.
#[track_caller]
fn values(found: &Value, reader: &str, field: &str) -> Vec<Value> {
    let rows = found[reader]["rows"].as_array().unwrap_or_else(|| panic!("no rows in {found}"));
    rows.iter().map(|row| row[field].clone()).collect()
}

/// What a document says beside its id, and what a field of it then is: of none, it is refused.
type Told<'d> = (&'d str, Option<(&'d str, Value)>);

#[test]
fn every_type_and_its_edges_arrive_as_they_are_or_are_refused() {
    let scene = Scene::new();
    let lake = Lake::directory(&scene);
    let schema = "schema: { type: object, properties: { id: { type: integer }, n: { type: [integer, \"null\"] }, x: { type: number }, \
                  b: { type: boolean }, s: { type: string }, d: { type: string, format: date-time }, o: { type: object }, m: {} } }";
    verbatim_into(&scene, &lake, schema, "compression: snappy");
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let m_deep = format!("\"m\":{deep}");
    let kept = |field: &'static str, text: &str| Some((field, if text.is_empty() { Value::Null } else { json!(text) }));
    let documents: Vec<Told<'_>> = vec![
        ("\"n\":9223372036854775807", kept("n", "i 9223372036854775807")),
        ("\"n\":-9223372036854775808", kept("n", "i -9223372036854775808")),
        ("\"n\":1e3", kept("n", "i 1000")),
        ("\"n\":9223372036854775808", None),
        ("\"n\":null", kept("n", "")),
        ("\"x\":1e308", kept("x", "r 1e+308")),
        ("\"x\":-1.7976931348623157e308", kept("x", "r -1.7976931348623157e+308")),
        ("\"x\":5e-324", kept("x", "r 5e-324")),
        ("\"x\":10.357019999999999", kept("x", "r 10.357019999999999")),
        ("\"x\":0.1", kept("x", "r 0.1")),
        ("\"x\":9007199254740992", kept("x", "r 9007199254740992.0")),
        ("\"x\":9007199254740993", None),
        ("\"x\":123456789.12345678901234567890", None),
        ("\"b\":true", kept("b", "b True")),
        ("\"b\":false", kept("b", "b False")),
        ("\"s\":\"\"", kept("s", "t ")),
        ("\"s\":\"007\"", kept("s", "t 007")),
        ("\"s\":\"a\\\"b\\u00e9\\ud83d\\ude00\"", kept("s", "t a\"bé😀")),
        ("\"s\":\"a\\u0000b\"", kept("s", "t a\u{0}b")),
        ("\"d\":\"2013-01-01T05:00:00.123456789Z\"", kept("d", "t 2013-01-01T05:00:00.123456789Z")),
        ("\"d\":\"2013-01-01T05:00:00+01:00\"", kept("d", "t 2013-01-01T05:00:00+01:00")),
        ("\"o\":{\"a\":[1.10,{\"b\":null}]}", kept("o", "t {\"a\":[1.10,{\"b\":null}]}")),
        ("\"o\":{}", kept("o", "t {}")),
        ("\"m\":\"007\"", kept("m", "t \"007\"")),
        ("\"m\":123456789012345678901234567890.10", kept("m", "t 123456789012345678901234567890.10")),
        ("\"m\":null", kept("m", "")),
        (&m_deep, Some(("m", json!(format!("t {deep}"))))),
    ];
    let text = |(id, (rest, _)): (usize, &Told<'_>)| format!("{{\"id\":{id},{rest}}}");
    let lines: Vec<String> = documents.iter().enumerate().map(text).collect();
    verbatim::source(&scene, &lines);
    scene.longshore(RUN).expect_code(0);

    let found = lake.ask(&["rows"], "a");
    let duckdb = &found["duckdb"]["types"];
    for (field, of) in
        [("id", "BIGINT"), ("x", "DOUBLE"), ("b", "BOOLEAN"), ("s", "VARCHAR"), ("o", "JSON"), ("_meta", "JSON")]
    {
        assert_eq!(duckdb[field], of, "{field}: {duckdb}");
    }
    let stored: Vec<usize> = (0..documents.len()).filter(|id| documents[*id].1.is_some()).collect();
    for reader in ["duckdb", "pyarrow"] {
        let ids: Vec<Value> = stored.iter().map(|id| json!(format!("i {id}"))).collect();
        assert_eq!(values(&found, reader, "id"), ids, "{reader}");
        for (row, id) in found[reader]["rows"].as_array().expect("rows").iter().zip(&stored) {
            let Some((field, value)) = &documents[*id].1 else { continue };
            assert_eq!(&row[*field], value, "{reader}: {}", documents[*id].0);
            let others =
                row.as_object().expect("a row").iter().filter(|(name, _)| !["id", field].contains(&name.as_str()));
            assert!(others.into_iter().all(|(_, value)| value.is_null()), "{reader}: absent is null: {row}");
        }
    }
    let letters = scene.longshore(["dlq", "list", "--json"]).expect_code(0).objects("letter");
    let refused: Vec<&Value> = letters.iter().map(|letter| &letter["document"]["id"]).collect();
    let expected: Vec<Value> =
        (0..documents.len()).filter(|id| documents[*id].1.is_none()).map(|id| json!(id)).collect();
    assert_eq!(refused, expected.iter().collect::<Vec<_>>(), "each of the others is a letter");
}

#[test]
fn numbers_as_text_keep_every_digit() {
    let scene = Scene::new();
    let lake = Lake::directory(&scene);
    let schema = "schema: { type: object, properties: { id: { type: integer }, x: { type: number } } }";
    verbatim_into(&scene, &lake, schema, "numbers: text, compression: none");
    let numbers = ["0.10", "123456789.12345678901234567890", "-0.0", "1e3"];
    let document = |(id, number): (usize, &&str)| format!("{{\"id\":{id},\"x\":{number}}}");
    verbatim::source(&scene, &numbers.iter().enumerate().map(document).collect::<Vec<_>>());
    scene.longshore(RUN).expect_code(0);
    let found = lake.ask(&["rows"], "a");
    for reader in ["duckdb", "pyarrow"] {
        assert_eq!(values(&found, reader, "x"), numbers.map(|number| json!(format!("t {number}"))), "{reader}");
    }
}

#[test]
fn files_of_a_schema_that_grew_are_read_as_one() {
    let scene = Scene::new();
    let lake = Lake::directory(&scene);
    let rounds = [
        ("integer", "", vec!["\"v\":7", "\"v\":null"]),
        ("number", ", w: { type: string }", vec!["\"v\":0.5,\"w\":\"new\""]),
        ("number, string", ", w: { type: string }", vec!["\"v\":\"007\"", "\"v\":8.5"]),
    ];
    let mut lines: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for (types, w, more) in rounds {
        let properties = format!("id: {{ type: integer }}, v: {{ type: [{types}, \"null\"] }}{w}");
        verbatim_with(
            &scene,
            &lake,
            &format!("schema: {{ type: object, properties: {{ {properties} }} }}"),
            "",
            "widen",
        );
        let at = lines.len();
        lines.extend(more.iter().enumerate().map(|(n, rest)| format!("{{\"id\":{},{rest}}}", at + n)));
        verbatim::source(&scene, &lines);
        scene.longshore(RUN).expect_code(0);
        found.push(lake.ask(&["rows"], "a"));
    }
    let of_duckdb = |round: usize| (found[round]["duckdb"]["types"]["v"].clone(), values(&found[round], "duckdb", "v"));
    assert_eq!(of_duckdb(0), (json!("BIGINT"), vec![json!("i 7"), Value::Null]));
    let numbers = vec![json!("r 7.0"), Value::Null, json!("r 0.5")];
    assert_eq!(of_duckdb(1), (json!("DOUBLE"), numbers.clone()));
    assert_eq!(values(&found[1], "pyarrow", "v"), numbers);
    assert_eq!(values(&found[1], "duckdb", "w"), [Value::Null, Value::Null, json!("t new")]);
    let texts = vec![json!("t 7"), Value::Null, json!("t 0.5"), json!("t \"007\""), json!("t 8.5")];
    assert_eq!(of_duckdb(2), (json!("JSON"), texts), "a JSON column beside numbers is JSON for all");
    assert!(found[2]["pyarrow"]["types"]["error"].is_string(), "{}", found[2]["pyarrow"]);
}

/// The destination, its runtime and its connectors killed, while somebody looks at every file.
fn killed_at_random_moments(test: &str, make: fn(&Scene) -> Lake) -> String {
    const DOCUMENTS: usize = 400;
    let (kills, mut dice) = plan();
    let schema = "schema: { type: object, properties: { id: { type: integer }, body: { type: string } } }";
    let documents: Vec<String> =
        (0..DOCUMENTS).map(|id| format!("{{\"id\":{id},\"body\":\"{:0200}\"}}", id * 3)).collect();
    let mut killed = 0;
    while killed < kills {
        let scene = Scene::new();
        let lake = make(&scene);
        verbatim::source(&scene, &documents);
        verbatim_into(&scene, &lake, schema, "max_age: 30ms, file_bytes: 5000");
        let watch = lake.watch();
        for _ in 0..5 {
            killed += run_into_a_kill(&scene, &RUN, (20, 900), &mut dice);
        }
        scene.longshore(RUN).expect_code(0);
        let found = lake.ask(&["rows"], "a");
        let ids: Vec<Value> = (0..DOCUMENTS).map(|id| json!(format!("i {id}"))).collect();
        for reader in ["duckdb", "pyarrow"] {
            assert_eq!(values(&found, reader, "id"), ids, "{reader}: each once, seed {}", dice.seed);
        }
        watch.assert_all_was_whole();
    }
    nothing_lost_or_twice(test, &dice, killed)
}

#[test]
fn a_lake_in_a_directory_killed_at_random_moments() {
    println!("{}", killed_at_random_moments("parquet-kills", Lake::directory));
}

#[test]
fn a_lake_in_a_bucket_killed_at_random_moments() {
    println!("{}", killed_at_random_moments("parquet-s3-kills", |_| Lake::bucket()));
}

#[test]
fn a_bucket_that_is_not_there_is_found_by_check_and_one_that_does_not_answer_is_tried_later() {
    let scene = Scene::new();
    let lake = Lake::bucket();
    verbatim::source(&scene, &["{\"id\":1}"]);
    verbatim_into(&scene, &lake, "schema: { type: object }", "");
    let catalog = std::fs::read_to_string(scene.join("longshore.yaml")).expect("the catalog");
    scene.write("longshore.yaml", catalog.replace("s3://lake/part", "s3://other/part"));
    let check = scene.longshore(["check"]).expect_code(2);
    assert!(
        format!("{}{}", check.stdout, check.stderr).contains("parquet.s3.bucket"),
        "{}{}",
        check.stdout,
        check.stderr
    );
    scene.write("longshore.yaml", &catalog);
    drop(lake);
    let check = scene.longshore(["check"]).expect_code(3);
    assert!(
        format!("{}{}", check.stdout, check.stderr).contains("parquet.s3.unreachable"),
        "{}{}",
        check.stdout,
        check.stderr
    );
}
