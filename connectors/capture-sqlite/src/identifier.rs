//! Names in SQL. Every one of them goes through [`quoted`]; there is no other way into a statement.

/// Tables and triggers of ours begin with this.
pub(crate) const OWN_PREFIX: &str = "_longshore_";

/// Names that are at least so alike are worth a suggestion.
const ALIKE: f64 = 0.8;

/// A name as SQL text, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names with the same folded form are one name to SQLite.
pub(crate) fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// The one of `names` that is most like `wanted`, if any is.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let scored = names.map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_name_stays_inside_it() {
        assert_eq!(quoted(r#"a"b; DROP"#), r#""a""b; DROP""#);
    }

    #[test]
    fn the_most_alike_is_suggested_and_a_stranger_is_not() {
        let names = ["orders", "customers"];
        assert_eq!(nearest("Ordres", names.into_iter()), Some("orders"));
        assert_eq!(nearest("zzz", names.into_iter()), None);
    }
}
