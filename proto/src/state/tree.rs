//! Just enough of a JSON tree for merge patches: objects are taken apart, everything else stays the text it was.
//!
//! Text, because a number read as a double and written again is another number from 2^53 on.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

/// A value of a state or patch whose JSON was checked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Object(BTreeMap<String, Tree>),
    /// An array, string, number, boolean or null, without insignificant whitespace.
    Text(Box<str>),
}

impl Tree {
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        Self::of(serde_json::from_slice::<&RawValue>(json)?)
    }

    fn of(raw: &RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        if !text.starts_with('{') {
            return Ok(Tree::Text(without_whitespace(text)));
        }
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
        members.into_iter().map(|(name, raw)| Ok((name, Tree::of(raw)?))).collect::<Result<_, _>>().map(Tree::Object)
    }

    /// RFC 7396: this patch on a target; `None` if the patch is null.
    pub(super) fn merge_into(self, target: Option<Tree>) -> Option<Tree> {
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
    pub(super) fn difference_from(self, before: &Tree) -> Option<Tree> {
        let (after, before) = match (self, before) {
            (Tree::Object(after), Tree::Object(before)) => (after, before),
            (after, before) => return (after != *before).then_some(after),
        };
        let gone = before
            .keys()
            .filter(|name| !after.contains_key(*name))
            .map(|name| (name.clone(), Tree::Text("null".into())));
        let mut changes: BTreeMap<String, Tree> = gone.collect();
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

    pub(super) fn to_json(&self) -> Bytes {
        let mut out = String::new();
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
                    out.push_str(&serde_json::Value::from(name.as_str()).to_string());
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// The text of a JSON value without the whitespace between its tokens.
fn without_whitespace(text: &str) -> Box<str> {
    let mut in_string = false;
    let mut escaped = false;
    let keep = |c: &char| {
        if in_string {
            in_string = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            return true;
        }
        in_string = *c == '"';
        !matches!(c, ' ' | '\t' | '\n' | '\r')
    };
    text.chars().filter(keep).collect::<String>().into()
}
