//! What is remembered: how far the log was read, and of each table how far the walk came.

use longshore_sdk::{Error, Result};
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

/// An entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) seq: i64,
    /// Random, written by the database: tells this entry from one that got the same number in another copy.
    pub(crate) mark: i64,
}

/// The task's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskState {
    /// Which log.
    pub(crate) log: String,
    /// The last entry that is covered.
    pub(crate) cursor: Cursor,
}

/// A binding's part. As a patch it says all of it again, and null is what is not there any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Number of the triggers that note changes since the walk began.
    pub(crate) watch: i64,
    /// Of the columns the rows were read with.
    pub(crate) fingerprint: String,
    /// The last row the walk took; none: it is at its beginning, or through.
    #[serde(default)]
    pub(crate) after: Option<Vec<Stored>>,
    pub(crate) walked: bool,
    /// Rows the walk took.
    pub(crate) rows: u64,
    /// How often row ids had been given anew by then.
    pub(crate) renumbered: i64,
}

impl Part {
    pub(crate) fn beginning(watch: i64, fingerprint: String, renumbered: i64) -> Part {
        Part { watch, fingerprint, after: None, walked: false, rows: 0, renumbered }
    }
}

/// Reads what a session wrote.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        let message = format!("capture-sqlite reads its state: expected what it wrote, got another shape: {error}");
        Error::config("sqlite.state", message).suggest("use the version of the connector that wrote it")
    })
}

/// A value of SQLite, exactly: a double by its bits, a text by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stored {
    Null,
    Integer(i64),
    Real(u64),
    #[serde(with = "hex")]
    Text(Vec<u8>),
    #[serde(with = "hex")]
    Blob(Vec<u8>),
}

impl Stored {
    pub(crate) fn value(&self) -> ValueRef<'_> {
        match self {
            Stored::Null => ValueRef::Null,
            Stored::Integer(value) => ValueRef::Integer(*value),
            Stored::Real(bits) => ValueRef::Real(f64::from_bits(*bits)),
            Stored::Text(bytes) => ValueRef::Text(bytes),
            Stored::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

impl ToSql for Stored {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.value()))
    }
}

/// Bytes as text: a text of SQLite need not be UTF-8.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pairs = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        pairs.map(|pair| byte(pair).ok_or_else(|| D::Error::custom("expected pairs of hex digits"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_every_value_to_the_bit() {
        let after = vec![
            Stored::Null,
            Stored::Integer(i64::MIN),
            Stored::Real((-0.0_f64).to_bits()),
            Stored::Text(vec![b'a', 0, 0xff]),
            Stored::Blob(Vec::new()),
        ];
        let part = Part { after: Some(after), ..Part::beginning(3, "f".to_owned(), 0) };
        let json = serde_json::to_vec(&part).expect("a state");
        assert_eq!(read::<Part>(&json).expect("the same"), part);
    }
}
