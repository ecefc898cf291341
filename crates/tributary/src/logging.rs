//! Log lines: to the standard error, as text or JSON, around the bars of a terminal.

use std::io::{self, IsTerminal, Write};

use engine::problem::Problem;
use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::{Global, LogFormat};
use crate::exit::Failure;
use crate::present::Screen;

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
    let writer = Writer {
        bars: match &screen {
            Screen::Terminal(bars) => Some(bars.clone()),
            Screen::Lines => None,
        },
    };
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let started = match global.log {
        Some(LogFormat::Json) => registry.with(layer.json().flatten_event(true)).try_init(),
        Some(LogFormat::Text) | None => {
            let colour = !global.no_color && io::stderr().is_terminal() && colours_welcome();
            registry.with(layer.with_ansi(colour).with_target(false)).try_init()
        }
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

/// Writes log lines above the bars, if there are any.
#[derive(Clone, Debug)]
struct Writer {
    bars: Option<MultiProgress>,
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Writer;

    fn make_writer(&'a self) -> Writer {
        self.clone()
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.bars {
            Some(bars) => bars.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
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
