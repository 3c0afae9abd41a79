//! `longshore connector list` and `longshore connector spec NAME`: what there is, and what it takes.

use longshore_proto::Error;
use longshore_proto::capture::message as capture;
use longshore_proto::materialize::message as materialize;
use serde_json::{Value, json};

use super::args::{ConnectorVerb, Global};
use super::logs;
use super::output::{Failure, Output};
use super::visit::start;
use crate::connector::{Bundled, GRACE, Hold, Kind, Location, SearchPath};

pub(super) async fn connector(global: &Global, verb: ConnectorVerb, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let known = SearchPath::of_this_process().list();
    match verb {
        ConnectorVerb::List => list(&known, output),
        ConnectorVerb::Spec { name } => spec(&name, &known, output).await,
    }
}

fn list(known: &[Bundled], output: &Output) -> Result<(), Failure> {
    if known.is_empty() {
        return Err(Failure::configuration("no connectors were found")
            .help("they are looked for beside longshore itself, in LONGSHORE_CONNECTORS and on PATH; `cargo build --workspace` builds them"));
    }
    let width = known.iter().map(|one| one.name.len()).max().unwrap_or_default();
    for one in known {
        let path = one.path.display();
        output.object("connector", json!({"kind": one.kind.prefix(), "name": one.name, "path": path.to_string()}));
        output.line(format_args!("{:11}  {:width$}  {path}", one.kind.prefix(), one.name));
    }
    Ok(())
}

/// `files` is every connector of that name, `capture-files` the one.
async fn spec(name: &str, known: &[Bundled], output: &Output) -> Result<(), Failure> {
    let full = |one: &Bundled| format!("{}-{}", one.kind.prefix(), one.name);
    let wanted: Vec<&Bundled> = known.iter().filter(|one| one.name == name || full(one) == name).collect();
    if wanted.is_empty() {
        let names: Vec<String> = known.iter().map(full).collect();
        let help = if names.is_empty() {
            "there are none: see `longshore connector list`".into()
        } else {
            format!("there are: {}", names.join(", "))
        };
        return Err(Failure::configuration(format!("there is no connector `{name}`")).help(help));
    }
    for (at, one) in wanted.into_iter().enumerate() {
        if at > 0 {
            output.line("");
        }
        let shown = read(one).await?;
        output.object("spec", shown.as_json());
        output.line(shown.for_people().trim_end());
    }
    Ok(())
}

async fn read(one: &Bundled) -> Result<Shown, Error> {
    let directory = std::env::current_dir()
        .map_err(|error| Error::config("directory", format!("this directory is gone: {error}")))?;
    let from = (Location::Bundled(one.name.clone()), Hold::default());
    let launched = start(&one.name, one.kind, from, &directory).await?;
    let shown = match one.kind {
        Kind::Capture => launched.capture().spec().await.and_then(Shown::capture),
        Kind::Materialize => launched.materialize().spec().await.and_then(Shown::materialization),
    };
    launched.stop(GRACE).await;
    shown
}

/// What both kinds say, ready to print.
struct Shown {
    name: String,
    version: String,
    kind: &'static str,
    /// What it promises or how it works: word and meaning.
    says: Vec<(&'static str, String)>,
    config: Value,
    resource: Value,
    path_pointers: Vec<String>,
    documentation: String,
}

impl Shown {
    fn capture(spec: capture::Spec) -> Result<Self, Error> {
        let tracking = match spec.change_tracking {
            capture::ChangeTracking::Full => "full: inserts, updates and deletes with their documents",
            capture::ChangeTracking::KeyOnly => "key_only: deletes carry the key alone",
            capture::ChangeTracking::AppendOnly => "append_only: documents are only ever added; deletes are not seen",
        };
        let mechanism = match spec.mechanism {
            capture::Mechanism::Log => "log",
            capture::Mechanism::Trigger => "trigger",
            capture::Mechanism::Cursor => "cursor",
            capture::Mechanism::FullRefresh => "full_refresh",
        };
        let mut says = vec![("changes", tracking.to_owned()), ("mechanism", mechanism.to_owned())];
        if spec.endless {
            says.push(("endless", "it never catches up: not for `run --until caught-up`".to_owned()));
        }
        Ok(Self {
            name: spec.name,
            version: spec.version,
            kind: "capture",
            says,
            config: schema(&spec.config_schema_json)?,
            resource: schema(&spec.resource_schema_json)?,
            path_pointers: spec.resource_path_pointers,
            documentation: spec.documentation_url,
        })
    }

    fn materialization(spec: materialize::Spec) -> Result<Self, Error> {
        let guarantee = match spec.guarantee {
            materialize::Guarantee::Transactional => {
                "transactional: exactly once, the checkpoint is in the destination's own transaction"
            }
            materialize::Guarantee::Idempotent => {
                "idempotent: exactly once, a staged transaction is applied again until it took"
            }
            materialize::Guarantee::AtLeastOnce => {
                "at_least_once: the last transaction may be stored twice after a crash"
            }
        };
        let deletes = if spec.deletes { "removes rows" } else { "cannot remove rows" };
        Ok(Self {
            name: spec.name,
            version: spec.version,
            kind: "materialization",
            says: vec![("guarantee", guarantee.to_owned()), ("deletes", deletes.to_owned())],
            config: schema(&spec.config_schema_json)?,
            resource: schema(&spec.resource_schema_json)?,
            path_pointers: spec.resource_path_pointers,
            documentation: spec.documentation_url,
        })
    }

    fn as_json(&self) -> Value {
        let says: serde_json::Map<String, Value> = self
            .says
            .iter()
            .map(|(word, text)| {
                ((*word).to_owned(), json!(text.split_once(": ").map_or(text.as_str(), |(first, _)| first)))
            })
            .collect();
        json!({
            "name": self.name, "version": self.version, "kind": self.kind, "says": says,
            "config_schema": self.config, "resource_schema": self.resource,
            "resource_path": self.path_pointers, "documentation": self.documentation,
        })
    }

    fn for_people(&self) -> String {
        let mut text = format!("{} {} ({})\n", self.name, self.version, self.kind);
        for (word, meaning) in &self.says {
            text.push_str(&format!("  {word:10} {meaning}\n"));
        }
        if !self.documentation.is_empty() {
            text.push_str(&format!("  {:10} {}\n", "read more", self.documentation));
        }
        text.push_str(&table("config", &self.config));
        text.push_str(&table("resource of a binding", &self.resource));
        text.push_str("\n`--json` prints the whole schemas.\n");
        text
    }
}

fn schema(json: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(json)
        .map_err(|error| Error::protocol("SPEC", format!("a schema of the spec is no JSON: {error}")))
}

/// One line a setting: name, type, whether it must be there, what it is for.
fn table(title: &str, schema: &Value) -> String {
    let mut text = format!("\n{title}\n");
    let settings = crate::catalog::settings(schema);
    if settings.is_empty() {
        text.push_str("  takes no settings\n");
    }
    let width = settings.iter().map(|one| one.name.len()).max().unwrap_or_default();
    let kind_width = settings.iter().map(|one| one.kind.len()).max().unwrap_or_default();
    for one in settings {
        let must = if one.required { "required" } else { "" };
        let mut line = format!("  {:width$}  {:kind_width$}  {must:8}  {}", one.name, one.kind, one.description);
        if let Some(default) = &one.default {
            line.push_str(&format!(" [default: {default}]"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
