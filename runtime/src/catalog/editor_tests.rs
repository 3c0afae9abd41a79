//! The schema for editors and the reader of catalogs say the same: about keys, and about mistakes.

use std::path::Path;

use serde_json::{Value, json};

use super::editor::{Settings, about, editor_schema, mappings};
use super::schema::Schema;
use super::source::Source;
use super::typed::untyped;
use super::yaml;
use crate::connector::Kind;

#[test]
fn every_key_that_is_read_is_described_and_no_other() {
    for mapping in mappings() {
        for key in mapping.keys.known {
            let described = mapping.parts.iter().filter(|part| part.key == *key).count();
            assert_eq!(described, 1, "`{key}` of {}: say in editor.rs what it is for", mapping.name);
            assert!(about(mapping.name, key).ends_with('.'), "`{key}` of {}: a sentence", mapping.name);
        }
        for part in &mapping.parts {
            assert!(mapping.keys.known.contains(&part.key), "`{}` of {} is not read any more", part.key, mapping.name);
        }
    }
}

/// What YAML's own rules make of a file; none: it is no YAML.
fn document(path: &Path) -> Option<Value> {
    let source = Source::new(path, std::fs::read_to_string(path).ok()?);
    let mut findings = Vec::new();
    let node = yaml::parse(&source, &mut findings)?;
    findings.is_empty().then(|| untyped(&node))
}

#[test]
fn mistakes_that_a_schema_can_see_are_seen() {
    let config = json!({"type": "object", "additionalProperties": false, "required": ["path", "format"], "properties": {
        "path": {"type": "string"}, "format": {"$ref": "#/$defs/Format"}, "header": {"type": ["boolean", "null"]},
        "null_values": {"type": "array", "items": {"type": "string"}}, "rows_at_most": {"type": ["integer", "null"], "minimum": 1},
        "password": {"type": "string", "secret": true}, "compression": {"type": ["object", "null"]},
    }, "$defs": {"Format": {"enum": ["csv", "tsv", "jsonl"]}}});
    let resource = json!({"type": "object", "additionalProperties": false, "required": ["glob"], "properties": {"glob": {"type": "string"}}});
    let files = Settings { kind: Kind::Capture, name: "files".into(), config, resource };
    let schema = Schema::compile(editor_schema(&[files])).map_err(|bad| bad.message).expect("a schema");
    // Every mistake of these kinds is one of shape.
    let always =
        ["catalog.unknown-key", "catalog.wrong-type", "catalog.name", "config.unknown-key", "config.missing-key"];
    let mut seen = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")).unwrap() {
        let path = entry.unwrap().path();
        let Some(document) = document(&path) else { continue };
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().next().and_then(|line| line.strip_prefix("# expect ")).unwrap_or_default().to_owned();
        let refused = !schema.violations(&document).is_empty();
        seen += usize::from(refused);
        // A schema of our own stands in for the connector's, without its nested settings.
        let name = path.to_string_lossy();
        // What a connection is for is only known where it is named.
        let nested = name.contains("nested") || name.contains("connection-setting");
        assert!(refused || nested || !always.contains(&code.as_str()), "{} is taken for right", path.display());
    }
    assert!(seen >= 40, "{seen} mistakes were seen");
}

#[test]
fn what_stands_in_a_catalog_may_look_otherwise_than_what_the_connector_gets() {
    let config = json!({"type": "object", "additionalProperties": false, "properties": {
        "port": {"type": "integer"}, "on": {"type": "boolean"}, "name": {"type": "string", "maxLength": 4},
        "format": {"$ref": "#/$defs/F"}, "password": {"type": "string", "description": "Of the user.", "secret": true},
    }, "$defs": {"F": {"enum": ["csv"]}}});
    let one = Settings { kind: Kind::Capture, name: "db".into(), config, resource: json!({}) };
    let json = editor_schema(&[one]);
    let password = &json["$defs"]["capture-db.config"]["properties"]["password"];
    assert_eq!(password["writeOnly"], true);
    assert_eq!(password["description"], "Of the user. A secret: write it as \"${NAME:?}\".");
    let schema = Schema::compile(json).map_err(|bad| bad.message).expect("a schema");
    let violations = |config: Value| {
        let catalog = json!({"captures": {"a": {"connector": "db", "config": config, "bindings": []}}});
        schema.violations(&catalog).len()
    };
    for right in [
        json!({"port": 1, "on": true, "name": "a", "format": "csv"}),
        json!({"port": "1", "on": "true", "name": 7, "format": "${F}"}),
        json!({"port": "${P:-1}", "on": "${ON}", "name": "${A_LONG_ONE}", "password": "${P:?}"}),
        json!(null),
    ] {
        assert_eq!(violations(right.clone()), 0, "{right}");
    }
    for wrong in [
        json!({"port": "x"}),
        json!({"on": "yes"}),
        json!({"name": "longer"}),
        json!({"format": "xml"}),
        json!({"prot": 1}),
    ] {
        assert!(violations(wrong.clone()) > 0, "{wrong}");
    }
}
