//! One connection: HTTP/1.1 with time-outs, an orderly end, and an answer that reaches even a sender that is still
//! sending.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::guests::{Busy, Place};
use super::limits::Limits;

/// The other end of a connection, as its requests see it.
#[derive(Debug)]
pub(super) struct Peer {
    /// Whose it is; an IPv4 address is one, also where the socket listens for both families.
    pub(super) address: Option<IpAddr>,
    /// Whether the body of the request under way is not at its end.
    unread: AtomicBool,
    /// The connection's place among all.
    place: Place,
}

impl Peer {
    /// The request under way brought the token of a door; the connection stays at least until it is answered.
    pub(super) fn knows_a_token(&self) -> Busy {
        self.place.knows_a_token()
    }

    /// The body of the request under way has been read to its end.
    pub(super) fn has_been_read(&self) {
        self.unread.store(false, Ordering::Relaxed);
    }
}

/// Serves a connection to its end: the sender closes it, breaks a limit, loses its place, or the receiver stops.
pub(super) async fn converse(
    stream: TcpStream,
    (address, place): (Option<IpAddr>, Place),
    router: Router,
    limits: Arc<Limits>,
    cancel: CancellationToken,
) {
    // Without this small answers wait for the sender's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let evicted = place.evicted();
    let peer = Arc::new(Peer { address, unread: AtomicBool::new(false), place });
    let conversation = talk(stream, peer, router, limits, cancel);
    // The conversation may be dropped: who is evicted has no request with a token under way. It comes first, so that
    // an answer that is ready goes out.
    tokio::select! {
        biased;
        () = conversation => {}
        () = evicted => {}
    }
}

async fn talk(
    stream: TcpStream,
    peer: Arc<Peer>,
    router: Router,
    limits: Arc<Limits>,
    cancel: CancellationToken,
) {
    let routes = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        let peer = Arc::clone(&peer);
        let whole = request.body().is_end_stream();
        peer.unread.store(!whole, Ordering::Relaxed);
        request.extensions_mut().insert(Arc::clone(&peer));
        let answer = routes.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if peer.unread.load(Ordering::Relaxed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_header_size(limits.max_head)
        .max_buf_size(limits.max_head)
        .serve_connection(TokioIo::new(stream), service);

    let leave = tokio::time::timeout(limits.connection_life, cancel.cancelled());
    // Both arms may be dropped: the connection keeps what it has done.
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
        _ = leave => {
            Pin::new(&mut connection).graceful_shutdown();
            let rest = poll_fn(|cx| connection.poll_without_shutdown(cx));
            let Ok(ended) = tokio::time::timeout(limits.grace, rest).await else { return };
            ended
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, from = ?peer.address, "a connection ended early");
    }
    if peer.unread.load(Ordering::Relaxed) {
        let stream = connection.into_parts().io.into_inner();
        let _ = tokio::time::timeout(limits.linger, see_off(stream)).await;
    }
}

/// Ends the answer and throws away what still comes: closing with unread bytes resets the connection, and the
/// sender would not see the answer.
async fn see_off(mut stream: TcpStream) {
    let mut waste = vec![0; 16 * 1024];
    if stream.shutdown().await.is_err() {
        return;
    }
    while stream.read(&mut waste).await.is_ok_and(|length| length > 0) {}
}
