//! Every way in which two sides can remember differently, for each guarantee, with a standard and with a delta binding.

use std::collections::BTreeMap;

use longshore_proto::name::StateKey;

use super::*;
use crate::journal::JournalId;
use crate::materialize::checkpoint::Span;

use Guarantee::{AtLeastOnce, Idempotent, Transactional};

const ALL: [Guarantee; 3] = [Transactional, Idempotent, AtLeastOnce];

fn installation(n: u8) -> InstallationId {
    InstallationId::from_bytes([n; 16])
}

fn place(binding: &str) -> Place {
    Place { journal: JournalId([1; 16]), binding: StateKey::new(&[binding.to_owned()], 0) }
}

fn elsewhere() -> Place {
    Place { journal: JournalId([9; 16]), ..place("a") }
}

/// The one journal of these tests has 30 documents, and this history.
fn at(offset: u64) -> Position {
    if offset == 0 {
        Position::BEGINNING
    } else {
        Position { offset, chain_crc: u32::try_from(offset).unwrap_or(0) + 1000 }
    }
}

fn journal(_: &Place, position: Position) -> Standing {
    match position {
        position if position.offset > 30 => Standing::Short,
        position if position == at(position.offset) => Standing::Has,
        _ => Standing::Differs,
    }
}

fn checkpoint(owner: u8, transaction: u64, a: Position, b: Position) -> Checkpoint {
    let places = [(place("a"), a), (place("b"), b)].into_iter().filter(|(_, at)| *at != Position::BEGINNING).collect();
    Checkpoint { installation: installation(owner), transaction, places }
}

fn extent(flushed_state: bool) -> Extent {
    let span = Span { from: at(20), to: at(25) };
    Extent { transaction: 6, spec_version: 1, flushed_state, spans: [(place("a"), span), (place("b"), span)].into() }
}

fn recorded(epoch: u64, checkpoint: &Checkpoint) -> Recorded {
    let bytes = if checkpoint.places.is_empty() { bytes::Bytes::new() } else { checkpoint.encode() };
    Recorded {
        installation: checkpoint.installation.clone(),
        epoch,
        transaction: checkpoint.transaction,
        checkpoint: bytes,
    }
}

/// One row: what we know, what the destination says, and what comes of it.
struct Row {
    what: &'static str,
    ours: Checkpoint,
    extent: Option<Extent>,
    pending: Option<u64>,
    theirs: Option<Recorded>,
    /// Transactional, idempotent, at least once.
    outcome: [&'static str; 3],
}

fn rows() -> Vec<Row> {
    let five = || checkpoint(1, 5, at(20), at(20));
    let none = || checkpoint(1, 0, at(0), at(0));
    let row = |what, ours, extent, pending, theirs, outcome| Row { what, ours, extent, pending, theirs, outcome };
    vec![
        row("the first session", none(), None, None, None, ["go on 0", "go on 0", "go on 0"]),
        row(
            "opened once and nothing committed",
            none(),
            None,
            None,
            Some(recorded(1, &none())),
            ["go on 0", "go on 0", "go on 0"],
        ),
        row(
            "the first transaction was begun, and has changed the connector's state",
            none(),
            Some(Extent {
                transaction: 1,
                spans: [(place("a"), Span { from: at(0), to: at(5) })].into(),
                ..extent(true)
            }),
            None,
            Some(recorded(1, &none())),
            ["run 1 again", "run 1 again", "run 1 again"],
        ),
        row("both agree", five(), None, None, Some(recorded(3, &five())), ["go on 5", "go on 5", "go on 5"]),
        row(
            "a transaction was begun and not stored",
            five(),
            Some(extent(false)),
            None,
            Some(recorded(3, &five())),
            ["go on 5", "go on 5", "run 6 again"],
        ),
        row(
            "what was begun has changed the connector's state",
            five(),
            Some(extent(true)),
            None,
            Some(recorded(3, &five())),
            ["run 6 again", "run 6 again", "run 6 again"],
        ),
        row(
            "the destination committed, we did not hear of it",
            five(),
            Some(extent(false)),
            None,
            Some(recorded(3, &checkpoint(1, 6, at(25), at(25)))),
            ["promote 6", "stop state.older", "run 6 again"],
        ),
        row(
            "the plan of the last transaction is not applied yet",
            five(),
            None,
            Some(5),
            Some(recorded(3, &checkpoint(1, 4, at(15), at(15)))),
            ["replay from 15", "go on 5", "go on 5"],
        ),
        row(
            "the destination was restored from an older backup",
            five(),
            None,
            None,
            Some(recorded(2, &checkpoint(1, 3, at(10), at(10)))),
            ["replay from 10", "stop state.destination_older", "go on 5"],
        ),
        row(
            "restored from an older backup while a transaction that changed the connector's state was under way",
            five(),
            Some(extent(true)),
            None,
            Some(recorded(2, &checkpoint(1, 3, at(10), at(10)))),
            ["replay from 10", "stop state.destination_older", "run 6 again"],
        ),
        row(
            "what was begun was given up: only its number counts",
            five(),
            Some(extent(true).given_up()),
            None,
            Some(recorded(3, &five())),
            ["go on 5", "go on 5", "go on 5"],
        ),
        row(
            "the journal that the begun transaction reads is gone",
            five(),
            Some(Extent { spans: [(elsewhere(), Span { from: at(20), to: at(25) })].into(), ..extent(true) }),
            None,
            Some(recorded(3, &five())),
            ["stop state.journal", "stop state.journal", "stop state.journal"],
        ),
        row(
            "restored from a backup in which one binding is as far as it is",
            five(),
            None,
            None,
            Some(recorded(2, &checkpoint(1, 3, at(20), at(10)))),
            ["replay from 10", "stop state.destination_older", "go on 5"],
        ),
        row(
            "the destination was deleted",
            five(),
            None,
            None,
            None,
            ["stop state.destination_lost", "stop state.destination_lost", "go on 5"],
        ),
        row(
            "the destination was deleted and made again by Apply",
            five(),
            None,
            None,
            Some(recorded(3, &none())),
            ["stop state.destination_lost", "stop state.destination_lost", "go on 5"],
        ),
        row(
            "our state was deleted and begun anew",
            checkpoint(2, 0, at(0), at(0)),
            None,
            None,
            Some(recorded(3, &five())),
            ["stop state.installation", "stop state.installation", "stop state.installation"],
        ),
        row(
            "our state is an older copy, the journal is not",
            checkpoint(1, 3, at(10), at(10)),
            None,
            None,
            Some(recorded(9, &five())),
            ["stop state.older", "stop state.older", "go on 3"],
        ),
        row(
            "our state and journal are an older copy",
            checkpoint(1, 5, at(20), at(20)),
            None,
            None,
            Some(recorded(9, &checkpoint(1, 8, at(40), at(40)))),
            ["stop state.position", "stop state.position", "stop state.position"],
        ),
        row(
            "a copied project went its own way from offset 20 on",
            checkpoint(1, 5, at(20), at(20)),
            None,
            None,
            Some(recorded(
                9,
                &checkpoint(1, 6, Position { offset: 25, chain_crc: 1 }, Position { offset: 25, chain_crc: 1 }),
            )),
            ["stop state.position", "stop state.position", "stop state.position"],
        ),
        row(
            "the journal is not the one our own checkpoint knows",
            checkpoint(1, 5, Position { offset: 20, chain_crc: 1 }, at(20)),
            None,
            None,
            Some(recorded(3, &five())),
            ["stop state.position", "stop state.position", "stop state.position"],
        ),
        row(
            "the destination is ahead of one binding and behind another",
            five(),
            None,
            None,
            Some(recorded(3, &checkpoint(1, 6, at(25), at(10)))),
            ["stop state.older", "stop state.older", "go on 5"],
        ),
        row(
            "a binding was added: it is at the beginning on both sides",
            checkpoint(1, 5, at(20), at(0)),
            None,
            None,
            Some(recorded(3, &checkpoint(1, 5, at(20), at(0)))),
            ["go on 5", "go on 5", "go on 5"],
        ),
    ]
}

fn decided(row: &Row, guarantee: Guarantee, has_delta: bool) -> Result<Resume, Error> {
    decide(&Remembered {
        task: "lake",
        guarantee,
        places: &[place("a"), place("b")],
        has_delta,
        spec_version: 1,
        ours: &row.ours,
        extent: row.extent.as_ref(),
        pending: row.pending,
        recorded: row.theirs.as_ref(),
        standing: &journal,
    })
}

fn told(decided: &Result<Resume, Error>) -> String {
    let least =
        |checkpoint: &Checkpoint| checkpoint.position(&place("a")).offset.min(checkpoint.position(&place("b")).offset);
    match decided {
        Ok(Resume::GoOn { acknowledge, .. }) => format!("go on {acknowledge}"),
        Ok(Resume::Promote { checkpoint, .. }) => format!("promote {}", checkpoint.transaction),
        Ok(Resume::Replay { checkpoint, .. }) => format!("replay from {}", least(checkpoint)),
        Ok(Resume::Rerun { extent, .. }) => format!("run {} again", extent.transaction),
        Err(error) => format!("stop {}", error.code),
    }
}

#[test]
fn every_row_for_each_guarantee_and_with_delta_bindings() {
    for row in rows() {
        for (guarantee, expected) in ALL.iter().zip(row.outcome) {
            for has_delta in [false, true] {
                let decided = decided(&row, *guarantee, has_delta);
                assert_eq!(told(&decided), expected, "{}, {guarantee:?}, delta {has_delta}", row.what);
            }
        }
    }
}

#[test]
fn a_stop_names_both_sides_and_the_ways_out() {
    for row in rows() {
        for (guarantee, has_delta) in ALL.iter().flat_map(|guarantee| [(guarantee, false), (guarantee, true)]) {
            let Err(error) = decided(&row, *guarantee, has_delta) else { continue };
            let text = error.to_string();
            assert_eq!(error.kind, ErrorKind::Config, "{text}");
            assert!(text.contains("task lake") && text.contains("run --fresh lake"), "{}: {text}", row.what);
            let keeps_rows = text.contains("--take-over");
            assert!(!(keeps_rows && has_delta), "a take-over would double what a delta binding has: {text}");
        }
    }
}

#[test]
fn a_replay_begins_where_the_destination_is_and_numbers_go_on() {
    let all = rows();
    let row = all.iter().find(|row| row.what.starts_with("restored from a backup")).expect("row");
    match decided(row, Transactional, true) {
        Ok(Resume::Replay { checkpoint, acknowledge, given_up, warning }) => {
            assert_eq!(given_up, None, "nothing was begun");
            assert_eq!((checkpoint.position(&place("a")), checkpoint.position(&place("b"))), (at(20), at(10)));
            assert_eq!((checkpoint.transaction, acknowledge), (5, 3));
            assert!(warning.contains("backup"), "{warning}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_replay_gives_up_what_was_begun_and_keeps_its_number() {
    let all = rows();
    let row = all.iter().find(|row| row.what.starts_with("restored from an older backup while")).expect("row");
    match decided(row, Transactional, false) {
        Ok(Resume::Replay { given_up: Some(given_up), .. }) => {
            assert_eq!((given_up.transaction, given_up.spans.len()), (6, 0));
            assert!(ALL.iter().all(|guarantee| !given_up.must_be_finished(*guarantee)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_journal_begun_anew_is_not_taken_for_the_old_one() {
    let places = BTreeMap::from([(elsewhere(), at(20))]);
    let ours = Checkpoint { installation: installation(1), transaction: 5, places };
    let row = Row { what: "", ours, extent: None, pending: None, theirs: None, outcome: [""; 3] };
    for guarantee in ALL {
        assert_eq!(told(&decided(&row, guarantee, true)), "stop state.journal", "{guarantee:?}");
    }
}

#[test]
fn a_transaction_begun_under_another_spec_is_not_run_under_this_one() {
    let five = checkpoint(1, 5, at(20), at(20));
    let extent = Some(Extent { spec_version: 7, ..extent(false) });
    let row = Row { what: "", theirs: Some(recorded(3, &five)), ours: five, extent, pending: None, outcome: [""; 3] };
    assert_eq!(told(&decided(&row, AtLeastOnce, false)), "stop state.spec_lost");
    assert_eq!(told(&decided(&row, Transactional, false)), "go on 5");
}

#[test]
fn what_the_destination_remembers_must_be_a_checkpoint() {
    let five = checkpoint(1, 5, at(20), at(20));
    let theirs = Recorded { checkpoint: bytes::Bytes::from_static(b"half a checkpo"), ..recorded(3, &five) };
    let row = Row { what: "", ours: five, extent: None, pending: None, theirs: Some(theirs), outcome: [""; 3] };
    assert_eq!(told(&decided(&row, Transactional, false)), "stop state.checkpoint");
}

#[test]
fn a_refused_epoch_of_our_own_is_raised_once_and_then_the_checkpoints_decide() {
    let error =
        |owner, epoch| Error::fenced("fence.epoch", "").held_by(recorded(epoch, &checkpoint(owner, 5, at(20), at(20))));
    let raised = Refused::RaiseAbove(Epoch(9));
    for (what, error, before, expected) in [
        ("our own, higher", error(1, 9), false, raised),
        ("our own, again", error(1, 9), true, Refused::StepAside),
        ("somebody else's", error(2, 9), false, Refused::StepAside),
        ("nobody named", Error::fenced("fence.epoch", ""), false, Refused::StepAside),
        (
            "no refusal",
            Error::unavailable("x", "").held_by(recorded(9, &checkpoint(1, 5, at(20), at(20)))),
            false,
            Refused::StepAside,
        ),
    ] {
        assert_eq!(refused(&installation(1), &error, before), expected, "{what}");
    }
}
