//! Why a task cannot go on: findings in the catalog, or an error of a connector, the journal or the store.

use std::fmt;

use longshore_proto::session::Severity;
use longshore_proto::{Error, ErrorKind};

use crate::catalog::{Catalog, Diagnostic, Diagnostics, Span};
use crate::journal::JournalError;
use crate::progress::Failure;
use crate::store::StoreError;

/// Shown to the user as it is.
#[derive(Debug)]
pub enum Problem {
    /// With a place in the catalog.
    Catalog(Diagnostics),
    /// Without one.
    Error(Error),
}

impl Problem {
    /// What the supervisor is to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Catalog(_) => ErrorKind::Config,
            Self::Error(error) => error.kind,
        }
    }

    /// The connector's process ended by itself: its own fault, not that of something it could not reach.
    #[must_use]
    pub fn died(&self) -> bool {
        matches!(self, Self::Error(error) if error.code == "connector.exited")
    }

    /// The task store takes no more writes: this process cannot go on.
    #[must_use]
    pub fn is_of_a_dead_store(&self) -> bool {
        matches!(self, Self::Error(error) if error.code == "store.unknown")
    }

    /// In words, for the status.
    #[must_use]
    pub fn told(&self) -> Failure {
        let kind = self.kind().as_str().to_owned();
        match self {
            Self::Catalog(found) => {
                let code = found.iter().next().map_or_else(String::new, |first| first.code.to_string());
                Failure { kind, code, message: found.to_string(), help: String::new() }
            }
            Self::Error(error) => {
                let (code, message) = (error.code.clone(), error.message.clone());
                Failure { kind, code, message, help: error.suggestion.clone() }
            }
        }
    }

    /// An error about what the user wrote is shown where they wrote it: where it points to, or else at `otherwise`.
    #[must_use]
    pub fn located(self, catalog: &Catalog, task: &str, otherwise: Span) -> Self {
        let error = match self {
            Self::Error(error) if error.kind == ErrorKind::Config && !is_about_state(&error) => error,
            Self::Error(_) | Self::Catalog(_) => return self,
        };
        let precise = error.binding.is_some() || !error.pointer.is_empty();
        let span = if precise { catalog.locate(task, error.binding, &error.pointer) } else { otherwise };
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code: error.code.clone().into(),
            span,
            message: error.message.clone(),
            help: error.suggestion.clone(),
        };
        Self::Catalog(catalog.diagnostics(vec![diagnostic]))
    }

    /// A Discover that does not answer what it was asked.
    #[must_use]
    pub fn discovered(connector: &str, asked: usize, got: usize) -> Self {
        let message = format!("{connector}, Discover: expected a description of each of {asked} resources, got {got}");
        Self::Error(Error::protocol("C-DISCOVER", message).suggest("the connector is at fault; tell its authors"))
    }

    pub(super) fn unknown_collection(task: &str, collection: &str) -> Self {
        let message =
            format!("task {task}: nothing is known of collection {collection}: no capture has ever written it");
        Self::Error(
            Error::config("collection.unknown", message)
                .suggest("run the capture that writes it first, without --only"),
        )
    }
}

/// Nothing is wrong with what the user wrote: state, journal or destination are not what they were. PROTOCOL.md keeps these codes for that.
#[must_use]
pub fn is_about_state(error: &Error) -> bool {
    ["state.", "journal."].iter().any(|prefix| error.code.starts_with(prefix))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Diagnostics> for Problem {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Catalog(diagnostics)
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        Self::Error(error.into())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Error(error.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(diagnostics) => diagnostics.fmt(f),
            Self::Error(error) => error.fmt(f),
        }
    }
}
