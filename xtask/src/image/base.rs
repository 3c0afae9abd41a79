//! `cargo xtask image --base`: a small Debian as `longshore/debian:base`, for machines that cannot pull one, with debootstrap.
//!
//! Such an image is not the same twice: Debian moves on. So its packages are listed in it, in `/packages.txt`, and printed. What was made once
//! is kept as an archive and only loaded again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::engine::Engine;
use super::{image_dir, read, text};
use crate::{Problem, run};

const REPOSITORY: &str = "longshore/debian";
const TAG: &str = "base";
/// What both Dockerfiles want to find.
const INCLUDED: &str = "--include=ca-certificates,tzdata";

/// Makes it if it was not made before, loads it, and prints what it is.
pub(super) fn base(engine: &Engine) -> Result<(), Problem> {
    let (archive, packages) = (image_dir().join("debian-base.tar"), image_dir().join("debian-base.packages.txt"));
    if !archive.exists() {
        make(&archive, &packages)?;
    }
    let bytes = read(&archive, "it was just made")?;
    let length = bytes.len();
    let id = engine.import(REPOSITORY, TAG, bytes)?;
    let count = text(Command::new("wc").arg("-l").arg(&packages))?;
    let count = count.split_whitespace().next().unwrap_or_default().to_owned();
    println!("{:<36} {id} {:>6.1} MB", format!("{REPOSITORY}:{TAG}"), length as f64 / 1e6);
    println!("{count} packages: {}", packages.display());
    Ok(())
}

fn make(archive: &Path, packages: &Path) -> Result<(), Problem> {
    for program in ["debootstrap", "tar", "dpkg-query"] {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return Err(Problem(format!("`{program}` is missing: apt-get install -y debootstrap tar dpkg")));
        }
    }
    let root = Scratch(image_dir().join(format!("debian-base.{}", std::process::id())));
    let root = root.0.as_path();
    println!("making a Debian with debootstrap (a minute or two, once) …");
    run(Command::new("debootstrap")
        .args(["--variant=minbase", INCLUDED, &suite()?])
        .arg(root)
        .arg(mirror()?)
        .stdout(Stdio::null()))?;
    let mut listing = Command::new("dpkg-query");
    listing.arg("--admindir").arg(root.join("var/lib/dpkg")).args([
        "--show",
        "--showformat",
        "${Package} ${Version}\n",
    ]);
    let list = text(&mut listing)?;
    for path in [&root.join("packages.txt"), packages] {
        fs::write(path, &list).map_err(|error| Problem(format!("cannot write {}: {error}", path.display())))?;
    }
    let aside = archive.with_extension("aside");
    let kept_out = ["./var/cache/apt/archives/*.deb", "./var/lib/apt/lists/*", "./var/log/*", "./dev/*"];
    run(Command::new("tar")
        .arg("--create")
        .arg("--file")
        .arg(&aside)
        .args(["--sort=name", "--numeric-owner", "--directory"])
        .arg(root)
        .args(kept_out.map(|pattern| format!("--exclude={pattern}")))
        .arg("."))?;
    fs::rename(&aside, archive).map_err(|error| Problem(format!("cannot put {} in place: {error}", archive.display())))
}

/// A directory that goes away with it. debootstrap has ended by then, and nothing is mounted in it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left only takes room below the target directory.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The Debian of this machine.
fn suite() -> Result<String, Problem> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    suite.map(str::to_owned).ok_or_else(|| Problem("/etc/os-release names no release of Debian".into()))
}

/// Where apt of this machine gets its packages: no host is written down here.
fn mirror() -> Result<String, Problem> {
    let listed = text(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))?;
    let first = listed.lines().next().map(str::to_owned);
    first.ok_or_else(|| Problem("apt knows no source of packages: see /etc/apt/sources.list".into()))
}
