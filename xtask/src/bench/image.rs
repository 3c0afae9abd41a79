//! From the start of a command to the first document of a connector in a static image, beside a plain `docker run` of the same image.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Better, Bins, Figure, PAIRS, remove, scratch, spread, write};
use crate::Problem;
use crate::image::{self, Wanted};

const IMAGE: &str = "longshore/capture-generator:dev";

pub(super) fn start(bins: &Bins) -> Result<Figure, Problem> {
    // Prints the sizes too.
    image::image(&Wanted::ALL)?;
    let directory = scratch()?;
    write(
        &directory.join("bench.yaml"),
        &format!(
            "captures:\n  source:\n    image: {IMAGE}\n    config: {{ count: 1 }}\n    \
             bindings:\n      - {{ resource: {{ stream: bench }}, collection: bench/documents }}\n\
             collections:\n  bench/documents: {{ key: [/id] }}\n"
        ),
    )?;
    let ours = || {
        let mut command = bins.command("longshore");
        command.current_dir(&directory).args(["preview", "source", "--documents", "1", "-q", "bench.yaml"]);
        first_line(command)
    };
    let plain = || {
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--network", "none", IMAGE, "--version"]);
        first_line(command)
    };
    println!("{:>6} {:>18} {:>18} {:>7}", "run", "first document s", "docker run s", "ratio");
    let (mut ratios, mut noise, mut firsts, mut plains) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=PAIRS {
        let (of_plain, of_ours, again) = (plain()?, ours()?, plain()?);
        println!("{turn:>6} {of_ours:>18.3} {of_plain:>18.3} {:>7.2}", of_ours / of_plain);
        ratios.push(of_ours / of_plain);
        noise.push(again / of_plain);
        firsts.push(of_ours);
        plains.push(of_plain);
    }
    remove(&directory)?;
    let more = json!({ "first_document_s": spread(firsts).median, "docker_run_s": spread(plains).median });
    Ok(Figure {
        ratio: spread(ratios),
        aa: spread(noise).median,
        better: Better::Lower,
        also: true,
        floor: 2.0,
        goal: 1.2,
        unit: None,
        more,
    })
}

/// Seconds until a command prints its first line; it is waited for.
fn first_line(mut command: Command) -> Result<f64, Problem> {
    let cannot = |error: std::io::Error| Problem(format!("cannot run a benchmark's command: {error}"));
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().ok_or_else(|| Problem("no standard output".into()))?);
    output.read_line(&mut line).map_err(cannot)?;
    let took: Duration = begun.elapsed();
    let status = child.wait().map_err(cannot)?;
    if line.trim().is_empty() || !status.success() {
        return Err(Problem(format!("{command:?} printed no line, or ended with {status}")));
    }
    Ok(took.as_secs_f64())
}
