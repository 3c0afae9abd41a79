//! Rows of a SQLite database as a table for people, or as objects.

use rusqlite::types::ValueRef;
use serde_json::{Map, Value, json};

/// What a query gave.
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// Asks.
    pub(super) fn read(database: &rusqlite::Connection, query: &str) -> rusqlite::Result<Self> {
        let mut statement = database.prepare(query)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let row = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|at| Ok(value(row.get_ref(at)?))).collect();
        let rows = statement.query_map([], row)?.collect::<rusqlite::Result<_>>()?;
        Ok(Self { columns, rows })
    }

    /// Each row by the names of its columns.
    pub(super) fn rows(&self) -> impl Iterator<Item = Map<String, Value>> {
        self.rows.iter().map(|row| self.columns.iter().cloned().zip(row.iter().cloned()).collect())
    }

    /// Lines of columns, numbers to the right.
    pub(super) fn indented(&self, indent: &str) -> String {
        let texts: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        let width = |at: usize| {
            let cells = texts.iter().map(|row| row[at].chars().count());
            cells.chain([self.columns[at].chars().count()]).max().unwrap_or_default()
        };
        let right = |at: usize| self.rows.iter().all(|row| row[at].is_number() || row[at].is_null());
        let widths: Vec<(usize, bool)> = (0..self.columns.len()).map(|at| (width(at), right(at))).collect();
        let line =
            |cells: &[String]| {
                let cells = cells.iter().zip(&widths).map(|(cell, &(width, right))| {
                    if right { format!("{cell:>width$}") } else { format!("{cell:width$}") }
                });
                format!("{indent}{}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned() + "\n"
            };
        let rule: Vec<String> = widths.iter().map(|(width, _)| "─".repeat(*width)).collect();
        [line(&self.columns), line(&rule)].into_iter().chain(texts.iter().map(|row| line(row))).collect()
    }
}

fn value(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => json!(format!("{} bytes", bytes.len())),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_names_on_top_and_its_numbers_to_the_right() {
        let database = rusqlite::Connection::open_in_memory().unwrap();
        let query = "SELECT 'Ada' AS name, 7 AS n, NULL AS x UNION ALL SELECT 'Grace', 1234, 0.5";
        let table = Table::read(&database, query).unwrap();
        assert_eq!(table.indented(" "), " name      n    x\n ─────  ────  ───\n Ada       7\n Grace  1234  0.5\n");
        assert_eq!(json!(table.rows().last()), json!({"name": "Grace", "n": 1234, "x": 0.5}));
    }
}
