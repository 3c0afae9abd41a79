//! `longshore backfill`: bindings of a capture are captured in full again, those of a materialization stored again, at the next run.
//!
//! To the task store it is as if they had been taken out of the catalog and put back (semantics §1): each begins under its next generation, with no
//! state. A capture that says where a full refresh begins and where it is complete lets destinations replace the rows they have at once; a
//! materialization's binding reads its journal from the beginning, and what it stores takes the place of the rows there are when it has read what
//! they were made of ([`crate::materialize::gather`]).

use super::context::{Fresh, blocking};
use super::problem::Problem;
use crate::store::{Epoch, RememberedBinding, StateDirectory, TaskChanges};

/// Notes it of the bindings with these collections or resource paths (joined with `/`), or of all. Returns the resource paths of those it was
/// noted of; none: the task never ran with them, and begins with everything anyway. `Err` in it: this one takes every document, and nothing was
/// noted.
///
/// # Errors
/// Those of the state directory.
pub async fn note(
    state: &StateDirectory,
    task: &str,
    binding: Option<&str>,
) -> Result<Result<Vec<String>, String>, Problem> {
    let meant = match binding {
        None => Fresh::Task,
        Some(name) => Fresh::Bindings([name.to_owned()].into()),
    };
    let (store, task) = (state.store(), task.to_owned());
    blocking(move || {
        let epoch = store.take_epoch(&task, Epoch(0))?;
        let mut remember = store.load(&task)?.unwrap_or_default().remembered;
        let mut noted = Vec::new();
        for one in remember.iter_mut().filter(|one| meant.covers(&one.collection, &one.resource_path)) {
            let RememberedBinding { resource_path, active, delta_updates, .. } = one;
            if *delta_updates && *active {
                return Ok(Err(resource_path.join("/")));
            }
            *active = false;
            noted.push(resource_path.join("/"));
        }
        store.commit(&task, epoch, TaskChanges { remember, ..TaskChanges::default() })?;
        Ok(Ok(noted))
    })
    .await
}
