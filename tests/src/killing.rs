//! What the tests that kill at random share: how often, letting a run go on until a moment, and the death of one of its connectors.

#![allow(clippy::disallowed_methods, reason = "a kill comes at a moment of the clock")]

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::dice::{Dice, number};
use crate::scene::{Running, Scene, is_connector};

/// How many kills `LONGSHORE_KILLS` asks for, five without it, and dice for their moments.
#[must_use]
pub fn plan() -> (u64, Dice) {
    (number("LONGSHORE_KILLS", 5), Dice::of_environment())
}

/// Lets it run until a moment; false if it ended before.
pub fn wait(running: &mut Running, moment: Duration) -> bool {
    let until = Instant::now() + moment;
    running.wait_until(|| Instant::now() >= until) && running.is_running()
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

/// Runs it up to a moment of so many milliseconds, at which it dies, or one of its connectors and it goes on to its end. How many were killed.
pub fn run_into_a_kill(scene: &Scene, words: &[&str], (least, most): (u64, u64), dice: &mut Dice) -> u64 {
    let mut running = scene.start(words);
    let mut killed = 0;
    if wait(&mut running, dice.milliseconds(least, most)) {
        if dice.below(3) > 0 {
            running.kill();
            return 1;
        }
        killed = u64::from(kill_a_connector(&running, dice).unwrap_or(false));
    }
    running.finish().expect_code(0);
    killed
}

/// The ledger's line of a test that got to its end: it counted that nothing was lost and nothing came twice.
#[must_use]
pub fn nothing_lost_or_twice(test: &str, dice: &Dice, killed: u64) -> String {
    let line = serde_json::json!({ "test": test, "seed": dice.seed, "kills": killed, "lost": 0, "twice": 0 });
    format!("ledger: {line}")
}

/// Kills a process; false: it was gone already.
#[must_use]
pub fn kill(process: u32) -> bool {
    Pid::from_raw(process.cast_signed()).is_some_and(|pid| rustix::process::kill_process(pid, Signal::KILL).is_ok())
}
