//! `tributary sim`: a simulated CODING on this machine.

use coding_sim::{DEFAULT_TOKEN, Faults, HookFaults, ProjectConfig, Sim, SimConfig, SimError};
use engine::problem::Problem;

use super::sync::until_stopped;
use crate::cli::SimArgs;
use crate::exit::{self, Done, Failure};
use crate::signals::Stop;

/// The longest that `--hook-faults` delays a hook.
const LONGEST_HOOK_DELAY_MS: u64 = 10_000;

/// Names of the first projects; more are numbered.
const PROJECT_NAMES: [&str; 4] = ["mobile-app", "backend", "website", "infrastructure"];

/// Runs until a signal.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) async fn run(args: &SimArgs) -> Result<Done, Failure> {
    let config = config(args);
    let introduction = introduction(&config);
    let sim = Sim::start(config).await.map_err(not_started)?;
    exit::print_as_it_is(&introduction.replace(URL, &sim.url()))?;
    let stop = Stop::default();
    let stopped = stop.graceful.clone();
    let result = until_stopped(stop, async move {
        stopped.cancelled().await;
        Ok(Done::All)
    })
    .await;
    sim.stop().await;
    result
}

pub(super) fn not_started(error: SimError) -> Failure {
    Failure::from(Problem::new(
        "SIM-START",
        "Cannot start the simulator",
        error.to_string(),
        "Choose another address with --listen, for example 127.0.0.1:0 for a free port.",
    ))
}

fn config(args: &SimArgs) -> SimConfig {
    let mut config = SimConfig {
        listen: args.listen,
        seed: args.seed,
        team: args.team.clone(),
        projects: projects(args.projects, args.issues),
        rate_limit: args.rate_limit,
        latency: args.latency,
        mutations_per_second: args.mutations,
        ..SimConfig::default()
    };
    if args.faults > 0.0 {
        config.faults = Faults::transient(args.faults);
    }
    let share = args.hook_faults;
    config.hook_faults = HookFaults {
        drop: share,
        duplicate_same_id: share / 2.0,
        duplicate_new_id: share / 2.0,
        swap: share,
        delay: share,
        delay_max_ms: LONGEST_HOOK_DELAY_MS,
        ..HookFaults::default()
    };
    if let Some(token) = &args.token {
        config.token.clone_from(token);
    }
    config
}

/// The first project is the largest, as in real teams: it has half of the issues, or all when it is alone.
fn projects(number: u32, issues: u32) -> Vec<ProjectConfig> {
    let others = number.saturating_sub(1);
    let each = (issues / 2).checked_div(others).unwrap_or(0);
    let first = issues.saturating_sub(each.saturating_mul(others));
    (0..number)
        .map(|index| {
            let name = usize::try_from(index)
                .ok()
                .and_then(|index| PROJECT_NAMES.get(index))
                .map_or_else(|| format!("project-{}", index.saturating_add(1)), |name| (*name).to_owned());
            let issues = if index == 0 { first } else { each };
            ProjectConfig::new(&name, issues, 4 + (issues / 200).min(60), 8 + (issues / 100).min(200))
        })
        .collect()
}

/// Stands for the address until it is known.
const URL: &str = "{url}";

fn introduction(config: &SimConfig) -> String {
    let token = if config.token == DEFAULT_TOKEN { DEFAULT_TOKEN } else { "the one given" };
    let projects: Vec<&str> = config.projects.iter().map(|project| project.name.as_str()).collect();
    format!(
        "A simulated CODING is on {URL}; Ctrl-C ends it.\n\
         \n\
         # A pipeline for it:\n\
         source:\n\
         \x20 team: {}\n\
         \x20 base_url: {URL}\n\
         \x20 projects: [\"*\"]  # {}\n\
         \x20 auth: {{ token: \"{token}\" }}\n\
         \x20 # Take the signs out of these lines, and hooks tell of changes:\n\
         \x20 # incremental: hybrid\n\
         \x20 # webhook: {{ listen: \"127.0.0.1:8090\", public_url: \"http://127.0.0.1:8090\" }}\n\
         target:\n\
         \x20 sqlite: {{ path: coding.db }}\n\
         state: coding.state",
        config.team,
        projects.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use coding_sim::SimConfig;
    use connectors::coding::config::Projects;

    use super::{URL, introduction, projects};
    use crate::pipeline::read;

    #[test]
    fn the_printed_pipeline_is_good_with_and_without_hooks() {
        let config = SimConfig { projects: projects(2, 10), ..SimConfig::default() };
        let said = introduction(&config).replace(URL, "http://127.0.0.1:7070");
        let polls = said.split_once("\n\n").unwrap().1.to_owned();
        let hybrid = polls.replace("# incremental", "incremental").replace("# webhook", "webhook");
        for (text, hooks) in [(polls, false), (hybrid, true)] {
            let pipeline = read(Path::new("pipeline.yaml"), &text, &|_| None).unwrap();
            assert_eq!(pipeline.source.projects, Projects::All);
            let listen = pipeline.source.webhook.map(|webhook| webhook.listen.to_string());
            assert_eq!(listen.as_deref(), hooks.then_some("127.0.0.1:8090"));
        }
    }

    #[test]
    fn all_issues_are_spread_over_all_projects() {
        for (number, issues) in [(1, 7), (2, 520), (3, 1_000), (7, 100_003), (5, 0)] {
            let made = projects(number, issues);
            assert_eq!(made.len(), usize::try_from(number).unwrap());
            assert_eq!(made.iter().map(|project| project.issues).sum::<u32>(), issues);
        }
        let names: Vec<String> = projects(6, 0).into_iter().map(|project| project.name).collect();
        assert_eq!(names.last().map(String::as_str), Some("project-6"));
    }
}
