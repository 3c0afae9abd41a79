//! Where output goes: results on standard output, errors on standard error; for people, or one JSON object a line. All of it goes through
//! the doors of [`crate::secret`], but for the user's own documents.

use std::fmt::{self, Write as _};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use longshore_proto::{Error, ErrorKind};
use serde_json::{Value, json};

use super::args::Global;
use crate::secret::Door;
use crate::supervise::is_about_state;

/// How this process speaks.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet }
    }

    /// Whether results are JSON objects.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// Whether only failures are to be told.
    pub(super) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a person watches standard error.
    pub(super) fn watched(&self) -> bool {
        !self.json && !self.quiet && std::io::stderr().is_terminal()
    }

    /// One line of a result for people; nothing with `--json`.
    pub(super) fn line(&self, text: impl fmt::Display) {
        if !self.json {
            print(&Door::Results.scrub(&format!("{text}\n")));
        }
    }

    /// One object of a result; nothing without `--json`. `kind` becomes its `type`.
    pub(super) fn object(&self, kind: &str, fields: Value) {
        if self.json {
            let mut object = json!({ "type": kind });
            if let (Some(into), Value::Object(fields)) = (object.as_object_mut(), fields) {
                into.extend(fields);
            }
            print(&Door::Results.scrub_json(&format!("{object}\n")));
        }
    }

    /// Lines that are objects already; nothing without `--json`.
    pub(super) fn lines(&self, text: &str) {
        if self.json {
            print(&Door::Results.scrub_json(text));
        }
    }

    /// Text that is a result as it is, for people and programs alike.
    pub(super) fn text(&self, text: &str) {
        print(&Door::Results.scrub(text));
    }

    /// Documents, byte for byte: they are the user's own, and no secret of ours.
    pub(super) fn documents(&self, text: &str) {
        print(text);
    }

    /// One document byte for byte, whatever it is, and a newline.
    pub(super) fn document(&self, document: &[u8]) {
        print_bytes(&[document, b"\n"].concat());
    }

    /// Errors and remarks.
    pub(super) fn to_stderr(&self, text: &str) {
        // Standard error may be gone; the exit code still tells.
        drop(std::io::stderr().lock().write_all(Door::Errors.scrub(text).as_bytes()));
    }

    /// Tells a failure and gives its exit code.
    pub(super) fn fail(&self, failure: &Failure) -> ExitCode {
        if !failure.told {
            self.object("error", json!({ "exit": failure.exit, "message": failure.message, "help": failure.help }));
            let mut text = format!("error: {}\n", failure.message);
            if let Some(help) = &failure.help {
                writeln!(text, "  help: {help}").expect("a String takes everything");
            }
            self.to_stderr(&text);
        }
        ExitCode::from(failure.exit)
    }
}

/// Writes a result. A reader that went away (`longshore … | head`) ends the process quietly, as it ends other tools.
fn print(text: &str) {
    print_bytes(text.as_bytes());
}

fn print_bytes(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Why a verb did not do what it was asked, and the exit code that says which kind of thing went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    exit: u8,
    message: String,
    help: Option<String>,
    told: bool,
}

impl Failure {
    /// Exit code 1.
    pub(super) fn running(message: impl Into<String>) -> Self {
        Self { exit: 1, message: message.into(), help: None, told: false }
    }

    /// Exit code 2.
    pub(super) fn configuration(message: impl Into<String>) -> Self {
        Self { exit: 2, ..Self::running(message) }
    }

    /// Exit code 3.
    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self { exit: 3, ..Self::running(message) }
    }

    /// A failure of which only the exit code is left to say.
    pub(super) fn with_exit(exit: u8) -> Self {
        Self { exit, ..Self::running(String::new()) }
    }

    /// What to do about it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The details are already on standard error; only the exit code is left to say.
    pub(super) fn already_told(mut self) -> Self {
        self.told = true;
        self
    }
}

/// The exit code that an error means: 2 only where the user wrote something that has to be written otherwise.
pub(super) fn exit_of(error: &Error) -> u8 {
    match error.kind {
        ErrorKind::Config if !is_about_state(error) => 2,
        ErrorKind::Unavailable => 3,
        ErrorKind::Config | ErrorKind::Protocol | ErrorKind::Data | ErrorKind::Fenced | ErrorKind::Internal => 1,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = exit_of(&error);
        let help = (!error.suggestion.is_empty()).then(|| error.suggestion.clone());
        let message = format!("{} ({} error {})", error.message, error.kind, error.code);
        Self { exit, message, help, told: false }
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Error::from(error).into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Asks whoever sits there whether to go on; `question` says what will happen, in lines.
///
/// # Errors
/// Nobody is there, or the answer is no.
pub(super) fn ask(question: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::configuration(format!("{question}nobody is there to be asked")).help("add --yes if that is meant")
        );
    }
    let mut stderr = std::io::stderr().lock();
    // If the question cannot be shown, the answer cannot be yes.
    if write!(stderr, "{}Go on? [y/N] ", Door::Errors.scrub(question)).and_then(|()| stderr.flush()).is_err() {
        return Err(Failure::configuration("cannot ask"));
    }
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::configuration("nothing was changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_says_where_to_look() {
        let codes = [
            (Error::config("sqlite.open", ""), 2),
            (Error::config("run.task", ""), 2),
            (Error::config("state.destination_lost", ""), 1),
            (Error::config("journal.corrupt", ""), 1),
            (Error::data("files.header.width", ""), 1),
            (Error::fenced("journal.fenced", ""), 1),
            (Error::internal("task.panic", ""), 1),
            (Error::protocol("X-1", ""), 1),
            (Error::unavailable("connector.not_serving", ""), 3),
        ];
        for (error, code) in codes {
            assert_eq!(exit_of(&error), code, "{error}");
        }
    }
}
