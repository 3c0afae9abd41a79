//! Whether all rows of a table lie before a key. Keys of a transaction ascend, so none of them is there then, and its rows can be copied straight
//! into the table.
//!
//! They ascend as the runtime orders them; the server must order them alike. It does for integers, booleans and UUIDs, and for texts that are
//! compared by their bytes; a column of texts in a key has nothing but texts.

use longshore_postgres::{Client, Scalar, SqlType, failed, quoted};
use longshore_sdk::Result;

use crate::convert::Converter;
use crate::shape::Shape;
use crate::table::{ExistingColumn, TableName};

/// Asks it of one table.
#[derive(Debug)]
pub(crate) struct Behind {
    doing: String,
    select: String,
}

impl Behind {
    /// None: the server may order keys otherwise.
    pub(crate) fn new(
        name: &TableName,
        shape: &Shape,
        types: &[SqlType],
        existing: &[ExistingColumn],
    ) -> Option<Behind> {
        if shape.delta || shape.key.is_empty() {
            return None;
        }
        let is_bytewise = |name: &str| existing.iter().any(|column| column.name == name && column.is_bytewise);
        let is_alike = |&place: &usize| match types[place].scalar {
            _ if types[place].array => false,
            Scalar::SmallInt | Scalar::Integer | Scalar::BigInt | Scalar::Boolean | Scalar::Uuid => true,
            Scalar::Text | Scalar::Varchar(_) => is_bytewise(&shape.columns[place].name),
            Scalar::Numeric(_)
            | Scalar::Real
            | Scalar::Double
            | Scalar::Char(_)
            | Scalar::Bytea
            | Scalar::Json
            | Scalar::Jsonb
            | Scalar::Date
            | Scalar::Time { .. }
            | Scalar::Timestamp { .. }
            | Scalar::Interval { .. }
            | Scalar::Bit { .. }
            | Scalar::Plain(_) => false,
        };
        if !shape.key.iter().all(is_alike) {
            return None;
        }
        let names: Vec<String> = shape.key.iter().map(|&place| quoted(&shape.columns[place].name)).collect();
        let values = shape.key.iter().zip(1..).map(|(&place, part)| format!("${part}::text::{}", types[place]));
        let values: Vec<String> = values.collect();
        let descending: Vec<String> = names.iter().map(|name| format!("{name} DESC")).collect();
        // By the last entry of the index: asked whether there is a row behind, a server without statistics reads the whole table.
        let select = format!(
            "SELECT ({}) < ({}) FROM {} ORDER BY {} LIMIT 1",
            names.join(", "),
            values.join(", "),
            name.sql(),
            descending.join(", ")
        );
        Some(Behind { doing: format!("looking for rows of table {name} behind a key"), select })
    }

    /// All rows lie before this key.
    pub(crate) async fn is_so(&self, client: &Client, converter: &Converter, key: &[u8]) -> Result<bool> {
        // What cannot be a key of the table is told where its document is looked at.
        let Ok(parts) = converter.key(key, &mut converter.no_doubts()) else { return Ok(false) };
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        let parameters: Vec<&(dyn longshore_postgres::tokio_postgres::types::ToSql + Sync)> =
            parts.iter().map(|part| part as _).collect();
        let last = client.query_opt(&self.select, &parameters).await.map_err(|error| failed(&self.doing, &error))?;
        Ok(last.is_none_or(|row| row.get(0)))
    }
}
