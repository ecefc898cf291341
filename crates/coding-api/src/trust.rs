//! Certificates that a user names: trusted as they stand, beside what others vouch for.
//!
//! `openssl req -x509`, the usual way to make a certificate by hand, makes one that is an authority's and a server's at
//! once, and often without a name but the subject's. The rules for public certificates forbid both; other programs take
//! such a certificate when it is named, and so do these rules.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use webpki::EndEntityCert;

/// What begins the common name in a subject: its number.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];

/// Believes a server that shows one of the named certificates, or one that they vouch for. In both cases it must be
/// valid now, and for the server's name.
#[derive(Debug)]
pub struct NamedCertificates {
    certificates: Vec<CertificateDer<'static>>,
    chain: Arc<WebPkiServerVerifier>,
    others: Option<Arc<dyn ServerCertVerifier>>,
    any_name: bool,
}

impl NamedCertificates {
    /// The certificates of a PEM file.
    ///
    /// # Errors
    /// There is none in it, or one cannot be read.
    pub fn new(pem: &[u8]) -> Result<NamedCertificates, Error> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|error| Error::General(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone())?;
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let chain = chain.map_err(|error| Error::General(error.to_string()))?;
        Ok(NamedCertificates { certificates, chain, others: None, any_name: false })
    }

    /// Believes what `others` believe as well.
    #[must_use]
    pub fn beside(self, others: Arc<dyn ServerCertVerifier>) -> NamedCertificates {
        NamedCertificates { others: Some(others), ..self }
    }

    /// Believes a server whatever its name.
    #[must_use]
    pub fn for_any_name(self) -> NamedCertificates {
        NamedCertificates { any_name: true, ..self }
    }

    fn named(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(shown, intermediates, server, &[], now);
        let Err(Error::InvalidCertificate(error)) = &verified else { return verified };
        // All three come after the certificate was found to be valid now.
        let is_believed = match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => true,
            CertificateError::UnknownIssuer => self.certificates.contains(shown),
            CertificateError::Other(OtherError(error)) => {
                let known = error.downcast_ref::<webpki::Error>();
                known == Some(&webpki::Error::CaUsedAsEndEntity) && self.certificates.contains(shown)
            }
            _ => false,
        };
        if !is_believed {
            return verified;
        }
        if self.any_name || is_for(shown, server) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::NotValidForName.into())
    }
}

impl ServerCertVerifier for NamedCertificates {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match (self.named(shown, intermediates, server, now), &self.others) {
            (Err(_), Some(others)) => others.verify_server_cert(shown, intermediates, server, ocsp, now),
            (verified, _) => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// What encrypts and verifies: the one provider in the tree.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

/// Whether a certificate is for this server: by its alternative names or, where it has none, by its common name.
fn is_for(certificate: &CertificateDer<'_>, server: &ServerName<'_>) -> bool {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return false };
    certificate.verify_is_valid_for_subject_name(server).is_ok()
        || (certificate.valid_dns_names().next().is_none()
            && common_name(certificate.subject())
                .is_some_and(|name| name.eq_ignore_ascii_case(&server.to_str())))
}

/// The last common name of a subject.
fn common_name(subject: &[u8]) -> Option<&str> {
    let at = subject.windows(COMMON_NAME.len()).rposition(|found| found == COMMON_NAME)?;
    match subject.get(at.saturating_add(COMMON_NAME.len())..)? {
        // A string of one of the kinds that are bytes of ASCII or UTF-8, and its length.
        [0x0c | 0x13 | 0x16, length @ 0..128, rest @ ..] => {
            std::str::from_utf8(rest.get(..usize::from(*length))?).ok()
        }
        _ => None,
    }
}
