//! `longshore backfill`: bindings of a capture are captured in full again, at the next run.
//!
//! To the task store it is as if they had been taken out of the catalog and put back (semantics §1): each begins under its next generation, with no
//! state. A connector that says where a full refresh begins and where it is complete lets destinations replace the rows they have at once.

use super::context::{Fresh, blocking};
use super::problem::Problem;
use crate::store::{Epoch, RememberedBinding, StateDirectory, TaskChanges};

/// Notes it of the bindings with these collections or resource paths (joined with `/`), or of all. Returns the resource paths of those it was
/// noted of; none: the capture never ran with them, and captures them in full anyway.
///
/// # Errors
/// Those of the state directory.
pub async fn note(state: &StateDirectory, capture: &str, binding: Option<&str>) -> Result<Vec<String>, Problem> {
    let meant = match binding {
        None => Fresh::Task,
        Some(name) => Fresh::Bindings([name.to_owned()].into()),
    };
    let (store, task) = (state.store(), capture.to_owned());
    blocking(move || {
        let epoch = store.take_epoch(&task, Epoch(0))?;
        let mut remember = store.load(&task)?.unwrap_or_default().remembered;
        let mut noted = Vec::new();
        for one in remember.iter_mut().filter(|one| meant.covers(&one.collection, &one.resource_path)) {
            let RememberedBinding { resource_path, active, .. } = one;
            *active = false;
            noted.push(resource_path.join("/"));
        }
        store.commit(&task, epoch, TaskChanges { remember, ..TaskChanges::default() })?;
        Ok(noted)
    })
    .await
}
