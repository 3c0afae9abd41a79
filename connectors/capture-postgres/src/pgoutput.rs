//! The messages of `pgoutput`, protocol version 1: bytes in, messages out. A pure module; what they mean together is in `stream.rs`.
//!
//! A message that is cut short, goes on too long or says what we do not know is an error, never a guess.

use bytes::Buf as _;

use crate::lsn::Lsn;
use crate::rows::{Tuple, Unread};

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Begin(Begin),
    Commit(Commit),
    /// Where a transaction came from, if from another server.
    Origin,
    Relation(Relation),
    /// Name of a type that is not built in; we ask the catalog by its number.
    Type,
    Insert {
        relation: u32,
        new: Tuple,
    },
    Update {
        relation: u32,
        old: Option<Old>,
        new: Tuple,
    },
    Delete {
        relation: u32,
        old: Old,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// What somebody wrote into the log with `pg_logical_emit_message`.
    Logical,
}

/// A transaction begins. Only those that were committed are sent, each as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) commit: Lsn,
    /// Microseconds since 2000-01-01.
    pub(crate) committed_micros: i64,
    pub(crate) xid: u32,
}

/// A transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Behind its last byte: where the next one may begin.
    pub(crate) end: Lsn,
}

/// A table as it was when what follows was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// `relreplident`.
    pub(crate) identity: u8,
    pub(crate) columns: Vec<Column>,
}

/// One of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) is_identity: bool,
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    pub(crate) typmod: i32,
}

/// What a row was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Old {
    /// Only the columns of the replica identity say something, all others are null.
    Key(Tuple),
    Row(Tuple),
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What was expected.
    Broken(String),
    /// The value at this place of a row is no text in UTF-8.
    NoText(usize),
}

impl From<String> for Fault {
    fn from(expected: String) -> Fault {
        Fault::Broken(expected)
    }
}

impl Old {
    pub(crate) fn tuple(&self) -> &Tuple {
        match self {
            Old::Key(tuple) | Old::Row(tuple) => tuple,
        }
    }
}

/// Reads one message. What a row says is copied out of it, all values together.
pub(crate) fn parse(bytes: &[u8]) -> Result<Message, Fault> {
    let mut reader = Reader(bytes);
    let message = match reader.u8()? {
        b'B' => {
            let (commit, committed_micros) = (Lsn(reader.u64()?), reader.i64()?);
            Message::Begin(Begin { commit, committed_micros, xid: reader.u32()? })
        }
        b'C' => {
            reader.u8()?;
            reader.u64()?;
            let end = Lsn(reader.u64()?);
            reader.i64()?;
            Message::Commit(Commit { end })
        }
        b'O' => {
            reader.u64()?;
            reader.text()?;
            Message::Origin
        }
        b'R' => Message::Relation(reader.relation()?),
        b'Y' => {
            reader.u32()?;
            reader.text()?;
            reader.text()?;
            Message::Type
        }
        b'I' => {
            let relation = reader.u32()?;
            Message::Insert { relation, new: reader.tagged(b'N')? }
        }
        b'U' => reader.update()?,
        b'D' => {
            let relation = reader.u32()?;
            let tag = reader.u8()?;
            Message::Delete { relation, old: reader.old(tag)? }
        }
        b'T' => {
            let count = reader.u32()?;
            reader.u8()?;
            Message::Truncate { relations: (0..count).map(|_| reader.u32()).collect::<Result<_, String>>()? }
        }
        b'M' => {
            reader.u8()?;
            reader.u64()?;
            reader.text()?;
            let length = reader.u32()?;
            reader.take(length)?;
            Message::Logical
        }
        other => return Err(format!("expected a message we know, got {:?}", char::from(other)).into()),
    };
    match reader.0.len() {
        0 => Ok(message),
        more => Err(format!("expected the message's end, got {more} bytes more").into()),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn u8(&mut self) -> Result<u8, String> {
        self.0.try_get_u8().map_err(cut_short)
    }

    fn u16(&mut self) -> Result<u16, String> {
        self.0.try_get_u16().map_err(cut_short)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.0.try_get_u32().map_err(cut_short)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.0.try_get_u64().map_err(cut_short)
    }

    fn i64(&mut self) -> Result<i64, String> {
        self.0.try_get_i64().map_err(cut_short)
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], String> {
        let split = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let (taken, rest) = split.ok_or_else(|| format!("expected {length} bytes more, got {}", self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Up to a NUL.
    fn text(&mut self) -> Result<String, String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or("expected a text with its end, got none")?;
        let text = std::str::from_utf8(&self.0[..end]).map_err(|_| "expected a name in UTF-8, got other bytes")?;
        self.0 = &self.0[end + 1..];
        Ok(text.to_owned())
    }

    fn relation(&mut self) -> Result<Relation, String> {
        let oid = self.u32()?;
        let schema = match self.text()? {
            schema if schema.is_empty() => "pg_catalog".to_owned(),
            schema => schema,
        };
        let (name, identity, count) = (self.text()?, self.u8()?, self.u16()?);
        let column = |_| {
            Ok(Column {
                is_identity: self.u8()? & 1 == 1,
                name: self.text()?,
                type_oid: self.u32()?,
                typmod: self.u32()?.cast_signed(),
            })
        };
        let columns = (0..count).map(column).collect::<Result<_, String>>()?;
        Ok(Relation { oid, schema, name, identity, columns })
    }

    fn update(&mut self) -> Result<Message, Fault> {
        let relation = self.u32()?;
        Ok(match self.u8()? {
            b'N' => Message::Update { relation, old: None, new: self.tuple()? },
            tag => {
                let old = Some(self.old(tag)?);
                Message::Update { relation, old, new: self.tagged(b'N')? }
            }
        })
    }

    fn old(&mut self, tag: u8) -> Result<Old, Fault> {
        match tag {
            b'K' => self.tuple().map(Old::Key),
            b'O' => self.tuple().map(Old::Row),
            other => Err(format!("expected a row as it was, got {:?}", char::from(other)).into()),
        }
    }

    fn tagged(&mut self, tag: u8) -> Result<Tuple, Fault> {
        match self.u8()? {
            found if found == tag => self.tuple(),
            other => Err(format!("expected {:?} before a row, got {:?}", char::from(tag), char::from(other)).into()),
        }
    }

    fn tuple(&mut self) -> Result<Tuple, Fault> {
        let count = usize::from(self.u16()?);
        // No more room than the message has bytes, whatever it announces.
        let mut tuple = Unread::with_capacity(count.min(self.0.len()), self.0.len());
        for _ in 0..count {
            match self.u8()? {
                b'n' => tuple.null(),
                b'u' => tuple.unchanged(),
                b't' => {
                    let length = self.u32()?;
                    tuple.text(self.take(length)?);
                }
                other => return Err(format!("expected a value as text, got kind {:?}", char::from(other)).into()),
            }
        }
        tuple.tuple().map_err(Fault::NoText)
    }
}

fn cut_short(error: bytes::TryGetError) -> String {
    format!("expected {} bytes more, got {}", error.requested, error.available)
}

#[cfg(test)]
#[path = "pgoutput_tests.rs"]
mod tests;
