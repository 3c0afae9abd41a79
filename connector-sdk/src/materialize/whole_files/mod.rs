//! For destinations that are whole files: a transaction becomes files with names of their own, staged where nobody sees them, and published
//! when the runtime has committed their plan, any number of times with the same result.
//!
//! What is the same wherever files lie, and whatever is in them, is here: who owns the destination ([`owner`]), names that last ([`name`]), the
//! plan and what publishes it ([`publish`]), a session ([`session`]), what Validate and Apply look at ([`apply`](mod@apply)). An author brings two things:
//! a [`Format`], which makes bytes of documents, and a [`Storage`], which stages and publishes bytes: a [`Directory`], or one of their own.
//!
//! ```text
//! <name>/t0000000042-e7-r00000000ffffffff-v0-<task>-<installation>.<extension>   what is published
//! .longshore/<task>/owner, lock                                 whose the destination is; the lock under which that changes
//! .longshore/<installation>/<task>/staged/                      what is not published
//! .longshore/<installation>/<task>/applied/<e>-<t>              marks of plans that are applied; the last 1,000
//! ```
//!
//! Behind the feature `whole-files`.

mod apply;
mod directory;
mod disk;
mod kept;
mod name;
mod owner;
mod publish;
mod resource;
mod session;
mod stage;
mod storage;
mod validate;

use std::sync::Arc;

use super::{Applied, ApplyRequest, Bound, ClosePolicy, Fence, Opened, Owner, Staging};
use crate::Result;

pub use apply::apply;
pub use directory::Directory;
pub use kept::{Kept, leaves_out};
pub use publish::{Plan, PlannedFile, Upload};
pub use resource::Resource;
pub use session::Session;
pub use stage::{Format, FormatFile, StagedFile};
pub use storage::{Content, Found, Storage, StoredBytes};
pub use validate::validate;

use owner::Places;

/// Opens a session: compares what is recorded with what is committed, and raises the epoch.
pub fn open<F: Format>(
    storage: Arc<dyn Storage>,
    format: F,
    staging: Staging,
    bindings: &[Bound<Resource>],
    close_policy: ClosePolicy,
) -> Result<Opened<Session<F>>> {
    let places = Places::new(storage, &staging.owner);
    let recorded = places.open(&staging)?;
    let session = Session::new(places, format, staging, bindings)?;
    Ok(Opened { session, recorded, close_policy })
}

/// Publishes a committed plan outside of a session, before Apply alters anything.
pub fn drain<C>(storage: Arc<dyn Storage>, request: &ApplyRequest<C, Resource>, applied: &Applied<Plan>) -> Result<()> {
    let owner: &Owner = &request.owner;
    publish::publish(&Places::new(storage, owner), &Fence::new(owner.clone()), publish::As::Apply, applied)
}
