//! Which values of a document a binding keeps and under which names, decided once for all connectors. A pure function of the collection's
//! schema and key, what the user wrote, what the destination says of names, and what was decided before: a name once given to a field never
//! goes to another one, and a field keeps its name until the user gives it another.
//!
//! Here the choice is made; [`names`] makes names legal and keeps them apart, [`split`] gives values of several types fields of their own.
//! What the user wrote is read by [`crate::catalog`]; the result is part of the spec that is durable with the task.

mod names;
mod split;
#[cfg(test)]
mod tests;

use longshore_proto::selection::{Field, JsonType, Selection, natural_name, standard_pointers};
use longshore_proto::session::Collection;
use longshore_proto::{Error, materialize::message::Spec};
use serde_json::Value;

use crate::catalog::{Code, Diagnostic, FieldsDecl, OnConflict};

use names::Names;

/// A field as it was once kept: what later decisions go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// JSON pointer.
    pub pointer: String,
    /// Its name.
    pub name: String,
    /// Types it had; empty: any.
    pub types: Vec<JsonType>,
}

impl From<Field> for Given {
    fn from(Field { pointer, name, types }: Field) -> Self {
        Self { pointer, name, types }
    }
}

impl From<Given> for Field {
    fn from(Given { pointer, name, types }: Given) -> Self {
        Self { pointer, name, types }
    }
}

/// What a destination asks of names.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Greatest length.
    pub max_bytes: Option<usize>,
    /// Names that differ only in case are one.
    pub case_insensitive: bool,
    /// May not stand in a name.
    pub forbidden: String,
    /// May not be a name.
    pub reserved: Vec<String>,
    /// Delta bindings keep `_meta` by themselves.
    pub keeps_meta: bool,
}

impl Rules {
    /// As a connector says them.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        Self {
            max_bytes: spec.identifier_max_bytes.and_then(|bytes| usize::try_from(bytes).ok()),
            case_insensitive: spec.identifier_case_insensitive,
            forbidden: spec.identifier_forbidden_characters.clone(),
            reserved: spec.reserved_field_names.clone(),
            keeps_meta: spec.keeps_meta,
        }
    }
}

/// A binding whose fields are to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// With key and schema.
    pub collection: &'a Collection,
    /// What the user wrote.
    pub fields: &'a FieldsDecl,
    /// And about types that change.
    pub on_conflict: OnConflict,
    /// Every document is kept.
    pub delta_updates: bool,
    /// All that this binding ever kept in this life of it, the newest decision last; nothing for one that starts over.
    pub before: &'a [Given],
}

/// What was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// What is kept now.
    pub selection: Selection,
    /// All that was ever kept, and is to be remembered.
    pub given: Vec<Given>,
}

/// Why nothing could be decided.
#[derive(Debug)]
pub enum Undecided {
    /// What the user wrote cannot be.
    Wrong(Vec<Diagnostic>),
    /// `on_conflict: stop`, and a type changed.
    Conflict(Box<Error>),
}

/// A field to be: its pointer, the types of its values, and what tells its name apart from that of the other fields of its pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    pointer: String,
    types: Vec<JsonType>,
    suffix: String,
}

/// Decides.
///
/// # Errors
/// What the user has to change, or the conflict that stops the task.
pub fn resolve(wanted: Wanted<'_>, rules: &Rules) -> Result<Resolved, Undecided> {
    let Wanted { collection, fields, before, .. } = wanted;
    let schema: Value = serde_json::from_slice(&collection.schema_json).unwrap_or(Value::Null);
    let mut wrong = fields.misfits(&collection.name, &collection.key, &schema);
    let pointers = pointers(wanted, &schema, rules, &mut wrong);
    let mut parts = Vec::new();
    for pointer in &pointers {
        let is_key = collection.key.contains(pointer);
        parts.extend(
            split::parts(pointer, is_key, wanted, &schema).map_err(|error| Undecided::Conflict(Box::new(error)))?,
        );
    }
    let mut names = Names::new(rules);
    names.choose(fields, &parts, &mut wrong);
    if !wrong.is_empty() {
        return Err(Undecided::Wrong(wrong));
    }
    let fields_kept = names.give(parts, before);
    let selection = Selection {
        fields: fields_kept,
        document: fields.document.as_ref().map(|(name, _)| name.clone()),
        chosen: fields.chooses(),
    };
    let given = remembered(before, &selection.fields);
    Ok(Resolved { selection, given })
}

/// Pointers of what is kept, in order.
fn pointers(wanted: Wanted<'_>, schema: &Value, rules: &Rules, wrong: &mut Vec<Diagnostic>) -> Vec<String> {
    let Wanted { collection, fields, delta_updates, .. } = wanted;
    let mut pointers = standard_pointers(schema, &collection.key, delta_updates && rules.keeps_meta);
    if let Some(include) = &fields.include {
        let is_listed = |pointer: &String| include.fields.iter().any(|field| field.pointer == *pointer);
        pointers.retain(|pointer| include.all || collection.key.contains(pointer) || is_listed(pointer));
        for field in &include.fields {
            if !pointers.contains(&field.pointer) {
                pointers.push(field.pointer.clone());
            }
        }
    }
    for field in &fields.exclude {
        if !pointers.contains(&field.pointer) && field.pointer.matches('/').count() > 1 {
            let message = format!(
                "`exclude`: `{}` lies inside of a field, and a field is kept as one JSON value or not at all",
                field.written
            );
            let help =
                "exclude the whole field, and include what is to be kept of it: `include: [\"*\", /address/city]`";
            wrong.push(Diagnostic::error(Code::FieldsPointer, field.span, message, help));
        }
    }
    pointers.retain(|pointer| fields.exclude.iter().all(|field| field.pointer != *pointer));
    pointers
}

/// What is kept now last, each once.
fn remembered(before: &[Given], now: &[Field]) -> Vec<Given> {
    let is_now = |old: &Given| now.iter().any(|field| field.pointer == old.pointer && field.name == old.name);
    before.iter().filter(|old| !is_now(old)).cloned().chain(now.iter().cloned().map(Given::from)).collect()
}

/// The fields whose names are not those they have in documents, for people: from where, to what.
pub fn renamed(selection: &Selection) -> impl Iterator<Item = &Field> {
    selection.fields.iter().filter(|field| field.name != natural_name(&field.pointer))
}
