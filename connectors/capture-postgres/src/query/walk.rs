//! Asks a table for what is new by its cursor: from the last mark, less the look-back, to the greatest value there was when the session began;
//! in the order of cursor and key, a chunk in each short transaction, with a checkpoint behind it. [`super::cursor`] says why nothing is missed.

use std::sync::Arc;

use longshore_postgres::failed;
use longshore_sdk::capture::Checkpoint;
use longshore_sdk::{Error, Result};

use super::NAME;
use super::cursor::Cursor;
use super::seen::{Print, Seen};
use super::session::{Followed, Session, changed, unless_stopped};
use super::source::Source;
use super::state::{Part, Walk};
use crate::binary::Wire;
use crate::copy::{self, BY_INDEX, Filled, Reading};
use crate::layout::{Found, Layout, Op};
use crate::open;
use crate::rows::{Cell, Row, Rows};

/// Parts of a table that are not kept as rows with versions: foreign ones, and those of other access methods than heap, which has number 2.
const OTHER_KINDS: &str = "SELECT FROM pg_class c WHERE c.oid IN (SELECT $1::oid UNION SELECT relid FROM pg_partition_tree($1::oid)) \
    AND c.relkind <> 'p' AND c.relam <> 2";

/// What there was when the session began.
struct Noted {
    part: Part,
    /// None: there is no row.
    ahead: Option<Walk>,
}

/// Some rows of a walk.
struct Chunk {
    source: Source,
    layout: Arc<Layout>,
    rows: Rows,
    is_end: bool,
}

impl Session {
    /// Reads what is new; false: a stop was asked for.
    pub(super) async fn walk(&mut self, followed: &mut Followed) -> Result<bool> {
        let stop = self.stop.clone();
        let Some(noted) = unless_stopped(&stop, self.note(followed)).await? else { return Ok(false) };
        let Noted { mut part, ahead } = noted;
        // One that broke comes first, under the mark that it noted itself.
        for walk in [part.walk.take(), ahead].into_iter().flatten() {
            part.walk = Some(walk);
            while part.walk.is_some() {
                let read = self.chunk(followed, &part);
                let Some(chunk) = unless_stopped(&stop, read).await? else { return Ok(false) };
                self.emit(followed, &mut part, &chunk).await?;
                self.save(followed, &part).await?;
                if self.out.emitter.stop_requested() {
                    return Ok(false);
                }
            }
        }
        self.save(followed, &part).await?;
        Ok(true)
    }

    /// Looks what there is, before anything is read.
    async fn note(&mut self, followed: &Followed) -> Result<Noted> {
        let source = self.begin(followed, "").await?;
        let Some(cursor) = &source.cursor else { return Err(no_cursor(&source)) };
        self.check_same(followed, &source)?;
        self.check_null(&source).await?;
        let beginning = || Part::beginning(source.table.oid, source.order());
        let mut part = match &followed.part {
            Some(part) if part.order == source.order() => part.clone(),
            Some(part) => {
                tracing::warn!(before = ?part.order, now = ?source.order(), "the table is read from its beginning, as cursor or key are others");
                beginning()
            }
            None => beginning(),
        };
        let from = source.table.sql_from();
        let marks = self.client.query_one(&cursor.select_marks(&from), &[]).await;
        let marks = marks.map_err(|error| failed(&followed.doing(), &error))?;
        let (top, mark): (Option<String>, Option<String>) = (marks.get(0), marks.get(1));
        if let Some(before) = &part.mark
            && self.is_behind(cursor, top.as_deref(), before, followed).await?
        {
            tracing::warn!(cursor = %cursor.column, %before, now = ?top, "the table is read from its beginning, as the cursor went back");
            part = beginning();
        }
        let ahead = match top {
            Some(top) => self.ahead(&source, cursor, &part, top, mark.unwrap_or_else(|| cursor.least())).await?,
            None => None,
        };
        self.end(followed).await?;
        Ok(Noted { part, ahead })
    }

    /// The walk that is due; none: there is nothing that the last one has not read.
    async fn ahead(
        &self,
        source: &Source,
        cursor: &Cursor,
        part: &Part,
        top: String,
        mark: String,
    ) -> Result<Option<Walk>> {
        let floor = cursor.floor(&mark);
        let before = part.mark.as_ref().map(|mark| cursor.floor(mark));
        if let (Some(before), Some(digest), None) = (&before, &part.digest, &part.walk)
            && self.digest(source, cursor, before, "true").await?.as_ref() == Some(digest)
        {
            return Ok(None);
        }
        // A mark that went back brings rows that this walk does not read: then nothing is known of all.
        let is_ahead = before.map_or_else(|| "true".to_owned(), |before| format!("{floor} >= {before}"));
        let digest = self.digest(source, cursor, &floor, &is_ahead).await?;
        Ok(Some(Walk { mark, top, after: None, seen: Seen::default(), digest }))
    }

    /// Which versions of rows there are from a value on: where each lies and who wrote it, so that also a row that changed and changed back is
    /// another one. None: `condition` does not hold, or it is nothing that has versions: a view, or a part that is kept in another way.
    async fn digest(&self, source: &Source, cursor: &Cursor, floor: &str, condition: &str) -> Result<Option<String>> {
        if source.table.kind == "v" {
            return Ok(None);
        }
        let (from, column, oid) = (source.table.sql_from(), cursor.sql(), source.table.oid);
        let ask = format!(
            "SELECT CASE WHEN {condition} AND NOT EXISTS ({OTHER_KINDS}) THEN \
             (SELECT concat(count(*), ' ', sum(CAST(hashtextextended(concat(t.tableoid, t.ctid, ' ', t.xmin), 0) AS numeric))) \
              FROM {from} t WHERE t.{column} >= {floor}) END"
        );
        let asked = self.client.query_one(&ask, &[&oid]).await;
        asked.map(|row| row.get(0)).map_err(|error| failed(&source.table.looking(), &error))
    }

    /// Rows that hold NULL where it orders nothing, and tells nothing apart, would be passed over in silence.
    async fn check_null(&self, source: &Source) -> Result<()> {
        let is_null: Vec<String> = source.nullable().iter().map(|name| format!("{name} IS NULL")).collect();
        if is_null.is_empty() {
            return Ok(());
        }
        let from = source.table.sql_from();
        let ask = format!("SELECT EXISTS (SELECT FROM {from} WHERE {})", is_null.join(" OR "));
        let asked = self.client.query_one(&ask, &[]).await;
        let has_null: bool = asked.map_err(|error| failed(&source.table.looking(), &error))?.get(0);
        if !has_null {
            return Ok(());
        }
        let message = format!(
            "{NAME} looks at {from}: expected values in all rows of the columns it is ordered by, {}; got NULL in some",
            source.nullable().join(", ")
        );
        Err(Error::data("postgres.cursor.null", message)
            .at_pointer("/cursor")
            .suggest("fill them in, or capture a view that does: CREATE VIEW … AS SELECT …, coalesce(…) AS …"))
    }

    /// No row is left where rows were, or may still come: others may have taken their place below.
    async fn is_behind(&self, cursor: &Cursor, top: Option<&str>, mark: &str, followed: &Followed) -> Result<bool> {
        let Some(top) = top else { return Ok(true) };
        let ask = format!("SELECT {} < {}", cursor.value(top), cursor.floor(mark));
        let asked = self.client.query_one(&ask, &[]).await;
        asked.map(|row| row.get(0)).map_err(|error| failed(&followed.doing(), &error))
    }

    /// Reads the next rows of the walk that is under way.
    async fn chunk(&mut self, followed: &mut Followed, part: &Part) -> Result<Chunk> {
        let by_index = format!("{BY_INDEX}; ");
        let source = self.begin(followed, &by_index).await?;
        let (Some(cursor), Some(walk)) = (&source.cursor, &part.walk) else { return Err(no_cursor(&source)) };
        self.check_same(followed, &source)?;
        if source.order() != part.order {
            let (expected, got) = (part.order.join(", "), source.order().join(", "));
            return Err(changed(&source, &format!("the order of the rows to be by [{expected}]"), &format!("[{got}]")));
        }
        let table = &source.table;
        let layout = Arc::new(table.layout()?);
        let doing = followed.doing();
        // One value more: whether the next walk reads the row again.
        let width = table.columns.len() + 1;
        let wires = table.wires().map(|wires| [wires, vec![Wire::Boolean]].concat());
        let (client, rows_max) = (&self.client, self.pace.chunk_rows);
        let reading = Reading { client, doing: &doing, layout: &layout, width, wires, rows_max };
        let select = |after: Option<&[String]>, limit| select(&source, cursor, part, walk, after, limit);
        let place_of = |row: Row<'_>| place_of(&layout, cursor, row);
        let Filled { rows, is_end, is_left } =
            copy::fill(&reading, &mut followed.stride, walk.after.clone(), select, place_of).await?;
        if is_left {
            self.client = open::connect(&self.endpoint).await?;
        } else {
            self.end(followed).await?;
        }
        Ok(Chunk { layout, rows, is_end, source })
    }

    /// Emits those of them that are new or have changed, and moves the walk behind them.
    async fn emit(&mut self, followed: &mut Followed, part: &mut Part, chunk: &Chunk) -> Result<()> {
        let (Some(cursor), Some(walk)) = (&chunk.source.cursor, &mut part.walk) else { return Ok(()) };
        let (op, found) = match part.mark {
            None => (Op::Create, Found::in_table()),
            Some(_) => (Op::Update, Found::by_query()),
        };
        let again = chunk.source.table.columns.len();
        for row in chunk.rows.iter() {
            let print = Print::of(&chunk.layout, row);
            // A walk comes by each place once, so what it has read itself says nothing of this row.
            if !part.seen.has(print) {
                self.out.row(&mut followed.outlet, &chunk.layout, (op, &found), row).await?;
                part.rows += 1;
            }
            if row.get(again) == Some(Cell::Text("t")) {
                walk.seen.add(print, self.pace.seen_rows);
            }
        }
        if let Some(last) = chunk.rows.last() {
            walk.after = Some(place_of(&chunk.layout, cursor, last));
        }
        if chunk.is_end
            && let Some(walk) = part.walk.take()
        {
            part.mark = Some(walk.mark);
            part.seen = walk.seen;
            part.digest = walk.digest;
        }
        self.out.tell_progress(followed.binding, part.rows, chunk.source.table.about_rows).await
    }

    /// A checkpoint, if there is anything to say: a session that found nothing writes nothing.
    async fn save(&mut self, followed: &mut Followed, part: &Part) -> Result<()> {
        if followed.part.as_ref() == Some(part) {
            return Ok(());
        }
        self.out.emitter.checkpoint(Checkpoint::new().binding(followed.binding, part)).await?;
        followed.part = Some(part.clone());
        Ok(())
    }
}

/// Rows behind a place, in the order of cursor and key.
fn select(
    source: &Source,
    cursor: &Cursor,
    part: &Part,
    walk: &Walk,
    after: Option<&[String]>,
    rows_max: usize,
) -> String {
    let Source { table, .. } = source;
    let column = cursor.sql();
    let order = [&cursor.column].into_iter().chain(&table.key).map(|name| table.sql_column(name));
    let order = order.collect::<Vec<_>>().join(", ");
    let behind = match (after, &part.mark) {
        (Some(after), _) => format!("({order}) > ({}) AND ", place(source, cursor, after).join(", ")),
        (None, Some(mark)) => format!("{column} >= {} AND ", cursor.floor(mark)),
        (None, None) => String::new(),
    };
    format!(
        "SELECT {}, {column} >= {} FROM {} WHERE {behind}{column} <= {} ORDER BY {order} LIMIT {rows_max}",
        table.sql_columns(),
        cursor.floor(&walk.mark),
        table.sql_from(),
        cursor.value(&walk.top)
    )
}

/// A place as SQL has it.
fn place(source: &Source, cursor: &Cursor, values: &[String]) -> Vec<String> {
    let Some((first, key)) = values.split_first() else { return Vec::new() };
    let of_key = source.table.key.iter().zip(key).map(|(name, value)| match source.table.column(name) {
        Some(column) => copy::typed(value, &column.sql),
        None => copy::literal(value),
    });
    [cursor.value(first)].into_iter().chain(of_key).collect()
}

/// Where a row stands: the values of cursor and key.
fn place_of(layout: &Layout, cursor: &Cursor, row: Row<'_>) -> Vec<String> {
    let value = match layout.place(&cursor.column).and_then(|place| row.get(place)) {
        Some(Cell::Text(text)) => text.to_owned(),
        Some(Cell::Null | Cell::Unchanged) | None => String::new(),
    };
    [value].into_iter().chain(layout.key_of(row)).collect()
}

fn no_cursor(source: &Source) -> Error {
    let message = format!("{NAME} reads rows of {}: expected a cursor, got none", source.table.sql_name());
    Error::internal("postgres.cursor", message)
}
