//! `longshore dlq list|show|replay|drop`: the documents that captures did not admit, or that a destination refused. Looking takes no lock;
//! replaying and dropping need the state directory for themselves, because they write the journal.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use longshore_proto::document::check_object;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::args::{Global, split_word, split_words};
use super::dlq_args::{DlqDropArgs, DlqListArgs, DlqReplayArgs, DlqSelectArgs, DlqShowArgs, DlqVerb};
use super::letters::Letters;
use super::look::{Look, no_state, no_such, place};
use super::output::{Failure, Output};
use super::view::{grouped, size};
use super::{catalogs, logs};
use crate::letters::Listed;
use crate::letters::settle::{Selection, Settled};
use crate::store::{Skip, StateDirectory, is_state_directory};
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
    for task in look.tasks_with_letters(task.as_deref())? {
        let mut letters = Letters::of(&look, &task)?;
        waiting += letters.listed().filter(|letter| letter.mark.is_none()).count() as u64;
        letters.retain(|letter| args.all || letter.mark.is_none());
        shown += letters.listed().count() as u64;
        if output.json() {
            lines(&letters, output)?;
        } else {
            letters.listed().for_each(|letter| text(&task, letter, output));
        }
    }
    let others = if args.all { format!(", {} of them wait", grouped(waiting)) } else { " wait".to_owned() };
    catalogs::note(format_args!("{} dead letters{others}", grouped(shown)), output);
    Ok(())
}

fn show(global: &Global, args: DlqShowArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let ([task, position], catalog) = split_words(args.words, ["TASK", "POSITION"])?;
    let look = Look::open(global, &catalog)?;
    look.tasks_with_letters(Some(&task))?;
    let mut letters = Letters::of(&look, &task)?;
    let offset: Option<u64> = position.parse().ok();
    letters.retain(|letter| Some(letter.offset) == offset);
    if letters.listed().next().is_none() {
        let message = format!("expected the position of a dead letter of {task}, got `{position}`");
        return Err(Failure::configuration(message).help(format!("`longshore dlq list {task}` tells them")));
    }
    if output.json() {
        return lines(&letters, output);
    }
    letters.each(|letter, document| {
        catalogs::note(format_args!("{}\n{}", heading(&task, letter), letter.message), output);
        match document {
            Some(document) => output.document(document),
            None => catalogs::note(format_args!("its document was trimmed from the journal"), output),
        }
    })
}

fn replay(global: &Global, args: DlqReplayArgs, output: &Output) -> Result<(), Failure> {
    logs::start(global, None);
    let ([task], path) = split_words(args.words, ["TASK"])?;
    let catalog = catalogs::load(&path, args.values.values(), output)?;
    let (state, whose) = owned(global, &path, &task)?;
    let selection = selection(args.select);
    let kept = |offset: u64, error: &longshore_proto::Error| {
        let (reason, code) = (&error.message, &error.code);
        output.object("kept", json!({ "task": task, "position": offset, "code": code, "reason": reason }));
        let help = if error.suggestion.is_empty() { String::new() } else { format!("; {}", error.suggestion) };
        output.line(format_args!("{task}  position {offset}  stays: {reason}{help}"));
    };
    let settled = match whose {
        Whose::Capture if args.force => {
            let message = format!("--force is for letters of materializations, {task} is a capture");
            return Err(
                Failure::configuration(message).help("leave it out: a replayed document comes after all others")
            );
        }
        Whose::Capture => {
            letters::replay(&catalog, &state, &task, &selection, &mut |offset, error| kept(offset, error))
        }
        Whose::Materialization => {
            let told = &mut |skip: &Skip, error: &longshore_proto::Error| kept(skip.at.offset, error);
            letters::replay_refused(&state, &task, &selection, args.force, told)
        }
    };
    say("replayed", &task, &selection, settled.map_err(|problem| catalogs::failure(problem, output))?, output)
}

fn drop_letters(global: &Global, args: DlqDropArgs, output: &Output) -> Result<(), Failure> {
    logs::start(global, None);
    let ([task], path) = split_words(args.words, ["TASK"])?;
    let selection = selection(args.select);
    if selection.bindings.is_empty() && selection.positions.is_empty() && !args.all {
        return Err(Failure::configuration(format!("which letters of {task} are to be dropped?"))
            .help("name them with --position or --binding, or say --all"));
    }
    let (state, whose) = owned(global, &path, &task)?;
    let settled = match whose {
        Whose::Capture => letters::drop_letters(&state, &task, &selection),
        Whose::Materialization => letters::drop_refused(&state, &task, &selection),
    };
    say("dropped", &task, &selection, settled.map_err(|problem| catalogs::failure(problem, output))?, output)
}

/// Whose letters they are: those of a capture lie in its journal, those of a materialization in the journals that it reads.
enum Whose {
    Capture,
    Materialization,
}

/// The state directory, for us alone; the task may have letters there.
fn owned(global: &Global, catalog: &Path, task: &str) -> Result<(StateDirectory, Whose), Failure> {
    let path = place(global, catalog);
    if !is_state_directory(&path) {
        return Err(no_state(&path));
    }
    let state = StateDirectory::open(&path, false).map_err(|error| {
        let failure = Failure::from(error);
        failure.help("a running `longshore run` writes the journal: end it with `longshore stop`, then do this again")
    })?;
    if letters::has_journal(&state, task) {
        return Ok((state, Whose::Capture));
    }
    let known = state.store().tasks()?;
    if known.iter().any(|known| known == task) {
        return Ok((state, Whose::Materialization));
    }
    Err(no_such("a task that has run", task, &known))
}

fn selection(args: DlqSelectArgs) -> Selection {
    Selection { bindings: args.binding.into_iter().collect(), positions: args.position.into_iter().collect() }
}

fn say(
    what: &str,
    task: &str,
    selection: &Selection,
    Settled { settled, kept }: Settled,
    output: &Output,
) -> Result<(), Failure> {
    if settled + kept == 0 && !(selection.bindings.is_empty() && selection.positions.is_empty()) {
        let message = format!("no dead letter of {task} that waits is at these positions and bindings");
        return Err(Failure::configuration(message).help(format!("`longshore dlq list {task}` tells what waits")));
    }
    output.object(what, json!({ "task": task, "letters": settled, "kept": kept }));
    let stay = if kept > 0 { format!(", {} stay letters", grouped(kept)) } else { String::new() };
    output.line(format_args!("{task}: {} letters {what}{stay}", grouped(settled)));
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

fn lines(letters: &Letters, output: &Output) -> Result<(), Failure> {
    letters.each(|listed, document| {
        let line = Line {
            r#type: "letter",
            task: letters.task(),
            position: listed.offset,
            binding: &listed.binding,
            collection: &listed.collection,
            state: state(listed),
            code: &listed.code,
            reason: &listed.message,
            bytes: listed.bytes,
            document: &document.map_or_else(|| RawValue::NULL.to_owned(), embedded),
            document_base64: document.filter(|d| std::str::from_utf8(d).is_err()).map(|d| BASE64.encode(d)),
        };
        if let Ok(line) = serde_json::to_string(&line) {
            output.documents(&format!("{line}\n"));
        }
    })
}

fn text(task: &str, letter: &Listed, output: &Output) {
    output.line(format_args!("{}  {}", heading(task, letter), letter.message));
}

fn heading(task: &str, letter: &Listed) -> String {
    let Listed { offset, binding, collection, bytes, .. } = letter;
    let state = if letter.mark.is_some() { format!("  {}", state(letter)) } else { String::new() };
    format!("{task}  position {offset}  {binding} -> {collection}  {}{state}", size(*bytes))
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
