//! From one runtime to another by HTTP, both killed again and again with all their connectors: every row is there, and once. And what a
//! user sees of documents in the log.
//!
//! `LONGSHORE_KILLS` sets how many kills (five by default; `cargo xtask test --long` asks for more), `LONGSHORE_SEED` the seed.

#![allow(clippy::disallowed_methods, reason = "a server of a test answers beside it")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use longshore_tests::hooks::{Hooks, RUN, RUN_ON, sending};
use longshore_tests::killing::{kill, nothing_lost_or_twice, plan, wait};
use longshore_tests::scene::{Running, Scene, holds_within, is_alive, process_name};
use rustix::process::{Pid, Signal};

/// A connector of this name that runs as its child. The kernel keeps 15 bytes of a name.
fn connector(running: &Running, name: &str) -> Option<u32> {
    let wanted = &name[..name.len().min(15)];
    running.children().into_iter().find(|&child| process_name(child).is_some_and(|name| name == wanted))
}

#[test]
fn rows_posted_from_runtime_to_runtime_killed_at_random_moments() {
    const KILLS_A_ROUND: u64 = 5;
    let (kills, mut dice) = plan();
    let (mut killed, mut round) = (0, 0);
    while killed < kills {
        // Every batch waits for a commit of the receiver: so many that a round takes seconds.
        let hooks = Hooks::new(2_000, 9, ["json", "jsonl"][dice.below(2) as usize]);
        let mut receiver = hooks.receiver.start(RUN_ON);
        let mut sender = hooks.sender.start(RUN);
        for turn in 0..KILLS_A_ROUND {
            if !wait(&mut sender, dice.milliseconds(50, 700)) {
                break;
            }
            // All of them have their turn, whatever the dice say of the moment.
            let victim = match (round + turn) % 6 {
                0 => connector(&sender, "materialize-webhook"),
                1 => connector(&receiver, "capture-webhook"),
                2 => {
                    receiver.kill();
                    receiver = hooks.receiver.start(RUN_ON);
                    killed += 1;
                    continue;
                }
                3 => connector(&receiver, "materialize-sqlite"),
                4 => {
                    sender.kill();
                    sender = hooks.sender.start(RUN);
                    killed += 1;
                    continue;
                }
                _ => connector(&sender, "capture-files"),
            };
            // One that is between two lives cannot be killed.
            killed += u64::from(victim.is_some_and(kill));
        }
        round += KILLS_A_ROUND;
        sender.finish().expect_code(0);
        receiver.kill();
        hooks.receiver.longshore(RUN).expect_code(0);
        hooks.assert_everything_once();
    }
    println!("{}", nothing_lost_or_twice("webhook-kills", &dice, killed));
}

#[test]
fn a_connector_that_waits_for_a_server_hears_that_it_shall_leave() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let scene = Scene::new();
    scene.write("data/rows.jsonl", "{\"id\":1}\n");
    let port = listener.local_addr().expect("an address").port();
    scene.write("longshore.yaml", sending(port, "batch_documents: 1"));
    let running = scene.start(RUN_ON);
    let (mut request, _) = listener.accept().expect("it posts");
    read_head(&mut request);
    let waiting = connector(&running, "materialize-webhook").expect("it runs");
    request
        .write_all(b"HTTP/1.1 503 No\r\nRetry-After: 200\r\nContent-Length: 0\r\n\r\n")
        .expect("it reads the answer");
    rustix::process::kill_process(Pid::from_raw(waiting.cast_signed()).expect("a process"), Signal::TERM)
        .expect("it runs");
    // Its grace period is ten seconds.
    assert!(holds_within(Duration::from_secs(7), || !is_alive(waiting)), "it waits for the server instead");
    // The runtime starts it again, and it posts again.
    let (mut again, _) = listener.accept().expect("it posts again");
    assert!(read_head(&mut again).contains("idempotency-key: "));
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).expect("a request");
        assert!(read > 0, "a whole head");
        head.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&head).to_ascii_lowercase()
}

#[test]
fn documents_are_seen_in_the_log_and_nowhere_else() {
    let scene = Scene::new();
    scene.write("data/rows.jsonl", (0..5).map(|id| format!("{{\"id\":{id}}}\n")).collect::<String>());
    let catalog = sending(1, "");
    let (before, _) = catalog.split_once("materializations:").expect("a catalog");
    let shown = "materializations:
  seen:
    connector: log
    config: { documents: 3 }
    bindings: [{ collection: t/rows, resource: { name: rows } }]
";
    scene.write("longshore.yaml", format!("{before}{shown}"));
    let finished = scene.longshore(RUN).expect_code(0);
    for id in 0..3 {
        assert!(finished.stderr.contains(&format!("rows: {{\"id\":{id}}}")), "{}", finished.stderr);
    }
    assert!(finished.stderr.contains("5 documents, 40 bytes, 2 of them not shown"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("{\"id\":3}") && !finished.stdout.contains("{\"id\""), "{}", finished.stdout);
}
