//! The one binary: command line and wiring, nothing else.
//!
//! [`cli`] says what can be typed, [`pipeline`] what a configuration means, [`commands`] what happens,
//! [`present`] what a person sees. Start with [`commands::run`].

mod cli;
mod commands;
mod exit;
mod logging;
mod pipeline;
mod present;
mod signals;
mod sync;
mod system;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use cli::Cli;

/// Rows are many small allocations, made by one thread and dropped by another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What may still run when all is done: a blocking call that nobody waits for.
const LAST_CALLS: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    // Until the process ends.
    #[cfg(feature = "failpoints")]
    let _armed = engine::failpoint::Armed::from_environment();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody to tell when the terminal is gone.
            let _gone = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&Err(exit::Failure::unexpected("start", error))),
    };
    let result = runtime.block_on(async {
        system::set_up();
        commands::run(cli).await
    });
    runtime.shutdown_timeout(LAST_CALLS);
    let code = exit::report(&result);
    logging::finish();
    code
}
