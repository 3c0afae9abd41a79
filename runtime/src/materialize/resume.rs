//! Where a session goes on: what we remember compared with what the destination remembers. Pure; who wins is the guarantee's business.
//!
//! The checks come in this order: installation, (epoch: the destination's own fence, see [`refused`]), journal ids and chain CRCs, offsets.
//! Doubt stops, and a stop names both sides and the ways out.

use std::collections::{BTreeMap, BTreeSet};

use longshore_proto::materialize::message::Guarantee;
use longshore_proto::name::{InstallationId, StateKey};
use longshore_proto::session::Recorded;
use longshore_proto::{Error, ErrorKind};

use super::checkpoint::{Checkpoint, Extent, Place};
use crate::journal::Position;
use crate::store::Epoch;

/// What both sides know when a session opens.
#[derive(Clone, Copy)]
pub struct Remembered<'a> {
    /// The task's name.
    pub task: &'a str,
    /// What the connector promises.
    pub guarantee: Guarantee,
    /// This session's bindings and the journals they read.
    pub places: &'a [Place],
    /// Some of these bindings take every document: a take-over would double what is there.
    pub has_delta: bool,
    /// The spec this session is opened under.
    pub spec_version: u64,
    /// What we committed last.
    pub ours: &'a Checkpoint,
    /// A transaction that was begun and not committed.
    pub extent: Option<&'a Extent>,
    /// A committed transaction that was not acknowledged.
    pub pending: Option<u64>,
    /// What the destination remembers.
    pub recorded: Option<&'a Recorded>,
    /// How the journals stand to a position.
    pub standing: &'a dyn Fn(&Place, Position) -> Standing,
}

/// How a journal stands to a position that somebody remembers of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A transaction of it ended there.
    Has,
    /// It has that offset, and something else stands before it: a copy that went its own way, or begun anew.
    Differs,
    /// It ends before.
    Short,
    /// It was trimmed, and begins behind it.
    Trimmed,
}

/// How a session begins. `checkpoint` is where it goes on, `acknowledge` what it acknowledges first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Resume {
    /// At our checkpoint. What was begun behind it is begun anew.
    GoOn { checkpoint: Checkpoint, acknowledge: u64 },
    /// The destination committed the transaction under way, and we did not hear of it.
    Promote { checkpoint: Checkpoint, acknowledge: u64 },
    /// The destination went back to an older checkpoint that the journal still reaches: from there again, and say so.
    /// What was begun under the newer checkpoint is given up: it is read again with the rest.
    Replay { checkpoint: Checkpoint, acknowledge: u64, given_up: Option<Extent>, warning: String },
    /// At our checkpoint, and the transaction under way first, as it was.
    Rerun { checkpoint: Checkpoint, acknowledge: u64, extent: Extent },
}

/// Decides, or says why not.
pub fn decide(known: &Remembered<'_>) -> Result<Resume, Error> {
    if let Some(recorded) = known.recorded {
        same_installation(known.task, &known.ours.installation, recorded, known.has_delta)?;
    }
    let theirs = their_checkpoint(known)?;
    if let Some(theirs) = &theirs {
        same_journals(known, theirs, "the destination")?;
    }
    same_journals(known, known.ours, "the state directory")?;
    match known.guarantee {
        Guarantee::Transactional => transactional(known, theirs),
        Guarantee::Idempotent => idempotent(known),
        Guarantee::AtLeastOnce => from_ours(known),
    }
}

/// Whether a destination that remembers this belongs to this installation. Also to be asked of what Validated says, before Apply.
pub fn same_installation(task: &str, ours: &InstallationId, recorded: &Recorded, has_delta: bool) -> Result<(), Error> {
    let theirs = &recorded.installation;
    if theirs == ours {
        return Ok(());
    }
    let message = format!(
        "task {task}: the destination was written by installation {theirs} (epoch {}, transaction {}), this state directory is installation \
         {ours}: it was deleted and begun anew, or is another one's",
        recorded.epoch, recorded.transaction
    );
    Err(stop("state.installation", message, task, has_delta))
}

/// What can be told without a session: whose the destination is, and that it forgot what we committed for these bindings. The rest is
/// [`decide`]d when it is open.
pub fn at_validate(
    task: &str,
    guarantee: Guarantee,
    ours: &Checkpoint,
    recorded: Option<&Recorded>,
    (bindings, has_delta): (&[StateKey], bool),
) -> Result<(), Error> {
    let bindings: BTreeSet<&StateKey> = bindings.iter().collect();
    let is_committed =
        |(place, position): (&Place, &Position)| bindings.contains(&place.binding) && *position != Position::BEGINNING;
    match recorded {
        Some(recorded) => same_installation(task, &ours.installation, recorded, has_delta),
        None if guarantee != Guarantee::AtLeastOnce && ours.places.iter().any(is_committed) => Err(lost(task, ours)),
        None => Ok(()),
    }
}

/// What to do when the destination refused our epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Take an epoch above this one and open again; then the checkpoints decide.
    RaiseAbove(Epoch),
    /// Step aside.
    StepAside,
}

/// We hold the state directory's lock, so nobody newer of our installation runs: a destination that saw a higher epoch of ours tells of
/// an older state put back. Once; if it is refused again, somebody does run.
#[must_use]
pub fn refused(ours: &InstallationId, error: &Error, raised_before: bool) -> Refused {
    match (&error.recorded, error.kind, raised_before) {
        (Some(recorded), ErrorKind::Fenced, false) if recorded.installation == *ours => {
            Refused::RaiseAbove(Epoch(recorded.epoch))
        }
        _ => Refused::StepAside,
    }
}

fn their_checkpoint(known: &Remembered<'_>) -> Result<Option<Checkpoint>, Error> {
    match known.recorded {
        Some(recorded) if !recorded.checkpoint.is_empty() => {
            let parsed = Checkpoint::parse(&recorded.checkpoint)
                .map_err(|error| error.while_doing(format!("task {}: what the destination remembers", known.task)))?;
            Ok(Some(parsed))
        }
        Some(_) | None => Ok(None),
    }
}

/// A journal is known by its id, and its history by the chain CRC at an offset.
fn same_journals(known: &Remembered<'_>, checkpoint: &Checkpoint, whose: &str) -> Result<(), Error> {
    let task = known.task;
    let journals: BTreeMap<_, _> = checkpoint.places.keys().map(|other| (&other.binding, other)).collect();
    for place in known.places {
        let other = journals.get(&place.binding).filter(|_| !checkpoint.places.contains_key(place));
        if let Some(other) = other {
            let message = format!(
                "task {task}: {whose} remembers binding {} in journal {}, it now reads journal {}: the journal was deleted and begun anew, \
                 or the collection is written by another capture",
                place.binding, other.journal, place.journal
            );
            return Err(stop("state.journal", message, task, known.has_delta));
        }
        let position = checkpoint.position(place);
        let found = match (known.standing)(place, position) {
            Standing::Has => continue,
            Standing::Differs => "has another history there",
            Standing::Short => "ends before",
            Standing::Trimmed => return Err(trimmed(known, place, position, whose)),
        };
        let message = format!("task {task}: {whose} remembers {place} at {position}, but the journal {found}");
        return Err(stop("state.position", message, task, known.has_delta));
    }
    Ok(())
}

/// The destination's own checkpoint decides.
fn transactional(known: &Remembered<'_>, theirs: Option<Checkpoint>) -> Result<Resume, Error> {
    let Remembered { task, ours, .. } = *known;
    let committed = known.places.iter().any(|place| ours.position(place) != Position::BEGINNING);
    let theirs = match theirs {
        Some(theirs) => theirs,
        None if committed => return Err(lost(known.task, known.ours)),
        None => {
            let transaction = known.recorded.map_or(0, |recorded| recorded.transaction);
            Checkpoint { transaction, ..Checkpoint::beginning(ours.installation.clone()) }
        }
    };
    let all = |holds: &dyn Fn(Position, &Place) -> bool| {
        known.places.iter().all(|place| holds(theirs.position(place), place))
    };
    let acknowledge = theirs.transaction;
    if all(&|position, place| position == ours.position(place)) {
        return match known.extent {
            Some(extent) if extent.must_be_finished(known.guarantee) => rerun(known, extent, acknowledge),
            Some(_) | None => begin(known, acknowledge),
        };
    }
    if let Some(extent) = known.extent {
        let promoted = ours.overlaid(extent);
        if all(&|position, place| position == promoted.position(place)) {
            return Ok(Resume::Promote { checkpoint: promoted, acknowledge });
        }
    }
    if all(&|position, place| position.offset <= ours.position(place).offset) {
        let mut checkpoint = ours.clone();
        for place in known.places {
            checkpoint.places.insert(place.clone(), theirs.position(place));
        }
        let warning = format!(
            "task {task}: the destination is at transaction {}, the state directory at {}: the destination went back (restored from a \
             backup?); what came since is sent again from the journal",
            theirs.transaction, ours.transaction
        );
        let given_up = known.extent.cloned().map(Extent::given_up);
        return Ok(Resume::Replay { checkpoint, acknowledge, given_up, warning });
    }
    Err(newer(known, theirs.transaction))
}

/// Our log decides; the destination's record only tells whether it is the destination, and the state, that we know. What it acknowledged was
/// applied, so one that has less went back. From there nothing is sent again, as it is to a transactional one: record and content are not of
/// one transaction, and what was put back may be older than the one and newer than the other.
fn idempotent(known: &Remembered<'_>) -> Result<Resume, Error> {
    let committed = known.places.iter().any(|place| known.ours.position(place) != Position::BEGINNING);
    match known.recorded {
        None if committed => Err(lost(known.task, known.ours)),
        Some(recorded) if recorded.transaction > known.ours.transaction => Err(newer(known, recorded.transaction)),
        Some(recorded) if committed && recorded.transaction == 0 && known.pending.is_none() => {
            Err(lost(known.task, known.ours))
        }
        Some(recorded) if committed && recorded.transaction < known.ours.transaction && known.pending.is_none() => {
            Err(older(known, recorded.transaction))
        }
        Some(_) | None => from_ours(known),
    }
}

fn from_ours(known: &Remembered<'_>) -> Result<Resume, Error> {
    let acknowledge = known.ours.transaction;
    match known.extent {
        Some(extent) if extent.must_be_finished(known.guarantee) => rerun(known, extent, acknowledge),
        Some(_) | None => begin(known, acknowledge),
    }
}

fn begin(known: &Remembered<'_>, acknowledge: u64) -> Result<Resume, Error> {
    Ok(Resume::GoOn { checkpoint: known.ours.clone(), acknowledge })
}

/// The same documents in the same batches need the same bindings: it runs under the spec it names or not at all. The supervisor opens a
/// session of that spec for it and applies no newer one before, so a spec that is missing was lost by something else.
fn rerun(known: &Remembered<'_>, extent: &Extent, acknowledge: u64) -> Result<Resume, Error> {
    if extent.spec_version != known.spec_version {
        let message = format!(
            "task {}: transaction {} was begun under version {} of the task and must be finished under it, the state directory holds version \
             {} only",
            known.task, extent.transaction, extent.spec_version, known.spec_version
        );
        return Err(Error::config("state.spec_lost", message).suggest(format!(
            "put a copy of the state directory back, or give the transaction up and fill the destination anew: longshore run --fresh {}",
            known.task
        )));
    }
    let places: BTreeSet<&Place> = known.places.iter().collect();
    if let Some(place) = extent.spans.keys().find(|place| !places.contains(place)) {
        let message = format!(
            "task {}: transaction {} was begun and must be finished, it covers {place}, and that journal is not there any more",
            known.task, extent.transaction
        );
        return Err(Error::config("state.journal", message).suggest(format!(
            "put the journal back, or give the transaction up and fill the destination anew: longshore run --fresh {}",
            known.task
        )));
    }
    Ok(Resume::Rerun { checkpoint: known.ours.clone(), acknowledge, extent: extent.clone() })
}

/// What a binding would read first is gone.
fn trimmed(known: &Remembered<'_>, place: &Place, position: Position, whose: &str) -> Error {
    let task = known.task;
    if position == Position::BEGINNING {
        return begins_too_late(task, &place.binding);
    }
    let message = format!(
        "task {task}: {whose} remembers {place} at {position}, but the journal was trimmed (`retention: consumed`) and begins behind that: it \
         went back too far (restored from an old copy?)"
    );
    Error::config("journal.trimmed", message).suggest(format!(
        "put a newer copy back, or capture the collection again and fill the destination anew: longshore run --fresh CAPTURE --fresh {task}"
    ))
}

/// Refuses bindings that are new, where the journal does not hold all of their collection any more. `holds` knows of each collection.
pub fn at_beginning<'a>(
    task: &str,
    ours: &Checkpoint,
    bindings: impl IntoIterator<Item = (&'a StateKey, &'a str)>,
    holds: &dyn Fn(&str) -> Result<bool, Error>,
) -> Result<(), Error> {
    let known: BTreeSet<&StateKey> = ours.places.keys().map(|place| &place.binding).collect();
    for (index, (binding, collection)) in bindings.into_iter().enumerate() {
        if !known.contains(binding) && !holds(collection)? {
            return Err(begins_too_late(task, binding).at_binding(index));
        }
    }
    Ok(())
}

fn begins_too_late(task: &str, binding: &StateKey) -> Error {
    let message = format!(
        "task {task}: binding {binding} has to read its collection from the beginning, but the journal was trimmed (`retention: consumed`) when \
         all others had passed that"
    );
    Error::config("journal.trimmed", message).suggest(
        "capture the collection again, so that the journal holds all of it: longshore run --fresh CAPTURE/COLLECTION (all who read it get it \
         again; delta bindings then hold it twice), or take the binding out",
    )
}

fn lost(task: &str, ours: &Checkpoint) -> Error {
    let message = format!(
        "task {task}: the state directory (installation {}) has committed transaction {}, the destination remembers nothing of it: it was \
         deleted, or is another one",
        ours.installation, ours.transaction
    );
    Error::config("state.destination_lost", message)
        .suggest(format!("put the destination back, or fill it anew: longshore run --fresh {task}"))
}

fn older(known: &Remembered<'_>, theirs: u64) -> Error {
    let Remembered { task, ours, .. } = *known;
    let message = format!(
        "task {task}: the destination has applied transactions up to {theirs}, the state directory (installation {}) knows that it has applied \
         transaction {}: the destination went back (restored from a copy?)",
        ours.installation, ours.transaction
    );
    Error::config("state.destination_older", message).suggest(format!(
        "put the newer copy of the destination back, or a copy of the state directory from the same time as the destination, or fill it anew: \
         longshore run --fresh {task}"
    ))
}

fn newer(known: &Remembered<'_>, theirs: u64) -> Error {
    let Remembered { task, ours, .. } = *known;
    let message = format!(
        "task {task}: the destination has transaction {theirs}, the state directory (installation {}) knows transactions up to {}: the state \
         is older than what it wrote (restored from a copy?)",
        ours.installation, ours.transaction
    );
    stop("state.older", message, task, known.has_delta)
}

/// A stop with all ways out that there are.
fn stop(code: &str, message: String, task: &str, has_delta: bool) -> Error {
    let take_over = if has_delta {
        String::new()
    } else {
        format!("longshore run --take-over {task} (keeps the rows and reads the journal from its beginning), or ")
    };
    Error::config(code, message).suggest(format!(
        "put the state back that wrote the destination, or {take_over}longshore run --fresh {task} (drops what was written and fills it anew; \
         {task}/BINDING for one binding)"
    ))
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
