//! How long to wait before a failed task is tried again: doubling, capped, jittered, and back to the start after progress.
//!
//! Pure: it is told what happened and says what to do; the caller owns clock and dice.

use std::time::Duration;

/// The first wait, before jitter.
const FIRST: Duration = Duration::from_millis(200);
/// No wait is longer than this.
const LONGEST: Duration = Duration::from_secs(30);

/// The failures of one task in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    seen_transactions: u64,
}

impl Backoff {
    /// A session failed after the task had committed this many transactions in all; `dice` is uniform in 0..1. Gives the wait.
    pub(super) fn failed(&mut self, transactions: u64, dice: f64) -> Duration {
        if transactions > self.seen_transactions {
            self.seen_transactions = transactions;
            self.failures = 0;
        }
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        // Half of the wait is fixed, half is dice: never at once, and never all tasks together.
        doubled.min(LONGEST).mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.failed(0, 1.0)).collect();
        assert_eq!(waits[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(waits[11], LONGEST);
    }

    #[test]
    fn dice_take_at_most_half() {
        assert_eq!(Backoff::default().failed(0, 0.0), FIRST / 2);
    }

    #[test]
    fn progress_starts_over() {
        let mut backoff = Backoff::default();
        for _ in 0..6 {
            backoff.failed(3, 1.0);
        }
        assert_eq!(backoff.failed(4, 1.0), FIRST);
    }
}
