//! A session: rows go into one transaction of the database, opened at the first of them, the fence first, and committed with the
//! checkpoint. Dropped in between, it leaves nothing.

use longshore_failpoints::{Plant, is_planted};
use longshore_sdk::materialize::{
    Backfill, Bound, Checkpoint, Fence, Load, Next, Row, Rows, StoreBatch, Stored, Stores, TransactionalSession,
};
use longshore_sdk::{Error, Result, blocking};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Rows as RowsFound, Statement, ToSql};

use crate::aside;
use crate::config::Resource;
use crate::convert::{Converter, Misfit, SqlValue};
use crate::database::failed;
use crate::identifier::{folded, quoted};
use crate::load::Lookup;
use crate::meta;
use crate::shape::{ColumnType, Shape};
use crate::table::{self, Statements};

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    fence: Fence,
    tables: Vec<Table>,
    /// A transaction is open.
    writing: bool,
}

/// The table of a binding.
#[derive(Debug)]
struct Table {
    name: String,
    /// Where rows are stored and looked up: the table, or one beside it.
    place: String,
    shape: Shape,
    converter: Converter,
    lookup: Lookup,
    statements: Statements,
    /// What is stored aside takes its place with the open transaction.
    completes: bool,
}

impl Session {
    /// The tables are as Apply left them; the fence is raised already.
    pub(crate) fn new(connection: Connection, fence: Fence, bindings: &[Bound<Resource>]) -> Result<Self> {
        let table = |(index, binding)| Table::new(&connection, binding).map_err(|error| error.at_binding(index));
        let tables = bindings.iter().enumerate().map(table).collect::<Result<_>>()?;
        Ok(Self { connection, fence, tables, writing: false })
    }

    fn begin(&mut self) -> Result<()> {
        if self.writing {
            return Ok(());
        }
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| failed("taking the write lock", error))?;
        self.writing = true;
        meta::hold(&self.connection, &self.fence)
    }

    fn write(&mut self, batch: &StoreBatch, stores: &mut Stores<'_>) -> Result<()> {
        self.begin()?;
        let table = &self.tables[batch.binding()];
        table.write(&self.connection, batch, stores).map_err(|error| error.at_binding(batch.binding()))
    }

    /// Does something to a table as a whole.
    fn alter(&mut self, binding: usize, alter: impl FnOnce(&mut Table, &Connection) -> Result<()>) -> Result<()> {
        self.begin()?;
        alter(&mut self.tables[binding], &self.connection).map_err(|error| error.at_binding(binding))
    }

    fn complete(&mut self) -> Result<()> {
        for (binding, table) in self.tables.iter_mut().enumerate() {
            table.complete(&self.connection).map_err(|error| error.at_binding(binding))?;
        }
        Ok(())
    }

    fn finish(&mut self, transaction: u64, checkpoint: &Checkpoint) -> Result<()> {
        self.begin()?;
        meta::advance(&self.connection, &self.fence, transaction, checkpoint.as_bytes())?;
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.connection.execute_batch("COMMIT").map_err(|error| failed("committing", error))?;
        self.writing = false;
        Ok(())
    }
}

impl TransactionalSession for Session {
    /// No transaction is open: what was committed is what there is, and whoever came after us has raised the fence before it wrote.
    async fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> Result<()> {
        let table = &self.tables[load.binding()];
        let found = blocking(|| table.lookup.rows(&self.connection, &table.converter, &load))
            .map_err(|error| error.at_binding(load.binding()))?;
        let mut found = found.into_iter().peekable();
        for (i, key) in load.keys().enumerate() {
            if let Some((_, document)) = found.next_if(|(of, _)| *of == i) {
                rows.found(key, &document).await?;
            }
        }
        Ok(())
    }

    async fn truncate(&mut self, binding: usize) -> Result<()> {
        blocking(|| self.alter(binding, |table, connection| table.truncate(connection)))
    }

    async fn backfill(&mut self, backfill: Backfill) -> Result<()> {
        blocking(|| self.alter(backfill.binding, |table, connection| table.backfill(connection, backfill)))
    }

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        loop {
            match stores.next().await? {
                Next::Batch(batch) => blocking(|| self.write(&batch, stores))?,
                Next::End(stored) => {
                    blocking(|| self.complete())?;
                    if is_planted(Plant::RowsBeforeCheckpoint) {
                        self.end()?;
                    }
                    return Ok(stored);
                }
            }
        }
    }

    async fn commit(&mut self, stored: Stored, checkpoint: Checkpoint) -> Result<()> {
        blocking(|| self.finish(stored.transaction(), &checkpoint))
    }
}

impl Table {
    fn new(connection: &Connection, binding: &Bound<Resource>) -> Result<Self> {
        let name = binding.resource.table.clone();
        let shape = Shape::of(&binding.collection, &binding.selection, binding.delta_updates)?;
        let registered = meta::registered(connection, &name)?;
        if registered.is_none_or(|registered| registered.state_key != binding.state_key) {
            return Err(changed(&name, binding.state_key.as_str()));
        }
        let place = if shape.delta { None } else { aside::find(connection, &name)? };
        let place = place.unwrap_or_else(|| name.clone());
        Self::at(connection, name, place, shape)
    }

    /// Rows are stored in this place from now on.
    fn at(connection: &Connection, name: String, place: String, shape: Shape) -> Result<Self> {
        let existing = table::columns(connection, &place)?.unwrap_or_default();
        let type_of = |name: &str| {
            existing.iter().find(|column| folded(&column.name) == folded(name)).and_then(|column| column.column_type)
        };
        let types: Option<Vec<ColumnType>> = shape.columns.iter().map(|column| type_of(&column.name)).collect();
        let types = types.ok_or_else(|| changed(&name, "its binding"))?;
        let statements = Statements::new(&place, &shape);
        let lookup = Lookup::new(&place, statements.select.clone(), &shape);
        let converter = Converter::new(&shape, &types);
        Ok(Self { name, place, shape, converter, lookup, statements, completes: false })
    }

    fn move_to(&mut self, connection: &Connection, place: String) -> Result<()> {
        *self = Self::at(connection, self.name.clone(), place, self.shape.clone())?;
        Ok(())
    }

    fn truncate(&self, connection: &Connection) -> Result<()> {
        table::run(connection, &self.name, &format!("DELETE FROM {}", quoted(&self.place)))
    }

    fn backfill(&mut self, connection: &Connection, Backfill { begins, completes, .. }: Backfill) -> Result<()> {
        if begins {
            let aside = aside::begin(connection, &self.name, &self.shape)?;
            self.move_to(connection, aside)?;
        }
        self.completes = completes;
        Ok(())
    }

    /// Behind the last row of a transaction.
    fn complete(&mut self, connection: &Connection) -> Result<()> {
        if !std::mem::take(&mut self.completes) {
            return Ok(());
        }
        if self.place == self.name {
            let table = &self.name;
            tracing::warn!(%table, "a full refresh is complete whose beginning this table never saw: rows that are gone at the source may have stayed");
            return Ok(());
        }
        aside::complete(connection, &self.name, &self.place, &self.shape)?;
        self.move_to(connection, self.name.clone())
    }

    /// What a column cannot hold is rejected, and the rest of the transaction is only looked at: it will be rolled back.
    fn write(&self, connection: &Connection, batch: &StoreBatch, stores: &mut Stores<'_>) -> Result<()> {
        let doing = |error| failed(&format!("writing to table {}", self.name), error);
        let mut upsert = connection.prepare_cached(&self.statements.upsert).map_err(doing)?;
        let (mut found, mut values) = (Vec::new(), Vec::new());
        for row in batch.rows() {
            let deletes = row.key.filter(|_| row.delete);
            let converted = match deletes {
                Some(key) => self.converter.key(key, &mut values),
                None => self.converter.row(row.document, &mut found, &mut values),
            };
            match converted {
                Err(misfit) => stores.reject(batch.binding(), &row, self.refused(&row, &misfit))?,
                Ok(()) if stores.rejects() => {}
                Ok(()) if deletes.is_some() => {
                    let mut delete = connection.prepare_cached(&self.statements.delete).map_err(doing)?;
                    execute(&mut delete, &values).map_err(doing)?;
                }
                Ok(()) => execute(&mut upsert, &values).map_err(doing)?,
            }
        }
        Ok(())
    }

    /// Names the document by its key, where it has one.
    fn refused(&self, row: &Row<'_>, misfit: &Misfit) -> Error {
        let of = row.key.map_or_else(String::new, |key| {
            let key = String::from_utf8_lossy(key);
            format!(" in the document with key {}", &key[..key.floor_char_boundary(200)])
        });
        Error::data("sqlite.value", format!("table {:?}, {misfit}{of}", self.name))
            .suggest("correct the document at the source, or declare a wider type in the collection's schema")
    }
}

fn changed(name: &str, of: &str) -> Error {
    Error::unavailable(
        "sqlite.table.changed",
        format!("table {name:?}: expected it as Apply left it for {of}, got another or none"),
    )
    .suggest("run again: tables are made at the start of a run")
}

fn execute(statement: &mut Statement<'_>, values: &[SqlValue<'_>]) -> rusqlite::Result<()> {
    bind(statement, values)?;
    statement.raw_execute().map(drop)
}

/// The rows that a statement finds with these values.
pub(crate) fn execute_query<'s>(
    statement: &'s mut Statement<'_>,
    values: &[SqlValue<'_>],
) -> rusqlite::Result<RowsFound<'s>> {
    bind(statement, values)?;
    Ok(statement.raw_query())
}

fn bind(statement: &mut Statement<'_>, values: &[SqlValue<'_>]) -> rusqlite::Result<()> {
    values.iter().enumerate().try_for_each(|(place, value)| statement.raw_bind_parameter(place + 1, value))
}

impl ToSql for SqlValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Integer(integer) => ValueRef::Integer(*integer),
            SqlValue::Real(real) => ValueRef::Real(*real),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
