//! Names in SQL: the one place where they are quoted, and what a name can be.

/// Longer names are cut by the server, silently (`NAMEDATALEN` - 1).
pub const NAME_MAX_BYTES: usize = 63;

/// A name as it stands in a statement, whatever it holds.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A relation with its schema.
#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// Why the server would not take a name as it is; none: it would.
#[must_use]
pub fn fault_in_name(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("an empty one".to_owned())
    } else if name.contains('\0') {
        Some(format!("{name:?}, which holds a NUL"))
    } else if name.len() > NAME_MAX_BYTES {
        Some(format!("{name:?} of {} bytes, where the server keeps {NAME_MAX_BYTES}", name.len()))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_and_long_names_are_told() {
        assert_eq!(qualified("pub\"lic", "Größe"), "\"pub\"\"lic\".\"Größe\"");
        assert_eq!(fault_in_name(&"a".repeat(63)), None);
        for name in [String::new(), "a\0b".to_owned(), "ä".repeat(32)] {
            assert!(fault_in_name(&name).is_some(), "{name:?}");
        }
    }
}
