//! Types of JSON values that a column has, as far as this connector makes any, and what the declaration of a column lets expect.

use serde_json::{Value, json};

use crate::table::Column;

/// A set of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const NONE: Kinds = Kinds(0);
    pub(crate) const NULL: Kinds = Kinds(1);
    pub(crate) const INTEGER: Kinds = Kinds(2);
    /// Doubles; a column of both is one of numbers.
    pub(crate) const NUMBER: Kinds = Kinds(4);
    pub(crate) const STRING: Kinds = Kinds(8);
    /// What has no other form: see `value.rs`.
    pub(crate) const OBJECT: Kinds = Kinds(16);
    pub(crate) const ANY: Kinds = Kinds(31);

    const NAMED: [(Kinds, &str); 5] = [
        (Kinds::INTEGER, "integer"),
        (Kinds::NUMBER, "number"),
        (Kinds::STRING, "string"),
        (Kinds::OBJECT, "object"),
        (Kinds::NULL, "null"),
    ];

    pub(crate) fn with(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    pub(crate) fn has(self, other: Kinds) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn without(self, other: Kinds) -> Kinds {
        Kinds(self.0 & !other.0)
    }

    /// What a schema's `type` admits of these.
    pub(crate) fn of_schema(types: &Value) -> Kinds {
        let named = |name: &str| match name {
            "number" => Kinds::NUMBER.with(Kinds::INTEGER),
            name => Kinds::NAMED.iter().find(|(_, known)| *known == name).map_or(Kinds::NONE, |(kinds, _)| *kinds),
        };
        match types {
            Value::String(name) => named(name),
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).fold(Kinds::NONE, |all, name| all.with(named(name)))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Kinds::NONE,
        }
    }

    /// For a schema's `type`; none: every value.
    pub(crate) fn to_schema(self) -> Option<Value> {
        let is_told = |kinds: Kinds| self.has(kinds) && !(kinds == Kinds::INTEGER && self.has(Kinds::NUMBER));
        let names: Vec<&str> =
            Kinds::NAMED.iter().filter(|(kinds, _)| is_told(*kinds)).map(|(_, name)| *name).collect();
        match names[..] {
            [] => None,
            [one] => Some(json!(one)),
            _ => Some(json!(names)),
        }
    }
}

/// How the bytes and texts of a column become strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Texts are strings.
    Text,
    /// It was declared for blobs: these are strings, in base64.
    Base64,
}

impl Form {
    pub(crate) fn of(column: &Column) -> Form {
        if is_declared(column, &["BLOB"]) && !is_declared(column, &["INT", "CHAR", "CLOB", "TEXT"]) {
            Form::Base64
        } else {
            Form::Text
        }
    }
}

/// What the declaration lets expect. SQLite holds nobody to it (but in a STRICT table), so values decide in the end.
pub(crate) fn declared(column: &Column, strict: bool) -> Kinds {
    let kinds = if strict && column.declared.eq_ignore_ascii_case("any") || column.declared.is_empty() {
        Kinds::ANY
    } else if is_declared(column, &["INT", "BOOL"]) {
        Kinds::INTEGER
    } else if is_declared(column, &["CHAR", "CLOB", "TEXT", "BLOB", "DATE", "TIME", "JSON", "UUID"]) {
        Kinds::STRING
    } else {
        Kinds::NUMBER.with(Kinds::INTEGER)
    };
    if column.not_null { kinds.without(Kinds::NULL) } else { kinds.with(Kinds::NULL) }
}

/// The declaration is one that SQLite converts values by; of all others only the values tell.
pub(crate) fn is_firm(column: &Column) -> bool {
    is_declared(column, &["INT", "CHAR", "CLOB", "TEXT", "BLOB", "REAL", "FLOA", "DOUB"])
}

fn is_declared(column: &Column, words: &[&str]) -> bool {
    let declared = column.declared.to_ascii_uppercase();
    words.iter().any(|word| declared.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(declared: &str) -> Column {
        Column { name: "c".to_owned(), declared: declared.to_owned(), not_null: false, default: None }
    }

    #[test]
    fn declarations_are_read_as_sqlite_reads_them_and_dates_as_people_do() {
        for (text, types) in [
            ("BIGINT", json!(["integer", "null"])),
            ("BOOLEAN", json!(["integer", "null"])),
            ("varchar(20)", json!(["string", "null"])),
            ("BLOB", json!(["string", "null"])),
            ("DATETIME", json!(["string", "null"])),
            ("DECIMAL(10,2)", json!(["number", "null"])),
            ("DOUBLE", json!(["number", "null"])),
        ] {
            assert_eq!(declared(&column(text), false).to_schema(), Some(types), "{text}");
        }
        assert_eq!(Form::of(&column("BLOB")), Form::Base64);
        assert_eq!(Form::of(&column("TEXT")), Form::Text);
    }

    #[test]
    fn what_is_stated_admits_what_it_was_stated_for() {
        let mixed = Kinds::INTEGER.with(Kinds::STRING).with(Kinds::NULL);
        assert_eq!(Kinds::of_schema(&mixed.to_schema().expect("types")), mixed);
        assert!(Kinds::of_schema(&json!("number")).has(Kinds::INTEGER));
        assert!(!Kinds::of_schema(&json!("integer")).has(Kinds::NUMBER));
    }
}
