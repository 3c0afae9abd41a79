//! From the file to a [`Catalog`]: reads tasks and collections out of the tree and joins them by name.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use longshore_proto::session::Severity;

use super::advice::{did_you_mean, one_of};
use super::code::Code;
use super::collections;
use super::columns;
use super::connections::Connections;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::endpoint;
use super::fields::{Fields, Keys, boolean, check_name, choice, entries, fields, list, text};
use super::node::{Entry, Node, Value};
use super::selection::{self, FieldsDecl};
use super::source::{Source, Span};
use super::timing;
use super::values::Values;
use super::variables::Variables;
use super::yaml;
use super::{
    CaptureBinding, CaptureTask, Catalog, CollectionDecl, Endpoint, MaterializationBinding, MaterializationTask,
    Retention,
};
use crate::capture::letters::OnViolation;
use crate::connector::container::Pins;

pub(super) const ROOT: Keys = Keys {
    known: &["production", "connections", "captures", "collections", "materializations"],
    example: "`captures:`",
};
/// The keys of a task, with those that only one kind of it has.
macro_rules! task_keys {
    ($($own:literal),*) => {
        Keys {
            known: &[
                "connector", "image", "command", "address", "token_file", "tls", "mounts", "limits", "network", "sandbox",
                "connection", "config", $($own,)* "bindings",
            ],
            example: "`connector: files`",
        }
    };
}
pub(super) const CAPTURE: Keys = task_keys!("schedule");
pub(super) const MATERIALIZATION: Keys = task_keys!("every");
pub(super) const CAPTURE_BINDING: Keys = Keys {
    known: &["resource", "collection", "columns", "on_violation"],
    example: "`{ resource: { glob: \"*.csv\" }, collection: shop/orders }`",
};
pub(super) const ON_VIOLATION: [(&str, OnViolation); 2] =
    [("stop", OnViolation::Stop), ("dead_letter", OnViolation::DeadLetter)];
pub(super) const MATERIALIZATION_BINDING: Keys = Keys {
    known: &["collection", "resource", "delta_updates", "fields", "on_conflict", "on_truncate"],
    example: "`{ collection: shop/orders, resource: { table: orders } }`",
};

/// What is wrong with the choice of fields, as far as key and schema are written; what Discover finds is compared when it is known.
fn misfits(fields: &FieldsDecl, name: &str, collections: &BTreeMap<String, CollectionDecl>) -> Vec<Diagnostic> {
    let Some(collection) = collections.get(name) else { return Vec::new() };
    let key = collection.key.as_deref().unwrap_or_default();
    fields.misfits(name, key, collection.schema.as_ref().unwrap_or(&serde_json::Value::Null))
}

/// What is asked of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    /// It can run.
    Whole,
    /// `discover` will add bindings and collections.
    Unfinished,
    /// `lock` will write down its images.
    Unlocked,
}

/// Reads and resolves a file.
pub(super) fn load(path: &Path, values: Values, completeness: Completeness) -> Result<Catalog, Diagnostics> {
    let mut findings = Vec::new();
    let text = read(path, &mut findings);
    if !findings.is_empty() {
        return Err(Diagnostics::new(Arc::new(Source::new(path, text)), findings));
    }
    resolve(path, text, values, completeness)
}

/// Resolves the text of a file.
pub(super) fn resolve(
    path: &Path,
    text: String,
    values: Values,
    completeness: Completeness,
) -> Result<Catalog, Diagnostics> {
    let mut findings = Vec::new();
    let source = Arc::new(Source::new(path, text));
    let refuse = |findings| Err(Diagnostics::new(Arc::clone(&source), findings));
    let Some(root) = tree(&source, &mut findings) else { return refuse(findings) };
    let directory =
        std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_path_buf)).unwrap_or_default();
    let variables = Variables::new(values, &directory);
    let pins = match completeness {
        Completeness::Unlocked => Pins::default(),
        Completeness::Whole | Completeness::Unfinished => Pins::read(path).unwrap_or_else(|error| {
            let (message, help) = (error.message.clone(), error.suggestion.clone());
            findings.push(Diagnostic::error(Code::Lock, Span::default(), message, help));
            Pins::default()
        }),
    };
    let mut resolver = Resolver { source: &source, variables: &variables, completeness, production: false, findings };
    let (captures, collections, materializations) = resolver.root(&root);
    let findings = resolver.findings;
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return refuse(findings);
    }
    let warnings = Diagnostics::new(Arc::clone(&source), findings);
    Ok(Catalog {
        path: path.to_path_buf(),
        directory,
        captures,
        collections,
        materializations,
        pins,
        warnings,
        source,
        variables,
    })
}

fn read(path: &Path, findings: &mut Vec<Diagnostic>) -> String {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("cannot read the catalog {}: {error}", path.display());
            let help = "name the catalog as the last word, such as `longshore run flights.yaml`; without one it is longshore.yaml in this directory";
            findings.push(Diagnostic::error(Code::Unreadable, Span::default(), message, help));
            return String::new();
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let message = format!("the catalog is not UTF-8 text: byte {at} is no part of a character");
            let help = "save it as UTF-8; your editor calls it UTF-8 without BOM";
            findings.push(Diagnostic::error(Code::Encoding, Span::new(at, at + 1), message, help));
            text
        }
    }
}

fn tree(source: &Source, findings: &mut Vec<Diagnostic>) -> Option<Node> {
    let root = yaml::parse(source, findings);
    let nothing = root.as_ref().is_none_or(Node::is_null) && findings.is_empty();
    if nothing {
        let help =
            "begin with `captures:`, `collections:` and `materializations:`; the README's first example can be copied";
        findings.push(Diagnostic::error(Code::Empty, Span::default(), "the catalog is empty", help));
        return None;
    }
    root
}

struct Resolver<'a> {
    source: &'a Source,
    variables: &'a Variables,
    completeness: Completeness,
    production: bool,
    findings: Vec<Diagnostic>,
}

/// What captures and materializations have in common.
struct Common<'a> {
    fields: Fields<'a>,
    endpoint: Option<(Endpoint, Span)>,
    config: Node,
    bindings: &'a [Node],
}

/// What a task is read with.
#[derive(Debug, Clone, Copy)]
struct Around<'a> {
    connections: &'a Connections<'a>,
    collections: &'a BTreeMap<String, CollectionDecl>,
}

type Parts = (Vec<CaptureTask>, BTreeMap<String, CollectionDecl>, Vec<MaterializationTask>);

impl Resolver<'_> {
    fn root(&mut self, root: &Node) -> Parts {
        let Some(fields) = fields(root, "the catalog", ROOT, &mut self.findings) else { return Parts::default() };
        let production =
            fields.optional("production").map(|node| boolean(node, "production", "the catalog", &mut self.findings));
        self.production = production.flatten().unwrap_or_default();
        let collections = collections::read(fields.optional("collections"), &mut self.findings);
        let connections = Connections::read(fields.optional("connections"), &mut self.findings);
        let around = Around { connections: &connections, collections: &collections };
        let mut captures = Vec::new();
        let mut materializations = Vec::new();
        let mut names: Vec<&Entry> = Vec::new();
        for section in ["captures", "materializations"] {
            let Some(node) = fields.optional(section) else { continue };
            let example = "`nyc: { connector: files, … }`";
            for entry in entries(node, &format!("`{section}`"), example, &mut self.findings).unwrap_or_default() {
                check_name(&entry.key, section.trim_end_matches('s'), entry.key_span, &mut self.findings);
                self.unique(entry, &names);
                names.push(entry);
                if section == "captures" {
                    captures.extend(self.capture(entry, around));
                } else {
                    materializations.extend(self.materialization(entry, around));
                }
            }
        }
        if names.is_empty() && self.findings.is_empty() {
            let help = "add `captures:` with a task below it, such as `nyc: { connector: files, … }`";
            self.findings.push(Diagnostic::error(Code::Empty, root.span, "the catalog has no task", help));
        }
        self.writers(&captures, &materializations, &collections);
        (captures, collections, materializations)
    }

    fn unique(&mut self, entry: &Entry, names: &[&Entry]) {
        if let Some(first) = names.iter().find(|other| other.key == entry.key) {
            let line = self.source.place(first.key_span.start).line;
            let message = format!("`{}` is already the name of the capture in line {line}", entry.key);
            let help = format!(
                "name it otherwise, such as `{}-out`: commands and state know a task by its name alone",
                entry.key
            );
            self.findings.push(Diagnostic::error(Code::DuplicateTask, entry.key_span, message, help));
        }
    }

    fn capture(&mut self, entry: &Entry, around: Around<'_>) -> Option<CaptureTask> {
        let who = format!("capture `{}`", entry.key);
        let common = self.common(entry, &who, "capture", around.connections)?;
        let schedule = timing::schedule(&common.fields, &mut self.findings);
        let mut bindings = Vec::new();
        for (at, node) in common.bindings.iter().enumerate() {
            let who = format!("binding {} of {who}", at + 1);
            let Some(fields) = fields(node, &who, CAPTURE_BINDING, &mut self.findings) else { continue };
            let resource = fields.required("resource", "resource: { glob: \"*.csv\" }", &mut self.findings);
            let collection = self.collection(&fields, around.collections, true);
            let on_violation = choice(&fields, "on_violation", &ON_VIOLATION, &mut self.findings).unwrap_or_default();
            if let (Some(resource), Some((collection, span))) = (resource, collection) {
                let columns = columns::read(&fields, resource, &mut self.findings);
                let resource = columns::within(resource, columns.as_ref());
                bindings.push(CaptureBinding { resource, collection, columns, on_violation, span });
            }
        }
        self.duplicates(bindings.iter().map(|binding| &binding.resource), &who);
        let (endpoint, endpoint_span) = common.endpoint?;
        Some(CaptureTask {
            name: entry.key.clone(),
            span: entry.key_span,
            endpoint,
            endpoint_span,
            config: common.config,
            schedule,
            bindings,
        })
    }

    fn materialization(&mut self, entry: &Entry, around: Around<'_>) -> Option<MaterializationTask> {
        let who = format!("materialization `{}`", entry.key);
        let common = self.common(entry, &who, "materialize", around.connections)?;
        let every = timing::every(&common.fields, &mut self.findings);
        let mut bindings = Vec::new();
        for (at, node) in common.bindings.iter().enumerate() {
            let who = format!("binding {} of {who}", at + 1);
            let Some(fields) = fields(node, &who, MATERIALIZATION_BINDING, &mut self.findings) else { continue };
            let resource = fields.required("resource", "resource: { table: orders }", &mut self.findings);
            let collection = self.collection(&fields, around.collections, false);
            let delta =
                fields.optional("delta_updates").map(|node| boolean(node, "delta_updates", &who, &mut self.findings));
            let fields_decl = fields
                .optional("fields")
                .map(|node| selection::read(node, &who, &mut self.findings))
                .unwrap_or_default();
            let on_conflict =
                fields.optional("on_conflict").map(|node| selection::on_conflict(node, &who, &mut self.findings));
            let on_truncate =
                fields.optional("on_truncate").map(|node| selection::on_truncate(node, &who, &mut self.findings));
            if let (Some(resource), Some((collection, span))) = (resource, collection) {
                self.findings.extend(misfits(&fields_decl, &collection, around.collections));
                bindings.push(MaterializationBinding {
                    collection,
                    resource: resource.clone(),
                    delta_updates: delta.flatten().unwrap_or_default(),
                    fields: fields_decl,
                    on_conflict: on_conflict.unwrap_or_default(),
                    on_truncate: on_truncate.unwrap_or_default(),
                    span,
                });
            }
        }
        self.duplicates(bindings.iter().map(|binding| &binding.resource), &who);
        let (endpoint, endpoint_span) = common.endpoint?;
        Some(MaterializationTask {
            name: entry.key.clone(),
            span: entry.key_span,
            endpoint,
            endpoint_span,
            config: common.config,
            every,
            bindings,
        })
    }

    fn common<'n>(
        &mut self,
        entry: &'n Entry,
        who: &'n str,
        prefix: &'static str,
        connections: &Connections<'_>,
    ) -> Option<Common<'n>> {
        let keys = if prefix == "capture" { CAPTURE } else { MATERIALIZATION };
        let task = fields(&entry.value, who, keys, &mut self.findings)?;
        let reader = endpoint::Reader {
            source: self.source,
            variables: self.variables,
            prefix,
            production: self.production && self.completeness != Completeness::Unlocked,
        };
        let endpoint = reader.read(&task, &mut self.findings);
        let config = match entry.value.get("config") {
            Some(node) if !node.is_null() => {
                entries(node, &format!("`config` of {who}"), "`config: { path: ./data }`", &mut self.findings)?;
                node.clone()
            }
            Some(node) => Node::absent(node.name_span()),
            None => Node::absent(entry.key_span),
        };
        let config = connections.config(&task, config, &mut self.findings);
        let listed = entry.value.get("bindings").map(|node| {
            let who = format!("`bindings` of {who}");
            list(node, &who, "bindings: [{ collection: shop/orders, resource: { … } }]", &mut self.findings)
        });
        let bindings = match listed {
            Some(None) => return None,
            Some(Some(items)) => items,
            None => &[],
        };
        let may_be_empty = self.completeness == Completeness::Unfinished && prefix == "capture";
        if bindings.is_empty() && !may_be_empty {
            let help = match prefix {
                "capture" => format!("`longshore discover {}` shows what there is to capture", entry.key),
                _ => "add `bindings: [{ collection: shop/orders, resource: { … } }]`".into(),
            };
            let message = format!("{who} has no bindings, so it would do nothing");
            self.findings.push(Diagnostic::error(Code::NoBindings, task.key_span("bindings"), message, help));
        }
        Some(Common { fields: task, endpoint, config, bindings })
    }

    fn collection(
        &mut self,
        fields: &Fields<'_>,
        collections: &BTreeMap<String, CollectionDecl>,
        capture: bool,
    ) -> Option<(String, Span)> {
        let node = fields.required("collection", "collection: shop/orders", &mut self.findings)?;
        let name =
            text(node, &format!("`collection` of {}", fields.who), "collection: shop/orders", &mut self.findings)?;
        let tolerated = capture && self.completeness == Completeness::Unfinished;
        if collections.contains_key(name) || tolerated {
            return Some((name.to_owned(), node.span));
        }
        let near = did_you_mean(name, collections.keys().map(String::as_str));
        let mut help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?\n"));
        help.push_str(&match collections.len() {
            0 => "the catalog has no `collections:` yet; ".to_owned(),
            _ => format!("the catalog has {}; ", one_of(collections.keys().map(String::as_str))),
        });
        help.push_str(&if capture {
            "`longshore discover TASK --write` adds what is missing".to_owned()
        } else {
            format!("add it below `collections:` as `{name}: {{ key: [/id] }}`, and to the bindings of a capture")
        });
        let message = format!("{}: there is no collection `{name}`", fields.who);
        self.findings.push(Diagnostic::error(Code::UnknownCollection, node.span, message, help));
        // The binding stays out of the catalog, and the catalog is refused anyway.
        None
    }

    fn duplicates<'n>(&mut self, resources: impl Iterator<Item = &'n Node>, who: &str) {
        let mut seen: HashMap<String, &Node> = HashMap::new();
        for resource in resources {
            let first = seen.entry(resource.canonical()).or_insert(resource);
            if !std::ptr::eq(*first, resource) {
                let line = self.source.place(first.span.start).line;
                let message = format!("{who} has this resource in two bindings; the first is in line {line}");
                let help = "remove one of the two, or let them name different resources";
                let span =
                    if matches!(resource.value, Value::Mapping(_)) { resource.span } else { resource.name_span() };
                self.findings.push(Diagnostic::error(Code::DuplicateBinding, span, message, help));
            }
        }
    }

    /// A journal holds all that its capture writes, and is trimmed as a whole.
    fn retention(&mut self, capture: &CaptureTask, collections: &BTreeMap<String, CollectionDecl>) {
        let of = |retention: Retention| {
            let mut found = capture.bindings.iter().filter(|binding| {
                collections.get(&binding.collection).is_some_and(|declared| declared.retention == retention)
            });
            found.next()
        };
        if let (Some(consumed), Some(kept)) = (of(Retention::Consumed), of(Retention::All)) {
            let message = format!(
                "`{}` has `retention: consumed`, and `{}` of the same capture `{}` keeps all: they lie in one journal",
                consumed.collection, kept.collection, capture.name
            );
            let help = "say the same of both, or give one of them a capture of its own";
            let span = collections.get(&consumed.collection).map_or(consumed.span, |declared| declared.span);
            self.findings.push(Diagnostic::error(Code::Retention, span, message, help));
        }
    }

    /// One capture writes a collection, and what is read is written.
    fn writers(
        &mut self,
        captures: &[CaptureTask],
        materializations: &[MaterializationTask],
        collections: &BTreeMap<String, CollectionDecl>,
    ) {
        let mut writers: BTreeMap<&str, &CaptureTask> = BTreeMap::new();
        for capture in captures {
            for binding in &capture.bindings {
                let first = *writers.entry(&binding.collection).or_insert(capture);
                if first.name != capture.name {
                    let message = format!(
                        "the collection `{}` is already written by capture `{}`",
                        binding.collection, first.name
                    );
                    let help = format!(
                        "give this binding a collection of its own, such as `{}-{}`",
                        binding.collection, capture.name
                    );
                    self.findings.push(Diagnostic::error(Code::TwoWriters, binding.span, message, help));
                }
            }
        }
        captures.iter().for_each(|capture| self.retention(capture, collections));
        if self.findings.iter().any(|finding| finding.severity == Severity::Error) {
            // A capture that could not be read may be the writer.
            return;
        }
        for binding in materializations.iter().flat_map(|task| &task.bindings) {
            if collections.contains_key(&binding.collection) && !writers.contains_key(binding.collection.as_str()) {
                let message = format!("no capture of this catalog writes the collection `{}`", binding.collection);
                let near = did_you_mean(&binding.collection, writers.keys().copied());
                let help = near.map_or_else(
                    || "add a binding with this collection to a capture".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                self.findings.push(Diagnostic::error(Code::NoWriter, binding.span, message, help));
            }
        }
    }
}
