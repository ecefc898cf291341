//! What the actions of Service Hooks answer, read leniently: numbers and booleans may be texts, properties are
//! JSON inside a text, names differ between request and answer.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{ACTION, HookSettings, SERVICE};
use crate::hook::is_kept;
use crate::row::{Row, RowExt, integer};

/// A hook, as CODING has it. Debug output shows neither its URL nor its secrets.
#[derive(Clone, PartialEq)]
pub struct ServiceHook {
    /// Its id.
    pub id: String,
    /// Its name in the project's settings.
    pub name: String,
    /// Whether it delivers.
    pub enabled: bool,
    /// The event codes that it delivers.
    pub events: Vec<String>,
    /// Where it delivers to, if CODING shows that.
    pub url: Option<String>,
    /// For example `webhook_http_post`.
    pub action: Option<String>,
    /// For example `WebHook`.
    pub service: Option<String>,
    /// The filter, unless it is empty: a hook with a filter does not deliver everything.
    pub filter: Option<String>,
    /// Whether its bodies are made from a template: then they are not events.
    pub has_template: bool,
    /// The user of HTTP Basic, if there is one and CODING shows it.
    pub username: Option<String>,
    /// When it last delivered with success, in milliseconds since the epoch.
    pub last_succeeded_ms: Option<i64>,
    /// The whole row. May hold secrets.
    pub raw: Row,
}

/// A delivery in the log of a hook. Debug output shows neither headers nor content.
#[derive(Clone, PartialEq)]
pub struct HookLog {
    /// The entry's id, for [`crate::Client::resend_service_hook_log`].
    pub id: String,
    /// The event code.
    pub event: Option<String>,
    /// The id of the delivery (`RequestId`), which is most likely the one in `X-Coding-Delivery`.
    pub delivery_id: Option<String>,
    /// The headers that were sent, names in lower case, without those that hold a proof. Empty where the log
    /// lacks them.
    pub headers: Vec<(String, String)>,
    /// The body that was sent; empty where the log lacks it.
    pub content: String,
    /// The HTTP status of the answer; `None` if none came.
    pub response_status: Option<u16>,
    /// Whether it was delivered: by the answer's status, or else by CODING's word. `None` while that is open.
    pub succeeded: Option<bool>,
    /// When the entry was made, in milliseconds since the epoch.
    pub created_ms: Option<i64>,
    /// When it was sent, in milliseconds since the epoch.
    pub send_ms: Option<i64>,
}

/// An event that hooks of a team can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventOffer {
    /// The event code.
    pub code: String,
    /// What people call it.
    pub label: Option<String>,
    /// The code of its group.
    pub group: Option<String>,
    /// What people call the group.
    pub group_label: Option<String>,
}

impl ServiceHook {
    /// Reads a row; `None` if it has no id.
    pub(crate) fn read(row: Row) -> Option<Self> {
        let id = string(&row, "Id")?;
        // Asked for and answered under different names.
        let either = |one: &str, other: &str| string(&row, one).or_else(|| string(&row, other));
        let properties = object(row.get("ActionProperties").or_else(|| row.get("ActionProperty")));
        let property = |name: &str| string(&properties, name);
        let filter = either("FilterProperties", "FilterProperty");
        let is_empty = |filter: &str| matches!(filter.trim(), "{}" | "null" | "[]");
        Some(Self {
            id,
            name: string(&row, "Name").unwrap_or_default(),
            enabled: row.get("Enabled").and_then(truth).unwrap_or(false),
            events: texts(row.get("Event")),
            url: property("service_url"),
            action: either("Action", "ServiceAction"),
            service: string(&row, "Service"),
            filter: filter.filter(|filter| !is_empty(filter)),
            has_template: property("template").is_some_and(|template| template.trim() != "{}"),
            username: property("username"),
            last_succeeded_ms: row.time("LastSucceedAt").map(jiff::Timestamp::as_millisecond),
            raw: row,
        })
    }

    /// Whether it is set up as `settings` say, as far as CODING shows it. Properties that it keeps to itself
    /// (all of them, or a masked secret) are no difference.
    #[must_use]
    pub fn matches(&self, settings: &HookSettings) -> bool {
        let properties = object(self.raw.get("ActionProperties").or_else(|| self.raw.get("ActionProperty")));
        let same = |property: &str, wanted: Option<&str>| match properties.get(property) {
            None | Some(Value::Null) => true,
            Some(Value::String(shown)) => is_masked(shown) || shown == wanted.unwrap_or_default(),
            Some(_) => false,
        };
        let (user, password) = match &settings.basic {
            Some((user, password)) => (Some(user.as_str()), Some(password.expose_secret())),
            None => (None, None),
        };
        let is = |said: &Option<String>, wanted: &str| said.as_deref().is_none_or(|said| said == wanted);
        let sorted = |events: &[String]| {
            let mut events = events.to_vec();
            events.sort_unstable();
            events.dedup();
            events
        };
        self.enabled
            && self.name == settings.name
            && is(&self.service, SERVICE)
            && is(&self.action, ACTION)
            && sorted(&self.events) == sorted(&settings.events)
            && self.filter.is_none()
            && !self.has_template
            && same("service_url", Some(&settings.url))
            && same("token", settings.secret.as_ref().map(SecretString::expose_secret))
            && same("username", user)
            && same("password", password)
    }
}

impl fmt::Debug for ServiceHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceHook")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("enabled", &self.enabled)
            .field("events", &self.events)
            .field("filter", &self.filter)
            .field("has_template", &self.has_template)
            .finish_non_exhaustive()
    }
}

impl HookLog {
    /// Reads a row; `None` if it has no id.
    pub(crate) fn read(row: Row) -> Option<Self> {
        let millis = |name: &str| row.time(name).map(jiff::Timestamp::as_millisecond);
        let status = row.integer("ResponseStatus").and_then(|status| u16::try_from(status).ok());
        let status = status.filter(|status| *status > 0);
        // Documented nowhere; the one example shows 1 beside an answer of 200.
        let said = row.integer("Status").filter(|status| *status != 0).map(|status| status == 1);
        Some(Self {
            id: string(&row, "Id")?,
            event: string(&row, "Event"),
            delivery_id: string(&row, "RequestId"),
            headers: headers(row.get("RequestHeaders")),
            content: match row.get("RequestContent") {
                Some(Value::String(content)) => content.clone(),
                Some(content @ (Value::Object(_) | Value::Array(_))) => content.to_string(),
                _ => String::new(),
            },
            response_status: status,
            succeeded: status.map(|status| (200..300).contains(&status)).or(said),
            created_ms: millis("CreatedAt"),
            send_ms: millis("SendAt"),
        })
    }
}

impl fmt::Debug for HookLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookLog")
            .field("id", &self.id)
            .field("event", &self.event)
            .field("delivery_id", &self.delivery_id)
            .field("response_status", &self.response_status)
            .field("succeeded", &self.succeeded)
            .field("content_bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

impl EventOffer {
    pub(crate) fn read(row: &Row) -> Option<Self> {
        Some(Self {
            code: string(row, "Name")?,
            label: string(row, "Label"),
            group: string(row, "GroupName"),
            group_label: string(row, "GroupLabel"),
        })
    }
}

/// Whether an answer says that it was not done: `Succeed`, or `Success` inside an object, printed as a boolean
/// or as a text. Anything else is no denial.
pub(crate) fn denies(said: &Value) -> bool {
    let said = match said {
        Value::Object(data) => data.get("Success").or_else(|| data.get("Succeed")),
        said => Some(said),
    };
    said.and_then(truth) == Some(false)
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        number => integer(number).map(|number| number != 0),
    }
}

/// A text that says something; ids may be printed as numbers.
fn string(row: &Map<String, Value>, name: &str) -> Option<String> {
    match row.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A list of texts; one that stands alone is a list of one.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(text)) if !text.is_empty() => vec![text.clone()],
        _ => Vec::new(),
    }
}

/// An object, or the text of one; empty if it is neither.
fn object(value: Option<&Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object.clone(),
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        _ => Map::new(),
    }
}

/// Whether a shown secret is stars instead of itself.
fn is_masked(shown: &str) -> bool {
    shown.contains("***") || (!shown.is_empty() && shown.bytes().all(|byte| byte == b'*'))
}

/// Headers out of whatever the log prints: lines of `Name: value`, or JSON of names and values.
fn headers(value: Option<&Value>) -> Vec<(String, String)> {
    let text = match value {
        Some(Value::String(text)) => text.as_str(),
        Some(json) => return kept(from_json(json)),
        None => return Vec::new(),
    };
    if let Ok(json @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
        return kept(from_json(&json));
    }
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    kept(lines.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

fn kept(headers: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    headers
        .into_iter()
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .filter(|(name, _)| !name.is_empty() && is_kept(name))
        .collect()
}

/// `{"Name": "value"}`, `{"Name": ["value"]}`, `[{"name": …, "value": …}]`.
fn from_json(json: &Value) -> Vec<(String, String)> {
    let value = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let field = |item: &Value, names: [&str; 2]| names.into_iter().find_map(|name| value(item.get(name)?));
    match json {
        Value::Object(headers) => headers
            .iter()
            .flat_map(|(name, found)| {
                let values = match found {
                    Value::Array(values) => values.iter().filter_map(value).collect(),
                    one => Vec::from_iter(value(one)),
                };
                values.into_iter().map(move |value| (name.clone(), value))
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .filter_map(|item| Some((field(item, ["name", "Name"])?, field(item, ["value", "Value"])?)))
            .collect(),
        _ => Vec::new(),
    }
}
