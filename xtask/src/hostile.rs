//! `cargo xtask hostile`: connectors that mean harm against everything that holds them. Ends with `N attempts, 0 succeeded`.

use std::process::{Command, ExitCode};

use crate::private_engine::PrivateEngine;
use crate::test::{build, cargo};
use crate::{Problem, target_dir};

/// With a plant, what a container does in its sandbox alone, which is weakened: it has to fail. `tell` shows what stopped each, too.
pub(crate) fn hostile(plant: Option<&str>, tell: bool) -> Result<ExitCode, Problem> {
    let _engine = PrivateEngine::where_none_answers()?;
    build()?;
    // Told where the Engine and the programs are, as the tests are.
    let tests = cargo(&[]);
    let mut siege = Command::new(target_dir().join("debug/siege"));
    siege.envs(tests.get_envs().filter_map(|(name, value)| Some((name, value?))));
    siege.args(plant.iter().flat_map(|plant| ["--plant", plant]));
    siege.args(tell.then_some("--tell"));
    let status = siege.status().map_err(|error| Problem(format!("cannot start {siege:?}: {error}")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
