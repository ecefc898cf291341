//! Between a client and its server: passes bytes on, cuts connections at a chosen place, falls silent, delays,
//! trickles, lets nobody in.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// Where a connection is cut. An exchange is a request (whatever a client sends in one go) and its reply: to a database
/// a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After so many bytes to the server.
    RequestBytes(u64),
    /// After so many bytes to the client.
    ReplyBytes(u64),
    /// The request of the exchange with this number, counted from 1, does not arrive.
    Request(u64),
    /// It arrives, and nothing of its reply does.
    Reply(u64),
    /// Half of what the server says first in reply arrives.
    HalfReply(u64),
}

/// How fast bytes pass, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// At most so many at once ...
    pub bytes: usize,
    /// ... each time after a pause.
    pub pause: Duration,
}

/// What passed since the last [`Proxy::cut`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Bytes to the server.
    pub request_bytes: u64,
    /// Bytes to the client.
    pub reply_bytes: u64,
    /// Exchanges that have begun.
    pub exchanges: u64,
    /// Connections that were cut at their place: one at most.
    pub cuts: u64,
}

/// A way to a server.
#[derive(Debug)]
pub struct Proxy {
    url: Url,
    book: Arc<Mutex<Book>>,
    weather: watch::Sender<Weather>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Book {
    passed: Passed,
    cut: Option<Cut>,
}

/// What all connections undergo.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    silent: bool,
    refuses: bool,
    pace: Option<Pace>,
    /// Connections made before this was raised are cut.
    storm: u64,
}

/// One way of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Proxy {
    /// A way to the server of a URL with host and port, without trouble.
    ///
    /// # Panics
    /// The URL has no host or port, or nothing can be listened on.
    pub async fn to(server: &str) -> Proxy {
        let mut url = Url::parse(server).expect("a server has a URL");
        let host = url.host_str().expect("the URL has a host").to_owned();
        let port = url.port_or_known_default().expect("the URL has a port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        url.set_ip_host(address.ip()).expect("the URL has a host");
        url.set_port(Some(address.port())).expect("the URL has a port");
        let book = Arc::<Mutex<Book>>::default();
        let (weather, now) = watch::channel(Weather::default());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, (host, port), Arc::clone(&book), now));
        Proxy { url, book, weather, _serving: serving }
    }

    /// The URL of the server, by this way.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let addresses = self.url.socket_addrs(|| None).expect("the host is an address");
        *addresses.first().expect("it is one")
    }

    /// Begins to count anew, and cuts the connection that first reaches a place; once.
    pub fn cut(&self, cut: Option<Cut>) {
        *lock(&self.book) = Book { passed: Passed::default(), cut };
    }

    /// Cuts all connections that there are.
    pub fn cut_all(&self) {
        self.weather.send_modify(|weather| weather.storm += 1);
    }

    /// What passed since the last [`Proxy::cut`].
    #[must_use]
    pub fn passed(&self) -> Passed {
        lock(&self.book).passed
    }

    /// Passes nothing on, and ends nothing; what came meanwhile passes afterwards.
    pub fn silence(&self, silent: bool) {
        self.weather.send_modify(|weather| weather.silent = silent);
    }

    /// Ends every new connection at once.
    pub fn refuse(&self, refuses: bool) {
        self.weather.send_modify(|weather| weather.refuses = refuses);
    }

    /// Lets bytes pass at this pace, or as fast as they come.
    pub fn pace(&self, pace: Option<Pace>) {
        self.weather.send_modify(|weather| weather.pace = pace);
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    listener: TcpListener,
    server: (String, u16),
    book: Arc<Mutex<Book>>,
    weather: watch::Receiver<Weather>,
) {
    let mut passing = JoinSet::new();
    loop {
        // Both arms may be dropped: nothing is lost that is not taken again.
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = passing.join_next(), if !passing.is_empty() => continue,
        };
        let Ok((client, _)) = client else { continue };
        if weather.borrow().refuses {
            continue;
        }
        let (server, book, weather) = (server.clone(), Arc::clone(&book), weather.clone());
        passing.spawn(async move {
            // Where there is no server the client's connection ends.
            if let Ok(server) = TcpStream::connect(server).await {
                connect(client, server, book, weather).await;
            }
        });
    }
}

/// Passes on between two until either ends or is cut.
async fn connect(
    client: TcpStream,
    server: TcpStream,
    book: Arc<Mutex<Book>>,
    weather: watch::Receiver<Weather>,
) {
    // Small requests are not kept back for larger ones.
    let _unimportant = (client.set_nodelay(true), server.set_nodelay(true));
    let storm = weather.borrow().storm;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Who spoke last, and in which exchange.
    let talk = Mutex::new((Way::Back, 0));
    let mut storms = weather.clone();
    // Every arm may be dropped: then both directions end, which is the cut.
    tokio::select! {
        () = pass(Way::There, from_client, to_server, &talk, &book, weather.clone()) => {}
        () = pass(Way::Back, from_server, to_client, &talk, &book, weather) => {}
        _ = storms.wait_for(|weather| weather.storm > storm) => {}
    }
}

/// Passes bytes on one way, until an end or a cut.
async fn pass(
    way: Way,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    talk: &Mutex<(Way, u64)>,
    book: &Mutex<Book>,
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let pace = weather.borrow().pace;
        let most = pace.map_or(CHUNK, |pace| pace.bytes.clamp(1, CHUNK));
        let Some(room) = buffer.get_mut(..most) else { return };
        let Ok(read @ 1..) = from.read(room).await else { return };
        if let Some(pace) = pace {
            tokio::time::sleep(pace.pause).await;
        }
        if weather.wait_for(|weather| !weather.silent).await.is_err() {
            return;
        }
        let passes = enter(way, read, talk, book);
        let Some(bytes) = buffer.get(..passes) else { return };
        if to.write_all(bytes).await.is_err() || passes < read {
            return;
        }
    }
}

/// Enters bytes that were read; how many of them pass. Fewer than all: the connection is cut here.
fn enter(way: Way, read: usize, talk: &Mutex<(Way, u64)>, book: &Mutex<Book>) -> usize {
    let mut book = lock(book);
    let mut talk = talk.lock().unwrap_or_else(PoisonError::into_inner);
    let begins = talk.0 != way;
    talk.0 = way;
    if way == Way::There && begins {
        book.passed.exchanges += 1;
        talk.1 = book.passed.exchanges;
    }
    let before = match way {
        Way::There => book.passed.request_bytes,
        Way::Back => book.passed.reply_bytes,
    };
    let up_to = |bytes: u64| usize::try_from(bytes.saturating_sub(before)).unwrap_or(usize::MAX);
    let passes = match (way, book.cut) {
        (Way::There, Some(Cut::RequestBytes(bytes))) | (Way::Back, Some(Cut::ReplyBytes(bytes))) => {
            up_to(bytes)
        }
        (Way::There, Some(Cut::Request(number))) | (Way::Back, Some(Cut::Reply(number)))
            if talk.1 == number =>
        {
            0
        }
        (Way::Back, Some(Cut::HalfReply(number))) if talk.1 == number => read / 2,
        _ => read,
    };
    let passes = passes.min(read);
    let passed = u64::try_from(passes).unwrap_or(u64::MAX);
    match way {
        Way::There => book.passed.request_bytes += passed,
        Way::Back => book.passed.reply_bytes += passed,
    }
    if passes < read {
        book.cut = None;
        book.passed.cuts += 1;
    }
    passes
}
