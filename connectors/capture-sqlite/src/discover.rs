//! What could be captured: the tables, their keys, and the types of their columns, declared and found in a sample of the rows.

use longshore_sdk::capture::Discovered;
use longshore_sdk::{Error, Result};
use rusqlite::Connection;

use crate::config::{Config, Resource, Settings};
use crate::database::{self, failed};
use crate::kinds::Kinds;
use crate::plan::{KeyPart, Plan, ROWID_POINTER, pointer_to};
use crate::shape::Shape;
use crate::table::{self, Rows};
use crate::value;

/// Rows that are looked at.
const SAMPLE_ROWS: usize = 10_000;

/// Exactly these resources, or all tables.
pub(crate) fn discover(config: Config, resources: &[Resource]) -> Result<Vec<Discovered>> {
    let connection = database::open_to_read(&Settings::new(&config)?)?;
    if !resources.is_empty() {
        let describe = |(index, resource): (usize, &Resource)| {
            described(&connection, resource).map_err(|error: Error| error.at_binding(index))
        };
        return resources.iter().enumerate().map(describe).collect();
    }
    // One table that cannot be read does not hide the others.
    let suggest = |name: String| {
        let resource = Resource { table: name, columns: None };
        described(&connection, &resource)
            .map_err(|error| tracing::warn!(table = %resource.table, %error, "no suggestion for this table"))
            .ok()
    };
    Ok(table::names(&connection)?.into_iter().filter_map(suggest).collect())
}

fn described(connection: &Connection, resource: &Resource) -> Result<Discovered> {
    let mut plan = Plan::without_key(connection, resource)?;
    let sample = Sample::take(connection, &plan)?;
    let has_null_key = plan
        .key
        .iter()
        .any(|part| plan.captured_place(*part).is_some_and(|place| sample.kinds[place].has(Kinds::NULL)));
    let is_fallback = plan.key.is_empty() || has_null_key && matches!(plan.table.rows, Rows::Id { .. });
    if is_fallback {
        plan.key = vec![KeyPart::Rowid];
    }
    let schema = Shape::discovered(&plan, &sample.kinds).to_schema();
    let json = serde_json::to_value(resource)
        .map_err(|error| Error::internal("sqlite.resource", format!("capture-sqlite writes a resource: {error}")))?;
    let found = Discovered::new(collection_name(&resource.table), json, schema).note(sample.note());
    if is_fallback {
        return Ok(found.fallback_key([ROWID_POINTER]));
    }
    let pointers = plan.key.iter().filter_map(|part| match part {
        KeyPart::Column(column) => Some(pointer_to(&plan.table.columns[*column].name)),
        KeyPart::Rowid => None,
    });
    Ok(found.key(pointers))
}

/// What rows hold, whatever their columns are declared as.
struct Sample {
    kinds: Vec<Kinds>,
    rows: usize,
    is_cut: bool,
}

impl Sample {
    fn take(connection: &Connection, plan: &Plan) -> Result<Sample> {
        let doing = |error| failed(&format!("looking at rows of {:?}", plan.table.name), error);
        let shape = Shape::new(plan, b"{}");
        let mut sample = Sample { kinds: vec![Kinds::NONE; plan.columns.len()], rows: 0, is_cut: false };
        let mut select = connection.prepare(&plan.walk_sql(true)).map_err(doing)?;
        let mut rows = select.query([]).map_err(doing)?;
        let mut scratch = Vec::new();
        while let Some(row) = rows.next().map_err(doing)? {
            if sample.rows == SAMPLE_ROWS {
                sample.is_cut = true;
                break;
            }
            sample.rows += 1;
            for (place, kinds) in sample.kinds.iter_mut().enumerate() {
                scratch.clear();
                let value = row.get_ref(plan.walk_width() + place).map_err(doing)?;
                *kinds = kinds.with(value::write(value, shape.form(place), &mut scratch));
            }
        }
        Ok(sample)
    }

    fn note(&self) -> String {
        match self.is_cut {
            true => format!("types as declared and in the first {} rows", self.rows),
            false => format!("{} rows, types as declared and in them", self.rows),
        }
    }
}

/// A name for the collection from that of the table.
fn collection_name(table: &str) -> String {
    let fit = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '_' | '-') => letter,
        _ => '_',
    };
    let name: String = table.chars().map(fit).take(200).collect();
    match name.trim_matches(['_', '-']) {
        "" => "table".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_named_after_its_table() {
        for (table, name) in [("Orders", "orders"), ("a b", "a_b"), ("_x_", "x"), ("ü", "table")] {
            assert_eq!(collection_name(table), name);
        }
    }
}
