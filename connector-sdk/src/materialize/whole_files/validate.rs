//! What Validate can see of a destination of whole files, changing nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::apply::in_the_way;
use super::owner::Places;
use super::resource::Resource;
use super::storage::Storage;
use crate::materialize::{Accepts, Finding, Modes, Severity, ValidateRequest, Validation};
use crate::{Error, Result, finding};

/// Looks at names and at what is there. The caller adds what its format has to say.
pub fn validate<C>(storage: Arc<dyn Storage>, request: &ValidateRequest<C, Resource>) -> Result<Validation> {
    let mut findings: Vec<Finding> = storage.fault("").map(finding::error).into_iter().collect();
    let is_good = findings.is_empty();
    let mut names: HashMap<String, &String> = HashMap::new();
    for (index, binding) in request.bindings.iter().enumerate() {
        let name = &binding.resource.name;
        let fault = binding.resource.fault().map(|fault| {
            wrong_name(format!("expected a name for a directory below the destination, got {fault}: {name:?}"))
                .suggest("name it like `flights` or `nyc/flights`")
        });
        let twice = names.insert(name.to_ascii_lowercase(), name).filter(|other| *other != name).map(|other| {
            wrong_name(format!("expected names that differ in more than case, got {other:?} and {name:?}"))
                .suggest("name another directory")
        });
        let named: Vec<Error> = fault.into_iter().chain(twice).collect();
        if named.is_empty() && is_good {
            let fault = storage.fault(name).map(|fault| fault.at_pointer("/name").at_binding(index));
            findings.extend(fault.map(finding::error));
        }
        findings.extend(named.into_iter().map(|error| finding::error(error.at_binding(index))));
    }
    let sound = findings.iter().all(|finding| finding.severity != Severity::Error);
    let places = Places::new(Arc::clone(&storage), &request.owner);
    let recorded = if sound { places.read()? } else { None };
    // Whose the destination is comes first; that is compared where it is opened.
    let ours = recorded.as_ref().is_none_or(|recorded| recorded.installation == request.owner.installation);
    let mut bindings = Vec::with_capacity(request.bindings.len());
    for binding in &request.bindings {
        let name = &binding.resource.name;
        let accepts = Accepts { claim: storage.claim(name), ..Accepts::new(Modes::DeltaOnly) };
        let what = if ours && sound { in_the_way(&request.owner, &*storage, name)? } else { None };
        bindings.push(what.into_iter().fold(accepts, Accepts::only_fresh));
    }
    Ok(Validation { bindings, findings, recorded })
}

fn wrong_name(message: String) -> Error {
    Error::config("files.resource.name", message).at_pointer("/name")
}
