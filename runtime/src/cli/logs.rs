//! Log lines on standard error: how many, and how they are written. They never tear the live view apart.

use std::io::{self, IsTerminal as _, Write};

use indicatif::MultiProgress;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::args::{Global, LogFormat};
use crate::secret::Door;

/// Sets up logging for this process; lines are written above `view` where one is drawn.
pub(super) fn start(global: &Global, view: Option<MultiProgress>) {
    start_at(LevelFilter::INFO, global, view);
}

/// The same for a question: its answer is the output, and connectors are heard only when something is wrong.
pub(super) fn start_calmly(global: &Global) {
    start_calmly_above(global, None);
}

/// The same above `view`, where one is drawn.
pub(super) fn start_calmly_above(global: &Global, view: Option<MultiProgress>) {
    start_at(LevelFilter::WARN, global, view);
}

fn start_at(usual: LevelFilter, global: &Global, view: Option<MultiProgress>) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => usual,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let pull = if global.quiet { LevelFilter::ERROR } else { LevelFilter::INFO };
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        // Who waits for a pull wants to know, also in a command that is calm otherwise.
        .parse_lossy(format!("warn,longshore={level},connector={level},pull={}", level.max(pull)));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(color)
        .with_writer(Stderr { view, format: global.log_format });
    let started = match global.log_format {
        LogFormat::Text => builder.with_target(false).compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(false).try_init(),
    };
    // A second set-up in one process (tests) keeps the first.
    drop(started);
}

/// Standard error, with the live view held aside while a line is written. Lines come whole, and leave without secrets.
#[derive(Debug, Clone)]
struct Stderr {
    view: Option<MultiProgress>,
    format: LogFormat,
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = match self.format {
            LogFormat::Text => Door::Log.scrub(&text),
            LogFormat::Json => Door::Log.scrub_json(&text),
        };
        let write = || io::stderr().lock().write_all(text.as_bytes());
        match &self.view {
            Some(view) => view.suspend(write)?,
            None => write()?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
