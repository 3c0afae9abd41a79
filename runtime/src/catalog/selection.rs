//! `fields` and `on_conflict` of a materialization binding: which fields the user wants kept, under which names, and what is to be done when
//! the type of one changes. What that comes to, with a schema and a destination's rules for names, is [`crate::selection`]'s to say.

use std::collections::BTreeSet;

use longshore_proto::key::parse_pointer;
use longshore_proto::selection::{META_FIELD, pointer_to};
use serde_json::Value as Json;

use super::advice::{did_you_mean, one_of};
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::fields::{Fields, Keys, entries, fields, list, text};
use super::node::Node;
use super::source::Span;

pub(super) const FIELDS: Keys = Keys {
    known: &["include", "exclude", "rename", "document"],
    example: "`fields: { exclude: [note], rename: { id: order_id } }`",
};
pub(super) const CONFLICT_WORDS: [&str; 4] = ["widen", "split", "stop", "dead_letter"];
pub(super) const TRUNCATE_WORDS: [&str; 3] = ["truncate", "ignore", "stop"];
/// In `include`: all that is kept where nobody chooses.
const ALL: &str = "*";

/// What the user says about the fields of a materialization binding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldsDecl {
    /// These and the key alone.
    pub include: Option<Include>,
    /// All but these.
    pub exclude: Vec<NamedField>,
    /// These under other names.
    pub rename: Vec<(NamedField, String)>,
    /// The whole document too, under this name.
    pub document: Option<(String, Span)>,
}

/// What the user wants kept beside the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Include {
    /// `*`: all that is kept where nobody chooses, and the others too.
    pub all: bool,
    /// In the order written.
    pub fields: Vec<NamedField>,
}

/// A field, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedField {
    /// JSON pointer.
    pub pointer: String,
    /// As it is written.
    pub written: String,
    /// Where.
    pub span: Span,
}

/// What is done when the values of a field get a type that its column was not made for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// The destination makes the column wider.
    #[default]
    Widen,
    /// A further column for values of the further type.
    Split,
    /// The task stops.
    Stop,
    /// The column stays as it is, and what the destination refuses becomes a dead letter.
    DeadLetter,
}

/// What is done where the source emptied a collection at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnTruncate {
    /// The destination's resource is emptied, in the transaction that passes it; where it cannot be, the task stops.
    #[default]
    Truncate,
    /// The rows stay.
    Ignore,
    /// The task stops.
    Stop,
}

impl FieldsDecl {
    /// Whether anything is said.
    #[must_use]
    pub fn chooses(&self) -> bool {
        *self != Self::default()
    }

    /// Every field that is named somewhere.
    fn named(&self) -> impl Iterator<Item = &NamedField> {
        let included = self.include.iter().flat_map(|include| &include.fields);
        included.chain(&self.exclude).chain(self.rename.iter().map(|(field, _)| field))
    }

    /// What the key and the schema of the collection rule out.
    #[must_use]
    pub fn misfits(&self, collection: &str, key: &[String], schema: &Json) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        for field in self.exclude.iter().filter(|field| key.contains(&field.pointer)) {
            let message =
                format!("`exclude`: `{}` is a part of the key of `{collection}`, which is always kept", field.written);
            let help = "take it out of `exclude`; it can be named otherwise with `rename`";
            findings.push(Diagnostic::error(Code::FieldsKey, field.span, message, help));
        }
        for field in self.named() {
            if key.contains(&field.pointer) {
                continue;
            }
            if let Some((known, near)) = unknown(schema, &field.pointer) {
                let message = format!("`{}` leads to nothing in the schema of `{collection}`", field.written);
                let known = format!("there it has {}", one_of(known.iter().map(String::as_str)));
                let help = near.map_or_else(|| known.clone(), |near| format!("did you mean `{near}`?\n{known}"));
                findings.push(Diagnostic::error(Code::FieldsUnknown, field.span, message, help));
            }
        }
        findings
    }
}

/// Where a schema knows all its fields and this is none of them: those it has there, and the one that is likely meant.
fn unknown(schema: &Json, pointer: &str) -> Option<(Vec<String>, Option<String>)> {
    let path = parse_pointer(pointer)?;
    let mut at = schema;
    for (depth, name) in path.iter().enumerate() {
        if depth == 0 && name == META_FIELD {
            return None;
        }
        let declared = at.get("properties").and_then(Json::as_object);
        if let Some(inner) = declared.and_then(|declared| declared.get(name)) {
            at = inner;
            continue;
        }
        let closed =
            at.get("additionalProperties") == Some(&Json::Bool(false)) && at.get("patternProperties").is_none();
        if !closed {
            return None;
        }
        let spelled = |name: &String| match path.len() {
            1 => name.clone(),
            _ => path[..depth].iter().map(|name| pointer_to(name)).chain([pointer_to(name)]).collect(),
        };
        let names: Vec<String> = declared.into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let near = did_you_mean(name, names.iter().map(String::as_str)).map(|near| spelled(&near.to_owned()));
        return Some((names.iter().map(spelled).collect(), near));
    }
    None
}

/// Reads `fields`.
pub(super) fn read(node: &Node, who: &str, findings: &mut Vec<Diagnostic>) -> FieldsDecl {
    let who = format!("`fields` of {who}");
    let Some(written) = fields(node, &who, FIELDS, findings) else { return FieldsDecl::default() };
    let include = written.optional("include").filter(|node| !node.is_null()).map(|node| {
        let mut include = Include::default();
        for item in named(node, "include", &who, findings) {
            if item.written == ALL { include.all = true } else { include.fields.push(item) }
        }
        include
    });
    let exclude = written.optional("exclude").map(|node| named(node, "exclude", &who, findings)).unwrap_or_default();
    let decl = FieldsDecl {
        include,
        exclude,
        rename: written.optional("rename").map(|node| renamed(node, &who, findings)).unwrap_or_default(),
        document: document(&written, findings),
    };
    contradictions(&decl, &who, findings);
    decl
}

/// Reads `on_conflict`.
pub(super) fn on_conflict(node: &Node, who: &str, findings: &mut Vec<Diagnostic>) -> OnConflict {
    let Some(word) = text(node, &format!("`on_conflict` of {who}"), "on_conflict: widen", findings) else {
        return OnConflict::default();
    };
    match word {
        "widen" => OnConflict::Widen,
        "split" => OnConflict::Split,
        "stop" => OnConflict::Stop,
        "dead_letter" => OnConflict::DeadLetter,
        other => {
            findings.push(not_one_of(node, &format!("`on_conflict` of {who}"), other, &CONFLICT_WORDS));
            OnConflict::default()
        }
    }
}

/// Reads `on_truncate`.
pub(super) fn on_truncate(node: &Node, who: &str, findings: &mut Vec<Diagnostic>) -> OnTruncate {
    let Some(word) = text(node, &format!("`on_truncate` of {who}"), "on_truncate: ignore", findings) else {
        return OnTruncate::default();
    };
    match word {
        "truncate" => OnTruncate::Truncate,
        "ignore" => OnTruncate::Ignore,
        "stop" => OnTruncate::Stop,
        other => {
            findings.push(not_one_of(node, &format!("`on_truncate` of {who}"), other, &TRUNCATE_WORDS));
            OnTruncate::default()
        }
    }
}

fn not_one_of(node: &Node, what: &str, got: &str, words: &[&'static str]) -> Diagnostic {
    let words = || words.iter().copied();
    let message = format!("{what}: expected {}, got `{got}`", one_of(words()));
    let help = match did_you_mean(got, words()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write {}", one_of(words())),
    };
    Diagnostic::error(Code::Choice, node.span, message, help)
}

fn named(node: &Node, key: &str, who: &str, findings: &mut Vec<Diagnostic>) -> Vec<NamedField> {
    let example = format!("{key}: [note, /address/city]");
    let mut found: Vec<NamedField> = Vec::new();
    for item in list(node, &format!("`{key}` in {who}"), &example, findings).unwrap_or_default() {
        let Some(written) = text(item, &format!("`{key}` in {who}"), &example, findings) else { continue };
        let Some(field) = field(written, item.span, key, who, findings) else { continue };
        if found.iter().any(|other| other.pointer == field.pointer) {
            let message = format!("`{key}` in {who} names `{written}` twice");
            findings.push(Diagnostic::error(Code::FieldsTwice, item.span, message, "remove one of the two"));
        } else {
            found.push(field);
        }
    }
    found
}

/// A JSON pointer, or the name of a top-level field.
fn field(written: &str, span: Span, key: &str, who: &str, findings: &mut Vec<Diagnostic>) -> Option<NamedField> {
    let pointer = if written.starts_with('/') { written.to_owned() } else { pointer_to(written) };
    if written.is_empty() || parse_pointer(&pointer).is_none() {
        let message = format!("`{key}` in {who}: expected a field, by its name or a JSON pointer, got `{written}`");
        let help = "write `note` or `/address/city`; in a pointer a `~` of a name is written ~0 and a slash ~1";
        findings.push(Diagnostic::error(Code::FieldsPointer, span, message, help));
        return None;
    }
    Some(NamedField { pointer, written: written.to_owned(), span })
}

fn renamed(node: &Node, who: &str, findings: &mut Vec<Diagnostic>) -> Vec<(NamedField, String)> {
    let (who, example) = (format!("`rename` in {who}"), "rename: { id: order_id }");
    let mut found: Vec<(NamedField, String)> = Vec::new();
    for entry in entries(node, &who, &format!("`{example}`"), findings).unwrap_or_default() {
        let Some(to) = text(&entry.value, &format!("`{}` of {who}", entry.key), example, findings) else { continue };
        let Some(field) = field(&entry.key, entry.key_span, "rename", &who, findings) else { continue };
        if to.is_empty() {
            let message = format!("{who}: the name of `{}` is empty", entry.key);
            findings.push(Diagnostic::error(Code::FieldsName, entry.value.span, message, format!("write `{example}`")));
        } else if found.iter().any(|(other, _)| other.pointer == field.pointer) {
            let message = format!("{who} names `{}` twice", entry.key);
            findings.push(Diagnostic::error(Code::FieldsTwice, entry.key_span, message, "remove one of the two"));
        } else if let Some((other, _)) = found.iter().find(|(_, name)| name == to) {
            let message = format!("{who} gives `{}` and `{}` one name, `{to}`", other.written, entry.key);
            findings.push(Diagnostic::error(
                Code::FieldsTwice,
                entry.value.span,
                message,
                "give one of them another name",
            ));
        } else {
            found.push((field, to.to_owned()));
        }
    }
    found
}

fn document(written: &Fields<'_>, findings: &mut Vec<Diagnostic>) -> Option<(String, Span)> {
    let node = written.optional("document").filter(|node| !node.is_null())?;
    let name = text(node, &format!("`document` in {}", written.who), "document: doc", findings)?;
    if name.is_empty() {
        let message = format!("`document` in {}: the name is empty", written.who);
        findings.push(Diagnostic::error(Code::FieldsName, node.span, message, "write `document: doc`"));
        return None;
    }
    Some((name.to_owned(), node.span))
}

fn contradictions(decl: &FieldsDecl, who: &str, findings: &mut Vec<Diagnostic>) {
    let excluded: BTreeSet<&str> = decl.exclude.iter().map(|field| field.pointer.as_str()).collect();
    let kept = decl.include.iter().flat_map(|include| &include.fields);
    for field in kept.chain(decl.rename.iter().map(|(field, _)| field)) {
        if excluded.contains(field.pointer.as_str()) {
            let message = format!("{who}: `{}` is excluded, and kept or named too", field.written);
            let help = format!("take `{}` out of `exclude`, or out of the other", field.written);
            findings.push(Diagnostic::error(Code::FieldsTwice, field.span, message, help));
        }
    }
    if let Some((name, span)) = &decl.document
        && let Some((field, _)) = decl.rename.iter().find(|(_, to)| to == name)
    {
        let message = format!("{who}: `{}` and the whole document have one name, `{name}`", field.written);
        findings.push(Diagnostic::error(Code::FieldsTwice, *span, message, "give one of them another name"));
    }
}
