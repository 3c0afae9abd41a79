//! Which bindings are compared with which, and what of their rows.

use std::collections::BTreeSet;

use longshore_proto::Error;
use longshore_proto::key::parse_pointer;
use longshore_proto::selection::{JsonType, META_FIELD};
use longshore_proto::session::Binding;
use longshore_proto::verify::{ComparedValue, Likeness};
use serde_json::Value;

use crate::document::reduce::Reducer;

/// A binding of a materialization, and the bindings of captures that its rows come from.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The materialization.
    pub task: String,
    /// As it was applied last.
    pub destination: Binding,
    /// Captures and their bindings, as they were applied last.
    pub sources: Vec<(String, Binding)>,
    /// What is compared beside the key.
    pub values: Vec<ComparedValue>,
}

impl Subject {
    /// Of a materialization's binding; `captures` are all there are, with their bindings. The error is why it cannot be compared with its source.
    pub fn new(task: &str, destination: &Binding, captures: &[(String, Vec<Binding>)]) -> Result<Self, String> {
        if let Some(why) = not_a_copy(destination) {
            return Err(why);
        }
        let of_collection = |binding: &&Binding| binding.collection.name == destination.collection.name;
        let sources: Vec<(String, Binding)> = captures
            .iter()
            .flat_map(|(task, bindings)| {
                bindings.iter().filter(of_collection).map(|binding| (task.clone(), binding.clone()))
            })
            .collect();
        if sources.is_empty() {
            return Err("no capture of the catalog writes its collection any more".to_owned());
        }
        let values = values(destination).map_err(|error| error.message.clone())?;
        Ok(Self { task: task.to_owned(), destination: destination.clone(), sources, values })
    }

    /// Compares with documents of the journal: some may be of before a number became a text.
    pub fn compares_documents(&mut self) {
        let fields = &self.destination.selection.fields;
        for ComparedValue { pointer, likeness } in &mut self.values {
            let mut of_pointer = fields.iter().filter(|field| field.pointer == *pointer);
            if *likeness == Likeness::Value && of_pointer.any(|field| field.types.contains(&JsonType::String)) {
                *likeness = Likeness::Text;
            }
        }
    }

    /// Whether its documents are whole rows, so that the last one of a key is the row. A capture may say only what changed.
    #[must_use]
    pub fn is_of_whole_rows(&self) -> bool {
        matches!(Reducer::compile(&self.destination.collection.schema_json), Ok(None))
    }

    /// Its collection.
    #[must_use]
    pub fn collection(&self) -> &str {
        &self.destination.collection.name
    }

    /// As a person names it: the task, or with its collection or its resource.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        is_named(&self.task, &self.destination, name)
    }
}

/// The same of a binding that cannot be compared.
#[must_use]
pub fn is_named(task: &str, binding: &Binding, name: &str) -> bool {
    let Some(rest) = name.strip_prefix(task) else { return false };
    match rest.strip_prefix('/') {
        None => rest.is_empty(),
        Some(of) => of == binding.collection.name || of == binding.resource_path.join("/"),
    }
}

/// Why a destination does not have the rows of its source by design; none: it has.
fn not_a_copy(destination: &Binding) -> Option<String> {
    if destination.delta_updates {
        return Some("a delta binding keeps every document, and its source only the rows there are now".to_owned());
    }
    let reducer = Reducer::compile(&destination.collection.schema_json).ok().flatten();
    let is_reduced = reducer.is_some_and(|reducer| !reducer.is_of_last_fields());
    is_reduced
        .then(|| "its collection is reduced by more than the last values, and rows of the source are not".to_owned())
}

/// The values that both ends have: those that the destination keeps, but for the key, and for what a capture says of a change.
fn values(destination: &Binding) -> Result<Vec<ComparedValue>, Error> {
    let schema: Value = serde_json::from_slice(&destination.collection.schema_json)
        .map_err(|error| Error::internal("verify.schema", format!("reading a collection's schema: {error}")))?;
    let mut seen: BTreeSet<&str> = destination.collection.key.iter().map(String::as_str).collect();
    let mut values = Vec::new();
    for field in &destination.selection.fields {
        let path = parse_pointer(&field.pointer).unwrap_or_default();
        if path.first().is_none_or(|name| name == META_FIELD) || !seen.insert(&field.pointer) {
            continue;
        }
        let of_pointer = destination.selection.fields.iter().filter(|other| other.pointer == field.pointer);
        let types: Vec<JsonType> = of_pointer.flat_map(|other| other.types.iter().copied()).collect();
        let likeness = likeness(&types, format(&schema, &path));
        values.push(ComparedValue { pointer: field.pointer.clone(), likeness });
    }
    Ok(values)
}

fn likeness(types: &[JsonType], format: Option<&str>) -> Likeness {
    use JsonType::{Boolean, Integer, Number, String};
    let has_text = types.contains(&String);
    let has_other = types.iter().any(|of| matches!(of, Boolean | Integer | Number));
    match format {
        // What was a number once and may be a text now is kept as a text.
        _ if has_text && has_other => Likeness::Text,
        Some("date-time") if has_text => Likeness::Moment,
        Some(format) if format.starts_with("pg:numeric") => Likeness::Exact,
        Some(_) | None => Likeness::Value,
    }
}

fn format<'s>(schema: &'s Value, path: &[String]) -> Option<&'s str> {
    let of = path.iter().try_fold(schema, |schema, name| schema.get("properties")?.get(name))?;
    of.get("format")?.as_str()
}
