//! Stories of the machine: what goes in, what comes out, and what is durable when.

use std::time::Duration;

use longshore_proto::name::{InstallationId, StateKey};
use longshore_proto::session::ClosePolicy;

use super::*;
use crate::materialize::checkpoint::Span;
use crate::materialize::skips;
use crate::materialize::turns::has_laggards;

#[path = "transaction/closing_tests.rs"]
mod closing;

fn place(binding: &str) -> Place {
    Place { journal: JournalId([1; 16]), binding: StateKey::new(&[binding.to_owned()], 0) }
}

fn at(offset: u64) -> Position {
    if offset == 0 { Position::BEGINNING } else { Position { offset, chain_crc: 7 } }
}

fn checkpoint(transaction: u64, places: &[(&str, u64)]) -> Checkpoint {
    let places = places.iter().map(|(binding, offset)| (place(binding), at(*offset))).collect();
    Checkpoint { installation: InstallationId::from_bytes([1; 16]), transaction, places }
}

/// A machine and what it was told to do, in words.
struct Story {
    machine: Transaction,
}

const LIMITS: Limits = Limits {
    close_bytes: 100,
    close_documents: 10,
    close_age_ms: 1_000,
    close_when_idle: false,
    skipped_age_ms: 60_000,
    asked_bytes_max: 200,
    asked_age_max_ms: 90_000,
};

impl Story {
    fn new(guarantee: Guarantee, ours: Checkpoint, bindings: &[&str]) -> Self {
        Self::within(LIMITS, guarantee, ours, bindings)
    }

    fn within(limits: Limits, guarantee: Guarantee, ours: Checkpoint, bindings: &[&str]) -> Self {
        let beginning = Beginning {
            guarantee,
            spec_version: 1,
            places: bindings.iter().map(|binding| place(binding)).collect(),
            state: State::new(),
            last_number: ours.transaction,
            is_pending: false,
            only_rerun: false,
            commits_skipped: false,
            limits,
        };
        Self { machine: Transaction::new(beginning, ours) }
    }

    fn opened(guarantee: Guarantee) -> Self {
        let ours = checkpoint(0, &[]);
        let mut story = Self::new(guarantee, ours.clone(), &["a"]);
        let went_on = story.go(opened(Resume::GoOn { checkpoint: ours, acknowledge: 0 }));
        assert_eq!(went_on, ["acknowledge 0", "read a from 0", "advance"]);
        assert!(story.go(acknowledged()).is_empty(), "nothing was pending, nothing is to be written");
        story
    }

    fn go(&mut self, event: Event) -> Vec<String> {
        let actions = self.machine.step(event).expect("a step");
        actions.iter().map(told).collect()
    }

    fn refuses(&mut self, event: Event) -> Error {
        self.machine.step(event).expect_err("a refusal")
    }
}

fn told(action: &Action) -> String {
    match action {
        Action::Persist(changes) => format!("persist {}", written(changes)),
        Action::Acknowledge { transaction } => format!("acknowledge {transaction}"),
        Action::Read(selection) => {
            let reading = |r: &super::super::turns::Reading| {
                let names: Vec<_> = r.takes.iter().map(|t| t.place.binding.resource_path().join("/")).collect();
                let limit = r.limit.map_or(String::new(), |limit| format!(" to {limit}"));
                format!("read {} from {}{limit}", names.join("+"), r.start.offset)
            };
            selection.readings.iter().map(reading).collect::<Vec<_>>().join(", ")
        }
        Action::Advance { .. } => "advance".to_owned(),
        Action::StartAge { ms } => format!("age {ms}"),
        Action::SendLoads => "loads".to_owned(),
        Action::Flush { transaction } => format!("flush {transaction}"),
        Action::SendStores => "stores".to_owned(),
        Action::FindRejected { extent } => format!("find what was rejected of {}", extent.transaction),
        Action::Commit { transaction, checkpoint } => {
            let checkpoint = Checkpoint::parse(checkpoint).expect("a checkpoint");
            format!("commit {transaction} at {}", checkpoint.position(&place("a")).offset)
        }
        Action::Published { transaction } => format!("published {transaction}"),
        Action::HalfClose => "half-close".to_owned(),
        Action::Finish(end) => format!("{end:?}"),
    }
}

fn written(changes: &TaskChanges) -> String {
    let mut words = Vec::new();
    if let Some(checkpoint) = &changes.checkpoint {
        words.push(format!("checkpoint {}", checkpoint.transaction));
    }
    match &changes.extent {
        Change::Keep => {}
        Change::Clear => words.push("no extent".to_owned()),
        Change::Set(extent) => {
            let parsed = Extent::parse(&extent.bytes).expect("an extent");
            let what = match parsed.spans.get(&place("a")) {
                Some(span) => format!("{}..{}", span.from.offset, span.to.offset),
                None => "nothing".to_owned(),
            };
            words.push(format!("extent {} of {what}", extent.transaction));
        }
    }
    if changes.state.is_some() {
        words.push("state".to_owned());
    }
    match &changes.pending {
        Change::Keep => {}
        Change::Clear => words.push("nothing pending".to_owned()),
        Change::Set(pending) => words.push(format!("pending {}", pending.transaction)),
    }
    if !changes.skips.is_empty() {
        let offsets = changes.skips.iter().map(|skip| skip.at.offset.to_string());
        words.push(format!("skip {}", offsets.collect::<Vec<_>>().join("+")));
    }
    for (letter, at) in &changes.replayed {
        words.push(format!("{} again at {at}", letter.offset));
    }
    words.join(", ")
}

fn skip(offset: u64) -> Skip {
    let Place { journal, binding } = place("a");
    skips::joined(SkipId { journal, binding, offset }, "t/a", b"[1]", 1, 10)
}

fn opened(resume: Resume) -> Event {
    Event::Opened { resume, recorded_transaction: 0, close_policy: ClosePolicy::default() }
}

fn acknowledged() -> Event {
    Event::Acknowledged { state_patch: StatePatch::new() }
}

fn flushed() -> Event {
    Event::Flushed { state_patch: StatePatch::new() }
}

fn committed() -> Event {
    Event::Committed { state_patch: StatePatch::new(), plan: Bytes::new() }
}

fn some_state() -> StatePatch {
    StatePatch::new().with_task(br#"{"n":1}"#).expect("a patch")
}

fn read(documents: u64, to: u64, then: Then) -> Event {
    let positions = vec![(JournalId([1; 16]), at(to))];
    Event::Advanced(Advanced { documents, bytes: documents, positions, then, ..Advanced::default() })
}

/// One whole transaction and the beginning of the next.
fn whole() -> Vec<(Event, &'static [&'static str])> {
    vec![
        (read(5, 5, Then::Nothing), &["age 1000"]),
        (Event::AgeElapsed, &["loads"]),
        (Event::LoadsSent, &["flush 1"]),
        (flushed(), &["persist extent 1 of 0..5"]),
        (Event::Persisted, &["stores"]),
        (Event::StoresSent, &["commit 1 at 5"]),
        (committed(), &["persist checkpoint 1, no extent, pending 1"]),
        (Event::Persisted, &["published 1", "acknowledge 1", "read a from 5", "advance"]),
        (acknowledged(), &["persist nothing pending"]),
        (Event::Persisted, &[]),
    ]
}

#[test]
fn a_transaction_from_its_first_document_to_acknowledged() {
    let mut story = Story::opened(Guarantee::Transactional);
    for (event, expected) in whole() {
        assert_eq!(story.go(event), expected);
    }
}

#[test]
fn what_the_connector_returns_is_durable_before_it_counts() {
    let mut story = Story::opened(Guarantee::Idempotent);
    story.go(read(5, 5, Then::Nothing));
    story.go(Event::AgeElapsed);
    story.go(Event::LoadsSent);
    assert_eq!(story.go(Event::Flushed { state_patch: some_state() }), ["persist extent 1 of 0..5, state"]);
    assert_eq!(story.go(Event::Persisted), ["stores"]);
    story.go(Event::StoresSent);
    let plan = Event::Committed { state_patch: some_state(), plan: Bytes::from_static(b"rename") };
    assert_eq!(story.go(plan), ["persist checkpoint 1, no extent, state, pending 1"]);
    story.go(Event::Persisted);
    assert_eq!(story.go(Event::Acknowledged { state_patch: some_state() }), ["persist state, nothing pending"]);
}

#[test]
fn the_next_transaction_loads_while_the_last_is_acknowledged_but_does_not_flush() {
    let mut story = Story::opened(Guarantee::Transactional);
    whole().into_iter().take(8).for_each(|(event, _)| drop(story.go(event)));
    assert_eq!(story.go(read(10, 15, Then::More)), ["age 1000", "loads"]);
    assert!(story.go(Event::LoadsSent).is_empty(), "transaction 1 is not acknowledged");
    assert_eq!(story.go(acknowledged()), ["persist nothing pending"]);
    assert_eq!(story.go(Event::Persisted), ["flush 2"]);
}

#[test]
fn it_closes_by_bytes_by_count_and_by_age() {
    let mut by_bytes = Story::opened(Guarantee::Transactional);
    let positions = vec![(JournalId([1; 16]), at(2))];
    let large = Advanced { documents: 2, bytes: 100, positions, then: Then::More, ..Advanced::default() };
    assert_eq!(by_bytes.go(Event::Advanced(large)), ["age 1000", "loads"]);
    let mut by_count = Story::opened(Guarantee::Transactional);
    assert_eq!(by_count.go(read(4, 4, Then::More)), ["age 1000", "advance"]);
    assert_eq!(by_count.go(read(6, 10, Then::More)), ["loads"]);
    let mut by_age = Story::opened(Guarantee::Transactional);
    assert!(by_age.go(Event::AgeElapsed).is_empty(), "nothing is old before its first document");
    assert_eq!(by_age.go(read(1, 1, Then::More)), ["age 1000", "advance"]);
    assert!(
        by_age.go(Event::AgeElapsed).is_empty(),
        "whole transactions of the journal only: what is being read ends first"
    );
    assert_eq!(by_age.go(read(0, 1, Then::Nothing)), ["loads"]);
}

#[test]
fn what_it_only_skips_is_no_transaction() {
    let mut story = Story::opened(Guarantee::Transactional);
    assert!(story.go(read(0, 9, Then::Nothing)).is_empty());
    assert_eq!(story.go(Event::MoreToRead), ["advance"]);
    story.go(read(1, 10, Then::Nothing));
    story.go(Event::AgeElapsed);
    story.go(Event::LoadsSent);
    assert_eq!(story.go(flushed()), ["persist extent 1 of 0..10"], "the next one that is has it with it");
}

#[test]
fn a_stop_drops_what_is_not_flushed_and_finishes_what_is() {
    for stop_after in 0..=whole().len() {
        let mut story = Story::opened(Guarantee::Transactional);
        let mut steps = whole().into_iter();
        steps.by_ref().take(stop_after).for_each(|(event, _)| drop(story.go(event)));
        let mut said = story.go(Event::StopRequested);
        // From Flush on, up to what is pending being cleared, it is too late to drop it.
        let finishes = (3..=9).contains(&stop_after);
        assert_eq!(said.is_empty(), finishes, "stopped after {stop_after}: {said:?}");
        if finishes {
            let more: Vec<_> = steps.flat_map(|(event, _)| story.go(event)).collect();
            assert!(more.iter().all(|word| !word.starts_with("read")), "nothing new is begun: {more:?}");
            said.extend(more);
        }
        assert_eq!(said.last().map(String::as_str), Some("half-close"), "stopped after {stop_after}: {said:?}");
        assert!(story.go(read(3, 8, Then::Nothing)).is_empty(), "what was being read is dropped");
        assert_eq!(story.go(Event::StreamEnded), ["Stopped"]);
    }
}

#[test]
fn a_stop_before_opened_acknowledges_what_was_pending_and_ends() {
    let five = checkpoint(5, &[("a", 20)]);
    let mut story = Story::new(Guarantee::Idempotent, five.clone(), &["a"]);
    story.machine.is_pending = true;
    assert!(story.go(Event::StopRequested).is_empty());
    assert_eq!(story.go(opened(Resume::GoOn { checkpoint: five, acknowledge: 5 })), ["acknowledge 5"]);
    assert_eq!(story.go(acknowledged()), ["persist nothing pending"]);
    assert_eq!(story.go(Event::Persisted), ["half-close"]);
}

#[test]
fn a_newer_schema_at_a_boundary_closes_there_and_inside_drops_all() {
    let mut boundary = Story::opened(Guarantee::Transactional);
    assert_eq!(boundary.go(read(3, 3, Then::NewerSchema { inside: false })), ["age 1000", "loads"]);
    for event in [Event::LoadsSent, flushed(), Event::Persisted, Event::StoresSent, committed()] {
        boundary.go(event);
    }
    assert_eq!(boundary.go(Event::Persisted), ["published 1", "acknowledge 1"]);
    assert_eq!(boundary.go(acknowledged()), ["persist nothing pending"]);
    assert_eq!(boundary.go(Event::Persisted), ["half-close"]);
    assert_eq!(boundary.go(Event::StreamEnded), ["SchemaGrew"]);

    let mut inside = Story::opened(Guarantee::Transactional);
    assert_eq!(inside.go(read(3, 3, Then::NewerSchema { inside: true })), ["age 1000", "half-close"]);
    let mut empty = Story::opened(Guarantee::Transactional);
    assert_eq!(empty.go(read(0, 0, Then::NewerSchema { inside: false })), ["half-close"]);
}

#[test]
fn a_laggard_takes_turns_with_the_leader_and_joins_it() {
    let ours = checkpoint(5, &[("a", 20)]);
    let mut story = Story::new(Guarantee::Transactional, ours.clone(), &["a", "new"]);
    assert_eq!(
        story.go(opened(Resume::GoOn { checkpoint: ours, acknowledge: 5 })),
        ["acknowledge 5", "read a from 20", "advance"]
    );
    story.go(acknowledged());
    assert_eq!(story.go(read(2, 22, Then::Nothing)), ["age 1000", "loads"], "others wait: it is not held open");
    finish(&mut story);
    assert_eq!(story.go(Event::Persisted)[2], "read new from 0 to 22");
    story.go(acknowledged());
    story.go(Event::Persisted);
    assert_eq!(story.go(read(10, 12, Then::More)), ["age 1000", "loads"]);
    finish(&mut story);
    assert_eq!(story.go(Event::Persisted)[2], "read a from 22", "the leader's turn");
    story.go(acknowledged());
    story.go(Event::Persisted);
    assert_eq!(
        story.go(read(0, 22, Then::Nothing)),
        ["read new from 12 to 22", "advance"],
        "nothing to do: the other's turn"
    );
    assert_eq!(story.go(read(0, 22, Then::Nothing)), ["read a+new from 22", "advance"], "one group from here");
    assert!(!has_laggards(story.machine.places()));
}

/// From Loads sent to the checkpoint that is about to be durable.
fn finish(story: &mut Story) {
    for event in [Event::LoadsSent, flushed(), Event::Persisted, Event::StoresSent, committed()] {
        story.go(event);
    }
}

#[test]
fn it_drains_to_the_noted_end_and_no_farther() {
    let end = |offset| Event::EndsNoted(Ends::from([(JournalId([1; 16]), offset)]));
    let mut story = Story::opened(Guarantee::Transactional);
    story.go(read(4, 4, Then::Nothing));
    assert_eq!(story.go(end(6)), ["advance"]);
    assert_eq!(story.go(read(2, 6, Then::Nothing)), ["loads"], "at the end: it does not wait for its age");
    finish(&mut story);
    assert_eq!(story.go(Event::Persisted), ["published 1", "acknowledge 1"]);
    assert_eq!(story.go(acknowledged()), ["persist nothing pending"]);
    assert_eq!(story.go(Event::Persisted), ["half-close"]);
    assert_eq!(story.go(Event::StreamEnded), ["Drained"]);

    let mut nothing_to_do = Story::opened(Guarantee::Transactional);
    nothing_to_do.go(read(0, 9, Then::Nothing));
    assert_eq!(nothing_to_do.go(end(9)), ["advance"]);
    assert_eq!(nothing_to_do.go(read(0, 9, Then::Nothing)), ["half-close"]);
}

#[test]
fn what_was_begun_runs_again_as_it_was() {
    let five = checkpoint(5, &[("a", 20)]);
    let spans = [(place("a"), Span { from: at(20), to: at(24) })].into();
    let extent = Extent { transaction: 8, spec_version: 1, flushed_state: false, spans };
    let mut story = Story::new(Guarantee::AtLeastOnce, five.clone(), &["a"]);
    let resume = Resume::Rerun { checkpoint: five, acknowledge: 5, extent };
    assert_eq!(story.go(opened(resume)), ["acknowledge 5", "read a from 20 to 24", "advance"]);
    story.go(acknowledged());
    assert_eq!(story.go(read(90, 24, Then::Nothing)), ["age 1000", "loads"], "whatever its size");
    assert_eq!(story.go(Event::LoadsSent), ["flush 8"], "under its own number");
    for event in [
        flushed(),
        Event::Persisted,
        Event::StoresSent,
        committed(),
        Event::Persisted,
        acknowledged(),
        Event::Persisted,
    ] {
        story.go(event);
    }
    story.go(read(10, 34, Then::More));
    assert_eq!(story.go(Event::LoadsSent), ["flush 9"]);
}

#[test]
fn a_session_under_an_older_spec_only_runs_again_what_was_begun_under_it() {
    let five = checkpoint(5, &[("a", 20)]);
    let spans = [(place("a"), Span { from: at(20), to: at(24) })].into();
    let extent = Extent { transaction: 6, spec_version: 1, flushed_state: false, spans };
    let mut story = Story::new(Guarantee::AtLeastOnce, five.clone(), &["a"]);
    story.machine.only_rerun = true;
    story.go(opened(Resume::Rerun { checkpoint: five, acknowledge: 5, extent }));
    story.go(acknowledged());
    story.go(read(4, 24, Then::Nothing));
    finish(&mut story);
    assert_eq!(story.go(Event::Persisted), ["published 6", "acknowledge 6"]);
    story.go(acknowledged());
    assert_eq!(story.go(Event::Persisted), ["half-close"]);
    assert_eq!(story.go(Event::StreamEnded), ["SchemaGrew"]);
}

#[test]
fn read_again_it_must_come_to_the_same() {
    let five = checkpoint(5, &[("a", 20)]);
    let spans = [(place("a"), Span { from: at(20), to: at(24) })].into();
    let extent = Extent { transaction: 6, spec_version: 1, flushed_state: false, spans };
    let mut story = Story::new(Guarantee::AtLeastOnce, five.clone(), &["a"]);
    story.go(opened(Resume::Rerun { checkpoint: five, acknowledge: 5, extent }));
    assert_eq!(story.refuses(read(3, 23, Then::Nothing)).code, "materialize.rerun");
}

#[test]
fn what_the_destination_committed_is_adopted_before_it_is_acknowledged() {
    let ours = checkpoint(5, &[("a", 20)]);
    let mut promoted = Story::new(Guarantee::Transactional, ours.clone(), &["a"]);
    let resume = Resume::Promote { checkpoint: checkpoint(6, &[("a", 25)]), acknowledge: 6 };
    assert_eq!(promoted.go(opened(resume)), ["persist checkpoint 6, no extent, pending 6"]);
    assert_eq!(promoted.go(Event::Persisted), ["acknowledge 6", "read a from 25", "advance"]);

    let mut replayed = Story::new(Guarantee::Transactional, ours, &["a"]);
    let spans = [(place("a"), Span { from: at(20), to: at(24) })].into();
    let begun = Extent { transaction: 6, spec_version: 1, flushed_state: true, spans };
    replayed.machine.last_number = 6;
    let resume = Resume::Replay {
        checkpoint: checkpoint(5, &[("a", 10)]),
        acknowledge: 3,
        given_up: Some(begun.given_up()),
        warning: String::new(),
    };
    assert_eq!(replayed.go(opened(resume)), ["persist checkpoint 5, extent 6 of nothing"]);
    assert_eq!(replayed.go(Event::Persisted), ["acknowledge 3", "read a from 10", "advance"]);
    replayed.go(acknowledged());
    replayed.go(read(10, 20, Then::More));
    assert_eq!(replayed.go(Event::LoadsSent), ["flush 7"], "numbers are never used again");
}

#[test]
fn a_number_that_was_begun_is_not_used_again() {
    let five = checkpoint(5, &[("a", 20)]);
    let mut story = Story::new(Guarantee::Transactional, five.clone(), &["a"]);
    story.machine.last_number = 9;
    story.go(opened(Resume::GoOn { checkpoint: five, acknowledge: 5 }));
    story.go(acknowledged());
    story.go(read(10, 30, Then::More));
    assert_eq!(story.go(Event::LoadsSent), ["flush 10"]);
}

#[test]
fn a_transactional_connector_that_returns_state_or_a_plan_is_refused() {
    for committed in [
        Event::Committed { state_patch: some_state(), plan: Bytes::new() },
        Event::Committed { state_patch: StatePatch::new(), plan: Bytes::from_static(b"p") },
    ] {
        let mut story = Story::opened(Guarantee::Transactional);
        whole().into_iter().take(6).for_each(|(event, _)| drop(story.go(event)));
        assert_eq!(story.refuses(committed).code, "M-11");
    }
}

/// Up to the Stores of transaction 1, which covers 0..5.
fn storing() -> Story {
    let mut story = Story::opened(Guarantee::Transactional);
    whole().into_iter().take(5).for_each(|(event, _)| drop(story.go(event)));
    story
}

#[test]
fn what_the_destination_refuses_is_durable_before_the_session_ends() {
    for (stores_sent, ends_at_once) in [(false, false), (true, false), (false, true)] {
        let mut story = storing();
        if stores_sent {
            story.go(Event::StoresSent);
        }
        assert_eq!(story.go(Event::Rejected), ["find what was rejected of 1"]);
        if ends_at_once {
            assert!(story.go(Event::StreamEnded).is_empty(), "nothing is durable yet");
            assert!(story.go(Event::StreamEnded).is_empty());
        }
        let found = Event::RejectedFound { skips: vec![skip(2), skip(3)] };
        assert_eq!(story.go(found), ["persist skip 2+3"], "the extent stays: it is not committed");
        match ends_at_once {
            true => assert_eq!(story.go(Event::Persisted), ["Rejected"]),
            false => {
                assert_eq!(story.go(Event::Persisted), ["half-close"]);
                assert_eq!(story.go(Event::StreamEnded), ["Rejected"]);
            }
        }
    }
    assert_eq!(Story::opened(Guarantee::Transactional).refuses(Event::Rejected).code, "materialize.machine");
    let mut too_early = Story::opened(Guarantee::Transactional);
    whole().into_iter().take(4).for_each(|(event, _)| drop(too_early.go(event)));
    assert_eq!(too_early.refuses(Event::Rejected).code, "M-16", "nothing was stored yet");
}

#[test]
fn a_stop_among_refusals_still_notes_them() {
    let mut story = storing();
    story.go(Event::Rejected);
    assert!(story.go(Event::StopRequested).is_empty());
    assert_eq!(story.go(Event::RejectedFound { skips: vec![skip(2)] }), ["persist skip 2"]);
    assert_eq!(story.go(Event::Persisted), ["half-close"]);
    assert_eq!(story.go(Event::StreamEnded), ["Stopped"]);
}

#[test]
fn what_reading_finds_of_letters_is_durable_with_the_extent() {
    let mut story = Story::opened(Guarantee::Transactional);
    let Event::Advanced(read) = read(3, 5, Then::Nothing) else { unreachable!() };
    let replayed = vec![(skip(1).at, 4)];
    assert_eq!(story.go(Event::Advanced(Advanced { joined: vec![skip(3)], replayed, ..read })), ["age 1000"]);
    story.go(Event::AgeElapsed);
    story.go(Event::LoadsSent);
    assert_eq!(story.go(flushed()), ["persist extent 1 of 0..5, skip 3, 1 again at 4"]);
    for event in [Event::Persisted, Event::StoresSent, committed(), Event::Persisted] {
        story.go(event);
    }
    let Event::Advanced(next) = self::read(1, 9, Then::Nothing) else { unreachable!() };
    story.go(Event::Advanced(next));
    story.go(acknowledged());
    story.go(Event::Persisted);
    story.go(Event::AgeElapsed);
    story.go(Event::LoadsSent);
    assert_eq!(story.go(flushed()), ["persist extent 2 of 5..9"], "and not with the next one again");
}

#[test]
fn a_transaction_does_not_gather_letters_without_end() {
    let mut story = Story::opened(Guarantee::Transactional);
    let Event::Advanced(read) = read(3, 5, Then::More) else { unreachable!() };
    let joined = (0..skips::JOINED_MAX as u64).map(skip).collect();
    assert_eq!(story.go(Event::Advanced(Advanced { joined, ..read })), ["age 1000", "loads"]);
}

#[test]
fn where_a_journal_is_trimmed_what_is_only_passed_by_is_committed_too() {
    let end = |offset| Event::EndsNoted(Ends::from([(JournalId([1; 16]), offset)]));
    let mut story = Story::opened(Guarantee::Transactional);
    story.machine.commits_skipped = true;
    assert_eq!(story.go(read(0, 9, Then::Nothing)), ["age 60000"]);
    assert!(story.go(read(0, 9, Then::Nothing)).is_empty(), "it runs already");
    assert_eq!(story.go(Event::AgeElapsed), ["loads"]);
    assert_eq!(story.go(Event::LoadsSent), ["flush 1"]);
    assert_eq!(story.go(flushed()), ["persist extent 1 of 0..9"]);
    for event in [Event::Persisted, Event::StoresSent, committed(), Event::Persisted] {
        story.go(event);
    }
    story.go(acknowledged());
    story.go(Event::Persisted);
    assert!(story.go(read(0, 9, Then::Nothing)).is_empty(), "nothing new was passed by");
    assert_eq!(story.go(Event::MoreToRead), ["advance"]);
    assert_eq!(story.go(read(0, 11, Then::Nothing)), ["age 60000"]);
    assert_eq!(story.go(Event::MoreToRead), ["advance"]);
    assert_eq!(story.go(read(1, 12, Then::Nothing)), ["age 1000"], "a document does not wait that long");
    story.go(Event::AgeElapsed);
    finish(&mut story);
    story.go(Event::Persisted);
    story.go(acknowledged());
    story.go(Event::Persisted);

    // At the end of a run nothing is waited for.
    story.go(read(0, 15, Then::Nothing));
    story.go(end(15));
    assert_eq!(story.go(read(0, 15, Then::Nothing)), ["", "advance"], "nothing is read");
    assert_eq!(story.go(read(0, 0, Then::Nothing)), ["loads"]);
    finish(&mut story);
    assert_eq!(story.go(Event::Persisted), ["published 3", "acknowledge 3"]);
    story.go(acknowledged());
    assert_eq!(story.go(Event::Persisted), ["half-close"]);
    assert_eq!(story.go(Event::StreamEnded), ["Drained"]);
}
