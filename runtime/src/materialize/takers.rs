//! Who takes what is read: the bindings of a collection, by reading. Made once for each selection, so that a batch finds its takers at once,
//! however many bindings the task has. Pure.

use std::collections::HashMap;

use super::checkpoint::Place;
use super::turns::{Selection, Take};

/// See the module.
#[derive(Debug)]
pub(super) struct Takers {
    /// Number and collection of each binding of the session.
    bindings: HashMap<Place, (usize, String)>,
    /// By reading and collection, in the order of the reading's takes.
    readings: Vec<HashMap<String, Vec<Taker>>>,
}

/// What one binding takes of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taker {
    /// Its number in the session.
    pub(super) target: usize,
    /// Its first offset.
    pub(super) from: u64,
    /// The first offset it does not take, if that is known.
    pub(super) to: Option<u64>,
}

/// What one binding takes of a batch: its documents `from..to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) target: usize,
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Takers {
    /// Of these bindings, in the order of their numbers, each with its collection.
    pub(super) fn new<'a>(bindings: impl Iterator<Item = (&'a Place, &'a str)>) -> Self {
        let numbered = bindings.enumerate().map(|(i, (place, collection))| (place.clone(), (i, collection.to_owned())));
        Self { bindings: numbered.collect(), readings: Vec::new() }
    }

    /// From now on of this selection. A take of a binding that the session has not is nobody's.
    pub(super) fn begin(&mut self, selection: &Selection) {
        let Self { bindings, readings } = self;
        let of_reading = |takes: &[Take]| {
            let mut takers: HashMap<String, Vec<Taker>> = HashMap::new();
            for Take { place, from, to } in takes {
                let Some((target, collection)) = bindings.get(place) else { continue };
                let taker = Taker { target: *target, from: *from, to: *to };
                match takers.get_mut(collection) {
                    Some(takers) => takers.push(taker),
                    None => drop(takers.insert(collection.clone(), vec![taker])),
                }
            }
            takers
        };
        *readings = selection.readings.iter().map(|reading| of_reading(&reading.takes)).collect();
    }

    /// Those of a collection, whatever of it they take.
    pub(super) fn of(&self, reading: usize, collection: &str) -> &[Taker] {
        self.readings.get(reading).and_then(|takers| takers.get(collection)).map_or(&[], Vec::as_slice)
    }

    /// Who takes something of a reading.
    pub(super) fn all_of(&self, reading: usize) -> impl Iterator<Item = &Taker> {
        self.readings.get(reading).into_iter().flat_map(HashMap::values).flatten()
    }

    /// What is taken of a batch of so many documents, the first of them at an offset.
    pub(super) fn taken(&self, reading: usize, collection: &str, first: u64, documents: usize) -> Vec<Taken> {
        self.of(reading, collection).iter().filter_map(|taker| taker.taken(first, documents)).collect()
    }

    /// The binding at this place, if it takes the document at an offset of the reading.
    pub(super) fn at(&self, reading: usize, place: &Place, offset: u64) -> Option<usize> {
        let (target, collection) = self.bindings.get(place)?;
        let takes = |taker: &&Taker| taker.target == *target && taker.taken(offset, 1).is_some();
        self.of(reading, collection).iter().find(takes).map(|taker| taker.target)
    }
}

impl Taker {
    fn taken(&self, first: u64, documents: usize) -> Option<Taken> {
        let within =
            |offset: u64| usize::try_from(offset.saturating_sub(first)).map_or(documents, |i| i.min(documents));
        let (from, to) = (within(self.from), self.to.map_or(documents, within));
        (from < to).then_some(Taken { target: self.target, from, to })
    }
}

#[cfg(test)]
mod tests {
    use longshore_proto::name::StateKey;

    use super::*;
    use crate::journal::{JournalId, Position};
    use crate::materialize::turns::Reading;

    fn place(binding: &str) -> Place {
        Place { journal: JournalId([1; 16]), binding: StateKey::new(&[binding.to_owned()], 0) }
    }

    fn takers(takes: Vec<Take>) -> Takers {
        let places = [place("a"), place("b"), place("c")];
        let mut takers = Takers::new(places.iter().zip(["one", "two", "one"]));
        let reading = Reading { journal: JournalId([1; 16]), start: Position::BEGINNING, limit: None, takes };
        takers.begin(&Selection { readings: vec![reading] });
        takers
    }

    fn take(binding: &str, from: u64, to: Option<u64>) -> Take {
        Take { place: place(binding), from, to }
    }

    #[test]
    fn a_batch_goes_to_the_bindings_of_its_collection_and_to_each_its_own_part() {
        let takers = takers(vec![take("c", 0, Some(12)), take("a", 13, None), take("b", 0, None)]);
        let taken = |target, from, to| Taken { target, from, to };
        assert_eq!(takers.taken(0, "one", 10, 5), [taken(2, 0, 2), taken(0, 3, 5)]);
        assert_eq!(takers.taken(0, "one", 12, 1), [], "one of them ends before, the other begins behind");
        assert_eq!(takers.taken(0, "two", 10, 5), [taken(1, 0, 5)]);
        assert_eq!(takers.taken(0, "three", 10, 5), []);
        assert_eq!(takers.taken(1, "one", 10, 5), [], "there is no such reading");
    }

    #[test]
    fn a_letter_goes_to_its_own_binding_where_that_reads() {
        let takers = takers(vec![take("a", 5, Some(9)), take("stranger", 0, None)]);
        let at = |binding, offset| takers.at(0, &place(binding), offset);
        assert_eq!([at("a", 4), at("a", 5), at("a", 8), at("a", 9)], [None, Some(0), Some(0), None]);
        assert_eq!([at("c", 5), at("stranger", 5)], [None, None], "of the same collection, and of no session");
    }
}
