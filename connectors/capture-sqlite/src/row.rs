//! Makes one row into one document, or one key whose row is gone into the document of its deletion.

use longshore_sdk::{Error, Result};
use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::kinds::Kinds;
use crate::plan::{KeyPart, Plan};
use crate::shape::Shape;
use crate::state::Stored;
use crate::value;

/// What is the same for all rows of a binding.
#[derive(Debug)]
pub(crate) struct RowWriter {
    table: String,
    /// Before the value of each captured column: its name as JSON, and a colon.
    names: Vec<Vec<u8>>,
    /// Columns of a selected row before the captured ones.
    lead: usize,
    key: Vec<Key>,
    has_rowid: bool,
}

/// Where a part of the key is.
#[derive(Debug, Clone, Copy)]
enum Key {
    /// Among the captured columns.
    Column(usize),
    Rowid,
}

/// Whether a document was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    Document,
    /// Its values ask for a wider schema first.
    NeedsSchema,
}

impl RowWriter {
    pub(crate) fn new(plan: &Plan) -> RowWriter {
        let name = |column: &usize| {
            let mut name = Vec::new();
            value::json(&plan.table.columns[*column].name, &mut name);
            name.push(b':');
            name
        };
        let key = plan.key.iter().filter_map(|part| match part {
            KeyPart::Column(_) => plan.captured_place(*part).map(Key::Column),
            KeyPart::Rowid => Some(Key::Rowid),
        });
        RowWriter {
            table: plan.table.name.clone(),
            names: plan.columns.iter().map(name).collect(),
            lead: plan.walk_width(),
            key: key.collect(),
            has_rowid: plan.has_rowid_key(),
        }
    }

    /// The key of a selected row.
    pub(crate) fn key(&self, row: &Row<'_>) -> rusqlite::Result<Vec<Stored>> {
        let place = |key: &Key| match key {
            Key::Column(place) => self.lead + place,
            Key::Rowid => 0,
        };
        self.key.iter().map(|key| row.get_ref(place(key)).map(Stored::from)).collect()
    }

    /// A part of the row's key is NULL, which no index keeps from being there twice.
    pub(crate) fn has_null_in_key(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        for key in &self.key {
            if let Key::Column(place) = key
                && row.get_ref(self.lead + place)? == ValueRef::Null
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Appends the document of a selected row. `op`: what is said of the change.
    pub(crate) fn write(
        &self,
        row: &Row<'_>,
        op: Option<&str>,
        shape: &mut Shape,
        arena: &mut Vec<u8>,
    ) -> Result<Wrote> {
        let failed = |error| crate::database::failed(&format!("reading a row of {:?}", self.table), error);
        let rowid = if self.has_rowid { Some(row.get_ref(0).map_err(failed)?) } else { None };
        let mut comma = self.begin(op, rowid, arena);
        let mut wrote = Wrote::Document;
        for (place, name) in self.names.iter().enumerate() {
            if std::mem::replace(&mut comma, true) {
                arena.push(b',');
            }
            arena.extend_from_slice(name);
            let value = row.get_ref(self.lead + place).map_err(failed)?;
            let kinds = value::write(value, shape.form(place), arena);
            if !shape.admits(place, kinds) {
                wrote = Wrote::NeedsSchema;
            }
            if kinds == Kinds::OBJECT
                && self.key.iter().any(|key| matches!(key, Key::Column(column) if *column == place))
            {
                return Err(self.no_key(place, &value));
            }
        }
        arena.push(b'}');
        Ok(wrote)
    }

    /// Appends the document that says that the row with this key is gone.
    pub(crate) fn write_deleted(&self, key: &[Stored], shape: &mut Shape, arena: &mut Vec<u8>) -> Result<Wrote> {
        let rowid = self.key.iter().zip(key).find(|(key, _)| matches!(key, Key::Rowid)).map(|(_, value)| value.value());
        let mut comma = self.begin(Some("d"), rowid, arena);
        let mut wrote = Wrote::Document;
        for (part, value) in self.key.iter().zip(key) {
            let Key::Column(place) = part else { continue };
            if std::mem::replace(&mut comma, true) {
                arena.push(b',');
            }
            arena.extend_from_slice(&self.names[*place]);
            let kinds = value::write(value.value(), shape.form(*place), arena);
            if !shape.admits(*place, kinds) {
                wrote = Wrote::NeedsSchema;
            }
            if kinds == Kinds::OBJECT {
                return Err(self.no_key(*place, &value.value()));
            }
        }
        arena.push(b'}');
        Ok(wrote)
    }

    /// Opens the object; true: something stands in it already.
    fn begin(&self, op: Option<&str>, rowid: Option<ValueRef<'_>>, arena: &mut Vec<u8>) -> bool {
        arena.push(b'{');
        if op.is_none() && rowid.is_none() {
            return false;
        }
        arena.extend_from_slice(b"\"_meta\":{");
        if let Some(op) = op {
            arena.extend_from_slice(b"\"op\":");
            value::json(op, arena);
        }
        if let Some(ValueRef::Integer(rowid)) = rowid {
            arena.extend_from_slice(if op.is_some() { b",\"source\":{\"rowid\":" } else { b"\"source\":{\"rowid\":" });
            value::json(&rowid, arena);
            arena.push(b'}');
        }
        arena.push(b'}');
        true
    }

    fn no_key(&self, place: usize, value: &ValueRef<'_>) -> Error {
        let name = String::from_utf8_lossy(&self.names[place]);
        let (name, table) = (name.trim_end_matches(':'), &self.table);
        let mut shown = Vec::new();
        value::write(*value, crate::kinds::Form::Text, &mut shown);
        let shown = String::from_utf8_lossy(&shown);
        let shown: String = shown.chars().take(80).collect();
        let message = format!(
            "capture-sqlite reads table {table:?}: column {name} is part of the collection's key: expected a value that is a number or a \
             string in JSON, got {shown}, which would have to be an object"
        );
        Error::data("sqlite.key.form", message)
            .suggest("correct the value, declare the column BLOB if it holds blobs, or give the collection another key")
    }

    /// Two rows have this key, so a document of one would replace that of the other.
    pub(crate) fn same_key(&self, key: &[Stored]) -> Error {
        let mut shown = Vec::new();
        for value in key {
            value::write(value.value(), crate::kinds::Form::Text, &mut shown);
            shown.push(b' ');
        }
        let message = format!(
            "capture-sqlite reads table {:?}: expected one row of each key, got several of {} (NULL may be there many times, whatever is UNIQUE)",
            self.table,
            String::from_utf8_lossy(&shown).trim_end()
        );
        Error::data("sqlite.key.null", message)
            .suggest("give these rows values, or give the collection another key, such as /_meta/source/rowid")
    }
}
