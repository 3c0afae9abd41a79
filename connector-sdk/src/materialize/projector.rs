//! Finds the values of a document that a binding keeps, each as the text it has there: one walk over the bytes, no tree of values.
//!
//! What becomes of a value is the connector's business; which field it belongs to where several share a pointer is settled here.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use longshore_proto::selection::{Field, JsonType};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

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
    /// By the name of a top-level field.
    wanted: HashMap<String, Wanted>,
    /// Top-level fields that are one value and nothing more, in the order in which documents usually have them.
    usual: Vec<(String, usize)>,
}

/// What a top-level field is wanted for.
#[derive(Debug, Default)]
struct Wanted {
    whole: Shared,
    /// What stands deeper in it.
    deeper: Vec<(Vec<String>, Shared)>,
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
        let mut wanted: HashMap<String, Wanted> = HashMap::new();
        for (place, field) in fields.iter().enumerate() {
            let mut path = field.path();
            if path.is_empty() {
                continue;
            }
            let top = wanted.entry(path.remove(0)).or_default();
            let shared = match path.is_empty() {
                true => &mut top.whole,
                false => {
                    let at = top.deeper.iter().position(|(other, _)| *other == path).unwrap_or(top.deeper.len());
                    if at == top.deeper.len() {
                        top.deeper.push((path, Shared::default()));
                    }
                    &mut top.deeper[at].1
                }
            };
            shared.0.push((place, field.types.clone()));
        }
        let plain = |(place, field): (usize, &Field)| {
            let name = field.path().into_iter().next()?;
            let top = wanted.get(&name)?;
            let alone = top.deeper.is_empty() && matches!(top.whole.0.as_slice(), [(only, _)] if *only == place);
            alone.then_some((name, place))
        };
        let usual = fields.iter().enumerate().filter_map(plain).collect();
        Self { width: fields.len(), wanted, usual }
    }

    /// Fills `values` with the JSON text of each field, without whitespace around it; `None`: absent.
    ///
    /// # Errors
    /// `data`, when the document is no JSON object, which the runtime rules out.
    pub fn project<'d>(&self, document: &'d [u8], values: &mut Vec<Option<&'d str>>) -> Result<()> {
        values.clear();
        values.resize(self.width, None);
        serde_json::Deserializer::from_slice(document)
            .deserialize_map(Fill { projector: self, values, next: 0 })
            .map_err(|error| unreadable(&error))
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

fn unreadable(error: &serde_json::Error) -> Error {
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
            let Some(Wanted { whole, deeper }) = self.projector.wanted.get(name.as_ref()) else { continue };
            for (place, _) in deeper.iter().map(|(_, shared)| shared).chain([whole]).flat_map(|shared| &shared.0) {
                self.absent[*place] = false;
            }
        }
        Ok(())
    }
}

/// Walks over the top-level fields.
struct Fill<'p, 'v, 'd> {
    projector: &'p Projector,
    values: &'v mut Vec<Option<&'d str>>,
    /// The place in `usual` that is likely next.
    next: usize,
}

/// What the name of a field says of its value.
enum Found<'p> {
    Place(usize),
    Wanted(&'p Wanted),
    Nothing,
}

impl<'d> Visitor<'d> for Fill<'_, '_, 'd> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'d>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key_seed(Name { projector: self.projector, next: &mut self.next })? {
            let raw: &'d RawValue = map.next_value()?;
            match found {
                Found::Place(place) => self.values[place] = Some(raw.get()),
                Found::Wanted(wanted) => self.take(wanted, raw.get()),
                Found::Nothing => {}
            }
        }
        Ok(())
    }
}

impl<'d> Fill<'_, '_, 'd> {
    fn take(&mut self, wanted: &Wanted, raw: &'d str) {
        let mut put = |shared: &Shared, raw: &'d str| {
            if let Some(place) = shared.place(raw) {
                self.values[place] = Some(raw);
            }
        };
        put(&wanted.whole, raw);
        for (path, shared) in &wanted.deeper {
            if let Some(raw) = at(raw, path) {
                put(shared, raw);
            }
        }
    }
}

/// Reads the name of a field and looks it up; documents of one collection mostly have their fields in one order.
struct Name<'p, 'n> {
    projector: &'p Projector,
    next: &'n mut usize,
}

impl<'p, 'd> DeserializeSeed<'d> for Name<'p, '_> {
    type Value = Found<'p>;

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<Found<'p>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Name<'p, '_> {
    type Value = Found<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Found<'p>, E> {
        let Projector { usual, wanted, .. } = self.projector;
        if let Some((_, place)) = usual.get(*self.next).filter(|(usual, _)| usual == name) {
            *self.next += 1;
            return Ok(Found::Place(*place));
        }
        if let Some(at) = usual.iter().position(|(usual, _)| usual == name) {
            *self.next = at + 1;
            return Ok(Found::Place(usual[at].1));
        }
        Ok(wanted.get(name).map_or(Found::Nothing, Found::Wanted))
    }
}

/// The value at a path inside of an object.
fn at<'d>(raw: &'d str, path: &[String]) -> Option<&'d str> {
    let Some((first, rest)) = path.split_first() else { return Some(raw) };
    let fields: HashMap<Cow<'d, str>, &'d RawValue> = serde_json::from_str(raw).ok()?;
    at(fields.get(first.as_str())?.get(), rest)
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
