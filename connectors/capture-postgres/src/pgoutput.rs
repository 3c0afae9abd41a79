//! The messages of `pgoutput`, protocol version 1: bytes in, messages out. A pure module; what they mean together is in `stream.rs`.
//!
//! A message that is cut short, goes on too long or says what we do not know is an error, never a guess.

use bytes::{Buf, Bytes};

use crate::lsn::Lsn;

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

/// A row, in the order of its relation's columns.
pub(crate) type Tuple = Vec<Cell>;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    /// A large value that did not change and is not sent.
    Unchanged,
    /// As the type's output function writes it.
    Text(Bytes),
}

impl Old {
    pub(crate) fn tuple(&self) -> &Tuple {
        match self {
            Old::Key(tuple) | Old::Row(tuple) => tuple,
        }
    }
}

/// Reads one message.
pub(crate) fn parse(bytes: Bytes) -> Result<Message, String> {
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
            Message::Truncate { relations: (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()? }
        }
        b'M' => {
            reader.u8()?;
            reader.u64()?;
            reader.text()?;
            let length = reader.u32()?;
            reader.take(length)?;
            Message::Logical
        }
        other => return Err(format!("expected a message we know, got {:?}", char::from(other))),
    };
    match reader.0.len() {
        0 => Ok(message),
        more => Err(format!("expected the message's end, got {more} bytes more")),
    }
}

struct Reader(Bytes);

impl Reader {
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

    fn take(&mut self, length: u32) -> Result<Bytes, String> {
        match usize::try_from(length) {
            Ok(length) if length <= self.0.len() => Ok(self.0.split_to(length)),
            Ok(_) | Err(_) => Err(format!("expected {length} bytes more, got {}", self.0.len())),
        }
    }

    /// Up to a NUL.
    fn text(&mut self) -> Result<String, String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or("expected a text with its end, got none")?;
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(bytes.to_vec()).map_err(|_| "expected a name in UTF-8, got other bytes".to_owned())
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

    fn update(&mut self) -> Result<Message, String> {
        let relation = self.u32()?;
        Ok(match self.u8()? {
            b'N' => Message::Update { relation, old: None, new: self.tuple()? },
            tag => {
                let old = Some(self.old(tag)?);
                Message::Update { relation, old, new: self.tagged(b'N')? }
            }
        })
    }

    fn old(&mut self, tag: u8) -> Result<Old, String> {
        match tag {
            b'K' => self.tuple().map(Old::Key),
            b'O' => self.tuple().map(Old::Row),
            other => Err(format!("expected a row as it was, got {:?}", char::from(other))),
        }
    }

    fn tagged(&mut self, tag: u8) -> Result<Tuple, String> {
        match self.u8()? {
            found if found == tag => self.tuple(),
            other => Err(format!("expected {:?} before a row, got {:?}", char::from(tag), char::from(other))),
        }
    }

    fn tuple(&mut self) -> Result<Tuple, String> {
        let count = self.u16()?;
        let cell = |_| {
            Ok(match self.u8()? {
                b'n' => Cell::Null,
                b'u' => Cell::Unchanged,
                b't' => {
                    let length = self.u32()?;
                    Cell::Text(self.take(length)?)
                }
                other => return Err(format!("expected a value as text, got kind {:?}", char::from(other))),
            })
        };
        (0..count).map(cell).collect()
    }
}

fn cut_short(error: bytes::TryGetError) -> String {
    format!("expected {} bytes more, got {}", error.requested, error.available)
}

#[cfg(test)]
#[path = "pgoutput_tests.rs"]
mod tests;
