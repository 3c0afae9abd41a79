//! Scenes with the connector `verbatim`: documents in a file, a catalog that takes them into SQLite and into files, and what arrived.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::destination;
use crate::scene::Scene;

/// Between two documents in the file.
pub const SEPARATOR: &[u8] = b"\x1e";

/// How a scene's catalog is written.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// What stands behind the key of the collection, such as `validation: infer`.
    pub collection: String,
    /// What stands behind the binding's collection.
    pub on_violation: &'static str,
    /// What the table's binding does with what does not fit it.
    pub on_conflict: &'static str,
    /// Of the connector's config.
    pub per_checkpoint: usize,
    /// Of the connector's config.
    pub pace_ms: u64,
}

impl Catalog {
    /// Of a collection that says this of itself; violations become dead letters.
    #[must_use]
    pub fn of(collection: &str) -> Self {
        let collection = collection.to_owned();
        Self { collection, on_violation: "dead_letter", on_conflict: "widen", per_checkpoint: 3, pace_ms: 0 }
    }

    /// Writes it as `longshore.yaml`.
    pub fn write(&self, scene: &Scene) {
        let Self { collection, on_violation, on_conflict, per_checkpoint, pace_ms } = self;
        let text = format!(
            "captures:
  in:
    command: [verbatim]
    config: {{ path: in.txt, per_checkpoint: {per_checkpoint}, pace_ms: {pace_ms} }}
    bindings:
      - {{ resource: {{ stream: s }}, collection: t/a, on_violation: {on_violation} }}
collections:
  t/a: {{ key: [/id], {collection} }}
materializations:
  table:
    connector: sqlite
    config: {{ path: ./out.db }}
    bindings: [{{ collection: t/a, resource: {{ table: a }}, on_conflict: {on_conflict} }}]
  log:
    connector: files
    config: {{ path: ./out, format: jsonl }}
    bindings: [{{ collection: t/a, resource: {{ name: a }}, delta_updates: true }}]
"
        );
        scene.write("longshore.yaml", text);
    }
}

/// Writes the source's documents.
pub fn source<D: AsRef<[u8]>>(scene: &Scene, documents: &[D]) {
    let documents: Vec<&[u8]> = documents.iter().map(AsRef::as_ref).collect();
    scene.write("in.txt", documents.join(SEPARATOR));
}

/// The letters that wait, as `dlq list --json` prints them.
#[must_use]
pub fn letters(scene: &Scene) -> Vec<Value> {
    scene.longshore(["dlq", "list", "--json"]).expect_code(0).objects("letter")
}

/// How often each id arrived: in the table, and in the files.
///
/// # Panics
/// If a document that arrived has no id.
#[must_use]
pub fn arrived(scene: &Scene) -> (i64, BTreeMap<i64, u64>) {
    let mut log = BTreeMap::new();
    for document in destination::documents(&scene.join("out/a")) {
        *log.entry(document["id"].as_i64().expect("an id")).or_default() += 1;
    }
    (destination::number(&scene.join("out.db"), "SELECT count(*) FROM a"), log)
}
