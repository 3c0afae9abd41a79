//! Whether a destination can keep a collection that is reduced by more than the last write: what it gives back of a row, turned into a
//! finding. What the annotations mean is in [`crate::document::reduce`].

use longshore_proto::materialize::message::{Guarantee, Loads, ValidatedBinding};
use longshore_proto::selection::Field;
use longshore_proto::session::{Collection, Finding, ProposedBinding};

use super::fit::error;
use crate::document::reduce::Reducer;
use crate::materialize::target::Handling;

/// What is wrong with how the collection is reduced, given what this destination gives back of a row and promises. Documents of a delta
/// binding are not reduced.
pub(super) fn reduction(
    index: usize,
    binding: &ProposedBinding,
    said: &ValidatedBinding,
    guarantee: Guarantee,
) -> Option<Finding> {
    let collection = &binding.collection;
    if binding.delta_updates {
        return None;
    }
    let reducer = match Reducer::compile(&collection.schema_json) {
        Ok(reducer) => reducer?,
        Err(wrong) => {
            let message = format!("collection `{}`: {}", collection.name, wrong.message);
            return Some(error(index, &wrong.code, message, &wrong.suggestion));
        }
    };
    if Handling::from(said).stores_parts(&reducer, &binding.selection) {
        return None;
    }
    let name = &collection.name;
    let because = match said.loads_reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    let is_kept = |location: &String| {
        let holds = |field: &Field| {
            location.strip_prefix(&field.pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        binding.selection.fields.iter().any(holds)
    };
    let missing = reducer.locations().into_iter().find(|location| !is_kept(location));
    let (code, message, suggestion) = match (said.loads, missing) {
        (Loads::Nothing, _) => (
            "reduce.not_loaded",
            format!(
                "{name} is reduced onto the row that is there, and this destination does not give rows back{because}"
            ),
            "keep the whole document too, with `fields: { document: doc }` where the destination can, add `delta_updates: true` to store every document, or remove `reduce` from the collection's schema",
        ),
        (Loads::Fields, Some(location)) => (
            "reduce.not_kept",
            format!("{name} is reduced at {location}, whose value this binding does not keep"),
            "declare the field in `properties` and keep it, or keep the whole document too, with `fields: { document: doc }`",
        ),
        _ if guarantee == Guarantee::AtLeastOnce && !reducer.is_idempotent() => (
            "reduce.counts_twice",
            format!(
                "{name} has a sum or append, and this destination may store a transaction twice, which would count twice"
            ),
            "use a transactional or idempotent destination, or add `delta_updates: true` to store every document",
        ),
        (Loads::Fields, None) | (Loads::Document, _) => return None,
    };
    Some(error(index, code, message, suggestion))
}

/// Documents of this collection that are stored again into such a binding would count twice. Of a delta binding the destination says so itself.
pub(super) fn accumulates(collection: &Collection, delta_updates: bool) -> bool {
    let reducer = Reducer::compile(&collection.schema_json).ok().flatten();
    !delta_updates && reducer.is_some_and(|reducer| !reducer.is_idempotent())
}
