//! What a body is. Pure: the same headers and bytes always give the same reading.

use serde_json::{Map, Value};

use super::event::Event;
use super::legacy::Legacy;
use super::mark::text;
use crate::sanitize::sanitize;

/// What a body turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// The test button, or the greeting of a new hook.
    Ping {
        /// The hook that sent it.
        hook_id: Option<String>,
    },
    /// An event of the Service Hook.
    Event(Box<Event>),
    /// A delivery of the older WebHook product, as JSON or as a form.
    Legacy(Box<Legacy>),
    /// Nothing of use; worth keeping for whoever wonders.
    Unusable {
        /// Why, in words.
        why: &'static str,
    },
}

/// The longest event code that is taken; the longest known one has 36 characters. Codes are counted and shown,
/// so neither length nor characters are left to the sender.
const LONGEST_CODE: usize = 64;
/// The longest id of a hook that is taken; CODING's has 36 characters.
const LONGEST_ID: usize = 128;

/// Says what a body is. Takes any headers and bytes; nesting is limited to what the JSON parser allows (128).
#[must_use]
pub fn read(headers: &[(String, String)], body: &[u8]) -> Reading {
    let payload = if super::is_form(headers) { super::form_payload(body) } else { None };
    let body = match parse(payload.unwrap_or_else(|| body.to_vec())) {
        Ok(body) => body,
        Err(why) => return Reading::Unusable { why },
    };
    let header = |name| super::header(headers, name);
    let sent_by_hook = header("x-coding-service-hook-event").or_else(|| header("x-coding-service-hook-id"));
    let old_event = header("x-coding-event");
    let id = || hook_id(&body).or_else(|| header("x-coding-service-hook-id").and_then(known_id));

    let code = text(body.get("event"));
    // The oldest product put its own lower-case event name into the body as well.
    let is_old = sent_by_hook.is_none() && (old_event.is_some() || is_old_shape(&body));
    let ping = [code.as_deref(), sent_by_hook.filter(|_| code.is_none()), old_event.filter(|_| is_old)]
        .into_iter()
        .flatten()
        .any(|event| event.eq_ignore_ascii_case("ping"));
    if ping || code.is_none() && body.contains_key("zen") {
        return Reading::Ping { hook_id: id() };
    }
    match code {
        Some(code) if is_old && !is_code(&code) => {
            let event = old_event.map(str::to_owned).or(Some(code));
            Reading::Legacy(Box::new(Legacy::of(event, body)))
        }
        Some(code) if is_code(&code) => {
            let hook_id = id();
            Reading::Event(Box::new(Event::of(code, hook_id, body)))
        }
        Some(_) => Reading::Unusable { why: "its `event` is not an event code" },
        None if is_chat(&body) => Reading::Unusable {
            why: "it is a chat message (DingTalk or WeCom format); choose JSON in the hook's settings in CODING",
        },
        None if is_old => Reading::Legacy(Box::new(Legacy::of(old_event.map(str::to_owned), body))),
        None if sent_by_hook.is_some() => Reading::Unusable {
            why: "it has no `event`, so the hook has a template; take the template out of its settings in CODING",
        },
        None => Reading::Unusable { why: "it is JSON without `event`, and no header says what it is" },
    }
}

/// Parses a JSON object, or says why not.
fn parse(body: Vec<u8>) -> Result<Map<String, Value>, &'static str> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err("it is empty");
    }
    // Halves of surrogate pairs, U+0000 and bytes that are not UTF-8 cost themselves, not the delivery.
    let sane = sanitize(body);
    if !has_few_values(sane.text().as_bytes()) {
        return Err("it has more values than any event: it is not read");
    }
    let parsed = serde_json::from_str::<Map<String, Value>>(sane.text()).map_err(|error| {
        use serde_json::error::Category;
        match error.classify() {
            Category::Eof => "it is cut off",
            Category::Data => "it is JSON, but not an object",
            // The parser has no code for this one.
            _ if error.to_string().starts_with("recursion limit") => "it is nested too deeply",
            Category::Syntax | Category::Io => {
                "it is not JSON; the hook may have a template, to be taken out of its settings in CODING"
            }
        }
    })?;
    match parsed.values().all(|value| is_flatter_than(value, DEEPEST)) {
        true => Ok(parsed),
        false => Err("it is nested too deeply"),
    }
}

/// Values of a body at most. Events have some hundreds; each value takes up to a hundred times its text's room in
/// memory, so that megabytes of the smallest ones would take all of it.
const MOST_VALUES: usize = 100_000;

/// Levels that the parser goes down to; what lies deeper it makes nothing of.
const PARSED_LEVELS: usize = 128;

/// Whether JSON has no more values than are made of it, told from its text: every value but the first one follows a
/// comma or an opening bracket.
#[must_use]
pub fn has_few_values(json: &[u8]) -> bool {
    let (mut values, mut levels, mut in_text, mut escaped) = (1_usize, 0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b',' => values = values.saturating_add(1),
            b'[' | b'{' => (values, levels) = (values.saturating_add(1), levels.saturating_add(1)),
            b']' | b'}' => levels = levels.saturating_sub(1),
            _ => {}
        }
        if values > MOST_VALUES || levels > PARSED_LEVELS {
            break;
        }
    }
    values <= MOST_VALUES
}

/// Levels of a body. Events have five or so; whoever keeps one inside something else must be able to read it back,
/// and parsers end at 128.
const DEEPEST: usize = 64;

/// Whether a value has fewer levels than that. It has at most as many as the parser takes.
fn is_flatter_than(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return false };
    match value {
        Value::Array(items) => items.iter().all(|item| is_flatter_than(item, below)),
        Value::Object(fields) => fields.values().all(|field| is_flatter_than(field, below)),
        _ => true,
    }
}

/// The id of the hook by the body's own word.
pub(super) fn hook_id(body: &Map<String, Value>) -> Option<String> {
    let inner = || body.get("hook").and_then(|hook| hook.get("id"));
    [body.get("hook_id"), inner()].into_iter().flatten().find_map(|id| match id {
        Value::String(id) => known_id(id.trim()),
        // The older product counts its hooks.
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    })
}

fn known_id(id: &str) -> Option<String> {
    let fits = (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| id.to_owned())
}

/// `ISSUE_UPDATED` and the like, known or not.
fn is_code(code: &str) -> bool {
    code.len() <= LONGEST_CODE
        && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Bodies of the older product have a `repository` and never a `project`.
fn is_old_shape(body: &Map<String, Value>) -> bool {
    body.contains_key("repository") && !body.contains_key("project")
}

fn is_chat(body: &Map<String, Value>) -> bool {
    ["msgtype", "msg_type"].into_iter().any(|key| body.get(key).is_some_and(Value::is_string))
}
