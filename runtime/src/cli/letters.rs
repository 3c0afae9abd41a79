//! The letters of a task as people see them, wherever they lie: those of a capture in its journal, with an index in the task store; those of a
//! materialization in the task store, with their documents in the journals it reads.

use std::collections::{BTreeMap, BTreeSet};

use super::look::{Look, damaged};
use super::output::Failure;
use crate::journal::{Entry, Filter, Inspection, JournalError, Mark};
use crate::letters::{Listed, refused, scan};
use crate::materialize::checkpoint::Checkpoint;
use crate::store::Skip;

/// See the module.
pub(super) struct Letters {
    task: String,
    lie: Vec<Lie>,
}

/// The letters of one journal.
struct Lie {
    journal: Inspection,
    letters: Vec<Letter>,
}

struct Letter {
    listed: Listed,
    /// Of a materialization.
    skip: Option<Skip>,
}

impl Letters {
    pub(super) fn of(look: &Look, task: &str) -> Result<Self, Failure> {
        let lie = if look.has_journal(task)? { of_capture(look, task)? } else { of_materialization(look, task)? };
        Ok(Self { task: task.to_owned(), lie })
    }

    pub(super) fn task(&self) -> &str {
        &self.task
    }

    pub(super) fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.lie.iter().flat_map(|lie| &lie.letters).map(|letter| &letter.listed)
    }

    /// Keeps those that are wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Listed) -> bool) {
        self.lie.iter_mut().for_each(|lie| lie.letters.retain(|letter| wanted(&letter.listed)));
    }

    /// Each with its document; without, where that was trimmed since nobody waits for it any more.
    pub(super) fn each(&self, mut show: impl FnMut(&Listed, Option<&[u8]>)) -> Result<(), Failure> {
        for Lie { journal, letters } in &self.lie {
            let begins_at = journal.begins_at();
            let gone = letters.iter().map(|letter| &letter.listed).filter(|listed| listed.offset < begins_at);
            gone.for_each(|listed| show(listed, None));
            let letters: Vec<&Letter> = letters.iter().filter(|letter| letter.listed.offset >= begins_at).collect();
            let Some(first) = letters.iter().map(|letter| letter.listed.offset).min() else { continue };
            let skips: Vec<&Skip> = letters.iter().filter_map(|letter| letter.skip.as_ref()).collect();
            let filter = match skips.is_empty() {
                true => Filter::Letters,
                false => Filter::Collections(skips.iter().map(|skip| skip.collection.clone()).collect()),
            };
            let mut reader = journal.reader(filter);
            reader.seek(journal.start_before(first)).map_err(damaged)?;
            if skips.is_empty() {
                of_journal(&mut *reader, &letters, &mut show).map_err(damaged)?;
                continue;
            }
            refused::documents(&mut *reader, skips, |skip, _, document| {
                let found = letters.iter().find(|letter| letter.skip.as_ref() == Some(skip));
                found.into_iter().for_each(|letter| show(&letter.listed, Some(document)));
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn of_journal(
    reader: &mut dyn crate::journal::Reader,
    letters: &[&Letter],
    show: &mut impl FnMut(&Listed, Option<&[u8]>),
) -> Result<(), JournalError> {
    let mut left: BTreeMap<u64, &Listed> =
        letters.iter().map(|letter| (letter.listed.offset, &letter.listed)).collect();
    while !left.is_empty() {
        let Some(entry) = reader.next()? else { break };
        if let Entry::Letter { offset, letter, .. } = entry
            && let Some(listed) = left.remove(&offset)
        {
            show(listed, Some(&letter.document));
        }
    }
    Ok(())
}

/// As the index has them, and what came since.
fn of_capture(look: &Look, capture: &str) -> Result<Vec<Lie>, Failure> {
    let Some(journal) = look.journal(capture)? else { return Ok(Vec::new()) };
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
    let letters = letters.into_values().map(|listed| Letter { listed, skip: None }).collect();
    Ok(vec![Lie { journal, letters }])
}

/// Those that the committed checkpoint has passed. Whether they were replayed only the journal knows for sure.
fn of_materialization(look: &Look, task: &str) -> Result<Vec<Lie>, Failure> {
    let record = look.state().task(task)?.unwrap_or_default();
    let checkpoint = Checkpoint::of_record(&record, look.state().installation())?;
    let mut skips = look.state().skips(task)?;
    skips.retain(|skip| refused::is_letter(skip, &checkpoint));
    let mut journals = refused::by_journal(skips);
    let mut lie = Vec::new();
    for capture in look.captures(None)? {
        let Some(journal) = look.journal(&capture)? else { continue };
        let Some(skips) = journals.remove(&journal.id()) else { continue };
        let again = refused::resent(&mut *journal.reader(Filter::Letters), task).map_err(damaged)?;
        let letters = skips.into_iter().map(|skip| {
            let id = (skip.at.binding.clone(), skip.at.offset);
            let mark = refused::mark(&skip, &checkpoint).or_else(|| again.contains(&id).then_some(Mark::Replayed));
            Letter { listed: listed(&skip, mark), skip: Some(skip) }
        });
        let mut letters: Vec<Letter> = letters.collect();
        letters.sort_by_key(|letter| letter.listed.offset);
        lie.push(Lie { journal, letters });
    }
    Ok(lie)
}

fn listed(skip: &Skip, mark: Option<Mark>) -> Listed {
    Listed {
        offset: skip.at.offset,
        binding: skip.at.binding.as_str().to_owned(),
        collection: skip.collection.clone(),
        code: skip.code.clone(),
        message: skip.reason.clone(),
        bytes: skip.bytes,
        mark,
    }
}

impl Look {
    /// Tasks that may have letters, or the one asked for.
    ///
    /// # Errors
    /// The one asked for never ran.
    pub(super) fn tasks_with_letters(&self, only: Option<&str>) -> Result<Vec<String>, Failure> {
        let known: BTreeSet<String> = self.captures(None)?.into_iter().chain(self.state().tasks()?).collect();
        match only {
            None => Ok(known.into_iter().collect()),
            Some(only) if known.contains(only) => Ok(vec![only.to_owned()]),
            Some(only) => {
                let known: Vec<String> = known.into_iter().collect();
                Err(super::look::no_such("a task that has run", only, &known))
            }
        }
    }

    fn has_journal(&self, task: &str) -> Result<bool, Failure> {
        Ok(self.captures(None)?.iter().any(|capture| capture == task))
    }
}
