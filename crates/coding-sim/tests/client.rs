//! A bare HTTP client, so that nothing hides what the simulator sends.

use coding_sim::{DEFAULT_TOKEN, Sim, SimConfig};
use reqwest::{Client, Response};
use serde_json::{Value, json};

/// A running simulator and a client for it.
pub(crate) struct Bench {
    pub(crate) sim: Sim,
    pub(crate) http: Client,
    pub(crate) authorization: String,
}

impl Bench {
    /// A simulator without a rate limit, changed by `change`.
    pub(crate) async fn start(change: impl FnOnce(&mut SimConfig)) -> Self {
        let mut config = SimConfig { rate_limit: 0, ..SimConfig::default() };
        change(&mut config);
        let sim = Sim::start(config).await.unwrap();
        let http = Client::builder().no_gzip().build().unwrap();
        Self { sim, http, authorization: format!("token {DEFAULT_TOKEN}") }
    }

    /// Sends an action and answers the raw response.
    pub(crate) async fn send(&self, action: &str, mut fields: Value) -> reqwest::Result<Response> {
        fields["Action"] = json!(action);
        self.http
            .post(format!("{}/open-api", self.sim.url()))
            .header("Authorization", &self.authorization)
            .header("Content-Type", "application/json")
            .body(fields.to_string())
            .send()
            .await
    }

    /// Sends an action and answers the whole body.
    pub(crate) async fn body(&self, action: &str, fields: Value) -> Value {
        let text = self.send(action, fields).await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{action}: {error}: {text}"))
    }

    /// Sends an action that must succeed and answers what is under `Response`.
    pub(crate) async fn ok(&self, action: &str, fields: Value) -> Value {
        let body = self.body(action, fields).await;
        assert!(body["Response"]["Error"].is_null(), "{action}: {body}");
        assert!(body["Response"]["RequestId"].is_string(), "{action}: {body}");
        body["Response"].clone()
    }

    /// Sends an action that must fail and answers the error's code.
    pub(crate) async fn refused(&self, action: &str, fields: Value) -> String {
        let body = self.body(action, fields).await;
        body["Response"]["Error"]["Code"].as_str().unwrap_or_else(|| panic!("{action}: {body}")).to_owned()
    }

    /// Asks the admin API.
    pub(crate) async fn admin(&self, path: &str, body: Value) -> Value {
        let response =
            self.http.post(format!("{}/_sim/{path}", self.sim.url())).body(body.to_string()).send().await;
        let text = response.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }
}
