//! `longshore init`: a catalog for what the user points at. The connector is asked what there is; what it takes is said by its own schemas, and
//! which connector it is by [`known`], the one table. The text is made in [`render`].

mod config;
mod known;
mod origin;
mod paths;
mod render;
mod url;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::Global;
use super::discover::{self, Found};
use super::first_args::InitArgs;
use super::output::{Failure, Output};
use super::specs::{Described, describe};
use super::{catalogs, check, logs, shell};
use crate::catalog::{self, Catalog};
use crate::connector::{Kind, SearchPath};
use config::{Config, Settings};
use origin::{At, Origin};
use paths::{name_of, unique};
use render::Task;

pub(super) async fn init(global: &Global, args: InitArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let file = args.output.as_path();
    if file.symlink_metadata().is_ok() {
        return Err(is_there(file));
    }
    let places = Places::of(file)?;
    let origin = Origin::of(&args.sources, args.connector.as_deref())?;
    let source = installed(Kind::Capture, &origin.connector, &origin.what()).await?;
    let settings = Settings::of(&source);
    let mut from = settings.place(&origin.at, &places.catalog, &places.here)?;
    settings.add(&mut from, &args.config)?;
    settings.complete(&from)?;
    let name = origin.name(&places.here);
    let (destination, to) = destination(args.to.as_deref(), &name, &places).await?;
    let capture = Task { name: &name, described: &source, config: &from };
    let found = ask(&capture, &origin.at, &args, file, output).await?;

    let out = if destination.name == name { format!("{name}-out") } else { destination.name.clone() };
    let materialization = Task { name: &out, described: &destination, config: &to };
    let text = render::catalog(&capture, &found, &materialization).map_err(|what| {
        Failure::configuration(format!("a resource of materialize-{} needs more than a name: {what}", destination.name))
            .help("choose another destination with --to, and write this one by hand")
    })?;
    write(file, &text)?;
    let variables: BTreeMap<String, String> = from.variables.into_iter().chain(to.variables).collect();
    told(file, &found, &variables, output);
    let values = args.values.values_with(variables.clone());
    let catalog = catalogs::load(file, values, output)?;
    check::of(global, &catalog, output).await.inspect_err(|_| {
        catalogs::note(
            format_args!("{} is written; mend what is told above and ask `longshore check` again", file.display()),
            output,
        );
    })?;
    next(file, &source, variables.keys(), output);
    Ok(())
}

/// Where things are.
struct Places {
    /// Where we are.
    here: PathBuf,
    /// Where the catalog will be; as the user has it.
    catalog: PathBuf,
}

impl Places {
    fn of(file: &Path) -> Result<Self, Failure> {
        let here = std::env::current_dir()
            .map_err(|error| Failure::configuration(format!("this directory is gone: {error}")))?;
        Ok(Self { here, catalog: file.parent().unwrap_or(Path::new("")).to_path_buf() })
    }
}

fn is_there(file: &Path) -> Failure {
    let name = file.display();
    Failure::configuration(format!("{name} is there already, and nothing is written over")).help(format!(
        "name another file with -o FILE\n  `longshore discover TASK --write {}` adds what a capture of it does not have yet",
        shell::quoted(&name.to_string())
    ))
}

/// What a connector says of itself, if it is here.
async fn installed(kind: Kind, name: &str, what: &str) -> Result<Described, Failure> {
    if SearchPath::of_this_process().find(kind, name).is_ok() {
        return Ok(describe(kind, name).await?);
    }
    let full = format!("{}-{name}", kind.prefix());
    let known = SearchPath::of_this_process().list();
    let here: Vec<&str> = known.iter().filter(|one| one.kind == kind).map(|one| one.name.as_str()).collect();
    Err(Failure::configuration(format!("{what} needs the connector {full}, which is not installed")).help(format!(
        "put {full} beside longshore, or its folder into LONGSHORE_CONNECTORS or PATH; here there are: {}",
        if here.is_empty() { "none".to_owned() } else { here.join(", ") }
    )))
}

/// The destination and its config: `NAME:PLACE`, a URL, or a SQLite database beside the catalog.
async fn destination(to: Option<&str>, source: &str, places: &Places) -> Result<(Described, Config), Failure> {
    let (name, at) = match to {
        None => {
            let mut taken: Vec<String> = Vec::new();
            let beside = |name: &str| places.catalog.join(format!("{name}.db"));
            let mut name = unique(source.to_owned(), &mut taken);
            while beside(&name).exists() {
                name = unique(source.to_owned(), &mut taken);
            }
            (known::BY_DEFAULT.to_owned(), At::Path(beside(&name)))
        }
        Some(to) if to.contains("://") => {
            let url = origin::url(to)?;
            let name = known::of_scheme(Kind::Materialize, &url.scheme)
                .ok_or_else(|| origin::unknown_scheme(&url.scheme, Kind::Materialize))?;
            (name.to_owned(), At::Url(url, to.to_owned()))
        }
        Some(to) => match to.split_once(':') {
            Some((name, place)) if !name.is_empty() && !place.is_empty() => (name.to_owned(), At::Path(place.into())),
            Some(_) | None => {
                return Err(Failure::configuration(format!("--to: expected NAME:PLACE or a URL, got {to}"))
                    .help("write a connector and where it writes, such as --to sqlite:./out.db or --to files:./out"));
            }
        },
    };
    let what = match &at {
        At::Url(url, _) => format!("writing to {}://", url.scheme),
        At::Path(_) | At::Files { .. } | At::Settings => format!("--to {name}:…"),
    };
    let described = installed(Kind::Materialize, &name, &what).await?;
    let settings = Settings::of(&described);
    let config = settings.place(&at, &places.catalog, &places.here)?;
    settings.complete(&config)?;
    Ok((described, config))
}

/// What there is at the source, under names that a catalog may have.
async fn ask(
    capture: &Task<'_>,
    at: &At,
    args: &InitArgs,
    file: &Path,
    output: &Output,
) -> Result<Vec<Found>, Failure> {
    let mut resources: Vec<(Value, String)> = Vec::new();
    if let At::Files { patterns, .. } = at {
        let key =
            capture.described.path_pointers.first().and_then(|pointer| pointer.strip_prefix('/')).unwrap_or("glob");
        for pattern in patterns {
            resources.push((json!({ key: pattern }), collection(capture.name, paths::stem(pattern))));
        }
    }
    let values = args.values.values_with(capture.config.variables.clone());
    let text = render::draft(capture, &resources);
    let draft: Catalog =
        catalog::draft(file, text, values).map_err(|diagnostics| catalogs::failure(diagnostics.into(), output))?;
    let task = catalogs::capture(&draft, capture.name)?;
    let mut found = discover::ask(&draft, task).await.map_err(|problem| {
        let failure = catalogs::failure(problem, output);
        let name = file.display();
        catalogs::note(
            format_args!("{name} was not written; lines of it that are shown are those it would have had"),
            output,
        );
        failure
    })?;
    let mut taken = Vec::new();
    for one in &mut found {
        let own = one.collection.strip_prefix(&format!("{}/", capture.name)).unwrap_or(&one.collection).to_owned();
        one.collection = unique(collection(capture.name, &own), &mut taken);
    }
    if found.iter().all(|one| one.discovered.disabled) {
        let place = args.sources.first().map_or_else(|| capture.name.to_owned(), Clone::clone);
        let place = if place.contains("://") { capture.name.to_owned() } else { place };
        return Err(Failure::configuration(format!(
            "capture-{} found nothing to capture in {place}",
            capture.described.name
        ))
        .help("name a place that has something; nothing was written"));
    }
    Ok(found)
}

fn collection(task: &str, own: &str) -> String {
    format!("{task}/{}", name_of(own.trim_end_matches(['*', '?', '[', '{'])).unwrap_or_else(|| "files".to_owned()))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let written = std::fs::File::create_new(file).and_then(|mut to| {
        to.write_all(text.as_bytes())?;
        to.sync_all()
    });
    written.map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            return is_there(file);
        }
        Failure::configuration(format!("cannot write {}: {error}", file.display()))
            .help("name a file that you may write with -o FILE")
    })
}

fn told(file: &Path, found: &[Found], variables: &BTreeMap<String, String>, output: &Output) {
    let collections: Vec<&str> =
        found.iter().filter(|one| !one.discovered.disabled).map(|one| one.collection.as_str()).collect();
    let names: Vec<&String> = variables.keys().collect();
    let name = file.display().to_string();
    output.object("written", json!({ "file": name, "collections": collections, "variables": names }));
    let number = collections.len();
    output.line(format_args!("{name} is written: {number} {}", if number == 1 { "collection" } else { "collections" }));
}

fn next<'a>(file: &Path, source: &Described, variables: impl Iterator<Item = &'a String>, output: &Output) {
    for name in variables {
        output.line(format_args!("\nThe catalog reads {name} from the environment: `export {name}=…` before it runs."));
    }
    let name = file.display().to_string();
    let catalog = if name == "longshore.yaml" { String::new() } else { format!(" {}", shell::quoted(&name)) };
    let until = if source.endless { "" } else { " --until caught-up" };
    output.line(format_args!("\nNext: look into {name}, then\n\n  longshore run{until}{catalog}"));
}
