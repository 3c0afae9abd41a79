//! What a connector's image holds, as an archive that an Engine can load: an OCI layout, with the `manifest.json` that older ones read.
//!
//! Nothing here depends on when or where it is made, so the same binary, certificates and time zones give the same image id. What a
//! connector must be is said in `base-image/README.md`; where the parts come from, in [`super`].

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::tar::Tar;
use crate::Problem;

/// Whom a connector runs as, where nobody says otherwise.
pub(crate) const USER: u32 = 65532;
/// What the layer that most of them share holds.
const SYSTEM: &str = "certificates, time zones, user";
/// The variables every image has. `PATH` is never looked into: the entry point is a whole path.
const ENVIRONMENT: [&str; 2] = ["PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"];

/// The parts of an image that are the connector's own.
#[derive(Debug)]
pub(crate) struct Connector {
    /// Such as `capture-files`.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) binary: Vec<u8>,
    /// What its `--spec` prints.
    pub(crate) spec: Vec<u8>,
}

/// An image, ready to be loaded.
#[derive(Debug)]
pub(crate) struct Image {
    /// `longshore/NAME:dev`.
    pub(crate) tag: String,
    /// `sha256:…`, as an Engine calls it.
    pub(crate) id: String,
    pub(crate) archive: Vec<u8>,
    /// What it takes unpacked.
    pub(crate) bytes: u64,
}

/// The layer that all our images share: who runs, whom to trust, what time it is where.
pub(crate) fn system_layer(certificates: Vec<u8>, zones: &[(String, Zone)]) -> Result<Vec<u8>, Problem> {
    let mut layer = Tar::default();
    layer
        .file("etc/passwd", 0o644, format!("connector:x:{USER}:{USER}:connector:/:/\n"))
        .file("etc/group", 0o644, format!("connector:x:{USER}:\n"))
        .file("etc/ssl/certs/ca-certificates.crt", 0o644, certificates)
        .directory("tmp", 0o1777);
    for (name, zone) in zones {
        let path = format!("usr/share/zoneinfo/{name}");
        match zone {
            Zone::File(bytes) => layer.file(&path, 0o644, bytes.as_slice()),
            Zone::SameAs(other) => layer.link(&path, other),
        };
    }
    layer.bytes()
}

/// A time zone.
#[derive(Debug)]
pub(crate) enum Zone {
    File(Vec<u8>),
    /// The same as another one: a relative link to it.
    SameAs(String),
}

impl Connector {
    fn labels(&self) -> Result<Value, Problem> {
        let kind = self.name.split('-').next().unwrap_or_default();
        if !["capture", "materialize"].contains(&kind) {
            return Err(Problem(format!("{} is neither a capture-… nor a materialize-…", self.name)));
        }
        Ok(json!({
            "dev.longshore.kind": kind,
            "dev.longshore.protocol": "v1",
            "dev.longshore.spec.sha256": hex(&self.spec),
            "org.opencontainers.image.description": format!("The connector {} of Longshore", self.name),
            "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
            "org.opencontainers.image.title": self.name,
            "org.opencontainers.image.version": self.version,
        }))
    }

    /// Puts it on the shared layer.
    pub(crate) fn image(&self, system_layer: &[u8]) -> Result<Image, Problem> {
        let layer = Tar::default()
            .file(&self.name, 0o755, self.binary.as_slice())
            .file("spec.json", 0o644, self.spec.as_slice())
            .bytes()?;
        let its_own = format!("{} and its spec", self.name);
        let layers = [(SYSTEM, system_layer), (its_own.as_str(), layer.as_slice())];
        image(&self.name, &self.name, self.labels()?, &layers)
    }
}

/// What carries what connectors may reach: nothing is in its image but the program.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) version: String,
    pub(crate) binary: Vec<u8>,
}

impl Relay {
    pub(crate) const PROGRAM: &'static str = "longshore-relay";

    pub(crate) fn image(&self) -> Result<Image, Problem> {
        let layer = Tar::default().file(Self::PROGRAM, 0o755, self.binary.as_slice()).bytes()?;
        let labels = json!({
            "dev.longshore.relay": "v1",
            "org.opencontainers.image.description": "Carries what a connector of Longshore may reach",
            "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
            "org.opencontainers.image.title": Self::PROGRAM,
            "org.opencontainers.image.version": self.version,
        });
        image("relay", Self::PROGRAM, labels, &[(Self::PROGRAM, layer.as_slice())])
    }
}

/// The runtime with the bundled connectors beside it, where it looks for them first.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) version: String,
    /// By their names; the runtime's own is one of them.
    pub(crate) binaries: Vec<(String, Vec<u8>)>,
}

impl Runtime {
    pub(crate) const PROGRAM: &'static str = "longshore";

    /// Puts it on the shared layer.
    pub(crate) fn image(&self, system_layer: &[u8]) -> Result<Image, Problem> {
        let mut layer = Tar::default();
        for (name, binary) in &self.binaries {
            layer.file(name, 0o755, binary.as_slice());
        }
        let labels = json!({
            "org.opencontainers.image.description": "The runtime of Longshore and its bundled connectors",
            "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
            "org.opencontainers.image.title": Self::PROGRAM,
            "org.opencontainers.image.version": self.version,
        });
        let its_own = layer.bytes()?;
        let layers = [(SYSTEM, system_layer), ("longshore and the bundled connectors", its_own.as_slice())];
        image(Self::PROGRAM, Self::PROGRAM, labels, &layers)
    }
}

/// `longshore/NAME:dev` of these layers, each with how it came to be; `program` is at its root.
fn image(name: &str, program: &str, labels: Value, layers: &[(&str, &[u8])]) -> Result<Image, Problem> {
    let blobs: Vec<&[u8]> = layers.iter().map(|(_, layer)| *layer).collect();
    let made = |(by, _): &(&str, &[u8])| json!({ "created": "1970-01-01T00:00:00Z", "created_by": by });
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        // A time would make each build another image.
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Env": ENVIRONMENT,
            "Entrypoint": [format!("/{program}")],
            "WorkingDir": "/",
            "Labels": labels,
            "StopSignal": "SIGTERM",
        },
        "rootfs": { "type": "layers", "diff_ids": blobs.iter().map(|layer| digest(layer)).collect::<Vec<_>>() },
        "history": layers.iter().map(made).collect::<Vec<_>>(),
    });
    let config = config.to_string().into_bytes();
    let tag = format!("longshore/{name}:dev");
    let archive = layout(&tag, &config, &blobs)?;
    let bytes = blobs.iter().map(|layer| layer.len() as u64).sum();
    Ok(Image { tag, id: digest(&config), archive, bytes })
}

/// The OCI image layout, and beside it the list that `docker load` knew before.
fn layout(tag: &str, config: &[u8], layers: &[&[u8]]) -> Result<Vec<u8>, Problem> {
    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let described =
        |kind: &str, blob: &[u8]| json!({ "mediaType": kind, "digest": digest(blob), "size": blob.len() as u64 });
    let blob_path = |blob: &[u8]| format!("blobs/sha256/{}", hex(blob));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described("application/vnd.oci.image.config.v1+json", config),
        "layers": layers.iter().map(|layer| described(LAYER, layer)).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = described(MANIFEST, &manifest);
    let reference = tag.rsplit(':').next().unwrap_or_default();
    entry["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/{tag}"),
        "org.opencontainers.image.ref.name": reference,
    });
    let index =
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry] });
    let docker = json!([{
        "Config": blob_path(config),
        "RepoTags": [tag],
        "Layers": layers.iter().map(|layer| blob_path(layer)).collect::<Vec<_>>(),
    }]);
    let mut archive = Tar::default();
    for blob in layers.iter().copied().chain([config, &manifest]) {
        archive.file(&blob_path(blob), 0o644, blob);
    }
    archive
        .file("index.json", 0o644, index.to_string())
        .file("manifest.json", 0o644, docker.to_string())
        .file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#)
        .bytes()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(binary: &str) -> Image {
        let zones = [("UTC".to_owned(), Zone::File(b"TZif".to_vec())), ("Zulu".to_owned(), Zone::SameAs("UTC".into()))];
        let layer = system_layer(b"certificates".to_vec(), &zones).unwrap();
        let connector = Connector {
            name: "capture-x".into(),
            version: "1.2.3".into(),
            binary: binary.into(),
            spec: b"{\"name\":\"capture-x\"}".to_vec(),
        };
        connector.image(&layer).unwrap()
    }

    #[test]
    fn the_same_binary_gives_the_same_image_to_the_byte() {
        let (one, same, other) = (image("binary"), image("binary"), image("other"));
        assert_eq!((&one.id, &one.archive), (&same.id, &same.archive));
        assert_ne!(one.id, other.id);
    }

    #[test]
    fn an_image_says_what_it_is_without_being_run() {
        let archive = String::from_utf8_lossy(&image("binary").archive).into_owned();
        for part in [
            r#""dev.longshore.kind":"capture""#,
            r#""dev.longshore.protocol":"v1""#,
            r#""org.opencontainers.image.version":"1.2.3""#,
            r#""User":"65532:65532""#,
            r#""RepoTags":["longshore/capture-x:dev"]"#,
        ] {
            assert!(archive.contains(part), "{part}");
        }
    }

    #[test]
    fn a_relay_is_its_program_and_no_connector() {
        let relay = Relay { version: "1.2.3".into(), binary: b"binary".to_vec() };
        let archive = String::from_utf8_lossy(&relay.image().unwrap().archive).into_owned();
        for part in [
            r#""dev.longshore.relay":"v1""#,
            r#""Entrypoint":["/longshore-relay"]"#,
            r#""RepoTags":["longshore/relay:dev"]"#,
        ] {
            assert!(archive.contains(part), "{part}");
        }
        assert!(!archive.contains("dev.longshore.kind"));
    }

    #[test]
    fn what_is_no_connector_gets_no_image() {
        let stray = Connector { name: "longshore".into(), version: String::new(), binary: vec![], spec: vec![] };
        assert!(stray.image(&[]).is_err());
    }
}
