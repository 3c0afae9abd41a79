//! `longshore stop`: ends a running `longshore run` in order and waits until it is gone.

use serde_json::json;

use super::args::{Global, StopArgs};
use super::catalogs::note;
use super::logs;
use super::output::{Failure, Output};
use super::status::{not_asked, state};
use crate::control::{self, NotAsked};

pub(super) async fn stop(global: &Global, args: StopArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let state = state(global, args.words)?;
    let stopping = match control::stop(&state).await {
        Ok(stopping) => stopping,
        Err(NotAsked::NobodyRuns) => {
            output.object("stopped", json!({ "state_directory": state, "pid": null }));
            output.line(format_args!("nothing to stop: no runtime runs in {}", state.display()));
            return Ok(());
        }
        Err(error) => return Err(not_asked(&state, &error)),
    };
    let pid = stopping.runtime.pid;
    note(format_args!("process {pid} finishes the transactions under way"), output);
    if stopping.gone(args.timeout).await {
        output.object("stopped", json!({ "state_directory": state, "pid": pid }));
        output.line(format_args!("stopped: process {pid} is gone"));
        return Ok(());
    }
    let limit = args.timeout.as_secs_f64();
    Err(Failure::running(format!("process {pid} has been told to stop and is still there after {limit} s")).help(format!(
        "`longshore status` shows what it is doing; wait longer with --timeout, or end it at once with `kill -9 {pid}`: nothing is lost"
    )))
}
