//! The golden table, and the rules that need more than a state.

use super::*;
use crate::batch::{BatchBuilder, Keys, KeysBuilder};
use crate::materialize::message::{Backfill, Committed as CommittedMessage, Load, Opened, Store};
use crate::state::StatePatch;

#[test]
fn m_1_every_message_in_every_state() {
    let mut table = String::new();
    for &state in State::ALL {
        for side in [Side::Runtime, Side::Connector] {
            for &kind in Kind::ALL {
                let outcome = match step(state, side, kind) {
                    Ok(next) => format!("→ {}", next.as_str()),
                    Err(_) => "refused".to_owned(),
                };
                table.push_str(&format!("{:14} {:10} {:14} {outcome}\n", state.as_str(), side.as_str(), kind.as_str()));
            }
        }
    }
    insta::assert_snapshot!("m_1_transact", table);
}

#[test]
fn m_1_a_violation_says_what_the_table_allows() {
    let violation = step(State::Storing, Side::Runtime, Kind::Load).expect_err("too late");
    insta::assert_snapshot!(violation, @"the runtime sent Load while Storing: expected one of [Truncate, Backfill, Store, Commit]");
}

/// Plays both sides of a session up to a place, and tells the code of the first refusal.
#[derive(Default)]
struct Play {
    session: Session,
}

impl Play {
    /// Acknowledged up to `transaction`, in a session that is past Opened.
    fn acknowledged(transaction: u64) -> Self {
        let session = Session { state: State::Opening, ..Session::new() };
        Play { session }
            .connector(ToRuntime::Opened(Opened::default()))
            .runtime(ToConnector::Acknowledge { transaction })
            .connector(ToRuntime::Acknowledged { state_patch: StatePatch::new() })
    }

    fn flushed(self, transaction: u64) -> Self {
        self.runtime(ToConnector::Flush { transaction })
            .connector(ToRuntime::Flushed { state_patch: StatePatch::new() })
    }

    fn committed(self, transaction: u64) -> Self {
        self.runtime(commit(transaction)).connector(ToRuntime::Committed(CommittedMessage::default()))
    }

    fn runtime(mut self, message: ToConnector) -> Self {
        self.session.runtime(&message).expect("in order");
        self
    }

    fn connector(mut self, message: ToRuntime) -> Self {
        self.session.connector(&message).expect("in order");
        self
    }

    fn refused(mut self, message: ToConnector) -> String {
        let before = self.session.clone();
        let code = self.session.runtime(&message).expect_err("a broken rule").code.clone();
        assert_eq!(self.session, before, "a refused message changes nothing");
        code
    }
}

fn commit(transaction: u64) -> ToConnector {
    ToConnector::Commit { transaction, checkpoint: Default::default() }
}

fn store(binding: usize) -> ToConnector {
    let mut batch = BatchBuilder::new(binding);
    batch.push(b"{}");
    let documents = batch.finish().expect("one document");
    ToConnector::Store(Store::plain(documents, None))
}

#[test]
fn m_3_acknowledge_names_the_transaction_that_was_committed() {
    let committed = || Play::acknowledged(6).flushed(7).committed(7);
    assert_eq!(committed().refused(ToConnector::Acknowledge { transaction: 6 }), "M-3");
    let play = committed().runtime(ToConnector::Acknowledge { transaction: 7 });
    assert_eq!(play.session.tail(), Tail::Asked { transaction: 7 });
}

#[test]
fn m_4_no_load_is_answered_before_acknowledged() {
    let play = Play::acknowledged(0).flushed(1).committed(1).runtime(ToConnector::Acknowledge { transaction: 1 });
    assert_eq!(play.session.state(), State::Acknowledging);
    assert!(step(State::Acknowledging, Side::Runtime, Kind::Load).is_ok());
    assert!(step(State::Acknowledging, Side::Connector, Kind::Loaded).is_err());
    assert!(step(State::Acknowledging, Side::Runtime, Kind::Flush).is_err());
}

#[test]
fn m_6_flush_goes_up_and_commit_repeats_it() {
    assert_eq!(Play::acknowledged(7).refused(ToConnector::Flush { transaction: 7 }), "M-6");
    assert_eq!(Play::acknowledged(7).flushed(8).refused(commit(9)), "M-6");
    Play::acknowledged(7).flushed(9).committed(9);
}

#[test]
fn m_10_truncate_and_backfill_come_before_the_first_store() {
    let storing = || Play::acknowledged(0).flushed(1).runtime(store(1));
    assert_eq!(storing().refused(ToConnector::Truncate { binding: 1 }), "M-10");
    assert_eq!(storing().refused(ToConnector::Truncate { binding: 0 }), "M-10");
    let next = storing().committed(1);
    let next = next
        .runtime(ToConnector::Acknowledge { transaction: 1 })
        .connector(ToRuntime::Acknowledged { state_patch: StatePatch::new() })
        .flushed(2);
    let backfill = || ToConnector::Backfill(Backfill { binding: 1, begins: true, completes: false });
    assert_eq!(storing().refused(backfill()), "M-10");
    next.runtime(ToConnector::Truncate { binding: 1 }).runtime(backfill()).runtime(store(1)).committed(2);
}

#[test]
fn m_12_what_was_under_way_may_still_come_after_rejected() {
    let mut session = Session {
        state: State::Refused,
        tail: Tail::Underway { transaction: 1 },
        delta: Vec::new(),
        has_stored: false,
    };
    session.runtime(&store(0)).expect("was under way");
    session.runtime(&commit(1)).expect("was under way");
    session.end(Side::Connector).expect("ends");
    assert_eq!(session.state(), State::Closed);
}

/// Acknowledged, with a standard binding 0 and a delta binding 1.
fn of_both_kinds() -> Play {
    let mut play = Play::acknowledged(0);
    play.session.delta = vec![false, true];
    play
}

fn one_key() -> Option<Keys> {
    let mut keys = KeysBuilder::new();
    keys.push(b"[1]");
    keys.finish()
}

fn store_with(binding: usize, keys: Option<Keys>) -> ToConnector {
    let ToConnector::Store(store) = store(binding) else { panic!("a Store") };
    ToConnector::Store(Store { keys, ..store })
}

#[test]
fn m_5_nothing_is_loaded_for_a_delta_binding() {
    let load = |binding| ToConnector::Load(Load { binding, keys: one_key().expect("a key"), keys_only: true });
    assert_eq!(of_both_kinds().runtime(load(0)).refused(load(1)), "M-5");
}

#[test]
fn m_7_a_key_stands_beside_each_document_of_a_standard_binding() {
    let storing = || of_both_kinds().flushed(1);
    assert_eq!(storing().refused(store_with(0, None)), "M-7");
    storing().runtime(store_with(0, one_key()));
}

#[test]
fn m_8_no_keys_are_sent_in_a_delta_binding() {
    let storing = || of_both_kinds().flushed(1);
    assert_eq!(storing().refused(store_with(1, one_key())), "M-8");
    storing().runtime(store_with(1, None));
}
