//! `cargo xtask hostile`: connectors that mean harm against everything that holds them. Ends with `N attempts, 0 succeeded`.

use std::process::ExitCode;

use crate::Problem;
use crate::private_engine::PrivateEngine;
use crate::test::{build, program};

/// With a plant, what a container does in its sandbox alone, which is weakened: it has to fail. `tell` shows what stopped each, too.
pub(crate) fn hostile(plant: Option<&str>, tell: bool) -> Result<ExitCode, Problem> {
    let _engine = PrivateEngine::where_none_answers()?;
    build()?;
    let mut siege = program("siege");
    siege.args(plant.iter().flat_map(|plant| ["--plant", plant]));
    siege.args(tell.then_some("--tell"));
    let status = siege.status().map_err(|error| Problem(format!("cannot start {siege:?}: {error}")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
