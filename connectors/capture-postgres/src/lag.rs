//! How far what is durable is behind the server, in bytes of its log and in time. A pure machine.
//!
//! A *mark* is a place in the log and a time at which the log ended there: a look at the server gives one, and so does each commit, which has its
//! time in the log. What is durable is as old as the newest mark it has passed: all that was in the log then is covered.

use std::collections::VecDeque;

use longshore_sdk::Lag;

use crate::lsn::Lsn;

/// More marks of one kind are thinned out: for a lag so great, every other is as good, and then every fourth.
const MARKS_MAX: usize = 1_024;

/// Milliseconds by the server's clock.
type Time = i64;

/// Places of the log that are not passed yet, in their order, and when it ended there.
#[derive(Debug, Default)]
struct Marks {
    marks: VecDeque<(Lsn, Time)>,
    /// Of so many that come, one is kept.
    thinned: usize,
    /// Since the last that was.
    left_out: usize,
}

impl Marks {
    fn push(&mut self, mark: (Lsn, Time)) {
        if self.marks.is_empty() {
            (self.thinned, self.left_out) = (1, 0);
        }
        self.left_out += 1;
        if self.left_out < self.thinned {
            return;
        }
        self.left_out = 0;
        if self.marks.len() >= MARKS_MAX {
            let mut place = 0;
            self.marks.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.thinned *= 2;
        }
        self.marks.push_back(mark);
    }

    /// The time of the last one up to a position.
    fn pass(&mut self, position: Lsn) -> Option<Time> {
        let mut passed = None;
        while let Some((_, at)) = self.marks.pop_front_if(|(end, _)| *end <= position) {
            passed = Some(at);
        }
        passed
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Behind {
    durable: Lsn,
    /// All that was in the log then is durable; none: no mark was passed yet.
    reached: Option<Time>,
    /// Where the log ended at the last look.
    end: Lsn,
    looks: Marks,
    commits: Marks,
}

impl Behind {
    /// All before this position is durable.
    pub(crate) fn new(durable: Lsn) -> Behind {
        Behind { durable, reached: None, end: durable, looks: Marks::default(), commits: Marks::default() }
    }

    /// The log ends here at this time.
    pub(crate) fn looked(&mut self, end: Lsn, at: Time) {
        self.end = self.end.max(end);
        self.looks.push((end, at));
        self.durable(self.durable);
    }

    /// A checkpoint covers a position, and the last commit before it was at this time.
    pub(crate) fn covered(&mut self, position: Lsn, committed: Time) {
        // All before the first one that is read was durable already.
        self.reached.get_or_insert(committed);
        self.commits.push((position, committed));
    }

    /// What a checkpoint covers is durable up to here.
    pub(crate) fn durable(&mut self, position: Lsn) {
        self.durable = self.durable.max(position);
        let passed = self.looks.pass(self.durable).max(self.commits.pass(self.durable));
        self.reached = self.reached.max(passed);
    }

    /// None: not known yet.
    pub(crate) fn lag(&self, now: Time) -> Option<Lag> {
        let bytes = self.end.0.saturating_sub(self.durable.0);
        let ms = match bytes {
            0 => 0,
            _ => now.saturating_sub(self.reached?).try_into().unwrap_or(0),
        };
        Some(Lag { bytes, ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_durable_is_as_old_as_the_newest_mark_it_has_passed() {
        let mut behind = Behind::new(Lsn(100));
        assert_eq!(behind.lag(5), Some(Lag { bytes: 0, ms: 0 }));
        behind.looked(Lsn(1_000), 50_000);
        assert_eq!(behind.lag(50_000), None, "how old the backlog is nobody knows yet");
        behind.covered(Lsn(200), 10_000);
        assert_eq!(behind.lag(50_000), Some(Lag { bytes: 900, ms: 40_000 }));
        behind.covered(Lsn(300), 20_000);
        behind.durable(Lsn(299));
        assert_eq!(behind.lag(50_000), Some(Lag { bytes: 701, ms: 40_000 }), "it was not acknowledged");
        behind.durable(Lsn(300));
        assert_eq!(behind.lag(50_000), Some(Lag { bytes: 700, ms: 30_000 }));
        behind.looked(Lsn(2_000), 51_000);
        behind.durable(Lsn(1_000));
        assert_eq!(behind.lag(51_500), Some(Lag { bytes: 1_000, ms: 1_500 }), "a look is a mark too");
        behind.durable(Lsn(2_000));
        assert_eq!(behind.lag(60_000), Some(Lag { bytes: 0, ms: 0 }));
    }

    #[test]
    fn a_place_that_was_passed_before_somebody_looked_counts() {
        let mut behind = Behind::new(Lsn(100));
        behind.looked(Lsn(100), 7_000);
        behind.looked(Lsn(150), 9_000);
        assert_eq!(behind.lag(9_000), Some(Lag { bytes: 50, ms: 2_000 }));
    }

    #[test]
    fn marks_are_few_however_great_the_lag() {
        let mut behind = Behind::new(Lsn(0));
        behind.looked(Lsn(0), 0);
        (1..100_000).for_each(|at| behind.looked(Lsn(at), at.cast_signed()));
        assert!(behind.looks.marks.len() <= MARKS_MAX);
        behind.durable(Lsn(50_000));
        let lag = behind.lag(99_999).unwrap();
        assert_eq!(lag.bytes, 49_999);
        assert!((50_000..51_000).contains(&lag.ms), "{lag:?}: never less than it is");
    }
}
