//! Rows of a full refresh, until it is complete: beside the table that is refreshed there is one of the connector's own, in `_longshore`, made in
//! the transaction in which the refresh begins. Whoever reads the table sees it as it was, until rows that are not in the other one go, rows that
//! are new come, and rows that differ are written over, all in the transaction in which it is complete.
//!
//! The table itself stays. Giving its name to the other one would be less work for the server, but views, foreign keys, grants, triggers and
//! publications hang on the table and not on its name, and it would have to wait for everybody who reads it. That a table is refreshed is known
//! by the other one being there, under a name that is made of the table's name: so it is true wherever the rows are true.

use longshore_postgres::{Client, failed, quoted};
use longshore_sdk::Result;

use crate::merge::Merge;
use crate::meta::SCHEMA;
use crate::shape::Shape;
use crate::table::{TableName, quoted_list};

/// The other table's name, of a schema and a table.
const NAME: &str = "'aside_' || md5(quote_ident($1) || '.' || quote_ident($2))";

/// Where rows of this table are stored aside, if they are.
pub(crate) async fn find(client: &Client, name: &TableName) -> Result<Option<TableName>> {
    let select = format!(
        "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE nspname = $3 AND relname = {NAME} AND relkind = 'r'"
    );
    let row = client.query_opt(&select, &[&name.schema, &name.table, &SCHEMA]).await;
    let row = row.map_err(|error| failed(&format!("looking for rows aside of {name}"), &error))?;
    Ok(row.map(|row| TableName { schema: SCHEMA.to_owned(), table: row.get(0) }))
}

/// Begins with no rows; what was stored aside before goes.
pub(crate) async fn begin(client: &Client, name: &TableName, shape: &Shape) -> Result<TableName> {
    let aside = name_for(client, name).await?;
    let statement = format!(
        "DROP TABLE IF EXISTS {0}; CREATE TABLE {0} AS SELECT {1} FROM {2} WITH NO DATA; ALTER TABLE {0} ADD PRIMARY KEY ({3})",
        aside.sql(),
        quoted_list(&shape.column_names()),
        name.sql(),
        quoted_list(&shape.key_names()),
    );
    client.run(&format!("making a table for rows aside of {name}"), &statement).await?;
    Ok(aside)
}

/// They take the place of those in the table.
pub(crate) async fn complete(client: &Client, name: &TableName, aside: &TableName, shape: &Shape) -> Result<()> {
    let aside = aside.sql();
    let merge = Merge::new((name, shape), shape.deletes, &aside, |_, column| quoted(column));
    let statements = [
        Some(merge.remove_others()),
        merge.reset(client, "true").await?,
        Some(merge.insert("true", true)),
        Some(format!("DROP TABLE {aside}")),
    ];
    let doing = format!("replacing the rows of table {name} by those of its full refresh");
    client.run(&doing, &statements.into_iter().flatten().collect::<Vec<_>>().join("; ")).await
}

/// What was stored aside is not wanted any more.
pub(crate) async fn give_up(client: &Client, name: &TableName, actions: &mut Vec<String>) -> Result<()> {
    if let Some(aside) = find(client, name).await? {
        crate::table::drop_table(client, &aside, actions).await?;
    }
    Ok(())
}

async fn name_for(client: &Client, name: &TableName) -> Result<TableName> {
    let row = client.query_one(&format!("SELECT {NAME}"), &[&name.schema, &name.table]).await;
    let table = row.map_err(|error| failed(&format!("naming the table aside of {name}"), &error))?.get(0);
    Ok(TableName { schema: SCHEMA.to_owned(), table })
}
