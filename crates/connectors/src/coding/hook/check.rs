//! "Test connection" for hooks: what CODING has of them, and whether anything came through.

use coding_api::Error;
use engine::source::{Project, SourceError, Urgency};
use jiff::Timestamp;

use super::super::config::{Register, WebhookSettings};
use super::super::source::CodingSource;
use super::register::hook_error;
use crate::check::CheckItem;

/// What is remembered of a project's hook.
#[derive(Clone, Debug, Default)]
pub struct HookMemory {
    /// Its id, once it has been registered.
    pub id: Option<String>,
    /// The events that it is to deliver.
    pub events: Vec<String>,
    /// When a delivery or a ping came last.
    pub reached: Option<Timestamp>,
}

impl CodingSource {
    /// Looks at the hook of a project: is it there, does it deliver, does it have its events, did anything come.
    /// Nothing where no hooks are configured.
    pub async fn check_hook(&self, project: &Project, memory: &HookMemory) -> Vec<CheckItem> {
        let Some(webhook) = self.settings().webhook.as_ref() else { return Vec::new() };
        let name = format!("source: hook of {}", project.name);
        let mut items = Vec::new();
        match webhook.register {
            Register::Auto => match self.registered(project, memory).await {
                Ok(item) => items.push(CheckItem { name, ..item }),
                Err(error) => {
                    items.push(CheckItem::failed(name, error.problem.why, error.problem.fix));
                    return items;
                }
            },
            Register::Manual => items.push(CheckItem::ok(
                name,
                format!(
                    "set up by hand, on {}; what it is set up with is not looked at",
                    self.hook_page(project)
                ),
            )),
        }
        items.push(way(project, webhook, memory.reached));
        items
    }

    async fn registered(&self, project: &Project, memory: &HookMemory) -> Result<CheckItem, SourceError> {
        let Some(id) = &memory.id else {
            // Whether it may be registered shows now.
            self.may_manage("register the hook")?;
            let hooks = self.at(Urgency::Poll).service_hooks(project.id.0, None).await;
            hooks.map_err(|error: Error| hook_error("list hooks", error))?;
            return Ok(CheckItem::warning(
                "",
                "not registered yet; the credential may do it",
                "Start `tributary sync`, which registers it, or run `tributary hooks PIPELINE.yaml register`.",
            ));
        };
        let mend =
            "Start `tributary sync` anew, or run `tributary hooks PIPELINE.yaml register`: it is mended.";
        let Some(standing) = self.standing(project, id).await? else {
            return Ok(CheckItem::failed("", "it is not there any more", mend));
        };
        let missing = memory.events.iter().filter(|event| !standing.events.contains(event));
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        Ok(match (standing.enabled, standing.distorted, missing.is_empty()) {
            (false, _, _) => CheckItem::failed("", "it is switched off", mend),
            (true, true, _) => {
                CheckItem::failed("", "a filter or a template keeps it from delivering everything", mend)
            }
            (true, false, false) => {
                CheckItem::warning("", format!("it does not deliver {}", missing.join(", ")), mend)
            }
            (true, false, true) => {
                let events = standing.events.len();
                CheckItem::ok("", format!("registered and switched on, with {events} events"))
            }
        })
    }
}

/// Whether CODING reaches us, which only a delivery proves.
fn way(project: &Project, webhook: &WebhookSettings, reached: Option<Timestamp>) -> CheckItem {
    let name = format!("source: deliveries of {}", project.name);
    match reached {
        Some(reached) => {
            CheckItem::ok(name, format!("CODING reaches this machine; it last did at {reached}"))
        }
        None => CheckItem::warning(
            name,
            format!("whether CODING reaches {} is unknown: nothing came yet", webhook.public_url),
            "While `tributary sync` runs, send a ping: `tributary hooks PIPELINE.yaml ping`, or the button \"Test\" of \
             the hook in CODING.",
        ),
    }
}
