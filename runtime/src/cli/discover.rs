//! `longshore discover TASK`: what a capture's source has, as lines for the catalog. With `--write` the missing ones are put into it.

use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::capture::message::{ChangeTracking, Discover, Discovered};
use serde_json::{Value, json};

use super::args::{DiscoverArgs, Global, split_words};
use super::catalogs;
use super::logs;
use super::output::{Failure, Output};
use super::visit::Visited;
use crate::catalog::{Addition, CaptureTask, Catalog, NewBinding, NewCollection};
use crate::supervise::Problem;

pub(super) async fn discover(global: &Global, args: DiscoverArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let ([name], path) = split_words(args.words, ["TASK"])?;
    let catalog = catalogs::load_unfinished(&path, args.values.values(), output)?;
    let task = catalogs::capture(&catalog, &name)?;
    let found = ask(&catalog, task).await.map_err(|problem| catalogs::failure(problem, output))?;
    for one in &found {
        output.object("discovered", one.as_json(&catalog));
    }
    if args.write { write(&catalog, task, &found, output) } else { show(&catalog, task, &found, output) }
}

/// One resource, and the collection that it fills or could fill.
pub(super) struct Found {
    pub(super) collection: String,
    pub(super) resource: Value,
    pub(super) schema: Value,
    pub(super) discovered: Discovered,
}

impl Found {
    fn as_json(&self, catalog: &Catalog) -> Value {
        let tracking = match self.discovered.change_tracking {
            ChangeTracking::Full => "full",
            ChangeTracking::KeyOnly => "key_only",
            ChangeTracking::AppendOnly => "append_only",
        };
        json!({
            "collection": self.collection,
            "resource": self.resource,
            "key": self.discovered.key,
            "key_is_fallback": self.discovered.key_is_fallback,
            "schema": self.schema,
            "change_tracking": tracking,
            "disabled": self.discovered.disabled,
            "note": self.discovered.note,
            "in_catalog": catalog.collections.contains_key(&self.collection),
        })
    }

    fn as_collection(&self) -> NewCollection {
        NewCollection { name: self.collection.clone(), key: self.discovered.key.clone(), schema: self.schema.clone() }
    }
}

/// The bindings that are there are described; without any, the source lists what it has.
pub(super) async fn ask(catalog: &Catalog, task: &CaptureTask) -> Result<Vec<Found>, Problem> {
    let discovered = Visited::capture(catalog, task).ask(async |launched| {
        let client = launched.capture();
        let spec = client.spec().await?;
        let config =
            catalog.typed(&task.config, &spec.config_schema_json, &format!("the config of capture `{}`", task.name))?;
        let mut resources_json: Vec<Bytes> = Vec::new();
        for (at, binding) in task.bindings.iter().enumerate() {
            let what = format!("the resource of binding {} of capture `{}`", at + 1, task.name);
            resources_json.push(catalog.typed(&binding.resource, &spec.resource_schema_json, &what)?.json);
        }
        let asked = resources_json.len();
        let discovered = client.discover(Discover { config_json: config.json, resources_json }).await?;
        if asked > 0 && discovered.len() != asked {
            return Err(Problem::discovered(client.name(), asked, discovered.len()));
        }
        Ok(discovered)
    });
    let mut found = Vec::new();
    for (at, discovered) in discovered.await?.into_iter().enumerate() {
        // Parsed at the edge: it is JSON.
        let json = |bytes: &[u8]| {
            serde_json::from_slice::<Value>(bytes)
                .map_err(|error| Error::protocol("C-DISCOVER", format!("Discover: no JSON: {error}")))
        };
        let (collection, schema_json) = match task.bindings.get(at) {
            Some(binding) => {
                let stated = binding.wanted_of(discovered.schema_json.clone(), &discovered.key)?;
                (binding.collection.clone(), stated)
            }
            None => (format!("{}/{}", task.name, discovered.recommended_collection), discovered.schema_json.clone()),
        };
        found.push(Found {
            collection,
            resource: json(&discovered.resource_json)?,
            schema: json(&schema_json)?,
            discovered,
        });
    }
    Ok(found)
}

/// Lines of YAML that can be pasted.
fn show(catalog: &Catalog, task: &CaptureTask, found: &[Found], output: &Output) -> Result<(), Failure> {
    if found.is_empty() {
        output.line(format_args!("# the source of {} has nothing to capture", task.name));
        return Ok(());
    }
    for one in found {
        if !one.discovered.note.is_empty() {
            output.line(format_args!("# {}: {}", one.collection, one.discovered.note));
        }
        if one.discovered.key_is_fallback {
            let key = one.discovered.key.join(", ");
            output
                .line(format_args!("# {}: the source has no key; [{key}] only tells documents apart", one.collection));
        }
    }
    let addition =
        Addition { bindings: new_bindings(task, found), collections: collections(found, |one| wanted(task, one)) };
    output.line(addition.lines(&task.name).trim_end());
    let missing =
        collections(found, |one| wanted(task, one) && !catalog.collections.contains_key(&one.collection)).len();
    if missing > 0 {
        output.line(format_args!(
            "# {missing} of these are not in the catalog yet: `longshore discover {} --write` adds them",
            task.name
        ));
    }
    Ok(())
}

/// Adds what is missing, and tells what.
fn write(catalog: &Catalog, task: &CaptureTask, found: &[Found], output: &Output) -> Result<(), Failure> {
    let missing = collections(found, |one| wanted(task, one) && !catalog.collections.contains_key(&one.collection));
    let addition = Addition { bindings: new_bindings(task, found), collections: missing };
    let names: Vec<&str> = addition.collections.iter().map(|one| one.name.as_str()).collect();
    let path = catalog.path.display();
    if addition == Addition::default() {
        output.object("written", json!({"file": path.to_string(), "collections": names, "bindings": 0}));
        output.line(format_args!("{path} has everything already, nothing was written"));
        return Ok(());
    }
    let text = addition.insert(catalog.source(), &task.name).map_err(|refused| {
        Failure::configuration(format!("{path} was left as it is: {}", refused.reason))
            .help(format!("add these lines:\n{}", refused.lines))
    })?;
    replace(&catalog.path, catalog.source().text(), &text)
        .map_err(|error| Failure::running(format!("writing {path}: {error}")).help("the catalog is as it was"))?;
    output.object(
        "written",
        json!({"file": path.to_string(), "collections": names, "bindings": addition.bindings.len()}),
    );
    for name in &names {
        output.line(format_args!("added collection {name}"));
    }
    for binding in &addition.bindings {
        output.line(format_args!("added a binding for {}", binding.collection));
    }
    output.line(format_args!("{path} was extended; no line that was there has changed"));
    Ok(())
}

/// A capture that has bindings keeps them as they are.
fn new_bindings(task: &CaptureTask, found: &[Found]) -> Vec<NewBinding> {
    let new = found.iter().filter(|one| task.bindings.is_empty() && wanted(task, one));
    new.map(|one| NewBinding { resource: one.resource.clone(), collection: one.collection.clone() }).collect()
}

/// What should start disabled is taken only where a binding names it.
fn wanted(task: &CaptureTask, one: &Found) -> bool {
    !task.bindings.is_empty() || !one.discovered.disabled
}

/// Each once, also where several bindings fill one.
fn collections(found: &[Found], wanted: impl Fn(&Found) -> bool) -> Vec<NewCollection> {
    let mut collections: Vec<NewCollection> = Vec::new();
    for one in found.iter().filter(|one| wanted(one)) {
        if collections.iter().all(|other| other.name != one.collection) {
            collections.push(one.as_collection());
        }
    }
    collections
}

/// Writes aside and renames, so that a crash leaves one of the two texts. A file that changed meanwhile is left alone.
fn replace(path: &Path, old: &str, new: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    if std::fs::read_to_string(&path)? != old {
        return Err(std::io::Error::other("somebody else changed the file meanwhile"));
    }
    let directory = path.parent().ok_or_else(|| std::io::Error::other("it has no directory"))?;
    let mut aside = tempfile::NamedTempFile::new_in(directory)?;
    aside.write_all(new.as_bytes())?;
    aside.as_file().set_permissions(std::fs::metadata(&path)?.permissions())?;
    aside.as_file().sync_all()?;
    aside.persist(&path).map_err(|error| error.error)?;
    std::fs::File::open(directory)?.sync_all()
}
