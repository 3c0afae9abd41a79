//! From what the user wrote to what a session needs: the connector's Spec types the config, Discover states missing schemas, Validate names
//! the resources. All of it read-only; `check` ends here, `run` goes on to Apply and Open.

use std::collections::BTreeMap;

use bytes::Bytes;
use longshore_proto::capture::message as capture;
use longshore_proto::materialize::message as materialize;
use longshore_proto::name::StateKey;
use longshore_proto::selection::Selection;
use longshore_proto::session::{Binding, Collection, Owner, ProposedBinding, Recorded, Severity};

use crate::catalog::{
    CaptureBinding, CaptureTask, Catalog, Code, Diagnostic, Diagnostics, Endpoint, MaterializationTask, Node, Span,
    Typed,
};
use crate::connector::{Address, CaptureClient, Hold, Location, MaterializeClient};
use crate::document::{self, Widened};
use crate::materialize::checkpoint::Checkpoint;
use crate::selection::Given;
use crate::store::RememberedBinding;

use super::claims::Claims;
use super::generation::{self, Wanted};
use super::keys;
use super::policy;
use super::problem::Problem;
use super::selecting::Selecting;
use super::spec::SpecBinding;

/// Collections with key and schema, by name.
pub type Collections = BTreeMap<String, Collection>;

/// A binding that has passed Validate.
#[derive(Debug, Clone)]
pub struct Planned {
    /// As the user wrote it, typed by the connector's schema.
    pub resource_json: Bytes,
    /// As Validated told it.
    pub resource_path: Vec<String>,
    /// What it is joined to.
    pub collection: Collection,
    /// Materializations: every document in order.
    pub delta_updates: bool,
    /// Materializations: its rows hold sums, and documents stored again would count twice.
    pub accumulates: bool,
    /// Materializations: in a new life it would store aside of the rows that an older one has stored.
    pub renews: bool,
    /// Materializations: which values are kept, under which names.
    pub selection: Selection,
    /// Materializations: all that ever was.
    pub given: Vec<Given>,
}

impl Planned {
    /// The same with its durable name.
    #[must_use]
    pub fn named(&self, state_key: StateKey) -> Binding {
        Binding {
            state_key,
            resource_path: self.resource_path.clone(),
            resource_json: self.resource_json.clone(),
            collection: self.collection.clone(),
            delta_updates: self.delta_updates,
            selection: self.selection.clone(),
        }
    }
}

/// A capture that may be applied and opened.
#[derive(Debug, Clone)]
pub struct CapturePlan {
    /// What the connector says of itself.
    pub spec: capture::Spec,
    /// The task's config, typed.
    pub config_json: Bytes,
    /// In the catalog's order.
    pub bindings: Vec<Planned>,
}

/// A materialization that may be applied and opened.
#[derive(Debug, Clone)]
pub struct MaterializationPlan {
    /// What the connector says of itself.
    pub spec: materialize::Spec,
    /// The task's config, typed.
    pub config_json: Bytes,
    /// In the catalog's order.
    pub bindings: Vec<Planned>,
    /// What the destination said of each binding.
    pub validated: Vec<materialize::ValidatedBinding>,
    /// What it remembers of the task.
    pub recorded: Option<Recorded>,
}

/// The durable names of bindings that can go on from what their task was: each resource once, and nothing changed that rows and state of
/// before depend on.
///
/// # Errors
/// `config`, with the way out.
pub fn goes_on(
    task: &str,
    bindings: &[Planned],
    remembered: &[RememberedBinding],
) -> Result<Vec<StateKey>, longshore_proto::Error> {
    let wanted: Vec<Wanted<'_>> = bindings
        .iter()
        .map(|binding| Wanted {
            path: &binding.resource_path,
            collection: &binding.collection.name,
            key: &binding.collection.key,
            delta_updates: binding.delta_updates,
            accumulates: binding.accumulates,
            renews: binding.renews,
            fresh: false,
            taken_over: false,
        })
        .collect();
    generation::assign(task, remembered, &wanted).map(|assigned| assigned.state_keys)
}

/// Where the catalog says a connector comes from, as the launch wants to know it. `installation` is that of the state directory which the
/// caller holds.
///
/// # Errors
/// `config` for an address that cannot be one.
pub fn location(
    catalog: &Catalog,
    endpoint: &Endpoint,
    installation: Option<&str>,
) -> Result<Location, longshore_proto::Error> {
    Ok(match endpoint {
        Endpoint::Bundled { name, .. } => Location::Bundled(name.clone()),
        Endpoint::Command { argv, .. } => Location::Command(argv.clone()),
        Endpoint::Address { url, token_file, tls } => {
            Location::Address { address: Address::parse(url)?, token_file: token_file.clone(), tls: tls.clone() }
        }
        Endpoint::Image(image) => Location::Image {
            image: image.clone(),
            pinned: catalog.pins.images.get(&image.reference).cloned(),
            installation: installation.map(str::to_owned),
        },
    })
}

/// What the catalog says of a process's sandbox.
#[must_use]
pub fn hold(endpoint: &Endpoint) -> Hold {
    match endpoint {
        Endpoint::Bundled { hold, .. } | Endpoint::Command { hold, .. } => *hold,
        Endpoint::Address { .. } | Endpoint::Image(_) => Hold::default(),
    }
}

/// Prepares a capture. `known` holds the collections whose schema the journal has; those with neither a written nor a known schema are
/// discovered.
///
/// # Errors
/// Findings in the catalog, or the connector's error.
pub async fn capture(
    catalog: &Catalog,
    task: &CaptureTask,
    client: &CaptureClient,
    owner: Owner,
    known: &Collections,
) -> Result<CapturePlan, Problem> {
    let spec = client.spec().await?;
    let columns = task.bindings.iter().filter_map(|binding| binding.columns.as_ref());
    let refused = columns.filter_map(|columns| columns.refused_by(&spec.name, &spec.resource_schema_json));
    passed(catalog.diagnostics(refused.collect()))?;
    let what = format!("capture `{}`", task.name);
    let resources = task.bindings.iter().map(|binding| (&binding.resource, &spec.resource_schema_json));
    let typed = typed(catalog, &what, (&task.config, &spec.config_schema_json), resources)?;

    let collections = collections_of(catalog, task, client, &typed, known).await?;
    let proposed = |(binding, resource): (&CaptureBinding, &Typed)| ProposedBinding {
        resource_json: resource.json.clone(),
        collection: collections[&binding.collection].clone(),
        delta_updates: false,
        selection: Selection::default(),
    };
    let bindings: Vec<ProposedBinding> = task.bindings.iter().zip(&typed.resources).map(proposed).collect();
    let config_json = typed.config.json.clone();
    let request = capture::Validate { owner, config_json: config_json.clone(), bindings: bindings.clone() };
    let validated = client.validate(request).await?;
    let mut findings = validated.findings;
    if findings.iter().all(|finding| finding.severity != Severity::Error) {
        findings.extend(
            bindings.iter().enumerate().filter_map(|(index, binding)| keys::finding(index, &binding.collection)),
        );
    }
    passed(catalog.findings(&task.name, &findings, typed.all()))?;
    let planned = |(proposed, resource_path): (ProposedBinding, Vec<String>)| Planned {
        resource_json: proposed.resource_json,
        resource_path,
        collection: proposed.collection,
        delta_updates: false,
        accumulates: false,
        renews: false,
        selection: proposed.selection,
        given: Vec::new(),
    };
    let bindings = bindings.into_iter().zip(validated.resource_paths).map(planned).collect();
    Ok(CapturePlan { spec, config_json, bindings })
}

/// Key and schema of each collection a capture writes: as written, else as the journal knows it, else as discovered.
async fn collections_of(
    catalog: &Catalog,
    task: &CaptureTask,
    client: &CaptureClient,
    typed: &TypedTask,
    known: &Collections,
) -> Result<Collections, Problem> {
    let mut found = Collections::new();
    let mut asked = Vec::new();
    for (index, binding) in task.bindings.iter().enumerate() {
        let name = &binding.collection;
        let written = catalog.collections.get(name);
        let key = written.and_then(|w| w.key.clone());
        let before = known.get(name);
        let schema = policy::schema(written, before.map(|k| &k.schema_json))?;
        match (key.or_else(|| before.map(|k| k.key.clone())), schema) {
            (Some(key), Some(schema_json)) => {
                let schema_version = before.map_or(0, |k| k.schema_version);
                found.insert(name.clone(), Collection { name: name.clone(), key, schema_json, schema_version });
            }
            _ => asked.push(index),
        }
    }
    if asked.is_empty() {
        return Ok(found);
    }
    let resources_json = asked.iter().map(|&index| typed.resources[index].json.clone()).collect();
    let discovered =
        client.discover(capture::Discover { config_json: typed.config.json.clone(), resources_json }).await?;
    if discovered.len() != asked.len() {
        return Err(Problem::discovered(client.name(), asked.len(), discovered.len()));
    }
    for (&index, discovered) in asked.iter().zip(discovered) {
        let name = &task.bindings[index].collection;
        let written = catalog.collections.get(name);
        let key = written.and_then(|w| w.key.clone()).unwrap_or(discovered.key);
        let stated = task.bindings[index].wanted_of(discovered.schema_json, &key)?;
        let schema_json = policy::schema(written, None)?.unwrap_or(stated);
        let schema_json = match found.get(name) {
            // Two bindings write one collection: its schema admits the documents of both.
            Some(other) => union(&other.schema_json, &schema_json)?,
            None => schema_json,
        };
        found.insert(name.clone(), Collection { name: name.clone(), key, schema_json, schema_version: 0 });
    }
    Ok(found)
}

/// What a materialization is asked with.
#[allow(missing_debug_implementations, reason = "it holds a function")]
pub struct Asking<'a> {
    /// Whose call it is.
    pub owner: Owner,
    /// All that it reads, known.
    pub collections: &'a Collections,
    /// As it was applied last.
    pub before: &'a [SpecBinding],
    /// What the task has committed.
    pub ours: &'a Checkpoint,
    /// Whether the user asked to start over this collection and resource path.
    pub starts_over: &'a (dyn Fn(&str, &[String]) -> bool + Sync),
    /// What the tasks before have claimed; gets what this one does.
    pub claims: &'a Claims,
}

/// Prepares a materialization of collections that are all known.
///
/// # Errors
/// Findings in the catalog, or the connector's error.
pub async fn materialization(
    catalog: &Catalog,
    task: &MaterializationTask,
    client: &MaterializeClient,
    asking: Asking<'_>,
) -> Result<MaterializationPlan, Problem> {
    let Asking { owner, collections, before, ours, starts_over, claims } = asking;
    let spec = client.spec().await?;
    let what = format!("materialization `{}`", task.name);
    let resources = task.bindings.iter().map(|binding| (&binding.resource, &spec.resource_schema_json));
    let typed = typed(catalog, &what, (&task.config, &spec.config_schema_json), resources)?;
    let config_json = typed.config.json.clone();
    let mut bindings = Vec::with_capacity(task.bindings.len());
    let mut given = Vec::with_capacity(task.bindings.len());
    let mut selecting = Selecting::new(&spec, before, starts_over);
    for (binding, resource) in task.bindings.iter().zip(&typed.resources) {
        let Some(collection) = collections.get(&binding.collection) else {
            return Err(Problem::unknown_collection(&task.name, &binding.collection));
        };
        let resolved = selecting.of(binding, &resource.json, collection);
        given.push(resolved.given);
        bindings.push(ProposedBinding {
            resource_json: resource.json.clone(),
            collection: collection.clone(),
            delta_updates: binding.delta_updates,
            selection: resolved.selection,
        });
    }
    selecting.decided(catalog)?;
    let request = materialize::Validate { owner, config_json: config_json.clone(), bindings: bindings.clone() };
    let validated = client.validate(request).await?;
    let mut findings = validated.findings;
    for (index, (binding, said)) in bindings.iter().zip(&validated.bindings).enumerate() {
        let starts_over = starts_over(&binding.collection.name, &said.resource_path);
        findings.extend(super::fit::findings(index, binding, said, starts_over));
        findings.extend(super::reducing::reduction(index, binding, said, spec.guarantee));
        findings.extend(claims.claim(&task.name, &spec.name, index, said));
    }
    passed(catalog.findings(&task.name, &findings, typed.all()))?;
    let lives = ours.lives();
    let planned =
        |((proposed, given), said): ((ProposedBinding, Vec<Given>), &materialize::ValidatedBinding)| Planned {
            resource_json: proposed.resource_json,
            resource_path: said.resource_path.clone(),
            renews: said.backfills && !proposed.delta_updates && lives.has_read(&said.resource_path),
            accumulates: super::reducing::accumulates(&proposed.collection, proposed.delta_updates),
            collection: proposed.collection,
            delta_updates: proposed.delta_updates,
            selection: proposed.selection,
            given,
        };
    let bindings = bindings.into_iter().zip(given).zip(&validated.bindings).map(planned).collect();
    Ok(MaterializationPlan { spec, config_json, bindings, validated: validated.bindings, recorded: validated.recorded })
}

/// The config of a materialization alone, as its connector gets it: for a session whose bindings are not those of the catalog.
///
/// # Errors
/// Findings in the catalog.
pub(super) fn config_of(
    catalog: &Catalog,
    task: &MaterializationTask,
    spec: &materialize::Spec,
) -> Result<Bytes, Problem> {
    let what = format!("the config of materialization `{}`", task.name);
    Ok(catalog.typed(&task.config, &spec.config_schema_json, &what)?.json)
}

/// A task's config and resources as its connector gets them.
struct TypedTask {
    config: Typed,
    resources: Vec<Typed>,
}

impl TypedTask {
    fn all(&self) -> impl Iterator<Item = &Typed> {
        std::iter::once(&self.config).chain(&self.resources)
    }
}

/// Types config and resources by the connector's schemas; all findings together.
fn typed<'a>(
    catalog: &Catalog,
    what: &str,
    config: (&Node, &Bytes),
    resources: impl Iterator<Item = (&'a Node, &'a Bytes)>,
) -> Result<TypedTask, Problem> {
    let mut wrong: Option<Diagnostics> = None;
    let mut one = |node: &Node, schema: &Bytes, what: String| match catalog.typed(node, schema, &what) {
        Ok(typed) => Some(typed),
        Err(found) => {
            wrong = Some(match wrong.take() {
                Some(before) => before.and(found),
                None => found,
            });
            None
        }
    };
    let config = one(config.0, config.1, format!("the config of {what}"));
    let resources: Vec<Option<Typed>> = resources
        .enumerate()
        .map(|(index, (node, schema))| one(node, schema, format!("resource {} of {what}", index + 1)))
        .collect();
    match (config, resources.into_iter().collect::<Option<Vec<_>>>(), wrong) {
        (Some(config), Some(resources), None) => {
            let secrets = resources.iter().flat_map(Typed::secrets).map(|span| secret_in_resource(*span, what));
            passed(catalog.diagnostics(secrets.collect()))?;
            Ok(TypedTask { config, resources })
        }
        (_, _, wrong) => Err(wrong.unwrap_or_else(|| catalog.diagnostics(Vec::new())).into()),
    }
}

/// What was applied is remembered with its resources, so that a later run can tell what changed.
fn secret_in_resource(span: Span, what: &str) -> Diagnostic {
    let message = format!("a secret in a resource of {what}: resources are written into the state directory");
    let help = "secrets belong into `config`; if the connector's schema wants one here, tell its authors";
    Diagnostic::error(Code::ConfigSecret, span, message, help)
}

/// Errors stop; warnings are told and let pass.
fn passed(findings: Diagnostics) -> Result<(), Problem> {
    if findings.has_errors() {
        return Err(findings.into());
    }
    for warning in findings.iter() {
        tracing::warn!(target: "longshore", code = %warning.code, "{}; {}", warning.message, warning.help);
    }
    Ok(())
}

/// A schema that admits what either admits.
pub(super) fn union(one: &Bytes, other: &Bytes) -> Result<Bytes, longshore_proto::Error> {
    Ok(match document::widen(one, other)? {
        Widened::Same => one.clone(),
        Widened::Wider(wider) => wider.into(),
    })
}
