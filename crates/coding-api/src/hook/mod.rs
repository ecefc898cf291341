//! Hooks: who sent a delivery, and what its body says.
//!
//! A delivery passes two gates. [`Unverified::verify`] looks at address, credentials and signature and at nothing
//! else; only what it lets through has headers and a body. [`read()`] then says what the body is: an event, a
//! ping, something of the older WebHook product, or nothing of use. Both take any bytes, never panic and never
//! recurse without bound; neither sends, stores or waits.
//!
//! An event is a hint to go and look at a row, not the row: it lacks fields, may be late, and may never come.
//! Start with [`Unverified`] and [`Reading`].

mod code;
mod event;
mod legacy;
mod mark;
mod read;
mod verify;

pub use code::{EVENTS, Group};
pub use event::Event;
pub use legacy::Legacy;
pub use mark::{IssueMark, IterationMark, ProjectMark, Sender};
pub use read::{Reading, has_few_values, read};
pub use verify::{BasicFault, Proof, Refused, SignatureFault, Unverified, Verified};

pub(crate) use verify::is_kept;

/// The value of a header, whatever the case of its name; the first one that says something.
fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .find(|value| !value.is_empty())
}

/// Whether the content type says that the body is a form.
fn is_form(headers: &[(String, String)]) -> bool {
    let kind = header(headers, "content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The JSON inside a form-encoded body: its first field `payload`.
fn form_payload(body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = url::form_urlencoded::parse(body);
    fields.find(|(name, _)| name == "payload").map(|(_, value)| value.into_owned().into_bytes())
}
