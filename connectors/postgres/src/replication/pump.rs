//! The stream: a task reads ahead of the consumer, by a bounded number of batches, and tells the server how far the consumer is. What it tells does
//! not wait for the consumer, so that a server keeps the connection however slow that is.

#![allow(
    clippy::disallowed_methods,
    reason = "the stream is read by a task of its own, which ends with it; a status says when it was sent"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut as _, Bytes, BytesMut};
use longshore_sdk::Result;
use postgres_protocol::message::frontend;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::wire::Wire;
use super::{Event, frames};

/// Batches that wait at most, each of them what one read brought.
const QUEUE_BATCHES: usize = 2;
/// What is acknowledged is told within this time. So often the server hears also from a consumer that is behind, since its own question is
/// somewhere in what was not read yet.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);
/// Where nothing is new, so many intervals pass: 10 s.
const IDLE_INTERVALS: u32 = 50;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// The changes of a slot, as they come. Dropped, the connection ends, and what was not acknowledged comes again.
#[derive(Debug)]
pub struct Changes {
    doing: String,
    /// Whole frames that came and were not taken yet.
    batch: Bytes,
    batches: mpsc::Receiver<Result<Bytes>>,
    position: Arc<AtomicU64>,
    close: Option<oneshot::Sender<()>>,
    pump: JoinHandle<()>,
}

impl Changes {
    pub(super) fn new(wire: Wire, durable: u64, doing: String) -> Self {
        let (sender, batches) = mpsc::channel(QUEUE_BATCHES);
        let (close, closing) = oneshot::channel();
        let position = Arc::new(AtomicU64::new(durable));
        let pump = Pump {
            wire,
            doing: doing.clone(),
            position: Arc::clone(&position),
            told: 0,
            quiet_intervals: 0,
            can_tell: true,
        };
        let pump = tokio::spawn(pump.run(sender, closing));
        Self { doing, batch: Bytes::new(), batches, position, close: Some(close), pump }
    }

    /// The next event. Dropped while it waits, it has taken none.
    ///
    /// # Errors
    /// `unavailable` when the server is gone or ends the stream, else what it says. There is nothing more after an error.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = frames::next(&self.doing, &mut self.batch)? {
                return Ok(event);
            }
            self.batch = self.batches.recv().await.unwrap_or_else(|| Err(frames::ended(&self.doing)))?;
        }
    }

    /// All before this position is durable elsewhere. The server is told soon; it never goes back.
    pub fn acknowledge(&self, position: u64) {
        self.position.fetch_max(position, Ordering::Relaxed);
    }

    /// Tells the server the last position that was acknowledged, and waits until it has closed the connection, for a second at most.
    pub async fn farewell(mut self) {
        drop(self.close.take());
        if tokio::time::timeout(FAREWELL, &mut self.pump).await.is_err() {
            tracing::debug!(
                doing = self.doing,
                "the server may not have heard the farewell; the next session tells it"
            );
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

struct Pump {
    wire: Wire,
    doing: String,
    position: Arc<AtomicU64>,
    /// The position of the last status.
    told: u64,
    quiet_intervals: u32,
    can_tell: bool,
}

impl Pump {
    /// Until the consumer says farewell, or there is an error, which is the last that is handed over.
    async fn run(mut self, batches: mpsc::Sender<Result<Bytes>>, mut closing: oneshot::Receiver<()>) {
        let mut intervals = tokio::time::interval(STATUS_INTERVAL);
        intervals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting: Option<Result<Bytes>> = None;
        loop {
            tokio::select! {
                permit = batches.reserve(), if waiting.is_some() => {
                    let (Ok(permit), Some(batch)) = (permit, waiting.take()) else { return };
                    let is_last = batch.is_err();
                    permit.send(batch);
                    if is_last {
                        return;
                    }
                }
                read = self.wire.read(&self.doing), if waiting.is_none() => waiting = self.take(read).await.transpose(),
                _ = intervals.tick() => self.tick(waiting.is_some() || batches.capacity() == 0).await,
                // The consumer lets go of its end.
                _ = &mut closing => return self.close().await,
            }
        }
    }

    /// What a read brought, and an answer to the server if it wants one.
    async fn take(&mut self, read: Result<()>) -> Result<Option<Bytes>> {
        read?;
        let (batch, wants_status) = self.wire.take(&self.doing)?;
        if wants_status {
            self.tell().await;
        }
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }

    async fn tick(&mut self, is_behind: bool) {
        self.quiet_intervals += 1;
        let has_moved = self.position.load(Ordering::Relaxed) != self.told;
        if has_moved || is_behind || self.quiet_intervals >= IDLE_INTERVALS {
            self.tell().await;
        }
    }

    async fn tell(&mut self) {
        let mut out = BytesMut::new();
        self.status(&mut out);
        self.write(&out).await;
    }

    async fn close(mut self) {
        let mut out = BytesMut::new();
        self.status(&mut out);
        frontend::copy_done(&mut out);
        frontend::terminate(&mut out);
        self.write(&out).await;
        self.wire.drain().await;
    }

    /// That it cannot be written is no error by itself: why the connection ended is told by what can still be read.
    async fn write(&mut self, bytes: &[u8]) {
        if self.can_tell
            && let Err(error) = self.wire.write(bytes).await
        {
            tracing::debug!(doing = self.doing, "telling the server a position: {error}");
            self.can_tell = false;
        }
    }

    /// Written, flushed and applied are one here.
    fn status(&mut self, out: &mut BytesMut) {
        const STATUS_BYTES: u32 = 34;
        const EPOCH: Duration = Duration::from_secs(946_684_800);
        self.told = self.position.load(Ordering::Relaxed);
        self.quiet_intervals = 0;
        let now = SystemTime::now().duration_since(UNIX_EPOCH + EPOCH).unwrap_or_default();
        out.put_u8(b'd');
        out.put_u32(4 + STATUS_BYTES);
        out.put_u8(b'r');
        out.put_u64(self.told);
        out.put_u64(self.told);
        out.put_u64(self.told);
        out.put_u64(u64::try_from(now.as_micros()).unwrap_or_default());
        out.put_u8(0);
    }
}
