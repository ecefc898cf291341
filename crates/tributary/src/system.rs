//! What this process asks of the system at its start: all file descriptors that it may have, no death by the size of a
//! file, and no picture of its memory on a disk.

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// What some systems allow where they name no limit (macOS: OPEN_MAX).
const AT_LEAST_TRY: u64 = 10_240;

/// Sets the process up. Within a runtime. What the system does not grant is done without.
pub(crate) fn set_up() {
    raise_descriptors();
    keep_no_core_files();
    // Where it is caught, a write beyond the limit on the size of files fails as one on a full disk does; else the
    // process is killed in silence. The handler stays when this is dropped.
    drop(signal(SignalKind::from_raw(Signal::XFSZ.as_raw())));
}

/// How many file descriptors this process may have open.
pub(crate) fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The usual soft limit of 1,024 is for programs that use `select`; the hard one is what the system grants.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    for wanted in [limit.maximum, Some(AT_LEAST_TRY)] {
        let more = match (wanted, limit.current) {
            (Some(wanted), Some(current)) => wanted > current,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if !more || setrlimit(Resource::Nofile, Rlimit { current: wanted, ..limit }).is_ok() {
            return;
        }
    }
}

/// Memory holds tokens, keys and passwords. Without a picture of it there is also no debugger for whoever is not root;
/// `TRIBUTARY_DUMPABLE=1` asks for both.
fn keep_no_core_files() {
    if std::env::var_os("TRIBUTARY_DUMPABLE").is_some_and(|value| value == "1") {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Also where the system hands core files to a program, which does not ask for a limit.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..getrlimit(Resource::Core) });
}

/// Whether whoever started this process wants it to live on when its terminal is closed.
pub(crate) fn is_hang_up_ignored() -> bool {
    // `SigIgn:` is a mask in hexadecimal digits, whose lowest bit is signal 1. Other systems do not show it.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}
