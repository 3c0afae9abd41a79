//! `longshore journal readers|release`: who reads a journal and how far each is, and the word that one of them does not count any more.

use std::collections::BTreeSet;

use serde_json::json;

use super::args::{Global, JournalReleaseArgs, LookArgs, split_word, split_words};
use super::catalogs;
use super::look::{Look, no_state, no_such, place};
use super::output::{Failure, Output};
use super::view::grouped;
use crate::store::{Epoch, StateDirectory, TaskChanges, is_state_directory};
use crate::supervise::letters::has_journal;
use crate::supervise::readers::{Readers, Reading};

pub(super) fn readers(global: &Global, args: LookArgs, output: &Output) -> Result<(), Failure> {
    let (task, catalog) = split_word(args.words)?;
    let look = Look::open(global, &catalog)?;
    let captures = look.captures(None)?;
    let mut names = look.state().tasks()?;
    names.retain(|task| !captures.contains(task));
    let read = |task: &str| Ok((look.state().task(task)?.unwrap_or_default(), look.state().skips(task)?));
    let readers = Readers::of(look.state().installation().clone(), names, read)
        .map_err(|problem| catalogs::failure(problem, output))?;
    for capture in look.captures(task.as_deref())? {
        let Some(journal) = look.journal(&capture)? else { continue };
        let known = journal.known();
        let collections: BTreeSet<&str> = known.bindings.iter().map(|(_, row)| row.collection.as_str()).collect();
        let (begins, end) = (journal.begins_at(), journal.end().position.offset);
        output.line(format_args!("{capture}  from offset {} to {}", grouped(begins), grouped(end)));
        let readings = readers.readings(journal.id(), &collections);
        for reading in readings.map_err(|problem| catalogs::failure(problem, output))? {
            let Reading { task, place, collection, offset, released } = reading;
            let (binding, behind) = (place.binding.as_str(), end.saturating_sub(offset));
            output.object(
                "reader",
                json!({
                    "capture": capture, "task": task, "binding": binding, "collection": collection, "offset": offset,
                    "behind": behind, "released": released,
                }),
            );
            let held = if released { ", holds nothing back" } else { "" };
            let (offset, behind) = (grouped(offset), grouped(behind));
            output.line(format_args!("  {task}  {collection} -> {binding}  at {offset}, {behind} behind{held}"));
        }
    }
    Ok(())
}

pub(super) fn release(global: &Global, args: JournalReleaseArgs, output: &Output) -> Result<(), Failure> {
    let ([task], catalog) = split_words(args.words, ["TASK"])?;
    let path = place(global, &catalog);
    if !is_state_directory(&path) {
        return Err(no_state(&path));
    }
    let state = StateDirectory::open(&path, false).map_err(|error| {
        Failure::from(error)
            .help("a running `longshore run` trims by itself: end it with `longshore stop`, then do this again")
    })?;
    let store = state.store();
    let mut readers = store.tasks()?;
    readers.retain(|task| !has_journal(&state, task));
    if !readers.contains(&task) {
        return Err(no_such("a materialization that has run", &task, &readers));
    }
    let epoch = store.take_epoch(&task, Epoch(0))?;
    store.commit(&task, epoch, TaskChanges { released: Some(true), ..TaskChanges::default() })?;
    output.object("released", json!({ "task": task }));
    output.line(format_args!("{task} holds no journal back any more; the next run may trim what it has not read"));
    Ok(())
}
