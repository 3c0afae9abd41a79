//! How a column becomes wide enough for what comes, and what its old values become by it: the same values, said in SQL.

use longshore_postgres::{Scalar, SqlType};

use crate::shape::can_be_key;

/// A change of a column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Widened {
    pub(crate) to: SqlType,
    /// The new value as an expression of the old one, which is written so.
    pub(crate) using: String,
}

/// None: the column holds the wanted values as it is. An error: no type holds both, old values as they are.
pub(crate) fn widened(from: SqlType, wanted: SqlType, column: &str, is_key: bool) -> Result<Option<Widened>, ()> {
    if holds(from, wanted) {
        return Ok(None);
    }
    let to = joined(from, wanted);
    if is_key && !can_be_key(to) {
        return Err(());
    }
    if to.array {
        return Err(());
    }
    let is_float = matches!(from.scalar, Scalar::Real | Scalar::Double);
    let using = if to.scalar == Scalar::Jsonb {
        as_jsonb(from, column).ok_or(())?
    } else if to.scalar == Scalar::Text {
        as_text(from.scalar, column)
    } else if is_float {
        // By its digits, so that 0.1 stays 0.1; and a cast of a double to numeric keeps 15 of them.
        format!("{column}::text::{to}")
    } else {
        format!("{column}::{to}")
    };
    Ok(Some(Widened { to, using }))
}

/// Every value of the one is a value of the other.
pub(crate) fn holds(wide: SqlType, narrow: SqlType) -> bool {
    if wide == narrow || wide == Scalar::Jsonb.into() {
        return true;
    }
    if wide.array || narrow.array {
        return false;
    }
    let more =
        |wide: Option<u32>, narrow: Option<u32>| wide.is_none_or(|wide| narrow.is_some_and(|narrow| narrow <= wide));
    let finer =
        |wide: Option<u8>, narrow: Option<u8>| wide.is_none_or(|wide| narrow.is_some_and(|narrow| narrow <= wide));
    match (wide.scalar, narrow.scalar) {
        (wide, narrow)
            if integer_digits(wide).zip(integer_digits(narrow)).is_some_and(|(wide, narrow)| wide >= narrow) =>
        {
            true
        }
        (Scalar::Numeric(None), narrow) => is_number(narrow),
        (Scalar::Numeric(Some((precision, scale))), narrow) => {
            let (precision, scale) = (i32::from(precision), i32::from(scale));
            decimal_digits(narrow).is_some_and(|(of_precision, of_scale)| {
                scale >= of_scale && precision - scale >= of_precision - of_scale
            })
        }
        (Scalar::Double, Scalar::Real) => true,
        (Scalar::Text, narrow) => is_text(narrow),
        (Scalar::Varchar(wide), Scalar::Varchar(narrow)) => more(wide, narrow),
        (Scalar::Varchar(None), Scalar::Text) => true,
        (Scalar::Time { zone, precision }, Scalar::Time { zone: other, precision: of })
        | (Scalar::Timestamp { zone, precision }, Scalar::Timestamp { zone: other, precision: of }) => {
            zone == other && finer(precision, of)
        }
        (Scalar::Bit { varying: true, length }, Scalar::Bit { length: of, .. }) => more(length, of),
        (_, _) => false,
    }
}

/// The narrowest type here that holds both.
fn joined(one: SqlType, other: SqlType) -> SqlType {
    let numeric = SqlType::from(Scalar::Numeric(None));
    if holds(other, one) {
        return other;
    }
    if one.array || other.array {
        return Scalar::Jsonb.into();
    }
    match (one.scalar, other.scalar) {
        (Scalar::Numeric(Some(_)) | Scalar::Real | Scalar::Double, other) if is_number(other) => numeric,
        (one, other) if is_number(one) && is_number(other) => numeric,
        // The digits of numbers that the schema calls texts now.
        (one, Scalar::Text) if is_number(one) => Scalar::Text.into(),
        (one, other) if is_text(one) && is_text(other) => Scalar::Text.into(),
        (_, _) => Scalar::Jsonb.into(),
    }
}

/// A value as JSON would have it in a document.
fn as_jsonb(from: SqlType, column: &str) -> Option<String> {
    if from.array {
        // What `to_jsonb` makes of others is not what a document has.
        let same = matches!(from.scalar, Scalar::Boolean | Scalar::Text | Scalar::Varchar(_) | Scalar::Uuid)
            || is_number(from.scalar);
        return same.then(|| format!("to_jsonb({column})"));
    }
    Some(if from.scalar == Scalar::Json {
        format!("{column}::jsonb")
    } else if from.scalar == Scalar::Boolean || is_number(from.scalar) {
        format!("to_jsonb({column})")
    } else {
        format!("to_jsonb({})", as_text(from.scalar, column))
    })
}

/// A value as the text that a document has for it.
fn as_text(from: Scalar, column: &str) -> String {
    if let Scalar::Char(_) | Scalar::Plain(_) = from {
        // A cast cuts the spaces of the one off, and adds a mask to the address of the other.
        format!("CASE WHEN {column} IS NOT NULL THEN format('%s', {column}) END")
    } else if from == Scalar::Bytea {
        format!("translate(encode({column}, 'base64'), E'\\n', '')")
    } else if let Scalar::Timestamp { zone: true, .. } = from {
        format!("regexp_replace({column}::text, '^(\\S+) (\\S+)\\+00', '\\1T\\2Z')")
    } else {
        format!("{column}::text")
    }
}

fn integer_digits(of: Scalar) -> Option<i32> {
    let kinds = [(Scalar::SmallInt, 5), (Scalar::Integer, 10), (Scalar::BigInt, 19)];
    kinds.into_iter().find(|(kind, _)| *kind == of).map(|(_, digits)| digits)
}

/// Precision and scale.
fn decimal_digits(of: Scalar) -> Option<(i32, i32)> {
    if let Scalar::Numeric(Some((precision, scale))) = of {
        return Some((precision.into(), scale.into()));
    }
    integer_digits(of).map(|digits| (digits, 0))
}

fn is_number(of: Scalar) -> bool {
    integer_digits(of).is_some() || matches!(of, Scalar::Numeric(_) | Scalar::Real | Scalar::Double)
}

/// In a document it is a text.
fn is_text(of: Scalar) -> bool {
    !is_number(of) && !matches!(of, Scalar::Boolean | Scalar::Json | Scalar::Jsonb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, wanted: &str, expected: Option<&str>) {
        let of = |text: &str| SqlType::parse(text).expect("a type");
        let to = widened(of(from), of(wanted), "c", false).expect("a way").map(|widened| widened.to.to_string());
        assert_eq!(to.as_deref(), expected, "{from} to {wanted}");
    }

    #[test]
    fn a_column_becomes_as_wide_as_it_must_and_never_narrower() {
        for (from, wanted, expected) in [
            ("smallint", "integer", Some("integer")),
            ("bigint", "smallint", None),
            ("bigint", "numeric", Some("numeric")),
            ("bigint", "numeric(12,2)", Some("numeric")),
            ("integer", "numeric(12,2)", Some("numeric(12,2)")),
            ("bigint", "double precision", Some("numeric")),
            ("numeric(12,2)", "numeric(10,4)", Some("numeric")),
            ("numeric(12,2)", "numeric(14,2)", Some("numeric(14,2)")),
            ("numeric(12,2)", "integer", None),
            ("real", "double precision", Some("double precision")),
            ("double precision", "numeric", Some("numeric")),
            ("character varying(5)", "character varying(9)", Some("character varying(9)")),
            ("character varying(9)", "character varying(5)", None),
            ("character varying(5)", "text", Some("text")),
            ("character(3)", "character(5)", Some("text")),
            ("uuid", "text", Some("text")),
            ("text", "date", None),
            ("date", "timestamp with time zone", Some("text")),
            ("bigint", "text", Some("text")),
            ("text", "bigint", Some("jsonb")),
            ("boolean", "text", Some("jsonb")),
            ("boolean", "bigint", Some("jsonb")),
            ("jsonb", "text", None),
            ("json", "text", Some("jsonb")),
            ("integer[]", "jsonb", Some("jsonb")),
            ("timestamp(3) without time zone", "timestamp without time zone", Some("timestamp without time zone")),
        ] {
            check(from, wanted, expected);
        }
        let of = |text: &str| SqlType::parse(text).expect("a type");
        assert_eq!(widened(of("interval[]"), of("jsonb"), "c", false), Err(()));
        assert_eq!(widened(of("real"), of("numeric"), "c", false).unwrap().unwrap().using, "c::text::numeric");
    }
}
