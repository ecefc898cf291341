//! How far a comparison is, for a person.

use std::time::Duration;

use engine::verify::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::present::Screen;
use crate::present::text::count;

/// Often enough to look alive on a terminal.
const FRAME: Duration = Duration::from_millis(200);
/// Often enough in a log.
const LINE: Duration = Duration::from_secs(10);

/// Does the work, and shows meanwhile how far it is.
pub(super) async fn beside<T>(
    screen: &Screen,
    told: watch::Receiver<Progress>,
    work: impl Future<Output = T>,
) -> T {
    // Showing has nothing to finish: it may be dropped.
    tokio::select! {
        done = work => done,
        () = show(screen, told) => std::future::pending().await,
    }
}

async fn show(screen: &Screen, told: watch::Receiver<Progress>) {
    let bar = match screen {
        Screen::Terminal(bars) => Some(Bar(bars.add(bar()))),
        Screen::Lines => None,
    };
    let mut frames = tokio::time::interval(if bar.is_some() { FRAME } else { LINE });
    frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    // The first tick comes at once.
    frames.tick().await;
    while told.has_changed().is_ok() {
        frames.tick().await;
        let Progress { at, done, total } = told.borrow().clone();
        match &bar {
            _ if at.is_empty() => {}
            Some(Bar(bar)) => {
                bar.set_prefix(at);
                bar.set_length(total.max(done));
                bar.set_position(done);
                bar.set_message(format!("{} of {}", count(done), count(total.max(done))));
            }
            None => tracing::info!(
                at,
                done,
                total,
                "comparing {at}: {} of {} rows",
                count(done),
                count(total.max(done))
            ),
        }
    }
}

/// Gone from the screen when it is dropped.
struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:24!} {wide_bar} {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
