//! What follows when a session of a task failed: wait and try again, or stop for good. Pure.

use std::time::Duration;

use longshore_proto::ErrorKind;

use super::backoff::Backoff;

/// Deaths of a connector in a row, without progress between, that end a run which is to end by itself.
const DEATHS_MAX: u32 = 5;
/// How long a run which is to end by itself waits for something outside.
const UNREACHABLE_MAX: Duration = Duration::from_secs(300);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Try again after this long.
    Again(Duration),
    /// This task is over.
    Stop,
}

/// The failures of one task.
#[derive(Debug)]
pub(super) struct Retry {
    backoff: Backoff,
    ends_by_itself: bool,
    deaths: u32,
    unreachable: Duration,
    transactions: u64,
}

/// One failure, as it is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    /// What the error says to do.
    pub(super) kind: ErrorKind,
    /// The connector's process ended by itself.
    pub(super) died: bool,
    /// Transactions of the task so far.
    pub(super) transactions: u64,
    /// How long the failed session lasted.
    pub(super) lasted: Duration,
}

impl Retry {
    /// For a run that ends when caught up, or one that goes on.
    pub(super) fn new(ends_by_itself: bool) -> Self {
        Self { backoff: Backoff::default(), ends_by_itself, deaths: 0, unreachable: Duration::ZERO, transactions: 0 }
    }

    /// Judges a failure; `dice` is uniform in 0..1.
    pub(super) fn failed(&mut self, failed: Failed, dice: f64) -> Decision {
        if failed.transactions > self.transactions {
            (self.transactions, self.deaths, self.unreachable) = (failed.transactions, 0, Duration::ZERO);
        }
        let again = match failed.kind {
            ErrorKind::Config | ErrorKind::Protocol | ErrorKind::Data | ErrorKind::Fenced => false,
            ErrorKind::Unavailable | ErrorKind::Internal => true,
        };
        if !again {
            return Decision::Stop;
        }
        let wait = self.backoff.failed(failed.transactions, dice);
        if failed.died || failed.kind == ErrorKind::Internal {
            self.deaths += 1;
        } else {
            self.unreachable += failed.lasted + wait;
        }
        if self.ends_by_itself && (self.deaths >= DEATHS_MAX || self.unreachable >= UNREACHABLE_MAX) {
            return Decision::Stop;
        }
        Decision::Again(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: ErrorKind, died: bool, transactions: u64) -> Failed {
        Failed { kind, died, transactions, lasted: Duration::from_secs(60) }
    }

    #[test]
    fn what_a_person_has_to_mend_is_not_tried_again() {
        for kind in [ErrorKind::Config, ErrorKind::Protocol, ErrorKind::Data, ErrorKind::Fenced] {
            assert_eq!(Retry::new(false).failed(failure(kind, false, 0), 0.5), Decision::Stop, "{kind:?}");
        }
    }

    #[test]
    fn five_deaths_without_progress_end_a_run_that_ends_by_itself() {
        let mut retry = Retry::new(true);
        for _ in 0..4 {
            assert!(matches!(retry.failed(failure(ErrorKind::Unavailable, true, 0), 0.5), Decision::Again(_)));
        }
        assert_eq!(retry.failed(failure(ErrorKind::Unavailable, true, 0), 0.5), Decision::Stop);
    }

    #[test]
    fn progress_between_deaths_forgives_them() {
        let mut retry = Retry::new(true);
        for transaction in 0..50 {
            assert!(matches!(
                retry.failed(failure(ErrorKind::Unavailable, true, transaction), 0.5),
                Decision::Again(_)
            ));
        }
    }

    #[test]
    fn a_run_that_goes_on_never_gives_up_on_a_death() {
        let mut retry = Retry::new(false);
        for _ in 0..100 {
            assert!(matches!(retry.failed(failure(ErrorKind::Unavailable, true, 0), 0.5), Decision::Again(_)));
        }
    }

    #[test]
    fn five_minutes_out_of_reach_end_a_run_that_ends_by_itself() {
        let mut retry = Retry::new(true);
        let sessions =
            (0..).take_while(|_| retry.failed(failure(ErrorKind::Unavailable, false, 0), 0.5) != Decision::Stop);
        assert_eq!(sessions.count(), 4, "five minutes at a minute a session");
    }
}
