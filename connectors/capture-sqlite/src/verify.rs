//! All rows of a table as they are now, for a comparison with a destination. One statement reads them, so it sees one state of the database.

use longshore_sdk::Result;
use longshore_sdk::verify::{Tally, Verify};

use crate::config::{Config, Resource, Settings};
use crate::database::{self, failed};
use crate::plan::Plan;
use crate::row::RowWriter;
use crate::shape::Shape;

/// Tells every row. What a wider schema would have to admit is no concern here.
pub(crate) fn verify(asked: &Verify<Config, Resource>, tally: &mut Tally) -> Result<()> {
    let Verify { config, binding, .. } = asked;
    let connection = database::open_to_read(&Settings::new(config)?)?;
    let plan = Plan::of(&connection, &binding.resource, &binding.collection.key)?;
    let doing = |error| failed(&format!("reading rows of {:?}", plan.table.name), error);
    let mut shape = Shape::new(&plan, &binding.collection.schema_json);
    let writer = RowWriter::new(&plan);
    let mut select = connection.prepare(&plan.walk_sql(true)).map_err(doing)?;
    let mut rows = select.query([]).map_err(doing)?;
    let mut document = Vec::new();
    while let Some(row) = rows.next().map_err(doing)? {
        document.clear();
        writer.write(row, None, &mut shape, &mut document)?;
        tally.document(&document)?;
    }
    Ok(())
}
