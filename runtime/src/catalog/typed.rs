//! A config or a resource as the connector will get it: scalars take the type the connector's schema says, `${…}` is filled in, and the
//! result is checked against the schema, every violation shown where it stands in the YAML.
//!
//! YAML's own guess is asked only where the schema says nothing: `password: 0123`, `on`, `1e3` and `NO` are text where it says string. A
//! value from outside never appears in a message. What the schema calls a secret is made known to [`crate::secret`] before anybody gets it.

use bytes::Bytes;
use serde_json::{Map, Number, Value};

use super::advice;
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::node::{self, Guess, Node, Scalar};
use super::schema::Schema;
use super::shape::{Shape, Types};
use super::source::{Source, Span};
use super::variables::{Outside, Place, Variables};
use crate::secret;

/// Shorter values from outside are not looked for in messages: they would be found in every word.
const SECRET_AT_LEAST_BYTES: usize = 3;

/// What the connector gets.
#[derive(Debug, Clone)]
pub struct Typed {
    /// As JSON.
    pub json: Bytes,
    outside: Vec<Outside>,
    secrets: Vec<Span>,
}

impl Typed {
    /// A text of somebody else's (the connector's, the validator's) with every value from outside replaced by how the user wrote it.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        self.outside.iter().filter(|one| one.value.len() >= SECRET_AT_LEAST_BYTES).fold(text.to_owned(), |text, one| {
            if text.contains(&one.value) { text.replace(&one.value, &one.placeholder) } else { text }
        })
    }

    /// Where the schema says that a value is a secret.
    #[must_use]
    pub fn secrets(&self) -> &[Span] {
        &self.secrets
    }
}

/// Types and checks one value. `what` names it in messages, such as "the config of capture `nyc`".
pub(super) fn typed(
    node: &Node,
    schema_json: &[u8],
    what: &str,
    source: &Source,
    variables: &Variables,
) -> Result<Typed, Vec<Diagnostic>> {
    let schema = serde_json::from_slice(schema_json)
        .map_err(|error| error.to_string())
        .and_then(|json| Schema::compile(json).map_err(|bad| format!("{} at {:?}", bad.message, bad.pointer)));
    let schema = schema.map_err(|why| {
        let message = format!("the connector's schema for {what} cannot be used: {why}");
        vec![Diagnostic::error(
            Code::ConnectorSchema,
            node.name_span(),
            message,
            "use a version of the connector that states a valid schema",
        )]
    })?;
    let mut typing = Typing {
        source,
        variables,
        findings: Vec::new(),
        outside: Vec::new(),
        secrets: Vec::new(),
        learnt: Vec::new(),
    };
    let value = typing.value(node, &Shape::of(schema.json(), node), false);
    let Typing { mut findings, outside, secrets, learnt, .. } = typing;
    secret::learn(learnt);
    let unfilled: Vec<Span> = findings.iter().map(|finding| finding.span).collect();
    for violation in schema.violations(&value) {
        // A value that could not be filled in is one mistake, not two.
        let at = node.nearest(&violation.pointer).span;
        if unfilled.iter().all(|span| {
            !(at.start <= span.start && span.end <= at.end && node.at(&violation.pointer).is_some_and(is_scalar))
        }) {
            findings.extend(advice::explain(&violation, node, schema.json(), what));
        }
    }
    let typed = Typed { json: Bytes::from(value.to_string()), outside, secrets };
    if findings.is_empty() {
        return Ok(typed);
    }
    for finding in &mut findings {
        // The validator quotes from the schema only; this is the second bolt on that door.
        finding.message = typed.scrub(&finding.message);
        finding.help = typed.scrub(&finding.help);
    }
    Err(findings)
}

/// JSON of a value no schema speaks about, by YAML's own rules; nothing is filled in.
pub(super) fn untyped(node: &Node) -> Value {
    match &node.value {
        node::Value::Scalar(scalar) => guessed(scalar),
        node::Value::Sequence(items) => Value::Array(items.iter().map(untyped).collect()),
        node::Value::Mapping(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), untyped(&entry.value))).collect())
        }
    }
}

struct Typing<'a> {
    source: &'a Source,
    variables: &'a Variables,
    findings: Vec<Diagnostic>,
    outside: Vec<Outside>,
    /// Where secrets stand.
    secrets: Vec<Span>,
    /// Their values.
    learnt: Vec<String>,
}

impl Typing<'_> {
    /// `secret`: what it stands in is one, so it is too.
    fn value(&mut self, node: &Node, shape: &Shape<'_>, secret: bool) -> Value {
        let secret = secret || shape.is_secret();
        match &node.value {
            node::Value::Scalar(scalar) => self.scalar(scalar, node.span, shape, secret),
            node::Value::Sequence(items) => {
                let items = items.iter().enumerate();
                Value::Array(items.map(|(at, item)| self.value(item, &shape.item(at, Some(item)), secret)).collect())
            }
            node::Value::Mapping(entries) => {
                let pairs = entries.iter().map(|entry| {
                    let shape = shape.property(&entry.key, Some(&entry.value));
                    (entry.key.clone(), self.value(&entry.value, &shape, secret))
                });
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    fn scalar(&mut self, scalar: &Scalar, span: Span, shape: &Shape<'_>, secret: bool) -> Value {
        let wrong_before = self.findings.len();
        let value = self.filled(scalar, span, shape.types(), secret);
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            // No secret: it would be found everywhere.
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return value,
        };
        // What could not be filled in is still the user's own word for it.
        if secret && self.findings.len() == wrong_before {
            self.secrets.push(span);
            self.learnt.push(text);
            if !is_placeholder(&scalar.text) {
                self.source.hide(span);
            }
        }
        value
    }

    fn filled(&mut self, scalar: &Scalar, span: Span, types: Types, secret: bool) -> Value {
        if !scalar.text.contains("${") {
            return if types.any() { guessed(scalar) } else { as_type(scalar, types) };
        }
        let place = (span, Place::Private);
        let filled = self.variables.fill(&scalar.text, place, self.source, &mut self.findings);
        let known = filled.outside.iter().filter(|one| secret || one.secret);
        self.learnt.extend(known.map(|one| one.value.clone()));
        if filled.outside.iter().any(|one| ["${exec:", "${age:"].iter().any(|form| one.placeholder.starts_with(form))) {
            self.secrets.push(span);
        }
        self.outside.extend(filled.outside);
        if types.any() || types.string {
            // Quotes or not, text from outside is text wherever text is taken.
            return Value::String(filled.text);
        }
        as_type(&Scalar { text: filled.text, plain: true }, types)
    }
}

/// One `${…}` and nothing else: it says where a value is, and not the value.
fn is_placeholder(text: &str) -> bool {
    text.starts_with("${") && text.find('}') == Some(text.len() - 1)
}

fn is_scalar(node: &Node) -> bool {
    matches!(node.value, node::Value::Scalar(_))
}

/// What the schema wants, where the text can be read so; else text, which the check will then refuse.
fn as_type(scalar: &Scalar, types: Types) -> Value {
    let text = scalar.text.as_str();
    let reads_as_number = || number(text, types).map(Value::Number);
    let reads_as_boolean = || node::boolean(text).filter(|_| types.boolean).map(Value::Bool);
    if scalar.plain && text.is_empty() {
        return Value::Null;
    }
    if types.string && (!scalar.plain || only_text(types)) {
        return Value::String(scalar.text.clone());
    }
    if types.null && scalar.plain && node::is_null_word(text) {
        return Value::Null;
    }
    reads_as_boolean().or_else(reads_as_number).unwrap_or_else(|| Value::String(scalar.text.clone()))
}

fn only_text(types: Types) -> bool {
    !(types.null || types.boolean || types.integer || types.number)
}

fn number(text: &str, types: Types) -> Option<Number> {
    let parsed = || serde_json::from_str::<Number>(text).ok().filter(|_| node::is_number(text));
    if types.integer || types.number {
        if node::is_integer(text) {
            return parsed().filter(|number| types.number || !number.is_f64());
        }
        let number = parsed()?;
        let whole = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < 9e15);
        return match whole {
            // `1e3` where whole numbers are wanted: written as one, because few readers of JSON take 1000.0 for it.
            #[allow(clippy::cast_possible_truncation)]
            Some(value) if types.integer && !types.number => Some(Number::from(value as i64)),
            Some(_) | None => types.number.then_some(number),
        };
    }
    None
}

fn guessed(scalar: &Scalar) -> Value {
    match scalar.guess() {
        Guess::Null => Value::Null,
        Guess::Boolean(truth) => Value::Bool(truth),
        Guess::Integer | Guess::Number => {
            serde_json::from_str(&scalar.text).map_or_else(|_| Value::String(scalar.text.clone()), Value::Number)
        }
        Guess::Text => Value::String(scalar.text.clone()),
    }
}
