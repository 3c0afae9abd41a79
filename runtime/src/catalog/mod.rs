//! The catalog: what the user wrote, resolved into tasks. Every mistake is a [`Diagnostic`] with its place in the file and what to do.
//!
//! [`load`] reads and checks all that can be known without a connector. What a config means is known to the connector alone:
//! [`Catalog::typed`] gives scalars the types its schema says and checks them, [`Catalog::findings`] shows what it found itself at the right
//! place. Nothing here starts a connector ([`crate::connector`]) or decides what changed between runs ([`crate::supervise`]).
//!
//! The way of a text: [`yaml`] makes a tree of [`node`]s, [`resolve`] reads tasks out of it ([`connections`] and [`columns`] become part
//! of configs and resources there), [`typed`] makes JSON of configs with the
//! help of [`variables`], [`shape`] and [`schema`]; [`diagnostic`] shows what went wrong, without what [`hide`] hides. [`insert`] writes
//! collections into the file; [`editor`] is the JSON Schema of catalogs.

mod advice;
mod code;
mod collections;
mod columns;
mod connections;
mod diagnostic;
mod editor;
mod endpoint;
mod fields;
mod hide;
mod image;
mod insert;
mod loosened;
mod node;
mod resolve;
mod schema;
mod selection;
mod settings;
mod shape;
mod source;
mod syntax;
mod timing;
mod typed;
mod values;
mod variables;
mod written;
mod yaml;

#[cfg(test)]
mod editor_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use longshore_proto::session;
use longshore_proto::tls;

pub use advice::did_you_mean;
pub use code::Code;
pub use columns::Columns;
pub use diagnostic::{Diagnostic, Diagnostics, Paint};
pub use editor::{Settings as ConnectorSettings, about, editor_schema, keys};
pub use insert::{Addition, NewBinding, NewCollection, NotInserted};
pub use node::{Entry, Node, Scalar, Value};
pub use selection::{FieldsDecl, Include, NamedField, OnConflict, OnTruncate};
pub use settings::{Setting, settings};
pub use source::{Place, Source, Span};
pub use timing::{Schedule, duration};
pub use typed::Typed;
pub use values::{Environment, Exec, Values};
pub use written::{flow, word};

use crate::capture::letters::OnViolation;
use crate::connector::Hold;
use crate::connector::container::{Image, Pins};
use variables::Variables;

/// A catalog without a mistake that could be known without its connectors.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// As the user gave it.
    pub path: PathBuf,
    /// Where relative paths start; absolute.
    pub directory: PathBuf,
    /// In the order written.
    pub captures: Vec<CaptureTask>,
    /// By name.
    pub collections: BTreeMap<String, CollectionDecl>,
    /// In the order written.
    pub materializations: Vec<MaterializationTask>,
    /// Which its images have to be, as far as that was written down.
    pub pins: Pins,
    /// Worth knowing, and no reason to stop.
    pub warnings: Diagnostics,
    source: Arc<Source>,
    variables: Variables,
}

/// How a connector is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// One of ours, by its short name: `files` is `capture-files` or `materialize-files`.
    Bundled {
        /// The short name.
        name: String,
        /// What holds it.
        hold: Hold,
    },
    /// A program and its arguments.
    Command {
        /// At least the program.
        argv: Vec<String>,
        /// What holds it.
        hold: Hold,
    },
    /// Somebody else runs it.
    Address {
        /// `unix:PATH`, `http://` on loopback, or `https://`.
        url: String,
        /// Relative to the catalog.
        token_file: Option<PathBuf>,
        /// With `https://`; relative to the catalog.
        tls: Option<tls::Files>,
    },
    /// A container of an image.
    Image(Image),
}

/// Reads from a system.
#[derive(Debug, Clone)]
pub struct CaptureTask {
    /// Unique in the catalog.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// How its connector is reached.
    pub endpoint: Endpoint,
    /// Where that is written.
    pub endpoint_span: Span,
    /// As written, with what its connection says.
    pub config: Node,
    /// When it is asked again after it has caught up; none: it follows its source.
    pub schedule: Option<Schedule>,
    /// In the order written.
    pub bindings: Vec<CaptureBinding>,
}

/// One resource of a source, and the collection it fills.
#[derive(Debug, Clone)]
pub struct CaptureBinding {
    /// As written, with the columns that are wanted of it.
    pub resource: Node,
    /// Its name.
    pub collection: String,
    /// Which part of the resource is wanted; none: all of it.
    pub columns: Option<Columns>,
    /// What becomes of a document that is not admitted.
    pub on_violation: OnViolation,
    /// Where the collection's name stands.
    pub span: Span,
}

/// Writes to a system.
#[derive(Debug, Clone)]
pub struct MaterializationTask {
    /// Unique in the catalog.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// How its connector is reached.
    pub endpoint: Endpoint,
    /// Where that is written.
    pub endpoint_span: Span,
    /// As written, with what its connection says.
    pub config: Node,
    /// Documents wait so long for a commit, unless there are too many; none: as long as its connector and we think best.
    pub every: Option<Duration>,
    /// In the order written.
    pub bindings: Vec<MaterializationBinding>,
}

/// One collection, and the resource of a destination it fills.
#[derive(Debug, Clone)]
pub struct MaterializationBinding {
    /// Its name.
    pub collection: String,
    /// As written.
    pub resource: Node,
    /// Every document in order, no reduction.
    pub delta_updates: bool,
    /// Which fields are kept, under which names.
    pub fields: FieldsDecl,
    /// What is done when the type of a field changes.
    pub on_conflict: OnConflict,
    /// What is done where the source emptied the collection at once.
    pub on_truncate: OnTruncate,
    /// Where the collection's name stands.
    pub span: Span,
}

/// What the user says about a collection. What is not said comes from Discover.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionDecl {
    /// JSON pointers; at least one.
    pub key: Option<Vec<String>>,
    /// JSON Schema 2020-12; compiles.
    pub schema: Option<serde_json::Value>,
    /// What is done with the schema; where nothing is written, a written schema is enforced and any other inferred.
    pub validation: Option<Validation>,
    /// How long the journal keeps its documents.
    pub retention: Retention,
    /// Where the name stands.
    pub span: Span,
}

/// How long a journal keeps documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Retention {
    /// For good: whoever comes later gets them all.
    #[default]
    All,
    /// Until every materialization that reads them has them.
    Consumed,
}

/// What is done with a collection's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// A document that does not fit is a violation.
    Enforce,
    /// A document that does not fit widens it.
    Infer,
    /// It is for destinations alone.
    Off,
}

impl CollectionDecl {
    /// What is done with its schema.
    #[must_use]
    pub fn validation(&self) -> Validation {
        let by_default = if self.schema.is_some() { Validation::Enforce } else { Validation::Infer };
        self.validation.unwrap_or(by_default)
    }
}

/// Reads a catalog. `values` says what `${…}` stands for.
pub fn load(path: &Path, values: Values) -> Result<Catalog, Diagnostics> {
    resolve::load(path, values, resolve::Completeness::Whole)
}

/// The same for a catalog that `discover` is about to complete: collections of captures may be missing, and captures may have no bindings.
pub fn load_unfinished(path: &Path, values: Values) -> Result<Catalog, Diagnostics> {
    resolve::load(path, values, resolve::Completeness::Unfinished)
}

/// The same for a catalog whose images are about to be written down: tags may stand where they may not in the end.
pub fn load_unlocked(path: &Path, values: Values) -> Result<Catalog, Diagnostics> {
    resolve::load(path, values, resolve::Completeness::Unlocked)
}

/// The same for a text that is no file yet, as if it lay at `path`: a source is asked before its catalog is written.
pub fn draft(path: &Path, text: String, values: Values) -> Result<Catalog, Diagnostics> {
    resolve::resolve(path, text, values, resolve::Completeness::Unfinished)
}

impl Catalog {
    /// JSON of a config or a resource, typed and checked by the connector's JSON Schema. `what` names it in messages, such as "the config
    /// of capture `nyc`".
    pub fn typed(&self, node: &Node, schema_json: &[u8], what: &str) -> Result<Typed, Diagnostics> {
        typed::typed(node, schema_json, what, &self.source, &self.variables).map_err(|list| self.diagnostics(list))
    }

    /// Whether the journal of a capture is trimmed: all that it writes says so, which is checked.
    #[must_use]
    pub fn is_trimmed(&self, capture: &CaptureTask) -> bool {
        let consumed = |binding: &CaptureBinding| {
            self.collections.get(&binding.collection).is_some_and(|of| of.retention == Retention::Consumed)
        };
        !capture.bindings.is_empty() && capture.bindings.iter().all(consumed)
    }

    /// Where a JSON pointer into a task's config or, with a binding, into its resource stands; as near as it can be said.
    #[must_use]
    pub fn locate(&self, task: &str, binding: Option<usize>, pointer: &str) -> Span {
        let capture = self.captures.iter().find(|one| one.name == task);
        let materialization = self.materializations.iter().find(|one| one.name == task);
        let (span, config, resource) = match (capture, materialization) {
            (Some(one), _) => {
                (one.span, &one.config, binding.map(|at| one.bindings.get(at).map(|binding| &binding.resource)))
            }
            (None, Some(one)) => {
                (one.span, &one.config, binding.map(|at| one.bindings.get(at).map(|binding| &binding.resource)))
            }
            (None, None) => return Span::default(),
        };
        match resource {
            None => advice::locate(config, pointer),
            Some(Some(resource)) => advice::locate(resource, pointer),
            Some(None) => span,
        }
    }

    /// What a connector found, at its places. `typed` is the task's config and resources, whose secrets are cut out.
    #[must_use]
    pub fn findings<'a>(
        &self,
        task: &str,
        findings: &[session::Finding],
        typed: impl IntoIterator<Item = &'a Typed>,
    ) -> Diagnostics {
        let typed: Vec<&Typed> = typed.into_iter().collect();
        let scrub = |text: &str| typed.iter().fold(text.to_owned(), |text, typed| typed.scrub(&text));
        let list = findings.iter().map(|finding| Diagnostic {
            severity: finding.severity,
            code: finding.code.clone().into(),
            span: self.locate(task, finding.binding, &finding.pointer),
            message: scrub(&finding.message),
            help: scrub(&finding.suggestion),
        });
        self.diagnostics(list.collect())
    }

    /// What somebody else found in this catalog.
    #[must_use]
    pub fn diagnostics(&self, list: Vec<Diagnostic>) -> Diagnostics {
        Diagnostics::new(Arc::clone(&self.source), list)
    }

    /// The text it was read from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }
}
