//! What the user wrote, as a tree: every value with its place, every scalar as the text it was written as.
//!
//! Nothing here guesses types: `0123`, `on` and `1e3` are texts until a schema says what they are ([`super::typed`]). The tree is made by
//! [`super::yaml`].

use super::source::Span;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value's own place.
    pub span: Span,
    /// The key it stands under, where it stands under one: the better place to point at when something *in* it is missing.
    pub key_span: Option<Span>,
    /// The value.
    pub value: Value,
}

/// The three shapes of YAML.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text, as yet without a type.
    Scalar(Scalar),
    /// `- a` or `[a]`.
    Sequence(Vec<Node>),
    /// `a: b` or `{a: b}`, in the order written, each key once.
    Mapping(Vec<Entry>),
}

/// A scalar's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// After YAML's own escapes, before anything else.
    pub text: String,
    /// Written without quotes, so that a type may be read into it.
    pub plain: bool,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// What a scalar is when nothing says what it should be: the core schema of YAML 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    Null,
    Boolean(bool),
    Integer,
    Number,
    Text,
}

impl Node {
    /// An empty mapping, for a key that was left out.
    #[must_use]
    pub fn absent(at: Span) -> Self {
        Self { span: at, key_span: Some(at), value: Value::Mapping(Vec::new()) }
    }

    /// The place to point at when something in it is missing.
    #[must_use]
    pub fn name_span(&self) -> Span {
        self.key_span.unwrap_or(self.span)
    }

    /// The value under a key of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The key of a mapping with its value.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Scalar(_) | Value::Sequence(_) => None,
        }
    }

    /// The value a JSON pointer leads to.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Node> {
        pointer_parts(pointer).try_fold(self, |node, part| node.child(&part))
    }

    /// The deepest value on the way of a JSON pointer; this one if nothing of it is there.
    #[must_use]
    pub fn nearest(&self, pointer: &str) -> &Node {
        let mut node = self;
        for part in pointer_parts(pointer) {
            match node.child(&part) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// A plain scalar with nothing in it, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.plain && is_null_word(&scalar.text))
    }

    /// What it is, for a message; never its value.
    #[must_use]
    pub fn shape(&self) -> &'static str {
        match &self.value {
            Value::Scalar(_) if self.is_null() => "nothing",
            Value::Scalar(_) => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    /// The same text for the same value, wherever it stands and however it is spelt: keys are sorted, scalars are as they are written.
    #[must_use]
    pub fn canonical(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => format!("{:?}", scalar.text),
            Value::Sequence(items) => {
                format!("[{}]", items.iter().map(Self::canonical).collect::<Vec<_>>().join(","))
            }
            Value::Mapping(entries) => {
                let entry = |entry: &Entry| format!("{:?}:{}", entry.key, entry.value.canonical());
                let mut entries: Vec<String> = entries.iter().map(entry).collect();
                entries.sort_unstable();
                format!("{{{}}}", entries.join(","))
            }
        }
    }

    fn child(&self, part: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(_) => self.get(part),
            Value::Sequence(items) => items.get(part.parse::<usize>().ok()?),
            Value::Scalar(_) => None,
        }
    }
}

impl Scalar {
    pub(super) fn guess(&self) -> Guess {
        if !self.plain {
            Guess::Text
        } else if is_null_word(&self.text) {
            Guess::Null
        } else if let Some(truth) = boolean(&self.text) {
            Guess::Boolean(truth)
        } else if is_integer(&self.text) {
            Guess::Integer
        } else if is_number(&self.text) {
            Guess::Number
        } else {
            Guess::Text
        }
    }
}

pub(super) fn is_null_word(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Digits as JSON writes them: `0123` is none, because half of its readers take it for octal.
pub(super) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
}

/// A number as JSON writes it.
pub(super) fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

fn pointer_parts(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(text: &str) -> Guess {
        Scalar { text: text.into(), plain: true }.guess()
    }

    #[test]
    fn words_that_other_yaml_readers_turn_into_booleans_and_octals_stay_text() {
        for text in ["on", "NO", "yes", "0123", "+1", "0x10", "1_000", "1:30", ".5", "nan"] {
            assert_eq!(guess(text), Guess::Text, "{text}");
        }
        assert_eq!(
            (guess("12"), guess("-0"), guess("1e3"), guess("~")),
            (Guess::Integer, Guess::Integer, Guess::Number, Guess::Null)
        );
        assert_eq!(Scalar { text: "12".into(), plain: false }.guess(), Guess::Text);
    }
}
