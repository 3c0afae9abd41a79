//! One binding of a session: its table as it was last looked at, how far its walk came, and what the collection's schema admits.

use longshore_postgres::Client;
use longshore_sdk::capture::PullOpen;
use longshore_sdk::{Error, Result};

use crate::NAME;
use crate::config::{Config, Resource};
use crate::copy::Stride;
use crate::faults;
use crate::outlet::Outlet;
use crate::state::Part;
use crate::table::Table;
use crate::types::Types;
use crate::writers::Writers;

/// A table that is followed.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) resource: Resource,
    pub(crate) collection: String,
    /// The collection's.
    pub(crate) key: Vec<String>,
    pub(crate) table: Table,
    pub(crate) part: Part,
    /// It was captured before, under an older generation: its walk is a full refresh.
    pub(crate) is_refresh: bool,
    /// The part is not in the state yet as it is here.
    pub(crate) is_unsaved: bool,
    pub(crate) outlet: Outlet,
    pub(crate) stride: Stride,
    /// Who has to end before the walk goes on.
    pub(crate) writers: Option<Writers>,
}

impl Watched {
    /// Looks at the table of a binding.
    pub(crate) async fn look(
        client: &Client,
        types: &mut Types,
        open: &PullOpen<Config, Resource>,
        index: usize,
    ) -> Result<Watched> {
        let binding = &open.bindings[index];
        let table = Table::find(client, types, &binding.resource).await?;
        table.check_for(&binding.collection.key)?;
        let remembered: Option<Part> = open.binding_state(index)?;
        let is_unsaved = remembered.is_none();
        let comes_first = binding.resource.snapshot;
        let part = remembered.unwrap_or_else(|| Part::beginning(table.oid, comes_first));
        let is_again = binding.state_key.generation() > 0;
        if is_again && is_unsaved && !comes_first {
            let table = format!("{}.{}", table.schema, table.name);
            tracing::warn!(%table, "begins anew without the rows that are there, as `snapshot` is false: destinations keep what they have");
        }
        let watched = Watched {
            resource: binding.resource.clone(),
            collection: binding.collection.name.clone(),
            key: binding.collection.key.clone(),
            is_refresh: is_again && !(is_unsaved && part.walked),
            part,
            is_unsaved,
            outlet: Outlet::new(index, &binding.collection.schema_json),
            stride: Stride::default(),
            writers: None,
            table,
        };
        watched.check_same(&open.owner.task)?;
        Ok(watched)
    }

    /// A table that was made again under its name is another one.
    pub(crate) fn check_same(&self, task: &str) -> Result<()> {
        if self.table.oid == self.part.oid {
            return Ok(());
        }
        let name = format!("{}.{}", self.resource.schema, self.resource.table);
        let expected = format!("{name} to be the table with number {}", self.part.oid);
        let got = format!("number {}, as it was dropped and made again", self.table.oid);
        Err(faults::other_table(NAME, (task, &self.collection), &expected, &got))
    }
}

/// The log tells of a table once, so two bindings cannot share one.
pub(crate) fn check_apart<'t>(tables: impl Iterator<Item = &'t Table>) -> Result<()> {
    let mut seen = std::collections::HashMap::new();
    for (index, table) in tables.enumerate() {
        if let Some(first) = seen.insert(table.oid, index) {
            let message = format!(
                "capture-postgres looks at its tables: expected a table of its own, got {}.{}, which binding {first} has already",
                table.schema, table.name
            );
            return Err(Error::config("postgres.table.twice", message)
                .at_binding(index)
                .at_pointer("/table")
                .suggest("take one of the two bindings out; `schema` is public where it is not written"));
        }
    }
    Ok(())
}
