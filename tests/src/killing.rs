//! What the tests that kill at random share: how often, letting a run go on until a moment, and the death of one of its connectors.

#![allow(clippy::disallowed_methods, reason = "a kill comes at a moment of the clock")]

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::dice::{Dice, number};
use crate::scene::{Running, is_connector};

/// How many kills `LONGSHORE_KILLS` asks for, five without it, and dice for their moments.
#[must_use]
pub fn plan() -> (u64, Dice) {
    (number("LONGSHORE_KILLS", 5), Dice::of_environment())
}

/// Lets it run until a moment; false if it ended before.
pub fn wait(running: &mut Running, moment: Duration) -> bool {
    let until = Instant::now() + moment;
    !running.wait_until(|| Instant::now() >= until) || running.is_running()
}

/// Kills one of its connectors; false: it was gone by itself already, and that was no kill. None: it has none.
pub fn kill_a_connector(running: &Running, dice: &mut Dice) -> Option<bool> {
    let connectors: Vec<u32> = running.children().into_iter().filter(|&child| is_connector(child)).collect();
    if connectors.is_empty() {
        return None;
    }
    let victim = connectors[dice.below(connectors.len() as u64) as usize];
    Some(kill(victim))
}

/// Kills a process; false: it was gone already.
#[must_use]
pub fn kill(process: u32) -> bool {
    Pid::from_raw(process.cast_signed()).is_some_and(|pid| rustix::process::kill_process(pid, Signal::KILL).is_ok())
}
