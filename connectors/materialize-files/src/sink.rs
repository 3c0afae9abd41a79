//! The materialization as the SDK sees it.

use std::collections::HashMap;
use std::path::Path;

use longshore_sdk::materialize::{
    Accepts, Applied, ApplyRequest, Fence, Finding, Idempotent, Materialize, MaterializeSpec, Modes, OpenRequest,
    Opened, Proposed, Severity, Staging, ValidateRequest, Validation,
};
use longshore_sdk::{Error, Result, blocking, finding, place};

use crate::apply::{apply, in_the_way};
use crate::config::{Config, Format, Resource};
use crate::owner::Places;
use crate::publish::{As, Plan, publish};
use crate::session::Session;

/// Files in directories.
#[derive(Debug)]
pub(crate) struct Files;

impl Materialize for Files {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> MaterializeSpec {
        MaterializeSpec {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            resource_path_pointers: &["/name"],
            documentation_url: "",
            deletes: false,
            reserved_field_names: &[],
            identifier_max_bytes: None,
            identifier_case_insensitive: false,
            identifier_forbidden_characters: "",
            keeps_meta: false,
        }
    }

    async fn validate(&self, request: ValidateRequest<Config, Resource>) -> Result<Validation> {
        blocking(|| validate(&request))
    }

    async fn apply(&self, request: ApplyRequest<Config, Resource>) -> Result<Vec<String>> {
        blocking(|| apply(&request))
    }
}

impl Idempotent for Files {
    type Plan = Plan;
    type Session = Session;

    async fn open(&self, open: OpenRequest<Config, Resource>, staging: Staging) -> Result<Opened<Session>> {
        blocking(|| {
            let OpenRequest { owner, config, bindings } = open;
            let places = Places::new(&config.path, &owner);
            let recorded = places.open(&staging)?;
            let session = Session::new(config, staging, places, bindings)?;
            Ok(Opened { session, recorded, close_policy: Default::default() })
        })
    }

    async fn drain(&self, request: &ApplyRequest<Config, Resource>, applied: Applied<Plan>) -> Result<()> {
        blocking(|| {
            let places = Places::new(&request.config.path, &request.owner);
            publish(&places, &Fence::new(request.owner.clone()), As::Apply, &applied)
        })
    }
}

fn validate(request: &ValidateRequest<Config, Resource>) -> Result<Validation> {
    let path = &request.config.path;
    let mut findings: Vec<Finding> = directory_fault(path).map(finding::error).into_iter().collect();
    let path_is_good = findings.is_empty();
    let mut names: HashMap<String, usize> = HashMap::new();
    for (index, binding) in request.bindings.iter().enumerate() {
        let name = &binding.resource.name;
        let fault = binding.resource.fault().map(|fault| {
            let message = format!("expected a name for a directory below the config's path, got {fault}: {name:?}");
            Error::config("files.resource.name", message)
                .at_pointer("/name")
                .suggest("name it like `flights` or `nyc/flights`")
        });
        let twice = names
            .insert(name.to_ascii_lowercase(), index)
            .filter(|&other| request.bindings[other].resource.name != *name);
        let twice = twice.map(|other| {
            let other = &request.bindings[other].resource.name;
            let message = format!("expected names that differ in more than case, got {other:?} and {name:?}");
            Error::config("files.resource.name", message).at_pointer("/name").suggest("name another directory")
        });
        let named: Vec<Error> = fault.into_iter().chain(twice).collect();
        if named.is_empty() && path_is_good {
            let fault = directory_fault(&path.join(name)).map(|fault| fault.at_pointer("/name").at_binding(index));
            findings.extend(fault.map(finding::error));
        }
        findings.extend(named.into_iter().map(|error| finding::error(error.at_binding(index))));
        findings.extend(leaves_out(request.config.format, index, binding));
    }
    let sound = findings.iter().all(|finding| finding.severity != Severity::Error);
    let recorded = if sound { Places::new(&request.config.path, &request.owner).read()? } else { None };
    // Whose the destination is comes first; that is compared where it is opened.
    let ours = recorded.as_ref().is_none_or(|recorded| recorded.installation == request.owner.installation);
    let mut bindings = Vec::with_capacity(request.bindings.len());
    for binding in &request.bindings {
        let directory = path.join(&binding.resource.name);
        let accepts = Accepts { claim: place::one_name(&directory), ..Accepts::new(Modes::DeltaOnly) };
        let what = if ours && sound { in_the_way(&request.owner, &directory)? } else { None };
        bindings.push(what.into_iter().fold(accepts, Accepts::only_fresh));
    }
    Ok(Validation { bindings, findings, recorded })
}

/// The nearest thing that is there must be a directory.
fn directory_fault(path: &Path) -> Option<Error> {
    let fault = place::fault_of_directory(path)?;
    let message = format!("expected a directory to write to, got {fault}");
    Some(
        Error::config("files.path", message)
            .at_pointer("/path")
            .suggest("name a directory; it is made if it is not there"),
    )
}

/// What will not be stored where nobody chose: a record has a place for declared fields only.
fn leaves_out(format: Format, index: usize, binding: &Proposed<Resource>) -> Option<Finding> {
    let Proposed { collection, selection, .. } = binding;
    if format != Format::Csv || selection.chosen {
        return None;
    }
    let schema: serde_json::Value = serde_json::from_slice(&collection.schema_json).ok()?;
    let message = format!(
        "collection {} admits fields that its schema does not declare; they get no column and are not stored",
        collection.name
    );
    let way = "declare them, close the schema with `additionalProperties: false`, keep whole documents with `fields: { document: doc }`, or take `format: jsonl`";
    let warning = Error::config("files.csv.open_schema", message).suggest(way).at_binding(index);
    (schema.get("additionalProperties") != Some(&serde_json::Value::Bool(false))).then(|| finding::warning(warning))
}
