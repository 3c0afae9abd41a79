//! Finds the values of a document that a binding keeps, each as the text it has there: one walk over the bytes, no tree of values.
//!
//! What becomes of a value is the connector's business; which field it belongs to where several share a pointer is settled here.

use std::borrow::Cow;
use std::fmt;
use std::sync::Mutex;

use longshore_proto::document::Finder;
use longshore_proto::selection::{Field, JsonType};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::{Error, Result};

/// Made once for a binding's fields, used for each of its documents.
///
/// ```
/// use longshore_sdk::materialize::{Field, Projector};
///
/// let field = |pointer: &str| Field { pointer: pointer.to_owned(), name: pointer.to_owned(), types: Vec::new() };
/// let projector = Projector::new(&[field("/id"), field("/address/city"), field("/note")]);
/// let mut values = Vec::new();
/// projector.project(br#"{"address":{"city":"Ghent"},"id":1.0}"#, &mut values)?;
/// assert_eq!(values, [Some("1.0"), Some("\"Ghent\""), None]);
/// # Ok::<(), longshore_sdk::Error>(())
/// ```
#[derive(Debug)]
pub struct Projector {
    width: usize,
    /// The pointers as names, each once.
    paths: Vec<Vec<String>>,
    /// Of each path, which fields it has.
    shared: Vec<Shared>,
    /// Remembers the names of the documents before. Who finds it taken by somebody else begins with none.
    finder: Mutex<Finder>,
}

/// The places of the fields of one pointer.
#[derive(Debug, Default)]
struct Shared(Vec<(usize, Vec<JsonType>)>);

impl Shared {
    /// The first field that has the value's type, else the first.
    fn place(&self, json: &str) -> Option<usize> {
        let (first, others) = self.0.split_first()?;
        if others.is_empty() {
            return Some(first.0);
        }
        let of = JsonType::of_text(json.as_bytes());
        let has = |types: &[JsonType]| of.is_some_and(|of| types.iter().any(|one| one.is_kind_of(of)));
        Some(self.0.iter().find(|(_, types)| has(types)).unwrap_or(first).0)
    }
}

impl Projector {
    /// For fields in this order.
    pub fn new(fields: &[Field]) -> Self {
        let (mut paths, mut shared): (Vec<Vec<String>>, Vec<Shared>) = (Vec::new(), Vec::new());
        for (place, field) in fields.iter().enumerate() {
            let path = field.path();
            if path.is_empty() {
                continue;
            }
            let at = paths.iter().position(|other| *other == path).unwrap_or(paths.len());
            if at == paths.len() {
                paths.push(path);
                shared.push(Shared::default());
            }
            shared[at].0.push((place, field.types.clone()));
        }
        let finder = Mutex::new(finder(&paths));
        Self { width: fields.len(), paths, shared, finder }
    }

    /// Fills `values` with the JSON text of each field, without whitespace around it; `None`: absent.
    ///
    /// # Errors
    /// `data`, when the document is no JSON object, which the runtime rules out.
    pub fn project<'d>(&self, document: &'d [u8], values: &mut Vec<Option<&'d str>>) -> Result<()> {
        values.clear();
        values.resize(self.width, None);
        let document = std::str::from_utf8(document).map_err(|error| unreadable(&error))?;
        let mut fill = |path: usize, raw: &'d str| {
            let shared: &Shared = &self.shared[path];
            if let Some(place) = shared.place(raw) {
                values[place] = Some(raw);
            }
        };
        let found = match self.finder.try_lock() {
            Ok(mut finder) => finder.find(document, &mut fill),
            Err(_) => finder(&self.paths).find(document, &mut fill),
        };
        found.map_err(|fault| unreadable(&fault))
    }

    /// Fills `absent` with which fields belong to a top-level field that the document does not have: what a partial update leaves as it is.
    /// A deeper one whose own object lacks it is not among them.
    ///
    /// # Errors
    /// `data`, when the document is no JSON object, which the runtime rules out.
    pub fn absent(&self, document: &[u8], absent: &mut Vec<bool>) -> Result<()> {
        absent.clear();
        absent.resize(self.width, true);
        serde_json::Deserializer::from_slice(document)
            .deserialize_map(CrossOut { projector: self, absent })
            .map_err(|error| unreadable(&error))
    }
}

fn finder(paths: &[Vec<String>]) -> Finder {
    Finder::new(paths.iter().map(Vec::as_slice))
}

fn unreadable(error: &impl fmt::Display) -> Error {
    Error::data("sdk.document", format!("reading a document: {error}"))
}

/// Crosses out the top-level fields there are.
struct CrossOut<'p, 'v> {
    projector: &'p Projector,
    absent: &'v mut [bool],
}

impl<'d> Visitor<'d> for CrossOut<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, _)) = map.next_entry::<Cow<'d, str>, IgnoredAny>()? {
            let Projector { paths, shared, .. } = self.projector;
            let inside = paths.iter().zip(shared).filter(|(path, _)| path[0] == name);
            for (place, _) in inside.flat_map(|(_, shared)| &shared.0) {
                self.absent[*place] = false;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[(&str, &[JsonType])], document: &str, expected: &[Option<&str>]) {
        let field = |(pointer, types): &(&str, &[JsonType])| Field {
            pointer: (*pointer).to_owned(),
            name: "x".to_owned(),
            types: types.to_vec(),
        };
        let fields: Vec<Field> = fields.iter().map(field).collect();
        let mut values = Vec::new();
        Projector::new(&fields).project(document.as_bytes(), &mut values).expect("a document");
        assert_eq!(values, expected, "{document}");
    }

    #[test]
    fn values_are_found_in_any_order_and_depth_as_they_are_written() {
        let fields: &[(&str, &[JsonType])] =
            &[("/a", &[]), ("/b~1c", &[]), ("/_meta/source/file", &[]), ("/_meta", &[]), ("/", &[])];
        let meta = r#"{"op":"c","source":{"file":"f"}}"#;
        check(
            fields,
            &format!(r#"{{"x":[1],"_meta":{meta}, "b/c": 1.10 ,"a":"yé","":null}}"#),
            &[Some(r#""yé""#), Some("1.10"), Some(r#""f""#), Some(meta), Some("null")],
        );
        check(
            fields,
            r#"{"_meta":{"source":7},"a":{"k":[ 1 ]}}"#,
            &[Some(r#"{"k":[ 1 ]}"#), None, None, Some(r#"{"source":7}"#), None],
        );
    }

    #[test]
    fn fields_of_one_pointer_share_its_values_by_type_and_none_is_lost() {
        let fields: &[(&str, &[JsonType])] =
            &[("/v", &[JsonType::Integer]), ("/v", &[JsonType::String]), ("/id", &[]), ("/v", &[JsonType::Object])];
        check(fields, r#"{"id":1,"v":7}"#, &[Some("7"), None, Some("1"), None]);
        check(fields, r#"{"id":1,"v":7.5}"#, &[Some("7.5"), None, Some("1"), None]);
        check(fields, r#"{"id":1,"v":""}"#, &[None, Some("\"\""), Some("1"), None]);
        check(fields, r#"{"id":1,"v":[]}"#, &[None, None, Some("1"), Some("[]")]);
        check(fields, r#"{"id":1,"v":true}"#, &[Some("true"), None, Some("1"), None]);
        check(fields, r#"{"id":1,"v":null}"#, &[Some("null"), None, Some("1"), None]);
    }

    #[test]
    fn a_field_is_absent_with_its_top_level_field_and_not_with_an_object_inside() {
        let field = |pointer: &str| Field { pointer: pointer.to_owned(), name: pointer.to_owned(), types: Vec::new() };
        let projector = Projector::new(&["/id", "/a/b", "/a", "/v", "/v", "/n"].map(field));
        let mut absent = vec![true];
        projector.absent(br#"{"id":1,"a":{},"n":null,"x":{"v":1}}"#, &mut absent).expect("a document");
        assert_eq!(absent, [false, false, false, true, true, false]);
        projector.absent(br#"{"v":"seven","\u0069d":1}"#, &mut absent).expect("a document");
        assert_eq!(absent, [false, true, true, false, false, true], "names may be escaped");
    }
}
