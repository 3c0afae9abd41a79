//! The task store in SQLite: inspectable with a CLI, WAL, `synchronous=FULL`.
//!
//! One thread owns the connection. It takes all the work that waits, does each piece in a SAVEPOINT of its own, so that a fenced one fails
//! alone, and commits them together with one sync. Nobody is answered before that commit.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::{Epoch, Skip, StoreError, TaskChanges, TaskRecord, TaskStore};
use super::{rows, skips};

/// Pieces of work that may wait for the thread; each caller waits for its own, so this bounds nothing but callers.
const WAITING: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct SqliteStore {
    work: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<()>>,
}

/// One piece of work: does it inside a savepoint, and answers when it is durable.
type Work = Box<dyn Piece>;

trait Piece: Send {
    /// Does it, and says what becomes of the savepoint.
    fn run(&mut self, connection: &Connection) -> Ran;
    /// It is durable, or nobody knows why not.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// What became of one piece of work.
enum Ran {
    /// What it wrote stays.
    Keep,
    /// It was fenced or refused, alone.
    Drop,
    /// There was no room under it, and so for nothing that goes with it.
    Full(String),
    /// The database failed under it: nothing that goes with it may be called durable.
    Failed,
}

struct Asked<T, F> {
    work: F,
    result: Option<Result<T, StoreError>>,
    answer: SyncSender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&Connection) -> Result<T, StoreError> + Send> Piece for Asked<T, F> {
    fn run(&mut self, connection: &Connection) -> Ran {
        let result = (self.work)(connection);
        let ran = match &result {
            Ok(_) => Ran::Keep,
            Err(StoreError::Unknown { .. }) => Ran::Failed,
            Err(StoreError::Full { reason }) => Ran::Full(reason.clone()),
            Err(
                StoreError::Fenced { .. }
                | StoreError::Refused { .. }
                | StoreError::Held { .. }
                | StoreError::Newer { .. }
                | StoreError::Unreadable { .. },
            ) => Ran::Drop,
        };
        self.result = Some(result);
        ran
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (self.result, committed) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(unknown("committing", "the work was not done")),
        };
        // Whoever asked may have gone.
        drop(self.answer.send(result));
    }
}

impl SqliteStore {
    /// Opens or makes the database.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = path.display().to_string();
        let failed = |error: rusqlite::Error| StoreError::Unreadable { file: file.clone(), reason: error.to_string() };
        let connection = Connection::open(path).map_err(failed)?;
        rows::prepare(&connection, &file)?;
        let (work, waiting) = mpsc::sync_channel(WAITING);
        let thread =
            std::thread::Builder::new().name("task-store".into()).spawn(move || serve(&connection, &waiting)).map_err(
                |error| StoreError::Unreadable { file: file.clone(), reason: format!("starting its thread: {error}") },
            )?;
        Ok(Self { work: Some(work), thread: Some(thread) })
    }

    /// Does a piece of work on the thread that owns the connection, and answers when it is durable.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let gone = || unknown("asking", "the thread of the task store has ended");
        let sender = self.work.as_ref().ok_or_else(gone)?;
        sender.send(Box::new(Asked { work, result: None, answer })).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

impl TaskStore for SqliteStore {
    fn take_epoch(&self, task: &str, floor: Epoch) -> Result<Epoch, StoreError> {
        let task = task.to_owned();
        self.ask(move |connection| rows::take_epoch(connection, &task, floor))
    }

    fn load(&self, task: &str) -> Result<Option<TaskRecord>, StoreError> {
        let task = task.to_owned();
        self.ask(move |connection| rows::load(connection, &task))
    }

    fn commit(&self, task: &str, epoch: Epoch, changes: TaskChanges) -> Result<(), StoreError> {
        let task = task.to_owned();
        self.ask(move |connection| rows::commit(connection, &task, epoch, &changes))
    }

    fn skips(&self, task: &str) -> Result<Vec<Skip>, StoreError> {
        let task = task.to_owned();
        self.ask(move |connection| skips::of(connection, &task))
    }

    fn tasks(&self) -> Result<Vec<String>, StoreError> {
        self.ask(rows::tasks)
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been answered with errors already.
            drop(thread.join());
        }
    }
}

fn serve(connection: &Connection, waiting: &Receiver<Work>) {
    while let Ok(first) = waiting.recv() {
        let mut together = vec![first];
        together.extend(waiting.try_iter());
        let committed = commit_together(connection, &mut together);
        // Without room nothing was synced, and whoever comes next writes over what is there of it.
        let goes_on = match &committed {
            Ok(()) => true,
            Err(error) => matches!(error, StoreError::Full { .. }) && rolled_back(connection),
        };
        for piece in together {
            piece.answer(match &committed {
                Ok(()) => Ok(()),
                Err(StoreError::Full { reason }) if goes_on => Err(StoreError::Full { reason: reason.clone() }),
                Err(error) => Err(unknown("committing", &error.to_string())),
            });
        }
        if !goes_on {
            // A second sync may succeed falsely: take nothing more. Callers see that the thread has ended.
            return;
        }
    }
}

fn commit_together(connection: &Connection, together: &mut [Work]) -> Result<(), StoreError> {
    let run = |sql: &str| connection.execute_batch(sql).map_err(|error| failed("committing", &error));
    run("BEGIN IMMEDIATE")?;
    for piece in together {
        run("SAVEPOINT piece")?;
        match piece.run(connection) {
            Ran::Keep => run("RELEASE piece")?,
            Ran::Drop => run("ROLLBACK TO piece; RELEASE piece")?,
            Ran::Full(reason) => return Err(StoreError::Full { reason }),
            // Whatever was begun is rolled back when the connection closes.
            Ran::Failed => return Err(unknown("writing", "the database failed under one of the tasks")),
        }
    }
    run("COMMIT")
}

/// SQLite may have done it by itself already.
fn rolled_back(connection: &Connection) -> bool {
    connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok()
}

/// What an error of the database means that came while writing.
pub(super) fn failed(doing: &'static str, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full { reason: error.to_string() },
        Some(_) | None => unknown(doing, &error.to_string()),
    }
}

pub(super) fn unknown(doing: &'static str, reason: &str) -> StoreError {
    StoreError::Unknown { doing, reason: reason.to_owned() }
}
