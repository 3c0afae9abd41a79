//! A connector for the time of one question: started, asked, stopped. Nothing is stored, no state directory is owned.
#![allow(clippy::disallowed_methods, reason = "a question in nobody's name is asked under a random installation id")]

use std::path::Path;

use longshore_proto::Error;
use longshore_proto::session::{InstallationId, Owner};

use crate::catalog::{CaptureTask, Catalog, Endpoint, MaterializationTask, Span};
use crate::connector::{GRACE, Hold, Kind, Launch, Launched, Location};
use crate::journal::Known;
use crate::store::{StateLook, TaskRecord};
use crate::supervise::Problem;
use crate::supervise::prepare::{hold, location};

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
        let at_endpoint = |error| Problem::Error(error).located(self.catalog, self.name, self.endpoint_span);
        let location = location(self.catalog, self.endpoint, None).map_err(at_endpoint)?;
        let from = (location, hold(self.endpoint));
        let launched = start(self.name, self.kind, from, &self.catalog.directory).await.map_err(at_endpoint)?;
        let answer = question(&launched).await;
        launched.stop(GRACE).await;
        answer.map_err(|problem| problem.located(self.catalog, self.name, self.span))
    }
}

/// Starts a connector that nobody's state belongs to.
pub(super) async fn start(
    task: &str,
    kind: Kind,
    (location, hold): (Location, Hold),
    directory: &Path,
) -> Result<Launched, Error> {
    let launch = Launch {
        task: task.to_owned(),
        kind,
        location,
        hold,
        catalog_directory: directory.to_path_buf(),
        state_directory: None,
    };
    Launched::start(&launch).await
}

/// What a state directory knows of a task. Of one that is not there: nothing.
pub(super) struct Past {
    /// Whom read-only calls are made for, so that a destination knows its own. No session.
    pub(super) owner: Owner,
    /// What the task store has.
    pub(super) record: TaskRecord,
    /// What the journal has, if it writes one.
    pub(super) known: Known,
}

impl Past {
    pub(super) fn of(task: &str, state_directory: &Path) -> Result<Self, Error> {
        let Some(state) = StateLook::open(state_directory)? else {
            return Ok(Self { owner: somebody_new(task)?, record: TaskRecord::default(), known: Known::default() });
        };
        let owner = Owner { task: task.to_owned(), installation: state.installation().clone(), epoch: 0 };
        let record = state.task(task)?.unwrap_or_default();
        let journal = state.journal(task, state.evidence(task)?)?;
        Ok(Self { owner, record, known: journal.map(|journal| journal.known()).unwrap_or_default() })
    }
}

/// Whether the journal of a capture, if it has one yet, holds all of a collection.
pub(super) fn holds_all_of(state_directory: &Path, capture: &str, collection: &str) -> Result<bool, Error> {
    let Some(state) = StateLook::open(state_directory)? else { return Ok(true) };
    let journal = state.journal(capture, state.evidence(capture)?)?;
    Ok(journal.map(|journal| journal.holds_all_of(collection)).transpose()?.unwrap_or(true))
}

/// An installation that nobody knows; no session.
pub(super) fn somebody_new(task: &str) -> Result<Owner, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Error::internal("random", format!("asking the system for random bytes: {error}")))?;
    Ok(Owner { task: task.to_owned(), installation: InstallationId::from_bytes(random), epoch: 0 })
}
