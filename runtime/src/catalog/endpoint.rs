//! `connector`, `image`, `command` or `address`: how a task reaches its connector, exactly one of them.

use std::path::PathBuf;

use super::Endpoint;
use super::advice::one_of;
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::fields::{Fields, list, text};
use super::image;
use super::node::Node;
use super::source::{Source, Span};
use super::variables::Variables;

const WAYS: [&str; 4] = ["connector", "image", "command", "address"];

/// What is needed to read endpoints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) variables: &'a Variables,
    /// `capture` or `materialize`.
    pub(super) prefix: &'static str,
    /// Images are named by what they are, not by tags.
    pub(super) production: bool,
}

impl Reader<'_> {
    /// The endpoint and where it is written.
    pub(super) fn read(&self, fields: &Fields<'_>, findings: &mut Vec<Diagnostic>) -> Option<(Endpoint, Span)> {
        let written: Vec<(&str, &Node)> = WAYS.iter().filter_map(|way| Some((*way, fields.optional(way)?))).collect();
        let (way, node) = match written.as_slice() {
            [one] => *one,
            [] => {
                let message = format!("{} does not say which connector it uses", fields.who);
                let help = "add `connector: files`, `image: ghcr.io/acme/capture-shop:1.2`, `command: [./my-connector]` or `address: unix:/path/to.sock`\n`longshore connector list` shows the bundled ones";
                findings.push(Diagnostic::error(Code::Endpoint, fields.key_span("connector"), message, help));
                return None;
            }
            [_, more @ ..] => {
                for (way, _) in more {
                    let message = format!(
                        "{} has more than one connector: {}",
                        fields.who,
                        one_of(written.iter().map(|(way, _)| *way)).replace(" or ", " and ")
                    );
                    findings.push(Diagnostic::error(Code::Endpoint, fields.key_span(way), message, "keep one of them"));
                }
                return None;
            }
        };
        if way != "address" && fields.optional("token_file").is_some() {
            let message = format!("`token_file` of {} goes with `address` only", fields.who);
            let help = format!("remove it: with `{way}` the runtime makes the token itself");
            findings.push(Diagnostic::error(Code::Endpoint, fields.key_span("token_file"), message, help));
        }
        if way != "image" {
            image::refuse_without_image(way, fields, findings);
        }
        let endpoint = match way {
            "image" => self.image(node, fields, findings)?,
            "connector" => self.bundled(node, fields, findings)?,
            "command" => self.command(node, fields, findings)?,
            _ => self.address(node, fields, findings)?,
        };
        Some((endpoint, node.span))
    }

    fn bundled(&self, node: &Node, fields: &Fields<'_>, findings: &mut Vec<Diagnostic>) -> Option<Endpoint> {
        let who = format!("`connector` of {}", fields.who);
        let name = text(node, &who, "connector: files", findings)?;
        let wrong = |message: String, help: String, findings: &mut Vec<Diagnostic>| {
            findings.push(Diagnostic::error(Code::Endpoint, node.span, message, help));
            None
        };
        for prefix in ["capture-", "materialize-"] {
            if let Some(short) = name.strip_prefix(prefix) {
                let message = format!("{who}: `{name}` says twice what kind of connector it is");
                return wrong(
                    message,
                    format!("write `connector: {short}`: here it means {}-{short}", self.prefix),
                    findings,
                );
            }
        }
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            let message = format!("{who}: `{name}` is not the name of a bundled connector");
            let help = "names are lower-case words, such as `connector: files`; a program of your own is `command: [./my-connector]`";
            return wrong(message, help.into(), findings);
        }
        Some(Endpoint::Bundled { name: name.to_owned() })
    }

    fn command(&self, node: &Node, fields: &Fields<'_>, findings: &mut Vec<Diagnostic>) -> Option<Endpoint> {
        let who = format!("`command` of {}", fields.who);
        let example = "command: [./my-connector, --verbose]";
        let words = list(node, &who, example, findings)?;
        if words.is_empty() {
            findings.push(Diagnostic::error(
                Code::Endpoint,
                node.span,
                format!("{who} is empty"),
                format!("write `{example}`"),
            ));
            return None;
        }
        let argv: Option<Vec<String>> = words.iter().map(|word| self.filled(word, &who, example, findings)).collect();
        Some(Endpoint::Command { argv: argv? })
    }

    fn address(&self, node: &Node, fields: &Fields<'_>, findings: &mut Vec<Diagnostic>) -> Option<Endpoint> {
        let who = format!("`address` of {}", fields.who);
        let url = self.filled(node, &who, "address: unix:/path/to.sock", findings)?;
        if let Err(error) = crate::connector::Address::parse(&url) {
            let code = if url.starts_with("https:") { Code::NotBuilt } else { Code::Endpoint };
            // As written: what a variable stands for is not shown.
            let message =
                format!("{who}: {}", error.message.replace(&format!("{url:?}"), self.source.slice(node.span)));
            findings.push(Diagnostic::error(code, node.span, message, error.suggestion.clone()));
            return None;
        }
        let token_file = match fields.optional("token_file") {
            Some(file) => {
                let who = format!("`token_file` of {}", fields.who);
                Some(PathBuf::from(self.filled(file, &who, "token_file: ./connector.token", findings)?))
            }
            None if url.starts_with("http:") => {
                let message = format!("{who}: over http every local user can connect, so a token is needed");
                let help = "add `token_file: ./connector.token`, a file with mode 0600 that holds the token the connector was started with";
                findings.push(Diagnostic::error(Code::MissingKey, node.span, message, help));
                return None;
            }
            None => None,
        };
        Some(Endpoint::Address { url, token_file })
    }

    pub(super) fn filled(
        &self,
        node: &Node,
        who: &str,
        example: &str,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        let written = text(node, who, example, findings)?;
        let before = findings.len();
        let filled = self.variables.fill(written, node.span, self.source, findings);
        (findings.len() == before).then_some(filled.text)
    }
}
