//! The capture machine by tables, and stopped after its k-th action for every k.

use super::*;
use crate::journal::Position;
use crate::store::Epoch;

const LIMITS: Limits = Limits {
    close_bytes: 100,
    close_documents: 10,
    unwritten_bytes: 200,
    unwritten_entries: 20,
    transaction_max_bytes: 1000,
};

fn proof(transaction: u64) -> Durable<Committed> {
    let end = Position { offset: transaction, chain_crc: 0 };
    Durable::assumed(Committed { transaction, epoch: Epoch(1), end, documents: 1 })
}

fn documents(bytes: u64) -> Event {
    Event::Documents { count: 1, bytes }
}

const CHECKPOINT: Event = Event::Checkpoint { changes_state: true, caught_up: false, partial: false };
const EMPTY: Event = Event::Checkpoint { changes_state: false, caught_up: false, partial: false };
const CAUGHT_UP: Event = Event::Checkpoint { changes_state: false, caught_up: true, partial: false };
const PARTIAL: Event = Event::Checkpoint { changes_state: true, caught_up: false, partial: true };
const COMMIT: Action = Action::Commit { splits: false };

fn acknowledge(checkpoints: u32, transaction: u64) -> Action {
    Action::Acknowledge { checkpoints, proof: proof(transaction) }
}

/// Runs a session that has opened and says after which event which actions are expected.
fn check(table: &[(Event, &[Action])]) -> Transaction {
    let mut machine = Transaction::new(LIMITS);
    assert_eq!(machine.step(Event::Opened).unwrap(), []);
    for (place, (event, expected)) in table.iter().enumerate() {
        assert_eq!(machine.step(*event).unwrap(), *expected, "after event {place}: {event:?}");
    }
    machine
}

#[test]
fn a_lone_change_waits_for_nothing() {
    check(&[
        (documents(5), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
        (Event::InputIdle, &[COMMIT]),
        (Event::Written { bytes: 5 }, &[]),
        (Event::Committed(proof(1)), &[acknowledge(1, 1)]),
    ]);
}

#[test]
fn what_arrives_during_a_sync_goes_into_the_next_commit() {
    check(&[
        (documents(5), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
        (Event::InputIdle, &[COMMIT]),
        (documents(5), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
        (Event::InputIdle, &[]),
        (documents(5), &[Action::Append]),
        (CHECKPOINT, &[]),
        (Event::InputIdle, &[]),
        (Event::Committed(proof(1)), &[acknowledge(1, 1), COMMIT]),
        (Event::Committed(proof(2)), &[acknowledge(2, 2)]),
    ]);
}

#[test]
fn bytes_documents_and_age_close_at_the_next_checkpoint_and_not_before() {
    for full in [&[documents(100)][..], &[documents(1); 10], &[documents(1), Event::AgeElapsed]] {
        let mut machine = Transaction::new(LIMITS);
        machine.step(Event::Opened).unwrap();
        for event in full {
            assert!(!machine.step(*event).unwrap().contains(&COMMIT), "{full:?}");
        }
        assert_eq!(machine.step(Event::InputIdle).unwrap(), [], "{full:?}");
        assert_eq!(machine.step(CHECKPOINT).unwrap(), [COMMIT], "{full:?}");
    }
}

#[test]
fn an_age_that_ends_between_checkpoints_closes_before_what_follows() {
    check(&[
        (documents(5), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
        (Event::AgeElapsed, &[COMMIT]),
        (documents(5), &[Action::Append, Action::StartAge]),
        (Event::AgeElapsed, &[]),
        (CHECKPOINT, &[COMMIT]),
        // Two are under way: a third waits, however old.
        (documents(100), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
        (Event::Committed(proof(1)), &[acknowledge(1, 1), COMMIT]),
    ]);
}

#[test]
fn an_age_left_over_from_a_closed_transaction_closes_nothing() {
    check(&[
        (documents(100), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[COMMIT]),
        (Event::AgeElapsed, &[]),
        (documents(5), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
    ]);
}

#[test]
fn a_checkpoint_that_changed_nothing_is_as_durable_as_what_was_before_it() {
    check(&[
        // None before it in this session: an empty commit is the proof.
        (EMPTY, &[COMMIT]),
        // One under way: it goes along.
        (EMPTY, &[]),
        (Event::Committed(proof(1)), &[acknowledge(2, 1)]),
        // One durable: nothing to write.
        (EMPTY, &[acknowledge(1, 1)]),
        (documents(5), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
        (EMPTY, &[]),
        (Event::InputIdle, &[COMMIT]),
        (Event::Committed(proof(2)), &[acknowledge(2, 2)]),
    ]);
}

#[test]
fn caught_up_is_told_once_and_after_its_acknowledgement() {
    check(&[
        (documents(5), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
        (CAUGHT_UP, &[]),
        (Event::InputIdle, &[COMMIT]),
        (Event::Committed(proof(1)), &[acknowledge(2, 1), Action::CaughtUp(proof(1))]),
        (CAUGHT_UP, &[acknowledge(1, 1)]),
    ]);
}

#[test]
fn a_transaction_of_the_source_stays_whole_until_its_size_forces_it() {
    check(&[
        (documents(100), &[Action::Append, Action::StartAge]),
        (PARTIAL, &[]),
        (Event::InputIdle, &[]),
        (Event::AgeElapsed, &[]),
        (documents(400), &[Action::Append]),
        (PARTIAL, &[Action::Commit { splits: true }]),
        (documents(5), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
        (Event::Committed(proof(1)), &[acknowledge(2, 1)]),
    ]);
}

#[test]
fn a_transaction_over_the_limit_is_a_typed_stop() {
    let mut machine = check(&[(documents(1000), &[Action::Append, Action::StartAge])]);
    assert_eq!(machine.step(documents(1)).unwrap_err().code, "capture.transaction_too_large");
}

#[test]
fn no_more_is_read_while_too_much_waits_for_the_journal() {
    let mut machine = check(&[(documents(199), &[Action::Append, Action::StartAge])]);
    assert!(machine.wants_input());
    machine.step(documents(1)).unwrap();
    assert!(!machine.wants_input());
    machine.step(Event::Written { bytes: 199 }).unwrap();
    assert!(machine.wants_input());
    for _ in 0..19 {
        machine.step(Event::WiderSchema { bytes: 0 }).unwrap();
    }
    assert!(!machine.wants_input(), "entries without bytes count too");
}

#[test]
fn stop_commits_what_is_whole_acknowledges_it_and_then_closes() {
    check(&[
        (documents(5), &[Action::Append, Action::StartAge]),
        (Event::StopRequested, &[Action::SendStop]),
        (Event::Quiet, &[]),
        (CHECKPOINT, &[]),
        (Event::Quiet, &[COMMIT]),
        // What crossed our Stop is dropped.
        (documents(5), &[]),
        (CHECKPOINT, &[]),
        (Event::Committed(proof(1)), &[acknowledge(1, 1), Action::HalfClose]),
        (documents(5), &[]),
        (Event::StreamEnded, &[Action::Finish(End::Stopped)]),
    ]);
}

#[test]
fn stop_drops_what_no_checkpoint_covers_in_time() {
    check(&[
        (documents(5), &[Action::Append, Action::StartAge]),
        (Event::StopRequested, &[Action::SendStop]),
        (Event::Quiet, &[]),
        (Event::StopOverdue, &[Action::Abandon, Action::HalfClose]),
        (Event::StopOverdue, &[Action::Finish(End::Stopped)]),
    ]);
}

#[test]
fn stop_before_the_connector_has_opened_ends_at_once() {
    let mut machine = Transaction::new(LIMITS);
    assert_eq!(machine.step(Event::StopRequested).unwrap(), [Action::Finish(End::Stopped)]);
}

#[test]
fn an_end_of_its_own_is_caught_up_only_if_it_said_so() {
    check(&[(Event::StreamEnded, &[Action::Finish(End::EndedNotCaughtUp)])]);
    check(&[
        (documents(5), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
        (CAUGHT_UP, &[]),
        (Event::StreamEnded, &[COMMIT]),
        // Nobody listens any more; the next Open acknowledges.
        (Event::Committed(proof(1)), &[Action::CaughtUp(proof(1)), Action::Finish(End::EndedCaughtUp)]),
    ]);
    check(&[
        (documents(5), &[Action::Append, Action::StartAge]),
        (CHECKPOINT, &[]),
        (Event::StreamEnded, &[COMMIT]),
        (Event::Committed(proof(1)), &[Action::Finish(End::EndedNotCaughtUp)]),
    ]);
    check(&[
        (documents(5), &[Action::Append, Action::StartAge]),
        (PARTIAL, &[]),
        (Event::StreamEnded, &[Action::Abandon, Action::Finish(End::EndedNotCaughtUp)]),
    ]);
}

/// A source of numbered documents, a journal that keeps what is committed, and a machine between them.
struct World {
    /// Checkpoints of the source: how many documents each covers, in all.
    checkpoints: Vec<u64>,
    durable: Vec<u64>,
    durable_state: u64,
    /// The source has forgotten everything below.
    forgotten: u64,
    random: u64,
    actions_left: u64,
}

/// What is lost when everything is killed.
struct Session {
    machine: Transaction,
    /// In the order the journal gets it.
    queue: VecDeque<Queued>,
    appended: Vec<u64>,
    /// State of the last checkpoint that came.
    state: u64,
    unacknowledged: VecDeque<u64>,
    transaction: u64,
    stopped: bool,
}

enum Queued {
    Documents(u64),
    Commit { state: u64 },
    Abandon,
}

#[derive(Debug, PartialEq)]
enum Ran {
    Crashed,
    Ended(End),
}

impl World {
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn run(&mut self) -> Ran {
        assert!(self.forgotten <= self.durable_state, "the source was told to forget what is not durable");
        let mut session = Session {
            machine: Transaction::new(LIMITS),
            queue: VecDeque::new(),
            appended: Vec::new(),
            state: self.durable_state,
            unacknowledged: VecDeque::new(),
            transaction: 0,
            stopped: false,
        };
        let mut sent = self.durable_state;
        let mut end = self.offer(&mut session, Event::Opened);
        for _ in 0..10_000 {
            if let Some(end) = end {
                return end;
            }
            let next = self.checkpoints.iter().copied().find(|end| *end > session.state);
            end = match self.random(8) {
                0 if self.random(20) == 0 => self.offer(&mut session, Event::StopRequested),
                0 => self.offer(&mut session, Event::InputIdle),
                1 => self.offer(&mut session, Event::AgeElapsed),
                2..4 => self.journal(&mut session),
                _ if session.stopped => {
                    let event = [Event::Quiet, Event::StopOverdue, Event::StreamEnded]
                        [usize::try_from(self.random(3)).unwrap()];
                    self.offer(&mut session, event)
                }
                _ if !session.machine.wants_input() => None,
                _ => match next {
                    Some(end) if sent < end => {
                        sent += 1;
                        self.offer(&mut session, Event::Documents { count: 1, bytes: 30 })
                    }
                    Some(end) => {
                        session.state = end;
                        session.unacknowledged.push_back(end);
                        self.offer(&mut session, CHECKPOINT)
                    }
                    None => {
                        session.unacknowledged.push_back(session.state);
                        let last = self.offer(&mut session, CAUGHT_UP);
                        if last.is_some() { last } else { self.offer(&mut session, Event::StreamEnded) }
                    }
                },
            };
            if let Some(Queued::Documents(number)) = session.queue.back_mut()
                && *number == u64::MAX
            {
                *number = sent;
            }
        }
        panic!("the session does not end");
    }

    /// The journal takes one thing from its queue.
    fn journal(&mut self, session: &mut Session) -> Option<Ran> {
        match session.queue.pop_front()? {
            Queued::Documents(number) => {
                session.appended.push(number);
                self.offer(session, Event::Written { bytes: 30 })
            }
            Queued::Abandon => {
                session.appended.clear();
                None
            }
            Queued::Commit { state } => {
                self.durable.append(&mut session.appended);
                self.durable_state = state;
                session.transaction += 1;
                self.offer(session, Event::Committed(proof(session.transaction)))
            }
        }
    }

    fn offer(&mut self, session: &mut Session, event: Event) -> Option<Ran> {
        for action in session.machine.step(event).unwrap() {
            if self.actions_left == 0 {
                return Some(Ran::Crashed);
            }
            self.actions_left -= 1;
            match action {
                Action::Append => session.queue.push_back(Queued::Documents(u64::MAX)),
                Action::Commit { .. } => session.queue.push_back(Queued::Commit { state: session.state }),
                Action::Abandon => session.queue.push_back(Queued::Abandon),
                Action::Acknowledge { checkpoints, .. } => {
                    for _ in 0..checkpoints {
                        let covered = session.unacknowledged.pop_front().expect("an acknowledgement of nothing");
                        assert!(covered <= self.durable_state, "acknowledged before it was durable");
                        self.forgotten = self.forgotten.max(covered);
                    }
                }
                Action::CaughtUp(_) => {
                    assert_eq!(
                        self.durable_state,
                        *self.checkpoints.last().unwrap(),
                        "caught up before all was durable"
                    );
                }
                Action::SendStop => session.stopped = true,
                Action::StartAge | Action::HalfClose => {}
                Action::Finish(end) => return Some(Ran::Ended(end)),
            }
        }
        None
    }
}

#[test]
fn killed_after_any_action_and_started_again_every_document_is_there_once() {
    let checkpoints = vec![1, 2, 5, 6, 14, 15, 16, 17, 30];
    let mut crashes = 0;
    for seed in 0..20 {
        for k in 0..90 {
            let mut world = World {
                checkpoints: checkpoints.clone(),
                durable: Vec::new(),
                durable_state: 0,
                forgotten: 0,
                random: seed,
                actions_left: k,
            };
            let mut sessions = 0;
            loop {
                sessions += 1;
                assert!(sessions < 1000, "no progress");
                match world.run() {
                    Ran::Ended(End::EndedCaughtUp) => break,
                    Ran::Ended(End::Stopped) => {}
                    Ran::Ended(End::EndedNotCaughtUp) => panic!("it always says that it is caught up"),
                    Ran::Crashed => {
                        crashes += 1;
                        world.actions_left = u64::MAX;
                    }
                }
            }
            assert_eq!(world.durable, (1..=30).collect::<Vec<_>>(), "seed {seed}, killed after {k} actions");
        }
    }
    assert!(crashes > 1000, "only {crashes} crashes happened");
}
