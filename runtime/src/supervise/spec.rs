//! A task's bindings as they were last applied, kept in the task store so that the next Apply can be told what was before.

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::name::StateKey;
use longshore_proto::session::{Binding, Collection};
use serde::{Deserialize, Serialize};

use crate::store::SpecVersion;

#[derive(Serialize, Deserialize)]
struct Kept {
    state_key: String,
    resource_path: Vec<String>,
    resource: Box<serde_json::value::RawValue>,
    collection: String,
    key: Vec<String>,
    schema: Box<serde_json::value::RawValue>,
    schema_version: u64,
    delta_updates: bool,
}

/// The bindings of a spec; none for a task that was never applied.
///
/// # Errors
/// `internal` when the task store holds something else.
pub(super) fn parse(spec: Option<&SpecVersion>) -> Result<Vec<Binding>, Error> {
    let Some(spec) = spec else { return Ok(Vec::new()) };
    let damaged = |why: String| {
        Error::internal(
            "state.spec",
            format!("reading the applied spec (version {}) from state.db: {why}", spec.version),
        )
        .suggest("the state directory was changed by something else; put back a copy of it")
    };
    let kept: Vec<Kept> = serde_json::from_slice(&spec.spec_json).map_err(|error| damaged(error.to_string()))?;
    let binding = |kept: Kept| {
        Ok(Binding {
            state_key: StateKey::parse(&kept.state_key)
                .ok_or_else(|| damaged(format!("{} is not a state key", kept.state_key)))?,
            resource_path: kept.resource_path,
            resource_json: Bytes::from(kept.resource.get().to_owned()),
            collection: Collection {
                name: kept.collection,
                key: kept.key,
                schema_json: Bytes::from(kept.schema.get().to_owned()),
                schema_version: kept.schema_version,
            },
            delta_updates: kept.delta_updates,
        })
    };
    kept.into_iter().map(binding).collect()
}

/// The version that follows, or the same one if nothing changed.
///
/// # Errors
/// `internal` when a resource or schema is not JSON, which the parse of Validate rules out.
pub(super) fn next(before: Option<&SpecVersion>, bindings: &[Binding]) -> Result<SpecVersion, Error> {
    let raw = |json: &Bytes| {
        let text = String::from_utf8_lossy(json).into_owned();
        serde_json::value::RawValue::from_string(text).map_err(|error| Error::internal("state.spec", error.to_string()))
    };
    let keep = |binding: &Binding| {
        Ok(Kept {
            state_key: binding.state_key.as_str().to_owned(),
            resource_path: binding.resource_path.clone(),
            resource: raw(&binding.resource_json)?,
            collection: binding.collection.name.clone(),
            key: binding.collection.key.clone(),
            schema: raw(&binding.collection.schema_json)?,
            schema_version: binding.collection.schema_version,
            delta_updates: binding.delta_updates,
        })
    };
    let kept: Vec<Kept> = bindings.iter().map(keep).collect::<Result<_, Error>>()?;
    let json = serde_json::to_vec(&kept).map_err(|error| Error::internal("state.spec", error.to_string()))?;
    let spec_json = Bytes::from(json);
    Ok(match before {
        Some(before) if before.spec_json == spec_json => before.clone(),
        before => SpecVersion { version: before.map_or(0, |before| before.version) + 1, spec_json },
    })
}
