//! A session's work on the database, on a thread that may be blocked: in turns a piece of the log and a piece of a walk, each read in one
//! short transaction and handed over when that is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use longshore_sdk::capture::PullOpen;
use longshore_sdk::{Error, Result};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::mpsc;

use crate::Piece;
use crate::config::{Config, Resource, Settings};
use crate::database::{self, failed};
use crate::faults::Whose;
use crate::follow;
use crate::gather::{Event, Gather, Mark};
use crate::log::{self, Names};
use crate::plan::Plan;
use crate::state::{Cursor, Part, TaskState};
use crate::triggers::{self, Standing, Triggers};
use crate::walk;
use crate::watched::{Bound, Looked, Watched};

/// Entries of the log that are removed at a time, so that no other writer waits long.
const FORGET_ENTRIES: u32 = 5_000;
/// While there is more to read, the log is cleaned only when so many entries can go.
const FORGET_AT_LEAST: i64 = 20_000;
/// How long cleaning waits for another writer: it can be done later.
const FORGET_TIMEOUT: Duration = Duration::from_millis(50);

/// What the thread works on.
pub(crate) struct Session {
    pub(crate) piece: Piece,
    pub(crate) settings: Settings,
    pub(crate) connection: Connection,
    pub(crate) names: Names,
    pub(crate) whose: Whose,
    pub(crate) watched: Vec<Watched>,
    /// By binding: what the state remembers, until the tables were looked at.
    bounds: Vec<(Bound, Option<Part>)>,
    /// Bindings whose full refresh is still to be said to begin, before anything else comes of them.
    beginning: Vec<usize>,
    log: String,
    /// The last entry that was read.
    pub(crate) cursor: Cursor,
    /// The end of the log when the piece that is being read was begun: up to here it is one checkpoint.
    pub(crate) drain_to: Option<i64>,
    /// The cursor is not in the state yet.
    pub(crate) is_unsaved: bool,
    /// Entries up to here were in the log when the session opened.
    target: i64,
    is_caught_up: bool,
    schema_version: Option<i64>,
    data_version: Option<i64>,
    file: Option<(u64, u64)>,
    /// Entries before this one were durable elsewhere when the session opened.
    pub(crate) durable: i64,
    forgotten: i64,
    pub(crate) totals: HashMap<usize, u64>,
}

/// Where it puts what it reads, and what it hears.
pub(crate) struct Outside {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) stop: Arc<AtomicBool>,
    /// Entries before this one are durable elsewhere.
    pub(crate) durable: Arc<AtomicI64>,
}

/// Why reading ended early.
#[derive(Debug)]
pub(crate) enum Halt {
    Stopped,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Failed(error)
    }
}

impl Session {
    /// Opens the database, finds the log that the state remembers, and looks at all tables.
    pub(crate) fn open(open: &PullOpen<Config, Resource>, piece: Piece) -> Result<Session> {
        let settings = Settings::new(&open.config)?;
        let file = database::identity(&settings.path);
        let connection = database::open(&settings)?;
        let names = Names::of(open.owner.installation.as_str(), &open.owner.task);
        let whose = Whose { task: open.owner.task.clone() };
        let bounds = (0..open.bindings.len())
            .map(|index| Ok((Bound::of(index, &open.bindings[index]), open.binding_state(index)?)));
        let bounds = bounds.collect::<Result<Vec<(Bound, Option<Part>)>>>()?;
        // Where no table was begun, there is nothing that the log could have lost.
        let remembered = match bounds.iter().any(|(_, part)| part.is_some()) {
            true => open.task_state::<TaskState>()?,
            false => None,
        };
        let (about, cursor) = match &remembered {
            Some(state) => (log::check(&connection, &names, &whose, state)?, Some(state.cursor)),
            None => (log::about(&connection, &names)?.ok_or_else(|| no_log(&whose, &names))?, None),
        };
        let end = log::end(&connection, &names)?.ok_or_else(|| no_log(&whose, &names))?;
        let cursor = cursor.unwrap_or(end);
        let mut session = Session {
            piece,
            settings,
            connection,
            names,
            whose,
            watched: Vec::new(),
            beginning: bounds
                .iter()
                .filter(|(bound, part)| bound.is_refresh && part.is_none())
                .map(|(bound, _)| bound.index)
                .collect(),
            bounds,
            log: about.id,
            cursor,
            drain_to: None,
            is_unsaved: true,
            target: end.seq,
            is_caught_up: false,
            schema_version: None,
            data_version: None,
            file,
            durable: remembered.map_or(0, |state| state.cursor.seq),
            forgotten: 0,
            totals: HashMap::new(),
        };
        session.begin_read()?;
        session.end_read()?;
        Ok(session)
    }

    /// Reads all that is there now. A stop ends it between two checkpoints.
    pub(crate) fn pass(&mut self, out: &Outside) -> Result<(), Halt> {
        self.check_file()?;
        for binding in std::mem::take(&mut self.beginning) {
            self.send(out, Event::Refresh { binding, complete: false })?;
        }
        self.forget(out, 1)?;
        let version = self.data_version()?;
        if self.is_caught_up && self.drain_to.is_none() && self.data_version == Some(version) {
            return Ok(());
        }
        loop {
            let mut has_more = self.hand_over(out, follow::piece)?;
            if self.drain_to.is_none() {
                has_more |= self.hand_over(out, walk::piece)?;
            }
            if !self.is_caught_up && self.drain_to.is_none() && self.covers_what_was_there() {
                self.is_caught_up = true;
                self.send(out, self.mark(true))?;
            }
            if !has_more {
                self.data_version = Some(version);
                return Ok(());
            }
            self.forget(out, FORGET_AT_LEAST)?;
        }
    }

    /// Removes from the log what is durable elsewhere, if that is at least so much. Where another writer is at work, it does so later.
    pub(crate) fn forget(&mut self, out: &Outside, least: i64) -> Result<()> {
        let before = out.durable.load(Ordering::Acquire);
        if before - self.forgotten < least {
            return Ok(());
        }
        let doing = |error| failed("cleaning the log", error);
        self.connection.busy_timeout(FORGET_TIMEOUT).map_err(doing)?;
        let cleaned = loop {
            match log::forget(&self.connection, &self.names, &self.log, before, FORGET_ENTRIES) {
                Ok(removed) if removed == FORGET_ENTRIES as usize => {}
                Ok(_) => break Ok(true),
                Err(error) => match doing(error) {
                    error if error.code == "sqlite.locked" => break Ok(false),
                    error => break Err(error),
                },
            }
        };
        self.connection.busy_timeout(self.settings.busy_timeout).map_err(doing)?;
        if cleaned? {
            self.forgotten = before;
        }
        Ok(())
    }

    /// One piece, and the checkpoint behind it; true: there is more.
    fn hand_over(&mut self, out: &Outside, piece: fn(&mut Session, &mut Gather) -> Result<Read>) -> Result<bool, Halt> {
        if out.stop.load(Ordering::Relaxed) {
            return Err(Halt::Stopped);
        }
        let mut gather = Gather::new(self.piece.rows);
        let piece = piece(self, &mut gather)?;
        for event in gather.finish() {
            self.send(out, event)?;
        }
        if self.is_unsaved || self.watched.iter().any(|watched| watched.is_unsaved) {
            self.is_unsaved = false;
            let mark = self.mark(false);
            self.watched.iter_mut().for_each(|watched| watched.is_unsaved = false);
            self.send(out, mark)?;
        }
        if let Some(progress) = piece.progress {
            self.send(out, progress)?;
        }
        Ok(piece.has_more)
    }

    fn send(&self, out: &Outside, event: Event) -> Result<(), Halt> {
        out.events.blocking_send(event).map_err(|_| Halt::Stopped)
    }

    fn mark(&self, caught_up: bool) -> Event {
        let unsaved = self.watched.iter().filter(|watched| watched.is_unsaved);
        Event::Checkpoint(Mark {
            task: TaskState { log: self.log.clone(), cursor: self.cursor },
            parts: unsaved.map(|watched| (watched.bound.index, watched.part.clone())).collect(),
            caught_up,
            partial: self.drain_to.is_some(),
        })
    }

    fn covers_what_was_there(&self) -> bool {
        self.cursor.seq >= self.target && self.watched.iter().all(|watched| watched.part.walked)
    }

    /// Begins a read transaction, in which all tables are as they are known here.
    pub(crate) fn begin_read(&mut self) -> Result<()> {
        let doing = |error| failed("beginning to read", error);
        loop {
            self.connection.execute_batch("BEGIN").map_err(doing)?;
            let version =
                self.connection.pragma_query_value(None, "schema_version", |row| row.get(0)).map_err(doing)?;
            if self.schema_version == Some(version) {
                return Ok(());
            }
            if self.look()? {
                self.schema_version = Some(version);
                return Ok(());
            }
        }
    }

    pub(crate) fn end_read(&self) -> Result<()> {
        self.connection.execute_batch("COMMIT").map_err(|error| failed("ending to read", error))
    }

    /// Looks at all tables; false: something had to be put right, and the transaction is over.
    fn look(&mut self) -> Result<bool> {
        let Some(about) = log::about(&self.connection, &self.names)?.filter(|about| about.id == self.log) else {
            return Err(no_log(&self.whose, &self.names));
        };
        if about.has_moved {
            self.end_read()?;
            log::count_renumbering(&self.connection, &self.names)?;
            return Ok(false);
        }
        let mut watched = Vec::with_capacity(self.bounds.len());
        for (place, (bound, remembered)) in self.bounds.iter().enumerate() {
            let known = self.watched.get(place);
            let part = known.map(|known| &known.part).or(remembered.as_ref());
            let after = self.cursor.seq;
            match bound.look(&self.connection, &self.names, &self.whose, &about, part, after)? {
                Looked::Fit(mut fit) => {
                    fit.is_unsaved |= known.is_some_and(|known| known.is_unsaved);
                    watched.push(*fit);
                }
                Looked::Late(plan, watch) => {
                    self.end_read()?;
                    renew(&mut self.connection, &self.names, &plan, watch, after)?;
                    return Ok(false);
                }
            }
        }
        self.watched = watched;
        Ok(true)
    }

    /// Another file under the same name would be a silence for ever.
    fn check_file(&self) -> Result<()> {
        if database::identity(&self.settings.path) == self.file {
            return Ok(());
        }
        let path = self.settings.path.display();
        let message =
            format!("capture-sqlite reads {path}: expected the file that was opened, got another one, or none");
        Err(Error::unavailable("sqlite.file.replaced", message).suggest("it is opened again"))
    }

    fn data_version(&self) -> Result<i64> {
        let version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(|error| failed("looking for changes", error))
    }
}

/// What a piece came to.
pub(crate) struct Read {
    pub(crate) has_more: bool,
    pub(crate) progress: Option<Event>,
}

/// Makes the triggers of a table again, under their number, if nothing was written to the table since.
pub(crate) fn renew(connection: &mut Connection, names: &Names, plan: &Plan, watch: i64, after: i64) -> Result<()> {
    let doing = |error| failed("making triggers again", error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(doing)?;
    let is_still = triggers::standing(&transaction, names, plan)? == Standing::Late { watch };
    // Otherwise whoever looks again sees what there is.
    if is_still && !log::has_entries(&transaction, names, watch, after)? {
        triggers::drop_from(&transaction, names, &plan.table.name)?;
        Triggers::of(names, watch, plan).create(&transaction)?;
    }
    transaction.commit().map_err(doing)
}

fn no_log(whose: &Whose, names: &Names) -> Error {
    whose.log("sqlite.log.missing", &format!("the log in table {:?}", names.log), "none, or an empty one")
}
