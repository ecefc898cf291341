//! How many file descriptors a run needs, and how many are left for those who connect to its hooks: strangers must not
//! use up what the pipelines live on.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use engine::problem::Problem;
use server::receiver::Limits;

use crate::pipeline::{Pipeline, TargetSettings};
use crate::system;

/// What the process has open whatever it runs: standard streams, runtime, signals, temporary files.
const PROCESS: u64 = 40;
/// A state directory: it and its lock, seven connections to the journal with the log of each, some twenty to the source.
const STATE: u64 = 38;
/// Beside it where there are hooks: the inbox.
const INBOX: u64 = 10;
/// A target.
const TARGET: u64 = 5;
/// A listener that may have fewer connections than this is of no use.
const FEWEST: u64 = 24;

/// What a group of pipelines with one state directory is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) targets: u64,
    pub(super) listen: Option<SocketAddr>,
}

impl Share {
    /// `listens` is false where nobody stays to listen.
    pub(super) fn of<'p>(pipelines: impl Iterator<Item = &'p Pipeline> + Clone, listens: bool) -> Share {
        let hook = pipelines.clone().find_map(|pipeline| pipeline.source.webhook.as_ref());
        let listen = hook.filter(|_| listens).map(|hook| hook.listen);
        let local = |pipeline: &Pipeline| match &pipeline.target {
            TargetSettings::Sqlite(_) => TARGET,
            TargetSettings::Postgres(_) => 2,
        };
        Share { targets: pipelines.map(local).sum(), listen }
    }
}

/// The connections that each listener may have.
///
/// # Errors
/// `SYSTEM-DESCRIPTORS`: they would run out while it runs.
pub(super) fn connections(shares: &[Share]) -> Result<usize, Problem> {
    divide(shares, system::descriptors())
}

fn divide(shares: &[Share], limit: u64) -> Result<usize, Problem> {
    let listeners: BTreeSet<SocketAddr> = shares.iter().filter_map(|share| share.listen).collect();
    let listeners = u64::try_from(listeners.len()).unwrap_or(u64::MAX);
    let own = |share: &Share| STATE + share.targets + share.listen.map_or(0, |_| INBOX);
    let needed = shares.iter().map(own).sum::<u64>() + PROCESS;
    let least = needed + listeners * FEWEST;
    if limit < least {
        return Err(Problem::new(
            "SYSTEM-DESCRIPTORS",
            "Cannot run so many pipelines in one process",
            format!("they may need {least} file descriptors, and this process may have {limit}"),
            "Raise the limit (`ulimit -n`, `LimitNOFILE=` in the unit of systemd), or run some of them in another \
             process.",
        ));
    }
    let most = Limits::default().connections;
    let left = (limit - needed).checked_div(listeners).unwrap_or(u64::MAX);
    // One connection is taken before somebody goes for it.
    Ok(usize::try_from(left - 1).map_or(most, |left| left.min(most)))
}

#[cfg(test)]
mod tests {
    use super::{Share, divide};

    fn shares(count: u16) -> Vec<Share> {
        let share = |number| Share { targets: 5, listen: Some(([127, 0, 0, 1], number).into()) };
        (0..count).map(share).collect()
    }

    #[test]
    fn those_who_connect_get_what_is_left() {
        assert_eq!(divide(&shares(1), 1_024).unwrap(), 930);
        assert_eq!(divide(&shares(1), 1 << 20).unwrap(), 1_024);
        assert_eq!(divide(&shares(10), 1_024).unwrap(), 44);
        assert_eq!(divide(&[Share { targets: 5, listen: None }], 1_024).unwrap(), 1_024);
    }

    #[test]
    fn too_many_pipelines_are_told_before_they_start() {
        let problem = divide(&shares(100), 1_024).unwrap_err();
        assert_eq!(problem.code, "SYSTEM-DESCRIPTORS");
        assert!(problem.why.contains("7740") && problem.why.contains("1024"), "{problem}");
        assert!(problem.fix.contains("ulimit -n"), "{problem}");
        assert!(divide(&shares(100), 4_096 * 2).is_ok());
    }
}
