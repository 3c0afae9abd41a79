//! `longshore verify`: brings a flow up to date, compares its destinations with their sources, and looks again at what was on its way. What is
//! compared, and what a difference means, is in [`crate::verify`]; both ends are asked in [`ends`], the journals in [`journals`], and the outcome
//! is told in [`tell`].

mod ends;
mod journals;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use indicatif::MultiProgress;
use longshore_proto::Error;
use longshore_proto::session::Binding;
use longshore_proto::verify::{Checksums, Hasher, range_of};

use super::args::{Global, RunArgs, VerifyArgs, split_word};
use super::output::{Failure, Output};
use super::run::{self, Left, state_directory};
use super::{catalogs, logs};
use crate::catalog::Catalog;
use crate::store::{StateDirectory, StateLook};
use crate::supervise::{Problem, spec};
use crate::verify::compare::{self, Difference, Keys};
use crate::verify::explain::Because;
use crate::verify::subject::{Subject, is_named};

use ends::{Ends, Sums};
use journals::{JournalEnds, Journals};

/// Times that what differs is looked at again, as it may have been on its way.
const ROUNDS: usize = 6;
/// Rows of the ranges that are looked at one by one, of a binding in one round, about.
const ROWS_MAX: u64 = 10_000;

pub(super) async fn verify(global: &Global, args: VerifyArgs, output: &Output) -> Result<(), Failure> {
    let view = output.watched().then(MultiProgress::new);
    logs::start_calmly_above(global, view.clone());
    let (name, path) = split_word(args.words.clone())?;
    let flow = Flow { global, args: &args, output, view, path };
    let Some(mut state) = flow.caught_up().await? else { return stopped(output) };
    let (mut compared, not_compared) = state.subjects(name.as_deref())?;
    state.sums(&flow, &mut compared).await?;
    for _ in 0..ROUNDS {
        let mut open: Vec<&mut Comparison> = compared.iter_mut().filter(|one| one.is_open()).collect();
        if open.is_empty() {
            break;
        }
        open.iter_mut().for_each(|one| one.begin_round());
        let sources = state.sources(&flow, &mut open).await?;
        let ends = state.journals().ends(&open)?;
        drop(state);
        let Some(now) = flow.caught_up().await? else { return stopped(output) };
        state = now;
        let destinations = state.destinations(&flow, &open).await?;
        for ((comparison, source), destination) in open.iter_mut().zip(sources).zip(destinations) {
            state.compare(comparison, (source, destination), &ends)?;
        }
    }
    for comparison in &mut compared {
        state.journals().explain(comparison, args.limit)?;
    }
    tell::tell(&compared, &not_compared, args.limit, output)
}

/// Nothing can be said of what was not compared.
fn stopped(output: &Output) -> Result<(), Failure> {
    output.line("stopped before all was compared");
    Err(Failure::with_exit(1).already_told())
}

/// What is verified, and how the user asked for it.
struct Flow<'a> {
    global: &'a Global,
    args: &'a VerifyArgs,
    output: &'a Output,
    view: Option<MultiProgress>,
    path: PathBuf,
}

impl Flow<'_> {
    /// Runs it until it is caught up, and holds its state from then on; `None`: somebody stopped it.
    async fn caught_up(&self) -> Result<Option<State>, Failure> {
        let args = RunArgs { values: self.args.values.clone(), ..RunArgs::until_caught_up(&self.path) };
        // The future of a run is large.
        match Box::pin(run::untold(self.global, args, self.output, self.view.clone())).await? {
            Left::Done => {}
            Left::Stopped => return Ok(None),
        }
        let catalog = catalogs::load(&self.path, self.args.values.values(), self.output)?;
        let path = state_directory(self.global, &catalog.directory);
        let held = StateDirectory::open(&path, false)?;
        let look = StateLook::open(&path)?.ok_or_else(|| super::look::no_state(&path))?;
        Ok(Some(State { catalog, look, _held: held }))
    }

    fn failure(&self, problem: Problem) -> Failure {
        catalogs::failure(problem, self.output)
    }
}

/// A binding that is compared.
struct Comparison {
    subject: Subject,
    hasher: Hasher,
    source: Checksums,
    destination: Checksums,
    /// Key ranges that may differ: their rows may have been on their way.
    open: BTreeSet<usize>,
    /// Key ranges that differ, and whose rows are still to be looked at.
    differing: BTreeSet<usize>,
    /// Key ranges that differ and are too many to be looked at.
    passed_over: BTreeSet<usize>,
    /// Those whose rows are looked at in this round; none: the checksums of all are.
    looked_at: BTreeSet<usize>,
    /// So many there were.
    rounds: usize,
    differences: BTreeMap<Vec<u8>, (Difference, Option<Because>)>,
    /// Why the source cannot tell what it has, so that the journal stands for it.
    instead: Option<String>,
    /// Why the rest could not be compared.
    fault: Option<String>,
}

/// A binding that is not compared, and why.
struct NotCompared {
    task: String,
    collection: String,
    why: String,
}

/// A flow that is caught up. Nobody else runs it as long as this is there.
struct State {
    catalog: Catalog,
    look: StateLook,
    _held: StateDirectory,
}

impl State {
    /// The bindings that can be compared, and those that cannot; of those that are named, if any is.
    fn subjects(&self, name: Option<&str>) -> Result<(Vec<Comparison>, Vec<NotCompared>), Failure> {
        let captures = self.catalog.captures.iter().map(|task| Ok((task.name.clone(), self.bindings(&task.name)?)));
        let captures: Vec<(String, Vec<Binding>)> = captures.collect::<Result<_, Failure>>()?;
        let (mut compared, mut not_compared) = (Vec::new(), Vec::new());
        for task in &self.catalog.materializations {
            for binding in self.bindings(&task.name)? {
                if name.is_some_and(|name| !is_named(&task.name, &binding, name)) {
                    continue;
                }
                match Subject::new(&task.name, &binding, &captures) {
                    Ok(subject) => compared.push(Comparison::new(subject)?),
                    Err(why) => not_compared.push(NotCompared {
                        task: task.name.clone(),
                        collection: binding.collection.name.clone(),
                        why,
                    }),
                }
            }
        }
        match name.filter(|_| compared.is_empty() && not_compared.is_empty()) {
            None => Ok((compared, not_compared)),
            Some(name) => {
                let tasks: Vec<&str> = self.catalog.materializations.iter().map(|task| task.name.as_str()).collect();
                let message = format!("expected a materialization or one of its bindings, got `{name}`");
                Err(Failure::configuration(message).help(format!("its materializations are: {}", tasks.join(", "))))
            }
        }
    }

    /// As they were applied last.
    fn bindings(&self, task: &str) -> Result<Vec<Binding>, Failure> {
        let record = self.look.task(task)?;
        Ok(spec::parse(record.and_then(|record| record.spec).as_ref())?)
    }

    fn journals(&self) -> Journals<'_> {
        Journals(&self.look)
    }

    async fn sums(&self, flow: &Flow<'_>, compared: &mut [Comparison]) -> Result<(), Failure> {
        let all: Vec<(&Subject, Vec<u32>)> = compared.iter().map(|one| (&one.subject, Vec::new())).collect();
        let ends = Ends::new(self, flow);
        let (sources, destinations) = tokio::join!(ends.sources(&all), ends.destinations(&all));
        let sums = sources.and_then(|sources| Ok((sources, destinations?))).map_err(|problem| flow.failure(problem))?;
        for ((comparison, source), destination) in compared.iter_mut().zip(sums.0).zip(sums.1) {
            let source = match source.and_then(Sums::checksums) {
                Ok(source) => Ok(source),
                Err(why) => comparison.by_the_journal(self.journals(), why)?,
            };
            match (source, destination.and_then(Sums::checksums)) {
                (Ok(source), Ok(destination)) => {
                    comparison.open = source.differing(&destination).collect();
                    (comparison.source, comparison.destination) = (source, destination);
                }
                (Err(why), _) | (_, Err(why)) => comparison.fault = Some(why),
            }
        }
        Ok(())
    }

    /// What the sources, or the journals in their place, have of what is looked at in this round.
    async fn sources(
        &self,
        flow: &Flow<'_>,
        open: &mut [&mut Comparison],
    ) -> Result<Vec<Result<Sums, String>>, Failure> {
        let tell = open.iter().filter(|one| one.instead.is_none());
        let asked: Vec<_> = tell.map(|one| (&one.subject, one.asked_ranges())).collect();
        let told = Ends::new(self, flow).sources(&asked).await.map_err(|problem| flow.failure(problem))?;
        let mut told = told.into_iter();
        let mut all = Vec::with_capacity(open.len());
        for Comparison { subject, hasher, looked_at, instead, .. } in open.iter_mut().map(|one| &mut **one) {
            let journals = self.journals();
            all.push(match instead {
                None => told.next().unwrap_or_else(|| Err("its source told nothing".to_owned())),
                Some(_) if looked_at.is_empty() => journals.checksums(subject, hasher)?.map(Sums::of_checksums),
                Some(_) => journals.rows(subject, hasher, looked_at)?.map(Sums::of_rows),
            });
        }
        Ok(all)
    }

    /// The same of the destinations.
    async fn destinations(
        &self,
        flow: &Flow<'_>,
        open: &[&mut Comparison],
    ) -> Result<Vec<Result<Sums, String>>, Failure> {
        let all: Vec<_> = open.iter().map(|one| (&one.subject, one.asked_ranges())).collect();
        Ends::new(self, flow).destinations(&all).await.map_err(|problem| flow.failure(problem))
    }

    /// Compares what was told in a round, by the source where journals ended at `since`.
    fn compare(
        &self,
        comparison: &mut Comparison,
        told: (Result<Sums, String>, Result<Sums, String>),
        since: &JournalEnds,
    ) -> Result<(), Failure> {
        let touched = self.journals().touched(&comparison.subject, since)?;
        let is_of_rows = !comparison.looked_at.is_empty();
        let compared = match (told, is_of_rows) {
            ((Ok(source), Ok(destination)), true) => comparison.compare_rows(source, destination, touched.as_ref()),
            ((Ok(source), Ok(destination)), false) => comparison.compare_sums(source, destination, touched.as_ref()),
            ((Err(why), _) | (_, Err(why)), _) => Err(why),
        };
        comparison.fault = compared.err();
        Ok(())
    }
}

impl Comparison {
    fn new(subject: Subject) -> Result<Self, Error> {
        let hasher = Hasher::new(&subject.destination.collection.key, &subject.values)?;
        Ok(Self {
            subject,
            hasher,
            source: Checksums::default(),
            destination: Checksums::default(),
            open: BTreeSet::new(),
            differing: BTreeSet::new(),
            passed_over: BTreeSet::new(),
            looked_at: BTreeSet::new(),
            rounds: 0,
            differences: BTreeMap::new(),
            instead: None,
            fault: None,
        })
    }

    /// The journal stands for a source that cannot tell what it has. The inner error is why that cannot be, too.
    fn by_the_journal(&mut self, journals: Journals<'_>, why: String) -> Result<Result<Checksums, String>, Failure> {
        self.subject.compares_documents();
        self.hasher = Hasher::new(&self.subject.destination.collection.key, &self.subject.values)?;
        let sums = journals.checksums(&self.subject, &mut self.hasher)?.map_err(|also| format!("{why}; {also}"));
        self.instead = sums.is_ok().then_some(why);
        Ok(sums)
    }

    /// There is something to be looked at.
    fn is_open(&self) -> bool {
        self.fault.is_none() && !(self.open.is_empty() && self.differing.is_empty())
    }

    /// Rows are looked at where they are few enough, of what differs for sure first; else the checksums once more.
    fn begin_round(&mut self) {
        self.rounds += 1;
        let rows = |of: &BTreeSet<usize>| -> u64 { of.iter().map(|range| self.rows_in(*range)).sum() };
        let few = |of: &BTreeSet<usize>| rows(of) <= ROWS_MAX || of.len() == 1;
        let looked_at = if few(&self.open) { self.open.clone() } else { BTreeSet::new() };
        self.looked_at = if self.differing.is_empty() { looked_at } else { std::mem::take(&mut self.differing) };
    }

    fn rows_in(&self, range: usize) -> u64 {
        self.source.rows_in(range).max(self.destination.rows_in(range))
    }

    /// The ranges of this round, as they are asked for.
    fn asked_ranges(&self) -> Vec<u32> {
        self.looked_at.iter().filter_map(|range| u32::try_from(*range).ok()).collect()
    }

    /// Where nothing was on its way, an open range differs for good. What was found out about the others stays.
    fn compare_sums(&mut self, source: Sums, destination: Sums, touched: Option<&Keys>) -> Result<(), String> {
        let (source, destination) = (source.checksums()?, destination.checksums()?);
        let touched: Option<BTreeSet<usize>> = touched.map(|keys| keys.iter().map(|key| range_of(key)).collect());
        let (open, sure): (BTreeSet<usize>, BTreeSet<usize>) = source
            .differing(&destination)
            .filter(|range| self.open.contains(range))
            .partition(|range| touched.as_ref().is_none_or(|touched| touched.contains(range)));
        (self.source, self.destination, self.open) = (source, destination, open);
        let mut rows = 0;
        for range in sure {
            if rows < ROWS_MAX { &mut self.differing } else { &mut self.passed_over }.insert(range);
            rows += self.rows_in(range);
        }
        Ok(())
    }

    fn compare_rows(&mut self, source: Sums, destination: Sums, touched: Option<&Keys>) -> Result<(), String> {
        let said = |error: Error| error.message.clone();
        let source = compare::by_key(&self.hasher, source.rows()?).map_err(said)?;
        let destination = compare::by_key(&self.hasher, destination.rows()?).map_err(said)?;
        let found = compare::compare(&self.hasher, &source, &destination, touched).map_err(said)?;
        let looked_at = std::mem::take(&mut self.looked_at);
        self.open.retain(|range| !looked_at.contains(range));
        self.open.extend(found.undecided);
        self.differences.extend(found.differences.into_iter().map(|one| (one.key.clone(), (one, None))));
        Ok(())
    }
}
