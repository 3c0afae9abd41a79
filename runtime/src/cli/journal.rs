//! `longshore journal list|check|read|readers|release`: what lies in the durable log of a capture, whether all of it is whole, and who needs it.

use longshore_proto::batch::Batch;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::args::{Global, JournalReadArgs, JournalVerb, LookArgs, split_word, split_words};
use super::dlq::embedded;
use super::look::{Look, Unreadable, damaged};
use super::output::{Failure, Output};
use super::view::{grouped, size};
use super::{catalogs, journal_readers, logs};
use crate::journal::{Checked, Control, Entry, Filter, Inspection, JournalError, Letter, LocalId, Reader, Resent};

/// Printed at once at most.
const OUTPUT_BYTES: usize = 64 << 10;

pub(super) fn journal(global: &Global, verb: JournalVerb, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    match verb {
        JournalVerb::List(args) => each(global, args, output, list),
        JournalVerb::Check(args) => each(global, args, output, check),
        JournalVerb::Read(args) => read(global, args, output),
        JournalVerb::Readers(args) => journal_readers::readers(global, args, output),
        JournalVerb::Release(args) => journal_readers::release(global, args, output),
    }
}

/// Does the same with each journal; one that is damaged is told and does not hide the others.
fn each(
    global: &Global,
    args: LookArgs,
    output: &Output,
    tell: fn(&str, &Inspection, &Output) -> Result<(), JournalError>,
) -> Result<(), Failure> {
    let (task, catalog) = split_word(args.words)?;
    let look = Look::open(global, &catalog)?;
    let captures = look.captures(task.as_deref())?;
    if captures.is_empty() {
        catalogs::note(format_args!("no journal yet in {}", look.path().display()), output);
    }
    let mut all_well = true;
    for capture in captures {
        let told = match look.journal(&capture) {
            Ok(Some(journal)) => tell(&capture, &journal, output),
            Ok(None) => {
                output.object("journal", json!({ "task": capture, "ok": true, "transactions": 0 }));
                output.line(format_args!("{capture}  ok  nothing was committed yet"));
                Ok(())
            }
            Err(Unreadable::Journal(error)) => Err(error),
            Err(Unreadable::Store(failure)) => return Err(failure),
        };
        if let Err(error) = told {
            tell_damage(&capture, &error, output);
            all_well = false;
        }
    }
    if all_well { Ok(()) } else { Err(Failure::with_exit(1).already_told()) }
}

fn list(capture: &str, journal: &Inspection, output: &Output) -> Result<(), JournalError> {
    let segments = journal.segments()?;
    let (count, bytes) = (segments.len(), segments.iter().map(|segment| segment.file_bytes).sum());
    let (end, known) = (journal.end(), journal.known());
    let epoch = segments.iter().filter(|segment| segment.counted_bytes.is_some()).map(|s| s.name.epoch.0).max();
    let bindings: Vec<Value> = known
        .bindings
        .iter()
        .map(|(local, row)| {
            json!({
                "binding": row.state_key.as_str(), "generation": row.state_key.generation(), "collection": row.collection,
                "key": row.key, "schema_version": known.schemas.get(&local).map_or(0, |schema| schema.version),
            })
        })
        .collect();
    output.object(
        "journal",
        json!({
            "task": capture, "journal": journal.id().to_string(), "segments": count, "bytes": bytes,
            "transactions": end.transaction, "begin_offset": journal.begins_at(), "end_offset": end.position.offset, "epoch": epoch,
            "bindings": bindings,
        }),
    );
    let begins = match journal.begins_at() {
        0 => String::new(),
        offset => format!("begins at offset {}, ", grouped(offset)),
    };
    output.line(format_args!(
        "{capture}  {}, {}, {} transactions, {begins}ends at offset {}, epoch {}, journal {}",
        segments_word(count as u64),
        size(bytes),
        grouped(end.transaction),
        grouped(end.position.offset),
        epoch.unwrap_or(0),
        journal.id(),
    ));
    for (local, row) in known.bindings.iter() {
        let schema = known.schemas.get(&local).map(|schema| format!(", schema version {}", schema.version));
        output.line(format_args!(
            "  {} -> {}, key {}{}",
            row.state_key,
            row.collection,
            row.key.join(", "),
            schema.unwrap_or_default()
        ));
    }
    Ok(())
}

fn check(capture: &str, journal: &Inspection, output: &Output) -> Result<(), JournalError> {
    let Checked { segments, bytes, frames, transactions, documents, dead_letters, witnessed_bytes, torn, .. } =
        journal.check()?;
    let tail = torn.as_ref().map(|torn| {
        json!({
            "segment": torn.segment.to_string(), "from_byte": torn.from_byte, "file_bytes": torn.file_bytes, "reason": torn.reason,
        })
    });
    output.object(
        "journal",
        json!({
            "task": capture, "ok": true, "segments": segments, "bytes": bytes, "frames": frames, "transactions": transactions,
            "documents": documents, "dead_letters": dead_letters, "witnessed_bytes": witnessed_bytes, "uncommitted": tail,
        }),
    );
    output.line(format_args!(
        "{capture}  ok  {} documents in {} transactions, {} in {}",
        grouped(documents),
        grouped(transactions),
        size(bytes),
        segments_word(segments),
    ));
    if dead_letters > 0 {
        output.line(format_args!("  and {} dead letters: `longshore dlq list {capture}`", grouped(dead_letters)));
    }
    if let Some(torn) = torn {
        output.line(format_args!(
            "  bytes {} to {} of {} do not count: {}",
            torn.from_byte, torn.file_bytes, torn.segment, torn.reason
        ));
    }
    Ok(())
}

fn tell_damage(capture: &str, error: &JournalError, output: &Output) {
    let (file, byte, reason) = match error {
        JournalError::Corrupt { file, offset, reason } => (Some(file), Some(*offset), reason.clone()),
        JournalError::NewerVersion { file, offset, .. } => (Some(file), Some(*offset), error.to_string()),
        JournalError::Io { file, .. }
        | JournalError::Unknown { file, .. }
        | JournalError::OtherJournal { file, .. } => (Some(file), None, error.to_string()),
        JournalError::Fenced { .. }
        | JournalError::UnknownPosition { .. }
        | JournalError::Trimmed { .. }
        | JournalError::TransactionTooLarge { .. }
        | JournalError::Refused { .. } => (None, None, error.to_string()),
    };
    output.object(
        "journal",
        json!({
            "task": capture, "ok": false, "file": file, "byte": byte, "reason": reason, "message": error.to_string(),
        }),
    );
    output.line(format_args!("{capture}  NOT OK  {error}"));
}

fn segments_word(count: u64) -> String {
    if count == 1 { "1 segment".to_owned() } else { format!("{} segments", grouped(count)) }
}

fn read(global: &Global, args: JournalReadArgs, output: &Output) -> Result<(), Failure> {
    let ([capture], catalog) = split_words(args.words, ["TASK"])?;
    let look = Look::open(global, &catalog)?;
    look.captures(Some(&capture))?;
    let Some(journal) = look.journal(&capture)? else {
        catalogs::note(format_args!("nothing was committed to the journal of {capture} yet"), output);
        return Ok(());
    };
    let end = journal.end().position.offset;
    if args.from > end {
        return Err(Failure::configuration(format!(
            "expected --from at or before the end of the journal of {capture}, offset {end}, got {}",
            args.from
        )));
    }
    let mut reader = journal.reader(Filter::All);
    reader.seek(journal.start_before(args.from)).map_err(damaged)?;
    let mut printed = Printed { output, text: String::new(), from: args.from, left: args.limit.unwrap_or(u64::MAX) };
    // What was read before some damage is shown before the damage is told.
    let read = print(&mut *reader, &mut printed);
    printed.flush();
    read.map_err(damaged)?;
    let (documents, from) = (args.limit.unwrap_or(u64::MAX) - printed.left, args.from);
    catalogs::note(
        format_args!("{} documents from offset {from} on; the journal ends at offset {end}", grouped(documents)),
        output,
    );
    Ok(())
}

fn print(reader: &mut dyn Reader, printed: &mut Printed<'_>) -> Result<(), JournalError> {
    while printed.left > 0 {
        let Some(entry) = reader.next()? else { break };
        // Rows of bindings are known to the reader before it hands out what belongs to them.
        let name = |local: LocalId| {
            let row = reader.bindings().row(local);
            row.map_or(("", ""), |row| (row.state_key.as_str(), row.collection.as_str()))
        };
        match entry {
            Entry::Documents { local, first_offset, documents } => {
                printed.documents(name(local), first_offset, &documents);
            }
            Entry::Bindings(rows) => {
                for row in rows {
                    let (key, collection) = (row.binding.state_key.as_str(), &row.binding.collection);
                    printed
                        .object("binding", json!({ "binding": key, "collection": collection, "key": row.binding.key }));
                }
            }
            Entry::Schema { local, offset, version, schema_json } if offset >= printed.from => {
                printed.schema(name(local), offset, version, &schema_json);
            }
            Entry::Control { local, offset, control } if offset >= printed.from => {
                let (binding, collection) = name(local);
                printed.object(
                    "control",
                    json!({
                        "offset": offset, "binding": binding, "collection": collection, "control": control_word(control),
                    }),
                );
            }
            Entry::Letter { local, offset, letter } if offset >= printed.from => {
                printed.letter(name(local), offset, &letter);
            }
            Entry::Settled { local, offset, mark, letters } if offset >= printed.from => {
                let (binding, collection) = name(local);
                printed.object(
                    mark.word(),
                    json!({ "offset": offset, "binding": binding, "collection": collection, "positions": letters }),
                );
            }
            Entry::Resent { local, offset, resent } if offset >= printed.from => {
                printed.resent(name(local), offset, &resent);
            }
            Entry::Schema { .. }
            | Entry::Control { .. }
            | Entry::Letter { .. }
            | Entry::Settled { .. }
            | Entry::Resent { .. } => {}
            Entry::Commit(commit) if commit.end.offset >= printed.from => printed.object(
                "commit",
                json!({
                    "transaction": commit.transaction, "epoch": commit.epoch.0, "documents": commit.documents,
                    "end_offset": commit.end.offset, "chain": format!("{:08x}", commit.end.chain_crc),
                }),
            ),
            Entry::Commit(_) => {}
        }
    }
    Ok(())
}

fn control_word(control: Control) -> &'static str {
    match control {
        Control::BackfillBegin => "backfill_begin",
        Control::BackfillComplete => "backfill_complete",
        Control::Truncated => "truncated",
    }
}

/// A document with what the journal knows of it; its own bytes stay as they are.
#[derive(Serialize)]
struct DocumentLine<'a> {
    r#type: &'static str,
    offset: u64,
    binding: &'a str,
    collection: &'a str,
    document: &'a RawValue,
}

#[derive(Serialize)]
struct SchemaLine<'a> {
    r#type: &'static str,
    offset: u64,
    binding: &'a str,
    collection: &'a str,
    version: u64,
    schema: &'a RawValue,
}

#[derive(Serialize)]
struct LetterLine<'a> {
    r#type: &'static str,
    offset: u64,
    binding: &'a str,
    collection: &'a str,
    code: &'a str,
    reason: &'a str,
    document: &'a RawValue,
}

#[derive(Serialize)]
struct ResentLine<'a> {
    r#type: &'static str,
    offset: u64,
    binding: &'a str,
    collection: &'a str,
    /// For whom alone.
    task: &'a str,
    to: &'a str,
    /// Where it stood before.
    position: u64,
    document: &'a RawValue,
}

/// What goes to standard output, a good piece at a time.
struct Printed<'a> {
    output: &'a Output,
    text: String,
    from: u64,
    left: u64,
}

impl Printed<'_> {
    fn documents(&mut self, (binding, collection): (&str, &str), first_offset: u64, documents: &Batch) {
        for (offset, document) in (first_offset..).zip(documents.documents()) {
            if offset < self.from || self.left == 0 {
                continue;
            }
            self.left -= 1;
            // Between tokens a newline is as good as a space, and elsewhere JSON has none: one document, one line.
            let text = String::from_utf8_lossy(document).replace('\n', " ");
            if self.output.json() {
                // Whatever got into the journal was checked to be JSON.
                if let Ok(document) = serde_json::from_str::<&RawValue>(&text) {
                    self.line(&DocumentLine { r#type: "document", offset, binding, collection, document });
                }
            } else {
                self.text.push_str(&text);
                self.text.push('\n');
            }
            if self.text.len() >= OUTPUT_BYTES {
                self.flush();
            }
        }
    }

    fn schema(&mut self, (binding, collection): (&str, &str), offset: u64, version: u64, schema_json: &[u8]) {
        let text = String::from_utf8_lossy(schema_json).replace('\n', " ");
        if let Ok(schema) = serde_json::from_str::<&RawValue>(&text) {
            self.line(&SchemaLine { r#type: "schema", offset, binding, collection, version, schema });
        }
    }

    /// Only with `--json`: it is no document of the collection.
    fn letter(&mut self, (binding, collection): (&str, &str), offset: u64, letter: &Letter) {
        let (code, reason) = (&letter.code, &letter.message);
        let document = &embedded(&letter.document);
        self.line(&LetterLine { r#type: "dead_letter", offset, binding, collection, code, reason, document });
    }

    /// Only with `--json`: it is for one materialization alone.
    fn resent(&mut self, (binding, collection): (&str, &str), offset: u64, resent: &Resent) {
        let Resent { task, binding: to, letter, document } = resent;
        let (to, position, document) = (to.as_str(), *letter, &*embedded(document));
        self.line(&ResentLine { r#type: "resent", offset, binding, collection, task, to, position, document });
    }

    fn line(&mut self, line: &impl Serialize) {
        if self.output.json()
            && let Ok(line) = serde_json::to_string(line)
        {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    fn object(&mut self, kind: &str, fields: Value) {
        self.flush();
        self.output.object(kind, fields);
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.output.documents(&self.text);
            self.text.clear();
        }
    }
}
