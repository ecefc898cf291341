//! Base URLs, and what happens where nobody answers.

use coding_api::{BaseUrl, BaseUrlError, Client, Credential, ErrorKind, Remedy, RetryPolicy};

use crate::server::{Answer, Server, json};

fn parsed(text: &str, allow_insecure: bool) -> Result<String, BaseUrlError> {
    BaseUrl::parse(text, allow_insecure).map(|base| base.to_string())
}

#[test]
fn what_people_paste_becomes_one_form() {
    for text in [
        "https://acme.coding.net",
        " https://ACME.coding.net/ ",
        "https://acme.coding.net/open-api",
        "https://acme.coding.net/open-api/",
        "https://acme.coding.net:443//",
        "acme.coding.net",
    ] {
        assert_eq!(parsed(text, false), Ok("https://acme.coding.net".to_owned()), "{text}");
    }
    assert_eq!(
        parsed("https://dev.example.com:8443/coding/open-api", false).unwrap(),
        "https://dev.example.com:8443/coding"
    );
    assert_eq!(BaseUrl::for_team(" Acme-1 ").unwrap().as_str(), "https://acme-1.coding.net");
    for team in ["", "a.b", "-a", "a/b", "a b", "团队"] {
        assert_eq!(BaseUrl::for_team(team), Err(BaseUrlError::Team(team.to_owned())));
    }
}

#[test]
fn only_https_and_public_hosts_unless_allowed() {
    for text in [
        "https://10.0.0.1",
        "https://192.168.1.1",
        "https://172.16.9.9",
        "https://169.254.169.254",
        "https://100.100.100.200",
        "https://0x0a000001",
        "https://0.0.0.0",
        "https://255.255.255.255",
        "https://224.0.0.1",
        "https://[fe80::1]",
        "https://[fd00::1]",
        "https://[::ffff:10.0.0.1]",
        "https://[64:ff9b::a00:1]",
        "https://[2002:a00:1::]",
        "https://[::]",
        "https://metadata.google.internal",
        "https://coding.local",
        "https://coding.corp.",
        "https://coding",
        "http://10.0.0.1:8080",
    ] {
        assert!(matches!(parsed(text, false), Err(BaseUrlError::PrivateHost(_))), "{text}");
        assert!(parsed(text, true).is_ok(), "{text}");
    }
    assert_eq!(parsed("http://acme.coding.net", false), Err(BaseUrlError::Insecure));
    assert_eq!(parsed("http://acme.coding.net", true), Ok("http://acme.coding.net".to_owned()));
    for text in ["http://127.0.0.1:7070", "http://localhost:7070", "https://[::1]:1", "http://127.9.9.9"] {
        assert!(parsed(text, false).is_ok(), "{text}");
    }
    assert!(parsed("https://1.1.1.1", false).is_ok());
    assert!(parsed("https://[2606:4700::1]", false).is_ok());
}

#[test]
fn other_mistakes_are_named() {
    assert_eq!(parsed("ftp://acme.coding.net", true), Err(BaseUrlError::Scheme("ftp".to_owned())));
    assert_eq!(parsed("https://me:pw@acme.coding.net", true), Err(BaseUrlError::Userinfo));
    assert_eq!(parsed("https://acme.coding.net/?a=1", true), Err(BaseUrlError::Query));
    assert!(matches!(parsed("", true), Err(BaseUrlError::Invalid(_))));
    assert!(matches!(parsed("https://", true), Err(BaseUrlError::Invalid(_))));
}

#[tokio::test]
async fn paths_are_appended_to_the_base() {
    let server = Server::start(|_| json(r#"{"Response":{"User":{"Id":1}}}"#)).await;
    let base = BaseUrl::parse(&format!("{}/below/open-api/", server.url), false).unwrap();
    let client = Client::builder(base, Credential::personal_token("token abc")).build().unwrap();
    client.current_user().await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!((seen.path.as_str(), seen.action.as_str()), ("/below/open-api", "DescribeCodingCurrentUser"));
    assert_eq!(seen.authorization, "token abc");
}

async fn kind_at(url: &str) -> (ErrorKind, Remedy) {
    let base = BaseUrl::parse(url, false).unwrap();
    let client = Client::builder(base, Credential::personal_token("abc"))
        .retries(RetryPolicy::never())
        .build()
        .unwrap();
    let error = client.current_user().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("abc"));
    (error.kind().clone(), error.remedy())
}

#[tokio::test]
async fn nobody_there_and_no_tls_are_told_apart() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(kind_at(&format!("http://{free}")).await, (ErrorKind::Unreachable, Remedy::Retry));
    let hangup = Server::start(|_| Answer::Hangup).await;
    assert_eq!(kind_at(&hangup.url).await, (ErrorKind::Unreachable, Remedy::Retry));
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    let answer = async {
        let (mut stream, _) = plain.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let url = format!("https://{address}");
    let (_stream, kind) = tokio::join!(answer, kind_at(&url));
    assert_eq!(kind, (ErrorKind::Tls, Remedy::AskHuman));
}

#[tokio::test]
async fn a_proxy_carries_the_requests() {
    let proxy = Server::start(|_| json(r#"{"Response":{"User":{"Id":1}}}"#)).await;
    let base = BaseUrl::parse("http://coding.example.com", true).unwrap();
    let client =
        Client::builder(base, Credential::personal_token("abc")).proxy(proxy.url.clone()).build().unwrap();
    client.current_user().await.unwrap();
    assert_eq!(proxy.seen()[0].path, "http://coding.example.com/open-api");
}

#[test]
fn unusable_settings_are_refused_when_building() {
    let base = || BaseUrl::for_team("acme").unwrap();
    let token = || Credential::personal_token("abc");
    assert!(Client::builder(base(), Credential::personal_token(" ")).build().is_err());
    assert!(Client::builder(base(), token()).proxy("not a url").build().is_err());
    assert!(Client::builder(base(), token()).ca_file("/nonexistent.pem").build().is_err());
    let no_certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert!(Client::builder(base(), token()).ca_file(no_certificate).build().is_err());
}
