//! A simulated CODING in a process of its own, and what can be ordered from it.

use std::path::Path;
use std::time::Duration;

use coding_sim::{Applied, Counters, DEFAULT_TOKEN, Faults, HookCounters, HookFaults, MutationKind};
use reqwest::Client;
use serde_json::{Value, json};

use crate::Result;
use crate::process::Running;

/// The team that it plays.
pub(crate) const TEAM: &str = "demo";
/// Its project; the first, where it has several.
pub(crate) const PROJECT: &str = "mobile-app";

/// How it is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) issues: u32,
    /// Requests a second and action above which it refuses; 0 = no limit.
    pub(crate) rate_limit: u32,
    /// Waited before every answer.
    pub(crate) latency: Duration,
}

/// A running simulator.
#[derive(Debug)]
pub(crate) struct Simulator {
    process: Running,
    http: Client,
    url: String,
    issues: u32,
}

impl Simulator {
    /// Starts one in `dir` and waits until it listens.
    pub(crate) async fn start(dir: &Path, wish: Wish) -> Result<Simulator> {
        Simulator::of_projects(dir, wish, 1).await
    }

    /// The same with its issues spread over so many projects.
    pub(crate) async fn of_projects(dir: &Path, wish: Wish, projects: u32) -> Result<Simulator> {
        let dir = dir.join("simulator");
        std::fs::create_dir_all(&dir)?;
        let args = [
            "sim".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            format!("--team={TEAM}"),
            format!("--projects={projects}"),
            format!("--issues={}", wish.issues),
            format!("--rate-limit={}", wish.rate_limit),
            format!("--latency={}ms", wish.latency.as_millis()),
        ];
        let mut process = Running::start_beside(&dir, &args)?;
        let mut lines = process.lines()?;
        let url = loop {
            let Some(line) = lines.next_line().await? else {
                return Err(format!("the simulator did not start: {}", process.log()).into());
            };
            let words = line.split([' ', ';']);
            if let Some(url) = words.map(str::trim).find(|word| word.starts_with("http://")) {
                break url.to_owned();
            }
        };
        Ok(Simulator { process, http: Client::new(), url, issues: wish.issues })
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many issues it has, as long as nobody adds some.
    pub(crate) fn issues(&self) -> u32 {
        self.issues
    }

    /// CPU seconds so far.
    pub(crate) fn cpu(&self) -> Option<f64> {
        self.process.cpu()
    }

    /// What its server has seen.
    pub(crate) async fn counters(&self) -> Result<Counters> {
        let answer = self.http.get(format!("{}/_sim/counters", self.url)).send().await?;
        Ok(serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?)
    }

    /// How many rows a small table has.
    pub(crate) async fn count(&self, table: &str) -> Result<u64> {
        let url = format!("{}/_sim/truth?project={PROJECT}&table={table}", self.url);
        let lines = self.http.get(url).send().await?.error_for_status()?.text().await?;
        Ok(u64::try_from(lines.lines().count())?)
    }

    /// Renames an issue, as a user would.
    pub(crate) async fn rename(&self, code: u32, name: &str) -> Result<()> {
        let operation =
            json!({"op": "set_issue", "project": PROJECT, "code": code, "fields": {"name": name}});
        self.order("apply", &operation).await?;
        Ok(())
    }

    /// Makes a change of one of these kinds, by chance.
    pub(crate) async fn mutate(&self, kinds: &[MutationKind]) -> Result<Option<Applied>> {
        let done = self.order("mutate", &json!({ "count": 1, "kinds": kinds })).await?;
        Ok(serde_json::from_slice::<Vec<Applied>>(&done)?.pop())
    }

    /// Breaks requests so.
    pub(crate) async fn break_so(&self, faults: &Faults) -> Result<()> {
        self.order("faults", &json!(faults)).await?;
        Ok(())
    }

    /// Asks for an issue as another program of the team would; whether that was not refused for too many requests.
    pub(crate) fn ask_issue(&self, code: u32) -> impl Future<Output = Result<bool>> + Send + use<> {
        let body = json!({"Action": "DescribeIssue", "ProjectName": PROJECT, "IssueCode": code});
        let request = self.http.post(format!("{}/open-api", self.url)).body(body.to_string());
        let request = request.header("Authorization", format!("token {DEFAULT_TOKEN}"));
        async move {
            let answer = request.send().await?.error_for_status()?.text().await?;
            Ok(!answer.contains("RequestLimitExceeded"))
        }
    }

    /// Breaks this share of the requests in ways that pass, and this share of the hooks; 0 = none any more.
    pub(crate) async fn break_some(&self, requests: f64, hooks: f64) -> Result<()> {
        self.break_so(&Faults::transient(requests)).await?;
        let faults = HookFaults {
            drop: hooks,
            duplicate_same_id: hooks / 2.0,
            duplicate_new_id: hooks / 2.0,
            swap: hooks,
            delay: hooks,
            delay_max_ms: 10_000,
            ..HookFaults::default()
        };
        self.order("hook_faults", &json!(faults)).await?;
        Ok(())
    }

    /// What became of its hooks.
    pub(crate) async fn hook_counters(&self) -> Result<HookCounters> {
        let answer = self.http.get(format!("{}/_sim/hook_counters", self.url)).send().await?;
        Ok(serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?)
    }

    async fn order(&self, what: &str, body: &Value) -> Result<Vec<u8>> {
        let order = self.http.post(format!("{}/_sim/{what}", self.url)).body(body.to_string());
        Ok(order.send().await?.error_for_status()?.bytes().await?.into())
    }

    /// One page of 500 issues, read and thrown away; its size in bytes.
    pub(crate) async fn page(&self, number: u32) -> Result<u64> {
        let body: Value = json!({
            "Action": "DescribeIssueListWithPage", "ProjectName": PROJECT, "IssueType": "ALL",
            "SortKey": "CODE", "SortValue": "ASC", "ShowSubIssues": true, "PageNumber": number, "PageSize": 500,
        });
        let request = self.http.post(format!("{}/open-api", self.url)).body(body.to_string());
        let answer = request.header("Authorization", format!("token {DEFAULT_TOKEN}")).send().await?;
        Ok(u64::try_from(answer.error_for_status()?.bytes().await?.len())?)
    }

    /// Lists all issues once, so that the first run finds it as warm as the second; bytes an issue.
    pub(crate) async fn warm(&self) -> Result<u64> {
        let mut bytes = 0_u64;
        for number in 1..=self.issues.div_ceil(500) {
            bytes = bytes.saturating_add(self.page(number).await?);
        }
        Ok(bytes / u64::from(self.issues.max(1)))
    }
}
