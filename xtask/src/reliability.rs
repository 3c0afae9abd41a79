//! `cargo xtask reliability`: writes what the ledger says into tests/RELIABILITY.md. Nobody types a count there; `cargo xtask test` holds the
//! page to the ledger.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::killmatrix::{KILLMATRIX, ZOMBIES};
use crate::ledger::Ledger;
use crate::netsim::NETSIM;
use crate::sim::SIM;
use crate::{Problem, repository};

/// The counts stand between these lines; the rest of the page is written by hand.
const BEGIN: &str = "<!-- from ledger.jsonl, by `cargo xtask reliability` -->\n";
const END: &str = "<!-- end of what the ledger says -->\n";

/// Writes the counts of now.
pub(crate) fn write() -> Result<(), Problem> {
    let (path, _, page) = pages()?;
    std::fs::write(&path, page).map_err(|error| Problem(format!("cannot write {}: {error}", path.display())))?;
    println!("{}", path.display());
    Ok(())
}

/// Fails if the page says something else than the ledger.
pub(crate) fn check() -> Result<(), Problem> {
    let (path, is, wanted) = pages()?;
    match is == wanted {
        true => Ok(()),
        false => {
            let fault = "is not what the ledger says: run `cargo xtask reliability`, and commit it";
            Err(Problem(format!("{} {fault}", path.display())))
        }
    }
}

/// Where the page is, how it is, and how it should be.
fn pages() -> Result<(PathBuf, String, String), Problem> {
    let path = repository().join("tests/RELIABILITY.md");
    let page =
        std::fs::read_to_string(&path).map_err(|error| Problem(format!("cannot read {}: {error}", path.display())))?;
    let wanted = with_counts(&page, &counts(&Ledger::open()?)).ok_or_else(|| {
        Problem(format!("{}: expected the lines {BEGIN:?} and {END:?}, one behind the other", path.display()))
    })?;
    Ok((path, page, wanted))
}

fn with_counts(page: &str, counts: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{counts}\n{END}{after}"))
}

/// Of one test.
#[derive(Debug, Default)]
struct Sums<'a> {
    runs: u64,
    kills: u64,
    values: u64,
    /// Of the last run.
    commit: &'a str,
}

/// Sums of all that passed, as Markdown.
fn counts(ledger: &Ledger) -> String {
    let sum = |name: &str, field: &str| ledger.entries(name).map(|entry| number(&entry[field])).sum::<u64>();
    let (seeds, steps, sims) = (sum(SIM.name, "seeds"), sum(SIM.name, "steps"), sum(NETSIM.name, "sims"));
    let mut kills = 0;
    let mut tests: BTreeMap<&str, Sums<'_>> = BTreeMap::new();
    for entry in ledger.all().filter(|entry| entry["test"] != SIM.name && entry["test"] != NETSIM.name) {
        let Some(name) = entry["test"].as_str() else { continue };
        let sums = tests.entry(name).or_default();
        sums.runs += 1;
        sums.kills += number(&entry["kills"]);
        sums.values += number(&entry["values"]);
        sums.commit = entry["commit"].as_str().unwrap_or_default();
        kills += number(&entry["kills"]);
    }
    let mut text = format!(
        "{seeds} seeds and {steps} steps of the simulator; {sims} scenarios of the simulated network; {kills} kills of processes. Nothing was lost, \
         nothing came twice, and nothing stood still: a run where it does is no line of the ledger.\n"
    );
    // Writing into a String cannot fail.
    for (campaign, where_it_was) in [
        (SIM, "in the simulator"),
        (NETSIM, "in the simulated network"),
        (KILLMATRIX, "killed"),
        (ZOMBIES, "frozen, while others went on"),
    ] {
        let mut happened = BTreeMap::<_, u64>::new();
        for (kind, what, times) in ledger.entries(campaign.name).flat_map(events) {
            *happened.entry((kind, what)).or_default() += times;
        }
        if !happened.is_empty() {
            writeln!(text, "\n| {where_it_was} | | times |\n|---|---|--:|").ok();
        }
        for ((kind, what), times) in happened {
            writeln!(text, "| {kind} | {what} | {times} |").ok();
        }
    }
    text.push_str("\n| test | runs | kills | values | commit of the last run |\n|---|--:|--:|--:|---|\n");
    for (name, Sums { runs, kills, values, commit }) in tests {
        let shown = |n: u64| if n == 0 { String::new() } else { n.to_string() };
        writeln!(text, "| {name} | {runs} | {} | {} | {commit} |", shown(kills), shown(values)).ok();
    }
    text.push_str(&bounds(ledger));
    if let Some(entry) = ledger.entries("recovery").last() {
        text.push_str("\n| killed and started again: until something new is committed | bindings | restarts | p50 | p99 |\n|---|--:|--:|--:|--:|\n");
        for found in entry["recovery"].as_array().into_iter().flatten() {
            let [mib, restarts, p50, p99] =
                ["journal_mib", "restarts", "p50_ms", "p99_ms"].map(|field| number(&found[field]));
            writeln!(
                text,
                "| {mib} MiB in the journal | {} | {restarts} | {p50} ms | {p99} ms |",
                number(&entry["bindings"])
            )
            .ok();
        }
    }
    text
}

/// How large and how slow it was tried with, and what that took, as the last runs have it. Of debug programs, where the line says so.
fn bounds(ledger: &Ledger) -> String {
    let seconds = |value: &Value| format!("{:.1} s", value.as_f64().unwrap_or(0.0));
    let megabytes = |value: &Value| format!("{} MB", number(value) / 1_000_000);
    let all = |value: &Value| value.as_object().into_iter().flatten().map(|(_, bytes)| number(bytes)).sum::<u64>();
    let built = |entry: &Value| if entry["programs"] == "debug" { " (debug programs)" } else { "" };
    let mut rows = Vec::new();
    if let Some(entry) = ledger.entries("bindings").last() {
        for run in entry["runs"].as_array().into_iter().flatten() {
            let what = format!(
                "{} bindings of one task, each with {}",
                number(&entry["bindings"]),
                run["what"].as_str().unwrap_or_default()
            );
            let memory = format!(
                "{}; connectors {} MB",
                megabytes(&run["runtime_rss_bytes"]),
                all(&run["connectors_rss_bytes"]) / 1_000_000
            );
            rows.push((what + built(entry), seconds(&run["seconds"]), memory));
        }
    }
    if let Some(entry) = ledger.entries("tasks").last() {
        let took = format!(
            "{} to the end; {} to stop",
            seconds(&entry["seconds_to_the_end"]),
            seconds(&entry["seconds_to_stop"])
        );
        let memory = format!(
            "{}, {} threads, {} descriptors; {} connectors {}",
            megabytes(&entry["runtime_rss_bytes"]),
            number(&entry["threads"]),
            number(&entry["descriptors"]),
            number(&entry["connectors"]),
            megabytes(&entry["connectors_rss_bytes"])
        );
        rows.push((format!("{} tasks of one catalog{}", number(&entry["tasks"]), built(entry)), took, memory));
    }
    if let Some(entry) = ledger.entries("deaths").last() {
        let (tasks, deaths) = (number(&entry["tasks"]), number(&entry["deaths"]));
        let what = format!("{tasks} connectors that end at once, {deaths} deaths");
        rows.push((what + built(entry), String::new(), megabytes(&entry["runtime_rss_bytes"])));
    }
    if let Some(entry) = ledger.entries("slower").last() {
        let what = format!(
            "a destination {:.0} times slower, under a limit ({}) of {} MiB",
            entry["ratio"].as_f64().unwrap_or(0.0),
            entry["limit"].as_str().unwrap_or_default(),
            number(&entry["limit_bytes"]) >> 20
        );
        rows.push((what + built(entry), seconds(&entry["seconds"]), megabytes(&entry["runtime_rss_bytes"])));
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut text = "\n| bound | took | memory of the runtime, at most |\n|---|--:|--:|\n".to_owned();
    for (what, took, memory) in rows {
        // Writing into a String cannot fail.
        writeln!(text, "| {what} | {took} | {memory} |").ok();
    }
    text
}

/// What happened in the simulator: kind, name, how often.
fn events(entry: &Value) -> impl Iterator<Item = (&str, &str, u64)> {
    let kinds = entry["happened"].as_object().into_iter().flatten();
    kinds.flat_map(|(kind, counts)| {
        let counts = counts.as_object().into_iter().flatten();
        counts.map(move |(what, times)| (kind.as_str(), what.as_str(), number(times)))
    })
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_written() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let wanted = format!("before\n{BEGIN}\nnew\n\n{END}after\n");
        assert_eq!(with_counts(&page, "new\n").as_deref(), Some(wanted.as_str()));
        assert_eq!(with_counts(&wanted, "new\n").as_deref(), Some(wanted.as_str()), "again, it is the same");
        assert_eq!(with_counts("no marks", "new\n"), None);
    }

    #[test]
    fn the_ledger_is_added_up() {
        let lines = [
            r#"{"test":"sim","from":0,"to":7,"seeds":7,"steps":700,"happened":{"fault":{"PowerCut":5},"disk":{"names lost":2}}}"#,
            r#"{"test":"sim","from":7,"to":9,"seeds":2,"steps":200,"happened":{"fault":{"PowerCut":1}}}"#,
            r#"{"test":"netsim","from":0,"to":3,"sims":3,"happened":{"network":{"Cut":4}}}"#,
            r#"{"test":"runtime-kills","kills":10,"commit":"a"}"#,
            r#"{"test":"runtime-kills","kills":12,"commit":"b"}"#,
            r#"{"test":"values","values":900,"commit":"c"}"#,
            r#"{"test":"killmatrix","seed":1,"kills":8,"happened":{"step":{"runtime.capture.durable":8}},"commit":"d"}"#,
            r#"{"test":"recovery","bindings":100,"recovery":[{"journal_mib":8,"restarts":3,"p50_ms":40,"p99_ms":90}]}"#,
        ];
        let lines = lines.into_iter().chain([
            r#"{"test":"bindings","bindings":10000,"runs":[{"what":"3 documents","seconds":9.81,"runtime_rss_bytes":90000000,"connectors_rss_bytes":{"a":8000000,"b":2000000}}]}"#,
            r#"{"test":"tasks","tasks":1000,"seconds_to_the_end":60.0,"seconds_to_stop":2.0,"runtime_rss_bytes":90000000,"threads":20,"descriptors":9000,"connectors":1000,"connectors_rss_bytes":9000000000}"#,
            r#"{"test":"deaths","tasks":167,"deaths":1002,"runtime_rss_bytes":40000000}"#,
            r#"{"test":"slower","ratio":110.2,"seconds":301.5,"limit":"cgroup","limit_bytes":268435456,"runtime_rss_bytes":150000000}"#,
        ]).collect::<Vec<_>>();
        let told = counts(&Ledger::of(&lines.join("\n")));
        for line in [
            "9 seeds and 900 steps of the simulator; 3 scenarios of the simulated network; 30 kills of processes.",
            "| network | Cut | 4 |",
            "| fault | PowerCut | 6 |",
            "| disk | names lost | 2 |",
            "| 8 MiB in the journal | 100 | 3 | 40 ms | 90 ms |",
            "| step | runtime.capture.durable | 8 |",
            "| runtime-kills | 2 | 22 |  | b |",
            "| values | 1 |  | 900 | c |",
            "| 10000 bindings of one task, each with 3 documents | 9.8 s | 90 MB; connectors 10 MB |",
            "| 1000 tasks of one catalog | 60.0 s to the end; 2.0 s to stop | 90 MB, 20 threads, 9000 descriptors; 1000 connectors 9000 MB |",
            "| 167 connectors that end at once, 1002 deaths |  | 40 MB |",
            "| a destination 110 times slower, under a limit (cgroup) of 256 MiB | 301.5 s | 150 MB |",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
    }
}
