//! What `check` accepts does not fail later for a reason of configuration: hundreds of catalogs, each checked, and run if it was accepted.
//!
//! `LONGSHORE_CATALOGS` says how many (each change has its turn in the first few hundred), `LONGSHORE_SEED` which; `LONGSHORE_CATALOG` runs the
//! one of that number alone and shows it.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "runs have a limit, and what was found out is shown"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use longshore_tests::catalogs::{CATALOG, Case, Change, changes};
use longshore_tests::dice::{Dice, number};
use longshore_tests::scene::{Finished, Scene};

/// Three documents move in no time; what is tried again and again must not be what was accepted.
const LIMIT: Duration = Duration::from_secs(60);
const RUN: [&str; 5] = ["run", "--until", "caught-up", "--json", CATALOG];

#[test]
fn what_check_accepts_does_not_fail_for_a_reason_of_configuration() {
    let changes = changes();
    let all = number("LONGSHORE_CATALOGS", changes.len() as u64) as usize;
    let alone = std::env::var("LONGSHORE_CATALOG").ok().and_then(|number| number.parse::<usize>().ok());
    let (next, ends, wrong) =
        (AtomicUsize::new(alone.unwrap_or(0)), Mutex::new(BTreeMap::<&str, u32>::new()), Mutex::new(Vec::new()));
    let end = alone.map_or(all, |number| number + 1);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(4) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    match examine(number, &changes, if alone.is_some() { Look::Shown } else { Look::Plain }) {
                        Ok(end) => *ends.lock().expect("a lock").entry(end).or_default() += 1,
                        Err(why) => wrong.lock().expect("a lock").push(why),
                    }
                }
            });
        }
    });
    let (ends, wrong) = (ends.into_inner().expect("a lock"), wrong.into_inner().expect("a lock"));
    println!(
        "ledger: {}",
        serde_json::json!({ "test": "accepted", "catalogs": all, "ends": ends, "wrong": wrong.len() })
    );
    assert!(wrong.is_empty(), "{} of {all} catalogs were accepted and failed:\n\n{}", wrong.len(), wrong.join("\n\n"));
    if alone.is_none() {
        // A check that refuses or accepts everything shows nothing.
        let of = |end: &str| ends.get(end).copied().unwrap_or(0) as usize * 5;
        assert!(of(REFUSED) > all && of(MOVED) > all, "expected a fifth refused and a fifth moved at least: {ends:?}");
    }
}

/// The test above can fail: a check that lets mistakes pass is found out by the runs.
#[test]
fn a_check_that_is_blind_is_found_out() {
    let changes = changes();
    let found = (0..8).filter(|&number| examine(number, &changes, Look::Blind).is_err()).count();
    assert!(found >= 3, "expected the runs to fail where check had refused, got {found} of the first 8 that did");
}

/// How a catalog is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    /// What happens is printed.
    Shown,
    /// What `check` refuses is run all the same.
    Blind,
}

const REFUSED: &str = "refused";
const MOVED: &str = "moved";

/// How one catalog ended; an error if `check` said one thing and the run another.
fn examine(number: usize, changes: &[Change], look: Look) -> Result<&'static str, String> {
    let mut dice = Dice::new(self::number("LONGSHORE_SEED", 1).wrapping_mul(1 << 32).wrapping_add(number as u64));
    let case = Case::of(number, changes, &mut dice);
    let scene = Scene::new();
    case.begin(&scene);
    let told = |what: &str, finished: &Finished| {
        let Finished { code, stdout, stderr } = finished;
        format!(
            "LONGSHORE_CATALOG={number}: {}\n{what} (exit {code:?})\n{stderr}\n{}\n{}",
            case.changes.join("; "),
            stdout.lines().filter(|line| line.contains("\"error\"")).collect::<Vec<_>>().join("\n"),
            shortened(&case.catalog.to_string()),
        )
    };
    // A third meets a state and destinations that are there already.
    let second_life = dice.below(3) == 0;
    if second_life {
        let finished = run(&scene)?;
        if finished.code != Some(0) {
            return Err(told("the valid catalog failed", &finished));
        }
    }
    case.change(&scene);
    let check = scene.longshore(["check", CATALOG]);
    if look == Look::Shown {
        println!("{}", told("checked", &check));
    }
    match check.code {
        Some(0) => {}
        Some(_) if look == Look::Blind => {}
        Some(2) if check.stderr.contains("error[") || check.stderr.contains("error:") => return Ok(REFUSED),
        // Data that nobody can read is found by looking at it, too.
        Some(1) if check.stderr.contains("error[") => return Ok("refused for its data"),
        _ => return Err(told("check itself failed", &check)),
    }
    let finished = run(&scene).map_err(|error| format!("{}\n{error}", told("checked", &check)))?;
    if look == Look::Shown {
        println!("{}", told("run", &finished));
    }
    if finished.code != Some(0) {
        let errors = finished.objects("error");
        let of_the_data = !errors.is_empty() && errors.iter().all(|error| error["kind"] == "data");
        return match finished.code {
            Some(1) if of_the_data => Ok("failed for its data"),
            _ => Err(told("accepted, and then", &finished)),
        };
    }
    // What ran is as good as before.
    let again = scene.longshore(["check", CATALOG]);
    if again.code != Some(0) {
        return Err(told("it ran, and then check said", &again));
    }
    Ok(MOVED)
}

fn run(scene: &Scene) -> Result<Finished, String> {
    let (begun, mut running) = (Instant::now(), scene.start(RUN));
    if running.wait_until(|| begun.elapsed() > LIMIT) {
        let finished = running.kill();
        return Err(format!("still running after {LIMIT:?}\n{}{}", finished.stdout, finished.stderr));
    }
    Ok(running.finish())
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(3_000)]
}
