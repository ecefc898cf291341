//! The `source` part of a configuration: what a user writes, and what it means.
//!
//! [`CodingConfig`] is the text as it stands in the file; its field docs are written for users.
//! [`CodingConfig::validate`] (in `validate`) is pure: it returns all that is wrong at once, or
//! [`CodingSettings`], which is what the source is opened with. Nothing here connects to anything.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use coding_api::BaseUrl;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

pub use super::hook::settings::{BasicConfig, Register, WebhookConfig, WebhookSettings};
pub use super::validate::time;

/// Where rows come from: one team of CODING.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodingConfig {
    /// The team: the first part of `https://acme.coding.net`.
    #[serde(default)]
    pub team: Option<String>,
    /// The address of a private deployment or of the simulator; without it `https://TEAM.coding.net`.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Identifiers of the projects to read, or `["*"]` for all that the credential sees.
    #[serde(default)]
    pub projects: Vec<String>,
    /// With `projects: ["*"]`: identifiers of projects to leave out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The credential: one of `token`, `project_token` and `oauth`.
    #[serde(default)]
    #[schemars(with = "AuthConfig")]
    pub auth: Option<AuthConfig>,
    /// How changes are found.
    #[serde(default)]
    pub incremental: Incremental,
    /// How often to look for changes.
    #[serde(default)]
    pub polling: PollingConfig,
    /// How CODING's Service Hook reaches tributary; with `incremental: webhook` or `hybrid`.
    #[serde(default)]
    #[schemars(with = "WebhookConfig")]
    pub webhook: Option<WebhookConfig>,
    /// When to fetch what listings do not show: `background` writes a row at once and its detail later,
    /// `eager` writes it only together with its detail, `off` does without.
    #[serde(default)]
    pub details: Details,
    /// Requests per second, team and action; 0 = no limit.
    #[serde(default = "default_rate_limit")]
    #[schemars(range(max = 1_000_000))]
    pub rate_limit: u32,
    /// Allow plain http and hosts that are not public: for a private deployment.
    #[serde(default)]
    pub allow_insecure: bool,
    /// A file with certificates (PEM) to trust beside those of the system: for a private deployment.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy to go through: `http://`, `https://` or `socks5://` and host and port.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub proxy: Option<SecretString>,
}

/// A credential.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthConfig {
    /// A personal token.
    Token(#[schemars(with = "String")] SecretString),
    /// A project token: a user and a password for one project.
    ProjectToken(ProjectTokenConfig),
    /// An OAuth application that a user has authorised.
    Oauth(OauthConfig),
}

/// A project token.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectTokenConfig {
    /// The user part of the token.
    pub user: String,
    /// The password part of the token.
    #[schemars(with = "String")]
    pub password: SecretString,
}

/// An OAuth application and what a user's authorisation gave.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OauthConfig {
    /// The application's id.
    pub client_id: String,
    /// The application's secret.
    #[schemars(with = "String")]
    pub client_secret: SecretString,
    /// The refresh token.
    #[schemars(with = "String")]
    pub refresh_token: SecretString,
    /// An access token, if one is at hand; otherwise the first refresh gets one.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub access_token: Option<SecretString>,
}

/// How changes are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Incremental {
    /// By looking again and again.
    #[default]
    Polling,
    /// By CODING's Service Hooks, which say what changed within the second; looked for at the start and once a
    /// day only.
    Webhook,
    /// By both: hooks for speed, looking again for what no hook said.
    Hybrid,
}

impl Incremental {
    /// Whether hooks are received.
    #[must_use]
    pub fn has_hooks(self) -> bool {
        self != Incremental::Polling
    }

    /// The time between two polls where the configuration does not say.
    pub(super) fn poll_interval(self) -> &'static str {
        match self {
            Incremental::Polling => "60s",
            Incremental::Webhook => "24h",
            Incremental::Hybrid => "10m",
        }
    }

    /// The time between two censuses where the configuration does not say.
    pub(super) fn census_interval(self) -> &'static str {
        match self {
            Incremental::Polling => "15m",
            Incremental::Webhook => "24h",
            Incremental::Hybrid => "1h",
        }
    }
}

/// How often to look for changes. Times are texts such as `60s`, `15m`, `1h30m`; each is one second or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PollingConfig {
    /// Time between two looks for changed rows; without it `60s`, with hooks `10m` (`hybrid`) or `24h`
    /// (`webhook`).
    #[schemars(with = "String")]
    pub interval: Option<String>,
    /// Time between two comparisons of all rows, which find deletes and whatever the looks missed; without it
    /// `15m`, with hooks `1h` (`hybrid`) or `24h` (`webhook`).
    #[schemars(with = "String")]
    pub census_interval: Option<String>,
    /// How far back a look reads beyond what it has seen, because rows may show up late.
    pub look_back: String,
}

impl Default for PollingConfig {
    fn default() -> PollingConfig {
        PollingConfig { interval: None, census_interval: None, look_back: "24h".to_owned() }
    }
}

/// When to fetch what listings do not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Details {
    /// A row is written at once, its detail later.
    #[default]
    Background,
    /// A row is written only together with its detail.
    Eager,
    /// Only what listings show.
    Off,
}

/// Below the 30 requests per second at which CODING refuses, with room for other clients of the team.
fn default_rate_limit() -> u32 {
    25
}

/// A source as it is opened: validated, with all defaults filled in.
#[derive(Clone)]
pub struct CodingSettings {
    /// Where the team lives.
    pub base_url: BaseUrl,
    /// The team, lower-case: the `TeamName` of every row.
    pub team: String,
    /// Which projects to read.
    pub projects: Projects,
    /// The credential.
    pub auth: AuthConfig,
    /// How changes are found.
    pub incremental: Incremental,
    /// How hooks are received; with [`Incremental::has_hooks`] and only then.
    pub webhook: Option<WebhookSettings>,
    /// Time between two polls; one second or more.
    pub poll_interval: Duration,
    /// Time between two censuses; one second or more.
    pub census_interval: Duration,
    /// How far back a poll reads beyond its watermark; one second or more.
    pub look_back: Duration,
    /// When details are fetched.
    pub details: Details,
    /// Requests per second, team and action; `None` = no limit.
    pub rate_limit: Option<u32>,
    /// Whether plain http and private hosts are allowed.
    pub allow_insecure: bool,
    /// Certificates to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// The proxy; a secret, because it may hold a password.
    pub proxy: Option<SecretString>,
}

/// Which projects to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projects {
    /// All that the credential sees.
    All,
    /// All that the credential sees but those of these identifiers; at least one, none twice.
    AllBut(Vec<String>),
    /// Those of these identifiers; at least one, none twice, in the order of the file.
    Named(Vec<String>),
}

impl Projects {
    /// Whether a project of this identifier is left out of all that the credential sees.
    #[must_use]
    pub fn excludes(&self, name: &str) -> bool {
        matches!(self, Projects::AllBut(out) if out.iter().any(|excluded| excluded.eq_ignore_ascii_case(name)))
    }
}

impl fmt::Debug for CodingSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodingSettings")
            .field("base_url", &self.base_url.as_str())
            .field("team", &self.team)
            .field("projects", &self.projects)
            .field("incremental", &self.incremental)
            .field("webhook", &self.webhook)
            .field("details", &self.details)
            .field("rate_limit", &self.rate_limit)
            .finish_non_exhaustive()
    }
}

impl CodingSettings {
    /// The keys of the configuration in which two sources differ; empty when they are the same. Secrets are
    /// compared and never shown.
    #[must_use]
    pub fn differences(&self, other: &CodingSettings) -> Vec<&'static str> {
        let secret = |s: &Option<SecretString>| s.as_ref().map(|s| s.expose_secret().to_owned());
        let polling = |s: &CodingSettings| (s.poll_interval, s.census_interval, s.look_back);
        let checks = [
            ("team", self.team != other.team),
            ("base_url", self.base_url != other.base_url),
            ("projects", named(&self.projects) != named(&other.projects)),
            ("exclude", excluded(&self.projects) != excluded(&other.projects)),
            ("auth", !same_auth(&self.auth, &other.auth)),
            ("incremental", self.incremental != other.incremental),
            ("webhook", !same_webhook(self.webhook.as_ref(), other.webhook.as_ref())),
            ("polling", polling(self) != polling(other)),
            ("details", self.details != other.details),
            ("rate_limit", self.rate_limit != other.rate_limit),
            ("allow_insecure", self.allow_insecure != other.allow_insecure),
            ("ca_file", self.ca_file != other.ca_file),
            ("proxy", secret(&self.proxy) != secret(&other.proxy)),
        ];
        checks.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

fn same_webhook(a: Option<&WebhookSettings>, b: Option<&WebhookSettings>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn named(projects: &Projects) -> Option<Vec<&str>> {
    match projects {
        Projects::Named(names) => Some(sorted(names)),
        Projects::All | Projects::AllBut(_) => None,
    }
}

fn excluded(projects: &Projects) -> Option<Vec<&str>> {
    match projects {
        Projects::AllBut(names) => Some(sorted(names)),
        Projects::All | Projects::Named(_) => None,
    }
}

fn sorted(names: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn same_auth(a: &AuthConfig, b: &AuthConfig) -> bool {
    let same = |a: &SecretString, b: &SecretString| a.expose_secret() == b.expose_secret();
    match (a, b) {
        (AuthConfig::Token(a), AuthConfig::Token(b)) => same(a, b),
        (AuthConfig::ProjectToken(a), AuthConfig::ProjectToken(b)) => {
            a.user == b.user && same(&a.password, &b.password)
        }
        (AuthConfig::Oauth(a), AuthConfig::Oauth(b)) => {
            let access = match (&a.access_token, &b.access_token) {
                (Some(a), Some(b)) => same(a, b),
                (a, b) => a.is_none() && b.is_none(),
            };
            a.client_id == b.client_id
                && same(&a.client_secret, &b.client_secret)
                && same(&a.refresh_token, &b.refresh_token)
                && access
        }
        _ => false,
    }
}
