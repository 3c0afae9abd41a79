//! Reads the log: for each key in it, the row as it is now.
//!
//! A piece is read in one transaction. What has been in the log when a piece begins ends with a checkpoint that is whole; where it is more
//! than one transaction should read, the checkpoints between are partial, and the runtime commits all of them together.

use std::collections::HashSet;

use longshore_sdk::Result;

use crate::gather::Gather;
use crate::log;
use crate::session::{Read, Session};
use crate::state::Stored;

/// Reads what is there, or a piece of it.
pub(crate) fn piece(session: &mut Session, gather: &mut Gather) -> Result<Read> {
    session.begin_read()?;
    let end = log::end(&session.connection, &session.names)?.filter(|end| end.seq >= session.cursor.seq);
    let Some(end) = end else {
        let expected = format!("entry {}, which was read last", session.cursor.seq);
        return Err(session.whose.log("sqlite.log.moved", &expected, "a log that ends before"));
    };
    let most = session.piece.log_entries;
    let to = *session.drain_to.get_or_insert(end.seq);
    let Session { connection, names, whose, watched, cursor, .. } = &mut *session;
    let from = *cursor;
    let mut read: HashSet<(i64, Vec<Stored>)> = HashSet::new();
    let mut entries = 0;
    log::entries(connection, names, whose, from, to, |entry| {
        *cursor = entry.at;
        entries += 1;
        let of = watched.iter_mut().find(|watched| watched.part.watch == entry.watch);
        // Tables that are not captured any more have entries too, until those are cleaned.
        if let Some(watched) = of {
            let mut key = entry.key;
            key.truncate(watched.plan.key.len());
            if read.insert((entry.watch, key.clone())) {
                watched.read_again(connection, &key, gather)?;
            }
        }
        Ok(entries < most && !gather.is_full())
    })?;
    session.end_read()?;
    session.is_unsaved |= session.cursor != from;
    let has_more = session.cursor.seq < to;
    if !has_more {
        session.drain_to = None;
    }
    Ok(Read { has_more, progress: None })
}
