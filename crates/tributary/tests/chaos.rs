//! What the tests of crashes and losses have in common. Small in the suite; `TRIBUTARY_CHAOS=full` (`make chaos`) gives
//! them minutes, `TRIBUTARY_CHAOS_SEED` repeats what chance decided in a run.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

/// Whether to run at full size.
pub(crate) fn is_full() -> bool {
    std::env::var("TRIBUTARY_CHAOS").is_ok_and(|size| size == "full")
}

/// The seed of this run: the one given, else another each time. Never 0.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("TRIBUTARY_CHAOS_SEED").ok().map(|seed| seed.parse().unwrap());
    given.unwrap_or_else(|| jiff::Timestamp::now().as_microsecond().unsigned_abs()) | 1
}

/// The command that repeats these tests with a seed.
pub(crate) fn again(seed: u64, tests: &str) -> String {
    let full = if is_full() { "TRIBUTARY_CHAOS=full " } else { "" };
    let tests = format!("cargo test --package tributary --all-features --test main -- {tests} --nocapture");
    format!("{full}TRIBUTARY_CHAOS_SEED={seed} {tests}")
}

/// A small generator, so that a seed repeats a run: xorshift. Its state is never 0.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
