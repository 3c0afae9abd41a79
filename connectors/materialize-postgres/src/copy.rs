//! Lines on their way into a table. The server looks at every value itself, so it is the one that knows; what it refuses is looked for at the
//! line it names, or by halving where it names none or the wrong one, and the rest is looked at too.
//!
//! Lines are sent by a task of their own, so that the next ones are made while the server takes these.

#![allow(clippy::disallowed_methods, reason = "what sends lines ends with the session, which waits for it or drops it")]

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::SinkExt as _;
use futures_util::future::join;
use longshore_postgres::{Client, failed, tokio_postgres};
use longshore_sdk::{Error, ErrorKind, Result};
use tokio::task::JoinHandle;
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;

use crate::binary;
use crate::shape::Column;

/// After so many lines that the server refused in one batch, the rest of it is not looked at: each is one more copy.
const REFUSED_LINES_MAX: usize = 100;

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Text,
    Binary,
}

/// Lines of one or more batches.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    form: Form,
    /// Those of the last batch.
    text: Vec<u8>,
    /// Those of the batches before, and their bytes together.
    before: Vec<Bytes>,
    before_bytes: usize,
    /// Where each begins in all of them, and the row it is of.
    begins: Vec<(usize, usize)>,
}

impl Lines {
    /// None yet; room for so many bytes.
    pub(crate) fn new(form: Form, bytes: usize) -> Self {
        Self { form, text: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Adds a line, with its end, if it can be written at all.
    pub(crate) fn push<E>(&mut self, row: usize, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let begin = self.text.len();
        if let Err(error) = write(&mut self.text) {
            self.text.truncate(begin);
            return Err(error);
        }
        if self.form == Form::Text {
            self.text.push(b'\n');
        }
        self.begins.push((self.before_bytes + begin, row));
        Ok(())
    }

    /// Takes the last one out again.
    pub(crate) fn pop(&mut self) {
        if let Some((begin, _)) = self.begins.pop() {
            self.text.truncate(begin - self.before_bytes);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.begins.is_empty()
    }

    /// Adds those of another batch, whose rows are counted on from here. All have one form.
    pub(crate) fn join(&mut self, rows_before: usize, other: Self) {
        self.end_batch();
        self.form = other.form;
        let begins = other.begins.into_iter().map(|(begin, row)| (self.before_bytes + begin, rows_before + row));
        self.begins.extend(begins);
        self.text = other.text;
    }

    fn end_batch(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.before_bytes += text.len();
        self.before.extend((!text.is_empty()).then(|| Bytes::from(text)));
    }

    /// The text of some of them, in its pieces, when the last batch has ended.
    fn texts(&self, lines: &Range<usize>) -> Vec<Bytes> {
        let begin = |line: usize| self.begins.get(line).map_or(self.before_bytes, |(begin, _)| *begin);
        let (from, to) = (begin(lines.start), begin(lines.end));
        let mut at = 0;
        let part = |piece: &Bytes| {
            let start = at;
            at += piece.len();
            let within = |place: usize| place.clamp(start, start + piece.len()) - start;
            piece.slice(within(from)..within(to))
        };
        self.before.iter().map(part).filter(|part| !part.is_empty()).collect()
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
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    text: Statement,
    /// None: no line is written in binary.
    binary: Option<Statement>,
    /// As the server calls it where it names a line.
    relation: String,
}

/// Lines that are being sent. Nothing else may be asked of the connection before they are settled; dropped before that, they leave it as it is.
#[derive(Debug)]
pub(crate) struct Sending {
    copy: Copy,
    lines: Lines,
    task: Task,
}

#[derive(Debug)]
struct Task(JoinHandle<Result<(), tokio_postgres::Error>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Copy {
    pub(crate) async fn prepare(
        client: &Client,
        relation: &str,
        into: &str,
        columns: &[String],
        has_binary: bool,
    ) -> Result<Self> {
        let copy = format!("COPY {into} ({}) FROM STDIN", columns.join(", "));
        let prepared = client.prepare(&copy).await;
        let text = prepared.map_err(|error| failed("preparing a copy", &error))?;
        let binary = match has_binary {
            true => {
                let prepared = client.prepare(&format!("{copy} (FORMAT binary)")).await;
                Some(prepared.map_err(|error| failed("preparing a copy", &error))?)
            }
            false => None,
        };
        Ok(Self { text, binary, relation: relation.to_owned() })
    }

    /// Begins to send the lines.
    pub(crate) fn begin(&self, client: &Arc<Client>, mut lines: Lines) -> Sending {
        lines.end_batch();
        let all = 0..lines.begins.len();
        let (copy, client, form, texts) = (self.clone(), Arc::clone(client), lines.form, lines.texts(&all));
        let task = tokio::spawn(async move { copy.copy(&client, form, texts).await });
        Sending { copy: self.clone(), lines, task: Task(task) }
    }

    /// With a savepoint before it, which is kept after an error only.
    async fn copy(&self, client: &Client, form: Form, texts: Vec<Bytes>) -> Result<(), tokio_postgres::Error> {
        let (statement, begin, end) = match (form, &self.binary) {
            (Form::Binary, Some(binary)) => (binary, binary::BEGIN, binary::END),
            (Form::Text | Form::Binary, _) => (&self.text, &[][..], &[][..]),
        };
        // The server answers them in order; nobody waits for one answer to ask for the next.
        let (saved, sink) =
            join(client.batch_execute("SAVEPOINT longshore"), client.copy_in::<_, Bytes>(statement)).await;
        saved?;
        let mut sink = pin!(sink?);
        let mut sent = Ok(());
        let texts = std::iter::once(Bytes::from_static(begin)).chain(texts).chain([Bytes::from_static(end)]);
        for text in texts.filter(|text| !text.is_empty()) {
            if sent.is_ok() {
                sent = sink.feed(text).await;
            }
        }
        // What the server says comes with the end, also where it has stopped listening before.
        let (finished, released) = join(sink.finish(), client.batch_execute("RELEASE SAVEPOINT longshore")).await;
        match (finished, sent) {
            (Ok(_), sent) => sent.and(released),
            (Err(error), Err(before)) if error.as_db_error().is_none() => Err(before),
            (Err(error), _) => Err(error),
        }
    }
}

impl Sending {
    /// The server has answered, or never will.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.0.is_finished()
    }

    /// Waits until the server has taken the lines; each that it refuses is told with its row, and then all of them are for nothing: the
    /// transaction must not be committed. Where their keys are only thought to be new, one that is there is no matter of its document.
    pub(crate) async fn settle(
        mut self,
        client: &Client,
        (doing, keys): (&str, Keys),
        mut refused: impl FnMut(usize, Error) -> Result<()>,
    ) -> Result<Sent> {
        let Self { copy, lines, task } = &mut self;
        let ended = (&mut task.0).await;
        let ended = ended.map_err(|error| Error::internal("postgres.copy", format!("{doing}: {error}")))?;
        let mut first = Some(ended);
        let mut refused_count = 0;
        let mut waiting = Vec::from([Range { start: 0, end: lines.begins.len() }]);
        while let Some(range) = waiting.pop() {
            if range.is_empty() {
                continue;
            }
            let copied = match first.take() {
                Some(copied) => copied,
                None => copy.copy(client, lines.form, lines.texts(&range)).await,
            };
            let Err(error) = copied else { continue };
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
            let named = error.as_db_error().and_then(|error| line_named(error.where_()?, &copy.relation));
            let named = named.map(|line| range.start + line - 1).filter(|bad| range.contains(bad));
            let bad = named.unwrap_or(range.start + range.len() / 2);
            waiting.extend([bad + 1..range.end, bad..bad + 1, range.start..bad]);
        }
        Ok(Sent::All)
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
