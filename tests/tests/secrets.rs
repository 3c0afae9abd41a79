//! Secrets as a user has them: where their values may come from, when a command is run for one, and where none may stand. That none gets out
//! is the canary's business.

use std::io::Write as _;
use std::process::{Command, Stdio};

use longshore_tests::scene::{Scene, bin_dir};

const RUN: [&str; 4] = ["run", "--until", "caught-up", "a.yaml"];
const WORD: &str = "hunter2-of-the-catalog";

/// A capture that says its secret in a log line, with the secret written like this.
fn scene(secret: &str) -> Scene {
    let scene = Scene::new();
    catalog(&scene, secret);
    scene
}

fn catalog(scene: &Scene, secret: &str) {
    // JSON is YAML; a placeholder needs quotes.
    let secret = if secret.starts_with("${age") { format!("\"{secret}\"") } else { secret.to_owned() };
    let catalog = format!(
        "captures:
  t:
    command: [leaky]
    config: {{ secret: {secret}, leak: log-raw, form: plain }}
    bindings:
      - {{ resource: {{ stream: s }}, collection: t/s }}
collections:
  t/s: {{ key: [/id], schema: {{ type: object, properties: {{ id: {{ type: integer }} }} }} }}
materializations:
  sink:
    connector: \"null\"
    config: {{ path: ./sink.json }}
    bindings:
      - {{ collection: t/s, resource: {{ name: s }} }}
"
    );
    scene.write("a.yaml", catalog);
}

#[test]
fn a_command_is_run_only_when_the_user_allows_it_and_never_by_check() {
    let scene = scene(&format!("\"${{exec:echo {WORD}; echo ran >> ran}}\""));
    for words in [&RUN[..], &["preview", "t", "a.yaml"], &["discover", "t", "a.yaml"]] {
        let refused = scene.longshore(words).expect_code(2).stderr;
        assert!(refused.starts_with("error[variable.exec]: ") && refused.contains("--allow-exec"), "{refused}");
        assert!(refused.contains("a.yaml:4:24\n"), "{refused}");
    }
    let checked = scene.longshore(["check", "a.yaml"]).expect_code(0);
    assert!(checked.stderr.starts_with("warning[variable.not-run]: "), "{}", checked.stderr);
    assert!(checked.stdout.contains("skipped t: it needs `${exec:…}`"), "{}", checked.stdout);
    assert!(checked.stdout.contains("a.yaml: 0 of 2 tasks checked"), "{}", checked.stdout);
    scene.longshore(["check", "--allow-exec", "a.yaml"]).expect_code(2);
    assert!(!scene.join("ran").exists(), "nothing was run");

    let run = scene.longshore(RUN.into_iter().chain(["--allow-exec"])).expect_code(0);
    assert!(scene.join("ran").exists() && run.stderr.contains("password is [secret]"), "{}", run.stderr);
    assert!(!run.stderr.contains(WORD), "{}", run.stderr);
}

#[test]
fn a_command_that_fails_is_shown_where_it_is_written() {
    let scene = scene("\"${exec:echo no such key >&2; exit 4}\"");
    let refused = scene.longshore(RUN.into_iter().chain(["--allow-exec"])).expect_code(2).stderr;
    assert!(refused.contains("gave no value: exit status: 4: no such key"), "{refused}");
    assert!(refused.contains("a.yaml:4:24\n"), "{refused}");
}

#[test]
fn where_others_can_read_it_no_command_is_asked() {
    let scene = scene("x");
    let catalog = std::fs::read_to_string(scene.join("a.yaml")).expect("the catalog");
    scene.write("a.yaml", catalog.replace("[leaky]", "[leaky, \"--password=${exec:echo x; touch ran}\"]"));
    let refused = scene.longshore(RUN.into_iter().chain(["--allow-exec"])).expect_code(2).stderr;
    assert!(refused.starts_with("error[variable.place]: ") && refused.contains("can be read by others"), "{refused}");
    let resource = catalog.replace("{ stream: s }", "{ stream: \"${exec:echo s}\" }");
    scene.write("a.yaml", resource);
    let refused = scene.longshore(RUN.into_iter().chain(["--allow-exec"])).expect_code(2).stderr;
    assert!(refused.starts_with("error[config.secret]: "), "{refused}");
    assert!(!scene.join("ran").exists(), "nothing was run");
}

#[test]
fn a_mistake_beside_a_secret_is_shown_without_it() {
    for (secret, mistake) in [
        (WORD, ("form: plain", "from: plain")),
        (WORD, ("form: plain }", "form: plain, limit: 3 ]")),
        (WORD, ("config:", "confg:")),
        ("${WORD", ("form: plain", "form: plain")),
    ] {
        let scene = scene(secret);
        let catalog = std::fs::read_to_string(scene.join("a.yaml")).expect("the catalog");
        scene.write("a.yaml", catalog.replace(mistake.0, mistake.1));
        let refused = scene.longshore(["check", "a.yaml"]).expect_code(2).stderr;
        assert!(refused.starts_with("error[") && refused.contains("a.yaml:4:"), "{refused}");
        assert!(!refused.contains(WORD), "{refused}");
    }
}

#[test]
fn the_state_of_a_connector_is_kept_as_it_is_and_shown_without_secrets() {
    let scene = scene(WORD);
    let catalog = std::fs::read_to_string(scene.join("a.yaml")).expect("the catalog");
    scene.write("a.yaml", catalog.replace("log-raw", "pull-state"));
    scene.longshore(RUN).expect_code(0);
    let shown = scene.longshore(["state", "show", "t", "-v", "a.yaml"]).expect_code(0).stdout;
    assert!(shown.contains("{\"binding\":\"[secret]\"}") && !shown.contains(WORD), "{shown}");
    let shown = scene.longshore(["state", "show", "-v", "--json", "a.yaml"]).expect_code(0);
    assert_eq!(shown.objects("task")[1]["state"]["task"]["content"]["task"], "[secret]", "{}", shown.stdout);
    scene.write("a.yaml", catalog.replace("[leaky]", "[no-such-program]"));
    let shown = scene.longshore(["state", "show", "t", "-v", "a.yaml"]).expect_code(0).stdout;
    assert!(shown.contains("not shown: its secrets are not known") && !shown.contains(WORD), "{shown}");
    // Where it goes on from is what it was, byte for byte.
    let documents = scene.longshore(["journal", "read", "t", "-q", "a.yaml"]).expect_code(0).stdout;
    assert_eq!(documents, "{\"id\":1}\n");
}

#[test]
fn an_encrypted_value_is_decrypted_with_its_identity_alone() {
    let scene = Scene::new();
    for file in ["key", "other"] {
        let made = scene.longshore(["secret", "keygen", file]).expect_code(0);
        assert!(made.stdout.starts_with("age1") && made.stdout.lines().count() == 1, "{}", made.stdout);
        scene.longshore(["secret", "keygen", file]).expect_code(2);
    }
    let recipient = scene.longshore(["secret", "keygen", "third", "--json"]).expect_code(0).objects("identity");
    let to = recipient[0]["recipient"].as_str().expect("a recipient").to_owned();
    let encrypted = encrypt(&scene, &["--identity", "key"]);
    assert!(encrypted.starts_with("${age:") && !encrypted.contains(WORD), "{encrypted}");
    let for_third = encrypt(&scene, &["--to", &to]);

    let told = |identity: &[&str]| scene.longshore(RUN.iter().chain(identity)).expect_code(0).stderr;
    let refused = |identity: &[&str]| scene.longshore(RUN.iter().chain(identity)).expect_code(2).stderr;
    catalog(&scene, &encrypted);
    scene.longshore(["check", "a.yaml", "--identity", "key"]).expect_code(0);
    let run = told(&["--identity", "key"]);
    assert!(run.contains("password is [secret]") && !run.contains(WORD), "{run}");
    for (identity, part) in [
        (&[][..], "there is no identity"),
        (&["--identity", "other"], "not encrypted to this identity"),
        (&["--identity", "none"], "the identity file none: No such file"),
    ] {
        let refused = refused(identity);
        assert!(refused.starts_with("error[variable.age]: ") && refused.contains(part), "{refused}");
    }
    catalog(&scene, &for_third);
    assert!(told(&["--identity", "third"]).contains("password is [secret]"));
    let refused = scene.longshore(["secret", "encrypt"]).expect_code(2).stderr;
    assert!(refused.contains("longshore secret keygen"), "{refused}");
    scene.longshore(["secret", "encrypt", "--to", "somebody"]).expect_code(2);
    scene.longshore(["secret", "encrypt", "--to", &to]).expect_code(2);
}

#[test]
fn the_verb_teaches_with_an_example() {
    let scene = Scene::new();
    for verb in ["keygen", "encrypt"] {
        let help = scene.longshore(["secret", verb, "--help"]).expect_code(0).stdout;
        assert!(help.contains("Examples:") && help.contains(&format!("longshore secret {verb}")), "{help}");
    }
}

/// `longshore secret encrypt` with the word on standard input.
fn encrypt(scene: &Scene, words: &[&str]) -> String {
    let mut command = Command::new(bin_dir().join("longshore"));
    command
        .current_dir(scene.path())
        .args(["secret", "encrypt"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    writeln!(child.stdin.take().expect("a pipe"), "{WORD}").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}
