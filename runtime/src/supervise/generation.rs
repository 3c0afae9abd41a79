//! Which generation of its state key each binding gets: what a task was, compared with what its catalog says now (semantics §1).
//!
//! Pure. The durable name of a binding is its resource path and a generation; the generation goes up when the binding starts over, so that
//! nothing of an older life is taken for its own.

use std::collections::BTreeMap;

use longshore_proto::Error;
use longshore_proto::name::StateKey;

use crate::store::RememberedBinding;

/// A binding as the catalog says it now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Its resource path.
    pub(super) path: &'a [String],
    /// What it joins.
    pub(super) collection: &'a str,
    /// Key pointers of that collection.
    pub(super) key: &'a [String],
    /// Whether every document is stored.
    pub(super) delta_updates: bool,
    /// Its rows hold sums: documents stored again onto them would count twice.
    pub(super) accumulates: bool,
    /// Where it begins a new life it stores aside of them, and its rows take their place when it has read what the older one had.
    pub(super) renews: bool,
    /// The user asked to start it over, without the rows there are.
    pub(super) fresh: bool,
    /// The user asked to take it over: it begins anew, and its rows stay.
    pub(super) taken_over: bool,
}

/// The durable names of a task's bindings, and what is to be remembered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    /// One for each binding wanted, in order.
    pub(super) state_keys: Vec<StateKey>,
    /// What the task store is to remember: these, and those that are no longer in the catalog.
    pub(super) remember: Vec<RememberedBinding>,
}

/// Gives each binding its state key.
///
/// # Errors
/// `config` when a binding's collection, key or kind changed and the user did not ask to start it over; when it would read everything again
/// onto rows that hold sums; or two have one path.
pub(super) fn assign(task: &str, remembered: &[RememberedBinding], wanted: &[Wanted<'_>]) -> Result<Assigned, Error> {
    let known: BTreeMap<&[String], &RememberedBinding> =
        remembered.iter().map(|before| (before.resource_path.as_slice(), before)).collect();
    let mut next: BTreeMap<&[String], RememberedBinding> = remembered
        .iter()
        .map(|before| (before.resource_path.as_slice(), RememberedBinding { active: false, ..before.clone() }))
        .collect();
    let mut state_keys = Vec::with_capacity(wanted.len());
    for (index, want) in wanted.iter().enumerate() {
        if next.get(want.path).is_some_and(|binding| binding.active) {
            let message = format!("task {task}: two bindings have the resource {}", want.path.join("/"));
            return Err(Error::config("binding.duplicate", message).at_binding(index).suggest("remove one of them"));
        }
        let before = known.get(want.path).copied();
        let reads_again = want.taken_over || before.is_some_and(|before| !before.active);
        if want.accumulates && reads_again && !want.fresh && (want.taken_over || !want.renews) {
            return Err(counts_twice(task, index, want));
        }
        let generation = match before {
            None => 0,
            Some(before) if want.fresh || reads_again => before.generation + 1,
            Some(before) => same_life(task, index, before, want)?,
        };
        state_keys.push(StateKey::new(want.path, generation));
        next.insert(
            want.path,
            RememberedBinding {
                resource_path: want.path.to_vec(),
                generation,
                collection: want.collection.to_owned(),
                key: want.key.to_vec(),
                delta_updates: want.delta_updates,
                active: true,
            },
        );
    }
    Ok(Assigned { state_keys, remember: next.into_values().collect() })
}

/// The generation of a binding that goes on, if nothing about it changed that its old rows and state depend on.
fn same_life(task: &str, index: usize, before: &RememberedBinding, want: &Wanted<'_>) -> Result<u32, Error> {
    let resource = want.path.join("/");
    let changed = if before.collection != want.collection {
        format!("was joined to collection {} and is now joined to {}", before.collection, want.collection)
    } else if before.key != want.key {
        format!("had the key [{}] and now has [{}]", before.key.join(", "), want.key.join(", "))
    } else if before.delta_updates != want.delta_updates {
        format!("had delta_updates: {} and now has {}", before.delta_updates, want.delta_updates)
    } else {
        return Ok(before.generation);
    };
    let message =
        format!("task {task}: the binding of resource {resource} {changed}; what it wrote so far would not fit");
    Err(Error::config("binding.changed", message)
        .at_binding(index)
        .suggest(format!("put it back, or start this binding over: longshore run --fresh {task}/{resource}")))
}

fn counts_twice(task: &str, index: usize, want: &Wanted<'_>) -> Error {
    let (resource, collection) = (want.path.join("/"), want.collection);
    let message = format!(
        "task {task}: the binding of resource {resource} would read {collection} from its beginning again, onto rows that hold its sums already: each would count twice"
    );
    Error::config("binding.counts_twice", message)
        .at_binding(index)
        .suggest(format!("start it over without those rows: longshore run --fresh {task}/{resource}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[String] = &[];

    fn path(of: &str) -> Vec<String> {
        vec![of.to_owned()]
    }

    fn wanted<'a>(path: &'a [String], collection: &'a str) -> Wanted<'a> {
        Wanted {
            path,
            collection,
            key: KEY,
            delta_updates: false,
            accumulates: false,
            renews: false,
            fresh: false,
            taken_over: false,
        }
    }

    fn generations(assigned: &Assigned) -> Vec<u32> {
        assigned.state_keys.iter().map(StateKey::generation).collect()
    }

    #[test]
    fn a_binding_seen_for_the_first_time_is_generation_0_and_stays_it() {
        let flights = path("flights");
        let first = assign("lake", &[], &[wanted(&flights, "a/b")]).expect("first");
        let again = assign("lake", &first.remember, &[wanted(&flights, "a/b")]).expect("again");
        assert_eq!((generations(&first), generations(&again)), (vec![0], vec![0]));
    }

    #[test]
    fn inserted_above_another_it_changes_nothing_for_that_one() {
        let (flights, weather) = (path("flights"), path("weather"));
        let first = assign("lake", &[], &[wanted(&flights, "a/f")]).expect("first");
        let second =
            assign("lake", &first.remember, &[wanted(&weather, "a/w"), wanted(&flights, "a/f")]).expect("second");
        assert_eq!(second.state_keys[1], first.state_keys[0]);
    }

    #[test]
    fn taken_out_and_added_back_it_gets_the_next_generation() {
        let flights = path("flights");
        let first = assign("lake", &[], &[wanted(&flights, "a/b")]).expect("first");
        let without = assign("lake", &first.remember, &[]).expect("without");
        let back = assign("lake", &without.remember, &[wanted(&flights, "a/b")]).expect("back");
        assert_eq!(generations(&back), [1]);
    }

    #[test]
    fn a_changed_collection_key_or_kind_is_refused_with_the_way_out() {
        let (flights, key) = (path("flights"), vec!["/id".to_owned()]);
        let first = assign("lake", &[], &[wanted(&flights, "a/b")]).expect("first");
        let changes = [
            wanted(&flights, "a/other"),
            Wanted { key: &key, ..wanted(&flights, "a/b") },
            Wanted { delta_updates: true, ..wanted(&flights, "a/b") },
        ];
        for change in changes {
            let error = assign("lake", &first.remember, &[change]).expect_err("refused");
            assert!(error.suggestion.contains("--fresh lake/flights"), "{error:?}");
            let fresh = assign("lake", &first.remember, &[Wanted { fresh: true, ..change }]).expect("started over");
            assert_eq!(generations(&fresh), [1]);
        }
    }

    #[test]
    fn sums_are_not_read_again_onto_the_rows_that_hold_them() {
        let flights = path("flights");
        let sums = Wanted { accumulates: true, ..wanted(&flights, "a/b") };
        let first = assign("lake", &[], &[sums]).expect("first");
        assert_eq!(generations(&assign("lake", &first.remember, &[sums]).expect("it goes on")), [0]);
        let without = assign("lake", &first.remember, &[]).expect("without");
        let taken_over = Wanted { taken_over: true, ..sums };
        for (remembered, wanted) in [(&without.remember, sums), (&first.remember, taken_over), (&vec![], taken_over)] {
            let error = assign("lake", remembered, &[wanted]).expect_err("refused");
            assert_eq!(error.code, "binding.counts_twice");
            assert!(error.suggestion.contains("--fresh lake/flights"), "{error:?}");
            assign("lake", remembered, &[Wanted { fresh: true, ..wanted }]).expect("started over");
            assign("lake", remembered, &[Wanted { accumulates: false, ..wanted }]).expect("the last write counts");
        }
    }

    #[test]
    fn stored_aside_of_the_rows_that_hold_them_sums_are_read_again() {
        let flights = path("flights");
        let sums = Wanted { accumulates: true, renews: true, ..wanted(&flights, "a/b") };
        let first = assign("lake", &[], &[sums]).expect("first");
        let without = assign("lake", &first.remember, &[]).expect("without");
        assert_eq!(generations(&assign("lake", &without.remember, &[sums]).expect("a new life")), [1]);
        let error = assign("lake", &without.remember, &[Wanted { taken_over: true, ..sums }]).expect_err("refused");
        assert_eq!(error.code, "binding.counts_twice", "taken over, nobody knows how far the older life was");
    }

    #[test]
    fn two_bindings_of_one_resource_are_refused() {
        let flights = path("flights");
        let error = assign("lake", &[], &[wanted(&flights, "a/b"), wanted(&flights, "a/c")]).expect_err("refused");
        assert_eq!(error.code, "binding.duplicate");
    }
}
