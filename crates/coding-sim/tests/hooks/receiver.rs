//! A receiver of hooks on a real socket, and what tests ask of it.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use coding_sim::{Sim, WorldHandle};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha1::{Digest, Sha1};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn event(&self) -> &str {
        self.header("X-Coding-Service-Hook-Event")
    }

    pub(crate) fn id(&self) -> &str {
        self.header("X-Coding-Delivery")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// The code of the issue that it is about.
    pub(crate) fn code(&self) -> u64 {
        self.json()["issue"]["code"].as_u64().unwrap()
    }
}

/// How the receiver answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Status(u16),
    /// Not at all.
    Never,
}

/// A running receiver; it ends with this.
pub(crate) struct Receiver {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Mutex<Answer>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(Mutex::new(Answer::Status(200)));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&seen), Arc::clone(&answer)));
        Self { port, seen, answer, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks/in?x=1", self.port)
    }

    pub(crate) fn set_answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// What came, and forgets it.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Waits for everything that was raised and takes it.
    pub(crate) async fn all(&self, world: &WorldHandle) -> Vec<Seen> {
        settle(world).await;
        self.take()
    }

    /// The events of what came, after everything has come.
    pub(crate) async fn events(&self, world: &WorldHandle) -> Vec<String> {
        self.all(world).await.iter().map(|seen| seen.event().to_owned()).collect()
    }
}

/// Waits until the simulator has nothing more to send.
pub(crate) async fn settle(world: &WorldHandle) {
    let settled = tokio::time::timeout(Duration::from_secs(30), world.hooks_settled());
    settled.await.expect("the hooks settle");
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Vec<Seen>>>, answer: Arc<Mutex<Answer>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        let service = service_fn(move |request: Request<Incoming>| {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await?.to_bytes();
                let method = parts.method.to_string();
                seen.lock().unwrap().push(Seen { method, headers: parts.headers, bytes });
                let how = *answer.lock().unwrap();
                let status = match how {
                    Answer::Status(status) => status,
                    Answer::Never => std::future::pending().await,
                };
                let mut response = Response::new(Full::new(Bytes::from_static(b"thanks")));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                Ok::<_, hyper::Error>(response)
            }
        });
        connections.spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// HMAC-SHA1 by its definition, so that the signature is not checked by what made it.
pub(crate) fn signature(key: &[u8], message: &[u8]) -> String {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha1::new().chain_update(padded(0x36)).chain_update(message).finalize();
    let outer = Sha1::new().chain_update(padded(0x5C)).chain_update(inner).finalize();
    let hex: String = outer.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha1={hex}")
}

/// A simulator with a receiver that gets every event of `backend`.
pub(crate) async fn pair(sim: &Sim, events: &[&str]) -> Receiver {
    let receiver = Receiver::start().await;
    sim.world().register_hook("backend", &receiver.url(), "s3cret", events).unwrap();
    receiver
}
