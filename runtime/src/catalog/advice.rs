//! A broken rule of a connector's schema, told to the user: at which place of the YAML, what was expected, and what to write instead.

use serde_json::Value;

use super::code::Code;
use super::diagnostic::Diagnostic;
use super::node::{self, Node};
use super::schema::{Rule, Violation};
use super::shape::{Shape, Types, text_of};
use super::source::Span;

/// So many names are listed before "and N more".
const LISTED_AT_MOST: usize = 12;

/// The findings for one violation; several where several keys are unknown.
pub(super) fn explain(violation: &Violation, root: &Node, schema: &Value, what: &str) -> Vec<Diagnostic> {
    let node = root.nearest(&violation.pointer);
    let shape = Shape::at(schema, root, &violation.pointer);
    let key = violation.pointer.rsplit('/').next().filter(|key| !key.is_empty());
    let name = key.map_or_else(|| what.to_owned(), |_| format!("`{}` in {what}", dotted(&violation.pointer)));
    match &violation.rule {
        Rule::Unknown(keys) => keys.iter().map(|key| unknown(key, node, &shape, &name)).collect(),
        Rule::Required(key) => vec![missing(key, node, &shape, &name)],
        Rule::Type(types) => vec![wrong_type(types, node, &shape, key, &name)],
        Rule::Choice(values) => vec![no_choice(values, node, &shape, &name)],
        Rule::Other(rule) => {
            let help = shape.description().map_or_else(
                || "see `longshore connector spec` for what the connector takes".to_owned(),
                |text| format!("it is for: {text}"),
            );
            vec![Diagnostic::error(Code::ConfigValue, node.span, format!("{name}: {rule}"), help)]
        }
    }
}

/// "did you mean `x`?" for a word close to one of these.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let scored = known.into_iter().map(|candidate| {
        let close = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
        (close, candidate)
    });
    let (distance, best) = scored.min_by_key(|(distance, _)| *distance)?;
    let allowed = (word.chars().count().max(best.chars().count()) / 3).max(1);
    (distance <= allowed).then_some(best)
}

/// "`a`, `b` or `c`".
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> =
        names.into_iter().map(|name| if name.is_empty() { "\"\"".into() } else { format!("`{name}`") }).collect();
    match quoted.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        many if many.len() > LISTED_AT_MOST => {
            format!("{} and {} more", many[..LISTED_AT_MOST].join(", "), many.len() - LISTED_AT_MOST)
        }
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn unknown(key: &str, node: &Node, shape: &Shape<'_>, name: &str) -> Diagnostic {
    let span = node.entry(key).map_or(node.span, |entry| entry.key_span);
    let known = shape.keys();
    let list = if known.is_empty() {
        "it takes no settings".to_owned()
    } else {
        format!("it takes {}", one_of(known.iter().copied()))
    };
    let help = match did_you_mean(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?\n{list}"),
        None => list,
    };
    Diagnostic::error(Code::ConfigUnknownKey, span, format!("there is no `{key}` in {name}"), help)
}

fn missing(key: &str, node: &Node, shape: &Shape<'_>, name: &str) -> Diagnostic {
    let child = shape.property(key, None);
    let mut help = format!("add `{key}: {}`", example(&child));
    if let Some(text) = child.description() {
        help.push_str(&format!(": {text}"));
    }
    let own = if let node::Value::Mapping(entries) = &node.value { entries.as_slice() } else { &[] };
    let close = did_you_mean(key, own.iter().map(|entry| entry.key.as_str()).filter(|own| !shape.keys().contains(own)));
    if let Some(close) = close {
        help.push_str(&format!("\nor is `{close}` meant to be `{key}`?"));
    }
    Diagnostic::error(Code::ConfigMissingKey, node.name_span(), format!("`{key}` is missing in {name}"), help)
}

fn wrong_type(types: &[&'static str], node: &Node, shape: &Shape<'_>, key: Option<&str>, name: &str) -> Diagnostic {
    let real = types.iter().filter(|name| **name != "null" || types.len() == 1);
    let expected = real.map(|name| type_words(name)).collect::<Vec<_>>().join(" or ");
    let message = format!("{name}: expected {expected}, got {}", found(node, shape));
    let key = key.filter(|key| key.parse::<usize>().is_err());
    let write = |value: &str| key.map_or_else(|| format!("write {value}"), |key| format!("write `{key}: {value}`"));
    let help = match &node.value {
        node::Value::Scalar(scalar) if scalar.text.contains("${") => {
            format!("let {} stand for {expected}, such as {}", scalar.text, example_of(types, shape))
        }
        node::Value::Scalar(scalar) if types.contains(&"array") && !node.is_null() => {
            write(&format!("[{}]", scalar.text))
        }
        node::Value::Scalar(scalar) if types.contains(&"boolean") => match scalar.text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "1" => write("true"),
            "no" | "off" | "n" | "0" => write("false"),
            _ => write(&example_of(types, shape)),
        },
        node::Value::Scalar(_) | node::Value::Sequence(_) | node::Value::Mapping(_) => write(&example_of(types, shape)),
    };
    Diagnostic::error(Code::ConfigType, node.span, message, help)
}

fn no_choice(values: &[Value], node: &Node, shape: &Shape<'_>, name: &str) -> Diagnostic {
    let texts: Vec<String> = values.iter().filter(|value| !value.is_null()).map(text_of).collect();
    let list = one_of(texts.iter().map(String::as_str));
    let message = format!("{name}: expected {list}, got {}", found(node, shape));
    let help = match &node.value {
        node::Value::Scalar(scalar) => {
            did_you_mean(&scalar.text, texts.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"))
        }
        node::Value::Sequence(_) | node::Value::Mapping(_) => None,
    };
    Diagnostic::error(Code::ConfigChoice, node.span, message, help.unwrap_or_else(|| format!("write {list}")))
}

/// What the user wrote; never what a variable stands for, never a literal secret.
fn found(node: &Node, shape: &Shape<'_>) -> String {
    match &node.value {
        node::Value::Scalar(scalar) if scalar.text.contains("${") => format!("what {} stands for", scalar.text),
        node::Value::Scalar(_) if shape.is_secret() => "something else".into(),
        node::Value::Scalar(scalar) if scalar.text.is_empty() => {
            if scalar.plain {
                "nothing".into()
            } else {
                "an empty text".into()
            }
        }
        node::Value::Scalar(scalar) if scalar.plain => format!("`{}`", scalar.text),
        node::Value::Scalar(scalar) => format!("the text \"{}\"", scalar.text),
        node::Value::Sequence(_) | node::Value::Mapping(_) => node.shape().into(),
    }
}

fn type_words(name: &str) -> &'static str {
    match name {
        "null" => "nothing",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "array" => "a list",
        "object" => "a mapping",
        _ => "text",
    }
}

fn example_of(types: &[&'static str], shape: &Shape<'_>) -> String {
    let wanted = types.iter().find(|name| **name != "null");
    let given = shape.example().filter(|value| wanted.is_some_and(|name| is_of(value, name)));
    given.map(written).unwrap_or_else(|| placeholder(wanted.copied().unwrap_or("string")).into())
}

fn example(shape: &Shape<'_>) -> String {
    let Types { boolean, integer, number, string, array, object, .. } = shape.types();
    let kinds = [
        (string, "string"),
        (integer, "integer"),
        (number, "number"),
        (boolean, "boolean"),
        (array, "array"),
        (object, "object"),
    ];
    let kind = kinds.iter().find_map(|(has, name)| has.then_some(*name)).unwrap_or("string");
    if shape.is_secret() {
        return "\"${SECRET}\"".into();
    }
    shape.example().map(written).unwrap_or_else(|| placeholder(kind).into())
}

fn is_of(value: &Value, name: &str) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(number) => name == "number" || (name == "integer" && !number.is_f64()),
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}

fn placeholder(kind: &str) -> &'static str {
    match kind {
        "boolean" => "true",
        "integer" => "10",
        "number" => "1.5",
        "array" => "[…]",
        "object" => "{ … }",
        _ => "some text",
    }
}

/// JSON is YAML; a plain word needs no quotes.
fn written(value: &Value) -> String {
    match value {
        Value::String(text)
            if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c)) =>
        {
            text.clone()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

/// Where a connector's own finding points: into what the user wrote, as deep as it goes.
pub(super) fn locate(node: &Node, pointer: &str) -> Span {
    let nearest = node.nearest(pointer);
    let exact = node.at(pointer).is_some();
    match nearest.value {
        node::Value::Scalar(_) => nearest.span,
        node::Value::Sequence(_) | node::Value::Mapping(_) if exact && !pointer.is_empty() => {
            nearest.key_span.unwrap_or(nearest.span)
        }
        node::Value::Sequence(_) | node::Value::Mapping(_) => nearest.name_span(),
    }
}
