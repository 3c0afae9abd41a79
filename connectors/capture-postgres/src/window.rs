//! Brings together what a walk read of a table and what the log says meanwhile. A pure machine: events in, rows out.
//!
//! **The invariant**: per key, what is emitted never goes back in time, and at the end of the log equals the table. A piece of a walk
//! (a *chunk*) is read at a snapshot S and kept in memory. The log, which may be behind S or ahead of it, is read on and emitted, until it is
//! past H, a position taken after the chunk was read. For a row of the chunk, and any transaction T that changed its key:
//!
//! | T | is in the chunk's row | what happens |
//! |---|---|---|
//! | was emitted before the chunk was read | must be: else the chunk is refused ([`Window::judge`]) | the row is emitted behind T |
//! | is emitted while the chunk is kept | perhaps | the row is removed: T's own, or one behind it, is as new or newer |
//! | is emitted afterwards | no: all that S shows has ended before H | T is emitted behind the row |
//!
//! Meanwhile the next chunks are read, a few: each has an S and an H of its own, they have no key in common, and they are emitted in their order.
//!
//! The first line is why transactions are remembered: one may be in the log, and emitted, and still not be seen by a snapshot that is taken
//! later, until it has left the server's list of running ones; for long, if it waits for a synchronous standby. What was emitted in a session
//! before, or before the table was in the publication, is not known here: see `writers.rs`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use longshore_sdk::Result;

use crate::layout::{Key, Layout};
use crate::lsn::Lsn;
use crate::rows::{Row, Rows, Tuple};

/// What a snapshot shows: `xmin:xmax:xip,…` as the server writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    xmin: u64,
    pub(crate) xmax: u64,
    running: Vec<u64>,
}

impl Snapshot {
    pub(crate) fn parse(text: &str) -> Option<Snapshot> {
        let mut parts = text.split(':');
        let (xmin, xmax, running) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        let running =
            running.split(',').filter(|xid| !xid.is_empty()).map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Snapshot { xmin, xmax, running })
    }

    /// The log has the lower half of a transaction's number; this is the one near the snapshot.
    pub(crate) fn whole(&self, xid: u32) -> u64 {
        const HALF: u64 = 1 << 31;
        let near = (self.xmax & !0xffff_ffff) | u64::from(xid);
        if near > self.xmax + HALF {
            near.saturating_sub(1 << 32)
        } else if near + HALF < self.xmax {
            near + (1 << 32)
        } else {
            near
        }
    }

    /// A transaction that has ended is seen.
    pub(crate) fn shows(&self, xid: u32) -> bool {
        let xid = self.whole(xid);
        xid < self.xmin || (xid < self.xmax && !self.running.contains(&xid))
    }
}

/// A piece of a walk.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) binding: usize,
    pub(crate) layout: Arc<Layout>,
    rows: Rows,
    /// Made when the first change is looked for: mostly there is none.
    looked: Option<Looked>,
    /// The table ends behind it.
    pub(crate) is_end: bool,
    /// All that it shows has ended before this position of the log.
    pub(crate) high: Lsn,
}

/// Its rows by their key, and those that were removed.
#[derive(Debug)]
struct Looked {
    by_key: HashMap<Key, usize>,
    is_gone: Vec<bool>,
}

impl Chunk {
    /// Rows in the walk's order, each with a key.
    pub(crate) fn new(binding: usize, layout: Arc<Layout>, rows: Rows, is_end: bool, high: Lsn) -> Result<Chunk> {
        rows.iter().try_for_each(|row| layout.check_key(row))?;
        Ok(Chunk { binding, layout, rows, looked: None, is_end, high })
    }

    /// Rows it was read with.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Key of its last row; none: there was none.
    pub(crate) fn last(&self) -> Option<Key> {
        self.rows.last().map(|row| self.layout.key_of(row))
    }

    /// The rows that nobody changed since.
    pub(crate) fn rest(&self) -> impl Iterator<Item = Row<'_>> {
        let is_gone = |place: usize| self.looked.as_ref().is_some_and(|looked| looked.is_gone[place]);
        self.rows.iter().enumerate().filter(move |(place, _)| !is_gone(*place)).map(|(_, row)| row)
    }

    /// Removes all rows.
    fn take_all(&mut self) {
        self.looked = Some(Looked { by_key: HashMap::new(), is_gone: vec![true; self.rows.len()] });
    }

    /// Removes the row of a key, if it is still there.
    fn take(&mut self, key: &Key) -> Option<Row<'_>> {
        let (rows, layout) = (&self.rows, &self.layout);
        let looked = self.looked.get_or_insert_with(|| {
            let by_key = rows.iter().enumerate().map(|(place, row)| (layout.key_of(row), place)).collect();
            Looked { by_key, is_gone: vec![false; rows.len()] }
        });
        let place = looked.by_key.remove(key)?;
        looked.is_gone[place] = true;
        rows.row(place)
    }
}

/// What becomes of a change whose key was looked for in the chunks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Nothing to do.
    Nothing,
    /// The row had large values that the change does not send: they were filled in.
    Filled,
    /// The row does not have them under these names: the chunk is dropped, with those behind it, to be read again.
    Dropped,
}

/// So many chunks are kept at most: the log is waited for only where it is further behind than these.
const CHUNKS_MAX: usize = 3;

/// The chunks in hand, in the walk's order, and who was emitted since the last one was read.
#[derive(Debug, Default)]
pub(crate) struct Window {
    emitted: Vec<u32>,
    chunks: VecDeque<Chunk>,
}

impl Window {
    /// A transaction was emitted.
    pub(crate) fn emitted(&mut self, xid: u32) {
        self.emitted.push(xid);
    }

    /// So many are remembered; a look at any snapshot makes it forget those that it shows, as later ones show them too.
    pub(crate) fn remembered(&self) -> usize {
        self.emitted.len()
    }

    /// Whether a chunk may be read at this snapshot: it shows all that was emitted.
    pub(crate) fn judge(&mut self, snapshot: &Snapshot) -> bool {
        self.emitted.retain(|xid| !snapshot.shows(*xid));
        self.emitted.is_empty()
    }

    /// Nobody walks any more.
    pub(crate) fn forget(&mut self) {
        self.emitted = Vec::new();
    }

    /// The chunk that is emitted next.
    pub(crate) fn first(&self) -> Option<&Chunk> {
        self.chunks.front()
    }

    /// How far the walk of a table has been read.
    pub(crate) fn last_of(&self, binding: usize) -> Option<&Chunk> {
        self.chunks.iter().rfind(|chunk| chunk.binding == binding)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.chunks.len() < CHUNKS_MAX
    }

    /// One behind those that are kept.
    pub(crate) fn keep(&mut self, chunk: Chunk) {
        self.chunks.push_back(chunk);
    }

    /// Whether a change of this binding is to be looked for.
    pub(crate) fn holds(&self, binding: usize) -> bool {
        self.last_of(binding).is_some()
    }

    /// The row of this key is about to be emitted as it is in a transaction (or that it is gone), with large values left out where they did
    /// not change. Those are nowhere yet if the row is one that the walk is about to bring: they are taken from it.
    pub(crate) fn changed(&mut self, binding: usize, key: &Key, change: Option<(&Layout, &mut Tuple)>) -> Met {
        for (at, chunk) in self.chunks.iter_mut().enumerate().filter(|(_, chunk)| chunk.binding == binding) {
            let chunk_layout = Arc::clone(&chunk.layout);
            let Some(row) = chunk.take(key) else { continue };
            let Some((layout, change)) = change.filter(|(_, change)| change.is_partial()) else { return Met::Nothing };
            for place in change.unchanged() {
                let column = layout.columns.get(place);
                match column.and_then(|column| chunk_layout.place(&column.name)).and_then(|place| row.get(place)) {
                    Some(found) => change.set(place, found),
                    None => {
                        // The walk goes on from where this one began.
                        self.chunks.truncate(at);
                        return Met::Dropped;
                    }
                }
            }
            return Met::Filled;
        }
        Met::Nothing
    }

    /// The table of this binding was emptied. Rows that the chunks have and that came behind that are in the log too.
    pub(crate) fn emptied(&mut self, binding: usize) {
        self.chunks.iter_mut().filter(|chunk| chunk.binding == binding).for_each(Chunk::take_all);
    }

    /// The first chunk, if the log is past it.
    pub(crate) fn take_due(&mut self, position: Lsn) -> Option<Chunk> {
        self.chunks.pop_front_if(|chunk| chunk.high <= position)
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
