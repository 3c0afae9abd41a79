//! A binding of a session, with what reading it needs: how its documents are reduced, and what its destination said of how it takes them.

use std::sync::Arc;

use longshore_proto::Error;
use longshore_proto::document::Scanner;
use longshore_proto::key::KeyPointers;
use longshore_proto::materialize::message::ValidatedBinding;
use longshore_proto::selection::Selection as FieldSelection;
use longshore_proto::session::Binding;

use super::checkpoint::Place;
use super::fold::Rule;
use crate::catalog::OnTruncate;
use crate::document::reduce::Reducer;
use crate::journal::{JournalId, Position};

/// A binding of the session.
#[derive(Debug, Clone)]
pub struct Target {
    /// As it is opened.
    pub binding: Binding,
    /// The journal it reads.
    pub journal: JournalId,
    /// How the destination has it.
    pub handling: Handling,
    /// Its destination takes deletes; asked of standard bindings only.
    pub takes_deletes: bool,
    /// What is done where the source emptied the collection.
    pub on_truncate: OnTruncate,
    /// It reads again what an older life of it has read up to here, whose rows are seen until then: those of this one are stored aside.
    pub renews_until: Option<Position>,
}

/// What a destination said, at Validate, of how rows of a binding are stored. Loads and Stores depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handling {
    /// Stores say whether the row exists.
    pub wants_existence: bool,
    /// Stores may say only a part of a row.
    pub partial_updates: bool,
    /// Its rows can be removed all at once.
    pub truncates: bool,
    /// Rows of a full refresh can be stored aside.
    pub backfills: bool,
}

impl Handling {
    /// Documents that are reduced like this are stored as they are, onto rows that nobody has looked at: what they do not say stays there.
    #[must_use]
    pub fn stores_parts(self, reducer: &Reducer, selection: &FieldSelection) -> bool {
        self.partial_updates && selection.document.is_none() && reducer.is_of_last_fields()
    }
}

impl From<&ValidatedBinding> for Handling {
    fn from(said: &ValidatedBinding) -> Self {
        Self {
            wants_existence: said.wants_existence,
            partial_updates: said.partial_updates,
            truncates: said.truncates,
            backfills: said.backfills,
        }
    }
}

/// A binding, with what reading it needs.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) target: Target,
    /// Its place in the order of the durable names, which is the order of Stores: indexes live in one session only.
    pub(super) rank: u32,
    pub(super) place: Place,
    pub(super) scanner: Scanner,
    /// How documents are reduced, if by more than the last write; never of delta bindings.
    pub(super) rule: Option<Rule>,
    /// They are reduced with each other, and stored onto a row that is there as partial updates.
    pub(super) stores_parts: bool,
}

impl Planned {
    /// What stands at this offset is read again.
    pub(super) fn is_renewed_at(&self, offset: u64) -> bool {
        self.target.renews_until.is_some_and(|until| offset < until.offset)
    }

    /// Its keys are looked up before they are stored.
    pub(super) fn loads(&self) -> bool {
        self.target.handling.wants_existence || self.loads_rows()
    }

    /// Whole rows are looked up, since documents are reduced onto them.
    pub(super) fn loads_rows(&self) -> bool {
        self.rule.is_some() && !self.stores_parts
    }
}

/// With what reading them needs.
pub(super) fn planned(targets: Vec<Target>) -> Result<Vec<Planned>, Error> {
    let mut names: Vec<_> = targets.iter().map(|target| target.binding.state_key.clone()).collect();
    names.sort_unstable();
    let plan = |target: Target| {
        let rank = names.binary_search(&target.binding.state_key).unwrap_or_default();
        let place = Place { journal: target.journal, binding: target.binding.state_key.clone() };
        let collection = &target.binding.collection;
        let scanner = Scanner::new(&KeyPointers::compile(&collection.key)?);
        let reducer = match target.binding.delta_updates {
            true => None,
            false => Reducer::compile(&collection.schema_json)?,
        };
        let handling = target.handling;
        let stores_parts = |reducer: &Reducer| handling.stores_parts(reducer, &target.binding.selection);
        let stores_parts = reducer.as_ref().is_some_and(stores_parts);
        let rule = reducer.map(|reducer| Rule { reducer: Arc::new(reducer), collection: collection.name.clone() });
        Ok(Planned { target, rank: u32::try_from(rank).unwrap_or(u32::MAX), place, scanner, rule, stores_parts })
    };
    targets.into_iter().map(plan).collect()
}
