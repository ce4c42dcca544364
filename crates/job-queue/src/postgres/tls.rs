//! Encryption of the connection, with the meanings that `sslmode` has for PostgreSQL's own clients: `prefer` and
//! `require` encrypt without asking who answers; `verify-ca`, `verify-full` and a named root certificate ask.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// Whom to trust.
#[derive(Debug, Default, Clone)]
pub(super) struct Trust {
    /// Whether the server must prove who it is (certificate and name).
    pub(super) verify: bool,
    /// The certificates to trust; by default those of this host.
    pub(super) roots: Option<PathBuf>,
}

impl Trust {
    pub(super) fn is_required(&self) -> bool {
        self.verify
    }

    /// What makes the TLS half of a connection.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("BUG: ring has the default protocol versions");
        let config = if self.verify {
            builder.with_root_certificates(self.certificates()?).with_no_client_auth()
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))).with_no_client_auth()
        };
        Ok(MakeRustlsConnect::new(config))
    }

    fn certificates(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        let Some(path) = &self.roots else {
            // One that cannot be read is not a reason to refuse all others.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(store);
        };
        let wrong = |why: String| Error::Url(format!("sslrootcert {}: {why}", path.display()));
        let certificates = CertificateDer::pem_file_iter(path).map_err(|e| wrong(e.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
            store.add(certificate).map_err(|e| wrong(e.to_string()))?;
        }
        if store.is_empty() {
            return Err(wrong("there is no certificate in it".into()));
        }
        Ok(store)
    }
}

/// Takes any certificate, as PostgreSQL's clients do below `verify-ca`; the handshake must be sound all the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
