//! `longshore state show`: what is remembered of each task, from the task store and, for a capture, from its journal. A connector's state
//! may hold secrets: it is shown only when they are known.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use longshore_proto::state::State;
use serde_json::{Value, json};

use super::args::{Global, StateShowArgs, split_word};
use super::logs;
use super::look::{Look, Unreadable, no_such};
use super::output::{Failure, Output};
use super::view::{grouped, size};
use super::visit::Visited;
use crate::catalog::{self, Catalog};
use crate::journal::{Inspection, JournalId, Position};
use crate::materialize::checkpoint::{Checkpoint, Extent, Place, Span};
use crate::store::TaskRecord;
use crate::supervise::Problem;

/// A journal: none yet, found, or damaged.
type Found = Result<Option<Inspection>, String>;

pub(super) async fn show(global: &Global, args: StateShowArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let (only, catalog) = split_word(args.words)?;
    let look = Look::open(global, &catalog)?;
    let tasks = look.state().tasks()?;
    if let Some(only) = only.as_deref().filter(|only| !tasks.iter().any(|task| task == only)) {
        return Err(no_such("a task that has run", only, &tasks));
    }
    let journals = journals(&look)?;
    let installation = look.state().installation().as_str();
    output.object("state", json!({ "directory": look.path(), "installation": installation }));
    output.line(format_args!("{}  installation {installation}", look.path().display()));
    let contents = match global.verbose {
        0 => Contents::NotAsked,
        _ => match catalog::load(&catalog, args.values.values()) {
            Ok(catalog) => Contents::Of(learn(&catalog, only.as_deref()).await),
            Err(_) => Contents::None(format!("{} cannot be read, so its secrets are not known", catalog.display())),
        },
    };
    let view = View { journals: &journals, contents, output };
    let mut all_well = true;
    for task in tasks.iter().filter(|task| only.as_ref().is_none_or(|only| only == *task)) {
        // One that went away since its name was read has nothing to show.
        let Some(record) = look.state().task(task)? else { continue };
        view.task(task, &record)?;
        all_well &= !matches!(journals.get(task), Some(Err(_)));
    }
    if all_well { Ok(()) } else { Err(Failure::with_exit(1).already_told()) }
}

fn journals(look: &Look) -> Result<BTreeMap<String, Found>, Failure> {
    let open = |capture: String| match look.journal(&capture) {
        Ok(found) => Ok((capture, Ok(found))),
        Err(Unreadable::Journal(error)) => Ok((capture, Err(error.to_string()))),
        Err(Unreadable::Store(failure)) => Err(failure),
    };
    look.captures(None)?.into_iter().map(open).collect()
}

/// Whether the connectors' own state is shown.
enum Contents {
    NotAsked,
    /// It was asked for, and this is why there is none.
    None(String),
    /// By task: it may be shown, or why not.
    Of(BTreeMap<String, Result<(), String>>),
}

impl Contents {
    /// Of a task; `None`: nobody asked.
    fn of(&self, task: &str) -> Option<Result<(), String>> {
        let gone = || Err("it is not in the catalog any more, so its secrets are not known".to_owned());
        match self {
            Self::NotAsked => None,
            Self::None(why) => Some(Err(why.clone())),
            Self::Of(tasks) => Some(tasks.get(task).cloned().unwrap_or_else(gone)),
        }
    }
}

/// Asks each connector which settings of its config are secrets; from then on they are scrubbed from what is shown.
async fn learn(catalog: &Catalog, only: Option<&str>) -> BTreeMap<String, Result<(), String>> {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let mut learnt = BTreeMap::new();
    for task in catalog.captures.iter().filter(|task| wanted(&task.name)) {
        let asked = Visited::capture(catalog, task).ask(async |connector| {
            let spec = connector.capture().spec().await?;
            Ok(catalog
                .typed(&task.config, &spec.config_schema_json, &format!("the config of {}", task.name))
                .map(drop)?)
        });
        learnt.insert(task.name.clone(), asked.await.map_err(|problem| why_not(&problem)));
    }
    for task in catalog.materializations.iter().filter(|task| wanted(&task.name)) {
        let asked = Visited::materialization(catalog, task).ask(async |connector| {
            let spec = connector.materialize().spec().await?;
            Ok(catalog
                .typed(&task.config, &spec.config_schema_json, &format!("the config of {}", task.name))
                .map(drop)?)
        });
        learnt.insert(task.name.clone(), asked.await.map_err(|problem| why_not(&problem)));
    }
    learnt
}

fn why_not(problem: &Problem) -> String {
    let told = problem.told();
    format!("its secrets are not known: {}", told.message.lines().next().unwrap_or_default())
}

/// How tasks are shown.
struct View<'a> {
    journals: &'a BTreeMap<String, Found>,
    contents: Contents,
    output: &'a Output,
}

impl View<'_> {
    fn task(&self, task: &str, record: &TaskRecord) -> Result<(), Failure> {
        let checkpoint = match record.checkpoint.bytes.is_empty() {
            true => None,
            false => Some(Checkpoint::parse(&record.checkpoint.bytes)?),
        };
        let extent = record.extent.as_ref().map(|extent| Extent::parse(&extent.bytes)).transpose()?;
        let journal = self.journals.get(task);
        let state = match journal {
            Some(Ok(Some(journal))) => journal.state(),
            Some(Ok(None) | Err(_)) | None => &record.state,
        };
        let mut object = json!({ "task": task, "kind": kind(journal.is_some(), record), "epoch": record.epoch.0 });
        object["checkpoint"] = json!({
            "transaction": record.checkpoint.transaction,
            "positions": checkpoint.iter().flat_map(|c| &c.places).map(|(place, at)| self.position(place, *at)).collect::<Vec<_>>(),
        });
        object["extent"] = extent.as_ref().map_or(Value::Null, |extent| self.extent(extent));
        let pending = record.pending.as_ref();
        object["pending"] = pending.map_or(
            Value::Null,
            |pending| json!({ "transaction": pending.transaction, "plan_bytes": pending.plan.len() }),
        );
        object["spec_version"] = record.spec.as_ref().map_or(Value::Null, |spec| json!(spec.version));
        object["bindings"] = record.remembered.iter().map(binding).collect();
        object["journal"] = journal.map_or(Value::Null, journal_object);
        object["state"] = self.state(task, state);
        self.lines(&object);
        self.output.object("task", object);
        Ok(())
    }

    fn position(&self, place: &Place, at: Position) -> Value {
        json!({
            "binding": place.binding.as_str(), "journal": place.journal.to_string(), "capture": self.capture(place.journal),
            "offset": at.offset, "chain": format!("{:08x}", at.chain_crc),
        })
    }

    fn extent(&self, extent: &Extent) -> Value {
        let span = |(place, span): (&Place, &Span)| {
            json!({
                "binding": place.binding.as_str(), "journal": place.journal.to_string(), "capture": self.capture(place.journal),
                "from": span.from.offset, "to": span.to.offset,
            })
        };
        let spans: Vec<Value> = extent.spans.iter().map(span).collect();
        json!({ "transaction": extent.transaction, "spec_version": extent.spec_version, "spans": spans })
    }

    /// The capture that writes a journal, if it is here.
    fn capture(&self, journal: JournalId) -> Option<&str> {
        let writes = |found: &Found| matches!(found, Ok(Some(found)) if found.id() == journal);
        self.journals.iter().find(|(_, found)| writes(found)).map(|(capture, _)| capture.as_str())
    }

    fn state(&self, task: &str, state: &State) -> Value {
        let contents = self.contents.of(task);
        let part = |json: &Bytes| {
            let mut part = json!({ "bytes": json.len() });
            match &contents {
                Some(Ok(())) => part["content"] = content(json),
                Some(Err(why)) => part["withheld"] = json!(why),
                None => {}
            }
            part
        };
        let parts: Vec<Value> = state
            .parts()
            .map(|(key, json)| {
                let mut part = part(json);
                part["binding"] = json!(key.as_str());
                part
            })
            .collect();
        json!({ "bytes": state.byte_len(), "task": state.task_json().map(part), "parts": parts })
    }

    /// The same for people.
    fn lines(&self, task: &Value) {
        if self.output.json() {
            return;
        }
        let mut text = format!("\n{} ({}), epoch {}\n", word(&task["task"]), word(&task["kind"]), task["epoch"]);
        if let Some(version) = task["spec_version"].as_u64() {
            line(&mut text, format_args!("applied   spec version {version}"));
        }
        journal_line(&mut text, &task["journal"]);
        if task["journal"].is_null() {
            let transaction = task["checkpoint"]["transaction"].as_u64().unwrap_or(0);
            line(&mut text, format_args!("committed {} transactions", grouped(transaction)));
        }
        for at in items(&task["checkpoint"]["positions"]) {
            let offset = at["offset"].as_u64().unwrap_or(0);
            line(
                &mut text,
                format_args!("  {} up to offset {} of {}", word(&at["binding"]), grouped(offset), journal_of(at)),
            );
        }
        if !task["extent"].is_null() {
            let (spans, transaction) = (items(&task["extent"]["spans"]), &task["extent"]["transaction"]);
            match spans.is_empty() {
                true => line(&mut text, format_args!("given up  transaction {transaction}")),
                false => line(&mut text, format_args!("under way transaction {transaction}")),
            }
            for span in spans {
                let (from, to) = (&span["from"], &span["to"]);
                line(
                    &mut text,
                    format_args!("  {} offsets {from} to {to} of {}", word(&span["binding"]), journal_of(span)),
                );
            }
        }
        if !task["pending"].is_null() {
            line(
                &mut text,
                format_args!("pending   transaction {} is committed, not acknowledged", task["pending"]["transaction"]),
            );
        }
        for binding in items(&task["bindings"]) {
            binding_line(&mut text, binding);
        }
        state_lines(&mut text, &task["state"]);
        self.output.text(&text);
    }
}

/// A journal belongs to a capture; what neither has one nor ever got as far as Apply is not known.
fn kind(has_journal: bool, record: &TaskRecord) -> &'static str {
    match () {
        () if has_journal => "capture",
        () if record.spec.is_some() || record.checkpoint.transaction > 0 || record.extent.is_some() => {
            "materialization"
        }
        () => "unknown",
    }
}

fn binding(binding: &crate::store::RememberedBinding) -> Value {
    json!({
        "resource_path": binding.resource_path, "generation": binding.generation, "collection": binding.collection,
        "key": binding.key, "delta_updates": binding.delta_updates, "active": binding.active,
    })
}

fn journal_object(found: &Found) -> Value {
    match found {
        Ok(Some(journal)) => {
            let end = journal.end();
            json!({
                "journal": journal.id().to_string(), "transaction": end.transaction, "end_offset": end.position.offset,
                "chain": format!("{:08x}", end.position.chain_crc),
            })
        }
        Ok(None) => json!({ "journal": null, "transaction": 0, "end_offset": 0 }),
        Err(error) => json!({ "error": error }),
    }
}

/// As JSON, else as the text that it is.
fn content(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_else(|_| json!(String::from_utf8_lossy(json)))
}

fn journal_line(text: &mut String, journal: &Value) {
    if let Some(error) = journal["error"].as_str() {
        line(text, format_args!("journal   NOT OK: {error}"));
    } else if let (Some(transaction), Some(end)) = (journal["transaction"].as_u64(), journal["end_offset"].as_u64()) {
        line(text, format_args!("journal   {} transactions, ends at offset {}", grouped(transaction), grouped(end)));
    }
}

fn journal_of(at: &Value) -> String {
    match at["capture"].as_str() {
        Some(capture) => capture.to_owned(),
        None => format!("journal {}, which is not here", word(&at["journal"])),
    }
}

fn binding_line(text: &mut String, binding: &Value) {
    let path: Vec<&str> = items(&binding["resource_path"]).iter().map(word).collect();
    let delta = if binding["delta_updates"] == true { ", delta updates" } else { "" };
    let gone = if binding["active"] == false { ", not in the catalog any more" } else { "" };
    let (collection, generation) = (word(&binding["collection"]), &binding["generation"]);
    line(text, format_args!("binding   {} with {collection}, generation {generation}{delta}{gone}", path.join("/")));
}

fn state_lines(text: &mut String, state: &Value) {
    let bytes = |of: &Value| size(of["bytes"].as_u64().unwrap_or(0));
    line(text, format_args!("state     {} of the connector's own", bytes(state)));
    let part = |text: &mut String, name: &str, part: &Value| {
        line(text, format_args!("  {name} {}", bytes(part)));
        if !part["content"].is_null() {
            line(text, format_args!("    {}", part["content"]));
        }
        if let Some(why) = part["withheld"].as_str() {
            line(text, format_args!("    not shown: {why}"));
        }
    };
    if !state["task"].is_null() {
        part(text, "task", &state["task"]);
    }
    for of_binding in items(&state["parts"]) {
        part(text, word(&of_binding["binding"]), of_binding);
    }
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "  {what}").expect("a String takes everything");
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}
