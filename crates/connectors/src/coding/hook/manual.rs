//! How a person makes the hook on CODING's settings page.

use engine::source::Project;
use secrecy::{ExposeSecret, SecretString};

use super::super::config::CodingSettings;
use super::super::source::CodingSource;

impl CodingSource {
    /// The page of a project on which its hooks are made.
    #[must_use]
    pub fn hook_page(&self, project: &Project) -> String {
        hook_page(self.settings(), project)
    }

    /// What to do on CODING's settings page to make the hook by hand. Shows URL and secrets: for the terminal of
    /// whoever sets it up, and for nothing else.
    #[must_use]
    pub fn manual_steps(
        &self,
        project: &Project,
        url: &SecretString,
        secret: Option<&SecretString>,
        basic: Option<&(String, SecretString)>,
    ) -> String {
        steps(self.settings(), project, url, secret, basic)
    }
}

fn hook_page(settings: &CodingSettings, project: &Project) -> String {
    let base = settings.base_url.as_str();
    let host = base.split_once("://").map_or(base, |(_, host)| host);
    // `e.coding.net` and the like answer for every team, but have no pages.
    let site = match host.ends_with(".coding.net") {
        true => format!("https://{}.coding.net", settings.team),
        false => base.to_owned(),
    };
    format!("{site}/p/{}/setting/webhook", project.name)
}

pub(super) fn steps(
    settings: &CodingSettings,
    project: &Project,
    url: &SecretString,
    secret: Option<&SecretString>,
    basic: Option<&(String, SecretString)>,
) -> String {
    let (user, password) = match basic {
        Some((user, password)) => (user.as_str(), password.expose_secret()),
        None => (EMPTY, EMPTY),
    };
    let (name, page) = (&project.name, hook_page(settings, project));
    let (url, secret) = (url.expose_secret(), secret.map_or(EMPTY, ExposeSecret::expose_secret));
    format!(
        "Set up the Service Hook of project {name}:

  1. Open {page}
     (project settings, developer options, Service Hook; 项目设置 → 开发者选项 → Service Hook).
  2. Click \"New Service Hook\" (新建 Service Hook) and choose the service \"Webhook\".
  3. Choose all events of issues (事项), iterations (迭代) and members (项目成员). For the table Events choose
     also those of code, merge requests, builds and whatever else it is to have. Set no filter (过滤条件).
  4. Choose the action \"send an HTTP POST request\" (发送 HTTP POST 请求) and enter:
       service URL (服务 URL): {url}
       signature token (签名令牌): {secret}
       user (用户名): {user}
       password (密码): {password}
       HTTP headers (HTTP 请求头): {EMPTY}
       custom template (自定义模板): {EMPTY}
  5. Click \"Test\" (测试) while tributary runs: CODING sends a ping. Save the hook and leave it switched on.

`tributary hooks PIPELINE.yaml list` shows the ping once it has arrived.
"
    )
}

/// What is entered into a field that is not used.
const EMPTY: &str = "(leave it empty)";
