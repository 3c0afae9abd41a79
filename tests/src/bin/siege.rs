//! `cargo xtask hostile`: lets the hostile connectors loose and prints a line for each attempt: `blocked NAME` or `SUCCEEDED NAME`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use std::process::ExitCode;

use longshore_tests::siege::plant::Plant;
use longshore_tests::siege::siege;

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    // What stopped each, too.
    let tells = words.iter().any(|word| word == "--tell");
    words.retain(|word| word != "--tell");
    let plant = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => None,
        ["--plant", name] => match Plant::named(name) {
            Ok(plant) => Some(plant),
            Err(why) => {
                eprintln!("siege: {why}");
                return ExitCode::from(2);
            }
        },
        _ => {
            eprintln!("usage: siege [--plant WEAKNESS] [--tell]");
            return ExitCode::from(2);
        }
    };
    let attempts = siege(plant);
    for attempt in &attempts {
        let word = if attempt.succeeded { "SUCCEEDED" } else { "blocked" };
        println!("{word} {}", attempt.name);
        if attempt.succeeded || tells {
            eprintln!("    {}", attempt.detail.lines().next().unwrap_or_default());
        }
    }
    let succeeded = attempts.iter().filter(|attempt| attempt.succeeded).count();
    println!("{} attempts, {succeeded} succeeded", attempts.len());
    if succeeded == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
