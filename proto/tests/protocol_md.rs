//! PROTOCOL.md is prose written by hand with parts printed from the code. This test compares them, and with `UPDATE=1` prints them anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use longshore_proto::rules::{self, Rule};
use longshore_proto::{Side, capture, materialize};

/// The tables and lists, by the name of their place in the file.
fn printed() -> Vec<(&'static str, String)> {
    vec![
        ("X-RULES", rules_list(rules::COMMON)),
        ("C-TABLE", pull_table()),
        ("C-RULES", rules_list(rules::CAPTURE)),
        ("M-TABLE", transact_table()),
        ("M-RULES", rules_list(rules::MATERIALIZE)),
    ]
}

fn rules_list(rules: &[Rule]) -> String {
    rules.iter().fold(String::new(), |mut list, rule| {
        writeln!(list, "* **{}** {}", rule.id, rule.text).expect("writes");
        list
    })
}

fn pull_table() -> String {
    use capture::order::{Kind, State, step};
    let cell = |state: State, side| {
        cell(
            Kind::ALL.iter().filter_map(|&kind| Some((kind.as_str(), step(state, side, kind).ok()?.as_str()))),
            state.as_str(),
        )
    };
    table(State::ALL.iter().map(|&state| (state.as_str(), cell(state, Side::Runtime), cell(state, Side::Connector))))
}

fn transact_table() -> String {
    use materialize::order::{Kind, State, step};
    let cell = |state: State, side| {
        cell(
            Kind::ALL.iter().filter_map(|&kind| Some((kind.as_str(), step(state, side, kind).ok()?.as_str()))),
            state.as_str(),
        )
    };
    table(State::ALL.iter().map(|&state| (state.as_str(), cell(state, Side::Runtime), cell(state, Side::Connector))))
}

/// Messages that lead to the same state stand together; those that stay stand first, without an arrow.
fn cell(messages: impl Iterator<Item = (&'static str, &'static str)>, state: &str) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = vec![(state, vec![])];
    for (message, next) in messages {
        match groups.iter_mut().find(|(to, _)| *to == next) {
            Some((_, messages)) => messages.push(message),
            None => groups.push((next, vec![message])),
        }
    }
    let show = |(to, messages): (&str, Vec<&str>)| {
        let messages = messages.join(", ");
        if to == state { messages } else { format!("{messages} → {to}") }
    };
    groups.into_iter().filter(|(_, messages)| !messages.is_empty()).map(show).collect::<Vec<_>>().join("; ")
}

fn table(rows: impl Iterator<Item = (&'static str, String, String)>) -> String {
    let mut table = String::from("| while | the runtime may send | the connector may send |\n|---|---|---|\n");
    for (state, runtime, connector) in rows {
        writeln!(table, "| {state} | {runtime} | {connector} |").expect("writes");
    }
    table
}

#[test]
fn protocol_md_says_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("PROTOCOL.md");
    let text = fs::read_to_string(&path).expect("PROTOCOL.md is there");
    let mut fresh = text.clone();
    for (name, part) in printed() {
        let (begin, end) = (format!("<!-- printed {name} -->\n"), format!("<!-- end {name} -->"));
        let from = fresh
            .find(&begin)
            .map(|at| at + begin.len())
            .unwrap_or_else(|| panic!("PROTOCOL.md has no place for {name}"));
        let to = from + fresh[from..].find(&end).unwrap_or_else(|| panic!("PROTOCOL.md has no end of {name}"));
        fresh.replace_range(from..to, &part);
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, fresh).expect("PROTOCOL.md is written");
    } else {
        assert!(fresh == text, "PROTOCOL.md is out of date; run: UPDATE=1 cargo test -p longshore-proto protocol_md");
    }
}

#[test]
fn rules_are_numbered_without_gaps() {
    for (prefix, rules) in [("X", rules::COMMON), ("C", rules::CAPTURE), ("M", rules::MATERIALIZE)] {
        for (i, rule) in rules.iter().enumerate() {
            assert_eq!(rule.id, format!("{prefix}-{}", i + 1));
        }
    }
}
