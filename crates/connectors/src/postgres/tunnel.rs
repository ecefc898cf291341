//! TLS of our own, for certificates that the driver's rules forbid and that the user names all the same.
//!
//! The driver cannot be told what to believe, but it takes a Unix socket: it gets one of ours, behind which each byte
//! is carried to and from the server.

use std::io;
use std::sync::Arc;

use coding_api::trust::{self, NamedCertificates};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::Validated;

/// What asks a server whether it speaks TLS: a length, and a number that is no version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Whether a named certificate may mend this: the URL names one, and TLS broke on what the server showed.
pub(super) fn may_help(place: &Validated, options: &PgConnectOptions, error: &sqlx::Error) -> bool {
    let verifies = matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    let distrusts = match error {
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        sqlx::Error::Tls(_) => true,
        _ => false,
    };
    verifies && distrusts && place.certificates().iter().any(|(name, _)| *name == "sslrootcert")
}

/// A connection through TLS of our own. What carries it ends with it.
pub(super) async fn connect(
    place: &Validated,
    options: PgConnectOptions,
) -> Result<PgConnection, sqlx::Error> {
    let mut far = encrypted(place, &options).await?;
    // Nobody else may enter it, and it goes once the driver is through.
    let folder = tempfile::Builder::new().prefix("tributary-").tempdir()?;
    let listener = UnixListener::bind(folder.path().join(format!(".s.PGSQL.{}", options.get_port())))?;
    let options = options.socket(folder.path()).ssl_mode(PgSslMode::Disable);
    let carry = async {
        let (mut near, _) = listener.accept().await?;
        tokio::spawn(async move {
            // The driver says what became of its end.
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
        Ok(())
    };
    let (connection, ()) = tokio::try_join!(options.connect(), carry)?;
    Ok(connection)
}

async fn encrypted(
    place: &Validated,
    options: &PgConnectOptions,
) -> Result<TlsStream<TcpStream>, sqlx::Error> {
    let untrusted = |error: rustls::Error| sqlx::Error::Tls(error.into());
    let (mut named, mut shown, mut key) = (Vec::new(), None, None);
    for (name, file) in place.certificates() {
        let pem = tokio::fs::read(file).await?;
        match name {
            "sslrootcert" => named = pem,
            "sslcert" => shown = Some(pem),
            _ => key = Some(pem),
        }
    }
    let named = NamedCertificates::new(&named).map_err(untrusted)?;
    let named = match options.get_ssl_mode() {
        PgSslMode::VerifyFull => named,
        _ => named.for_any_name(),
    };
    let config = ClientConfig::builder_with_provider(trust::provider())
        .with_safe_default_protocol_versions()
        .map_err(untrusted)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(named));
    let config = match (shown, key) {
        (Some(shown), Some(key)) => {
            let unread = |error: rustls::pki_types::pem::Error| sqlx::Error::Tls(error.into());
            let shown: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&shown).collect();
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(unread)?;
            config.with_client_auth_cert(shown.map_err(unread)?, key).map_err(untrusted)?
        }
        _ => config.with_no_client_auth(),
    };
    let host = options.get_host().to_owned();
    let mut stream = TcpStream::connect((host.as_str(), options.get_port())).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&SSL_REQUEST).await?;
    if stream.read_u8().await? != b'S' {
        return Err(sqlx::Error::Tls("the server does not speak TLS".into()));
    }
    let name = ServerName::try_from(host).map_err(|error| sqlx::Error::Tls(error.into()))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}
