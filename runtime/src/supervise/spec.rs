//! A task's bindings as they were last applied, kept in the task store: the next Apply is told what was before, and a transaction that was
//! begun under them can be finished under them.

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
    /// Where it is not so it is not written: specs of captures, and those of before this was kept, have it nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    wants_existence: bool,
}

/// A binding of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpecBinding {
    /// As it was applied.
    pub(super) binding: Binding,
    /// Materializations: its Stores say whether the row exists. Loads and Stores depend on it.
    pub(super) wants_existence: bool,
}

/// The bindings of a spec; none for a task that was never applied.
///
/// # Errors
/// `internal` when the task store holds something else.
pub(super) fn parse(spec: Option<&SpecVersion>) -> Result<Vec<Binding>, Error> {
    Ok(whole(spec)?.into_iter().map(|kept| kept.binding).collect())
}

/// The same, with all that a session of this spec needs.
///
/// # Errors
/// As [`parse`].
pub(super) fn whole(spec: Option<&SpecVersion>) -> Result<Vec<SpecBinding>, Error> {
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
        let wants_existence = kept.wants_existence;
        let binding = Binding {
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
        };
        Ok(SpecBinding { binding, wants_existence })
    };
    kept.into_iter().map(binding).collect()
}

/// The version that follows, or the same one if nothing changed. `wants_existence` is by binding; where nothing is said, it is not so.
///
/// # Errors
/// `internal` when a resource or schema is not JSON, which the parse of Validate rules out.
pub(super) fn next(
    before: Option<&SpecVersion>,
    bindings: &[Binding],
    wants_existence: &[bool],
) -> Result<SpecVersion, Error> {
    let raw = |json: &Bytes| {
        let text = String::from_utf8_lossy(json).into_owned();
        serde_json::value::RawValue::from_string(text).map_err(|error| Error::internal("state.spec", error.to_string()))
    };
    let keep = |(index, binding): (usize, &Binding)| {
        Ok(Kept {
            state_key: binding.state_key.as_str().to_owned(),
            resource_path: binding.resource_path.clone(),
            resource: raw(&binding.resource_json)?,
            collection: binding.collection.name.clone(),
            key: binding.collection.key.clone(),
            schema: raw(&binding.collection.schema_json)?,
            schema_version: binding.collection.schema_version,
            delta_updates: binding.delta_updates,
            wants_existence: wants_existence.get(index).copied().unwrap_or(false),
        })
    };
    let kept: Vec<Kept> = bindings.iter().enumerate().map(keep).collect::<Result<_, Error>>()?;
    let json = serde_json::to_vec(&kept).map_err(|error| Error::internal("state.spec", error.to_string()))?;
    let spec_json = Bytes::from(json);
    Ok(match before {
        Some(before) if before.spec_json == spec_json => before.clone(),
        before => SpecVersion { version: before.map_or(0, |before| before.version) + 1, spec_json },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(name: &str, schema_version: u64) -> Binding {
        Binding {
            state_key: StateKey::new(&[name.to_owned()], 2),
            resource_path: vec![name.to_owned()],
            resource_json: Bytes::from_static(br#"{ "name": 1.50 }"#),
            collection: Collection {
                name: format!("t/{name}"),
                key: vec!["/id".to_owned()],
                schema_json: Bytes::from_static(br#"{"type":"object"}"#),
                schema_version,
            },
            delta_updates: true,
        }
    }

    #[test]
    fn a_spec_gives_back_all_that_a_session_was_opened_with() {
        let bindings = [binding("a", 1), binding("b", 3)];
        let spec = next(None, &bindings, &[false, true]).expect("a spec");
        let kept = whole(Some(&spec)).expect("readable");
        assert_eq!(kept.iter().map(|kept| kept.wants_existence).collect::<Vec<_>>(), [false, true]);
        assert_eq!(parse(Some(&spec)).expect("readable"), bindings, "to the letter, also how a number was written");
    }

    #[test]
    fn whatever_a_session_depends_on_makes_a_new_version() {
        let first = next(None, &[binding("a", 1)], &[]).expect("a spec");
        let version =
            |bindings: &[Binding], wants: &[bool]| next(Some(&first), bindings, wants).expect("a spec").version;
        assert_eq!((first.version, version(&[binding("a", 1)], &[false])), (1, 1));
        assert_eq!(version(&[binding("a", 2)], &[]), 2, "a wider schema");
        assert_eq!(version(&[binding("a", 1), binding("b", 1)], &[]), 2, "another binding");
        assert_eq!(version(&[binding("a", 1)], &[true]), 2, "another question to the destination");
    }

    #[test]
    fn a_spec_of_before_existence_was_kept_is_read_and_stays_the_same() {
        let first = next(None, &[binding("a", 1)], &[false]).expect("a spec");
        assert!(!String::from_utf8_lossy(&first.spec_json).contains("existence"));
        assert!(!whole(Some(&first)).expect("readable")[0].wants_existence);
    }
}
