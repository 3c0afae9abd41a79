//! A transaction that must be finished under the spec it was begun under, before its task goes on to another one (semantics §3 and §6).
//!
//! What it covers is in the task store, and so is the spec: the catalog of now may know neither the bindings nor the captures any more. Here
//! stands with which bindings a session of that spec is opened and where their journals are; who opens it is [`super::materialize`], and
//! whether the two sides fit is [`crate::materialize::resume`]'s to say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use longshore_proto::session::Binding;

use crate::catalog::{Catalog, OnTruncate};
use crate::journal::JournalId;
use crate::materialize::checkpoint::{Checkpoint, Extent};
use crate::materialize::session::Joined;
use crate::store::StateDirectory;

use super::problem::Problem;
use super::spec::SpecBinding;

/// The journals that a transaction reads.
pub(super) fn journals_of(extent: &Extent) -> BTreeSet<JournalId> {
    extent.spans.keys().map(|place| place.journal).collect()
}

/// Captures that the catalog does not have any more, and whose journals these tasks still need for what they have begun.
pub(super) fn forgotten_captures<'a>(
    catalog: &Catalog,
    state: &StateDirectory,
    tasks: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, Problem> {
    let store = state.store();
    let mut needed = BTreeSet::new();
    for task in tasks {
        let record = store.load(task)?.unwrap_or_default();
        needed.extend(Extent::of_record(&record)?.iter().flat_map(journals_of));
    }
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    let captures = catalog.captures.iter().map(|task| &task.name);
    let present: BTreeSet<&String> = captures.chain(catalog.materializations.iter().map(|task| &task.name)).collect();
    let mut forgotten = state.journals()?;
    forgotten.retain(|name| !present.contains(name));
    let mut found = Vec::new();
    for name in forgotten {
        let record = store.load(&name)?.unwrap_or_default();
        if record.durable.iter().any(|length| needed.contains(&length.journal)) {
            found.push(name);
        }
    }
    Ok(found)
}

/// What a session under the older spec is made of.
#[derive(Debug)]
pub(super) struct Older<'a> {
    /// What must be finished.
    pub(super) extent: &'a Extent,
    /// What the task committed last.
    pub(super) ours: &'a Checkpoint,
    /// The journals at hand, each with the collections it holds.
    pub(super) journals: &'a BTreeMap<JournalId, BTreeSet<String>>,
    /// The collections of the bindings that the catalog has now, in its order.
    pub(super) collections: Vec<&'a str>,
}

impl Older<'_> {
    /// The bindings of that spec in their order. One that was read from a journal which is gone is left out; if the transaction covers it, the
    /// session will not begin.
    pub(super) fn bindings(self, spec: Vec<SpecBinding>) -> (Vec<Binding>, Vec<Joined>) {
        let mut free: BTreeMap<&str, VecDeque<usize>> = BTreeMap::new();
        for (index, collection) in self.collections.iter().enumerate() {
            free.entry(collection).or_default().push_back(index);
        }
        let mut known = BTreeMap::new();
        for place in self.extent.spans.keys().chain(self.ours.places.keys()) {
            known.entry(&place.binding).or_insert(place.journal);
        }
        let joined = |SpecBinding { binding, handling, renews, .. }: SpecBinding| {
            let journal = self.journal(&binding, known.get(&binding.state_key).copied())?;
            let counted_as = free.get_mut(binding.collection.name.as_str()).and_then(VecDeque::pop_front);
            let on_truncate = OnTruncate::default();
            Some((binding, Joined { journal, handling, renews, counted_as, sets_aside: false, on_truncate }))
        };
        spec.into_iter().filter_map(joined).unzip()
    }

    /// Where it was read from last counts; one that was never read has nothing to lose.
    fn journal(&self, binding: &Binding, known: Option<JournalId>) -> Option<JournalId> {
        match known {
            Some(journal) => Some(journal).filter(|journal| self.journals.contains_key(journal)),
            None => {
                let holds =
                    |(_, collections): &(&JournalId, &BTreeSet<String>)| collections.contains(&binding.collection.name);
                self.journals.iter().find(holds).map(|(journal, _)| *journal)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use longshore_proto::name::{InstallationId, StateKey};
    use longshore_proto::session::Collection;

    use super::*;
    use crate::journal::Position;
    use crate::materialize::checkpoint::{Place, Span};
    use crate::materialize::target::Handling;

    fn journal(n: u8) -> JournalId {
        JournalId([n; 16])
    }

    fn binding(name: &str, collection: &str) -> SpecBinding {
        let collection = Collection {
            name: collection.to_owned(),
            key: vec!["/id".to_owned()],
            schema_json: Bytes::from_static(b"{}"),
            schema_version: 1,
        };
        let path = vec![name.to_owned()];
        let state_key = StateKey::new(&path, 0);
        let resource_json = Bytes::from_static(b"{}");
        let binding = Binding {
            state_key,
            resource_path: path,
            resource_json,
            collection,
            delta_updates: false,
            selection: Default::default(),
        };
        SpecBinding {
            handling: Handling { wants_existence: name == "b", ..Handling::default() },
            ..SpecBinding::from(binding)
        }
    }

    fn place(n: u8, binding: &str) -> Place {
        Place { journal: journal(n), binding: StateKey::new(&[binding.to_owned()], 0) }
    }

    /// The spec has a, b and c; a transaction of a and b, read from journal 1, was begun.
    fn opened(journals: &[(u8, &str)], committed: &[(u8, &str)], catalog: &[&str]) -> Vec<(String, Joined)> {
        let at = |offset| Position { offset, chain_crc: 7 };
        let span = Span { from: at(2), to: at(5) };
        let spans = [(place(1, "a"), span), (place(1, "b"), span)].into();
        let extent = Extent { transaction: 6, spec_version: 1, flushed_state: false, spans };
        let mut ours = Checkpoint::beginning(InstallationId::from_bytes([1; 16]));
        ours.places = committed.iter().map(|(n, binding)| (place(*n, binding), at(2))).collect();
        let mut at_hand: BTreeMap<JournalId, BTreeSet<String>> = BTreeMap::new();
        for (n, collection) in journals {
            at_hand.entry(journal(*n)).or_default().insert((*collection).to_owned());
        }
        let older = Older { extent: &extent, ours: &ours, journals: &at_hand, collections: catalog.to_vec() };
        let spec = vec![binding("a", "t/a"), binding("b", "t/b"), binding("c", "t/c")];
        let (bindings, joined) = older.bindings(spec);
        bindings.into_iter().map(|binding| binding.resource_path.concat()).zip(joined).collect()
    }

    fn joined(n: u8, wants_existence: bool, counted_as: Option<usize>) -> Joined {
        let handling = Handling { wants_existence, ..Handling::default() };
        let on_truncate = OnTruncate::default();
        Joined { journal: journal(n), handling, renews: false, counted_as, sets_aside: false, on_truncate }
    }

    #[test]
    fn all_bindings_of_the_spec_are_opened_also_those_the_catalog_does_not_have() {
        let found = opened(&[(1, "t/a"), (1, "t/b"), (2, "t/c")], &[], &["t/new", "t/b"]);
        let expected = [("a", joined(1, false, None)), ("b", joined(1, true, Some(1))), ("c", joined(2, false, None))];
        assert_eq!(found, expected.map(|(name, joined)| (name.to_owned(), joined)));
    }

    #[test]
    fn a_collection_that_another_capture_writes_now_is_read_where_it_was_begun() {
        let found = opened(&[(0, "t/a"), (0, "t/b"), (1, "t/a"), (1, "t/b"), (0, "t/c"), (2, "t/c")], &[(2, "c")], &[]);
        assert_eq!(found.iter().map(|(_, joined)| joined.journal.0[0]).collect::<Vec<_>>(), [1, 1, 2]);
    }

    #[test]
    fn a_binding_whose_journal_is_gone_is_left_out() {
        let names = |found: Vec<(String, Joined)>| found.into_iter().map(|(name, _)| name).collect::<String>();
        assert_eq!(names(opened(&[(1, "t/a"), (1, "t/b")], &[(2, "c")], &[])), "ab", "read from journal 2 before");
        assert_eq!(names(opened(&[(1, "t/a"), (1, "t/b")], &[], &[])), "ab", "never read");
        assert_eq!(names(opened(&[(2, "t/a"), (2, "t/c")], &[], &[])), "c", "the journal of the transaction");
    }

    #[test]
    fn two_bindings_of_a_collection_are_counted_apart() {
        let at_hand = [(journal(1), ["t/a".to_owned()].into())].into();
        let ours = Checkpoint::beginning(InstallationId::from_bytes([1; 16]));
        let extent = Extent { transaction: 1, spec_version: 1, flushed_state: false, spans: BTreeMap::new() };
        let collections = vec!["t/a", "t/x", "t/a"];
        let older = Older { extent: &extent, ours: &ours, journals: &at_hand, collections };
        let (_, joined) = older.bindings(["1", "2", "3"].map(|name| binding(name, "t/a")).into());
        assert_eq!(joined.iter().map(|joined| joined.counted_as).collect::<Vec<_>>(), [Some(0), Some(2), None]);
    }
}
