//! Mistakes people make in catalogs, one a file in `mistakes/`: each is found at a place, shown with a picture, and comes with a way out.
//!
//! The first line of a file names the code it must give. A config is typed by the schemas below, which stand in for a connector's; the whole
//! output is kept as a snapshot, because a change of it is a change that users see.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore::catalog::{self, Catalog, Code, Diagnostics, Paint, Values};
use serde_json::json;

/// Stands for any secret: must appear nowhere.
const SECRET: &str = "s3cr3t-4711";

fn values() -> Values {
    Values::new(Arc::new(|name: &str| (name == "SECRET_WORD").then(|| SECRET.to_owned())))
}

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")
}

/// A config with everything a connector's schema may have: nested alternatives, an enum written as such, secrets, ranges.
fn config_schema() -> String {
    let kind = |kind: &str, more: serde_json::Value| {
        let mut properties = more;
        properties["kind"] = json!({"const": kind});
        json!({"type": "object", "properties": properties, "required": ["kind"], "additionalProperties": false})
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["path", "format"],
        "properties": {
            "path": {"type": "string", "description": "Directory of the files. Relative to the catalog.", "examples": ["./data"]},
            "format": {"$ref": "#/$defs/Format"},
            "header": {"type": ["boolean", "null"], "description": "The first line names the columns."},
            "null_values": {"type": "array", "items": {"type": "string"}, "examples": [["NA", ""]]},
            "rows_at_most": {"type": ["integer", "null"], "minimum": 1},
            "password": {"type": "string", "writeOnly": true},
            "compression": {"anyOf": [{"$ref": "#/$defs/Compression"}, {"type": "null"}]},
        },
        "$defs": {
            "Format": {"description": "How records are written.", "oneOf": [{"const": "csv", "description": "Commas."}, {"enum": ["tsv", "jsonl"]}]},
            "Compression": {"oneOf": [kind("gzip", json!({})), kind("zstd", json!({"level": {"type": "integer"}}))]},
        },
    })
    .to_string()
}

fn resource_schema() -> String {
    json!({
        "type": "object", "additionalProperties": false, "required": ["glob"],
        "properties": {"glob": {"type": "string", "description": "Files below the path", "examples": ["*.csv"]}},
    })
    .to_string()
}

/// Everything that `check` would find without the connector's own opinion.
fn check(path: &Path) -> Result<Catalog, Diagnostics> {
    let catalog = catalog::load(path, values())?;
    let mut found = catalog.warnings.clone();
    for capture in &catalog.captures {
        let what = format!("the config of capture `{}`", capture.name);
        let mut results = vec![catalog.typed(&capture.config, config_schema().as_bytes(), &what)];
        for (at, binding) in capture.bindings.iter().enumerate() {
            if let Some(columns) = &binding.columns {
                let refused = columns.refused_by("capture-files", resource_schema().as_bytes());
                results.extend(refused.map(|one| Err(catalog.diagnostics(vec![one]))));
                continue;
            }
            let what = format!("the resource of binding {} of capture `{}`", at + 1, capture.name);
            results.push(catalog.typed(&binding.resource, resource_schema().as_bytes(), &what));
        }
        found = results.into_iter().filter_map(Result::err).fold(found, Diagnostics::and);
    }
    if found.has_errors() { Err(found) } else { Ok(catalog) }
}

#[test]
fn every_mistake_is_found_at_its_place_with_a_way_out() {
    // Snapshots hold the name of the file as the user typed it.
    std::env::set_current_dir(files()).unwrap();
    let mut names: Vec<String> =
        std::fs::read_dir(".").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".yaml"));
    names.sort();
    assert!(names.len() >= 40, "{} mistakes", names.len());
    for name in &names {
        let text = String::from_utf8_lossy(&std::fs::read(name).unwrap()).into_owned();
        let expected = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# expect "))
            .unwrap_or_else(|| panic!("{name} says no code"));
        let Err(found) = check(Path::new(name)) else { panic!("{name}: no mistake found") };
        let codes: Vec<&str> = found.iter().map(|one| one.code.as_ref()).collect();
        assert!(codes.contains(&expected), "{name}: expected {expected}, got {codes:?}\n{found}");
        let shown = found.render(Paint::Plain);
        for one in found.iter() {
            assert!(!one.help.trim().is_empty(), "{name}: {} has no suggestion", one.code);
            assert!(
                one.span.end > one.span.start || one.span.end >= text.trim_end().len() || expected == "file.empty",
                "{name}: {} has no place",
                one.code
            );
            assert!(Code::ALL.iter().any(|code| code.as_str() == one.code), "{name}: {} is not in the table", one.code);
        }
        let mut lines = shown.lines();
        assert!(
            lines.next().is_some_and(|line| line.starts_with("error[") || line.starts_with("warning[")),
            "{name}:\n{shown}"
        );
        assert!(lines.next().is_some_and(|line| line.starts_with(&format!("{name}:"))), "{name}:\n{shown}");
        assert!(!shown.contains(SECRET) && !found.json_lines().contains(SECRET), "{name} shows a secret:\n{shown}");
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.trim_end_matches(".yaml"), shown);
        });
    }
}
