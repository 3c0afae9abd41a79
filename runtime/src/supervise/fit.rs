//! Whether a destination can take a binding the way the user wants it: what Validated said, turned into findings.

use longshore_proto::materialize::message::{Constraint, FieldConstraint, Modes, ValidatedBinding};
use longshore_proto::session::{Finding, ProposedBinding, Severity};

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
        findings.extend(of_field(field, binding, starts_over).map(|(code, what, way)| finding(code, what, way)));
    }
    findings
}

/// What keeps a task from running, about a binding as a whole.
pub(super) fn error(index: usize, code: &str, message: String, suggestion: &str) -> Finding {
    let (code, suggestion) = (code.to_owned(), suggestion.to_owned());
    Finding { severity: Severity::Error, code, binding: Some(index), pointer: String::new(), message, suggestion }
}

/// What is wrong with one field: a code, what, and the way out.
fn of_field(
    field: &FieldConstraint,
    binding: &ProposedBinding,
    starts_over: bool,
) -> Option<(&'static str, String, &'static str)> {
    let collection = &binding.collection;
    let is_whole = field.pointer.is_empty();
    let is_kept = binding.selection.place(&field.pointer).is_some();
    let what = match field.pointer.as_str() {
        "" => format!("{}: {}", collection.name, field.reason),
        pointer => format!("field {pointer} of {}: {}", collection.name, field.reason),
    };
    match field.constraint {
        Constraint::Forbidden if is_whole => {
            Some(("field.forbidden", what, "store the collection into another destination, or into another resource"))
        }
        Constraint::Forbidden if collection.key.contains(&field.pointer) => Some((
            "field.forbidden",
            what,
            "it is a part of the key, which is always kept: give the collection a key that the destination can hold",
        )),
        Constraint::Forbidden if is_kept => {
            Some(("field.forbidden", what, "leave it out, with `exclude` of the binding's `fields`"))
        }
        Constraint::Incompatible if starts_over => None,
        Constraint::Incompatible if is_whole => Some((
            "field.incompatible",
            what,
            "start the binding over with `run --fresh TASK/BINDING`, or put the schema back",
        )),
        Constraint::Incompatible if is_kept => Some((
            "field.incompatible",
            what,
            "leave it out, with `exclude` of the binding's `fields`; give each type a column, with `on_conflict: split`; or start the binding over with `run --fresh TASK/BINDING`",
        )),
        Constraint::Required if !is_whole && !is_kept => Some((
            "field.required",
            what,
            "the destination needs it: take it out of `exclude`, or name it in `include` of the binding's `fields`",
        )),
        // What is not kept may be whatever it is.
        Constraint::Forbidden | Constraint::Incompatible => None,
        Constraint::Required | Constraint::Recommended | Constraint::Optional => None,
    }
}

#[cfg(test)]
mod tests {
    use longshore_proto::materialize::message::Loads;
    use longshore_proto::selection::Selection;
    use longshore_proto::session::Collection;
    use serde_json::json;

    use super::*;

    fn codes(pointer: &str, constraint: Constraint, starts_over: bool) -> Vec<String> {
        let schema = json!({ "properties": { "id": {}, "v": {} } });
        let key = vec!["/id".to_owned()];
        let selection = Selection::plain(&schema, &key, false);
        let collection =
            Collection { name: "a/b".to_owned(), key, schema_json: schema.to_string().into(), schema_version: 1 };
        let binding = ProposedBinding { resource_json: "{}".into(), collection, delta_updates: false, selection };
        let fields = vec![FieldConstraint { pointer: pointer.to_owned(), constraint, reason: "so it is".to_owned() }];
        let said = ValidatedBinding {
            resource_path: vec!["t".to_owned()],
            modes: Modes::Both,
            wants_existence: false,
            fields,
            claim: String::new(),
            loads: Loads::Nothing,
            partial_updates: false,
            truncates: false,
            backfills: false,
            loads_reason: String::new(),
        };
        findings(0, &binding, &said, starts_over).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn what_a_destination_says_of_a_field_counts_where_the_field_is_kept() {
        use Constraint::{Forbidden, Incompatible, Optional, Recommended, Required};
        assert_eq!(codes("/v", Forbidden, false), ["field.forbidden"]);
        assert_eq!(codes("/id", Forbidden, false), ["field.forbidden"]);
        assert_eq!(codes("", Forbidden, true), ["field.forbidden"]);
        assert_eq!(codes("/v", Incompatible, false), ["field.incompatible"]);
        assert_eq!(codes("", Incompatible, false), ["field.incompatible"]);
        assert_eq!(codes("/other", Required, false), ["field.required"]);
        let nothing: [&str; 0] = [];
        assert_eq!(codes("/v", Incompatible, true), nothing, "started over it gets what it needs");
        assert_eq!(codes("/other", Forbidden, false), nothing);
        assert_eq!(codes("/other", Incompatible, false), nothing);
        assert_eq!(codes("/id", Required, false), nothing);
        assert_eq!((codes("/v", Recommended, false), codes("/other", Optional, false)), (vec![], vec![]));
    }
}
