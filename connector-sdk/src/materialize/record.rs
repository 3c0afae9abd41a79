//! What a destination keeps of a task beside its rows, for destinations that keep it as one JSON value: whose it is, which epoch may write,
//! how far it is. Each change compares the fence first; whoever stores it must store it and the rows in one step.

use longshore_proto::name::InstallationId;
use longshore_proto::session::Recorded;
use serde::{Deserialize, Serialize};

use super::{Applied, ApplyRequest, Fence, Marker, Staging};
use crate::{Error, Result};

/// The fence and the checkpoint of a task. The default is a destination that knows nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    installation: String,
    epoch: u64,
    transaction: u64,
    checkpoint: Vec<u8>,
}

impl Record {
    /// What Validate and opening report; none: nothing of this task.
    pub fn recorded(&self) -> Option<Recorded> {
        let installation = InstallationId::parse(&self.installation)?;
        Some(Marker::from_bytes(self.checkpoint.clone()).recorded(installation, self.epoch, self.transaction))
    }

    /// Opens: raises the fence to this session's epoch, or refuses. Returns what was recorded before.
    pub fn raise(&mut self, fence: &Fence) -> Result<Option<Recorded>> {
        let before = self.recorded();
        if let Some(before) = &before {
            fence.may_raise(before)?;
        }
        fence.owner.installation.as_str().clone_into(&mut self.installation);
        self.epoch = fence.owner.epoch;
        Ok(before)
    }

    /// Commits a transaction, unless somebody newer has raised the fence.
    pub fn commit(&mut self, fence: &Fence, transaction: u64, checkpoint: &[u8]) -> Result<()> {
        if let Some(recorded) = self.recorded()
            && (self.installation != fence.owner.installation.as_str() || self.epoch != fence.owner.epoch)
        {
            return Err(fence.lost_to(recorded));
        }
        self.transaction = transaction;
        self.checkpoint = checkpoint.to_vec();
        Ok(())
    }

    /// Opens a session that stages: refuses a destination that is ahead of what is committed, or has lost it, and raises the epoch.
    pub fn resume(&mut self, staging: &Staging) -> Result<Option<Recorded>> {
        let (task, committed) = (&staging.owner.task, staging.committed);
        let applied = self.recorded().map(|recorded| recorded.transaction);
        let fault = match applied {
            Some(applied) if applied > committed => format!("got one that has applied {applied}: the state is older"),
            None if committed > 0 => "got one that knows nothing of the task: it was lost".to_owned(),
            Some(_) | None => return self.raise(&Fence::new(staging.owner.clone())),
        };
        let message = format!("opening task {task}: expected a destination with transaction {committed}, {fault}");
        let ways = format!("put the state or the destination back, or `run --fresh {task}` to begin again");
        Err(Error::config("state.transaction", message).suggest(ways))
    }

    /// Publishes a committed transaction; false if that has happened before.
    pub fn publish<P>(&mut self, applied: &Applied<P>) -> bool {
        let new = applied.transaction > self.transaction;
        if new {
            self.transaction = applied.transaction;
            self.checkpoint = applied.marker.as_bytes().to_vec();
        }
        new
    }

    /// Applies: refuses who may not alter the destination, and begins again if the user says so (take over, or everything fresh). Changes
    /// nothing in a dry run.
    pub fn alter<C, R>(&mut self, request: &ApplyRequest<C, R>) -> Result<()> {
        if request.dry_run {
            return Ok(());
        }
        if request.take_over || request.all_fresh() {
            *self = Self::default();
            request.owner.installation.as_str().clone_into(&mut self.installation);
        } else if let Some(recorded) = self.recorded() {
            Fence::new(request.owner.clone()).may_alter(&recorded)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use longshore_proto::ErrorKind;
    use longshore_proto::session::Owner;

    use super::*;

    fn fence(epoch: u64) -> Fence {
        let installation = InstallationId::from_bytes([1; 16]);
        Fence::new(Owner { task: "lake".to_owned(), installation, epoch })
    }

    fn staging(epoch: u64, committed: u64) -> Staging {
        Staging { owner: fence(epoch).owner, committed, pending: false }
    }

    #[test]
    fn a_session_that_was_fenced_off_commits_nothing() -> Result<()> {
        let mut record = Record::default();
        assert_eq!(record.raise(&fence(1))?, None);
        record.commit(&fence(1), 1, b"one")?;
        assert_eq!(record.raise(&fence(2))?.map(|recorded| recorded.transaction), Some(1));
        let before = record.clone();
        let refused = record.commit(&fence(1), 2, b"two").expect_err("epoch 2 has it");
        assert_eq!((refused.kind, record), (ErrorKind::Fenced, before));
        Ok(())
    }

    #[test]
    fn a_destination_ahead_of_the_state_or_lost_is_refused() -> Result<()> {
        let mut record = Record::default();
        assert_eq!(record.resume(&staging(1, 3)).expect_err("lost").kind, ErrorKind::Config);
        record.resume(&staging(1, 0))?;
        let applied = Applied { transaction: 3, epoch: 1, marker: Marker::default(), plan: () };
        assert!(record.publish(&applied));
        assert!(!record.publish(&applied), "twice is once");
        assert_eq!(record.resume(&staging(2, 2)).expect_err("ahead").kind, ErrorKind::Config);
        assert_eq!(record.resume(&staging(2, 3))?.map(|recorded| recorded.transaction), Some(3));
        Ok(())
    }
}
