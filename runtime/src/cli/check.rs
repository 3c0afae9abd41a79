//! `longshore check`: asks every connector whether what the user wrote will work, and whether it can go on from what was there before. Spec,
//! Discover and Validate; never Apply, never a session. State that is there is looked into; none is made.

use std::path::PathBuf;

use longshore_proto::Error;
use serde_json::json;

use super::args::{CheckArgs, Global, split_words};
use super::catalogs;
use super::logs;
use super::output::{Failure, Output};
use super::run::state_directory;
use super::visit::{Past, Visited};
use crate::catalog::{CaptureTask, Catalog, Code, Diagnostics};
use crate::connector::container::{self, Sandbox};
use crate::connector::{Launched, Part, Way};
use crate::materialize::checkpoint::Checkpoint;
use crate::materialize::resume;
use crate::selection;
use crate::supervise::claims::Claims;
use crate::supervise::prepare::{self, Asking, Collections, Planned};
use crate::supervise::{Problem, known, spec};

pub(super) async fn check(global: &Global, args: CheckArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let ([], path) = split_words(args.words, [])?;
    let catalog = catalogs::load(&path, args.identity.values(), output)?;
    of(global, &catalog, output).await
}

/// The same for a catalog that is read already.
pub(super) async fn of(global: &Global, catalog: &Catalog, output: &Output) -> Result<(), Failure> {
    let state = state_directory(global, &catalog.directory);
    container::sweep(None).await;
    let mut checking = Checking {
        catalog,
        output,
        state,
        collections: Collections::new(),
        claims: Claims::default(),
        findings: catalog.warnings.clone(),
        errors: Vec::new(),
        not_asked: Vec::new(),
    };
    checking.captures().await;
    checking.materializations().await;
    checking.told()
}

/// What holds a connector.
enum Held {
    Container(Sandbox),
    Process(Vec<Part>),
    /// Nobody here knows.
    Elsewhere,
}

impl Held {
    fn of(launched: &Launched) -> Self {
        let runs = launched.runs();
        match (launched.sandbox(), runs.way) {
            (Some(sandbox), _) => Self::Container(sandbox.clone()),
            (None, Way::Process { .. }) => Self::Process(runs.sandbox),
            (None, Way::Container { .. } | Way::Address { .. }) => Self::Elsewhere,
        }
    }
}

/// A binding as `--json` prints it.
fn shown(one: &Planned, keeps_fields: bool) -> serde_json::Value {
    let mut shown =
        json!({"collection": one.collection.name, "resource": one.resource_path, "key": one.collection.key});
    if keeps_fields {
        let fields = one.selection.fields.iter();
        shown["fields"] = fields.map(|field| json!({"pointer": field.pointer, "name": field.name})).collect();
        shown["document"] = json!(one.selection.document);
    }
    shown
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
    /// Tasks that cannot be asked without running a command, and those that read what these write.
    not_asked: Vec<String>,
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
                    Ok((plan, will, Held::of(launched)))
                })
                .await;
            match plan {
                Ok((plan, will, held)) => {
                    self.passed(&task.name, "capture", &plan.spec.name, &plan.spec.version, &plan.bindings);
                    self.held(&task.name, &held);
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
                self.skipped(&task.name, &format!("the capture that writes {} did not pass", binding.collection));
                if self.writer_was_not_asked(&binding.collection) {
                    self.not_asked.push(task.name.clone());
                }
                continue;
            }
            let plan = Visited::materialization(self.catalog, task)
                .ask(async |launched| {
                    let past = Past::of(&task.name, &self.state)?;
                    let client = launched.materialize();
                    let installation = past.owner.installation.clone();
                    let ours = Checkpoint::of_record(&past.record, &installation)?;
                    let asking = Asking {
                        owner: past.owner,
                        ours: &ours,
                        collections: &self.collections,
                        before: &spec::of_materialization(past.record.spec.as_ref())?,
                        starts_over: &|_, _| false,
                        claims: &self.claims,
                    };
                    let plan = prepare::materialization(self.catalog, task, &client, asking).await?;
                    let state_keys = prepare::goes_on(&task.name, &plan.bindings, &past.record.remembered)?;
                    let has_delta = plan.bindings.iter().any(|binding| binding.delta_updates);
                    let recorded = plan.recorded.as_ref();
                    let bindings = (state_keys.as_slice(), has_delta);
                    resume::at_validate(&task.name, plan.spec.guarantee, &ours, recorded, bindings)?;
                    let named = plan.bindings.iter().map(|binding| binding.collection.name.as_str());
                    let holds = |collection: &str| self.holds_all_of(collection);
                    resume::at_beginning(&task.name, &ours, state_keys.iter().zip(named), &holds)?;
                    Ok((plan, Held::of(launched)))
                })
                .await;
            match plan {
                Ok((plan, held)) => {
                    self.passed(&task.name, "materialization", &plan.spec.name, &plan.spec.version, &plan.bindings);
                    self.held(&task.name, &held);
                }
                Err(problem) => self.failed(&task.name, problem),
            }
        }
    }

    /// Whether the journal there is, if there is one yet, holds all of a collection.
    fn holds_all_of(&self, collection: &str) -> Result<bool, Error> {
        let writes = |capture: &&CaptureTask| capture.bindings.iter().any(|binding| binding.collection == collection);
        match self.catalog.captures.iter().find(writes) {
            Some(capture) => super::visit::holds_all_of(&self.state, &capture.name, collection),
            None => Ok(true),
        }
    }

    fn passed(&self, task: &str, kind: &str, connector: &str, version: &str, bindings: &[Planned]) {
        let shown: Vec<_> = bindings.iter().map(|one| shown(one, kind == "materialization")).collect();
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
            for field in selection::renamed(&one.selection) {
                self.output.line(format_args!("            {} as {:?}", field.pointer, field.name));
            }
        }
    }

    /// What a connector may do, for who lets somebody else's program run here.
    fn held(&self, task: &str, held: &Held) {
        match held {
            Held::Container(sandbox) => {
                self.output.object("sandbox", json!({"task": task, "sandbox": sandbox}));
                for line in sandbox.lines() {
                    self.output.line(format_args!("          {line}"));
                }
            }
            Held::Process(parts) => {
                self.output.object("sandbox", json!({"task": task, "parts": parts}));
                for (says, applied) in [("held by", true), ("open", false)] {
                    let named: Vec<&str> =
                        parts.iter().filter(|part| part.applied == applied).map(|part| part.name.as_str()).collect();
                    if !named.is_empty() {
                        self.output.line(format_args!("          {says}: {}", named.join(", ")));
                    }
                }
            }
            Held::Elsewhere => {}
        }
    }

    fn failed(&mut self, task: &str, problem: Problem) {
        if let Problem::Catalog(diagnostics) = &problem
            && !diagnostics.has_errors()
            && diagnostics.iter().any(|one| one.code == Code::VariableNotRun.as_str())
        {
            self.findings = self.findings.clone().and(diagnostics.clone());
            self.skipped(task, "it needs `${exec:…}`, and check runs no commands");
            self.not_asked.push(task.to_owned());
            return;
        }
        self.output.object("checked", json!({"task": task, "ok": false}));
        self.output.line(format_args!("FAILED  {task}"));
        match problem {
            Problem::Catalog(diagnostics) => self.findings = self.findings.clone().and(diagnostics),
            Problem::Error(_) => self.errors.push((task.to_owned(), problem)),
        }
    }

    fn writer_was_not_asked(&self, collection: &str) -> bool {
        let writes = |name: &String| {
            let capture = self.catalog.captures.iter().find(|task| task.name == *name);
            capture.is_some_and(|task| task.bindings.iter().any(|binding| binding.collection == collection))
        };
        self.not_asked.iter().any(writes)
    }

    fn skipped(&self, task: &str, why: &str) {
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
        let not_asked = self.not_asked.len();
        self.output.object(
            "summary",
            json!({"ok": code.is_none(), "tasks": tasks, "not_asked": not_asked, "findings": self.findings.iter().count()}),
        );
        match code {
            None if not_asked > 0 => {
                self.output.line(format_args!(
                    "{}: {} of {tasks} tasks checked, and nothing wrong with them; {not_asked} were not asked",
                    self.catalog.path.display(),
                    tasks - not_asked,
                ));
                Ok(())
            }
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
