//! Asks the connectors of both ends, each started once for all that it is asked.

use bytes::Bytes;
use longshore_proto::session::{Binding, Owner, Progress};
use longshore_proto::verify::{Checksums, Verify};
use longshore_proto::{Error, ErrorKind};

use super::super::view::grouped;
use super::super::visit::Visited;
use super::{Flow, State};
use crate::catalog::{CaptureTask, MaterializationTask, Node};
use crate::connector::{Launched, Verified};
use crate::supervise::Problem;
use crate::verify::subject::Subject;

/// What one end told of a subject.
pub(super) struct Sums(Vec<Verified>);

impl Sums {
    /// Of one place.
    pub(super) fn of_checksums(checksums: Checksums) -> Self {
        Self(vec![Verified::Checksums(Box::new(checksums))])
    }

    /// Rows of one place.
    pub(super) fn of_rows(rows: Vec<Bytes>) -> Self {
        Self(vec![Verified::Rows(rows)])
    }

    /// Of all places it has rows in.
    pub(super) fn checksums(self) -> Result<Checksums, String> {
        self.0.into_iter().try_fold(Checksums::default(), |mut all, told| match told {
            Verified::Checksums(sums) => {
                all += &sums;
                Ok(all)
            }
            Verified::Rows(_) => Err("rows were told where checksums were asked for".to_owned()),
        })
    }

    /// The same, row by row.
    pub(super) fn rows(self) -> Result<Vec<Bytes>, String> {
        self.0.into_iter().try_fold(Vec::new(), |mut all, told| match told {
            Verified::Rows(rows) => {
                all.extend(rows);
                Ok(all)
            }
            Verified::Checksums(_) => Err("checksums were told where rows were asked for".to_owned()),
        })
    }
}

/// A subject, and the key ranges whose rows are asked for; empty: checksums of all.
type Asked<'s> = (&'s Subject, Vec<u32>);

/// Who is asked.
pub(super) struct Ends<'a> {
    state: &'a State,
    flow: &'a Flow<'a>,
}

impl<'a> Ends<'a> {
    pub(super) fn new(state: &'a State, flow: &'a Flow<'a>) -> Self {
        Self { state, flow }
    }

    /// What the sources have, of each subject in order; the inner error is why it cannot be compared.
    pub(super) async fn sources(&self, asked: &[Asked<'_>]) -> Result<Vec<Result<Sums, String>>, Problem> {
        let mut told: Vec<Result<Sums, String>> = asked.iter().map(|_| Ok(Sums(Vec::new()))).collect();
        for task in &self.state.catalog.captures {
            let of_task = |subject: &Subject| subject.sources.iter().any(|(capture, _)| *capture == task.name);
            if !asked.iter().any(|(subject, _)| of_task(subject)) {
                continue;
            }
            let visited = Visited::capture(&self.state.catalog, task);
            visited.ask(async |connector| self.of_capture(task, connector, asked, &mut told).await).await?;
        }
        Ok(told)
    }

    async fn of_capture(
        &self,
        task: &CaptureTask,
        connector: &Launched,
        asked: &[Asked<'_>],
        told: &mut [Result<Sums, String>],
    ) -> Result<(), Problem> {
        let client = connector.capture();
        let spec = client.spec().await?;
        let config = self.config(&task.name, &task.config, &spec.config_schema_json)?;
        let cannot = (!spec.verifies).then(|| format!("{} cannot tell what is in its source", spec.name));
        for ((subject, ranges), told) in asked.iter().zip(told) {
            for (_, binding) in subject.sources.iter().filter(|(capture, _)| *capture == task.name) {
                let question = self.question(&task.name, &config, binding, subject, ranges);
                let tell = |progress: &Progress| self.tell(&task.name, subject, progress);
                add(told, cannot.as_ref(), client.verify(question, tell)).await?;
            }
        }
        Ok(())
    }

    /// The same of the destinations.
    pub(super) async fn destinations(&self, asked: &[Asked<'_>]) -> Result<Vec<Result<Sums, String>>, Problem> {
        let mut told: Vec<Result<Sums, String>> = asked.iter().map(|_| Ok(Sums(Vec::new()))).collect();
        for task in &self.state.catalog.materializations {
            if !asked.iter().any(|(subject, _)| subject.task == task.name) {
                continue;
            }
            let visited = Visited::materialization(&self.state.catalog, task);
            visited.ask(async |connector| self.of_materialization(task, connector, asked, &mut told).await).await?;
        }
        Ok(told)
    }

    async fn of_materialization(
        &self,
        task: &MaterializationTask,
        connector: &Launched,
        asked: &[Asked<'_>],
        told: &mut [Result<Sums, String>],
    ) -> Result<(), Problem> {
        let client = connector.materialize();
        let spec = client.spec().await?;
        let config = self.config(&task.name, &task.config, &spec.config_schema_json)?;
        let cannot = (!spec.verifies).then(|| format!("{} cannot tell what is in its destination", spec.name));
        for ((subject, ranges), told) in asked.iter().zip(told).filter(|((subject, _), _)| subject.task == task.name) {
            let question = self.question(&task.name, &config, &subject.destination, subject, ranges);
            let tell = |progress: &Progress| self.tell(&task.name, subject, progress);
            add(told, cannot.as_ref(), client.verify(question, tell)).await?;
        }
        Ok(())
    }

    /// As the connector gets it.
    fn config(&self, task: &str, config: &Node, schema: &[u8]) -> Result<Bytes, Problem> {
        Ok(self.state.catalog.typed(config, schema, &format!("the config of {task}"))?.json)
    }

    fn question(&self, task: &str, config: &Bytes, binding: &Binding, subject: &Subject, ranges: &[u32]) -> Verify {
        let installation = self.state.look.installation().clone();
        Verify {
            owner: Owner { task: task.to_owned(), installation, epoch: 0 },
            config_json: config.clone(),
            binding: binding.clone(),
            values: subject.values.clone(),
            ranges: ranges.to_vec(),
        }
    }

    /// To whoever waits.
    fn tell(&self, task: &str, subject: &Subject, progress: &Progress) {
        let rows = progress.parts.first().map_or(0, |part| part.rows);
        if self.flow.output.watched() {
            let line = format!("verify: {task} reads {}: {} rows", subject.collection(), grouped(rows));
            match &self.flow.view {
                Some(view) => drop(view.println(line)),
                None => self.flow.output.to_stderr(&format!("{line}\n")),
            }
        }
    }
}

/// Asks, unless the connector `cannot` answer. What it finds wrong with one binding says nothing of the others.
async fn add(
    told: &mut Result<Sums, String>,
    cannot: Option<&String>,
    answer: impl Future<Output = Result<Verified, Error>>,
) -> Result<(), Problem> {
    let Ok(Sums(all)) = told else { return Ok(()) };
    if let Some(why) = cannot {
        *told = Err(why.clone());
        return Ok(());
    }
    match answer.await {
        Ok(answer) => all.push(answer),
        Err(error) if matches!(error.kind, ErrorKind::Config | ErrorKind::Data) => {
            *told = Err(match error.suggestion.as_str() {
                "" => error.message.clone(),
                suggestion => format!("{} ({suggestion})", error.message),
            });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
