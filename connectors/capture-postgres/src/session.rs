//! A session: reads the stream and walks over the tables, in one loop that waits for one event, takes it, and looks what is due.
//!
//! Between two transactions of the log a chunk that is due is emitted, a checkpoint is made, the next chunk is read. Inside of one nothing of
//! that happens, but for partial checkpoints in a very large one.

#![allow(
    clippy::disallowed_methods,
    reason = "the slot follows an idle log by the clock, and people are told now and then"
)]

mod emit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use longshore_sdk::capture::{Checkpoint, Emitter, PullOpen};
use longshore_sdk::{Error, Result};

use crate::config::{Config, Resource, Truncate};
use crate::covered::Covered;
use crate::lag::Behind;
use crate::layout::{Found, Layout};
use crate::lsn::Lsn;
use crate::open::{self, Opened};
use crate::pgoutput::{Begin, Message, Relation};
use crate::source::Event;
use crate::state::{TaskState, Within};
use crate::stream;
use crate::table::column_meta;
use crate::walk::{self, Read, Stand};
use crate::watched::Watched;
use crate::window::{Chunk, Window};
use crate::writers;
use crate::{NAME, Pace};

/// Small transactions share a checkpoint up to so many bytes of documents, if more of them are at hand.
const CHECKPOINT_BYTES: usize = 1 << 20;
/// What is said of a binding as a whole counts as so much.
const CONTROL_BYTES: usize = 16;
/// So many transactions are remembered before a look at the server lets them be forgotten.
const REMEMBERED_MAX: usize = 4_096;
/// So long the server may take to write out the end of its log by itself.
const PATIENCE: Duration = Duration::from_millis(500);
/// People need to know a few times a second.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// Where nothing is to do, this is often enough.
const QUIET_INTERVAL: Duration = Duration::from_secs(2);
/// At a stop, so long is waited for the last acknowledgements; without them the next session tells the server.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where the server's times begin, 2000-01-01, in microseconds from 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Captures until a stop is asked for.
pub(crate) async fn pull(open: PullOpen<Config, Resource>, pace: Pace, emitter: Emitter) -> Result<()> {
    let opened = open::open(&open, pace).await?;
    let mut session = Session::new(opened, pace, emitter);
    session.run().await?;
    session.farewell().await
}

struct Session {
    pace: Pace,
    opened: Opened,
    emitter: Emitter,
    window: Window,
    /// By number: how rows of a table are written; none: nobody captures it.
    relations: BTreeMap<u32, Option<Followed>>,
    transaction: Option<Transaction>,
    covered: Covered,
    behind: Behind,
    /// When the last commit was that is behind us, in milliseconds of the server's clock; none: there was none since the last checkpoint.
    committed: Option<i64>,
    /// Bytes since the last checkpoint.
    bytes: usize,
    /// The state is not where we are.
    is_behind: bool,
    is_caught_up: bool,
    /// A walk may look again whether it can go on.
    may_walk: bool,
    scratch: Vec<u8>,
    /// What documents say of rows of a walk.
    in_table: Found,
    last_checkpoint: Instant,
    last_look: Instant,
    last_moved: Instant,
    last_progress: Option<Instant>,
}

/// A table of the log.
#[derive(Debug, Clone)]
struct Followed {
    binding: usize,
    layout: Arc<Layout>,
}

/// The transaction of the log that is being read.
#[derive(Debug)]
struct Transaction {
    begin: Begin,
    /// What documents say of it.
    found: Found,
    /// It was covered before this session, as a whole.
    is_old: bool,
    /// Its rows so far, and how many of them were covered before.
    rows: u64,
    covered_rows: u64,
}

impl Session {
    fn new(opened: Opened, pace: Pace, emitter: Emitter) -> Session {
        let now = Instant::now();
        let behind = Behind::new(opened.position);
        Session {
            pace,
            opened,
            emitter,
            window: Window::default(),
            relations: BTreeMap::new(),
            transaction: None,
            covered: Covered::default(),
            behind,
            committed: None,
            bytes: 0,
            is_behind: false,
            is_caught_up: false,
            may_walk: true,
            scratch: Vec::new(),
            in_table: Found::in_table(),
            last_checkpoint: now,
            last_look: now,
            last_moved: now,
            last_progress: None,
        }
    }

    async fn run(&mut self) -> Result<()> {
        let stop = self.emitter.stop();
        let mut acknowledgements = self.emitter.acknowledgements();
        // What the session was opened with is durable, and the last one may have died before it could say so.
        self.opened.source.acknowledge(self.opened.position);
        self.begin_refreshes().await?;
        while !self.emitter.stop_requested() {
            self.hear();
            if self.transaction.is_none() && self.do_what_is_due().await? {
                continue;
            }
            if let Some(event) = self.opened.source.next().now_or_never() {
                self.take(event?).await?;
                continue;
            }
            if self.transaction.is_none() && self.bytes > 0 {
                self.checkpoint(Mark::Plain).await?;
                continue;
            }
            if self.transaction.is_none() && self.walk().await? {
                continue;
            }
            tokio::select! {
                () = stop.requested() => break,
                event = self.opened.source.next() => self.take(event?).await?,
                Some(_) = acknowledgements.next() => {}
                () = tokio::time::sleep(self.pace.tick()) => self.look_at_clock().await?,
            }
        }
        Ok(())
    }

    /// Before anything else comes of a table that was captured before, and whose walk has not begun.
    async fn begin_refreshes(&mut self) -> Result<()> {
        let begins = |(_, watched): &(usize, &Watched)| watched.is_refresh && watched.is_unsaved;
        let beginning: Vec<usize> = self.opened.watched.iter().enumerate().filter(begins).map(|(at, _)| at).collect();
        for binding in beginning {
            self.emitter.backfill_begin(binding).await?;
            self.bytes += CONTROL_BYTES;
        }
        Ok(())
    }

    /// Ends the checkpoint under way, hears the last acknowledgements and tells the server.
    async fn farewell(mut self) -> Result<()> {
        if self.transaction.is_none() && self.bytes > 0 {
            self.checkpoint(Mark::Plain).await?;
        }
        if let Some(last) = self.covered.last() {
            let mut acknowledgements = self.emitter.acknowledgements();
            let reached = tokio::time::timeout(FAREWELL, acknowledgements.reached(last)).await;
            tracing::debug!(?reached, "heard the last acknowledgements");
        }
        self.hear();
        self.opened.source.farewell().await;
        Ok(())
    }

    fn hear(&mut self) {
        if let Some(position) = self.covered.hear(self.emitter.acknowledged()) {
            self.behind.durable(position);
            self.opened.source.acknowledge(position);
        }
    }

    /// Between two transactions; true: something was done, look again.
    async fn do_what_is_due(&mut self) -> Result<bool> {
        if let Some(chunk) = self.window.take_due(self.opened.position) {
            self.emit_chunk(chunk).await?;
            self.checkpoint(Mark::Plain).await?;
            return Ok(true);
        }
        if self.bytes >= CHECKPOINT_BYTES {
            self.checkpoint(Mark::Plain).await?;
            return Ok(true);
        }
        let is_walked = self.opened.watched.iter().all(|watched| watched.part.walked);
        if is_walked && !self.is_caught_up && self.opened.position >= self.opened.target {
            self.is_caught_up = true;
            self.window.forget();
            self.checkpoint(Mark::CaughtUp).await?;
            return Ok(true);
        }
        // What is read while another chunk is kept is no more urgent than the log.
        if self.window.first().is_none() { self.walk().await } else { Ok(false) }
    }

    /// Reads the next chunk, if there is one to be read and one may be.
    async fn walk(&mut self) -> Result<bool> {
        let has_read = self.window.has_room() && std::mem::take(&mut self.may_walk) && self.read_chunk().await?;
        self.may_walk |= has_read;
        Ok(has_read)
    }

    /// Reads the next chunk of the first table that is not through and can be read now; false: none can.
    async fn read_chunk(&mut self) -> Result<bool> {
        let Opened { client, types, watched, task, settings, .. } = &mut self.opened;
        for (binding, watched) in watched.iter_mut().enumerate().filter(|(_, watched)| !watched.part.walked) {
            if let Some(writers) = &mut watched.writers {
                if !writers.have_ended(client).await? {
                    tracing::debug!(table = %watched.table.name, writers = writers.count(), "the walk waits for transactions to end");
                    continue;
                }
                watched.writers = None;
            }
            let (kept, read_with) = (self.window.last_of(binding), watched.table.typed_key());
            if kept.is_some_and(|chunk| chunk.is_end) {
                continue;
            }
            let last = kept.and_then(Chunk::last);
            let stand = Stand {
                settings,
                binding,
                resource: &watched.resource,
                typed_key: if last.is_some() { &read_with } else { &watched.part.key },
                after: last.as_deref().or(watched.part.after.as_deref()),
                is_ahead: last.is_some(),
                rows_max: self.pace.chunk_rows,
            };
            let read = walk::read(client, types, &mut self.window, &stand, &mut watched.stride).await;
            match read.map_err(|error| error.at_binding(binding))? {
                Read::Early => return Ok(false),
                Read::Chunk(chunk, table) => {
                    watched.table = *table;
                    watched.check_same(task).map_err(|error| error.at_binding(binding))?;
                    watched.table.check_for(&watched.key).map_err(|error| error.at_binding(binding))?;
                    self.window.keep(*chunk);
                    self.last_moved = Instant::now();
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Alive(end) => {
                if self.transaction.is_none() && end > self.opened.position {
                    self.move_to(end);
                }
                self.look_at_clock_in_time().await
            }
            Event::Message(message) => self.take_message(message).await,
        }
    }

    async fn take_message(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Begin(begin) => self.begin(begin),
            Message::Commit(commit) => self.commit(commit.end).await,
            Message::Relation(relation) => self.relation(relation).await,
            Message::Insert { relation, new } => match self.followed(relation)? {
                Some(followed) => self.change(&followed, stream::inserted(&followed.layout, new)).await,
                None => Ok(()),
            },
            Message::Update { relation, old, new } => {
                let Some(followed) = self.followed(relation)? else { return Ok(()) };
                let (gone, there) =
                    stream::updated(&followed.layout, old, new).map_err(|error| error.at_binding(followed.binding))?;
                self.changes(&followed, gone.into_iter().chain([there])).await
            }
            Message::Delete { relation, old } => match self.followed(relation)? {
                Some(followed) => self.change(&followed, stream::deleted(&followed.layout, old)).await,
                None => Ok(()),
            },
            Message::Truncate { relations } => self.truncated(&relations).await,
            Message::Origin | Message::Type | Message::Logical => Ok(()),
        }
    }

    fn begin(&mut self, begin: Begin) -> Result<()> {
        let at = begin
            .committed_micros
            .checked_add(EPOCH_MICROS)
            .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
        let within = self.opened.within.filter(|within| within.commit == begin.commit);
        self.transaction = Some(Transaction {
            begin,
            found: Found::in_log(begin.commit, &at.map(|at| at.to_string()).unwrap_or_default()),
            is_old: begin.commit < self.opened.position,
            rows: 0,
            covered_rows: within.map_or(0, |within| within.rows),
        });
        Ok(())
    }

    async fn commit(&mut self, end: Lsn) -> Result<()> {
        let Some(transaction) = self.transaction.take() else {
            return Err(Error::internal(
                "postgres.stream.order",
                "capture-postgres reads the stream of changes: expected Begin, got Commit",
            ));
        };
        if end > self.opened.position {
            self.move_to(end);
        }
        self.committed = Some((transaction.begin.committed_micros + EPOCH_MICROS) / 1_000);
        self.opened.within = None;
        if !self.opened.watched.iter().all(|watched| watched.part.walked) {
            self.window.emitted(transaction.begin.xid);
            if self.window.remembered() > REMEMBERED_MAX {
                let snapshot = writers::snapshot(&self.opened.client).await?;
                self.window.judge(&snapshot);
            }
        }
        self.look_at_clock_in_time().await
    }

    fn move_to(&mut self, position: Lsn) {
        self.opened.position = position;
        self.is_behind = true;
        self.last_moved = Instant::now();
    }

    /// A table as it is from here on in the log, which may be long ago. What its columns are is in the message; of the catalog only names
    /// of types are asked, and what may be NULL, where a value will correct it.
    async fn relation(&mut self, relation: Relation) -> Result<()> {
        let binding = self.opened.watched.iter().position(|watched| watched.part.oid == relation.oid);
        let Some(binding) = binding else {
            self.relations.insert(relation.oid, None);
            return Ok(());
        };
        let Opened { client, types, watched, .. } = &mut self.opened;
        let watched = &watched[binding];
        let mut columns = Vec::with_capacity(relation.columns.len());
        for column in &relation.columns {
            if column.name == "_meta" {
                return Err(column_meta(NAME, &format!("{}.{}", relation.schema, relation.name)).at_binding(binding));
            }
            let ty = types.of(client, column.type_oid, column.typmod).await?;
            let known = watched.table.columns.iter().find(|known| known.name == column.name);
            let nullable = !column.is_identity && !known.is_some_and(|known| known.is_not_null);
            columns.push((column.name.as_str(), ty, nullable));
        }
        let is_told = |name: &String| relation.columns.iter().any(|column| column.name == *name && column.is_identity);
        let layout = match watched.table.key.iter().all(is_told) {
            true => Layout::new((&relation.schema, &relation.name), columns.into_iter(), &watched.table.key),
            false => Err("one over other columns, or NOTHING".to_owned()),
        };
        let layout = layout.map_err(|got| {
            let message = format!(
                "capture-postgres reads changes of {}.{}: expected a replica identity over [{}], got {got}",
                relation.schema,
                relation.name,
                watched.table.key.join(", ")
            );
            Error::config("postgres.identity.changed", message).at_binding(binding).suggest(
                "put the primary key or the replica identity back, or capture the table again under the new key: `longshore run --fresh`",
            )
        })?;
        self.relations.insert(relation.oid, Some(Followed { binding, layout: Arc::new(layout) }));
        Ok(())
    }

    /// Whose row this is; none: nobody's, or one that was covered before.
    fn followed(&mut self, relation: u32) -> Result<Option<Followed>> {
        let fault = |expected: &str| {
            let message =
                format!("capture-postgres reads the stream of changes: expected {expected} before a row, got none");
            Error::internal("postgres.stream.order", message)
        };
        let transaction = self.transaction.as_mut().ok_or_else(|| fault("Begin"))?;
        transaction.rows += 1;
        let is_covered = transaction.is_old || transaction.rows <= transaction.covered_rows;
        let followed = self.relations.get(&relation).ok_or_else(|| fault("its relation"))?;
        Ok(followed.clone().filter(|_| !is_covered))
    }

    /// It is told once for all tables, and stands among the rows of its transaction.
    async fn truncated(&mut self, relations: &[u32]) -> Result<()> {
        let mut emptied = Vec::new();
        for relation in relations {
            emptied.extend(self.relations.get(relation).and_then(Option::as_ref).map(|followed| followed.binding));
        }
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        transaction.rows += 1;
        if transaction.is_old || transaction.rows <= transaction.covered_rows {
            return Ok(());
        }
        for binding in emptied {
            let watched = &self.opened.watched[binding];
            let name = format!("{}.{}", watched.resource.schema, watched.resource.table);
            match self.opened.settings.truncate {
                Truncate::Propagate => {
                    self.window.emptied(binding);
                    self.emitter.truncated(binding).await?;
                    self.bytes += CONTROL_BYTES;
                }
                Truncate::Ignore => tracing::warn!(table = %name, "was emptied by TRUNCATE, which is ignored"),
                Truncate::Stop => {
                    let message =
                        format!("capture-postgres reads changes of {name}: expected changes of rows, got TRUNCATE");
                    return Err(Error::data("postgres.truncated", message).at_binding(binding).suggest(format!(
                        "let what was captured be emptied too (`truncate: propagate`), keep the rows where they were captured to \
                         (`truncate: ignore`), or capture the table again (`longshore run --fresh {}/{}`)",
                        self.opened.task, watched.collection
                    )));
                }
            }
        }
        Ok(())
    }

    /// Also where something comes all the time, as it does beside a busy database.
    async fn look_at_clock_in_time(&mut self) -> Result<()> {
        if self.last_look.elapsed() < self.pace.tick() { Ok(()) } else { self.look_at_clock().await }
    }

    /// What is done by the clock, every few moments.
    async fn look_at_clock(&mut self) -> Result<()> {
        self.last_look = Instant::now();
        self.may_walk = true;
        let awaited = self.window.first().map(|chunk| chunk.high).into_iter();
        let awaited = awaited.chain((!self.is_caught_up).then_some(self.opened.target)).max();
        let waits = awaited.is_some_and(|awaited| awaited > self.opened.position);
        if waits && self.transaction.is_none() && self.last_moved.elapsed() >= PATIENCE {
            walk::nudge(&self.opened.client).await;
            self.last_moved = Instant::now();
        }
        let is_idle = self.is_behind && self.covered.is_empty() && self.transaction.is_none();
        if is_idle && self.last_checkpoint.elapsed() >= self.pace.idle {
            self.checkpoint(Mark::Plain).await?;
        }
        self.tell().await
    }

    async fn checkpoint(&mut self, mark: Mark) -> Result<()> {
        let Opened { identity, settings, position, watched, .. } = &mut self.opened;
        let within = match (mark, &self.transaction) {
            (Mark::Partial, Some(transaction)) => {
                Some(Within { commit: transaction.begin.commit, rows: transaction.rows })
            }
            (Mark::Partial | Mark::Plain | Mark::CaughtUp, _) => None,
        };
        let task = TaskState {
            system: identity.system.clone(),
            timeline: identity.timeline,
            slot: settings.slot.clone(),
            position: *position,
            within,
        };
        let mut checkpoint = Checkpoint::new().task(&task);
        for (binding, watched) in watched.iter_mut().enumerate().filter(|(_, watched)| watched.is_unsaved) {
            checkpoint = checkpoint.binding(binding, &watched.part);
            watched.is_unsaved = false;
        }
        checkpoint = match mark {
            Mark::Plain => checkpoint,
            Mark::CaughtUp => checkpoint.caught_up(),
            Mark::Partial => checkpoint.partial(),
        };
        let number = self.emitter.checkpoint(checkpoint).await?;
        self.covered.said(number, task.position);
        if let Some(committed) = self.committed.take() {
            self.behind.covered(task.position, committed);
        }
        self.hear();
        self.tell().await?;
        (self.bytes, self.is_behind, self.last_checkpoint) = (0, false, Instant::now());
        Ok(())
    }
}

/// What a checkpoint says beside its state.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Plain,
    CaughtUp,
    Partial,
}
