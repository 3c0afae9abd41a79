//! What the parsing of both protocols shares: who sent what, and the text of a broken rule. The messages themselves are parsed beside
//! their types.

use std::fmt::Display;

use bytes::Bytes;

use crate::document::check_object;
use crate::error::Error;
use crate::key::KeyPointers;
use crate::limits::MESSAGE_MAX_BYTES;
use crate::name::{InstallationId, StateKey, fault_in};
use crate::pb::common::v1::Encoding;
use crate::rules::{self, Rule};

/// One of the two ends of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Drives the session.
    Runtime,
    /// Serves it.
    Connector,
}

impl Side {
    /// The word for it, as errors use it.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Runtime => "runtime",
            Side::Connector => "connector",
        }
    }
}

/// A message being parsed: who sent it and what it is called. The beginning of every error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) by: Side,
    pub(crate) message: &'static str,
}

impl Sent {
    /// The sender broke `rule`.
    pub(crate) fn broke(self, rule: Rule, expected: impl Display, got: impl Display) -> Error {
        let by = self.by.as_str();
        Error::protocol(rule, format!("the {by} sent {}: expected {expected}, got {got}", self.message))
            .suggest(format!("report this to the authors of the {by}: it breaks rule {rule} of PROTOCOL.md"))
    }

    /// An enum or oneof value that must be there is not, or is none that this version knows.
    pub(crate) fn unknown(self, what: &str) -> Error {
        self.broke(rules::KNOWN_MESSAGE, format_args!("{what} that this version knows"), "none or an unknown one")
    }

    /// A binding index below the number of bindings.
    pub(crate) fn binding(self, index: u32, bindings: usize) -> Result<usize, Error> {
        let index = index as usize;
        if index < bindings {
            Ok(index)
        } else {
            Err(self.broke(rules::BINDING_INDEX, format_args!("a binding index below {bindings}"), index))
        }
    }

    /// A JSON object such as a config or schema.
    pub(crate) fn object(self, what: &str, json: Bytes) -> Result<Bytes, Error> {
        match check_object(&json) {
            Ok(()) => Ok(json),
            Err(fault) => Err(self.broke(
                rules::JSON_BYTES,
                format_args!("a JSON object as {what}"),
                format_args!("JSON with a fault ({fault})"),
            )),
        }
    }

    pub(crate) fn pointers(self, what: &str, pointers: &[String]) -> Result<(), Error> {
        match pointers.iter().find(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
            None => Ok(()),
            Some(bad) => {
                Err(self.broke(rules::NAMES, format_args!("JSON pointers as {what}"), format_args!("{bad:?}")))
            }
        }
    }

    pub(crate) fn name(self, what: &str, name: String) -> Result<String, Error> {
        match fault_in(&name) {
            None => Ok(name),
            Some(fault) => {
                Err(self.broke(rules::NAMES, format_args!("a name of a {what}"), format_args!("{name:?}: {fault}")))
            }
        }
    }

    pub(crate) fn state_key(self, text: &str) -> Result<StateKey, Error> {
        StateKey::parse(text).ok_or_else(|| self.broke(rules::NAMES, "a state key", format_args!("{text:?}")))
    }

    pub(crate) fn installation(self, text: &str) -> Result<InstallationId, Error> {
        InstallationId::parse(text).ok_or_else(|| {
            self.broke(rules::NAMES, "an installation id of 32 lower-case hex digits", format_args!("{text:?}"))
        })
    }

    /// A list that answers one of `asked` entries.
    pub(crate) fn answers(self, what: &str, asked: usize, got: usize) -> Result<(), Error> {
        if asked == got {
            Ok(())
        } else {
            Err(self.broke(rules::ANSWERS_IN_ORDER, format_args!("{asked} {what}, one for each asked"), got))
        }
    }
}

/// What a Spec and the answers to Validate must say in both protocols.
impl Sent {
    pub(crate) fn speaks(self, versions: &[u32], encodings: &[i32], max_message_bytes: u64) -> Result<(), Error> {
        if !versions.contains(&1) {
            return Err(self.broke(
                rules::SPEC,
                "protocol version 1 among those it speaks",
                format_args!("{versions:?}"),
            ));
        }
        if !encodings.contains(&i32::from(Encoding::Json)) {
            return Err(self.broke(
                rules::SPEC,
                "ENCODING_JSON among the encodings it speaks",
                format_args!("{encodings:?}"),
            ));
        }
        if max_message_bytes < MESSAGE_MAX_BYTES as u64 {
            return Err(self.broke(
                rules::BATCH_SIZE,
                format_args!("messages of {MESSAGE_MAX_BYTES} bytes to be taken"),
                max_message_bytes,
            ));
        }
        Ok(())
    }

    pub(crate) fn connector_name(self, name: String) -> Result<String, Error> {
        match fault_in(&name) {
            None => Ok(name),
            Some(fault) => {
                Err(self.broke(rules::SPEC, "a name such as `capture-files`", format_args!("{name:?}: {fault}")))
            }
        }
    }

    pub(crate) fn resource_path_pointers(self, pointers: &[String]) -> Result<(), Error> {
        if pointers.is_empty() {
            return Err(self.broke(rules::SPEC, "at least one pointer that makes the resource path", "none"));
        }
        self.pointers("what makes the resource path", pointers)
    }

    pub(crate) fn resource_path(self, path: Vec<String>) -> Result<Vec<String>, Error> {
        if path.is_empty() {
            return Err(self.broke(rules::NAMES, "a resource path of at least one part", "none"));
        }
        Ok(path)
    }

    pub(crate) fn key(self, pointers: &[String]) -> Result<(), Error> {
        match KeyPointers::compile(pointers) {
            Ok(_) => Ok(()),
            Err(fault) => Err(self.broke(rules::NAMES, "a key of JSON pointers", fault.message.as_str())),
        }
    }
}
