//! Bindings as an author sees them: the resource is of the author's own type.

use std::collections::HashMap;

use longshore_proto::Error;
use longshore_proto::name::StateKey;
use longshore_proto::selection::Selection;
use longshore_proto::session::{Binding, Collection, Finding, ProposedBinding};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{config, finding, resource};

/// A binding of a session or an Apply. Its place in the list is its index.
#[derive(Debug, Clone)]
pub struct Bound<R> {
    /// The durable name: what a state is kept under.
    pub state_key: StateKey,
    /// The resource the user wrote.
    pub resource: R,
    /// Its stable identity.
    pub resource_path: Vec<String>,
    /// The collection it is joined to.
    pub collection: Collection,
    /// Materializations only: store every document in order instead of the last one of each key.
    pub delta_updates: bool,
    /// Materializations only: which values of a document are kept, and under which names.
    pub selection: Selection,
}

/// A binding that is being validated; it has no durable name yet.
#[derive(Debug, Clone)]
pub struct Proposed<R> {
    /// The resource the user wrote.
    pub resource: R,
    /// Its stable identity.
    pub resource_path: Vec<String>,
    /// The collection it is joined to.
    pub collection: Collection,
    /// Materializations only: store every document in order instead of the last one of each key.
    pub delta_updates: bool,
    /// Materializations only: which values of a document are kept, and under which names.
    pub selection: Selection,
}

/// Reads the resources of a session's bindings.
pub(crate) fn bound<R: DeserializeOwned>(bindings: Vec<Binding>) -> Result<Vec<Bound<R>>, Error> {
    let typed = |(index, binding): (usize, Binding)| {
        Ok(Bound {
            resource: config::parse_resource(index, &binding.resource_json)?,
            state_key: binding.state_key,
            resource_path: binding.resource_path,
            collection: binding.collection,
            delta_updates: binding.delta_updates,
            selection: binding.selection,
        })
    };
    bindings.into_iter().enumerate().map(typed).collect()
}

/// What Validate sees of a request: everything typed, or the findings that say why not.
#[derive(Debug)]
pub(crate) struct Checked<C, R> {
    /// One for each binding asked; empty where the resource gives none.
    pub(crate) resource_paths: Vec<Vec<String>>,
    pub(crate) findings: Vec<Finding>,
    /// None if anything is wrong.
    pub(crate) typed: Option<(C, Vec<Proposed<R>>)>,
}

/// Reads config and bindings of a Validate, and reports all that is wrong with them at once.
pub(crate) fn checked<C, R>(config_json: &[u8], bindings: Vec<ProposedBinding>, pointers: &[String]) -> Checked<C, R>
where
    C: DeserializeOwned,
    R: DeserializeOwned + JsonSchema,
{
    let schema = crate::schema::of::<R>();
    let mut findings = Vec::new();
    let config = config::parse::<C>(config_json).map_err(|error| findings.push(finding::error(error))).ok();
    let mut resource_paths = Vec::with_capacity(bindings.len());
    let mut proposed = Vec::with_capacity(bindings.len());
    let mut first_with: HashMap<Vec<String>, usize> = HashMap::new();
    for (index, binding) in bindings.into_iter().enumerate() {
        let path = resource::path(pointers, &schema, &binding.resource_json).map_err(|error| error.at_binding(index));
        let path = path.map_err(|error| findings.push(finding::error(error))).unwrap_or_default();
        if let Some(first) = first_with.get(&path).filter(|_| !path.is_empty()) {
            findings.push(finding::error(same_resource(index, *first, &path, pointers)));
        }
        first_with.entry(path.clone()).or_insert(index);
        match config::parse_resource(index, &binding.resource_json) {
            Ok(resource) => proposed.push(Proposed {
                resource,
                resource_path: path.clone(),
                collection: binding.collection,
                delta_updates: binding.delta_updates,
                selection: binding.selection,
            }),
            Err(error) => findings.push(finding::error(error)),
        }
        resource_paths.push(path);
    }
    let typed = config.filter(|_| findings.is_empty()).map(|config| (config, proposed));
    Checked { resource_paths, findings, typed }
}

fn same_resource(index: usize, first: usize, path: &[String], pointers: &[String]) -> Error {
    let path = path.join("/");
    let message = format!("expected a resource of its own, got {path:?}, which binding {first} has already");
    Error::config("sdk.resource.twice", message)
        .at_binding(index)
        .at_pointer(pointers.first().cloned().unwrap_or_default())
        .suggest("take one of the two bindings out")
}
