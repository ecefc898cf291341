//! The `source` part of a configuration: what a user writes, and what it means.
//!
//! [`CodingConfig`] is the text as it stands in the file; its field docs are written for users.
//! [`CodingConfig::validate`] is pure: it returns all that is wrong at once, or [`CodingSettings`], which is
//! what the source is opened with. Nothing here connects to anything.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coding_api::BaseUrl;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::finding::Finding;

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
    /// By CODING's Service Hooks (comes with a later version).
    Webhook,
    /// By both (comes with a later version).
    Hybrid,
}

/// How often to look for changes. Times are texts such as `60s`, `15m`, `1h30m`; each is one second or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PollingConfig {
    /// Time between two looks for changed rows.
    pub interval: String,
    /// Time between two comparisons of all rows, which find deletes and whatever the looks missed.
    pub census_interval: String,
    /// How far back a look reads beyond what it has seen, because rows may show up late.
    pub look_back: String,
}

impl Default for PollingConfig {
    fn default() -> PollingConfig {
        PollingConfig {
            interval: "60s".to_owned(),
            census_interval: "15m".to_owned(),
            look_back: "24h".to_owned(),
        }
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
    /// Those of these identifiers; at least one, none twice, in the order of the file.
    Named(Vec<String>),
}

impl fmt::Debug for CodingSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodingSettings")
            .field("base_url", &self.base_url.as_str())
            .field("team", &self.team)
            .field("projects", &self.projects)
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
            ("projects", sorted(&self.projects) != sorted(&other.projects)),
            ("auth", !same_auth(&self.auth, &other.auth)),
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

fn sorted(projects: &Projects) -> Option<Vec<&str>> {
    let Projects::Named(names) = projects else { return None };
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    Some(names)
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

impl CodingConfig {
    /// What the configuration means. `at` is its path in the file (`source`); relative files are relative to
    /// `base_dir`.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn validate(&self, at: &str, base_dir: &Path) -> Result<CodingSettings, Vec<Finding>> {
        let mut findings = Vec::new();
        let address = self.address(at, &mut findings);
        let projects = self.project_choice(at, &mut findings);
        let auth = self.auth.clone();
        match &auth {
            None => findings.push(Finding::new(
                format!("{at}.auth"),
                "CONFIG-MISSING",
                "There is no credential",
                "CODING answers nothing without one",
                "Write `auth: { token: \"${CODING_TOKEN}\" }` and set the variable to a personal token.",
            )),
            Some(auth) => empty_secrets(&format!("{at}.auth"), auth, &mut findings),
        }
        if self.incremental != Incremental::Polling {
            findings.push(Finding::new(
                format!("{at}.incremental"),
                "CONFIG-LATER",
                "Service Hooks are not available",
                "this version finds changes by polling; `webhook` and `hybrid` come with a later version",
                "Write `incremental: polling`.",
            ));
        }
        let mut time = |key: &str, text: &str| {
            let path = format!("{at}.polling.{key}");
            duration(text).map_err(|why| findings.push(bad_duration(path, text, why))).ok()
        };
        let poll_interval = time("interval", &self.polling.interval);
        let census_interval = time("census_interval", &self.polling.census_interval);
        let look_back = time("look_back", &self.polling.look_back);
        self.proxy_form(at, &mut findings);
        if let (
            Some((team, base_url)),
            Some(projects),
            Some(auth),
            Some(poll_interval),
            Some(census_interval),
            Some(look_back),
            true,
        ) = (address, projects, auth, poll_interval, census_interval, look_back, findings.is_empty())
        {
            return Ok(CodingSettings {
                base_url,
                team,
                projects,
                auth,
                poll_interval,
                census_interval,
                look_back,
                details: self.details,
                rate_limit: (self.rate_limit > 0).then_some(self.rate_limit),
                allow_insecure: self.allow_insecure,
                ca_file: self.ca_file.as_ref().map(|file| base_dir.join(file)),
                proxy: self.proxy.clone(),
            });
        }
        Err(findings)
    }

    /// Team and address. Each gives the other where it can: a team lives at `https://TEAM.coding.net`, and such
    /// an address names its team. Any other address says nothing of the team, which must then be given, because
    /// it is part of the key of every row.
    fn address(&self, at: &str, findings: &mut Vec<Finding>) -> Option<(String, BaseUrl)> {
        let before = findings.len();
        let given = self.team.as_ref().map(|team| team.trim().to_ascii_lowercase());
        let of_team = given.as_deref().map(BaseUrl::for_team);
        if let Some(Err(error)) = &of_team {
            findings.push(Finding::new(
                format!("{at}.team"),
                "CONFIG-VALUE",
                "The team is not usable",
                error.to_string(),
                "Write the first part of your team's address, for example `team: acme`.",
            ));
        }
        let parsed = self.base_url.as_ref().map(|text| BaseUrl::parse(text, self.allow_insecure));
        if let Some(Err(error)) = &parsed {
            findings.push(Finding::new(
                format!("{at}.base_url"),
                "CONFIG-VALUE",
                "The address is not usable",
                error.to_string(),
                "Write it like `https://acme.coding.net`; for a private deployment add `allow_insecure: true`.",
            ));
        }
        let named = parsed.as_ref().and_then(|url| url.as_ref().ok()).and_then(team_of);
        match (&given, &named) {
            (Some(given), Some(named)) if given != named => findings.push(Finding::new(
                format!("{at}.team"),
                "CONFIG-CONTRADICTION",
                format!("`team` and `base_url` name two teams, `{given}` and `{named}`"),
                "an address of coding.net belongs to the team in its name",
                "Leave one of the two out.",
            )),
            (None, None) if parsed.is_none() => findings.push(Finding::new(
                format!("{at}.team"),
                "CONFIG-MISSING",
                "There is no team",
                "neither `team` nor `base_url` is given",
                "Write `team: acme` for https://acme.coding.net.",
            )),
            (None, None) if matches!(parsed, Some(Ok(_))) => findings.push(Finding::new(
                format!("{at}.team"),
                "CONFIG-MISSING",
                "There is no team",
                "this address does not name it, and it is part of the key of every row",
                "Add `team: NAME` beside `base_url`.",
            )),
            _ => {}
        }
        if findings.len() > before {
            return None;
        }
        let team = given.or(named)?;
        let base_url = parsed.or(of_team)?.ok()?;
        Some((team, base_url))
    }

    fn project_choice(&self, at: &str, findings: &mut Vec<Finding>) -> Option<Projects> {
        let before = findings.len();
        let path = format!("{at}.projects");
        if self.projects.is_empty() {
            findings.push(Finding::new(
                path,
                "CONFIG-MISSING",
                "No project is named",
                "the list is missing or empty",
                "Name projects by their identifiers, or write `projects: [\"*\"]` for all that the credential sees.",
            ));
            return None;
        }
        if self.projects.iter().any(|name| name == "*") {
            if self.projects.len() > 1 {
                findings.push(Finding::new(
                    path,
                    "CONFIG-CONTRADICTION",
                    "`*` stands beside other projects",
                    "it already means all that the credential sees",
                    "Write `[\"*\"]` alone, or name the projects without it.",
                ));
                return None;
            }
            return Some(Projects::All);
        }
        let mut names: Vec<String> = Vec::new();
        for (index, name) in self.projects.iter().enumerate() {
            let name = name.trim();
            if name.is_empty() || name.contains(['*', '?']) {
                findings.push(Finding::new(
                    format!("{path}[{index}]"),
                    "CONFIG-VALUE",
                    format!("`{name}` is no project identifier"),
                    "projects are named in full, without wildcards",
                    "Write the identifier as it stands in the project's address, or `[\"*\"]` for all.",
                ));
            } else if names.iter().any(|seen| seen == name) {
                findings.push(Finding::new(
                    format!("{path}[{index}]"),
                    "CONFIG-CONTRADICTION",
                    format!("`{name}` is named twice"),
                    "a project is read once",
                    "Take one of the two out.",
                ));
            } else {
                names.push(name.to_owned());
            }
        }
        (findings.len() == before).then_some(Projects::Named(names))
    }

    fn proxy_form(&self, at: &str, findings: &mut Vec<Finding>) {
        let Some(proxy) = &self.proxy else { return };
        let url = url::Url::parse(proxy.expose_secret());
        let schemes = ["http", "https", "socks5", "socks5h"];
        if !url.is_ok_and(|url| schemes.contains(&url.scheme()) && url.has_host()) {
            findings.push(Finding::new(
                format!("{at}.proxy"),
                "CONFIG-VALUE",
                "The proxy is not usable",
                "it is not an address of the form `http://`, `https://` or `socks5://`, host and port",
                "Write it like `http://proxy.example.com:3128`.",
            ));
        }
    }
}

/// The team that an address of coding.net names; `e` and `www` are everybody's.
fn team_of(url: &BaseUrl) -> Option<String> {
    let host = url.as_str().split_once("://")?.1;
    let label = host.strip_suffix(".coding.net")?;
    (!label.contains(['.', '/', ':']) && label != "e" && label != "www").then(|| label.to_owned())
}

fn empty_secrets(at: &str, auth: &AuthConfig, findings: &mut Vec<Finding>) {
    let empty = |secret: &SecretString| secret.expose_secret().trim().is_empty();
    let parts: Vec<(&str, bool)> = match auth {
        AuthConfig::Token(token) => vec![("token", empty(token))],
        AuthConfig::ProjectToken(t) => vec![
            ("project_token.user", t.user.trim().is_empty()),
            ("project_token.password", empty(&t.password)),
        ],
        AuthConfig::Oauth(o) => vec![
            ("oauth.client_id", o.client_id.trim().is_empty()),
            ("oauth.client_secret", empty(&o.client_secret)),
            ("oauth.refresh_token", empty(&o.refresh_token)),
        ],
    };
    for (key, _) in parts.into_iter().filter(|(_, is_empty)| *is_empty) {
        findings.push(Finding::new(
            format!("{at}.{key}"),
            "CONFIG-VALUE",
            "The credential is empty",
            "an empty text stands here, perhaps from an empty environment variable",
            "Set the variable, or write the value.",
        ));
    }
}

/// Why a text is no usable time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Not written as one.
    Form,
    /// Shorter than one second.
    Short,
}

/// Reads a time such as `60s`, `15m`, `24h` or `1h30m`.
///
/// # Errors
/// [`DurationError`] when the text is no time, or one below a second.
pub fn duration(text: &str) -> Result<Duration, DurationError> {
    let span: jiff::SignedDuration = text.trim().parse().map_err(|_| DurationError::Form)?;
    let time = Duration::try_from(span).map_err(|_| DurationError::Short)?;
    if time < Duration::from_secs(1) { Err(DurationError::Short) } else { Ok(time) }
}

fn bad_duration(path: String, text: &str, error: DurationError) -> Finding {
    let (what, why) = match error {
        DurationError::Form => {
            (format!("`{text}` is no time"), "a time is a number with its unit: s, m or h")
        }
        DurationError::Short => (format!("`{text}` is too short"), "one second is the least"),
    };
    Finding::new(path, "CONFIG-VALUE", what, why, "Write a time such as `60s`, `15m` or `1h30m`.")
}
