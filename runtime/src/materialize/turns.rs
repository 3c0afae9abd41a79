//! What the next transaction reads: which bindings, from where, and how far. Pure.
//!
//! Bindings of a journal at equal positions are a group, read together. A binding that was added later lags behind; its group gets
//! transactions of its own that never pass the next group, takes turns with the leaders, and is one with them when it has got there.

use std::collections::BTreeMap;

use super::checkpoint::{Extent, Place};
use crate::journal::{JournalId, Position};

/// Offsets to stop at, of all journals that are read; none: they are read as far as they go.
pub type Ends = BTreeMap<JournalId, u64>;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The group of each journal that is farthest.
    Leaders,
    /// The group of each journal that is farthest behind another.
    Laggards,
}

/// What a transaction reads, journal by journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// In the order of the journals' ids.
    pub readings: Vec<Reading>,
}

/// What it reads of one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The journal.
    pub journal: JournalId,
    /// Where to begin.
    pub start: Position,
    /// The offset not to pass, where a transaction of the journal ends.
    pub limit: Option<u64>,
    /// For whom.
    pub takes: Vec<Take>,
}

/// What one binding takes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// The binding.
    pub place: Place,
    /// Its first offset.
    pub from: u64,
    /// The first offset it does not take; `None`: as far as the reading goes.
    pub to: Option<u64>,
}

impl Selection {
    /// Of the groups whose turn it is.
    #[must_use]
    pub fn of(places: &BTreeMap<Place, Position>, turn: Turn, ends: &Ends) -> Self {
        let reading = |(journal, groups): (JournalId, BTreeMap<Position, Vec<Place>>)| {
            let (group, next) = match turn {
                Turn::Leaders => (groups.last_key_value()?, None),
                Turn::Laggards => {
                    let mut ascending = groups.iter();
                    (ascending.next()?, Some(ascending.next()?.0.offset))
                }
            };
            let (start, members) = (*group.0, group.1);
            let limit = [next, ends.get(&journal).copied()].into_iter().flatten().min();
            let takes =
                members.iter().map(|place| Take { place: place.clone(), from: start.offset, to: None }).collect();
            limit.is_none_or(|limit| start.offset < limit).then_some(Reading { journal, start, limit, takes })
        };
        Self { readings: groups(places).into_iter().filter_map(reading).collect() }
    }

    /// Of just what an extent covers.
    #[must_use]
    pub fn exactly(extent: &Extent) -> Self {
        let mut readings: BTreeMap<JournalId, Reading> = BTreeMap::new();
        for (place, span) in &extent.spans {
            let empty =
                Reading { journal: place.journal, start: span.from, limit: Some(span.to.offset), takes: Vec::new() };
            let reading = readings.entry(place.journal).or_insert(empty);
            reading.start = reading.start.min(span.from);
            reading.limit = reading.limit.max(Some(span.to.offset));
            reading.takes.push(Take { place: place.clone(), from: span.from.offset, to: Some(span.to.offset) });
        }
        Self { readings: readings.into_values().collect() }
    }
}

/// Whether some binding lags behind another one of its journal.
#[must_use]
pub fn has_laggards(places: &BTreeMap<Place, Position>) -> bool {
    groups(places).values().any(|groups| groups.len() > 1)
}

/// Whether all bindings have reached these ends; without ends nothing has.
#[must_use]
pub fn reached(places: &BTreeMap<Place, Position>, ends: &Ends) -> bool {
    !ends.is_empty()
        && places.iter().all(|(place, position)| ends.get(&place.journal).is_some_and(|end| position.offset >= *end))
}

fn groups(places: &BTreeMap<Place, Position>) -> BTreeMap<JournalId, BTreeMap<Position, Vec<Place>>> {
    let mut groups: BTreeMap<JournalId, BTreeMap<Position, Vec<Place>>> = BTreeMap::new();
    for (place, position) in places {
        groups.entry(place.journal).or_default().entry(*position).or_default().push(place.clone());
    }
    groups
}

#[cfg(test)]
mod tests {
    use longshore_proto::name::StateKey;

    use super::*;

    fn place(journal: u8, binding: &str) -> Place {
        Place { journal: JournalId([journal; 16]), binding: StateKey::new(&[binding.to_owned()], 0) }
    }

    fn at(offset: u64) -> Position {
        Position { offset, chain_crc: 1 }
    }

    fn told(selection: &Selection) -> Vec<(u8, u64, Option<u64>, usize)> {
        selection.readings.iter().map(|r| (r.journal.0[0], r.start.offset, r.limit, r.takes.len())).collect()
    }

    #[test]
    fn equals_are_read_together_and_a_laggard_never_passes_the_next() {
        let places =
            [(place(1, "a"), at(9)), (place(1, "b"), at(9)), (place(1, "new"), at(0)), (place(2, "x"), at(4))].into();
        let none = Ends::new();
        assert_eq!(told(&Selection::of(&places, Turn::Leaders, &none)), [(1, 9, None, 2), (2, 4, None, 1)]);
        assert_eq!(told(&Selection::of(&places, Turn::Laggards, &none)), [(1, 0, Some(9), 1)]);
        assert!(has_laggards(&places));
    }

    #[test]
    fn nothing_passes_the_noted_end() {
        let places = [(place(1, "a"), at(9)), (place(1, "new"), at(0)), (place(2, "x"), at(4))].into();
        let ends = Ends::from([(JournalId([1; 16]), 7), (JournalId([2; 16]), 6)]);
        assert_eq!(told(&Selection::of(&places, Turn::Leaders, &ends)), [(2, 4, Some(6), 1)]);
        assert_eq!(told(&Selection::of(&places, Turn::Laggards, &ends)), [(1, 0, Some(7), 1)]);
        assert!(!reached(&places, &ends));
        let there = [(place(1, "a"), at(9)), (place(1, "new"), at(7)), (place(2, "x"), at(6))].into();
        assert!(reached(&there, &ends));
        assert!(!reached(&there, &Ends::new()), "no end is noted yet");
    }
}
