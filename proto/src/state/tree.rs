//! Just enough of a JSON tree for merge patches: objects are taken apart, everything else stays the text it was.
//!
//! Text, because a number read as a double and written again is another number from 2^53 on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value of a state or patch whose JSON was checked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree<'j> {
    Object(BTreeMap<Name<'j>, Tree<'j>>),
    /// An array, string, number, boolean or null, without insignificant whitespace.
    Text(Cow<'j, str>),
}

/// Of a member, without escapes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Name<'j>(#[serde(borrow)] Cow<'j, str>);

impl<'j> Tree<'j> {
    pub(super) fn parse(json: &'j [u8]) -> Result<Self, serde_json::Error> {
        let text = std::str::from_utf8(json).map_err(serde_json::Error::custom)?;
        if text.starts_with('{') { Self::of(text) } else { Self::of(serde_json::from_str::<&RawValue>(text)?.get()) }
    }

    /// Of one value without whitespace around it.
    fn of(text: &'j str) -> Result<Self, serde_json::Error> {
        if !text.starts_with('{') {
            return Ok(Tree::Text(without_whitespace(text)));
        }
        serde_json::from_str(text).map(|Members(members)| Tree::Object(members))
    }

    /// RFC 7396: this patch on a target; `None` if the patch is null.
    pub(super) fn merge_into(self, target: Option<Self>) -> Option<Self> {
        let patch = match self {
            Tree::Text(text) if &*text == "null" => return None,
            Tree::Text(text) => return Some(Tree::Text(text)),
            Tree::Object(members) => members,
        };
        let mut members = match target {
            Some(Tree::Object(members)) => members,
            Some(Tree::Text(_)) | None => BTreeMap::new(),
        };
        for (name, change) in patch {
            let old = members.remove(&name);
            if let Some(new) = change.merge_into(old) {
                members.insert(name, new);
            }
        }
        Some(Tree::Object(members))
    }

    /// The patch that makes this of `before`; `None` if they are the same. Neither holds a member that is null.
    pub(super) fn difference_from(self, before: &Self) -> Option<Self> {
        let (after, before) = match (self, before) {
            (Tree::Object(after), Tree::Object(before)) => (after, before),
            (after, before) => return (after != *before).then_some(after),
        };
        let gone = before
            .keys()
            .filter(|name| !after.contains_key(*name))
            .map(|name| (name.clone(), Tree::Text("null".into())));
        let mut changes: BTreeMap<_, _> = gone.collect();
        for (name, value) in after {
            let change = match before.get(&name) {
                None => Some(value),
                Some(old) => value.difference_from(old),
            };
            if let Some(change) = change {
                changes.insert(name, change);
            }
        }
        (!changes.is_empty()).then_some(Tree::Object(changes))
    }

    /// `bytes`: how long it may become, about.
    pub(super) fn to_json(&self, bytes: usize) -> Bytes {
        let mut out = String::with_capacity(bytes);
        self.write(&mut out);
        out.into()
    }

    fn write(&self, out: &mut String) {
        match self {
            Tree::Text(text) => out.push_str(text),
            Tree::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    name.write(out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// An object, one level of it.
struct Members<'j>(BTreeMap<Name<'j>, Tree<'j>>);

impl<'j> Deserialize<'j> for Members<'j> {
    fn deserialize<D: Deserializer<'j>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Visit)
    }
}

struct Visit;

impl<'j> Visitor<'j> for Visit {
    type Value = Members<'j>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, raw)) = from.next_entry::<Name<'j>, &'j RawValue>()? {
            members.insert(name, Tree::of(raw.get()).map_err(A::Error::custom)?);
        }
        Ok(Members(members))
    }
}

impl Name<'_> {
    fn write(&self, out: &mut String) {
        let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if self.0.bytes().all(is_plain) {
            out.extend(["\"", &self.0, "\""]);
        } else {
            out.push_str(&serde_json::Value::from(&*self.0).to_string());
        }
    }
}

/// The text of a JSON value without the whitespace between its tokens.
fn without_whitespace(text: &str) -> Cow<'_, str> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    if !text.contains(is_space) {
        return Cow::Borrowed(text);
    }
    let mut in_string = false;
    let mut escaped = false;
    let keep = |c: &char| {
        if in_string {
            in_string = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            return true;
        }
        in_string = *c == '"';
        !is_space(*c)
    };
    Cow::Owned(text.chars().filter(keep).collect())
}
