//! Killed again and again, every row is there exactly once: the runtime by SIGKILL, then its connectors, at seeded random moments.
//!
//! `LONGSHORE_KILLS` sets how many of each (a short slice by default; `cargo xtask test --long` asks for 50), `LONGSHORE_SEED` the seed.

#![allow(clippy::disallowed_methods, reason = "a kill comes at a moment of the clock")]

use std::time::{Duration, Instant};

use longshore_tests::dice::{Dice, number};
use longshore_tests::nyc;
use longshore_tests::scene::{Running, is_connector};
use rustix::process::{Pid, Signal};

const RUN: [&str; 4] = ["run", "--until", "caught-up", "flights.yaml"];

#[test]
fn runtime_killed_at_random_moments() {
    let (kills, mut dice) = plan();
    let mut scene = nyc::scene();
    let mut killed = 0;
    while killed < kills {
        let mut running = scene.start(RUN);
        let moment = dice.milliseconds(20, 1_500);
        if wait(&mut running, moment) {
            running.kill();
            killed += 1;
        } else {
            // It got through before the moment came: compare, then begin anew.
            running.finish().expect_code(0);
            nyc::assert_everything_once(&scene);
            scene = nyc::scene();
        }
    }
    scene.longshore(RUN).expect_code(0);
    nyc::assert_everything_once(&scene);
    println!(
        "ledger: {}",
        serde_json::json!({ "test": "runtime-kills", "seed": dice.seed, "kills": killed, "lost": 0, "twice": 0 })
    );
}

#[test]
fn connectors_killed_at_random_moments_are_started_again() {
    let (kills, mut dice) = plan();
    let mut killed = 0;
    while killed < kills {
        let scene = nyc::scene();
        let mut running = scene.start(RUN);
        // Few kills a run: five deaths of a connector without progress would end it, and rightly.
        for _ in 0..3 {
            let moment = dice.milliseconds(30, 900);
            if !wait(&mut running, moment) {
                break;
            }
            let connectors: Vec<u32> = running.children().into_iter().filter(|&child| is_connector(child)).collect();
            if connectors.is_empty() {
                continue;
            }
            let victim = connectors[dice.below(connectors.len() as u64) as usize];
            if let Some(victim) = Pid::from_raw(victim.cast_signed()) {
                // It may be gone by itself already; then it was no kill.
                killed += u64::from(rustix::process::kill_process(victim, Signal::KILL).is_ok());
            }
        }
        running.finish().expect_code(0);
        nyc::assert_everything_once(&scene);
    }
    println!(
        "ledger: {}",
        serde_json::json!({ "test": "connector-kills", "seed": dice.seed, "kills": killed, "lost": 0, "twice": 0 })
    );
}

/// Lets it run until a moment; false if it ended before.
fn wait(running: &mut Running, moment: Duration) -> bool {
    let until = Instant::now() + moment;
    !running.wait_until(|| Instant::now() >= until) || running.is_running()
}

fn plan() -> (u64, Dice) {
    (number("LONGSHORE_KILLS", 5), Dice::of_environment())
}
