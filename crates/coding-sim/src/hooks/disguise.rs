//! Bodies that are not what a receiver expects: templates, chat messages, the older product's format.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::hooks::faults::BodyFault;
use crate::hooks::post::Delivery;

/// Gives the delivery another body; false where the fault has nothing to work on.
pub(crate) fn body(delivery: &mut Delivery, fault: BodyFault) -> bool {
    let Ok(Value::Object(event)) = serde_json::from_slice(&delivery.body) else { return false };
    match fault {
        BodyFault::Template => {
            const TEMPLATE: &str =
                r#"{"text": "${eventName}: ${project.display_name}, ${sender.name}", "at": "all"}"#;
            set(delivery, filled(TEMPLATE, &event, in_json).into_bytes());
        }
        BodyFault::NonJson => set(delivery, b"<html><body>hook</body></html>".to_vec()),
        BodyFault::UnknownEvent => {
            const UNKNOWN: &str = "ISSUE_TELEPORTED";
            let mut event = event;
            event.insert("event".to_owned(), UNKNOWN.into());
            UNKNOWN.clone_into(&mut delivery.shown_event);
            set(delivery, Value::Object(event).to_string().into_bytes());
        }
        BodyFault::Chat => {
            let content = filled("**${eventName}** ${project.display_name}", &event, str::to_owned);
            let message = json!({"msgtype": "markdown", "markdown": {"content": content}});
            set(delivery, message.to_string().into_bytes());
        }
        BodyFault::LegacyJson | BodyFault::LegacyForm => {
            let Some((name, body)) = legacy(&delivery.event, event) else { return false };
            (delivery.is_legacy, delivery.shown_event) = (true, name.to_owned());
            let json = body.to_string();
            if fault == BodyFault::LegacyForm {
                delivery.content_type = "application/x-www-form-urlencoded";
                let form = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("payload", &json)
                    .finish();
                set(delivery, form.into_bytes());
            } else {
                set(delivery, json.into_bytes());
            }
        }
    }
    true
}

/// Fills the hook's own template, and writes to a group chat as chats want it; true when it did.
pub(crate) fn as_told(delivery: &mut Delivery) -> bool {
    if !delivery.address.action.starts_with("webhook_") {
        return body(delivery, BodyFault::Chat);
    }
    if delivery.address.template.is_empty() {
        return false;
    }
    let Ok(Value::Object(event)) = serde_json::from_slice(&delivery.body) else { return false };
    let text = filled(&delivery.address.template, &event, in_json);
    set(delivery, text.into_bytes());
    true
}

fn set(delivery: &mut Delivery, body: Vec<u8>) {
    delivery.body = Bytes::from(body);
}

/// Replaces `${path.to.member}`; what stands behind a `|` is left out of account, what is unknown is empty.
/// `spell` writes a text so that it fits into the template.
fn filled(template: &str, event: &Map<String, Value>, spell: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, tail)) = rest.split_once("${") {
        out.push_str(before);
        let Some((path, after)) = tail.split_once('}') else {
            rest = tail;
            break;
        };
        let path = path.split('|').next().unwrap_or_default();
        let mut names = path.split('.');
        let first = names.next().and_then(|name| event.get(name));
        let found = names.fold(first, |value, name| value.and_then(|value| value.get(name)));
        match found {
            Some(Value::String(text)) => out.push_str(&spell(text)),
            Some(value) => out.push_str(&value.to_string()),
            None => {}
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A text as it stands between the quotes of a JSON text.
fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// The event in the older product's words. Its documents show no body of a task; the issue stands in it as
/// in the newer ones, which is our guess. There, `repository` stands for the project.
fn legacy(event: &str, mut body: Map<String, Value>) -> Option<(&'static str, Value)> {
    let (name, action) = match event {
        "ISSUE_CREATED" => ("task", "opened"),
        "ISSUE_DELETED" => ("task", "deleted"),
        "ISSUE_ASSIGNEE_CHANGED" => ("task", "assigned"),
        _ if event.starts_with("ISSUE_") => ("task", "edited"),
        "MEMBER_CREATED" => ("member", "added"),
        "MEMBER_DELETED" => ("member", "deleted"),
        "GIT_PUSHED" => ("push", ""),
        "GIT_MR_CREATED" => ("merge request", "create"),
        "GIT_MR_UPDATED" => ("merge request", "synchronize"),
        "GIT_MR_MERGED" => ("merge request", "merge"),
        "CI_JOB_STARTED" => ("ci", "trigger_build"),
        "CI_JOB_FINISHED" => ("ci", "complete_build"),
        _ => return None,
    };
    let project = body.remove("project").unwrap_or_default();
    let team = body.remove("team").unwrap_or_default();
    for key in ["action", "event", "eventName"] {
        body.remove(key);
    }
    if let Some(comment) = body.remove("issueComment") {
        body.insert("issue".to_owned(), comment.get("issue").cloned().unwrap_or_default());
    }
    if !action.is_empty() {
        body.insert("action".to_owned(), action.into());
    }
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let (domain, identifier) = (text(&team, "domain"), text(&project, "name"));
    body.entry("repository").or_insert_with(|| {
        json!({
            "id": project.get("id"),
            "name": identifier,
            "full_name": format!("{domain}/{identifier}"),
            "owner": body_owner(),
            "private": true,
            "html_url": project.get("url"),
            "description": project.get("description"),
            "fork": false,
            "url": format!("{}/api/team/{domain}/project/{identifier}", text(&team, "url")),
            "default_branch": "master",
        })
    });
    Some((name, Value::Object(body)))
}

/// The project's owner, whom the older bodies zero where there is no repository.
fn body_owner() -> Value {
    json!({"id": 0, "login": "", "avatar_url": "", "url": "", "html_url": "", "name": "", "name_pinyin": ""})
}
