//! The one place of the catalog that knows the JSON Schema validator: compiles a schema and says, in our words, what breaks it.
//!
//! The validator runs without its resolvers: a `$ref` to a file or a URL is an error, never a request.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// A compiled schema.
pub(super) struct Schema {
    json: Value,
    validator: Validator,
}

/// One rule that a value breaks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Violation {
    /// JSON pointer of the value.
    pub(super) pointer: String,
    /// The rule.
    pub(super) rule: Rule,
}

/// What the schema wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    /// No such keys.
    Unknown(Vec<String>),
    /// This key.
    Required(String),
    /// One of these types, by JSON Schema's names.
    Type(Vec<&'static str>),
    /// One of these values.
    Choice(Vec<Value>),
    /// Something else; a sentence that does not hold the value.
    Other(String),
}

/// Why a schema cannot be used.
#[derive(Debug, Clone)]
pub(super) struct BadSchema {
    /// JSON pointer into the schema.
    pub(super) pointer: String,
    /// Why.
    pub(super) message: String,
}

impl Schema {
    /// Compiles it.
    pub(super) fn compile(json: Value) -> Result<Self, BadSchema> {
        match jsonschema::options().offline().build(&json) {
            Ok(validator) => Ok(Self { json, validator }),
            Err(error) => Err(bad_schema(&error)),
        }
    }

    /// As JSON.
    pub(super) fn json(&self) -> &Value {
        &self.json
    }

    /// All rules the value breaks.
    pub(super) fn violations(&self, value: &Value) -> Vec<Violation> {
        let mut found = Vec::new();
        for error in self.validator.iter_errors(value) {
            for violation in violations(&error) {
                if !found.contains(&violation) {
                    found.push(violation);
                }
            }
        }
        found
    }
}

/// The meta-schema is made of alternatives: what the closest of them wants says more than that none fits.
fn bad_schema(error: &ValidationError<'_>) -> BadSchema {
    if let ValidationErrorKind::Referencing(_) = error.kind() {
        let message = "a `$ref` leads to nothing: only references into the schema itself work, such as `#/$defs/name`";
        return BadSchema { pointer: error.instance_path().as_str().to_owned(), message: message.to_owned() };
    }
    let Some(Violation { pointer, rule }) = violations(error).into_iter().next() else {
        return BadSchema { pointer: String::new(), message: clean(error) };
    };
    let names = |values: &[Value]| {
        values.iter().map(|value| value.to_string().replace('"', "`")).collect::<Vec<_>>().join(", ")
    };
    let message = match rule {
        Rule::Unknown(keys) => format!("there is no {}", keys.join(", ")),
        Rule::Required(key) => format!("`{key}` is missing"),
        Rule::Type(types) => format!("expected {}", types.join(" or ")),
        Rule::Choice(values) => format!("expected one of {}", names(&values)),
        Rule::Other(rule) => rule,
    };
    BadSchema { pointer, message }
}

fn violations(error: &ValidationError<'_>) -> Vec<Violation> {
    let pointer = error.instance_path().as_str().to_owned();
    let one = |rule| vec![Violation { pointer: pointer.clone(), rule }];
    // The validator has some thirty kinds; each kind not named here is said in its own words, without the value.
    #[allow(clippy::wildcard_enum_match_arm)]
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => one(Rule::Unknown(unexpected.clone())),
        ValidationErrorKind::Required { property } => {
            one(Rule::Required(property.as_str().unwrap_or_default().to_owned()))
        }
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => one(Rule::Type(vec![kind.as_str()])),
        ValidationErrorKind::Type { kind: TypeKind::Multiple(kinds) } => {
            one(Rule::Type(kinds.iter().map(|kind| kind.as_str()).collect()))
        }
        ValidationErrorKind::Enum { options } => one(Rule::Choice(options.as_array().cloned().unwrap_or_default())),
        ValidationErrorKind::Constant { expected_value } => one(Rule::Choice(vec![expected_value.as_ref().clone()])),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            alternatives(&pointer, context.iter().map(|branch| branch.iter().flat_map(violations).collect()).collect())
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => {
            one(Rule::Other("fits more than one of the alternatives, expected exactly one".into()))
        }
        ValidationErrorKind::PropertyNames { error } => {
            one(Rule::Other(format!("a key in it is not allowed: {}", clean(error))))
        }
        _ => one(Rule::Other(clean(error))),
    }
}

/// None of several branches fits: says what the user most likely meant to write.
fn alternatives(pointer: &str, branches: Vec<Vec<Violation>>) -> Vec<Violation> {
    if let Some(choice) = common_choice(&branches) {
        return vec![choice];
    }
    let types_here = |branch: &Vec<Violation>| {
        branch.iter().find_map(|violation| match &violation.rule {
            Rule::Type(types) if violation.pointer == pointer => Some(types.clone()),
            Rule::Type(_) | Rule::Unknown(_) | Rule::Required(_) | Rule::Choice(_) | Rule::Other(_) => None,
        })
    };
    let mut types: Vec<&str> = Vec::new();
    let mut wrong_type = 0;
    for names in branches.iter().filter_map(types_here) {
        wrong_type += 1;
        types.extend(names.into_iter().filter(|name| !types.contains(name)).collect::<Vec<_>>());
    }
    if wrong_type == branches.len() {
        return vec![Violation { pointer: pointer.to_owned(), rule: Rule::Type(types) }];
    }
    // The branch that comes closest: of the right type, no wrong constant, fewest mistakes.
    let distance = |branch: &Vec<Violation>| {
        let constants = branch.iter().filter(|violation| matches!(violation.rule, Rule::Choice(_))).count();
        (types_here(branch).is_some(), constants, branch.len())
    };
    branches.into_iter().min_by_key(distance).unwrap_or_default()
}

/// Every branch wants another value at the same place: an enum written as alternatives, or the constant that tells them apart.
fn common_choice(branches: &[Vec<Violation>]) -> Option<Violation> {
    let choice_at = |branch: &[Violation], at: &str| {
        branch.iter().find_map(|violation| match &violation.rule {
            Rule::Choice(values) if violation.pointer == at => Some(values.clone()),
            Rule::Choice(_) | Rule::Type(_) | Rule::Unknown(_) | Rule::Required(_) | Rule::Other(_) => None,
        })
    };
    let is_null_branch =
        |branch: &[Violation]| matches!(branch, [Violation { rule: Rule::Type(types), .. }] if types == &["null"]);
    let real: Vec<_> = branches.iter().filter(|branch| !is_null_branch(branch)).collect();
    let places = real.first()?.iter().filter(|violation| matches!(violation.rule, Rule::Choice(_)));
    places.into_iter().find_map(|place| {
        let mut values: Vec<Value> = Vec::new();
        for branch in &real {
            let more = choice_at(branch, &place.pointer)?;
            values.extend(more.into_iter().filter(|value| !values.contains(value)).collect::<Vec<_>>());
        }
        Some(Violation { pointer: place.pointer.clone(), rule: Rule::Choice(values) })
    })
}

/// The validator's words without the value, which may be a secret.
fn clean(error: &ValidationError<'_>) -> String {
    error.masked_with("the value").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(schema: Value, value: &Value) -> Vec<Violation> {
        Schema::compile(schema).unwrap().violations(value)
    }

    fn violation(pointer: &str, rule: Rule) -> Violation {
        Violation { pointer: pointer.into(), rule }
    }

    #[test]
    fn a_reference_to_elsewhere_is_refused_and_not_followed() {
        for target in ["http://127.0.0.1:9/a.json", "file:///etc/passwd", "other.json"] {
            let Err(bad) = Schema::compile(json!({"properties": {"a": {"$ref": target}}})) else {
                panic!("{target} was followed")
            };
            assert!(!bad.message.is_empty());
        }
    }

    #[test]
    fn a_word_that_is_none_of_an_enum_written_as_alternatives_names_them_all() {
        let schema = json!({"properties": {"a": {"anyOf": [{"oneOf": [{"const": "x"}, {"enum": ["y", "z"]}]}, {"type": "null"}]}}});
        let choice = Rule::Choice(vec![json!("x"), json!("y"), json!("z")]);
        assert_eq!(found(schema, &json!({"a": "q"})), [violation("/a", choice)]);
    }

    #[test]
    fn of_several_objects_the_one_whose_constant_fits_is_meant() {
        let branch = |kind: &str, key: &str| json!({"type": "object", "properties": {"kind": {"const": kind}, key: {"type": "string"}}, "required": ["kind", key], "additionalProperties": false});
        let schema = json!({"oneOf": [branch("a", "x"), branch("b", "y")]});
        assert_eq!(
            found(schema.clone(), &json!({"kind": "b", "x": "1"})),
            [violation("", Rule::Required("y".into())), violation("", Rule::Unknown(vec!["x".into()])),]
        );
        assert_eq!(
            found(schema, &json!({"kind": "c"})),
            [violation("/kind", Rule::Choice(vec![json!("a"), json!("b")]))]
        );
    }

    #[test]
    fn no_message_holds_the_value() {
        let schema = json!({"properties": {"a": {"type": "string", "pattern": "^x", "minLength": 9, "format": "uri"}, "b": {"minimum": 70000}}});
        let all = format!("{:?}", found(schema, &json!({"a": "hunter2", "b": 4711})));
        assert!(!all.contains("hunter2") && !all.contains("4711"), "{all}");
        assert!(all.contains("70000"), "{all}");
    }
}
