//! `cargo xtask canary`: looks for secrets in every output, and with `--plant` whether it would find one. The test is
//! `tests/tests/canary.rs`.

use std::process::ExitCode;

use crate::Problem;
use crate::private_engine::PrivateEngine;
use crate::test::{build, cargo, watch};

/// Runs the canary; `plant` names a door of `runtime/src/secret/` that is left open.
pub(crate) fn canary(plant: Option<&str>) -> Result<ExitCode, Problem> {
    let _engine = PrivateEngine::where_none_answers()?;
    build()?;
    let mut command =
        cargo(&["test", "--workspace", "--test", "canary", "no_canary_gets_out", "--", "--nocapture", "--exact"]);
    command.envs(plant.map(|door| ("LONGSHORE_DOOR_LEFT_OPEN", door)));
    let mut searched = None;
    let counts = watch(command, |line| {
        if line.contains(" outputs searched, ") {
            searched = Some(line.to_owned());
        }
    })?;
    match searched {
        Some(searched) => println!("{searched}"),
        None => return Err(Problem("the canary did not come to its end".into())),
    }
    Ok(if counts.failed == 0 && counts.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
