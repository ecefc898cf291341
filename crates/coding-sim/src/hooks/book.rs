//! The hooks that are registered, and who of them wants which event.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::hooks::catalog::{EVENTS, event_kind};
use crate::hooks::post::Post;
use crate::world::World;

/// All hooks of the team, and the post that sends for them.
#[derive(Debug)]
pub(crate) struct HookBook {
    pub(crate) hooks: Vec<Hook>,
    pub(crate) post: Arc<Post>,
}

/// A registered hook.
pub(crate) struct Hook {
    /// Id of the project.
    pub(crate) project: u32,
    pub(crate) name: String,
    pub(crate) service: String,
    /// JSON text, as it was given; has the secrets.
    pub(crate) action_property: String,
    /// JSON text, as it was given. Kept and shown; nothing is filtered by it.
    pub(crate) filter_property: String,
    pub(crate) events: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) creator: u32,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) address: Arc<Address>,
}

/// Where a hook sends to, and with what. A delivery keeps the address that it was raised with.
pub(crate) struct Address {
    pub(crate) hook: String,
    /// The send action, for example `webhook_http_post`.
    pub(crate) action: String,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) username: String,
    pub(crate) password: String,
    /// Lines `Name: value`.
    pub(crate) headers: String,
    pub(crate) template: String,
}

/// A hook as the handle and the admin API show it: without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookInfo {
    /// Its id.
    pub id: String,
    /// Identifier of the project.
    pub project: String,
    /// What it is called.
    pub name: String,
    /// Where it sends to.
    pub url: String,
    /// The events that it wants.
    pub events: Vec<String>,
    /// False: nothing is sent.
    pub enabled: bool,
    /// True when its deliveries are signed.
    pub has_token: bool,
}

impl HookBook {
    pub(crate) const fn new(post: Arc<Post>) -> Self {
        Self { hooks: Vec::new(), post }
    }

    /// True when some hook of the project is on; the cheap question before everything else.
    pub(crate) fn listens(&self, project: u32) -> bool {
        self.hooks.iter().any(|hook| hook.enabled && hook.project == project)
    }

    /// The hooks of the project that want the event. What nobody can subscribe to goes to all.
    pub(crate) fn wanting<'a>(&'a self, project: u32, event: &'a str) -> impl Iterator<Item = &'a Hook> {
        let unknown = event_kind(event).is_none();
        self.hooks.iter().filter(move |hook| {
            hook.enabled
                && hook.project == project
                && (unknown || hook.events.iter().any(|wanted| wanted == event))
        })
    }

    pub(crate) fn hook(&self, id: &str) -> Option<&Hook> {
        self.hooks.iter().find(|hook| hook.address.hook == id)
    }
}

impl World {
    /// Registers a hook as [`crate::WorldHandle::register_hook`] says.
    pub(crate) fn register_hook(
        &mut self,
        project: &str,
        url: &str,
        token: &str,
        events: &[&str],
    ) -> Result<String, Failure> {
        let property = json!({"service_url": url, "token": token}).to_string();
        let mut hook = Hook {
            project: self.need(project)?.id,
            name: String::new(),
            service: "WebHook".to_owned(),
            address: Arc::new(
                Address::read(&self.hooks.post.next_id(), POST_ACTION, &property)
                    .map_err(Failure::invalid)?,
            ),
            action_property: property,
            filter_property: String::new(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            enabled: true,
            creator: self.owner,
            created_at: self.now(),
            updated_at: self.now(),
        };
        if hook.events.is_empty() {
            hook.events = EVENTS.iter().map(|event| event.name.to_owned()).collect();
        }
        let id = hook.address.hook.clone();
        self.hooks.hooks.push(hook);
        Ok(id)
    }

    /// All hooks without their secrets.
    pub(crate) fn hook_infos(&self) -> Vec<HookInfo> {
        let info = |hook: &Hook| HookInfo {
            id: hook.address.hook.clone(),
            project: self.project_by_id(hook.project).map_or_else(String::new, |place| place.name.clone()),
            name: hook.name.clone(),
            url: hook.address.url.clone(),
            events: hook.events.clone(),
            enabled: hook.enabled,
            has_token: !hook.address.token.is_empty(),
        };
        self.hooks.hooks.iter().map(info).collect()
    }
}

/// The send action of a hook that posts a body to an address.
const POST_ACTION: &str = "webhook_http_post";

impl Address {
    /// Reads the properties of an action.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn read(hook: &str, action: &str, property: &str) -> Result<Self, &'static str> {
        let Ok(Value::Object(fields)) = serde_json::from_str(property) else {
            return Err("`ActionProperty` is not a JSON object");
        };
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let url = text("service_url");
        if url::Url::parse(&url).is_err() {
            return Err("`service_url` is not an address");
        }
        Ok(Self {
            hook: hook.to_owned(),
            action: action.to_owned(),
            url,
            token: text("token"),
            username: text("username"),
            password: text("password"),
            headers: text("headers"),
            template: text("template"),
        })
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("id", &self.address.hook)
            .field("project", &self.project)
            .field("events", &self.events)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("hook", &self.hook).finish_non_exhaustive()
    }
}
