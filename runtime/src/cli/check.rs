//! `longshore check`: asks every connector whether what the user wrote will work, and whether it can go on from what was there before. Spec,
//! Discover and Validate; never Apply, never a session. State that is there is looked into; none is made.

use std::path::PathBuf;

use serde_json::json;

use super::args::{CheckArgs, Global, split_words};
use super::catalogs;
use super::logs;
use super::output::{Failure, Output};
use super::run::state_directory;
use super::visit::{Past, Visited};
use crate::catalog::{Catalog, Diagnostics};
use crate::connector::container::{self, Sandbox};
use crate::materialize::checkpoint::Checkpoint;
use crate::materialize::resume;
use crate::supervise::claims::Claims;
use crate::supervise::prepare::{self, Collections, Planned};
use crate::supervise::{Problem, known};

pub(super) async fn check(global: &Global, args: CheckArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let ([], path) = split_words(args.words, [])?;
    let catalog = catalogs::load(&path, output)?;
    let state = state_directory(global, &catalog.directory);
    container::sweep(None).await;
    let mut checking = Checking {
        catalog: &catalog,
        output,
        state,
        collections: Collections::new(),
        claims: Claims::default(),
        findings: catalog.warnings.clone(),
        errors: Vec::new(),
    };
    checking.captures().await;
    checking.materializations().await;
    checking.told()
}

struct Checking<'a> {
    catalog: &'a Catalog,
    output: &'a Output,
    /// Perhaps not there yet.
    state: PathBuf,
    /// What the captures that passed write: as their journals have it, widened by what is new.
    collections: Collections,
    /// What the materializations write, each alone.
    claims: Claims,
    findings: Diagnostics,
    /// Without a place in the catalog.
    errors: Vec<(String, Problem)>,
}

impl Checking<'_> {
    async fn captures(&mut self) {
        for task in &self.catalog.captures {
            let plan = Visited::capture(self.catalog, task)
                .ask(async |launched| {
                    let past = Past::of(&task.name, &self.state)?;
                    let client = launched.capture();
                    let before = known::collections(&past.known)?;
                    let plan = prepare::capture(self.catalog, task, &client, past.owner, &before).await?;
                    let state_keys = prepare::goes_on(&task.name, &plan.bindings, &past.record.remembered)?;
                    let will = known::after(&past.known, &plan.bindings, &state_keys)?;
                    Ok((plan, will, launched.sandbox().cloned()))
                })
                .await;
            match plan {
                Ok((plan, will, sandbox)) => {
                    self.passed(&task.name, "capture", &plan.spec.name, &plan.spec.version, &plan.bindings);
                    self.sandboxed(&task.name, sandbox.as_ref());
                    self.collections.extend(will);
                }
                Err(problem) => self.failed(&task.name, problem),
            }
        }
    }

    async fn materializations(&mut self) {
        for task in &self.catalog.materializations {
            // What a failed capture would write is not known; its own failure is told.
            let unknown = task.bindings.iter().find(|binding| !self.collections.contains_key(&binding.collection));
            if let Some(binding) = unknown {
                self.skipped(&task.name, &binding.collection);
                continue;
            }
            let plan = Visited::materialization(self.catalog, task)
                .ask(async |launched| {
                    let past = Past::of(&task.name, &self.state)?;
                    let client = launched.materialize();
                    let goes_on = |_: &str, _: &[String]| false;
                    let installation = past.owner.installation.clone();
                    let plan = prepare::materialization(
                        self.catalog,
                        task,
                        &client,
                        past.owner,
                        &self.collections,
                        goes_on,
                        &self.claims,
                    )
                    .await?;
                    let state_keys = prepare::goes_on(&task.name, &plan.bindings, &past.record.remembered)?;
                    let ours = Checkpoint::of_record(&past.record, &installation)?;
                    let has_delta = plan.bindings.iter().any(|binding| binding.delta_updates);
                    let recorded = plan.recorded.as_ref();
                    let bindings = (state_keys.as_slice(), has_delta);
                    resume::at_validate(&task.name, plan.spec.guarantee, &ours, recorded, bindings)?;
                    Ok((plan, launched.sandbox().cloned()))
                })
                .await;
            match plan {
                Ok((plan, sandbox)) => {
                    self.passed(&task.name, "materialization", &plan.spec.name, &plan.spec.version, &plan.bindings);
                    self.sandboxed(&task.name, sandbox.as_ref());
                }
                Err(problem) => self.failed(&task.name, problem),
            }
        }
    }

    fn passed(&self, task: &str, kind: &str, connector: &str, version: &str, bindings: &[Planned]) {
        let shown: Vec<_> = bindings
            .iter()
            .map(|one| json!({"collection": one.collection.name, "resource": one.resource_path, "key": one.collection.key}))
            .collect();
        let fields = json!({"task": task, "kind": kind, "ok": true, "connector": connector, "version": version, "bindings": shown});
        self.output.object("checked", fields);
        self.output.line(format_args!("ok      {kind} {task} ({connector} {version})"));
        for one in bindings {
            let key = one.collection.key.join(", ");
            self.output.line(format_args!(
                "          {}  {}  key [{key}]",
                one.resource_path.join("/"),
                one.collection.name
            ));
        }
    }

    /// What a container may do, for who lets somebody else's image run here.
    fn sandboxed(&self, task: &str, sandbox: Option<&Sandbox>) {
        let Some(sandbox) = sandbox else { return };
        self.output.object("sandbox", json!({"task": task, "sandbox": sandbox}));
        for line in sandbox.lines() {
            self.output.line(format_args!("          {line}"));
        }
    }

    fn failed(&mut self, task: &str, problem: Problem) {
        self.output.object("checked", json!({"task": task, "ok": false}));
        self.output.line(format_args!("FAILED  {task}"));
        match problem {
            Problem::Catalog(diagnostics) => self.findings = self.findings.clone().and(diagnostics),
            Problem::Error(_) => self.errors.push((task.to_owned(), problem)),
        }
    }

    fn skipped(&self, task: &str, collection: &str) {
        let why = format!("the capture that writes {collection} did not pass");
        self.output.object("checked", json!({"task": task, "ok": false, "skipped": why}));
        self.output.line(format_args!("skipped {task}: {why}"));
    }

    /// Everything that was found, together and in the order of the file.
    fn told(self) -> Result<(), Failure> {
        catalogs::show_findings(&self.findings, self.output);
        for (task, problem) in &self.errors {
            catalogs::show(task, problem, self.output);
        }
        // What the user can change comes first, then what is broken, then what cannot be reached.
        let codes = self
            .errors
            .iter()
            .map(|(_, problem)| catalogs::exit_code(problem))
            .chain(self.findings.has_errors().then_some(2));
        let code = codes.min_by_key(|code| [2, 1, 3].iter().position(|one| one == code));
        let tasks = self.catalog.captures.len() + self.catalog.materializations.len();
        self.output
            .object("summary", json!({"ok": code.is_none(), "tasks": tasks, "findings": self.findings.iter().count()}));
        match code {
            None => {
                self.output.line(format_args!(
                    "{} is ready: {tasks} {} checked, nothing was changed",
                    self.catalog.path.display(),
                    if tasks == 1 { "task" } else { "tasks" }
                ));
                Ok(())
            }
            Some(code) => Err(Failure::with_exit(code).already_told()),
        }
    }
}
