//! Managing Service Hooks: what is registered, what was sent, sending again.
//!
//! Names differ between requests and answers as the service's do: `ActionProperty` comes back as
//! `ActionProperties`, `ServiceAction` as `Action`, `PROJECT` as `Project`. As in the vendor's examples, the
//! answer to a creation or a change shows empty properties; the look-ups show them whole.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::actions::paging::{Page, spoil, total};
use crate::actions::{Call, Payload, Reach};
use crate::failure::Failure;
use crate::hooks::book::{Address, Hook};
use crate::hooks::catalog::{EVENTS, event_kind};
use crate::hooks::log::LogEntry;
use crate::world::World;
use crate::world::project::Project;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HookBody<'a> {
    id: &'a str,
    name: &'a str,
    target_id: u32,
    target_type: &'static str,
    creator_by: u32,
    creator_by_user: HookUser<'a>,
    updated_by: u32,
    updated_by_user: HookUser<'a>,
    service_name: &'a str,
    service: &'a str,
    action: &'a str,
    action_label: &'static str,
    created_at: i64,
    /// 1 after a delivery that succeeded, else 0: the vendor's example of a failing hook shows 0.
    status: u8,
    last_succeed_at: i64,
    updated_at: i64,
    version: u8,
    enabled: bool,
    event: &'a [String],
    event_label: Vec<&'a str>,
    filter_properties: &'a str,
    action_properties: &'a str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HookUser<'a> {
    id: u32,
    name: &'a str,
    avatar: &'a str,
    name_pinyin: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HookPage<'a> {
    service_hook: Vec<HookBody<'a>>,
    page_number: u32,
    page_size: u32,
    total_count: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LogPage {
    log: Vec<LogBody>,
    page_number: u32,
    page_size: u32,
    total_count: i64,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LogBody {
    id: String,
    event: String,
    service_hook_id: String,
    created_at: i64,
    send_at: i64,
    status: u8,
    request_id: String,
    request_content: String,
    request_headers: String,
    response_headers: String,
    response_body: String,
    response_status: u16,
    response_at: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventBody {
    name: &'static str,
    label: &'static str,
    group_name: &'static str,
    group_label: &'static str,
}

/// The services and the actions that each has, with their labels.
const SERVICES: [(&str, &str, &str, &str); 6] = [
    ("WebHook", "WebHook", "webhook_http_post", "HTTP POST 请求"),
    ("WebHook", "WebHook", "webhook_http_get", "HTTP GET 请求"),
    ("WeCom", "企业微信", "wecom_group_chat_robot", "发送到企业微信群聊"),
    ("DingDing", "钉钉", "dingding_group_chat_robot", "发送到钉钉群聊"),
    ("FeiShu", "飞书", "feishu_group_chat_robot", "发送到飞书群聊"),
    ("Jenkins", "Jenkins", "jenkins_generic_build_job", "触发构建任务"),
];

/// `DescribeEvents`.
pub(crate) fn events(call: &Call<'_>) -> Result<Payload, Failure> {
    let body = |kind: &'static crate::hooks::catalog::EventKind| {
        let (group_name, group_label) = kind.group();
        EventBody { name: kind.name, label: kind.label, group_name, group_label }
    };
    let offered = EVENTS.iter().filter(|kind| is_offered(call, kind.name));
    Ok(Payload::of("Event", &offered.map(body).collect::<Vec<_>>()))
}

/// `CreateServiceHook`.
pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Result<Payload, Failure> {
    let project = place(world, call)?.id;
    let id = world.hooks.post.next_id();
    let now = world.now();
    let hook = form(call, project, &id, (world.owner, now), String::new())?;
    world.hooks.hooks.push(hook);
    answered(world, &id)
}

/// `ModifyServiceHook`: the whole hook anew; without a name the old one stays.
pub(crate) fn modify(world: &mut World, call: &Call<'_>) -> Result<Payload, Failure> {
    let id = call.fields.need_text("Id")?;
    let known = of_project(world, call, id)?;
    call.fields.value("FilterProperty").ok_or_else(|| Failure::missing("FilterProperty"))?;
    let mut hook = form(call, known.project, id, (known.creator, known.created_at), known.name.clone())?;
    hook.updated_at = world.now();
    if let Some(place) = world.hooks.hooks.iter_mut().find(|hook| hook.address.hook == id) {
        *place = hook;
    }
    answered(world, id)
}

/// `DeleteServiceHook`: hook, log, and what waits to be sent.
pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Result<Payload, Failure> {
    let ids = ids(world, call)?;
    world.hooks.hooks.retain(|hook| !ids.contains(&hook.address.hook));
    for id in &ids {
        world.hooks.post.forget(id);
    }
    Ok(Payload::of("Succeed", &true))
}

/// `EnabledServiceHook`.
pub(crate) fn enable(world: &mut World, call: &Call<'_>) -> Result<Payload, Failure> {
    call.fields.need_text("TargetType")?;
    let (ids, enabled) = (ids(world, call)?, enabled(call)?);
    let now = world.now();
    for hook in world.hooks.hooks.iter_mut().filter(|hook| ids.contains(&hook.address.hook)) {
        (hook.enabled, hook.updated_at) = (enabled, now);
    }
    Ok(Payload::of("Succeed", &true))
}

/// `PingServiceHook`: answers at once; what comes of it is in the log.
pub(crate) fn ping(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    for id in ids(world, call)? {
        world.ping(world.hooks.hook(&id).ok_or_else(Failure::not_found)?);
    }
    Ok(Payload::of("Succeed", &true))
}

/// `DescribeServiceHooks`, oldest first. `Enabled` is a text here.
pub(crate) fn list(world: &World, call: &mut Call<'_>) -> Result<Payload, Failure> {
    call.fields.need_text("TargetType")?;
    let project = place(world, call)?.id;
    let page = Page::read(call)?;
    let fields = call.fields;
    let name = fields.text("Name").unwrap_or("");
    let (events, services) = (fields.texts("Event"), fields.texts("Service"));
    let creators = fields.ids("CreatorBy")?.unwrap_or_default();
    let enabled = match fields.text("Enabled") {
        None | Some("") => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => return Err(Failure::invalid(format!("`{other}` is neither `true` nor `false`"))),
    };
    let latest = match fields.text("Status") {
        None | Some("") => None,
        Some("SUCCESS") => Some(true),
        Some("FAILURE") => Some(false),
        Some(other) => return Err(Failure::invalid(format!("`{other}` is no status of a hook"))),
    };
    let fits = |hook: &&Hook| {
        hook.project == project
            && hook.name.contains(name)
            && (events.is_empty() || hook.events.iter().any(|event| events.contains(&event.as_str())))
            && (services.is_empty() || services.contains(&hook.service.as_str()))
            && (creators.is_empty() || creators.contains(&hook.creator))
            && enabled.is_none_or(|enabled| hook.enabled == enabled)
            && latest.is_none_or(|ok| world.hooks.post.health(&hook.address.hook).latest == Some(ok))
    };
    let hooks: Vec<&Hook> = world.hooks.hooks.iter().filter(fits).collect();
    let total_count = total(call, hooks.len());
    let window = page.window(call);
    let rows = spoil(call, hooks.into_iter().skip(window.skip).take(window.take).collect());
    let body = HookPage {
        service_hook: rows.into_iter().map(|hook| body(world, hook, true)).collect(),
        page_number: page.number,
        page_size: page.size,
        total_count,
    };
    Ok(Payload::of("Data", &body))
}

/// `DescribeServiceHook`.
pub(crate) fn detail(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let hook = of_project(world, call, call.fields.need_text("Id")?)?;
    Ok(Payload::of("ServiceHook", &body(world, hook, true)))
}

/// `DescribeServiceHookLogs`, newest first.
pub(crate) fn logs(world: &World, call: &mut Call<'_>) -> Result<Payload, Failure> {
    let hook = of_project(world, call, call.fields.need_text("Id")?)?;
    let page = Page::read(call)?;
    let window = page.window(call);
    let post = &world.hooks.post;
    let (all, entries) = post.log(&hook.address.hook, window.skip, window.take);
    let shows_content = !post.faults().log_without_content;
    let rows: Vec<LogBody> = entries.into_iter().map(|entry| log_body(entry, shows_content)).collect();
    let body = LogPage {
        total_count: total(call, all),
        log: spoil(call, rows),
        page_number: page.number,
        page_size: page.size,
    };
    Ok(Payload::of("Data", &body))
}

/// `ResendServiceHookLog`: here it is `Success`, elsewhere `Succeed`.
pub(crate) fn resend(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let id = call.fields.need_text("ServiceHookLogId")?;
    let entry = world.hooks.post.log_entry(id).ok_or_else(Failure::not_found)?;
    let hook = world.hooks.hook(&entry.hook).ok_or_else(Failure::not_found)?;
    let project = world.project_by_id(hook.project).ok_or_else(Failure::not_found)?;
    if call.reach(&project.name)? == Reach::Hollow {
        return Err(Failure::unauthorized());
    }
    world.hooks.post.resend(entry, Arc::clone(&hook.address));
    Ok(Payload::of("Data", &json!({"Success": true})))
}

/// The project that the hooks belong to.
fn place<'w>(world: &'w World, call: &Call<'_>) -> Result<&'w Project, Failure> {
    match call.fields.text("TargetType").unwrap_or("PROJECT") {
        "PROJECT" => {}
        // There are no spaces and no programs here.
        "SPACE" | "SPACE_NODE" | "PROGRAM" => return Err(Failure::not_found()),
        other => return Err(Failure::invalid(format!("`{other}` is no target type"))),
    }
    let (project, reach) = call.project_by_id(world)?;
    if reach == Reach::Hollow { Err(Failure::unauthorized()) } else { Ok(project) }
}

fn of_project<'w>(world: &'w World, call: &Call<'_>, id: &str) -> Result<&'w Hook, Failure> {
    let project = place(world, call)?.id;
    world.hooks.hook(id).filter(|hook| hook.project == project).ok_or_else(Failure::not_found)
}

/// The ids of a request, all of which must be there.
fn ids(world: &World, call: &Call<'_>) -> Result<Vec<String>, Failure> {
    place(world, call)?;
    let ids = call.fields.texts("Id");
    if ids.is_empty() {
        return Err(Failure::missing("Id"));
    }
    ids.into_iter().map(|id| of_project(world, call, id).map(|hook| hook.address.hook.clone())).collect()
}

fn enabled(call: &Call<'_>) -> Result<bool, Failure> {
    call.fields.value("Enabled").ok_or_else(|| Failure::missing("Enabled"))?;
    Ok(call.fields.flag("Enabled"))
}

fn is_offered(call: &Call<'_>, event: &str) -> bool {
    !call.config.unoffered_events.iter().any(|unoffered| unoffered == event)
}

/// Reads a hook out of a request.
fn form(
    call: &Call<'_>,
    project: u32,
    id: &str,
    (creator, created_at): (u32, i64),
    name: String,
) -> Result<Hook, Failure> {
    let fields = call.fields;
    let (service, action) = (fields.need_text("Service")?, fields.need_text("ServiceAction")?);
    let events = fields.texts("Event");
    if events.is_empty() {
        return Err(Failure::missing("Event"));
    }
    let enabled = enabled(call)?;
    let property = fields.need_text("ActionProperty")?;
    let filter = fields.text("FilterProperty").unwrap_or("");
    if !SERVICES.iter().any(|known| (known.0, known.2) == (service, action)) {
        return Err(Failure::invalid(format!("the service `{service}` has no action `{action}`")));
    }
    for event in &events {
        if event_kind(event).is_none() || !is_offered(call, event) {
            return Err(Failure::new("InvalidParameter", format!("The event `{event}` is not valid.")));
        }
    }
    let filters = match serde_json::from_str(filter) {
        _ if filter.is_empty() => false,
        Ok(Value::Object(filter)) => !filter.is_empty(),
        _ => return Err(Failure::invalid("`FilterProperty` is not a JSON object")),
    };
    if filters && events.len() > 1 {
        return Err(Failure::invalid("only a hook of one event can have a filter"));
    }
    Ok(Hook {
        project,
        name: fields.text("Name").map_or(name, str::to_owned),
        service: service.to_owned(),
        action_property: property.to_owned(),
        filter_property: if filter.is_empty() { "{}".to_owned() } else { filter.to_owned() },
        events: events.into_iter().map(str::to_owned).collect(),
        enabled,
        creator,
        created_at,
        updated_at: created_at,
        address: Arc::new(Address::read(id, action, property).map_err(Failure::invalid)?),
    })
}

fn answered(world: &World, id: &str) -> Result<Payload, Failure> {
    let hook = world.hooks.hook(id).ok_or_else(Failure::not_found)?;
    Ok(Payload::of("ServiceHook", &body(world, hook, false)))
}

fn body<'a>(world: &'a World, hook: &'a Hook, shows_properties: bool) -> HookBody<'a> {
    let health = world.hooks.post.health(&hook.address.hook);
    let action = hook.address.action.as_str();
    let service = SERVICES.iter().find(|known| known.2 == action);
    let user = || {
        world.users.get(&hook.creator).map_or_else(HookUser::default, |user| HookUser {
            id: user.id,
            name: &user.name,
            avatar: &user.avatar,
            name_pinyin: &user.pinyin,
        })
    };
    HookBody {
        id: &hook.address.hook,
        name: &hook.name,
        target_id: hook.project,
        target_type: "Project",
        creator_by: hook.creator,
        creator_by_user: user(),
        updated_by: hook.creator,
        updated_by_user: user(),
        service_name: service.map_or("", |known| known.1),
        service: &hook.service,
        action,
        action_label: service.map_or("", |known| known.3),
        created_at: hook.created_at,
        status: u8::from(health.latest == Some(true)),
        last_succeed_at: health.last_succeed_at,
        updated_at: hook.updated_at,
        version: 3,
        enabled: hook.enabled,
        event: &hook.events,
        event_label: hook
            .events
            .iter()
            .map(|event| event_kind(event).map_or(event.as_str(), |kind| kind.label))
            .collect(),
        filter_properties: if shows_properties { &hook.filter_property } else { "{}" },
        action_properties: if shows_properties { &hook.action_property } else { "{}" },
    }
}

fn log_body(entry: LogEntry, shows_content: bool) -> LogBody {
    let status = entry.status();
    let content =
        if shows_content { String::from_utf8_lossy(&entry.content).into_owned() } else { String::new() };
    LogBody {
        id: entry.id,
        event: entry.event,
        service_hook_id: entry.hook,
        created_at: entry.created_at,
        send_at: entry.send_at,
        status,
        request_id: entry.delivery,
        request_content: content,
        request_headers: entry.request_headers,
        response_headers: entry.response_headers,
        response_body: entry.response_body,
        response_status: entry.response_status,
        response_at: entry.response_at,
    }
}
