//! `connections` of the catalog: an endpoint and its secrets, written once, and what becomes of the config of a task that names one.
//!
//! What comes of it is a config as if it had been written at the task: it is typed, checked and shown like any other, each value where it
//! stands.

use super::advice::{did_you_mean, one_of};
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::fields::{Fields, check_name, entries, text};
use super::node::{Entry, Node, Value};

/// All of the catalog, by name.
#[derive(Debug, Default)]
pub(super) struct Connections<'a> {
    named: Vec<(&'a Entry, &'a [Entry])>,
}

impl<'a> Connections<'a> {
    pub(super) fn read(node: Option<&'a Node>, findings: &mut Vec<Diagnostic>) -> Self {
        let Some(node) = node else { return Self::default() };
        let example = "`shop_db: { url: …, password: … }`";
        let all = entries(node, "`connections`", example, findings).unwrap_or_default();
        let mut named = Vec::with_capacity(all.len());
        for entry in all {
            check_name(&entry.key, "connection", entry.key_span, findings);
            let who = format!("connection `{}`", entry.key);
            let settings = entries(&entry.value, &who, "`{ url: …, password: … }`", findings).unwrap_or_default();
            named.push((entry, settings));
        }
        Self { named }
    }

    /// The config of a task: what its connection says and, before that, what it says itself.
    pub(super) fn config(&self, task: &Fields<'_>, config: Node, findings: &mut Vec<Diagnostic>) -> Node {
        let Some(node) = task.optional("connection") else { return config };
        let who = format!("`connection` of {}", task.who);
        let Some(name) = text(node, &who, "connection: shop_db", findings) else { return config };
        let Some((_, shared)) = self.named.iter().find(|(entry, _)| entry.key == name) else {
            findings.push(self.unknown(node, &who, name));
            return config;
        };
        let own: &[Entry] = if let Value::Mapping(own) = &config.value { own } else { &[] };
        let inherited = shared.iter().filter(|entry| own.iter().all(|other| other.key != entry.key));
        let merged: Vec<Entry> = inherited.chain(own).cloned().collect();
        // Without a config of its own, what is missing is missing at the connection's name.
        let (span, key_span) = match own.is_empty() {
            true => (node.span, Some(node.span)),
            false => (config.span, config.key_span),
        };
        Node { span, key_span, value: Value::Mapping(merged) }
    }

    fn unknown(&self, node: &Node, who: &str, name: &str) -> Diagnostic {
        let names = || self.named.iter().map(|(entry, _)| entry.key.as_str());
        let near = did_you_mean(name, names());
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.named.is_empty() => {
                format!("add it at the top of the catalog: `connections: {{ {name}: {{ url: … }} }}`")
            }
            None => format!("the catalog has {}", one_of(names())),
        };
        Diagnostic::error(Code::Connection, node.span, format!("{who}: there is no connection `{name}`"), help)
    }
}
