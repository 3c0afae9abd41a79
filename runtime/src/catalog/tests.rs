//! The whole way from text to tasks and typed configs. The mistakes are in `runtime/tests/mistakes.rs`.

use std::path::Path;
use std::sync::Arc;

use longshore_proto::session::{Finding, Severity};
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "hunter2: {a: b}";

fn load_text(text: &str) -> Result<Catalog, Diagnostics> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    std::fs::write(&path, text).unwrap();
    load(&path, Values::new(Arc::new(|name: &str| (name == "PW").then(|| SECRET.to_owned()))))
}

/// A catalog with one capture, whose config and resource are these.
fn with_config(config: &str) -> Catalog {
    let text = format!(
        "captures:\n  t:\n    connector: files\n    config: {config}\n    bindings: [{{ resource: {{ glob: \"*\" }}, collection: a }}]\ncollections: {{ a: }}\n"
    );
    load_text(&text).unwrap_or_else(|found| panic!("{found}"))
}

fn typed(config: &str, schema: Value) -> Result<Value, Diagnostics> {
    let catalog = with_config(config);
    let typed = catalog.typed(&catalog.captures[0].config, schema.to_string().as_bytes(), "the config")?;
    Ok(serde_json::from_slice(&typed.json).unwrap())
}

const FLIGHTS: &str = r#"
captures:
  nyc:
    connector: files
    config: { path: ./data, format: csv, null_values: ["NA", ""] }
    bindings:
      - { resource: { glob: "flights.csv" },  collection: nyc/flights }
      - { resource: { glob: "airports.csv" }, collection: nyc/airports }
collections:
  nyc/flights:  { key: [/time_hour, /carrier, /flight] }
  nyc/airports: { key: [/faa] }
materializations:
  lake:
    connector: sqlite
    config: { path: ./nyc.db }
    bindings:
      - { collection: nyc/flights,  resource: { table: flights } }
  archive:
    command: [./materialize-files, "--log=${PW}"]
    config: { path: ./out, format: jsonl }
    bindings:
      - { collection: nyc/flights, resource: { name: flights }, delta_updates: true }
"#;

#[test]
fn a_catalog_becomes_tasks_in_the_order_written() {
    let catalog = load_text(FLIGHTS).unwrap();
    let capture = &catalog.captures[0];
    assert_eq!(
        (capture.name.as_str(), &capture.endpoint),
        ("nyc", &Endpoint::Bundled { name: "files".into(), hold: Hold::default() })
    );
    assert_eq!(
        capture.bindings.iter().map(|one| one.collection.as_str()).collect::<Vec<_>>(),
        ["nyc/flights", "nyc/airports"]
    );
    assert_eq!(catalog.collections["nyc/flights"].key.as_deref().unwrap(), ["/time_hour", "/carrier", "/flight"]);
    assert_eq!(catalog.collections["nyc/airports"].schema, None);
    let [lake, archive] = catalog.materializations.as_slice() else { panic!() };
    assert!(!lake.bindings[0].delta_updates && archive.bindings[0].delta_updates);
    assert_eq!(
        archive.endpoint,
        Endpoint::Command {
            argv: vec!["./materialize-files".into(), format!("--log={SECRET}")],
            hold: Hold::default()
        }
    );
    assert!(catalog.directory.is_absolute() && catalog.warnings.is_empty());
}

#[test]
fn a_scalar_is_what_the_connectors_schema_says_whatever_yaml_would_guess() {
    for text in ["0123", "on", "1e3", "NO", "null", "~", "true", "2024-01-01", "1:30", "0x1F", "12"] {
        assert_eq!(
            typed(&format!("{{ v: {text} }}"), json!({"properties": {"v": {"type": "string"}}})).unwrap(),
            json!({"v": text}),
            "{text}"
        );
    }
    let cases = [
        (r#"{ v: 12 }"#, json!({"type": "integer"}), json!(12)),
        (r#"{ v: "12" }"#, json!({"type": "integer"}), json!(12)),
        (r#"{ v: 1e3 }"#, json!({"type": "integer"}), json!(1000)),
        (r#"{ v: 1e3 }"#, json!({"type": "number"}), json!(1000.0)),
        (r#"{ v: 18446744073709551615 }"#, json!({"type": "integer"}), json!(u64::MAX)),
        (r#"{ v: true }"#, json!({"type": "boolean"}), json!(true)),
        (r#"{ v: }"#, json!({"type": ["string", "null"]}), json!(null)),
        (r#"{ v: null }"#, json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), json!(null)),
        (r#"{ v: 7 }"#, json!({"type": ["integer", "string"]}), json!(7)),
        (r#"{ v: "7" }"#, json!({"type": ["integer", "string"]}), json!("7")),
        (r#"{ v: [1, a, ] }"#, json!({"type": "array", "items": {"type": "string"}}), json!(["1", "a"])),
        (
            r#"{ v: { k: 1 } }"#,
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"k": "1"}),
        ),
        (r#"{ v: { k: 1, x: 010 } }"#, json!({}), json!({"k": 1, "x": "010"})),
    ];
    for (config, schema, expected) in cases {
        assert_eq!(typed(config, json!({"properties": {"v": schema}})).unwrap()["v"], expected, "{config} {schema}");
    }
    for text in ["0123", "1.5", "1e400", "18446744073709551616"] {
        assert!(
            typed(&format!("{{ v: {text} }}"), json!({"properties": {"v": {"type": "integer"}}})).is_err(),
            "{text}"
        );
    }
}

#[test]
fn of_several_shapes_the_one_the_users_own_words_choose_gives_the_types() {
    let branch = |kind: &str, v: &str| json!({"type": "object", "properties": {"kind": {"const": kind}, "v": {"type": v}}, "required": ["kind"]});
    let schema = json!({"oneOf": [branch("n", "integer"), branch("s", "string")]});
    assert_eq!(typed("{ kind: s, v: 1 }", schema.clone()).unwrap()["v"], json!("1"));
    assert_eq!(typed("{ kind: n, v: 1 }", schema).unwrap()["v"], json!(1));
}

#[test]
fn variables_are_filled_into_values_and_never_into_keys() {
    let schema = json!({"properties": {"v": {"type": "string"}}});
    let value = typed(r#"{ v: "a ${PW}", "${PW}": "${PW}", list: ["${PW}"], n: "$${PW}" }"#, schema).unwrap();
    assert_eq!(value, json!({"v": format!("a {SECRET}"), "${PW}": SECRET, "list": [SECRET], "n": "${PW}"}));
    // Nor into the names of the catalog itself.
    let found = load_text(&FLIGHTS.replace("collection: nyc/flights,", "collection: \"${PW}\",")).unwrap_err();
    assert!(found.to_string().contains("${PW}") && !found.to_string().contains("hunter2"), "{found}");
}

#[test]
fn a_value_from_outside_can_be_a_number_and_is_never_shown() {
    assert_eq!(
        typed("\n      v: ${NONE:-12}", json!({"properties": {"v": {"type": "integer"}}})).unwrap()["v"],
        json!(12)
    );
    for schema in [
        json!({"type": "integer"}),
        json!({"enum": ["x"]}),
        json!({"type": "string", "pattern": "^x"}),
        json!({"type": "object"}),
        json!({"maxLength": 3}),
    ] {
        let found = typed("{ v: \"${PW}\" }", json!({"properties": {"v": schema}})).unwrap_err();
        assert!(!found.to_string().contains("hunter2") && !found.json_lines().contains("hunter2"), "{found}");
    }
}

#[test]
fn what_a_connector_says_is_shown_at_its_place_without_the_secrets_it_was_given() {
    let catalog = with_config("{ url: \"${PW}\", list: [x, y] }");
    let typed = catalog.typed(&catalog.captures[0].config, b"{}", "the config").unwrap();
    let finding = |binding, pointer: &str| Finding {
        severity: Severity::Error,
        code: "files.path.missing".into(),
        binding,
        pointer: pointer.into(),
        message: format!("cannot open {SECRET}"),
        suggestion: "make it".into(),
    };
    let found = catalog.findings(
        "t",
        &[finding(None, "/list/1"), finding(Some(0), "/glob"), finding(None, "/url"), finding(None, "")],
        [&typed],
    );
    assert!(!found.to_string().contains("hunter2") && found.to_string().contains("cannot open ${PW}"), "{found}");
    let mut places: Vec<&str> = found.iter().map(|one| catalog.source().slice(one.span)).collect();
    places.sort_unstable();
    assert_eq!(places, ["\"${PW}\"", "\"*\"", "config", "y"]);
    // Deeper than what is written, and bindings that are not there: as near as it can be said.
    assert_eq!(catalog.source().slice(catalog.locate("t", None, "/list/7/x")), "list");
    assert_eq!(catalog.source().slice(catalog.locate("t", Some(9), "")), "t");
}

#[test]
fn anchors_and_merges_are_written_out() {
    let text = FLIGHTS
        .replace("config: { path: ./data,", "config: &shared { path: ./data,")
        .replace("config: { path: ./out, format: jsonl }", "config: { <<: *shared, format: jsonl }");
    let catalog = load_text(&text).unwrap();
    let typed = catalog.typed(&catalog.materializations[1].config, b"{}", "the config").unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&typed.json).unwrap(),
        json!({"format": "jsonl", "path": "./data", "null_values": ["NA", ""]})
    );
}

#[test]
fn aliases_of_aliases_cannot_fill_the_memory() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let above = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [above.as_str(); 10].join(", ")));
    }
    let found = load_text(&text).unwrap_err();
    assert!(found.to_string().contains("more than"), "{found}");
}

#[test]
fn all_mistakes_of_a_file_are_shown_at_once_in_its_order() {
    let text = FLIGHTS
        .replace("connector: files", "conector: files")
        .replace("[/faa]", "[faa]")
        .replace("delta_updates: true", "delta_updates: 1");
    let found = load_text(&text).unwrap_err();
    let codes: Vec<&str> = found.iter().map(|one| one.code.as_ref()).collect();
    assert_eq!(codes, ["catalog.endpoint", "catalog.unknown-key", "collection.key", "catalog.wrong-type"]);
}

#[test]
fn discover_may_read_what_run_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    std::fs::write(&path, "captures: { t: { connector: files } }\n").unwrap();
    assert!(load(&path, Values::of_this_process()).is_err());
    let catalog = load_unfinished(&path, Values::of_this_process()).unwrap();
    assert!(catalog.captures[0].bindings.is_empty());
    assert!(
        load(Path::new("/nonexistent/a.yaml"), Values::of_this_process())
            .unwrap_err()
            .to_string()
            .contains("file.unreadable")
    );
}

#[test]
fn a_missing_setting_points_at_the_key_above_it() {
    let found = typed("{ }", json!({"required": ["path"], "properties": {"path": {"type": "string", "description": "Where the files are. More."}}})).unwrap_err();
    let one = found.iter().next().unwrap();
    assert!(
        found
            .to_string()
            .contains("config: { }\n   |     ^^^^^^\n  help: add `path: some text`: Where the files are\n"),
        "{found}"
    );
    assert_eq!(one.code, "config.missing-key");
}

/// Whatever the text is, it is a catalog or a list of mistakes that can be shown, and no secret is in what is shown.
#[test]
fn a_fuzzed_catalog_is_read_or_its_mistakes_are_told() {
    let fuzz = longshore_fuzz::Fuzz::new("catalog", env!("CARGO_MANIFEST_DIR"))
        .input(FLIGHTS)
        .input(FLIGHTS.replace('\n', "\r\n"))
        .words([
            "captures:",
            "collections:",
            "materializations:",
            "  ",
            "\n",
            "\t",
            ": ",
            "- ",
            "{",
            "}",
            "[",
            "]",
            "&a ",
            "*a",
            "<<: *a",
            "!!str ",
            "|-\n",
            ">\n",
            "\"",
            "'",
            "#",
            "${PW}",
            "${",
            "${PW:-x}",
            "sops:",
            "image:",
            "schema: { $ref: '#' }",
            "key: [/a]",
            "on_conflict:",
            "every: 5m",
            "\u{feff}",
            "\u{1f600}",
            "...\n---\n",
            "%YAML 1.2\n",
        ]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("longshore.yaml");
    fuzz.one_in(4).run(|bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let values = Values::new(Arc::new(|name: &str| (name == "PW").then(|| SECRET.to_owned())));
        match draft(&path, text, values) {
            Ok(catalog) => (catalog.captures.len(), catalog.materializations.len(), String::new()),
            Err(found) => {
                let told = found.to_string();
                assert!(!told.is_empty() && !told.contains("hunter2"), "{told}");
                (0, 0, told.chars().filter(|c| !c.is_ascii_digit()).take(80).collect())
            }
        }
    });
}
