//! Whatever is done at the source in whatever order, through whatever channel it is heard of, and whatever ends in
//! between: the target equals a plain map of what was done, and the log tells of every row a story that can have
//! happened.
//!
//! A case is a list of steps (`model/steps.rs`); the one that fails is made as short as it can be and printed.
//! `make model` runs many.

mod letters;
mod rig;
mod steps;
mod truth;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use self::rig::{Rig, Told};
use self::steps::{Case, Step};
use crate::place::TargetKind;

/// Cases of a run for each kind of target, side by side: most of a case is waiting.
const CASES: u32 = 8;
const MANY_CASES: u32 = 400;
const SIDE_BY_SIDE: u32 = 4;
/// A shorter failing case is looked for so often, and so long.
const SHRINKS: u32 = 4_096;
const SHRINKING_MS: u32 = 60_000;
const SHRINKING_LONG_MS: u32 = 900_000;
/// The longest that a case may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn sqlite() {
    check(TargetKind::Sqlite);
}

#[test]
fn postgres() {
    check(TargetKind::Postgres);
}

#[expect(clippy::print_stderr, reason = "how much was tried is what a long run is asked for")]
fn check(target: TargetKind) {
    let full = std::env::var("TRIBUTARY_CHAOS").as_deref() == Ok("full");
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let defaults = Config::default();
    let cases = match (asked, full) {
        (true, _) => defaults.cases,
        (false, true) => MANY_CASES,
        (false, false) => CASES,
    };
    let config = Config {
        cases: cases.div_ceil(SIDE_BY_SIDE),
        source_file: Some(file!()),
        max_shrink_iters: SHRINKS,
        max_shrink_time: if full { SHRINKING_LONG_MS } else { SHRINKING_MS },
        ..defaults
    };
    let (failed, done, steps) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let run = || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mine = Cell::new(false);
        let ended = TestRunner::new(config.clone()).run(&steps::case(), |case| {
            // Another one looks for the shortest case that fails: it is not to be kept waiting.
            if failed.load(Ordering::Relaxed) && !mine.get() {
                return Ok(());
            }
            let length = u64::try_from(case.steps.len()).unwrap();
            let told = Told::default();
            let ended = runtime.block_on(async {
                tokio::time::timeout(PATIENCE, tokio::spawn(Box::pin(one(target, case, told.clone())))).await
            });
            done.fetch_add(1, Ordering::Relaxed);
            steps.fetch_add(length, Ordering::Relaxed);
            let why = match ended {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(broken)) => match broken.into_panic().downcast::<String>() {
                    Ok(said) => *said,
                    Err(said) => {
                        said.downcast::<&str>().map_or_else(|_| String::new(), |said| (*said).to_owned())
                    }
                },
                Err(_) => format!("it hangs for {PATIENCE:?}: {:#?}", told.board()),
            };
            failed.store(true, Ordering::Relaxed);
            mine.set(true);
            Err(TestCaseError::fail(format!("{why}\n\nWhat was done:\n  {}", told.steps())))
        });
        match ended {
            Ok(()) => None,
            Err(TestError::Fail(why, case)) => Some(format!("{why}\n\nThe case:\n{case:?}")),
            Err(TestError::Abort(why)) => Some(why.to_string()),
        }
    };
    let found: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(run)).collect();
        running.into_iter().filter_map(|run| run.join().unwrap()).collect()
    });
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    eprintln!("{target:?}: {} cases of {} steps", done.into_inner(), steps.into_inner());
}

/// Goes through a case; at its end everything is equal, and quiet.
async fn one(target: TargetKind, case: Case, told: Told) {
    let mut rig = Rig::new(target, case.rules, told).await;
    for step in case.steps {
        rig.step(step).await;
    }
    rig.step(Step::Settle).await;
    rig.is_quiet().await;
}
