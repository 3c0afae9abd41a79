//! Doubts about what was there before: each says what was expected, what is there, and how to begin again. None of them is passed over.

use longshore_sdk::Error;

/// Whose errors these are.
#[derive(Debug, Clone)]
pub(crate) struct Whose {
    pub(crate) task: String,
}

impl Whose {
    /// The log is not what the state remembers: all tables of the task are in doubt.
    pub(crate) fn log(&self, code: &str, expected: &str, got: &str) -> Error {
        let message = format!("capture-sqlite goes on reading its log: expected {expected}, got {got}");
        Error::data(code, message).suggest(format!(
            "was the database restored or replaced? Put back the one that belongs to this state, or capture everything again: \
             `longshore run --fresh {}`",
            self.task
        ))
    }

    /// What notes the changes of one table is not as it was: changes may be missing.
    pub(crate) fn table(&self, code: &str, table: &str, collection: &str, what: &str) -> Error {
        let message = format!("capture-sqlite goes on with table {table:?}: {what}, so changes may have been missed");
        Error::data(code, message)
            .suggest(format!("capture the table again: `longshore run --fresh {}/{collection}`", self.task))
    }
}
