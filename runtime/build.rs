//! Tells the binary which commit it was built from, for `--version`. Outside a git checkout it says so.

use std::path::Path;
use std::process::Command;

fn main() {
    // Where git keeps them: a worktree has no `.git` directory of its own, and a path that is not there would mean a build every time.
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", &branch, "packed-refs"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).is_file()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::rustc-env=LONGSHORE_COMMIT={}",
        git(&["rev-parse", "--short=12", "HEAD"]).as_deref().unwrap_or("no commit")
    );
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
