//! How long to wait before the next attempt. No clock, no dice of its own.

use std::time::Duration;

/// Before the second attempt.
const FIRST: Duration = Duration::from_millis(200);
/// Never longer, unless the server asks for it.
const LONGEST: Duration = Duration::from_secs(30);
/// What a server asks for is taken up to here.
const ASKED_LONGEST: Duration = Duration::from_secs(300);

/// After so many failed attempts (from 1). What the server asks for counts; else between half of a doubling time and all of it, as the dice say.
pub(crate) fn pause(failed: u32, asked: Option<Duration>, dice: u32) -> Duration {
    if let Some(asked) = asked {
        return asked.min(ASKED_LONGEST);
    }
    let whole = FIRST.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(LONGEST);
    let share = f64::from(dice) / f64::from(u32::MAX);
    whole.div_f64(2.0) + whole.mul_f64(share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_are_capped_and_never_all_the_same() {
        let (least, most): (Vec<_>, Vec<_>) = [1, 2, 3, 9, 40]
            .map(|failed| (pause(failed, None, 0).as_millis(), pause(failed, None, u32::MAX).as_millis()))
            .into_iter()
            .unzip();
        assert_eq!(most, [200, 400, 800, 30_000, 30_000]);
        assert_eq!(least, [100, 200, 400, 15_000, 15_000]);
    }

    #[test]
    fn what_the_server_asks_for_counts_up_to_five_minutes() {
        assert_eq!(pause(1, Some(Duration::from_secs(70)), 7), Duration::from_secs(70));
        assert_eq!(pause(9, Some(Duration::ZERO), 7), Duration::ZERO);
        assert_eq!(pause(1, Some(Duration::from_secs(86_400)), 7), Duration::from_secs(300));
    }
}
