//! What a user may write.

use std::path::PathBuf;

use longshore_postgres::Endpoint;
use longshore_sdk::time::Time;
use longshore_sdk::{Error, Result, Secret};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::NAME;

/// Captures tables and views of a PostgreSQL database by asking for their rows.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_debug_implementations, reason = "it holds a password")]
pub struct Config {
    /// `postgres://USER@HOST:PORT/DATABASE`; a directory that holds a Unix socket is written `%2Frun%2Fpostgresql` as host. Behind `?` stand
    /// `sslmode`, `connect_timeout` (seconds) and `application_name`.
    #[schemars(length(min = 1))]
    pub url: String,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret<String>>,
    /// PEM file with the authorities that may have signed the server's certificate, relative to the catalog. With it, `sslmode` is
    /// `verify-full` where nothing else is said.
    #[serde(default)]
    pub sslrootcert: Option<PathBuf>,
}

impl Config {
    /// The way to the server, as far as it can be checked without going there.
    pub(super) fn endpoint(&self) -> Result<Endpoint> {
        let Config { url, password, sslrootcert } = self.clone();
        let endpoint = Endpoint { url, password, sslrootcert };
        endpoint.check()?;
        Ok(endpoint)
    }
}

/// A table or a view.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its schema.
    #[serde(default = "public")]
    #[schemars(length(min = 1))]
    pub schema: String,
    /// Its name, as it is written in the catalog of the database.
    #[schemars(length(min = 1))]
    pub table: String,
    /// Columns that tell its rows apart. Without it: those of the primary key, or of a unique index over columns that are NOT NULL. A view has
    /// none of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub key: Vec<String>,
    /// A column that grows with each row that is new or changed: of type smallint, integer, bigint, numeric, date or timestamp. Without it
    /// each session reads all rows again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub cursor: Option<String>,
    /// How far below the greatest value of the cursor that was seen rows may still appear, as their transactions are committed later: a time
    /// such as `60s` for dates and timestamps, a number for numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LookBack")]
    pub look_back: Option<LookBack>,
}

fn public() -> String {
    "public".to_owned()
}

/// A distance on the cursor's scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub enum LookBack {
    /// Of numbers.
    Count(u64),
    /// Of dates and timestamps.
    Time(Time),
}

impl TryFrom<Value> for LookBack {
    type Error = String;

    fn try_from(value: Value) -> Result<LookBack, String> {
        let read = match &value {
            Value::Number(number) => number.as_u64().map(LookBack::Count),
            Value::String(text) => Time::try_from(text.clone()).ok().map(LookBack::Time),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        read.ok_or_else(|| format!("expected a time with its unit, such as `60s`, or a whole number, got {value}"))
    }
}

impl Serialize for LookBack {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            LookBack::Count(count) => serializer.serialize_u64(*count),
            LookBack::Time(Time(time)) => serializer.collect_str(&format_args!("{}us", time.as_micros())),
        }
    }
}

impl JsonSchema for LookBack {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LookBack".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "minimum": 0 })
    }
}

/// `look_back` says nothing without a cursor.
pub(super) fn check(resource: &Resource) -> Result<()> {
    match (&resource.cursor, &resource.look_back) {
        (None, Some(_)) => {
            let message = format!(
                "{NAME} reads the resource {}.{}: expected `look_back` beside a `cursor`, got it alone",
                resource.schema, resource.table
            );
            Err(Error::config("postgres.look_back", message)
                .at_pointer("/look_back")
                .suggest("name the column that grows as `cursor`, or take `look_back` out"))
        }
        (Some(_), _) | (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_look_back_is_a_time_or_a_number() {
        let read = |value: Value| LookBack::try_from(value);
        assert_eq!(read(json!("90s")), Ok(LookBack::Time(Time(Duration::from_secs(90)))));
        assert_eq!(read(json!(1000)), Ok(LookBack::Count(1000)));
        for wrong in [json!("90"), json!(-1), json!(1.5), json!(true), json!(null), json!("-1s")] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        for right in [json!("90s"), json!(7)] {
            let written = serde_json::to_value(read(right.clone()).unwrap()).unwrap();
            assert_eq!(read(written), read(right));
        }
    }
}
