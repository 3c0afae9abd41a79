//! What the catalog of the database says of a table, and whether it can be captured: its changes must say which row they are of.

use longshore_postgres::{Client, failed, qualified, quoted};
use longshore_sdk::{Error, Result};

use crate::NAME;
use crate::binary::Wire;
use crate::config::Resource;
use crate::kinds::Kinds;
use crate::layout::Layout;
use crate::shape::schema_of;
use crate::types::{Type, Types};

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// The connector that looks at it, for its errors.
    who: &'static str,
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    persistence: String,
    is_partition: bool,
    /// `relreplident`.
    identity: String,
    pub(crate) columns: Vec<Column>,
    /// Columns of the index that tells rows apart in the log, in its order.
    pub(crate) key: Vec<String>,
    may_select: bool,
    /// Row security would hide rows from us.
    is_secured: bool,
    /// A partition whose changes do not say the whole's key.
    odd_partition: Option<String>,
    /// As ANALYZE last counted them.
    pub(crate) about_rows: u64,
}

/// A column. Generated ones are left out where the log is read, which does not send them.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// Type with modifier, as SQL has it.
    pub(crate) sql: String,
    pub(crate) is_not_null: bool,
    /// Its values may lie outside of the row, and are not sent where they did not change.
    is_large: bool,
}

const FIND: &str = "SELECT c.oid, c.relkind::text, c.relpersistence::text, c.relispartition, c.relreplident::text, \
    has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid), \
    coalesce((SELECT sum(greatest(l.reltuples, 0)) FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid WHERE p.isleaf), \
        greatest(c.reltuples, 0))::float8 \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";
const COLUMNS: &str = "SELECT attname::text, atttypid, atttypmod, format_type(atttypid, atttypmod), attnotnull, attstorage <> 'p' \
    FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND ($2 OR attgenerated = '') ORDER BY attnum";
const KEY: &str = "SELECT a.attname::text FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) \
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
    WHERE i.indrelid = $1 AND k.place <= i.indnkeyatts AND i.indisvalid AND i.indimmediate AND CASE WHEN $2 THEN i.indisreplident ELSE i.indisprimary END \
    ORDER BY k.place";
/// The log names the whole, and has the key of the partition.
const ODD_PARTITION: &str = "SELECT l.oid::regclass::text FROM pg_partition_tree($1::oid) p JOIN pg_class l ON l.oid = p.relid \
    WHERE p.isleaf AND p.level > 0 AND l.relreplident <> 'f' AND ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid \
        AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) WHERE i.indrelid = l.oid AND i.indisvalid AND i.indimmediate \
        AND CASE l.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END ORDER BY 1) \
    <> ARRAY(SELECT name FROM unnest($2::text[]) name ORDER BY 1) LIMIT 1";
const LIST: &str = "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2";

impl Column {
    #[cfg(test)]
    pub(crate) fn for_tests(name: &str, ty: Type, sql: &str) -> Column {
        Column { name: name.to_owned(), ty, sql: sql.to_owned(), is_not_null: true, is_large: false }
    }
}

/// Who looks at what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) who: &'static str,
    pub(crate) schema: &'a str,
    pub(crate) name: &'a str,
    /// Generated columns, too.
    pub(crate) with_generated: bool,
}

impl<'a> Look<'a> {
    /// As the log has it.
    fn at(schema: &'a str, name: &'a str) -> Look<'a> {
        Look { who: NAME, schema, name, with_generated: false }
    }
}

/// All tables that may be of interest.
pub(crate) async fn list(client: &Client) -> Result<Vec<Resource>> {
    let rows = client.query(LIST, &[]).await.map_err(|error| failed("listing tables", &error))?;
    Ok(rows.into_iter().map(|row| Resource::whole(row.get(0), row.get(1))).collect())
}

impl Table {
    /// Looks a table up, for the log.
    pub(crate) async fn find(client: &Client, types: &mut Types, resource: &Resource) -> Result<Table> {
        let mut table = Table::look(client, types, &Look::at(&resource.schema, &resource.table)).await?;
        let doing = table.looking();
        let by_index = table.identity == "i";
        let key = client.query(KEY, &[&table.oid, &by_index]).await.map_err(|error| failed(&doing, &error))?;
        table.key = key.into_iter().map(|row| row.get(0)).collect();
        if table.kind == "p" {
            let odd = client.query_opt(ODD_PARTITION, &[&table.oid, &table.key]).await;
            table.odd_partition = odd.map_err(|error| failed(&doing, &error))?.map(|row| row.get(0));
        }
        Ok(table)
    }

    /// What the catalog says of it, but for a key.
    pub(crate) async fn look(client: &Client, types: &mut Types, look: &Look<'_>) -> Result<Table> {
        let Look { who, schema, name, with_generated } = *look;
        let doing = format!("looking at table {schema}.{name}");
        let found = client.query_opt(FIND, &[&schema, &name]).await.map_err(|error| failed(&doing, &error))?;
        let Some(row) = found else {
            let message = format!("{who}, {doing}: expected a table, got nothing of this name");
            return Err(Error::config("postgres.table.missing", message).at_pointer("/table").suggest(
                "create it, or correct `schema` and `table`: both are written as in the catalog, without quotes",
            ));
        };
        let (oid, identity): (u32, String) = (row.get(0), row.get(4));
        let about_rows: f64 = row.get(7);
        let mut table = Table {
            who,
            oid,
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind: row.get(1),
            persistence: row.get(2),
            is_partition: row.get(3),
            may_select: row.get(5),
            is_secured: row.get(6),
            odd_partition: None,
            columns: Vec::new(),
            key: Vec::new(),
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rough count, for people")]
            about_rows: about_rows as u64,
            identity,
        };
        for row in client.query(COLUMNS, &[&oid, &with_generated]).await.map_err(|error| failed(&doing, &error))? {
            let ty = types.of(client, row.get(1), row.get(2)).await?;
            table.columns.push(Column {
                name: row.get(0),
                ty,
                sql: row.get(3),
                is_not_null: row.get(4),
                is_large: row.get(5),
            });
        }
        Ok(table)
    }

    /// Whether it can be captured at all.
    pub(crate) fn check(&self) -> Result<()> {
        let alter = format!("ALTER TABLE {}", self.sql_name());
        if !matches!(self.kind.as_str(), "r" | "p") {
            let suggestion = "capture the tables that it is made of".to_owned();
            return Err(self.refused(
                "postgres.table.kind",
                "an ordinary or a partitioned table",
                self.kind_name(),
                suggestion,
            ));
        }
        if self.is_partition {
            let suggestion =
                "capture the table that it is a partition of: changes are told as changes of that".to_owned();
            return Err(self.refused("postgres.table.partition", "a whole table", "a partition", suggestion));
        }
        if self.persistence != "p" {
            let suggestion = format!("{alter} SET LOGGED");
            return Err(self.refused(
                "postgres.table.unlogged",
                "a table whose changes are in the log",
                "one that is unlogged",
                suggestion,
            ));
        }
        if self.identity == "n" {
            let suggestion = format!("{alter} REPLICA IDENTITY DEFAULT");
            return Err(self.refused(
                "postgres.identity.nothing",
                "a replica identity, as changes must say which row they are of",
                "NOTHING",
                suggestion,
            ));
        }
        let is_sent = |name: &String| self.column(name).is_some_and(|column| column.is_not_null);
        if self.key.is_empty() || !self.key.iter().all(is_sent) {
            let suggestion = format!(
                "give it a primary key, or a unique index over columns that are NOT NULL and not generated, neither of them DEFERRABLE: \
                 {alter} REPLICA IDENTITY USING INDEX …"
            );
            return Err(self.refused(
                "postgres.key.missing",
                "a primary key or a replica identity by an index",
                "neither",
                suggestion,
            ));
        }
        if let Some(partition) = &self.odd_partition {
            let suggestion = format!(
                "ALTER TABLE {partition} REPLICA IDENTITY FULL, or DEFAULT where the whole has its primary key; or USING INDEX …, as the whole has it"
            );
            return Err(self.refused(
                "postgres.identity.partition",
                "partitions with the replica identity of the whole, or FULL",
                &format!("{partition} with another"),
                suggestion,
            ));
        }
        self.check_readable()
    }

    /// Whether rows of it can be read, and become documents.
    pub(crate) fn check_readable(&self) -> Result<()> {
        if self.columns.iter().any(|column| column.name == "_meta") {
            return Err(column_meta(self.who, &format!("{}.{}", self.schema, self.name)));
        }
        if !self.may_select {
            let suggestion =
                format!("GRANT SELECT ON {} TO the user of `url`; a schema needs USAGE, too", self.sql_name());
            return Err(self.refused(
                "postgres.permission",
                "to be allowed to read the table as a whole",
                "no such right",
                suggestion,
            ));
        }
        if self.is_secured {
            let suggestion = "ALTER ROLE … BYPASSRLS for the user of `url`".to_owned();
            return Err(self.refused(
                "postgres.permission",
                "to see all rows",
                "row security that may hide some",
                suggestion,
            ));
        }
        Ok(())
    }

    /// That it is not what it has to be.
    pub(crate) fn refused(&self, code: &str, expected: &str, got: &str, suggestion: String) -> Error {
        let Table { who, schema, name, .. } = self;
        let message = format!("{who} looks at table {schema}.{name}: expected {expected}, got {got}");
        Error::config(code, message).at_pointer("/table").suggest(suggestion)
    }

    /// Whether it can be captured into a collection of this key.
    pub(crate) fn check_for(&self, key: &[String]) -> Result<()> {
        self.check()?;
        let pointers: Vec<String> = self.key.iter().map(|name| pointer_to(name)).collect();
        if key.len() == pointers.len() && pointers.iter().all(|pointer| key.contains(pointer)) {
            return Ok(());
        }
        let message = format!(
            "capture-postgres looks at table {}.{}: expected the collection's key to be that of the changes in the log, got [{}]",
            self.schema,
            self.name,
            key.join(", ")
        );
        Err(Error::config("postgres.key.other", message).at_pointer("/table").suggest(format!(
            "use the key [{}], or give the table another replica identity: ALTER TABLE {} REPLICA IDENTITY USING INDEX …",
            pointers.join(", "),
            self.sql_name()
        )))
    }

    /// What is being done, for errors of the server.
    pub(crate) fn looking(&self) -> String {
        format!("looking at table {}.{}", self.schema, self.name)
    }

    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub(crate) fn sql_name(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// As it stands in FROM and in a publication: a table that others inherit from is itself and not they.
    pub(crate) fn sql_from(&self) -> String {
        let only = if self.kind == "r" { "ONLY " } else { "" };
        format!("{only}{}", self.sql_name())
    }

    /// As they stand behind SELECT in a COPY: in binary, if there is a [`Wire`] for each of them.
    pub(crate) fn sql_columns(&self) -> String {
        let casts = self.wires().unwrap_or_default().into_iter().map(Wire::cast).chain(std::iter::repeat(""));
        let columns = self.columns.iter().zip(casts).map(|(column, cast)| quoted(&column.name) + cast);
        columns.collect::<Vec<_>>().join(", ")
    }

    /// How their values travel in binary; none: some do not.
    pub(crate) fn wires(&self) -> Option<Vec<Wire>> {
        self.columns.iter().map(|column| Wire::of(&column.sql)).collect()
    }

    /// A column of the table itself: behind ORDER BY a name alone would mean what is selected under it.
    pub(crate) fn sql_column(&self, column: &str) -> String {
        format!("{}.{}", quoted(&self.name), quoted(column))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.identity == "f"
    }

    /// Changes may leave values out that did not change.
    pub(crate) fn leaves_out(&self) -> bool {
        // A partition may have another identity than the whole, which is the one that is told.
        (!self.is_full() || self.kind == "p")
            && self.columns.iter().any(|column| column.is_large && !self.key.contains(&column.name))
    }

    /// Columns of the key with their types.
    pub(crate) fn typed_key(&self) -> Vec<String> {
        let typed = |name: &String| match self.column(name) {
            Some(column) => format!("{name} {}", column.sql),
            None => name.clone(),
        };
        self.key.iter().map(typed).collect()
    }

    /// Of the rows that are read from it.
    pub(crate) fn layout(&self) -> Result<Layout> {
        let columns = self.columns.iter().map(|column| (column.name.as_str(), column.ty.clone(), !column.is_not_null));
        let layout = Layout::new((&self.schema, &self.name), columns, &self.key).map_err(|fault| {
            Error::internal("postgres.layout", format!("{} looks at {}: {fault}", self.who, self.name))
        })?;
        Ok(layout.by(self.who))
    }

    /// For Discover; `merges`: documents may leave values out that did not change.
    pub(crate) fn to_schema(&self, merges: bool) -> serde_json::Value {
        let columns = self.columns.iter().map(|column| {
            let null = if column.is_not_null { Kinds::NONE } else { Kinds::NULL };
            (column.name.as_str(), column.ty.form.kinds().with(null), column.ty.format.as_deref())
        });
        schema_of(columns, &self.key, merges)
    }

    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind.as_str() {
            "v" => "a view",
            "m" => "a materialized view",
            "f" => "a foreign table",
            "S" => "a sequence",
            "i" | "I" => "an index",
            _ => "something else",
        }
    }
}

/// A document would have it twice.
pub(crate) fn column_meta(who: &str, table: &str) -> Error {
    let message = format!(
        "{who} looks at table {table}: expected no column `_meta`, which is kept for what happened to a row, got one"
    );
    Error::config("postgres.columns.meta", message).at_pointer("/table").suggest("rename it")
}

/// JSON pointer to a top-level field.
pub(crate) fn pointer_to(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
