//! Decides the fields of a materialization's bindings, as [`crate::selection`] says, with what was decided of each before: it is found by its
//! resource, since what Validate calls it is not known yet.

use std::collections::HashMap;

use bytes::Bytes;
use longshore_proto::materialize::message::Spec;
use longshore_proto::session::Collection;
use serde_json::{Value, json};

use crate::catalog::{Catalog, Diagnostic, MaterializationBinding};
use crate::selection::{self, Given, Resolved, Rules, Undecided, Wanted};

use super::problem::Problem;
use super::spec::SpecBinding;

/// Goes through the bindings of a task.
pub(super) struct Selecting<'a> {
    rules: Rules,
    pointers: &'a [String],
    /// By what tells its resource from all others.
    before: HashMap<String, &'a SpecBinding>,
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
        let mut by_path = HashMap::new();
        for old in before {
            by_path.entry(path(pointers, &old.binding.resource_json)).or_insert(old);
        }
        Self { rules, pointers, before: by_path, starts_over, bindings: 0, wrong: Vec::new(), conflict: None }
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
        let found = self.before.get(&path(self.pointers, resource)).copied();
        let starts_over =
            |old: &&SpecBinding| (self.starts_over)(&old.binding.collection.name, &old.binding.resource_path);
        found.filter(|old| !starts_over(old)).map(|old| old.given.as_slice()).unwrap_or_default()
    }
}

/// What tells a resource from all others, as JSON.
fn path(pointers: &[String], resource: &Bytes) -> String {
    let resource: Value = serde_json::from_slice(resource).unwrap_or_default();
    // What is not there is no null.
    let parts =
        pointers.iter().map(|pointer| resource.pointer(pointer).map_or(Value::Array(Vec::new()), |part| json!([part])));
    Value::Array(parts.collect()).to_string()
}
