//! The endpoint of hooks: who sent a delivery is proven before anything of it is read, and it is on disk before
//! the sender is told so.
//!
//! `POST /hooks/{token}` takes a delivery in, `GET` on the same address says that the hook is alive. A connection
//! has a [`Door`]: the tokens that lead to it, what a delivery must prove, and the inbox that it goes to. Bodies
//! are kept as bytes and never parsed here.
//!
//! Everybody can reach this port, so everything that a sender can make us spend has a bound ([`Limits`]), and nothing
//! that is shared is given before something is proven: a place goes by the address first, room for a body comes after
//! the token, and where places run out those go first who proved least (`guests.rs`).
//! The address of a sender is that of the connection. `X-Forwarded-For` and its like are not believed, because
//! anybody can write them: behind a reverse proxy an allow-list belongs into the proxy.
//!
//! Start with [`Receiver`]; what becomes of a request is in `routes.rs`.

mod answer;
mod body;
mod connection;
mod doors;
mod guests;
mod limits;
mod routes;
mod voice;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use engine::lack::Lack;
use engine::problem::Problem;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use self::connection::converse;
pub use self::doors::{Door, DoorToken, Doors};
use self::guests::Guests;
pub use self::limits::Limits;
use self::routes::routes;
use self::voice::Voice;

/// A bound listener and its doors.
#[derive(Debug)]
pub struct Receiver {
    listener: TcpListener,
    address: SocketAddr,
    doors: Doors,
    limits: Limits,
}

/// After a failed accept (out of file descriptors) the loop takes a breath.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Receiver {
    /// Takes the address; nothing is answered before [`Receiver::run`].
    ///
    /// # Errors
    /// `HOOKS-LISTEN`: the address is in use, not allowed, or not one of this machine.
    pub async fn bind(listen: SocketAddr) -> Result<Receiver, Problem> {
        let listener = TcpListener::bind(listen).await.map_err(|error| cannot_listen(listen, &error))?;
        let address = listener.local_addr().map_err(|error| cannot_listen(listen, &error))?;
        Ok(Receiver { listener, address, doors: Doors::default(), limits: Limits::default() })
    }

    /// Goes by other limits than the usual ones.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Receiver {
        Receiver { limits, ..self }
    }

    /// Where it listens; the port is known even where port 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The doors, to set and remove while it runs.
    #[must_use]
    pub fn doors(&self) -> Doors {
        self.doors.clone()
    }

    /// Answers until cancelled; then takes no more connections and finishes the requests under way, for as long
    /// as the limits allow.
    pub async fn run(self, cancel: CancellationToken) {
        let Receiver { listener, address, doors, limits } = self;
        let (limits, voice) = (Arc::new(limits), Voice::default());
        let (guests, router) =
            (Guests::new(&limits), routes(doors.clone(), Arc::clone(&limits), voice.clone()));
        let mut connections = JoinSet::new();
        tracing::info!(%address, "hooks are received");
        while let Some((stream, from)) = accept(&listener, &mut connections, &guests, &voice, &cancel).await {
            // Where nobody can go, new connections wait in the system's queue.
            let admitted = cancel.run_until_cancelled(guests.admit(doors.standing(from))).await;
            let Some(place) = admitted else { break };
            connections.spawn(converse(
                stream,
                (from, place),
                router.clone(),
                Arc::clone(&limits),
                cancel.clone(),
            ));
        }
        drop(listener);
        let finished = async {
            while let Some(ended) = connections.join_next().await {
                tell_if_broken(ended);
            }
        };
        if tokio::time::timeout(limits.grace, finished).await.is_err() {
            tracing::warn!(connections = connections.len(), "requests under way were ended by the stop");
            connections.shutdown().await;
        }
    }
}

/// The next connection, and where it comes from; `None` when cancelled. Connections that have ended are joined
/// meanwhile.
async fn accept(
    listener: &TcpListener,
    connections: &mut JoinSet<()>,
    guests: &Guests,
    voice: &Voice,
    cancel: &CancellationToken,
) -> Option<(TcpStream, Option<IpAddr>)> {
    loop {
        // Every arm may be dropped: accept and join_next lose nothing.
        tokio::select! {
            () = cancel.cancelled() => return None,
            accepted = listener.accept() => match accepted {
                // An IPv4 address is one, also where the socket listens for both families.
                Ok((stream, from)) => return Some((stream, Some(from.ip().to_canonical()))),
                Err(error) => {
                    if Lack::of(&error) == Some(Lack::Descriptors) {
                        guests.thin_out();
                        if let Some(unsaid) = voice.speaks("", "descriptors") {
                            tracing::warn!(since_last = unsaid, %error, "a connection could not be accepted");
                        }
                    }
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => tell_if_broken(ended),
        }
    }
}

/// A connection that breaks down takes nobody along: its sender has no answer, and comes again.
fn tell_if_broken(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection of a hook's sender broke down; please report this with the lines above it");
    }
}

fn cannot_listen(listen: SocketAddr, error: &io::Error) -> Problem {
    let (why, fix) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "another process listens there already".to_owned(),
            "Stop it (it may be a tributary that still runs), or set another `listen`.",
        ),
        io::ErrorKind::PermissionDenied => (
            "this user may not listen on that port".to_owned(),
            "Set a `listen` with a port from 1024 on, and let a reverse proxy take the public port.",
        ),
        io::ErrorKind::AddrNotAvailable => (
            "that is no address of this machine".to_owned(),
            "Set `listen` to an address of this machine: 0.0.0.0 for all of them, 127.0.0.1 behind a reverse \
             proxy on the same machine.",
        ),
        _ => (error.to_string(), "Set another `listen`."),
    };
    Problem::new("HOOKS-LISTEN", format!("Cannot receive hooks on {listen}"), why, fix)
}
