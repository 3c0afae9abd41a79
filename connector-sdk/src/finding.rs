//! Findings of Validate, made like errors: `finding::error(Error::config("files.path.missing", "…").at_pointer("/path"))`.

pub use longshore_proto::session::{Finding, Severity};

use longshore_proto::{Error, ErrorKind};

/// The task cannot run because of it.
pub fn error(error: Error) -> Finding {
    of(Severity::Error, error)
}

/// The task can run, but the user should know.
pub fn warning(error: Error) -> Finding {
    of(Severity::Warning, error)
}

/// The task cannot run because of it, if a person can put it right.
///
/// # Errors
/// Something does not answer just now. That is nobody's mistake: it is the error that Validate ends with, so that it is asked again later.
pub fn mistake(error: Error) -> Result<Finding, Error> {
    match error.kind {
        ErrorKind::Unavailable => Err(error),
        ErrorKind::Config | ErrorKind::Protocol | ErrorKind::Data | ErrorKind::Fenced | ErrorKind::Internal => {
            Ok(self::error(error))
        }
    }
}

fn of(severity: Severity, error: Error) -> Finding {
    let parts = error.into_parts();
    Finding {
        severity,
        code: parts.code,
        binding: parts.binding,
        pointer: parts.pointer,
        message: parts.message,
        suggestion: parts.suggestion,
    }
}
