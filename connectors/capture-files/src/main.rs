//! The process: serves [`capture_files::Files`] as the launch contract says.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore_sdk::serve_capture(capture_files::Files)
}
