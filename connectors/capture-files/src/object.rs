//! One line of JSON: that it is an object, and what its top-level fields are. The line itself goes on as it was written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use serde_json::value::RawValue;

use crate::kind::TypeSet;

/// Calls `field` with name and type of each top-level field, in order; an error says what is not JSON about the line, or is `field`'s own.
pub(crate) fn walk_object(
    line: &str,
    field: &mut dyn FnMut(&str, TypeSet) -> Result<(), String>,
) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_str(line);
    json.deserialize_map(ObjectVisitor(field)).and_then(|()| json.end()).map_err(|error| {
        let text = error.to_string();
        // The line number of a single line says nothing.
        text.replace("line 1 column", "column")
    })
}

/// The object with those of its top-level fields that are kept, each value byte for byte.
pub(crate) fn part_of_object(line: &str, is_kept: &dyn Fn(&str) -> bool) -> Result<String, String> {
    let mut json = serde_json::Deserializer::from_str(line);
    json.deserialize_map(PartVisitor(is_kept)).map_err(|error| error.to_string())
}

struct PartVisitor<'f>(&'f dyn Fn(&str) -> bool);

impl<'de> Visitor<'de> for PartVisitor<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut part = String::from("{");
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let value: &RawValue = map.next_value()?;
            if (self.0)(&name) {
                if part.len() > 1 {
                    part.push(',');
                }
                let name = serde_json::to_string(&name).map_err(serde::de::Error::custom)?;
                part.push_str(&name);
                part.push(':');
                part.push_str(value.get());
            }
        }
        part.push('}');
        Ok(part)
    }
}

struct ObjectVisitor<'f>(&'f mut dyn FnMut(&str, TypeSet) -> Result<(), String>);

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let types = map.next_value_seed(TypeSeed)?;
            (self.0)(&name, types).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

struct TypeSeed;

impl<'de> DeserializeSeed<'de> for TypeSeed {
    type Value = TypeSet;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<TypeSet, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TypeSeed {
    type Value = TypeSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<TypeSet, E> {
        Ok(TypeSet::NULL)
    }

    fn visit_bool<E>(self, _: bool) -> Result<TypeSet, E> {
        Ok(TypeSet::BOOLEAN)
    }

    fn visit_i64<E>(self, _: i64) -> Result<TypeSet, E> {
        Ok(TypeSet::INTEGER)
    }

    fn visit_u64<E>(self, value: u64) -> Result<TypeSet, E> {
        // Beyond what destinations hold as an integer.
        Ok(if i64::try_from(value).is_ok() { TypeSet::INTEGER } else { TypeSet::NUMBER })
    }

    fn visit_f64<E>(self, _: f64) -> Result<TypeSet, E> {
        Ok(TypeSet::NUMBER)
    }

    fn visit_str<E>(self, _: &str) -> Result<TypeSet, E> {
        Ok(TypeSet::STRING)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TypeSet, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(TypeSet::ARRAY)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TypeSet, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(TypeSet::OBJECT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(line: &str) -> Result<Vec<(String, Vec<&'static str>)>, String> {
        let mut fields = Vec::new();
        walk_object(line, &mut |name, types| {
            fields.push((name.to_owned(), types.names()));
            Ok(())
        })?;
        Ok(fields)
    }

    #[test]
    fn the_types_of_top_level_fields_are_told_in_order() {
        let line = r#" {"a":1,"b":1.5,"c":"x\ny","d":null,"e":[1,{"q":2}],"f":{"a":{}},"g\"":true,"h":-3,"i":18446744073709551615} "#;
        let fields = walk(line).unwrap();
        let shown: Vec<String> = fields.iter().map(|(name, types)| format!("{name}:{}", types.join("+"))).collect();
        let expected = [
            "a:integer",
            "b:number",
            "c:string",
            "d:null",
            "e:array",
            "f:object",
            "g\":boolean",
            "h:integer",
            "i:number",
        ];
        assert_eq!(shown, expected);
        assert_eq!(walk("{}").unwrap(), []);
    }

    #[test]
    fn a_part_of_an_object_has_its_values_byte_for_byte() {
        let line = r#"{ "a" : 1.50 ,"b":{"a": [1,  2]},"\u0063":"x\ny","d":null}"#;
        let part = |names: &[&str]| part_of_object(line, &|name| names.contains(&name)).unwrap();
        assert_eq!(part(&["b", "d"]), r#"{"b":{"a": [1,  2]},"d":null}"#);
        assert_eq!(part(&["a", "c"]), r#"{"a":1.50,"c":"x\ny"}"#);
        assert_eq!(part(&[]), "{}");
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for line in
            ["", "[1]", "1", "{\"a\":1", "{\"a\":1}{\"a\":2}", "{\"a\":NaN}", "{a:1}", "{\"a\":1e400}", "{\"a\":1,}"]
        {
            let error = walk(line).unwrap_err();
            assert!(!error.contains("line 1"), "{error}");
        }
    }
}
