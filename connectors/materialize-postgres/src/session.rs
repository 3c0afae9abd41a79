//! A session: rows go into one transaction of the database, opened at the first of them, the fence first, and committed with the
//! checkpoint. Dropped in between, it leaves nothing: the server rolls back what a lost connection had open.
//!
//! Delta bindings are copied into their tables. Standard bindings are copied into a temporary table each, and merged from there at the end; into
//! a table that is empty when the transaction first writes to it, they are copied like the others, since each key comes once. So they are where
//! all rows of the table lie before a batch's first key, as in a walk over a table, or where keys only grow.

mod lot;
mod rows;

use std::sync::Arc;

use longshore_postgres::{Client, SqlType, quoted};
use longshore_sdk::materialize::{
    Backfill, Bound, Checkpoint, Fence, Load, Next, Row, Rows, StoreBatch, Stored, Stores, TransactionalSession,
};
use longshore_sdk::{Error, Result};

use self::lot::{Batches, InTransit, Lot};
use crate::aside;
use crate::behind::Behind;
use crate::config::{Deletes, Resource};
use crate::convert::{Converter, Misfit, field};
use crate::copy::{Copy, Keys, Lines, Sent, printed_otherwise};
use crate::deleted;
use crate::load::Lookup;
use crate::merge::{self, Merge};
use crate::meta;
use crate::shape::Shape;
use crate::table::{self, TableName};

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    client: Arc<Client>,
    fence: Fence,
    tables: Vec<Table>,
    /// A transaction is open.
    writing: bool,
    /// What the server has not taken yet.
    sent: Option<InTransit>,
    /// What goes when it has.
    gathered: Option<Lot>,
}

/// The table of a binding.
#[derive(Debug)]
struct Table {
    name: TableName,
    /// Where rows are stored and looked up: the table, or one beside it.
    place: TableName,
    /// How rows go from there.
    deletes: Deletes,
    shape: Shape,
    types: Vec<SqlType>,
    converter: Converter,
    lookup: Lookup,
    /// The temporary table.
    stage: String,
    direct: Option<Copy>,
    staged: Option<Copy>,
    way: Way,
    /// It had rows when somebody looked.
    is_filled: bool,
    /// Asks whether a row lies at or behind a key; none: the server orders keys otherwise than they come.
    is_behind: Option<Behind>,
    /// What is stored aside takes its place with the open transaction.
    completes: bool,
    /// Batches that are written as texts without trying.
    texts_left: usize,
}

/// How rows of the open transaction get into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// None has come yet.
    Unused,
    /// Copied into it.
    Direct,
    /// The same, behind all rows there were a moment ago.
    Behind,
    /// Copied beside it, and merged at the end.
    Staged { has_deletes: bool, has_parts: bool },
}

impl Way {
    /// Lines for one are lines for the other.
    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl Session {
    /// The tables are as Apply left them; the fence is raised already.
    pub(crate) async fn new(client: Client, fence: Fence, bindings: &[Bound<Resource>]) -> Result<Self> {
        let mut tables = Vec::with_capacity(bindings.len());
        for (index, binding) in bindings.iter().enumerate() {
            tables.push(Table::new(&client, index, binding).await.map_err(|error| error.at_binding(index))?);
        }
        Ok(Self { client: Arc::new(client), fence, tables, writing: false, sent: None, gathered: None })
    }

    async fn begin(&mut self) -> Result<()> {
        if self.writing {
            return Ok(());
        }
        self.client.run("beginning a transaction", meta::BEGIN).await?;
        self.writing = true;
        meta::hold(&self.client, &self.fence).await
    }

    /// The lines of a batch are made while the server takes those before. What comes meanwhile goes together.
    async fn write(&mut self, batch: StoreBatch, stores: &mut Stores<'_>) -> Result<()> {
        self.begin().await?;
        let binding = batch.binding();
        if self.gathered.as_ref().is_some_and(|lot| lot.batches.binding() != binding) {
            self.send(stores).await?;
        }
        let table = &mut self.tables[binding];
        let way = table.way;
        let made = (way != Way::Unused).then(|| table.plain_lines(&batch));
        let lines = match made {
            Some(Some(lines)) if !stores.rejects() => lines,
            made => {
                self.send(stores).await?;
                return self.put(Batches::of(batch), (made, way), stores).await;
            }
        };
        match &mut self.gathered {
            Some(lot) => lot.join(batch, lines),
            None => self.gathered = Some(Lot::new(batch, lines, way)),
        }
        let is_busy = self.sent.as_ref().is_some_and(|sent| !sent.sending.has_ended());
        let waits = is_busy && self.gathered.as_ref().is_some_and(|lot| !lot.is_enough());
        if waits { Ok(()) } else { self.send(stores).await }
    }

    /// Sends what was gathered.
    async fn send(&mut self, stores: &mut Stores<'_>) -> Result<()> {
        match self.gathered.take() {
            Some(Lot { batches, lines, way }) => self.put(batches, (Some(Some(lines)), way), stores).await,
            None => Ok(()),
        }
    }

    /// Sends batches, with what is known of their lines and the way they were made for.
    async fn put(
        &mut self,
        batches: Batches,
        (made, way): (Option<Option<Lines>>, Way),
        stores: &mut Stores<'_>,
    ) -> Result<()> {
        self.settle(stores).await?;
        let binding = batches.binding();
        let at_binding = |error: Error| error.at_binding(binding);
        let table = &mut self.tables[binding];
        if !stores.rejects() {
            table.pass_the_last(&self.client, &batches).await.map_err(at_binding)?;
        }
        let made = made.filter(|_| table.way.is_like(way));
        self.sent = table.write(&self.client, batches, made, stores).await.map_err(at_binding)?;
        Ok(())
    }

    /// Waits until the server has taken what was sent.
    async fn settle(&mut self, stores: &mut Stores<'_>) -> Result<()> {
        while let Some(sent) = self.sent.take() {
            let binding = sent.batches.binding();
            let table = &mut self.tables[binding];
            let again = table.settle(&self.client, sent, stores).await;
            self.sent = again.map_err(|error| error.at_binding(binding))?;
        }
        Ok(())
    }

    async fn merge(&mut self) -> Result<()> {
        for (index, table) in self.tables.iter_mut().enumerate() {
            table.merge(&self.client).await.map_err(|error| error.at_binding(index))?;
            table.complete(&self.client).await.map_err(|error| error.at_binding(index))?;
        }
        Ok(())
    }
}

impl TransactionalSession for Session {
    /// No transaction is open: what was committed is what there is, and whoever came after us has raised the fence before it wrote.
    async fn load(&mut self, load: Load, rows: &mut Rows<'_>) -> Result<()> {
        let table = &self.tables[load.binding()];
        let found = table.lookup.rows(&self.client, &table.converter, &load).await;
        let mut found = found.map_err(|error| error.at_binding(load.binding()))?.into_iter().peekable();
        for (i, key) in load.keys().enumerate() {
            if let Some((_, document)) = found.next_if(|(of, _)| *of == i) {
                rows.found(key, &document).await?;
            }
        }
        Ok(())
    }

    async fn truncate(&mut self, binding: usize) -> Result<()> {
        self.begin().await?;
        self.tables[binding].truncate(&self.client).await.map_err(|error| error.at_binding(binding))
    }

    async fn backfill(&mut self, backfill: Backfill) -> Result<()> {
        self.begin().await?;
        let table = &mut self.tables[backfill.binding];
        table.backfill(&self.client, backfill).await.map_err(|error| error.at_binding(backfill.binding))
    }

    async fn store(&mut self, stores: &mut Stores<'_>) -> Result<Stored> {
        loop {
            let next = stores.next().await;
            if next.is_err() && stores.rejects() {
                // What the server refuses of the last batches is told with the rest.
                self.send(stores).await?;
                self.settle(stores).await?;
            }
            match next? {
                Next::Batch(batch) => self.write(batch, stores).await?,
                Next::End(stored) => {
                    self.send(stores).await?;
                    self.settle(stores).await?;
                    if stores.rejects() {
                        // It fails, and says why.
                        stores.next().await?;
                    }
                    self.merge().await?;
                    return Ok(stored);
                }
            }
        }
    }

    async fn commit(&mut self, stored: Stored, checkpoint: Checkpoint) -> Result<()> {
        self.begin().await?;
        meta::advance(&self.client, &self.fence, stored.transaction(), checkpoint.as_bytes()).await?;
        self.client.run("committing", "COMMIT").await?;
        self.writing = false;
        Ok(())
    }
}

impl Table {
    async fn new(client: &Client, index: usize, binding: &Bound<Resource>) -> Result<Self> {
        let name = TableName::of(&binding.resource);
        let shape =
            Shape::of(&binding.collection, &binding.selection, binding.delta_updates, binding.resource.deletes)?;
        let registered = meta::registered(client, &name).await?;
        if registered.is_none_or(|registered| registered.state_key != binding.state_key) {
            return Err(changed(&name, binding.state_key.as_str()));
        }
        let place = match shape.delta {
            true => None,
            false => aside::find(client, &name).await?,
        };
        let place = place.unwrap_or_else(|| name.clone());
        Self::at(client, (name, place), shape, format!("longshore_stage_{index}")).await
    }

    /// Rows are stored in this place from now on.
    async fn at(client: &Client, (name, place): (TableName, TableName), shape: Shape, stage: String) -> Result<Self> {
        let existing = table::columns(client, &place).await?.unwrap_or_default();
        let type_of =
            |name: &str| existing.iter().find(|column| column.name == name).and_then(|column| column.sql_type);
        let types: Option<Vec<SqlType>> = shape.columns.iter().map(|column| type_of(&column.name)).collect();
        let types = types.ok_or_else(|| changed(&name, "its binding"))?;
        let deletes = if place == name { shape.deletes } else { Deletes::Hard };
        if deletes == Deletes::Soft && type_of(deleted::COLUMN).is_none() {
            return Err(changed(&name, "`deletes: soft`"));
        }
        let converter = Converter::new(&shape, &types);
        let lookup = Lookup::new(&place, &shape, &types, deletes);
        let is_behind = Behind::new(&place, &shape, &types, &existing);
        Ok(Self {
            name,
            place,
            deletes,
            shape,
            types,
            converter,
            lookup,
            stage,
            direct: None,
            staged: None,
            way: Way::Unused,
            is_filled: false,
            is_behind,
            completes: false,
            texts_left: 0,
        })
    }

    async fn move_to(&mut self, client: &Client, place: TableName) -> Result<()> {
        let drop = format!("DROP TABLE IF EXISTS pg_temp.{}", self.stage);
        client.run("dropping a temporary table", &drop).await?;
        *self = Self::at(client, (self.name.clone(), place), self.shape.clone(), self.stage.clone()).await?;
        Ok(())
    }

    fn is_aside(&self) -> bool {
        self.place != self.name
    }

    /// Whoever reads the table meanwhile goes on to see its rows, and nobody has to wait.
    async fn truncate(&mut self, client: &Client) -> Result<()> {
        let place = self.place.sql();
        let statement = match self.is_aside() {
            true => format!("TRUNCATE {place}"),
            false => self.deletes.remove(&place, None, "true"),
        };
        client.run(&format!("emptying table {}", self.name), &statement).await?;
        self.is_filled = false;
        Ok(())
    }

    async fn backfill(&mut self, client: &Client, Backfill { begins, completes, .. }: Backfill) -> Result<()> {
        if begins {
            let aside = aside::begin(client, &self.name, &self.shape).await?;
            self.move_to(client, aside).await?;
        }
        self.completes = completes;
        Ok(())
    }

    /// Behind the last row of a transaction.
    async fn complete(&mut self, client: &Client) -> Result<()> {
        if !std::mem::take(&mut self.completes) {
            return Ok(());
        }
        if !self.is_aside() {
            let table = &self.name;
            tracing::warn!(%table, "a full refresh is complete whose beginning this table never saw: rows that are gone at the source may have stayed");
            return Ok(());
        }
        aside::complete(client, &self.name, &self.place, &self.shape).await?;
        self.move_to(client, self.name.clone()).await
    }

    /// What a column cannot hold is rejected, and the rest of the transaction is only looked at: it will be rolled back. `made`: the lines
    /// in binary, or that there are none, if that is known already.
    async fn write(
        &mut self,
        client: &Arc<Client>,
        batches: Batches,
        made: Option<Option<Lines>>,
        stores: &mut Stores<'_>,
    ) -> Result<Option<InTransit>> {
        let plain = match made {
            Some(plain) => plain,
            None => {
                self.choose_way(client, batches.first_key()).await?;
                batches.lines(|batch| self.plain_lines(batch))
            }
        };
        let lines = match plain {
            Some(lines) => lines,
            None => {
                let rows: Vec<Row<'_>> = batches.rows().collect();
                self.lines(client, (batches.binding(), &rows), stores).await?
            }
        };
        if lines.is_empty() {
            return Ok(None);
        }
        let keys = if self.way == Way::Behind { Keys::ThoughtNew } else { Keys::Any };
        let sending = self.copy(client).await?.begin(client, lines);
        Ok(Some(InTransit { batches, sending, keys }))
    }

    /// Waits for the server. If the batches are to be written once more, they are on their way again.
    async fn settle(
        &mut self,
        client: &Arc<Client>,
        sent: InTransit,
        stores: &mut Stores<'_>,
    ) -> Result<Option<InTransit>> {
        let InTransit { batches, sending, keys } = sent;
        let doing = format!("writing to table {}", self.name);
        let refused = |at: usize, why: Error| match batches.rows().nth(at) {
            Some(row) => {
                let why = Error::data("postgres.value", format!("{}{}", why.message, of_key(&row)));
                stores.reject(batches.binding(), &row, suggest(why))
            }
            None => Err(why),
        };
        match sending.settle(client, (&doing, keys), refused).await? {
            Sent::All => Ok(None),
            Sent::KeysTaken => {
                // Somebody else was quicker; then it is theirs that is written over, as anywhere else.
                self.way = Way::Staged { has_deletes: false, has_parts: false };
                self.write(client, batches, None, stores).await
            }
        }
    }

    /// The rows as texts.
    async fn lines(
        &mut self,
        client: &Client,
        (binding, rows): (usize, &[Row<'_>]),
        stores: &mut Stores<'_>,
    ) -> Result<Lines> {
        let (mut lines, mut found, mut absent) = (Lines::default(), Vec::new(), Vec::new());
        let mut doubts = self.converter.no_doubts();
        // The row of each doubt.
        let mut doubted: Vec<Vec<usize>> = vec![Vec::new(); doubts.len()];
        for (at, row) in rows.iter().enumerate() {
            let gone = row.key.filter(|_| row.delete);
            let way = self.way;
            let mut is_part = false;
            let written = lines.push(at, |line| {
                match gone {
                    Some(key) => self.converter.gone(key, line, &mut doubts)?,
                    None => self.converter.row(row.document, &mut found, line, &mut doubts)?,
                }
                if let Way::Staged { .. } = way {
                    let width = self.shape.columns.len();
                    field(line, width, Some(if gone.is_some() { "t" } else { "f" }));
                    match row.partial_update {
                        true => is_part = self.converter.kept(row.document, &found, &mut absent, line)?,
                        false => field(line, width + 1, None),
                    }
                }
                Ok(())
            });
            match written {
                Err(misfit) => {
                    doubts.iter_mut().zip(&doubted).for_each(|(doubts, rows)| doubts.truncate(rows.len()));
                    stores.reject(binding, row, self.refused(row, &misfit))?;
                }
                Ok(()) => {
                    doubts.iter().zip(&mut doubted).for_each(|(doubts, rows)| rows.resize(doubts.len(), at));
                    match &mut self.way {
                        Way::Staged { has_deletes, has_parts } => {
                            *has_deletes |= gone.is_some();
                            *has_parts |= is_part;
                        }
                        // Nothing was there when the transaction began, and a key comes once: there is nothing to delete.
                        Way::Direct | Way::Behind | Way::Unused if gone.is_some() => lines.pop(),
                        Way::Direct | Way::Behind | Way::Unused => {}
                    }
                }
            }
        }
        for (place, texts) in doubts.iter().enumerate().filter(|(_, texts)| !texts.is_empty()) {
            let column = self.converter.column(place);
            for at in printed_otherwise(client, column, texts).await? {
                let expected = format!("a text as PostgreSQL prints {}", column.sql_type);
                let (row, misfit) = (&rows[doubted[place][at]], Misfit::new(&column.name, expected, &texts[at]));
                stores.reject(binding, row, self.refused(row, &misfit))?;
            }
        }
        Ok(lines)
    }

    /// At the first rows of a transaction.
    async fn choose_way(&mut self, client: &Client, first: Option<&[u8]>) -> Result<()> {
        if self.way != Way::Unused {
            return Ok(());
        }
        self.way = if self.shape.delta || self.is_empty(client).await? {
            Way::Direct
        } else if let (Some(behind), Some(first)) = (&self.is_behind, first)
            && behind.is_so(client, &self.converter, first).await?
        {
            Way::Behind
        } else {
            Way::Staged { has_deletes: false, has_parts: false }
        };
        Ok(())
    }

    /// Keys ascend: what comes behind all rows there are need not be staged. What is staged is merged first, so that rows go before those come
    /// that may take what was theirs alone.
    async fn pass_the_last(&mut self, client: &Client, batches: &Batches) -> Result<()> {
        let (Way::Staged { .. }, Some(behind)) = (self.way, &self.is_behind) else { return Ok(()) };
        let Some(first) = batches.first_key() else { return Ok(()) };
        if behind.is_so(client, &self.converter, first).await? {
            self.merge(client).await?;
            // If somebody else takes one of the keys behind, rows are staged again.
            client.run("emptying a temporary table", &format!("TRUNCATE pg_temp.{}", self.stage)).await?;
            self.way = Way::Behind;
        }
        Ok(())
    }

    /// Nobody else writes it until the transaction ends. The lock would stop the server's own care for the table, so it is taken only where it
    /// pays.
    async fn is_empty(&mut self, client: &Client) -> Result<bool> {
        if self.is_filled || table::has_rows(client, &self.place).await? {
            self.is_filled = true;
            return Ok(false);
        }
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", self.place.sql());
        client.run(&format!("locking table {}", self.name), &lock).await?;
        self.is_filled = table::has_rows(client, &self.place).await?;
        Ok(!self.is_filled)
    }

    async fn copy(&mut self, client: &Client) -> Result<&Copy> {
        let names: Vec<String> = self.shape.columns.iter().map(|column| quoted(&column.name)).collect();
        let has_binary = self.converter.is_plain();
        match self.way {
            Way::Direct | Way::Behind | Way::Unused => {
                if self.direct.is_none() {
                    self.direct =
                        Some(Copy::prepare(client, &self.name.table, &self.place.sql(), &names, has_binary).await?);
                }
                self.direct.as_ref()
            }
            Way::Staged { .. } => {
                if self.staged.is_none() {
                    self.make_stage(client).await?;
                    let mut columns: Vec<String> = (0..names.len()).map(|place| format!("c{place}")).collect();
                    columns.extend(["gone", "kept"].map(str::to_owned));
                    let into = format!("pg_temp.{}", self.stage);
                    self.staged = Some(Copy::prepare(client, &self.stage, &into, &columns, has_binary).await?);
                }
                self.staged.as_ref()
            }
        }
        .ok_or_else(|| Error::internal("postgres.copy", "preparing a copy: expected a statement, got none"))
    }

    /// Once a session: with every commit the server empties it.
    async fn make_stage(&self, client: &Client) -> Result<()> {
        // Without a collation: that of the table's key is then the one they are compared by.
        let column = |(place, of): (usize, &SqlType)| format!("c{place} {of}");
        let columns: Vec<String> = self.types.iter().enumerate().map(column).collect();
        let create = format!(
            "CREATE TEMPORARY TABLE {} ({}, gone boolean NOT NULL, kept bit varying) ON COMMIT DELETE ROWS",
            self.stage,
            columns.join(", ")
        );
        client.run(&format!("making a temporary table for {}", self.name), &create).await
    }

    /// From beside the table into it.
    async fn merge(&mut self, client: &Client) -> Result<()> {
        let way = std::mem::replace(&mut self.way, Way::Unused);
        let Way::Staged { has_deletes, has_parts } = way else {
            self.is_filled |= way != Way::Unused;
            return Ok(());
        };
        let doing = format!("writing to table {}", self.name);
        let stage = format!("pg_temp.{}", self.stage);
        let merge = Merge::new((&self.place, &self.shape), self.deletes, &stage, |place, _| format!("c{place}"));
        let mut which = "NOT s.gone".to_owned();
        let mut statements = Vec::new();
        statements.extend(has_deletes.then(|| merge.remove("s.gone")));
        if has_parts {
            statements.push(merge.update_parts());
            which.push_str(&format!(" AND {}", merge.is_no_part()));
        }
        statements.extend(merge.reset(client, "NOT s.gone").await?);
        statements.push(merge.insert(&which, false));
        client.run(&doing, &merge::by_key(&statements)).await
    }

    /// Names the document by its key, where it has one.
    fn refused(&self, row: &Row<'_>, misfit: &Misfit) -> Error {
        suggest(Error::data("postgres.value", format!("table {}, {misfit}{}", self.name, of_key(row))))
    }
}

fn changed(name: &TableName, of: &str) -> Error {
    Error::unavailable(
        "postgres.table.changed",
        format!("table {name}: expected it as Apply left it for {of}, got another or none"),
    )
    .suggest("run again: tables are made at the start of a run")
}

fn of_key(row: &Row<'_>) -> String {
    row.key.map_or_else(String::new, |key| {
        let key = String::from_utf8_lossy(key);
        format!(" in the document with key {}", &key[..key.floor_char_boundary(200)])
    })
}

fn suggest(error: Error) -> Error {
    error.suggest("correct the document at the source, or declare a wider type in the collection's schema")
}
