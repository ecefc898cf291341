//! Log lines: to the standard error, as text or JSON, around the bars of a terminal. Nobody who writes one waits for
//! whoever reads it ([`queue`]).

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use engine::problem::Problem;
use engine::words;
use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::{Global, LogFormat};
use crate::exit::Failure;
use crate::present::Screen;
use queue::Queue;

/// Where everything goes that is said on the standard error, once the log has been started.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// How long the end waits for whoever reads the log.
const LAST_LINES: Duration = Duration::from_secs(2);
/// How long a part that panics waits for it: the process may end with it.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How much a command says unless the environment asks for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// What happens: a command that runs for long.
    Events,
    /// What is unexpected: a command whose result is the point.
    Warnings,
}

/// Our own crates tell what happens; others speak up when something is wrong.
const EVENTS: &str =
    "warn,tributary=info,engine=info,store=info,connectors=info,coding_api=info,coding_sim=info";

/// Starts logging, and says where progress goes.
///
/// # Errors
/// `TRIBUTARY_LOG` or `RUST_LOG` cannot be understood.
pub(crate) fn start(global: &Global, talk: Talk) -> Result<Screen, Failure> {
    let terminal = io::stderr().is_terminal() && global.log.is_none() && talk == Talk::Events;
    let screen = if terminal {
        // Drawn by the frame loop, which already keeps the rate low.
        Screen::Terminal(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
    } else {
        Screen::Lines
    };
    let default = match (&screen, talk) {
        // Bars show what happens.
        (Screen::Terminal(_), _) | (_, Talk::Warnings) => "warn",
        (Screen::Lines, Talk::Events) => EVENTS,
    };
    let filter = filter(default, &|name| std::env::var(name).ok())?;
    let bars = match &screen {
        Screen::Terminal(bars) => Some(bars.clone()),
        Screen::Lines => None,
    };
    let queue = Queue::start(bars).map_err(|error| Failure::unexpected("start the log", error))?;
    let coloured = !global.no_color && io::stderr().is_terminal() && colours_welcome();
    let form = match global.log {
        Some(LogFormat::Json) => Form::Json,
        Some(LogFormat::Text) | None => Form::Text { coloured },
    };
    let writer = Writer { queue: QUEUE.get_or_init(|| queue).clone(), form };
    tell_of_panics(writer.queue.clone());
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let started = match form {
        Form::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        Form::Text { coloured } => registry.with(layer.with_ansi(coloured).with_target(false)).try_init(),
    };
    started.map_err(|error| Failure::unexpected("start the log", error))?;
    Ok(screen)
}

fn colours_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(default: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<EnvFilter, Failure> {
    for name in ["TRIBUTARY_LOG", "RUST_LOG"] {
        let Some(text) = variable(name).filter(|text| !text.trim().is_empty()) else { continue };
        return EnvFilter::try_new(&text).map_err(|error| {
            Failure::Usage(Problem::new(
                "USAGE-LOG",
                format!("Cannot understand {name}"),
                error.to_string(),
                "Write a level (error, warn, info, debug, trace) or crate=level, divided by commas.",
            ))
        });
    }
    Ok(EnvFilter::new(default))
}

/// Says the last words of the process on the standard error.
pub(crate) fn say_last(text: &str) {
    match QUEUE.get() {
        Some(queue) => queue.push_at_all_costs(text.as_bytes()),
        // Nobody to tell when the terminal is gone.
        None => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits until everything is written, unless nobody reads it.
pub(crate) fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(LAST_LINES);
    }
}

/// A panic is told like everything else: not by a thread that then waits for whoever reads it.
fn tell_of_panics(queue: Queue) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let trace = Backtrace::capture();
        let trace = match trace.status() {
            BacktraceStatus::Captured => format!("{trace}\n"),
            _ => String::new(),
        };
        let name = thread.name().unwrap_or("<unnamed>");
        let said = format!("\nthread '{name}' {panic}\n{trace}");
        queue.push_at_all_costs(words::shown(&said).as_bytes());
        queue.flush(LAST_WORDS);
    }));
}

/// How log lines are written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Json,
    Text { coloured: bool },
}

/// Passes log lines on, without secrets and without what would steer a terminal.
#[derive(Clone, Debug)]
struct Writer {
    queue: Queue,
    form: Form,
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Writer;

    fn make_writer(&'a self) -> Writer {
        self.clone()
    }
}

impl Write for Writer {
    /// Takes a whole line at once: so the layer above writes it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let harmless = match self.form {
            Form::Json => words::in_json(&line),
            Form::Text { coloured } => words::log_line(&line, coloured).into(),
        };
        self.queue.push(harmless.as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::filter;
    use crate::exit::Failure;

    #[test]
    fn our_variable_comes_before_the_general_one() {
        let both = |name: &str| Some(if name == "TRIBUTARY_LOG" { "debug" } else { "error" }.to_owned());
        assert_eq!(filter("warn", &both).unwrap().to_string(), "debug");
        let general = |name: &str| (name == "RUST_LOG").then(|| "error".to_owned());
        assert_eq!(filter("warn", &general).unwrap().to_string(), "error");
        assert_eq!(filter("warn", &|_| None).unwrap().to_string(), "warn");
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        let Err(Failure::Usage(problem)) = filter("warn", &|_| Some("engine=loud".to_owned())) else {
            panic!("nonsense was taken");
        };
        assert_eq!(problem.what, "Cannot understand TRIBUTARY_LOG");
    }
}
