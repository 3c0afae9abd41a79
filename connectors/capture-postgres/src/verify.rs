//! All rows of a table as they are now, for a comparison with a destination: one COPY, so one snapshot. The slot and the log are not touched.

use longshore_sdk::verify::{Tally, Verify};
use longshore_sdk::{Error, Result};

use crate::config::{Config, Resource, Settings};
use crate::copy::{BEGIN, CHUNK_BYTES, Reading};
use crate::layout::{Found, Op};
use crate::open;
use crate::rows::Rows;
use crate::shape::Shape;
use crate::table::Table;
use crate::types::Types;

/// Tells every row. What a wider schema would have to admit is no concern here.
pub(crate) async fn verify(asked: &Verify<Config, Resource>, tally: &mut Tally) -> Result<()> {
    let Verify { owner, config, binding } = asked;
    let resource = &binding.resource;
    let doing = format!("reading rows of {}.{} to verify them", resource.schema, resource.table);
    if resource.leaves_rows() {
        let message = format!(
            "capture-postgres, {doing}: expected a binding that captures all rows, got one with `snapshot: false` or `where`, of which \
             rows come only once they are changed"
        );
        return Err(
            Error::config("postgres.verify.part", message).suggest("compare such a table by a query of your own")
        );
    }
    let settings = Settings::new(config, &owner.task)?;
    let client = open::connect(&settings.endpoint).await?;
    client.run(&doing, BEGIN).await?;
    let table = Table::find(&client, &mut Types::default(), resource).await?;
    table.check_for(&binding.collection.key)?;
    let layout = table.layout()?;
    let mut shape = Shape::new(&binding.collection.schema_json);
    shape.adopt(&layout);
    let width = table.columns.len();
    let reading =
        Reading { client: &client, doing: &doing, layout: &layout, width, wires: table.wires(), rows_max: usize::MAX };
    let mut lines = reading.open(&format!("SELECT {} FROM {}", table.sql_columns(), table.sql_from())).await?;
    let mut document = Vec::new();
    loop {
        let mut unread = Rows::new(width).unread();
        let is_end = lines.take(&mut unread, CHUNK_BYTES, usize::MAX).await?;
        for row in reading.texts(unread)?.iter() {
            document.clear();
            layout.write((Op::Create, &Found::in_table()), row, false, &mut shape, &mut document)?;
            tally.document(&document)?;
            if tally.has_much() {
                tally.tell().await?;
            }
        }
        if is_end {
            return Ok(());
        }
    }
}
