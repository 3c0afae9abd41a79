//! The walk over all rows of a table, a piece in each transaction: by row id, or by the primary key where there is none.
//!
//! It may lie behind or ahead of what changes meanwhile: the log is read all the while, and whoever reads a row later has its newer state.

use longshore_sdk::Result;
use rusqlite::{Connection, params_from_iter};

use crate::database::failed;
use crate::gather::{Event, Gather};
use crate::identifier::quoted;
use crate::plan::Plan;
use crate::session::{Read, Session};
use crate::state::Stored;
use crate::table::Rows;
use crate::watched::Watched;

/// Reads the next rows of the first table that is not through.
pub(crate) fn piece(session: &mut Session, gather: &mut Gather) -> Result<Read> {
    if session.watched.iter().all(|watched| watched.part.walked) {
        return Ok(Read { has_more: false, progress: None });
    }
    session.begin_read()?;
    let Session { connection, watched, totals, .. } = &mut *session;
    let mut progress = None;
    if let Some(watched) = watched.iter_mut().find(|watched| !watched.part.walked) {
        rows(watched, connection, gather)?;
        watched.is_unsaved = true;
        let (binding, rows) = (watched.bound.index, watched.part.rows);
        let total = match totals.get(&binding) {
            Some(total) => *total,
            None => *totals.entry(binding).or_insert(total_rows(connection, &watched.plan)?),
        };
        progress = Some(Event::Progress { binding, rows, total_rows: total.max(rows) });
    }
    session.end_read()?;
    let has_more = session.watched.iter().any(|watched| !watched.part.walked);
    Ok(Read { has_more, progress })
}

fn rows(watched: &mut Watched, connection: &Connection, gather: &mut Gather) -> Result<()> {
    let table = watched.plan.table.name.clone();
    let doing = |error| failed(&format!("reading rows of {table:?}"), error);
    let after = watched.part.after.take();
    let sql = watched.plan.walk_sql(after.is_none());
    let mut select = connection.prepare_cached(&sql).map_err(doing)?;
    let mut rows = select.query(params_from_iter(after.into_iter().flatten())).map_err(doing)?;
    let width = watched.plan.walk_width();
    while let Some(row) = rows.next().map_err(doing)? {
        let (writer, binding) = (&watched.writer, watched.bound.index);
        let written = gather.write(binding, &mut watched.shape, |shape, arena| writer.write(row, None, shape, arena));
        if let Err(error) = written {
            let key = writer.key(row).map_err(doing)?;
            return Err(watched.of_row(error, &key));
        }
        if writer.has_null_in_key(row).map_err(doing)? {
            watched.check_alone(connection, &writer.key(row).map_err(doing)?)?;
        }
        watched.part.rows += 1;
        if gather.is_full() {
            let place = (0..width).map(|column| row.get_ref(column).map(Stored::from));
            watched.part.after = Some(place.collect::<rusqlite::Result<_>>().map_err(doing)?);
            return Ok(());
        }
    }
    watched.part.walked = true;
    if watched.bound.is_refresh {
        gather.refreshed(watched.bound.index);
    }
    Ok(())
}

/// For people. Row ids are not counted but measured, which costs nothing and is too much where rows were deleted.
fn total_rows(connection: &Connection, plan: &Plan) -> Result<u64> {
    let table = quoted(&plan.table.name);
    let (sql, is_span) = match &plan.table.rows {
        Rows::Id { name, .. } => {
            (format!("SELECT (SELECT min({name}) FROM {table}), (SELECT max({name}) FROM {table})"), true)
        }
        Rows::Primary(_) => (format!("SELECT 1, count(*) FROM {table}"), false),
    };
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?));
    let ends = connection.query_row(&sql, [], read).map_err(|error| failed("counting rows", error))?;
    let (Some(first), Some(last)) = ends else { return Ok(0) };
    match is_span {
        true => Ok(last.abs_diff(first).saturating_add(1)),
        false => Ok(last.unsigned_abs()),
    }
}
