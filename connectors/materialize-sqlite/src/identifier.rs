//! Names in SQL. Every one of them goes through [`quoted`]; there is no other way into a statement.

/// Tables of ours begin with this.
pub(crate) const OWN_PREFIX: &str = "_longshore_";

/// A column of one of these names would hide a table's row id from everybody else.
pub(crate) const RESERVED: &[&str] = &["rowid", "_rowid_", "oid"];
/// SQLite itself knows no limit; 2,000 columns of this length fit into one statement that people can still read.
pub(crate) const NAME_MAX_BYTES: u32 = 255;

/// A name as SQL text, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What is wrong with the name of a table, if anything.
pub(crate) fn fault_in_table(name: &str) -> Option<String> {
    let folded = folded(name);
    if name.is_empty() {
        return Some("an empty name".to_owned());
    }
    if folded.starts_with("sqlite_") {
        return Some(format!("{name:?}, which SQLite keeps for itself"));
    }
    if folded.starts_with(OWN_PREFIX) {
        return Some(format!("{name:?}, which this connector keeps for itself"));
    }
    fault_in_column(name)
}

/// What is wrong with the name of a column, if anything.
pub(crate) fn fault_in_column(name: &str) -> Option<String> {
    name.contains('\0').then(|| format!("{name:?}, which holds a NUL character"))
}

/// Names with the same folded form are one name to SQLite.
pub(crate) fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}
