//! `cargo xtask image NAME…`: connectors of the workspace, and the relay, as images, `longshore/NAME:dev`, without a builder.
//!
//! Each is built as a static program in a target directory of its own, put into an archive ([`archive`]) and loaded through the Engine's
//! API ([`engine`]). What a connector in an image must be is said in `base-image/README.md`.

mod archive;
mod base;
pub(crate) mod engine;
mod tar;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use archive::{Connector, Image, Relay, Runtime, Zone, system_layer};

use crate::{Problem, cargo, repository, run, target_dir};

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const ZONES: &str = "/usr/share/zoneinfo";
/// What connectors with a network need beside them.
const RELAY: &str = "relay";

/// Which images to make.
#[derive(Debug, clap::Args)]
pub(crate) struct Wanted {
    /// Such as capture-files, relay, or longshore for the runtime
    #[arg(value_name = "NAME", conflicts_with = "all")]
    names: Vec<String>,
    /// Every connector of the workspace, the relay, and the runtime
    #[arg(long)]
    all: bool,
    /// A small Debian, longshore/debian:base, for machines that cannot pull one
    #[arg(long)]
    base: bool,
}

impl Wanted {
    pub(crate) const ALL: Self = Self { names: vec![], all: true, base: false };
}

/// Builds and loads the images of these connectors, or of all.
pub(crate) fn image(wanted: &Wanted) -> Result<ExitCode, Problem> {
    let Wanted { names, all, base } = wanted;
    let connectors = connectors()?;
    let known: Vec<String> = connectors.keys().cloned().chain([RELAY, Runtime::PROGRAM].map(str::to_owned)).collect();
    let chosen: Vec<&String> = match names.as_slice() {
        [] if *all => known.iter().collect(),
        [] if !*base => return Err(Problem(format!("which image? --all, or one of: {}", known.join(", ")))),
        names => names.iter().collect(),
    };
    let engine = engine::Engine::connect()?;
    if *base {
        base::base(&engine)?;
    }
    if chosen.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(stray) = chosen.iter().find(|name| !known.contains(name)) {
        return Err(Problem(format!("there is no image {stray}; there are: {}", known.join(", "))));
    }
    let binaries = build(&connectors)?;
    let system = system()?;
    for name in chosen {
        let image = match name.as_str() {
            RELAY => relay(&binaries)?,
            Runtime::PROGRAM => runtime(&connectors, &binaries)?.image(&system)?,
            name => connector(name, &binaries)?.image(&system)?,
        };
        // Kept beside the binaries: to be looked into, or loaded elsewhere with `docker load`.
        let path = image_dir().join(format!("{name}.tar"));
        fs::write(&path, &image.archive)
            .map_err(|error| Problem(format!("cannot write {}: {error}", path.display())))?;
        engine.load(&image)?;
        println!("{:<36} {} {:>6.1} MB", image.tag, image.id, image.bytes as f64 / 1e6);
    }
    Ok(ExitCode::SUCCESS)
}

/// Static programs have a target directory of their own: other flags would make every other build begin anew.
fn image_dir() -> PathBuf {
    target_dir().join("image")
}

/// Connectors by name, each with its package: a folder below `connectors/` that holds a program of its own name, and perhaps more of them in
/// `src/bin/`. The other folders are what several of them share.
fn connectors() -> Result<BTreeMap<String, String>, Problem> {
    let folder = repository().join("connectors");
    let mut programs = BTreeMap::new();
    for path in entries(&folder)?.into_iter().filter(|path| path.join("src/main.rs").is_file()) {
        let package = stem(&path);
        programs.insert(package.clone(), package.clone());
        let more = path.join("src/bin");
        let more = if more.is_dir() { entries(&more)? } else { Vec::new() };
        programs.extend(more.iter().map(|program| (stem(program), package.clone())));
    }
    Ok(programs)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error| Problem(format!("cannot list {}: {error}", folder.display()));
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    entries.map(|entry| Ok(entry.map_err(unreadable)?.path())).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Builds them static and stripped, and gives the directory where they are. Always all of them: with fewer, what they depend on would have
/// other features, and be built again.
fn build(connectors: &BTreeMap<String, String>) -> Result<PathBuf, Problem> {
    let host = host()?;
    let mut cargo = cargo(&["build", "--release", "--bins", "--target", &host]);
    let packages: BTreeSet<&str> = connectors.values().map(String::as_str).collect();
    for package in packages.into_iter().chain([Relay::PROGRAM, Runtime::PROGRAM]) {
        cargo.args(["--package", package]);
    }
    cargo
        .env("CARGO_TARGET_DIR", image_dir())
        // With `--target`, flags are for the connectors and not for what runs while they are built.
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    run(&mut cargo)?;
    Ok(image_dir().join(host).join("release"))
}

/// What rustc calls this machine.
fn host() -> Result<String, Problem> {
    let told = text(Command::new("rustc").current_dir(repository()).arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Problem("`rustc -vV` does not say its host".into()))
}

fn connector(name: &str, binaries: &Path) -> Result<Connector, Problem> {
    let program = binaries.join(name);
    let binary = read(&program, "it should have been built")?;
    let spec = text(Command::new(&program).arg("--spec"))?.into_bytes();
    let version = text(Command::new(&program).arg("--version"))?;
    let version = version.split_whitespace().nth(1).unwrap_or_default().to_owned();
    Ok(Connector { name: name.to_owned(), version, binary, spec })
}

fn relay(binaries: &Path) -> Result<Image, Problem> {
    let binary = read(&binaries.join(Relay::PROGRAM), "it should have been built")?;
    Relay { version: env!("CARGO_PKG_VERSION").to_owned(), binary }.image()
}

fn runtime(connectors: &BTreeMap<String, String>, binaries: &Path) -> Result<Runtime, Problem> {
    let names = connectors.keys().cloned().chain([Runtime::PROGRAM.to_owned()]);
    let with_binary = |name: String| Ok((name.clone(), read(&binaries.join(&name), "it should have been built")?));
    let binaries = names.map(with_binary).collect::<Result<_, Problem>>()?;
    Ok(Runtime { version: env!("CARGO_PKG_VERSION").to_owned(), binaries })
}

/// The layer all connectors' images share, of what this machine has.
fn system() -> Result<Vec<u8>, Problem> {
    let certificates = read(Path::new(CERTIFICATES), "apt-get install -y ca-certificates")?;
    system_layer(certificates, &zones()?)
}

/// The compiled time zones of this machine, each once: the many names of one zone are links.
fn zones() -> Result<Vec<(String, Zone)>, Problem> {
    let mut files = Vec::new();
    walk(Path::new(ZONES), &mut files)?;
    let mut first: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    let mut zones = Vec::new();
    files.sort();
    for path in files {
        let name = path.strip_prefix(ZONES).ok().and_then(Path::to_str).unwrap_or_default().to_owned();
        let bytes = read(&path, "apt-get install -y tzdata")?;
        // `posix/` and `right/` are the same zones counted otherwise, `localtime` is this machine's, and some files are no zones.
        if !bytes.starts_with(b"TZif")
            || ["posix", "right", "localtime"].contains(&name.split('/').next().unwrap_or_default())
        {
            continue;
        }
        let zone = match first.get(&bytes) {
            Some(other) => Zone::SameAs(format!("{}{other}", "../".repeat(name.matches('/').count()))),
            None => {
                first.insert(bytes.clone(), name.clone());
                Zone::File(bytes)
            }
        };
        zones.push((name, zone));
    }
    if zones.is_empty() {
        return Err(Problem(format!("{ZONES} holds no time zones: apt-get install -y tzdata")));
    }
    Ok(zones)
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let unreadable = |error: std::io::Error| {
        Problem(format!("cannot read {}: {error}: apt-get install -y tzdata", directory.display()))
    };
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path, otherwise: &str) -> Result<Vec<u8>, Problem> {
    fs::read(path).map_err(|error| Problem(format!("cannot read {}: {error}: {otherwise}", path.display())))
}

/// What a command prints.
fn text(command: &mut Command) -> Result<String, Problem> {
    let output = command.output().map_err(|error| Problem(format!("cannot start {command:?}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Problem(format!("{command:?} ended with {}: {}", output.status, said.trim())));
    }
    String::from_utf8(output.stdout).map_err(|_| Problem(format!("{command:?} printed what is no text")))
}
