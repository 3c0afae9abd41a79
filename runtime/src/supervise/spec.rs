//! A task's bindings as they were last applied, kept in the task store: the next Apply is told what was before, and a transaction that was
//! begun under them can be finished under them.

use std::collections::HashMap;

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::name::StateKey;
use longshore_proto::selection::{Field, JsonType, Selection};
use longshore_proto::session::{Binding, Collection};
use serde::{Deserialize, Serialize};

use crate::materialize::target::Handling;
use crate::selection::Given;
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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    partial_updates: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncates: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    backfills: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    renews: bool,
    /// Materializations, and those of before fields were kept have them nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<KeptField>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    document: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fields_chosen: bool,
    /// What else was a field once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    given: Vec<KeptField>,
}

#[derive(Serialize, Deserialize)]
struct KeptField {
    pointer: String,
    name: String,
    types: Vec<String>,
}

impl From<&Field> for KeptField {
    fn from(field: &Field) -> Self {
        let types = field.types.iter().map(|of| of.as_str().to_owned()).collect();
        Self { pointer: field.pointer.clone(), name: field.name.clone(), types }
    }
}

impl From<KeptField> for Field {
    fn from(kept: KeptField) -> Self {
        let types = kept.types.iter().filter_map(|name| JsonType::named(name)).collect();
        Self { pointer: kept.pointer, name: kept.name, types }
    }
}

/// A binding of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecBinding {
    /// As it was applied.
    pub(super) binding: Binding,
    /// Materializations: how the destination has it.
    pub(super) handling: Handling,
    /// Materializations: rows of an older life of it were there when this one began, and stay until it has them.
    pub(super) renews: bool,
    /// Materializations: all that was ever a field of it.
    pub(super) given: Vec<Given>,
}

impl From<Binding> for SpecBinding {
    /// Of a capture.
    fn from(binding: Binding) -> Self {
        Self { binding, handling: Handling::default(), renews: false, given: Vec::new() }
    }
}

/// The bindings of a spec; none for a task that was never applied.
///
/// # Errors
/// `internal` when the task store holds something else.
pub fn parse(spec: Option<&SpecVersion>) -> Result<Vec<Binding>, Error> {
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
        let handling = Handling {
            wants_existence: kept.wants_existence,
            partial_updates: kept.partial_updates,
            truncates: kept.truncates,
            backfills: kept.backfills,
        };
        let selection = Selection {
            fields: kept.fields.into_iter().map(Field::from).collect(),
            document: kept.document,
            chosen: kept.fields_chosen,
        };
        let once = kept.given.into_iter().map(Field::from);
        let given = once.chain(selection.fields.iter().cloned()).map(Given::from).collect();
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
            selection,
        };
        Ok(SpecBinding { binding, handling, renews: kept.renews, given })
    };
    kept.into_iter().map(binding).collect()
}

/// The same for a materialization. One that was applied before fields were kept has those that its connector went by then.
///
/// # Errors
/// As [`parse`].
pub fn of_materialization(spec: Option<&SpecVersion>) -> Result<Vec<SpecBinding>, Error> {
    let mut bindings = whole(spec)?;
    for SpecBinding { binding, given, .. } in bindings.iter_mut().filter(|one| one.binding.selection.fields.is_empty())
    {
        let Collection { key, schema_json, .. } = &binding.collection;
        let schema = serde_json::from_slice(schema_json).unwrap_or_default();
        binding.selection = Selection::plain(&schema, key, false);
        *given = binding.selection.fields.iter().cloned().map(Given::from).collect();
    }
    Ok(bindings)
}

/// Whether a binding that begins under this name renews the rows of an older life, or has begun to: what was applied of it says so, and of a new
/// name its generation.
pub(super) fn begins_or_goes_on_renewing(before: &[SpecBinding]) -> impl Fn(&StateKey) -> bool {
    let known: HashMap<&StateKey, bool> = before.iter().map(|one| (&one.binding.state_key, one.renews)).collect();
    move |state_key| known.get(state_key).copied().unwrap_or(state_key.generation() > 0)
}

/// The version that follows, or the same one if nothing changed.
///
/// # Errors
/// `internal` when a resource or schema is not JSON, which the parse of Validate rules out.
pub(super) fn next(before: Option<&SpecVersion>, bindings: &[SpecBinding]) -> Result<SpecVersion, Error> {
    let raw = |json: &Bytes| {
        let text = String::from_utf8_lossy(json).into_owned();
        serde_json::value::RawValue::from_string(text).map_err(|error| Error::internal("state.spec", error.to_string()))
    };
    let keep = |SpecBinding { binding, handling, renews, given }: &SpecBinding| {
        let Selection { fields, document, chosen } = &binding.selection;
        let is_now = |old: &Field| fields.iter().any(|field| field.pointer == old.pointer && field.name == old.name);
        let given = given.iter().cloned().map(Field::from).filter(|old| !is_now(old));
        Ok(Kept {
            state_key: binding.state_key.as_str().to_owned(),
            resource_path: binding.resource_path.clone(),
            resource: raw(&binding.resource_json)?,
            collection: binding.collection.name.clone(),
            key: binding.collection.key.clone(),
            schema: raw(&binding.collection.schema_json)?,
            schema_version: binding.collection.schema_version,
            delta_updates: binding.delta_updates,
            wants_existence: handling.wants_existence,
            partial_updates: handling.partial_updates,
            truncates: handling.truncates,
            backfills: handling.backfills,
            renews: *renews,
            fields: fields.iter().map(KeptField::from).collect(),
            document: document.clone(),
            fields_chosen: *chosen,
            given: given.map(|field| KeptField::from(&field)).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(name: &str, schema_version: u64) -> SpecBinding {
        let binding = Binding {
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
            selection: Selection::default(),
        };
        binding.into()
    }

    fn field(pointer: &str, name: &str) -> Field {
        Field { pointer: pointer.to_owned(), name: name.to_owned(), types: vec![JsonType::Integer, JsonType::String] }
    }

    fn with_fields(fields: &[Field], once: &[Field]) -> SpecBinding {
        let mut binding = binding("a", 1);
        binding.binding.selection =
            Selection { fields: fields.to_vec(), document: Some("doc".to_owned()), chosen: true };
        binding.given = once.iter().chain(fields).cloned().map(Given::from).collect();
        binding
    }

    #[test]
    fn a_spec_gives_back_all_that_a_session_was_opened_with() {
        let mut bindings = [binding("a", 1), binding("b", 3), with_fields(&[field("/id", "ID")], &[field("/x", "x")])];
        bindings[1].renews = true;
        bindings[1].handling =
            Handling { wants_existence: true, partial_updates: true, truncates: true, backfills: true };
        let spec = next(None, &bindings).expect("a spec");
        assert_eq!(whole(Some(&spec)).expect("readable"), bindings, "to the letter, also how a number was written");
        assert_eq!(parse(Some(&spec)).expect("readable"), bindings.map(|one| one.binding));
    }

    #[test]
    fn whatever_a_session_depends_on_makes_a_new_version() {
        let first = next(None, &[binding("a", 1)]).expect("a spec");
        let version = |bindings: &[SpecBinding]| next(Some(&first), bindings).expect("a spec").version;
        assert_eq!((first.version, version(&[binding("a", 1)])), (1, 1));
        assert_eq!(version(&[binding("a", 2)]), 2, "a wider schema");
        assert_eq!(version(&[binding("a", 1), binding("b", 1)]), 2, "another binding");
        let none = Handling::default();
        for handling in [
            Handling { wants_existence: true, ..none },
            Handling { partial_updates: true, ..none },
            Handling { truncates: true, ..none },
            Handling { backfills: true, ..none },
        ] {
            let other = SpecBinding { handling, ..binding("a", 1) };
            assert_eq!(version(&[other]), 2, "handled otherwise by the destination");
        }
        assert_eq!(version(&[SpecBinding { renews: true, ..binding("a", 1) }]), 2, "in a new life");
        assert_eq!(version(&[with_fields(&[field("/id", "id")], &[])]), 2, "other fields");
    }

    #[test]
    fn a_spec_of_before_existence_and_fields_were_kept_is_read_and_stays_the_same() {
        let first = next(None, &[binding("a", 1)]).expect("a spec");
        let text = String::from_utf8_lossy(&first.spec_json).into_owned();
        assert!(
            !text.contains("existence")
                && !text.contains("partial")
                && !text.contains("renews")
                && !text.contains("fields")
                && !text.contains("given"),
            "{text}"
        );
        assert!(whole(Some(&first)).expect("readable")[0].handling == Handling::default());
        let now = of_materialization(Some(&first)).expect("readable");
        assert_eq!(now[0].binding.selection.fields.len(), 1, "the key, which the schema does not declare");
        assert_eq!(now[0].given[0].name, "id");
    }
}
