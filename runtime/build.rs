//! Tells the binary which commit it was built from, for `--version`. Outside a git checkout it says so.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=../.git/refs/heads");
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .filter(|commit| !commit.is_empty());
    println!("cargo::rustc-env=LONGSHORE_COMMIT={}", commit.as_deref().unwrap_or("no commit"));
}
