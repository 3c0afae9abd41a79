//! Decides the fields of a materialization's bindings, as [`crate::selection`] says, with what was decided of each before: it is found by its
//! resource, since what Validate calls it is not known yet.

use bytes::Bytes;
use longshore_proto::materialize::message::Spec;
use longshore_proto::session::Collection;
use serde_json::Value;

use crate::catalog::{Catalog, Diagnostic, MaterializationBinding};
use crate::selection::{self, Given, Resolved, Rules, Undecided, Wanted};

use super::problem::Problem;
use super::spec::SpecBinding;

/// Goes through the bindings of a task.
pub(super) struct Selecting<'a> {
    rules: Rules,
    pointers: &'a [String],
    before: &'a [SpecBinding],
    starts_over: &'a (dyn Fn(&str, &[String]) -> bool + Sync),
    bindings: usize,
    wrong: Vec<Diagnostic>,
    conflict: Option<longshore_proto::Error>,
}

impl<'a> Selecting<'a> {
    pub(super) fn new(
        spec: &'a Spec,
        before: &'a [SpecBinding],
        starts_over: &'a (dyn Fn(&str, &[String]) -> bool + Sync),
    ) -> Self {
        let (rules, pointers) = (Rules::of(spec), spec.resource_path_pointers.as_slice());
        Self { rules, pointers, before, starts_over, bindings: 0, wrong: Vec::new(), conflict: None }
    }

    /// Of the next binding. What is wrong is told at the end, by [`Selecting::decided`].
    pub(super) fn of(&mut self, binding: &MaterializationBinding, resource: &Bytes, on: &Collection) -> Resolved {
        let index = self.bindings;
        self.bindings += 1;
        let wanted = Wanted {
            collection: on,
            fields: &binding.fields,
            on_conflict: binding.on_conflict,
            delta_updates: binding.delta_updates,
            before: self.before(resource),
        };
        match selection::resolve(wanted, &self.rules) {
            Ok(resolved) => return resolved,
            Err(Undecided::Wrong(found)) => self.wrong.extend(found),
            Err(Undecided::Conflict(error)) => {
                self.conflict.get_or_insert(error.at_binding(index));
            }
        }
        Resolved::default()
    }

    /// Everything that is wrong, together.
    pub(super) fn decided(self, catalog: &Catalog) -> Result<(), Problem> {
        if !self.wrong.is_empty() {
            return Err(catalog.diagnostics(self.wrong).into());
        }
        self.conflict.map_or(Ok(()), |error| Err(error.into()))
    }

    fn before(&self, resource: &Bytes) -> &'a [Given] {
        let path = self.path(resource);
        let found = self.before.iter().find(|old| self.path(&old.binding.resource_json) == path);
        let starts_over =
            |old: &&SpecBinding| (self.starts_over)(&old.binding.collection.name, &old.binding.resource_path);
        found.filter(|old| !starts_over(old)).map(|old| old.given.as_slice()).unwrap_or_default()
    }

    /// What tells a resource from all others.
    fn path(&self, resource: &Bytes) -> Vec<Option<Value>> {
        let resource: Value = serde_json::from_slice(resource).unwrap_or_default();
        self.pointers.iter().map(|pointer| resource.pointer(pointer).cloned()).collect()
    }
}
