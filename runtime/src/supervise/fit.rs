//! Whether a destination can take a binding the way the user wants it: what Validated said, turned into findings.

use longshore_proto::materialize::message::{Constraint, Modes, ValidatedBinding};
use longshore_proto::session::{Finding, ProposedBinding, Severity};

/// What is wrong with this binding, given what the destination said of it. One that starts over gets room for whatever it needs.
pub(super) fn findings(
    index: usize,
    binding: &ProposedBinding,
    said: &ValidatedBinding,
    starts_over: bool,
) -> Vec<Finding> {
    let finding = |code: &str, message: String, suggestion: &str| Finding {
        severity: Severity::Error,
        code: code.to_owned(),
        binding: Some(index),
        pointer: String::new(),
        message,
        suggestion: suggestion.to_owned(),
    };
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
