//! What a `source` means, and everything that is wrong with it, at once. Pure: connects to nothing.

use std::path::Path;
use std::time::Duration;

use coding_api::BaseUrl;
use jiff::SpanRelativeTo;
use secrecy::{ExposeSecret, SecretString};

use super::config::{AuthConfig, CodingConfig, CodingSettings, PollingConfig, Projects, WebhookSettings};
use super::hook::settings::missing_public_url;
use crate::finding::Finding;

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
        let webhook = self.hooks(at, &mut findings);
        let PollingConfig { interval, census_interval, look_back } = &self.polling;
        let mut polling = |key: &str, text: &str| time(format!("{at}.polling.{key}"), text, &mut findings);
        let poll_interval =
            polling("interval", interval.as_deref().unwrap_or(self.incremental.poll_interval()));
        let census_interval = polling(
            "census_interval",
            census_interval.as_deref().unwrap_or(self.incremental.census_interval()),
        );
        let look_back = polling("look_back", look_back);
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
                incremental: self.incremental,
                webhook,
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
        let excluded = identifiers(&format!("{at}.exclude"), &self.exclude, EXCLUDE_FIX, findings);
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
            return (findings.len() == before).then_some(match excluded {
                none if none.is_empty() => Projects::All,
                some => Projects::AllBut(some),
            });
        }
        if !self.exclude.is_empty() {
            findings.push(Finding::new(
                format!("{at}.exclude"),
                "CONFIG-CONTRADICTION",
                "Projects are left out of a list",
                "`exclude` stands beside `projects: [\"*\"]`; a list names what is read, and nothing else is",
                "Take `exclude` out, or write `projects: [\"*\"]`.",
            ));
        }
        let names = identifiers(&path, &self.projects, PROJECTS_FIX, findings);
        (findings.len() == before).then_some(Projects::Named(names))
    }

    /// How hooks are received, where they are.
    fn hooks(&self, at: &str, findings: &mut Vec<Finding>) -> Option<WebhookSettings> {
        let path = format!("{at}.webhook");
        match (&self.webhook, self.incremental.has_hooks()) {
            (Some(webhook), true) => {
                webhook.validate(&path, self.allow_insecure).map_err(|wrong| findings.extend(wrong)).ok()
            }
            (None, true) => {
                findings.push(missing_public_url(format!("{path}.public_url")));
                None
            }
            (Some(_), false) => {
                findings.push(Finding::new(
                    path,
                    "CONFIG-CONTRADICTION",
                    "Hooks are set up, but not used",
                    "`incremental: polling` finds changes without them",
                    "Write `incremental: hybrid` (or `webhook`), or take `webhook` out.",
                ));
                None
            }
            (None, false) => None,
        }
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

const PROJECTS_FIX: &str =
    "Write the identifier as it stands in the project's address, or `[\"*\"]` for all.";
const EXCLUDE_FIX: &str = "Write the identifier as it stands in the project's address.";

/// The identifiers of a list.
fn identifiers(path: &str, list: &[String], fix: &str, findings: &mut Vec<Finding>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (index, name) in list.iter().enumerate() {
        let name = name.trim();
        if name.is_empty() || name.contains(['*', '?']) {
            findings.push(Finding::new(
                format!("{path}[{index}]"),
                "CONFIG-VALUE",
                format!("`{name}` is no project identifier"),
                "projects are named in full, without wildcards",
                fix,
            ));
        } else if names.iter().any(|seen| seen == name) {
            findings.push(Finding::new(
                format!("{path}[{index}]"),
                "CONFIG-CONTRADICTION",
                format!("`{name}` is named twice"),
                "once is enough",
                "Take one of the two out.",
            ));
        } else {
            names.push(name.to_owned());
        }
    }
    names
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
enum DurationError {
    /// Not written as one.
    Form,
    /// Shorter than one second.
    Short,
}

/// Reads a time such as `60s`, `15m`, `24h`, `7d` or `1h30m`; a day has 24 hours.
fn duration(text: &str) -> Result<Duration, DurationError> {
    let span: jiff::Span = text.trim().parse().map_err(|_| DurationError::Form)?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| DurationError::Form)?;
    let time = Duration::try_from(span).map_err(|_| DurationError::Short)?;
    if time < Duration::from_secs(1) { Err(DurationError::Short) } else { Ok(time) }
}

/// The time at `path`, such as `60s`, `15m`, `7d` or `1h30m`; or what is wrong with it, among the findings.
pub fn time(path: String, text: &str, findings: &mut Vec<Finding>) -> Option<Duration> {
    let (what, why) = match duration(text) {
        Ok(time) => return Some(time),
        Err(DurationError::Form) => {
            (format!("`{text}` is no time"), "a time is a number with its unit: s, m, h or d")
        }
        Err(DurationError::Short) => (format!("`{text}` is too short"), "one second is the least"),
    };
    let fix = "Write a time such as `60s`, `15m` or `1h30m`.";
    findings.push(Finding::new(path, "CONFIG-VALUE", what, why, fix));
    None
}
