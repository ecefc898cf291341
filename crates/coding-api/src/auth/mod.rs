//! Who asks: credentials, the `Authorization` header made of them, and the refresh of OAuth tokens.
//!
//! The credential belongs to the client instance; nothing here is shared between clients. Start with
//! [`Authority`].

pub(crate) mod credential;
pub(crate) mod oauth;
pub(crate) mod store;

use std::sync::Arc;

use reqwest::header::HeaderValue;

use crate::base_url::BaseUrl;
use crate::clock::Clock;
use crate::error::Error;
use credential::Credential;
use oauth::OAuth;
use store::TokenStore;

/// Gives each request its `Authorization` header.
#[derive(Debug)]
pub(crate) enum Authority {
    /// Personal and project tokens never change, nor does an access token that others refresh.
    Fixed(HeaderValue),
    /// Rotates.
    OAuth(Box<OAuth>),
}

/// The header of one request, and which token it was made of.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) header: HeaderValue,
    /// Counts the tokens of this client; a refused request names it, so that a token that was replaced
    /// meanwhile is not refreshed again.
    pub(crate) generation: u64,
}

impl Authority {
    pub(crate) fn new(
        base: &BaseUrl,
        credential: Credential,
        store: Arc<dyn TokenStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, credential::UnusableCredential> {
        match credential.header()? {
            Some(header) => Ok(Self::Fixed(header)),
            None => match credential {
                Credential::OAuth(app) => {
                    Ok(Self::OAuth(Box::new(OAuth::new(base.oauth(), app.checked()?, store, clock))))
                }
                Credential::PersonalToken(_)
                | Credential::AccessToken(_)
                | Credential::ProjectToken { .. } => Err(credential::UnusableCredential),
            },
        }
    }

    /// The header to send now. Refreshes first when it is time.
    ///
    /// # Errors
    /// Those of a refresh.
    pub(crate) async fn ticket(&self, http: &reqwest::Client) -> Result<Ticket, Error> {
        match self {
            Self::Fixed(header) => Ok(Ticket { header: header.clone(), generation: 0 }),
            Self::OAuth(oauth) => oauth.ticket(http).await,
        }
    }

    /// CODING rejected the token of this generation. `true` if there is another one to try now.
    ///
    /// # Errors
    /// Those of a refresh.
    pub(crate) async fn refused(&self, http: &reqwest::Client, generation: u64) -> Result<bool, Error> {
        match self {
            Self::Fixed(_) => Ok(false),
            Self::OAuth(oauth) => oauth.refused(http, generation).await.map(|()| true),
        }
    }

    /// Waits for a refresh under way, so that its token is stored before the process ends.
    pub(crate) async fn settle(&self) {
        if let Self::OAuth(oauth) = self {
            oauth.settle().await;
        }
    }
}
