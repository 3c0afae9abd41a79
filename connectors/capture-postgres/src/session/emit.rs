//! What a session emits: changes as they come, and what is left of a chunk.

use std::sync::Arc;
use std::time::Instant;

use longshore_sdk::{Progress, ProgressPart, Result};

use super::{Followed, Mark, PROGRESS_INTERVAL, QUIET_INTERVAL, Session};
use crate::config::Resource;
use crate::layout::{Layout, Op};
use crate::outlet::Document;
use crate::rows;
use crate::server;
use crate::stream::Change;
use crate::walk;
use crate::window::{Chunk, Met};

/// A document to be.
struct Row<'r> {
    layout: &'r Arc<Layout>,
    op: Op,
    cells: rows::Row<'r>,
    keys_only: bool,
}

impl Session {
    pub(super) async fn change(&mut self, followed: &Followed, change: Result<Change>) -> Result<()> {
        let change = change.map_err(|error| error.at_binding(followed.binding))?;
        self.changes(followed, [change].into_iter()).await
    }

    pub(super) async fn changes(&mut self, followed: &Followed, changes: impl Iterator<Item = Change>) -> Result<()> {
        let Followed { binding, layout } = followed;
        for mut change in changes {
            if self.window.holds(*binding) {
                let key = layout.key_of(change.row.row());
                // A row that moved left its large values where it was: what the chunk has under the new key is no older than the change, and
                // is not there at all in most cases.
                let fill = (change.op != Op::Delete && !change.has_moved).then_some((&**layout, &mut change.row));
                if self.window.changed(*binding, &key, fill) == Met::Dropped {
                    tracing::debug!(binding, "a chunk is read again, as columns changed");
                    self.may_walk = true;
                }
            }
            // Of a row that a walk is still to bring, or leaves out, nobody may have the large values yet.
            let watched = &self.opened.watched[*binding];
            let may_be_new = !watched.part.walked || watched.resource.leaves_rows();
            if (change.has_moved || may_be_new) && change.row.is_partial() {
                self.fill_from_table(*binding, layout, &mut change).await?;
            }
            let row = Row { layout, op: change.op, cells: change.row.row(), keys_only: change.keys_only };
            self.emit(*binding, row).await?;
        }
        if self.bytes >= self.pace.split_bytes {
            self.checkpoint(Mark::Partial).await?;
        }
        Ok(())
    }

    /// Takes the large values that a change leaves out from the row as it is by now. It may have changed since: then the log brings it again. It
    /// may be gone: then the log brings that.
    async fn fill_from_table(&mut self, binding: usize, layout: &Layout, change: &mut Change) -> Result<()> {
        let places = change.row.unchanged();
        let names: Vec<&str> = places.iter().map(|place| layout.columns[*place].name.as_str()).collect();
        let table = &self.opened.watched[binding].table;
        let Some(transaction) = &self.transaction else { return Ok(()) };
        let xid = transaction.begin.xid;
        let key = layout.key_of(change.row.row());
        if let Some(found) = walk::read_again(&self.opened.client, table, &key, &names, xid).await? {
            for (place, cell) in places.into_iter().zip(found.row().cells()) {
                change.row.set(place, cell);
            }
        }
        Ok(())
    }

    /// What is left of a chunk; the walk is behind it then.
    pub(super) async fn emit_chunk(&mut self, chunk: Chunk) -> Result<()> {
        for cells in chunk.rest() {
            let row = Row { layout: &chunk.layout, op: Op::Create, cells, keys_only: false };
            self.emit(chunk.binding, row).await?;
        }
        let watched = &mut self.opened.watched[chunk.binding];
        if chunk.is_end && watched.is_refresh {
            self.emitter.backfill_complete(chunk.binding).await?;
        }
        let part = &mut watched.part;
        part.key = watched.table.typed_key();
        part.rows += chunk.len() as u64;
        part.walked = chunk.is_end;
        if let Some(last) = chunk.last() {
            part.after = Some(last);
        }
        if chunk.is_end {
            part.after = None;
        }
        watched.is_unsaved = true;
        self.may_walk = true;
        Ok(())
    }

    /// How far the walk is, and how far all is behind the server, if it is time to say so again.
    pub(super) async fn tell(&mut self) -> Result<()> {
        let is_quiet = self.bytes == 0 && !self.is_behind && self.covered.is_empty();
        let interval = if is_quiet { QUIET_INTERVAL } else { PROGRESS_INTERVAL };
        if self.last_progress.is_some_and(|last| last.elapsed() < interval) {
            return Ok(());
        }
        self.last_progress = Some(Instant::now());
        let (end, now) = server::end_and_time(&self.opened.client).await?;
        self.behind.looked(end, now);
        let walked = self.opened.watched.iter().enumerate().find(|(_, watched)| !watched.part.walked);
        let (parts, doing) = match walked {
            None => (Vec::new(), "following changes".to_owned()),
            Some((binding, watched)) => {
                let rows = watched.part.rows;
                let total_rows = watched.table.about_rows.max(rows);
                let part = ProgressPart { binding, rows, bytes: 0, total_rows, total_bytes: 0 };
                let Resource { schema, table, .. } = &watched.resource;
                (vec![part], format!("reading rows of {schema}.{table}: {rows} of about {total_rows}"))
            }
        };
        self.emitter.progress(Progress { parts, doing, lag: self.behind.lag(now) }).await
    }

    async fn emit(&mut self, binding: usize, row: Row<'_>) -> Result<()> {
        let Row { layout, op, cells, keys_only } = row;
        let found = self.transaction.as_ref().map_or(&self.in_table, |transaction| &transaction.found);
        let document = Document { layout, op, found, cells, keys_only };
        let outlet = &mut self.opened.watched[binding].outlet;
        self.bytes += outlet.emit(&mut self.emitter, document, &mut self.scratch).await?;
        Ok(())
    }
}
