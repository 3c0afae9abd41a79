//! On which side of the journal a difference came about: what the journal has of the key, beside what the ends have.

use std::fmt;

use longshore_proto::Error;
use longshore_proto::document::Op;
use longshore_proto::verify::Hasher;
use serde_json::value::RawValue;

use super::compare::Difference;
use super::history::Said;

/// Why a key's rows differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The journal has nothing of the key, and has all there ever was.
    NeverCaptured,
    /// It has nothing of the key, but was trimmed or began later.
    NotKept,
    /// It has what the source has, and the destination does not.
    NotInDestination(u64),
    /// It has what the destination has, and the source does not.
    NotCaptured(u64),
    /// It has the deletion of a row that is in the destination.
    DeletedAndThere(u64),
    /// Dead letter: the document of this offset was set aside.
    SetAside(u64),
    /// It has something else than both.
    NeitherOne(u64),
}

impl Because {
    /// A short and stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NeverCaptured => "never_captured",
            Self::NotKept => "not_kept",
            Self::NotInDestination(_) => "not_in_destination",
            Self::NotCaptured(_) => "not_captured",
            Self::DeletedAndThere(_) => "deleted_and_there",
            Self::SetAside(_) => "set_aside",
            Self::NeitherOne(_) => "neither_one",
        }
    }

    /// Where the journal has its last document of the key.
    #[must_use]
    pub fn offset(self) -> Option<u64> {
        match self {
            Self::NeverCaptured | Self::NotKept => None,
            Self::NotInDestination(offset)
            | Self::NotCaptured(offset)
            | Self::DeletedAndThere(offset)
            | Self::SetAside(offset)
            | Self::NeitherOne(offset) => Some(offset),
        }
    }
}

/// For people.
impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverCaptured => {
                f.write_str("the journal never had this key: the row was not captured, or stored by somebody else")
            }
            Self::NotKept => f.write_str("the journal does not have this key any more"),
            Self::NotInDestination(offset) => {
                write!(f, "captured as the source has it (offset {offset}): changed in the destination, or not stored")
            }
            Self::NotCaptured(offset) => {
                write!(
                    f,
                    "stored as it was captured last (offset {offset}): the source has changed without the capture seeing it"
                )
            }
            Self::DeletedAndThere(offset) => {
                write!(f, "captured as deleted (offset {offset}): put back in the destination, or not deleted there")
            }
            Self::SetAside(offset) => {
                write!(f, "its document (offset {offset}) is a dead letter: `longshore dlq list`")
            }
            Self::NeitherOne(offset) => {
                write!(
                    f,
                    "captured last with other values (offset {offset}): both ends have changed since, or the capture missed one"
                )
            }
        }
    }
}

/// Says why. `said`: the last the journal has of the key. `begins_at`: the first offset that is there. `is_set_aside`: whether the document of an
/// offset was.
///
/// # Errors
/// A row is none of this binding.
pub fn because(
    hasher: &mut Hasher,
    difference: &Difference,
    said: Option<&Said>,
    begins_at: u64,
    is_set_aside: impl Fn(u64) -> bool,
) -> Result<Because, Error> {
    let Some(Said { offset, op, document }) = said else {
        return Ok(if begins_at == 0 { Because::NeverCaptured } else { Because::NotKept });
    };
    let offset = *offset;
    if is_set_aside(offset) {
        return Ok(Because::SetAside(offset));
    }
    let (source, destination) = (&difference.source, &difference.destination);
    if *op == Op::Delete {
        return Ok(match (source, destination) {
            (None, Some(_)) => Because::DeletedAndThere(offset),
            (Some(_), None) => Because::NotCaptured(offset),
            (_, _) => Because::NeitherOne(offset),
        });
    }
    let text = String::from_utf8_lossy(document);
    let mut row = Vec::new();
    hasher.of_document(&text, &mut row)?;
    // What a document does not say of a row that is changed in parts, it leaves as it was.
    let says: Vec<bool> = row.iter().map(Option::is_some).collect();
    let captured = hasher.told(&row)?;
    let (_, captured) = hasher.read_told(&captured)?;
    let key_parts = hasher.key_parts();
    let agrees = |end: &Option<bytes::Bytes>, hasher: &Hasher| -> Result<bool, Error> {
        let Some(end) = end else { return Ok(false) };
        let (_, end): (_, Vec<&RawValue>) = hasher.read_told(end)?;
        let unlike = hasher.unlike(&captured, &end)?;
        Ok(unlike.iter().all(|place| !says.get(key_parts + place).copied().unwrap_or_default()))
    };
    Ok(match (agrees(source, hasher)?, agrees(destination, hasher)?) {
        (true, _) => Because::NotInDestination(offset),
        (false, true) => Because::NotCaptured(offset),
        (false, false) => Because::NeitherOne(offset),
    })
}
