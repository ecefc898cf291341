//! The three ways to prove who asks.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// What a client proves its identity with. Debug output shows no secret.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A personal access token, from the user's account settings. A pasted `token ` or `Bearer ` in front is
    /// taken off.
    PersonalToken(SecretString),
    /// An OAuth app's grant; the client refreshes it.
    OAuth(OAuthCredential),
    /// An OAuth access token that somebody else refreshes: good until they do.
    AccessToken(SecretString),
    /// A project token, from the project's settings: a user name and a password.
    ProjectToken {
        /// The token's user name.
        user: String,
        /// The token's password.
        password: SecretString,
    },
}

/// The grant that a person gave to an OAuth app.
#[derive(Clone, Debug)]
pub struct OAuthCredential {
    /// The app's id.
    pub client_id: String,
    /// The app's secret.
    pub client_secret: SecretString,
    /// The newest refresh token that was configured; one from the [`crate::TokenStore`] goes before it.
    pub refresh_token: SecretString,
    /// An access token that may still be good. Without it the first request refreshes.
    pub access_token: Option<SecretString>,
}

/// The credential is empty or holds characters that no header can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credential is empty or holds characters that a token never has; paste it again")]
pub(crate) struct UnusableCredential;

impl Credential {
    /// A personal access token.
    #[must_use]
    pub fn personal_token(token: &str) -> Self {
        Self::PersonalToken(SecretString::from(token))
    }

    /// The header of a credential that never changes; `None` for OAuth.
    pub(crate) fn header(&self) -> Result<Option<HeaderValue>, UnusableCredential> {
        match self {
            Self::PersonalToken(token) => sensitive("token", bare(token.expose_secret())).map(Some),
            Self::ProjectToken { user, password } => {
                let (user, password) = (user.trim(), password.expose_secret().trim());
                if user.is_empty() || password.is_empty() {
                    return Err(UnusableCredential);
                }
                sensitive("Basic", &BASE64_STANDARD.encode(format!("{user}:{password}"))).map(Some)
            }
            Self::AccessToken(token) => bearer(token).map(Some),
            Self::OAuth(_) => Ok(None),
        }
    }
}

impl OAuthCredential {
    /// The same with pasted prefixes taken off.
    pub(crate) fn checked(self) -> Result<Self, UnusableCredential> {
        let clean = |token: &SecretString| {
            let bare = bare(token.expose_secret());
            let usable = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_graphic());
            usable.then(|| SecretString::from(bare)).ok_or(UnusableCredential)
        };
        if self.client_id.trim().is_empty() {
            return Err(UnusableCredential);
        }
        Ok(Self {
            client_id: self.client_id.trim().to_owned(),
            client_secret: clean(&self.client_secret)?,
            refresh_token: clean(&self.refresh_token)?,
            access_token: self.access_token.as_ref().map(clean).transpose()?,
        })
    }
}

/// The header for an access token.
pub(crate) fn bearer(token: &SecretString) -> Result<HeaderValue, UnusableCredential> {
    sensitive("Bearer", bare(token.expose_secret()))
}

/// The token without the prefix that people paste with it.
fn bare(token: &str) -> &str {
    let token = token.trim();
    ["token", "bearer"]
        .iter()
        .find_map(|word| {
            let (front, rest) = token.split_at_checked(word.len())?;
            let ends = rest.is_empty() || rest.starts_with(char::is_whitespace);
            (front.eq_ignore_ascii_case(word) && ends).then(|| rest.trim())
        })
        .unwrap_or(token)
}

fn sensitive(scheme: &str, token: &str) -> Result<HeaderValue, UnusableCredential> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UnusableCredential);
    }
    let mut header = HeaderValue::from_str(&format!("{scheme} {token}")).map_err(|_| UnusableCredential)?;
    // Keeps it out of the debug output of the HTTP library, and out of HTTP/2's header compression.
    header.set_sensitive(true);
    Ok(header)
}

/// What of an `Authorization` header is secret: a server may echo any part of it.
pub(crate) fn spoken(header: &HeaderValue) -> Vec<String> {
    let text = String::from_utf8_lossy(header.as_bytes());
    let Some((scheme, secret)) = text.split_once(' ') else { return vec![text.into_owned()] };
    let mut secrets = vec![secret.to_owned()];
    if scheme.eq_ignore_ascii_case("basic") {
        let plain = BASE64_STANDARD.decode(secret).map(|plain| String::from_utf8_lossy(&plain).into_owned());
        let password = plain.ok().and_then(|plain| plain.split_once(':').map(|(_, word)| word.to_owned()));
        secrets.extend(password);
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::{Credential, OAuthCredential, UnusableCredential};
    use secrecy::SecretString;

    fn header(credential: &Credential) -> Result<String, UnusableCredential> {
        credential.header().map(|header| header.unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn pasted_prefixes_are_tolerated() {
        for pasted in ["abc", " abc\n", "token abc", "Token  abc", "Bearer abc", "bearer\tabc"] {
            assert_eq!(header(&Credential::personal_token(pasted)), Ok("token abc".to_owned()), "{pasted}");
        }
        assert_eq!(header(&Credential::personal_token("tokenabc")), Ok("token tokenabc".to_owned()));
    }

    #[test]
    fn a_project_token_is_basic() {
        let token = Credential::ProjectToken { user: "pt".to_owned(), password: SecretString::from("pw") };
        assert_eq!(header(&token), Ok("Basic cHQ6cHc=".to_owned()));
    }

    #[test]
    fn unusable_credentials_are_refused() {
        for text in ["", "token ", "令牌", "a b"] {
            assert_eq!(header(&Credential::personal_token(text)), Err(UnusableCredential), "{text}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let oauth = Credential::OAuth(OAuthCredential {
            client_id: "app".to_owned(),
            client_secret: SecretString::from("hidden-1"),
            refresh_token: SecretString::from("hidden-2"),
            access_token: Some(SecretString::from("hidden-3")),
        });
        let all = format!("{oauth:?} {:?}", Credential::personal_token("hidden-4").header());
        assert!(!all.contains("hidden"), "{all}");
    }
}
