//! What is remembered of the rows that the next session reads again, so that it says only of those something that are new or have changed: for
//! each key a hash of the whole row. Only rows within the look-back are kept, and of those at most so many; one that is forgotten is said again.
//!
//! By key, and not a set of rows: a row that changes and changes back is another one in between.

use std::collections::{HashMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::layout::Layout;
use crate::rows::{Cell, Row};

/// All bindings of a task together remember so many rows, which takes 22 bytes of the state for each, twice while a walk is under way.
pub(super) const ROWS_MAX: usize = 20_000;
const ENTRY_BYTES: usize = 16;

/// A row as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print {
    key: u64,
    row: u64,
}

/// Those that were read last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    rows: HashMap<u64, u64>,
    /// Keys, in the order in which they came.
    order: VecDeque<u64>,
}

impl Print {
    /// Of a row by its columns: under other names it is another one.
    pub(super) fn of(layout: &Layout, row: Row<'_>) -> Print {
        let key = layout.key_of(row);
        let named = layout.columns.iter().zip(row.cells());
        let row = named.flat_map(|(column, cell)| {
            let value = match cell {
                Cell::Null | Cell::Unchanged => None,
                Cell::Text(text) => Some(text),
            };
            [Some(column.name.as_str()), value]
        });
        Print { key: hash(key.iter().map(|part| Some(part.as_str()))), row: hash(row) }
    }
}

impl Seen {
    /// It was read as it is now.
    pub(super) fn has(&self, print: Print) -> bool {
        self.rows.get(&print.key) == Some(&print.row)
    }

    /// Remembers it; of more than so many, those that came first are forgotten.
    pub(super) fn add(&mut self, print: Print, rows_max: usize) {
        if self.rows.insert(print.key, print.row).is_none() {
            self.order.push_back(print.key);
        }
        while self.order.len() > rows_max {
            if let Some(first) = self.order.pop_front() {
                self.rows.remove(&first);
            }
        }
    }

    fn parse(text: &str) -> Option<Seen> {
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        let (entries, []) = bytes.as_chunks::<ENTRY_BYTES>() else { return None };
        let mut seen = Seen::default();
        for entry in entries {
            let (key, row) = entry.split_first_chunk::<8>()?;
            let row = row.first_chunk::<8>()?;
            seen.add(Print { key: u64::from_be_bytes(*key), row: u64::from_be_bytes(*row) }, usize::MAX);
        }
        Some(seen)
    }
}

/// Parts one behind the other, none of which can be taken for two.
fn hash<'a>(parts: impl Iterator<Item = Option<&'a str>>) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        match part {
            None => hasher.update([0xff; 8]),
            Some(text) => {
                hasher.update((text.len() as u64).to_be_bytes());
                hasher.update(text);
            }
        }
    }
    hasher.finalize().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.order.len() * ENTRY_BYTES);
        for key in &self.order {
            bytes.extend_from_slice(&key.to_be_bytes());
            bytes.extend_from_slice(&self.rows.get(key).copied().unwrap_or_default().to_be_bytes());
        }
        serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seen, D::Error> {
        let text = String::deserialize(deserializer)?;
        Seen::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("expected hashes of rows in base64, got another text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Tuple;
    use crate::types::Type;
    use crate::value::Form;

    fn print(cells: [Cell<'_>; 3]) -> Print {
        let plain = || Type { form: Form::Text, format: None };
        let columns = [("id", plain(), false), ("a", plain(), true), ("b", plain(), true)];
        let row: Tuple = cells.into_iter().collect();
        Print::of(&Layout::for_tests(columns.into_iter(), &["id"]), row.row())
    }

    #[test]
    fn a_row_is_known_as_it_was_read_last() {
        let (one, other) = (
            print([Cell::Text("1"), Cell::Text("ab"), Cell::Text("c")]),
            print([Cell::Text("1"), Cell::Text("a"), Cell::Text("bc")]),
        );
        let mut seen = Seen::default();
        seen.add(one, 9);
        assert!(seen.has(one) && !seen.has(other));
        seen.add(other, 9);
        assert!(seen.has(other) && !seen.has(one), "it is not what it was before");
        let null = print([Cell::Text("1"), Cell::Null, Cell::Text("")]);
        assert_ne!(null, print([Cell::Text("1"), Cell::Text(""), Cell::Null]));
    }

    #[test]
    fn those_that_came_first_are_forgotten_and_the_rest_survives_the_state() {
        let prints: Vec<Print> =
            ["1", "2", "3", "4"].iter().map(|id| print([Cell::Text(id), Cell::Null, Cell::Null])).collect();
        let mut seen = Seen::default();
        prints.iter().for_each(|print| seen.add(*print, 2));
        assert_eq!(prints.iter().map(|print| seen.has(*print)).collect::<Vec<_>>(), [false, false, true, true]);
        let json = serde_json::to_string(&seen).unwrap();
        assert_eq!(serde_json::from_str::<Seen>(&json).unwrap(), seen);
        for wrong in ["\"AA\"", "\"*\"", "7"] {
            assert!(serde_json::from_str::<Seen>(wrong).is_err(), "{wrong}");
        }
    }
}
