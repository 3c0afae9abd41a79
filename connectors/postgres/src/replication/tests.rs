//! The stream against real servers: what is committed comes once and in order, whatever the consumer does, and a server keeps what is not acknowledged.
//!
//! The plugin is `test_decoding`, which writes text.

#![allow(
    clippy::unwrap_used,
    reason = "in a story whatever fails fails the test; only test functions themselves are exempt"
)]

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use longshore_sdk::{Error, ErrorKind, Result, Secret};

use crate::testing::{Database, Server};
use crate::tests::{Encrypted, lay};
use crate::{Changes, Endpoint, Event, Replication};

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database with a slot and a table whose rows are counted.
struct Story {
    database: Database,
    next: u32,
}

impl Story {
    fn new() -> Self {
        Self::on(Database::new())
    }

    fn on(database: Database) -> Self {
        database.run("CREATE TABLE t (id int, v text)");
        let story = Self { database, next: 0 };
        let slot = story.slot();
        story.database.run(&format!("SELECT FROM pg_create_logical_replication_slot('{slot}', 'test_decoding')"));
        story
    }

    /// Slots are names of the whole server.
    fn slot(&self) -> String {
        format!("slot_{}", self.database.name())
    }

    /// Rows of one transaction, each of so many bytes.
    fn insert(&mut self, rows: u32, bytes: usize) {
        let (first, end) = (self.next, self.next + rows);
        self.next = end;
        self.database
            .run(&format!("INSERT INTO t SELECT i, repeat('x', {bytes}) FROM generate_series({first}, {end} - 1) i"));
    }

    async fn start(&self) -> Result<Changes> {
        self.start_at(0, 0).await
    }

    async fn start_at(&self, from: u64, durable: u64) -> Result<Changes> {
        let replication = Replication::connect(&self.database.endpoint(), "test").await?;
        replication.start(&self.slot(), (from, durable), &[("include-xids", "0")]).await
    }

    fn number(&self, ask: &str) -> u64 {
        self.database.run(ask).parse().unwrap()
    }

    fn confirmed(&self) -> u64 {
        let slot = self.slot();
        self.number(&format!("SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{slot}'"))
    }

    fn end_of_log(&self) -> u64 {
        self.number("SELECT pg_current_wal_flush_lsn() - '0/0'")
    }

    /// Waits until the server says so.
    async fn until(&self, ask: &str) {
        let ask = &format!("SELECT EXISTS ({ask})");
        let says = async {
            while self.database.run(ask) != "t" {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, says).await.is_ok(), "{ask}");
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let slot = self.slot();
        let ours = format!("FROM pg_replication_slots WHERE slot_name = '{slot}'");
        self.database.run(&format!("SELECT pg_terminate_backend(active_pid, 5000) {ours} AND active"));
        self.database.run(&format!("SELECT pg_drop_replication_slot(slot_name) {ours}"));
    }
}

/// The row that an event brings.
fn id(event: &Event) -> Option<u32> {
    let Event::Data(data) = event else { return None };
    let text = std::str::from_utf8(data).unwrap();
    let row = text.strip_prefix("table public.t: INSERT: id[integer]:")?;
    Some(row.split_once(' ').unwrap().0.parse().unwrap())
}

/// The next rows are those, each once and in order, and the transaction ends.
async fn expect(changes: &mut Changes, ids: std::ops::Range<u32>) {
    for wanted in ids {
        let came = loop {
            let event = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap_or_else(|_| panic!("row {wanted}"));
            if let Some(id) = id(&event.unwrap()) {
                break id;
            }
        };
        assert_eq!(came, wanted);
    }
}

/// All that comes until the end of the log, which is acknowledged.
async fn read_up_to(changes: &mut Changes, end: u64) {
    loop {
        let event = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap().unwrap();
        if let Event::Alive(position) = event
            && position >= end
        {
            return changes.acknowledge(position);
        }
    }
}

async fn failure(mut changes: Changes) -> Error {
    loop {
        match tokio::time::timeout(PATIENCE, changes.next()).await.unwrap() {
            // Who keeps up lets a server end in peace.
            Ok(Event::Alive(position)) => changes.acknowledge(position),
            Ok(Event::Data(_)) => {}
            Err(error) => return error,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_comes_in_order_and_what_is_acknowledged_is_let_go() {
    let mut story = Story::new();
    let before = story.confirmed();
    let mut changes = story.start().await.unwrap();
    story.insert(3, 10);
    story.insert(1, 20_000_000);
    story.insert(1_000, 100);
    expect(&mut changes, 0..1_004).await;
    assert_eq!(story.confirmed(), before, "nothing is let go that is not acknowledged");
    drop(changes);
    story
        .until("SELECT FROM pg_replication_slots WHERE slot_name LIKE 'slot_' || current_database() AND NOT active")
        .await;

    // Nothing was acknowledged: all of it comes again.
    let mut changes = story.start().await.unwrap();
    expect(&mut changes, 0..1_004).await;
    let end = story.end_of_log();
    read_up_to(&mut changes, end).await;
    story.until(&format!("SELECT FROM pg_stat_replication WHERE flush_lsn - '0/0' >= {end} AND replay_lsn = flush_lsn AND application_name = 'test'")).await;
    assert!(story.confirmed() >= end);

    // A farewell tells the last, and the slot is free at once.
    story.insert(1, 10);
    expect(&mut changes, 1_004..1_005).await;
    let end = story.end_of_log();
    changes.acknowledge(end);
    changes.farewell().await;
    assert_eq!(story.confirmed(), end);
    let mut changes = story.start_at(end, end).await.unwrap();
    story.insert(1, 10);
    expect(&mut changes, 1_005..1_006).await;
}

/// Who has read further by another way begins there, and the server keeps what is not durable yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_begins_behind_what_is_durable_lets_nothing_go() {
    let mut story = Story::new();
    let durable = story.end_of_log();
    story.insert(5, 10);
    let from = story.end_of_log();
    story.insert(1, 10);
    let mut changes = story.start_at(from, durable).await.unwrap();
    expect(&mut changes, 5..6).await;
    changes.farewell().await;
    assert_eq!(story.confirmed(), durable, "nobody said more");
    let mut changes = story.start().await.unwrap();
    expect(&mut changes, 0..6).await;
}

/// The server waits for a second to hear from a consumer that takes nothing for longer; meanwhile no more than a little is read ahead of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_may_be_slower_than_the_server_has_patience() {
    const ROWS: u32 = 60_000;
    let server = Arc::new(Server::start("wal_sender_timeout = 1s\n"));
    let mut story = Story::on(Database::on(&server));
    let mut changes = story.start().await.unwrap();
    story.insert(ROWS, 1_000);
    expect(&mut changes, 0..1).await;
    story.until("SELECT FROM pg_stat_replication WHERE reply_time > backend_start + interval '3 s'").await;
    let sent = story.number("SELECT sent_lsn - '0/0' FROM pg_stat_replication");
    expect(&mut changes, 1..ROWS).await;
    // The transaction is sent as a whole or is not done, so the server could not go past it.
    read_up_to(&mut changes, story.end_of_log()).await;
    assert!(sent < story.end_of_log(), "it was held back");
    // And where nothing comes and everything is taken, its questions are answered.
    let asked = story.database.run("SELECT clock_timestamp()");
    let answered =
        format!("SELECT FROM pg_stat_replication WHERE reply_time > '{asked}'::timestamptz + interval '3 s'");
    let read = async { while let Ok(Event::Alive(_)) = changes.next().await {} };
    tokio::select! {
        () = read => panic!("the stream ended"),
        () = story.until(&answered) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_nobody_waited_for_is_not_lost() {
    const ROWS: u32 = 20_000;
    let mut story = Story::new();
    let mut changes = story.start().await.unwrap();
    let (mut came, mut dropped) = (Vec::new(), 0);
    // There is nothing to read again and again.
    let inserting = tokio::task::spawn_blocking(move || {
        for _ in 0..4 {
            story.insert(ROWS / 4, 50);
        }
        story
    });
    let all = async {
        while came.len() < ROWS as usize {
            match changes.next().now_or_never() {
                Some(event) => came.extend(id(&event.unwrap())),
                None => {
                    dropped += 1;
                    tokio::select! {
                        event = changes.next() => came.extend(id(&event.unwrap())),
                        () = tokio::task::yield_now() => {}
                    }
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    inserting.await.unwrap();
    assert!(came.into_iter().eq(0..ROWS) && dropped > 0, "dropped {dropped} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_is_waited_for() {
    let mut server = Server::start("");
    let endpoint = Endpoint { url: server.url("postgres"), password: None, sslrootcert: None };
    server.run("postgres", "SELECT FROM pg_create_logical_replication_slot('s', 'test_decoding')");
    let start = async || Replication::connect(&endpoint, "test").await?.start("s", (0, 0), &[]).await;
    let changes = start().await.unwrap();
    let (server, error) = tokio::join!(
        async {
            tokio::task::spawn_blocking(move || {
                server.down();
                server
            })
            .await
            .unwrap()
        },
        failure(changes)
    );
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let mut server = server;
    let error = start().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "postgres.unreachable"), "{error}");
    server.up();
    // Somebody ends the session; another has the slot; there is no such slot.
    let changes = start().await.unwrap();
    let error = start().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "postgres.busy"), "{error}");
    server.run("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_replication");
    let error = failure(changes).await;
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "postgres.server"), "{error}");
    let replication = Replication::connect(&endpoint, "test").await.unwrap();
    let error = replication.start("missing", (0, 0), &[]).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "postgres.refused"), "{error}");
}

#[tokio::test]
async fn a_query_answers_rows_or_the_servers_words() {
    let database = Database::new();
    let mut replication = Replication::connect(&database.endpoint(), "test").await.unwrap();
    let rows =
        replication.query("asking", "SET timezone = 'UTC'; SELECT 1, NULL UNION ALL SELECT 2, 'b'").await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(rows, [[text("1"), None], [text("2"), text("b")]]);
    let wrong = "DO $$ BEGIN RAISE EXCEPTION 'no' USING errcode = '42501', detail = 'why', hint = 'do'; END $$";
    let error = replication.query("asking", wrong).await.unwrap_err();
    assert_eq!(error.message, "asking: no (42501); why; do");
    assert_eq!(error.code, "postgres.permission");
    let rows = replication.query("asking", "IDENTIFY_SYSTEM").await.unwrap();
    assert_eq!(rows[0][3], text(database.name()), "it can be used after an error");
    let ask = "SELECT current_setting('application_name')";
    assert_eq!(replication.query("asking", ask).await.unwrap(), [[text("test")]]);
    let named = Endpoint { url: format!("{}?application_name=mine", database.url()), ..database.endpoint() };
    let mut replication = Replication::connect(&named, "test").await.unwrap();
    assert_eq!(replication.query("asking", ask).await.unwrap(), [[text("mine")]]);
}

/// Whatever the server asks for, with TLS and without; where its certificate's signature has a hash, the login is bound to the certificate.
#[tokio::test]
async fn a_password_is_said_as_the_server_asks_for_it() {
    for (algorithm, is_bound) in
        [(&rcgen::PKCS_ECDSA_P256_SHA256, true), (&rcgen::PKCS_ECDSA_P384_SHA384, true), (&rcgen::PKCS_ED25519, false)]
    {
        let mut encrypted = Encrypted::signed_with(algorithm);
        let server = Arc::get_mut(&mut encrypted.server).unwrap();
        for role in ["scram", "md5", "plain"] {
            let kept = if role == "md5" { "md5" } else { "scram-sha-256" };
            let make = "LOGIN REPLICATION PASSWORD 'hunter2'";
            server.run("postgres", &format!("SET password_encryption = '{kept}'; CREATE ROLE {role} {make}"));
        }
        server.down();
        let hba = "local all all trust\nhost all postgres all trust\nhost all scram all scram-sha-256\nhost all md5 all md5\nhost all plain all password\n";
        lay(&server.data().join("pg_hba.conf"), hba);
        server.up();
        for (role, mode) in
            ["scram", "md5", "plain"].into_iter().flat_map(|role| [(role, "disable"), (role, "verify-full")])
        {
            let endpoint = encrypted.endpoint("localhost", mode, Some(&encrypted.authority));
            let url = endpoint.url.replace("postgres@", &format!("{role}@"));
            let with = |password: Option<&str>| Endpoint {
                url: url.clone(),
                password: password.map(|password| Secret::new(password.to_owned())),
                ..endpoint.clone()
            };
            let replication = Replication::connect(&with(Some("hunter2")), "test").await.unwrap();
            assert_eq!(replication.wire.end_point().is_some(), is_bound && mode != "disable", "{role} {mode}");
            for wrong in [Some("hunter3"), Some(""), None] {
                let error = Replication::connect(&with(wrong), "test").await.unwrap_err();
                let is_refused = (error.kind, error.code.as_str()) == (ErrorKind::Config, "postgres.login");
                assert!(is_refused && !error.to_string().contains("hunter"), "{role} {mode}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_is_reached_by_each_of_the_ways_a_url_can_name() {
    let server = Server::shared();
    let (directory, port) = (server.socket_directory().display().to_string().replace('/', "%2F"), server.port());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let connect = async |rest: String| {
        let url = format!("postgres://postgres@{rest}");
        Replication::connect(&Endpoint { url, password: None, sslrootcert: None }, "test").await
    };
    for rest in [
        format!("{directory}:{port}/postgres"),
        format!("127.0.0.1:1,127.0.0.1:{port}/postgres"),
        format!("127.0.0.1:{silent_port},127.0.0.1:{port}/postgres?connect_timeout=1"),
    ] {
        assert!(connect(rest.clone()).await.is_ok(), "{rest}");
    }
    for (rest, kind, code) in [
        (format!("{directory}:{port}/postgres?sslmode=require"), ErrorKind::Unavailable, "postgres.unreachable"),
        (format!("{directory}:1/postgres"), ErrorKind::Unavailable, "postgres.unreachable"),
        (format!("127.0.0.1:{silent_port}/postgres?connect_timeout=1"), ErrorKind::Unavailable, "postgres.unreachable"),
        // Who answers and refuses is not asked elsewhere.
        (format!("127.0.0.1:{port},127.0.0.1:1/nowhere"), ErrorKind::Config, "postgres.database"),
    ] {
        let error = connect(rest.clone()).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, code), "{rest}: {error}");
    }
}
