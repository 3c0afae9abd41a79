//! `longshore dlq list|show|replay|drop`: the documents that captures did not admit. Looking takes no lock; replaying and dropping need the
//! state directory for themselves, because they write the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use longshore_proto::document::check_object;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::args::{Global, split_word, split_words};
use super::dlq_args::{DlqDropArgs, DlqListArgs, DlqReplayArgs, DlqSelectArgs, DlqShowArgs, DlqVerb};
use super::journal::start;
use super::look::{Look, damaged, no_state, no_such, place};
use super::output::{Failure, Output};
use super::view::{grouped, size};
use super::{catalogs, logs};
use crate::journal::{Entry, Filter, Inspection, JournalError, Letter};
use crate::letters::settle::{Selection, Settled};
use crate::letters::{Listed, scan};
use crate::store::{StateDirectory, is_state_directory};
use crate::supervise::letters;

pub(super) fn dlq(global: &Global, verb: DlqVerb, output: &Output) -> Result<(), Failure> {
    match verb {
        DlqVerb::List(args) => list(global, args, output),
        DlqVerb::Show(args) => show(global, args, output),
        DlqVerb::Replay(args) => replay(global, args, output),
        DlqVerb::Drop(args) => drop_letters(global, args, output),
    }
}

fn list(global: &Global, args: DlqListArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let (task, catalog) = split_word(args.words)?;
    let look = Look::open(global, &catalog)?;
    let (mut shown, mut waiting) = (0, 0);
    for capture in look.captures(task.as_deref())? {
        let Some(journal) = look.journal(&capture)? else { continue };
        let mut letters = known(&look, &capture, &journal)?;
        waiting += letters.values().filter(|letter| letter.mark.is_none()).count() as u64;
        letters.retain(|_, letter| args.all || letter.mark.is_none());
        shown += letters.len() as u64;
        if output.json() {
            lines(&capture, &journal, &letters, output).map_err(damaged)?;
        } else {
            letters.values().for_each(|letter| text(&capture, letter, output));
        }
    }
    let others = if args.all { format!(", {} of them wait", grouped(waiting)) } else { " wait".to_owned() };
    catalogs::note(format_args!("{} dead letters{others}", grouped(shown)), output);
    Ok(())
}

fn show(global: &Global, args: DlqShowArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let ([capture, position], catalog) = split_words(args.words, ["TASK", "POSITION"])?;
    let look = Look::open(global, &catalog)?;
    look.captures(Some(&capture))?;
    let letters = match look.journal(&capture)? {
        Some(journal) => Some((known(&look, &capture, &journal)?, journal)),
        None => None,
    };
    let offset: Option<u64> = position.parse().ok();
    let found = letters.and_then(|(mut letters, journal)| {
        letters.retain(|at, _| Some(*at) == offset);
        (!letters.is_empty()).then_some((letters, journal))
    });
    let Some((letters, journal)) = found else {
        let message = format!("expected the position of a dead letter of {capture}, got `{position}`");
        return Err(Failure::configuration(message).help(format!("`longshore dlq list {capture}` tells them")));
    };
    if output.json() {
        return lines(&capture, &journal, &letters, output).map_err(damaged);
    }
    for letter in letters.values() {
        catalogs::note(format_args!("{}\n{}", heading(&capture, letter), letter.message), output);
    }
    each(&journal, &letters, |_, letter| {
        output.document(&letter.document);
    })
    .map_err(damaged)
}

fn replay(global: &Global, args: DlqReplayArgs, output: &Output) -> Result<(), Failure> {
    logs::start(global, None);
    let ([capture], path) = split_words(args.words, ["TASK"])?;
    let catalog = catalogs::load(&path, args.values.values(), output)?;
    let state = owned(global, &path, &capture)?;
    let selection = selection(args.select);
    let told = &mut |offset: u64, error: &longshore_proto::Error| {
        let (reason, code) = (&error.message, &error.code);
        output.object("kept", json!({ "task": capture, "position": offset, "code": code, "reason": reason }));
        output.line(format_args!("{capture}  position {offset}  stays: {reason}"));
    };
    let settled = letters::replay(&catalog, &state, &capture, &selection, told)
        .map_err(|problem| catalogs::failure(problem, output))?;
    say("replayed", &capture, &selection, settled, output)
}

fn drop_letters(global: &Global, args: DlqDropArgs, output: &Output) -> Result<(), Failure> {
    logs::start(global, None);
    let ([capture], path) = split_words(args.words, ["TASK"])?;
    let selection = selection(args.select);
    if selection.bindings.is_empty() && selection.positions.is_empty() && !args.all {
        return Err(Failure::configuration(format!("which letters of {capture} are to be dropped?"))
            .help("name them with --position or --binding, or say --all"));
    }
    let state = owned(global, &path, &capture)?;
    let settled =
        letters::drop_letters(&state, &capture, &selection).map_err(|problem| catalogs::failure(problem, output))?;
    say("dropped", &capture, &selection, settled, output)
}

/// The state directory, for us alone; the capture has a journal there.
fn owned(global: &Global, catalog: &Path, capture: &str) -> Result<StateDirectory, Failure> {
    let path = place(global, catalog);
    if !is_state_directory(&path) {
        return Err(no_state(&path));
    }
    let state = StateDirectory::open(&path, false).map_err(|error| {
        let failure = Failure::from(error);
        failure.help("a running `longshore run` writes the journal: end it with `longshore stop`, then do this again")
    })?;
    if !letters::has_journal(&state, capture) {
        return Err(no_such("a capture that has a journal", capture, &state.journals().map_err(damaged)?));
    }
    Ok(state)
}

fn selection(args: DlqSelectArgs) -> Selection {
    Selection { bindings: args.binding.into_iter().collect(), positions: args.position.into_iter().collect() }
}

fn say(
    what: &str,
    capture: &str,
    selection: &Selection,
    Settled { settled, kept }: Settled,
    output: &Output,
) -> Result<(), Failure> {
    if settled + kept == 0 && !(selection.bindings.is_empty() && selection.positions.is_empty()) {
        let message = format!("no dead letter of {capture} that waits is at these positions and bindings");
        return Err(Failure::configuration(message).help(format!("`longshore dlq list {capture}` tells what waits")));
    }
    output.object(what, json!({ "task": capture, "letters": settled, "kept": kept }));
    let stay = if kept > 0 { format!(", {} stay letters", grouped(kept)) } else { String::new() };
    output.line(format_args!("{capture}: {} letters {what}{stay}", grouped(settled)));
    Ok(())
}

/// All letters of a capture, by position: as the index has them, and what came since.
fn known(look: &Look, capture: &str, journal: &Inspection) -> Result<BTreeMap<u64, Listed>, Failure> {
    let make = || journal.reader(Filter::Letters);
    let index = look.state().letters(capture)?;
    let behind = scan::behind(make, journal.id(), index.as_ref().map(|(read_to, _)| *read_to)).map_err(damaged)?;
    let listed = match (&behind, index) {
        (Some(_), Some((_, listed))) => listed,
        _ => Vec::new(),
    };
    let mut letters: BTreeMap<u64, Listed> = listed.into_iter().map(|letter| (letter.offset, letter)).collect();
    let mut reader = behind.unwrap_or_else(make);
    scan::scan(&mut *reader, |page, _| {
        letters.extend(page.letters.into_iter().map(|letter| (letter.offset, letter)));
        for (offset, mark) in page.settled {
            if let Some(letter) = letters.get_mut(&offset) {
                letter.mark = Some(mark);
            }
        }
        Ok::<(), JournalError>(())
    })
    .map_err(damaged)?;
    Ok(letters)
}

/// Reads these letters with their documents.
fn each(
    journal: &Inspection,
    letters: &BTreeMap<u64, Listed>,
    mut show: impl FnMut(&Listed, &Letter),
) -> Result<(), JournalError> {
    let Some(first) = letters.keys().next() else { return Ok(()) };
    let mut left: BTreeSet<u64> = letters.keys().copied().collect();
    let mut reader = journal.reader(Filter::Letters);
    reader.seek(start(journal, *first)?)?;
    while !left.is_empty() {
        let Some(entry) = reader.next()? else { break };
        if let Entry::Letter { offset, letter, .. } = entry
            && left.remove(&offset)
            && let Some(listed) = letters.get(&offset)
        {
            show(listed, &letter);
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    r#type: &'static str,
    task: &'a str,
    position: u64,
    binding: &'a str,
    collection: &'a str,
    state: &'static str,
    code: &'a str,
    reason: &'a str,
    bytes: u64,
    document: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    document_base64: Option<String>,
}

fn lines(
    capture: &str,
    journal: &Inspection,
    letters: &BTreeMap<u64, Listed>,
    output: &Output,
) -> Result<(), JournalError> {
    each(journal, letters, |listed, letter| {
        let line = Line {
            r#type: "letter",
            task: capture,
            position: listed.offset,
            binding: &listed.binding,
            collection: &listed.collection,
            state: state(listed),
            code: &listed.code,
            reason: &listed.message,
            bytes: listed.bytes,
            document: &embedded(&letter.document),
            document_base64: std::str::from_utf8(&letter.document).is_err().then(|| BASE64.encode(&letter.document)),
        };
        if let Ok(line) = serde_json::to_string(&line) {
            output.documents(&format!("{line}\n"));
        }
    })
}

fn text(capture: &str, letter: &Listed, output: &Output) {
    output.line(format_args!("{}  {}", heading(capture, letter), letter.message));
}

fn heading(capture: &str, letter: &Listed) -> String {
    let Listed { offset, binding, collection, bytes, .. } = letter;
    let state = if letter.mark.is_some() { format!("  {}", state(letter)) } else { String::new() };
    format!("{capture}  position {offset}  {binding} -> {collection}  {}{state}", size(*bytes))
}

fn state(letter: &Listed) -> &'static str {
    letter.mark.map_or("waiting", crate::journal::Mark::word)
}

/// A letter's document in a line of JSON: itself where every reader would read it alike, else its bytes as text.
pub(super) fn embedded(document: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(document);
    let object = || {
        check_object(document).ok()?;
        // Between tokens a newline is as good as a space, and elsewhere JSON has none.
        RawValue::from_string(text.replace(['\n', '\r'], " ")).ok()
    };
    let quoted = || serde_json::to_string(&*text).ok().and_then(|text| RawValue::from_string(text).ok());
    object().or_else(quoted).unwrap_or_else(|| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::embedded;

    #[test]
    fn what_is_a_document_is_shown_as_one_and_all_else_as_text() {
        for (document, shown) in [
            (&br#"{"id":1e400}"#[..], r#""{\"id\":1e400}""#),
            (br#"{"id": 18446744073709551616}"#, r#"{"id": 18446744073709551616}"#),
            (b"{\"id\":\n1}", "{\"id\": 1}"),
            (br#"{"id":1,"id":2}"#, r#""{\"id\":1,\"id\":2}""#),
            (br#""text""#, r#""\"text\"""#),
            (b"\xff", "\"\u{fffd}\""),
            (b"", "\"\""),
        ] {
            assert_eq!(embedded(document).get(), shown);
        }
    }
}
