//! A scripted HTTP server, down to the bytes: what a well-behaved server library would not let us send.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coding_api::{BaseUrl, Budgets, Client, ClientBuilder, Credential, RetryPolicy};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    /// `Action` of the body; empty for others.
    pub(crate) action: String,
    pub(crate) body: Value,
    pub(crate) text: String,
    pub(crate) authorization: String,
    pub(crate) headers: Vec<(String, String)>,
    /// How many requests came before.
    pub(crate) before: usize,
    pub(crate) at: Instant,
}

/// What goes out.
pub(crate) enum Answer {
    /// These bytes, then the connection is closed.
    Bytes(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Silence,
    /// These bytes, then nothing for as long as the client waits.
    Stall(Vec<u8>),
    /// The same as inside, a while later.
    Later(Duration, Box<Answer>),
    /// The connection is closed without a byte.
    Hangup,
}

pub(crate) fn http(status: u16, content_type: &str, more: &str, body: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n",
        body.len()
    );
    Answer::Bytes([head.as_bytes(), body].concat())
}

pub(crate) fn json(body: impl AsRef<str>) -> Answer {
    http(200, "application/json", "", body.as_ref().as_bytes())
}

pub(crate) fn refuse(code: &str, message: &str) -> Answer {
    let error = serde_json::json!({ "Code": code, "Message": message });
    json(serde_json::json!({ "Response": { "RequestId": "r-1", "Error": error } }).to_string())
}

pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, record) = (Arc::new(script), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, record) = (Arc::clone(&script), Arc::clone(&record));
                connections.spawn(serve(stream, script, record));
            }
        });
        Self { url, seen, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn base(&self) -> BaseUrl {
        BaseUrl::parse(&self.url, false).unwrap()
    }

    /// A client without limit that is quick to try again.
    pub(crate) fn client(&self, credential: Credential) -> ClientBuilder {
        let budget = Budgets::new().share(&self.base(), "acme", 0);
        Client::builder(self.base(), credential).budget(budget).retries(quick())
    }

    pub(crate) fn personal(&self) -> Client {
        self.client(Credential::personal_token("abc")).build().unwrap()
    }
}

pub(crate) fn quick() -> RetryPolicy {
    RetryPolicy { first_delay: Duration::from_millis(1), ..RetryPolicy::default() }
}

async fn serve(mut stream: TcpStream, script: Arc<impl Fn(&Seen) -> Answer>, record: Arc<Mutex<Vec<Seen>>>) {
    let Some(mut seen) = read(&mut stream).await else { return };
    {
        let mut record = record.lock().unwrap();
        seen.before = record.len();
        record.push(seen.clone());
    }
    let mut answer = script(&seen);
    while let Answer::Later(wait, inner) = answer {
        tokio::time::sleep(wait).await;
        answer = *inner;
    }
    match answer {
        Answer::Bytes(bytes) => {
            let _gone = stream.write_all(&bytes).await;
            let _gone = stream.shutdown().await;
        }
        Answer::Stall(bytes) => {
            let _gone = stream.write_all(&bytes).await;
            until_closed(&mut stream).await;
        }
        Answer::Silence => until_closed(&mut stream).await,
        Answer::Hangup | Answer::Later(..) => {}
    }
}

async fn until_closed(stream: &mut TcpStream) {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

/// Reads one HTTP/1.1 request; `None` if it is none (a TLS greeting, say).
async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 || !bytes.is_ascii() && bytes.len() < 8 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let headers: Vec<(String, String)> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let header = |name: &str| {
        let found = headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    let length: usize = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8(bytes[head_end + 4..].to_vec()).ok()?;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    Some(Seen {
        path: head.split(' ').nth(1)?.to_owned(),
        action: body["Action"].as_str().unwrap_or_default().to_owned(),
        body,
        text,
        authorization: header("authorization").unwrap_or_default(),
        headers,
        before: 0,
        at: Instant::now(),
    })
}
