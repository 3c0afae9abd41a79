//! Sessions against a scripted capture and a journal in files.

use std::sync::Mutex;

use longshore_proto::ErrorKind;
use longshore_proto::name::{InstallationId, StateKey};
use longshore_proto::session::{Binding, Collection};
use serde_json::json;
use tonic::Status;

use super::*;
use crate::capture::admission::SchemaPolicy;
use crate::capture::letters::OnViolation;
use crate::connector::tests::play::{Act, Stage, caught_up, checkpoint, documents, schema};
use crate::journal::{Entry, Evidence, FileJournal, Filter, Journal};
use crate::store::Epoch;

const OPENED: Act = Act::Say(ToRuntime::Opened);

fn collection() -> Binding {
    let schema = json!({ "type": "object", "properties": { "id": { "type": "integer" } }, "required": ["id"] });
    let path = vec!["orders".to_owned()];
    Binding {
        state_key: StateKey::new(&path, 0),
        resource_path: path,
        resource_json: "{}".into(),
        collection: Collection {
            name: "shop/orders".to_owned(),
            key: vec!["/id".to_owned()],
            schema_json: schema.to_string().into(),
            schema_version: 1,
        },
        delta_updates: false,
        selection: Default::default(),
    }
}

/// A task with a scripted connector and a journal that outlives its sessions.
struct Task {
    stage: Stage,
    journal: FileJournal,
    epoch: u64,
    limits: Limits,
    policy: SchemaPolicy,
    on_violation: OnViolation,
    /// So many bindings write the collection.
    writers: usize,
    stop: CancellationToken,
    caught_up: Arc<Mutex<Vec<Committed>>>,
    progress: Arc<Progress>,
}

impl Task {
    async fn new(scripts: Vec<Vec<Act>>) -> Self {
        let stage = Stage::new(scripts).await;
        let journal = FileJournal::open(stage.directory.path().join("journal"), Evidence::default()).unwrap();
        Self {
            stage,
            journal,
            epoch: 0,
            limits: Limits::default(),
            policy: SchemaPolicy::Stated,
            on_violation: OnViolation::Stop,
            writers: 1,
            stop: CancellationToken::new(),
            caught_up: Arc::default(),
            progress: Arc::new(Progress::new(["shop/orders".to_owned()])),
        }
    }

    fn intended(&self, number: usize) -> Intended {
        let mut binding = collection();
        if number > 0 {
            binding.resource_path = vec![format!("orders-{number}")];
            binding.state_key = StateKey::new(&binding.resource_path, 0);
        }
        Intended { binding, policy: self.policy, on_violation: self.on_violation }
    }

    async fn session(&mut self) -> Result<End, Error> {
        self.epoch += 1;
        let launched = self.stage.dial().await;
        let seen = Arc::clone(&self.caught_up);
        let session = CaptureSession {
            client: launched.capture(),
            owner: Owner {
                task: "shop".to_owned(),
                installation: InstallationId::from_bytes([7; 16]),
                epoch: self.epoch,
            },
            config_json: "{}".into(),
            bindings: (0..self.writers).map(|number| self.intended(number)).collect(),
            writer: self.journal.acquire(Epoch(self.epoch)).unwrap(),
            limits: self.limits,
            grace: Duration::from_millis(500),
            stop: self.stop.clone(),
            caught_up: Box::new(move |committed| seen.lock().unwrap().push(committed)),
            progress: Arc::clone(&self.progress),
            blocking: Blocking::default(),
        };
        tokio::time::timeout(Duration::from_secs(60), run(session)).await.expect("the session takes too long")
    }

    /// What a reader sees, one word an entry.
    fn entries(&self) -> Vec<String> {
        let mut reader = self.journal.reader(Filter::All);
        let mut words = Vec::new();
        while let Some(entry) = reader.next().unwrap() {
            match entry {
                Entry::Bindings(rows) => words.push(format!("{} bindings", rows.len())),
                Entry::Schema { version, schema_json, .. } => {
                    words.push(format!("schema {version} {}", String::from_utf8_lossy(&schema_json)));
                }
                Entry::Documents { documents, .. } => {
                    words.push(String::from_utf8_lossy(documents.arena()).into_owned())
                }
                Entry::Control { control, .. } => words.push(format!("control {control:?}")),
                Entry::Letter { offset, letter, .. } => {
                    let document = String::from_utf8_lossy(&letter.document);
                    words.push(format!("letter at {offset} {} {document}", letter.code));
                }
                Entry::Settled { .. } => words.push("settled".to_owned()),
                Entry::Resent { .. } => words.push("resent".to_owned()),
                Entry::Commit(_) => words.push("commit".to_owned()),
            }
        }
        words
    }
}

#[tokio::test]
async fn documents_become_durable_are_acknowledged_and_the_next_session_goes_on_behind_them() {
    let first = vec![
        OPENED,
        documents(0, &[r#"{"id":1}"#, r#"{"id":2}"#]),
        checkpoint(Some(2)),
        Act::AwaitAcknowledged(1),
        caught_up(None),
    ];
    let second = vec![OPENED, caught_up(None), Act::AwaitAcknowledged(1)];
    let mut task = Task::new(vec![first, second]).await;
    assert_eq!(task.session().await.unwrap(), End::EndedCaughtUp);
    assert_eq!(task.entries(), ["1 bindings", r#"{"id":1}{"id":2}"#, "commit"]);
    assert_eq!(task.caught_up.lock().unwrap()[0].end.offset, 2);
    let totals = task.progress.totals();
    assert_eq!((totals[0].rows, totals[0].bytes), (2, 16));

    assert_eq!(task.session().await.unwrap(), End::EndedCaughtUp);
    assert_eq!(task.stage.heard().state, r#"{"at":2}"#);
    let caught_up = task.caught_up.lock().unwrap();
    assert_eq!((caught_up.len(), caught_up[1].end.offset), (2, 2), "nothing moved, and its end is noted anew");
}

#[tokio::test]
async fn stop_ends_what_is_under_way_acknowledges_it_and_closes() {
    let script = vec![
        OPENED,
        documents(0, &[r#"{"id":1}"#]),
        checkpoint(Some(1)),
        Act::AwaitAcknowledged(1),
        documents(0, &[r#"{"id":2}"#]),
        Act::AwaitStop,
        documents(0, &[r#"{"id":3}"#]),
        checkpoint(Some(3)),
        Act::AwaitAcknowledged(2),
        Act::AwaitHalfClose,
    ];
    let mut task = Task::new(vec![script]).await;
    let (stop, progress) = (task.stop.clone(), Arc::clone(&task.progress));
    let stopped = tokio::spawn(async move {
        while progress.transactions() == 0 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    });
    assert_eq!(task.session().await.unwrap(), End::Stopped);
    stopped.await.unwrap();
    assert!(task.stage.heard().half_close);
    assert_eq!(task.entries(), ["1 bindings", r#"{"id":1}"#, "commit", r#"{"id":2}"#, r#"{"id":3}"#, "commit"]);
}

#[tokio::test]
async fn what_is_not_ended_in_the_grace_period_is_dropped() {
    let script = vec![OPENED, documents(0, &[r#"{"id":1}"#]), Act::AwaitHalfClose];
    let mut task = Task::new(vec![script]).await;
    task.stop.cancel();
    assert_eq!(task.session().await.unwrap(), End::Stopped);
    assert_eq!(task.entries(), [""; 0]);
}

#[tokio::test]
async fn an_end_without_caught_up_is_not_caught_up() {
    let mut task = Task::new(vec![vec![OPENED, documents(0, &[r#"{"id":1}"#]), checkpoint(Some(1))]]).await;
    assert_eq!(task.session().await.unwrap(), End::EndedNotCaughtUp);
    assert_eq!(task.entries().len(), 3, "what it sent is durable all the same");
}

#[tokio::test]
async fn c_3_a_document_that_does_not_fit_stops_the_session_and_commits_nothing_of_its_transaction() {
    for (document, code) in [
        (r#"{"id":"x"}"#, "document.schema"),
        (r#"{"id":1,"id":2}"#, "document.json"),
        (r#"{"id":1,"new":2}"#, "document.schema"),
    ] {
        let script = vec![OPENED, documents(0, &[r#"{"id":7}"#, document]), checkpoint(Some(2)), Act::Hang];
        let mut task = Task::new(vec![script]).await;
        let error = task.session().await.unwrap_err();
        assert_eq!(
            (error.kind, error.code.as_str(), error.binding),
            (ErrorKind::Data, code, Some(0)),
            "{document}: {error}"
        );
        assert!(error.message.contains("shop/orders"), "{error}");
        assert_eq!(task.entries(), [""; 0], "{document}");
    }
}

#[tokio::test]
async fn a_written_schema_is_enforced_whatever_the_source_states() {
    let wider = json!({ "type": "object", "properties": { "id": { "type": "string" } } });
    let script = vec![OPENED, schema(0, &wider), documents(0, &[r#"{"id":"x"}"#]), checkpoint(None), Act::Hang];
    let mut task = Task::new(vec![script]).await;
    task.policy = SchemaPolicy::Written;
    assert_eq!(task.session().await.unwrap_err().code, "document.schema");
}

#[tokio::test]
async fn c_8_a_wider_schema_is_in_the_journal_before_the_first_document_that_needs_it() {
    let wider = json!({ "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] });
    let script = vec![
        OPENED,
        schema(0, &serde_json::from_slice(&collection().collection.schema_json).unwrap()),
        documents(0, &[r#"{"id":1}"#]),
        schema(0, &wider),
        documents(0, &[r#"{"id":"x"}"#]),
        caught_up(Some(2)),
        Act::AwaitAcknowledged(1),
    ];
    let mut task = Task::new(vec![script]).await;
    assert_eq!(task.session().await.unwrap(), End::EndedCaughtUp);
    let version_2 = format!("schema 2 {wider}");
    assert_eq!(task.entries(), ["1 bindings", r#"{"id":1}"#, &version_2, r#"{"id":"x"}"#, "commit"]);
}

#[tokio::test]
async fn a_document_that_does_not_fit_an_inferred_schema_widens_it_before_itself() {
    let stated = serde_json::from_slice(&collection().collection.schema_json).unwrap();
    let first = vec![
        OPENED,
        schema(0, &stated),
        documents(0, &[r#"{"id":1}"#]),
        documents(0, &[r#"{"id":2,"new":true}"#, r#"{"id":"x","new":1}"#]),
        caught_up(Some(2)),
        Act::AwaitAcknowledged(1),
    ];
    let second = vec![
        OPENED,
        schema(0, &stated),
        documents(0, &[r#"{"id":"y"}"#]),
        caught_up(Some(3)),
        Act::AwaitAcknowledged(1),
    ];
    let mut task = Task::new(vec![first, second]).await;
    task.policy = SchemaPolicy::Inferred;
    assert_eq!(task.session().await.unwrap(), End::EndedCaughtUp);
    let wider = json!({
        "type": "object",
        "properties": { "id": { "type": ["integer", "string"] }, "new": { "type": ["boolean", "integer"] } },
        "required": ["id"],
    });
    let before = ["1 bindings".to_owned(), r#"{"id":1}"#.to_owned(), format!("schema 2 {wider}")];
    let entries = task.entries();
    assert_eq!(entries[..3], before);
    assert_eq!(
        entries[3..],
        [r#"{"id":2,"new":true}{"id":"x","new":1}"#, "commit"],
        "both stand behind it, in one transaction"
    );

    assert_eq!(task.session().await.unwrap(), End::EndedCaughtUp);
    assert_eq!(
        task.entries()[5..],
        [r#"{"id":"y"}"#, "commit"],
        "what was inferred lasts, whatever the source states again"
    );
}

#[tokio::test]
async fn without_validation_only_json_and_key_are_looked_at() {
    let script = vec![
        OPENED,
        documents(0, &[r#"{"id":"x","new":1}"#]),
        checkpoint(Some(1)),
        documents(0, &[r#"{"id":[]}"#]),
        Act::Hang,
    ];
    let mut task = Task::new(vec![script]).await;
    task.policy = SchemaPolicy::Unchecked;
    let error = task.session().await.unwrap_err();
    assert_eq!((error.kind, error.binding), (ErrorKind::Data, Some(0)), "{error}");
    assert!(error.message.contains("shop/orders"), "{error}");
}

#[tokio::test]
async fn what_is_not_admitted_becomes_a_letter_at_its_place_and_the_session_goes_on() {
    let sent = [r#"{"id":1}"#, r#"{"id":"x"}"#, r#"{"id":2}"#, r#"{"id":3}"#, r#"{"id":4,"id":5}"#, "not json"];
    let script = vec![
        OPENED,
        documents(0, &sent),
        checkpoint(Some(6)),
        documents(0, &[r#"{"id":[]}"#]),
        caught_up(Some(7)),
        Act::AwaitAcknowledged(2),
    ];
    let mut task = Task::new(vec![script]).await;
    task.on_violation = OnViolation::DeadLetter;
    assert_eq!(task.session().await.unwrap(), End::EndedCaughtUp);
    let entries: Vec<String> = task.entries().into_iter().filter(|entry| entry != "commit").collect();
    let expected = [
        "1 bindings",
        r#"{"id":1}"#,
        r#"letter at 1 document.schema {"id":"x"}"#,
        r#"{"id":2}{"id":3}"#,
        r#"letter at 4 document.json {"id":4,"id":5}"#,
        "letter at 5 document.json not json",
        r#"letter at 6 key.type {"id":[]}"#,
    ];
    assert_eq!(entries, expected);
    let totals = &task.progress.totals()[0];
    assert_eq!((totals.rows, totals.dead_letters, task.progress.letters_waiting()), (3, 4, 4), "in = stored + letters");
}

#[tokio::test]
async fn a_source_that_is_broken_altogether_stops() {
    let sent: Vec<String> =
        (0..=crate::capture::letters::LETTERS_IN_A_ROW_MAX).map(|n| format!("{{\"id\":\"{n}\"}}")).collect();
    let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
    let mut task = Task::new(vec![vec![OPENED, documents(0, &sent), checkpoint(Some(1)), Act::Hang]]).await;
    task.on_violation = OnViolation::DeadLetter;
    assert_eq!(task.session().await.unwrap_err().code, "capture.too_many_letters");
    assert_eq!(task.entries(), [""; 0], "nothing of the transaction is there");
}

#[tokio::test]
async fn bodies_of_every_size_pass_and_the_connector_need_not_read_meanwhile() {
    let mut script = vec![OPENED];
    let mut bytes = 0;
    for body in [200, 64 << 10, 1 << 20, 8 << 20, (16 << 20) - 20, 200] {
        let document = format!("{{\"id\":1,\"b\":\"{}\"}}", "x".repeat(body));
        bytes += document.len() as u64;
        script.extend([documents(0, &[&document]), checkpoint(Some(bytes))]);
    }
    script.extend([caught_up(None), Act::AwaitAcknowledged(7)]);
    let mut task = Task::new(vec![script]).await;
    task.policy = SchemaPolicy::Written;
    assert_eq!(task.session().await.unwrap(), End::EndedCaughtUp);
    assert_eq!(task.progress.totals()[0].bytes, bytes);
}

#[tokio::test]
async fn a_document_over_the_limit_is_named_with_its_binding_and_size() {
    let document = format!("{{\"id\":1,\"b\":\"{}\"}}", "x".repeat(16 << 20));
    let mut task = Task::new(vec![vec![OPENED, documents(0, &[&document]), Act::Hang]]).await;
    let error = task.session().await.unwrap_err();
    assert_eq!((error.kind, error.binding), (ErrorKind::Data, Some(0)), "{error}");
    assert!(error.message.contains(&document.len().to_string()), "{error}");
}

#[tokio::test]
async fn documents_without_end_and_without_checkpoint_are_a_typed_stop() {
    let mut script = vec![OPENED];
    script.extend(vec![documents(0, &[r#"{"id":1}"#]); 200]);
    script.push(Act::Hang);
    let mut task = Task::new(vec![script]).await;
    task.limits.transaction_max_bytes = 1000;
    assert_eq!(task.session().await.unwrap_err().code, "capture.transaction_too_large");
}

#[tokio::test]
async fn many_small_checkpoints_go_into_few_commits_and_are_all_acknowledged() {
    let mut script = vec![OPENED];
    for at in 0..2000 {
        script.extend([documents(0, &[&format!("{{\"id\":{at}}}")]), checkpoint(Some(at))]);
    }
    script.extend([caught_up(None), Act::AwaitAcknowledged(2001)]);
    let mut task = Task::new(vec![script]).await;
    assert_eq!(task.session().await.unwrap(), End::EndedCaughtUp);
    let entries = task.entries();
    assert_eq!(entries.iter().filter(|entry| entry.starts_with('{')).count(), 2000);
}

/// A truncate, then a full refresh, among documents.
fn as_a_whole() -> Vec<Act> {
    vec![
        OPENED,
        documents(0, &[r#"{"id":1}"#]),
        Act::Say(ToRuntime::Truncated { binding: 0 }),
        documents(0, &[r#"{"id":2}"#]),
        Act::Say(ToRuntime::BackfillBegin { binding: 0 }),
        documents(0, &[r#"{"id":3}"#]),
        Act::Say(ToRuntime::BackfillComplete { binding: 0 }),
        caught_up(Some(1)),
        Act::AwaitAcknowledged(1),
    ]
}

#[tokio::test]
async fn what_happens_to_a_binding_as_a_whole_stands_at_its_place_among_the_documents() {
    let mut task = Task::new(vec![as_a_whole()]).await;
    assert_eq!(task.session().await.unwrap(), End::EndedCaughtUp);
    let expected = [
        "1 bindings",
        r#"{"id":1}"#,
        "control Truncated",
        r#"{"id":2}"#,
        "control BackfillBegin",
        r#"{"id":3}"#,
        "control BackfillComplete",
        "commit",
    ];
    assert_eq!(task.entries(), expected);
    assert_eq!(task.caught_up.lock().unwrap()[0].end.offset, 6, "each has an offset");
}

#[tokio::test]
async fn of_a_collection_that_two_bindings_write_none_is_emptied() {
    let mut script = as_a_whole();
    script.remove(2);
    let mut task = Task::new(vec![as_a_whole(), script]).await;
    task.writers = 2;
    let error = task.session().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "capture.truncated"), "{error}");
    assert_eq!(task.session().await.unwrap(), End::EndedCaughtUp);
    assert!(!task.entries().iter().any(|entry| entry.starts_with("control")), "a refresh goes over what is there");
}

#[tokio::test]
async fn a_broken_order_and_an_error_of_the_connector_are_told_as_what_they_are() {
    let mut task = Task::new(vec![vec![checkpoint(None), Act::Hang]]).await;
    let error = task.session().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Protocol, "C-1"), "{error}");

    let status: Status = Error::unavailable("db.gone", "no route").into();
    let mut task = Task::new(vec![vec![OPENED, Act::Fail(status)]]).await;
    let error = task.session().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "db.gone"), "{error}");

    let mut task = Task::new(vec![vec![OPENED, documents(0, &[r#"{"id":1}"#])]]).await;
    let error = task.session().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol, "an end between checkpoints: {error}");
}

#[tokio::test]
async fn a_fenced_session_ends_and_acknowledges_nothing_more() {
    let script = vec![
        OPENED,
        documents(0, &[r#"{"id":1}"#]),
        checkpoint(Some(1)),
        Act::AwaitAcknowledged(1),
        documents(0, &[r#"{"id":2}"#]),
        Act::AwaitStop,
    ];
    let mut task = Task::new(vec![script]).await;
    let (journal, progress, stop) = (task.journal.clone(), Arc::clone(&task.progress), task.stop.clone());
    let successor = tokio::spawn(async move {
        while progress.transactions() == 0 {
            tokio::task::yield_now().await;
        }
        drop(journal.acquire(Epoch(9)).unwrap());
        stop.cancel();
    });
    let ended = task.session().await;
    successor.await.unwrap();
    // Whether it noticed (a write in between) or had nothing more to write, it committed nothing.
    assert!(matches!(&ended, Ok(End::Stopped)) || ended.is_err_and(|error| error.kind == ErrorKind::Fenced));
    assert_eq!(task.stage.heard().acknowledged, 1);
}
