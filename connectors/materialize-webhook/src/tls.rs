//! Whom to trust behind `https://`: the system's authorities, or those of a file. The cryptography is ring's.

use std::path::Path;
use std::sync::Arc;

use longshore_sdk::{Error, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Reads the authorities.
pub(crate) fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let roots = match ca_file {
        Some(file) => of_file(file)?,
        None => of_system()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("webhook.tls", format!("preparing TLS: {error}")))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn of_file(file: &Path) -> Result<RootCertStore> {
    let wrong = |got: String| {
        let message = format!("expected a file with certificates (PEM), got {}: {got}", file.display());
        Error::config("webhook.ca_file", message).at_pointer("/ca_file").suggest(
            "name the file of the authority that signed the server's certificate; paths are relative to the catalog",
        )
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("no certificate in it".to_owned())) } else { Ok(roots) }
}

fn of_system() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "none at the usual places".to_owned(), ToString::to_string);
        let message =
            format!("url with https: expected certificates of the system to check the server's with, got {why}");
        return Err(Error::config("webhook.ca_file", message)
            .at_pointer("/url")
            .suggest("install ca-certificates, set SSL_CERT_FILE, or name a `ca_file`"));
    }
    Ok(roots)
}
