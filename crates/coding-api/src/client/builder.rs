//! How a client is put together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use url::Url;

use super::resolve::GuardedResolver;
use super::{Client, Inner};
use crate::auth::Authority;
use crate::auth::credential::Credential;
use crate::auth::store::{MemoryTokenStore, TokenStore};
use crate::base_url::BaseUrl;
use crate::budget::{Budget, Budgets, DEFAULT_RATE};
use crate::clock::{Clock, SystemClock};
use crate::retry::RetryPolicy;
use crate::trust::{self, NamedCertificates};

/// How long one attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, encryption included.
    pub connect: Duration,
    /// Without a single byte coming in.
    pub read: Duration,
    /// The whole attempt, up to the last byte of the body.
    pub total: Duration,
}

impl Default for Timeouts {
    /// The vendor's gateway gives up after 5 to 12 seconds; the rest is for slow lines and large pages.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(20),
            total: Duration::from_secs(60),
        }
    }
}

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The credential cannot be put into a header.
    #[error("the credential is empty or holds characters that a token never has; paste it again")]
    Credential,
    /// The CA file cannot be read.
    #[error("cannot read the CA file {}: {source}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The CA file holds no certificate.
    #[error("the CA file {} holds no PEM certificate", path.display())]
    CaFormat {
        /// The file.
        path: PathBuf,
    },
    /// The proxy's address is no URL that can be used.
    #[error("the proxy is not a URL such as http://proxy.example.com:3128 or socks5h://127.0.0.1:1080")]
    Proxy,
    /// No certificate authority is trusted: the machine has none, and no CA file is named.
    #[error("cannot prepare encrypted connections: {cause}")]
    NoCa {
        /// What the library says.
        cause: String,
    },
    /// The TLS library refused its settings.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] rustls::Error),
    /// The HTTP library refused its settings.
    #[error("cannot set up HTTP: {}", innermost(.0))]
    Http(#[source] reqwest::Error),
}

/// What an error says at its bottom: the outer ones say only that something went wrong.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => innermost(source),
        None => error.to_string(),
    }
}

/// What the HTTP library's refusal means.
fn refused(error: reqwest::Error) -> ClientError {
    match error.is_builder().then(|| innermost(&error)) {
        Some(cause) if cause.contains("CA certificates") => ClientError::NoCa { cause },
        _ => ClientError::Http(error),
    }
}

/// Puts a [`Client`] together. See [`Client::builder`].
#[must_use]
pub struct ClientBuilder {
    base: BaseUrl,
    credential: Credential,
    budget: Option<Budget>,
    store: Option<Arc<dyn TokenStore>>,
    clock: Arc<dyn Clock>,
    ca_file: Option<PathBuf>,
    proxy: Option<String>,
    timeouts: Timeouts,
    retries: RetryPolicy,
}

impl ClientBuilder {
    pub(super) fn new(base: BaseUrl, credential: Credential) -> Self {
        Self {
            base,
            credential,
            budget: None,
            store: None,
            clock: Arc::new(SystemClock),
            ca_file: None,
            proxy: None,
            timeouts: Timeouts::default(),
            retries: RetryPolicy::default(),
        }
    }

    /// Spends from this budget. Without it the client has one of its own at [`DEFAULT_RATE`], which is right
    /// only when nothing else in the process talks to the same team.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Where rotated OAuth tokens are kept. Without it they are lost with the client, and a person may have to
    /// authorise again.
    pub fn token_store(mut self, store: Arc<dyn TokenStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Wall time, for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// A PEM file with certificates to trust beside those of the system, for a private deployment: authorities, or the
    /// server's own as it stands.
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.ca_file = Some(path.as_ref().to_owned());
        self
    }

    /// Sends everything through this proxy: `http://`, `https://`, `socks5://` or `socks5h://`. The proxy then
    /// looks up the host's name itself. Proxies in environment variables are not used.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// How long one attempt may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How often and how patiently a failed request is repeated.
    pub fn retries(mut self, retries: RetryPolicy) -> Self {
        self.retries = retries;
        self
    }

    /// Builds it. Nothing is sent yet.
    ///
    /// # Errors
    /// A credential, CA file or proxy that cannot be used.
    pub fn build(self) -> Result<Client, ClientError> {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.timeouts.connect)
            .read_timeout(self.timeouts.read)
            .timeout(self.timeouts.total)
            // A redirect would carry the credential to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            // Repeats inside the HTTP library would bypass the budget.
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy();
        // Where nothing is encrypted the machine needs no certificate authorities.
        let mut encrypted = self.base.as_str().starts_with("https:");
        let mut proxy_host = None;
        if let Some(proxy) = &self.proxy {
            let url = Url::parse(proxy).map_err(|_| ClientError::Proxy)?;
            proxy_host = url.host_str().map(str::to_owned);
            encrypted |= url.scheme() == "https";
            http = http.proxy(reqwest::Proxy::all(url).map_err(|_| ClientError::Proxy)?);
        }
        http = http.dns_resolver(GuardedResolver { reach: self.base.reach(), proxy: proxy_host });
        if !encrypted {
            http = http.tls_certs_only([]);
        }
        if let Some(path) = self.ca_file {
            let pem =
                std::fs::read(&path).map_err(|source| ClientError::CaFile { path: path.clone(), source })?;
            let named = NamedCertificates::new(&pem).map_err(|_| ClientError::CaFormat { path })?;
            http = http.tls_backend_preconfigured(tls(named).map_err(ClientError::Tls)?);
        }
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryTokenStore::new()));
        let authority = Authority::new(&self.base, self.credential, store, Arc::clone(&self.clock))
            .map_err(|_| ClientError::Credential)?;
        let budget = self.budget.unwrap_or_else(|| Budgets::new().share(&self.base, "", DEFAULT_RATE));
        let http = http.build().map_err(refused)?;
        Ok(Client::new(Inner::new(http, self.base, authority, budget, self.retries, self.clock)))
    }
}

/// TLS that believes the named certificates beside those of the system, and speaks HTTP/2 where the server does.
fn tls(named: NamedCertificates) -> Result<ClientConfig, rustls::Error> {
    let provider = trust::provider();
    // A machine may have none.
    let named = match rustls_platform_verifier::Verifier::new(Arc::clone(&provider)) {
        Ok(system) => named.beside(Arc::new(system)),
        Err(_) => named,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(named))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
