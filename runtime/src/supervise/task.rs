//! The life of any task: session after session, with waits between, until it is done or cannot go on.

#![allow(clippy::disallowed_methods, reason = "sessions are timed, and tasks started, here")]

use std::time::{Duration, Instant};

use longshore_proto::ErrorKind;

use crate::materialize::resume::{self, Refused};
use crate::progress::{Phase, Progress};
use crate::store::Epoch;

use super::context::Context;
use super::problem::Problem;
use super::retry::{Decision, Failed, Retry};

/// What follows a session that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The task is done.
    Done,
    /// It has nothing to do any more, but is over only when the run stops.
    AfterStop,
    /// Another session, not before this.
    After(Duration),
}

/// A task that can be run a session at a time.
pub(super) trait Sessions {
    /// One session from the start of the connector to its end.
    fn session(&mut self) -> impl Future<Output = Result<Next, Problem>> + Send;
    /// Later epochs must be above this one.
    fn raise_floor(&mut self, above: Epoch);
}

/// Runs sessions until the task is done, the run is stopped, or a failure ends it.
pub(super) async fn live(
    name: &str,
    context: &Context,
    progress: &Progress,
    task: &mut impl Sessions,
) -> Result<(), Problem> {
    let mut retry = Retry::new(context.until_caught_up);
    let mut raised = false;
    loop {
        let begun = Instant::now();
        let wait = match task.session().await {
            Ok(Next::Done) => break,
            Ok(Next::AfterStop) => {
                progress.enter(Phase::Waiting);
                context.stop.cancelled().await;
                break;
            }
            Ok(Next::After(wait)) => {
                progress.enter(Phase::Waiting);
                wait
            }
            Err(problem) if context.stop.is_cancelled() && problem.kind() == ErrorKind::Unavailable => {
                tracing::debug!(target: "longshore", task = name, "ended while stopping: {problem}");
                break;
            }
            Err(problem) => match refused(context, &problem, raised) {
                // The destination saw an epoch of ours that our store has forgotten.
                Refused::RaiseAbove(epoch) => {
                    tracing::warn!(target: "longshore", task = name, "{problem}; going on above epoch {}", epoch.0);
                    raised = true;
                    task.raise_floor(epoch);
                    Duration::ZERO
                }
                Refused::StepAside => failed(name, context, progress, &mut retry, problem, begun)?,
            },
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = context.stop.cancelled() => break,
        }
    }
    progress.enter(Phase::Ended);
    Ok(())
}

fn failed(
    name: &str,
    context: &Context,
    progress: &Progress,
    retry: &mut Retry,
    problem: Problem,
    begun: Instant,
) -> Result<Duration, Problem> {
    let failed = Failed {
        kind: problem.kind(),
        died: problem.died(),
        transactions: progress.transactions(),
        lasted: begun.elapsed(),
    };
    progress.failed(problem.told(), Instant::now());
    if problem.is_of_a_dead_store() {
        // Nothing that any task does can be noted any more: the next process finds out what is on disk.
        context.stop.cancel();
        progress.enter(Phase::Ended);
        return Err(problem);
    }
    match retry.failed(failed, dice()) {
        Decision::Again(wait) => {
            progress.restarted();
            progress.enter(Phase::BackingOff);
            tracing::warn!(target: "longshore", task = name, "{problem}; trying again in {:.1} s", wait.as_secs_f64());
            Ok(wait)
        }
        Decision::Stop => {
            progress.enter(Phase::Ended);
            Err(problem)
        }
    }
}

fn refused(context: &Context, problem: &Problem, raised_before: bool) -> Refused {
    match problem {
        Problem::Error(error) => resume::refused(&context.installation, error, raised_before),
        Problem::Catalog(_) => Refused::StepAside,
    }
}

/// Uniform in 0..1. Without randomness the waits are merely not spread.
fn dice() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX))
}
