//! Hooks: what is configured, what is heard, what is made of it at CODING (simulated).

mod hear;
mod register;
mod settings;

/// So many cases, and no file of failures left behind: a failure prints its input.
fn cases(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}
