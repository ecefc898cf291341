//! Certificates that the user names, as `openssl req -x509` makes them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use coding_api::{BaseUrl, Client, Credential, ErrorKind, RetryPolicy, trust};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Makes a certificate. `false` when there is no openssl.
fn made(folder: &Path, name: &str, further: &[&str]) -> bool {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]).current_dir(folder);
    command.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]).args(further);
    command.output().is_ok_and(|made| made.status.success())
}

/// A server that shows this certificate and answers everything alike; its address.
async fn server(folder: &Path, name: &str) -> String {
    let file = |kind: &str| folder.join(format!("{name}.{kind}"));
    let shown = CertificateDer::pem_file_iter(file("crt")).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
    let config = ServerConfig::builder_with_provider(trust::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(shown, key)
        .unwrap();
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let body = r#"{"Response":{"User":{"Id":1}}}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

#[tokio::test]
async fn a_certificate_made_by_hand_is_trusted_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let with_address = ["-subj", "/CN=coding", "-addext", "subjectAltName=IP:127.0.0.1"];
    let kinds = [
        ("named", &with_address[..]),
        ("plain", &["-subj", "/CN=127.0.0.1"]),
        ("other", &["-subj", "/CN=127.0.0.1"]),
        ("elsewhere", &["-subj", "/CN=coding.example.com"]),
    ];
    if !kinds.iter().all(|(name, further)| made(folder.path(), name, further)) {
        eprintln!("skipped: there is no openssl to make a certificate with");
        return;
    }
    let ask = async |shown: &str, named: Option<&str>| {
        let base = BaseUrl::parse(&server(folder.path(), shown).await, true).unwrap();
        let builder = Client::builder(base, Credential::personal_token("abc")).retries(RetryPolicy::never());
        let builder = match named {
            Some(named) => builder.ca_file(folder.path().join(format!("{named}.crt"))),
            None => builder,
        };
        builder.build().unwrap().current_user().await.map(|_| ()).map_err(|error| error.kind().clone())
    };
    assert_eq!(ask("named", Some("named")).await, Ok(()));
    assert_eq!(ask("plain", Some("plain")).await, Ok(()));
    for (shown, named) in [
        ("named", None),
        ("plain", Some("other")),
        // Named, and for another server.
        ("elsewhere", Some("elsewhere")),
    ] {
        let refused = ask(shown, named).await;
        assert!(matches!(refused, Err(ErrorKind::Tls)), "{shown}, {named:?}: {refused:?}");
    }
}
