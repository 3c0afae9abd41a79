//! At Opened: what both sides remember is compared, and each position that is remembered is looked for in its journal.

use std::collections::BTreeMap;

use longshore_failpoints::{Plant, is_planted};
use longshore_proto::Error;
use longshore_proto::session::Recorded;

use super::Facts;
use crate::journal::Position;
use crate::materialize::checkpoint::Place;
use crate::materialize::gather::{Gatherer, Source};
use crate::materialize::resume::{self, Remembered, Resume, Standing};

/// Compares what both sides remember.
pub(super) fn compare(
    facts: &Facts,
    sources: &[Source],
    pending: Option<u64>,
    recorded: Option<&Recorded>,
) -> Result<Resume, Error> {
    let recorded = recorded.filter(|_| !is_planted(Plant::DestinationNotAsked));
    let failed = std::cell::RefCell::new(None);
    let collections: BTreeMap<_, _> = facts.places.iter().zip(&facts.collections).collect();
    // Most bindings of a journal are at one position, and a look reads from the beginning of a segment.
    let looked = std::cell::RefCell::new(BTreeMap::new());
    let standing = |place: &Place, position: Position| {
        let known = looked.borrow().get(&(place.journal, position)).copied();
        if let Some(known) = known.filter(|_| position != Position::BEGINNING) {
            return known;
        }
        let source = sources.iter().find(|source| source.journal.id() == Some(place.journal));
        let collection = collections.get(place).map_or("", |collection| collection.as_str());
        let standing = match source.map(|source| Gatherer::standing(&*source.journal, position, collection)) {
            Some(Ok(standing)) => standing,
            Some(Err(error)) => {
                failed.borrow_mut().get_or_insert(error);
                Standing::Has
            }
            None => Standing::Differs,
        };
        looked.borrow_mut().insert((place.journal, position), standing);
        standing
    };
    let remembered = Remembered {
        task: &facts.task,
        guarantee: facts.guarantee,
        places: &facts.places,
        has_delta: facts.has_delta,
        spec_version: facts.spec_version,
        ours: &facts.ours,
        extent: facts.extent.as_ref(),
        pending,
        recorded,
        standing: &standing,
    };
    let resume = resume::decide(&remembered);
    match failed.into_inner() {
        Some(error) => Err(error.into()),
        None => resume,
    }
}
