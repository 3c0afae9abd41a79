//! Lines on their way into a table. The server parses every value itself, so it is the one that knows; what it refuses is looked for at the
//! line it names, or by halving where it names none or the wrong one, and the rest is looked at too.

use std::ops::Range;
use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use longshore_postgres::{Client, failed, tokio_postgres};
use longshore_sdk::{Error, ErrorKind, Result};
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;

use crate::shape::Column;

/// After so many lines that the server refused in one batch, the rest of it is not looked at: each is one more copy.
const REFUSED_LINES_MAX: usize = 100;

/// Lines of one batch.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    text: Vec<u8>,
    /// Where each begins, and the row of the batch it is of.
    begins: Vec<(usize, usize)>,
}

impl Lines {
    /// Adds a line, with its end, if it can be written at all.
    pub(crate) fn push<E>(&mut self, row: usize, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let begin = self.text.len();
        if let Err(error) = write(&mut self.text) {
            self.text.truncate(begin);
            return Err(error);
        }
        self.text.push(b'\n');
        self.begins.push((begin, row));
        Ok(())
    }

    /// Takes the last one out again.
    pub(crate) fn pop(&mut self) {
        if let Some((begin, _)) = self.begins.pop() {
            self.text.truncate(begin);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.begins.is_empty()
    }

    fn text(&self, lines: &Range<usize>, whole: &Bytes) -> Bytes {
        let begin = |line: usize| self.begins.get(line).map_or(whole.len(), |(begin, _)| *begin);
        whole.slice(begin(lines.start)..begin(lines.end))
    }
}

/// What is known of the keys of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Nobody minds if they are there, or they cannot be.
    Any,
    /// They were not there a moment ago.
    ThoughtNew,
}

/// What became of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    /// One of the keys is there. Some of the lines may be written all the same.
    KeysTaken,
}

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Copy {
    statement: Statement,
    /// As the server calls it where it names a line.
    relation: String,
}

impl Copy {
    pub(crate) async fn prepare(client: &Client, relation: &str, into: &str, columns: &[String]) -> Result<Self> {
        let copy = format!("COPY {into} ({}) FROM STDIN", columns.join(", "));
        let statement = client.prepare(&copy).await.map_err(|error| failed("preparing a copy", &error))?;
        Ok(Self { statement, relation: relation.to_owned() })
    }

    /// Sends the lines; each that the server refuses is told with its row, and then all of them are for nothing: the transaction must not be
    /// committed. Where their keys are only thought to be new, one that is there is no matter of its document.
    pub(crate) async fn send(
        &self,
        client: &Client,
        (doing, keys): (&str, Keys),
        mut lines: Lines,
        mut refused: impl FnMut(usize, Error) -> Result<()>,
    ) -> Result<Sent> {
        let whole = Bytes::from(std::mem::take(&mut lines.text));
        let mut refused_count = 0;
        let mut waiting = Vec::from([Range { start: 0, end: lines.begins.len() }]);
        while let Some(range) = waiting.pop() {
            if range.is_empty() {
                continue;
            }
            client.run(doing, "SAVEPOINT longshore").await?;
            let Err(error) = self.copy(client, lines.text(&range, &whole)).await else {
                client.run(doing, "RELEASE SAVEPOINT longshore").await?;
                continue;
            };
            let why = failed(doing, &error);
            if why.kind != ErrorKind::Data {
                return Err(why);
            }
            client.run(doing, "ROLLBACK TO SAVEPOINT longshore; RELEASE SAVEPOINT longshore").await?;
            if keys == Keys::ThoughtNew && error.code() == Some(&SqlState::UNIQUE_VIOLATION) {
                // With something refused already it is not to be looked at a second time.
                let again =
                    || Error::unavailable("postgres.busy", format!("{}; somebody else writes here, too", why.message));
                return if refused_count == 0 { Ok(Sent::KeysTaken) } else { Err(again()) };
            }
            if range.len() == 1 {
                refused(lines.begins[range.start].1, why)?;
                refused_count += 1;
                if refused_count == REFUSED_LINES_MAX {
                    return Ok(Sent::All);
                }
                continue;
            }
            // A context can quote values, which may say anything: a line is refused only when it was sent alone.
            let named = error.as_db_error().and_then(|error| line_named(error.where_()?, &self.relation));
            let named = named.map(|line| range.start + line - 1).filter(|bad| range.contains(bad));
            let bad = named.unwrap_or(range.start + range.len() / 2);
            waiting.extend([bad + 1..range.end, bad..bad + 1, range.start..bad]);
        }
        Ok(Sent::All)
    }

    async fn copy(&self, client: &Client, text: Bytes) -> Result<(), tokio_postgres::Error> {
        let mut sink = pin!(client.copy_in::<_, Bytes>(&self.statement).await?);
        let sent = sink.send(text).await;
        // What the server says comes with the end, also where it has stopped listening before.
        match (sink.finish().await, sent) {
            (Ok(_), sent) => sent,
            (Err(error), Err(before)) if error.as_db_error().is_none() => Err(before),
            (Err(error), _) => Err(error),
        }
    }
}

/// `COPY bench, line 3, column v: "x"`, in whatever language the server speaks; what is inside of the copy stands before it.
fn line_named(context: &str, relation: &str) -> Option<usize> {
    context.lines().rev().find_map(|line| {
        let (_, behind) = line.split_once(&format!(" {relation},"))?;
        let digits = behind.trim_start_matches(|character: char| !character.is_ascii_digit());
        let end = digits.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
        // A value that is quoted comes behind the line's number.
        digits[..end].parse().ok().filter(|line| *line > 0 && behind.len() - digits.len() < 20)
    })
}

/// Which of these texts the server would print otherwise than they stand there, by their places. What it cannot read at all is not among
/// them: the copy finds it.
pub(crate) async fn printed_otherwise(client: &Client, column: &Column, texts: &[String]) -> Result<Vec<usize>> {
    let doing = format!("asking how values of column {:?} are printed", column.name);
    client.run(&doing, "SAVEPOINT longshore").await?;
    // Not a cast to text, which for some types is not what is printed.
    let of = column.sql_type.scalar;
    let select =
        format!("SELECT n FROM unnest($1::text[]) WITH ORDINALITY AS told (v, n) WHERE format('%s', v::{of}) <> v");
    match client.query(&select, &[&texts]).await {
        Ok(rows) => {
            client.run(&doing, "RELEASE SAVEPOINT longshore").await?;
            Ok(rows.iter().filter_map(|row| usize::try_from(row.get::<_, i64>(0) - 1).ok()).collect())
        }
        Err(error) => {
            let why = failed(&doing, &error);
            if why.kind != ErrorKind::Data {
                return Err(why);
            }
            client.run(&doing, "ROLLBACK TO SAVEPOINT longshore; RELEASE SAVEPOINT longshore").await?;
            Ok(Vec::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_the_server_names_is_read_in_any_language_and_never_out_of_a_value() {
        for (context, relation, line) in [
            ("COPY bench, line 3, column v: \"7\"", "bench", Some(3)),
            ("COPY bench, Zeile 12, Spalte v: »7«", "bench", Some(12)),
            ("COPY t 9, line 4", "t 9", Some(4)),
            ("SQL statement \"x 5\"", "bench", None),
            ("JSON data, line 1: {\"v\":\nCOPY t, line 5, column v: \"x\"", "t", Some(5)),
            ("COPY bench, and then a long text that is none of a line 7", "bench", None),
        ] {
            assert_eq!(line_named(context, relation), line, "{context}");
        }
    }
}
