//! `longshore verify`: brings a flow up to date, compares its destinations with their sources, and looks again at what was on its way. What is
//! compared, and what a difference means, is in [`crate::verify`]; both ends are asked in [`ends`], the journals
//! in [`journals`], and the outcome is told in [`tell`].

mod ends;
mod journals;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use indicatif::MultiProgress;
use longshore_proto::Error;
use longshore_proto::session::Binding;
use longshore_proto::verify::{Checksums, Hasher};

use super::args::{Global, RunArgs, Until, VerifyArgs, split_word};
use super::output::{Failure, Output};
use super::run::{self, Left, state_directory};
use super::{catalogs, logs};
use crate::catalog::Catalog;
use crate::store::{StateDirectory, StateLook};
use crate::supervise::{Problem, spec};
use crate::verify::compare::{self, Difference, Rows};
use crate::verify::explain::Because;
use crate::verify::subject::{Subject, is_named};

use ends::{Ends, Sums};
use journals::{JournalEnds, Journals};

/// Times that rows which were on their way are looked at again.
const ROUNDS: usize = 5;
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
        let mut open: Vec<&mut Comparison> = compared.iter_mut().filter(|one| !one.open.is_empty()).collect();
        if open.is_empty() {
            break;
        }
        let sources = state.rows_of_sources(&flow, &mut open).await?;
        let ends = state.journals().ends(&open)?;
        drop(state);
        let Some(now) = flow.caught_up().await? else { return stopped(output) };
        state = now;
        let destinations = state.rows_of_destinations(&flow, &open).await?;
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
        let args = RunArgs {
            until: Some(Until::CaughtUp),
            values: self.args.values.clone(),
            ..RunArgs::until_caught_up(&self.path)
        };
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
    /// Key ranges that are to be looked at row by row.
    open: BTreeSet<usize>,
    /// Key ranges that differ and are too many to be looked at.
    passed_over: BTreeSet<usize>,
    /// Times that rows were looked at.
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
                    comparison.pass_over();
                }
                (Err(why), _) | (_, Err(why)) => comparison.fault = Some(why),
            }
        }
        Ok(())
    }

    async fn rows_of_sources(
        &self,
        flow: &Flow<'_>,
        open: &mut [&mut Comparison],
    ) -> Result<Vec<Result<Sums, String>>, Failure> {
        let told = |one: &&mut Comparison| one.instead.is_none();
        let asked: Vec<_> = open.iter().filter(|one| told(one)).map(|one| (&one.subject, one.ranges())).collect();
        let told = Ends::new(self, flow).sources(&asked).await.map_err(|problem| flow.failure(problem))?;
        let mut told = told.into_iter();
        let mut all = Vec::with_capacity(open.len());
        for Comparison { subject, hasher, open, instead, .. } in open.iter_mut().map(|one| &mut **one) {
            all.push(match instead {
                Some(_) => self.journals().rows(subject, hasher, open)?.map(Sums::of_rows),
                None => told.next().unwrap_or_else(|| Err("its source told nothing".to_owned())),
            });
        }
        Ok(all)
    }

    async fn rows_of_destinations(
        &self,
        flow: &Flow<'_>,
        open: &[&mut Comparison],
    ) -> Result<Vec<Result<Sums, String>>, Failure> {
        let all: Vec<_> = open.iter().map(|one| (&one.subject, one.ranges())).collect();
        Ends::new(self, flow).destinations(&all).await.map_err(|problem| flow.failure(problem))
    }

    /// Compares the rows of a binding's open ranges, of which those of the source were read where journals ended at `since`.
    fn compare(
        &self,
        comparison: &mut Comparison,
        rows: (Result<Sums, String>, Result<Sums, String>),
        since: &JournalEnds,
    ) -> Result<(), Failure> {
        comparison.open.clear();
        comparison.rounds += 1;
        let hasher = &comparison.hasher;
        let keyed = |rows: Result<Sums, String>| {
            let rows = compare::by_key(hasher, rows?.rows()?);
            rows.map_err(|error| error.message.clone())
        };
        let (source, destination): (Rows, Rows) = match (keyed(rows.0), keyed(rows.1)) {
            (Ok(source), Ok(destination)) => (source, destination),
            (Err(why), _) | (_, Err(why)) => {
                comparison.fault = Some(why);
                return Ok(());
            }
        };
        let touched = self.journals().touched(&comparison.subject, since)?;
        let found = compare::compare(hasher, &source, &destination, touched.as_ref())?;
        comparison.open = found.undecided;
        comparison.differences.extend(found.differences.into_iter().map(|one| (one.key.clone(), (one, None))));
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
            passed_over: BTreeSet::new(),
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

    /// So many ranges stay open that their rows can be looked at.
    fn pass_over(&mut self) {
        let mut rows = 0;
        for range in std::mem::take(&mut self.open) {
            if rows < ROWS_MAX {
                rows += self.source.rows_in(range).max(self.destination.rows_in(range));
                self.open.insert(range);
            } else {
                self.passed_over.insert(range);
            }
        }
    }

    /// The open ranges, as they are asked for.
    fn ranges(&self) -> Vec<u32> {
        self.open.iter().filter_map(|range| u32::try_from(*range).ok()).collect()
    }
}
