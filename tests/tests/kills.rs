//! Killed again and again, every row is there exactly once: the runtime by SIGKILL, then its connectors, at seeded random moments.
//!
//! `LONGSHORE_KILLS` sets how many of each (a short slice by default; `cargo xtask test --long` asks for 50), `LONGSHORE_SEED` the seed.

use longshore_tests::killing::{kill, kill_a_connector, nothing_lost_or_twice, plan, run_into_a_kill, wait};
use longshore_tests::scene::{Scene, is_connector};
use longshore_tests::verbatim::{self, Catalog};
use longshore_tests::{carriers, destination, nyc};

const RUN: [&str; 4] = ["run", "--until", "caught-up", "flights.yaml"];

#[test]
fn runtime_killed_at_random_moments() {
    let (kills, mut dice) = plan();
    let mut scene = nyc::scene();
    let mut killed = 0;
    while killed < kills {
        let mut running = scene.start(RUN);
        let moment = dice.milliseconds(20, 1_500);
        if wait(&mut running, moment) {
            running.kill();
            killed += 1;
        } else {
            // It got through before the moment came: compare, then begin anew.
            running.finish().expect_code(0);
            nyc::assert_everything_once(&scene);
            scene = nyc::scene();
        }
    }
    scene.longshore(RUN).expect_code(0);
    nyc::assert_everything_once(&scene);
    println!("{}", nothing_lost_or_twice("runtime-kills", &dice, killed));
}

#[test]
fn connectors_killed_at_random_moments_are_started_again() {
    let (kills, mut dice) = plan();
    let mut killed = 0;
    while killed < kills {
        let scene = nyc::scene();
        let mut running = scene.start(RUN);
        // Few kills a run: five deaths of a connector without progress would end it, and rightly.
        for _ in 0..3 {
            let moment = dice.milliseconds(30, 900);
            if !wait(&mut running, moment) {
                break;
            }
            killed += u64::from(kill_a_connector(&running, &mut dice).unwrap_or(false));
        }
        running.finish().expect_code(0);
        nyc::assert_everything_once(&scene);
    }
    println!("{}", nothing_lost_or_twice("connector-kills", &dice, killed));
}

#[test]
fn sums_killed_at_random_moments() {
    const FLIGHTS: usize = 60_000;
    let run = ["run", "--until", "caught-up", "carriers.yaml"];
    let (kills, mut dice) = plan();
    let mut killed = 0;
    while killed < kills {
        let scene = carriers::scene_with(FLIGHTS);
        let mut running = scene.start(run);
        for _ in 0..4 {
            if !wait(&mut running, dice.milliseconds(20, 700)) {
                break;
            }
            let connectors: Vec<u32> = running.children().into_iter().filter(|&child| is_connector(child)).collect();
            match connectors.get(dice.below(4) as usize) {
                // It may be gone by itself already; then it was no kill.
                Some(&victim) => killed += u64::from(kill(victim)),
                None => {
                    running.kill();
                    killed += 1;
                    running = scene.start(run);
                }
            }
        }
        running.finish().expect_code(0);
        carriers::assert_reduced_once(&scene, FLIGHTS as u64);
    }
    println!("{}", nothing_lost_or_twice("sum-kills", &dice, killed));
}

#[test]
fn letters_and_their_replay_killed_at_random_moments() {
    const DOCUMENTS: u64 = 300;
    let (kills, mut dice) = plan();
    let of_type = |types: &str| {
        let schema =
            format!("schema: {{ type: object, properties: {{ id: {{ type: integer }}, v: {{ type: {types} }} }} }}");
        Catalog { per_checkpoint: 4, pace_ms: 5, ..Catalog::of(&schema) }
    };
    let mut killed = 0;
    while killed < kills {
        let scene = Scene::new();
        let v = |id: u64| if id.is_multiple_of(5) { format!("\"text {id}\"") } else { id.to_string() };
        let documents: Vec<String> = (0..DOCUMENTS).map(|id| format!("{{\"id\":{id},\"v\":{}}}", v(id))).collect();
        verbatim::source(&scene, &documents);
        let mut kill = |words: &[&str], (least, most): (u64, u64)| {
            let mut running = scene.start(words);
            if wait(&mut running, dice.milliseconds(least, most)) {
                running.kill();
                killed += 1;
            }
        };
        of_type("integer").write(&scene);
        let run = ["run", "--until", "caught-up"];
        for _ in 0..2 {
            kill(&run, (50, 700));
        }
        scene.longshore(run).expect_code(0);
        let waiting = verbatim::letters(&scene);
        let mut letters: Vec<u64> = waiting.iter().filter_map(|letter| letter["document"]["id"].as_u64()).collect();
        letters.sort_unstable();
        let bad: Vec<u64> = (0..DOCUMENTS).filter(|id| id.is_multiple_of(5)).collect();
        assert_eq!(letters, bad, "each that does not fit is a letter once");
        let (rows, log) = verbatim::arrived(&scene);
        assert_eq!((rows.cast_unsigned(), log.len() as u64), (DOCUMENTS - bad.len() as u64, rows.cast_unsigned()));

        of_type("[integer, string]").write(&scene);
        for _ in 0..2 {
            kill(&["dlq", "replay", "in"], (2, 120));
        }
        kill(&run, (50, 700));
        scene.longshore(["dlq", "replay", "in"]).expect_code(0);
        scene.longshore(run).expect_code(0);
        let (rows, log) = verbatim::arrived(&scene);
        assert_eq!((rows.cast_unsigned(), log.len() as u64), (DOCUMENTS, DOCUMENTS));
        assert!(log.values().all(|times| *times == 1), "replayed twice: {log:?}");
        assert!(verbatim::letters(&scene).is_empty());
    }
    println!("{}", nothing_lost_or_twice("letter-kills", &dice, killed));
}

/// A destination that refuses some, the runtime and its connectors killed, what it refused sent again, killed again.
#[test]
fn what_a_destination_refuses_killed_at_random_moments() {
    const DOCUMENTS: u64 = 300;
    const RUN: [&str; 3] = ["run", "--until", "caught-up"];
    let (kills, mut dice) = plan();
    let of = |on_conflict, types: &str| {
        let schema =
            format!("schema: {{ type: object, properties: {{ id: {{ type: integer }}, v: {{ type: {types} }} }} }}");
        Catalog { per_checkpoint: 4, pace_ms: 5, on_conflict, ..Catalog::of(&schema) }
    };
    // The column is made for integers; then texts come too.
    let is_refused = |id: u64| id > 3 && id.is_multiple_of(7);
    let v = |id: u64| if is_refused(id) { format!("\"text {id}\"") } else { id.to_string() };
    let documents: Vec<String> = (0..DOCUMENTS).map(|id| format!("{{\"id\":{id},\"v\":{}}}", v(id))).collect();
    let bad: Vec<u64> = (0..DOCUMENTS).filter(|id| is_refused(*id)).collect();
    let mut killed = 0;
    while killed < kills {
        let scene = Scene::new();
        of("dead_letter", "integer").write(&scene);
        verbatim::source(&scene, &documents[..4]);
        scene.longshore(RUN).expect_code(0);
        of("dead_letter", "[integer, string]").write(&scene);
        verbatim::source(&scene, &documents);
        let mut kill = |words: &[&str], (least, most): (u64, u64)| {
            let mut running = scene.start(words);
            if !wait(&mut running, dice.milliseconds(least, most)) {
                return;
            }
            if words[0] == "run" && dice.below(2) == 0 {
                killed += u64::from(kill_a_connector(&running, &mut dice).unwrap_or(false));
                wait(&mut running, dice.milliseconds(least, most));
            }
            if running.is_running() {
                running.kill();
                killed += 1;
            }
        };
        for _ in 0..3 {
            kill(&RUN, (30, 700));
        }
        scene.longshore(RUN).expect_code(0);
        let waiting = verbatim::letters(&scene);
        let mut letters: Vec<u64> = waiting.iter().filter_map(|letter| letter["document"]["id"].as_u64()).collect();
        letters.sort_unstable();
        assert_eq!(letters, bad, "each that is refused is a letter once");
        let (rows, log) = verbatim::arrived(&scene);
        assert_eq!((rows.cast_unsigned(), log.len() as u64), (DOCUMENTS - bad.len() as u64, DOCUMENTS));

        of("widen", "[integer, string]").write(&scene);
        scene.longshore(RUN).expect_code(0);
        for _ in 0..2 {
            kill(&["dlq", "replay", "table"], (2, 120));
        }
        kill(&RUN, (30, 400));
        scene.longshore(["dlq", "replay", "table"]).expect_code(0);
        scene.longshore(RUN).expect_code(0);
        let (rows, log) = verbatim::arrived(&scene);
        assert_eq!((rows.cast_unsigned(), log.len() as u64), (DOCUMENTS, DOCUMENTS));
        assert!(log.values().all(|times| *times == 1), "sent to others too: {log:?}");
        assert!(verbatim::letters(&scene).is_empty());
        let all = scene.longshore(["dlq", "list", "--all", "--json"]).expect_code(0).objects("letter");
        assert_eq!(all.len(), bad.len(), "each was sent again once, and taken");
    }
    println!("{}", nothing_lost_or_twice("refused-kills", &dice, killed));
}

/// Bindings come and go, and a materialization that nobody had before comes and reads from the beginning; killed all the while.
#[test]
fn bindings_and_materializations_that_come_and_go_killed_at_random_moments() {
    const RUN: [&str; 3] = ["run", "--until", "caught-up"];
    const ROUND: u64 = 300;
    let (kills, mut dice) = plan();
    let catalog = |scene: &Scene, tables: &[&str], is_late_there: bool| {
        let binding = |name: &&str| format!("      - {{ collection: t/{name}, resource: {{ table: {name} }} }}\n");
        let tables: String = tables.iter().map(binding).collect();
        let late = match is_late_there {
            true => {
                "  late:\n    connector: sqlite\n    config: { path: ./late.db }\n    bindings:\n      - { collection: t/a, resource: { table: a } }\n      - { collection: t/b, resource: { table: log }, delta_updates: true }\n"
            }
            false => "",
        };
        scene.write(
            "longshore.yaml",
            format!(
                "captures:\n  in:\n    connector: files\n    config: {{ path: ./data, format: jsonl }}\n    bindings:\n      \
                 - {{ resource: {{ glob: b.jsonl }}, collection: t/b }}\n      - {{ resource: {{ glob: a.jsonl }}, collection: t/a }}\n\
                 collections:\n  t/a: {{ key: [/id] }}\n  t/b: {{ key: [/id] }}\nmaterializations:\n  out:\n    connector: sqlite\n    \
                 config: {{ path: ./out.db }}\n    bindings:\n{tables}{late}"
            ),
        );
    };
    let number = |scene: &Scene, file: &str, query: &str| destination::number(&scene.join(file), query).cast_unsigned();
    let mut killed = 0;
    while killed < kills {
        let scene = Scene::new();
        scene.write("data/a.jsonl", "").write("data/b.jsonl", "");
        let mut rows = 0;
        // Of each round: the tables of `out`, and whether `late` is there.
        let rounds: [(&[&str], bool); 4] = [(&["a"], false), (&["b", "a"], false), (&["b"], true), (&["a", "b"], true)];
        for (tables, is_late_there) in rounds {
            let line = |id: u64| format!("{{\"id\":{id},\"body\":\"{:0150}\"}}\n", id * 3);
            let more: String = (rows..rows + ROUND).map(line).collect();
            scene.append("data/a.jsonl", &more);
            scene.append("data/b.jsonl", &more);
            rows += ROUND;
            catalog(&scene, tables, is_late_there);
            for _ in 0..2 {
                killed += run_into_a_kill(&scene, &RUN, (20, 500), &mut dice);
            }
            scene.longshore(RUN).expect_code(0);
            for table in tables {
                assert_eq!(number(&scene, "out.db", &format!("SELECT count(*) FROM {table}")), rows, "{table}");
            }
            if is_late_there {
                assert_eq!(number(&scene, "late.db", "SELECT count(*) FROM a"), rows);
                assert_eq!(number(&scene, "late.db", "SELECT count(*) FROM log"), rows, "each once");
                assert_eq!(number(&scene, "late.db", "SELECT count(DISTINCT id) FROM log"), rows);
            }
        }
    }
    println!("{}", nothing_lost_or_twice("binding-kills", &dice, killed));
}
