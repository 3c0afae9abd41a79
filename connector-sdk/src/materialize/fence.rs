//! Who may write: the owner of a session compared with what the destination remembers. What this process has seen of a task is
//! compared before, by the driver.

use longshore_proto::session::{Owner, Recorded};

use crate::{Error, Result};

/// Raised by a transactional session when it opens: from then on every statement that counts carries `WHERE installation = mine AND
/// epoch = mine`, and zero rows changed means [`Fence::lost_to`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Whose session this is.
    pub owner: Owner,
}

impl Fence {
    /// For this session.
    pub fn new(owner: Owner) -> Self {
        Self { owner }
    }

    /// Whether this owner may raise the fence above what the destination remembers: same installation, and a higher epoch.
    pub fn may_raise(&self, recorded: &Recorded) -> Result<()> {
        same_installation(&self.owner, recorded)?;
        if recorded.epoch < self.owner.epoch {
            return Ok(());
        }
        Err(self.lost_to(recorded.clone()))
    }

    /// Whether this owner may alter the destination: same installation, and nobody newer. For Apply, which raises nothing.
    pub fn may_alter(&self, recorded: &Recorded) -> Result<()> {
        same_installation(&self.owner, recorded)?;
        if recorded.epoch <= self.owner.epoch {
            return Ok(());
        }
        Err(self.lost_to(recorded.clone()))
    }

    /// The error of a session that somebody newer has fenced off.
    pub fn lost_to(&self, recorded: Recorded) -> Error {
        let Owner { task, installation, epoch } = &self.owner;
        let message = format!(
            "task {task} writes with epoch {epoch} of installation {installation}: expected to hold the destination, got epoch {} of \
             installation {}",
            recorded.epoch, recorded.installation,
        );
        Error::fenced("fence.epoch", message)
            .suggest("nothing, if a newer session runs; this one steps aside")
            .held_by(recorded)
    }
}

/// A destination that another installation owns is never written, whatever the epochs say.
fn same_installation(owner: &Owner, recorded: &Recorded) -> Result<()> {
    if owner.installation == recorded.installation {
        return Ok(());
    }
    let (task, ours, theirs) = (&owner.task, &owner.installation, &recorded.installation);
    let message = format!(
        "task {task}: expected a destination of installation {ours}, got one that installation {theirs} writes"
    );
    let ways = format!(
        "put back the state directory of {theirs}, or `run --take-over {task}` to keep the rows (not where a delta binding has content), or `run --fresh {task}` to drop them"
    );
    Err(Error::config("state.installation", message).suggest(ways).held_by(recorded.clone()))
}

#[cfg(test)]
mod tests {
    use longshore_proto::ErrorKind;
    use longshore_proto::name::InstallationId;

    use super::*;

    fn owner(installation: u8, epoch: u64) -> Owner {
        Owner { task: "lake".to_owned(), installation: InstallationId::from_bytes([installation; 16]), epoch }
    }

    fn recorded(installation: u8, epoch: u64) -> Recorded {
        Recorded {
            installation: owner(installation, 0).installation,
            epoch,
            transaction: 1,
            checkpoint: bytes::Bytes::new(),
        }
    }

    #[test]
    fn m_2_a_destination_of_another_installation_is_refused_whatever_its_epoch() {
        let fence = Fence::new(owner(1, 7));
        assert!(fence.may_raise(&recorded(1, 6)).is_ok());
        assert!(fence.may_alter(&recorded(1, 7)).is_ok());
        let newer = fence.may_raise(&recorded(1, 7)).unwrap_err();
        assert_eq!((newer.kind, newer.recorded.as_ref().map(|r| r.epoch)), (ErrorKind::Fenced, Some(7)));
        for foreign in [fence.may_raise(&recorded(2, 1)), fence.may_alter(&recorded(2, 1))] {
            let error = foreign.unwrap_err();
            assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "state.installation"));
            assert!(error.suggestion.contains("--take-over lake"), "{error}");
        }
    }
}
