//! The journal's own thread for one session: it writes what it is told, in order, and tells what is durable.
//!
//! The queue to it is bounded: in bytes by the machine, which stops reading while too much is unwritten, in entries by the channel.

use longshore_failpoints::{Plant, Step, is_planted, reached};
use longshore_proto::Error;
use longshore_proto::batch::Batch;
use longshore_proto::state::StatePatch;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::transaction::Limits;
use crate::blocking::Blocking;
use crate::journal::{Committed, Control, Durable, JournalError, Letter, LocalId, Writer};

/// Beside the entries there may be a few commits and an abandon in the queue.
const BESIDE_ENTRIES: usize = 16;
const NEWS_QUEUE: usize = 64;

/// What the journal shall do.
#[derive(Debug)]
pub(super) enum Command {
    Documents {
        local: LocalId,
        batch: Batch,
    },
    /// A batch in which some documents were not admitted: what it came to, in its order.
    Sorted {
        local: LocalId,
        binding: usize,
        pieces: Vec<Piece>,
        bytes: u64,
    },
    Schema {
        local: LocalId,
        version: u64,
        schema_json: Vec<u8>,
    },
    Control {
        local: LocalId,
        control: Control,
    },
    Commit(StatePatch),
    Abandon,
}

/// A part of a batch.
#[derive(Debug)]
pub(super) enum Piece {
    Documents(Batch),
    Letter(Letter),
}

/// What it has done.
#[derive(Debug)]
pub(super) enum News {
    Written { bytes: u64 },
    Committed(Durable<Committed>),
}

/// The session's end of it.
#[derive(Debug)]
pub(super) struct Scribe {
    commands: Option<mpsc::Sender<Command>>,
    news: mpsc::Receiver<News>,
    thread: Option<JoinHandle<Result<(), JournalError>>>,
}

impl Scribe {
    pub(super) fn start(writer: Box<dyn Writer>, limits: &Limits, blocking: Blocking) -> Self {
        let entries = usize::try_from(limits.unwritten_entries).unwrap_or(usize::MAX / 2);
        let (commands, inbox) = mpsc::channel(entries + BESIDE_ENTRIES);
        let (outbox, news) = mpsc::channel(NEWS_QUEUE);
        let thread = blocking.drive(write(writer, inbox, outbox));
        Self { commands: Some(commands), news, thread: Some(thread) }
    }

    /// Never waits: the machine keeps what is unwritten below what the queue holds.
    pub(super) fn tell(&self, command: Command) -> Result<(), Error> {
        let Some(commands) = &self.commands else {
            return Err(Error::internal("capture.journal", "the journal's thread was told to end"));
        };
        match commands.try_send(command) {
            // Closed: it failed, and `finish` says why.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Error::internal("capture.journal", "the journal's queue is over its bound"))
            }
        }
    }

    /// What has been done. An error: the journal has failed, and why. Cancel-safe.
    pub(super) async fn news(&mut self) -> Result<News, Error> {
        match self.news.recv().await {
            Some(news) => Ok(news),
            None => {
                self.finish().await?;
                Err(Error::internal("capture.journal", "the journal's thread ended and does not say why"))
            }
        }
    }

    /// Ends the thread: what is in the queue is not committed any more than it was asked for. Tells why it failed, if it did.
    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        self.commands = None;
        self.news.close();
        match self.thread.as_mut() {
            None => Ok(()),
            Some(thread) => {
                let ended = thread.await;
                self.thread = None;
                match ended {
                    Ok(written) => written.map_err(Error::from),
                    Err(panic) => Err(Error::internal("capture.journal", format!("the journal's thread: {panic}"))),
                }
            }
        }
    }
}

/// Ends when nobody tells any more, or nobody listens. What is open then is dropped with the writer.
async fn write(
    mut writer: Box<dyn Writer>,
    mut inbox: mpsc::Receiver<Command>,
    outbox: mpsc::Sender<News>,
) -> Result<(), JournalError> {
    while let Some(command) = inbox.recv().await {
        if outbox.is_closed() {
            break;
        }
        let news = match command {
            Command::Documents { local, batch } => {
                writer.documents(local, &batch)?;
                News::Written { bytes: batch.byte_len() as u64 }
            }
            Command::Sorted { local, pieces, bytes, binding: _ } => {
                for piece in &pieces {
                    match piece {
                        Piece::Documents(batch) => writer.documents(local, batch)?,
                        Piece::Letter(letter) => writer.letter(local, letter)?,
                    }
                }
                News::Written { bytes }
            }
            Command::Schema { local, version, schema_json } => {
                writer.schema(local, version, &schema_json)?;
                News::Written { bytes: schema_json.len() as u64 }
            }
            Command::Control { local, control } => {
                writer.control(local, control)?;
                News::Written { bytes: 0 }
            }
            Command::Commit(mut patch) => {
                if is_planted(Plant::StateNotCommitted) {
                    patch = StatePatch::new();
                }
                reached(Step::CaptureWritten);
                let committed = writer.commit(&patch)?;
                reached(Step::CaptureDurable);
                News::Committed(committed)
            }
            Command::Abandon => {
                writer.abandon();
                continue;
            }
        };
        if outbox.send(news).await.is_err() {
            break;
        }
    }
    Ok(())
}
