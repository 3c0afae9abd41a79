//! What happens while a process is frozen at a step: another runtime takes over, or the destination forgets whom it talked to. Then it goes on
//! as if nothing had been.

use std::fmt;
use std::time::Duration;

use longshore_failpoints::Obeyed;
use longshore_postgres::testing::Server;
use rustix::process::{Pid, Signal, kill_process};

use super::destination::database;
use crate::scene::{Finished, Running, Scene, holds_within};

/// What happens meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meanwhile {
    /// A second runtime runs to its end. The lock of the state directory is taken from the first, so that only epochs keep them apart.
    TakenOver,
    /// The server ends all sessions of the destination.
    CutOff,
}

/// So long the second one has to come to its end: what is frozen may hold a lock that it waits for.
const ALONE: Duration = Duration::from_secs(3);

impl fmt::Display for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TakenOver => "while another runtime takes over",
            Self::CutOff => "while the server ends its sessions",
        })
    }
}

impl Meanwhile {
    /// Lets it happen, and the frozen process go on; until everybody has ended.
    pub(super) fn happens(
        self,
        (scene, server, day): (&Scene, &Server, u64),
        frozen: &Obeyed,
        first: Running,
        start: impl Fn() -> Running,
    ) -> Result<(), String> {
        match self {
            Self::TakenOver => {
                let refused = start().finish();
                if refused.code == Some(0) {
                    return Err(format!("a second runtime was let in\n{}", refused.stderr));
                }
                std::fs::remove_file(scene.join(".longshore/lock")).map_err(|error| format!("the lock: {error}"))?;
                let mut second = start();
                holds_within(ALONE, || !second.is_running());
                thaw(frozen);
                // Each may be refused by what the other did, and says so.
                for finished in [first.finish(), second.finish()] {
                    expect(&finished, &[0, 1])?;
                }
                Ok(())
            }
            Self::CutOff => {
                let database = database(day);
                let cut = format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}'"
                );
                server.run("postgres", &cut);
                thaw(frozen);
                expect(&first.finish(), &[0])
            }
        }
    }
}

fn thaw(frozen: &Obeyed) {
    // It may be gone: with its runtime, or because its own session was over.
    Pid::from_raw(frozen.process.cast_signed()).map(|process| kill_process(process, Signal::CONT));
}

fn expect(finished: &Finished, codes: &[i32]) -> Result<(), String> {
    match finished.code {
        Some(code) if codes.contains(&code) && !finished.stderr.contains("panicked at") => Ok(()),
        code => Err(format!("ended with {code:?}, expected one of {codes:?}\n{}", finished.stderr)),
    }
}
