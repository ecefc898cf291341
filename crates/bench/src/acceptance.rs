//! How many deliveries a second the receiver takes in when each is on disk before its 200, and how long that takes.
//!
//! Receiver and sender run in this process and share the machine, as they do where a reverse proxy stands before it.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use connectors::coding::hook::Proof;
use engine::inbox::Inbox;
use engine::status::Board;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use server::receiver::{Door, DoorToken, Receiver};
use sha1::Sha1;
use store::inbox::SqliteInbox;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::table::Table;

const TOKEN: &str = "benchmark-token-of-more-than-thirty-two";
const SECRET: &str = "benchmark secret";
/// Bytes of a body: an issue's event with a description of usual length.
const BODY: usize = 4_096;
/// Connections that send as fast as they get answers.
const CONNECTIONS: u64 = 256;
/// Connections that send at a given pace.
const PACED_CONNECTIONS: u64 = 64;
/// How long the disk is asked how often it flushes.
const FLUSHING: Duration = Duration::from_secs(2);
const ROOM: u64 = 4 << 30;

/// How many deliveries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deliveries {
    /// As fast as it goes.
    pub(crate) saturating: u64,
    /// At a pace.
    pub(crate) paced: u64,
    pub(crate) per_second: u64,
}

/// The table.
pub(crate) async fn run(dir: &Path, deliveries: Deliveries) -> Result<Table> {
    let flushes = flushes_per_second(dir)?;
    let mut table = Table::new(
        "hooks",
        format!("Durable acceptance: deliveries of {BODY} bytes, flushed before each 200"),
        &[
            "load",
            "deliveries",
            "deliveries/s",
            "p50 (ms)",
            "p99 (ms)",
            "p99.9 (ms)",
            "deliveries a flush",
            "flushes/s of the disk alone",
        ],
    );
    let saturating = (format!("{CONNECTIONS} senders, as fast as they can"), deliveries.saturating, None);
    let pace = Duration::from_secs(1) / u32::try_from(deliveries.per_second)?;
    let paced = (format!("{} a second", deliveries.per_second), deliveries.paced, Some(pace));
    for (load, count, pace) in [saturating, paced] {
        let place = dir.join(format!("inbox-{count}"));
        std::fs::create_dir_all(&place)?;
        let measured = measure(&place, count, pace).await?;
        let at = |permille: usize| {
            let place = measured.ms.len().saturating_mul(permille).div_ceil(1_000).saturating_sub(1);
            measured.ms.get(place).copied()
        };
        table.row([
            load.as_str().into(),
            count.into(),
            measured.per_second.into(),
            at(500).into(),
            at(990).into(),
            at(999).into(),
            measured.per_flush.into(),
            flushes.into(),
        ]);
    }
    table.note(
        "Sender and receiver share the machine's cores. At a pace the time counts from when a delivery was due, not \
         from when a busy sender got round to it. The disk's own figure: 4 KiB written and flushed, one after the \
         other, in the same directory just before.",
    );
    Ok(table)
}

struct Measured {
    per_second: f64,
    /// Ascending.
    ms: Vec<f64>,
    per_flush: f64,
}

async fn measure(dir: &Path, count: u64, pace: Option<Duration>) -> Result<Measured> {
    let inbox = Arc::new(SqliteInbox::open(dir, ROOM).await?);
    let receiver = Receiver::bind("127.0.0.1:0".parse()?).await.map_err(|problem| problem.to_string())?;
    receiver.doors().set(Door {
        connection: "bench".to_owned(),
        tokens: vec![DoorToken { text: SecretString::from(TOKEN), until: None }],
        proof: Proof { secret: Some(SecretString::from(SECRET)), ..Proof::default() },
        inbox: inbox.clone(),
        board: Board::default(),
    });
    let (address, cancel) = (receiver.address(), CancellationToken::new());
    let mut serving = JoinSet::new();
    serving.spawn(receiver.run(cancel.clone()));

    let request = Arc::new(Request::new()?);
    let (next, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut senders = JoinSet::new();
    for _ in 0..if pace.is_some() { PACED_CONNECTIONS } else { CONNECTIONS } {
        let (request, next) = (Arc::clone(&request), Arc::clone(&next));
        senders.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (mut ms, mut answer) = (Vec::new(), vec![0_u8; 4_096]);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<Vec<f64>, std::io::Error>(ms);
                }
                let due = match pace {
                    None => Instant::now(),
                    Some(pace) => {
                        let due = began + pace * u32::try_from(number).unwrap_or(u32::MAX);
                        tokio::time::sleep_until(due.into()).await;
                        due
                    }
                };
                let message = request.of(number);
                stream.write_all(message.as_bytes()).await?;
                read_answer(&mut stream, &mut answer).await?;
                ms.push(due.elapsed().as_secs_f64() * 1_000.0);
            }
        });
    }
    let mut ms = Vec::new();
    while let Some(sent) = senders.join_next().await {
        ms.extend(sent??);
    }
    let seconds = began.elapsed().as_secs_f64();
    cancel.cancel();
    while serving.join_next().await.is_some() {}
    let counts = inbox.counts().await?;
    let groups = inbox.groups();
    inbox.close().await?;
    if counts.waiting != count {
        return Err(
            format!("{} deliveries are in the inbox, {count} were acknowledged", counts.waiting).into()
        );
    }
    ms.sort_by(f64::total_cmp);
    let number = |count: u64| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    Ok(Measured { per_second: number(count) / seconds, ms, per_flush: number(count) / number(groups.max(1)) })
}

/// Signed requests, each with a delivery id and a body of its own.
struct Request {
    /// What all bodies begin with.
    body: String,
    /// Has seen that much.
    mac: Hmac<Sha1>,
}

impl Request {
    fn new() -> Result<Request> {
        let body = format!(
            "{{\"event\":\"ISSUE_UPDATED\",\"project\":{{\"id\":1,\"name\":\"app\"}},\"issue\":{{\"code\":71,\
             \"description\":\"{}",
            "x".repeat(BODY)
        );
        let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes())?;
        mac.update(body.as_bytes());
        Ok(Request { body, mac })
    }

    fn of(&self, number: u64) -> String {
        let (id, body) = (format!("{number:032x}"), &self.body);
        let rest = format!("{id}\"}}}}");
        let mut mac = self.mac.clone();
        mac.update(rest.as_bytes());
        let mut signature = String::new();
        for byte in mac.finalize().into_bytes() {
            signature.push_str(&format!("{byte:02x}"));
        }
        format!(
            "POST /hooks/{TOKEN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             X-Coding-Service-Hook-Event: ISSUE_UPDATED\r\nX-Coding-Signature: sha1={signature}\r\n\
             Content-Length: {}\r\nX-Coding-Delivery: {id}\r\n\r\n{body}{rest}",
            body.len().saturating_add(rest.len())
        )
    }
}

/// Reads a small answer to its end; anything but 200 is an error.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    loop {
        let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) else {
            return Err(std::io::Error::other("an answer that is too long"));
        };
        let read = stream.read(free).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let answer = String::from_utf8_lossy(buffer.get(..filled).unwrap_or_default()).into_owned();
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, length)| length.trim().parse::<usize>().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        return match head.starts_with("HTTP/1.1 200") {
            true => Ok(()),
            false => Err(std::io::Error::other(answer)),
        };
    }
}

/// How often the disk flushes when nobody else asks for anything.
fn flushes_per_second(dir: &Path) -> Result<f64> {
    let mut file = tempfile::tempfile_in(dir)?;
    let (page, began, mut flushes) = ([0_u8; 4_096], Instant::now(), 0_u32);
    while began.elapsed() < FLUSHING {
        file.write_all(&page)?;
        file.sync_data()?;
        flushes += 1;
    }
    Ok(f64::from(flushes) / began.elapsed().as_secs_f64())
}
