//! Setting up Service Hooks: the actions, one method each. They need the scope `service-hook:profile:rw`.
//!
//! All of them may be repeated after a lost answer, except creating: a hook made twice delivers twice. What an
//! error says never quotes what a hook is set up with. How answers are read is in `answers.rs`, what deliveries
//! are is in [`crate::hook`].

pub(crate) mod answers;

use std::collections::HashSet;
use std::fmt;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::actions::params;
use crate::client::Client;
use crate::client::ask::Ask;
use crate::error::{Error, ErrorKind};
use crate::issues::PageSize;
use crate::row::Row;
pub use answers::{EventOffer, HookLog, ServiceHook};

/// How a hook is to be set up: a POST of every event as CODING words it, without filter and template. Debug
/// output shows no secret.
#[derive(Clone)]
pub struct HookSettings {
    /// Under which name it stands in the project's settings.
    pub name: String,
    /// Where it delivers to. Whoever knows it can knock there, so it is treated as a secret.
    pub url: String,
    /// The key of its signatures.
    pub secret: Option<SecretString>,
    /// User and password of HTTP Basic.
    pub basic: Option<(String, SecretString)>,
    /// The event codes, see [`crate::hook::EVENTS`].
    pub events: Vec<String>,
}

/// Rows of a page; hooks and logs are few, and a log holds a whole body.
const PAGE_SIZE: u32 = 100;

impl Client {
    /// Makes an enabled hook in the project with this id (`CreateServiceHook`).
    ///
    /// # Errors
    /// Those of the request. [`ErrorKind::Unknown`] means that the answer was lost: list the hooks before trying
    /// again, it may be there.
    pub async fn create_service_hook(
        &self,
        project_id: i64,
        settings: &HookSettings,
    ) -> Result<ServiceHook, Error> {
        let ask = Ask { repeatable: false, secrets: settings.secrets(), ..Ask::read(HOOK) };
        self.hook("CreateServiceHook", &settings.params(project_id), &ask).await
    }

    /// Sets a hook up anew and enables it (`ModifyServiceHook`).
    ///
    /// # Errors
    /// Those of the request.
    pub async fn modify_service_hook(
        &self,
        project_id: i64,
        id: &str,
        settings: &HookSettings,
    ) -> Result<ServiceHook, Error> {
        let mut params = settings.params(project_id);
        params.insert("Id".to_owned(), id.into());
        // Required here, unlike at creation.
        params.insert("FilterProperty".to_owned(), "{}".into());
        let ask = Ask { secrets: settings.secrets(), ..Ask::read(HOOK) };
        self.hook("ModifyServiceHook", &params, &ask).await
    }

    /// The hooks of the project with this id (`DescribeServiceHooks`), all pages; those whose name holds `name`,
    /// if one is given.
    ///
    /// # Errors
    /// Those of the requests.
    pub async fn service_hooks(
        &self,
        project_id: i64,
        name: Option<&str>,
    ) -> Result<Vec<ServiceHook>, Error> {
        const ACTION: &str = "DescribeServiceHooks";
        let mut params = params(json!({ "ProjectId": project_id, "TargetType": PROJECT }));
        if let Some(name) = name {
            params.insert("Name".to_owned(), name.into());
        }
        let (mut seen, mut hooks) = (HashSet::new(), Vec::new());
        let mut rows = std::pin::pin!(self.rows(ACTION, params));
        while let Some(row) = rows.try_next().await? {
            let hook = ServiceHook::read(row).ok_or_else(|| Error::new(ErrorKind::Protocol, ACTION))?;
            // Pages drift while hooks come and go.
            if seen.insert(hook.id.clone()) {
                hooks.push(hook);
            }
        }
        Ok(hooks)
    }

    /// One hook (`DescribeServiceHook`).
    ///
    /// # Errors
    /// Those of the request.
    pub async fn service_hook(&self, project_id: i64, id: &str) -> Result<ServiceHook, Error> {
        let params = params(json!({ "ProjectId": project_id, "Id": id, "TargetType": PROJECT }));
        self.hook("DescribeServiceHook", &params, &Ask::read(HOOK)).await
    }

    /// Deletes a hook (`DeleteServiceHook`).
    ///
    /// # Errors
    /// Those of the request. One that is not there is [`ErrorKind::NotFound`], unless an earlier attempt of this
    /// call may have deleted it.
    pub async fn delete_service_hook(&self, project_id: i64, id: &str) -> Result<(), Error> {
        let done = self.command("DeleteServiceHook", &one_hook(project_id, id), SUCCEED).await;
        match done {
            Err(error) if *error.kind() == ErrorKind::NotFound && error.attempts() > 1 => Ok(()),
            done => done,
        }
    }

    /// Switches a hook on or off (`EnabledServiceHook`).
    ///
    /// # Errors
    /// Those of the request.
    pub async fn enable_service_hook(&self, project_id: i64, id: &str, enabled: bool) -> Result<(), Error> {
        let mut params = one_hook(project_id, id);
        params.insert("Enabled".to_owned(), enabled.into());
        self.command("EnabledServiceHook", &params, SUCCEED).await
    }

    /// Makes a hook deliver a `PING` (`PingServiceHook`). A success only says that CODING will try.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn ping_service_hook(&self, project_id: i64, id: &str) -> Result<(), Error> {
        self.command("PingServiceHook", &one_hook(project_id, id), SUCCEED).await
    }

    /// What a hook sent and how it was answered (`DescribeServiceHookLogs`), in CODING's order: the newest
    /// first, as far as is known. Pages are read as the stream is polled; while deliveries go on, an entry may
    /// come twice. After an error the stream ends.
    pub fn service_hook_logs(
        &self,
        project_id: i64,
        id: &str,
    ) -> impl Stream<Item = Result<HookLog, Error>> + Send + use<> {
        const ACTION: &str = "DescribeServiceHookLogs";
        let params = params(json!({ "ProjectId": project_id, "Id": id, "TargetType": PROJECT }));
        self.rows(ACTION, params)
            .map(|row| HookLog::read(row?).ok_or_else(|| Error::new(ErrorKind::Protocol, ACTION)))
    }

    /// Delivers once more what a log entry holds (`ResendServiceHookLog`). Whether under the same delivery id
    /// is not known.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn resend_service_hook_log(&self, log_id: &str) -> Result<(), Error> {
        let params = params(json!({ "ServiceHookLogId": log_id }));
        self.command("ResendServiceHookLog", &params, &["Data", "data"]).await
    }

    /// The events that hooks of this team can have (`DescribeEvents`); empty if CODING does not say.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn events(&self) -> Result<Vec<EventOffer>, Error> {
        let ask = Ask { bare: true, ..Ask::read(&["Event"]) };
        let reply = self.ask::<Option<Vec<Row>>>("DescribeEvents", &Map::new(), &ask).await?;
        Ok(reply.value.unwrap_or_default().iter().filter_map(EventOffer::read).collect())
    }

    async fn hook(
        &self,
        action: &'static str,
        params: &Map<String, Value>,
        ask: &Ask,
    ) -> Result<ServiceHook, Error> {
        let row = self.ask::<Row>(action, params, ask).await?.value;
        let unread = if ask.repeatable { ErrorKind::Protocol } else { ErrorKind::Unknown };
        ServiceHook::read(row).ok_or_else(|| Error::new(unread, action).because("a hook without an id"))
    }

    /// An action that is answered with whether it was done, or with nothing where it was.
    async fn command(
        &self,
        action: &'static str,
        params: &Map<String, Value>,
        keys: &'static [&'static str],
    ) -> Result<(), Error> {
        let ask = Ask { bare: true, ..Ask::read(keys) };
        let said = self.ask::<Value>(action, params, &ask).await?.value;
        if answers::denies(&said) {
            return Err(Error::new(ErrorKind::Other, action).because("it answered that it was not done"));
        }
        Ok(())
    }

    fn rows(
        &self,
        action: &'static str,
        params: Map<String, Value>,
    ) -> impl Stream<Item = Result<Row, Error>> + Send + use<> {
        let size = PageSize::new(PAGE_SIZE).expect("a page size within the limits");
        let pages = self.listing(action, params, "Id").with_page_size(size).stream(1);
        pages.map_ok(|page| futures::stream::iter(page.rows.into_iter().map(Ok))).try_flatten()
    }
}

const PROJECT: &str = "PROJECT";
const HOOK: &[&str] = &["ServiceHook"];
const SUCCEED: &[&str] = &["Succeed", "Success"];

fn one_hook(project_id: i64, id: &str) -> Map<String, Value> {
    params(json!({ "ProjectId": project_id, "Id": [id], "TargetType": PROJECT }))
}

impl HookSettings {
    fn params(&self, project_id: i64) -> Map<String, Value> {
        let (user, password) = match &self.basic {
            Some((user, password)) => (user.as_str(), password.expose_secret()),
            None => ("", ""),
        };
        let properties = json!({
            "service_url": self.url,
            "token": self.secret.as_ref().map_or("", |secret| secret.expose_secret()),
            "username": user,
            "password": password,
            "headers": "",
            "template": "",
        });
        params(json!({
            "ProjectId": project_id,
            "TargetType": PROJECT,
            "Name": self.name,
            "Service": SERVICE,
            "ServiceAction": ACTION,
            "ActionProperty": properties.to_string(),
            "Event": self.events,
            "Enabled": true,
        }))
    }

    /// What no error may quote: the secrets, and the last part of the URL.
    fn secrets(&self) -> Vec<String> {
        let password = self.basic.as_ref().map(|(_, password)| password);
        let secrets = self.secret.iter().chain(password).map(|secret| secret.expose_secret().to_owned());
        let path = self.url.rsplit('/').next().unwrap_or_default();
        secrets.chain([path.to_owned()]).collect()
    }
}

impl fmt::Debug for HookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookSettings")
            .field("name", &self.name)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// The kind of hook that delivers to any URL.
const SERVICE: &str = "WebHook";
/// Its action that has a body.
const ACTION: &str = "webhook_http_post";
