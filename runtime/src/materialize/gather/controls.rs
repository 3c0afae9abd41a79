//! What happens to the rows of a binding as a whole: the source emptied it, or gives all of it anew. Documents that came before then count for
//! nothing, what the destination has of their keys neither.

use longshore_proto::Error;
use longshore_proto::materialize::message::{Backfill, ToConnector};

use super::{Gatherer, Target};
use crate::catalog::OnTruncate;
use crate::journal::Control;

/// What a transaction does to a binding as a whole, before its Stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::materialize) struct Whole {
    truncates: bool,
    begins: bool,
    completes: bool,
}

impl Whole {
    pub(super) fn take(&mut self, control: Control) {
        match control {
            // What is stored aside begins with no rows, and has none yet.
            Control::Truncated if self.begins => {}
            Control::Truncated => self.truncates = true,
            // One that was complete is not whole any more, as its last documents went with the rest: it takes nobody's place.
            Control::BackfillBegin => (self.begins, self.completes) = (true, false),
            Control::BackfillComplete => self.completes = true,
        }
    }

    /// What is stored meets no row.
    pub(in crate::materialize) fn resets(self) -> bool {
        self.truncates || self.begins
    }

    /// What the connector is told of it.
    pub(super) fn messages(self, binding: usize) -> impl Iterator<Item = ToConnector> {
        let Self { truncates, begins, completes } = self;
        let truncate = truncates.then_some(ToConnector::Truncate { binding });
        let backfill = (begins || completes).then_some(ToConnector::Backfill(Backfill { binding, begins, completes }));
        truncate.into_iter().chain(backfill)
    }
}

impl Gatherer {
    /// `false`: the binding has nothing to do with it.
    pub(super) fn control(&mut self, target: usize, offset: u64, control: Control) -> Result<bool, Error> {
        let planned = &self.targets[target];
        // Every document of a delta binding stays, whatever became of its row.
        let handling = planned.target.handling;
        match control {
            Control::BackfillBegin | Control::BackfillComplete if !handling.backfills => return Ok(false),
            // What it has by then is older than what is seen.
            Control::BackfillComplete if planned.is_renewed_at(offset) => return Ok(false),
            Control::BackfillBegin | Control::BackfillComplete => {}
            Control::Truncated => match planned.target.on_truncate {
                OnTruncate::Ignore => return Ok(false),
                OnTruncate::Truncate if handling.truncates => {}
                OnTruncate::Truncate | OnTruncate::Stop => return Err(self.stops(target)),
            },
        }
        self.wholes[target].take(control);
        if self.resets(target, control) {
            self.reduction.forget(self.targets[target].rank);
        }
        Ok(true)
    }

    /// Behind it, nothing that came before counts for this binding.
    pub(super) fn resets(&self, target: usize, control: Control) -> bool {
        let Target { handling, on_truncate, .. } = &self.targets[target].target;
        match control {
            Control::Truncated => handling.truncates && *on_truncate == OnTruncate::Truncate,
            Control::BackfillBegin => handling.backfills,
            Control::BackfillComplete => false,
        }
    }

    fn stops(&self, target: usize) -> Error {
        let planned = &self.targets[target];
        let collection = &planned.target.binding.collection.name;
        let why = match planned.target.on_truncate {
            OnTruncate::Stop => "the catalog says `on_truncate: stop`",
            OnTruncate::Truncate | OnTruncate::Ignore if planned.target.binding.delta_updates => {
                "every document of this binding stays (`delta_updates`)"
            }
            OnTruncate::Truncate | OnTruncate::Ignore => "this destination cannot remove all rows at once",
        };
        let message = format!("the source emptied {collection} (TRUNCATE), and {why}");
        Error::config("materialize.truncated", message).at_binding(target).suggest(
            "to keep the rows there are, set `on_truncate: ignore` on the binding; to store what the collection has from there on into an empty \
             resource, start the capture's binding over, and then this one, with `run --fresh TASK/BINDING`",
        )
    }
}

#[cfg(test)]
#[path = "controls_tests.rs"]
mod stories;

#[cfg(test)]
mod tests {
    use Control::{BackfillBegin, BackfillComplete, Truncated};

    use super::*;

    #[test]
    fn what_comes_last_counts() {
        let whole = |controls: &[Control]| {
            let mut whole = Whole::default();
            controls.iter().for_each(|control| whole.take(*control));
            let mut told = String::new();
            for message in whole.messages(0) {
                told += &format!("{message:?} ");
            }
            let short = [
                ("Truncate { binding: 0 }", "T"),
                ("Backfill(Backfill { binding: 0, begins: true, completes: true })", "B&C"),
                ("Backfill(Backfill { binding: 0, begins: true, completes: false })", "B"),
                ("Backfill(Backfill { binding: 0, begins: false, completes: true })", "C"),
            ];
            let told = short.iter().fold(told, |told, (long, short)| told.replace(long, short));
            (told.trim_end().to_owned(), whole.resets())
        };
        for (controls, told, resets) in [
            (&[][..], "", false),
            (&[Truncated], "T", true),
            (&[Truncated, Truncated], "T", true),
            (&[BackfillBegin], "B", true),
            (&[BackfillComplete], "C", false),
            (&[BackfillBegin, BackfillComplete], "B&C", true),
            (&[BackfillComplete, Truncated], "T C", true),
            (&[BackfillBegin, Truncated], "B", true),
            (&[Truncated, BackfillBegin], "T B", true),
            (&[BackfillComplete, BackfillBegin], "B", true),
            (&[BackfillBegin, BackfillComplete, Truncated], "B&C", true),
        ] {
            assert_eq!(whole(controls), (told.to_owned(), resets), "{controls:?}");
        }
    }
}
