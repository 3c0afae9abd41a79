//! A connector for the time of one question: started, asked, stopped. Nothing is stored, no state directory is owned.
#![allow(clippy::disallowed_methods, reason = "a question in nobody's name is asked under a random installation id")]

use std::path::Path;

use longshore_proto::session::{InstallationId, Owner, Severity};
use longshore_proto::{Error, ErrorKind};

use crate::catalog::{CaptureTask, Catalog, Diagnostic, Endpoint, MaterializationTask, Span};
use crate::connector::{GRACE, Kind, Launch, Launched, Location};
use crate::store::{RememberedBinding, StateLook};
use crate::supervise::Problem;
use crate::supervise::prepare::location;

/// A task that a connector is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visited<'a> {
    catalog: &'a Catalog,
    kind: Kind,
    name: &'a str,
    span: Span,
    endpoint: &'a Endpoint,
    endpoint_span: Span,
}

impl<'a> Visited<'a> {
    pub(super) fn capture(catalog: &'a Catalog, task: &'a CaptureTask) -> Self {
        let CaptureTask { name, span, endpoint, endpoint_span, .. } = task;
        Self { catalog, kind: Kind::Capture, name, span: *span, endpoint, endpoint_span: *endpoint_span }
    }

    pub(super) fn materialization(catalog: &'a Catalog, task: &'a MaterializationTask) -> Self {
        let MaterializationTask { name, span, endpoint, endpoint_span, .. } = task;
        Self { catalog, kind: Kind::Materialize, name, span: *span, endpoint, endpoint_span: *endpoint_span }
    }

    /// Starts the task's connector, asks, and stops it whatever came out.
    pub(super) async fn ask<T>(
        self,
        question: impl AsyncFnOnce(&Launched) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let location =
            location(self.catalog, self.endpoint, None).map_err(|error| self.located(error, self.endpoint_span))?;
        let launched = start(self.name, self.kind, location, &self.catalog.directory);
        let launched = launched.await.map_err(|error| self.located(error, self.endpoint_span))?;
        let answer = question(&launched).await;
        launched.stop(GRACE).await;
        answer.map_err(|problem| match problem {
            Problem::Error(error) => self.located(error, self.span),
            Problem::Catalog(diagnostics) => Problem::Catalog(diagnostics),
        })
    }

    /// An error about what the user wrote is shown where they wrote it.
    fn located(self, error: Error, otherwise: Span) -> Problem {
        if error.kind != ErrorKind::Config {
            return Problem::Error(error);
        }
        let precise = error.binding.is_some() || !error.pointer.is_empty();
        let span = if precise { self.catalog.locate(self.name, error.binding, &error.pointer) } else { otherwise };
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code: error.code.clone().into(),
            span,
            message: error.message.clone(),
            help: error.suggestion.clone(),
        };
        Problem::Catalog(self.catalog.diagnostics(vec![diagnostic]))
    }
}

/// Starts a connector that nobody's state belongs to.
pub(super) async fn start(task: &str, kind: Kind, location: Location, directory: &Path) -> Result<Launched, Error> {
    let launch = Launch {
        task: task.to_owned(),
        kind,
        location,
        catalog_directory: directory.to_path_buf(),
        state_directory: None,
    };
    Launched::start(&launch).await
}

/// Whom read-only calls are made for, and what is remembered of the task: of the state directory if there is one, so that a destination knows
/// its own. No session.
pub(super) fn past(task: &str, state_directory: &Path) -> Result<(Owner, Vec<RememberedBinding>), Error> {
    match StateLook::open(state_directory)? {
        Some(state) => {
            let owner = Owner { task: task.to_owned(), installation: state.installation().clone(), epoch: 0 };
            Ok((owner, state.task(task)?.map(|record| record.remembered).unwrap_or_default()))
        }
        None => Ok((somebody_new(task)?, Vec::new())),
    }
}

/// An installation that nobody knows; no session.
pub(super) fn somebody_new(task: &str) -> Result<Owner, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Error::internal("random", format!("asking the system for random bytes: {error}")))?;
    Ok(Owner { task: task.to_owned(), installation: InstallationId::from_bytes(random), epoch: 0 })
}
