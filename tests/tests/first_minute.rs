//! The first minute: from an empty folder to rows, without a terminal and with one; and what is there is never written over.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "how long the first minute takes is shown")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use longshore_tests::destination;
use longshore_tests::scene::{Finished, Scene, bin_dir, holds_within, is_connector, repository};
use rustix::process::Signal;

const HERE: &str = "longshore-quickstart";

/// What the extract holds, counted by other means than ours.
const FLIGHTS: i64 = 4_334;
const AIRPORTS: i64 = 1_458;

fn count(scene: &Scene, table: &str) -> i64 {
    destination::number(&scene.join(HERE).join("nyc.db"), &format!("SELECT count(*) FROM {table}"))
}

/// With the words first that keep root from writing where a mode forbids it.
fn held_by_modes(scene: &Scene, words: &[&str]) -> Finished {
    let longshore = bin_dir().join("longshore");
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]);
        command.arg(longshore);
        command
    } else {
        Command::new(longshore)
    };
    command.args(words);
    scene.start_command(command).finish()
}

#[test]
fn from_an_empty_folder_to_rows() {
    let scene = Scene::new();
    let begun = Instant::now();
    let run = scene.longshore(["quickstart"]).expect_code(0);
    println!("from an empty folder to rows: {:.2} s", begun.elapsed().as_secs_f64());
    assert_eq!(
        (count(&scene, "flights"), count(&scene, "airports"), count(&scene, "airlines")),
        (FLIGHTS, AIRPORTS, 16)
    );

    let row = destination::text(
        &scene.join(HERE).join("nyc.db"),
        "SELECT carrier || '  ' || flight FROM flights ORDER BY time_hour, carrier, flight LIMIT 1",
    );
    assert!(run.stdout.split_whitespace().collect::<Vec<_>>().join("  ").contains(&row), "{row}\n{}", run.stdout);
    let catalog = std::fs::read_to_string(scene.join(HERE).join("longshore.yaml")).expect("the catalog");
    let at = |words: &str| run.stdout.find(words).unwrap_or_else(|| panic!("no {words:?} in\n{}", run.stdout));
    // Rows, then the catalog, then where both lie.
    assert!(at("time_hour") < at("captures:") && at("captures:") < at("Where it lies"), "{}", run.stdout);
    for line in catalog.lines() {
        assert!(run.stdout.contains(line), "the catalog is shown whole: {line}\n{}", run.stdout);
    }
    assert!(run.stdout.contains("longshore-quickstart/nyc.db "), "{}", run.stdout);
    let wide: Vec<&str> =
        run.stdout.lines().filter(|line| line.chars().count() > 80 && !line.contains("/tmp/")).collect();
    assert!(wide.is_empty(), "wider than a terminal of 80 columns: {wide:#?}");
    assert_eq!(run.stderr, "", "nobody watches, and nothing went wrong");
}

#[test]
fn what_it_says_to_try_next_works() {
    let scene = Scene::new();
    let run = scene.longshore(["quickstart"]).expect_code(0);
    let next = run.stdout.split_once("Next:\n").expect("what to try next").1;
    let next = next.split_once("\nA catalog").expect("the end of it").0;
    let (steps, last) = next.trim_end().rsplit_once('\n').expect("several steps");
    assert!(last.trim_start().starts_with("longshore run  "), "the last one goes on: {last}");
    scene.write("next.sh", format!("set -eu\n{steps}\n"));
    let mut bash = Command::new("bash");
    bash.arg("next.sh");
    let tried = scene.start_command(bash).finish().expect_code(0);
    assert!(tried.stdout.contains("nothing new"), "{}", tried.stdout);
    let name = "SELECT name FROM airports WHERE faa = 'JFK'";
    assert_eq!(destination::text(&scene.join(HERE).join("nyc.db"), name), "Idlewild");
    assert_eq!(
        (count(&scene, "flights"), count(&scene, "airports")),
        (FLIGHTS, AIRPORTS),
        "one row changed, none was added"
    );
}

#[test]
fn a_second_time_leaves_all_as_it_is_and_says_how_to_go_on() {
    let scene = Scene::new();
    scene.longshore(["quickstart"]).expect_code(0);
    scene.append(format!("{HERE}/data/airlines.csv"), "ZZ,Mine\n");
    let again = scene.longshore(["quickstart"]).expect_code(2);
    assert!(again.stderr.contains("is there already, from a quickstart before"), "{}", again.stderr);
    let told = "longshore run --until caught-up longshore-quickstart/longshore.yaml";
    assert!(again.stderr.contains(told), "{}", again.stderr);
    assert_eq!(count(&scene, "airlines"), 16, "nothing was moved");
    let words: Vec<&str> = told.split(' ').skip(1).collect();
    scene.longshore(words).expect_code(0);
    assert_eq!(count(&scene, "airlines"), 17, "what it says works");
}

#[test]
fn nothing_that_is_there_is_written_over() {
    let scene = Scene::new();
    scene.write("mine/longshore.yaml", "# mine\n").write("file", "mine");
    for place in ["mine", "file"] {
        let refused = scene.longshore(["quickstart", "--into", place]).expect_code(2);
        assert!(
            refused.stderr.contains("is there already") && refused.stderr.contains("--into DIR"),
            "{}",
            refused.stderr
        );
    }
    let names = |directory: &str| std::fs::read_dir(scene.join(directory)).expect("a directory").count();
    assert_eq!((names("mine"), names(".")), (1, 2));
    // An empty folder holds nothing that could be lost; one above that is missing is made.
    std::fs::create_dir(scene.join("empty")).expect("make a directory");
    scene.longshore(["quickstart", "--into", "empty"]).expect_code(0);
    scene.longshore(["quickstart", "--into", "new/deep er"]).expect_code(0);
    assert!(scene.join("new/deep er/nyc.db").is_file());
}

#[test]
fn a_folder_that_may_not_be_written_is_told() {
    let scene = Scene::new();
    let closed = scene.join("closed");
    std::fs::create_dir(&closed).expect("make a directory");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).expect("close a directory");
    let refused = held_by_modes(&scene, &["quickstart", "--into", "closed/here"]).expect_code(2);
    assert!(refused.stderr.starts_with("error: cannot make closed/here: Permission denied"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--into DIR"), "{}", refused.stderr);
    let refused = held_by_modes(&scene, &["quickstart", "--into", "closed"]).expect_code(2);
    assert!(refused.stderr.starts_with("error: cannot make closed/data: Permission denied"), "{}", refused.stderr);
    assert_eq!(std::fs::read_dir(&closed).expect("a directory").count(), 0);
}

#[test]
fn without_connectors_nothing_is_begun() {
    let scene = Scene::new();
    let alone = scene.join("bin/longshore");
    std::fs::create_dir(scene.join("bin")).expect("make a directory");
    std::fs::copy(bin_dir().join("longshore"), &alone).expect("copy the binary");
    let mut command = Command::new("env");
    command.args(["PATH=/usr/bin:/bin"]).arg(&alone).arg("quickstart");
    let refused = scene.start_command(command).finish().expect_code(2);
    assert!(refused.stderr.contains("no executable capture-files found"), "{}", refused.stderr);
    assert!(!scene.join(HERE).exists(), "nothing was written");
}

#[test]
fn for_programs_there_are_objects() {
    let scene = Scene::new();
    let run = scene.longshore(["quickstart", "--json", "--into", "q"]).expect_code(0);
    for line in run.stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    let rows = run.objects("row");
    assert_eq!(rows.len(), 5);
    assert!(rows[0]["row"]["carrier"].is_string() && rows[0]["row"]["flight"].is_i64(), "{}", rows[0]);
    let told = &run.objects("quickstart")[0];
    assert_eq!((&told["rows"]["flights"], &told["catalog"]), (&FLIGHTS.into(), &"q/longshore.yaml".into()));
    assert!(told["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{told}");
    assert_eq!(run.rows("lake").iter().map(|(_, rows)| rows).sum::<u64>(), (FLIGHTS + AIRPORTS + 16).unsigned_abs());
}

/// Whenever a signal comes, the command ends, and what it says to do brings the rest.
#[test]
fn a_signal_ends_it_in_order_and_the_rest_can_be_run() {
    for (number, signal) in [Signal::INT, Signal::TERM].into_iter().enumerate() {
        let scene = Scene::new();
        let mut run = scene.start(["quickstart"]);
        let connectors = || run_children(run.id());
        assert!(holds_within(Duration::from_secs(60), || !connectors().is_empty()), "it starts connectors");
        run.signal(signal);
        let held = holds_within(Duration::from_secs(60), || !run.is_running());
        assert!(held, "case {number}: it ends");
        let ended = run.finish().expect_code(0);
        let catalog = format!("{HERE}/longshore.yaml");
        // It may have been done already.
        if !ended.stdout.contains("Next:") {
            assert!(ended.stdout.contains(&format!("`longshore run {catalog}` goes on")), "{}", ended.stdout);
        }
        scene.longshore(["run", "--until", "caught-up", &catalog]).expect_code(0);
        assert_eq!((count(&scene, "flights"), count(&scene, "airports")), (FLIGHTS, AIRPORTS));
    }
}

fn run_children(process: u32) -> Vec<u32> {
    longshore_tests::scene::children_of(process).into_iter().filter(|child| is_connector(*child)).collect()
}

/// On a terminal of 80 columns it is the same, with a live view while it runs.
#[test]
fn in_a_terminal_it_looks_the_same() {
    let scene = Scene::new();
    let mut script = Command::new("script");
    script.args(["-qec", "stty cols 80 rows 40; longshore quickstart", "/dev/null"]);
    let run = scene.start_command(script).finish().expect_code(0);
    let text = run.stdout.replace('\r', "");
    assert!(text.contains("time_hour") && text.contains("Where it lies:") && text.contains("Next:"), "{text}");
    assert!(run.stdout.contains("\u{1b}["), "the view is drawn\n{}", run.stdout);
}

/// The data is what it is said to be: the beginning of the year, as the whole year has it.
#[test]
fn the_extract_is_a_part_of_the_year() {
    let packed = |name: &str| std::fs::File::open(repository().join(name)).and_then(zstd::decode_all).expect("unpacks");
    let (year, extract) =
        (packed("examples/nyc-flights/flights.csv.zst"), packed("examples/quickstart/flights.csv.zst"));
    let of_january = |line: &&[u8]| {
        (1..=5).any(|day| line.starts_with(format!("2013,1,{day},").as_bytes())) || line.starts_with(b"year,")
    };
    let expected: Vec<&[u8]> = year.split(|&byte| byte == b'\n').filter(of_january).collect();
    let got: Vec<&[u8]> = extract.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(got.len() as i64, FLIGHTS + 1);
    assert!(got == expected, "the lines are those of the year");
}

#[test]
fn a_shell_completes_our_words() {
    let scene = Scene::new();
    let complete = r#"
        source <(longshore completions bash)
        complete -p longshore
        COMP_WORDS=(longshore qui); COMP_CWORD=1
        _longshore longshore qui longshore; echo "verb: ${COMPREPLY[*]}"
        COMP_WORDS=(longshore run --unt); COMP_CWORD=2
        _longshore longshore --unt run; echo "option: ${COMPREPLY[*]}"
        COMP_WORDS=(longshore run --until ca); COMP_CWORD=3
        _longshore longshore ca --until; echo "value: ${COMPREPLY[*]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["-c", complete]);
    let completed = scene.start_command(bash).finish().expect_code(0);
    for line in ["-F _longshore", "verb: quickstart\n", "option: --until\n", "value: caught-up\n"] {
        assert!(completed.stdout.contains(line), "no {line:?} in\n{}{}", completed.stdout, completed.stderr);
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = scene.longshore(["completions", shell]).expect_code(0).stdout;
        assert!(script.contains("longshore") && script.contains("quickstart"), "{shell}: {script}");
    }
}
