//! What becomes of a request.
//!
//! A delivery's token is looked up, then what its head proves is checked, then its body is read whole, then its
//! signature is checked, then the inbox takes it in: in this order, so that whoever proves nothing gets no room for a
//! body. The look-up takes as long for an unknown token as for a known one.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use axum::response::Response;
use axum::routing::get;
use connectors::coding::hook::{Refused, Unverified, Verified};
use engine::failpoint::Step;
use engine::inbox::{Accepted, Arrival};
use engine::journal::JournalError;
use engine::problem::Remedy;
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::answer;
use super::body::{self, Unread};
use super::connection::Peer;
use super::doors::{Door, Doors};
use super::limits::Limits;
use super::voice::Voice;

/// What every request needs.
struct Hall {
    doors: Doors,
    limits: Arc<Limits>,
    /// One permit for each byte that bodies may take up.
    room: Arc<Semaphore>,
    voice: Voice,
}

type Token = Result<Path<String>, PathRejection>;

/// The routes of the receiver.
pub(super) fn routes(doors: Doors, limits: Arc<Limits>, voice: Voice) -> Router {
    let room = Arc::new(Semaphore::new(limits.max_bodies.min(Semaphore::MAX_PERMITS)));
    let hall = Arc::new(Hall { doors, limits, room, voice });
    Router::new()
        .route("/hooks/{token}", get(alive).post(receive))
        .route("/healthz", get(async || answer::healthy()))
        .fallback(async || answer::nothing_here())
        .method_not_allowed_fallback(async || answer::other_method())
        .with_state(hall)
}

/// Whether there is a hook at this address, and of which connection.
async fn alive(State(hall): State<Arc<Hall>>, token: Token) -> Response {
    match hall.doors.find(&told(token), Timestamp::now()) {
        Some(door) => answer::alive(&door.connection),
        None => answer::no_hook(),
    }
}

/// Takes a delivery in.
async fn receive(
    State(hall): State<Arc<Hall>>,
    Extension(peer): Extension<Arc<Peer>>,
    token: Token,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let token = told(token);
    let Some(door) = hall.doors.find(&token, Timestamp::now()) else { return answer::no_hook() };
    let _busy = peer.knows_a_token();
    let headers = texts(&head.headers);
    if let Err(why) = door.proof.check_head(&headers, peer.address) {
        return hall.refuse(&door, &peer, why);
    }
    if is_encoded(&head.headers) {
        return answer::encoded();
    }
    let body = match body::read(body, &hall.limits, &hall.room).await {
        Ok(body) => body,
        Err(why) => return hall.unread(why, &door),
    };
    peer.has_been_read();
    let received = Timestamp::now();
    // The token may have ended meanwhile.
    let Some(door) = hall.doors.find(&token, received) else { return answer::no_hook() };
    match Unverified::new(headers, body, peer.address).verify(&door.proof) {
        Ok(verified) => hall.store(&door, verified, received).await,
        Err(why) => hall.refuse(&door, &peer, why),
    }
}

const ACCEPT: Step = Step::named("receiver::accept");

/// What an inbox says that has been closed.
const CLOSED: &str = "JOURNAL-CLOSED";

impl Hall {
    async fn store(&self, door: &Door, verified: Verified, received: Timestamp) -> Response {
        let arrival = Arrival {
            delivery_id: verified.delivery_id().map(str::to_owned),
            received,
            headers: verified.headers,
            body: verified.body,
        };
        if ACCEPT.before().is_err() {
            return answer::come_again();
        }
        // Given up here, the delivery may be in the inbox all the same: the sender's repetition finds it there.
        let accepted = tokio::time::timeout(self.limits.accept_time, door.inbox.accept(arrival)).await;
        door.board.hooks(|hooks| {
            hooks.reached = Some(received);
            match &accepted {
                Ok(Ok(Accepted::New(_))) => hooks.received += 1,
                Ok(Ok(Accepted::Repeated(_))) => hooks.repeated += 1,
                Ok(Err(error)) if error.remedy == Remedy::NeedsHuman => {}
                Ok(Err(_)) | Err(_) => hooks.no_room += 1,
            }
        });
        match accepted {
            Ok(Ok(_)) if ACCEPT.after().is_err() => answer::come_again(),
            Ok(Ok(accepted)) => answer::taken(accepted),
            Ok(Err(error)) => self.fail(door, &error),
            Err(_) => {
                if let Some(unsaid) = self.voice.speaks(&door.connection, "slow") {
                    tracing::warn!(
                        connection = %door.connection, since_last = unsaid,
                        "a hook's delivery could not be written in time; the sender was asked to come again"
                    );
                }
                answer::come_again()
            }
        }
    }

    fn fail(&self, door: &Door, error: &JournalError) -> Response {
        let (problem, connection) = (&error.problem, &door.connection);
        if problem.code == CLOSED {
            // The run ends: whoever asks again finds the next one.
            return answer::come_again();
        }
        let unsaid = self.voice.speaks(connection, &problem.code);
        if error.remedy == Remedy::NeedsHuman {
            if let Some(unsaid) = unsaid {
                tracing::error!(%connection, since_last = unsaid, %problem, "hooks cannot be stored");
            }
            return answer::out_of_order();
        }
        if let Some(unsaid) = unsaid {
            tracing::warn!(
                %connection, since_last = unsaid, %problem,
                "a hook's delivery was not stored; the sender was asked to come again"
            );
        }
        answer::come_again()
    }

    fn refuse(&self, door: &Door, peer: &Peer, why: Refused) -> Response {
        door.board.hooks(|hooks| {
            // An entry for each reason there is: no more than a handful.
            if let Some(count) = hooks.refused.get_mut(why.code()) {
                *count += 1;
            } else {
                hooks.refused.insert(why.code().to_owned(), 1);
            }
        });
        if let Some(unsaid) = self.voice.speaks(&door.connection, why.code()) {
            tracing::warn!(
                connection = %door.connection, from = ?peer.address, since_last = unsaid,
                "a hook's delivery was refused: {why}"
            );
        }
        answer::refused(why)
    }

    fn unread(&self, why: Unread, door: &Door) -> Response {
        match why {
            Unread::TooLarge => answer::too_large(self.limits.max_body),
            Unread::TooSlow => answer::too_slow(),
            Unread::Broken => answer::broken(),
            Unread::NoRoom => {
                door.board.hooks(|hooks| hooks.no_room += 1);
                if let Some(unsaid) = self.voice.speaks("", "memory") {
                    tracing::warn!(
                        since_last = unsaid,
                        "too many deliveries of hooks at once; their senders were asked to come again"
                    );
                }
                answer::come_again()
            }
        }
    }
}

/// The token of the path. One that is no text is none that anybody was given.
fn told(token: Token) -> String {
    token.map(|Path(token)| token).unwrap_or_default()
}

/// Whether the body is compressed: unpacking is more than a bound on bytes can hold, and CODING does not pack.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    encodings.any(|encoding| !encoding.is_empty() && !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect()
}
