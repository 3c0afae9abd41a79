//! A connector on another machine (`https://`): both ends show a certificate, each refuses a stranger, and a renewed certificate counts without
//! a restart.

#![allow(clippy::disallowed_methods, reason = "a port that is free is found by asking, and serving is waited for")]

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use longshore_tests::destination;
use longshore_tests::scene::{Finished, Scene, bin_dir, holds_within};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

const RUN: [&str; 4] = ["run", "--until", "caught-up", "far.yaml"];
const SOON: Duration = Duration::from_secs(20);

/// One that signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    /// Lays a certificate for `localhost` with its key, and the authority itself, as `OWNER.pem`, `OWNER.key` and `OWNER-ca.pem`.
    fn sign(&self, scene: &Scene, owner: &str) {
        let key = KeyPair::generate().expect("a key");
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).expect("a name").signed_by(&key, &self.0);
        scene.write(format!("{owner}.pem"), certificate.expect("a certificate").pem());
        private(scene, &format!("{owner}.key"), &key.serialize_pem());
        scene.write(format!("{owner}-ca.pem"), self.0.pem());
    }
}

/// A connector that somebody started on a machine of theirs; killed in the end.
struct Far(Child);

impl Far {
    /// Serves TLS, and the catalog names where.
    fn start(scene: &Scene) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
        scene.write("far.yaml", catalog(&format!("https://localhost:{port}")));
        private(scene, "token", "a secret of some length, as it should be\n");
        let child = Command::new(bin_dir().join("capture-generator"))
            .env("LONGSHORE_LISTEN", format!("tcp:127.0.0.1:{port}"))
            .env("LONGSHORE_TOKEN_FILE", scene.join("token"))
            .env("LONGSHORE_TLS_CA_FILE", scene.join("far-ca.pem"))
            .env("LONGSHORE_TLS_CERT_FILE", scene.join("far.pem"))
            .env("LONGSHORE_TLS_KEY_FILE", scene.join("far.key"))
            .stdin(Stdio::null())
            .stderr(File::create(scene.join("far.log")).expect("a file"))
            .spawn();
        let far = Self(child.expect("the generator starts"));
        assert!(holds_within(SOON, || TcpStream::connect(("127.0.0.1", port)).is_ok()), "it listens");
        far
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.0.kill().expect("a child of ours");
        self.0.wait().expect("a child of ours");
    }
}

#[test]
fn documents_come_over_tls_and_a_renewed_certificate_counts_without_a_restart() {
    let scene = Scene::new();
    let first = Authority::new();
    first.sign(&scene, "far");
    first.sign(&scene, "near");
    let _far = Far::start(&scene);
    scene.longshore(RUN).expect_code(0);
    assert_eq!(destination::number(&scene.join("near.db"), "SELECT count(*) FROM s"), 5);

    // Another authority for both: nothing that was shown or trusted before is good any more.
    let second = Authority::new();
    second.sign(&scene, "near");
    let stranger = refused(&scene);
    assert!(stranger.stderr.contains("certificate"), "{}", stranger.stderr);
    second.sign(&scene, "far");
    scene.longshore(["check", "far.yaml"]).expect_code(0);
}

#[test]
fn each_end_refuses_a_stranger() {
    let scene = Scene::new();
    let (ours, other) = (Authority::new(), Authority::new());
    ours.sign(&scene, "far");
    ours.sign(&scene, "near");
    let _far = Far::start(&scene);
    // The runtime shows what another authority has signed, and trusts the right one.
    other.sign(&scene, "near");
    scene.write("near-ca.pem", ours.0.pem());
    let by_the_connector = refused(&scene);
    assert!(by_the_connector.stderr.contains("`ca_file`"), "{}", by_the_connector.stderr);
    let log = std::fs::read_to_string(scene.join("far.log")).expect("what the connector says");
    assert!(log.contains("a connection over TLS is refused: invalid peer certificate"), "{log}");
    // It shows the right one, and trusts another.
    ours.sign(&scene, "near");
    scene.write("near-ca.pem", other.0.pem());
    let by_the_runtime = refused(&scene);
    assert!(by_the_runtime.stderr.contains("invalid peer certificate"), "{}", by_the_runtime.stderr);
    // All is well, but the name is another's.
    ours.sign(&scene, "near");
    let catalog = std::fs::read_to_string(scene.join("far.yaml")).expect("the catalog");
    scene.write("far.yaml", catalog.replace("localhost", "127.0.0.1"));
    let by_name = refused(&scene);
    assert!(by_name.stderr.contains("not valid for name"), "{}", by_name.stderr);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let scene = Scene::new();
    let authority = Authority::new();
    authority.sign(&scene, "far");
    authority.sign(&scene, "near");
    scene.write("far.yaml", catalog("https://localhost:1"));
    private(&scene, "token", "a secret of some length, as it should be\n");
    let told = |words: &[&str]| {
        let finished = scene.longshore(["check", "far.yaml"]).expect_code(2);
        for word in words {
            assert!(finished.stderr.contains(word), "expected {word:?} in\n{}", finished.stderr);
        }
    };
    std::fs::set_permissions(scene.join("near.key"), std::fs::Permissions::from_mode(0o644)).expect("open");
    told(&["near.key", "others may read it too", "chmod 600"]);
    authority.sign(&scene, "near");
    scene.write("near.pem", "no certificate");
    told(&["near.pem", "PEM"]);
    authority.sign(&scene, "near");
    std::fs::copy(scene.join("far.key"), scene.join("near.key")).expect("another key");
    told(&["near.pem", "near.key", "the key it was made for"]);
    authority.sign(&scene, "near");
    std::fs::remove_file(scene.join("near-ca.pem")).expect("remove a file");
    told(&["near-ca.pem"]);
}

/// `check` tries for as long as a connector elsewhere may take, and says why it could not.
fn refused(scene: &Scene) -> Finished {
    scene.longshore(["check", "far.yaml"]).expect_code(3)
}

fn private(scene: &Scene, name: &str, content: &str) {
    scene.write(name, content);
    std::fs::set_permissions(scene.join(name), std::fs::Permissions::from_mode(0o600)).expect("private");
}

fn catalog(address: &str) -> String {
    format!(
        "captures:
  far:
    address: {address}
    token_file: ./token
    tls: {{ ca_file: ./near-ca.pem, cert_file: ./near.pem, key_file: ./near.key }}
    config: {{ count: 5, documents: 1 }}
    bindings:
      - {{ resource: {{ stream: s }}, collection: far/s }}
collections:
  far/s: {{ key: [/id] }}
materializations:
  near:
    connector: sqlite
    config: {{ path: ./near.db }}
    bindings:
      - {{ collection: far/s, resource: {{ table: s }} }}
"
    )
}
