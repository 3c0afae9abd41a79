//! Which column a field becomes. Each holds its values as they are: a value that it cannot hold so is refused, never changed.

use std::sync::Arc;

use longshore_sdk::materialize::{Field, JsonType, Selection};
use longshore_sdk::{Error, Result};
use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::schema::types::{Type, TypePtr};

use crate::config::Numbers;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// INT64.
    Integer,
    /// DOUBLE.
    Double,
    /// BOOLEAN.
    Boolean,
    /// Text of a text.
    Text,
    /// Text of a number, with the digits it was written with.
    Digits,
    /// Text of any value, as the document writes it; the logical type is JSON.
    Json,
}

impl Kind {
    /// For values of these types.
    pub(crate) fn of(types: &[JsonType], numbers: Numbers) -> Self {
        use JsonType::{Boolean, Integer, Number, String};
        let is = |allowed: &[JsonType]| !types.is_empty() && types.iter().all(|of| allowed.contains(of));
        if is(&[Integer]) {
            Self::Integer
        } else if is(&[Integer, Number]) {
            match numbers {
                Numbers::Double => Self::Double,
                Numbers::Text => Self::Digits,
            }
        } else if is(&[Boolean]) {
            Self::Boolean
        } else if is(&[String]) {
            Self::Text
        } else {
            Self::Json
        }
    }

    fn physical(self) -> (PhysicalType, Option<LogicalType>) {
        match self {
            Self::Integer => (PhysicalType::INT64, Some(LogicalType::integer(64, true))),
            Self::Double => (PhysicalType::DOUBLE, None),
            Self::Boolean => (PhysicalType::BOOLEAN, None),
            Self::Text | Self::Digits => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Json => (PhysicalType::BYTE_ARRAY, Some(LogicalType::Json)),
        }
    }
}

/// The columns of a binding's files: one for each field, and one more for the whole document where it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) columns: Vec<(String, Kind)>,
}

impl Shape {
    pub(crate) fn of(selection: &Selection, numbers: Numbers) -> Self {
        let column = |field: &Field| (field.name.clone(), Kind::of(&field.types, numbers));
        let mut columns: Vec<_> = selection.fields.iter().map(column).collect();
        columns.extend(selection.document.iter().map(|name| (name.clone(), Kind::Json)));
        Self { columns }
    }

    /// As Parquet writes it down. Every column may be null.
    pub(crate) fn schema(&self) -> Result<TypePtr> {
        let column = |(name, kind): &(String, Kind)| {
            let (physical, logical) = kind.physical();
            Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()
                .map(Arc::new)
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>, _>>();
        let schema = columns.and_then(|columns| Type::group_type_builder("documents").with_fields(columns).build());
        schema.map(Arc::new).map_err(|error| Error::internal("parquet.schema", format!("making a schema: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_holds_all_that_its_types_admit() {
        use JsonType::{Array, Boolean, Integer, Number, Object, String};
        let check =
            |types: &[JsonType], expected: Kind| assert_eq!(Kind::of(types, Numbers::Double), expected, "{types:?}");
        check(&[Integer], Kind::Integer);
        check(&[Number], Kind::Double);
        check(&[Integer, Number], Kind::Double);
        check(&[Boolean], Kind::Boolean);
        check(&[String], Kind::Text);
        for mixed in [&[][..], &[Object], &[Array], &[Object, Array], &[Integer, String], &[Boolean, Integer]] {
            check(mixed, Kind::Json);
        }
        assert_eq!(Kind::of(&[Number], Numbers::Text), Kind::Digits);
        assert_eq!(Kind::of(&[Integer], Numbers::Text), Kind::Integer);
    }
}
