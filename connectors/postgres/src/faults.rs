//! What an error of the server or of the way to it means for a task: stop and tell the user, come again later, or a matter of one document.

use longshore_sdk::{Error, ErrorKind};
use tokio_postgres::error::SqlState;

/// An error of ours. `doing` says what was being done, as in "opening the copy of table public.orders".
#[must_use]
pub fn failed(doing: &str, error: &tokio_postgres::Error) -> Error {
    let Some(server) = error.as_db_error() else {
        return failed_on_the_way(doing, error);
    };
    failed_by_state(doing, server.code().code(), server.message(), [server.detail(), server.hint()])
}

/// What the server said, with its SQLSTATE; `more` is detail and hint.
pub(crate) fn failed_by_state(doing: &str, state: &str, message: &str, more: [Option<&str>; 2]) -> Error {
    let mut message = format!("{doing}: {message} ({state})");
    for more in more.into_iter().flatten() {
        message = format!("{message}; {more}");
    }
    let (kind, code, suggestion) = meaning(&SqlState::from_code(state));
    Error::new(kind, code, message).suggest(suggestion)
}

/// By class of SQLSTATE (appendix A of PostgreSQL's manual), the finer ones first.
fn meaning(state: &SqlState) -> (ErrorKind, &'static str, &'static str) {
    let code = state.code();
    match (code.get(..2).unwrap_or_default(), code) {
        ("28", _) => {
            (ErrorKind::Config, "postgres.login", "check user and `password`, and `pg_hba.conf` of the server")
        }
        (_, "3D000") => (ErrorKind::Config, "postgres.database", "name a database that is there, at the end of `url`"),
        (_, "42501") => (ErrorKind::Config, "postgres.permission", "grant the user of `url` what the message names"),
        // 25P03: idle in a transaction for longer than the session may be.
        ("08" | "53" | "57" | "58", _) | (_, "25P03") => {
            (ErrorKind::Unavailable, "postgres.server", "look into the log of the server")
        }
        ("40", _) | (_, "55P03" | "55006") => {
            (ErrorKind::Unavailable, "postgres.busy", "nothing: it is tried again, others hold what it needs")
        }
        ("22" | "23", _) => (ErrorKind::Data, "postgres.value", "look at the document the message tells of"),
        ("54", _) => (ErrorKind::Data, "postgres.limit", "keep fewer or smaller fields, with the binding's `fields`"),
        ("0A" | "25" | "2B" | "42" | "55", _) => {
            (ErrorKind::Config, "postgres.refused", "read the message of the server: it does not let this be done here")
        }
        (_, _) => (ErrorKind::Internal, "postgres.unexpected", "report it, with the log of the server at that time"),
    }
}

/// No word of the server: it was never reached, is gone, or we did not believe it.
pub(crate) fn failed_on_the_way(doing: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let mut message = format!("{doing}: {error}");
    let mut is_certificate = is_of_a_certificate(error);
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        is_certificate |= is_of_a_certificate(cause);
        source = cause.source();
    }
    if is_certificate {
        return Error::config("postgres.certificate", message).at_pointer("/sslrootcert").suggest(
            "name the authority that signed the server's certificate, and in `url` the host it is made out to",
        );
    }
    if message.contains(NO_PASSWORD) {
        return no_password(message);
    }
    Error::unavailable("postgres.unreachable", message)
        .suggest("see that the server runs, and that host, port and `sslmode` of `url` are its own")
}

/// The server asks for a password, and the user gave none.
pub(crate) fn no_password(message: String) -> Error {
    Error::config("postgres.login", message)
        .at_pointer("/password")
        .suggest("the server wants a password: write it as `password` beside `url`")
}

/// The library's words; it has no other sign of it.
const NO_PASSWORD: &str = "password missing";

/// TLS comes through as an error of reading and writing.
fn is_of_a_certificate(cause: &(dyn std::error::Error + 'static)) -> bool {
    let of_tls = |error: &rustls::Error| {
        matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
    };
    let inner = cause.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
    inner.and_then(|error| error.downcast_ref()).or_else(|| cause.downcast_ref()).is_some_and(of_tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_means_one_of_the_kinds_that_tell_what_to_do() {
        for (code, kind) in [
            ("28P01", ErrorKind::Config),
            ("3D000", ErrorKind::Config),
            ("42501", ErrorKind::Config),
            ("42P01", ErrorKind::Config),
            ("57P01", ErrorKind::Unavailable),
            ("25P03", ErrorKind::Unavailable),
            ("2BP01", ErrorKind::Config),
            ("53300", ErrorKind::Unavailable),
            ("40001", ErrorKind::Unavailable),
            ("55P03", ErrorKind::Unavailable),
            ("22P02", ErrorKind::Data),
            ("23502", ErrorKind::Data),
            ("54000", ErrorKind::Data),
            ("XX000", ErrorKind::Internal),
        ] {
            assert_eq!(meaning(&SqlState::from_code(code)).0, kind, "{code}");
        }
    }
}
