//! Types of JSON values that a column has.

use serde_json::{Value, json};

/// A set of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// No type.
    pub const NONE: Kinds = Kinds(0);
    /// null
    pub const NULL: Kinds = Kinds(1);
    /// true or false
    pub const BOOLEAN: Kinds = Kinds(2);
    /// A number without a fraction.
    pub const INTEGER: Kinds = Kinds(4);
    /// Holds integers too.
    pub const NUMBER: Kinds = Kinds(8 | 4);
    /// A text.
    pub const STRING: Kinds = Kinds(16);
    /// Names and values.
    pub const OBJECT: Kinds = Kinds(32);
    /// A list.
    pub const ARRAY: Kinds = Kinds(64);
    /// Every value.
    pub const ANY: Kinds = Kinds(127);

    const NAMED: [(Kinds, &str); 7] = [
        (Kinds::BOOLEAN, "boolean"),
        (Kinds::NUMBER, "number"),
        (Kinds::INTEGER, "integer"),
        (Kinds::STRING, "string"),
        (Kinds::OBJECT, "object"),
        (Kinds::ARRAY, "array"),
        (Kinds::NULL, "null"),
    ];

    /// Those of both.
    pub fn with(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// All of these are among them.
    pub fn has(self, other: Kinds) -> bool {
        self.0 & other.0 == other.0
    }

    /// One of these is among them.
    pub fn meets(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    /// What a schema's `type` admits; without one: everything.
    pub fn of_schema(types: Option<&Value>) -> Kinds {
        let named =
            |name: &str| Kinds::NAMED.iter().find(|(_, known)| *known == name).map_or(Kinds::NONE, |known| known.0);
        match types {
            None => Kinds::ANY,
            Some(Value::String(name)) => named(name),
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).fold(Kinds::NONE, |all, name| all.with(named(name)))
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Kinds::NONE,
        }
    }

    /// For a schema's `type`; none: every value.
    pub fn to_schema(self) -> Option<Value> {
        let is_told = |kinds: Kinds| self.has(kinds) && !(kinds == Kinds::INTEGER && self.has(Kinds::NUMBER));
        let names: Vec<&str> =
            Kinds::NAMED.iter().filter(|(kinds, _)| is_told(*kinds)).map(|(_, name)| *name).collect();
        match names[..] {
            _ if self == Kinds::ANY => None,
            [] => None,
            [one] => Some(json!(one)),
            _ => Some(json!(names)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_admits_what_it_was_stated_for() {
        let mixed = Kinds::NUMBER.with(Kinds::STRING).with(Kinds::NULL);
        assert_eq!(mixed.to_schema(), Some(json!(["number", "string", "null"])));
        assert_eq!(Kinds::of_schema(mixed.to_schema().as_ref()), mixed);
        assert!(Kinds::of_schema(Some(&json!("number"))).has(Kinds::INTEGER));
        assert!(!Kinds::of_schema(Some(&json!("integer"))).has(Kinds::NUMBER));
        assert_eq!(Kinds::ANY.to_schema(), None);
        assert_eq!(Kinds::of_schema(None), Kinds::ANY);
    }
}
