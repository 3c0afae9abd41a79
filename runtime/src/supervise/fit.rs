//! Whether a destination can take a binding the way the user wants it: what Validated said, turned into findings.

use longshore_proto::materialize::message::{Constraint, Guarantee, Loads, Modes, ValidatedBinding};
use longshore_proto::session::{Finding, ProposedBinding, Severity};

use crate::document::reduce::Reducer;

/// What is wrong with this binding, given what the destination said of it. One that starts over gets room for whatever it needs.
pub(super) fn findings(
    index: usize,
    binding: &ProposedBinding,
    said: &ValidatedBinding,
    starts_over: bool,
) -> Vec<Finding> {
    let finding = |code: &str, message: String, suggestion: &str| error(index, code, message, suggestion);
    let collection = &binding.collection.name;
    let mut findings = Vec::new();
    match (said.modes, binding.delta_updates) {
        (Modes::DeltaOnly, false) => findings.push(finding(
            "binding.delta_only",
            format!("this destination cannot keep one row a key of {collection}: it only adds documents"),
            "add `delta_updates: true` to the binding: every document is stored, in order",
        )),
        (Modes::Standard, true) => findings.push(finding(
            "binding.standard_only",
            format!("this destination cannot add every document of {collection}: it keeps one row a key"),
            "remove `delta_updates: true` from the binding",
        )),
        (Modes::Both, _) | (Modes::DeltaOnly, true) | (Modes::Standard, false) => {}
    }
    for field in &said.fields {
        let what = match field.pointer.as_str() {
            "" => format!("{collection}: {}", field.reason),
            pointer => format!("field {pointer} of {collection}: {}", field.reason),
        };
        match field.constraint {
            Constraint::Forbidden => findings.push(finding(
                "field.forbidden",
                what,
                "leave the field out at the source, or give the collection a schema the destination can hold",
            )),
            Constraint::Incompatible if starts_over => {}
            Constraint::Incompatible => findings.push(finding(
                "field.incompatible",
                what,
                "start the binding over with `run --fresh TASK/BINDING`, or put the schema back",
            )),
            Constraint::Required | Constraint::Recommended | Constraint::Optional => {}
        }
    }
    findings
}

/// What is wrong with how the collection is reduced, given what this destination gives back of a row and promises. Documents of a delta
/// binding are not reduced.
pub(super) fn reductions(
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
    let name = &collection.name;
    let because = match said.loads_reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    let missing = reducer.locations().into_iter().find(|location| location.starts_with("/*"));
    let (code, message, suggestion) = match (said.loads, missing) {
        (Loads::Nothing, _) => (
            "reduce.not_loaded",
            format!(
                "{name} is reduced onto the row that is there, and this destination does not give rows back{because}"
            ),
            "remove `reduce` from the collection's schema, or add `delta_updates: true` to store every document",
        ),
        (Loads::Fields, Some(_)) => (
            "reduce.not_stored",
            format!(
                "{name} reduces fields that its schema does not declare, and this destination stores and gives back the declared ones only"
            ),
            "declare each field that is reduced in `properties`",
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

fn error(index: usize, code: &str, message: String, suggestion: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        code: code.to_owned(),
        binding: Some(index),
        pointer: String::new(),
        message,
        suggestion: suggestion.to_owned(),
    }
}
