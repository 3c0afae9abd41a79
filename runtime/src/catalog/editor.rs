//! The JSON Schema of catalogs, for editors. Which keys there are is said where they are read ([`Keys`]); here each has what it is for, in one
//! place, and what its value looks like. A test holds the two together.
//!
//! It is a guide: what a schema cannot see (names that lead nowhere, variables that are not set, what only a connector knows) is for
//! `longshore check`, and what `check` accepts, this accepts.

use serde_json::{Map, Value, json};

use super::collections::{COLLECTION, RETENTIONS, VALIDATIONS};
use super::endpoint::{TLS, WAYS, WITH_ADDRESS};
use super::fields::Keys;
use super::image::{LIMITS, MOUNT, NETWORK, WITH_IMAGE};
use super::loosened;
use super::resolve::{CAPTURE, CAPTURE_BINDING, MATERIALIZATION, MATERIALIZATION_BINDING, ON_VIOLATION, ROOT};
use super::selection::{CONFLICT_WORDS, FIELDS, TRUNCATE_WORDS};
use crate::connector::Kind;

/// A connector that a catalog can name, and the schemas of what it takes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which half it speaks.
    pub kind: Kind,
    /// As a catalog names it.
    pub name: String,
    /// Of its config.
    pub config: Value,
    /// Of a resource.
    pub resource: Value,
}

/// A key: what it is for, and what its value looks like.
pub(super) struct Part {
    pub(super) key: &'static str,
    about: &'static str,
    value: Value,
}

/// A mapping of the catalog.
pub(super) struct Mapping {
    /// Such as "capture binding".
    pub(super) name: &'static str,
    pub(super) keys: Keys,
    pub(super) parts: Vec<Part>,
    required: &'static [&'static str],
}

/// The schema of a whole catalog.
#[must_use]
pub fn editor_schema(connectors: &[Settings]) -> Value {
    let mut defs = Map::new();
    for mapping in mappings() {
        defs.insert(in_defs(mapping.name), mapping.schema());
    }
    for (kind, of) in [(Kind::Capture, "capture"), (Kind::Materialize, "materialization")] {
        let of_kind: Vec<&Settings> = connectors.iter().filter(|one| one.kind == kind).collect();
        let task = &mut defs[of];
        let choices: Vec<&str> = of_kind.iter().map(|one| one.name.as_str()).collect();
        let name = json!({ "type": "string", "pattern": "^(?!capture-|materialize-)[a-z0-9-]+$" });
        // A list of choices has one at least.
        let offered = (!choices.is_empty()).then(|| json!({ "enum": choices }));
        task["properties"]["connector"]["anyOf"] = offered.into_iter().chain([name]).collect();
        task["oneOf"] = WAYS.iter().map(|way| json!({ "required": [way] })).collect();
        let with =
            |keys: &[&str], way: &str| keys.iter().map(|key| ((*key).to_owned(), json!([way]))).collect::<Map<_, _>>();
        task["dependentRequired"] =
            with(&WITH_ADDRESS, "address").into_iter().chain(with(&WITH_IMAGE, "image")).collect::<Map<_, _>>().into();
        if !of_kind.is_empty() {
            task["allOf"] = of_kind.iter().flat_map(|one| with_settings(one)).collect();
        }
        for one in of_kind {
            for (what, schema) in [("config", &one.config), ("resource", &one.resource)] {
                let place = place(one, what);
                defs.insert(place.clone(), loosened::loosened(schema, &format!("#/$defs/{place}")));
            }
        }
    }
    let mut root = defs.remove(&in_defs("the catalog")).unwrap_or_default();
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Longshore catalog");
    root["$defs"] = defs.into();
    root
}

/// What a key is for: in editors, and in catalogs that are written for people.
#[must_use]
pub fn about(mapping: &str, key: &str) -> &'static str {
    let mappings = mappings().into_iter().filter(|one| one.name == mapping);
    mappings.flat_map(|one| one.parts).find(|part| part.key == key).map_or("", |part| part.about)
}

/// The keys of a mapping, and what each is for.
#[must_use]
pub fn keys(mapping: &str) -> Vec<(&'static str, &'static str)> {
    let known = |part: &Part, keys: Keys| keys.known.contains(&part.key);
    let of = mappings().into_iter().filter(|one| one.name == mapping);
    of.flat_map(|one| one.parts.into_iter().filter(move |part| known(part, one.keys)))
        .map(|part| (part.key, part.about))
        .collect()
}

fn place(one: &Settings, what: &str) -> String {
    format!("{}-{}.{what}", one.kind.prefix(), one.name)
}

/// What a task with this connector has in its config and its resources.
fn with_settings(one: &Settings) -> [Value; 2] {
    let of = |what| json!({ "$ref": format!("#/$defs/{}", place(one, what)) });
    let needs_config = one.config["required"].as_array().is_some_and(|keys| !keys.is_empty());
    let required = if needs_config { json!(["config"]) } else { json!([]) };
    // Nothing written is an empty config.
    let config = if needs_config { of("config") } else { json!({ "anyOf": [{ "type": "null" }, of("config")] }) };
    let is_it = json!({ "connector": { "const": one.name } });
    [
        json!({
            // With a connection, what is written here may be a part.
            "if": { "properties": is_it, "required": ["connector"], "not": { "required": ["connection"] } },
            "then": { "required": required, "properties": { "config": config } },
        }),
        json!({
            "if": { "properties": is_it, "required": ["connector"] },
            "then": { "properties": { "bindings": { "items": { "properties": { "resource": of("resource") } } } } },
        }),
    ]
}

impl Mapping {
    fn schema(self) -> Value {
        let mut properties = Map::new();
        for key in self.keys.known {
            // A key that has no part yet is taken as it is; a test says so.
            let mut schema = json!({});
            if let Some(part) = self.parts.iter().find(|part| part.key == *key) {
                schema = part.value.clone();
                schema["description"] = json!(part.about);
            }
            properties.insert((*key).to_owned(), schema);
        }
        // Nothing written is an empty mapping.
        let kind = if self.required.is_empty() { json!(["object", "null"]) } else { json!("object") };
        json!({
            "type": kind,
            "additionalProperties": false,
            "properties": properties,
            "required": self.required,
        })
    }
}

/// All mappings whose keys are the catalog's own.
pub(super) fn mappings() -> Vec<Mapping> {
    let mapping = |name, keys, required, parts| Mapping { name, keys, required, parts };
    vec![
        mapping("the catalog", ROOT, &[], root()),
        mapping("capture", CAPTURE, &[], task("capture")),
        mapping("materialization", MATERIALIZATION, &["bindings"], task("materialization")),
        mapping("capture binding", CAPTURE_BINDING, &["resource", "collection"], capture_binding()),
        mapping(
            "materialization binding",
            MATERIALIZATION_BINDING,
            &["collection", "resource"],
            materialization_binding(),
        ),
        mapping("collection", COLLECTION, &[], collection()),
        mapping("fields", FIELDS, &[], fields()),
        mapping("tls", TLS, &["ca_file", "cert_file", "key_file"], tls()),
        mapping("mount", MOUNT, &["path", "at"], mount()),
        mapping("limits", LIMITS, &[], limits()),
        mapping("network", NETWORK, &["allow"], network()),
    ]
}

fn part(key: &'static str, about: &'static str, value: Value) -> Part {
    Part { key, about, value }
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn list(items: &Value) -> Value {
    json!({ "type": ["array", "null"], "items": items })
}

fn list_of_some(items: &Value) -> Value {
    json!({ "type": "array", "items": items, "minItems": 1, "uniqueItems": true })
}

fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    json!({ "enum": words.into_iter().collect::<Vec<_>>() })
}

fn mapping_of(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{}", in_defs(name)) })
}

/// A reference is a URI, which has no spaces.
fn in_defs(name: &str) -> String {
    name.replace(' ', "-")
}

/// Entries by names of the user's.
fn named(of: &Value) -> Value {
    let names = json!({ "pattern": "^[a-z0-9][a-z0-9_./-]{0,254}$", "not": { "pattern": r"(^|/)\.{0,2}(/|$)" } });
    json!({ "type": ["object", "null"], "propertyNames": names, "additionalProperties": of })
}

fn root() -> Vec<Part> {
    let collection = json!({ "anyOf": [mapping_of("collection"), { "type": "null" }] });
    vec![
        part("production", "Images are named by digest only.", boolean()),
        part("captures", "Where documents come from: each a task with a connector.", named(&mapping_of("capture"))),
        part("collections", "What the journal keeps of them: each a set of documents with a key.", named(&collection)),
        part(
            "materializations",
            "Where documents go: each a task with a connector.",
            named(&mapping_of("materialization")),
        ),
        part("connections", "Configs that several tasks share, by name.", named(&json!({ "type": "object" }))),
    ]
}

fn task(of: &str) -> Vec<Part> {
    let binding = mapping_of(&format!("{of} binding"));
    let time = json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" });
    let (bindings, when) = match of {
        "capture" => (
            "Each resource of the source, and the collection that it fills.",
            part(
                "schedule",
                "When the capture is asked again after it has caught up: a time such as 5m, or a cron pattern in UTC such as \"30 3 * * *\".",
                text(),
            ),
        ),
        _ => (
            "Each collection, and the resource of the destination that it fills.",
            part("every", "How long documents wait for a commit, such as 5m.", time),
        ),
    };
    vec![
        part("connector", "One of the connectors that are here: `longshore connector list`.", json!({})),
        part("image", "The connector as a container of this image.", text()),
        part(
            "command",
            "The connector as a program of your own, with its arguments.",
            json!({ "type": "array", "minItems": 1, "items": loosened::any_text() }),
        ),
        part("address", "A connector that somebody else runs: unix:PATH, http:// on loopback, or https://.", text()),
        part("token_file", "With `address`: the file that holds the token every call carries.", text()),
        part("tls", "With `address: https://…`: what the two ends show each other.", mapping_of("tls")),
        part("mounts", "With `image`: what of this host the container sees.", list(&mapping_of("mount"))),
        part("limits", "With `image`: what the container may use.", mapping_of("limits")),
        part("network", "What the connector may reach.", mapping_of("network")),
        part("sandbox", "Start the connector only where all parts of a sandbox hold it.", one_of(["required"])),
        part(
            "config",
            "The connector's settings: `longshore connector spec NAME`.",
            json!({ "type": ["object", "null"] }),
        ),
        part("bindings", bindings, list(&binding)),
        part("connection", "The name of one of `connections`, whose settings the config begins with.", text()),
        when,
    ]
}

fn capture_binding() -> Vec<Part> {
    vec![
        part("resource", "What of the source it is, in the connector's words.", json!({ "type": "object" })),
        part("collection", "The collection that it fills.", loosened::any_text()),
        part(
            "on_violation",
            "What becomes of a document that does not fit its collection.",
            one_of(ON_VIOLATION.map(|(word, _)| word)),
        ),
        part(
            "columns",
            "The columns that are captured; those of the key always are.",
            list_of_some(&loosened::any_text()),
        ),
    ]
}

fn materialization_binding() -> Vec<Part> {
    vec![
        part("collection", "The collection that fills it.", loosened::any_text()),
        part("resource", "What of the destination it is, in the connector's words.", json!({ "type": "object" })),
        part("delta_updates", "Every document in order is kept, instead of one row a key.", boolean()),
        part(
            "fields",
            "Which fields are kept, under which names; without it the key and all top-level fields.",
            mapping_of("fields"),
        ),
        part(
            "on_conflict",
            "What is done when the type of a field changes, or the destination refuses a document.",
            one_of(CONFLICT_WORDS),
        ),
        part("on_truncate", "What is done where the source emptied the collection at once.", one_of(TRUNCATE_WORDS)),
    ]
}

fn collection() -> Vec<Part> {
    let pointer = json!({ "type": "string", "pattern": "^(?=/.)(/([^/~]|~[01])*)+$" });
    vec![
        part(
            "key",
            "JSON pointers to the fields that tell one row from another; without it the key that the source has.",
            json!({ "type": ["array", "null"], "minItems": 1, "uniqueItems": true, "items": pointer }),
        ),
        part(
            "schema",
            "JSON Schema 2020-12 of its documents; without it what the source states.",
            json!({ "type": ["object", "null"] }),
        ),
        part(
            "validation",
            "What is done with a document that does not fit the schema.",
            one_of(VALIDATIONS.map(|(word, _)| word)),
        ),
        part("retention", "How long the journal keeps its documents.", one_of(RETENTIONS.map(|(word, _)| word))),
    ]
}

fn fields() -> Vec<Part> {
    let names = list(&loosened::any_text());
    vec![
        part("include", "These and the key alone; \"*\" is what is kept by default.", names.clone()),
        part("exclude", "All but these.", names),
        part(
            "rename",
            "Names for fields.",
            json!({ "type": ["object", "null"], "additionalProperties": loosened::any_text() }),
        ),
        part("document", "The whole document too, under this name.", loosened::any_text()),
    ]
}

fn tls() -> Vec<Part> {
    vec![
        part("ca_file", "The authority that both certificates come from.", text()),
        part("cert_file", "The certificate that is shown.", text()),
        part("key_file", "Its key.", text()),
    ]
}

fn mount() -> Vec<Part> {
    vec![
        part("path", "A folder or file of this host, relative to the catalog.", loosened::any_text()),
        part("at", "Where the container sees it: an absolute path.", json!({ "type": "string", "pattern": "^/." })),
        part("read_only", "It may not be written.", boolean()),
    ]
}

fn limits() -> Vec<Part> {
    let size = || json!({ "type": "string", "pattern": "^[0-9]+ *(KiB|MiB|GiB|kB|MB|GB)$" });
    let number = || json!({ "type": ["number", "string"] });
    vec![
        part("memory", "With its unit, such as 256MiB.", size()),
        part("cpus", "A number of processors, such as 0.5.", number()),
        part("pids", "A number of processes.", number()),
        part("tmpfs", "Of its /tmp, with its unit, such as 64MiB.", size()),
    ]
}

fn network() -> Vec<Part> {
    let pair = json!({ "type": "string", "pattern": r"^[^/*]+:[0-9]+$|\$\{" });
    vec![part("allow", "Hosts with their ports, such as db.example:5432; an empty list is no network.", list(&pair))]
}
