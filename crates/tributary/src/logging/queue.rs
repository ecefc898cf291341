//! Lines on their way to the standard error. Whoever has something to say never waits for whoever reads it: where that
//! one stands still (a full pipe, a terminal after Ctrl-S), lines are dropped and counted.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::MultiProgress;

/// Bytes that may wait: some thousand lines.
const ROOM: usize = 1024 * 1024;

/// The lines that wait. Cheap to clone; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    /// Something waits.
    more: Condvar,
    /// Nothing waits.
    empty: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// A line is being written.
    writing: bool,
    dropped: u64,
}

impl Queue {
    /// An empty queue, and the thread that writes what comes.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(bars: Option<MultiProgress>) -> std::io::Result<Queue> {
        let queue = Queue::default();
        let written = queue.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || written.write_all(bars.as_ref()))?;
        Ok(queue)
    }

    /// Adds a line, or drops it where too many wait.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.saturating_add(line.len()) > ROOM {
            waiting.dropped += 1;
        } else {
            self.add(&mut waiting, line);
        }
    }

    /// Adds a line that is never dropped: the last words of the process.
    pub(crate) fn push_at_all_costs(&self, line: &[u8]) {
        self.add(&mut self.lock(), line);
    }

    /// Waits until everything is written, but no longer than `patience`.
    pub(crate) fn flush(&self, patience: Duration) {
        let waits = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        drop(self.0.empty.wait_timeout_while(self.lock(), patience, waits));
    }

    fn add(&self, waiting: &mut Waiting, line: &[u8]) {
        waiting.bytes += line.len();
        waiting.lines.push_back(line.to_owned());
        self.0.more.notify_one();
    }

    fn write_all(&self, bars: Option<&MultiProgress>) {
        let write = |line: &[u8]| std::io::stderr().write_all(line);
        loop {
            let line = self.next();
            let written = match bars {
                Some(bars) => bars.suspend(|| write(&line)),
                None => write(&line),
            };
            let mut waiting = self.lock();
            let dropped = match written {
                // Said once there is room again, with how many there were.
                Ok(()) => std::mem::take(&mut waiting.dropped),
                Err(_) => {
                    waiting.dropped += 1;
                    0
                }
            };
            drop(waiting);
            if dropped > 0 {
                tracing::warn!(dropped, "lines of this log were dropped: nobody read them in time");
            }
            let mut waiting = self.lock();
            waiting.writing = false;
            if waiting.lines.is_empty() {
                self.0.empty.notify_all();
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let waiting = self.0.more.wait_while(self.lock(), |waiting| waiting.lines.is_empty());
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let line = waiting.lines.pop_front().unwrap_or_default();
        waiting.bytes = waiting.bytes.saturating_sub(line.len());
        waiting.writing = true;
        line
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Queue, ROOM};

    #[test]
    fn what_finds_no_room_is_counted_and_last_words_always_find_some() {
        // Nobody writes.
        let queue = Queue::default();
        let line = vec![b'x'; ROOM / 4];
        for _ in 0..6 {
            queue.push(&line);
        }
        let lines = |queue: &Queue| {
            let waiting = queue.lock();
            (waiting.lines.len(), waiting.dropped)
        };
        assert_eq!(lines(&queue), (4, 2));
        queue.push_at_all_costs(b"the end");
        assert_eq!(lines(&queue), (5, 2));
        for _ in 0..5 {
            queue.next();
        }
        queue.push(&line);
        assert_eq!(lines(&queue), (1, 2));
    }
}
