//! Applies strategies to values as they are written: what is not reduced keeps its bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use longshore_proto::document::{Scanned, Scanner};
use longshore_proto::key::encode_json_key;
use longshore_proto::selection::pointer_to;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Misfit;
use super::annotation::{Order, Strategy};
use super::sum::sum as exact_sum;

/// At least one document, the oldest first.
pub(super) fn reduce(root: &Strategy, documents: &[&[u8]], into: &mut Vec<u8>) -> Result<(), Misfit> {
    let mut texts = Vec::with_capacity(documents.len());
    for document in documents {
        let text = std::str::from_utf8(document);
        texts.push(text.map_err(|_| misfit(root, "UTF-8", "bytes that are none"))?.trim());
    }
    values(root, &texts, into)
}

/// Of values that are there, the oldest first; at least one.
fn values(strategy: &Strategy, values: &[&str], into: &mut Vec<u8>) -> Result<(), Misfit> {
    let last = values.last().copied().unwrap_or("null");
    let said: Vec<&str> = match strategy {
        Strategy::LastWriteWins => return write(last, into),
        Strategy::FirstWriteWins => return write(values.first().unwrap_or(&last), into),
        Strategy::Merge { .. }
        | Strategy::Sum
        | Strategy::Minimize(_)
        | Strategy::Maximize(_)
        | Strategy::Append
        | Strategy::Set(_) => values.iter().copied().filter(|value| *value != "null").collect(),
    };
    // One alone is what it is.
    if said.len() < 2 {
        return write(said.first().unwrap_or(&last), into);
    }
    match strategy {
        Strategy::LastWriteWins | Strategy::FirstWriteWins => Ok(()),
        Strategy::Merge { .. } => merge(strategy, &said, into),
        Strategy::Sum => sum(strategy, &said, into),
        Strategy::Minimize(order) | Strategy::Maximize(order) => extreme(strategy, order, &said, into),
        Strategy::Append => append(strategy, &said, into),
        Strategy::Set(order) => set(strategy, order, &said, into),
    }
}

fn write(value: &str, into: &mut Vec<u8>) -> Result<(), Misfit> {
    into.extend_from_slice(value.as_bytes());
    Ok(())
}

fn merge(strategy: &Strategy, values: &[&str], into: &mut Vec<u8>) -> Result<(), Misfit> {
    let mut fields: Vec<(Cow<'_, str>, Vec<&str>)> = Vec::new();
    // Asked for only where a value has other names than the first one, or another order of them.
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
    for (nth, value) in values.iter().enumerate() {
        let Members(members) = parse(value).ok_or_else(|| misfit(strategy, "an object", value))?;
        for (i, (name, value)) in members.into_iter().enumerate() {
            let place = match fields.get(i) {
                Some((field, _)) if *field == name => i,
                // No name stands twice in one object.
                None if nth == 0 => i,
                Some(_) | None => {
                    places.extend((places.len()..fields.len()).map(|at| (fields[at].0.clone(), at)));
                    places.get(&name).copied().unwrap_or(fields.len())
                }
            };
            if place == fields.len() {
                fields.push((name, Vec::with_capacity(values.len())));
            }
            fields[place].1.push(value.get());
        }
    }
    into.push(b'{');
    for (i, (name, values)) in fields.iter().enumerate() {
        if i > 0 {
            into.push(b',');
        }
        // A name of JSON is one again.
        serde_json::to_writer(&mut *into, name).map_err(|error| misfit(strategy, "a name", &error.to_string()))?;
        into.push(b':');
        self::values(strategy.of_field(name), values, into).map_err(|misfit| misfit.at(name))?;
    }
    into.push(b'}');
    Ok(())
}

fn sum(strategy: &Strategy, values: &[&str], into: &mut Vec<u8>) -> Result<(), Misfit> {
    if let Some(other) = values.iter().find(|value| !value.starts_with(|c: char| c == '-' || c.is_ascii_digit())) {
        return Err(misfit(strategy, "a number", other));
    }
    let sum = exact_sum(values).map_err(|number| misfit(strategy, "a number of at most 1,100 places", number))?;
    write(&sum, into)
}

fn extreme(strategy: &Strategy, order: &Order, values: &[&str], into: &mut Vec<u8>) -> Result<(), Misfit> {
    let mut rank = Rank::new(order);
    let mut found: Option<(Vec<u8>, &str)> = None;
    for value in values {
        let at = rank.of(strategy, value)?;
        let better = match (&found, strategy) {
            (None, _) => true,
            (Some((best, _)), Strategy::Minimize(_)) => at < *best,
            (Some((best, _)), _) => at >= *best,
        };
        if better {
            found = Some((at, value));
        }
    }
    write(found.map_or("null", |(_, value)| value), into)
}

fn append(strategy: &Strategy, values: &[&str], into: &mut Vec<u8>) -> Result<(), Misfit> {
    into.push(b'[');
    let mut first = true;
    for value in values {
        let elements = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
        let elements = elements.ok_or_else(|| misfit(strategy, "an array", value))?.trim();
        if !elements.is_empty() {
            if !std::mem::take(&mut first) {
                into.push(b',');
            }
            write(elements, into)?;
        }
    }
    into.push(b']');
    Ok(())
}

fn set(strategy: &Strategy, order: &Order, values: &[&str], into: &mut Vec<u8>) -> Result<(), Misfit> {
    let mut rank = Rank::new(order);
    let mut elements = BTreeMap::new();
    for value in values {
        let all: Vec<&RawValue> = parse(value).ok_or_else(|| misfit(strategy, "an array", value))?;
        for element in all {
            elements.insert(rank.of(strategy, element.get())?, element.get());
        }
    }
    into.push(b'[');
    for (i, element) in elements.values().enumerate() {
        if i > 0 {
            into.push(b',');
        }
        write(element, into)?;
    }
    into.push(b']');
    Ok(())
}

/// Where values stand among each other, in the order of keys.
enum Rank {
    Scalar,
    Key(Scanner, Box<Scanned>),
}

impl Rank {
    fn new(order: &Order) -> Self {
        match order {
            Order::Scalar => Self::Scalar,
            Order::Key(key) => Self::Key(Scanner::new(key), Box::default()),
        }
    }

    fn of(&mut self, strategy: &Strategy, value: &str) -> Result<Vec<u8>, Misfit> {
        match self {
            Self::Scalar => encode_json_key(format!("[{value}]").as_bytes())
                .map_err(|_| misfit(strategy, "text, a number or a boolean", value)),
            Self::Key(scanner, scanned) => match scanner.scan(value.as_bytes(), scanned) {
                Ok(()) => Ok(scanned.key_encoded.clone()),
                Err(_) => Err(misfit(strategy, "an object with scalars where `key` leads", value)),
            },
        }
    }
}

fn misfit(strategy: &Strategy, expected: &str, got: &str) -> Misfit {
    Misfit {
        pointer: String::new(),
        strategy: strategy.word(),
        expected: expected.to_owned(),
        got: super::super::cut(got),
    }
}

impl Misfit {
    /// It stands in this field of what is above.
    fn at(mut self, name: &str) -> Self {
        self.pointer.insert_str(0, &pointer_to(name));
        self
    }
}

fn parse<'d, T: Deserialize<'d>>(text: &'d str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// The fields of an object, in order.
struct Members<'d>(Vec<(Cow<'d, str>, &'d RawValue)>);

impl<'d> Deserialize<'d> for Members<'d> {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'d> Visitor<'d> for Fields {
    type Value = Members<'d>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Members<'d>, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

#[derive(serde::Deserialize)]
struct Name<'d>(#[serde(borrow)] Cow<'d, str>);
