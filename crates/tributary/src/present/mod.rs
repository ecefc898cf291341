//! What a person sees: progress while it runs ([`terminal`] or [`lines`]), results at the end ([`summary`]).
//!
//! Reads the boards on which captures and tasks write, and changes nothing. Progress goes to the standard error,
//! results to the standard output. Start with [`follow`].

pub(crate) mod lines;
pub(crate) mod pace;
pub(crate) mod summary;
pub(crate) mod terminal;
pub(crate) mod text;

use std::time::Duration;

use engine::status::{Board, Status};
use indicatif::MultiProgress;
use tokio_util::sync::CancellationToken;

use lines::Lines;
use terminal::Terminal;

/// A board, and what to call it when there are several.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) label: String,
    pub(crate) board: Board,
}

/// Where progress goes.
#[derive(Clone, Debug)]
pub(crate) enum Screen {
    /// Bars and a live line on a terminal.
    Terminal(MultiProgress),
    /// Log lines.
    Lines,
}

/// Often enough that a live line looks alive, seldom enough that it costs nothing.
const FRAME: Duration = Duration::from_millis(200);
/// Log lines of changes are put together for this long.
const LINE: Duration = Duration::from_secs(1);

/// How long the last frame is waited for: a terminal may stand still.
const LAST_FRAME: Duration = Duration::from_millis(500);

/// Shows the boards until `done`, and then their last state once more.
pub(crate) async fn follow(screen: Screen, shown: Vec<Shown>, done: CancellationToken) {
    match screen {
        // Lines wait for nobody.
        Screen::Lines => draw(screen, shown, done).await,
        // A terminal that stands still (Ctrl-S) holds up whoever draws on it, and nobody else.
        Screen::Terminal(_) => {
            let (runtime, ended) = (tokio::runtime::Handle::current(), done.clone());
            let drawing = tokio::task::spawn_blocking(move || runtime.block_on(draw(screen, shown, ended)));
            done.cancelled().await;
            if let Ok(Err(error)) = tokio::time::timeout(LAST_FRAME, drawing).await {
                tracing::error!(%error, "what shows progress broke down");
            }
        }
    }
}

async fn draw(screen: Screen, shown: Vec<Shown>, done: CancellationToken) {
    let mut frames = tokio::time::interval(match screen {
        Screen::Terminal(_) => FRAME,
        Screen::Lines => LINE,
    });
    frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let several = shown.len() > 1;
    let mut views: Vec<View> = shown.into_iter().map(|shown| View::new(&screen, shown, several)).collect();
    loop {
        // Dropping the wait for a frame loses nothing: the boards are read whole each time.
        let last = tokio::select! {
            _ = frames.tick() => false,
            () = done.cancelled() => true,
        };
        for view in &mut views {
            view.draw();
        }
        if last {
            for view in &views {
                view.clear();
            }
            return;
        }
    }
}

/// One board on the screen.
struct View {
    label: Option<String>,
    board: Board,
    lines: Lines,
    terminal: Option<Terminal>,
}

impl View {
    fn new(screen: &Screen, shown: Shown, several: bool) -> View {
        let terminal = match screen {
            Screen::Terminal(bars) => Some(Terminal::new(bars.clone())),
            Screen::Lines => None,
        };
        View { label: several.then_some(shown.label), board: shown.board, lines: Lines::default(), terminal }
    }

    fn draw(&mut self) {
        let status: Status = self.board.read();
        let now = tokio::time::Instant::now();
        let wall = jiff::Timestamp::now();
        let label = self.label.as_deref();
        for line in self.lines.tick(&status, now) {
            match &self.terminal {
                None => line.log(label),
                Some(terminal) if line.is_important() => terminal.print(label, &line, wall),
                Some(_) => {}
            }
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.draw(label, &status, now, wall);
        }
    }

    fn clear(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.clear();
        }
    }
}
