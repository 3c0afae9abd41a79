//! Every command teaches by example, and what it teaches is understood.

use clap::{Command, CommandFactory as _, Parser as _};

use super::args::Cli;

/// A command and all below it, with the words that lead there.
fn walk(command: &Command, words: &str, found: &mut Vec<(String, String)>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    found.push((words.to_owned(), help));
    for below in command.get_subcommands() {
        walk(below, &format!("{words} {}", below.get_name()), found);
    }
}

/// The lines of an `Examples:` section.
fn examples(help: &str) -> Vec<&str> {
    let section = help.split_once("Examples:\n").map_or("", |(_, section)| section);
    section.lines().take_while(|line| !line.is_empty()).collect()
}

/// The words of our command in a line such as `pass show shop | longshore secret encrypt --to age1…    what it does`.
fn words(line: &str) -> Vec<String> {
    let from = line.find("longshore ").unwrap_or_else(|| panic!("no command of ours in {line:?}"));
    let command = line[from..].split("   ").next().unwrap_or_default();
    let command =
        command.split([' ', '\n']).take_while(|word| !["|", ">"].contains(word)).collect::<Vec<_>>().join(" ");
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in command.trim_end().chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            letter => words.last_mut().expect("at least one").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_has_an_example_and_every_example_is_a_command() {
    let mut all = Vec::new();
    walk(&Cli::command(), "longshore", &mut all);
    assert!(all.len() > 25, "{} commands", all.len());
    let mut parsed = 0;
    for (command, help) in &all {
        let examples = examples(help);
        assert!(!examples.is_empty(), "`{command} --help` has no section `Examples:`");
        let begins: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let shows_itself = examples.iter().any(|line| words(line).starts_with(&begins));
        assert!(shows_itself, "`{command} --help` has no example of itself: {examples:?}");
        for line in examples {
            let words = words(line);
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("`{command} --help` teaches {line:?}, which is not understood: {words:?}\n{error}");
            }
            parsed += 1;
        }
    }
    assert!(parsed > 50, "{parsed} examples");
}

#[test]
fn help_fits_a_terminal() {
    let mut all = Vec::new();
    walk(&Cli::command(), "longshore", &mut all);
    let wide: Vec<String> = all
        .iter()
        .flat_map(|(command, help)| examples(help).into_iter().map(move |line| (command, line)))
        .filter(|(_, line)| line.chars().count() > 110)
        .map(|(command, line)| format!("{command}: {line}"))
        .collect();
    assert!(wide.is_empty(), "shorten these examples:\n  {}", wide.join("\n  "));
}
