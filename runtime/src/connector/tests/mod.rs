//! Launching, token, stopping, dying: with real processes. Each is this test binary again, playing one of the [`roles`].

pub(crate) mod flow;
pub(crate) mod play;
mod roles;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Instant;

use longshore_proto::ErrorKind;

use super::*;

/// No test takes longer than this, whatever goes wrong.
const TEST_MAX: Duration = Duration::from_secs(40);

/// A connector that plays a role, in a directory of its own.
struct Stage {
    directory: tempfile::TempDir,
    launch: Launch,
}

fn stage(role: &str) -> Stage {
    let directory = tempfile::tempdir().unwrap();
    let launch = Launch {
        task: "t".to_owned(),
        kind: Kind::Capture,
        location: Location::Command(roles::command(role)),
        hold: Hold::default(),
        catalog_directory: directory.path().to_path_buf(),
        state_directory: Some(directory.path().join("state")),
    };
    Stage { directory, launch }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TEST_MAX, future).await.expect("the test takes too long")
}

fn lives(pid: u32) -> bool {
    // Behind the command's name, which may hold anything: the state.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Waits for the end of a process that is not our child.
fn gone_in_time(pid: u32) -> bool {
    let begin = Instant::now();
    while lives(pid) && begin.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    !lives(pid)
}

#[tokio::test]
async fn a_connector_is_started_answers_and_ends_in_order() {
    within(async {
        let stage = stage("serves");
        let launched = Launched::start(&stage.launch).await.unwrap();
        let pid = launched.pid().unwrap();
        let spec = launched.capture().spec().await.unwrap();
        assert_eq!(spec.name, "capture-of-the-tests");
        assert_eq!(
            spec.version,
            stage.directory.path().canonicalize().unwrap().display().to_string(),
            "it runs in the catalog's directory"
        );
        let notes: Vec<_> = std::fs::read_dir(stage.directory.path().join("state/sockets")).unwrap().collect();
        assert_eq!(notes.len(), 1, "the state directory names its socket");
        launched.stop(GRACE).await;
        assert!(!lives(pid));
        assert_eq!(std::fs::read_dir(stage.directory.path().join("state/sockets")).unwrap().count(), 0);
    })
    .await;
}

#[tokio::test]
async fn the_token_is_spent_by_the_first_call() {
    within(async {
        let stage = stage("serves");
        let launched = Launched::start(&stage.launch).await.unwrap();
        let client = launched.capture();
        client.spec().await.unwrap();
        client.spec().await.expect("the secret is taken again and again");
        let token = std::fs::read(format!("/proc/{}/environ", launched.pid().unwrap())).unwrap();
        let token = token.split(|byte| *byte == 0).find_map(|pair| pair.strip_prefix(b"LONGSHORE_TOKEN=")).unwrap();
        let thief = launched.connection.with_bearer(Bearer::once(str::from_utf8(token).unwrap()).unwrap());
        let refused = CaptureClient::new(thief).spec().await.unwrap_err();
        assert!(refused.message.contains("token"), "{}", refused.message);
    })
    .await;
}

#[tokio::test]
async fn a_connector_sees_nothing_of_our_environment_but_what_the_contract_names() {
    within(async {
        let stage = stage("serves");
        let launched = Launched::start(&stage.launch).await.unwrap();
        let environment = std::fs::read(format!("/proc/{}/environ", launched.pid().unwrap())).unwrap();
        for pair in environment.split(|byte| *byte == 0).filter(|pair| !pair.is_empty()) {
            let name = String::from_utf8_lossy(pair.split(|byte| *byte == b'=').next().unwrap()).into_owned();
            // Where it works; what holds it sets that.
            let known =
                name == "PWD" || name.starts_with("LONGSHORE_") || process::ENVIRONMENT.contains(&name.as_str());
            assert!(known, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_catalog_two_hundred_characters_deep_is_no_problem() {
    within(async {
        let mut stage = stage("serves");
        let deep = stage.directory.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        stage.launch.catalog_directory = deep.clone();
        stage.launch.state_directory = Some(deep.join("state"));
        let launched = Launched::start(&stage.launch).await.unwrap();
        launched.capture().spec().await.unwrap();
        launched.stop(GRACE).await;
    })
    .await;
}

#[tokio::test]
async fn one_that_exits_at_once_is_told_with_its_status_and_last_words() {
    within(async {
        let begin = Instant::now();
        let stage = stage("exits");
        let error = Launched::start(&stage.launch).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "connector.exited"));
        assert!(error.message.contains("exit status 3"), "{}", error.message);
        assert!(error.message.contains("no such table"), "{}", error.message);
        assert!(begin.elapsed() < Duration::from_secs(20), "it was not waited for");
    })
    .await;
}

#[tokio::test]
async fn one_that_never_serves_is_given_up_and_killed() {
    within(async {
        let stage = stage("never_serves");
        let pid_file = stage.directory.path().join("pid");
        let error = Launched::start(&stage.launch).await.unwrap_err();
        assert_eq!(error.code, "connector.not_serving");
        assert!(!lives(std::fs::read_to_string(pid_file).unwrap().parse().unwrap()));
    })
    .await;
}

#[tokio::test]
async fn one_that_floods_its_log_works_all_the_same() {
    within(async {
        let stage = stage("floods");
        let launched = Launched::start(&stage.launch).await.unwrap();
        for _ in 0..50 {
            launched.capture().spec().await.unwrap();
        }
        launched.stop(GRACE).await;
    })
    .await;
}

#[tokio::test]
async fn one_that_does_not_end_is_killed_with_all_it_started() {
    within(async {
        let stage = stage("stays");
        let launched = Launched::start(&stage.launch).await.unwrap();
        let pid = launched.pid().unwrap();
        let grandchild = std::fs::read_to_string(stage.directory.path().join("pid")).unwrap().parse().unwrap();
        assert!(lives(pid) && lives(grandchild));
        launched.stop(Duration::from_millis(100)).await;
        assert!(!lives(pid));
        tokio::task::spawn_blocking(move || assert!(gone_in_time(grandchild))).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn dropping_it_kills_it() {
    within(async {
        let stage = stage("serves");
        let launched = Launched::start(&stage.launch).await.unwrap();
        let pid = launched.pid().unwrap();
        drop(launched);
        tokio::task::spawn_blocking(move || assert!(gone_in_time(pid))).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_death_during_a_call_is_told_with_its_status() {
    within(async {
        let stage = stage("serves");
        let launched = Launched::start(&stage.launch).await.unwrap();
        let client = launched.capture();
        client.spec().await.unwrap();
        let error = client
            .discover(longshore_proto::capture::message::Discover { config_json: "{}".into(), resources_json: vec![] })
            .await;
        let error = error.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "connector.exited"));
        assert!(error.message.contains("exit status 7") && error.message.contains("Discover"), "{}", error.message);
    })
    .await;
}

#[tokio::test]
async fn a_death_during_a_session_is_told_with_its_status_however_often_it_is_asked() {
    within(async {
        let stage = stage("serves");
        let launched = Launched::start(&stage.launch).await.unwrap();
        let client = launched.capture();
        client.spec().await.unwrap();
        let owner = longshore_proto::session::Owner {
            task: "t".to_owned(),
            installation: longshore_proto::name::InstallationId::from_bytes([1; 16]),
            epoch: 1,
        };
        let open = longshore_proto::capture::message::Open {
            owner,
            config_json: "{}".into(),
            bindings: vec![],
            state: longshore_proto::state::State::new(),
        };
        let (sender, mut receiver) = client.pull(open).await.unwrap();
        assert!(receiver.recv().await.unwrap().is_some());
        sender.stop().unwrap();
        for _ in 0..2 {
            let error = receiver.recv().await.unwrap_err();
            assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "connector.exited"), "{error}");
            assert!(error.message.contains("exit status 5"), "{}", error.message);
        }
    })
    .await;
}

#[test]
fn nothing_is_left_when_the_runtime_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut runtime = std::process::Command::new(std::env::current_exe().unwrap())
        .args(roles::arguments("runtime"))
        .env(roles::RUNTIME, directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(runtime.stdout.take().unwrap()).lines();
    let pid: u32 = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("connector ")?.parse().ok()).unwrap();
    assert!(lives(pid));
    runtime.kill().unwrap();
    runtime.wait().unwrap();
    assert!(gone_in_time(pid));
}

#[tokio::test]
async fn somebody_elses_connector_is_dialled_with_its_token_file_and_left_alone() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        std::fs::write(&token_file, "abc\n").unwrap();
        let socket = directory.path().join("s");
        let served = tokio::spawn(roles::serve(socket.clone(), "abc".to_owned(), false));
        let mut launch = stage("serves").launch;
        launch.catalog_directory = directory.path().to_path_buf();
        launch.location = Location::Address {
            address: Address::parse("unix:s").unwrap(),
            token_file: Some("token".into()),
            tls: None,
        };
        let error = Launched::start(&launch).await.unwrap_err();
        assert_eq!(error.code, "connector.token_file", "others may read the token");
        std::fs::set_permissions(&token_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let launched = Launched::start(&launch).await.unwrap();
        launched.capture().spec().await.unwrap();
        launched.capture().spec().await.unwrap();
        launched.stop(GRACE).await;
        assert!(!served.is_finished());
        served.abort();
    })
    .await;
}

#[test]
fn a_command_is_taken_relative_to_the_catalog() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(command(&words(&["./c", "-v"]), Path::new("/cat")).unwrap().get_program(), "/cat/./c");
    assert_eq!(command(&words(&["c"]), Path::new("/cat")).unwrap().get_program(), "c");
    assert_eq!(command(&[], Path::new("/cat")).unwrap_err().code, "connector.command");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_mistake_of_the_catalog() {
    let mut launch = stage("serves").launch.clone();
    launch.catalog_directory = "/".into();
    launch.location = Location::Command(vec!["./missing".to_owned()]);
    let error = Launched::start(&launch).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "connector.start"));
    assert!(error.message.contains("missing"), "{}", error.message);
}
