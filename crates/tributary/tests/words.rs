//! Words of others: no secret that a server quotes and nothing that steers a terminal gets out of the binary, in no form.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail loudly")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use coding_sim::{DEFAULT_TOKEN, Operation, ProjectConfig, SimConfig};

use crate::hooks::{Hooked, PROJECT, team};
use crate::support::{Ended, Stage, run, tributary, until};

/// A server that answers whatever it is asked with the credential that it was asked with, in another way each time.
struct Parrot {
    url: String,
    asked: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl Parrot {
    fn start() -> Parrot {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, over) = (Arc::clone(&asked), Arc::clone(&ended));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let turn = counted.fetch_add(1, Ordering::SeqCst);
                // Who hangs up early is told nothing.
                let _gone = stream.and_then(|stream| answer(stream, turn));
            }
        });
        Parrot { url: format!("http://{address}"), asked, ended }
    }
}

impl Drop for Parrot {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

fn answer(mut stream: TcpStream, turn: usize) -> std::io::Result<()> {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    let head = loop {
        let read = stream.read(&mut piece)?;
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if read == 0 || text.contains("\r\n\r\n") {
            break text;
        }
    };
    let header = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
    });
    let header = header.unwrap_or_default();
    let secret = header.split_once(' ').map_or(header.as_str(), |(_, secret)| secret);
    let encoded: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let said = |code: &str, message: &str| {
        serde_json::json!({ "Response": {
            "Error": { "Code": code, "Message": message }, "RequestId": format!("1-{secret}"),
        }})
        .to_string()
    };
    let (status, more, body) = match turn % 6 {
        0 => ("200 OK", String::new(), said("AuthFailure", &format!("the token {secret} is unknown"))),
        1 => ("200 OK", String::new(), said(&format!("AuthFailure.{secret}"), "unknown")),
        2 => ("401 Unauthorized", format!("WWW-Authenticate: {header}\r\n"), format!("<p>{header}</p>")),
        3 => (
            "302 Found",
            format!("Location: http://127.0.0.1:1/login/{secret}?token={secret}\r\n"),
            String::new(),
        ),
        4 => ("200 OK", String::new(), said("UnauthorizedOperation", &format!("denied to {encoded}"))),
        _ => ("500 Internal Server Error", String::new(), format!("{{\"trace\": \"{header}\"")),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// Everything below a directory, by path.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = std::fs::read(&path).unwrap_or_default();
            found.push((path.display().to_string(), String::from_utf8_lossy(&content).into_owned()));
        }
    }
    found
}

/// Nothing that a command said or left behind holds the secret, in whichever spelling.
#[track_caller]
fn says_nothing_of(secret: &str, ended: &Ended, dir: &Path) {
    let json = serde_json::to_string(secret).unwrap();
    let json = json.trim_matches('"').to_owned();
    let url: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut places =
        vec![("stdout".to_owned(), ended.stdout.clone()), ("stderr".to_owned(), ended.stderr.clone())];
    places.extend(files(dir).into_iter().filter(|(path, _)| !path.ends_with(".yaml")));
    for (place, text) in places {
        for spelling in [secret, &json, &url] {
            assert!(!text.contains(spelling), "{place} holds {spelling}: {ended:?}");
        }
    }
}

const SECRETS: [&str; 5] = [
    "0123456789abcdef0123456789abcdef01234567",
    "p-4.n_t~3+d/x=",
    "q\"u'o<t>e\\d&t%o#k",
    "eyJhbGciOi.JIUzI1NiJ9.e30-s1gn",
    "kurz-9",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_a_server_echoes_stays_secret_whatever_its_shape() {
    for secret in SECRETS {
        let parrot = Parrot::start();
        let dir = tempfile::tempdir().unwrap();
        let quoted = serde_json::to_string(secret).unwrap();
        let file = dir.path().join("p.yaml");
        std::fs::write(
            &file,
            format!(
                "source:\n  team: demo\n  base_url: {}\n  projects: [app]\n  auth: {{ token: {quoted} }}\n\
                 target: {{ sqlite: {{ path: p.db }} }}\n",
                parrot.url
            ),
        )
        .unwrap();
        for arguments in [
            &["check", "p.yaml"][..],
            &["check", "p.yaml", "--json"],
            &["discover", "p.yaml"],
            &["preview", "p.yaml"],
            &["--log", "json", "sync", "--once", "p.yaml"],
            &["status", "p.yaml", "--json"],
        ] {
            let mut command = tributary(dir.path());
            command.args(arguments).env("TRIBUTARY_LOG", "debug");
            says_nothing_of(secret, &run(command).await, dir.path());
        }
        assert!(parrot.asked.load(Ordering::SeqCst) > 5, "it was hardly asked");
    }
}

#[tokio::test]
async fn a_broken_url_is_not_shown_with_what_may_be_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.yaml");
    for (base_url, url) in [
        ("https://me:w-0.rd_x@coding.example:99x99", "postgres://h/db"),
        ("me:w-0.rd_x@coding.example", "postgres://h/db"),
        ("http://127.0.0.1:1", "postgres://me:w-0.rd_x@h:99x99/db"),
        ("http://127.0.0.1:1", "postgres://me:1?w-0.rd_x=1@h/db"),
        ("http://127.0.0.1:1", "postgres://me@h/db?password=a&w-0.rd_x=b"),
        ("http://127.0.0.1:1", "postgres://me@h/db?password=a&w-0.rd_x"),
        ("http://127.0.0.1:1", "postgres://me@h/db?sslmode=w-0.rd_x"),
        ("http://127.0.0.1:1", "postgres://me:a/w-0.rd_x@h/db"),
    ] {
        let text = format!(
            "source:\n  team: demo\n  base_url: \"{base_url}\"\n  projects: [app]\n  auth: {{ token: abc }}\n\
             target: {{ postgres: {{ url: \"{url}\" }} }}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = tributary(dir.path());
        command.args(["check", "p.yaml"]);
        let ended = run(command).await;
        assert_ne!(ended.code, Some(0), "{base_url} {url}: {ended:?}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains("0.rd"), "{base_url} {url}: {ended:?}");
    }
}

/// What a terminal obeys, and what turns words around.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}evil\r\u{8}";

#[track_caller]
fn is_harmless(text: &str) {
    let steers = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
    assert!(!text.chars().any(steers), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_source_or_a_sender_says_steers_a_terminal() {
    let hooked = Hooked::new(team(5), "", "").await;
    let running = hooked.start_registered().await;
    hooked.rename(3, HOSTILE);
    let change =
        Operation::RenameIteration { project: PROJECT.to_owned(), code: 1, name: HOSTILE.to_owned() };
    hooked.world().apply(&[change]).unwrap();
    hooked.becomes_exact().await;
    hooked.world().hooks_settled().await;
    let told = hooked.world().hook_deliveries(&hooked.hook().id);
    let ids: Vec<String> = told.iter().map(|delivery| delivery.id.clone()).collect();
    for id in &ids {
        until("it is in the inbox", async || hooked.delivery(id).await.entry.settled).await;
        is_harmless(&hooked.said(&["show", id]).await);
        is_harmless(&hooked.run("hooks", &["show", id, "--json"]).await.expect(0).stdout);
    }
    is_harmless(&hooked.said(&["list"]).await);
    for command in ["preview", "discover", "status", "verify"] {
        is_harmless(&hooked.run(command, &[]).await.stdout);
    }
    running.signal("TERM");
    let (ended, _) = running.end().await;
    is_harmless(&ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_whose_name_steers_terminals_is_shown_harmless() {
    let name = format!("app{HOSTILE}");
    let config = SimConfig {
        projects: vec![ProjectConfig::new(&name, 3, 1, 1)],
        rate_limit: 0,
        ..SimConfig::default()
    };
    let stage = Stage::with(config).await;
    let text = format!(
        "source:\n  team: demo\n  base_url: {}\n  projects: [\"*\"]\n  auth: {{ token: \"{DEFAULT_TOKEN}\" }}\n\
         target: {{ sqlite: {{ path: p.db }} }}\n",
        stage.sim.url()
    );
    std::fs::write(stage.path("p.yaml"), text).unwrap();
    for arguments in [
        &["check", "p.yaml"][..],
        &["sync", "--once", "p.yaml"],
        &["sync", "--once", "--log", "text", "p.yaml"],
        &["discover", "p.yaml"],
        &["preview", "p.yaml"],
        &["status", "p.yaml"],
        &["status", "p.yaml", "--json"],
        &["verify", "p.yaml"],
    ] {
        let mut command = tributary(stage.dir.path());
        command.args(arguments);
        let ended = run(command).await;
        is_harmless(&ended.stdout);
        is_harmless(&ended.stderr);
    }
}
