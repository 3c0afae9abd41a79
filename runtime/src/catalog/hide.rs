//! A line of the catalog as it may be shown: each character of a secret is a star, so that what stands below it still stands below it.
//!
//! What a schema calls secret is known by its place ([`Source::hide`](super::Source)) and its value. A mistake may be found before any
//! connector was asked; then a name such as `password` is all there is to go by, and a URL with a password in it.

use super::source::Span;
use crate::secret;

/// Part of the names of settings that people keep to themselves.
const NAMES: [&str; 8] = ["password", "passwd", "passphrase", "secret", "token", "apikey", "privatekey", "credential"];
/// Names that end so say where something is.
const PLACES: [&str; 4] = ["file", "path", "url", "uri"];

/// The line, which starts at byte `start` of the text, with what is hidden in that text and what looks like a secret as stars.
pub(super) fn starred(line: &str, start: usize, hidden: &[Span]) -> String {
    let mut stars: Vec<(usize, usize)> = hidden
        .iter()
        .filter(|span| span.start < start + line.len() && start < span.end)
        .map(|span| (span.start.saturating_sub(start), (span.end - start).min(line.len())))
        .collect();
    stars.extend(named(line));
    stars.extend(in_url(line));
    let is_star = |at: usize| stars.iter().any(|&(from, to)| from <= at && at < to);
    let starred: String =
        line.char_indices().map(|(at, c)| if is_star(at) && !c.is_whitespace() { '*' } else { c }).collect();
    secret::starred(&starred).into_owned()
}

/// The values behind `password:` and its like; a placeholder says where the value is and is shown.
fn named(line: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (colon, _) in line.match_indices(": ") {
        let name: String = line[..colon]
            .chars()
            .rev()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '"' | '\''))
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        let tells = NAMES.iter().any(|part| name.contains(part)) && !PLACES.iter().any(|end| name.ends_with(end));
        let behind = line[colon + 2..].trim_start();
        let from = line.len() - behind.len();
        let to = from + value(behind, line[..colon].contains('{')).len();
        let text = line[from..to].trim_matches(['"', '\'']);
        if tells && !(text.starts_with("${") && text.find('}') == Some(text.len() - 1)) {
            found.push((from, to));
        }
    }
    found
}

/// The scalar at the start of a text.
fn value(text: &str, in_braces: bool) -> &str {
    let end = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text[1..].find(quote).map(|at| at + 2),
        Some(_) if in_braces => text.find([',', '}']),
        Some(_) => text.find(" #"),
        None => None,
    };
    text[..end.unwrap_or(text.len())].trim_end()
}

/// `password` of `scheme://user:password@host`.
fn in_url(line: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (scheme, _) in line.match_indices("://") {
        let from = scheme + 3;
        let authority =
            line[from..].split(|c: char| c.is_whitespace() || "/?#\"',".contains(c)).next().unwrap_or_default();
        if let Some(at) = authority.rfind('@')
            && let Some(colon) = authority[..at].find(':')
            && !authority[colon + 1..at].starts_with("${")
        {
            found.push((from + colon + 1, from + at));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_under_a_telling_name_is_starred_and_nothing_else() {
        let cases = [
            ("    password: hunter2 # mine", "    password: ******* # mine"),
            ("config: { url: x, password: hunter2, size: 3 }", "config: { url: x, password: *******, size: 3 }"),
            ("{ \"api_key\": \"a b,c\", x: 1 }", "{ \"api_key\": ** ****, x: 1 }"),
            ("DB_PASSWORD: 'it''s'", "DB_PASSWORD: ****'s'"),
            ("password: \"${PW}\"", "password: \"${PW}\""),
            ("password: a${PW}", "password: ******"),
            ("token_file: ./token", "token_file: ./token"),
            ("key: [/id]", "key: [/id]"),
            ("password:", "password:"),
            ("url: postgres://me:hunter2@db/shop", "url: postgres://me:*******@db/shop"),
            ("url: \"postgres://me:${PW}@db/shop\"", "url: \"postgres://me:${PW}@db/shop\""),
        ];
        for (line, shown) in cases {
            assert_eq!(starred(line, 0, &[]), shown);
        }
    }

    #[test]
    fn what_a_schema_calls_secret_is_starred_by_its_place() {
        let line = "  pin: 12 # short";
        assert_eq!(
            starred(line, 100, &[Span::new(107, 109), Span::new(0, 99), Span::new(300, 400)]),
            "  pin: ** # short"
        );
        assert_eq!(starred("    of several lines", 100, &[Span::new(50, 400)]), "    ** ******* *****");
    }
}
