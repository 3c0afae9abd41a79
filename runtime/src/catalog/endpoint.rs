//! `connector`, `image`, `command` or `address`: how a task reaches its connector, exactly one of them.

use std::path::PathBuf;

use longshore_proto::tls;

use super::Endpoint;
use super::advice::one_of;
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::fields::{Fields, Keys, list, text};
use super::image;
use super::node::Node;
use super::source::{Source, Span};
use super::variables::{Place, Variables};
use crate::connector::Hold;

/// Keys of a connector that somebody else runs.
pub(super) const WITH_ADDRESS: [&str; 2] = ["token_file", "tls"];
pub(super) const TLS: Keys = Keys { known: &["ca_file", "cert_file", "key_file"], example: TLS_EXAMPLE };
const TLS_EXAMPLE: &str = "{ ca_file: ./ca.pem, cert_file: ./runtime.pem, key_file: ./runtime.key }";
pub(super) const WAYS: [&str; 4] = ["connector", "image", "command", "address"];

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
        for key in WITH_ADDRESS.into_iter().filter(|key| way != "address" && fields.optional(key).is_some()) {
            let message = format!("`{key}` of {} goes with `address` only", fields.who);
            let help = format!("remove it: with `{way}` the runtime starts the connector and makes its token itself");
            findings.push(Diagnostic::error(Code::Endpoint, fields.key_span(key), message, help));
        }
        if way != "image" {
            image::refuse_without_image(way, fields, findings);
        }
        let hold = self.hold(way, fields, findings);
        let endpoint = match way {
            "image" => self.image(node, fields, findings)?,
            "connector" => self.bundled(node, fields, hold, findings)?,
            "command" => self.command(node, fields, hold, findings)?,
            _ => self.address(node, fields, findings)?,
        };
        Some((endpoint, node.span))
    }

    /// What holds a process. A container is held anyway, and of somebody else's connector nothing is known.
    fn hold(&self, way: &str, fields: &Fields<'_>, findings: &mut Vec<Diagnostic>) -> Hold {
        let mut hold = Hold::default();
        if let Some(node) = fields.optional("sandbox") {
            let who = format!("`sandbox` of {}", fields.who);
            let written = text(node, &who, "sandbox: required", findings);
            hold.required = written == Some("required");
            if written.is_some() && !hold.required {
                let message = format!("{who}: expected `required`, got `{}`", written.unwrap_or_default());
                let help = "write `sandbox: required`: then nothing starts without all of it; without the key it has what the system offers";
                findings.push(Diagnostic::error(Code::Endpoint, node.span, message, help));
            }
        }
        match way {
            "image" => {}
            "address" => {
                for key in ["sandbox", "network"].into_iter().filter(|key| fields.optional(key).is_some()) {
                    let message =
                        format!("`{key}` of {}: what somebody else runs cannot be held from here", fields.who);
                    let help = "remove it, or let the runtime start the connector: `command` or `image`";
                    findings.push(Diagnostic::error(Code::Endpoint, fields.key_span(key), message, help));
                }
            }
            _ => {
                let allow = fields.optional("network").and_then(|node| self.network(node, fields.who, findings));
                hold.no_network = allow.as_ref().is_some_and(Vec::is_empty);
                if allow.is_some_and(|allow| !allow.is_empty()) {
                    let message =
                        format!("`network` of {}: a process reaches what this host reaches, or nothing", fields.who);
                    let help = "write `network: { allow: [] }` to cut it off, or take the connector as an `image`: that reaches what is allowed";
                    findings.push(Diagnostic::error(Code::Network, fields.key_span("network"), message, help));
                }
            }
        }
        hold
    }

    fn bundled(
        &self,
        node: &Node,
        fields: &Fields<'_>,
        hold: Hold,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Endpoint> {
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
        Some(Endpoint::Bundled { name: name.to_owned(), hold })
    }

    fn command(
        &self,
        node: &Node,
        fields: &Fields<'_>,
        hold: Hold,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Endpoint> {
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
        Some(Endpoint::Command { argv: argv?, hold })
    }

    fn address(&self, node: &Node, fields: &Fields<'_>, findings: &mut Vec<Diagnostic>) -> Option<Endpoint> {
        let who = format!("`address` of {}", fields.who);
        let url = self.filled(node, &who, "address: unix:/path/to.sock", findings)?;
        if let Err(error) = crate::connector::Address::parse(&url) {
            // As written: what a variable stands for is not shown.
            let message =
                format!("{who}: {}", error.message.replace(&format!("{url:?}"), self.source.slice(node.span)));
            findings.push(Diagnostic::error(Code::Endpoint, node.span, message, error.suggestion.clone()));
            return None;
        }
        let token_file = match fields.optional("token_file") {
            Some(file) => {
                let who = format!("`token_file` of {}", fields.who);
                Some(PathBuf::from(self.filled(file, &who, "token_file: ./connector.token", findings)?))
            }
            None if !url.starts_with("unix:") => {
                let (scheme, others) = match url.starts_with("http:") {
                    true => ("http", "every local user"),
                    false => ("https", "whoever has a certificate of that authority"),
                };
                let message = format!("{who}: over {scheme} {others} can connect, so a token is needed");
                let help = "add `token_file: ./connector.token`, a file with mode 0600 that holds the token the connector was started with";
                findings.push(Diagnostic::error(Code::MissingKey, node.span, message, help));
                return None;
            }
            None => None,
        };
        let tls = match (fields.optional("tls"), url.starts_with("https:")) {
            (Some(node), true) => Some(self.tls(node, fields.who, findings)?),
            (None, true) => {
                let message = format!("{who}: over https both ends show a certificate, and none is named");
                let help = format!("add `tls: {TLS_EXAMPLE}`");
                findings.push(Diagnostic::error(Code::MissingKey, node.span, message, help));
                return None;
            }
            (Some(node), false) => {
                let message = format!("`tls` of {} goes with `https://` only", fields.who);
                findings.push(Diagnostic::error(Code::Endpoint, node.span, message, "remove it, or write `https://`"));
                return None;
            }
            (None, false) => None,
        };
        Some(Endpoint::Address { url, token_file, tls })
    }

    fn tls(&self, node: &Node, who: &str, findings: &mut Vec<Diagnostic>) -> Option<tls::Files> {
        let who = format!("`tls` of {who}");
        let fields = super::fields::fields(node, &who, TLS, findings)?;
        let mut file = |key: &str, example: &str| {
            let node = fields.required(key, example, findings)?;
            Some(PathBuf::from(self.filled(node, &format!("`{key}` of {who}"), example, findings)?))
        };
        let ca = file("ca_file", "ca_file: ./ca.pem");
        let certificate = file("cert_file", "cert_file: ./runtime.pem");
        let key = file("key_file", "key_file: ./runtime.key");
        Some(tls::Files { ca: ca?, certificate: certificate?, key: key? })
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
        let filled = self.variables.fill(written, (node.span, Place::Open), self.source, findings);
        (findings.len() == before).then_some(filled.text)
    }
}
