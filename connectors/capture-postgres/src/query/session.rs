//! A session: each binding once, one after the other, and then the end, at which all that existed at its beginning is covered.

#![allow(clippy::disallowed_methods, reason = "people are told now and then")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_postgres::{Client, Endpoint};
use longshore_sdk::capture::{Checkpoint, Emitter, PullOpen, Stop};
use longshore_sdk::{Error, Progress, ProgressPart, Result};

use super::config::{Config, Resource};
use super::source::Source;
use super::state::Part;
use super::{NAME, Pace};
use crate::copy::{BEGIN, Stride};
use crate::faults;
use crate::layout::{Found, Layout, Op};
use crate::open;
use crate::outlet::{Document, Outlet};
use crate::rows::Row;
use crate::types::Types;

/// People need to know a few times a second.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Captures once.
pub(super) async fn pull(open: PullOpen<Config, Resource>, pace: Pace, emitter: Emitter) -> Result<()> {
    let endpoint = open.config.endpoint()?;
    let client = open::connect(&endpoint).await?;
    let pace = Pace { seen_rows: pace.seen_rows / open.bindings.len().max(1), ..pace };
    let (stop, types) = (emitter.stop(), Types::default());
    let out = Out { emitter, scratch: Vec::new(), last_progress: None };
    let mut session = Session { endpoint, client, types, task: open.owner.task.clone(), pace, stop, out };
    for binding in 0..open.bindings.len() {
        let mut followed = Followed::new(&open, binding)?;
        let read = match followed.resource.cursor {
            Some(_) => session.walk(&mut followed).await,
            None => session.refresh(&mut followed).await,
        };
        if !read.map_err(|error| error.at_binding(binding))? {
            return Ok(());
        }
    }
    session.out.emitter.checkpoint(Checkpoint::new().caught_up()).await.map(drop)
}

/// What all bindings share.
pub(super) struct Session {
    pub(super) endpoint: Endpoint,
    pub(super) client: Client,
    pub(super) types: Types,
    pub(super) task: String,
    pub(super) pace: Pace,
    pub(super) stop: Stop,
    pub(super) out: Out,
}

/// Where documents and checkpoints go.
pub(super) struct Out {
    pub(super) emitter: Emitter,
    scratch: Vec<u8>,
    last_progress: Option<Instant>,
}

/// One binding.
pub(super) struct Followed {
    pub(super) binding: usize,
    pub(super) resource: Resource,
    collection: String,
    /// The collection's.
    key: Vec<String>,
    pub(super) outlet: Outlet,
    /// As the state has it; none: nothing was read by a cursor yet.
    pub(super) part: Option<Part>,
    pub(super) stride: Stride,
}

impl Followed {
    fn new(open: &PullOpen<Config, Resource>, binding: usize) -> Result<Followed> {
        let bound = &open.bindings[binding];
        Ok(Followed {
            binding,
            resource: bound.resource.clone(),
            collection: bound.collection.name.clone(),
            key: bound.collection.key.clone(),
            outlet: Outlet::new(binding, &bound.collection.schema_json),
            part: open.binding_state(binding)?,
            stride: Stride::default(),
        })
    }

    /// For errors of the server.
    pub(super) fn doing(&self) -> String {
        format!("reading rows of {}.{}", self.resource.schema, self.resource.table)
    }
}

impl Session {
    /// Begins a transaction that reads the table, and looks at it. The lock comes before the snapshot: from here on nobody changes the columns,
    /// and a table that was rewritten just now is not an empty one.
    pub(super) async fn begin(&mut self, followed: &Followed, settings: &str) -> Result<Source> {
        let Followed { resource, .. } = followed;
        let name = longshore_postgres::qualified(&resource.schema, &resource.table);
        let begin = format!("{BEGIN}; {settings}LOCK TABLE {name} IN ACCESS SHARE MODE");
        if let Err(error) = self.client.run(&followed.doing(), &begin).await {
            // What there is instead of it is said better than that it cannot be locked.
            self.end(followed).await?;
            Source::find(&self.client, &mut self.types, resource).await?;
            return Err(error);
        }
        let source = Source::find(&self.client, &mut self.types, resource).await?;
        source.check_for(&followed.key)?;
        Ok(source)
    }

    /// Ends it.
    pub(super) async fn end(&self, followed: &Followed) -> Result<()> {
        self.client.run(&followed.doing(), "ROLLBACK").await
    }

    /// A table that was made again under its name is another one.
    pub(super) fn check_same(&self, followed: &Followed, source: &Source) -> Result<()> {
        let (Some(part), oid) = (&followed.part, source.table.oid) else { return Ok(()) };
        if part.oid == oid {
            return Ok(());
        }
        let expected = format!("{}.{} to be the one with number {}", source.table.schema, source.table.name, part.oid);
        let got = format!("number {oid}, as it was dropped and made again");
        Err(faults::other_table(NAME, (&self.task, &followed.collection), &expected, &got))
    }
}

impl Out {
    /// Emits a row.
    pub(super) async fn row(
        &mut self,
        outlet: &mut Outlet,
        layout: &Arc<Layout>,
        (op, found): (Op, &Found),
        cells: Row<'_>,
    ) -> Result<()> {
        layout.check_key(cells)?;
        let document = Document { layout, op, found, cells, keys_only: false };
        outlet.emit(&mut self.emitter, document, &mut self.scratch).await.map(drop)
    }

    pub(super) async fn tell_progress(&mut self, binding: usize, rows: u64, about_rows: u64) -> Result<()> {
        if self.last_progress.is_some_and(|last| last.elapsed() < PROGRESS_INTERVAL) {
            return Ok(());
        }
        self.last_progress = Some(Instant::now());
        let part = ProgressPart { binding, rows, bytes: 0, total_rows: about_rows.max(rows), total_bytes: 0 };
        self.emitter.progress(Progress { parts: vec![part], doing: "reading rows".to_owned(), lag: None }).await
    }
}

/// Waits for the server, but not when a stop is asked for; none: it is.
pub(super) async fn unless_stopped<T>(stop: &Stop, work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    tokio::select! {
        biased;
        () = stop.requested() => Ok(None),
        done = work => done.map(Some),
    }
}

/// Something is not as it was when this session began.
pub(super) fn changed(source: &Source, expected: &str, got: &str) -> Error {
    let message =
        format!("{NAME} reads rows of {}.{}: expected {expected}, got {got}", source.table.schema, source.table.name);
    Error::unavailable("postgres.columns.changed", message)
        .suggest("nothing: it is tried again, with the columns there are")
}
