//! A backlog of the log, read by SQL: the messages that the stream would bring, in slices of whole transactions, out of a temporary copy of the
//! slot. Behind its end the stream takes over.
//!
//! A stream costs the server two calls of its operating system for each change; a slice costs it none, and a second reading of what lies before it
//! in the log, which is little if slices are large (README.md has the figures). The copy moves on as it is read. The slot itself stays behind what
//! is durable, and is moved up to it now and then ([`advance`]), so a session that breaks off loses nothing.
//!
//! A slice is a cursor that outlives its transaction: the server keeps it in a temporary file. However long whoever takes it is busy, no snapshot
//! is held meanwhile that would keep dead rows from being cleared away. Where the server cannot do one of these things, the stream can.

#![allow(
    clippy::disallowed_methods,
    reason = "slices are read by a task of their own, which ends with whoever takes them"
)]

use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use longshore_postgres::tokio_postgres::Row;
use longshore_postgres::{Changes, Client, failed};
use longshore_sdk::{Error, Result};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::Settings;
use crate::copy::literal;
use crate::lsn::Lsn;
use crate::open;
use crate::server::Slot;
use crate::source::{self, Identity, Waiting};

const DOING: &str = "reading a backlog of the log";
/// The slice under way, as the server calls it.
const CURSOR: &str = "longshore_backlog";
/// Rows that the server is asked for at a time.
const FETCH_ROWS: usize = 10_000;
/// They are handed over by so many bytes, and so many times that wait at most.
const BATCH_BYTES: usize = 256 << 10;
const QUEUE_BATCHES: usize = 2;
/// When so much of the log is durable that the slot still keeps, it is moved up.
const ADVANCE_BYTES: u64 = 1 << 30;
/// So long the stream waits for what was read to become durable: what is not, the server reads once more.
const DURABLE_WITHIN: Duration = Duration::from_secs(1);
/// How long a farewell may take: the server reads the log up to where the slot is moved.
const FAREWELL: Duration = Duration::from_secs(5);

/// A backlog that is being read. Dropped, its connection ends, and what was not acknowledged comes again.
pub(crate) struct Backlog {
    batch: std::vec::IntoIter<Row>,
    pieces: mpsc::Receiver<Result<Piece>>,
    durable: watch::Sender<Lsn>,
    close: Option<oneshot::Sender<()>>,
    reader: JoinHandle<()>,
}

/// What comes out of it.
pub(crate) enum Next {
    /// A row whose only value is a message.
    Message(Row),
    /// All that lies before this position was brought.
    Reached(Lsn),
    /// The rest.
    Stream(Changes),
}

enum Piece {
    Messages(Vec<Row>),
    Reached(Lsn),
    Stream(Changes),
}

impl Backlog {
    /// Begins to read what lies behind `from`, up to where all is durable; the slot keeps it. None: the server does not let us.
    pub(crate) async fn begin(
        settings: &Settings,
        identity: &Identity,
        from: Lsn,
        slice_changes: usize,
    ) -> Result<Option<Backlog>> {
        let client = open::connect(&settings.endpoint).await?;
        let copy = match copy_slot(&client, &settings.slot, from).await {
            Ok(copy) => copy,
            Err(error) if client.is_closed() => return Err(error),
            Err(error) => {
                tracing::info!(%error, "the backlog is streamed, which is slower");
                return Ok(None);
            }
        };
        let (sender, pieces) = mpsc::channel(QUEUE_BATCHES);
        let (durable, heard) = watch::channel(from);
        let (close, closing) = oneshot::channel();
        let reader = Reader {
            client,
            settings: settings.clone(),
            identity: identity.clone(),
            copy,
            slice_changes,
            reached: from,
            durable: heard,
        };
        let reader = tokio::spawn(reader.run(sender, closing));
        Ok(Some(Backlog { batch: Vec::new().into_iter(), pieces, durable, close: Some(close), reader }))
    }

    /// The next of it. Dropped while it waits, it has taken none. There is nothing more behind an error or the stream.
    pub(crate) async fn next(&mut self) -> Result<Next> {
        loop {
            if let Some(row) = self.batch.next() {
                return Ok(Next::Message(row));
            }
            let ended =
                || Err(Error::internal("postgres.backlog", format!("{DOING}: expected more of it, got its end")));
            match self.pieces.recv().await.unwrap_or_else(ended)? {
                Piece::Messages(rows) => self.batch = rows.into_iter(),
                Piece::Reached(position) => return Ok(Next::Reached(position)),
                Piece::Stream(changes) => {
                    changes.acknowledge(self.durable.borrow().0);
                    return Ok(Next::Stream(changes));
                }
            }
        }
    }

    /// All before this position is durable elsewhere. It never goes back.
    pub(crate) fn acknowledge(&self, position: Lsn) {
        self.durable.send_if_modified(|durable| {
            let is_news = position > *durable;
            if is_news {
                *durable = position;
            }
            is_news
        });
    }

    /// Waits, for a moment, until the slot was moved to where all is durable.
    pub(crate) async fn farewell(mut self) {
        drop(self.close.take());
        if tokio::time::timeout(FAREWELL, &mut self.reader).await.is_err() {
            tracing::debug!("the slot may not have been moved; the next session does it");
        }
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Name of a copy of a slot that goes with the connection. The slot is moved first, as a session that was killed did not: what is durable is
/// passed over then, and not read once more.
async fn copy_slot(client: &Client, slot: &str, durable: Lsn) -> Result<String> {
    advance(client, slot, durable).await?;
    let doing = format!("copying replication slot {slot}");
    let ask = "SELECT 'longshore_backlog_' || pg_backend_pid()";
    let name: String = client.query_one(ask, &[]).await.map_err(|error| failed(&doing, &error))?.get(0);
    let copy = "SELECT pg_copy_logical_replication_slot($1, $2, true)::text";
    client.query_one(copy, &[&slot, &name]).await.map_err(|error| failed(&doing, &error))?;
    Ok(name)
}

/// Moves the slot to a position, if it is not there yet; nobody else may be reading from it.
async fn advance(client: &Client, slot: &str, to: Lsn) -> Result<()> {
    let advance = "SELECT pg_replication_slot_advance(slot_name, $2::text::pg_lsn)::text FROM pg_replication_slots \
                   WHERE slot_name = $1::text AND confirmed_flush_lsn < $2::text::pg_lsn";
    let moved = client.query_opt(advance, &[&slot, &to.to_string()]).await;
    moved.map(drop).map_err(|error| failed(&format!("moving replication slot {slot}"), &error))
}

/// Reads the slices.
struct Reader {
    client: Client,
    settings: Settings,
    identity: Identity,
    copy: String,
    slice_changes: usize,
    /// All before was brought.
    reached: Lsn,
    durable: watch::Receiver<Lsn>,
}

impl Reader {
    /// Until the stream or an error was handed over, or whoever takes it says farewell.
    async fn run(mut self, pieces: mpsc::Sender<Result<Piece>>, closing: oneshot::Receiver<()>) {
        let last = tokio::select! {
            last = self.read(&pieces) => last.map(Piece::Stream),
            _ = closing => {
                if let Err(error) = self.close().await {
                    tracing::debug!(%error, "the slot was not moved; the next session does it");
                }
                return;
            }
        };
        // Nobody waits for it any more: then nobody minds.
        pieces.send(last).await.ok();
    }

    async fn read(&mut self, pieces: &mpsc::Sender<Result<Piece>>) -> Result<Changes> {
        // Where the slot is.
        let mut advanced = self.reached;
        while self.declare().await? {
            let messages = self.hand_on(pieces).await?;
            self.reached = Slot::find(&self.client, &self.copy).await?.map_or(self.reached, |copy| copy.confirmed);
            pieces.send(Ok(Piece::Reached(self.reached))).await.map_err(|_| unwanted())?;
            let durable = *self.durable.borrow();
            if durable.0.saturating_sub(advanced.0) >= ADVANCE_BYTES {
                advance(&self.client, &self.settings.slot, durable).await?;
                advanced = durable;
            }
            // It was not cut off: it ended with the log.
            if messages < self.slice_changes {
                break;
            }
        }
        self.hand_over().await
    }

    /// Lets the server make the next slice; false: it refuses, as it does with a transaction too large for its temporary files.
    async fn declare(&self) -> Result<bool> {
        let options = source::options(&self.settings);
        let options: Vec<String> =
            options.iter().map(|(name, value)| format!("{}, {}", literal(name), literal(value))).collect();
        let declare = format!(
            "BEGIN; DECLARE {CURSOR} NO SCROLL CURSOR WITH HOLD FOR SELECT data FROM pg_logical_slot_get_binary_changes({}, NULL, {}, {}); COMMIT",
            literal(&self.copy),
            self.slice_changes,
            options.join(", ")
        );
        match self.client.batch_execute(&declare).await {
            Ok(()) => Ok(true),
            Err(error) if self.client.is_closed() => Err(failed(DOING, &error)),
            Err(error) => {
                tracing::warn!(error = %failed(DOING, &error), "the rest of the backlog is streamed, which is slower");
                self.client.run(DOING, "ROLLBACK").await?;
                Ok(false)
            }
        }
    }

    /// Hands on the slice; how many messages it had.
    async fn hand_on(&self, pieces: &mpsc::Sender<Result<Piece>>) -> Result<usize> {
        let doing = |error: &_| failed(DOING, error);
        let fetch = self.client.prepare(&format!("FETCH {FETCH_ROWS} FROM {CURSOR}")).await;
        let fetch = fetch.map_err(|error| doing(&error))?;
        let mut count = 0;
        loop {
            let before = count;
            let rows =
                self.client.query_raw(&fetch, std::iter::empty::<&str>()).await.map_err(|error| doing(&error))?;
            let mut rows = pin!(rows);
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.try_next().await.map_err(|error| doing(&error))? {
                count += 1;
                bytes += row.get::<_, &[u8]>(0).len();
                batch.push(row);
                if bytes >= BATCH_BYTES {
                    bytes = 0;
                    pieces.send(Ok(Piece::Messages(std::mem::take(&mut batch)))).await.map_err(|_| unwanted())?;
                }
            }
            if !batch.is_empty() {
                pieces.send(Ok(Piece::Messages(batch))).await.map_err(|_| unwanted())?;
            }
            if count == before {
                self.client.run(DOING, &format!("CLOSE {CURSOR}")).await?;
                return Ok(count);
            }
        }
    }

    /// The stream, from where all was brought. What the server hears of it is what is durable, which may be less.
    async fn hand_over(&mut self) -> Result<Changes> {
        let reached = self.reached;
        let all = self.durable.wait_for(|durable| *durable >= reached);
        let is_all = tokio::time::timeout(DURABLE_WITHIN, all).await.is_ok();
        let durable = *self.durable.borrow();
        tracing::debug!(%reached, %durable, is_all, "the backlog was read, the stream begins");
        let slot = &self.settings.slot;
        advance(&self.client, slot, durable).await?;
        let confirmed = Slot::find(&self.client, slot).await?.map(|slot| slot.confirmed);
        let (waiting, identity) = Waiting::connect(&self.settings).await?;
        // Which of these it is, the next session finds when it opens.
        if identity != self.identity || confirmed.is_none_or(|confirmed| confirmed > durable) {
            let message = format!(
                "capture-postgres goes on with the stream of replication slot {slot}: expected it as it was, got another server, or a slot that \
                 somebody moved or dropped"
            );
            return Err(Error::unavailable("postgres.slot.busy", message).suggest("let nobody else use the slot"));
        }
        waiting.start(&self.settings, reached, durable).await
    }

    /// The slice under way, if there is one, is of no more use.
    async fn close(self) -> Result<()> {
        let Self { client, settings, copy, durable, .. } = self;
        drop(client);
        let client = open::connect(&settings.endpoint).await?;
        let end = "SELECT pg_terminate_backend(active_pid)::text FROM pg_replication_slots WHERE slot_name = $1";
        client.query_opt(end, &[&copy]).await.map_err(|error| failed("ending a backlog", &error))?;
        open::wait_for_slot(&client, &settings).await?;
        let durable = *durable.borrow();
        advance(&client, &settings.slot, durable).await
    }
}

fn unwanted() -> Error {
    Error::internal("postgres.backlog", format!("{DOING}: nobody takes it any more"))
}
