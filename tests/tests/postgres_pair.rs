//! From PostgreSQL into PostgreSQL, while the source is written to: what is killed, cut off or taken away on the way loses and doubles nothing,
//! and money that only moves is never seen missing.
//!
//! `LONGSHORE_KILLS` sets how many are killed (six by default; `cargo xtask test --long` asks for more, of a million rows), `LONGSHORE_SEED`
//! the seed.

use longshore_postgres::testing::Server;
use longshore_tests::busy::{self, Tireless};
use longshore_tests::cable::Cable;
use longshore_tests::dice::{Dice, number};
use longshore_tests::killing::{nothing_lost_or_twice, wait};
use longshore_tests::postgres::kill_one;
use longshore_tests::scene::Scene;
use rustix::process::Signal;

const RUN: [&str; 3] = ["run", "--until", "caught-up"];
/// More deaths of a connector in one run would end it, and rightly.
const KILLS_A_RUN: u64 = 4;
const TABLES: [&str; 2] = ["bench", "accounts"];

/// How large and how busy the source is.
struct Size {
    rows: u64,
    /// In a second.
    changes: u64,
    kills: u64,
}

impl Size {
    fn of_environment() -> Self {
        let kills = number("LONGSHORE_KILLS", 6);
        match kills < 20 {
            true => Self { rows: 100_000, changes: 2_000, kills },
            false => Self { rows: 1_000_000, changes: 20_000, kills },
        }
    }
}

fn start(rows: u64) -> Server {
    let server = Server::start("");
    server.run("postgres", "CREATE DATABASE shop");
    server.run("postgres", "CREATE DATABASE copy");
    busy::make(&server, "shop", rows);
    server
}

fn scene(port: u16) -> Scene {
    scene_of(port, port)
}

/// With a server of its own for each end.
fn scene_of(source: u16, destination: u16) -> Scene {
    let scene = Scene::new();
    scene.write(
        "longshore.yaml",
        format!(
            "captures:
  src:
    connector: postgres
    config: {{ url: \"postgres://postgres@127.0.0.1:{source}/shop\" }}
    bindings:
      - {{ resource: {{ schema: public, table: bench }}, collection: pg/bench }}
      - {{ resource: {{ schema: public, table: accounts }}, collection: pg/accounts }}
collections:
  pg/bench: {{ key: [/id] }}
  pg/accounts: {{ key: [/id] }}
materializations:
  dst:
    connector: postgres
    config: {{ url: \"postgres://postgres@127.0.0.1:{destination}/copy\" }}
    bindings:
      - {{ collection: pg/bench, resource: {{ schema: public, table: bench }} }}
      - {{ collection: pg/accounts, resource: {{ schema: public, table: accounts }} }}
"
        ),
    );
    scene
}

#[track_caller]
fn arrives(server: &Server, scene: &Scene) {
    scene.longshore(RUN).expect_code(0);
    busy::equal(server, ("shop", "copy"), &TABLES);
}

/// Half of the kills come while tables are walked, the others while changes are followed and somebody looks at the money all the time.
#[test]
fn a_copy_is_equal_whoever_is_killed_while_it_is_made_and_kept() {
    let size = Size::of_environment();
    let mut dice = Dice::of_environment();
    let mut server = start(size.rows);
    let scene = scene(server.port());
    let writers: Vec<_> = (0..size.changes.div_ceil(10_000))
        .map(|_| Tireless::changing(&server, "shop", size.changes.min(10_000)))
        .collect();
    let mut killed = 0;
    let mut watch = None;
    while killed < size.kills {
        let mut running = scene.start(RUN);
        let mut killed_here = 0;
        while killed_here < KILLS_A_RUN && wait(&mut running, dice.milliseconds(100, 2_500)) {
            let (goes_on, died) = kill_one(dice.below(4), (&scene, &RUN), running, &mut server, &mut dice);
            running = goes_on;
            killed_here += died;
        }
        running.finish().expect_code(0);
        killed += killed_here;
        // From the first time that it is caught up, each state of the copy is one of the source.
        watch.get_or_insert_with(|| Tireless::looking(&server, "copy"));
    }
    drop(writers);
    arrives(&server, &scene);
    drop(watch);
    let (whole, broken) = busy::looks(&server, "copy");
    assert!(
        whole > 100 && broken == 0,
        "the money was looked at {} times, and {broken} times it was another sum",
        whole + broken
    );
    println!("{}", nothing_lost_or_twice("postgres-pair-kills", &dice, killed));
}

/// So much waits that it is read as a backlog, and while the copy of the slot is there, the runtime or one of its connectors dies.
#[test]
fn a_backlog_is_read_whoever_is_killed_meanwhile() {
    let kills = Size::of_environment().kills;
    let mut dice = Dice::new(Dice::of_environment().seed + 1);
    let mut server = start(20_000);
    let scene = scene(server.port());
    arrives(&server, &scene);
    let mut killed = 0;
    while killed < kills {
        // The log is the whole server's.
        server.run(
            "postgres",
            "CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 80000); DROP TABLE large",
        );
        (0..10).for_each(|_| busy::change(&server, "shop", 2_000));
        let mut running = scene.start(RUN);
        let mut killed_here = 0;
        let copies = "SELECT count(*) FROM pg_replication_slots WHERE temporary";
        while killed_here < KILLS_A_RUN
            && running.wait_until(|| server.run("shop", copies) != "0")
            && wait(&mut running, dice.milliseconds(0, 700))
        {
            let (goes_on, died) = kill_one(dice.below(2), (&scene, &RUN), running, &mut server, &mut dice);
            running = goes_on;
            killed_here += died;
        }
        running.finish().expect_code(0);
        assert!(killed_here > 0, "nothing was read as a backlog");
        killed += killed_here;
        busy::equal(&server, ("shop", "copy"), &TABLES);
    }
    let kept = "SELECT count(*) FROM pg_replication_slots WHERE pg_current_wal_flush_lsn() - confirmed_flush_lsn > 64 * 1048576";
    assert_eq!(server.run("shop", kept), "0", "the slot was moved up to where all is durable");
}

#[test]
fn a_way_that_is_cut_is_waited_for_and_everything_arrives() {
    let size = Size::of_environment();
    let seconds = if size.kills < 20 { 3_000 } else { 20_000 };
    let server = start(size.rows / 5);
    let cable = Cable::to(server.port());
    let scene = scene(cable.port);
    let writer = Tireless::changing(&server, "shop", size.changes / 2);
    let mut running = scene.start(["run"]);
    for _ in 0..2 {
        assert!(wait(&mut running, Dice::new(1).milliseconds(1_500, 2_000)), "it goes on");
        cable.cut(true);
        assert!(wait(&mut running, Dice::new(1).milliseconds(seconds, seconds + 1)), "it waits");
        cable.cut(false);
    }
    assert!(wait(&mut running, Dice::new(1).milliseconds(1_500, 2_000)), "it goes on");
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
    drop(writer);
    arrives(&server, &scene);
}

/// Nobody has to write anything otherwise because of it.
#[test]
fn a_destination_that_is_down_when_a_run_begins_is_waited_for() {
    let source = start(500);
    let mut destination = Server::start("");
    destination.run("postgres", "CREATE DATABASE copy");
    destination.down();
    let scene = scene_of(source.port(), destination.port());
    let check = scene.longshore(["check"]).expect_code(3);
    assert!(check.stderr.contains("postgres.unreachable"), "{}", check.stderr);
    let mut running = scene.start(RUN);
    let waits = || scene.longshore(["status", "--json"]).stdout.contains("backing-off");
    assert!(running.wait_until(waits), "it goes on, and says that it will try again");
    destination.up();
    running.finish().expect_code(0);
    for table in TABLES {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(source.run("shop", &count), destination.run("copy", &count), "rows of {table}");
    }
}

#[test]
fn a_slot_that_is_gone_is_a_stop_that_says_what_to_do_and_starting_over_makes_it_right() {
    let server = start(2_000);
    let scene = scene(server.port());
    arrives(&server, &scene);
    server.run("shop", "SELECT pg_drop_replication_slot('longshore_src')");
    busy::change(&server, "shop", 500);
    let refused = scene.longshore(RUN).expect_code(2);
    assert!(refused.stderr.contains("replication slot longshore_src"), "{}", refused.stderr);
    assert!(refused.stderr.contains("longshore run --fresh src"), "{}", refused.stderr);
    scene.longshore(["run", "--until", "caught-up", "--fresh", "src", "--yes"]).expect_code(0);
    holds_all(&server);
}

/// All rows of the source are in the copy as they are. What was deleted while nobody captured may still be there.
#[track_caller]
fn holds_all(server: &Server) {
    for table in TABLES {
        let ids = server.run("shop", &format!("SELECT string_agg(id::text, ',') FROM {table}"));
        server.run("copy", &format!("DELETE FROM {table} WHERE id <> ALL (ARRAY[{ids}])"));
    }
    busy::equal(server, ("shop", "copy"), &TABLES);
}

#[test]
fn tasks_that_are_removed_leave_nothing_of_theirs_at_the_servers_and_begin_again() {
    let server = start(2_000);
    let scene = scene(server.port());
    arrives(&server, &scene);
    let made = || {
        let slots = server.run("shop", "SELECT count(*) FROM pg_replication_slots");
        let publications = server.run("shop", "SELECT count(*) FROM pg_publication");
        let checkpoints = server.run("copy", "SELECT count(*) FROM _longshore.tasks");
        [slots, publications, checkpoints].map(|count| count.parse::<u64>().expect("a number"))
    };
    let asked = scene.longshore(["remove", "src"]).expect_code(2);
    for said in ["drop replication slot longshore_src", "drop publication longshore_src", "--yes"] {
        assert!(asked.stderr.contains(said), "{}", asked.stderr);
    }
    assert_eq!(made(), [1, 1, 1], "nobody answered, and nothing was done");
    scene.longshore(["remove", "src", "--yes"]).expect_code(0);
    assert_eq!(made(), [0, 0, 1]);
    let told = scene.longshore(["remove", "dst", "--yes"]).expect_code(0);
    assert!(told.stdout.contains("forget the checkpoint of task dst"), "{}", told.stdout);
    assert_eq!(made(), [0, 0, 0]);
    scene.longshore(["remove", "dst", "--yes"]).expect_code(0);
    busy::change(&server, "shop", 300);
    let refused = scene.longshore(RUN).expect_code(2);
    assert!(refused.stderr.contains("rows of somebody else"), "its tables are the user's now: {}", refused.stderr);
    scene.longshore(["run", "--until", "caught-up", "--fresh", "dst", "--yes"]).expect_code(0);
    assert_eq!(made(), [1, 1, 1]);
    holds_all(&server);
}

#[test]
fn init_writes_a_catalog_that_copies_a_database() {
    let server = start(500);
    let scene = Scene::new();
    scene.longshore(["init", &server.url("shop"), "--to", &server.url("copy")]).expect_code(0);
    arrives(&server, &scene);
}
