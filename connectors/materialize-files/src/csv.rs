//! Documents as records of a CSV file (RFC 4180): a header from the schema's top-level fields, then a record for each document.
//!
//! Null and absent are empty, an empty text is `""`; numbers keep their digits, objects and arrays are JSON. What a record cannot say is an
//! error of its document: a delete, where there is no column `_meta` that tells it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use longshore_sdk::materialize::Collection;
use longshore_sdk::{Error, Result};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Change metadata of a document.
const META_FIELD: &str = "_meta";

/// The columns of one binding's files.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
    /// The schema admits fields that it does not declare, and so there is no column for them.
    pub(crate) open: bool,
}

impl Columns {
    pub(crate) fn of(collection: &Collection) -> Result<Self> {
        let schema: Value = serde_json::from_slice(&collection.schema_json).map_err(|error| {
            Error::internal("files.schema", format!("reading the schema of {}: {error}", collection.name))
        })?;
        let properties = schema.get("properties").and_then(Value::as_object);
        let names: Vec<String> = properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect();
        if names.is_empty() {
            let message = format!(
                "collection {}: expected a schema that declares top-level fields for the header, got none",
                collection.name
            );
            return Err(
                Error::config("files.csv.no_fields", message).suggest("declare `properties`, or take `format: jsonl`")
            );
        }
        let places = names.iter().cloned().enumerate().map(|(place, name)| (name, place)).collect();
        Ok(Self { names, places, open: schema.get("additionalProperties") != Some(&Value::Bool(false)) })
    }

    pub(crate) fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        record(self.names.iter().map(|name| Some(Cow::Borrowed(name.as_str()))), &mut out);
        out
    }

    /// Appends the record of a document.
    pub(crate) fn write(&self, document: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut found = vec![None; self.names.len()];
        let mut meta = None;
        serde_json::Deserializer::from_slice(document)
            .deserialize_map(Fill { columns: self, found: &mut found, meta: &mut meta })
            .map_err(|error| Error::data("files.csv.document", format!("reading a document: {error}")))?;
        let told = self.places.contains_key(META_FIELD);
        if meta.filter(|_| !told).is_some_and(is_delete) {
            let message =
                "writing a CSV record: expected a document that is there, got a delete, which no column would tell";
            return Err(Error::data("files.csv.delete", message)
                .suggest("declare `_meta` in the collection's schema, or take `format: jsonl`"));
        }
        record(found.into_iter().map(|raw| raw.and_then(text)), out);
        Ok(())
    }
}

fn is_delete(meta: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Meta<'d> {
        #[serde(borrow)]
        op: Option<Cow<'d, str>>,
    }
    serde_json::from_str::<Meta<'_>>(meta).is_ok_and(|meta| meta.op.as_deref() == Some("d"))
}

/// What stands in a record for a JSON value; none: nothing.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first() {
        Some(b'n') => None,
        Some(b'"') if raw.contains('\\') => serde_json::from_str(raw).ok().map(Cow::Owned),
        Some(b'"') => raw.get(1..raw.len() - 1).map(Cow::Borrowed),
        Some(_) | None => Some(Cow::Borrowed(raw)),
    }
}

fn record<'d>(values: impl Iterator<Item = Option<Cow<'d, str>>>, out: &mut Vec<u8>) {
    for (i, value) in values.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let Some(value) = value else { continue };
        if value.is_empty() || value.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
            out.push(b'"');
            out.extend_from_slice(value.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(value.as_bytes());
        }
    }
    out.push(b'\n');
}

/// Walks over the top-level fields of a document.
struct Fill<'c, 'f, 'd> {
    columns: &'c Columns,
    found: &'f mut Vec<Option<&'d str>>,
    meta: &'f mut Option<&'d str>,
}

impl<'d> Visitor<'d> for Fill<'_, '_, 'd> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((place, is_meta)) = map.next_key_seed(Name(self.columns))? {
            let raw: &'d RawValue = map.next_value()?;
            if is_meta {
                *self.meta = Some(raw.get());
            }
            if let Some(place) = place {
                self.found[place] = Some(raw.get());
            }
        }
        Ok(())
    }
}

/// Reads the name of a field: its column, and whether it is `_meta`.
struct Name<'c>(&'c Columns);

impl<'d> DeserializeSeed<'d> for Name<'_> {
    type Value = (Option<usize>, bool);

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = (Option<usize>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok((self.0.places.get(name).copied(), name == META_FIELD))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns(schema: Value) -> Result<Columns> {
        let schema_json = schema.to_string().into();
        Columns::of(&Collection { name: "a/b".to_owned(), key: vec!["/id".to_owned()], schema_json, schema_version: 1 })
    }

    fn check(document: &str, expected: &str) {
        let columns = columns(json!({ "properties": { "id": {}, "a,b": {}, "c": {} } })).unwrap();
        let mut out = Vec::new();
        columns.write(document.as_bytes(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{document}");
    }

    #[test]
    fn a_record_says_what_the_document_says() {
        check(r#"{"id":1,"a,b":"x","c":10.357019999999999}"#, "1,x,10.357019999999999\n");
        check(r#"{"c":"a\"b\nc","id":""}"#, "\"\",,\"a\"\"b\nc\"\n");
        check(r#"{"id":null,"other":1}"#, ",,\n");
        check(r#"{"id":{"x":[1,2]},"c":true}"#, "\"{\"\"x\"\":[1,2]}\",,true\n");
        check(r#"{"id":2,"_meta":{"op":"u"}}"#, "2,,\n");
    }

    #[test]
    fn the_header_is_the_schemas_fields_in_order() {
        let columns = columns(json!({ "properties": { "z": {}, "a,b": {}, "" : {} } })).unwrap();
        assert_eq!(columns.header(), b"z,\"a,b\",\"\"\n");
        assert!(super::tests::columns(json!({})).is_err());
    }

    #[test]
    fn a_delete_that_no_column_tells_is_refused() {
        let delete = br#"{"id":1,"_meta":{"op":"d"}}"#;
        let mut out = Vec::new();
        let error = columns(json!({ "properties": { "id": {} } })).unwrap().write(delete, &mut out).unwrap_err();
        assert_eq!(error.code, "files.csv.delete");
        columns(json!({ "properties": { "id": {}, "_meta": {} } })).unwrap().write(delete, &mut out).unwrap();
        assert_eq!(out, b"1,\"{\"\"op\"\":\"\"d\"\"}\"\n");
    }
}
