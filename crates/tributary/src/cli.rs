//! The command line: commands, flags and their help. What they do is in [`crate::commands`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::pipeline::config::Mode;

/// Keeps CODING DevOps data flowing into your databases.
#[derive(Debug, Parser)]
#[command(name = "tributary", version, propagate_version = true, after_help = EXIT_CODES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

const EXIT_CODES: &str = "\
Results go to the standard output, progress and log to the standard error.

Exit codes:
  0  done
  1  failed; the message says what, why, and what to do
  2  wrong usage or configuration; nothing was written
  3  finished, but deletes are held because too many rows vanished at once; `verify`: something differs

Environment:
  TRIBUTARY_LOG        which log lines to write, for example `debug` or `engine=debug` (else RUST_LOG)
  TRIBUTARY_VAULT_KEY  32 bytes (base64 or hex) that encrypt tokens at rest; else a key file is made
  TRIBUTARY_DUMPABLE   1 allows core files and debuggers; else there are none, as memory holds secrets
  NO_COLOR             no colours";

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Write log lines as text or as one JSON object each.
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log: Option<LogFormat>,
    /// No colours, also not on a terminal.
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// CODING's tables.
const TABLES: [&str; 3] = ["Issues", "Iterations", "ProjectMembers"];
/// Those and the one that deliveries of the hook make, which CODING does not list.
const KEPT_TABLES: [&str; 4] = ["Issues", "Iterations", "ProjectMembers", "Events"];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load the tables of a pipeline and follow their changes.
    #[command(after_help = SYNC_HELP)]
    Sync(SyncArgs),
    /// Rebuild the target's tables from what was read before, without asking CODING.
    #[command(after_help = RESYNC_HELP)]
    Resync(ResyncArgs),
    /// Test everything that a pipeline needs, item by item, and say how to put it right.
    #[command(after_help = CHECK_HELP)]
    Check(FileArgs),
    /// Show a pipeline's tables: how many rows there are, and which columns they get in either mode.
    #[command(after_help = DISCOVER_HELP)]
    Discover(FileArgs),
    /// Show the newest rows of a table as the target gets them, without writing anything.
    #[command(after_help = PREVIEW_HELP)]
    Preview(PreviewArgs),
    /// Show where a pipeline stands; works beside a running sync.
    #[command(after_help = STATUS_HELP)]
    Status(FileArgs),
    /// Compare a pipeline's target with what was read, row by row; works beside a running sync.
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Look after the Service Hook of a pipeline and its deliveries; works beside a running sync.
    #[command(after_help = HOOKS_HELP)]
    Hooks(HooksArgs),
    /// Run a simulated CODING on this machine.
    #[command(after_help = SIM_HELP)]
    Sim(SimArgs),
    /// See it work: a simulated CODING, loaded into SQLite and followed live.
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArgs),
}

const SYNC_HELP: &str = "\
Examples:
  tributary sync pipeline.yaml                 follow until Ctrl-C
  tributary sync pipeline.yaml --once          bring the target up to date and end
  tributary sync --once --json a.yaml b.yaml   two tasks in one process, a summary as JSON
  tributary sync pipeline.yaml --accept-deletes
                                               carry out deletes that are held";

const RESYNC_HELP: &str = "\
Writes every row of the mirror again and deletes what the mirror lacks: for a target that was spoilt by hand, restored \
from an old backup, or is new. Needs the state directory for itself: stop a running sync first.

Examples:
  tributary resync pipeline.yaml                    all tables of the pipeline
  tributary resync pipeline.yaml --table Issues     one of them; the others are left alone
  tributary resync pipeline.yaml --json | jq .rebuilt
  tributary resync pipeline.yaml --from-source      read everything from CODING anew, then rebuild";

const CHECK_HELP: &str = "\
Examples:
  tributary check pipeline.yaml
  tributary check pipeline.yaml --json | jq '.items[] | select(.outcome != \"ok\")'";

const DISCOVER_HELP: &str = "\
Examples:
  tributary discover pipeline.yaml
  tributary discover pipeline.yaml --json | jq '.tables[] | {name, flat: [.columns.flat[].name]}'";

const PREVIEW_HELP: &str = "\
Examples:
  tributary preview pipeline.yaml --table Issues
  tributary preview pipeline.yaml --table Issues --mode flat
  tributary preview pipeline.yaml --table ProjectMembers --limit 20 --json";

const STATUS_HELP: &str = "\
Examples:
  tributary status pipeline.yaml
  watch -n 5 tributary status pipeline.yaml";

const VERIFY_HELP: &str = "\
Compares every row and field of the target with the mirror, as the pipeline's filter and form want them, and the \
number of rows with CODING. Rows that change meanwhile are looked at again. Ends with 0 when all is equal, with 3 when \
something differs.

Examples:
  tributary verify pipeline.yaml                    target against mirror
  tributary verify pipeline.yaml --repair           and write again what differs
  tributary verify pipeline.yaml --sample 100       and look 100 rows up at CODING, picked by chance
  tributary verify pipeline.yaml --deep             and the mirror with all that CODING lists
  tributary verify pipeline.yaml --json | jq '.tables[] | select(.target.differences != [] or .columns != [])'";

const HOOKS_HELP: &str = "\
Examples:
  tributary hooks pipeline.yaml url                   the URL and the secret to give to CODING
  tributary hooks pipeline.yaml url --rotate          a new URL; the old one works for another day
  tributary hooks pipeline.yaml register              make the hook at CODING, or show how to make it by hand
  tributary hooks pipeline.yaml ping                  have CODING send a ping, and wait for it
  tributary hooks pipeline.yaml list --limit 50       the newest deliveries and what became of them
  tributary hooks pipeline.yaml show 5f1c…            one delivery, whole
  tributary hooks pipeline.yaml dead                  deliveries that were given up, and why
  tributary hooks pipeline.yaml replay --dead         work them off once more
  tributary hooks pipeline.yaml unregister            delete the hook at CODING";

const SIM_HELP: &str = "\
Examples:
  tributary sim                                          a small team on http://127.0.0.1:7070
  tributary sim --issues 100000 --mutations 20           a large one whose rows keep changing
  tributary sim --rate-limit 0 --latency 50ms --faults 0.03
                                                         no limit, slow answers, 3 % of them broken
  tributary sim --mutations 5 --hook-faults 0.3          nearly every third hook is lost, as many come twice

The team, the token and a ready pipeline file are printed at the start.";

const DEMO_HELP: &str = "\
Examples:
  tributary demo          until Ctrl-C
  tributary demo --once   load, compare, end

Everything lies in ./tributary-demo; the target is ./tributary-demo/coding.db.";

#[derive(Args, Debug)]
pub(crate) struct SyncArgs {
    /// Pipeline files; each is a task. Files with the same `state` share one reading of the source.
    #[arg(required = true, value_name = "PIPELINE.yaml")]
    pub(crate) files: Vec<PathBuf>,
    /// Bring the target up to date, confirmations and details included, and end.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print a summary as one JSON object at the end.
    #[arg(long)]
    pub(crate) json: bool,
    /// Carry out deletes that were held because too many rows vanished at once.
    #[arg(long)]
    pub(crate) accept_deletes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ResyncArgs {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE.yaml")]
    pub(crate) file: PathBuf,
    /// Rebuild this table alone; may be given more than once.
    #[arg(long = "table", value_name = "TABLE", value_parser = KEPT_TABLES)]
    pub(crate) tables: Vec<String>,
    /// Read every row and every detail from CODING again, within its budget, before the rebuild ends.
    #[arg(long)]
    pub(crate) from_source: bool,
    /// Print a summary as one JSON object at the end.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE.yaml")]
    pub(crate) file: PathBuf,
    /// List everything at CODING again, within the rate limit, and compare the mirror with it.
    #[arg(long)]
    pub(crate) deep: bool,
    /// Look this many rows up at CODING, picked by chance, and compare the mirror with them.
    #[arg(long, value_name = "N", value_parser = sample_size)]
    pub(crate) sample: Option<usize>,
    /// Write again what differs. Needs the state directory for itself: stop a running sync first.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Print the result as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct FileArgs {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE.yaml")]
    pub(crate) file: PathBuf,
    /// Print the result as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct HooksArgs {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE.yaml")]
    pub(crate) file: PathBuf,
    #[command(subcommand)]
    pub(crate) action: HooksAction,
    /// Print the result as one JSON object.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HooksAction {
    /// Show the hook's URL and secret; made the first time.
    Url(UrlArgs),
    /// Make the hook at CODING, or put it right; with `register: manual` show the steps.
    Register,
    /// Delete the hook at CODING.
    Unregister,
    /// Have CODING send a ping, and wait until it arrives at the running sync.
    Ping,
    /// Show the newest deliveries and what became of them.
    List(ListArgs),
    /// Show one delivery with its headers and body.
    Show {
        /// Its number or its delivery id.
        id: String,
    },
    /// Have deliveries worked off once more.
    Replay(ReplayArgs),
    /// Show the deliveries that were given up.
    Dead(LimitArgs),
}

#[derive(Args, Debug)]
pub(crate) struct UrlArgs {
    /// Make a new URL. The old one works for as long as `--overlap` says.
    #[arg(long, conflicts_with = "revoke")]
    pub(crate) rotate: bool,
    /// How long the old URL works after a rotation.
    #[arg(long, default_value = "24h", value_parser = time_span, requires = "rotate")]
    pub(crate) overlap: Duration,
    /// Make a new URL, and refuse all older ones from now on.
    #[arg(long)]
    pub(crate) revoke: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
    /// Only deliveries with this result.
    #[arg(long, value_enum)]
    pub(crate) result: Option<DeliveryResult>,
}

#[derive(Args, Debug)]
pub(crate) struct LimitArgs {
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Numbers or delivery ids.
    #[arg(value_name = "ID", required_unless_present = "dead")]
    pub(crate) ids: Vec<String>,
    /// All that were given up.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) dead: bool,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeliveryResult {
    Waiting,
    Applied,
    Unchanged,
    Ignored,
    Dead,
}

#[derive(Args, Debug)]
pub(crate) struct PreviewArgs {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE.yaml")]
    pub(crate) file: PathBuf,
    /// The table: Issues, Iterations or ProjectMembers.
    #[arg(long, value_parser = TABLES)]
    pub(crate) table: String,
    /// The form of the rows; without it the pipeline's own `task.mode`.
    #[arg(long, value_enum)]
    pub(crate) mode: Option<Mode>,
    /// How many rows.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
    /// Print the rows as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SimArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7070")]
    pub(crate) listen: SocketAddr,
    /// The team's name.
    #[arg(long, default_value = "demo")]
    pub(crate) team: String,
    /// The accepted personal token; a fixed one by default.
    #[arg(long)]
    pub(crate) token: Option<String>,
    /// How many issues in all, spread over the projects.
    #[arg(long, default_value_t = 520)]
    pub(crate) issues: u32,
    /// How many projects.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) projects: u32,
    /// The same seed gives the same data.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Requests per second and action above which it refuses; 0 = no limit.
    #[arg(long, default_value_t = 30)]
    pub(crate) rate_limit: u32,
    /// Waited before every answer, for example 50ms.
    #[arg(long, default_value = "0s", value_parser = time_span)]
    pub(crate) latency: Duration,
    /// Changes per second that it makes by itself.
    #[arg(long, default_value_t = 0.0, value_parser = rate)]
    pub(crate) mutations: f64,
    /// Share of the requests that meet a fault that passes, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(crate) faults: f64,
    /// Share of the hooks that are lost; as many are repeated, swapped and delayed.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(crate) hook_faults: f64,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Load, bring the target up to date, and end.
    #[arg(long)]
    pub(crate) once: bool,
}

fn time_span(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| "write a time such as 50ms or 2s".to_owned())?;
    Duration::try_from(span).map_err(|_| "a time cannot be negative".to_owned())
}

fn sample_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size @ 1..=100_000) => Ok(size),
        _ => Err("write a number from 1 to 100000".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    number_in(text, 10_000.0)
}

fn share(text: &str) -> Result<f64, String> {
    number_in(text, 1.0)
}

fn number_in(text: &str, most: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=most).contains(&number) => Ok(number),
        _ => Err(format!("write a number from 0 to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command().get_subcommands_mut() {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:"), "`{name} --help` has no examples");
            assert!(help.contains(&format!("tributary {name}")), "`{name} --help` shows itself nowhere");
        }
    }
}
