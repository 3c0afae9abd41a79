//! The text of a `CREATE INDEX`: its parts and its `WHERE`, which SQLite tells in no other way where they are expressions.

/// What stands in the parentheses, part by part without `ASC` and `DESC`, and the condition of a partial index.
pub(crate) fn parts(sql: &str) -> Option<(Vec<String>, Option<String>)> {
    let mut depth = 0_usize;
    let mut parts = Vec::new();
    let mut begin = 0;
    let mut end = None;
    for (at, letter) in plain(sql) {
        match letter {
            b'(' => {
                depth += 1;
                if depth == 1 {
                    begin = at + 1;
                }
            }
            b')' if depth == 1 => {
                parts.push(&sql[begin..at]);
                end = Some(at + 1);
                break;
            }
            b')' => depth = depth.checked_sub(1)?,
            b',' if depth == 1 => {
                parts.push(&sql[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    let rest = &sql[end?..];
    let filter = match plain(rest).find(|(_, letter)| !letter.is_ascii_whitespace()) {
        None => None,
        Some((at, _)) => Some(strip_word(&rest[at..], "where")?.to_owned()),
    };
    Some((parts.into_iter().map(without_direction).collect(), filter))
}

/// The letters that are neither in quotes nor in a comment, with their places.
fn plain(sql: &str) -> impl Iterator<Item = (usize, u8)> + '_ {
    let bytes = sql.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let letter = *bytes.get(at)?;
            let rest = &bytes[at..];
            let past = match letter {
                b'"' | b'\'' | b'`' => Some(quoted_len(rest, letter)),
                b'[' => Some(quoted_len(rest, b']')),
                b'-' if rest.starts_with(b"--") => {
                    Some(rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()))
                }
                b'/' if rest.starts_with(b"/*") => {
                    let inner = rest[2..].windows(2).position(|pair| pair == b"*/");
                    Some(inner.map_or(rest.len(), |inner| inner + 4))
                }
                _ => None,
            };
            match past {
                // What is quoted counts as one letter, so that nobody takes it for space.
                Some(past) if matches!(letter, b'"' | b'\'' | b'`' | b'[') => {
                    let place = at;
                    at += past;
                    return Some((place, b'"'));
                }
                Some(past) => at += past,
                None => {
                    at += 1;
                    return Some((at - 1, letter));
                }
            }
        }
    })
}

/// Length of what begins with a quote, in which the closing one is doubled.
fn quoted_len(rest: &[u8], closing: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        if rest[at] == closing {
            if closing != b']' && rest.get(at + 1) == Some(&closing) {
                at += 1;
            } else {
                return at + 1;
            }
        }
        at += 1;
    }
    rest.len()
}

fn without_direction(part: &str) -> String {
    let trimmed = part.trim();
    let word = trimmed.rsplit(|letter: char| letter.is_ascii_whitespace() || letter == ')').next().unwrap_or_default();
    match word.eq_ignore_ascii_case("asc") || word.eq_ignore_ascii_case("desc") {
        true => trimmed[..trimmed.len() - word.len()].trim().to_owned(),
        false => trimmed.to_owned(),
    }
}

fn strip_word<'s>(text: &'s str, word: &str) -> Option<&'s str> {
    let (head, tail) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, wanted: &[&str], filter: Option<&str>) {
        let (parts, found) = parts(sql).expect(sql);
        assert_eq!(parts, wanted, "{sql}");
        assert_eq!(found.as_deref().map(str::trim), filter, "{sql}");
    }

    #[test]
    fn parts_and_condition_are_found_behind_quotes_and_comments() {
        check("CREATE UNIQUE INDEX i ON t(a)", &["a"], None);
        check("CREATE UNIQUE INDEX \"i(\" ON [t(] (a DESC, lower(b, 'x,)') asc)", &["a", "lower(b, 'x,)')"], None);
        check("CREATE UNIQUE INDEX i ON t(a) /* ( */ where b > 'where'", &["a"], Some("b > 'where'"));
        check(
            "CREATE UNIQUE INDEX i ON t(a -- )\n, b COLLATE NOCASE) WHERE c",
            &["a -- )", "b COLLATE NOCASE"],
            Some("c"),
        );
        check("CREATE UNIQUE INDEX i ON t((a || ')') DESC, \"desc\")", &["(a || ')')", "\"desc\""], None);
    }
}
