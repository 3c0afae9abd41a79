//! Reads `reduce` annotations out of a schema, and says what is wrong with them where a person wrote it.
//!
//! An annotation counts at the document itself and, below each `merge`, in `properties` and `additionalProperties`. A schema that was widened
//! may stand in an `anyOf` beside what widened it: then the first alternative that has an annotation counts. Anywhere else one would never be
//! looked at, so there it is a fault.

use std::collections::BTreeMap;

use longshore_proto::Error;
use longshore_proto::key::KeyPointers;
use longshore_proto::selection::pointer_to;
use serde_json::{Map, Value};

const WORDS: [&str; 8] = ["lastWriteWins", "firstWriteWins", "merge", "sum", "minimize", "maximize", "append", "set"];

/// What is done with the values of one location.
#[derive(Debug, Clone)]
pub(super) enum Strategy {
    LastWriteWins,
    FirstWriteWins,
    Merge { fields: BTreeMap<String, Strategy>, others: Box<Strategy> },
    Sum,
    Minimize(Order),
    Maximize(Order),
    Append,
    Set(Order),
}

/// What values are compared by.
#[derive(Debug, Clone)]
pub(super) enum Order {
    /// Themselves.
    Scalar,
    /// What these lead to.
    Key(KeyPointers),
}

/// An annotation that cannot be, or would never count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer into the schema.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// It says more than can be done; else only what it is for does not fit.
    pub unusable: bool,
}

/// What a session makes of a schema: a type that was widened since does not hinder it, values tell.
pub(super) fn compile(schema: &Value) -> Result<Strategy, Error> {
    let mut walk = Walk::default();
    let strategy = walk.location(schema, true);
    match walk.faults.into_iter().find(|fault| fault.unusable) {
        None => Ok(strategy),
        Some(Fault { pointer, message, help, .. }) => {
            Err(Error::config("reduce.invalid", format!("the schema at {pointer}: {message}")).suggest(help))
        }
    }
}

/// All that is wrong with the annotations of a schema that a person wrote for a collection with this key.
#[must_use]
pub fn faults(schema: &Value, key: &[String]) -> Vec<Fault> {
    let mut walk = Walk::default();
    let root = walk.location(schema, true);
    let tokens = KeyPointers::compile(key);
    for (pointer, names) in key.iter().zip(tokens.iter().flat_map(KeyPointers::tokens)) {
        let at = names.iter().try_fold(&root, |strategy, name| strategy.field(name));
        if let Some(strategy) = at.filter(|strategy| !strategy.takes_one()) {
            walk.at = names.iter().fold(String::new(), |at, name| format!("{at}/properties{}", pointer_to(name)));
            let message = format!(
                "{pointer} is a part of the key, which is the same in all documents that are reduced, and cannot have {}",
                strategy.word()
            );
            walk.fault("/reduce", message, "remove it");
        }
    }
    walk.faults
}

#[derive(Default)]
struct Walk {
    /// JSON pointer into the schema.
    at: String,
    faults: Vec<Fault>,
}

impl Walk {
    /// A schema. `counts`: an annotation there is looked at.
    fn location(&mut self, schema: &Value, counts: bool) -> Strategy {
        let Some(schema) = schema.as_object() else { return Strategy::LastWriteWins };
        if !schema.contains_key("reduce")
            && let Some(alternatives) = schema.get("anyOf").and_then(Value::as_array)
            && let Some(place) = alternatives.iter().position(|one| one.get("reduce").is_some())
        {
            return self.below(&format!("/anyOf/{place}"), &alternatives[place], counts);
        }
        let mut strategy = match schema.get("reduce") {
            Some(annotation) => self.annotation(annotation, schema),
            None => Strategy::LastWriteWins,
        };
        if !counts && !strategy.is_last() {
            let help = "annotate the document itself and what lies between with `reduce: { strategy: merge }`, each in the `properties` above it";
            self.fault(
                "/reduce",
                "it would never count: only below `merge` fields are reduced one by one".into(),
                help,
            );
            strategy = Strategy::LastWriteWins;
        }
        let merges = matches!(strategy, Strategy::Merge { .. });
        let (mut fields, mut others) = (BTreeMap::new(), Strategy::LastWriteWins);
        for (keyword, value) in schema {
            match (keyword.as_str(), value) {
                ("reduce" | "const" | "enum" | "default" | "examples", _) => {}
                ("properties", Value::Object(properties)) => {
                    for (name, property) in properties {
                        let field = self.below(&format!("/properties{}", pointer_to(name)), property, merges);
                        fields.insert(name.clone(), field);
                    }
                }
                ("additionalProperties", Value::Object(_)) => {
                    others = self.below("/additionalProperties", value, merges);
                }
                ("patternProperties" | "$defs" | "definitions" | "dependentSchemas", Value::Object(named)) => {
                    for (name, one) in named {
                        self.below(&format!("{}{}", pointer_to(keyword), pointer_to(name)), one, false);
                    }
                }
                (_, Value::Object(_)) => drop(self.below(&pointer_to(keyword), value, false)),
                (_, Value::Array(several)) => {
                    for (i, one) in several.iter().enumerate() {
                        self.below(&format!("{}/{i}", pointer_to(keyword)), one, false);
                    }
                }
                (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {}
            }
        }
        if merges { Strategy::Merge { fields, others: Box::new(others) } } else { strategy }
    }

    fn below(&mut self, path: &str, schema: &Value, counts: bool) -> Strategy {
        let above = self.at.len();
        self.at.push_str(path);
        let strategy = self.location(schema, counts);
        self.at.truncate(above);
        strategy
    }

    fn annotation(&mut self, annotation: &Value, schema: &Map<String, Value>) -> Strategy {
        const EXAMPLE: &str = "write `reduce: { strategy: merge }`, with one of lastWriteWins, firstWriteWins, merge, sum, minimize, maximize, append or set";
        let Some(said) = annotation.as_object() else {
            self.fault("/reduce", format!("expected a mapping with `strategy`, got {annotation}"), EXAMPLE);
            return Strategy::LastWriteWins;
        };
        if let Some(other) = said.keys().find(|key| !["strategy", "key"].contains(&key.as_str())) {
            self.fault(
                &format!("/reduce{}", pointer_to(other)),
                format!("there is no `{other}` in a reduction"),
                EXAMPLE,
            );
        }
        let word = said.get("strategy").and_then(Value::as_str).unwrap_or_default();
        if !WORDS.contains(&word) {
            let got = said.get("strategy").map_or("none".to_owned(), Value::to_string);
            self.fault("/reduce/strategy", format!("expected a strategy, got {got}"), EXAMPLE);
            return Strategy::LastWriteWins;
        }
        let order = self.order(said, word);
        let strategy = match word {
            "firstWriteWins" => Strategy::FirstWriteWins,
            "merge" => Strategy::Merge { fields: BTreeMap::new(), others: Box::new(Strategy::LastWriteWins) },
            "sum" => Strategy::Sum,
            "minimize" => Strategy::Minimize(order),
            "maximize" => Strategy::Maximize(order),
            "append" => Strategy::Append,
            "set" => Strategy::Set(order),
            _ => Strategy::LastWriteWins,
        };
        self.fits(&strategy, schema);
        strategy
    }

    fn order(&mut self, said: &Map<String, Value>, word: &str) -> Order {
        const EXAMPLE: &str = "write JSON pointers of scalars in it: `key: [/updated_at]`";
        let Some(key) = said.get("key") else { return Order::Scalar };
        if !["minimize", "maximize", "set"].contains(&word) {
            self.fault("/reduce/key", format!("{word} compares nothing and takes no `key`"), "remove `key`");
            return Order::Scalar;
        }
        let pointers: Option<Vec<String>> =
            key.as_array().and_then(|all| all.iter().map(|one| one.as_str().map(str::to_owned)).collect());
        match pointers.map(|pointers| KeyPointers::compile(&pointers)) {
            Some(Ok(key)) => return Order::Key(key),
            Some(Err(error)) => self.fault("/reduce/key", error.message.clone(), EXAMPLE),
            None => self.fault("/reduce/key", format!("expected a list of JSON pointers, got {key}"), EXAMPLE),
        }
        Order::Scalar
    }

    /// Whether the schema promises what the strategy is for.
    fn fits(&mut self, strategy: &Strategy, schema: &Map<String, Value>) {
        let is_root = self.at.is_empty();
        let kinds = if is_root { vec!["object"] } else { kinds(schema) };
        let all = |allowed: &[&str]| kinds.iter().all(|kind| allowed.contains(kind) || *kind == "null");
        let elements = || schema.get("items").and_then(Value::as_object).map(self::kinds).unwrap_or_default();
        let scalar = ["string", "integer", "number", "boolean"];
        let (fits, wants) = match strategy {
            Strategy::LastWriteWins | Strategy::FirstWriteWins => return,
            Strategy::Merge { .. } => (all(&["object"]), "objects: `type: object`"),
            Strategy::Sum => (all(&["integer", "number"]), "numbers: `type: integer` or `type: number`"),
            Strategy::Minimize(Order::Scalar) | Strategy::Maximize(Order::Scalar) => (
                all(&scalar),
                "values with an order: a `type` that is neither object nor array, or `key` with JSON pointers into the object",
            ),
            Strategy::Minimize(Order::Key(_)) | Strategy::Maximize(Order::Key(_)) => {
                (all(&["object"]), "objects, where it has a `key`: `type: object`")
            }
            Strategy::Append => (all(&["array"]), "arrays: `type: array`"),
            Strategy::Set(order) => {
                let elements = elements();
                let allowed: &[&str] = if matches!(order, Order::Key(_)) { &["object"] } else { &scalar };
                let fit = !elements.is_empty() && elements.iter().all(|kind| allowed.contains(kind));
                (
                    all(&["array"]) && fit,
                    "arrays whose `items` have a `type`: of scalars, or of objects with `key` in `reduce`",
                )
            }
        };
        if kinds.is_empty() || !fits {
            let said = schema.get("type").map_or("no type".to_owned(), |kind| format!("type {kind}"));
            let said = if is_root { "the document, an object".to_owned() } else { said };
            let message = format!("{} is for {wants}; got {said}", strategy.word());
            let help = if matches!(strategy, Strategy::Minimize(Order::Scalar) | Strategy::Maximize(Order::Scalar)) {
                "name what objects are compared by, with `key: [/updated_at]` beside `strategy`; or say the type of a scalar"
            } else {
                "say the type beside it, or choose another strategy"
            };
            self.faults.push(Fault {
                pointer: format!("{}/reduce/strategy", self.at),
                message,
                help: help.to_owned(),
                unusable: is_root,
            });
        }
    }

    fn fault(&mut self, below: &str, message: String, help: &str) {
        let pointer = format!("{}{below}", self.at);
        self.faults.push(Fault { pointer, message, help: help.to_owned(), unusable: true });
    }
}

/// The JSON types that a schema says its values have; empty: it does not say.
fn kinds(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    }
}

impl Strategy {
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::LastWriteWins)
    }

    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::LastWriteWins => "lastWriteWins",
            Self::FirstWriteWins => "firstWriteWins",
            Self::Merge { .. } => "merge",
            Self::Sum => "sum",
            Self::Minimize(_) => "minimize",
            Self::Maximize(_) => "maximize",
            Self::Append => "append",
            Self::Set(_) => "set",
        }
    }

    /// Of several values it takes one as it is, whichever they are.
    fn takes_one(&self) -> bool {
        matches!(self, Self::LastWriteWins | Self::FirstWriteWins)
    }

    /// What is done with a field of an object that is merged.
    pub(super) fn of_field(&self, name: &str) -> &Self {
        self.field(name).unwrap_or(&Self::LastWriteWins)
    }

    /// None: fields are not reduced one by one here.
    fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Merge { fields, others } => Some(fields.get(name).unwrap_or(others)),
            Self::LastWriteWins
            | Self::FirstWriteWins
            | Self::Sum
            | Self::Minimize(_)
            | Self::Maximize(_)
            | Self::Append
            | Self::Set(_) => None,
        }
    }

    /// Where it needs the value that was there, below the document itself.
    pub(super) fn locations(&self, at: &mut String, found: &mut Vec<String>) {
        match self {
            Self::LastWriteWins => {}
            Self::Merge { fields, others } => {
                let above = at.len();
                let named = fields.iter().map(|(name, field)| (pointer_to(name), field));
                for (name, field) in named.chain([("/*".to_owned(), &**others)]) {
                    at.push_str(&name);
                    field.locations(at, found);
                    at.truncate(above);
                }
                // A field that is absent stays what it was.
                found.extend(Some(at.clone()).filter(|at| !at.is_empty()));
            }
            Self::Minimize(Order::Key(key)) | Self::Maximize(Order::Key(key)) if at.is_empty() => {
                found.extend(key.pointers().iter().cloned());
            }
            Self::FirstWriteWins | Self::Sum | Self::Minimize(_) | Self::Maximize(_) | Self::Append | Self::Set(_) => {
                found.extend(Some(at.clone()).filter(|at| !at.is_empty()))
            }
        }
    }

    pub(super) fn is_of_last_fields(&self) -> bool {
        match self {
            Self::Merge { fields, others } => fields.values().chain([&**others]).all(Self::is_last),
            Self::LastWriteWins
            | Self::FirstWriteWins
            | Self::Sum
            | Self::Minimize(_)
            | Self::Maximize(_)
            | Self::Append
            | Self::Set(_) => false,
        }
    }

    pub(super) fn is_idempotent(&self) -> bool {
        match self {
            Self::Sum | Self::Append => false,
            Self::Merge { fields, others } => fields.values().chain([&**others]).all(Self::is_idempotent),
            Self::LastWriteWins | Self::FirstWriteWins | Self::Minimize(_) | Self::Maximize(_) | Self::Set(_) => true,
        }
    }
}
