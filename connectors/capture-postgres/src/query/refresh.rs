//! A full refresh: all rows of a table or view, between a beginning and an end, so that whoever keeps them can let go of those that did not
//! come.
//!
//! All of it is read in one snapshot. In chunks of snapshots of their own, a row whose key changes meanwhile could be missed in the one and in
//! the other, and would be let go of though it is there all the time. So nothing of a refresh that breaks is of use to the next: it begins
//! again, and says so. Checkpoints in between only bound what is under way.

use std::sync::Arc;

use longshore_sdk::Result;
use longshore_sdk::capture::Checkpoint;

use super::session::{Followed, Session, unless_stopped};
use crate::copy::{CHUNK_BYTES, Reading};
use crate::layout::{Found, Op};
use crate::rows::Rows;

impl Session {
    /// Reads all of it; false: a stop was asked for.
    pub(super) async fn refresh(&mut self, followed: &mut Followed) -> Result<bool> {
        let source = self.begin(followed, "").await?;
        let table = &source.table;
        let (binding, found, doing) = (followed.binding, Found::in_table(), followed.doing());
        let layout = Arc::new(table.layout()?);
        let Session { client, stop, out, pace, .. } = self;
        let width = table.columns.len();
        let (wires, rows_max) = (table.wires(), pace.chunk_rows);
        let reading = Reading { client, doing: &doing, layout: &layout, width, wires, rows_max };
        let select = format!("SELECT {} FROM {}", table.sql_columns(), table.sql_from());
        let Some(mut lines) = unless_stopped(stop, reading.open(&select)).await? else { return Ok(false) };
        let mut count = 0;
        loop {
            let mut unread = Rows::new(width).unread();
            let taken = unless_stopped(stop, lines.take(&mut unread, CHUNK_BYTES, pace.chunk_rows)).await?;
            let Some(is_end) = taken else { return Ok(false) };
            let rows = reading.texts(unread)?;
            if count == 0 {
                // Said when the server has begun to answer, so that a question that fails begins nothing.
                out.emitter.backfill_begin(binding).await?;
            }
            for row in rows.iter() {
                out.row(&mut followed.outlet, &layout, (Op::Create, &found), row).await?;
            }
            count += rows.len() as u64;
            if is_end {
                break;
            }
            out.emitter.checkpoint(Checkpoint::new()).await?;
            out.tell_progress(binding, count, table.about_rows).await?;
        }
        drop(lines);
        self.end(followed).await?;
        self.out.emitter.backfill_complete(binding).await?;
        self.out.emitter.checkpoint(Checkpoint::new()).await?;
        tracing::debug!(table = %followed.resource.table, rows = count, "refreshed");
        Ok(true)
    }
}
