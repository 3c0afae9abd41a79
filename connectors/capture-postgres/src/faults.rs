//! Doubts about what was there before: each says what was expected, what is there, and how to begin again. None of them is passed over.

use longshore_sdk::Error;

/// The server is not as this task's state remembers it, so changes are, or may be, gone.
pub(crate) fn gone(task: &str, code: &str, expected: &str, got: &str) -> Error {
    let message =
        format!("capture-postgres goes on reading changes: expected {expected}, got {got}; changes may be gone");
    Error::config(code, message).suggest(format!(
        "if the server was put back or replaced by mistake, bring back the one that belongs to this state; else capture everything again: \
         `longshore run --fresh {task}`"
    ))
}

/// One table is not the one whose rows were captured.
pub(crate) fn other_table(who: &str, (task, collection): (&str, &str), expected: &str, got: &str) -> Error {
    let message = format!("{who} goes on with a table: expected {expected}, got {got}");
    Error::config("postgres.table.other", message)
        .suggest(format!("capture the table again: `longshore run --fresh {task}/{collection}`"))
}
