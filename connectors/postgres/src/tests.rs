//! The way to a server, with real ones: who is let in, and whose certificate is believed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_sdk::{ErrorKind, Secret};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::testing::{Database, Server};
use crate::{Client, Endpoint, Replication};

/// A server with a certificate made out to `localhost`, and its authority.
pub(crate) struct Encrypted {
    pub(crate) server: Arc<Server>,
    pub(crate) authority: PathBuf,
    stranger: PathBuf,
    _files: tempfile::TempDir,
}

impl Encrypted {
    pub(crate) fn start() -> Self {
        Self::signed_with(&rcgen::PKCS_ECDSA_P256_SHA256)
    }

    /// With an authority that signs in this way.
    pub(crate) fn signed_with(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let files = tempfile::tempdir().unwrap();
        let mut server = Server::start("");
        let authority = authority(algorithm);
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        server.down();
        lay(&server.data().join("server.crt"), &certificate.pem());
        lay(&server.data().join("server.key"), &key.serialize_pem());
        server.configure("ssl = on\n");
        server.up();
        let paths = [files.path().join("ca.pem"), files.path().join("stranger.pem")];
        fs::write(&paths[0], authority.pem()).unwrap();
        fs::write(&paths[1], self::authority(algorithm).pem()).unwrap();
        let [authority, stranger] = paths;
        Self { server: Arc::new(server), authority, stranger, _files: files }
    }

    pub(crate) fn endpoint(&self, host: &str, mode: &str, root: Option<&Path>) -> Endpoint {
        let url = format!("postgres://postgres@{host}:{}/postgres?sslmode={mode}", self.server.port());
        Endpoint { url, password: None, sslrootcert: root.map(Path::to_owned) }
    }
}

fn authority(algorithm: &'static rcgen::SignatureAlgorithm) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate_for(algorithm).unwrap()).unwrap()
}

/// Like the directory it is laid into, it is the server's user's, and nobody else reads it.
pub(crate) fn lay(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    let owner = fs::metadata(file.parent().unwrap()).unwrap();
    std::os::unix::fs::chown(file, Some(std::os::unix::fs::MetadataExt::uid(&owner)), None).unwrap();
}

async fn is_encrypted(endpoint: &Endpoint) -> longshore_sdk::Result<bool> {
    let client = Client::connect(endpoint).await?;
    let row = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await;
    Ok(row.map_err(|error| crate::failed("asking whether it is encrypted", &error))?.get(0))
}

async fn is_replication_encrypted(endpoint: &Endpoint) -> longshore_sdk::Result<bool> {
    let ask = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let rows = Replication::connect(endpoint, "test").await?.query("asking whether it is encrypted", ask).await?;
    Ok(rows == [[Some("t".to_owned())]])
}

/// The replication connection is encrypted as the other is, and refused with the same words for the machine.
async fn are_encrypted(endpoint: &Endpoint) -> longshore_sdk::Result<bool> {
    let (ordinary, replication) = (is_encrypted(endpoint).await, is_replication_encrypted(endpoint).await);
    match (&ordinary, &replication) {
        (Ok(ordinary), Ok(replication)) => assert_eq!(ordinary, replication, "{endpoint:?}"),
        (Err(ordinary), Err(replication)) => {
            let words = |error: &longshore_sdk::Error| (error.kind, error.code.clone(), error.pointer.clone());
            assert_eq!(words(ordinary), words(replication), "{endpoint:?}: {ordinary} / {replication}");
        }
        (_, _) => panic!("{endpoint:?}: {ordinary:?} / {replication:?}"),
    }
    replication
}

#[tokio::test]
async fn a_certificate_is_believed_as_far_as_sslmode_says() {
    let encrypted = Encrypted::start();
    let (ours, strange) = (Some(encrypted.authority.as_path()), Some(encrypted.stranger.as_path()));
    for (host, mode, root, encrypts) in [
        ("localhost", "disable", None, false),
        ("localhost", "prefer", None, true),
        ("127.0.0.1", "require", None, true),
        ("127.0.0.1", "verify-ca", ours, true),
        ("localhost", "verify-full", ours, true),
    ] {
        let endpoint = encrypted.endpoint(host, mode, root);
        assert_eq!(are_encrypted(&endpoint).await.unwrap(), encrypts, "{endpoint:?}");
    }
    for (host, mode, root) in
        [("localhost", "verify-ca", strange), ("localhost", "verify-full", strange), ("127.0.0.1", "verify-full", ours)]
    {
        let endpoint = encrypted.endpoint(host, mode, root);
        let error = are_encrypted(&endpoint).await.unwrap_err();
        assert_eq!(
            (error.kind, error.code.as_str()),
            (ErrorKind::Config, "postgres.certificate"),
            "{endpoint:?}: {error}"
        );
    }
    let no_file = encrypted.endpoint("localhost", "verify-full", Some(Path::new("missing.pem")));
    let error = are_encrypted(&no_file).await.unwrap_err();
    assert_eq!((error.kind, error.pointer.as_str()), (ErrorKind::Config, "/sslrootcert"));
}

#[tokio::test]
async fn a_server_without_certificates_is_refused_by_who_wants_encryption() {
    let database = Database::new();
    assert!(!are_encrypted(&database.endpoint()).await.unwrap(), "`prefer` takes what there is");
    for mode in ["require", "verify-full"] {
        let endpoint = Endpoint { url: format!("{}?sslmode={mode}", database.url()), ..database.endpoint() };
        let error = are_encrypted(&endpoint).await.unwrap_err();
        assert!(error.message.contains("TLS"), "{error}");
    }
}

/// A password counts as it is when a session begins, and is told to nobody.
#[tokio::test]
async fn a_password_is_read_at_each_connection() {
    let mut server = Server::start("password_encryption = 'scram-sha-256'\n");
    server.down();
    let hba = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    lay(&server.data().join("pg_hba.conf"), hba);
    server.up();
    let server = Arc::new(server);
    let database = Database::on(&server);
    database.run("CREATE ROLE app LOGIN REPLICATION PASSWORD 'old-hunter2'");
    let url = database.url().replace("postgres@", "app@");
    let with = |password: Option<&str>| Endpoint {
        url: url.clone(),
        password: password.map(|password| Secret::new(password.to_owned())),
        sslrootcert: None,
    };
    assert!(Client::connect(&with(Some("old-hunter2"))).await.is_ok());
    assert!(Replication::connect(&with(Some("old-hunter2")), "test").await.is_ok());
    database.run("ALTER ROLE app PASSWORD 'new-hunter2'");
    assert!(Client::connect(&with(Some("new-hunter2"))).await.is_ok());
    assert!(Replication::connect(&with(Some("new-hunter2")), "test").await.is_ok());
    for password in [Some("old-hunter2"), None] {
        let error = Client::connect(&with(password)).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "postgres.login"), "{error}");
        let of_replication = Replication::connect(&with(password), "test").await.unwrap_err();
        assert_eq!((of_replication.kind, &of_replication.code), (error.kind, &error.code));
        for text in [&error.message, &of_replication.message] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_told_apart_from_what_is_away() {
    let database = Database::new();
    let missing = Endpoint { url: database.url().replace(database.name(), "nowhere"), ..database.endpoint() };
    let error = Client::connect(&missing).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "postgres.database"), "{error}");
    let mut server = Server::start("");
    let endpoint = Endpoint { url: server.url("postgres"), password: None, sslrootcert: None };
    assert!(Client::connect(&endpoint).await.unwrap().version().await.unwrap() >= 120_000);
    server.down();
    let error = Client::connect(&endpoint).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "postgres.unreachable"), "{error}");
    server.up();
    assert!(Client::connect(&endpoint).await.is_ok(), "it is the same server again");
}

/// Two tests that look for a free port at one time can find the same: whoever came second must not take the other's server for its own.
#[test]
fn a_server_whose_port_was_taken_meanwhile_gets_another() {
    let first = Server::start("");
    let second = Server::start_at(first.port(), "");
    assert_ne!(first.port(), second.port());
    for server in [&first, &second] {
        assert_eq!(server.run("postgres", "SHOW data_directory"), server.data().display().to_string());
    }
    drop(first);
    assert_eq!(second.run("postgres", "SELECT 1"), "1");
}
