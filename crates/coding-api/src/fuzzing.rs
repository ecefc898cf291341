//! The parsers of foreign input, for fuzz targets. Each takes any bytes; the target is that it returns, and that what
//! it asserts holds.

use std::marker::PhantomData;
use std::str;

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::auth::credential::bearer;
use crate::auth::oauth;
use crate::envelope::{self, Read, ReadRows};
use crate::hook::{Proof, Unverified, is_kept, read};
use crate::row::{Maps, Row, RowExt};
use crate::row_by_row;
use crate::sanitize::sanitize;
use crate::service_hooks::answers::{EventOffer, HookLog, ServiceHook, denies};

/// Reads an answer whose payload is one row.
pub fn envelope(body: &[u8]) {
    let sane = sanitize(body.to_vec());
    let _read = envelope::read(sane.text(), &["Issue", "Data"], PhantomData::<Map<String, Value>>);
}

/// Reads an answer whose payload is a page of rows, and of each row every number, text and time.
///
/// # Panics
/// A time is read from what is no number, or from one that means "unset".
pub fn list_rows(body: &[u8]) {
    for row in rows(body) {
        let _fields = (row.code(), row.id(), row.name(), row.created_at(), row.updated_at());
        for field in row.keys() {
            let (number, time) = (row.integer(field), row.time(field));
            let set = number.filter(|number| *number != 0);
            assert!(time.is_none() || time.map(Timestamp::as_millisecond) == set);
            assert!(row.text(field) != Some(""));
        }
    }
}

fn rows(body: &[u8]) -> Vec<Row> {
    let sane = sanitize(body.to_vec());
    let (text, keys) = (sane.text(), ["Data", "data"]);
    match envelope::read(text, &["Data", "data"], ReadRows { form: Maps, row_by_row: true }) {
        Ok(Read::Payload(page)) => page.rows,
        _ => row_by_row::rows(&Maps, text, &keys).map(|page| page.rows).unwrap_or_default(),
    }
}

/// Reads a page of rows as hooks, as a hook's log and as offers of events; hooks and log, for whoever reads on.
///
/// # Panics
/// A header that proves something is kept.
#[must_use]
pub fn hook_answers(body: &[u8]) -> (Vec<ServiceHook>, Vec<HookLog>) {
    let rows = rows(body);
    for row in &rows {
        let _offer = EventOffer::read(row);
        let _denied = row.values().filter(|value| denies(value)).count();
    }
    let hooks = rows.iter().cloned().filter_map(ServiceHook::read).collect();
    let logs: Vec<HookLog> = rows.into_iter().filter_map(HookLog::read).collect();
    for (name, _) in logs.iter().flat_map(|log| &log.headers) {
        assert!(!name.is_empty() && is_kept(&name.to_ascii_lowercase()), "{name} is kept");
    }
    (hooks, logs)
}

/// Reads an answer of the token endpoint, with a success and with a refusal.
///
/// # Panics
/// A token is empty, or over before it was asked for.
pub fn oauth_token(body: &[u8]) {
    let (before, asked) = (SecretString::from("before"), Timestamp::UNIX_EPOCH);
    for status in [200, 400] {
        let Ok(tokens) = oauth::read(status, body.to_vec(), &before, asked) else { continue };
        assert!(!tokens.access_token.expose_secret().is_empty(), "no access token");
        assert!(!tokens.refresh_token.expose_secret().is_empty(), "no refresh token");
        assert!(tokens.expires_at.is_none_or(|end| end > asked));
        let _header = bearer(&tokens.access_token);
    }
}

/// Reads a delivery: it always says the same. The input is lines of `name: value`, an empty line, then the body;
/// without an empty line all of it is body.
///
/// # Panics
/// Read twice it says something else.
pub fn hook_body(data: &[u8]) {
    let (headers, body) = delivery(data);
    let reading = read(&headers, body);
    assert_eq!(reading, read(&headers, body));
}

/// Verifies a delivery from nobody: nothing is let through that is not signed. The input is that of [`hook_body`]. Key
/// and password are none that a fuzzer can guess, so whatever is let through is a find.
///
/// # Panics
/// Something is let through, or kept, that must not be.
pub fn hook_verify(data: &[u8]) {
    let (headers, body) = delivery(data);
    let arrived = || Unverified::new(headers.clone(), Bytes::copy_from_slice(body), None);
    let open = arrived().verify(&Proof::default()).expect("nothing is asked for");
    assert_eq!(open.body, body);
    if let Some(id) = open.delivery_id() {
        assert!(id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let kept = |name: &str| open.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
    for secret in ["authorization", "proxy-authorization", "cookie", "x-coding-signature"] {
        assert!(!kept(secret), "{secret} is kept");
    }
    let secret = Some(SecretString::from("one that no input holds: 9f3c1b7a55d2"));
    assert!(arrived().verify(&Proof { secret, ..Proof::default() }).is_err());
    let basic = Some(("nobody".to_owned(), SecretString::from("9f3c1b7a55d2")));
    assert!(arrived().verify(&Proof { basic, ..Proof::default() }).is_err());
    let allow_from = vec!["192.0.2.0/24".parse().expect("a network")];
    assert!(arrived().verify(&Proof { allow_from, ..Proof::default() }).is_err());
}

/// Splits an input into headers and a body.
fn delivery(data: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let parts = data.windows(2).position(|window| window == b"\n\n").and_then(|at| data.split_at_checked(at));
    let Some((head, body)) = parts else { return (Vec::new(), data) };
    let (Ok(head), Some(body)) = (str::from_utf8(head), body.get(2..)) else { return (Vec::new(), data) };
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    (headers.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect(), body)
}
