//! Reads mappings of the catalog's own: which keys there may be, and what shape each value has. Collects every mistake instead of ending at the first. What the values mean is for [`super::resolve`].

use super::advice::{did_you_mean, one_of};
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::node::{self, Entry, Node, Value};
use super::source::Span;

/// The keys a mapping may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    pub(super) known: &'static [&'static str],
    /// What a value looks like, for a help line.
    pub(super) example: &'static str,
}

/// A mapping whose keys are known to be allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    /// Who it is, such as "capture `nyc`".
    pub(super) who: &'a str,
    node: &'a Node,
}

/// Takes a mapping and reports keys that have no place in it. `None`: it is no mapping, and that is reported.
pub(super) fn fields<'a>(
    node: &'a Node,
    who: &'a str,
    keys: Keys,
    findings: &mut Vec<Diagnostic>,
) -> Option<Fields<'a>> {
    for entry in entries(node, who, keys.example, findings)? {
        let key = entry.key.as_str();
        if keys.known.contains(&key) {
            continue;
        }
        let takes = format!("it takes {}", one_of(keys.known.iter().copied()));
        let help = match did_you_mean(key, keys.known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?\n{takes}"),
            None => takes,
        };
        findings.push(Diagnostic::error(
            Code::UnknownKey,
            entry.key_span,
            format!("there is no `{key}` in {who}"),
            help,
        ));
    }
    Some(Fields { who, node })
}

/// The entries of a mapping; nothing written is an empty one. `None`: it is something else, and that is reported.
pub(super) fn entries<'a>(
    node: &'a Node,
    who: &str,
    example: &str,
    findings: &mut Vec<Diagnostic>,
) -> Option<&'a [Entry]> {
    match &node.value {
        Value::Mapping(entries) => Some(entries),
        Value::Scalar(_) if node.is_null() => Some(&[]),
        Value::Scalar(_) | Value::Sequence(_) => {
            let mut help = format!("write `key: value` pairs, such as {example}");
            if let Value::Scalar(scalar) = &node.value
                && scalar.plain
                && let Some((key, value)) = scalar.text.split_once(':')
            {
                help = format!("put a space behind the colon: `{key}: {value}`");
            }
            findings.push(Diagnostic::error(
                Code::WrongType,
                node.span,
                format!("{who}: expected a mapping, got {}", node.shape()),
                help,
            ));
            None
        }
    }
}

impl<'a> Fields<'a> {
    /// The value of a key, if it is there.
    pub(super) fn optional(&self, key: &str) -> Option<&'a Node> {
        self.node.get(key)
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, key: &str, example: &str, findings: &mut Vec<Diagnostic>) -> Option<&'a Node> {
        let value = self.node.get(key).filter(|value| !value.is_null());
        if value.is_none() {
            let span = self.node.entry(key).map_or(self.node.name_span(), |entry| entry.key_span);
            let message = format!("{} needs `{key}`", self.who);
            findings.push(Diagnostic::error(Code::MissingKey, span, message, format!("add `{example}`")));
        }
        value
    }

    /// The key where it is written, else the mapping's own.
    pub(super) fn key_span(&self, key: &str) -> Span {
        self.node.entry(key).map_or(self.node.name_span(), |entry| entry.key_span)
    }
}

/// One of the words that a key takes, and what it stands for; `None`: nothing is written, or something else, and that is reported.
pub(super) fn choice<T: Copy>(
    fields: &Fields<'_>,
    key: &str,
    choices: &[(&'static str, T)],
    findings: &mut Vec<Diagnostic>,
) -> Option<T> {
    let node = fields.optional(key)?;
    let words = || choices.iter().map(|(word, _)| *word);
    let written = if let Value::Scalar(scalar) = &node.value { scalar.text.as_str() } else { "" };
    if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == written) {
        return Some(*choice);
    }
    let got = if written.is_empty() { node.shape().to_owned() } else { format!("`{written}`") };
    let message = format!("`{key}` of {}: expected {}, got {got}", fields.who, one_of(words()));
    let near = did_you_mean(written, words()).filter(|_| !written.is_empty());
    let help = near.map_or_else(
        || {
            format!(
                "write one of them, such as `{key}: {}`, or remove it",
                choices.first().map_or("", |(word, _)| word)
            )
        },
        |near| format!("did you mean `{near}`?"),
    );
    let span = if matches!(node.value, Value::Scalar(_)) && !written.is_empty() { node.span } else { node.name_span() };
    findings.push(Diagnostic::error(Code::WrongType, span, message, help));
    None
}

/// A value that must be text.
pub(super) fn text<'a>(node: &'a Node, who: &str, example: &str, findings: &mut Vec<Diagnostic>) -> Option<&'a str> {
    match &node.value {
        Value::Scalar(scalar) if !node.is_null() => Some(&scalar.text),
        Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_) => {
            let message = format!("{who}: expected text, got {}", node.shape());
            findings.push(Diagnostic::error(Code::WrongType, node.span, message, format!("write `{example}`")));
            None
        }
    }
}

/// A value that must be a list; nothing written is an empty one.
pub(super) fn list<'a>(node: &'a Node, who: &str, example: &str, findings: &mut Vec<Diagnostic>) -> Option<&'a [Node]> {
    match &node.value {
        Value::Sequence(items) => Some(items),
        Value::Scalar(_) if node.is_null() => Some(&[]),
        Value::Scalar(_) | Value::Mapping(_) => {
            let message = format!("{who}: expected a list, got {}", node.shape());
            findings.push(Diagnostic::error(Code::WrongType, node.span, message, format!("write a list: `{example}`")));
            None
        }
    }
}

/// A value that must be true or false.
pub(super) fn boolean(node: &Node, key: &str, who: &str, findings: &mut Vec<Diagnostic>) -> Option<bool> {
    let written = if let Value::Scalar(scalar) = &node.value { scalar.text.as_str() } else { "" };
    let truth = node::boolean(written);
    if truth.is_none() {
        let likely = if matches!(written.to_lowercase().as_str(), "no" | "off" | "n" | "0") { "false" } else { "true" };
        let got = if written.is_empty() { node.shape().to_owned() } else { format!("`{written}`") };
        let message = format!("`{key}` of {who}: expected true or false, got {got}");
        findings.push(Diagnostic::error(Code::WrongType, node.span, message, format!("write `{key}: {likely}`")));
    }
    truth
}

/// `^[a-z0-9][a-z0-9_./-]{0,254}$`, and no part of it that a path would take for a way up.
pub(super) fn check_name(name: &str, what: &str, span: Span, findings: &mut Vec<Diagnostic>) {
    const RULE: &str = "a name is 1 to 255 of a-z 0-9 _ . / -, begins with a letter or digit, and has no empty part, `.` or `..` between its slashes";
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_./-".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let parts = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if begins && parts && name.len() <= 255 && name.chars().all(allowed) {
        return;
    }
    let suggested = suggest_name(name);
    let shown: String = name.chars().take(60).collect();
    let help = if suggested.is_empty() { RULE.to_owned() } else { format!("write `{suggested}`\n{RULE}") };
    findings.push(Diagnostic::error(Code::Name, span, format!("`{shown}` cannot be the name of a {what}"), help));
}

fn suggest_name(name: &str) -> String {
    let replaced = name
        .to_lowercase()
        .replace("${", "")
        .replace(|c: char| !(c.is_ascii_alphanumeric() || "_./-".contains(c)), "-");
    let parts = replaced.split('/').map(|part| part.trim_matches(['-', '.', '_'])).filter(|part| !part.is_empty());
    let mut suggested = parts.collect::<Vec<_>>().join("/");
    // ASCII by now.
    suggested.truncate(60);
    suggested
}
