//! The process `capture-generator`; what it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore_sdk::serve_capture(capture_generator::Generator::default())
}
