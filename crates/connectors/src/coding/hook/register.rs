//! The hook at CODING: made where there is none, found again where there is, mended where somebody changed it.
//!
//! Nothing is changed that is as it should be, so that a start costs one listing. What CODING does not show of a
//! hook (its secret, perhaps everything) is not compared; whether it is right, the hook's own log tells: deliveries
//! that were answered 401 were signed with something else.

use coding_api::{Client, Error, ErrorKind, HookSettings, ServiceHook};
use engine::problem::Problem;
use engine::source::{Project, SourceError, SourceErrorKind, Urgency};
use futures::TryStreamExt;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::Url;

use super::super::config::AuthConfig;
use super::super::fault::source_error;
use super::super::source::CodingSource;

/// How often a hook is made whose creation was not answered and that is not there afterwards.
const CREATIONS: u32 = 3;
/// Events that the vendor's list of allowed values lacks, though its help and real hooks have them. Where CODING
/// refuses without saying which event it means, these are the likely ones.
const DOUBTFUL: [&str; 3] = ["ITERATION_PLANNED", "ISSUE_HOUR_RECORD_UPDATED", "GIT_MR_NOTE"];

/// How the hook of a project is to be. Debug output shows no secret.
#[derive(Clone, Debug)]
pub struct HookPlan {
    /// Under which name it stands in the project's settings, when it is made.
    pub name: String,
    /// Where it delivers to, token included.
    pub url: SecretString,
    /// The key of its signatures.
    pub secret: Option<SecretString>,
    /// User and password that its deliveries bring along.
    pub basic: Option<(String, SecretString)>,
    /// The events that it delivers.
    pub events: Vec<String>,
}

/// A hook that is there and delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub id: String,
    /// What was done for that.
    pub how: How,
    /// Events that CODING refused: what they would have told is left to polls and censuses.
    pub left_out: Vec<String>,
}

/// What was done to have a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It was made.
    Created,
    /// It was there, as it should be.
    Found,
    /// It was there, and was set up anew.
    Repaired {
        /// What was wrong with it, in words.
        what: Vec<String>,
    },
}

/// How a hook stands at CODING.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookStanding {
    /// Its name there.
    pub name: String,
    /// Whether it delivers.
    pub enabled: bool,
    /// The events that it delivers.
    pub events: Vec<String>,
    /// When a delivery was answered with success last, by CODING's word.
    pub last_succeeded: Option<Timestamp>,
    /// Whether a filter or a template keeps deliveries back or spoils them.
    pub distorted: bool,
}

impl CodingSource {
    /// Sees to it that the project has the planned hook: finds our own one (by the id remembered as `known`, by its
    /// URL, by its name and where its URL leads), mends it, or makes one.
    ///
    /// # Errors
    /// When CODING cannot be asked, or the credential may not manage hooks.
    pub async fn register(
        &self,
        project: &Project,
        plan: &HookPlan,
        known: Option<&str>,
    ) -> Result<Registered, SourceError> {
        let what = format!("register the hook of project `{}`", project.name);
        self.may_manage(&what)?;
        let client = self.at(Urgency::Poll);
        let failed = |error| hook_error(&what, error);
        let mut plan = plan.clone();
        let mut left_out = Vec::new();
        for _ in 0..CREATIONS {
            let hooks = client.service_hooks(project.id.0, None).await.map_err(failed)?;
            if let Some(hook) = own(&hooks, &plan.name, &plan.url, known) {
                let how = mend(&client, project, hook, &mut plan, &mut left_out).await.map_err(failed)?;
                return Ok(Registered { id: hook.id.clone(), how, left_out });
            }
            match create(&client, project, &mut plan, &mut left_out).await {
                Ok(id) => return Ok(Registered { id, how: How::Created, left_out }),
                // It may be there all the same: look again.
                Err(error) if *error.kind() == ErrorKind::Unknown => {
                    tracing::warn!(
                        project = project.name,
                        "making the hook was not answered; looking for it"
                    );
                    // Found by its URL it is as planned, and new.
                    let hooks = client.service_hooks(project.id.0, None).await.map_err(failed)?;
                    if let Some(hook) = own(&hooks, &plan.name, &plan.url, None) {
                        return Ok(Registered { id: hook.id.clone(), how: How::Created, left_out });
                    }
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(SourceError {
            kind: SourceErrorKind::Transient,
            problem: Problem::new(
                HOOK,
                format!("Cannot {what}"),
                format!("CODING did not answer {CREATIONS} times, and the hook is not there"),
                "It is tried again; if that does not help, ask CODING's support.",
            ),
            source: None,
        })
    }

    /// The id of our own hook of a project, where there is one.
    ///
    /// # Errors
    /// When CODING cannot be asked, or the credential may not manage hooks.
    pub async fn find_hook(
        &self,
        project: &Project,
        name: &str,
        url: &SecretString,
        known: Option<&str>,
    ) -> Result<Option<String>, SourceError> {
        let what = format!("look for the hook of project `{}`", project.name);
        self.may_manage(&what)?;
        let hooks = self.at(Urgency::Poll).service_hooks(project.id.0, None).await;
        let hooks = hooks.map_err(|error| hook_error(&what, error))?;
        Ok(own(&hooks, name, url, known).map(|hook| hook.id.clone()))
    }

    /// Removes a hook from CODING; whether it was there.
    ///
    /// # Errors
    /// When CODING cannot be asked, or the credential may not manage hooks.
    pub async fn unregister(&self, project: &Project, id: &str) -> Result<bool, SourceError> {
        let what = format!("remove the hook of project `{}`", project.name);
        self.may_manage(&what)?;
        match self.at(Urgency::Poll).delete_service_hook(project.id.0, id).await {
            Ok(()) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(hook_error(&what, error)),
        }
    }

    /// Has CODING send a `PING` through a hook. That it was asked for is no proof that it arrives.
    ///
    /// # Errors
    /// When CODING cannot be asked, the credential may not manage hooks, or there is no such hook.
    pub async fn ping(&self, project: &Project, id: &str) -> Result<(), SourceError> {
        let what = format!("have the hook of project `{}` send a ping", project.name);
        self.may_manage(&what)?;
        let pinged = self.at(Urgency::Poll).ping_service_hook(project.id.0, id).await;
        pinged.map_err(|error| hook_error(&what, error))
    }

    /// How a hook stands at CODING; `None` where it does not exist.
    ///
    /// # Errors
    /// When CODING cannot be asked, or the credential may not manage hooks.
    pub async fn standing(&self, project: &Project, id: &str) -> Result<Option<HookStanding>, SourceError> {
        let what = format!("look at the hook of project `{}`", project.name);
        self.may_manage(&what)?;
        match self.at(Urgency::Poll).service_hook(project.id.0, id).await {
            Ok(hook) => Ok(Some(HookStanding {
                last_succeeded: hook.last_succeeded_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
                distorted: hook.filter.is_some() || hook.has_template,
                name: hook.name,
                enabled: hook.enabled,
                events: hook.events,
            })),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(hook_error(&what, error)),
        }
    }

    /// Fails where the credential cannot manage hooks whatever its scopes are.
    pub(super) fn may_manage(&self, what: &str) -> Result<(), SourceError> {
        match self.settings().auth {
            AuthConfig::ProjectToken(_) => Err(SourceError {
                kind: SourceErrorKind::Refused,
                problem: Problem::new(
                    HOOK,
                    format!("Cannot {what}"),
                    "a project token cannot manage Service Hooks",
                    "Put a personal token with the scope `service-hook:profile:rw` into `source.auth`, or write \
                     `register: manual` below `source.webhook`.",
                ),
                source: None,
            }),
            AuthConfig::Token(_) | AuthConfig::Oauth(_) => Ok(()),
        }
    }
}

/// The code of what goes wrong with hooks at CODING.
const HOOK: &str = "CODING-HOOK";

/// An error of the API while doing `what` with a hook.
pub(super) fn hook_error(what: impl std::fmt::Display, error: Error) -> SourceError {
    if !matches!(error.kind(), ErrorKind::Forbidden) {
        return source_error(what, error);
    }
    let problem = Problem::new(
        HOOK,
        format!("Cannot {what}"),
        "the credential may not manage Service Hooks",
        "Give the token the scope `service-hook:profile:rw`, and its user a role that may change the project's \
         settings; or write `register: manual` below `source.webhook`.",
    );
    SourceError { kind: SourceErrorKind::Refused, problem, source: Some(Box::new(error)) }
}

fn is_gone(error: &Error) -> bool {
    // An id that nobody has is also called an invalid parameter.
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidParameter)
}

/// Our own among the hooks of a project.
pub(super) fn own<'a>(
    hooks: &'a [ServiceHook],
    name: &str,
    url: &SecretString,
    known: Option<&str>,
) -> Option<&'a ServiceHook> {
    let url = url.expose_secret();
    let origin = |url: &str| Url::parse(url).map(|url| url.origin()).ok();
    let same_place = |hook: &&ServiceHook| match &hook.url {
        Some(shown) => origin(shown) == origin(url),
        // CODING does not show where it leads: the name has to do.
        None => true,
    };
    let by_id = hooks.iter().find(|hook| Some(hook.id.as_str()) == known);
    let by_url = || hooks.iter().find(|hook| hook.url.as_deref() == Some(url));
    let by_name = || hooks.iter().filter(|hook| hook.name == name).find(same_place);
    by_id.or_else(by_url).or_else(by_name)
}

/// Makes a hook, without the events that CODING refuses.
async fn create(
    client: &Client,
    project: &Project,
    plan: &mut HookPlan,
    left_out: &mut Vec<String>,
) -> Result<String, Error> {
    loop {
        match client.create_service_hook(project.id.0, &settings(plan, &plan.name)).await {
            Ok(hook) => return Ok(hook.id),
            Err(error) => leave_out(error, plan, left_out)?,
        }
    }
}

/// Sets a hook up as planned, if it is not.
async fn mend(
    client: &Client,
    project: &Project,
    hook: &ServiceHook,
    plan: &mut HookPlan,
    left_out: &mut Vec<String>,
) -> Result<How, Error> {
    loop {
        let mut what = differences(hook, plan);
        if what.is_empty() && !shows_secrets(hook, plan) && is_refused(client, project, hook).await? {
            what.push("its deliveries are refused: secret, user or password were other ones".to_owned());
        }
        if what.is_empty() {
            return Ok(How::Found);
        }
        // Its name is whatever people call it.
        match client.modify_service_hook(project.id.0, &hook.id, &settings(plan, &hook.name)).await {
            Ok(_) => return Ok(How::Repaired { what }),
            Err(error) => leave_out(error, plan, left_out)?,
        }
    }
}

/// Takes the events that CODING refused out of the plan; any other error is passed on.
fn leave_out(error: Error, plan: &mut HookPlan, left_out: &mut Vec<String>) -> Result<(), Error> {
    if !matches!(error.kind(), ErrorKind::InvalidParameter) {
        return Err(error);
    }
    let said = error.message().unwrap_or_default();
    let is_named = |event: &String| {
        said.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == event)
    };
    let is_doubtful = |event: &String| DOUBTFUL.contains(&event.as_str());
    let refused: Vec<String> = match plan.events.iter().any(is_named) {
        true => plan.events.iter().filter(|event| is_named(event)).cloned().collect(),
        false => plan.events.iter().filter(|event| is_doubtful(event)).cloned().collect(),
    };
    if refused.is_empty() || refused.len() == plan.events.len() {
        return Err(error);
    }
    plan.events.retain(|event| !refused.contains(event));
    left_out.extend(refused);
    Ok(())
}

fn settings(plan: &HookPlan, name: &str) -> HookSettings {
    HookSettings {
        name: name.to_owned(),
        url: plan.url.expose_secret().to_owned(),
        secret: plan.secret.clone(),
        basic: plan.basic.clone(),
        events: plan.events.clone(),
    }
}

/// In what a hook is not as planned, as far as CODING shows it.
pub(super) fn differences(hook: &ServiceHook, plan: &HookPlan) -> Vec<String> {
    let mut what = Vec::new();
    let mut note = |is_wrong: bool, words: &str| {
        if is_wrong {
            what.push(words.to_owned());
        }
    };
    let is_other = |shown: Option<&str>, wanted: &str| shown.is_some_and(|shown| shown != wanted);
    note(!hook.enabled, "it was switched off");
    note(is_other(hook.url.as_deref(), plan.url.expose_secret()), "its URL was another one");
    note(is_other(hook.service.as_deref(), "WebHook"), "it delivered to another service");
    note(is_other(hook.action.as_deref(), "webhook_http_post"), "it did not deliver by POST");
    note(hook.filter.is_some(), "a filter kept deliveries back");
    note(hook.has_template, "a template replaced the bodies of its deliveries");
    let (user, password) = match &plan.basic {
        Some((user, password)) => (user.as_str(), Some(password)),
        None => ("", None),
    };
    let text = |secret: Option<&SecretString>| {
        secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default()
    };
    let properties = properties(hook);
    let shown = |name: &str| shown(&properties, name);
    note(is_other(shown("token"), &text(plan.secret.as_ref())), "its secret was another one");
    // A user is shown with the URL or not at all.
    let user_differs = hook.url.is_some() && hook.username.as_deref().unwrap_or_default() != user;
    let password_differs = is_other(shown("password"), &text(password));
    note(user_differs || password_differs, "its user or password were other ones");
    let lacks = plan.events.iter().filter(|event| !hook.events.contains(event));
    let lacks: Vec<&str> = lacks.map(String::as_str).collect();
    note(!lacks.is_empty(), &format!("it lacked {}", lacks.join(", ")));
    let surplus = hook.events.iter().filter(|event| !plan.events.contains(event));
    let surplus: Vec<&str> = surplus.map(String::as_str).collect();
    note(!surplus.is_empty(), &format!("it delivered {} too", surplus.join(", ")));
    what
}

/// Whether CODING shows all secrets of the hook that the plan has, so that they have been compared.
pub(super) fn shows_secrets(hook: &ServiceHook, plan: &HookPlan) -> bool {
    let properties = properties(hook);
    (plan.secret.is_none() || shown(&properties, "token").is_some())
        && (plan.basic.is_none() || shown(&properties, "password").is_some())
}

/// Whether the newest delivery that was answered was answered 401: whoever answers holds the right secret.
pub(super) async fn is_refused(
    client: &Client,
    project: &Project,
    hook: &ServiceHook,
) -> Result<bool, Error> {
    /// Entries looked at: an answer is late by seconds only.
    const NEWEST: usize = 20;
    let logs = client.service_hook_logs(project.id.0, &hook.id);
    let mut logs = std::pin::pin!(logs);
    for _ in 0..NEWEST {
        let Some(log) = logs.try_next().await? else { break };
        if let Some(status) = log.response_status {
            return Ok(status == 401);
        }
    }
    Ok(false)
}

/// What a hook's action is set up with, which the API gives as a text of JSON.
fn properties(hook: &ServiceHook) -> Map<String, Value> {
    match hook.raw.get("ActionProperties") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(Value::Object(properties)) => properties.clone(),
        _ => Map::new(),
    }
}

/// A secret that is really shown: neither left out nor stars.
fn shown<'a>(properties: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = properties.get(name)?.as_str()?;
    (!text.is_empty() && !text.contains("***") && !text.bytes().all(|byte| byte == b'*')).then_some(text)
}
