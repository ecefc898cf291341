//! Who may call: personal tokens, project tokens, and OAuth tokens with their refresh.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::config::{OAuthConfig, SimConfig};
use crate::dice::Dice;

/// What an accepted credential allows.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) scopes: Vec<String>,
    /// The projects that it sees; `None` = all.
    pub(crate) projects: Option<Vec<String>>,
    /// False for project tokens: there is no user behind them.
    pub(crate) is_user: bool,
}

impl Caller {
    /// True when a scope that is held covers `needed`; `rw` covers `ro`.
    pub(crate) fn may(&self, needed: &str) -> bool {
        self.scopes.iter().any(|scope| {
            scope == needed
                || needed.strip_suffix(":ro").is_some_and(|area| scope.strip_suffix(":rw") == Some(area))
        })
    }

    /// True when the project is not outside of what the credential is for.
    pub(crate) fn sees(&self, project: &str) -> bool {
        self.projects.as_ref().is_none_or(|names| names.iter().any(|name| name == project))
    }
}

/// The tokens that are valid now.
#[derive(Debug)]
pub(crate) struct Credentials {
    dice: Dice,
    oauth: Option<OAuthState>,
}

#[derive(Debug)]
struct OAuthState {
    code: Option<String>,
    access: Option<(String, Instant)>,
    refresh: String,
}

/// The answer of the token endpoint; no envelope.
#[derive(Serialize)]
pub(crate) struct TokenAnswer {
    access_token: String,
    refresh_token: String,
    scope: String,
    team: String,
    token_type: &'static str,
    expires_in: String,
}

impl Credentials {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let oauth = config.oauth.as_ref().map(|oauth| OAuthState {
            code: oauth.code.clone(),
            access: oauth.access_token.clone().map(|token| (token, Instant::now() + life(oauth))),
            refresh: oauth.refresh_token.clone(),
        });
        Self { dice: Dice::of(config.seed, &[11]), oauth }
    }

    /// Who an `Authorization` header belongs to, `None` for nobody.
    pub(crate) fn caller(&self, config: &SimConfig, header: &str) -> Option<Caller> {
        let (scheme, rest) = header.split_once(' ')?;
        let value = rest.trim();
        match scheme {
            "token" => personal(config, value),
            "Bearer" => {
                let (token, expires) = self.oauth.as_ref()?.access.as_ref()?;
                let valid = token == value && Instant::now() < *expires;
                let scopes = config.oauth.as_ref()?.scopes.clone();
                valid.then_some(Caller { scopes, projects: None, is_user: true })
            }
            "Basic" => {
                let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
                let (user, password) = text.split_once(':')?;
                let known = config
                    .project_tokens
                    .iter()
                    .find(|entry| entry.user == user && entry.password == password)?;
                Some(Caller {
                    scopes: known.scopes.clone(),
                    projects: Some(vec![known.project.clone()]),
                    is_user: false,
                })
            }
            _ => None,
        }
    }

    /// Exchanges a code or a refresh token. The old access token dies at once.
    ///
    /// # Errors
    /// The OAuth error code when something does not fit.
    pub(crate) fn exchange(
        &mut self,
        config: &SimConfig,
        form: &[(String, String)],
    ) -> Result<TokenAnswer, &'static str> {
        let get =
            |key: &str| form.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str());
        let (Some(settings), Some(state)) = (&config.oauth, &mut self.oauth) else {
            return Err("invalid_client");
        };
        if get("client_id") != settings.client_id || get("client_secret") != settings.client_secret {
            return Err("invalid_client");
        }
        match get("grant_type") {
            // The vendor's own example refreshes with this grant type, so a refresh token is accepted here too.
            "authorization_code" if get("refresh_token").is_empty() => {
                if state.code.as_deref() != Some(get("code")) {
                    return Err("invalid_grant");
                }
                state.code = None;
            }
            "refresh_token" | "authorization_code" => {
                if state.refresh != get("refresh_token") {
                    return Err("invalid_grant");
                }
                if settings.rotate_refresh_token {
                    state.refresh = token(&mut self.dice);
                }
            }
            _ => return Err("unsupported_grant_type"),
        }
        let access = token(&mut self.dice);
        state.access = Some((access.clone(), Instant::now() + life(settings)));
        Ok(TokenAnswer {
            access_token: access,
            refresh_token: state.refresh.clone(),
            scope: settings.scopes.join(" "),
            team: config.team.clone(),
            token_type: "Bearer",
            expires_in: settings.expires_in.to_string(),
        })
    }
}

fn personal(config: &SimConfig, value: &str) -> Option<Caller> {
    if value == config.token {
        return Some(Caller { scopes: config.scopes.clone(), projects: None, is_user: true });
    }
    let known = config.more_tokens.iter().find(|entry| entry.token == value)?;
    Some(Caller { scopes: known.scopes.clone(), projects: known.projects.clone(), is_user: true })
}

fn life(oauth: &OAuthConfig) -> Duration {
    Duration::from_secs(oauth.expires_in)
}

fn token(dice: &mut Dice) -> String {
    format!("{:016x}{:016x}{:08x}", dice.bits(), dice.bits(), dice.bits() >> 32)
}
