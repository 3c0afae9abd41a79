//! SQL types as they travel in the `format` of a JSON Schema: `pg:numeric(12,2)`, `uuid`, `date`, `date-time`. What is not on the list of
//! built-in types here is no type to us, and no text of a schema gets into a statement: what is written there is made anew from [`SqlType`].
//!
//! Not on the list are types that cut what they are given without a word (`name`, `"char"`), those whose values mean something in one database
//! only (`regclass` and its kind), and everything a user made.

use std::fmt;

/// What stands before the text of `format_type()` in a `format`.
pub const FORMAT_PREFIX: &str = "pg:";
const NUMERIC_PRECISION_MAX: u16 = 1000;
const CHARACTERS_MAX: u32 = 10_485_760;
const BITS_MAX: u32 = 83_886_080;
const SECONDS_PRECISION_MAX: u8 = 6;
const INTERVAL_FIELDS: [&str; 14] = [
    "",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "year to month",
    "day to hour",
    "day to minute",
    "day to second",
    "hour to minute",
    "hour to second",
    "minute to second",
];
/// Types without a modifier that are no more to us than the texts they print.
const PLAIN: [&str; 35] = [
    "box",
    "cidr",
    "circle",
    "datemultirange",
    "daterange",
    "inet",
    "int4multirange",
    "int4range",
    "int8multirange",
    "int8range",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "nummultirange",
    "numrange",
    "oid",
    "path",
    "pg_lsn",
    "pg_snapshot",
    "point",
    "polygon",
    "tid",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "txid_snapshot",
    "xid",
    "xid8",
    "xml",
];

/// A type of a column: a scalar one, or arrays of it (whose number of dimensions PostgreSQL does not fix).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SqlType {
    pub scalar: Scalar,
    pub array: bool,
}

/// A built-in type. A modifier that is `None` is not given, and then nothing is cut or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scalar {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    /// Precision and scale; the scale may be below zero.
    Numeric(Option<(u16, i16)>),
    Real,
    Double,
    Text,
    Varchar(Option<u32>),
    /// `character(n)`; without a length `bpchar`.
    Char(Option<u32>),
    Bytea,
    Uuid,
    Json,
    Jsonb,
    Date,
    Time {
        zone: bool,
        precision: Option<u8>,
    },
    Timestamp {
        zone: bool,
        precision: Option<u8>,
    },
    Interval {
        fields: &'static str,
        precision: Option<u8>,
    },
    Bit {
        varying: bool,
        length: Option<u32>,
    },
    /// By its name.
    Plain(&'static str),
}

impl SqlType {
    /// The type that `format_type()` prints so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix("[]") {
            Some(element) => Some(Self { scalar: Scalar::parse(element)?, array: true }),
            None => Some(Self { scalar: Scalar::parse(text)?, array: false }),
        }
    }

    /// The type that a `format` of a schema names.
    #[must_use]
    pub fn from_format(format: &str) -> Option<Self> {
        match format {
            "uuid" => Some(Scalar::Uuid.into()),
            "date" => Some(Scalar::Date.into()),
            "date-time" => Some(Scalar::Timestamp { zone: true, precision: None }.into()),
            _ => Self::parse(format.strip_prefix(FORMAT_PREFIX)?),
        }
    }
}

impl From<Scalar> for SqlType {
    fn from(scalar: Scalar) -> Self {
        Self { scalar, array: false }
    }
}

impl Scalar {
    fn parse(text: &str) -> Option<Self> {
        let (name, modifier, rest) = parts(text)?;
        // Nothing stands behind a modifier but the zone of `time(3) with time zone`.
        let zone = match (rest, name) {
            ("", _) => None,
            (" with time zone", "time" | "timestamp") => Some(true),
            (" without time zone", "time" | "timestamp") => Some(false),
            _ => return None,
        };
        let precision = || match modifier {
            None => Some(None),
            Some(_) => number(modifier?).filter(|digits| *digits <= SECONDS_PRECISION_MAX).map(Some),
        };
        let length = |max: u32| match modifier {
            None => Some(None),
            Some(_) => number(modifier?).filter(|length| (1..=max).contains(length)).map(Some),
        };
        Some(match (name, modifier, zone) {
            ("boolean", None, None) => Scalar::Boolean,
            ("smallint", None, None) => Scalar::SmallInt,
            ("integer", None, None) => Scalar::Integer,
            ("bigint", None, None) => Scalar::BigInt,
            ("real", None, None) => Scalar::Real,
            ("double precision", None, None) => Scalar::Double,
            ("text", None, None) => Scalar::Text,
            ("bytea", None, None) => Scalar::Bytea,
            ("uuid", None, None) => Scalar::Uuid,
            ("json", None, None) => Scalar::Json,
            ("jsonb", None, None) => Scalar::Jsonb,
            ("date", None, None) => Scalar::Date,
            ("numeric", None, None) => Scalar::Numeric(None),
            ("numeric", Some(modifier), None) => Scalar::Numeric(Some(precision_and_scale(modifier)?)),
            ("character varying", _, None) => Scalar::Varchar(length(CHARACTERS_MAX)?),
            ("character", _, None) => Scalar::Char(length(CHARACTERS_MAX)?),
            ("bpchar", None, None) => Scalar::Char(None),
            ("bit varying", _, None) => Scalar::Bit { varying: true, length: length(BITS_MAX)? },
            ("bit", _, None) => Scalar::Bit { varying: false, length: length(BITS_MAX)? },
            ("\"bit\"", None, None) => Scalar::Bit { varying: false, length: None },
            ("time", Some(_), Some(zone)) => Scalar::Time { zone, precision: precision()? },
            ("timestamp", Some(_), Some(zone)) => Scalar::Timestamp { zone, precision: precision()? },
            ("time with time zone", None, None) => Scalar::Time { zone: true, precision: None },
            ("time without time zone", None, None) => Scalar::Time { zone: false, precision: None },
            ("timestamp with time zone", None, None) => Scalar::Timestamp { zone: true, precision: None },
            ("timestamp without time zone", None, None) => Scalar::Timestamp { zone: false, precision: None },
            (name, _, None) if name == "interval" || name.starts_with("interval ") => {
                let named = name.strip_prefix("interval")?.trim_start();
                let fields = INTERVAL_FIELDS.into_iter().find(|fields| *fields == named)?;
                Scalar::Interval { fields, precision: precision()? }
            }
            (name, None, None) => Scalar::Plain(PLAIN.into_iter().find(|plain| *plain == name)?),
            (_, _, _) => return None,
        })
    }
}

/// `name(modifier)rest`.
fn parts(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let Some((name, rest)) = text.split_once('(') else { return Some((text, None, "")) };
    let (modifier, rest) = rest.split_once(')')?;
    Some((name, Some(modifier), rest))
}

/// Digits alone: no sign, no spaces.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn precision_and_scale(modifier: &str) -> Option<(u16, i16)> {
    let (precision, scale) = modifier.split_once(',').unwrap_or((modifier, "0"));
    let precision = number(precision).filter(|precision| (1..=NUMERIC_PRECISION_MAX).contains(precision))?;
    let (sign, digits) = scale.strip_prefix('-').map_or((1, scale), |digits| (-1, digits));
    let scale = number::<i16>(digits).filter(|scale| *scale <= NUMERIC_PRECISION_MAX.cast_signed())?;
    Some((precision, sign * scale))
}

/// As `format_type()` has it, which is how it is written in a statement, where `search_path` is `pg_catalog`.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scalar, if self.array { "[]" } else { "" })
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modified = |f: &mut fmt::Formatter<'_>, name: &str, modifier: Option<u32>| match modifier {
            Some(modifier) => write!(f, "{name}({modifier})"),
            None => f.write_str(name),
        };
        let of_zone = |zone: bool| if zone { " with time zone" } else { " without time zone" };
        match *self {
            Scalar::Boolean => f.write_str("boolean"),
            Scalar::SmallInt => f.write_str("smallint"),
            Scalar::Integer => f.write_str("integer"),
            Scalar::BigInt => f.write_str("bigint"),
            Scalar::Numeric(None) => f.write_str("numeric"),
            Scalar::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            Scalar::Real => f.write_str("real"),
            Scalar::Double => f.write_str("double precision"),
            Scalar::Text => f.write_str("text"),
            Scalar::Varchar(length) => modified(f, "character varying", length),
            // `character` alone would be `character(1)`, `bit` alone `bit(1)`.
            Scalar::Char(None) => f.write_str("bpchar"),
            Scalar::Char(length) => modified(f, "character", length),
            Scalar::Bytea => f.write_str("bytea"),
            Scalar::Uuid => f.write_str("uuid"),
            Scalar::Json => f.write_str("json"),
            Scalar::Jsonb => f.write_str("jsonb"),
            Scalar::Date => f.write_str("date"),
            Scalar::Time { zone, precision } => {
                modified(f, "time", precision.map(u32::from))?;
                f.write_str(of_zone(zone))
            }
            Scalar::Timestamp { zone, precision } => {
                modified(f, "timestamp", precision.map(u32::from))?;
                f.write_str(of_zone(zone))
            }
            Scalar::Interval { fields, precision } => {
                let name = format!("interval {fields}");
                modified(f, name.trim_end(), precision.map(u32::from))
            }
            Scalar::Bit { varying: true, length } => modified(f, "bit varying", length),
            Scalar::Bit { varying: false, length: None } => f.write_str("\"bit\""),
            Scalar::Bit { varying: false, length } => modified(f, "bit", length),
            Scalar::Plain(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Database;

    #[test]
    fn a_type_is_written_as_the_server_prints_it() {
        let mut texts: Vec<String> = PLAIN.iter().map(|plain| (*plain).to_owned()).collect();
        texts.extend(
            [
                "boolean",
                "smallint",
                "integer",
                "bigint",
                "numeric",
                "numeric(12,2)",
                "numeric(1000,0)",
                "numeric(3,-2)",
                "real",
                "double precision",
                "text",
                "character varying",
                "character varying(20)",
                "character(3)",
                "bpchar",
                "bytea",
                "uuid",
                "json",
                "jsonb",
                "date",
                "time without time zone",
                "time(3) with time zone",
                "timestamp(0) without time zone",
                "timestamp with time zone",
                "interval",
                "interval(3)",
                "interval year to month",
                "interval day to second(3)",
                "bit(3)",
                "bit varying",
                "bit varying(7)",
                "\"bit\"",
                "integer[]",
                "character varying(20)[]",
                "numeric(12,2)[]",
            ]
            .map(str::to_owned),
        );
        let database = Database::new();
        for text in texts {
            let parsed = SqlType::parse(&text).unwrap_or_else(|| panic!("{text} is a type"));
            assert_eq!(parsed.to_string(), text);
            assert_eq!(SqlType::from_format(&format!("pg:{text}")), Some(parsed));
            let select = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum = 1";
            let printed = database
                .run(&format!("SET search_path = pg_catalog, public; CREATE TEMP TABLE t (c {text}); {select}"));
            assert_eq!(printed, text, "as the server prints it");
        }
        assert_eq!(SqlType::parse("character").map(|of| of.to_string()).as_deref(), Some("bpchar"));
        assert_eq!(
            SqlType::from_format("date-time").map(|of| of.to_string()).as_deref(),
            Some("timestamp with time zone")
        );
    }

    #[test]
    fn what_is_not_on_the_list_is_no_type() {
        for text in [
            "",
            "[]",
            "int",
            "integer[][]",
            "INTEGER",
            " integer",
            "integer ",
            "integer; drop table x",
            "numeric(12,2) default 1",
            "numeric(0,0)",
            "numeric(1001,0)",
            "numeric(+5,2)",
            "numeric( 5,2)",
            "numeric(5,2",
            "numeric(5,2)x",
            "numeric()",
            "text(3)",
            "character varying(0)",
            "character varying(-1)",
            "character varying(99999999999)",
            "time(7) with time zone",
            "time",
            "time(3)",
            "timestamp",
            "interval foo",
            "interval day to second(9)",
            "name",
            "\"char\"",
            "regclass",
            "public.mood",
            "date(3)",
            "uuid with time zone",
            "bit(3) with time zone",
        ] {
            assert_eq!(SqlType::parse(text), None, "{text}");
        }
        for format in ["integer", "pg:", "time", "email", "pg:pg:integer"] {
            assert_eq!(SqlType::from_format(format), None, "{format}");
        }
    }
}
