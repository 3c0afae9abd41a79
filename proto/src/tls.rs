//! The TLS of a connector on another machine: both ends show a certificate, and each takes only what its own authority has signed.
//!
//! What an end needs is made from three PEM files, anew for each connection: a file that was replaced counts from the next connection on.
//! TLS 1.3 alone, `ring` for the cryptography, HTTP/2 as the only protocol behind it (ALPN `h2`).

use std::fmt::Display;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::error::Error;

const HTTP_2: &[u8] = b"h2";

/// What one end shows and whom it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Certificates of the authorities that sign for the other end.
    pub ca: PathBuf,
    /// This end's certificate, with those between it and its authority behind it.
    pub certificate: PathBuf,
    /// The key of the certificate. Others must not be able to read it.
    pub key: PathBuf,
}

impl Files {
    /// The same, with relative paths taken from `directory`.
    #[must_use]
    pub fn within(&self, directory: &Path) -> Self {
        let Self { ca, certificate, key } = self;
        Self { ca: directory.join(ca), certificate: directory.join(certificate), key: directory.join(key) }
    }

    /// For the end that connects.
    ///
    /// # Errors
    /// `config`, code `tls.file` or `tls.pair`: a file cannot be read, holds something else, or does not fit the others.
    pub fn client(&self) -> Result<Arc<ClientConfig>, Error> {
        let (chain, key) = self.identity()?;
        let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let config = config.map_err(|error| self.unfit(&error))?.with_root_certificates(self.authorities()?);
        let mut config = config.with_client_auth_cert(chain, key).map_err(|error| self.unfit(&error))?;
        config.alpn_protocols = vec![HTTP_2.to_vec()];
        Ok(Arc::new(config))
    }

    /// For the end that listens.
    ///
    /// # Errors
    /// As [`Files::client`].
    pub fn server(&self) -> Result<Arc<ServerConfig>, Error> {
        let (chain, key) = self.identity()?;
        let authorities = Arc::new(self.authorities()?);
        let verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider()).build();
        let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let config = config.map_err(|error| self.unfit(&error))?;
        let config = config.with_client_cert_verifier(verifier.map_err(|error| self.unfit(&error))?);
        let mut config = config.with_single_cert(chain, key).map_err(|error| self.unfit(&error))?;
        config.alpn_protocols = vec![HTTP_2.to_vec()];
        Ok(Arc::new(config))
    }

    fn authorities(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        for certificate in certificates(&self.ca, "certificates of authorities")? {
            store.add(certificate).map_err(|error| wrong(&self.ca, "certificates of authorities", &error))?;
        }
        Ok(store)
    }

    fn identity(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        const KEY: &str = "a private key";
        let mode = self.key.metadata().map_err(|error| wrong(&self.key, KEY, &error))?.permissions().mode();
        if mode & 0o077 != 0 {
            let message = format!("reading {KEY} from {}: others may read it too", self.key.display());
            return Err(Error::config("tls.file", message).suggest(format!("chmod 600 {}", self.key.display())));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| wrong(&self.key, KEY, &error))?;
        Ok((certificates(&self.certificate, "a certificate")?, key))
    }

    fn unfit(&self, error: &dyn Display) -> Error {
        let Self { certificate, key, .. } = self;
        let message = format!("using certificate {} with key {}: {error}", certificate.display(), key.display());
        Error::config("tls.pair", message).suggest("name a certificate and the key it was made for")
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| wrong(path, what, &error))?;
    if all.is_empty() { Err(wrong(path, what, &"there is none in it")) } else { Ok(all) }
}

fn wrong(path: &Path, what: &str, why: &dyn Display) -> Error {
    Error::config("tls.file", format!("reading {what} from {}: {why}", path.display()))
        .suggest("name a PEM file, whose parts begin with `-----BEGIN …-----`")
}
