//! What a binding takes of a table: which columns, and which of them are the collection's key, so that a key means one row.

use longshore_sdk::{Error, Result};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::config::Resource;
use crate::identifier::{nearest, quoted};
use crate::table::{Rows, Table, UniqueOf};

/// Where a document says which row it is, for want of a key of the data.
pub(crate) const ROWID_POINTER: &str = "/_meta/source/rowid";

/// What is read of one table.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) table: Table,
    /// Columns that are captured, in the table's order.
    pub(crate) columns: Vec<usize>,
    /// In the collection's order.
    pub(crate) key: Vec<KeyPart>,
}

/// A part of the collection's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyPart {
    /// A column of the table.
    Column(usize),
    Rowid,
}

impl Plan {
    /// For a binding whose collection has this key.
    pub(crate) fn of(connection: &Connection, resource: &Resource, key: &[String]) -> Result<Plan> {
        let table = Table::find(connection, &resource.table)?;
        let key = key.iter().map(|pointer| key_part(&table, pointer)).collect::<Result<Vec<_>>>()?;
        let columns = captured(&table, resource, &key)?;
        let plan = Plan { table, columns, key };
        plan.check_unique()?;
        plan.check_statements(connection)?;
        Ok(plan)
    }

    /// For a table whose key is still to be chosen.
    pub(crate) fn without_key(connection: &Connection, resource: &Resource) -> Result<Plan> {
        let table = Table::find(connection, &resource.table)?;
        let key: Vec<KeyPart> = table.primary.iter().map(|column| KeyPart::Column(*column)).collect();
        let columns = captured(&table, resource, &key)?;
        Ok(Plan { table, columns, key })
    }

    pub(crate) fn has_rowid_key(&self) -> bool {
        self.key.contains(&KeyPart::Rowid)
    }

    /// SQL of a part of the key in a row: of the table, or with a prefix such as `NEW.`.
    pub(crate) fn key_sql(&self, part: KeyPart, prefix: &str) -> String {
        match (part, &self.table.rows) {
            (KeyPart::Column(column), _) => format!("{prefix}{}", quoted(&self.table.columns[column].name)),
            (KeyPart::Rowid, Rows::Id { name, .. }) => format!("{prefix}{name}"),
            (KeyPart::Rowid, Rows::Primary(_)) => unreachable!("a table without row ids has none as its key"),
        }
    }

    /// Place of a key part among the columns that are captured.
    pub(crate) fn captured_place(&self, part: KeyPart) -> Option<usize> {
        match part {
            KeyPart::Column(column) => self.columns.iter().position(|captured| *captured == column),
            KeyPart::Rowid => None,
        }
    }

    /// What every document depends on beside its row: when this changes, all rows have to be read again.
    pub(crate) fn fingerprint(&self) -> String {
        let column = |column: &usize| {
            let column = &self.table.columns[*column];
            (column.name.as_str(), column.declared.as_str())
        };
        let columns: Vec<_> = self.columns.iter().map(column).collect();
        let text = serde_json::json!(columns).to_string();
        Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The walk's key and the captured columns.
    fn select(&self) -> String {
        let walk = self.table.walk_key().into_iter().map(|(part, _)| part);
        let columns = self.columns.iter().map(|column| quoted(&self.table.columns[*column].name));
        let list: Vec<String> = walk.chain(columns).collect();
        format!("SELECT {} FROM {}", list.join(", "), quoted(&self.table.name))
    }

    /// So many columns stand before the captured ones in what is selected.
    pub(crate) fn walk_width(&self) -> usize {
        match &self.table.rows {
            Rows::Id { .. } => 1,
            Rows::Primary(primary) => primary.len(),
        }
    }

    /// Rows behind a place of the walk, in its order; `?` for each part of the place.
    pub(crate) fn walk_sql(&self, from_the_start: bool) -> String {
        let collated: Vec<String> = self.table.walk_key().into_iter().map(|(_, collated)| collated).collect();
        let order = collated.join(", ");
        let behind = match from_the_start {
            true => String::new(),
            false => format!(" WHERE ({order}) > ({})", vec!["?"; collated.len()].join(", ")),
        };
        format!("{}{behind} ORDER BY {order}", self.select())
    }

    /// The rows with a key; at most two, for there should be one.
    pub(crate) fn lookup_sql(&self) -> String {
        let conditions: Vec<String> = self
            .key
            .iter()
            .enumerate()
            .map(|(place, part)| {
                let (sql, value) = (self.key_sql(*part, ""), place + 1);
                match part {
                    // The first half finds an index whatever its collation, the second tells 'a' and 'A' apart as keys are.
                    KeyPart::Column(_) => format!("{sql} IS ?{value} AND {sql} COLLATE BINARY IS ?{value}"),
                    KeyPart::Rowid => format!("{sql} = ?{value}"),
                }
            })
            .collect();
        format!("{} WHERE {} LIMIT 2", self.select(), conditions.join(" AND "))
    }

    /// A key that two rows may share cannot tell which one was deleted.
    fn check_unique(&self) -> Result<()> {
        let has = |column: usize| self.key.contains(&KeyPart::Column(column));
        let by_rows = match &self.table.rows {
            Rows::Id { alias, .. } => self.has_rowid_key() || alias.is_some_and(has),
            Rows::Primary(primary) => primary.iter().all(|(column, _)| has(*column)),
        };
        let by_index = self.table.uniques.iter().any(|unique| {
            let plain = unique.parts.iter().all(|part| matches!(part.of, UniqueOf::Column(column) if has(column)));
            plain && unique.filter.is_none()
        });
        if by_rows || by_index {
            return Ok(());
        }
        let table = &self.table.name;
        let names: Vec<_> = self.key.iter().map(|part| self.key_sql(*part, "")).collect();
        let message = format!(
            "capture-sqlite looks at table {table:?}: expected a collection key that the table keeps unique, got {}",
            names.join(", ")
        );
        let primary: Vec<_> =
            self.table.primary.iter().map(|column| pointer_to(&self.table.columns[*column].name)).collect();
        let instead = if primary.is_empty() { ROWID_POINTER.to_owned() } else { primary.join(", ") };
        Err(Error::config("sqlite.key.not_unique", message)
            .at_pointer("/table")
            .suggest(format!("use the key [{instead}], or put a UNIQUE index on these columns")))
    }

    /// What SQLite cannot prepare will not run: a collation of somebody's program, say.
    fn check_statements(&self, connection: &Connection) -> Result<()> {
        for sql in [self.walk_sql(true), self.walk_sql(false), self.lookup_sql()] {
            connection.prepare(&sql).map_err(|error| {
                let message =
                    format!("capture-sqlite looks at table {:?}: it cannot be read: {error}", self.table.name);
                Error::config("sqlite.table.unreadable", message).at_pointer("/table").suggest(
                    "collations and functions of other programs are not known here; leave such columns out of keys",
                )
            })?;
        }
        Ok(())
    }
}

/// JSON pointer to a top-level field.
pub(crate) fn pointer_to(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn key_part(table: &Table, pointer: &str) -> Result<KeyPart> {
    let refused = |what: String| {
        Error::config("sqlite.key.missing", format!("capture-sqlite looks at table {:?}: {what}", table.name))
            .at_pointer("/table")
    };
    if pointer == ROWID_POINTER {
        return match &table.rows {
            Rows::Id { .. } => Ok(KeyPart::Rowid),
            Rows::Primary(_) => {
                Err(refused("expected a key of its columns, as it is WITHOUT ROWID, got the row id".to_owned())
                    .suggest("use the primary key"))
            }
        };
    }
    let name = pointer.strip_prefix('/').unwrap_or(pointer).replace("~1", "/").replace("~0", "~");
    table.column(&name).map(KeyPart::Column).ok_or_else(|| {
        let error = refused(format!("the collection's key needs the column {name:?}, and there is none"));
        match nearest(&name, table.columns.iter().map(|column| column.name.as_str())) {
            Some(near) => error.suggest(format!("did you mean {} in the collection's key?", pointer_to(near))),
            None => error.suggest("correct the collection's key"),
        }
    })
}

fn captured(table: &Table, resource: &Resource, key: &[KeyPart]) -> Result<Vec<usize>> {
    let mut wanted = resource.columns.iter().flatten().enumerate();
    if let Some((place, name)) = wanted.find(|(_, name)| table.column(name).is_none()) {
        let message = format!("capture-sqlite looks at table {:?}: expected a column {name:?}, got none", table.name);
        let error = Error::config("sqlite.columns.unknown", message).at_pointer(format!("/columns/{place}"));
        return Err(match nearest(name, table.columns.iter().map(|column| column.name.as_str())) {
            Some(near) => error.suggest(format!("did you mean {near:?}?")),
            None => error.suggest("correct the name, or leave it out"),
        });
    }
    let is_wanted = |column: &usize| {
        let name = &table.columns[*column].name;
        key.contains(&KeyPart::Column(*column)) || resource.columns.as_ref().is_none_or(|wanted| wanted.contains(name))
    };
    let columns: Vec<usize> = (0..table.columns.len()).filter(is_wanted).collect();
    match columns.iter().any(|column| table.columns[*column].name == "_meta") {
        false => Ok(columns),
        true => {
            let message = format!(
                "capture-sqlite looks at table {:?}: a column is named _meta, which is kept for what happened to a row",
                table.name
            );
            Err(Error::config("sqlite.columns.meta", message)
                .at_pointer("/table")
                .suggest("rename it, or leave it out: `columns: [..]`"))
        }
    }
}
