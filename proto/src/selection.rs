//! Which values of a document a destination keeps, and under which names. A runtime resolves it, from the schema and from what the user
//! wrote; a connector makes columns of it. Here stand the types, what may be said (rule X-17), what is kept where nobody chose, and what a
//! schema says of the types of a value.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::key::parse_pointer;

/// Change metadata of a document.
pub const META_FIELD: &str = "_meta";

/// The values that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// In the order in which a destination shows them. Every part of the key is among them.
    pub fields: Vec<Field>,
    /// Name under which the whole document is kept, as its JSON text, byte for byte.
    pub document: Option<String>,
    /// The user chose or named fields. A destination that keeps whole documents then keeps these fields alone.
    pub chosen: bool,
}

/// A value that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// JSON pointer into the document; goes through objects only. Absent is null.
    pub pointer: String,
    /// Name in the destination.
    pub name: String,
    /// Types its values have beside null, as the schema says; empty: any. Fields of one pointer share its values by them.
    pub types: Vec<JsonType>,
}

/// Type of a JSON value that is not null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JsonType {
    /// true or false
    Boolean,
    /// A number without a fraction, however it is written.
    Integer,
    /// Integers too.
    Number,
    /// Text.
    String,
    /// Names and values.
    Object,
    /// A list.
    Array,
}

impl JsonType {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Boolean, Self::Integer, Self::Number, Self::String, Self::Object, Self::Array];

    /// As JSON Schema names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Object => "object",
            Self::Array => "array",
        }
    }

    /// Reads such a name; `null`, and what is none, is `None`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|of| of.as_str() == name)
    }

    /// Type of a value as it is written, by its first byte; `None`: null. A number is told as one, whether or not it has a fraction.
    pub fn of_text(json: &[u8]) -> Option<Self> {
        match json.first()? {
            b't' | b'f' => Some(Self::Boolean),
            b'"' => Some(Self::String),
            b'{' => Some(Self::Object),
            b'[' => Some(Self::Array),
            b'-' | b'0'..=b'9' => Some(Self::Number),
            _ => None,
        }
    }

    /// Whether values of these two share a field where fields of one pointer stand for different types.
    pub fn is_kind_of(self, other: Self) -> bool {
        let kind = |of| match of {
            Self::Boolean => 0,
            Self::Integer | Self::Number => 1,
            Self::String => 2,
            Self::Object | Self::Array => 3,
        };
        kind(self) == kind(other)
    }
}

impl Field {
    /// The names its pointer goes through.
    pub fn path(&self) -> Vec<String> {
        parse_pointer(&self.pointer).unwrap_or_default()
    }
}

impl Selection {
    /// What is kept where nobody chose: the key, all top-level fields that the schema declares, and `_meta` where it is asked for. Names are
    /// those of the documents, whatever a destination makes of them.
    pub fn plain(schema: &Value, key: &[String], with_meta: bool) -> Self {
        let field =
            |pointer: String| Field { name: natural_name(&pointer), types: field_types(schema, &pointer), pointer };
        let fields = standard_pointers(schema, key, with_meta).into_iter().map(field).collect();
        Self { fields, document: None, chosen: false }
    }

    /// The field of a part of the key.
    pub fn place(&self, pointer: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.pointer == pointer)
    }

    /// What breaks rule X-17, if anything.
    pub(crate) fn fault(&self, key: &[String]) -> Option<String> {
        let mut names = BTreeSet::new();
        for name in self.fields.iter().map(|field| &field.name).chain(&self.document) {
            if name.is_empty() {
                return Some("an empty name".to_owned());
            }
            if !names.insert(name) {
                return Some(format!("the name {name:?} twice"));
            }
        }
        for field in &self.fields {
            if parse_pointer(&field.pointer).is_none() {
                return Some(format!("{:?}, which names no value in a document", field.pointer));
            }
            let mut of_pointer = self.fields.iter().filter(|other| other.pointer == field.pointer);
            let mut types: Vec<JsonType> = of_pointer.clone().flat_map(|other| other.types.clone()).collect();
            let all = types.len();
            types.sort_unstable();
            types.dedup();
            let is_shared = of_pointer.clone().count() > 1;
            if types.len() < all || is_shared && of_pointer.any(|other| other.types.is_empty()) {
                return Some(format!("fields of {} that do not tell themselves apart by types", field.pointer));
            }
        }
        let alone = |pointer: &&String| self.fields.iter().filter(|field| field.pointer == **pointer).count() != 1;
        key.iter().find(alone).map(|pointer| format!("not one field of {pointer}, which is a part of the key"))
    }
}

/// Pointers of the values that are kept where nobody chose: parts of the key that lie deeper, then the top-level fields in the schema's
/// order, those of the key that it does not declare, and `_meta` where it is asked for.
pub fn standard_pointers(schema: &Value, key: &[String], with_meta: bool) -> Vec<String> {
    let is_deep = |pointer: &&String| pointer.matches('/').count() > 1;
    let mut pointers: Vec<String> = key.iter().filter(is_deep).cloned().collect();
    let declared = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    pointers.extend(declared.filter(|(name, _)| *name != META_FIELD).map(|(name, _)| pointer_to(name)));
    for pointer in key {
        if !pointers.contains(pointer) {
            pointers.push(pointer.clone());
        }
    }
    if with_meta {
        pointers.push(pointer_to(META_FIELD));
    }
    pointers
}

/// JSON pointer to a top-level field.
pub fn pointer_to(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The name that a value has by itself: a top-level field its own, one that lies deeper those on the way, with slashes.
pub fn natural_name(pointer: &str) -> String {
    parse_pointer(pointer).unwrap_or_default().join("/")
}

/// Types that a schema says of the values a pointer leads to, beside null; empty: any, or it cannot be told. `_meta` is an object.
pub fn field_types(schema: &Value, pointer: &str) -> Vec<JsonType> {
    let path = parse_pointer(pointer).unwrap_or_default();
    if path == [META_FIELD] {
        return vec![JsonType::Object];
    }
    let inner = path.iter().try_fold(schema, |schema, name| schema.get("properties")?.get(name));
    let mut types: Vec<JsonType> = inner.and_then(types_of).into_iter().flatten().collect();
    if types.contains(&JsonType::Number) {
        types.retain(|of| *of != JsonType::Integer);
    }
    types
}

/// `None`: any. Nothing but `type`, `const`, `enum`, and alternatives of such is looked at.
fn types_of(schema: &Value) -> Option<BTreeSet<JsonType>> {
    let schema = schema.as_object()?;
    let types = match (schema.get("type"), schema.get("enum").and_then(Value::as_array), schema.get("const")) {
        (Some(Value::String(name)), ..) => JsonType::named(name).into_iter().collect(),
        (Some(Value::Array(names)), ..) => names.iter().filter_map(Value::as_str).filter_map(JsonType::named).collect(),
        (_, Some(listed), _) => listed.iter().filter_map(type_of).collect(),
        (_, _, Some(one)) => type_of(one).into_iter().collect(),
        (_, None, None) => {
            let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array)?;
            let all: Option<Vec<_>> = alternatives.iter().map(types_of).collect();
            all?.into_iter().flatten().collect()
        }
    };
    Some(types)
}

fn type_of(value: &Value) -> Option<JsonType> {
    match value {
        Value::Null => None,
        Value::Bool(_) => Some(JsonType::Boolean),
        Value::Number(number) if number.is_f64() => Some(JsonType::Number),
        Value::Number(_) => Some(JsonType::Integer),
        Value::String(_) => Some(JsonType::String),
        Value::Array(_) => Some(JsonType::Array),
        Value::Object(_) => Some(JsonType::Object),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(pointers: &[&str]) -> Vec<String> {
        pointers.iter().map(|pointer| (*pointer).to_owned()).collect()
    }

    #[test]
    fn where_nobody_chose_the_key_and_all_top_level_fields_are_kept() {
        let source = json!({ "properties": { "file": { "type": "string" } } });
        let schema = json!({ "properties": {
            "_meta": { "properties": { "source": source } }, "a": { "type": "integer" }, "x/y": {},
        }});
        let kept = |meta| Selection::plain(&schema, &key(&["/b", "/_meta/source/file", "/a"]), meta).fields;
        let names: Vec<String> =
            kept(false).into_iter().map(|field| format!("{} {}", field.pointer, field.name)).collect();
        assert_eq!(names, ["/_meta/source/file _meta/source/file", "/a a", "/x~1y x/y", "/b b"]);
        assert_eq!(kept(false)[0].types, [JsonType::String]);
        assert_eq!(kept(true).last().map(|field| field.name.as_str()), Some("_meta"));
    }

    #[test]
    fn types_are_those_the_schema_says_beside_null() {
        use JsonType::{Array, Boolean, Integer, Number, Object, String};
        let check = |schema: Value, expected: &[JsonType]| {
            let schema = json!({ "properties": { "x": schema } });
            assert_eq!(field_types(&schema, "/x"), expected, "{schema}");
        };
        check(json!({ "type": "integer" }), &[Integer]);
        check(json!({ "type": ["number", "null"] }), &[Number]);
        check(json!({ "type": ["integer", "number"] }), &[Number]);
        check(json!({ "type": ["string", "boolean"] }), &[Boolean, String]);
        check(json!({ "type": ["array", "object"] }), &[Object, Array]);
        check(json!({ "enum": ["x", null] }), &[String]);
        check(json!({ "const": 1.5 }), &[Number]);
        check(json!({ "anyOf": [{ "type": "integer" }, { "type": "string" }] }), &[Integer, String]);
        for unknown in
            [json!({}), json!(true), json!({ "$ref": "#/x" }), json!({ "anyOf": [{ "type": "integer" }, {}] })]
        {
            check(unknown, &[]);
        }
    }

    #[test]
    fn x_17_fields_have_names_and_tell_themselves_apart() {
        let field = |pointer: &str, name: &str, types: &[JsonType]| Field {
            pointer: pointer.to_owned(),
            name: name.to_owned(),
            types: types.to_vec(),
        };
        let fault = |fields: &[Field], document: Option<&str>| {
            let document = document.map(str::to_owned);
            Selection { fields: fields.to_vec(), document, chosen: true }.fault(&key(&["/id"]))
        };
        use JsonType::{Integer, String};
        let id = field("/id", "id", &[Integer]);
        let split = [id.clone(), field("/v", "v", &[Integer]), field("/v", "v__string", &[String])];
        assert_eq!(fault(&split, Some("doc")), None);
        assert_eq!(fault(&[id.clone(), field("/Id", "Id", &[])], None), None, "case is the destination's business");
        for (bad, document) in [
            (vec![], None),
            (vec![field("/v", "v", &[])], None),
            (vec![id.clone(), field("/v", "id", &[])], None),
            (vec![id.clone()], Some("id")),
            (vec![field("/id", "", &[])], None),
            (vec![id.clone(), field("", "all", &[])], None),
            (vec![id.clone(), field("/v", "v", &[Integer]), field("/v", "w", &[Integer])], None),
            (vec![id.clone(), field("/v", "v", &[Integer]), field("/v", "w", &[])], None),
            (vec![id.clone(), field("/id", "id__string", &[String])], None),
        ] {
            assert!(fault(&bad, document).is_some(), "{bad:?} {document:?}");
        }
    }
}
